"""Claim ↔ 837I 005010X223A2: the institutional claim of a hospital outpatient department.

The professional mapping with what differs: bill type, statement dates, priority and discharge
codes, revenue codes, attending provider; to a later payer the revenue code of each decided line,
and to Medicare the value codes that say why it is second (Medicare Secondary Payer Manual, chapter
3).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from claims.coordination import accepted_in_full
from claims.facts import Sheet
from claims.sheets import revenue_codes
from claims.x12_837p import claim_of as professional
from claims.x12_837p import earlier, person_party
from rcm.reference.facts import procedure_versions
from rcm.x12.model import Claim, DatePeriod, Diagnosis, ServiceLine
from rcm.x12.values import money_text

OUTPATIENT = "13"
"""Bill type: hospital, outpatient."""

ELECTIVE, FROM_HOME, DISCHARGED_HOME = "3", "1", "01"
PLAIN_RADIOLOGY = "0320"
VALUE = "BE"
ACCEPTED_IN_FULL = "44"
"""Value code: what the provider has to accept from the first payer, above what it paid."""


def claim_of(sheet: Sheet) -> Claim:
    """The institutional claim of one sheet."""
    claim = professional(sheet)
    book, revenue = procedure_versions(), revenue_codes()
    days = [line.service_date for line in sheet.facts.lines if line.service_date]

    def code_of(code: str) -> str:
        versions = book.get(code, ())
        return revenue.get(versions[0].modality if versions else "", PLAIN_RADIOLOGY)

    reason = (Diagnosis(sheet.facts.diagnoses[0], "APR"),) if sheet.facts.diagnoses else ()
    return replace(
        claim,
        institutional=True,
        pos=OUTPATIENT,
        facility_qualifier="A",
        dates=(DatePeriod("434", min(days), max(days)),) if days else (),
        admission=(ELECTIVE, FROM_HOME, DISCHARGED_HOME),
        diagnoses=(*claim.diagnoses, *reason),
        lines=tuple(_line(line, code_of(line.procedure.code)) for line in claim.lines),
        insurance_type="",
        hi_codes=(*claim.hi_codes, *value_codes(sheet)),
        other_payers=tuple(replace(other, insurance_type="") for other in claim.other_payers),
        attending=person_party(sheet, sheet.facts.ordering_npi, "71"),
        referring=None,
        mammography_certification="",
    )


def _line(line: ServiceLine, revenue_code: str) -> ServiceLine:
    """The line, and what earlier payers decided on it, under its revenue code."""
    decided = tuple(replace(a, revenue_code=revenue_code) for a in line.adjudications)
    return replace(line, revenue_code=revenue_code, pos="", pointers=(), adjudications=decided)


def value_codes(sheet: Sheet) -> tuple[tuple[str, ...], ...]:
    """To Medicare as second payer: the reason's value code with what the earlier payers paid, and
    44 where the provider must accept more than they paid and less than it charged.
    """
    reason = sheet.facts.msp_type
    before = earlier(sheet)
    if not reason or not before:
        return ()
    paid = sum((Decimal(str(told["paid"])) for _, told in before), Decimal(0))
    codes = [(VALUE, reason, "", "", money_text(paid))]
    accepted = accepted_in_full(sheet.facts.total, [told for _, told in before])
    if paid < accepted < sheet.facts.total:
        codes.append((VALUE, ACCEPTED_IN_FULL, "", "", money_text(accepted)))
    return tuple(codes)
