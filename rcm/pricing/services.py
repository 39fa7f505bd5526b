"""Verbs of pricing: contracts and their rates, list prices, and the quote that every door asks."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, TypeVar

from django.db import transaction

from rcm.accounts.actor import Actor, PermissionRefused
from rcm.accounts.models import Site
from rcm.accounts.problems import Refused
from rcm.pricing import quote as pure
from rcm.pricing.db_tables import indicators_of, tables_for
from rcm.pricing.facts import RateMethod
from rcm.pricing.forms import Severity, form_finding, is_supply
from rcm.pricing.models import Contract, ContractRate, ListPrice
from rcm.pricing.terms import METHODS, TermRefused, parse_terms
from rcm.reference.facts import in_force, payer_book, procedure_versions
from rcm.reference.facts import modifiers as known_modifiers
from rcm.reference.loaders import Cells, Layout, RowError
from rcm.reference.loaders.sheets import FileRefused, Limits, open_rows
from rcm.reference.models import Payer, PayerKind, Plan

SHEET_LIMITS = Limits(
    file_bytes=20 * 1024**2,
    text_bytes=100 * 1024**2,
    rows=100_000,
    columns=60,
    sheet_bytes=150 * 1024**2,
    sheet_rows=100_000,
)
"""What a contract or price sheet may be: far above any real one, far below what hurts."""

PARTS = ("", "26", "TC", "global")


# --- contracts ------------------------------------------------------------------------------------


def contract_create(
    *,
    organization_id: int,
    payer: Payer,
    name: str,
    method: str,
    terms: Mapping[str, Any],
    effective_from: dt.date,
    actor: Actor,
    effective_to: dt.date | None = None,
    plan: Plan | None = None,
    site: Site | None = None,
) -> Contract:
    """A new contract. One that holds for the same payer, plan and site until now ends on the day
    before. Raises `Refused`.
    """
    actor.require("rules.edit", organization_id)
    _check_contract(
        organization_id, payer, method, terms, effective_from, effective_to, plan, site, actor
    )
    with transaction.atomic():
        _end_earlier(organization_id, payer, plan, site, effective_from)
        return Contract.objects.create(
            organization_id=organization_id,
            payer=payer,
            plan=plan,
            site=site,
            name=name.strip()[:80],
            method=method,
            terms=dict(terms),
            effective_from=effective_from,
            effective_to=effective_to,
        )


def _check_contract(
    organization_id: int,
    payer: Payer,
    method: str,
    terms: Mapping[str, Any],
    effective_from: dt.date,
    effective_to: dt.date | None,
    plan: Plan | None,
    site: Site | None,
    actor: Actor,
) -> None:
    if organization_id not in actor.organizations:
        raise Refused(
            "This organization is not yours.", code="organization", field="organization", status=404
        )
    if method not in METHODS:
        raise Refused(f"The method is one of {', '.join(METHODS)}.", code="method", field="method")
    if plan is not None and plan.payer_id != payer.pk:
        raise Refused("The plan belongs to another payer.", code="plan", field="plan")
    if site is not None and site.organization_id != organization_id:
        raise Refused("The site belongs to another organization.", code="site", field="site")
    if effective_to is not None and effective_to < effective_from:
        raise Refused("The contract ends before it begins.", code="dates", field="effective_to")
    try:
        parse_terms(terms)
    except TermRefused as error:
        raise Refused(str(error), code="terms", field=error.field) from None


def _end_earlier(
    organization_id: int, payer: Payer, plan: Plan | None, site: Site | None, day: dt.date
) -> None:
    same = Contract.objects.filter(
        organization_id=organization_id, payer=payer, plan=plan, site=site
    )
    if same.filter(effective_from=day).exists():
        raise Refused(
            f"A contract for the same payer, plan and site already begins on {day.isoformat()}.",
            code="duplicate",
            field="effective_from",
            fix="Change that contract, or choose another first day.",
        )
    same.filter(in_force(day)).update(effective_to=day - dt.timedelta(days=1))


def contract_change(
    *,
    contract: Contract,
    name: str,
    method: str,
    terms: Mapping[str, Any],
    actor: Actor,
    effective_to: dt.date | None = None,
) -> Contract:
    """Correct a contract's name, terms or end. New terms from a later day are a new contract, not a
    correction. Raises `Refused`.
    """
    actor.require("rules.edit", contract)
    _check_contract(
        contract.organization_id,
        contract.payer,
        method,
        terms,
        contract.effective_from,
        effective_to,
        contract.plan,
        contract.site,
        actor,
    )
    contract.name, contract.method, contract.terms, contract.effective_to = (
        name.strip()[:80],
        method,
        dict(terms),
        effective_to,
    )
    contract.save(update_fields=["name", "method", "terms", "effective_to"])
    return contract


# --- rates: import with a preview -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RowChange:
    """What one row of a sheet does: added, changed (closes the old row, or corrects it), unchanged,
    or bad with its sentence.
    """

    line: int
    act: str
    key: str
    before: str = ""
    after: str = ""
    sentence: str = ""
    problem: str = ""
    """The id of what forbids a bad row, where it has one: the same at every door."""
    ends: bool = False
    """Whether an earlier row ends because of this one."""


class RowProblem(RowError):
    """A row that a rule forbids, with the rule's own id."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(slots=True)
