"""Forms of the quote, of contracts and of sheets (the component forms of a code are in `forms`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization, Site
from rcm.pricing.facts import MpprScope
from rcm.pricing.models import Contract
from rcm.pricing.terms import FLAGS, METHODS, PERCENTS, WORDS
from rcm.reference.models import Payer, Plan
from rcm.web import forms as house

_LINE = re.compile(
    r"(?P<code>[0-9A-Za-z]{5})(?P<mods>(?:-[0-9A-Za-z]{2}){0,4})(?:\s+x(?P<units>[0-9]{1,5}))?(?:\s+\$?(?P<charge>[0-9]{1,7}(?:\.[0-9]{2})?))?"
)
METHOD_WORDS = {
    "percent_of_medicare": "Percent of Medicare",
    "percent_of_charge": "Percent of charge",
    "flat": "Flat rates",
}
SCOPE_WORDS = {
    MpprScope.NONE: "No reduction",
    MpprScope.PHYSICIAN: "Same reader, same session",
    MpprScope.GROUP: "Our group, same session (as Medicare)",
    MpprScope.DAY: "Our group, same day",
}


def read_lines(text: str) -> list[dict[str, Any]]:
    """Lines such as `70553-26`, `72148 $1100`, `A9585 x80`. Raises ValidationError with the line
    that cannot be read.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise forms.ValidationError(f"Line {number} is not written like 70553-26 x1 $1500.")
        found.append(
            {
                "code": match["code"].upper(),
                "modifiers": [m.upper() for m in match["mods"].split("-") if m],
                "units": int(match["units"] or 1),
                "charge": match["charge"],
            }
        )
    if not found:
        raise forms.ValidationError("Enter at least one code.")
    return found


def sites_of(actor: Actor) -> Any:
    sites = Site.objects.filter(organization_id__in=actor.organizations).order_by("name")
    return sites.filter(pk__in=actor.sites) if actor.sites else sites


class QuoteForm(house.HouseForm):
    """What is priced. Everything is in the address bar, and nothing of it is about a patient."""

    sections = (
        ("Exams of one session", ("lines", "date")),
        ("Where and who pays", ("site", "zip", "pos", "payer", "plan")),
        ("Patient's share", ("deductible", "coinsurance", "copay")),
    )
    lines = forms.CharField(
        label="Lines",
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        max_length=4000,
        help_text="One a line: code-modifiers, units as x80, charge as $1500.",
    )
    date = house.DateField(label="Date of service", required=False)
    site = forms.ChoiceField(label="Site", required=False)
    zip = house.ZipField(
        label="or ZIP code", required=False, help_text="Neither: the national amount."
    )
    pos = forms.CharField(
        label="Place of service", required=False, max_length=2, help_text="11 when empty."
    )
    payer = forms.ChoiceField(label="Payer", required=False)
    plan = forms.CharField(label="Plan code", required=False, max_length=30)
    deductible = house.MoneyField(label="Deductible still open", required=False)
    coinsurance = forms.DecimalField(
        label="Coinsurance %", required=False, min_value=Decimal(0), max_value=Decimal(100)
    )
    copay = house.MoneyField(label="Copay", required=False)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sites = [(s.code, s.name) for s in sites_of(actor)]
        payers = [
            (p.code, p.name)
            for p in Payer.objects.filter(active=True).exclude(kind__in=("self_pay", "medicare"))
        ]
        for name, first, choices in (
            ("site", "No site", sites),
            ("payer", "Medicare fee schedule", payers),
        ):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [("", first), *choices]

    def clean_lines(self) -> list[dict[str, Any]]:
        return read_lines(self.cleaned_data["lines"])

    def payload(self) -> dict[str, Any]:
        """The question for `services.quote`."""
        values = self.cleaned_data
        asked: dict[str, Any] = {
            "date_of_service": (values["date"] or office_day()).isoformat(),
            "lines": values["lines"],
            "payer": values["payer"],
            "plan": values["plan"],
            "deductible_remaining": (
                None if values["deductible"] is None else str(values["deductible"])
            ),
            "coinsurance": (
                None if values["coinsurance"] is None else str(values["coinsurance"] / 100)
            ),
            "copay": None if values["copay"] is None else str(values["copay"]),
        }
        if values["site"]:
            asked["site"] = values["site"]
        if values["pos"] or not values["site"]:
            asked["pos"] = values["pos"] or "11"
        if values["zip"]:
            asked["zip"] = values["zip"]
        elif not values["site"]:
            asked["locality"] = "national"
        return asked


def _percent(name: str) -> forms.DecimalField:
    return forms.DecimalField(
        label=WORDS[name], required=False, min_value=Decimal(0), max_value=Decimal(1000)
    )


