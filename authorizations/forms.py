"""Forms of the authorization phase."""

from __future__ import annotations

from typing import Any

from django import forms

from authorizations.models import Authorization, AuthStatus
from authorizations.x12_278 import Granted
from rcm.web import forms as house

DECISIONS = (
    (AuthStatus.APPROVED, "Approved"),
    (AuthStatus.PARTIAL, "Partly approved"),
    (AuthStatus.MODIFIED, "Approved with changes"),
    (AuthStatus.PENDED, "Pended, the payer needs more"),
    (AuthStatus.DENIED, "Denied"),
    (AuthStatus.NOT_REQUIRED, "Payer says not required"),
    (AuthStatus.CANCELLED, "Cancelled"),
)


class AskForm(house.HouseForm):
    """A request by portal or phone: what was asked is kept with reference and promise."""

    channel = forms.ChoiceField(label="How", choices=(("portal", "Portal"), ("phone", "Phone")))
    reference = forms.CharField(label="Reference number", max_length=60)
    contact = forms.CharField(label="Spoken with", max_length=60, required=False)
    promised_on = house.DateField(label="Answer promised for", required=False)
    note = forms.CharField(
        label="Note", max_length=300, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )


class DecideForm(house.VersionedMixin, house.HouseForm):
    """The payer's decision as heard; units and refusals by line."""

    status = forms.ChoiceField(label="Decision", choices=DECISIONS)
    number = forms.CharField(
        label="Authorization number",
        max_length=50,
        required=False,
        widget=forms.TextInput(attrs={"class": "w-20 code"}),
    )
    effective_from = house.DateField(label="First day", required=False)
    effective_to = house.DateField(label="Last day", required=False)
    channel = forms.ChoiceField(
        label="Heard by",
        choices=(("phone", "Phone"), ("portal", "Portal"), ("fax", "Fax"), ("mail", "Mail")),
    )
    reference = forms.CharField(label="Reference of the call", max_length=60, required=False)
    contact = forms.CharField(label="Spoken with", max_length=60, required=False)
    reason = forms.CharField(label="Reason the payer gave", max_length=200, required=False)

    def __init__(self, *args: Any, row: Authorization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lines = list(row.services.order_by("id"))
        names = []
        for line in self.lines:
            name = f"units{line.pk}"
            self.fields[name] = forms.IntegerField(
                label=f"Units of {line.code} {line.laterality}".strip(),
                min_value=0,
                max_value=99,
                initial=line.units,
                required=False,
                help_text="0 when this code was refused",
                widget=forms.TextInput(attrs={"inputmode": "numeric", "class": "w-10"}),
            )
            names.append(name)
        self.sections = (
            ("Decision", ("status", "number", "effective_from", "effective_to", "reason")),
            ("Lines", tuple(names)),
            ("How we know", ("channel", "reference", "contact")),
        )
        house.house_messages(self.fields, lambda name: name)

    def granted(self) -> list[Granted]:
        found = []
        for line in self.lines:
            units = self.cleaned_data.get(f"units{line.pk}")
            units = line.units if units is None else units
            found.append(Granted(line.code, max(units, 1), line.laterality, approved=units > 0))
        return found


class PeerForm(house.HouseForm):
    outcome = forms.ChoiceField(
        label="How the call ended",
        choices=(
            ("overturned", "Approved now"),
            ("upheld", "Denial stands"),
            ("scheduled", "Call scheduled"),
        ),
    )
    contact = forms.CharField(label="Reviewer", max_length=60)
    note = forms.CharField(
        label="What was said", max_length=400, widget=forms.Textarea(attrs={"rows": 3})
    )
    number = forms.CharField(label="Authorization number", max_length=50, required=False)
    effective_from = house.DateField(label="First day", required=False)
    effective_to = house.DateField(label="Last day", required=False)


class ChangeForm(house.HouseForm):
    kind = forms.ChoiceField(
        label="What to ask for",
        choices=(
            ("update", "Change the code or details"),
            ("extension", "Extend the dates"),
            ("retro", "Retroactive authorization"),
        ),
    )

    def __init__(self, *args: Any, row: Authorization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lines = list(row.services.order_by("id"))
        for line in self.lines:
            self.fields[f"code{line.pk}"] = forms.CharField(
                label=f"Code instead of {line.code}",
                max_length=5,
                initial=line.code,
                required=False,
                widget=forms.TextInput(attrs={"class": "w-10 code"}),
            )
        house.house_messages(self.fields, lambda name: name)

    def swaps(self) -> dict[str, str]:
        return {
            line.code: self.cleaned_data[f"code{line.pk}"].upper()
            for line in self.lines
            if self.cleaned_data.get(f"code{line.pk}")
            and self.cleaned_data[f"code{line.pk}"].upper() != line.code
        }


class HearForm(house.HouseForm):
    """What the payer says about "is it required" when asked by phone or portal."""

    required = forms.TypedChoiceField(
        label="The payer says",
        choices=(("yes", "An authorization is required"), ("no", "None is required")),
        coerce=lambda v: v == "yes",
    )
    channel = forms.ChoiceField(label="How", choices=(("phone", "Phone"), ("portal", "Portal")))
    reference = forms.CharField(label="Reference number", max_length=60)
    contact = forms.CharField(label="Spoken with", max_length=60, required=False)
