"""Screens of the exchange: interchange browser, one interchange as received, connections, upload,
backlog.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.models import Event as AuditEvent
from rcm.audit.services import Step, record_access, record_steps
from rcm.exchange import dicom, health, hl7, hold, services
from rcm.exchange.batch import BATCH
from rcm.exchange.filters import InterchangeFilter
from rcm.exchange.forms import UploadForm
from rcm.exchange.models import ALLOWED, Direction, Interchange, InterchangeStatus
from rcm.exchange.problems import ParseProblem
from rcm.web import format as fmt
from rcm.web import keyset, parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import Column, ListPage, Order, Tab, panel_html

SHOWN_CHARACTERS = 200_000
TONES = {
    InterchangeStatus.PROCESSED: "good",
    InterchangeStatus.SENT: "good",
    InterchangeStatus.QUARANTINED: "warn",
    InterchangeStatus.FAILED: "bad",
    InterchangeStatus.REFUSED: "",
    InterchangeStatus.STORED: "info",
    InterchangeStatus.SENDING: "info",
}


def status_tag(row: Interchange) -> tuple[str, str]:
    return str(row.get_status_display()), TONES.get(InterchangeStatus(row.status), "")


def kind_words(row: Interchange) -> str:
    return "a file of several HL7 messages" if row.kind == BATCH else row.kind


def partner(row: Interchange) -> str:
    return (
        row.connection.name
        if row.connection
        else "By hand or API"
        if row.direction == Direction.IN
        else "None"
    )


def size_words(count: int) -> str:
    if count < 10_000:
        return f"{count:,} B"
    return f"{count / 1000:,.0f} kB" if count < 10_000_000 else f"{count / 1e6:,.0f} MB"


SETS_SHOWN = 40
"""Sets of one file whose outcome is drawn beside it."""


def summary_facts(row: Interchange) -> list[tuple[str, str]]:
    """Counts and totals that the processor left, in words; and what became of each set of a file of
    several.
    """
    facts = [
        (str(key).replace("_", " ").capitalize(), str(value))
        for key, value in row.summary.items()
        if isinstance(value, (str, int))
    ]
    sets = list(row.sets.order_by("position")[: SETS_SHOWN + 1])
    if len(sets) < 2:
        return facts
    facts += [
        (
            f"{s.kind} {s.set_control}, segment {s.position}",
            f"{s.get_outcome_display()}. {s.sentence}".removesuffix(" "),
        )
        for s in sets[:SETS_SHOWN]
    ]
    if len(sets) > SETS_SHOWN:
        facts.append(("Further sets", "more than are drawn here"))
    return facts


def actions_of(row: Interchange, actor: Actor) -> list[parts.Action]:
    """What can be done with an interchange now."""
    label = "Send again" if row.direction == Direction.OUT else "Process again"
    movable = InterchangeStatus.STORED in ALLOWED[row.status] and (
        row.direction == Direction.IN or row.status == InterchangeStatus.FAILED
    )
    if not movable:
        return []
    reason = (
        ""
        if actor.can("exchange.replay", row)
        else "A manager, biller or administrator may do this."
    )
    url = reverse("exchange:replay", args=[row.public_id])
    page = services.correct_page(row.kind)
    mend = (
        [parts.Action("Correct", reverse(page, args=[row.public_id]), primary=True)]
        if page and row.status in health.STOPPED and not reason
        else []
    )
    again = parts.Action(
        label,
        url,
        method="post",
        primary=row.status in health.STOPPED and not mend,
        disabled_reason=reason,
    )
    return [*mend, again]


def interchange_panel(request: HttpRequest, pk: str) -> str | None:
    rows = (
        Interchange.objects.visible_to(actor_of(request))
        .defer("content")
        .select_related("connection", "organization")
    )
    row = rows.filter(pk=pk).first() if pk.isdecimal() else None
    if row is None:
        return None
    context = {
        "row": row,
        "tag": status_tag(row),
        "partner": partner(row),
        "size": size_words(row.size),
        "facts": summary_facts(row),
        "actions": actions_of(row, actor_of(request)),
        "answers": row.answers.defer("content").order_by("id")[:20],
    }
    return panel_html(request, "exchange/panel.html", context)


INTERCHANGES = ListPage(
    name="interchanges",
    title="Interchanges",
    noun=("interchange", "interchanges"),
    columns=(
        Column(
            "kind",
            "Kind",
            "kind",
            kind="strong",
            width="id",
            link=True,
            second=lambda r: r.get_direction_display(),
        ),
        Column("received", "When", "received_at", kind="moment", width="moment"),
        Column("partner", "Partner", partner, width="payer", second="organization.name"),
        Column(
            "control",
            "Control number",
            "control_number",
            kind="code",
            second=lambda r: r.error or r.file_name,
        ),
        Column(
            "size",
            "Size",
            lambda r: size_words(r.size),
            width="num",
            second=lambda r: f"came {r.deliveries} times" if r.deliveries > 1 else "",
        ),
        Column("status", "Status", status_tag, kind="tag", width="tag"),
    ),
    orders=(Order("newest", "newest first", ("-id",)), Order("oldest", "oldest first", ("id",))),
    tabs=(
        Tab("all", "All"),
        Tab("stopped", "For a person", Q(status__in=health.STOPPED)),
        Tab("waiting", "Waiting", Q(status__in=health.WAITING)),
    ),
    tab_counts=lambda request, rows: {
        "stopped": rows.filter(status__in=health.STOPPED).count(),
        "waiting": rows.filter(status__in=health.WAITING).count(),
    },
    filterset=InterchangeFilter,
    panel=interchange_panel,
    panel_label="Interchange",
    open_first=False,
    row_label=lambda r: f"{r.kind} {r.control_number}",
    empty=(
        "Nothing was sent or received that fits. What arrives by MLLP, DICOM, HTTP or upload stands"
        " here first."
    ),
    actions=lambda request: (
        [parts.Action("Upload a file", reverse("exchange:upload"), key="n")]
        if may_upload(actor_of(request))
        else []
    ),
)


@require_GET
@may("exchange.view")
def interchanges(request: HttpRequest) -> HttpResponseBase:
    """The interchange browser."""
    rows = (
        Interchange.objects.visible_to(actor_of(request))
        .select_related("connection", "organization")
        .defer("content")
    )
    return INTERCHANGES.respond(request, rows)


def raw_of(row: Interchange) -> list[parts.RawLine]:
    """The content as numbered lines: X12 and HL7 by segment, DICOM as its elements, anything else
    as text.
    """
    content = bytes(row.content)
    if content[128:132] == b"DICM":
        try:
            return [parts.RawLine(n, text) for n, text in enumerate(dicom.lines(content), start=1)]
        except ParseProblem as problem:
            return [parts.RawLine(1, str(problem))]
    head = content[:SHOWN_CHARACTERS]
    if head.lstrip().startswith(b"MSH"):
        try:
            return parts.raw_lines(hl7.decode(head), separator="\r")
        except ParseProblem:
            return parts.raw_lines(head.decode("latin-1"), separator="\r")
    text = head.decode("utf-8", "replace").lstrip("\ufeff \r\n")
    return (
        parts.raw_lines(text) if text.startswith("ISA") else parts.raw_lines(text, separator="\r")
    )


def timeline(row: Interchange) -> list[parts.Event]:
    events = AuditEvent.objects.filter(
        organization_id=row.organization_id, interchange_id=row.pk
    ).order_by("-at", "-id")[:100]
    return [parts.Event(e.at, e.sentence, e.who, kind=e.verb, machine=e.by_machine) for e in events]


@require_GET
@may("exchange.view")
def interchange(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One interchange with its raw content; the reading is recorded."""
    actor = actor_of(request)
    rows = Interchange.objects.visible_to(actor).select_related(
        "connection", "organization", "answer_to", "part_of"
    )
    row = found(rows, public_id=public_id)
    _seen(row, actor, "Read")
    context = {
        "row": row,
        "tag": status_tag(row),
        "partner": partner(row),
        "size": size_words(row.size),
        "cut": row.size > SHOWN_CHARACTERS,
        "facts": summary_facts(row),
        "lines": raw_of(row),
        "caption": "As sent" if row.direction == Direction.OUT else "As received",
        "actions": actions_of(row, actor),
        "answers": row.answers.defer("content").order_by("id")[:50],
        "messages_inside": row.parts.defer("content").order_by("id")[:200],
        "events": timeline(row),
        "crumbs": [parts.Crumb("Interchanges", reverse("exchange:interchanges"))],
    }
    return render(request, "exchange/interchange.html", context)


