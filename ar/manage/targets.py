"""The screen that gives a figure another target from a day on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from ar.kpi.definitions import BY_CODE, PERCENT, Kpi
from ar.kpi.targets import target_set, targeted
from ar.manage.common import OrganizationForm, form_page
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.web import forms as house
from rcm.web.access import actor_of, may

HUNDRED = Decimal(100)


class TargetForm(OrganizationForm):
    target = forms.DecimalField(label="Target", max_digits=12, decimal_places=2)
    effective_from = house.DateField(label="From")
    note = forms.CharField(label="Why", max_length=200)

    def __init__(self, *args: Any, kpi: Kpi, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        units = {"percent": "percent", "money": "dollars"}
        self.fields["target"].label = f"Target, {kpi.direction}"
        self.fields["target"].help_text = f"In {units.get(kpi.unit, kpi.unit)}"


@require_http_methods(["GET", "HEAD", "POST"])
@may("rules.edit")
def kpi_target(request: HttpRequest, code: str) -> HttpResponseBase:
    """Ask for the target, its first day and the reason."""
    kpi = BY_CODE.get(code)
    if kpi is None:
        raise Http404
    actor = actor_of(request)
    scale = HUNDRED if kpi.unit == PERCENT else Decimal(1)
    today = office_day()
    shown = targeted(actor.organizations, today)[code].target
    form = TargetForm(
        request.POST or None,
        actor=actor,
        kpi=kpi,
        initial={"target": shown * scale if shown is not None else None, "effective_from": today},
    )
    back = reverse("ar:kpi", args=[code])
    if form.is_valid():
        try:
            target_set(
                organization_id=form.organization_id,
                kpi=code,
                target=form.cleaned_data["target"] / scale,
                effective_from=form.cleaned_data["effective_from"],
                note=form.cleaned_data["note"],
                actor=actor,
            )
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, "The target was set. Earlier days keep theirs.")
            return redirect(back)
    return form_page(
        request, form, title=f"Target of “{kpi.label}”", verb="Set the target", back=back
    )
