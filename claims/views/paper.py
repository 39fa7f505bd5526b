"""A claim on paper: the copy, the red form, and the printers it goes to."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from claims import cms1500, forms, services
from claims.cms1500 import Shift
from claims.facts import load_sheets
from claims.models import Claim, PaperPrinter
from claims.views.common import back_to, claim_of
from intake import present as front
from rcm.accounts.problems import Conflict, Refused
from rcm.web import parts
from rcm.web.access import actor_of, found, may

HOSPITAL = "A hospital's claim goes on the UB-04, which is not printed here."


def _pdf(content: bytes, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{name}.pdf"'
    response["Cache-Control"] = "no-store"
    return response


def _shift(printer: PaperPrinter) -> Shift:
    return Shift(printer.right, printer.down)


def printers_of(request: HttpRequest) -> list[PaperPrinter]:
    rows = PaperPrinter.objects.visible_to(actor_of(request)).select_related("organization")
    return list(rows.order_by("organization_id", "-active", "name"))


def printer_of(request: HttpRequest, public_id: str) -> PaperPrinter:
    rows = PaperPrinter.objects.visible_to(actor_of(request)).select_related("organization")
    return found(rows, public_id=public_id)


@require_GET
@may("claim.view")
def paper(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Where to print the claim, and what paper has no room for."""
    row = claim_of(request, public_id)
    front.chart_read(request, [row.patient], "claim print")
    sheets = load_sheets([row.pk]) if row.form == "837P" else []
    return render(
        request,
        "claims/paper.html",
        {
            "claim": row,
            "patient": front.banner(row.patient),
            "stops": "" if sheets else HOSPITAL,
            "print_url": reverse("claims:print", args=[row.public_id]),
            "left_out": [said for sheet in sheets for said in cms1500.left_out(sheet)],
            "printers": [
                p
                for p in printers_of(request)
                if p.active and p.organization_id == row.organization_id
            ],
            "crumbs": [parts.Crumb(f"Claim {row.number}", back_to(row))],
        },
    )


@require_GET
@may("claim.view")
def print_claim(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """The CMS-1500 as PDF: a copy with drawn boxes, or with `on=form` the data for the red form,
    moved as the `printer` wants it.
    """
    row = claim_of(request, public_id)
    if row.form != "837P":
        messages.error(request, HOSPITAL)
        return redirect(back_to(row))
    front.chart_read(request, [row.patient], "claim print")
    (sheet,) = load_sheets([row.pk])
    red = request.GET.get("on") == "form"
    shift = None
    if red and request.GET.get("printer"):
        shift = _shift(printer_of(request, request.GET["printer"]))
    return _pdf(cms1500.render(sheet, red=red, shift=shift), f"claim-{row.number}")


@require_GET
@may("claim.view")
def printers(request: HttpRequest) -> HttpResponseBase:
    """The printers for the red form."""
    return render(
        request,
        "claims/printers.html",
        {
            "printers": printers_of(request),
            "may_edit": actor_of(request).can_somewhere("claim.edit"),
            "crumbs": [parts.Crumb("Claims", reverse("claims:claims"))],
        },
    )


@require_GET
@may("claim.view")
def printer_trial(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """A sheet of marks to lay over the red form."""
    row = printer_of(request, public_id)
    return _pdf(cms1500.trial(_shift(row)), "trial")


@require_http_methods(["GET", "POST"])
@may("claim.edit")
def printer_new(request: HttpRequest) -> HttpResponseBase:
    return _printer_form(request, None)


@require_http_methods(["GET", "POST"])
@may("claim.edit")
def printer(request: HttpRequest, public_id: str) -> HttpResponseBase:
    return _printer_form(request, printer_of(request, public_id))


def _printer_form(request: HttpRequest, row: PaperPrinter | None) -> HttpResponseBase:
    actor = actor_of(request)
    names = ("name", "right", "down", "active", "version")
    form = forms.PrinterForm(
        actor,
        request.POST if request.method == "POST" else None,
        initial={name: getattr(row, name) for name in names} if row else {"version": 0},
        organization=row.organization if row else None,
    )
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                services.printer_save(printer=row, actor=actor, **form.cleaned_data)
            except Refused as refusal:
                known = refusal.field if refusal.field in form.fields else None
                form.add_error(known, str(refusal))
                status = 409 if isinstance(refusal, Conflict) else 422
            else:
                messages.success(request, "Saved. Print a trial sheet and lay it over the form.")
                return redirect("claims:printers")
    return render(
        request,
        "components/form_page.html",
        {
            "title": row.name if row else "New printer",
            "text": (
                "Print a trial sheet, hold it against a red form, and move the print until every"
                " mark stands in its box."
            ),
            "form": form,
            "back_url": reverse("claims:printers"),
            "crumbs": [parts.Crumb("Printers", reverse("claims:printers"))],
        },
        status=status,
    )


def no_paper(claim: Claim) -> str:
    """Why a claim has no paper form here; empty when it has."""
    return "" if claim.form == "837P" else HOSPITAL
