"""The MLLP listener under load and abuse, and killed after its acknowledgements. Loopback only.

    python bench/mllp.py [--seed N] [--frames 20000] [--kills 20]

Runs against a database of its own, made and dropped here. Prints: messages a second over 10
sockets; mutated frames answered and the 99th percentile; the good sender's 95th percentile among
idle, dripping and endless ones, with the listener's memory; messages lost in kills.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rcm.settings.test")
os.environ["ISOCENTER_TEST_DB"] = "bench_mllp"
ADT = (
    "MSH|^~\\&|REG|BENCH|RCM|BENCH|20260904100000||ADT^A04^ADT_A01|{n}|P|2.5.1\rEVN|A04|20260904100000\r"
    "PID|1||MRN{n}^^^BENCH^MR||SAMPLE^DOROTHY^Q||19520314|F|||118 TEST"
    " ST^^SPRINGFIELD^IL^62701||^PRN^PH^^^217^5550142\r"
    "PV1|1|O|MR1^^^BENCH||||1932102084^REFERRER^ANN^^^MD^^^NPI\r"
)


def frame(content: bytes) -> bytes:
    return b"\x0b" + content + b"\x1c\r"


class Sender:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.buffer = b""

    def ask(self, content: bytes) -> tuple[bytes, float]:
        began = time.perf_counter()
        self.socket.sendall(content)
        while b"\x1c\r" not in self.buffer:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise ConnectionError
            self.buffer += chunk
        answer, _, self.buffer = self.buffer.partition(b"\x1c\r")
        return answer.partition(b"\rMSA")[2][1:3], time.perf_counter() - began


class Product:
    """The listener process, started again after each kill."""

    def __init__(self, url: str) -> None:
        self.environment = {
            **os.environ,
            "DATABASE_URL": url,
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "ISOCENTER_DEMO": "yes",
        }
        self.environment |= {"DJANGO_SETTINGS_MODULE": "rcm.settings", "LOG_LEVEL": "ERROR"}
        self.start()

    def start(self) -> None:
        command = [sys.executable, "manage.py", "listen_mllp", "--port", "0"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def memory(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000


def throughput(product: Product, count: int) -> str:
    times: list[float] = []

    def run(worker: int) -> None:
        sender = Sender(product.port)
        for n in range(count // 10):
            code, seconds = sender.ask(frame(ADT.format(n=f"T{worker}-{n}").encode()))
            assert code == b"AA"
            times.append(seconds)

    began = time.perf_counter()
    threads = [threading.Thread(target=run, args=(w,)) for w in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    spent = time.perf_counter() - began
    return (
        f"{len(times) / spent:,.0f} messages/s over 10 sockets, median"
        f" {statistics.median(times) * 1000:.1f} ms, p99 {percentile(times, 0.99):.1f} ms"
    )


def mutated(product: Product, count: int, seed: int) -> str:
    times: list[float] = []
    codes: dict[bytes, int] = {}
    lock = threading.Lock()

    def run(worker: int) -> None:
        dice = random.Random(seed * 100 + worker)
        sender = Sender(product.port)
        for n in range(count // 10):
            content = bytearray(ADT.format(n=f"X{worker}-{n}").encode())
            for _ in range(dice.randint(1, 6)):
                content[dice.randrange(len(content))] = dice.choice(
                    [*b"|^~\\&\r\nA0", 0xFF, 0x00, dice.randrange(256)]
                )
            content = content.replace(b"\x0b", b"?").replace(b"\x1c", b"?")
            code, seconds = sender.ask(frame(bytes(content)))
            with lock:
                times.append(seconds)
                codes[code] = codes.get(code, 0) + 1

    threads = [threading.Thread(target=run, args=(w,)) for w in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    words = ", ".join(f"{k.decode()} {v:,}" for k, v in sorted(codes.items()))
    return (
        f"{len(times):,} of {count // 10 * 10:,} mutated frames answered ({words}), p99"
        f" {percentile(times, 0.99):.1f} ms"
    )


def abuse(product: Product, seconds: float) -> str:
    idle = [socket.create_connection(("127.0.0.1", product.port)) for _ in range(1000)]
    dripping = [socket.create_connection(("127.0.0.1", product.port)) for _ in range(200)]
    for one in dripping:
        one.sendall(b"\x0b")
    stop = time.monotonic() + seconds

    def drip() -> None:
        while time.monotonic() < stop:
            for one in dripping:
                with contextlib.suppress(OSError):
                    one.sendall(b"M")
            time.sleep(1)

    def endless() -> None:
        while time.monotonic() < stop:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", product.port)) as one,
            ):
                one.sendall(b"\x0bMSH|")
                for _ in range(100):
                    one.sendall(b"x" * 1_000_000)
            time.sleep(1)

    helpers = [threading.Thread(target=drip), threading.Thread(target=endless)]
    for t in helpers:
        t.start()
    good, times, peak = Sender(product.port), [], 0.0
    n = 0
    while time.monotonic() < stop:
        code, spent = good.ask(frame(ADT.format(n=f"G{n}").encode()))
        assert code == b"AA"
        times.append(spent)
        peak = max(peak, product.memory())
        n += 1
        time.sleep(0.1)
    for t in helpers:
        t.join()
    for one in [*idle, *dripping]:
        one.close()
    return (
        f"good sender p95 {percentile(times, 0.95):.0f} ms among 1,000 idle, 200 dripping, endless"
        f" 100 MB; listener peak {peak:.0f} MB"
    )


def kills(product: Product, rounds: int, stored) -> str:
    lost = twice = 0
    for n in range(rounds):
        sender = Sender(product.port)
        control = f"K{n}"
        code, _ = sender.ask(frame(ADT.format(n=control).encode()))
        product.kill()
        found = stored(f"REG:{control}") if code == b"AA" else 1
        lost += found == 0
        twice += found > 1
        product.start()
    return f"{rounds} kills right after AA: {lost} lost, {twice} twice"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=20260908)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--abuse-seconds", type=float, default=75)
    chosen = parser.parse_args()
    import django

    django.setup()
    from django.conf import settings
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    config = setup_databases(verbosity=0, interactive=False, serialized_aliases=())
    app = settings.APP_DATABASE
    try:
        from rcm.accounts.actor import Actor
        from rcm.accounts.models import Organization
        from rcm.accounts.scope import scope
        from rcm.exchange.models import Connection, Interchange

        address = {"address": "1 St", "city": "Chicago", "state": "IL", "zip": "60601"}
        organization = Organization.objects.create(
            code="BENCH", name="Bench Imaging", npi="1679576722", tin="371234567", **address
        )
        with scope(organizations=[organization.pk]):
            Connection.objects.create(
                organization=organization, kind="mllp", name="Bench", sender="REG|BENCH"
            )
        s = connection.settings_dict
        url = f"postgres://{app['USER']}:{app['PASSWORD']}@{quote(s['HOST'], safe='')}:{s['PORT']}/{s['NAME']}"

        def stored(control: str) -> int:
            with scope(Actor.system("bench", [organization.pk])):
                return Interchange.objects.filter(control_number=control).count()

        product = Product(url)
        print(f"seed {chosen.seed}, {os.cpu_count()} cores")
        try:
            print(f"listener {product.memory():.0f} MB at start")
            print(throughput(product, chosen.messages))
            print(mutated(product, chosen.frames, chosen.seed))
            print(f"listener {product.memory():.0f} MB before the abuse")
            print(abuse(product, chosen.abuse_seconds))
            print(kills(product, chosen.kills, stored))
        finally:
            product.kill()
    finally:
        connection.close()
        teardown_databases(config, verbosity=0)


if __name__ == "__main__":
    main()
