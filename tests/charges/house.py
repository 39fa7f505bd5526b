"""A reading group, scanners, prices, arrangements and patients for the mid-cycle, in the suite's
organization A.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from authorizations.models import Authorization, AuthorizedService
from charges.models import BillingArrangement, ContrastStock, Exam, Reader, ReadingGroup, Scanner
from charges.records import ContrastGiven, Keys, PerformedRecord, ReportRecord
from intake.models import Coverage, Patient
from intake.services import ExamAsk, order_place, patient_create
from rcm.pricing.models import Contract, ListPrice
from rcm.reference.models import Payer, Provider

JAN = dt.date(2026, 1, 1)
DOS = dt.date(2026, 9, 8)
DONE = dt.datetime(2026, 9, 8, 14, 45, tzinfo=dt.UTC)  # 9:45 in Chicago
READ = dt.datetime(2026, 9, 8, 19, 30, tzinfo=dt.UTC)
READER_NPI, ORDERING_NPI = "1801889012", "1932102084"

PRICES = {
    ("70551", ""): 900,
    ("70553", ""): 1500,
    ("70553", "26"): 300,
    ("70553", "TC"): 1200,
    ("72148", ""): 800,
    ("71046", ""): 90,
    ("71046", "26"): 30,
    ("74176", ""): 700,
    ("74177", ""): 900,
    ("74160", ""): 500,
    ("72193", ""): 500,
    ("A9585", ""): 1,
    ("Q9967", ""): 1,
    ("77067", ""): 250,
    ("77063", ""): 90,
    ("73562", ""): 110,
    ("73560", ""): 95,
}

BRAIN = {
    "indication": "Headache with new right arm weakness.",
    "technique": "Multiplanar sequences before and after 8 mL gadobutrol IV.",
    "comparison": "None.",
    "findings": "No acute infarct. No enhancing mass.",
    "impression": "No acute intracranial abnormality.",
    "signature": "Electronically signed by Ivan Reader MD 2026-09-08 14:29",
}
PLAIN_BRAIN = {
    **BRAIN,
    "technique": "Multiplanar sequences without contrast.",
    "findings": "No acute infarct.",
}


@dataclass
class House:
    """The suite's organization with what the mid-cycle needs around it."""

    cast: object
    group: ReadingGroup
    reader: Reader
    arrangement: BillingArrangement

    @property
    def site(self):
        return self.cast.north

    @property
    def actor(self):
        return self.cast.system

    def patient(
        self, mrn: str = "M1", payer: str = "PHP", *, verified: bool = True, plan=None
    ) -> Patient:
        patient = patient_create(
            organization_id=self.cast.a.pk,
            actor=self.actor,
            mrn=mrn,
            last_name="Canary",
            first_name="Cora",
            born_on=dt.date(1962, 3, 14),
            sex="F",
        )
        if payer:
            Coverage.objects.create(
                organization=self.cast.a,
                patient=patient,
                payer=Payer.objects.get(code=payer),
                plan=plan,
                member_id="CANA0001",
                rank=1,
                status="active" if verified else "unverified",
                verified_at=DONE if verified else None,
            )
        return patient

    def order(
        self,
        patient: Patient,
        *codes: str,
        accession: str = "",
        placer: str = "",
        laterality: str = "",
        indication: str = "Headache",
    ):
        """One order; its exams have accessions A1, A2, … unless one is named."""
        asks = [
            ExamAsk(
                code,
                accession=accession or f"A{patient.mrn}{n}",
                filler_number=f"F{patient.mrn}{n}",
                laterality=laterality,
            )
            for n, code in enumerate(codes, start=1)
        ]
        order = order_place(
            patient=patient,
            exams=asks,
            ordering=Provider.objects.get(npi=ORDERING_NPI),
            actor=self.actor,
            signed=True,
            indication=indication,
            diagnoses=["R519"],
            placer_number=placer or f"P{patient.mrn}",
            site=self.site,
            ordered_at=DONE - dt.timedelta(days=4),
            at=DONE - dt.timedelta(days=4),
        )
        return list(order.exams.order_by("id"))

    def authorize(
        self,
        patient: Patient,
        ordered,
        code: str = "",
        *,
        number: str = "AUTH1",
        units: int = 1,
        status: str = "approved",
    ) -> Authorization:
        coverage = patient.coverages.get(rank=1)
        row = Authorization.objects.create(
            organization=self.cast.a,
            patient=patient,
            coverage=coverage,
            payer=coverage.payer,
            site=self.site,
            number=number,
            status=status,
            member_id=coverage.member_id,
            effective_from=dt.date(2026, 9, 1),
            effective_to=dt.date(2026, 9, 30),
            ordering_npi=ORDERING_NPI,
            facility_npi=self.site.npi,
            facility_tin=self.cast.a.tin,
            requested_at=DONE - dt.timedelta(days=3),
        )
        AuthorizedService.objects.create(
            organization=self.cast.a,
            authorization=row,
            ordered_exam=ordered,
            code=code or ordered.code,
            units=units,
            status="approved",
        )
        return row

    def done(self, ordered, **more) -> PerformedRecord:
        facts = {
            "source": "mpps",
            "performed_at": DONE,
            "code": ordered.code,
            "modality": ordered.modality,
            "station": "MR1STATION",
        } | more
        return PerformedRecord(
            organization_id=self.cast.a.pk,
            keys=Keys(accession=ordered.accession, mrn=ordered.patient.mrn),
            **facts,
        )

    def report(
        self,
        ordered,
        sections: dict[str, str] = BRAIN,
        status: str = "F",
        *,
        at: dt.datetime = READ,
        **more,
    ) -> ReportRecord:
        facts = {
            "reader_npi": READER_NPI,
            "reader_name": "Ivan Reader",
            "code": ordered.code,
            "modality": ordered.modality,
        } | more
        return ReportRecord(
            organization_id=self.cast.a.pk,
            keys=Keys(accession=ordered.accession, mrn=ordered.patient.mrn),
            status=status,
            sections=sections,
            reported_at=at,
            performed_at=DONE,
            **facts,
        )


