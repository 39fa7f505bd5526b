"""Charges leave, and come back corrected: release by evidence, the ledger once, the events that
claims follow (rule `release`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from charges.models import CHARGE_MOVES, EXAM_MOVES, Charge, ChargeStatus, Exam, ExamStatus, Report
from charges.services.recording import keys_of
from charges.services.succession import money_follows
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.outbox import publish_many
from rcm.ledger.models import LedgerTransaction
from rcm.ledger.services import Account, Leg, Posting, post, reverse
from rcm.reference.clock import day_at
from rcm.reference.models import PayerKind
from rcm.worklist.services import close_items

RELEASED, CHANGED = "charges.released", "charges.changed"
OFF_CLAIM = "exam_claim"
"""Subject of the item about an exam whose released charges stand on no claim (queue of claims)."""
EVENT_SIZE = 100
LIVE = (ChargeStatus.RELEASED, ChargeStatus.BILLED, ChargeStatus.SELF_PAY)
_FROM = (ExamStatus.FINAL, ExamStatus.CODED, ExamStatus.PERFORMED)


def exam_moves(exam: Exam, to: str) -> None:
    """Move an exam in memory, by the table of allowed moves."""
    if to == exam.status:
        return
    if to not in EXAM_MOVES[exam.status]:
        raise Refused(
            f"An exam that is {exam.get_status_display().lower()} cannot become"
            f" {ExamStatus(to).label.lower()}.",
            code="not_allowed",
            status=409,
        )
    exam.status = to


def exam_locked(exam: Exam, version: int | None = None) -> Exam:
    """The exam, locked; Conflict when it is another version than the caller saw."""
    row = (
        Exam.objects.select_for_update(of=("self",))
        .select_related("site", "patient", "coverage__payer")
        .get(pk=exam.pk)
    )
    if version is not None and row.version != version:
        raise Conflict(
            "Somebody else has changed this exam in the meantime. Here is the fresh one; look, then"
            " try again."
        )
    return row


@transaction.atomic
def charges_release(
    *, exam_ids: Iterable[int], actor: Actor, at: datetime | None = None
) -> list[int]:
    """Release the held charges of exams that nothing stops; returns the ids of the charges released
    now.

    Twice is once. Needs `charge.review`. Exams with holds are passed over; for a single exam its
    first hold refuses.
    """
    at = at or timezone.now()
    ids = sorted(set(exam_ids))
    actor.require(
        "charge.review", Exam.objects.filter(pk__in=ids).only("organization_id", "site_id")
    )
    if len(ids) == 1:
        held = (
            Exam.objects.filter(pk=ids[0])
            .exclude(holds=[])
            .exclude(status=ExamStatus.RELEASED)
            .first()
        )
        if held is not None:
            first = held.holds[0]
            raise Refused(
                first["sentence"],
                code=first["code"],
                field=first["field"],
                fix=first["fix"],
                status=409,
            )
    return release_clean(ids, actor=actor, at=at)


@transaction.atomic
def release_clean(exam_ids: Sequence[int], *, actor: Actor, at: datetime) -> list[int]:
    """Release what stands without a hold. Set-based; the row locks of the exams make the second of
    two callers find nothing left.
    """
    if not exam_ids:
        return []
    rows = Exam.objects.select_for_update(of=("self",)).filter(
        pk__in=list(exam_ids), holds=[], status__in=_FROM
    )
    exams = {e.pk: e for e in rows.select_related("site", "coverage__payer").order_by("pk")}
    charges = list(
        Charge.objects.filter(exam_id__in=exams, status=ChargeStatus.HELD).order_by("id")
    )
    by_exam: dict[int, list[Charge]] = defaultdict(list)
    for charge in charges:
        charge.exam = exams[charge.exam_id]
        by_exam[charge.exam_id].append(charge)
    done = [exams[pk] for pk in sorted(by_exam)]
    if not done:
        return []
    _let_go(charges, at=at)
    _post(charges, actor=actor, at=at)
    olds = {e.pk: e.status for e in done}
    Exam.objects.filter(pk__in=olds).update(status=ExamStatus.RELEASED, version=F("version") + 1)
    record_steps(
        (
            Step(
                e.organization_id,
                RELEASED,
                f"Released {_words(by_exam[e.pk])}",
                keys_of(e),
                old=olds[e.pk],
                new=ExamStatus.RELEASED,
                data={
                    "charges": [c.pk for c in by_exam[e.pk]],
                    "amount": str(sum((c.amount for c in by_exam[e.pk]), Decimal(0))),
                },
            )
            for e in done
        ),
        actor=actor,
        at=at,
    )
    _publish_released(done, by_exam, at=at)
    close_items("exam", olds, actor=actor, at=at, causes=["READY_TO_RELEASE"], outcome="Released")
    return [c.pk for c in charges]


def _let_go(charges: Sequence[Charge], *, at: datetime) -> None:
    for status in (ChargeStatus.RELEASED, ChargeStatus.SELF_PAY):
        mine = [c for c in charges if _status_of(c) == status]
        assert all(status in CHARGE_MOVES[c.status] for c in mine)
        Charge.objects.filter(pk__in=[c.pk for c in mine], status=ChargeStatus.HELD).update(
            status=status, released_at=at
        )
        for charge in mine:
            charge.status, charge.released_at = status, at


def _status_of(charge: Charge) -> ChargeStatus:
    coverage = charge.exam.coverage
    return (
        ChargeStatus.SELF_PAY
        if coverage is None or coverage.payer.kind == PayerKind.SELF_PAY
        else ChargeStatus.RELEASED
    )


def effect_key(charge: Charge) -> str:
    """The ledger's key of a charge: it is posted once, whoever releases it."""
    return f"charge:{charge.public_id}"


