"""Screens of receivables: patients' accounts, statements, write-offs, refunds, and the queues at
their own addresses.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from ar import filters, forms, services
from ar.desk import key_of, new_key
from ar.models import (
    AccountHold,
    AgencyBatch,
    Assistance,
    AssistanceStatus,
    BatchStatus,
    Channel,
    PatientPayment,
    PaymentPlan,
    PlanStatus,
    Refund,
    RequestStatus,
    SentStatus,
    Statement,
    StatementDelivery,
    WriteOffRequest,
)
from ar.queues import link
from ar.services.assistance import applications_of
from ar.services.credits import credits_on
from ar.services.delivery import link_of
from ar.services.guards import ZERO, corrections_pending, held_harmless
from ar.services.patients import METHODS, plan_paid, plan_rows
from ar.services.positions import NOWHERE, positions, summed
from ar.tables import reasons
from charges.models import Charge
from claims.models import Claim
from intake.models import Patient
from intake.present import local_moment
from intake.services import chart_ids
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.models import Event
from rcm.audit.services import record_access
from rcm.ledger.models import Account, Balance, LedgerEntry
from rcm.ledger.services import balance_by_account
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab
from rcm.worklist import registry
from rcm.worklist import views as work
from rcm.worklist.models import Interaction
from rcm.worklist.pages import log_export
from remittance.patient_rule import Verdict

ADJUSTMENTS = (
    Account.CONTRACTUAL,
    Account.SEQUESTRATION,
    Account.DENIAL_WRITEOFF,
    Account.BAD_DEBT,
    Account.SMALL_BALANCE,
    Account.CHARITY,
    Account.OTHER_ADJUSTMENT,
)
TONES = {
    RequestStatus.REQUESTED: "warn",
    RequestStatus.APPROVED: "good",
    RequestStatus.REFUSED: "bad",
    RequestStatus.STOPPED: "bad",
}


def _read(request: HttpRequest, patient: Patient, purpose: str) -> None:
    record_access(
        organization_id=patient.organization_id,
        patient_ids=[patient.pk],
        actor=actor_of(request),
        purpose=purpose,
        request_id=str(getattr(request, "request_id", "")),
    )


def banner(patient: Patient) -> parts.PatientBanner:
    alerts = [f"On hold: {patient.statement_hold}"] if patient.statement_hold else []
    alerts += ["Deceased"] if patient.deceased_on else []
    return parts.PatientBanner(
        patient.last_name,
        patient.first_name,
        patient.born_on,
        patient.mrn,
        patient.sex,
        link("intake:patient", patient.public_id),
        tuple(alerts),
    )


def _form_page(
    request: HttpRequest,
    form: Any,
    *,
    title: str,
    verb: str,
    back: str,
    text: str = "",
    **more: Any,
) -> HttpResponseBase:
    context = {"title": title, "form": form, "verb": verb, "back_url": back, "text": text, **more}
    return render(
        request, "ar/form.html", context, status=422 if form.is_bound and form.errors else 200
    )


def _refuse(form: Any, refusal: Refused) -> None:
    text = f"{refusal} {refusal.fix}".strip()
    form.add_error(refusal.field if refusal.field in form.fields else None, text)


# --- queues ---------------------------------------------------------------------------------------


@require_safe
@may("followup.view")
def followup(request: HttpRequest) -> HttpResponseBase:
    return work.queue(request, "followup")


@require_safe
@may("account.view")
def credits(request: HttpRequest) -> HttpResponseBase:
    return work.queue(request, "credits")


@require_safe
@may("writeoff.approve")
def approvals(request: HttpRequest) -> HttpResponseBase:
    """What waits for a second person; what the reader asked for is shown without the way to decide
    it.
    """
    actor = actor_of(request)
    write_offs = (
        WriteOffRequest.objects.visible_to(actor)
        .filter(status=RequestStatus.REQUESTED)
        .select_related("charge__patient", "claim", "requested_by")
    )
    refunds_ = (
        Refund.objects.visible_to(actor.where("refund.approve"))
        .filter(status=RequestStatus.REQUESTED)
        .select_related("patient", "payer", "requested_by", "charge")
    )
    return render(
        request,
        "ar/approvals.html",
        {
            "write_offs": [
                (w, reasons()[w.reason].label) for w in write_offs.order_by("-amount", "pk")[:200]
            ],
            "batches": AgencyBatch.objects.visible_to(actor)
            .filter(status=BatchStatus.PROPOSED)
            .select_related("agency", "requested_by")
            .order_by("pk")[:200],
            "applications": Assistance.objects.visible_to(actor)
            .filter(status=AssistanceStatus.SUBMITTED)
            .select_related("patient", "requested_by")
            .defer("letter")
            .order_by("requested_at", "pk")[:200],
            "refunds": refunds_.order_by("due_on", "pk")[:200],
            "may_refund": actor.can_somewhere("refund.approve"),
        },
    )


# --- patients' accounts ---------------------------------------------------------------------------


def _with_balance(rows: QuerySet[Patient]) -> Any:
    owed = (
        LedgerEntry.objects.filter(patient_id=OuterRef("pk"), account=Account.AR_PATIENT)
        .order_by()
        .values("patient_id")
        .annotate(t=Sum("amount"))
        .values("t")
    )
    last = Statement.objects.filter(patient=OuterRef("pk")).order_by("-sent_on", "-pk")
    found: Any = rows.annotate(
        owed=Subquery(owed),
        last_on=Subquery(last.values("sent_on")[:1]),
        last_step=Subquery(last.values("step")[:1]),
    )
    return found.filter(owed__gt=0)


ACCOUNTS = ListPage(
    name="patient-accounts",
    title="Patient accounts",
    noun=("account", "accounts"),
    columns=(
        Column(
            "patient",
            "Patient",
            lambda p: p.name,
            width="who",
            link=True,
            second=lambda p: f"{fmt.mdy(p.born_on)} {p.mrn}",
            second_kind="code",
            export_second="Born, MRN",
        ),
        Column("owed", "Owes", "owed", kind="money", width="money", order="owed"),
        Column(
            "last",
            "Last statement",
            lambda p: fmt.short_day(p.last_on),
            second=lambda p: f"Notice {p.last_step}" if p.last_step else "none sent",
            width="date",
        ),
        Column(
            "hold",
            "Hold",
            lambda p: (p.statement_hold.capitalize(), "warn") if p.statement_hold else "",
            kind="tag",
            width="tag",
        ),
        Column("phone", "Phone", lambda p: fmt.phone(p.phone), width="date", kind="code"),
    ),
    orders=(Order("owed", "balance", ("-owed", "pk")),),
    filterset=filters.AccountFilter,
    detail=lambda p: reverse("ar:account", args=[p.public_id]),
    row_label=lambda p: p.name,
    amount="owed",
    empty="No patient owes anything.",
    tab_counts=False,
    tabs=(Tab("owing", "Owing"),),
    actions=lambda request: [
        parts.Action("Statements", reverse("ar:statements")),
        parts.Action("Assistance scale", reverse("ar:scale")),
    ],
    on_export=lambda request, rows: log_export(request, _as_reads(rows)),
)


def _as_reads(rows: QuerySet[Patient]) -> QuerySet[Any]:
    """The patients of an export in the shape the log reads: (organization, patient)."""
    return Patient.objects.filter(pk__in=rows.order_by().values("pk")).annotate(patient_id=F("pk"))


@require_safe
@may("account.view")
def accounts(request: HttpRequest) -> HttpResponseBase:
    rows = _with_balance(
        Patient.objects.visible_to(actor_of(request)).filter(merged_into__isnull=True)
    )
    return ACCOUNTS.respond(request, rows)


def _patient(request: HttpRequest, public_id: Any) -> Patient:
    return found(Patient.objects.visible_to(actor_of(request)), public_id=public_id)


@require_safe
@may("account.view")
def account(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """What one patient was charged, what insurance did, what was paid, what is owed, and what
    happens next.
    """
    actor = actor_of(request)
    patient = _patient(request, public_id)
    _read(request, patient, "patient account")
    charges = list(
        Charge.objects.filter(patient=patient)
        .exclude(status__in=["void", "held"])
        .select_related("exam__site", "exam__coverage__payer")
        .order_by("-service_date", "-pk")
    )
    ids = [c.pk for c in charges]
    sums = balance_by_account("charge_id", ids)
    harmless = held_harmless(ids)
    pending = corrections_pending(ids)
    lines = [_line(c, sums, harmless, actor) | {"pending": c.pk in pending} for c in charges]
    payments = list(PatientPayment.objects.filter(patient=patient).order_by("-received_on", "-pk"))
    sent = list(
        Statement.objects.filter(patient=patient).defer("pdf", "lines").order_by("-sent_on", "-pk")
    )
    plan = PaymentPlan.objects.filter(patient=patient).order_by("-pk").first()
    instalments = (
        plan_rows(plan, plan_paid([plan]).get(plan.pk, ZERO), office_day()) if plan else []
    )
    holds = list(
        AccountHold.objects.filter(patient=patient)
        .select_related("charge")
        .order_by(F("lifted_at").desc(nulls_first=True), "-begins_at", "-pk")
    )
    due, kept = services.statements_preview(
        organization_id=patient.organization_id, patient_ids=[patient.pk]
    )
    next_words = (
        f"Notice {due[0].step} for {fmt.money(due[0].balance)} goes out with the next run."
        if due
        else (kept[0][1] if kept else "Nothing is owed.")
    )
    events = Event.objects.filter(
        patient_id=patient.pk,
        organization_id=patient.organization_id,
        verb__regex=r"^(patient\.|hold\.|assistance\.|agency\.|statement\.|plan\.|refund\.|writeoff\.|balance\.|work\.contact)",
    )
    owed = sum((line["patient"] for line in lines), ZERO)
    return render(
        request,
        "ar/account.html",
        {
            "chart": patient,
            "patient": banner(patient),
            "lines": lines,
            "owed": owed,
            "insurance": sum((line["insurance"] for line in lines), ZERO),
            "on_account": services.unapplied_balances([patient.pk]).get(patient.pk, ZERO),
            "payments": payments,
            "methods": dict(METHODS),
            "statements": sent,
            "ways": _ways(sent, actor.can("statement.send", patient)),
            "holds": holds,
            "applications": applications_of(patient.pk),
            "may_hold": actor.can("statement.send", patient),
            "plan": plan,
            "instalments": instalments,
            "next_words": next_words,
            "events": [
                parts.Event(
                    e.at, e.sentence, e.who, kind=e.verb, machine=e.by_machine, detail=e.reason
                )
                for e in events.order_by("-at", "-pk")[:40]
            ],
            "actions": _account_actions(patient, actor, owed, plan, bool(due)),
            "crumbs": [parts.Crumb("Patient accounts", reverse("ar:accounts"))],
            "may_void": actor.can("payment.collect", patient),
        },
    )


def _ways(sent: list[Statement], may_send: bool) -> list[dict[str, Any]]:
    """How the newest statements went; for a link the address to hand to the patient."""
    rows = (
        StatementDelivery.objects.filter(statement__in=[s.pk for s in sent[:12]])
        .select_related("statement")
        .defer("statement__pdf", "statement__lines")
        .order_by("-pk")
    )
    return [
        {
            "row": row,
            "link": link_of(row) if may_send and row.channel != Channel.MAIL else "",
            "may_return": may_send
            and row.status == SentStatus.SENT
            and row.channel != Channel.LINK,
        }
        for row in rows
    ]


def _line(
    charge: Charge, sums: dict[tuple[int, str], Decimal], harmless: dict[int, Verdict], actor: Actor
) -> dict[str, Any]:

    def get(account: str) -> Decimal:
        return sums.get((charge.pk, account), ZERO)

    insurance, patient = get(Account.AR_INSURANCE), get(Account.AR_PATIENT)
    adjusted = sum((get(a) for a in ADJUSTMENTS), ZERO)
    payer = charge.exam.coverage.payer.name if charge.exam.coverage else "Self-pay"
    acts = []
    if actor.can("followup.work", charge) and (insurance > 0 or patient > 0):
        acts.append(("Move", reverse("ar:transfer", args=[charge.public_id])))
    if actor.can("refund.request", charge) and (insurance < 0 or patient < 0):
        acts.append(("Refund", reverse("ar:refund_new", args=[charge.public_id])))
    return {
        "charge": charge,
        "payer": payer,
        "billed": charge.amount,
        "adjusted": adjusted,
        "paid": charge.amount - adjusted - insurance - patient,
        "insurance": insurance,
        "patient": patient,
        "harmless": harmless.get(charge.pk) if insurance or patient else None,
        "acts": acts,
    }


def _account_actions(
    patient: Patient, actor: Actor, owed: Decimal, plan: PaymentPlan | None, due: bool
) -> list[parts.Action]:

    def page(name: str) -> str:
        return reverse(f"ar:{name}", args=[patient.public_id])

    actions = []
    if actor.can("payment.collect", patient):
        actions.append(
            parts.Action("Take payment", page("payment_new"), primary=True, key="t", icon="money")
        )
    if actor.can("statement.send", patient):
        actions.append(
            parts.Action(
                "Send statement now",
                page("statement_now"),
                method="post",
                disabled_reason="" if due else "None is due",
            )
        )
        if owed > 0 and (plan is None or plan.status != PlanStatus.ACTIVE):
            actions.append(parts.Action("Payment plan", page("plan_new")))
        actions.append(parts.Action("Hold", page("hold")))
        actions.append(parts.Action("How statements go", page("channel")))
    if actor.can("writeoff.request", patient):
        actions.append(parts.Action("Assistance", page("assistance_new")))
    return actions


@require_http_methods(["GET", "HEAD", "POST"])
@may("payment.collect", money=True)
def payment_new(request: HttpRequest, public_id: str) -> HttpResponseBase:
    patient = _patient(request, public_id)
    owed = sum(
        (c.balance for c in services.open_patient_charges([patient.pk]).get(patient.pk, [])), ZERO
    )
    plan = PaymentPlan.objects.filter(patient=patient, status=PlanStatus.ACTIVE).first()
    rows = plan_rows(plan, plan_paid([plan]).get(plan.pk, ZERO), office_day()) if plan else []
    due = next((r for r in rows if r.paid < r.amount), None)
    form = forms.PaymentForm(
        request.POST or None,
        initial={
            "amount": (due.amount - due.paid if due else owed) or None,
            "received_on": office_day(),
            "for_plan": due is not None,
            "key": new_key(),
        },
        plan=plan is not None,
    )
    back = reverse("ar:account", args=[patient.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            data = form.cleaned_data
            key = key_of(request, patient, data["amount"], data["method"], visit=None)
            row = services.payment_take(
                patient=patient, actor=actor_of(request), **{**data, "key": key}
            )
        except Refused as refusal:
            _refuse(form, refusal)
        else:
            messages.success(request, f"Took {fmt.money(row.amount)}, receipt {row.receipt}.")
            return redirect("ar:receipt", public_id=row.public_id)
    text = (
        f"{patient.name} owes {fmt.money(owed)}. Money goes onto the oldest exams first; what is"
        " over stays on account."
        + (
            f" The plan's instalment of {fmt.short_day(due.due_on)} is"
            f" {fmt.money(due.amount - due.paid)}."
            if due
            else ""
        )
    )
    return _form_page(
        request,
        form,
        title="Take payment",
        verb="Take payment",
        back=back,
        text=text,
        patient=banner(patient),
    )


def _receipt_actions(row: PatientPayment, actor: Actor) -> list[parts.Action]:
    if row.voided_at is not None:
        return []
    page = [row.public_id]
    actions = []
    if actor.can("payment.collect", row) and not row.refunded:
        actions.append(
            parts.Action("Void", reverse("ar:payment_void", args=page), danger=True, key="v")
        )
    if actor.can("refund.approve", row) and row.refunded < row.amount:
        actions.append(parts.Action("Give back", reverse("ar:payment_refund", args=page)))
    return actions


@require_safe
@may("account.view")
def receipt(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(
        PatientPayment.objects.visible_to(actor_of(request)).select_related(
            "patient", "organization", "transaction", "appointment__site", "estimate"
        ),
        public_id=public_id,
    )
    _read(request, row.patient, "receipt")
    placed = LedgerEntry.objects.filter(
        transaction=row.transaction, account__in=[Account.AR_PATIENT, Account.UNAPPLIED]
    ).order_by("pk")
    charges = Charge.objects.in_bulk([e.charge_id for e in placed if e.charge_id])
    return render(
        request,
        "ar/receipt.html",
        {
            "payment": row,
            "patient": banner(row.patient),
            "method": dict(METHODS).get(row.method, row.method),
            "placed": [(charges.get(e.charge_id or 0), -e.amount) for e in placed],
            "taken_by": row.transaction.actor_name,
            "visit": local_moment(row.appointment) if row.appointment else "",
            "actions": _receipt_actions(row, actor_of(request)),
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("payment.collect", money=True)
def payment_void(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(
        PatientPayment.objects.visible_to(actor_of(request)).select_related("patient"),
        public_id=public_id,
    )
    form = forms.VoidForm(request.POST or None)
    back = reverse("ar:account", args=[row.patient.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            services.payment_void(
                payment=row, reason=form.cleaned_data["reason"], actor=actor_of(request)
            )
        except Refused as refusal:
            _refuse(form, refusal)
        else:
            messages.success(
                request, f"Receipt {row.receipt} is void; the mirrored entries are posted."
            )
            return redirect(back)
    text = (
        f"Receipt {row.receipt}, {fmt.money(row.amount)} of {fmt.short_day(row.received_on)}. The"
        " ledger keeps both the payment and its counter-entries."
    )
    return _form_page(
        request,
        form,
        title="Void payment",
        verb="Void payment",
        back=back,
        text=text,
        patient=banner(row.patient),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("statement.send", money=True)
def plan_new(request: HttpRequest, public_id: str) -> HttpResponseBase:
    patient = _patient(request, public_id)
    owed = sum(
        (c.balance for c in services.open_patient_charges([patient.pk]).get(patient.pk, [])), ZERO
    )
    form = forms.PlanForm(
        request.POST or None, initial={"total": owed or None, "starts_on": office_day()}
    )
    back = reverse("ar:account", args=[patient.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            services.plan_make(patient=patient, actor=actor_of(request), **form.cleaned_data)
        except Refused as refusal:
            _refuse(form, refusal)
        else:
            messages.success(
                request, "The plan stands. What it covers gets no statement while it is kept."
            )
            return redirect(back)
    return _form_page(
        request,
        form,
        title="Payment plan",
        verb="Make plan",
        back=back,
        text=f"{patient.name} owes {fmt.money(owed)}.",
        patient=banner(patient),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("followup.work", money=True)
def transfer(request: HttpRequest, public_id: str) -> HttpResponseBase:
    charge = found(
        Charge.objects.visible_to(actor_of(request)).select_related("patient", "exam"),
        public_id=public_id,
    )
    form = forms.TransferForm(request.POST or None)
    back = reverse("ar:account", args=[charge.patient.public_id])
    if request.method == "POST" and form.is_valid():
        values = dict(form.cleaned_data)
        move = (
            services.transfer_to_patient
            if values.pop("to") == "patient"
            else services.transfer_to_insurance
        )
        try:
            move(charge=charge, actor=actor_of(request), **values)
        except Refused as refusal:
            _refuse(form, refusal)
        else:
            messages.success(request, "Moved.")
            return redirect(back)
    row = Balance.objects.filter(charge_id=charge.pk).first()
    text = (
        f"{charge.code} of {fmt.short_day(charge.service_date)}:"
        f" {fmt.money(row.insurance if row else ZERO)} with insurance,"
        f" {fmt.money(row.patient if row else ZERO)} with the patient."
    )
    return _form_page(
        request,
        form,
        title="Move balance",
        verb="Move",
        back=back,
        text=text,
        patient=banner(charge.patient),
        blockers=_harmless(charge),
    )


def _harmless(charge: Charge) -> list[parts.Blocker]:
    said = held_harmless([charge.pk]).get(charge.pk)
    if said is None:
        return []
    todo = "Work the denial instead" if said.forever else "Wait for the answer"
    return [parts.Blocker(said.sentence, todo, code=said.code, rule="hold-harmless")]


# --- statements -----------------------------------------------------------------------------------

STATEMENTS = ListPage(
    name="statements",
    title="Statements",
    noun=("statement", "statements"),
    columns=(
        Column("number", "Statement", "number", width="id", link=True, kind="text"),
        Column(
            "patient",
            "Patient",
            lambda s: s.patient.name,
            width="who",
            second="patient.mrn",
            second_kind="code",
            export_second="MRN",
        ),
        Column("step", "Step", lambda s: f"Notice {s.step}", width="tag"),
        Column("balance", "Balance", "balance", kind="money", width="money"),
        Column("sent", "Sent", "sent_on", kind="day", width="date"),
    ),
    orders=(Order("sent", "day sent, newest first", ("-sent_on", "-pk")),),
    filterset=filters.StatementFilter,
    detail=lambda s: reverse("ar:statement_pdf", args=[s.public_id]),
    row_label="number",
    amount="balance",
    empty="No statement was sent yet.",
    actions=lambda request: (
        [
            parts.Action("Today's run", reverse("ar:statements_run"), primary=True),
            parts.Action("Letters and mails", reverse("ar:mail")),
        ]
        if actor_of(request).can_somewhere("statement.send")
        else []
    ),
    on_export=lambda request, rows: log_export(request, rows),
)


@require_safe
@may("account.view")
def statements(request: HttpRequest) -> HttpResponseBase:
    return STATEMENTS.respond(
        request,
        Statement.objects.visible_to(actor_of(request)).defer("pdf").select_related("patient"),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("statement.send", money=True)
def statements_run(request: HttpRequest) -> HttpResponseBase:
    """Who gets which notice today, who owes but gets none and why; then send."""
    actor = actor_of(request)
    if request.method == "POST":
        made = sum(
            len(services.statements_send(organization_id=pk, actor=actor))
            for pk in sorted(actor.organizations)
        )
        messages.success(request, f"Sent {fmt.plural(made, 'statement')}.")
        return redirect("ar:statements")
    due, none = [], []
    for pk in sorted(actor.organizations):
        some, other = services.statements_preview(organization_id=pk)
        due += some
        none += other
    return render(
        request,
        "ar/statements_run.html",
        {
            "due": due[:500],
            "count": len(due),
            "total": sum((d.balance for d in due), ZERO),
            "none": none[:500],
            "none_count": len(none),
            "crumbs": [parts.Crumb("Statements", reverse("ar:statements"))],
        },
    )


@require_POST
@may("statement.send", money=True)
def statement_now(request: HttpRequest, public_id: str) -> HttpResponseBase:
    patient = _patient(request, public_id)
    made = services.statements_send(
        organization_id=patient.organization_id, actor=actor_of(request), patient_ids=[patient.pk]
    )
    if made:
        messages.success(request, f"Statement {made[0].number} was sent.")
    else:
        messages.info(request, "No statement is due today.")
    return redirect("ar:account", public_id=patient.public_id)


@require_safe
@may("account.view")
def statement_pdf(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(
        Statement.objects.visible_to(actor_of(request)).select_related("patient"),
        public_id=public_id,
    )
    _read(request, row.patient, "statement")
    response = HttpResponse(bytes(row.pdf or b""), content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="statement-{row.number}.pdf"'
    return response


# --- write-offs -----------------------------------------------------------------------------------

WRITE_OFFS = ListPage(
    name="write-offs",
    title="Write-offs",
    noun=("write-off", "write-offs"),
    columns=(
        Column(
            "charge",
            "Charge",
            lambda w: w.claim.number if w.claim else w.charge.code,
            width="id",
            link=True,
            second=lambda w: f"DOS {fmt.short_day(w.charge.service_date)}",
        ),
        Column(
            "patient",
            "Patient",
            lambda w: w.charge.patient.name,
            width="who",
            second="charge.patient.mrn",
            second_kind="code",
            export_second="MRN",
        ),
        Column(
            "reason", "Reason", lambda w: reasons()[w.reason].label, kind="strong", second="note"
        ),
        Column("amount", "Amount", "amount", kind="money", width="money"),
        Column(
            "asked",
            "Asked by",
            lambda w: w.requested_by.display_name if w.requested_by else "By rule",
            second=lambda w: fmt.short_day(w.requested_at),
            width="payer",
        ),
        Column(
            "decided",
            "Decided by",
            lambda w: (
                w.decided_by.display_name
                if w.decided_by
                else ("Within the limit" if w.status == "approved" else "")
            ),
            second=lambda w: fmt.short_day(w.decided_at),
            width="payer",
        ),
        Column(
            "status",
            "Status",
            lambda w: (w.get_status_display(), TONES[RequestStatus(w.status)]),
            kind="tag",
            width="tag",
        ),
    ),
    orders=(Order("asked", "when asked, newest first", ("-requested_at", "-pk")),),
    tabs=(
        Tab("waiting", "Waiting", Q(status=RequestStatus.REQUESTED)),
        Tab("all", "All"),
    ),
    filterset=filters.WriteOffFilter,
    detail=lambda w: reverse("ar:write_off", args=[w.public_id]),
    row_label=lambda w: f"write-off of {fmt.money(w.amount)}",
    amount="amount",
    empty="No write-off waits.",
    empty_link=("All write-offs", "?view=all"),
)


@require_safe
@may("account.view")
def write_offs(request: HttpRequest) -> HttpResponseBase:
    """Every write-off with maker and checker: the monthly report is this list's export."""
    rows = WriteOffRequest.objects.visible_to(actor_of(request)).select_related(
        "charge__patient", "claim", "requested_by", "decided_by"
    )
    return WRITE_OFFS.respond(request, rows)