class SheetResult:
    """A sheet read against what is in force."""

    rows: list[RowChange] = field(default_factory=list)

    def count(self, act: str) -> int:
        return sum(row.act == act for row in self.rows)

    @property
    def summary(self) -> dict[str, int]:
        return {act: self.count(act) for act in ("added", "changed", "unchanged", "bad")}

    @property
    def ended(self) -> int:
        """Rows in force that end because of the sheet."""
        return sum(row.ends for row in self.rows)

    @property
    def changes(self) -> bool:
        return any(row.act in ("added", "changed") for row in self.rows)


_HEADERS = {
    "code": r"code|cpt( code)?|hcpcs( code)?|cpt hcpcs( code)?|procedure( code)?|proc( code)?",
    "amount": r"amount|rate|fee|allowed( amount)?|allowable|contract(ed)? (rate|amount)|price",
    "component": r"component|part",
    "mod": r"mod|modifier 1|mod 1",
    "effective_from": r"effective from|effective( date)?|eff( date)?|start( date)?|from",
    "effective_to": r"effective to|end( date)?|term(ination)?( date)?|thru|through|to",
}
_RATE_EXTRAS = {
    "modality": "modality",
    "modifier": "modifier",
    "percent": r"percent|pct|percentage",
    "medicare_year": "medicare year",
    "carve_out": "carve out",
}
_OPTIONAL = frozenset({*_HEADERS, *_RATE_EXTRAS})


def _nothing(cells: Cells, options: object, context: object) -> tuple[()]:
    return ()


RATE_SHEETS: tuple[Layout, ...] = (
    Layout(
        "rates by method",
        _nothing,
        {"method": r"method|rate (type|method)", **_HEADERS, **_RATE_EXTRAS},
        _OPTIONAL,
    ),
    Layout(
        "fees by code",
        _nothing,
        {**_HEADERS, **_RATE_EXTRAS},
        _OPTIONAL - {"code", "amount"},
    ),
)
PRICE_SHEETS: tuple[Layout, ...] = (
    Layout(
        "prices",
        _nothing,
        {**_HEADERS, "amount": _HEADERS["amount"] + "|charge"},
        frozenset(_HEADERS) - {"code", "amount"},
    ),
)


def sheet_cells(path: Path, layouts: Sequence[Layout], needs: str) -> Iterator[Cells]:
    """Rows of a sheet below its header. Raises `Refused`."""
    try:
        with open_rows(path, limits=SHEET_LIMITS) as rows:
            at: dict[str, int] | None = None
            layout = layouts[0]
            for line, values in rows:
                if at is None:
                    layout, at = _located(layouts, values)
                    if at is None and line > 30:
                        break
                    continue
                yield layout.cells(line, values, at)
            if at is None:
                raise Refused(
                    f"The sheet needs a header line with {needs}.", code="header", field="file"
                )
    except FileRefused as error:
        raise Refused(str(error), code="file", field="file") from None


