"""Screens of webhooks: who is told what, the secret once, test, pause, rotation, sending again."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.db.models import Count, Max, Q
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rcm.accounts.problems import Refused
from rcm.exchange import webhooks
from rcm.exchange.forms import WebhookForm
from rcm.exchange.models import Connection, ConnectionKind, InterchangeStatus
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may

SHOWN_ONCE = "webhook-secret"
AGAIN = timedelta(days=7)


def _receivers(request: HttpRequest) -> list[Connection]:
    """The receivers with what waits, what failed within a week, and when one was last told."""
    lately = timezone.now() - AGAIN
    out = Q(interchanges__direction="out")
    failed = Q(interchanges__status=InterchangeStatus.FAILED, interchanges__received_at__gte=lately)
    waits = Q(interchanges__status__in=[InterchangeStatus.STORED, InterchangeStatus.SENDING])
    rows = (
        Connection.objects.visible_to(actor_of(request))
        .filter(kind=ConnectionKind.WEBHOOK)
        .select_related("organization")
        .annotate(
            waiting=Count("interchanges", filter=out & waits),
            failed=Count("interchanges", filter=out & failed),
            last=Max("interchanges__received_at", filter=out),
        )
    )
    return list(rows.order_by("organization__name", "name"))


@require_safe
@may("exchange.view")
def webhook_list(request: HttpRequest) -> HttpResponseBase:
    actor = actor_of(request)
    secret = request.session.pop(SHOWN_ONCE, "")
    rows = [
        (row, [webhooks.TOPICS[t] for t in row.config.get("topics", ()) if t in webhooks.TOPICS])
        for row in _receivers(request)
    ]
    context = {
        "rows": rows,
        "secret": secret,
        "may_edit": actor.can_somewhere("webhook.edit"),
        "crumbs": [parts.Crumb("Connections", reverse("exchange:connections"))],
    }
    response = render(request, "exchange/webhooks.html", context)
    response["Cache-Control"] = "no-store"
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@may("webhook.edit", money=True)
def webhook_new(request: HttpRequest) -> HttpResponseBase:
    """A new receiver; its secret is shown once, on the next page."""
    actor = actor_of(request)
    form = WebhookForm(request.POST or None, actor=actor)
    if request.method == "POST" and form.is_valid():
        told = form.cleaned_data
        try:
            _, secret = webhooks.webhook_make(
                organization_id=told["organization"].pk,
                name=told["name"],
                url=told["url"],
                topics=told["topics"],
                actor=actor,
            )
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            request.session[SHOWN_ONCE] = secret
            messages.success(request, "Made. Copy the secret now: it is not shown again.")
            return redirect("exchange:webhooks")
    context = {
        "title": "New webhook",
        "text": "Each message says what happened and to which ids, signed. No name and no value.",
        "form": form,
        "verb": "Make it",
        "back_url": reverse("exchange:webhooks"),
        "crumbs": [parts.Crumb("Webhooks", reverse("exchange:webhooks"))],
    }
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "components/form_page.html", context, status=status)


@require_POST
@may("webhook.edit", money=True)
def webhook_act(request: HttpRequest, public_id: str, act: str) -> HttpResponseBase:
    """Test, pause, resume, rotate the secret, or send again what failed within a week."""
    actor = actor_of(request)
    rows = Connection.objects.visible_to(actor).filter(kind=ConnectionKind.WEBHOOK)
    row = found(rows, public_id=public_id)
    if act == "test":
        webhooks.webhook_test(row=row, actor=actor)
        said = "A test message goes in a moment."
    elif act in ("pause", "resume"):
        webhooks.webhook_switch(row=row, on=act == "resume", actor=actor)
        said = "It goes on." if act == "resume" else "Paused: its messages wait."
    elif act == "rotate":
        request.session[SHOWN_ONCE] = webhooks.webhook_rotate(row=row, actor=actor)
        said = "Copy the new secret now. For a day messages carry both signatures."
    elif act == "again":
        count = webhooks.webhook_replay(row=row, since=timezone.now() - AGAIN, actor=actor)
        said = f"{fmt.plural(count, 'message')} sent again."
    else:
        raise Http404
    messages.success(request, said)
    return redirect("exchange:webhooks")
