"""What beat wakes in the mid-cycle: late reports, exams that were missed, results that wait, the
daily control total.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from celery.schedules import crontab

from charges.models import Exam, ExamStatus
from charges.services import accession_proof, exams_evaluate, unsigned_refresh, unsolicited_retry
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.exchange.tasks import scoped_task

BEAT: dict[str, dict[str, Any]] = {
    "charges-unsigned": {
        "task": "charges.tasks.each_organization",
        "schedule": 3600.0,
        "args": ("unsigned",),
        "options": {"queue": "batch"},
    },
    "charges-evaluate": {
        "task": "charges.tasks.each_organization",
        "schedule": 900.0,
        "args": ("evaluate",),
        "options": {"queue": "batch"},
    },
    "charges-retry": {
        "task": "charges.tasks.each_organization",
        "schedule": 1800.0,
        "args": ("retry",),
        "options": {"queue": "batch"},
    },
    "charges-proof": {
        "task": "charges.tasks.each_organization",
        "schedule": crontab(hour=3, minute=15),
        "args": ("proof",),
        "options": {"queue": "batch"},
    },
}
PROVEN_DAYS = 14


@shared_task(name="charges.tasks.each_organization", queue="batch")
def each_organization(what: str) -> None:
    """Wake one step for every organization."""
    for pk in Organization.objects.filter(active=True).values_list("pk", flat=True):
        {"unsigned": unsigned, "evaluate": evaluate, "retry": retry, "proof": proof}[what].delay(pk)


@scoped_task(queue="batch")
def unsigned(*, actor: Actor) -> None:
    """Reports that are late."""
    unsigned_refresh(actor=actor)


@scoped_task(queue="batch")
def evaluate(*, actor: Actor) -> None:
    """Read exams that nothing holds and nobody released: what an event lost is found here."""
    stuck = Exam.objects.filter(
        organization_id__in=actor.organizations,
        status__in=[ExamStatus.FINAL, ExamStatus.CODED],
        holds=[],
    )
    exams_evaluate(exam_ids=stuck.values_list("pk", flat=True)[:2000], actor=actor)


@scoped_task(queue="batch")
def retry(*, actor: Actor) -> None:
    """Results without an order, again."""
    unsolicited_retry(everything=True, actor=actor)


@scoped_task(queue="batch")
def proof(*, actor: Actor) -> None:
    """The control totals of the last days."""
    today = office_day()
    for back in range(1, PROVEN_DAYS + 1):
        accession_proof(day=today - timedelta(days=back), actor=actor)
