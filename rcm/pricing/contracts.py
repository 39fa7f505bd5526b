"""Contract rates: which rule of a contract prices a line, and the starting price it gives (rule
`fee-schedule-amount`).
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from .facts import (
    BilledLine,
    Component,
    Contract,
    ContractRate,
    Locality,
    MpprScope,
    MpprTerms,
    PricingContext,
    RateMethod,
    Step,
    cents,
)
from .fees import Base, Held, schedule_base
from .forms import is_supply
from .tables import PriceTables, change_days


def applies(rate: ContractRate, component: Component) -> bool:
    """A flat rate without component is for the whole test only; a percentage without component is
    for every form.
    """
    if rate.component is not None:
        return rate.component is component
    return rate.method is not RateMethod.FLAT or component is Component.GLOBAL


def _score(rate: ContractRate) -> tuple[bool, ...]:
    """Carve-outs first, then the narrower rule."""
    return (
        rate.carve_out,
        bool(rate.code),
        bool(rate.modifier),
        bool(rate.site),
        bool(rate.plan),
        bool(rate.modality),
        rate.component is not None,
    )


def best_rate(
    rates: Iterable[ContractRate],
    *,
    code: str,
    modality: str,
    component: Component,
    modifiers: tuple[str, ...],
    site: str,
    plan: str,
    on: dt.date,
) -> ContractRate | None:
    """The narrowest rate in force for a line, or None. Raises `Held` when two equally narrow rates
    disagree.
    """
    found = [
        rate
        for rate in rates
        if rate.code in {"", code}
        and rate.modality in {"", modality}
        and rate.modifier in {"", *modifiers}
        and rate.site in {"", site}
        and rate.plan in {"", plan}
        and (rate.effective_from is None or rate.effective_from <= on)
        and (rate.effective_to is None or on <= rate.effective_to)
        and applies(rate, component)
    ]
    if not found:
        return None
    top = max(map(_score, found))
    best = [rate for rate in found if _score(rate) == top]
    if any(
        (r.method, r.value, r.medicare_year)
        != (best[0].method, best[0].value, best[0].medicare_year)
        for r in best
    ):
        raise Held(
            "CONTRACT_AMBIGUOUS", f"Two rates of the contract fit {code} equally and differ."
        )
    return best[0]


class RateBook:
    """One contract made ready for a run: rates by code, and the days on which an answer may
    change.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._general = tuple(rate for rate in contract.rates if not rate.code)
        self._by_code: dict[str, tuple[ContractRate, ...]] = {}
        for rate in contract.rates:
            if rate.code:
                self._by_code[rate.code] = (*self._by_code.get(rate.code, ()), rate)
        self.has_parts = any(rate.component in _PARTS for rate in contract.rates)
        self.by_charge = any(rate.method is RateMethod.PERCENT_OF_CHARGE for rate in contract.rates)
        self._days = change_days((contract, *contract.rates))

    def rates(self, code: str) -> tuple[ContractRate, ...]:
        """The rates that can concern a code."""
        return (*self._by_code.get(code, ()), *self._general)

    def period(self, on: dt.date) -> int:
        """A number that stays the same while no rate of the contract starts or ends."""
        return bisect_right(self._days, on)


_PARTS = frozenset({Component.PROFESSIONAL, Component.TECHNICAL})


def contract_base(
    line: BilledLine,
    component: Component,
    *,
    book: RateBook,
    context: PricingContext,
    facility: bool,
    tables: PriceTables,
) -> Base:
    """The contract's starting price of one line. Raises `Held` when the contract or a fact is
    silent.
    """
    contract, on = book.contract, context.date_of_service
    if on < contract.effective_from or (
        contract.effective_to is not None and on > contract.effective_to
    ):
        raise Held("CONTRACT_NOT_IN_FORCE", f"{contract.name} is not in force on {on.isoformat()}.")
    modality = tables.modality(line.code) or ""
    rates = book.rates(line.code)

    def rate_of(part: Component) -> ContractRate | None:
        return best_rate(
            rates,
            code=line.code,
            modality=modality,
            component=part,
            modifiers=line.modifiers,
            site=context.site,
            plan=context.plan,
            on=on,
        )

    rate = rate_of(component)
    if rate is not None and rate.method is RateMethod.PERCENT_OF_MEDICARE and not book.has_parts:
        return _percent_of_medicare(line, component, rate, contract, context, facility, tables)
    blank = _blank(line.code, on, tables)
    if book.has_parts and component is Component.GLOBAL:
        parts = _priced_parts(rate_of, rate)
        if parts is not None:
            base = _sum_of_parts(line, blank, *parts, contract, context, facility, tables)
            return replace(base, carve_out=all(part.carve_out for part in parts))
    if rate is None:
        raise Held(
            "CONTRACT_SILENT", f"{contract.name} has no rate for {line.code} {_form(component)}."
        )
    base = _one_rate(line, component, rate, blank, contract, context, facility, tables)
    if (
        rate.method is RateMethod.FLAT
        and component is Component.GLOBAL
        and base.pctc == "1"
        and book.has_parts
    ):
        base = _with_flat_parts(base, rate_of(Component.PROFESSIONAL), rate_of(Component.TECHNICAL))
    return replace(base, carve_out=rate.carve_out, modifier_priced=rate.modifier)


