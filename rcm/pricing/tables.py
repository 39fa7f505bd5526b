"""Where pricing looks things up: one protocol, one in-memory table set, and readers that fill it
from CSV files.

The database loader builds the same `MemoryTables` from its rows in bulk, so a run of a hundred
thousand lines makes no query. A lookup that finds nothing returns None, and the caller holds the
line.
"""

from __future__ import annotations

import csv
import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeVar

from .facts import (
    NATIONAL,
    ONE,
    ZERO,
    Component,
    Contract,
    Gpci,
    Locality,
    MedicareTerms,
    PosSetting,
    RvuRow,
)

_DATA = Path(__file__).with_name("data")
_COMPONENTS = {"": Component.GLOBAL, "26": Component.PROFESSIONAL, "TC": Component.TECHNICAL}
_SETTINGS = {"Facility": PosSetting.FACILITY, "Non-Facility": PosSetting.NON_FACILITY}
_NATIONAL_GPCI = Gpci(NATIONAL, ONE, ONE, ONE, dt.date.min)


class PriceTables(Protocol):
    """Everything pricing asks. Every answer is for one service date; None is "not loaded".

    `period` is any value that stays the same while no fee schedule row or index starts or ends:
    days of one period share their starting prices.
    """

    def rvu(self, code: str, component: Component, on: dt.date) -> RvuRow | None: ...
    def indicators(self, code: str, on: dt.date) -> RvuRow | None: ...
    def gpci(self, locality: Locality, on: dt.date) -> Gpci | None: ...
    def locality_of_zip(self, zip_code: str) -> Locality | None: ...
    def pos_setting(self, pos: str) -> PosSetting | None: ...
    def modality(self, code: str) -> str | None: ...
    def dose_listed(self, code: str, on: dt.date) -> bool: ...
    def terms(self, on: dt.date) -> MedicareTerms | None: ...
    def contract(self, key: str, on: dt.date) -> Contract | None: ...
    def period(self, on: dt.date) -> object: ...


class _Dated(Protocol):
    @property
    def effective_from(self) -> dt.date: ...
    @property
    def effective_to(self) -> dt.date | None: ...


D = TypeVar("D", bound=_Dated)


class _MaybeDated(Protocol):
    @property
    def effective_from(self) -> dt.date | None: ...
    @property
    def effective_to(self) -> dt.date | None: ...


def change_days(rows: Iterable[_MaybeDated]) -> list[dt.date]:
    """The days on which a set of dated rows begins to answer differently, in order."""
    days: set[dt.date] = set()
    for row in rows:
        if row.effective_from is not None:
            days.add(row.effective_from)
        if row.effective_to is not None and row.effective_to < dt.date.max:
            days.add(row.effective_to + dt.timedelta(1))
    return sorted(days)


def current(rows: Iterable[D], on: dt.date) -> D | None:
    """The latest row in force on a date; a later release of the same year replaces the earlier from
    its own start.
    """
    best: D | None = None
    for row in rows:
        in_force = row.effective_from <= on and (row.effective_to is None or on <= row.effective_to)
        if in_force and (best is None or row.effective_from > best.effective_from):
            best = row
    return best


@dataclass(frozen=True, slots=True)
class TermRow:
    """One dated percentage (or code) of the Medicare rules, with where it was read."""

    term: str
    value: str
    effective_from: dt.date
    effective_to: dt.date | None
    source: str = ""

    def holds(self, on: dt.date) -> bool:
        return self.effective_from <= on and (self.effective_to is None or on <= self.effective_to)


@dataclass(frozen=True, slots=True)
class CodeRange:
    """An inclusive range of codes, listed from a date."""

    first: str
    last: str
    effective_from: dt.date

    def lists(self, code: str, on: dt.date) -> bool:
        return (
            len(code) == len(self.first)
            and self.first <= code <= self.last
            and self.effective_from <= on
        )


_CODE_TERMS = ("cost_share_waived", "cost_share_waived_if_preventive")
_RATE_TERMS = tuple(name for name in MedicareTerms.__dataclass_fields__ if name not in _CODE_TERMS)


def medicare_terms(rows: Iterable[TermRow], on: dt.date) -> MedicareTerms | None:
    """The terms in force on a date, or None when one of them is not known for it."""
    rates: dict[str, Decimal] = {}
    codes: dict[str, set[str]] = {name: set() for name in _CODE_TERMS}
    for row in rows:
        if not row.holds(on):
            continue
        if row.term in codes:
            codes[row.term].add(row.value)
        elif row.term in _RATE_TERMS:
            rates[row.term] = Decimal(row.value)
    if len(rates) < len(_RATE_TERMS):
        return None
    return MedicareTerms(**rates, **{name: frozenset(found) for name, found in codes.items()})  # type: ignore[arg-type]


