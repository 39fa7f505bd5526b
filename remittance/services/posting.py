"""Remittances to the ledger: one effect per CLP by its effect key, the three-way tie, reversals by
counter-entry (rule `reversal`).

`remittance_post` does it in one transaction. `posting_start` leaves it to the posting workers in
chunks, each a transaction that ends with the states of its payments, so that a worker killed in the
middle has done whole claims only and the next one goes on behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.services import publish
from rcm.jobs.services import run_record
from rcm.ledger.models import LedgerEntry, LedgerTransaction
from rcm.ledger.services import Leg, Posting, post_many
from rcm.web.format import plural
from rcm.worklist.services import close_items
from remittance.models import (
    REMITTANCE_MOVES,
    ClaimPayment,
    PaymentState,
    ProviderAdjustment,
    Remittance,
    RemittanceStatus,
)
from remittance.plan import (
    CASH,
    UNAPPLIED,
    PlanLeg,
    WithheldPlan,
)
from remittance.records import Posted
from remittance.services import consequences, unapplied
from remittance.services.planning import (
    CHUNK,
    ZERO,
    Facts,
    Planned,
    effect_key,
    why_not,
    withheld_of,
)
from remittance.services.reference import book
from remittance.services.reopening import hold_money, release_money

KIND = "remittance.post"
# so many claims are a batch, which stands among the runs even when it was posted in one go
BATCH = 100


def counts_of(row: Remittance, posted: Posted) -> dict[str, Any]:
    """The result of a run that posted."""
    return {
        "claims": row.claim_count,
        "denials": posted.denials,
        "unapplied": posted.unapplied,
    }


def _waiting(remittance: Remittance) -> Any:
    """Payments whose effect has not happened: matched ones, and exceptions whose money must go
    somewhere.
    """
    return (
        ClaimPayment.objects.filter(remittance=remittance)
        .filter(Q(state=PaymentState.MATCHED) | Q(state=PaymentState.EXCEPTION) & ~Q(paid=0))
        .order_by("position")
    )


def move(remittance: Remittance, to: str, **changes: Any) -> None:
    """Change the status by the table of allowed moves, as a compare-and-set."""
    if to not in REMITTANCE_MOVES[remittance.status]:
        raise Refused(
            f"A remittance that is “{remittance.get_status_display().lower()}” cannot become"
            f" “{RemittanceStatus(to).label.lower()}”.",
            code="not_allowed",
            status=409,
        )
    if not Remittance.objects.filter(pk=remittance.pk, status=remittance.status).update(
        status=to, version=F("version") + 1, **changes
    ):
        raise Refused(
            "This remittance has moved on in the meantime. Look again.", code="conflict", status=409
        )
    remittance.refresh_from_db()


@transaction.atomic
def remittance_post(*, remittance: Remittance, actor: Actor, at: datetime | None = None) -> Posted:
    """Post the whole remittance in one transaction. The second of two callers finds it posted and
    writes nothing. Refused when it does not tie.
    """
    actor.require("remittance.post", remittance)
    at = at or timezone.now()
    began = timezone.now()
    row = Remittance.objects.select_for_update().get(pk=remittance.pk)
    if row.status == RemittanceStatus.POSTED:
        return Posted(row.pk, row.claim_count, repeated=True)
    if row.status != RemittanceStatus.POSTING and (reason := why_not(row)):
        raise Refused(reason, code="not_postable", status=409)
    posted = Posted(row.pk)
    facts = Facts(row, book(), lock=True)
    while post_chunk(row, posted, facts, actor=actor, at=at):
        pass
    finish(row, posted, actor=actor, at=at)
    if row.claim_count > BATCH:
        run_record(
            organization_id=row.organization_id,
            kind=KIND,
            title=f"Post {row.payer_name} {row.trace}",
            actor=actor,
            total=row.claim_count,
            result=counts_of(row, posted),
            began=began,
        )
    remittance.refresh_from_db()
    return posted


def post_chunk(
    remittance: Remittance, posted: Posted, facts: Facts, *, actor: Actor, at: datetime
) -> int:
    """Post the next claims; returns how many. In the caller's transaction."""
    rows = list(_waiting(remittance)[:CHUNK])
    if rows:
        planned = facts.plan(rows)
        write(remittance, planned, posted, actor=actor, at=at)
    return len(rows)


