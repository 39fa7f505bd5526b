from __future__ import annotations

import pytest

from rcm.accounts.scope import scope
from rcm.reference.facts import forget


@pytest.fixture
def house(cast):
    """The cast, inside its organization's scope."""
    forget()
    with scope(cast.system):
        yield cast
