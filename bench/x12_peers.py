"""Other libraries beside ours in the X12 benches: the extra `bench` of pyproject.toml; a peer that
is not installed is named.

pip install -e .[bench]
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def have(name: str) -> Any:
    """The module of a peer, or None when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def told(label: str, module: str, work: Callable[[Any], int], ours: float) -> None:
    """Print a peer's claims a second and how many times faster (or slower) ours is; `ours` is in
    claims a second.

    `work` gets the module and answers how many claims it handled; what the peer refuses is said,
    not hidden.
    """
    peer = have(module)
    if peer is None:
        print(f"{label:<26}not installed: no comparison (pip install -e .[bench])")
        return
    try:
        start = time.perf_counter()
        done = work(peer)
        rate = done / (time.perf_counter() - start)
    except Exception as error:
        lines = str(error).splitlines() or [""]
        print(
            f"{label:<26}does not take this file: {type(error).__name__}:"
            f" {' '.join(lines[:2])[:90]}"
        )
        return
    print(f"{label:<26}{rate:>9,.0f} claims/s   ours is {ours / rate:.2f} x as fast")


def models_of(path: Path) -> list[Any]:
    """x12sdk's validated models of a file; RuntimeError without the library."""
    io = have("x12sdk.io")
    if io is None:
        raise RuntimeError("x12sdk is not installed")
    with io.X12ModelReader(str(path)) as reader:
        return list(reader.models())
