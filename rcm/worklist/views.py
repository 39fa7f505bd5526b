"""Screens of the worklist: overview of the queues, the queue page, every touch of an item, the bulk
bar.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock, office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.web import charts, nav, parts
from rcm.web.access import actor_of, found, may
from rcm.worklist import forms, registry, services
from rcm.worklist import owners as default_owners
from rcm.worklist.causes import groups_of, trend_words
from rcm.worklist.filters import due_q, opened_to
from rcm.worklist.models import DefaultOwner, ItemStatus, WorkItem
from rcm.worklist.pages import items, page_of
from rcm.worklist.panels import panel_html

UNDO_SECONDS = 15
UNDO_SALT = "rcm.worklist.undo"
BULK_LIMIT = 500
UNTOUCHED_CHOICES = (3, 7, 14, 30)


def _queue(request: HttpRequest, code: str) -> registry.Queue:
    """The declared queue, 404 when there is none, 403 without its permission. The page is limited
    to the places where the permission holds.
    """
    declared = registry.get(code)
    if declared is None:
        raise Http404
    if not actor_of(request).can_somewhere(declared.permission):
        raise PermissionDenied
    request.actor = actor_of(request).where(declared.permission)  # type: ignore[attr-defined]
    return declared


def _must(actor: Actor, permission: str, row: WorkItem) -> None:
    if not actor.can(permission, row):
        raise PermissionDenied


# --- overview -------------------------------------------------------------------------------------


@require_safe
@may("work.view")
def overview(request: HttpRequest) -> HttpResponseBase:
    """Every queue the reader may open: items, dollars, overdue, oldest; for managers, who carries
    what and what lies untouched.
    """
    actor = actor_of(request)
    shown = [q for q in registry.all_queues() if actor.can_somewhere(q.permission)]
    days = (
        int(request.GET["days"])
        if request.GET.get("days", "").isdecimal()
        and int(request.GET["days"][:4]) in UNTOUCHED_CHOICES
        else 7
    )
    now = timezone.now()
    untouched = Q(opened_at__lt=now - timedelta(days=days), touches=0) & (
        Q(next_action_on__isnull=True) | Q(next_action_on__lt=office_day())
    )
    live = opened_to(actor).filter(status=ItemStatus.OPEN)
    figures = {
        row["queue"]: row
        for row in (
            live.values("queue")
            .annotate(
                count=Count("pk"),
                due_dollars=Sum("dollars", filter=due_q()),
                dollars=Sum("dollars"),
                due=Count("pk", filter=due_q()),
                overdue=Count("pk", filter=Q(due_at__lt=now) | Q(deadline_on__lt=office_day())),
                unowned=Count("pk", filter=Q(owner__isnull=True)),
                untouched=Count("pk", filter=untouched),
                oldest=Min("opened_at"),
                soonest=Min("deadline_on"),
            )
            .order_by()
        )
    }
    waiting = dict(
        opened_to(actor)
        .filter(status=ItemStatus.PENDED)
        .values_list("queue")
        .annotate(n=Count("pk"))
        .order_by()
    )
    rows = [
        {"queue": q, "figures": figures.get(q.code), "waiting": waiting.get(q.code, 0)}
        for q in shown
    ]
    own = [row for row in rows if actor.can_somewhere(row["queue"].work_permission)]
    others = [row for row in rows if row not in own]
    manager = actor.can_somewhere("work.assign")
    return render(
        request,
        "worklist/overview.html",
        {
            "groups": _by_group(own),
            "others": _by_group(others),
            "total": sum(f["count"] for f in figures.values()),
            "due": sum(f["due"] for f in figures.values()),
            "due_dollars": sum((f["due_dollars"] or 0 for f in figures.values()), start=0),
            "dollars": sum((f["dollars"] for f in figures.values()), start=0),
            "days": days,
            "days_choices": UNTOUCHED_CHOICES,
            "load": list(_load(opened_to(actor.where("work.assign")), now)) if manager else None,
            "manager": manager,
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("work.assign")
def owners(request: HttpRequest) -> HttpResponseBase:
    """Who gets what nobody owns: the rows in force, and a new one."""
    actor = actor_of(request)
    form = forms.OwnerForm(request.POST or None, actor=actor)
    if request.method == "POST" and form.is_valid():
        told = form.cleaned_data
        try:
            default_owners.owner_set(
                organization_id=told["organization"].pk,
                queue=told["queue"],
                payer_id=told["payer"].pk if told["payer"] else None,
                site_id=told["site"].pk if told["site"] else None,
                user=told["user"],
                actor=actor,
            )
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, "Set. Open items that nobody owned went with it.")
            return redirect("worklist:owners")
    rows = (
        DefaultOwner.objects.visible_to(actor)
        .filter(ended_at__isnull=True)
        .select_related("payer", "site", "user", "organization")
        .order_by("queue", "payer__name", "site__name", "pk")
    )
    live = opened_to(actor).filter(status=ItemStatus.OPEN, owner__isnull=True)
    nobody = live.values("queue").annotate(n=Count("pk"), dollars=Sum("dollars")).order_by("-n")
    return render(
        request,
        "worklist/owners.html",
        {
            "form": form,
            "rows": [(row, registry.get(row.queue)) for row in rows],
            "nobody": [(registry.get(r["queue"]), r) for r in nobody if registry.get(r["queue"])],
            "crumbs": [parts.Crumb("Work", reverse("worklist:overview"))],
        },
        status=422 if form.is_bound and form.errors else 200,
    )


@require_POST
@may("work.assign")
def owner_end(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """New items go to the team again."""
    actor = actor_of(request)
    row = found(
        DefaultOwner.objects.visible_to(actor).select_related("payer", "site"), public_id=public_id
    )
    try:
        default_owners.owner_end(row=row, actor=actor)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, "Ended: new items go to the team.")
    return redirect("worklist:owners")


def _by_group(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The queues under the names of the menu, groups without one left out."""
    found = [
        {"name": name, "rows": [row for row in rows if row["queue"].group == name]}
        for name in nav.GROUPS
    ]
    return [group for group in found if group["rows"]]


