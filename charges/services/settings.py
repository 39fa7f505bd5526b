"""Rules of who scans, who reads and when charges leave. A change is kept with its author, and what
was held is evaluated anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from charges.components import contradiction
from charges.loading import arrangement_fact, arrangement_words
from charges.models import (
    BillingArrangement,
    ContrastStock,
    Exam,
    ExamStatus,
    Reader,
    ReadingGroup,
    ReleasePolicy,
    Scanner,
)
from charges.services.machines import machines_answered
from charges.services.recording import wake
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps

Rule = TypeVar(
    "Rule", BillingArrangement, ContrastStock, Reader, ReadingGroup, ReleasePolicy, Scanner
)
WORDS: dict[type, str] = {
    BillingArrangement: "Billing arrangement",
    ContrastStock: "Contrast stock",
    Reader: "Reader",
    ReadingGroup: "Reading group",
    ReleasePolicy: "Release policy",
    Scanner: "Scanner",
}
HELD = (
    ExamStatus.PERFORMED,
    ExamStatus.PRELIMINARY,
    ExamStatus.FINAL,
    ExamStatus.CODED,
    ExamStatus.DISCONTINUED,
)


@transaction.atomic
def rule_save(*, row: Rule, actor: Actor, at: datetime | None = None) -> Rule:
    """Write a new or changed rule. Needs `rules.edit`; refuses a row of another organization and
    one that stands already.
    """
    at = at or timezone.now()
    if row.organization_id is None:
        parent = getattr(row, "site", None) or getattr(row, "group", None)
        if parent is None:
            raise Refused("Choose the organization.", field="organization", code="missing")
        row.organization_id = parent.organization_id
    if row.organization_id not in actor.organizations:
        raise Refused("That organization is not yours.", code="not_found", status=404)
    actor.require("rules.edit", row)
    for name in ("site", "group"):
        other = getattr(row, name, None)
        if other is not None and other.organization_id != row.organization_id:
            raise Refused(
                "Site, group and organization must belong together.",
                field=name,
                code="other_organization",
            )
    if isinstance(row, Scanner):
        _one_record_a_day(row)
    if isinstance(row, BillingArrangement):
        _no_contradiction(row)
    fresh = row.pk is None
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        raise Refused(
            "Such a row stands already for that day. Change that one.", code="exists", status=409
        ) from error
    if isinstance(row, Scanner):
        machines_answered(row, actor=actor, at=at)
    words = WORDS[type(row)]
    record_steps(
        [
            Step(
                row.organization_id,
                "rule.saved",
                f"{words} {'added' if fresh else 'changed'}",
                data={"id": row.pk},
            )
        ],
        actor=actor,
        at=at,
    )
    held = Exam.objects.filter(organization_id=row.organization_id, status__in=HELD).exclude(
        holds=[]
    )
    wake(held.values_list("pk", flat=True), organization_id=row.organization_id, at=at)
    return row


def _one_record_a_day(row: Scanner) -> None:
    """A station has one record on any day: an older open one is ended first, by a person."""
    row.station = " ".join(row.station.split())
    others = Scanner.objects.filter(
        organization_id=row.organization_id, station__iexact=row.station
    ).exclude(pk=row.pk)
    if row.effective_to is not None:
        others = others.filter(effective_from__lte=row.effective_to)
    other = others.exclude(effective_to__lt=row.effective_from).order_by("effective_from").first()
    if other is not None:
        last = f"to {other.effective_to:%m/%d/%Y}" if other.effective_to else "on"
        raise Refused(
            f"{other.station} has a record already from {other.effective_from:%m/%d/%Y} {last}.",
            code="overlap",
            field="effective_from",
            fix="End that record on the day before, or change it.",
            status=409,
        )


def _no_contradiction(row: BillingArrangement) -> None:
    """Refuse a row that cannot be true by itself, and one that says something about the same exams
    on the same days as another.
    """
    wrong = contradiction(arrangement_fact(row))
    if wrong:
        raise Refused(wrong, code="contradiction", field="force", fix="Correct one of the two.")
    others = BillingArrangement.objects.filter(
        organization_id=row.organization_id,
        site_id=row.site_id,
        modality=row.modality,
        group=row.group,
        payer=row.payer,
    ).exclude(pk=row.pk)
    if row.effective_to is not None:
        others = others.filter(effective_from__lte=row.effective_to)
    others = others.exclude(effective_to__lt=row.effective_from)
    other = others.select_related("site", "group", "payer").order_by("effective_from").first()
    if other is not None:
        raise Refused(
            f"The arrangement of {arrangement_words(other)} holds for the same exams on the same"
            " days.",
            code="contradiction",
            field="effective_from",
            fix="End that one on the day before, or change it.",
            status=409,
        )


@dataclass(frozen=True, slots=True)
class Touched:
    """What a changed arrangement reaches: exams not released yet, and released ones that stay."""

    count: int
    dollars: Decimal
    exams: Sequence[Exam]
    final: int


def arrangement_touches(
    *, row: BillingArrangement, before: BillingArrangement | None, actor: Actor
) -> Touched:
    """The exams that a new or changed row would decide, or that its old form decided. Nothing is
    changed; what was released is only counted, since no rule re-opens it.
    """
    reach = _reach(row)
    if before is not None:
        reach |= _reach(before)
    rows = Exam.objects.visible_to(actor).filter(reach, organization_id=row.site.organization_id)
    open_rows = rows.filter(status__in=HELD)
    total = open_rows.aggregate(n=Count("pk"), dollars=Sum("expected"))
    return Touched(
        total["n"],
        total["dollars"] or Decimal("0.00"),
        list(open_rows.select_related("patient").order_by("service_date", "pk")[:20]),
        rows.filter(status=ExamStatus.RELEASED).count(),
    )


def _reach(row: BillingArrangement) -> Q:
    reach = Q(site_id=row.site_id, service_date__gte=row.effective_from)
    if row.effective_to is not None:
        reach &= Q(service_date__lte=row.effective_to)
    if row.modality:
        reach &= Q(modality=row.modality)
    if row.payer_id is not None:
        reach &= Q(coverage__payer_id=row.payer_id)
    if row.group_id is not None:
        reach &= Q(reader__group_id=row.group_id) | Q(reader__isnull=True)
    return reach
