"""The advance notice: doubt from the coverage list, signed before the exam or none, and what it makes
of the claim.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from intake.models import AdvanceNotice, Coverage
from intake.necessity import doubt_of, notice_state
from intake.services import (
    appointment_book,
    clearance_refresh,
    notice_make,
    notice_sign,
    notice_states,
)
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.reference.facts import Listed
from rcm.reference.models import CoverageRow
from tests.intake.house import NOW, exams_of, insured, moment, order, patient, site

LIST = (Listed("R0989", True, "L35456", True), Listed("I6521", True, "L35456;L35457", True))


def test_a_diagnosis_outside_the_list_is_a_doubt_and_no_list_is_none():
    assert doubt_of("93880", ["R0989"], LIST) is None
    assert doubt_of("93880", ["Z0000", "I6521"], LIST) is None
    assert doubt_of("93880", ["Z0000"], ()) is None
    assert doubt_of("93880", [], LIST) is None
    doubt = doubt_of("93880", ["Z0000"], LIST)
    assert doubt is not None
    assert doubt.sentence == ("Z0000 is not on Medicare's coverage list of 93880 (L35456, L35457)")
    excluded = (Listed("Z0000", False, "NCD 1", False),)
    assert doubt_of("93880", ["Z0000"], excluded) is not None
    assert doubt_of("93880", ["R0989"], excluded) is None


BEFORE, SCAN, AFTER = NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=2)


@pytest.mark.parametrize(
    ("kind", "option", "signed", "state", "modifiers"),
    [
        ("necessity", "1", BEFORE, "signed", ("GA",)),
        ("frequency", "1", BEFORE, "signed", ("GA",)),
        ("necessity", "1", AFTER, "signed_late", ("GZ",)),
        ("necessity", "", None, "", ("GZ",)),
        ("necessity", "2", BEFORE, "signed", ()),
        ("excluded", "1", BEFORE, "voluntary", ("GX", "GY")),
        ("excluded", "1", AFTER, "", ("GY",)),
    ],
)
def test_only_a_signature_before_the_exam_counts(kind, option, signed, state, modifiers):
    found = notice_state(kind, option, signed, SCAN)
    assert (found.state, found.modifiers) == (state, modifiers)


@pytest.fixture
def visit(cast):
    with scope(cast.system):
        CoverageRow.objects.create(
            code="71046",
            diagnosis="R0989",
            covered=True,
            policy="L35456",
            effective_from=date(2025, 1, 1),
        )
        who = patient(cast)
        insured(cast, who, "MCR", "1EG4TE5MK73")
        Coverage.objects.update(status="active", verified_at=NOW)
        row = order(cast, who, "71046", diagnoses=["R51.9"])
        yield appointment_book(
            patient=who,
            site=site(cast),
            starts_at=moment("2026-03-05 10:00"),
            exams=exams_of(row),
            actor=cast.system,
            enforce=False,
            at=NOW,
        )
        CoverageRow.objects.filter(code="71046", effective_from=date(2025, 1, 1)).delete()


def made(cast, visit, **more) -> AdvanceNotice:
    values = {
        "kind": "necessity",
        "reason": "R51.9 is not on the list.",
        "cost": Decimal("90.00"),
        "actor": cast.actor("ana"),
        "at": NOW,
    }
    return notice_make(appointment=visit, exam=visit.ordered_exams.get(), **(values | more))


def gate(visit) -> tuple[str, str]:
    visit.refresh_from_db()
    return visit.gates["necessity"]["state"], visit.gates["necessity"]["sentence"]


@pytest.mark.django_db
def test_the_gate_asks_for_the_notice_and_is_ready_once_it_is_signed(cast, visit):
    with scope(cast.system):
        clearance_refresh([visit.pk], actor=cast.system, at=NOW)
        state, sentence = gate(visit)
        assert state == "check"
        assert "R519 is not on Medicare's coverage list of 71046 (L35456)" in sentence
        row = made(cast, visit)
        assert gate(visit)[0] == "check"
        ana = cast.actor("ana")
        with pytest.raises(Refused, match="three options"):
            notice_sign(notice=row, option="", signer="Marisol Ibarra", actor=ana, at=NOW)
        with pytest.raises(Refused, match="future"):
            notice_sign(notice=row, option="1", signer="M", signed_at=AFTER, actor=ana, at=NOW)
        notice_sign(notice=row, option="1", signer="Marisol Ibarra", actor=ana, at=NOW)
        assert gate(visit) == ("ready", "The advance notice for 71046 is signed.")
        row.refresh_from_db()
        assert bytes(row.document).startswith(b"%PDF")
        with pytest.raises(Conflict):
            notice_sign(notice=row, option="1", signer="M", actor=ana, at=NOW)
        exam = visit.ordered_exams.get().pk
        assert notice_states({exam: SCAN})[exam].modifiers == ("GA",)


@pytest.mark.django_db
def test_after_the_exam_no_notice_is_signed(cast, visit):
    with scope(cast.system):
        row = made(cast, visit)
        visit.ordered_exams.update(status="completed")
        with pytest.raises(Refused, match="signed after it is none"):
            notice_sign(notice=row, option="1", signer="M", actor=cast.actor("ana"), at=NOW)
        exam = visit.ordered_exams.get().pk
        assert notice_states({exam: SCAN})[exam].modifiers == ("GZ",)


@pytest.mark.django_db
def test_the_desk_makes_prints_and_keeps_the_notice(cast, visit, client):
    client.force_login(cast.users["ana"])
    page = client.get(reverse("intake:appointment", args=[visit.public_id])).content.decode()
    assert reverse("intake:notice_new", args=[visit.public_id]) in page
    new = reverse("intake:notice_new", args=[visit.public_id])
    shown = client.get(new).content.decode()
    assert "is not on Medicare" in shown
    with scope(cast.system):
        exam = visit.ordered_exams.get().pk
    sent = {"exam": exam, "kind": "necessity", "reason": "not on the list", "cost": "90.00"}
    answer = client.post(new, sent)
    assert answer.status_code == 302
    pdf = client.get(f"{answer.url}pdf/")
    assert (pdf.status_code, pdf.content[:4]) == (200, b"%PDF")
    signed = client.post(answer.url, {"option": "2", "signer": "Marisol Ibarra"})
    assert signed.status_code == 302
    with scope(cast.system):
        row = AdvanceNotice.objects.get()
        assert (row.option, row.signer) == ("2", "Marisol Ibarra")
    client.force_login(cast.users["olga"])
    assert client.get(answer.url).status_code == 404
