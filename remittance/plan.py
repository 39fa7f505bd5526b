"""What one claim payment comes to: facts in, legs, denials, shares and exceptions out (rule
`adjustment-group`). No database.

Per line: the payment credits the receivable against cash; contractual and withheld amounts go to
their accounts; the patient's share moves to the patient once every line is final and no further
payer stands behind; a denied amount stays open as a denial and is never written off here. Which of
these an adjustment is, its class decides, not its group: CO on a denial code is no contractual
write-off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from remittance import patient_rule, tables

ZERO = Decimal("0.00")
CENT = Decimal("0.01")

CASH, AR_INSURANCE, AR_PATIENT = "cash", "ar_insurance", "ar_patient"
CONTRACTUAL, SEQUESTRATION, UNAPPLIED = "contractual", "sequestration", "unapplied"
OTHER = "other_adjustment"
PROVIDER_LEVEL, INTEREST = "provider_level", "interest"

DENIED, REVERSAL, PREDETERMINATION = "4", "22", "25"
FORWARDED = frozenset({"19", "20", "21"})


class Treatment(StrEnum):
    """What becomes of one adjusted amount; a denial is never contractual (rule
    `denial-stays-open`).
    """

    CONTRACTUAL = "contractual"
    WITHHELD = "withheld"
    PATIENT = "patient"
    NEVER_PATIENT = "never_patient"
    PRIOR_PAYER = "prior_payer"
    DENIAL = "denial"
    INCENTIVE = "incentive"
    UNKNOWN = "unknown"


ACCOUNTS = {
    Treatment.WITHHELD: SEQUESTRATION,
    Treatment.INCENTIVE: OTHER,
    Treatment.UNKNOWN: OTHER,
}
"""Where adjusted amounts go that are neither contractual, the patient's nor denied; none of them
changes what was allowed."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason code as the reference table knows it."""

    code: str
    klass: str = ""
    category: str = ""
    owner_stage: str = ""
    preventable: bool | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    """Reason codes by code and categories of remark codes."""

    reasons: Mapping[str, Reason]
    remarks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cas:
    group: str
    reason: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Line:
    """One SVC with the claim line it was matched to (`charge_id` None: not matched)."""

    service_id: int | None
    billed: Decimal
    paid: Decimal
    adjustments: Sequence[Cas] = ()
    charge_id: int | None = None
    line_id: int | None = None
    modifiers: Sequence[str] = ()
    remarks: Sequence[str] = ()
    expected: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """One CLP with what it was matched to."""

    payment_id: int
    status: str
    billed: Decimal
    paid: Decimal
    lines: Sequence[Line]
    adjustments: Sequence[Cas] = ()
    remarks: Sequence[str] = ()
    claim_id: int | None = None
    patient_id: int | None = None
    payer_id: int | None = None
    next_payer: bool = False
    unsettled: bool = False  # another line of the claim still waits for an answer or is denied
    exception: str = ""
    sentence: str = ""
    shielded: frozenset[int] = frozenset()
    """Charges whose denial is our own duty and whose line is still not paid."""
    forbidden: frozenset[int] = frozenset()
    """Charges for which an earlier payer has forbidden to bill the patient."""


@dataclass(frozen=True, slots=True)
class PlanLeg:
    account: str
    amount: Decimal
    charge_id: int | None = None
    reason: str = ""
    claim_id: int | None = None
    patient_id: int | None = None
    payer_id: int | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """A denied amount on one line, normalized."""

    service_id: int | None
    line_id: int | None
    group: str
    reason: str
    amount: Decimal
    category: str
    owner_stage: str
    preventable: bool | None
    words: str
    remarks: Sequence[str] = ()
    expected: Decimal | None = None


@dataclass(slots=True)
class Plan:
    """What posting one claim payment does. `exception` names what keeps it off the claim; its money
    is then unapplied cash.
    """

    payment_id: int
    legs: list[PlanLeg] = field(default_factory=list)
    denials: list[Denied] = field(default_factory=list)
    outcome: str = ""
    patient: Decimal = ZERO
    patient_later: Decimal = ZERO
    contractual: Decimal = ZERO
    exception: str = ""
    sentence: str = ""
    reductions: dict[int, Decimal] = field(default_factory=dict)
    lines: int = 0
    unknown: list[str] = field(default_factory=list)
    room: dict[int, Decimal] | None = None

    @property
    def denied(self) -> Decimal:
        return sum((d.amount for d in self.denials), ZERO)

    @property
    def group(self) -> str:
        return "exception" if self.exception else "denial" if self.denials else "clean"


EXCEPTIONS = {
    "no_match": "No claim was found for this payment.",
    "code_mismatch": "A paid service is on no line of the claim.",
    "over_posted": "This would pay more than is open on the claim.",
    "reversal_without_original": "The payment that this reverses was not found.",
    "duplicate": "The same payment of this claim stands in another remittance.",
    "negative": "A negative payment that is not marked as a reversal.",
}