def _load(live: QuerySet[WorkItem], now: Any) -> QuerySet[Any, Any]:
    """Items by owner: how many, how much, how late, last touched."""
    return (
        live.filter(status=ItemStatus.OPEN, owner__isnull=False)
        .values("owner_id", name=F("owner__first_name"), family=F("owner__last_name"))
        .annotate(
            count=Count("pk"),
            dollars=Sum("dollars"),
            overdue=Count("pk", filter=Q(due_at__lt=now)),
            touches=Sum("touches"),
            working=Count("pk", filter=Q(lease_until__gt=now)),
            next=Min("next_action_on"),
            newest=Max("opened_at"),
        )
        .order_by("-dollars", "owner_id")
    )


# --- one queue ------------------------------------------------------------------------------------


@require_safe
@may("work.view")
def queue(request: HttpRequest, code: str) -> HttpResponseBase:
    declared = _queue(request, code)
    actor = actor_of(request)
    rows = items(actor, declared.code)
    return page_of(declared, request).respond(
        request,
        rows,
        queue=declared,
        may_work=actor.can_somewhere(declared.work_permission),
        now=timezone.now(),
    )


@require_safe
@may("work.view")
def causes(request: HttpRequest, code: str) -> HttpResponseBase:
    """The open items of a queue by payer, cause and field: one fault worked once."""
    declared = _queue(request, code)
    actor = actor_of(request)
    groups = groups_of(actor, declared.code)
    fix = declared.fix_together if actor.can_somewhere(declared.work_permission) else ""
    return render(
        request,
        "worklist/causes.html",
        {
            "queue": declared,
            "rows": [
                {
                    "group": group,
                    "trend": charts.sparkline(group.trend, label=trend_words(group)),
                    "fix_url": f"{reverse(fix, args=[declared.code])}?{group.query}" if fix else "",
                }
                for group in groups
            ],
            "any_field": any(group.field for group in groups),
            "items": sum(group.items for group in groups),
            "dollars": sum((group.dollars for group in groups), start=Decimal(0)),
            "crumbs": [
                parts.Crumb(declared.label, reverse("worklist:queue", args=[declared.code]))
            ],
        },
    )


