"""Screens of a coverage and the payer's answer about it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from intake import present, services
from intake.forms import (
    CoverageForm,
)
from intake.models import (
    Appointment,
    Coverage,
    EligibilityCheck,
    Patient,
)
from intake.views.base import (
    check_of,
    conflicts_of,
    coverage_of,
    form_page,
    midnight,
    patient_of,
    refuse_into,
    say,
    typed_again,
)
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, may


def _ask(request: HttpRequest, coverage: Coverage) -> None:
    """Ask the payer for the patient's next visit, or for today."""
    visit = (
        Appointment.objects.filter(
            patient_id=coverage.patient_id, status__in=services.LIVE, starts_at__gte=midnight(0)
        )
        .select_related("site")
        .order_by("starts_at")
        .first()
    )
    day = services.local_day(visit.starts_at, visit.site) if visit else office_day()
    services.eligibility_ask(
        asks=[services.Ask(coverage, day, visit.modality if visit else "")], actor=actor_of(request)
    )


def _add(row: Patient, values: dict[str, Any], actor: Actor) -> Coverage:
    """A ranked policy, or that of one accident."""
    if values["rank"]:
        return services.coverage_add(patient=row, actor=actor, **values)
    values = {k: v for k, v in values.items() if k != "rank"}
    return services.accident_add(patient=row, actor=actor, **values)


