"""Codes: procedure, diagnosis, place and modifier exist on the service date, and fit the patient
(rules `diagnosis-valid` and `side-agreement`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from claims.edits.examples import claim, line, medicare
from claims.edits.reference import Demographics
from claims.edits.registry import BLOCK, WARN, Hit, Owner, Severity, edit
from claims.edits.subject import MEDICARE, MEDICARE_B, Subject, plain_icd

NOT_PAYABLE = frozenset({"I", "N", "E", "B", "P"})
EXTERNAL_CAUSE = frozenset("VWXY")


@edit(
    "COD-001",
    BLOCK,
    "A procedure code is not in the loaded tables.",
    field="lines.code",
    fix="Correct the code, or load the table that holds it.",
    owner=Owner.CODER,
    rule="procedure-in-force",
    carc=("181", "16"),
    rarc=("M51",),
    tables=("procedures",),
    fails=lambda: claim(line("79999")),
    passes=claim,
)
def procedure_is_known(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if not item.known:
            yield Hit(
                f"{item.code} is not in the loaded procedure tables: unknown, so held.",
                line=item.number,
            )


@edit(
    "COD-002",
    BLOCK,
    "A procedure code is not valid on the service date.",
    field="lines.code",
    fix="Use the code that was in force that day.",
    owner=Owner.CODER,
    rule="procedure-in-force",
    carc=("181", "182"),
    rarc=("M51",),
    tables=("procedures",),
    fails=lambda: claim(line("70471")),
    passes=lambda: claim(
        line("70471", service_date=date(2026, 9, 30), contrast_given="yes"),
        line("Q9967", service_date=date(2026, 9, 30)),
    ),
)
def procedure_is_in_force(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        row, day = item.row, item.day
        if day is None or not item.known:
            continue
        if row.effective_from is not None and day < row.effective_from:
            yield Hit(
                f"{item.code} starts {row.effective_from}; the service was {day}.", line=item.number
            )
        elif row.effective_to is not None and day > row.effective_to:
            yield Hit(
                f"{item.code} ended {row.effective_to}; the service was {day}.", line=item.number
            )


@edit(
    "COD-003",
    BLOCK,
    "The claim has no diagnosis.",
    field="diagnoses",
    fix="Code the signed report, or the ordered sign or symptom.",
    owner=Owner.CODER,
    rule="diagnosis-valid",
    carc=("16", "167"),
    rarc=("M76",),
    fails=lambda: claim(diagnoses=()),
    passes=claim,
    overridable=False,
)
def there_is_a_diagnosis(s: Subject) -> Iterator[Hit]:
    if not s.claim.diagnoses:
        yield Hit("The claim has no diagnosis.")


@edit(
    "COD-004",
    BLOCK,
    "A diagnosis is not valid and billable on the service date.",
    field="diagnoses",
    fix="Use the full code in force that day.",
    owner=Owner.CODER,
    rule="diagnosis-valid",
    carc=("146", "16"),
    rarc=("M76",),
    tables=("icd",),
    fails=lambda: claim(diagnoses=("M541",)),
    passes=claim,
)
def diagnoses_are_billable(s: Subject) -> Iterator[Hit]:
    release = s.icd_release()
    if release is None:
        return
    for code in s.claim.diagnoses:
        if plain_icd(code) not in release.codes:
            yield Hit(f"Diagnosis {code} is not a billable code on {s.first_day}.")


@edit(
    "COD-005",
    WARN,
    "The diagnosis list of the service date is not loaded and an older one lacks a code.",
    field="diagnoses",
    fix="Check the code by hand; load the list of that year.",
    owner=Owner.CODER,
    rule="diagnosis-valid",
    carc=("146",),
    tables=("icd",),
    fails=lambda: claim(line(service_date=date(2025, 9, 1)), diagnoses=("M541",)),
    passes=lambda: claim(line(service_date=date(2025, 9, 1))),
)
def diagnoses_beyond_the_list(s: Subject) -> Iterator[Hit]:
    if s.first_day is None or not s.ref.icd or s.icd_release() is not None:
        return
    newest = max(s.ref.icd, key=lambda release: release.effective_to)
    for code in s.claim.diagnoses:
        if plain_icd(code) not in newest.codes:
            yield Hit(
                f"No diagnosis list covers {s.first_day}; {code} is not in the newest one, valid to"
                f" {newest.effective_to}."
            )


@edit(
    "COD-006",
    BLOCK,
    "A diagnosis stands twice.",
    field="diagnoses",
    fix="Keep it once.",
    owner=Owner.CODER,
    rule="diagnosis-limit",
    carc=("16",),
    rarc=("M76",),
    fails=lambda: claim(diagnoses=("M5416", "M5416")),
    passes=lambda: claim(diagnoses=("M5416", "R079")),
)
def diagnoses_stand_once(s: Subject) -> Iterator[Hit]:
    seen: set[str] = set()
    for code in map(plain_icd, s.claim.diagnoses):
        if code in seen:
            yield Hit(f"Diagnosis {code} stands twice.")
        seen.add(code)


@edit(
    "COD-007",
    BLOCK,
    "The first diagnosis is an external cause.",
    field="diagnoses",
    fix="Put the injury or symptom first.",
    owner=Owner.CODER,
    rule="diagnosis-from-report",
    carc=("16", "146"),
    rarc=("MA63",),
    fails=lambda: claim(diagnoses=("W19XXXA",)),
    passes=lambda: claim(diagnoses=("M5416", "W19XXXA")),
)
def external_cause_is_not_first(s: Subject) -> Iterator[Hit]:
    first = plain_icd(s.claim.diagnoses[0]) if s.claim.diagnoses else ""
    if first and first[0] in EXTERNAL_CAUSE:
        yield Hit(f"{first} says how it happened; it cannot be the first diagnosis.")


@edit(
    "COD-008",
    BLOCK,
    "The place of service is not a code in use.",
    field="pos",
    fix="Correct the place of service.",
    owner=Owner.CODER,
    rule="place-of-service",
    carc=("5", "16"),
    rarc=("M77",),
    tables=("pos",),
    fails=lambda: claim(pos="35"),
    passes=claim,
)
def place_is_known(s: Subject) -> Iterator[Hit]:
    assert s.ref.pos is not None
    for item in s.lines:
        if s.ref.pos.get(item.pos, "U") == "U":
            yield Hit(
                f"Place of service '{item.pos}' is not in use.",
                "lines.pos" if item.facts.pos else "pos",
                item.number,
            )


@edit(
    "COD-009",
    BLOCK,
    "A modifier is not in the loaded list.",
    field="lines.modifiers",
    fix="Correct the modifier.",
    owner=Owner.CODER,
    rule="modifier-known",
    carc=("4", "182"),
    rarc=("N519",),
    tables=("modifiers",),
    fails=lambda: claim(line("72148", "ZZ")),
    passes=claim,
)
def modifiers_are_known(s: Subject) -> Iterator[Hit]:
    assert s.ref.modifiers is not None
    for item in s.lines:
        for mod in item.mods:
            if mod not in s.ref.modifiers:
                yield Hit(f"Modifier '{mod}' is not in the loaded list.", line=item.number)


@edit(
    "COD-010",
    BLOCK,
    "Medicare does not pay this code.",
    field="lines.code",
    fix="Use the code Medicare accepts, or bill with GY to get a denial for the patient.",
    owner=Owner.CODER,
    rule="fee-status",
    carc=("96",),
    rarc=("N425",),
    products=MEDICARE,
    tables=("procedures",),
    fails=lambda: medicare(line("76140")),
    passes=medicare,
)
def medicare_pays_the_code(s: Subject) -> Iterator[Hit]:
    drugs = s.ref.drugs or {}
    for item in s.lines:
        if item.row.status in NOT_PAYABLE and "GY" not in item.mods and item.code not in drugs:
            yield Hit(
                f"{item.code} has status {item.row.status} in the fee schedule: not payable.",
                line=item.number,
            )


@edit(
    "COD-011",
    BLOCK,
    "The procedure does not fit the patient's sex or age.",
    field="lines.code",
    fix="Check patient, order and code.",
    owner=Owner.CODER,
    rule="fits-the-patient",
    carc=("7", "6"),
    fails=lambda: claim(line("76801"), patient_sex="M", diagnoses=("R079",)),
    passes=lambda: claim(line("76801"), diagnoses=("O0990",)),
)
def procedure_fits_the_patient(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        wanted = s.ref.code_people.get(item.code)
        if wanted is not None and (not wanted.products or s.product in wanted.products):
            misfit = _misfit(wanted, s.claim.patient_sex, s.age_on(item.day))
            if misfit:
                yield Hit(
                    f"{item.code} is {misfit}.",
                    line=item.number,
                    severity=_weight(wanted, s.claim.patient_sex, reviewed=item.has(("KX",))),
                )


@edit(
    "COD-012",
    BLOCK,
    "A diagnosis does not fit the patient's sex or age.",
    field="diagnoses",
    fix="Check patient and diagnosis.",
    owner=Owner.CODER,
    rule="fits-the-patient",
    carc=("10", "9"),
    fails=lambda: claim(diagnoses=("C61",)),
    passes=lambda: claim(diagnoses=("C61",), patient_sex="M"),
)
def diagnosis_fits_the_patient(s: Subject) -> Iterator[Hit]:
    age = s.age_on(s.first_day)
    for code in map(plain_icd, s.claim.diagnoses):
        wanted = next(
            (
                row
                for n in range(len(code), 0, -1)
                if (row := s.ref.icd_people.get(code[:n])) is not None
            ),
            None,
        )
        misfit = _misfit(wanted, s.claim.patient_sex, age) if wanted is not None else ""
        if misfit:
            assert wanted is not None
            reviewed = any(item.has(("KX",)) for item in s.lines)
            yield Hit(
                f"Diagnosis {code} is {misfit}.",
                severity=_weight(wanted, s.claim.patient_sex, reviewed=reviewed),
            )


@edit(
    "COD-013",
    BLOCK,
    "An unlisted procedure has no description.",
    field="lines.description",
    fix="Describe the service and compare it with a listed one.",
    owner=Owner.CODER,
    rule="procedure-in-force",
    carc=("16", "252"),
    rarc=("M51", "N350"),
    fails=lambda: claim(line("76499")),
    passes=lambda: claim(line("76499", description="TOMOSYNTHESIS OF WRIST")),
)
def unlisted_codes_are_described(s: Subject) -> Iterator[Hit]:
    for item in s.in_group("unlisted"):
        if not item.facts.description:
            yield Hit(f"{item.code} is an unlisted code and needs a description.", line=item.number)


@edit(
    "COD-014",
    BLOCK,
    "A clinical-trial diagnosis, modifier and number do not stand together.",
    field="lines.modifiers",
    fix="Give Q0 or Q1, diagnosis Z00.6 and the trial number together.",
    owner=Owner.CODER,
    rule="clinical-trial",
    carc=("16",),
    rarc=("MA130",),
    products=MEDICARE_B,
    fails=lambda: medicare(line("72148", "Q1")),
    passes=lambda: medicare(
        line("72148", "Q1", trial_number="12345678"), diagnoses=("M5416", "Z006")
    ),
)
def trials_are_complete(s: Subject) -> Iterator[Hit]:
    coded = "Z006" in map(plain_icd, s.claim.diagnoses)
    for item in s.lines:
        if item.has(("Q0", "Q1")) and not (
            coded and len(item.facts.trial_number) == 8 and item.facts.trial_number.isdigit()
        ):
            yield Hit(
                "Q0 or Q1 needs diagnosis Z00.6 and an eight-digit trial number.", line=item.number
            )


def _other_sex(wanted: Demographics, sex: str) -> bool:
    return bool(wanted.sex) and sex in ("F", "M") and sex != wanted.sex


def _weight(wanted: Demographics, sex: str, *, reviewed: bool) -> Severity | None:
    """A conflict of sex stops the claim: payers deny it outright. KX says that the provider knows
    of it (Medicare Claims Processing Manual, chapter 32, section 240); age only warns.
    """
    return None if _other_sex(wanted, sex) and not reviewed else WARN


def _misfit(wanted: Demographics, sex: str, age: int | None) -> str:
    if _other_sex(wanted, sex):
        return f"for sex {wanted.sex}, the patient is {sex}"
    if age is not None and wanted.age_min is not None and age < wanted.age_min:
        return f"for age {wanted.age_min} and up, the patient is {age}"
    if age is not None and wanted.age_max is not None and age > wanted.age_max:
        return f"for age up to {wanted.age_max}, the patient is {age}"
    return ""
