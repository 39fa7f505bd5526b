"""What an empty product needs before it can bill, in order; each step is checked from the data."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import available_timezones

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count
from django.urls import reverse

from rcm.accounts.actor import Actor
from rcm.accounts.models import Membership, Organization, Site, User
from rcm.accounts.permissions import Role
from rcm.accounts.problems import Refused
from rcm.audit.services import Step as Told
from rcm.audit.services import record_steps
from rcm.exchange.models import Connection
from rcm.reference.models import Payer, Procedure
from rcm.web.forms import luhn_npi

NEEDED_ROLES = (Role.BILLER, Role.POSTER, Role.MANAGER)


def code_file() -> Path:
    return settings.BASE_DIR / "var" / "setup-code.txt"


def untouched() -> bool:
    """Nobody can sign in yet."""
    return not User.objects.exists()


@transaction.atomic
def begin(
    *,
    code: str,
    organization: Mapping[str, str],
    first_name: str,
    last_name: str,
    email: str,
    password: str,
) -> Organization:
    """The first organization and its first person, who administers and manages. Only while nobody
    can sign in, and only with the code of this machine.
    """
    if not untouched():
        raise Refused("Somebody can sign in already.", code="not_empty", status=409)
    path = code_file()
    known = path.read_text().strip() if path.exists() else ""
    if not known or not hmac.compare_digest(code.strip().encode(), known.encode()):
        raise Refused(
            "That is not the code that was printed when the product started.",
            code="code",
            field="code",
        )
    if not luhn_npi(organization["npi"]):
        raise Refused("The check digit of this NPI does not fit.", code="npi", field="npi")
    user = User(email=email.strip().lower(), first_name=first_name, last_name=last_name)
    try:
        validate_password(password, user)
    except ValidationError as problem:
        raise Refused(" ".join(problem.messages), code="password", field="password") from None
    row = Organization.objects.create(**organization)
    user.set_password(password)
    user.save()
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    for role in (Role.ADMIN, Role.MANAGER):
        Membership.objects.create(user=user, organization=row, role=role)
    path.unlink()
    return row


@transaction.atomic
def site_make(*, organization_id: int, facts: Mapping[str, str], actor: Actor) -> Site:
    """A place where exams are done."""
    if organization_id not in actor.organizations:
        raise Refused("There is no such organization.", code="not_found", status=404)
    actor.require("users.manage", organization_id, entire=True)
    if not luhn_npi(facts["npi"]):
        raise Refused("The check digit of this NPI does not fit.", code="npi", field="npi")
    if facts["time_zone"] not in available_timezones():
        raise Refused("There is no such time zone.", code="time_zone", field="time_zone")
    if Site.objects.filter(code=facts["code"]).exists():
        raise Refused("This code is taken.", code="repeated", field="code")
    site = Site.objects.create(organization_id=organization_id, **facts)
    record_steps([Told(organization_id, "site.made", f"Site {site.name} was entered")], actor=actor)
    return site


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the guide: whether it is done, what was found, where it is done."""

    title: str
    done: bool
    found: str
    url: str
    verb: str


def steps(actor: Actor) -> list[Step]:
    """The guide for the actor's organizations, in order. One query a step."""
    owners = list(Organization.objects.filter(pk__in=actor.organizations))
    sites = list(Site.objects.filter(organization_id__in=actor.organizations))
    places: list[Organization | Site] = [*owners, *sites]
    bad = [s.name for s in places if not luhn_npi(s.npi)]
    payers = Payer.objects.filter(active=True).count()
    roles = dict(
        Membership.objects.filter(organization_id__in=actor.organizations, user__is_active=True)
        .values_list("role")
        .annotate(n=Count("user", distinct=True))
        .order_by()
    )
    missing = [Role(r).label for r in NEEDED_ROLES if not roles.get(r)]
    lines = Connection.objects.visible_to(actor).filter(active=True).count()
    codes = Procedure.objects.count()
    return [
        Step(
            "Organization",
            bool(owners),
            ", ".join(o.name for o in owners),
            "",
            "",
        ),
        Step(
            "Sites",
            bool(sites),
            f"{len(sites)} entered" if sites else "None yet: exams are done somewhere",
            reverse("setup:site"),
            "Enter a site",
        ),
        Step(
            "NPI",
            bool(sites) and not bad,
            f"The check digit does not fit: {', '.join(bad)}" if bad else "Every check digit fits",
            "",
            "",
        ),
        Step(
            "Payers",
            payers > 0,
            f"{payers:,} known",
            reverse("reference:payers"),
            "Look at the payers",
        ),
        Step(
            "Users",
            not missing,
            f"Nobody is yet: {', '.join(missing)}" if missing else "Every needed role has somebody",
            reverse("people:invite"),
            "Invite a person",
        ),
        Step(
            "Connections",
            lines > 0,
            f"{lines:,} active" if lines else "None yet: claims leave and orders come by them",
            reverse("exchange:connections"),
            "Look at the connections",
        ),
        Step(
            "Reference files",
            codes > 0,
            f"{codes:,} procedure codes" if codes else "No code set is loaded",
            reverse("reference:kinds"),
            "Load a file",
        ),
    ]
