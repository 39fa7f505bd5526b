"""Screens of the collection agency: what may go there, a batch and its decision, recall, money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from ar import services
from ar.manage.common import OrganizationForm
from ar.models import Agency, AgencyBatch, BatchStatus, Placement
from ar.patient.common import form_page, refuse
from ar.services.agency import agency_candidates, charges_of
from ar.services.guards import ZERO
from ar.views import banner
from intake.present import chart_read
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.web import forms as house
from rcm.web import parts
from rcm.web.access import actor_of, found, may


class AgencyForm(OrganizationForm):
    name = forms.CharField(label="Agency", max_length=80)
    percent = forms.DecimalField(
        label="Its fee in percent of what it collects", max_digits=5, decimal_places=2
    )
    effective_from = house.DateField(label="Fee holds from")


class DecideForm(house.HouseForm):
    decision = forms.ChoiceField(
        label="Decision",
        choices=[("send", "Send to the agency"), ("drop", "Drop the batch")],
        widget=forms.RadioSelect,
    )
    note = forms.CharField(
        label="Note", max_length=300, required=False, help_text="Needed when you drop it"
    )


class AcceptedForm(house.HouseForm):
    on = house.DateField(label="Accepted on", past=True)


class RecallForm(house.HouseForm):
    reason = forms.CharField(label="Why it is recalled", max_length=300)


class PaymentForm(house.HouseForm):
    collected = house.MoneyField(
        label="Collected from the patient", help_text="The whole payment, before the fee"
    )
    reference = forms.CharField(label="The agency's number", max_length=40)
    received_on = house.DateField(label="Received on", past=True)


@require_safe
@may("account.view")
def agencies(request: HttpRequest) -> HttpResponseBase:
    """Who collects, what may go there today, and the batches."""
    actor = actor_of(request)
    ready: dict[int, tuple[int, Decimal]] = {}
    for pk in sorted(actor.organizations):
        may_go, _ = agency_candidates(pk, timezone.now())
        ready[pk] = (len(may_go), sum((c.balance for c in may_go), ZERO))
    rows = Agency.objects.visible_to(actor).select_related("organization").order_by("name")
    fees = {a.pk: a.fees.all() for a in rows.prefetch_related("fees")}
    batches = AgencyBatch.objects.visible_to(actor).select_related("agency", "requested_by")
    return render(
        request,
        "ar/agencies.html",
        {
            "agencies": [
                {
                    "row": a,
                    "fees": sorted(fees[a.pk], key=lambda f: f.effective_from, reverse=True),
                    "count": ready[a.organization_id][0],
                    "dollars": ready[a.organization_id][1],
                    "may_propose": actor.can("followup.work", a),
                }
                for a in rows
            ],
            "batches": batches.order_by("-pk")[:100],
            "may_edit": actor.can_somewhere("rules.edit"),
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("rules.edit", money=True)
def agency_new(request: HttpRequest) -> HttpResponseBase:
    actor = actor_of(request)
    form = AgencyForm(request.POST or None, actor=actor, initial={"effective_from": office_day()})
    if request.method == "POST" and form.is_valid():
        data: dict[str, Any] = {k: v for k, v in form.cleaned_data.items() if k != "organization"}
        try:
            services.agency_set(organization_id=form.organization_id, actor=actor, **data)
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "The agency and its fee are kept.")
            return redirect("ar:agencies")
    return form_page(
        request,
        form,
        title="Collection agency",
        verb="Keep",
        back=reverse("ar:agencies"),
        text="A known name gets a new fee from that day; what was paid before keeps its own.",
    )


@require_POST
@may("followup.work", money=True)
def propose(request: HttpRequest, public_id: str) -> HttpResponseBase:
    agency = found(Agency.objects.visible_to(actor_of(request)), public_id=public_id)
    try:
        row = services.placement_propose(agency=agency, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
        return redirect("ar:agencies")
    messages.success(request, f"Batch {row.number} waits for a second person.")
    return redirect("ar:agency_batch", public_id=row.public_id)


def _batch(request: HttpRequest, public_id: str) -> AgencyBatch:
    rows = AgencyBatch.objects.visible_to(actor_of(request)).select_related(
        "agency", "requested_by", "decided_by", "interchange"
    )
    return found(rows, public_id=public_id)


@require_safe
@may("account.view")
def batch(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _batch(request, public_id)
    actor = actor_of(request)
    placements = charges_of(row)
    chart_read(request, [p.charge.patient for p in placements], "batch for the agency")
    actions = []
    if row.status == BatchStatus.PROPOSED and actor.can("writeoff.approve", row):
        url = reverse("ar:agency_decide", args=[row.public_id])
        actions.append(parts.Action("Decide", url, primary=True))
    if row.status == BatchStatus.SENT and not row.accepted_on and actor.can("followup.work", row):
        url = reverse("ar:agency_accepted", args=[row.public_id])
        actions.append(parts.Action("Accepted", url))
    if row.interchange is not None and actor.can("exchange.view", row):
        url = reverse("exchange:interchange", args=[row.interchange.public_id])
        actions.append(parts.Action("The file", url))
    return render(
        request,
        "ar/agency_batch.html",
        {
            "row": row,
            "placements": placements,
            "total": sum((p.amount for p in placements), ZERO),
            "actions": actions,
            "own": row.requested_by_id == actor.user_id,
            "may_recall": actor.can("followup.work", row),
            "may_post": actor.can("remittance.post", row),
            "crumbs": [parts.Crumb("Collection agency", reverse("ar:agencies"))],
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("writeoff.approve", money=True)
def decide(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _batch(request, public_id)
    form = DecideForm(request.POST or None)
    back = reverse("ar:agency_batch", args=[row.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            services.placement_decide(
                batch=row,
                approve=form.cleaned_data["decision"] == "send",
                note=form.cleaned_data["note"],
                actor=actor_of(request),
            )
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "Decided.")
            return redirect(back)
    return form_page(
        request,
        form,
        title=f"Batch {row.number} for {row.agency.name}",
        verb="Save decision",
        back=back,
        text="Each charge is judged again when it is sent; what may no longer go stays here.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("followup.work", money=True)
def accepted(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _batch(request, public_id)
    form = AcceptedForm(request.POST or None, initial={"on": office_day()})
    back = reverse("ar:agency_batch", args=[row.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            services.placement_accepted(
                batch=row, on=form.cleaned_data["on"], actor=actor_of(request)
            )
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "The acceptance is noted.")
            return redirect(back)
    return form_page(request, form, title=f"Batch {row.number} accepted", verb="Note it", back=back)


def _placement(request: HttpRequest, public_id: str) -> Placement:
    rows = Placement.objects.visible_to(actor_of(request)).select_related(
        "charge__patient", "batch__agency"
    )
    return found(rows, public_id=public_id)


@require_http_methods(["GET", "HEAD", "POST"])
@may("followup.work", money=True)
def recall(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _placement(request, public_id)
    form = RecallForm(request.POST or None)
    back = reverse("ar:agency_batch", args=[row.batch.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            services.placement_recall(
                placement=row, reason=form.cleaned_data["reason"], actor=actor_of(request)
            )
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "Recalled; the file to the agency is on its way.")
            return redirect(back)
    return form_page(
        request,
        form,
        title="Recall from the agency",
        verb="Recall",
        back=back,
        text="The agency is told that it ends, and not why.",
        patient=banner(row.charge.patient),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post", money=True)
def payment(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _placement(request, public_id)
    form = PaymentForm(request.POST or None, initial={"received_on": office_day()})
    back = reverse("ar:agency_batch", args=[row.batch.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            paid = services.agency_payment(
                placement=row, actor=actor_of(request), **form.cleaned_data
            )
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, f"Posted ${paid.collected:,.2f}, fee ${paid.fee:,.2f}.")
            return redirect(back)
    return form_page(
        request,
        form,
        title=f"Payment by {row.batch.agency.name}",
        verb="Post",
        back=back,
        patient=banner(row.charge.patient),
    )
