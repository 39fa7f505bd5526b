"""Screens of the accuracy audits: samples, one sample with its interval, the blind reading of a
case.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from ar.accuracy import interval, services
from ar.manage.common import OrganizationForm, form_page
from ar.models import AuditCase, AuditSample
from ar.queues import link
from charges.models import Charge
from rcm.accounts.models import Site, User
from rcm.accounts.problems import Refused
from rcm.audit.services import record_access
from rcm.reference.facts import procedures
from rcm.web import forms as house
from rcm.web import parts
from rcm.web.access import actor_of, found, may
from rcm.web.lists import csv_response

HUNDRED = Decimal(100)
SAMPLES = 100


class SampleForm(OrganizationForm):
    title = forms.CharField(label="Name", max_length=120)
    first = house.DateField(label="Released from", past=True)
    last = house.DateField(label="To", past=True)
    goal = forms.DecimalField(
        label="Goal", initial=Decimal(99), max_digits=5, decimal_places=2, help_text="In percent"
    )
    half_width = forms.DecimalField(
        label="Interval to each side",
        initial=Decimal(2),
        max_digits=5,
        decimal_places=2,
        help_text="In percent: the narrower, the more cases",
    )


class ReadingForm(house.HouseForm):
    errors_found = forms.MultipleChoiceField(
        label="What is wrong",
        required=False,
        choices=[(i.code, i.label) for i in services.CHECKLIST],
        widget=forms.CheckboxSelectMultiple,
        help_text="Nothing chosen means that everything is right",
    )
    note = forms.CharField(
        label="Note",
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Needed when something is wrong: what it says, and what is right",
    )


@require_safe
@may("accuracy.view")
def samples(request: HttpRequest) -> HttpResponseBase:
    """Every sample, newest first, with what it proves."""
    actor = actor_of(request)
    rows = list(AuditSample.objects.visible_to(actor).order_by("-pk")[:SAMPLES])
    shown = [(s, services.results(s)) for s in rows]
    return render(
        request,
        "ar/manage/accuracy.html",
        {
            "rows": [
                (s, r, interval.sentence(r.whole, s.goal), reverse("ar:sample", args=[s.public_id]))
                for s, r in shown
            ],
            "may_plan": actor.can_somewhere("accuracy.plan"),
            "sizes": [
                (width, interval.planned_size(Decimal(width) / HUNDRED)) for width in (3, 2, 1)
            ],
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("accuracy.plan")
def sample_new(request: HttpRequest) -> HttpResponseBase:
    """Plan and draw."""
    actor = actor_of(request)
    form = SampleForm(request.POST or None, actor=actor)
    back = reverse("ar:accuracy")
    if form.is_valid():
        data = form.cleaned_data
        try:
            sample = services.sample_draw(
                organization_id=form.organization_id,
                title=data["title"],
                first=data["first"],
                last=data["last"],
                goal=data["goal"] / HUNDRED,
                half_width=data["half_width"] / HUNDRED,
                actor=actor,
            )
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, f"{sample.size:,} of {sample.population:,} exams were drawn.")
            return redirect("ar:sample", public_id=sample.public_id)
    text = (
        "The size follows from the interval you want. The seed is made here and shown with the"
        " sample: anybody can repeat the draw."
    )
    return form_page(
        request, form, title="New accuracy sample", verb="Draw the sample", back=back, text=text
    )


@require_safe
@may("accuracy.view")
def sample(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """One sample: its seed, what it proves, by person, step and site; what is still to read."""
    actor = actor_of(request)
    row = found(AuditSample.objects.visible_to(actor), public_id=public_id)
    names = None
    if actor.can("accuracy.names", row):
        ids = AuditCase.objects.filter(sample=row, coder__isnull=False).values_list("coder_id")
        names = {u.pk: u.display_name for u in User.objects.filter(pk__in=ids)}
    result = services.results(row, people=names)
    if request.GET.get("export") == "csv":
        return _cases_csv(row)
    mine = [p for p in result.people if p.key == actor.user_id]
    next_case = services.open_to(actor, row).first() if actor.can("accuracy.read", row) else None
    sites = dict(Site.objects.filter(organization_id=row.organization_id).values_list("pk", "name"))
    return render(
        request,
        "ar/manage/sample.html",
        {
            "sample": row,
            "sentence": interval.sentence(result.whole, row.goal),
            "result": result,
            "mine": mine[0] if mine else None,
            "strata": [
                (_stratum_coder(s[0], names), s[1], sites.get(s[2], ""), *s[3:]) for s in row.strata
            ],
            "training": services.training(
                row, coder_id=None if actor.can("accuracy.names", row) else actor.user_id or 0
            ),
            "read_url": (reverse("ar:audit_case", args=[next_case.public_id]) if next_case else ""),
            "export_url": f"{reverse('ar:sample', args=[row.public_id])}?export=csv",
            "crumbs": [parts.Crumb("Accuracy", reverse("ar:accuracy"))],
        },
    )


def _stratum_coder(coder_id: int, names: dict[int, str] | None) -> str:
    if not coder_id:
        return "The machine"
    return names.get(coder_id, "A person") if names is not None else "A person"


def _cases_csv(row: AuditSample) -> HttpResponseBase:
    """The drawn cases without names: with the seed anybody can check the draw."""
    cases = AuditCase.objects.filter(sample=row).select_related("exam").order_by("position")
    return csv_response(
        "accuracy-sample",
        ("Position", "Exam", "Seed", "Decided", "Wrong"),
        [
            (
                c.position,
                str(c.exam.public_id),
                row.seed,
                c.decided_at.isoformat() if c.decided_at else "",
                ", ".join(services.ITEMS[e].label for e in c.errors or ()),
            )
            for c in cases
        ],
    )


@require_http_methods(["GET", "HEAD", "POST"])
@may("accuracy.read")
def case(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Read one case. What others found is not shown until it is decided."""
    actor = actor_of(request)
    row = found(
        AuditCase.objects.visible_to(actor).select_related(
            "sample", "exam__site", "exam__patient", "exam__authorization", "exam__coverage__payer"
        ),
        public_id=public_id,
    )
    back = reverse("ar:sample", args=[row.sample.public_id])
    form = ReadingForm(request.POST or None)
    if form.is_valid():
        try:
            services.case_read(
                case=row,
                errors=form.cleaned_data["errors_found"],
                note=form.cleaned_data["note"],
                actor=actor,
            )
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            messages.success(request, "Your reading is kept.")
            return redirect(back)
    if request.method != "POST":
        record_access(
            organization_id=row.organization_id,
            patient_ids=[row.exam.patient_id],
            actor=actor,
            purpose="accuracy audit",
            request_id=str(getattr(request, "request_id", "")),
        )
    context: dict[str, Any] = {
        "title": f"Case {row.position} of {row.sample.size}",
        "form": form,
        "verb": "Keep my reading",
        "back_url": back,
        "text": f"{row.sample.title}. Compare the claim with order, report and card.",
        "case": row,
        "exam": row.exam,
        "exam_url": link("charges:exam", row.exam.public_id),
        "charges": _charges(row),
        "readings": (
            list(row.readings.select_related("reader").order_by("number"))
            if row.decided_at is not None
            else []
        ),
        "items": services.ITEMS,
        "crumbs": [
            parts.Crumb("Accuracy", reverse("ar:accuracy")),
            parts.Crumb(row.sample.title, back),
        ],
    }
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "ar/manage/audit_case.html", context, status=status)


def _charges(row: AuditCase) -> list[tuple[Charge, str]]:
    charges = list(Charge.objects.filter(exam=row.exam).exclude(status="void").order_by("pk"))
    words = procedures({c.code for c in charges}, row.exam.service_date)
    return [(c, words[c.code].name if c.code in words else "") for c in charges]
