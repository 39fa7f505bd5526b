"""278 readers: the request for authorization as a payer reads it, and the payer's answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from rcm.x12.document import Document, Segment, Source, TransactionSet
from rcm.x12.model import (
    ONE,
    Attachment,
    AuthorizationRequest,
    AuthorizationResponse,
    AuthorizationService,
    DatePeriod,
    Decision,
    Diagnosis,
    Party,
    Procedure,
    Reference,
    Rejection,
    Trace,
)
from rcm.x12.readers.common import Notes, PartyBuilder, at, procedure, reference, sets_of
from rcm.x12.readers.eligibility import built, rejection, trace

_LEVELS = {
    "20": "source",
    "21": "receiver",
    "22": "subscriber",
    "23": "dependent",
    "EV": "event",
    "SS": "service",
}
_ORDER = ("source", "receiver", "subscriber", "dependent")
_QUIET = frozenset(
    (
        "BHT",
        "CL1",
        "CRC",
        "CR1",
        "CR2",
        "CR5",
        "CR6",
        "TOO",
        "INS",
        "N3",
        "N4",
        "PER",
        "PRV",
        "DMG",
        "SV3",
    )
)


def read_278(source: Source | Document) -> Iterator[AuthorizationRequest | AuthorizationResponse]:
    """Each event of the file's 278 sets: a request when BHT02 is not 11, else a response.

    Raises ``NotX12`` or ``WrongSet`` and nothing else.
    """
    for current in sets_of(source, "278"):
        yield from read_278_set(current)


def read_278_requests(source: Source | Document) -> Iterator[AuthorizationRequest]:
    """Only the requests of the file."""
    for item in read_278(source):
        if isinstance(item, AuthorizationRequest):
            yield item


def read_278_responses(source: Source | Document) -> Iterator[AuthorizationResponse]:
    """Only the responses of the file."""
    for item in read_278(source):
        if isinstance(item, AuthorizationResponse):
            yield item


class _Loop:
    """An event (EV) or service (SS) loop while it is being read."""

    __slots__ = (
        "attachments",
        "dates",
        "decision",
        "diagnoses",
        "messages",
        "parties",
        "party",
        "position",
        "quantities",
        "refs",
        "rejections",
        "sv",
        "traces",
        "um",
    )

    def __init__(self, position: int) -> None:
        self.position = position
        self.traces: list[Trace] = []
        self.um: Segment = []
        self.decision: Decision | None = None
        self.rejections: list[Rejection] = []
        self.refs: list[Reference] = []
        self.dates: list[DatePeriod] = []
        self.diagnoses: list[Diagnosis] = []
        self.quantities: list[tuple[str, ...]] = []
        self.attachments: list[Attachment] = []
        self.messages: list[str] = []
        self.parties: list[PartyBuilder] = []
        self.party: PartyBuilder | None = None
        self.sv: Segment = []

    def take(
        self, segment: Segment, tag: str, notes: Notes, marks: Any, position: int, level: str
    ) -> bool:
        if tag == "TRN":
            self.traces.append(trace(segment))
        elif tag == "UM":
            self.um = segment
        elif tag == "HCR":
            self.decision = decision(segment, marks)
        elif tag == "AAA":
            self.rejections.append(rejection(segment, level, position))
        elif tag == "NM1":
            self.party = PartyBuilder(segment)
            self.parties.append(self.party)
        elif self.party is not None and self.party.take(segment):
            pass
        elif tag == "REF":
            self.refs.append(reference(segment))
        elif tag == "DTP":
            self.dates.append(notes.period(segment, "DTP"))
        elif tag == "HI":
            for text in segment[1:]:
                parts = text.split(marks.component)
                if len(parts) > 1 and parts[1]:
                    self.diagnoses.append(Diagnosis(parts[1], parts[0]))
        elif tag == "HSD":
            self.quantities.append(tuple(segment[1:]))
        elif tag == "PWK":
            self.attachments.append(Attachment(at(segment, 1), at(segment, 2), at(segment, 6)))
        elif tag == "MSG":
            self.messages.append(at(segment, 1))
        elif tag in ("SV1", "SV2"):
            self.sv = segment
        else:
            return False
        return True

    def take_ref(self, qualifier: str) -> str:
        """Remove and return the first reference with ``qualifier``."""
        for i, ref in enumerate(self.refs):
            if ref.qualifier == qualifier:
                del self.refs[i]
                return ref.value
        return ""

    def take_period(self, *qualifiers: str) -> tuple[date | None, date | None]:
        """Remove and return the first date with one of ``qualifiers``; the end only when it
        differs.
        """
        for qualifier in qualifiers:
            for i, item in enumerate(self.dates):
                if item.qualifier == qualifier:
                    del self.dates[i]
                    return item.start, item.end if item.end != item.start else None
        return None, None


def decision(segment: Segment, marks: Any) -> Decision:
    text = at(segment, 3)
    for mark in (marks.repetition, marks.component):
        if mark:
            text = text.replace(mark, "\x1f")
    return Decision(
        at(segment, 1),
        at(segment, 2),
        tuple([code for code in text.split("\x1f") if code]),
        at(segment, 4),
    )


def read_278_set(current: TransactionSet) -> Iterator[AuthorizationRequest | AuthorizationResponse]:
    """The events of one 278 set."""
    notes = Notes(current)
    marks = current.delimiters
    answers = current.origin.purpose == "11"
    parties: dict[str, PartyBuilder | None] = {}
    rejections: dict[str, list[Rejection]] = {}
    traces: list[Trace] = []
    relationship = reference_number = level = ""
    party: PartyBuilder | None = None
    event: _Loop | None = None
    services: list[_Loop] = []
    loop: _Loop | None = None
    any_event = False

    def finish() -> AuthorizationRequest | AuthorizationResponse:
        nonlocal event, services, loop
        what, done = (
            event or _Loop(current.start),
            tuple([_service(s, notes, marks.component) for s in services]),
        )
        event, services, loop = None, [], None
        common: dict[str, Any] = {
            "dependent": built(parties.get("dependent")),
            "previous_number": what.take_ref("BB"),
            "payer_control": what.take_ref("NT"),
            **_um(what.um, marks.component),
        }
        start, end = what.take_period("AAH", "472") if answers else what.take_period("AAH")
        rest: dict[str, Any] = {
            "reference": reference_number,
            "origin": current.origin,
            "position": what.position,
            "findings": notes.take(),
            "services": done,
        }
        if answers:
            issued, _ = what.take_period("102")
            expires, _ = what.take_period("036")
            common.pop("related_cause"), common.pop("release")
            return AuthorizationResponse(
                payer=built(parties.get("source")),
                provider=built(parties.get("receiver")),
                subscriber=built(parties.get("subscriber")),
                trace=next((t.number for t in (*what.traces, *traces) if t.kind == "2"), ""),
                traces=(*traces, *what.traces),
                decision=what.decision,
                valid_from=start,
                valid_to=end,
                issued=issued,
                expires=expires,
                rejections=tuple(
                    [r for at_level in _ORDER for r in rejections.get(at_level, ())]
                    + what.rejections
                ),
                **common,
                **_lists(what),
                **rest,
            )
        admission, _ = what.take_period("435")
        first = next(iter((*what.traces, *traces)), Trace(""))
        return AuthorizationRequest(
            payer=built(parties.get("source")) or Party("X3"),
            provider=built(parties.get("receiver")) or Party("1P"),
            subscriber=built(parties.get("subscriber")) or Party("IL"),
            trace=first.number,
            trace_origin=first.origin,
            relationship=relationship,
            event_from=start,
            event_to=end,
            admission=admission,
            **common,
            **_lists(what),
            **rest,
        )

    for segment in current:
        tag = segment[0]
        if tag == "HL":
            level = _LEVELS.get(at(segment, 3), "")
            party = None
            if level == "service":
                loop = _Loop(current.position)
                services.append(loop)
                continue
            if event is not None or services:
                any_event = True
                yield finish()
            loop = None
            if level == "event":
                event = loop = _Loop(current.position)
            elif level in _ORDER:
                for below in _ORDER[_ORDER.index(level) :]:
                    parties[below] = None
                    rejections[below] = []
                relationship = ""
                traces = []
        elif loop is not None:
            if (
                not loop.take(segment, tag, notes, marks, current.position, level)
                and tag not in _QUIET
            ):
                notes.unknown(segment, level)
        elif tag == "BHT":
            reference_number = at(segment, 3)
        elif tag == "NM1":
            party = PartyBuilder(segment)
            parties[level] = party
        elif tag == "AAA":
            rejections.setdefault(level, []).append(rejection(segment, level, current.position))
        elif tag == "TRN":
            traces.append(trace(segment))
        elif tag == "INS" and level == "dependent":
            relationship = at(segment, 2)
        elif not (party is not None and party.take(segment)) and tag not in _QUIET:
            notes.unknown(segment, level or "header")
    if event is not None or services or not any_event:
        yield finish()


def _um(um: Segment, component: str) -> dict[str, str]:
    place = at(um, 4).split(component)
    return {
        "category": at(um, 1),
        "certification": at(um, 2),
        "service_type": at(um, 3),
        "pos": place[0],
        "pos_qualifier": place[1] if len(place) > 1 else ("B" if not place[0] else ""),
        "related_cause": at(um, 5).split(component)[0],
        "level_of_service": at(um, 6),
        "release": at(um, 9),
    }


def _lists(what: _Loop) -> dict[str, Any]:
    return {
        "refs": tuple(what.refs),
        "dates": tuple(what.dates),
        "diagnoses": tuple(what.diagnoses),
        "quantities": tuple(what.quantities),
        "attachments": tuple(what.attachments),
        "messages": tuple(what.messages),
        "providers": tuple([builder.build() for builder in what.parties]),
    }


def _service(what: _Loop, notes: Notes, component: str) -> AuthorizationService:
    sv = what.sv
    institutional = bool(sv) and sv[0] == "SV2"
    shift = 1 if institutional else 0
    text = at(sv, 1 + shift)
    start, end = what.take_period("472")
    return AuthorizationService(
        procedure=procedure(text, component) if text else Procedure(),
        revenue_code=at(sv, 1) if institutional else "",
        charge=notes.optional_money(at(sv, 2 + shift), "SV102"),
        unit=at(sv, 3 + shift) or "UN",
        units=notes.number(at(sv, 4 + shift), "SV104") or ONE,
        category=at(what.um, 1),
        service_type=at(what.um, 3),
        service_from=start,
        service_to=end,
        trace=what.traces[0].number if what.traces else "",
        quantities=tuple(what.quantities),
        providers=tuple([builder.build() for builder in what.parties]),
        decision=what.decision,
        rejections=tuple(what.rejections),
        refs=tuple(what.refs),
        dates=tuple(what.dates),
        messages=tuple(what.messages),
        position=what.position,
    )
