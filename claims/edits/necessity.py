"""Medical necessity: coverage lists and the advance notice with its modifiers (rules
`coverage-list`, `advance-notice` and `exam-frequency`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from claims.edits.examples import claim, line, mammogram, medicare, prior
from claims.edits.reference import CoverageRow, on_day
from claims.edits.registry import BLOCK, WARN, Hit, Owner, edit
from claims.edits.subject import DEAD, MEDICARE_B, Line, Subject, full_months_between
from intake.necessity import unproven

NOTICE = ("GA", "GZ", "GY")
SIGNED, LATE, VOLUNTARY = "signed", "signed_late", "voluntary"


@edit(
    "NEC-001",
    WARN,
    "No diagnosis of the line is on the coverage list of the code.",
    field="lines.pointers",
    fix=(
        "See whether the report supports a listed diagnosis; else an advance notice before the"
        " exam."
    ),
    owner=Owner.CODER,
    rule="coverage-list",
    carc=("50",),
    rarc=("N115",),
    tables=("coverage",),
    fails=lambda: claim(line("93880")),
    passes=lambda: claim(line("93880"), diagnoses=("R0989",)),
)
def diagnosis_is_listed(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        row = _list(s, item)
        if row is None or item.has(NOTICE):
            continue
        pointed = s.pointed(item)
        if pointed and row.covered.isdisjoint(pointed) and row.excluded.isdisjoint(pointed):
            yield Hit(
                f"{', '.join(pointed)} is not on the coverage list of {item.code}"
                f" ({row.policies}).",
                line=item.number,
                severity=BLOCK if row.authoritative else None,
            )


@edit(
    "NEC-002",
    WARN,
    "A diagnosis is on the list of those not covered.",
    field="lines.pointers",
    fix="See whether the report supports another diagnosis; else expect the denial.",
    owner=Owner.CODER,
    rule="coverage-list",
    carc=("50",),
    rarc=("N115", "N386"),
    tables=("coverage",),
    fails=lambda: claim(line("93880"), diagnoses=("Z0000",)),
    passes=lambda: claim(line("93880"), diagnoses=("R0989",)),
)
def diagnosis_is_not_excluded(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        row = _list(s, item)
        if row is None or item.has(NOTICE):
            continue
        pointed = s.pointed(item)
        bad = row.excluded.intersection(pointed)
        if bad and row.covered.isdisjoint(pointed):
            yield Hit(
                f"{', '.join(sorted(bad))} is not covered for {item.code} ({row.policies}).",
                line=item.number,
                severity=BLOCK if row.authoritative else None,
            )


def _list(s: Subject, item: Line) -> CoverageRow | None:
    """The coverage list of the line's code on its service date."""
    assert s.ref.coverage is not None
    return on_day(s.ref.coverage.get(item.code, ()), item.day)


