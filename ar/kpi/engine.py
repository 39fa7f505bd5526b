"""Computes key figures: cells by site and payer in one statement each, the rows behind them, the
trend from nightly snapshots.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Max, Sum

from ar.kpi.definitions import DAYS, HOURS, KPIS, MINUTES, MONEY, PERCENT, Kpi
from ar.kpi.targets import targeted
from ar.models import KpiSnapshot
from rcm.web import format as fmt

WEEKS, MONTHS = 13, 24
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Cell:
    """Numerator and denominator of one organization, site and payer."""

    organization_id: int
    site_id: int | None
    payer_id: int | None
    numerator: Decimal
    denominator: Decimal


@dataclass(frozen=True, slots=True)
class Value:
    """One figure. `value` is None when there is nothing to divide by: then nothing is claimed."""

    kpi: Kpi
    numerator: Decimal
    denominator: Decimal

    @property
    def value(self) -> Decimal | None:
        if self.kpi.summed:
            return self.numerator
        return self.numerator / self.denominator if self.denominator else None

    @property
    def met(self) -> bool | None:
        if self.value is None or self.kpi.target is None:
            return None
        return (
            self.value >= self.kpi.target
            if self.kpi.better == "high"
            else self.value <= self.kpi.target
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One row that was counted: what it is, its site and payer, what it adds."""

    kind: str
    id: int
    site_id: int | None
    payer_id: int | None
    numerator: Decimal
    denominator: Decimal


def words(kpi: Kpi, value: Decimal | None) -> str:
    """The figure as people say it."""
    if value is None:
        return "no data"
    if kpi.unit == PERCENT:
        return fmt.percent(value)
    if kpi.unit == MONEY:
        return fmt.money(value, cents=False)
    if kpi.unit in (DAYS, HOURS):
        return f"{value.quantize(Decimal('0.1'))} {'d' if kpi.unit == DAYS else 'h'}"
    if kpi.unit == MINUTES:
        return f"{value.quantize(Decimal('0.1'))} min"
    return fmt.number(value.quantize(Decimal(1)))


def _params(
    organizations: Iterable[int], kpi: Kpi, day: date, sites: Sequence[int], payers: Sequence[int]
) -> dict[str, Any]:
    return {
        "orgs": sorted(organizations),
        "zone": settings.TIME_ZONE,
        "day": day,
        "first": day - timedelta(days=max(kpi.window, 1) - 1),
        "sites": list(sites),
        "payers": list(payers),
    }


def _where(sites: Sequence[int], payers: Sequence[int]) -> str:
    return ("" if not sites else " AND site_id = ANY(%(sites)s)") + (
        "" if not payers else " AND payer_id = ANY(%(payers)s)"
    )


def compute(
    kpi: Kpi,
    *,
    organizations: Iterable[int],
    day: date,
    sites: Sequence[int] = (),
    payers: Sequence[int] = (),
) -> Value:
    """The figure at a day, straight from the rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT coalesce(sum(num), 0), coalesce(sum(den), 0) FROM ({kpi.rows}) AS counted"  # noqa: S608 - fixed words
            f" WHERE true{_where(sites, payers)}",
            _params(organizations, kpi, day, sites, payers),
        )
        numerator, denominator = cursor.fetchone()
    return Value(kpi, Decimal(numerator), Decimal(denominator))


def compute_all(
    kpis: Iterable[Kpi],
    *,
    organizations: Iterable[int],
    day: date,
    sites: Sequence[int] = (),
    payers: Sequence[int] = (),
) -> dict[str, Value]:
    """Many figures at a day: one statement for all that look at the same window."""
    organizations = list(organizations)
    windows: dict[int, list[Kpi]] = {}
    for kpi in kpis:
        windows.setdefault(kpi.window, []).append(kpi)
    where = _where(sites, payers)
    found: dict[str, Value] = {}
    for group in windows.values():
        parts = " UNION ALL ".join(
            f"SELECT {n}, coalesce(sum(num), 0), coalesce(sum(den), 0)"  # noqa: S608 - fixed words
            f" FROM ({kpi.rows}) AS counted WHERE true{where}"
            for n, kpi in enumerate(group)
        )
        with connection.cursor() as cursor:
            cursor.execute(parts, _params(organizations, group[0], day, sites, payers))
            for n, numerator, denominator in cursor.fetchall():
                found[group[n].code] = Value(group[n], Decimal(numerator), Decimal(denominator))
    return found


def cells(
    kpi: Kpi,
    *,
    organization_id: int,
    day: date,
    sites: Sequence[int] = (),
    payers: Sequence[int] = (),
) -> list[Cell]:
    """The figure by site and payer."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT site_id, payer_id, sum(num), sum(den) FROM ({kpi.rows}) AS counted"  # noqa: S608 - fixed words
            f" WHERE true{_where(sites, payers)} GROUP BY 1, 2",
            _params([organization_id], kpi, day, sites, payers),
        )
        return [
            Cell(organization_id, site, payer, Decimal(num), Decimal(den))
            for site, payer, num, den in cursor.fetchall()
        ]


def rows(
    kpi: Kpi,
    *,
    organizations: Iterable[int],
    day: date,
    sites: Sequence[int] = (),
    payers: Sequence[int] = (),
    part: str = "numerator",
    after: tuple[Decimal, int] | None = None,
    limit: int | None = 100,
) -> list[Row]:
    """Exactly the rows counted, largest first. `part`: "numerator", "denominator", or "missed"
    (counted below, not above).
    """
    condition = {
        "numerator": "num <> 0",
        "denominator": "den <> 0",
        "missed": "den <> 0 AND num = 0",
    }.get(part, "num <> 0")
    params = _params(organizations, kpi, day, sites, payers) | {
        "limit": limit,
        "after_num": after[0] if after else None,
        "after_id": after[1] if after else None,
    }
    key = "den" if part != "numerator" else "num"
    more = f" AND (-{key}, id) > (-%(after_num)s::numeric, %(after_id)s)" if after else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT kind, id, site_id, payer_id, num, den FROM ({kpi.rows}) AS counted WHERE {condition}{_where(sites, payers)}{more} "  # noqa: S608 - declared text
            f"ORDER BY -{key}, id" + (" LIMIT %(limit)s" if limit else ""),
            params,
        )
        return [Row(k, i, s, p, Decimal(n), Decimal(d)) for k, i, s, p, n, d in cursor.fetchall()]


