"""A refused charge message: its lines with what forbids them, corrected and read again in place."""

from __future__ import annotations

from typing import Any

from django import forms as django_forms
from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from charges import forms
from charges.services.messages import MessageLine, message_correct, message_lines
from rcm.accounts.problems import Refused
from rcm.exchange.models import Interchange
from rcm.web import parts
from rcm.web.access import actor_of, found, may


def _form(data: Any, lines: list[MessageLine]) -> forms.MessageForm:
    form = forms.MessageForm(data)
    for n, line in enumerate(lines):
        told = f"{line.problem.sentence} {line.problem.fix}" if line.problem else ""
        form.fields[f"code_{n}"] = django_forms.CharField(
            label=f"Line {n + 1}: code", max_length=5, initial=line.code, required=False
        )
        form.fields[f"modifiers_{n}"] = django_forms.CharField(
            label=f"Line {n + 1}: modifiers",
            max_length=20,
            initial=" ".join(line.modifiers),
            required=False,
            help_text=told,
        )
    form.order_fields([name for name in form.fields if name != "reason"] + ["reason"])
    return form


def _lines(row: Interchange) -> list[MessageLine]:
    """The lines of a charge message; none of what is no charge message or cannot be read."""
    try:
        return message_lines(row) if row.kind == "DFT" else []
    except Refused:
        return []


@require_http_methods(["GET", "POST"])
@may("exchange.replay")
def message(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Correct code and modifiers of the lines of a refused charge message, then read it again."""
    actor = actor_of(request)
    row = found(Interchange.objects.visible_to(actor), public_id=public_id)
    lines = _lines(row)
    form = _form(request.POST if request.method == "POST" else None, lines)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            told = form.cleaned_data
            wanted = {
                n: (
                    told[f"code_{n}"].strip().upper(),
                    tuple(told[f"modifiers_{n}"].upper().replace(",", " ").split()),
                )
                for n in range(len(lines))
            }
            try:
                message_correct(interchange=row, lines=wanted, reason=told["reason"], actor=actor)
            except Refused as refusal:
                form.add_error(
                    "reason" if refusal.field == "reason" else None,
                    f"{refusal} {refusal.fix}".strip(),
                )
            else:
                messages.success(request, "Corrected; the message is read again in a moment.")
                return redirect("exchange:interchange", public_id=row.public_id)
    back = reverse("exchange:interchange", args=[row.public_id])
    return render(
        request,
        "components/form_page.html",
        {
            "title": "Correct a charge message",
            "text": row.error,
            "form": form,
            "verb": "Correct and read again",
            "back_url": back,
            "crumbs": [parts.Crumb("Interchange", back)],
        },
        status=status,
    )
