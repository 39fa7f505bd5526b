"""The remittance phase's work queues: files, exceptions, unapplied cash, denials, underpayments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db.models import Q
from django.urls import reverse

from claims.models import RecordsRequest
from rcm.accounts.actor import Actor
from rcm.exchange.models import Interchange
from rcm.web import format as fmt
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.registry import Fix, Panel, Queue, register
from remittance import present
from remittance.models import (
    ClaimPayment,
    Denial,
    Deposit,
    ProviderAdjustment,
    Remittance,
    Variance,
)
from remittance.services.returning import SUBJECT


def file_panel(item: Any, actor: Actor) -> Panel:
    """A remittance that does not balance, with its figures; or an 835 that could not be read."""
    if item.subject_type == "interchange":
        row = (
            Interchange.objects.visible_to(actor)
            .defer("content")
            .filter(pk=item.subject_id)
            .first()
        )
        links = (
            [("Raw file", reverse("exchange:interchange", args=[row.public_id]))]
            if row and actor.can("exchange.view", item)
            else []
        )
        return Panel(why=item.title, links=links, event_keys={"interchange_id": item.subject_id})
    remittance = Remittance.objects.visible_to(actor).filter(pk=item.subject_id).first()
    if remittance is None:
        return Panel(why=item.title)
    grid: list[dict[str, Any]] = [
        {
            "cell": "Check",
            "code": fmt.money(remittance.amount),
            "text": remittance.trace,
            "more": f"{remittance.paid_on:%b %-d, %Y}",
        },
        {
            "cell": "Claims",
            "code": fmt.money(remittance.claims_total),
            "text": f"{remittance.claim_count} claims",
        },
        {
            "cell": "Provider level",
            "code": fmt.money(remittance.plb_total),
            "text": "taken off",
            "differs": remittance.claims_total - remittance.plb_total != remittance.amount,
        },
    ]
    page = reverse("remittance:remittance", args=[remittance.public_id])
    return Panel(
        why=item.title,
        grid=grid,
        fixes=[Fix("Open the figures", page, primary=True)],
        event_keys={"remittance_id": remittance.pk},
    )


def payment_panel(item: Any, actor: Actor) -> Panel:
    """A payment that is on no claim: what it says, what it may belong to."""
    if item.subject_type == "remittance":
        remittance = Remittance.objects.visible_to(actor).filter(pk=item.subject_id).first()
        if remittance is None:
            return Panel(why=item.title)
        page = reverse("remittance:remittance", args=[remittance.public_id])
        return Panel(
            why=item.title,
            fixes=[Fix("Resolve and post", page, primary=True)],
            event_keys={"remittance_id": remittance.pk},
        )
    if item.subject_type == "provider_adjustment":
        row = (
            ProviderAdjustment.objects.visible_to(actor)
            .select_related("remittance", "claim")
            .filter(pk=item.subject_id)
            .first()
        )
        if row is None:
            return Panel(why=item.title)
        grid = [
            {
                "cell": "Takeback",
                "code": row.reason,
                "text": f"{fmt.money(row.amount)} for {row.reference}",
                "more": row.remittance.trace,
                "differs": True,
            }
        ]
        links = [("Remittance", reverse("remittance:remittance", args=[row.remittance.public_id]))]
        if row.claim and (url := present.claim_url(row.claim)):
            links.append(("Claim", url))
        return Panel(
            why=item.title, grid=grid, links=links, event_keys={"remittance_id": row.remittance_id}
        )
    returned = item.subject_type == SUBJECT
    payment = (
        ClaimPayment.objects.visible_to(actor)
        .select_related("remittance")
        .filter(Q(unapplied__returns=item.subject_id) if returned else Q(pk=item.subject_id))
        .first()
    )
    if payment is None:
        return Panel(why=item.title)
    grid = [
        {
            "cell": "Remittance",
            "code": payment.claim_number,
            "text": (
                f"{fmt.money(payment.paid)} of {fmt.money(payment.billed)}, {payment.patient_name}"
            ),
            "more": f"{payment.payer_control_number} {payment.service_date or ''}".strip(),
            "differs": True,
        }
    ]
    grid += [
        {"cell": "Perhaps", "code": c["number"], "text": c["why"], "more": f"{c['points']} of 100"}
        for c in payment.candidates[:3]
    ]
    page = reverse("remittance:payment", args=[payment.public_id])
    return Panel(
        why=item.title,
        grid=grid,
        fixes=[
            Fix(
                "Decide the return",
                reverse("remittance:decide_return", args=[payment.public_id]),
                permission="refund.approve",
                primary=True,
            )
            if returned
            else Fix("Find its claim", page, permission="remittance.post", primary=True)
        ],
        links=[
            ("Remittance", reverse("remittance:remittance", args=[payment.remittance.public_id]))
        ],
        event_keys={"remittance_id": payment.remittance_id},
    )


def denial_panel(item: Any, actor: Actor) -> Panel:
    """Why it was denied, the evidence from order to remittance, and the ways on."""
    denial = (
        Denial.objects.visible_to(actor)
        .select_related("claim__patient", "line", "payer", "payment__remittance")
        .filter(pk=item.subject_id)
        .first()
    )
    if denial is None:
        return Panel(why=item.title)
    page = reverse("remittance:denial", args=[denial.public_id])
    correct = Fix(
        "Correct and resend",
        reverse("remittance:denial_correct", args=[denial.public_id]),
        permission="denial.work",
    )
    appeal = Fix(
        "Appeal",
        reverse("remittance:denial_appeal", args=[denial.public_id]),
        permission="denial.work",
    )
    park = Fix(
        "Park", reverse("remittance:denial_park", args=[denial.public_id]), permission="denial.work"
    )
    from remittance import tables

    order = {
        "correct": [correct, appeal, park],
        "appeal": [appeal, correct, park],
        "park": [park, correct, appeal],
    }[tables.odds(denial.category).action]
    fixes = [
        Fix(f.label, f.url, f.method, f.permission, primary=not n) for n, f in enumerate(order)
    ]
    papers = (
        RecordsRequest.objects.filter(claim_id=denial.claim_id, source="835", status="open")
        .order_by("-pk")
        .first()
    )
    if papers is not None:
        send = Fix(
            "Send the signed report",
            reverse("claims:records", args=[papers.public_id]),
            permission="claim.submit",
            primary=True,
        )
        fixes = [send, *(replace(f, primary=False) for f in fixes)]
    links = [("Denial", page)]
    if url := present.claim_url(denial.claim):
        links.append(("Claim", url))
    why = f"{present.reason_words(denial.reason)}." + (
        f" {denial.root_cause}." if denial.root_cause and denial.upstream_event_id else ""
    )
    parts = item.facts.get("score") or {}
    if parts:
        why += (
            f" Worth {fmt.money(item.score)}: {fmt.money(parts.get('expected'))} expected ×"
            f" {parts.get('odds')} odds ({item.facts.get('odds_from', '')}) ×"
            f" {parts.get('urgency')} urgency ÷ {parts.get('effort')} effort."
        )
    return Panel(
        why=why,
        grid=present.denial_grid(denial, present.exam_of(denial)),
        fixes=fixes,
        links=links,
        event_keys={"denial_id": denial.pk, "claim_id": denial.claim_id},
    )


def variance_panel(item: Any, actor: Actor) -> Panel:
    """What was allowed against what the contract says."""
    row = (
        Variance.objects.visible_to(actor)
        .select_related("claim", "payer", "service__line__charge")
        .filter(pk=item.subject_id)
        .first()
    )
    if row is None:
        return Panel(why=item.title)
    grid: list[dict[str, Any]] = [
        {"cell": "Expected", "code": fmt.money(row.expected), "text": row.code},
        {
            "cell": "Allowed",
            "code": fmt.money(row.allowed),
            "text": f"{fmt.money(row.difference)}",
            "differs": True,
        },
    ]
    line = row.service.line
    if line is not None:
        grid += [
            {
                "cell": "Price",
                "code": step.get("amount", ""),
                "text": step.get("words", ""),
                "more": step.get("rule", ""),
            }
            for step in line.charge.derivation[:6]
        ]
    page = reverse("remittance:variance", args=[row.public_id])
    links = [("Claim", url)] if (url := present.claim_url(row.claim)) else []
    return Panel(
        why=item.title,
        grid=grid,
        fixes=[Fix("Dispute or accept", page, permission="denial.work", primary=True)],
        links=links,
        event_keys={"claim_id": row.claim_id},
    )


def deposit_panel(item: Any, actor: Actor) -> Panel:
    """A bank line without its remittance, and the remittance that it nearly is; or a remittance
    that no bank line shows.
    """
    if item.subject_type == "remittance":
        return file_panel(item, actor)
    row = (
        Deposit.objects.visible_to(actor).select_related("near").filter(pk=item.subject_id).first()
    )
    if row is None:
        return Panel(why=item.title)
    grid: list[dict[str, Any]] = [
        {
            "cell": "Bank",
            "code": fmt.money(row.amount),
            "text": row.reference,
            "more": f"{row.deposited_on:%b %-d, %Y}",
        }
    ]
    if row.near is not None:
        grid.append(
            {
                "cell": "Perhaps",
                "code": fmt.money(row.near.amount),
                "text": f"{row.near.payer_name} {row.near.trace}",
                "more": f"{row.near.paid_on:%b %-d, %Y}",
                "differs": row.near.amount != row.amount,
            }
        )
    page = reverse("remittance:deposit", args=[row.public_id])
    return Panel(why=item.title, grid=grid, fixes=[Fix("Join it", page, primary=True)])


register(
    Queue(
        "quarantined_files",
        "Files that do not balance",
        "Claims",
        "remittance.view",
        70,
        "Every 835 that came balances.",
        deadline_word="Ask by",
        facts=(("trace", "Check or EFT"), ("claims", "Claims")),
        panel=file_panel,
    ),
    Queue(
        "remittance_exceptions",
        "Posting exceptions",
        "Claims",
        "remittance.view",
        72,
        "No remittance waits for a person.",
        deadline_word="Post by",
        facts=(("trace", "Check or EFT"), ("claim", "Claim"), ("icn", "Payer's number")),
        panel=payment_panel,
        views=(
            ("No match", "cause=no_match"),
            ("Over-posted", "cause=over_posted"),
            ("Code mismatch", "cause=code_mismatch"),
            ("Takebacks", "cause=takeback"),
        ),
    ),
    Queue(
        "unapplied_cash",
        "Unapplied cash",
        "Claims",
        "remittance.view",
        74,
        "Every dollar received is on a claim.",
        deadline_word="Apply by",
        facts=(("trace", "Check or EFT"), ("claim", "Claim"), ("received", "Received")),
        panel=payment_panel,
        views=(
            ("Over $500", "min=500"),
            ("Duplicates", "cause=duplicate"),
            ("Reversals", "cause=reversal_without_original"),
            ("To send back", "cause=return_asked"),
        ),
    ),
    Queue(
        "bank",
        "Bank and remittances apart",
        "Claims",
        "remittance.view",
        75,
        "Every bank line has its remittance, and every remittance its money.",
        deadline_word="Find by",
        facts=(("trace", "Reference"), ("received", "On the bank file")),
        panel=deposit_panel,
        views=(
            ("Near misses", "cause=near_miss"),
            ("Not at the bank", "cause=not_at_the_bank"),
            ("Over $500", "min=500"),
        ),
    ),
    Queue(
        "denials",
        "Denials",
        "Receivables",
        "denial.view",
        76,
        "Every denial due today is worked.",
        deadline_word="Appeal by",
        facts=(
            ("claim", "Claim"),
            ("exam", "Exam"),
            ("reason", "Reason"),
            ("words", "In words"),
            ("balance", "Balance"),
        ),
        panel=denial_panel,
        views=(
            ("Due today", "due=today"),
            ("Mine", "owner=me"),
            ("Auth mismatch", "category=prior_auth"),
            ("Filing limit < 10 d", "days=10"),
            ("TC/26", "tag=TC,26"),
            ("Repeat", "tag=repeat"),
        ),
        pages=(
            ("By payer and reason", "remittance:denial_groups"),
            ("Where they come from", "remittance:denial_origins"),
            ("All denials", "remittance:denials_all"),
        ),
        work_permission="denial.work",
    ),
    Queue(
        "underpayments",
        "Underpayments",
        "Receivables",
        "denial.view",
        80,
        "No payment is below its contract.",
        deadline_word="Dispute by",
        facts=(
            ("claim", "Claim"),
            ("code", "Code"),
            ("cause", "Cause"),
            ("expected", "Expected"),
            ("allowed", "Allowed"),
        ),
        panel=variance_panel,
        views=(("Over $50", "min=50"),),
        work_permission="denial.work",
    ),
)


def open_denials(actor: Actor) -> int:
    return (
        WorkItem.objects.visible_to(actor).filter(queue="denials", status=ItemStatus.OPEN).count()
    )


def to_post(actor: Actor) -> int:
    """Remittances that wait for a person."""
    return Remittance.objects.visible_to(actor).filter(status__in=["ready", "quarantined"]).count()


def open_cash(actor: Actor) -> int:
    return (
        WorkItem.objects.visible_to(actor)
        .filter(queue="unapplied_cash", status=ItemStatus.OPEN)
        .count()
    )


def open_underpayments(actor: Actor) -> int:
    return Variance.objects.visible_to(actor).filter(status="open", difference__lt=0).count()
