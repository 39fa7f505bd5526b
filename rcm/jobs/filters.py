from __future__ import annotations

import django_filters
from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest

from rcm.jobs.models import JobRun


def _kinds(request: HttpRequest | None = None) -> list[tuple[str, str]]:
    found = JobRun.objects.order_by("kind").values_list("kind", flat=True).distinct()
    return [(k, k.replace("_", " ").replace(".", ", ").capitalize()) for k in found]


class RunFilter(django_filters.FilterSet):
    """The filter bar of the runs list."""

    q = django_filters.CharFilter(
        label="Title", method="search", widget=forms.TextInput(attrs={"placeholder": "Title"})
    )
    kind = django_filters.ChoiceFilter(label="Kind", choices=_kinds, empty_label="Any kind")

    class Meta:
        model = JobRun
        fields: list[str] = []

    def search(self, rows: QuerySet[JobRun], name: str, value: str) -> QuerySet[JobRun]:
        return rows.filter(title__icontains=value.strip())
