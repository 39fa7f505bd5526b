"""From one performed exam to its billable lines and to what stops them (rules `arrangement`,
`tomosynthesis` and `contrast-as-given`). Pure: facts in, lines and holds out.

Evidence has a rank: the technologist's record, then the signed report, then the code the message
carried. What is missing or contradicted becomes a hold with its sentence, its fix and the queue of
who can clear it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Protocol

from charges import performed
from charges.capture import (
    Contrast,
    FamilyRow,
    Performed,
    Resolution,
    Side,
    conflicts,
    contrast_level,
    discontinued,
    resolve_all,
)
from charges.components import (
    Arrangement,
    BillingForm,
    Decision,
    ExamToBill,
    SupplyLine,
    contrast_lines,
    contrast_units,
    decide,
    mammography,
    modifier_findings,
    order_modifiers,
    pet_modifiers,
)
from charges.report_check import (
    ReportedExam,
    ReportFinding,
    ReportReading,
    check_report,
    demands,
    read_report,
)
from rcm.pricing.facts import Component, Locality, PosSetting
from rcm.pricing.forms import Equipment, Finding, Severity, equipment_modifiers

UNSIGNED, CONFLICT, REVIEW, MISMATCH, LATE = (
    "unsigned_reports",
    "report_conflict",
    "charge_review",
    "auth_mismatch",
    "late_charges",
)
AUTH_UPDATE = "auth_update"
MACHINES = "machine_questions"
OTHER_HOMES = frozenset({AUTH_UPDATE, MACHINES})
"""Queues whose items are not the exam's own: an authorization's, a machine's."""
CONFLICTS = frozenset(
    {"CONTRAST_CONFLICT", "VIEWS_CONFLICT", "LATERALITY_CONFLICT", "CONTRAST_VOLUME_CONFLICT"}
)
NOT_WAIVABLE = frozenset(
    {
        "NO_FINAL_REPORT",
        "REPORT_WITHDRAWN",
        "READER_NOT_CREDENTIALED",
        "MISSING_SIGNATURE",
        "PRELIMINARY",
        "CODE_UNKNOWN",
        "ARRANGEMENT_UNKNOWN",
        "INDICATOR_UNKNOWN",
        "MACHINE_UNKNOWN",
        "POS_UNKNOWN",
        "COVERAGE_MISSING",
        "LIST_PRICE_MISSING",
        "DIAGNOSIS_MISSING",
        "READ_ABROAD",
        "IDTF_SPLIT",
        "DISCONTINUED_REVIEW",
    }
)
"""Holds that only their fix clears."""


NOTHING_MADE = "The exam was discontinued before any image was made."


@dataclass(frozen=True, slots=True)
class Hold:
    """What stops release: a code, a sentence, what to do, the field, whose it is. `waive` is the
    permission that may waive it with a reason.
    """

    code: str
    sentence: str
    fix: str
    field: str = ""
    owner: str = "coder"
    queue: str = REVIEW
    rule: str = ""
    waive: str = ""
    due: dt.date | None = None

    def as_json(self) -> dict[str, str]:
        return {
            "code": self.code,
            "sentence": self.sentence,
            "fix": self.fix,
            "field": self.field,
            "owner": self.owner,
            "queue": self.queue,
            "rule": self.rule,
            "waive": self.waive,
            "due": self.due.isoformat() if self.due else "",
        }


def hold_of(finding: Finding | ReportFinding, *, owner: str = "coder", queue: str = "") -> Hold:
    """A finding as a hold: conflicts and what the reader must add go to the reader, the rest to the
    coder.
    """
    if not queue:
        to_reader = finding.code in CONFLICTS or (
            isinstance(finding, ReportFinding) and not finding.suggested_code
        )
        queue, owner = (CONFLICT, "reader") if to_reader else (REVIEW, owner)
    waivable = finding.code not in NOT_WAIVABLE and finding.severity is not Severity.BLOCK
    rule = finding.rule if isinstance(finding, Finding) else "report-complete"
    return Hold(
        finding.code,
        finding.sentence,
        finding.fix,
        finding.field,
        owner,
        queue,
        rule,
        "charge.review" if waivable else "",
    )


