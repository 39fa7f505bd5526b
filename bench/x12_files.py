"""Made-up X12 of any size for the measurements: imaging claims of three lines each, all
balanced.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal

from rcm.x12.model import (
    Address,
    Claim,
    Contact,
    Diagnosis,
    Envelope,
    Party,
    Procedure,
    Reference,
    ServiceLine,
)

DAY = datetime.date(2026, 9, 8)
ENVELOPE = Envelope("IMGCTR01", "CLRHOUSE", 101, datetime.date(2026, 11, 2), "1015", usage="T")
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
    address=Address("100 MODALITY DR", "", "SAN JOSE", "CA", "951281234"),
    refs=(Reference("EI", "941234567"),),
    provider_role="BI",
)
PAYER = Party("PR", "ACME HEALTH PLAN", id_qualifier="PI", id="60054")
CODES = ("70553", "72148", "73721", "74177", "71046")


def remittance(claims: int) -> Iterator[bytes]:
    """An 835 of ``claims`` claims in one set, in pieces."""
    yield (
        b"ISA*00*          *00*          *ZZ*PAYERID01      *ZZ*IMGCTR01      "
        b" *260925*0800*^*00501*000000101*0*T*:~"
        b"GS*HP*PAYERID01*IMGCTR01*20260925*0800*101*X*005010X221A1~ST*835*0001~"
    )
    paid = sum(Decimal(300) + 3 * Decimal(i % 100) / 100 for i in range(claims))
    yield (
        f"BPR*I*{paid}*C*ACH*CCP*01*011000015*DA*0001*1512345678**01*071000013*DA*9988*20260925~TRN*1*EFT20260925001*1512345678~DTM*405*20260925~N1*PR*SAMPLE"
        " PAYER~N3*PO BOX 1~N4*MADISON*WI*53708~N1*PE*SAMPLE IMAGING"
        " CENTER*XX*1679576722~REF*TJ*371234567~LX*1~"
    ).encode()
    for i in range(claims):
        part = Decimal(i % 100) / 100
        rows = [
            f"CLP*IMG{i}*1*1500*{300 + 3 * part}*60*MB*ICN{i:09d}*11*1~NM1*QC*1*PATIENT*NAME{i % 500}****MI*ID{i:07d}~"
            "NM1*82*1*READER*IVAN****XX*1801889012~DTM*050*20260912~"
        ]
        for line in (1, 2, 3):
            rows.append(
                f"SVC*HC:{CODES[(i + line) % 5]}:26*500*{100 + part}**1~DTM*472*20260908~"
                f"CAS*CO*45*{Decimal(378) - part}**253*2~CAS*PR*2*20~REF*6R*{i}L{line}~AMT*B6*{120 + part}~"
            )
        yield "".join(rows).encode()
    # ST, nine segments of the head, 22 of a claim, SE
    yield f"SE*{11 + 22 * claims}*0001~GE*1*101~IEA*1*000000101~".encode()


def claims(count: int) -> Iterator[Claim]:
    """Professional claims of three lines each, one subscriber a claim."""
    for i in range(count):
        yield Claim(
            claim_id=f"ACC{i:07d}",
            charge=Decimal("2550"),
            billing=BILLING,
            subscriber=Party(
                "IL",
                "DOE",
                "JANE",
                person=True,
                id_qualifier="MI",
                id=f"W{i:09d}",
                sex="F",
                address=Address(f"{i % 900 + 1} ELM ST", "", "SAN JOSE", "CA", "95112"),
                birth_date=DAY.replace(year=1980),
            ),
            payer=PAYER,
            group_number="GRP1001",
            authorization=f"PA{i:08d}",
            diagnoses=(Diagnosis("M5416", "ABK"), Diagnosis("M545")),
            referring=Party("DN", "REFER", "ANNA", person=True, id_qualifier="XX", id="1245319599"),
            lines=tuple(
                ServiceLine(
                    procedure=Procedure(CODES[(i + line) % 5], ("TC",)),
                    charge=Decimal("850"),
                    service_date=DAY,
                    line_control=f"ACC{i:07d}-{line}",
                    pointers=(1, 2),
                )
                for line in (1, 2, 3)
            ),
        )
