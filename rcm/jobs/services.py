"""Doors of the jobs room: start, claim with a fencing token, progress, errors, finish, rerun.

A worker takes a run with `claim`; its token fences every later write: a second worker that was
given the run after a lost heartbeat makes the first one's writes fail. Progress is written at most
every second and in a transaction of its own when the caller is not in one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict
from rcm.jobs.models import JobError, JobRun, JobStatus

LEASE = timedelta(seconds=60)


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
    """Take a queued run, or one whose worker has gone silent. None when it is done or in other
    hands.
    """
    at = at or timezone.now()
    free = Q(status=JobStatus.QUEUED) | Q(status=JobStatus.RUNNING, lease_until__lt=at)
    updated = JobRun.objects.filter(free, pk=run_id).update(
        status=JobStatus.RUNNING, token=F("token") + 1, lease_until=at + LEASE, started_at=at
    )
    return JobRun.objects.get(pk=run_id) if updated else None


def run_progress(
    run: JobRun, *, done: int, failed: int = 0, total: int | None = None, at: datetime | None = None
) -> None:
    """Write progress and renew the lease. Raises Conflict when the run was given to another worker
    or cancelled.
    """
    changes: dict[str, Any] = {
        "done": done,
        "failed": failed,
        "lease_until": (at or timezone.now()) + LEASE,
    }
    if total is not None:
        changes["total"] = total
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
def run_cancel(run: JobRun, *, actor: Actor) -> None:
    JobRun.objects.filter(pk=run.pk, status__in=[JobStatus.QUEUED, JobStatus.RUNNING]).update(
        status=JobStatus.CANCELLED, ended_at=timezone.now(), token=F("token") + 1
    )
