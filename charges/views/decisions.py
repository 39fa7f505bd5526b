"""What a person decides about an exam: code, diagnoses, record, order change, no-bill."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from charges import forms, present, services
from charges.models import (
    Exam,
)
from charges.views.common import exam_of
from charges.views.review import review_panel
from intake import present as front
from rcm.accounts.problems import Conflict, Refused
from rcm.web import parts
from rcm.web.access import actor_of, may
from rcm.web.views import safe_path


def _posted(
    request: HttpRequest, public_id: str, verb: Callable[[Exam, int | None], Any], done: str
) -> HttpResponseBase:
    """A button that is one service call: back to where it was pressed, with what came of it."""
    row = exam_of(request, public_id)
    front.chart_read(request, [row.patient], "exam decision")
    version = request.POST.get("version", "")
    back = safe_path(request.POST.get("back", ""), reverse("charges:exam", args=[row.public_id]))
    try:
        verb(row, int(version) if version.isdecimal() else None)
    except Refused as refusal:
        if request.headers.get("HX-Request"):
            return HttpResponse(f"{refusal} {refusal.fix}".strip(), status=refusal.status)
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        if request.headers.get("HX-Request"):
            response = HttpResponse(review_panel(request, str(row.pk)) or "")
            response["HX-Trigger"] = json.dumps({"toast": {"text": done}})
            return response
        messages.success(request, done)
    return redirect(back)


@require_POST
@may("charge.review")
def release(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _posted(
        request,
        public_id,
        lambda row, _: services.charges_release(exam_ids=[row.pk], actor=actor_of(request)),
        "Released.",
    )


@require_POST
@may("charge.review")
def evaluate(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _posted(
        request,
        public_id,
        lambda row, _: services.exams_evaluate(exam_ids=[row.pk], actor=actor_of(request)),
        "Evaluated.",
    )


@require_POST
@may("charge.review")
def accept(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _posted(
        request,
        public_id,
        lambda row, version: services.exam_accept(
            exam=row, actor=actor_of(request), version=version
        ),
        "Suggestion accepted.",
    )


def _act(
    request: HttpRequest,
    public_id: str,
    title: str,
    make: Callable[[Exam], Any],
    verb: Callable[[Exam, Any], Any],
    *,
    text: str = "",
    button: str = "Save",
) -> HttpResponseBase:
    """A form page that ends in one service call."""
    row = exam_of(request, public_id)
    front.chart_read(request, [row.patient], "exam decision")
    back = reverse("charges:exam", args=[row.public_id])
    form = make(row)
    status = 422 if request.method == "POST" else 200
    if request.method == "POST" and form.is_valid():
        try:
            verb(row, form)
        except Refused as refusal:
            form.add_error(
                refusal.field if refusal.field in form.fields else None,
                f"{refusal} {refusal.fix}".strip(),
            )
            status = 409 if isinstance(refusal, Conflict) else 422
        else:
            messages.success(request, "Saved.")
            return redirect(back)
    context = {
        "title": title,
        "text": text,
        "form": form,
        "verb": button,
        "back_url": back,
        "exam": row,
        "patient": front.banner(row.patient),
        "evidence": present.evidence(row),
        "blockers": present.blockers(row),
        "crumbs": [parts.Crumb(f"Exam {row.accession}", back)],
    }
    return render(request, "charges/act.html", context, status=status)


def _start(request: HttpRequest, row: Exam, **more: Any) -> dict[str, Any]:
    return {
        "data": request.POST if request.method == "POST" else None,
        "initial": {"version": row.version, **more},
    }


@require_http_methods(["GET", "POST"])
@may("charge.review")
def code(request: HttpRequest, public_id: str) -> HttpResponseBase:
    def make(row: Exam) -> forms.CodeForm:
        chosen = row.decision or row.suggestion
        return forms.CodeForm(
            **_start(
                request,
                row,
                code=chosen.get("code", row.code),
                modifiers=" ".join(chosen.get("modifiers", ())),
            )
        )

    return _act(
        request,
        public_id,
        "Code of the exam",
        make,
        lambda row, form: services.exam_code(
            exam=row,
            code=form.cleaned_data["code"],
            modifiers_=form.own_modifiers(),
            evidence=form.cleaned_data["evidence"],
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            version=form.cleaned_data["version"],
        ),
        text=(
            "Bill what was performed and documented. Another code than report and modality say needs"
            " words of the report and a second look by another coder; the authorization is matched"
            " with what was performed all the same."
        ),
    )


@require_http_methods(["GET", "POST"])
@may("charge.review")
def second_look(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Another coder confirms a code that differs from what was performed."""
    row = exam_of(request, public_id)
    decision = row.decision
    return _act(
        request,
        public_id,
        "Second look",
        lambda row: forms.ReasonForm(**_start(request, row)),
        lambda row, form: services.exam_code_confirm(
            exam=row,
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            version=form.cleaned_data["version"],
        ),
        text=(
            f"{decision.get('by', 'A coder')} wants to bill {decision.get('code', '')} although"
            f" report and modality say {decision.get('performed', '')}, because the report says:"
            f" “{decision.get('evidence', '')}”"
        ),
        button="Confirm the code",
    )


