"""The REST API, version 1: every room's endpoints under one address, with its sign-in, its
description and one error shape.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from allauth.account.adapter import get_adapter
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from oauth2_provider.views import RevokeTokenView, TokenView

from rcm.accounts.middleware import own_transactions

ROOMS = (
    "rcm.pricing",
    "rcm.network",
    "rcm.audit",
    "rcm.worklist",
    "rcm.jobs",
    "rcm.exchange",
    "intake",
    "authorizations",
    "charges",
    "claims",
    "remittance",
    "ar",
)


class PartnerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the description names our sign-in: OAuth2 client credentials."""

    target_class = "rcm.accounts.partners.PartnerAuthentication"
    name = "partner"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        from django.conf import settings

        scopes = settings.OAUTH2_PROVIDER["SCOPES"]
        return {
            "type": "oauth2",
            "flows": {"clientCredentials": {"tokenUrl": "/api/v1/oauth/token", "scopes": scopes}},
        }

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:
        wanted = getattr(auto_schema.view, "scopes", {}).get(auto_schema.method)
        return {self.name: [wanted] if wanted else []}


WRONG_SECRETS, WINDOW_SECONDS = 20, 60


class SlowTokenView(TokenView):
    """The token endpoint, which stops listening to an address that keeps guessing."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        key = f"token:{get_adapter().get_client_ip(request)}"
        if cache.get(key, 0) >= WRONG_SECRETS:
            answer = told(429, "Too many wrong credentials. Wait a minute.")
            answer["Retry-After"] = str(WINDOW_SECONDS)
            return answer
        response: HttpResponse = super().post(request, *args, **kwargs)
        if response.status_code in (400, 401):
            cache.add(key, 0, WINDOW_SECONDS)
            cache.incr(key)
        return response


def told(status: int, title: str) -> JsonResponse:
    """Problem details of an answer that no DRF view gives."""
    return JsonResponse(
        {"type": "about:blank", "status": status, "title": title},
        status=status,
        content_type="application/problem+json",
    )


@csrf_exempt
@own_transactions
def not_found(request: HttpRequest, **_: Any) -> JsonResponse:
    """An address that does not exist, in the same words as a row that does not exist for you."""
    return told(404, "Not found.")


urlpatterns: list[URLPattern | URLResolver] = [
    path("oauth/token", SlowTokenView.as_view(), name="api-token"),
    path("oauth/revoke", RevokeTokenView.as_view(), name="api-revoke"),
    path(
        "openapi.json",
        SpectacularJSONAPIView.as_view(permission_classes=[], authentication_classes=[]),
        name="api-schema",
    ),
    path(
        "docs",
        SpectacularSwaggerSplitView.as_view(
            url_name="api-schema",
            template_name="accounts/api_docs.html",
            permission_classes=[],
            authentication_classes=[],
        ),
        name="api-docs",
    ),
]
for room in ROOMS:
    if find_spec(f"{room}.api"):
        module = import_module(f"{room}.api")
        urlpatterns.append(
            path(
                "",
                include(
                    module.urlpatterns if hasattr(module, "urlpatterns") else module.router.urls
                ),
            )
        )
urlpatterns.append(re_path(r"^.*$", not_found, name="api-not-found"))
