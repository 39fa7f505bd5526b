"""Expected payment of whole sessions, with the derivation of every cent.

Order of steps per line: starting price (schedule or contract) · equipment · both sides · multiple
procedures · outpatient cap · participation · purchased price · charge · cost sharing ·
sequestration. A line that lacks a fact is held with its reason and never priced at zero; other
lines of the session go on, unless their rank depends on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from .contracts import RateBook, contract_base, percent
from .facts import (
    ONE,
    ZERO,
    BilledLine,
    Component,
    Contract,
    Cut,
    MedicareTerms,
    MpprScope,
    PosSetting,
    PricedLine,
    PriceStatus,
    PricingContext,
    Step,
    StepKind,
    cents,
)
from .fees import Base, Held, schedule_base
from .forms import DISTINCT_SERVICE, Severity, component_of, form_finding, place_finding
from .mppr import (
    CARDIOVASCULAR,
    IMAGING,
    OPHTHALMIC,
    RULE_WORDS,
    SURGICAL,
    Entry,
    ordinal,
    places,
    session_keys,
    unmarked_sessions,
)
from .tables import PriceTables

_REDUCED_SERVICE = ("52", "53")
_EQUIPMENT_WORDS = {
    "CT": "CT dose standard not met",
    "FX": "film X-ray",
    "FY": "computed radiography",
}
_EQUIPMENT_RULES = {
    "CT": "ct-dose-standard",
    "FX": "film-x-ray",
    "FY": "computed-radiography",
}
_MULTIPLE_RULES = {
    (IMAGING, "pc"): "mppr-professional",
    (IMAGING, "tc"): "mppr-technical",
    (CARDIOVASCULAR, "tc"): "mppr-cardiovascular",
    (OPHTHALMIC, "tc"): "mppr-cardiovascular",
}
"""The rule that reduces one part; a fee that is not split follows the contract."""


@dataclass(slots=True)
class _Draft:
    """One line on its way to a price: unit amounts of its parts, and how many units keep them
    whole.
    """

    index: int
    line: BilledLine
    component: Component
    base: Base
    session: str
    units: int
    whole: Decimal | None
    pc: Decimal | None
    tc: Decimal | None
    whole_cap: Decimal | None
    tc_cap: Decimal | None
    steps: list[Step]
    notes: list[str] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    share: Decimal = ONE  # what a second side still pays
    pc_kept: int | None = None  # units at 100 %, None = all
    tc_kept: int | None = None
    whole_kept: int | None = None
    pc_paid: Decimal = ONE
    tc_paid: Decimal = ONE
    whole_paid: Decimal = ONE
    held: Held | None = None

    def unreduced(self) -> Decimal:
        return self.unit() * self.units

    def unit(self) -> Decimal:
        return self.whole if self.whole is not None else (self.pc or ZERO) + (self.tc or ZERO)


class Pricer:
    """Prices sessions against one set of tables; keeps starting prices, so make one for a run and
    drop it after.
    """

    def __init__(self, tables: PriceTables) -> None:
        self.tables = tables
        self._bases: dict[tuple[object, ...], Base] = {}
        self._books: dict[int, RateBook] = {}

    def session(self, lines: Sequence[BilledLine], context: PricingContext) -> list[PricedLine]:
        """Price the lines of one patient, day and billing group together, in their order."""
        terms = self.tables.terms(context.date_of_service)
        setting = self.tables.pos_setting(context.pos)
        keys = session_keys(lines)
        results: list[PricedLine | None] = [None] * len(lines)
        drafts: list[_Draft] = []
        for index, line in enumerate(lines):
            component = component_of(line.modifiers)
            try:
                draft = self._draft(index, line, component, keys[index], context, setting, terms)
            except Held as held:
                results[index] = _held(line, component, held)
            else:
                drafts.append(draft)
        assert terms is not None or not drafts
        if terms is not None and drafts:
            _second_sides(drafts, context, terms)
            _multiple_procedures([d for d in drafts if d.held is None], context, terms)
            if names := unmarked_sessions(lines):
                words = (
                    f"Sessions {', '.join(sorted(names))} are on record without 59 or XE: the payer"
                    " counts them as one."
                )
                for draft in drafts:
                    draft.notes.append(words)
            sharing = _Sharing(context, terms)
            for draft in drafts:
                try:
                    if draft.held is not None:
                        raise draft.held
                    results[draft.index] = _settle(draft, context, terms, sharing)
                except Held as held:
                    results[draft.index] = _held(draft.line, draft.component, held, draft.steps)
        return [result for result in results if result is not None]

    def _draft(
        self,
        index: int,
        line: BilledLine,
        component: Component,
        session: str,
        context: PricingContext,
        setting: PosSetting | None,
        terms: MedicareTerms | None,
    ) -> _Draft:
        if terms is None:
            raise Held(
                "NO_TERMS",
                f"Medicare terms for {context.date_of_service.isoformat()} are not loaded.",
            )
        if line.units < 1:
            raise Held("UNITS", f"{line.code} has {line.units} units.", PriceStatus.BLOCKED)
        self._check_form(line, component, context, setting)
        base = self._base(line, component, context, setting)
        if (
            any(m in line.modifiers for m in _REDUCED_SERVICE)
            and base.modifier_priced not in _REDUCED_SERVICE
        ):
            modifier = next(m for m in line.modifiers if m in _REDUCED_SERVICE)
            raise Held(
                "REDUCED_SERVICE", f"{line.code}-{modifier} is priced by the payer from the report."
            )
        draft = _Draft(
            index=index,
            line=line,
            component=component,
            base=base,
            session=session,
            units=1 if base.per_line else line.units,
            whole=base.whole,
            pc=base.professional,
            tc=base.technical,
            whole_cap=base.whole_cap,
            tc_cap=base.technical_cap,
            steps=list(base.steps),
        )
        _equipment(draft, context, terms)
        _both_sides(draft, context, terms)
        return draft

    def _check_form(
        self,
        line: BilledLine,
        component: Component,
        context: PricingContext,
        setting: PosSetting | None,
    ) -> None:
        if context.contract is None:
            if "GZ" in line.modifiers:
                raise Held(
                    "GZ",
                    "Medicare denies a GZ line; the patient is not liable.",
                    PriceStatus.NOT_PAYABLE,
                )
            if "GY" in line.modifiers:
                raise Held(
                    "GY",
                    "Medicare excludes a GY line; the patient is liable.",
                    PriceStatus.NOT_PAYABLE,
                )
        on = context.date_of_service
        row = self.tables.indicators(line.code, on)
        if row is None:
            if context.contract is None or component is not Component.GLOBAL:
                raise Held(
                    "NO_FEE_SCHEDULE",
                    f"No fee schedule row for {line.code} on {on.isoformat()} is loaded.",
                )
            if setting is None:
                raise Held(
                    "POS_UNKNOWN",
                    f"Place of service {context.pos or '(blank)'} is not in the loaded list.",
                )
            return
        if (
            "PD" in line.modifiers
        ):  # inpatient window: the hospital owns the technical part, the reading is facility
            setting = PosSetting.FACILITY
        for finding in (
            form_finding(line.code, row.pctc, line.modifiers),
            place_finding(line.code, row.pctc, component, context.pos, setting),
        ):
            if finding is not None:
                status = (
                    PriceStatus.HOLD if finding.severity is Severity.HOLD else PriceStatus.BLOCKED
                )
                raise Held(finding.code, f"{finding.sentence} {finding.fix}", status)
        if line.purchased_price is not None and component is Component.GLOBAL and row.pctc == "1":
            raise Held(
                "PURCHASED_GLOBAL",
                f"{line.code} with a purchased part must be sent as TC and 26 lines.",
                PriceStatus.BLOCKED,
            )

    def _base(
        self,
        line: BilledLine,
        component: Component,
        context: PricingContext,
        setting: PosSetting | None,
    ) -> Base:
        """The starting price of a line, from the run's memory where the same question was answered
        before.
        """
        facility = setting is PosSetting.FACILITY or "PD" in line.modifiers
        locality, on = line.locality or context.locality, context.date_of_service
        key: tuple[object, ...] = (self.tables.period(on), line.code, component, locality, facility)
        if context.contract is None:
            key = (*key, context.qualifying_apm)
            if key not in self._bases:
                self._bases[key] = schedule_base(
                    line.code,
                    component,
                    locality=locality,
                    on=on,
                    facility=facility,
                    qualifying=context.qualifying_apm,
                    tables=self.tables,
                )
            return self._bases[key]
        book = self._book(context.contract)
        # A share of the charge is the line's own; a price by contract depends on what narrows its
        # rates.
        key = (*key, id(book), book.period(on), line.modifiers, context.site, context.plan)
        known = None if book.by_charge else self._bases.get(key)
        if known is None:
            known = contract_base(
                line, component, book=book, context=context, facility=facility, tables=self.tables
            )
            if not book.by_charge:
                self._bases[key] = known
        return known

    def _book(self, contract: Contract) -> RateBook:
        book = self._books.get(id(contract))
        if book is None or book.contract is not contract:
            book = self._books[id(contract)] = RateBook(contract)
        return book


def price_session(
    lines: Sequence[BilledLine], *, context: PricingContext, tables: PriceTables
) -> list[PricedLine]:
    """Price the lines of one patient, day and billing group together. For many sessions use
    `price_sessions`.
    """
    return Pricer(tables).session(lines, context)


def price_sessions(
    sessions: Iterable[tuple[PricingContext, Sequence[BilledLine]]], *, tables: PriceTables
) -> Iterator[list[PricedLine]]:
    """Price many sessions in one pass, sharing starting prices; yields one list per session, in
    order.
    """
    pricer = Pricer(tables)
    for context, lines in sessions:
        yield pricer.session(lines, context)


def _held(
    line: BilledLine, component: Component, held: Held, steps: Sequence[Step] = ()
) -> PricedLine:
    return PricedLine(
        line.line_id,
        line.code,
        component,
        held.status,
        held.code,
        held.reason,
        derivation=(*steps, Step(held.reason, None, "")),
    )


def _equipment(draft: _Draft, context: PricingContext, terms: MedicareTerms) -> None:
    """Take the equipment reduction off the technical part (rule `equipment-record`)."""
    if context.contract is not None and not context.contract.equipment_reductions:
        return
    cuts = {"CT": terms.cut_ct, "FX": terms.cut_film, "FY": terms.cut_computed}
    for modifier in draft.line.modifiers:
        cut = cuts.get(modifier)
        if (
            cut is None
            or draft.component is Component.PROFESSIONAL
            or draft.base.pctc in {"0", "2"}
        ):
            continue
        if draft.tc is None:
            raise Held(
                "NO_TECHNICAL_PART",
                f"{draft.line.code}-{modifier}: the technical part alone is not known.",
            )
        before = draft.unit()
        reduced = cents(draft.tc * (ONE - cut))
        words = f"TC {draft.tc} × {percent(ONE - cut)} {_EQUIPMENT_WORDS[modifier]} = {reduced}"
        draft.steps.append(Step(words, reduced, _EQUIPMENT_RULES[modifier]))
        draft.tc, draft.whole = reduced, None
        draft.cuts.append(Cut("equipment", (before - draft.unit()) * draft.units, "237"))


def _sides(modifiers: tuple[str, ...]) -> frozenset[str]:
    if "50" in modifiers:
        return frozenset({"RT", "LT"})
    return frozenset(modifiers) & {"RT", "LT"}


def _both_sides(draft: _Draft, context: PricingContext, terms: MedicareTerms) -> None:
    """Both sides on one line, by the bilateral indicator (rule `bilateral-payment`)."""
    if len(_sides(draft.line.modifiers)) < 2 or draft.base.per_line:
        return
    code, indicator = draft.line.code, draft.base.bilateral
    if indicator is None:
        raise Held(
            "BILATERAL_UNKNOWN", f"Whether {code} may be billed for both sides is not known."
        )
    if indicator in {"2", "9"} and "50" in draft.line.modifiers:
        why = "already covers both sides" if indicator == "2" else "has no sides"
        raise Held("BILATERAL_ILLEGAL", f"{code} {why}: remove modifier 50.", PriceStatus.BLOCKED)
    if indicator == "3":
        if draft.units > 1 and "50" not in draft.line.modifiers:
            return  # two units with RT and LT already count the sides
        draft.units *= 2
        draft.steps.append(
            Step(f"both sides at 100% each: {draft.units} units", None, "bilateral-payment")
        )
    elif indicator == "1":
        paid = _bilateral_rate(draft, context, terms)
        if "50" not in draft.line.modifiers and draft.units == 2:
            draft.units = 1
        before = draft.unit()
        for part in ("whole", "pc", "tc", "whole_cap", "tc_cap"):
            amount = getattr(draft, part)
            if amount is not None:
                setattr(draft, part, cents(amount * paid))
        draft.steps.append(
            Step(
                f"{before} × {percent(paid)} both sides = {draft.unit()}",
                draft.unit(),
                "bilateral-payment",
            )
        )
    else:
        draft.notes.append(f"{code} pays once for both sides (bilateral indicator {indicator}).")


def _bilateral_rate(draft: _Draft, context: PricingContext, terms: MedicareTerms) -> Decimal:
    contract = context.contract
    if contract is not None and contract.bilateral is not None:
        return contract.bilateral
    if contract is not None and not draft.base.follows_medicare:
        raise Held(
            "CONTRACT_SILENT_BILATERAL",
            f"{contract.name} does not say how both sides of one code pay.",
        )
    return terms.paid_bilateral


def _second_sides(drafts: Sequence[_Draft], context: PricingContext, terms: MedicareTerms) -> None:
    """RT and LT on two lines of a code that is not paid per side: the second line pays the rest of
    the rule (rule `bilateral-payment`).
    """
    seen: dict[tuple[str, str, Component], frozenset[str]] = {}
    for draft in drafts:
        sides = _sides(draft.line.modifiers)
        indicator = draft.base.bilateral
        if len(sides) != 1 or indicator not in {"0", "1", "2"} or draft.base.per_line:
            continue
        if DISTINCT_SERVICE.intersection(draft.line.modifiers):
            continue
        key = (draft.session, draft.line.code, draft.component)
        before = seen.get(key)
        if before is None:
            seen[key] = sides
        elif not sides <= before:
            seen[key] = before | sides
            try:
                draft.share = (
                    _bilateral_rate(draft, context, terms) - ONE if indicator == "1" else ZERO
                )
            except Held as held:
                draft.held = held
                continue
            words = f"second side: both sides together pay {percent(ONE + draft.share)} of one"
            draft.steps.append(Step(words, None, "bilateral-payment"))


@dataclass(frozen=True, slots=True)
class _PartsPaid:
    """What each part after the first is paid, as a fraction; None when it is not reduced. `whole` is
    for a fee without parts.
    """

    pc: Decimal | None = None
    tc: Decimal | None = None
    whole: Decimal | None = None


def _multiple_procedures(
    drafts: Sequence[_Draft], context: PricingContext, terms: MedicareTerms
) -> None:
    """Rank the session's parts and set what each is paid (rule `mppr-technical`)."""
    contract = context.contract
    scope = _scope(contract)
    if scope is MpprScope.NONE:
        return
    if contract is not None and len(drafts) > 1:
        _hold_unknown(drafts)
    for rule, members in _ranked_together(drafts, scope):
        if sum(draft.units for draft in members) < 2:
            continue
        if contract is not None and (contract.mppr is None or rule in {OPHTHALMIC, SURGICAL}):
            words = f"{contract.name} does not say how several procedures of one session pay."
            _hold(members, Held("CONTRACT_SILENT_MULTIPLE", words))
        elif rule == SURGICAL:
            _rank(members, rule, "whole", terms.paid_surgical)
        else:
            _rank_parts(members, rule, _parts_paid(rule, contract, terms))


