"""Rules of who scans, who reads and when charges leave. A change is kept with its author, and what
was held is evaluated anew.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.utils import timezone

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