class CodeTables(Protocol):
    """What assembly asks about codes, by service date."""

    def rows(self) -> Sequence[FamilyRow]: ...
    def row(self, code: str) -> CodeRow | None: ...
    def pctc(self, code: str, on: dt.date) -> str: ...
    def dose_listed(self, code: str, on: dt.date) -> bool: ...


@dataclass(frozen=True, slots=True)
class CodeRow:
    """What the procedure catalog says of one code."""

    code: str
    name: str
    family: str
    modality: str
    body_part: str
    kind: str
    contrast: str = ""
    extent: str = ""
    views_min: int | None = None
    views_max: int | None = None
    sided: bool = False
    both: bool = False
    bilateral: str = ""


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """The last version of the report."""

    status: str
    version: int
    sections: Mapping[str, str]
    reader_npi: str = ""

    @property
    def final(self) -> bool:
        return self.status in ("F", "C")


@dataclass(frozen=True, slots=True)
class StockFacts:
    """An agent's billing code and packaging at the site."""

    agent: str
    code: str
    single_dose: bool | None = None
    strength_from: int | None = None
    strength_to: int | None = None
    invoice_price: Decimal | None = None

    def fits(self, text: str) -> bool:
        """Whether this row is the agent written in `text`; strengths are in milligrams per
        millilitre.
        """
        words = text.lower()
        if self.agent.lower() not in words:
            return False
        if self.strength_from is None or self.strength_to is None:
            return True
        numbers = [int(n) for n in _numbers(words[words.index(self.agent.lower()) :])]
        return any(self.strength_from <= n <= self.strength_to for n in numbers)


@dataclass(frozen=True, slots=True)
class ExamFacts:
    """Everything assembly needs of one exam."""

    key: int
    on: dt.date
    code: str
    modality: str
    said: Mapping[str, Any]
    pos: str
    pos_setting: PosSetting | None
    report: ReportFacts | None = None
    reader_known: bool = False
    reader_credentialed: bool = False
    session: str = ""
    stopped: bool = False
    medicare: bool = False
    self_pay: bool = False
    covered: bool = True
    contrast_payable: bool = True
    split_on_locality: bool = False
    idtf: bool = False
    arrangement: Arrangement | None = None
    tc_locality: Locality | None = None
    pc_locality: Locality | None = None
    read_in_us: bool = True
    anti_markup: bool | None = None
    purchase_price: Decimal | None = None
    equipment: Equipment = field(default_factory=Equipment)
    arrangement_said: Mapping[str, Any] = field(default_factory=dict)
    """The arrangement's row as it decided: its id, words and facts."""
    unrecorded: str = ""
    """The station that the messages name and that no machine record of the site covers."""
    stock: tuple[StockFacts, ...] = ()
    tc_without_report: bool = False
    decision: Mapping[str, Any] = field(default_factory=dict)
    waived: frozenset[str] = frozenset()
    notice: tuple[str, ...] = ()
    """GA, GX, GY or GZ by the advance notice of the exam; Original Medicare only."""
    unbilled: bool = False
    """The patient chose in the notice that Medicare is not billed."""

    @property
    def read(self) -> bool:
        return self.report is not None and self.report.final


@dataclass(frozen=True, slots=True)
class Line:
    """One billable line of ours. `at` is the imaging site or the reading room; `kind` is exam,
    addon or supply.
    """

    code: str
    component: Component
    modifiers: tuple[str, ...]
    units: Decimal
    kind: str
    at: str = "imaging site"
    locality: Locality | None = None
    purchased_price: Decimal | None = None


@dataclass(slots=True)
class Assembled:
    """The answer for one exam. `no_bill` says why nothing of it is ours to bill; `part_of` the exam
    whose code contains it.
    """

    key: int
    code: str = ""
    side: str = ""
    why: str = ""
    suggestion: dict[str, Any] = field(default_factory=dict)
    form: dict[str, Any] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    findings: list[ReportFinding] = field(default_factory=list)
    no_bill: str = ""
    part_of: int | None = None

    def stop(self, *holds: Hold) -> None:
        known = {h.code for h in self.holds}
        self.holds += [h for h in holds if h.code not in known]


