"""Claims as the edits and the 837 see them, loaded in bulk: a fixed number of queries, whatever the
number of claims.

`load_sheets` makes one `Sheet` for each claim: its rows, its facts with format repairs applied, and
the people they name. `load_reference` makes the tables for a batch. What is not loaded stays None,
so that the engine says so (ARCHITECTURE: absent is "unknown: hold for review").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q

from authorizations.matching import NOT_REQUIRED
from charges.models import ContrastStock, Exam, ExamStatus, Report, Scanner
from claims.coordination import unbalanced
from claims.edits import seed
from claims.edits.authorization import PASSING
from claims.edits.csvload import side_of
from claims.edits.enrollment import alias
from claims.edits.facts import Address, ClaimFacts, LineFacts, OtherCoverage, PriorLine
from claims.edits.reference import (
    AddOnRow,
    CoverageRow,
    IcdRelease,
    MueRow,
    PayerRow,
    ProcedureRow,
    PtpRow,
    ReferenceFacts,
    Span,
)
from claims.edits.repairs import Repair, repair
from claims.marks import billed_elsewhere
from claims.models import Claim, ClaimLine, ClaimStatus
from intake.models import CheckStatus, Coverage, CoverageStatus, EligibilityCheck
from intake.necessity import NoticeState
from intake.services import accident_cause, notice_states
from rcm.accounts.clock import office_day
from rcm.accounts.models import Site
from rcm.network.standing import enrollment_spans, keep_enrollments
from rcm.pricing.db_tables import reference_tables
from rcm.pricing.models import FeeRow
from rcm.reference import facts as reference
from rcm.reference.clock import day_at
from rcm.reference.models import (
    AddOn,
    Diagnosis,
    MueEdit,
    Payer,
    PayerKind,
    Plan,
    Provider,
    PtpEdit,
    StateRule,
)
from rcm.reference.models import CoverageRow as CoverageList

PRODUCTS: Mapping[str, str] = {
    PayerKind.MEDICARE: "medicare_b",
    PayerKind.ADVANTAGE: "medicare_advantage",
    PayerKind.MEDICAID: "medicaid_ffs",
    PayerKind.COMMERCIAL: "commercial",
    PayerKind.TRICARE: "tricare",
    PayerKind.WORKERS_COMP: "workers_comp",
    PayerKind.AUTO: "auto",
    PayerKind.SELF_PAY: "self_pay",
}
HISTORY: Mapping[str, str] = {
    ClaimStatus.DRAFT: "pending",
    ClaimStatus.BLOCKED: "pending",
    ClaimStatus.READY: "pending",
    ClaimStatus.SUBMITTED: "sent",
    ClaimStatus.ACKNOWLEDGED: "sent",
    ClaimStatus.ACCEPTED: "accepted",
    ClaimStatus.REJECTED: "rejected",
    ClaimStatus.DENIED: "denied",
    ClaimStatus.PARTIAL: "paid",
    ClaimStatus.PAID: "paid",
    ClaimStatus.CLOSED: "paid",
    ClaimStatus.REPLACED: "void",
    ClaimStatus.VOID: "void",
}
FORMS: Mapping[str, str] = {
    "global": "global",
    "split": "split",
    "TC": "tc_only",
    "26": "pc_only",
    "hold": "unknown",
}
ELIGIBILITY: Mapping[str, str] = {
    CoverageStatus.ACTIVE: "active",
    CoverageStatus.INACTIVE: "inactive",
}
Enrollments = Mapping[tuple[str, str], tuple[Span, ...]]
"""Spans by NPI and by a name of the payer."""
VESSEL = frozenset({"iv", "ia", "it", "intra_articular"})
"""Routes that make an exam one with contrast (rule `contrast-as-given`)."""


@dataclass(slots=True)
class Sheet:
    """One claim ready to be judged and written: rows, facts as they are to be written, and who is
    named.
    """

    claim: Claim
    lines: list[ClaimLine]
    facts: ClaimFacts
    repairs: tuple[Repair, ...]
    providers: Mapping[str, Provider]
    facility_name: str = ""
    others: list[Coverage] = field(default_factory=list)

    def provider(self, npi: str) -> Provider | None:
        return self.providers.get(npi)


def product_of(payer: Payer, plan: Plan | None) -> str:
    """The line of business that edits and deadlines go by."""
    if plan is not None and plan.self_funded:
        return "erisa"
    return PRODUCTS.get(plan.kind if plan is not None else payer.kind, "")


# --- claims ---------------------------------------------------------------------------------------


def load_sheets(claim_ids: Iterable[int]) -> list[Sheet]:
    """Sheets of these claims, by id."""
    claims = list(
        Claim.objects.filter(pk__in=list(claim_ids))
        .select_related(
            "patient",
            "coverage__plan",
            "payer",
            "site",
            "organization",
            "primary_claim__payer",
            "replaces",
        )
        .order_by("id")
    )
    if not claims:
        return []
    world = _World(claims)
    return [world.sheet(claim) for claim in claims]


class _World:
    """Everything around a batch of claims, each table asked once."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        ids = [c.pk for c in claims]
        patients = {c.patient_id for c in claims}
        self.lines: dict[int, list[ClaimLine]] = defaultdict(list)
        rows = ClaimLine.objects.filter(claim_id__in=ids).select_related(
            "charge__exam__reader__group", "charge__exam__reader__provider"
        )
        for line in rows.order_by("claim_id", "number"):
            self.lines[line.claim_id].append(line)
        every = [line for lines in self.lines.values() for line in lines]
        self.elsewhere = billed_elsewhere(claims, self.lines)
        exams = {line.charge.exam_id for line in every}
        self.reports = {
            r.exam_id: r
            for r in (
                Report.objects.filter(exam_id__in=exams)
                .order_by("exam_id", "-version")
                .distinct("exam_id")
                .defer("sections", "findings")
            )
        }
        self.coverages: dict[int, list[Coverage]] = defaultdict(list)
        decided = {row["coverage_id"] for c in claims for row in c.extra.get("cob", ())}
        current = Q(patient_id__in=patients, active=True, rank__gte=1)
        for coverage in (
            Coverage.objects.filter(current | Q(pk__in=decided))
            .select_related("payer", "plan")
            .order_by("rank")
        ):
            self.coverages[coverage.patient_id].append(coverage)
        answered = (CheckStatus.ACTIVE, CheckStatus.INACTIVE)
        checks = EligibilityCheck.objects.filter(
            coverage_id__in={c.coverage_id for c in claims}, status__in=answered
        )
        self.checks = {
            c.coverage_id: c for c in checks.order_by("coverage_id", "-id").distinct("coverage_id")
        }
        npis = {n for c in claims for n in (c.rendering_npi, c.ordering_npi, c.referring_npi) if n}
        npis |= {line.charge.rendering_npi for line in every if line.charge.rendering_npi}
        self.providers = {p.npi: p for p in Provider.objects.filter(npi__in=npis)}
        stations = {line.charge.exam.station for line in every} - {""}
        self.scanners: dict[str, list[Scanner]] = defaultdict(list)
        for scanner in Scanner.objects.filter(station__in=stations):
            self.scanners[scanner.station].append(scanner)
        self.stock = list(ContrastStock.objects.filter(code__in={line.code for line in every}))
        self.history = _history(claims, every)
        performed = {
            line.charge.exam.ordered_exam_id: line.charge.exam.performed_at
            for line in every
            if line.charge.exam.ordered_exam_id is not None
        }
        self.notices = notice_states(performed)
        self.tables = reference_tables()
        self.states = reference.keep("newest states", ("states",), _states)
        self.procedures = reference.procedure_versions()

    def sheet(self, claim: Claim) -> Sheet:
        lines = self.lines[claim.pk]
        place = self._reading_place(claim, lines)
        facts, repairs = repair(self._facts(claim, lines, place))
        others = self._other_coverages(claim)
        return Sheet(
            claim,
            lines,
            facts,
            repairs,
            self.providers,
            place[0] if place else claim.site.name,
            others,
        )

    def _other_coverages(self, claim: Claim) -> list[Coverage]:
        """The patient's other policies of that day, and each that has decided, also when it has
        left the chart since.
        """
        if claim.coverage.of_accident:
            return []
        decided = {row["coverage_id"] for row in claim.extra.get("cob", ())}
        return [
            c
            for c in self.coverages[claim.patient_id]
            if c.pk != claim.coverage_id
            and (c.pk in decided or (c.active and _in_force(c, claim.service_date)))
        ]

    def _facts(
        self, claim: Claim, lines: Sequence[ClaimLine], place: tuple[str, str, Address] | None
    ) -> ClaimFacts:
        patient, coverage, payer, site, org = (
            claim.patient,
            claim.coverage,
            claim.payer,
            claim.site,
            claim.organization,
        )
        extra: Mapping[str, Any] = claim.extra
        home = Address(patient.address, "", patient.city, patient.state, patient.zip)
        own = coverage.relationship == "18"
        check = self.checks.get(coverage.pk)
        product = product_of(payer, coverage.plan)
        if place is None and (site.npi, site.address, site.zip) != (org.npi, org.address, org.zip):
            place = (
                site.name,
                site.npi,
                Address(site.address, "", site.city, site.state, site.zip),
            )
        state = self.states.get(site.state)
        reader = self.providers.get(claim.rendering_npi)
        orderer = self.providers.get(claim.ordering_npi)
        corrects = claim.frequency in ("7", "8")
        later = claim.rank > 1
        return ClaimFacts(
            claim_id=claim.number,
            lines=tuple(self._line(claim, line, lines) for line in lines),
            diagnoses=tuple(claim.diagnoses),
            total=claim.total,
            form=claim.form,
            frequency=claim.frequency,
            payer_icn=claim.payer_control_number if corrects else "",
            pos=claim.pos,
            payer_id=payer.code,
            payer_name=payer.name,
            plan_id=coverage.plan.code if coverage.plan else "",
            product=product,
            mac=state.mac if state is not None and product == "medicare_b" else "",
            coverage_rank=claim.rank,
            other_coverages=self._others(claim),
            eligibility=ELIGIBILITY.get(coverage.status, "unknown"),
            eligibility_checked_on=_local_day(
                claim.site,
                coverage.verified_at or (check.answered_at if check else None),
            ),
            coverage_from=coverage.starts_on or (check.covered_from if check else None),
            coverage_to=coverage.ends_on or (check.covered_to if check else None),
            msp_type=str(extra.get("msp_type") or (coverage.second_reason if later else "")),
            patient_id=str(patient.pk),
            patient_last=patient.last_name,
            patient_first=patient.first_name,
            patient_middle=patient.middle_name,
            patient_suffix=patient.suffix,
            patient_dob=patient.born_on,
            patient_sex=patient.sex,
            patient_address=home,
            patient_died_on=patient.deceased_on,
            relationship=coverage.relationship,
            member_id=coverage.member_id,
            group_number=coverage.group_number,
            subscriber_last=patient.last_name if own else coverage.subscriber_last_name,
            subscriber_first=patient.first_name if own else coverage.subscriber_first_name,
            subscriber_dob=patient.born_on if own else coverage.subscriber_born_on,
            subscriber_sex=patient.sex if own else coverage.subscriber_sex,
            subscriber_address=home,
            billing_name=org.name,
            billing_npi=org.npi,
            billing_tin=org.tin,
            billing_taxonomy=org.taxonomy,
            billing_address=Address(org.address, "", org.city, org.state, org.zip),
            billing_is_idtf=org.is_idtf,
            rendering_npi=claim.rendering_npi,
            rendering_taxonomy=reader.taxonomy if reader else "",
            ordering_npi=claim.ordering_npi,
            ordering_name=str(orderer) if orderer else "",
            facility_npi=place[1] if place else "",
            facility_address=place[2] if place else Address(),
            facility_state=site.state,
            prior_auth_number=claim.authorization_number,
            referral_number=str(extra.get("referral_number", "")),
            mammography_certificate=(
                site.mqsa if any(self._modality(x) == "MG" for x in lines) else ""
            ),
            related_cause=str(
                extra.get("related_cause")
                or (accident_cause(payer) if coverage.accident_on else "")
            ),
            accident_date=_day(extra.get("accident_date")) or coverage.accident_on,
            accident_state=str(extra.get("accident_state") or coverage.accident_state),
            accident_claim_number=coverage.claim_number,
            attachment_control=str(extra.get("attachment_control", "")),
            note=claim.note,
            delay_reason=str(extra.get("delay_reason", "")),
            first_filed_on=_local_day(claim.site, claim.first_submitted_at),
            filing_proof=(
                f"277CA of {day_at(claim.site, claim.accepted_at)}" if claim.accepted_at else ""
            ),
            primary_eob_on=max(
                filter(None, (_day(told.get("paid_on")) for told in extra.get("cob", ()))),
                default=None,
            ),
            adjudicated_on=claim.replaces.decided_on if corrects and claim.replaces else None,
            history=self._prior(claim, lines),
        )

    def _line(self, claim: Claim, line: ClaimLine, siblings: Sequence[ClaimLine]) -> LineFacts:
        charge, exam = line.charge, line.charge.exam
        reader = exam.reader
        report = self.reports.get(exam.pk)
        scanner = (
            next((s for s in self.scanners[exam.station] if _covers(s, line.service_date)), None)
            if exam.station
            else None
        )
        main = self._is_exam(line)
        code = str(exam.match.get("code", ""))
        contrast = exam.performed.get("contrast", {})
        stock = self._stock(line, exam)
        sibling_has_it = any(x.code == exam.code for x in siblings if x.charge.exam_id == exam.pk)
        drug = line.extra.get("ndc", {})
        notice = self.notices.get(exam.ordered_exam_id or 0)
        # the match is with the first payer; it says nothing of a later one
        matched = main and claim.rank == 1
        return LineFacts(
            code=line.code,
            charge=line.amount,
            units=line.units,
            modifiers=tuple(line.modifiers),
            pointers=tuple(line.pointers),
            service_date=line.service_date,
            pos="" if charge.pos == claim.pos else charge.pos,
            number=line.number,
            control_number=line.control,
            ordering_npi="",
            auth_number=str(line.extra.get("authorization", "")),
            ndc=str(drug.get("code", "")),
            ndc_unit=str(drug.get("unit", "")),
            ndc_quantity=Decimal(str(drug["quantity"])) if drug.get("quantity") else None,
            purchased_price=charge.purchased_price,
            purchased_npi=reader.group.npi if reader and charge.purchased_price is not None else "",
            service_zip=charge.service_zip,
            accession=exam.accession,
            performed_code=(
                exam.code
                if main and exam.code and (line.code == exam.code or not sibling_has_it)
                else ""
            ),
            performed_side=exam.laterality if main else "",
            contrast_given=(
                ("yes" if contrast.get("route") in VESSEL else "no")
                if main and contrast.get("route")
                else ""
            ),
            session=f"{exam.site_id}:{line.service_date}",
            equipment=_equipment(scanner),
            vial=(
                ""
                if stock is None or stock.single_dose is None
                else ("single_dose" if stock.single_dose else "multi_dose")
            ),
            report_status=(
                "X" if exam.status == ExamStatus.DISCONTINUED else report.status if report else ""
            ),
            report_signed_on=_local_day(claim.site, report.signed_at) if report else None,
            reader_credentialed=(
                "" if reader is None else _yes(_credentialed(reader, line.service_date))
            ),
            read_outside_us="" if reader is None else _yes(reader.group.country not in ("", "US")),
            arrangement=FORMS.get(str(exam.form.get("form", "")), "") if main else "",
            anti_markup=charge.purchased_price is not None,
            same_locality=self._same_locality(exam, charge.service_zip, claim.site.zip),
            expected_allowed=line.expected,
            auth_requirement=(
                ("unknown" if not code else "not_required" if code == NOT_REQUIRED else "required")
                if matched
                else ""
            ),
            auth_verdict=code if matched else "",
            auth_sentence=""
            if not matched or code in PASSING
            else str(exam.match.get("sentence", "")),
            abn=notice.state if notice is not None else "",
            denial_expected=_expected_denial(notice) if main else "",
            billed_elsewhere=self.elsewhere.get(line.pk, ()),
        )

    def _is_exam(self, line: ClaimLine) -> bool:
        row = reference.current(self.procedures.get(line.code, ()), line.service_date)
        return row is None or row.kind == "exam"

    def _modality(self, line: ClaimLine) -> str:
        row = reference.current(self.procedures.get(line.code, ()), line.service_date)
        return row.modality if row else ""

    def _stock(self, line: ClaimLine, exam: Exam) -> ContrastStock | None:
        fits = [
            s
            for s in self.stock
            if s.code == line.code
            and s.site_id in (None, exam.site_id)
            and _covers(s, line.service_date)
        ]
        return max(fits, key=lambda s: s.site_id is not None, default=None)

    def _same_locality(self, exam: Exam, service_zip: str, site_zip: str) -> str:
        """Whether machine and reader stand in one payment locality; blank when that is not
        known.
        """
        read_zip = service_zip or (exam.reader.group.zip if exam.reader else "")
        if not read_zip:
            return ""
        one, two = self.tables.locality_of_zip(read_zip), self.tables.locality_of_zip(site_zip)
        if one is None or two is None:
            return "yes" if read_zip[:5] == site_zip[:5] else ""
        return _yes(one == two)

    def _reading_place(
        self, claim: Claim, lines: Sequence[ClaimLine]
    ) -> tuple[str, str, Address] | None:
        """Name, NPI and address of where the lines were furnished when that is not the site: a
        reading elsewhere (rule `arrangement`).
        """
        zips = {line.charge.service_zip[:5] for line in lines}
        if len(zips) != 1 or zips <= {"", claim.site.zip[:5]}:
            return None
        reader = lines[0].charge.exam.reader
        if reader is None:
            return None
        group = reader.group
        return group.name, group.npi, Address(group.address, "", group.city, group.state, group.zip)

    def _others(self, claim: Claim) -> tuple[OtherCoverage, ...]:
        cob = {told["coverage_id"]: told for told in claim.extra.get("cob", ())}
        found: list[OtherCoverage] = []
        charges = {str(line.number): line.amount for line in self.lines[claim.pk]}
        for coverage in self._other_coverages(claim):
            told: Mapping[str, Any] = cob.get(coverage.pk, {})
            found.append(
                OtherCoverage(
                    payer_id=coverage.payer.code,
                    rank=coverage.rank,
                    active={CoverageStatus.ACTIVE: "yes", CoverageStatus.INACTIVE: "no"}.get(
                        CoverageStatus(coverage.status), "unknown"
                    ),
                    adjudicated_on=_day(told.get("paid_on")),
                    paid=Decimal(str(told["paid"])) if "paid" in told else None,
                    line_adjudications=bool(told.get("lines")),
                    unbalanced_lines=unbalanced(told.get("lines", {}), charges),
                    product=product_of(coverage.payer, coverage.plan),
                )
            )
        return tuple(found)

    def _prior(self, claim: Claim, lines: Sequence[ClaimLine]) -> tuple[PriorLine, ...]:
        charges = {line.charge_id for line in lines}
        return tuple(
            h.fact for h in self.history.get(claim.patient_id, ()) if h.concerns(claim, charges)
        )


