"""The log's own clock: sealed every minute, anchored every hour, verified every night."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from celery import shared_task
from celery.schedules import crontab
from django.conf import settings
from django.core.mail import mail_admins

from rcm.audit import chain

log = logging.getLogger(__name__)

BEAT: dict[str, dict[str, Any]] = {
    "audit-seal": {
        "task": "rcm.audit.tasks.seal",
        "schedule": 60.0,
        "options": {"queue": "batch", "expires": 60},
    },
    "audit-anchor": {
        "task": "rcm.audit.tasks.anchor",
        "schedule": 3600.0,
        "options": {"queue": "batch", "expires": 3600},
    },
    "audit-verify": {
        "task": "rcm.audit.tasks.verify",
        "schedule": crontab(hour=3, minute=10),
        "options": {"queue": "batch"},
    },
}


@shared_task(name="rcm.audit.tasks.seal")
def seal() -> int:
    """Seal what is settled. Twice at once is once: the database lets one sealer in at a time."""
    return chain.seal()


@shared_task(name="rcm.audit.tasks.anchor")
def anchor() -> int:
    return len(chain.anchor())


@shared_task(name="rcm.audit.tasks.verify")
def verify() -> int:
    """The nightly verification. What is broken is told to the administrators by mail, without any
    row's content. Returns the number of breaks.
    """
    verdict = chain.verify(anchors=chain.anchors_in(Path(settings.AUDIT_ANCHORS)))
    if verdict.breaks:
        log.error("audit_log_broken: %d", len(verdict.breaks))
        mail_admins("The audit log is broken", "\n".join(map(str, verdict.breaks)))
    else:
        log.info("audit_log_verified: %d rows", verdict.rows)
    return len(verdict.breaks)
