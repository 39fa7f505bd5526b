"""Claim ↔ 837P 005010X222A1: one `Sheet` as it was judged, as the claim the writer takes.

No database: what stands on the wire is what the edits have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from claims.edits.facts import Address as Place
from claims.edits.facts import ClaimFacts, LineFacts
from claims.edits.repairs import plain_member, plain_text
from claims.facts import Sheet
from intake.models import Coverage
from rcm.accounts.models import Organization
from rcm.reference.models import Payer
from rcm.x12.model import (
    Address,
    Adjustment,
    Attachment,
    Claim,
    Contact,
    Diagnosis,
    Drug,
    LineAdjudication,
    Note,
    OtherPayer,
    Party,
    Procedure,
    PurchasedService,
    Reference,
    ServiceLine,
)

SEQUENCE = "PST"
"""SBR01 by place among the payers: the earlier ones that have decided, then the one addressed. A rank
that nobody holds leaves no gap.
"""

SELF = "18"
RADIOLOGY_REPORT, BY_MAIL = "RR", "BM"


def claim_of(sheet: Sheet) -> Claim:
    """The professional claim of one sheet."""
    facts, row = sheet.facts, sheet.claim
    dependent = facts.relationship != SELF
    others = other_payers(sheet)
    return Claim(
        claim_id=facts.claim_id,
        charge=facts.total,
        billing=billing_party(facts),
        subscriber=subscriber_party(facts, dependent=dependent),
        payer=payer_party(row.payer),
        lines=tuple(line_of(sheet, line) for line in facts.lines),
        diagnoses=tuple(
            Diagnosis(code, "ABK" if n == 0 else "ABF") for n, code in enumerate(facts.diagnoses)
        ),
        pos=facts.pos,
        frequency=facts.frequency,
        patient=patient_party(facts) if dependent else None,
        patient_relationship=facts.relationship if dependent else "",
        payer_sequence=SEQUENCE[len(others) if others else facts.coverage_rank - 1],
        relationship="" if dependent else SELF,
        group_number=facts.group_number,
        insurance_type=facts.msp_type if facts.coverage_rank > 1 else "",
        filing_code=row.payer.claim_filing,
        assignment=facts.accept_assignment,
        benefits_assigned=facts.benefits_assigned,
        release=facts.release_of_information,
        related_causes=(facts.related_cause,) if facts.related_cause else (),
        accident_state=facts.accident_state if facts.related_cause == "AA" else "",
        accident_date=facts.accident_date,
        delay_reason=facts.delay_reason,
        authorization=facts.prior_auth_number,
        referral=facts.referral_number,
        payer_control=facts.payer_icn if facts.frequency in ("7", "8") else "",
        mammography_certification=facts.mammography_certificate,
        attachments=(
            (Attachment(RADIOLOGY_REPORT, BY_MAIL, facts.attachment_control),)
            if facts.attachment_control
            else ()
        ),
        notes=(Note(facts.note),) if facts.note else (),
        referring=person_party(sheet, facts.ordering_npi, "DN"),
        rendering=rendering_party(sheet),
        facility=facility_party(sheet),
        other_payers=others,
    )


def line_of(sheet: Sheet, line: LineFacts) -> ServiceLine:
    bought = line.purchased_price is not None and line.purchased_npi
    return ServiceLine(
        procedure=Procedure(line.code, line.modifiers, description=line.description),
        charge=line.charge,
        line_control=line.control_number,
        units=line.units,
        service_date=line.service_date,
        pos=line.pos,
        pointers=line.pointers,
        authorization="" if line.auth_number == sheet.facts.prior_auth_number else line.auth_number,
        purchased=(
            PurchasedService(line.purchased_npi, line.purchased_price or Decimal(0))
            if bought
            else None
        ),
        purchased_from=Party("QB", id_qualifier="XX", id=line.purchased_npi) if bought else None,
        drug=(
            Drug(line.ndc, line.ndc_quantity or Decimal(1), line.ndc_unit or "ML")
            if line.ndc
            else None
        ),
        adjudications=adjudications(sheet, line),
    )


# --- people and places ----------------------------------------------------------------------------


def place_of(place: Place) -> Address:
    return Address(place.line1, place.line2, place.city, place.state, place.zip)


def billing_party(facts: ClaimFacts) -> Party:
    return Party(
        "85",
        facts.billing_name,
        id_qualifier="XX",
        id=facts.billing_npi,
        address=place_of(facts.billing_address),
        taxonomy=facts.billing_taxonomy,
        refs=(Reference("EI", facts.billing_tin),),
    )


def subscriber_party(facts: ClaimFacts, *, dependent: bool) -> Party:
    """The insured. Address and birth date stand here only when the insured is the patient."""
    return Party(
        "IL",
        facts.subscriber_last,
        facts.subscriber_first,
        "" if dependent else plain_text(facts.patient_middle)[:25],
        "" if dependent else plain_text(facts.patient_suffix)[:10],
        person=True,
        id_qualifier="MI",
        id=facts.member_id,
        address=None if dependent else place_of(facts.subscriber_address),
        birth_date=None if dependent else facts.subscriber_dob,
        sex="" if dependent else facts.subscriber_sex,
        refs=() if dependent else accident_refs(facts),
    )


def patient_party(facts: ClaimFacts) -> Party:
    return Party(
        "QC",
        facts.patient_last,
        facts.patient_first,
        plain_text(facts.patient_middle)[:25],
        plain_text(facts.patient_suffix)[:10],
        person=True,
        address=place_of(facts.patient_address),
        birth_date=facts.patient_dob,
        sex=facts.patient_sex,
        refs=accident_refs(facts),
    )


def accident_refs(facts: ClaimFacts) -> tuple[Reference, ...]:
    """REF*Y4, the payer's number of the accident: it stands with the person who was hurt."""
    number = facts.accident_claim_number
    return (Reference("Y4", number),) if number else ()