def _post(charges: Iterable[Charge], *, actor: Actor, at: datetime) -> None:
    """Gross charge on the day of release: receivable from the payer, or from the patient when
    nobody else is asked.
    """
    postings = []
    for charge in charges:
        exam = charge.exam
        account = (
            Account.AR_PATIENT
            if _status_of(charge) == ChargeStatus.SELF_PAY
            else Account.AR_INSURANCE
        )
        payer = exam.coverage.payer_id if exam.coverage else None
        keys: dict[str, Any] = {
            "charge_id": charge.pk,
            "patient_id": charge.patient_id,
            "payer_id": payer,
        }
        postings.append(
            Posting(
                organization_id=charge.organization_id,
                kind="charge",
                effect_key=effect_key(charge),
                effective_on=day_at(exam.site, at),
                description=(
                    f"{charge.code}{'-' + charge.component if charge.component else ''} of"
                    f" {exam.accession}"
                ),
                legs=(
                    Leg(account, charge.amount, **keys),
                    Leg(Account.REVENUE, -charge.amount, **keys),
                ),
                source_type="charge",
                source_id=charge.pk,
            )
        )
    post(postings, actor=actor)


def _words(charges: Iterable[Charge]) -> str:
    parts = []
    for c in charges:
        name = "-".join([c.code, *c.modifiers])
        parts.append(name if c.units == 1 else f"{name} × {c.units.normalize():f}")
    return ", ".join(parts)


def _publish_released(
    exams: Sequence[Exam], by_exam: dict[int, list[Charge]], *, at: datetime
) -> None:
    organizations: dict[int, list[Exam]] = defaultdict(list)
    for exam in exams:
        organizations[exam.organization_id].append(exam)
    for organization_id, mine in organizations.items():
        payloads = []
        for start in range(0, len(mine), EVENT_SIZE):
            part = mine[start : start + EVENT_SIZE]
            rows = [c for e in part for c in by_exam[e.pk]]
            payloads.append(
                {
                    "exam_ids": [e.pk for e in part],
                    "charge_ids": [c.pk for c in rows if c.status == ChargeStatus.RELEASED],
                }
            )
        publish_many(RELEASED, organization_id=organization_id, payloads=payloads, due_at=at)


# --- after release --------------------------------------------------------------------------------


