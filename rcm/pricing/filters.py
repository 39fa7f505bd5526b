"""Search of contracts and prices."""

from __future__ import annotations

import django_filters as f
from django import forms
from django.db.models import Q, QuerySet

from rcm.pricing.models import Contract, ListPrice


class ContractFilter(f.FilterSet):
    q = f.CharFilter(
        label="Contract or payer",
        method="look",
        widget=forms.TextInput(attrs={"placeholder": "Contract or payer"}),
    )

    def look(self, queryset: QuerySet[Contract], name: str, value: str) -> QuerySet[Contract]:
        return queryset.filter(
            Q(name__icontains=value)
            | Q(payer__name__icontains=value)
            | Q(payer__code__iexact=value)
        )


class PriceFilter(f.FilterSet):
    q = f.CharFilter(
        label="Code", method="look", widget=forms.TextInput(attrs={"placeholder": "Code"})
    )

    def look(self, queryset: QuerySet[ListPrice], name: str, value: str) -> QuerySet[ListPrice]:
        return queryset.filter(code__istartswith=value.strip())
