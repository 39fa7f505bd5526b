"""Screens of financial assistance: the scale, an application with its papers, the decision of a
second person, the letter.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from ar import services
from ar.assistance import Band, words_of
from ar.manage.common import OrganizationForm
from ar.models import Assistance, AssistancePaper, AssistanceStatus, SlidingScale
from ar.patient.common import form_page, patient_of, refuse
from ar.services.assistance import PENDING, SPAN, assistance_due
from ar.views import banner
from intake.present import chart_read
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.web import format as fmt
from rcm.web import forms as house
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from remittance import scans

BANDS = (1, 2, 3, 4, 5)


class AskForm(house.HouseForm):
    household_size = forms.IntegerField(label="People in the household", min_value=1, max_value=30)
    income = house.MoneyField(label="Income of a year")
    note = forms.CharField(label="Note", max_length=300, required=False)


class PaperForm(house.HouseForm):
    what = forms.CharField(
        label="What it is", max_length=60, help_text="Such as tax return or pay stub"
    )
    document = forms.FileField(label="File", help_text="PDF, JPEG or PNG, up to 20 MB")


class DecideForm(house.HouseForm):
    decision = forms.ChoiceField(
        label="Decision",
        choices=[("grant", "Grant"), ("refuse", "Refuse")],
        widget=forms.RadioSelect,
    )
    until = house.DateField(label="Holds until", required=False)
    note = forms.CharField(
        label="Note",
        max_length=300,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Needed when you refuse; the letter says it",
    )


class WithdrawForm(house.HouseForm):
    reason = forms.CharField(label="Why it ends", max_length=300)


class ScaleForm(OrganizationForm):
    effective_from = house.DateField(label="Holds from")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for n in BANDS:
            self.fields[f"up_to_{n}"] = forms.IntegerField(
                label=f"Band {n}: up to percent of the guideline", required=False, min_value=1
            )
            self.fields[f"discount_{n}"] = forms.DecimalField(
                label=f"Band {n}: discount in percent",
                required=False,
                max_digits=5,
                decimal_places=2,
            )

    @property
    def bands(self) -> list[Band]:
        data = self.cleaned_data
        return [
            Band(data[f"up_to_{n}"], data[f"discount_{n}"])
            for n in BANDS
            if data.get(f"up_to_{n}") is not None and data.get(f"discount_{n}") is not None
        ]


def _row(request: HttpRequest, public_id: str) -> Assistance:
    rows = Assistance.objects.visible_to(actor_of(request)).select_related(
        "patient", "requested_by", "decided_by"
    )
    return found(rows, public_id=public_id)


def _page(row: Assistance) -> str:
    return reverse("ar:assistance", args=[row.public_id])


@require_http_methods(["GET", "HEAD", "POST"])
@may("writeoff.request", money=True)
def assistance_new(request: HttpRequest, public_id: str) -> HttpResponseBase:
    patient = patient_of(request, public_id)
    form = AskForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            row = services.assistance_ask(
                patient=patient, actor=actor_of(request), **form.cleaned_data
            )
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "The account is on hold until it is decided.")
            return redirect(_page(row))
    return form_page(
        request,
        form,
        title="Financial assistance",
        verb="Begin the application",
        back=reverse("ar:account", args=[patient.public_id]),
        text="Household and income are held against the poverty guideline; papers prove them.",
        patient=banner(patient),
    )


@require_safe
@may("account.view")
def application(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _row(request, public_id)
    chart_read(request, [row.patient], "application for assistance")
    due = assistance_due([row.patient_id], office_day()).get(row.patient_id)
    mine = due if due is not None and due.application.pk == row.pk else None
    return render(
        request,
        "ar/assistance.html",
        {
            "row": row,
            "patient": banner(row.patient),
            "papers": row.papers.defer("content").order_by("pk"),
            "due": mine,
            "actions": _actions(row, actor_of(request), new=mine is not None),
            "own": row.requested_by_id == actor_of(request).user_id,
            "crumbs": [parts.Crumb("Account", reverse("ar:account", args=[row.patient.public_id]))],
        },
    )


def _actions(row: Assistance, actor: Actor, *, new: bool) -> list[parts.Action]:
    def page(name: str) -> str:
        return reverse(f"ar:{name}", args=[row.public_id])

    found_: list[parts.Action] = []
    if actor.can("writeoff.request", row):
        if row.status == AssistanceStatus.OPEN:
            found_.append(
                parts.Action("Send on", page("assistance_submit"), method="post", primary=True)
            )
        if row.status in PENDING:
            found_.append(parts.Action("Attach a paper", page("assistance_paper")))
            found_.append(parts.Action("Withdraw", page("assistance_withdraw")))
        if new:
            found_.append(
                parts.Action(
                    "Take it off new balances",
                    page("assistance_apply"),
                    method="post",
                    primary=True,
                )
            )
    if row.status == AssistanceStatus.SUBMITTED and actor.can("writeoff.approve", row):
        found_.append(parts.Action("Decide", page("assistance_decide"), primary=True))
    if row.letter is not None:
        found_.append(parts.Action("Letter", page("assistance_letter")))
    return found_


@require_http_methods(["GET", "HEAD", "POST"])
@may("writeoff.request", money=True)
def paper_new(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _row(request, public_id)
    form = PaperForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.assistance_paper(
                application=row,
                what=form.cleaned_data["what"],
                content=form.cleaned_data["document"].read(scans.MOST_BYTES + 1),
                actor=actor_of(request),
            )
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "The paper is kept.")
            return redirect(_page(row))
    return form_page(
        request,
        form,
        title="Attach a paper",
        verb="Keep it",
        back=_page(row),
        patient=banner(row.patient),
    )


@require_safe
@may("account.view")
def paper(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(
        AssistancePaper.objects.visible_to(actor_of(request)).select_related(
            "application__patient"
        ),
        public_id=public_id,
    )
    chart_read(request, [row.application.patient], "paper of an application")
    kind = scans.kind_of(bytes(row.content))
    response = HttpResponse(bytes(row.content), content_type=row.media_type)
    name = f"paper-{row.public_id}.{kind[1] if kind else 'bin'}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


@require_POST
@may("writeoff.request", money=True)
def submit(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _row(request, public_id)
    try:
        services.assistance_submit(application=row, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        messages.success(request, "It waits for a second person.")
    return redirect(_page(row))


@require_http_methods(["GET", "HEAD", "POST"])
@may("writeoff.approve", money=True)
def decide(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _row(request, public_id)
    form = DecideForm(request.POST or None, initial={"until": office_day() + SPAN})
    if request.method == "POST" and form.is_valid():
        try:
            services.assistance_decide(
                application=row,
                approve=form.cleaned_data["decision"] == "grant",
                until=form.cleaned_data["until"],
                note=form.cleaned_data["note"],
                actor=actor_of(request),
            )
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "Decided; the letter can be printed.")
            return redirect(_page(row))
    percent = f"{row.percent:.0f}%" if row.percent is not None else "An unknown part"
    return form_page(
        request,
        form,
        title="Decide about assistance",
        verb="Save decision",
        back=_page(row),
        text=(
            f"{row.household_size} people with {fmt.money(row.income)} a year: {percent} of the"
            f" guideline; the scale gives {words_of(row.discount)}."
        ),
        patient=banner(row.patient),
    )


@require_POST
@may("writeoff.request", money=True)
def apply(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _row(request, public_id)
    try:
        dollars = services.assistance_apply(application=row, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, f"{refusal} {refusal.fix}".strip())
    else:
        messages.success(
            request, f"{fmt.money(dollars)} asked for; what is above the limit waits for approval."
        )
    return redirect(_page(row))


@require_http_methods(["GET", "HEAD", "POST"])
@may("writeoff.request", money=True)
def withdraw(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _row(request, public_id)
    form = WithdrawForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.assistance_withdraw(
                application=row, reason=form.cleaned_data["reason"], actor=actor_of(request)
            )
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "The application ended; statements go on.")
            return redirect(_page(row))
    return form_page(
        request,
        form,
        title="Withdraw the application",
        verb="Withdraw",
        back=_page(row),
        patient=banner(row.patient),
    )


@require_safe
@may("account.view")
def letter(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _row(request, public_id)
    if row.letter is None:
        raise Http404
    chart_read(request, [row.patient], "letter about assistance")
    response = HttpResponse(bytes(row.letter), content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="assistance-{row.public_id}.pdf"'
    return response


@require_safe
@may("account.view")
def scale(request: HttpRequest) -> HttpResponseBase:
    """The scale of discounts, day by day."""
    actor = actor_of(request)
    rows = SlidingScale.objects.visible_to(actor).select_related("organization")
    context = {
        "rows": rows.order_by("organization__name", "-effective_from", "up_to_percent")[:200],
        "may_edit": actor.can_somewhere("rules.edit"),
    }
    return render(request, "ar/scale.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@may("rules.edit", money=True)
def scale_new(request: HttpRequest) -> HttpResponseBase:
    """The next scale, by who may edit rules."""
    actor = actor_of(request)
    form = ScaleForm(request.POST or None, actor=actor, initial={"effective_from": office_day()})
    if request.method == "POST" and form.is_valid():
        try:
            services.scale_set(
                organization_id=form.organization_id,
                effective_from=form.cleaned_data["effective_from"],
                bands=form.bands,
                actor=actor,
            )
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "The scale is kept.")
            return redirect("ar:scale")
    return form_page(
        request,
        form,
        title="The next scale",
        verb="Keep the scale",
        back=reverse("ar:scale"),
        text="Who earns more never gets a higher discount; beyond the last band there is none.",
    )
