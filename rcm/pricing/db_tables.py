"""The tables of pricing filled from the database: in bulk, once per process until something new is
loaded.

Fee schedules, indices and places are shared by all organizations; contracts are read inside the
caller's scope. A run asks `tables_for(organizations)` once and prices any number of lines without a
query.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from django.db import connection

from rcm.pricing import facts
from rcm.pricing.facts import Component, Locality, PosSetting, RateMethod, RvuRow
from rcm.pricing.forms import is_supply
from rcm.pricing.models import Contract, ContractRate, FeeRow, Gpci, ZipLocality
from rcm.pricing.tables import MemoryTables, qualifying_factor
from rcm.pricing.terms import parse_terms
from rcm.reference.facts import keep, places, procedure_versions

KINDS = ("fees", "gpci", "zips", "pos", "procedures", "hcpcs")
COMPONENTS = {
    "": Component.GLOBAL,
    "26": Component.PROFESSIONAL,
    "TC": Component.TECHNICAL,
    "global": Component.GLOBAL,
}


def _units(value: Decimal) -> Decimal:
    """Relative values with two places where that says all, as they are published."""
    short = round(value, 2)
    return short if short == value else value


def _rvus() -> Iterable[RvuRow]:
    """The fee schedule. A row without relative values still tells status and indicators; its
    values are zero, which prices nothing.
    """
    rows = FeeRow.objects.filter(schedule="mpfs", mod__in=("", "26", "TC"))
    for row in rows.select_related("load").iterator(chunk_size=5000):
        values = (row.work, row.pe_nonfac, row.pe_fac, row.mp)
        priced = row.conversion_factor is not None and None not in values
        work, nonfacility, facility, malpractice = (
            _units(v) if priced and v is not None else Decimal(0) for v in values
        )
        yield RvuRow(
            code=row.code,
            component=COMPONENTS[row.mod],
            status=row.status,
            work=work,
            practice_nonfacility=nonfacility,
            practice_facility=facility,
            malpractice=malpractice,
            pctc=row.pctc,
            multiple=row.mult_proc,
            bilateral=row.bilat,
            factor=row.conversion_factor or Decimal(0),
            factor_qualifying=qualifying_factor(row.effective_from),
            cap_practice=None if row.opps_cap_pe is None else _units(row.opps_cap_pe),
            cap_malpractice=Decimal(0) if row.opps_cap_mp is None else _units(row.opps_cap_mp),
            nonfacility_na=row.nonfac_na,
            facility_na=row.fac_na,
            effective_from=row.effective_from,
            effective_to=row.effective_to,
            source=row.load.source if row.load else "",
        )


def _zips() -> dict[str, Locality]:
    """The newest locality of each ZIP, and of each ZIP+4 that lies elsewhere than its ZIP; one
    query.
    """
    known: dict[tuple[str, str], Locality] = {}
    found: dict[str, Locality] = {}
    # the row of the whole ZIP comes before its parts, so a part that says the same need not be kept
    rows = ZipLocality.objects.order_by("zip5", "plus4", "effective_from")
    for zip5, plus4, carrier, number in rows.values_list(
        "zip5", "plus4", "carrier", "locality"
    ).iterator(chunk_size=20_000):
        place = known.setdefault((carrier, number), Locality(carrier, number))
        if plus4 and place == found.get(zip5):
            found.pop(zip5 + plus4, None)
        else:
            found[zip5 + plus4] = place
    return found


def reference_tables() -> MemoryTables:
    """Fee schedule, indices, ZIPs and places without contracts; treat as read-only."""

    def build() -> MemoryTables:
        return MemoryTables.build(
            rvus=_rvus(),
            gpcis=[
                facts.Gpci(
                    Locality(g.carrier, g.locality),
                    g.work,
                    g.pe,
                    g.mp,
                    g.effective_from,
                    g.effective_to,
                )
                for g in Gpci.objects.all()
            ],
            zips=_zips(),
            settings={
                c: PosSetting.FACILITY if p.facility else PosSetting.NON_FACILITY
                for c, p in places().items()
            },
            modalities={
                code: versions[0].modality for code, versions in procedure_versions().items()
            },
        )

    return keep("price tables", KINDS, build)


@dataclass(frozen=True, slots=True)
class Indicators:
    """What a code is: its component and bilateral indicators."""

    pctc: str
    bilateral: str


def indicators_of(code: str, on: dt.date) -> Indicators | None:
    """The indicators of a code on a date; a supply that no schedule lists has neither parts nor
    sides. None when nothing is known.
    """
    row = reference_tables().indicators(code, on)
    if row is not None:
        return Indicators(row.pctc, row.bilateral)
    return Indicators("9", "9") if is_supply(code) else None


# --- contracts ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContractRef:
    """For whom and when a contract holds. `key` is what PriceTables knows it by."""

    key: str
    name: str
    organization_id: int
    payer_id: int
    plan_id: int | None
    site_id: int | None
    effective_from: dt.date
    effective_to: dt.date | None


@dataclass(frozen=True, slots=True)
class ContractBook:
    """Contracts of some organizations; `find` answers which one prices a claim."""

    refs: Mapping[tuple[int, int], tuple[ContractRef, ...]]
    facts: Mapping[str, facts.Contract]

    def find(
        self,
        *,
        organization_id: int,
        payer_id: int,
        on: dt.date,
        plan_id: int | None = None,
        site_id: int | None = None,
    ) -> ContractRef | None:
        """The narrowest contract in force: site and plan before site, before plan, before the
        general one; then the latest.
        """
        fitting = [
            ref
            for ref in self.refs.get((organization_id, payer_id), ())
            if ref.plan_id in (None, plan_id)
            and ref.site_id in (None, site_id)
            and ref.effective_from <= on
            and (ref.effective_to is None or on <= ref.effective_to)
        ]
        return max(
            fitting,
            key=lambda r: (r.site_id is not None, r.plan_id is not None, r.effective_from),
            default=None,
        )


def contract_fact(contract: Contract, rates: Iterable[ContractRate]) -> facts.Contract:
    """One contract as pricing reads it. Raises `TermRefused` when its terms cannot be read."""
    terms = parse_terms(contract.terms)
    made = [rate_fact(rate, terms.year) for rate in rates]
    if terms.percent is not None and contract.method in (
        RateMethod.PERCENT_OF_MEDICARE,
        RateMethod.PERCENT_OF_CHARGE,
    ):
        made.append(
            facts.ContractRate(
                method=RateMethod(contract.method), value=terms.percent, medicare_year=terms.year
            )
        )
    return facts.Contract(
        key=str(contract.public_id),
        name=contract.name,
        rates=tuple(made),
        effective_from=contract.effective_from,
        effective_to=contract.effective_to,
        lesser_of_charge=terms.lesser_of,
        mppr=terms.mppr,
        opps_cap=terms.opps_cap,
        equipment_reductions=terms.equipment_reductions,
        sequestration=terms.sequestration,
        bilateral=terms.bilateral,
        medicare_locality=terms.locality,
    )


def rate_fact(rate: ContractRate, year: int | None = None) -> facts.ContractRate:
    """One rate; a percent-of-Medicare rate without its own year follows the contract's."""
    method = RateMethod(rate.method)
    value = rate.amount if method is RateMethod.FLAT else (rate.percent or Decimal(0)) / 100
    return facts.ContractRate(
        method=method,
        value=value if value is not None else Decimal(0),
        code=rate.code,
        modality=rate.modality,
        component=COMPONENTS[rate.mod] if rate.mod else None,
        modifier=rate.modifier,
        medicare_year=rate.medicare_year
        or (year if method is RateMethod.PERCENT_OF_MEDICARE else None),
        carve_out=rate.carve_out,
        effective_from=rate.effective_from,
        effective_to=rate.effective_to,
    )


