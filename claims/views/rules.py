"""Rules that users write for payers."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from claims import forms, services
from claims.edits.userrules import FIELDS
from claims.models import (
    Claim,
    PayerRule,
)
from claims.views.common import say
from rcm.accounts.problems import Refused
from rcm.web import parts
from rcm.web.access import actor_of, found, may


@require_GET
@may("rules.view")
def rules(request: HttpRequest) -> HttpResponseBase:
    """The rules of users: each with its newest version and the one that is on."""
    rows = list(
        PayerRule.objects.visible_to(actor_of(request))
        .select_related("payer")
        .order_by("organization_id", "number", "-rule_version")
    )
    newest: dict[tuple[int, int], PayerRule] = {}
    on: dict[tuple[int, int], PayerRule] = {}
    for row in rows:
        newest.setdefault((row.organization_id, row.number), row)
        if row.active:
            on[(row.organization_id, row.number)] = row
    worth = services.rules_worth([on.get(key) or row for key, row in newest.items()])
    return render(
        request,
        "claims/rules.html",
        {
            "rules": [
                (row, on.get(key), worth[(on.get(key) or row).pk]) for key, row in newest.items()
            ],
            "may_edit": actor_of(request).can_somewhere("rules.edit"),
        },
    )


@require_http_methods(["GET", "POST"])
@may("rules.edit")
def rule_new(request: HttpRequest) -> HttpResponseBase:
    return _rule_form(request, None)


@require_http_methods(["GET", "POST"])
@may("rules.edit")
def rule_edit(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The next version of a rule."""
    return _rule_form(
        request,
        found(
            PayerRule.objects.visible_to(actor_of(request)).select_related("payer", "organization"),
            public_id=public_id,
        ),
    )


def _rule_form(request: HttpRequest, rule: PayerRule | None) -> HttpResponseBase:
    actor = actor_of(request)
    initial: dict[str, Any] | None = {}
    if rule is not None:
        initial = forms.RuleForm.initial_of(rule.definition)
        if initial is None:
            messages.error(
                request,
                "This rule is nested deeper than this page can draw; change it through the API.",
            )
            return redirect("claims:rule", public_id=rule.public_id)
        initial |= {"name": rule.name, "payer": rule.payer_id}
    organization = rule.organization if rule else None
    form = forms.RuleForm(
        actor,
        request.POST if request.method == "POST" else None,
        initial=initial,
        organization=organization,
    )
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            told = form.cleaned_data
            try:
                with transaction.atomic():
                    made = services.rule_save(
                        organization_id=told["organization"].pk,
                        name=told["name"],
                        definition=form.definition(),
                        payer=told["payer"],
                        number=rule.number if rule else None,
                        actor=actor,
                    )
            except services.RuleProblems as wrong:
                for entry in wrong.problems:
                    form.add_error(form.place_of(entry["field"]), entry["message"])
            except Refused as refusal:
                form.add_error(
                    refusal.field if refusal.field in form.fields else None, str(refusal)
                )
            else:
                messages.success(
                    request, "Kept, switched off. Test it on past claims, then switch it on."
                )
                return redirect("claims:rule", public_id=made.public_id)
    return render(
        request,
        "claims/rule_form.html",
        {
            "title": f"Rule {rule.number}: next version" if rule else "New payer rule",
            "text": (
                "A rule that cannot be judged holds the claim. A version is never changed; this"
                " makes the next one."
            ),
            "form": form,
            "verb": "Keep",
            "back_url": (
                reverse("claims:rule", args=[rule.public_id]) if rule else reverse("claims:rules")
            ),
            "crumbs": [parts.Crumb("Payer rules", reverse("claims:rules"))],
        },
        status=status,
    )


