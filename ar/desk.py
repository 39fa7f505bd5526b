"""Money at the desk: what a visit expects is taken, waived with a reason or promised for a day; the
receipt, and giving money back.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import uuid6
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from ar import services
from ar.models import PatientPayment
from ar.services.patients import METHODS
from intake import services as intake
from intake.models import Appointment, Patient, VisitMoney
from intake.present import banner, chart_read, local_moment
from intake.sections import Section
from rcm.accounts.problems import Refused
from rcm.reference.clock import day_at
from rcm.web import format as fmt
from rcm.web import forms as house
from rcm.web import parts
from rcm.web.access import found, may

TWICE = timedelta(seconds=30)
"""A form without its own key, sent again within this time, is the same form."""


class CollectForm(house.HouseForm):
    amount = house.MoneyField(label="Amount")
    method = forms.ChoiceField(label="Paid by", choices=METHODS)
    note = forms.CharField(label="Note", max_length=120, required=False)
    key = forms.CharField(max_length=60, required=False, widget=forms.HiddenInput)


class WaiveForm(house.HouseForm):
    amount = house.MoneyField(label="Amount", required=False, help_text="Empty: all that is left")
    reason = forms.CharField(
        label="Why it is waived",
        max_length=200,
        help_text="Such as financial hardship, with what is on file",
    )


class PromiseForm(house.HouseForm):
    promised_on = house.DateField(label="Paid by")
    amount = house.MoneyField(label="Amount", required=False, help_text="Empty: all that is left")
    reason = forms.CharField(label="Note", max_length=200, required=False)


class BackForm(house.HouseForm):
    amount = house.MoneyField(label="Amount")
    reason = forms.CharField(label="Why it is given back", max_length=120)


class EndForm(house.HouseForm):
    reason = forms.CharField(label="Why it ends", max_length=120)


def new_key() -> str:
    """The key of a form that is about to be shown."""
    return f"desk:{uuid6.uuid7()}"


def key_of(
    request: HttpRequest,
    patient: Patient,
    amount: Decimal,
    method: str,
    *,
    visit: Appointment | None,
) -> str:
    """The key that came with a form; without one, that of the same payment by the same person a
    moment ago, so that a double click gives one receipt.
    """
    given = request.POST.get("key", "").strip()
    if given:
        return given[:80]
    twin = (
        PatientPayment.objects.filter(
            patient=patient,
            amount=amount,
            method=method,
            appointment=visit,
            voided_at__isnull=True,
            created_at__gte=timezone.now() - TWICE,
            transaction__user_id=request.actor.user_id,  # type: ignore[attr-defined]
        )
        .exclude(key="")
        .order_by("-pk")
        .first()
    )
    return twin.key if twin is not None else new_key()


def _visit(request: HttpRequest, public_id: str) -> Appointment:
    rows = Appointment.objects.visible_to(request.actor)  # type: ignore[attr-defined]
    return found(rows.select_related("patient", "site"), public_id=public_id)


def _page(
    request: HttpRequest, visit: Appointment, form: Any, *, title: str, verb: str, **more: Any
) -> HttpResponseBase:
    due = intake.visits_due([visit.pk])[visit.pk]
    context = {
        "title": title,
        "verb": verb,
        "form": form,
        "visit": visit,
        "when": local_moment(visit),
        "patient": banner(visit.patient),
        "due": due,
        "settlements": VisitMoney.objects.filter(appointment=visit).order_by("id"),
        "back_url": reverse("intake:appointment", args=[visit.public_id]),
        "may_waive": request.actor.can("payment.waive", visit),  # type: ignore[attr-defined]
        **more,
    }
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "ar/collect.html", context, status=status)


def _refused(form: Any, refusal: Refused) -> None:
    text = f"{refusal} {refusal.fix}".strip()
    form.add_error(refusal.field if refusal.field in form.fields else None, text)


@require_http_methods(["GET", "HEAD", "POST"])
@may("payment.collect", money=True)
def collect(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Take what a visit expects; the receipt is the next page."""
    visit = _visit(request, public_id)
    chart_read(request, [visit.patient], "collection")
    due = intake.visits_due([visit.pk])[visit.pk]
    initial = {"amount": due.left or None, "key": new_key()}
    form = CollectForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        key = key_of(request, visit.patient, data["amount"], data["method"], visit=visit)
        try:
            row = services.payment_take(
                patient=visit.patient,
                amount=data["amount"],
                method=data["method"],
                note=data["note"],
                appointment=visit,
                received_on=day_at(visit.site),
                key=key,
                actor=request.actor,  # type: ignore[attr-defined]
            )
        except Refused as refusal:
            _refused(form, refusal)
        else:
            messages.success(request, f"Took {fmt.money(row.amount)}, receipt {row.receipt}.")
            return redirect("ar:receipt", public_id=row.public_id)
    return _page(request, visit, form, title="Collect at the desk", verb="Take payment", first=True)


