"""276 writer, and the 277 and 277CA that answer (the simulator's side)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from rcm.x12.emit import Emitter, composite, procedure_text
from rcm.x12.model import (
    ZERO,
    ClaimStatus,
    Envelope,
    Party,
    StatusCode,
    StatusInfo,
    StatusRequest,
    Written,
)
from rcm.x12.values import day_text, money_text

GUIDE_276 = "005010X212"
GUIDE_277CA = "005010X214"


def write_276(
    envelope: Envelope, requests: Iterable[StatusRequest], *, reference: str = ""
) -> Written:
    """Inquiries as one set, grouped by payer, receiver and provider."""
    asked = list(requests)
    out = Emitter(envelope, "HR", GUIDE_276)
    out.begin("276")
    name = reference or next(
        (item.reference for item in asked if item.reference), str(envelope.control)
    )
    out.put("BHT", "0010", "13", name, day_text(envelope.date), envelope.time)
    hl = 0
    groups: dict[tuple[Party, Party, Party], list[StatusRequest]] = {}
    for item in asked:
        groups.setdefault((item.payer, item.receiver, item.provider), []).append(item)
    for (payer, receiver, provider), items in groups.items():
        hl = _above(out, hl, payer, receiver, provider, "1P")
        provider_hl = hl
        for item in items:
            out.context = f"inquiry {item.trace}"
            out.carries(item.trace)
            hl += 1
            out.put("HL", str(hl), str(provider_hl), "22", "1" if item.dependent else "0")
            if item.dependent is None:
                out.dmg(item.subscriber)
            out.nm1(item.subscriber, "IL")
            if item.dependent is not None:
                hl += 1
                out.put("HL", str(hl), str(hl - 1), "23")
                out.dmg(item.dependent)
                out.nm1(item.dependent, "QC")
            out.put("TRN", "1", item.trace)
            out.ref("1K", item.payer_control)
            out.ref("BLT", item.bill_type)
            out.ref("EJ", item.claim_id)
            if item.charge is not None:
                out.put("AMT", "T3", money_text(item.charge))
            _service_period(out, item.service_from, item.service_to)
    out.end()
    return out.written()


def _above(
    out: Emitter, hl: int, payer: Party, receiver: Party, provider: Party, provider_entity: str
) -> int:
    """HL 20, 21 and 19; the number of the last."""
    out.put("HL", str(hl + 1), "", "20", "1")
    out.nm1(payer, "PR")
    out.put("HL", str(hl + 2), str(hl + 1), "21", "1")
    out.nm1(receiver, "41")
    out.put("HL", str(hl + 3), str(hl + 2), "19", "1")
    out.nm1(provider, provider_entity)
    return hl + 3


def _service_period(out: Emitter, start: object, end: object) -> None:
    """A period even for one day, as these sets want it."""
    if start is not None:
        last = end or start
        out.put("DTP", "472", "RD8", f"{day_text(start)}-{day_text(last)}")  # type: ignore[arg-type]


def _stc(out: Emitter, info: StatusInfo) -> None:
    codes = [composite(code.category, code.status, code.entity) for code in info.codes[:3]]
    codes += [""] * (3 - len(codes))
    out.put(
        "STC",
        codes[0],
        day_text(info.effective),
        info.action,
        money_text(info.charge),
        money_text(info.paid),
        day_text(info.paid_date),
        info.method,
        day_text(info.check_date),
        info.check_number,
        codes[1],
        codes[2],
        info.message,
    )


def _details(out: Emitter, status: ClaimStatus, *, own_claim_ref: bool) -> None:
    """What stands under a TRN, after its STC."""
    for quantity in status.quantities:
        out.put("QTY", quantity.qualifier, money_text(quantity.quantity))
    for amount in status.amounts:
        out.put("AMT", amount.qualifier, money_text(amount.amount))
    out.ref("1K", status.payer_control)
    out.ref("BLT", status.bill_type)
    if own_claim_ref:
        out.ref("EJ", status.claim_id)
    out.refs(status.refs)
    _service_period(out, status.service_from, status.service_to)
    for period in status.dates:
        out.dtp(period.qualifier, period.start, period.end)
    for line in status.lines:
        out.put(
            "SVC",
            procedure_text(line.procedure),
            money_text(line.charge),
            money_text(line.paid),
            "",
            "",
            "",
            money_text(line.units),
        )
        for info in line.statuses:
            _stc(out, info)
        out.ref("FJ", line.line_control)
        _service_period(out, line.service_from, line.service_to)


def write_277(
    envelope: Envelope, statuses: Iterable[ClaimStatus], *, reference: str = ""
) -> Written:
    """Answers to a 276 as one set, grouped by payer, receiver and provider."""
    given = list(statuses)
    out = Emitter(envelope, "HN", GUIDE_276)
    out.begin("277")
    name = reference or next(
        (item.reference for item in given if item.reference), str(envelope.control)
    )
    out.put("BHT", "0010", "08", name, day_text(envelope.date), envelope.time, "DG")
    hl = 0
    groups: dict[tuple[Party, Party, Party], list[ClaimStatus]] = {}
    for item in given:
        key = (
            item.payer or Party("PR"),
            item.receiver or Party("41"),
            item.provider or Party("1P"),
        )
        groups.setdefault(key, []).append(item)
    for (payer, receiver, provider), items in groups.items():
        hl = _above(out, hl, payer, receiver, provider, "1P")
        provider_hl = hl
        for item in items:
            out.context = f"status {item.trace}"
            out.carries(item.trace)
            hl += 1
            out.put("HL", str(hl), str(provider_hl), "22", "1" if item.dependent else "0")
            out.nm1(item.subscriber or Party("IL"), "IL")
            if item.dependent is not None:
                hl += 1
                out.put("HL", str(hl), str(hl - 1), "23")
                out.nm1(item.dependent, "QC")
            out.put("TRN", item.trace_kind, item.trace)
            for info in item.statuses:
                _stc(out, info)
            _details(out, item, own_claim_ref=True)
    out.end()
    return out.written()


def write_277ca(
    envelope: Envelope,
    statuses: Iterable[ClaimStatus],
    *,
    reference: str = "",
    batch_trace: str = "",
) -> Written:
    """Acceptance or rejection claim by claim, as one set.

    ``statuses`` are those of claims, each with its payer, receiver and provider. The levels above
    are summed up from them: ``batch_trace`` is the BHT03 of the 837 that is answered.
    """
    given = [item for item in statuses if item.level == "claim"]
    out = Emitter(envelope, "HN", GUIDE_277CA)
    out.begin("277")
    name = reference or next(
        (item.reference for item in given if item.reference), str(envelope.control)
    )
    out.put("BHT", "0085", "08", name, day_text(envelope.date), envelope.time, "TH")
    hl = 0
    by_payer: dict[tuple[Party, Party], dict[Party, list[ClaimStatus]]] = {}
    for item in given:
        pair = (item.payer or Party("PR"), item.receiver or Party("41"))
        by_payer.setdefault(pair, {}).setdefault(item.provider or Party("85"), []).append(item)
    for (payer, receiver), providers in by_payer.items():
        everything = [item for items in providers.values() for item in items]
        hl += 1
        source_hl = hl
        out.put("HL", str(hl), "", "20", "1")
        out.nm1(payer, payer.entity or "PR")
        out.put("TRN", "1", name)
        out.put("DTP", "050", "D8", day_text(envelope.date))
        out.put("DTP", "009", "D8", day_text(envelope.date))
        hl += 1
        receiver_hl = hl
        out.put("HL", str(hl), str(source_hl), "21", "1")
        out.nm1(receiver, "41")
        out.put("TRN", "2", batch_trace or name)
        _sums(out, envelope, everything, "90", "AA", "YU", "YY", whole_batch=True)
        for provider, items in providers.items():
            hl += 1
            provider_hl = hl
            out.put("HL", str(hl), str(receiver_hl), "19", "1")
            out.nm1(provider, "85")
            out.put("TRN", "1", "0")
            _sums(out, envelope, items, "QA", "QC", "YU", "YY", whole_batch=False)
            for item in items:
                out.context = f"claim {item.trace}"
                out.carries(item.trace)
                hl += 1
                out.put("HL", str(hl), str(provider_hl), "PT")
                out.nm1(item.subscriber or Party("QC"), "QC")
                out.put("TRN", item.trace_kind, item.trace)
                for info in item.statuses:
                    _stc(out, info)
                _details(out, item, own_claim_ref=False)
    out.end()
    return out.written()


def _sums(
    out: Emitter,
    envelope: Envelope,
    items: list[ClaimStatus],
    taken: str,
    refused: str,
    yes: str,
    no: str,
    *,
    whole_batch: bool,
) -> None:
    """How many claims and dollars were taken in and how many refused."""
    accepted = [item for item in items if not item.rejected]
    rejected = [item for item in items if item.rejected]
    total = _charges(items)
    _stc(
        out,
        StatusInfo(
            (StatusCode("A1", "19", "PR") if whole_batch else StatusCode("A1", "19"),),
            envelope.date,
            "WQ",
            total,
        ),
    )
    for qualifier, group in ((taken, accepted), (refused, rejected)):
        if group:
            out.put("QTY", qualifier, str(len(group)))
    for qualifier, group in ((yes, accepted), (no, rejected)):
        if group:
            out.put("AMT", qualifier, money_text(_charges(group)))


def _charges(items: list[ClaimStatus]) -> Decimal:
    return sum((item.statuses[0].charge or ZERO for item in items if item.statuses), ZERO)
