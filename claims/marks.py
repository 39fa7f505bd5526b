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
import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

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


class Subject(NamedTuple):
    """A claim as marks know it: who was examined, and whether it bills a service at all."""

    pk: int
    organization_id: int
    rank: int
    frequency: str
    first_name: str
    last_name: str
    born_on: dt.date
    member_id: str
    payer_code: str


class Billed(NamedTuple):
    """A line as marks know it."""

    pk: int
    claim_id: int
    code: str
    modifiers: Sequence[str]
    service_date: dt.date


class Asked(NamedTuple):
    """The fingerprints of one line for the sides it may meet, by person, part and side; those of
    its own sides among them are what it bills.
    """

    line_id: int
    claim_id: int
    parts: tuple[str, ...]
    own: tuple[str, ...]
    sides: tuple[str, ...]
    prints: list[str]

    def marks(self) -> list[Mark]:
        keys = itertools.cycle((part, side) for part in self.parts for side in self.sides)
        return [
            Mark(self.line_id, part, found)
            for (part, _), found in zip(keys, self.prints, strict=False)
        ]

    def billed(self) -> list[str]:
        keys = itertools.cycle(side for _ in self.parts for side in self.sides)
        return [found for side, found in zip(keys, self.prints, strict=False) if side in self.own]


def subject(claim: Claim) -> Subject:
    """The claim, whose patient, coverage and payer are joined, as marks know it."""
    patient: Patient = claim.patient
    return Subject(
        claim.pk,
        claim.organization_id,
        claim.rank,
        claim.frequency,
        patient.first_name,
        patient.last_name,
        patient.born_on,
        claim.coverage.member_id,
        claim.payer.code,
    )


def subjects(claim_ids: Iterable[int]) -> list[Subject]:
    """The same for many claims, in one query."""
    rows = Claim.objects.filter(pk__in=list(claim_ids)).order_by("id")
    return [
        Subject(*row)
        for row in rows.values_list(
            "id",
            "organization_id",
            "rank",
            "frequency",
            "patient__first_name",
            "patient__last_name",
            "patient__born_on",
            "coverage__member_id",
            "payer__code",
        )
    ]


class Named(Protocol):
    """What has the number of a claim and belongs to an organization."""

    @property
    def pk(self) -> int: ...
    @property
    def organization_id(self) -> int: ...


@lru_cache(maxsize=1)
def _pads() -> tuple[hashlib._Hash, hashlib._Hash]:
    """The two keyed beginnings of HMAC-SHA256: a hundred thousand digests of a file share them."""
    key = hashlib.sha256(b"service marks:" + settings.SECRET_KEY.encode()).digest().ljust(64, b"\0")
    return (
        hashlib.sha256(bytes(b ^ 0x36 for b in key)),
        hashlib.sha256(bytes(b ^ 0x5C for b in key)),
    )


def _digests(beginning: str, endings: Iterable[bytes]) -> list[str]:
    """HMAC-SHA256 of texts that begin alike; the beginning is hashed once."""
    inner, outer = _pads()
    begun = inner.copy()
    begun.update(beginning.encode())
    found = []
    for ending in endings:
        own, last = begun.copy(), outer.copy()
        own.update(ending)
        last.update(own.digest())
        found.append(last.hexdigest())
    return found


def _digest(*parts: object) -> str:
    return _digests("|".join(str(p) for p in parts), (b"",))[0]


def _letters(text: str) -> str:
    plain = text
    if not text.isascii():
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Z]", "", plain.upper())


def _persons(claim: Subject) -> tuple[str, ...]:
    """The person as two organizations may know them: by name and birth, and by insurance."""
    first = _letters(claim.first_name.split(" ")[0]) if claim.first_name.strip() else ""
    by_name = f"N|{_letters(claim.last_name)}|{first}|{claim.born_on}"
    member = re.sub(r"[^0-9A-Z]", "", claim.member_id.upper())
    by_policy = f"M|{claim.payer_code}|{member}|{claim.born_on}|{first}" if member else ""
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


def _one_service(claim: Subject) -> bool:
    """Whether the claim bills its services first: no cancellation, and to the first payer."""
    return claim.frequency != "8" and claim.rank <= 1


