"""From the wire into the store (rule `message-kept`): whose message it is, whether it was here
before, and what the sender is told.

Shared by the listeners; nothing here reads a message's content or knows a phase. A message is
answered AA only after its row is committed; AE when it is kept but cannot be used as it is; AR when
it is no HL7, is not kept (the sender must send it again), or comes from a sender that is not known
here or names an organization that is not its own: such a message is kept in quarantine and has no
effect.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network
from threading import Lock
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization, Site
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.accounts.together import asked_once
from rcm.exchange import batch, dicom, hl7, services
from rcm.exchange.detect import HL7_KINDS
from rcm.exchange.models import (
    Connection,
    ConnectionKind,
    Direction,
    Interchange,
    InterchangeStatus,
)
from rcm.exchange.origin import Origin
from rcm.exchange.outbox import wake_on_commit
from rcm.exchange.problems import ParseProblem

log = logging.getLogger(__name__)

ACCEPT, ERROR, REJECT = "AA", "AE", "AR"
UNREADABLE = "HL7"


@dataclass(frozen=True, slots=True)
class Place:
    """Whose a message is, and why its sender may not write there (`refusal`, a sentence): then it
    is kept, and not processed.
    """

    organization_id: int
    connection: Connection | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one delivery."""

    code: str
    sentence: str = ""
    interchange_id: int = 0
    fresh: bool = False


def _everyone() -> Actor:
    return Actor.system(
        "listener", Organization.objects.filter(active=True).values_list("id", flat=True)
    )


def default_organization() -> int | None:
    """Where messages go that name no organization: EXCHANGE_DEFAULT_ORGANIZATION (a code), else the
    first active one.
    """
    rows = Organization.objects.filter(active=True).order_by("id")
    code = settings.EXCHANGE_DEFAULT_ORGANIZATION
    return (
        rows.filter(code=code).values_list("id", flat=True).first() if code else None
    ) or rows.values_list("id", flat=True).first()


class Throttle:
    """How many messages of strangers an address may leave in a minute; more are not kept."""

    def __init__(self, most: int = 60, seconds: float = 60.0) -> None:
        self.most, self.seconds = most, seconds
        self._seen: dict[str, deque[float]] = {}
        self._lock = Lock()

    def full(self, address: str, now: float) -> bool:
        """Count one more; True when there were too many."""
        with self._lock:
            if len(self._seen) > 10_000:
                self._seen.clear()
            seen = self._seen.setdefault(address, deque())
            while seen and seen[0] <= now - self.seconds:
                seen.popleft()
            seen.append(now)
            if len(seen) > self.most:
                seen.popleft()
                return True
            return False

    def forget(self) -> None:
        self._seen.clear()


strangers = Throttle()


def place_of(header: hl7.Header | None, origin: Origin | None = None) -> Place | None:
    """The organization a message is for. Only a connection (by MSH-3|MSH-4, MSH-4 or MSH-3) may
    write, from its own networks and with its own certificate where it names them, and only into its
    own organization. What a stranger names decides no more than who sees it in quarantine.

    None when the product has no organization at all.
    """
    fallback = default_organization()
    if fallback is None:
        return None
    if header is None:
        return Place(fallback)
    named = _named(header)
    names = [f"{header.sender}|{header.sender_facility}", header.sender_facility, header.sender]
    found = {
        c.sender: c
        for c in Connection.objects.filter(
            kind=ConnectionKind.MLLP, sender__in=[n for n in names if n.strip("|")]
        )
    }
    for name in names:
        if name in found:
            known = found[name]
            return Place(known.organization_id, known, _refusal(known, named, origin or Origin()))
    owner = named or _owner([header.sender_facility]) or fallback
    return Place(owner, refusal=STRANGER)


STRANGER = (
    "This sender is not known here. An administrator adds a connection for its MSH-3 and MSH-4."
)


def _refusal(connection: Connection, named: int | None, origin: Origin) -> str:
    """Why a known sender may not write this, or nothing."""
    if not connection.active:
        return "The connection of this sender is switched off."
    if named is not None and named != connection.organization_id:
        return "MSH-6 or MSH-5 names an organization that is not this sender's."
    wanted = connection.config.get("certificate", "")
    if wanted and wanted != origin.certificate:
        return "This sender must show its own client certificate."
    networks = connection.config.get("networks", [])
    if networks and not any(_within(origin.address, network) for network in networks):
        return "This sender may not send from this network address."
    return ""