def _flag(name: str) -> forms.BooleanField:
    return forms.BooleanField(label=WORDS[name], required=False)


class ContractForm(house.HouseForm):
    """A contract with its general rate and terms; narrower rates come from a sheet."""

    sections = (
        (
            "Contract",
            ("organization", "payer", "plan", "site", "name", "effective_from", "effective_to"),
        ),
        ("General rate", ("method", "percent", "year", "locality")),
        (
            "Several exams together",
            (
                "mppr_scope",
                "mppr_pc_pct",
                "mppr_tc_pct",
                "mppr_global_pct",
                "mppr_cardio_tc_pct",
                "bilateral_pct",
            ),
        ),
        ("Other terms", tuple(FLAGS)),
    )
    organization = forms.ModelChoiceField(
        label="Organization", queryset=Organization.objects.none(), empty_label=None
    )
    payer = forms.ModelChoiceField(label="Payer", queryset=Payer.objects.none())
    plan = forms.ModelChoiceField(
        label="Plan", queryset=Plan.objects.none(), required=False, empty_label="Every plan"
    )
    site = forms.ModelChoiceField(
        label="Site", queryset=Site.objects.none(), required=False, empty_label="Every site"
    )
    name = forms.CharField(label="Name", max_length=80)
    effective_from = house.DateField(label="From")
    effective_to = house.DateField(label="To", required=False)
    method = forms.ChoiceField(label="Pays by", choices=[(m, METHOD_WORDS[m]) for m in METHODS])
    percent = forms.DecimalField(
        label="Percent",
        required=False,
        min_value=Decimal(0),
        max_value=Decimal(1000),
        help_text="115 means 115 %.",
    )
    year = forms.IntegerField(
        label="Fee schedule year",
        required=False,
        min_value=1992,
        max_value=2100,
        help_text="Empty: the year of service.",
    )
    locality = forms.CharField(
        label="Medicare locality",
        required=False,
        max_length=8,
        help_text="Such as 06102-16; empty: where the exam is done.",
    )
    mppr_scope = forms.ChoiceField(
        label="Reduction",
        required=False,
        choices=[("", "The contract is silent"), *((s.value, w) for s, w in SCOPE_WORDS.items())],
    )
    mppr_pc_pct = _percent("mppr_pc_pct")
    mppr_tc_pct = _percent("mppr_tc_pct")
    mppr_global_pct = _percent("mppr_global_pct")
    mppr_cardio_tc_pct = _percent("mppr_cardio_tc_pct")
    bilateral_pct = _percent("bilateral_pct")
    lesser_of = _flag("lesser_of")
    opps_cap = _flag("opps_cap")
    equipment_reductions = _flag("equipment_reductions")
    sequestration = _flag("sequestration")

    def __init__(
        self, *args: Any, actor: Actor, contract: Contract | None = None, **kwargs: Any
    ) -> None:
        if contract is not None:
            kwargs["initial"] = {
                **FLAGS,
                **contract.terms,
                "name": contract.name,
                "method": contract.method,
                "effective_to": contract.effective_to,
            }
        else:
            kwargs["initial"] = {**FLAGS, **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        if contract is not None:
            for name in ("organization", "payer", "plan", "site", "effective_from"):
                del self.fields[name]
            return
        choices = {
            "organization": Organization.objects.filter(pk__in=actor.organizations),
            "payer": Payer.objects.filter(active=True),
            "plan": Plan.objects.select_related("payer").order_by("payer__name", "name"),
            "site": sites_of(actor),
        }
        for name, queryset in choices.items():
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = queryset
        self.fields["plan"].label_from_instance = lambda plan: f"{plan.payer.name}: {plan.name}"  # type: ignore[attr-defined]

    def terms(self) -> dict[str, Any]:
        """The terms as they are kept: only what was said."""
        values: Mapping[str, Any] = self.cleaned_data
        said: dict[str, Any] = {
            n: str(values[n].normalize().__format__("f"))
            for n in PERCENTS
            if values.get(n) is not None
        }
        said |= {n: values[n] for n in ("year", "locality", "mppr_scope") if values.get(n)}
        return said | {name: bool(values.get(name)) for name in FLAGS}


class SheetForm(house.HouseForm):
    """A sheet of rates or prices."""

    file = forms.FileField(label="Sheet", help_text="CSV or XLSX with a header line.")


class PriceSheetForm(SheetForm):
    organization = forms.ModelChoiceField(
        label="Organization", queryset=Organization.objects.none(), empty_label=None
    )
    effective_from = house.DateField(
        label="Prices hold from", help_text="For rows without a date of their own."
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["organization"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Organization.objects.filter(pk__in=actor.organizations)
