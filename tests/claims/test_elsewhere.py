"""One component is billed once, whoever bills it: the second claim is stopped, and learns nothing
but which component was billed on which date by another entity.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from claims import marks
from claims.marks import marks_put
from claims.models import Claim, ClaimLine
from claims.records import Adjudicated, Outcome
from claims.services import claim_void, claims_adjudicated, claims_scrub, claims_submit
from intake.models import Coverage, Patient
from rcm.accounts.scope import scope
from rcm.reference.facts import procedure_versions
from rcm.reference.models import Payer
from tests.claims.house import NOW, blocks, ready, sent

DAY = dt.date(2026, 9, 8)
"""The service date of the house's exams."""


def other_entity(house, *, code: str = "70551", part: str = "", side: str = "", **person) -> None:
    """Organization B bills a component of an exam of the same person on the same day."""
    cast = house.cast
    with scope(cast.system_b):
        patient = Patient.objects.create(
            organization=cast.b,
            mrn="OTHER",
            last_name=person.get("last_name", "Canary"),
            first_name=person.get("first_name", "Cora"),
            born_on=person.get("born_on", dt.date(1962, 3, 14)),
            sex="F",
        )
        payer = Payer.objects.get(code=person.get("payer", "PHP"))
        coverage = Coverage.objects.create(
            organization=cast.b,
            patient=patient,
            payer=payer,
            member_id=person.get("member_id", "NONE1"),
            rank=1,
        )
        claim = Claim(
            organization=cast.b,
            patient=patient,
            coverage=coverage,
            payer=payer,
            site=cast.b_site,
            number="CB1",
            pos="11",
            service_date=DAY,
        )
        claim.save()
        claim.patient, claim.coverage, claim.payer = patient, coverage, payer
        line = ClaimLine(
            organization=cast.b,
            claim=claim,
            number=1,
            control="CB1-1",
            code=code,
            modifiers=[m for m in (part, side) if m],
            units=1,
            amount=1,
            service_date=person.get("day", DAY),
        )
        _marks_of(claim, line)


def prints_of(claim: Claim, line) -> list[str]:
    """The fingerprints of what a line bills."""
    asked = marks._ask(marks.subject(claim), [line], procedure_versions())
    return [found for a in asked for found in a.billed()]


def told(house, claim: Claim, outcome: Outcome) -> None:
    decided = Adjudicated(claim_id=claim.pk, outcome=outcome, decided_on=DAY)
    claims_adjudicated(items=[decided], actor=house.actor, at=NOW)


def held_by_others(prints: list[str]) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM isocenter_marks_asked(%s, 'somebody else')", [prints])
        return cursor.fetchone()[0]


def _marks_of(claim: Claim, line) -> None:
    """Put the marks of one line that no charge stands behind."""
    found = prints_of(claim, line)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM isocenter_marks_put(%s, %s, %s)",
            [
                found,
                [marks._claim_print(claim.pk)] * len(found),
                marks._holder(claim.organization_id),
            ],
        )


def judged(house, claim: Claim) -> list[str]:
    with scope(house.cast.system):
        claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
        claim.refresh_from_db()
        return blocks(claim)


@pytest.mark.parametrize(
    ("part", "words"), [("26", ["reading"]), ("TC", ["technical part"]), ("", None)]
)
def test_the_second_claim_is_stopped_and_learns_nothing_else(house, part, words):
    claim = ready(house)
    other_entity(house, part=part)
    assert judged(house, claim) == ["CMP-016"]
    found = claim.findings.filter(edit="CMP-016", cleared_at__isnull=True).order_by("sentence")
    said = [f.sentence for f in found]
    assert said == [
        f"The {w} of this exam was billed for 09/08/2026 by another entity."
        for w in words or ["reading", "technical part"]
    ]
    for told in found:
        text = f"{told.sentence} {told.fix}"
        assert not re.search(r"CB1|CANB|OTHER|NONE1|\d{10}|\$", text)


@pytest.mark.parametrize(
    "person",
    [
        {"last_name": "CANARY ", "first_name": "cora m"},
        {"last_name": "Other", "first_name": "Cora", "member_id": "ABC-123456789"},
    ],
)
def test_the_person_is_known_by_name_and_birth_or_by_insurance(house, person):
    claim = ready(house)
    other_entity(house, **person)
    assert judged(house, claim) == ["CMP-016"]


