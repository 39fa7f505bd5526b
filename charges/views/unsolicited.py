"""Results that no order explains."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from charges import forms, services
from charges.filters import UnsolicitedFilter
from charges.models import (
    Unsolicited,
    UnsolicitedStatus,
)
from intake import present as front
from intake.models import OrderedExam
from rcm.accounts.problems import Refused
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab

UNSOLICITED = ListPage(
    name="unsolicited",
    title="Results without order",
    noun=("result", "results"),
    columns=(
        Column(
            "accession",
            "Accession",
            lambda u: u.accession or u.filler_number or "none",
            kind="code",
            width="id",
            link=True,
            second="kind",
        ),
        Column(
            "patient",
            "Patient",
            lambda u: u.patient.name if u.patient else "not known here",
            width="who",
            second="mrn",
            second_kind="code",
        ),
        Column("exam", "Exam", "code", kind="code", width="exam", second="modality"),
        Column("why", "Why it waits", "why"),
        Column("received", "Received", "received_at", kind="moment", width="moment"),
    ),
    orders=(Order("old", "oldest first", ("received_at", "pk")),),
    tabs=(
        Tab("waiting", "Waiting", Q(status=UnsolicitedStatus.WAITING)),
        Tab("linked", "Linked", Q(status=UnsolicitedStatus.LINKED)),
        Tab("dismissed", "Dismissed", Q(status=UnsolicitedStatus.DISMISSED)),
    ),
    filterset=UnsolicitedFilter,
    detail=lambda u: reverse("charges:unsolicited_row", args=[u.public_id]),
    row_label=lambda u: f"result {u.accession}",
    empty="Every result belongs to an order.",
)


@require_GET
@may("exam.view")
def unsolicited(request: HttpRequest) -> HttpResponseBase:
    return UNSOLICITED.respond(
        request, Unsolicited.objects.visible_to(actor_of(request)).select_related("patient")
    )


@require_http_methods(["GET", "POST"])
@may("exam.view")
def unsolicited_row(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One result without order: link it to an ordered exam of its patient, or dismiss it."""
    actor = actor_of(request)
    row = found(
        Unsolicited.objects.visible_to(actor).select_related("patient", "exam"), public_id=public_id
    )
    if row.patient is not None:
        front.chart_read(request, [row.patient], "result without order")
    near = (
        list(
            OrderedExam.objects.visible_to(actor)
            .filter(patient_id=row.patient_id)
            .select_related("order")
            .order_by("-id")[:12]
        )
        if row.patient_id
        else []
    )
    choices = [
        (
            str(o.public_id),
            (
                f"{o.code} {o.description}, ordered {fmt.short_day(o.order.ordered_at)}, accession"
                f" {o.accession or 'none'}"
            ),
        )
        for o in near
    ]
    dismissing = request.POST.get("do") == "dismiss"
    posted = request.POST if request.method == "POST" else None
    link = forms.LinkForm(posted if not dismissing else None, choices=choices)
    dismiss = forms.ReasonForm(posted if dismissing else None, initial={"version": 0})
    form: Any = dismiss if dismissing else link
    may_act = actor.can("charge.review", row) or actor.can("order.edit", row)
    if posted is not None:
        if not may_act:
            actor.require("order.edit", row)
        if form.is_valid():
            try:
                if dismissing:
                    services.unsolicited_dismiss(
                        unsolicited=row, reason=form.cleaned_data["reason"], actor=actor
                    )
                else:
                    chosen = next(
                        o for o in near if str(o.public_id) == form.cleaned_data["ordered_exam"]
                    )
                    services.unsolicited_link(unsolicited=row, ordered_exam=chosen, actor=actor)
            except Refused as refusal:
                form.add_error(
                    refusal.field if refusal.field in form.fields else None,
                    f"{refusal} {refusal.fix}".strip(),
                )
            else:
                messages.success(request, "Saved.")
                return redirect("charges:unsolicited")
    context = {
        "row": row,
        "patient": front.banner(row.patient) if row.patient else None,
        "form": form,
        "link": link,
        "dismiss": dismiss,
        "choices": choices,
        "may_act": may_act and row.status == UnsolicitedStatus.WAITING,
        "crumbs": [parts.Crumb("Results without order", reverse("charges:unsolicited"))],
    }
    return render(
        request, "charges/unsolicited_row.html", context, status=422 if form.errors else 200
    )
