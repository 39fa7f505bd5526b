"""Denials worked: correct and resubmit, appeal with a packet, park, group work, outcomes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from claims import services as claims
from claims.models import Claim
from claims.records import Changes, Correction, Route
from rcm.accounts.actor import Actor, PermissionRefused
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.reference.clock import day_at
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import BulkResult, close_items, item_finish, item_pend
from remittance import deadlines, tables
from remittance.models import (
    DENIAL_MOVES,
    VARIANCE_MOVES,
    Appeal,
    Denial,
    DenialStatus,
    Variance,
    VarianceStatus,
)
from remittance.services.consequences.denials import UNPROCESSABLE, clock_of, items_of
from remittance.services.reference import policy
from remittance.services.responsibility import responsibility_release

ZERO = Decimal("0.00")
LIVE = (
    DenialStatus.OPEN,
    DenialStatus.CORRECTED,
    DenialStatus.APPEALED,
    DenialStatus.PARKED,
    DenialStatus.UPHELD,
    DenialStatus.PARTIAL,
)


def _locked(denial: Denial, version: int | None = None) -> Denial:
    row = (
        Denial.objects.select_for_update(of=("self",))
        .select_related("claim__patient", "claim__site", "line", "payer", "payment__remittance")
        .get(pk=denial.pk)
    )
    if version is not None and version != row.version:
        raise Conflict(
            "Somebody else has worked on this denial in the meantime. Here is the fresh one; look,"
            " then try again."
        )
    return row


def move(
    row: Denial,
    to: str,
    *,
    sentence: str,
    actor: Actor,
    at: datetime,
    reason: str = "",
    **changes: Any,
) -> Denial:
    """Change the status by the table of allowed moves, with the step on the timeline."""
    if to not in DENIAL_MOVES[row.status]:
        raise Refused(
            f"A denial that is “{row.get_status_display().lower()}” cannot become"
            f" “{DenialStatus(to).label.lower()}”.",
            code="not_allowed",
            status=409,
        )
    old = row.status
    if not Denial.objects.filter(pk=row.pk, version=row.version).update(
        status=to, version=F("version") + 1, **changes
    ):
        raise Conflict(
            "Somebody else has worked on this denial in the meantime. Here is the fresh one; look,"
            " then try again."
        )
    record_steps(
        [
            Step(
                row.organization_id,
                f"denial.{to}",
                sentence,
                {"denial_id": row.pk, "claim_id": row.claim_id, "patient_id": row.claim.patient_id},
                old=old,
                new=to,
                reason=reason,
            )
        ],
        actor=actor,
        at=at,
    )
    row.refresh_from_db(fields=["status", "version", *changes])
    return row


@transaction.atomic
def denial_correct(
    *,
    denial: Denial,
    changes: Changes,
    reason: str,
    actor: Actor,
    submit: bool = True,
    version: int | None = None,
    at: datetime | None = None,
) -> Correction:
    """Correct the claim, scrub it and send it, in one flow. Every open denial of the
    claim goes with it.

    What an edit blocks stays with the claim's own items; the denial waits as corrected. MA130 sends
    a new claim; a payer that takes no replacement is reopened by telephone, and nothing is sent
    from here.
    """
    actor.require("denial.work", denial)
    at = at or timezone.now()
    row = _locked(denial, version)
    if DenialStatus.CORRECTED not in DENIAL_MOVES[row.status]:
        raise Refused(
            f"A denial that is “{row.get_status_display().lower()}” cannot be corrected.",
            code="not_allowed",
            status=409,
        )
    correction = claims.claim_correct(
        claim=Claim.objects.get(pk=row.claim_id),
        reason=reason,
        changes=changes,
        unprocessable=UNPROCESSABLE in row.remarks,
        actor=actor,
        at=at,
    )
    together = list(
        Denial.objects.select_for_update(of=("self",))
        .filter(
            claim_id=row.claim_id,
            status__in=[DenialStatus.OPEN, DenialStatus.PARKED, DenialStatus.UPHELD],
        )
        .select_related("claim__patient")
    )
    for d in together:
        move(
            d,
            DenialStatus.CORRECTED,
            sentence=correction.sentence,
            actor=actor,
            at=at,
            reason=reason,
            next_claim_id=correction.claim_id,
            park_reason="",
            review_on=None,
        )
    close_items(
        "denial",
        [d.pk for d in together],
        actor=actor,
        at=at,
        outcome="Corrected",
        queues=["denials"],
    )
    if correction.claim_id is not None and correction.route in (
        Route.REPLACEMENT,
        Route.NEW_CLAIM,
        Route.EDITED,
    ):
        scrubbed = claims.claims_scrub(claim_ids=[correction.claim_id], actor=actor, at=at)
        if submit and scrubbed.ready and actor.can("claim.submit", denial):
            claims.claims_submit(claim_ids=[correction.claim_id], actor=actor, at=at)
    denial.refresh_from_db()
    return correction


@transaction.atomic
def denial_park(
    *,
    denial: Denial,
    reason: str,
    actor: Actor,
    review_on: date | None = None,
    version: int | None = None,
    at: datetime | None = None,
) -> Denial:
    """Not workable now: parked with a reason and looked at again on a day. Its item
    pends until then.
    """
    actor.require("denial.work", denial)
    at = at or timezone.now()
    if not reason.strip():
        raise Refused("Say why it cannot be worked.", field="reason", code="missing")
    row = _locked(denial, version)
    today = day_at(row.claim.site, at)
    review = review_on or today + timedelta(days=policy(row.organization_id, today).review_days)
    limits = [x for x in (row.appeal_by, row.correct_by) if x and x > today]
    if review <= today:
        raise Refused("Enter a review date after today.", field="review_on", code="past")
    if limits and review > min(limits):
        review = min(limits)
    move(
        row,
        DenialStatus.PARKED,
        sentence=f"Parked until {review:%b %-d, %Y}",
        actor=actor,
        at=at,
        reason=reason,
        park_reason=reason[:200],
        review_on=review,
    )
    item = WorkItem.objects.filter(
        subject_type="denial", subject_id=row.pk, status__in=[ItemStatus.OPEN, ItemStatus.PENDED]
    ).first()
    if item is not None:
        item_pend(item=item, actor=actor, until=review, reason=reason, at=at)
    denial.refresh_from_db()
    return row


@transaction.atomic
def denial_reopen(
    *, denial: Denial, reason: str, actor: Actor, at: datetime | None = None
) -> Denial:
    """Back to work: parked, upheld, or resolved by mistake."""
    actor.require("denial.work", denial)
    at = at or timezone.now()
    if not reason.strip():
        raise Refused("Say why it is opened again.", field="reason", code="missing")
    row = _locked(denial)
    move(
        row,
        DenialStatus.OPEN,
        sentence="Opened again",
        actor=actor,
        at=at,
        reason=reason,
        park_reason="",
        review_on=None,
        resolved_on=None,
    )
    close_items(
        "denial",
        [row.pk],
        actor=Actor.system("denials", [row.organization_id]),
        at=at,
        outcome="Opened again",
    )
    items_of([_locked(row)], actor=actor, at=at)
    denial.refresh_from_db()
    return row


@transaction.atomic
def denials_written_off(
    *, denial_ids: Iterable[int], actor: Actor, at: datetime | None = None
) -> int:
    """Told by A/R when a write-off was approved: the denials end, and what waited for them moves
    on. Returns how many ended.
    """
    at = at or timezone.now()
    rows = list(
        Denial.objects.select_for_update(of=("self",))
        .filter(pk__in=list(denial_ids))
        .exclude(
            status__in=[DenialStatus.WRITTEN_OFF, DenialStatus.WITHDRAWN, DenialStatus.OVERTURNED]
        )
        .select_related("claim__patient")
    )
    for row in rows:
        move(
            row,
            DenialStatus.WRITTEN_OFF,
            sentence=f"Written off: ${row.amount:,.2f}",
            actor=actor,
            at=at,
            resolved_on=office_day(at),
        )
    close_items("denial", [r.pk for r in rows], actor=actor, at=at, outcome="Written off")
    responsibility_release(claim_ids={r.claim_id for r in rows}, actor=actor, at=at)
    return len(rows)


@transaction.atomic
def denials_accepted(
    *, denial_ids: Iterable[int], sentence: str, actor: Actor, at: datetime | None = None
) -> int:
    """The denial stands and its balance has moved on (to the patient): it is upheld, its item
    closes, and what waited for it moves on. Returns how many ended.
    """
    at = at or timezone.now()
    rows = list(
        Denial.objects.select_for_update(of=("self",))
        .filter(pk__in=list(denial_ids))
        .select_related("claim__patient")
    )
    for row in rows:
        move(
            row,
            DenialStatus.UPHELD,
            sentence=sentence,
            actor=actor,
            at=at,
            resolved_on=office_day(at),
        )
    close_items("denial", [r.pk for r in rows], actor=actor, at=at, outcome="Accepted")
    responsibility_release(claim_ids={r.claim_id for r in rows}, actor=actor, at=at)
    return len(rows)


def denials_group(
    *, denial_ids: Iterable[int], act: Callable[[Denial], object], actor: Actor
) -> BulkResult:
    """One verb for a group of payer × reason; each is done or named with its reason, none stops the
    others.
    """
    if not actor.can_somewhere("denial.work"):
        raise PermissionRefused("denial.work")
    done, refused = 0, []
    for row in (
        Denial.objects.visible_to(actor.where("denial.work"))
        .filter(pk__in=list(denial_ids))
        .select_related("claim")
    ):
        try:
            with transaction.atomic():
                act(row)
            done += 1
        except Refused as problem:
            refused.append((f"Claim {row.claim.number}", str(problem)))
    return BulkResult(done, refused)


# --- appeals --------------------------------------------------------------------------------------


def next_level(denial: Denial) -> int:
    """The level of the next appeal: one above the highest sent."""
    last = (
        Appeal.objects.filter(denial=denial)
        .order_by("-level")
        .values_list("level", flat=True)
        .first()
    )
    return (last or 0) + 1


def appeal_due(denial: Denial, level: int, decided_on: date) -> date | None:
    """Until when a level can be asked, from the decision before."""
    return deadlines.appeal_due(
        clock_of(denial.payer), decided_on, level=level, amount=denial.amount
    )


def appeal_draft(*, denial: Denial, at: datetime | None = None) -> str:
    """The letter with the facts filled in, for a person to finish."""
    from remittance.letters import letter
    from remittance.services.packets import letter_facts

    return letter(letter_facts(denial, level=next_level(denial), at=at or timezone.now()))


@transaction.atomic
def denial_appeal(
    *,
    denial: Denial,
    actor: Actor,
    letter: str | None = None,
    sent_on: date | None = None,
    version: int | None = None,
    at: datetime | None = None,
) -> Appeal:
    """File the next level of appeal: letter and packet PDF are kept as sent. Refused past the
    deadline or the last level.
    """
    from remittance.services.packets import packet_pdf

    actor.require("denial.work", denial)
    at = at or timezone.now()
    row = _locked(denial, version)
    level = next_level(row)
    day = sent_on or day_at(row.claim.site, at)
    if UNPROCESSABLE in row.remarks:
        raise Refused(
            "The payer could not process this claim (MA130): no appeal is open.",
            code="unprocessable",
            fix="Correct it; it goes out as a new claim.",
            status=409,
        )
    previous = Appeal.objects.filter(denial=row, level=level - 1).first()
    if previous is not None and not previous.outcome:
        raise Refused(
            f"Level {previous.level} has no outcome yet.",
            code="waiting",
            fix="Record its outcome first.",
            status=409,
        )
    decided = previous.outcome_on if previous and previous.outcome_on else row.denied_on
    due = appeal_due(row, level, decided)
    if due is None:
        raise Refused(
            f"{row.payer.name} has no level {level} for this amount.", code="no_level", status=409
        )
    if day > due:
        raise Refused(
            f"The last day to appeal was {due:%b %-d, %Y}.",
            code="too_late",
            field="sent_on",
            status=409,
        )
    text = (letter if letter is not None else appeal_draft(denial=row, at=at)).strip()
    if not text:
        raise Refused("Write the letter.", field="letter", code="missing")
    packet = packet_pdf(row, letter=text, level=level, at=at)
    appeal = Appeal.objects.create(
        organization_id=row.organization_id,
        denial=row,
        level=level,
        letter=text,
        packet=packet,
        packet_sha256=hashlib.sha256(packet).hexdigest(),
        sent_on=day,
        due_on=due,
        actor_name=actor.name,
    )
    if row.status != DenialStatus.APPEALED:
        move(
            row,
            DenialStatus.APPEALED,
            sentence=f"Appealed, level {level}",
            actor=actor,
            at=at,
            resolved_on=None,
            park_reason="",
            review_on=None,
        )
    item = WorkItem.objects.filter(
        subject_type="denial", subject_id=row.pk, status__in=[ItemStatus.OPEN, ItemStatus.PENDED]
    ).first()
    asked = tables.appeal_level(row.payer.kind, level, decided)
    answer = day + timedelta(days=asked.decision_days if asked else 0)
    if item is not None:
        if answer > day_at(row.claim.site, at):
            item_pend(
                item=item,
                actor=actor,
                until=answer,
                reason=f"Appeal level {level} sent {day:%b %-d}",
                at=at,
            )
        else:
            item_finish(item=item, actor=actor, outcome=f"Appeal level {level} sent", at=at)
    denial.refresh_from_db()
    return appeal


@transaction.atomic
def appeal_outcome(
    *,
    appeal: Appeal,
    outcome: str,
    actor: Actor,
    recovered: Decimal = ZERO,
    on: date | None = None,
    at: datetime | None = None,
) -> Appeal:
    """What the payer decided: overturned, partial or upheld. The money itself comes by a
    remittance; `recovered` is what it promised.
    """
    actor.require("denial.work", appeal)
    at = at or timezone.now()
    if outcome not in (DenialStatus.OVERTURNED, DenialStatus.PARTIAL, DenialStatus.UPHELD):
        raise Refused(
            "Choose overturned, partly overturned or upheld.", field="outcome", code="unknown"
        )
    if recovered < 0:
        raise Refused(
            "The recovered amount cannot be negative.", field="recovered", code="negative"
        )
    row = Appeal.objects.select_for_update().get(pk=appeal.pk)
    if row.outcome:
        raise Refused("This level has its outcome already.", code="decided", status=409)
    day = on or office_day(at)
    row.outcome, row.outcome_on, row.recovered = outcome, day, recovered
    row.save(update_fields=["outcome", "outcome_on", "recovered"])
    denial = _locked(row.denial)
    if outcome == DenialStatus.UPHELD:
        move(
            denial,
            DenialStatus.UPHELD,
            sentence=f"Level {row.level} upheld",
            actor=actor,
            at=at,
            resolved_on=day,
            appeal_by=appeal_due(denial, row.level + 1, day),
        )
        items_of([_locked(denial)], actor=actor, at=at)
    else:
        # the claim is open until the money comes: its payment closes the denial with the dollars
        record_steps(
            [
                Step(
                    denial.organization_id,
                    "denial.decided",
                    f"Level {row.level} {DenialStatus(outcome).label.lower()}: ${recovered:,.2f}"
                    " promised",
                    {
                        "denial_id": denial.pk,
                        "claim_id": denial.claim_id,
                        "patient_id": denial.claim.patient_id,
                    },
                )
            ],
            actor=actor,
            at=at,
        )
    return row


# --- underpayments --------------------------------------------------------------------------------


def _variance(
    variance: Variance,
    to: str,
    *,
    sentence: str,
    note: str,
    actor: Actor,
    at: datetime,
    **changes: Any,
) -> Variance:
    actor.require("denial.work", variance)
    row = Variance.objects.select_for_update().get(pk=variance.pk)
    if to not in VARIANCE_MOVES[row.status]:
        raise Refused(
            f"A case that is “{row.get_status_display().lower()}” cannot become"
            f" “{VarianceStatus(to).label.lower()}”.",
            code="not_allowed",
            status=409,
        )
    if not note.strip():
        raise Refused("Say why, in a few words.", field="note", code="missing")
    old = row.status
    Variance.objects.filter(pk=row.pk).update(
        status=to, note=note[:300], version=F("version") + 1, **changes
    )
    record_steps(
        [
            Step(
                row.organization_id,
                f"variance.{to}",
                sentence,
                {"claim_id": row.claim_id},
                old=old,
                new=to,
                reason=note,
            )
        ],
        actor=actor,
        at=at,
    )
    if to in (VarianceStatus.RECOVERED, VarianceStatus.ACCEPTED):
        close_items("variance", [row.pk], actor=actor, at=at, outcome=VarianceStatus(to).label)
    variance.refresh_from_db()
    return variance


@transaction.atomic
def variance_dispute(
    *, variance: Variance, note: str, actor: Actor, at: datetime | None = None
) -> Variance:
    """Tell the payer that it paid below the contract."""
    return _variance(
        variance,
        VarianceStatus.DISPUTED,
        sentence=f"Underpayment of ${-variance.difference:,.2f} disputed",
        note=note,
        actor=actor,
        at=at or timezone.now(),
    )


@transaction.atomic
def variance_accept(
    *, variance: Variance, note: str, actor: Actor, at: datetime | None = None
) -> Variance:
    """The payer was right: the reason is kept."""
    at = at or timezone.now()
    return _variance(
        variance,
        VarianceStatus.ACCEPTED,
        sentence="Difference accepted",
        note=note,
        actor=actor,
        at=at,
        resolved_on=office_day(at),
    )


@transaction.atomic
def variance_recovered(
    *, variance: Variance, amount: Decimal, note: str, actor: Actor, at: datetime | None = None
) -> Variance:
    """The payer paid the difference, or part of it."""
    at = at or timezone.now()
    if amount <= 0:
        raise Refused("Enter what was recovered.", field="amount", code="missing")
    return _variance(
        variance,
        VarianceStatus.RECOVERED,
        sentence=f"${amount:,.2f} recovered",
        note=note,
        actor=actor,
        at=at,
        recovered=amount,
        resolved_on=office_day(at),
    )


def appeals_of(denials: Sequence[Denial]) -> dict[int, list[Appeal]]:
    """Appeals by denial, lowest level first, without their packets."""
    found: dict[int, list[Appeal]] = {}
    for row in Appeal.objects.filter(denial__in=denials).defer("packet").order_by("level"):
        found.setdefault(row.denial_id, []).append(row)
    return found
