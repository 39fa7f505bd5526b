"""The catalogue of edits."""

from __future__ import annotations

from collections import defaultdict

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from claims import present
from claims.views.common import claims_of
from intake import present as front
from rcm.web import parts
from rcm.web.access import actor_of, may


@require_GET
@may("edit.view")
def edits(request: HttpRequest) -> HttpResponseBase:
    """Every edit with id, sentence, severity, source, example, hits and prevention rate."""
    text = request.GET.get("q", "")[:80]
    views = present.edit_views(actor_of(request), text)
    families: dict[str, list[present.EditView]] = defaultdict(list)
    for view in views:
        families[view.edit.family].append(view)
    return render(
        request,
        "claims/edits.html",
        {"families": list(families.items()), "count": len(views), "q": text},
    )


@require_GET
@may("edit.view")
def edit_page(request: HttpRequest, edit_id: str) -> HttpResponseBase:
    """One edit: what it says, its example, the claims it stops now."""
    view = next(
        (v for v in present.edit_views(actor_of(request)) if v.edit.edit_id == edit_id), None
    )
    if view is None:
        raise Http404
    actor = actor_of(request)
    stopped = []
    if actor.can_somewhere("claim.view"):
        stopped = list(
            claims_of(request)
            .filter(findings__edit=edit_id, findings__cleared_at__isnull=True)
            .distinct()
            .order_by("-id")[:30]
        )
        front.chart_read(request, [c.patient for c in stopped], "edit hits")
    return render(
        request,
        "claims/edit.html",
        {
            "view": view,
            "edit": view.edit,
            "changes": view.example,
            "stopped": stopped,
            "crumbs": [parts.Crumb("Edits", reverse("claims:edits"))],
        },
    )
