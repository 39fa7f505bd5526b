"""A form that was sent twice does its work once.

Every form of the house carries a one-time key (`{% form_key %}`). The first answer that did its work
(a redirect) is kept with the key in the transaction of the work itself; whoever sends the same form
again is led to the same place. A second request that comes while the first is at work waits for it.
Views that move money or send something outside (`@may(..., money=True)`) treat the same values from
the same person as one form for ten minutes, also without a key.

A view that commits in steps (`own_transactions`) has no transaction that could hold the key: there
it is kept after the work, and two clicks at one moment rest on the work's own guard (a file is
stored once by its content).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase, HttpResponseRedirect
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.models import FormKey
from rcm.accounts.scope import scope

FIELD = "form_key"
TOKEN = "csrfmiddlewaretoken"  # noqa: S105  # the name of a field
WITHOUT_KEY = timedelta(minutes=10)
REPEATED = "This form was sent already: this is what it did the first time. Nothing was done twice."
OTHER_VALUES = (
    "This form was sent already with other values, and that was done. Open it anew to send another."
)


def values_of(request: HttpRequest) -> str:
    """What makes two posts the same: address, values and files."""
    digest = hashlib.sha256(f"{request.path}\n".encode())
    for name in sorted(request.POST):
        if name not in (FIELD, TOKEN):
            digest.update(f"{name}={request.POST.getlist(name)!r}\n".encode())
    for name in sorted(request.FILES):
        for file in request.FILES.getlist(name):
            digest.update(f"{name}={file.name}\n".encode())
            for chunk in file.chunks():
                digest.update(chunk)
            file.seek(0)
    return digest.hexdigest()


def answer(
    request: HttpRequest, actor: Actor, view: Callable[[], HttpResponseBase], *, money: bool
) -> HttpResponseBase:
    """The view's answer, or the first one where this form did its work before."""
    key = request.POST.get(FIELD, "")[:64]
    if actor.user_id is None or not actor.organizations or not (key or money):
        return view()
    values = values_of(request)
    name, forget = key or f"values:{values[:50]}", not key
    match = request.resolver_match
    if match is not None and getattr(match.func, "own_transactions", False):
        return _in_steps(request, actor, view, key=name, values=values, forget=forget)
    row, first = _take(actor, name, values, forget=forget)
    if not first:
        return _again(request, row, values)
    response = view()
    if location := _led_to(response):
        FormKey.objects.filter(pk=row.pk).update(location=location)
    else:
        FormKey.objects.filter(pk=row.pk).delete()
    return response


def _again(request: HttpRequest, row: FormKey, values: str) -> HttpResponseBase:
    messages.info(request, REPEATED if row.values == values else OTHER_VALUES)
    return HttpResponseRedirect(row.location)


def _led_to(response: HttpResponseBase) -> str:
    """Where an answer that did its work leads; empty for a page."""
    return response.headers.get("Location", "") if 300 <= response.status_code < 400 else ""


def _in_steps(
    request: HttpRequest,
    actor: Actor,
    view: Callable[[], HttpResponseBase],
    *,
    key: str,
    values: str,
    forget: bool,
) -> HttpResponseBase:
    wanted = {"organization_id": min(actor.organizations), "user_id": actor.user_id, "key": key}
    with scope(actor):
        rows = FormKey.objects.filter(**wanted)
        if forget:
            rows.filter(created_at__lt=timezone.now() - WITHOUT_KEY).delete()
        row = rows.first()
    if row is not None:
        return _again(request, row, values)
    response = view()
    if location := _led_to(response):
        with scope(actor):
            FormKey.objects.bulk_create(
                [FormKey(**wanted, values=values, location=location)], ignore_conflicts=True
            )
    return response


def _take(actor: Actor, key: str, values: str, *, forget: bool) -> tuple[FormKey, bool]:
    """The row of a key, and whether it is ours to work. The insert waits for a first request that
    is still at work; where that one failed, its row is gone and ours stands.
    """
    wanted = {
        "organization_id": min(actor.organizations),
        "user_id": actor.user_id,
        "key": key,
    }
    while True:
        FormKey.objects.bulk_create(
            [row := FormKey(**wanted, values=values)], ignore_conflicts=True
        )
        found = FormKey.objects.select_for_update().filter(**wanted).first()
        if found is None:
            continue
        if found.public_id == row.public_id:
            return found, True
        old = forget and found.created_at < timezone.now() - WITHOUT_KEY
        if not old and found.location:
            return found, False
        FormKey.objects.filter(pk=found.pk).delete()