@require_GET
@may("exchange.view")
def content(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The bytes themselves, as a download that no browser opens."""
    row = found(Interchange.objects.visible_to(actor_of(request)), public_id=public_id)
    _seen(row, actor_of(request), "Downloaded")
    response = HttpResponse(bytes(row.content), content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{row.public_id}.bin"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _seen(row: Interchange, actor: Actor, what: str) -> None:
    """Keep who read the bytes: on their timeline, and with each patient whom they are about."""
    inside = [row.pk, *row.parts.values_list("pk", flat=True)]
    about = AuditEvent.objects.filter(
        organization_id=row.organization_id, interchange_id__in=inside, patient_id__isnull=False
    ).distinct()
    record_access(
        organization_id=row.organization_id,
        patient_ids=[patient for (patient,) in about.values_list("patient_id") if patient],
        actor=actor,
        purpose=f"raw {row.kind} {what.lower()}",
    )
    record_steps(
        [
            Step(
                row.organization_id,
                "interchange.read",
                f"{what} by {actor.name}",
                {"interchange_id": row.pk},
            )
        ],
        actor=actor,
    )


@require_POST
@may("exchange.replay", money=True)
def replay(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Process or send an interchange again."""
    row = found(
        Interchange.objects.visible_to(actor_of(request)).defer("content"), public_id=public_id
    )
    try:
        services.replay(row, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, "Put back; it is taken up in a moment.")
    return redirect("exchange:interchange", public_id=public_id)


def may_upload(actor: Actor) -> frozenset[int]:
    """The organizations whose files the actor may bring."""
    return frozenset(
        pk
        for pk in actor.organizations
        if actor.can("exchange.replay", pk) or actor.can("remittance.post", pk)
    )


@require_http_methods(["GET", "POST"])
@may("exchange.view", money=True)
def upload(request: HttpRequest) -> HttpResponseBase:
    """Take a file from a person: refused with a sentence, or stored as it is and processed by the
    workers.
    """
    actor = actor_of(request)
    organizations = may_upload(actor)
    if not organizations:
        raise PermissionDenied
    form = UploadForm(request.POST or None, request.FILES or None, organizations=organizations)
    if request.method == "POST" and form.is_valid():
        try:
            row, fresh = services.store_inbound(
                organization_id=form.cleaned_data["organization"].pk,
                kind=form.found.kind,
                content=form.content,
                file_name=form.cleaned_data["file"].name or "",
                media_type=form.found.media_type,
                control_number=form.found.control_number,
                ordering_key=form.found.ordering_key,
                actor=actor,
            )
        except Refused as refusal:
            form.add_error("file", str(refusal))
        else:
            if fresh:
                messages.success(request, f"Stored as {kind_words(row)}; it is read in a moment.")
            else:
                messages.info(request, "This file was here before. Nothing was done twice.")
            return redirect("exchange:interchange", public_id=row.public_id)
    context = {
        "title": "Upload a file",
        "text": (
            "The file is kept byte for byte before it is read. The same file twice has the effect"
            " of once."
        ),
        "form": form,
        "verb": "Upload",
        "back_url": reverse("exchange:interchanges"),
        "crumbs": [parts.Crumb("Interchanges", reverse("exchange:interchanges"))],
    }
    return render(request, "components/form_page.html", context, status=422 if form.errors else 200)


@require_GET
@may("exchange.view")
def connections(request: HttpRequest) -> HttpResponseBase:
    """Partners: how each is reached, and when it was last heard."""
    return render(
        request, "exchange/connections.html", {"rows": health.partners(actor_of(request))[:500]}
    )


@require_GET
@may("exchange.view")
def backlog(request: HttpRequest) -> HttpResponseBase:
    """What waits, since when, and what was given up."""
    actor, now = actor_of(request), timezone.now()
    try:
        page = keyset.page(health.parked(actor), ("-id",), cursor=request.GET.get("cursor", ""))
    except keyset.BadCursor:
        page = keyset.page(health.parked(actor), ("-id",))
    context = {
        "queues": health.queues(actor, at=now),
        "hold": hold.held(),
        "page": page,
        "stopped": Interchange.objects.visible_to(actor).filter(status__in=health.STOPPED).count(),
        "may_retry": actor.can_somewhere("exchange.replay"),
        "now": now,
    }
    return render(request, "exchange/backlog.html", context)


@require_POST
@may("exchange.replay", money=True)
def retry(request: HttpRequest) -> HttpResponseBase:
    """Try parked events again: the picked ones."""
    picked: Iterable[Any] = request.POST.getlist("pick")
    count = services.retry_parked(
        [int(p) for p in picked if p.isdecimal()], actor=actor_of(request)
    )
    messages.success(request, f"{fmt.plural(count, 'event')} put back; taken up in a moment.")
    return redirect("exchange:backlog")
