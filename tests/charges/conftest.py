from __future__ import annotations

import pytest

from rcm.accounts.scope import scope
from tests.charges.house import House, furnish


@pytest.fixture
def house(cast) -> House:
    """The mid-cycle's house, inside the scope of organization A."""
    with scope(cast.system):
        yield furnish(cast)


@pytest.fixture
def house_committed(cast_committed) -> House:
    """The same, committed: for threads."""
    with scope(cast_committed.system):
        return furnish(cast_committed)
