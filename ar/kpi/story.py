"""The one sentence above the figures: what moved most against its target in a week, and who moved
it; then how many figures miss their target.

The contribution of a payer or site to the change of a ratio is the difference of its own numerator
over the whole denominator, then and now: the parts add up to the change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Sum

from ar.kpi import engine
from ar.kpi.definitions import PERCENT, Kpi
from ar.kpi.engine import ZERO, Cell, Value, words
from ar.models import KpiSnapshot
from remittance.models import Denial

NOTICEABLE = Decimal("0.02")
WORSE_WEIGHS = 2
DENIALS = frozenset({"denial_rate", "denial_rate_net", "denial_dollars", "denial_dollars_net"})


@dataclass(frozen=True, slots=True)
class Moved:
    """The figure that moved most, then and now, with what it weighs."""

    kpi: Kpi
    now: Decimal
    before: Decimal
    weight: Decimal

    @property
    def rose(self) -> bool:
        return self.now > self.before


def moved_most(now: Mapping[str, Value], before: Mapping[str, Value]) -> Moved | None:
    """The largest relative change of a week; a change for the worse counts twice."""
    found: list[Moved] = []
    for code, value in now.items():
        past = before.get(code)
        if past is None or value.value is None or not past.value:
            continue
        change = (value.value - past.value) / abs(past.value)
        if abs(change) < NOTICEABLE:
            continue
        worse = (change > 0) == (value.kpi.better == "low")
        weight = abs(change) * (WORSE_WEIGHS if worse else 1)
        found.append(Moved(value.kpi, value.value, past.value, weight))
    return max(found, key=lambda m: (m.weight, m.kpi.code), default=None)


def contributions(
    kpi: Kpi, now: Sequence[Cell], before: Sequence[Cell], key: Callable[[Cell], int | None]
) -> dict[int | None, Decimal]:
    """What each payer or site added to the change of the figure; they add up to it."""

    def shares(cells: Sequence[Cell], sign: int) -> None:
        whole = sum((c.denominator for c in cells), ZERO)
        if not kpi.summed and not whole:
            return
        over = Decimal(1) if kpi.summed else whole
        for cell in cells:
            added = sign * cell.numerator / over
            found[key(cell)] = found.get(key(cell), ZERO) + added

    found: dict[int | None, Decimal] = {}
    shares(now, 1)
    shares(before, -1)
    return found


def _kept_cells(kpi: Kpi, organizations: Iterable[int], day: date) -> list[Cell]:
    rows = KpiSnapshot.objects.filter(
        organization_id__in=list(organizations), day=day, kpi=kpi.code
    ).values_list("organization_id", "site_id", "payer_id", "numerator", "denominator")
    return [Cell(*row) for row in rows]


def _chosen(cells: Iterable[Cell], sites: Sequence[int], payers: Sequence[int]) -> list[Cell]:
    return [
        c
        for c in cells
        if (not sites or c.site_id in sites) and (not payers or c.payer_id in payers)
    ]


def _cells(
    kpi: Kpi, organizations: Sequence[int], day: date, sites: Sequence[int], payers: Sequence[int]
) -> list[Cell]:
    kept = _kept_cells(kpi, organizations, day)
    if {c.organization_id for c in kept} == set(organizations):
        return _chosen(kept, sites, payers)
    found: list[Cell] = []
    for organization_id in organizations:
        found += engine.cells(
            kpi, organization_id=organization_id, day=day, sites=sites, payers=payers
        )
    return found


def _largest(parts: Mapping[int | None, Decimal], rose: bool) -> tuple[int, Decimal] | None:
    """The part that pulled most in the direction of the change; nobody's part is no cause."""
    pulled = [(p, v) for p, v in parts.items() if p is not None and (v > 0) == rose and v]
    return max(pulled, key=lambda p: (abs(p[1]), p[0]), default=None)


def _amount(kpi: Kpi, value: Decimal) -> str:
    if kpi.unit == PERCENT:
        return f"{abs(value) * 100:.1f} points"
    return words(kpi, abs(value))


