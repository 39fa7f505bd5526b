"""The house form: one column, label above, hint, error, input (GOV.UK and NHS patterns).

Fields here refuse what a person did not mean ("NaN", "1E5", full-width digits) and say which value
to enter; what was typed is echoed in the one written form (03/27/1958, $1,284.00 without the sign).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.renderers import TemplatesSetting

from rcm.accounts.clock import office_day
from rcm.web.format import MONTHS, mdy
from rcm.web.format import phone as phone_text

DJANGO_REQUIRED = str(forms.Field.default_error_messages["required"])
MONEY_MAX = Decimal("9999999999.99")
MONEY_SHAPE = re.compile(r"-?\$?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]{1,2})?")
DATE_SHAPES = (
    re.compile(r"(?P<m>[0-9]{2})(?P<d>[0-9]{2})(?P<y>[0-9]{4})"),
    re.compile(r"(?P<m>[0-9]{2})(?P<d>[0-9]{2})(?P<y>[0-9]{2})"),
    re.compile(r"(?P<m>[0-9]{1,2})(?P<s>[/\-. ])(?P<d>[0-9]{1,2})(?P=s)(?P<y>[0-9]{4}|[0-9]{2})"),
    re.compile(r"(?P<y>[0-9]{4})-(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})"),
    re.compile(r"(?P<d>[0-9]{1,2})[ \-](?P<mon>[A-Za-z]{3,9})[ \-](?P<y>[0-9]{4})"),
    re.compile(r"(?P<mon>[A-Za-z]{3,9}) (?P<d>[0-9]{1,2}),? (?P<y>[0-9]{4})"),
)
FIRST_YEAR, LAST_YEAR = 1880, 2200
NPI_PREFIX = "80840"
_STATE_LETTERS = """
AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR
PA RI SC SD TN TX UT VT VA WA WV WI WY PR VI GU AS MP
"""
STATES = tuple(_STATE_LETTERS.split())


class HouseRenderer(TemplatesSetting):
    """Forms render through templates/components/form.html and field.html."""

    form_template_name = "components/form.html"
    field_template_name = "components/field.html"


def luhn_npi(text: str) -> bool:
    """Whether ten digits are a valid NPI: Luhn over 80840 and the number (45 CFR 162.406)."""
    if not re.fullmatch(r"[0-9]{10}", text):
        return False
    total = 0
    for position, digit in enumerate(reversed(NPI_PREFIX + text)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _real_day(year: int, month: int, day: int, last_year: int) -> dt.date | None:
    try:
        return dt.date(year, month, day) if FIRST_YEAR <= year <= last_year else None
    except ValueError:
        return None


def read_date(
    text: str, *, past: bool = False, today: dt.date | None = None, last_year: int = LAST_YEAR
) -> dt.date | None:
    """A date as US staff type it, or `None`: 03271958, 3/27/58, 2026-03-27, 27-Mar-1958, Mar 27,
    1958.

    Two-digit years fall within the last 80 years and the next 20; with `past` (birth, service,
    injury) never after today.
    """
    text = text.strip()
    today = today or office_day()
    for shape in DATE_SHAPES:
        found = shape.fullmatch(text)
        if found is None:
            continue
        part = found.groupdict()
        if part.get("mon"):
            short = part["mon"][:3].title()
            if short not in MONTHS:
                return None
            month = MONTHS.index(short) + 1
        else:
            month = int(part["m"])
        year, two_digits = int(part["y"]), len(part["y"]) == 2
        if two_digits:
            year += today.year // 100 * 100
            year -= 100 if year > today.year + 20 else 0
        day = _real_day(year, month, int(part["d"]), last_year)
        if past and two_digits and day and day > today:
            day = _real_day(year - 100, month, int(part["d"]), last_year)
        return day
    return None


def _article(label: str) -> str:
    """The label inside a sentence: "Member ID" becomes "member ID", "NPI" stays."""
    return label if len(label) > 1 and label[1].isupper() else label[:1].lower() + label[1:]


class _Text(forms.CharField):
    """One line of text with the house's habits: trimmed, no browser memory of patient data."""

    keyboard = ""
    width = ""

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        found = super().widget_attrs(widget)
        found.setdefault("autocomplete", "off")
        found["spellcheck"] = "false"
        if self.keyboard:
            found["inputmode"] = self.keyboard
        if self.width:
            found["class"] = f"w-{self.width}"
        return found

    def refuse(self, sentence: str, code: str = "invalid") -> None:
        raise ValidationError(self.error_messages.get(code, sentence), code=code)


