"""Verbs on users and partner systems. Every right given or taken is an event of the organization it
concerns (45 CFR 164.308(a)(3)).

An administrator invites, and changes the memberships of the own organization. The account, its
sign-in and its other memberships belong to the person; platform administrators, who work in no
organization by that, look after accounts (`rcm.people.platform`). Nobody changes their own rights.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from oauth2_provider.models import Application

from rcm.accounts.actor import Actor
from rcm.accounts.models import (
    Invitation,
    InvitationStatus,
    Membership,
    Organization,
    Partner,
    Site,
    User,
)
from rcm.accounts.permissions import Role
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.audit.services import Step, record_steps

INVITATION_LIFE = timedelta(days=14)
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


def invitations_of(actor: Actor) -> QuerySet[Invitation]:
    """What the actor's organizations offered, the newest first."""
    return Invitation.objects.filter(organization_id__in=actor.organizations).select_related(
        "organization", "site"
    )


def invitations_for(user_id: int, *, at: datetime | None = None) -> QuerySet[Invitation]:
    """What waits for this person's answer."""
    return Invitation.objects.filter(
        user_id=user_id,
        status=InvitationStatus.WAITING,
        expires_at__gt=at or timezone.now(),
        organization__active=True,
    ).select_related("organization", "site")


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
    at: datetime | None = None,
) -> Invitation:
    """Offer a role to whoever owns an address. It holds once that person accepts it.

    An unknown address gets an account without a password; the caller sends the letter. Nothing in
    the answer tells whether the address was known. Raises Refused when the person works in the
    organization already or the offer stands.
    """
    actor.require("users.manage", organization_id, entire=True)
    organization, site = _place(organization_id, site_id, actor)
    as_role = _role(role)
    at = at or timezone.now()
    email = email.strip().lower()
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(
            email, None, first_name=first_name.strip(), last_name=last_name.strip()
        )
        EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
    _not_oneself(user, actor)
    if user.memberships.filter(organization=organization).exists():
        raise Refused(
            f"This person works for {organization.name} already.",
            code="repeated",
            field="email",
            fix="Give the role on their page.",
        )
    offers = Invitation.objects.filter(user=user, organization=organization, site=site, role=role)
    offers.filter(status=InvitationStatus.WAITING, expires_at__lte=at).update(
        status=InvitationStatus.WITHDRAWN, decided_at=at
    )
    if offers.filter(status=InvitationStatus.WAITING).exists():
        raise Refused(
            "This invitation is waiting for an answer already.", code="repeated", field="email"
        )
    row = Invitation.objects.create(
        organization=organization,
        site=site,
        role=as_role,
        email=email,
        first_name=first_name.strip(),
        last_name=last_name.strip(),
        user=user,
        invited_by=actor.name,
        expires_at=at + INVITATION_LIFE,
    )
    _tell(
        [organization.pk],
        "user.invited",
        f"{row.name} was invited as {as_role.label}{_at_site(site)}",
        actor,
    )
    return row


@transaction.atomic
def invitation_answer(
    *, invitation: Invitation, accept: bool, actor: Actor, at: datetime | None = None
) -> Membership | None:
    """The person's own yes or no. A yes makes the membership. Nobody answers for another."""
    at = at or timezone.now()
    rows = invitations_for(actor.user_id or 0, at=at).select_for_update(of=("self",))
    row = rows.filter(pk=invitation.pk).first()
    if row is None:
        raise Refused("This invitation is not open any more.", code="not_open", status=404)
    row.status = InvitationStatus.ACCEPTED if accept else InvitationStatus.DECLINED
    row.decided_at = at
    row.save(update_fields=["status", "decided_at"])
    label = Role(row.role).label + _at_site(row.site)
    there = replace(actor, organizations=frozenset({row.organization_id}))
    with scope(there):
        if not accept:
            _tell(
                [row.organization_id],
                "user.declined",
                f"{row.name} declined to become {label},",
                there,
            )
            return None
        membership, _ = Membership.objects.get_or_create(
            user_id=row.user_id, organization_id=row.organization_id, site=row.site, role=row.role
        )
        _tell(
            [row.organization_id],
            "user.role_given",
            f"{row.name} became {label}, invited by {row.invited_by} and accepted",
            there,
        )
    return membership


