"""A short run of the fuzz targets of bench/fuzz_x12.py: whatever the bytes, only NotX12 comes out
of a reader.
"""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcm.x12.facts import describe
from rcm.x12.words import BENEFIT, DECISION, STATUS_CATEGORY, words

from .cast import CLEAN, ROOT, SAMPLES

sys.path.append(str(ROOT / "bench"))

import fuzz_x12


def fail(name: str, data: bytes, error: BaseException) -> None:
    # Slowness is judged by the long run, not by a suite that shares its machine.
    if not isinstance(error, TimeoutError):
        pytest.fail(f"{name} raised {type(error).__name__}: {error} on {data[:400]!r}")


def test_damaged_files_never_raise() -> None:
    assert fuzz_x12.run(fuzz_x12.own_seeds(), 40, 7, fail) > 3000


def test_damaged_samples_never_raise() -> None:
    seeds = (
        [seed for seed in fuzz_x12.folder_seeds(SAMPLES / "x12") if len(seed) < 8000]
        if SAMPLES.exists()
        else []
    )
    if not seeds:
        pytest.skip("the reference samples are not beside this checkout")
    assert fuzz_x12.run(seeds, 3, 8, fail) > 1000


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_described(data: bytes) -> None:
    assert describe(data)["findings"]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(CLEAN)))
def test_any_bytes_inside_a_good_file_are_described(data: bytes, at: int) -> None:
    facts = describe(CLEAN[:at] + data + CLEAN[at:])
    assert facts["kind"] is None or facts["n_segments"] > 0


def test_codes_have_words_and_unknown_codes_show_themselves() -> None:
    assert words(STATUS_CATEGORY, "A7") == "rejected: information invalid"
    assert words(DECISION, "A4") == "pending"
    assert words(BENEFIT, "??") == "??"