def _scope(contract: Contract | None) -> MpprScope | None:
    """Who counts together: Medicare's own rule, the contract's, None where it is silent."""
    if contract is None:
        return MpprScope.GROUP
    return contract.mppr.scope if contract.mppr is not None else None


def _hold(drafts: Iterable[_Draft], held: Held) -> None:
    for draft in drafts:
        draft.held = held


def _hold_unknown(drafts: Iterable[_Draft]) -> None:
    """A contract's line that may or may not take part in the ranking has no price."""
    for draft in drafts:
        if draft.base.multiple is None and not draft.base.carve_out:
            words = f"Whether {draft.line.code} takes part in multiple-procedure rules is unknown."
            draft.held = Held("MULTIPLE_UNKNOWN", words)


def _ranked_together(
    drafts: Iterable[_Draft], scope: MpprScope | None
) -> Iterator[tuple[str, list[_Draft]]]:
    """The indicator and the lines of each pool that is ranked by itself."""
    pools: dict[tuple[str, str, str], list[_Draft]] = defaultdict(list)
    for draft in drafts:
        rule = draft.base.multiple
        if rule not in RULE_WORDS or draft.base.carve_out or draft.share == ZERO:
            continue
        session = "" if scope is MpprScope.DAY else draft.session
        rendering = draft.line.rendering if scope is MpprScope.PHYSICIAN else ""
        pools[(rule, session, rendering)].append(draft)
    for (rule, _, _), members in pools.items():
        yield rule, members


