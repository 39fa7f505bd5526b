"""Screens of the first run."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.setup import services
from rcm.web import forms as house
from rcm.web.access import may

ZONES = (
    ("America/New_York", "Eastern"),
    ("America/Chicago", "Central"),
    ("America/Denver", "Mountain"),
    ("America/Phoenix", "Arizona"),
    ("America/Los_Angeles", "Pacific"),
    ("America/Anchorage", "Alaska"),
    ("Pacific/Honolulu", "Hawaii"),
)
PLACES = (("11", "Office"), ("22", "Hospital outpatient"), ("19", "Off-campus hospital"))


class AddressForm(house.HouseForm):
    code = forms.SlugField(label="Short code", max_length=20, help_text="As partners name it")
    name = forms.CharField(label="Name", max_length=120)
    npi = house.NpiField()
    address = forms.CharField(label="Street", max_length=100)
    city = forms.CharField(label="City", max_length=60)
    state = house.StateField()
    zip = house.ZipField()
    phone = house.PhoneField(label="Telephone", required=False)


class BeginForm(AddressForm):
    sections = (
        ("This machine", ("setup_code",)),
        (
            "Organization",
            ("code", "name", "npi", "tin", "address", "city", "state", "zip", "phone"),
        ),
        ("First person", ("first_name", "last_name", "email", "password")),
    )
    setup_code = forms.CharField(
        label="Setup code", max_length=40, help_text="Printed where the product was started"
    )
    tin = forms.RegexField(r"^\d{2}-?\d{7}$", label="Tax id", max_length=10)
    first_name = forms.CharField(label="First name", max_length=60)
    last_name = forms.CharField(label="Last name", max_length=60)
    email = forms.EmailField(label="E-mail address")
    password = forms.CharField(
        label="Password", widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )


class SiteForm(AddressForm):
    organization = forms.ModelChoiceField(Organization.objects.none(), label="Organization")
    time_zone = forms.ChoiceField(label="Time zone", choices=ZONES)
    pos = forms.ChoiceField(label="Place of service", choices=PLACES)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = Organization.objects.filter(pk__in=actor.organizations)
        field: Any = self.fields["organization"]
        field.queryset = own
        if len(own) == 1:
            field.initial = own[0].pk


def _refused(form: Any, refusal: Refused, names: dict[str, str]) -> None:
    field = names.get(refusal.field, refusal.field)
    form.add_error(field if field in form.fields else None, str(refusal))


def _page(request: HttpRequest, form: Any, **more: Any) -> HttpResponseBase:
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "components/form_page.html", {"form": form, **more}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def guide(request: HttpRequest) -> HttpResponseBase:
    """The guide; before anybody can sign in, the form that makes the first organization."""
    if services.untouched():
        return _begin(request)
    return _steps(request)


def _begin(request: HttpRequest) -> HttpResponseBase:
    form = BeginForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        try:
            services.begin(
                code=data["setup_code"],
                organization={
                    name: data[name]
                    for name in ("code", "name", "npi", "address", "city", "state", "zip", "phone")
                }
                | {"tin": data["tin"].replace("-", "")},
                first_name=data["first_name"],
                last_name=data["last_name"],
                email=data["email"],
                password=data["password"],
            )
        except Refused as refusal:
            _refused(form, refusal, {"code": "setup_code"})
        else:
            messages.success(request, "Sign in with your new password; the guide goes on there.")
            return redirect(f"{reverse('account_login')}?next={reverse('setup:guide')}")
    return _page(
        request,
        form,
        title="Begin",
        verb="Make the organization",
        text="Nothing is here yet. The first person administers and manages; others are invited.",
    )


@require_safe
@may("users.manage")
def _steps(request: HttpRequest) -> HttpResponseBase:
    found = services.steps(request.actor)  # type: ignore[attr-defined]
    return render(
        request,
        "setup/guide.html",
        {"steps": found, "left": sum(not s.done for s in found)},
    )


guide.permission = "users.manage"  # type: ignore[attr-defined]


@require_http_methods(["GET", "HEAD", "POST"])
@may("users.manage")
def site(request: HttpRequest) -> HttpResponseBase:
    """Enter a site."""
    actor: Actor = request.actor  # type: ignore[attr-defined]
    form = SiteForm(request.POST or None, actor=actor)
    if form.is_valid():
        data = dict(form.cleaned_data)
        owner = data.pop("organization")
        try:
            services.site_make(organization_id=owner.pk, facts=data, actor=actor)
        except Refused as refusal:
            _refused(form, refusal, {})
        else:
            messages.success(request, "The site is there.")
            return redirect("setup:guide")
    return _page(
        request, form, title="A site", verb="Keep the site", back_url=reverse("setup:guide")
    )