def spread(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Split an amount by weights to the cent; the rest goes to the largest. Weights that sum to
    nothing split evenly.
    """
    if not weights:
        return []
    total = sum(weights, ZERO)
    if not total:
        weights, total = [Decimal(1)] * len(weights), Decimal(len(weights))
    parts = [(amount * w / total).quantize(CENT, ROUND_HALF_UP) for w in weights]
    parts[max(range(len(parts)), key=lambda i: abs(weights[i]))] += amount - sum(parts, ZERO)
    return parts


NO_NOTICE = patient_rule.NO_NOTICE


def category_of(cas: Cas, remarks: Iterable[str], book: Book) -> str:
    """Denial category by reason, refined by the remark where the reason leaves it to the remark."""
    reason = book.reasons.get(cas.reason)
    if cas.reason in tables.remark_led():
        for remark in remarks:
            if (found := book.remarks.get(remark)) and found not in ("alert", "abn", ""):
                return found
    return (reason.category if reason and reason.klass == "denial" else "") or "unclassified"


def treat(cas: Cas, line: Line, remarks: Sequence[str], book: Book) -> Treatment:
    """What becomes of one adjustment (rules `adjustment-group` and `reversal`). An unknown reason
    is a denial that nobody has classified; one that adds money denies nothing and waits under other
    adjustments for a person.
    """
    reason = book.reasons.get(cas.reason)
    klass = reason.klass if reason else ""
    special = tables.treatments().get(cas.reason)
    if special and special != Treatment.PATIENT:
        return Treatment(special)
    if NO_NOTICE in line.modifiers and cas.group == "PR" and klass != "denial":
        return Treatment.NEVER_PATIENT
    if klass == "denial":
        category = category_of(cas, remarks, book)
        if (
            cas.group == "PR"
            and NO_NOTICE not in line.modifiers
            and category not in tables.hold_harmless()
        ):
            notices = {"", *line.modifiers}
            if any(
                category == own and modifier in notices
                for own, modifier in tables.patient_denials()
            ):
                return (
                    Treatment.NEVER_PATIENT
                    if tables.never_patient_remarks() & set(remarks)
                    else Treatment.PATIENT
                )
        return Treatment.DENIAL
    if cas.group == "PR" and (klass in ("patient_resp", "contractual") or special):
        return Treatment.PATIENT
    if klass == "contractual":
        return Treatment.CONTRACTUAL
    if klass == "cob":
        return Treatment.PRIOR_PAYER
    if reason is None and cas.amount < 0:
        return Treatment.UNKNOWN
    return Treatment.DENIAL


def whole_lines(payment: Payment) -> list[Line]:
    """The lines with claim-level adjustments and payment spread over them (RFI 1053 asks payers for
    line level; not all do).
    """
    if not payment.adjustments:
        return list(payment.lines)
    weights = [line.paid for line in payment.lines]
    if not any(weights):
        weights = [line.billed for line in payment.lines]
    extra: list[list[Cas]] = [[] for _ in payment.lines]
    less = [ZERO] * len(payment.lines)
    for cas in payment.adjustments:
        for i, part in enumerate(spread(cas.amount, weights)):
            if part:
                extra[i].append(Cas(cas.group, cas.reason, part))
                less[i] += part
    return [
        Line(
            line.service_id,
            line.billed,
            line.paid - less[i],
            (*line.adjustments, *extra[i]),
            line.charge_id,
            line.line_id,
            line.modifiers,
            line.remarks,
            line.expected,
        )
        for i, line in enumerate(payment.lines)
    ]


def forwarded(status: str, remarks: Iterable[str]) -> bool:
    """Whether the payer says, by status or remark, that it sent the claim on to the next one."""
    return status in FORWARDED or not tables.forwarding_remarks().isdisjoint(remarks)


def nothing_collectable(payment: Payment) -> bool:
    """Whether the payer says that nothing of this claim may be collected from the patient."""
    lines = payment.lines
    remarks = (*payment.remarks, *(r for line in lines for r in line.remarks))
    reasons = [c.reason for line in lines for c in line.adjustments]
    reasons += [c.reason for c in payment.adjustments]
    return bool(patient_rule.payer_forbids(remarks, reasons))


def unapplied(payment: Payment, exception: str, sentence: str = "") -> Plan:
    """Keep the money off any claim: cash against unapplied cash."""
    plan = Plan(
        payment.payment_id,
        exception=exception,
        sentence=sentence or EXCEPTIONS[exception],
        lines=len(payment.lines),
    )
    if payment.paid:
        plan.legs = [
            PlanLeg(CASH, payment.paid, payer_id=payment.payer_id),
            PlanLeg(UNAPPLIED, -payment.paid, payer_id=payment.payer_id),
        ]
    return plan


def plan_payment(
    payment: Payment,
    opened: Mapping[int, Decimal],
    book: Book,
    *,
    source: str = CASH,
    force: bool = False,
) -> Plan:
    """The plan of one CLP that is no reversal. `opened` is the open insurance balance by charge.
    `source` is the account the money comes from: unapplied cash when a person applies it later.
    `force` posts although the money leaves a credit; adjustments then take no more than is open, so
    that the credit is the money alone.
    """
    if payment.exception:
        return unapplied(payment, payment.exception, payment.sentence)
    plan = Plan(payment.payment_id, lines=len(payment.lines))
    if payment.status == PREDETERMINATION:
        plan.outcome, plan.sentence = "", "An estimate of the payer: nothing to post."
        return (
            plan
            if not payment.paid
            else unapplied(payment, "negative", "An estimate that carries money.")
        )
    lines = whole_lines(payment)
    if any(line.charge_id is None for line in lines):
        return unapplied(payment, "code_mismatch")
    never = nothing_collectable(payment)
    if force and payment.billed > 0:
        plan.room = {}
        for line in lines:
            if line.charge_id is not None:
                plan.room[line.charge_id] = (
                    plan.room.get(line.charge_id, opened.get(line.charge_id, ZERO)) - line.paid
                )
    money = ZERO
    shares: list[tuple[Line, Cas, Treatment]] = []
    for line in lines:
        _line(plan, line, payment, book, shares)
        if line.paid and line.charge_id is not None:
            money += line.paid
            plan.legs.append(PlanLeg(AR_INSURANCE, -line.paid, line.charge_id, "PAID"))
            plan.reductions[line.charge_id] = plan.reductions.get(line.charge_id, ZERO) + line.paid
    if money:
        plan.legs.append(PlanLeg(source, money, None, "PAID"))
    final = not plan.denials and not payment.unsettled
    for line, cas, treatment in shares:
        reason = f"{cas.group}-{cas.reason}"
        if treatment is Treatment.NEVER_PATIENT or never or line.charge_id in payment.forbidden:
            if payment.next_payer:
                # what the patient may not be asked for is still Medicaid's or the next payer's
                plan.patient_later += cas.amount
            else:
                plan.contractual += _credit(plan, line, CONTRACTUAL, cas.amount, reason)
        elif final and not payment.next_payer and line.charge_id not in payment.shielded:
            plan.patient += _credit(plan, line, AR_PATIENT, cas.amount, reason)
        else:
            plan.patient_later += cas.amount
    if not force:
        for charge_id, amount in plan.reductions.items():
            left = opened.get(charge_id, ZERO) - amount
            if left < 0:
                return unapplied(
                    payment,
                    "over_posted",
                    f"This would leave a credit of ${-left:,.2f}:"
                    f" ${opened.get(charge_id, ZERO):,.2f} is open.",
                )
    if plan.denials:
        # what the payer calls denied is denied, whatever it calls the rest of the charge
        shared = payment.status != DENIED and (plan.patient or plan.patient_later)
        plan.outcome = "partial" if money or shared else "denied"
    else:
        plan.outcome = "paid"
    return plan


def _line(
    plan: Plan, line: Line, payment: Payment, book: Book, shares: list[tuple[Line, Cas, Treatment]]
) -> None:
    remarks = (*line.remarks, *payment.remarks)
    denied: list[Cas] = []
    # what adds money first: it makes the room that the others take
    for cas in sorted(line.adjustments, key=lambda c: c.amount >= 0):
        treatment = treat(cas, line, remarks, book)
        reason_code = f"{cas.group}-{cas.reason}"
        if treatment is Treatment.CONTRACTUAL:
            plan.contractual += _credit(plan, line, CONTRACTUAL, cas.amount, reason_code)
        elif treatment in ACCOUNTS:
            _credit(plan, line, ACCOUNTS[treatment], cas.amount, reason_code)
            if treatment is Treatment.UNKNOWN:
                plan.unknown.append(reason_code)
        elif treatment in (Treatment.PATIENT, Treatment.NEVER_PATIENT):
            shares.append((line, cas, treatment))
        elif treatment is Treatment.DENIAL:
            denied.append(cas)
    amount = sum((c.amount for c in denied), ZERO)
    if amount < 0:
        # reasons of a denial that add money deny nothing: they balance under other adjustments
        code = f"{denied[0].group}-{denied[0].reason}"
        _credit(plan, line, OTHER, amount, code)
        plan.unknown.append(code)
    if amount <= 0:
        return
    first = max(denied, key=lambda c: c.amount)
    reason = book.reasons.get(first.reason, Reason(first.reason))
    plan.denials.append(
        Denied(
            line.service_id,
            line.line_id,
            first.group,
            first.reason,
            amount,
            category_of(first, remarks, book),
            reason.owner_stage,
            reason.preventable,
            reason.words,
            tuple(dict.fromkeys(remarks)),
            None if line.expected is None else min(line.expected, amount),
        )
    )


def _credit(plan: Plan, line: Line, account: str, amount: Decimal, reason: str) -> Decimal:
    """Credit the receivable against an account; returns what was credited."""
    if line.charge_id is None:
        return ZERO
    if plan.room is not None:
        if amount > 0:
            amount = min(amount, max(ZERO, plan.room[line.charge_id]))
        plan.room[line.charge_id] -= amount
    if amount:
        plan.legs.append(PlanLeg(account, amount, line.charge_id, reason))
        plan.legs.append(PlanLeg(AR_INSURANCE, -amount, line.charge_id, reason))
        plan.reductions[line.charge_id] = plan.reductions.get(line.charge_id, ZERO) + amount
    return amount


def allowed_of(line: Line, remarks: Sequence[str], book: Book) -> Decimal | None:
    """Allowed amount: charge less contractual adjustments = paid + patient share + withheld (rule
    `reversal`). None on a denied line.
    """
    allowed = line.billed
    for cas in line.adjustments:
        treatment = treat(cas, line, remarks, book)
        if treatment is Treatment.CONTRACTUAL:
            allowed -= cas.amount
        elif treatment is Treatment.DENIAL and cas.amount < 0:
            continue
        elif treatment in (Treatment.DENIAL, Treatment.PRIOR_PAYER) or _denied_to_patient(
            cas, book
        ):
            return None
    return allowed


def _denied_to_patient(cas: Cas, book: Book) -> bool:
    """A denial that is the patient's to pay (not covered, notice signed): nothing was allowed."""
    reason = book.reasons.get(cas.reason)
    return cas.group == "PR" and reason is not None and reason.klass == "denial"


# --- provider-level adjustments -------------------------------------------------------------------

TAKEBACK, FORWARDED_BALANCE, INTEREST_CODE = "WO", "FB", "L6"


@dataclass(frozen=True, slots=True)
class HeldCash:
    """Unapplied cash that a provider-level amount names."""

    cash_id: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Withheld:
    """One PLB pair. `charge_id` and `owed` belong to the claim it names: what the provider account
    already owes for it (a credit). `held` is what lies in unapplied cash of the payment or claim it
    names.
    """

    adjustment_id: int
    reason: str
    reference: str
    amount: Decimal
    claim_id: int | None = None
    patient_id: int | None = None
    charge_id: int | None = None
    owed: Decimal = ZERO
    held: Sequence[HeldCash] = ()


@dataclass(slots=True)
class WithheldPlan:
    """What one PLB pair does: legs of the amount, legs of its allocation, unapplied cash it takes,
    and how much it takes from the claim.
    """

    legs: list[PlanLeg]
    allocation: list[PlanLeg] = field(default_factory=list)
    taken: list[HeldCash] = field(default_factory=list)
    from_claim: Decimal = ZERO


def plan_withheld(row: Withheld, payer_id: int | None) -> WithheldPlan:
    """A takeback first settles what an earlier remittance left owing, then takes the unapplied money
    of the payment or claim it names; only the rest is taken from the claim, which is then open again
    or no longer in credit (rule `reversal`).
    """
    words = f"{row.reason}:{row.reference}" if row.reference else row.reason
    account = INTEREST if row.reason == INTEREST_CODE else PROVIDER_LEVEL
    named = {"claim_id": row.claim_id, "patient_id": row.patient_id, "payer_id": payer_id}
    plan = WithheldPlan(
        [
            PlanLeg(CASH, -row.amount, None, words, payer_id=payer_id),
            PlanLeg(account, row.amount, None, words, **named),
        ]
    )
    if row.reason not in (TAKEBACK, FORWARDED_BALANCE) or row.amount <= 0:
        return plan
    rest = row.amount - min(row.amount, max(ZERO, row.owed))
    for cash in row.held:
        part = min(rest, cash.amount)
        if part > 0:
            plan.taken.append(HeldCash(cash.cash_id, part))
            plan.allocation += [
                PlanLeg(PROVIDER_LEVEL, -part, None, words, **named),
                PlanLeg(UNAPPLIED, part, None, words, payer_id=payer_id),
            ]
            rest -= part
    if row.reason != TAKEBACK or row.claim_id is None or row.charge_id is None or not rest:
        return plan
    plan.from_claim = rest
    plan.allocation += [
        PlanLeg(PROVIDER_LEVEL, -rest, None, words, **named),
        PlanLeg(AR_INSURANCE, rest, row.charge_id, words, **named),
    ]
    return plan
