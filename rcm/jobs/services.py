"""Doors of the jobs room: start, claim with a fencing token, progress, errors, finish, rerun.

    with watched(organization_id):          # the worker's side: an error is kept on the run
        run = run_claim(run_id)

A worker takes a run with `claim`; its token fences every later write: a second worker that was
given the run after a lost heartbeat makes the first one's writes fail. Progress is written at most
every second and in a transaction of its own when the caller is not in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.jobs.models import OPEN, JobError, JobRun, JobStatus

LEASE = timedelta(seconds=60)
# a run that ends its workers or raises each time is left to a person
TRIES = 5
DIED = "Its worker was stopped or died before it ended."

# what the worker of this thread has claimed since `watched` began
_claimed: ContextVar[list[JobRun] | None] = ContextVar("claimed", default=None)


@transaction.atomic
def run_create(
    *,
    organization_id: int,
    kind: str,
    title: str,
    params: dict[str, Any],
    actor: Actor,
    total: int = 0,
    rerun_of: JobRun | None = None,
) -> JobRun:
    """Queue a run. Send its task with `transaction.on_commit`, or through the outbox."""
    return JobRun.objects.create(
        organization_id=organization_id,
        kind=kind,
        title=title,
        params=params,
        total=total,
        actor_name=actor.name,
        user_id=actor.user_id,
        rerun_of=rerun_of,
    )


@transaction.atomic
def run_claim(run_id: int, *, at: datetime | None = None) -> JobRun | None:
    """Take a queued run, or one whose worker has gone silent. None when it is done, in other hands
    or not yet due for its next try. The sixth worker fails it instead.
    """
    at = at or timezone.now()
    idle = Q(lease_until__lt=at) | Q(status=JobStatus.QUEUED, lease_until=None)
    free = JobRun.objects.filter(idle, pk=run_id, status__in=OPEN)
    if free.filter(tries__gte=TRIES).exists():
        run = JobRun.objects.select_for_update(of=("self",)).get(pk=run_id)
        if run.status in OPEN:
            _give_up(run, run.problem or DIED, at)
        return None
    updated = free.update(
        status=JobStatus.RUNNING,
        token=F("token") + 1,
        tries=F("tries") + 1,
        lease_until=at + LEASE,
        started_at=at,
    )
    if not updated:
        return None
    run = JobRun.objects.get(pk=run_id)
    mine = _claimed.get()
    if mine is not None:
        mine.append(run)
    return run


def pause_after(tries: int) -> timedelta:
    """How long the next try waits: 10 s, 40 s, then minutes."""
    return timedelta(seconds=10 * 4 ** max(0, tries - 1))


@contextmanager
def watched(organization_id: int) -> Iterator[None]:
    """Around a worker's work: an error is kept on the run that it claimed, which is tried again
    after a pause, at most `TRIES` times; the error itself goes on to the log. Call outside a
    transaction.
    """
    mine: list[JobRun] = []
    token = _claimed.set(mine)
    try:
        yield
    except Exception as error:
        with scope(Actor.system("jobs", [organization_id])):
            for run in mine:
                run_broke(run, error)
        raise
    finally:
        _claimed.reset(token)


@transaction.atomic
def run_broke(run: JobRun, error: Exception, *, at: datetime | None = None) -> None:
    """Keep how a try ended. Nothing when the run ended or was given to another worker."""
    at = at or timezone.now()
    row = JobRun.objects.select_for_update(of=("self",)).get(pk=run.pk)
    if row.token != run.token or row.status != JobStatus.RUNNING:
        return
    words = in_words(error)
    if row.tries >= TRIES:
        _give_up(row, words, at)
        return
    row.status, row.problem, row.token = JobStatus.QUEUED, words, row.token + 1
    row.lease_until = at + pause_after(row.tries)
    row.save(update_fields=["status", "problem", "token", "lease_until"])


def in_words(error: Exception) -> str:
    """A refusal's own sentence; of anything else the kind only, since its text may name a
    patient.
    """
    if isinstance(error, Refused):
        return str(error)[:200]
    return f"An error of the product ({type(error).__name__}); the log has it."


def _give_up(row: JobRun, words: str, at: datetime) -> None:
    row.status, row.problem, row.token = JobStatus.FAILED, words, row.token + 1
    row.ended_at, row.lease_until, row.failed = at, None, row.failed + 1
    row.save(update_fields=["status", "problem", "token", "ended_at", "lease_until", "failed"])
    sentence = f"Given up after {row.tries} tries. {words}"
    JobError.objects.create(
        organization_id=row.organization_id, run=row, subject="Run", sentence=sentence[:300]
    )


def run_progress(
    run: JobRun,
    *,
    done: int,
    failed: int = 0,
    total: int | None = None,
    resumes: bool = False,
    at: datetime | None = None,
) -> None:
    """Write progress and renew the lease. `resumes`: the next worker goes on from here, so that
    tries are counted anew. Raises Conflict when the run was given to another worker or cancelled.
    """
    changes: dict[str, Any] = {
        "done": done,
        "failed": failed,
        "lease_until": (at or timezone.now()) + LEASE,
    }
    if total is not None:
        changes["total"] = total
    if resumes:
        changes["tries"] = 1
    if not JobRun.objects.filter(pk=run.pk, token=run.token, status=JobStatus.RUNNING).update(
        **changes
    ):
        raise Conflict("This run was cancelled or taken over by another worker.", code="fenced")


@transaction.atomic
def run_finish(
    run: JobRun,
    *,
    result: dict[str, Any],
    errors: Iterable[tuple[str, str]] = (),
    failed: bool = False,
    at: datetime | None = None,
) -> None:
    """End a run with its result and the list of what could not be done (subject, sentence)."""
    rows = [
        JobError(organization_id=run.organization_id, run=run, subject=s[:60], sentence=t[:300])
        for s, t in errors
    ]
    updated = JobRun.objects.filter(pk=run.pk, token=run.token, status=JobStatus.RUNNING).update(
        status=JobStatus.FAILED if failed else JobStatus.DONE,
        ended_at=at or timezone.now(),
        lease_until=None,
        result=result,
        failed=len(rows),
    )
    if not updated:
        raise Conflict("This run was cancelled or taken over by another worker.", code="fenced")
    JobError.objects.bulk_create(rows, batch_size=1000)


@transaction.atomic
def run_record(
    *,
    organization_id: int,
    kind: str,
    title: str,
    actor: Actor,
    total: int,
    result: dict[str, Any],
    began: datetime,
) -> JobRun:
    """A batch that was done in one go, without a worker: it stands among the others, ended."""
    return JobRun.objects.create(
        organization_id=organization_id,
        kind=kind,
        title=title[:160],
        status=JobStatus.DONE,
        total=total,
        done=total,
        result=result,
        tries=1,
        started_at=began,
        ended_at=timezone.now(),
        actor_name=actor.name,
        user_id=actor.user_id,
    )


@transaction.atomic
def run_cancel(run: JobRun, *, actor: Actor) -> bool:
    """Stop a run that has not ended: its worker writes nothing more. False when it had ended."""
    actor.require("jobs.run", run)
    stopped = JobRun.objects.filter(pk=run.pk, status__in=OPEN).update(
        status=JobStatus.CANCELLED,
        ended_at=timezone.now(),
        lease_until=None,
        token=F("token") + 1,
        problem=f"Cancelled by {actor.name}."[:200],
    )
    return bool(stopped)
