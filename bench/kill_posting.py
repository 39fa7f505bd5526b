"""Posting workers killed with SIGKILL at random moments, round after round.

    python bench/kill_posting.py [--rounds 30] [--claims 1000] [--seed N]

Each round posts an 835 of 1,000 claims × 3 lines on a real Celery worker (broker, beat, a database
of this bench's own) and kills the pool child, the worker with its children, or nothing in between,
once or twice at a random moment; the worker is started again and must finish unaided. After each
round Q1 to Q4 are empty and the order-free digest of the postings equals that of a round that was
not killed. Printed: rounds, kills, lost, doubled, half, and how long it took after the last start.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rcm.settings.test")
os.environ["ISOCENTER_TEST_DB"] = "bench_kill_posting"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--claims", type=int, default=1000)
    parser.add_argument("--chunk", type=int, default=50)
    parser.add_argument("--seed", type=int, default=20260925)
    chosen = parser.parse_args()
    import django

    django.setup()
    import psutil
    from django.core.management import call_command
    from django.db import connection
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    setup_test_environment()
    config = setup_databases(verbosity=0, interactive=False, serialized_aliases=())
    owner = {k: connection.settings_dict[k] for k in ("USER", "PASSWORD")}
    worker: subprocess.Popen | None = None
    broker = None
    try:
        from tests.conftest import _as_app, make_cast, truncate_as_owner

        _as_app(connection)
        with open(os.devnull, "w") as quiet:
            call_command("load_starter", verbosity=0, stdout=quiet)
        from rcm.accounts.scope import scope
        from rcm.exchange.outbox import asleep
        from rcm.exchange.services import process, store_inbound
        from remittance.models import ClaimPayment, Remittance
        from remittance.services import posting_start
        from tests.exchange.conftest import suite_database_url
        from tests.exchange.test_workers import Broker
        from tests.remittance import crowd

        folder = Path(tempfile.mkdtemp())
        broker = Broker(folder)
        environment = {
            **os.environ,
            "DATABASE_URL": suite_database_url(),
            "REDIS_URL": broker.url,
            "ISOCENTER_DEMO": "yes",
        }
        environment |= {
            "DJANGO_SETTINGS_MODULE": "rcm.settings",
            "POSTING_CHUNK": str(chosen.chunk),
            "LOG_LEVEL": "ERROR",
        }
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
            "critical",
            "-B",
        ]
        command += ["-s", str(folder / "beat"), "--without-gossip", "--without-mingle"]

        def start() -> subprocess.Popen:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

        dice = random.Random(chosen.seed)
        content, _ = crowd.advice(chosen.claims)
        whole = None
        kills = lost = doubled = half = 0
        slowest = 0.0
        for number in range(chosen.rounds + 1):
            truncate_as_owner()
            cast = make_cast()
            with asleep(), scope(cast.system):
                crowd.claims(cast.a, cast.north, chosen.claims, actor=cast.system)
                interchange, _ = store_inbound(
                    organization_id=cast.a.pk,
                    kind="835",
                    content=content,
                    at=crowd.AT,
                    actor=cast.system,
                )
            with asleep():
                process([interchange.pk], actor=cast.system, at=crowd.AT)
            with asleep(), scope(cast.system):
                posting_start(remittance=Remittance.objects.get(), actor=cast.system, at=crowd.AT)

            def state(cast=cast) -> tuple[str, int]:
                with scope(cast.system):
                    return (
                        Remittance.objects.get().status,
                        ClaimPayment.objects.filter(state="posted").count(),
                    )

            worker = start()
            # the first round is left alone: it gives the digest
            for _ in range(dice.choice((1, 1, 2)) if number else 0):
                begun = time.monotonic()
                while state()[1] == 0 and time.monotonic() - begun < 120:
                    time.sleep(0.1)
                time.sleep(dice.uniform(0, 6))
                if state()[0] == "posted":
                    break
                family = psutil.Process(worker.pid).children(recursive=True)
                # a pool child alone, or the worker with all its children (also while it is still
                # starting and has none)
                alone = bool(family) and dice.random() < 0.5
                for one in (
                    [dice.choice(family)] if alone else [*family, psutil.Process(worker.pid)]
                ):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.send_signal(signal.SIGKILL)
                kills += 1
                if not alone:
                    worker.wait(10)
                    worker = start()
            began = time.monotonic()
            while state()[0] != "posted" and time.monotonic() - began < 180:
                time.sleep(0.2)
            slowest = max(slowest, time.monotonic() - began)
            with scope(cast.system):
                broken, found = crowd.broken(), crowd.digest()
                if number == 0:
                    whole = found
                lost += Remittance.objects.get().status != "posted"
                doubled += bool(broken["Q4"]) or found[0] > whole[0]
                half += bool(broken["Q1"] or broken["Q2"] or broken["Q3"]) or found != whole
            for one in [
                *psutil.Process(worker.pid).children(recursive=True),
                psutil.Process(worker.pid),
            ]:
                one.send_signal(signal.SIGKILL)
            worker.wait(10)
            worker = None
            print(
                f"round {number}: {kills} kills so far, {lost} lost, {doubled} doubled, {half}"
                " half",
                flush=True,
            )
        print(
            f"seed {chosen.seed}: {chosen.rounds} rounds of {chosen.claims:,} claims, {kills}"
            f" kills: {lost} lost, {doubled} doubled, {half} half; at most {slowest:.0f} s from the"
            " last start to the end"
        )
    finally:
        if worker is not None and worker.poll() is None:
            for one in [
                *psutil.Process(worker.pid).children(recursive=True),
                psutil.Process(worker.pid),
            ]:
                one.send_signal(signal.SIGKILL)
        if broker is not None:
            broker.kill()
        connection.close()
        connection.settings_dict.update(owner)
        teardown_databases(config, verbosity=0)


if __name__ == "__main__":
    main()
