"""Everything evaluation asks, loaded in bulk: a fixed number of queries for any number of exams."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from django.db.models import Q

from authorizations.loading import eligibility_flags
from charges.assembly import CodeRow, ExamFacts, ReportFacts, StockFacts
from charges.capture import FamilyRow
from charges.components import Arrangement, Force, Owner, ReaderRelation, resolve_arrangement
from charges.models import (
    BillingArrangement,
    ContrastStock,
    Exam,
    ExamStatus,
    FindingWaiver,
    Reader,
    ReadingGroup,
    ReleasePolicy,
    Report,
    Scanner,
)
from intake.models import Benefit, Coverage, CoverageStatus, EligibilityCheck
from intake.services import coverages_of_orders, notice_states, sharing_of
from rcm.accounts.models import Site
from rcm.pricing.db_tables import ContractBook, tables_for
from rcm.pricing.facts import Benefits, Locality
from rcm.pricing.forms import Equipment
from rcm.pricing.models import ListPrice
from rcm.pricing.tables import MemoryTables
from rcm.reference.clock import day_at
from rcm.reference.facts import current, procedure_versions
from rcm.reference.models import PayerKind, Procedure

DEFAULT_FILING_DAYS = 90
"""An unknown filing limit is assumed to be this short (rule `filing-limit`)."""

_DATA = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True)
class Policy:
    """When charges may leave a site and when a missing report alarms; hours from the exam (rule
    `unsigned-clock`).
    """

    warn_hours: int
    escalate_hours: int
    director_hours: int
    eligibility_days: int | None
    tc_without_report: bool
    auto_release: bool
    effective_from: dt.date
    effective_to: dt.date | None
    site_id: int | None = None
    organization_id: int | None = None

    def holds_on(self, day: dt.date) -> bool:
        return self.effective_from <= day and (
            self.effective_to is None or day <= self.effective_to
        )


@cache
def shipped_policies() -> tuple[Policy, ...]:
    """The defaults shipped with the product, with their source."""
    with (_DATA / "release_policy.csv").open(newline="") as handle:
        return tuple(
            Policy(
                int(r["warn_hours"]),
                int(r["escalate_hours"]),
                int(r["director_hours"]),
                int(r["eligibility_days"]) if r["eligibility_days"] else None,
                r["tc_without_report"] == "Y",
                r["auto_release"] == "Y",
                dt.date.fromisoformat(r["effective_from"]),
                dt.date.fromisoformat(r["effective_to"]) if r["effective_to"] else None,
            )
            for r in csv.DictReader(handle)
        )


class Policies:
    """Release policies by site and day: the site's own row, the organization's, else the shipped
    default.
    """

    def __init__(self, organizations: Iterable[int]) -> None:
        own = [
            Policy(
                p.warn_hours,
                p.escalate_hours,
                p.director_hours,
                p.eligibility_days,
                p.tc_without_report,
                p.auto_release,
                p.effective_from,
                p.effective_to,
                p.site_id,
                p.organization_id,
            )
            for p in ReleasePolicy.objects.filter(organization_id__in=list(organizations))
        ]
        self._rows = (*own, *shipped_policies())

    def of(self, site: Site, day: dt.date) -> Policy:
        fitting = [
            p
            for p in self._rows
            if p.holds_on(day)
            and p.site_id in (None, site.pk)
            and p.organization_id in (None, site.organization_id)
        ]
        return max(
            fitting,
            key=lambda p: (p.site_id is not None, p.organization_id is not None, p.effective_from),
        )


@cache
def shipped_agents() -> tuple[tuple[StockFacts, dt.date, dt.date | None], ...]:
    """Contrast agents as technologists write them, with the code that bills them."""
    with (_DATA / "contrast_agents.csv").open(newline="") as handle:
        return tuple(
            (
                StockFacts(
                    r["agent"],
                    r["code"],
                    None,
                    int(r["strength_from"]) if r["strength_from"] else None,
                    int(r["strength_to"]) if r["strength_to"] else None,
                ),
                dt.date.fromisoformat(r["effective_from"]),
                dt.date.fromisoformat(r["effective_to"]) if r["effective_to"] else None,
            )
            for r in csv.DictReader(handle)
        )


class Codes:
    """Procedure catalog and fee schedule indicators of one day, as `charges.assembly` asks for
    them.
    """

    def __init__(self, tables: MemoryTables, on: dt.date) -> None:
        self._tables, self._on = tables, on
        self._rows: list[FamilyRow] | None = None
        self._book = procedure_versions()

    def _bilateral(self, code: str, row: Procedure) -> str:
        fee = self._tables.indicators(code, self._on)
        return fee.bilateral if fee else ("2" if row.laterality == "bilateral" else "")

    def rows(self) -> Sequence[FamilyRow]:
        if self._rows is None:
            found = ((code, current(versions, self._on)) for code, versions in self._book.items())
            self._rows = [
                FamilyRow(
                    code,
                    r.family,
                    r.modality,
                    (
                        ""
                        if r.contrast == "any" and r.modality not in ("CT", "MR", "CTA", "MRA")
                        else r.contrast
                    ),
                    r.views_min,
                    r.views_max,
                    r.extent,
                    self._bilateral(code, r),
                    r.effective_from,
                    r.effective_to,
                )
                for code, r in found
                if r is not None and r.family
            ]
        return self._rows

    def row(self, code: str) -> CodeRow | None:
        r = current(self._book.get(code, ()), self._on)
        if r is None:
            return None
        return CodeRow(
            code,
            r.name,
            r.family,
            r.modality,
            r.body_part,
            r.kind,
            "" if r.contrast == "any" else r.contrast,
            r.extent,
            r.views_min,
            r.views_max,
            r.laterality == "required",
            r.laterality == "bilateral",
            self._bilateral(code, r),
        )

    def pctc(self, code: str, on: dt.date) -> str:
        fee = self._tables.indicators(code, on)
        return fee.pctc if fee else ""

    def dose_listed(self, code: str, on: dt.date) -> bool:
        return self._tables.dose_listed(code, on)


def last_reports(exam_ids: Iterable[int]) -> dict[int, Report]:
    """The last version of each exam's report. One query."""
    rows = (
        Report.objects.filter(exam_id__in=list(exam_ids))
        .order_by("exam_id", "-version")
        .distinct("exam_id")
    )
    return {r.exam_id: r for r in rows}