_books: dict[frozenset[int], tuple[tuple[int, ...], ContractBook]] = {}
_tables: dict[frozenset[int], tuple[MemoryTables, ContractBook, MemoryTables]] = {}


def _stamp() -> tuple[int, ...]:
    """Changes with any insert, update or delete of a visible contract or rate: PostgreSQL numbers
    each row version (xmin).
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM pricing_contract), (SELECT coalesce(sum(hashtext(id ||"
            " ':' || xmin::text)), 0) FROM pricing_contract), (SELECT count(*) FROM"
            " pricing_contractrate), (SELECT coalesce(sum(hashtext(id || ':' || xmin::text)), 0)"
            " FROM pricing_contractrate)"
        )
        return tuple(int(v) for v in cursor.fetchone())


def contract_book(organizations: Iterable[int]) -> ContractBook:
    """Contracts with all their rates of the organizations in scope: two queries when something
    changed, else one small one.
    """
    wanted = frozenset(organizations)
    now = _stamp()
    kept = _books.get(wanted)
    if kept is not None and kept[0] == now:
        return kept[1]
    rates: dict[int, list[ContractRate]] = {}
    for rate in ContractRate.objects.filter(organization_id__in=wanted).order_by("id"):
        rates.setdefault(rate.contract_id, []).append(rate)
    refs: dict[tuple[int, int], list[ContractRef]] = {}
    made: dict[str, facts.Contract] = {}
    for contract in Contract.objects.filter(organization_id__in=wanted).order_by(
        "effective_from", "id"
    ):
        fact = contract_fact(contract, rates.get(contract.pk, ()))
        made[fact.key] = fact
        refs.setdefault((contract.organization_id, contract.payer_id), []).append(
            ContractRef(
                key=fact.key,
                name=contract.name,
                organization_id=contract.organization_id,
                payer_id=contract.payer_id,
                plan_id=contract.plan_id,
                site_id=contract.site_id,
                effective_from=contract.effective_from,
                effective_to=contract.effective_to,
            )
        )
    book = ContractBook({k: tuple(v) for k, v in refs.items()}, made)
    _books[wanted] = (now, book)
    return book


def tables_for(organizations: Iterable[int]) -> tuple[MemoryTables, ContractBook]:
    """Everything a run needs: price tables that know the organizations' contracts, and the book
    that finds them.
    """
    wanted = frozenset(organizations)
    shared, book = reference_tables(), contract_book(wanted)
    kept = _tables.get(wanted)
    if kept is None or kept[0] is not shared or kept[1] is not book:
        tables = replace(shared, contracts={key: (fact,) for key, fact in book.facts.items()})
        kept = _tables[wanted] = (shared, book, tables)
    return kept[2], book