def _parts_paid(rule: str, contract: Contract | None, terms: MedicareTerms) -> _PartsPaid:
    """The percentages of Medicare, or those of a contract that has its own."""
    if contract is None:
        technical = {
            IMAGING: terms.paid_multiple_tc,
            CARDIOVASCULAR: terms.paid_cardiovascular_tc,
            OPHTHALMIC: terms.paid_ophthalmic_tc,
        }
        return _PartsPaid(terms.paid_multiple_pc if rule == IMAGING else None, technical[rule])
    mppr = contract.mppr
    assert mppr is not None  # a silent contract was held before
    if rule == IMAGING:
        return _PartsPaid(mppr.paid_pc, mppr.paid_tc, mppr.paid_global)
    return _PartsPaid(None, mppr.paid_cardiovascular_tc, mppr.paid_global)


def _rank_parts(members: Sequence[_Draft], rule: str, paid: _PartsPaid) -> None:
    if paid == _PartsPaid():
        return
    unsplit = [draft for draft in members if draft.pc is None and draft.tc is None]
    if unsplit and paid.whole is None:
        codes = ", ".join(sorted({draft.line.code for draft in unsplit}))
        words = f"The parts of {codes} are not known, so the session cannot be ranked."
        _hold(members, Held("PARTS_UNKNOWN", words))
        return
    if paid.whole is not None:
        _rank(unsplit, rule, "whole", paid.whole)
    split = [draft for draft in members if draft.pc is not None or draft.tc is not None]
    if paid.pc is not None:
        _rank(split, rule, "pc", paid.pc)
    if paid.tc is not None:
        _rank(split, rule, "tc", paid.tc)


