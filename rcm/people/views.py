"""Screens of users and partner systems, and each person's own page."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ResetPasswordForm
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rcm.accounts.models import (
    Invitation,
    InvitationStatus,
    Membership,
    Organization,
    Partner,
    User,
)
from rcm.accounts.permissions import Role
from rcm.accounts.problems import Refused
from rcm.people import forms, services
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab

USERS = [parts.Crumb("Users", "/people/")]
PARTNERS = [parts.Crumb("Partner systems", "/partners/")]


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
    ),
    orders=(Order("name", "name", ("last_name", "first_name", "pk")),),
    tabs=(Tab("all", "All"),),
    detail=lambda u: reverse("people:person", args=[u.public_id]),
    row_label="display_name",
    actions=lambda request: [
        parts.Action("Invite a user", reverse("people:invite"), primary=True, key="n"),
        parts.Action("Invitations", reverse("people:invited")),
        parts.Action("Second factor", reverse("people:factors")),
    ],
    saved=False,
    empty="Nobody works here yet.",
)


@require_safe
@may("users.manage")
def people(request: HttpRequest) -> HttpResponseBase:
    return PEOPLE.respond(request, services.people_of(actor_of(request)))


@require_safe
@may("users.manage")
def factors(request: HttpRequest) -> HttpResponseBase:
    """Which roles need a second factor, by organization."""
    own = Organization.objects.filter(pk__in=actor_of(request).organizations)
    if len(own) == 1:
        return redirect("people:factor", public_id=own[0].public_id)
    return render(request, "people/factors.html", {"organizations": own, "crumbs": USERS})


@require_http_methods(["GET", "HEAD", "POST"])
@may("users.manage")
def factor(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Ask for a second factor by role in one organization."""
    own = Organization.objects.filter(pk__in=actor_of(request).organizations)
    row = found(own, public_id=public_id)
    form = forms.FactorForm(request.POST or None, initial={"roles": row.factor_roles})
    if request.method == "POST" and form.is_valid():
        try:
            services.factor_roles_set(
                organization=row, roles=form.cleaned_data["roles"], actor=actor_of(request)
            )
        except Refused as refusal:
            form.add_error("roles", f"{refusal} {refusal.fix}".strip())
        else:
            messages.success(request, "Saved. It holds from the next page that anybody opens.")
            return redirect("people:people")
    context = {
        "title": f"Second factor in {row.name}",
        "text": "A passkey or a code from an app counts. Recovery codes alone do not.",
        "form": form,
        "back_url": reverse("people:people"),
        "crumbs": USERS,
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@may("users.manage")
def invite(request: HttpRequest) -> HttpResponseBase:
    """Offer somebody a role. The letter goes to their address; they accept it or do not."""
    form = forms.InviteForm(request.POST or None, actor=actor_of(request))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            row = services.user_invite(
                email=data["email"],
                first_name=data["first_name"],
                last_name=data["last_name"],
                actor=actor_of(request),
                **form.given(),
            )
        except Refused as refusal:
            field = refusal.field if refusal.field in form.fields else None
            form.add_error(field, f"{refusal} {refusal.fix}".strip())
        else:
            _send_invitation(request, row)
            messages.success(request, f"{row.name} was invited. The role holds once they accept.")
            return redirect("people:invited")
    text = "They get a letter, sign in and accept. Until then they see nothing of the organization."
    context = {
        "title": "Invite a user",
        "text": text,
        "form": form,
        "verb": "Invite",
        "back_url": reverse("people:people"),
        "crumbs": USERS,
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)


def _send_invitation(request: HttpRequest, row: Invitation) -> None:
    """The letter: where to answer, and for an account without a password the link to choose one."""
    context = {"invitation": row, "url": request.build_absolute_uri(reverse("people:invitations"))}
    body = render_to_string("people/invitation.txt", context)
    subject = f"{row.organization.name} invites you"
    transaction.on_commit(lambda: send_mail(subject, body, None, [row.email]))
    if not row.user.has_usable_password():
        _send_link(request, row.user)


INVITED = ListPage(
    name="invitations",
    title="Invitations",
    noun=("invitation", "invitations"),
    columns=(
        Column("name", "Name", "name", kind="strong", second="email"),
        Column(
            "role",
            "Role",
            lambda i: i.get_role_display(),
            second=lambda i: i.site.name if i.site else i.organization.name,
        ),
        Column("state", "State", lambda i: _state_of(i), kind="tag", width="tag"),
        Column("by", "Invited by", "invited_by"),
        Column("until", "Open until", "expires_at", kind="moment", width="moment"),
    ),
    orders=(Order("new", "newest", ("-pk",)),),
    tabs=(Tab("waiting", "Waiting", Q(status=InvitationStatus.WAITING)), Tab("all", "All")),
    detail=lambda i: reverse("people:invited_one", args=[i.public_id]),
    row_label="name",
    saved=False,
    empty="Nobody is invited.",
)


def _state_of(row: Invitation) -> tuple[str, str]:
    if row.status == InvitationStatus.WAITING and row.expires_at <= timezone.now():
        return "Ran out", ""
    tones = {InvitationStatus.WAITING: "warn", InvitationStatus.ACCEPTED: "good"}
    return row.get_status_display(), tones.get(InvitationStatus(row.status), "")


@require_safe
@may("users.manage")
def invited(request: HttpRequest) -> HttpResponseBase:
    """What the reader's organizations offered, and what became of it."""
    return INVITED.respond(request, services.invitations_of(actor_of(request)))


@require_http_methods(["GET", "HEAD", "POST"])
@may("users.manage")
def invited_one(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One invitation; POST withdraws it."""
    row = found(services.invitations_of(actor_of(request)), public_id=public_id)
    if request.method == "POST":
        try:
            services.invitation_withdraw(invitation=row, actor=actor_of(request))
        except Refused as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, "The invitation is withdrawn.")
        return redirect("people:invited")
    context = {
        "invitation": row,
        "state": _state_of(row),
        "open": row.status == InvitationStatus.WAITING,
        "crumbs": [*USERS, parts.Crumb("Invitations", reverse("people:invited"))],
    }
    return render(request, "people/invited.html", context)


@require_safe
@may()
def invitations(request: HttpRequest) -> HttpResponseBase:
    """What waits for the reader's own answer."""
    rows = services.invitations_for(actor_of(request).user_id or 0)
    return render(request, "people/invitations.html", {"invitations": rows})


@require_POST
@may()
def invitation_answer(request: HttpRequest, public_id: str, answer: str) -> HttpResponseBase:
    actor = actor_of(request)
    row = found(services.invitations_for(actor.user_id or 0), public_id=public_id)
    accept = answer == "accept"
    services.invitation_answer(invitation=row, accept=accept, actor=actor)
    said = f"You work for {row.organization.name} now." if accept else "Declined."
    messages.success(request, said)
    return redirect("web:home") if accept else redirect("people:invitations")


def _send_link(request: HttpRequest, user: User) -> None:
    form = ResetPasswordForm({"email": user.email})
    if form.is_valid():
        form.save(request)


@require_http_methods(["GET", "HEAD", "POST"])
@may("users.manage")
def person(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One user: their roles in the reader's organizations. POST gives a role."""
    user = found(services.people_of(actor_of(request)), public_id=public_id)
    form = forms.RoleForm(request.POST or None, actor=actor_of(request))
    if request.method == "POST" and form.is_valid():
        try:
            services.role_give(user=user, actor=actor_of(request), **form.given())
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, "The role is given. It holds from the next page they open.")
            return redirect("people:person", public_id=user.public_id)
    oneself = user.pk == actor_of(request).user_id
    context = {
        "person": user,
        "oneself": oneself,
        "form": None if oneself else form,
        "memberships": user.shown_memberships,  # type: ignore[attr-defined]
        "actions": [] if oneself else _actions(user),
        "crumbs": USERS,
    }
    return render(request, "people/person.html", context, status=422 if form.errors else 200)


def _actions(user: User) -> list[parts.Action]:
    url = reverse("people:link", args=[user.public_id])
    return [parts.Action("Send a link for a new password", url, "post")] if user.is_active else []


@require_POST
@may("users.manage")
def role_take(request: HttpRequest, public_id: str, pk: int) -> HttpResponseBase:
    user = found(services.people_of(actor_of(request)), public_id=public_id)
    rows = Membership.objects.filter(
        user=user, organization_id__in=actor_of(request).organizations
    ).select_related("user")
    membership = found(rows, pk=pk)
    last = rows.count() == 1
    try:
        services.role_take(membership=membership, actor=actor_of(request))
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
def link(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The letter that anybody may ask for at the sign-in page; it goes to the person alone."""
    user = found(services.people_of(actor_of(request)), public_id=public_id)
    _send_link(request, user)
    messages.success(request, "The link is on its way.")
    return redirect("people:person", public_id=user.public_id)


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
        "invitations": services.invitations_for(user.pk).count(),
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
    return CLIENTS.respond(request, services.partners_of(actor_of(request)))


@require_http_methods(["GET", "HEAD", "POST"])
@may("users.manage")
def partner_new(request: HttpRequest) -> HttpResponseBase:
    """Connect a system; its secret is shown once, on the answer to this form."""
    form = forms.PartnerForm(request.POST or None, actor=actor_of(request))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            row, secret = services.partner_make(
                organization_id=data["organization"].pk,
                name=data["name"],
                scopes=data["scopes"],
                actor=actor_of(request),
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
    row = found(services.partners_of(actor_of(request)), public_id=public_id)
    form = forms.ScopesForm(request.POST or None, initial={"scopes": row.scopes})
    if request.method == "POST" and form.is_valid():
        services.partner_change(
            partner=row, scopes=form.cleaned_data["scopes"], actor=actor_of(request)
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
    row = found(services.partners_of(actor_of(request)), public_id=public_id)
    services.partner_change(partner=row, active=not row.active, actor=actor_of(request))
    messages.success(
        request, "Opened." if row.active else "Closed. Its tokens are worth nothing from now on."
    )
    return redirect("people:partner", public_id=row.public_id)


@require_POST
@may("users.manage")
def partner_secret(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(services.partners_of(actor_of(request)), public_id=public_id)
    return _told_once(request, row, services.partner_secret(partner=row, actor=actor_of(request)))
