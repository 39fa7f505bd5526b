"""Pages, filters, versions, and the log of who read what."""

from __future__ import annotations

import re
import threading
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection, transaction
from django.urls import get_resolver
from django.utils import timezone

from intake.models import Order, Patient
from rcm.accounts.partners import PartnerView
from rcm.accounts.scope import scope
from rcm.audit.models import Access, Event
from rcm.audit.services import Step, record_steps
from tests.api.conftest import ORDER, caller


def place(ris, *numbers: str) -> list[str]:
    return [ris.post("/orders", ORDER | {"placer_number": n}).json()["id"] for n in numbers]


def follow(ris, path: str, **query) -> list[list[str]]:
    """The ids of every page, by the opaque cursor."""
    pages, cursor = [], {}
    while True:
        said = ris.get(path, **query, **cursor).json()
        pages.append([row["id"] for row in said["results"]])
        if not said["next"]:
            return pages
        cursor = {"cursor": parse_qs(urlsplit(said["next"]).query)["cursor"][0]}


@pytest.mark.django_db
def test_pages_are_whole_and_stay_still_while_rows_arrive(ris) -> None:
    made = place(ris, "P-1", "P-2", "P-3", "P-4", "P-5")
    first = ris.get("/orders", page_size=2).json()
    place(ris, "P-6")
    rest = ris.get(f"/orders?{urlsplit(first['next']).query}").json()
    assert [r["id"] for r in first["results"]] == [made[4], made[3]]
    assert [r["id"] for r in rest["results"]] == [made[2], made[1]]
    assert [len(p) for p in follow(ris, "/orders", page_size=4)] == [4, 2]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "cj0xJnA9MQ==' OR 1=1",
        "bz0xMDAwMDAwMDAwMDAwMA==",
        "%00",
        "cD1hYmM=",
        "cj0xJnA9MSUwMA==",
    ],
)
def test_a_cursor_that_nobody_gave_out_is_refused(ris, cursor) -> None:
    assert ris.get("/orders", cursor=cursor).status_code == 400


@pytest.mark.django_db
def test_a_filter_that_is_not_known_is_refused(ris) -> None:
    place(ris, "P-1", "P-2")
    assert len(ris.get("/orders", placer_number="P-2").json()["results"]) == 1
    for name in (
        "organization",
        "organization_id",
        "patient__last_name__startswith",
        "id__gt",
        "ordering",
        "pk",
    ):
        refused = ris.get("/orders", **{name: "1"})
        assert refused.status_code == 400, name
        (fault,) = refused.json()["errors"]
        assert fault["field"] == name and "placer_number" in str(fault)
    bad = ris.get("/orders", status="'; DROP TABLE intake_order; --")
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (400, "status")
    assert len(ris.get("/orders", page_size=10**6).json()["results"]) == 2


def readable() -> list[str]:
    """Every address of the API that partners read, with an id of nobody where one is named."""
    nobody = "0190a6f0-0000-7000-8000-00000000abcd"
    found = []
    for path, view in routes_of(get_resolver()):
        cls = getattr(view, "cls", None)
        if cls is None or not issubclass(cls, PartnerView) or "format" in path:
            continue
        if "get" in (getattr(view, "actions", None) or {"get"} & set(dir(cls))):
            found.append(
                re.sub(r"\(\?P<public_id>[^)]*\)", nobody, path).replace("^", "").rstrip("$")
            )
    return sorted(found)


def routes_of(resolver, prefix: str = ""):
    for one in resolver.url_patterns:
        path = prefix + str(one.pattern)
        if hasattr(one, "url_patterns"):
            yield from routes_of(one, path)
        else:
            yield path, one.callback


@pytest.mark.django_db
def test_no_address_passes_over_a_parameter_that_it_does_not_know(ris) -> None:
    paths = readable()
    assert len(paths) > 25
    for path in paths:
        answer = ris.get(f"/{path.removeprefix('api/v1/')}", no_such_filter="1")
        assert answer.status_code in (400, 403), path
        if answer.status_code == 400:
            assert answer.json()["errors"][0]["field"] == "no_such_filter", path


