"""Verbs on users and partner systems. Every right given or taken is an event of the organization it
concerns (45 CFR 164.308(a)(3)).

An administrator acts on the memberships of their own organizations only; a person who also works
for others is not theirs to disable. Nobody changes their own rights.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from oauth2_provider.models import Application

from rcm.accounts.actor import Actor
from rcm.accounts.models import Membership, Organization, Partner, Site, User
from rcm.accounts.permissions import Role
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps

SECRET_BYTES = 36


def people_of(actor: Actor) -> QuerySet[User]:
    """The users of the actor's organizations, each with `shown_memberships`: those in these
    organizations only.
    """
    own = (
        Membership.objects.filter(organization_id__in=actor.organizations)
        .select_related("organization", "site")
        .order_by("organization__name", "role", "pk")
    )
    ids = own.order_by().values("user_id")
    return User.objects.filter(pk__in=ids).prefetch_related(
        Prefetch("memberships", queryset=own, to_attr="shown_memberships")
    )


def partners_of(actor: Actor) -> QuerySet[Partner]:
    return Partner.objects.filter(organization_id__in=actor.organizations).select_related(
        "organization", "application"
    )


def _tell(organizations: Iterable[int], verb: str, sentence: str, actor: Actor) -> None:
    record_steps(
        [Step(o, verb, f"{sentence} by {actor.name}") for o in sorted(set(organizations))],
        actor=actor,
    )


def _not_oneself(user: User, actor: Actor) -> None:
    if user.pk == actor.user_id:
        raise Refused(
            "Nobody changes their own rights.", code="oneself", fix="Ask another administrator."
        )


def _whole(user: User, actor: Actor) -> set[int]:
    """The organizations a person works for, all of them the actor's; else the person is not the
    actor's to disable.
    """
    organizations = set(user.memberships.values_list("organization_id", flat=True))
    if not organizations <= actor.organizations:
        raise Refused(
            "This person also works for organizations that you do not manage.",
            code="shared_person",
            fix="Take away the roles in your organizations instead.",
        )
    return organizations


def _place(
    organization_id: int, site_id: int | None, actor: Actor
) -> tuple[Organization, Site | None]:
    organization = Organization.objects.filter(
        pk=organization_id, pk__in=actor.organizations
    ).first()
    if organization is None:
        raise Refused("Choose one of your organizations.", code="unknown", field="organization")
    site = None
    if site_id is not None:
        site = Site.objects.filter(pk=site_id, organization=organization).first()
        if site is None:
            raise Refused(f"{organization.name} has no such site.", code="unknown", field="site")
    return organization, site


def _role(role: str) -> Role:
    if role not in Role.values or role == Role.PARTNER:
        raise Refused("Choose a role for a person.", code="unknown", field="role")
    return Role(role)


@transaction.atomic
def user_invite(
    *,
    email: str,
    first_name: str,
    last_name: str,
    organization_id: int,
    role: str,
    actor: Actor,
    site_id: int | None = None,
) -> User:
    """A new user without a password, or a role more for one who is here already. The caller sends
    the link to choose a password.
    """
    actor.require("users.manage")
    organization, site = _place(organization_id, site_id, actor)
    as_role = _role(role)
    email = email.strip().lower()
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(
            email, None, first_name=first_name.strip(), last_name=last_name.strip()
        )
        EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
    _not_oneself(user, actor)
    _grant(user, organization, site, as_role, actor)
    return user


@transaction.atomic
def role_give(
    *, user: User, organization_id: int, role: str, actor: Actor, site_id: int | None = None
) -> Membership:
    """One role more, in one organization or one of its sites."""
    actor.require("users.manage")
    _not_oneself(user, actor)
    organization, site = _place(organization_id, site_id, actor)
    return _grant(user, organization, site, _role(role), actor)


def _grant(
    user: User, organization: Organization, site: Site | None, role: Role, actor: Actor
) -> Membership:
    row, made = Membership.objects.get_or_create(
        user=user, organization=organization, site=site, role=role
    )
    if not made:
        raise Refused("This person has that role already.", code="repeated", field="role")
    where = f" at {site.name}" if site else ""
    _tell(
        [organization.pk],
        "user.role_given",
        f"{user.display_name} became {role.label}{where},",
        actor,
    )
    return row


@transaction.atomic
def role_take(*, membership: Membership, actor: Actor) -> None:
    """Take one role away; it holds from the person's next request."""
    actor.require("users.manage")
    _not_oneself(membership.user, actor)
    if membership.organization_id not in actor.organizations:
        raise Refused("This role is in an organization that you do not manage.", code="unknown")
    label = Role(membership.role).label
    membership.delete()
    _tell(
        [membership.organization_id],
        "user.role_taken",
        f"{membership.user.display_name} is no longer {label},",
        actor,
    )


