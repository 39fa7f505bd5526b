"""Background work of receivables: load by id, call a service, nothing else."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from celery import shared_task
from celery.schedules import crontab

from ar import services
from ar.reports import days
from ar.reports import services as reporting
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.accounts.scope import scope
from rcm.exchange.tasks import scoped_task
from rcm.jobs.models import JobRun
from rcm.jobs.services import run_claim, run_finish, run_progress, watched

BEAT: dict[str, dict[str, Any]] = {
    "ar-nightly": {
        "task": "ar.tasks.nightly",
        "schedule": crontab(hour="8", minute="40"),
        "options": {"queue": "batch"},
    },
    "ar-followup": {
        "task": "ar.tasks.followup",
        "schedule": 1800.0,
        "options": {"queue": "batch", "expires": 1800},
    },
    "ar-snapshots": {
        "task": "ar.tasks.snapshots",
        "schedule": crontab(minute="5"),
        "options": {"queue": "batch", "expires": 3600},
    },
    "ar-reports": {
        "task": "ar.tasks.reports",
        "schedule": crontab(minute="10"),
        "options": {"queue": "batch", "expires": 3600},
    },
    "ar-proof": {
        "task": "ar.tasks.prove_all",
        "schedule": crontab(hour="9", minute="30"),
        "options": {"queue": "batch", "expires": 3600},
    },
    "ar-statement-mails": {
        "task": "ar.tasks.statement_mails",
        "schedule": 600.0,
        "options": {"queue": "batch", "expires": 600},
    },
    "ar-statements": {
        "task": "ar.tasks.statements",
        "schedule": crontab(hour="13", minute="20"),
        "options": {"queue": "batch"},
    },
}


def _each() -> list[int]:
    return list(Organization.objects.filter(active=True).values_list("id", flat=True))


@shared_task(name="ar.tasks.nightly")
def nightly() -> None:
    for pk in _each():
        actor = Actor.system("receivables", [pk])
        with scope(actor):
            services.nightly(organization_id=pk, actor=actor)


@shared_task(name="ar.tasks.followup")
def followup() -> None:
    for pk in _each():
        actor = Actor.system("follow-up", [pk])
        with scope(actor):
            services.followup_refresh(organization_id=pk, actor=actor)
            services.homes_refresh(organization_id=pk, actor=actor)


@shared_task(name="ar.tasks.reports")
def reports() -> None:
    """Hourly: reports whose time has come in each organization's zone, and alerts."""
    for pk in _each():
        actor = Actor.system("reports", [pk])
        reporting.reports_due(organization_id=pk, actor=actor)
        reporting.alerts_send(organization_id=pk, actor=actor)


@shared_task(name="ar.tasks.statements")
def statements() -> None:
    for pk in _each():
        actor = Actor.system("statements", [pk])
        with scope(actor):
            services.statements_batch(organization_id=pk, actor=actor)
            while services.mail_batch_make(organization_id=pk, actor=actor) is not None:
                pass


@shared_task(name="ar.tasks.statement_mails")
def statement_mails() -> None:
    """Statements by e-mail: each message is claimed, then sent, then noted."""
    for pk in _each():
        services.mails_send(organization_id=pk, actor=Actor.system("statements", [pk]))


@shared_task(name="ar.tasks.snapshots")
def snapshots() -> None:
    """Hourly: today's figures as they stand, and yesterday's for good once that day has ended at
    every site.
    """
    today = office_day()
    for pk in _each():
        actor = Actor.system("snapshots", [pk])
        for day in (today - timedelta(days=1), today):
            with scope(actor):
                services.kpi_snapshot(organization_id=pk, day=day, actor=actor)
                services.aging_snapshot(organization_id=pk, day=day, actor=actor)


@scoped_task(queue="batch", own_transactions=True)
def snapshot_run(run_id: int, *, actor: Actor) -> None:
    """Keep the figures of the days a run names (`params`: first, last), one transaction a day, with
    progress.
    """
    with watched(min(actor.organizations)):
        _snapshot(run_id, actor)


def _snapshot(run_id: int, actor: Actor) -> None:
    with scope(actor):
        run = run_claim(run_id)
    if run is None:
        return
    first, last = date.fromisoformat(run.params["first"]), date.fromisoformat(run.params["last"])
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    cells = 0
    for n, day in enumerate(days, start=1):
        with scope(actor):
            cells += services.kpi_snapshot(
                organization_id=run.organization_id, day=day, actor=actor
            )
            cells += services.aging_snapshot(
                organization_id=run.organization_id, day=day, actor=actor
            )
            run_progress(run, done=n, total=len(days))
    with scope(actor):
        run_finish(run, result={"days": len(days), "cells": cells})


def start_snapshot(run: JobRun) -> None:
    """Send a run to the workers (used by rerun)."""
    snapshot_run.delay(run.organization_id, run.pk)


@shared_task(name="ar.tasks.prove_all")
def prove_all() -> None:
    """Each night the books of every organization, each as its own task."""
    for pk in _each():
        prove_now.delay(pk)


@scoped_task(queue="batch", own_transactions=True)
def prove_now(*, actor: Actor) -> None:
    """The books of one organization."""
    for organization_id in actor.organizations:
        days.proof_keep(organization_id=organization_id)