@dataclass(frozen=True, slots=True)
class _Past:
    """A line of another claim with what decides whether it is a claim's history."""

    claim_id: int
    charge_id: int
    rank: int
    status: str
    replaces_id: int | None
    fact: PriorLine

    def concerns(self, claim: Claim, charges: set[int]) -> bool:
        if self.claim_id == claim.pk or self.rank != claim.rank or self.replaces_id == claim.pk:
            return False
        if self.claim_id == claim.replaces_id:
            # the original of a replacement is known to the edits by its number; a new claim in
            # place of it repeats nothing
            return claim.frequency != "1"
        # of two claims that wait, the later one repeats the earlier
        return not (self.fact.status == "pending" and self.claim_id > claim.pk)


def _expected_denial(notice: NoticeState | None) -> str:
    """Which denial the exam's notice was made for; blank without a notice, and where the patient
    chose that Medicare is not billed.
    """
    return "" if notice is None or notice.unbilled else notice.kind


def _history(claims: Sequence[Claim], lines: Sequence[ClaimLine]) -> dict[int, list[_Past]]:
    """The patients' lines of the same days, and earlier ones of codes with a frequency limit."""
    limited = {code for row in seed.frequency() for code in seed.groups().get(row.group, ())}
    codes = limited & {line.code for line in lines}
    days = {line.service_date for line in lines}
    wanted = Q(service_date__in=days)
    if codes:
        wanted |= Q(code__in=codes)
    rows = ClaimLine.objects.filter(
        wanted, claim__patient_id__in={c.patient_id for c in claims}
    ).values_list(
        "claim__patient_id",
        "claim_id",
        "charge_id",
        "claim__rank",
        "claim__status",
        "claim__replaces_id",
        "code",
        "service_date",
        "modifiers",
        "units",
        "claim__payer__code",
        "claim__organization__npi",
        "claim__rendering_npi",
        "claim__number",
        "charge__exam__accession",
        "charge__exam__site_id",
        "claim__payer_control_number",
        "claim__frequency",
    )
    found: dict[int, list[_Past]] = defaultdict(list)
    for (
        patient,
        claim_id,
        charge_id,
        rank,
        status,
        replaces,
        code,
        day,
        modifiers,
        units,
        payer,
        billing,
        rendering,
        number,
        accession,
        site,
        icn,
        frequency,
    ) in rows:
        if frequency == "8":
            continue
        fact = PriorLine(
            code,
            day,
            tuple(modifiers),
            units,
            payer,
            billing,
            rendering,
            number,
            accession,
            f"{site}:{day}",
            HISTORY[status],
            "ours",
            icn,
        )
        found[patient].append(_Past(claim_id, charge_id, rank, status, replaces, fact))
    return found


