"""Screens of a visit: book, move, the six gates, confirm, check in, cancel."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from intake import collecting, present, sections, services
from intake.clearance import GateName
from intake.forms import BookForm, OverrideForm
from intake.models import (
    APPOINTMENT_MOVES,
    Appointment,
    AppointmentStatus,
    Estimate,
    Order,
    OrderedExam,
    OrderStatus,
)
from intake.views.base import (
    appointment_of,
    form_page,
    order_of,
    refuse_into,
    say,
    stops,
    version_of,
    with_reason,
)
from intake.views.network import (
    IN_FORM,
    MOVABLE,
    ON_VISIT,
    asked_network,
    instead,
    visit_network,
)
from rcm.accounts.actor import Actor
from rcm.accounts.models import Site
from rcm.accounts.permissions import Role
from rcm.accounts.problems import Conflict, Refused
from rcm.reference.clock import clock_of, day_at
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, may


@require_http_methods(["GET", "POST"])
@may("appointment.edit")
def book(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Book the open exams of an order (and of the patient's other open orders)."""
    row = order_of(request, public_id)
    actor = actor_of(request)
    exams = OrderedExam.objects.filter(patient=row.patient, status=OrderStatus.OPEN).order_by("id")
    sites = list(
        Site.objects.filter(organization_id=row.organization_id).values_list("id", flat=True)
    )
    initial = {
        "exams": list(exams.filter(order=row)),
        "site": row.site_id or (sites[0] if len(sites) == 1 else None),
        "minutes": 30,
    }
    form = _book_form(request, initial, actor, exams, row)
    blockers: list[parts.Blocker] = []
    status = 200
    if form.is_bound and form.is_valid():
        data = form.cleaned_data
        try:
            visit = services.appointment_book(
                patient=row.patient,
                site=data["site"],
                starts_at=form.starts_at(),
                exams=list(data["exams"]),
                minutes=data["minutes"],
                resource=data["resource"],
                override_reason=data.get("override_reason", ""),
                actor=actor,
            )
        except Refused as refusal:
            if refusal.code == "gate_stop":
                blockers, status = stops(refusal), 409
            else:
                refuse_into(form, refusal)
        else:
            messages.success(request, f"Booked for {present.local_moment(visit)}.")
            return redirect("intake:appointment", visit.public_id)
    return form_page(
        request,
        form,
        title="Book",
        back=reverse("intake:order", args=[row.public_id]),
        verb="Book",
        status=status,
        template="intake/book.html",
        patient=present.banner(row.patient),
        sections=sections.of("booking", request, row),
        blockers=blockers,
        **_network(form, row),
    )


def _book_form(
    request: HttpRequest,
    initial: dict[str, Any],
    actor: Actor,
    exams: QuerySet[OrderedExam],
    row: Order | Appointment,
) -> BookForm:
    """The form as asked; with another site instead, as it was typed and not judged yet."""
    more: dict[str, Any] = {
        "actor": actor,
        "exams": exams,
        "organization_id": row.organization_id,
        "may_override": actor.can("authorization.override", row),
    }
    if "instead" in request.POST:
        return instead(BookForm, request.POST, **more)
    return BookForm(request.POST or None, initial=initial, **more)


def _network(form: BookForm, order: Order) -> dict[str, Any]:
    """The network box beside the form, for what stands in it now."""
    asked = {name: form[name].value() for name in ("site", "day")}
    if isinstance(asked["day"], date):
        asked["day"] = asked["day"].isoformat()
    chosen = [str(getattr(e, "pk", e)) for e in form["exams"].value() or ()]
    return {
        "network": asked_network(order, asked, chosen),
        "network_url": reverse("intake:network", args=[order.public_id]),
        **IN_FORM,
    }