def _within(address: str, network: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False


def _named(header: hl7.Header) -> int | None:
    """The organization that a message names as its receiver."""
    return _owner([header.receiver_facility, header.receiver])


def _owner(names: Iterable[str]) -> int | None:
    """Whose code this is: an organization's or a site's, the first name before the next."""
    codes = [name for name in names if name]
    organizations = dict(
        Organization.objects.filter(active=True, code__in=codes).values_list("code", "id")
    )
    sites = dict(
        Site.objects.filter(organization__active=True, code__in=codes).values_list(
            "code", "organization_id"
        )
    )
    for code in codes:
        if code in organizations or code in sites:
            return organizations.get(code) or sites[code]
    return None


def own_names(organization_id: int) -> frozenset[str]:
    """How an organization and its sites are named as owners of a medical record number."""

    def ask() -> frozenset[str]:
        codes = Site.objects.filter(organization_id=organization_id).values_list("code", flat=True)
        own = Organization.objects.filter(pk=organization_id).values_list("code", flat=True)
        return frozenset([*codes, *own])

    return asked_once(("own names", organization_id), ask)


def receive_hl7(
    content: bytes,
    *,
    at: datetime | None = None,
    framing: str = "",
    origin: Origin | None = None,
) -> bytes:
    """Store each HL7 message of one frame and answer its acknowledgement; several messages get
    several acknowledgements, one after another. `framing` says what was wrong with the frame around
    them. Never raises.
    """
    at = at or timezone.now()
    origin = origin or Origin()
    if framing or not batch.several(content):
        return _receive_one(content, at=at, framing=framing, origin=origin)
    cut = batch.split(content)
    if cut.problem:
        return _receive_one(content, at=at, framing=cut.problem, origin=origin)
    return b"".join(_receive_one(message, at=at, origin=origin) for message in cut.messages)


def _receive_one(content: bytes, *, at: datetime, origin: Origin, framing: str = "") -> bytes:
    header: hl7.Header | None = None
    try:
        header, problem, code = _judge(content, framing)
        judged = Judged(header, problem, code)
        receipt = _store_hl7(content, judged, at=at, origin=origin)
        return hl7.ack(
            header, receipt.code, receipt.sentence, error=_error_code(receipt, header), at=at
        )
    except Exception as error:
        log.error("HL7 message was not stored: %s", type(error).__name__)
        return hl7.ack(header, REJECT, "Not stored; send it again.", error="207", at=at)


def _judge(content: bytes, framing: str = "") -> tuple[hl7.Header | None, str, str]:
    """The header of a message, what is wrong with it as a sentence, and the answer that this
    gets.
    """
    try:
        header = hl7.header(content)
    except ParseProblem as unreadable:
        return None, framing or str(unreadable), REJECT
    except Exception as error:
        # the reader's own fault must not cost the message
        log.exception("HL7 header could not be read")
        return None, framing or f"The message cannot be read ({type(error).__name__}).", REJECT
    if framing:
        return header, framing, REJECT
    if not header.kind:
        return header, "MSH-9 names no message type.", ERROR
    if header.kind not in HL7_KINDS | services.processed_kinds():
        return header, f"Messages of the type {header.kind} are not read here.", REJECT
    if not header.control_id:
        sentence = (
            "MSH-10 is empty: without a control number a repeat cannot be told from a new message."
        )
        return header, sentence, ERROR
    return header, "", ACCEPT


def unpack(interchange: Interchange, *, actor: Actor, at: datetime) -> Mapping[str, Any]:
    """Processor of files with several HL7 messages: each becomes an interchange of its own, with
    its own outcome. The same file again adds nothing.
    """
    cut = batch.split(bytes(interchange.content))
    if cut.problem:
        raise Refused(cut.problem, code="batch_incomplete")
    counts = {"messages": len(cut.messages), "fresh": 0, "repeated": 0, "for_a_person": 0}
    for number, content in enumerate(cut.messages, start=1):
        header, problem, _ = _judge(content)
        kind = header.kind if header and header.kind else UNREADABLE
        earlier = _earlier(interchange.organization_id, kind, header)
        name = f"{interchange.file_name[-160:]} message {number} of {len(cut.messages)}".strip()
        row, fresh = services.store_inbound(
            organization_id=interchange.organization_id,
            kind=kind,
            content=content,
            connection=interchange.connection,
            file_name=name,
            media_type="application/hl7-v2",
            control_number=header.control_number if header else "",
            ordering_key=header.ordering_key if header and not problem else "",
            part_of=interchange,
            at=interchange.received_at,
            actor=actor,
        )
        if not fresh:
            counts["repeated"] += 1
        elif problem:
            status = InterchangeStatus.FAILED if header is None else InterchangeStatus.QUARANTINED
            services.mark(row, status=status, error=problem, actor=actor, at=at)
            counts["for_a_person"] += 1
        elif earlier is not None:
            _repeat(row, earlier, actor, at)
            counts["repeated"] += 1
        else:
            counts["fresh"] += 1
    return counts


def _error_code(receipt: Receipt, header: hl7.Header | None) -> str:
    """HL7 table 0357 for ERR-3."""
    if receipt.code == ACCEPT:
        return ""
    if header is None:
        return "100"
    return (
        "200"
        if header.kind not in HL7_KINDS | services.processed_kinds()
        else "101"
        if not header.control_id
        else "207"
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """A message's header, what is wrong with it, and the answer that this gets."""

    header: hl7.Header | None
    problem: str = ""
    code: str = ACCEPT


def _store_hl7(content: bytes, judged: Judged, *, at: datetime, origin: Origin) -> Receipt:
    header, problem, code = judged.header, judged.problem, judged.code
    everyone = _everyone()
    with scope(everyone):
        place = place_of(header, origin)
        if place is None:
            return Receipt(REJECT, "Not stored: this system has no organization yet.")
        if place.connection is None and strangers.full(origin.address, time.monotonic()):
            return Receipt(REJECT, "Not stored: too many messages of a sender not known here.")
        if place.refusal:
            problem, code = place.refusal, REJECT
        kind = header.kind if header and header.kind else UNREADABLE
        earlier = _earlier(place.organization_id, kind, header)
        row, fresh = services.store_inbound(
            organization_id=place.organization_id,
            kind=kind,
            content=content,
            connection=place.connection,
            media_type="application/hl7-v2",
            control_number=header.control_number if header else "",
            ordering_key=header.ordering_key if header and not problem else "",
            at=at,
            actor=everyone,
        )
        if not fresh:
            if row.status in (InterchangeStatus.FAILED, InterchangeStatus.QUARANTINED) and problem:
                return Receipt(code, problem, row.pk)
            return Receipt(ACCEPT, "Received before.", row.pk)
        if problem:
            status = InterchangeStatus.FAILED if header is None else InterchangeStatus.QUARANTINED
            services.mark(row, status=status, error=problem, actor=everyone, at=at)
            return Receipt(code, problem, row.pk, True)
        if earlier is not None:
            return _repeat(row, earlier, everyone, at)
        return Receipt(ACCEPT, "", row.pk, True)


def _earlier(organization_id: int, kind: str, header: hl7.Header | None) -> Interchange | None:
    """The message of the same sender and control number that is here already; two at once wait for
    each other.
    """
    if header is None or not header.control_number:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 72))",
            [f"{organization_id}:{kind}:{header.control_number}"],
        )
    rows = Interchange.objects.filter(
        organization_id=organization_id,
        direction=Direction.IN,
        kind=kind,
        control_number=header.control_number,
    )
    return rows.exclude(status=InterchangeStatus.REFUSED).order_by("id").first()


