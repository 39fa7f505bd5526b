"""Forms of the remittance screens. They read and check what was typed; what it means is the
services' matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django import forms

from claims.records import Changes
from rcm.accounts.models import Organization
from rcm.reference.models import Payer
from rcm.web import forms as house
from rcm.web.forms import read_money
from remittance.records import KeyedAdjustment, KeyedClaim, KeyedEob, KeyedLine

EOB_CLAIMS, EOB_LINES = 10, 40


class OrganizationField(forms.ModelChoiceField):
    def __init__(self, organizations: Iterable[int] = (), **options: Any) -> None:
        super().__init__(
            Organization.objects.filter(pk__in=list(organizations)), label="Organization", **options
        )


class UploadForm(house.HouseForm):
    """An 835 or bank file for one organization."""

    organization = OrganizationField()
    file = forms.FileField(label="File")

    def __init__(
        self, *args: Any, organizations: Iterable[int], hint: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        rows = Organization.objects.filter(pk__in=list(organizations))
        self.fields["organization"].queryset = rows  # type: ignore[attr-defined]
        if len(rows) == 1:
            self.fields["organization"].initial = rows[0].pk
            self.fields["organization"].widget = forms.HiddenInput()
        self.fields["file"].help_text = hint


class BankForm(UploadForm):
    """A bank file, and which of its columns is which where their names say nothing."""

    MEANINGS = (
        ("date", "Column with the date"),
        ("amount", "Column with the amount"),
        ("reference", "Column with the reference"),
        ("description", "Column with the description"),
    )

    def ask_columns(self, heads: Sequence[str]) -> None:
        """Offer the file's own columns; an empty choice keeps what the name says."""
        choices = [("", "As its name says"), *((h, h) for h in heads)]
        for name, label in self.MEANINGS:
            self.fields[f"column_{name}"] = forms.ChoiceField(
                label=label, choices=choices, required=False
            )

    def mapping(self) -> dict[str, str]:
        """The columns chosen."""
        return {name: self.data.get(f"column_{name}", "")[:80] for name, _ in self.MEANINGS}


class JoinForm(house.HouseForm):
    """Which remittance a bank line is, and why where they differ."""

    trace = forms.CharField(label="Check or EFT number", max_length=50)
    reason = forms.CharField(
        label="Why, where they differ",
        max_length=200,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class ReasonForm(house.HouseForm):
    """Anything that is done with a reason."""

    reason = forms.CharField(
        label="Reason", max_length=200, widget=forms.Textarea(attrs={"rows": 3})
    )


class ReverseForm(ReasonForm):
    """Why a remittance is reversed, and where its money is meanwhile."""

    money = forms.ChoiceField(
        label="Its money",
        required=False,
        initial="kept",
        choices=[
            ("kept", "Is in the bank: it is unapplied cash until the remittance is posted again"),
            ("gone", "Went back to the payer"),
        ],
    )


class PaidOnForm(house.HouseForm):
    """The date of payment that a file does not name."""

    paid_on = house.DateField(label="Paid on", help_text="As the bank statement says.")


class ApplyForm(house.HouseForm):
    """Which claim a payment is for, and which of its lines where codes differ."""

    claim = forms.CharField(label="Claim number", max_length=20)
    reason = forms.CharField(label="Why this claim", max_length=200)

    def __init__(
        self, *args: Any, services: Sequence[Any] = (), lines: Sequence[Any] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "Find it by code")] + [
            (
                str(line.pk),
                f"Line {line.number}: {line.code} {' '.join(line.modifiers)} ${line.amount:,.2f}",
            )
            for line in lines
        ]
        for s in services:
            if lines:
                self.fields[f"line_{s.pk}"] = forms.ChoiceField(
                    label=f"{s.code} {' '.join(s.modifiers)} is for",
                    choices=choices,
                    required=False,
                )

    def chosen(self) -> dict[int, int]:
        """service row → claim line."""
        return {
            int(name[5:]): int(value)
            for name, value in self.cleaned_data.items()
            if name.startswith("line_") and value
        }


class ReturnForm(house.HouseForm):
    reason = forms.CharField(label="Why it goes back", max_length=200)


