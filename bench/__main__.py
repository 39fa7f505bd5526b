"""Run the benches one after the other: `make bench`, or `python -m bench NAME… [OPTION…]` for some
of them; options go to each that is named: `make bench ARGS="kill_posting --rounds 30"`.

Each bench is a script of its own that prints figures and, beside them, the ratio to a floor or peer
of the same run. Nothing here passes or fails.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
# helpers of other benches, and those that need an hour of their own: named on the command line only
NOT_ALONE = {"__main__", "__init__", "x12_files", "scratch", "x12_peers", "dead_code", "styles"}
LONG = {"first_page", "fuzz_x12", "kill_posting", "api_fuzz", "demo", "money_model"}


def main(arguments: list[str]) -> int:
    cut = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    wanted, options = arguments[:cut], arguments[cut:]
    scripts = sorted(p for p in HERE.glob("*.py") if p.stem not in NOT_ALONE)
    names = {p.stem for p in scripts}
    unknown = [w for w in wanted if w not in names]
    if unknown:
        print(
            f"There is no bench called {', '.join(unknown)}. There are: {', '.join(sorted(names))}."
        )
        return 2
    failed = []
    for script in scripts:
        if script.stem not in wanted if wanted else script.stem in LONG:
            continue
        begun = time.monotonic()
        print(f"\n== {script.stem} ==", flush=True)
        command = [sys.executable, str(script), *options]
        if subprocess.run(command, cwd=HERE.parent, check=False).returncode:
            failed.append(script.stem)
        print(f"-- {time.monotonic() - begun:.0f} s", flush=True)
    if failed:
        print(f"\nDid not run to the end: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
