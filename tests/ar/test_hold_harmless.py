"""One rule keeps money from the patient, whichever door asks: the move by hand, the statement, the
posting of an 835 and the release of what waited.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from ar import services
from ar.services.guards import held_harmless
from intake.models import Coverage, EligibilityCheck
from intake.services import coverage_discover
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.ledger.models import Account
from rcm.ledger.services import Leg, Posting, post
from remittance.models import Adjustment, ClaimPayment, Denial, ServicePayment
from tests.ar.conftest import advice, balance, bill, call, deny, payer

pytestmark = pytest.mark.django_db
D = Decimal


def move(cast, b, amount):
    with scope(cast.actor("ari")):
        return services.transfer_to_patient(
            charge=b.charge, amount=D(amount), reason="Payer says patient", actor=cast.actor("ari")
        )


def answered(cast, b, copay=40):
    with scope(cast.system):
        return advice(
            cast,
            b.claim,
            b.line,
            paid=0,
            contractual=0,
            copay=copay,
            on=timezone.localdate(),
            org=cast.a,
        )


def owed_by_patient(cast, b, amount):
    """Put a balance on the patient behind the product's back."""
    with scope(cast.system):
        post(
            [
                Posting(
                    cast.a.pk,
                    "planted",
                    f"planted:{b.charge.pk}",
                    timezone.localdate(),
                    "Planted",
                    (
                        Leg(Account.AR_PATIENT, D(amount), charge_id=b.charge.pk),
                        Leg(Account.AR_INSURANCE, -D(amount), charge_id=b.charge.pk),
                    ),
                )
            ],
            actor=cast.system,
        )


def said(cast, b) -> str:
    with scope(cast.system):
        found = held_harmless([b.charge.pk]).get(b.charge.pk)
    return found.sentence if found else ""


def on_statement(cast, b) -> bool:
    with scope(cast.system):
        due, _ = services.statements_preview(organization_id=cast.a.pk, patient_ids=[b.patient.pk])
    return any(c.charge_id == b.charge.pk for d in due for c in d.charges)


@pytest.mark.parametrize("category", ["prior_auth", "timely_filing", "duplicate", "bundling"])
@pytest.mark.parametrize("status", ["open", "upheld", "parked", "written_off"])
def test_what_is_our_duty_is_never_the_patients(cast, category, status) -> None:
    b = bill(cast)
    answered(cast, b)
    deny(cast, b, category=category, status=status)
    with pytest.raises(Refused, match="never the patient's bill"):
        move(cast, b, "40.00")
    owed_by_patient(cast, b, "40.00")
    assert not on_statement(cast, b)


@pytest.mark.parametrize("remark", ["N781", "N782", "N783", "M27", "M39"])
@pytest.mark.parametrize("level", ["line", "claim"])
def test_a_remark_that_forbids_the_patients_bill_holds_at_every_level(cast, remark, level) -> None:
    b = bill(cast)
    payment = answered(cast, b)
    with scope(cast.system):
        if level == "line":
            ServicePayment.objects.filter(payment=payment).update(remarks=[remark])
        else:
            ClaimPayment.objects.filter(pk=payment.pk).update(remarks=[remark])
    with pytest.raises(Refused, match=rf"forbids billing the patient \({remark}\)"):
        move(cast, b, "40.00")


@pytest.mark.parametrize("level", ["line", "claim"])
@pytest.mark.parametrize("reason", ["209", "303"])
def test_a_reason_that_forbids_it_holds_too(cast, reason, level) -> None:
    b = bill(cast)
    payment = answered(cast, b)
    with scope(cast.system):
        row = Adjustment.objects.get(payment=payment, group="PR")
        Adjustment.objects.create(
            organization=cast.a,
            payment=payment,
            service=row.service if level == "line" else None,
            group="OA",
            reason=reason,
            amount=D("1.00"),
        )
    with pytest.raises(Refused, match=f"forbids billing the patient .{reason}."):
        move(cast, b, "40.00")


@pytest.mark.parametrize("status", ["open", "corrected", "appealed", "parked"])
def test_an_undecided_denial_of_the_line_comes_first(cast, status) -> None:
    b = bill(cast)
    answered(cast, b)
    deny(cast, b, category="medical_necessity", status=status, reason="50")
    with pytest.raises(Refused, match="CO-50 of this charge is not settled"):
        move(cast, b, "40.00")
    owed_by_patient(cast, b, "40.00")
    assert not on_statement(cast, b)


def test_another_open_line_of_the_claim_comes_first(cast) -> None:
    b, other = bill(cast), bill(cast)
    answered(cast, b)
    with scope(cast.system):
        line = type(b.line).objects.create(
            organization=cast.a,
            claim=b.claim,
            charge=other.charge,
            number=2,
            control="second",
            code="74178",
            units=1,
            amount=300,
            service_date=b.charge.service_date,
        )
    with pytest.raises(Refused, match="Another line of the same claim is still open"):
        move(cast, b, "40.00")
    with scope(cast.system):
        advice(
            cast,
            b.claim,
            line,
            paid=0,
            contractual=300,
            copay=0,
            on=timezone.localdate(),
            org=cast.a,
        )
    move(cast, b, "40.00")
    assert balance(cast, b)[1] == D("40.00")


def second_coverage(cast, b, **changes):
    with scope(cast.system):
        return Coverage.objects.create(
            organization=cast.a,
            patient=b.patient,
            payer=payer("SECOND"),
            rank=2,
            member_id="S2",
            status="active",
            **changes,
        )


