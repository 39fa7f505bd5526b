"""Filters of the claim lists."""

from __future__ import annotations

import django_filters as f
from django import forms
from django.db.models import Q, QuerySet

from claims.models import Claim, ClaimStatus, Submission, SubmissionStatus
from intake.filters import sites_of
from rcm.reference.models import Payer
from rcm.web.forms import MenuMultiple


class ClaimFilter(f.FilterSet):
    q = f.CharFilter(
        label="Claim, patient or MRN",
        method="search",
        widget=forms.TextInput(attrs={"placeholder": "Claim, patient or MRN"}),
    )
    status = f.MultipleChoiceFilter(
        label="Status", choices=ClaimStatus.choices, widget=MenuMultiple("Status")
    )
    payer = f.ModelMultipleChoiceFilter(
        label="Payer", queryset=Payer.objects.all(), widget=MenuMultiple("Payer")
    )
    site = f.ModelMultipleChoiceFilter(label="Site", queryset=sites_of, widget=MenuMultiple("Site"))
    frequency = f.MultipleChoiceFilter(
        label="Kind",
        choices=[("1", "Original"), ("7", "Replacement"), ("8", "Void")],
        widget=MenuMultiple("Kind"),
    )
    edit = f.CharFilter(label="Edit", method="by_edit", widget=forms.HiddenInput)

    class Meta:
        model = Claim
        fields: tuple[str, ...] = ()

    def search(self, rows: QuerySet[Claim], name: str, value: str) -> QuerySet[Claim]:
        for word in value.replace(",", " ").split()[:5]:
            rows = rows.filter(
                Q(number__istartswith=word)
                | Q(patient__search__contains=word.lower())
                | Q(payer_control_number__iexact=word)
            )
        return rows

    def by_edit(self, rows: QuerySet[Claim], name: str, value: str) -> QuerySet[Claim]:
        return rows.filter(findings__edit=value, findings__cleared_at__isnull=True).distinct()


class SubmissionFilter(f.FilterSet):
    status = f.MultipleChoiceFilter(
        label="Status", choices=SubmissionStatus.choices, widget=MenuMultiple("Status")
    )
    day = f.DateFilter(
        label="Day", field_name="built_at", lookup_expr="date", widget=forms.HiddenInput
    )

    class Meta:
        model = Submission
        fields: tuple[str, ...] = ()
