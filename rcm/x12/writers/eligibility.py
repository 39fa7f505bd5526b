"""270 writer, and the 271 that answers it (the simulator's side)."""

from __future__ import annotations

from collections.abc import Iterable

from rcm.x12.emit import Emitter, procedure_text, repeated
from rcm.x12.model import (
    Benefit,
    EligibilityRequest,
    EligibilityResponse,
    Envelope,
    Party,
    Rejection,
    Written,
)
from rcm.x12.values import day_text, money_text

GUIDE_270 = "005010X279A1"


def write_270(
    envelope: Envelope, requests: Iterable[EligibilityRequest], *, reference: str = ""
) -> Written:
    """Inquiries as one set, grouped by payer and provider. ``reference`` (BHT03) defaults to the
    first request's.
    """
    asked = list(requests)
    out = Emitter(envelope, "HS", GUIDE_270)
    out.begin("270")
    name = reference or next(
        (item.reference for item in asked if item.reference), str(envelope.control)
    )
    out.put("BHT", "0022", "13", name, day_text(envelope.date), envelope.time)
    hl = 0
    groups: dict[tuple[Party, Party], list[EligibilityRequest]] = {}
    for item in asked:
        groups.setdefault((item.payer, item.provider), []).append(item)
    for (payer, provider), items in groups.items():
        hl += 1
        payer_hl = hl
        out.put("HL", str(hl), "", "20", "1")
        out.nm1(payer, "PR")
        hl += 1
        provider_hl = hl
        out.put("HL", str(hl), str(payer_hl), "21", "1")
        _person(out, provider, provider.entity or "1P", "")
        for item in items:
            out.context = f"inquiry {item.trace}"
            out.carries(item.trace)
            hl += 1
            has_dependent = item.dependent is not None
            out.put("HL", str(hl), str(provider_hl), "22", "1" if has_dependent else "0")
            if item.dependent is None:
                out.put("TRN", "1", item.trace, item.trace_origin)
                _person(out, item.subscriber, "IL", "")
            else:
                _person(out, item.subscriber, "IL", "")
                hl += 1
                out.put("HL", str(hl), str(hl - 1), "23", "0")
                out.put("TRN", "1", item.trace, item.trace_origin)
                _person(out, item.dependent, "03", item.relationship)
            out.dtp("291", item.date_from, item.date_to)
            code = procedure_text(item.procedure) if item.procedure else ""
            if code:
                out.put("EQ", repeated(item.service_types), code)
            else:
                for kind in item.service_types:
                    out.put("EQ", kind)
    out.end()
    return out.written()


def _person(out: Emitter, party: Party, entity: str, relationship: str) -> None:
    out.nm1(party, entity)
    out.refs(party.refs)
    out.n3_n4(party)
    for contact in party.contacts[:1]:
        out.per(contact)
    if party.taxonomy:
        out.put("PRV", party.provider_role or "PE", "PXC", party.taxonomy)
    out.dmg(party)
    if relationship:
        out.put("INS", "N", relationship)


def write_271(
    envelope: Envelope, responses: Iterable[EligibilityResponse], *, reference: str = ""
) -> Written:
    """Answers as one set each, so that every answer carries its own BHT03."""
    out = Emitter(envelope, "HB", GUIDE_270)
    for response in responses:
        _answer(out, envelope, response, reference)
    return out.written()


def _answer(
    out: Emitter, envelope: Envelope, response: EligibilityResponse, reference: str
) -> None:
    out.begin("271")
    out.put(
        "BHT",
        "0022",
        "11",
        reference or response.reference or str(envelope.control),
        day_text(envelope.date),
        envelope.time,
    )
    for item in response.traces:
        out.carries(item.number)
    has_person = response.subscriber is not None
    refused = response.rejections
    out.put("HL", "1", "", "20", "1" if response.provider is not None else "0")
    _rejections(out, refused, "source")
    if response.payer is not None:
        out.nm1(response.payer, "PR")
        for contact in response.payer.contacts[:3]:
            out.per(contact)
    if response.provider is not None:
        out.put("HL", "2", "1", "21", "1" if has_person else "0")
        out.nm1(response.provider, response.provider.entity or "1P")
        out.refs(response.provider.refs)
        _rejections(out, refused, "receiver")
    if response.subscriber is not None:
        dependent = response.dependent
        out.put("HL", "3", "2", "22", "1" if dependent is not None else "0")
        if dependent is None:
            _traces(out, response)
        _answered_person(out, response.subscriber, "IL", "", refused, "subscriber")
        if dependent is not None:
            out.put("HL", "4", "3", "23", "0")
            _traces(out, response)
            _answered_person(out, dependent, "03", response.relationship, refused, "dependent")
        for period in response.dates:
            out.dtp(period.qualifier, period.start, period.end)
        for benefit in response.benefits:
            _benefit(out, benefit)
    out.end()


def _traces(out: Emitter, response: EligibilityResponse) -> None:
    for item in response.traces:
        out.put("TRN", item.kind, item.number, item.origin, item.supplement)


def _answered_person(
    out: Emitter,
    party: Party,
    entity: str,
    relationship: str,
    refused: tuple[Rejection, ...],
    level: str,
) -> None:
    out.nm1(party, entity)
    out.refs(party.refs)
    out.n3_n4(party)
    _rejections(out, refused, level)
    out.dmg(party)
    if relationship:
        out.put("INS", "N", relationship)


def _rejections(out: Emitter, refused: tuple[Rejection, ...], level: str) -> None:
    for item in refused:
        if item.level == level:
            out.put("AAA", "Y" if item.valid else "N", "", item.reason, item.follow_up)


def _benefit(out: Emitter, benefit: Benefit) -> None:
    out.put(
        "EB",
        benefit.code,
        benefit.coverage_level,
        repeated(benefit.service_types),
        benefit.insurance_type,
        benefit.plan,
        benefit.time_period,
        money_text(benefit.amount),
        money_text(benefit.percent),
        benefit.quantity_qualifier,
        money_text(benefit.quantity),
        benefit.authorization,
        benefit.in_network,
        procedure_text(benefit.procedure) if benefit.procedure else "",
    )
    for delivery in benefit.delivery:
        out.put("HSD", *delivery)
    out.refs(benefit.refs)
    for period in benefit.dates:
        out.dtp(period.qualifier, period.start, period.end)
    for item in benefit.rejections:
        out.put("AAA", "Y" if item.valid else "N", "", item.reason, item.follow_up)
    for message in benefit.messages:
        out.put("MSG", message[:264])
    if benefit.parties:
        out.put("LS", "2120")
        for party in benefit.parties:
            out.nm1(party)
            out.n3_n4(party)
            for contact in party.contacts:
                out.per(contact)
            if party.taxonomy:
                out.put("PRV", party.provider_role or "PE", "PXC", party.taxonomy)
        out.put("LE", "2120")