def assemble(exams: Sequence[ExamFacts], tables: CodeTables) -> dict[int, Assembled]:
    """Assemble the exams of one patient, day and site together: combined codes, and mammography of
    one day, need to see each other.
    """
    readings = {
        e.key: read_report(e.report.sections) if e.read and e.report else ReportReading()
        for e in exams
    }
    answers = {e.key: Assembled(e.key) for e in exams}
    known: list[ExamFacts] = []
    captured: list[Performed] = []
    for exam in exams:
        row = tables.row(exam.code)
        if row is None or row.kind not in ("exam", "other", "guidance", "addon"):
            _unknown_code(exam, answers[exam.key])
            continue
        technical = performed.of_sources(exam.said, performed.TECHNICAL_SOURCES)
        ours = performed.facts(
            technical, family=row.family, modality=row.modality, on=exam.on, session=exam.session
        )
        theirs = performed.reported(
            readings[exam.key],
            family=row.family,
            modality=row.modality,
            on=exam.on,
            session=exam.session,
        )
        if not _sided(row):
            ours, theirs = replace(ours, side=None), replace(theirs, side=None)
        if exam.read and not exam.decision:
            answers[exam.key].stop(*(hold_of(f) for f in conflicts(ours, theirs)))
        known.append(exam)
        captured.append(_evidence(ours, theirs, exam, row))
    by_key = {e.key: e for e in known}
    for indices, resolution in resolve_all(captured, tables.rows()):
        parts = [known[i] for i in indices]
        for part in parts[1:]:
            answers[part.key].part_of = parts[0].key
            answers[part.key].no_bill = f"Part of {resolution.code}: {resolution.why}"[:200]
        _take(parts[0], resolution, answers[parts[0].key])
    for key, exam in by_key.items():
        answer = answers[key]
        if answer.part_of is None:
            _bill(exam, answer, readings[key], captured[known.index(exam)], tables)
    _mammograms([answers[k] for k in by_key], by_key)
    for exam in exams:
        _settle(exam, answers[exam.key])
    return answers


def _sided(row: CodeRow) -> bool:
    return row.sided or row.bilateral in {"1", "3"}


def _evidence(ours: Performed, theirs: Performed, exam: ExamFacts, row: CodeRow) -> Performed:
    """The strongest word on each fact: technologist, report, then what the message's code stands
    for.
    """
    routes, pre, post = performed.as_coded(row.contrast)
    if ours.routes is not None or theirs.routes is not None:
        known = ours if ours.routes is not None else theirs
        routes = known.routes
        if known.pre_contrast is not None:
            pre = known.pre_contrast
        elif theirs.pre_contrast is not None:
            pre = theirs.pre_contrast
        post = known.post_contrast if known.post_contrast is not None else True
    side = ours.side or performed.side_of(exam.said.get("laterality", "")) or theirs.side
    return replace(
        ours,
        routes=routes,
        pre_contrast=pre,
        post_contrast=post,
        views=ours.views or theirs.views or row.views_min,
        extent=ours.extent or exam.said.get("extent", "") or row.extent,
        side=side if _sided(row) else Side.BOTH if row.both else None,
    )


def _unknown_code(exam: ExamFacts, answer: Assembled) -> None:
    answer.code = exam.code
    words = (
        f"{exam.code} is not in the procedure catalog."
        if exam.code
        else "No message says which exam was done."
    )
    answer.stop(
        Hold(
            "CODE_UNKNOWN",
            words,
            "Choose the code of the performed exam.",
            "code",
            rule="code-from-performed",
        )
    )


