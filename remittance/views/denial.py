"""One denial and its acts: correct, appeal, park, open again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from intake import present as front
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from remittance import forms, present, services
from remittance.models import (
    Denial,
    DenialStatus,
)
from remittance.services.denials import appeals_of, next_level


def denial_of(request: HttpRequest, public_id: str) -> Denial:
    rows = Denial.objects.visible_to(actor_of(request)).select_related(
        "claim__patient",
        "claim__coverage",
        "line",
        "payer",
        "payment__remittance",
        "next_claim",
        "resolved_by",
    )
    return found(rows, public_id=public_id)


@require_safe
@may("denial.view")
def denial(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One denial: why, the evidence, deadlines, appeals, and the three ways on."""
    row = denial_of(request, public_id)
    actor = actor_of(request)
    front.chart_read(request, [row.claim.patient], "denial")
    exam = present.exam_of(row)
    context = {
        "row": row,
        "patient": front.banner(row.claim.patient),
        "tag": (row.get_status_display(), present.DENIAL_TONES[DenialStatus(row.status)]),
        "reason": present.reason_words(row.reason),
        "remarks": [(c, present.remark_words(c)) for c in row.remarks],
        "category": present.category_words(row.category),
        "category_rule": present.category_rule(row.category),
        "evidence": present.evidence(present.denial_grid(row, exam)),
        "exam_url": (
            reverse("charges:exam", args=[exam.public_id])
            if exam and actor.can("exam.view", row)
            else ""
        ),
        "claim_url": present.claim_url(row.claim),
        "next_url": present.claim_url(row.next_claim) if row.next_claim else "",
        "payment_url": (
            reverse("remittance:payment", args=[row.payment.public_id])
            if actor.can("remittance.view", row)
            else ""
        ),
        "appeals": appeals_of([row]).get(row.pk, []),
        "actions": _denial_actions(row, actor),
        "events": front.timeline(row.organization_id, denial_id=row.pk, limit=40),
        "may_work": actor.can("denial.work", row),
        "crumbs": [parts.Crumb("Denials", reverse("remittance:denials"))],
    }
    return render(request, "remittance/denial.html", context)


def _denial_actions(row: Denial, actor: Actor) -> list[parts.Action]:
    if not actor.can("denial.work", row):
        return []

    def url(name: str) -> str:
        return reverse(f"remittance:{name}", args=[row.public_id])

    actions: list[parts.Action] = []
    if row.status in (DenialStatus.OPEN, DenialStatus.PARKED, DenialStatus.UPHELD):
        unprocessable = "MA130" in row.remarks
        actions.append(
            parts.Action("Correct and resend", url("denial_correct"), primary=True, key="c")
        )
        actions.append(
            parts.Action(
                "Appeal",
                url("denial_appeal"),
                key="a",
                disabled_reason="MA130: no appeal is open" if unprocessable else "",
            )
        )
    if row.status == DenialStatus.OPEN:
        actions.append(parts.Action("Park", url("denial_park"), key="p"))
    if row.status in (DenialStatus.PARKED, DenialStatus.UPHELD, DenialStatus.CORRECTED):
        actions.append(parts.Action("Open again", url("denial_reopen")))
    actions.append(parts.Action("Packet", url("packet"), icon="download"))
    return actions


def act(
    request: HttpRequest,
    row: Denial,
    *,
    title: str,
    make: Callable[[], Any],
    verb: Callable[[Any], str],
    label: str,
    text: str = "",
) -> HttpResponseBase:
    """A form beside the denial's facts; on success back to the denial with a sentence."""
    page = reverse("remittance:denial", args=[row.public_id])
    form = make()
    status = 200
    conflict = ""
    if request.method == "POST":
        if form.is_valid():
            try:
                messages.success(request, verb(form))
            except Conflict as problem:
                conflict, status = str(problem), 409
            except Refused as refusal:
                form.add_error(
                    refusal.field if refusal.field in form.fields else None,
                    f"{refusal} {refusal.fix}".strip(),
                )
            else:
                return redirect(page)
        if form.errors:
            status = 422
    front.chart_read(request, [row.claim.patient], "denial")
    context = {
        "title": title,
        "text": text,
        "form": form,
        "verb": label,
        "back_url": page,
        "conflict": conflict,
        "row": row,
        "patient": front.banner(row.claim.patient),
        "evidence": present.evidence(present.denial_grid(row, present.exam_of(row))),
        "reason": present.reason_words(row.reason),
        "crumbs": [
            parts.Crumb("Denials", reverse("remittance:denials")),
            parts.Crumb(f"Claim {row.claim.number}", page),
        ],
    }
    return render(request, "remittance/act.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.work", money=True)
def denial_correct(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = denial_of(request, public_id)
    claim = row.claim
    initial = {
        "authorization_number": claim.authorization_number,
        "referring_npi": claim.referring_npi,
        "diagnoses": " ".join(claim.diagnoses),
        "codes": list(claim.diagnoses),
        "version": row.version,
    }

    def verb(form: Any) -> str:
        correction = services.denial_correct(
            denial=row,
            changes=form.changes(),
            reason=form.cleaned_data["reason"],
            submit=form.cleaned_data["submit"],
            version=form.cleaned_data["version"],
            actor=actor_of(request),
        )
        return correction.sentence

    return act(
        request,
        row,
        title=f"Correct claim {claim.number}",
        label="Correct",
        verb=verb,
        make=lambda: forms.CorrectForm(
            request.POST or None, initial=initial, lines=list(claim.lines.order_by("number"))
        ),
        text="The corrected claim is scrubbed; when no edit stops it, it is sent.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.work", money=True)
def denial_appeal(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = denial_of(request, public_id)
    level = next_level(row)

    def verb(form: Any) -> str:
        appeal = services.denial_appeal(
            denial=row,
            letter=form.cleaned_data["letter"],
            sent_on=form.cleaned_data["sent_on"],
            actor=actor_of(request),
        )
        return f"Appeal level {appeal.level} is kept as sent, with its packet."

    def make() -> forms.AppealForm:
        initial = (
            {}
            if request.method == "POST"
            else {"letter": services.appeal_draft(denial=row), "sent_on": office_day()}
        )
        return forms.AppealForm(request.POST or None, initial=initial)

    due = f" The last day is {row.appeal_by:%b %-d, %Y}." if row.appeal_by and level == 1 else ""
    return act(
        request,
        row,
        title=f"Appeal, level {level}",
        label="Keep as sent",
        verb=verb,
        make=make,
        text=(
            "Order, authorization, signed report, remittance and proof of filing go with the"
            f" letter.{due}"
        ),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.work")
def denial_park(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = denial_of(request, public_id)

    def verb(form: Any) -> str:
        parked = services.denial_park(
            denial=row,
            reason=form.cleaned_data["reason"],
            review_on=form.cleaned_data["review_on"],
            actor=actor_of(request),
        )
        return f"Parked until {parked.review_on:%b %-d, %Y}."

    return act(
        request,
        row,
        title="Park the denial",
        label="Park",
        verb=verb,
        make=lambda: forms.ParkForm(request.POST or None),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("denial.work")
def denial_reopen(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = denial_of(request, public_id)

    def verb(form: Any) -> str:
        services.denial_reopen(
            denial=row, reason=form.cleaned_data["reason"], actor=actor_of(request)
        )
        return "Open again."

    return act(
        request,
        row,
        title="Open the denial again",
        label="Open again",
        verb=verb,
        make=lambda: forms.ReasonForm(request.POST or None),
    )
