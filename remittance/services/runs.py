"""Posting in chunks on the posting workers: resumable, fenced, with progress.

A run is held by an advisory lock, which dies with its process, and fenced by the token of its job:
whoever gets the lock knows that the holder before is dead or cut off, and the token refuses a
holder that wakes late. The resumer looks for runs that nobody holds.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.exchange.outbox import held
from rcm.jobs.models import OPEN, JobRun, JobStatus
from rcm.jobs.services import LEASE, run_claim, run_create, run_finish, run_progress
from remittance.models import ClaimPayment, PaymentState, Remittance, RemittanceStatus
from remittance.records import Posted
from remittance.services.planning import Facts, why_not
from remittance.services.posting import KIND, counts_of, finish, move, post_chunk
from remittance.services.reference import book

log = logging.getLogger(__name__)


@transaction.atomic
def posting_start(*, remittance: Remittance, actor: Actor, at: datetime | None = None) -> JobRun:
    """Leave the posting to the workers; the run shows its progress. A second call gives the run
    that is under way.
    """
    actor.require("remittance.post", remittance)
    at = at or timezone.now()
    row = Remittance.objects.select_for_update().get(pk=remittance.pk)
    under_way = row.status == RemittanceStatus.POSTING
    if under_way and row.job is not None and row.job.status in OPEN:
        return row.job
    # one whose run was cancelled or given up is taken up where it stopped
    if not under_way and (reason := why_not(row)):
        raise Refused(reason, code="not_postable", status=409)
    run = run_create(
        organization_id=row.organization_id,
        kind=KIND,
        title=f"Post {row.payer_name} {row.trace}"[:160],
        params={
            "remittance_id": row.pk,
            "at": at.isoformat(),
            "user_id": actor.user_id,
            "actor": actor.name,
        },
        total=row.claim_count,
        actor=actor,
    )
    if under_way:
        Remittance.objects.filter(pk=row.pk).update(job_id=run.pk)
    else:
        move(row, RemittanceStatus.POSTING, job_id=run.pk)
    remittance.refresh_from_db()
    transaction.on_commit(lambda: _wake(row.organization_id, run.pk), robust=True)
    return run


def posting_again(run: JobRun) -> None:
    """A new run for a posting that was cancelled or given up: the rest of it (used by rerun)."""
    with scope(Actor.system("posting", [run.organization_id])):
        left = Remittance.objects.filter(
            pk=run.params["remittance_id"], status=RemittanceStatus.POSTING
        )
        left.update(job_id=run.pk)
    _wake(run.organization_id, run.pk)


def _wake(organization_id: int, run_id: int) -> None:
    from remittance.tasks import post_run

    try:
        post_run.apply_async((organization_id, run_id), retry=False)
    except Exception as error:
        # the broker is only a wake-up call: the resumer finds the run in the table
        log.warning(
            "broker does not answer (%s); run %s waits for the resumer",
            type(error).__name__,
            run_id,
        )


def posting_run(run_id: int, *, organization_id: int, pause: float = 0.0) -> Posted | None:
    """Do a run, or what is left of it. None when it is done or in other hands. Call outside a
    transaction: each chunk commits.

    `pause` waits between chunks (fault tests).
    """
    system = Actor.system("posting", [organization_id])
    with held(f"remittance.run:{run_id}") as mine:
        if not mine:
            return None
        with scope(system):
            run = JobRun.objects.filter(pk=run_id, kind=KIND, status__in=OPEN).first()
            if run is None:
                return None
            # the lock is ours, so the holder before is gone: take the run although its lease may
            # still run
            run = run_claim(
                run_id,
                at=timezone.now() + (LEASE if run.status == JobStatus.RUNNING else LEASE * 0),
            )
            if run is None:
                return None
            remittance = Remittance.objects.get(pk=run.params["remittance_id"])
            at = datetime.fromisoformat(run.params["at"])
        actor = Actor(run.actor_name, "system", frozenset([organization_id]), user_id=run.user_id)
        posted = Posted(remittance.pk)
        try:
            while True:
                with scope(actor):
                    row = Remittance.objects.select_for_update().get(pk=remittance.pk)
                    if row.status != RemittanceStatus.POSTING:
                        run_finish(run, result={"claims": 0})
                        break
                    if not post_chunk(
                        row, posted, Facts(row, book(), lock=True), actor=actor, at=at
                    ):
                        finish(row, posted, actor=actor, at=at)
                        run_finish(
                            run,
                            result=counts_of(row, posted),
                        )
                        break
                    left = ClaimPayment.objects.filter(
                        remittance=row, state=PaymentState.MATCHED
                    ).count()
                    # in the chunk's own transaction: a holder that was fenced off writes nothing
                    run_progress(run, done=max(0, row.claim_count - left), resumes=True)
                if pause:
                    time.sleep(pause)
        except Conflict:
            return None
        except Refused as problem:
            with scope(system):
                run_finish(run, result={}, errors=[(remittance.trace, str(problem))], failed=True)
            return None
        return posted


def posting_resume(*, actor: Actor) -> int:
    """Wake the workers for runs that wait or whose worker died. Returns the number of runs called.
    In the organizations' scope.
    """
    runs = list(
        JobRun.objects.filter(
            organization_id__in=actor.organizations, kind=KIND, status__in=OPEN
        ).values_list("organization_id", "id")
    )
    for organization_id, run_id in runs:
        _wake(organization_id, run_id)
    return len(runs)