def _take(exam: ExamFacts, resolution: Resolution, answer: Assembled) -> None:
    """The code of an exam: capture's own, or the coder's decision over it."""
    if exam.stopped:
        resolution = discontinued(
            resolution,
            started=exam.said.get("images") != 0,
            for_safety=exam.said.get("for_safety"),
        )
    answer.suggestion = {
        "code": resolution.code or exam.code,
        "modifiers": list(resolution.modifiers),
        "why": resolution.why,
    }
    nothing_made = exam.stopped and exam.said.get("images") == 0
    if nothing_made:
        answer.suggestion |= {"code": "", "no_bill": NOTHING_MADE}
    answer.code, answer.why = resolution.code or exam.code, resolution.why
    modifiers = resolution.modifiers
    if exam.decision:
        answer.code = str(exam.decision.get("code") or answer.code)
        modifiers = tuple(exam.decision.get("modifiers", ()))
        answer.why = (
            f"Decided by {exam.decision.get('by', 'a coder')}: {exam.decision.get('reason', '')}"
        )
    else:
        answer.stop(*(hold_of(f, queue=REVIEW) for f in resolution.findings))
        if exam.stopped:
            words = "The exam was discontinued: reduced, stopped for safety, or no charge."
            fix = "Decide the modifier, or no-bill with a reason."
            if nothing_made:
                words = f"{NOTHING_MADE} Proposed: not billed."
                fix = "Confirm that it is not billed, or decide the code if images were made."
            answer.stop(
                Hold(
                    "DISCONTINUED_REVIEW",
                    words,
                    fix,
                    "modifiers",
                    rule="exam-not-completed",
                )
            )
    answer.side = next((m for m in modifiers if m in ("RT", "LT", "50")), "")
    answer.form["modifiers"] = list(modifiers)


def _bill(
    exam: ExamFacts,
    answer: Assembled,
    reading: ReportReading,
    captured: Performed,
    tables: CodeTables,
) -> None:
    row = tables.row(answer.code)
    if row is None:
        _unknown_code(replace(exam, code=answer.code), answer)
        return
    _read_against(exam, answer, row, tables)
    modifiers = tuple(answer.form.pop("modifiers", ()))
    decision = _decide(exam, answer.code, tables)
    answer.form = {
        "form": decision.form.value,
        "rule": decision.rule,
        "words": decision.words,
        "others": [list(o) for o in decision.others],
        "invoice": decision.invoice,
        "capitated": decision.capitated,
        "row": exam.arrangement_said,
    }
    answer.stop(*(_of_decision(f) for f in decision.findings))
    if decision.form is BillingForm.NOTHING:
        answer.no_bill = decision.words
        return
    if decision.form is BillingForm.HOLD:
        return
    if exam.unbilled:
        answer.stop(_not_to_medicare())
    strategy, holds = _pet(exam, answer.code)
    answer.stop(*holds)
    machine, unknown = equipment_modifiers(
        answer.code,
        row.modality,
        exam.equipment,
        dose_listed=tables.dose_listed(answer.code, exam.on),
    )
    technical = any(line.component is not Component.PROFESSIONAL for line in decision.lines)
    if technical:
        answer.stop(*(_machine_hold(exam, f) for f in unknown))
    for line in decision.lines:
        mine = (
            (() if line.component is Component.GLOBAL else (line.component.value,))
            + modifiers
            + strategy
            + exam.notice
        )
        if line.component is not Component.PROFESSIONAL:
            mine += machine
        ordered = order_modifiers(mine)
        wanted = frozenset(machine) if technical else None
        answer.stop(
            *(
                hold_of(f, queue=REVIEW)
                for f in modifier_findings(
                    answer.code,
                    ordered,
                    pctc=tables.pctc(answer.code, exam.on),
                    bilateral=row.bilateral,
                    medicare=exam.medicare,
                    equipment=wanted,
                )
                if f.severity in (Severity.BLOCK, Severity.HOLD)
            )
        )
        answer.lines.append(
            Line(
                answer.code,
                line.component,
                ordered,
                Decimal(1),
                "exam",
                line.at,
                line.locality,
                exam.purchase_price if line.purchased else None,
            )
        )
    _addons(exam, answer, tables)
    if technical:
        _supplies(exam, answer, reading, captured, tables)


