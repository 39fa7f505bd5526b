"""Clocks, expiry, merged charts, and performed exams that do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from authorizations.loading import Matched
from authorizations.models import (
    GRANTED,
    Authorization,
    AuthStatus,
)
from authorizations.services.gates import UPDATE, authorizations_review
from authorizations.services.records import AUTHORIZATIONS
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.exchange.transitions import advance
from rcm.pricing.services import list_prices
from rcm.reference.clock import Clocks, day_at
from rcm.reference.models import Payer
from rcm.worklist.services import ItemSpec, close_items, open_items

ZERO = Decimal("0.00")


@transaction.atomic
def update_needed(
    *,
    matched: Mapping[int, Matched],
    actor: Actor,
    dollars: Mapping[int, Decimal] | None = None,
    at: datetime | None = None,
) -> int:
    """The charge phase found performed ≠ authorized: one same-day item for each exam, with that
    payer's window.

    `matched` is by exam id, as `match_exams` answered; `dollars` is what each exam is expected to
    bring, which is what the window's end would cost. Exams that pass now close their item.
    Returns the number of items opened.
    """
    at = at or timezone.now()
    worth = _worth(matched, dollars or {})
    specs, fine = [], []
    clocks = Clocks()
    for exam_id, m in matched.items():
        first = m.result.first
        if m.result.passes or first is None:
            fine.append(exam_id)
            continue
        payer: Payer | None = m.coverage.payer if m.coverage else None
        clock = clocks.of(m.ask.site)
        specs.append(
            ItemSpec(
                organization_id=m.ask.site.organization_id,
                queue=UPDATE,
                subject_type="exam_authorization",
                subject_id=exam_id,
                cause=first.code,
                title=first.sentence[:200],
                fix=first.action[:200],
                due_at=clock.ends(clock.today(at)),
                deadline_on=first.due,
                dollars=worth[exam_id],
                site_id=m.ask.site.pk,
                patient_id=m.ask.patient_id,
                patient_name=m.ask.ordered.patient.name if m.ask.ordered else "",
                exam_id=exam_id,
                payer_id=payer.pk if payer else None,
                payer_name=payer.name if payer else "",
                facts={
                    "codes": m.ask.performed_code,
                    "number": m.authorization.number if m.authorization else "",
                    "window": first.due_words,
                },
            )
        )
    opened = open_items(specs, actor=actor, at=at)
    close_items(
        "exam_authorization",
        fine,
        actor=actor,
        at=at,
        outcome="Authorization matches",
        queues=[UPDATE],
    )
    return opened


def _worth(matched: Mapping[int, Matched], expected: Mapping[int, Decimal]) -> dict[int, Decimal]:
    """What each exam is expected to bring, else its list price."""
    found = {pk: expected.get(pk) or ZERO for pk in matched}
    bare: dict[tuple[int, date], list[int]] = {}
    for pk, amount in found.items():
        if not amount:
            ask = matched[pk].ask
            bare.setdefault((ask.site.organization_id, ask.day), []).append(pk)
    for (organization_id, day), ids in bare.items():
        codes = {matched[pk].ask.performed_code for pk in ids}
        prices = list_prices(organization_id=organization_id, codes=codes, on=day)
        for pk in ids:
            found[pk] = prices.get((matched[pk].ask.performed_code, ""), ZERO)
    return found


@transaction.atomic
def expiry_guard(*, actor: Actor, at: datetime | None = None) -> int:
    """Close records whose last day has passed, and review what ends before its visit. Returns how
    many expired.
    """
    at = at or timezone.now()
    ended = list(
        Authorization.objects.filter(
            organization_id__in=actor.organizations,
            status__in=GRANTED,
            effective_to__lte=office_day(at),
        )
        .select_related("site")
        .order_by("id")[:2000]
    )
    gone = [r for r in ended if r.effective_to and r.effective_to < day_at(r.site, at)]
    advance(
        AUTHORIZATIONS,
        gone,
        AuthStatus.EXPIRED,
        sentence=lambda row: f"Ended {row.effective_to:%b %-d}",
        actor=actor,
        at=at,
    )
    authorizations_review(authorization_ids=[r.pk for r in gone], actor=actor, at=at)
    return len(gone)


@transaction.atomic
def reminders(*, actor: Actor, at: datetime | None = None, days: int = 14) -> int:
    """Review every open record of the days ahead, so that clocks that ran out move gates and items.
    Returns how many visits were looked at.
    """
    at = at or timezone.now()
    rows = Authorization.objects.filter(
        organization_id__in=actor.organizations,
        status__in=[AuthStatus.DRAFT, AuthStatus.REQUESTED, AuthStatus.PENDED, AuthStatus.DENIED],
    )
    rows = rows.filter(
        Q(
            appointment__starts_at__gte=at - timedelta(days=1),
            appointment__starts_at__lt=at + timedelta(days=days),
        )
        | Q(appointment__isnull=True)
    )
    ids = list(rows.values_list("id", flat=True))
    for start in range(0, len(ids), 500):
        authorizations_review(authorization_ids=ids[start : start + 500], actor=actor, at=at)
    return len(ids)
