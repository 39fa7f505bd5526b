"""The evidence panel of one item: why in one sentence, the four-way grid, fixes, the next action,
history.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock, office_day
from rcm.audit.models import Event
from rcm.audit.services import record_access
from rcm.web import parts
from rcm.worklist import forms, registry
from rcm.worklist.models import WorkItem

HISTORY = 15
# what a row is called, the first of these facts that it has
NAMES = ("claim", "accession", "number", "trace", "file")


def history(item: WorkItem, keys: dict[str, int], *, limit: int = HISTORY) -> list[parts.Event]:
    """The item's own steps and those of the rows its panel names, newest first. One query."""
    wanted = Q(work_item_id=item.pk)
    for key, value in keys.items():
        if value:
            wanted |= Q(**{key: value})
    rows = Event.objects.filter(wanted, organization_id=item.organization_id).order_by(
        "-at", "-id"
    )[:limit]
    return [
        parts.Event(e.at, e.sentence, e.who, kind=e.verb, machine=e.by_machine, detail=e.reason)
        for e in rows
    ]


def evidence(grid: list[dict[str, Any]]) -> list[parts.Evidence]:
    """Rows of the grid as the component draws them; a row without code and text is missing."""
    return [
        parts.Evidence(
            label=str(row.get("cell", "")),
            code=str(row.get("code") or ""),
            text=str(row.get("text") or ""),
            more=str(row.get("more") or ""),
            differs=bool(row.get("differs")),
            missing=bool(row.get("missing")),
            url=str(row.get("url") or ""),
        )
        for row in grid
    ]


def panel_html(
    request: HttpRequest,
    item: WorkItem,
    *,
    bound: forms.TouchForm | None = None,
    conflict: str = "",
    saved: str = "",
) -> str:
    """The panel as HTML. `bound` is a form that was refused: it is shown again with what was typed;
    `conflict` says who was first.
    """
    actor: Actor = request.actor  # type: ignore[attr-defined]
    queue = registry.get(item.queue)
    built = queue.panel(item, actor) if queue and queue.panel else registry.Panel(why=item.title)
    if item.patient_id:
        record_access(
            organization_id=item.organization_id,
            patient_ids=[item.patient_id],
            actor=actor,
            purpose=f"work panel {item.queue}",
            request_id=str(getattr(request, "request_id", "")),
        )
    may_work = actor.can(queue.work_permission if queue else "work.touch", item)
    today = office_day()
    suggested = office_clock().add_business_days(
        today, queue.payer_next_action_days if queue else 5
    )
    hidden = {"version": item.version}
    made: dict[str, forms.TouchForm] = {
        "act": forms.ActForm(initial={**hidden, "next_action_on": suggested}),
        "note": forms.NoteForm(initial=hidden),
        "contact": forms.ContactForm(initial=hidden),
        "pend": forms.PendForm(initial=hidden),
        "escalate": forms.EscalateForm(initial=hidden),
        "finish": forms.FinishForm(initial=hidden),
    }
    if actor.can("work.assign", item):
        made["assign"] = forms.AssignForm(initial=hidden, actor=actor)
    if bound is not None:
        name = next(n for n, form in made.items() if type(form) is type(bound))
        made[name] = bound
    keys = {
        k: v for k, v in {"claim_id": item.claim_id, "exam_id": item.exam_id}.items() if v
    } | dict(built.event_keys)
    more = [
        ("contact", "Log a contact", "Log contact"),
        ("note", "Write a note", "Save note"),
        ("pend", "Let it wait", "Let it wait"),
        ("assign", "Assign", "Assign"),
        ("escalate", "Escalate to a manager", "Escalate"),
        ("finish", "Finish without a fix", "Finish"),
    ]
    return render_to_string(
        "worklist/panel.html",
        {
            "item": item,
            "name": next(
                (item.facts[k] for k in NAMES if item.facts.get(k)),
                queue.label if queue else "Item",
            ),
            "queue": queue,
            "why": built.why or item.title,
            "evidence": evidence(built.grid),
            "fixes": [f for f in built.fixes if not f.permission or actor.can(f.permission, item)],
            "links": built.links,
            "extra_template": built.extra_template,
            "extra": built.extra,
            "events": history(item, keys),
            "forms": made,
            "more": [(name, label, verb, made[name]) for name, label, verb in more if name in made],
            "open_form": type(bound).__name__.lower() if bound is not None else "",
            "may_work": may_work and item.status in ("open", "pended"),
            "mine": item.owner_id is not None and item.owner_id == actor.user_id,
            "held": (
                item.owner_id not in (None, actor.user_id)
                and item.lease_until is not None
                and item.lease_until > timezone.now()
            ),
            "conflict": conflict,
            "saved": saved,
            "actions_offered": forms.ACTIONS,
            "outcomes_offered": forms.OUTCOMES,
            "facts": [
                (head, item.facts.get(key))
                for key, head in (queue.facts if queue else ())
                if item.facts.get(key) not in (None, "")
            ],
        },
        request=request,
    )
