"""The description that partners generate their clients from, and the page that shows it."""

from __future__ import annotations

import pytest
from django.test import Client
from drf_spectacular.validation import validate_schema

pytestmark = pytest.mark.django_db


@pytest.fixture
def described() -> dict:
    answer = Client().get("/api/v1/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def operations(described) -> list[tuple[str, str, dict]]:
    return [
        (path, method, o)
        for path, by in described["paths"].items()
        for method, o in by.items()
        if method in {"get", "post", "patch", "put", "delete"}
    ]


def test_the_description_is_openapi_3_1_and_valid(described) -> None:
    assert described["openapi"].startswith("3.1")
    validate_schema(described)


def test_every_operation_names_its_one_scope(described) -> None:
    known = described["components"]["securitySchemes"]["partner"]["flows"]["clientCredentials"][
        "scopes"
    ]
    for path, method, operation in operations(described):
        assert "security" in operation, (method, path)
        (need,) = operation["security"]
        assert need["partner"] and set(need["partner"]) <= set(known), (method, path)


def test_every_operation_of_the_product_is_described(described) -> None:
    from tests.security.routes import routes

    told = {path.replace("{public_id}", "*") for path, _, _ in operations(described)}
    own = {
        "/" + r.pattern.replace("^", "").replace("$", "").replace("\\Z", "")
        for r in routes()
        if r.api and r.view.__module__.endswith(".api") and hasattr(r.view, "cls")
    }
    import re

    own = {re.sub(r"\(\?P<\w+>[^)]*\)|<[^>]*>", "*", p) for p in own}
    assert own - told == set()


def test_nobody_needs_to_sign_in_to_read_the_description() -> None:
    page = Client().get("/api/v1/docs")
    assert page.status_code == 200
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert b"<style" not in page.content
    assert b"http://" not in page.content.replace(b"http://testserver", b"")