def _states() -> dict[str, StateRule]:
    return {row.state: row for row in StateRule.objects.order_by("effective_from")}


def _in_force(coverage: Coverage, day: date) -> bool:
    return (coverage.starts_on is None or coverage.starts_on <= day) and (
        coverage.ends_on is None or day <= coverage.ends_on
    )


def _covers(row: Scanner | ContrastStock, day: date) -> bool:
    return row.effective_from <= day and (row.effective_to is None or day <= row.effective_to)


def _credentialed(reader: Any, day: date) -> bool:
    return reader.credentialed_from <= day and (
        reader.credentialed_to is None or day <= reader.credentialed_to
    )


def _equipment(scanner: Scanner | None) -> str:
    if scanner is None:
        return ""
    if scanner.film:
        return "film"
    if scanner.computed_radiography:
        return "computed_radiography"
    return "ct_not_xr29" if scanner.modality == "CT" and not scanner.xr29 else "standard"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _day(value: object) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) and value else None


def _local_day(site: Site, moment: datetime | None) -> date | None:
    return day_at(site, moment) if moment is not None else None


# --- reference ------------------------------------------------------------------------------------


def load_reference(
    sheets: Sequence[Sheet], enrollments: Mapping[int, Enrollments] | None = None
) -> ReferenceFacts:
    """The tables for a batch. Whole small tables are kept per process; pairs, limits, add-ons and
    coverage come for the codes at hand. Enrollments are those of the first claim's organization.
    """
    known = load_enrollments(sheets) if enrollments is None else enrollments
    return reference_for(
        codes={line.code for s in sheets for line in s.facts.lines}
        | {p.code for s in sheets for p in s.facts.history},
        days=[line.service_date for s in sheets for line in s.facts.lines if line.service_date],
        payers={s.claim.payer.code: payer_row(s.claim.payer, s.facts.product) for s in sheets},
        certificates={s.claim.site.mqsa for s in sheets if s.claim.site.mqsa},
        enrollments=known.get(sheets[0].claim.organization_id) if sheets else None,
    )


