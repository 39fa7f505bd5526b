"""276, 277 and 277CA readers: what became of a claim (rule `acknowledgement-chain`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar

from rcm.x12 import values
from rcm.x12.document import Document, Segment, Source, TransactionSet
from rcm.x12.model import (
    ZERO,
    ClaimStatus,
    DatePeriod,
    LineStatus,
    Money,
    Party,
    Quantity,
    Reference,
    StatusCode,
    StatusInfo,
    StatusRequest,
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

_LEVELS = {
    "20": "source",
    "21": "receiver",
    "19": "provider",
    "22": "claim",
    "23": "claim",
    "PT": "claim",
}
_QUIET = ("PWK", "TOO")


def read_277(source: Source | Document) -> Iterator[ClaimStatus]:
    """Each traced item of the file's 277 and 277CA sets, from the whole batch down to the claim.

    Ask ``status.origin.kind`` which of the two it was, and ``status.level`` how far down it stands.
    Raises ``NotX12`` or ``WrongSet`` and nothing else.
    """
    for current in sets_of(source, "277"):
        yield from read_277_set(current)


read_277ca = read_277


def read_276(source: Source | Document) -> Iterator[StatusRequest]:
    """Each inquiry of the file's 276 sets. Raises ``NotX12`` or ``WrongSet`` and nothing else."""
    for current in sets_of(source, "276"):
        yield from read_276_set(current)


def status_info(segment: Segment, notes: Notes, component: str) -> StatusInfo:
    """One STC: up to three code composites (STC01, 10, 11)."""
    codes = []
    for place in (1, 10, 11):
        text = at(segment, place)
        if text:
            parts = text.split(component)
            codes.append(
                StatusCode(
                    parts[0], parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else ""
                )
            )
    return StatusInfo(
        codes=tuple(codes),
        effective=notes.day(at(segment, 2), "STC02"),
        action=at(segment, 3),
        charge=notes.optional_money(at(segment, 4), "STC04"),
        paid=notes.optional_money(at(segment, 5), "STC05"),
        paid_date=notes.day(at(segment, 6), "STC06"),
        method=at(segment, 7),
        check_date=notes.day(at(segment, 8), "STC08"),
        check_number=at(segment, 9),
        message=at(segment, 12),
    )


@dataclass(slots=True)
class _Traced:
    """One TRN with what follows it."""

    trn: Segment
    position: int
    statuses: list[StatusInfo] = field(default_factory=list)
    refs: list[Reference] = field(default_factory=list)
    dates: list[DatePeriod] = field(default_factory=list)
    service: DatePeriod | None = None
    amounts: list[Money] = field(default_factory=list)
    quantities: list[Quantity] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)


def _line(found: dict[str, Any]) -> LineStatus:
    return LineStatus(statuses=tuple(found.pop("statuses")), **found)


_NUMBERS = {"1K": "payer_control", "BLT": "bill_type", "EJ": "claim_id"}


class _Levels(Levels):
    """The levels by their codes; a patient's own (PT) stands for the subscriber's."""

    order = ("20", "21", "19", "22", "23")
    levels: ClassVar[Mapping[str, str]] = {code: code for code in order} | {"PT": "22"}


# --- 277 and 277CA --------------------------------------------------------------------------------


