"""Signs of life: each worker and the scheduler write every few seconds that they turn.

A worker's sign comes from the loop that takes jobs, so that a worker that hangs or has lost the
broker falls silent too. They stand in Redis, without which none of them could work.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import bootsteps
from celery.beat import PersistentScheduler
from django.core.cache import caches
from django.utils import timezone

EVERY_SECONDS = 5.0
DEAD_AFTER_SECONDS = 20.0
KEPT_SECONDS = 7 * 24 * 3600
SCHEDULER = "beat"


def beat(names: Iterable[str], *, at: float | None = None) -> None:
    """Say that these turn, now."""
    moment = timezone.now().timestamp() if at is None else at
    caches["default"].set_many({_key(name): moment for name in names}, KEPT_SECONDS)


def ages(names: Iterable[str]) -> dict[str, float | None]:
    """Seconds since the last sign of each; None when there was none in a week, or when Redis is
    away.
    """
    asked = list(names)
    found = caches["default"].get_many([_key(name) for name in asked])
    now = timezone.now().timestamp()
    return {
        name: max(now - found[_key(name)], 0.0) if _key(name) in found else None for name in asked
    }


def _key(name: str) -> str:
    return f"alive:{name}"


class Alive(bootsteps.StartStopStep):
    """Of every worker: the sign of each queue that it serves."""

    requires = {"celery.worker.components:Timer"}

    def __init__(self, parent: Any, **options: Any) -> None:
        self.timer: Any = None
        super().__init__(parent, **options)

    def start(self, parent: Any) -> None:
        queues = list(parent.app.amqp.queues.consume_from)
        beat(queues)
        self.timer = parent.timer.call_repeatedly(EVERY_SECONDS, beat, (queues,), priority=10)

    def stop(self, parent: Any) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Scheduler(PersistentScheduler):
    """The scheduler that says that it turns."""

    _said = 0.0

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        now = timezone.now().timestamp()
        if now - self._said >= EVERY_SECONDS:
            self._said = now
            beat([SCHEDULER])
        return super().tick(*args, **kwargs)
