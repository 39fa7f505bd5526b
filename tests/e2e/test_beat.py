"""Periodic work is work: every task that beat calls is known to the workers and runs through on an
office with nothing to do.
"""

from __future__ import annotations

import pytest

from rcm.celery import app


@pytest.fixture(scope="module")
def schedule() -> dict[str, dict]:
    app.finalize()
    app.loader.import_default_modules()
    return dict(app.conf.beat_schedule)


def test_every_task_of_the_schedule_exists_and_goes_to_a_queue_that_has_a_worker(schedule):
    assert len(schedule) > 12
    for name, entry in schedule.items():
        assert entry["task"] in app.tasks, name
        assert entry["options"]["queue"] in {"realtime", "batch", "posting"}, name


@pytest.mark.django_db(transaction=True)
def test_every_task_of_the_schedule_runs_through(schedule, cast_committed, settings, monkeypatch):
    monkeypatch.setitem(app.conf, "task_always_eager", True)
    monkeypatch.setitem(app.conf, "task_eager_propagates", True)
    for entry in schedule.values():
        app.tasks[entry["task"]].apply(args=entry.get("args", ()), throw=True)
