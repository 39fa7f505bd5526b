"""The launcher: one product a checkout, every process ended with it, and sentences where it cannot
go on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rcm import embedded
from rcm.embedded import growth, launch, processes
from rcm.embedded.errors import EmbeddedError

REPOSITORY = Path(__file__).resolve().parents[2]

# The real launcher, with two small programs in place of the product; one of them has a child of its
# own.
PROGRAM = """
import contextlib, sys
from pathlib import Path
from rcm.embedded import launch
launch.ROOT = Path(sys.argv[1])
launch._prepare = lambda *ignored: None
port = sys.argv[2]
if sys.argv[4] == "no servers":
    launch.server.held = lambda root: contextlib.nullcontext()
launch.free_ports = lambda: launch.Ports(web=int(port), simulator=1, mllp=2, dicom=3)
launch.COMMANDS = {
    "web": ("python", "-m", "http.server", port, "--bind", "127.0.0.1"),
    "worker": ("sh", "-c", sys.argv[3]),
}
raise SystemExit(launch.main(["run"]))
"""
LASTING = "trap 'kill $!' TERM; sleep 1000 & wait"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _launched(root: Path, worker: str = LASTING, servers: str = "no servers"):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "REDIS_URL")
    }
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root), str(_free_port()), worker, servers],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def _said_until(process: subprocess.Popen[str], words: str) -> str:
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"never said {words!r}, but:\n{said}")


def _marked(checkout) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.environ().get(launch.RUN_MARK) == str(checkout.home.folder):
                found.append(process)
    return found


def test_ctrl_c_ends_every_process_the_database_and_redis_too(fresh):
    with _launched(fresh.root, servers="servers") as process:
        said = _said_until(process, "Ctrl-C stops everything")
        assert "Isocenter is ready after" in said
        assert len(_marked(fresh)) == 3
        assert embedded.status(fresh.root).running
        process.send_signal(signal.SIGINT)
        assert "the data stay" in process.stdout.read()
        assert process.wait(20) == 0
    assert _marked(fresh) == []
    assert fresh.processes() == []


def test_a_second_run_says_where_the_first_is(fresh):
    with _launched(fresh.root) as first:
        _said_until(first, "Ctrl-C stops everything")
        with _launched(fresh.root) as second:
            assert second.wait(30) == 1
            assert "already runs in this checkout (http://127.0.0.1:" in second.stdout.read()
        assert first.poll() is None


def test_what_a_killed_launcher_left_behind_is_ended_by_the_next_run(fresh):
    with _launched(fresh.root) as process:
        _said_until(process, "Ctrl-C stops everything")
        left = _marked(fresh)
        process.kill()
        process.wait()
    assert [p for p in left if p.is_running()]
    with _launched(fresh.root) as process:
        began = time.monotonic()
        said = _said_until(process, "Ctrl-C stops everything")
        assert time.monotonic() - began < 30
        assert "processes of an earlier run that was killed" in said
        assert not [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_process_that_ends_by_itself_is_named_and_ends_the_run(fresh):
    with _launched(fresh.root, worker="sleep 1; exit 3") as process:
        assert process.wait(30) == 1
        assert "worker ended by itself (exit code 3)" in process.stdout.read()
    assert _marked(fresh) == []


def test_what_goes_by_the_clock_waits_until_the_demo_is_grown(fresh, monkeypatch):
    beat = processes.COMMANDS["beat"]
    changed = launch._growing_first(fresh.home, processes.COMMANDS)
    assert changed.keys() == {"beat"}
    assert changed["beat"][:3] == ("python", "-m", "rcm.embedded.growth")
    assert changed["beat"][-len(beat) :] == beat


def test_a_growth_that_is_killed_is_started_again_and_then_becomes_the_next_command(tmp_path):
    state, tries = tmp_path / "growth.json", tmp_path / "tries"
    growth.write(state, growth.Growth(60, 1, "2026-11-24T15:00:00+00:00"))
    (tmp_path / "manage.py").write_text(
        "import os, signal, sys\n"
        f"tries = open({str(tries)!r}, 'a+'); tries.write(sys.argv[1] + ' '); tries.flush()\n"
        "tries.seek(0)\n"
        "if len(tries.read().split()) < 2: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "rcm.embedded.growth", str(state), "echo", "the clock goes"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert tries.read_text() == "build_demo build_demo "
    assert "cut short; it goes on" in done.stderr
    assert done.stdout.splitlines() == ["The demo is grown.", "the clock goes"]


def test_ctrl_c_stops_the_growth_and_leaves_it_to_the_next_start(tmp_path):
    state = tmp_path / "growth.json"
    growth.write(state, growth.Growth(60, 1, "2026-11-24T15:00:00+00:00"))
    (tmp_path / "manage.py").write_text("import time; print('growing', flush=True); time.sleep(99)")
    process = subprocess.Popen(
        [sys.executable, "-m", "rcm.embedded.growth", str(state), "echo", "never"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "growing\n"
    process.terminate()
    assert process.wait(20) == 143
    assert process.stdout.read() == ""
    assert growth.growing(state) is not None


def test_ports_are_the_usual_ones_or_the_next_free_ones(monkeypatch):
    for name in ("WEB_PORT", "SIMULATOR_PORT", "MLLP_PORT", "DICOM_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(processes, "port_is_free", lambda port: port not in (8000, 8001, 2575))
    ports = processes.free_ports()
    assert (ports.web, ports.simulator, ports.mllp, ports.dicom) == (8002, 8010, 2576, 11112)
    monkeypatch.setenv("WEB_PORT", "8001")
    with pytest.raises(EmbeddedError, match=r"Port 8001 \(WEB_PORT\) is in use by another program"):
        processes.free_ports()
    monkeypatch.setenv("WEB_PORT", "eight")
    with pytest.raises(EmbeddedError, match="WEB_PORT=eight is not a port number"):
        processes.free_ports()


def test_reset_deletes_nothing_without_a_yes(running, monkeypatch):
    monkeypatch.setattr(launch, "ROOT", running.root)
    monkeypatch.delenv("RESET", raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert launch.reset() == 1
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(EmbeddedError, match="RESET=yes"):
        launch.reset()
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere/else")
    monkeypatch.setenv("RESET", "yes")
    with pytest.raises(EmbeddedError, match="a database of your own"):
        launch.reset()
    assert running.ask("select 1") == [(1,)]


def test_reset_with_a_yes_deletes_all_data(fresh, monkeypatch):
    fresh.start()
    monkeypatch.setattr(launch, "ROOT", fresh.root)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("RESET", "yes")
    assert launch.reset() == 0
    assert not fresh.home.folder.exists()
    assert not fresh.processes()


BESIDE = "collectstatic"  # runs beside the others, so its place among them is chance


def test_a_demo_that_was_cut_short_is_built_anew_on_an_empty_database(fresh, monkeypatch):
    addresses = fresh.start()
    monkeypatch.setattr(launch, "ROOT", fresh.root)
    monkeypatch.setattr(launch, "_fingerprint", lambda kind: "same")
    done = []
    monkeypatch.setattr(launch, "_manage", lambda *words, shown=False: done.append(words[0]))

    def prepare() -> list[str]:
        done.clear()
        launch._prepare(fresh.home, addresses, launch.Progress())
        return sorted(done, key=lambda word: word != BESIDE)

    assert prepare() == [BESIDE, "migrate", "load_starter", "build_demo"]
    assert prepare() == []
    fresh.ask("create table half_a_demo ()", role="owner_database_url")
    launch._Notes(fresh.home.folder / "prepared.json").set("demo", "building")
    assert prepare() == [BESIDE, "migrate", "load_starter", "build_demo"]
    assert fresh.ask("select to_regclass('half_a_demo')::text", role="owner_database_url") == [
        (None,)
    ]


def test_only_what_changed_is_prepared_again(fresh, monkeypatch):
    addresses = fresh.start()
    monkeypatch.setattr(launch, "ROOT", fresh.root)
    done = []
    monkeypatch.setattr(launch, "_manage", lambda *words, shown=False: done.append(words[0]))

    def prepare_after(path: str, text: str) -> list[str]:
        (fresh.root / path).parent.mkdir(parents=True, exist_ok=True)
        (fresh.root / path).write_text(text)
        done.clear()
        launch._prepare(fresh.home, addresses, launch.Progress())
        return sorted(done, key=lambda word: word != BESIDE)

    everything = [BESIDE, "migrate", "load_starter"]
    assert prepare_after("requirements.lock", "one") == [*everything, "build_demo"]
    assert prepare_after("claims/services.py", "new rule") == ["load_starter"]
    assert prepare_after("claims/migrations/0002_more.py", "new table") == [
        "migrate",
        "load_starter",
    ]
    assert prepare_after("rcm/web/static/web/app.css", "new colour") == [BESIDE]
    assert prepare_after("docs/operations.md", "new words") == []
    assert prepare_after("requirements.lock", "another version") == everything
    fresh.ask("create table django_migrations (id int)", role="owner_database_url")
    assert prepare_after("docs/operations.md", "the database was exchanged") == [
        "migrate",
        "load_starter",
    ]
