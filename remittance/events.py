"""What this phase does when something happened elsewhere, or a moment ago here. Handlers of the
outbox: at least once, effects once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, QuerySet, Sum

from claims import services as claims
from claims.models import Claim, ClaimStatus
from claims.records import LineDecision, PayerDecision
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.exchange.models import Interchange
from rcm.exchange.services import Event
from rcm.jobs import robots
from rcm.worklist.robots import hand_over, take_back
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance.automation import AUTO_POST, SECONDARY
from remittance.models import ClaimPayment, PaymentState, Remittance, RemittanceStatus
from remittance.services import bank, posting, responsibility_release, runs
from remittance.services.planning import why_not
from remittance.services.reference import policy

WHOLE = 300
"""A remittance of at most so many claims is posted in one transaction; a larger one in chunks with
progress.
"""


def on_ready(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """Post what came, where the policy says so. A claim that needs a person does not hold the
    others: its money is unapplied cash until somebody finds its end, and the check ties at once.
    Where every claim needs one, it waits.
    """
    rows = Remittance.objects.filter(pk__in=[e.payload["remittance_id"] for e in events])
    _post_ready(rows, actor=actor, at=at)
    bank.deposits_match(organization_id=events[0].organization_id, actor=actor, at=at)


def post_waiting(*, organization_id: int, actor: Actor, at: datetime) -> None:
    """What waits although it could be posted: after the robot was switched on again."""
    _post_ready(Remittance.objects.filter(organization_id=organization_id), actor=actor, at=at)
    waiting = Remittance.objects.filter(
        organization_id=organization_id, status=RemittanceStatus.READY
    ).exists()
    if not waiting or robots.is_on(AUTO_POST, organization_id):
        take_back(AUTO_POST, organization_id, actor=actor, at=at)


def _post_ready(rows: QuerySet[Remittance], *, actor: Actor, at: datetime) -> None:
    for row in rows.filter(status=RemittanceStatus.READY).order_by("id"):
        if not robots.is_on(AUTO_POST, row.organization_id):
            waiting = Remittance.objects.filter(
                organization_id=row.organization_id, status=RemittanceStatus.READY
            ).aggregate(count=Count("pk"), dollars=Sum("amount"))
            hand_over(
                AUTO_POST,
                row.organization_id,
                waiting=waiting["count"],
                dollars=waiting["dollars"] or Decimal(0),
                actor=actor,
                at=at,
            )
            continue
        # a house that has switched it off means what is posted from now on, whenever it was paid
        if not policy(row.organization_id, office_day(at)).auto_post:
            continue
        # perhaps the correction of another, or reversed before: a person says that it is right
        if row.resembles_id is not None or row.attempt > 1 or why_not(row):
            continue
        claims_of_row = ClaimPayment.objects.filter(remittance=row)
        if row.claim_count and not claims_of_row.exclude(state=PaymentState.EXCEPTION).exists():
            # nothing of it is clean: posting would only move it to unapplied cash
            continue
        if row.claim_count > WHOLE:
            runs.posting_start(remittance=row, actor=actor, at=at)
        else:
            posting.remittance_post(remittance=row, actor=actor, at=at)
        robots.count_run(AUTO_POST, row.organization_id, done=row.claim_count, at=at)


def on_next_payer(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """The claim to the next payer with this one's decision; without such a payer the patient's
    share moves on.
    """
    ids = [e.payload["payment_id"] for e in events]
    rows = (
        ClaimPayment.objects.filter(pk__in=ids, state=PaymentState.POSTED, claim__isnull=False)
        .select_related("remittance")
        .prefetch_related("services__adjustments", "adjustments")
        .order_by("id")
    )
    alone: list[int] = []
    made: list[int] = []
    for row in rows:
        assert row.claim_id is not None
        lines = [
            LineDecision(
                s.line_id,
                s.paid,
                tuple(
                    (a.group, a.reason, a.amount)
                    for a in sorted(s.adjustments.all(), key=lambda a: a.pk)
                ),
                s.code,
                tuple(s.modifiers),
                s.units,
            )
            for s in sorted(row.services.all(), key=lambda s: s.position)
            if s.line_id is not None
        ]
        whole = tuple(
            (a.group, a.reason, a.amount) for a in row.adjustments.all() if a.service_id is None
        )
        decision = PayerDecision(
            row.claim_id, row.remittance.paid_on, row.paid, lines, whole, row.payer_control_number
        )
        following = claims.claim_secondary(decision=decision, actor=actor, at=at, scrub=False)
        if following is None:
            alone.append(row.claim_id)
        else:
            made.append(following.pk)
    _judge_secondary(made, actor=actor, at=at)
    if alone:
        responsibility_release(claim_ids=alone, actor=actor, at=at)


def _judge_secondary(made: Sequence[int], *, actor: Actor, at: datetime) -> None:
    """Judge claims to the next payer; where the robot is off they stay drafts for a person."""
    rows = dict(Claim.objects.filter(pk__in=made).values_list("pk", "organization_id"))
    off = robots.switched_off(SECONDARY, set(rows.values()))
    claims.claims_scrub(
        claim_ids=[pk for pk, organization in rows.items() if organization not in off],
        actor=actor,
        at=at,
    )
    for organization in sorted(set(rows.values())):
        if organization not in off:
            count = sum(o == organization for o in rows.values())
            robots.count_run(SECONDARY, organization, done=count, at=at)
            continue
        drafts = Claim.objects.filter(
            organization_id=organization, rank__gt=1, status=ClaimStatus.DRAFT
        ).aggregate(count=Count("pk"), dollars=Sum("total"))
        hand_over(
            SECONDARY,
            organization,
            waiting=drafts["count"],
            dollars=drafts["dollars"] or Decimal(0),
            actor=actor,
            at=at,
        )


def on_exchange_failure(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """An 835 whose bytes could not be read or applied becomes a work item."""
    rows = Interchange.objects.filter(
        pk__in=[e.payload["interchange_id"] for e in events],
        kind="835",
        direction="in",
        status__in=["failed", "quarantined"],
    )
    open_items(
        [
            ItemSpec(
                row.organization_id,
                "quarantined_files",
                "interchange",
                row.pk,
                "unreadable",
                f"An 835 could not be read: {row.error}"[:200],
                at + timedelta(days=1),
                fix=(
                    "Ask the clearinghouse for the file again, or replay it once the cause is gone."
                ),
                dollars=Decimal(0),
                facts={"trace": row.control_number, "file": row.file_name},
            )
            for row in rows.defer("content")
        ],
        actor=actor,
        at=at,
    )


def on_exchange_recovery(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    close_items(
        "interchange",
        [e.payload["interchange_id"] for e in events],
        actor=actor,
        at=at,
        outcome="The file went through",
        queues=["quarantined_files"],
    )
