"""Screens of the states: map and table, one state with its sources, late payers with their letter."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from ar.manage.common import OrganizationForm, form_page
from ar.models import StateTopic
from ar.queues import link
from ar.states import letters, services
from ar.states.prompt_pay import FUNDING_UNKNOWN, LATE, PAID_LATE, UNVERIFIED
from claims.models import Claim
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization, Site
from rcm.accounts.problems import Refused
from rcm.audit.services import record_access
from rcm.ledger.models import Account, LedgerEntry
from rcm.reference.models import Payer
from rcm.web import charts, parts
from rcm.web import forms as house
from rcm.web.access import actor_of, may
from rcm.web.lists import csv_response

ZERO = Decimal("0.00")
SHOWN = 200


class FactForm(OrganizationForm):
    topic = forms.ChoiceField(label="What", choices=StateTopic.choices)
    number = forms.DecimalField(
        label="Number",
        required=False,
        max_digits=8,
        decimal_places=3,
        help_text="Days, or percent a year; empty where the law is told in words",
    )
    words = forms.CharField(
        label="In words", required=False, max_length=300, widget=forms.Textarea(attrs={"rows": 2})
    )
    source = forms.CharField(label="Source", max_length=200, help_text="Statute or page")
    read_on = house.DateField(label="Read on", past=True)
    effective_from = house.DateField(label="In force from")


def _facts(actor: Actor) -> dict[int, dict[str, dict[str, services.Known]]]:
    today = office_day()
    return {pk: services.facts_of(pk, today) for pk in sorted(actor.organizations)}


def _surest(facts: dict[int, dict[str, dict[str, services.Known]]], state: str, topic: str) -> Any:
    """What any of the actor's organizations has verified, else what was shipped."""
    found = [by_state[state][topic] for by_state in facts.values()]
    return next((k for k in found if k.verified), found[0] if found else None)


@require_safe
@may("states.view")
def states(request: HttpRequest) -> HttpResponseBase:
    """Map and table of the fifty states and DC: sites, payers, prompt pay, filing, how sure."""
    actor = actor_of(request)
    facts = _facts(actor)
    sites = Counter(
        Site.objects.filter(organization_id__in=actor.organizations).values_list("state", flat=True)
    )
    payers: dict[str, int] = {
        row["site__state"]: row["payers"]
        for row in Claim.objects.visible_to(actor)
        .values("site__state")
        .annotate(payers=Count("payer", distinct=True))
        .order_by()
    }
    rows = [_row(facts, state, sites[state], payers.get(state, 0)) for state in services.STATES]
    if request.GET.get("export") == "csv":
        return csv_response(
            "states",
            ("State", "Sites", "Payers", *(label for _, label in StateTopic.choices), "Sources"),
            [
                (
                    r["name"],
                    r["sites"],
                    r["payers"],
                    *(f"{k.value} ({k.confidence})" if k.value else "" for k in r["topics"]),
                    "; ".join(dict.fromkeys(k.source for k in r["topics"] if k.source)),
                )
                for r in rows
            ],
        )
    chart = charts.state_map(
        "Prompt pay by state, days",
        [
            charts.StateTile(
                r["state"], r["figure"], r["tone"], r["url"], words=f"{r['name']}: {r['words']}"
            )
            for r in rows
        ],
        figure="Prompt pay",
        note="Hatched: nobody here has verified it, so nothing is asserted.",
    )
    return render(
        request,
        "ar/manage/states.html",
        {
            "chart": chart,
            "rows": rows,
            "topics": [label for _, label in StateTopic.choices],
            "verified": sum(r["tone"] != charts.HATCHED for r in rows),
            "export_url": f"{reverse('ar:states')}?export=csv",
        },
    )


def _row(
    facts: dict[int, dict[str, dict[str, services.Known]]], state: str, sites: int, payers: int
) -> dict[str, Any]:
    topics = [_surest(facts, state, topic) for topic in StateTopic.values]
    days = topics[0]
    tone = charts.HATCHED
    words = f"{days.value} days, not verified" if days.value else "not known"
    if days.verified:
        tone = "info" if sites else "good"
        words = f"{days.value} days, verified"
    return {
        "state": state,
        "name": services.NAMES[state],
        "sites": sites,
        "payers": payers,
        "topics": topics,
        "figure": f"{days.value or '?'} d" + (" •" if sites else ""),
        "tone": tone,
        "words": f"{words}; {sites} sites",
        "url": reverse("ar:state", args=[state.lower()]),
    }


