"""Forms of receivables. The services decide; these read what was typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from ar.services.credits import CAUSES
from ar.services.patients import METHODS
from ar.tables import reasons
from charges.models import Charge
from rcm.ledger.models import Account
from rcm.reference.models import Payer
from rcm.web import forms as house
from rcm.web.format import money, short_day
from rcm.worklist.models import Interaction


class PaymentForm(house.HouseForm):
    amount = house.MoneyField(label="Amount")
    method = forms.ChoiceField(label="Paid by", choices=METHODS)
    received_on = house.DateField(label="Received on", past=True)
    for_plan = forms.BooleanField(label="For the payment plan", required=False)
    note = forms.CharField(label="Note", max_length=120, required=False)
    key = forms.CharField(max_length=60, required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, plan: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not plan:
            del self.fields["for_plan"]


class VoidForm(house.HouseForm):
    reason = forms.CharField(label="Why it is voided", max_length=120)


class DayForm(house.HouseForm):
    counted = house.MoneyField(label="Cash counted in the drawer")
    note = forms.CharField(label="Note", max_length=300, required=False)


class PlanForm(house.HouseForm):
    total = house.MoneyField(label="Total")
    instalment = house.MoneyField(label="Instalment")
    starts_on = house.DateField(label="First instalment on")


class TransferForm(house.HouseForm):
    to = forms.ChoiceField(
        label="Move to", choices=[("patient", "The patient"), ("insurance", "Insurance")]
    )
    amount = house.MoneyField(label="Amount")
    reason = forms.CharField(label="Why", max_length=160)


class ChargeField(forms.ModelChoiceField):
    def label_from_instance(self, obj: Charge) -> str:
        return f"{obj.code} {short_day(obj.service_date)}, {money(obj.amount)} billed"


class ContactField(forms.ModelChoiceField):
    def label_from_instance(self, obj: Interaction) -> str:
        return f"{short_day(obj.at)} {obj.get_channel_display()}: {obj.outcome}" + (
            f", {obj.reference}" if obj.reference else ""
        )


class WriteOffForm(house.HouseForm):
    """What to give up, how much, why, and which contact stands behind it."""

    charge = ChargeField(label="Charge", queryset=Charge.objects.none())
    account = forms.ChoiceField(
        label="Balance",
        choices=[(Account.AR_INSURANCE, "Insurance"), (Account.AR_PATIENT, "Patient")],
    )
    amount = house.MoneyField(label="Amount")
    reason = forms.ChoiceField(label="Reason", choices=())
    contact = ContactField(
        label="Documented contact",
        queryset=Interaction.objects.none(),
        required=False,
        empty_label="The latest one",
    )
    note = forms.CharField(
        label="Why it cannot be collected", max_length=300, widget=forms.Textarea(attrs={"rows": 3})
    )

    def __init__(self, *args: Any, charges: Any, contacts: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["charge"].queryset = charges  # type: ignore[attr-defined]
        self.fields["contact"].queryset = contacts  # type: ignore[attr-defined]
        self.fields["reason"].choices = [  # type: ignore[attr-defined]
            ("", "Choose"),
            *((r.code, r.label) for r in reasons().values()),
        ]


class DecideForm(house.HouseForm):
    decision = forms.ChoiceField(
        label="Decision",
        choices=[("approve", "Approve"), ("refuse", "Refuse")],
        widget=forms.RadioSelect,
    )
    note = forms.CharField(
        label="Note",
        max_length=300,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Needed when you refuse",
    )


class RefundForm(house.HouseForm):
    to = forms.ChoiceField(
        label="Give back to", choices=[("patient", "The patient"), ("payer", "The payer")]
    )
    payer = forms.ModelChoiceField(
        label="Payer",
        queryset=Payer.objects.none(),
        required=False,
        empty_label="The one that overpaid",
    )
    amount = house.MoneyField(label="Amount")
    cause = forms.ChoiceField(label="Cause", choices=[("", "Choose"), *CAUSES])

    def __init__(self, *args: Any, payers: Sequence[Payer] = (), **kwargs: Any) -> None:
        """`payers` are those that overpaid; the choice is asked only where there are several."""
        super().__init__(*args, **kwargs)
        if len(payers) < 2:
            del self.fields["payer"]
        else:
            found = Payer.objects.filter(pk__in=[p.pk for p in payers])
            self.fields["payer"].queryset = found  # type: ignore[attr-defined]


class IssueForm(house.HouseForm):
    reference = forms.CharField(label="Check or transfer number", max_length=40)
