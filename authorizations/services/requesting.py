"""Asking the payer by 278, portal or phone, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from authorizations.clocks import decision_due
from authorizations.loading import decision_window
from authorizations.models import (
    Authorization,
    AuthorizedService,
    AuthRequest,
    AuthStatus,
)
from authorizations.services.deciding import authorization_decide
from authorizations.services.gates import authorizations_review
from authorizations.services.records import locked, move
from authorizations.x12_278 import Reply, reply_of, request_of
from intake.services import (
    connection_for,
    envelope_for,
    local_day,
)
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.accounts.tenancy import uuid7
from rcm.exchange.models import Interchange, WorkQueue
from rcm.exchange.problems import ParseProblem
from rcm.exchange.services import store_outbound
from rcm.reference.clock import clock_of
from rcm.worklist.models import WorkItem
from rcm.worklist.services import interaction_record
from rcm.x12 import NotX12, read_278_responses, write_278_request


@transaction.atomic
def authorization_request(
    *,
    authorization: Authorization,
    actor: Actor,
    channel: str = "278",
    urgent: bool = False,
    reference: str = "",
    contact: str = "",
    note: str = "",
    promised_on: date | None = None,
    at: datetime | None = None,
) -> AuthRequest:
    """Ask the payer. `278` leaves over the exchange and its answer lands by itself; `portal` and
    `phone` keep the reference and the promise.

    The decision clock starts (regulated or the payer's own). Raises Refused when there is nothing
    to ask or no partner takes a 278.
    """
    actor.require("authorization.edit", authorization)
    at = at or timezone.now()
    row = locked(authorization, parties=True)
    lines = list(row.services.order_by("id"))
    if not lines:
        raise Refused("There is no exam on this record to ask for.", code="nothing_to_ask")
    if row.status in (AuthStatus.REQUESTED, AuthStatus.PENDED):
        raise Refused(
            "It has been requested already; wait for the decision or record it.",
            code="already_asked",
            status=409,
        )
    if channel != "278" and not reference.strip():
        raise Refused(
            "Enter the reference number of the call or portal.", field="reference", code="missing"
        )
    trace = uuid7().hex
    interchange: Interchange | None = None
    if channel == "278":
        interchange = _send_278(row, lines, trace=trace, urgent=urgent, actor=actor, at=at)
    clock = clock_of(row.site)
    window, source = decision_window(row.payer, urgent=urgent, on=clock.today(at))
    due = decision_due(at, window, clock) if window else None
    if promised_on is not None:
        due = clock.ends(promised_on)
    ask = AuthRequest.objects.create(
        organization_id=row.organization_id,
        authorization=row,
        channel=channel,
        trace=trace,
        request=interchange,
        asked_at=at,
    )
    words = "by 278" if channel == "278" else f"by {channel}, reference {reference}"
    move(
        row,
        AuthStatus.REQUESTED,
        f"Requested {words}" + (f"; decision due {due:%b %-d}" if due else ""),
        actor=actor,
        at=at,
        requested_at=at,
        decision_due_at=due,
        denial_reason="",
        **({"reference": reference[:60], "contact": contact[:60]} if reference else {}),
    )
    if source and due and promised_on is None:
        row.evidence["clock"] = source
        Authorization.objects.filter(pk=row.pk).update(evidence=row.evidence)
    authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
    if channel != "278":
        item = WorkItem.objects.filter(
            subject_type="authorization", subject_id=row.pk, status__in=["open", "pended"]
        ).first()
        interaction_record(
            organization_id=row.organization_id,
            channel=channel,
            note=note or "Authorization requested",
            outcome="Requested",
            actor=actor,
            item=item,
            patient_id=row.patient_id,
            contact=contact,
            reference=reference,
            promised_on=promised_on,
            at=at,
        )
    authorization.refresh_from_db()
    return ask


def _send_278(
    row: Authorization,
    lines: Sequence[AuthorizedService],
    *,
    trace: str,
    urgent: bool,
    actor: Actor,
    at: datetime,
) -> Interchange:
    organization = Organization.objects.get(pk=row.organization_id)
    connection = connection_for(organization.pk, "278", row.payer)
    first = next((s.ordered_exam for s in lines if s.ordered_exam), None)
    order = first.order if first else None
    day = (
        local_day(row.appointment.starts_at, row.site)
        if row.appointment
        else local_day(at, row.site)
    )
    envelope = envelope_for(organization, connection, at=at)
    request = request_of(
        row,
        lines,
        organization=organization,
        ordering=order.ordering if order else None,
        service_date=day,
        modality=first.modality if first else "",
        trace=trace,
        urgent=urgent,
        indication=order.indication if order else "",
    )
    written = write_278_request(envelope, [request])
    return store_outbound(
        organization_id=organization.pk,
        kind="278",
        content=written.data,
        connection=connection,
        control_number=f"{envelope.control:09d}",
        queue=WorkQueue.REALTIME,
        at=at,
        actor=actor,
    )


def answer_278(interchange: Interchange, *, actor: Actor, at: datetime) -> Mapping[str, Any]:
    """Processor of inbound 278: each answer lands on its request by trace number, or by the request
    it came back on.
    """
    try:
        responses = list(read_278_responses(bytes(interchange.content)))
    except NotX12 as error:
        raise ParseProblem(str(error)) from error
    if not responses:
        raise ParseProblem("The 278 holds no answer.")
    counts: dict[str, int] = {"answers": len(responses), "repeated": 0}
    for response in responses:
        reply = reply_of(response)
        ask = (
            AuthRequest.objects.filter(organization_id=interchange.organization_id)
            .filter(Q(trace__in=reply.traces) | Q(request_id=interchange.answer_to_id or 0))
            .order_by("-id")
            .select_related("authorization")
            .first()
        )
        if ask is None:
            raise Refused(
                "This 278 answers no request of ours: its trace number is unknown.",
                code="unknown_trace",
            )
        if ask.response_id == interchange.pk:
            counts["repeated"] += 1
            continue
        _take_reply(ask, reply, interchange, actor=actor, at=at)
        word = reply.status or "refused"
        counts[word] = counts.get(word, 0) + 1
    return counts


def _take_reply(
    ask: AuthRequest, reply: Reply, interchange: Interchange, *, actor: Actor, at: datetime
) -> None:
    row = locked(ask.authorization)
    later = AuthRequest.objects.filter(authorization=row, id__gt=ask.pk).exists()
    ask.action, ask.response, ask.answered_at = reply.action, interchange, at
    ask.reason = (
        (reply.refusal or reply.reason)[:200]
        if reply.status is None or reply.status in (AuthStatus.DENIED, AuthStatus.PENDED)
        else ""
    )
    ask.save()
    if later or row.status == AuthStatus.CANCELLED:
        return
    if reply.status is None:
        if row.status == AuthStatus.REQUESTED:
            move(
                row,
                AuthStatus.DRAFT,
                f"The payer did not take the request: {reply.refusal or 'no reason given'}",
                actor=actor,
                at=at,
                decision_due_at=None,
            )
        authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
        return
    authorization_decide(
        authorization=row,
        status=reply.status,
        number=reply.number,
        effective_from=reply.effective_from,
        effective_to=reply.effective_to,
        services=reply.services or None,
        reason=reply.reason,
        reference=reply.number if reply.status == AuthStatus.NOT_REQUIRED else "",
        channel="278",
        actor=actor,
        at=at,
    )


@transaction.atomic
def requests_failed(*, interchange_ids: Sequence[int], actor: Actor, at: datetime) -> int:
    """278s that could not be delivered: their records are drafts again, and an item says so."""
    asks = list(
        AuthRequest.objects.filter(
            request_id__in=interchange_ids, answered_at__isnull=True
        ).select_related("authorization")
    )
    for ask in asks:
        AuthRequest.objects.filter(pk=ask.pk).update(
            reason="it could not be delivered", answered_at=at
        )
        row = locked(ask.authorization)
        if row.status == AuthStatus.REQUESTED:
            move(
                row,
                AuthStatus.DRAFT,
                "The request could not be delivered",
                actor=actor,
                at=at,
                decision_due_at=None,
            )
        authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
    return len(asks)
