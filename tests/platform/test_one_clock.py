"""Nothing but the clock turns a moment into a day: elsewhere a day would be the server's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ("rcm", "intake", "authorizations", "charges", "claims", "remittance", "ar")
CLOCK = "rcm/accounts/clock.py"
BANNED = {"localdate", "localtime"}
# where a day is read from a written date, which carries no moment
READS_TEXT = {"rcm/simulator/post.py", "rcm/web/format.py"}


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if "/migrations/" not in name and name != CLOCK:
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def _days_taken(name: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        call = node.func
        if call.attr in BANNED and isinstance(call.value, ast.Name):
            yield f"{name}:{node.lineno} {call.value.id}.{call.attr}()"
        elif call.attr == "today" and isinstance(call.value, ast.Name) and call.value.id == "date":
            yield f"{name}:{node.lineno} date.today()"
        elif call.attr == "date" and not node.args and name not in READS_TEXT:
            yield f"{name}:{node.lineno} .date()"


def test_only_the_clock_turns_a_moment_into_a_day() -> None:
    found = [spot for name, tree in _sources() for spot in _days_taken(name, tree)]
    assert found == [], "ask SiteClock, day_at or office_day"


def test_the_check_finds_what_it_looks_for() -> None:
    text = "timezone.localdate(at); date.today(); at.astimezone(zone).date(); timezone.localtime()"
    assert len(list(_days_taken("planted.py", ast.parse(text)))) == 4
