"""Correct coding: procedure pairs, unit limits, add-on codes (NCCI PTP; MUE; add-on files)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from claims.edits.examples import claim, line, mammogram, medicare
from claims.edits.facts import PriorLine
from claims.edits.reference import AddOnRow, MueRow, PtpRow, on_day
from claims.edits.registry import BLOCK, WARN, Hit, Owner, edit
from claims.edits.subject import DISTINCT, MEDICAID, Line, Subject


@edit(
    "NCC-001",
    BLOCK,
    "Two codes may never be billed together.",
    field="lines.code",
    fix="Drop the second code; no modifier helps.",
    owner=Owner.CODER,
    rule="pair-never",
    carc=("97", "236"),
    rarc=("M15",),
    tables=("ptp",),
    fails=lambda: claim(line("71275"), line("76376"), line("Q9967")),
    passes=lambda: claim(line("71275"), line("Q9967")),
)
def pairs_never_together(s: Subject) -> Iterator[Hit]:
    for one, two, where in _pairs(s, "0"):
        yield Hit(f"{two.code} is part of {one}{where}: never paid together.", line=two.number)


@edit(
    "NCC-002",
    WARN,
    "Two codes are paid together only with a modifier that says why.",
    field="lines.modifiers",
    fix=(
        "Add the modifier if the report shows a separate session, side or structure; else drop the"
        " second code."
    ),
    owner=Owner.CODER,
    rule="pair-with-modifier",
    carc=("97", "236"),
    rarc=("M15",),
    tables=("ptp",),
    fails=lambda: claim(line("70553"), line("70551"), line("A9585")),
    passes=lambda: claim(line("70553"), line("70551", "XE", accession="ACC0002"), line("A9585")),
)
def pairs_with_a_modifier(s: Subject) -> Iterator[Hit]:
    for one, two, where in _pairs(s, "1"):
        yield Hit(
            f"{two.code} is part of {one}{where} unless a modifier shows it was distinct.",
            line=two.number,
        )


@edit(
    "NCC-003",
    BLOCK,
    "More units than the day allows by policy.",
    field="lines.units",
    fix="Correct the units; this limit cannot be exceeded.",
    owner=Owner.CODER,
    rule="unit-limit-absolute",
    carc=("151",),
    rarc=("N362",),
    tables=("mue",),
    fails=lambda: mammogram(line("77067", units=Decimal(2))),
    passes=mammogram,
)
def units_within_the_absolute_limit(s: Subject) -> Iterator[Hit]:
    for code, total, row, number in _over_the_day(s, "2"):
        yield Hit(
            f"{total} units of {code} in a day; the limit is {row.limit} and absolute.", line=number
        )


@edit(
    "NCC-004",
    WARN,
    "More units than usual.",
    field="lines.units",
    fix="Check the units; document why, or split lines with a repeat modifier.",
    owner=Owner.CODER,
    rule="unit-limit-usual",
    carc=("151",),
    rarc=("N362",),
    tables=("mue",),
    fails=lambda: claim(line("70553", units=Decimal(3)), line("A9585")),
    passes=lambda: claim(line("70553"), line("A9585", units=Decimal(80))),
)
def units_within_the_usual_limit(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        row = _mue(s, item)
        if row is not None and row.mai == "1" and item.facts.units > row.limit:
            yield Hit(
                f"{item.facts.units} units of {item.code} on a line; the limit is {row.limit}.",
                line=item.number,
            )
    for code, total, row, number in _over_the_day(s, "3"):
        yield Hit(
            f"{total} units of {code} in a day; the limit is {row.limit} unless documented.",
            line=number,
        )


@edit(
    "NCC-005",
    BLOCK,
    "An add-on code stands without its primary.",
    field="lines.code",
    fix="Bill it with its primary code on the same claim.",
    owner=Owner.CODER,
    rule="add-on-primary",
    carc=("107", "234"),
    rarc=("N122",),
    tables=("addons",),
    fails=lambda: mammogram(line("77063")),
    passes=mammogram,
)
def addons_have_their_primary(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        row = _addon(s, item)
        if row is not None and row.kind == "1" and s.codes.isdisjoint(row.primaries):
            near = ", ".join(sorted(row.primaries)[:5])
            yield Hit(
                f"{item.code} is an add-on and needs one of {near} beside it.", line=item.number
            )


@edit(
    "NCC-006",
    WARN,
    "An add-on code stands without a usual primary.",
    field="lines.code",
    fix="Check which primary the payer accepts.",
    owner=Owner.CODER,
    rule="add-on-primary",
    carc=("107",),
    rarc=("N122",),
    tables=("addons",),
    fails=lambda: claim(line("76937")),
    passes=lambda: claim(line("76937"), line("72148")),
)
def addons_have_some_primary(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        row = _addon(s, item)
        if row is None or row.kind == "1":
            continue
        others = s.codes - {item.code}
        if not others or (row.kind == "3" and others.isdisjoint(row.primaries)):
            yield Hit(
                f"{item.code} is an add-on; no known primary stands beside it.", line=item.number
            )


@edit(
    "NCC-007",
    WARN,
    "Modifier 59 where a more exact one fits.",
    field="lines.modifiers",
    fix="Use XE, XS, XP or XU if one of them says it.",
    owner=Owner.CODER,
    rule="distinct-service",
    carc=("4",),
    fails=lambda: medicare(line("70553"), line("70551", "59", accession="ACC0002"), line("A9585")),
    passes=lambda: medicare(line("70553"), line("70551", "XE", accession="ACC0002"), line("A9585")),
)
def exact_modifier_first(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if "59" in item.mods:
            yield Hit(
                f"{item.code} carries 59; XE, XS, XP or XU may say it better.", line=item.number
            )


@edit(
    "NCC-008",
    WARN,
    "A distinct-service modifier separates nothing.",
    field="lines.modifiers",
    fix="Take the modifier off; it is only for a pair that would bundle.",
    owner=Owner.CODER,
    rule="distinct-service",
    carc=("4",),
    tables=("ptp",),
    fails=lambda: claim(line("72148", "XS")),
    passes=lambda: claim(line("70553"), line("70551", "XE", accession="ACC0002"), line("A9585")),
)
def distinct_modifiers_separate_a_pair(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if not item.has(DISTINCT):
            continue
        others = [other.code for other in s.lines if other is not item] + [
            old.code for old in s.same_day
        ]
        paired = any(_bundles(s, item, code) for code in others)
        if not paired and item.code not in others:
            yield Hit(
                f"{item.code} carries {next(m for m in item.mods if m in DISTINCT)}, but nothing on"
                " this day bundles with it.",
                line=item.number,
            )


@edit(
    "NCC-009",
    WARN,
    "A distinct-service modifier on exams of one session and accession.",
    field="lines.modifiers",
    fix=(
        "Keep it only if the report shows a separate session or structure; it must not undo the"
        " multiple-procedure reduction."
    ),
    owner=Owner.COMPLIANCE,
    rule="distinct-service",
    carc=("236",),
    tables=("ptp",),
    fails=lambda: claim(line("70553"), line("70551", "XE"), line("A9585")),
    passes=lambda: claim(line("70553"), line("70551", "XE", accession="ACC0002"), line("A9585")),
)
def distinct_means_another_session(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if not item.has(("59", "XE")) or not item.facts.accession:
            continue
        if any(
            other is not item and _same_session(item, other) and _bundles(s, item, other.code)
            for other in s.lines
        ):
            yield Hit(
                f"{item.code} is marked as another encounter but has the session of its pair.",
                line=item.number,
            )


def _same_session(one: Line, two: Line) -> bool:
    if one.facts.session and two.facts.session:
        return one.facts.session == two.facts.session
    return one.facts.accession == two.facts.accession


def _bundles(s: Subject, item: Line, other: str) -> bool:
    """Whether the two codes are a pair, either way round, on the day of the line."""
    table = s.ref.ptp
    assert table is not None
    return (
        on_day(table.get(item.code, _EMPTY).get(other, ()), item.day) is not None
        or on_day(table.get(other, _EMPTY).get(item.code, ()), item.day) is not None
    )


def _pairs(s: Subject, indicator: str) -> Iterator[tuple[str, Line, str]]:
    """Bundled column-2 lines of the day, against this claim and our other claims: same patient,
    date and billing group.
    """
    table = s.ref.ptp
    assert table is not None
    bypass = s.group("ncci_bypass")
    history = [old for old in s.same_day if _of_our_group(s, old)]
    if len(s.lines) == 1 and not history:
        return
    for two in s.lines:
        if two.facts.charge == 0 and not two.known:
            continue
        for first in _beside(s, two, history):
            row = on_day(table.get(first.code, _EMPTY).get(two.code, ()), two.day)
            if row is None or row.indicator != indicator:
                continue
            distinct = two.has(bypass) or not bypass.isdisjoint(first.modifiers)
            if indicator != "1" or not distinct:
                yield first.code, two, first.where


class _First(NamedTuple):
    """A line that may contain another one: `where` names its claim when it is not this one."""

    code: str
    modifiers: tuple[str, ...]
    where: str = ""


def _of_our_group(s: Subject, old: PriorLine) -> bool:
    ours = old.entity == "ours" and old.billing_npi == s.claim.billing_npi
    return ours and old.status != "denied"


def _beside(s: Subject, two: Line, history: Sequence[PriorLine]) -> Iterator[_First]:
    """Lines of the same day, of this claim and of our others."""
    for one in s.lines:
        if one is not two and one.day == two.day:
            yield _First(one.code, one.mods)
    for old in history:
        if old.service_date == two.day:
            yield _First(old.code, old.modifiers, f" on claim {old.claim_id}")


_EMPTY: dict[str, tuple[PtpRow, ...]] = {}


def _mue(s: Subject, item: Line) -> MueRow | None:
    """The unit limit on the day of the line: Medicaid's own where it has one."""
    if s.product in MEDICAID and s.ref.mue_medicaid is not None:
        row = on_day(s.ref.mue_medicaid.get(item.code, ()), item.day)
        if row is not None:
            return row
    assert s.ref.mue is not None
    return on_day(s.ref.mue.get(item.code, ()), item.day)


