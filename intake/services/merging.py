"""Two charts of one person become one, and two again.

Every table that belongs to a patient has declared it (`rcm.accounts.charts`); a merge gives the
rows of the chart that goes to the one that stays and remembers which, money that no charge carries
goes by counter-entries, and what is written once is read for both charts together. So there is
nothing that a phase could forget to bring along.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from intake.models import ChartMerge, Patient
from rcm.accounts.actor import Actor
from rcm.accounts.charts import (
    Follow,
    PatientKey,
    SetAside,
    patient_keys,
    patient_subjects,
    register_subject,
)
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.outbox import publish, publish_many
from rcm.ledger.models import Account, LedgerEntry, LedgerTransaction
from rcm.ledger.services import ZERO, Leg, Posting, post
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import close_items

SOURCE = "intake.ChartMerge"
ON_ACCOUNT = (
    Account.UNAPPLIED,
    Account.REFUND_PAYABLE,
    Account.AR_PATIENT,
    Account.AR_INSURANCE,
)
"""Balances that a patient may hold without a charge."""

register_subject("patient")


class Held(NamedTuple):
    """What a patient holds without a charge, on one account and from one remittance."""

    account: str
    remittance_id: int | None


@transaction.atomic
def patient_merge(
    *, keep: Patient, gone: Patient, reason: str, actor: Actor, at: datetime | None = None
) -> Patient:
    """Make two charts of one person one: everything of `gone` is given to `keep`, and `gone` leads
    to it. Undone by `patient_unmerge`.
    """
    actor.require("patient.merge", [keep, gone])
    at = at or timezone.now()
    if keep.pk == gone.pk or keep.organization_id != gone.organization_id:
        raise Refused("Choose two charts of the same organization.", code="same_chart")
    locked = _locked([keep.pk, gone.pk])
    if len(locked) != 2 or any(p.merged_into_id for p in locked.values()):
        raise Conflict("One of these charts has been merged in the meantime.")
    merge = ChartMerge.objects.create(
        organization_id=keep.organization_id,
        keep=keep,
        gone=gone,
        reason=reason[:300],
        merged_at=at,
        actor_name=actor.name,
    )
    Patient.objects.filter(pk=gone.pk).update(merged_into=keep, version=F("version") + 1)
    _carry(merge, locked[keep.pk], actor=actor, at=at)
    _tell(
        "patient.merged",
        {
            keep.pk: f"Chart {gone.mrn} was merged into this one",
            gone.pk: f"Merged into chart {keep.mrn}",
        },
        merge=merge,
        reason=reason,
        actor=actor,
        at=at,
    )
    publish(
        "patient.merged",
        organization_id=keep.organization_id,
        payload={"patient_id": keep.pk, "gone_id": gone.pk},
        due_at=at,
    )
    keep.refresh_from_db()
    gone.refresh_from_db()
    return keep


@transaction.atomic
def patient_unmerge(
    *, merge: ChartMerge, reason: str, actor: Actor, at: datetime | None = None
) -> Patient:
    """Make one chart two again: what the merge moved goes back, and with it what was made from it
    since. What was made new on the chart that stayed remains there.

    Refused where prepaid money of the other chart was used for the chart that stayed.
    """
    actor.require("patient.merge", merge)
    at = at or timezone.now()
    if not reason.strip():
        raise Refused("Say why these are two people.", code="missing", field="reason")
    row = ChartMerge.objects.select_for_update().select_related("gone").get(pk=merge.pk)
    gone = row.gone
    if row.undone_at is not None or gone.merged_into_id is None:
        raise Conflict("This merge has been undone already.")
    holder = _locked([gone.merged_into_id, gone.pk])[gone.merged_into_id]
    Patient.objects.filter(pk=gone.pk).update(merged_into=None, version=F("version") + 1)
    _give_back(row, holder.pk)
    _money_back(row, holder, actor=actor, at=at)
    row.undone_at, row.undone_by, row.undone_reason = at, actor.name, reason[:300]
    row.save(update_fields=["undone_at", "undone_by", "undone_reason"])
    _tell(
        "patient.unmerged",
        {
            holder.pk: f"Chart {gone.mrn} is a chart of its own again",
            gone.pk: f"No longer merged into chart {holder.mrn}",
        },
        merge=row,
        reason=reason,
        actor=actor,
        at=at,
    )
    publish_many(
        "patient.changed",
        organization_id=row.organization_id,
        payloads=[{"patient_id": holder.pk}, {"patient_id": gone.pk}],
        due_at=at,
    )
    gone.refresh_from_db()
    return gone


@transaction.atomic
def charts_settle(*, gone_ids: Iterable[int], actor: Actor, at: datetime | None = None) -> int:
    """Bring along what was written on a chart while it was being merged. Returns how many charts
    were looked at; again changes nothing.
    """
    at = at or timezone.now()
    merges = list(
        ChartMerge.objects.select_for_update(of=("self",))
        .select_related("gone__merged_into")
        .filter(gone_id__in=list(gone_ids), undone_at__isnull=True)
        .order_by("pk")
    )
    for merge in merges:
        if merge.gone.merged_into is not None:
            _carry(merge, merge.gone.merged_into, actor=actor, at=at)
    return len(merges)


def _locked(ids: Iterable[int]) -> dict[int, Patient]:
    rows = Patient.objects.filter(pk__in=list(ids)).order_by("pk").select_for_update()
    return {p.pk: p for p in rows}


def _tell(
    verb: str,
    sentences: dict[int, str],
    *,
    merge: ChartMerge,
    reason: str,
    actor: Actor,
    at: datetime,
) -> None:
    steps = [
        Step(merge.organization_id, verb, words, {"patient_id": pk}, reason=reason)
        for pk, words in sentences.items()
    ]
    record_steps(steps, actor=actor, at=at)


# --- rows -----------------------------------------------------------------------------------------


def _carry(merge: ChartMerge, keep: Patient, *, actor: Actor, at: datetime) -> None:
    """Give everything that still names the chart that went to the one that stays."""
    gone_id = merge.gone_id
    merge.subjects = [*merge.subjects, *_subjects(gone_id, keep, actor=actor, at=at)]
    for model, key in patient_keys(Follow.MOVES):
        rows = model.objects.filter(**{key.column: gone_id})
        ids = list(rows.order_by("pk").values_list("pk", flat=True))
        if not ids:
            continue
        if key.set_aside is not None:
            aside = _set_aside(rows, key.set_aside, model.objects.filter(**{key.column: keep.pk}))
            merge.set_aside = merge.set_aside | {
                model._meta.label: merge.set_aside.get(model._meta.label, {}) | aside
            }
        model.objects.filter(pk__in=ids).update(**_given(model, key, keep))
        known = merge.moved.get(model._meta.label, [])
        merge.moved = merge.moved | {model._meta.label: sorted({*known, *ids})}
    merge.save(update_fields=["moved", "set_aside", "subjects"])
    _transfer(merge, held=_held(gone_id), source=gone_id, target=keep.pk, actor=actor, at=at)


def _given(model: Any, key: PatientKey, patient: Patient) -> dict[str, Any]:
    named = {"patient_name": patient.name[:120]} if model is WorkItem else {}
    return {key.column: patient.pk} | named


def _set_aside(rows: Any, rule: SetAside, kept: Any) -> dict[str, dict[str, Any]]:
    """Change the rows of which the chart that stays has its own; returns what they held."""
    taken = set(kept.filter(rule.condition).values_list(*rule.per or ("patient_id",)))
    if not taken:
        return {}
    mine = rows.filter(rule.condition).values("pk", *rule.per, *rule.change)
    alike = [r for r in mine if not rule.per or tuple(r[c] for c in rule.per) in taken]
    if alike:
        rows.filter(pk__in=[r["pk"] for r in alike]).update(**rule.change)
    return {str(r["pk"]): {c: r[c] for c in rule.change} for r in alike}


def _put_back(rows: Any, rule: SetAside, held: dict[str, dict[str, Any]]) -> None:
    """Give rows that were set aside what they held, unless the chart has another such row by now."""
    taken = set(rows.filter(rule.condition).values_list(*rule.per or ("patient_id",)))
    for row in rows.filter(pk__in=[int(pk) for pk in held]).values("pk", *rule.per):
        if (tuple(row[c] for c in rule.per) in taken) if rule.per else taken:
            continue
        rows.filter(pk=row["pk"]).update(**held[str(row["pk"])])


def _subjects(gone_id: int, keep: Patient, *, actor: Actor, at: datetime) -> list[int]:
    """Work about the patient is about the chart that stays; where that has the same work, one of
    the two is done.
    """
    moved: list[int] = []
    live = Q(status__in=[ItemStatus.OPEN, ItemStatus.PENDED])
    for kind in patient_subjects():
        items = WorkItem.objects.filter(subject_type=kind, subject_id=gone_id)
        if WorkItem.objects.filter(live, subject_type=kind, subject_id=keep.pk).exists():
            close_items(
                kind, [gone_id], actor=actor, at=at, outcome="Charts were merged", sure=True
            )
        moved += items.values_list("pk", flat=True)
        items.update(subject_id=keep.pk)
    return moved


def _give_back(merge: ChartMerge, holder_id: int) -> None:
    """Rows that the merge moved and that nobody has given to another chart since; then what was
    made from them.
    """
    gone = merge.gone
    for model, key in patient_keys(Follow.MOVES):
        ids = merge.moved.get(model._meta.label, [])
        held = model.objects.filter(**{key.column: holder_id})
        if ids:
            held.filter(pk__in=ids).update(**_given(model, key, gone))
        if key.derived:
            made = held.filter(**{key.derived: gone.pk}).values_list("pk", flat=True)
            held.filter(pk__in=list(made)).update(**_given(model, key, gone))
        if key.set_aside is not None:
            own = model.objects.filter(**{key.column: gone.pk})
            _put_back(own, key.set_aside, merge.set_aside.get(model._meta.label, {}))
    WorkItem.objects.filter(
        pk__in=merge.subjects, subject_type__in=patient_subjects(), subject_id=holder_id
    ).update(subject_id=gone.pk)


# --- money ----------------------------------------------------------------------------------------


def _held(patient_id: int) -> dict[Held, Decimal]:
    """Balances of a patient that no charge carries. What a charge carries belongs to the charge,
    and moves with it.
    """
    rows = (
        LedgerEntry.objects.filter(
            patient_id=patient_id, charge_id__isnull=True, account__in=ON_ACCOUNT
        )
        .values("account", "remittance_id")
        .annotate(total=Sum("amount"))
        .order_by("account", "remittance_id")
    )
    return {Held(r["account"], r["remittance_id"]): r["total"] for r in rows if r["total"]}


def _transfer(
    merge: ChartMerge,
    *,
    held: dict[Held, Decimal],
    source: int,
    target: int,
    actor: Actor,
    at: datetime,
) -> None:
    """Take these balances from one patient and give them to the other, account by account."""
    legs = [
        Leg(h.account, sign * amount, patient_id=who, remittance_id=h.remittance_id)
        for h, amount in held.items()
        for who, sign in ((source, -1), (target, 1))
    ]
    earlier = LedgerTransaction.objects.filter(source_type=SOURCE, source_id=merge.pk).count()
    post(
        [
            Posting(
                organization_id=merge.organization_id,
                kind="chart_merge",
                effect_key=f"chart-merge:{merge.pk}:{earlier + 1}",
                effective_on=office_day(at),
                description="Money on account follows its chart",
                legs=legs,
                source_type=SOURCE,
                source_id=merge.pk,
            )
        ],
        actor=actor,
    )


def _money_back(merge: ChartMerge, holder: Patient, *, actor: Actor, at: datetime) -> None:
    """What the merge brought, less what of it was used for charges that go back as well."""
    brought = {
        Held(r["account"], r["remittance_id"]): -r["total"]
        for r in LedgerEntry.objects.filter(
            transaction__source_type=SOURCE,
            transaction__source_id=merge.pk,
            patient_id=merge.gone_id,
        )
        .values("account", "remittance_id")
        .annotate(total=Sum("amount"))
        .order_by()
    }
    on_account = Held(Account.UNAPPLIED, None)
    if on_account in brought:
        used = _used_since(merge, holder.pk)
        brought[on_account] = min(ZERO, brought[on_account] + used)
        if _held(holder.pk).get(on_account, ZERO) > brought[on_account]:
            raise Refused(
                f"${-brought[on_account]:,.2f} on account came with chart {merge.gone.mrn} and has"
                f" been used for chart {holder.mrn} since.",
                code="money_used",
                fix="Void or refund that use first, then undo the merge.",
            )
    back = {h: amount for h, amount in brought.items() if amount}
    _transfer(merge, held=back, source=holder.pk, target=merge.gone_id, actor=actor, at=at)


def _used_since(merge: ChartMerge, holder_id: int) -> Decimal:
    """Money on account that was used since the merge for charges of the chart that goes back."""
    first = (
        LedgerTransaction.objects.filter(source_type=SOURCE, source_id=merge.pk)
        .order_by("pk")
        .values("pk")[:1]
    )
    own = Q(pk__in=[])
    for model, key in patient_keys(Follow.MOVES):
        if key.ledger:
            rows = model.objects.filter(**{key.column: merge.gone_id})
            own |= Q(**{f"{key.ledger}__in": list(rows.values_list("pk", flat=True))})
    total = LedgerEntry.objects.filter(
        account=Account.UNAPPLIED,
        patient_id=holder_id,
        charge_id__isnull=True,
        remittance_id__isnull=True,
        transaction_id__gt=first,
        transaction__in=LedgerEntry.objects.filter(own).values("transaction_id"),
    ).aggregate(total=Sum("amount"))["total"]
    return total or ZERO