def _not_to_medicare() -> Hold:
    return Hold(
        "NOTICE_WITHOUT_BILL",
        "The patient signed the advance notice with option 2: Medicare is not billed.",
        "Make the exam self-pay, or no-bill it with a reason.",
        "coverage",
        rule="advance-notice",
    )


def _machine_hold(exam: ExamFacts, finding: Finding) -> Hold:
    """A machine without a record is one question to the site, however many exams wait for it."""
    if not exam.unrecorded:
        return hold_of(finding, owner="manager", queue=REVIEW)
    return Hold(
        "MACHINE_UNKNOWN",
        f"No record says what machine {exam.unrecorded} is on {exam.on:%b %-d, %Y}: whether a"
        " film, computed radiography or CT dose reduction applies is not known.",
        "Enter the machine; every exam that waits for it goes on.",
        "equipment",
        "manager",
        MACHINES,
        "equipment",
    )


def _decide(exam: ExamFacts, code: str, tables: CodeTables) -> Decision:
    return decide(
        ExamToBill(
            code=code,
            pctc=tables.pctc(code, exam.on),
            pos=exam.pos,
            pos_setting=exam.pos_setting,
            medicare=exam.medicare,
            tc_locality=exam.tc_locality,
            pc_locality=exam.pc_locality,
            report_final=exam.read,
            split_on_locality=exam.split_on_locality,
            idtf=exam.idtf,
            read_in_us=exam.read_in_us,
            anti_markup=exam.anti_markup,
            purchase_price=exam.purchase_price,
        ),
        exam.arrangement,
    )


def _of_decision(finding: Finding) -> Hold:
    if finding.code == "NO_FINAL_REPORT":
        return no_final_report()
    return hold_of(finding, owner="manager", queue=REVIEW)


def no_final_report() -> Hold:
    return Hold(
        "NO_FINAL_REPORT",
        "There is no final signed report.",
        "Have the reader sign; nothing is billed before.",
        "report",
        "reader",
        UNSIGNED,
        "written-report",
    )


def _read_against(exam: ExamFacts, answer: Assembled, row: CodeRow, tables: CodeTables) -> None:
    """The signed text against what is about to be billed; waived findings stay visible and do
    not stop.
    """
    if exam.report is None or not exam.report.final:
        return
    contrast = exam.said.get("contrast", {})
    given = contrast.get("given_ml")
    facts = ReportedExam(
        code=answer.code,
        modality={"DXA": "BMD"}.get(row.modality, row.modality),
        contrast="" if row.contrast in ("", Contrast.ANY) else row.contrast,
        contrast_ml=Decimal(given) if given else None,
        views_min=row.views_min,
        views_max=row.views_max,
        side=performed.side_of(answer.side) if _sided(row) else None,
        lower_code=_lower(row, tables.rows()),
        signed=bool(exam.report.reader_npi),
        title=row.name,
        **demands(answer.code, row.modality, row.body_part, row.extent),  # type: ignore[arg-type]
    )
    answer.findings = check_report(exam.report.sections, facts)
    answer.stop(
        *(hold_of(f) for f in answer.findings if f.severity in (Severity.BLOCK, Severity.HOLD))
    )


def _lower(row: CodeRow, rows: Iterable[FamilyRow]) -> str:
    """The code to bill when this one is not documented: fewer views, or the limited study."""
    family = [r for r in rows if r.family == row.family and r.code != row.code]
    if row.views_min is not None:
        fewer = [r for r in family if r.views_max is not None and r.views_max < row.views_min]
        return max(fewer, key=lambda r: r.views_max or 0).code if fewer else ""
    if row.extent == "complete":
        return next(
            (r.code for r in family if r.extent == "limited" and r.contrast == row.contrast), ""
        )
    return ""


