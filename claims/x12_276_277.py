"""Claim ↔ 276 005010X212: the question that is asked when a payer is silent. What the
277 says is read by `x12_277ca`.
"""

from __future__ import annotations

from claims.facts import Sheet
from claims.x12_837p import payer_party
from rcm.x12.model import Party, StatusRequest


def request_of(sheet: Sheet, trace: str, *, submitter: str) -> StatusRequest:
    """The inquiry about one claim, by our number and the payer's."""
    facts = sheet.facts
    dependent = facts.relationship != "18"
    insured = Party(
        "IL",
        facts.subscriber_last,
        facts.subscriber_first,
        person=True,
        id_qualifier="MI",
        id=facts.member_id,
        birth_date=None if dependent else facts.subscriber_dob,
        sex="" if dependent else facts.subscriber_sex,
    )
    patient = Party(
        "QC",
        facts.patient_last,
        facts.patient_first,
        person=True,
        birth_date=facts.patient_dob,
        sex=facts.patient_sex,
    )
    days = [line.service_date for line in facts.lines if line.service_date]
    payer = payer_party(sheet.claim.payer)
    return StatusRequest(
        payer=Party("PR", payer.name, id_qualifier="PI", id=payer.id),
        receiver=Party("41", facts.billing_name, id_qualifier="46", id=submitter),
        provider=Party("1P", facts.billing_name, id_qualifier="XX", id=facts.billing_npi),
        subscriber=insured,
        dependent=patient if dependent else None,
        trace=trace,
        claim_id=facts.claim_id,
        payer_control=sheet.claim.payer_control_number if facts.frequency == "1" else "",
        charge=facts.total,
        service_from=min(days, default=None),
        service_to=max(days, default=None),
    )
