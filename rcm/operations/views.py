"""Two addresses for machines: is the whole product ready, and its figures."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from rcm.operations import metrics, readiness


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponseBase:
    """Whether every part works; 503 with the faults of those that do not. For whoever is called at
    night: a balancer asks `/ready`, which no worker's death turns red.
    """
    found = readiness.parts()
    faults = [part for part in found if part.fault]
    return JsonResponse(
        {"ready": not faults, "parts": {p.name: p.fault or "ok" for p in found}},
        status=503 if faults else 200,
    )


@never_cache
@require_safe
def figures(request: HttpRequest) -> HttpResponseBase:
    """The figures, for who holds the token. Without one in the settings there is no such page."""
    token = settings.METRICS_TOKEN
    if not token:
        raise Http404
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        answer = HttpResponse("A token is needed.", status=401, content_type="text/plain")
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    return HttpResponse(metrics.text(), content_type=CONTENT_TYPE_LATEST)
