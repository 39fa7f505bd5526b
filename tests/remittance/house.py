"""A small imaging center for remittance tests: patients, claims that were accepted, and 835 files a
biller can read.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from decimal import Decimal

from charges.models import Charge, ChargeStatus, Exam, ExamStatus, Report
from claims.models import Claim, ClaimLine, ClaimStatus
from intake.models import Coverage, Order, OrderedExam, Patient
from rcm.exchange.models import Interchange
from rcm.exchange.services import process, store_inbound
from rcm.ledger.models import Balance, LedgerEntry
from rcm.ledger.services import Leg, Posting, post
from rcm.reference.models import Payer
from remittance.models import Remittance
from remittance.records import ScannedEob

AT = dt.datetime(2026, 9, 25, 15, 0, tzinfo=dt.UTC)
DOS = dt.date(2026, 9, 8)
D = Decimal
_numbers = itertools.count(1)
SCAN = ScannedEob(b"%PDF-1.7\nthe paper as it was scanned\n%%EOF\n", "eob.pdf")


def payer(code: str = "PHP") -> Payer:
    return Payer.objects.get(code=code)


def patient_with(
    cast, *, payers: Sequence[Payer], last: str = "", first: str = "Pat", member: str = ""
) -> Patient:
    n = next(_numbers)
    p = Patient.objects.create(
        organization=cast.a,
        mrn=f"M{n:06d}",
        last_name=last or f"Sample{n}",
        first_name=first,
        born_on=dt.date(1958, 3, 27),
        sex="F",
        address="1 Main St",
        city="Chicago",
        state="IL",
        zip="60601",
        search=f"sample{n}",
    )
    for rank, one in enumerate(payers, 1):
        Coverage.objects.create(
            organization=cast.a,
            patient=p,
            payer=one,
            rank=rank,
            member_id=member if member and rank == 1 else f"MEM{n:06d}{rank}",
            starts_on=dt.date(2026, 1, 1),
            status="active",
        )
    return p


def claim_of(
    cast,
    number: str,
    lines: Sequence[tuple],
    *,
    payers: Sequence[Payer] | None = None,
    dos: dt.date = DOS,
    patient: Patient | None = None,
    icn: str = "",
    status: str = ClaimStatus.ACCEPTED,
    site=None,
) -> Claim:
    """An accepted claim. A line is (code, charge, expected or None, control, modifiers…)."""
    payers = payers or [payer()]
    patient = patient or patient_with(cast, payers=payers)
    site = site or cast.north
    coverage = patient.coverages.get(rank=1)
    order = Order.objects.create(
        organization=cast.a,
        patient=patient,
        ordered_at=AT,
        signed=True,
        indication="Headache",
        diagnoses=["R519"],
    )
    n = next(_numbers)
    ordered = OrderedExam.objects.create(
        organization=cast.a,
        order=order,
        patient=patient,
        code=lines[0][0],
        modality="MR",
        accession=f"ACC{n:06d}",
    )
    exam = Exam.objects.create(
        organization=cast.a,
        patient=patient,
        site=site,
        coverage=coverage,
        ordered_exam=ordered,
        accession=f"ACC{n:06d}",
        modality="MR",
        code=lines[0][0],
        performed_at=dt.datetime.combine(dos, dt.time(15), tzinfo=dt.UTC),
        service_date=dos,
        status=ExamStatus.RELEASED,
    )
    Report.objects.create(
        organization=cast.a,
        exam=exam,
        version=1,
        status="F",
        sections={"findings": "Normal study.", "impression": "No acute finding."},
        reader_npi="1801889012",
        reader_name="Reader, Ivan",
        signed_at=AT,
        reported_at=AT,
    )
    claim = Claim.objects.create(
        organization=cast.a,
        number=number,
        patient=patient,
        coverage=coverage,
        payer=coverage.payer,
        site=site,
        status=status,
        pos="11",
        service_date=dos,
        total=sum((D(line[1]) for line in lines), D(0)),
        payer_control_number=icn,
        filing_deadline=dos + dt.timedelta(days=90),
        accepted_at=AT,
        diagnoses=["R519"],
    )
    for i, (code, charge, expected, *rest) in enumerate(lines, 1):
        control = rest[0] if rest and rest[0] else f"{number}L{i}"
        modifiers = list(rest[1:])
        row = Charge.objects.create(
            organization=cast.a,
            exam=exam,
            patient=patient,
            code=code,
            component=next((m for m in modifiers if m in ("26", "TC")), ""),
            modifiers=modifiers,
            pos="11",
            service_date=dos,
            amount=D(charge),
            expected=D(expected) if expected else None,
            status=ChargeStatus.BILLED,
            released_at=AT,
        )
        ClaimLine.objects.create(
            organization=cast.a,
            claim=claim,
            charge=row,
            number=i,
            control=control,
            code=code,
            modifiers=modifiers,
            units=1,
            amount=D(charge),
            expected=D(expected) if expected else None,
            pointers=[1],
            service_date=dos,
        )
        post(
            [
                Posting(
                    cast.a.pk,
                    "charge",
                    f"charge:{row.public_id}",
                    dos,
                    f"{code}",
                    [
                        Leg(
                            "ar_insurance",
                            D(charge),
                            row.pk,
                            claim.pk,
                            patient.pk,
                            coverage.payer_id,
                        ),
                        Leg("revenue", -D(charge), row.pk, claim.pk, patient.pk, coverage.payer_id),
                    ],
                )
            ],
            actor=cast.system,
        )
    return claim


def era(*sets: str, control: int = 101, ends: str = "~\n") -> bytes:
    """An interchange around ST bodies written as a payer would, one segment per line."""
    out = [
        "ISA*00*          *00*          *ZZ*PAYERID01      *ZZ*CANA          "
        f" *260925*0800*^*00501*{control:09d}*0*T*:"
    ]
    out.append(f"GS*HP*PAYERID01*CANA*20260925*0800*{control}*X*005010X221A1")
    for i, body in enumerate(sets, 1):
        lines = [line.strip() for line in body.strip().splitlines() if line.strip()]
        out.append(f"ST*835*{i:04d}")
        out += lines
        out.append(f"SE*{len(lines) + 2}*{i:04d}")
    out += [f"GE*{len(sets)}*{control}", f"IEA*1*{control:09d}"]
    return (ends.join(out) + ends).encode()


def head(
    amount: str,
    trace: str = "EFT1",
    payer_name: str = "PRAIRIE HEALTH PLAN",
    payer_id: str = "PRHP1",
) -> str:
    sign = "D" if amount.startswith("-") else "C"
    return f"""
        BPR*I*{amount.lstrip("-")}*{sign}*ACH*CCP*01*011000015*DA*0001*1512345678**01*071000013*DA*9988*20260925
        TRN*1*{trace}*1512345678
        DTM*405*20260925
        N1*PR*{payer_name}*XV*{payer_id}
        N1*PE*CANA IMAGING*XX*1679576722
        LX*1
    """


def receive(cast, content: bytes, *, at: dt.datetime = AT) -> Interchange:
    """Store and read a file as the workers do, without posting."""
    interchange, _ = store_inbound(
        organization_id=cast.a.pk,
        kind="835",
        content=content,
        file_name="test.835",
        at=at,
        actor=cast.system,
    )
    process([interchange.pk], actor=cast.system, at=at)
    interchange.refresh_from_db()
    return interchange


def only(cast) -> Remittance:
    return Remittance.objects.get(organization=cast.a)


def insurance(claim: Claim) -> Decimal:
    """What insurance still owes on a claim's charges."""
    return sum(
        (
            b.insurance
            for b in Balance.objects.filter(charge_id__in=claim.lines.values("charge_id"))
        ),
        D("0.00"),
    )


def owed_by_patient(claim: Claim) -> Decimal:
    return sum(
        (b.patient for b in Balance.objects.filter(charge_id__in=claim.lines.values("charge_id"))),
        D("0.00"),
    )


def booked(account: str, **keys) -> Decimal:
    return sum((e.amount for e in LedgerEntry.objects.filter(account=account, **keys)), D("0.00"))