@transaction.atomic
def invitation_withdraw(
    *, invitation: Invitation, actor: Actor, at: datetime | None = None
) -> None:
    actor.require("users.manage", invitation, entire=True)
    changed = Invitation.objects.filter(pk=invitation.pk, status=InvitationStatus.WAITING).update(
        status=InvitationStatus.WITHDRAWN, decided_at=at or timezone.now()
    )
    if not changed:
        raise Refused("This invitation was answered meanwhile.", code="decided", status=409)
    _tell(
        [invitation.organization_id],
        "user.withdrawn",
        f"The invitation of {invitation.name} was withdrawn",
        actor,
    )


def _at_site(site: Site | None) -> str:
    return f" at {site.name}" if site else ""


@transaction.atomic
def role_give(
    *, user: User, organization_id: int, role: str, actor: Actor, site_id: int | None = None
) -> Membership:
    """One role more for a person who works in the organization already; others are invited."""
    actor.require("users.manage", organization_id, entire=True)
    _not_oneself(user, actor)
    organization, site = _place(organization_id, site_id, actor)
    if not user.memberships.filter(organization=organization).exists():
        raise Refused(
            f"This person does not work for {organization.name}.",
            code="not_member",
            field="organization",
            fix="Invite them.",
        )
    return _grant(user, organization, site, _role(role), actor)


def _grant(
    user: User, organization: Organization, site: Site | None, role: Role, actor: Actor
) -> Membership:
    row, made = Membership.objects.get_or_create(
        user=user, organization=organization, site=site, role=role
    )
    if not made:
        raise Refused("This person has that role already.", code="repeated", field="role")
    _tell(
        [organization.pk],
        "user.role_given",
        f"{user.display_name} became {role.label}{_at_site(site)},",
        actor,
    )
    return row


@transaction.atomic
def role_take(*, membership: Membership, actor: Actor) -> None:
    """Take one role away; it holds from the person's next request."""
    if membership.organization_id not in actor.organizations:
        raise Refused("This role is in an organization that you do not manage.", code="unknown")
    actor.require("users.manage", membership, entire=True)
    _not_oneself(membership.user, actor)
    label = Role(membership.role).label
    membership.delete()
    _tell(
        [membership.organization_id],
        "user.role_taken",
        f"{membership.user.display_name} is no longer {label},",
        actor,
    )


# --- partner systems ------------------------------------------------------------------------------


@transaction.atomic
def factor_roles_set(
    *, organization: Organization, roles: Iterable[str], actor: Actor
) -> Organization:
    """Say which roles of an organization give rights only with a second factor. Who has none
    cannot ask it of a role of their own.
    """
    actor.require("users.manage", organization.pk, entire=True)
    wanted = sorted({_role(role).value for role in roles})
    person = User.objects.get(pk=actor.user_id or 0)
    own = person.memberships.filter(organization=organization)
    if not person.has_factor() and own.filter(role__in=wanted).exists():
        raise Refused(
            "You have no second factor yourself and would shut yourself out.",
            code="own_factor",
            field="roles",
            fix="Set one up under Sign-in and security first.",
        )
    if wanted == organization.factor_roles:
        return organization
    organization.factor_roles = wanted
    organization.save(update_fields=["factor_roles"])
    names = ", ".join(Role(role).label for role in wanted) or "nobody"
    _tell([organization.pk], "factor.asked", f"A second factor is asked of: {names}", actor)
    return organization


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
    actor.require("users.manage", organization_id, entire=True)
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
    actor.require("users.manage", partner, entire=True)
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
    actor.require("users.manage", partner, entire=True)
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
