"""Screens for compliance: who read whose chart, what changed before and after, what happened
(rules `audit-trail` and `disclosure-log`).
"""

from __future__ import annotations

import json
from typing import Any

from django.apps import apps
from django.db.models import OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Concat
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from rcm.audit.filters import ChangeFilter, ReadFilter, StepFilter, audited_tables, table_words
from rcm.audit.models import Access, Change, Event
from rcm.audit.services import record_access
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab

OPS = {"I": ("Created", "good"), "U": ("Changed", "info"), "D": ("Deleted", "bad")}
# a file of the log is a disclosure of each chart in it; beyond this many rows the filters must be
# narrowed
LOGGED = 100_000


def log_export(request: HttpRequest, rows: QuerySet[Any]) -> None:
    """The export of a log names patients, so it is logged itself."""
    pairs = (
        rows.order_by()
        .exclude(patient_id__isnull=True)
        .values_list("organization_id", "patient_id")
        .distinct()[:LOGGED]
    )
    by: dict[int, set[int]] = {}
    for organization, patient in pairs:
        by.setdefault(organization, set()).add(patient)
    for organization, patients in by.items():
        record_access(
            organization_id=organization,
            patient_ids=patients,
            actor=actor_of(request),
            purpose=f"export {request.path.strip('/').replace('/', ' ')}",
            request_id=str(getattr(request, "request_id", "")),
        )


def log_change_export(request: HttpRequest, rows: QuerySet[Any]) -> None:
    """Exported changes disclose the patients whose rows they are."""
    tables = audited_tables()
    for name in rows.order_by().values_list("table_name", flat=True).distinct():
        model = tables.get(name)
        if model is None:
            continue
        columns = {f.column for f in model._meta.local_concrete_fields}
        keys = rows.filter(table_name=name).order_by().values("row_id")
        if name == "intake_patient":
            pairs = model._default_manager.filter(pk__in=keys).values_list("organization_id", "pk")
        elif "patient_id" in columns:
            pairs = (
                model._default_manager.filter(pk__in=keys, patient_id__isnull=False)
                .values_list("organization_id", "patient_id")
                .distinct()
            )
        else:
            continue
        by: dict[int, set[int]] = {}
        for organization, patient in pairs[:LOGGED]:
            by.setdefault(organization, set()).add(patient)
        for organization, patients in by.items():
            record_access(
                organization_id=organization,
                patient_ids=patients,
                actor=actor_of(request),
                purpose="export audit changes",
            )