def _repeat(row: Interchange, earlier: Interchange, actor: Actor, at: datetime) -> Receipt:
    """Same sender and control number, other bytes (rule `exam-match-order`). A resend differs in
    its MSH only and has no effect. When the body differs the sender has used the number twice:
    nothing is lost, a person decides.
    """
    if _body(bytes(row.content)) == _body(bytes(earlier.content)):
        services.mark(
            row,
            status=InterchangeStatus.REFUSED,
            error="A repeat of a message that was here before.",
            actor=actor,
            at=at,
        )
        Interchange.objects.filter(pk=row.pk).update(
            answer_to=None, summary={"repeat_of": str(earlier.public_id)}
        )
    else:
        sentence = (
            "The sender has used this control number for another message before. Replay it if it is"
            " a new one."
        )
        services.mark(
            row,
            status=InterchangeStatus.QUARANTINED,
            error=sentence,
            summary={"repeat_of": str(earlier.public_id)},
            actor=actor,
            at=at,
        )
    return Receipt(ACCEPT, "Received before.", row.pk)


def _body(content: bytes) -> bytes:
    """A message without its MSH, with one kind of line end."""
    lines = content.replace(b"\r\n", b"\r").replace(b"\n", b"\r").split(b"\r")
    return b"\r".join(line for line in lines[1:] if line)


# --- DICOM ----------------------------------------------------------------------------------------

SUCCESS, DUPLICATE_INSTANCE, NO_SUCH_INSTANCE, PROCESSING_FAILURE, INVALID_VALUE = (
    0x0000,
    0x0111,
    0x0112,
    0x0110,
    0x0106,
)


