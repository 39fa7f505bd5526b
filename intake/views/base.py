"""What the screens of the front desk share: the row that a URL names, refusals beside their field,
and the page of a form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render

from intake.forms import (
    ReasonForm,
)
from intake.models import (
    Appointment,
    Coverage,
    EligibilityCheck,
    Estimate,
    Order,
    Patient,
)
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock, office_day
from rcm.accounts.problems import Refused
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found


def refuse_into(form: Any, refusal: Refused) -> None:
    """A service's refusal beside the field it names, else above the form."""
    form.add_error(
        refusal.field if refusal.field in form.fields else None, f"{refusal} {refusal.fix}".strip()
    )


def say(
    request: HttpRequest, verb: Callable[[], Any], done: str, back: str
) -> HttpResponseRedirect:
    """Run a service from a button: its refusal or its success as a message, then back to the
    page.
    """
    try:
        verb()
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        messages.success(request, done)
    return redirect(back)


def form_page(
    request: HttpRequest,
    form: Any,
    *,
    title: str,
    back: str,
    status: int = 200,
    template: str = "components/form_page.html",
    **context: Any,
) -> HttpResponse:
    """The one-column form page; 422 when the form has errors."""
    shown = {"title": title, "form": form, "back_url": back, **context}
    return render(request, template, shown, status=422 if form.errors and status == 200 else status)


def midnight(days: int) -> Any:
    return office_clock().begins(office_day()) + timedelta(days=days)


def organization_of(actor: Actor) -> int:
    if len(actor.organizations) != 1:
        raise Refused("Choose one organization in the header first.", code="organization")
    return min(actor.organizations)


def patient_of(request: HttpRequest, public_id: str) -> Patient:
    return found(
        Patient.objects.visible_to(actor_of(request)).select_related("merged_into"),
        public_id=public_id,
    )


def typed_again(request: HttpRequest, version: int) -> Any:
    """What was typed, against the version that stands now, so that saving again is a decision and
    no second race.
    """
    data = request.POST.copy()
    data["version"] = str(version)
    return data


def conflicts_of(form: Any, row: Any, names: Sequence[str]) -> list[parts.Conflict]:
    """Theirs beside mine for the fields that differ; what was typed stays in the form."""
    found_rows = []
    for name in names:
        theirs, mine = getattr(row, name), form.cleaned_data.get(name)
        left, right = (
            fmt.mdy(v) if hasattr(v, "isoformat") else str(v if v is not None else "")
            for v in (theirs, mine)
        )
        if left.replace("-", "") != right.replace("-", ""):
            found_rows.append(parts.Conflict(str(form.fields[name].label), left, right, name))
    return found_rows


def coverage_of(request: HttpRequest, public_id: str) -> Coverage:
    rows = Coverage.objects.visible_to(actor_of(request)).select_related("patient", "payer", "plan")
    return found(rows, public_id=public_id)


def check_of(request: HttpRequest, public_id: str) -> EligibilityCheck:
    rows = EligibilityCheck.objects.visible_to(actor_of(request)).select_related(
        "coverage__payer", "coverage__patient", "patient", "request", "response"
    )
    return found(rows, public_id=public_id)


def order_of(request: HttpRequest, public_id: str) -> Order:
    return found(
        Order.objects.visible_to(actor_of(request)).select_related("patient", "ordering", "site"),
        public_id=public_id,
    )


def with_reason(
    request: HttpRequest,
    title: str,
    back: str,
    verb: Callable[[str], Any],
    *,
    text: str = "",
    danger: bool = False,
) -> HttpResponseBase:
    """A confirmation that asks for a reason."""
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            verb(form.cleaned_data["reason"])
        except Refused as refusal:
            refuse_into(form, refusal)
        else:
            messages.success(request, f"{title}: done.")
            return redirect(back)
    shown = {
        "title": title,
        "text": text,
        "form": form,
        "verb": title,
        "back_url": back,
        "danger": danger,
    }
    return render(request, "components/confirm.html", shown, status=422 if form.errors else 200)


def appointment_of(request: HttpRequest, public_id: str) -> Appointment:
    return found(
        Appointment.objects.visible_to(actor_of(request)).select_related("patient", "site"),
        public_id=public_id,
    )


def stops(refusal: Refused) -> list[parts.Blocker]:
    return [parts.Blocker(str(refusal), refusal.fix, code=refusal.code)]


def version_of(request: HttpRequest) -> int | None:
    text = request.POST.get("version", "")
    return int(text) if text.isdecimal() and len(text) < 10 else None


def estimate_of(request: HttpRequest, public_id: str) -> Estimate:
    rows = Estimate.objects.visible_to(actor_of(request)).select_related(
        "patient", "appointment__site__organization"
    )
    return found(rows, public_id=public_id)
