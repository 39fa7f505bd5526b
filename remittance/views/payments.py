"""One claim of a remittance, and the money that is on no claim yet."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from claims.models import Claim
from intake import present as front
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab
from remittance import forms, present, services
from remittance.filters import CashFilter
from remittance.models import (
    ClaimPayment,
    PaymentState,
    RemittanceStatus,
    UnappliedCash,
)
from remittance.services.members import CORRECTED, corrections
from remittance.views.common import EXACT, ZERO


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.view", money=True)
def payment(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One claim of a remittance: what it says, what we billed, what becomes of it; and, without a
    claim, the way to one.
    """
    actor = actor_of(request)
    row = found(
        ClaimPayment.objects.visible_to(actor).select_related(
            "remittance__interchange", "claim__patient", "reverses"
        ),
        public_id=public_id,
    )
    remittance_row = row.remittance
    ready = remittance_row.status == RemittanceStatus.READY
    stuck = row.state in (PaymentState.EXCEPTION, PaymentState.UNAPPLIED)
    open_ = (stuck and (ready or remittance_row.status == RemittanceStatus.POSTED)) or (
        row.state == PaymentState.MATCHED and ready
    )
    wanted = (
        request.POST.get("claim")
        or request.GET.get("claim")
        or (row.candidates[0]["number"] if row.candidates else "")
    )
    chosen = (
        Claim.objects.visible_to(actor).filter(number=wanted.strip()[:20]).first()
        if wanted and open_
        else None
    )
    form = None
    if open_ and actor.can("remittance.post", row):
        lines = list(chosen.lines.order_by("number")) if chosen else []
        form = forms.ApplyForm(
            request.POST or None,
            services=list(row.services.order_by("position")),
            lines=lines,
            initial={"claim": wanted},
        )
        if request.method == "POST" and form.is_valid():
            if chosen is None:
                form.add_error("claim", "There is no claim with this number.")
            else:
                try:
                    services.payment_apply(
                        payment=row,
                        claim=chosen,
                        reason=form.cleaned_data["reason"],
                        lines=form.chosen(),
                        actor=actor,
                    )
                except Refused as refusal:
                    form.add_error(
                        refusal.field if refusal.field in form.fields else None, str(refusal)
                    )
                else:
                    messages.success(request, f"{fmt.money(row.paid)} is on claim {chosen.number}.")
                    return redirect("remittance:payment", public_id=row.public_id)
    elif request.method == "POST":
        raise PermissionDenied
    legs = present.posted_legs(row)
    if (
        not legs
        and remittance_row.status == RemittanceStatus.READY
        and remittance_row.claim_count <= EXACT
    ):
        preview = services.remittance_preview(remittance=remittance_row, positions=[row.position])
        will = next(iter(preview.claims), None)
    else:
        will = None
    if row.claim:
        front.chart_read(request, [row.claim.patient], "payment")
    context = {
        "row": row,
        "remittance": remittance_row,
        "patient": front.banner(row.claim.patient) if row.claim else None,
        "claim_url": present.claim_url(row.claim)
        if row.claim and actor.can("claim.view", row)
        else "",
        "status": present.CLAIM_STATUS.get(row.status_code, row.status_code),
        "lines": present.line_views(row),
        "whole": [
            (f"{a.group}-{a.reason}", a.amount, present.reason_words(a.reason))
            for a in row.adjustments.filter(service__isnull=True).order_by("id")
        ],
        "remarks": [(c, present.remark_words(c)) for c in row.remarks],
        "legs": legs or (present.legs_of(will.legs) if will else []),
        "will": will,
        "exception": present.exception_words(row.exception) if row.exception else "",
        "candidates": row.candidates,
        "corrected": row.references.get(CORRECTED, ""),
        "corrected_coverage": corrections([row]).get(row.pk),
        "may_correct": actor.can("patient.edit"),
        "form": form,
        "raw": present.raw_of(row) if actor.can("remittance.view", row) else [],
        "denials": list(row.denials.select_related("line")),
        "crumbs": [
            parts.Crumb("Remittances", reverse("remittance:remittances")),
            parts.Crumb(
                remittance_row.trace,
                reverse("remittance:remittance", args=[remittance_row.public_id]),
            ),
        ],
    }
    return render(
        request,
        "remittance/payment.html",
        context,
        status=422 if form is not None and form.errors else 200,
    )


# --- unapplied cash, bank -------------------------------------------------------------------------


@require_POST
@may("patient.edit")
def take_member(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Take over the member ID that the payer corrects."""
    actor = actor_of(request)
    row = found(ClaimPayment.objects.visible_to(actor), public_id=public_id)
    try:
        services.member_correct(payment=row, actor=actor)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, "The corrected member ID stands on the coverage now.")
    return redirect("remittance:payment", public_id=row.public_id)


UNAPPLIED = ListPage(
    name="unapplied",
    title="Unapplied cash",
    noun=("payment", "payments"),
    columns=(
        Column(
            "claim",
            "Their claim",
            "payment.claim_number",
            kind="code",
            width="id",
            link=True,
            second="payment.payer_control_number",
            second_kind="code",
        ),
        Column(
            "patient",
            "Patient",
            "payment.patient_name",
            width="who",
            kind="strong",
            second="payment.service_date",
            second_kind="day",
        ),
        Column(
            "payer",
            "Payer",
            "remittance.payer_name",
            width="payer",
            second="remittance.trace",
            second_kind="code",
        ),
        Column("reason", "Why", "reason", width="wide"),
        Column("amount", "Amount", "amount", kind="money", width="money", order="amount"),
        Column(
            "received",
            "Received",
            "remittance.paid_on",
            kind="day",
            width="date",
            order="age",
            second=lambda u: f"{(office_day() - u.remittance.paid_on).days} days",
        ),
        Column(
            "perhaps",
            "Perhaps",
            lambda u: (
                u.payment.candidates[0]["number"] if u.payment and u.payment.candidates else ""
            ),
            kind="code",
            width="id",
        ),
    ),
    orders=(
        Order("age", "age", ("remittance__paid_on", "pk")),
        Order("amount", "amount", ("-amount", "pk")),
    ),
    tabs=(
        Tab("open", "Open", Q(resolved_at__isnull=True)),
        Tab("done", "Applied", Q(resolved_at__isnull=False)),
    ),
    filterset=CashFilter,
    detail=lambda u: (
        reverse("remittance:payment", args=[u.payment.public_id])
        if u.payment
        else reverse("remittance:remittance", args=[u.remittance.public_id])
    ),
    row_label=lambda u: f"payment of {u.amount}",
    amount="amount",
    summary=lambda request, rows: _cash_line(rows),
    empty="Every dollar received is on a claim.",
)


def _cash_line(rows: QuerySet[Any]) -> str:
    figures = rows.filter(resolved_at__isnull=True).aggregate(n=Count("pk"), s=Sum("amount"))
    return (
        f"{fmt.number(figures['n'])} payments, {fmt.money(figures['s'] or ZERO)} on no claim."
        if figures["n"]
        else ""
    )


@require_safe
@may("remittance.view")
def unapplied(request: HttpRequest) -> HttpResponseBase:
    return UNAPPLIED.respond(
        request,
        UnappliedCash.objects.visible_to(actor_of(request)).select_related("payment", "remittance"),
    )
