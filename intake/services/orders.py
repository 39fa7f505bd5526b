"""Verbs on orders: place, change, cancel; what is missing becomes a work item with the person to
call (rules `order-change` and `order-complete`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from intake.completeness import (
    SCREENING_FAMILIES,
    ExamFacts,
    Gap,
    OrdererFacts,
    OrderFacts,
    PayerRules,
    order_gaps,
)
from intake.models import Coverage, Order, OrderedExam, OrderStatus, Patient
from intake.services.chosen import coverage_choose, coverages_of_orders, require_choice
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization, Site
from rcm.accounts.problems import Refused
from rcm.accounts.together import REVIEW, asked_once, later
from rcm.audit.services import Step, record_steps
from rcm.exchange.hl7 import is_npi
from rcm.exchange.outbox import publish
from rcm.reference.facts import diagnosis_validity, procedures
from rcm.reference.models import Payer, Procedure, Provider
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
    row. `contrast_open` and `views_open`: the order leaves it to the radiologist. `exam_id` says
    which exam of the order is meant, where the one who asks has seen it.
    """

    code: str
    laterality: str = ""
    description: str = ""
    modality: str = ""
    accession: str = ""
    filler_number: str = ""
    contrast_open: bool = False
    views_open: bool = False
    exam_id: int | None = None


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
    ordering_npi: str = "",
    ordering_name: str = "",
    coverage: Coverage | None = None,
    may_change: bool = True,
    at: datetime | None = None,
) -> Order:
    """Place an order. The same placer number again changes the order that stands, and nothing when
    nothing differs. Without `may_change` a difference is refused by its name; the number of another
    patient's order is refused always.

    What is missing opens one item for the order; "order.placed" wakes the authorization phase.
    `coverage` is the policy chosen for this order; without one the patient's primary pays. Without
    an `ordering` provider, `ordering_npi` and `ordering_name` keep what was written.
    """
    actor.require("order.edit", patient)
    at = at or timezone.now()
    if not exams:
        raise Refused("Choose at least one exam.", field="exams", code="missing")
    if placer_number:
        known = Order.objects.filter(
            organization_id=patient.organization_id, placer_number=placer_number
        ).first()
        if known is not None:
            _same_patient(known, patient)
            if coverage is not None:
                coverage_choose(order=known, coverage=coverage, actor=actor, at=at)
            return order_change(
                order=known,
                exams=exams,
                ordering=ordering,
                signed=signed,
                indication=indication,
                diagnoses=diagnoses,
                site=site,
                ordering_npi=ordering_npi,
                ordering_name=ordering_name,
                may_change=may_change,
                actor=actor,
                at=at,
            )
    if coverage is not None:
        require_choice(patient.pk, coverage)
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
        coverage=coverage,
        ordering_npi="" if ordering else ordering_npi.strip()[:20],
        ordering_name="" if ordering else ordering_name.strip()[:110],
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


def _same_patient(known: Order, patient: Patient) -> None:
    if known.patient_id != patient.pk:
        raise Refused(
            "This placer number stands on an order of another patient: nothing was changed.",
            code="placer_of_another",
            field="placer_number",
            fix="Send the order with a number of its own, or the patient with the right MRN.",
            status=409,
        )


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
                contrast_open=ask.contrast_open,
                views_open=ask.views_open,
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
    ordering_npi: str = "",
    ordering_name: str = "",
    complete: bool = False,
    may_change: bool = True,
    at: datetime | None = None,
) -> Order:
    """Change what an order says (XO, or the office called back). What is not given stays; blanks
    never erase what is known.

    An exam with another code is the same exam changed, not one more. With `complete` the exams are
    all that the order has (a person has edited them): one that is left out is cancelled.
    """
    actor.require("order.edit", order)
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
        **_orderer_said(ordering, ordering_npi, ordering_name),
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
    touched = _merge_exams(order, exams, at, complete=complete) if exams else []
    if not changed and not touched:
        return order
    words = ", ".join([*changed, *touched])
    if not may_change:
        raise Refused(
            f"An order with this placer number stands with other values: {words}.",
            code="placer_repeated",
            field="placer_number",
            fix="Send it with change: true to change that order.",
            status=409,
        )
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


def _orderer_said(ordering: Provider | None, npi: str, name: str) -> dict[str, str | None]:
    """What the order keeps of an orderer who is no known provider; a known one replaces it."""
    if ordering is not None:
        return {"ordering_npi": "", "ordering_name": ""}
    return {
        "ordering_npi": npi.strip()[:20] or None,
        "ordering_name": name.strip()[:110] or None,
    }


