"""Who decides and how one reaches them; the guided call; the hour of a peer-to-peer call; asked
beside granted.
"""

from __future__ import annotations

from datetime import date

import pytest
from django.test import Client

from authorizations import services
from authorizations.compare import compared
from authorizations.models import AuthorizedService, AuthRequest, Reviewer
from authorizations.replies import Granted
from authorizations.routing import desk_of, desks_of, script
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.reference.models import Payer
from rcm.worklist.models import WorkItem
from tests.authorizations.test_front_door import NOW, ask, record, visit
from tests.intake.house import moment, run_all

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def row(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        booked = visit(cast, "70551")
    run_all(cast)
    with scope(cast.system):
        return record(booked)


def page(cast, name: str, url: str, data=None):
    client = Client()
    client.force_login(
        cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    return client.post(url, data) if data is not None else client.get(url)


def test_a_payers_own_row_beats_the_general_one_of_the_reviewer():
    harbor, prairie = Payer.objects.get(code="HCC"), Payer.objects.get(code="PHP")
    name = "Clearview Imaging Review"
    found = desks_of([(name, harbor), (name, prairie)], at=NOW)
    assert found[(name, harbor.pk)].appeal_address.startswith("Harbor appeals")
    assert found[(name, prairie.pk)].appeal_address.startswith("PO Box 40")


@pytest.mark.parametrize(
    ("when", "open_now", "opens"),
    [
        ("2026-03-02 08:00", True, None),
        ("2026-03-02 07:59", False, "2026-03-02 08:00"),
        ("2026-03-02 19:00", False, "2026-03-03 08:00"),
        ("2026-03-06 20:00", False, "2026-03-09 08:00"),
        ("2026-01-19 10:00", False, "2026-01-20 08:00"),
    ],
)
def test_the_hours_are_the_reviewers_own_with_weekends_and_holidays(when, open_now, opens):
    payer = Payer.objects.get(code="PHP")
    name = "Clearview Imaging Review"
    desk = desks_of([(name, payer)], at=moment(when))[(name, payer.pk)]
    assert desk.open_now is open_now
    assert desk.opens_next == (moment(opens) if opens else None)
    assert desk.hours.startswith("Mon to Fri 8:00 AM to 7:00 PM")


def test_without_a_row_the_payers_own_phone_is_given(cast_committed, row):
    Reviewer.objects.filter(name=row.reviewer).update(name="Somebody else")
    try:
        with scope(cast_committed.system):
            desk = desk_of(row, at=NOW)
            assert (desk.phone, desk.portal) == (row.payer.phone, "")
    finally:
        Reviewer.objects.filter(name="Somebody else").update(name=row.reviewer)


def test_the_script_says_everything_a_reviewer_asks_and_marks_what_is_missing(cast_committed, row):
    with scope(cast_committed.system):
        said = {line.label: line for line in script(row)}
        assert said["Exams"].value == "70551"
        assert said["Clinical reason"].value == "headache, new focal weakness"
        assert said["Day of the exam"].value.startswith("Thursday, Mar 12, 2026 at 10:00 AM")
        row.diagnoses = []
        assert {line.label: line.missing for line in script(row)}["Diagnoses"] is True


def test_the_guided_call_keeps_the_reference_and_the_promised_hour(cast_committed, row):
    cast = cast_committed
    url = f"/authorizations/{row.public_id}/ask/"
    text = page(cast, "ada", url).content.decode()
    for words in ("Clearview Imaging Review", "What to say", "Papers to have ready", "8005550140"):
        assert words in text.replace("(800) 555-0140", "8005550140")
    sent = page(
        cast,
        "ada",
        url,
        {
            "channel": "phone",
            "reference": "R-77",
            "contact": "Dana",
            "promised_on": "03/04/2030",
            "promised_by": "15:30",
            "note": "",
        },
    )
    assert sent.status_code == 302, sent.content
    with scope(cast.system):
        made = AuthRequest.objects.get(authorization=row)
        assert (made.reference, made.promised_at) == ("R-77", moment("2030-03-04 15:30"))
        row.refresh_from_db()
        assert row.decision_due_at == made.promised_at


def denied(cast, row):
    with scope(cast.system):
        return services.authorization_decide(
            authorization=row,
            status="denied",
            reason="not proven",
            denial_kind="not_shown",
            actor=cast.actor("ada"),
            at=NOW,
        )


def test_a_call_is_arranged_for_an_hour_in_somebodys_calendar(cast_committed, row):
    cast = cast_committed
    denied(cast, row)
    with scope(cast.system):
        services.peer_to_peer(
            authorization=row,
            outcome="scheduled",
            contact="Dr. Reviewer",
            note="agreed",
            call_at=moment("2026-03-05 14:30"),
            owner="Dr. Osei",
            actor=cast.actor("ada"),
            at=NOW,
        )
        row.refresh_from_db()
        assert row.denial_kind == "not_shown"
        item = WorkItem.objects.get(queue="peer_to_peer", status="open")
        assert item.due_at == moment("2026-03-05 14:30")
        assert "Dr. Osei" in item.fix


@pytest.mark.parametrize(
    ("call", "owner", "field"),
    [
        (None, "Dr. Osei", "call_at"),
        ("2026-03-05 14:30", " ", "owner"),
        ("2026-03-01 14:30", "Dr. Osei", "call_at"),
        ("2026-03-30 14:30", "Dr. Osei", "call_on"),
    ],
)
def test_a_call_without_hour_or_owner_or_outside_the_window_is_refused(
    cast_committed, row, call, owner, field
):
    cast = cast_committed
    denied(cast, row)
    with scope(cast.system), pytest.raises(Refused) as stop:
        services.peer_to_peer(
            authorization=row,
            outcome="scheduled",
            contact="Dr. Reviewer",
            note="agreed",
            call_at=moment(call) if call else None,
            owner=owner,
            actor=cast.actor("ada"),
            at=NOW,
        )
    assert stop.value.field == field


def test_what_was_asked_stands_beside_what_was_granted(cast_committed, row):
    cast = cast_committed
    ask(cast, row, channel="phone", reference="R-1")
    with scope(cast.system):
        services.authorization_decide(
            authorization=row,
            status="modified",
            number="A-1",
            effective_from=date(2026, 3, 1),
            effective_to=date(2026, 3, 31),
            services=[Granted("70553", 1, "", True, replaces="70551")],
            actor=cast.actor("ada"),
            at=NOW,
        )
        lines = AuthorizedService.objects.filter(authorization=row).select_related("ordered_exam")
        rows = compared(list(lines.order_by("id")))
        assert len(rows) == 1
        assert (rows[0].asked_code, rows[0].granted_code, rows[0].words) == (
            "70551",
            "70553",
            "Granted instead",
        )
        assert rows[0].differs
    text = page(cast, "ada", f"/authorizations/{row.public_id}/").content.decode()
    assert "Granted instead" in text
    with scope(cast.system):
        made = AuthRequest.objects.get(authorization=row)
        assert (made.said, made.answered_at) == ("Approved with changes", NOW)
    assert "Approved with changes" in text
    for code in (">A6<", ">A4<"):
        assert code not in text
