"""What a pager and Prometheus are told: which part is down, how much waits and since when, and
nothing of a patient.
"""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from datetime import timedelta

import pytest
from django.core.cache import caches
from django.db import connection
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families as families

from rcm.accounts.scope import scope
from rcm.embedded.processes import Ports
from rcm.exchange import hold, outbox
from rcm.exchange.models import Outbox, WorkQueue
from rcm.jobs import services as jobs
from rcm.jobs.models import JobRun
from rcm.operations import beats, readiness
from rcm.settings import production
from tests.e2e.house import Product, answers, base_environment, broker, database, free_port
from tests.security.world import World

TOKEN = "scrape-" + "t" * 30


@pytest.fixture
def alive(db):
    """Everybody gave a sign just now."""
    beats.beat(readiness.who_beats())
    yield
    caches["default"].delete_many([f"alive:{name}" for name in readiness.who_beats()])


def ready() -> tuple[int, dict[str, str]]:
    answer = Client().get("/readyz")
    return answer.status_code, answer.json()["parts"]


def figures(settings) -> dict[tuple[str, ...], float]:
    settings.METRICS_TOKEN = TOKEN
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    return {
        (s.name, *s.labels.values()): s.value
        for family in families(answer.content.decode())
        for s in family.samples
    }


def test_ready_when_all_parts_work(alive) -> None:
    status, parts = ready()
    assert (status, set(parts.values())) == (200, {"ok"})
    assert list(parts) == [
        "database", "migrations", "redis", "realtime", "batch", "posting", "beat",
    ]  # fmt: skip


def test_a_silent_worker_is_named(alive, monkeypatch) -> None:
    stale = timezone.now().timestamp() - 31
    caches["default"].set("alive:posting", stale)
    caches["default"].delete("alive:beat")
    status, parts = ready()
    assert status == 503
    assert parts["posting"] == "silent for 31 s"
    assert parts["beat"] == "was never heard"
    assert parts["database"] == parts["realtime"] == "ok"


def test_a_migration_that_is_not_applied_is_named(alive, monkeypatch) -> None:
    release = readiness._of_this_release() | {"ledger.9999_later"}
    monkeypatch.setattr(readiness, "_of_this_release", lambda: release)
    status, parts = ready()
    assert (status, parts["migrations"]) == (503, "1 not applied, first ledger.9999_later")


def test_without_redis_the_signs_cannot_be_asked(alive, monkeypatch) -> None:
    monkeypatch.setattr(type(caches["default"]), "ping", lambda self: False)
    status, parts = ready()
    assert (status, parts["redis"], parts["batch"]) == (503, "does not answer", "cannot be asked")


@pytest.mark.django_db(transaction=True)
def test_without_the_database_it_still_answers(settings) -> None:
    beats.beat(readiness.who_beats())
    port = connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict["PORT"] = free_port()
    try:
        status, parts = ready()
        assert (status, parts["database"]) == (503, "does not answer")
        assert Client().get("/healthz").content == b"ok"
        found = figures(settings)
    finally:
        connection.settings_dict["PORT"] = port
    assert found["isocenter_part_up", "database"] == 0
    assert found["isocenter_part_up", "realtime"] == 1


def test_figures_are_for_who_holds_the_token(db, settings) -> None:
    assert Client().get("/metrics").status_code == 404
    settings.METRICS_TOKEN = TOKEN
    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
        answer = Client().get("/metrics", headers=header)
        assert (answer.status_code, answer.content) == (401, b"A token is needed.")
    assert Client().post("/metrics").status_code == 405
    chosen = production.Chosen(
        secret_key="", field_keys=[], demo_keys=[], debug=False, allowed_hosts=[], redis_url="",
        metrics_token="short",
    )  # fmt: skip
    assert any("ISOCENTER_METRICS_TOKEN" in fault for fault in production.faults(chosen))