def known_callers() -> dict[str, tuple[int, int]]:
    """AE titles that may call: active DICOM connections → (organization, connection)."""
    with scope(_everyone()):
        rows = Connection.objects.filter(kind=ConnectionKind.DICOM, active=True).exclude(sender="")
        return {
            sender: (organization_id, pk)
            for sender, organization_id, pk in rows.values_list("sender", "organization_id", "id")
        }


def receive_mpps(
    dataset: bytes,
    *,
    operation: str,
    sop_instance_uid: str,
    transfer_syntax: str,
    calling_ae: str,
    at: datetime | None = None,
) -> int:
    """Store one N-CREATE or N-SET and answer its DIMSE status. Success means committed. Never
    raises.
    """
    at = at or timezone.now()
    try:
        caller = known_callers().get(calling_ae)
        if caller is None:
            return PROCESSING_FAILURE
        content = dicom.wrap(
            dataset,
            operation=operation,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax=transfer_syntax,
            calling_ae=calling_ae,
        )
        return _store_mpps(content, operation, sop_instance_uid, *caller, at)
    except Exception as error:
        log.error("MPPS was not stored: %s", type(error).__name__)
        return PROCESSING_FAILURE


def _store_mpps(
    content: bytes, operation: str, uid: str, organization_id: int, connection_id: int, at: datetime
) -> int:
    actor = Actor.system("listener", [organization_id])
    facts, problem = None, ""
    try:
        facts = dicom.read(content)
    except ParseProblem as unreadable:
        problem = str(unreadable)
    with scope(actor):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 72))",
                [f"{organization_id}:MPPS:{uid}"],
            )
        before = Interchange.objects.filter(
            organization_id=organization_id,
            direction=Direction.IN,
            kind="MPPS",
            control_number=uid[:80],
        )
        before = before.exclude(
            status__in=[InterchangeStatus.FAILED, InterchangeStatus.REFUSED]
        ).order_by("id")
        created = before.filter(file_name="N-CREATE").first()
        row, fresh = services.store_inbound(
            organization_id=organization_id,
            kind="MPPS",
            content=content,
            connection=Connection.objects.get(pk=connection_id),
            file_name=operation,
            media_type="application/dicom",
            control_number=uid,
            ordering_key=created.ordering_key if created else facts.ordering_key if facts else "",
            at=at,
            actor=actor,
        )
        if not fresh:
            if (
                row.status == InterchangeStatus.QUARANTINED
                and operation == "N-SET"
                and created is not None
                and created.pk > row.pk
            ):
                # it came before its step's beginning, and comes again now that it fits
                Interchange.objects.filter(pk=row.pk).update(
                    ordering_key=created.ordering_key, due_at=None
                )
                services.mark(row, status=InterchangeStatus.STORED, actor=actor, at=at)
                wake_on_commit(organization_id, row.queue)
            return _answered(row, readable=facts is not None)
        answer, status = SUCCESS, InterchangeStatus.STORED
        if facts is None:
            answer, status = INVALID_VALUE, InterchangeStatus.FAILED
        elif operation == "N-CREATE" and created is not None:
            answer, status = DUPLICATE_INSTANCE, InterchangeStatus.QUARANTINED
            problem = BEGUN_BEFORE
        elif operation == "N-SET" and created is None:
            answer, status = NO_SUCH_INSTANCE, InterchangeStatus.QUARANTINED
            problem = NEVER_BEGUN
        elif operation == "N-SET" and _ended(before.exclude(pk=row.pk)):
            answer, status = PROCESSING_FAILURE, InterchangeStatus.QUARANTINED
            problem = ENDED_BEFORE
        if status != InterchangeStatus.STORED:
            services.mark(row, status=status, error=problem, actor=actor, at=at)
        return answer


BEGUN_BEFORE = "This step was begun before with other content."
NEVER_BEGUN = "This step was never begun here. Replay it once its beginning has come."
ENDED_BEFORE = "This step had ended before; what comes after is for a person to judge."
_ANSWERS = {
    BEGUN_BEFORE: DUPLICATE_INSTANCE,
    NEVER_BEGUN: NO_SUCH_INSTANCE,
    ENDED_BEFORE: PROCESSING_FAILURE,
}


def _answered(row: Interchange, *, readable: bool) -> int:
    """The status that the same message was answered with when it came first: what became of it
    later is no news to its sender.
    """
    if not readable:
        return INVALID_VALUE
    if row.status == InterchangeStatus.QUARANTINED:
        return _ANSWERS.get(row.error, SUCCESS)
    return SUCCESS


def _ended(messages: Iterable[Interchange]) -> bool:
    """Whether one of a step's messages that counted has ended it."""
    return any(
        dicom.read(bytes(row.content)).ended
        for row in messages
        if row.status != InterchangeStatus.QUARANTINED
    )
