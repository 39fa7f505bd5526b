"""Whose charts a page shows: every row that carries a patient's name tells so when it is read from
the database, so that no door can forget to log it.

The room that keeps the log (`rcm.audit`) registers what is done with them at the end of a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from rcm.accounts.actor import Actor

Charts = dict[int, set[int]]
"""Patients by organization."""


@dataclass(slots=True)
class Reading:
    """The charts that one page has read, and those that it has logged by itself."""

    loaded: Charts = field(default_factory=dict)
    logged: Charts = field(default_factory=dict)

    def left(self) -> Charts:
        found = {
            organization: patients - self.logged.get(organization, set())
            for organization, patients in self.loaded.items()
        }
        return {organization: patients for organization, patients in found.items() if patients}


Log = Callable[[Charts, Actor, str, str], None]
_reading: ContextVar[Reading | None] = ContextVar("reading", default=None)
_logs: list[Log] = []


def logged_by(log: Log) -> None:
    """Register the log: it gets the charts, who read them, the page and the request's id."""
    _logs[:] = [log]


@contextmanager
def reading() -> Iterator[Reading]:
    """Gather the charts that are read inside."""
    found = Reading()
    token = _reading.set(found)
    try:
        yield found
    finally:
        _reading.reset(token)


def loaded(organization_id: int | None, patient_id: int | None) -> None:
    """A row with this patient's name was read."""
    found = _reading.get()
    if found is not None and organization_id and patient_id:
        found.loaded.setdefault(organization_id, set()).add(patient_id)


def logged(organization_id: int, patient_ids: Iterable[int]) -> None:
    """These charts are in the log already, with a better purpose."""
    found = _reading.get()
    if found is not None:
        found.logged.setdefault(organization_id, set()).update(patient_ids)


def log_rest(found: Reading, *, actor: Actor, purpose: str, request_id: str) -> None:
    """Log what the page has read and not logged by itself."""
    charts = found.left()
    for log in _logs if charts else ():
        log(charts, actor, purpose, request_id)
