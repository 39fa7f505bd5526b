"""Modifiers: how many, in which order, which side, which machine (rules `modifier-order` and
`bilateral`).
"""

from __future__ import annotations

from collections.abc import Iterator

from charges.components import order_modifiers
from claims.edits.examples import claim, line, medicare
from claims.edits.registry import BLOCK, WARN, Hit, Owner, edit
from claims.edits.subject import DISTINCT, MEDICARE_B, SIDES, Line, Subject

HOSPITAL_ONLY = frozenset({"PO", "PN"})
EQUIPMENT = {"film": "FX", "computed_radiography": "FY", "ct_not_xr29": "CT"}


@edit(
    "MOD-001",
    BLOCK,
    "A line carries more than four modifiers.",
    field="lines.modifiers",
    fix="Keep the four that decide payment.",
    owner=Owner.CODER,
    rule="modifier-limit",
    carc=("4",),
    rarc=("N519",),
    fails=lambda: claim(line("73562", "26", "RT", "76", "KX", "GC")),
    passes=claim,
)
def at_most_four(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if len(item.mods) > 4:
            yield Hit(f"{len(item.mods)} modifiers; a line carries four.", line=item.number)


@edit(
    "MOD-002",
    BLOCK,
    "A modifier stands twice on a line.",
    field="lines.modifiers",
    fix="Keep it once.",
    owner=Owner.CODER,
    rule="modifier-limit",
    carc=("4",),
    rarc=("N519",),
    fails=lambda: claim(line("73562", "RT", "RT")),
    passes=lambda: claim(line("73562", "RT")),
)
def each_once(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if len(set(item.mods)) < len(item.mods):
            yield Hit(f"Modifiers {' '.join(item.mods)}: one stands twice.", line=item.number)


@edit(
    "MOD-003",
    WARN,
    "The modifiers are not in payment order.",
    field="lines.modifiers",
    fix="Payment modifiers first (the repair does it).",
    owner=Owner.BILLER,
    rule="modifier-order",
    fails=lambda: claim(line("73562", "RT", "26")),
    passes=lambda: claim(line("73562", "26", "RT")),
)
def payment_modifiers_first(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if len(item.mods) > 1 and ordered(item.mods) != item.mods:
            yield Hit(
                f"{' '.join(item.mods)} should read {' '.join(ordered(item.mods))}.",
                line=item.number,
            )


def ordered(modifiers: tuple[str, ...]) -> tuple[str, ...]:
    """The same modifiers in payment order (rule `modifier-order`). One that stands twice is left
    for a person (MOD-002).
    """
    return order_modifiers(modifiers) if len(set(modifiers)) == len(modifiers) else modifiers


@edit(
    "MOD-004",
    BLOCK,
    "A side is missing.",
    field="lines.modifiers",
    fix="Add RT, LT or 50 from the signed report.",
    owner=Owner.CODER,
    rule="side-named",
    carc=("4",),
    rarc=("N519",),
    tables=("procedures",),
    fails=lambda: claim(line("73562")),
    passes=lambda: claim(line("73562", "LT")),
)
def side_is_named(s: Subject) -> Iterator[Hit]:
    always = s.group("side_required")
    for item in s.lines:
        if (
            (item.row.bilat_ind == "3" or item.code in always)
            and not item.has(SIDES)
            and not _finger(item)
        ):
            yield Hit(f"{item.code} needs RT, LT or 50.", line=item.number)


def _finger(item: Line) -> bool:
    return any(
        len(mod) == 2 and mod[0] in "FT" and (mod[1].isdigit() or mod[1] == "A")
        for mod in item.mods
    )


@edit(
    "MOD-005",
    BLOCK,
    "50 is not allowed for this code.",
    field="lines.modifiers",
    fix="Take 50 off: the code is bilateral already, or has no sides.",
    owner=Owner.CODER,
    rule="bilateral",
    carc=("4",),
    rarc=("N519",),
    tables=("procedures",),
    fails=lambda: claim(line("77066", "50"), mammography_certificate="123456"),
    passes=lambda: claim(line("76641", "50")),
)
def fifty_is_allowed(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if "50" in item.mods and item.known and item.row.bilat_ind not in ("1", "3"):
            why = (
                "it is bilateral already"
                if item.row.bilat_ind == "2"
                else "it has no bilateral payment"
            )
            yield Hit(
                f"{item.code} takes no 50: {why} (indicator {item.row.bilat_ind or 'unknown'}).",
                line=item.number,
            )


@edit(
    "MOD-006",
    BLOCK,
    "Sides on one line contradict each other.",
    field="lines.modifiers",
    fix="One of RT, LT or 50; two sides are two lines or 50.",
    owner=Owner.CODER,
    rule="modifier-conflict",
    carc=("4",),
    rarc=("N519",),
    fails=lambda: claim(line("73562", "RT", "LT")),
    passes=lambda: claim(line("73562", "RT"), line("73562", "LT")),
)
def one_side_a_line(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        found = [mod for mod in item.mods if mod in SIDES]
        if len(found) > 1:
            yield Hit(f"{' and '.join(found)} on one line.", line=item.number)


@edit(
    "MOD-007",
    BLOCK,
    "A bilateral line has not one unit.",
    field="lines.units",
    fix="50 with one unit, or two lines.",
    owner=Owner.CODER,
    rule="bilateral",
    carc=("4",),
    rarc=("M53",),
    fails=lambda: claim(line("73562", "50", units=line().units * 2)),
    passes=lambda: claim(line("73562", "50")),
)
def fifty_has_one_unit(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if "50" in item.mods and item.facts.units != 1:
            yield Hit(f"50 with {item.facts.units} units counts the sides twice.", line=item.number)


@edit(
    "MOD-008",
    BLOCK,
    "The side of the diagnosis contradicts the side of the line.",
    field="lines.modifiers",
    fix="Compare with the signed report and correct one of them.",
    owner=Owner.CODER,
    rule="side-agreement",
    carc=("16", "11"),
    rarc=("N519",),
    tables=("icd",),
    fails=lambda: claim(line("73562", "RT"), diagnoses=("M25562",)),
    passes=lambda: claim(line("73562", "LT"), diagnoses=("M25562",)),
)
def sides_agree_with_the_diagnosis(s: Subject) -> Iterator[Hit]:
    release = s.icd_release()
    if release is None:
        return
    for item in s.lines:
        side = item.side
        if side not in ("RT", "LT"):
            continue
        told = {
            found
            for code in s.pointed(item)
            if (found := release.sides.get(code, "")) in ("RT", "LT")
        }
        if told and side not in told:
            yield Hit(f"The line says {side}, its diagnosis says {told.pop()}.", line=item.number)


@edit(
    "MOD-009",
    BLOCK,
    "The side billed is not the side performed.",
    field="lines.modifiers",
    fix="Bill the side of the exam and the report.",
    owner=Owner.CODER,
    rule="side-agreement",
    carc=("16",),
    rarc=("N519",),
    overridable=False,
    fails=lambda: claim(line("73562", "RT", performed_side="LT")),
    passes=lambda: claim(line("73562", "RT", performed_side="RT")),
)
def side_is_the_performed_one(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        done = item.facts.performed_side
        if (
            done
            and item.side
            and item.side != done
            and not (done == "50" and item.side in ("RT", "LT"))
        ):
            yield Hit(f"Performed {done}, billed {item.side}.", line=item.number)


@edit(
    "MOD-010",
    WARN,
    "51 stands on an imaging line.",
    field="lines.modifiers",
    fix="Take 51 off; the payer ranks the exams itself.",
    owner=Owner.CODER,
    rule="modifier-51",
    carc=("4",),
    products=MEDICARE_B,
    fails=lambda: medicare(line("72148", "51")),
    passes=medicare,
)
def no_fifty_one(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if "51" in item.mods:
            yield Hit("51 is not used on imaging for Medicare.", line=item.number)


@edit(
    "MOD-011",
    BLOCK,
    "Two modifiers contradict each other.",
    field="lines.modifiers",
    fix="Keep the one that is true.",
    owner=Owner.CODER,
    rule="modifier-conflict",
    carc=("4",),
    rarc=("N519",),
    fails=lambda: claim(line("71046"), line("71046", "76", "77", accession="ACC0002")),
    passes=lambda: claim(line("71046"), line("71046", "77", accession="ACC0002")),
)
def modifiers_agree(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        for pair in (("76", "77"), ("52", "53"), ("FX", "FY"), ("PI", "PS"), ("GG", "GH")):
            if pair[0] in item.mods and pair[1] in item.mods:
                yield Hit(f"{pair[0]} and {pair[1]} on one line.", line=item.number)
        distinct = [mod for mod in item.mods if mod in DISTINCT]
        if len(distinct) > 1:
            yield Hit(f"{' and '.join(distinct)} on one line: one is enough.", line=item.number)


@edit(
    "MOD-012",
    WARN,
    "52 stands on a code that has a smaller one.",
    field="lines.modifiers",
    fix="Bill the smaller code without 52.",
    owner=Owner.CODER,
    rule="reduced-service",
    carc=("4",),
    tables=("procedures",),
    fails=lambda: claim(line("73562", "52", "RT")),
    passes=lambda: claim(line("72148", "52")),
)
def reduced_only_without_a_smaller_code(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if "52" in item.mods and (smaller := _smaller(s, item)):
            yield Hit(
                f"{item.code}-52: {smaller} is the smaller exam of the same family.",
                line=item.number,
            )


def _smaller(s: Subject, item: Line) -> str:
    """The next smaller code of the family (fewer views, or limited for complete); blank when there
    is none.
    """
    row = item.row
    siblings = [
        other
        for other in (s.ref.procedures or {}).values()
        if row.family and other.family == row.family and other.code != row.code
    ]
    if row.views_min is not None:
        views = {
            other.views_min: other.code
            for other in siblings
            if other.views_min is not None and other.views_min < row.views_min
        }
        return views[max(views)] if views else ""
    if row.extent == "complete":
        return next((other.code for other in siblings if other.extent == "limited"), "")
    return ""


@edit(
    "MOD-013",
    BLOCK,
    "The machine asks for a modifier that is missing.",
    field="lines.modifiers",
    fix="Add the modifier from the equipment record.",
    owner=Owner.BILLER,
    rule="equipment-record",
    carc=("237",),
    rarc=("N775",),
    products=MEDICARE_B,
    fails=lambda: medicare(line("71046", equipment="film")),
    passes=lambda: medicare(line("71046", "FX", equipment="film")),
)
def machine_modifier_is_on(s: Subject) -> Iterator[Hit]:
    scanners = s.group("ct_xr29")
    for item in s.lines:
        wanted = EQUIPMENT.get(item.facts.equipment, "")
        if not wanted or not item.technical or wanted in item.mods:
            continue
        if item.code in scanners if wanted == "CT" else item.row.modality == "XR":
            yield Hit(
                f"The machine is {item.facts.equipment.replace('_', ' ')}: {wanted} belongs on"
                f" {item.code}.",
                line=item.number,
            )


@edit(
    "MOD-014",
    WARN,
    "A machine modifier stands where it cannot apply.",
    field="lines.modifiers",
    fix="CT only on the listed CT codes, FX and FY on X-rays, never on a 26 line.",
    owner=Owner.BILLER,
    rule="equipment-record",
    carc=("4",),
    rarc=("N519",),
    fails=lambda: medicare(line("72148", "FX")),
    passes=lambda: medicare(line("71046", "FX", equipment="film")),
)
def machine_modifier_applies(s: Subject) -> Iterator[Hit]:
    scanners = s.group("ct_xr29")
    for item in s.lines:
        for mod in ("CT", "FX", "FY"):
            if mod not in item.mods:
                continue
            if not item.technical:
                yield Hit(f"{mod} reduces the technical part; this is a 26 line.", line=item.number)
            elif item.code not in scanners if mod == "CT" else item.row.modality not in ("XR", ""):
                yield Hit(f"{mod} does not apply to {item.code}.", line=item.number)
            elif item.facts.equipment and EQUIPMENT.get(item.facts.equipment) != mod:
                yield Hit(
                    f"{mod} is on the line; the equipment record says"
                    f" {item.facts.equipment.replace('_', ' ')}.",
                    line=item.number,
                )


@edit(
    "MOD-015",
    WARN,
    "RT or LT stands on a code that is bilateral already.",
    field="lines.modifiers",
    fix="Take the side off; one side only is 52.",
    owner=Owner.CODER,
    rule="bilateral",
    carc=("4",),
    tables=("procedures",),
    fails=lambda: claim(line("93880", "RT"), diagnoses=("R0989",)),
    passes=lambda: claim(line("93880"), diagnoses=("R0989",)),
)
def no_side_on_bilateral_codes(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if item.row.bilat_ind == "2" and item.has(("RT", "LT")) and "52" not in item.mods:
            yield Hit(f"{item.code} covers both sides.", line=item.number)


@edit(
    "MOD-016",
    BLOCK,
    "A hospital modifier stands on a professional claim.",
    field="lines.modifiers",
    fix="Take it off; PO and PN belong on the hospital's claim.",
    owner=Owner.CODER,
    rule="modifier-known",
    carc=("4",),
    rarc=("N519",),
    fails=lambda: claim(line("72148", "PO")),
    passes=claim,
)
def no_hospital_modifiers(s: Subject) -> Iterator[Hit]:
    if s.claim.form == "837I":
        return
    for item in s.lines:
        if item.has(HOSPITAL_ONLY):
            yield Hit("PO and PN are for institutional claims.", line=item.number)


@edit(
    "MOD-017",
    WARN,
    "The payer wants two sides in another form.",
    field="lines.modifiers",
    fix="Use one line with 50, or RT and LT lines, as the payer's terms say.",
    owner=Owner.BILLER,
    rule="bilateral",
    carc=("4", "18"),
    fails=lambda: claim(line("73562", "50"), payer_id="TWOLINES"),
    passes=lambda: claim(line("73562", "RT"), line("73562", "LT"), payer_id="TWOLINES"),
)
def two_sides_as_the_payer_wants(s: Subject) -> Iterator[Hit]:
    form = s.payer.bilateral_form
    if form == "two_lines":
        for item in s.lines:
            if "50" in item.mods:
                yield Hit(f"{item.code}-50: this payer wants RT and LT lines.", line=item.number)
    elif form == "one_line":
        right = {(item.code, item.day) for item in s.lines if "RT" in item.mods}
        for item in s.lines:
            if "LT" in item.mods and (item.code, item.day) in right:
                yield Hit(
                    f"{item.code} RT and LT: this payer wants one line with 50.", line=item.number
                )