def _same_exam(row: OrderedExam, ask: ExamAsk) -> bool:
    """Whether a number says that this is the exam meant."""
    if ask.exam_id is not None:
        return row.pk == ask.exam_id
    return bool(ask.accession and row.accession == ask.accession) or bool(
        ask.filler_number and row.filler_number == ask.filler_number
    )


def _other_exam(row: OrderedExam, ask: ExamAsk) -> bool:
    """Whether a number says that this is not the exam meant."""
    return bool(
        (row.accession and ask.accession and row.accession != ask.accession)
        or (row.filler_number and ask.filler_number and row.filler_number != ask.filler_number)
    )


@dataclass(frozen=True, slots=True)
class _Pairing:
    """Exams of the order beside what is asked of them now."""

    same: list[tuple[OrderedExam, ExamAsk]]
    fresh: list[ExamAsk]
    left: list[OrderedExam]


def _pair(rows: Sequence[OrderedExam], asks: Sequence[ExamAsk]) -> _Pairing:
    """By number, then code and side, then code; what then remains is changed in the order of the
    order, when as many exams are asked for as there are.
    """
    whole = len(asks) >= len(rows)
    left, same = list(rows), []
    waiting = list(asks)
    ways: tuple[Callable[[OrderedExam, ExamAsk], bool], ...] = (
        _same_exam,
        lambda row, ask: (row.code, row.laterality) == (ask.code.upper(), ask.laterality),
        lambda row, ask: row.code == ask.code.upper(),
        lambda row, ask: whole and row.status != OrderStatus.COMPLETED,
    )
    for number, fits in enumerate(ways):
        for ask in list(waiting):
            if number and ask.exam_id is not None:
                continue
            row = next(
                (r for r in left if fits(r, ask) and (not number or not _other_exam(r, ask))), None
            )
            if row is not None:
                same.append((row, ask))
                left.remove(row)
                waiting.remove(ask)
    return _Pairing(same, waiting, left)


def _merge_exams(
    order: Order, exams: Sequence[ExamAsk], at: datetime, *, complete: bool
) -> list[str]:
    """Bring the exams of an order to what is asked for; returns words for what changed."""
    rows = [e for e in order.exams.order_by("id") if e.status != OrderStatus.CANCELLED]
    known = procedures((e.code for e in exams), office_day(at))
    pairing = _pair(rows, exams)
    touched: list[str] = []
    for row, ask in pairing.same:
        differ = _differs(row, ask, known.get(ask.code), exact=ask.exam_id is not None)
        if not differ:
            continue
        if row.status == OrderStatus.COMPLETED and {"code", "laterality"} & set(differ):
            raise Refused(
                f"{row.code} was performed: what was done is a fact of its report.",
                code="performed",
                field="exams",
                fix="Place a new order for another exam.",
            )
        touched.append(
            f"{row.code} to {ask.code}"
            if "code" in differ
            else f"{row.code} {', '.join(sorted(name.replace('_', ' ') for name in differ))}"
        )
        for name, value in differ.items():
            setattr(row, name, value)
        row.save(update_fields=list(differ))
    if complete:
        touched += _take_off(pairing.left)
    if pairing.fresh:
        _add_exams(order, pairing.fresh, at)
        touched += [f"{e.code} added" for e in pairing.fresh]
    return touched


def _differs(
    row: OrderedExam, ask: ExamAsk, new: Procedure | None, *, exact: bool
) -> dict[str, Any]:
    """The fields of an exam that are to change. Blanks erase nothing, but for an `exact` ask, whose
    side and latitude stand as they were seen and left.
    """
    code = ask.code.upper()[:5]
    name = new.name if new is not None and code != row.code else ""
    modality = new.modality if new is not None else ""
    wanted: dict[str, Any] = {
        "code": code,
        "description": (ask.description or name)[:80],
        "modality": ask.modality or modality,
        "accession": ask.accession,
        "filler_number": ask.filler_number,
    }
    differ = {k: v for k, v in wanted.items() if v and getattr(row, k) != v}
    for field in ("laterality", "contrast_open", "views_open"):
        value = getattr(ask, field)
        if (value or exact) and getattr(row, field) != value:
            differ[field] = value
    return differ


def _take_off(rows: Sequence[OrderedExam]) -> list[str]:
    """Cancel exams that a person took off an order; one that was performed stays."""
    done = next((r for r in rows if r.status == OrderStatus.COMPLETED), None)
    if done is not None:
        raise Refused(
            f"{done.code} was performed and cannot be taken off the order.",
            code="performed",
            field="exams",
        )
    OrderedExam.objects.filter(pk__in=[r.pk for r in rows]).update(
        status=OrderStatus.CANCELLED, appointment=None
    )
    return [f"{r.code} taken off" for r in rows]


