"""Filter bars of receivables."""

from __future__ import annotations

import django_filters
from django import forms
from django.db.models import Exists, OuterRef, Q, QuerySet

from ar.models import AccountHold, Refund, RequestStatus, Statement, WriteOffRequest
from ar.tables import reasons
from intake.models import Patient

SEARCH = {"placeholder": "Patient or MRN"}


def _people(prefix: str, value: str) -> Q:
    return (
        Q(**{f"{prefix}last_name__istartswith": value})
        | Q(**{f"{prefix}mrn__iexact": value})
        | Q(**{f"{prefix}search__contains": value.lower()})
    )


class AccountFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(
        label="Patient or MRN", method="search", widget=forms.TextInput(attrs=SEARCH)
    )
    hold = django_filters.ChoiceFilter(
        label="Hold",
        choices=[("yes", "On hold"), ("no", "Not on hold")],
        empty_label="Any hold",
        method="by_hold",
    )

    class Meta:
        model = Patient
        fields: list[str] = []

    def search(self, rows: QuerySet[Patient], name: str, value: str) -> QuerySet[Patient]:
        return rows.filter(_people("", value.strip()))

    def by_hold(self, rows: QuerySet[Patient], name: str, value: str) -> QuerySet[Patient]:
        held = Exists(AccountHold.objects.filter(patient=OuterRef("pk"), lifted_at__isnull=True))
        return rows.filter(held if value == "yes" else ~held)


class StatementFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(
        label="Patient or MRN", method="search", widget=forms.TextInput(attrs=SEARCH)
    )
    step = django_filters.ChoiceFilter(
        label="Step", choices=[(n, f"Notice {n}") for n in (1, 2, 3, 4)], empty_label="Any step"
    )

    class Meta:
        model = Statement
        fields: list[str] = []

    def search(self, rows: QuerySet[Statement], name: str, value: str) -> QuerySet[Statement]:
        return rows.filter(_people("patient__", value.strip()) | Q(number__iexact=value.strip()))


class WriteOffFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(
        label="Patient or MRN", method="search", widget=forms.TextInput(attrs=SEARCH)
    )
    reason = django_filters.ChoiceFilter(
        label="Reason",
        choices=lambda: [(r.code, r.label) for r in reasons().values()],
        empty_label="Any reason",
    )

    class Meta:
        model = WriteOffRequest
        fields: list[str] = []

    def search(
        self, rows: QuerySet[WriteOffRequest], name: str, value: str
    ) -> QuerySet[WriteOffRequest]:
        return rows.filter(
            _people("charge__patient__", value.strip()) | Q(claim__number__iexact=value.strip())
        )


class RefundFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(
        label="Patient or MRN", method="search", widget=forms.TextInput(attrs=SEARCH)
    )
    status = django_filters.ChoiceFilter(
        label="Status", choices=RequestStatus.choices, empty_label="Any status"
    )

    class Meta:
        model = Refund
        fields: list[str] = []

    def search(self, rows: QuerySet[Refund], name: str, value: str) -> QuerySet[Refund]:
        return rows.filter(_people("patient__", value.strip()))