def _pet(exam: ExamFacts, code: str) -> tuple[tuple[str, ...], list[Hold]]:
    if not exam.medicare:
        return (), []
    said = exam.said.get("pet", {})
    modifiers, findings = pet_modifiers(
        code,
        strategy=said.get("strategy"),
        prior_subsequent=said.get("prior_subsequent"),
        oncologic=said.get("oncologic", True),
    )
    return modifiers, [hold_of(f, queue=REVIEW) for f in findings]


def _addons(exam: ExamFacts, answer: Assembled, tables: CodeTables) -> None:
    """Add-on codes as charged (3D, tomosynthesis, guidance), each by its own component
    indicator.
    """
    for _, item in sorted(exam.said.get("addons", {}).items()):
        code = item["code"]
        decision = _decide(exam, code, tables)
        answer.stop(*(_of_decision(f) for f in decision.findings))
        for line in decision.lines:
            part = () if line.component is Component.GLOBAL else (line.component.value,)
            modifiers = order_modifiers((*part, *item.get("modifiers", ()), *exam.notice))
            answer.lines.append(
                Line(
                    code,
                    line.component,
                    modifiers,
                    Decimal(item["units"]),
                    "addon",
                    line.at,
                    line.locality,
                )
            )


def _supplies(
    exam: ExamFacts,
    answer: Assembled,
    reading: ReportReading,
    captured: Performed,
    tables: CodeTables,
) -> None:
    """Contrast when contrast was given, radiopharmaceuticals as charged (rule `contrast-as-given`).
    Who furnishes the technical part furnishes them.
    """
    row = tables.row(answer.code)
    assert row is not None
    charged = [item for _, item in sorted(exam.said.get("supplies", {}).items())]
    kinds = {
        item["code"]: found.kind if (found := tables.row(item["code"])) else "" for item in charged
    }
    for item in charged:
        if kinds[item["code"]] != "contrast":
            answer.lines.append(
                _supply(item["code"], Decimal(item["units"]), tuple(item["modifiers"]))
            )
    level = row.contrast if row.contrast not in ("", Contrast.ANY) else contrast_level(captured)
    if level not in (Contrast.WITH, Contrast.BOTH) or not exam.contrast_payable:
        return
    agents = [item for item in charged if kinds[item["code"]] == "contrast"]
    if agents:
        for item in agents:
            _agent(exam, answer, item["code"], Decimal(item["units"]), tuple(item["modifiers"]))
        return
    contrast = exam.said.get("contrast", {})
    text = contrast.get("agent") or (reading.volume_span.quote if reading.volume_span else "")
    volume = Decimal(contrast["given_ml"]) if contrast.get("given_ml") else reading.volume_ml
    if volume is None or not text:
        if not exam.read:
            return  # the report may still say it
        words = "Contrast was given, but agent or volume is not recorded: its charge would be lost."
        answer.stop(
            Hold(
                "CONTRAST_NOT_RECORDED",
                words,
                "Record agent and millilitres.",
                "contrast",
                "technologist",
                REVIEW,
                "contrast-as-given",
                "charge.review",
            )
        )
        return
    stock = stock_of(exam.stock, text)
    units = contrast_units(stock.code, volume) if stock else None
    if stock is None or units is None:
        words = f"No billing code is known for the contrast agent in “{text[:80]}”."
        answer.stop(
            Hold(
                "CONTRAST_AGENT_UNKNOWN",
                words,
                "Add the agent to the site's stock.",
                "contrast",
                "manager",
                REVIEW,
                "contrast-as-given",
                "charge.review",
            )
        )
        return
    _agent(exam, answer, stock.code, Decimal(units), ())


def stock_of(stock: Iterable[StockFacts], text: str) -> StockFacts | None:
    """The stock row of an agent as written; the longest name that fits."""
    return max(
        (s for s in stock if s.fits(text)),
        key=lambda s: (len(s.agent), s.single_dose is not None),
        default=None,
    )