class DateField(_Text):
    """A calendar date typed as text. `past=True` refuses the future (birth, service); `earliest` an
    older one.
    """

    keyboard = "numeric"
    width = "10"

    def __init__(
        self, *, past: bool = False, earliest: dt.date | None = None, **options: Any
    ) -> None:
        self.past = past
        self.earliest = earliest
        options.setdefault("help_text", "Month, day, year, such as 03271958")
        options.setdefault("max_length", 20)
        super().__init__(**options)
        self.validators = []

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, dt.date):
            return mdy(value)
        if isinstance(value, str):
            found = read_date(value, past=self.past)
            return mdy(found) if found else value
        return value

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values or isinstance(value, dt.date):
            return value or None
        # 2990 is no day of ours, but where the past is asked it has a better sentence: it lies in
        # the future
        found = read_date(
            str(value), past=self.past, last_year=dt.MAXYEAR if self.past else LAST_YEAR
        )
        if found is None:
            self.refuse(f"{self.label or 'Date'} must be a real date, such as 03/27/1958")
        assert found is not None
        if self.past and found > office_day():
            self.refuse(
                f"{self.label or 'Date'} must be today or earlier, not in the future", "future"
            )
        if self.earliest and found < self.earliest:
            self.refuse(f"{self.label or 'Date'} must be {mdy(self.earliest)} or later", "early")
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        if self.disabled:
            return False
        return bool(initial != (read_date(str(data), past=self.past) if data else None))


def read_money(text: str) -> Decimal | None:
    """An amount as people write it (`1284`, `1,284.00`, `$12.4`), or `None` for anything else.

    Refuses exponents, NaN, infinity, more than two decimals, misplaced commas, minus zero, digits
    of other scripts and more than ten digits before the point.
    """
    text = text.strip(" ")
    if not MONEY_SHAPE.fullmatch(text):
        return None
    amount = Decimal(text.replace("$", "").replace(",", ""))
    if abs(amount) > MONEY_MAX or (amount == 0 and text.startswith("-")):
        return None
    return amount.quantize(Decimal("0.01"))


class MoneyField(_Text):
    """Dollars and cents as Decimal. Zero is allowed unless `positive=True`; a minus only with
    `negative=True`.
    """

    keyboard = "decimal"
    width = "10"
    is_money = True

    def __init__(
        self,
        *,
        negative: bool = False,
        positive: bool = False,
        maximum: Decimal | None = None,
        **options: Any,
    ) -> None:
        self.negative, self.positive, self.maximum = negative, positive, maximum
        options.setdefault("max_length", 20)
        super().__init__(**options)
        self.validators = []

    def prepare_value(self, value: Any) -> Any:
        amount = (
            value
            if isinstance(value, Decimal)
            else read_money(value)
            if isinstance(value, str)
            else None
        )
        return f"{amount:,.2f}" if amount is not None else value

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values or isinstance(value, Decimal):
            return value if isinstance(value, Decimal) else None
        amount = read_money(str(value))
        label = self.label or "Amount"
        if amount is None:
            self.refuse(f"{label} must be dollars and cents, such as 1,284.00")
        assert amount is not None
        if amount < 0 and not self.negative:
            self.refuse(f"{label} must be zero or more", "negative")
        if amount <= 0 and self.positive:
            self.refuse(f"{label} must be more than zero", "zero")
        if self.maximum is not None and amount > self.maximum:
            self.refuse(f"{label} must be {self.maximum:,.2f} or less", "maximum")
        return amount

    def has_changed(self, initial: Any, data: Any) -> bool:
        return not self.disabled and initial != (read_money(str(data)) if data else None)


class ShapeField(_Text):
    """Text that is cleaned and must then match one shape; the sentence says which."""

    shape: re.Pattern[str]
    drop = re.compile(r"\s")
    sentence = "{label} is not in the right form"

    def to_python(self, value: Any) -> Any:
        text = self.drop.sub("", super().to_python(value) or "")
        if not text:
            return self.empty_value
        text = self.normal(text)
        if not self.shape.fullmatch(text):
            self.refuse(self.sentence.format(label=self.label or "This"))
        return text

    def normal(self, text: str) -> str:
        return text


class MemberIdField(ShapeField):
    """The identifier on the insurance card: letters and digits, kept as printed without spaces."""

    width = "20"
    shape = re.compile(r"[A-Z0-9][A-Z0-9\-]{1,79}")
    sentence = "{label} has only letters, digits and hyphens; copy it from the card"

    def __init__(self, **options: Any) -> None:
        options.setdefault("label", "Member ID")
        super().__init__(**options)
        self.widget.attrs["class"] = "w-20 code"

    def normal(self, text: str) -> str:
        return text.upper()


class NpiField(ShapeField):
    """A National Provider Identifier: ten digits whose check digit holds."""

    keyboard = "numeric"
    width = "10"
    shape = re.compile(r"[0-9]{10}")
    sentence = "{label} must be 10 digits"

    def __init__(self, **options: Any) -> None:
        options.setdefault("label", "NPI")
        super().__init__(**options)

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if text and not luhn_npi(text):
            self.refuse(
                f"{self.label or 'NPI'} has a wrong digit; check it against the order",
                "check_digit",
            )
        return text