@require_http_methods(["GET", "POST"])
@may("charge.review")
def diagnoses(request: HttpRequest, public_id: str) -> HttpResponseBase:
    def make(row: Exam) -> forms.DiagnosesForm:
        codes = row.diagnoses or (row.ordered_exam.order.diagnoses if row.ordered_exam else [])
        return forms.DiagnosesForm(**_start(request, row, codes=" ".join(codes)))

    return _act(
        request,
        public_id,
        "Diagnoses",
        make,
        lambda row, form: services.diagnoses_set(
            exam=row,
            codes=form.listed(),
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            version=form.cleaned_data["version"],
        ),
        text=(
            "Code the confirmed finding of the signed report; when normal or uncertain, the sign or"
            " symptom of the order."
        ),
    )


@require_http_methods(["GET", "POST"])
@may("charge.review")
def correct(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _act(
        request,
        public_id,
        "Technologist's record",
        lambda row: forms.CorrectForm(**_start(request, row)),
        lambda row, form: services.exam_correct(
            exam=row, actor=actor_of(request), version=form.cleaned_data["version"], **form.facts()
        ),
        text=(
            "What the technologist did. What is left empty stays as it was told; nothing that was"
            " said is lost."
        ),
    )


@require_http_methods(["GET", "POST"])
@may("exam.view")
def order_change(request: HttpRequest, public_id: str) -> HttpResponseBase:
    actor = actor_of(request)
    exam = exam_of(request, public_id)
    if not actor.can("charge.review", exam):
        actor.require("order.edit", exam)

    def verb(row: Exam, form: forms.OrderChangeForm) -> Any:
        data = form.cleaned_data
        return services.order_change_document(
            exam=row,
            evidence=dict.fromkeys(data["evidence"], True),
            new_order=data["new_order"],
            reason=data["reason"],
            actor=actor,
            version=data["version"],
        )

    return _act(
        request,
        public_id,
        "Performed differently than ordered",
        lambda row: forms.OrderChangeForm(**_start(request, row)),
        verb,
        text=(
            "A testing facility may not change a test without a new order, except in what the order"
            " left open (42 CFR 410.32)."
        ),
    )


@require_http_methods(["GET", "POST"])
@may("exam.view")
def waive(request: HttpRequest, public_id: str, hold: str) -> HttpResponseBase:
    row = exam_of(request, public_id)
    one = next((h for h in row.holds if h["code"] == hold), None)
    if one is None:
        raise Http404
    actor_of(request).require(one["waive"] or "charge.review", row)
    return _act(
        request,
        public_id,
        "Waive with a reason",
        lambda exam: forms.ReasonForm(**_start(request, exam)),
        lambda exam, form: services.finding_waive(
            exam=exam,
            code=hold,
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            version=form.cleaned_data["version"],
        ),
        text=(
            f"{one['sentence']} It will not stop the charge for this report version; a later"
            " version asks again."
        ),
        button="Waive",
    )


@require_http_methods(["GET", "POST"])
@may("charge.review")
def no_bill(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _act(
        request,
        public_id,
        "No bill",
        lambda row: forms.ReasonForm(**_start(request, row)),
        lambda row, form: services.exam_no_bill(
            exam=row,
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            version=form.cleaned_data["version"],
        ),
        text=(
            "The exam ends without a charge. Released charges become void, and their claims are"
            " voided."
        ),
        button="Mark no-bill",
    )


@require_http_methods(["GET", "POST"])
@may("charge.review")
def bill_again(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _act(
        request,
        public_id,
        "Bill it after all",
        lambda row: forms.ReasonForm(**_start(request, row)),
        lambda row, form: services.exam_bill_again(
            exam=row,
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            version=form.cleaned_data["version"],
        ),
        button="Take the no-bill back",
    )
