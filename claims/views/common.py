"""What the screens of claims share: who asks, the claim, where to go back to."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse

from claims import forms
from claims.models import (
    Claim,
    ClaimStatus,
)
from intake import present as front
from rcm.accounts.problems import Conflict, Refused
from rcm.web.access import actor_of, found

OPEN = (ClaimStatus.SUBMITTED, ClaimStatus.ACKNOWLEDGED, ClaimStatus.ACCEPTED)


def claims_of(request: HttpRequest) -> QuerySet[Claim]:
    return Claim.objects.visible_to(actor_of(request)).select_related(
        "patient", "payer", "site", "organization", "coverage__plan", "replaces", "primary_claim"
    )


def claim_of(request: HttpRequest, public_id: str) -> Claim:
    return found(claims_of(request), public_id=public_id)


def kind_words(claim: Claim) -> str:
    words = {"7": "replacement", "8": "void"}.get(claim.frequency, "")
    return " ".join(p for p in (words, {2: "secondary", 3: "tertiary"}.get(claim.rank, "")) if p)


def back_to(claim: Claim) -> str:
    return reverse("claims:claim", args=[claim.public_id])


def say(request: HttpRequest, refusal: Refused) -> None:
    messages.error(request, f"{refusal} {refusal.fix}".strip())


def reason_page(
    request: HttpRequest,
    row: Claim,
    *,
    title: str,
    text: str,
    button: str,
    verb: Callable[[forms.ReasonForm], str],
    danger: bool = False,
    form_class: type[forms.ReasonForm] = forms.ReasonForm,
) -> HttpResponseBase:
    form = form_class(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                with transaction.atomic():
                    said = verb(form)
            except Refused as refusal:
                form.add_error(
                    "reason" if refusal.field == "reason" else None,
                    f"{refusal} {refusal.fix}".strip(),
                )
                status = 409 if isinstance(refusal, Conflict) else 422
            else:
                messages.success(request, said)
                return redirect(back_to(row))
    return render(
        request,
        "components/confirm.html",
        {
            "title": title,
            "text": text,
            "form": form,
            "verb": button,
            "back_url": back_to(row),
            "danger": danger,
            "patient": front.banner(row.patient),
        },
        status=status,
    )
