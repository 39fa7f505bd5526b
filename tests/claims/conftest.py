from __future__ import annotations

import pytest

from rcm.accounts.scope import scope
from tests.charges.house import House, furnish
from tests.claims.house import complete, connect


@pytest.fixture
def house(cast) -> House:
    """The claims' house, inside the scope of organization A, with a clearinghouse."""
    with scope(cast.system):
        house = furnish(cast)
        complete(house)
        connect(cast)
        yield house


@pytest.fixture
def house_committed(cast_committed) -> House:
    """The same, committed: for threads."""
    with scope(cast_committed.system):
        house = furnish(cast_committed)
        complete(house)
        connect(cast_committed)
    return house
