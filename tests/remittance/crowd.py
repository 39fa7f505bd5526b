"""Many accepted claims at once, and the 835 that answers them: for faults and benches. Each claim
has three lines; every tenth is denied in part.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from django.db import connection

from charges.models import Charge, ChargeStatus, Exam, ExamStatus, Report
from claims.marks import marks_put, subjects
from claims.models import Claim, ClaimLine, ClaimStatus
from intake.models import Coverage, Patient
from rcm.accounts.actor import Actor
from rcm.ledger.services import Leg, Posting, post
from rcm.reference.models import Payer

AT = dt.datetime(2026, 9, 25, 15, 0, tzinfo=dt.UTC)
DOS = dt.date(2026, 9, 8)
LINES = (
    ("70551", Decimal("500.00"), Decimal("200.00")),
    ("72148", Decimal("400.00"), Decimal("120.00")),
    ("71046", Decimal("90.00"), Decimal("34.00")),
)


def claims(organization, site, count: int, *, actor: Actor, prefix: str = "K") -> None:
    """`count` claims of as many patients, charged in the ledger. Call in the organization's
    scope.
    """
    payer = Payer.objects.get(code="PHP")
    org = {"organization": organization}
    patients = Patient.objects.bulk_create(
        [
            Patient(
                **org,
                mrn=f"{prefix}{n:06d}",
                last_name=f"Crowd{n}",
                first_name="Pat",
                born_on=dt.date(1958, 3, 27),
                sex="F",
                search=f"crowd{n}",
            )
            for n in range(count)
        ],
        batch_size=2000,
    )
    coverages = Coverage.objects.bulk_create(
        [
            Coverage(
                **org,
                patient=p,
                payer=payer,
                rank=1,
                member_id=f"MEM{prefix}{p.mrn[1:]}",
                status="active",
            )
            for p in patients
        ],
        batch_size=2000,
    )
    exams = Exam.objects.bulk_create(
        [
            Exam(
                **org,
                patient=p,
                site=site,
                coverage=c,
                accession=f"{prefix}{n:06d}",
                modality="MR",
                code="70551",
                performed_at=AT,
                service_date=DOS,
                status=ExamStatus.RELEASED,
            )
            for n, (p, c) in enumerate(zip(patients, coverages, strict=True))
        ],
        batch_size=2000,
    )
    Report.objects.bulk_create(
        [
            Report(**org, exam=e, version=1, status="F", sections={}, signed_at=AT, reported_at=AT)
            for e in exams
        ],
        batch_size=2000,
    )
    rows = Claim.objects.bulk_create(
        [
            Claim(
                **org,
                number=f"{prefix}{n:06d}",
                patient=p,
                coverage=c,
                payer=payer,
                site=site,
                status=ClaimStatus.ACCEPTED,
                pos="11",
                service_date=DOS,
                total=Decimal("990.00"),
                filing_deadline=DOS + dt.timedelta(days=90),
                accepted_at=AT,
            )
            for n, (p, c) in enumerate(zip(patients, coverages, strict=True))
        ],
        batch_size=2000,
    )
    charges = Charge.objects.bulk_create(
        [
            Charge(
                **org,
                exam=e,
                patient_id=e.patient_id,
                code=code,
                pos="11",
                service_date=DOS,
                amount=amount,
                expected=expected,
                status=ChargeStatus.BILLED,
                released_at=AT,
            )
            for e in exams
            for code, amount, expected in LINES
        ],
        batch_size=3000,
    )
    ClaimLine.objects.bulk_create(
        [
            ClaimLine(
                **org,
                claim=rows[i // 3],
                charge=c,
                number=i % 3 + 1,
                control=f"{rows[i // 3].number}L{i % 3 + 1}",
                code=c.code,
                units=1,
                amount=c.amount,
                expected=c.expected,
                service_date=DOS,
            )
            for i, c in enumerate(charges)
        ],
        batch_size=3000,
    )
    marks_put(subjects(c.pk for c in rows))  # as when they left
    post(
        [
            Posting(
                organization.pk,
                "charge",
                f"charge:{c.public_id}",
                DOS,
                c.code,
                [
                    Leg("ar_insurance", c.amount, c.pk, None, c.patient_id, payer.pk),
                    Leg("revenue", -c.amount, c.pk, None, c.patient_id, payer.pk),
                ],
            )
            for c in charges
        ],
        actor=actor,
    )


def advice(count: int, *, prefix: str = "K", trace: str = "EFTCROWD") -> tuple[bytes, Decimal]:
    """The 835 of those claims, and its amount."""
    parts: list[str] = []
    total = Decimal(0)
    for n in range(count):
        number = f"{prefix}{n:06d}"
        denied = n % 10 == 0
        third = "0" if denied else "30"
        paid = Decimal(270) if denied else Decimal(300)
        total += paid
        parts += [
            f"CLP*{number}*1*990*{paid}*{50 if denied else 54}*12*ICN{number}*11*1",
            f"NM1*QC*1*CROWD{n}*PAT****MI*MEM{number}",
            "SVC*HC:70551*500*150**1",
            "DTM*472*20260908",
            "CAS*CO*45*300",
            "CAS*PR*2*50",
            f"REF*6R*{number}L1",
            "SVC*HC:72148*400*120**1",
            "DTM*472*20260908",
            "CAS*CO*45*280",
            f"REF*6R*{number}L2",
            f"SVC*HC:71046*90*{third}**1",
            "DTM*472*20260908",
            "CAS*CO*197*90" if denied else "CAS*CO*45*56",
            *([] if denied else ["CAS*PR*2*4"]),
            f"REF*6R*{number}L3",
        ]
    from tests.remittance.house import era, head

    return era(head(str(total), trace=trace) + "\n".join(parts)), total


Q1 = (
    "SELECT t.id FROM ledger_ledgertransaction t LEFT JOIN ledger_ledgerentry e ON e.transaction_id"
    " = t.id GROUP BY t.id HAVING coalesce(sum(e.amount), 1) <> 0"
)
Q2 = """WITH s AS (SELECT charge_id, coalesce(sum(amount) FILTER (WHERE account = 'ar_insurance'), 0) i, coalesce(sum(amount) FILTER (WHERE account = 'ar_patient'), 0) p
                     FROM ledger_ledgerentry WHERE charge_id IS NOT NULL AND account IN ('ar_insurance', 'ar_patient') GROUP BY charge_id)
        SELECT 1 FROM s FULL JOIN ledger_balance b USING (charge_id) WHERE s.i IS DISTINCT FROM b.insurance OR s.p IS DISTINCT FROM b.patient"""
Q3 = """SELECT r.id FROM remittance_remittance r LEFT JOIN ledger_ledgerentry e ON e.remittance_id = r.id AND e.account = 'cash'
         WHERE r.status = 'posted' GROUP BY r.id, r.amount HAVING coalesce(sum(e.amount), 0) <> r.amount"""
Q4 = (
    "SELECT effect_key FROM ledger_ledgertransaction GROUP BY organization_id, effect_key HAVING"
    " count(*) > 1"
)
DIGEST = """SELECT count(*), coalesce(sum(hashtextextended(concat_ws('|', t.effect_key, e.account, e.amount, e.reason, e.effective_on), 0)::numeric), 0)
              FROM ledger_ledgerentry e JOIN ledger_ledgertransaction t ON t.id = e.transaction_id WHERE t.kind LIKE 'remittance.%'"""


def broken() -> dict[str, int]:
    """Rows that break Q1 to Q4: all zero. Plain SQL, in the caller's scope."""
    found = {}
    with connection.cursor() as cursor:
        for name, sql in (("Q1", Q1), ("Q2", Q2), ("Q3", Q3), ("Q4", Q4)):
            cursor.execute(f"SELECT count(*) FROM ({sql}) AS q")
            found[name] = cursor.fetchone()[0]
    return found


def digest() -> tuple[int, Decimal]:
    """Count and order-free digest of what remittances posted."""
    with connection.cursor() as cursor:
        cursor.execute(DIGEST)
        return cursor.fetchone()