@require_GET
@may("rules.view")
def rule(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One version of a rule: its words, its test on past claims, its other versions."""
    actor = actor_of(request)
    row = found(
        PayerRule.objects.visible_to(actor).select_related("payer", "organization"),
        public_id=public_id,
    )
    others = list(
        PayerRule.objects.visible_to(actor)
        .filter(organization=row.organization, number=row.number)
        .order_by("-rule_version")
    )
    verdicts = row.backtest.get("verdicts", [])[:100]
    seen = {
        c.number: c
        for c in Claim.objects.visible_to(actor).filter(
            organization=row.organization, number__in=[v[0] for v in verdicts]
        )
    }
    actions = []
    if actor.can("rules.edit", row):
        actions.append(
            parts.Action(
                "Test on past claims",
                reverse("claims:rule_backtest", args=[row.public_id]),
                "post",
                primary=not row.backtest,
            )
        )
        if row.active:
            actions.append(
                parts.Action(
                    "Switch off",
                    reverse("claims:rule_switch", args=[row.public_id]),
                    "post",
                    fields=(("on", ""),),
                )
            )
        else:
            why = "" if row.backtest else "Test it on past claims first."
            if row.author_user_id == actor.user_id and row.author_user_id is not None:
                why = why or "You wrote it: another person reads it and switches it on."
            actions.append(
                parts.Action(
                    "Switch on",
                    reverse("claims:rule_switch", args=[row.public_id]),
                    "post",
                    primary=bool(row.backtest),
                    disabled_reason=why,
                    fields=(("on", "1"),),
                )
            )
        actions.append(
            parts.Action("Next version", reverse("claims:rule_edit", args=[row.public_id]))
        )
    return render(
        request,
        "claims/rule.html",
        {
            "rule": row,
            "words": list(_rule_words(row.definition.get("when", {}))),
            "test": row.backtest,
            "tested_on": parse_date(row.backtest.get("on", "")),
            "verdicts": (
                [(seen[number], *rest) for number, *rest in verdicts if number in seen]
                if actor.can("claim.view", row)
                else []
            ),
            "others": others,
            "worth": services.rules_worth([row])[row.pk],
            "learned": [
                (" ".join(w for _, w in _rule_words(node)), denied, paid)
                for node, denied, paid in row.learned.get("conditions", [])
            ],
            "actions": actions,
            "crumbs": [parts.Crumb("Payer rules", reverse("claims:rules"))],
        },
    )


def _field_words(name: str) -> str:
    """A field as people say it; rules are written with its short name."""
    known = FIELDS.get(name)
    return known.words[:1].upper() + known.words[1:] if known else name


def _rule_words(node: Any, depth: int = 0) -> Any:
    """A rule's conditions as lines of plain words with their depth."""
    if not isinstance(node, dict):
        return
    if "field" in node:
        value = node.get("value", "")
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield (
            depth,
            f"{_field_words(node['field'])} {forms.OPERATOR_WORDS.get(str(node.get('op')), node.get('op'))}"
            f" {shown}".strip(),
        )
        return
    labels = {
        "all": "all of these",
        "any": "any of these",
        "not": "not",
        "any_line": "on one line",
        "all_lines": "on every line",
    }
    for word, inner in node.items():
        yield depth, f"{labels.get(word, word)}:"
        for part in inner if isinstance(inner, list) else [inner]:
            yield from _rule_words(part, depth + 1)


@require_POST
@may("rules.edit")
def rule_backtest(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(PayerRule.objects.visible_to(actor_of(request)), public_id=public_id)
    result = services.rule_backtest(rule=row, actor=actor_of(request))
    messages.success(
        request, f"It would have stopped {result['stopped']:,} of {result['claims']:,} claims."
    )
    return redirect("claims:rule", public_id=row.public_id)


@require_POST
@may("rules.edit")
def rule_switch(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(PayerRule.objects.visible_to(actor_of(request)), public_id=public_id)
    on = bool(request.POST.get("on"))
    try:
        with transaction.atomic():
            services.rule_switch(rule=row, on=on, actor=actor_of(request))
    except Refused as refusal:
        say(request, refusal)
    else:
        messages.success(request, "Switched on." if on else "Switched off.")
    return redirect("claims:rule", public_id=row.public_id)
