"""What every screen about a patient's account needs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from intake.models import Patient
from rcm.accounts.problems import Refused
from rcm.web import parts
from rcm.web.access import actor_of, found


def patient_of(request: HttpRequest, public_id: Any) -> Patient:
    return found(Patient.objects.visible_to(actor_of(request)), public_id=public_id)


def refuse(form: Any, refusal: Refused) -> None:
    """Show a refusal at its field, with what to do."""
    text = f"{refusal} {refusal.fix}".strip()
    form.add_error(refusal.field if refusal.field in form.fields else None, text)


def form_page(
    request: HttpRequest,
    form: Any,
    *,
    title: str,
    verb: str,
    back: str,
    text: str = "",
    patient: parts.PatientBanner | None = None,
    **more: Any,
) -> HttpResponseBase:
    """One form on a page of its own; bad input comes back with 422 and its sentences."""
    context = {
        "title": title,
        "form": form,
        "verb": verb,
        "back_url": back,
        "text": text,
        "patient": patient,
        **more,
    }
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "ar/form.html", context, status=status)
