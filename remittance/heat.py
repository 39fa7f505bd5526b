"""Open denials as a picture: payer by reason, how much and whether it grows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Count, Q, QuerySet, Sum
from django.urls import reverse

from remittance.models import Denial

PAYERS, REASONS, STEPS = 12, 10, 5
TREND = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one payer denied for one reason: open dollars and count, how strong (1 to 5, 0 for none),
    and new ones of the last 30 days against the 30 before.
    """

    dollars: Decimal = Decimal(0)
    count: int = 0
    strength: int = 0
    now: int = 0
    before: int = 0
    url: str = ""

    @property
    def trend(self) -> str:
        if self.now > self.before:
            return "more"
        return "fewer" if self.now < self.before else "as many"

    @property
    def arrow(self) -> str:
        return {"more": "▲", "fewer": "▼"}.get(self.trend, "")

    @property
    def words(self) -> str:
        return f"{self.now} in the last 30 days, {self.before} in the 30 before"


@dataclass(frozen=True, slots=True)
class Heat:
    """Reasons across, payers down, the most dollars first; `left` counts denials outside it."""

    reasons: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    left: int


def heat(rows: QuerySet[Denial], today: date) -> Heat:
    """Open denials of a reader by payer and reason. One query."""
    new = Q(denied_on__gt=today - TREND)
    old = Q(denied_on__gt=today - 2 * TREND) & ~new
    groups = list(
        rows.values("payer_id", "payer__name", "group", "reason")
        .annotate(
            n=Count("pk"),
            dollars=Sum("amount"),
            now=Count("pk", filter=new),
            before=Count("pk", filter=old),
        )
        .order_by()
    )
    payers: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    reasons: dict[str, Decimal] = defaultdict(Decimal)
    for g in groups:
        payers[(g["payer__name"], g["payer_id"])] += g["dollars"]
        reasons[f"{g['group']}-{g['reason']}"] += g["dollars"]
    down = sorted(payers, key=lambda p: (-payers[p], p))[:PAYERS]
    across = sorted(reasons, key=lambda r: (-reasons[r], r))[:REASONS]
    most = max((g["dollars"] for g in groups), default=Decimal(0))
    page = reverse("remittance:denials_all")
    cells = {
        (g["payer_id"], f"{g['group']}-{g['reason']}"): Cell(
            g["dollars"],
            g["n"],
            min(STEPS, 1 + int(g["dollars"] * STEPS / most)) if most else 0,
            g["now"],
            g["before"],
            f"{page}?view=open&payer={g['payer_id']}&reason={g['reason']}",
        )
        for g in groups
    }
    shown = [(name, [cells.get((pk, reason), Cell()) for reason in across]) for name, pk in down]
    inside = sum(c.count for _, line in shown for c in line)
    return Heat(across, shown, sum(g["n"] for g in groups) - inside)
