"""Pages of the shell itself: palette, figures of the rail, preferences, chosen place, saved views,
health, errors, style.
"""

from __future__ import annotations

import logging
import sys
import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.cache import cache, caches
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template import loader
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Conflict, Refused
from rcm.web import nav, parts, rulebook, services
from rcm.web.access import may, page_of
from rcm.web.context import COUNTS_SECONDS, SCOPE_ORGANIZATION, SCOPE_SITE, counts_key
from rcm.web.keyset import BadCursor

log = logging.getLogger(__name__)
YEAR = 365 * 24 * 3600
ERRORS: dict[int, tuple[str, str]] = {
    400: ("This request could not be read", "Go back, check what you entered and try again."),
    403: (
        "You cannot open this",
        "Your role does not include it. Ask a manager if you need it for your work.",
    ),
    404: (
        "This page is not here",
        "It may have been closed, or it belongs to another organization. Search with Ctrl K.",
    ),
    405: ("This cannot be done here", "Go back to the page you came from and use its button."),
    413: ("This file is too large", "Split it, or ask an administrator about the upload limit."),
    429: ("Too many tries", "Wait a few minutes, then try again."),
    500: (
        "Something went wrong on our side",
        "Nothing was saved. Try again; if it happens again, tell support this reference.",
    ),
    503: ("The system is busy", "Nothing was saved. Wait a moment and try again."),
}


def safe_next(request: HttpRequest, fallback: str = "/") -> str:
    """Where to go after a form: the page it came from, only ever on this host."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    ours = url_has_allowed_host_and_scheme(
        wanted, {request.get_host()}, require_https=request.is_secure()
    )
    return wanted if ours and wanted.startswith("/") else fallback


@require_safe
@may()
def home(request: HttpRequest) -> HttpResponseBase:
    """The first page of a reader's own work: the top of their rail."""
    actor = request.actor  # type: ignore[attr-defined]
    if getattr(request.user, "lacks_factor", False):
        messages.warning(
            request,
            "Your organization asks for a second factor for your role. Set up a passkey or an app"
            " here; your work opens right after.",
        )
        return redirect("mfa_index")
    if not actor.organizations:
        # who works nowhere: accounts are looked after, or invitations wait
        looks_after = getattr(request.user, "is_platform_administrator", False)
        return redirect("people:accounts" if looks_after else "people:invitations")
    entries = nav.entries(actor)
    return redirect(entries[0].url or "web:style") if entries else redirect("web:style")


@require_safe
@may()
def palette(request: HttpRequest) -> HttpResponseBase:
    """Results for the palette: a fragment for htmx, a page without script."""
    text = request.GET.get("q", "")[:100]
    fragment = request.headers.get("HX-Request")
    context = {"q": text, "hits": nav.search(request, text)}
    return render(
        request, "components/palette_results.html" if fragment else "web/palette.html", context
    )


@require_safe
@may()
def counts(request: HttpRequest) -> HttpResponseBase:
    """The figures of the rail, remembered for a minute per reader and place."""
    key = counts_key(request)
    found: dict[str, int] | None = cache.get(key)
    if found is None:
        found = nav.counts(request.actor)  # type: ignore[attr-defined]
        cache.set(key, found, COUNTS_SECONDS)
    return JsonResponse(found)


@require_POST
def preferences(request: HttpRequest) -> HttpResponseBase:
    """Theme, density and shortcuts: kept with the user, and in a cookie for the sign-in page."""
    chosen = {name: request.POST.get(name, "") for name in ("theme", "density", "hotkeys")}
    if request.user.is_authenticated:
        services.preferences_save(user=request.user, **chosen)
    response: HttpResponse = (
        HttpResponse(status=204)
        if request.headers.get("HX-Request")
        else redirect(safe_next(request))
    )
    for name in ("theme", "density"):
        if chosen[name].isalpha():
            response.set_cookie(
                name,
                chosen[name][:10],
                max_age=YEAR,
                samesite="Lax",
                secure=request.is_secure(),
                httponly=True,
            )
    return response


@require_POST
@may()
def place(request: HttpRequest) -> HttpResponseBase:
    """Narrow the screens to an organization or a site: `place` is "", "3" or "3:17"."""
    organization, _, site = request.POST.get("place", "").partition(":")
    request.session[SCOPE_ORGANIZATION] = int(organization) if organization.isdecimal() else None
    request.session[SCOPE_SITE] = int(site) if site.isdecimal() else None
    return redirect(safe_next(request))


@require_POST
@may()
def saved_view(request: HttpRequest) -> HttpResponseBase:
    """Keep the list as it stands under a name."""
    name = request.POST.get("name", "").strip()
    path = safe_path(request.POST.get("path", ""))
    if not name:
        messages.error(request, "Enter a name for the view.")
        return redirect(path)
    view = services.saved_view_save(
        path=path,
        name=name,
        query=request.POST.get("query", ""),
        shared=request.POST.get("shared") == "yes",
        actor=request.actor,  # type: ignore[attr-defined]
    )
    messages.success(request, f"Saved the view “{view.name}”.")
    return redirect(f"{view.path}?{view.query}")


