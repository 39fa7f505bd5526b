"""Filters of the mid-cycle's lists."""

from __future__ import annotations

from typing import Any

import django_filters as f
from django import forms
from django.db.models import Q, QuerySet

from charges.models import Exam, ExamStatus, Reader, Unsolicited
from intake.filters import sites_of
from rcm.reference.models import Payer
from rcm.web.forms import MenuMultiple


def readers_of(request: Any) -> QuerySet[Reader]:
    return (
        Reader.objects.none()
        if request is None
        else Reader.objects.visible_to(request.actor).select_related("provider")
    )


class _ReaderField(f.ModelMultipleChoiceFilter):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            label="Reader", queryset=readers_of, widget=MenuMultiple("Reader"), **kwargs
        )

    @property
    def field(self) -> Any:
        field = super().field
        field.label_from_instance = lambda reader: str(reader.provider)
        return field


class ExamFilter(f.FilterSet):
    q = f.CharFilter(
        label="Patient, MRN, accession or code",
        method="search",
        widget=forms.TextInput(attrs={"placeholder": "Patient, MRN, accession or code"}),
    )
    status = f.MultipleChoiceFilter(
        label="Status", choices=ExamStatus.choices, widget=MenuMultiple("Status")
    )
    payer = f.ModelMultipleChoiceFilter(
        label="Payer",
        field_name="coverage__payer",
        queryset=Payer.objects.all(),
        widget=MenuMultiple("Payer"),
    )
    site = f.ModelMultipleChoiceFilter(label="Site", queryset=sites_of, widget=MenuMultiple("Site"))
    reader = _ReaderField()
    modality = f.CharFilter(
        label="Modality",
        lookup_expr="iexact",
        widget=forms.TextInput(attrs={"placeholder": "Modality", "size": 8}),
    )
    day = f.DateFilter(label="Day", field_name="service_date", widget=forms.HiddenInput)

    class Meta:
        model = Exam
        fields: tuple[str, ...] = ()

    def search(self, rows: QuerySet[Exam], name: str, value: str) -> QuerySet[Exam]:
        for word in value.lower().replace(",", " ").split()[:5]:
            rows = rows.filter(
                Q(patient__search__contains=word)
                | Q(accession__iexact=word)
                | Q(code__iexact=word)
                | Q(reader__provider__last_name__iexact=word)
                | Q(reader__provider__first_name__iexact=word)
            )
        return rows


class UnsolicitedFilter(f.FilterSet):
    q = f.CharFilter(
        label="MRN or accession",
        method="search",
        widget=forms.TextInput(attrs={"placeholder": "MRN or accession"}),
    )
    kind = f.CharFilter(
        label="Message",
        lookup_expr="iexact",
        widget=forms.TextInput(attrs={"placeholder": "Message", "size": 8}),
    )

    class Meta:
        model = Unsolicited
        fields: tuple[str, ...] = ()

    def search(self, rows: QuerySet[Unsolicited], name: str, value: str) -> QuerySet[Unsolicited]:
        word = value.strip()
        return rows.filter(
            Q(mrn__iexact=word) | Q(accession__iexact=word) | Q(filler_number__iexact=word)
        )
