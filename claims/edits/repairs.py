"""Format repairs: automatic, recorded, never a change of content (rule `repair-format-only`).

A repair may change how a value is written, not what it says: no code, date, amount, person or
number is ever added, removed or exchanged. Repairing twice changes nothing more.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from claims.edits.facts import Address, ClaimFacts, LineFacts
from claims.edits.format import SEPARATORS
from claims.edits.modifiers import ordered

_PLACE_NAMES = ("line1", "line2", "city")
_NAMES = (
    "patient_last",
    "patient_first",
    "subscriber_last",
    "subscriber_first",
    "billing_name",
    "ordering_name",
    "payer_name",
    "note",
)
_NUMBERS = (
    "claim_id",
    "payer_icn",
    "group_number",
    "prior_auth_number",
    "referral_number",
    "attachment_control",
)
_NPIS = ("billing_npi", "rendering_npi", "ordering_npi", "supervising_npi", "facility_npi")
_ADDRESSES = ("patient_address", "subscriber_address", "billing_address", "facility_address")


@dataclass(frozen=True, slots=True)
class Repair:
    """One recorded change of writing. `line` is the line's number, None for the claim."""

    rule: str
    field: str
    before: str
    after: str
    line: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "field": self.field,
            "before": self.before,
            "after": self.after,
            "line": self.line,
        }


def repair(claim: ClaimFacts) -> tuple[ClaimFacts, tuple[Repair, ...]]:
    """The claim as it should be written, and what was changed."""
    done: list[Repair] = []
    changes: dict[str, Any] = {}

    def fix(rule: str, name: str, how: Callable[[str], str]) -> None:
        before = getattr(claim, name)
        after = how(before)
        if after != before:
            changes[name] = after
            done.append(Repair(rule, name, before, after))

    for name in _NAMES:
        fix("text", name, plain_text)
    for name in _NUMBERS:
        fix("number", name, plain_number)
    fix("member", "member_id", plain_member)
    for name in _NPIS:
        fix("spaces", name, _unspaced)
    fix("tax_number", "billing_tin", _digits_if_only_marks)
    for name in ("billing_taxonomy", "rendering_taxonomy"):
        fix("capitals", name, lambda value: value.strip().upper())

    diagnoses = tuple(plain_diagnosis(code) for code in claim.diagnoses)
    if diagnoses != claim.diagnoses:
        for n, (before, after) in enumerate(zip(claim.diagnoses, diagnoses, strict=True), start=1):
            if before != after:
                done.append(Repair("diagnosis", f"diagnoses[{n}]", before, after))
        changes["diagnoses"] = diagnoses

    for name in _ADDRESSES:
        address = _address(getattr(claim, name), name, done)
        if address is not None:
            changes[name] = address
    lines = tuple(_line(line, done) for line in claim.lines)
    if lines != claim.lines:
        changes["lines"] = lines
    return (replace(claim, **changes) if changes else claim), tuple(done)


def plain_text(value: str) -> str:
    """Basic capital letters: accents folded, separators and controls to spaces, spaces joined."""
    if (
        value.isascii()
        and value.isupper()
        and value.isprintable()
        and SEPARATORS.isdisjoint(value)
        and "  " not in value
        and value == value.strip()
    ):
        return value
    folded = unicodedata.normalize("NFKD", value)
    kept = "".join(ch for ch in folded if not unicodedata.combining(ch))
    spaced = "".join(" " if ch in SEPARATORS or not ch.isprintable() else ch for ch in kept)
    return " ".join(spaced.upper().split())


def plain_number(value: str) -> str:
    """Outer spaces away, separators away; capitals and dashes stay, they may mean something to the
    payer.
    """
    return "".join(ch for ch in value.strip() if ch not in SEPARATORS and ch.isprintable())


def plain_member(value: str) -> str:
    return plain_number("".join(value.split())).upper()


def plain_diagnosis(code: str) -> str:
    return "".join(code.replace(".", "").split()).upper()


def plain_ndc(value: str) -> str:
    """5-4-2 digits without dashes; the shorter written forms get their leading zero. Anything else
    stays.
    """
    parts = value.strip().split("-")
    if len(parts) == 1:
        return value.strip()
    if all(part.isdigit() and part.isascii() for part in parts) and tuple(map(len, parts)) in {
        (5, 4, 2),
        (4, 4, 2),
        (5, 3, 2),
        (5, 4, 1),
    }:
        return parts[0].zfill(5) + parts[1].zfill(4) + parts[2].zfill(2)
    return value


def plain_zip(value: str) -> str:
    digits = value.replace("-", "").replace(" ", "")
    return digits if digits.isascii() and digits.isdigit() else value.strip()


def _unspaced(value: str) -> str:
    return "".join(value.split())


def _digits_if_only_marks(value: str) -> str:
    digits = value.replace("-", "").replace(" ", "")
    return digits if digits.isascii() and digits.isdigit() else value


def _address(address: Address, name: str, done: list[Repair]) -> Address | None:
    parts = {part: plain_text(getattr(address, part)) for part in _PLACE_NAMES}
    parts["state"] = address.state.strip().upper()
    parts["zip"] = plain_zip(address.zip)
    changed = {part: after for part, after in parts.items() if after != getattr(address, part)}
    for part, after in changed.items():
        done.append(Repair("address", f"{name}.{part}", getattr(address, part), after))
    return replace(address, **changed) if changed else None


def _line(line: LineFacts, done: list[Repair]) -> LineFacts:
    modifiers = ordered(tuple(mod.strip().upper() for mod in line.modifiers if mod.strip()))
    parts: dict[str, Any] = {
        "code": line.code.strip().upper(),
        "modifiers": modifiers,
        "ndc": plain_ndc(line.ndc),
        "description": plain_text(line.description),
        "auth_number": plain_number(line.auth_number),
        "rendering_npi": _unspaced(line.rendering_npi),
        "ordering_npi": _unspaced(line.ordering_npi),
        "control_number": plain_number(line.control_number),
    }
    changed = {name: after for name, after in parts.items() if after != getattr(line, name)}
    for name, after in changed.items():
        before = getattr(line, name)
        done.append(Repair("line", f"lines.{name}", _shown(before), _shown(after), line.number))
    return replace(line, **changed) if changed else line


def _shown(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else " ".join(value)