@pytest.mark.django_db
def test_what_has_not_changed_is_not_sent_again(ris) -> None:
    (made,) = place(ris, "P-1")
    tag = ris.get(f"/orders/{made}").headers["ETag"]
    same = ris.get(f"/orders/{made}", {"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    ris.post(f"/orders/{made}/cancel", {"reason": "twice"})
    other = ris.get(f"/orders/{made}", {"If-None-Match": tag})
    assert other.status_code == 200 and other.headers["ETag"] != tag


@pytest.mark.django_db
def test_each_read_of_a_chart_is_logged_with_the_partners_name(cast, ris) -> None:
    (made,) = place(ris, "P-1")
    ris.get(f"/orders/{made}")
    ris.get("/patients")
    with scope(cast.system):
        patient = Patient.objects.get()
        seen = list(
            Access.objects.order_by("id").values_list(
                "patient_id", "actor_kind", "actor_name", "purpose"
            )
        )
    assert seen == [
        (patient.pk, "partner", "RIS", "api orders"),
        (patient.pk, "partner", "RIS", "api patients"),
    ]


@pytest.mark.django_db
def test_a_change_made_on_an_old_reading_is_refused(cast, ris) -> None:
    exams = [e["id"] for e in ris.get(f"/orders/{place(ris, 'P-1')[0]}").json()["exams"]]
    booked = ris.post(
        "/appointments", {"site": "CANA-NORTH", "starts_at": "2027-03-02T15:00:00Z", "exams": exams}
    )
    if booked.status_code == 409:
        pytest.fail(f"booking stops at a gate in this example: {booked.json()}")
    url = f"/appointments/{booked.json()['id']}"
    read = ris.get(url)
    tag = read.headers["ETag"]
    assert ris.post(f"{url}/cancel", {"reason": "moved"}).status_code == 428
    assert (
        ris.post(f"{url}/cancel", {"reason": "moved"}, **{"If-Match": '"999"'}).status_code == 412
    )
    assert ris.post(f"{url}/cancel", {"reason": "moved"}, **{"If-Match": tag}).status_code == 200


@pytest.mark.django_db
def test_what_is_read_only_is_never_stored(cast, ris) -> None:
    sent = ORDER | {
        "id": "0190a6f0-0000-7000-8000-00000000abcd",
        "status": "completed",
        "source": "hl7",
        "organization": cast.b.pk,
        "organization_id": cast.b.pk,
    }
    made = ris.post("/orders", sent)
    assert made.status_code == 201
    with scope(cast.system):
        row = Order.objects.get()
    assert (row.status, row.source, row.organization_id) == ("open", "api", cast.a.pk)
    assert str(row.public_id) != sent["id"]


# --- the event feed -------------------------------------------------------------------------------


def tell(cast, *sentences: str) -> None:
    with scope(cast.system):
        record_steps(
            [Step(cast.a.pk, "test.told", s) for s in sentences],
            actor=cast.system,
            at=timezone.now(),
        )


@pytest.mark.django_db(transaction=True)
def test_the_feed_is_read_on_from_the_last_event_and_again_from_the_start(cast_committed) -> None:
    ris, other = caller(cast_committed.a), caller(cast_committed.b, "B")
    tell(cast_committed, "one", "two")
    first = ris.get("/events", verb="test.").json()["results"]
    assert [e["sentence"] for e in first] == ["one", "two"]
    tell(cast_committed, "three")
    assert [
        e["sentence"] for e in ris.get("/events", after=first[-1]["public_id"]).json()["results"]
    ] == ["three"]
    assert [e["sentence"] for e in ris.get("/events", verb="test.").json()["results"]] == [
        "one",
        "two",
        "three",
    ]
    assert datetime.fromisoformat(first[0]["at"])
    assert other.get("/events").json()["results"] == []


@pytest.mark.django_db(transaction=True)
def test_an_event_of_a_slow_transaction_is_not_overtaken(cast_committed) -> None:
    ris = caller(cast_committed.a)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with scope(cast_committed.system), transaction.atomic():
            record_steps(
                [Step(cast_committed.a.pk, "test.told", "slow")], actor=cast_committed.system
            )
            begun.set()
            go_on.wait(20)
        connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    begun.wait(20)
    tell(cast_committed, "quick")
    early = ris.get("/events", verb="test.").json()["results"]
    go_on.set()
    thread.join()
    assert early == []
    late = [e["sentence"] for e in ris.get("/events", verb="test.").json()["results"]]
    assert sorted(late) == ["quick", "slow"]
    with scope(cast_committed.system):
        assert Event.objects.filter(verb="test.told").count() == 2
