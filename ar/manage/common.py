"""What every screen of the manager's desk needs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.web import forms as house


class OrganizationForm(house.HouseForm):
    """A form about one of the actor's organizations; with a single one it is not asked."""

    organization = forms.ChoiceField(label="Organization", choices=())

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = list(
            Organization.objects.filter(pk__in=actor.organizations).values_list("pk", "name")
        )
        field = self.fields["organization"]
        field.choices = rows  # type: ignore[attr-defined]
        if len(rows) == 1:
            field.initial = rows[0][0]
            field.widget = forms.HiddenInput()

    @property
    def organization_id(self) -> int:
        return int(self.cleaned_data["organization"])


def form_page(
    request: HttpRequest, form: Any, *, title: str, verb: str, back: str, text: str = ""
) -> HttpResponseBase:
    """One form on a page of its own; bad input comes back with 422 and its sentences."""
    context = {"title": title, "form": form, "verb": verb, "back_url": back, "text": text}
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "ar/form.html", context, status=status)