class _Answers(_Levels):
    """The traced items of a 277 or 277CA set."""

    def __init__(self, current: TransactionSet) -> None:
        super().__init__(current, loop=_ABOVE_TRACE)
        self.component = current.delimiters.component
        self.place = ""  # how far down an item stands: the word of its level
        self.open_trace: _Traced | None = None
        self.traced: _Traced

    # -- above a trace -----------------------------------------------------------------------------

    def on_level(self, hl: Segment) -> ClaimStatus | None:
        done = self.finish()
        self.open_level(hl)
        self.place = _LEVELS.get(at(hl, 3), "")
        return done

    def on_name(self, nm1: Segment) -> None:
        self.party = PartyBuilder(nm1)
        self.parties.setdefault(self.level, self.party)

    def on_trace(self, trn: Segment) -> ClaimStatus | None:
        done = self.finish()
        self.begin(trn)
        return done

    def on_status_without_trace(self, stc: Segment) -> None:
        self.begin(["TRN"])
        self.on_status(stc)

    def on_unknown(self, segment: Segment) -> None:
        self.notes.unknown(segment, self.place or "header")

    # -- under a trace -----------------------------------------------------------------------------

    def begin(self, trn: Segment) -> None:
        self.traced = self.open_trace = _Traced(trn, self.current.position)
        self.loop = _TRACE

    def on_status(self, stc: Segment) -> None:
        info = status_info(stc, self.notes, self.component)
        lines = self.traced.lines
        (lines[-1]["statuses"] if lines else self.traced.statuses).append(info)

    def on_line(self, svc: Segment) -> None:
        self.traced.lines.append(
            {
                "procedure": procedure(at(svc, 1), self.component),
                "charge": self.notes.money(at(svc, 2), "SVC02"),
                "paid": self.notes.optional_money(at(svc, 3), "SVC03"),
                "units": self.notes.number(at(svc, 7) or at(svc, 5), "SVC07"),
                "statuses": [],
            }
        )

    def on_reference(self, ref: Segment) -> None:
        if self.traced.lines and at(ref, 1) == "FJ":
            self.traced.lines[-1]["line_control"] = at(ref, 2)
            return
        self.traced.refs.append(reference(ref))

    def on_day(self, dtp: Segment) -> None:
        item = self.notes.period(dtp, "DTP")
        traced = self.traced
        if item.qualifier == "472" and traced.lines:
            traced.lines[-1]["service_from"] = item.start
            traced.lines[-1]["service_to"] = _different(item.start, item.end)
        elif item.qualifier == "472" and traced.service is None:
            traced.service = item
        else:
            traced.dates.append(item)

    def on_amount(self, amt: Segment) -> None:
        self.traced.amounts.append(Money(at(amt, 1), self.notes.money(at(amt, 2), "AMT02")))

    def on_quantity(self, qty: Segment) -> None:
        number = self.notes.number(at(qty, 2), "QTY02") or ZERO
        self.traced.quantities.append(Quantity(at(qty, 1), number))

    # -- what has been read ------------------------------------------------------------------------

    def finish(self) -> ClaimStatus | None:
        what, self.open_trace = self.open_trace, None
        self.loop = _ABOVE_TRACE
        if what is None:
            return None
        trace = at(what.trn, 2)
        numbers, refs = _own_numbers(what.refs)
        if self.current.origin.kind == "277CA" and self.place == "claim":
            numbers.setdefault("claim_id", trace)
        service = what.service or DatePeriod("")
        return ClaimStatus(
            level=self.place,
            trace=trace,
            trace_kind=at(what.trn, 1),
            statuses=tuple(what.statuses),
            payer=self.named("20"),
            receiver=self.named("21"),
            provider=self.named("19"),
            subscriber=self.named("22"),
            dependent=self.named("23"),
            refs=tuple(refs),
            service_from=service.start,
            service_to=_different(service.start, service.end),
            dates=tuple(what.dates),
            amounts=tuple(what.amounts),
            quantities=tuple(what.quantities),
            lines=tuple([_line(found) for found in what.lines]),
            reference=self.reference,
            origin=self.current.origin,
            position=what.position,
            findings=self.notes.take(),
            **numbers,
        )


_ABOVE_TRACE: Loop = {
    "HL": _Answers.on_level,
    "NM1": _Answers.on_name,
    "TRN": _Answers.on_trace,
    "BHT": _Answers.on_beginning,
    "STC": _Answers.on_status_without_trace,
    "REF": _Answers.on_party_reference,
    "PRV": _Answers.on_party_reference,
    **dict.fromkeys(("N3", "N4", "PER", "DMG"), _Answers.on_detail),
    **dict.fromkeys(_QUIET, _Answers.on_quiet),
}
_TRACE: Loop = {
    "HL": _Answers.on_level,
    "NM1": _Answers.on_name,
    "TRN": _Answers.on_trace,
    "BHT": _Answers.on_beginning,
    "STC": _Answers.on_status,
    "SVC": _Answers.on_line,
    "REF": _Answers.on_reference,
    "DTP": _Answers.on_day,
    "AMT": _Answers.on_amount,
    "QTY": _Answers.on_quantity,
    **dict.fromkeys(("N3", "N4", "PER", "DMG", *_QUIET), _Answers.on_quiet),
}


