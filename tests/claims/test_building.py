"""From released charges to claims a biller recognizes."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from charges.models import Charge
from claims.facts import load_sheets
from claims.models import Claim
from claims.services import claims_build
from claims.x12_837p import patient_party, subscriber_party
from intake.models import Patient
from rcm.audit.models import Event
from tests.claims.house import NOW, built, ready, released


def test_one_exam_with_contrast_is_one_claim_with_two_lines(house):
    exam = released(house, "70553", contrast=True)
    claim = built(house, exam)
    lines = list(claim.lines.order_by("number"))
    assert [(x.number, x.code, x.units, x.pointers) for x in lines] == [
        (1, "70553", 1, [1]),
        (2, "A9585", 80, [1]),
    ]
    assert claim.number == "CA000001"
    assert lines[1].control == "CA000001-2"
    assert claim.total == Decimal("1580.00")
    assert claim.diagnoses == ["R519"]
    assert claim.authorization_number == "AUTHM1"
    assert claim.rendering_npi == "1245319599"
    assert claim.referring_npi == "1932102084"
    assert claim.filing_deadline == dt.date(2026, 9, 8) + dt.timedelta(days=90)
    assert {c.status for c in exam.charges.all()} == {"billed"}
    assert Event.objects.filter(claim_id=claim.pk, exam_id=exam.pk, verb="claim.built").count() == 1


def split(house, *, reading_zip: str) -> list[Claim]:
    """A split exam with contrast: technical part and agent at the site, the reading elsewhere."""
    exam = released(house, "70553", contrast=True)
    whole = exam.charges.get(code="70553")
    technical = Charge.objects.get(pk=whole.pk)
    technical.pk, technical.public_id = None, _uuid()
    technical._state.adding = True
    technical.component, technical.modifiers, technical.rendering_npi = "TC", ["TC"], ""
    technical.amount = Decimal("1200.00")
    technical.save()
    Charge.objects.filter(pk=whole.pk).update(
        component="26", modifiers=["26"], amount=Decimal("300.00"), service_zip=reading_zip
    )
    made = claims_build(exam_ids=[exam.pk], actor=house.actor, at=NOW)
    return list(Claim.objects.filter(pk__in=made).order_by("total"))


def test_a_split_exam_with_contrast_is_two_claims_and_the_agent_goes_with_the_scan(house):
    reading, scan = split(house, reading_zip="950010000")
    assert [x.modifiers for x in reading.lines.all()] == [["26"]]
    assert [(x.code, x.modifiers) for x in scan.lines.order_by("number")] == [
        ("70553", ["TC"]),
        ("A9585", []),
    ]
    assert (reading.rendering_npi, scan.rendering_npi) == ("1245319599", "")


def test_a_split_exam_in_one_place_is_one_claim(house):
    (claim,) = split(house, reading_zip=house.site.zip)
    assert sorted(x.code for x in claim.lines.all()) == ["70553", "70553", "A9585"]
    assert claim.rendering_npi == "1245319599"


def test_building_twice_is_once(house):
    exam = released(house)
    claim = built(house, exam)
    assert claims_build(exam_ids=[exam.pk], actor=house.actor, at=NOW) == []
    Charge.objects.filter(exam=exam).update(status="released")
    assert claims_build(exam_ids=[exam.pk], actor=house.actor, at=NOW) == []
    assert Claim.objects.count() == 1
    assert claim.lines.count() == 1


def test_a_later_exam_of_the_same_visit_joins_the_unsent_claim(house):
    first = released(house, "70551")
    claim = built(house, first)
    charge = first.charges.get()
    charge.pk, charge.public_id, charge.code, charge.status = None, _uuid(), "72148", "released"
    charge._state.adding = True
    charge.amount = Decimal("800.00")
    charge.save()
    assert claims_build(charge_ids=[charge.pk], actor=house.actor, at=NOW) == [claim.pk]
    claim.refresh_from_db()
    assert claim.total == Decimal("1700.00")
    assert [x.code for x in claim.lines.order_by("number")] == ["70551", "72148"]


def test_another_payer_place_or_reader_is_another_claim(house):
    exam = released(house, "70551")
    charge = exam.charges.get()
    ids = []
    for change in ({"pos": "22"}, {"rendering_npi": "1003000126"}, {"service_zip": "950010000"}):
        row = Charge.objects.get(pk=charge.pk)
        row.pk, row.public_id = None, _uuid()
        row._state.adding = True
        for name, value in change.items():
            setattr(row, name, value)
        row.save()
        ids.append(row.pk)
    assert len(claims_build(charge_ids=[charge.pk, *ids], actor=house.actor, at=NOW)) == 4


def test_more_than_fifty_lines_or_twelve_diagnoses_start_a_new_claim(house):
    exam = released(house, "70551")
    charge = exam.charges.get()
    rows = []
    for _n in range(60):
        row = Charge.objects.get(pk=charge.pk)
        row.pk, row.public_id, row.diagnoses = None, _uuid(), ["R519"]
        row._state.adding = True
        rows.append(row)
    Charge.objects.bulk_create(rows)
    made = claims_build(exam_ids=[exam.pk], actor=house.actor, at=NOW)
    assert sorted(Claim.objects.get(pk=pk).lines.count() for pk in made) == [11, 50]


def test_self_pay_makes_no_claim(house):
    exam = released(house)
    exam.coverage.payer.kind = "self_pay"
    exam.coverage.payer.save()
    try:
        assert claims_build(exam_ids=[exam.pk], actor=house.actor, at=NOW) == []
    finally:
        exam.coverage.payer.kind = "commercial"
        exam.coverage.payer.save()


def _uuid():
    from rcm.accounts.tenancy import uuid7

    return uuid7()


def test_middle_name_and_suffix_of_the_patient_stand_on_the_wire(house):
    claim = ready(house)
    Patient.objects.filter(pk=claim.patient_id).update(middle_name="Ana", suffix="Jr")
    (sheet,) = load_sheets([claim.pk])
    party = patient_party(sheet.facts)
    assert (party.middle, party.suffix) == ("ANA", "JR")
    insured = subscriber_party(sheet.facts, dependent=False)
    assert (insured.middle, insured.suffix) == ("ANA", "JR")
    assert subscriber_party(sheet.facts, dependent=True).suffix == ""