@require_http_methods(["GET", "HEAD", "POST"])
@may("payment.waive", money=True)
def waive(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Waive what a visit expects, with the reason."""
    visit = _visit(request, public_id)
    form = WaiveForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            row = intake.visit_waive(
                appointment=visit,
                actor=request.actor,  # type: ignore[attr-defined]
                **form.cleaned_data,
            )
        except Refused as refusal:
            _refused(form, refusal)
        else:
            messages.success(request, f"{fmt.money(row.amount)} waived.")
            return redirect("intake:appointment", public_id=visit.public_id)
    return _page(request, visit, form, title="Waive the patient's share", verb="Waive")


@require_http_methods(["GET", "HEAD", "POST"])
@may("payment.collect", money=True)
def promise(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Keep the day for which the patient promises to pay."""
    visit = _visit(request, public_id)
    form = PromiseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            row = intake.visit_plan(
                appointment=visit,
                actor=request.actor,  # type: ignore[attr-defined]
                **form.cleaned_data,
            )
        except Refused as refusal:
            _refused(form, refusal)
        else:
            messages.success(request, f"{fmt.money(row.amount)} promised.")
            return redirect("intake:appointment", public_id=visit.public_id)
    return _page(request, visit, form, title="Pay later", verb="Keep the promise")


@require_http_methods(["GET", "HEAD", "POST"])
@may("payment.collect", money=True)
def settlement_end(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Take back a waiver or a promise."""
    rows = VisitMoney.objects.visible_to(request.actor)  # type: ignore[attr-defined]
    row = found(rows.select_related("appointment__patient"), public_id=public_id)
    visit = _visit(request, str(row.appointment.public_id))
    form = EndForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            intake.settlement_end(
                settlement=row,
                reason=form.cleaned_data["reason"],
                actor=request.actor,  # type: ignore[attr-defined]
            )
        except Refused as refusal:
            _refused(form, refusal)
        else:
            messages.success(request, "Taken back.")
            return redirect("intake:appointment", public_id=visit.public_id)
    words = f"{row.get_kind_display()} {fmt.money(row.amount)}"
    return _page(request, visit, form, title=f"Take back: {words}", verb="Take back")


@require_http_methods(["GET", "HEAD", "POST"])
@may("refund.approve", money=True)
def refund(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Give back money of a receipt that is still on account."""
    rows = PatientPayment.objects.visible_to(request.actor)  # type: ignore[attr-defined]
    row = found(rows.select_related("patient"), public_id=public_id)
    form = BackForm(request.POST or None, initial={"amount": row.amount - row.refunded})
    back = reverse("ar:receipt", args=[row.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            services.payment_refund(
                payment=row,
                actor=request.actor,  # type: ignore[attr-defined]
                **form.cleaned_data,
            )
        except Refused as refusal:
            _refused(form, refusal)
        else:
            messages.success(request, f"{fmt.money(form.cleaned_data['amount'])} given back.")
            return redirect(back)
    context = {
        "title": f"Give back money of receipt {row.receipt}",
        "text": "Only what is still on account is given back; the ledger keeps both.",
        "form": form,
        "verb": "Give back",
        "back_url": back,
        "patient": banner(row.patient),
    }
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "ar/form.html", context, status=status)


@require_safe
@may("payment.collect")
def collected(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The newest receipt of a visit."""
    visit = _visit(request, public_id)
    row = PatientPayment.objects.filter(appointment=visit).order_by("-pk").first()
    if row is None:
        return redirect("ar:collect", public_id=visit.public_id)
    return redirect("ar:receipt", public_id=row.public_id)


def of_appointment(request: HttpRequest, visit: Appointment) -> Section | None:
    """What a visit expects and what settled it, for the visit's page."""
    actor = request.actor  # type: ignore[attr-defined]
    rows = list(VisitMoney.objects.filter(appointment=visit).order_by("id"))
    due = intake.visits_due([visit.pk])[visit.pk]
    if not rows and due.expected is None:
        return None
    receipts = dict(
        PatientPayment.objects.filter(appointment=visit).values_list("receipt", "public_id")
    )
    lines = [(row, receipts.get(row.receipt)) for row in rows]
    page = [visit.public_id]
    actions = []
    if due.left > 0 and actor.can("payment.collect", visit):
        actions.append(parts.Action("Collect", reverse("ar:collect", args=page), primary=True))
        if actor.can("payment.waive", visit):
            actions.append(parts.Action("Waive", reverse("ar:waive", args=page)))
        actions.append(parts.Action("Pay later", reverse("ar:promise", args=page)))
    return Section(
        "Patient's share",
        "ar/visit_money.html",
        {
            "due": due,
            "lines": lines,
            "actions": actions,
            "may_end": actor.can("payment.collect", visit),
        },
    )
