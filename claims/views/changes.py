"""Changes of a claim: edit, correction, void, findings accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from charges.models import Exam
from claims import forms, present, services
from claims.models import (
    Claim,
    ScrubFinding,
)
from claims.records import Correction
from claims.services.correcting import EDITABLE
from claims.views.claim import ready_words
from claims.views.common import back_to, claim_of, reason_page, say
from intake import present as front
from rcm.accounts.problems import Conflict, Refused
from rcm.web import parts
from rcm.web.access import actor_of, found, may


@require_http_methods(["GET", "POST"])
@may("claim.edit")
def edit(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Change a claim that has not been filed."""
    row = claim_of(request, public_id)

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
@may("claim.edit", money=True)
def correct(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Correct a filed claim the way its payer takes it."""
    row = claim_of(request, public_id)
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
                return redirect(back_to(target or row))
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
            "back_url": back_to(row),
            "claim": row,
            "patient": front.banner(row.patient),
            "blockers": present.blockers(row, findings, actor_of(request)),
            "ready": ready_words(row),
            "crumbs": [parts.Crumb(f"Claim {row.number}", back_to(row))],
        },
        status=status,
    )


@require_http_methods(["GET", "POST"])
@may("claim.edit", money=True)
def void(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Take a claim back, with a reason."""
    row = claim_of(request, public_id)
    front.chart_read(request, [row.patient], "claim void")
    unfiled = row.status in EDITABLE
    text = (
        "It has not been filed. Its charges are still owed: say what becomes of them."
        if unfiled
        else "A claim of frequency 8 goes to the payer; the charges then wait for a decision."
    )
    actor = actor_of(request)

    def verb(form: forms.ReasonForm) -> str:
        again = form.cleaned_data.get("then") == forms.VoidForm.AGAIN
        reason = form.cleaned_data["reason"]
        return services.claim_void(claim=row, reason=reason, again=again, actor=actor).sentence

    return reason_page(
        request,
        row,
        title=f"Void claim {row.number}",
        text=text,
        button="Void",
        verb=verb,
        danger=True,
        form_class=forms.VoidForm if unfiled else forms.ReasonForm,
    )


@require_POST
@may("claim.edit", money=True)
def bill_again(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Put the charges of an exam that stand on no claim on one again."""
    actor = actor_of(request)
    exam = found(Exam.objects.visible_to(actor), public_id=public_id)
    try:
        made = services.exam_bill_again(exam=exam, actor=actor)
    except Refused as refusal:
        say(request, refusal)
        return redirect("charges:exam", public_id=public_id)
    claim = Claim.objects.get(pk=made[0])
    messages.success(request, f"The charges are on claim {claim.number}.")
    return redirect(back_to(claim))


@require_POST
@may("claim.edit", money=True)
def reopened(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The payer took the late charges of an exam by reopening its claim."""
    actor = actor_of(request)
    exam = found(Exam.objects.visible_to(actor), public_id=public_id)
    try:
        claim = services.exam_reopened(exam=exam, actor=actor)
    except Refused as refusal:
        say(request, refusal)
        return redirect("charges:exam", public_id=public_id)
    messages.success(request, f"The late charges stand on claim {claim.number}.")
    return redirect(back_to(claim))


@require_http_methods(["GET", "POST"])
@may("claim.override")
def override(request: HttpRequest, public_id: str, finding_id: str) -> HttpResponseBase:
    """Accept one finding with a reason."""
    row = claim_of(request, public_id)
    finding = found(
        ScrubFinding.objects.visible_to(actor_of(request)).filter(claim=row), public_id=finding_id
    )

    def verb(form: forms.ReasonForm) -> str:
        reason = form.cleaned_data["reason"]
        services.finding_override(finding=finding, reason=reason, actor=actor_of(request))
        return f"{finding.edit} is accepted."

    return reason_page(
        request,
        row,
        title=f"Accept {finding.edit}",
        text=finding.sentence,
        button="Accept",
        verb=verb,
    )


@require_POST
@may("claim.override")
def restore(request: HttpRequest, public_id: str, finding_id: str) -> HttpResponseBase:
    row = claim_of(request, public_id)
    finding = found(
        ScrubFinding.objects.visible_to(actor_of(request)).filter(claim=row), public_id=finding_id
    )
    try:
        with transaction.atomic():
            services.finding_restore(finding=finding, actor=actor_of(request))
    except Refused as refusal:
        say(request, refusal)
    else:
        messages.success(request, f"{finding.edit} stops the claim again.")
    return redirect(back_to(row))
