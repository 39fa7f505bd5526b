"""270 and 271 readers: who asks about whom, and what the payer says the coverage is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rcm.x12.document import Document, Segment, Source, TransactionSet
from rcm.x12.model import (
    Benefit,
    DatePeriod,
    EligibilityRequest,
    EligibilityResponse,
    Party,
    Procedure,
    Reference,
    Rejection,
    Trace,
)
from rcm.x12.readers.common import Notes, PartyBuilder, at, procedure, reference, sets_of

_LEVELS = {"20": "source", "21": "receiver", "22": "subscriber", "23": "dependent"}
_ABOVE = ("source", "receiver", "subscriber")
_QUIET = frozenset(
    ("BHT", "III", "MPI", "HI", "LE", "NX1", "CRC", "PRV", "REF", "N3", "N4", "PER", "DMG")
)


def read_270(source: Source | Document) -> Iterator[EligibilityRequest]:
    """Each inquiry of the file's 270 sets. Raises ``NotX12`` or ``WrongSet`` and nothing else."""
    for current in sets_of(source, "270"):
        yield from read_270_set(current)


def read_271(source: Source | Document) -> Iterator[EligibilityResponse]:
    """Each person's answer of the file's 271 sets; a set refused before any person gives one answer
    with the reasons.

    Raises ``NotX12`` or ``WrongSet`` and nothing else.
    """
    for current in sets_of(source, "271"):
        yield from read_271_set(current)


class _Hierarchy:
    """Payer, provider, subscriber and dependent as the HL loops come by."""

    __slots__ = (
        "dependent",
        "level",
        "party",
        "payer",
        "provider",
        "reference",
        "relationship",
        "subscriber",
    )

    def __init__(self) -> None:
        self.level = ""
        self.reference = ""
        self.relationship = ""
        self.payer: PartyBuilder | None = None
        self.provider: PartyBuilder | None = None
        self.subscriber: PartyBuilder | None = None
        self.dependent: PartyBuilder | None = None
        self.party: PartyBuilder | None = None

    def open(self, segment: Segment) -> None:
        self.level = _LEVELS.get(at(segment, 3), "")
        self.party = None
        if self.level == "source":
            self.payer = self.provider = self.subscriber = self.dependent = None
        elif self.level == "receiver":
            self.provider = self.subscriber = self.dependent = None
        elif self.level == "subscriber":
            self.subscriber = self.dependent = None
        elif self.level == "dependent":
            self.dependent = None
        self.relationship = ""

    def name(self, segment: Segment) -> None:
        self.party = PartyBuilder(segment)
        if self.level == "source":
            self.payer = self.party
        elif self.level == "receiver":
            self.provider = self.party
        elif self.level == "subscriber":
            self.subscriber = self.party
        elif self.level == "dependent":
            self.dependent = self.party

    def take(self, segment: Segment, tag: str) -> bool:
        if tag == "INS":
            if self.level == "dependent":
                self.relationship = at(segment, 2)
            return True
        return self.party is not None and self.party.take(segment)


def built(builder: PartyBuilder | None) -> Party | None:
    return builder.build() if builder is not None else None


def rejection(segment: Segment, level: str, position: int) -> Rejection:
    return Rejection(at(segment, 1) == "Y", at(segment, 3), at(segment, 4), level, position)


def trace(segment: Segment) -> Trace:
    return Trace(at(segment, 2), at(segment, 3), at(segment, 1), at(segment, 4))


# --- 270 ------------------------------------------------------------------------------------------


