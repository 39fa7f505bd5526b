from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from rcm.accounts.models import Partner
from tests.security.conftest import SECRET, partner, token_of

EVERY = tuple(settings.OAUTH2_PROVIDER["SCOPES"])


@dataclass
class Caller:
    """A partner system with a token: `get` and `post` by path below /api/v1."""

    partner: Partner
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, /, headers: dict[str, str] | None = None, **query: Any) -> Any:
        return Client(raise_request_exception=False).get(
            f"/api/v1{path}", query, headers=self.headers | (headers or {})
        )

    def post(
        self,
        path: str,
        body: Any = None,
        /,
        key: str = "",
        content_type: str = "application/json",
        **headers: str,
    ) -> Any:
        sent = self.headers | ({"Idempotency-Key": key} if key else {}) | headers
        data = body if isinstance(body, (bytes, str)) else json.dumps({} if body is None else body)
        return Client(raise_request_exception=False).post(
            f"/api/v1{path}", data, content_type=content_type, headers=sent
        )


def caller(organization: Any, name: str = "RIS", scopes: Iterable[str] = EVERY) -> Caller:
    made = partner(organization, name, scopes)
    return Caller(made, token_of(made, scopes))


@pytest.fixture(autouse=True)
def _no_limits_left_over():
    cache.clear()


@pytest.fixture
def ris(cast) -> Caller:
    """A partner of organization A with every scope."""
    return caller(cast.a)


@pytest.fixture
def credentials(ris) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": ris.partner.application.client_id,
        "client_secret": SECRET,
    }


ORDER = {
    "placer_number": "P-1001",
    "patient": {
        "mrn": "M-77",
        "last_name": "Canary",
        "first_name": "Cora",
        "born_on": "1962-03-14",
        "sex": "F",
    },
    "coverages": [{"payer": "PHP", "member_id": "PRA123456789"}],
    "exams": [{"code": "70551"}],
    "ordering_npi": "1932102084",
    "ordering_last_name": "Referrer",
    "indication": "Headache with new weakness",
    "diagnoses": ["R519"],
    "signed": True,
}
