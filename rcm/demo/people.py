"""Who works in the demo: about twenty people in every role, and one partner system. Their sign-ins
are printed by the launcher.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth.hashers import make_password
from oauth2_provider.models import Application

from rcm.accounts.models import (
    DEMO_CLIENT,
    DEMO_DOMAIN,
    Membership,
    Organization,
    Partner,
    Site,
    User,
)
from rcm.accounts.permissions import SCOPE_PERMISSIONS, Role

PASSWORD = "imaging-demo-2026"
PARTNER_ID = DEMO_CLIENT
PARTNER_SECRET = "demo-partner-secret-for-play-only"


@dataclass(frozen=True, slots=True)
class Person:
    """One user. `organizations` empty: the whole billing office; `site`: only this one."""

    first: str
    last: str
    role: Role
    organizations: tuple[str, ...] = ()
    site: str = ""

    @property
    def email(self) -> str:
        word = {Role.FRONT_DESK: "frontdesk", Role.AUTHORIZATION: "auth"}.get(
            self.role, self.role.value
        )
        return f"{self.first.lower()}.{word}@{DEMO_DOMAIN}"


PLATFORM = f"pat.platform@{DEMO_DOMAIN}"  # looks after accounts, works in no organization
A, B = ("IMGCTR01",), ("BAYSIDE",)
PEOPLE: tuple[Person, ...] = (
    Person("Ana", "Alder", Role.FRONT_DESK, A, "IMGCTR01-MAIN"),
    Person("Bea", "Birch", Role.FRONT_DESK, A, "IMGCTR01-DALLAS"),
    Person("Cal", "Cedar", Role.FRONT_DESK, A, "IMGCTR01-TAMPA"),
    Person("Dee", "Dogwood", Role.FRONT_DESK, B, "BAYSIDE-SF"),
    Person("Eli", "Elm", Role.FRONT_DESK, B, "BAYSIDE-BK"),
    Person("Ada", "Fir", Role.AUTHORIZATION, A),
    Person("Gus", "Hazel", Role.AUTHORIZATION, B),
    Person("Ivy", "Juniper", Role.AUTHORIZATION),
    Person("Cody", "Larch", Role.CODER),
    Person("Lena", "Linden", Role.CODER),
    Person("Ben", "Maple", Role.BILLER, A),
    Person("Bo", "Myrtle", Role.BILLER, B),
    Person("Nia", "Oak", Role.BILLER),
    Person("Pia", "Pine", Role.POSTER),
    Person("Raj", "Poplar", Role.POSTER),
    Person("Ari", "Rowan", Role.AR),
    Person("Sol", "Spruce", Role.AR),
    Person("Mia", "Sycamore", Role.MANAGER),
    Person("Max", "Tamarack", Role.MANAGER),
    Person("Cleo", "Walnut", Role.COMPLIANCE),
    Person("Adam", "Yew", Role.ADMIN),
)


def people_make(organizations: dict[str, Organization], sites: dict[str, Site]) -> dict[str, User]:
    """Create the users with one demo password; by first name in lower case."""
    password = make_password(PASSWORD)
    users = {
        p.first.lower(): User(
            email=p.email, password=password, first_name=p.first, last_name=p.last
        )
        for p in PEOPLE
    }
    User.objects.bulk_create(users.values())
    User.objects.create(
        email=PLATFORM, password=password, first_name="Pat", last_name="Quince", is_superuser=True
    )
    Membership.objects.bulk_create(
        Membership(
            user=users[p.first.lower()],
            organization=organizations[code],
            site=sites.get(p.site),
            role=p.role,
        )
        for p in PEOPLE
        for code in p.organizations or tuple(organizations)
    )
    return users


def partner_make(organization: Organization) -> Partner:
    """A partner system that may ask for every scope of the API."""
    application = Application.objects.create(
        name="Demo partner",
        client_id=PARTNER_ID,
        client_secret=PARTNER_SECRET,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
    return Partner.objects.create(
        organization=organization,
        name="Demo partner",
        application=application,
        scopes=sorted(SCOPE_PERMISSIONS),
    )


def logins() -> list[str]:
    """One line for each sign-in, for the launcher and the README."""
    width = max(len(p.email) for p in PEOPLE)
    lines = [
        f"{p.email:<{width}} "
        f" {Role(p.role).label}{', ' + (p.site or p.organizations[0]) if p.organizations else ''}"
        for p in PEOPLE
    ]
    return [
        f"Password of all: {PASSWORD}",
        *lines,
        f"{PLATFORM:<{width}}  Platform administrator: accounts and their sign-in",
        f"API client of IMGCTR01: {PARTNER_ID} / {PARTNER_SECRET}",
    ]


def logins_write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(logins()) + "\n")