class PhoneField(ShapeField):
    """A US telephone number, kept as ten digits, shown as (205) 555-0142."""

    keyboard = "tel"
    width = "15"
    drop = re.compile(r"[\s().\-+]")
    shape = re.compile(r"[2-9][0-9]{2}[2-9][0-9]{6}")
    sentence = "{label} must be 10 digits with the area code, such as (205) 555-0142"

    def normal(self, text: str) -> str:
        return text[1:] if len(text) == 11 and text.startswith("1") else text

    def prepare_value(self, value: Any) -> Any:
        return phone_text(value) if value else value


class ZipField(ShapeField):
    """A ZIP code of five digits or nine: kept as 35203 or 35203-1234."""

    keyboard = "numeric"
    width = "10"
    shape = re.compile(r"[0-9]{5}(-[0-9]{4})?")
    sentence = "{label} must be 5 digits, or 9 with the extension, such as 35203"

    def __init__(self, **options: Any) -> None:
        options.setdefault("label", "ZIP code")
        super().__init__(**options)

    def normal(self, text: str) -> str:
        return f"{text[:5]}-{text[5:]}" if re.fullmatch(r"[0-9]{9}", text) else text


class StateField(forms.ChoiceField):
    """A US state or territory by its postal letters."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("label", "State")
        super().__init__(choices=[("", "Choose a state"), *((s, s) for s in STATES)], **options)


class MenuMultiple(forms.CheckboxSelectMultiple):
    """Many choices in one closed menu: the filter bar's way of OR inside one field."""

    template_name = "components/menu_multiple.html"

    def __init__(
        self, title: str = "", attrs: dict[str, Any] | None = None, choices: Any = ()
    ) -> None:
        self.title = title
        super().__init__(attrs, choices)

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        found = super().get_context(name, value, attrs)
        picked = [
            str(option["label"])
            for _, options, _ in found["widget"]["optgroups"]
            for option in options
            if option["selected"]
        ]
        found["title"], found["picked"] = self.title or name.replace("_", " ").capitalize(), picked
        return found


def house_messages(fields: dict[str, forms.Field], names: Callable[[str], str]) -> None:
    """Give every field a sentence for "nothing entered" and the house's input habits."""
    for name, field in fields.items():
        label = _article(str(field.label or names(name)))
        if str(field.error_messages.get("required")) == DJANGO_REQUIRED:
            verb = "Confirm" if isinstance(field, forms.BooleanField) else "Enter"
            verb = (
                "Choose" if isinstance(field, forms.ChoiceField | forms.ModelChoiceField) else verb
            )
            field.error_messages["required"] = f"{verb} the {label}"
        if isinstance(field, forms.ChoiceField | forms.ModelChoiceField):
            field.error_messages["invalid_choice"] = f"Choose the {label} from the list"
        field.widget.attrs.setdefault("autocomplete", "off")


class HouseMixin:
    """What house forms share. `sections` groups the fields: `(("Person", ("family", "given")),
    …)`.
    """

    sections: Sequence[tuple[str, Sequence[str]]] = ()
    required_css_class = "required"
    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        self.use_required_attribute = False
        house_messages(self.fields, forms.utils.pretty_name)

    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The visible fields by section, in the section's order; the rest come last without a
        heading.
        """
        placed: set[str] = set()
        found: list[tuple[str, list[forms.BoundField]]] = []
        for heading, names in self.sections:
            here = [self[n] for n in names if n in self.fields]  # type: ignore[index]
            placed.update(names)
            found.append((heading, [f for f in here if not f.is_hidden]))
        rest = [self[n] for n in self.fields if n not in placed]  # type: ignore[index]
        visible = [f for f in rest if not f.is_hidden]
        return [*found, ("", visible)] if visible else found

    def first_errors(self) -> list[tuple[str, str]]:
        """Each error with the id of its input, in page order, for the summary."""
        lines = [("", str(e)) for e in self.non_field_errors()]  # type: ignore[attr-defined]
        for _, fields in self.groups():
            lines += [(_focus_id(field), str(e)) for field in fields for e in field.errors]
        return lines


def _focus_id(field: forms.BoundField) -> str:
    """The element a link of the error summary goes to: the first box of a group has a suffix."""
    if isinstance(field.field.widget, forms.RadioSelect | forms.CheckboxSelectMultiple):
        return f"{field.auto_id}_0"
    return str(field.id_for_label or field.auto_id)


class HouseForm(HouseMixin, forms.Form):
    """A form in the house style."""


class HouseModelForm(HouseMixin, forms.ModelForm):
    """A model form in the house style."""


class VersionedMixin(forms.Form):
    """The hidden row version of an edit page; the service compares it and answers a conflict."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