def payer_party(payer: Payer) -> Party:
    complete = payer.address and payer.city and payer.state and payer.zip
    where = (
        Address(plain_text(payer.address), "", plain_text(payer.city), payer.state, payer.zip)
        if complete
        else None
    )
    return Party(
        "PR", plain_text(payer.name)[:60], id_qualifier="PI", id=payer.edi_id, address=where
    )


def person_party(sheet: Sheet, npi: str, entity: str) -> Party | None:
    """A physician by NPI. One whom the register does not know has no name, and the guide check
    holds the claim.
    """
    if not npi:
        return None
    known = sheet.provider(npi)
    last, first = (plain_text(known.last_name), plain_text(known.first_name)) if known else ("", "")
    return Party(entity, last, first, person=True, id_qualifier="XX", id=npi)


def rendering_party(sheet: Sheet) -> Party | None:
    """The reader, unless the billing provider itself is named."""
    facts = sheet.facts
    if not facts.rendering_npi or facts.rendering_npi == facts.billing_npi:
        return None
    known = sheet.provider(facts.rendering_npi)
    last, first = (plain_text(known.last_name), plain_text(known.first_name)) if known else ("", "")
    return Party(
        "82",
        last,
        first,
        person=True,
        id_qualifier="XX",
        id=facts.rendering_npi,
        taxonomy=facts.rendering_taxonomy,
    )


def facility_party(sheet: Sheet) -> Party | None:
    """Where the exam was done (rules `service-location` and `place-of-reading`), when a facility is
    named.
    """
    facts = sheet.facts
    if not facts.facility_npi:
        return None
    name = plain_text(sheet.facility_name)[:60]
    return Party(
        "77",
        name,
        id_qualifier="XX",
        id=facts.facility_npi,
        address=place_of(facts.facility_address),
    )