def load_enrollments(sheets: Sequence[Sheet]) -> dict[int, Enrollments]:
    """Enrollments of the providers of these claims, by organization: what one client keeps about a
    reader says nothing for another.
    """
    npis = {n for s in sheets for n in (s.facts.billing_npi, s.facts.rendering_npi)}
    return enrollments_of(npis - {""}, {s.claim.organization_id for s in sheets})


def reference_of_payload(payload: object, *, organization_id: int | None = None) -> ReferenceFacts:
    """The tables for claims that came as JSON and are not read yet: only their codes, days,
    providers and payers are looked at. Enrollments are those of the organization.
    """
    claims = payload.get("claims") if isinstance(payload, Mapping) else None
    rows = [c for c in claims if isinstance(c, Mapping)] if isinstance(claims, list) else []
    lines = [
        x
        for c in rows
        for name in ("lines", "history")
        if isinstance(c.get(name), list)
        for x in c[name]
        if isinstance(x, Mapping)
    ]
    days = []
    for line in lines:
        try:
            days.append(date.fromisoformat(str(line.get("service_date", ""))[:10]))
        except ValueError:
            continue
    book = reference.payer_book()
    payers: dict[str, PayerRow] = {}
    for claim in rows:
        name = str(claim.get("payer_id", ""))[:40]
        payer = book.find(code=name, edi_id=name)
        if payer is not None:
            payers[name] = payer_row(payer, str(claim.get("product") or product_of(payer, None)))
    npis = {str(c.get(n, ""))[:10] for c in rows for n in ("billing_npi", "rendering_npi")}
    known = enrollments_of(npis, [organization_id]) if organization_id else {}
    return reference_for(
        codes={str(line.get("code", ""))[:10] for line in lines},
        days=days,
        payers=payers,
        certificates=set(),
        enrollments=known.get(organization_id) if organization_id else None,
    )


