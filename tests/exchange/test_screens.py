"""The screens of the exchange: what each role may see and do, and that nothing received is ever
drawn as markup.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from rcm.accounts.scope import scope
from rcm.audit.models import Event
from rcm.exchange import dicom, hold, services
from rcm.exchange.models import Connection, Interchange, Outbox
from rcm.worklist.models import WorkItem
from tests.exchange.conftest import adt

NOON = datetime(2026, 9, 8, 12, 0, tzinfo=UTC)


def sign_in(cast, name: str) -> Client:
    client = Client()
    client.force_login(
        cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    return client


def store(cast, content: bytes = b"", kind: str = "ADT", **more) -> Interchange:
    with scope(cast.system):
        return services.store_inbound(
            organization_id=cast.a.pk,
            kind=kind,
            content=content or adt(1),
            control_number="REG:M1",
            at=NOON,
            actor=cast.system,
            **more,
        )[0]


def page(row: Interchange) -> str:
    return reverse("exchange:interchange", args=[row.public_id])


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("ben", 200),
        ("pia", 200),
        ("mia", 200),
        ("cleo", 200),
        ("adam", 200),
        ("ana", 403),
        ("cody", 403),
    ],
)
def test_the_browser_is_for_those_who_may_see_interchanges(cast, quiet, name, status):
    store(cast)
    client = sign_in(cast, name)
    for address in ("interchanges", "connections", "backlog"):
        assert client.get(reverse(f"exchange:{address}")).status_code == status


def test_another_organization_finds_nothing_and_cannot_open_or_replay(cast, quiet):
    row = store(cast)
    olga = sign_in(cast, "olga")
    assert b"REG:M1" not in olga.get(reverse("exchange:interchanges")).content
    assert olga.get(page(row)).status_code == 404
    assert olga.get(reverse("exchange:content", args=[row.public_id])).status_code == 404
    assert olga.post(reverse("exchange:replay", args=[row.public_id])).status_code == 404


def test_an_interchange_shows_its_segments_and_the_reading_is_recorded(cast, quiet):
    row = store(cast)
    answer = sign_in(cast, "mia").get(page(row))
    body = answer.content.decode()
    assert "<b>PID</b>" in body
    assert "CANA-1" in body
    assert body.count("<li value=") == 3
    with scope(cast.system):
        event = Event.objects.get(interchange_id=row.pk)
        assert (event.verb, event.user_id) == ("interchange.read", cast.user("mia").pk)


def test_hostile_content_is_drawn_as_text(cast, quiet):
    row = store(cast, adt(1, DOROTHY="<script>alert(1)</script>"), file_name="<img src=x>.hl7")
    client = sign_in(cast, "mia")
    for address in (
        page(row),
        reverse("exchange:interchanges"),
        f"{reverse('exchange:interchanges')}?open={row.pk}",
    ):
        body = client.get(address).content
        assert b"<script>alert" not in body
        assert b"<img src=x" not in body
    download = client.get(reverse("exchange:content", args=[row.public_id]))
    assert download["Content-Disposition"].startswith("attachment")
    assert download["X-Content-Type-Options"] == "nosniff"
    assert download.content == bytes(row.content)


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\xff\xfe",
        b"ISA*00*short~",
        b"MSH|^~\\&|",
        b"\x00" * 128 + b"DICM" + b"x" * 40,
        "ISA é".encode("latin-1"),
    ],
)
def test_bytes_of_any_kind_can_be_looked_at(cast, quiet, content):
    assert sign_in(cast, "mia").get(page(store(cast, content, kind="HL7"))).status_code == 200


def test_a_performed_step_is_shown_by_its_elements(cast, quiet):
    from tests.exchange.test_mpps import begun

    row = store(
        cast,
        dicom.from_dataset(begun(), operation="N-CREATE", sop_instance_uid="1.2.3"),
        kind="MPPS",
    )
    assert b"Performed Procedure Step Status" in sign_in(cast, "mia").get(page(row)).content


def test_a_failed_message_is_a_work_item_until_it_went_through(cast, processors):
    from rcm.worklist import messages

    services.subscribe("interchange.failed", messages.open_failed, name="failed")
    services.subscribe("interchange.recovered", messages.close_recovered, name="recovered")
    row = store(cast)
    services.drain([cast.a.pk], at=NOON)
    with scope(cast.system):
        item = WorkItem.objects.get()
        assert (item.queue, item.subject_type, item.subject_id, item.status) == (
            "messages",
            "interchange",
            row.pk,
            "open",
        )
        assert messages.panel(item, cast.actor("mia")).fixes
    services.register_processor("ADT", lambda row, **_: {"patients": 1})
    mia = sign_in(cast, "mia")
    assert b"Process again" in mia.get(page(row)).content
    assert mia.post(reverse("exchange:replay", args=[row.public_id])).status_code == 302
    services.drain([cast.a.pk], at=NOON)
    with scope(cast.system):
        assert WorkItem.objects.get().status == "closed"
        assert Interchange.objects.get().status == "processed"


def test_replay_is_not_for_a_poster(cast, quiet):
    row = store(cast)
    assert (
        sign_in(cast, "pia").post(reverse("exchange:replay", args=[row.public_id])).status_code
        == 403
    )


def send_file(client: Client, cast, content: bytes, name: str = "file.txt"):
    return client.post(
        reverse("exchange:upload"),
        {"organization": cast.a.pk, "file": SimpleUploadedFile(name, content)},
    )


def test_an_upload_is_known_by_its_content_and_counts_once(cast, quiet):
    pia = sign_in(cast, "pia")
    assert pia.get(reverse("exchange:upload")).status_code == 200
    assert send_file(pia, cast, adt(1), "report.pdf").status_code == 302
    assert send_file(pia, cast, adt(1), "again.xml").status_code == 302
    with scope(cast.system):
        row = Interchange.objects.get()
        assert (row.kind, row.deliveries, row.file_name, bytes(row.content)) == (
            "ADT",
            2,
            "report.pdf",
            adt(1),
        )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"<?xml version='1.0'?>",
        b"ISA*00",
        b"MSH|^~\\&|R|A|B|C|1||ZZZ^Z01|1|P|2.5\r",
    ],
)
def test_what_is_not_taken_is_refused_with_a_sentence_and_not_kept(cast, quiet, content):
    answer = send_file(sign_in(cast, "pia"), cast, content)
    assert answer.status_code == 422
    assert b"error" in answer.content.lower()
    with scope(cast.system):
        assert not Interchange.objects.exists()


def test_an_upload_is_for_one_s_own_organizations_and_not_for_every_role(cast, quiet):
    assert sign_in(cast, "cleo").get(reverse("exchange:upload")).status_code == 403
    foreign = sign_in(cast, "pia").post(
        reverse("exchange:upload"),
        {"organization": cast.b.pk, "file": SimpleUploadedFile("a", adt(1))},
    )
    assert foreign.status_code == 422


def test_a_large_upload_is_refused(cast, quiet, settings):
    settings.UPLOAD_LIMIT_BYTES = 50
    assert send_file(sign_in(cast, "pia"), cast, adt(1)).status_code == 422


def test_the_backlog_shows_what_was_given_up_and_tries_it_again(cast, processors):
    services.subscribe("exam.completed", lambda events, **_: None, name="charges.exam")
    with scope(cast.system):
        services.publish(
            "exam.completed", organization_id=cast.a.pk, payload={"exam_id": 1}, due_at=NOON
        )
        Outbox.objects.update(parked_at=NOON, attempts=5, error="This exam has no site.")
    mia = sign_in(cast, "mia")
    assert b"This exam has no site." in mia.get(reverse("exchange:backlog")).content
    with scope(cast.system):
        pk = Outbox.objects.get().pk
    assert sign_in(cast, "olga").post(reverse("exchange:retry"), {"pick": pk}).status_code == 302
    with scope(cast.system):
        assert Outbox.objects.get().parked_at  # not hers
    assert mia.post(reverse("exchange:retry"), {"pick": pk}).status_code == 302
    assert services.drain([cast.a.pk]) == 1


def test_filters_and_tabs_narrow_the_list(cast, quiet):
    with scope(cast.system):
        Connection.objects.create(
            organization_id=cast.a.pk, kind="mllp", name="Hospital RIS", sender="RIS|H"
        )
    row = store(cast)
    store(cast, b"other", kind="835", file_name="june.835")
    with scope(cast.system):
        services.mark(
            row, status="failed", error="PID-7 holds no date.", actor=cast.system, at=NOON
        )
    mia = sign_in(cast, "mia")
    address = reverse("exchange:interchanges")
    assert b"june.835" in mia.get(f"{address}?kind=835").content
    assert b"june.835" not in mia.get(f"{address}?kind=ADT").content
    assert b"june.835" not in mia.get(f"{address}?view=stopped").content
    assert b"june.835" in mia.get(f"{address}?q=june").content
    assert b"june.835" not in mia.get(f"{address}?direction=out").content
    assert b"PID-7 holds no date." in mia.get(f"{address}?open={row.pk}").content
    assert b"Hospital RIS" in mia.get(reverse("exchange:connections")).content
    assert mia.get(f"{address}?cursor=nonsense&order=nonsense&kind=%00&since=x").status_code == 200


def test_the_list_takes_the_same_number_of_queries_for_one_row_and_for_fifty(
    cast, quiet, django_assert_max_num_queries
):
    for n in range(50):
        store(cast, f"{n}".encode())
    mia = sign_in(cast, "mia")
    mia.get(reverse("exchange:interchanges"))
    with django_assert_max_num_queries(28):
        mia.get(reverse("exchange:interchanges"))


def test_the_backlog_says_that_nothing_leaves_after_a_restore(cast):
    mia = sign_in(cast, "mia")
    assert b"nothing is sent or fetched" not in mia.get(reverse("exchange:backlog")).content
    hold.put(reason="Restored from the backup of 2026-03-01T02:00")
    page = mia.get(reverse("exchange:backlog")).content
    assert b"Restored from the backup" in page
    assert b"nothing is sent or fetched" in page
