"""The months of the demo grow behind its first page: killed in the middle they go on where they
stood, told again they add nothing, and every proof holds at the end.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rcm.embedded import growth
from tests import databases
from tests.e2e.house import ROOT, base_environment, broker, database, run

pytestmark = pytest.mark.processes
MANAGE = [sys.executable, "manage.py"]
COUNTED = (
    "charges_exam",
    "claims_claim",
    "remittance_remittance",
    "ledger_ledgertransaction",
    "ar_patientpayment",
    "ar_statement",
    "ar_auditsample",
    "intake_appointment",
    "exchange_interchange",
)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with broker(tmp_path) as address, database("isocenter_growth", address) as addresses:
        yield base_environment(**addresses, MEDIA_ROOT=str(tmp_path / "media"))


def _counts() -> dict[str, int]:
    with databases.connected(_superuser()) as cursor:
        found = {}
        for table in COUNTED:
            cursor.execute(f"SELECT count(*) FROM {table}")
            found[table] = cursor.fetchone()[0]
        return found


def _superuser() -> str:
    return databases.in_database(databases.superuser_url(), "isocenter_growth")


def _grow_until(share: float, state: Path, environment: dict[str, str]) -> None:
    """Start growing, and kill all its processes with -9 once it is that far."""
    process = subprocess.Popen(
        [*MANAGE, "build_demo", "--grow", str(state)],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 300
        while min(growth.read(state).done.values(), default=0.0) < share:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="looks at all rows as superuser")
def test_a_killed_growth_goes_on_and_every_proof_holds(environment, tmp_path):
    state = tmp_path / "growth.json"
    size = ["--exams", "60", "--months", "0.8"]
    run([*MANAGE, "build_demo", *size, "--state", str(state)], environment)
    first_page = _counts()
    assert first_page["intake_appointment"] > 0
    assert growth.growing(state).sentence == "The demo is still growing: month 1 of 1"

    _grow_until(0.4, state, environment)
    killed = _counts()
    assert killed["exchange_interchange"] > first_page["exchange_interchange"]
    assert growth.growing(state) is not None

    grow = [*MANAGE, "build_demo", "--grow", str(state)]
    run(grow, environment)
    grown = _counts()
    assert growth.growing(state) is None
    assert grown["charges_exam"] > killed["charges_exam"] > first_page["charges_exam"]
    assert grown["remittance_remittance"] > 0
    with databases.connected(_superuser()) as cursor:
        cursor.execute(
            "SELECT organization_id, control_number FROM exchange_interchange WHERE direction ="
            " 'in' AND control_number LIKE 'RIS:%' GROUP BY 1, 2 HAVING count(*) > 1"
        )
        assert cursor.fetchall() == []
    assert "0 breaches" in run([*MANAGE, "prove"], environment).splitlines()[-1]

    # told again although nothing is left to tell
    growth.write(state, dataclasses.replace(growth.read(state), finished=False))
    run(grow, environment)
    assert _counts() == grown
