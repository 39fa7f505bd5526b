"""The signed advance notice is what puts GA, GX, GY and GZ on a claim, and what a typed GA or GX is
held against at every door.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from charges.models import Exam
from charges.services import exam_code, exam_record
from claims.facts import load_sheets
from claims.models import ClaimLine
from claims.records import Changes
from claims.services import claim_edit
from intake.models import AdvanceNotice, Appointment
from rcm.accounts.problems import Refused
from tests.charges.house import DONE, READ, fresh
from tests.charges.test_api import client, post  # noqa: F401  the partner's connection
from tests.charges.test_doors import dft
from tests.charges.test_messages import receive

from .house import NOW, blocks, built, released
from .test_scrubbing import scrub

BEFORE, AFTER = DONE - dt.timedelta(hours=2), DONE + dt.timedelta(hours=2)


def noticed(house, monkeypatch, *, kind="necessity", option="1", signed_at=BEFORE) -> None:
    """Every ordered exam of the house gets a notice as soon as it is ordered."""
    order = type(house).order

    def with_notice(self, patient, *codes, **more):
        exams = order(self, patient, *codes, **more)
        visit = Appointment.objects.create(
            organization=self.cast.a,
            patient=patient,
            site=self.site,
            starts_at=DONE,
        )
        for exam in exams:
            AdvanceNotice.objects.create(
                organization=self.cast.a,
                appointment=visit,
                ordered_exam=exam,
                code=exam.code,
                kind=kind,
                reason="R519 is not on the list.",
                cost=Decimal("90.00"),
                option=option if signed_at else "",
                signer="Cora Canary" if signed_at else "",
                signed_at=signed_at,
                actor_name="Ana",
                made_at=BEFORE,
            )
        return exams

    monkeypatch.setattr(type(house), "order", with_notice)


@pytest.mark.parametrize(
    ("kind", "signed_at", "modifiers", "state"),
    [
        ("necessity", BEFORE, ["GA"], "signed"),
        ("frequency", BEFORE, ["GA"], "signed"),
        ("necessity", AFTER, ["GZ"], "signed_late"),
        ("necessity", None, ["GZ"], ""),
        ("excluded", BEFORE, ["GX", "GY"], "voluntary"),
        ("excluded", None, ["GY"], ""),
    ],
)
def test_the_notice_puts_its_modifier_on_the_claim(
    house, monkeypatch, kind, signed_at, modifiers, state
):
    noticed(house, monkeypatch, kind=kind, signed_at=signed_at)
    claim = built(house, released(house, payer="MCR", auth=False))
    line = claim.lines.get()
    assert line.modifiers[-len(modifiers) :] == modifiers
    (sheet,) = load_sheets([claim.pk])
    assert (sheet.facts.lines[0].denial_expected, sheet.facts.lines[0].abn) == (kind, state)
    scrub(house, claim)
    assert not [edit for edit in blocks(claim) if edit.startswith("NEC")]


def test_a_notice_of_a_patient_with_another_payer_puts_nothing_on(house, monkeypatch):
    noticed(house, monkeypatch)
    claim = built(house, released(house))
    assert claim.lines.get().modifiers == []


def test_option_two_stops_the_bill_to_medicare(house, monkeypatch):
    noticed(house, monkeypatch, option="2")
    with pytest.raises(AssertionError, match="NOTICE_WITHOUT_BILL"):
        released(house, payer="MCR", auth=False)


SAID = {
    "GA": ("NEC-004", "GA on 70551 needs an advance notice signed before the exam, and none is"),
    "GX": ("NEC-010", "GX on 70551 needs a voluntary notice signed before the exam, and none is"),
}


@pytest.mark.parametrize("modifier", ["GA", "GX"])
def test_a_typed_modifier_without_its_notice_gets_one_answer_at_every_door(
    house,
    client,  # noqa: F811
    modifier,
):
    edit, start = SAID[modifier]
    said = f"{start} on file."
    (ordered,) = house.order(house.patient(), "70551")
    row = receive(house, dft(("70551", (modifier,)), accession=ordered.accession), DONE)
    assert (row.status, row.error, row.summary) == ("quarantined", said, {"problem": edit})
    answer = post(
        client,
        "exams",
        {
            "accession": ordered.accession,
            "mrn": "M1",
            "performed_at": DONE.isoformat(),
            "code": "70551",
            "modifiers": [modifier],
        },
    )
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["errors"][0]["message"]) == (edit, said)
    assert not Exam.objects.exists()
    exam = fresh(exam_record(record=house.done(ordered), actor=house.actor, at=DONE).exam_id)
    with pytest.raises(Refused) as typed:
        exam_code(
            exam=exam,
            code="70551",
            modifiers_=[modifier],
            reason="As dictated",
            actor=house.cast.actor("cody"),
            at=READ,
        )
    assert (typed.value.code, str(typed.value)) == (edit, said)


@pytest.mark.parametrize("modifier", ["GA", "GX"])
def test_the_claim_refuses_and_its_scrub_blocks_it_with_the_same_words(house, modifier):
    edit, start = SAID[modifier]
    claim = built(house, released(house, payer="MCR", auth=False))
    with pytest.raises(Refused) as typed:
        claim_edit(
            claim=claim,
            changes=Changes(lines={1: {"modifiers": [modifier]}}),
            reason="As asked",
            actor=house.actor,
            at=NOW,
        )
    assert (typed.value.code, str(typed.value)) == (edit, f"{start} on file.")
    ClaimLine.objects.filter(claim=claim).update(modifiers=[modifier])
    scrub(house, claim)
    assert edit in blocks(claim)
    assert claim.findings.get(edit=edit).sentence == f"{start} on file."
