"""Filter bars of the remittance and denial lists."""

from __future__ import annotations

from typing import Any

import django_filters as f
from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from rcm.reference.models import Payer
from rcm.web.forms import MenuMultiple
from remittance.models import Denial, Remittance, UnappliedCash, Variance
from remittance.variance import CAUSES


def payers(request: HttpRequest | None) -> QuerySet[Payer]:
    return Payer.objects.filter(active=True)


def _search(placeholder: str) -> f.CharFilter:
    return f.CharFilter(
        label=placeholder,
        method="search",
        widget=forms.TextInput(attrs={"placeholder": placeholder}),
    )


class RemittanceFilter(f.FilterSet):
    q = _search("Check, EFT or payer")
    payer = f.ModelMultipleChoiceFilter(
        label="Payer", queryset=payers, widget=MenuMultiple("Payer")
    )
    source = f.ChoiceFilter(
        label="Source", choices=[("835", "835"), ("paper", "Paper")], empty_label="Any source"
    )

    class Meta:
        model = Remittance
        fields: list[str] = []

    def search(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return rows.filter(
            Q(trace__icontains=value.strip()) | Q(payer_name__icontains=value.strip())
        )


class DenialFilter(f.FilterSet):
    q = _search("Patient, claim or MRN")
    payer = f.ModelMultipleChoiceFilter(
        label="Payer", queryset=payers, widget=MenuMultiple("Payer")
    )
    category = f.CharFilter(label="Category")
    reason = f.CharFilter(label="Reason code")

    class Meta:
        model = Denial
        fields: list[str] = []

    def search(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        text = value.strip()
        return rows.filter(
            Q(claim__number__icontains=text)
            | Q(claim__patient__last_name__icontains=text)
            | Q(claim__patient__mrn__iexact=text)
        )


class CashFilter(f.FilterSet):
    q = _search("Claim, patient or check")
    payer = f.ModelMultipleChoiceFilter(
        label="Payer", queryset=payers, field_name="remittance__payer", widget=MenuMultiple("Payer")
    )

    class Meta:
        model = UnappliedCash
        fields: list[str] = []

    def search(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        text = value.strip()
        return rows.filter(
            Q(payment__claim_number__icontains=text)
            | Q(payment__patient_name__icontains=text)
            | Q(remittance__trace__icontains=text)
        )


class VarianceFilter(f.FilterSet):
    q = _search("Claim or code")
    payer = f.ModelMultipleChoiceFilter(
        label="Payer", queryset=payers, widget=MenuMultiple("Payer")
    )
    cause = f.ChoiceFilter(label="Cause", choices=list(CAUSES.items()), empty_label="Any cause")
    code = f.CharFilter(label="Code")

    class Meta:
        model = Variance
        fields: list[str] = []

    def search(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return rows.filter(
            Q(claim__number__icontains=value.strip()) | Q(code__iexact=value.strip())
        )
