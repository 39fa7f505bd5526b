"""Celery: three queues, late acknowledgement, and the settings that lose no job.

The broker is only a wake-up call: whatever must not be lost stands in the outbox or in a table
first, and every task is idempotent by an effect key in the database. The schedule is the sum of
what each app's `tasks.py` declares as `BEAT`.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from celery import Celery
from celery.signals import worker_process_init
from kombu.transport import redis, virtual

from rcm.accounts.memory import settle
from rcm.operations.beats import Alive

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rcm.settings")


class PatientQoS(redis.QoS):
    """Gives nothing back over a connection that is gone.

    kombu tries, finds no connection, raises, and the worker ends for good when Redis was killed
    under it. What was in hand comes back by the visibility timeout, and sooner by the reconciler.
    """

    def restore_unacked_once(self, stderr: Any = None) -> None:
        try:
            super().restore_unacked_once(stderr=stderr)  # type: ignore[no-untyped-call]
        except (AttributeError, OSError, *redis.get_redis_error_classes().connection_errors):  # type: ignore[no-untyped-call]
            self._delivered.clear()

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except AttributeError:
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]


redis.Channel.QoS = PatientQoS

app = Celery("isocenter")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(Alive)


@worker_process_init.connect
def _loaded(**_: Any) -> None:
    settle()


@app.on_after_finalize.connect
def _schedule(sender: Celery, **_: Any) -> None:
    from django.conf import settings

    beat: dict[str, Any] = {}
    for name in settings.INSTALLED_APPS:
        if find_spec(name) and find_spec(f"{name}.tasks"):
            beat |= getattr(import_module(f"{name}.tasks"), "BEAT", {})
    longest = settings.BEAT_LONGEST_SECONDS
    if longest:
        for entry in beat.values():
            if isinstance(entry["schedule"], float):
                entry["schedule"] = min(entry["schedule"], longest)
    sender.conf.beat_schedule = beat
