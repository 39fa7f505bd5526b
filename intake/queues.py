"""The front end's work queues: coverage that is not clear, orders that are not complete."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.urls import reverse

from intake.models import Appointment, Coverage, EligibilityCheck, Order, OrderedExam, Patient
from intake.services import LIVE
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock, office_day
from rcm.worklist.registry import Fix, Panel, Queue, register

SUBJECTS = {"order": Order, "coverage": Coverage, "patient": Patient}


def _subject(item: Any, actor: Actor) -> Any:
    model = SUBJECTS.get(item.subject_type)
    return model.objects.visible_to(actor).filter(pk=item.subject_id).first() if model else None


def eligibility_panel(item: Any, actor: Actor) -> Panel:
    """What the payer said about a coverage, field by field, and how to settle it."""
    found = _subject(item, actor)
    if found is None:
        return Panel(why=item.title)
    patient = found.patient if isinstance(found, Coverage) else found
    links = [("Patient chart", reverse("intake:patient", args=[patient.public_id]))]
    if not isinstance(found, Coverage):
        return Panel(
            why=item.title,
            fixes=[
                Fix(
                    "Enter a coverage",
                    reverse("intake:coverage_new", args=[patient.public_id]),
                    permission="patient.edit",
                    primary=True,
                )
            ],
            links=links,
            event_keys={"patient_id": patient.pk},
        )
    check = EligibilityCheck.objects.filter(coverage=found).order_by("-id").first()
    grid: list[dict[str, Any]] = [
        {
            "cell": "Card",
            "code": found.member_id,
            "text": found.payer.name,
            "more": patient.name,
            "differs": False,
        }
    ]
    for d in check.differences if check else ():
        grid.append(
            {
                "cell": d["field"].replace("_", " ").capitalize(),
                "code": d["ours"],
                "text": f"payer has {d['theirs']}",
                "more": "",
                "differs": True,
            }
        )
    for c in check.changes if check else ():
        grid.append(
            {
                "cell": c["field"].capitalize(),
                "code": c["after"],
                "text": f"was {c['before'] or 'not given'}",
                "more": "",
                "differs": True,
            }
        )
    page = reverse("intake:coverage", args=[found.public_id])
    fixes = [
        Fix(
            "Ask again",
            reverse("intake:coverage_check", args=[found.public_id]),
            "post",
            "eligibility.run",
            primary=True,
        ),
        Fix("Correct the coverage", page, permission="patient.edit"),
        Fix(
            "Try former coverages",
            reverse("intake:coverage_discover", args=[patient.public_id]),
            "post",
            "eligibility.run",
        ),
    ]
    if check is not None and check.changes and check.seen_at is None:
        fixes.insert(
            0,
            Fix(
                "Changes looked at",
                reverse("intake:check_seen", args=[check.public_id]),
                "post",
                "eligibility.run",
            ),
        )
    return Panel(
        why=item.title,
        grid=grid,
        fixes=fixes,
        links=[*links, ("Last answer", f"{page}#answer")],
        event_keys={"patient_id": patient.pk},
    )


def order_panel(item: Any, actor: Actor) -> Panel:
    """The order as it stands, what is missing and whom to call."""
    order = _subject(item, actor)
    if order is None:
        return Panel(why=item.title)
    office = order.ordering
    grid: list[dict[str, Any]] = [
        {
            "cell": "Ordered by",
            "code": office.npi if office else "",
            "text": str(office or "not known"),
            "more": office.phone if office else "",
            "differs": office is None,
        },
        {
            "cell": "Indication",
            "code": "",
            "text": order.indication or "none",
            "more": ", ".join(order.diagnoses),
            "differs": not order.indication,
        },
    ]
    for e in OrderedExam.objects.filter(order=order).order_by("id"):
        grid.append(
            {
                "cell": "Exam",
                "code": e.code,
                "text": e.description,
                "more": e.laterality,
                "differs": False,
            }
        )
    page = reverse("intake:order", args=[order.public_id])
    return Panel(
        why=item.title,
        grid=grid,
        fixes=[Fix("Complete the order", page, permission="order.edit", primary=True)],
        links=[("Patient chart", reverse("intake:patient", args=[order.patient.public_id]))],
        event_keys={"patient_id": order.patient_id},
    )


register(
    Queue(
        code="eligibility",
        label="Eligibility",
        group="Front desk",
        permission="clearance.view",
        rank=10,
        empty="Every coverage of the days ahead is active.",
        deadline_word="Visit",
        facts=(("member", "Member ID"), ("modality", "Modality")),
        panel=eligibility_panel,
    ),
    Queue(
        code="order_completeness",
        label="Incomplete orders",
        group="Front desk",
        permission="clearance.view",
        rank=11,
        empty="Every order is complete.",
        deadline_word="Visit",
        facts=(("office", "Ordering office"), ("phone", "Phone")),
        panel=order_panel,
    ),
)


def not_ready_today(actor: Actor) -> int:
    """Visits of today that are not ready, for the rail."""
    start = office_clock().begins(office_day())
    rows = Appointment.objects.visible_to(actor).filter(
        status__in=LIVE, starts_at__gte=start, starts_at__lt=start + timedelta(days=1)
    )
    return rows.exclude(clearance="ready").count()
