"""Forms of the authorization phase."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms

from authorizations.models import Authorization, AuthStatus
from authorizations.replies import DENIAL_KINDS, Granted
from rcm.accounts.clock import SiteClock
from rcm.accounts.models import Site
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


class _Moment(forms.Form):
    """A day with an hour, read on the site's clock."""

    def __init__(self, *args: Any, site: Site, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clock = SiteClock(site.time_zone)

    def moment(self, day: str, hour: str) -> datetime | None:
        """The moment that two fields name; without an hour the end of the day."""
        on, at = self.cleaned_data.get(day), self.cleaned_data.get(hour)
        if on is None:
            return None
        return self.clock.at(on, at.hour, at.minute) if at else self.clock.ends(on)


HOUR = {"type": "time", "class": "w-10"}


class AskForm(_Moment, house.HouseForm):
    """A request by portal or phone: what was asked is kept with reference and promise."""

    channel = forms.ChoiceField(label="How", choices=(("phone", "Phone"), ("portal", "Portal")))
    reference = forms.CharField(label="Reference number", max_length=60)
    contact = forms.CharField(label="Spoken with", max_length=60, required=False)
    promised_on = house.DateField(label="Answer promised for", required=False)
    promised_by = forms.TimeField(
        label="By what time", required=False, widget=forms.TimeInput(attrs=HOUR)
    )
    note = forms.CharField(
        label="Note", max_length=300, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )

    def asked(self) -> dict[str, Any]:
        """The arguments of the request."""
        names = ("channel", "reference", "contact", "note")
        promised = self.moment("promised_on", "promised_by")
        return {n: self.cleaned_data[n] for n in names} | {"promised_at": promised}


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
    denial_kind = forms.ChoiceField(
        label="Kind of refusal", choices=(("", "not refused"), *DENIAL_KINDS), required=False
    )

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
            (
                "Decision",
                (
                    "status",
                    "number",
                    "effective_from",
                    "effective_to",
                    "reason",
                    "denial_kind",
                ),
            ),
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


class PeerForm(_Moment, house.HouseForm):
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
    call_on = house.DateField(label="Call on", required=False)
    call_at = forms.TimeField(
        label="At what time", required=False, widget=forms.TimeInput(attrs=HOUR)
    )
    owner = forms.CharField(
        label="In whose calendar",
        max_length=120,
        required=False,
        help_text="The physician or radiologist who takes the call.",
    )
    number = forms.CharField(label="Authorization number", max_length=50, required=False)
    effective_from = house.DateField(label="First day", required=False)
    effective_to = house.DateField(label="Last day", required=False)

    def clean(self) -> dict[str, Any] | None:
        data = super().clean() or self.cleaned_data
        if data.get("outcome") != "scheduled":
            return data
        for name, words in (
            ("call_on", "Enter the day of the call."),
            ("call_at", "Enter the hour of the call."),
            ("owner", "Say in whose calendar the call stands."),
        ):
            if not data.get(name) and name not in self.errors:
                self.add_error(name, words)
        return data

    def told(self) -> dict[str, Any]:
        """The arguments of the call's record."""
        names = ("outcome", "contact", "note", "number", "effective_from", "effective_to", "owner")
        found = {n: self.cleaned_data[n] for n in names}
        return found | {"call_at": self.moment("call_on", "call_at")}


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
