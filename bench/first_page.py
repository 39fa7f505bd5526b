"""`make run` in a fresh clone, with this checkout's wheels: seconds and CPU seconds until the first
page, and with `--grown` until the demo is grown.

    python bench/first_page.py [--grown]        # DEMO_EXAMS and DEMO_MONTHS as for `make run`

CPU seconds count everything that the clone started, servers too; on a busy machine they say more
than the clock.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
NOT_OURS = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")


def spent(clone: Path, data: Path) -> float:
    """CPU seconds of all processes at work in the clone or its data, and of those they ended."""
    total = 0.0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            place = Path(process.cwd())
            if place.is_relative_to(clone) or place.is_relative_to(data):
                total += sum(process.cpu_times()[:4])
    return total


def follow(clone: Path, *, grown: bool) -> None:
    from rcm.embedded.home import Home

    data = Home.of(clone).folder
    environment = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    began = time.monotonic()
    run = subprocess.Popen(
        ["make", "run"], cwd=clone, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("  ") and " s" in line and "@" not in line:
            print(line.rstrip())
        first, end = "Isocenter is ready after" in line, "The demo is grown" in line
        if first or end:
            print(
                f"{'first page' if first else 'grown'}: {time.monotonic() - began:.0f} s,"
                f" {spent(clone, data):.0f} CPU seconds, load {os.getloadavg()[0]:.1f} on"
                f" {os.cpu_count()} cores",
                flush=True,
            )
        if end or (first and not grown):
            for child in psutil.Process(run.pid).children():
                child.send_signal(signal.SIGINT)
    run.wait()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="isocenter-first-page-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        (clone / ".venv").symlink_to((ROOT / ".venv").resolve())
        for stamp in (ROOT / ".venv").glob("*.stamp"):
            stamp.touch()
        try:
            follow(clone, grown="--grown" in sys.argv)
        finally:
            subprocess.run(
                ["make", "reset"], cwd=clone, env={**os.environ, "RESET": "yes"}, check=False
            )


if __name__ == "__main__":
    main()
