"""Nine moments of an exam, from order to zero: medians counted by hand, the missing counted too."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from ar import lag
from charges.models import Exam
from claims.models import Claim
from intake.models import Order, OrderedExam
from rcm.accounts.clock import office_day
from rcm.accounts.scope import scope
from tests.ar.conftest import bill, moment

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def exams(cast):
    """Three exams 40 days ago: two paid to zero, ordered 2 and 4 days before; one open."""
    paid = [bill(cast, days_ago=40, paid=100, contractual=200, status="paid") for _ in range(2)]
    waiting = bill(cast, days_ago=40)
    day = office_day() - timedelta(days=40)
    with scope(cast.system):
        for n, b in enumerate([*paid, waiting]):
            order = Order.objects.create(
                organization=cast.a,
                patient=b.patient,
                ordered_at=moment(day) - timedelta(days=2 * (n + 1)),
                source="api",
            )
            ordered = OrderedExam.objects.create(
                organization=cast.a, order=order, patient=b.patient, code="74178", modality="CT"
            )
            Exam.objects.filter(pk=b.exam.pk).update(ordered_exam=ordered)
            Claim.objects.filter(pk=b.claim.pk).update(accepted_at=moment(day) + timedelta(days=3))
    return [*paid, waiting]


def spans(cast, **more) -> dict[str, lag.Span]:
    with scope(cast.system):
        found = lag.spans(lag.Asked([cast.a.pk], office_day(), **more))
    return {s.step.code: s for s in found}


def test_each_step_by_hand(cast, exams) -> None:
    found = spans(cast)
    assert (found["order-exam"].median, found["order-exam"].taken) == (D("4.0"), 3)
    assert found["order-exam"].ninety == D("5.6")  # 2, 4 and 6 days
    assert found["exam-report"].median == D("0.2")
    assert found["report-charge"].median == D("0.8")
    assert found["charge-claim"].median == D("1.0")
    assert found["claim-277ca"].median == D("1.0")
    assert (found["277ca-835"].median, found["277ca-835"].taken) == (D("17.0"), 2)
    assert found["277ca-835"].missing == 1
    assert found["835-zero"].median == D("0.1")  # posted at ten, zero counts at noon
    whole = found["whole"]
    assert (whole.taken, whole.missing) == (2, 1)
    assert whole.median == D("23.1")  # 22.1 and 24.1 days
    assert found["order-authorization"].taken == 0


def test_narrowed_by_modality_site_and_reader(cast, exams) -> None:
    assert spans(cast, modality="MR")["exam-report"].taken == 0
    assert spans(cast, modality="CT")["exam-report"].taken == 3
    assert spans(cast, sites=[cast.south.pk])["exam-report"].taken == 0
    assert spans(cast, reader=999_999)["exam-report"].taken == 0


def test_a_bar_opens_its_rows_and_the_missing_theirs(cast, exams, enter) -> None:
    client = enter(cast, "mia")
    page = client.get("/performance/lag/").content.decode()
    assert "Order to zero balance, exams that got there" in page
    assert "/performance/lag/277ca-835/?left=1" in page
    waiting = client.get("/performance/lag/277ca-835/?left=1").content.decode()
    assert exams[2].exam.accession in waiting
    assert exams[0].exam.accession not in waiting
    taken = client.get("/performance/lag/277ca-835/").content.decode()
    assert exams[0].exam.accession in taken
    assert client.get("/performance/lag/nowhere/").status_code == 404
    assert enter(cast, "olga").get("/performance/lag/277ca-835/").status_code in (200, 403)
    rows = b"".join(client.get("/performance/lag/?export=csv").streaming_content).decode()
    assert "277CA to 835,17.0,17.0,2,1" in rows