def read_270_set(current: TransactionSet) -> Iterator[EligibilityRequest]:
    """The inquiries of one 270 set: one per person with an EQ."""
    notes = Notes(current)
    at_hand = _Hierarchy()
    component, again = current.delimiters.component, current.delimiters.repetition
    draft: dict[str, Any] = {}

    def finish() -> EligibilityRequest | None:
        if not draft.get("asked"):
            draft.clear()
            return None
        request = EligibilityRequest(
            payer=built(at_hand.payer) or Party("PR"),
            provider=built(at_hand.provider) or Party("1P"),
            subscriber=built(at_hand.subscriber) or Party("IL"),
            trace=draft.get("trace", ""),
            trace_origin=draft.get("trace_origin", ""),
            dependent=built(at_hand.dependent),
            relationship=at_hand.relationship,
            service_types=tuple(draft.get("types", ())),
            procedure=draft.get("procedure"),
            date_from=draft.get("from"),
            date_to=draft.get("to"),
            reference=at_hand.reference,
            origin=current.origin,
            position=draft.get("position", 0),
            findings=notes.take(),
        )
        draft.clear()
        return request

    for segment in current:
        tag = segment[0]
        if tag == "HL":
            if (done := finish()) is not None:
                yield done
            at_hand.open(segment)
            draft["position"] = current.position
        elif tag == "BHT":
            at_hand.reference = at(segment, 3)
        elif tag == "NM1":
            at_hand.name(segment)
        elif tag == "TRN":
            draft.setdefault("trace", at(segment, 2))
            draft.setdefault("trace_origin", at(segment, 3))
        elif tag == "EQ":
            draft["asked"] = True
            text = at(segment, 1)
            types = draft.setdefault("types", [])
            types.extend(code for code in (text.split(again) if again else [text]) if code)
            if at(segment, 2) and "procedure" not in draft:
                draft["procedure"] = procedure(at(segment, 2), component)
        elif tag == "DTP":
            item = notes.period(segment, "DTP")
            draft.setdefault("from", item.start)
            draft.setdefault("to", item.end if item.end != item.start else None)
        elif not at_hand.take(segment, tag) and tag not in _QUIET:
            notes.unknown(segment, at_hand.level or "header")
    if (done := finish()) is not None:
        yield done


# --- 271 ------------------------------------------------------------------------------------------


class _Answer:
    """One person's part of a 271 while it is being read."""

    __slots__ = ("benefits", "dates", "position", "rejections", "traces")

    def __init__(self, position: int) -> None:
        self.position = position
        self.traces: list[Trace] = []
        self.dates: list[DatePeriod] = []
        self.rejections: list[Rejection] = []
        self.benefits: list[Benefit] = []


class _Eb:
    """One EB loop while it is being read."""

    __slots__ = (
        "dates",
        "delivery",
        "messages",
        "parties",
        "party",
        "position",
        "refs",
        "rejections",
        "segment",
    )

    def __init__(self, segment: Segment, position: int) -> None:
        self.segment = segment
        self.position = position
        self.delivery: list[tuple[str, ...]] = []
        self.dates: list[DatePeriod] = []
        self.refs: list[Reference] = []
        self.messages: list[str] = []
        self.rejections: list[Rejection] = []
        self.parties: list[PartyBuilder] = []
        self.party: PartyBuilder | None = None

    def take(self, segment: Segment, tag: str, notes: Notes, position: int) -> bool:
        """True when ``segment`` belongs to the benefit."""
        if tag == "MSG":
            self.messages.append(at(segment, 1))
        elif tag == "HSD":
            self.delivery.append(tuple(segment[1:]))
        elif tag == "DTP":
            self.dates.append(notes.period(segment, "DTP"))
        elif tag == "AAA":
            self.rejections.append(rejection(segment, "benefit", position))
        elif tag in ("LS", "LE"):
            self.party = None
        elif tag == "NM1":
            self.party = PartyBuilder(segment)
            self.parties.append(self.party)
        elif self.party is not None and self.party.take(segment):
            pass
        elif tag == "REF":
            self.refs.append(reference(segment))
        else:
            return False
        return True

    def build(self, notes: Notes, component: str, again: str) -> Benefit:
        eb = self.segment
        types = at(eb, 3)
        return Benefit(
            code=at(eb, 1),
            coverage_level=at(eb, 2),
            service_types=tuple(
                [code for code in (types.split(again) if again else [types]) if code]
            ),
            insurance_type=at(eb, 4),
            plan=at(eb, 5),
            time_period=at(eb, 6),
            amount=notes.optional_money(at(eb, 7), "EB07"),
            percent=notes.number(at(eb, 8), "EB08"),
            quantity_qualifier=at(eb, 9),
            quantity=notes.number(at(eb, 10), "EB10"),
            authorization=at(eb, 11),
            in_network=at(eb, 12),
            procedure=benefit_procedure(at(eb, 13), component),
            delivery=tuple(self.delivery),
            dates=tuple(self.dates),
            refs=tuple(self.refs),
            messages=tuple(self.messages),
            rejections=tuple(self.rejections),
            parties=tuple([builder.build() for builder in self.parties]),
            position=self.position,
        )


