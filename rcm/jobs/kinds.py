"""Kinds of batch that can be started again from their page: each phase names, in its apps.py, how
its kind is sent to the workers.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.jobs.models import OPEN, JobRun
from rcm.jobs.services import run_create

Start = Callable[[JobRun], None]
_KINDS: dict[str, Start] = {}


def register(kind: str, start: Start) -> None:
    _KINDS[kind] = start


def can_rerun(kind: str) -> bool:
    return kind in _KINDS


@transaction.atomic
def run_again(run: JobRun, *, actor: Actor) -> JobRun:
    """A new run with the same parameters, sent to the workers when this transaction commits."""
    actor.require("jobs.run", run)
    start = _KINDS.get(run.kind)
    if start is None:
        raise Refused("This kind of batch is started from its own page.", code="not_here")
    old = JobRun.objects.select_for_update(of=("self",)).get(pk=run.pk)
    if old.status in OPEN:
        raise Conflict("It has not ended yet.", code="running")
    fresh = run_create(
        organization_id=old.organization_id,
        kind=old.kind,
        title=old.title,
        params=old.params,
        actor=actor,
        total=old.total,
        rerun_of=old,
    )
    transaction.on_commit(lambda: start(fresh))
    return fresh
