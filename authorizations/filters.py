"""Filters of the authorization list."""

from __future__ import annotations

import django_filters as f
from django import forms
from django.db.models import Q, QuerySet

from authorizations.models import Authorization, AuthStatus
from intake.filters import sites_of
from rcm.reference.models import Payer
from rcm.web.forms import MenuMultiple


class AuthorizationFilter(f.FilterSet):
    q = f.CharFilter(
        label="Patient, MRN or number",
        method="search",
        widget=forms.TextInput(attrs={"placeholder": "Patient, MRN or number"}),
    )
    status = f.MultipleChoiceFilter(
        label="Status", choices=AuthStatus.choices, widget=MenuMultiple("Status")
    )
    payer = f.ModelMultipleChoiceFilter(
        label="Payer", queryset=Payer.objects.all(), widget=MenuMultiple("Payer")
    )
    site = f.ModelMultipleChoiceFilter(label="Site", queryset=sites_of, widget=MenuMultiple("Site"))

    class Meta:
        model = Authorization
        fields: tuple[str, ...] = ()

    def search(
        self, rows: QuerySet[Authorization], name: str, value: str
    ) -> QuerySet[Authorization]:
        for word in value.lower().replace(",", " ").split()[:5]:
            rows = rows.filter(Q(patient__search__contains=word) | Q(number__iexact=word))
        return rows