def _rank(members: Sequence[_Draft], rule: str, part: str, paid: Decimal) -> None:
    entries, by_index = [], {}
    for draft in members:
        amount = draft.unit() if part == "whole" else getattr(draft, part)
        if amount is not None:
            entries.append(Entry(draft.index, amount, draft.units))
            by_index[draft.index] = (draft, amount)
    name = {"pc": "26", "tc": "TC", "whole": "fee"}[part]
    slug = _MULTIPLE_RULES.get((rule, part), "mppr-contract")
    for index, place in places(entries).items():
        draft, amount = by_index[index]
        setattr(draft, f"{part}_kept", place.whole_units)
        setattr(draft, f"{part}_paid", paid)
        rank = ordinal(place.rank)
        if place.whole_units:
            more = "" if draft.units == 1 else f", further units × {percent(paid)}"
            words = f"{name} {amount} at 100%, {rank} by fee{more}"
            draft.steps.append(Step(words, amount, slug, StepKind.MULTIPLE))
        else:
            reduced = cents(amount * paid)
            words = (
                f"{name} {amount} × {percent(paid)} {RULE_WORDS[rule]}, {rank} by fee = {reduced}"
            )
            draft.steps.append(Step(words, reduced, slug, StepKind.MULTIPLE))


def _capped(amount: Decimal, cap: Decimal | None) -> Decimal:
    return amount if cap is None else min(amount, cap)