@require_http_methods(["GET", "HEAD", "POST"])
@may("writeoff.request", money=True)
def write_off_new(request: HttpRequest, public_id: str) -> HttpResponseBase:
    actor = actor_of(request)
    claim = found(
        Claim.objects.visible_to(actor).select_related("patient", "payer", "organization"),
        public_id=public_id,
    )
    charges = Charge.objects.filter(claim_lines__claim=claim).distinct().order_by("pk")
    contacts = Interaction.objects.visible_to(actor).filter(
        claim_id=claim.pk
    ) | Interaction.objects.visible_to(actor).filter(
        patient_id__in=chart_ids(claim.patient_id), claim_id__isnull=True
    )
    balances = {
        b.charge_id: b for b in Balance.objects.filter(charge_id__in=[c.pk for c in charges])
    }
    first = next(iter(charges), None)
    open_amount = balances[first.pk].insurance if first and first.pk in balances else None
    form = forms.WriteOffForm(
        request.POST or None,
        charges=charges,
        contacts=contacts.order_by("-at"),
        initial={"charge": first, "amount": open_amount},
    )
    back = link("claims:claim", claim.public_id) or reverse(
        "ar:account", args=[claim.patient.public_id]
    )
    if request.method == "POST" and form.is_valid():
        try:
            row = services.write_off_request(claim=claim, actor=actor, **form.cleaned_data)
        except Refused as refusal:
            _refuse(form, refusal)
        else:
            said = (
                "Posted: it was within the limit."
                if row.status == RequestStatus.APPROVED
                else "It waits for a second person."
            )
            messages.success(request, f"Write-off of {fmt.money(row.amount)} asked for. {said}")
            return redirect("ar:write_off", public_id=row.public_id)
    text = (
        f"Claim {claim.number}, {claim.payer.name}. Above"
        f" {fmt.money(claim.organization.write_off_limit)} a second person approves; everything"
        " written off for this patient within a year counts together."
    )
    lines = [(c, balances.get(c.pk)) for c in charges]
    return _form_page(
        request,
        form,
        title="Write off",
        verb="Ask for write-off",
        back=back,
        text=text,
        patient=banner(claim.patient),
        balances=lines,
    )


