"""276, 277 and 277CA readers: what became of a claim (rule `acknowledgement-chain`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

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
from rcm.x12.readers.common import Notes, PartyBuilder, at, procedure, reference, sets_of

_LEVELS = {
    "20": "source",
    "21": "receiver",
    "19": "provider",
    "22": "claim",
    "23": "claim",
    "PT": "claim",
}
_QUIET = frozenset(("BHT", "N3", "N4", "PER", "PWK", "TOO"))


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


class _Traced:
    """One TRN with what follows it."""

    __slots__ = (
        "amounts",
        "dates",
        "lines",
        "position",
        "quantities",
        "refs",
        "service",
        "statuses",
        "trn",
    )

    def __init__(self, trn: Segment, position: int) -> None:
        self.trn = trn
        self.position = position
        self.statuses: list[StatusInfo] = []
        self.refs: list[Reference] = []
        self.dates: list[DatePeriod] = []
        self.service: DatePeriod | None = None
        self.amounts: list[Money] = []
        self.quantities: list[Quantity] = []
        self.lines: list[dict[str, Any]] = []


def _line(found: dict[str, Any]) -> LineStatus:
    return LineStatus(statuses=tuple(found.pop("statuses")), **found)


def read_277_set(current: TransactionSet) -> Iterator[ClaimStatus]:
    """The traced items of one 277 or 277CA set."""
    notes = Notes(current)
    component = current.delimiters.component
    names_claim = current.origin.kind == "277CA"
    parties: dict[str, PartyBuilder | None] = {}
    code = level = reference_number = ""
    party: PartyBuilder | None = None
    traced: _Traced | None = None

    def finish() -> Iterator[ClaimStatus]:
        nonlocal traced
        if traced is None:
            return
        what, traced = traced, None
        trace = at(what.trn, 2)
        refs: list[Reference] = []
        own: dict[str, str] = {}
        for ref in what.refs:
            name = {"1K": "payer_control", "BLT": "bill_type", "EJ": "claim_id"}.get(ref.qualifier)
            if name and name not in own:
                own[name] = ref.value
            else:
                refs.append(ref)
        if names_claim and level == "claim":
            own.setdefault("claim_id", trace)
        service = what.service
        yield ClaimStatus(
            level=level,
            trace=trace,
            trace_kind=at(what.trn, 1),
            statuses=tuple(what.statuses),
            payer=_built(parties.get("20")),
            receiver=_built(parties.get("21")),
            provider=_built(parties.get("19")),
            subscriber=_built(parties.get("22")),
            dependent=_built(parties.get("23")),
            refs=tuple(refs),
            service_from=service.start if service else None,
            service_to=service.end if service and service.end != service.start else None,
            dates=tuple(what.dates),
            amounts=tuple(what.amounts),
            quantities=tuple(what.quantities),
            lines=tuple([_line(found) for found in what.lines]),
            reference=reference_number,
            origin=current.origin,
            position=what.position,
            findings=notes.take(),
            **own,
        )

    order = ("20", "21", "19", "22", "23")
    for segment in current:
        tag = segment[0]
        if tag == "HL":
            yield from finish()
            code = at(segment, 3)
            level = _LEVELS.get(code, "")
            slot = "22" if code == "PT" else code
            if slot in order:
                for below in order[order.index(slot) :]:
                    parties[below] = None
            party = None
        elif tag == "NM1":
            slot = "22" if code == "PT" else code
            party = PartyBuilder(segment)
            if parties.get(slot) is None:
                parties[slot] = party
        elif tag == "TRN":
            yield from finish()
            traced = _Traced(segment, current.position)
        elif tag == "BHT":
            reference_number = at(segment, 3)
        elif traced is None:
            if tag == "STC":
                traced = _Traced(["TRN"], current.position)
                traced.statuses.append(status_info(segment, notes, component))
            elif (
                not (party is not None and party.take(segment))
                and tag not in _QUIET
                and tag != "DMG"
            ):
                notes.unknown(segment, level or "header")
        elif tag == "STC":
            info = status_info(segment, notes, component)
            if traced.lines:
                traced.lines[-1]["statuses"].append(info)
            else:
                traced.statuses.append(info)
        elif tag == "SVC":
            traced.lines.append(
                {
                    "procedure": procedure(at(segment, 1), component),
                    "charge": notes.money(at(segment, 2), "SVC02"),
                    "paid": notes.optional_money(at(segment, 3), "SVC03"),
                    "units": notes.number(at(segment, 7) or at(segment, 5), "SVC07"),
                    "statuses": [],
                }
            )
        elif tag == "REF":
            if traced.lines and at(segment, 1) == "FJ":
                traced.lines[-1]["line_control"] = at(segment, 2)
            else:
                traced.refs.append(reference(segment))
        elif tag == "DTP":
            item = notes.period(segment, "DTP")
            if item.qualifier == "472" and traced.lines:
                traced.lines[-1]["service_from"] = item.start
                traced.lines[-1]["service_to"] = item.end if item.end != item.start else None
            elif item.qualifier == "472" and traced.service is None:
                traced.service = item
            else:
                traced.dates.append(item)
        elif tag == "AMT":
            traced.amounts.append(Money(at(segment, 1), notes.money(at(segment, 2), "AMT02")))
        elif tag == "QTY":
            traced.quantities.append(
                Quantity(at(segment, 1), notes.number(at(segment, 2), "QTY02") or ZERO)
            )
        elif tag not in _QUIET and tag != "DMG":
            notes.unknown(segment, level or "header")
    yield from finish()


def _built(builder: PartyBuilder | None) -> Party | None:
    return builder.build() if builder is not None else None


def read_276_set(current: TransactionSet) -> Iterator[StatusRequest]:
    """The inquiries of one 276 set: one per TRN."""
    notes = Notes(current)
    parties: dict[str, PartyBuilder | None] = {}
    demographics: Segment | None = None
    code = reference_number = ""
    party: PartyBuilder | None = None
    draft: dict[str, Any] | None = None

    def finish() -> StatusRequest | None:
        nonlocal draft
        if draft is None:
            return None
        found, draft = draft, None
        return StatusRequest(
            payer=_built(parties.get("20")) or Party("PR"),
            receiver=_built(parties.get("21")) or Party("41"),
            provider=_built(parties.get("19")) or Party("1P"),
            subscriber=_built(parties.get("22")) or Party("IL"),
            dependent=_built(parties.get("23")),
            reference=reference_number,
            origin=current.origin,
            findings=notes.take(),
            **found,
        )

    order = ("20", "21", "19", "22", "23")
    for segment in current:
        tag = segment[0]
        if tag == "HL":
            if (done := finish()) is not None:
                yield done
            code = at(segment, 3)
            if code in order:
                for below in order[order.index(code) :]:
                    parties[below] = None
            party = demographics = None
        elif tag == "NM1":
            party = PartyBuilder(segment)
            parties[code] = party
            if demographics is not None:
                party.take(demographics)
        elif tag == "DMG":
            # The date of birth stands before the name here.
            demographics = segment
            if party is not None:
                party.take(segment)
        elif tag == "TRN":
            if (done := finish()) is not None:
                yield done
            draft = {"trace": at(segment, 2), "position": current.position}
        elif tag == "BHT":
            reference_number = at(segment, 3)
        elif draft is None:
            if not (party is not None and party.take(segment)) and tag not in _QUIET:
                notes.unknown(segment, "header")
        elif tag == "REF":
            name = {"1K": "payer_control", "EJ": "claim_id", "BLT": "bill_type"}.get(at(segment, 1))
            if name:
                draft[name] = at(segment, 2)
        elif tag == "AMT":
            draft["charge"] = notes.optional_money(at(segment, 2), "AMT02")
        elif tag == "DTP":
            start, end = values.period(at(segment, 3))
            if at(segment, 1) in ("472", "232"):
                draft["service_from"], draft["service_to"] = start, _different(start, end)
        elif tag not in _QUIET and tag not in ("SVC", "DMG"):
            notes.unknown(segment, "claim")
    if (done := finish()) is not None:
        yield done


def _different(start: date | None, end: date | None) -> date | None:
    return end if end != start else None
