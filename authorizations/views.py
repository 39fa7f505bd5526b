"""Screens of the authorization phase: the list, one record with its evidence and clocks, and the
acts on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.db.models import Prefetch, Q
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from authorizations import services
from authorizations.compare import compared
from authorizations.evidence import matches_of
from authorizations.filters import AuthorizationFilter
from authorizations.forms import AskForm, ChangeForm, DecideForm, HearForm, PeerForm
from authorizations.history import turnaround_by_payer
from authorizations.models import GRANTED, Authorization, AuthorizedService, AuthRequest, AuthStatus
from authorizations.routing import PACKET, desk_of, script
from intake import present
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.keyset import Key
from rcm.web.lists import Column, ListPage, Order, Tab

TONES = {
    AuthStatus.DRAFT: "warn",
    AuthStatus.REQUESTED: "info",
    AuthStatus.PENDED: "warn",
    AuthStatus.APPROVED: "good",
    AuthStatus.PARTIAL: "good",
    AuthStatus.MODIFIED: "good",
    AuthStatus.DENIED: "bad",
    AuthStatus.EXPIRED: "bad",
    AuthStatus.NOT_REQUIRED: "good",
    AuthStatus.CANCELLED: "",
}


def _codes(row: Authorization) -> str:
    return " ".join(s.code for s in row.services.all()) or " ".join(
        c["code"] for c in row.evidence.get("codes", ())
    )


def _clock(row: Authorization) -> Any:
    """The date that matters in this state: request before the visit, the payer's clock, the call,
    the last day.
    """
    if row.status in (AuthStatus.REQUESTED, AuthStatus.PENDED):
        return row.decision_due_at
    if row.status == AuthStatus.DENIED:
        return row.peer_to_peer_by
    return row.effective_to if row.status in GRANTED else None


LIST = ListPage(
    name="authorizations",
    title="Authorizations",
    noun=("authorization", "authorizations"),
    columns=(
        Column(
            "patient",
            "Patient",
            "patient.name",
            kind="strong",
            width="who",
            link=True,
            second=lambda a: f"{fmt.mdy(a.patient.born_on)} {a.patient.mrn}",
            second_kind="code",
        ),
        Column(
            "status",
            "Status",
            lambda a: (a.get_status_display(), TONES[AuthStatus(a.status)]),
            kind="tag",
            width="tag",
        ),
        Column("codes", "Exams", _codes, kind="code", width="exam", second="reviewer"),
        Column(
            "payer", "Payer", "payer.name", width="payer", second="member_id", second_kind="code"
        ),
        Column(
            "visit",
            "Visit",
            lambda a: a.appointment.starts_at if a.appointment else None,
            kind="moment",
            width="moment",
            second="site.name",
            order="visit",
        ),
        Column("number", "Number", "number", kind="code", width="id", second="reference"),
        Column("clock", "Decide, call or use by", _clock, kind="deadline", width="due"),
    ),
    orders=(
        Order("visit", "visit", (Key("appointment__starts_at", nulls="last"), "pk")),
        Order("new", "newest first", ("-pk",)),
    ),
    tabs=(
        Tab(
            "open", "To do", Q(status__in=[AuthStatus.DRAFT, AuthStatus.DENIED, AuthStatus.PENDED])
        ),
        Tab(
            "waiting",
            "Waiting for the payer",
            Q(status__in=[AuthStatus.REQUESTED, AuthStatus.PENDED]),
        ),
        Tab("granted", "Granted", Q(status__in=GRANTED)),
        Tab("none", "Not required", Q(status=AuthStatus.NOT_REQUIRED), order="new"),
        Tab("all", "All", order="new"),
    ),
    filterset=AuthorizationFilter,
    detail=lambda a: reverse("authorizations:detail", args=[a.public_id]),
    row_label=lambda a: f"authorization of {a.patient.name}",
    actions=lambda request: (
        [
            parts.Action("Turnaround", reverse("authorizations:turnaround")),
            parts.Action("Overrides", reverse("intake:overrides")),
        ]
        if actor_of(request).can_somewhere("clearance.view")
        else []
    ),
    empty="Every exam that needs an authorization has one.",
)


@require_GET
@may("authorization.view")
def listing(request: HttpRequest) -> HttpResponseBase:
    rows = (
        Authorization.objects.visible_to(actor_of(request))
        .select_related("patient", "payer", "site", "appointment")
        .prefetch_related(Prefetch("services", queryset=AuthorizedService.objects.order_by("id")))
    )
    return LIST.respond(request, rows)


def _row(request: HttpRequest, public_id: str) -> Authorization:
    rows = Authorization.objects.visible_to(actor_of(request)).select_related(
        "patient",
        "payer",
        "site__organization",
        "appointment__site",
        "coverage__payer",
        "coverage__plan",
    )
    return found(rows, public_id=public_id)


def _actions(row: Authorization, actor: Actor) -> Sequence[parts.Action]:
    if not actor.can("authorization.edit", row):
        return ()

    def url(name: str) -> str:
        return reverse(f"authorizations:{name}", args=[row.public_id])

    actions = []
    if row.status in (AuthStatus.DRAFT, AuthStatus.EXPIRED) and row.services.exists():
        actions += [
            parts.Action("Request electronically", url("request"), "post", primary=True, key="s"),
            parts.Action("Request by portal or phone", url("ask"), key="p"),
        ]
    if row.status in (AuthStatus.DRAFT, AuthStatus.NOT_REQUIRED):
        actions.append(parts.Action("Payer said required or not", url("hear")))
    if row.status in (AuthStatus.REQUESTED, AuthStatus.PENDED) and _by_fhir(row):
        actions.append(parts.Action("Ask how it stands", url("inquire"), "post", key="i"))
    if row.status in (AuthStatus.DRAFT, AuthStatus.REQUESTED, AuthStatus.PENDED, AuthStatus.DENIED):
        actions.append(
            parts.Action(
                "Record the decision",
                url("decide"),
                primary=row.status in (AuthStatus.REQUESTED, AuthStatus.PENDED),
                key="d",
            )
        )
    if row.status == AuthStatus.DENIED:
        actions.append(parts.Action("Peer-to-peer call", url("peer"), primary=True))
    if row.status in GRANTED or row.status == AuthStatus.EXPIRED:
        actions.append(parts.Action("Ask for a change", url("change")))
    return actions


def _by_fhir(row: Authorization) -> bool:
    latest = row.requests.order_by("-id").first()
    return latest is not None and latest.channel == "fhir"


@require_GET
@may("authorization.view")
def detail(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One record: is it required and who says so, what is asked for beside what is granted, limits,
    clocks, history, raw texts.
    """
    row = _row(request, public_id)
    present.chart_read(request, [row.patient], "authorization")
    matched = matches_of(row)
    evidence = [
        parts.Evidence(
            label=f"Order {m.ask.ordered.code}" if m.ask.ordered else "Exam",
            code=m.result.service.code if m.result.service else "",
            text=m.result.sentence,
            more=(
                m.result.first.action
                if m.result.first
                else (m.result.first.due_words if m.result.first else "")
            ),
            differs=not m.result.passes and m.authorization is not None,
            missing=m.authorization is None and not m.result.passes,
        )
        for m in matched
    ]
    requests = list(
        AuthRequest.objects.filter(authorization=row)
        .select_related("request", "response")
        .order_by("-id")
    )
    crumbs = [parts.Crumb("Authorizations", reverse("authorizations:list"))]
    if row.appointment is not None:
        crumbs.append(
            parts.Crumb(
                "Appointment", reverse("intake:appointment", args=[row.appointment.public_id])
            )
        )
    return render(
        request,
        "authorizations/detail.html",
        {
            "row": row,
            "tone": TONES[AuthStatus(row.status)],
            "patient": present.banner(row.patient),
            "evidence": evidence,
            "codes": row.evidence.get("codes", ()),
            "heard": row.evidence.get("heard", ()),
            "compared": compared(
                list(
                    AuthorizedService.objects.filter(authorization=row)
                    .select_related("ordered_exam")
                    .order_by("id")
                )
            ),
            "desk": desk_of(row, at=timezone.now()),
            "requests": requests,
            "when": present.local_moment(row.appointment) if row.appointment else "",
            "actions": _actions(row, actor_of(request)),
            "events": present.timeline(row.organization_id, authorization_id=row.pk),
            "crumbs": crumbs,
            "today": office_day(),
        },
    )


