"""Charts drawn on the server by pygal, coloured by our style sheet, each with its figures in a
table beside it.

A chart is `svg` (safe to print under a strict CSP: no style, script or inline attribute), plus
`header` and `rows` for templates/components/chart.html. Only the sparkline and the map of states
are drawn here: pygal has neither a line without axes that scales to its box, nor a tile map.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pygal
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from rcm.web import format as fmt

XLINK = "{http://www.w3.org/1999/xlink}href"
Words = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class ChartRow:
    label: str
    values: tuple[str, ...]
    url: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """What templates/components/chart.html draws."""

    kind: str
    title: str
    svg: SafeString
    header: tuple[str, ...]
    rows: tuple[ChartRow, ...]
    note: str = ""


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _svg(chart: Any, title: str, classes: str) -> SafeString:
    """Render a pygal chart and take out what the content policy would refuse."""
    root = chart.render_tree()
    for parent in list(root.iter()):
        _label_marks(parent)
        for child in list(parent):
            name = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else ""
            hidden = "tooltip-overlay" in (child.get("class") or "").split()
            if (
                not name
                or hidden
                or name in ("script", "style", "defs", "desc")
                or (name == "title" and not child.get("class"))
            ):
                parent.remove(child)
    for node in root.iter():
        for attribute in ("style", "id", "onclick"):
            node.attrib.pop(attribute, None)
        if node.tag.rpartition("}")[2] == "a":
            node.attrib.pop("target", None)
            node.set("href", node.attrib.pop(XLINK, ""))
    for attribute in ("width", "height"):
        root.attrib.pop(attribute, None)
    root.set("class", f"house-chart {classes}")
    root.set("role", "group")
    root.set("aria-label", title)
    text = ET.tostring(root, encoding="unicode").replace(
        f'xmlns:xlink="{XLINK[1:].split("}")[0]}"', ""
    )
    return mark_safe(text)  # noqa: S308 - pygal escapes labels; scripts and styles are gone


def _said(words: Words) -> Words:
    """The words for a value that pygal made a float: 41.0 is said as 41."""
    return lambda value: words(
        int(value) if isinstance(value, float) and value.is_integer() else value
    )


def _label_marks(node: ET.Element) -> None:
    """Give a bar or dot the words pygal keeps for its script: the native tooltip and the name of
    its link.
    """
    facts = {
        c.get("class"): c.text or ""
        for c in node
        if isinstance(c.tag, str) and c.tag.rpartition("}")[2] == "desc"
    }
    if not facts.get("value"):
        return
    words = ": ".join(part for part in (facts.get("x_label"), facts["value"]) if part)
    if node.tag.rpartition("}")[2] == "a":
        node.set("aria-label", words)
    tip = ET.Element("title", {"class": "tip"})
    tip.text = words
    node.insert(0, tip)


def _config(height: int, **options: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "width": 760,
        "height": height,
        "margin": 4,
        "margin_top": 10,
        "spacing": 8,
        "show_legend": False,
        "show_y_guides": True,
        "show_x_guides": False,
        "print_values": False,
        "max_scale": 5,
        "min_scale": 3,
        "truncate_label": -1,
        "truncate_legend": -1,
        "legend_at_bottom": True,
        "legend_box_size": 10,
        "pretty_print": False,
        "disable_xml_declaration": True,
        "no_prefix": True,
        "js": [],
        "explicit_size": True,
    }
    return base | options


def _points(values: Sequence[Any], urls: Sequence[str]) -> list[Any]:
    return [
        (
            {"value": _number(v), "xlink": {"href": urls[i]}}
            if i < len(urls) and urls[i] and v is not None
            else _number(v)
        )
        for i, v in enumerate(values)
    ]


def _table(
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[Any]]],
    words: Words,
    urls: Sequence[str],
) -> tuple[ChartRow, ...]:
    return tuple(
        ChartRow(
            label,
            tuple(words(values[i]) or "none" for _, values in series),
            urls[i] if i < len(urls) else "",
        )
        for i, label in enumerate(labels)
    )


def line(
    title: str,
    labels: Sequence[str],
    values: Sequence[Any],
    *,
    target: Any = None,
    words: Words = fmt.number,
    urls: Sequence[str] = (),
    name: str = "Value",
    of: str = "Week",
    note: str = "",
    height: int = 240,
) -> Chart:
    """A line over time (13 weeks), with the target as a second, dashed line."""
    every = max(1, len(labels) // 7)
    chart = pygal.Line(
        **_config(
            height,
            dots_size=2.5,
            value_formatter=_said(words),
            x_labels_major_every=every,
            show_minor_x_labels=False,
        )
    )
    chart.x_labels = list(labels)
    chart.add(name, _points(values, urls))
    series: list[tuple[str, Sequence[Any]]] = [(name, values)]
    if target is not None:
        chart.add("Target", [_number(target)] * len(labels))
        series.append(("Target", [target] * len(labels)))
    svg = _svg(chart, title, "line is-target" if target is not None else "line")
    return Chart(
        "line",
        title,
        svg,
        (of, *(n for n, _ in series)),
        _table(labels, series, words, urls),
        note,
    )


def bars(
    title: str,
    labels: Sequence[str],
    values: Sequence[Any],
    *,
    words: Words = fmt.number,
    urls: Sequence[str] = (),
    name: str = "Value",
    of: str = "Group",
    horizontal: bool = False,
    note: str = "",
    height: int = 240,
) -> Chart:
    """One bar each, linked to the rows counted."""
    kind = pygal.HorizontalBar if horizontal else pygal.Bar
    chart = kind(
        **_config(
            height,
            value_formatter=_said(words),
            print_values=not horizontal and len(labels) <= 12,
            print_values_position="top",
        )
    )
    chart.x_labels = list(labels)
    chart.add(name, _points(values, urls))
    svg = _svg(chart, title, "bars horizontal" if horizontal else "bars")
    return Chart(
        "bars", title, svg, (of, name), _table(labels, [(name, values)], words, urls), note
    )


def stacked(
    title: str,
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[Any]]],
    *,
    words: Words = fmt.money,
    urls: Sequence[str] = (),
    of: str = "Payer",
    note: str = "",
    height: int = 0,
) -> Chart:
    """Aging: one bar per payer, one colour per bucket from young to old; the table has every figure
    and the total.

    Without a height it has one line for each bar.
    """
    chart = pygal.HorizontalStackedBar(
        **_config(height or 80 + 30 * len(labels), show_legend=True, value_formatter=_said(words))
    )
    chart.x_labels = list(reversed(labels))
    for name, values in series:
        chart.add(name, list(reversed(_points(values, urls))))
    totals = [
        sum((Decimal(str(values[i] or 0)) for _, values in series), Decimal(0))
        for i in range(len(labels))
    ]
    svg = _svg(chart, title, "stacked horizontal")
    header = (of, *(n for n, _ in series), "Total")
    return Chart(
        "stacked",
        title,
        svg,
        header,
        _table(labels, [*series, ("Total", totals)], words, urls),
        note,
    )


def waterfall(
    title: str,
    steps: Sequence[tuple[str, Any]],
    *,
    words: Words = fmt.number,
    urls: Sequence[str] = (),
    total: str = "Total",
    of: str = "Step",
    note: str = "",
    height: int = 280,
) -> Chart:
    """How a total comes together: each step starts where the one before ended; the last bar is the
    sum.
    """
    base, plus, minus = [], [], []
    running = 0.0
    for _, value in steps:
        change = _number(value) or 0.0
        base.append(min(running, running + change))
        plus.append(change if change >= 0 else None)
        minus.append(-change if change < 0 else None)
        running += change
    chart = pygal.StackedBar(**_config(height, value_formatter=_said(words)))
    chart.x_labels = [*(label for label, _ in steps), total]
    chart.add("", [*base, None])
    chart.add(total, [*(None for _ in steps), running])
    chart.add("Adds", [*_points(plus, urls), None])
    chart.add("Takes", [*_points(minus, urls), None])
    labels = [label for label, _ in steps] + [total]
    figures = [value for _, value in steps] + [
        sum((Decimal(str(v or 0)) for _, v in steps), Decimal(0))
    ]
    return Chart(
        "waterfall",
        title,
        _svg(chart, title, "waterfall"),
        (of, "Value"),
        _table(labels, [("Value", figures)], words, urls),
        note,
    )


def sparkline(values: Sequence[Any], *, target: Any = None, label: str = "") -> SafeString:
    """A line of 13 weeks for a tile; the words beside it carry the meaning, so it is hidden from
    screen readers unless labelled.
    """
    known = [float(v) for v in values if v is not None]
    if len(known) < 2:
        return SafeString("")
    edge = [*known, float(target)] if target is not None else known
    low, high = min(edge), max(edge)
    span = (high - low) or 1.0

    def y(value: float) -> str:
        return f"{30 - (value - low) / span * 26:.1f}"

    step = 200 / (len(values) - 1)
    points = " ".join(
        f"{i * step:.1f},{y(float(v))}" for i, v in enumerate(values) if v is not None
    )
    goal = (
        format_html(
            '<line class="spark-target" x1="0" x2="200" y1="{0}" y2="{0}"/>', y(float(target))
        )
        if target is not None
        else ""
    )
    said = (
        format_html(' role="img" aria-label="{}"', label)
        if label
        else mark_safe(' aria-hidden="true"')
    )
    return format_html(
        '<svg class="spark" viewBox="0 0 200 34" preserveAspectRatio="none"{}>{}<polyline'
        ' points="{}"/></svg>',
        said,
        goal,
        points,
    )


TILES: Mapping[str, tuple[int, int]] = {
    state: (column, row)
    for row, states in enumerate(
        (
            "AK . . . . . . . . . ME",
            ". . . . . . . . . VT NH",
            "WA ID MT ND MN IL WI MI NY RI MA",
            "OR NV WY SD IA IN OH PA NJ CT .",
            "CA UT CO NE MO KY WV VA MD DE .",
            ". AZ NM KS AR TN NC SC DC . .",
            ". . . OK LA MS AL GA . . .",
            "HI . . TX . . . . FL . PR",
        )
    )
    for column, state in enumerate(states.split())
    if state != "."
}
TILE, GAP = 44, 4
HATCHED = "hatched"


def _hatch(x: int, y: int) -> SafeString:
    """Strokes over a tile of which nothing is asserted: readable without colour."""
    steps = range(8, 2 * TILE, 10)
    path = " ".join(
        f"M{x + min(s, TILE)} {y + max(0, s - TILE)}L{x + max(0, s - TILE)} {y + min(s, TILE)}"
        for s in steps
    )
    return format_html('<path class="hatch" d="{}"/>', path)


@dataclass(frozen=True, slots=True)
class StateTile:
    """One state of the map: a short figure inside, a tone, and where it leads."""

    state: str
    figure: str = ""
    tone: str = ""
    url: str = ""
    words: str = ""


def state_map(
    title: str, tiles: Sequence[StateTile], *, figure: str = "Value", note: str = ""
) -> Chart:
    """The 50 states, DC and Puerto Rico as equal tiles, so that small states can be read and
    pressed.
    """
    known = {t.state: t for t in tiles}
    drawn = []
    for state, (column, row) in TILES.items():
        tile = known.get(state, StateTile(state))
        x, y = column * (TILE + GAP), row * (TILE + GAP)
        inside = format_html(
            '<rect x="{}" y="{}" width="{}" height="{}" rx="5"/><text x="{}" y="{}">{}</text><text'
            ' class="n" x="{}" y="{}">{}</text>',
            x,
            y,
            TILE,
            TILE,
            x + TILE / 2,
            y + 20,
            state,
            x + TILE / 2,
            y + 34,
            tile.figure,
        )
        hatch = _hatch(x, y) if tile.tone == HATCHED else ""
        group = format_html('<g class="{}">{}{}</g>', tile.tone, inside, hatch)
        words = f"{state}: {tile.words or tile.figure}"
        drawn.append(
            (
                (
                    format_html('<a href="{}" aria-label="{}">{}</a>', tile.url, words, group)
                    if tile.url
                    else group
                ),
            )
        )
    svg = format_html(
        '<svg class="tiles" viewBox="0 0 {} {}" role="group" aria-label="{}">{}</svg>',
        11 * (TILE + GAP),
        8 * (TILE + GAP),
        title,
        format_html_join("", "{}", drawn),
    )
    rows = tuple(
        ChartRow(t.state, (t.words or t.figure or "none",), t.url)
        for t in sorted(tiles, key=lambda t: t.state)
    )
    return Chart("map", title, svg, ("State", figure), rows, note)
