from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization, Site
from rcm.accounts.permissions import Role
from rcm.web import forms as house

ROLES = [(r.value, r.label) for r in Role if r != Role.PARTNER]


class RoleForm(house.HouseForm):
    """A role in one of the administrator's organizations, at one site or at all."""

    organization = forms.ModelChoiceField(Organization.objects.none(), label="Organization")
    role = forms.ChoiceField(label="Role", choices=[("", "Choose a role"), *ROLES])
    site = forms.ModelChoiceField(
        Site.objects.none(),
        label="Site",
        required=False,
        empty_label="All sites",
        help_text="Only when the role is for one site",
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = Organization.objects.filter(pk__in=actor.organizations)
        fields: dict[str, Any] = self.fields
        fields["organization"].queryset = own
        fields["organization"].empty_label = "Choose an organization"
        if len(own) == 1:
            fields["organization"].initial = own[0].pk
        fields["site"].queryset = Site.objects.filter(organization_id__in=actor.organizations)

    def given(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {
            "organization_id": data["organization"].pk,
            "role": data["role"],
            "site_id": data["site"].pk if data["site"] else None,
        }


class InviteForm(RoleForm):
    sections = (
        ("Person", ("first_name", "last_name", "email")),
        ("First role", ("organization", "role", "site")),
    )
    first_name = forms.CharField(label="First name", max_length=60)
    last_name = forms.CharField(label="Last name", max_length=60)
    email = forms.EmailField(
        label="E-mail address", max_length=254, help_text="Where the link to choose a password goes"
    )


class FactorForm(house.HouseForm):
    """The roles of one organization that give rights only with a second factor."""

    roles = forms.MultipleChoiceField(
        label="Roles that need a second factor",
        choices=ROLES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Without one such a role gives no right; the person is led to set one up",
    )


class ScopesForm(house.HouseForm):
    scopes = forms.MultipleChoiceField(
        label="May",
        widget=forms.CheckboxSelectMultiple,
        choices=list(dict(settings.OAUTH2_PROVIDER)["SCOPES"].items()),
    )


class PartnerForm(ScopesForm):
    sections = (("System", ("name", "organization")), ("Rights", ("scopes",)))
    name = forms.CharField(
        label="Name", max_length=80, help_text="As it appears in logs and histories"
    )
    organization = forms.ModelChoiceField(
        Organization.objects.none(), label="Organization", empty_label="Choose an organization"
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        fields["organization"].queryset = Organization.objects.filter(pk__in=actor.organizations)
