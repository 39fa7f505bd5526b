"""Every route of the product: screens by phase, sign-in, API. The test of permissions walks this
table.
"""

from __future__ import annotations

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [path("accounts/", include("allauth.urls"))]
for room in (
    "rcm.web",
    "rcm.reference",
    "rcm.pricing",
    "rcm.exchange",
    "rcm.network",
    "rcm.worklist",
    "rcm.jobs",
    "rcm.operations",
    "rcm.audit",
    "rcm.people",
    "rcm.setup",
    "intake",
    "authorizations",
    "charges",
    "claims",
    "remittance",
    "ar",
):
    if find_spec(f"{room}.urls"):
        urlpatterns.append(path("", include(f"{room}.urls")))
if find_spec("rcm.api"):
    urlpatterns.append(path("api/v1/", include("rcm.api")))

handler400 = "rcm.web.views.bad_request"
handler403 = "rcm.web.views.forbidden"
handler404 = "rcm.web.views.not_found"
handler500 = "rcm.web.views.server_error"