def _located(
    layouts: Sequence[Layout], header: Sequence[str]
) -> tuple[Layout, dict[str, int] | None]:
    """The layout whose header this line is, and where its columns are."""
    for layout in layouts:
        at = layout.locate(header)
        if at is not None:
            return layout, at
    return layouts[0], None


def _may_exist(code: str, mod: str, modifier: str, on: dt.date) -> None:
    """Raise for a code nobody knows, a component it does not have, a modifier that is none."""
    if modifier and modifier not in known_modifiers():
        raise RowProblem("MODIFIER_UNKNOWN", f"{modifier} on {code or 'a rate'} is not a modifier.")
    if not code:
        return
    kind = indicators_of(code, on)
    listed = kind is not None and not is_supply(code)
    if not listed and code not in procedure_versions():
        raise RowProblem(
            "CODE_UNKNOWN", f"{code} is neither in the procedure catalog nor in the fee schedule."
        )
    if kind is None or mod not in ("26", "TC"):
        return
    finding = form_finding(code, kind.pctc, (mod,))
    if finding is not None and finding.severity is Severity.BLOCK:
        raise RowProblem(finding.code, finding.sentence)


def _rate(cells: Cells, contract: Contract) -> ContractRate:
    amount_alone = bool(cells.text("amount")) and not cells.text("percent")
    method = cells.choice("method", METHODS, default=RateMethod.FLAT if amount_alone else None)
    part = cells.choice("component" if cells.has("component") else "mod", PARTS, default="")
    code = cells.code("code", required=False)
    amount = cells.decimal("amount", places=2)
    percent = cells.decimal("percent", places=3)
    if method == RateMethod.FLAT and (amount is None or amount < 0):
        raise RowError("A flat rate needs an amount of 0 or more.")
    if method != RateMethod.FLAT and (percent is None or not 0 < percent <= 1000):
        raise RowError("A percentage rate needs percent between 0 and 1000 (115 = 115 %).")
    if method == RateMethod.FLAT and not code and not cells.text("modality"):
        raise RowError("A flat rate needs a code or a modality.")
    since = cells.date("effective_from") or contract.effective_from
    until = cells.date("effective_to")
    if until is not None and until < since:
        raise RowError("The rate ends before it begins.")
    modifier = cells.match(
        "modifier", "[0-9A-Z]{2}", "a modifier of two characters", required=False
    )
    _may_exist(code, part, modifier, since)
    return ContractRate(
        organization_id=contract.organization_id,
        contract=contract,
        code=code,
        modality=cells.text("modality", 6).upper(),
        mod=part,
        modifier=modifier,
        method=method,
        amount=amount if method == RateMethod.FLAT else None,
        percent=None if method == RateMethod.FLAT else percent,
        medicare_year=cells.integer("medicare_year", least=1992),
        carve_out=bool(cells.flag("carve_out", default=False)),
        effective_from=since,
        effective_to=until,
    )


def _rate_key(rate: ContractRate) -> tuple[str, ...]:
    return (rate.code, rate.modality, rate.mod, rate.modifier)


def _rate_words(rate: ContractRate) -> str:
    what = (
        f"${rate.amount:.2f}"
        if rate.amount is not None
        else f"{(rate.percent or Decimal(0)).normalize():f}% {rate.method[11:].replace('_', ' ')}"
    )
    extras = [
        f"of {rate.medicare_year}" if rate.medicare_year else "",
        "carve-out" if rate.carve_out else "",
    ]
    until = f" to {rate.effective_to.isoformat()}" if rate.effective_to else ""
    return " ".join([what, *filter(None, extras), f"from {rate.effective_from.isoformat()}{until}"])


def _rate_value(rate: ContractRate) -> tuple[Any, ...]:
    return (rate.method, rate.amount, rate.percent, rate.medicare_year, rate.carve_out)


def _price_key(price: ListPrice) -> tuple[str, ...]:
    return (price.code, price.mod)


