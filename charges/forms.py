"""Forms of the mid-cycle: the coder's decisions, the technologist's record, and the rules of who
scans and who reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Model

from authorizations.ordering import ChangeEvidence
from charges.components import Force, Owner, ReaderRelation
from charges.models import (
    BillingArrangement,
    ContrastStock,
    Reader,
    ReadingGroup,
    ReleasePolicy,
    Scanner,
)
from charges.records import ContrastGiven, SupplyGiven
from intake.filters import MODALITIES
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization, Site
from rcm.web import forms as house

_CODE = {"class": "w-10 code", "autocomplete": "off", "spellcheck": "false"}


def _reason() -> forms.CharField:
    return forms.CharField(label="Reason", max_length=200, widget=forms.Textarea(attrs={"rows": 2}))


class ReasonForm(house.VersionedMixin, house.HouseForm):
    """A decision that needs only its reason."""

    reason = _reason()


class MessageForm(house.HouseForm):
    """Lines of a charge message as they shall be read; the fields of the lines are added by the
    page.
    """

    reason = _reason()


class CodeForm(house.VersionedMixin, house.HouseForm):
    """The coder's code over the suggestion. Empty takes an earlier decision back."""

    code = forms.CharField(
        label="Code of the performed exam",
        max_length=5,
        required=False,
        widget=forms.TextInput(attrs=_CODE),
    )
    modifiers = forms.CharField(
        label="Modifiers",
        max_length=20,
        required=False,
        help_text="Side, 52 or 53. Component and machine put theirs on by themselves.",
        widget=forms.TextInput(attrs=_CODE),
    )
    evidence = forms.CharField(
        label="Words of the report that show it",
        max_length=300,
        required=False,
        help_text="Needed when the code differs from what report and modality say was done.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    reason = _reason()

    def own_modifiers(self) -> list[str]:
        given: str = self.cleaned_data["modifiers"]
        return given.upper().replace(",", " ").split()


class DiagnosesForm(house.VersionedMixin, house.HouseForm):
    codes = forms.CharField(
        label="Diagnoses, primary first",
        max_length=120,
        help_text="ICD-10-CM codes, with or without dots, up to twelve",
        widget=forms.TextInput(attrs={"class": "code"}),
    )
    reason = _reason()

    def listed(self) -> list[str]:
        given: str = self.cleaned_data["codes"]
        return given.replace(",", " ").split()


EVIDENCE_WORDS = {
    "obvious_error": "The order had an obvious error (wrong side, wrong part)",
    "ordered_by_reader": "The interpreting physician ordered it after a screening mammogram",
    "ordered_test_done": "The ordered test was done",
    "result_abnormal": "Its result was abnormal",
    "delay_harmful": "Waiting would have harmed the patient",
    "orderer_unreachable": "The ordering practitioner could not be reached",
    "result_sent": "The result was sent to the ordering practitioner",
    "documented": "All of it is documented in the chart",
}


class OrderChangeForm(house.VersionedMixin, house.HouseForm):
    """Why the exam may differ from its order (42 CFR 410.32): a new order, an obvious error, or
    every condition of the emergency rule.
    """

    new_order = forms.BooleanField(
        label="The ordering practitioner has sent a new order", required=False
    )
    evidence = forms.MultipleChoiceField(
        label="Or: what the chart shows",
        choices=[(k, EVIDENCE_WORDS[k]) for k in ChangeEvidence.__dataclass_fields__],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    reason = _reason()

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if not data.get("new_order") and not data.get("evidence"):
            self.add_error("new_order", "Say what allows the change.")
        return data


ROUTES = (
    ("", "Not recorded"),
    ("none", "No contrast"),
    ("iv", "Into a vein"),
    ("ia", "Into an artery"),
    ("intra_articular", "Into a joint"),
    ("it", "Into the spinal canal"),
    ("oral", "By mouth"),
    ("rectal", "By rectum"),
)
SIDES = (("", "No change"), ("RT", "Right"), ("LT", "Left"), ("50", "Both sides"))
PHASES = (
    ("", "No change"),
    ("pre", "Before only"),
    ("post", "After only"),
    ("both", "Before and after"),
)


class CorrectForm(house.VersionedMixin, house.HouseForm):
    """The technologist's record, completed. What stays empty does not change."""

    route = forms.ChoiceField(label="Contrast", choices=ROUTES, required=False)
    agent = forms.CharField(label="Agent", max_length=60, required=False)
    given_ml = forms.DecimalField(
        label="Given, mL",
        min_value=Decimal(0),
        max_value=Decimal(1000),
        max_digits=6,
        decimal_places=1,
        required=False,
    )
    wasted_ml = forms.DecimalField(
        label="Discarded, mL",
        min_value=Decimal(0),
        max_value=Decimal(1000),
        max_digits=6,
        decimal_places=1,
        required=False,
    )
    phases = forms.ChoiceField(label="Series", choices=PHASES, required=False)
    views = forms.IntegerField(label="Views", min_value=1, max_value=40, required=False)
    laterality = forms.ChoiceField(label="Side", choices=SIDES, required=False)
    extent = forms.ChoiceField(
        label="Study",
        choices=(("", "No change"), ("complete", "Complete"), ("limited", "Limited")),
        required=False,
    )
    addon = forms.CharField(
        label="Add-on code",
        max_length=5,
        required=False,
        help_text="3D, tomosynthesis, guidance",
        widget=forms.TextInput(attrs=_CODE),
    )
    pet_strategy = forms.ChoiceField(
        label="PET strategy",
        choices=(("", "No change"), ("initial", "Initial"), ("subsequent", "Subsequent")),
        required=False,
    )
    pet_prior = forms.IntegerField(
        label="Earlier subsequent scans", min_value=0, max_value=50, required=False
    )
    reason = _reason()
    sections = (
        ("Contrast", ("route", "agent", "given_ml", "wasted_ml", "phases")),
        ("Acquisition", ("views", "laterality", "extent", "addon")),
        ("PET", ("pet_strategy", "pet_prior")),
        ("Why", ("reason",)),
    )

    def facts(self) -> dict[str, Any]:
        data = self.cleaned_data
        contrast = None
        if any(
            data[k] not in (None, "") for k in ("route", "agent", "given_ml", "wasted_ml", "phases")
        ):
            phase = data["phases"]
            contrast = ContrastGiven(
                route=data["route"],
                agent=data["agent"],
                given_ml=data["given_ml"],
                wasted_ml=data["wasted_ml"],
                pre=None if not phase else phase in ("pre", "both"),
                post=None if not phase else phase in ("post", "both"),
            )
        pet: dict[str, object] = {}
        if data["pet_strategy"]:
            pet["strategy"] = data["pet_strategy"]
        if data["pet_prior"] is not None:
            pet["prior_subsequent"] = data["pet_prior"]
        return {
            "contrast": contrast,
            "views": data["views"],
            "laterality": data["laterality"],
            "extent": data["extent"],
            "addons": (SupplyGiven(data["addon"].upper()),) if data["addon"] else (),
            "pet": pet or None,
            "reason": data["reason"],
        }


class LinkForm(house.HouseForm):
    """The ordered exam of a result."""

    ordered_exam = forms.ChoiceField(label="Ordered exam", widget=forms.RadioSelect)

    def __init__(self, *args: Any, choices: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["ordered_exam"].choices = choices  # type: ignore[attr-defined]


# --- rules ----------------------------------------------------------------------------------------


class RuleForm(house.HouseModelForm):
    """Base of the rule forms: choices are limited to the actor's organizations and sites."""

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limits: dict[type[Model], Any] = {
            Site: Site.objects.filter(organization_id__in=actor.organizations),
            Organization: Organization.objects.filter(pk__in=actor.organizations),
        }
        for name, field in self.fields.items():
            rows = getattr(field, "queryset", None)
            if rows is None:
                continue
            field.required = field.required and not self._meta.model._meta.get_field(name).null
            if rows.model in limits:
                field.queryset = limits[rows.model]  # type: ignore[attr-defined]
            elif hasattr(rows, "visible_to"):
                field.queryset = rows.visible_to(actor)  # type: ignore[attr-defined]
            field.empty_label = "Any" if not field.required else "Choose"  # type: ignore[attr-defined]
        if "group" in self.fields:
            self.fields["group"].label_from_instance = lambda group: group.name  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        first, last = data.get("effective_from"), data.get("effective_to")
        if first and last and last < first:
            self.add_error("effective_to", "The last day lies before the first.")
        return data


class _Dates(RuleForm):
    effective_from = house.DateField(label="First day")
    effective_to = house.DateField(label="Last day", required=False)


class ArrangementForm(_Dates):
    modality = forms.ChoiceField(
        label="Modality", choices=(("", "Any"), *MODALITIES), required=False
    )
    equipment_owner = forms.ChoiceField(
        label="Scanner belongs to", choices=[(o.value, o.value.capitalize()) for o in Owner]
    )
    tech_employer = forms.ChoiceField(
        label="Technologist works for", choices=[(o.value, o.value.capitalize()) for o in Owner]
    )
    reader_relation = forms.ChoiceField(
        label="Reader is",
        choices=[(r.value, r.value.replace("_", " ").capitalize()) for r in ReaderRelation],
    )
    force = forms.ChoiceField(
        label="Contract demands",
        choices=[
            (f.value, f.value.replace("_", " ").capitalize() or "Nothing special") for f in Force
        ],
        required=False,
    )
    anti_markup = forms.NullBooleanField(
        label="Anti-markup applies",
        required=False,
        widget=forms.Select(choices=((None, "Not answered"), (True, "Yes"), (False, "No"))),
    )
    purchase_price = house.MoneyField(label="Reader's net charge", required=False)
    sections = (
        ("Where", ("site", "modality", "group", "payer")),
        (
            "Who does what",
            ("equipment_owner", "tech_employer", "reader_relation", "under_arrangement"),
        ),
        ("Terms", ("force", "anti_markup", "purchase_price", "effective_from", "effective_to")),
    )

    class Meta:
        model = BillingArrangement
        fields = (
            "site",
            "modality",
            "group",
            "payer",
            "equipment_owner",
            "tech_employer",
            "reader_relation",
            "under_arrangement",
            "force",
            "anti_markup",
            "purchase_price",
            "effective_from",
            "effective_to",
        )
        labels = {
            "group": "Reading group",
            "under_arrangement": "Under arrangement with a hospital",
        }


class ScannerForm(_Dates):
    modality = forms.ChoiceField(label="Modality", choices=MODALITIES)

    class Meta:
        model = Scanner
        fields = (
            "site",
            "name",
            "station",
            "modality",
            "film",
            "computed_radiography",
            "xr29",
            "effective_from",
            "effective_to",
        )
        labels = {
            "station": "Station or AE title",
            "film": "Film (FX)",
            "computed_radiography": "Computed radiography (FY)",
            "xr29": "Meets the CT dose standard",
        }
        help_texts = {"station": ""}


class GroupForm(RuleForm):
    npi = house.NpiField(label="Group NPI")
    state = house.StateField(label="State", required=False)
    zip = house.ZipField(label="ZIP where the reading is done")
    relation = forms.ChoiceField(
        label="Relation to us",
        choices=[(r.value, r.value.replace("_", " ").capitalize()) for r in ReaderRelation],
    )

    class Meta:
        model = ReadingGroup
        fields = (
            "organization",
            "name",
            "npi",
            "tin",
            "relation",
            "address",
            "city",
            "state",
            "zip",
            "country",
        )
        labels = {"tin": "Tax ID"}
        help_texts = {"zip": "Decides the payment locality of the reading"}


class ReaderForm(RuleForm):
    credentialed_from = house.DateField(label="Credentialed from")
    credentialed_to = house.DateField(label="Credentialed to", required=False)

    class Meta:
        model = Reader
        fields = ("group", "provider", "credentialed_from", "credentialed_to")
        labels = {"group": "Reading group", "provider": "Physician"}


class StockForm(_Dates):
    single_dose = forms.NullBooleanField(
        label="Single-dose vials",
        required=False,
        widget=forms.Select(
            choices=((None, "Not known"), (True, "Yes"), (False, "No, multi-dose"))
        ),
    )

    class Meta:
        model = ContrastStock
        fields = (
            "organization",
            "site",
            "agent",
            "code",
            "single_dose",
            "invoice_price",
            "effective_from",
            "effective_to",
        )
        labels = {"code": "Billing code", "invoice_price": "Invoice price of one billing unit"}


class PolicyForm(_Dates):
    class Meta:
        model = ReleasePolicy
        fields = (
            "organization",
            "site",
            "warn_hours",
            "escalate_hours",
            "director_hours",
            "eligibility_days",
            "tc_without_report",
            "auto_release",
            "effective_from",
            "effective_to",
        )
        labels = {
            "warn_hours": "Warn after hours",
            "escalate_hours": "Escalate after hours",
            "director_hours": "Director after hours",
            "eligibility_days": "Eligibility verified within days",
            "tc_without_report": "A technical part may leave before the report",
            "auto_release": "Clean exams release by themselves",
        }

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        hours = [data.get(n) for n in ("warn_hours", "escalate_hours", "director_hours")]
        if None not in hours and hours != sorted(hours):  # type: ignore[type-var]
            self.add_error(
                "escalate_hours", "The clocks must follow each other: warn, escalate, director."
            )
        return data