@require_safe
@may("states.view")
def state(request: HttpRequest, code: str) -> HttpResponseBase:
    """One state: each fact with source, date and how sure; its sites; its late claims."""
    actor = actor_of(request)
    place = code.upper()
    if place not in services.NAMES:
        raise Http404
    facts = _facts(actor)
    owners = Organization.objects.in_bulk(actor.organizations)
    shown = services.waited(actor.organizations, office_day(), facts=facts, state=place)
    return render(
        request,
        "ar/manage/state.html",
        {
            "name": services.NAMES[place],
            "code": place.lower(),
            "sections": [
                (
                    owners[pk],
                    [(StateTopic(t).label, k) for t, k in by_state[place].items()],
                )
                for pk, by_state in facts.items()
            ],
            "sites": Site.objects.filter(
                organization_id__in=actor.organizations, state=place
            ).order_by("name"),
            "counts": Counter(w.clock.words for w in shown).most_common(),
            "late_url": f"{reverse('ar:prompt_pay')}?state={place}",
            "may_verify": actor.can_somewhere("rules.edit"),
            "crumbs": [parts.Crumb("States", reverse("ar:states"))],
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("rules.edit")
def state_verify(request: HttpRequest, code: str) -> HttpResponseBase:
    """Enter one verified fact of a state."""
    actor = actor_of(request)
    place = code.upper()
    if place not in services.NAMES:
        raise Http404
    form = FactForm(request.POST or None, actor=actor)
    back = reverse("ar:state", args=[code])
    if form.is_valid():
        data = form.cleaned_data
        try:
            services.fact_verify(
                organization_id=form.organization_id,
                state=place,
                topic=data["topic"],
                number=data["number"],
                words=data["words"],
                source=data["source"],
                read_on=data["read_on"],
                effective_from=data["effective_from"],
                actor=actor,
            )
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, "Kept with its source. The prompt-pay clocks use it now.")
            return redirect(back)
    return form_page(
        request,
        form,
        title=f"{services.NAMES[place]}: what the law says",
        verb="Keep it",
        back=back,
        text="Only what somebody has read in its source is asserted to a payer.",
    )


# --- late payers ----------------------------------------------------------------------------------


def _chosen_state(request: HttpRequest) -> str:
    place = request.GET.get("state", "").upper()
    return place if place in services.NAMES else ""


@require_safe
@may("states.view")
def prompt_pay(request: HttpRequest) -> HttpResponseBase:
    """Insured claims that are late by a verified state rule, with the interest that is owed."""
    actor = actor_of(request)
    place = _chosen_state(request)
    rows = services.waited(actor.organizations, office_day(), state=place)
    late = [w for w in rows if w.clock.state in (LATE, PAID_LATE)]
    late.sort(key=lambda w: (-(w.clock.interest or ZERO), -w.clock.days_late, w.claim_id))
    if request.GET.get("export") == "csv":
        return csv_response(
            "prompt-pay",
            ("Claim", "Payer", "State", "Received", "Due", "Paid", "Days late", "Interest"),
            [
                (
                    w.number,
                    w.payer,
                    w.state,
                    w.received,
                    w.clock.last_day,
                    w.paid_on or "",
                    w.clock.days_late,
                    w.clock.interest if w.clock.interest is not None else "rate not verified",
                )
                for w in late
            ],
        )
    recovered = LedgerEntry.objects.filter(
        organization_id__in=actor.organizations, account=Account.INTEREST
    ).aggregate(total=Sum("amount"))["total"]
    by_payer: dict[tuple[int, str, str], list[services.Waited]] = {}
    for w in late:
        by_payer.setdefault((w.payer_id, w.payer, w.state), []).append(w)
    payers = dict(
        Payer.objects.filter(pk__in={key[0] for key in by_payer}).values_list("pk", "public_id")
    )
    query = f"?state={place}&" if place else "?"
    return render(
        request,
        "ar/manage/prompt_pay.html",
        {
            "rows": [(w, link("claims:claim", w.public_id)) for w in late[:SHOWN]],
            "count": len(late),
            "owed": sum((w.clock.interest or ZERO for w in late), ZERO),
            "recovered": -(recovered or ZERO),
            "unverified": sum(w.clock.state == UNVERIFIED for w in rows),
            "unknown": sum(w.clock.state == FUNDING_UNKNOWN for w in rows),
            "letters": [
                (
                    payer,
                    place_,
                    len(some),
                    sum((w.clock.interest or ZERO for w in some), ZERO),
                    reverse("ar:prompt_pay_letter", args=[payers[payer_id], place_.lower()]),
                )
                for (payer_id, payer, place_), some in by_payer.items()
            ],
            "state_name": services.NAMES.get(place, ""),
            "export_url": f"{reverse('ar:prompt_pay')}{query}export=csv",
            "crumbs": [parts.Crumb("States", reverse("ar:states"))],
        },
    )


@require_safe
@may("states.view")
def prompt_pay_letter(request: HttpRequest, payer: str, code: str) -> HttpResponseBase:
    """The letter to one payer about its late claims in one state, as PDF."""
    actor = actor_of(request)
    place = code.upper()
    known = Payer.objects.filter(public_id=payer).first()
    if place not in services.NAMES:
        raise Http404
    today = office_day()
    pages = []
    for owner in Organization.objects.filter(pk__in=actor.organizations).order_by("name"):
        facts = {owner.pk: services.facts_of(owner.pk, today)}
        late = [
            w
            for w in services.waited([owner.pk], today, facts=facts, state=place)
            if known is not None and w.payer_id == known.pk and w.clock.state in (LATE, PAID_LATE)
        ]
        if late:
            rule = services.rule_of(facts[owner.pk][place])
            pages.append(
                letters.Letter(owner, late[0].payer, services.NAMES[place], rule, late, today)
            )
            patients = Claim.objects.filter(pk__in=[w.claim_id for w in late])
            record_access(
                organization_id=owner.pk,
                patient_ids=patients.values_list("patient_id", flat=True),
                actor=actor,
                purpose="prompt pay letter",
                request_id=str(getattr(request, "request_id", "")),
            )
    if not pages:
        messages.info(request, "No claim of this payer is late there by a verified rule.")
        return redirect("ar:prompt_pay")
    response = HttpResponse(letters.pdf(pages), content_type="application/pdf")
    response["Content-Disposition"] = 'inline; filename="prompt-pay-letter.pdf"'
    return response
