"""Verbs on orders: place, change, cancel; what is missing becomes a work item with the person to
call (FEATURES A10, DOMAIN B5, C6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from intake.completeness import ExamFacts, Gap, OrderFacts, order_gaps
from intake.models import Order, OrderedExam, OrderStatus, Patient
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Site
from rcm.accounts.problems import Refused
from rcm.accounts.together import REVIEW, later
from rcm.audit.services import Step, record_steps
from rcm.exchange.hl7 import is_npi
from rcm.exchange.outbox import publish
from rcm.reference.facts import diagnosis_validity, procedures
from rcm.reference.models import Procedure, Provider
from rcm.worklist.services import ItemSpec, close_items, open_items

QUEUE = "order_completeness"
ORDER_MOVES: dict[str, set[str]] = {
    OrderStatus.OPEN: {OrderStatus.SCHEDULED, OrderStatus.COMPLETED, OrderStatus.CANCELLED},
    OrderStatus.SCHEDULED: {OrderStatus.OPEN, OrderStatus.COMPLETED, OrderStatus.CANCELLED},
    OrderStatus.COMPLETED: set(),
    OrderStatus.CANCELLED: set(),
}


@dataclass(frozen=True, slots=True)
class ExamAsk:
    """One exam as asked for. Blank modality and description are read from the procedure's reference
    row.
    """

    code: str
    laterality: str = ""
    description: str = ""
    modality: str = ""
    accession: str = ""
    filler_number: str = ""


@transaction.atomic
def order_place(
    *,
    patient: Patient,
    exams: Sequence[ExamAsk],
    ordering: Provider | None,
    actor: Actor,
    ordered_at: datetime | None = None,
    signed: bool = False,
    indication: str = "",
    diagnoses: Sequence[str] = (),
    placer_number: str = "",
    source: str = "screen",
    site: Site | None = None,
    at: datetime | None = None,
) -> Order:
    """Place an order. The same placer number again changes the order that stands, and nothing when
    nothing differs.

    What is missing opens one item for the order; "order.placed" wakes the authorization phase.
    """
    actor.require("order.edit")
    at = at or timezone.now()
    if not exams:
        raise Refused("Choose at least one exam.", field="exams", code="missing")
    if placer_number:
        known = Order.objects.filter(
            organization_id=patient.organization_id, placer_number=placer_number
        ).first()
        if known is not None:
            return order_change(
                order=known,
                exams=exams,
                ordering=ordering,
                signed=signed,
                indication=indication,
                diagnoses=diagnoses,
                site=site,
                actor=actor,
                at=at,
            )
    order = Order.objects.create(
        organization_id=patient.organization_id,
        patient=patient,
        placer_number=placer_number,
        ordering=ordering,
        ordered_at=ordered_at or at,
        signed=signed,
        indication=indication.strip()[:300],
        diagnoses=plain_codes(diagnoses),
        source=source,
        site=site,
    )
    _add_exams(order, exams, at)
    rows = list(order.exams.order_by("id"))
    record_steps(
        [
            Step(
                order.organization_id,
                "order.placed",
                f"Order for {e.code} {e.description}".strip(),
                {"patient_id": patient.pk, "ordered_exam_id": e.pk},
                new=OrderStatus.OPEN,
            )
            for e in rows
        ],
        actor=actor,
        at=at,
    )
    orders_review([order.pk], actor=actor, at=at)
    publish(
        "order.placed",
        organization_id=order.organization_id,
        payload={"order_id": order.pk, "ordered_exam_ids": [e.pk for e in rows]},
        due_at=at,
    )
    return order


def plain_codes(codes: Iterable[str]) -> list[str]:
    """ICD-10-CM codes without dots and blanks, in order, each once, at most twelve."""
    return list(
        dict.fromkeys(
            c
            for c in ("".join(ch for ch in code.upper() if ch.isalnum())[:7] for code in codes)
            if c
        )
    )[:12]


def _add_exams(order: Order, exams: Sequence[ExamAsk], at: datetime) -> None:
    known = procedures((e.code for e in exams), office_day(at))
    rows = []
    for ask in exams:
        row = known.get(ask.code)
        rows.append(
            OrderedExam(
                organization_id=order.organization_id,
                order=order,
                patient_id=order.patient_id,
                code=ask.code.upper()[:5],
                laterality=ask.laterality,
                description=(ask.description or (row.name if row else ""))[:80],
                modality=ask.modality or (row.modality if row else ""),
                accession=ask.accession,
                filler_number=ask.filler_number,
            )
        )
    OrderedExam.objects.bulk_create(rows)


@transaction.atomic
def order_change(
    *,
    order: Order,
    actor: Actor,
    exams: Sequence[ExamAsk] | None = None,
    ordering: Provider | None = None,
    signed: bool | None = None,
    indication: str | None = None,
    diagnoses: Sequence[str] | None = None,
    site: Site | None = None,
    at: datetime | None = None,
) -> Order:
    """Change what an order says (XO, or the office called back). What is not given stays; blanks
    never erase what is known.
    """
    actor.require("order.edit")
    at = at or timezone.now()
    order = Order.objects.select_for_update(of=("self",)).get(pk=order.pk)
    if order.status in (OrderStatus.CANCELLED, OrderStatus.COMPLETED):
        raise Refused(
            f"The order is {order.get_status_display().lower()}: place a new one.",
            code="not_allowed",
        )
    changed: list[str] = []
    wanted: dict[str, Any] = {
        "ordering": ordering,
        "signed": signed,
        "indication": indication.strip()[:300] if indication else None,
        "diagnoses": plain_codes(diagnoses) if diagnoses else None,
        "site": site,
    }
    for name, value in wanted.items():
        if (
            value is not None
            and getattr(order, name) != value
            and not (name == "signed" and value is False)
        ):
            setattr(order, name, value)
            changed.append(name)
    if changed:
        order.save(update_fields=changed)
    touched = _merge_exams(order, exams, at) if exams else []
    if not changed and not touched:
        return order
    words = ", ".join([*changed, *touched])
    ids = list(order.exams.values_list("id", flat=True))
    record_steps(
        [
            Step(
                order.organization_id,
                "order.changed",
                f"Order changed: {words}",
                {"patient_id": order.patient_id, "ordered_exam_id": i},
            )
            for i in ids
        ],
        actor=actor,
        at=at,
    )
    orders_review([order.pk], actor=actor, at=at)
    publish(
        "order.changed",
        organization_id=order.organization_id,
        payload={"order_id": order.pk, "ordered_exam_ids": ids},
        due_at=at,
    )
    return order


def _merge_exams(order: Order, exams: Sequence[ExamAsk], at: datetime) -> list[str]:
    """Match asked exams to the order's by accession, filler number, then code; returns words for
    what changed.
    """
    rows = [e for e in order.exams.order_by("id") if e.status != OrderStatus.CANCELLED]
    known = procedures((e.code for e in exams), office_day(at))
    fresh: list[ExamAsk] = []
    touched: list[str] = []
    for ask in exams:
        row = next(
            (
                r
                for r in rows
                if (ask.accession and r.accession == ask.accession)
                or (ask.filler_number and r.filler_number == ask.filler_number)
                or (
                    r.code == ask.code
                    and not (r.accession and ask.accession)
                    and not (r.filler_number and ask.filler_number)
                )
            ),
            None,
        )
        if row is None:
            fresh.append(ask)
            continue
        rows.remove(row)
        new = known.get(ask.code)
        wanted = {
            "code": ask.code.upper()[:5],
            "laterality": ask.laterality,
            "description": (ask.description or (new.name if new else ""))[:80],
            "modality": ask.modality or (new.modality if new else ""),
            "accession": ask.accession,
            "filler_number": ask.filler_number,
        }
        differ = {k: v for k, v in wanted.items() if v and getattr(row, k) != v}
        if differ:
            touched.append(
                f"{row.code} to {ask.code}"
                if "code" in differ
                else f"{row.code} {', '.join(sorted(differ))}"
            )
            for k, v in differ.items():
                setattr(row, k, v)
            row.save(update_fields=list(differ))
    if fresh:
        _add_exams(order, fresh, at)
        touched += [f"{e.code} added" for e in fresh]
    return touched


@transaction.atomic
def order_cancel(*, order: Order, reason: str, actor: Actor, at: datetime | None = None) -> Order:
    """Cancel an order and its exams that were not done; its items close, its authorizations are
    told.
    """
    actor.require("order.edit")
    at = at or timezone.now()
    order = Order.objects.select_for_update(of=("self",)).get(pk=order.pk)
    if order.status == OrderStatus.CANCELLED:
        return order
    if OrderStatus.CANCELLED not in ORDER_MOVES[order.status]:
        raise Refused("The order has been carried out and cannot be cancelled.", code="not_allowed")
    old, order.status = order.status, OrderStatus.CANCELLED
    order.save(update_fields=["status"])
    rows = list(order.exams.exclude(status=OrderStatus.COMPLETED))
    OrderedExam.objects.filter(pk__in=[e.pk for e in rows]).update(status=OrderStatus.CANCELLED)
    record_steps(
        [
            Step(
                order.organization_id,
                "order.cancelled",
                "Order cancelled",
                {"patient_id": order.patient_id, "ordered_exam_id": e.pk},
                old=old,
                new=order.status,
                reason=reason,
            )
            for e in rows
        ],
        actor=actor,
        at=at,
    )
    close_items("order", [order.pk], actor=actor, at=at, outcome="Order cancelled")
    publish(
        "order.cancelled",
        organization_id=order.organization_id,
        payload={"order_id": order.pk, "ordered_exam_ids": [e.pk for e in rows]},
        due_at=at,
    )
    return order


# --- what is missing ------------------------------------------------------------------------------


def orders_gaps(orders: Sequence[Order], *, on: date) -> dict[int, list[Gap]]:
    """What each order lacks, by order id. Two queries for any number of orders."""
    exams: dict[int, list[OrderedExam]] = {o.pk: [] for o in orders}
    for exam in (
        OrderedExam.objects.filter(order__in=exams)
        .exclude(status=OrderStatus.CANCELLED)
        .order_by("id")
    ):
        exams[exam.order_id].append(exam)
    known = procedures((e.code for rows in exams.values() for e in rows), on)
    billable = diagnosis_validity({code for o in orders for code in o.diagnoses}, on)
    found = {}
    for order in orders:
        facts = OrderFacts(
            signed=order.signed,
            indication=order.indication,
            diagnoses=tuple(order.diagnoses),
            unknown_diagnoses=tuple(c for c in order.diagnoses if billable.get(c) is False),
            ordering_npi=order.ordering.npi if order.ordering else "",
            npi_valid=is_npi(order.ordering.npi) if order.ordering else False,
            exams=tuple(_exam_facts(e, known.get(e.code)) for e in exams[order.pk]),
        )
        found[order.pk] = order_gaps(facts)
    return found


def _exam_facts(exam: OrderedExam, row: Procedure | None) -> ExamFacts:
    return ExamFacts(
        code=exam.code,
        laterality=exam.laterality,
        known=row is not None,
        modality=row.modality if row else exam.modality,
        needs_side=bool(row and row.laterality == "required"),
        contrast=row.contrast if row else "",
        kind=row.kind if row else "exam",
    )


def orders_review(order_ids: Sequence[int], *, actor: Actor, at: datetime | None = None) -> None:
    """Open or close the completeness item of each order: one item, its sentences what to ask, its
    fix whom to call.
    """
    if not later(_review, order_ids, turn=REVIEW, actor=actor, at=at):
        _review(order_ids, actor=actor, at=at)


@transaction.atomic
def _review(order_ids: Sequence[int], *, actor: Actor, at: datetime | None = None) -> None:
    at = at or timezone.now()
    orders = list(
        Order.objects.filter(pk__in=order_ids)
        .exclude(status__in=[OrderStatus.CANCELLED, OrderStatus.COMPLETED])
        .select_related("ordering", "patient")
        .annotate(
            visit=Max("exams__appointment__starts_at"), place=Max("exams__appointment__site_id")
        )
    )
    gaps = orders_gaps(orders, on=office_day(at))
    specs: list[ItemSpec] = []
    done: list[int] = []
    for order in orders:
        found = gaps[order.pk]
        if not found:
            done.append(order.pk)
            continue
        office = order.ordering
        call = (
            f"Call {office.practice or office} {office.phone}".strip()
            if office
            else "Find out who ordered it"
        )
        specs.append(
            ItemSpec(
                organization_id=order.organization_id,
                queue=QUEUE,
                subject_type="order",
                subject_id=order.pk,
                cause=found[0].code,
                title="; ".join(g.sentence for g in found)[:200],
                fix=f"{call}: {found[0].fix}"[:200],
                due_at=order.visit or at,
                site_id=order.place or order.site_id,
                patient_id=order.patient_id,
                patient_name=order.patient.name,
                tags=tuple(g.code for g in found[1:]),
                facts={
                    "missing": len(found),
                    "office": str(office or ""),
                    "phone": office.phone if office else "",
                },
            )
        )
    open_items(specs, actor=actor, at=at)
    close_items("order", done, actor=actor, at=at, outcome="Order is complete", queues=[QUEUE])
