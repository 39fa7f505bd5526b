"""What `make run`, `make test`, `make check`, `make bench` and `make reset` do, once the virtual
environment is there.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg2
from honcho.compat import ProcessManager
from honcho.manager import Manager

from rcm.embedded import growth, server
from rcm.embedded.errors import EmbeddedError
from rcm.embedded.home import Endpoints, Home, close_in_forks, end_processes
from rcm.embedded.processes import COMMANDS, Ports, free_ports

ROOT = server.PROJECT_ROOT
BIN = Path(sys.executable).parent
# Every process of `make run` carries this variable, so that those a killed launcher left behind are
# known for what they are.
RUN_MARK = "ISOCENTER_RUN"
WEB_READY_SECONDS = 120
PYTEST_FOUND_NOTHING = 5
BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser")

CHECKS = (
    ("lint", ("ruff", "check", ".")),
    ("format", ("ruff", "format", "--check", ".")),
    ("templates", ("djade", "--check", "--target-version", "5.2")),
    ("styles", ("python", "bench/styles.py")),
    ("types", ("mypy", ".")),
    ("floors", ("lint-imports",)),
    ("dead code", ("python", "bench/dead_code.py")),
    ("migrations", ("python", "manage.py", "makemigrations", "--check", "--dry-run")),
)


class Progress:
    """One line a step: what, and how long it took."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        print(f"  {title} ...", flush=True)
        began = time.monotonic()
        yield
        print(f"  {title}: {time.monotonic() - began:.1f} s", flush=True)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began


class LaunchManager(Manager):
    """Honcho's manager, which tells the programs themselves to stop, and only after a while their
    whole groups.

    A worker told alone finishes its task; a pool process told with it drops the task half done.
    """

    def __init__(self, on_started: Callable[[], None]) -> None:
        super().__init__()
        self._procmgr = _GentleProcesses()
        self._on_started = on_started

    def _system_print(self, data: str) -> None:
        """Starts and stops as planned are no news; what is, is said at the end."""

    def _start(self) -> None:
        super()._start()
        threading.Thread(target=self._on_started, daemon=True).start()

    def ended_first(self) -> tuple[str, int] | None:
        """The first process that ended by itself, with its exit code."""
        for name, process in self._processes.items():
            if process.get("returncode", 0) > 0:
                return name, process["returncode"]
        return None