@edit(
    "NEC-003",
    BLOCK,
    "A denial is expected and no notice modifier says so.",
    field="lines.modifiers",
    fix=(
        "GA with a notice signed before the exam, GZ without one, GY for what Medicare never"
        " covers."
    ),
    owner=Owner.BILLER,
    rule="advance-notice",
    carc=("50",),
    rarc=("M39",),
    products=MEDICARE_B,
    fails=lambda: medicare(line(denial_expected="necessity", abn="signed")),
    passes=lambda: medicare(line("72148", "GA", denial_expected="necessity", abn="signed")),
)
def expected_denials_are_marked(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        expected = item.facts.denial_expected
        if expected in ("necessity", "frequency") and not item.has(("GA", "GZ")):
            mark = "GA" if item.facts.abn == SIGNED else "GZ"
            yield Hit(
                f"A {expected} denial is expected and the notice is {item.facts.abn or 'missing'}:"
                f" {mark} belongs on the line.",
                line=item.number,
            )
        elif expected == "excluded" and "GY" not in item.mods:
            yield Hit(
                "Medicare never covers this service: GY belongs on the line.", line=item.number
            )


@edit(
    "NEC-004",
    BLOCK,
    "GA says that a valid notice exists, and none is on file.",
    field="lines.abn",
    fix="File the signed notice, or use GZ: then the patient can never be billed.",
    owner=Owner.COMPLIANCE,
    rule="advance-notice",
    carc=("50", "116"),
    rarc=("M39", "N563"),
    products=MEDICARE_B,
    fails=lambda: medicare(line("72148", "GA", denial_expected="necessity", abn=LATE)),
    passes=lambda: medicare(line("72148", "GA", denial_expected="necessity", abn=SIGNED)),
    overridable=False,
)
def ga_has_its_notice(s: Subject) -> Iterator[Hit]:
    yield from _unproven(s, "NEC-004")


def _unproven(s: Subject, edit_id: str) -> Iterator[Hit]:
    for item in s.lines:
        for found in unproven(item.code, item.mods, item.facts.abn):
            if found.edit == edit_id:
                yield Hit(found.sentence, line=item.number)


@edit(
    "NEC-005",
    BLOCK,
    "GA, GZ and GY exclude each other.",
    field="lines.modifiers",
    fix="Keep the one that is true.",
    owner=Owner.BILLER,
    rule="notice-modifier-once",
    carc=("4",),
    fails=lambda: medicare(line("72148", "GA", "GY", abn=SIGNED)),
    passes=lambda: medicare(line("72148", "GY", denial_expected="excluded")),
)
def one_notice_modifier(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        found = [mod for mod in NOTICE if mod in item.mods]
        if len(found) > 1:
            yield Hit(f"{' and '.join(found)} on one line contradict each other.", line=item.number)


@edit(
    "NEC-006",
    BLOCK,
    "GX stands beside GA or GZ.",
    field="lines.modifiers",
    fix="GX is for voluntary notices of what is never covered: beside GY, or alone.",
    owner=Owner.BILLER,
    rule="notice-modifier-once",
    carc=("4",),
    fails=lambda: medicare(line("72148", "GX", "GA", abn=SIGNED)),
    passes=lambda: medicare(line("72148", "GX", "GY", denial_expected="excluded", abn=VOLUNTARY)),
)
def gx_stands_with_gy(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if "GX" in item.mods and item.has(("GA", "GZ")):
            yield Hit("GX cannot stand with GA or GZ.", line=item.number)


@edit(
    "NEC-007",
    BLOCK,
    "A Medicare notice modifier goes to another payer.",
    field="lines.modifiers",
    fix="Take it off; use the plan's own advance decision.",
    owner=Owner.BILLER,
    rule="notice-only-medicare",
    carc=("4",),
    fails=lambda: claim(line("72148", "GZ")),
    passes=lambda: medicare(line("72148", "GZ", denial_expected="necessity")),
)
def notices_are_medicares(s: Subject) -> Iterator[Hit]:
    if s.product in MEDICARE_B or not s.product:
        return
    for item in s.lines:
        if item.has(("GA", "GZ", "GX")):
            yield Hit("Advance notices exist in Original Medicare only.", line=item.number)


@edit(
    "NEC-008",
    WARN,
    "GZ gives the money up although a signed notice is on file.",
    field="lines.modifiers",
    fix="Use GA if the notice is valid.",
    owner=Owner.BILLER,
    rule="advance-notice",
    carc=("50",),
    products=MEDICARE_B,
    fails=lambda: medicare(line("72148", "GZ", denial_expected="necessity", abn=SIGNED)),
    passes=lambda: medicare(line("72148", "GZ", denial_expected="necessity")),
)
def gz_only_without_notice(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if "GZ" in item.mods and item.facts.abn == SIGNED:
            yield Hit(
                "GZ is on the line, and a notice signed before the exam is on file.",
                line=item.number,
            )


@edit(
    "NEC-009",
    WARN,
    "GA or GZ stands where no denial is expected.",
    field="lines.modifiers",
    fix="Take it off: blanket notices are not valid.",
    owner=Owner.COMPLIANCE,
    rule="no-blanket-notice",
    carc=("50",),
    products=MEDICARE_B,
    fails=lambda: medicare(line("72148", "GA", abn=SIGNED, denial_expected="none")),
    passes=lambda: medicare(line(denial_expected="none")),
)
def no_blanket_notices(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if item.has(("GA", "GZ")) and item.facts.denial_expected == "none":
            yield Hit(
                "A notice modifier is on the line and the check expects no denial.",
                line=item.number,
            )


@edit(
    "NEC-010",
    BLOCK,
    "GX stands without a voluntary notice on file.",
    field="lines.abn",
    fix="File the notice or take GX off.",
    owner=Owner.BILLER,
    rule="advance-notice",
    carc=("96",),
    products=MEDICARE_B,
    fails=lambda: medicare(line("72148", "GX", "GY", denial_expected="excluded")),
    passes=lambda: medicare(line("72148", "GX", "GY", denial_expected="excluded", abn=VOLUNTARY)),
    overridable=False,
)
def gx_has_its_notice(s: Subject) -> Iterator[Hit]:
    yield from _unproven(s, "NEC-010")


@edit(
    "NEC-011",
    WARN,
    "The exam comes too soon after the last one.",
    field="lines.service_date",
    fix="Check the date of the last exam; without a notice the denial is ours.",
    owner=Owner.FRONT_DESK,
    rule="exam-frequency",
    carc=("119", "151"),
    rarc=("N386",),
    fails=lambda: mammogram(
        history=(prior("77067", service_date=date(2025, 11, 30), claim_id="OLD"),)
    ),
    passes=lambda: mammogram(
        history=(prior("77067", service_date=date(2025, 10, 31), claim_id="OLD"),)
    ),
)
def often_enough(s: Subject) -> Iterator[Hit]:
    for row in s.ref.frequency:
        if row.products and s.product not in row.products:
            continue
        codes = s.group(row.group)
        for item in s.lines:
            if item.code not in codes or item.day is None or item.has(("GA", "GZ", "KX")):
                continue
            for old in s.claim.history:
                if (
                    old.code not in codes
                    or old.service_date >= item.day
                    or old.status in DEAD
                    or old.status == "denied"
                ):
                    continue
                if row.full_months == 0:
                    yield Hit(
                        f"{item.code} is paid once in a lifetime; it was done on"
                        f" {old.service_date}.",
                        line=item.number,
                    )
                elif full_months_between(old.service_date, item.day) < row.full_months:
                    yield Hit(
                        f"{item.code} needs {row.full_months} full months since the last one on"
                        f" {old.service_date}.",
                        line=item.number,
                    )