def readers_by_npi(organization_id: int) -> dict[str, str]:
    """NPI → name of everybody who reads or has read for an organization. One query."""
    rows = Reader.objects.filter(organization_id=organization_id).select_related("provider")
    return {r.provider.npi: str(r.provider) for r in rows}


def credentialed(reader: Reader, exam: Exam) -> bool:
    """Whether a reader's credentials cover the day of the exam."""
    day = exam.service_date
    return reader.credentialed_from <= day and (
        reader.credentialed_to is None or day <= reader.credentialed_to
    )


def with_rows(rows: Iterable[int] | Q) -> list[Exam]:
    """Exams with everything of their thread that one join can bring. One query; locks the exam
    rows.
    """
    chosen = rows if isinstance(rows, Q) else Q(pk__in=list(rows))
    return list(
        Exam.objects.select_for_update(of=("self",))
        .filter(chosen)
        .select_related(
            "patient",
            "site__organization",
            "coverage__payer",
            "coverage__plan",
            "reader__group",
            "reader__provider",
            "authorization",
            "ordered_exam__patient",
            "ordered_exam__appointment",
            "ordered_exam__order__ordering",
            "ordered_exam__order__site",
        )
        .order_by("pk")
    )


class Facts:
    """All rows one run of evaluation needs, for exams loaded by `with_rows`."""

    def __init__(self, exams: Sequence[Exam]) -> None:
        ids = [e.pk for e in exams]
        organizations = {e.organization_id for e in exams}
        self.reports: dict[int, Report] = last_reports(ids)
        self.policies = Policies(organizations)
        self.tables: MemoryTables
        self.book: ContractBook
        self.tables, self.book = tables_for(organizations)
        self.notices = notice_states(
            {e.ordered_exam_id: e.performed_at for e in exams if e.ordered_exam_id is not None}
        )
        self._codes: dict[dt.date, Codes] = {}
        self._coverages: dict[int, list[Coverage]] = {}
        covers = Coverage.objects.filter(
            patient_id__in={e.patient_id for e in exams}, active=True, rank__gte=1
        ).select_related("payer", "plan")
        for c in covers.order_by("rank", "id"):
            self._coverages.setdefault(c.patient_id, []).append(c)
        self._chosen = self._chosen_by_order(exams)
        self.checks = self._checks()
        self._arrangements = list(
            BillingArrangement.objects.filter(organization_id__in=organizations).select_related(
                "group", "payer", "site"
            )
        )
        self._facts = [(arrangement_fact(a), a) for a in self._arrangements]
        self._scanners = list(
            Scanner.objects.filter(organization_id__in=organizations).order_by("effective_from")
        )
        self._stock = list(ContrastStock.objects.filter(organization_id__in=organizations))
        self._waived: dict[int, set[tuple[str, int]]] = {}
        for exam_id, code, version in FindingWaiver.objects.filter(exam_id__in=ids).values_list(
            "exam_id", "code", "report_version"
        ):
            self._waived.setdefault(exam_id, set()).add((code, version))
        self._prices: dict[tuple[int, str, str], list[ListPrice]] = {}

    @staticmethod
    def _chosen_by_order(exams: Sequence[Exam]) -> dict[int, Coverage]:
        """The policy chosen for the order of an exam, by exam id."""
        orders = {e.pk: e.ordered_exam.order for e in exams if e.ordered_exam is not None}
        found = coverages_of_orders(o for o in orders.values() if o.coverage_id)
        return {
            pk: found[o.pk]
            for pk, o in orders.items()
            if o.pk in found and found[o.pk].pk == o.coverage_id
        }

    def _checks(self) -> dict[int, EligibilityCheck]:
        ranked = {c.pk for rows in self._coverages.values() for c in rows}
        found = eligibility_flags(ranked | {c.pk for c in self._chosen.values()})
        benefits: dict[int, list[Benefit]] = {}
        for benefit in Benefit.objects.filter(check_row_id__in=[c.pk for c in found.values()]):
            benefits.setdefault(benefit.check_row_id, []).append(benefit)
        for check in found.values():
            check._prefetched_objects_cache = {"benefits": benefits.get(check.pk, [])}  # type: ignore[attr-defined]
        return found

    def codes(self, on: dt.date) -> Codes:
        if on not in self._codes:
            self._codes[on] = Codes(self.tables, on)
        return self._codes[on]

    def coverage(self, exam: Exam) -> Coverage | None:
        """The policy chosen for the order; without a choice the primary on the day of the exam, an
        active one before one the payer refused.
        """
        if exam.pk in self._chosen:
            return self._chosen[exam.pk]
        day = exam.service_date
        fitting = [
            c
            for c in self._coverages.get(exam.patient_id, ())
            if (c.starts_on is None or c.starts_on <= day)
            and (c.ends_on is None or day <= c.ends_on)
        ]
        refused = (CoverageStatus.INACTIVE, CoverageStatus.REJECTED)
        return min(fitting, key=lambda c: (c.status in refused, c.rank), default=None)

    def secondary(self, coverage: Coverage, day: dt.date) -> bool:
        if coverage.of_accident:
            return False
        return any(c.rank > coverage.rank for c in self._coverages.get(coverage.patient_id, ()))

    def benefits(self, coverage: Coverage, modality: str) -> Benefits:
        check = self.checks.get(coverage.pk)
        if check is None:
            return Benefits()
        sharing = sharing_of(check, modality, coverage.payer.service_types)
        return Benefits(
            sharing.deductible_remaining,
            sharing.coinsurance,
            sharing.copay,
            sharing.out_of_pocket_remaining,
        )

    def verified_days(self, exam: Exam, coverage: Coverage) -> int | None:
        """Days between the last active answer and the exam; None when it was never verified."""
        if coverage.verified_at is None or coverage.status == CoverageStatus.UNVERIFIED:
            return None
        return abs((day_at(exam.site, coverage.verified_at) - exam.service_date).days)

    def arrangement(self, exam: Exam, coverage: Coverage | None) -> Decided | None:
        """The row in force. While nobody has read the exam, the site's row of any reading group
        stands in, so that dollars can be shown. What was released keeps the row that decided it:
        a later change of rules re-opens nothing.
        """
        kept = _kept(exam)
        if kept is not None:
            return kept
        wanted = {
            "site": str(exam.site_id),
            "modality": exam.modality,
            "payer": str(coverage.payer_id) if coverage else "",
            "on": exam.service_date,
        }
        facts = [f for f, _ in self._facts]
        group = str(exam.reader.group_id) if exam.reader else ""
        found = resolve_arrangement(facts, group=group, **wanted)  # type: ignore[arg-type]
        if found is None and not group:
            groups = {f.group for f in facts}
            options = [
                r
                for g in sorted(groups)
                if (r := resolve_arrangement(facts, group=g, **wanted)) is not None  # type: ignore[arg-type]
            ]
            found = options[0] if options else None
        row = next((row for f, row in self._facts if f is found), None)
        if found is None or row is None:
            return None
        return Decided(found, arrangement_said(row), row.anti_markup, row.purchase_price, row.group)

    def _machines(self, exam: Exam) -> list[Scanner]:
        """The machine records of the exam's site that are in force on its day."""
        day = exam.service_date
        return [
            s
            for s in self._scanners
            if s.site_id == exam.site_id
            and s.effective_from <= day
            and (s.effective_to is None or day <= s.effective_to)
        ]

    def _machine(self, exam: Exam) -> Scanner | None:
        station = plain_station(exam.station)
        return next(
            (s for s in reversed(self._machines(exam)) if plain_station(s.station) == station), None
        )

    def unrecorded(self, exam: Exam) -> str:
        """The station that the messages name and that no record covers on the day; else blank."""
        return exam.station if exam.station and self._machine(exam) is None else ""

    def equipment(self, exam: Exam) -> Equipment:
        """What the record of the machine says. A named station never borrows another's record;
        where none is named, the site's machines of the modality answer if they all say the same.
        """
        if exam.station:
            machine = self._machine(exam)
            return _equipment(machine) if machine is not None else Equipment()
        said = {_equipment(s) for s in self._machines(exam) if s.modality == exam.modality}
        return said.pop() if len(said) == 1 else Equipment()

    def stock(self, exam: Exam) -> tuple[StockFacts, ...]:
        day = exam.service_date
        own = [
            StockFacts(s.agent, s.code, s.single_dose, invoice_price=s.invoice_price)
            for s in self._stock
            if s.organization_id == exam.organization_id
            and s.site_id in (None, exam.site_id)
            and s.effective_from <= day
            and (s.effective_to is None or day <= s.effective_to)
        ]
        shipped = [
            s
            for s, first, last in shipped_agents()
            if first <= day and (last is None or day <= last)
        ]
        return (*own, *shipped)

    def locality(self, zip_code: str) -> Locality | None:
        return self.tables.locality_of_zip(zip_code) if zip_code else None

    def exam(self, exam: Exam, coverage: Coverage | None) -> ExamFacts:
        """One exam as assembly sees it."""
        report = self.reports.get(exam.pk)
        version = report.version if report else 0
        found = self.arrangement(exam, coverage)
        group = exam.reader.group if exam.reader else found.group if found else None
        payer = coverage.payer if coverage else None
        said = exam.performed
        medicare = payer is not None and payer.kind == PayerKind.MEDICARE
        notice = self.notices.get(exam.ordered_exam_id or 0) if medicare else None
        return ExamFacts(
            key=exam.pk,
            on=exam.service_date,
            code=said.get("code")
            or exam.code
            or (exam.ordered_exam.code if exam.ordered_exam else ""),
            modality=exam.modality,
            said=(
                said
                if said.get("laterality") or not exam.ordered_exam
                else {**said, "laterality": exam.ordered_exam.laterality}
            ),
            pos=exam.site.pos,
            pos_setting=self.tables.pos_setting(exam.site.pos),
            report=(
                ReportFacts(report.status, report.version, report.sections, report.reader_npi)
                if report
                else None
            ),
            reader_known=exam.reader is not None,
            reader_credentialed=exam.reader is not None and credentialed(exam.reader, exam),
            session=str(exam.ordered_exam.appointment_id or "") if exam.ordered_exam else "",
            stopped=exam.status == "discontinued",
            medicare=medicare,
            notice=notice.modifiers if notice is not None else (),
            unbilled=notice is not None and notice.unbilled,
            self_pay=payer is not None and payer.kind == PayerKind.SELF_PAY,
            covered=coverage is not None,
            contrast_payable=payer is None or payer.contrast_payable,
            split_on_locality=payer is not None and payer.split_on_locality,
            idtf=exam.site.organization.is_idtf,
            arrangement=found.facts if found else None,
            arrangement_said=found.said if found else {},
            tc_locality=self.locality(exam.site.zip),
            pc_locality=self.locality((group.zip if group else "") or exam.site.zip),
            read_in_us=group is None or group.country == "US",
            anti_markup=found.anti_markup if found else None,
            purchase_price=found.purchase_price if found else None,
            equipment=self.equipment(exam),
            unrecorded=self.unrecorded(exam),
            stock=self.stock(exam),
            tc_without_report=self.policies.of(exam.site, exam.service_date).tc_without_report,
            decision=exam.decision,
            waived=frozenset(code for code, v in self._waived.get(exam.pk, ()) if v == version),
        )

    def load_prices(self, wanted: Iterable[tuple[int, str]]) -> None:
        """The list prices of (organization, code). One query."""
        pairs = set(wanted)
        rows = ListPrice.objects.filter(
            organization_id__in={o for o, _ in pairs}, code__in={c for _, c in pairs}
        )
        for row in rows.order_by("effective_from"):
            self._prices.setdefault((row.organization_id, row.code, row.mod), []).append(row)

    def price(self, organization_id: int, code: str, component: str, on: dt.date) -> Decimal | None:
        """The organization's own charge per unit; None when there is none in force."""
        found = None
        for row in self._prices.get((organization_id, code, component), ()):
            if row.effective_from <= on and (row.effective_to is None or on <= row.effective_to):
                found = row.amount
        return found