def benefit_procedure(text: str, component: str) -> Procedure | None:
    return procedure(text, component) if text else None


def read_271_set(current: TransactionSet) -> Iterator[EligibilityResponse]:
    """The answers of one 271 set."""
    notes = Notes(current)
    at_hand = _Hierarchy()
    component, again = current.delimiters.component, current.delimiters.repetition
    above: dict[str, list[Rejection]] = {"source": [], "receiver": [], "subscriber": []}
    answer: _Answer | None = None
    eb: _Eb | None = None
    any_answer = False

    def build(what: _Answer | None, own_level: str) -> EligibilityResponse:
        rejections = [*above["source"], *above["receiver"]]
        if own_level == "dependent":
            rejections += above["subscriber"]
        return EligibilityResponse(
            payer=built(at_hand.payer),
            provider=built(at_hand.provider),
            subscriber=built(at_hand.subscriber),
            dependent=built(at_hand.dependent),
            relationship=at_hand.relationship,
            traces=tuple(what.traces) if what else (),
            dates=tuple(what.dates) if what else (),
            benefits=tuple(what.benefits) if what else (),
            rejections=(*rejections, *(what.rejections if what else ())),
            reference=at_hand.reference,
            origin=current.origin,
            position=what.position if what else current.start,
            findings=notes.take(),
        )

    for segment in current:
        tag = segment[0]
        if tag == "HL":
            if eb is not None and answer is not None:
                answer.benefits.append(eb.build(notes, component, again))
            eb = None
            opening = _LEVELS.get(at(segment, 3), "")
            # A subscriber whose dependent follows is only the way to the dependent, unless benefits
            # were given.
            if answer is not None:
                if opening == "dependent" and at_hand.level == "subscriber" and not answer.benefits:
                    above["subscriber"] = answer.rejections
                else:
                    any_answer = True
                    yield build(answer, at_hand.level)
                answer = None
            at_hand.open(segment)
            if opening in _ABOVE:
                for level in _ABOVE[_ABOVE.index(opening) :]:
                    above[level] = []
            if opening in ("subscriber", "dependent"):
                answer = _Answer(current.position)
        elif tag == "EB":
            if answer is None:
                notes.unknown(segment, at_hand.level or "header")
                continue
            if eb is not None:
                answer.benefits.append(eb.build(notes, component, again))
            eb = _Eb(segment, current.position)
        elif eb is not None and eb.take(segment, tag, notes, current.position):
            pass
        elif tag == "BHT":
            at_hand.reference = at(segment, 3)
        elif tag == "NM1":
            at_hand.name(segment)
        elif tag == "AAA":
            found = rejection(segment, at_hand.level, current.position)
            if answer is not None:
                answer.rejections.append(found)
            else:
                above.setdefault(at_hand.level, []).append(found)
        elif tag == "TRN":
            if answer is not None:
                answer.traces.append(trace(segment))
        elif tag == "DTP":
            if answer is not None:
                answer.dates.append(notes.period(segment, "DTP"))
        elif not at_hand.take(segment, tag) and tag not in _QUIET:
            notes.unknown(segment, at_hand.level or "header")
    if eb is not None and answer is not None:
        answer.benefits.append(eb.build(notes, component, again))
    if answer is not None:
        any_answer = True
        yield build(answer, at_hand.level)
    if not any_answer:
        yield build(None, at_hand.level)
