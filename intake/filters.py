"""Filters of the front end's lists."""

from __future__ import annotations

from typing import Any

import django_filters as f
from django import forms
from django.db.models import QuerySet

from intake.models import Appointment, AppointmentStatus
from rcm.accounts.models import Site
from rcm.web.forms import MenuMultiple

MODALITIES = tuple((m, m) for m in ("CT", "MR", "PET", "NM", "US", "XR", "MG", "DXA", "FL"))


def sites_of(request: Any) -> QuerySet[Site]:
    """The sites of the reader's organizations."""
    if request is None:
        return Site.objects.none()
    rows = Site.objects.filter(organization_id__in=request.actor.organizations)
    return rows.filter(pk__in=request.actor.sites) if request.actor.sites else rows


class AppointmentFilter(f.FilterSet):
    q = f.CharFilter(
        label="Patient or MRN",
        method="search",
        widget=forms.TextInput(attrs={"placeholder": "Patient or MRN"}),
    )
    site = f.ModelMultipleChoiceFilter(label="Site", queryset=sites_of, widget=MenuMultiple("Site"))
    modality = f.MultipleChoiceFilter(
        label="Modality", choices=MODALITIES, widget=MenuMultiple("Modality")
    )
    clearance = f.MultipleChoiceFilter(
        label="Clearance",
        choices=(("stop", "Stop"), ("check", "Check"), ("ready", "Ready")),
        widget=MenuMultiple("Clearance"),
    )
    status = f.MultipleChoiceFilter(
        label="Status", choices=AppointmentStatus.choices[:3], widget=MenuMultiple("Status")
    )

    class Meta:
        model = Appointment
        fields: tuple[str, ...] = ()

    def search(self, rows: QuerySet[Appointment], name: str, value: str) -> QuerySet[Appointment]:
        for word in value.lower().replace(",", " ").split()[:5]:
            rows = rows.filter(patient__search__contains=word)
        return rows