def _blank(code: str, on: dt.date, tables: PriceTables) -> Base:
    """A base without amounts: what the fee schedule says about the code, if it lists it."""
    row = tables.indicators(code, on)
    unlisted = "9" if is_supply(code) else None
    return Base(
        whole=None,
        professional=None,
        technical=None,
        whole_cap=None,
        technical_cap=None,
        pctc=row.pctc if row else (unlisted or ""),
        multiple="9" if is_supply(code) else (row.multiple if row else None),
        bilateral=row.bilateral if row else unlisted,
        steps=(),
        follows_medicare=False,
    )


def _form(component: Component) -> str:
    return "as a whole test" if component is Component.GLOBAL else component.value


def _priced_parts(
    rate_of: Callable[[Component], ContractRate | None], whole: ContractRate | None
) -> tuple[ContractRate, ContractRate] | None:
    """Both part rates, when the contract prices a whole test by its parts and not more narrowly as
    a whole.
    """
    pc, tc = rate_of(Component.PROFESSIONAL), rate_of(Component.TECHNICAL)
    if pc is None or tc is None or pc.component is None or tc.component is None:
        return None
    if whole is not None and min(_score(pc), _score(tc))[:6] <= _score(whole)[:6]:
        return None
    return pc, tc


def _sum_of_parts(
    line: BilledLine,
    blank: Base,
    pc_rate: ContractRate,
    tc_rate: ContractRate,
    contract: Contract,
    context: PricingContext,
    facility: bool,
    tables: PriceTables,
) -> Base:
    pc = _one_rate(
        line, Component.PROFESSIONAL, pc_rate, blank, contract, context, facility, tables
    )
    tc = _one_rate(line, Component.TECHNICAL, tc_rate, blank, contract, context, facility, tables)
    if pc.per_line or tc.per_line:
        raise Held(
            "CONTRACT_PART_OF_CHARGE",
            f"{contract.name} prices parts of {line.code} by a charge that is not split.",
        )
    assert pc.professional is not None
    assert tc.technical is not None
    total = pc.professional + tc.technical
    words = f"contract prices the parts: 26 {pc.professional} + TC {tc.technical} = {total}"
    return replace(
        blank,
        whole=total,
        professional=pc.professional,
        technical=tc.technical,
        whole_cap=None if tc.technical_cap is None else pc.professional + tc.technical_cap,
        technical_cap=tc.technical_cap,
        steps=(*pc.steps, *tc.steps, Step(words, total, "contract-rate")),
        follows_medicare=pc.follows_medicare and tc.follows_medicare,
    )


def _with_flat_parts(base: Base, pc: ContractRate | None, tc: ContractRate | None) -> Base:
    flats = [
        r
        for r in (pc, tc)
        if r is not None and r.component is not None and r.method is RateMethod.FLAT
    ]
    if len(flats) < 2:
        return base
    return replace(base, professional=cents(flats[0].value), technical=cents(flats[1].value))


def _one_rate(
    line: BilledLine,
    component: Component,
    rate: ContractRate,
    blank: Base,
    contract: Contract,
    context: PricingContext,
    facility: bool,
    tables: PriceTables,
) -> Base:
    if rate.method is RateMethod.PERCENT_OF_MEDICARE:
        return _percent_of_medicare(line, component, rate, contract, context, facility, tables)
    if rate.method is RateMethod.PERCENT_OF_CHARGE:
        if line.charge is None:
            raise Held(
                "NO_CHARGE",
                f"{contract.name} pays a share of the charge, and {line.code} has none.",
            )
        amount = cents(line.charge * rate.value)
        words = f"{line.code}: {percent(rate.value)} of charge {line.charge} = {amount}"
        return replace(
            _in_place(blank, component, amount),
            steps=(Step(words, amount, "contract-rate"),),
            per_line=True,
        )
    amount = cents(rate.value)
    words = (
        f"{line.code}{'' if component is Component.GLOBAL else ' ' + component.value}: contract"
        f" rate {amount}"
    )
    return replace(
        _in_place(blank, component, amount), steps=(Step(words, amount, "contract-rate"),)
    )


def _in_place(blank: Base, component: Component, amount: Decimal) -> Base:
    if component is Component.PROFESSIONAL:
        return replace(blank, professional=amount)
    if component is Component.TECHNICAL or blank.pctc == "3":
        return replace(blank, technical=amount)
    return replace(blank, whole=amount)


