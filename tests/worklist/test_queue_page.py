"""The queue page: what a biller sees, types and presses, and what the database does for it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from rcm.accounts.scope import scope
from rcm.audit.models import Access, Event
from rcm.web.models import SavedView
from rcm.worklist import services
from rcm.worklist.filters import condition
from rcm.worklist.models import Interaction, ItemStatus, WorkItem
from tests.pages import one_line
from tests.worklist.conftest import make_items

pytestmark = pytest.mark.django_db
URL = "/work/test_denials/"
HTMX = {"HX-Request": "true", "HX-Target": "panel"}


def fresh(cast, item: WorkItem) -> WorkItem:
    with scope(cast.system):
        return WorkItem.objects.select_related("owner").get(pk=item.pk)


def test_the_queue_shows_nearest_deadline_first_with_its_panel(cast, enter) -> None:
    make_items(cast, 3)
    html = enter(cast, "ari").get(f"{URL}?view=all").content.decode()
    assert html.index("C00001") < html.index("C00002") < html.index("C00003")
    assert "Appeal by" in html
    assert "Authorization A-1 covers 74177" in html
    assert "differs" in html
    assert "Request update" in html
    assert "Secret" not in html  # a fix the role may not press is not offered
    assert "3 items, $60.00 on this page" in html


def test_tabs_are_the_declared_views_with_counts(cast, enter) -> None:
    make_items(cast, 12)
    html = one_line(enter(cast, "ari").get(f"{URL}?view=all").content.decode())
    for label, count in (
        ("Auth mismatch", 6),
        ("Filing limit &lt; 10 d", 10),
        ("TC/26", 4),
        ("All open", 12),
    ):
        assert f'{label}<span class="count">{count}</span>' in html


def test_a_saved_view_becomes_a_tab_with_its_count(cast, enter) -> None:
    make_items(cast, 4)
    SavedView.objects.create(owner=cast.user("ari"), path=URL, name="Big ones", query="min=30")
    html = one_line(enter(cast, "ari").get(f"{URL}?view=all").content.decode())
    assert 'Big ones<span class="count">2</span>' in html


def test_filters_search_and_owner_are_in_the_url(cast, enter) -> None:
    items = make_items(cast, 3)
    with scope(cast.system):
        services.item_take(item=items[1], actor=cast.actor("ari"))
    client = enter(cast, "ari")
    assert "C00002" not in client.get(f"{URL}?view=all&owner=none").content.decode()
    mine = client.get(f"{URL}?view=mine").content.decode()
    assert "C00002" in mine
    assert "C00001" not in mine
    assert "C00003" in client.get(f"{URL}?view=all&q=C00003").content.decode()
    assert "No such person" not in client.get(f"{URL}?view=all&owner=abc").content.decode()


def test_pages_follow_by_key_and_none_is_lost(cast, enter) -> None:
    make_items(cast, 120)
    client = enter(cast, "ari")
    seen: list[str] = []
    url = f"{URL}?view=all"
    for _ in range(5):
        page = client.get(url, headers={"HX-Request": "true", "HX-Target": "rows"})
        html = one_line(page.content.decode())
        seen += [
            part[:6]
            for part in html.split("data-row-link")[1:]
            for part in [part[part.index(">") + 1 :]]
        ]
        if 'rel="next"' not in html:
            break
        url = URL + html.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert seen == [f"C{n:05d}" for n in range(1, 121)]


def test_the_page_is_found_by_the_index_without_a_sort(cast) -> None:
    make_items(cast, 50)
    with scope(cast.system), connection.cursor() as cursor:
        for other in ("seqscan", "bitmapscan", "sort"):
            cursor.execute(f"SET LOCAL enable_{other} = off")
        cursor.execute(
            "EXPLAIN SELECT id FROM worklist_workitem WHERE queue = 'test_denials' AND status ="
            " 'open' AND organization_id = %s AND (sort_day, sort_cents, id) > ('2020-01-01', -5,"
            " 1) ORDER BY sort_day, sort_cents, id LIMIT 50",
            [cast.a.pk],
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "item_order" in plan
    assert "Sort" not in plan
    # the place in the order is found by the index, not by reading up to it: under row-level
    # security only leakproof comparisons are
    condition = next(line for line in plan.splitlines() if "Index Cond" in line)
    assert "ROW(sort_day, sort_cents, id)" in condition


@pytest.mark.parametrize("count", [10, 100])
def test_the_number_of_queries_does_not_grow_with_the_rows(cast, enter, count: int) -> None:
    make_items(cast, count)
    client = enter(cast, "ari")
    client.get(f"{URL}?view=all")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(f"{URL}?view=all").status_code == 200
    assert len(queries) <= 34, "\n".join(q["sql"][:110] for q in queries)


def test_a_queue_of_another_role_is_refused_and_a_strange_one_not_found(cast, enter) -> None:
    assert enter(cast, "ana").get(URL).status_code == 403
    assert enter(cast, "ari").get("/work/no_such_queue/").status_code == 404


def test_another_organization_sees_nothing_of_it(cast, enter) -> None:
    items = make_items(cast, 2)
    client = enter(cast, "olga")
    html = client.get(f"{URL}?view=all&open={items[0].pk}").content.decode()
    assert "CANA" not in html
    assert client.get(reverse("worklist:item", args=[items[0].public_id])).status_code == 404
    assert (
        client.post(reverse("worklist:touch", args=[items[0].public_id, "take"])).status_code == 404
    )
    assert fresh(cast, items[0]).owner_id is None


def test_take_answers_the_panel_with_a_toast_that_undoes_it(cast, enter) -> None:
    item = make_items(cast, 1)[0]
    client = enter(cast, "ari")
    response = client.post(
        reverse("worklist:touch", args=[item.public_id, "take"]),
        {"version": item.version},
        headers=HTMX,
    )
    assert response.status_code == 200
    trigger = json.loads(response["HX-Trigger"])
    assert trigger["rows-changed"] is True
    assert fresh(cast, item).owner_id == cast.user("ari").pk
    assert client.post(trigger["toast"]["undo"], headers={"HX-Request": "true"}).status_code == 204
    assert fresh(cast, item).owner_id is None
    # a second press of undo finds the item moved on
    assert client.post(trigger["toast"]["undo"], headers={"HX-Request": "true"}).status_code == 409


def test_the_second_to_take_gets_409_and_the_fresh_row(cast, enter) -> None:
    item = make_items(cast, 1)[0]
    url = reverse("worklist:touch", args=[item.public_id, "take"])
    assert enter(cast, "ari").post(url, {"version": item.version}, headers=HTMX).status_code == 200
    response = enter(cast, "ben").post(url, {"version": item.version}, headers=HTMX)
    assert response.status_code == 409
    html = response.content.decode()
    assert "colleague is working on this" in html
    assert "Ari Receivable" in html


def test_every_touch_ends_with_an_outcome_and_a_date(cast, enter) -> None:
    item = make_items(cast, 1)[0]
    client = enter(cast, "ari")
    url = reverse("worklist:touch", args=[item.public_id, "act"])
    refused = client.post(
        url, {"action": "", "next_action_on": "", "version": item.version}, headers=HTMX
    )
    assert refused.status_code == 422
    assert "Enter the next action" in refused.content.decode()
    later = timezone.localdate() + timedelta(days=4)
    assert (
        client.post(
            url,
            {
                "action": "Called payer",
                "note": "in process",
                "next_action_on": f"{later:%m/%d/%Y}",
                "version": item.version,
            },
            headers=HTMX,
        ).status_code
        == 200
    )
    row = fresh(cast, item)
    assert (row.owner_id, row.next_action, row.next_action_on, row.touches) == (
        cast.user("ari").pk,
        "Called payer",
        later,
        1,
    )
    assert "C00001" not in client.get(f"{URL}?view=due-today").content.decode()


def test_without_script_a_refusal_comes_back_as_a_message(cast, enter) -> None:
    item = make_items(cast, 1)[0]
    response = enter(cast, "ari").post(
        reverse("worklist:touch", args=[item.public_id, "pend"]),
        {"until": "01/01/2020", "reason": "x", "version": item.version},
        follow=True,
    )
    assert "Enter a return date after today" in response.content.decode()
    assert fresh(cast, item).status == ItemStatus.OPEN


def test_a_contact_a_note_and_the_history(cast, enter) -> None:
    item = make_items(cast, 1)[0]
    client = enter(cast, "ari")

    def touch(verb, **data):
        return client.post(
            reverse("worklist:touch", args=[item.public_id, verb]), data, headers=HTMX
        )

    assert (
        touch(
            "contact",
            channel="phone",
            contact="Rita",
            reference="R-77",
            outcome="Promised payment",
            note="check next week",
        ).status_code
        == 200
    )
    html = touch("note", note="Looks like a clerical error").content.decode()
    assert "Phone: Promised payment, reference R-77" in html
    assert "Looks like a clerical error" in html
    with scope(cast.system):
        assert Interaction.objects.get().item_id == item.pk


def test_only_a_manager_assigns_and_only_to_a_colleague(cast, enter) -> None:
    item = make_items(cast, 1)[0]
    url = reverse("worklist:touch", args=[item.public_id, "assign"])
    assert (
        enter(cast, "ari").post(url, {"to": cast.user("ben").pk}, headers=HTMX).status_code == 403
    )
    assert (
        enter(cast, "mia")
        .post(url, {"to": cast.user("olga").pk, "version": item.version}, headers=HTMX)
        .status_code
        == 422
    )
    assert (
        enter(cast, "mia")
        .post(url, {"to": cast.user("ben").pk, "version": item.version}, headers=HTMX)
        .status_code
        == 200
    )
    assert fresh(cast, item).owner_id == cast.user("ben").pk


def test_escalate_finish_and_open_again(cast, enter) -> None:
    item = make_items(cast, 1)[0]
    client = enter(cast, "ari")

    def touch(verb, **data):
        return client.post(
            reverse("worklist:touch", args=[item.public_id, verb]), data, headers=HTMX
        )

    assert touch("escalate", reason="Payer refuses to talk").status_code == 200
    assert fresh(cast, item).escalated_at is not None
    assert touch("finish", outcome="Paid already").status_code == 200
    assert fresh(cast, item).status == ItemStatus.DONE
    assert client.get(reverse("worklist:item", args=[item.public_id])).status_code == 200
    assert touch("reopen").status_code == 200
    assert fresh(cast, item).status == ItemStatus.OPEN


def test_bulk_checks_each_row_and_names_those_that_failed(cast, enter) -> None:
    items = make_items(cast, 3)
    with scope(cast.system):
        services.item_take(
            item=items[1], actor=cast.actor("ben")
        )  # somebody was first with the second
    picks = [f"{i.pk}:0" for i in items]
    client = enter(cast, "mia")
    asked = client.post(reverse("worklist:bulk_assign"), {"pick": picks})
    assert asked.status_code == 200
    assert "3 items, $60.00" in asked.content.decode()
    done = client.post(
        reverse("worklist:bulk_assign"),
        {"pick": picks, "confirmed": "yes", "to": cast.user("ari").pk},
        follow=True,
    ).content.decode()
    assert "Assigned: 2 of 3 items." in done
    assert "Denial 2 of the payer: Somebody else has changed this item" in done
    assert [fresh(cast, i).owner_id for i in items] == [
        cast.user("ari").pk,
        cast.user("ben").pk,
        cast.user("ari").pk,
    ]


def test_bulk_ignores_rows_of_another_organization(cast, enter) -> None:
    theirs = make_items(cast, 1, system=cast.system_b, organization=cast.b)
    response = enter(cast, "mia").post(
        reverse("worklist:bulk_pend"),
        {"pick": [f"{theirs[0].pk}:0"], "confirmed": "yes", "until": "12/31/2099", "reason": "x"},
        follow=True,
    )
    assert "None of the selected items is yours" in response.content.decode()


def test_work_next_leases_the_nearest_and_says_when_nothing_is_left(cast, enter) -> None:
    items = make_items(cast, 1)
    client = enter(cast, "ari")
    response = client.post(reverse("worklist:next", args=["test_denials"]))
    assert f"open={items[0].pk}" in response["Location"]
    assert fresh(cast, items[0]).lease_until is not None
    other = enter(cast, "ben").post(reverse("worklist:next", args=["test_denials"]), follow=True)
    assert "Nothing is free" in other.content.decode()


def test_an_opened_panel_and_an_export_are_logged_as_reads(cast, enter) -> None:
    from intake.models import Patient

    with scope(cast.system):
        patient = Patient.objects.create(
            organization=cast.a,
            mrn="M1",
            last_name="CANA",
            first_name="One",
            born_on=timezone.localdate(),
            sex="F",
            search="m1",
        )
    item = make_items(cast, 1)[0]
    with scope(cast.system):
        WorkItem.objects.update(patient_id=patient.pk)
    client = enter(cast, "ari")
    client.get(f"{URL}?view=all&open={item.pk}")
    body = b"".join(client.get(f"{URL}?view=all&export=csv").streaming_content).decode()
    assert "C00001" in body
    with scope(cast.system):
        assert set(
            Access.objects.filter(patient_id=patient.pk).values_list("purpose", flat=True)
        ) == {
            "work panel test_denials",
            "export work test_denials",
        }


def test_overview_counts_each_queue_and_shows_managers_the_load(cast, enter) -> None:
    items = make_items(cast, 3)
    with scope(cast.system):
        services.item_take(item=items[0], actor=cast.actor("ari"))
        WorkItem.objects.filter(pk=items[2].pk).update(
            opened_at=timezone.now() - timedelta(days=20)
        )
    html = enter(cast, "mia").get("/work/").content.decode()
    assert "Test denials" in html
    assert "Ari Receivable" in html
    assert "Untouched over 7 d" in html
    plain = enter(cast, "ari").get("/work/").content.decode()
    assert "Who carries what" not in plain
    assert "Test denials" not in enter(cast, "ana").get("/work/").content.decode()


def test_odd_query_strings_never_break_the_page(cast, enter) -> None:
    make_items(cast, 1)
    client = enter(cast, "ari")
    for query in (
        "owner='; DROP TABLE x;--",
        "payer=1%27",
        "days=99999999999",
        "min=1e400",
        "facts__x=1",
        "a.b=1",
        "open=99999999999999999999",
        "cursor=zzz",
        "tag=%00",
        "site=x&site=y",
    ):
        assert client.get(f"{URL}?view=all&{query}").status_code == 200, query
    assert condition("owner=abc&days=x", cast.actor("ari"))


def test_what_waits_comes_back_on_its_day_and_a_forgotten_hold_is_freed(cast) -> None:
    items = make_items(cast, 2)
    now = timezone.now()
    with scope(cast.system):
        services.item_pend(
            item=items[0],
            actor=cast.actor("ari"),
            until=timezone.localdate() + timedelta(days=2),
            reason="Payer asked for a week",
        )
        services.item_take(item=items[1], actor=cast.actor("ari"))
        assert services.return_pended(actor=cast.system, at=now + timedelta(minutes=5)) == 0
        assert services.return_pended(actor=cast.system, at=now + timedelta(days=2, hours=1)) == 1
    assert fresh(cast, items[0]).status == ItemStatus.OPEN
    assert fresh(cast, items[1]).owner_id is None


def test_a_holder_who_wakes_late_is_refused(cast) -> None:
    """R9: the hold went to somebody else; what the first holder saw no longer opens the door."""
    item = make_items(cast, 1)[0]
    now = timezone.now()
    with scope(cast.system):
        held = services.item_take(item=item, actor=cast.actor("ari"), at=now)
        seen, token = held.version, held.lease_token
        services.return_pended(actor=cast.system, at=now + timedelta(minutes=21))
        other = services.work_next(
            queue="test_denials", actor=cast.actor("ben"), at=now + timedelta(minutes=22)
        )
        assert other is not None
        with pytest.raises(services.Conflict):
            services.require_lease(other, token=token, actor=cast.actor("ari"))
        with pytest.raises(services.Conflict):
            services.item_act(
                item=held,
                actor=cast.actor("ari"),
                action="Called",
                note="",
                next_action_on=timezone.localdate() + timedelta(days=3),
                version=seen,
            )
        assert Event.objects.filter(verb="work.acted").count() == 0


def test_each_sum_of_dollars_stands_beside_the_count_it_belongs_to(cast, enter) -> None:
    items = make_items(cast, 5)  # worth 10, 20, 30, 40, 50
    with scope(cast.system):
        WorkItem.objects.filter(pk__in=[items[1].pk, items[2].pk]).update(due_at=timezone.now())
    client = enter(cast, "ari")
    said = "2 due today, $50 at risk, of 5 open, $150 at risk"
    assert said in client.get(URL).content.decode()
    overview = " ".join(client.get("/work/").content.decode().split())
    assert said in overview
