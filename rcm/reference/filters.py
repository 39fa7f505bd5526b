"""Search boxes of payers and code sets."""

from __future__ import annotations

from typing import Any

import django_filters as f
from django import forms
from django.db.models import Q, QuerySet

from rcm.reference.models import PayerKind


def search(placeholder: str, *fields: str) -> type[f.FilterSet]:
    """A filter bar with one search box: exact beginnings of codes, words anywhere in names (`name*`
    fields).
    """

    class Search(f.FilterSet):
        q = f.CharFilter(
            label=placeholder,
            method="look",
            widget=forms.TextInput(attrs={"placeholder": placeholder}),
        )

        def look(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
            for word in value.split()[:6]:
                asked = Q()
                for field in fields:
                    asked |= Q(
                        **{
                            f"{field.rstrip('*')}__{'icontains' if field.endswith('*') else 'istartswith'}": (
                                word
                            )
                        }
                    )
                queryset = queryset.filter(asked)
            return queryset

    return Search


class PayerFilter(search("Name, code or EDI id", "name*", "code", "edi_id")):  # type: ignore[misc]
    kind = f.ChoiceFilter(label="Kind", choices=PayerKind.choices, empty_label="Any kind")
