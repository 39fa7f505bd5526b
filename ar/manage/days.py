"""The end of a business day: its figures, ties and proof; the counted drawer and the close."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from ar import forms
from ar.models import DayClose
from ar.reports import days
from ar.tasks import prove_now
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.web import parts
from rcm.web.access import actor_of, found, may

LISTED = 30


@require_safe
@may("day.close")
def day_list(request: HttpRequest) -> HttpResponseBase:
    """Days on which money moved and that nobody has closed, those that were closed, and the proof."""
    actor = actor_of(request).where("day.close")
    owners = list(Organization.objects.filter(pk__in=actor.organizations).order_by("name"))
    context = {
        "owners": [(o, days.open_days(o.pk), days.last_proof(o.pk)) for o in owners],
        "closed": DayClose.objects.visible_to(actor)
        .select_related("organization")
        .order_by("-day", "organization_id")[:LISTED],
        "today": office_day(),
    }
    return render(request, "ar/manage/days.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@may("day.close", money=True)
def day(request: HttpRequest, public_id: str, on: str) -> HttpResponseBase:
    """One day: what came in door by door, what must agree, the proof; closed with the counted
    drawer.
    """
    actor = actor_of(request)
    owner = found(
        Organization.objects.filter(pk__in=actor.where("day.close").organizations),
        public_id=public_id,
    )
    date = parse_date(on)
    if date is None:
        raise Http404
    closed = DayClose.objects.filter(organization=owner, day=date).select_related("proof").first()
    now = days.day_of(owner.pk, date)
    form = forms.DayForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            days.day_close(organization_id=owner.pk, day=date, actor=actor, **form.cleaned_data)
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, f"{date:%B %-d} is closed.")
            return redirect("ar:day", public_id=owner.public_id, on=on)
    context: dict[str, Any] = {
        "owner": owner,
        "day": date,
        "closed": closed,
        "found": days.day_read(closed.figures) if closed else now,
        "after": now.booked - days.day_read(closed.figures).booked if closed else None,
        "form": None if closed or date > office_day() else form,
        "proof": closed.proof if closed else days.last_proof(owner.pk),
        "crumbs": [parts.Crumb("Days", reverse("ar:days"))],
    }
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "ar/manage/day.html", context, status=status)


@require_POST
@may("day.close")
def prove(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Prove the books now, in the background."""
    actor = actor_of(request).where("day.close")
    owner = found(Organization.objects.filter(pk__in=actor.organizations), public_id=public_id)
    prove_now.delay(owner.pk)
    messages.success(request, "The books are being proved; the result shows here in a moment.")
    return redirect("ar:days")
