from __future__ import annotations

import xml.etree.ElementTree as ET
from decimal import Decimal

import pytest

from rcm.web import charts
from rcm.web import format as fmt

EVIL = '<script>alert(1)</script>"&'
ALL = [
    charts.line(
        "Rate",
        ["W1", EVIL, "W3"],
        [Decimal("0.9"), None, Decimal("0.95")],
        target=Decimal("0.98"),
        words=fmt.percent,
        urls=["/a/", "/b/", "/c/"],
    ),
    charts.bars(EVIL, ["CO-197", EVIL], [41, 9], urls=["/x/?a=1&b=2"]),
    charts.stacked(
        "Aging", ["Aetna", EVIL], [("0-30", [10, 20]), ("31-60", [None, 5])], urls=["/a/", "/b/"]
    ),
    charts.waterfall("Hours", [("Order", 26), ("Refund", -6), (EVIL, 0)]),
    charts.state_map("States", [charts.StateTile("AL", "9%", "bad", "/al/", EVIL)]),
]


@pytest.mark.parametrize("chart", ALL, ids=lambda c: c.kind)
def test_a_chart_is_well_formed_and_passes_the_content_policy(chart: charts.Chart) -> None:
    root = ET.fromstring(chart.svg)
    names = {node.tag.rpartition("}")[2] for node in root.iter()}
    assert not names & {"script", "style", "foreignObject"}
    assert not any(
        key in node.attrib for node in root.iter() for key in ("style", "onclick", "onload")
    )
    assert not any(
        value.lower().startswith("javascript")
        for node in root.iter()
        for value in node.attrib.values()
    )


@pytest.mark.parametrize("chart", ALL, ids=lambda c: c.kind)
def test_every_figure_of_a_chart_stands_in_its_table(chart: charts.Chart) -> None:
    assert chart.rows
    assert all(len(row.values) == len(chart.header) - 1 for row in chart.rows)


def test_bars_lead_to_the_rows_they_count() -> None:
    root = ET.fromstring(ALL[1].svg)
    links = [node for node in root.iter() if node.tag.rpartition("}")[2] == "a"]
    assert [node.get("href") for node in links] == ["/x/?a=1&b=2"]
    assert links[0].get("aria-label") == "CO-197: 41"


def test_the_table_of_a_stacked_chart_has_totals() -> None:
    assert ALL[2].rows[1].values == ("$20.00", "$5.00", "$25.00")


def test_a_waterfall_ends_at_its_sum() -> None:
    assert ALL[3].rows[-1].values == ("20",)


def test_every_state_is_on_the_map_once() -> None:
    assert len(charts.TILES) == 52
    assert len(set(charts.TILES.values())) == 52


def test_a_sparkline_needs_two_points() -> None:
    assert charts.sparkline([1]) == ""
    assert charts.sparkline([]) == ""
    assert "polyline" in charts.sparkline([1, 1, 1], target=1)