@dataclass(frozen=True, slots=True)
class _Totals:
    uncapped: Decimal
    capped: Decimal
    professional: Decimal | None
    technical: Decimal | None


def _sum_of_parts(totals: _Totals, steps: Iterable[Step]) -> Step:
    """Both parts together; part of the multiple-procedure reduction where one was taken."""
    reduced = any(step.kind is StepKind.MULTIPLE for step in steps)
    kind = StepKind.MULTIPLE if reduced else StepKind.PRICE
    return Step(f"26 + TC = {totals.uncapped}", totals.uncapped, "component-sum", kind)


def _totals(draft: _Draft) -> _Totals:
    """Line amounts after ranking, before and after the outpatient cap.

    A unit whose parts are both untouched keeps the whole's own rounding; any other unit is the sum
    of its parts.
    """
    n = draft.units
    if draft.pc is None and draft.tc is None:
        assert draft.whole is not None
        kept = n if draft.whole_kept is None else draft.whole_kept
        reduced = cents(draft.whole * draft.whole_paid)
        before = draft.whole * kept + reduced * (n - kept)
        after = _capped(draft.whole, draft.whole_cap) * kept + _capped(reduced, draft.whole_cap) * (
            n - kept
        )
        return _Totals(before, after, None, None)
    pc_kept = n if draft.pc_kept is None else draft.pc_kept
    tc_kept = n if draft.tc_kept is None else draft.tc_kept
    if draft.pc is None:
        pc_kept = 0
    if draft.tc is None:
        tc_kept = 0
    together = min(pc_kept, tc_kept) if draft.whole is not None else 0
    pc, tc = draft.pc or ZERO, draft.tc or ZERO
    pc_cut, tc_cut = cents(pc * draft.pc_paid), cents(tc * draft.tc_paid)
    pc_total = pc * (pc_kept - together) + (
        pc_cut * (n - pc_kept) if draft.pc is not None else ZERO
    )
    tc_total = tc * (tc_kept - together) + (
        tc_cut * (n - tc_kept) if draft.tc is not None else ZERO
    )
    tc_low, tc_cut_low = _capped(tc, draft.tc_cap), _capped(tc_cut, draft.tc_cap)
    tc_capped = tc_low * (tc_kept - together) + (
        tc_cut_low * (n - tc_kept) if draft.tc is not None else ZERO
    )
    whole = draft.whole or ZERO
    return _Totals(
        uncapped=whole * together + pc_total + tc_total,
        capped=_capped(whole, draft.whole_cap) * together + pc_total + tc_capped,
        professional=pc * together + pc_total if draft.pc is not None else None,
        technical=tc_low * together + tc_capped if draft.tc is not None else None,
    )