def _act(
    request: HttpRequest,
    public_id: str,
    title: str,
    make: Callable[[Authorization], Any],
    verb: Callable[[Authorization, Any], Any],
    *,
    text: str = "",
    button: str = "Save",
    extra: dict[str, Any] | None = None,
) -> HttpResponseBase:
    """A form page that ends in one service call, beside who is to be called."""
    row = _row(request, public_id)
    present.chart_read(request, [row.patient], "authorization")
    back = reverse("authorizations:detail", args=[row.public_id])
    form = make(row)
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            verb(row, form)
        except Refused as refusal:
            form.add_error(
                refusal.field if refusal.field in form.fields else None,
                f"{refusal} {refusal.fix}".strip(),
            )
            status = refusal.status
        else:
            messages.success(request, "Saved.")
            return redirect(back)
    shown = {
        "title": title,
        "text": text,
        "form": form,
        "verb": button,
        "back_url": back,
        "patient": present.banner(row.patient),
        "row": row,
        "desk": desk_of(row, at=timezone.now()),
        **(extra or {}),
    }
    return render(
        request,
        "authorizations/act.html",
        shown,
        status=status if status != 200 else 422 if form.errors else 200,
    )


@require_POST
@may("authorization.edit", money=True)
def request_278(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Send the request by the way the payer takes, FHIR or 278; the answer lands by itself."""
    row = _row(request, public_id)
    try:
        services.authorization_request(
            authorization=row,
            channel="electronic",
            actor=actor_of(request),
            urgent=request.POST.get("urgent") == "yes",
        )
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        messages.success(request, f"Requested from {row.payer.name}.")
    return redirect("authorizations:detail", row.public_id)


@require_POST
@may("authorization.edit", money=True)
def inquire(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Ask the payer's FHIR service how the request stands."""
    row = _row(request, public_id)
    try:
        services.authorization_inquire(authorization=row, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        messages.success(request, f"Asked {row.payer.name} how it stands.")
    return redirect("authorizations:detail", row.public_id)


@require_http_methods(["GET", "POST"])
@may("authorization.edit", money=True)
def ask(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The guided request by portal or phone: what to say, what to have ready, and what to keep."""
    row = _row(request, public_id)
    return _act(
        request,
        public_id,
        "Request by portal or phone",
        lambda row: AskForm(request.POST or None, site=row.site),
        lambda row, form: services.authorization_request(
            authorization=row, actor=actor_of(request), **form.asked()
        ),
        text="Say it in this order. Keep the reference number and the time they promised.",
        extra={"script": script(row), "packet": PACKET},
    )


@require_http_methods(["GET", "POST"])
@may("authorization.edit", money=True)
def decide(request: HttpRequest, public_id: str) -> HttpResponseBase:
    def make(row: Authorization) -> DecideForm:
        initial = {
            "number": row.number,
            "effective_from": row.effective_from,
            "effective_to": row.effective_to,
            "version": row.version,
            "contact": row.contact,
        }
        return DecideForm(request.POST or None, row=row, initial=initial)

    def verb(row: Authorization, form: DecideForm) -> Any:
        data = form.cleaned_data
        names = (
            "status",
            "number",
            "effective_from",
            "effective_to",
            "reference",
            "contact",
            "reason",
            "denial_kind",
            "channel",
            "version",
        )
        return services.authorization_decide(
            authorization=row,
            services=form.granted(),
            actor=actor_of(request),
            **{n: data[n] for n in names},
        )

    return _act(request, public_id, "Record the payer's decision", make, verb)


@require_http_methods(["GET", "POST"])
@may("authorization.edit", money=True)
def hear(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _act(
        request,
        public_id,
        "What the payer says about the requirement",
        lambda row: HearForm(request.POST or None),
        lambda row, form: services.requirement_hear(
            authorization=row, actor=actor_of(request), **form.cleaned_data
        ),
        text=(
            "The payer's own word about a code beats every rule. “Not required” is kept with its"
            " reference: it is evidence in an appeal."
        ),
    )


@require_http_methods(["GET", "POST"])
@may("authorization.edit", money=True)
def peer(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _act(
        request,
        public_id,
        "Peer-to-peer call",
        lambda row: PeerForm(request.POST or None, site=row.site),
        lambda row, form: services.peer_to_peer(
            authorization=row, actor=actor_of(request), **form.told()
        ),
        text=(
            "A scheduled call needs its hour and in whose calendar it stands; an approval its number"
            " and days."
        ),
    )


@require_http_methods(["GET", "POST"])
@may("authorization.edit", money=True)
def change(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Open an update, extension or retroactive request; it is then requested like any other."""
    return _act(
        request,
        public_id,
        "Ask for a change",
        lambda row: ChangeForm(request.POST or None, row=row),
        lambda row, form: services.authorization_change(
            authorization=row,
            kind=form.cleaned_data["kind"],
            code_for=form.swaps(),
            actor=actor_of(request),
        ),
        text=(
            "A new request is opened beside this record, which stays as it is until the payer has"
            " decided."
        ),
        button="Open the request",
    )


@require_GET
@may("authorization.view")
def raw(request: HttpRequest, public_id: str, side: str) -> HttpResponseBase:
    """A 278 request or answer byte for byte."""
    rows = AuthRequest.objects.visible_to(actor_of(request)).select_related(
        "authorization__patient", "request", "response"
    )
    ask_row = found(rows, public_id=public_id)
    # the record carries the site, so a reader of one site does not reach another site's texts
    _row(request, str(ask_row.authorization.public_id))
    interchange = ask_row.request if side == "request" else ask_row.response
    if interchange is None:
        raise Http404
    present.chart_read(request, [ask_row.authorization.patient], f"raw 278 {side}")
    return render(
        request,
        "intake/raw.html",
        {
            "title": f"278 {side} of {fmt.moment(interchange.received_at)}",
            "caption": f"278, control number {interchange.control_number}",
            "lines": parts.raw_lines(bytes(interchange.content).decode("latin-1")),
            "patient": present.banner(ask_row.authorization.patient),
            "crumbs": [
                parts.Crumb(
                    "Authorization",
                    reverse("authorizations:detail", args=[ask_row.authorization.public_id]),
                )
            ],
        },
    )


PERIODS = (30, 90, 180, 365)


@require_GET
@may("authorization.view")
def turnaround(request: HttpRequest) -> HttpResponseBase:
    """Our time and the payers', apart, by payer, against the regulated clocks."""
    text = request.GET.get("days", "")
    days = int(text) if text.isdigit() and int(text) in PERIODS else 90
    now = timezone.now()
    found = turnaround_by_payer(actor_of(request), since=now - timedelta(days=days), until=now)
    rows = [
        {
            "name": p.name,
            "decided": p.decided,
            "ours": _span(p.ours),
            "payers": _span(p.payers),
            "longest": _span(p.longest),
            "standard": _share(p.standard_in_time, p.standard),
            "expedited": _share(p.expedited_in_time, p.expedited),
        }
        for p in found
    ]
    shown = {
        "rows": rows,
        "days": days,
        "choices": PERIODS,
        "crumbs": [parts.Crumb("Authorizations", reverse("authorizations:list"))],
    }
    return render(request, "authorizations/turnaround.html", shown)


def _span(length: timedelta) -> str:
    """Hours under two days, else days."""
    hours = length.total_seconds() / 3600
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}" if whole else "none asked"
