"""docs/partner_quickstart.py, as printed, against a running server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rcm.accounts.scope import scope
from rcm.demo.people import PARTNER_ID, PARTNER_SECRET, partner_make
from tests.security.world import World

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "partner_quickstart.py"


@pytest.mark.django_db(transaction=True)
def test_the_partner_script_works_as_printed(cast_committed, live_server) -> None:
    cast = cast_committed
    World(cast.a, cast.north, cast.user("ana"), "CANA").build()
    with scope(cast.system):
        partner_make(cast.a)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), live_server.url, PARTNER_ID, PARTNER_SECRET],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line[:2] for line in lines if line[0].isdigit()] == [
        "1.",
        "2.",
        "3.",
        "4.",
        "5.",
        "6.",
        "7.",
        "8.",
    ]
    assert "sent twice, placed once" in done.stdout
    assert "of 80.00 is ready" in done.stdout


def test_the_page_prints_the_scripts_own_call() -> None:
    page = SCRIPT.with_name("api.md").read_text(encoding="utf-8")
    assert (
        "python docs/partner_quickstart.py http://127.0.0.1:8000 demo-partner"
        " demo-partner-secret-for-play-only" in page
    )
    script = SCRIPT.read_text(encoding="utf-8")
    call = " ".join(
        script.partition("    python ")[2].partition("\n\n")[0].replace("\\", "").split()
    )
    assert (
        call == "docs/partner_quickstart.py http://127.0.0.1:8000 demo-partner"
        " demo-partner-secret-for-play-only"
    )