@require_http_methods(["GET", "POST"])
@may("appointment.edit")
def move(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = appointment_of(request, public_id)
    actor = actor_of(request)
    local = clock_of(row.site).local(row.starts_at)
    exams = (
        OrderedExam.objects.filter(
            Q(appointment=row) | Q(patient=row.patient, status=OrderStatus.OPEN)
        )
        .exclude(status=OrderStatus.CANCELLED)
        .order_by("id")
    )
    first = row.ordered_exams.select_related("order__patient").order_by("id").first()
    order = first.order if first else None
    initial = {
        "site": row.site_id,
        "day": day_at(row.site, row.starts_at),
        "at": f"{local:%H:%M}",
        "minutes": row.minutes,
        "resource": row.resource,
        "exams": list(row.ordered_exams.all()),
        "version": row.version,
    }
    form = _book_form(request, initial, actor, exams, row)
    blockers: list[parts.Blocker] = []
    status = 200
    if form.is_bound and form.is_valid():
        data = form.cleaned_data
        try:
            services.appointment_move(
                appointment=row,
                starts_at=form.starts_at(),
                site=data["site"],
                minutes=data["minutes"],
                resource=data["resource"],
                exams=list(data["exams"]),
                override_reason=data.get("override_reason", ""),
                version=data["version"],
                actor=actor,
            )
        except Conflict as conflict:
            form.add_error(None, str(conflict))
            status = 409
        except Refused as refusal:
            if refusal.code == "gate_stop":
                blockers, status = stops(refusal), 409
            else:
                refuse_into(form, refusal)
        else:
            messages.success(request, "Moved.")
            return redirect("intake:appointment", row.public_id)
    return form_page(
        request,
        form,
        title="Move the appointment",
        back=reverse("intake:appointment", args=[row.public_id]),
        verb="Move",
        status=status,
        template="intake/book.html",
        patient=present.banner(row.patient),
        blockers=blockers,
        **(_network(form, order) if order is not None else {}),
    )


@require_GET
@may("patient.view")
def appointment(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One visit: its six gates with who does what, its exams, its estimate, and what can be
    done.
    """
    row = appointment_of(request, public_id)
    actor = actor_of(request)
    present.chart_read(request, [row.patient], "appointment")
    estimate = Estimate.objects.filter(appointment=row).order_by("-id").first()
    standing = services.standing_overrides([row.pk]).get(row.pk, {})
    gates = [
        {
            "name": name.value,
            "part": part,
            "owner": (
                Role(row.gates[name.value]["owner"]).label
                if row.gates.get(name.value, {}).get("owner")
                else ""
            ),
            "due": (
                date.fromisoformat(row.gates[name.value]["due"])
                if row.gates.get(name.value, {}).get("due")
                else None
            ),
            "standing": standing.get(name.value),
            "override": (
                actor.can("authorization.override", row)
                and row.status in services.LIVE
                and row.gates.get(name.value, {}).get("state") in ("stop", "check")
                and not row.gates.get(name.value, {}).get("overridden")
                and (
                    name is GateName.AUTHORIZATION
                    or row.gates.get(name.value, {}).get("state") == "stop"
                )
            ),
        }
        for name, part in zip(GateName, present.gate_parts(row), strict=True)
    ]
    coverage = services.coverage_for(row)
    return render(
        request,
        "intake/appointment.html",
        {
            "row": row,
            "patient": present.banner(row.patient),
            "when": present.local_moment(row),
            "gates": gates,
            "exams": row.ordered_exams.select_related("order__ordering").order_by("id"),
            "estimate": estimate,
            "notices": row.notices.defer("document").order_by("id"),
            "coverage": coverage,
            "network": visit_network(row, coverage),
            "may_move": actor.can("appointment.edit", row) and row.status in MOVABLE,
            **ON_VISIT,
            "actions": _visit_actions(row, actor),
            "sections": sections.of("appointment", request, row),
            "events": present.patient_timeline(row.patient)[:25],
            "crumbs": [parts.Crumb("Today", reverse("intake:today"))],
            "may_edit": actor.can("appointment.edit", row),
            "may_run": actor.can("eligibility.run", row),
            "may_price": actor.can("price.view", row) and row.status in services.LIVE,
        },
    )


def _visit_actions(row: Appointment, actor: Actor) -> list[parts.Action]:
    collect = collecting.action(row, actor, key="t")
    actions = [collect] if collect else []
    if not actor.can("appointment.edit", row):
        return actions
    page = [row.public_id]
    allowed = APPOINTMENT_MOVES[row.status]
    version = (("version", str(row.version)),)
    if AppointmentStatus.CONFIRMED in allowed:
        actions.append(
            parts.Action(
                "Confirm",
                reverse("intake:confirm", args=page),
                "post",
                primary=row.status == AppointmentStatus.BOOKED,
                key="c",
                fields=version,
            )
        )
    if AppointmentStatus.ARRIVED in allowed:
        actions.append(
            parts.Action(
                "Check in",
                reverse("intake:check_in", args=page),
                "post",
                primary=row.status == AppointmentStatus.CONFIRMED,
                key="i",
                fields=version,
            )
        )
    if row.status in (
        AppointmentStatus.BOOKED,
        AppointmentStatus.CONFIRMED,
        AppointmentStatus.CANCELLED,
        AppointmentStatus.NO_SHOW,
    ):
        again = row.status in (AppointmentStatus.CANCELLED, AppointmentStatus.NO_SHOW)
        actions.append(
            parts.Action(
                "Book again" if again else "Move", reverse("intake:move", args=page), key="m"
            )
        )
    if AppointmentStatus.NO_SHOW in allowed:
        actions.append(
            parts.Action(
                "Did not come", reverse("intake:no_show", args=page), "post", fields=version
            )
        )
    if AppointmentStatus.CANCELLED in allowed:
        actions.append(parts.Action("Cancel", reverse("intake:cancel", args=page), danger=True))
    return actions


def _status_button(
    request: HttpRequest, public_id: str, verb: Callable[..., Any], done: str
) -> HttpResponseBase:
    row = appointment_of(request, public_id)
    back = reverse("intake:appointment", args=[row.public_id])
    return say(
        request,
        lambda: verb(appointment=row, actor=actor_of(request), version=version_of(request)),
        done,
        back,
    )


@require_POST
@may("appointment.edit")
def confirm(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _status_button(request, public_id, services.appointment_confirm, "Confirmed.")


@require_POST
@may("appointment.edit")
def check_in(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _status_button(request, public_id, services.appointment_check_in, "Checked in.")


@require_POST
@may("appointment.edit")
def no_show(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _status_button(request, public_id, services.appointment_no_show, "Kept as not come.")


@require_http_methods(["GET", "POST"])
@may("appointment.edit")
def cancel(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = appointment_of(request, public_id)
    back = reverse("intake:appointment", args=[row.public_id])
    return with_reason(
        request,
        "Cancel the appointment",
        back,
        lambda reason: services.appointment_cancel(
            appointment=row, reason=reason, actor=actor_of(request)
        ),
        danger=True,
    )


@require_http_methods(["GET", "POST"])
@may("authorization.override")
def override(request: HttpRequest, public_id: str, gate: str) -> HttpResponseBase:
    """Let the visit pass one gate: the reason is kept with name and dollars at risk."""
    row = appointment_of(request, public_id)
    if gate not in {g.value for g in GateName}:
        raise Http404
    dollars = services.dollars_at_risk([row.pk])[row.pk]
    visit = services.local_day(row.starts_at, row.site)
    back = reverse("intake:appointment", args=[row.public_id])
    form = OverrideForm(request.POST or None, initial={"ends_on": visit})
    if request.method == "POST" and form.is_valid():
        try:
            services.gate_override(
                appointment=row, gate=gate, actor=actor_of(request), **form.cleaned_data
            )
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            messages.success(request, f"{gate.capitalize()} overridden.")
            return redirect(back)
    shown = {
        "title": f"Override {gate}",
        "text": (
            f"{row.gates.get(gate, {}).get('sentence', '')} {fmt.money(dollars)} is at risk if the"
            " payer does not pay. It holds until its day is over or something else stands in the"
            " way. Managers see every override, for good."
        ),
        "form": form,
        "verb": f"Override {gate}",
        "back_url": back,
        "danger": True,
    }
    return render(request, "components/confirm.html", shown, status=422 if form.errors else 200)


@require_POST
@may("eligibility.run", money=True)
def verify_visit(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = appointment_of(request, public_id)
    back = reverse("intake:appointment", args=[row.public_id])
    return say(
        request,
        lambda: services.appointments_verify(appointments=[row], actor=actor_of(request)),
        "Asking the payer.",
        back,
    )