@pytest.mark.parametrize(
    "person",
    [
        {"born_on": dt.date(1962, 3, 15)},
        {"first_name": "Carla"},
        {"day": DAY + dt.timedelta(days=1)},
        {"code": "71046"},
    ],
)
def test_another_person_day_or_exam_is_no_duplicate(house, person):
    claim = ready(house)
    other_entity(house, **person)
    assert judged(house, claim) == []


def test_a_split_between_two_entities_is_no_duplicate(house):
    claim = ready(house)
    line = claim.lines.get()
    line.modifiers = ["TC"]
    line.save()
    other_entity(house, part="26")
    assert "CMP-016" not in judged(house, claim)


def test_another_code_of_the_family_is_one(house):
    claim = ready(house)
    other_entity(house, code="70553", part="26")
    assert judged(house, claim) == ["CMP-016"]


def test_our_own_marks_never_stop_us_and_a_correction_keeps_them(house):
    claim = sent(house)
    with scope(house.cast.system):
        assert marks_put([marks.subject(claim)]) == set()


def test_the_second_is_stopped_when_it_leaves_at_the_latest(house):
    claim = ready(house)
    other_entity(house, part="26")
    result = claims_submit(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    assert result.claim_ids == []
    claim.refresh_from_db()
    assert (claim.status, blocks(claim)) == ("blocked", ["CMP-016"])


def test_a_void_lets_another_entity_bill(house):
    claim = sent(house)
    Claim.objects.filter(pk=claim.pk).update(status="rejected")
    claim.refresh_from_db()
    line = claim.lines.get()
    prints = prints_of(claim, line)
    assert held_by_others(prints) == len(prints)
    claim_void(claim=claim, reason="wrong", actor=house.cast.actor("ben"), at=NOW)
    assert held_by_others(prints) == 0


def test_a_denial_lets_go_and_what_is_paid_after_all_is_marked_again(house):
    claim = sent(house)
    prints = prints_of(claim, claim.lines.get())
    with scope(house.cast.system):
        told(house, claim, Outcome.DENIED)
        assert held_by_others(prints) == 0
        told(house, claim, Outcome.PAID)
        assert held_by_others(prints) == len(prints)


def test_what_holds_its_marks_is_not_marked_again_when_it_is_paid(house):
    claim = sent(house)
    with scope(house.cast.system), CaptureQueriesContext(connection) as queries:
        told(house, claim, Outcome.PAID)
    assert [q for q in queries if "isocenter_marks_held" in q["sql"]]
    assert not [q for q in queries if "isocenter_marks_put" in q["sql"]]


def test_a_fingerprint_is_a_keyed_digest_and_says_what_it_said_before(settings):
    """Marks that stand were made one by one; those made together meet them."""
    key = hashlib.sha256(b"service marks:" + settings.SECRET_KEY.encode()).digest()

    def plain(text: str) -> str:
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    claim = marks.Subject(7, 1, 1, "1", "Zoë Ann", "O'Neil", DAY, "ab-1", "PHP")
    line = marks.Billed(3, 7, "73721", ["LT"], DAY)
    (asked,) = marks._ask(claim, [line], {})
    persons = ("N|ONEIL|ZOE|2026-09-08", "M|PHP|AB1|2026-09-08|ZOE")
    assert [(m.line_id, m.part, m.fingerprint) for m in asked.marks()] == [
        (3, part, plain(f"{person}|2026-09-08|73721|{part}|{side}"))
        for person in persons
        for part in ("26", "TC")
        for side in ("*", "LT")
    ]
    assert asked.billed() == [
        plain(f"{person}|2026-09-08|73721|{part}|LT") for person in persons for part in ("26", "TC")
    ]
    assert marks._claim_print(7) == plain("claim|7")
    assert marks._ask(claim._replace(rank=2), [line], {}) == []
    assert marks._ask(claim._replace(frequency="8"), [line], {}) == []
    assert marks._ask(claim, [line._replace(modifiers=["76"])], {}) == []


def test_the_products_role_cannot_read_the_marks(house):
    sent(house)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        connection.cursor().execute("SELECT * FROM claims_servicemark")
