"""What the payer decided: grants, refusals, peer-to-peer calls (rule `peer-to-peer`), changes of a
granted record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from authorizations.models import (
    GRANTED,
    Authorization,
    AuthorizedService,
    AuthStatus,
)
from authorizations.requirement import Requirement
from authorizations.services.gates import PEER, authorizations_review
from authorizations.services.records import keep_heard, locked, move
from authorizations.x12_278 import Granted
from intake.services import (
    local_day,
)
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.worklist.models import WorkItem
from rcm.worklist.services import close_items, interaction_record


@transaction.atomic
def authorization_decide(
    *,
    authorization: Authorization,
    status: str,
    actor: Actor,
    number: str = "",
    effective_from: date | None = None,
    effective_to: date | None = None,
    services: Sequence[Granted] | None = None,
    reference: str = "",
    contact: str = "",
    reason: str = "",
    channel: str = "phone",
    version: int | None = None,
    at: datetime | None = None,
) -> Authorization:
    """Record what the payer decided, by whatever way it came. An approval needs its number and
    dates; "not required" needs a reference.

    `services` are the approved and refused lines; without them every line asked for is granted as
    asked.
    """
    actor.require("authorization.edit", authorization)
    at = at or timezone.now()
    row = locked(authorization, version)
    status = AuthStatus(status)
    if status in GRANTED:
        if not number.strip():
            raise Refused("Enter the authorization number.", field="number", code="missing")
        if effective_from is None or effective_to is None:
            raise Refused(
                "Enter the first and last day of the authorization.",
                field="effective_to",
                code="missing",
            )
        if effective_to < effective_from:
            raise Refused("The last day lies before the first.", field="effective_to", code="order")
    if status == AuthStatus.NOT_REQUIRED and not (reference.strip() or number.strip()):
        raise Refused(
            "Enter the reference: without it “not required” proves nothing in an appeal.",
            field="reference",
            code="missing",
        )
    if status == AuthStatus.DENIED and not reason.strip() and channel != "278":
        raise Refused("Enter the reason the payer gave.", field="reason", code="missing")
    changes: dict[str, Any] = {
        "denial_reason": reason[:200] if status in (AuthStatus.DENIED, AuthStatus.PENDED) else ""
    }
    if reference or contact:
        changes |= {
            "reference": reference[:60] or row.reference,
            "contact": contact[:60] or row.contact,
        }
    if status in GRANTED:
        changes |= {
            "number": number.strip()[:50],
            "effective_from": effective_from,
            "effective_to": effective_to,
            "decided_at": at,
            "peer_to_peer_by": None,
        }
        if row.requested_at is None:
            changes["requested_at"] = at
        _grant(row, services, all_granted=status == AuthStatus.APPROVED)
    elif status == AuthStatus.DENIED:
        days = row.payer.peer_to_peer_days
        changes |= {
            "decided_at": at,
            "peer_to_peer_by": (
                local_day(at, row.site) + timedelta(days=days) if days is not None else None
            ),
        }
        row.services.update(status="denied")
    elif status == AuthStatus.NOT_REQUIRED:
        changes |= {"decided_at": at, "reference": (reference or number)[:60]}
        keep_heard(
            row,
            Requirement.NOT_REQUIRED,
            channel,
            contact or row.payer.name,
            reference or number,
            at,
        )
        changes["evidence"] = row.evidence
    elif status == AuthStatus.CANCELLED:
        changes |= {"decided_at": at}
    words = {
        AuthStatus.APPROVED: f"Approved, number {number}",
        AuthStatus.PARTIAL: f"Partly approved, number {number}",
        AuthStatus.MODIFIED: f"Approved with changes, number {number}",
        AuthStatus.DENIED: f"Denied: {reason or 'no reason given'}",
        AuthStatus.PENDED: f"Pended by the payer{': ' + reason if reason else ''}",
        AuthStatus.NOT_REQUIRED: f"Payer says not required, reference {reference or number}",
        AuthStatus.CANCELLED: "Cancelled",
    }.get(status, status.label)
    move(row, status, words, actor=actor, at=at, reason=reason, **changes)
    if channel in ("phone", "portal"):
        interaction_record(
            organization_id=row.organization_id,
            channel=channel,
            note=words,
            outcome=status.label,
            actor=actor,
            patient_id=row.patient_id,
            contact=contact,
            reference=reference or number,
            at=at,
        )
    authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
    row.refresh_from_db()
    return row


def _grant(row: Authorization, services: Sequence[Granted] | None, *, all_granted: bool) -> None:
    """Write the granted lines: those asked for take the answer's units and side; a code the payer
    put in their place is a line of its own.
    """
    lines = list(row.services.order_by("id"))
    if not services:
        row.services.update(status="approved")
        return
    rest = list(services)
    for line in lines:
        found = next(
            (g for g in rest if g.code == line.code and g.laterality in ("", line.laterality)), None
        )
        if found is None:
            line.status = "approved" if all_granted and len(rest) == 0 else "denied"
        else:
            rest.remove(found)
            line.status = "approved" if found.approved else "denied"
            line.units = max(found.units, 1)
            line.laterality = found.laterality or line.laterality
    AuthorizedService.objects.bulk_update(lines, ["status", "units", "laterality"])
    spare = [line for line in lines if line.status == "denied"]
    AuthorizedService.objects.bulk_create(
        [
            AuthorizedService(
                organization_id=row.organization_id,
                authorization=row,
                ordered_exam_id=spare[0].ordered_exam_id if spare else None,
                code=g.code,
                laterality=g.laterality,
                units=max(g.units, 1),
                status="modified",
            )
            for g in rest
            if g.approved
        ]
    )


@transaction.atomic
def peer_to_peer(
    *,
    authorization: Authorization,
    actor: Actor,
    outcome: str,
    contact: str,
    note: str,
    number: str = "",
    effective_from: date | None = None,
    effective_to: date | None = None,
    at: datetime | None = None,
) -> Authorization:
    """Record the peer-to-peer call: `overturned` (with number and dates), `upheld`, or
    `scheduled`.
    """
    actor.require("authorization.edit", authorization)
    at = at or timezone.now()
    row = locked(authorization)
    if row.status != AuthStatus.DENIED:
        raise Refused("A peer-to-peer call follows a denial.", code="not_denied", status=409)
    if outcome not in ("overturned", "upheld", "scheduled"):
        raise Refused("Say how the call ended.", field="outcome", code="choice")
    item = WorkItem.objects.filter(
        subject_type="authorization", subject_id=row.pk, status__in=["open", "pended"]
    ).first()
    interaction_record(
        organization_id=row.organization_id,
        channel="phone",
        note=note,
        outcome=f"Peer-to-peer {outcome}",
        actor=actor,
        item=item,
        patient_id=row.patient_id,
        contact=contact,
        at=at,
    )
    if outcome == "overturned":
        return authorization_decide(
            authorization=row,
            status=AuthStatus.APPROVED,
            number=number,
            effective_from=effective_from,
            effective_to=effective_to,
            contact=contact,
            channel="peer",
            actor=actor,
            at=at,
        )
    if outcome == "upheld":
        close_items(
            "authorization", [row.pk], actor=actor, at=at, outcome="Denial upheld", queues=[PEER]
        )
    return row


@transaction.atomic
def authorization_change(
    *,
    authorization: Authorization,
    kind: str,
    actor: Actor,
    code_for: Mapping[str, str] | None = None,
    at: datetime | None = None,
) -> Authorization:
    """Open an update, extension or retroactive request beside a granted record: a new draft with
    its lines, codes replaced by `code_for`.

    The old record stays as it was until the new one is decided (rules `authorization-family` and
    `authorization-stop`).
    """
    actor.require("authorization.edit", authorization)
    at = at or timezone.now()
    old = locked(authorization)
    if kind not in ("update", "extension", "retro"):
        raise Refused("Choose update, extension or retroactive.", field="kind", code="choice")
    swap = dict(code_for or {})
    row = Authorization.objects.create(
        organization_id=old.organization_id,
        patient_id=old.patient_id,
        coverage=old.coverage,
        payer=old.payer,
        appointment=old.appointment,
        site=old.site,
        number=old.number if kind != "retro" else "",
        kind=kind,
        member_id=old.member_id,
        diagnoses=old.diagnoses,
        ordering_npi=old.ordering_npi,
        rendering_npi=old.rendering_npi,
        facility_npi=old.site.npi,
        facility_tin=old.site.organization.tin,
        reviewer=old.reviewer,
        evidence={**old.evidence, "changes": old.number},
    )
    AuthorizedService.objects.bulk_create(
        [
            AuthorizedService(
                organization_id=old.organization_id,
                authorization=row,
                ordered_exam_id=s.ordered_exam_id,
                code=swap.get(s.code, s.code),
                laterality=s.laterality,
                units=s.units,
            )
            for s in old.services.order_by("id")
        ]
    )
    record_steps(
        [
            Step(
                row.organization_id,
                "authorization.change",
                f"{kind.capitalize()} of authorization {old.number or 'none'} opened",
                {"patient_id": row.patient_id, "authorization_id": row.pk},
            )
        ],
        actor=actor,
        at=at,
    )
    authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
    return row
