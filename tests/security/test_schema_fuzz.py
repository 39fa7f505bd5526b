"""The API under generated input: no fault, no undocumented content, no way around the sign-in.

A small number of examples here; `python bench/api_fuzz.py` runs a thousand each against a running
server.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.security.routes import routes

EXAMPLES = 6
FREE_FORM = ("/api/v1/pricing/quote", "/api/v1/match", "/api/v1/scrub")


@pytest.fixture(scope="module")
def description(both) -> dict[str, Any]:
    return Client().get("/api/v1/openapi.json").json()


def call(both, case: Any) -> Any:
    """One generated call, through Django's own client and rolled back."""
    from django.db import transaction

    client = Client(raise_request_exception=False)
    headers = {str(k): str(v) for k, v in dict(case.headers or {}).items()} | {
        "Authorization": f"Bearer {both.tokens['partner_full']}"
    }
    headers = {
        k: v
        for k, v in headers.items()
        if v.isascii() and v.isprintable() and k.lower() not in ("content-type", "host")
    }
    body = (
        b""
        if case.body is None or type(case.body).__name__ == "NotSet"
        else json.dumps(case.body, default=str).encode()
    )
    query = {k: v for k, v in dict(case.query or {}).items()}
    path = case.formatted_path
    with transaction.atomic():
        answer = client.generic(
            case.method.upper(),
            path,
            body,
            content_type="application/json",
            query_params=query,
            headers=headers,
        )
        answer.getvalue()
        transaction.set_rollback(True)
    return answer


def probe_of(both: Any, operation: Any, faults: list[str]) -> Callable[[], None]:
    """A hypothesis test of one operation that notes what it answers wrongly."""
    label, statuses = (
        operation.label,
        {int(s) for s in operation.definition.raw["responses"] if s.isdigit()},
    )

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def probe(case: Any) -> None:
        answer = call(both, case)
        kind = answer.headers["Content-Type"]
        if answer.status_code >= 500:
            sent = f"{case.query} {json.dumps(case.body, default=str)[:300]}"
            faults.append(f"{label}: {answer.status_code} for {sent}")
        elif answer.status_code >= 400 and kind != "application/problem+json":
            faults.append(f"{label}: {answer.status_code} as {kind}")
        elif answer.status_code < 400 and answer.status_code not in statuses:
            faults.append(f"{label}: {answer.status_code} is not described")

    return probe


def test_every_operation_survives_generated_input(both, description) -> None:
    schema = schemathesis.openapi.from_dict(description)
    faults: list[str] = []
    seen = 0
    for result in schema.get_all_operations():
        probe_of(both, result.ok(), faults)()
        seen += 1
    assert seen > 20
    assert not faults, "\n".join(sorted(set(faults)))


WORDS = [
    "lines",
    "code",
    "modifiers",
    "units",
    "charge",
    "date_of_service",
    "pos",
    "zip",
    "locality",
    "payer",
    "plan",
    "contract",
    "rates",
    "method",
    "value",
    "mppr",
    "equipment",
    "order",
    "authorization",
    "performed",
    "billed",
    "report",
    "claim",
    "patient",
    "diagnoses",
    "coverage",
    "site",
    "id",
    "services",
    "as_of",
    "effective_from",
    "effective_to",
    "laterality",
    "number",
    "status",
    "insured",
    "subscriber",
    "providers",
    "facts",
    "edits",
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["70551", "2026-03-02", "11", "60601", "26", "MR"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("path", FREE_FORM)
def test_questions_of_any_shape_are_answered_or_refused(both, path) -> None:
    assert path in {r.url(None) for r in routes() if r.api and not r.object}
    faults = []

    @given(body=JSON)
    @settings(
        max_examples=120,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def probe(body: Any) -> None:
        headers = {"Authorization": f"Bearer {both.tokens['partner_full']}"}
        answer = Client(raise_request_exception=False).post(
            path, json.dumps(body), content_type="application/json", headers=headers
        )
        if answer.status_code >= 500:
            faults.append(json.dumps(body))

    probe()
    assert not faults, min(faults, key=len)