class ToPatientForm(house.HouseForm):
    mrn = forms.CharField(label="MRN of the patient", max_length=40)
    reason = forms.CharField(label="Why it is theirs", max_length=200)


class DecideReturnForm(house.HouseForm):
    approve = forms.ChoiceField(
        label="Decision",
        choices=[("yes", "Send it back"), ("no", "Refuse")],
        widget=forms.RadioSelect,
    )
    reference = forms.CharField(label="Check or transfer number", max_length=40, required=False)
    note = forms.CharField(label="Note", max_length=200, required=False)


class GroupForm(house.HouseForm):
    """Which group of denials is meant: those of one payer with one reason."""

    organization = forms.IntegerField(widget=forms.HiddenInput)
    payer = forms.IntegerField(widget=forms.HiddenInput)
    group = forms.CharField(max_length=2, widget=forms.HiddenInput)
    reason = forms.CharField(max_length=5, widget=forms.HiddenInput)
    category = forms.CharField(max_length=30, required=False, widget=forms.HiddenInput)


class ParkForm(house.HouseForm):
    reason = forms.CharField(
        label="Why it cannot be worked now",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    review_on = house.DateField(
        label="Look at it again on",
        required=False,
        help_text="Empty: the usual cycle. Never after a deadline.",
    )


class CorrectForm(house.VersionedMixin, house.HouseForm):
    """What changes on the corrected claim; what stays empty stays as it is."""

    authorization_number = forms.CharField(
        label="Authorization number", max_length=50, required=False
    )
    diagnoses = forms.CharField(
        label="Diagnoses",
        max_length=120,
        required=False,
        help_text="ICD-10-CM codes, the first is the principal one",
    )
    referring_npi = house.NpiField(label="Referring NPI", required=False)
    note = forms.CharField(label="Note to the payer", max_length=80, required=False)
    reason = forms.CharField(label="What was wrong", max_length=200)
    submit = forms.BooleanField(
        label="Send it at once when no edit stops it", required=False, initial=True
    )

    def __init__(self, *args: Any, lines: Sequence[Any] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lines = list(lines)
        for line in self.lines:
            self.fields[f"modifiers_{line.number}"] = forms.CharField(
                label=f"Modifiers of line {line.number}, {line.code}",
                max_length=11,
                required=False,
                initial=" ".join(line.modifiers),
                help_text="At most four",
            )

    def changes(self) -> Changes:
        """Only what differs from the claim as it stands."""
        data = self.cleaned_data
        lines: dict[int, dict[str, Any]] = {}
        for line in self.lines:
            wanted = [
                m.upper()
                for m in data.get(f"modifiers_{line.number}", "").replace(",", " ").split()
            ]
            if wanted != list(line.modifiers):
                lines[line.number] = {"modifiers": wanted}
        codes = [c.upper().replace(".", "") for c in data["diagnoses"].replace(",", " ").split()]
        before = self.initial
        return Changes(
            authorization_number=(
                data["authorization_number"]
                if data["authorization_number"] != before.get("authorization_number", "")
                else None
            ),
            referring_npi=(
                data["referring_npi"]
                if data["referring_npi"] != before.get("referring_npi", "")
                else None
            ),
            diagnoses=codes if codes and codes != before.get("codes", []) else None,
            note=data["note"] or None,
            lines=lines,
        )


class AppealForm(house.HouseForm):
    """The letter, ready to be changed, and the day it leaves."""

    letter = forms.CharField(
        label="Letter", widget=forms.Textarea(attrs={"rows": 30}), max_length=20_000
    )
    sent_on = house.DateField(label="Sent on")


class OutcomeForm(house.HouseForm):
    outcome = forms.ChoiceField(
        label="Outcome",
        choices=[
            ("overturned", "Overturned"),
            ("partial", "Partly overturned"),
            ("upheld", "Upheld"),
        ],
    )
    recovered = house.MoneyField(label="Amount promised", required=False)
    on = house.DateField(label="Decided on", past=True)


class VarianceForm(house.HouseForm):
    act = forms.ChoiceField(
        label="What now",
        choices=[
            ("dispute", "Dispute with the payer"),
            ("accept", "The payer is right"),
            ("recovered", "Paid since"),
        ],
    )
    amount = house.MoneyField(label="Amount recovered", required=False)
    note = forms.CharField(label="Why", max_length=300, widget=forms.Textarea(attrs={"rows": 3}))


class EobForm(house.HouseForm):
    """A paper EOB: the check on top, one row for each service line below. Adjustments as "CO-45
    300.00, PR-2 50.00".
    """

    sections = (
        ("Check", ("organization", "payer", "check_number", "paid_on", "amount", "document")),
    )
    document = forms.FileField(
        label="Scanned EOB",
        required=False,
        help_text="PDF, JPEG or PNG, up to 20 MB. Attach it when the EOB balances.",
    )
    organization = OrganizationField()
    payer = forms.ModelChoiceField(Payer.objects.none(), label="Payer")
    check_number = forms.CharField(label="Check or EFT number", max_length=50)
    paid_on = house.DateField(label="Check date", past=True)
    amount = house.MoneyField(label="Amount of the check", negative=True)

    def __init__(
        self, *args: Any, organizations: Iterable[int], rows: int = 6, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        found = Organization.objects.filter(pk__in=list(organizations))
        self.fields["organization"].queryset = found  # type: ignore[attr-defined]
        if len(found) == 1:
            self.fields["organization"].initial = found[0].pk
            self.fields["organization"].widget = forms.HiddenInput()
        self.fields["payer"].queryset = Payer.objects.filter(active=True)  # type: ignore[attr-defined]
        self.count = min(max(rows, 1), EOB_LINES)
        self.lines: list[dict[str, Any]] = [self._typed(n) for n in range(self.count)]

    NAMES = ("claim", "code", "modifiers", "billed", "paid", "adjustments", "withheld")

    def _typed(self, n: int) -> dict[str, Any]:
        data = self.data
        values = {
            name: (data.get(f"{name}_{n}", "") if self.is_bound else "").strip()[:120]
            for name in self.NAMES[:-1]
        }
        return values | {"n": n, "left": None, "error": ""}

    def read(self) -> KeyedEob | None:
        """The EOB as typed, with what is left of each line beside it; None while a row cannot be
        read.
        """
        claims: dict[str, list[KeyedLine]] = {}
        good = True
        for row in self.lines:
            if not any(row[name] for name in self.NAMES[:-1]):
                continue
            billed, paid = read_money(row["billed"]), read_money(row["paid"])
            adjustments, wrong = read_adjustments(row["adjustments"])
            if billed is None or paid is None or wrong or not row["claim"] or not row["code"]:
                row["error"] = wrong or "Enter claim, code, charge and paid amount."
                good = False
                continue
            row["left"] = billed - paid - sum((a.amount for a in adjustments), Decimal("0.00"))
            claims.setdefault(row["claim"], []).append(
                KeyedLine(
                    row["code"].upper()[:5],
                    billed,
                    paid,
                    adjustments,
                    tuple(row["modifiers"].upper().replace(",", " ").split()[:4]),
                )
            )
        if not good or not self.is_valid():
            return None
        data = self.cleaned_data
        return KeyedEob(
            data["payer"].pk,
            data["check_number"],
            data["paid_on"],
            data["amount"],
            [KeyedClaim(number, lines, _status(lines)) for number, lines in claims.items()],
        )


def _status(lines: Sequence[KeyedLine]) -> str:
    """Claim status as the paper implies it: negative money takes back."""
    return "22" if sum((line.billed for line in lines), Decimal(0)) < 0 else "1"


def read_adjustments(text: str) -> tuple[list[KeyedAdjustment], str]:
    """ "CO-45 300.00, PR-2 50.00" → adjustments, or the sentence that says what cannot be read."""
    found: list[KeyedAdjustment] = []
    for part in text.replace(";", ",").split(","):
        words = part.split()
        if not words:
            continue
        group, _, reason = words[0].upper().partition("-")
        amount = read_money(words[1]) if len(words) == 2 else None
        if group not in ("CO", "PR", "OA", "PI") or not reason or len(reason) > 5 or amount is None:
            return [], f"“{part.strip()}” must read like CO-45 300.00."
        found.append(KeyedAdjustment(group, reason, amount))
    return found, ""
