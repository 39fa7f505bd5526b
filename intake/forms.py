"""Forms of the front end: they read and say what is wrong with a field; every decision is a
service's.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from intake.models import (
    Coverage,
    NoticeKind,
    NoticeOption,
    Order,
    OrderedExam,
    OrderStatus,
    Patient,
    Relationship,
    SecondReason,
    Sex,
)
from intake.services import ExamAsk, plain_codes
from rcm.accounts.actor import Actor
from rcm.accounts.models import Site
from rcm.reference.models import Payer, Plan
from rcm.web import forms as house

LINES = 3
RANKS = {1: "Primary", 2: "Secondary", 3: "Tertiary"}
SIDES = (("", "No side"), ("RT", "Right"), ("LT", "Left"), ("50", "Both"))


class PatientForm(house.VersionedMixin, house.HouseForm):
    sections = (
        ("Person", ("last_name", "first_name", "middle_name", "suffix", "born_on", "sex", "mrn")),
        ("Contact", ("address", "city", "state", "zip", "phone", "email")),
    )
    last_name = forms.CharField(label="Last name", max_length=60)
    first_name = forms.CharField(label="First name", max_length=40)
    middle_name = forms.CharField(label="Middle name", max_length=40, required=False)
    suffix = forms.CharField(label="Suffix", max_length=10, required=False)
    born_on = house.DateField(label="Date of birth", past=True)
    sex = forms.ChoiceField(label="Sex", choices=[("", "Choose"), *Sex.choices])
    mrn = forms.CharField(
        label="MRN",
        max_length=30,
        required=False,
        help_text="Leave it empty to get the next number",
    )
    address = forms.CharField(label="Street", max_length=100, required=False)
    city = forms.CharField(label="City", max_length=60, required=False)
    state = house.StateField(required=False)
    zip = house.ZipField(required=False)
    phone = house.PhoneField(label="Phone", required=False)
    email = forms.EmailField(label="E-mail", required=False)
    another_because = forms.CharField(
        label="Why this is another person than the charts beside",
        max_length=120,
        required=False,
        help_text="Both charts then warn of each other",
    )

    def __init__(self, *args: Any, confirm: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not confirm:
            del self.fields["another_because"]
        self.fields["last_name"].widget.attrs["autofocus"] = True

    def values(self) -> dict[str, Any]:
        """What goes to the service; the ZIP as digits."""
        apart = ("version", "another_because")
        found = {k: v for k, v in self.cleaned_data.items() if k not in apart}
        found["zip"] = str(found.get("zip") or "").replace("-", "")
        return found


class CoverageForm(house.VersionedMixin, house.HouseForm):
    sections = (
        ("Card", ("payer", "plan", "member_id", "group_number", "rank", "starts_on", "ends_on")),
        ("Medicare second", ("second_reason",)),
        (
            "Accident",
            (
                "accident_on",
                "accident_state",
                "claim_number",
                "adjuster_name",
                "adjuster_phone",
                "employer",
            ),
        ),
        (
            "Subscriber",
            (
                "relationship",
                "subscriber_last_name",
                "subscriber_first_name",
                "subscriber_born_on",
                "subscriber_sex",
            ),
        ),
    )
    payer = forms.ModelChoiceField(
        label="Payer", queryset=Payer.objects.none(), empty_label="Choose the payer"
    )
    plan = forms.ModelChoiceField(
        label="Plan", queryset=Plan.objects.none(), required=False, empty_label="Not known"
    )
    member_id = house.MemberIdField(
        required=False, help_text="As printed on the card; empty for self-pay"
    )
    group_number = forms.CharField(label="Group number", max_length=30, required=False)
    rank = forms.TypedChoiceField(
        label="Order of payment",
        coerce=int,
        choices=(
            (1, "Primary"),
            (2, "Secondary"),
            (3, "Tertiary"),
            (0, "Alone, for orders of one accident"),
        ),
    )
    accident_on = house.DateField(
        label="Day of the accident",
        past=True,
        required=False,
        help_text="For workers' compensation and auto insurance that pay alone",
    )
    accident_state = forms.CharField(
        label="State of the accident",
        max_length=2,
        required=False,
        widget=forms.TextInput(attrs={"class": "w-10"}),
    )
    claim_number = forms.CharField(
        label="Claim number of the accident", max_length=30, required=False
    )
    adjuster_name = forms.CharField(label="Adjuster", max_length=60, required=False)
    adjuster_phone = house.PhoneField(label="Adjuster's phone", required=False)
    employer = forms.CharField(label="Employer", max_length=60, required=False)
    starts_on = house.DateField(label="Starts", required=False)
    ends_on = house.DateField(label="Ends", required=False)
    second_reason = forms.ChoiceField(
        label="Why Medicare pays second",
        choices=[("", "It pays first, or this is not Medicare"), *SecondReason.choices],
        required=False,
        help_text="From the Medicare secondary payer questions",
    )
    relationship = forms.ChoiceField(
        label="The patient is the subscriber's",
        choices=Relationship.choices,
        initial=Relationship.SELF,
    )
    subscriber_last_name = forms.CharField(
        label="Subscriber's last name",
        max_length=60,
        required=False,
        help_text="Only when it is not the patient",
    )
    subscriber_first_name = forms.CharField(
        label="Subscriber's first name", max_length=40, required=False
    )
    subscriber_born_on = house.DateField(
        label="Subscriber's date of birth", past=True, required=False
    )
    subscriber_sex = forms.ChoiceField(
        label="Subscriber's sex", choices=[("", "Not known"), *Sex.choices], required=False
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["payer"].queryset = Payer.objects.filter(active=True)  # type: ignore[attr-defined]
        self.fields["plan"].queryset = Plan.objects.select_related("payer").order_by(  # type: ignore[attr-defined]
            "payer__name", "name"
        )
        self.fields["plan"].label_from_instance = lambda p: f"{p.payer.name}: {p.name}"  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        payer, plan = data.get("payer"), data.get("plan")
        if payer and plan and plan.payer_id != payer.pk:
            self.add_error("plan", "Choose a plan of the payer")
        if (
            payer
            and payer.kind != "self_pay"
            and data.get("rank") != 0
            and not data.get("member_id")
            and "member_id" not in self.errors
        ):
            self.add_error("member_id", "Enter the member ID")
        return data

    def clean_accident_state(self) -> str:
        return str(self.cleaned_data["accident_state"]).upper()

    def values(self) -> dict[str, Any]:
        return {k: v for k, v in self.cleaned_data.items() if k != "version"}


OPEN = (
    ("", "Nothing is left open"),
    ("contrast", "Contrast as the radiologist decides"),
    ("views", "Views as the radiologist decides"),
    ("both", "Contrast and views as the radiologist decides"),
)


class OrderForm(house.HouseForm):
    """An order of up to three exams, or of all that it has; further exams are further orders of the
    same visit.
    """

    ordering_npi = house.NpiField(label="Ordering physician's NPI", required=False)
    ordering_name = forms.CharField(
        label="Ordering physician's last name",
        max_length=60,
        required=False,
        help_text="Only when the NPI is new here, or not known yet",
    )
    ordering_credentials = forms.CharField(
        label="Letters behind the name",
        max_length=20,
        required=False,
        help_text="Such as MD, NP or DC: some payers do not let everybody order",
    )
    signed = forms.BooleanField(label="The order is signed", required=False)
    indication = forms.CharField(
        label="Indication",
        max_length=300,
        required=False,
        help_text="In the physician's words",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    diagnoses = forms.CharField(
        label="ICD-10 codes",
        max_length=120,
        required=False,
        help_text="The first is the primary one, such as R51.9 G43.909",
    )
    site = forms.ModelChoiceField(
        label="Site", queryset=Site.objects.none(), required=False, empty_label="Not known yet"
    )
    coverage = forms.ModelChoiceField(
        label="Who pays for this order",
        queryset=Coverage.objects.none(),
        required=False,
        empty_label="The patient's primary coverage",
        help_text="Workers' compensation or auto for an accident: add its policy on the chart first",
    )

    def __init__(
        self,
        *args: Any,
        actor: Actor,
        organization_id: int,
        patient: Patient,
        order: Order | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["coverage"].queryset = (  # type: ignore[attr-defined]
            Coverage.objects.filter(patient=patient, active=True)
            .select_related("payer")
            .order_by("rank", "id")
        )
        self.fields["coverage"].label_from_instance = coverage_words  # type: ignore[attr-defined]
        sites = Site.objects.filter(organization_id=organization_id)
        self.fields["site"].queryset = sites.filter(pk__in=actor.sites) if actor.sites else sites  # type: ignore[attr-defined]
        names = []
        self.known = live_exams(order) if order is not None else []
        self.lines = max(LINES, len(self.known) + 1 if self.known else 0)
        for n in range(1, self.lines + 1):
            self.fields[f"code{n}"] = forms.CharField(
                label=f"Exam {n}",
                max_length=5,
                required=n == 1,
                widget=forms.TextInput(attrs={"list": "procedures", "class": "w-10 code"}),
                error_messages={"required": "Enter the procedure code"},
            )
            self.fields[f"side{n}"] = forms.ChoiceField(
                label=f"Side of exam {n}", choices=SIDES, required=False
            )
            self.fields[f"open{n}"] = forms.ChoiceField(
                label=f"Left open by the order {n}", choices=OPEN, required=False
            )
            self.fields[f"exam{n}"] = forms.IntegerField(required=False, widget=forms.HiddenInput())
            names += [f"code{n}", f"side{n}", f"open{n}", f"exam{n}"]
        self.sections = (
            ("Exams", tuple(names)),
            (
                "Order",
                (
                    "ordering_npi",
                    "ordering_name",
                    "ordering_credentials",
                    "signed",
                    "indication",
                    "diagnoses",
                    "site",
                    "coverage",
                ),
            ),
        )
        house.house_messages(self.fields, lambda name: name)

    def asks(self) -> list[ExamAsk]:
        """The exams as they stand in the form. A line that showed an exam of the order is that exam,
        whatever its code is now.
        """
        data = self.cleaned_data
        own = {e.pk for e in self.known}
        return [
            ExamAsk(
                data[f"code{n}"].upper(),
                laterality=data[f"side{n}"],
                contrast_open=data.get(f"open{n}") in ("contrast", "both"),
                views_open=data.get(f"open{n}") in ("views", "both"),
                exam_id=data[f"exam{n}"] if data.get(f"exam{n}") in own else None,
            )
            for n in range(1, self.lines + 1)
            if data.get(f"code{n}")
        ]

    def codes(self) -> list[str]:
        return plain_codes(self.cleaned_data["diagnoses"].replace(",", " ").split())

    @staticmethod
    def initial_of(order: Order) -> dict[str, Any]:
        found: dict[str, Any] = {
            "ordering_npi": order.ordering.npi if order.ordering else order.ordering_npi,
            "ordering_name": order.ordering_name,
            "ordering_credentials": order.ordering.credentials if order.ordering else "",
            "signed": order.signed,
            "indication": order.indication,
            "diagnoses": " ".join(order.diagnoses),
            "site": order.site_id,
            "coverage": order.coverage_id,
        }
        for n, exam in enumerate(live_exams(order), start=1):
            found[f"code{n}"], found[f"side{n}"] = exam.code, exam.laterality
            found[f"exam{n}"], found[f"open{n}"] = exam.pk, left_open(exam)
        return found


def coverage_words(row: Coverage) -> str:
    """A policy as one chooses it: the payer, and its rank or its accident."""
    if row.accident_on and row.of_accident:
        number = f", claim {row.claim_number}" if row.claim_number else ""
        return f"{row.payer.name}, accident of {row.accident_on:%b %-d, %Y}{number}"
    return f"{row.payer.name}, {RANKS.get(row.rank, '').lower()}"


def live_exams(order: Order) -> list[OrderedExam]:
    return list(order.exams.exclude(status=OrderStatus.CANCELLED).order_by("id"))


def left_open(exam: OrderedExam) -> str:
    """The choice of OPEN that an exam stands for."""
    if exam.contrast_open and exam.views_open:
        return "both"
    if exam.contrast_open:
        return "contrast"
    return "views" if exam.views_open else ""


class BookForm(house.VersionedMixin, house.HouseForm):
    """A visit: where, when, which exams; the reason of an override only for those who may."""

    site = forms.ModelChoiceField(
        label="Site", queryset=Site.objects.none(), empty_label="Choose the site"
    )
    day = house.DateField(label="Date")
    at = forms.CharField(
        label="Time",
        max_length=8,
        help_text="Such as 9:40 or 14:30",
        widget=forms.TextInput(attrs={"class": "w-10"}),
    )
    minutes = forms.IntegerField(
        label="Minutes",
        min_value=5,
        max_value=480,
        initial=30,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "class": "w-10"}),
    )
    resource = forms.CharField(label="Room or scanner", max_length=40, required=False)
    exams = forms.ModelMultipleChoiceField(
        label="Exams", queryset=OrderedExam.objects.none(), widget=forms.CheckboxSelectMultiple
    )
    override_reason = forms.CharField(
        label="Reason to override",
        max_length=200,
        required=False,
        help_text="Kept with your name and the dollars at risk",
    )

    def __init__(
        self,
        *args: Any,
        actor: Actor,
        exams: Any,
        organization_id: int,
        may_override: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        sites = Site.objects.filter(organization_id=organization_id)
        self.fields["site"].queryset = sites.filter(pk__in=actor.sites) if actor.sites else sites  # type: ignore[attr-defined]
        self.fields["exams"].queryset = exams  # type: ignore[attr-defined]
        self.fields["exams"].label_from_instance = lambda e: (  # type: ignore[attr-defined]
            f"{e.code} {e.description} {e.laterality}".strip()
        )
        if not may_override:
            del self.fields["override_reason"]

    def clean_at(self) -> time:
        text = self.cleaned_data["at"].strip().lower().replace(".", ":")
        afternoon = text.endswith("pm") or text.endswith("p")
        plain = text.rstrip("apm ").strip()
        plain = (
            f"{plain[:-2]}:{plain[-2:]}"
            if plain.isdigit() and len(plain) in (3, 4)
            else plain
            if ":" in plain
            else f"{plain}:00"
        )
        try:
            hour, minute = (int(p) for p in plain.split(":"))
            return time(hour + 12 if afternoon and hour < 12 else hour, minute)
        except ValueError:
            raise forms.ValidationError(
                "Time must be a time of day, such as 9:40 or 14:30"
            ) from None

    def starts_at(self) -> datetime:
        site: Site = self.cleaned_data["site"]
        return datetime.combine(
            self.cleaned_data["day"], self.cleaned_data["at"], tzinfo=ZoneInfo(site.time_zone)
        )


class ReasonForm(house.VersionedMixin, house.HouseForm):
    reason = forms.CharField(label="Reason", max_length=200)


class OverrideForm(house.HouseForm):
    """Why a visit may pass a gate, and the last day on which that holds."""

    reason = forms.CharField(label="Reason", max_length=200)
    ends_on = forms.DateField(
        label="Holds until",
        required=False,
        help_text="At most to the day of the visit.",
    )


class MergeForm(house.HouseForm):
    mrn = forms.CharField(label="MRN of the chart that goes", max_length=30)
    reason = forms.CharField(label="Reason", max_length=200)


class UnmergeForm(house.HouseForm):
    reason = forms.CharField(label="Why these are two people", max_length=200)


class DaysForm(house.HouseForm):
    days = forms.IntegerField(label="Days ahead", min_value=1, max_value=31, initial=3)


class ExamField(forms.ModelChoiceField):
    def label_from_instance(self, obj: OrderedExam) -> str:
        return f"{obj.code} {obj.description} {obj.laterality}".strip()


class NoticeForm(house.HouseForm):
    exam = ExamField(label="Exam", queryset=OrderedExam.objects.none(), empty_label=None)
    kind = forms.ChoiceField(label="Why Medicare may not pay", choices=NoticeKind.choices)
    reason = forms.CharField(
        label="Reason in words the patient understands",
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    cost = house.MoneyField(label="Estimated cost")

    def __init__(self, *args: Any, exams: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["exam"].queryset = exams  # type: ignore[attr-defined]


class SignForm(house.HouseForm):
    option = forms.ChoiceField(
        label="The patient's choice", choices=NoticeOption.choices, widget=forms.RadioSelect
    )
    signer = forms.CharField(label="Signed by", max_length=110)
