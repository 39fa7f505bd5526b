"""837P written: claims a second, memory, the ratio to joining ready-made elements and to a peer;
one claim's guide check, warm.

    python bench/x12_write.py [claims]

The claims have three lines each and a subscriber of their own.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from x12_files import ENVELOPE, RECEIVER, SUBMITTER, claims  # noqa: E402
from x12_peers import have, models_of, told  # noqa: E402

from rcm.x12 import guide, read_837, write_837p  # noqa: E402


def seconds(work: Callable[[], object], rounds: int = 5) -> float:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    batch = list(claims(count))
    written = write_837p(ENVELOPE, batch, submitter=SUBMITTER, receiver=RECEIVER)
    rows = [segment.split(b"*") for segment in written.data.split(b"~")]
    bottom = seconds(lambda: b"~".join([b"*".join(row) for row in rows]))
    write = seconds(lambda: write_837p(ENVELOPE, batch, submitter=SUBMITTER, receiver=RECEIVER))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    read = seconds(lambda: sum(1 for _ in read_837(written.data)), 3)
    print(
        f"{count} claims x 3 lines, {len(written.data) / 1e6:.1f} MB, medians of 5; peak memory"
        f" {peak:.0f} MB, claims included"
    )
    print(f"floor, joining elements   {count / bottom:>10,.0f} claims/s")
    print(
        f"write_837p                {count / write:>10,.0f} claims/s   {write / bottom:.1f} x the"
        " floor's time"
    )
    print(f"read_837                  {count / read:>10,.0f} claims/s")
    few = min(count, 1000)
    part = write_837p(ENVELOPE, batch[:few], submitter=SUBMITTER, receiver=RECEIVER).data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.837"
        path.write_bytes(part)
        told(
            "x12sdk, models read",
            "x12sdk.io",
            lambda _: sum(1 for m in models_of(path) for _ in m.claims()),
            count / read,
        )
        models = models_of(path) if have("x12sdk.io") else []

        def rewrite(io: Any) -> int:
            io.write_transactions(models, sender_id="IMGCTR01", receiver_id="CLRHOUSE")
            return few

        told("x12sdk, models written", "x12sdk.io", rewrite, count / write)
    guide.warm()
    single = write_837p(ENVELOPE, batch[:1], submitter=SUBMITTER, receiver=RECEIVER).data
    result = guide.check(single)
    print(
        f"guide check, one claim    {seconds(lambda: guide.check(single), 50) * 1000:>10.1f} ms"
        f" warm, {'clean' if result.valid else result.findings}"
    )


if __name__ == "__main__":
    main()
