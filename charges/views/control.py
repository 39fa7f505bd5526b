"""Accession control: every performed exam ends as claim, self-pay or reasoned no-bill."""

from __future__ import annotations

import datetime as dt

from django.contrib import messages
from django.db.models import Max
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from charges import services
from charges.models import (
    AccessionProof,
    ExamStatus,
)
from charges.services.clocks import UNEXPLAINED, explained
from charges.views.common import exams_of
from rcm.accounts.clock import office_day
from rcm.accounts.models import Site
from rcm.web.access import actor_of, may

CONTROL_DAYS = 14


@require_GET
@may("exam.view")
def control(request: HttpRequest) -> HttpResponseBase:
    """The accession control total: every completed exam ends as claim, self-pay or reasoned
    no-bill; the rest is named.
    """
    actor = actor_of(request)
    last = office_day()
    try:
        last = dt.date.fromisoformat(request.GET.get("to", "")) if request.GET.get("to") else last
    except ValueError:
        messages.error(request, "A day is written as 2026-11-23.")
    first = last - dt.timedelta(days=CONTROL_DAYS - 1)
    sites = {s.pk: s for s in Site.objects.filter(organization_id__in=actor.organizations)}
    rows = services.accession_control(actor=actor, first=first, last=last)
    proofs = {
        (p["site_id"], p["day"]): p["at"]
        for p in (
            AccessionProof.objects.visible_to(actor)
            .filter(day__range=(first, last))
            .values("site_id", "day")
            .annotate(at=Max("proven_at"))
        )
    }
    stray = explained(
        exams_of(request)
        .filter(service_date__range=(first, last))
        .exclude(status=ExamStatus.IN_PROGRESS)
    ).filter(UNEXPLAINED)[:50]
    names = (
        "performed",
        "claimed",
        "self_pay",
        "no_bill",
        "waiting",
        "held",
        "unexplained",
        "adrift",
    )
    total = {name: sum(getattr(r, name) for r in rows) for name in names}
    return render(
        request,
        "charges/control.html",
        {
            "rows": [
                {
                    "control": r,
                    "site": sites.get(r.site_id),
                    "proven": proofs.get((r.site_id, r.day)),
                }
                for r in rows
            ],
            "total": total,
            "stray": stray,
            "first": first,
            "last": last,
            "earlier": (first - dt.timedelta(days=1)).isoformat(),
            "later": (
                (last + dt.timedelta(days=CONTROL_DAYS)).isoformat() if last < office_day() else ""
            ),
        },
    )
