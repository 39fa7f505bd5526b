"""Evidence: a signed report, the performed exam, and a charge that makes sense (rules
`written-report` and `release`).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from claims.edits.examples import DOS, claim, line
from claims.edits.registry import BLOCK, WARN, Hit, Owner, edit, money
from claims.edits.subject import Subject

FINAL = frozenset({"F", "C"})
READ = {
    "P": "is preliminary",
    "R": "is not verified",
    "A": "has only some results",
    "I": "is in process",
    "X": "was cancelled",
}


@edit(
    "DOC-001",
    BLOCK,
    "There is no final signed report.",
    field="lines.report_status",
    fix="Get the report signed; nothing leaves before it.",
    owner=Owner.CODER,
    rule="written-report",
    carc=("112", "16"),
    rarc=("M31",),
    tables=("procedures",),
    overridable=False,
    fails=lambda: claim(line(report_status="P")),
    passes=lambda: claim(line(report_status="C")),
)
def report_is_final(s: Subject) -> Iterator[Hit]:
    drugs = s.ref.drugs or {}
    for item in s.lines:
        if item.component == "TC" or item.code in drugs or item.row.pctc_ind in ("3", "9"):
            continue
        status = item.facts.report_status
        if status not in FINAL:
            yield Hit(
                f"The report of {item.code} {READ.get(status, 'does not exist or is not known')}.",
                line=item.number,
            )


@edit(
    "DOC-002",
    BLOCK,
    "The report's signer is not credentialed.",
    field="lines.reader_credentialed",
    fix="Have a credentialed reader sign, or complete the credentials.",
    owner=Owner.CREDENTIALING,
    rule="report-signer",
    carc=("B7", "8"),
    rarc=("N570",),
    fails=lambda: claim(line(reader_credentialed="no")),
    passes=claim,
)
def signer_is_credentialed(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if item.component != "TC" and item.facts.reader_credentialed == "no":
            yield Hit(f"The signer of {item.code} is not credentialed.", line=item.number)


@edit(
    "DOC-003",
    BLOCK,
    "The code billed is not the code performed.",
    field="lines.code",
    fix="Bill what was performed and documented.",
    owner=Owner.COMPLIANCE,
    rule="billed-as-performed",
    carc=("16",),
    overridable=False,
    fails=lambda: claim(line("72158", performed_code="72148"), line("A9585", units=Decimal(80))),
    passes=lambda: claim(line(performed_code="72148")),
)
def performed_is_billed(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        done = item.facts.performed_code
        if done and done != item.code:
            yield Hit(f"Performed {done}, billed {item.code}.", line=item.number)


@edit(
    "DOC-004",
    BLOCK,
    "The units billed are not the units performed.",
    field="lines.units",
    fix="Bill the units that are documented.",
    owner=Owner.CODER,
    rule="billed-as-performed",
    carc=("16",),
    rarc=("M53",),
    fails=lambda: claim(line(units=Decimal(2), performed_units=Decimal(1))),
    passes=lambda: claim(line(performed_units=Decimal(1))),
)
def performed_units_are_billed(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        done = item.facts.performed_units
        if done is not None and "50" not in item.mods and done != item.facts.units:
            yield Hit(f"{done} units performed, {item.facts.units} billed.", line=item.number)


@edit(
    "DOC-005",
    WARN,
    "The charge is below what the payer would pay.",
    field="lines.charge",
    fix="Raise the charge: the payer pays the lower of charge and rate.",
    owner=Owner.MANAGER,
    rule="charge-covers-rate",
    carc=("45",),
    fails=lambda: claim(line(charge=Decimal(150), expected_allowed=Decimal("191.72"))),
    passes=lambda: claim(line(expected_allowed=Decimal("191.72"))),
)
def charge_covers_the_rate(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        expected = item.facts.expected_allowed
        if expected is not None and item.facts.charge < expected:
            yield Hit(
                f"Charged {money(item.facts.charge)}, expected {money(expected)}.", line=item.number
            )


@edit(
    "DOC-006",
    WARN,
    "The report was signed before the exam.",
    field="lines.report_signed_on",
    fix="Check the dates of exam and report.",
    owner=Owner.CODER,
    rule="report-signer",
    carc=("112",),
    fails=lambda: claim(line(report_signed_on=DOS.replace(day=1))),
    passes=claim,
)
def report_follows_the_exam(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        signed = item.facts.report_signed_on
        if signed is not None and item.day is not None and signed < item.day:
            yield Hit(
                f"The report is signed {signed}, the exam is of {item.day}.", line=item.number
            )


@edit(
    "DOC-007",
    BLOCK,
    "The technical part is billed for a cancelled exam.",
    field="lines.report_status",
    fix="Cancel the charge, or bill 53 if the exam was stopped for the patient's safety.",
    owner=Owner.CODER,
    rule="exam-not-completed",
    carc=("16", "112"),
    fails=lambda: claim(line("72148", "TC", report_status="X")),
    passes=lambda: claim(line("72148", "TC", "53", report_status="X")),
)
def cancelled_exams_are_not_billed(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if (
            item.component == "TC"
            and item.facts.report_status == "X"
            and not item.has(("53", "52"))
        ):
            yield Hit(f"{item.code} was cancelled.", line=item.number)
