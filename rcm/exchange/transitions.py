"""The one way to change a state.

A table of moves says what may follow what; `advance` takes any number of rows of one machine to a
state: who may, compare-and-set, the reason, one row of history for each part of the thread, and the
domain event, in four statements however many rows there are. Called inside the verb's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Model

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.outbox import publish_many

Keys = Mapping[str, int | None]
Words = str | Callable[[Any], str]


def _no_keys(rows: Sequence[Any]) -> dict[int, list[Keys]]:
    return {row.pk: [{}] for row in rows}


@dataclass(frozen=True, slots=True)
class Machine:
    """The states of one table.

    `noun` stands in sentences ("an authorization") and `verb` before the dot of an event
    ("authorization" gives authorization.approved). `keys` gives, for many rows at once, the thread
    that each step of history belongs to; several make several steps. `topic` is the domain event,
    `payload` what it carries. `stays` allows a move to the state that a row is in.
    """

    noun: str
    verb: str
    moves: Mapping[str, Collection[str]]
    keys: Callable[[Sequence[Any]], Mapping[int, Sequence[Keys]]] = _no_keys
    topic: str = ""
    payload: Callable[[Any], Mapping[str, Any]] | None = None
    stays: bool = False

    def allows(self, old: str, new: str) -> bool:
        return (self.stays and old == new) or new in self.moves[old]


def advance(
    machine: Machine,
    rows: Iterable[Any],
    to: str,
    *,
    sentence: Words,
    actor: Actor,
    at: datetime,
    reason: str = "",
    permission: str = "",
    changes: Mapping[str, Any] | None = None,
) -> int:
    """Move rows to `to` and set `changes` with it; the rows passed in are fresh afterwards. Returns
    how many were moved.

    Refused (409) when the table of moves does not allow it for one of them; Conflict when somebody
    else has moved one meanwhile. Then none is moved: the caller's transaction ends.
    """
    found = list({row.pk: row for row in rows}.values())
    if not found:
        return 0
    if permission:
        actor.require(permission, found)
    old = {row.pk: row.status for row in found}
    _check(machine, found, to)
    _set(machine, found, to, changes or {})
    _tell(machine, found, old, sentence=sentence, reason=reason, actor=actor, at=at)
    return len(found)


def _check(machine: Machine, rows: Sequence[Any], to: str) -> None:
    for row in rows:
        if not machine.allows(row.status, to):
            label = dict(row._meta.get_field("status").flatchoices).get(to, to)
            raise Refused(
                f"{machine.noun.capitalize()} that is {row.get_status_display().lower()} cannot"
                f" become {str(label).lower()}.",
                code="not_allowed",
                status=409,
            )


def _set(machine: Machine, rows: Sequence[Any], to: str, changes: Mapping[str, Any]) -> None:
    """One UPDATE for each state that rows come from, and one SELECT of what they are now."""
    model: type[Model] = type(rows[0])
    table = model._default_manager
    values = {"status": to, **changes}
    if _versioned(model):
        values["version"] = F("version") + 1
    came_from: dict[str, list[int]] = {}
    for row in rows:
        came_from.setdefault(row.status, []).append(row.pk)
    moved = sum(
        table.filter(pk__in=ids, status=status).update(**values)
        for status, ids in came_from.items()
    )
    if moved != len(rows):
        raise Conflict(
            f"Somebody else has changed {machine.noun} in the meantime. Look at it as it is now,"
            " then try again."
        )
    fresh = table.in_bulk([row.pk for row in rows])
    for row in rows:
        for field in model._meta.concrete_fields:
            setattr(row, field.attname, getattr(fresh[row.pk], field.attname))


def _versioned(model: type[Model]) -> bool:
    try:
        model._meta.get_field("version")
    except FieldDoesNotExist:
        return False
    return True


def _tell(
    machine: Machine,
    rows: Sequence[Any],
    old: Mapping[int, str],
    *,
    sentence: Words,
    reason: str,
    actor: Actor,
    at: datetime,
) -> None:
    """The history of every row, and the domain events of each organization."""
    keys = machine.keys(rows)
    record_steps(
        [
            Step(
                row.organization_id,
                f"{machine.verb}.{row.status}",
                sentence(row) if callable(sentence) else sentence,
                dict(key),
                old=old[row.pk],
                new=row.status,
                reason=reason,
            )
            for row in rows
            for key in keys[row.pk]
        ],
        actor=actor,
        at=at,
    )
    if not machine.topic or machine.payload is None:
        return
    by_organization: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_organization.setdefault(row.organization_id, []).append(machine.payload(row))
    for organization_id, payloads in by_organization.items():
        publish_many(machine.topic, organization_id=organization_id, payloads=payloads, due_at=at)
