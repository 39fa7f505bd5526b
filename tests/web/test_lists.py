from __future__ import annotations

import csv
import io
from decimal import Decimal

import django_filters
import pytest
from django.db.models import Q
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from rcm.accounts.models import Membership
from rcm.web import lists
from rcm.web.forms import MenuMultiple
from rcm.web.lists import BulkAction, Column, ListPage, Order, Tab
from tests.pages import one_line


class RoleFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(label="Name", method="search")
    role = django_filters.MultipleChoiceFilter(
        label="Role",
        choices=[("biller", "Biller"), ("coder", "Coder"), ("ar", "A/R")],
        widget=MenuMultiple("Role"),
    )

    def search(self, rows, name, value):
        return rows.filter(user__last_name__icontains=value)


def panel(request, pk: str) -> str | None:
    row = Membership.objects.filter(pk=pk).first() if pk.isdecimal() else None
    return None if row is None else f"<h2>Panel of {row.pk}</h2>"


PEOPLE = ListPage(
    name="people",
    title="People",
    noun=("person", "people"),
    columns=(
        Column(
            "person",
            "Person",
            lambda m: m.user.display_name,
            width="who",
            link=True,
            second="user.email",
            export_second="E-mail",
        ),
        Column("role", "Role", "role", kind="tag", order="role"),
        Column("amount", "Amount", lambda m: Decimal("-12.40"), kind="money"),
    ),
    orders=(Order("id", "age", ("pk",)), Order("role", "role", ("role", "pk"))),
    tabs=(
        Tab("all", "All"),
        Tab("coders", "Coders", Q(role="coder")),
        Tab("mine", "Mine", lambda r: Q(user_id=r.actor.user_id)),
    ),
    filterset=RoleFilter,
    panel=panel,
    row_label=lambda m: m.user.display_name,
    amount=lambda m: Decimal("12.40"),
    bulk=(BulkAction("Assign", "web:home", "work.assign"),),
    page_size=4,
    empty="Everybody is gone.",
)


@pytest.fixture
def show(cast):
    def ask(query: str = "", who: str = "mia", **headers: str):
        request = RequestFactory().get(
            f"/people/{query}", **{f"HTTP_{k.upper()}": v for k, v in headers.items()}
        )
        request.user = cast.user(who)
        request.actor = cast.actor(who)
        request.session = {}
        response = PEOPLE.respond(
            request, Membership.objects.select_related("user").filter(organization=cast.a)
        )
        body = b"".join(response.streaming_content) if response.streaming else response.content
        page = response["Content-Type"].startswith("text/html")
        return response, one_line(body.decode()) if page else body.decode()

    return ask


def test_the_page_has_tabs_with_counts_rows_panel_and_the_bulk_bar(show) -> None:
    response, html = show()
    assert response.status_code == 200
    assert "HX-Request" in response["Vary"]
    assert response["Cache-Control"] == "no-store"
    assert 'Coders<span class="count">1</span>' in html
    assert html.count("<tr data-row") == 4
    assert "<h2>Panel of" in html
    assert "−$12.40" in html
    assert 'formaction="/"' in html
    assert " style=" not in html
    assert "10 people" in html


def test_a_bulk_action_is_not_offered_without_its_permission(show) -> None:
    _, html = show(who="ben")
    assert "formaction" not in html
    assert 'name="pick"' not in html


def test_htmx_gets_only_the_rows_or_only_the_panel(show) -> None:
    _, rows = show(hx_request="true", hx_target="rows")
    assert "<html" not in rows
    assert rows.count("<tr data-row") == 4
    wanted = Membership.objects.order_by("pk")[2]
    _, side = show(f"?open={wanted.pk}", hx_request="true", hx_target="panel")
    assert side == f"<h2>Panel of {wanted.pk}</h2>"


@pytest.mark.parametrize("gone", ["999999999", "0", "abc", "1;drop", ""])
def test_a_panel_that_is_gone_says_so(show, gone: str) -> None:
    response, html = show(f"?open={gone}", hx_request="true", hx_target="panel")
    assert response.status_code == 200
    assert "no longer in your list" in html


def test_the_next_link_leads_on_and_keeps_the_filters(show) -> None:
    _, html = show("?order=role")
    link = html.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    _, second = show(link)
    assert second.count("<tr data-row") == 4
    assert "order=role" in link
    assert 'rel="prev"' in second


@pytest.mark.parametrize(
    "query",
    [
        "?cursor=zzz",
        "?order=nothing",
        "?view=nothing",
        "?role=hacker",
        "?cursor=" + "x" * 500,
        "?open=x&cursor=:::",
    ],
)
def test_a_query_string_nobody_offered_still_gives_a_page(show, query: str) -> None:
    response, _ = show(query)
    assert response.status_code == 200


def test_several_values_of_one_filter_are_alternatives_and_fields_narrow(show) -> None:
    _, html = show("?role=biller&role=coder")
    assert html.count("<tr data-row") == 2
    assert "Role: Biller" in html
    _, none = show("?role=biller&role=coder&q=Manager")
    assert "Nothing matches these filters." in none
    assert "Clear the filters" in none


def test_an_empty_view_says_what_empty_means(show, cast) -> None:
    Membership.objects.filter(organization=cast.a).delete()
    _, html = show()
    assert "Everybody is gone." in html


def test_names_of_people_are_escaped(show, cast) -> None:
    user = cast.user("ana")
    user.first_name = "<script>alert(1)</script>"
    user.save()
    _, html = show()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_the_file_holds_all_rows_of_the_view_and_no_formula(show, cast) -> None:
    user = cast.user("ana")
    user.first_name = "=HYPERLINK(1)"
    user.save()
    response, text = show("?export=csv&cursor=zzz")
    assert "attachment" in response["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert rows[0] == ["Person", "E-mail", "Role", "Amount"]
    assert len(rows) == 11
    assert rows[1][0] == "'=HYPERLINK(1) Frontdesk"
    assert {row[3] for row in rows[1:]} == {"-12.40"}


@pytest.mark.parametrize(
    "text", ["＝1+1", "＋1", "－1", "＠SUM(1)", "\u3000=1+1", "\u200b=1", " =1"]
)
def test_wide_and_hidden_signs_are_escaped_too(text: str) -> None:
    assert lists.inert(text) == f"'{text}"


@given(st.text(max_size=30))
def test_no_text_becomes_a_formula(text: str) -> None:
    assert not lists.inert(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_negative_amount_stays_a_number() -> None:
    assert lists.inert(Decimal("-12.40")) == "-12.40"
    assert lists.inert("-12.40") == "'-12.40"


def test_a_list_asks_the_database_a_fixed_number_of_times(
    show, django_assert_max_num_queries
) -> None:
    show()
    with django_assert_max_num_queries(12):
        show()
