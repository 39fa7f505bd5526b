"""Aging is the ledger's at any day; a key figure is the sum of exactly the rows it drills to; last
month never changes.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from ar import aging, rules, services
from ar.kpi import engine
from ar.kpi.definitions import BY_CODE, KPIS
from ar.models import AgingSnapshot, KpiSnapshot
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.ledger.models import RECEIVABLE, LedgerEntry
from tests.ar.conftest import bill, deny

pytestmark = pytest.mark.django_db
D = Decimal


def ledger_total(on) -> Decimal:
    return sum(
        LedgerEntry.objects.filter(account__in=RECEIVABLE, effective_on__lte=on).values_list(
            "amount", flat=True
        ),
        D(0),
    )


@pytest.fixture
def center(cast):
    """A small center's half year: young, old, paid, credit, unbilled, patient balances, two sites,
    two payers.
    """
    rows = [
        bill(cast, days_ago=10),
        bill(cast, days_ago=45, site=cast.south),
        bill(cast, days_ago=75, payer_code="MCR"),
        bill(cast, days_ago=100, paid=80, contractual=200, copay=20),
        bill(cast, days_ago=140, paid=60, contractual=200, status="partial"),
        bill(cast, days_ago=35, paid=100, contractual=200, status="paid"),
        bill(cast, days_ago=36, paid=110, contractual=200, status="paid"),
        bill(cast, days_ago=20, sent=False, status="blocked", clean=False),
    ]
    deny(cast, rows[1])
    return rows


def test_aging_equals_the_ledger_on_every_past_day(cast, center) -> None:
    today = timezone.localdate()
    with scope(cast.system):
        for back in (0, 5, 17, 30, 44, 60, 90, 139, 400):
            on = today - timedelta(days=back)
            for basis, _ in aging.BASES:
                assert aging.total(
                    aging.aging(organizations=[cast.a.pk], on=on, basis=basis)
                ) == ledger_total(on), (
                    back,
                    basis,
                )


def test_each_dollar_stands_in_its_bucket(cast, center) -> None:
    with scope(cast.system):
        cells = aging.aging(organizations=[cast.a.pk], on=timezone.localdate())
    by = {}
    for c in cells:
        by[c.bucket] = by.get(c.bucket, D(0)) + c.total
    assert by == {
        "0-30": D("600.00"),
        "31-60": D("290.00"),
        "61-90": D("300.00"),
        "91-120": D("20.00"),
        "121+": D("40.00"),
    }


def test_by_first_bill_date_the_unbilled_stands_apart(cast, center) -> None:
    with scope(cast.system):
        cells = aging.aging(organizations=[cast.a.pk], on=timezone.localdate(), basis=aging.BILLED)
    assert sum(c.total for c in cells if c.bucket == "unbilled") == D("300.00")


def test_the_lines_add_up_to_their_cell(cast, center) -> None:
    today = timezone.localdate()
    with scope(cast.system):
        for cell in aging.aging(organizations=[cast.a.pk], on=today):
            rows = aging.lines(
                organizations=[cast.a.pk],
                on=today,
                bucket=cell.bucket,
                payers=[cell.payer_id],
                sites=[cell.site_id],
            )
            assert sum((r.insurance + r.patient for r in rows), D(0)) == cell.total
            assert len(rows) == cell.lines
        first = aging.lines(organizations=[cast.a.pk], on=today, limit=3)
        rest = aging.lines(
            organizations=[cast.a.pk],
            on=today,
            after=(first[-1].insurance + first[-1].patient, first[-1].charge_id),
        )
        assert len({r.charge_id for r in [*first, *rest]}) == len(first) + len(rest) == 7


def test_another_organization_ages_nothing_of_ours(cast, center) -> None:
    with scope(cast.system_b):
        assert aging.aging(organizations=[cast.b.pk, cast.a.pk], on=timezone.localdate()) == []


@given(st.integers(-10, 1000))
def test_every_age_has_one_bucket(age) -> None:
    assert rules.bucket(age) in rules.BUCKETS


def test_there_are_at_least_twelve_figures_each_declared_whole() -> None:
    assert len(KPIS) >= 12
    assert len(BY_CODE) == len(KPIS)
    for k in KPIS:
        assert k.numerator, k.code
        assert k.denominator, k.code
        assert k.better in ("high", "low")
        assert k.target is not None
        assert k.version >= 1


def test_the_drill_down_is_exactly_what_was_counted(cast, center) -> None:
    today = timezone.localdate()
    with scope(cast.system):
        for code, kpi in BY_CODE.items():
            for day in (today, today - timedelta(days=30)):
                asked = {"organizations": [cast.a.pk], "day": day}
                value = engine.compute(kpi, **asked)
                above = engine.rows(kpi, **asked, part="numerator", limit=None)
                below = engine.rows(kpi, **asked, part="denominator", limit=None)
                assert sum((r.numerator for r in above), D(0)) == value.numerator, (code, day)
                assert sum((r.denominator for r in below), D(0)) == value.denominator, (code, day)
                cells = engine.cells(kpi, organization_id=cast.a.pk, day=day)
                assert sum((c.numerator for c in cells), D(0)) == value.numerator, (code, day)


def test_worked_figures_a_manager_can_check_by_hand(cast, center) -> None:
    today = timezone.localdate()
    with scope(cast.system):

        def value(code, **more):
            return engine.compute(BY_CODE[code], organizations=[cast.a.pk], day=today, **more)

        over = value(
            "over_90"
        )  # 60 of the 1260 open dollars (credits aside) are older than 90 days
        assert (over.numerator, over.denominator) == (D("60.00"), D("1260.00"))
        assert value("credits").value == D("10.00")
        assert value("unbilled").value == D("300.00")
        assert (
            value("clean_claim").value == 1
        )  # one claim was first sent in the last 30 days, and it was clean
        assert (
            value("denial_rate").value == D("1") / 3
        )  # three claims answered in the last 30 days, one denied
        assert value("denial_rate", sites=[cast.south.pk]).value == 1
        assert value("report_lag").value == 5  # every report was signed five hours after the exam
        assert value("charge_lag").value == 1
        assert value("late_charges").value == 0
        net = value(
            "net_collection"
        )  # days 31 to 150: (0 + 0 + 80 + 60 + 100 + 110) of (300 + 300 + 100 + 100 + 100 + 100)
        assert (net.numerator, net.denominator) == (D("350.00"), D("1000.00"))


def test_net_days_count_what_is_expected_not_what_was_billed(cast) -> None:
    bill(cast, days_ago=10, charged=900, expected=90)
    with scope(cast.system):
        value = engine.compute(
            BY_CODE["ar_days"], organizations=[cast.a.pk], day=timezone.localdate()
        )
        gross = engine.compute(BY_CODE["dro"], organizations=[cast.a.pk], day=timezone.localdate())
    assert value.value == 90  # $90 open at $1 a day
    assert gross.value == 90
    assert value.numerator == D("90.00")
    assert gross.numerator == D("900.00")


def test_nothing_to_divide_by_claims_nothing(cast) -> None:
    with scope(cast.system):
        value = engine.compute(
            BY_CODE["denial_rate"], organizations=[cast.a.pk], day=timezone.localdate()
        )
    assert value.value is None
    assert value.met is None
    assert engine.words(BY_CODE["denial_rate"], value.value) == "no data"


def test_a_kept_day_never_changes_and_today_does(cast, center) -> None:
    today = timezone.localdate()
    past = today - timedelta(days=30)
    with scope(cast.system):
        assert services.kpi_snapshot(organization_id=cast.a.pk, day=past, actor=cast.system) > 0
        services.aging_snapshot(organization_id=cast.a.pk, day=past, actor=cast.system)
        services.kpi_snapshot(organization_id=cast.a.pk, day=today, actor=cast.system)
        before = {
            k: (v.numerator, v.denominator)
            for k, v in engine.values(organizations=[cast.a.pk], day=past).items()
        }
        aged = sorted(AgingSnapshot.objects.filter(day=past).values_list("bucket", "insurance"))
    bill(cast, days_ago=32, charged=1000)  # a late entry of an earlier date
    with scope(cast.system):
        assert services.kpi_snapshot(organization_id=cast.a.pk, day=past, actor=cast.system) == 0
        assert services.aging_snapshot(organization_id=cast.a.pk, day=past, actor=cast.system) == 0
        assert {
            k: (v.numerator, v.denominator)
            for k, v in engine.values(organizations=[cast.a.pk], day=past).items()
        } == before
        assert (
            sorted(AgingSnapshot.objects.filter(day=past).values_list("bucket", "insurance"))
            == aged
        )
        old = engine.values(organizations=[cast.a.pk], day=today)["dro"].numerator
        services.kpi_snapshot(organization_id=cast.a.pk, day=today, actor=cast.system)
        assert engine.values(organizations=[cast.a.pk], day=today)["dro"].numerator == old + 1000
        with pytest.raises(Refused):
            services.kpi_snapshot(
                organization_id=cast.a.pk, day=today + timedelta(days=1), actor=cast.system
            )


def test_snapshots_and_rows_say_the_same_on_the_day(cast, center) -> None:
    today = timezone.localdate()
    with scope(cast.system):
        live = {k.code: engine.compute(k, organizations=[cast.a.pk], day=today) for k in KPIS}
        services.kpi_snapshot(organization_id=cast.a.pk, day=today, actor=cast.system)
        kept = engine.values(organizations=[cast.a.pk], day=today)
        assert KpiSnapshot.objects.exists()
    for code, value in live.items():
        assert kept[code].numerator == pytest.approx(
            value.numerator.quantize(D("0.01")), abs=D("0.05")
        ), code


def test_the_sentence_names_what_moved_and_what_is_furthest(cast, center) -> None:
    today = timezone.localdate()
    with scope(cast.system):
        now = engine.values(organizations=[cast.a.pk], day=today)
        before = engine.values(organizations=[cast.a.pk], day=today - timedelta(days=7))
    text = engine.sentence(now, before)
    assert "a week ago" in text
    assert "miss their target" in text
