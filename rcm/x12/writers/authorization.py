"""278 writers: the request for authorization, and the answer (the simulator's side)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rcm.x12.emit import Emitter, composite, procedure_text, repeated
from rcm.x12.model import (
    AuthorizationRequest,
    AuthorizationResponse,
    AuthorizationService,
    Decision,
    Envelope,
    Party,
    Rejection,
    Written,
)
from rcm.x12.values import day_text, money_text

GUIDE_278 = "005010X217"


def write_278_request(envelope: Envelope, requests: Iterable[AuthorizationRequest]) -> Written:
    """Each request as one set."""
    out = Emitter(envelope, "HI", GUIDE_278)
    for item in requests:
        out.context = f"authorization {item.trace}"
        out.begin("278")
        out.carries(item.trace)
        out.put(
            "BHT",
            "0007",
            "13",
            item.reference or item.trace,
            day_text(envelope.date),
            envelope.time,
        )
        hl = _people(
            out, item.payer, item.provider, item.subscriber, item.dependent, item.relationship, ()
        )
        out.put("HL", str(hl + 1), str(hl), "EV", "1" if item.services else "0")
        out.put("TRN", "1", item.trace, item.trace_origin)
        out.put(
            "UM",
            item.category,
            item.certification,
            item.service_type,
            composite(item.pos, item.pos_qualifier if item.pos else ""),
            item.related_cause,
            item.level_of_service,
            "",
            "",
            item.release,
        )
        out.ref("BB", item.previous_number)
        out.ref("NT", item.payer_control)
        out.refs(item.refs)
        out.dtp("AAH", item.event_from, item.event_to)
        out.dtp("435", item.admission)
        _event_rest(out, item)
        for number, service in enumerate(item.services, hl + 2):
            _service(out, service, number, hl + 1, "1")
        out.end()
    return out.written()


def write_278_response(envelope: Envelope, responses: Iterable[AuthorizationResponse]) -> Written:
    """Each answer as one set."""
    out = Emitter(envelope, "HI", GUIDE_278)
    for item in responses:
        out.context = f"authorization {item.trace}"
        out.begin("278")
        out.carries(item.trace)
        out.put(
            "BHT",
            "0007",
            "11",
            item.reference or item.trace,
            day_text(envelope.date),
            envelope.time,
            "18",
        )
        hl = _people(
            out, item.payer, item.provider, item.subscriber, item.dependent, "", item.rejections
        )
        event = (
            item.category
            or item.decision
            or item.traces
            or item.services
            or any(one.level == "event" for one in item.rejections)
        )
        if event:
            out.put("HL", str(hl + 1), str(hl), "EV", "1" if item.services else "0")
            for trace in item.traces:
                out.put("TRN", trace.kind, trace.number, trace.origin, trace.supplement)
            _rejections(out, item.rejections, "event")
            if item.category:
                out.put(
                    "UM",
                    item.category,
                    item.certification,
                    item.service_type,
                    composite(item.pos, item.pos_qualifier if item.pos else ""),
                    "",
                    item.level_of_service,
                )
            _hcr(out, item.decision)
            out.ref("BB", item.previous_number)
            out.ref("NT", item.payer_control)
            out.refs(item.refs)
            out.dtp("AAH", item.valid_from, item.valid_to)
            out.dtp("102", item.issued)
            out.dtp("036", item.expires)
            _event_rest(out, item)
            for number, service in enumerate(item.services, hl + 2):
                _service(out, service, number, hl + 1, "2")
        out.end()
    return out.written()


def _people(
    out: Emitter,
    payer: Party | None,
    provider: Party | None,
    subscriber: Party | None,
    dependent: Party | None,
    relationship: str,
    refused: tuple[Rejection, ...],
) -> int:
    """HL 20, 21, 22 and 23; the number of the last."""
    out.put("HL", "1", "", "20", "1")
    _rejections(out, refused, "source")
    if payer is not None:
        out.nm1(payer, "X3")
        for contact in payer.contacts[:1]:
            out.per(contact)
    hl = 1
    if provider is not None:
        hl += 1
        out.put("HL", str(hl), str(hl - 1), "21", "1")
        _party(out, provider, provider.entity or "1P")
        _rejections(out, refused, "receiver")
    if subscriber is not None:
        hl += 1
        out.put("HL", str(hl), str(hl - 1), "22", "1")
        _party(out, subscriber, "IL", refused, "subscriber")
    if dependent is not None:
        hl += 1
        out.put("HL", str(hl), str(hl - 1), "23", "1")
        _party(out, dependent, "QC", refused, "dependent")
        if relationship:
            out.put("INS", "N", relationship)
    return hl


def _party(
    out: Emitter, party: Party, entity: str, refused: tuple[Rejection, ...] = (), level: str = ""
) -> None:
    out.nm1(party, entity)
    out.refs(party.refs)
    out.n3_n4(party)
    for contact in party.contacts[:1]:
        out.per(contact)
    _rejections(out, refused, level)
    if party.taxonomy:
        out.put("PRV", party.provider_role or "PE", "PXC", party.taxonomy)
    out.dmg(party)


def _event_rest(out: Emitter, item: Any) -> None:
    for period in item.dates:
        out.dtp(period.qualifier, period.start, period.end)
    if item.diagnoses:
        out.put("HI", *[composite(one.qualifier, one.code) for one in item.diagnoses[:12]])
    for quantity in item.quantities:
        out.put("HSD", *quantity)
    for one in item.attachments:
        out.put(
            "PWK",
            one.report_type,
            one.transmission,
            "",
            "",
            "AC" if one.control else "",
            one.control,
        )
    for message in item.messages:
        out.put("MSG", message[:264])
    for party in item.providers:
        _party(out, party, party.entity)


def _service(
    out: Emitter, service: AuthorizationService, number: int, parent: int, trace_kind: str
) -> None:
    out.put("HL", str(number), str(parent), "SS", "0")
    if service.trace:
        out.put("TRN", trace_kind, service.trace)
    _rejections(out, service.rejections, "service")
    if service.category:
        out.put("UM", service.category, "I", service.service_type)
    _hcr(out, service.decision)
    out.refs(service.refs)
    out.dtp("472", service.service_from, service.service_to)
    for period in service.dates:
        out.dtp(period.qualifier, period.start, period.end)
    if service.procedure.code or service.revenue_code:
        tail = (
            procedure_text(service.procedure),
            money_text(service.charge),
            service.unit,
            money_text(service.units),
        )
        if service.revenue_code:
            out.put("SV2", service.revenue_code, *tail)
        else:
            out.put("SV1", *tail)
    for quantity in service.quantities:
        out.put("HSD", *quantity)
    for message in service.messages:
        out.put("MSG", message[:264])
    for party in service.providers:
        _party(out, party, party.entity)


def _hcr(out: Emitter, decision: Decision | None) -> None:
    if decision is not None:
        out.put(
            "HCR",
            decision.action,
            decision.number,
            repeated(decision.reasons),
            decision.second_opinion,
        )


def _rejections(out: Emitter, refused: tuple[Rejection, ...], level: str) -> None:
    for one in refused:
        if one.level == level:
            out.put("AAA", "Y" if one.valid else "N", "", one.reason, one.follow_up)
