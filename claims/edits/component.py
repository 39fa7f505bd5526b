"""Component billing: which of global, 26 and TC may stand, where, and beside what (rules
`component-form` and `duplicate-service`).

The rules themselves are `rcm.pricing.forms` (legal forms, places) and `charges.components`
(contradictions across claims); here they become edits over claim facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from charges.components import ClaimedService, Combination, Contradiction, contradictions
from claims.edits.examples import FACILITY, OUTSIDER, claim, line, medicare, prior
from claims.edits.facts import PriorLine
from claims.edits.registry import BLOCK, WARN, Hit, Owner, edit
from claims.edits.subject import MEDICARE_B, Line, Subject
from rcm.pricing.facts import PosSetting
from rcm.pricing.forms import component_of, form_finding, place_finding

SETTINGS = {"F": PosSetting.FACILITY, "NF": PosSetting.NON_FACILITY}
WORDS = {"": "global", "26": "26", "TC": "TC"}


@edit(
    "CMP-001",
    BLOCK,
    "The component modifier is not allowed for this code.",
    field="lines.modifiers",
    fix="Take the modifier off, or use the code for that part.",
    owner=Owner.CODER,
    rule="component-form",
    carc=("4",),
    rarc=("N519", "N822"),
    tables=("procedures",),
    fails=lambda: claim(line("77090", "26")),
    passes=lambda: claim(line("77090")),
    overridable=False,
)
def component_is_legal(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        found = (
            form_finding(item.code, item.row.pctc_ind, item.mods)
            if item.component and item.known
            else None
        )
        if found is not None and found.code != "COMPONENT_BOTH":
            yield Hit(found.sentence, line=item.number)


@edit(
    "CMP-002",
    BLOCK,
    "26 and TC stand on one line.",
    field="lines.modifiers",
    fix="Bill global without either, or two lines.",
    owner=Owner.CODER,
    rule="component-form",
    carc=("4",),
    rarc=("N519",),
    fails=lambda: claim(line("72148", "26", "TC")),
    passes=claim,
    overridable=False,
)
def one_component_a_line(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if "26" in item.mods and "TC" in item.mods:
            yield Hit("26 and TC on one line contradict each other.", line=item.number)


@edit(
    "CMP-003",
    BLOCK,
    "The technical part is billed at a facility.",
    field="pos",
    fix="Bill 26 only: the facility bills or invoices the technical part.",
    owner=Owner.CODER,
    rule="technical-part-at-facility",
    carc=("5", "58"),
    rarc=("M96", "M97"),
    tables=("pos", "procedures"),
    fails=lambda: claim(line("71046", "TC"), pos="22"),
    passes=lambda: claim(line("71046", "26"), pos="22"),
)
def no_technical_part_at_a_facility(s: Subject) -> Iterator[Hit]:
    assert s.ref.pos is not None
    for item in s.lines:
        setting = SETTINGS.get(s.ref.pos.get(item.pos, ""))
        if setting is PosSetting.FACILITY:
            found = place_finding(
                item.code, item.row.pctc_ind, component_of(item.mods), item.pos, setting
            )
            if found is not None:
                yield Hit(found.sentence, line=item.number)


@edit(
    "CMP-004",
    BLOCK,
    "The global exam and its professional part are both billed.",
    field="lines.modifiers",
    fix="See who bills which part; keep one form.",
    owner=Owner.CODER,
    rule="global-with-part",
    carc=("18", "B20", "97"),
    fails=lambda: claim(line(), line("72148", "26")),
    passes=claim,
)
def no_global_with_26(s: Subject) -> Iterator[Hit]:
    yield from _contradicted(s, Combination.GLOBAL_AND_READING)


@edit(
    "CMP-005",
    BLOCK,
    "The global exam and its technical part are both billed.",
    field="lines.modifiers",
    fix="See who bills which part; keep one form.",
    owner=Owner.CODER,
    rule="global-with-part",
    carc=("18", "B20"),
    fails=lambda: claim(history=(prior("72148", "TC", entity="other", billing_npi=OUTSIDER),)),
    passes=claim,
)
def no_global_with_tc(s: Subject) -> Iterator[Hit]:
    yield from _contradicted(s, Combination.GLOBAL_AND_TECHNICAL)


@edit(
    "CMP-006",
    BLOCK,
    "The same component is billed twice without a repeat modifier.",
    field="lines.modifiers",
    fix="Add 76 or 77 if it was repeated for a medical reason; else drop one.",
    owner=Owner.CODER,
    rule="component-once",
    carc=("18",),
    fails=lambda: claim(line("72148", "26"), line("72148", "26")),
    passes=lambda: claim(line("72148", "26"), line("72148", "26", "77", accession="ACC0002")),
)
def components_once(s: Subject) -> Iterator[Hit]:
    yield from _contradicted(s, Combination.COMPONENT_TWICE)


@edit(
    "CMP-007",
    WARN,
    "TC and 26 of one exam are both ours, in one locality.",
    field="lines.modifiers",
    fix="Merge the two lines into one global line, unless the payer wants them split.",
    owner=Owner.CODER,
    rule="merge-to-global",
    carc=("97",),
    fails=lambda: claim(line("72148", "TC"), line("72148", "26")),
    passes=claim,
)
def merge_to_global(s: Subject) -> Iterator[Hit]:
    yield from _contradicted(s, Combination.PARTS_TO_MERGE)


@edit(
    "CMP-008",
    BLOCK,
    "The form billed is not the arrangement's.",
    field="lines.modifiers",
    fix="Bill the part that the arrangement gives us.",
    owner=Owner.CODER,
    rule="form-of-arrangement",
    carc=("B20",),
    fails=lambda: claim(line(arrangement="tc_only")),
    passes=lambda: claim(line("72148", "TC", arrangement="tc_only")),
)
def form_follows_the_arrangement(s: Subject) -> Iterator[Hit]:
    wanted = {"global": "", "tc_only": "TC", "pc_only": "26"}
    for item in s.lines:
        how = item.facts.arrangement
        if item.row.pctc_ind != "1" or not how:
            continue
        if how == "unknown":
            yield Hit(
                f"No arrangement says who bills which part of {item.code}: held.", line=item.number
            )
        elif how == "split" and not item.component:
            yield Hit(
                f"{item.code} is to be split into TC and 26; it is billed global.", line=item.number
            )
        elif how in wanted and item.component != wanted[how]:
            expected = WORDS[wanted[how]]
            yield Hit(
                f"The arrangement gives us {expected} of {item.code}; {WORDS[item.component]} is"
                " billed.",
                line=item.number,
            )


@edit(
    "CMP-009",
    BLOCK,
    "A whole and one of its parts are both billed.",
    field="lines.code",
    fix="Bill the whole, or the parts, not both.",
    owner=Owner.CODER,
    rule="whole-or-parts",
    carc=("97",),
    fails=lambda: claim(line("77089"), line("77090")),
    passes=lambda: claim(line("77089")),
)
def whole_or_parts(s: Subject) -> Iterator[Hit]:
    yield from _contradicted(s, Combination.WHOLE_AND_PART)


@edit(
    "CMP-010",
    BLOCK,
    "Two contrast levels of one exam are billed in one session.",
    field="lines.code",
    fix="Keep the one code that says what was done.",
    owner=Owner.CODER,
    rule="one-contrast-level",
    carc=("97", "236"),
    tables=("procedures",),
    fails=lambda: claim(line("70551"), line("70553"), line("A9585")),
    passes=lambda: claim(line("70553"), line("A9585")),
)
def one_contrast_level(s: Subject) -> Iterator[Hit]:
    yield from _contradicted(s, Combination.CONTRAST_LEVELS)


@edit(
    "CMP-011",
    BLOCK,
    "Anti-markup applies and the line does not follow it.",
    field="lines.purchased_price",
    fix="Bill TC and 26 apart; on the bought part give price and performing supplier.",
    owner=Owner.BILLER,
    rule="anti-markup",
    carc=("16",),
    rarc=("M12", "MA110", "N283"),
    products=MEDICARE_B,
    fails=lambda: medicare(line("72148", anti_markup=True)),
    passes=lambda: medicare(
        line("72148", "26", anti_markup=True, purchased_price=Decimal(40), purchased_npi=FACILITY)
    ),
)
def anti_markup_is_followed(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if not item.facts.anti_markup:
            continue
        if not item.component and item.row.pctc_ind == "1":
            yield Hit(
                f"{item.code} is under the anti-markup rule: global is not allowed.",
                "lines.modifiers",
                item.number,
            )
        elif item.facts.purchased_price is None or not item.facts.purchased_npi:
            yield Hit(
                "A bought part needs its price and the performing supplier.", line=item.number
            )


@edit(
    "CMP-012",
    BLOCK,
    "The exam was read outside the United States.",
    field="lines.read_outside_us",
    fix="Do not bill Medicare for this interpretation.",
    owner=Owner.COMPLIANCE,
    rule="read-outside-us",
    carc=("158",),
    products=MEDICARE_B,
    overridable=False,
    fails=lambda: medicare(line(read_outside_us="yes")),
    passes=lambda: medicare(line(read_outside_us="no")),
)
def read_inside_the_country(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if item.facts.read_outside_us == "yes" and item.component != "TC":
            yield Hit(
                "Medicare does not pay an interpretation done outside the country.",
                line=item.number,
            )


@edit(
    "CMP-013",
    BLOCK,
    "Global is billed though the parts were done in two payment localities.",
    field="lines.modifiers",
    fix="Split into TC and 26, each with its own service location.",
    owner=Owner.CODER,
    rule="global-one-locality",
    carc=("16",),
    rarc=("N294",),
    products=MEDICARE_B,
    fails=lambda: medicare(line(same_locality="no")),
    passes=lambda: medicare(line("72148", "26", same_locality="no", service_zip="95128")),
)
def global_within_one_locality(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if item.row.pctc_ind != "1" or item.facts.same_locality != "no":
            continue
        if not item.component:
            yield Hit(
                f"{item.code} was performed and read in two localities: global is not allowed.",
                line=item.number,
            )
        elif item.component == "26" and not item.facts.service_zip:
            yield Hit(
                "The 26 line needs the ZIP where the exam was read.",
                "lines.service_zip",
                item.number,
            )


@edit(
    "CMP-016",
    BLOCK,
    "Another entity has billed this component of the exam.",
    field="lines.modifiers",
    fix="Bill the other component, find out who furnished this one, or say by 76 or 77 that it was"
    " done again.",
    owner=Owner.BILLER,
    rule="duplicate-service",
    carc=("18", "B20"),
    fails=lambda: claim(line("72148", billed_elsewhere=("26",))),
    passes=claim,
)
def billed_by_another_entity(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        for part in item.facts.billed_elsewhere:
            when = f" for {item.day:%m/%d/%Y}" if item.day else ""
            words = {"26": "reading", "TC": "technical part"}[part]
            yield Hit(
                f"The {words} of this exam was billed{when} by another entity.", line=item.number
            )


@edit(
    "CMP-014",
    BLOCK,
    "The payer asks for another component form.",
    field="lines.modifiers",
    fix="Use the form in the payer's terms.",
    owner=Owner.CODER,
    rule="payer-component-form",
    carc=("4", "97"),
    fails=lambda: medicare(
        line("72148", "TC", arrangement="split"),
        line("72148", "26", arrangement="split"),
        payer_id="GLOBAL",
        product="commercial",
    ),
    passes=claim,
)
def form_the_payer_wants(s: Subject) -> Iterator[Hit]:
    form = s.payer.component_form
    if not form:
        return
    technical = {(item.code, item.day) for item in s.lines if item.component == "TC"}
    for item in s.lines:
        if item.row.pctc_ind != "1":
            continue
        if form == "global_only" and item.component == "26" and (item.code, item.day) in technical:
            yield Hit(f"This payer takes {item.code} as one global line.", line=item.number)
        elif form == "split_required" and not item.component:
            yield Hit(f"This payer takes {item.code} as TC and 26 lines.", line=item.number)
        elif (
            form == "pc_bundled_to_hospital"
            and item.component == "26"
            and item.pos in ("19", "21", "22", "23")
        ):
            yield Hit("This payer pays the reading through the hospital.", line=item.number)
        elif form == "capitated":
            yield Hit(
                "This payer pays by capitation: the claim is for information only.",
                line=item.number,
                severity=WARN,
            )


@edit(
    "CMP-015",
    BLOCK,
    "A diagnostic testing facility bills TC and 26 of one test apart.",
    field="lines.modifiers",
    fix="Bill global: both parts are the facility's.",
    owner=Owner.CODER,
    rule="testing-facility-global",
    carc=("97",),
    products=MEDICARE_B,
    fails=lambda: medicare(line("72148", "TC"), line("72148", "26"), billing_is_idtf=True),
    passes=lambda: medicare(billing_is_idtf=True),
)
def testing_facility_bills_global(s: Subject) -> Iterator[Hit]:
    if not s.claim.billing_is_idtf:
        return
    technical = {
        (item.code, item.day)
        for item in s.lines
        if item.component == "TC" and item.facts.same_locality != "no"
    }
    for item in s.lines:
        if item.component == "26" and (item.code, item.day) in technical:
            yield Hit(f"A testing facility bills {item.code} global.", line=item.number)


def _contradicted(s: Subject, combination: Combination) -> Iterator[Hit]:
    """The contradictions of one kind in which a line of this claim takes part, said on its last
    such line.
    """
    if s.contradictions is None:
        s.contradictions = _contradictions(s)
    for found in s.contradictions:
        if found.id is combination:
            ours = [int(number) for name, number in found.lines if name == ""]
            if ours:
                others = sorted({name for name, _ in found.lines if name})
                where = f" (claim {', '.join(others)})" if others else ""
                yield Hit(f"{found.sentence.removesuffix('.')}{where}.", line=max(ours))


def _contradictions(s: Subject) -> list[Contradiction]:
    if len(s.lines) == 1 and not s.same_day:
        return []
    services = [service for item in s.lines if (service := _ours(s, item)) is not None]
    services += [_theirs(s, n, old) for n, old in enumerate(s.same_day)]
    return contradictions(services)


def _ours(s: Subject, item: Line) -> ClaimedService | None:
    """This claim's line; its claim name is blank, so that it cannot be taken for another's."""
    if item.day is None:
        return None
    facts = item.facts
    split = (
        facts.arrangement == "split"
        or facts.anti_markup
        or facts.same_locality == "no"
        or s.payer.component_form == "split_required"
    )
    return ClaimedService(
        claim="",
        line=str(item.number),
        patient="",
        payer=s.claim.payer_id,
        date_of_service=item.day,
        code=item.code,
        modifiers=item.mods,
        units=int(facts.units),
        accession=facts.accession,
        session=facts.session or facts.accession,
        pctc=item.row.pctc_ind,
        pos=item.pos,
        family=item.row.family,
        contrast=item.row.contrast,
        frequency=s.claim.frequency,
        split_rule=split,
    )


def _theirs(s: Subject, n: int, old: PriorLine) -> ClaimedService:
    row = (s.ref.procedures or {}).get(old.code)
    return ClaimedService(
        claim=old.claim_id or "of another entity",
        line=f"prior {n}",
        patient="",
        payer=old.payer_id or s.claim.payer_id,
        date_of_service=old.service_date,
        code=old.code,
        modifiers=old.modifiers,
        units=int(old.units),
        entity=old.entity if old.entity == "ours" else old.billing_npi or old.entity,
        accession=old.accession,
        session=old.session or old.accession,
        pctc=row.pctc_ind if row else "",
        family=row.family if row else "",
        contrast=row.contrast if row else "",
        status=old.status,
    )
