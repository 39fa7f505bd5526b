"""One cause, one page: the field at fault of every claim that it stops, and the change of all of
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from claims import services
from claims.models import Claim
from claims.services.fixing import FIELDS, Field
from claims.services.steps import EDITS, REJECTIONS
from claims.views.common import claims_of
from intake import present as front
from rcm.accounts.actor import Actor
from rcm.web import format as fmt
from rcm.web import forms as house
from rcm.web import parts
from rcm.web.access import actor_of, may
from rcm.worklist import registry
from rcm.worklist.causes import of_group
from rcm.worklist.filters import opened_to
from rcm.worklist.models import ItemStatus

MOST_CLAIMS = 200
QUEUES = (EDITS, REJECTIONS)


class FixForm(house.HouseForm):
    """A value for all claims, and one for each; what is typed for one claim counts before it."""

    same = forms.CharField(label="The same for all", max_length=120, required=False)
    reason = forms.CharField(
        label="Why",
        max_length=200,
        error_messages={"required": "Say why it is changed"},
        widget=forms.TextInput(attrs={"placeholder": "Seen on the card"}),
    )

    def __init__(self, data: Any, *, claims: Sequence[Claim], field: Field) -> None:
        super().__init__(data)
        self.claims, self.field = claims, field
        for claim in claims:
            self.fields[_name(claim)] = forms.CharField(
                label=f"{field.label} of claim {claim.number}",
                max_length=120,
                required=False,
                initial=field.read(claim),
                widget=forms.TextInput(attrs={"class": "code"}),
            )
            self.fields[_seen(claim)] = forms.CharField(
                required=False, initial=field.read(claim), widget=forms.HiddenInput
            )

    def clean(self) -> dict[str, Any]:
        """A value that somebody else has changed since the page was opened is not changed back."""
        data: dict[str, Any] = super().clean() or {}
        for claim in self.claims:
            now = self.field.read(claim)
            if _seen(claim) in self.data and data.get(_seen(claim), "") != now:
                self.add_error(
                    _name(claim), f"Somebody else has made it “{now or 'nothing'}”. Look again."
                )
        return data

    def values(self) -> dict[int, str]:
        """The new value of each claim that changes."""
        same = self.cleaned_data["same"].strip()
        found = {}
        for claim in self.claims:
            now, typed = self.field.read(claim), self.cleaned_data[_name(claim)].strip()
            value = same if same and typed == now else typed
            if value != now:
                found[claim.pk] = value
        return found


def _name(claim: Claim) -> str:
    return f"claim_{claim.pk}"


def _seen(claim: Claim) -> str:
    """The hidden field with the value that stood there when the page was opened."""
    return f"seen_{claim.pk}"


@dataclass(frozen=True, slots=True)
class Row:
    """A claim of the group as the page shows it."""

    claim: Claim
    now: str
    input: Any = None
    seen: Any = None
    after: str | None = None


@require_http_methods(["GET", "POST"])
@may("claim.edit")
def fix(request: HttpRequest, code: str) -> HttpResponseBase:
    """Put right the field at fault on all open items of one cause."""
    queue = registry.get(code)
    if queue is None or code not in QUEUES:
        raise Http404
    actor = actor_of(request)
    claims = _claims(request, actor, code)
    if not claims:
        messages.info(request, "No open claim has this cause any more.")
        return redirect("worklist:causes", code=code)
    front.chart_read(request, [claim.patient for claim in claims], "claims of one cause")
    field = FIELDS.get(request.GET.get("field", ""))
    context = {
        "queue": queue,
        "field": field,
        "title": _title(claims, field, request.GET.get("field", "")),
        "crumbs": [
            parts.Crumb(queue.label, reverse("worklist:queue", args=[code])),
            parts.Crumb("By cause", reverse("worklist:causes", args=[code])),
        ],
    }
    if field is None:
        return _elsewhere(request, claims, actor, context)
    form = FixForm(request.POST or None, claims=claims, field=field)
    if not form.is_valid():
        rows = [
            Row(claim, field.read(claim), form[_name(claim)], form[_seen(claim)])
            for claim in claims
        ]
        status = 422 if form.is_bound else 200
        return render(
            request, "claims/fix.html", context | {"form": form, "rows": rows}, status=status
        )
    values = form.values()
    if not values:
        form.add_error("same", "Nothing would change: type the right value.")
        rows = [
            Row(claim, field.read(claim), form[_name(claim)], form[_seen(claim)])
            for claim in claims
        ]
        return render(
            request, "claims/fix.html", context | {"form": form, "rows": rows}, status=422
        )
    if "confirmed" not in request.POST:
        rows = [Row(c, field.read(c), after=values[c.pk]) for c in claims if c.pk in values]
        kept = [(name, request.POST[name]) for name in form.fields if name in request.POST]
        return render(request, "claims/fix_preview.html", context | {"rows": rows, "kept": kept})
    fixed = services.field_fix(
        claims=claims,
        field=field,
        values=values,
        reason=form.cleaned_data["reason"],
        actor=actor,
    )
    if fixed.done:
        messages.success(
            request, f"Changed and judged again: {fmt.plural(len(fixed.done), 'claim')}."
        )
    for number, sentence in fixed.refused:
        messages.error(request, f"Claim {number}: {sentence}")
    return redirect("worklist:causes", code=code)


def _claims(request: HttpRequest, actor: Actor, code: str) -> list[Claim]:
    """The claims of the group that the actor may change, by number."""
    able = actor.where("claim.edit")
    items = opened_to(able).filter(queue=code, status=ItemStatus.OPEN, claim_id__isnull=False)
    asked = {name: request.GET.get(name, "") for name in ("cause", "reason", "field", "payer")}
    ids = of_group(items, asked).values_list("claim_id", flat=True)[:MOST_CLAIMS]
    return list(claims_of(request).filter(pk__in=list(ids)).order_by("number"))


def _title(claims: Sequence[Claim], field: Field | None, name: str) -> str:
    many = "one claim" if len(claims) == 1 else f"{len(claims)} claims"
    what = field.label if field else name.replace("_", " ").capitalize() or "The cause"
    return f"{what} of {many}"


def _elsewhere(
    request: HttpRequest, claims: Sequence[Claim], actor: Actor, context: dict[str, Any]
) -> HttpResponseBase:
    """The fault stands in a record: each is one click away, and all are judged again together."""
    if request.method == "POST":
        if not all(actor.can("claim.edit", claim) for claim in claims):
            raise PermissionDenied
        services.claims_scrub(claim_ids=[claim.pk for claim in claims], actor=actor)
        messages.success(request, f"Judged again: {fmt.plural(len(claims), 'claim')}.")
        return redirect("worklist:causes", code=context["queue"].code)
    name = request.GET.get("field", "")
    rows = [(claim, _record(name, claim)) for claim in claims]
    return render(request, "claims/fix_record.html", context | {"rows": rows, "field_name": name})


def _record(field: str, claim: Claim) -> tuple[str, str]:
    """Words and address of the record that holds the field."""
    if field == "patient":
        return "Patient", reverse("intake:patient_edit", args=[claim.patient.public_id])
    if field == "payer":
        return "Payer", reverse("reference:payer", args=[claim.payer.public_id])
    if field in ("coverage", "subscriber", "relationship", "coordination"):
        return "Coverage", reverse("intake:coverage", args=[claim.coverage.public_id])
    return "Claim", reverse("claims:claim", args=[claim.public_id])