@dataclass(slots=True)
class MemoryTables:
    """`PriceTables` held in memory. Build it once for a run with `MemoryTables.build`; treat it as
    read-only.

    `zips` is asked by five digits, and by nine where a ZIP lies in more than one locality.
    """

    rvus: Mapping[tuple[str, Component], tuple[RvuRow, ...]]
    gpcis: Mapping[Locality, tuple[Gpci, ...]]
    zips: Mapping[str, Locality]
    settings: Mapping[str, PosSetting]
    modalities: Mapping[str, str]
    dose_codes: tuple[CodeRange, ...]
    term_rows: tuple[TermRow, ...]
    contracts: Mapping[str, tuple[Contract, ...]] = field(default_factory=dict)
    _terms: dict[dt.date, MedicareTerms | None] = field(default_factory=dict)
    _days: list[dt.date] = field(default_factory=list)

    def __post_init__(self) -> None:
        fees = change_days(row for rows in self.rvus.values() for row in rows)
        places = change_days(row for rows in self.gpcis.values() for row in rows)
        self._days = sorted({*fees, *places})

    @classmethod
    def build(
        cls,
        *,
        rvus: Iterable[RvuRow] = (),
        gpcis: Iterable[Gpci] = (),
        zips: Mapping[str, Locality] | None = None,
        settings: Mapping[str, PosSetting] | None = None,
        modalities: Mapping[str, str] | None = None,
        contracts: Iterable[Contract] = (),
        terms: Iterable[TermRow] | None = None,
        dose_codes: Iterable[CodeRange] | None = None,
    ) -> MemoryTables:
        """Index the given facts. `terms` and `dose_codes` default to the dated rows shipped with
        the product.
        """
        by_code: dict[tuple[str, Component], tuple[RvuRow, ...]] = {}
        for row in rvus:
            key = (row.code, row.component)
            by_code[key] = (*by_code.get(key, ()), row)
        by_place: dict[Locality, tuple[Gpci, ...]] = {}
        for index in gpcis:
            by_place[index.locality] = (*by_place.get(index.locality, ()), index)
        by_key: dict[str, tuple[Contract, ...]] = {}
        for contract in contracts:
            by_key[contract.key] = (*by_key.get(contract.key, ()), contract)
        return cls(
            rvus=by_code,
            gpcis=by_place,
            zips=zips or {},
            settings=settings or {},
            modalities=modalities or {},
            dose_codes=tuple(shipped_dose_codes() if dose_codes is None else dose_codes),
            term_rows=tuple(shipped_terms() if terms is None else terms),
            contracts=by_key,
        )

    def rvu(self, code: str, component: Component, on: dt.date) -> RvuRow | None:
        return current(self.rvus.get((code, component), ()), on)

    def indicators(self, code: str, on: dt.date) -> RvuRow | None:
        """What kind of code it is: the row in force, else the newest earlier one.

        Status and component indicator stay when a release sets no amounts, as for codes that the
        contractor prices; amounts are read from `rvu` only, which knows none then.
        """
        rows = [r for r in self.rvus.get((code, Component.GLOBAL), ()) if r.effective_from <= on]
        return current(rows, on) or max(rows, key=lambda r: r.effective_from, default=None)

    def gpci(self, locality: Locality, on: dt.date) -> Gpci | None:
        if locality == NATIONAL:
            return _NATIONAL_GPCI
        return current(self.gpcis.get(locality, ()), on)

    def locality_of_zip(self, zip_code: str) -> Locality | None:
        """The locality of 60601, 606011234 or 60601-1234. Where a ZIP is divided, the row of the
        ZIP+4 decides.
        """
        digits = zip_code.replace("-", "")
        return self.zips.get(digits) or self.zips.get(digits[:5])

    def pos_setting(self, pos: str) -> PosSetting | None:
        return self.settings.get(pos)

    def modality(self, code: str) -> str | None:
        return self.modalities.get(code)

    def dose_listed(self, code: str, on: dt.date) -> bool:
        return any(codes.lists(code, on) for codes in self.dose_codes)

    def terms(self, on: dt.date) -> MedicareTerms | None:
        if on not in self._terms:
            self._terms[on] = medicare_terms(self.term_rows, on)
        return self._terms[on]

    def period(self, on: dt.date) -> object:
        return (on.year, bisect_right(self._days, on))

    def contract(self, key: str, on: dt.date) -> Contract | None:
        return current(self.contracts.get(key, ()), on)


