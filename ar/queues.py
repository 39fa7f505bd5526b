"""The work queues of receivables, each with its panel."""

from __future__ import annotations

from typing import Any

from django.urls import NoReverseMatch, reverse

from ar.models import Assistance, Refund, WriteOffRequest
from ar.tables import reasons
from charges.models import Charge
from charges.present import panel_grid
from claims.models import Claim
from intake.models import Patient
from rcm.accounts.actor import Actor
from rcm.ledger.services import balance_by_account
from rcm.web import format as fmt
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.registry import Fix, Panel, Queue, register


def link(name: str, *args: Any) -> str:
    """The address of a page of any phase; empty when there is none."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""


def _claim_grid(claim: Claim) -> list[dict[str, Any]]:
    """The exam's four-way grid, and what became of the claim's dollars."""
    line = (
        claim.lines.select_related(
            "charge__exam__ordered_exam__order",
            "charge__exam__authorization",
            "charge__exam__patient",
        )
        .order_by("number")
        .first()
    )
    grid = panel_grid(line.charge.exam) if line else []
    sums: dict[str, Any] = {}
    for (_, account), amount in balance_by_account(
        "charge_id", claim.lines.values_list("charge_id", flat=True)
    ).items():
        sums[account] = sums.get(account, 0) + amount
    open_now = sums.get("ar_insurance", 0)
    grid.append(
        {
            "cell": "Money",
            "code": fmt.money(claim.total),
            "text": (
                f"expected {fmt.money(claim.expected)}" if claim.expected else "nothing expected"
            ),
            "more": (
                f"{fmt.money(open_now)} open with insurance, {fmt.money(sums.get('ar_patient', 0))}"
                " with the patient"
            ),
            "differs": False,
        }
    )
    sent = (
        f"sent {fmt.short_day(claim.last_submitted_at)}"
        if claim.last_submitted_at
        else "never sent"
    )
    grid.append(
        {
            "cell": "Payer",
            "code": claim.payer_control_number,
            "text": f"{claim.get_status_display()}, {sent}",
            "more": claim.payer.phone and fmt.phone(claim.payer.phone),
            "differs": False,
        }
    )
    return grid


def _account_url(patient_id: int, actor: Actor) -> str:
    row = (
        Patient.objects.visible_to(actor)
        .filter(pk=patient_id)
        .values_list("public_id", flat=True)
        .first()
    )
    return reverse("ar:account", args=[row]) if row else ""


def followup_panel(item: Any, actor: Actor) -> Panel:
    """Why the balance is open, what is known, whom to ask."""
    claim = Claim.objects.visible_to(actor).select_related("payer").filter(pk=item.claim_id).first()
    if claim is None:
        return Panel(why=item.title)
    page = link("claims:claim", claim.public_id)
    fixes = [Fix("Open the claim", page, primary=True)] if page else []
    if item.cause != "silent":
        fixes.append(
            Fix(
                "Write off",
                reverse("ar:write_off_new", args=[claim.public_id]),
                permission="writeoff.request",
            )
        )
    account = _account_url(claim.patient_id, actor)
    parts = item.facts.get("score") or {}
    why = item.title
    if parts:
        why += (
            f". Worth {fmt.money(item.score)}: {fmt.money(parts.get('expected'))} expected ×"
            f" {parts.get('odds')} odds × {parts.get('urgency')} urgency"
        )
    return Panel(
        why=why,
        grid=_claim_grid(claim),
        fixes=fixes,
        links=[("Patient account", account)] if account else [],
        event_keys={"claim_id": claim.pk},
    )


def credit_panel(item: Any, actor: Actor) -> Panel:
    """Whose money it is, how it came about, until when it goes back."""
    if item.subject_type == "refund":
        return refund_panel(item, actor)
    charge = (
        Charge.objects.visible_to(actor)
        .select_related("patient")
        .filter(pk=item.subject_id)
        .first()
    )
    if charge is None:
        return Panel(why=item.title)
    words = dict(_accounts())
    grid = [
        {
            "cell": words.get(account, account),
            "code": fmt.money(amount),
            "text": "",
            "more": "",
            "differs": account.startswith("ar_") and amount < 0,
        }
        for (_, account), amount in sorted(balance_by_account("charge_id", [charge.pk]).items())
        if amount
    ]
    return Panel(
        why=item.title,
        grid=grid,
        fixes=[
            Fix(
                "Ask for a refund",
                reverse("ar:refund_new", args=[charge.public_id]),
                permission="refund.request",
                primary=True,
            )
        ],
        links=[("Patient account", reverse("ar:account", args=[charge.patient.public_id]))],
        event_keys={"patient_id": charge.patient_id, "exam_id": charge.exam_id},
    )


def _accounts() -> list[tuple[str, str]]:
    from rcm.ledger.models import Account

    return list(Account.choices)


def write_off_panel(item: Any, actor: Actor) -> Panel:
    """What the second person needs to decide: reason, contact, appeal path, who asked."""
    row = (
        WriteOffRequest.objects.visible_to(actor)
        .select_related("charge__patient", "claim", "contact", "requested_by")
        .filter(pk=item.subject_id)
        .first()
    )
    if row is None:
        return Panel(why=item.title)
    chosen = reasons()[row.reason]
    contact = row.contact
    grid = [
        {"cell": "Reason", "code": "", "text": chosen.label, "more": row.note, "differs": False},
        {
            "cell": "Asked by",
            "code": "",
            "text": row.requested_by.display_name if row.requested_by else "the product",
            "more": fmt.moment(row.requested_at),
            "differs": False,
        },
        {
            "cell": "Contact",
            "code": contact.reference if contact else "",
            "text": (
                f"{contact.get_channel_display()}: {contact.outcome}" if contact else "none needed"
            ),
            "more": contact.note if contact else "",
            "differs": False,
        },
        {
            "cell": "Charge",
            "code": row.charge.code,
            "text": fmt.short_day(row.charge.service_date),
            "more": row.claim.number if row.claim else "self-pay",
            "differs": False,
        },
    ]
    return Panel(
        why=item.title,
        grid=grid,
        fixes=[
            Fix(
                "Decide",
                reverse("ar:write_off", args=[row.public_id]),
                permission="writeoff.approve",
                primary=True,
            )
        ],
        links=[("Patient account", reverse("ar:account", args=[row.charge.patient.public_id]))],
        event_keys=(
            {"claim_id": row.claim_id} if row.claim_id else {"patient_id": row.charge.patient_id}
        ),
    )


def refund_panel(item: Any, actor: Actor) -> Panel:
    row = (
        Refund.objects.visible_to(actor)
        .select_related("charge__patient", "payer", "requested_by")
        .filter(pk=item.subject_id)
        .first()
    )
    if row is None:
        return Panel(why=item.title)
    grid = [
        {
            "cell": "To",
            "code": "",
            "text": row.payer.name if row.payer else row.charge.patient.name,
            "more": row.to,
            "differs": False,
        },
        {
            "cell": "Cause",
            "code": "",
            "text": row.cause.replace("_", " "),
            "more": f"found {fmt.short_day(row.identified_on)}, due {fmt.short_day(row.due_on)}",
            "differs": False,
        },
        {
            "cell": "Asked by",
            "code": "",
            "text": row.requested_by.display_name if row.requested_by else "",
            "more": fmt.moment(row.created_at),
            "differs": False,
        },
    ]
    return Panel(
        why=item.title,
        grid=grid,
        fixes=[
            Fix(
                "Decide",
                reverse("ar:refund", args=[row.public_id]),
                permission="refund.approve",
                primary=True,
            )
        ],
        links=[("Patient account", reverse("ar:account", args=[row.charge.patient.public_id]))],
        event_keys={"patient_id": row.patient_id},
    )


def assistance_panel(item: Any, actor: Actor) -> Panel:
    """An application that waits for a second person: household, income, what the scale gives."""
    row = (
        Assistance.objects.visible_to(actor)
        .select_related("patient", "requested_by")
        .filter(pk=item.subject_id)
        .first()
    )
    if row is None:
        return Panel(why=item.title)
    cells = (
        ("Household", f"{row.household_size} people, {fmt.money(row.income)} a year"),
        ("Guideline", f"{row.percent or 0:.0f}% of {fmt.money(row.guideline or 0)}"),
        ("Sent on by", row.requested_by.display_name if row.requested_by else "the product"),
    )
    return Panel(
        why=item.title,
        grid=[
            {"cell": cell, "code": "", "text": text, "more": "", "differs": False}
            for cell, text in cells
        ],
        fixes=[
            Fix(
                "Decide",
                reverse("ar:assistance", args=[row.public_id]),
                permission="writeoff.approve",
                primary=True,
            )
        ],
        links=[("Patient account", reverse("ar:account", args=[row.patient.public_id]))],
        event_keys={"patient_id": row.patient_id},
    )


def patient_panel(item: Any, actor: Actor) -> Panel:
    account = _account_url(item.patient_id, actor)
    fixes = [Fix("Open the account", account, primary=True)] if account else []
    return Panel(why=item.title, fixes=fixes, event_keys={"patient_id": item.patient_id})


FACTS = (("exam", "Exam"), ("reason", "Reason"))

register(
    Queue(
        "followup",
        "Follow-up",
        "Receivables",
        "followup.view",
        90,
        "Every open insurance dollar has a home.",
        deadline_word="File by",
        facts=(("exam", "Exam"), ("age", "Age")),
        panel=followup_panel,
        work_permission="followup.work",
        views=(
            ("Silent payers", "cause=silent"),
            ("Paid, still open", "cause=open_after_payment"),
            ("Over 90 days", "age=91-120,121+"),
            ("Over $500", "min=500"),
        ),
    ),
    Queue(
        "credits",
        "Credits",
        "Receivables",
        "account.view",
        92,
        "No balance is below zero.",
        deadline_word="Give back by",
        facts=FACTS,
        panel=credit_panel,
        work_permission="refund.request",
        views=(
            ("Payers", "whose=payer"),
            ("Patients", "whose=patient"),
            ("Due in 15 d", "days=15"),
        ),
    ),
    Queue(
        "write_off_approval",
        "Write-offs to approve",
        "Receivables",
        "writeoff.approve",
        94,
        "No write-off waits for approval.",
        facts=FACTS,
        panel=write_off_panel,
        work_permission="writeoff.approve",
    ),
    Queue(
        "refund_approval",
        "Refunds to approve",
        "Receivables",
        "refund.approve",
        95,
        "No refund waits for approval.",
        deadline_word="Give back by",
        facts=FACTS,
        panel=refund_panel,
        work_permission="refund.approve",
    ),
    Queue(
        "assistance_approval",
        "Assistance to decide",
        "Receivables",
        "writeoff.approve",
        96,
        "No application for assistance waits.",
        facts=FACTS,
        panel=assistance_panel,
        work_permission="writeoff.approve",
    ),
    Queue(
        "patient_balance",
        "Patient balances",
        "Receivables",
        "followup.view",
        97,
        "Every patient balance is on its way.",
        deadline_word="Collect from",
        facts=(("reason", "Reason"), ("step", "Statement")),
        panel=patient_panel,
        work_permission="followup.work",
        views=(
            ("Final notice past", "cause=final_notice"),
            ("Held", "cause=held,deceased"),
            ("Broken plans", "cause=plan_broken"),
        ),
    ),
)


def _open(code: str) -> Any:
    def count(actor: Actor) -> int:
        return int(
            WorkItem.objects.visible_to(actor).filter(queue=code, status=ItemStatus.OPEN).count()
        )

    return count


open_followups, open_credits = _open("followup"), _open("credits")


APPROVALS = ("write_off_approval", "refund_approval", "assistance_approval")


def open_approvals(actor: Actor) -> int:
    """Write-offs, refunds and applications that wait for a second person."""
    return int(
        WorkItem.objects.visible_to(actor)
        .filter(queue__in=APPROVALS, status=ItemStatus.OPEN)
        .count()
    )
