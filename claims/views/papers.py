"""A payer's request for papers: what it asks, the signed report ready to send, the answer."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from claims import forms, services
from claims.models import RecordsRequest, RecordsStatus
from intake import present as front
from rcm.accounts.problems import Refused
from rcm.web import parts
from rcm.web.access import actor_of, found, may


@require_http_methods(["GET", "HEAD", "POST"])
@may("claim.view", money=True)
def records(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The request, the report as it would go, and how it goes. The page prints with its cover."""
    actor = actor_of(request)
    row = found(
        RecordsRequest.objects.visible_to(actor).select_related(
            "claim__patient", "claim__payer", "claim__coverage", "claim__organization"
        ),
        public_id=public_id,
    )
    able = actor.can("claim.submit", row.claim) and row.status == RecordsStatus.OPEN
    form = forms.RecordsForm(request.POST or None)
    if request.method == "POST":
        actor.require("claim.submit", row.claim)
        if form.is_valid():
            told = form.cleaned_data
            try:
                if told["channel"] == forms.NO_PAPER:
                    services.records_needless(row=row, note=told["note"], actor=actor)
                    said = "Nothing is sent."
                else:
                    services.records_send(row=row, channel=told["channel"], actor=actor)
                    said = f"The signed report went with number {row.control}."
            except Refused as refusal:
                field = refusal.field if refusal.field in form.fields else None
                form.add_error(field, f"{refusal} {refusal.fix}".strip())
            else:
                messages.success(request, said)
                return redirect("claims:records", public_id=row.public_id)
    front.chart_read(request, [row.claim.patient], "records request")
    report = services.report_of(row)
    context = {
        "row": row,
        "claim": row.claim,
        "patient": front.banner(row.claim.patient),
        "report": report,
        "text": services.report_text(report) if report else "",
        "form": form if able else None,
        "channel": dict(services.CHANNELS).get(row.channel, row.channel),
        "crumbs": [
            parts.Crumb(
                f"Claim {row.claim.number}", reverse("claims:claim", args=[row.claim.public_id])
            )
        ],
    }
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "claims/records.html", context, status=status)
