"""Payments below their contract: the list and one case."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Q, Sum
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from intake import present as front
from rcm.accounts.problems import Refused
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab
from remittance import forms, present, services
from remittance.filters import VarianceFilter
from remittance.models import (
    Variance,
    VarianceStatus,
)
from remittance.variance import CAUSES
from remittance.views.common import ZERO

LIVE = [VarianceStatus.OPEN, VarianceStatus.DISPUTED]

UNDERPAYMENTS = ListPage(
    name="underpayments",
    title="Underpayments",
    noun=("case", "cases"),
    template="remittance/underpayments.html",
    columns=(
        Column(
            "claim",
            "Claim",
            "claim.number",
            kind="code",
            width="id",
            link=True,
            second=lambda v: f"DOS {fmt.short_day(v.claim.service_date)}",
        ),
        Column("payer", "Payer", "payer.name", width="payer"),
        Column("code", "Code", "code", kind="code", width="exam"),
        Column("cause", "Cause", lambda v: CAUSES.get(v.cause, v.cause), width="wide"),
        Column("expected", "Expected", "expected", kind="money", width="money"),
        Column("allowed", "Allowed", "allowed", kind="money", width="money"),
        Column(
            "difference",
            "Difference",
            "difference",
            kind="money",
            width="money",
            order="difference",
        ),
        Column(
            "status",
            "Status",
            lambda v: (v.get_status_display(), present.VARIANCE_TONES[VarianceStatus(v.status)]),
            kind="tag",
            width="tag",
        ),
    ),
    orders=(
        Order("difference", "difference", ("difference", "pk")),
        Order("new", "newest first", ("-pk",)),
    ),
    tabs=(
        Tab("open", "Open", Q(status=VarianceStatus.OPEN, difference__lt=0)),
        Tab("disputed", "Disputed", Q(status=VarianceStatus.DISPUTED)),
        Tab("over", "Paid above", Q(status=VarianceStatus.OPEN, difference__gt=0)),
        Tab("recovered", "Recovered", Q(status=VarianceStatus.RECOVERED)),
        Tab("all", "All"),
    ),
    filterset=VarianceFilter,
    detail=lambda v: reverse("remittance:variance", args=[v.public_id]),
    row_label=lambda v: f"underpayment of claim {v.claim.number}",
    amount="difference",
    empty="No payment is below its contract.",
)


@require_safe
@may("denial.view")
def underpayments(request: HttpRequest) -> HttpResponseBase:
    """Cases, and above them what belongs together: payer, code, cause."""
    rows = Variance.objects.visible_to(actor_of(request)).select_related("claim", "payer")
    groups = (
        Variance.objects.visible_to(actor_of(request))
        .filter(status__in=LIVE, difference__lt=0)
        .values("payer_id", "code", "cause", name=F("payer__name"))
        .annotate(n=Count("pk"), total=Sum("difference"))
        .order_by("total")[:12]
    )
    shown = [
        g
        | {
            "words": CAUSES.get(g["cause"], g["cause"]),
            "url": f"?view=open&payer={g['payer_id']}&code={g['code']}&cause={g['cause']}",
        }
        for g in groups
    ]
    return UNDERPAYMENTS.respond(request, rows, groups=shown)


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.view", money=True)
def variance(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One case: what was allowed beside the derivation of what was expected."""
    actor = actor_of(request)
    row = found(
        Variance.objects.visible_to(actor).select_related(
            "claim__patient", "payer", "service__payment__remittance", "service__line__charge"
        ),
        public_id=public_id,
    )
    form = None
    if actor.can("denial.work", row) and row.status in LIVE:
        form = forms.VarianceForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            try:
                if data["act"] == "dispute":
                    services.variance_dispute(variance=row, note=data["note"], actor=actor)
                elif data["act"] == "accept":
                    services.variance_accept(variance=row, note=data["note"], actor=actor)
                else:
                    services.variance_recovered(
                        variance=row, amount=data["amount"] or ZERO, note=data["note"], actor=actor
                    )
            except Refused as refusal:
                form.add_error(
                    refusal.field if refusal.field in form.fields else None, str(refusal)
                )
            else:
                messages.success(request, "Saved.")
                return redirect("remittance:variance", public_id=row.public_id)
    elif request.method == "POST":
        raise PermissionDenied
    front.chart_read(request, [row.claim.patient], "underpayment")
    line = row.service.line
    context = {
        "row": row,
        "form": form,
        "patient": front.banner(row.claim.patient),
        "cause": CAUSES.get(row.cause, row.cause),
        "tag": (row.get_status_display(), present.VARIANCE_TONES[VarianceStatus(row.status)]),
        "derivation": line.charge.derivation if line else [],
        "adjustments": [
            (f"{a.group}-{a.reason}", a.amount, present.reason_words(a.reason))
            for a in row.service.adjustments.order_by("id")
        ],
        "claim_url": present.claim_url(row.claim),
        "payment_url": (
            reverse("remittance:payment", args=[row.service.payment.public_id])
            if actor.can("remittance.view", row)
            else ""
        ),
        "crumbs": [parts.Crumb("Underpayments", reverse("remittance:underpayments"))],
    }
    return render(
        request,
        "remittance/variance.html",
        context,
        status=422 if form is not None and form.errors else 200,
    )