def _price_words(price: ListPrice) -> str:
    return f"${price.amount:.2f} from {price.effective_from.isoformat()}" + (
        f" to {price.effective_to.isoformat()}" if price.effective_to else ""
    )


R = TypeVar("R", ContractRate, ListPrice)


@dataclass(slots=True)
class _Versions(Generic[R]):
    """Rows of one sheet laid over dated rows: what to insert and what to update."""

    kept: dict[tuple[str, ...], list[R]]
    key: Callable[[R], tuple[str, ...]]
    value: Callable[[R], tuple[Any, ...]]
    words: Callable[[R], str]
    new: list[R] = field(default_factory=list)
    touched: dict[int, R] = field(default_factory=dict)

    def lay(self, line: int, row: R) -> RowChange:
        versions = self.kept.setdefault(self.key(row), [])
        label = " ".join(filter(None, self.key(row))) or "everything"
        later = min(
            (v.effective_from for v in versions if v.effective_from > row.effective_from),
            default=None,
        )
        if later is not None and (row.effective_to is None or row.effective_to >= later):
            row.effective_to = later - dt.timedelta(days=1)
        now = next(
            (
                v
                for v in versions
                if v.effective_from <= row.effective_from
                and (v.effective_to is None or v.effective_to >= row.effective_from)
            ),
            None,
        )
        if now is None:
            self.new.append(row)
            versions.append(row)
            return RowChange(line, "added", label, after=self.words(row))
        before, was = self.words(now), now.effective_to
        same_end = row.effective_to == now.effective_to
        if self.value(now) == self.value(row) and (same_end or row.effective_to is None):
            return RowChange(line, "unchanged", label, before=before, after=before)
        if self.value(now) == self.value(row) or now.effective_from == row.effective_from:
            for name in (
                "method",
                "amount",
                "percent",
                "medicare_year",
                "carve_out",
                "effective_to",
            ):
                if hasattr(row, name):
                    setattr(now, name, getattr(row, name))
            after = self.words(now)
        else:
            now.effective_to = row.effective_from - dt.timedelta(days=1)
            self.new.append(row)
            versions.append(row)
            after = self.words(row)
        if now.pk is not None:
            self.touched[now.pk] = now
        ends = now.effective_to is not None and now.effective_to != was
        return RowChange(line, "changed", label, before=before, after=after, ends=ends)


def rates_import(
    *, contract: Contract, path: Path, actor: Actor, preview: bool = False
) -> SheetResult:
    """Lay a sheet of rates (CSV or XLSX) over a contract; a bad row is reported and left out.

    Columns: method and any of code, modality, component, modifier, amount, percent, medicare_year,
    carve_out, effective_from, effective_to. Raises `Refused` when the file as a whole cannot be
    used. `preview` writes nothing.
    """
    actor.require("rules.edit", contract)
    kept: dict[tuple[str, ...], list[ContractRate]] = {}
    for rate in ContractRate.objects.filter(contract=contract).order_by("effective_from"):
        kept.setdefault(_rate_key(rate), []).append(rate)
    versions = _Versions(kept, _rate_key, _rate_value, _rate_words)
    result = _lay(
        versions,
        sheet_cells(path, RATE_SHEETS, "method, or code and amount"),
        lambda cells: _rate(cells, contract),
    )
    if not preview:
        with transaction.atomic():
            ContractRate.objects.bulk_update(
                versions.touched.values(),
                ["method", "amount", "percent", "medicare_year", "carve_out", "effective_to"],
                batch_size=500,
            )
            ContractRate.objects.bulk_create(versions.new, batch_size=1000)
    return result


def _lay(versions: _Versions[R], sheet: Iterable[Cells], read: Callable[[Cells], R]) -> SheetResult:
    """Every row with its verdict. Two rows of one sheet that hold on one day contradict each
    other: the first is kept, the other refused.
    """
    result = SheetResult()
    seen: dict[tuple[str, ...], list[Span]] = defaultdict(list)
    for cells in sheet:
        try:
            row: R = read(cells)
            spans = seen[versions.key(row)]
            _apart(spans, row)
        except RowError as error:
            problem = error.code if isinstance(error, RowProblem) else ""
            result.rows.append(
                RowChange(cells.line, "bad", "", sentence=str(error), problem=problem)
            )
            continue
        spans.append(Span(cells.line, row.effective_from, row.effective_to))
        result.rows.append(versions.lay(cells.line, row))
    return result


