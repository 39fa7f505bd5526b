"""Bulk, read-only answers about payers and codes, kept in memory per process until something new is
loaded.

Every answer is for a service date where the table is dated. What is not loaded is None or missing:
callers hold for review. Nothing here is tenant data, so nothing depends on a scope.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import models
from django.db.models import Max, Q, QuerySet

from rcm.accounts.together import asked_once
from rcm.reference.models import (
    AddOn,
    AdjustmentReason,
    CoverageRow,
    Dated,
    Diagnosis,
    Holiday,
    Modifier,
    MueEdit,
    Payer,
    PlaceOfService,
    Procedure,
    PtpEdit,
    ReferenceLoad,
    Remark,
    StateRule,
    Taxonomy,
)

FULL_DIAGNOSIS_LIST = 50_000
"""A diagnosis list with this many codes or more is a whole fiscal year; a shorter one says nothing
about codes it lacks.
"""

T = TypeVar("T")
D = TypeVar("D", bound=Dated)
_kept: dict[str, tuple[Any, Any]] = {}


def version(kinds: Sequence[str]) -> tuple[Any, ...]:
    """What changes whenever a file of these kinds is loaded (or a payer edited). One small
    query.
    """
    loads = asked_once("reference loads", _loads)
    found = [loads[kind] for kind in kinds if kind in loads]
    return (max((pk for pk, _ in found), default=None), max((at for _, at in found), default=None))


def _loads() -> dict[str, tuple[int, dt.datetime]]:
    """The last load of each kind. One small query."""
    rows = (
        ReferenceLoad.objects.values_list("kind")
        .annotate(last=Max("id"), at=Max("loaded_at"))
        .order_by()
    )
    return {kind: (pk, at) for kind, pk, at in rows}


def keep(name: str, kinds: Sequence[str], build: Callable[[], T]) -> T:
    """The result of `build`, kept in this process until a load of these kinds happens."""
    now = version(kinds)
    kept = _kept.get(name)
    if kept is not None and kept[0] == now:
        return kept[1]  # type: ignore[no-any-return]
    made = build()
    _kept[name] = (now, made)
    return made


def forget() -> None:
    """Drop everything kept (for tests, and after restoring a database)."""
    _kept.clear()


def in_force(on: dt.date, last: dt.date | None = None) -> Q:
    """Rows that hold on a day, or on any day of a range."""
    return Q(effective_from__lte=last or on) & (
        Q(effective_to__isnull=True) | Q(effective_to__gte=on)
    )


def current(rows: Iterable[D], on: dt.date) -> D | None:
    """The row in force on a day, or None."""
    return next(
        (
            r
            for r in rows
            if r.effective_from <= on and (r.effective_to is None or on <= r.effective_to)
        ),
        None,
    )


# --- payers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PayerBook:
    """All payers by id, code, EDI id and name."""

    by_id: Mapping[int, Payer]
    by_code: Mapping[str, Payer]
    by_edi: Mapping[str, Payer]
    by_name: Mapping[str, Payer]

    def find(self, *, code: str = "", edi_id: str = "", name: str = "") -> Payer | None:
        """The payer a partner means: by our code, then by EDI id, then by exact name. None when
        nothing fits.
        """
        return (
            self.by_code.get(code.strip().upper())
            or self.by_edi.get(edi_id.strip().upper())
            or self.by_edi.get(code.strip().upper())
            or self.by_name.get(name.strip().casefold())
        )


def payer_book() -> PayerBook:
    """All payers, kept until one is loaded or edited."""

    def build() -> PayerBook:
        payers = list(Payer.objects.all())
        return PayerBook(
            by_id={p.pk: p for p in payers},
            by_code={p.code.upper(): p for p in payers},
            by_edi={p.edi_id.upper(): p for p in payers},
            by_name={p.name.casefold(): p for p in payers},
        )

    return keep("payers", ("payers",), build)


# --- code sets ------------------------------------------------------------------------------------


def _versions(rows: QuerySet[D], key: str = "code") -> dict[str, tuple[D, ...]]:
    found: dict[str, list[D]] = defaultdict(list)
    for row in rows.order_by("-effective_from"):
        found[getattr(row, key)].append(row)
    return {code: tuple(versions) for code, versions in found.items()}


def procedure_versions() -> Mapping[str, tuple[Procedure, ...]]:
    """Every procedure with its versions, newest first."""
    return keep("procedures", ("procedures", "hcpcs"), lambda: _versions(Procedure.objects.all()))


def procedure(code: str, on: dt.date) -> Procedure | None:
    """The imaging catalog's row of a code on a service date."""
    return current(procedure_versions().get(code, ()), on)