def claim_print(charge: Charge) -> tuple[Any, ...]:
    """What a payer would see differ: the rest of a charge may be corrected in place."""
    return (
        charge.code,
        charge.component,
        tuple(charge.modifiers),
        charge.units,
        charge.service_date,
        tuple(charge.diagnoses),
        charge.rendering_npi,
    )


@transaction.atomic
def replace_released(
    exams: Sequence[tuple[Exam, Sequence[Charge], Sequence[Charge], str]],
    *,
    actor: Actor,
    at: datetime,
) -> int:
    """Bring released exams to what is right now: (exam, charges that stand, charges as they should
    be, why nothing is billed).

    What differs is void with a counter-entry in the ledger, what is new is released with its own
    posting, and "charges.changed" tells claims to correct (frequency 7) or void (8). Returns how
    many exams changed. The same comparison again changes nothing.
    """
    pairs: list[tuple[Exam, list[Charge], list[Charge], str]] = []
    for exam, standing, wanted, no_bill in exams:
        left = [c for c in standing if c.status in LIVE]
        new = []
        for row in wanted:
            same = next((c for c in left if claim_print(c) == claim_print(row)), None)
            if same is not None:
                left.remove(same)
            else:
                new.append(row)
        if left or new:
            pairs.append((exam, left, new, no_bill))
    if not pairs:
        return 0
    everything_old = [c for _, old, _, _ in pairs for c in old]
    _void(everything_old, reason="corrected after release", actor=actor, at=at)
    fresh: list[Charge] = []
    for exam, old, new, _ in pairs:
        for row in new:
            row.exam = exam
            row.status, row.released_at = _status_of(row), at
            row.replaces = next((c for c in old if c.code == row.code), old[0] if old else None)
            fresh.append(row)
    Charge.objects.bulk_create(fresh)
    _post(fresh, actor=actor, at=at)
    gone: dict[int, list[int]] = defaultdict(list)
    for charge in everything_old:
        gone[charge.organization_id].append(charge.pk)
    for organization_id, ids in gone.items():
        money_follows(organization_id=organization_id, charge_ids=ids, actor=actor, at=at)
    corrected = set(
        Report.objects.filter(exam__in=[e for e, _, _, _ in pairs], status="C").values_list(
            "exam_id", flat=True
        )
    )
    steps, payloads = [], defaultdict(list)
    for exam, old, new, no_bill in pairs:
        reason = (
            "late_charge" if not old else "corrected_report" if exam.pk in corrected else "changed"
        )
        words = f"Changed after release: {_words(old) or 'nothing'} to {_words(new) or 'nothing'}"
        steps.append(
            Step(
                exam.organization_id,
                CHANGED,
                words,
                keys_of(exam),
                reason=reason,
                data={"old": [c.pk for c in old], "new": [c.pk for c in new]},
            )
        )
        payloads[exam.organization_id].append(
            {
                "exam_id": exam.pk,
                "old": [c.pk for c in old],
                "new": [c.pk for c in new if c.status == ChargeStatus.RELEASED],
                "reason": reason,
            }
        )
        if no_bill:
            Exam.objects.filter(pk=exam.pk).update(
                status=ExamStatus.NO_BILL,
                no_bill_reason=no_bill[:200],
                no_bill_by="system",
                version=F("version") + 1,
            )
    record_steps(steps, actor=actor, at=at)
    for organization_id, rows in payloads.items():
        publish_many(CHANGED, organization_id=organization_id, payloads=rows, due_at=at)
    return len(pairs)


def _void(charges: Sequence[Charge], *, reason: str, actor: Actor, at: datetime) -> None:
    """Void charges and mirror their postings."""
    if not charges:
        return
    Charge.objects.filter(pk__in=[c.pk for c in charges]).update(status=ChargeStatus.VOID)
    organization_ids = {c.organization_id for c in charges}
    originals = LedgerTransaction.objects.filter(
        organization_id__in=organization_ids, effect_key__in=[effect_key(c) for c in charges]
    )
    reverse(originals, effective_on=office_day(at), reason=reason, actor=actor)
    for charge in charges:
        charge.status = ChargeStatus.VOID
    exams = {c.exam_id for c in charges}
    loose = Charge.objects.filter(exam_id__in=exams, status=ChargeStatus.RELEASED)
    settled = exams - set(loose.values_list("exam_id", flat=True))
    close_items(OFF_CLAIM, settled, actor=actor, at=at, outcome="Nothing is left to bill")