def _reason(
    organizations: Sequence[int], day: date, sites: Sequence[int], payers: Sequence[int]
) -> str:
    """The cause of denial that grew most in dollars over the week before."""
    rows = Denial.objects.filter(
        organization_id__in=organizations, denied_on__gt=day - timedelta(days=14)
    ).filter(denied_on__lte=day)
    if sites:
        rows = rows.filter(claim__site_id__in=sites)
    if payers:
        rows = rows.filter(payer_id__in=payers)
    grown: dict[str, Decimal] = {}
    split = day - timedelta(days=7)
    for later, sign in ((True, 1), (False, -1)):
        part = rows.filter(denied_on__gt=split) if later else rows.filter(denied_on__lte=split)
        for row in part.values("category").annotate(dollars=Sum("amount")).order_by():
            key = row["category"]
            grown[key] = grown.get(key, ZERO) + sign * row["dollars"]
    name, dollars = max(grown.items(), key=lambda g: (g[1], g[0]), default=("", ZERO))
    return name.replace("_", " ") if dollars > 0 else ""


def what_changed(
    now: Mapping[str, Value],
    before: Mapping[str, Value],
    *,
    organizations: Iterable[int],
    day: date,
    sites: Sequence[int] = (),
    payers: Sequence[int] = (),
    payer_names: Mapping[int, str] | None = None,
    site_names: Mapping[int, str] | None = None,
) -> str:
    """What moved most in the week that ends on `day`, and the payer, site and reason behind it."""
    most = moved_most(now, before)
    if most is None:
        return ""
    organizations = sorted(organizations)
    kpi = most.kpi
    current = _cells(kpi, organizations, day, sites, payers)
    past = _cells(kpi, organizations, day - timedelta(days=7), sites, payers)
    causes = []
    for label, names, key in (
        ("", payer_names or {}, _payer_of),
        ("at ", site_names or {}, _site_of),
    ):
        found = _largest(contributions(kpi, current, past, key), most.rose)
        if found is not None and found[0] in names:
            causes.append(f"{label}{names[found[0]]} ({_amount(kpi, found[1])})")
    if kpi.code in DENIALS and most.rose:
        reason = _reason(organizations, day, sites, payers)
        causes += [f"for {reason}"] if reason else []
    verb = "rose" if most.rose else "fell"
    told = f"{kpi.label} {verb} to {words(kpi, most.now)} from {words(kpi, most.before)} a week ago"
    return told + (f", most of it {', '.join(causes)}." if causes else ".")


def _payer_of(cell: Cell) -> int | None:
    return cell.payer_id


def _site_of(cell: Cell) -> int | None:
    return cell.site_id


def how_many_miss(now: Mapping[str, Value]) -> str:
    """How many figures miss their target, and the one that misses by most. A target of zero has no
    measure of distance, so such a figure is named only when no other misses.
    """
    targets = [v for v in now.values() if v.met is not None]
    if not targets:
        return ""
    found = engine.missed(targets)
    if not found:
        return "Every figure with a target meets it."

    def distance(v: Value) -> tuple[bool, Decimal]:
        goal = v.kpi.target or ZERO
        return (bool(goal), abs((v.value or ZERO) - goal) / abs(goal or Decimal(1)))

    furthest = max(found, key=distance)
    return (
        f"{len(found)} of {len(targets)} figures miss their target, “{furthest.kpi.label}” by most."
    )


def sentence(now: Mapping[str, Value], before: Mapping[str, Value], changed: str = "") -> str:
    """Both together. `changed` is what `what_changed` found; without it only the change is told."""
    if not changed:
        most = moved_most(now, before)
        if most is not None:
            verb = "rose" if most.rose else "fell"
            changed = (
                f"{most.kpi.label} {verb} to {words(most.kpi, most.now)} from"
                f" {words(most.kpi, most.before)} a week ago."
            )
    return f"{changed} {how_many_miss(now)}".strip()