def test_a_further_coverage_is_billed_and_answers_first(cast) -> None:
    b = bill(cast)
    answered(cast, b)
    coverage = second_coverage(cast, b)
    with pytest.raises(Refused, match="Test SECOND comes next and was not billed yet"):
        move(cast, b, "40.00")
    with scope(cast.system):
        claim = type(b.claim).objects.create(
            organization=cast.a,
            number="C2ND",
            patient=b.patient,
            coverage=coverage,
            payer=coverage.payer,
            site=b.claim.site,
            status="submitted",
            rank=2,
            pos="11",
            service_date=b.charge.service_date,
            total=300,
            primary_claim=b.claim,
        )
        line = type(b.line).objects.create(
            organization=cast.a,
            claim=claim,
            charge=b.charge,
            number=1,
            control="c2nd",
            code="74178",
            units=1,
            amount=300,
            service_date=b.charge.service_date,
        )
    with pytest.raises(Refused, match="has not answered yet"):
        move(cast, b, "40.00")
    with scope(cast.system):
        advice(
            cast, claim, line, paid=0, contractual=0, copay=40, on=timezone.localdate(), org=cast.a
        )
    move(cast, b, "40.00")


@pytest.mark.parametrize(
    "changes",
    [
        {"ends_on": timezone.localdate() - timedelta(days=300)},
        {"starts_on": timezone.localdate()},
        {"active": False},
    ],
    ids=["ended before", "begins later", "replaced"],
)
def test_a_coverage_that_was_not_in_force_that_day_does_not_come_next(cast, changes) -> None:
    b = bill(cast)
    answered(cast, b)
    second_coverage(cast, b, **changes)
    move(cast, b, "40.00")


# --- denied for coverage --------------------------------------------------------------------------


def check(cast, b, status, *, coverage=None, days_ago=1):
    moment = timezone.now() - timedelta(days=days_ago)
    with scope(cast.system):
        return EligibilityCheck.objects.create(
            organization=cast.a,
            coverage=coverage or b.coverage,
            patient=b.patient,
            service_date=b.charge.service_date,
            trace=f"T{EligibilityCheck.objects.count()}-{b.charge.pk}",
            status=status,
            asked_at=moment,
            answered_at=moment,
        )


def search(cast, b):
    with scope(cast.system):
        coverage_discover(patient=b.patient, service_date=b.charge.service_date, actor=cast.system)


def test_without_coverage_the_patient_owes_the_self_pay_price_after_every_proof(cast) -> None:
    b = bill(cast)  # list price $300.00; self-pay 60 percent
    row = deny(cast, b, category="eligibility", status="open", reason="27")
    with pytest.raises(Refused, match=r"fresh eligibility answer.*search.*contact"):
        move(cast, b, "180.00")
    check(cast, b, "inactive", days_ago=20)  # older than the denial of ten days ago: not fresh
    search(cast, b)
    call(cast, b, patient=True)
    with pytest.raises(Refused, match="must be a fresh eligibility answer that says not covered,"):
        move(cast, b, "180.00")
    check(cast, b, "inactive")
    with pytest.raises(Refused, match=r"owes the self-pay price: \$180.00"):
        move(cast, b, "300.00")
    move(cast, b, "180.00")
    assert balance(cast, b) == (D(0), D("180.00"))
    with scope(cast.system):
        assert Denial.objects.get(pk=row.pk).status == "upheld"
    assert on_statement(cast, b)


def test_a_day_that_was_covered_is_the_payers_to_correct(cast) -> None:
    b = bill(cast)
    deny(cast, b, category="eligibility", status="open", reason="27")
    check(cast, b, "inactive", days_ago=5)
    check(cast, b, "active", days_ago=2)
    search(cast, b)
    call(cast, b, patient=True)
    with pytest.raises(Refused, match="was covered on the day of the exam"):
        move(cast, b, "180.00")


def test_other_coverage_that_was_found_is_no_search_without_a_find(cast) -> None:
    b = bill(cast)
    deny(cast, b, category="eligibility", status="open", reason="27")
    search(cast, b)
    former = second_coverage(cast, b, active=False)
    check(cast, b, "inactive")
    check(cast, b, "active", coverage=former)
    call(cast, b, patient=True)
    with pytest.raises(Refused, match="must be a search for other coverage"):
        move(cast, b, "180.00")


def test_a_repeated_claim_that_was_denied_as_duplicate_leaves_the_copay(cast) -> None:
    b = bill(cast, paid=80, contractual=200, copay=20)
    with scope(cast.system):
        second = advice(
            cast,
            b.claim,
            b.line,
            paid=0,
            contractual=0,
            copay=0,
            on=timezone.localdate(),
            org=cast.a,
        )
        Denial.objects.create(
            organization=cast.a,
            claim=b.claim,
            line=b.line,
            payment=second,
            payer=b.claim.payer,
            group="OA",
            reason="18",
            category="duplicate",
            amount=300,
            status="upheld",
            denied_on=timezone.localdate(),
        )
    assert said(cast, b) == ""
    assert on_statement(cast, b)


def test_what_went_back_to_insurance_may_come_again(cast) -> None:
    b = bill(cast)
    answered(cast, b)
    move(cast, b, "40.00")
    with scope(cast.actor("ari")):
        services.transfer_to_insurance(
            charge=b.charge, amount=D("40.00"), reason="Asked again", actor=cast.actor("ari")
        )
    move(cast, b, "40.00")
    assert balance(cast, b)[1] == D("40.00")
