"""Component billing: which form of a test we bill, who bills the rest, and what may not stand
together (rules `component-form` and `contrast-units`).

Pure rules over facts. Legal forms, places of service and equipment modifiers live in
`rcm.pricing.forms`, because a price needs them too; this module decides the arrangement, checks
combinations across claims and puts modifiers in order.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from itertools import combinations

from rcm.pricing.facts import Component, Locality, PosSetting
from rcm.pricing.forms import (
    DISTINCT_SERVICE,
    Finding,
    Severity,
    component_of,
    form_finding,
    place_finding,
)

# --- Who bills what -------------------------------------------------------------------------------


class Owner(StrEnum):
    OURS = "ours"
    HOSPITAL = "hospital"
    OTHER = "other"


class ReaderRelation(StrEnum):
    """How the interpreting physician stands to us."""

    EMPLOYEE = "employee"
    REASSIGNED = "reassigned"
    OURS_ELSEWHERE = "ours_elsewhere"
    INDEPENDENT = "independent"
    PURCHASED = "purchased"


class Force(StrEnum):
    """What a contract or payer may impose over the table (rule `payer-component-form`)."""

    NONE = ""
    GLOBAL_ONLY = "global_only"
    SPLIT_REQUIRED = "split_required"
    PC_BUNDLED_TO_HOSPITAL = "pc_bundled_to_hospital"
    CAPITATED = "capitated"


class BillingForm(StrEnum):
    GLOBAL = "global"
    SPLIT = "split"
    TECHNICAL = "TC"
    PROFESSIONAL = "26"
    NOTHING = "nothing"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Arrangement:
    """One dated row: site × modality × reading group × payer. Blank modality, group or payer means
    any.
    """

    site: str
    equipment_owner: Owner
    tech_employer: Owner
    reader_relation: ReaderRelation
    effective_from: dt.date
    effective_to: dt.date | None = None
    modality: str = ""
    group: str = ""
    payer: str = ""
    under_arrangement: bool = False
    force: Force = Force.NONE


@dataclass(frozen=True, slots=True)
class ExamToBill:
    """What the decision needs of one exam. Localities: where the patient was scanned, and where the
    reading was done.
    """

    code: str
    pctc: str
    pos: str
    pos_setting: PosSetting | None
    medicare: bool
    tc_locality: Locality | None
    pc_locality: Locality | None
    report_final: bool
    split_on_locality: bool = False
    idtf: bool = False
    read_in_us: bool = True
    anti_markup: bool | None = None
    purchase_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BillableLine:
    """One line of ours. `at` says whose address and locality it carries: the imaging site or the
    reading room.
    """

    component: Component
    locality: Locality | None
    at: str
    purchased: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What we bill, who bills the rest, whom we invoice, and why. `rule` is the row of the table
    (rule `arrangement`).
    """

    form: BillingForm
    rule: str
    words: str
    lines: tuple[BillableLine, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    invoice: str = ""
    capitated: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def releasable(self) -> bool:
        return self.form is not BillingForm.HOLD and not any(
            f.severity in {Severity.BLOCK, Severity.HOLD} for f in self.findings
        )


def resolve_arrangement(
    rows: Iterable[Arrangement], *, site: str, modality: str, group: str, payer: str, on: dt.date
) -> Arrangement | None:
    """The narrowest row in force (payer before group before modality), or None: hold
    `ARRANGEMENT_UNKNOWN` (rule `arrangement`).
    """
    best: tuple[tuple[bool, bool, bool, dt.date], Arrangement] | None = None
    for row in rows:
        if (
            row.site != site
            or row.effective_from > on
            or (row.effective_to is not None and row.effective_to < on)
        ):
            continue
        if (
            row.modality not in {"", modality}
            or row.group not in {"", group}
            or row.payer not in {"", payer}
        ):
            continue
        score = (bool(row.payer), bool(row.group), bool(row.modality), row.effective_from)
        if best is None or score > best[0]:
            best = (score, row)
    return best[1] if best else None


def contradiction(row: Arrangement) -> str:
    """Why a row cannot be true by itself, in a sentence; blank when it can."""
    ours_machine = row.equipment_owner is Owner.OURS and row.tech_employer is Owner.OURS
    if row.force is Force.GLOBAL_ONLY and not ours_machine:
        return "Global only needs our own scanner and technologist: the whole test is not ours."
    if row.force is Force.GLOBAL_ONLY and row.under_arrangement:
        return "A hospital bills the technical part under arrangement: no global line is possible."
    if row.under_arrangement and row.equipment_owner is Owner.HOSPITAL:
        return "A hospital's own scanner is not under arrangement with it."
    if Owner.OURS in {row.equipment_owner, row.tech_employer} and not ours_machine:
        return "Scanner and technologist belong to different parties: nobody bills such a test."
    return ""


_OUR_READERS = frozenset(
    {ReaderRelation.EMPLOYEE, ReaderRelation.REASSIGNED, ReaderRelation.OURS_ELSEWHERE}
)


def decide(exam: ExamToBill, arrangement: Arrangement | None) -> Decision:
    """Which form of the exam we bill (rule `arrangement`). A missing fact holds; a late report
    never turns a global into a TC claim.
    """
    if arrangement is None:
        return _hold(
            "arrangement",
            "ARRANGEMENT_UNKNOWN",
            f"No billing arrangement covers {exam.code} here.",
            "arrangement",
            "Enter who owns the scanner and who reads for this site, modality, reader and date.",
        )
    if exam.pctc not in {str(n) for n in range(10)}:
        return _hold(
            "component-form",
            "INDICATOR_UNKNOWN",
            f"The component indicator of {exam.code} is not known.",
            "code",
            "Load the fee schedule release for the date of service.",
        )
    if exam.pos_setting is None:
        return _hold(
            "place-of-service",
            "POS_UNKNOWN",
            f"Place of service {exam.pos or '(blank)'} is not in the loaded list.",
            "pos",
            "Choose the place where the patient was examined.",
        )
    machine = _machine(arrangement)
    if machine is None:
        return _hold(
            "arrangement",
            "TECHNICAL_OWNER_MIXED",
            "The equipment and the technologist belong to different parties: the table has no row"
            " for it.",
            "arrangement",
            "Ask compliance who furnishes the technical part, and correct the arrangement.",
        )
    reader = arrangement.reader_relation
    ours_read = reader in _OUR_READERS
    if reader is ReaderRelation.PURCHASED:
        if exam.medicare and exam.anti_markup is None:
            return _hold(
                "anti-markup",
                "ANTI_MARKUP_UNKNOWN",
                "Whether the anti-markup rule applies to this purchased reading is not known.",
                "arrangement",
                "Record whether we or a related party ordered the test and the share-a-practice"
                " answer.",
            )
        ours_read = True
    decision = _table(exam, arrangement, machine=machine, ours_read=ours_read)
    for line in decision.lines:
        illegal = form_finding(exam.code, exam.pctc, _component_modifiers(line.component))
        if illegal is not None:  # the arrangement asks for a part that the code does not have
            return _hold(illegal.rule, illegal.code, illegal.sentence, "arrangement", illegal.fix)
    return _released(exam, decision)


def _component_modifiers(component: Component) -> tuple[str, ...]:
    return () if component is Component.GLOBAL else (component.value,)


def _machine(arrangement: Arrangement) -> Owner | None:
    if arrangement.equipment_owner is arrangement.tech_employer:
        return arrangement.equipment_owner
    if Owner.OURS not in {arrangement.equipment_owner, arrangement.tech_employer}:
        return arrangement.equipment_owner
    return None


def _table(
    exam: ExamToBill, arrangement: Arrangement, *, machine: Owner, ours_read: bool
) -> Decision:
    force = arrangement.force
    ours_machine = machine is Owner.OURS
    facility = exam.pos_setting is PosSetting.FACILITY
    reader_bills = () if ours_read else (("26", "reading group"),)
    if exam.pctc not in {"1", "6"}:
        return _unsplittable(
            exam, arrangement, ours_machine=ours_machine, ours_read=ours_read, facility=facility
        )
    if facility:
        if ours_machine and not arrangement.under_arrangement:
            return _hold(
                "technical-part-at-facility",
                "FACILITY_WITHOUT_ARRANGEMENT",
                f"Place of service {exam.pos} is a facility, but our scanner is not under"
                " arrangement with it.",
                "pos",
                "Correct the place of service, or enter the arrangement with the facility.",
            )
        rule = "arrangement"
        invoice = "hospital" if ours_machine else ""
        if force is Force.PC_BUNDLED_TO_HOSPITAL:
            return Decision(
                BillingForm.NOTHING,
                rule,
                "The facility bills both parts and pays us by contract.",
                others=(("global", "facility"),),
                invoice="hospital",
            )
        if not ours_read:
            words = "The facility bills the technical part and the reading group its own reading."
            return Decision(
                BillingForm.NOTHING,
                rule,
                words,
                others=(("TC", "facility"), *reader_bills),
                invoice=invoice,
            )
        return Decision(
            BillingForm.PROFESSIONAL,
            rule,
            "The facility bills the technical part; we bill the reading.",
            (_reading(exam),),
            (("TC", "facility"),),
            invoice,
        )
    if not ours_machine:
        others = (("TC", machine.value), *reader_bills)
        if not ours_read:
            return Decision(
                BillingForm.NOTHING,
                "arrangement",
                "Neither scanner nor reader is ours.",
                others=others,
            )
        return Decision(
            BillingForm.PROFESSIONAL,
            "arrangement",
            "Another party furnished the technical part; we bill the reading.",
            (_reading(exam),),
            others,
        )
    if not ours_read and force is Force.GLOBAL_ONLY:
        return _global_for_another_reader(exam)
    if not ours_read:
        return Decision(
            BillingForm.TECHNICAL,
            "arrangement",
            "The reading group bills its own readings; we bill the technical part.",
            (_technical(exam),),
            reader_bills,
        )
    if force is Force.PC_BUNDLED_TO_HOSPITAL:
        return Decision(
            BillingForm.TECHNICAL,
            "payer-component-form",
            "The hospital is paid for the reading; we bill the technical part.",
            (_technical(exam),),
            (("26", "hospital"),),
            "hospital",
        )
    if (
        arrangement.reader_relation is ReaderRelation.PURCHASED
        and exam.medicare
        and exam.anti_markup
    ):
        return _purchased(exam)
    return _both_ours(exam, force)


def _global_for_another_reader(exam: ExamToBill) -> Decision:
    """The payer takes one global line from the owner of the machine, whoever reads: we bill the
    whole and the reader is paid by us. Medicare takes none for a reading another group furnishes.
    """
    if exam.medicare:
        return _hold(
            "arrangement",
            "GLOBAL_FOR_ANOTHER_READER",
            "The arrangement demands a global line, but an independent group reads: Medicare takes"
            " none for a reading that another group furnishes.",
            "arrangement",
            "Remove the global-only rule for Medicare, or record the reading as purchased or"
            " reassigned.",
        )
    whole = BillableLine(Component.GLOBAL, exam.tc_locality, "imaging site")
    return Decision(
        BillingForm.GLOBAL,
        "payer-component-form",
        "The payer takes one global line from us; the reading group is paid by us and bills"
        " nothing.",
        (whole,),
    )


def _both_ours(exam: ExamToBill, force: Force) -> Decision:
    """Global when one entity furnishes both parts in one payment locality, else split (rules
    `global-one-locality` and `testing-facility-global`).
    """
    capitated = force is Force.CAPITATED
    asks_locality = exam.medicare or exam.split_on_locality
    if (
        asks_locality
        and force is not Force.SPLIT_REQUIRED
        and None in {exam.tc_locality, exam.pc_locality}
    ):
        return _hold(
            "global-one-locality",
            "LOCALITY_UNKNOWN",
            "The payment locality of the scan or of the reading is not known.",
            "locality",
            "Complete the ZIP codes of the imaging site and of the reading room.",
        )
    apart = asks_locality and exam.tc_locality != exam.pc_locality
    whole = BillableLine(Component.GLOBAL, exam.tc_locality, "imaging site")
    if force is Force.SPLIT_REQUIRED or (apart and force is not Force.GLOBAL_ONLY):
        rule, words = (
            (
                "global-one-locality",
                (
                    "Scan and reading lie in different payment localities: TC and 26, each with its"
                    " own location."
                ),
            )
            if apart
            else ("payer-component-form", "The payer requires the parts on separate lines.")
        )
        findings: tuple[Finding, ...] = ()
        if exam.idtf and exam.medicare and not apart:
            findings = (
                Finding(
                    "IDTF_SPLIT",
                    Severity.BLOCK,
                    "An independent testing facility that furnishes both parts bills them as one.",
                    "arrangement",
                    "Remove the split, or correct who furnishes the reading.",
                    ("4",),
                    "testing-facility-global",
                ),
            )
        return Decision(
            BillingForm.SPLIT,
            rule,
            words,
            (_technical(exam), _reading(exam)),
            capitated=capitated,
            findings=findings,
        )
    if apart and exam.medicare:
        return _hold(
            "global-one-locality",
            "GLOBAL_ACROSS_LOCALITIES",
            "The arrangement demands a global line, but scan and reading lie in different Medicare"
            " localities.",
            "arrangement",
            "Remove the global-only rule for Medicare.",
        )
    return Decision(
        BillingForm.GLOBAL,
        "arrangement",
        "We furnish scan and reading in one payment locality: one global line.",
        (whole,),
        capitated=capitated,
    )


def _purchased(exam: ExamToBill) -> Decision:
    findings: tuple[Finding, ...] = ()
    if exam.purchase_price is None:
        findings = (
            Finding(
                "PURCHASE_PRICE_MISSING",
                Severity.HOLD,
                "The price paid for the purchased reading is not recorded.",
                "purchase_price",
                "Enter the reader's net charge for this reading.",
                ("M12", "M66", "MA110", "N283"),
                "anti-markup",
            ),
        )
    reading = BillableLine(Component.PROFESSIONAL, exam.pc_locality, "reading room", purchased=True)
    return Decision(
        BillingForm.SPLIT,
        "anti-markup",
        "The reading is purchased under the anti-markup rule: separate lines, never global.",
        (_technical(exam), reading),
        findings=findings,
    )


def _unsplittable(
    exam: ExamToBill,
    arrangement: Arrangement,
    *,
    ours_machine: bool,
    ours_read: bool,
    facility: bool,
) -> Decision:
    """Codes whose indicator allows no component modifier (rule `component-form`): whoever furnishes
    all of it bills it.
    """
    whole = BillableLine(Component.GLOBAL, exam.tc_locality, "imaging site")
    reading = BillableLine(Component.GLOBAL, exam.pc_locality, "reading room")
    if exam.pctc in {"0", "2", "7", "8"}:
        if not ours_read:
            words = "A reading code: the reading group bills it."
            return Decision(
                BillingForm.NOTHING, "component-form", words, others=(("global", "reading group"),)
            )
        line = reading if exam.pctc in {"2", "8"} else whole
        return Decision(
            BillingForm.GLOBAL,
            "component-form",
            "A code without a technical part: one line.",
            (line,),
        )
    if facility or not ours_machine:
        owner = "facility" if facility else arrangement.equipment_owner.value
        words = "A code of the technical side: whoever furnishes it bills it."
        return Decision(
            BillingForm.NOTHING,
            "component-form",
            words,
            others=(("global", owner),),
            invoice="hospital" if facility and ours_machine else "",
        )
    if exam.pctc == "4" and not ours_read:
        return _hold(
            "whole-or-parts",
            "WHOLE_TEST_NOT_OURS",
            f"{exam.code} is the whole test, but the reading group bills its own reading.",
            "code",
            "Bill the code of the technical part.",
        )
    return Decision(
        BillingForm.GLOBAL, "component-form", "One line: the code has no parts.", (whole,)
    )


def _released(exam: ExamToBill, decision: Decision) -> Decision:
    """What stops even a right form: no report, or a reading abroad (rules `read-outside-us` and
    `arrangement`).
    """
    if decision.form in {BillingForm.HOLD, BillingForm.NOTHING}:
        return decision
    found = list(decision.findings)
    reads = any(
        line.at == "reading room" or line.component is not Component.TECHNICAL
        for line in decision.lines
    )
    if exam.pctc in {"3", "5", "9"}:
        reads = False
    if reads and not exam.report_final:
        found.append(
            Finding(
                "NO_FINAL_REPORT",
                Severity.HOLD,
                "There is no final signed report.",
                "report",
                "Wait for the signature; do not bill the technical part alone because the report is"
                " late.",
                (),
                "written-report",
            )
        )
    if reads and exam.medicare and not exam.read_in_us:
        found.append(
            Finding(
                "READ_ABROAD",
                Severity.BLOCK,
                "Medicare does not pay a reading done outside the United States.",
                "reading location",
                "Have the study read in the United States.",
                ("158",),
                "read-outside-us",
            )
        )
    for line in decision.lines:
        problem = place_finding(exam.code, exam.pctc, line.component, exam.pos, exam.pos_setting)
        if problem is not None:
            found.append(problem)
    return Decision(
        decision.form,
        decision.rule,
        decision.words,
        decision.lines,
        decision.others,
        decision.invoice,
        decision.capitated,
        tuple(found),
    )


def _technical(exam: ExamToBill) -> BillableLine:
    return BillableLine(Component.TECHNICAL, exam.tc_locality, "imaging site")


def _reading(exam: ExamToBill) -> BillableLine:
    return BillableLine(Component.PROFESSIONAL, exam.pc_locality, "reading room")


def _hold(rule: str, code: str, sentence: str, field: str, fix: str) -> Decision:
    return Decision(
        BillingForm.HOLD,
        rule,
        sentence,
        findings=(Finding(code, Severity.HOLD, sentence, field, fix, (), rule),),
    )


def anti_markup_applies(
    *,
    ordered_by_us: bool | None,
    share_of_services: Decimal | None,
    same_building: bool | None,
    threshold: Decimal,
) -> bool | None:
    """Whether a Medicare test falls under anti-markup; None when a needed answer is missing (A4, 42
    CFR 414.50).

    `share_of_services` is the performing physician's share billed through us; at or above
    `threshold` (a dated setting) the physician shares our practice, as does one who performs or
    supervises in the same building.
    """
    if ordered_by_us is None:
        return None
    if not ordered_by_us:
        return False
    if same_building or (share_of_services is not None and share_of_services >= threshold):
        return False
    return None if same_building is None or share_of_services is None else True


# --- What may not stand together ------------------------------------------------------------------

WHOLE_AND_PARTS: Mapping[str, frozenset[str]] = {
    "77089": frozenset({"77090", "77091", "77092"}),
    "93015": frozenset({"93016", "93017", "93018"}),
}
"""Whole-test codes and the codes of their parts (rule `whole-or-parts`)."""

OPEN_STATUSES = frozenset({"pending", "sent", "accepted", "paid"})


@dataclass(frozen=True, slots=True)
class ClaimedService:
    """One line on a claim of any entity in the database: prior, pending, or the one being checked.

    `status` is pending, sent, accepted, paid, denied or void. `split_rule` says that TC and 26
    apart are intended.
    """

    claim: str
    line: str
    patient: str
    payer: str
    date_of_service: dt.date
    code: str
    modifiers: tuple[str, ...] = ()
    units: int = 1
    entity: str = "ours"
    accession: str = ""
    session: str = ""
    pctc: str = "1"
    pos: str = "11"
    pos_setting: PosSetting | None = PosSetting.NON_FACILITY
    locality: Locality | None = None
    family: str = ""
    contrast: str = ""
    status: str = "pending"
    frequency: str = "1"
    replaces: str = ""
    split_rule: bool = False
    reader_bills_own: bool = False

    @property
    def component(self) -> Component:
        return component_of(self.modifiers)


class Combination(StrEnum):
    """Lines of one patient and day that contradict each other."""

    GLOBAL_AND_READING = "global_and_reading"
    GLOBAL_AND_TECHNICAL = "global_and_technical"
    COMPONENT_TWICE = "component_twice"
    PARTS_TO_MERGE = "parts_to_merge"
    READER_BILLS_OWN = "reader_bills_own"
    TECHNICAL_AT_FACILITY = "technical_at_facility"
    WHOLE_AND_PART = "whole_and_part"
    CONTRAST_LEVELS = "contrast_levels"
    ACCEPTED_REPEATED = "accepted_repeated"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A combination that a payer would refuse, with the lines involved and what to do."""

    id: Combination
    action: str
    sentence: str
    fix: str
    lines: tuple[tuple[str, str], ...]
    denials: tuple[str, ...]


def contradictions(services: Iterable[ClaimedService]) -> list[Contradiction]:
    """Every contradictory combination among claims of the same patient, payer and day (rule
    `duplicate-service`), in a stable order.

    Denied and void lines, and lines of a claim that another one replaces, no longer count.
    """
    everything = list(services)
    replaced = {s.replaces for s in everything if s.replaces and s.status in OPEN_STATUSES}
    groups: dict[tuple[str, str, dt.date], list[ClaimedService]] = defaultdict(list)
    for service in everything:
        voids = service.frequency == "8"
        if service.status in OPEN_STATUSES and service.claim not in replaced and not voids:
            groups[(service.patient, service.payer, service.date_of_service)].append(service)
    found: list[Contradiction] = []
    for members in groups.values():
        for service in members:
            found.extend(_alone(service))
        again, pairs_done = _resubmissions(members)
        found.extend(again)
        for one, two in combinations(members, 2):
            if (one.claim, two.claim) not in pairs_done:
                found.extend(_pair(one, two))
    return found


def _alone(service: ClaimedService) -> Iterable[Contradiction]:
    place = place_finding(
        service.code, service.pctc, service.component, service.pos, service.pos_setting
    )
    lines = ((service.claim, service.line),)
    if place is not None and place.severity is Severity.BLOCK:
        yield Contradiction(
            Combination.TECHNICAL_AT_FACILITY,
            "block",
            place.sentence,
            place.fix,
            lines,
            ("M96", "M97", *place.denials),
        )
    if service.reader_bills_own and service.component is Component.GLOBAL and service.pctc == "1":
        yield Contradiction(
            Combination.READER_BILLS_OWN,
            "block",
            f"{service.code} is billed global, but the reading group bills its own reading.",
            "Bill the technical part only.",
            lines,
            ("B20",),
        )


def _resubmissions(
    members: Sequence[ClaimedService],
) -> tuple[list[Contradiction], set[tuple[str, str]]]:
    """A new original of a claim that the payer has already accepted."""
    claims: dict[str, list[ClaimedService]] = defaultdict(list)
    for service in members:
        claims[service.claim].append(service)
    found, done = [], set()
    for (first, ours), (second, theirs) in combinations(claims.items(), 2):
        if ours[0].entity != theirs[0].entity or _print_of(ours) != _print_of(theirs):
            continue
        settled = [
            c
            for c, lines in ((first, ours), (second, theirs))
            if lines[0].status in {"accepted", "paid"}
        ]
        fresh = [
            (c, lines)
            for c, lines in ((first, ours), (second, theirs))
            if lines[0].status == "pending" and lines[0].frequency == "1"
        ]
        if len(settled) != 1 or len(fresh) != 1:
            continue
        claim, lines = fresh[0]
        if any(DISTINCT_SERVICE.intersection(line.modifiers) for line in lines):
            continue
        done |= {(first, second), (second, first)}
        found.append(
            Contradiction(
                Combination.ACCEPTED_REPEATED,
                "convert_to_replacement",
                f"Claim {claim} repeats claim {settled[0]}, which the payer has accepted, as a new"
                " original.",
                "Send it as a replacement (frequency 7) with the payer's control number; for"
                " Medicare ask a reopening.",
                tuple((line.claim, line.line) for line in lines),
                ("18",),
            )
        )
    return found, done


def _print_of(
    lines: Iterable[ClaimedService],
) -> frozenset[tuple[str, Component, frozenset[str], int]]:
    return frozenset(
        (s.code, s.component, frozenset(s.modifiers) & {"RT", "LT", "50"}, s.units) for s in lines
    )


def _sides_meet(one: ClaimedService, two: ClaimedService) -> bool:
    first, second = (
        frozenset({"RT", "LT"}) if "50" in s.modifiers else frozenset(s.modifiers) & {"RT", "LT"}
        for s in (one, two)
    )
    return not first or not second or bool(first & second)


def _pair(one: ClaimedService, two: ClaimedService) -> Iterable[Contradiction]:
    lines = ((one.claim, one.line), (two.claim, two.line))
    if one.code != two.code:
        yield from _related_codes(one, two, lines)
        return
    if not _sides_meet(one, two):
        return
    repeated = bool(
        DISTINCT_SERVICE.intersection(one.modifiers) or DISTINCT_SERVICE.intersection(two.modifiers)
    )
    forms = {one.component, two.component}
    whose = "" if one.entity == two.entity else f" by {one.entity} and {two.entity}"
    if forms == {Component.TECHNICAL, Component.PROFESSIONAL}:
        same_place = one.locality == two.locality or None in {one.locality, two.locality}
        if one.entity == two.entity and same_place and not (one.split_rule or two.split_rule):
            yield Contradiction(
                Combination.PARTS_TO_MERGE,
                "offer_merge",
                f"{one.code}: we bill TC and 26 apart, in one locality, without a rule for it.",
                "Merge them into one global line.",
                lines,
                ("97",),
            )
        return
    if repeated:
        return
    if forms == {Component.GLOBAL, Component.PROFESSIONAL}:
        yield Contradiction(
            Combination.GLOBAL_AND_READING,
            "block",
            f"{one.code} is billed global and its reading again{whose}.",
            "Drop the reading, or change the global line to TC if another entity reads.",
            lines,
            ("18", "B20", "B13", "97"),
        )
    elif forms == {Component.GLOBAL, Component.TECHNICAL}:
        yield Contradiction(
            Combination.GLOBAL_AND_TECHNICAL,
            "block",
            f"{one.code} is billed global and its technical part again{whose}.",
            "Drop the technical line, or change the global line to 26.",
            lines,
            ("18", "B20"),
        )
    elif one.component is Component.GLOBAL:
        yield Contradiction(
            Combination.DUPLICATE,
            "block",
            f"{one.code} is billed twice{whose} for the same day.",
            "Delete one, or add 76, 77, 59 or the side if it was really done twice.",
            lines,
            ("18",),
        )
    else:
        part, modifier = (
            ("reading", "77")
            if one.component is Component.PROFESSIONAL
            else ("technical part", "76")
        )
        yield Contradiction(
            Combination.COMPONENT_TWICE,
            "block",
            f"The {part} of {one.code} is billed twice{whose} without {modifier}.",
            f"Delete one, or add {modifier} if it was really repeated.",
            lines,
            ("18",),
        )


def _related_codes(
    one: ClaimedService, two: ClaimedService, lines: tuple[tuple[str, str], ...]
) -> Iterable[Contradiction]:
    for whole, part in ((one, two), (two, one)):
        if part.code in WHOLE_AND_PARTS.get(whole.code, frozenset()):
            yield Contradiction(
                Combination.WHOLE_AND_PART,
                "block",
                f"{whole.code} is the whole test and already contains {part.code}.",
                f"Bill {whole.code} alone, or only the parts.",
                lines,
                ("97",),
            )
    levels = {one.contrast, two.contrast}
    if not one.family or one.family != two.family or len(levels) < 2 or "" in levels:
        return
    if not _sides_meet(one, two):
        return
    marked = DISTINCT_SERVICE.intersection(one.modifiers) or DISTINCT_SERVICE.intersection(
        two.modifiers
    )
    if marked and one.session != two.session:
        return
    yield Contradiction(
        Combination.CONTRAST_LEVELS,
        "keep_performed",
        f"{one.code} and {two.code} are two contrast levels of one study.",
        "Keep only the code of what was performed.",
        lines,
        ("236", "97"),
    )


# --- Modifiers ------------------------------------------------------------------------------------

MAX_MODIFIERS = 4
_ORDER: tuple[frozenset[str], ...] = (
    frozenset({"26", "TC"}),
    frozenset({"CT", "FX", "FY"}),
    frozenset({"52", "53"}),
    frozenset({"50", "RT", "LT"}),
    frozenset({"59", "XE", "XS", "XP", "XU"}),
    frozenset({"76", "77"}),
)
ONE_OF: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"26", "TC"}), "A line is the reading or the technical part, not both."),
    (frozenset({"FX", "FY"}), "An X-ray is on film or computed, not both."),
    (frozenset({"52", "53"}), "A service is reduced or discontinued, not both."),
    (frozenset({"59", "XE", "XS", "XP", "XU"}), "Use one distinct-service modifier."),
    (frozenset({"76", "77"}), "A repeat is by the same or by another physician."),
    (frozenset({"PI", "PS"}), "A PET scan is for initial or for subsequent strategy."),
    (frozenset({"JW", "JZ"}), "A vial was wasted or it was not."),
    (frozenset({"GA", "GY", "GZ"}), "GA, GY and GZ exclude each other."),
    (frozenset({"GX", "GA"}), "GX never goes with GA."),
    (frozenset({"GX", "GZ"}), "GX never goes with GZ."),
    (frozenset({"Q0", "Q1"}), "A trial service is investigational or routine."),
)


_MODIFIER_RULES = {
    "MODIFIERS_TOO_MANY": "modifier-limit",
    "MODIFIERS_EXCLUDE": "modifier-conflict",
    "SIDES_TWICE": "modifier-conflict",
    "BILATERAL_ILLEGAL": "bilateral",
    "BILATERAL_NO_EFFECT": "bilateral",
    "MODIFIER_51": "modifier-51",
    "EQUIPMENT_MODIFIER_MISSING": "equipment-record",
    "EQUIPMENT_MODIFIER_UNSUPPORTED": "equipment-record",
    "MODIFIER_ORDER": "modifier-order",
}
"""The rule behind each finding about modifiers."""


def order_modifiers(modifiers: Iterable[str]) -> tuple[str, ...]:
    """Payment modifiers first, then equipment, sides, distinct service, repeats, information;
    duplicates dropped (rule `modifier-order`).
    """

    def rank(modifier: str) -> int:
        return next((n for n, group in enumerate(_ORDER) if modifier in group), len(_ORDER))

    return tuple(sorted(dict.fromkeys(modifiers), key=rank))


def modifier_findings(
    code: str,
    modifiers: Iterable[str],
    *,
    pctc: str,
    bilateral: str,
    medicare: bool,
    equipment: frozenset[str] | None = None,
    imaging: bool = True,
) -> list[Finding]:
    """What is wrong with the modifiers of one line (rule `modifier-order`). `equipment` is what the
    machine's record demands, if known.
    """
    mods = tuple(modifiers)
    present = frozenset(mods)
    found: list[Finding] = []

    def say(finding_code: str, severity: Severity, sentence: str, fix: str, *denials: str) -> None:
        found.append(
            Finding(
                finding_code,
                severity,
                sentence,
                "modifiers",
                fix,
                denials,
                _MODIFIER_RULES[finding_code],
            )
        )

    form = form_finding(code, pctc, mods)
    if form is not None:
        found.append(form)
    if len(present) > MAX_MODIFIERS:
        say(
            "MODIFIERS_TOO_MANY",
            Severity.BLOCK,
            f"{code} has more than four modifiers.",
            "Keep the four that pay.",
        )
    for group, sentence in ONE_OF:
        if len(present & group) > 1 and group != ONE_OF[0][0]:
            say(
                "MODIFIERS_EXCLUDE",
                Severity.BLOCK,
                f"{code}: {sentence}",
                "Remove the wrong one.",
                "4",
            )
    if "50" in present and present & {"RT", "LT"}:
        say(
            "SIDES_TWICE",
            Severity.BLOCK,
            f"{code} says both sides and one side.",
            "Use 50, or RT and LT lines.",
            "4",
        )
    if "50" in present and bilateral in {"2", "9"}:
        why = "already covers both sides" if bilateral == "2" else "has no sides"
        say("BILATERAL_ILLEGAL", Severity.BLOCK, f"{code} {why}.", "Remove 50.", "4")
    elif "50" in present and bilateral == "0":
        say(
            "BILATERAL_NO_EFFECT",
            Severity.WARN,
            f"{code} pays once with 50.",
            "Check whether a bilateral code exists.",
        )
    if "51" in present and imaging and medicare:
        say(
            "MODIFIER_51",
            Severity.BLOCK,
            f"{code}: Medicare ranks imaging itself.",
            "Remove 51.",
            "4",
        )
    if equipment is not None:
        on_line = present & {"CT", "FX", "FY"}
        wanted = frozenset() if "26" in present else equipment
        for modifier in sorted(wanted - on_line):
            say(
                "EQUIPMENT_MODIFIER_MISSING",
                Severity.BLOCK,
                f"The equipment record demands {modifier} on {code}.",
                f"Add {modifier}.",
                "237",
            )
        for modifier in sorted(on_line - wanted):
            say(
                "EQUIPMENT_MODIFIER_UNSUPPORTED",
                Severity.BLOCK,
                f"{modifier} on {code} is not what the equipment record says.",
                f"Remove {modifier}.",
                "4",
            )
    if mods != order_modifiers(mods):
        ordered = " ".join(order_modifiers(mods))
        say(
            "MODIFIER_ORDER",
            Severity.INFO,
            f"{code}: the usual order is {ordered}.",
            "Reorder the modifiers.",
        )
    return found


# --- Contrast, mammography, PET -------------------------------------------------------------------

CONTRAST_UNIT_ML: Mapping[str, Decimal] = {
    **{code: Decimal(1) for code in ("A9573", "A9576", "A9577", "A9578", "A9579", "A9581")},
    **{
        code: Decimal(1)
        for code in (
            "Q9953",
            "Q9958",
            "Q9960",
            "Q9961",
            "Q9962",
            "Q9963",
            "Q9965",
            "Q9966",
            "Q9967",
        )
    },
    **{code: Decimal("0.1") for code in ("A9575", "A9585")},
    "Q9954": Decimal(100),
}
"""Millilitres in one billing unit, as the code's own descriptor defines it (rule `contrast-units`).
"""


@dataclass(frozen=True, slots=True)
class SupplyLine:
    code: str
    units: int
    modifiers: tuple[str, ...] = ()


def contrast_units(code: str, millilitres: Decimal) -> int | None:
    """Billing units of a volume, begun units counted whole; None when the code's unit is not known
    (rule `contrast-units`).

    8 mL of gadobutrol (A9585, 0.1 mL a unit) are 80 units.
    """
    unit = CONTRAST_UNIT_ML.get(code)
    if unit is None or millilitres < 0:
        return None
    return int((millilitres / unit).to_integral_value(ROUND_CEILING))


def contrast_lines(
    code: str,
    *,
    given: Decimal,
    discarded: Decimal | None,
    single_dose: bool | None,
    medicare: bool,
) -> tuple[tuple[SupplyLine, ...], tuple[Finding, ...]]:
    """The lines of one agent: the amount given, and for a single-dose vial JZ or a JW line with the
    waste (rule `contrast-units`).
    """
    units = contrast_units(code, given)
    if units is None:
        return (), (
            _supply_hold("CONTRAST_UNIT_UNKNOWN", f"The billing unit of {code} is not known."),
        )
    if units == 0:
        return (), ()
    if not medicare or single_dose is False:
        return (SupplyLine(code, units),), ()
    if single_dose is None or discarded is None:
        return (SupplyLine(code, units),), (
            _supply_hold(
                "WASTE_UNKNOWN",
                f"{code}: vial type and discarded amount are not recorded (JW or JZ).",
            ),
        )
    wasted = contrast_units(code, discarded) or 0
    if wasted:
        return (SupplyLine(code, units), SupplyLine(code, wasted, ("JW",))), ()
    return (SupplyLine(code, units, ("JZ",)),), ()


def _supply_hold(code: str, sentence: str) -> Finding:
    return Finding(
        code,
        Severity.HOLD,
        sentence,
        "contrast",
        "Complete the technologist's contrast record.",
        (),
        "drug-waste" if code == "WASTE_UNKNOWN" else "contrast-units",
    )


SCREENING_MAMMOGRAM, SCREENING_TOMO = "77067", "77063"
DIAGNOSTIC_MAMMOGRAMS = frozenset({"77065", "77066"})
DIAGNOSTIC_TOMO_MEDICARE = "G0279"
DIAGNOSTIC_TOMO_OTHER = frozenset({"77061", "77062"})


def mammography(
    lines: Sequence[SupplyLine], *, medicare: bool
) -> tuple[tuple[SupplyLine, ...], tuple[Finding, ...]]:
    """Same-day mammography: GG on the diagnostic line, and Medicare's own tomosynthesis code (rules
    `modifier-order` and `contrast-units`).
    """
    codes = {line.code for line in lines}
    screened = SCREENING_MAMMOGRAM in codes
    out: list[SupplyLine] = []
    found: list[Finding] = []
    for line in lines:
        code, mods = line.code, line.modifiers
        if medicare and code in DIAGNOSTIC_TOMO_OTHER:
            found.append(
                Finding(
                    "TOMO_CODE_FOR_MEDICARE",
                    Severity.INFO,
                    f"Medicare does not accept {code}: {DIAGNOSTIC_TOMO_MEDICARE} is used.",
                    "code",
                    "No action: the code was changed.",
                    ("181",),
                    "tomosynthesis",
                )
            )
            code = DIAGNOSTIC_TOMO_MEDICARE
            mods = tuple(m for m in mods if m not in {"RT", "LT", "50"})
        diagnostic = code in DIAGNOSTIC_MAMMOGRAMS or code == DIAGNOSTIC_TOMO_MEDICARE
        if screened and diagnostic and "GG" not in mods:
            mods = order_modifiers((*mods, "GG"))
        out.append(SupplyLine(code, line.units, mods))
    if SCREENING_TOMO in codes and not screened:
        found.append(_mammo_block(SCREENING_TOMO, SCREENING_MAMMOGRAM))
    if (
        DIAGNOSTIC_TOMO_MEDICARE in {line.code for line in out}
        and not codes & DIAGNOSTIC_MAMMOGRAMS
    ):
        found.append(_mammo_block(DIAGNOSTIC_TOMO_MEDICARE, "77065 or 77066"))
    return tuple(out), tuple(found)


def _mammo_block(addon: str, primary: str) -> Finding:
    return Finding(
        "ADD_ON_ALONE",
        Severity.BLOCK,
        f"{addon} is billed only together with {primary}.",
        "code",
        f"Add {primary}, or remove {addon}.",
        ("97",),
        "tomosynthesis",
    )


ONCOLOGIC_PET = frozenset({"78608", "78811", "78812", "78813", "78814", "78815", "78816"})
PET_SUBSEQUENT_LIMIT = 3
"""Subsequent-strategy scans that need no attestation (NCD 220.6.17)."""


def pet_modifiers(
    code: str, *, strategy: str | None, prior_subsequent: int | None, oncologic: bool
) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """PI or PS for an oncologic FDG PET, KX from the fourth subsequent scan on (rule
    `modifier-order`). `strategy`: initial or subsequent.
    """
    if code not in ONCOLOGIC_PET or not oncologic:
        return (), ()
    if strategy == "initial":
        return ("PI",), ()
    if strategy != "subsequent":
        return (), (
            _pet_hold(
                "PET_STRATEGY_UNKNOWN",
                f"{code}: initial or subsequent treatment strategy is not recorded.",
            ),
        )
    if prior_subsequent is None:
        return ("PS",), (
            _pet_hold(
                "PET_COUNT_UNKNOWN", f"{code}: the number of earlier subsequent scans is not known."
            ),
        )
    return ("PS", "KX") if prior_subsequent >= PET_SUBSEQUENT_LIMIT else ("PS",), ()


def _pet_hold(code: str, sentence: str) -> Finding:
    return Finding(
        code,
        Severity.HOLD,
        sentence,
        "modifiers",
        "Ask the ordering practice.",
        ("4", "50"),
        "pet-strategy",
    )
