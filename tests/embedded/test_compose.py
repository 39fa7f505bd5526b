"""docker-compose.yml runs the same processes as `make run`, and each of them resolves to something
that exists.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml

from rcm.embedded.processes import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service.get("build") == "."]
LONG_RUNNING = [name for name in SERVICES if name not in ("migrate", "database")]


def _programs(command: str) -> list[list[str]]:
    words = shlex.split(command)
    if words[:2] == ["sh", "-c"]:
        return [shlex.split(part) for part in words[2].split("&&")]
    return [words]


def test_compose_and_make_run_start_the_same_processes():
    assert set(COMMANDS) <= set(OURS)
    for name, command in COMMANDS.items():
        # Compose may add options for its place (beat's schedule in /tmp), never leave one out.
        assert tuple(shlex.split(SERVICES[name]["command"]))[: len(command)] == command, name


def test_the_image_runs_the_web_process_when_it_is_given_no_command():
    last = (REPOSITORY / "Dockerfile").read_text().strip().splitlines()[-1]
    assert tuple(re.findall(r'"([^"]*)"', last)) == COMMANDS["web"]


@pytest.mark.parametrize("name", OURS)
def test_every_command_resolves(name):
    scripts = {entry.name for entry in importlib.metadata.entry_points(group="console_scripts")}
    for program, *words in _programs(SERVICES[name]["command"]):
        if program != "python":
            assert program in scripts, program
        elif words[0] == "-m":
            assert importlib.util.find_spec(words[1]), words[1]
        else:
            assert (REPOSITORY / words[0]).exists()
            from django.core.management import get_commands

            assert words[1] in get_commands(), f"manage.py {words[1]}"


def test_every_queue_of_the_product_has_its_worker():
    queues = {
        queue for name in OURS for queue in re.findall(r"-Q (\w+)", SERVICES[name]["command"])
    }
    assert queues == {"realtime", "batch", "posting"}


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_every_lasting_service_has_a_health_check_and_limits(name):
    assert SERVICES[name]["healthcheck"]["test"]
    assert set(SERVICES[name]["deploy"]["resources"]["limits"]) == {"cpus", "memory"}


def test_no_secret_has_a_value_in_the_file():
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEYS|_URL", variable) and "SIMULATOR" not in variable:
                secrets = re.findall(r"\$\{\w+:\?\}", str(value))
                assert secrets, (
                    f"{name}.{variable} must come from the environment and have no default"
                )


def test_our_containers_cannot_write_their_own_code_or_gain_rights():
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]


def test_nothing_is_published_beyond_this_machine_by_default():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert not SERVICES["postgres"].get("ports")
    assert not SERVICES["redis"].get("ports")


def test_only_the_first_step_knows_the_superuser():
    knowing = {name for name in OURS if "DATABASE_SUPERUSER_URL" in SERVICES[name]["environment"]}
    assert knowing == {"database"}
    owning = {name for name in OURS if "DATABASE_OWNER_URL" in SERVICES[name]["environment"]}
    assert owning == {"database", "migrate"}


def test_the_broker_keeps_an_append_only_file_and_drops_nothing():
    command = SERVICES["redis"]["command"]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
