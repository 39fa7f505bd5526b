"""The same placer number again: the same order, never a silent change and never another patient's."""

from __future__ import annotations

import pytest

from intake.models import Order
from rcm.accounts.scope import scope
from tests.api.conftest import ORDER

pytestmark = pytest.mark.django_db


def test_the_same_body_again_is_the_same_order(cast, ris) -> None:
    first, again = ris.post("/orders", ORDER), ris.post("/orders", ORDER)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"indication": "Fall from a ladder"}, "indication"),
        ({"diagnoses": ["S060X0A"]}, "diagnoses"),
        ({"exams": [{"code": "70553"}]}, "70553"),
    ],
)
def test_another_body_is_refused_by_what_differs_until_it_says_change(cast, ris, other, named):
    ris.post("/orders", ORDER)
    with scope(cast.system):
        before = Order.objects.values().get()
    refused = ris.post("/orders", ORDER | other)
    assert (refused.status_code, refused.json()["code"]) == (409, "placer_repeated")
    assert named in refused.json()["title"]
    with scope(cast.system):
        assert Order.objects.values().get() == before
    assert ris.post("/orders", ORDER | other | {"change": True}).status_code == 201


def test_the_number_of_another_patients_order_changes_nothing(cast, ris) -> None:
    ris.post("/orders", ORDER)
    stranger = ORDER["patient"] | {"mrn": "OTHER-1", "last_name": "Elsewhere"}
    for change in (False, True):
        refused = ris.post("/orders", ORDER | {"patient": stranger, "change": change})
        assert (refused.status_code, refused.json()["code"]) == (409, "placer_of_another")
    with scope(cast.system):
        assert Order.objects.get().patient.mrn == ORDER["patient"]["mrn"]
