"""A book kept by hand and the product agree after every step of a random sequence."""

from __future__ import annotations

import pytest

from .book import run

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("first", range(0, 100, 10))
def test_the_book_and_the_product_agree_after_every_step(house, first: int) -> None:
    for seed in range(first, first + 10):
        assert len(run(house, seed, 8)) == 8


@pytest.mark.parametrize(("seed", "steps"), [(107, 24), (99, 34)])
def test_sequences_that_once_differed(house, seed: int, steps: int) -> None:
    """An answer, its reversal, a new answer: the patient's share is the new one's, whole."""
    assert len(run(house, seed, steps)) == steps