@require_http_methods(["GET", "POST"])
@may("patient.edit")
def coverage_new(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = patient_of(request, public_id)
    taken = set(Coverage.objects.filter(patient=row, active=True).values_list("rank", flat=True))
    form = CoverageForm(
        request.POST or None,
        initial={"rank": next((r for r in (1, 2, 3) if r not in taken), 3), "relationship": "18"},
    )
    if request.method == "POST" and form.is_valid():
        try:
            coverage = _add(row, form.values(), actor_of(request))
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            _ask_softly(request, coverage)
            _why_second(request, coverage)
            return redirect(f"{reverse('intake:coverage', args=[coverage.public_id])}#answer")
    return form_page(
        request,
        form,
        title="Add a coverage",
        back=reverse("intake:patient", args=[row.public_id]),
        verb="Save and check eligibility",
        template="intake/coverage.html",
        patient=present.banner(row),
        may_run=False,
    )


def _ask_softly(request: HttpRequest, coverage: Coverage) -> None:
    """Ask after saving; that the payer cannot be asked is a message, not a failure of saving."""
    if coverage.payer.kind == "self_pay" or not actor_of(request).can("eligibility.run", coverage):
        messages.success(request, "Saved.")
        return
    try:
        _ask(request, coverage)
    except Refused as refusal:
        messages.warning(request, f"Saved, but not verified: {refusal} {refusal.fix}")
    else:
        messages.success(request, f"Saved. Asking {coverage.payer.name}.")


def _why_second(request: HttpRequest, coverage: Coverage) -> None:
    """Asked while the patient is at the desk: a claim to Medicare as second payer waits for it."""
    if coverage.rank > 1 and coverage.payer.kind == "medicare" and not coverage.second_reason:
        messages.warning(
            request, "Say why Medicare pays second: without the reason its claims are held."
        )


def _last_check(coverage: Coverage) -> EligibilityCheck | None:
    return (
        EligibilityCheck.objects.filter(coverage=coverage)
        .select_related("request", "response")
        .prefetch_related("benefits")
        .order_by("-id")
        .first()
    )


@require_http_methods(["GET", "POST"])
@may("patient.view")
def coverage(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Edit a policy; the payer's answer lands beside the form by itself."""
    row = coverage_of(request, public_id)
    actor = actor_of(request)
    present.chart_read(request, [row.patient], "coverage")
    names = [f for f in CoverageForm.base_fields if f != "version"]
    form = CoverageForm(
        request.POST or None,
        initial={f: getattr(row, f"{f}_id" if f in ("payer", "plan") else f) for f in names}
        | {"version": row.version},
    )
    conflicts: list[parts.Conflict] = []
    status = 200
    if request.method == "POST":
        actor.require("patient.edit", row)
        if form.is_valid():
            try:
                before = row.status
                saved = services.coverage_update(
                    coverage=row, version=form.cleaned_data["version"], actor=actor, **form.values()
                )
            except Conflict:
                row.refresh_from_db()
                conflicts, status = conflicts_of(form, row, names), 409
                form.data = typed_again(request, row.version)
            except Refused as refusal:
                refuse_into(form, refusal)
            else:
                if saved.status != before and saved.status == "unverified":
                    _ask_softly(request, saved)
                else:
                    messages.success(request, "Saved.")
                _why_second(request, saved)
                return redirect(f"{reverse('intake:coverage', args=[row.public_id])}#answer")
    return form_page(
        request,
        form,
        title=f"{row.payer.name}, {present.RANKS[row.rank].lower()}",
        back=reverse("intake:patient", args=[row.patient.public_id]),
        status=status,
        conflicts=conflicts,
        template="intake/coverage.html",
        patient=present.banner(row.patient),
        verb="Save and check eligibility",
        network=services.network_view(
            organization_id=row.organization_id,
            coverage=row,
            day=office_day(),
            near=row.patient.zip,
        ),
        **present.answer_context(row, _last_check(row), actor),
    )


@require_GET
@may("patient.view")
def coverage_answer(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The answer alone: asked every two seconds while the payer thinks."""
    row = coverage_of(request, public_id)
    present.chart_read(request, [row.patient], "eligibility answer")
    return render(
        request,
        "intake/answer.html",
        present.answer_context(row, _last_check(row), actor_of(request)),
    )


@require_POST
@may("eligibility.run", money=True)
def coverage_check(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = coverage_of(request, public_id)
    return say(
        request,
        lambda: _ask(request, row),
        f"Asking {row.payer.name}.",
        f"{reverse('intake:coverage', args=[row.public_id])}#answer",
    )


@require_POST
@may("patient.edit")
def coverage_end(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = coverage_of(request, public_id)
    back = reverse("intake:patient", args=[row.patient.public_id])
    return say(
        request,
        lambda: services.coverage_end(coverage=row, actor=actor_of(request)),
        f"{row.payer.name} was taken off the chart.",
        back,
    )


@require_POST
@may("patient.edit")
def coverage_use(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = coverage_of(request, public_id)
    back = reverse("intake:patient", args=[row.patient.public_id])
    return say(
        request,
        lambda: services.coverage_reuse(coverage=row, actor=actor_of(request)),
        f"{row.payer.name} is the primary coverage again.",
        back,
    )


@require_POST
@may("eligibility.run", money=True)
def coverage_discover(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = patient_of(request, public_id)
    return say(
        request,
        lambda: services.coverage_discover(
            patient=row, service_date=office_day(), actor=actor_of(request)
        ),
        "Asking the payers of the former coverages.",
        reverse("intake:patient", args=[row.public_id]),
    )


@require_POST
@may("eligibility.run")
def check_seen(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = check_of(request, public_id)
    back = reverse("intake:coverage", args=[row.coverage.public_id])
    return say(
        request,
        lambda: services.eligibility_seen(check=row, actor=actor_of(request)),
        "The changes were looked at.",
        back,
    )


@require_POST
@may("patient.edit")
def check_accept(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """ "Use payer's value" for one field."""
    row = check_of(request, public_id)
    field = request.POST.get("field", "")
    back = f"{reverse('intake:coverage', args=[row.coverage.public_id])}#answer"
    return say(
        request,
        lambda: services.difference_accept(check=row, field=field, actor=actor_of(request)),
        "Took over the payer's value.",
        back,
    )


@require_GET
@may("eligibility.run")
def check_raw(request: HttpRequest, public_id: str, side: str) -> HttpResponseBase:
    """The 270 or 271 byte for byte."""
    row = check_of(request, public_id)
    interchange = row.request if side == "270" else row.response
    if interchange is None:
        raise Http404
    present.chart_read(request, [row.patient], f"raw {side}")
    return render(
        request,
        "intake/raw.html",
        {
            "title": f"{side} of {fmt.moment(interchange.received_at)}",
            "caption": f"{interchange.kind}, control number {interchange.control_number}",
            "lines": parts.raw_lines(bytes(interchange.content).decode("latin-1")),
            "patient": present.banner(row.patient),
            "crumbs": [
                parts.Crumb("Coverage", reverse("intake:coverage", args=[row.coverage.public_id]))
            ],
        },
    )