def reference_for(
    *,
    codes: set[str],
    days: Sequence[date],
    payers: Mapping[str, PayerRow],
    certificates: set[str],
    enrollments: Enrollments | None = None,
) -> ReferenceFacts:
    """The tables for these codes, service days and payers. What is dated comes with
    every version of those days.
    """
    first, last = min(days, default=office_day()), max(days, default=office_day())
    loaded = reference.keep("edit tables", ("ptp", "mue", "addons", "coverage"), _loaded_tables)
    return ReferenceFacts(
        **seed.tables(),
        procedures=procedure_rows() or None,
        ptp=_pairs(codes, first, last) if "ptp" in loaded else None,
        mue=_limits(codes, first, last, "medicare") if "mue" in loaded else None,
        mue_medicaid=_limits(codes, first, last, "medicaid") if "mue" in loaded else None,
        addons=_addons(codes, first, last) if "addons" in loaded else None,
        icd=icd_releases(),
        pos={c: "F" if p.facility else "NF" for c, p in reference.places().items()} or None,
        modifiers=(frozenset(reference.modifiers()) | seed.groups().get("ncci_bypass", frozenset()))
        or None,
        taxonomies=reference.taxonomies() or None,
        drugs=drug_rows() or None,
        coverage=_coverage(codes, first, last) if "coverage" in loaded else None,
        payers=payers,
        enrollments=enrollments,
        mammography_certificates=(
            {number: (Span(date.min),) for number in certificates} if certificates else None
        ),
    )


