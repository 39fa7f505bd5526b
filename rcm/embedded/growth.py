"""The demo that grows while people look at it: how large it is to be and how far it is, in one
small file beside the data; and the process that sees it through.

    python -m rcm.embedded.growth FILE COMMAND ...     # grow, then become the command
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

TRIES = 3
STOPPED = 143


@dataclass(frozen=True, slots=True)
class Growth:
    """A demo under way. `now` is the moment at which its story ends; `done` the share of the
    calendar that each organization has behind it.
    """

    exams: int
    months: float
    now: str
    done: Mapping[str, float] = field(default_factory=dict)
    finished: bool = False

    def with_share(self, organization: str, share: float) -> Growth:
        return replace(self, done={**self.done, organization: round(share, 4)})

    @property
    def sentence(self) -> str:
        """What the pages say of it; nothing once it is grown."""
        if self.finished:
            return ""
        months = max(1, math.ceil(self.months))
        share = min(self.done.values(), default=0.0)
        return (
            f"The demo is still growing: month {min(months, int(share * months) + 1)} of {months}"
        )


def read(path: Path) -> Growth:
    return Growth(**json.loads(path.read_text()))


def write(path: Path, growth: Growth) -> None:
    """In one piece: whoever reads sees the old one or the new one."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(growth)))
    draft.replace(path)


def growing(path: Path) -> Growth | None:
    """What is still to grow, if anything is."""
    try:
        found = read(path)
    except (OSError, ValueError, TypeError):
        return None
    return None if found.finished else found


def see_through(path: Path, command: list[str]) -> bool:
    """Run the command until the demo is grown; one that was killed is run again, since it goes on
    where it stood. Told to stop, it stops with it.
    """
    children: list[subprocess.Popen[bytes]] = []
    told: list[int] = []

    def stop(number: int, frame: object) -> None:
        told.append(number)
        for child in children:
            child.terminate()

    signal.signal(signal.SIGTERM, stop)
    for _ in range(TRIES):
        children = [subprocess.Popen(command)]
        code = children[0].wait()
        if told:
            raise SystemExit(STOPPED)
        if code == 0:
            return True
        print("The growing of the demo was cut short; it goes on.", file=sys.stderr, flush=True)
    return growing(path) is None


def main(path: Path, after: list[str]) -> None:
    if growing(path) is not None:
        command = [sys.executable, "manage.py", "build_demo", "--grow", str(path)]
        if see_through(path, command):
            print("The demo is grown.", flush=True)
        else:
            print("The demo stays as it is; the next start goes on with it.", file=sys.stderr)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.execvp(after[0], after)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
