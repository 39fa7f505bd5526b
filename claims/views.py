"""Screens of claims: list, claim, files and their proof, the catalogue of edits, payer rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from claims import cms1500, forms, present, sections, services
from claims.edits import catalogue
from claims.facts import load_sheets
from claims.filters import ClaimFilter, SubmissionFilter
from claims.models import (
    Acknowledgement,
    Claim,
    ClaimStatus,
    PayerRule,
    ScrubFinding,
    Submission,
    SubmissionClaim,
)
from claims.records import Correction
from claims.services.correcting import EDITABLE
from claims.services.scrubbing import RUN_KIND, may_override
from claims.services.steps import EDITS, REJECTIONS
from claims.services.submitting import as_sent
from claims.tasks import scrub as scrub_task
from intake import present as front
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.exchange.models import Interchange
from rcm.jobs.models import JobRun, JobStatus
from rcm.web import format as fmt
from rcm.web import keyset, parts
from rcm.web.access import found, may
from rcm.web.keyset import Key
from rcm.web.lists import BulkAction, Column, ListPage, Order, Tab

OPEN = (ClaimStatus.SUBMITTED, ClaimStatus.ACKNOWLEDGED, ClaimStatus.ACCEPTED)
DAYS_BACK = timedelta(days=30)
MOST_AT_ONCE = 500
"""Claims that one press of a button submits while the person waits; more go as a batch."""


def actor_of(request: HttpRequest) -> Actor:
    return request.actor  # type: ignore[attr-defined, no-any-return]


def _rows(request: HttpRequest) -> QuerySet[Claim]:
    return Claim.objects.visible_to(actor_of(request)).select_related(
        "patient", "payer", "site", "organization", "coverage__plan", "replaces", "primary_claim"
    )


def _claim(request: HttpRequest, public_id: str) -> Claim:
    return found(_rows(request), public_id=public_id)


# --- list -----------------------------------------------------------------------------------------


def _kind(claim: Claim) -> str:
    words = {"7": "replacement", "8": "void"}.get(claim.frequency, "")
    return " ".join(p for p in (words, {2: "secondary", 3: "tertiary"}.get(claim.rank, "")) if p)


def _summary(request: HttpRequest, rows: QuerySet[Claim]) -> str:
    found_ = rows.order_by().aggregate(
        stopped=Count("pk", filter=Q(status__in=[ClaimStatus.BLOCKED, ClaimStatus.REJECTED])),
        ready=Count("pk", filter=Q(status=ClaimStatus.READY)),
        dollars=Sum("total", filter=Q(status__in=[ClaimStatus.BLOCKED, ClaimStatus.REJECTED])),
    )
    return (
        f"{fmt.plural(found_['ready'], 'claim')} ready, {fmt.number(found_['stopped'])} stopped"
        f" with {fmt.money(found_['dollars'] or 0, cents=False)}."
    )


CLAIMS = ListPage(
    name="claims",
    title="Claims",
    noun=("claim", "claims"),
    columns=(
        Column(
            "claim",
            "Claim",
            "number",
            kind="code",
            width="id",
            link=True,
            second=lambda c: f"DOS {fmt.short_day(c.service_date)}",
        ),
        Column(
            "patient",
            "Patient",
            "patient.name",
            width="who",
            second=lambda c: f"{fmt.mdy(c.patient.born_on)} {c.patient.mrn}",
            second_kind="code",
        ),
        Column("payer", "Payer", "payer.name", width="payer", fold=True, second=_kind),
        Column(
            "status",
            "Status",
            lambda c: (c.get_status_display(), present.TONES[c.status]),
            kind="tag",
            width="tag",
        ),
        Column("total", "Charge", "total", kind="money", width="money", order="total"),
        Column("expected", "Expected", "expected", kind="money", width="money"),
        Column("sent", "Last sent", "last_submitted_at", kind="moment", width="moment"),
        Column(
            "deadline",
            "File by",
            lambda c: c.filing_deadline if c.status in EDITABLE else None,
            kind="deadline",
            width="due",
            order="deadline",
        ),
    ),
    orders=(
        Order("newest", "newest service first", ("-service_date", "-pk")),
        Order("deadline", "filing limit", (Key("filing_deadline", nulls="last"), "pk")),
        Order("total", "charge", ("-total", "pk")),
    ),
    tabs=(
        Tab(
            "open",
            "Not sent",
            Q(
                status__in=[
                    ClaimStatus.DRAFT,
                    ClaimStatus.BLOCKED,
                    ClaimStatus.READY,
                    ClaimStatus.REJECTED,
                ]
            ),
            order="deadline",
        ),
        Tab("blocked", "Blocked", Q(status=ClaimStatus.BLOCKED), order="deadline"),
        Tab("ready", "Ready", Q(status=ClaimStatus.READY), order="deadline"),
        Tab("rejected", "Rejected", Q(status=ClaimStatus.REJECTED), order="deadline"),
        Tab("sent", "With the payer", Q(status__in=OPEN)),
        Tab("denied", "Denied", Q(status=ClaimStatus.DENIED)),
        Tab(
            "paid",
            "Paid",
            Q(status__in=[ClaimStatus.PAID, ClaimStatus.PARTIAL, ClaimStatus.CLOSED]),
        ),
        Tab("all", "All"),
    ),
    filterset=ClaimFilter,
    detail=lambda c: reverse("claims:claim", args=[c.public_id]),
    row_label=lambda c: f"claim {c.number}",
    amount="total",
    version="version",
    summary=_summary,
    empty="No claim here.",
    bulk=(
        BulkAction("Scrub", "claims:scrub_many", "claim.edit"),
        BulkAction("Submit", "claims:submit_many", "claim.submit", primary=True),
    ),
    actions=lambda request: (
        [
            parts.Action("Scrub all unsent", reverse("claims:scrub_all"), "post"),
            parts.Action("Submit ready claims", reverse("claims:submit_ready"), primary=True),
        ]
        if actor_of(request).can("claim.submit")
        else []
    ),
)


@require_GET
@may("claim.view")
def claims(request: HttpRequest) -> HttpResponseBase:
    return CLAIMS.respond(request, _rows(request))


# --- one claim ------------------------------------------------------------------------------------


def _actions(claim: Claim, actor: Actor, blocking: int) -> list[parts.Action]:
    def url(name: str) -> str:
        return reverse(f"claims:{name}", args=[claim.public_id])

    out: list[parts.Action] = []
    version = (("version", str(claim.version)),)
    if claim.status in EDITABLE:
        if actor.can("claim.submit"):
            why = (
                ""
                if claim.status == ClaimStatus.READY
                else (
                    f"{fmt.plural(blocking, 'edit')} {'stops' if blocking == 1 else 'stop'} it."
                    if blocking
                    else "Scrub it first."
                )
            )
            out.append(
                parts.Action("Submit", url("submit"), primary=True, key="s", disabled_reason=why)
            )
        if actor.can("claim.edit"):
            out += [
                parts.Action("Scrub", url("scrub"), "post", key="c", fields=version),
                parts.Action("Change", url("edit"), key="d"),
                parts.Action("Void", url("void"), danger=True),
            ]
    elif actor.can("claim.edit") and claim.status not in (ClaimStatus.VOID, ClaimStatus.REPLACED):
        out.append(
            parts.Action(
                "Correct and replace", url("correct"), primary=claim.status == ClaimStatus.DENIED
            )
        )
        out.append(parts.Action("Void", url("void"), danger=True))
    if claim.status in OPEN and actor.can("claim.submit"):
        out.append(parts.Action("Ask the payer (276)", url("ask"), "post"))
    out.append(parts.Action("Print", url("print")))
    return out


def _ready_words(claim: Claim) -> str:
    if claim.status in EDITABLE:
        return (
            "Ready to submit." if claim.status == ClaimStatus.READY else "Not judged yet: scrub it."
        )
    return f"It is {claim.get_status_display().lower()}; nothing stops it here."


@require_GET
@may("claim.view")
def claim(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The claim: what stops it, its lines with money and edits, the evidence, everything that
    happened.
    """
    row = _claim(request, public_id)
    actor = actor_of(request)
    front.chart_read(request, [row.patient], "claim")
    show = request.GET.get("show", "all")
    show = show if show in dict(present.CHIPS) else "all"
    lines = list(
        row.lines.select_related(
            "charge__exam__ordered_exam__order",
            "charge__exam__authorization",
            "charge__exam__patient",
            "charge__exam__reader__provider",
        ).order_by("number")
    )
    findings = list(
        row.findings.filter(cleared_at__isnull=True)
        .select_related("line__charge__exam")
        .order_by("severity", "edit", "id")
    )
    views = present.line_views(lines, findings)
    exams = present.exams_of(lines)
    reports = present.last_reports(exams)
    blocking = [f for f in findings if f.severity == "B" and not f.overridden_by]
    related = (
        _rows(request)
        .filter(
            Q(pk__in=[row.replaces_id, row.primary_claim_id])
            | Q(replaces=row)
            | Q(primary_claim=row)
        )
        .order_by("id")
    )
    return render(
        request,
        "claims/claim.html",
        {
            "claim": row,
            "tone": present.TONES[row.status],
            "kind": _kind(row),
            "patient": front.banner(row.patient),
            "blockers": present.blockers(row, findings, actor),
            "accepted": [f for f in findings if f.overridden_by],
            "may_accept": (
                [f for f in blocking if may_override(f.edit)] if actor.can("claim.override") else []
            ),
            "may_restore": actor.can("claim.override"),
            "lines": views,
            "totals": present.totals(views),
            "evidence": present.evidence(exams, lines),
            "reports": [(exam, reports.get(exam.pk)) for exam in exams],
            "acknowledgements": present.answers(row),
            "versions": present.versions(row),
            "related": list(related),
            "sections": sections.of(request, row),
            "events": present.timeline(row, actor, show),
            "chips": [(name, label, name == show) for name, label in present.CHIPS],
            "actions": _actions(row, actor, len(blocking)),
            "ready": _ready_words(row),
            "editable": row.status in EDITABLE,
            "may_raw": actor.can("exchange.view"),
            "crumbs": [parts.Crumb("Claims", reverse("claims:claims"))],
        },
    )


