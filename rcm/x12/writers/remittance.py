"""835 writer: what a payer sends. The simulator pays with it, and it proves the reader:
``read(write(x)) == x``.
"""

from __future__ import annotations

from collections.abc import Iterable

from rcm.x12.emit import Emitter, composite, procedure_text
from rcm.x12.model import (
    ClaimPayment,
    Envelope,
    Party,
    ProviderAdjustment,
    Remittance,
    ServicePayment,
    Written,
)
from rcm.x12.values import day_text, money_text
from rcm.x12.writers.claim import write_adjustments

GUIDE_835 = "005010X221A1"


def write_835(envelope: Envelope, remittances: Iterable[Remittance]) -> Written:
    """Each remittance as one ST; amounts are sent as they are, balanced or not."""
    out = Emitter(envelope, "HP", GUIDE_835)
    for remittance in remittances:
        _set(out, remittance)
    return out.written()


def _set(out: Emitter, remittance: Remittance) -> None:
    put = out.put
    header = remittance.header
    out.context = f"remittance {header.trace}"
    # The set header of an 835 carries no guide identifier.
    out.begin("835", with_guide=False)
    out.carries(header.trace)
    put(
        "BPR",
        header.handling,
        money_text(abs(header.amount)),
        "D" if header.amount < 0 else "C",
        header.method,
        header.format,
        *header.payer_account,
        header.originator,
        header.originator_supplement,
        *header.payee_account,
        day_text(header.payment_date),
    )
    put("TRN", "1", header.trace, header.trace_payer, header.trace_supplement)
    out.refs(header.refs)
    if header.production_date:
        put("DTM", "405", day_text(header.production_date))
    _n1(out, header.payer, "PR")
    _n1(out, header.payee, "PE")
    if remittance.claims:
        put("LX", "1")
    for claim in remittance.claims:
        _claim(out, claim)
    _provider_adjustments(out, remittance.trailer.provider_adjustments)
    out.end()


def _n1(out: Emitter, party: Party, entity: str) -> None:
    out.put("N1", entity, party.name, party.id_qualifier if party.id else "", party.id)
    out.n3_n4(party)
    out.refs(party.refs)
    for contact in party.contacts:
        out.per(contact)


def _claim(out: Emitter, claim: ClaimPayment) -> None:
    put = out.put
    out.context = f"claim {claim.claim_id}"
    out.carries(claim.claim_id)
    put(
        "CLP",
        claim.claim_id,
        claim.status,
        money_text(claim.charge),
        money_text(claim.paid),
        money_text(claim.patient_responsibility) if claim.patient_responsibility else "",
        claim.filing_code,
        claim.payer_control,
        claim.pos,
        claim.frequency,
        "",
        claim.drg,
        money_text(claim.drg_weight),
    )
    write_adjustments(put, claim.adjustments)
    for party, entity in (
        (claim.patient, "QC"),
        (claim.insured, "IL"),
        (claim.corrected, "74"),
        (claim.rendering, "82"),
        (claim.crossover, "TT"),
        (claim.priority_payer, "PR"),
        (claim.other_insured, "GB"),
    ):
        if party is not None:
            out.nm1(party, entity)
    if claim.mia:
        codes = (*claim.mia, "", "", "", "", "")[:5]
        put("MIA", "", "", "", "", codes[0], *[""] * 14, *codes[1:])
    if claim.moa:
        put("MOA", "", "", *claim.moa[:5])
    out.refs(claim.refs)
    for qualifier, day in (
        ("232", claim.statement_from),
        ("233", claim.statement_to),
        ("036", claim.coverage_end),
        ("050", claim.received),
    ):
        if day:
            put("DTM", qualifier, day_text(day))
    for contact in claim.contacts:
        out.per(contact)
    for amount in claim.amounts:
        put("AMT", amount.qualifier, money_text(amount.amount))
    for quantity in claim.quantities:
        put("QTY", quantity.qualifier, money_text(quantity.quantity))
    for line in claim.services:
        _line(out, line)


def _line(out: Emitter, line: ServicePayment) -> None:
    put = out.put
    put(
        "SVC",
        procedure_text(line.procedure),
        money_text(line.charge),
        money_text(line.paid),
        line.revenue_code,
        money_text(line.units),
        procedure_text(line.original_procedure) if line.original_procedure else "",
        money_text(line.original_units),
    )
    if line.service_end is not None:
        if line.service_date:
            put("DTM", "150", day_text(line.service_date))
        put("DTM", "151", day_text(line.service_end))
    elif line.service_date:
        put("DTM", "472", day_text(line.service_date))
    write_adjustments(put, line.adjustments)
    if line.line_control:
        put("REF", "6R", line.line_control)
    out.refs(line.refs)
    for amount in line.amounts:
        put("AMT", amount.qualifier, money_text(amount.amount))
    for quantity in line.quantities:
        put("QTY", quantity.qualifier, money_text(quantity.quantity))
    for code in line.remarks:
        put("LQ", "HE", code)


def _provider_adjustments(out: Emitter, adjustments: tuple[ProviderAdjustment, ...]) -> None:
    """Up to six pairs of one provider and fiscal period share a PLB."""
    i, n = 0, len(adjustments)
    while i < n:
        first = adjustments[i]
        parts: list[str] = []
        while (
            i < n
            and len(parts) < 12
            and (adjustments[i].provider_id, adjustments[i].fiscal_date)
            == (first.provider_id, first.fiscal_date)
        ):
            parts += (
                composite(adjustments[i].reason, adjustments[i].reference),
                money_text(adjustments[i].amount),
            )
            i += 1
        out.put("PLB", first.provider_id, day_text(first.fiscal_date), *parts)
