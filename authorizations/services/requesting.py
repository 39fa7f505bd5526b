"""Asking the payer by 278, portal or phone, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from authorizations.clocks import decision_due
from authorizations.fhir_pas import (
    Asked,
    NotPas,
    asked_of,
    inquiry_bundle,
    replies_of,
    submit_bundle,
)
from authorizations.loading import decision_window
from authorizations.models import (
    Authorization,
    AuthorizedService,
    AuthRequest,
    AuthStatus,
)
from authorizations.replies import Reply
from authorizations.services.deciding import authorization_decide
from authorizations.services.gates import authorizations_review
from authorizations.services.records import AUTHORIZATIONS, locked
from authorizations.x12_278 import reply_of, request_of
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
from rcm.exchange.transitions import advance
from rcm.reference.clock import clock_of
from rcm.worklist.models import WorkItem
from rcm.worklist.services import interaction_record
from rcm.x12 import NotX12, read_278_responses, write_278_request

ELECTRONIC = ("fhir", "278")
CHANNEL_WORDS: Mapping[str, str] = {"fhir": "by FHIR", "278": "by 278"}


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
    promised_at: datetime | None = None,
    at: datetime | None = None,
) -> AuthRequest:
    """Ask the payer. `278` and `fhir` leave over the exchange and their answers land by themselves
    on the same record; `electronic` takes the way the payer's connection offers, FHIR before 278.
    `portal` and `phone` keep the reference and the promise.

    The decision clock starts (regulated or the payer's own). Raises Refused when there is nothing
    to ask or no partner takes the request.
    """
    actor.require("authorization.edit", authorization)
    at = at or timezone.now()
    row = locked(authorization, parties=True)
    lines = list(row.services.order_by("id"))
    channel = electronic_channel(row) if channel == "electronic" else channel
    _may_ask(row, lines, channel, reference)
    trace = uuid7().hex
    interchange = None
    if channel in ELECTRONIC:
        interchange = _send(
            row, lines, channel=channel, trace=trace, urgent=urgent, actor=actor, at=at
        )
    clock = clock_of(row.site)
    window, source = decision_window(row.payer, urgent=urgent, on=clock.today(at))
    due = decision_due(at, window, clock) if window else None
    if promised_at is None and promised_on is not None:
        promised_at = clock.ends(promised_on)
    due = promised_at or due
    _keep_asked(lines)
    ask = AuthRequest.objects.create(
        organization_id=row.organization_id,
        authorization=row,
        channel=channel,
        trace=trace,
        request=interchange,
        reference=reference[:60],
        promised_at=promised_at,
        urgent=urgent,
        asked_at=at,
    )
    words = CHANNEL_WORDS.get(channel, f"by {channel}, reference {reference}")
    named = {"reference": reference[:60], "contact": contact[:60]} if reference else {}
    advance(
        AUTHORIZATIONS,
        [row],
        AuthStatus.REQUESTED,
        sentence=f"Requested {words}" + (f"; decision due {due:%b %-d}" if due else ""),
        actor=actor,
        at=at,
        changes={"requested_at": at, "decision_due_at": due, "denial_reason": "", **named},
    )
    if source and due and promised_at is None:
        row.evidence["clock"] = source
        Authorization.objects.filter(pk=row.pk).update(evidence=row.evidence)
    authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)
    if channel not in ELECTRONIC:
        _record_call(row, ask, note=note, contact=contact, actor=actor, at=at)
    authorization.refresh_from_db()
    return ask


def _may_ask(
    row: Authorization, lines: Sequence[AuthorizedService], channel: str, reference: str
) -> None:
    if not lines:
        raise Refused("There is no exam on this record to ask for.", code="nothing_to_ask")
    if row.status in (AuthStatus.REQUESTED, AuthStatus.PENDED):
        raise Refused(
            "It has been requested already; wait for the decision or record it.",
            code="already_asked",
            status=409,
        )
    if channel not in ELECTRONIC and not reference.strip():
        raise Refused(
            "Enter the reference number of the call or portal.", field="reference", code="missing"
        )


def _keep_asked(lines: Sequence[AuthorizedService]) -> None:
    """What is asked for stays readable beside what is granted, however the payer changes it."""
    for line in lines:
        line.asked_units, line.asked_laterality = line.units, line.laterality
    AuthorizedService.objects.bulk_update(lines, ["asked_units", "asked_laterality"])


def _record_call(
    row: Authorization, ask: AuthRequest, *, note: str, contact: str, actor: Actor, at: datetime
) -> None:
    item = WorkItem.objects.filter(
        subject_type="authorization", subject_id=row.pk, status__in=["open", "pended"]
    ).first()
    promised = ask.promised_at
    interaction_record(
        organization_id=row.organization_id,
        channel=ask.channel,
        note=note or "Authorization requested",
        outcome="Requested",
        actor=actor,
        item=item,
        patient_id=row.patient_id,
        contact=contact,
        reference=ask.reference,
        promised_on=local_day(promised, row.site) if promised else None,
        at=at,
    )


def electronic_channel(row: Authorization) -> str:
    """The way this payer is asked electronically: FHIR where a connection offers it, else 278."""
    return "fhir" if _offers_fhir(row) else "278"


def _offers_fhir(row: Authorization) -> bool:
    """A connection without a list of sets takes X12 only: FHIR must be named."""
    try:
        connection = connection_for(row.organization_id, "PAS", row.payer)
    except Refused:
        return False
    return "PAS" in connection.config.get("sets", ())


def _send(
    row: Authorization,
    lines: Sequence[AuthorizedService],
    *,
    channel: str,
    trace: str,
    urgent: bool,
    actor: Actor,
    at: datetime,
) -> Interchange:
    if channel == "278":
        return _send_278(row, lines, trace=trace, urgent=urgent, actor=actor, at=at)
    if not _offers_fhir(row):
        raise Refused(
            f"No connection is set up over which {row.payer.name} takes FHIR requests.",
            code="no_connection",
            fix="Add one under Connections, or ask by 278, portal or phone.",
        )
    content = submit_bundle(row, lines, _asked(row, lines, trace=trace, urgent=urgent, at=at))
    return _store_fhir(row, "PAS", content, trace, actor=actor, at=at)


def _asked(
    row: Authorization,
    lines: Sequence[AuthorizedService],
    *,
    trace: str,
    urgent: bool,
    at: datetime,
) -> Asked:
    first = next((s.ordered_exam for s in lines if s.ordered_exam), None)
    order = first.order if first else None
    return Asked(
        organization=Organization.objects.get(pk=row.organization_id),
        exam=first,
        ordering=order.ordering if order else None,
        service_date=local_day(row.appointment.starts_at if row.appointment else at, row.site),
        trace=trace,
        at=at,
        urgent=urgent,
        indication=order.indication if order else "",
    )


def _store_fhir(
    row: Authorization, kind: str, content: bytes, trace: str, *, actor: Actor, at: datetime
) -> Interchange:
    return store_outbound(
        organization_id=row.organization_id,
        kind=kind,
        content=content,
        connection=connection_for(row.organization_id, "PAS", row.payer),
        control_number=trace,
        media_type="application/fhir+json",
        queue=WorkQueue.REALTIME,
        at=at,
        actor=actor,
    )


@transaction.atomic
def authorization_inquire(
    *, authorization: Authorization, actor: Actor, at: datetime | None = None
) -> Interchange:
    """Ask how a request sent by FHIR stands. The answer lands on the request like its first one.

    Raises Refused when nothing waits or the request did not go by FHIR.
    """
    actor.require("authorization.edit", authorization)
    at = at or timezone.now()
    row = locked(authorization, parties=True)
    ask = row.requests.filter(channel="fhir").order_by("-id").first()
    if ask is None or row.status not in (AuthStatus.REQUESTED, AuthStatus.PENDED):
        raise Refused(
            "No FHIR request of this record waits for an answer.", code="nothing_waits", status=409
        )
    lines = list(row.services.filter(asked_units__isnull=False).order_by("id"))
    asked = _asked(row, lines, trace=ask.trace, urgent=False, at=at)
    content = inquiry_bundle(row, lines, asked)
    return _store_fhir(row, "PAS_INQUIRY", content, ask.trace, actor=actor, at=at)


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
    replies = [reply_of(response) for response in responses]
    return _land(interchange, replies, "278", actor=actor, at=at)


def answer_pas(interchange: Interchange, *, actor: Actor, at: datetime) -> Mapping[str, Any]:
    """Processor of the answers of `Claim/$submit` and `$inquire`: into the same records as a
    278.
    """
    question = interchange.answer_to
    try:
        asked = asked_of(bytes(question.content)) if question else {}
        replies = replies_of(bytes(interchange.content), asked)
    except (NotPas, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParseProblem("The answer of the FHIR service could not be read.") from error
    if question is not None and len(replies) == 1:
        # what answers our one question needs no trace to be known by
        replies = [replace(replies[0], traces=(*replies[0].traces, question.control_number))]
    return _land(interchange, replies, "fhir", actor=actor, at=at)


def _land(
    interchange: Interchange, replies: Sequence[Reply], channel: str, *, actor: Actor, at: datetime
) -> Mapping[str, Any]:
    counts: dict[str, int] = {"answers": len(replies), "repeated": 0}
    for reply in replies:
        ask = (
            AuthRequest.objects.filter(organization_id=interchange.organization_id)
            .filter(Q(trace__in=reply.traces) | Q(request_id=interchange.answer_to_id or 0))
            .order_by("-id")
            .select_related("authorization")
            .first()
        )
        if ask is None:
            raise Refused(
                "This answer belongs to no request of ours: its trace number is unknown.",
                code="unknown_trace",
            )
        if ask.response_id == interchange.pk:
            counts["repeated"] += 1
            continue
        if not _take_reply(ask, reply, interchange, channel, actor=actor, at=at):
            counts["repeated"] += 1
            continue
        word = reply.status or "refused"
        counts[word] = counts.get(word, 0) + 1
    return counts


def _take_reply(
    ask: AuthRequest,
    reply: Reply,
    interchange: Interchange,
    channel: str,
    *,
    actor: Actor,
    at: datetime,
) -> bool:
    """Write one answer onto its request and record; False when it says what is known already."""
    row = locked(ask.authorization)
    newer = AuthRequest.objects.filter(authorization=row, id__gt=ask.pk).exists()
    ask.action, ask.response, ask.answered_at = reply.action, interchange, at
    ask.reference = (reply.reference or ask.reference)[:60]
    ask.reason = ""
    if reply.status in (None, AuthStatus.DENIED, AuthStatus.PENDED):
        ask.reason = (reply.refusal or reply.reason)[:200]
    ask.save()
    if newer or row.status == AuthStatus.CANCELLED:
        return True
    if reply.status is None:
        _not_taken(row, reply, actor=actor, at=at)
        return True
    before = row.version
    decided = authorization_decide(
        authorization=row,
        status=reply.status,
        number=reply.number,
        effective_from=reply.effective_from,
        effective_to=reply.effective_to,
        services=reply.services or None,
        reason=reply.reason,
        reference=reply.reference
        or (reply.number if reply.status == AuthStatus.NOT_REQUIRED else ""),
        decided_at=reply.decided_at,
        channel=channel,
        actor=actor,
        at=at,
    )
    return decided.version != before


def _not_taken(row: Authorization, reply: Reply, *, actor: Actor, at: datetime) -> None:
    if row.status == AuthStatus.REQUESTED:
        advance(
            AUTHORIZATIONS,
            [row],
            AuthStatus.DRAFT,
            sentence=f"The payer did not take the request: {reply.refusal or 'no reason given'}",
            actor=actor,
            at=at,
            changes={"decision_due_at": None},
        )
    authorizations_review(authorization_ids=[row.pk], actor=actor, at=at)


@transaction.atomic
def requests_failed(*, interchange_ids: Sequence[int], actor: Actor, at: datetime) -> int:
    """Requests that could not be delivered: their records are drafts again, and an item says so."""
    asks = AuthRequest.objects.filter(request_id__in=interchange_ids, answered_at__isnull=True)
    found = dict(asks.select_for_update().values_list("pk", "authorization_id"))
    AuthRequest.objects.filter(pk__in=found).update(
        reason="it could not be delivered", answered_at=at
    )
    rows = Authorization.objects.select_for_update().filter(pk__in=found.values()).order_by("pk")
    advance(
        AUTHORIZATIONS,
        [row for row in rows if row.status == AuthStatus.REQUESTED],
        AuthStatus.DRAFT,
        sentence="The request could not be delivered",
        actor=actor,
        at=at,
        changes={"decision_due_at": None},
    )
    authorizations_review(authorization_ids=[row.pk for row in rows], actor=actor, at=at)
    return len(found)
