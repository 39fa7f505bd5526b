"""Filter bars of the audit: who read, what changed, what happened. Patients are named by MRN or
chart id, days as people type them.
"""

from __future__ import annotations

import uuid
from typing import Any

import django_filters
from django import forms
from django.apps import apps
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from rcm.audit.models import Access, Change, Event
from rcm.web.forms import read_date


def patient_ids(request: HttpRequest, text: str) -> list[int]:
    """Patients of the reader's organizations by MRN, public id or name. The table is found by name:
    this room knows no phase.
    """
    model: Any = apps.get_model("intake", "Patient")
    rows = model.objects.visible_to(request.actor)  # type: ignore[attr-defined]
    text = text.strip()
    try:
        return list(rows.filter(public_id=uuid.UUID(text)).values_list("pk", flat=True))
    except ValueError:
        found = rows.filter(
            Q(mrn__iexact=text) | Q(last_name__istartswith=text) | Q(search__contains=text.lower())
        )
        return list(found.values_list("pk", flat=True)[:500])


def audited_tables() -> dict[str, type[Model]]:
    """Tables whose changes are kept."""
    return {
        m._meta.db_table: m
        for m in apps.get_models()
        if getattr(m, "audited", False) and hasattr(m, "organization_id")
    }


def table_words(name: str) -> str:
    model = audited_tables().get(name)
    return str(model._meta.verbose_name).capitalize() if model else name.replace("_", " ")


class _Days(django_filters.FilterSet):
    since = django_filters.CharFilter(
        label="From",
        method="from_day",
        widget=forms.TextInput(attrs={"placeholder": "From 03/01/2026", "inputmode": "numeric"}),
    )
    until = django_filters.CharFilter(
        label="Until",
        method="to_day",
        widget=forms.TextInput(attrs={"placeholder": "Until", "inputmode": "numeric"}),
    )
    moment = "at"

    def from_day(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        day = read_date(value)
        return rows.filter(**{f"{self.moment}__date__gte": day}) if day else rows.none()

    def to_day(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        day = read_date(value)
        return rows.filter(**{f"{self.moment}__date__lte": day}) if day else rows.none()


class ReadFilter(_Days):
    q = django_filters.CharFilter(
        label="Patient or MRN",
        method="by_patient",
        widget=forms.TextInput(attrs={"placeholder": "Patient or MRN"}),
    )
    who = django_filters.CharFilter(
        field_name="actor_name",
        lookup_expr="icontains",
        label="Reader",
        widget=forms.TextInput(attrs={"placeholder": "Reader"}),
    )
    purpose = django_filters.CharFilter(
        field_name="purpose",
        lookup_expr="icontains",
        label="Purpose",
        widget=forms.TextInput(attrs={"placeholder": "Purpose, such as export"}),
    )
    moment = "created_at"

    class Meta:
        model = Access
        fields: list[str] = []

    def by_patient(self, rows: QuerySet[Access], name: str, value: str) -> QuerySet[Access]:
        return rows.filter(patient_id__in=patient_ids(self.request, value))


class ChangeFilter(_Days):
    q = django_filters.CharFilter(
        label="Row number",
        method="by_row",
        widget=forms.TextInput(attrs={"placeholder": "Row number", "inputmode": "numeric"}),
    )
    patient = django_filters.CharFilter(
        label="Patient or MRN",
        method="by_patient",
        widget=forms.TextInput(attrs={"placeholder": "Patient or MRN"}),
    )
    table = django_filters.ChoiceFilter(
        field_name="table_name",
        label="Table",
        empty_label="Any table",
        choices=lambda: sorted(((t, table_words(t)) for t in audited_tables()), key=lambda c: c[1]),
    )
    who = django_filters.CharFilter(
        field_name="actor",
        lookup_expr="icontains",
        label="Author",
        widget=forms.TextInput(attrs={"placeholder": "Author"}),
    )

    class Meta:
        model = Change
        fields: list[str] = []

    def by_row(self, rows: QuerySet[Change], name: str, value: str) -> QuerySet[Change]:
        return (
            rows.filter(row_id=int(value)) if value.isdecimal() and len(value) < 19 else rows.none()
        )

    def by_patient(self, rows: QuerySet[Change], name: str, value: str) -> QuerySet[Change]:
        """Changes of the patient's own row and of every audited row that names the patient."""
        ids = patient_ids(self.request, value)[:20]
        if not ids:
            return rows.none()
        wanted = Q(table_name="intake_patient", row_id__in=ids)
        for table, model in audited_tables().items():
            if any(f.column == "patient_id" for f in model._meta.local_concrete_fields):
                wanted |= Q(
                    table_name=table,
                    row_id__in=model._default_manager.filter(patient_id__in=ids).values("pk"),
                )
        return rows.filter(wanted)


class StepFilter(_Days):
    q = django_filters.CharFilter(
        label="Patient or MRN",
        method="by_patient",
        widget=forms.TextInput(attrs={"placeholder": "Patient or MRN"}),
    )
    verb = django_filters.CharFilter(
        field_name="verb",
        lookup_expr="startswith",
        label="Step",
        widget=forms.TextInput(attrs={"placeholder": "Step, such as claim."}),
    )
    who = django_filters.CharFilter(
        field_name="actor_name",
        lookup_expr="icontains",
        label="Who",
        widget=forms.TextInput(attrs={"placeholder": "Who"}),
    )

    class Meta:
        model = Event
        fields: list[str] = []

    def by_patient(self, rows: QuerySet[Event], name: str, value: str) -> QuerySet[Event]:
        return rows.filter(patient_id__in=patient_ids(self.request, value))
