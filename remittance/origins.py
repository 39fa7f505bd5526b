"""Where denials come from: by stage, step, site, person, rule and category, duplicates apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import CharField, Count, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, NullIf

from rcm.accounts.actor import Actor
from rcm.audit.models import Event
from remittance.models import Denial, DenialStatus

DAYS = 180
DUPLICATE = "duplicate"
UNKNOWN = "not known"


def _step() -> QuerySet[Event]:
    """The step that let the denial through."""
    return Event.objects.filter(
        organization_id=OuterRef("organization_id"), pk=OuterRef("upstream_event_id")
    )


def _told(value: Subquery[Any] | F, otherwise: str = UNKNOWN) -> Coalesce:
    return Coalesce(NullIf(value, Value("")), Value(otherwise), output_field=CharField())


def _label(by: str) -> Coalesce:
    if by == "stage":
        return _told(F("owner_stage"))
    if by == "site":
        return _told(F("claim__site__name"))
    if by == "category":
        return _told(F("category"))
    rows = _step().annotate(edit=KT("data__edit"))
    name = {"step": "verb", "person": "actor_name", "rule": "edit"}[by]
    found = Subquery(rows.values(name)[:1], output_field=CharField())
    return _told(found, "no rule was overridden" if by == "rule" else UNKNOWN)


GROUPS: Mapping[str, str] = {
    "stage": "Stage",
    "step": "Step",
    "site": "Site",
    "person": "Person",
    "rule": "Rule",
    "category": "Category",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """One group of denials: how many, billed, expected, won back, and how many came again."""

    label: str
    count: int
    billed: Decimal
    expected: Decimal
    recovered: Decimal
    repeats: int


def denials_of(actor: Actor, since: date) -> QuerySet[Denial]:
    """Denials since a day, those withdrawn left out."""
    rows = Denial.objects.visible_to(actor).filter(denied_on__gte=since)
    return rows.exclude(status=DenialStatus.WITHDRAWN)


def origins_by(rows: QuerySet[Denial], by: str) -> list[Origin]:
    """The groups with the most dollars billed first. One query."""
    zero = Decimal(0)
    return [
        Origin(r["label"], r["n"], r["billed"], r["risk"] or zero, r["won"] or zero, r["again"])
        for r in rows.annotate(label=_label(by))
        .values("label")
        .annotate(
            n=Count("pk"),
            billed=Sum("amount"),
            risk=Sum("expected"),
            won=Sum("recovered"),
            again=Count("pk", filter=Q(repeat=True)),
        )
        .order_by("-billed", "label")
    ]