def write(
    remittance: Remittance,
    planned: Sequence[Planned],
    posted: Posted,
    *,
    actor: Actor,
    at: datetime,
    suffix: str = "",
) -> None:
    """Everything that follows from the plans: ledger, states, denials, variances, claims, items,
    next payer.
    """
    postings: list[Posting] = []
    for p in planned:
        key = effect_key(remittance, f"{p.row.position}{suffix}")
        groups: list[tuple[int | None, Sequence[PlanLeg]]] = (
            list(p.mirrors) if p.mirrors else [(None, p.plan.legs)]
        )
        for n, (original, legs) in enumerate(groups):
            postings.append(
                Posting(
                    organization_id=remittance.organization_id,
                    kind=(
                        "remittance.reversal"
                        if original
                        else "remittance.unapplied"
                        if p.plan.exception
                        else "remittance.payment"
                    ),
                    effect_key=key if not n else f"{key}:{n}",
                    effective_on=remittance.paid_on,
                    description=(
                        f"{remittance.payer_name} {remittance.trace}, claim {p.row.claim_number}"
                    ),
                    legs=_legs(remittance, p, legs),
                    source_type="claim_payment",
                    source_id=p.row.pk,
                    reverses_id=original,
                )
            )
    written = post_many(postings, actor=actor)
    posted.transactions += len(written)
    posted.claims += len(planned)
    consequences.follow(remittance, planned, posted, actor=actor, at=at)
    if not suffix:
        _meet(remittance, planned, actor=actor, at=at)


def _meet(
    remittance: Remittance, planned: Sequence[Planned], *, actor: Actor, at: datetime
) -> None:
    """Reversals that came before these payments take them back now; what lies in unapplied cash
    with both signs is nothing.
    """
    lone = unapplied.lone_reversals(planned, organization_id=remittance.organization_id)
    for reversal in lone:
        own = reversal.remittance
        ClaimPayment.objects.filter(pk=reversal.pk).update(exception="", sentence="")
        reversal.exception = reversal.sentence = ""
        if reversal.claim_id is None and reversal.reverses is not None:
            reversal.claim_id = reversal.reverses.claim_id
            reversal.save(update_fields=["claim_id"])
        facts = Facts(own, book(), lock=True)
        again = facts.plan([reversal], source=UNAPPLIED, force=True)
        write(own, again, Posted(own.pk), actor=actor, at=at, suffix=":met")
        close_items(
            "claim_payment",
            [reversal.pk],
            actor=Actor.system("posting", [own.organization_id]),
            at=at,
            outcome="Its payment came",
        )
    unapplied.cancel_out(remittance, planned, actor=actor, at=at)


def _legs(remittance: Remittance, p: Planned, legs: Sequence[PlanLeg]) -> list[Leg]:
    own = not p.plan.exception
    return [
        Leg(
            leg.account,
            leg.amount,
            leg.charge_id,
            leg.claim_id or (p.fact.claim_id if own else None),
            leg.patient_id or (p.fact.patient_id if own else None),
            leg.payer_id or p.fact.payer_id or remittance.payer_id,
            remittance.pk,
            leg.reason,
        )
        for leg in legs
    ]


def finish(remittance: Remittance, posted: Posted, *, actor: Actor, at: datetime) -> None:
    """Provider-level amounts, the tie, the status. Raises Refused when the ledger does not come to
    the check.
    """
    postings: list[Posting] = []
    takebacks: list[tuple[ProviderAdjustment, WithheldPlan]] = []
    for row, withheld in withheld_of(remittance, lock=True):
        for kind, suffix, part in (
            ("remittance.provider", "", withheld.legs),
            ("remittance.takeback", ":claim", withheld.allocation),
        ):
            if part:
                postings.append(
                    Posting(
                        organization_id=remittance.organization_id,
                        kind=kind,
                        effect_key=effect_key(remittance, f"plb:{row.position}{suffix}"),
                        effective_on=remittance.paid_on,
                        description=(
                            f"{remittance.payer_name} {remittance.trace}, {row.reason}"
                            f" {row.reference}".strip()
                        ),
                        legs=[
                            Leg(
                                x.account,
                                x.amount,
                                x.charge_id,
                                x.claim_id,
                                x.patient_id,
                                x.payer_id,
                                remittance.pk,
                                x.reason,
                            )
                            for x in part
                        ],
                        source_type="provider_adjustment",
                        source_id=row.pk,
                    )
                )
        if withheld.allocation:
            takebacks.append((row, withheld))
    posted.transactions += len(post_many(postings, actor=actor))
    release_money(remittance, actor=actor, at=at)
    cash = (
        LedgerEntry.objects.filter(
            organization_id=remittance.organization_id, remittance_id=remittance.pk, account=CASH
        ).aggregate(s=Sum("amount"))["s"]
        or ZERO
    )
    if cash != remittance.amount:
        raise Refused(
            f"The postings come to ${cash:,.2f}, the check to ${remittance.amount:,.2f}: nothing is"
            " posted.",
            code="does_not_tie",
            status=409,
        )
    move(remittance, RemittanceStatus.POSTED, posted_at=at)
    consequences.finished(remittance, takebacks, actor=actor, at=at)
    record_steps(
        [
            Step(
                remittance.organization_id,
                "remittance.posted",
                f"{remittance.payer_name} {remittance.trace} posted: ${remittance.amount:,.2f},"
                f" {plural(remittance.claim_count, 'claim')}",
                {"remittance_id": remittance.pk, "interchange_id": remittance.interchange_id},
                new=RemittanceStatus.POSTED,
            )
        ],
        actor=actor,
        at=at,
    )
    close_items("remittance", [remittance.pk], actor=actor, at=at, outcome="Posted")
    publish(
        "remittance.posted",
        organization_id=remittance.organization_id,
        payload={"remittance_id": remittance.pk},
        due_at=at,
    )


