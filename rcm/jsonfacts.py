"""From JSON to frozen facts: one strict reader for every engine behind the API.

Types come from the dataclass itself. Every problem becomes `{field, code, message}`; unknown keys
are problems too, since a misspelled fact would otherwise count as "not given".
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from typing import Any, TypedDict, TypeVar

MAX_TEXT = 2_000
MAX_ITEMS = 10_000
MAX_NUMBER = Decimal(10) ** 12

T = TypeVar("T")


class Problem(TypedDict):
    field: str
    code: str
    message: str


def problem(field: str, code: str, message: str) -> Problem:
    return {"field": field, "code": code, "message": message}


def read_facts(kind: type[T], data: object, path: str, problems: list[Problem]) -> T | None:
    """Build `kind` from a JSON object, or None with every reason added to `problems`."""
    if not isinstance(data, Mapping):
        problems.append(problem(path, "not_an_object", "Give an object here."))
        return None
    before = len(problems)
    hints, required = _shape(kind)  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, raw in data.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in hints:
            problems.append(
                problem(where, "unknown_field", f"There is no field '{str(key)[:60]}' here.")
            )
            continue
        if raw is None and key not in required:
            continue
        values[key] = _value(hints[key], raw, where, problems)
    for key in sorted(required - set(data)):
        problems.append(
            problem(f"{path}.{key}" if path else key, "required", "This field is needed.")
        )
    return None if len(problems) > before else kind(**values)


@cache
def _shape(kind: type) -> tuple[dict[str, Any], frozenset[str]]:
    hints = typing.get_type_hints(kind)
    required = {
        item.name
        for item in dataclasses.fields(kind)
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    }
    return {item.name: hints[item.name] for item in dataclasses.fields(kind)}, frozenset(required)


def _value(hint: Any, raw: object, path: str, problems: list[Problem]) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if raw is None:
            return None
        hint = next(item for item in typing.get_args(hint) if item is not type(None))
        origin = typing.get_origin(hint)
    if origin in (tuple, frozenset):
        return _items(hint, origin, raw, path, problems)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return read_facts(hint, raw, path, problems)
    reader = _SCALARS.get(hint)
    if reader is None and isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint, raw, path, problems)
    if reader is None:
        problems.append(problem(path, "not_accepted", "This field cannot be given from outside."))
        return None
    try:
        return reader(raw)
    except (ValueError, TypeError, InvalidOperation, OverflowError) as error:
        problems.append(problem(path, "invalid", str(error) or "This value cannot be read."))
        return None


def _items(hint: Any, origin: type, raw: object, path: str, problems: list[Problem]) -> Any:
    if not isinstance(raw, (list, tuple)):
        problems.append(problem(path, "not_a_list", "Give a list here."))
        return origin()
    if len(raw) > MAX_ITEMS:
        problems.append(problem(path, "too_many", f"At most {MAX_ITEMS} entries."))
        return origin()
    inner = typing.get_args(hint)[0]
    return origin(_value(inner, item, f"{path}[{n}]", problems) for n, item in enumerate(raw))


def _enum(hint: type[Enum], raw: object, path: str, problems: list[Problem]) -> Any:
    try:
        return hint(raw)
    except ValueError:
        allowed = ", ".join(str(item.value) for item in hint)
        problems.append(problem(path, "not_a_choice", f"Give one of: {allowed}."))
        return None


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError("Give a text here.")
    if len(raw) > MAX_TEXT:
        raise ValueError(f"At most {MAX_TEXT} characters.")
    return raw


def _whole(raw: object) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise ValueError("Give a whole number.")
    if abs(raw) > MAX_NUMBER:
        raise ValueError("The number is too large.")
    return raw


def _flag(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise ValueError("Give true or false.")
    return raw


def _decimal(raw: object) -> Decimal:
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float, Decimal)):
        raise ValueError("Give an amount, best as text.")
    try:
        number = Decimal(str(raw).strip()[:40])
    except InvalidOperation:
        raise ValueError("Give an amount, best as text.") from None
    if not number.is_finite() or abs(number) > MAX_NUMBER:
        raise ValueError("The amount is not a usable number.")
    return number


def _date(raw: object) -> date:
    if not isinstance(raw, str):
        raise ValueError("Give a date as YYYY-MM-DD.")
    try:
        return date.fromisoformat(raw)
    except ValueError:
        raise ValueError("Give a date as YYYY-MM-DD.") from None


_SCALARS: dict[Any, Any] = {str: _text, int: _whole, bool: _flag, Decimal: _decimal, date: _date}