def _agent(
    exam: ExamFacts, answer: Assembled, code: str, units: Decimal, modifiers: tuple[str, ...]
) -> None:
    one = contrast_units(code, Decimal(1))
    said = [
        item["modifiers"] for item in exam.said.get("supplies", {}).values() if item["code"] == code
    ]
    settled = any({"JZ", "JW"} & set(given) for given in said)
    if settled or one is None or not exam.medicare:
        answer.lines.append(_supply(code, units, modifiers))
        return
    packed = next(
        (s.single_dose for s in exam.stock if s.code == code and s.single_dose is not None), None
    )
    wasted = exam.said.get("contrast", {}).get("wasted_ml")
    lines, findings = contrast_lines(
        code,
        given=units / one,
        discarded=Decimal(wasted) if wasted else None,
        single_dose=packed,
        medicare=exam.medicare,
    )
    answer.lines += [
        _supply(line.code, Decimal(line.units), order_modifiers((*modifiers, *line.modifiers)))
        for line in lines
    ]
    answer.stop(*(hold_of(f, owner="technologist", queue=REVIEW) for f in findings))


def _supply(code: str, units: Decimal, modifiers: tuple[str, ...]) -> Line:
    return Line(code, Component.GLOBAL, modifiers, units, "supply")


def _mammograms(answers: Sequence[Assembled], exams: Mapping[int, ExamFacts]) -> None:
    """GG and Medicare's own tomosynthesis code, across the mammograms of one day (rules
    `tomosynthesis` and `contrast-as-given`).
    """
    places = [
        (a, n)
        for a in answers
        for n, line in enumerate(a.lines)
        if line.kind != "supply" and line.code.startswith(("7706", "G0279"))
    ]
    if not places:
        return
    medicare = exams[places[0][0].key].medicare
    lines, findings = mammography(
        [
            SupplyLine(a.lines[n].code, int(a.lines[n].units), a.lines[n].modifiers)
            for a, n in places
        ],
        medicare=medicare,
    )
    for (answer, n), line in zip(places, lines, strict=True):
        answer.lines[n] = replace(answer.lines[n], code=line.code, modifiers=line.modifiers)
    for finding in findings:
        if finding.severity in (Severity.BLOCK, Severity.HOLD):
            places[0][0].stop(hold_of(finding, queue=REVIEW))


def _settle(exam: ExamFacts, answer: Assembled) -> None:
    """What stops the exam as a whole, then what a person has waived."""
    if answer.no_bill:
        answer.holds, answer.lines = [], []
        return
    only_technical = bool(answer.lines) and all(
        line.component is Component.TECHNICAL for line in answer.lines
    )
    if not exam.read and not (only_technical and exam.tc_without_report):
        answer.stop(no_final_report())
    if exam.report is not None and exam.report.status == "X":
        words = "The report was withdrawn."
        answer.stop(
            Hold(
                "REPORT_WITHDRAWN",
                words,
                "Wait for a new report, or no-bill with a reason.",
                "report",
                "reader",
                CONFLICT,
                "release",
            )
        )
    if exam.read and not exam.reader_credentialed:
        words = (
            "The signer's credentials do not cover the day of the exam."
            if exam.reader_known
            else "The signer is not among the credentialed readers."
        )
        answer.stop(
            Hold(
                "READER_NOT_CREDENTIALED",
                words,
                "Check the signer; add the reader's credentials.",
                "reader",
                "manager",
                REVIEW,
                "report-signer",
            )
        )
    if not exam.covered:
        words = "No policy is active on the day of the exam."
        answer.stop(
            Hold(
                "COVERAGE_MISSING",
                words,
                "Add the coverage, or make the exam self-pay.",
                "coverage",
                "front_desk",
                REVIEW,
                "coverage-active",
            )
        )
    answer.holds = [h for h in answer.holds if h.code not in exam.waived or not h.waive]


def _numbers(text: str) -> list[str]:
    return "".join(ch if ch.isdigit() else " " for ch in text).split()


__all__ = [
    "Assembled",
    "CodeRow",
    "CodeTables",
    "ExamFacts",
    "Hold",
    "Line",
    "ReportFacts",
    "Side",
    "StockFacts",
    "assemble",
    "stock_of",
]
