"""Who may open a screen: `@may("denial.view")` on a view, `found(queryset, …)` for one row of
it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import url_has_allowed_host_and_scheme

from rcm.accounts.actor import Actor
from rcm.web import once

M = TypeVar("M", bound=Model)
View = Callable[..., HttpResponseBase]


def actor_of(request: HttpRequest) -> Actor:
    """Who asks; `may` has refused everyone without a sign-in."""
    return request.actor  # type: ignore[attr-defined, no-any-return]


def may(permission: str = "", *, money: bool = False) -> Callable[[View], View]:
    """Sign-in and one permission. `may()` asks only for a sign-in. The view's `request.actor` is
    limited to the places where the permission holds. The wrapped view carries `permission` for the
    middleware, which limits the database's view alike, and for the route test.

    A form that carries its one-time key does its work once; with `money` also one without.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            actor = getattr(request, "actor", None)
            if actor is None:
                if request.headers.get("HX-Request"):
                    return HttpResponse(status=401)
                return redirect_to_login(page_of(request))
            if permission:
                if not actor.can_somewhere(permission):
                    raise PermissionDenied
                # the page reads and writes where the permission holds, and nowhere else
                actor = request.actor = actor.where(permission)  # type: ignore[attr-defined]
            if request.method != "POST":
                return view(request, *args, **kwargs)
            return once.answer(request, actor, lambda: view(request, *args, **kwargs), money=money)

        guarded.money = money  # type: ignore[attr-defined]
        guarded.permission = permission  # type: ignore[attr-defined]
        return guarded

    return decorate


def page_of(request: HttpRequest) -> str:
    """The page that a person stands on: for a form that was sent, the page that shows it, since the
    address that takes the form may show nothing.
    """
    sent_from = request.META.get("HTTP_REFERER", "")
    if request.method != "POST" or not url_has_allowed_host_and_scheme(
        sent_from, allowed_hosts={request.get_host()}
    ):
        return request.get_full_path()
    parts = urlsplit(sent_from)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def found(queryset: QuerySet[M], **lookup: Any) -> M:
    """One row of a queryset already limited to the actor, or 404: a stranger never learns that it
    exists.
    """
    try:
        return queryset.get(**lookup)
    except (ObjectDoesNotExist, ValidationError, ValueError, TypeError) as error:
        raise Http404 from error