@require_POST
@may("work.view")
def next_item(request: HttpRequest, code: str) -> HttpResponseBase:
    """Lease the first free item of the queue and open it."""
    declared = _queue(request, code)
    actor = actor_of(request)
    able = actor.where(declared.permission, declared.work_permission)
    if not able.organizations:
        raise PermissionDenied
    leased = services.work_next(queue=declared.code, actor=able)
    if leased is None:
        messages.info(request, f"{declared.empty} Nothing is free in {declared.label} right now.")
        return redirect("worklist:queue", code=declared.code)
    return redirect(_at(leased))


@require_safe
@may("work.view")
def item(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """An item's own address: opens its queue with the item in the panel, or the panel alone when it
    is finished.
    """
    row = _item(request, public_id)
    if row.status in (ItemStatus.OPEN, ItemStatus.PENDED):
        return redirect(_at(row))
    return render(
        request,
        "worklist/item.html",
        {"item": row, "panel": panel_html(request, row), "queue": registry.get(row.queue)},
    )


def _item(request: HttpRequest, public_id: str) -> WorkItem:
    row = found(
        WorkItem.objects.visible_to(actor_of(request)).select_related("owner", "site"),
        public_id=public_id,
    )
    _must(actor_of(request), _queue(request, row.queue).permission, row)
    return row


def _at(row: WorkItem) -> str:
    view = "waiting" if row.status == ItemStatus.PENDED else "all"
    return (
        f"{reverse('worklist:queue', args=[row.queue])}?{urlencode({'view': view, 'open': row.pk})}"
    )


# --- touches --------------------------------------------------------------------------------------

Verb = Callable[..., Any]
FORMS: dict[str, type[forms.TouchForm]] = {
    "act": forms.ActForm,
    "note": forms.NoteForm,
    "contact": forms.ContactForm,
    "pend": forms.PendForm,
    "assign": forms.AssignForm,
    "escalate": forms.EscalateForm,
    "finish": forms.FinishForm,
}
SAID = {
    "take": "Taken. It is yours for 20 minutes.",
    "release": "Put back for everybody.",
    "act": "Saved. It comes back on {day}.",
    "note": "Note saved.",
    "contact": "Contact logged.",
    "pend": "It waits until {day}.",
    "assign": "Assigned to {person}.",
    "escalate": "A manager will see it.",
    "finish": "Finished.",
    "reopen": "Open again.",
}
UNDOABLE = ("take", "release", "pend", "assign")


@require_POST
@may("work.view")
def touch(request: HttpRequest, public_id: str, verb: str) -> HttpResponseBase:
    """One touch of one item. Answers the fresh panel to htmx (409 and 422 included), a redirect
    without script.
    """
    if verb not in SAID:
        raise Http404
    row = _item(request, public_id)
    actor = actor_of(request)
    declared = registry.get(row.queue)
    _must(
        actor,
        (
            "work.assign"
            if verb == "assign"
            else declared.work_permission
            if declared
            else "work.touch"
        ),
        row,
    )
    before = {name: getattr(row, name) for name in services.UNDO_FIELDS}
    form: forms.TouchForm | None = None
    values: dict[str, Any] = {}
    if verb in FORMS:
        form = (
            FORMS[verb](request.POST, actor=actor)
            if verb == "assign"
            else FORMS[verb](request.POST)
        )
        if not form.is_valid():
            return _answer(request, row, status=422, bound=form, text="Look at the marked fields.")
        values = dict(form.cleaned_data)
    version = values.pop("version", None)
    if version is None and request.POST.get("version", "").isdecimal():
        version = int(request.POST["version"])
    try:
        _act(verb, row, actor=actor, version=version, values=values)
    except Conflict as conflict:
        fresh = _item(request, public_id)
        return _answer(request, fresh, status=409, conflict=str(conflict), bound=form)
    except Refused as refusal:
        if form is None:
            return _answer(request, row, status=422, conflict=str(refusal))
        form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        return _answer(request, row, status=422, bound=form, text=str(refusal))
    fresh = WorkItem.objects.select_related("owner", "site").get(pk=row.pk)
    day = values.get("until") or values.get("next_action_on")
    text = SAID[verb].format(
        day=f"{day:%b %-d}" if day else "",
        person=values["to"].display_name if "to" in values else "",
    )
    return _answer(
        request, fresh, text=text, undo=_undo_token(fresh, before) if verb in UNDOABLE else ""
    )


def _act(
    verb: str, row: WorkItem, *, actor: Actor, version: int | None, values: dict[str, Any]
) -> None:
    if verb == "note":
        services.item_note(item=row, actor=actor, **values)
    elif verb == "contact":
        services.interaction_record(
            organization_id=row.organization_id, item=row, actor=actor, **values
        )
    elif verb == "reopen":
        services.item_reopen(item=row, actor=actor, version=version, reason="Opened again by hand")
    else:
        getattr(services, f"item_{verb}")(item=row, actor=actor, version=version, **values)


def _answer(
    request: HttpRequest,
    row: WorkItem,
    *,
    status: int = 200,
    text: str = "",
    undo: str = "",
    conflict: str = "",
    bound: forms.TouchForm | None = None,
) -> HttpResponseBase:
    """The panel to htmx with a toast and a sign that the rows changed; without script, the queue
    with a message.
    """
    if request.headers.get("HX-Request"):
        response = HttpResponse(
            panel_html(request, row, bound=bound, conflict=conflict), status=status
        )
        events: dict[str, Any] = {"rows-changed": True}
        if text and status == 200:
            toast: dict[str, str] = {"text": text}
            if undo:
                toast["undo"] = f"{reverse('worklist:undo')}?{urlencode({'token': undo})}"
            events["toast"] = toast
        if status == 200:
            response["HX-Trigger"] = json.dumps(events)
        return response
    said = conflict or text
    if bound is not None and status != 200:
        said = " ".join(
            [
                said,
                *(
                    (
                        f"{bound.fields[n].label}: {' '.join(map(str, e))}"
                        if n in bound.fields
                        else " ".join(map(str, e))
                    )
                    for n, e in bound.errors.items()
                ),
            ]
        )
    messages.add_message(
        request, messages.SUCCESS if status == 200 else messages.ERROR, said.strip()
    )
    return redirect(_at(row))


# --- undo -----------------------------------------------------------------------------------------


def _undo_token(row: WorkItem, before: dict[str, Any]) -> str:
    kept = {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in before.items()}
    return signing.dumps({"i": row.pk, "v": row.version, "b": kept}, salt=UNDO_SALT, compress=True)


@require_POST
@may("work.view")
def undo(request: HttpRequest) -> HttpResponseBase:
    """Put back what was just done, while nobody else has touched it. The token is signed and lives
    for seconds.
    """
    actor = actor_of(request)
    try:
        body = signing.loads(request.GET.get("token", ""), salt=UNDO_SALT, max_age=UNDO_SECONDS)
    except signing.BadSignature:
        return HttpResponse("Too late to undo.", status=409, content_type="text/plain")
    row = found(WorkItem.objects.visible_to(actor), pk=body["i"])
    declared = _queue(request, row.queue)
    _must(actor_of(request), declared.permission, row)
    _must(actor, declared.work_permission, row)
    before = dict(body["b"])
    for name in ("pend_until", "next_action_on"):
        before[name] = parse_date(before[name]) if before.get(name) else None
    try:
        services.item_undo(item=row, before=before, version=body["v"], actor=actor)
    except Refused as refusal:
        return HttpResponse(str(refusal), status=409, content_type="text/plain")
    return HttpResponse(status=204)


# --- the bulk bar ---------------------------------------------------------------------------------


def _picked(request: HttpRequest) -> tuple[list[WorkItem], dict[int, int]]:
    """The chosen items that the actor may see and work, and the version each was seen at."""
    actor = actor_of(request)
    versions: dict[int, int] = {}
    for pick in request.POST.getlist("pick")[:BULK_LIMIT]:
        pk, _, version = pick.partition(":")
        if pk.isdecimal() and version.isdecimal() and len(pk) < 19 and len(version) < 10:
            versions[int(pk)] = int(version)
    rows = list(
        WorkItem.objects.visible_to(actor)
        .filter(pk__in=versions)
        .select_related("owner")
        .order_by("sort_day", "sort_cents", "pk")
    )
    allowed = [
        r
        for r in rows
        if (q := registry.get(r.queue)) is not None
        and actor.can(q.permission, r)
        and actor.can(q.work_permission, r)
    ]
    return allowed, versions


def _bulk(
    request: HttpRequest,
    *,
    title: str,
    verb: str,
    form_class: Callable[..., forms.TouchForm],
    act: Callable[[dict[str, Any], WorkItem, int | None], Any],
    initial: dict[str, Any] | None = None,
) -> HttpResponseBase:
    """Ask once for all picked items, then do each with its own version check and name those that
    failed.
    """
    rows, versions = _picked(request)
    back = reverse("worklist:queue", args=[rows[0].queue]) if rows else reverse("worklist:overview")
    if not rows:
        messages.error(request, "None of the selected items is yours to change any more.")
        return redirect(back)
    form = form_class(request.POST) if "confirmed" in request.POST else form_class(initial=initial)
    if "confirmed" in request.POST and form.is_valid():
        values = {k: v for k, v in form.cleaned_data.items() if k != "version"}
        result = services.bulk(
            items=rows, versions=versions, act=partial(act, values), actor=actor_of(request)
        )
        missing = len(versions) - len(rows)
        if result.done:
            messages.success(request, f"{verb}: {result.done} of {len(versions)} items.")
        for name, sentence in result.refused[:20]:
            messages.error(request, f"{name}: {sentence}")
        if missing:
            messages.error(request, f"{missing} selected items are no longer open to you.")
        return redirect(back)
    dollars = sum((r.dollars for r in rows), start=rows[0].dollars * 0)
    return render(
        request,
        "worklist/bulk.html",
        {
            "title": title,
            "rows": rows,
            "dollars": dollars,
            "versions": [f"{r.pk}:{versions[r.pk]}" for r in rows],
            "form": form,
            "verb": verb,
            "back_url": back,
        },
        status=422 if form.errors else 200,
    )


@require_POST
@may("work.touch")
def bulk_act(request: HttpRequest) -> HttpResponseBase:
    actor = actor_of(request)
    return _bulk(
        request,
        title="Set the next action",
        verb="Next action set",
        form_class=forms.ActForm,
        act=lambda values, row, version: services.item_act(
            item=row, actor=actor, version=version, **values
        ),
        initial={"next_action_on": office_clock().add_business_days(office_day(), 5)},
    )


@require_POST
@may("work.touch")
def bulk_pend(request: HttpRequest) -> HttpResponseBase:
    actor = actor_of(request)
    return _bulk(
        request,
        title="Let items wait",
        verb="Waiting",
        form_class=forms.PendForm,
        act=lambda values, row, version: services.item_pend(
            item=row, actor=actor, version=version, **values
        ),
    )


@require_POST
@may("work.assign")
def bulk_assign(request: HttpRequest) -> HttpResponseBase:
    actor = actor_of(request)
    return _bulk(
        request,
        title="Assign items",
        verb="Assigned",
        form_class=partial(forms.AssignForm, actor=actor),
        act=lambda values, row, version: services.item_assign(
            item=row, to=values["to"], actor=actor, version=version
        ),
    )