def _named(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Rows with the patient's name and MRN beside them, in the same query. The table is found by
    name: this room knows no phase.
    """
    model: Any = apps.get_model("intake", "Patient")
    own = model.objects.filter(pk=OuterRef("patient_id"))
    named: QuerySet[Any] = rows.annotate(
        patient_words=Subquery(
            own.annotate(n=Concat("last_name", Value(", "), "first_name")).values("n")[:1]
        ),
        patient_mrn=Subquery(own.values("mrn")[:1]),
    )
    return named


READS = ListPage(
    name="chart-reads",
    title="Chart reads",
    noun=("read", "reads"),
    columns=(
        Column("at", "When", "created_at", kind="moment", width="moment"),
        Column("who", "Reader", "actor_name", width="who", second="actor_kind"),
        Column(
            "patient",
            "Patient",
            lambda a: a.patient_words or "",
            width="who",
            second=lambda a: a.patient_mrn or "",
            second_kind="code",
            export_second="MRN",
        ),
        Column("purpose", "What was read", "purpose"),
        Column("request", "Request", "request_id", kind="code", width="payer", fold=True),
    ),
    orders=(Order("recent", "time, newest first", ("-pk",)),),
    tabs=(
        Tab("all", "All"),
        Tab("exports", "Exports", Q(purpose__startswith="export")),
        Tab("partners", "Partner systems", Q(actor_kind="partner")),
    ),
    tab_counts=False,
    filterset=ReadFilter,
    row_label="purpose",
    empty="Nobody has read a chart yet.",
    on_export=log_export,
)


@require_safe
@may("audit.view")
def reads(request: HttpRequest) -> HttpResponseBase:
    """The log of chart reads: the accounting of disclosures is this list for one patient, exported
    (rule `minimum-necessary`).
    """
    return READS.respond(request, _named(Access.objects.visible_to(actor_of(request))))


def _fields(change: Change) -> str:
    names = sorted({*(change.before or {}), *(change.after or {})} - {"version"})
    return ", ".join(n.removesuffix("_id").replace("_", " ") for n in names[:6]) + (
        f" and {len(names) - 6} more" if len(names) > 6 else ""
    )


def _author(change: Change) -> str:
    """ "person:7:Ari" reads "Ari"."""
    return change.actor.split(":", 2)[-1] or "the database"


CHANGES = ListPage(
    name="changes",
    title="Changes",
    noun=("change", "changes"),
    columns=(
        Column("at", "When", "at", kind="moment", width="moment", link=True),
        Column(
            "table",
            "Row",
            lambda c: table_words(c.table_name),
            width="who",
            second=lambda c: f"{c.row_id}",
            second_kind="code",
            export_second="Row number",
        ),
        Column("op", "What", lambda c: OPS.get(c.op, (c.op, "")), kind="tag", width="tag"),
        Column("fields", "Fields", _fields),
        Column("who", "Author", _author, width="who", second=lambda c: c.actor.split(":", 1)[0]),
    ),
    orders=(Order("recent", "time, newest first", ("-pk",)),),
    tabs=(
        Tab("all", "All"),
        Tab("people", "By people", Q(actor__startswith="person:")),
        Tab("deleted", "Deleted", Q(op="D")),
    ),
    tab_counts=False,
    filterset=ChangeFilter,
    detail=lambda c: reverse("audit:change", args=[c.pk]),
    row_label=lambda c: f"{table_words(c.table_name)} {c.row_id}",
    empty="Nothing has changed yet.",
    on_export=log_change_export,
)


@require_safe
@may("audit.view")
def changes(request: HttpRequest) -> HttpResponseBase:
    rows = Change.objects.filter(organization_id__in=actor_of(request).organizations)
    return CHANGES.respond(request, rows)


def said(value: Any) -> str:
    """A kept value in words."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return json.dumps(value, indent=None, sort_keys=True, default=str)[:600]
    return str(value)[:600]


def diff(change: Change) -> list[parts.Change]:
    """Field by field, before and after; the version counter is left out."""
    before, after = change.before or {}, change.after or {}
    names = sorted({*before, *after} - {"version"})
    return [
        parts.Change(
            n.removesuffix("_id").replace("_", " ").capitalize(),
            said(before.get(n)),
            said(after.get(n)),
        )
        for n in names
    ]


@require_safe
@may("audit.view")
def change(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One change before and after, and the whole history of its row."""
    mine = Change.objects.filter(organization_id__in=actor_of(request).organizations)
    row = found(mine, pk=pk)
    history = list(mine.filter(table_name=row.table_name, row_id=row.row_id).order_by("-pk")[:100])
    model = audited_tables().get(row.table_name)
    patient = None
    if model is not None:
        column = "pk" if row.table_name == "intake_patient" else "patient_id"
        if column == "pk" or any(
            f.column == "patient_id" for f in model._meta.local_concrete_fields
        ):
            patient = (
                model._default_manager.filter(pk=row.row_id).values_list(column, flat=True).first()
            )
    if patient:
        record_access(
            organization_id=row.organization_id,
            patient_ids=[patient],
            actor=actor_of(request),
            purpose="audit change",
        )
    return render(
        request,
        "audit/change.html",
        {
            "change": row,
            "what": table_words(row.table_name),
            "op": OPS.get(row.op, (row.op, "")),
            "author": _author(row),
            "changes": diff(row),
            "history": [
                {
                    "row": h,
                    "op": OPS.get(h.op, (h.op, "")),
                    "author": _author(h),
                    "fields": _fields(h),
                    "current": h.pk == row.pk,
                    "at": fmt.moment(h.at),
                }
                for h in history
            ],
            "crumbs": [parts.Crumb("Changes", reverse("audit:changes"))],
        },
    )


STEPS = ListPage(
    name="steps",
    title="Steps of the thread",
    noun=("step", "steps"),
    columns=(
        Column("at", "When", "at", kind="moment", width="moment"),
        Column("what", "What happened", "sentence", second="reason"),
        Column("verb", "Step", "verb", kind="code", width="payer"),
        Column(
            "patient",
            "Patient",
            lambda e: e.patient_words or "",
            width="who",
            second=lambda e: e.patient_mrn or "",
            second_kind="code",
            export_second="MRN",
        ),
        Column(
            "who",
            "Who",
            "actor_name",
            width="who",
            second=lambda e: "automatic" if e.actor_kind == "system" else e.actor_kind,
        ),
    ),
    orders=(Order("recent", "time, newest first", ("-pk",)),),
    tabs=(
        Tab("all", "All"),
        Tab("people", "By people", Q(actor_kind="person")),
        Tab("machine", "Automatic", Q(actor_kind="system")),
        Tab("overrides", "Overrides", Q(verb__contains="overrid")),
    ),
    tab_counts=False,
    filterset=StepFilter,
    row_label="sentence",
    empty="Nothing has happened yet.",
    on_export=log_export,
)


@require_safe
@may("audit.view")
def steps(request: HttpRequest) -> HttpResponseBase:
    return STEPS.respond(request, _named(Event.objects.visible_to(actor_of(request))))
