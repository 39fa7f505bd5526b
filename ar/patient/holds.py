"""Holds of an account: set with what the kind needs, lifted with a reason."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from ar import services
from ar.forms import ChargeField
from ar.holding import BY_HAND, RULES
from ar.models import AccountHold
from ar.patient.common import form_page, patient_of, refuse
from ar.views import banner
from charges.models import Charge
from rcm.accounts.problems import Refused
from rcm.web import forms as house
from rcm.web.access import actor_of, found, may


class HoldForm(house.HouseForm):
    kind = forms.ChoiceField(label="Why", choices=[("", "Choose"), *BY_HAND])
    charge = ChargeField(
        label="What",
        queryset=Charge.objects.none(),
        required=False,
        empty_label="The whole account",
    )
    case_number = forms.CharField(
        label="Case number", max_length=40, required=False, help_text="Of a bankruptcy"
    )
    event_on = house.DateField(label="Day of the filing or of death", past=True, required=False)
    note = forms.CharField(
        label="Note",
        max_length=300,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="For a dispute: what the patient disputes",
    )

    def __init__(self, *args: Any, charges: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["charge"].queryset = charges  # type: ignore[attr-defined]


class LiftForm(house.HouseForm):
    reason = forms.CharField(label="Why the hold ends", max_length=300)


@require_http_methods(["GET", "HEAD", "POST"])
@may("statement.send", money=True)
def hold(request: HttpRequest, public_id: str) -> HttpResponseBase:
    patient = patient_of(request, public_id)
    charges = Charge.objects.filter(patient=patient).exclude(status__in=["void", "held"])
    form = HoldForm(request.POST or None, charges=charges.order_by("-service_date", "-pk"))
    back = reverse("ar:account", args=[patient.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            services.hold_set(patient=patient, actor=actor_of(request), **form.cleaned_data)
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "The account is on hold.")
            return redirect(back)
    return form_page(
        request,
        form,
        title="Hold",
        verb="Put on hold",
        back=back,
        text="While it is held no statement goes out and nothing goes to an agency.",
        patient=banner(patient),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("statement.send", money=True)
def lift(request: HttpRequest, public_id: str) -> HttpResponseBase:
    rows = AccountHold.objects.visible_to(actor_of(request)).select_related("patient")
    row = found(rows, public_id=public_id)
    form = LiftForm(request.POST or None)
    back = reverse("ar:account", args=[row.patient.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            services.hold_lift(
                hold=row, reason=form.cleaned_data["reason"], actor=actor_of(request)
            )
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "The hold is lifted.")
            return redirect(back)
    return form_page(
        request,
        form,
        title=f"Lift hold: {row.get_kind_display().lower()}",
        verb="Lift the hold",
        back=back,
        text=f"{RULES[row.kind].sentence}. {row.note}".strip(),
        patient=banner(row.patient),
    )
