"""What platform administrators do: look after accounts, which belong to no organization.

Being one gives no right on any organization's rows. Each act says why, stays in a table that is
never changed (`PlatformAct`), and is told on the timeline of every organization where the person
works, because each of them must know who opened or shut one of its people's accounts.
"""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.core.exceptions import PermissionDenied
from django.db import transaction

from rcm.accounts.actor import Actor
from rcm.accounts.models import PlatformAct, User
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.audit.services import Step, record_steps


def require_platform(by: User) -> None:
    if not by.is_platform_administrator:
        raise PermissionDenied


def _reason(reason: str) -> str:
    if len(reason.strip()) < 5:
        raise Refused("Say why.", code="missing", field="reason")
    return reason.strip()[:250]


def _not_oneself(account: User, by: User) -> None:
    if account.pk == by.pk:
        raise Refused(
            "Nobody does this to their own account.",
            code="oneself",
            fix="Ask another platform administrator.",
        )


def _keep(account: User, by: User | None, *, verb: str, sentence: str, reason: str) -> PlatformAct:
    name = by.display_name if by else "the operators"
    row = PlatformAct.objects.create(
        by=by, by_name=name, verb=verb, account=account, sentence=sentence, reason=reason
    )
    organizations = frozenset(account.memberships.values_list("organization_id", flat=True))
    if not organizations:
        return row
    teller = Actor(
        name=f"{name} (platform)",
        kind="person",
        organizations=organizations,
        user_id=by.pk if by else None,
    )
    with scope(teller):
        steps = [Step(o, verb, sentence, reason=reason) for o in sorted(organizations)]
        record_steps(steps, actor=teller)
    return row


@transaction.atomic
def account_disable(*, account: User, by: User, reason: str) -> None:
    """Out on the next request, everywhere: sign-in closed, sessions ended."""
    require_platform(by)
    _not_oneself(account, by)
    why = _reason(reason)
    account.is_active = False
    account.save(update_fields=["is_active"])
    _end_sessions(account)
    sentence = f"The account of {account.display_name} was disabled"
    _keep(account, by, verb="account.disabled", sentence=sentence, reason=why)


@transaction.atomic
def account_enable(*, account: User, by: User, reason: str) -> None:
    require_platform(by)
    _not_oneself(account, by)
    why = _reason(reason)
    account.is_active = True
    account.save(update_fields=["is_active"])
    sentence = f"The account of {account.display_name} was enabled"
    _keep(account, by, verb="account.enabled", sentence=sentence, reason=why)


@transaction.atomic
def account_sign_out(*, account: User, by: User, reason: str) -> int:
    """End every session of the account. Returns how many ended."""
    require_platform(by)
    why = _reason(reason)
    ended = _end_sessions(account)
    sentence = f"{account.display_name} was signed out everywhere"
    _keep(account, by, verb="account.signed_out", sentence=sentence, reason=why)
    return ended


@transaction.atomic
def second_factor_reset(*, account: User, by: User, reason: str) -> None:
    """For a lost phone: the person signs in with the password alone and sets a second factor up
    again. Sessions end.
    """
    require_platform(by)
    _not_oneself(account, by)
    why = _reason(reason)
    Authenticator.objects.filter(user=account).delete()
    _end_sessions(account)
    sentence = f"The second factor of {account.display_name} was taken off"
    _keep(account, by, verb="account.second_factor_reset", sentence=sentence, reason=why)


@transaction.atomic
def platform_role_set(*, account: User, on: bool, reason: str) -> None:
    """Make or unmake a platform administrator: by the operators' command alone."""
    why = _reason(reason)
    account.is_superuser = on
    account.save(update_fields=["is_superuser"])
    if not on:
        _end_sessions(account)
    became = "became" if on else "is no longer"
    sentence = f"{account.display_name} {became} platform administrator"
    _keep(account, None, verb="account.platform", sentence=sentence, reason=why)


def _end_sessions(account: User) -> int:
    rows = list(UserSession.objects.filter(user=account))
    for row in rows:
        row.end()
    return len(rows)
