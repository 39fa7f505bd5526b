"""Forms of the network: a span with its days, its last day, a sheet."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.network.models import Standing
from rcm.network.spans import Piece
from rcm.pricing.web_forms import SheetForm
from rcm.reference.models import Payer, Plan
from rcm.web import forms as house


class SpanForm(house.HouseForm):
    """How a party stands from a day on."""

    status = forms.ChoiceField(
        label="Standing", choices=[("", "Choose the standing"), *Standing.choices]
    )
    effective_from = house.DateField(label="From")
    effective_to = house.DateField(
        label="Until", required=False, help_text="The last day; empty while it is open"
    )
    plan = forms.ModelChoiceField(
        label="Plan", queryset=Plan.objects.none(), required=False, empty_label="Every plan"
    )
    note = forms.CharField(
        label="Note",
        max_length=200,
        required=False,
        help_text="Such as the payer's letter or reference",
    )
    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, payer: Payer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plans = Plan.objects.filter(payer=payer).order_by("name")
        field = self.fields["plan"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = plans
        if not plans:
            del self.fields["plan"]

    def piece(self) -> Piece:
        values = self.cleaned_data
        last: dt.date | None = values["effective_to"]
        return Piece(values["status"], values["effective_from"], last, values["note"].strip())


class EndForm(house.HouseForm):
    last = house.DateField(label="Last day")
    seen = forms.CharField(widget=forms.HiddenInput, required=False)


class WithdrawForm(house.HouseForm):
    reason = forms.CharField(label="Why it was never true", max_length=200)


class NetworkSheetForm(SheetForm):
    organization = forms.ModelChoiceField(
        label="Organization", queryset=Organization.objects.none(), empty_label=None
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["organization"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Organization.objects.filter(pk__in=actor.organizations)