@transaction.atomic
def remittance_reverse(
    *,
    remittance: Remittance,
    reason: str,
    actor: Actor,
    money_kept: bool = True,
    at: datetime | None = None,
) -> int:
    """Counter-entries for everything the remittance posted; returns their number. Its denials are
    withdrawn, what it resolved is open again. Its money is in the bank and so in unapplied cash
    until it is posted again, unless `money_kept` is False: the payer took it back.

    Refused while a later remittance has taken back one of its payments: that one goes first.
    """
    from rcm.ledger.services import reverse

    actor.require("remittance.post", remittance)
    at = at or timezone.now()
    if not reason.strip():
        raise Refused("Say why it is reversed.", field="reason", code="missing")
    row = Remittance.objects.select_for_update().get(pk=remittance.pk)
    if row.status == RemittanceStatus.REVERSED:
        return 0
    if row.status != RemittanceStatus.POSTED:
        raise Refused("Only a posted remittance can be reversed.", code="not_posted", status=409)
    touched = LedgerTransaction.objects.filter(
        organization_id=row.organization_id, entries__remittance_id=row.pk
    ).distinct()
    later = touched.filter(reversed_by__entries__remittance_id__isnull=False).exclude(
        reversed_by__entries__remittance_id=row.pk
    )
    met = ClaimPayment.objects.filter(reverses__remittance=row, state=PaymentState.POSTED)
    if later.exists() or met.exclude(remittance=row).exists():
        raise Refused(
            "A later remittance has taken back a payment of this one.",
            code="taken_back",
            fix="Reverse the later remittance first.",
            status=409,
        )
    if (gone := unapplied.gone_elsewhere(row)) is not None:
        raise Refused(
            f"${gone.amount:,.2f} of it has left:"
            f" {f'sent back with {gone.reference}' if gone.to == 'payer' else 'to a patient'}.",
            code="cash_returned",
            fix="What was sent cannot be reversed here; post the payer's next answer instead.",
            status=409,
        )
    if (taking := unapplied.taken_by_others(row)) is not None:
        raise Refused(
            f"{taking.remittance.trace} has taken back unapplied money of this one.",
            code="taken_back",
            fix="Reverse the later remittance first.",
            status=409,
        )
    counters = reverse(
        touched.filter(reversed_by__isnull=True).exclude(kind__startswith="reversal:"),
        effective_on=office_day(at),
        reason=reason,
        actor=actor,
    )
    move(row, RemittanceStatus.REVERSED, reversed_at=at)
    consequences.undone(row, reason, actor=actor, at=at)
    if money_kept:
        hold_money(row, reason, actor=actor, at=at)
    record_steps(
        [
            Step(
                row.organization_id,
                "remittance.reversed",
                f"{row.payer_name} {row.trace} reversed: ${row.amount:,.2f}",
                {"remittance_id": row.pk, "interchange_id": row.interchange_id},
                old=RemittanceStatus.POSTED,
                new=RemittanceStatus.REVERSED,
                reason=reason,
            )
        ],
        actor=actor,
        at=at,
    )
    remittance.refresh_from_db()
    return len(counters)