def procedures(codes: Iterable[str], on: dt.date) -> dict[str, Procedure]:
    """Rows of the known codes on a service date; unknown codes are missing from the answer."""
    book = procedure_versions()
    return {code: row for code in codes if (row := current(book.get(code, ()), on)) is not None}


def drug_kind(row: Procedure) -> str:
    """What a supply is: mr_contrast, iodinated_contrast, ultrasound_contrast, radiopharmaceutical;
    blank for an exam.
    """
    if row.kind == "radiopharm":
        return "radiopharmaceutical"
    if row.kind == "contrast":
        return {"MR": "mr_contrast", "CT": "iodinated_contrast", "US": "ultrasound_contrast"}.get(
            row.modality, "contrast"
        )
    return ""


def adjustment_reasons() -> Mapping[str, AdjustmentReason]:
    """Adjustment reason codes by code, the newest version of each (retired ones too: old
    remittances still carry them).
    """
    return keep(
        "carc",
        ("carc",),
        lambda: {c: v[0] for c, v in _versions(AdjustmentReason.objects.all()).items()},
    )


def adjustment_reason(code: str) -> AdjustmentReason | None:
    """One adjustment reason; None when the code is not loaded: treat it as a denial nobody has
    classified.
    """
    return adjustment_reasons().get(code.strip().upper())


def adjustment_class(code: str) -> str:
    """contractual, patient_resp, denial, cob, info, other; blank when not known."""
    row = adjustment_reason(code)
    return row.klass if row else ""


def remarks() -> Mapping[str, Remark]:
    """Remark codes by code, the newest version of each."""
    return keep(
        "rarc", ("rarc",), lambda: {c: v[0] for c, v in _versions(Remark.objects.all()).items()}
    )


def modifiers() -> Mapping[str, Modifier]:
    """Modifiers by code, the newest version of each; `rank` is the order on the line."""
    return keep(
        "modifiers",
        ("modifiers",),
        lambda: {c: v[0] for c, v in _versions(Modifier.objects.all()).items()},
    )


def places() -> Mapping[str, PlaceOfService]:
    """Places of service by code."""
    return keep(
        "pos",
        ("pos",),
        lambda: {c: v[0] for c, v in _versions(PlaceOfService.objects.all()).items()},
    )


def taxonomies() -> frozenset[str]:
    """Every known taxonomy code."""
    return keep(
        "taxonomies",
        ("taxonomies",),
        lambda: frozenset(Taxonomy.objects.values_list("code", flat=True)),
    )


# --- diagnoses ------------------------------------------------------------------------------------


def diagnosis_lists() -> tuple[tuple[dt.date, dt.date], ...]:
    """The spans of service dates for which a whole ICD-10-CM list is loaded (a list begins on
    October 1 and holds a year).
    """

    def build() -> tuple[tuple[dt.date, dt.date], ...]:
        spans = []
        for options in ReferenceLoad.objects.filter(
            kind="diagnoses", rows__gte=FULL_DIAGNOSIS_LIST
        ).values_list("options", flat=True):
            first = _list_start(options)
            if first is not None:
                spans.append((first, dt.date(first.year + (first.month >= 10), 9, 30)))
        return tuple(sorted(spans))

    return keep("diagnosis lists", ("diagnoses",), build)


def _list_start(options: Mapping[str, Any]) -> dt.date | None:
    if options.get("effective"):
        return dt.date.fromisoformat(options["effective"])
    return dt.date(int(options["year"]) - 1, 10, 1) if options.get("year") else None


def diagnosis_validity(codes: Iterable[str], on: dt.date) -> dict[str, bool | None]:
    """Whether each code (no dot) is billable on a day: True, False, or None when no whole list is
    loaded for that day (rule `diagnosis-valid`).
    """
    wanted = {code.replace(".", "").upper() for code in codes}
    known = set(
        Diagnosis.objects.filter(in_force(on), code__in=wanted).values_list("code", flat=True)
    )
    listed = any(first <= on <= last for first, last in diagnosis_lists())
    return {code: True if code in known else (False if listed else None) for code in wanted}


# --- edits, in bulk for a batch of claims ---------------------------------------------------------


def pairs(
    codes: Iterable[str], first: dt.date, last: dt.date
) -> list[tuple[str, str, str, dt.date, dt.date | None]]:
    """(column 1, column 2, indicator, from, to) of the pairs among these codes that hold on some
    day of the range.
    """
    wanted = set(codes)
    rows = PtpEdit.objects.filter(in_force(first, last), column1__in=wanted, column2__in=wanted)
    columns = ("column1", "column2", "modifier_indicator", "effective_from", "effective_to")
    return list(rows.order_by("effective_from").values_list(*columns))


