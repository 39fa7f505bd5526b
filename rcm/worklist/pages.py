"""The queue page, made from a queue's declaration: columns, views with counts, filters, order,
panel, bulk bar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.audit.services import record_access
from rcm.web import format as fmt
from rcm.web import keyset, parts
from rcm.web.lists import BulkAction, Column, ListPage, Order, Tab
from rcm.web.models import SavedView
from rcm.worklist import registry
from rcm.worklist.filters import ItemFilter, condition, due_q, opened_to
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.panels import NAMES, panel_html

# beyond this many open items the tabs other than "All" carry no figure: counting them would read
# the whole queue
COUNTED = 20_000
ORDERS = (
    Order("deadline", "deadline, then dollars", ("sort_day", "sort_cents", "pk")),
    Order("dollars", "dollars", ("sort_cents", "pk")),
    Order("due", "when it is due", ("due_at", "pk")),
    Order("score", "expected return", ("sort_score", "sort_day", "sort_cents", "pk")),
)


def items(actor: Actor, code: str) -> QuerySet[WorkItem]:
    """What the actor may see of one queue, finished items left out."""
    live = Q(status=ItemStatus.OPEN) | Q(status=ItemStatus.PENDED)
    return opened_to(actor).filter(live, queue=code).select_related("owner", "site")


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:30] or "view"


def _tab(label: str, query: str) -> Tab:
    def where(request: HttpRequest) -> Q:
        q = condition(query, request.actor)  # type: ignore[attr-defined]
        return q if "state=waiting" in query else q & Q(status=ItemStatus.OPEN)

    return Tab(_slug(label), label, where)


def tabs_of(queue: registry.Queue, request: HttpRequest) -> list[Tab]:
    """Due today, mine, the queue's own views, everybody's saved views, nobody's, waiting, all."""
    declared = [_tab(label, query) for label, query in queue.views]
    names = {t.name for t in declared}
    front = [
        Tab("due-today", "Due today", lambda r: due_q() & Q(status=ItemStatus.OPEN)),
        _tab("Mine", "owner=me"),
    ]
    back = [
        _tab("Nobody's", "owner=none"),
        Tab("waiting", "Waiting", Q(status=ItemStatus.PENDED)),
        Tab("all", "All open", Q(status=ItemStatus.OPEN)),
    ]
    own = [
        Tab(f"saved-{v.pk}", v.name, _tab(v.name, v.query).where)
        for v in SavedView.objects.visible_to(request.actor).filter(path=request.path)  # type: ignore[attr-defined]
    ][:6]
    found = (
        [t for t in front if t.name not in names]
        + declared
        + own
        + [t for t in back if t.name not in names]
    )
    # "All open" closes the row, wherever it was declared
    return sorted(found, key=lambda t: t.name in ("all", "all-open"))


def counts(tabs: list[Tab]) -> Any:
    def counted(request: HttpRequest, rows: QuerySet[WorkItem]) -> Mapping[str, int]:
        if request.headers.get("HX-Target") == "rows":
            return {}
        plain = rows.order_by().select_related(None)
        total, more = keyset.capped_count(plain, COUNTED)
        if more:
            return {"all": total}
        asked = {f"t{i}": Count("pk", filter=tab.condition(request)) for i, tab in enumerate(tabs)}
        found = plain.aggregate(**asked)
        return {tab.name: found[f"t{i}"] for i, tab in enumerate(tabs)}

    return counted


def _summary(queue: registry.Queue) -> Any:
    """ "14 due today with $5,835 at risk, of 61 open with $14,702": of a queue that can be counted
    while the page is drawn. Each sum belongs to the count before it.
    """

    def words(request: HttpRequest, rows: QuerySet[WorkItem]) -> str:
        actor: Actor = request.actor  # type: ignore[attr-defined]
        mine = (
            items(actor, queue.code).filter(status=ItemStatus.OPEN).order_by().select_related(None)
        )
        total, more = keyset.capped_count(mine, COUNTED)
        if more:
            return f"{total:,}+ open items."
        found = mine.aggregate(
            due=Count("pk", filter=due_q()),
            due_dollars=Sum("dollars", filter=due_q()),
            dollars=Sum("dollars"),
        )
        due, whole = (
            fmt.money(found[name] or 0, cents=False) for name in ("due_dollars", "dollars")
        )
        return f"{found['due']:,} due today, {due} at risk, of {total:,} open, {whole} at risk."

    return words


def _claim(item: WorkItem) -> str:
    """What the row is called: its claim, accession, number or file."""
    return next((str(item.facts[k]) for k in NAMES if item.facts.get(k)), item.title)


def _dos(item: WorkItem) -> str:
    day = item.facts.get("service_date") or item.facts.get("dos")
    return f"DOS {fmt.short_day(_day(day))}" if _day(day) else ""


def _day(text: Any) -> Any:
    from datetime import date

    try:
        return date.fromisoformat(str(text)[:10]) if text else None
    except ValueError:
        return None


def _patient_line(item: WorkItem) -> str:
    return " ".join(
        p for p in (fmt.mdy(_day(item.facts.get("born"))), str(item.facts.get("mrn") or "")) if p
    )


