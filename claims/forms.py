"""Forms of the claim phase: changes, reasons, payer rules without code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django import forms

from claims.edits.registry import Owner
from claims.edits.userrules import FIELDS, OPERATORS
from claims.models import Claim, ClaimLine
from claims.present import OWNERS
from claims.records import Changes
from claims.services.papers import CHANNELS
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.reference.models import Payer
from rcm.web import forms as house

CONDITIONS = 6
_CODE = {"class": "code", "autocomplete": "off", "spellcheck": "false"}
OPERATOR_WORDS = {
    "eq": "is",
    "ne": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "starts_with": "starts with",
    "lt": "is below",
    "gt": "is above",
    "between": "is between",
    "present": "is given",
    "absent": "is not given",
}


def _reason() -> forms.CharField:
    return forms.CharField(label="Reason", max_length=200, widget=forms.Textarea(attrs={"rows": 2}))


def choose_organization(form: forms.Form, actor: Actor, own: Organization | None) -> None:
    """The organizations a person may choose among; no choice where there is one."""
    mine = Organization.objects.filter(pk__in=actor.organizations)
    choice = form.fields["organization"]
    choice.queryset = mine if own is None else mine.filter(pk=own.pk)  # type: ignore[attr-defined]
    if own is not None or len(actor.organizations) == 1:
        choice.widget = forms.HiddenInput()
        form.initial["organization"] = own.pk if own else min(actor.organizations)


class ReasonForm(house.VersionedMixin, house.HouseForm):
    """A decision that needs only its reason."""

    reason = _reason()


class VoidForm(ReasonForm):
    """An unfiled claim is taken back, and its charges go somewhere."""

    HOLD, AGAIN = "hold", "again"
    then = forms.ChoiceField(
        label="Its charges",
        choices=[
            (HOLD, "Wait in the queue of charges without a claim"),
            (AGAIN, "Go on a new claim at once"),
        ],
        initial=HOLD,
        required=False,
    )


class PrinterForm(house.VersionedMixin, house.HouseForm):
    """A printer for the red form and its shift."""

    name = forms.CharField(label="Name", max_length=40, help_text="As your office calls it")
    organization = forms.ModelChoiceField(
        label="Organization", queryset=Organization.objects.none()
    )
    right = forms.DecimalField(
        label="Move right, inches",
        max_digits=4,
        decimal_places=2,
        min_value=-1,
        max_value=1,
        initial=0,
        help_text="Minus moves left",
    )
    down = forms.DecimalField(
        label="Move down, inches",
        max_digits=4,
        decimal_places=2,
        min_value=-1,
        max_value=1,
        initial=0,
        help_text="Minus moves up",
    )
    active = forms.BooleanField(label="In use", required=False, initial=True)

    def __init__(
        self, actor: Actor, *args: Any, organization: Organization | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        choose_organization(self, actor, organization)


class ChangeForm(house.VersionedMixin, house.HouseForm):
    """What a biller may change on a claim; codes, units and charges follow the exam and are changed
    there.
    """

    sections: Sequence[tuple[str, Sequence[str]]] = (
        (
            "Claim",
            ("authorization_number", "referral_number", "referring_npi", "diagnoses", "note"),
        ),
        ("When the payer asks", ("attachment_control", "delay_reason")),
    )
    authorization_number = forms.CharField(
        label="Authorization number",
        max_length=50,
        required=False,
        widget=forms.TextInput(attrs=_CODE),
    )
    referral_number = forms.CharField(
        label="Referral number", max_length=50, required=False, widget=forms.TextInput(attrs=_CODE)
    )
    referring_npi = house.NpiField(label="Ordering NPI", required=False)
    diagnoses = forms.CharField(
        label="Diagnoses, primary first",
        max_length=120,
        help_text="ICD-10-CM codes, up to twelve",
        widget=forms.TextInput(attrs=_CODE),
    )
    note = forms.CharField(label="Claim note", max_length=80, required=False)
    attachment_control = forms.CharField(
        label="Attachment control number",
        max_length=50,
        required=False,
        widget=forms.TextInput(attrs=_CODE),
    )
    delay_reason = forms.ChoiceField(
        label="Delay reason",
        required=False,
        choices=[
            ("", "None"),
            ("1", "Proof of eligibility was not known"),
            ("3", "Authorization was delayed"),
            ("4", "The payer delayed"),
            ("7", "Another payer had to decide first"),
            ("8", "Eligibility was granted later"),
            ("11", "Other"),
        ],
    )
    reason = _reason()

    def __init__(self, claim: Claim, lines: Sequence[ClaimLine], *args: Any, **kwargs: Any) -> None:
        self.claim, self.lines = claim, lines
        initial = {
            "authorization_number": claim.authorization_number,
            "referring_npi": claim.referring_npi,
            "diagnoses": " ".join(claim.diagnoses),
            "note": claim.note,
            "version": claim.version,
            **{
                name: claim.extra.get(name, "")
                for name in ("referral_number", "attachment_control", "delay_reason")
            },
        }
        names = []
        for line in lines:
            initial[f"modifiers_{line.number}"] = " ".join(line.modifiers)
            initial[f"pointers_{line.number}"] = " ".join(map(str, line.pointers))
            names += [f"modifiers_{line.number}", f"pointers_{line.number}"]
        self.sections = (*type(self).sections, ("Lines", tuple(names)), ("Why", ("reason",)))
        kwargs["initial"] = {**initial, **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)

    @classmethod
    def for_claim(cls, claim: Claim, lines: Sequence[ClaimLine], data: Any) -> ChangeForm:
        """A form with two fields for each line of the claim."""
        more: dict[str, forms.Field] = {}
        for line in lines:
            more[f"modifiers_{line.number}"] = forms.CharField(
                label=f"Modifiers of line {line.number}, {line.code}",
                max_length=20,
                required=False,
                widget=forms.TextInput(attrs=_CODE),
            )
            more[f"pointers_{line.number}"] = forms.CharField(
                label=f"Diagnoses of line {line.number}",
                max_length=12,
                help_text="Places in the list above, such as 1 2",
                widget=forms.TextInput(attrs=_CODE),
            )
        made = type("ChangeForm", (cls,), more)
        return made(claim, lines, data)  # type: ignore[no-any-return]

    def changes(self) -> Changes:
        """Only what differs from the claim."""
        told: Mapping[str, Any] = self.cleaned_data

        def changed(name: str) -> Any:
            return told[name] if name in self.changed_data else None

        lines: dict[int, dict[str, Any]] = {}
        for line in self.lines:
            if f"modifiers_{line.number}" in self.changed_data:
                lines.setdefault(line.number, {})["modifiers"] = (
                    told[f"modifiers_{line.number}"].replace(",", " ").split()
                )
            if f"pointers_{line.number}" in self.changed_data:
                lines.setdefault(line.number, {})["pointers"] = (
                    told[f"pointers_{line.number}"].replace(",", " ").split()
                )
        diagnoses = changed("diagnoses")
        return Changes(
            authorization_number=changed("authorization_number"),
            referring_npi=changed("referring_npi"),
            diagnoses=None if diagnoses is None else diagnoses.replace(",", " ").split(),
            note=changed("note"),
            attachment_control=changed("attachment_control"),
            referral_number=changed("referral_number"),
            delay_reason=changed("delay_reason"),
            lines=lines,
        )

    def clean(self) -> dict[str, Any]:
        told = super().clean() or {}
        for line in self.lines:
            name = f"pointers_{line.number}"
            words = told.get(name, "").replace(",", " ").split()
            if not all(w.isdecimal() for w in words):
                self.add_error(name, "Give places in the list of diagnoses, such as 1 2.")
        return told


def _field_choices() -> Iterator[tuple[str, Any]]:
    yield "", "No condition"
    claim = [(f.name, f"{f.name}: {f.words}") for f in FIELDS.values() if not f.of_line]
    line = [(f.name, f"{f.name}: {f.words}") for f in FIELDS.values() if f.of_line]
    yield "Claim", claim
    yield "Line", line


NO_PAPER = "none"


class RecordsForm(house.HouseForm):
    channel = forms.ChoiceField(
        label="How it goes", choices=[*CHANNELS, (NO_PAPER, "Nothing is sent")]
    )
    note = forms.CharField(label="Note", max_length=200, required=False)


class RuleForm(house.HouseForm):
    """A payer rule without code: up to six conditions, all or any of them, and what happens."""

    sections = (
        ("Rule", ("name", "organization", "payer", "effective_from", "effective_to")),
        (
            "Conditions",
            (
                "join",
                *(f"c{n}_{part}" for n in range(CONDITIONS) for part in ("field", "op", "value")),
            ),
        ),
        ("What happens", ("action", "sentence", "fix", "owner")),
    )
    name = forms.CharField(label="Name", max_length=80)
    organization = forms.ModelChoiceField(
        label="Organization", queryset=Organization.objects.none()
    )
    payer = forms.ModelChoiceField(
        label="Payer", queryset=Payer.objects.all(), required=False, empty_label="Every payer"
    )
    effective_from = house.DateField(label="For services from", required=False)
    effective_to = house.DateField(label="For services until", required=False)
    join = forms.ChoiceField(
        label="The rule fires when",
        choices=[("all", "all conditions hold"), ("any", "any condition holds")],
    )
    action = forms.ChoiceField(label="Then", choices=[("hold", "hold the claim"), ("warn", "warn")])
    sentence = forms.CharField(label="Sentence for the biller", max_length=200)
    fix = forms.CharField(label="What to do", max_length=200, required=False)
    owner = forms.ChoiceField(
        label="Who",
        choices=[(o.value, OWNERS.get(o.value, o.value)) for o in Owner],
        initial="biller",
    )

    def __init__(
        self, actor: Actor, *args: Any, organization: Organization | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        choose_organization(self, actor, organization)

    def definition(self) -> dict[str, Any]:
        """The conditions as the engine's JSON. Conditions on lines stand together: one line must
        meet them all.
        """
        told = self.cleaned_data
        claim: list[dict[str, Any]] = []
        line: list[dict[str, Any]] = []
        self._places: dict[tuple[str, int], int] = {}
        for n in range(CONDITIONS):
            name, op, value = (
                told.get(f"c{n}_field"),
                told.get(f"c{n}_op"),
                told.get(f"c{n}_value", "").strip(),
            )
            if not name:
                continue
            of_line = name in FIELDS and FIELDS[name].of_line
            target = line if of_line else claim
            self._places[("line" if of_line else "claim", len(target))] = n
            target.append({"field": name, "op": op, **_value(op, value)})
        word = told["join"]
        nodes: list[dict[str, Any]] = list(claim)
        if line:
            nodes.append({"any_line": {word: line}})
        rule: dict[str, Any] = {
            "when": {word: nodes} if nodes else {},
            "then": {
                "action": told["action"],
                "sentence": told["sentence"],
                "fix": told["fix"],
                "owner": told["owner"],
            },
        }
        for key in ("effective_from", "effective_to"):
            if told.get(key):
                rule[key] = told[key].isoformat()
        return rule

    def place_of(self, path: str) -> str | None:
        """The field of this form that a problem's path means; None for the whole rule."""
        if path.startswith("then."):
            name = path[5:]
            return name if name in self.fields else None
        if path in self.fields:
            return path
        if not path.startswith("when"):
            return None
        in_line = ".any_line." in path
        numbers = [
            int(part.split("]")[0])
            for part in path.split("[")[1:]
            if part.split("]")[0].isdecimal()
        ]
        part = path.rpartition(".")[2].split("[")[0]
        if not numbers:
            return "c0_field"
        index = numbers[1] if in_line and len(numbers) > 1 else numbers[0]
        n = self._places.get(("line" if in_line else "claim", index))
        return (
            None if n is None else f"c{n}_{part if part in ('field', 'op', 'value') else 'field'}"
        )

    @staticmethod
    def initial_of(definition: Mapping[str, Any]) -> dict[str, Any] | None:
        """The form's values for a stored definition; None when it is of a form that this editor
        does not draw.
        """
        when, then = definition.get("when", {}), definition.get("then", {})
        if len(when) != 1 or next(iter(when)) not in ("all", "any"):
            return None
        word, nodes = next(iter(when.items()))
        flat: list[Mapping[str, Any]] = []
        for node in nodes:
            if "field" in node:
                flat.append(node)
            elif set(node) == {"any_line"} and set(node["any_line"]) == {word}:
                flat += node["any_line"][word]
            else:
                return None
        if len(flat) > CONDITIONS or not all("field" in node for node in flat):
            return None
        found: dict[str, Any] = {
            "join": word,
            **{k: then.get(k, "") for k in ("action", "sentence", "fix", "owner")},
        }
        for n, node in enumerate(flat):
            value = node.get("value", "")
            found |= {
                f"c{n}_field": node["field"],
                f"c{n}_op": node["op"],
                f"c{n}_value": (
                    ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                ),
            }
        for key in ("effective_from", "effective_to"):
            found[key] = definition.get(key)
        return found


def _value(op: str | None, text: str) -> dict[str, Any]:
    if op in ("present", "absent"):
        return {}
    if op in ("in", "not_in", "between"):
        return {"value": [part.strip() for part in text.split(",") if part.strip()]}
    return {"value": text}


for _n in range(CONDITIONS):
    RuleForm.base_fields[f"c{_n}_field"] = forms.ChoiceField(
        label=f"Condition {_n + 1}", choices=list(_field_choices()), required=False
    )
    RuleForm.base_fields[f"c{_n}_op"] = forms.ChoiceField(
        label=f"Comparison {_n + 1}",
        choices=[(op, OPERATOR_WORDS[op]) for op in OPERATORS],
        required=False,
    )
    RuleForm.base_fields[f"c{_n}_value"] = forms.CharField(
        label=f"Value {_n + 1}",
        max_length=300,
        required=False,
        help_text="Several separated by commas" if _n == 0 else "",
        widget=forms.TextInput(attrs=_CODE),
    )