def _limits(
    codes: set[str], first: date, last: date, program: str
) -> dict[str, tuple[MueRow, ...]]:
    return {
        code: tuple(MueRow(t.rows[-1][0], t.rows[-1][1] or "3", t.since, t.until) for t in told)
        for code, told in reference.unit_limits(codes, first, last, program).items()
    }


def _addons(codes: set[str], first: date, last: date) -> dict[str, tuple[AddOnRow, ...]]:
    return {
        code: tuple(
            AddOnRow(t.rows[-1][0], frozenset(p for _, p in t.rows), t.since, t.until) for t in told
        )
        for code, told in reference.addon_primaries(codes, first, last).items()
    }


def _loaded_tables() -> frozenset[str]:
    tables = {"ptp": PtpEdit, "mue": MueEdit, "addons": AddOn, "coverage": CoverageList}
    return frozenset(name for name, model in tables.items() if reference.loaded(model))


def payer_row(payer: Payer, product: str) -> PayerRow:
    """A payer's terms as the edits read them."""
    return PayerRow(
        payer_id=payer.code,
        product=product,
        filing_days=payer.filing_days,
        secondary_filing_days=payer.secondary_filing_days,
        corrected_days=payer.corrected_days,
        accepts_replacement=payer.accepts_replacement,
        member_id_mask=member_mask(payer.member_id_pattern),
        contrast_paid=payer.contrast_payable,
        wants_g0279=True if product == "medicare_b" else None,
        split_on_locality=payer.split_on_locality,
    )


