"""One question, one answer: plain JSON values in, priced lines out.

The API, the command and the screen ask here, so they cannot disagree. Bad input comes back as a
list of field errors and prices nothing; a missing fact is a line on hold.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from .expected import price_session
from .facts import (
    NATIONAL,
    ZERO,
    Benefits,
    BilledLine,
    Component,
    Contract,
    ContractRate,
    Locality,
    MpprScope,
    MpprTerms,
    PricedLine,
    PriceStatus,
    PricingContext,
    RateMethod,
)
from .forms import EQUIPMENT_MODIFIERS, Equipment, Severity, component_of, equipment_modifiers
from .tables import PriceTables

MAX_LINES = 200
_CODE = re.compile(r"[0-9A-Z][0-9]{3}[0-9A-Z]")
_MODIFIER = re.compile(r"[0-9A-Z]{2}")
_LOCALITY = re.compile(r"([0-9A-Z]{5})[-/ ]([0-9A-Z]{2})")
_ZIP = re.compile(r"[0-9]{5}(?:-?[0-9]{4})?")
_LIMIT = Decimal("10000000")
_LATERALITY = {
    "": (),
    "R": ("RT",),
    "L": ("LT",),
    "RT": ("RT",),
    "LT": ("LT",),
    "RIGHT": ("RT",),
    "LEFT": ("LT",),
    "B": ("50",),
    "BOTH": ("50",),
    "BILATERAL": ("50",),
}


class _Reader:
    """Reads fields and remembers what was wrong with each."""

    def __init__(self) -> None:
        self.errors: list[dict[str, str]] = []

    def fail(self, field: str, code: str, message: str) -> None:
        self.errors.append({"field": field, "code": code, "message": message})

    def text(self, data: Mapping[str, Any], key: str, field: str, *, required: bool = False) -> str:
        value = data.get(key)
        if value is None or value == "":
            if required:
                self.fail(field, "required", "This field is required.")
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            self.fail(field, "type", "Text is expected.")
            return ""
        return str(value).strip()

    def decimal(
        self, data: Mapping[str, Any], key: str, field: str, *, most: Decimal = _LIMIT
    ) -> Decimal | None:
        value = data.get(key)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
            self.fail(field, "type", "A number is expected.")
            return None
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            self.fail(field, "number", "This is not a number.")
            return None
        if not number.is_finite() or number < 0 or number > most:
            self.fail(field, "range", f"A number from 0 to {most} is expected.")
            return None
        return number

    def dollars(self, data: Mapping[str, Any], key: str, field: str) -> Decimal | None:
        number = self.decimal(data, key, field)
        if number is not None and number != round(number, 2):
            self.fail(field, "cents", "Dollars have at most two decimal places.")
            return None
        return number

    def date(
        self, data: Mapping[str, Any], key: str, field: str, *, required: bool = False
    ) -> dt.date | None:
        value = data.get(key)
        if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            return value
        text = self.text(data, key, field, required=required)
        if not text:
            return None
        try:
            return dt.date.fromisoformat(text)
        except ValueError:
            self.fail(field, "date", "A date is written YYYY-MM-DD.")
            return None

    def flag(self, data: Mapping[str, Any], key: str, field: str) -> bool | None:
        value = data.get(key)
        if value is None or isinstance(value, bool):
            return value
        self.fail(field, "type", "true or false is expected.")
        return None

    def mapping(self, data: Mapping[str, Any], key: str, field: str) -> Mapping[str, Any]:
        value = data.get(key)
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return value
        self.fail(field, "type", "An object is expected.")
        return {}

    def choice(self, data: Mapping[str, Any], key: str, field: str, allowed: Sequence[str]) -> str:
        text = self.text(data, key, field, required=True)
        if text and text not in allowed:
            self.fail(field, "choice", f"One of {', '.join(allowed)} is expected.")
            return ""
        return text


def quote(payload: object, tables: PriceTables) -> dict[str, Any]:
    """Price one session asked for in JSON values.

    `payload`: `date_of_service`, `pos`, one of `zip` (five or nine digits) / `locality` ("06102-16"
    or "national"), optional `contract` (a key or the terms themselves; without it Medicare prices),
    `participating`, `assigned`, `qualifying_apm`, `deductible_remaining`, `coinsurance`, `copay`,
    `out_of_pocket_remaining`, `site`, `plan`, `equipment` {film, computed_radiography, xr29}, and
    `lines` [{code, modifiers, units, charge, laterality, session, rendering, zip or locality,
    purchased_price, preventive, id}].

    Answers `{"errors": [{field, code, message}]}` on bad input, else `{"errors": [], "lines": […],
    "totals": {…}}` with amounts as strings of dollars and null where unknown.
    """
    reader = _Reader()
    if not isinstance(payload, Mapping):
        return {"errors": [{"field": "", "code": "type", "message": "An object is expected."}]}
    on = reader.date(payload, "date_of_service", "date_of_service", required=True)
    pos = reader.text(payload, "pos", "pos", required=True)
    locality = _locality(reader, payload, "", tables, required=True)
    contract = _contract(reader, payload, tables, on)
    benefits = Benefits(
        deductible_remaining=reader.dollars(
            payload, "deductible_remaining", "deductible_remaining"
        ),
        coinsurance=reader.decimal(payload, "coinsurance", "coinsurance", most=Decimal(1)),
        copay=reader.dollars(payload, "copay", "copay"),
        out_of_pocket_remaining=reader.dollars(
            payload, "out_of_pocket_remaining", "out_of_pocket_remaining"
        ),
    )
    flags = {
        key: reader.flag(payload, key, key)
        for key in ("participating", "assigned", "qualifying_apm")
    }
    site, plan = reader.text(payload, "site", "site"), reader.text(payload, "plan", "plan")
    asset = reader.mapping(payload, "equipment", "equipment")
    equipment = Equipment(
        film=reader.flag(asset, "film", "equipment.film"),
        computed_radiography=reader.flag(
            asset, "computed_radiography", "equipment.computed_radiography"
        ),
        xr29=reader.flag(asset, "xr29", "equipment.xr29"),
    )
    lines = _lines(reader, payload, tables)
    if reader.errors or on is None:
        return {"errors": reader.errors}
    notes: dict[str, list[str]] = {}
    if asset:
        lines = [_equipped(line, equipment, on, tables, notes) for line in lines]
    context = PricingContext(
        date_of_service=on,
        pos=pos,
        locality=locality,
        contract=contract,
        benefits=benefits,
        participating=flags["participating"] is not False,
        assigned=flags["assigned"] is not False,
        qualifying_apm=bool(flags["qualifying_apm"]),
        site=site,
        plan=plan,
    )
    priced = price_session(lines, context=context, tables=tables)
    return {
        "errors": [],
        "payer": contract.name if contract else "Medicare",
        "date_of_service": on.isoformat(),
        "locality": str(locality) if locality else None,
        "lines": [
            _answer(line, result, notes.get(line.line_id, []))
            for line, result in zip(lines, priced, strict=True)
        ],
        "totals": _totals(priced),
    }


def _locality(
    reader: _Reader,
    data: Mapping[str, Any],
    prefix: str,
    tables: PriceTables,
    *,
    required: bool = False,
) -> Locality | None:
    value = data.get("locality")
    if isinstance(value, Mapping):
        carrier = reader.text(value, "carrier", f"{prefix}locality.carrier", required=True)
        number = reader.text(value, "locality", f"{prefix}locality.locality", required=True)
        return Locality(carrier, number)
    text = reader.text(data, "locality", f"{prefix}locality")
    if text:
        if text.lower() == NATIONAL.carrier:
            return NATIONAL
        match = _LOCALITY.fullmatch(text)
        if match is None:
            reader.fail(
                f"{prefix}locality",
                "format",
                'A locality is written like "06102-16", or "national".',
            )
            return None
        return Locality(match[1], match[2])
    zipped = reader.text(data, "zip", f"{prefix}zip")
    if not zipped:
        if required:
            reader.fail(
                "zip", "required", "Give the ZIP code or the payment locality of the service."
            )
        return None
    if _ZIP.fullmatch(zipped) is None:
        reader.fail(f"{prefix}zip", "format", "A ZIP code has five or nine digits.")
        return None
    return tables.locality_of_zip(zipped)


def _contract(
    reader: _Reader, data: Mapping[str, Any], tables: PriceTables, on: dt.date | None
) -> Contract | None:
    value = data.get("contract")
    payer = reader.text(data, "payer", "payer")
    if value is None or value == "":
        if payer and payer.lower() != "medicare":
            reader.fail(
                "contract", "required", "A payer other than Medicare is priced by a contract."
            )
        return None
    if isinstance(value, Mapping):
        return _inline_contract(reader, value)
    key = reader.text(data, "contract", "contract")
    if not key or on is None:
        return None
    contract = tables.contract(key, on)
    if contract is None:
        reader.fail("contract", "unknown", f"No contract {key} is in force on {on.isoformat()}.")
    return contract


def _inline_contract(reader: _Reader, data: Mapping[str, Any]) -> Contract | None:
    rates: list[ContractRate] = []
    given = data.get("rates")
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        reader.fail("contract.rates", "required", "A contract needs at least one rate.")
        given = []
    for number, item in enumerate(given):
        field = f"contract.rates[{number}]"
        if not isinstance(item, Mapping):
            reader.fail(field, "type", "An object is expected.")
            continue
        rate = _rate(reader, item, field)
        if rate is not None:
            rates.append(rate)
    lesser = reader.flag(data, "lesser_of_charge", "contract.lesser_of_charge")
    cap = reader.flag(data, "opps_cap", "contract.opps_cap")
    return Contract(
        key="inline",
        name=reader.text(data, "name", "contract.name") or "the contract",
        rates=tuple(rates),
        effective_from=reader.date(data, "effective_from", "contract.effective_from")
        or dt.date.min,
        effective_to=reader.date(data, "effective_to", "contract.effective_to"),
        lesser_of_charge=lesser is not False,
        mppr=_mppr(reader, data),
        opps_cap=cap is not False,
        equipment_reductions=bool(
            reader.flag(data, "equipment_reductions", "contract.equipment_reductions")
        ),
        sequestration=bool(reader.flag(data, "sequestration", "contract.sequestration")),
        bilateral=reader.decimal(data, "bilateral", "contract.bilateral", most=Decimal(2)),
    )


def _rate(reader: _Reader, item: Mapping[str, Any], field: str) -> ContractRate | None:
    method = reader.choice(item, "method", f"{field}.method", [m.value for m in RateMethod])
    value = reader.decimal(item, "value", f"{field}.value")
    if value is None and not any(e["field"] == f"{field}.value" for e in reader.errors):
        reader.fail(f"{field}.value", "required", "This field is required.")
    component = item.get("component") or None
    if component is not None and component not in [c.value for c in Component]:
        reader.fail(f"{field}.component", "choice", "One of global, 26, TC is expected.")
        return None
    year = item.get("medicare_year")
    if year is not None and (
        isinstance(year, bool) or not isinstance(year, int) or not 1992 <= year <= 2100
    ):
        reader.fail(f"{field}.medicare_year", "range", "A year is expected.")
        return None
    if not method or value is None:
        return None
    return ContractRate(
        method=RateMethod(method),
        value=value,
        code=reader.text(item, "code", f"{field}.code").upper(),
        modality=reader.text(item, "modality", f"{field}.modality").upper(),
        component=Component(component) if component else None,
        modifier=reader.text(item, "modifier", f"{field}.modifier").upper(),
        medicare_year=year,
        carve_out=bool(reader.flag(item, "carve_out", f"{field}.carve_out")),
        effective_from=reader.date(item, "effective_from", f"{field}.effective_from"),
        effective_to=reader.date(item, "effective_to", f"{field}.effective_to"),
    )


def _mppr(reader: _Reader, data: Mapping[str, Any]) -> MpprTerms | None:
    if data.get("mppr") is None:
        return None
    terms = reader.mapping(data, "mppr", "contract.mppr")
    scope = reader.choice(terms, "scope", "contract.mppr.scope", [s.value for s in MpprScope])
    if not scope:
        return None
    one = Decimal(1)
    return MpprTerms(
        MpprScope(scope),
        paid_pc=reader.decimal(terms, "paid_pc", "contract.mppr.paid_pc", most=one),
        paid_tc=reader.decimal(terms, "paid_tc", "contract.mppr.paid_tc", most=one),
        paid_global=reader.decimal(terms, "paid_global", "contract.mppr.paid_global", most=one),
        paid_cardiovascular_tc=reader.decimal(
            terms, "paid_cardiovascular_tc", "contract.mppr.paid_cardiovascular_tc", most=one
        ),
    )


def _lines(reader: _Reader, payload: Mapping[str, Any], tables: PriceTables) -> list[BilledLine]:
    given = payload.get("lines")
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        reader.fail("lines", "required", "At least one line is needed.")
        return []
    if len(given) > MAX_LINES:
        reader.fail("lines", "too_many", f"At most {MAX_LINES} lines are priced together.")
        return []
    lines: list[BilledLine] = []
    for number, item in enumerate(given):
        field = f"lines[{number}]"
        if isinstance(item, Mapping):
            lines.append(_line(reader, item, field, number, tables))
        else:
            reader.fail(field, "type", "An object is expected.")
    ids = [line.line_id for line in lines]
    if len(set(ids)) < len(ids):
        reader.fail("lines", "duplicate_id", "Two lines have the same id.")
    return lines


def _line(
    reader: _Reader, item: Mapping[str, Any], field: str, number: int, tables: PriceTables
) -> BilledLine:
    code = reader.text(item, "code", f"{field}.code", required=True).upper()
    if code and not _CODE.fullmatch(code):
        reader.fail(f"{field}.code", "format", "A procedure code has five characters.")
    units = item.get("units", 1)
    if isinstance(units, bool) or not isinstance(units, int) or not 1 <= units <= 9999:
        reader.fail(f"{field}.units", "range", "Units are a whole number from 1 to 9999.")
        units = 1
    return BilledLine(
        line_id=reader.text(item, "id", f"{field}.id") or str(number + 1),
        code=code,
        modifiers=_modifiers(reader, item, field),
        units=units,
        charge=reader.dollars(item, "charge", f"{field}.charge"),
        session=reader.text(item, "session", f"{field}.session"),
        rendering=reader.text(item, "rendering", f"{field}.rendering"),
        locality=_locality(reader, item, f"{field}.", tables),
        purchased_price=reader.dollars(item, "purchased_price", f"{field}.purchased_price"),
        preventive=reader.flag(item, "preventive", f"{field}.preventive"),
    )


def _modifiers(reader: _Reader, item: Mapping[str, Any], field: str) -> tuple[str, ...]:
    given = item.get("modifiers") or []
    if isinstance(given, str):
        given = given.replace(",", " ").split()
    if not isinstance(given, Sequence) or not all(isinstance(m, str) for m in given):
        reader.fail(f"{field}.modifiers", "type", "A list of two-character modifiers is expected.")
        return ()
    modifiers = [m.strip().upper() for m in given]
    bad = [m for m in modifiers if not _MODIFIER.fullmatch(m)]
    if bad:
        reader.fail(f"{field}.modifiers", "format", "A modifier has two characters.")
    if len(set(modifiers)) < len(modifiers):
        reader.fail(f"{field}.modifiers", "duplicate", "A modifier is given twice.")
    side = reader.text(item, "laterality", f"{field}.laterality").upper()
    if side not in _LATERALITY:
        reader.fail(f"{field}.laterality", "choice", "One of RT, LT, both is expected.")
    elif not {"RT", "LT", "50"}.intersection(modifiers):
        modifiers.extend(_LATERALITY[side])
    if len(modifiers) > 4:
        reader.fail(f"{field}.modifiers", "too_many", "A line carries at most four modifiers.")
    return tuple(modifiers)


def _equipped(
    line: BilledLine,
    equipment: Equipment,
    on: dt.date,
    tables: PriceTables,
    notes: dict[str, list[str]],
) -> BilledLine:
    """Put on what the machine demands, unless the line is a reading, and say so."""
    added, findings = equipment_modifiers(
        line.code,
        tables.modality(line.code),
        equipment,
        dose_listed=tables.dose_listed(line.code, on),
    )
    said = notes.setdefault(line.line_id, [])
    said.extend(f.sentence for f in findings if f.severity is Severity.HOLD)
    typed = [m for m in line.modifiers if m in EQUIPMENT_MODIFIERS]
    if component_of(line.modifiers) is Component.PROFESSIONAL or (not added and findings):
        return line
    if set(typed) != set(added):
        kept = tuple(m for m in line.modifiers if m not in EQUIPMENT_MODIFIERS)
        said.extend(f"{m} was put on from the equipment record." for m in added if m not in typed)
        said.extend(
            f"{m} was taken off: the equipment record does not support it."
            for m in typed
            if m not in added
        )
        return replace(line, modifiers=(*kept, *added))
    return line


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:.2f}"


def _answer(line: BilledLine, result: PricedLine, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "id": result.line_id,
        "code": result.code,
        "modifiers": list(line.modifiers),
        "units": line.units,
        "component": result.component.value,
        "status": result.status.value,
        "reason_code": result.reason_code,
        "reason": result.reason,
        "charge": _money(line.charge),
        "allowed": _money(result.allowed),
        "professional": _money(result.professional),
        "technical": _money(result.technical),
        "deductible": _money(result.deductible),
        "coinsurance": _money(result.coinsurance),
        "copay": _money(result.copay),
        "patient_share": _money(result.patient_share),
        "payer_share": _money(result.payer_share),
        "sequestration": _money(result.sequestration),
        "limiting_charge": _money(result.limiting_charge),
        "share_reason": result.share_reason,
        "reductions": [
            {"kind": c.kind, "amount": _money(c.amount), "carc": c.carc} for c in result.cuts
        ],
        "derivation": [
            {"text": s.words, "amount": _money(s.amount), "rule": s.rule} for s in result.derivation
        ],
        "notes": [*notes, *result.notes],
    }


def _totals(priced: Sequence[PricedLine]) -> dict[str, Any]:
    """Sums over the session; null as soon as one line that may pay is not known."""
    open_lines = [p for p in priced if p.status is not PriceStatus.NOT_PAYABLE]

    def total(name: str) -> str | None:
        amounts = [getattr(p, name) for p in open_lines]
        return None if any(a is None for a in amounts) else _money(sum(amounts, ZERO))

    return {
        "allowed": total("allowed"),
        "patient_share": total("patient_share"),
        "payer_share": total("payer_share"),
        "sequestration": total("sequestration"),
        "lines": len(priced),
        "priced": sum(p.status is PriceStatus.PRICED for p in priced),
        "held": sum(p.status is PriceStatus.HOLD for p in priced),
        "blocked": sum(p.status is PriceStatus.BLOCKED for p in priced),
        "not_payable": sum(p.status is PriceStatus.NOT_PAYABLE for p in priced),
    }
