"""The clean claim that every example starts from, and the small tables it is judged by.

All of it is made up: people, numbers, payers. Examples read as "the clean claim, but …".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from claims.edits import seed
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

AS_OF = date(2026, 11, 20)
DOS = date(2026, 10, 28)
BILLING, READER, ORDERER, FACILITY, OUTSIDER = (
    "1234567893",
    "1245319599",
    "1003000126",
    "1993999998",
    "1689600009",
)
COMMERCIAL, MEDICARE, MEDICAID = "60054", "MCRB1", "MCD01"
SITE = Address("100 MODALITY DR", "", "SAN JOSE", "CA", "951281234")
HOME = Address("5 ELM ST", "", "SAN JOSE", "CA", "95112")

Maker = Callable[[], ClaimFacts]


def line(code: str = "72148", *modifiers: str, **changes: Any) -> LineFacts:
    """A clean line: performed, reported, signed and authorized as billed."""
    facts = LineFacts(
        code=code,
        charge=Decimal(850),
        modifiers=modifiers,
        service_date=DOS,
        accession="ACC0001",
        report_status="F",
        report_signed_on=DOS,
        reader_credentialed="yes",
        auth_requirement="required",
        auth_verdict="OK",
        same_locality="yes",
    )
    return replace(facts, **changes)


def claim(*lines: LineFacts, **changes: Any) -> ClaimFacts:
    """The clean claim with these lines; total, line numbers and control numbers follow from them
    unless given.
    """
    given = lines or (line(),)
    numbered = tuple(
        replace(item, number=n, control_number=item.control_number or f"ACC0001-1-{n}")
        for n, item in enumerate(given, start=1)
    )
    facts = ClaimFacts(
        claim_id="ACC0001-1",
        lines=numbered,
        diagnoses=("M5416",),
        total=sum((item.charge for item in numbered), Decimal(0)),
        payer_id=COMMERCIAL,
        payer_name="ACME HEALTH PLAN",
        product="commercial",
        eligibility="active",
        eligibility_checked_on=DOS,
        patient_id="P1",
        patient_last="DOE",
        patient_first="JANE",
        patient_dob=date(1980, 2, 14),
        patient_sex="F",
        patient_address=HOME,
        member_id="W123456789",
        subscriber_last="DOE",
        subscriber_first="JANE",
        subscriber_dob=date(1980, 2, 14),
        subscriber_sex="F",
        subscriber_address=HOME,
        billing_name="BAYSIDE IMAGING CENTER",
        billing_npi=BILLING,
        billing_tin="941234567",
        billing_taxonomy="261QR0200X",
        billing_address=SITE,
        rendering_npi=READER,
        rendering_taxonomy="2085R0202X",
        ordering_npi=ORDERER,
        ordering_name="REFER ANNA",
        facility_npi=FACILITY,
        facility_address=Address("22 RADIOLOGY WAY", "", "SAN JOSE", "CA", "951281234"),
        facility_state="CA",
        prior_auth_number="PA99887766",
    )
    return replace(facts, **changes)


def medicare(*lines: LineFacts, **changes: Any) -> ClaimFacts:
    """The clean claim for Original Medicare: no authorization is asked there."""
    given = lines or (line(),)
    free = tuple(
        replace(item, auth_requirement="not_required", auth_verdict="NOT_REQUIRED")
        for item in given
    )
    terms: dict[str, Any] = {
        "payer_id": MEDICARE,
        "product": "medicare_b",
        "member_id": "1EG4TE5MK73",
        "patient_dob": date(1955, 2, 14),
        "subscriber_dob": date(1955, 2, 14),
        "prior_auth_number": "",
    }
    return claim(*free, **(terms | changes))


def prior(code: str = "72148", *modifiers: str, **changes: Any) -> PriorLine:
    """A line of another claim of the same patient on the same day, accepted by the same payer."""
    facts = PriorLine(
        code=code,
        service_date=DOS,
        modifiers=modifiers,
        payer_id=COMMERCIAL,
        billing_npi=BILLING,
        rendering_npi=READER,
        claim_id="ACC0000-1",
        accession="ACC0001",
        status="accepted",
        payer_icn="ICN1",
    )
    return replace(facts, **changes)


def mammogram(*lines: LineFacts, **changes: Any) -> ClaimFacts:
    """A clean Medicare screening mammogram with its certificate."""
    given = lines or (line("77067"), line("77063"))
    return medicare(
        *given, **({"diagnoses": ("Z1231",), "mammography_certificate": "123456"} | changes)
    )


def scan(*lines: LineFacts, **changes: Any) -> ClaimFacts:
    """A clean low-dose CT for lung cancer screening under Medicare."""
    facts: dict[str, Any] = {
        "pack_years": 30,
        "smoking": "current",
        "shared_decision": "yes",
        "asymptomatic": "yes",
    }
    given = lines or (line("71271", **facts),)
    return medicare(
        *given,
        **(
            {
                "diagnoses": ("Z87891",),
                "patient_dob": date(1960, 2, 14),
                "subscriber_dob": date(1960, 2, 14),
            }
            | changes
        ),
    )


def pet(*modifiers: str, **changes: Any) -> ClaimFacts:
    return medicare(
        line("78815", *modifiers),
        line("A9552", charge=Decimal(300)),
        diagnoses=("C3490",),
        **changes,
    )


def secondary(**changes: Any) -> ClaimFacts:
    """A clean secondary claim: the primary has decided, line by line."""
    first = OtherCoverage(
        "87726", 1, adjudicated_on=date(2026, 11, 10), paid=Decimal(300), line_adjudications=True
    )
    return claim(
        **(
            {"coverage_rank": 2, "other_coverages": (first,), "primary_eob_on": date(2026, 11, 10)}
            | changes
        )
    )


@cache
def reference() -> ReferenceFacts:
    """Small tables with the shape of the real ones."""
    return ReferenceFacts(
        procedures={row.code: row for row in _PROCEDURES},
        ptp={
            "70553": {"70551": (PtpRow("1"),)},
            "71275": {"76376": (PtpRow("0"),)},
            "77066": {"77067": (PtpRow("1"),)},
            "74177": {"74160": (PtpRow("1"),)},
        },
        mue={
            "70553": (MueRow(2, "3"),),
            "77067": (MueRow(1, "2"),),
            "A9585": (MueRow(300, "3"),),
            "71046": (MueRow(3, "1"),),
        },
        addons={
            "77063": (AddOnRow("1", frozenset({"77067"})),),
            "76937": (AddOnRow("2", frozenset()),),
        },
        icd=(
            IcdRelease(date(2025, 10, 1), date(2026, 9, 30), _ICD_CODES, _ICD_SIDES),
            IcdRelease(date(2026, 10, 1), date(2027, 9, 30), _ICD_CODES, _ICD_SIDES),
        ),
        pos={
            "11": "NF",
            "15": "NF",
            "20": "NF",
            "21": "F",
            "22": "F",
            "23": "F",
            "31": "F",
            "32": "NF",
            "49": "NF",
            "35": "U",
        },
        modifiers=frozenset(
            [
                "26",
                "TC",
                "50",
                "RT",
                "LT",
                "51",
                "52",
                "53",
                "59",
                "XE",
                "XS",
                "XP",
                "XU",
                "76",
                "77",
                "CT",
                "FX",
                "FY",
                "GG",
                "GH",
                "PI",
                "PS",
                "Q0",
                "Q1",
                "KX",
                "GA",
                "GX",
                "GY",
                "GZ",
                "GC",
                "PO",
                "PN",
                "JW",
                "JZ",
                "33",
            ]
        ),
        taxonomies=frozenset({"261QR0200X", "2085R0202X"}),
        drugs={
            "A9585": "mr_contrast",
            "A9579": "mr_contrast",
            "Q9967": "iodinated_contrast",
            "A9552": "radiopharmaceutical",
        },
        coverage={
            "93880": (CoverageRow(frozenset({"R0989"}), frozenset({"Z0000"}), "L0001"),),
            "93970": (
                CoverageRow(
                    frozenset({"I82401"}), frozenset({"Z0000"}), "L0002", authoritative=True
                ),
            ),
        },
        **seed.tables(),
        payers={
            COMMERCIAL: PayerRow(
                COMMERCIAL,
                "commercial",
                filing_days=90,
                secondary_filing_days=90,
                corrected_days=180,
                accepts_replacement=True,
                member_id_mask="A999999999",
                contrast_paid=True,
                wants_g0279=False,
                split_on_locality=False,
            ),
            MEDICARE: PayerRow(
                MEDICARE,
                "medicare_b",
                filing_days=365,
                secondary_filing_days=365,
                accepts_replacement=False,
                member_id_mask="XXXXXXXXXXX",
                contrast_paid=False,
                wants_g0279=True,
                split_on_locality=True,
            ),
            "TWOLINES": PayerRow(
                "TWOLINES", "commercial", filing_days=90, bilateral_form="two_lines"
            ),
            "NDC": PayerRow("NDC", "commercial", filing_days=90, requires_ndc=True),
            "GLOBAL": PayerRow(
                "GLOBAL", "commercial", filing_days=90, component_form="global_only"
            ),
            MEDICAID: PayerRow(
                MEDICAID,
                "medicaid_ffs",
                filing_days=95,
                accepts_replacement=True,
                contrast_paid=True,
                requires_referral=True,
            ),
        },
        enrollments={
            (npi, payer): (Span(date(2020, 1, 1)),)
            for npi in (BILLING, READER)
            for payer in (COMMERCIAL, MEDICARE, MEDICAID, "GLOBAL", "TWOLINES", "NDC", "NEW99")
        },
        licenses={(READER, "CA"): (Span(date(2020, 1, 1), date(2027, 12, 31)),)},
        mammography_certificates={
            "123456": (Span(date(2024, 1, 1), date(2027, 1, 1)),),
            "999999": (Span(date(2020, 1, 1), date(2023, 1, 1)),),
        },
        excluded_npis=frozenset({OUTSIDER}),
        ordering_npis=frozenset({ORDERER, OUTSIDER, READER}),
    )


def _split(code: str, modality: str = "", **attributes: Any) -> ProcedureRow:
    """A test with both parts (indicator 1)."""
    return ProcedureRow(
        code,
        "A",
        "1",
        modifiers=frozenset({"26", "TC"}),
        modality=modality,
        **({"bilat_ind": "0", "family": code[:4]} | attributes),
    )


_PROCEDURES = (
    _split("72148", "MR", family="MR_LSPINE", contrast="without"),
    _split("72158", "MR", family="MR_LSPINE", contrast="without_and_with"),
    _split("70551", "MR", family="MR_BRAIN", contrast="without"),
    _split("70553", "MR", family="MR_BRAIN", contrast="without_and_with"),
    _split("71046", "XR", family="XR_CHEST"),
    _split("71275", "CTA", family="CTA_CHEST", contrast="with"),
    _split("73562", "XR", family="XR_KNEE", bilat_ind="3", views_min=3),
    _split("73560", "XR", family="XR_KNEE", bilat_ind="3", views_min=1),
    _split("74160", "CT", family="CT_ABDOMEN", contrast="with"),
    _split("74176", "CT", family="CT_ABD_PELVIS", contrast="without"),
    _split("74177", "CT", family="CT_ABD_PELVIS", contrast="with"),
    _split("71271", "CT", family="LDCT_SCREEN", contrast="without"),
    _split("76376", "POST", family="POST3D"),
    _split("76641", "US", family="US_BREAST", bilat_ind="1", extent="complete"),
    _split("76801", "US", family="US_OB"),
    _split("76499", "XR", family="UNLISTED"),
    _split("76937", "US", family="US_GUIDE"),
    _split("77063", "MG", family="MG_SCREEN_TOMO", bilat_ind="2"),
    _split("77065", "MG", family="MG_DX"),
    _split("77066", "MG", family="MG_DX", bilat_ind="2"),
    _split("77067", "MG", family="MG_SCREEN", bilat_ind="2"),
    _split("77061", "MG", family="MG_DX_TOMO"),
    _split("G0279", "MG", family="MG_DX_TOMO", bilat_ind="2"),
    _split("77080", "BMD", family="DXA"),
    _split("78306", "NM", family="NM_BONE"),
    _split("78815", "PT", family="PETCT"),
    _split("93880", "US", family="US_CAROTID", bilat_ind="2"),
    _split("93970", "US", family="US_VENOUS", bilat_ind="2"),
    ProcedureRow("77089", "A", "4", bilat_ind="0"),
    ProcedureRow("77090", "A", "3", bilat_ind="0"),
    ProcedureRow("77092", "A", "2", bilat_ind="0"),
    ProcedureRow("G0296", "A", "0", bilat_ind="0"),
    ProcedureRow(
        "70471",
        "A",
        "1",
        bilat_ind="0",
        modality="CTA",
        contrast="with",
        effective_from=date(2026, 1, 1),
        effective_to=date(2026, 10, 1),
    ),
    ProcedureRow("76140", "I", "9", bilat_ind="9"),
    ProcedureRow("A9585", "X", "9", bilat_ind="9"),
    ProcedureRow("A9579", "X", "9", bilat_ind="9"),
    ProcedureRow("A9552", "C", "9", bilat_ind="9"),
    ProcedureRow("Q9967", "E", "9", bilat_ind="9"),
)
_ICD_CODES = frozenset(
    [
        "M5416",
        "M25561",
        "M25562",
        "Z1231",
        "Z87891",
        "C3490",
        "C61",
        "O0990",
        "R0989",
        "I82401",
        "Z0000",
        "Z006",
        "R079",
        "N6001",
        "N6002",
        "W19XXXA",
        "Z7801",
        "R922",
    ]
)
_ICD_SIDES = {"M25561": "RT", "M25562": "LT", "N6001": "RT", "N6002": "LT", "I82401": "RT"}