def _counted(row: WriteOffRequest) -> str:
    """The limit, and what it was held against."""
    limit = row.organization.write_off_limit if row.limit is None else row.limit
    words = f"limit {fmt.money(limit)}"
    if row.counted is None or row.counted == row.amount:
        return words
    return f"{words}; {fmt.money(row.counted)} for this patient within a year"


@require_http_methods(["GET", "HEAD", "POST"])
@may("account.view", money=True)
def write_off(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One write-off with everything the second person needs; the decision for who may take it."""
    actor = actor_of(request)
    rows = WriteOffRequest.objects.visible_to(actor).select_related(
        "charge__patient",
        "charge__exam",
        "claim__payer",
        "contact",
        "requested_by",
        "decided_by",
        "organization",
    )
    row = found(rows, public_id=public_id)
    _read(request, row.charge.patient, "write-off")
    chosen = reasons()[row.reason]
    form = forms.DecideForm(request.POST or None)
    waiting = row.status == RequestStatus.REQUESTED
    own = row.requested_by_id is not None and row.requested_by_id == actor.user_id
    if request.method == "POST":
        if not actor.can("writeoff.approve", row):
            raise PermissionDenied
        if form.is_valid():
            try:
                services.write_off_decide(
                    request=row,
                    approve=form.cleaned_data["decision"] == "approve",
                    note=form.cleaned_data["note"],
                    actor=actor,
                )
            except Conflict as conflict:
                messages.error(request, str(conflict))
                return redirect("ar:write_off", public_id=row.public_id)
            except Refused as refusal:
                _refuse(form, refusal)
            else:
                messages.success(request, "Decided.")
                return redirect("ar:approvals")
    evidence = [
        parts.Evidence("Reason", "", chosen.label, row.note),
        parts.Evidence(
            "Amount",
            fmt.money(row.amount),
            "insurance balance" if row.account == Account.AR_INSURANCE else "patient balance",
            _counted(row),
        ),
        parts.Evidence(
            "Contact",
            row.contact.reference if row.contact else "",
            (
                f"{row.contact.get_channel_display()}: {row.contact.outcome}"
                if row.contact
                else "none needed"
            ),
            row.contact.note if row.contact else "",
        ),
        parts.Evidence(
            "Asked by",
            "",
            row.requested_by.display_name if row.requested_by else "By rule",
            fmt.moment(row.requested_at),
        ),
        parts.Evidence(
            "Decided by",
            "",
            (
                row.decided_by.display_name
                if row.decided_by
                else ("within the limit" if row.status == "approved" else "")
            ),
            f"{fmt.moment(row.decided_at)} {row.decision_note}".strip(),
            missing=waiting,
        ),
    ]
    keys = {"claim_id": row.claim_id} if row.claim_id else {"patient_id": row.charge.patient_id}
    events = Event.objects.filter(organization_id=row.organization_id, **keys).order_by(
        "-at", "-pk"
    )[:25]
    return render(
        request,
        "ar/write_off.html",
        {
            "row": row,
            "patient": banner(row.charge.patient),
            "evidence": evidence,
            "form": form if waiting and actor.can("writeoff.approve", row) and not own else None,
            "own": own and waiting,
            "reason": chosen,
            "events": [
                parts.Event(
                    e.at, e.sentence, e.who, kind=e.verb, machine=e.by_machine, detail=e.reason
                )
                for e in events
            ],
            "tone": TONES[RequestStatus(row.status)],
            "account_url": reverse("ar:account", args=[row.charge.patient.public_id]),
            "claim_url": link("claims:claim", row.claim.public_id) if row.claim else "",
            "crumbs": [parts.Crumb("Write-offs", reverse("ar:write_offs"))],
        },
        status=422 if form.is_bound and form.errors else 200,
    )


# --- refunds --------------------------------------------------------------------------------------

REFUNDS = ListPage(
    name="refunds",
    title="Refunds",
    noun=("refund", "refunds"),
    columns=(
        Column(
            "patient",
            "Patient",
            lambda r: r.patient.name,
            width="who",
            link=True,
            second="patient.mrn",
            second_kind="code",
            export_second="MRN",
        ),
        Column("to", "To", lambda r: r.payer.name if r.payer else "Patient", width="payer"),
        Column(
            "cause",
            "Cause",
            lambda r: r.cause.replace("_", " ").capitalize(),
            second=lambda r: f"found {fmt.short_day(r.identified_on)}",
        ),
        Column("amount", "Amount", "amount", kind="money", width="money"),
        Column(
            "due",
            "Give back by",
            lambda r: "" if r.issued_on else r.due_on,
            kind="deadline",
            width="due",
        ),
        Column(
            "status",
            "Status",
            lambda r: (
                ("Paid out", "good")
                if r.issued_on
                else (r.get_status_display(), TONES[RequestStatus(r.status)])
            ),
            kind="tag",
            width="tag",
        ),
    ),
    orders=(Order("due", "date to give back", ("due_on", "pk")),),
    filterset=filters.RefundFilter,
    detail=lambda r: reverse("ar:refund", args=[r.public_id]),
    row_label=lambda r: f"refund of {fmt.money(r.amount)}",
    amount="amount",
    empty="No refund was asked for.",
)


@require_safe
@may("account.view")
def refunds(request: HttpRequest) -> HttpResponseBase:
    return REFUNDS.respond(
        request, Refund.objects.visible_to(actor_of(request)).select_related("patient", "payer")
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("refund.request", money=True)
def refund_new(request: HttpRequest, public_id: str) -> HttpResponseBase:
    charge = found(
        Charge.objects.visible_to(actor_of(request)).select_related("patient", "exam"),
        public_id=public_id,
    )
    row = Balance.objects.filter(charge_id=charge.pk).first()
    insurance, patient = (row.insurance, row.patient) if row else (ZERO, ZERO)
    credits = credits_on([charge.pk]).get(charge.pk, [])
    first = credits[0] if credits else None
    form = forms.RefundForm(
        request.POST or None,
        payers=[c.payer for c in credits if c.payer is not None],
        initial={
            "to": "payer" if first and first.payer else "patient",
            "amount": first.amount if first else None,
        },
    )
    back = reverse("ar:account", args=[charge.patient.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            made = services.refund_request(
                charge=charge, actor=actor_of(request), **form.cleaned_data
            )
        except Refused as refusal:
            _refuse(form, refusal)
        else:
            messages.success(
                request, f"Refund of {fmt.money(made.amount)} waits for a second person."
            )
            return redirect("ar:refund", public_id=made.public_id)
    words = "; ".join(
        f"{fmt.money(c.amount)} belongs to {c.whose}"
        + (f", claim {c.claim.number}" if c.claim else "")
        for c in credits
    )
    text = (
        f"{charge.code} of {fmt.short_day(charge.service_date)}:"
        f" {fmt.money(insurance)} with insurance, {fmt.money(patient)} with the patient."
        f" {words or 'Nobody was paid too much'}."
    )
    return _form_page(
        request,
        form,
        title="Refund",
        verb="Ask for refund",
        back=back,
        text=text,
        patient=banner(charge.patient),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("account.view", money=True)
def refund(request: HttpRequest, public_id: str) -> HttpResponseBase:
    actor = actor_of(request)
    row = found(
        Refund.objects.visible_to(actor).select_related(
            "patient", "payer", "charge", "requested_by", "decided_by"
        ),
        public_id=public_id,
    )
    _read(request, row.patient, "refund")
    form = forms.DecideForm(request.POST or None)
    own = row.requested_by_id is not None and row.requested_by_id == actor.user_id
    waiting = row.status == RequestStatus.REQUESTED
    if request.method == "POST":
        if not actor.can("refund.approve", row):
            raise PermissionDenied
        if form.is_valid():
            try:
                services.refund_decide(
                    refund=row,
                    approve=form.cleaned_data["decision"] == "approve",
                    note=form.cleaned_data["note"],
                    actor=actor,
                )
            except Conflict as conflict:
                messages.error(request, str(conflict))
                return redirect("ar:refund", public_id=row.public_id)
            except Refused as refusal:
                _refuse(form, refusal)
            else:
                messages.success(request, "Decided.")
                return redirect("ar:approvals")
    evidence = [
        parts.Evidence("To", "", row.payer.name if row.payer else row.patient.name, row.to),
        parts.Evidence(
            "Amount",
            fmt.money(row.amount),
            row.cause.replace("_", " "),
            f"{row.charge.code} of {fmt.short_day(row.charge.service_date)}",
        ),
        parts.Evidence(
            "Clock",
            "",
            f"found {fmt.short_day(row.identified_on)}",
            f"give back by {fmt.short_day(row.due_on)}",
        ),
        parts.Evidence(
            "Asked by",
            "",
            row.requested_by.display_name if row.requested_by else "",
            fmt.moment(row.created_at),
        ),
        parts.Evidence(
            "Decided by",
            "",
            row.decided_by.display_name if row.decided_by else "",
            f"{fmt.moment(row.decided_at)} {row.decision_note}".strip(),
            missing=waiting,
        ),
    ]
    if row.issued_on:
        evidence.append(
            parts.Evidence("Paid out", row.issue_reference, fmt.short_day(row.issued_on))
        )
    if row.stopped_on:
        evidence.append(
            parts.Evidence("Stopped", "", fmt.short_day(row.stopped_on), row.stopped_why)
        )
    payable = (
        row.status == RequestStatus.APPROVED
        and row.issued_on is None
        and actor.can("refund.request", row)
    )
    return render(
        request,
        "ar/refund.html",
        {
            "row": row,
            "patient": banner(row.patient),
            "evidence": evidence,
            "form": form if waiting and actor.can("refund.approve", row) and not own else None,
            "own": own and waiting,
            "issue_form": forms.IssueForm() if payable else None,
            "tone": TONES[RequestStatus(row.status)],
            "account_url": reverse("ar:account", args=[row.patient.public_id]),
            "crumbs": [parts.Crumb("Refunds", reverse("ar:refunds"))],
        },
        status=422 if form.is_bound and form.errors else 200,
    )


@require_POST
@may("refund.request", money=True)
def refund_issue(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(Refund.objects.visible_to(actor_of(request)), public_id=public_id)
    try:
        services.refund_issue(
            refund=row, reference=request.POST.get("reference", ""), actor=actor_of(request)
        )
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        messages.success(request, "Paid out.")
    return redirect("ar:refund", public_id=row.public_id)


# --- where every open balance is ------------------------------------------------------------------

SIDES = {"insurance": "Insurance", "patient": "Patient"}


def queue_name(code: str) -> str:
    declared = registry.get(code) if code else None
    return declared.label if declared else code.replace("_", " ").capitalize()


@require_safe
@may("kpi.view")
def open_balances(request: HttpRequest) -> HttpResponseBase:
    """Every open dollar by its place: a queue, or a reason to rest with its day. What is nowhere
    comes first, with its charges.
    """
    actor = actor_of(request)
    rows = [row for pk in sorted(actor.organizations) for row in positions(pk)]
    lost = [row for row in rows if row.state == NOWHERE]
    charges = (
        Charge.objects.visible_to(actor)
        .select_related("patient")
        .in_bulk([row.charge_id for row in lost[:200]])
    )
    return render(
        request,
        "ar/open_balances.html",
        {
            "sums": [(s, SIDES[s.side], queue_name(s.queue)) for s in summed(rows)],
            "total": sum((row.dollars for row in rows), ZERO),
            "count": len(rows),
            "lost_total": sum((row.dollars for row in lost), ZERO),
            "lost_count": len(lost),
            "lost": [
                (charges[row.charge_id], SIDES[row.side], row)
                for row in lost[:200]
                if row.charge_id in charges
            ],
        },
    )