def _rows(path: Path) -> Iterable[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        yield from csv.DictReader(handle)


def _date(text: str) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None


@lru_cache(maxsize=1)
def shipped_terms() -> tuple[TermRow, ...]:
    """The dated percentages shipped with the product, each with its source."""
    return tuple(
        TermRow(
            r["term"],
            r["value"],
            dt.date.fromisoformat(r["effective_from"]),
            _date(r["effective_to"]),
            r["source"],
        )
        for r in _rows(_DATA / "medicare_terms.csv")
    )


@lru_cache(maxsize=1)
def shipped_dose_codes() -> tuple[CodeRange, ...]:
    """The codes to which the CT dose standard applies."""
    return tuple(
        CodeRange(r["first"], r["last"], dt.date.fromisoformat(r["effective_from"]))
        for r in _rows(_DATA / "ct_dose_codes.csv")
    )


def qualifying_factor(on: dt.date, terms: Iterable[TermRow] | None = None) -> Decimal | None:
    """The conversion factor of qualifying alternative-payment participants, where the year has its
    own.
    """
    for row in shipped_terms() if terms is None else terms:
        if row.term == "factor_qualifying_apm" and row.holds(on):
            return Decimal(row.value)
    return None


def rvu_row(
    row: Mapping[str, str], *, effective_from: dt.date, effective_to: dt.date | None, source: str
) -> RvuRow:
    """A fee schedule row from the column names of the product's own CSV layout. Raises ValueError
    on a bad number.
    """
    try:
        return RvuRow(
            code=row["hcpcs"],
            component=_COMPONENTS[row.get("mod", "")],
            status=row["status"],
            work=Decimal(row["work_rvu"]),
            practice_nonfacility=Decimal(row["pe_rvu_nonfac"]),
            practice_facility=Decimal(row["pe_rvu_fac"]),
            malpractice=Decimal(row["mp_rvu"]),
            pctc=row["pctc_ind"],
            multiple=row["mult_proc_ind"],
            bilateral=row["bilat_ind"],
            factor=Decimal(row["conv_factor"]),
            factor_qualifying=qualifying_factor(effective_from),
            cap_practice=Decimal(row.get("opps_cap_pe") or row.get("opps_cap_pe_nonfac") or "0"),
            cap_malpractice=Decimal(row.get("opps_cap_mp") or "0"),
            nonfacility_na=row.get("nonfac_na", "") == "NA",
            facility_na=row.get("fac_na", "") == "NA",
            effective_from=effective_from,
            effective_to=effective_to,
            source=source,
        )
    except (KeyError, InvalidOperation) as error:
        raise ValueError(f"fee schedule row {row.get('hcpcs', '?')}: {error}") from error


def csv_tables(folder: Path, contracts: Iterable[Contract] = ()) -> MemoryTables:
    """All tables from a folder of CSV files in the product's layout (used by tests, the bench and
    offline quotes).

    Codes of the later year that have only a global row take their indicators from the earlier year;
    their components, and the outpatient cap of those that had one, stay unknown.
    """
    families = list(_rows(folder / "code_family.csv"))
    return MemoryTables.build(
        rvus=_csv_rvus(folder),
        gpcis=[
            Gpci(
                Locality(r["carrier"], r["locality"]),
                Decimal(r["work_gpci"]),
                Decimal(r["pe_gpci"]),
                Decimal(r["mp_gpci"]),
                dt.date(int(r["year"]), 1, 1),
                dt.date(int(r["year"]), 12, 31),
            )
            for r in _rows(folder / "gpci.csv")
        ],
        zips={
            r["zip5"]: Locality(r["carrier"], r["locality"])
            for r in _rows(folder / "zip5_locality.csv")
        },
        settings={
            r["pos"]: _SETTINGS[r["mpfs_rate_setting"]]
            for r in _rows(folder / "pos_codes.csv")
            if r["mpfs_rate_setting"] in _SETTINGS
        },
        modalities={r["hcpcs"]: r["modality"] for r in families},
        contracts=contracts,
    )


def _csv_rvus(folder: Path) -> list[RvuRow]:
    first, last = dt.date(2025, 1, 1), dt.date(2025, 12, 31)
    rows = [
        rvu_row(r, effective_from=first, effective_to=last, source="RVU25D")
        for r in _rows(folder / "pprrvu_imaging.csv")
    ]
    earlier = {row.code: row for row in rows if row.component is Component.GLOBAL}
    first, last = dt.date(2026, 1, 1), dt.date(2026, 12, 31)
    later = [
        rvu_row(r, effective_from=first, effective_to=last, source="RVU26A")
        for r in _rows(folder / "pprrvu_2026_imaging_pctc.csv")
    ]
    seen = {row.code for row in later}
    for r in _rows(folder / "pprrvu_2026_global_imaging.csv"):
        like = earlier.get(r["hcpcs"])
        if r["hcpcs"] in seen or like is None or like.status not in {"A", "R", "T"}:
            continue
        later.append(
            replace(
                like,
                work=Decimal(r["work_rvu"]),
                practice_nonfacility=Decimal(r["pe_rvu_nonfac"]),
                practice_facility=Decimal(r["pe_rvu_fac"]),
                malpractice=Decimal(r["mp_rvu"]),
                factor=later[0].factor,
                factor_qualifying=later[0].factor_qualifying,
                cap_practice=None if like.cap_practice else ZERO,
                cap_malpractice=ZERO,
                effective_from=first,
                effective_to=last,
                source="RVU26B (global row only; indicators of RVU25D; outpatient cap not loaded)",
            )
        )
    return rows + later