def _settle(
    draft: _Draft, context: PricingContext, terms: MedicareTerms, sharing: _Sharing
) -> PricedLine:
    """From ranked parts to allowed amount and shares."""
    line, steps = draft.line, draft.steps
    totals = _totals(draft)
    _say_sum(draft, totals)
    if totals.uncapped < draft.unreduced():
        draft.cuts.append(Cut("multiple", draft.unreduced() - totals.uncapped, "59"))
    amount = _share_of_side(draft, _under_the_cap(draft, totals))
    limiting: Decimal | None = None
    if context.contract is None and not context.participating:
        if not context.assigned:
            limiting = cents(amount * terms.limiting_charge)
        amount = _not_participating(draft, amount, terms)
    amount = _under_the_charge(draft, _under_the_purchase(draft, amount), context.contract)
    amount = cents(amount)
    steps.append(Step(f"allowed {amount}", amount, "allowed-amount"))
    shares = sharing.of(line, amount)
    steps.extend(shares.steps)
    return PricedLine(
        line_id=line.line_id,
        code=line.code,
        component=draft.component,
        status=PriceStatus.PRICED,
        allowed=amount,
        professional=totals.professional,
        technical=totals.technical,
        cuts=tuple(draft.cuts),
        deductible=shares.deductible,
        coinsurance=shares.coinsurance,
        copay=shares.copay,
        patient_share=shares.patient,
        payer_share=shares.payer,
        sequestration=shares.sequestration,
        limiting_charge=limiting,
        share_reason=shares.reason,
        derivation=tuple(steps),
        notes=tuple(draft.notes),
    )