@dataclass(frozen=True, slots=True)
class Span:
    """The days for which a line of a sheet holds; no last day is open."""

    line: int
    first: dt.date
    last: dt.date | None


def _apart(spans: Iterable[Span], row: ContractRate | ListPrice) -> None:
    for span in spans:
        if span.first == row.effective_from:
            raise RowProblem(
                "OVERLAP", f"The same rate stands on line {span.line}; the first one was kept."
            )
        begins = span.last is None or row.effective_from <= span.last
        if begins and (row.effective_to is None or span.first <= row.effective_to):
            raise RowProblem(
                "OVERLAP",
                f"Line {span.line} holds on the same days; give the earlier one its last day.",
            )


# --- list prices ----------------------------------------------------------------------------------


def prices_import(
    *,
    organization_id: int,
    path: Path,
    actor: Actor,
    effective_from: dt.date,
    preview: bool = False,
) -> SheetResult:
    """Lay a sheet of list prices (code, component, amount, dates) over an organization's own.
    Raises `Refused`.
    """
    actor.require("rules.edit", organization_id)
    if organization_id not in actor.organizations:
        raise Refused(
            "This organization is not yours.", code="organization", field="organization", status=404
        )
    kept: dict[tuple[str, ...], list[ListPrice]] = {}
    for price in ListPrice.objects.filter(organization_id=organization_id).order_by(
        "effective_from"
    ):
        kept.setdefault(_price_key(price), []).append(price)
    versions = _Versions(kept, _price_key, lambda price: (price.amount,), _price_words)

    def read(cells: Cells) -> ListPrice:
        amount = cells.decimal("amount", required=True, places=2)
        if amount is None or amount < 0:
            raise RowError("A price is 0 or more.")
        code, since = cells.code("code"), cells.date("effective_from") or effective_from
        column = "component" if cells.has("component") else "mod"
        mod = cells.choice(column, ("", "26", "TC"), default="")
        _may_exist(code, mod, "", since)
        return ListPrice(
            organization_id=organization_id,
            code=code,
            mod=mod,
            amount=amount,
            effective_from=since,
            effective_to=cells.date("effective_to"),
        )

    result = _lay(versions, sheet_cells(path, PRICE_SHEETS, "code and amount"), read)
    if not preview:
        with transaction.atomic():
            ListPrice.objects.bulk_update(
                versions.touched.values(), ["amount", "effective_to"], batch_size=500
            )
            ListPrice.objects.bulk_create(versions.new, batch_size=1000)
    return result


def list_prices(
    *, organization_id: int, codes: Iterable[str], on: dt.date
) -> dict[tuple[str, str], Decimal]:
    """(code, component) → the organization's charge per unit on a day; what has no price is
    missing, never zero.
    """
    rows = ListPrice.objects.filter(
        in_force(on), organization_id=organization_id, code__in=set(codes)
    )
    return {(code, mod): amount for code, mod, amount in rows.values_list("code", "mod", "amount")}


# --- quote ----------------------------------------------------------------------------------------


