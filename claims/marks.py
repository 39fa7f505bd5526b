"""One service is billed once, whoever bills it: a mark for each billed component, held by the
platform as a fingerprint and asked without revealing.

A mark says: this person's component (the reading or the technical part) of an exam of this family
was billed for this day. It is kept as a keyed digest, so that nobody can read it back; the answer
to a question is yes or no, from one statement whatever it finds. Who billed, under which number
and for how much is not in it. The organization's own marks never answer: its own duplicates are
told by its own history.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings
from django.db import connection

from claims.models import Claim, ClaimLine
from intake.models import Patient
from rcm.pricing.forms import DISTINCT_SERVICE
from rcm.reference.facts import current, drug_kind, procedure_versions
from rcm.reference.models import Procedure

READING, TECHNICAL = "26", "TC"
WORDS = {READING: "reading", TECHNICAL: "technical part"}
ANY_SIDE = "*"


@dataclass(frozen=True, slots=True)
class Mark:
    """One component of one line as a fingerprint."""

    line_id: int
    part: str
    fingerprint: str


@lru_cache(maxsize=1)
def _key() -> bytes:
    return hashlib.sha256(b"service marks:" + settings.SECRET_KEY.encode()).digest()


def _digest(*parts: object) -> str:
    text = "|".join(str(p) for p in parts)
    return hmac.new(_key(), text.encode(), hashlib.sha256).hexdigest()


def _letters(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Z]", "", plain.upper())


def _persons(claim: Claim) -> tuple[str, ...]:
    """The person as two organizations may know them: by name and birth, and by insurance."""
    patient: Patient = claim.patient
    first = _letters(patient.first_name.split(" ")[0]) if patient.first_name.strip() else ""
    by_name = f"N|{_letters(patient.last_name)}|{first}|{patient.born_on}"
    member = re.sub(r"[^0-9A-Z]", "", claim.coverage.member_id.upper())
    by_policy = f"M|{claim.payer.code}|{member}|{patient.born_on}|{first}" if member else ""
    return tuple(p for p in (by_name, by_policy) if p)


def _parts(modifiers: Sequence[str]) -> tuple[str, ...]:
    if READING in modifiers:
        return (READING,)
    return (TECHNICAL,) if TECHNICAL in modifiers else (READING, TECHNICAL)


def _sides(modifiers: Sequence[str]) -> tuple[str, ...]:
    if "50" in modifiers:
        return ("RT", "LT")
    return tuple(m for m in ("RT", "LT") if m in modifiers) or (ANY_SIDE,)


def _asked_sides(own: tuple[str, ...]) -> tuple[str, ...]:
    """A line without a side meets every side; one with a side meets its own and the unsided."""
    return (ANY_SIDE, "RT", "LT") if own == (ANY_SIDE,) else (ANY_SIDE, *own)


Book = Mapping[str, tuple[Procedure, ...]]


def _family(code: str, on: dt.date, book: Book) -> str | None:
    """The code family that two lines share; None for supplies, which travel with their exam."""
    row = current(book.get(code, ()), on)
    if row is not None and drug_kind(row):
        return None
    return (row.family if row is not None else "") or code


def line_marks(claim: Claim, line: ClaimLine, sides: tuple[str, ...], book: Book) -> list[Mark]:
    """The fingerprints of what a line bills, for these sides of the body."""
    family = _family(line.code, line.service_date, book)
    if family is None:
        return []
    return [
        Mark(line.pk, part, _digest(person, line.service_date.isoformat(), family, part, side))
        for person in _persons(claim)
        for part in _parts(line.modifiers)
        for side in sides
    ]


def _asks(claim: Claim, line: ClaimLine, book: Book) -> list[Mark]:
    """What to ask about a line; nothing when its modifiers say that it was done again."""
    if DISTINCT_SERVICE.intersection(line.modifiers) or claim.frequency == "8" or claim.rank > 1:
        return []
    return line_marks(claim, line, _asked_sides(_sides(line.modifiers)), book)


def _holder(organization_id: int) -> str:
    return _digest("holder", organization_id)


def _claim_print(claim_id: int) -> str:
    return _digest("claim", claim_id)


def billed_elsewhere(
    claims: Iterable[Claim], lines: Mapping[int, Sequence[ClaimLine]]
) -> dict[int, tuple[str, ...]]:
    """The components of each line that another entity has billed: {line id: ("26", "TC")}. One
    statement for each organization, whatever it finds.
    """
    asks: dict[int, list[Mark]] = defaultdict(list)
    book = procedure_versions()
    for claim in claims:
        for line in lines.get(claim.pk, ()):
            asks[claim.organization_id] += _asks(claim, line, book)
    found: dict[int, set[str]] = defaultdict(set)
    for organization_id, own in asks.items():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT * FROM isocenter_marks_asked(%s, %s)",
                [[m.fingerprint for m in own], _holder(organization_id)],
            )
            held = {row[0] for row in cursor.fetchall()}
        for mark in own:
            if mark.fingerprint in held:
                found[mark.line_id].add(mark.part)
    return {line_id: tuple(sorted(parts)) for line_id, parts in found.items()}


def marks_put(claims: Sequence[Claim]) -> set[int]:
    """Mark what these claims bill, as they leave; returns the claims of which another entity has
    billed a component first. Nothing of those is marked.
    """
    lines: dict[int, list[ClaimLine]] = defaultdict(list)
    if not claims:
        return set()
    for line in ClaimLine.objects.filter(claim_id__in=[c.pk for c in claims]).order_by("id"):
        lines[line.claim_id].append(line)
    elsewhere = billed_elsewhere(claims, lines)
    taken = {line.claim_id for own in lines.values() for line in own if line.pk in elsewhere}
    puts: dict[int, list[tuple[str, str]]] = defaultdict(list)
    book = procedure_versions()
    owners: dict[str, int] = {}
    for claim in claims:
        if claim.pk in taken or claim.rank > 1 or claim.frequency == "8":
            continue
        name = _claim_print(claim.pk)
        owners[name] = claim.pk
        puts[claim.organization_id] += [
            (mark.fingerprint, name)
            for line in lines[claim.pk]
            if not DISTINCT_SERVICE.intersection(line.modifiers)
            for mark in line_marks(claim, line, _sides(line.modifiers), book)
        ]
    for organization_id, own in puts.items():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT * FROM isocenter_marks_put(%s, %s, %s)",
                [[p for p, _ in own], [c for _, c in own], _holder(organization_id)],
            )
            lost = {row[0] for row in cursor.fetchall()}
        taken |= {owners[name] for print_, name in own if print_ in lost}
    marks_free([c for c in claims if c.pk in taken])
    return taken


def marks_free(claims: Iterable[Claim]) -> None:
    """Claims that bill nothing any more (void, rejected, denied, stopped): others may bill it."""
    names: dict[int, list[str]] = defaultdict(list)
    for claim in claims:
        names[claim.organization_id].append(_claim_print(claim.pk))
    for organization_id, own in names.items():
        with connection.cursor() as cursor:
            cursor.execute("SELECT isocenter_marks_free(%s, %s)", [own, _holder(organization_id)])
