"""Screens of platform administrators: accounts, their sign-in, and what was done to them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from rcm.accounts.models import User
from rcm.accounts.problems import Refused
from rcm.people import platform
from rcm.web import forms as house
from rcm.web import parts
from rcm.web.access import found, may
from rcm.web.lists import Column, ListPage, Order, Tab

View = Callable[..., HttpResponseBase]
CRUMBS = [parts.Crumb("Accounts", "/platform/accounts/")]


def platform_only(view: View) -> View:
    """Sign-in, and the platform administrator's own mark on the account. No membership gives it."""

    @may()
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        platform.require_platform(_me(request))
        return view(request, *args, **kwargs)

    return guarded


def _me(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]


def _state(account: User) -> tuple[str, str]:
    return ("Active", "good") if account.is_active else ("Disabled", "")


ACCOUNTS = ListPage(
    name="accounts",
    title="Accounts",
    noun=("account", "accounts"),
    columns=(
        Column("name", "Name", "display_name", kind="strong", link=True, second="email"),
        Column("state", "State", _state, kind="tag", width="tag"),
        Column("last", "Last sign-in", "last_login", kind="moment", width="moment"),
    ),
    orders=(Order("name", "name", ("last_name", "first_name", "pk")),),
    tabs=(Tab("all", "All"),),
    detail=lambda u: reverse("people:account", args=[u.public_id]),
    row_label="display_name",
    saved=False,
    empty="There is no account.",
)


@require_safe
@platform_only
def accounts(request: HttpRequest) -> HttpResponseBase:
    return ACCOUNTS.respond(request, User.objects.all())


VERBS: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "disable": (
        "Disable",
        "Disabled and signed out everywhere.",
        platform.account_disable,
    ),
    "enable": ("Enable", "Enabled.", platform.account_enable),
    "sign-out": ("Sign out everywhere", "Signed out everywhere.", platform.account_sign_out),
    "second-factor": (
        "Take off the second factor",
        "The second factor is off.",
        platform.second_factor_reset,
    ),
}


@require_safe
@platform_only
def account(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One account: sign-in, sessions, where the person works, and what was done to it."""
    row = found(User.objects.all(), public_id=public_id)
    verbs = ("sign-out", "second-factor", "disable") if row.is_active else ("enable",)
    context = {
        "account": row,
        "memberships": row.memberships.select_related("organization", "site"),
        "sessions": UserSession.objects.filter(user=row).order_by("-last_seen_at"),
        "second_factor": (
            Authenticator.objects.filter(user=row).exclude(type="recovery_codes").exists()
        ),
        "acts": row.platform_acts.all()[:50],
        "actions": [
            parts.Action(VERBS[verb][0], reverse("people:account_act", args=[row.public_id, verb]))
            for verb in verbs
        ],
        "crumbs": CRUMBS,
    }
    return render(request, "people/account.html", context)


class ReasonForm(house.HouseForm):
    reason = forms.CharField(
        label="Reason",
        max_length=250,
        help_text="Kept with the act; the organizations where the person works read it",
    )


@require_http_methods(["GET", "HEAD", "POST"])
@platform_only
def account_act(request: HttpRequest, public_id: str, verb: str) -> HttpResponseBase:
    """One act on one account, with its reason."""
    row = found(User.objects.all(), public_id=public_id)
    if verb not in VERBS:
        raise Http404
    label, done, act = VERBS[verb]
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            act(account=row, by=_me(request), reason=form.cleaned_data["reason"])
        except Refused as refusal:
            field = refusal.field if refusal.field in form.fields else None
            form.add_error(field, f"{refusal} {refusal.fix}".strip())
        else:
            messages.success(request, done)
            return redirect("people:account", public_id=row.public_id)
    context = {
        "title": f"{label}: {row.display_name}",
        "form": form,
        "verb": label,
        "back_url": reverse("people:account", args=[row.public_id]),
        "crumbs": CRUMBS,
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)