@transaction.atomic
def user_disable(*, user: User, actor: Actor) -> None:
    """Out on the next request: sign-in closed, sessions ended."""
    actor.require("users.manage")
    _not_oneself(user, actor)
    organizations = _whole(user, actor)
    user.is_active = False
    user.save(update_fields=["is_active"])
    _end_sessions(user)
    _tell(organizations, "user.disabled", f"{user.display_name} was disabled", actor)


@transaction.atomic
def user_enable(*, user: User, actor: Actor) -> None:
    actor.require("users.manage")
    _not_oneself(user, actor)
    organizations = _whole(user, actor)
    user.is_active = True
    user.save(update_fields=["is_active"])
    _tell(organizations, "user.enabled", f"{user.display_name} was enabled", actor)


@transaction.atomic
def sessions_end(*, user: User, actor: Actor) -> int:
    """Sign the person out everywhere. Returns how many sessions ended."""
    actor.require("users.manage")
    organizations = _whole(user, actor)
    ended = _end_sessions(user)
    _tell(organizations, "user.signed_out", f"{user.display_name} was signed out everywhere", actor)
    return ended


def _end_sessions(user: User) -> int:
    rows = list(UserSession.objects.filter(user=user))
    for row in rows:
        row.end()
    return len(rows)


@transaction.atomic
def second_factor_reset(*, user: User, actor: Actor) -> None:
    """For a lost phone: the person signs in with the password alone and sets a second factor up
    again. Sessions end.
    """
    actor.require("users.manage")
    _not_oneself(user, actor)
    organizations = _whole(user, actor)
    Authenticator.objects.filter(user=user).delete()
    _end_sessions(user)
    _tell(
        organizations,
        "user.second_factor_reset",
        f"The second factor of {user.display_name} was taken off",
        actor,
    )


# --- partner systems ------------------------------------------------------------------------------


def _scopes(scopes: Iterable[str]) -> list[str]:
    wanted = sorted(set(scopes))
    if not wanted or not set(wanted) <= set(dict(settings.OAUTH2_PROVIDER)["SCOPES"]):
        raise Refused("Choose what this system may do.", code="unknown", field="scopes")
    return wanted


@transaction.atomic
def partner_make(
    *, organization_id: int, name: str, scopes: Iterable[str], actor: Actor
) -> tuple[Partner, str]:
    """A new client with its secret, which is told once and kept as a hash only."""
    actor.require("users.manage")
    organization, _ = _place(organization_id, None, actor)
    granted, secret = _scopes(scopes), secrets.token_urlsafe(SECRET_BYTES)
    application = Application.objects.create(
        name=name,
        client_secret=secret,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
    row = Partner.objects.create(
        organization=organization, name=name, application=application, scopes=granted
    )
    _tell([organization.pk], "partner.made", f"The partner system {name} was connected", actor)
    return row, secret


@transaction.atomic
def partner_change(
    *,
    partner: Partner,
    actor: Actor,
    scopes: Iterable[str] | None = None,
    active: bool | None = None,
) -> Partner:
    """Other scopes, or closed and open again; both hold from the partner's next call."""
    actor.require("users.manage")
    if scopes is not None:
        partner.scopes = _scopes(scopes)
        _tell(
            [partner.organization_id],
            "partner.scopes",
            f"The partner system {partner.name} may now: {', '.join(partner.scopes)}; changed"[
                :250
            ],
            actor,
        )
    if active is not None and active != partner.active:
        partner.active = active
        _tell(
            [partner.organization_id],
            "partner.opened" if active else "partner.closed",
            f"{partner.name} was {'opened' if active else 'closed'}",
            actor,
        )
    partner.save(update_fields=["scopes", "active"])
    return partner


@transaction.atomic
def partner_secret(*, partner: Partner, actor: Actor) -> str:
    """A new secret; the old one and every token end at once."""
    actor.require("users.manage")
    secret = secrets.token_urlsafe(SECRET_BYTES)
    partner.application.client_secret = secret
    partner.application.save()
    partner.application.accesstoken_set.all().delete()
    _tell(
        [partner.organization_id],
        "partner.secret",
        f"The secret of {partner.name} was renewed",
        actor,
    )
    return secret