def quote(*, payload: object, actor: Actor) -> dict[str, Any]:
    """Price one session for one of the actor's organizations: `rcm.pricing.quote` with our names
    resolved.

    Beside its fields, `payload` may name `site` (our site code: gives ZIP and place of service),
    `payer` (our code, EDI id or name), `plan` (code), and lines without charge take the
    organization's list price. Answers what the pure quote answers, plus `contract`.
    """
    if not actor.can_somewhere("price.view"):
        raise PermissionRefused("price.view")
    actor = actor.where("price.view")
    if not isinstance(payload, Mapping):
        return pure.quote(payload, tables_for(())[0])
    asked = dict(payload)
    errors: list[dict[str, str]] = []
    site = _site(asked, actor, errors)
    organization_id = (
        site.organization_id
        if site
        else (min(actor.organizations) if len(actor.organizations) == 1 else None)
    )
    tables, book = tables_for([organization_id] if organization_id else ())
    on = _day(asked.get("date_of_service"))
    payer = _payer(asked, errors)
    named = None
    if payer is not None and not asked.get("contract"):
        plan_id = _plan(asked, payer, errors)
        ref = None
        if organization_id is not None and on is not None:
            ref = book.find(
                organization_id=organization_id,
                payer_id=payer.pk,
                on=on,
                plan_id=plan_id,
                site_id=site.pk if site else None,
            )
        if ref is not None:
            asked["contract"], named = ref.key, ref.name
        elif payer.kind != PayerKind.MEDICARE and on is not None:
            errors.append(
                {
                    "field": "payer",
                    "code": "no_contract",
                    "message": (
                        f"No contract with {payer.name} is in force on {on.isoformat()}: its"
                        " payment cannot be expected."
                    ),
                }
            )
        asked.pop("payer", None)
    asked.pop("plan", None)
    if errors:
        return {"errors": errors}
    if organization_id is not None and on is not None:
        _charges(asked, organization_id, on)
    answer = pure.quote(asked, tables)
    if not answer["errors"]:
        answer["contract"] = named
        if payer is not None:
            answer["payer"] = payer.name
    return answer


def _day(value: object) -> dt.date | None:
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(str(value))
    except ValueError:
        return None


def _site(asked: dict[str, Any], actor: Actor, errors: list[dict[str, str]]) -> Site | None:
    code = str(asked.get("site") or "")
    asked["site"] = code
    if not code:
        return None
    sites = Site.objects.filter(organization_id__in=actor.organizations, code=code)
    site = (sites.filter(pk__in=actor.sites) if actor.sites else sites).first()
    if site is None:
        errors.append({"field": "site", "code": "unknown", "message": "There is no such site."})
        return None
    if not asked.get("zip") and not asked.get("locality"):
        asked["zip"] = site.zip
    asked.setdefault("pos", site.pos)
    return site


def _payer(asked: dict[str, Any], errors: list[dict[str, str]]) -> Payer | None:
    text = str(asked.get("payer") or "").strip()
    if not text or text.lower() == "medicare":
        return None
    payer = payer_book().find(code=text, edi_id=text, name=text)
    if payer is None:
        errors.append(
            {
                "field": "payer",
                "code": "unknown",
                "message": "There is no payer of this code, EDI id or name.",
            }
        )
    return payer


def _plan(asked: Mapping[str, Any], payer: Payer, errors: list[dict[str, str]]) -> int | None:
    code = str(asked.get("plan") or "").strip()
    if not code:
        return None
    plan = Plan.objects.filter(payer=payer, code=code).values_list("id", flat=True).first()
    if plan is None:
        errors.append(
            {"field": "plan", "code": "unknown", "message": f"{payer.name} has no such plan."}
        )
    return plan


def _charges(asked: dict[str, Any], organization_id: int, on: dt.date) -> None:
    """Lines without a charge take the list price of their code and component, times units."""
    lines = asked.get("lines")
    if not isinstance(lines, Sequence) or isinstance(lines, str):
        return
    wanted = {
        str(line.get("code") or "").upper()
        for line in lines
        if isinstance(line, Mapping) and not line.get("charge")
    }
    prices = list_prices(organization_id=organization_id, codes=wanted, on=on) if wanted else {}
    if not prices:
        return
    filled = []
    for line in lines:
        if isinstance(line, Mapping) and not line.get("charge"):
            given = line.get("modifiers") or []
            mods = (
                given.replace(",", " ").upper().split()
                if isinstance(given, str)
                else [str(m).upper() for m in given]
            )
            part = "26" if "26" in mods else "TC" if "TC" in mods else ""
            price = prices.get((str(line.get("code") or "").upper(), part))
            units = line.get("units", 1)
            if (
                price is not None
                and isinstance(units, int)
                and not isinstance(units, bool)
                and units > 0
            ):
                line = {**line, "charge": str(price * units)}
        filled.append(line)
    asked["lines"] = filled
