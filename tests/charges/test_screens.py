"""The screens of the mid-cycle: who sees them, what they show, and that a list costs the same for
ten and for a hundred rows.
"""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from charges.assembly import CONFLICT, MISMATCH, REVIEW
from charges.models import BillingArrangement, Exam, Scanner, Unsolicited
from charges.queues import review_count
from charges.services import exam_record, exams_evaluate, exams_record, report_receive
from rcm.accounts.scope import scope
from rcm.audit.models import Access
from tests.charges.house import BRAIN, DONE, GADOBUTROL, PLAIN_BRAIN, READ, fresh


@pytest.fixture
def held(house) -> Exam:
    """Performed and read with contrast, ordered and authorized without."""
    patient = house.patient(payer="LBI")
    (ordered,) = house.order(patient, "70551")
    house.authorize(patient, ordered)
    exam = exam_record(
        record=house.done(ordered, code="70553", contrast=GADOBUTROL), actor=house.actor, at=DONE
    )
    report_receive(report=house.report(ordered, BRAIN, code="70553"), actor=house.actor, at=READ)
    exams_evaluate(exam_ids=[exam.exam_id], actor=house.actor, at=READ)
    return fresh(exam.exam_id)


def visit(client, house, name: str, url: str, **more):
    client.force_login(house.cast.user(name))
    return client.get(url, **more)


def test_the_exam_page_tells_the_thread(client, house, held):
    page = visit(client, house, "cody", reverse("charges:exam", args=[held.public_id]))
    assert page.status_code == 200
    text = page.content.decode()
    for words in (
        "Ordered",
        "Authorized",
        "Performed",
        "Billed",
        "differs",
        "70553",
        "gadobutrol",
        "Electronically signed",
        "Exam performed",
    ):
        assert words in text, words
    assert "ORDER_CHANGE" in text
    assert Access.objects.filter(patient_id=held.patient_id, purpose="exam").exists()


def test_the_front_desk_sees_the_exam_but_no_report_and_no_charge(client, house, held):
    text = visit(
        client, house, "ana", reverse("charges:exam", args=[held.public_id])
    ).content.decode()
    assert "No acute infarct" not in text
    assert "How $" not in text


@pytest.mark.parametrize(
    "name", ["exams", "unsigned", "review", "unsolicited", "control", "arrangements"]
)
def test_strangers_see_nothing_of_it(client, house, held, name):
    page = visit(client, house, "olga", reverse(f"charges:{name}"), follow=True)
    assert page.status_code == 200
    assert "Canary" not in page.content.decode()
    assert (
        visit(client, house, "olga", reverse("charges:exam", args=[held.public_id])).status_code
        == 404
    )


@pytest.mark.parametrize(
    "kind", ["arrangements", "scanners", "groups", "readers", "stock", "policies"]
)
def test_rules_are_listed_and_opened(client, house, kind):
    assert visit(client, house, "mia", reverse("charges:rules", args=[kind])).status_code == 200
    assert visit(client, house, "mia", reverse("charges:rule_new", args=[kind])).status_code == 200
    assert visit(client, house, "cody", reverse("charges:rule_new", args=[kind])).status_code == 403


def test_a_manager_changes_an_arrangement_and_a_scanner(client, house):
    client.force_login(house.cast.user("mia"))
    row = BillingArrangement.objects.get()
    url = reverse("charges:rule", args=["arrangements", row.public_id])
    data = {
        "site": house.site.pk,
        "modality": "MR",
        "equipment_owner": "ours",
        "tech_employer": "ours",
        "reader_relation": "independent",
        "effective_from": "01/01/2026",
    }
    page = client.post(url, data)
    assert page.status_code == 302, page.content.decode()
    row.refresh_from_db()
    assert (row.modality, row.reader_relation) == ("MR", "independent")
    page = client.post(
        reverse("charges:rule_new", args=["scanners"]),
        {
            "site": house.site.pk,
            "name": "Room 9",
            "station": "XR9",
            "modality": "XR",
            "film": "on",
            "effective_from": "01/01/2026",
        },
    )
    assert page.status_code == 302, page.content.decode()
    assert Scanner.objects.get(station="XR9").film


def test_unsigned_shows_readers_dollars_and_days(client, house):
    patient = house.patient()
    (ordered,) = house.order(patient, "70551")
    exam_record(record=house.done(ordered, performed_at=DONE), actor=house.actor, at=DONE)
    exams_evaluate(exam_ids=Exam.objects.values_list("pk", flat=True), actor=house.actor, at=DONE)
    text = visit(client, house, "mia", reverse("charges:unsigned")).content.decode()
    assert "1 exam without a final report" in text
    assert "not named yet" in text
    assert "Expected dollars without a signature" in text


