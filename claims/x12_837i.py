"""Claim ↔ 837I 005010X223A2: the institutional claim of a hospital outpatient department.

The professional mapping with what differs: bill type, statement dates, priority and discharge
codes, revenue codes, attending provider.
"""

from __future__ import annotations

from dataclasses import replace

from claims.facts import Sheet
from claims.sheets import revenue_codes
from claims.x12_837p import claim_of as professional
from claims.x12_837p import person_party
from rcm.reference.facts import procedure_versions
from rcm.x12.model import Claim, DatePeriod, Diagnosis

OUTPATIENT = "13"
"""Bill type: hospital, outpatient."""

ELECTIVE, FROM_HOME, DISCHARGED_HOME = "3", "1", "01"
PLAIN_RADIOLOGY = "0320"


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
        lines=tuple(
            replace(line, revenue_code=code_of(line.procedure.code), pos="", pointers=())
            for line in claim.lines
        ),
        attending=person_party(sheet, sheet.facts.ordering_npi, "71"),
        referring=None,
        mammography_certification="",
    )