def _addon(s: Subject, item: Line) -> AddOnRow | None:
    assert s.ref.addons is not None
    return on_day(s.ref.addons.get(item.code, ()), item.day)


def _over_the_day(s: Subject, mai: str) -> Iterator[tuple[str, Decimal, MueRow, int]]:
    """Codes whose units of one day, over lines and our other claims, pass a per-day limit."""
    totals: dict[tuple[str, date | None], Decimal] = defaultdict(Decimal)
    last: dict[tuple[str, date | None], int] = {}
    rows: dict[tuple[str, date | None], MueRow] = {}
    for item in s.lines:
        row = _mue(s, item)
        if row is not None and row.mai == mai:
            key = (item.code, item.day)
            part = Decimal("0.5") if _half(s, item) else Decimal(1)
            totals[key] += item.facts.units * part
            last[key], rows[key] = item.number, row
    for old in s.same_day:
        key = (old.code, old.service_date)
        if (
            key in totals
            and old.entity == "ours"
            and old.billing_npi == s.claim.billing_npi
            and old.status != "denied"
            and s.claim.frequency == "1"
        ):
            totals[key] += old.units
    for key, total in totals.items():
        if total > rows[key].limit:
            yield key[0], total, rows[key], last[key]


def _half(s: Subject, item: Line) -> bool:
    """TC and 26 of one exam are two lines but one unit of it."""
    if not item.component:
        return False
    other = "TC" if item.component == "26" else "26"
    return any(
        line.code == item.code
        and line.component == other
        and line.facts.accession == item.facts.accession
        for line in s.lines
    )
