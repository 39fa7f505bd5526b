"""One claim: what stops it, its lines, its versions, its print."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from claims import present, sections, services
from claims.facts import load_sheets
from claims.models import (
    Claim,
    ClaimStatus,
)
from claims.services.correcting import EDITABLE
from claims.services.scrubbing import may_override
from claims.services.submitting import as_sent
from claims.views.common import OPEN, back_to, claim_of, claims_of, kind_words, say
from claims.views.lists import submitted
from claims.views.paper import no_paper
from intake import present as front
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.access import actor_of, may


def _actions(claim: Claim, actor: Actor, blocking: int) -> list[parts.Action]:
    def url(name: str) -> str:
        return reverse(f"claims:{name}", args=[claim.public_id])

    out: list[parts.Action] = []
    version = (("version", str(claim.version)),)
    if claim.status in EDITABLE:
        if actor.can("claim.submit", claim):
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
        if actor.can("claim.edit", claim):
            out += [
                parts.Action("Scrub", url("scrub"), "post", key="c", fields=version),
                parts.Action("Change", url("edit"), key="d"),
                parts.Action("Void", url("void"), danger=True),
            ]
    elif actor.can("claim.edit", claim) and claim.status not in (
        ClaimStatus.VOID,
        ClaimStatus.REPLACED,
    ):
        out.append(
            parts.Action(
                "Correct and replace", url("correct"), primary=claim.status == ClaimStatus.DENIED
            )
        )
        out.append(parts.Action("Void", url("void"), danger=True))
    if claim.status in OPEN and actor.can("claim.submit", claim):
        out.append(parts.Action("Ask the payer (276)", url("ask"), "post"))
    out.append(parts.Action("Print", url("paper"), disabled_reason=no_paper(claim)))
    return out


def ready_words(claim: Claim) -> str:
    if claim.status in EDITABLE:
        return (
            "Ready to submit." if claim.status == ClaimStatus.READY else "Not judged yet: scrub it."
        )
    return f"It is {claim.get_status_display().lower()}; nothing stops it here."


UNANSWERED = (ClaimStatus.SUBMITTED, ClaimStatus.ACKNOWLEDGED, ClaimStatus.ACCEPTED)


def correction_pending(row: Claim) -> str:
    """What a corrected claim waits for, in a sentence; empty when the payer has answered or nothing
    was corrected.
    """
    later = Claim.objects.filter(replaces=row, status__in=UNANSWERED).order_by("-id").first()
    if later is not None:
        return (
            f"Correction pending: claim {later.number} takes its place, and {row.payer.name} has not"
            " answered it yet."
        )
    if row.replaces is not None and row.status in UNANSWERED:
        return (
            f"Correction pending: it takes the place of claim {row.replaces.number}, and"
            f" {row.payer.name} has not answered yet."
        )
    return ""


@require_GET
@may("claim.view")
def claim(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The claim: what stops it, its lines with money and edits, the evidence, everything that
    happened.
    """
    row = claim_of(request, public_id)
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
        claims_of(request)
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
            "kind": kind_words(row),
            "patient": front.banner(row.patient),
            "blockers": present.blockers(row, findings, actor),
            "accepted": [f for f in findings if f.overridden_by],
            "may_accept": (
                [f for f in blocking if may_override(f.edit)]
                if actor.can("claim.override", row)
                else []
            ),
            "may_restore": actor.can("claim.override", row),
            "lines": views,
            "totals": present.totals(views),
            "coordination": present.coordination(row),
            "evidence": present.evidence(exams, lines),
            "reports": [(exam, reports.get(exam.pk)) for exam in exams],
            "acknowledgements": present.answers(row),
            "versions": present.versions(row),
            "related": list(related),
            "pending": correction_pending(row),
            "sections": sections.of(request, row),
            "events": present.timeline(row, actor, show),
            "chips": [(name, label, name == show) for name, label in present.CHIPS],
            "actions": _actions(row, actor, len(blocking)),
            "ready": ready_words(row),
            "editable": row.status in EDITABLE,
            "may_raw": actor.can("exchange.view", row),
            "crumbs": [parts.Crumb("Claims", reverse("claims:claims"))],
        },
    )


@require_GET
@may("claim.view")
def compare(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Any two versions of a claim side by side: what was sent, and what would be sent now."""
    row = claim_of(request, public_id)
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


@require_POST
@may("claim.edit")
def scrub(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = claim_of(request, public_id)
    result = services.claims_scrub(claim_ids=[row.pk], actor=actor_of(request))
    if result.ready:
        messages.success(request, "Every edit passes: ready to submit.")
    elif result.blocked:
        messages.warning(request, "Edits stop this claim.")
    else:
        messages.error(request, "A claim that was filed is not scrubbed again.")
    return redirect(back_to(row))


@require_POST
@may("claim.submit", money=True)
def ask(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = claim_of(request, public_id)
    try:
        with transaction.atomic():
            asked = services.status_ask(claim_ids=[row.pk], actor=actor_of(request))
    except Refused as refusal:
        say(request, refusal)
    else:
        (
            messages.success(request, "The payer is asked; the answer lands here.")
            if asked
            else messages.error(request, "It is not with the payer.")
        )
    return redirect(back_to(row))


@require_http_methods(["GET", "POST"])
@may("claim.submit", money=True)
def submit(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Preview of what leaves, then the submission."""
    row = claim_of(request, public_id)
    front.chart_read(request, [row.patient], "claim submission")
    if request.method == "POST":
        return submitted(request, [row.pk], back_to(row))
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
            "back_url": back_to(row),
            "disabled_reason": preview.stops,
            "patient": front.banner(row.patient),
        },
    )
