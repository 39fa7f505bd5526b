"""278 readers: the request for authorization as a payer reads it, and the payer's answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
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
from rcm.x12.readers.common import (
    Levels,
    Loop,
    Notes,
    PartyBuilder,
    at,
    procedure,
    reference,
    sets_of,
)
from rcm.x12.readers.eligibility import rejection, trace

_LEVELS = {
    "20": "source",
    "21": "receiver",
    "22": "subscriber",
    "23": "dependent",
    "EV": "event",
    "SS": "service",
}
_ORDER = ("source", "receiver", "subscriber", "dependent")
_DETAILS = ("N3", "N4", "PER", "PRV", "DMG")
_UNUSED = ("CL1", "CRC", "CR1", "CR2", "CR5", "CR6", "TOO", "SV3")


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


@dataclass(slots=True)
class _Draft:
    """An event (EV) or service (SS) loop while it is being read."""

    position: int
    traces: list[Trace] = field(default_factory=list)
    um: Segment = field(default_factory=list)
    decision: Decision | None = None
    rejections: list[Rejection] = field(default_factory=list)
    refs: list[Reference] = field(default_factory=list)
    dates: list[DatePeriod] = field(default_factory=list)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    quantities: list[tuple[str, ...]] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    parties: list[PartyBuilder] = field(default_factory=list)
    party: PartyBuilder | None = None
    sv: Segment = field(default_factory=list)

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


class _Reader(Levels):
    """The events of a 278 set: who asks whom about which patient, then event and services."""

    order = _ORDER
    levels = _LEVELS

    def __init__(self, current: TransactionSet) -> None:
        super().__init__(current, loop=_LEVEL)
        self.marks = current.delimiters
        self.answers = current.origin.purpose == "11"
        self.rejections: dict[str, list[Rejection]] = {}
        self.traces: list[Trace] = []
        self.event: _Draft | None = None
        self.services: list[_Draft] = []
        self.draft: _Draft
        self.any_event = False

    # -- levels ------------------------------------------------------------------------------------

    def on_level(self, hl: Segment) -> AuthorizationRequest | AuthorizationResponse | None:
        if _LEVELS.get(at(hl, 3)) == "service":
            self.open_level(hl)
            self.begin()
            self.services.append(self.draft)
            return None
        # the event is complete before its people make room for the next ones
        done = self.finish() if self.event is not None or self.services else None
        self.open_level(hl)
        self.loop = _LEVEL
        if self.level == "event":
            self.begin()
            self.event = self.draft
        elif self.level in _ORDER:
            for below in self.from_here():
                self.rejections.pop(below, None)
            self.relationship = ""
            self.traces = []
        return done

    def begin(self) -> None:
        self.draft = _Draft(self.current.position)
        self.loop = _EVENT

    def on_level_rejection(self, aaa: Segment) -> None:
        found = rejection(aaa, self.level, self.current.position)
        self.rejections.setdefault(self.level, []).append(found)

    def on_level_trace(self, trn: Segment) -> None:
        self.traces.append(trace(trn))

    # -- event and service -------------------------------------------------------------------------

    def on_trace(self, trn: Segment) -> None:
        self.draft.traces.append(trace(trn))

    def on_review(self, um: Segment) -> None:
        self.draft.um = um

    def on_decision(self, hcr: Segment) -> None:
        self.draft.decision = decision(hcr, self.marks)

    def on_rejection(self, aaa: Segment) -> None:
        self.draft.rejections.append(rejection(aaa, self.level, self.current.position))

    def on_provider(self, nm1: Segment) -> None:
        self.draft.party = PartyBuilder(nm1)
        self.draft.parties.append(self.draft.party)

    def on_provider_detail(self, segment: Segment) -> None:
        if self.draft.party is not None:
            self.draft.party.take(segment)

    def on_reference(self, ref: Segment) -> None:
        if self.draft.party is not None and self.draft.party.take(ref):
            return
        self.draft.refs.append(reference(ref))

    def on_day(self, dtp: Segment) -> None:
        self.draft.dates.append(self.notes.period(dtp, "DTP"))

    def on_diagnoses(self, hi: Segment) -> None:
        for text in hi[1:]:
            parts = text.split(self.marks.component)
            if len(parts) > 1 and parts[1]:
                self.draft.diagnoses.append(Diagnosis(parts[1], parts[0]))

    def on_quantity(self, hsd: Segment) -> None:
        self.draft.quantities.append(tuple(hsd[1:]))

    def on_attachment(self, pwk: Segment) -> None:
        self.draft.attachments.append(Attachment(at(pwk, 1), at(pwk, 2), at(pwk, 6)))

    def on_message(self, msg: Segment) -> None:
        self.draft.messages.append(at(msg, 1))

    def on_service(self, sv: Segment) -> None:
        self.draft.sv = sv

    # -- what has been read ------------------------------------------------------------------------

    def finish(self) -> AuthorizationRequest | AuthorizationResponse:
        self.any_event = True
        what = self.event or _Draft(self.current.start)
        component = self.marks.component
        services = tuple([_service(each, self.notes, component) for each in self.services])
        self.event, self.services = None, []
        common: dict[str, Any] = {
            "dependent": self.named("dependent"),
            "previous_number": what.take_ref("BB"),
            "payer_control": what.take_ref("NT"),
            "reference": self.reference,
            "origin": self.current.origin,
            "position": what.position,
            "findings": self.notes.take(),
            "services": services,
            **_um(what.um, component),
        }
        return self.response(what, common) if self.answers else self.request(what, common)

    def response(self, what: _Draft, common: dict[str, Any]) -> AuthorizationResponse:
        start, end = what.take_period("AAH", "472")
        issued, _ = what.take_period("102")
        expires, _ = what.take_period("036")
        del common["related_cause"], common["release"]
        above = [found for level in _ORDER for found in self.rejections.get(level, ())]
        traces = (*what.traces, *self.traces)
        return AuthorizationResponse(
            payer=self.named("source"),
            provider=self.named("receiver"),
            subscriber=self.named("subscriber"),
            trace=next((t.number for t in traces if t.kind == "2"), ""),
            traces=(*self.traces, *what.traces),
            decision=what.decision,
            valid_from=start,
            valid_to=end,
            issued=issued,
            expires=expires,
            rejections=(*above, *what.rejections),
            **common,
            **_lists(what),
        )

    def request(self, what: _Draft, common: dict[str, Any]) -> AuthorizationRequest:
        start, end = what.take_period("AAH")
        admission, _ = what.take_period("435")
        first = next(iter((*what.traces, *self.traces)), Trace(""))
        return AuthorizationRequest(
            payer=self.named("source") or Party("X3"),
            provider=self.named("receiver") or Party("1P"),
            subscriber=self.named("subscriber") or Party("IL"),
            trace=first.number,
            trace_origin=first.origin,
            relationship=self.relationship,
            event_from=start,
            event_to=end,
            admission=admission,
            **common,
            **_lists(what),
        )


_LEVEL: Loop = {
    "HL": _Reader.on_level,
    "BHT": _Reader.on_beginning,
    "NM1": _Reader.on_name,
    "AAA": _Reader.on_level_rejection,
    "TRN": _Reader.on_level_trace,
    "INS": _Reader.on_insured,
    "REF": _Reader.on_party_reference,
    **dict.fromkeys(_DETAILS, _Reader.on_detail),
    **dict.fromkeys(_UNUSED, _Reader.on_quiet),
}
_EVENT: Loop = {
    "HL": _Reader.on_level,
    "TRN": _Reader.on_trace,
    "UM": _Reader.on_review,
    "HCR": _Reader.on_decision,
    "AAA": _Reader.on_rejection,
    "NM1": _Reader.on_provider,
    "REF": _Reader.on_reference,
    "DTP": _Reader.on_day,
    "HI": _Reader.on_diagnoses,
    "HSD": _Reader.on_quantity,
    "PWK": _Reader.on_attachment,
    "MSG": _Reader.on_message,
    "SV1": _Reader.on_service,
    "SV2": _Reader.on_service,
    **dict.fromkeys(_DETAILS, _Reader.on_provider_detail),
    **dict.fromkeys(("BHT", "INS", *_UNUSED), _Reader.on_quiet),
}


def read_278_set(current: TransactionSet) -> Iterator[AuthorizationRequest | AuthorizationResponse]:
    """The events of one 278 set."""
    reader = _Reader(current)
    yield from reader.read(current)
    if reader.event is not None or reader.services or not reader.any_event:
        yield reader.finish()


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


def _lists(what: _Draft) -> dict[str, Any]:
    return {
        "refs": tuple(what.refs),
        "dates": tuple(what.dates),
        "diagnoses": tuple(what.diagnoses),
        "quantities": tuple(what.quantities),
        "attachments": tuple(what.attachments),
        "messages": tuple(what.messages),
        "providers": tuple([builder.build() for builder in what.parties]),
    }


def _service(what: _Draft, notes: Notes, component: str) -> AuthorizationService:
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