def test_the_coder_accepts_changes_waives_and_ends_without_a_bill(client, house, held):
    client.force_login(house.cast.user("cody"))
    assert client.get(reverse("charges:review")).status_code == 200
    page = client.get(
        f"{reverse('charges:review')}?open={held.pk}",
        headers={"HX-Request": "true", "HX-Target": "panel"},
    )
    assert page.status_code == 200
    for name in ("code", "diagnoses", "correct", "order_change", "no_bill"):
        assert client.get(reverse(f"charges:{name}", args=[held.public_id])).status_code == 200, (
            name
        )
    code = reverse("charges:code", args=[held.public_id])
    typed = {"modifiers": "", "reason": "Addendum pending", "version": held.version}
    page = client.post(code, {"code": "70551", **typed})
    assert page.status_code == 422, "another code than performed needs words of the report"
    assert "Quote the words of the signed report" in page.content.decode()
    page = client.post(code, {"code": "70553", **typed})
    assert page.status_code == 302, page.content.decode()
    assert fresh(held.pk).decision["code"] == "70553"
    page = client.post(
        reverse("charges:code", args=[held.public_id]),
        {"code": "70553", "reason": "No", "version": held.version},
    )
    assert page.status_code == 409
    page = client.post(
        reverse("charges:no_bill", args=[held.public_id]),
        {"reason": "Repeat for motion, not billable", "version": fresh(held.pk).version},
    )
    assert page.status_code == 302
    assert fresh(held.pk).status == "no_bill"
    assert client.get(reverse("charges:exam", args=[held.public_id])).status_code == 200


def test_an_authorization_hold_is_waived_by_who_may(client, house, held):
    url = reverse("charges:waive", args=[held.public_id, "UPDATE_REQUIRED"])
    assert visit(client, house, "cody", url).status_code == 403
    client.force_login(house.cast.user("ada"))
    page = client.post(url, {"reason": "Payer covers it by phone, ref 88", "version": held.version})
    assert page.status_code == 302, page.content.decode()
    assert [h["code"] for h in fresh(held.pk).holds] == ["ORDER_CHANGE"]


def test_a_result_without_order_is_shown_and_dismissed(client, house):
    patient = house.patient()
    row = Unsolicited.objects.create(
        organization=house.cast.a,
        interchange_id=1,
        kind="ORU",
        accession="X1",
        patient=patient,
        mrn=patient.mrn,
        why="No order carries it.",
        received_at=READ,
    )
    client.force_login(house.cast.user("cody"))
    assert "X1" in client.get(reverse("charges:unsolicited")).content.decode()
    url = reverse("charges:unsolicited_row", args=[row.public_id])
    assert client.get(url).status_code == 200
    page = client.post(
        url, {"do": "dismiss", "reason": "Belongs to the hospital next door", "version": 0}
    )
    assert page.status_code == 302, page.content.decode()
    row.refresh_from_db()
    assert row.status == "dismissed"


def test_the_work_queues_draw_their_panels(client, house, held):
    from rcm.worklist.models import WorkItem

    items = list(WorkItem.objects.filter(exam_id=held.pk))
    assert {i.queue for i in items} == {"auth_mismatch", "auth_update"}
    for item in items:
        page = visit(client, house, "mia", f"/work/{item.queue}/?open={item.pk}")
        assert page.status_code == 200
        if item.queue == "auth_mismatch":
            assert "Performed" in page.content.decode()


@pytest.mark.parametrize("name", ["exams", "unsigned", "review"])
def test_a_list_costs_the_same_for_many_rows(client, house, name):
    def fill(count: int, start: int) -> None:
        records, orders = [], []
        for n in range(start, start + count):
            patient = house.patient(f"L{n}")
            (ordered,) = house.order(patient, "70551")
            orders.append(ordered)
            records.append(house.done(ordered))
        done = exams_record(records=records, actor=house.actor, at=DONE)
        for ordered in orders if name == "review" else ():
            report_receive(
                report=house.report(ordered, {**PLAIN_BRAIN, "technique": ""}),
                actor=house.actor,
                at=READ,
            )
        exams_evaluate(
            exam_ids=[d.exam_id for d in done], actor=house.actor, at=READ + dt.timedelta(days=2)
        )

    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            page = client.get(f"{reverse(f'charges:{name}')}?view=all")
        assert page.status_code == 200
        return len(captured)

    client.force_login(house.cast.user("mia"))
    fill(3, 1)
    client.get(reverse(f"charges:{name}"))
    few = cost()
    fill(12, 100)
    assert cost() == few


@pytest.mark.parametrize(
    ("queue", "status", "counted"),
    [
        (REVIEW, "held", 1),
        (CONFLICT, "held", 0),
        (MISMATCH, "held", 0),
        (REVIEW, "no_bill", 0),
        (REVIEW, "preliminary", 0),
    ],
)
def test_the_rail_counts_what_the_first_tab_of_charge_review_shows(
    client, house, held, queue, status, counted
):
    holds = [{**hold, "queue": queue} for hold in held.holds]
    Exam.objects.filter(pk=held.pk).update(holds=holds, status=status)
    with scope(house.cast.actor("cody")):
        assert review_count(house.cast.actor("cody")) == counted
    client.force_login(house.cast.user("cody"))
    page = client.get(reverse("charges:review")).content.decode()
    assert (held.accession in page) == bool(counted)