@dataclass(frozen=True, slots=True)
class Decided:
    """The arrangement that decides an exam: its facts, and how the exam remembers it."""

    facts: Arrangement
    said: dict[str, Any]
    anti_markup: bool | None = None
    purchase_price: Decimal | None = None
    group: ReadingGroup | None = None


_SAID = ("equipment_owner", "tech_employer", "reader_relation", "force", "under_arrangement")


def arrangement_words(row: BillingArrangement) -> str:
    """A row of the arrangements as people call it: site, what narrows it, from when."""
    narrow = [
        row.modality,
        row.group.name if row.group else "",
        row.payer.name if row.payer else "",
    ]
    parts = [row.site.name, *(p for p in narrow if p)]
    return f"{', '.join(parts)}, from {row.effective_from:%m/%d/%Y}"


def arrangement_said(row: BillingArrangement) -> dict[str, Any]:
    """A row as an exam remembers it: enough to decide the same again after the row has changed."""
    return {
        "id": row.pk,
        "words": arrangement_words(row),
        **{name: getattr(row, name) for name in _SAID},
        "group": str(row.group_id or ""),
        "anti_markup": row.anti_markup,
        "purchase_price": None if row.purchase_price is None else str(row.purchase_price),
    }


def _kept(exam: Exam) -> Decided | None:
    """The row that a released exam was decided by; None when it was not, or the reader is now of
    another group than the row was for.
    """
    said = exam.form.get("row") or {}
    if exam.status != ExamStatus.RELEASED or not said:
        return None
    if said["group"] and exam.reader is not None and said["group"] != str(exam.reader.group_id):
        return None
    price = said.get("purchase_price")
    facts = Arrangement(
        site=str(exam.site_id),
        equipment_owner=Owner(said["equipment_owner"]),
        tech_employer=Owner(said["tech_employer"]),
        reader_relation=ReaderRelation(said["reader_relation"]),
        effective_from=exam.service_date,
        group=said["group"],
        under_arrangement=said["under_arrangement"],
        force=Force(said["force"]),
    )
    return Decided(facts, said, said["anti_markup"], Decimal(price) if price else None)


def plain_station(name: str) -> str:
    """A station name as it is compared: vendors pad and change case."""
    return " ".join(name.split()).upper()


def _equipment(machine: Scanner) -> Equipment:
    return Equipment(machine.film, machine.computed_radiography, machine.xr29)


def arrangement_fact(row: BillingArrangement) -> Arrangement:
    """A row as the component decision reads it."""
    return Arrangement(
        site=str(row.site_id),
        equipment_owner=Owner(row.equipment_owner),
        tech_employer=Owner(row.tech_employer),
        reader_relation=ReaderRelation(row.reader_relation),
        effective_from=row.effective_from,
        effective_to=row.effective_to,
        modality=row.modality,
        group=str(row.group_id or ""),
        payer=str(row.payer_id or ""),
        under_arrangement=row.under_arrangement,
        force=Force(row.force),
    )


def filing_deadline(exam: Exam, coverage: Coverage | None) -> dt.date:
    """The last day to file: the payer's limit from the service, the shortest usual one when
    unknown.
    """
    days = (
        coverage.payer.filing_days
        if coverage and coverage.payer.filing_days
        else DEFAULT_FILING_DAYS
    )
    return exam.service_date + dt.timedelta(days=days)
