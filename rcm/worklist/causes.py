"""The open items of a queue by cause: one fault of one payer stands once, with how many it stops,
for how many dollars, since when, and whether it grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import (
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Min,
    QuerySet,
    Sum,
    TextField,
    Value,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, Extract, Floor
from django.urls import reverse
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.worklist.filters import opened_to
from rcm.worklist.models import ItemStatus, WorkItem

TREND_WEEKS = 8
WEEK_SECONDS = 7 * 24 * 3600
MOST_GROUPS = 200
KEYS = ("cause", "reason", "field", "payer_id")
Key = tuple[str, str, str, int | None]


@dataclass(frozen=True, slots=True)
class CauseGroup:
    """The open items of one queue with the same cause, reason, field at fault and payer.

    `title` is their sentence where all say the same, `trend` the items that came in during each of
    the last eight weeks, the oldest first.
    """

    queue: str
    cause: str
    reason: str
    field: str
    payer_id: int | None
    payer_name: str
    title: str
    reason_words: str
    fix: str
    items: int
    dollars: Decimal
    since: date
    deadline: date | None
    trend: tuple[int, ...]

    @property
    def words(self) -> str:
        return self.title or named(self.reason or self.cause, self.reason_words)

    @property
    def query(self) -> str:
        """What names this group in a query string."""
        named = {
            "cause": self.cause,
            "reason": self.reason,
            "field": self.field,
            "payer": self.payer_id or "",
        }
        return urlencode({name: value for name, value in named.items() if value})

    @property
    def url(self) -> str:
        return f"{reverse('worklist:queue', args=[self.queue])}?view=all&{self.query}"


def named(code: str, words: str) -> str:
    """A reason in words: a payer's code stays as it is written, a name of ours is spelt out."""
    shown = code if any(c.isdigit() or c.isupper() for c in code) else code.replace("_", " ")
    return f"{shown}: {words}" if words else shown[:1].upper() + shown[1:]


def keyed(rows: QuerySet[WorkItem]) -> QuerySet[Any]:
    """Items with the parts of their group: `reason` and `field` as the queue's facts give them."""
    return rows.annotate(
        reason=Coalesce(
            KT("facts__carc"), KT("facts__reason"), Value(""), output_field=TextField()
        ),
        field=Coalesce(KT("facts__field"), Value(""), output_field=TextField()),
    )


def of_group(rows: QuerySet[WorkItem], asked: Mapping[str, str]) -> QuerySet[WorkItem]:
    """The items that a group's `query` names."""
    found = keyed(rows).filter(
        cause=asked.get("cause", ""),
        reason=asked.get("reason", ""),
        field=asked.get("field", ""),
    )
    payer = asked.get("payer", "")
    return found.filter(payer_id=int(payer) if payer.isdecimal() and len(payer) < 19 else None)


def groups_of(actor: Actor, queue: str) -> list[CauseGroup]:
    """The groups of a queue, the most dollars first: two statements however many items there
    are.
    """
    rows = keyed(opened_to(actor).filter(queue=queue)).order_by()
    found = (
        rows.filter(status=ItemStatus.OPEN)
        .values(*KEYS)
        .annotate(
            payer_words=Min("payer_name"),
            items=Count("pk"),
            total=Sum("dollars"),
            since=Min("opened_at"),
            soonest=Min("deadline_on"),
            sentence=Min("title"),
            sentences=Count("title", distinct=True),
            what_to_do=Min("fix"),
            said=Min(KT("facts__words")),
        )
        .order_by("-total", "-items", "cause")[:MOST_GROUPS]
    )
    trends = _trends(rows)
    return [_group(queue, row, trends) for row in found]


def _group(queue: str, row: Mapping[str, Any], trends: Mapping[Key, tuple[int, ...]]) -> CauseGroup:
    key: Key = (row["cause"], row["reason"], row["field"], row["payer_id"])
    return CauseGroup(
        queue=queue,
        cause=row["cause"],
        reason=row["reason"],
        field=row["field"],
        payer_id=row["payer_id"],
        payer_name=row["payer_words"],
        title=row["sentence"] if row["sentences"] == 1 else "",
        reason_words=row["said"] or "",
        fix=row["what_to_do"],
        items=row["items"],
        dollars=row["total"],
        since=office_day(row["since"]),
        deadline=row["soonest"],
        trend=trends.get(key, (0,) * TREND_WEEKS),
    )


def _trends(rows: QuerySet[WorkItem]) -> dict[Key, tuple[int, ...]]:
    """Items of each group by how many weeks ago they came, finished ones too."""
    now = timezone.now()
    age = Extract(ExpressionWrapper(Value(now) - F("opened_at"), DurationField()), "epoch")
    counted = (
        rows.filter(opened_at__gt=now - timedelta(weeks=TREND_WEEKS), opened_at__lte=now)
        .values(*KEYS, ago=Floor(age / WEEK_SECONDS))
        .annotate(n=Count("pk"))
    )
    found: dict[Key, list[int]] = {}
    for row in counted:
        key: Key = (row["cause"], row["reason"], row["field"], row["payer_id"])
        found.setdefault(key, [0] * TREND_WEEKS)[TREND_WEEKS - 1 - int(row["ago"])] += row["n"]
    return {key: tuple(counts) for key, counts in found.items()}


def trend_words(group: CauseGroup) -> str:
    """What the line of eight weeks shows, for who hears it."""
    return f"Came in by week, the last one last: {', '.join(map(str, group.trend))}"
