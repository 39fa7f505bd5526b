"""Screens of users and partner systems, and each person's own page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.account.forms import ResetPasswordForm
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rcm.accounts.actor import Actor
from rcm.accounts.models import Membership, Partner, User
from rcm.accounts.permissions import Role
from rcm.accounts.problems import Refused
from rcm.people import forms, services
from rcm.web import parts
from rcm.web.access import found, may
from rcm.web.lists import Column, ListPage, Order, Tab

USERS = [parts.Crumb("Users", "/people/")]
PARTNERS = [parts.Crumb("Partner systems", "/partners/")]


def _actor(request: HttpRequest) -> Actor:
    return request.actor  # type: ignore[attr-defined, no-any-return]


def _roles(user: Any) -> str:
    return ", ".join(dict.fromkeys(Role(m.role).label for m in user.shown_memberships))


def _places(user: Any) -> str:
    return ", ".join(
        dict.fromkeys(
            m.site.name if m.site else m.organization.name for m in user.shown_memberships
        )
    )


PEOPLE = ListPage(
    name="users",
    title="Users",
    noun=("user", "users"),
    columns=(
        Column("name", "Name", "display_name", kind="strong", link=True, second="email"),
        Column("roles", "Roles", _roles, second=_places),
        Column(
            "state",
            "State",
            lambda u: ("Active", "good") if u.is_active else ("Disabled", ""),
            kind="tag",
            width="tag",
        ),
        Column("last", "Last sign-in", "last_login", kind="moment", width="moment"),
    ),
    orders=(Order("name", "name", ("last_name", "first_name", "pk")),),
    tabs=(Tab("all", "All"),),
    detail=lambda u: reverse("people:person", args=[u.public_id]),
    row_label="display_name",
    actions=lambda request: [
        parts.Action("Invite a user", reverse("people:invite"), primary=True, key="n")
    ],
    saved=False,
    empty="Nobody works here yet.",
)


@require_safe
@may("users.manage")
def people(request: HttpRequest) -> HttpResponseBase:
    return PEOPLE.respond(request, services.people_of(_actor(request)))


@require_http_methods(["GET", "HEAD", "POST"])
@may("users.manage")
def invite(request: HttpRequest) -> HttpResponseBase:
    """A new user; the link to choose a password goes to their address."""
    form = forms.InviteForm(request.POST or None, actor=_actor(request))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            user = services.user_invite(
                email=data["email"],
                first_name=data["first_name"],
                last_name=data["last_name"],
                actor=_actor(request),
                **form.given(),
            )
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            if not user.has_usable_password():
                _send_link(request, user)
            messages.success(request, f"{user.display_name} was invited.")
            return redirect("people:person", public_id=user.public_id)
    text = "They get a link by e-mail to choose a password. What they may do follows from the role."
    context = {
        "title": "Invite a user",
        "text": text,
        "form": form,
        "verb": "Invite",
        "back_url": reverse("people:people"),
        "crumbs": USERS,
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)


def _send_link(request: HttpRequest, user: User) -> None:
    form = ResetPasswordForm({"email": user.email})
    if form.is_valid():
        form.save(request)


@require_http_methods(["GET", "HEAD", "POST"])
@may("users.manage")
def person(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One user: roles, sessions, second factor. POST gives a role."""
    user = found(services.people_of(_actor(request)), public_id=public_id)
    form = forms.RoleForm(request.POST or None, actor=_actor(request))
    if request.method == "POST" and form.is_valid():
        try:
            services.role_give(user=user, actor=_actor(request), **form.given())
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, "The role is given. It holds from the next page they open.")
            return redirect("people:person", public_id=user.public_id)
    oneself = user.pk == _actor(request).user_id
    context = {
        "person": user,
        "oneself": oneself,
        "form": None if oneself else form,
        "memberships": user.shown_memberships,  # type: ignore[attr-defined]
        "sessions": UserSession.objects.filter(user=user).order_by("-last_seen_at"),
        "second_factor": (
            Authenticator.objects.filter(user=user).exclude(type="recovery_codes").exists()
        ),
        "actions": [] if oneself else _actions(user),
        "crumbs": USERS,
    }
    return render(request, "people/person.html", context, status=422 if form.errors else 200)


def _actions(user: User) -> list[parts.Action]:
    def act(label: str, verb: str, *, danger: bool = False) -> parts.Action:
        return parts.Action(
            label, reverse(f"people:{verb}", args=[user.public_id]), "post", danger=danger
        )

    if not user.is_active:
        return [act("Enable", "enable")]
    return [
        act("Send a link for a new password", "link"),
        act("Sign out everywhere", "sign_out"),
        act("Take off the second factor", "second_factor"),
        act("Disable", "disable", danger=True),
    ]


def _button(
    request: HttpRequest, public_id: str, verb: Callable[[User], Any], done: str
) -> HttpResponseBase:
    user = found(services.people_of(_actor(request)), public_id=public_id)
    try:
        verb(user)
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        messages.success(request, done)
    return redirect("people:person", public_id=user.public_id)


