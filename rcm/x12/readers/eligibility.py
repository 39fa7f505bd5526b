"""270 and 271 readers: who asks about whom, and what the payer says the coverage is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rcm.x12.document import Document, Segment, Source, TransactionSet
from rcm.x12.model import (
    Benefit,
    DatePeriod,
    EligibilityRequest,
    EligibilityResponse,
    Party,
    Reference,
    Rejection,
    Trace,
)
from rcm.x12.readers.common import (
    Levels,
    Loop,
    PartyBuilder,
    at,
    procedure,
    reference,
    sets_of,
)

_LEVELS = {"20": "source", "21": "receiver", "22": "subscriber", "23": "dependent"}
_ORDER = tuple(_LEVELS.values())
_DETAILS = ("REF", "N3", "N4", "PER", "DMG", "PRV")
_UNUSED = ("III", "MPI", "HI", "LE", "NX1", "CRC")


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


class _People(Levels):
    """Payer, provider, subscriber and dependent as the HL loops come by."""

    order = _ORDER
    levels = _LEVELS

    def __init__(self, current: TransactionSet, *, loop: Loop) -> None:
        super().__init__(current, loop=loop)
        self.component = current.delimiters.component
        self.repetition = current.delimiters.repetition

    def open_level(self, hl: Segment) -> None:
        super().open_level(hl)
        self.relationship = ""

    def repeated(self, text: str) -> list[str]:
        """The parts of an element that repeats."""
        parts = text.split(self.repetition) if self.repetition else [text]
        return [part for part in parts if part]


def rejection(segment: Segment, level: str, position: int) -> Rejection:
    return Rejection(at(segment, 1) == "Y", at(segment, 3), at(segment, 4), level, position)


def trace(segment: Segment) -> Trace:
    return Trace(at(segment, 2), at(segment, 3), at(segment, 1), at(segment, 4))


# --- 270 ------------------------------------------------------------------------------------------


class _Inquiries(_People):
    """The inquiries of a 270 set: one per person with an EQ."""

    def __init__(self, current: TransactionSet) -> None:
        super().__init__(current, loop=_INQUIRY)
        self.draft: dict[str, Any] = {}
        self.types: list[str] | None = None  # None until an EQ asks

    def on_level(self, hl: Segment) -> EligibilityRequest | None:
        done = self.finish()
        self.open_level(hl)
        self.draft["position"] = self.current.position
        return done

    def on_trace(self, trn: Segment) -> None:
        self.draft.setdefault("trace", at(trn, 2))
        self.draft.setdefault("trace_origin", at(trn, 3))

    def on_question(self, eq: Segment) -> None:
        self.types = [*(self.types or ()), *self.repeated(at(eq, 1))]
        if at(eq, 2):
            self.draft.setdefault("procedure", procedure(at(eq, 2), self.component))

    def on_day(self, dtp: Segment) -> None:
        item = self.notes.period(dtp, "DTP")
        self.draft.setdefault("date_from", item.start)
        self.draft.setdefault("date_to", item.end if item.end != item.start else None)

    def finish(self) -> EligibilityRequest | None:
        (draft, types), self.draft, self.types = (self.draft, self.types), {}, None
        if types is None:
            return None
        return EligibilityRequest(
            payer=self.named("source") or Party("PR"),
            provider=self.named("receiver") or Party("1P"),
            subscriber=self.named("subscriber") or Party("IL"),
            dependent=self.named("dependent"),
            relationship=self.relationship,
            service_types=tuple(types),
            reference=self.reference,
            origin=self.current.origin,
            findings=self.notes.take(),
            **({"trace": ""} | draft),
        )


_INQUIRY: Loop = {
    "HL": _Inquiries.on_level,
    "BHT": _Inquiries.on_beginning,
    "NM1": _Inquiries.on_name,
    "INS": _Inquiries.on_insured,
    "TRN": _Inquiries.on_trace,
    "EQ": _Inquiries.on_question,
    "DTP": _Inquiries.on_day,
    **dict.fromkeys(_DETAILS, _Inquiries.on_detail),
    **dict.fromkeys(_UNUSED, _Inquiries.on_quiet),
}


def read_270_set(current: TransactionSet) -> Iterator[EligibilityRequest]:
    """The inquiries of one 270 set: one per person with an EQ."""
    reader = _Inquiries(current)
    yield from reader.read(current)
    if (last := reader.finish()) is not None:
        yield last


# --- 271 ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Answer:
    """One person's part of a 271 while it is being read."""

    position: int
    traces: list[Trace] = field(default_factory=list)
    dates: list[DatePeriod] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    benefits: list[Benefit] = field(default_factory=list)


