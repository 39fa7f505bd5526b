"""What other phases tell claims (rcm.exchange.outbox): released and changed charges, policies put
right, answers that let a correction go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from claims import services
from claims.models import Claim, ClaimStatus
from rcm.accounts.actor import Actor
from rcm.exchange.outbox import Event


def on_charges_released(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """Build claims and judge them; clean ones leave with the next batch."""
    charges = {int(pk) for event in events for pk in event.payload["charge_ids"]}
    made = services.claims_build(charge_ids=charges, actor=actor, at=at)
    services.claims_scrub(claim_ids=made, actor=actor, at=at)


def on_charges_changed(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """One change after the other: the second change of an exam stands on the first."""
    for event in events:
        told = event.payload
        change = services.ChargesChanged(
            int(told["exam_id"]), told["old"], told["new"], str(told.get("reason", ""))
        )
        services.charges_changed(
            organization_id=event.organization_id, changes=[change], actor=actor, at=at
        )


def on_coverage_changed(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """What the front desk put right on a policy may free the claims that waited for it."""
    waiting = Claim.objects.filter(
        coverage_id__in=[int(event.payload["coverage_id"]) for event in events],
        status=ClaimStatus.BLOCKED,
    )
    services.claims_scrub(claim_ids=list(waiting.values_list("pk", flat=True)), actor=actor, at=at)


def on_answer(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """A payer has answered: corrections that waited for it are made."""
    services.corrections_due(organization_id=events[0].organization_id, actor=actor, at=at)


def on_network(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """Enrollments have changed: what waited for one is released, what lost one is stopped."""
    changed: dict[int, set[str]] = {}
    for event in events:
        for payer_id, npis in event.payload["enrollments"]:
            changed.setdefault(int(payer_id), set()).update(npis)
    if changed:
        services.enrollments_changed(
            organization_id=events[0].organization_id, changed=changed, actor=actor, at=at
        )
