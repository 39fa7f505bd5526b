"""Screens of statements on their way: the patient's choice, print batches, what came back, and the
page that a patient opens by the link.
"""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from ar import services
from ar.models import Channel, MailBatch, SentStatus, StatementDelivery
from ar.patient.common import form_page, patient_of, refuse
from ar.services.delivery import (
    LinkClosed,
    channels_of,
    link_delivery,
    link_open,
    mail_batch_addresses,
    mail_batch_pdf,
)
from ar.views import banner
from intake.models import Patient
from intake.present import chart_read
from rcm.accounts.middleware import own_transactions
from rcm.accounts.problems import Refused
from rcm.web import forms as house
from rcm.web import parts
from rcm.web.access import actor_of, found, may


class ChannelForm(house.HouseForm):
    channel = forms.ChoiceField(label="Statements go", choices=Channel.choices)


class BirthForm(house.HouseForm):
    born_on = house.DateField(label="Date of birth", past=True)


@require_http_methods(["GET", "HEAD", "POST"])
@may("statement.send", money=True)
def channel(request: HttpRequest, public_id: str) -> HttpResponseBase:
    patient = patient_of(request, public_id)
    current = channels_of([patient])[patient.pk]
    form = ChannelForm(request.POST or None, initial={"channel": current})
    back = reverse("ar:account", args=[patient.public_id])
    if request.method == "POST" and form.is_valid():
        try:
            services.channel_choose(
                patient=patient, channel=form.cleaned_data["channel"], actor=actor_of(request)
            )
        except Refused as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, "The choice holds from the next statement on.")
            return redirect(back)
    return form_page(
        request,
        form,
        title="How statements reach the patient",
        verb="Keep",
        back=back,
        text="An e-mail holds a link and nothing about the patient.",
        patient=banner(patient),
    )


@require_safe
@may("account.view")
def batches(request: HttpRequest) -> HttpResponseBase:
    actor = actor_of(request)
    rows = StatementDelivery.objects.visible_to(actor)
    waiting = rows.filter(status=SentStatus.WAITING).order_by().values_list("channel")
    counts = dict(waiting.annotate(n=Count("pk")))
    return render(
        request,
        "ar/mail.html",
        {
            "batches": MailBatch.objects.visible_to(actor)
            .annotate(letters=Count("deliveries"))
            .order_by("-pk")[:100],
            "letters": counts.get(Channel.MAIL, 0),
            "mails": counts.get(Channel.EMAIL, 0),
            "may_send": actor.can_somewhere("statement.send"),
            "crumbs": [parts.Crumb("Statements", reverse("ar:statements"))],
        },
    )


@require_POST
@may("statement.send", money=True)
def batch_new(request: HttpRequest) -> HttpResponseBase:
    actor = actor_of(request)
    made = [
        services.mail_batch_make(organization_id=pk, actor=actor)
        for pk in sorted(actor.organizations)
    ]
    numbers = [row.number for row in made if row is not None]
    if numbers:
        messages.success(request, f"Batch {', '.join(numbers)} is ready to print.")
    else:
        messages.info(request, "No letter waits.")
    return redirect("ar:mail")


def _batch(request: HttpRequest, public_id: str) -> MailBatch:
    row = found(MailBatch.objects.visible_to(actor_of(request)), public_id=public_id)
    patients = Patient.objects.filter(statements__deliveries__batch=row).distinct()
    chart_read(request, list(patients), "letters of a batch")
    return row


@require_safe
@may("statement.send")
def batch_pdf(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _batch(request, public_id)
    response = HttpResponse(mail_batch_pdf(row), content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="letters-{row.number}.pdf"'
    return response


@require_safe
@may("statement.send")
def batch_csv(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = _batch(request, public_id)
    response = HttpResponse(mail_batch_addresses(row), content_type="text/csv")
    response["Content-Disposition"] = f'attachment; filename="addresses-{row.number}.csv"'
    return response


@require_POST
@may("statement.send", money=True)
def returned(request: HttpRequest, public_id: str) -> HttpResponseBase:
    row = found(
        StatementDelivery.objects.visible_to(actor_of(request)).select_related(
            "statement__patient"
        ),
        public_id=public_id,
    )
    try:
        services.delivery_returned(delivery=row, actor=actor_of(request))
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, "Noted. A letter that came back puts the account on hold.")
    return redirect("ar:account", public_id=row.statement.patient.public_id)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@own_transactions
def bill(request: HttpRequest, token: str) -> HttpResponseBase:
    """The page that a patient opens by the link: it says nothing before the birth date fits."""
    form = BirthForm(request.POST or None)
    try:
        link_delivery(token)
        if request.method == "POST" and form.is_valid():
            statement = link_open(token, born_on=form.cleaned_data["born_on"])
            if statement is not None and statement.pdf is not None:
                response = HttpResponse(bytes(statement.pdf), content_type="application/pdf")
                response["Content-Disposition"] = 'inline; filename="statement.pdf"'
                return response
            form.add_error("born_on", "That is not the date of birth on this bill.")
    except LinkClosed:
        return render(request, "ar/bill.html", {"closed": True}, status=404)
    return render(request, "ar/bill.html", {"form": form}, status=422 if form.errors else 200)
