"""One request, one transaction, one tenant scope.

Runs last, so that CSRF and sign-in have spoken. The view and its template run inside
`scope(actor)`; an error rolls all of it back. A view that must commit in steps (store bytes first,
parse second) is marked with `own_transactions` and opens its scopes itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from rcm.accounts import reading
from rcm.accounts.actor import Actor
from rcm.accounts.scope import scope

View = TypeVar("View", bound=Callable[..., Any])


def own_transactions(view: View) -> View:
    """Mark a view that opens its own scopes: the middleware does not wrap it in a transaction."""
    view.own_transactions = True  # type: ignore[attr-defined]
    return view


# how an error that a view lets out is shown; the web room registers it, because it stands above
# this one
Answer = Callable[[HttpRequest, Exception], HttpResponseBase | None]
_answers: list[Answer] = []


def answer_errors(answer: Answer) -> None:
    """Register what turns a refusal into a page. It returns None for what it does not know."""
    _answers[:] = [answer]


class ScopeMiddleware:
    """Sets `request.actor` and wraps the view in the actor's scope; ends sessions older than the
    absolute limit.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.actor = None  # type: ignore[attr-defined]
        user = request.user
        if user.is_authenticated:
            begun = request.session.setdefault("begun", int(time.time()))
            if time.time() - begun > settings.SESSION_ABSOLUTE_SECONDS or (
                settings.PRODUCTION and user.is_demo
            ):
                logout(request)
            else:
                request.actor = user.actor()  # type: ignore[attr-defined]
        response = self.get_response(request)
        if getattr(request, "actor", None) is not None:
            # nothing of a patient stays in a browser or proxy cache
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        actor: Actor | None = getattr(request, "actor", None)
        permission = getattr(view, "permission", "")
        if actor is not None and permission:
            # an actor who holds it nowhere sees no row; the view answers 403
            actor = request.actor = actor.where(permission)  # type: ignore[attr-defined]
        # sign-in pages touch no tenant row, and allauth answers its own exceptions only where
        # Django calls the view
        if (
            actor is None
            or getattr(view, "own_transactions", False)
            or view.__module__.startswith("allauth.")
        ):
            return None
        try:
            return self._scoped(request, actor, view, args, kwargs)
        except Exception as error:
            for answer in _answers:
                response = answer(request, error)
                if response is not None:
                    return response
            raise

    def _scoped(
        self, request: HttpRequest, actor: Actor, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase:
        request_id = str(
            getattr(request, "request_id", "") or request.headers.get("X-Request-ID", "")
        )
        with scope(actor, request_id=request_id), reading.reading() as charts:
            response: HttpResponseBase = view(request, *args, **kwargs)
            if callable(getattr(response, "render", None)):
                response = response.render()  # type: ignore[attr-defined]
            if response.status_code in SHOWN:
                reading.log_rest(charts, actor=actor, purpose=_page(request), request_id=request_id)
        return response


# what answers with a page: a redirect shows nothing, and the step it took is an event
SHOWN = {200, 409, 422}


def _page(request: HttpRequest) -> str:
    """The page in the log: the name of its address."""
    match = request.resolver_match
    return f"page {match.view_name}" if match else "page"
