"""The house in figures: `python bench/house.py`. Sizes and habits of the sources, to hold one state
beside another.

Lines and widths count the product's Python (no tests, no migrations); templates and tests have
figures of their own. Complexity is McCabe's, as radon counts it.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

from radon.complexity import cc_visit
from radon.visitors import Function

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("rcm", "intake", "authorizations", "charges", "claims", "remittance", "ar")
SAME_LINES = 12
"""A block that stands twice word for word counts as duplicated from this many lines on."""


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file of the product."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def sources() -> list[Source]:
    found = []
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*.py")):
            if "migrations" not in path.parts:
                text = path.read_text("utf-8")
                found.append(Source(path, text, ast.parse(text)))
    return found


def functions(source: Source) -> Iterator[tuple[str, int]]:
    """Name and complexity of every function and method of a file."""
    for block in cc_visit(source.text):
        if not isinstance(block, Function):
            continue  # a class repeats its methods
        yield block.fullname, block.complexity
        for inner in getattr(block, "closures", ()):
            yield f"{block.fullname}.{inner.name}", inner.complexity


def conditional_expressions(source: Source) -> int:
    return sum(isinstance(node, ast.IfExp) for node in ast.walk(source.tree))


def nested_conditionals(source: Source) -> int:
    """Conditional expressions that stand inside another one."""
    return sum(
        isinstance(inner, ast.IfExp)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.IfExp)
        for inner in (node.body, node.test, node.orelse)
    )


def late_imports(source: Source) -> int:
    """Imports inside a function, without those of `ready()`, where Django asks for them."""
    return sum(
        isinstance(inner, ast.Import | ast.ImportFrom)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "ready"
        for inner in ast.walk(node)
    )


def comments(source: Source) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(source.text).readline)
    return sum(token.type == tokenize.COMMENT for token in tokens)


def duplicated_blocks(files: list[Source]) -> int:
    """Places whose lines stand somewhere else too, word for word, imports left out."""
    windows = [list(_windows(source)) for source in files]
    count = Counter(window for found in windows for window in found)
    places = 0
    for found in windows:
        twice = [count[window] > 1 for window in found]
        places += sum(now and not before for before, now in pairwise([False, *twice]))
    return places


def _windows(source: Source) -> Iterator[tuple[str, ...]]:
    kept = [line.strip() for line in source.lines]
    kept = [line for line in kept if line and not line.startswith(("import ", "from ", "#"))]
    for start in range(len(kept) - SAME_LINES + 1):
        yield tuple(kept[start : start + SAME_LINES])


def circles() -> str:
    """What the import contract says: circles and evasions fail it."""
    done = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False)
    return "kept" if done.returncode == 0 else "broken"


def templates() -> list[str]:
    return [path.read_text("utf-8") for path in sorted((ROOT / "templates").rglob("*.html"))]


def width(lines: list[str], of_ten: int) -> int:
    """The width that `of_ten` tenths of the non-blank lines do not exceed."""
    return round(quantiles([len(line) for line in lines if line.strip()], n=10)[of_ten - 1])


def figures() -> Iterator[tuple[str, str]]:
    files = sources()
    lines = [line for source in files for line in source.lines]
    thousand = len(lines) / 1000
    ranked = sorted(
        ((c, f"{s.path.relative_to(ROOT)} {n}") for s in files for n, c in functions(s)),
        reverse=True,
    )
    yield "lines of Python", f"{len(lines):,}"
    yield "line width, p90", f"{width(lines, 9)} (longest {max(map(len, lines))})"
    yield "functions", f"{len(ranked):,}"
    yield "above complexity 12", f"{sum(c > 12 for c, _ in ranked)}"
    yield "above complexity 20", f"{sum(c > 20 for c, _ in ranked)}"
    yield "the worst", ", ".join(f"{name} {c}" for c, name in ranked[:3])
    found = sum(map(conditional_expressions, files))
    yield "conditional expressions per 1,000 lines", f"{found / thousand:.1f}"
    yield "nested ones", f"{sum(map(nested_conditionals, files))}"
    yield "comments per 1,000 lines", f"{sum(map(comments, files)) / thousand:.1f}"
    yield "late imports", f"{sum(map(late_imports, files))}"
    off = re.compile(r"#\s*fmt:\s*(?:skip|off)")
    yield "formatter switched off", f"{sum(bool(off.search(line)) for line in lines)}"
    yield "blocks that stand twice", f"{duplicated_blocks(files)}"
    yield "import contract", circles()
    pages = [line for text in templates() for line in text.splitlines()]
    filled = [line for line in pages if line.strip()]
    yield "lines of templates", f"{len(pages):,}"
    mean = sum(map(len, filled)) / len(filled)
    yield "characters a template line", f"{mean:.0f} (longest {max(map(len, filled))})"
    tests = [p for p in (ROOT / "tests").rglob("*.py")]
    yield "lines of tests", f"{sum(len(p.read_text('utf-8').splitlines()) for p in tests):,}"


def main() -> int:
    for label, value in figures():
        print(f"{label:<42}{value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