def read_277_set(current: TransactionSet) -> Iterator[ClaimStatus]:
    """The traced items of one 277 or 277CA set."""
    reader = _Answers(current)
    yield from reader.read(current)
    if (last := reader.finish()) is not None:
        yield last


def _own_numbers(refs: list[Reference]) -> tuple[dict[str, str], list[Reference]]:
    """The numbers that have a field of their own, the first of each, and the other references."""
    numbers: dict[str, str] = {}
    others: list[Reference] = []
    for ref in refs:
        name = _NUMBERS.get(ref.qualifier)
        if name and name not in numbers:
            numbers[name] = ref.value
        else:
            others.append(ref)
    return numbers, others


# --- 276 ------------------------------------------------------------------------------------------


class _Inquiries(_Levels):
    """The inquiries of a 276 set: one per TRN."""

    def __init__(self, current: TransactionSet) -> None:
        super().__init__(current, loop=_ABOVE_INQUIRY)
        self.demographics: Segment | None = None
        self.draft: dict[str, Any] = {}

    def on_level(self, hl: Segment) -> StatusRequest | None:
        done = self.finish()
        self.open_level(hl)
        self.demographics = None
        return done

    def on_name(self, nm1: Segment) -> None:
        super().on_name(nm1)
        if self.demographics is not None:
            self.on_detail(self.demographics)

    def on_demographics(self, dmg: Segment) -> None:
        """The date of birth stands before the name here."""
        self.demographics = dmg
        self.on_detail(dmg)

    def on_trace(self, trn: Segment) -> StatusRequest | None:
        done = self.finish()
        self.draft = {"trace": at(trn, 2), "position": self.current.position}
        self.loop = _INQUIRY
        return done

    def on_unknown(self, segment: Segment) -> None:
        self.notes.unknown(segment, "claim" if self.draft else "header")

    def on_reference(self, ref: Segment) -> None:
        name = _NUMBERS.get(at(ref, 1))
        if name:
            self.draft[name] = at(ref, 2)

    def on_amount(self, amt: Segment) -> None:
        self.draft["charge"] = self.notes.optional_money(at(amt, 2), "AMT02")

    def on_day(self, dtp: Segment) -> None:
        start, end = values.period(at(dtp, 3))
        if at(dtp, 1) in ("472", "232"):
            self.draft |= {"service_from": start, "service_to": _different(start, end)}

    def finish(self) -> StatusRequest | None:
        found, self.draft = self.draft, {}
        self.loop = _ABOVE_INQUIRY
        if not found:
            return None
        return StatusRequest(
            payer=self.named("20") or Party("PR"),
            receiver=self.named("21") or Party("41"),
            provider=self.named("19") or Party("1P"),
            subscriber=self.named("22") or Party("IL"),
            dependent=self.named("23"),
            reference=self.reference,
            origin=self.current.origin,
            findings=self.notes.take(),
            **found,
        )


_ABOVE_INQUIRY: Loop = {
    "HL": _Inquiries.on_level,
    "NM1": _Inquiries.on_name,
    "DMG": _Inquiries.on_demographics,
    "TRN": _Inquiries.on_trace,
    "BHT": _Inquiries.on_beginning,
    "REF": _Inquiries.on_party_reference,
    "PRV": _Inquiries.on_party_reference,
    **dict.fromkeys(("N3", "N4", "PER"), _Inquiries.on_detail),
    **dict.fromkeys(_QUIET, _Inquiries.on_quiet),
}
_INQUIRY: Loop = {
    "HL": _Inquiries.on_level,
    "NM1": _Inquiries.on_name,
    "DMG": _Inquiries.on_demographics,
    "TRN": _Inquiries.on_trace,
    "BHT": _Inquiries.on_beginning,
    "REF": _Inquiries.on_reference,
    "AMT": _Inquiries.on_amount,
    "DTP": _Inquiries.on_day,
    **dict.fromkeys(("SVC", "N3", "N4", "PER", *_QUIET), _Inquiries.on_quiet),
}


def read_276_set(current: TransactionSet) -> Iterator[StatusRequest]:
    """The inquiries of one 276 set: one per TRN."""
    reader = _Inquiries(current)
    yield from reader.read(current)
    if (last := reader.finish()) is not None:
        yield last


def _different(start: date | None, end: date | None) -> date | None:
    return end if end != start else None