def _say_sum(draft: _Draft, totals: _Totals) -> None:
    """The step that adds parts or units up, where there is something to add."""
    if draft.units > 1:
        words = f"{draft.units} units = {totals.uncapped}"
        draft.steps.append(Step(words, totals.uncapped, "fee-schedule-amount"))
        return
    two_parts = draft.pc is not None and draft.tc is not None
    if two_parts and (draft.whole is None or totals.uncapped != draft.unit()):
        draft.steps.append(_sum_of_parts(totals, draft.steps))


def _under_the_cap(draft: _Draft, totals: _Totals) -> Decimal:
    amount = totals.capped
    if amount < totals.uncapped:
        words = f"hospital outpatient cap: {totals.uncapped} lowered to {amount}"
        draft.steps.append(Step(words, amount, "outpatient-cap"))
        draft.cuts.append(Cut("outpatient_cap", totals.uncapped - amount, "45"))
    return amount


def _share_of_side(draft: _Draft, amount: Decimal) -> Decimal:
    if draft.share == ONE:
        return amount
    shared = cents(amount * draft.share)
    words = f"{amount} × {percent(draft.share)} = {shared}"
    draft.steps.append(Step(words, shared, "bilateral-payment"))
    draft.cuts.append(Cut("second_side", amount - shared, "45"))
    return shared


def _not_participating(draft: _Draft, amount: Decimal, terms: MedicareTerms) -> Decimal:
    lowered = cents(amount * terms.nonparticipating)
    words = f"{amount} × {percent(terms.nonparticipating)} non-participating = {lowered}"
    draft.steps.append(Step(words, lowered, "nonparticipating"))
    draft.cuts.append(Cut("nonparticipating", amount - lowered, "45"))
    return lowered


def _under_the_purchase(draft: _Draft, amount: Decimal) -> Decimal:
    price = draft.line.purchased_price
    if price is None or price >= amount:
        return amount
    draft.steps.append(Step(f"lowered to the purchased price {price}", price, "anti-markup"))
    draft.cuts.append(Cut("purchased", amount - price, "45"))
    return price


def _under_the_charge(draft: _Draft, amount: Decimal, contract: Contract | None) -> Decimal:
    """Never more than was charged, unless the contract pays its price whatever was charged."""
    if contract is not None and (not contract.lesser_of_charge or draft.base.carve_out):
        return amount
    charge = draft.line.charge
    if charge is None:
        draft.notes.append("No charge given: the lesser of price and charge was not applied.")
        return amount
    if charge >= amount:
        return amount
    draft.steps.append(Step(f"lowered to the charge {charge}", charge, "lesser-of-charge"))
    draft.cuts.append(Cut("charge", amount - charge, ""))
    return charge


