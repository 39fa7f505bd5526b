"""Codes whose price the fee schedule leaves open are billed all the same: a PET center's day from
the scanner to the claim.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from charges.models import BillingArrangement, ContrastStock
from charges.records import SupplyGiven
from charges.services import exam_record, exams_evaluate, report_receive
from claims.models import Claim
from claims.services import claims_build, claims_scrub
from rcm.pricing.db_tables import _rvus
from rcm.pricing.facts import NATIONAL, Component
from rcm.pricing.fees import Held, schedule_base
from rcm.pricing.models import Contract, ContractRate, FeeRow, ListPrice
from rcm.pricing.tables import MemoryTables
from tests.charges.house import DONE, JAN, READ, READER_NPI, codes_of, fresh, holds_of
from tests.claims.house import READER, complete

PET = {
    "indication": "Lung cancer, initial staging.",
    "technique": (
        "10.2 mCi F-18 FDG IV, glucose 98 mg/dL, 62 minutes uptake. PET/CT from skull base to"
        " mid-thigh; low-dose CT without contrast for attenuation correction."
    ),
    "comparison": "None.",
    "findings": "Hypermetabolic nodule of the right upper lobe. No hypermetabolic nodes.",
    "impression": "Hypermetabolic right upper lobe nodule.",
    "signature": "Electronically signed by Ivan Reader, MD",
}


def scan(house, *, payer: str = "PHP", mrn: str = "P1", tracer: bool = True):
    """One oncologic PET/CT with its tracer, read and signed."""
    complete(house)
    patient = house.patient(mrn, payer)
    patient.address, patient.city, patient.state, patient.zip = "5 Elm St", "Chicago", "IL", "60601"
    patient.save()
    patient.coverages.update(member_id="ABC123456789")
    (ordered,) = house.order(patient, "78815")
    house.authorize(patient, ordered, number=f"AUTH{mrn}")
    items = [SupplyGiven("A9552", Decimal(1))] if tracer else []
    exam = fresh(
        exam_record(
            record=house.done(ordered, station="", supplies=tuple(items)),
            actor=house.actor,
            at=DONE,
        ).exam_id
    )
    report_receive(report=house.report(ordered, PET), actor=house.actor, at=READ)
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    return fresh(exam.pk)


@pytest.fixture
def prices(house):
    ListPrice.objects.bulk_create(
        ListPrice(organization=house.cast.a, code=code, mod=mod, amount=amount, effective_from=JAN)
        for code, mod, amount in (
            ("78815", "", 4000),
            ("78815", "26", 600),
            ("78815", "TC", 3400),
            ("A9552", "", 350),
        )
    )


def test_a_pet_exam_goes_with_expected_nothing_when_nothing_prices_it(house, prices):
    exam = scan(house)
    assert holds_of(exam) == []
    assert exam.status == "released"
    assert codes_of(exam) == [("78815", (), 1, "released"), ("A9552", (), 1, "released")]
    whole = exam.charges.get(code="78815")
    assert whole.expected is None
    assert "priced by the Medicare contractor" in whole.derivation[-1]["words"]
    exam.charges.filter(rendering_npi=READER_NPI).update(rendering_npi=READER)
    (claim,) = claims_build(exam_ids=[exam.pk], actor=house.actor, at=READ)
    claims_scrub(claim_ids=[claim], actor=house.actor, at=READ)
    row = Claim.objects.get(pk=claim)
    said = list(row.findings.filter(severity="B").values_list("edit", "sentence"))
    assert (row.status, row.expected) == ("ready", None), said


def test_a_contract_rate_prices_it(house, prices):
    contract = Contract.objects.get(name="PHP 2026")
    ContractRate.objects.create(
        organization=house.cast.a,
        contract=contract,
        code="78815",
        method="flat",
        amount=Decimal("1850.00"),
        effective_from=JAN,
    )
    exam = scan(house, tracer=False)
    assert exam.charges.get(code="78815").expected == Decimal("1850.00")


def test_a_tracer_is_expected_at_its_invoice(house, prices):
    ContrastStock.objects.create(
        organization=house.cast.a,
        agent="F-18 FDG",
        code="A9552",
        invoice_price=Decimal("212.50"),
        effective_from=JAN,
    )
    tracer = scan(house).charges.get(code="A9552")
    assert tracer.expected == Decimal("212.50")
    assert "invoice price" in tracer.derivation[-2]["words"]


def test_split_pet_prices_the_reading_by_the_schedule(house, prices):
    """The schedule prices the reading of a PET and leaves the technical part to the contractor."""
    BillingArrangement.objects.update(force="split_required")
    ContractRate.objects.all().delete()
    exam = scan(house, tracer=False)
    assert [c[1] for c in codes_of(exam)] == [("TC",), ("26",)]


@pytest.mark.parametrize("status", ["C", "N", "X", "A"])
def test_a_row_without_relative_values_still_says_what_the_code_is(db, status):
    FeeRow.objects.filter(code="78815", mod="").update(
        status=status, work=None, pe_nonfac=None, pe_fac=None, mp=None, conversion_factor=None
    )
    tables = MemoryTables.build(rvus=_rvus())  # past the kept tables, which other tests share
    on = dt.date(2026, 9, 8)
    row = tables.indicators("78815", on)
    assert (row.status, row.pctc) == (status, "1")
    with pytest.raises(Held):
        schedule_base(
            "78815",
            Component.GLOBAL,
            locality=NATIONAL,
            on=on,
            facility=False,
            qualifying=False,
            tables=tables,
        )