def test_what_waits_is_counted_over_all_organizations(cast, alive, settings) -> None:
    now = timezone.now()
    for org, actor in ((cast.a, cast.system), (cast.b, cast.system_b)):
        with scope(actor):
            for n in range(3):
                Outbox.objects.create(
                    organization=org,
                    topic="t",
                    subscriber="s",
                    queue=WorkQueue.POSTING,
                    due_at=now - timedelta(seconds=100 + n),
                    parked_at=now if n == 2 else None,
                )
            run = jobs.run_create(
                organization_id=org.pk, kind="k", title="t", params={}, actor=actor
            )
    with scope(cast.system):
        JobRun.objects.filter(organization=cast.a).update(
            status="running", lease_until=now - timedelta(seconds=1)
        )
    with scope(cast.system_b):
        JobRun.objects.filter(pk=run.pk).update(created_at=now - timedelta(hours=2))
    found = figures(settings)
    assert found["isocenter_outbox_due", "posting"] == 4
    assert found["isocenter_outbox_parked",] == 2
    assert 100 < found["isocenter_oldest_waiting_seconds", "posting"] < 160
    assert found["isocenter_jobs", "waiting"] == 1
    assert found["isocenter_jobs", "silent"] == 1
    assert 7190 < found["isocenter_oldest_waiting_job_seconds",] < 7300
    assert found["isocenter_broker_jobs", "realtime"] >= 0
    assert found["isocenter_sending_held",] == 0
    assert found["isocenter_part_up", "batch"] == 1
    assert found["isocenter_heartbeat_age_seconds", "beat"] < 20
    hold.put(reason="Restored")
    assert figures(settings)["isocenter_sending_held",] == 1


def test_no_figure_names_a_patient_or_a_path(cast, alive, settings) -> None:
    """A world whose every text says CANA-n; its pages are read, then the figures."""
    world = World(cast.a, cast.north, cast.user("ana"), "CANA").build()
    client = Client()
    client.force_login(
        cast.user("mia"), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    patient = world["intake.Patient"]
    for address in (f"/patients/{patient.public_id}/", "/patients/?q=CANA-1", "/CANA-99/"):
        client.get(address)
    settings.METRICS_TOKEN = TOKEN
    text = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    assert "CANA" not in text
    assert str(patient.public_id) not in text
    assert 'view="intake:patient"' in text
    labels = {
        value
        for family in families(text)
        for sample in family.samples
        for name, value in sample.labels.items()
        if name == "view"
    }
    assert not {label for label in labels if "/" in label}


def test_the_count_of_questions_does_not_grow(cast, alive, settings, django_assert_max_num_queries):
    figures(settings)
    with scope(cast.system):
        outbox.publish("nobody.asks", organization_id=cast.a.pk, payload={})
    with django_assert_max_num_queries(24):
        figures(settings)


def until(condition, seconds: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.2)
    return time.monotonic() - began


def asked(address: str) -> tuple[int, dict[str, str]]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, json.load(answer)["parts"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["parts"]


def scraped(address: str) -> str:
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


@pytest.mark.processes
def test_a_dead_worker_turns_it_red_within_half_a_minute(tmp_path) -> None:
    """Real workers and scheduler: killed, frozen, back again; and two web processes give one sum."""
    with (
        broker(tmp_path) as redis_url,
        database("test_isocenter_readyz", redis_url) as addresses,
    ):
        ports = Ports(free_port(), free_port(), free_port(), free_port())
        environment = base_environment(
            **addresses, **ports.as_environment(), ISOCENTER_METRICS_TOKEN=TOKEN
        )
        product = Product(tmp_path, ports, environment)
        address = f"{product.url}/readyz"
        try:
            for name in ("web", "realtime", "batch", "posting", "beat"):
                product.start(name)
            until(lambda: answers(address), 90)
            product.processes["posting"].send_signal(signal.SIGKILL)
            until(lambda: asked(address)[1]["posting"] != "ok", 30)
            status, parts = asked(address)
            assert status == 503
            assert [n for n, words in parts.items() if words != "ok"] == ["posting"]
            assert answers(f"{product.url}/ready")
            product.start("posting")
            product.processes["batch"].send_signal(signal.SIGSTOP)
            until(lambda: asked(address)[1]["batch"] != "ok", 30)
            product.processes["batch"].send_signal(signal.SIGCONT)
            product.processes["beat"].send_signal(signal.SIGKILL)
            until(lambda: asked(address)[1]["beat"] != "ok", 30)
            product.start("beat")
            until(lambda: asked(address)[0] == 200, 30)

            for _ in range(40):
                assert answers(f"{product.url}/healthz")
            counts = {
                s.value
                for _ in range(6)
                for family in families(scraped(f"{product.url}/metrics"))
                for s in family.samples
                if s.name == "django_http_requests_total_by_view_transport_method_total"
                and s.labels["view"] == "web:healthz"
            }
            assert counts == {40.0}
        finally:
            product.stop()