@dataclass(frozen=True, slots=True)
class _Shares:
    reason: str = ""
    deductible: Decimal | None = None
    coinsurance: Decimal | None = None
    copay: Decimal | None = None
    patient: Decimal | None = None
    payer: Decimal | None = None
    sequestration: Decimal | None = None
    steps: tuple[Step, ...] = ()


class _Sharing:
    """Deductible, copay and out-of-pocket used up line by line across a session (rules
    `cost-sharing` and `sequestration`).
    """

    def __init__(self, context: PricingContext, terms: MedicareTerms) -> None:
        benefits = context.benefits
        self.terms = terms
        self.medicare = context.contract is None
        self.sequestered = context.contract is None or context.contract.sequestration
        self.deductible = benefits.deductible_remaining
        self.copay = benefits.copay
        self.out_of_pocket = benefits.out_of_pocket_remaining
        self.coinsurance = terms.coinsurance if self.medicare else benefits.coinsurance

    def of(self, line: BilledLine, allowed: Decimal) -> _Shares:
        waived = self._waived(line)
        if waived is None:
            return _Shares(
                f"Say whether {line.code} is preventive: its cost sharing depends on it."
            )
        steps: list[Step] = []
        if waived:
            deductible = coinsurance = copay = ZERO
            steps.append(Step("preventive: no cost sharing", ZERO, "preventive-no-cost-share"))
        else:
            if self.deductible is None:
                return _Shares("The deductible still to be met is not known.")
            if self.coinsurance is None and self.copay is None:
                return _Shares("Neither coinsurance nor copay is known.")
            deductible = min(self.deductible, allowed)
            self.deductible -= deductible
            rest = allowed - deductible
            copay = min(self.copay or ZERO, rest)
            if self.copay is not None:
                self.copay -= copay
            coinsurance = cents((rest - copay) * (self.coinsurance or ZERO))
            if self.out_of_pocket is not None:
                deductible, copay, coinsurance = self._within_limit(deductible, copay, coinsurance)
            if deductible:
                steps.append(Step(f"deductible {deductible}", deductible, "cost-sharing"))
            if copay:
                steps.append(Step(f"copay {copay}", copay, "cost-sharing"))
            if coinsurance:
                words = (
                    f"coinsurance {percent(self.coinsurance or ZERO)} of {rest - copay} ="
                    f" {coinsurance}"
                )
                steps.append(Step(words, coinsurance, "cost-sharing"))
        patient = deductible + copay + coinsurance
        sequestration = (
            cents((allowed - patient) * self.terms.sequestration) if self.sequestered else ZERO
        )
        payer = allowed - patient - sequestration
        if sequestration:
            rate = percent(self.terms.sequestration)
            steps.append(
                Step(
                    f"sequestration {rate} of {allowed - patient} = {sequestration}",
                    sequestration,
                    "sequestration",
                )
            )
        steps.append(Step(f"payer pays {payer}, patient owes {patient}", payer, "cost-sharing"))
        return _Shares(
            "", deductible, coinsurance, copay, patient, payer, sequestration, tuple(steps)
        )

    def _waived(self, line: BilledLine) -> bool | None:
        if "33" in line.modifiers:
            return True
        if not self.medicare:
            return bool(line.preventive)
        if line.code in self.terms.cost_share_waived:
            return True
        if line.code in self.terms.cost_share_waived_if_preventive:
            return line.preventive
        return False

    def _within_limit(self, *parts: Decimal) -> tuple[Decimal, Decimal, Decimal]:
        taken: list[Decimal] = []
        for part in parts:
            left = self.out_of_pocket or ZERO
            used = min(part, left)
            self.out_of_pocket = left - used
            taken.append(used)
        return taken[0], taken[1], taken[2]
