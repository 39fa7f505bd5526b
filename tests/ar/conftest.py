"""One imaging bill in one line: `bill(cast, payer="MCR", charged=300, paid=80, contractual=200,
copay=20)` and its open balance.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from charges.models import Charge, Exam, Report
from claims.models import Claim, ClaimLine
from intake.models import Coverage, Patient
from rcm.accounts.scope import scope
from rcm.ledger.models import Account
from rcm.ledger.services import Leg, Posting, post
from rcm.reference.models import Payer
from rcm.worklist.services import interaction_record
from remittance.models import Adjustment, ClaimPayment, Denial, Remittance, ServicePayment

NUMBERS = itertools.count(1)


@pytest.fixture(autouse=True)
def _clean_cache():
    cache.clear()


@pytest.fixture
def enter():
    def signed_in(cast, name: str) -> Client:
        client = Client()
        client.force_login(
            cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        return client

    return signed_in


def payer(code: str = "PRAIRIE") -> Payer:
    kind = {"MCR": "medicare"}.get(code, "commercial")
    row, _ = Payer.objects.get_or_create(
        code=f"T-{code}",
        defaults={
            "name": f"Test {code}",
            "edi_id": f"T{code}"[:20],
            "kind": kind,
            "appeal_days": 120,
            "response_days": 21,
        },
    )
    return row


@dataclass
class Bill:
    patient: Patient
    coverage: Coverage
    exam: Exam
    charge: Charge
    claim: Claim
    line: ClaimLine


def d(value: Any) -> Decimal:
    return Decimal(str(value)).quantize(Decimal("0.01"))


def moment(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time(10)))


def bill(
    cast: Any,
    *,
    charged: Any = 300,
    paid: Any = 0,
    contractual: Any = 0,
    copay: Any = 0,
    days_ago: int = 40,
    payer_code: str = "PRAIRIE",
    status: str = "accepted",
    sent: bool = True,
    patient: Patient | None = None,
    expected: Any = 100,
    site: Any = None,
    clean: bool | None = True,
    organization: Any = None,
    system: Any = None,
) -> Bill:
    """An exam `days_ago`, its charge posted to the ledger, its claim sent two days later and, when
    something was paid, its remittance's effect.
    """
    n = next(NUMBERS)
    org = organization or cast.a
    system = system or cast.system
    site = site or cast.north
    day = timezone.localdate() - timedelta(days=days_ago)
    who = payer(payer_code)
    with scope(system):
        patient = patient or Patient.objects.create(
            organization=org,
            mrn=f"M{n}",
            last_name=f"{org.code}-{n}",
            first_name="Pat",
            born_on=date(1958, 3, 27),
            sex="F",
            address="1 Elm St",
            city="Peoria",
            state="IL",
            zip="61602",
            search=f"{n}",
        )
        coverage = Coverage.objects.filter(
            patient=patient, payer=who
        ).first() or Coverage.objects.create(
            organization=org, patient=patient, payer=who, rank=1, member_id=f"X{n}"
        )
        exam = Exam.objects.create(
            organization=org,
            patient=patient,
            site=site,
            coverage=coverage,
            accession=f"ACC{n}",
            modality="CT",
            code="74178",
            performed_at=moment(day),
            service_date=day,
            status="released",
            expected=d(expected),
        )
        Report.objects.create(
            organization=org,
            exam=exam,
            version=1,
            status="F",
            signed_at=moment(day) + timedelta(hours=5),
            reported_at=moment(day) + timedelta(hours=5),
        )
        charge = Charge.objects.create(
            organization=org,
            exam=exam,
            patient=patient,
            code="74178",
            pos="11",
            service_date=day,
            amount=d(charged),
            expected=d(expected),
            status="billed",
            released_at=moment(day) + timedelta(days=1),
        )
        claim = Claim.objects.create(
            organization=org,
            number=f"C{n:06d}",
            patient=patient,
            coverage=coverage,
            payer=who,
            site=site,
            status=status,
            pos="11",
            service_date=day,
            total=d(charged),
            expected=d(expected),
            first_submitted_at=moment(day + timedelta(days=2)) if sent else None,
            last_submitted_at=moment(day + timedelta(days=2)) if sent else None,
            clean_first_pass=clean,
            filing_deadline=day + timedelta(days=180),
        )
        line = ClaimLine.objects.create(
            organization=org,
            claim=claim,
            charge=charge,
            number=1,
            control=f"L{n}",
            code="74178",
            units=1,
            amount=d(charged),
            service_date=day,
        )
        keys = {
            "charge_id": charge.pk,
            "claim_id": claim.pk,
            "patient_id": patient.pk,
            "payer_id": who.pk,
        }
        postings = [
            Posting(
                org.pk,
                "charge",
                f"charge:{charge.pk}",
                day,
                "Charge",
                (
                    Leg(Account.AR_INSURANCE, d(charged), **keys),
                    Leg(Account.REVENUE, -d(charged), **keys),
                ),
            )
        ]
        if d(paid) or d(contractual) or d(copay):
            answered = min(day + timedelta(days=20), timezone.localdate())
            keys["remittance_id"] = advice(
                cast,
                claim,
                line,
                paid=paid,
                contractual=contractual,
                copay=copay,
                on=answered,
                org=org,
            ).remittance_id
            legs = [
                Leg(Account.CASH, d(paid), **keys),
                Leg(Account.CONTRACTUAL, d(contractual), **keys),
                Leg(Account.AR_PATIENT, d(copay), **keys),
                Leg(Account.AR_INSURANCE, -(d(paid) + d(contractual) + d(copay)), **keys),
            ]
            postings.append(
                Posting(org.pk, "remittance", f"835:{claim.pk}", answered, "Remittance", legs)
            )
        post(postings, actor=system)
    return Bill(patient, coverage, exam, charge, claim, line)


def advice(
    cast: Any,
    claim: Claim,
    line: ClaimLine,
    *,
    paid: Any,
    contractual: Any,
    copay: Any,
    on: date,
    org: Any,
) -> ClaimPayment:
    """The rows of a posted 835 that say the same."""
    remittance = Remittance.objects.create(
        organization=org,
        payer_name="Test",
        trace=f"EFT{next(NUMBERS)}",
        paid_on=on,
        amount=d(paid),
        claims_total=d(paid),
        plb_total=0,
        status="posted",
        received_at=moment(on),
        posted_at=moment(on),
    )
    payment = ClaimPayment.objects.create(
        organization=org,
        remittance=remittance,
        position=1,
        claim=claim,
        claim_number=claim.number,
        status_code="1",
        billed=claim.total,
        paid=d(paid),
        patient_responsibility=d(copay),
        state="posted",
    )
    service = ServicePayment.objects.create(
        organization=org,
        payment=payment,
        line=line,
        position=1,
        code=line.code,
        billed=line.amount,
        paid=d(paid),
    )
    rows = [("CO", "45", contractual, "contractual"), ("PR", "3", copay, "patient_resp")]
    Adjustment.objects.bulk_create(
        [
            Adjustment(
                organization=org,
                payment=payment,
                service=service,
                group=g,
                reason=r,
                amount=d(a),
                klass=k,
            )
            for g, r, a, k in rows
            if d(a)
        ]
    )
    return payment


def deny(
    cast: Any,
    b: Bill,
    *,
    category: str = "prior_auth",
    status: str = "open",
    appeal_in: int | None = 60,
    group: str = "CO",
    reason: str = "197",
    days_ago: int = 10,
) -> Denial:
    today = timezone.localdate()
    with scope(cast.system):
        payment = b.claim.payments.first() or advice(
            cast,
            b.claim,
            b.line,
            paid=0,
            contractual=0,
            copay=0,
            on=today - timedelta(days=days_ago),
            org=cast.a,
        )
        Claim.objects.filter(pk=b.claim.pk).update(status="denied")
        b.claim.refresh_from_db()
        return Denial.objects.create(
            organization=cast.a,
            claim=b.claim,
            line=b.line,
            payment=payment,
            payer=b.claim.payer,
            group=group,
            reason=reason,
            category=category,
            amount=b.charge.amount,
            expected=b.charge.expected,
            status=status,
            denied_on=today - timedelta(days=days_ago),
            appeal_by=today + timedelta(days=appeal_in) if appeal_in is not None else None,
            resolved_on=today - timedelta(days=1) if status in ("upheld", "overturned") else None,
        )


def call(
    cast: Any, b: Bill, *, patient: bool = False, actor: str = "ari", at: datetime | None = None
):
    """A documented contact with the payer, or with the patient."""
    with scope(cast.system):
        return interaction_record(
            organization_id=cast.a.pk,
            channel="phone",
            note="Asked for reconsideration",
            outcome="Refused",
            actor=cast.actor(actor),
            claim_id=None if patient else b.claim.pk,
            patient_id=b.patient.pk,
            at=at,
        )


def balance(cast: Any, b: Bill) -> tuple[Decimal, Decimal]:
    """(insurance, patient) of the charge now."""
    from rcm.ledger.models import Balance

    with scope(cast.system):
        row = Balance.objects.filter(charge_id=b.charge.pk).first()
        return (row.insurance, row.patient) if row else (Decimal(0), Decimal(0))


__all__ = ["Bill", "advice", "balance", "bill", "call", "deny", "moment", "payer"]
