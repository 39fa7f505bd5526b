from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pytest
from django.core import signing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rcm.accounts.models import Membership, Organization
from rcm.web import keyset
from rcm.web.keyset import Key

pytestmark = pytest.mark.django_db

ORDERS = [
    ("id",),
    ("-id",),
    ("role", "id"),
    ("-role", "-id"),
    ("role", "-id"),
    (Key("site_id", nulls="last"), "id"),
    (Key("site_id", descending=True, nulls="last"), "-role", "id"),
    (Key("site_id", nulls="first"), "role", "-id"),
    ("user__email", "id"),
]


def walk(queryset, order, size, backwards=False) -> list[int]:
    """Every row's id by following the cursors from one end to the other."""
    page = keyset.page(queryset, order, size=size)
    seen = [page.rows]
    while page.next:
        page = keyset.page(queryset, order, cursor=page.next, size=size)
        seen.append(page.rows)
    if not backwards:
        return [r.pk for rows in seen for r in rows]
    back = [page.rows]
    while page.previous:
        page = keyset.page(queryset, order, cursor=page.previous, size=size)
        back.insert(0, page.rows)
    return [r.pk for rows in back for r in rows]


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_pages_show_every_row_once_in_order_both_ways(cast, order, size) -> None:
    for i, name in enumerate(("ana", "ben", "mia", "max")):
        Membership.objects.create(
            user=cast.user(name),
            organization=cast.a,
            site=[cast.north, cast.south][i % 2],
            role="coder",
        )
    rows = Membership.objects.all()
    whole = [r.pk for r in rows.order_by(*(Key.of(k).ordering() for k in order))]
    assert walk(rows, order, size) == whole
    assert walk(rows, order, size, backwards=True) == whole


def test_rows_that_come_or_go_in_between_shift_nothing(cast) -> None:
    rows = Membership.objects.all()
    first = keyset.page(rows, ("id",), size=3)
    rows.filter(pk=first.rows[0].pk).delete()
    second = keyset.page(rows, ("id",), cursor=first.next or "", size=3)
    assert second.rows[0].pk > first.rows[-1].pk
    assert [r.pk for r in second.rows] == list(
        rows.filter(pk__gt=first.rows[-1].pk).order_by("pk").values_list("pk", flat=True)[:3]
    )


def test_one_direction_without_nulls_is_one_row_comparison(cast) -> None:
    found = keyset.after(Membership.objects.all(), [Key("role"), Key("id")], ["biller", 1])
    assert '("accounts_membership"."role", "accounts_membership"."id") > (' in str(found.query)


def test_an_edited_cursor_or_one_for_another_order_is_refused(cast) -> None:
    rows = Membership.objects.all()
    cursor = keyset.page(rows, ("id",), size=2).next or ""
    forged = signing.dumps({"o": "id", "b": False, "v": [1, 2]}, salt=keyset.SALT)
    for wrong in (cursor[:-2] + "zz", "nonsense", "", forged):
        if wrong:
            with pytest.raises(keyset.BadCursor):
                keyset.page(rows, ("id",), cursor=wrong)
    with pytest.raises(keyset.BadCursor):
        keyset.page(rows, ("-id",), cursor=cursor)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.one_of(
        st.none(),
        st.integers(-5, 5),
        st.text(max_size=8),
        st.dates(),
        st.datetimes(timezones=st.just(dt.UTC)),
        st.decimals(-99, 99, places=2),
        st.uuids(),
    )
)
def test_a_cursor_gives_back_what_was_put_in(value) -> None:
    keys = [Key("x")]
    values, backwards = keyset.decode(keys, keyset.encode(keys, SimpleNamespace(x=value), True))
    assert values == [value]
    assert type(values[0]) is type(value)
    assert backwards


def test_counting_stops_at_the_limit(cast) -> None:
    assert keyset.capped_count(Membership.objects.all(), 4) == (4, True)
    assert keyset.capped_count(Organization.objects.all(), 4) == (2, False)
    assert keyset.capped_count(Organization.objects.order_by("name"), 2) == (2, False)