GADOBUTROL = ContrastGiven(route="iv", agent="gadobutrol", given_ml=Decimal(8), pre=True, post=True)


def furnish(cast) -> House:
    """Reference rows the starter set leaves to each office: who reads, on which machines, at what
    price.
    """
    Provider.objects.get_or_create(
        npi=ORDERING_NPI, defaults={"last_name": "Referrer", "first_name": "Ann"}
    )
    provider, _ = Provider.objects.get_or_create(
        npi=READER_NPI, defaults={"last_name": "Reader", "first_name": "Ivan"}
    )
    group = ReadingGroup.objects.create(
        organization=cast.a,
        name="North Readers",
        npi="1801889012",
        relation="employee",
        zip="606011234",
        state="IL",
    )
    reader = Reader.objects.create(
        organization=cast.a, group=group, provider=provider, credentialed_from=JAN
    )
    arrangement = BillingArrangement.objects.create(
        organization=cast.a, site=cast.north, reader_relation="employee", effective_from=JAN
    )
    for station, modality in (("MR1STATION", "MR"), ("CT1", "CT"), ("XR1", "XR"), ("MG1", "MG")):
        Scanner.objects.create(
            organization=cast.a,
            site=cast.north,
            station=station,
            modality=modality,
            name=station,
            effective_from=JAN,
        )
    ContrastStock.objects.create(
        organization=cast.a, agent="gadobutrol", code="A9585", single_dose=False, effective_from=JAN
    )
    ListPrice.objects.bulk_create(
        ListPrice(
            organization=cast.a, code=code, mod=mod, amount=Decimal(amount), effective_from=JAN
        )
        for (code, mod), amount in PRICES.items()
    )
    for code in ("PHP", "LBI"):
        Contract.objects.create(
            organization=cast.a,
            name=f"{code} 2026",
            payer=Payer.objects.get(code=code),
            method="percent_of_medicare",
            effective_from=JAN,
            terms={
                "percent": "120",
                "mppr_scope": "group",
                "mppr_pc_pct": "95",
                "mppr_tc_pct": "50",
            },
        )
    return House(cast, group, reader, arrangement)


def fresh(exam_id: int | None) -> Exam:
    return Exam.objects.get(pk=exam_id)


def codes_of(exam: Exam) -> list[tuple[str, tuple[str, ...], int, str]]:
    """Live charges of an exam: code, modifiers, units, status ("released" also when claims has
    taken it already).
    """
    live = exam.charges.exclude(status="void").order_by("id")
    return [
        (c.code, tuple(c.modifiers), int(c.units), "released" if c.status == "billed" else c.status)
        for c in live
    ]


def holds_of(exam: Exam) -> list[str]:
    return [h["code"] for h in exam.holds]
