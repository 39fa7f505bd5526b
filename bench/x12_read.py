"""835 read and balanced: claims a second, memory, the ratio to splitting the same bytes and keeping
nothing, and to peers.

    python bench/x12_read.py [claims]

The claims have three lines each. Memory is measured on files of two sizes: it must not follow the
size.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from x12_files import remittance  # noqa: E402
from x12_peers import models_of, told  # noqa: E402

from rcm.x12 import read_835, stream_835  # noqa: E402
from rcm.x12.model import RemittanceTrailer  # noqa: E402


def floor(path: str) -> int:
    """The least a reader can do: split every segment into elements, keep nothing."""
    n = 0
    with open(path, "rb") as file:
        tail = b""
        while chunk := file.read(1 << 17):
            parts = (tail + chunk).split(b"~")
            tail = parts.pop()
            for part in parts:
                part.split(b"*")
                n += 1
    return n


def stream(path: str) -> int:
    n = 0
    for part in stream_835(path):
        n += 1
        if isinstance(part, RemittanceTrailer) and not part.balanced:
            raise SystemExit("the made-up remittance does not balance")
    return n


def whole(path: str) -> int:
    return sum(len(item.claims) for item in read_835(path))


def seconds(work: object, path: str, rounds: int = 5) -> float:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work(path)  # type: ignore[operator]
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def memory_of(path: str) -> float:
    """Peak megabytes of a fresh process that streams ``path``."""
    command = [sys.executable, __file__, path, "--memory"]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(out.stdout.split()[-1])


def main() -> None:
    if "--memory" in sys.argv:
        stream(sys.argv[1])
        # Not ru_maxrss: that is inherited from the process which started this one.
        status = Path("/proc/self/status").read_text()
        print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "small.835")
        large = str(Path(folder) / "large.835")
        for name, size in ((path, count), (large, count * 5)):
            with open(name, "wb") as file:
                file.writelines(remittance(size))
        bottom = seconds(floor, path)
        streamed = seconds(stream, path)
        kept = seconds(whole, path)
        print(f"{count} claims x 3 lines, {Path(path).stat().st_size / 1e6:.1f} MB, medians of 5")
        print(f"floor, streaming split    {count / bottom:>10,.0f} claims/s")
        print(
            f"stream_835, balanced      {count / streamed:>10,.0f} claims/s  "
            f" {streamed / bottom:.1f} x the floor's time"
        )
        print(
            f"read_835, all kept        {count / kept:>10,.0f} claims/s   {kept / bottom:.1f} x the"
            " floor's time"
        )
        data = Path(path).read_bytes()
        told(
            "oxedi, tables",
            "oxedi",
            lambda oxedi: int(oxedi.parse(data).count_claims()),
            count / kept,
        )
        short = Path(folder) / "short.835"
        short.write_bytes(b"".join(remittance(min(count, 1000))))
        told(
            "x12sdk, models",
            "x12sdk.io",
            lambda _: sum(1 for m in models_of(short) for _ in m.claims()),
            count / kept,
        )
        print(
            f"peak memory streaming     {memory_of(path):>8.1f} MB for {count} claims, "
            f"{memory_of(large):.1f} MB for {count * 5}"
        )


if __name__ == "__main__":
    main()