@dataclass(slots=True)
class _Eb:
    """One EB loop while it is being read."""

    segment: Segment
    position: int
    delivery: list[tuple[str, ...]] = field(default_factory=list)
    dates: list[DatePeriod] = field(default_factory=list)
    refs: list[Reference] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    parties: list[PartyBuilder] = field(default_factory=list)
    party: PartyBuilder | None = None


class _Answers(_People):
    """The answers of a 271 set: one per person, or one that says why nobody was looked up."""

    def __init__(self, current: TransactionSet) -> None:
        super().__init__(current, loop=_LEVEL)
        self.above: dict[str, list[Rejection]] = {}
        self.answer: _Answer | None = None
        self.open_benefit: _Eb | None = None
        self.benefit: _Eb
        self.any_answer = False

    # -- a person begins and ends ------------------------------------------------------------------

    def on_level(self, hl: Segment) -> EligibilityResponse | None:
        self.close_benefit()
        done = self.close_answer(opening=_LEVELS.get(at(hl, 3), ""))
        self.open_level(hl)
        for level in self.from_here():
            if self.level != "dependent":
                self.above.pop(level, None)
        if self.level in ("subscriber", "dependent"):
            self.answer = _Answer(self.current.position)
        return done

    def close_answer(self, *, opening: str) -> EligibilityResponse | None:
        """A subscriber whose dependent follows is only the way to the dependent, unless benefits
        were given.
        """
        answer, self.answer = self.answer, None
        if answer is None:
            return None
        on_the_way = opening == "dependent" and self.level == "subscriber"
        if on_the_way and not answer.benefits:
            self.above["subscriber"] = answer.rejections
            return None
        return self.built_answer(answer)

    def finish(self) -> EligibilityResponse | None:
        self.close_benefit()
        if self.answer is None and self.any_answer:
            return None
        return self.built_answer(self.answer or _Answer(self.current.start))

    # -- at a level --------------------------------------------------------------------------------

    def on_rejection(self, aaa: Segment) -> None:
        found = rejection(aaa, self.level, self.current.position)
        if self.answer is not None:
            self.answer.rejections.append(found)
            return
        self.above.setdefault(self.level, []).append(found)

    def on_trace(self, trn: Segment) -> None:
        if self.answer is not None:
            self.answer.traces.append(trace(trn))

    def on_day(self, dtp: Segment) -> None:
        if self.answer is not None:
            self.answer.dates.append(self.notes.period(dtp, "DTP"))

    # -- under a benefit ---------------------------------------------------------------------------

    def on_benefit(self, eb: Segment) -> None:
        if self.answer is None:
            self.on_unknown(eb)
            return
        self.close_benefit()
        self.benefit = self.open_benefit = _Eb(eb, self.current.position)
        self.loop = _BENEFIT

    def close_benefit(self) -> None:
        found, self.open_benefit = self.open_benefit, None
        self.loop = _LEVEL
        if found is not None and self.answer is not None:
            self.answer.benefits.append(self.built_benefit(found))

    def on_message(self, msg: Segment) -> None:
        self.benefit.messages.append(at(msg, 1))

    def on_delivery(self, hsd: Segment) -> None:
        self.benefit.delivery.append(tuple(hsd[1:]))

    def on_benefit_day(self, dtp: Segment) -> None:
        self.benefit.dates.append(self.notes.period(dtp, "DTP"))

    def on_benefit_rejection(self, aaa: Segment) -> None:
        self.benefit.rejections.append(rejection(aaa, "benefit", self.current.position))

    def on_bracket(self, segment: Segment) -> None:
        """LS and LE stand around the parties of a benefit."""
        self.benefit.party = None

    def on_benefit_party(self, nm1: Segment) -> None:
        self.benefit.party = PartyBuilder(nm1)
        self.benefit.parties.append(self.benefit.party)

    def on_benefit_detail(self, segment: Segment) -> None:
        if self.benefit.party is not None:
            self.benefit.party.take(segment)
        elif segment[0] == "REF":
            self.benefit.refs.append(reference(segment))
        else:
            self.on_detail(segment)

    # -- what has been read ------------------------------------------------------------------------

    def built_benefit(self, found: _Eb) -> Benefit:
        eb, notes = found.segment, self.notes
        return Benefit(
            code=at(eb, 1),
            coverage_level=at(eb, 2),
            service_types=tuple(self.repeated(at(eb, 3))),
            insurance_type=at(eb, 4),
            plan=at(eb, 5),
            time_period=at(eb, 6),
            amount=notes.optional_money(at(eb, 7), "EB07"),
            percent=notes.number(at(eb, 8), "EB08"),
            quantity_qualifier=at(eb, 9),
            quantity=notes.number(at(eb, 10), "EB10"),
            authorization=at(eb, 11),
            in_network=at(eb, 12),
            procedure=procedure(at(eb, 13), self.component) if at(eb, 13) else None,
            delivery=tuple(found.delivery),
            dates=tuple(found.dates),
            refs=tuple(found.refs),
            messages=tuple(found.messages),
            rejections=tuple(found.rejections),
            parties=tuple([builder.build() for builder in found.parties]),
            position=found.position,
        )

    def built_answer(self, what: _Answer) -> EligibilityResponse:
        self.any_answer = True
        levels = ("source", "receiver", "subscriber")[: 3 if self.level == "dependent" else 2]
        above = [found for level in levels for found in self.above.get(level, ())]
        return EligibilityResponse(
            payer=self.named("source"),
            provider=self.named("receiver"),
            subscriber=self.named("subscriber"),
            dependent=self.named("dependent"),
            relationship=self.relationship,
            traces=tuple(what.traces),
            dates=tuple(what.dates),
            benefits=tuple(what.benefits),
            rejections=(*above, *what.rejections),
            reference=self.reference,
            origin=self.current.origin,
            position=what.position,
            findings=self.notes.take(),
        )


_LEVEL: Loop = {
    "HL": _Answers.on_level,
    "BHT": _Answers.on_beginning,
    "NM1": _Answers.on_name,
    "INS": _Answers.on_insured,
    "AAA": _Answers.on_rejection,
    "TRN": _Answers.on_trace,
    "DTP": _Answers.on_day,
    "EB": _Answers.on_benefit,
    **dict.fromkeys(_DETAILS, _Answers.on_detail),
    **dict.fromkeys(_UNUSED, _Answers.on_quiet),
}
_BENEFIT: Loop = _LEVEL | {
    "MSG": _Answers.on_message,
    "HSD": _Answers.on_delivery,
    "DTP": _Answers.on_benefit_day,
    "AAA": _Answers.on_benefit_rejection,
    "LS": _Answers.on_bracket,
    "LE": _Answers.on_bracket,
    "NM1": _Answers.on_benefit_party,
    **dict.fromkeys(_DETAILS, _Answers.on_benefit_detail),
}


def read_271_set(current: TransactionSet) -> Iterator[EligibilityResponse]:
    """The answers of one 271 set."""
    reader = _Answers(current)
    yield from reader.read(current)
    if (last := reader.finish()) is not None:
        yield last
