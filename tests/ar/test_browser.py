"""The manager's screens in the real browser: nothing is cut, covered or refused, and axe is
content.
"""

from __future__ import annotations

import pytest

from tests.ar.conftest import bill, deny
from tests.browser import Inspector, violations
from tests.browser import enter as browse  # noqa: F401  a fixture; this folder has another `enter`

pytestmark = pytest.mark.django_db(transaction=True)
PAGES = (
    "/performance/",
    "/performance/denial_rate/",
    "/performance/lag/",
    "/states/",
    "/states/il/",
    "/automation/",
    "/cost/",
    "/staff/",
    "/accuracy/",
    "/reports/",
)


@pytest.fixture
def books(cast_committed):
    cast = cast_committed
    for n in range(3):
        bill(cast, days_ago=30 + n, paid=80, contractual=200, copay=20)
    deny(cast, bill(cast, days_ago=20))
    return cast


def test_every_page_of_the_desk_reads_well(books, browse) -> None:  # noqa: F811
    page = browse("/performance/")
    origin = page.url.split("/performance/")[0]
    faults: list[str] = []
    for path in PAGES:
        page.goto(f"{origin}{path}")
        found = [*violations(page), *Inspector(page).faults_of_layout()]
        faults += [f"{path}: {f}" for f in found]
    assert faults == []