def snapshot_day(organizations: Iterable[int], day: date) -> date | None:
    """The latest day up to `day` that was kept."""
    found = KpiSnapshot.objects.filter(
        organization_id__in=list(organizations), day__lte=day
    ).aggregate(d=Max("day"))["d"]
    return found if isinstance(found, date) else None


def kept(
    *,
    organizations: Iterable[int],
    days: Iterable[date],
    sites: Sequence[int] = (),
    payers: Sequence[int] = (),
) -> dict[tuple[str, date], Value]:
    """Figures as they stood on the given days. One query."""
    organizations, days = list(organizations), list(days)
    found = KpiSnapshot.objects.filter(organization_id__in=organizations, day__in=days)
    if sites:
        found = found.filter(site_id__in=list(sites))
    if payers:
        found = found.filter(payer_id__in=list(payers))
    known = targeted(organizations, max(days, default=date.max))
    return {
        (r["kpi"], r["day"]): Value(known[r["kpi"]], r["n"], r["d"])
        for r in (
            found.values("kpi", "day").annotate(n=Sum("numerator"), d=Sum("denominator")).order_by()
        )
        if r["kpi"] in known
    }


def weeks_before(day: date, count: int = WEEKS) -> list[date]:
    """The same weekday of the last weeks, oldest first, `day` last."""
    return [day - timedelta(days=7 * n) for n in reversed(range(count))]


def trend(
    *,
    organizations: Iterable[int],
    day: date,
    sites: Sequence[int] = (),
    payers: Sequence[int] = (),
) -> dict[str, list[Decimal | None]]:
    """Thirteen weeks of every KPI from the snapshots; a week that was not kept is a gap. The
    nearest kept day of the week before is taken.
    """
    organizations = list(organizations)
    points = weeks_before(day)
    stored = sorted(
        set(
            KpiSnapshot.objects.filter(
                organization_id__in=organizations,
                day__gt=points[0] - timedelta(days=7),
                day__lte=day,
            ).values_list("day", flat=True)
        )
    )
    near: dict[date, date] = {}
    for point in points:
        candidates = [d for d in stored if point - timedelta(days=7) < d <= point]
        if candidates:
            near[point] = candidates[-1]
    values = kept(organizations=organizations, days=set(near.values()), sites=sites, payers=payers)

    def at(code: str, point: date) -> Decimal | None:
        found = values.get((code, near[point])) if point in near else None
        return found.value if found else None

    return {k.code: [at(k.code, p) for p in points] for k in KPIS}


def values(
    *,
    organizations: Iterable[int],
    day: date,
    sites: Sequence[int] = (),
    payers: Sequence[int] = (),
    live: bool = True,
) -> dict[str, Value]:
    """Every figure at a day: from that day's snapshot when it was kept for all organizations, else
    straight from the rows.
    """
    organizations = sorted(organizations)
    have = set(
        KpiSnapshot.objects.filter(organization_id__in=organizations, day=day)
        .values_list("organization_id", flat=True)
        .distinct()
    )
    if have and have == set(organizations):
        found = kept(organizations=organizations, days=[day], sites=sites, payers=payers)
        return {
            code: found.get((code, day), Value(k, ZERO, ZERO))
            for code, k in targeted(organizations, day).items()
        }
    if not live:
        return {}
    known = targeted(organizations, day)
    computed = compute_all(
        known.values(), organizations=organizations, day=day, sites=sites, payers=payers
    )
    return {code: computed[code] for code in known}


def month_ends(day: date, count: int = MONTHS) -> list[date]:
    """The last day of each of the months before, oldest first, `day` last."""
    ends = [day]
    while len(ends) < count:
        ends.append(ends[-1].replace(day=1) - timedelta(days=1))
    return ends[::-1]


def monthly(
    kpi: Kpi,
    *,
    organizations: Iterable[int],
    day: date,
    sites: Sequence[int] = (),
    payers: Sequence[int] = (),
) -> list[Decimal | None]:
    """Twenty-four months of one KPI: the last kept day of each month, a gap where none was kept."""
    organizations = list(organizations)
    points = month_ends(day)
    stored = KpiSnapshot.objects.filter(
        organization_id__in=organizations,
        kpi=kpi.code,
        day__gt=points[0].replace(day=1) - timedelta(days=1),
        day__lte=day,
    )
    last = {(d.year, d.month): d for d in sorted(set(stored.values_list("day", flat=True)))}
    found = kept(organizations=organizations, days=last.values(), sites=sites, payers=payers)

    def at(point: date) -> Decimal | None:
        near = last.get((point.year, point.month))
        value = found.get((kpi.code, near)) if near else None
        return value.value if value else None

    return [at(p) for p in points]


def missed(found: Iterable[Value]) -> list[Value]:
    """Figures that miss their target: what the page, its groups and its letters all count."""
    return [v for v in found if v.met is False]


def sentence(now: dict[str, Value], before: dict[str, Value]) -> str:
    """What moved most in a week and how many figures miss their target (ar.kpi.story tells it with
    its causes).
    """
    from ar.kpi import story

    return story.sentence(now, before)
