"""The step that let a denial through (rule `denial-origin`): the most telling one for its category
that was taken in time.

What registration, scheduling and ordering did counts until the day of the exam, what coding and
billing did until the claim was first sent: what was mended afterwards did not let it through.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db.models import Q

from rcm.audit.models import Event
from remittance import tables
from remittance.services.planning import Planned

BEFORE_EXAM = frozenset({"registration", "scheduling", "ordering", "authorization"})
DAY_ENDS = time(8, tzinfo=UTC)
"""When a service day is over in every time zone of the country: on the next morning in UTC."""
REACH = ("claim_id", "exam_id", "ordered_exam_id", "patient_id")
"""How near a step is to the denied line, the nearest first."""
OF_PATIENT = ("gate.overridden", "eligibility.", "coverage.", "patient.")
"""Steps that are known by their patient alone."""

Found = Sequence[tuple[Planned, Any, int | None]]
"""Planned claim, planned denial, charge."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The event, the stage whose it was, and words with day and person."""

    event_id: int
    stage: str
    words: str


@dataclass(frozen=True, slots=True)
class _Taken:
    at: datetime
    id: int
    who: str
    data: Mapping[str, Any]


Steps = Mapping[tuple[str, str, int], Sequence[_Taken]]
"""By verb, kind of key and key: what was taken, the oldest first."""


def origins(
    organization_id: int, found: Found, charges: Mapping[int, Mapping[str, Any]], at: datetime
) -> dict[tuple[int, int | None, int | None], Origin]:
    """By payment, service and line. One query."""
    rows = [(p, d, charges.get(charge_id or 0, {})) for p, d, charge_id in found]
    steps = _taken(organization_id, rows, at)
    out: dict[tuple[int, int | None, int | None], Origin] = {}
    for p, d, charge in rows:
        keys = _keys(p, charge)
        exam_over = _exam_over(charge, at)
        sent = p.claim.get("first_submitted_at") or at
        for up in tables.upstream(d.category):
            until = exam_over if up.stage in BEFORE_EXAM else sent
            hit = _last(steps, up, keys, until)
            if hit is not None:
                words = f"{up.words[:1].upper()}{up.words[1:]}, {hit.at:%b %-d %Y}, {hit.who}"
                out[(p.row.pk, d.service_id, d.line_id)] = Origin(hit.id, up.stage, words)
                break
    return out


def _keys(p: Planned, charge: Mapping[str, Any]) -> list[tuple[str, int]]:
    found = (
        p.fact.claim_id,
        charge.get("exam_id"),
        charge.get("exam__ordered_exam_id"),
        p.fact.patient_id,
    )
    return [(name, key) for name, key in zip(REACH, found, strict=True) if key]


def _exam_over(charge: Mapping[str, Any], at: datetime) -> datetime:
    day = charge.get("service_date")
    return at if day is None else datetime.combine(day + timedelta(days=1), DAY_ENDS)


def _taken(
    organization_id: int, rows: Sequence[tuple[Planned, Any, Mapping[str, Any]]], at: datetime
) -> Steps:
    wanted: dict[str, set[int]] = defaultdict(set)
    for p, _, charge in rows:
        for name, key in _keys(p, charge):
            wanted[name].add(key)
    asked = {up.verb for _, d, _ in rows for up in tables.upstream(d.category)}
    of_patient = {verb for verb in asked if verb.startswith(OF_PATIENT)}
    near = Q()
    for name in REACH[:-1]:
        if wanted[name]:
            near |= Q(**{f"{name}__in": wanted[name]}, verb__in=asked - of_patient)
    if of_patient:
        near |= Q(patient_id__in=wanted["patient_id"], verb__in=of_patient)
    found: dict[tuple[str, str, int], list[_Taken]] = defaultdict(list)
    events = Event.objects.filter(near, organization_id=organization_id, at__lte=at)
    for pk, verb, moment, name, kind, data, *keys in events.order_by("at", "id").values_list(
        "id", "verb", "at", "actor_name", "actor_kind", "data", *REACH
    ):
        who = name.partition(".")[0].capitalize() if kind == "system" else name
        for reach, key in zip(REACH, keys, strict=True):
            if key is not None:
                found[(verb, reach, key)].append(_Taken(moment, pk, who, data or {}))
    return found


def _last(
    steps: Steps, up: tables.Upstream, keys: Sequence[tuple[str, int]], until: datetime
) -> _Taken | None:
    """The last step of this kind in time, at the nearest key that has one."""
    for name, key in keys:
        if name == "patient_id" and not up.verb.startswith(OF_PATIENT):
            continue
        rows = steps.get((up.verb, name, key), ())
        for row in reversed(rows[: bisect_right(rows, until, key=lambda r: r.at)]):
            if up.fits(row.data):
                return row
    return None