@require_GET
@may("claim.view")
def compare(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Any two versions of a claim side by side: what was sent, and what would be sent now."""
    row = _claim(request, public_id)
    front.chart_read(request, [row.patient], "claim versions")
    sent = present.versions(row)
    (sheet,) = load_sheets([row.pk])
    known = {
        str(n): (f"Sent in {v.submission.number}, {fmt.moment(v.submission.built_at)}", v.sent)
        for n, v in enumerate(sent, start=1)
    }
    known["now"] = ("As it stands now", as_sent(sheet))
    names = list(known)
    one = request.GET.get("from", names[0])
    two = request.GET.get("to", names[-1])
    if one not in known or two not in known:
        raise Http404
    return render(
        request,
        "claims/compare.html",
        {
            "claim": row,
            "patient": front.banner(row.patient),
            "names": [(name, known[name][0]) for name in names],
            "one": one,
            "two": two,
            "before": known[one][0],
            "after": known[two][0],
            "changes": present.compare(known[one][1], known[two][1]),
            "crumbs": [
                parts.Crumb(f"Claim {row.number}", reverse("claims:claim", args=[row.public_id]))
            ],
        },
    )


@require_GET
@may("claim.view")
def print_claim(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The CMS-1500 as PDF."""
    row = _claim(request, public_id)
    front.chart_read(request, [row.patient], "claim print")
    (sheet,) = load_sheets([row.pk])
    response = HttpResponse(cms1500.render(sheet), content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="claim-{row.number}.pdf"'
    response["Cache-Control"] = "no-store"
    return response


def _back(claim: Claim) -> str:
    return reverse("claims:claim", args=[claim.public_id])


def _say(request: HttpRequest, refusal: Refused) -> None:
    messages.error(request, f"{refusal} {refusal.fix}".strip())


@require_POST
@may("claim.edit")
def scrub(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _claim(request, public_id)
    result = services.claims_scrub(claim_ids=[row.pk], actor=actor_of(request))
    if result.ready:
        messages.success(request, "Every edit passes: ready to submit.")
    elif result.blocked:
        messages.warning(request, "Edits stop this claim.")
    else:
        messages.error(request, "A claim that was filed is not scrubbed again.")
    return redirect(_back(row))


@require_POST
@may("claim.submit")
def ask(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _claim(request, public_id)
    try:
        with transaction.atomic():
            asked = services.status_ask(claim_ids=[row.pk], actor=actor_of(request))
    except Refused as refusal:
        _say(request, refusal)
    else:
        (
            messages.success(request, "The payer is asked; the answer lands here.")
            if asked
            else messages.error(request, "It is not with the payer.")
        )
    return redirect(_back(row))


@require_http_methods(["GET", "POST"])
@may("claim.submit")
def submit(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Preview of what leaves, then the submission."""
    row = _claim(request, public_id)
    front.chart_read(request, [row.patient], "claim submission")
    if request.method == "POST":
        return _submitted(request, [row.pk], _back(row))
    (preview,) = services.submit_preview([row.pk])
    text = f"To {row.payer.name} over {preview.connection}." if preview.connection else ""
    text += (
        " It has not been sent before."
        if not preview.sent_before
        else " What changed since it was last sent:"
    )
    return render(
        request,
        "components/confirm.html",
        {
            "title": f"Submit claim {row.number}, {fmt.money(row.total)}",
            "text": text,
            "changes": (
                [parts.Change(d.label, d.before, d.after) for d in preview.differences]
                if preview.sent_before
                else []
            ),
            "verb": "Submit",
            "back_url": _back(row),
            "disabled_reason": preview.stops,
            "patient": front.banner(row.patient),
        },
    )


def _submitted(request: HttpRequest, claim_ids: Sequence[int], back: str) -> HttpResponseBase:
    result = services.claims_submit(claim_ids=claim_ids, actor=actor_of(request))
    if result.claim_ids:
        count = fmt.plural(len(result.claim_ids), "claim")
        messages.success(
            request, f"{count} submitted in {fmt.plural(len(result.submission_ids), 'file')}."
        )
    for held in result.held[:5]:
        messages.error(request, f"Claim {held.number} stayed here: {held.sentence}")
    if len(result.held) > 5:
        messages.error(request, f"{len(result.held) - 5} more stayed here.")
    return redirect(back)


def _picked(request: HttpRequest) -> list[int]:
    """Ids of the picked rows that the actor sees and that nobody has changed since the page was
    drawn.
    """
    wanted: dict[int, int | None] = {}
    for pick in request.POST.getlist("pick")[:1000]:
        pk, _, version = pick.partition(":")
        if pk.isdecimal():
            wanted[int(pk)] = int(version) if version.isdecimal() else None
    rows = dict(
        Claim.objects.visible_to(actor_of(request))
        .filter(pk__in=wanted)
        .values_list("id", "version")
    )
    moved = [
        pk
        for pk, version in wanted.items()
        if pk in rows and version is not None and rows[pk] != version
    ]
    if moved:
        messages.error(
            request,
            f"{fmt.plural(len(moved), 'claim')} changed in the meantime and stayed as they are.",
        )
    return [pk for pk in wanted if pk in rows and pk not in moved]


@require_POST
@may("claim.edit")
def scrub_many(request: HttpRequest) -> HttpResponseBase:
    ids = _picked(request)
    if ids:
        result = services.claims_scrub(claim_ids=ids, actor=actor_of(request))
        messages.success(
            request,
            f"{fmt.plural(result.ready, 'claim')} ready, {fmt.number(result.blocked)} blocked.",
        )
    return redirect("claims:claims")


@require_POST
@may("claim.submit")
def submit_many(request: HttpRequest) -> HttpResponseBase:
    """The picked claims: first what would leave, then, confirmed, the files."""
    ids = _picked(request)
    if request.POST.get("confirmed"):
        return _submitted(request, ids, reverse("claims:claims"))
    return _confirm(request, ids, reverse("claims:submit_many"), [("pick", str(pk)) for pk in ids])


@require_http_methods(["GET", "POST"])
@may("claim.submit")
def submit_ready(request: HttpRequest) -> HttpResponseBase:
    """Everything that is ready, oldest limit first."""
    rows = _rows(request).filter(status=ClaimStatus.READY).order_by("filing_deadline", "id")
    ids = list(rows.values_list("id", flat=True)[:MOST_AT_ONCE])
    if request.method == "POST":
        return _submitted(request, ids, reverse("claims:batches"))
    return _confirm(request, ids, reverse("claims:submit_ready"), [])


def _confirm(
    request: HttpRequest, ids: Sequence[int], url: str, hidden: list[tuple[str, str]]
) -> HttpResponseBase:
    rows = list(
        Claim.objects.visible_to(actor_of(request)).filter(pk__in=ids).select_related("payer")
    )
    by_payer: dict[str, list[Claim]] = defaultdict(list)
    for row in rows:
        by_payer[row.payer.name].append(row)
    changes = [
        parts.Change(
            name,
            "",
            f"{fmt.plural(len(group), 'claim')},"
            f" {fmt.money(sum((c.total for c in group), Decimal(0)))}",
        )
        for name, group in sorted(by_payer.items())
    ]
    stopped = [r for r in rows if r.status != ClaimStatus.READY]
    return render(
        request,
        "components/confirm.html",
        {
            "title": f"Submit {fmt.plural(len(rows), 'claim')}",
            "text": (
                f"{fmt.plural(len(stopped), 'claim')} of these is not ready and stays here."
                if stopped
                else "Each file passes the guide check before it leaves."
            ),
            "changes": changes,
            "what": "Payer",
            "before": "",
            "after": "Leaves",
            "verb": "Submit",
            "back_url": reverse("claims:claims"),
            "action_url": url,
            "hidden": [*hidden, ("confirmed", "1")],
            "disabled_reason": "" if len(rows) > len(stopped) else "No claim is ready.",
        },
    )


# --- changes --------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@may("claim.edit")
def edit(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Change a claim that has not been filed."""
    row = _claim(request, public_id)

    def verb(form: Any) -> str:
        services.claim_edit(
            claim=row,
            changes=form.changes(),
            reason=form.cleaned_data["reason"],
            version=form.cleaned_data["version"],
            actor=actor_of(request),
        )
        return "Changed and scrubbed again."

    return _change_page(request, row, "Change the claim", "Save and scrub", verb)


@require_http_methods(["GET", "POST"])
@may("claim.edit")
def correct(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Correct a filed claim the way its payer takes it."""
    row = _claim(request, public_id)
    goes_to: list[Correction] = []

    def verb(form: Any) -> str:
        made = services.claim_correct(
            claim=row,
            reason=form.cleaned_data["reason"],
            changes=form.changes(),
            actor=actor_of(request),
        )
        goes_to.append(made)
        return made.sentence

    takes = row.payer.accepts_replacement and row.payer.kind != "medicare"
    text = (
        f"{row.payer.name} takes a replacement (frequency 7) with its number"
        f" {row.payer_control_number or 'which is not known yet'}."
        if takes
        else (
            f"{row.payer.name} takes no replacement: a clerical error is reopened by telephone or"
            " portal."
        )
    )
    return _change_page(
        request,
        row,
        f"Correct claim {row.number}",
        "Make the correction",
        verb,
        text=text,
        goes_to=goes_to,
    )


def _change_page(
    request: HttpRequest,
    row: Claim,
    title: str,
    button: str,
    verb: Callable[[Any], str],
    *,
    text: str = "",
    goes_to: list[Correction] | None = None,
) -> HttpResponseBase:
    front.chart_read(request, [row.patient], "claim change")
    lines = list(row.lines.order_by("number"))
    form = forms.ChangeForm.for_claim(
        row, lines, request.POST if request.method == "POST" else None
    )
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                with transaction.atomic():
                    said = verb(form)
            except Refused as refusal:
                form.add_error(
                    refusal.field if refusal.field in form.fields else None,
                    f"{refusal} {refusal.fix}".strip(),
                )
                status = 409 if isinstance(refusal, Conflict) else 422
            else:
                messages.success(request, said)
                made = goes_to[0].claim_id if goes_to else None
                target = (
                    Claim.objects.visible_to(actor_of(request)).filter(pk=made).first()
                    if made
                    else row
                )
                return redirect(_back(target or row))
    findings = list(
        row.findings.filter(cleared_at__isnull=True)
        .select_related("line__charge__exam")
        .order_by("severity", "edit")
    )
    return render(
        request,
        "claims/change.html",
        {
            "title": title,
            "text": text,
            "form": form,
            "verb": button,
            "back_url": _back(row),
            "claim": row,
            "patient": front.banner(row.patient),
            "blockers": present.blockers(row, findings, actor_of(request)),
            "ready": _ready_words(row),
            "crumbs": [parts.Crumb(f"Claim {row.number}", _back(row))],
        },
        status=status,
    )


@require_http_methods(["GET", "POST"])
@may("claim.edit")
def void(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Take a claim back, with a reason."""
    row = _claim(request, public_id)
    front.chart_read(request, [row.patient], "claim void")
    text = (
        "It has not been filed: its charges are free for another claim."
        if row.status in EDITABLE
        else "A claim of frequency 8 goes to the payer."
    )
    return _reason_page(
        request,
        row,
        f"Void claim {row.number}",
        text,
        "Void",
        lambda reason: (
            services.claim_void(claim=row, reason=reason, actor=actor_of(request)).sentence
        ),
        danger=True,
    )


@require_http_methods(["GET", "POST"])
@may("claim.override")
def override(request: HttpRequest, public_id: str, finding_id: str) -> HttpResponseBase:
    """Accept one finding with a reason (FEATURES E10)."""
    row = _claim(request, public_id)
    finding = found(
        ScrubFinding.objects.visible_to(actor_of(request)).filter(claim=row), public_id=finding_id
    )

    def verb(reason: str) -> str:
        services.finding_override(finding=finding, reason=reason, actor=actor_of(request))
        return f"{finding.edit} is accepted."

    return _reason_page(request, row, f"Accept {finding.edit}", finding.sentence, "Accept", verb)


@require_POST
@may("claim.override")
def restore(request: HttpRequest, public_id: str, finding_id: str) -> HttpResponseBase:
    row = _claim(request, public_id)
    finding = found(
        ScrubFinding.objects.visible_to(actor_of(request)).filter(claim=row), public_id=finding_id
    )
    try:
        with transaction.atomic():
            services.finding_restore(finding=finding, actor=actor_of(request))
    except Refused as refusal:
        _say(request, refusal)
    else:
        messages.success(request, f"{finding.edit} stops the claim again.")
    return redirect(_back(row))


def _reason_page(
    request: HttpRequest,
    row: Claim,
    title: str,
    text: str,
    button: str,
    verb: Callable[[str], str],
    *,
    danger: bool = False,
) -> HttpResponseBase:
    form = forms.ReasonForm(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                with transaction.atomic():
                    said = verb(form.cleaned_data["reason"])
            except Refused as refusal:
                form.add_error(
                    "reason" if refusal.field == "reason" else None,
                    f"{refusal} {refusal.fix}".strip(),
                )
                status = 409 if isinstance(refusal, Conflict) else 422
            else:
                messages.success(request, said)
                return redirect(_back(row))
    return render(
        request,
        "components/confirm.html",
        {
            "title": title,
            "text": text,
            "form": form,
            "verb": button,
            "back_url": _back(row),
            "danger": danger,
            "patient": front.banner(row.patient),
        },
        status=status,
    )


# --- scrub runs -----------------------------------------------------------------------------------


@require_POST
@may("claim.edit")
def scrub_all(request: HttpRequest) -> HttpResponseBase:
    """Scrub every unsent claim of each organization as a batch; the page shows its progress."""
    runs = []
    for organization_id in sorted(actor_of(request).organizations):
        run = services.scrub_start(organization_id=organization_id, actor=actor_of(request))
        start_run(run)
        runs.append(run)
    return (
        redirect("claims:scrub_run", public_id=runs[-1].public_id)
        if len(runs) == 1
        else redirect("claims:scrub_runs")
    )


def start_run(run: JobRun) -> None:
    """Send a scrub to the workers on commit; a lost call is found by the beat."""
    transaction.on_commit(
        lambda: scrub_task.apply_async((run.organization_id, run.pk), retry=False), robust=True
    )


@require_GET
@may("claim.view")
def scrub_runs(request: HttpRequest) -> HttpResponseBase:
    rows = JobRun.objects.visible_to(actor_of(request)).filter(kind=RUN_KIND).order_by("-id")[:50]
    return render(
        request,
        "claims/scrub_runs.html",
        {"runs": list(rows), "crumbs": [parts.Crumb("Claims", reverse("claims:claims"))]},
    )


@require_GET
@may("claim.view")
def scrub_run(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One run with its progress; htmx asks again every two seconds until it has ended."""
    run = found(
        JobRun.objects.visible_to(actor_of(request)).filter(kind=RUN_KIND), public_id=public_id
    )
    ended = run.status in (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)
    result = run.result
    words = (
        f"{result.get('ready', 0):,} ready, {result.get('blocked', 0):,} blocked"
        if result
        else run.get_status_display()
    )
    job = parts.Progress(
        run.title,
        run.done,
        run.total,
        finished=ended,
        failed=run.failed,
        url=reverse("claims:scrub_run", args=[run.public_id]),
        message=words,
    )
    if request.headers.get("HX-Request"):
        return render(request, "components/progress.html", {"job": job, "id": "scrub-run"})
    hits = (
        ScrubFinding.objects.visible_to(actor_of(request))
        .filter(cleared_at__isnull=True, severity="B", overridden_by="")
        .values("edit")
        .annotate(n=Count("claim_id", distinct=True))
        .order_by("-n", "edit")[:15]
    )
    return render(
        request,
        "claims/scrub_run.html",
        {
            "run": run,
            "job": job,
            "hits": [
                (
                    h["edit"],
                    h["n"],
                    catalogue()[h["edit"]].sentence if h["edit"] in catalogue() else "",
                )
                for h in hits
            ],
            "not_loaded": result.get("not_loaded", []),
            "crumbs": [parts.Crumb("Scrub runs", reverse("claims:scrub_runs"))],
        },
    )


# --- queues by name -------------------------------------------------------------------------------


@require_GET
@may("claim.view")
def edits_queue(request: HttpRequest) -> HttpResponseBase:
    """The queue of blocked claims, for the rail and its key."""
    return redirect("worklist:queue", code=EDITS)


@require_GET
@may("claim.view")
def rejections(request: HttpRequest) -> HttpResponseBase:
    """The queue of rejections, for the rail and its key."""
    return redirect("worklist:queue", code=REJECTIONS)


# --- files ----------------------------------------------------------------------------------------

FILE_TONES = {"built": "", "sent": "info", "accepted": "good", "rejected": "bad", "failed": "bad"}


def _file_columns() -> tuple[Column, ...]:
    return (
        Column(
            "file", "File", "number", kind="code", width="id", link=True, second=lambda s: s.form
        ),
        Column(
            "built",
            "Built",
            "built_at",
            kind="moment",
            width="moment",
            second=lambda s: f"sent {fmt.moment(s.sent_at)}" if s.sent_at else "not sent",
        ),
        Column(
            "status",
            "Status",
            lambda s: (s.get_status_display(), FILE_TONES[s.status]),
            kind="tag",
            width="tag",
        ),
        Column("out", "Out", "out", kind="number", width="num"),
        Column("accepted", "Accepted", "accepted_count", kind="number", width="num"),
        Column("rejected", "Rejected", "rejected_count", kind="number", width="num"),
        Column(
            "missing",
            "Missing",
            lambda s: (f"{s.missing_count} missing", "bad") if s.missing_count else None,
            kind="tag",
            width="tag",
        ),
        Column("total", "Charges", "total", kind="money", width="money"),
    )


BATCHES = ListPage(
    name="batches",
    title="Batches",
    noun=("file", "files"),
    template="claims/batches.html",
    columns=_file_columns(),
    orders=(Order("newest", "newest first", ("-pk",)),),
    tabs=(
        Tab("all", "All"),
        Tab("waiting", "Waiting", Q(waiting_count__gt=0)),
        Tab("missing", "Missing", Q(missing_count__gt=0)),
        Tab("rejected", "With rejections", Q(rejected_count__gt=0)),
    ),
    tab_counts=False,
    filterset=SubmissionFilter,
    detail=lambda s: reverse("claims:submission", args=[s.public_id]),
    row_label=lambda s: f"file {s.number}",
    empty="No file has been built.",
)


def _counted(rows: QuerySet[Submission]) -> QuerySet[Submission]:
    """Files with the states of their claims."""
    return rows.annotate(
        out=Count("claims"),
        accepted_count=Count("claims", filter=Q(claims__state="accepted")),
        rejected_count=Count("claims", filter=Q(claims__state="rejected")),
        missing_count=Count("claims", filter=Q(claims__state="missing")),
        waiting_count=Count("claims", filter=Q(claims__state="waiting")),
    )


@require_GET
@may("claim.view")
def batches(request: HttpRequest) -> HttpResponseBase:
    """Files with the control proof of each and of each day: out = accepted + rejected + missing +
    waiting (FEATURES F6).
    """
    rows = Submission.objects.visible_to(actor_of(request))
    return BATCHES.respond(request, _counted(rows), days=_days(rows))


def _days(rows: QuerySet[Submission]) -> list[dict[str, Any]]:
    """The proof of the last fourteen days on which files were built."""
    claims_ = SubmissionClaim.objects.filter(
        submission__in=rows, submission__built_at__gte=timezone.now() - DAYS_BACK
    )
    by_day: dict[Any, dict[str, Any]] = {}
    for built_at, state, n in (
        claims_.values_list("submission__built_at", "state")
        .annotate(n=Count("id"))
        .order_by("-submission__built_at")
    ):
        day = timezone.localdate(built_at)
        entry = by_day.setdefault(
            day, {"day": day, "out": 0, "accepted": 0, "rejected": 0, "missing": 0, "waiting": 0}
        )
        entry["out"] += n
        entry[state] += n
    return list(by_day.values())[:14]


@require_GET
@may("claim.view")
def submission(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One file: its proof, what was answered, its claims, the raw file."""
    actor = actor_of(request)
    row = found(
        Submission.objects.visible_to(actor)
        .select_related("interchange__connection")
        .defer("interchange__content"),
        public_id=public_id,
    )
    proof = services.proofs([row.pk]).get(row.pk)
    inside = SubmissionClaim.objects.filter(submission=row).select_related(
        "claim__patient", "claim__payer"
    )
    state = request.GET.get("state", "")
    if state in ("waiting", "accepted", "rejected", "missing"):
        inside = inside.filter(state=state)
    page = keyset.page(inside, ("pk",), cursor=request.GET.get("cursor", ""))
    front.chart_read(request, [s.claim.patient for s in page.rows], "claim file")
    answers = Interchange.objects.visible_to(actor).filter(
        pk__in=Acknowledgement.objects.filter(submission=row).values("interchange_id")
    )
    return render(
        request,
        "claims/submission.html",
        {
            "submission": row,
            "tone": FILE_TONES[row.status],
            "proof": proof,
            "page": page,
            "state": state,
            "said": list(
                Acknowledgement.objects.filter(submission=row, claim__isnull=True).order_by("-id")[
                    :30
                ]
            ),
            "answers": list(answers.defer("content").order_by("id")),
            "may_raw": actor.can("exchange.view"),
            "crumbs": [parts.Crumb("Batches", reverse("claims:batches"))],
        },
    )


# --- the catalogue of edits -----------------------------------------------------------------------


@require_GET
@may("edit.view")
def edits(request: HttpRequest) -> HttpResponseBase:
    """Every edit with id, sentence, severity, source, example, hits and prevention rate (FEATURES
    E1).
    """
    text = request.GET.get("q", "")[:80]
    views = present.edit_views(actor_of(request), text)
    families: dict[str, list[present.EditView]] = defaultdict(list)
    for view in views:
        families[view.edit.family].append(view)
    return render(
        request,
        "claims/edits.html",
        {"families": list(families.items()), "count": len(views), "q": text},
    )


@require_GET
@may("edit.view")
def edit_page(request: HttpRequest, edit_id: str) -> HttpResponseBase:
    """One edit: what it says, its example, the claims it stops now."""
    view = next(
        (v for v in present.edit_views(actor_of(request)) if v.edit.edit_id == edit_id), None
    )
    if view is None:
        raise Http404
    actor = actor_of(request)
    stopped = []
    if actor.can("claim.view"):
        stopped = list(
            _rows(request)
            .filter(findings__edit=edit_id, findings__cleared_at__isnull=True)
            .distinct()
            .order_by("-id")[:30]
        )
        front.chart_read(request, [c.patient for c in stopped], "edit hits")
    return render(
        request,
        "claims/edit.html",
        {
            "view": view,
            "edit": view.edit,
            "changes": view.example,
            "stopped": stopped,
            "crumbs": [parts.Crumb("Edits", reverse("claims:edits"))],
        },
    )


# --- payer rules ----------------------------------------------------------------------------------


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
    return render(
        request,
        "claims/rules.html",
        {
            "rules": [(row, on.get(key)) for key, row in newest.items()],
            "may_edit": actor_of(request).can("rules.edit"),
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
    hits = (
        ScrubFinding.objects.visible_to(actor)
        .filter(organization=row.organization, edit=f"USR-{row.number}")
        .values("claim_id")
        .distinct()
        .count()
    )
    examples = Claim.objects.visible_to(actor).filter(
        organization=row.organization, number__in=row.backtest.get("examples", [])
    )
    actions = []
    if actor.can("rules.edit"):
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
            "examples": list(examples[:20]) if actor.can("claim.view") else [],
            "others": others,
            "hits": hits,
            "actions": actions,
            "crumbs": [parts.Crumb("Payer rules", reverse("claims:rules"))],
        },
    )


def _rule_words(node: Any, depth: int = 0) -> Any:
    """A rule's conditions as lines of plain words with their depth."""
    if not isinstance(node, dict):
        return
    if "field" in node:
        value = node.get("value", "")
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield (
            depth,
            f"{node['field']} {forms.OPERATOR_WORDS.get(str(node.get('op')), node.get('op'))}"
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
        _say(request, refusal)
    else:
        messages.success(request, "Switched on." if on else "Switched off.")
    return redirect("claims:rule", public_id=row.public_id)
