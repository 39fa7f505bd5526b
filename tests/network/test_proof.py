"""The proof of enrollments asks what was known when the file was built: an override counts, what
ended or was withdrawn later does not break it, a planted breach does.
"""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection

from claims.services import claims_submit, finding_override
from rcm import prove
from rcm.network import services
from rcm.network.models import NetworkSpan
from tests.claims.house import NOW, READER
from tests.network.test_claims import LATER, Office

pytestmark = pytest.mark.django_db
(CHECK,) = (c for c in prove.CHECKS if c.number == "20")


@pytest.fixture
def office(billing) -> Office:
    return Office(billing)


def breaches() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(CHECK.breaches)
        return [words for _, words in cursor.fetchall()]


def looked() -> int:
    with connection.cursor() as cursor:
        cursor.execute(CHECK.looked)
        return int(cursor.fetchone()[0])


def leave(office) -> None:
    result = claims_submit(claim_ids=[office.claim.pk], actor=office.house.actor, at=NOW)
    assert result.claim_ids == [office.claim.pk], result.held


def test_a_claim_that_left_before_anything_was_kept_is_not_asked(office):
    leave(office)
    office.open(office.billing, at=LATER)
    assert (looked(), breaches()) == (0, [])


def test_a_claim_of_enrolled_providers_holds_whatever_is_learned_later(office):
    office.open(office.billing)
    office.open(office.rita)
    office.scrub()
    leave(office)
    assert (looked(), breaches()) == (1, [])
    span = NetworkSpan.objects.get(npi=READER)
    services.span_end(
        span=span, last=dt.date(2026, 8, 31), actor=office.cast.actor("mia"), at=LATER
    )
    assert breaches() == []
    span = NetworkSpan.objects.get(npi=office.cast.a.npi)
    services.span_withdraw(span=span, reason="Wrong", actor=office.cast.actor("mia"), at=LATER)
    assert breaches() == []


def test_an_override_with_its_reason_is_no_breach(office):
    office.open(office.billing)
    office.open(office.rita, "pending")
    assert office.scrub() == ["ENR-002"]
    finding = office.claim.findings.get(edit="ENR-002")
    finding_override(
        finding=finding,
        reason="Payer confirmed by phone, ref 77",
        actor=office.cast.actor("ben"),
        at=NOW,
    )
    leave(office)
    assert (looked(), breaches()) == (1, [])


def test_a_file_that_left_around_the_rule_is_found(office):
    """Planted: what was known the day before the file left says that the reader was pending."""
    leave(office)
    before = NOW - dt.timedelta(days=1)
    office.open(office.billing, at=before)
    office.open(office.rita, "pending", at=before)
    assert looked() == 1
    assert breaches() == [
        f"claim {office.claim.pk} left although {READER} was not enrolled on 2026-09-08"
    ]
