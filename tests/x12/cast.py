"""The people, payers and claims of the worked examples."""

from __future__ import annotations

import datetime
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from rcm.x12.model import (
    Address,
    Adjustment,
    Attachment,
    Claim,
    Contact,
    DatePeriod,
    Diagnosis,
    Drug,
    Envelope,
    LineAdjudication,
    Note,
    OtherPayer,
    Party,
    Procedure,
    PurchasedService,
    Reference,
    ServiceLine,
)

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT.parent / "shared" / "samples"

TODAY = datetime.date(2026, 11, 2)
SERVICE = datetime.date(2026, 10, 28)
ENVELOPE = Envelope("IMGCTR01", "CLRHOUSE", 101, TODAY, "1015", usage="T")

SUBMITTER = Party(
    "41",
    "BAYSIDE IMAGING CENTER",
    id_qualifier="46",
    id="IMGCTR01",
    contacts=(Contact("BILLING DESK", (("TE", "4085550100"),)),),
)
RECEIVER = Party("40", "CLEARING HOUSE", id_qualifier="46", id="CLRHOUSE")
BILLING = Party(
    "85",
    "BAYSIDE IMAGING CENTER",
    id_qualifier="XX",
    id="1234567893",
    taxonomy="261QR0200X",
    provider_role="BI",
    address=Address("100 MODALITY DR", "", "SAN JOSE", "CA", "951281234"),
    refs=(Reference("EI", "941234567"),),
)
JANE = Party(
    "IL",
    "DOE",
    "JANE",
    person=True,
    id_qualifier="MI",
    id="W123456789",
    sex="F",
    birth_date=datetime.date(1980, 2, 14),
    address=Address("5 ELM ST", "", "SAN JOSE", "CA", "95112"),
)
CHILD = Party(
    "QC",
    "DOE",
    "TIM",
    person=True,
    sex="M",
    birth_date=datetime.date(2015, 3, 1),
    address=Address("5 ELM ST", "", "SAN JOSE", "CA", "95112"),
)
ACME = Party("PR", "ACME HEALTH PLAN", id_qualifier="PI", id="60054")
MEDICARE = Party("PR", "SAMPLE PART B PAYER", id_qualifier="PI", id="04112")
ANNA = Party("DN", "REFER", "ANNA", person=True, id_qualifier="XX", id="1245319599")
READER = Party(
    "82",
    "READER",
    "IVAN",
    person=True,
    id_qualifier="XX",
    id="1801889012",
    taxonomy="2085R0202X",
    provider_role="PE",
)
NORTH = Party(
    "77",
    "BAYSIDE IMAGING NORTH",
    id_qualifier="XX",
    id="1993999998",
    address=Address("22 RADIOLOGY WAY", "", "SAN JOSE", "CA", "951281234"),
)

# The clean imaging claim of the design, byte for byte.
CLEAN = (
    b"ISA*00*          *00*          *ZZ*IMGCTR01       *ZZ*CLRHOUSE      "
    b" *261102*1015*^*00501*000000101*0*T*:~"
    b"GS*HC*IMGCTR01*CLRHOUSE*20261102*1015*101*X*005010X222A1~"
    b"ST*837*0001*005010X222A1~BHT*0019*00*B000101*20261102*1015*CH~NM1*41*2*BAYSIDE IMAGING"
    b" CENTER*****46*IMGCTR01~"
    b"PER*IC*BILLING DESK*TE*4085550100~NM1*40*2*CLEARING"
    b" HOUSE*****46*CLRHOUSE~HL*1**20*1~PRV*BI*PXC*261QR0200X~"
    b"NM1*85*2*BAYSIDE IMAGING CENTER*****XX*1234567893~N3*100 MODALITY DR~N4*SAN"
    b" JOSE*CA*951281234~REF*EI*941234567~"
    b"HL*2*1*22*0~SBR*P*18*GRP1001******CI~NM1*IL*1*DOE*JANE****MI*W123456789~N3*5 ELM ST~N4*SAN"
    b" JOSE*CA*95112~"
    b"DMG*D8*19800214*F~NM1*PR*2*ACME HEALTH"
    b" PLAN*****PI*60054~CLM*ACC0001-1*850***11:B:1*Y*A*Y*Y~REF*G1*PA99887766~"
    b"HI*ABK:M5416~NM1*DN*1*REFER*ANNA****XX*1245319599~NM1*77*2*BAYSIDE IMAGING"
    b" NORTH*****XX*1993999998~"
    b"N3*22 RADIOLOGY WAY~N4*SAN"
    b" JOSE*CA*951281234~LX*1~SV1*HC:72148:TC*850*UN*1***1~DTP*472*D8*20261028~"
    b"REF*6R*ACC0001-1-1~SE*30*0001~GE*1*101~IEA*1*000000101~"
)


def line(
    code: str, *modifiers: str, charge: str = "850", control: str = "ACC0001-1-1", **more: object
) -> ServiceLine:
    return ServiceLine(
        procedure=Procedure(code, modifiers),
        charge=Decimal(charge),
        line_control=control,
        service_date=SERVICE,
        **more,
    )  # type: ignore[arg-type]