@require_POST
@may()
def saved_view_delete(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Delete one of the reader's own views."""
    path = services.saved_view_delete(pk=pk, actor=request.actor)  # type: ignore[attr-defined]
    if not path:
        return not_found(request)
    messages.success(request, "Deleted the view.")
    return redirect(path)


def safe_path(path: str, fallback: str = "/") -> str:
    """A path on this host, without a second slash or backslash at its start."""
    return (
        path
        if path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and url_has_allowed_host_and_scheme(path, None)
        else fallback
    )


@require_safe
@may()
def growing(request: HttpRequest) -> HttpResponse:
    """The line that says how far the demo has grown; empty once it is grown, and so it goes."""
    return render(request, "components/growing.html")


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok", content_type="text/plain")


@require_safe
def ready(request: HttpRequest) -> HttpResponseBase:
    """The process can work: database and cache answer. 503 with the names of what does not."""
    missing = []
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:
        log.warning("ready: database does not answer")
        missing.append("database")
    if not getattr(caches["default"], "ping", lambda: True)():
        log.warning("ready: cache does not answer")
        missing.append("cache")
    return JsonResponse({"ready": not missing, "missing": missing}, status=503 if missing else 200)


@require_safe
@may()
def style(request: HttpRequest) -> HttpResponseBase:
    """The living style page: every component as it is drawn today."""
    from rcm.web.style import examples

    return render(request, "web/style.html", examples(request))


def error_page(
    request: HttpRequest, status: int, *, sentence: str = "", fix: str = ""
) -> HttpResponse:
    """A page for a failure: what happened, what to do, a reference for support; never a detail of
    the failure.
    """
    title, what_to_do = ERRORS.get(status, ERRORS[500])
    if sentence:
        title, what_to_do = sentence, fix or "Go back, correct it and try again."
    reference = str(
        getattr(request, "request_id", "")
        or request.META.get("HTTP_X_REQUEST_ID", "")
        or uuid.uuid4()
    )[:36]
    log.warning("page %s reference %s", status, reference)
    context: dict[str, Any] = {
        "status": status,
        "title": title,
        "what_to_do": what_to_do,
        "reference": reference,
    }
    template = "web/error_fragment.html" if request.headers.get("HX-Request") else "web/error.html"
    try:
        # who is signed in, and in which theme, is in the database: without it the page stands alone
        page = loader.render_to_string(template, context, None if status == 503 else request)
        return HttpResponse(page, status=status)
    except Exception:
        log.exception("the error page itself failed")
        return HttpResponse(
            f"{title}. {what_to_do} Reference {reference}.",
            status=status,
            content_type="text/plain",
        )


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_page(request, 400)


def forbidden(
    request: HttpRequest, exception: Exception | None = None, reason: str = ""
) -> HttpResponse:
    return error_page(request, 403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_page(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    gone = isinstance(sys.exc_info()[1], (OperationalError, InterfaceError))
    return error_page(request, 503 if gone else 500)


def refused(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """What a service refuses and no view caught: its sentence on a page, or in place for htmx."""
    if isinstance(error, PermissionRefused):
        return error_page(request, 403)
    if isinstance(error, Refused):
        status = 409 if isinstance(error, Conflict) else error.status
        return error_page(request, status, sentence=str(error), fix=error.fix)
    if isinstance(error, (OperationalError, InterfaceError)):
        return error_page(request, 503)
    if isinstance(error, BadCursor):
        return error_page(request, 400)
    return None


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW: the page was open too long, or the form came from elsewhere. Who has been
    signed out meanwhile signs in again and finds the page.
    """
    if request.user.is_authenticated or request.headers.get("HX-Request"):
        return error_page(request, 403)
    return redirect_to_login(page_of(request))


@require_safe
@may()
def rule_book(request: HttpRequest) -> HttpResponseBase:
    """Every rule by subject; `q` leaves those that contain all its words."""
    text = request.GET.get("q", "")[:100]
    found = rulebook.search(text)
    context = {"q": text, "subjects": found, "count": sum(len(s.rules) for s in found)}
    return render(request, "web/rule_book.html", context)


def _mentions(request: HttpRequest, slug: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """What rests on a rule, with links only to what the reader may open."""
    actor = request.actor  # type: ignore[attr-defined]
    return [
        (
            title,
            [(row.words, row.url if nav.allowed(actor, row.permission) else "") for row in rows],
        )
        for title, rows in rulebook.mentions(slug)
    ]


@require_safe
@may()
def rule(request: HttpRequest, slug: str) -> HttpResponseBase:
    """One rule with its authority, words and example, and the other rules of its subject."""
    found = rulebook.find(slug)
    if found is None:
        raise Http404
    subject = next(s for s in rulebook.subjects() if s.name == found.subject)
    context = {
        "rule": found,
        "subject": subject,
        "mentions": _mentions(request, slug),
        "crumbs": [parts.Crumb("Rule book", reverse("web:rule_book"))],
    }
    return render(request, "web/rule.html", context)