def member_mask(pattern: str) -> str:
    """Our "A3 N9" as the edits' mask AAA999999999: A letter, 9 digit, X either."""
    letters = {"A": "A", "N": "9", "X": "X"}
    return "".join(letters.get(part[0], part[0]) * int(part[1:] or 1) for part in pattern.split())


def procedure_rows() -> Mapping[str, ProcedureRow]:
    """Every known code: the catalog joined with the newest fee-schedule indicators."""

    def build() -> dict[str, ProcedureRow]:
        fees: dict[str, tuple[str, str, str, str]] = {}
        parts: dict[str, set[str]] = defaultdict(set)
        rows = FeeRow.objects.order_by("year", "effective_from").values_list(
            "code", "mod", "status", "pctc", "bilat", "mult_proc"
        )
        for code, mod, status, pctc, bilat, multiple in rows:
            if mod in ("26", "TC"):
                parts[code].add(mod)
            elif not mod:
                fees[code] = (status, pctc, bilat, multiple)
        found: dict[str, ProcedureRow] = {}
        book = reference.procedure_versions()
        for code in fees.keys() | book.keys() | parts.keys():
            versions = book.get(code, ())
            row = versions[0] if versions else None
            drug = bool(row and reference.drug_kind(row))
            status, pctc, bilat, multiple = fees.get(code, ("", "9" if drug else "", "", ""))
            found[code] = ProcedureRow(
                code=code,
                status=status,
                pctc_ind=pctc,
                bilat_ind=bilat,
                mult_proc_ind=multiple,
                modifiers=frozenset(parts.get(code, ())),
                family=row.family if row else "",
                modality=row.modality if row else "",
                body_region=row.body_part if row else "",
                contrast=row.contrast if row else "",
                extent=row.extent if row else "",
                views_min=row.views_min if row else None,
                effective_from=versions[-1].effective_from if versions else None,
                effective_to=row.effective_to if row else None,
            )
        return found

    return reference.keep("edit procedures", ("procedures", "hcpcs", "fees"), build)


