"""The list of denials and their groups."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db.models import Count, Min, Q, QuerySet, Sum
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from claims.services import rule_propose
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.reference.facts import adjustment_reasons
from rcm.web import charts, parts
from rcm.web import format as fmt
from rcm.web.access import actor_of, may
from rcm.web.keyset import Key
from rcm.web.lists import BulkAction, Column, ListPage, Order, Tab
from rcm.worklist import views as work
from remittance import forms, origins, present, services
from remittance.filters import DenialFilter
from remittance.heat import heat
from remittance.models import (
    Denial,
    DenialStatus,
)
from remittance.views.common import ZERO

OPEN = [DenialStatus.OPEN, DenialStatus.UPHELD]

DENIALS = ListPage(
    name="denials-all",
    title="All denials",
    noun=("denial", "denials"),
    columns=(
        Column(
            "claim",
            "Claim",
            "claim.number",
            kind="code",
            width="id",
            link=True,
            second=lambda d: f"DOS {fmt.short_day(d.claim.service_date)}",
        ),
        Column(
            "patient",
            "Patient",
            "claim.patient.name",
            width="who",
            second=lambda d: f"{fmt.mdy(d.claim.patient.born_on)} {d.claim.patient.mrn}",
            second_kind="code",
        ),
        Column("payer", "Payer", "payer.name", width="payer", fold=True),
        Column(
            "exam",
            "Exam",
            lambda d: d.line.code if d.line else "",
            kind="code",
            width="exam",
            second=lambda d: " ".join(d.line.modifiers) if d.line else "",
        ),
        Column(
            "reason",
            "Denial",
            lambda d: f"{d.group}-{d.reason}",
            kind="strong",
            second=lambda d: present.reason_words(d.reason),
        ),
        Column(
            "risk",
            "At risk",
            lambda d: d.expected if d.expected is not None else d.amount,
            kind="money",
            width="money",
            order="risk",
        ),
        Column(
            "deadline",
            "Appeal by",
            lambda d: d.appeal_by or d.correct_by,
            kind="deadline",
            width="due",
            order="deadline",
        ),
        Column(
            "status",
            "Status",
            lambda d: (d.get_status_display(), present.DENIAL_TONES[DenialStatus(d.status)]),
            kind="tag",
            width="tag",
        ),
    ),
    orders=(
        Order(
            "deadline",
            "appeal deadline, then amount",
            (Key("appeal_by", nulls="last"), "-amount", "pk"),
        ),
        Order("risk", "amount", ("-amount", "pk")),
        Order("new", "newest first", ("-pk",)),
    ),
    tabs=(
        Tab("open", "To work", Q(status__in=OPEN)),
        Tab(
            "waiting",
            "Waiting for the payer",
            Q(status__in=[DenialStatus.CORRECTED, DenialStatus.APPEALED]),
        ),
        Tab("auth", "Authorization", Q(status__in=OPEN, category="prior_auth")),
        Tab(
            "soon",
            "Deadline < 10 d",
            lambda request: (
                Q(status__in=OPEN) & Q(appeal_by__lte=office_day() + timedelta(days=10))
            ),
        ),
        Tab("parked", "Parked", Q(status=DenialStatus.PARKED)),
        Tab(
            "won",
            "Overturned",
            Q(status__in=[DenialStatus.OVERTURNED, DenialStatus.PARTIAL]),
            order="new",
        ),
        Tab("all", "All", order="new"),
    ),
    filterset=DenialFilter,
    detail=lambda d: reverse("remittance:denial", args=[d.public_id]),
    row_label=lambda d: f"denial of claim {d.claim.number}",
    amount="amount",
    version="version",
    bulk=(BulkAction("Park", "remittance:denials_park", "denial.work"),),
    summary=lambda request, rows: _denial_line(rows),
    actions=lambda request: [
        parts.Action("By payer and reason", reverse("remittance:denial_groups")),
        parts.Action("Where they come from", reverse("remittance:denial_origins")),
        parts.Action("Work queue", reverse("remittance:denials"), primary=True, key="w"),
    ],
    empty="Every denial is worked.",
)


def _denial_line(rows: QuerySet[Any]) -> str:
    live = rows.filter(status__in=OPEN)
    figures = live.aggregate(
        n=Count("pk"),
        s=Sum("amount"),
        soon=Count("pk", filter=Q(appeal_by__lte=office_day() + timedelta(days=10))),
    )
    if not figures["n"]:
        return ""
    return (
        f"{fmt.number(figures['n'])} to work, {fmt.money(figures['s'], cents=False)} billed,"
        f" {fmt.number(figures['soon'])} with a deadline in ten days."
    )


@require_safe
@may("denial.view")
def denials(request: HttpRequest) -> HttpResponseBase:
    """The one place where denials are worked: the queue with its panel."""
    return work.queue(request, "denials")


@require_safe
@may("denial.view")
def denials_all(request: HttpRequest) -> HttpResponseBase:
    """Every denial with what became of it, settled ones too."""
    rows = Denial.objects.visible_to(actor_of(request)).select_related(
        "claim__patient", "payer", "line"
    )
    return DENIALS.respond(request, rows)


@require_safe
@may("denial.view")
def denial_groups(request: HttpRequest) -> HttpResponseBase:
    """Open denials by payer and reason, the most dollars first: one cause worked once."""
    rows = (
        Denial.objects.visible_to(actor_of(request))
        .filter(status__in=OPEN)
        .values(
            "organization_id",
            "payer_id",
            "payer__name",
            "group",
            "reason",
            "category",
        )
        .annotate(
            n=Count("pk"),
            billed=Sum("amount"),
            risk=Sum("expected"),
            nearest=Min("appeal_by"),
            repeats=Count("pk", filter=Q(repeat=True)),
        )
        .order_by("-billed")
    )
    groups = [
        r
        | {
            "words": present.reason_words(r["reason"]),
            "category_words": present.category_words(r["category"]),
            "url": (
                f"{reverse('remittance:denials_all')}?view=open&payer={r['payer_id']}&reason={r['reason']}"
            ),
        }
        for r in rows[:500]
    ]
    context = {
        "groups": groups,
        "total": sum((Decimal(str(g["billed"])) for g in groups), ZERO),
        "count": sum(int(str(g["n"])) for g in groups),
        "heat": heat(
            Denial.objects.visible_to(actor_of(request)).filter(status__in=OPEN), office_day()
        ),
        "may_propose": actor_of(request).can_somewhere("rules.edit"),
        "crumbs": [parts.Crumb("Denials", reverse("remittance:denials"))],
    }
    return render(request, "remittance/groups.html", context)


@require_safe
@may("denial.view")
def denial_origins(request: HttpRequest) -> HttpResponseBase:
    """What let denials through, so that the next is prevented: by stage, step, site, person, rule
    or category.
    """
    asked = request.GET.get("by", "stage")
    by = asked if asked in origins.GROUPS else "stage"
    since = office_day() - timedelta(days=origins.DAYS)
    rows = origins.denials_of(actor_of(request), since)
    found = origins.origins_by(rows.exclude(category=origins.DUPLICATE), by)
    apart = origins.origins_by(rows.filter(category=origins.DUPLICATE), "category")
    labels = [_origin_words(by, o.label) for o in found]
    page = reverse("remittance:denial_origins")
    context = {
        "by": origins.GROUPS[by],
        "tabs": [
            (words, f"{page}?by={name}", name == by) for name, words in origins.GROUPS.items()
        ],
        "rows": list(zip(labels, found, strict=True)),
        "since": since,
        "count": sum(o.count for o in found),
        "billed": sum((o.billed for o in found), ZERO),
        "traced": sum(o.count for o in found if o.label != origins.UNKNOWN),
        "duplicates": apart[0] if apart else None,
        "chart": charts.bars(
            f"Denied dollars by {origins.GROUPS[by].lower()}",
            # drawn from below: the most dollars stand on top
            labels[11::-1],
            [o.billed for o in found[11::-1]],
            words=fmt.money,
            name="Billed",
            of=origins.GROUPS[by],
            horizontal=True,
            height=60 + 30 * min(12, len(found)),
        )
        if found
        else None,
        "crumbs": [parts.Crumb("Denials", reverse("remittance:denials"))],
    }
    return render(request, "remittance/origins.html", context)


def _origin_words(by: str, label: str) -> str:
    if by == "category":
        return present.category_words(label)
    if by == "step":
        return label.replace(".", " ").replace("_", " ").capitalize()
    if by == "person" and "." in label:
        return f"{label.partition('.')[0].capitalize()}, by itself"
    return label if by in ("person", "site", "rule") else label.capitalize()


@require_http_methods(["POST"])
@may("rules.edit")
def denial_group_rule(request: HttpRequest) -> HttpResponseBase:
    """Propose a claim edit from a group of denials: condition, message and back-test; another
    person switches it on.
    """
    actor = actor_of(request)
    asked = forms.GroupForm(request.POST)
    if not asked.is_valid():
        raise Http404
    told = asked.cleaned_data
    denials = Denial.objects.visible_to(actor).filter(
        organization_id=told["organization"],
        payer_id=told["payer"],
        group=told["group"],
        reason=told["reason"],
        category=told["category"],
        status__in=OPEN,
        line_id__isnull=False,
    )
    lines = dict(denials.values_list("line_id", "claim_id"))
    first = denials.select_related("payer").first()
    if first is None:
        raise Http404
    reason = adjustment_reasons().get(first.reason)
    try:
        rule = rule_propose(
            organization_id=first.organization_id,
            payer=first.payer,
            lines=lines,
            cause=f"{first.group}-{first.reason}",
            words=present.reason_words(first.reason).lower(),
            fix=reason.first_action if reason else "",
            actor=actor,
        )
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
        return redirect("remittance:denial_groups")
    messages.success(
        request,
        f"Rule {rule.number} is proposed from {len(lines):,} denials and tested on past claims."
        " Another person switches it on.",
    )
    return redirect("claims:rule", public_id=rule.public_id)


@require_http_methods(["POST"])
@may("denial.work")
def denials_park(request: HttpRequest) -> HttpResponseBase:
    """The bulk bar's Park: asks for the reason, then parks each and names those that could not
    be.
    """
    actor = actor_of(request)
    picks = [p.partition(":") for p in request.POST.getlist("pick")[:500]]
    versions = {
        int(pk): int(version)
        for pk, _, version in picks
        if pk.isdecimal() and version.isdecimal() and len(pk) < 19 and len(version) < 10
    }
    form = forms.ParkForm(request.POST if "reason" in request.POST else None)
    if not versions:
        messages.info(request, "Pick at least one denial.")
        return redirect("remittance:denials_all")
    if form.is_bound and form.is_valid():
        data = form.cleaned_data
        result = services.denials_group(
            denial_ids=versions,
            act=lambda d: services.denial_park(
                denial=d,
                reason=data["reason"],
                review_on=data["review_on"],
                version=versions[d.pk],
                actor=actor,
            ),
            actor=actor,
        )
        if result.done:
            messages.success(request, f"{fmt.number(result.done)} parked.")
        for title, sentence in result.refused[:5]:
            messages.warning(request, f"{title}: {sentence}")
        return redirect("remittance:denials_all")
    context = {
        "title": f"Park {fmt.number(len(versions))} denials",
        "form": form,
        "verb": "Park",
        "back_url": reverse("remittance:denials_all"),
        "action_url": request.path,
        "hidden": [("pick", f"{pk}:{version}") for pk, version in versions.items()],
    }
    return render(request, "components/confirm.html", context, status=422 if form.errors else 200)
