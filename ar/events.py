"""What receivables do when an earlier phase tells them something."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ar import services
from charges.services import money_follows
from rcm.accounts.actor import Actor
from rcm.exchange.services import Event


def on_patient_responsible(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """Payers have left a part to the patient: what was paid ahead goes onto it first."""
    services.unapplied_apply(
        patient_ids={e.payload["patient_id"] for e in events if e.payload.get("patient_id")},
        actor=actor,
        at=at,
    )


def on_posted(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """A remittance was posted: credits are found at the first cent, and follow-up forgets what was
    paid.
    """
    for organization_id in sorted(actor.organizations):
        money_follows(organization_id=organization_id, actor=actor, at=at)
        services.refunds_stop(organization_id=organization_id, actor=actor, at=at)
        services.credits_refresh(organization_id=organization_id, actor=actor, at=at)
        services.followup_refresh(organization_id=organization_id, actor=actor, at=at)
        services.homes_refresh(organization_id=organization_id, actor=actor, at=at)


def on_chart(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """A chart was changed or made one with another: a death and a new address move holds."""
    services.holds_follow_charts(
        patient_ids=[
            e.payload[key] for e in events for key in ("patient_id", "gone_id") if key in e.payload
        ],
        actor=actor,
        at=at,
    )


def on_held(events: Sequence[Event], *, actor: Actor, at: datetime) -> None:
    """Something changed about accounts: what must come back from the agency is recalled, and what
    is held gets its owner.
    """
    patients = {e.payload["patient_id"] for e in events}
    for organization_id in sorted(actor.organizations):
        services.agency_recalls(
            organization_id=organization_id, patient_ids=patients, actor=actor, at=at
        )
        services.patient_balance_refresh(organization_id=organization_id, actor=actor, at=at)