def drug_rows() -> Mapping[str, str]:
    """Supply codes and what each is: contrast by modality, radiopharmaceutical."""

    def build() -> dict[str, str]:
        return {
            code: kind
            for code, rows in reference.procedure_versions().items()
            if (kind := reference.drug_kind(rows[0]))
        }

    return reference.keep("edit drugs", ("procedures", "hcpcs"), build)


def icd_releases() -> tuple[IcdRelease, ...] | None:
    """The whole diagnosis lists that are loaded, by the service dates they are for; None when there
    is none.
    """

    def build() -> tuple[IcdRelease, ...] | None:
        releases = []
        for first, last in reference.diagnosis_lists():
            rows = dict(
                Diagnosis.objects.filter(reference.in_force(first, last)).values_list(
                    "code", "name"
                )
            )
            sides = {code: side for code, name in rows.items() if (side := side_of(name))}
            releases.append(IcdRelease(first, last, frozenset(rows), sides))
        return tuple(releases) or None

    return reference.keep("edit diagnoses", ("diagnoses",), build)


def _pairs(codes: set[str], first: date, last: date) -> dict[str, dict[str, tuple[PtpRow, ...]]]:
    found: dict[str, dict[str, tuple[PtpRow, ...]]] = defaultdict(dict)
    for one, two, indicator, starts, ends in reference.pairs(codes, first, last):
        found[one][two] = (*found[one].get(two, ()), PtpRow(indicator, starts, ends))
    return dict(found)


def _coverage(codes: set[str], first: date, last: date) -> dict[str, tuple[CoverageRow, ...]]:
    return {
        code: tuple(
            CoverageRow(
                frozenset(row.diagnosis for row in t.rows if row.covered),
                frozenset(row.diagnosis for row in t.rows if not row.covered),
                ", ".join(sorted({row.policy for row in t.rows} - {""})[:3]),
                not all(row.advisory for row in t.rows),
                t.since,
                t.until,
            )
            for t in told
        )
        for code, told in reference.coverage_lists(codes, first, last).items()
    }


def enrollments_of(npis: set[str], organizations: Iterable[int]) -> dict[int, Enrollments]:
    """By organization the enrollment spans of these providers, by each name of the payer: its code,
    its electronic number, its name. An organization that keeps no enrollment at all is missing.
    """
    wanted = set(organizations)
    found: dict[int, dict[tuple[str, str], list[Span]]] = {}
    for row in enrollment_spans(npis, wanted):
        plan = row.plan.code if row.plan else ""
        span = Span(row.effective_from, row.effective_to, status=row.status, plan=plan)
        others = (row.payer.code, row.payer.edi_id, row.payer.name)
        for name in {row.payer.code, *map(alias, others)} - {""}:
            own = found.setdefault(row.organization_id, defaultdict(list))
            own[(row.npi, name)].append(span)
    missing = wanted - set(found)
    if missing:
        found |= {pk: {} for pk in keep_enrollments(missing)}
    return {pk: {key: tuple(spans) for key, spans in own.items()} for pk, own in found.items()}