def claim(**changes: object) -> Claim:
    """Jane's lumbar MRI, technical part, authorized; ``changes`` make it something else."""
    base = Claim(
        claim_id="ACC0001-1",
        charge=Decimal("850"),
        billing=BILLING,
        subscriber=JANE,
        payer=ACME,
        group_number="GRP1001",
        authorization="PA99887766",
        diagnoses=(Diagnosis("M5416", "ABK"),),
        referring=ANNA,
        facility=NORTH,
        lines=(line("72148", "TC"),),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def variants() -> dict[str, Claim]:
    """Professional claims of every shape the product sends; each must pass the guide."""
    two_readings = (
        line("70553", "TC", charge="1100", facility=NORTH, pointers=(1, 2)),
        line("70553", "26", charge="400", control="ACC0001-1-2", rendering=READER, pos="22"),
    )
    contrast = (
        line("74177", charge="900"),
        line(
            "Q9967",
            charge="90",
            control="ACC0001-1-2",
            units=Decimal("80"),
            drug=Drug("00407141402", Decimal("80"), "ML"),
        ),
    )
    paid_by_medicare = OtherPayer(
        sequence="P",
        payer=MEDICARE,
        subscriber=replace(JANE, id="1EG4TE5MK73", birth_date=None, sex=""),
        filing_code="MB",
        paid=Decimal("300"),
        remaining=Decimal("75"),
        remarks=("MA01",),
        payer_control="ICN26090001",
    )
    adjudicated = LineAdjudication(
        payer_id="04112",
        paid=Decimal("300"),
        procedure=Procedure("72148", ("TC",)),
        adjustments=(Adjustment("CO", "45", Decimal("475")), Adjustment("PR", "2", Decimal("75"))),
        paid_date=datetime.date(2026, 10, 30),
        remaining=Decimal("75"),
    )
    return {
        "the clean claim": claim(),
        "a child of the subscriber": claim(
            patient=CHILD, patient_relationship="19", relationship=""
        ),
        "a replacement": claim(frequency="7", payer_control="ICN26090001"),
        "a void": claim(frequency="8", payer_control="ICN26090001"),
        "technical and professional lines in different places": claim(
            charge=Decimal("1500"),
            lines=two_readings,
            diagnoses=(Diagnosis("M5416", "ABK"), Diagnosis("R519")),
        ),
        "contrast with its drug code": claim(charge=Decimal("990"), lines=contrast),
        "secondary after Medicare": claim(
            payer_sequence="S",
            filing_code="CI",
            other_payers=(paid_by_medicare,),
            lines=(line("72148", "TC", adjudications=(adjudicated,)),),
        ),
        "a purchased interpretation": claim(
            lines=(
                line(
                    "72148",
                    "26",
                    charge="850",
                    purchased=PurchasedService("1801889012", Decimal("65.5")),
                    purchased_from=Party("QB", id_qualifier="XX", id="1801889012", person=True),
                ),
            )
        ),
        "ordering and supervising providers": claim(
            rendering=READER,
            supervising=Party(
                "DQ", "WATCH", "VERA", person=True, id_qualifier="XX", id="1245319599"
            ),
            lines=(
                line(
                    "72148",
                    ordering=Party(
                        "DK",
                        "ORDER",
                        "OTTO",
                        person=True,
                        id_qualifier="XX",
                        id="1245319599",
                        address=Address("1 MAIN ST", "", "SAN JOSE", "CA", "951281234"),
                        contacts=(Contact("OTTO", (("TE", "4085550101"),)),),
                    ),
                ),
            ),
        ),
        "a screening mammogram": claim(
            mammography_certification="123456",
            diagnoses=(Diagnosis("Z1231", "ABK"),),
            charge=Decimal("180"),
            lines=(line("77067", charge="180"),),
        ),
        "a car accident with papers": claim(
            related_causes=("AA",),
            accident_state="CA",
            accident_date=datetime.date(2026, 10, 20),
            filing_code="AM",
            attachments=(Attachment("OZ", "BM", "DMN0012"),),
            notes=(Note("REPORT ATTACHED"),),
            file_information=("UT000001",),
            referral="RF1234",
            patient_paid=Decimal("20"),
            refs=(Reference("EA", "MRN0001"),),
            dates=(DatePeriod("431", datetime.date(2026, 10, 20), datetime.date(2026, 10, 20)),),
        ),
        "another pay-to address": claim(
            pay_to=Party("87", address=Address("PO BOX 9", "", "SAN JOSE", "CA", "951281234"))
        ),
        "twelve diagnoses and four modifiers": claim(
            diagnoses=(Diagnosis("M5416", "ABK"), *(Diagnosis(f"M54{i}") for i in range(11, 22))),
            lines=(line("73721", "TC", "RT", "XS", "KX", pointers=(1, 2, 3, 12)),),
        ),
    }