@transaction.atomic
def order_cancel(*, order: Order, reason: str, actor: Actor, at: datetime | None = None) -> Order:
    """Cancel an order and its exams that were not done; its items close, its authorizations are
    told.
    """
    actor.require("order.edit", order)
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
    """What each order lacks, by order id. A fixed number of queries for any number of orders."""
    exams: dict[int, list[OrderedExam]] = {o.pk: [] for o in orders}
    for exam in (
        OrderedExam.objects.filter(order__in=exams)
        .exclude(status=OrderStatus.CANCELLED)
        .order_by("id")
    ):
        exams[exam.order_id].append(exam)
    known = procedures((e.code for rows in exams.values() for e in rows), on)
    billable = diagnosis_validity({code for o in orders for code in o.diagnoses}, on)
    payers = {
        order_id: coverage.payer for order_id, coverage in coverages_of_orders(orders).items()
    }
    own = _own_numbers({o.organization_id for o in orders if o.ordering})
    found = {}
    for order in orders:
        npi = order.ordering.npi if order.ordering else order.ordering_npi
        facts = OrderFacts(
            signed=order.signed,
            indication=order.indication,
            diagnoses=tuple(order.diagnoses),
            unknown_diagnoses=tuple(c for c in order.diagnoses if billable.get(c) is False),
            ordering_npi=npi,
            npi_valid=is_npi(npi),
            exams=tuple(_exam_facts(e, known.get(e.code)) for e in exams[order.pk]),
            orderer=_orderer_facts(order, own=(order.organization_id, npi) in own),
            payer=_payer_rules(payers.get(order.pk)),
        )
        found[order.pk] = order_gaps(facts)
    return found


def _own_numbers(organization_ids: Iterable[int]) -> frozenset[tuple[int, str]]:
    """The NPIs of organizations and their sites, as (organization, NPI)."""
    ids = frozenset(organization_ids)
    if not ids:
        return frozenset()

    def ask() -> frozenset[tuple[int, str]]:
        groups = Organization.objects.filter(pk__in=ids).values_list("id", "npi")
        sites = Site.objects.filter(organization_id__in=ids).values_list("organization_id", "npi")
        return frozenset([*groups, *sites])

    return asked_once(("own NPIs", ids), ask)


def _orderer_facts(order: Order, *, own: bool) -> OrdererFacts:
    who = order.ordering
    if who is None:
        return OrdererFacts(name=order.ordering_name)
    return OrdererFacts(name=str(who), taxonomy=who.taxonomy, credentials=who.credentials, own=own)


def _payer_rules(payer: Payer | None) -> PayerRules:
    if payer is None:
        return PayerRules()
    return PayerRules(
        name=payer.name,
        program=payer.kind,
        screening_needs_order=payer.screening_needs_order,
        wants_detailed_indication=payer.wants_detailed_indication,
    )


def _exam_facts(exam: OrderedExam, row: Procedure | None) -> ExamFacts:
    return ExamFacts(
        code=exam.code,
        laterality=exam.laterality,
        known=row is not None,
        modality=row.modality if row else exam.modality,
        needs_side=bool(row and row.laterality == "required"),
        contrast=row.contrast if row else "",
        kind=row.kind if row else "exam",
        family=row.family if row else "",
        contrast_open=exam.contrast_open,
    )


def screening_only(codes: Iterable[str], *, on: date) -> bool:
    """Whether these procedures are screening mammography and nothing else."""
    wanted = list(codes)
    rows = procedures(wanted, on)
    return bool(wanted) and all(c in rows and rows[c].family in SCREENING_FAMILIES for c in wanted)


def orders_review(order_ids: Sequence[int], *, actor: Actor, at: datetime | None = None) -> None:
    """Open or close the completeness item of each order: one item, its sentences what to ask, its
    fix whom to call.
    """
    if not later(_review, order_ids, turn=REVIEW, actor=actor, at=at):
        _review(order_ids, actor=actor, at=at)


def _whom_to_call(order: Order) -> str:
    office = order.ordering
    if office is not None:
        return f"Call {office.practice or office} {office.phone}".strip()
    if order.ordering_name:
        return f"Find out how to reach {order.ordering_name}"
    return "Find out who ordered it"


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
        call = _whom_to_call(order)
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
