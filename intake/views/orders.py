"""Screens of an order and of what it lacks."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from intake import present, services
from intake.forms import (
    OrderForm,
)
from intake.models import (
    OrderStatus,
)
from intake.views.base import form_page, order_of, patient_of, refuse_into, with_reason
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.reference.facts import current, procedure_versions
from rcm.reference.models import Provider
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, may


def _procedures() -> list[tuple[str, str]]:
    today = office_day()
    rows = (current(versions, today) for versions in procedure_versions().values())
    return sorted((r.code, r.name) for r in rows if r is not None and r.kind == "exam")


def _provider(form: OrderForm) -> Provider | None:
    """The practitioner of the NPI; a new one is kept with name and letters."""
    data = form.cleaned_data
    npi, letters = data["ordering_npi"], data["ordering_credentials"]
    if not npi:
        return None
    row = Provider.objects.filter(npi=npi).first()
    if row is None:
        if not data["ordering_name"]:
            raise Refused(
                "This NPI is new here: enter the physician's last name.",
                field="ordering_name",
                code="missing",
            )
        return Provider.objects.create(
            npi=npi, last_name=data["ordering_name"], credentials=letters
        )
    if letters and row.credentials != letters:
        row.credentials = letters
        row.save(update_fields=["credentials"])
    return row


@require_http_methods(["GET", "POST"])
@may("order.edit")
def order_new(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = patient_of(request, public_id)
    actor = actor_of(request)
    form = OrderForm(
        request.POST or None, actor=actor, organization_id=row.organization_id, patient=row
    )
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            placed = services.order_place(
                patient=row,
                exams=form.asks(),
                ordering=_provider(form),
                ordering_name=data["ordering_name"],
                signed=data["signed"],
                indication=data["indication"],
                diagnoses=form.codes(),
                site=data["site"],
                coverage=data["coverage"],
                actor=actor,
            )
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            messages.success(request, "The order was placed.")
            return redirect("intake:book", placed.public_id)
    return form_page(
        request,
        form,
        title="New order",
        back=reverse("intake:patient", args=[row.public_id]),
        verb="Place the order and book",
        template="intake/order.html",
        patient=present.banner(row),
        procedures=_procedures(),
    )


@require_http_methods(["GET", "POST"])
@may("patient.view")
def order(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """An order with what it lacks; completing it closes its item."""
    row = order_of(request, public_id)
    actor = actor_of(request)
    present.chart_read(request, [row.patient], "order")
    form = OrderForm(
        request.POST or None,
        initial=OrderForm.initial_of(row),
        actor=actor,
        organization_id=row.organization_id,
        patient=row.patient,
        order=row,
    )
    if request.method == "POST":
        actor.require("order.edit", row)
        if form.is_valid():
            data = form.cleaned_data
            try:
                with transaction.atomic():
                    services.coverage_choose(order=row, coverage=data["coverage"], actor=actor)
                    services.order_change(
                        order=row,
                        exams=form.asks(),
                        ordering=_provider(form),
                        ordering_name=data["ordering_name"],
                        complete=True,
                        signed=data["signed"],
                        indication=data["indication"],
                        diagnoses=form.codes(),
                        site=data["site"],
                        actor=actor,
                    )
            except Refused as refusal:
                refuse_into(form, refusal)
            else:
                messages.success(request, "Saved.")
                return redirect("intake:order", row.public_id)
    gaps = (
        services.orders_gaps([row], on=office_day())[row.pk]
        if row.status in (OrderStatus.OPEN, OrderStatus.SCHEDULED)
        else []
    )
    office = row.ordering
    actions = []
    if actor.can("appointment.edit", row) and row.status == OrderStatus.OPEN:
        actions.append(
            parts.Action(
                "Book", reverse("intake:book", args=[row.public_id]), primary=True, key="b"
            )
        )
    if actor.can("order.edit", row) and row.status in (OrderStatus.OPEN, OrderStatus.SCHEDULED):
        actions.append(
            parts.Action(
                "Cancel the order",
                reverse("intake:order_cancel", args=[row.public_id]),
                danger=True,
            )
        )
    return form_page(
        request,
        form,
        title=f"Order of {fmt.short_day(row.ordered_at)}",
        back=reverse("intake:patient", args=[row.patient.public_id]),
        template="intake/order.html",
        patient=present.banner(row.patient),
        procedures=_procedures(),
        order=row,
        actions=actions,
        blockers=[
            parts.Blocker(g.sentence.capitalize() + ".", g.fix.capitalize() + ".", code=g.code)
            for g in gaps
        ],
        call=(
            f"Call {office.practice or office} {fmt.phone(office.phone)}".strip()
            if office and gaps
            else ""
        ),
    )


@require_http_methods(["GET", "POST"])
@may("order.edit")
def order_cancel(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = order_of(request, public_id)
    back = reverse("intake:order", args=[row.public_id])
    return with_reason(
        request,
        "Cancel the order",
        back,
        lambda reason: services.order_cancel(order=row, reason=reason, actor=actor_of(request)),
        danger=True,
    )