class Told(NamedTuple, Generic[T]):
    """What held about a code from a day to a day; None is open."""

    since: dt.date | None
    until: dt.date | None
    rows: list[T]


def periods(
    rows: Iterable[tuple[dt.date, dt.date | None, T]], first: dt.date, last: dt.date
) -> list[Told[T]]:
    """Dated rows of one code as the periods of a range of days in which the same ones hold; empty
    periods are left out.

    The first period is open to the past and the last to the future: nothing is asked about days
    outside the range.
    """
    kept = [row for row in rows if row[0] <= last and (row[1] is None or first <= row[1])]
    starts = {first}
    for since, until, _ in kept:
        starts.add(max(first, since))
        if until is not None and until < last:
            starts.add(until + dt.timedelta(days=1))
    days = sorted(starts)
    found = []
    for n, day in enumerate(days):
        live = [
            told for since, until, told in kept if since <= day and (until is None or day <= until)
        ]
        ends = days[n + 1] - dt.timedelta(days=1) if n + 1 < len(days) else None
        if live:
            found.append(Told(day if n else None, ends, live))
    return found


def unit_limits(
    codes: Iterable[str], first: dt.date, last: dt.date, program: str = "medicare"
) -> dict[str, list[Told[tuple[int, str]]]]:
    """code → (most units a day, adjudication indicator) by period."""
    rows = MueEdit.objects.filter(in_force(first, last), code__in=set(codes), program=program)
    found: dict[str, list[tuple[dt.date, dt.date | None, tuple[int, str]]]] = defaultdict(list)
    for code, since, until, value, mai in rows.order_by("effective_from").values_list(
        "code", "effective_from", "effective_to", "value", "mai"
    ):
        found[code].append((since, until, (value, mai)))
    return {code: periods(versions, first, last) for code, versions in found.items()}


def addon_primaries(
    codes: Iterable[str], first: dt.date, last: dt.date
) -> dict[str, list[Told[tuple[str, str]]]]:
    """add-on code → (type, primary) rows by period."""
    rows = AddOn.objects.filter(in_force(first, last), addon__in=set(codes))
    found: dict[str, list[tuple[dt.date, dt.date | None, tuple[str, str]]]] = defaultdict(list)
    for addon, since, until, kind, primary in rows.values_list(
        "addon", "effective_from", "effective_to", "aoc_type", "primary"
    ):
        found[addon].append((since, until, (kind, primary)))
    return {addon: periods(versions, first, last) for addon, versions in found.items()}


class Listed(NamedTuple):
    """One diagnosis of a coverage list of all payers."""

    diagnosis: str
    covered: bool
    policy: str
    advisory: bool


def coverage_lists(
    codes: Iterable[str], first: dt.date, last: dt.date
) -> dict[str, list[Told[Listed]]]:
    """procedure → its whole coverage list by period; lists of one payer alone are left out."""
    rows = CoverageRow.objects.filter(in_force(first, last), code__in=set(codes), payer=None)
    found: dict[str, list[tuple[dt.date, dt.date | None, Listed]]] = defaultdict(list)
    for code, since, until, diagnosis, covered, policy, advisory in rows.values_list(
        "code", "effective_from", "effective_to", "diagnosis", "covered", "policy", "advisory"
    ):
        found[code].append((since, until, Listed(diagnosis, covered, policy, advisory)))
    return {code: periods(versions, first, last) for code, versions in found.items()}


def loaded(model: type[models.Model]) -> bool:
    """Whether a table has any row: an empty table is "not loaded", which is not "nothing
    forbidden".
    """
    return model._default_manager.exists()


# --- states and business days ---------------------------------------------------------------------


def holidays(state: str = "") -> frozenset[dt.date]:
    """Days on which no business day counts in a state: federal ones and its own."""

    def build() -> dict[str, frozenset[dt.date]]:
        found: dict[str, set[dt.date]] = defaultdict(set)
        for day, where in Holiday.objects.values_list("day", "state"):
            found[where].add(day)
        return {where: frozenset(days) for where, days in found.items()}

    book = keep("holidays", ("holidays",), build)
    return book.get("", frozenset()) | (book.get(state, frozenset()) if state else frozenset())


def holidays_known_until() -> dt.date | None:
    """The last day of the last year whose holidays are loaded; beyond it a count of business days
    is a guess.
    """
    days = holidays()
    return dt.date(max(days).year, 12, 31) if days else None


def state_rules(on: dt.date) -> dict[str, StateRule]:
    """Rules of every state on a day."""
    rows = keep("states", ("states",), lambda: _versions(StateRule.objects.all(), "state"))
    return {
        state: row for state, versions in rows.items() if (row := current(versions, on)) is not None
    }
