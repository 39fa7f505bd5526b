"""A real posting worker, killed with SIGKILL in the middle of an 835, started again: nothing lost,
nothing twice, nothing half.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import psutil
import pytest

from claims.models import Claim
from rcm.accounts.scope import scope
from rcm.exchange.services import process, store_inbound
from rcm.ledger.models import LedgerTransaction
from rcm.worklist.models import WorkItem
from remittance.models import ClaimPayment, Denial, Remittance
from remittance.services import posting_start
from tests.exchange.conftest import ROOT, suite_database_url
from tests.exchange.test_workers import Broker, wait_for
from tests.remittance import crowd

pytestmark = pytest.mark.processes
CLAIMS = 300


def start_worker(broker: Broker, folder) -> subprocess.Popen:
    environment = {
        **os.environ,
        "DATABASE_URL": suite_database_url(),
        "REDIS_URL": broker.url,
        "ISOCENTER_DEMO": "yes",
        "POSTING_CHUNK": "20",
    }
    environment["DJANGO_SETTINGS_MODULE"] = "rcm.settings"
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "rcm",
        "worker",
        "-Q",
        "realtime,posting",
        "-c",
        "2",
        "-l",
        "error",
        "-B",
        "-s",
        str(folder / "beat"),
    ]
    return subprocess.Popen(
        [*command, "--without-gossip", "--without-mingle"], cwd=ROOT, env=environment
    )


def kill_tree(worker: subprocess.Popen) -> None:
    """SIGKILL to the worker and its children, all at once."""
    family = [*psutil.Process(worker.pid).children(recursive=True), psutil.Process(worker.pid)]
    for one in family:
        one.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, 10)
    worker.wait(10)


def test_a_posting_worker_killed_in_the_middle_finishes_unaided_and_to_the_cent(
    cast_committed, tmp_path
):
    cast = cast_committed
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    content, total = crowd.advice(CLAIMS)
    with scope(cast.system):
        crowd.claims(cast.a, cast.north, CLAIMS, actor=cast.system)
        interchange, _ = store_inbound(
            organization_id=cast.a.pk, kind="835", content=content, at=crowd.AT, actor=cast.system
        )
    process([interchange.pk], actor=cast.system, at=crowd.AT)
    with scope(cast.system):
        remittance = Remittance.objects.get()
        posting_start(remittance=remittance, actor=cast.actor("pia"), at=crowd.AT)
    broker = Broker(tmp_path)

    def posted() -> int:
        with scope(cast.system):
            return ClaimPayment.objects.filter(state="posted").count()

    def done() -> bool:
        with scope(cast.system):
            return Remittance.objects.get().status == "posted"

    worker = start_worker(broker, tmp_path)
    try:
        enough = random.Random(seed).randrange(1, CLAIMS // 2)
        wait_for(lambda: posted() >= enough, "posting has begun", 120)
        kill_tree(worker)
        halfway = posted()
        assert 0 < halfway < CLAIMS, "the kill came in the middle"
        assert halfway % 20 == 0, "chunks are whole or not at all"
        with scope(cast.system):
            assert crowd.broken() == {"Q1": 0, "Q2": 0, "Q3": 0, "Q4": 0}
        worker = start_worker(broker, tmp_path)
        wait_for(done, "it finishes unaided", 90)
    finally:
        kill_tree(worker)
        broker.kill()
    with scope(cast.system):
        assert crowd.broken() == {"Q1": 0, "Q2": 0, "Q3": 0, "Q4": 0}
        assert Remittance.objects.get().amount == total
        keys = LedgerTransaction.objects.filter(source_type="claim_payment").values_list(
            "effect_key", flat=True
        )
        assert len(keys) == len(set(keys)) == CLAIMS
        assert Denial.objects.count() == CLAIMS // 10
        assert WorkItem.objects.filter(queue="denials", status="open").count() == CLAIMS // 10
        assert Claim.objects.filter(status="accepted").count() == 0
