"""The screen of the automation ledger: what each robot saved, what it could not do, who switched
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.jobs import robots
from rcm.jobs.models import RobotSwitch
from rcm.web import forms as house
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import csv_response

DAYS = (7, 30, 90)


class SwitchForm(house.HouseForm):
    reason = forms.CharField(label="Why", max_length=200)


@dataclass(frozen=True, slots=True)
class Section:
    """The robots of one organization, with the sums of what they did."""

    organization: Organization
    rows: Sequence[robots.Ledger]

    @property
    def done(self) -> int:
        return sum(r.done for r in self.rows)

    @property
    def errors(self) -> int:
        return sum(r.errors for r in self.rows)

    @property
    def hours(self) -> Decimal:
        return sum((r.minutes for r in self.rows), Decimal(0)) / 60


def _days(text: str) -> int:
    return int(text) if text.isdecimal() and int(text[:4]) in DAYS else DAYS[1]


@require_safe
@may("automation.view")
def ledger(request: HttpRequest) -> HttpResponseBase:
    """Every automatic step of each organization: on or off, touches saved, errors, last run."""
    actor = actor_of(request)
    days = _days(request.GET.get("days", ""))
    rows = robots.ledger(actor.organizations, since=timezone.now() - timedelta(days=days))
    owners = Organization.objects.in_bulk(actor.organizations)
    if request.GET.get("export") == "csv":
        return csv_response(
            "automation",
            ("Organization", "Step", "On", "Runs", "Touches saved", "Errors", "Last run"),
            [
                (
                    owners[r.organization_id].name,
                    r.robot.label,
                    "on" if r.on else "off",
                    r.runs,
                    r.done,
                    r.errors,
                    r.last.isoformat() if r.last else "",
                )
                for r in rows
            ],
        )
    history = RobotSwitch.objects.visible_to(actor).order_by("-id")[:20]
    names = {r.code: r.label for r in robots.all_robots()}
    return render(
        request,
        "jobs/automation.html",
        {
            "sections": [
                Section(o, [r for r in rows if r.organization_id == o.pk])
                for o in sorted(owners.values(), key=lambda o: o.name)
            ],
            "history": [
                (names.get(h.robot, h.robot), owners[h.organization_id], h) for h in history
            ],
            "days": days,
            "choices": DAYS,
            "may_switch": actor.can_somewhere("automation.switch"),
            "export_url": f"{reverse('jobs:automation')}?days={days}&export=csv",
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("automation.switch")
def switch(request: HttpRequest, public_id: str, robot: str) -> HttpResponseBase:
    """Switch one robot of one organization, with the reason."""
    actor = actor_of(request)
    organization = found(
        Organization.objects.filter(pk__in=actor.organizations), public_id=public_id
    )
    known = robots.get(robot)
    if known is None:
        raise Http404
    on = robots.is_on(robot, organization.pk)
    form = SwitchForm(request.POST or None)
    back = reverse("jobs:automation")
    if form.is_valid():
        try:
            robots.switch(
                robot=robot,
                organization_id=organization.pk,
                on=not on,
                reason=form.cleaned_data["reason"],
                actor=actor,
            )
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, f"“{known.label}” is {'off' if on else 'on'} now.")
            return redirect(back)
    text = known.when_off if on else "What waits is taken up with the next run."
    return render(
        request,
        "components/form_page.html",
        {
            "title": f"Switch “{known.label}” {'off' if on else 'on'}: {organization.name}",
            "form": form,
            "verb": "Switch off" if on else "Switch on",
            "back_url": back,
            "text": text,
            "crumbs": [parts.Crumb("Automation", back)],
        },
        status=422 if form.is_bound and form.errors else 200,
    )
