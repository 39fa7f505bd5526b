"""One claim of a remittance, and the money that is on no claim yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Concat
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from claims.models import Claim
from intake import present as front
from intake.models import Patient
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab
from rcm.worklist.models import ItemStatus, WorkItem
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
    cash = UnappliedCash.objects.visible_to(actor).filter(payment=row).first()
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
        "ways": _ways(row, cash, actor),
        "returned": cash.returns.order_by("-pk").first() if cash else None,
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


def _cash(request: HttpRequest, public_id: str, permission: str) -> UnappliedCash:
    """The money of a payment, for who may act at the payment's place."""
    actor = actor_of(request)
    payment = found(ClaimPayment.objects.visible_to(actor), public_id=public_id)
    actor.require(permission, payment)
    rows = UnappliedCash.objects.visible_to(actor).select_related("payment__claim", "remittance")
    return found(rows, payment=payment)


def _act(
    request: HttpRequest, cash: UnappliedCash, form: Any, do: Callable[[Any], str], **page: str
) -> HttpResponseBase:
    """A form that moves this money: its page, or what it did and the payment again."""
    back = reverse("remittance:payment", args=[cash.payment.public_id])  # type: ignore[union-attr]
    if request.method == "POST" and form.is_valid():
        try:
            said = do(form.cleaned_data)
        except Refused as refusal:
            field = refusal.field if refusal.field in form.fields else None
            form.add_error(field, f"{refusal} {refusal.fix}".strip())
        else:
            messages.success(request, said)
            return redirect(back)
    text = (
        f"{fmt.money(cash.amount)} of {cash.remittance.trace}, {cash.remittance.payer_name},"
        f" received {fmt.short_day(cash.remittance.paid_on)}."
    )
    context = {"form": form, "back_url": back, **page, "text": f"{text} {page.get('text', '')}"}
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "components/form_page.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@may("refund.request", money=True)
def send_back(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Ask to send money on no claim back to the payer."""
    cash = _cash(request, public_id, "refund.request")

    def do(told: Any) -> str:
        services.return_request(cash=cash, reason=told["reason"], actor=actor_of(request))
        return "Asked. Another person sends it back or refuses."

    form = forms.ReturnForm(request.POST or None)
    return _act(request, cash, form, do, title="Send back to the payer", verb="Ask")


@require_http_methods(["GET", "HEAD", "POST"])
@may("remittance.post", money=True)
def to_patient(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Put money on no claim onto a patient's account: it was their own payment."""
    cash = _cash(request, public_id, "remittance.post")
    actor = actor_of(request)

    def do(told: Any) -> str:
        rows = Patient.objects.visible_to(actor).filter(organization_id=cash.organization_id)
        patient = rows.filter(mrn__iexact=told["mrn"].strip()).first()
        if patient is None:
            raise Refused("There is no patient with this MRN.", code="unknown", field="mrn")
        services.cash_to_patient(cash=cash, patient=patient, reason=told["reason"], actor=actor)
        return f"{fmt.money(cash.amount)} is on the account of {patient.mrn}."

    form = forms.ToPatientForm(request.POST or None)
    return _act(request, cash, form, do, title="Put on a patient's account", verb="Move")


@require_http_methods(["GET", "HEAD", "POST"])
@may("refund.approve", money=True)
def decide_return(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """A second person sends money back to the payer, with the check number, or refuses."""
    cash = _cash(request, public_id, "refund.approve")
    row = services.open_return(cash)
    if row is None:
        messages.info(request, "Nothing waits for a decision here.")
        return redirect("remittance:payment", public_id=public_id)

    def do(told: Any) -> str:
        services.return_decide(
            row=row,
            approve=told["approve"] == "yes",
            reference=told["reference"],
            note=told["note"],
            actor=actor_of(request),
        )
        return "Sent back." if told["approve"] == "yes" else "Refused."

    form = forms.DecideReturnForm(request.POST or None, initial={"approve": "yes"})
    asked = f"Asked because: {row.reason}"
    return _act(request, cash, form, do, title="Decide a return", verb="Decide", text=asked)


def _ways(row: ClaimPayment, cash: UnappliedCash | None, actor: Actor) -> list[parts.Action]:
    """Where money on no claim can go besides a claim."""
    if cash is None or cash.resolved_at is not None:
        return []
    asked = services.open_return(cash)
    page = [row.public_id]
    if asked is not None:
        if not actor.can("refund.approve", row):
            return []
        mine = asked.requested_by_id == actor.user_id
        why = "You asked for it: another person decides." if mine else ""
        url = reverse("remittance:decide_return", args=page)
        return [parts.Action("Decide the return", url, primary=True, disabled_reason=why)]
    ways = []
    if actor.can("refund.request", row):
        url = reverse("remittance:send_back", args=page)
        ways.append(parts.Action("Send back to the payer", url))
    if actor.can("remittance.post", row):
        url = reverse("remittance:to_patient", args=page)
        ways.append(parts.Action("Put on a patient's account", url))
    return ways


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
            "owner",
            "Owner",
            lambda u: u.owner_name or ("" if u.resolved_at else "Nobody"),
            width="who",
            second=lambda u: fmt.short_day(u.next_on) if u.next_on else "",
        ),
        Column(
            "perhaps",
            "Perhaps",
            lambda u: (
                u.payment.candidates[0]["number"] if u.payment and u.payment.candidates else ""
            ),
            kind="code",
            width="id",
            second=lambda u: (
                "{points} of 100: {why}".format(**u.payment.candidates[0])
                if u.payment and u.payment.candidates
                else ""
            ),
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


OWNER = Concat("owner__first_name", Value(" "), "owner__last_name")


@require_safe
@may("remittance.view")
def unapplied(request: HttpRequest) -> HttpResponseBase:
    live = WorkItem.objects.filter(
        organization_id=OuterRef("organization_id"),
        subject_type="claim_payment",
        subject_id=OuterRef("payment_id"),
        status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
    )
    rows = UnappliedCash.objects.visible_to(actor_of(request)).select_related(
        "payment", "remittance"
    )
    return UNAPPLIED.respond(
        request,
        rows.annotate(
            owner_name=Subquery(live.filter(owner__isnull=False).values(name=OWNER)[:1]),
            next_on=Subquery(live.values("next_action_on")[:1]),
        ),
    )
