from __future__ import annotations

import datetime as dt

import pytest

from charges.models import Reader, ReadingGroup
from rcm.accounts.scope import scope
from rcm.reference.models import Payer, Provider
from tests.charges.house import furnish
from tests.claims.house import complete, connect
from tests.network.house import IVAN, JAN, RITA, House


@pytest.fixture
def house(cast) -> House:
    """Organization A with two sites and two readers; nothing is known of any payer yet."""
    with scope(cast.system):
        group = ReadingGroup.objects.create(
            organization=cast.a, name="Readers", npi="1801889012", relation="employee"
        )
        for npi, last, first in ((IVAN, "Reader", "Ivan"), (RITA, "Writer", "Rita")):
            provider, _ = Provider.objects.get_or_create(
                npi=npi, defaults={"last_name": last, "first_name": first}
            )
            Reader.objects.create(
                organization=cast.a, group=group, provider=provider, credentialed_from=JAN
            )
    return House(cast, Payer.objects.get(code="PHP"), dt.datetime(2026, 9, 9, 15, tzinfo=dt.UTC))


@pytest.fixture
def billing(cast):
    """The claims' house, inside the scope of organization A, with a clearinghouse."""
    with scope(cast.system):
        made = furnish(cast)
        complete(made)
        connect(cast)
        yield made
