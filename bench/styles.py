"""Style sheets, scripts and templates in one form: `python bench/styles.py` names what is not, with
`--fix` it writes style sheets and scripts anew. A part of `make check`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cssbeautifier
import jsbeautifier

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 100
WIDE_TODAY = 105
"""Lines of templates that are still wider. The number only shrinks."""
VENDORED = {"htmx.js"}


def files(suffix: str) -> list[Path]:
    """Static files of ours; what others made stays as they made it."""
    return [
        path
        for path in sorted((ROOT / "rcm").glob(f"*/static/**/*{suffix}"))
        if path.name not in VENDORED
    ]


def tidy(path: Path) -> str:
    """The file as it should be: two blanks, one declaration a line."""
    text = path.read_text("utf-8")
    module = cssbeautifier if path.suffix == ".css" else jsbeautifier
    options = module.default_options()
    options.indent_size = 2
    options.end_with_newline = True
    return str(module.beautify(text, options))


def untidy() -> list[Path]:
    found = [*files(".css"), *files(".js")]
    return [path for path in found if tidy(path) != path.read_text("utf-8")]


def wide() -> list[str]:
    """Lines of templates that are wider than an editor shows."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {len(line)} characters"
        for path in sorted((ROOT / "templates").rglob("*.html"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if len(line) > WIDTH
    ]


def main(arguments: list[str]) -> int:
    found = untidy()
    if "--fix" in arguments:
        for path in found:
            path.write_text(tidy(path), "utf-8")
        found = []
    for path in found:
        print(f"{path.relative_to(ROOT)} is not in its form: python bench/styles.py --fix")
    lines = wide()
    if len(lines) > WIDE_TODAY:
        print("\n".join(lines))
        print(f"{len(lines)} lines of templates are too wide; there may be {WIDE_TODAY}.")
    return 1 if found or len(lines) > WIDE_TODAY else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
