"""What the payer decided: grants, refusals, peer-to-peer calls (rule `peer-to-peer`), changes of a
granted record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from authorizations.models import (
    GRANTED,
    Authorization,
    AuthorizedService,
    AuthRequest,
    AuthStatus,
)
from authorizations.replies import ACTIONS, Granted
from authorizations.requirement import Requirement
from authorizations.services.gates import PEER, authorizations_review
from authorizations.services.records import AUTHORIZATIONS, keep_heard, locked
from intake.services import (
    local_day,
)
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.transitions import advance
from rcm.reference.clock import clock_of
from rcm.worklist.models import WorkItem
from rcm.worklist.services import close_items, interaction_record

MACHINE = frozenset({"278", "fhir"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """A payer's decision as it is recorded, by whatever way it came. `at` is when we learned it,
    `decided_at` when the payer decided.
    """

    status: AuthStatus
    number: str
    effective_from: date | None
    effective_to: date | None
    services: tuple[Granted, ...]
    reference: str
    contact: str
    reason: str
    channel: str
    at: datetime
    decided_at: datetime


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
    denial_kind: str = "",
    channel: str = "phone",
    decided_at: datetime | None = None,
    version: int | None = None,
    at: datetime | None = None,
) -> Authorization:
    """Record what the payer decided, by whatever way it came. An approval needs its number and
    dates; "not required" needs a reference.

    `services` are the approved and refused lines; without them every line asked for is granted as
    asked. The same decision a second time changes nothing. `decided_at` is the payer's own time.
    """
    actor.require("authorization.edit", authorization)
    at = at or timezone.now()
    row = locked(authorization, version)
    verdict = Verdict(
        AuthStatus(status),
        number.strip()[:50],
        effective_from,
        effective_to,
        tuple(services or ()),
        reference.strip()[:60],
        contact.strip()[:60],
        reason.strip()[:200],
        channel,
        at,
        _payers_time(row, decided_at, at),
    )
    _check(verdict)
    if channel in MACHINE and _known_already(row, verdict):
        return row
    changes = _CHANGES.get(verdict.status, _changes_other)(row, verdict)
    changes |= _common_changes(row, verdict)
    if denial_kind and verdict.status == AuthStatus.DENIED:
        changes["denial_kind"] = denial_kind
    advance(
        AUTHORIZATIONS,
        [row],
        verdict.status,
        sentence=_said(verdict),
        actor=actor,
        at=at,
        reason=verdict.reason,
        changes=changes,
    )
    if channel not in MACHINE:
        _answered(row, verdict)
    if channel in ("phone", "portal"):
        interaction_record(
            organization_id=row.organization_id,
            channel=channel,
            note=_said(verdict),
            outcome=verdict.status.label,
            actor=actor,
            patient_id=row.patient_id,
            contact=contact,
            reference=reference or number,
            at=at,
        )
    authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
    row.refresh_from_db()
    return row


def _answered(row: Authorization, v: Verdict) -> None:
    """A decision that a person recorded answers the request that waits for it."""
    action = next((code for code, status in ACTIONS.items() if status == v.status), "")
    waiting = row.requests.filter(answered_at__isnull=True).order_by("-id")[:1]
    AuthRequest.objects.filter(pk__in=waiting.values("pk")).update(
        answered_at=v.at, action=action, reason=v.reason if v.status == AuthStatus.DENIED else ""
    )


def _payers_time(row: Authorization, decided_at: datetime | None, at: datetime) -> datetime:
    """The payer's own time of decision where it can be true: after our request, not in the
    future.
    """
    if decided_at is None or decided_at > at:
        return at
    if row.requested_at is not None and decided_at < row.requested_at:
        return at
    return decided_at


def _check(v: Verdict) -> None:
    """What a decision must say to be recorded."""
    if v.status in GRANTED:
        _check_grant(v)
    if v.status == AuthStatus.NOT_REQUIRED and not (v.reference or v.number):
        raise Refused(
            "Enter the reference: without it “not required” proves nothing in an appeal.",
            field="reference",
            code="missing",
        )
    if v.status == AuthStatus.DENIED and not v.reason and v.channel not in MACHINE:
        raise Refused("Enter the reason the payer gave.", field="reason", code="missing")


def _check_grant(v: Verdict) -> None:
    if not v.number:
        raise Refused("Enter the authorization number.", field="number", code="missing")
    if v.effective_from is None or v.effective_to is None:
        raise Refused(
            "Enter the first and last day of the authorization.",
            field="effective_to",
            code="missing",
        )
    if v.effective_to < v.effective_from:
        raise Refused("The last day lies before the first.", field="effective_to", code="order")


def _known_already(row: Authorization, v: Verdict) -> bool:
    """The record says all of this: a repeated answer is no event."""
    if row.status != v.status or (v.reference and v.reference != row.reference):
        return False
    if v.status in GRANTED:
        kept = (row.number, row.effective_from, row.effective_to)
        return kept == (v.number, v.effective_from, v.effective_to) and _same_lines(row, v)
    return v.reason == row.denial_reason


def _same_lines(row: Authorization, v: Verdict) -> bool:
    if not v.services:
        return True
    kept = {(s.code, s.units) for s in row.services.all() if s.status in ("approved", "modified")}
    return kept == {(g.code, max(g.units, 1)) for g in v.services if g.approved}


def _common_changes(row: Authorization, v: Verdict) -> dict[str, Any]:
    refused = v.status in (AuthStatus.DENIED, AuthStatus.PENDED)
    changes: dict[str, Any] = {"denial_reason": v.reason if refused else ""}
    if v.reference or v.contact:
        changes["contact"] = v.contact or row.contact
    if v.reference:
        changes["reference"] = v.reference
    return changes


def _changes_granted(row: Authorization, v: Verdict) -> dict[str, Any]:
    _grant(row, v.services, all_granted=v.status == AuthStatus.APPROVED)
    changes: dict[str, Any] = {
        "number": v.number,
        "effective_from": v.effective_from,
        "effective_to": v.effective_to,
        "decided_at": v.decided_at,
        "peer_to_peer_by": None,
        "peer_to_peer_at": None,
        "denial_kind": "",
    }
    if row.requested_at is None:
        changes["requested_at"] = v.at
    return changes


def _changes_denied(row: Authorization, v: Verdict) -> dict[str, Any]:
    days = row.payer.peer_to_peer_days
    last = None
    if days is not None:
        last = local_day(v.decided_at, row.site) + timedelta(days=days)
    row.services.update(status="denied", reason=v.reason)
    return {"decided_at": v.decided_at, "peer_to_peer_by": last}


def _changes_not_required(row: Authorization, v: Verdict) -> dict[str, Any]:
    reference = v.reference or v.number
    who = v.contact or row.payer.name
    keep_heard(row, Requirement.NOT_REQUIRED, v.channel, who, reference, v.at)
    return {"decided_at": v.decided_at, "reference": reference[:60], "evidence": row.evidence}


def _changes_cancelled(row: Authorization, v: Verdict) -> dict[str, Any]:
    return {"decided_at": v.decided_at}


def _changes_other(row: Authorization, v: Verdict) -> dict[str, Any]:
    return {}


_CHANGES: Mapping[str, Callable[[Authorization, Verdict], dict[str, Any]]] = {
    **dict.fromkeys(GRANTED, _changes_granted),
    AuthStatus.DENIED: _changes_denied,
    AuthStatus.NOT_REQUIRED: _changes_not_required,
    AuthStatus.CANCELLED: _changes_cancelled,
}
"""What each decision writes onto the record beside its status."""
_WORDS: Mapping[str, str] = {
    AuthStatus.APPROVED: "Approved, number {number}",
    AuthStatus.PARTIAL: "Partly approved, number {number}",
    AuthStatus.MODIFIED: "Approved with changes, number {number}",
    AuthStatus.DENIED: "Denied: {reason}",
    AuthStatus.PENDED: "Pended by the payer{because}",
    AuthStatus.NOT_REQUIRED: "Payer says not required, reference {reference}",
    AuthStatus.CANCELLED: "Cancelled",
}


def _said(v: Verdict) -> str:
    return _WORDS.get(v.status, v.status.label).format(
        number=v.number,
        reason=v.reason or "no reason given",
        because=f": {v.reason}" if v.reason else "",
        reference=v.reference or v.number,
    )


def _grant(row: Authorization, services: Sequence[Granted], *, all_granted: bool) -> None:
    """Write the granted lines: those asked for take the answer's units and side; a code the payer
    put in their place is a line of its own, beside the one it replaces.
    """
    lines = list(row.services.order_by("id"))
    if not services:
        row.services.update(status="approved")
        return
    rest = list(services)
    for line in lines:
        found = next((g for g in rest if _answers(g, line)), None)
        if found is None:
            line.status = "approved" if all_granted and len(rest) == 0 else "denied"
        else:
            rest.remove(found)
            line.status = "approved" if found.approved else "denied"
            line.units = max(found.units, 1)
            line.laterality = found.laterality or line.laterality
            line.reason = found.reason[:200]
    AuthorizedService.objects.bulk_update(lines, ["status", "units", "laterality", "reason"])
    spare = [line for line in lines if line.status == "denied"]
    AuthorizedService.objects.bulk_create([_replacement(row, g, spare) for g in rest if g.approved])


def _answers(granted: Granted, line: AuthorizedService) -> bool:
    return granted.code == line.code and granted.laterality in ("", line.laterality)


def _replacement(
    row: Authorization, granted: Granted, spare: Sequence[AuthorizedService]
) -> AuthorizedService:
    """A line the payer put in the place of one asked for: of the code it names, else the first
    refused one.
    """
    named = next((s for s in spare if granted.replaces == s.code), None)
    replaced = named or next(iter(spare), None)
    return AuthorizedService(
        organization_id=row.organization_id,
        authorization=row,
        ordered_exam_id=replaced.ordered_exam_id if replaced else None,
        code=granted.code,
        laterality=granted.laterality,
        units=max(granted.units, 1),
        status="modified",
        reason=granted.reason[:200],
        replaces=replaced,
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
    call_at: datetime | None = None,
    owner: str = "",
    at: datetime | None = None,
) -> Authorization:
    """Record the peer-to-peer call: `overturned` (with number and dates), `upheld`, or `scheduled`
    with its hour and in whose calendar it stands. Raises Refused when there is nothing to talk
    about, or an agreed call has no hour, no owner, or lies outside the payer's window.
    """
    actor.require("authorization.edit", authorization)
    at = at or timezone.now()
    row = locked(authorization)
    if row.status != AuthStatus.DENIED:
        raise Refused("A peer-to-peer call follows a denial.", code="not_denied", status=409)
    if outcome not in ("overturned", "upheld", "scheduled"):
        raise Refused("Say how the call ended.", field="outcome", code="choice")
    if outcome == "scheduled":
        _schedule(row, call_at, owner, actor=actor, at=at)
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


def _schedule(
    row: Authorization, call_at: datetime | None, owner: str, *, actor: Actor, at: datetime
) -> None:
    if call_at is None:
        raise Refused("Enter the day and hour of the call.", field="call_at", code="missing")
    if not owner.strip():
        raise Refused("Say in whose calendar the call stands.", field="owner", code="missing")
    if call_at < at:
        raise Refused("That hour is over.", field="call_at", code="past")
    last = row.peer_to_peer_by
    if last is not None and local_day(call_at, row.site) > last:
        raise Refused(
            f"The payer takes calls until {last:%b %-d}.", field="call_on", code="too_late"
        )
    row.peer_to_peer_at, row.peer_to_peer_with = call_at, owner.strip()[:120]
    Authorization.objects.filter(pk=row.pk).update(
        peer_to_peer_at=row.peer_to_peer_at,
        peer_to_peer_with=row.peer_to_peer_with,
        version=F("version") + 1,
    )
    local = clock_of(row.site).local(call_at)
    step = Step(
        row.organization_id,
        "authorization.peer_scheduled",
        f"Peer-to-peer call on {local:%b %-d at %-I:%M %p}, in the calendar of {owner.strip()}",
        {"patient_id": row.patient_id, "authorization_id": row.pk},
    )
    record_steps([step], actor=actor, at=at)
    authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)


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
