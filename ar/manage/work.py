"""Screens of cost and people: minutes per resolved claim against a frozen baseline, and who works
for whom.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from ar.kpi import engine
from ar.kpi.work import IDLE, INCLUDED
from ar.manage.common import OrganizationForm, form_page
from ar.models import RoleCost, StaffPlan, WorkBaseline
from ar.services import work
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization, User
from rcm.accounts.permissions import Role
from rcm.accounts.problems import Refused
from rcm.web import forms as house
from rcm.web import parts
from rcm.web.access import actor_of, may

ROLES = [(r, label) for r, label in Role.choices if r != Role.PARTNER]
WEEKS = 8
DAYS = 30


class CostForm(OrganizationForm):
    role = forms.ChoiceField(label="Role", choices=ROLES)
    cost = house.MoneyField(label="Cost of an hour")
    effective_from = house.DateField(label="From")
    source = forms.CharField(label="Source", max_length=120, help_text="Payroll, contract …")


class BaselineForm(OrganizationForm):
    first = house.DateField(label="From", past=True)
    last = house.DateField(label="To", past=True)
    minutes_per_claim = forms.DecimalField(
        label="Minutes per resolved claim",
        required=False,
        max_digits=8,
        decimal_places=2,
        help_text="Empty: measured from the touches of this period",
    )
    includes = forms.CharField(
        label="What the minutes contain", required=False, max_length=300, help_text="When told"
    )
    source = forms.CharField(label="Source", max_length=200)


class PersonForm(OrganizationForm):
    user = forms.ModelChoiceField(
        label="Person", queryset=User.objects.none(), required=False, empty_label="Vacancy"
    )
    skill = forms.ChoiceField(label="Skill", choices=ROLES)
    hours = forms.DecimalField(label="Hours a week", max_digits=5, decimal_places=2)
    effective_from = house.DateField(label="From")
    effective_to = house.DateField(label="To", required=False)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, actor=actor, **kwargs)
        people = User.objects.filter(
            memberships__organization_id__in=actor.organizations, is_active=True
        )
        field = self.fields["user"]
        field.queryset = people.distinct().order_by("last_name", "pk")  # type: ignore[attr-defined]
        field.label_from_instance = lambda u: u.display_name  # type: ignore[attr-defined]


class ShiftForm(OrganizationForm):
    day = house.DateField(label="Day", past=True)
    hours = forms.DecimalField(label="Hours", max_digits=4, decimal_places=2)


# --- cost -----------------------------------------------------------------------------------------


def _compared(baseline: WorkBaseline | None, now: Decimal | None) -> dict[str, Any]:
    if baseline is None or now is None:
        return {"change": None, "reached": None}
    change = (now - baseline.minutes_per_claim) / baseline.minutes_per_claim
    return {"change": change, "reached": change <= work.GOAL}


@require_safe
@may("cost.view")
def cost(request: HttpRequest) -> HttpResponseBase:
    """Before and after side by side for each client, what the minutes contain, touchless by step."""
    actor = actor_of(request)
    today = office_day()
    first = today - dt.timedelta(days=DAYS - 1)
    sections = []
    for owner in Organization.objects.filter(pk__in=actor.organizations).order_by("name"):
        found = work.measured(owner.pk, first, today)
        baselines = list(WorkBaseline.objects.filter(organization_id=owner.pk).order_by("-pk"))
        newest = baselines[0] if baselines else None
        sections.append(
            {
                "owner": owner,
                "baseline": newest,
                "older": baselines[1:],
                "now": [
                    (v.kpi.label, engine.words(v.kpi, v.value), v.kpi.code) for v in found.values()
                ],
                "minutes": engine.words(
                    found["minutes_per_claim"].kpi, found["minutes_per_claim"].value
                ),
                "claims": found["minutes_per_claim"].denominator,
                **_compared(newest, found["minutes_per_claim"].value),
                "rates": RoleCost.objects.filter(
                    organization_id=owner.pk, effective_from__lte=today
                ).order_by("role", "-effective_from"),
                "steps": work.touchless_steps(
                    [owner.pk], since=timezone.now() - dt.timedelta(days=DAYS)
                ),
            }
        )
    return render(
        request,
        "ar/manage/cost.html",
        {
            "sections": sections,
            "includes": INCLUDED,
            "idle": IDLE,
            "days": DAYS,
            "goal": work.GOAL,
            "may_edit": actor.can_somewhere("cost.edit"),
        },
    )


def _posted(
    request: HttpRequest, form: Any, verb: Any, *, title: str, done: str, back: str, text: str = ""
) -> HttpResponseBase:
    """A form whose service may refuse a field; done, it goes back with a word."""
    if form.is_valid():
        try:
            verb()
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, done)
            return redirect(back)
    return form_page(request, form, title=title, verb="Save", back=back, text=text)


@require_http_methods(["GET", "HEAD", "POST"])
@may("cost.edit")
def cost_rate(request: HttpRequest) -> HttpResponseBase:
    """The cost of an hour of one role."""
    actor = actor_of(request)
    form = CostForm(request.POST or None, actor=actor)

    def save() -> None:
        data = form.cleaned_data
        work.cost_set(
            organization_id=form.organization_id,
            role=data["role"],
            cost=data["cost"],
            effective_from=data["effective_from"],
            source=data["source"],
            actor=actor,
        )

    return _posted(
        request,
        form,
        save,
        title="Cost of an hour",
        done="The cost is kept.",
        back=reverse("ar:cost"),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("cost.edit")
def baseline_new(request: HttpRequest) -> HttpResponseBase:
    """Freeze a baseline: measured here, or told by the client."""
    actor = actor_of(request)
    form = BaselineForm(request.POST or None, actor=actor)

    def save() -> None:
        data = form.cleaned_data
        work.baseline_freeze(
            organization_id=form.organization_id,
            first=data["first"],
            last=data["last"],
            minutes_per_claim=data["minutes_per_claim"],
            includes=data["includes"],
            source=data["source"],
            actor=actor,
        )

    return _posted(
        request,
        form,
        save,
        title="Freeze a baseline",
        done="The baseline is frozen. Nobody can change it; a later one stands beside it.",
        back=reverse("ar:cost"),
        text=INCLUDED,
    )


# --- people ---------------------------------------------------------------------------------------


def _monday(text: str) -> dt.date:
    day = house.read_date(text) if text else None
    day = day or office_day()
    return day - dt.timedelta(days=day.weekday())


@require_safe
@may("staff.view")
def staff(request: HttpRequest) -> HttpResponseBase:
    """Plan against work, by client and week. Everybody sees their own figures; others' only who
    plans.
    """
    actor = actor_of(request)
    everybody = actor.can_somewhere("cost.edit")
    monday = _monday(request.GET.get("week", "")[:20])
    sections = []
    for owner in Organization.objects.filter(pk__in=actor.organizations).order_by("name"):
        weeks = [work.week_of(owner.pk, monday - dt.timedelta(days=7 * n)) for n in range(WEEKS)]
        mine = [(w.first, p) for w in weeks for p in w.people if p.user_id == actor.user_id]
        sections.append(
            {
                "owner": owner,
                "week": weeks[0],
                "weeks": weeks,
                "mine": mine,
                "everybody": actor.can("cost.edit", owner.pk),
            }
        )
    return render(
        request,
        "ar/manage/staff.html",
        {
            "sections": sections,
            "everybody": everybody,
            "monday": monday,
            "plans": StaffPlan.objects.visible_to(actor).exists(),
            "idle": IDLE,
            "crumbs": [parts.Crumb("Cost", reverse("ar:cost"))] if everybody else [],
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("cost.edit")
def plan_place(request: HttpRequest) -> HttpResponseBase:
    """A place in a client's team."""
    actor = actor_of(request)
    form = PersonForm(request.POST or None, actor=actor)

    def save() -> None:
        data = form.cleaned_data
        work.plan_set(
            organization_id=form.organization_id,
            user=data["user"],
            skill=data["skill"],
            hours=data["hours"],
            effective_from=data["effective_from"],
            effective_to=data["effective_to"],
            actor=actor,
        )

    return _posted(
        request,
        form,
        save,
        title="A place in the team",
        done="The place is planned.",
        back=reverse("ar:staff"),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("staff.view")
def shift(request: HttpRequest) -> HttpResponseBase:
    """One's own hours of a day."""
    actor = actor_of(request)
    form = ShiftForm(request.POST or None, actor=actor)

    def save() -> None:
        data = form.cleaned_data
        work.shift_record(
            organization_id=form.organization_id,
            user=User.objects.get(pk=actor.user_id or 0),
            day=data["day"],
            hours=data["hours"],
            actor=actor,
        )

    return _posted(
        request,
        form,
        save,
        title="My hours",
        done="Your hours are kept.",
        back=reverse("ar:staff"),
    )