@lru_cache(maxsize=100)
def _endings(parts: tuple[str, ...], sides: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(f"{part}|{side}".encode() for part in parts for side in sides)


def _ask(claim: Subject, lines: Iterable[Billed | ClaimLine], book: Book) -> list[Asked]:
    """What to ask about the lines of a claim; nothing about those whose modifiers say that it was
    done again.
    """
    if not _one_service(claim):
        return []
    persons = _persons(claim)
    found = []
    for line in lines:
        family = _family(line.code, line.service_date, book)
        if family is None or DISTINCT_SERVICE.intersection(line.modifiers):
            continue
        parts, own = _parts(line.modifiers), _sides(line.modifiers)
        sides = _asked_sides(own)
        day = line.service_date.isoformat()
        endings = _endings(parts, sides)
        prints: list[str] = []
        for person in persons:
            prints += _digests(f"{person}|{day}|{family}|", endings)
        found.append(Asked(line.pk, claim.pk, parts, own, sides, prints))
    return found


def _holder(organization_id: int) -> str:
    return _digest("holder", organization_id)


def _claim_print(claim_id: int) -> str:
    return _digest("claim", claim_id)


def _held(organization_id: int, asked: Sequence[Asked]) -> set[str]:
    """Those of these fingerprints that another entity has put."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM isocenter_marks_asked(%s::text[], %s)",
            [_array(f for a in asked for f in a.prints), _holder(organization_id)],
        )
        return {row[0] for row in cursor.fetchall()}


def _array(prints: Iterable[str]) -> str:
    return "{" + ",".join(prints) + "}"


def billed_elsewhere(
    claims: Iterable[Claim], lines: Mapping[int, Sequence[ClaimLine]]
) -> dict[int, tuple[str, ...]]:
    """The components of each line that another entity has billed: {line id: ("26", "TC")}. One
    statement for each organization, whatever it finds.
    """
    asked: dict[int, list[Asked]] = defaultdict(list)
    book = procedure_versions()
    for claim in claims:
        asked[claim.organization_id] += _ask(subject(claim), lines.get(claim.pk, ()), book)
    found: dict[int, set[str]] = defaultdict(set)
    for organization_id, own in asked.items():
        held = _held(organization_id, own)
        for mark in (mark for a in own for mark in a.marks() if held):
            if mark.fingerprint in held:
                found[mark.line_id].add(mark.part)
    return {line_id: tuple(sorted(parts)) for line_id, parts in found.items()}


def marks_put(claims: Sequence[Subject]) -> set[int]:
    """Mark what these claims bill, as they leave; returns the claims of which another entity has
    billed a component first. Nothing of those is marked.
    """
    lines: dict[int, list[Billed]] = defaultdict(list)
    if not claims:
        return set()
    for row in (
        ClaimLine.objects.filter(claim_id__in=[c.pk for c in claims])
        .order_by("id")
        .values_list("id", "claim_id", "code", "modifiers", "service_date")
    ):
        lines[row[1]].append(Billed(*row))
    asked: dict[int, list[Asked]] = defaultdict(list)
    book = procedure_versions()
    for claim in claims:
        asked[claim.organization_id] += _ask(claim, lines.get(claim.pk, ()), book)
    taken: set[int] = set()
    for organization_id, own in asked.items():
        held = _held(organization_id, own)
        taken |= {a.claim_id for a in own if held and not held.isdisjoint(a.prints)}
        taken |= _put(organization_id, [a for a in own if a.claim_id not in taken])
    marks_free([c for c in claims if c.pk in taken])
    return taken


def marks_keep(claims: Iterable[Named]) -> None:
    """Claims that turned out to bill what they said (paid, paid in part): those that hold no mark,
    because it was freed or they came from elsewhere, are marked.
    """
    names: dict[int, dict[str, int]] = defaultdict(dict)
    for claim in claims:
        names[claim.organization_id][_claim_print(claim.pk)] = claim.pk
    bare: set[int] = set()
    for organization_id, own in names.items():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT * FROM isocenter_marks_held(%s::text[], %s)",
                [_array(own), _holder(organization_id)],
            )
            held = {row[0] for row in cursor.fetchall()}
        bare |= {claim_id for name, claim_id in own.items() if name not in held}
    if bare:
        marks_put(subjects(bare))


def _put(organization_id: int, own: Sequence[Asked]) -> set[int]:
    """Write the marks; returns the claims that somebody else was quicker with."""
    if not own:
        return set()
    names = {claim_id: _claim_print(claim_id) for claim_id in {a.claim_id for a in own}}
    billed = [(a.claim_id, found) for a in own for found in a.billed()]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM isocenter_marks_put(%s::text[], %s::text[], %s)",
            [
                _array(found for _, found in billed),
                _array(names[claim_id] for claim_id, _ in billed),
                _holder(organization_id),
            ],
        )
        lost = {row[0] for row in cursor.fetchall()}
    return {claim_id for claim_id, found in billed if lost and found in lost}


def marks_free(claims: Iterable[Named]) -> None:
    """Claims that bill nothing any more (void, rejected, denied, stopped): others may bill it."""
    names: dict[int, list[str]] = defaultdict(list)
    for claim in claims:
        names[claim.organization_id].append(_claim_print(claim.pk))
    for organization_id, own in names.items():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT isocenter_marks_free(%s::text[], %s)",
                [_array(own), _holder(organization_id)],
            )