@transaction.atomic
def withdraw(
    exams: Sequence[Exam], *, reason: str, actor: Actor, at: datetime, to: str = ExamStatus.FINAL
) -> int:
    """Void everything released of exams whose ground is gone (report withdrawn, no-bill after
    release); claims void theirs (frequency 8).
    """
    if not exams:
        return 0
    rows = {e.pk: e for e in exams}
    charges: dict[int, list[Charge]] = defaultdict(list)
    for charge in (
        Charge.objects.select_for_update().filter(exam_id__in=rows, status__in=LIVE).order_by("id")
    ):
        charges[charge.exam_id].append(charge)
    _void(
        [c for found in charges.values() for c in found],
        reason=reason.replace("_", " "),
        actor=actor,
        at=at,
    )
    Exam.objects.filter(pk__in=rows).update(status=to, version=F("version") + 1)
    record_steps(
        (
            Step(
                e.organization_id,
                CHANGED,
                f"Withdrawn after release: {_words(charges[e.pk])}",
                keys_of(e),
                old=e.status,
                new=to,
                reason=reason,
                data={"old": [c.pk for c in charges[e.pk]], "new": []},
            )
            for e in exams
        ),
        actor=actor,
        at=at,
    )
    for exam in exams:
        exam.status = to
    payloads: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for exam in exams:
        payloads[exam.organization_id].append(
            {
                "exam_id": exam.pk,
                "old": [c.pk for c in charges[exam.pk]],
                "new": [],
                "reason": reason,
            }
        )
    for organization_id, found in payloads.items():
        publish_many(CHANGED, organization_id=organization_id, payloads=found, due_at=at)
    return len(rows)


@transaction.atomic
def exam_no_bill(
    *, exam: Exam, reason: str, actor: Actor, version: int | None = None, at: datetime | None = None
) -> Exam:
    """Decide with a reason that an exam is not billed. Released charges are void, and
    claims follow.
    """
    actor.require("charge.review", exam)
    at = at or timezone.now()
    if len(reason.strip()) < 5:
        raise Refused("Say why this exam is not billed.", field="reason", code="missing")
    row = exam_locked(exam, version)
    if row.status == ExamStatus.NO_BILL and row.no_bill_reason == reason.strip():
        return row
    if ExamStatus.NO_BILL not in EXAM_MOVES[row.status]:
        raise Refused("This exam is still running.", code="not_allowed", status=409)
    old = row.status
    if old == ExamStatus.RELEASED:
        withdraw([row], reason="no_bill", actor=actor, at=at, to=ExamStatus.NO_BILL)
    Charge.objects.filter(exam=row, status=ChargeStatus.HELD).update(status=ChargeStatus.VOID)
    row.status, row.no_bill_reason, row.no_bill_by, row.holds = (
        ExamStatus.NO_BILL,
        reason.strip()[:200],
        actor.name[:120],
        [],
    )
    row.expected = Decimal("0.00")
    Exam.objects.filter(pk=row.pk).update(
        status=row.status,
        no_bill_reason=row.no_bill_reason,
        no_bill_by=row.no_bill_by,
        holds=[],
        expected=row.expected,
        version=F("version") + 1,
    )
    record_steps(
        [
            Step(
                row.organization_id,
                "exam.no_bill",
                f"No bill: {row.no_bill_reason}",
                keys_of(row),
                old=old,
                new=row.status,
                reason=row.no_bill_reason,
            )
        ],
        actor=actor,
        at=at,
    )
    close_items("exam", [row.pk], actor=actor, at=at, outcome="No bill")
    close_items("exam_authorization", [row.pk], actor=actor, at=at, outcome="No bill")
    row.refresh_from_db()
    return row