def submitter(organization: Organization, name: str) -> Party:
    """NM1*41 with its contact: who sends the file, as the receiver knows it."""
    contact = Contact(
        plain_text(organization.contact or "BILLING OFFICE"),
        (("TE", organization.phone or "0000000000"),),
    )
    return Party(
        "41", plain_text(organization.name)[:60], id_qualifier="46", id=name, contacts=(contact,)
    )


# --- earlier payers -------------------------------------------------------------------------------


def earlier(sheet: Sheet) -> list[tuple[Coverage, Mapping[str, Any]]]:
    """The payers that have decided, in the order in which they did, with what they told."""
    coverages = {c.pk: c for c in sheet.others}
    return [
        (coverages[row["coverage_id"]], row)
        for row in sheet.claim.extra.get("cob", ())
        if row["coverage_id"] in coverages
    ]


def other_payers(sheet: Sheet) -> tuple[OtherPayer, ...]:
    """Loops 2320 and 2330: each earlier payer with its decision."""
    return tuple(
        other_payer(sheet.facts, coverage, told, place)
        for place, (coverage, told) in enumerate(earlier(sheet))
    )


def other_payer(
    facts: ClaimFacts, coverage: Coverage, told: Mapping[str, Any], place: int
) -> OtherPayer:
    """One earlier payer. Where it has told nothing by line, its day and what it left to the patient
    stand here.
    """
    own = coverage.relationship == SELF
    insured = Party(
        "IL",
        facts.patient_last if own else plain_text(coverage.subscriber_last_name),
        facts.patient_first if own else plain_text(coverage.subscriber_first_name),
        person=True,
        id_qualifier="MI",
        id=plain_member(coverage.member_id),
    )
    payer = coverage.payer
    whole = adjustments(told.get("adjustments", ()))
    by_line = bool(told.get("lines"))
    left = sum((a.amount for a in whole if a.group == "PR"), Decimal(0))
    return OtherPayer(
        sequence=SEQUENCE[place],
        payer=Party("PR", plain_text(payer.name)[:60], id_qualifier="PI", id=payer.edi_id),
        subscriber=insured,
        relationship=coverage.relationship,
        group_number=coverage.group_number,
        insurance_type=coverage.second_reason if place else "",
        filing_code=payer.claim_filing,
        adjustments=whole,
        paid=Decimal(str(told["paid"])),
        remaining=None if by_line else left,
        paid_date=None if by_line else date.fromisoformat(told["paid_on"]),
        payer_control=str(told.get("payer_control_number", "")),
        authorization=str(told.get("authorization", "")),
    )


def adjudications(sheet: Sheet, line: LineFacts) -> tuple[LineAdjudication, ...]:
    """Loop 2430: what each earlier payer decided on this line."""
    found = []
    for coverage, told in earlier(sheet):
        decided = told.get("lines", {}).get(str(line.number))
        if decided is None:
            continue
        found.append(
            LineAdjudication(
                payer_id=coverage.payer.edi_id,
                paid=Decimal(str(decided["paid"])),
                procedure=Procedure(
                    decided.get("code") or line.code,
                    tuple(decided.get("modifiers") or line.modifiers),
                ),
                units=Decimal(str(decided.get("units", line.units))),
                adjustments=adjustments(decided.get("adjustments", ())),
                paid_date=date.fromisoformat(told["paid_on"]),
            )
        )
    return tuple(found)


def adjustments(rows: Sequence[Sequence[str]]) -> tuple[Adjustment, ...]:
    """Each reason of a group once, with its sum; what comes to nothing is not told."""
    sums: dict[tuple[str, str], Decimal] = {}
    for group, reason, amount in rows:
        key = (group, reason)
        sums[key] = sums.get(key, Decimal(0)) + Decimal(str(amount))
    return tuple(Adjustment(group, reason, sum_) for (group, reason), sum_ in sums.items() if sum_)