@require_POST
@may("users.manage")
def role_take(request: HttpRequest, public_id: str, pk: int) -> HttpResponseBase:
    user = found(services.people_of(_actor(request)), public_id=public_id)
    rows = Membership.objects.filter(
        user=user, organization_id__in=_actor(request).organizations
    ).select_related("user")
    membership = found(rows, pk=pk)
    last = rows.count() == 1
    try:
        services.role_take(membership=membership, actor=_actor(request))
    except Refused as refusal:
        messages.error(request, str(refusal))
        last = False
    else:
        messages.success(request, "The role is taken away.")
    return (
        redirect("people:people") if last else redirect("people:person", public_id=user.public_id)
    )


@require_POST
@may("users.manage")
def disable(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _button(
        request,
        public_id,
        lambda u: services.user_disable(user=u, actor=_actor(request)),
        "Disabled and signed out everywhere.",
    )


@require_POST
@may("users.manage")
def enable(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _button(
        request,
        public_id,
        lambda u: services.user_enable(user=u, actor=_actor(request)),
        "Enabled.",
    )


@require_POST
@may("users.manage")
def sign_out(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _button(
        request,
        public_id,
        lambda u: services.sessions_end(user=u, actor=_actor(request)),
        "Signed out everywhere.",
    )


@require_POST
@may("users.manage")
def second_factor(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _button(
        request,
        public_id,
        lambda u: services.second_factor_reset(user=u, actor=_actor(request)),
        "The second factor is off.",
    )


@require_POST
@may("users.manage")
def link(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _button(request, public_id, lambda u: _send_link(request, u), "The link is on its way.")


@require_safe
@may()
def profile(request: HttpRequest) -> HttpResponseBase:
    """The reader's own page: roles, how pages look, second factor, sessions."""
    user: Any = request.user
    context = {
        "memberships": (
            user.memberships.select_related("organization", "site").order_by(
                "organization__name", "role"
            )
        ),
        "second_factor": (
            Authenticator.objects.filter(user=user).exclude(type="recovery_codes").exists()
        ),
        "sessions": UserSession.objects.filter(user=user).count(),
    }
    return render(request, "people/profile.html", context)


# --- partner systems ------------------------------------------------------------------------------

CLIENTS = ListPage(
    name="partners",
    title="Partner systems",
    noun=("system", "systems"),
    columns=(
        Column("name", "Name", "name", kind="strong", link=True, second="organization.name"),
        Column("client", "Client id", "application.client_id", kind="code"),
        Column("scopes", "May", lambda p: ", ".join(p.scopes)),
        Column(
            "state",
            "State",
            lambda p: ("Open", "good") if p.active else ("Closed", ""),
            kind="tag",
            width="tag",
        ),
    ),
    orders=(Order("name", "name", ("name", "pk")),),
    tabs=(Tab("all", "All"),),
    detail=lambda p: reverse("people:partner", args=[p.public_id]),
    row_label="name",
    actions=lambda request: [
        parts.Action("Connect a system", reverse("people:partner_new"), primary=True, key="n")
    ],
    saved=False,
    empty="No system is connected.",
)


@require_safe
@may("users.manage")
def partners(request: HttpRequest) -> HttpResponseBase:
    return CLIENTS.respond(request, services.partners_of(_actor(request)))


@require_http_methods(["GET", "HEAD", "POST"])
@may("users.manage")
def partner_new(request: HttpRequest) -> HttpResponseBase:
    """Connect a system; its secret is shown once, on the answer to this form."""
    form = forms.PartnerForm(request.POST or None, actor=_actor(request))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            row, secret = services.partner_make(
                organization_id=data["organization"].pk,
                name=data["name"],
                scopes=data["scopes"],
                actor=_actor(request),
            )
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            return _told_once(request, row, secret)
    context = {
        "title": "Connect a system",
        "form": form,
        "verb": "Connect",
        "back_url": reverse("people:partners"),
        "crumbs": PARTNERS,
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)


def _told_once(request: HttpRequest, row: Partner, secret: str) -> HttpResponseBase:
    return render(
        request, "people/secret.html", {"partner": row, "secret": secret, "crumbs": PARTNERS}
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("users.manage")
def partner(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One system: what it may; POST changes that."""
    row = found(services.partners_of(_actor(request)), public_id=public_id)
    form = forms.ScopesForm(request.POST or None, initial={"scopes": row.scopes})
    if request.method == "POST" and form.is_valid():
        services.partner_change(
            partner=row, scopes=form.cleaned_data["scopes"], actor=_actor(request)
        )
        messages.success(request, "Saved. It holds from the next call.")
        return redirect("people:partner", public_id=row.public_id)
    switch = parts.Action(
        "Close" if row.active else "Open again",
        reverse("people:partner_switch", args=[row.public_id]),
        "post",
        danger=row.active,
    )
    actions = [
        parts.Action("New secret", reverse("people:partner_secret", args=[row.public_id]), "post"),
        switch,
    ]
    return render(
        request,
        "people/partner.html",
        {"partner": row, "form": form, "actions": actions, "crumbs": PARTNERS},
        status=422 if form.errors else 200,
    )


@require_POST
@may("users.manage")
def partner_switch(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(services.partners_of(_actor(request)), public_id=public_id)
    services.partner_change(partner=row, active=not row.active, actor=_actor(request))
    messages.success(
        request, "Opened." if row.active else "Closed. Its tokens are worth nothing from now on."
    )
    return redirect("people:partner", public_id=row.public_id)


@require_POST
@may("users.manage")
def partner_secret(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(services.partners_of(_actor(request)), public_id=public_id)
    return _told_once(request, row, services.partner_secret(partner=row, actor=_actor(request)))
