"""Paper EOBs: the scan is checked and kept, and what was denied as the provider's loss becomes the
patient's only when a second person agrees.
"""

from __future__ import annotations

import datetime as dt

import pytest

from rcm.accounts.problems import Refused
from rcm.exchange.services import Event
from rcm.worklist.models import WorkItem
from remittance.events import on_ready
from remittance.models import Denial, DenialStatus, EobDocument, Remittance
from remittance.records import KeyedAdjustment, KeyedClaim, KeyedEob, KeyedLine, ScannedEob
from remittance.scans import fault_of
from remittance.services import eob_agree, eob_key, remittance_post

from .house import AT, SCAN, D, claim_of, era, head, insurance, owed_by_patient, payer, receive


def paper(*adjustments: tuple[str, str, str], paid: str = "0", number: str = "C1") -> KeyedEob:
    line = KeyedLine(
        "70551",
        D("500"),
        D(paid),
        tuple(KeyedAdjustment(g, r, D(a)) for g, r, a in adjustments),
        control=f"{number}L1",
    )
    claim = KeyedClaim(
        number, (line,), patient_name="Sample, Ann", service_date=dt.date(2026, 9, 8)
    )
    return KeyedEob(payer().pk, "1001", dt.date(2026, 9, 20), D(paid), (claim,))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty."),
        (b"PK\x03\x04", "The scan is neither PDF, JPEG nor PNG."),
        (b"<html>%PDF-%%EOF", "The scan is neither PDF, JPEG nor PNG."),
        (b"%PDF-1.7 cut", "The scan is cut off: its end is missing."),
        (b"\x89PNG\r\n\x1a\n....", "The scan is cut off: its end is missing."),
        (SCAN.content, ""),
        (b"\xff\xd8\xff\xe0 picture \xff\xd9", ""),
        (b"\x89PNG\r\n\x1a\n.... IEND\xaeB`\x82", ""),
    ],
)
def test_a_scan_is_told_by_its_bytes(content, sentence):
    assert fault_of(content) == sentence


def test_a_paper_without_its_scan_is_not_kept_and_the_scan_stays_as_it_came(house):
    claim_of(house, "C1", [("70551", "500", "200")])
    eob = paper(("CO", "45", "350"), paid="150")
    common = {"organization_id": house.a.pk, "eob": eob, "actor": house.actor("pia"), "at": AT}
    with pytest.raises(Refused, match="Attach the scanned EOB"):
        eob_key(document=None, **common)
    with pytest.raises(Refused, match="neither PDF"):
        eob_key(document=ScannedEob(b"hello"), **common)
    assert not Remittance.objects.exists()
    row = eob_key(document=SCAN, **common)
    assert bytes(EobDocument.objects.get(remittance=row).content) == SCAN.content
    assert row.second_for == ""


@pytest.fixture
def denied(house):
    """A claim that the payer denied as the provider's loss."""
    claim = claim_of(house, "C1", [("70551", "500", "200")])
    body = "CLP*C1*4*500*0*0*12*ICN1*11*1\nSVC*HC:70551*500*0**1\nCAS*CO*50*500\nREF*6R*C1L1"
    receive(house, era(head("0", trace="E1") + body))
    row = Remittance.objects.get()
    remittance_post(remittance=row, actor=house.actor("pia"), at=AT)
    return claim


def test_a_denial_of_the_provider_becomes_the_patients_only_with_a_second_person(house, denied):
    pia, mia = house.actor("pia"), house.actor("mia")
    eob = paper(("CO", "45", "300"), ("PR", "1", "200"))
    row = eob_key(organization_id=house.a.pk, eob=eob, document=SCAN, actor=pia, at=AT)
    assert "a second person has to agree" in row.second_for
    event = Event(1, "remittance.ready", house.a.pk, {"remittance_id": row.pk})
    on_ready([event], actor=house.system, at=AT)
    with pytest.raises(Refused, match="a second person has to agree"):
        remittance_post(remittance=row, actor=mia, at=AT)
    with pytest.raises(Refused, match="Somebody other than the one who keyed it"):
        eob_agree(remittance=row, actor=pia, at=AT)
    with pytest.raises(Refused, match="Somebody other"):
        eob_agree(remittance=row, actor=house.system, at=AT)
    assert owed_by_patient(denied) == D("0.00")
    assert WorkItem.objects.filter(cause="second_person", status="open").count() == 1
    eob_agree(remittance=row, actor=mia, at=AT)
    assert not WorkItem.objects.filter(cause="second_person", status="open").exists()
    remittance_post(remittance=row, actor=pia, at=AT)
    # a share of the patient is no recovery: the denial is still somebody's work
    denial = Denial.objects.get()
    assert (denial.status, denial.recovered) == (DenialStatus.OPEN, D("0.00"))


def test_a_paper_that_pays_what_was_denied_needs_no_second_person(house, denied):
    eob = paper(("CO", "45", "350"), paid="150")
    row = eob_key(
        organization_id=house.a.pk, eob=eob, document=SCAN, actor=house.actor("pia"), at=AT
    )
    assert row.second_for == ""
    remittance_post(remittance=row, actor=house.actor("pia"), at=AT)
    assert insurance(denied) == D("0.00")
    assert Denial.objects.get().recovered == D("150.00")