class _GentleProcesses(ProcessManager):
    def terminate(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            psutil.Process(pid).terminate()


def run() -> int:
    """Start everything, stay until Ctrl-C, stop everything."""
    progress = Progress()
    home = Home.of(ROOT)
    home.prepare()
    (ROOT / "var").mkdir(exist_ok=True)
    with _only_one(home) as note:
        _end_leftovers(home)
        with contextlib.ExitStack() as stack:
            with progress.step("PostgreSQL and Redis"):
                external = os.environ.get("DATABASE_URL")
                addresses = None if external else stack.enter_context(server.held(ROOT))
                if external and not os.environ.get("REDIS_URL"):
                    raise EmbeddedError(
                        "DATABASE_URL is set but REDIS_URL is not: set both, or neither."
                    )
            _prepare(home, addresses, progress)
            still = growth.growing(_growth_file(home)) if addresses else None
            ports = free_ports()
            address = f"http://127.0.0.1:{ports.web}/"
            note(address)
            return _serve(home, ports, address, progress, still)


def _serve(
    home: Home, ports: Ports, address: str, progress: Progress, still: growth.Growth | None
) -> int:
    print("  Web, workers, listeners and payer simulator ...", flush=True)

    def announce() -> None:
        if _answers(f"{address}healthz", WEB_READY_SECONDS):
            print(_banner(address, ports, progress.elapsed, still), flush=True)
        else:
            print(
                f"\nNothing answers at {address} after {WEB_READY_SECONDS} s; the messages above"
                " say why.\n",
                flush=True,
            )

    environment = {
        **os.environ,
        "LOG_LEVEL": "WARNING",
        **ports.as_environment(),
        RUN_MARK: str(home.folder),
    }
    environment["PATH"] = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    environment["PYTHONUNBUFFERED"] = "1"
    if os.geteuid() == 0:
        environment["PYTHONWARNINGS"] = "ignore:You're running the worker with superuser privileges"
    commands = dict(COMMANDS)
    if still is not None:
        environment |= {
            "ISOCENTER_SINCE": still.now,
            "ISOCENTER_DEMO_PROGRESS": str(_growth_file(home)),
        }
        commands |= _growing_first(home, commands)
    manager = LaunchManager(announce)
    for name, command in commands.items():
        # all start at once on few cores: the pages that somebody waits for come first
        later = () if name == "web" or not shutil.which("nice") else ("nice", "-n", "10")
        manager.add_process(
            name, "exec " + shlex.join((*later, *command)), env=environment, cwd=str(ROOT)
        )
    try:
        manager.loop()
    finally:
        _end_leftovers(home, quietly=True)
    if manager.returncode in (130, 143):
        print("Stopped; the data stay. `make run` goes on where you left.")
        return 0
    name, code = manager.ended_first() or ("A process", manager.returncode or 1)
    print(
        f"{name} ended by itself (exit code {code}), so everything was stopped. Its messages are"
        " above.",
        file=sys.stderr,
    )
    return 1


def _growth_file(home: Home) -> Path:
    return home.folder / "growth.json"


def _growing_first(
    home: Home, commands: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """What is done by the clock waits until the demo is grown: it would work on a past half
    told.
    """
    if "beat" not in commands:
        return {}
    grow = ("python", "-m", "rcm.embedded.growth", str(_growth_file(home)))
    return {"beat": (*grow, *commands["beat"])}


def _banner(address: str, ports: Ports, seconds: float, still: growth.Growth | None) -> str:
    logins = ROOT / "var" / "demo-logins.txt"
    lines = ["", f"Isocenter is ready after {seconds:.0f} s: {address}", ""]
    if logins.exists():
        lines += ["Demo logins:", *(f"  {line}" for line in logins.read_text().splitlines()), ""]
    code = ROOT / "var" / "setup-code.txt"
    if code.exists() and not logins.exists():
        lines += [f"Begin at {address}setup/ with the code {code.read_text().strip()}", ""]
    lines += [
        f"HL7 over MLLP: 127.0.0.1:{ports.mllp}   DICOM MPPS: 127.0.0.1:{ports.dicom}",
        *([f"{still.sentence}. It goes on by itself, after a stop too."] if still else []),
        "Ctrl-C stops everything.",
        "",
    ]
    return "\n".join(lines)


@contextlib.contextmanager
def _only_one(home: Home) -> Iterator[Callable[[str], None]]:
    """Hold the place of the one running product of this checkout; yields how to note its
    address.
    """
    with (home.folder / "run.lock").open("a+") as file:
        close_in_forks(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            where = file.read().strip() or "still starting"
            raise EmbeddedError(
                f"Isocenter already runs in this checkout ({where}). Stop it there with Ctrl-C"
                " first, or use it."
            ) from None

        def note(address: str) -> None:
            file.truncate(0)
            file.write(f"{address}, process {os.getpid()}")
            file.flush()

        file.truncate(0)
        yield note


def _end_leftovers(home: Home, *, quietly: bool = False) -> None:
    """End what carries this checkout's run mark: after a killed launcher, or after the last
    stop.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(RUN_MARK) == str(home.folder) and process.pid != os.getpid():
                found.append(process)
    if found and not quietly:
        print(f"  Ending {len(found)} processes of an earlier run that was killed.", flush=True)
    end_processes(found, patience_seconds=5)


# --- what must be done before the product can serve -----------------------------------------------


def _prepare(home: Home, addresses: Endpoints | None, progress: Progress) -> None:
    """Schema, reference data, static files and, in a new embedded database, the demo; each skipped
    when nothing changed.
    """
    notes = _Notes(home.folder / "prepared.json")
    if addresses and notes.get("demo") == "building":
        with progress.step("Removing a demo whose making was cut short"):
            server.recreate_database(ROOT)
            notes.forget()
            _growth_file(home).unlink(missing_ok=True)
    always = addresses is None
    with _static_files(notes, progress, always=always):
        _prepare_data(home, notes, addresses, progress, always=always)


@contextlib.contextmanager
def _static_files(notes: _Notes, progress: Progress, *, always: bool) -> Iterator[None]:
    """Collect and compress what browsers load, beside the work on the data: it needs no
    database.
    """
    static = _fingerprint("static")
    if not always and notes.get("static") == static:
        yield
        return
    with ThreadPoolExecutor(1) as pool:
        # maps and the second of two API readers are for nobody here, and compressing them takes
        # longest
        collecting = pool.submit(
            _manage, "collectstatic", "--no-input", "--ignore", "*.map", "--ignore", "redoc"
        )
        yield
        with progress.step("Static files"):
            collecting.result()
    notes.set("static", static)


def _prepare_data(
    home: Home, notes: _Notes, addresses: Endpoints | None, progress: Progress, *, always: bool
) -> None:
    schema = f"{_fingerprint('schema')}/{_schema_state(addresses)}"
    starter = _fingerprint("product")
    if always or notes.get("schema") != schema:
        with progress.step("Database schema"):
            _manage("migrate", "--no-input")
        notes.set("schema", f"{_fingerprint('schema')}/{_schema_state(addresses)}")
        notes.set("starter", "")
    if always or notes.get("starter") != starter:
        with progress.step("Starter reference data"):
            _manage("load_starter")
        notes.set("starter", starter)
    if addresses and notes.get("demo") is None and os.environ.get("DEMO", "") == "none":
        notes.set("demo", "none")
    if notes.get("demo") == "none" and notes.get("code") is None:
        _setup_code()
        notes.set("code", "made")
    if addresses and notes.get("demo") not in ("done", "none"):
        notes.set("demo", "building")
        with progress.step("The newest days of the living demo (once)"):
            exams, months = os.environ.get("DEMO_EXAMS", "2000"), os.environ.get("DEMO_MONTHS", "6")
            size = ("--exams", exams, "--months", months)
            _manage("build_demo", *size, "--state", str(_growth_file(home)), shown=True)
        notes.set("demo", "done")


def _setup_code() -> None:
    """The word that the first person types: who can read this machine's files may begin."""
    path = ROOT / "var" / "setup-code.txt"
    with (
        contextlib.suppress(FileExistsError),
        open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file,
    ):
        file.write(f"{secrets.token_hex(4)}\n")


class _Notes:
    """What was prepared, remembered beside the data it is about."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.suppress(FileNotFoundError, ValueError):
            self.values: dict[str, str] = json.loads(path.read_text())
            return
        self.values = {}

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    def set(self, name: str, value: str) -> None:
        self.values[name] = value
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(self.values))
        draft.replace(self.path)

    def forget(self) -> None:
        self.values = {}
        self.path.unlink(missing_ok=True)


def _fingerprint(kind: str) -> str:
    """Changes whenever a file of this kind does: `schema` (migrations), `static` (what browsers
    fetch) or `product` (the rest).

    A change of the pinned wheels, which bring migrations and static files of their own, changes all
    of them.
    """
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__")) and name not in ("var", "tests", "bench", "docs")
        )
        inside = set(Path(folder).relative_to(ROOT).parts)
        here = "schema" if "migrations" in inside else "static" if "static" in inside else "product"
        for name in sorted(files):
            if here == kind or name == "requirements.lock":
                path = os.path.join(folder, name)
                found = os.stat(path)
                digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _schema_state(addresses: Endpoints | None) -> str:
    """Which migrations the database has had; so a database that was exchanged is noticed."""
    if addresses is None:
        return "external"
    with (
        contextlib.closing(psycopg2.connect(addresses.owner_database_url)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("select to_regclass('django_migrations')")
        if cursor.fetchone() == (None,):
            return "empty"
        cursor.execute("select count(*), max(id) from django_migrations")
        return str(cursor.fetchone())


def _manage(*arguments: str, shown: bool = False) -> None:
    """Run one of the product's commands; its output is shown when it fails, or as it comes when
    asked.
    """
    command = [sys.executable, "manage.py", *arguments]
    result = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=not shown,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode:
        if not shown:
            print(result.stdout + result.stderr, file=sys.stderr)
        raise EmbeddedError(f"`manage.py {' '.join(arguments)}` failed; its messages are above.")


def _answers(address: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310
                return bool(answer.status < 500)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return True
        except OSError:
            pass
        time.sleep(0.2)
    return False


# --- the developer's commands ---------------------------------------------------------------------


def check() -> int:
    """Every static check; all of them run, so that one run shows all that is wrong."""
    failed = []
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    with _servers():
        for name, command in CHECKS:
            began = time.monotonic()
            files = _templates() if name == "templates" else []
            result = subprocess.run([*command, *files], cwd=ROOT, env=environment, check=False)
            verdict = "ok" if result.returncode == 0 else "FAILED"
            print(f"{name}: {verdict} ({time.monotonic() - began:.1f} s)", flush=True)
            if result.returncode:
                failed.append(name)
    print(f"make check: {'failed: ' + ', '.join(failed) if failed else 'all clean'}")
    return 1 if failed else 0


def _templates() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "templates").rglob("*.html"))


def test(arguments: list[str]) -> int:
    """The whole suite, or what the arguments name; exit code of pytest."""
    _have_browser()
    with _servers():
        arguments = arguments or ["-n", "2"]
        command = [sys.executable, "-m", "pytest", *arguments]
        code = subprocess.run(command, cwd=ROOT, env=_without_settings(), check=False).returncode
    if code == PYTEST_FOUND_NOTHING:
        print("pytest found no test to run, which counts as a failure here.", file=sys.stderr)
    return code


def bench(arguments: list[str]) -> int:
    """The benches, one after the other."""
    with _servers():
        return subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            cwd=ROOT,
            env=_without_settings(),
            check=False,
        ).returncode


def _without_settings() -> dict[str, str]:
    """The environment without the product's settings, which importing `rcm` named for us: suite and
    benches have their own, under which a database of their own may be made.
    """
    return {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}


@contextlib.contextmanager
def _servers() -> Iterator[None]:
    with contextlib.nullcontext() if os.environ.get("DATABASE_URL") else server.held(ROOT):
        yield


def _have_browser() -> None:
    """Debian's Chromium for the browser tests: installed when we may, missed aloud when we may
    not.
    """
    if any(Path(path).exists() for path in BROWSERS):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing Debian's chromium for the browser tests (once) ...", flush=True)
        quiet: Mapping[str, str] = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"],
        ):
            subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False)
    if not any(Path(path).exists() for path in BROWSERS):
        print(
            "\n*** No Chromium here: THE BROWSER TESTS WILL BE SKIPPED. Install the package"
            " `chromium`. ***\n",
            flush=True,
        )


def reset() -> int:
    """Delete this checkout's embedded data, after a yes."""
    if os.environ.get("DATABASE_URL"):
        raise EmbeddedError(
            "DATABASE_URL points at a database of your own; `make reset` deletes only embedded"
            " data."
        )
    home = Home.of(ROOT)
    if not home.folder.exists():
        print("There are no embedded data in this checkout.")
        return 0
    if os.environ.get("RESET") != "yes":
        if not sys.stdin.isatty():
            raise EmbeddedError(
                f"This deletes all data in {home.folder}. Say RESET=yes to do it without a"
                " question."
            )
        if input(f"Delete all data in {home.folder}? Type yes: ").strip().lower() != "yes":
            print("Nothing was deleted.")
            return 1
    with _only_one(home):
        _end_leftovers(home)
        server.wipe(ROOT)
    for name in ("media", "mail"):
        shutil.rmtree(ROOT / "var" / name, ignore_errors=True)
    for name in ("demo-logins.txt", "setup-code.txt"):
        (ROOT / "var" / name).unlink(missing_ok=True)
    print("All data are gone. `make run` builds a new demo.")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rcm.embedded.launch")
    parser.add_argument("command", choices=("run", "check", "test", "bench", "reset"))
    options, rest = parser.parse_known_args(arguments)
    rest = rest[1:] if rest[:1] == ["--"] else rest
    try:
        match options.command:
            case "run":
                return run()
            case "check":
                return check()
            case "test":
                return test(rest)
            case "bench":
                return bench(rest)
            case _:
                return reset()
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
