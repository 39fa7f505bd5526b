"""Filters of the interchange browser."""

from __future__ import annotations

from typing import Any

import django_filters as f
from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from rcm.exchange.models import Connection, Direction, Interchange
from rcm.web.forms import MenuMultiple

KINDS = (
    "EVENT",
    "ADT",
    "ORM",
    "OMI",
    "SIU",
    "ORU",
    "DFT",
    "MPPS",
    "270",
    "271",
    "275",
    "276",
    "277",
    "277CA",
    "278",
    "835",
    "837P",
    "837I",
    "999",
    "TA1",
    "HL7",
    "AGENCY-PLACE",
    "AGENCY-RECALL",
)


def partners(request: HttpRequest | None) -> QuerySet[Connection]:
    if request is None:
        return Connection.objects.none()
    return Connection.objects.visible_to(request.actor).order_by("name")  # type: ignore[attr-defined]


class InterchangeFilter(f.FilterSet):
    q = f.CharFilter(
        label="Control number or file name",
        method="search",
        widget=forms.TextInput(attrs={"placeholder": "Control number or file name"}),
    )
    kind = f.MultipleChoiceFilter(
        label="Kind", choices=[(k, k) for k in KINDS], widget=MenuMultiple("Kind")
    )
    direction = f.ChoiceFilter(
        label="Direction", choices=Direction.choices, empty_label="In and out"
    )
    connection = f.ModelMultipleChoiceFilter(
        label="Partner", queryset=partners, widget=MenuMultiple("Partner")
    )
    since = f.DateFilter(
        label="From",
        field_name="received_at",
        lookup_expr="date__gte",
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    until = f.DateFilter(
        label="To",
        field_name="received_at",
        lookup_expr="date__lte",
        widget=forms.DateInput(attrs={"type": "date"}),
    )

    class Meta:
        model = Interchange
        fields: tuple[str, ...] = ()

    def search(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        text = value.strip()[:80]
        return (
            rows.filter(Q(control_number__icontains=text) | Q(file_name__icontains=text))
            if text
            else rows
        )