# facts drawn in fixed columns, so they are not repeated as columns of their own
FIXED = frozenset(
    [
        "claim",
        "accession",
        "number",
        "service_date",
        "dos",
        "born",
        "mrn",
        "exam",
        "component",
        "reason",
        "carc",
        "words",
        "trace",
        "file",
        "score",
        "code",
    ]
)


def columns_of(queue: registry.Queue) -> tuple[Column, ...]:
    """At most eight columns beside the panel: claim, patient, payer, exam, reason, dollars,
    deadline, next action.
    """
    exam_key = next((k for k, _ in queue.facts if k in ("exam", "code", "codes", "exams")), "")
    exam_head = dict(queue.facts).get(exam_key, "Exam")
    others = [
        (k, head)
        for k, head in queue.facts
        if k not in FIXED and k != exam_key and k not in ("modality",)
    ]
    built: list[Column] = [
        Column("item", "Item", _claim, width="id", link=True, kind="text", second=_dos),
        Column(
            "patient",
            "Patient",
            "patient_name",
            width="who",
            second=_patient_line,
            second_kind="code",
            export_second="Born, MRN",
        ),
        Column("payer", "Payer", "payer_name", width="payer", fold=True),
    ]
    if exam_key:
        built.append(
            Column(
                "exam",
                exam_head,
                lambda i: _words(i.facts.get(exam_key)),
                kind="code",
                width="exam",
                second=lambda i: (
                    _words(i.facts.get("component")) or (_words(i.facts.get("modality")))
                ),
            )
        )
    elif others:
        key, head = others.pop(0)
        built.append(Column(key, head, _fact(key), width="exam"))
    built += [
        Column(
            "why",
            "Why",
            lambda i: (
                _words(i.facts.get("carc") or i.facts.get("reason"))
                or i.cause.replace("_", " ").capitalize()
            ),
            kind="strong",
            second=lambda i: _words(i.facts.get("words")) or i.title,
        ),
        Column("dollars", "Dollars", "dollars", kind="money", width="money", order="dollars"),
        Column(
            "deadline",
            queue.deadline_word,
            lambda i: i.deadline_on or office_day(i.due_at),
            kind="day",
            width="due",
            order="deadline",
            template="worklist/deadline.html",
        ),
        Column(
            "next",
            "Next action",
            "next_action_on",
            width="next",
            template="worklist/next.html",
            export=False,
        ),
    ]
    return tuple(built)


def _fact(key: str) -> Callable[[WorkItem], str]:
    return lambda item: _words(item.facts.get(key))


def _words(value: Any) -> str:
    if value in (None, "", []):
        return ""
    return ", ".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)


def _panel(code: str) -> Any:
    def panel(request: HttpRequest, pk: str) -> str | None:
        if not pk.isdecimal() or len(pk) > 18:
            return None
        actor: Actor = request.actor  # type: ignore[attr-defined]
        item = (
            WorkItem.objects.visible_to(actor)
            .filter(queue=code, pk=pk)
            .select_related("owner", "site")
            .first()
        )
        return panel_html(request, item) if item else None

    return panel


def log_export(request: HttpRequest, rows: QuerySet[Any]) -> None:
    """A file that leaves is a disclosure: each patient in it is logged (rule `disclosure-log`)."""
    by_organization: dict[int, set[int]] = {}
    for organization, patient in (
        rows.order_by().values_list("organization_id", "patient_id").distinct()
    ):
        if patient:
            by_organization.setdefault(organization, set()).add(patient)
    for organization, patients in by_organization.items():
        record_access(
            organization_id=organization,
            patient_ids=patients,
            actor=request.actor,  # type: ignore[attr-defined]
            purpose=f"export {request.path.strip('/').replace('/', ' ')}",
            request_id=str(getattr(request, "request_id", "")),
        )


def page_of(queue: registry.Queue, request: HttpRequest) -> ListPage:
    """The list declaration of one queue for this reader."""
    tabs = tabs_of(queue, request)
    return ListPage(
        name=queue.code.replace("_", "-"),
        title=queue.label,
        noun=("item", "items"),
        template="worklist/queue.html",
        columns=columns_of(queue),
        orders=ORDERS,
        tabs=tabs,
        tab_counts=counts(tabs),
        filterset=ItemFilter,
        panel=_panel(queue.code),
        row_label=_claim,
        amount="dollars",
        version="version",
        summary=_summary(queue),
        empty=queue.empty,
        empty_link=("All open items", f"{reverse('worklist:queue', args=[queue.code])}?view=all"),
        bulk=(
            BulkAction("Set next action", "worklist:bulk_act", queue.work_permission),
            BulkAction("Let wait", "worklist:bulk_pend", queue.work_permission),
            BulkAction("Assign", "worklist:bulk_assign", "work.assign"),
        ),
        next_url_name="worklist:next",
        next_permission=queue.work_permission,
        on_export=log_export,
        actions=lambda _: [
            parts.Action("By cause", reverse("worklist:causes", args=[queue.code]), key="c"),
            *(parts.Action(label, reverse(name)) for label, name in queue.pages),
        ],
    )
