"""Fee schedule arithmetic: relative values × geography × conversion factor, and the hospital
outpatient cap (rule `fee-schedule-amount`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from .facts import Component, Gpci, Locality, PriceStatus, RvuRow, Step, cents
from .forms import is_supply
from .tables import PriceTables

USABLE = frozenset({"A", "R", "T"})
_NOT_PAYABLE = {
    "B": "is always part of another service",
    "E": "is excluded from the physician fee schedule",
    "I": "is not valid for Medicare: another code is used",
    "N": "is not covered",
    "P": "is part of another service or excluded",
    "X": "is outside the physician fee schedule",
}


class Held(Exception):
    """A line that gets no amount: `status` says whether a fact is missing or the answer is a known
    no.
    """

    def __init__(self, code: str, reason: str, status: PriceStatus = PriceStatus.HOLD) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Fee:
    """The dollars of one row at one place. `cap` is None when the outpatient cap does not apply."""

    amount: Decimal
    cap: Decimal | None
    words: str


@dataclass(frozen=True, slots=True)
class Base:
    """Where a line's price starts, per unit: the whole and, where known, its two parts.

    A line of one part has only that part. `per_line` amounts (percent of charge) already cover all
    units. `multiple` and `bilateral` are None when no fee schedule row is loaded.
    """

    whole: Decimal | None
    professional: Decimal | None
    technical: Decimal | None
    whole_cap: Decimal | None
    technical_cap: Decimal | None
    pctc: str
    multiple: str | None
    bilateral: str | None
    steps: tuple[Step, ...]
    per_line: bool = False
    carve_out: bool = False
    follows_medicare: bool = True
    modifier_priced: str = ""


def row_fee(row: RvuRow, gpci: Gpci, *, facility: bool, qualifying: bool) -> Fee:
    """One row at one locality, rounded to the cent (rule `fee-schedule-amount`), with its
    outpatient cap (rule `outpatient-cap`). Raises `Held`.
    """
    factor = row.factor_qualifying if qualifying else row.factor
    if factor is None:
        raise Held(
            "NO_QUALIFYING_FACTOR",
            "The conversion factor for qualifying participants is not loaded.",
        )
    if row.facility_na if facility else row.nonfacility_na:
        where = "a facility" if facility else "an office or imaging center"
        raise Held(
            "NO_FEE_IN_SETTING", f"The fee schedule sets no amount for {row.code} in {where}."
        )
    practice = row.practice_facility if facility else row.practice_nonfacility
    units = row.work * gpci.work + practice * gpci.practice + row.malpractice * gpci.malpractice
    if not units:
        raise Held(
            "ZERO_RELATIVE_VALUE", f"The fee schedule row of {row.code} has no relative values."
        )
    amount = cents(units * factor)
    if row.cap_practice is None and row.component is not Component.PROFESSIONAL:
        raise Held("CAP_UNKNOWN", f"The outpatient cap of {row.code} is not loaded for this year.")
    cap = None
    if row.cap_practice:
        capped = (
            row.work * gpci.work
            + row.cap_practice * gpci.practice
            + row.cap_malpractice * gpci.malpractice
        )
        cap = cents(capped * factor)
    name = row.code if row.component is Component.GLOBAL else f"{row.code} {row.component.value}"
    words = (
        f"{name}: (work {row.work} × {gpci.work} + practice {practice} × {gpci.practice}"
        f" + malpractice {row.malpractice} × {gpci.malpractice}) × {factor} = {amount}"
    )
    return Fee(amount, cap, words)


def check_status(row: RvuRow) -> None:
    """Raise `Held` unless the row has usable relative values (rule `fee-status`)."""
    if row.status in USABLE:
        return
    part = "" if row.component is Component.GLOBAL else f" {row.component.value}"
    if row.status == "C":
        raise Held(
            "CONTRACTOR_PRICED",
            f"{row.code}{part} is priced by the Medicare contractor: a contract rate is needed.",
        )
    if is_supply(row.code):
        raise Held(
            "DRUG_PRICE_NEEDED", f"{row.code} is paid from a drug price list, which is not loaded."
        )
    words = _NOT_PAYABLE.get(row.status)
    if words is None:
        raise Held(
            "STATUS_UNKNOWN",
            f"{row.code}{part} has status {row.status or '(blank)'}, which has no rule.",
        )
    raise Held(
        "NOT_PAYABLE", f"{row.code}{part} {words} (status {row.status}).", PriceStatus.NOT_PAYABLE
    )


def schedule_row(code: str, component: Component, on: dt.date, tables: PriceTables) -> RvuRow:
    """The row of a code on a date. Raises `Held` when the year is not loaded or the part has no
    row.
    """
    row = tables.rvu(code, component, on)
    if row is not None:
        return row
    if component is not Component.GLOBAL and tables.rvu(code, Component.GLOBAL, on) is not None:
        raise Held(
            "NO_COMPONENT_FEE",
            f"The {on.year} fee schedule loaded has no {component.value} row for {code}.",
        )
    known = tables.indicators(code, on)
    if known is not None:
        check_status(known)
    raise Held("NO_FEE_SCHEDULE", f"No fee schedule row for {code} on {on.isoformat()} is loaded.")


def schedule_base(
    code: str,
    component: Component,
    *,
    locality: Locality | None,
    on: dt.date,
    facility: bool,
    qualifying: bool,
    tables: PriceTables,
) -> Base:
    """The Medicare starting price of one line, parts included. Raises `Held` when any fact is
    missing.
    """
    row = schedule_row(code, component, on, tables)
    check_status(row)
    if locality is None:
        raise Held("NO_LOCALITY", "The payment locality of the service is not known.")
    gpci = tables.gpci(locality, on)
    if gpci is None:
        raise Held(
            "NO_GPCI",
            f"Geographic indices of locality {locality} are not loaded for {on.isoformat()}.",
        )

    def fee_of(found: RvuRow) -> Fee:
        return row_fee(found, gpci, facility=facility, qualifying=qualifying)

    fee = fee_of(row)
    steps = [Step(fee.words, fee.amount, "fee-schedule-amount")]
    whole: Decimal | None = None
    pc: Decimal | None = None
    tc: Decimal | None = None
    tc_cap = fee.cap
    if component is Component.PROFESSIONAL:
        pc = fee.amount
    elif component is Component.TECHNICAL or row.pctc == "3":
        tc = fee.amount
    else:
        whole = fee.amount
        tc_cap = None
        if row.pctc == "1":
            reading = _part(code, Component.PROFESSIONAL, on, tables)
            technical = _part(code, Component.TECHNICAL, on, tables)
            if reading and technical:
                pc_fee, tc_fee = fee_of(reading), fee_of(technical)
                pc, tc, tc_cap = pc_fee.amount, tc_fee.amount, tc_fee.cap
                steps.append(Step(f"of which 26 {pc} and TC {tc}", None, "fee-schedule-amount"))
    return Base(
        whole=whole,
        professional=pc,
        technical=tc,
        whole_cap=fee.cap if whole is not None else None,
        technical_cap=tc_cap,
        pctc=row.pctc,
        multiple=row.multiple,
        bilateral=row.bilateral,
        steps=tuple(steps),
    )


def _part(code: str, component: Component, on: dt.date, tables: PriceTables) -> RvuRow | None:
    row = tables.rvu(code, component, on)
    return row if row is not None and row.status in USABLE else None