def _percent_of_medicare(
    line: BilledLine,
    component: Component,
    rate: ContractRate,
    contract: Contract,
    context: PricingContext,
    facility: bool,
    tables: PriceTables,
) -> Base:
    # A pinned year means that year's schedule as last published, whatever the date of service.
    on = dt.date(rate.medicare_year, 12, 31) if rate.medicare_year else context.date_of_service
    base = schedule_base(
        line.code,
        component,
        locality=contract.medicare_locality or line.locality or context.locality,
        on=on,
        facility=facility,
        qualifying=False,
        tables=tables,
    )

    def scaled(amount: Decimal | None) -> Decimal | None:
        return None if amount is None else cents(amount * rate.value)

    whole, pc, tc = scaled(base.whole), scaled(base.professional), scaled(base.technical)
    shown = next(amount for amount in (whole, pc, tc) if amount is not None)
    from_amount = next(
        amount for amount in (base.whole, base.professional, base.technical) if amount is not None
    )
    share = percent(rate.value)
    words = f"{share} of Medicare {on.year}: {from_amount} × {share} = {shown}"
    # Rules of ranking and sides are those of the date of service, whatever year the amounts are
    # pinned to.
    now = (
        base
        if on == context.date_of_service
        else _blank(line.code, context.date_of_service, tables)
    )
    return Base(
        whole=whole,
        professional=pc,
        technical=tc,
        whole_cap=scaled(base.whole_cap) if contract.opps_cap else None,
        technical_cap=scaled(base.technical_cap) if contract.opps_cap else None,
        pctc=base.pctc,
        multiple=now.multiple or base.multiple,
        bilateral=now.bilateral or base.bilateral,
        steps=(*base.steps, Step(words, shown, "contract-rate")),
        carve_out=rate.carve_out,
        modifier_priced=rate.modifier,
    )


def percent(value: Decimal) -> str:
    """A fraction as a reader's percentage: 0.95 is 95%, 1.125 is 112.5%."""
    text = f"{value * 100:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def contract_of_terms(
    *,
    key: str,
    name: str,
    method: str,
    terms: Mapping[str, object],
    rates: Iterable[ContractRate],
    effective_from: dt.date,
    effective_to: dt.date | None = None,
) -> Contract:
    """A contract from its stored form: a default method with settings, and its rates.

    `terms` are percentages in points ("120" is 120 %): `percent`, `year`, `lesser_of` (default
    true), `mppr_scope` (none, physician, group, day), `mppr_pc_pct`, `mppr_tc_pct`,
    `mppr_global_pct`, `mppr_cardio_tc_pct` (what later procedures are paid), `bilateral_pct`,
    `opps_cap` (default true), `equipment_reductions`, `sequestration`, `medicare_locality`
    ("06102-16" or "national"). Methods `flat` and `per_component` have no default rate: what is not
    listed is held. Raises ValueError naming the setting that cannot be read.
    """

    def share(setting: str) -> Decimal | None:
        value = terms.get(setting)
        if value is None or value == "":
            return None
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or number < 0:
            raise ValueError(f"{setting}: {value!r} is not a percentage")
        return number / 100

    default: tuple[ContractRate, ...] = ()
    if method in {RateMethod.PERCENT_OF_MEDICARE, RateMethod.PERCENT_OF_CHARGE}:
        value = share("percent")
        if value is not None:
            year = terms.get("year")
            if year is not None and not str(year).isdigit():
                raise ValueError(f"year: {year!r} is not a year")
            default = (
                ContractRate(
                    RateMethod(method), value, medicare_year=int(str(year)) if year else None
                ),
            )
    elif method not in {"flat", "per_component"}:
        raise ValueError(f"method: {method!r} is not a contract method")
    pc, tc, both, cardio = (
        share(s) for s in ("mppr_pc_pct", "mppr_tc_pct", "mppr_global_pct", "mppr_cardio_tc_pct")
    )
    scope = str(terms.get("mppr_scope") or "")
    if not scope and any(paid is not None for paid in (pc, tc, both, cardio)):
        scope = MpprScope.GROUP.value
    if scope and scope not in set(MpprScope):
        raise ValueError(f"mppr_scope: {scope!r} is not one of {', '.join(MpprScope)}")
    place = str(terms.get("medicare_locality") or "")
    carrier, _, number = place.partition("-")
    return Contract(
        key=key,
        name=name,
        rates=(*rates, *default),
        effective_from=effective_from,
        effective_to=effective_to,
        lesser_of_charge=terms.get("lesser_of") is not False,
        mppr=MpprTerms(MpprScope(scope), pc, tc, both, cardio) if scope else None,
        opps_cap=terms.get("opps_cap") is not False,
        equipment_reductions=bool(terms.get("equipment_reductions")),
        sequestration=bool(terms.get("sequestration")),
        bilateral=share("bilateral_pct"),
        medicare_locality=Locality(carrier, number) if place else None,
    )
