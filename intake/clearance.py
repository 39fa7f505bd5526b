"""Clearance: six gates of an appointment, each ready, check or stop, with who does what by when.

Facts in, gates out; no database and no clock. `check` means somebody still has to do something in
time; `stop` means the patient should not be confirmed or examined as things stand. An overridden
gate no longer blocks, but stays visible as `check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any


class State(StrEnum):
    READY = "ready"
    CHECK = "check"
    STOP = "stop"


class GateName(StrEnum):
    IDENTITY = "identity"
    ORDER = "order"
    ELIGIBILITY = "eligibility"
    AUTHORIZATION = "authorization"
    NECESSITY = "necessity"
    MONEY = "money"


class Verb(StrEnum):
    """What a person wants to do with the appointment."""

    BOOK = "book"
    CONFIRM = "confirm"
    CHECK_IN = "check_in"


WORST = (State.STOP, State.CHECK, State.READY)
OWNER_ROLES = {
    GateName.IDENTITY: "front_desk",
    GateName.ORDER: "front_desk",
    GateName.ELIGIBILITY: "front_desk",
    GateName.AUTHORIZATION: "authorization",
    GateName.NECESSITY: "front_desk",
    GateName.MONEY: "front_desk",
}

GATE_RULES = {
    GateName.IDENTITY: "patient-identity",
    GateName.ORDER: "order-complete",
    GateName.ELIGIBILITY: "eligibility-verified",
    GateName.AUTHORIZATION: "authorization-stop",
    GateName.NECESSITY: "advance-notice",
    GateName.MONEY: "patient-estimate",
}
"""The rule behind each gate: slugs of the rule book."""


@dataclass(frozen=True, slots=True)
class ClearancePolicy:
    """When a verified coverage must be asked again, in days before the visit (three days, one day,
    check-in).
    """

    recheck_days: tuple[int, ...] = (3, 1)


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate. `due` is the last day to act; `owner` the role that acts; `cause` what stands in the
    way, independent of wording and clock; `amount` the dollars that are still to be collected.
    """

    state: State
    sentence: str
    owner: str = ""
    due: date | None = None
    overridden: bool = False
    cause: str = ""
    amount: Decimal | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "sentence": self.sentence,
            "owner": self.owner,
            "due": self.due.isoformat() if self.due else "",
            "overridden": self.overridden,
            "cause": self.cause,
            **({"amount": str(self.amount)} if self.amount is not None else {}),
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """What another phase decided about one gate. `cause` names what stands in the way in terms that
    do not change with the wording of `sentence` or with the clock.
    """

    state: State
    sentence: str
    due: date | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """A person let the visit pass this gate: for this cause, until the end of this day. A blank
    cause was not kept at the time and stands for any.
    """

    cause: str
    ends_on: date
    reason: str
    actor_name: str


class OverrideEnd(StrEnum):
    """Why an override no longer holds."""

    DATE = "date"
    CHANGED = "changed"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class CoverageFacts:
    """The primary coverage. `status`: unverified, active, inactive, rejected. `verified_on` is the
    day of the payer's last answer.
    """

    payer_name: str
    status: str
    self_pay: bool = False
    verified_on: date | None = None
    waiting: bool = False
    failed: bool = False
    problem: str = ""
    drift: tuple[str, ...] = ()
    covers_day: bool = True


@dataclass(frozen=True, slots=True)
class SettlementFacts:
    """One way in which a part of the patient's share is settled: paid, waived or planned."""

    kind: str
    amount: Decimal
    receipt: str = ""
    reason: str = ""
    promised_on: date | None = None

    @property
    def words(self) -> str:
        if self.kind == "waived":
            return f"${self.amount:,.2f} waived: {self.reason}"
        if self.kind == "planned":
            return f"${self.amount:,.2f} promised for {self.promised_on:%b %-d}"
        return f"${self.amount:,.2f} paid, receipt {self.receipt}"


@dataclass(frozen=True, slots=True)
class EstimateFacts:
    """The latest estimate; `hold` says why it has no amount, `other_coverage` names the policy it
    was made for when that is not the visit's any more. A good-faith estimate has its legal day.
    """

    patient_share: Decimal | None = None
    hold: str = ""
    good_faith: bool = False
    settlements: tuple[SettlementFacts, ...] = ()
    other_coverage: str = ""

    @property
    def settled(self) -> Decimal:
        """What is paid, waived or promised of the patient's share."""
        return sum((s.amount for s in self.settlements), Decimal("0.00"))


@dataclass(frozen=True, slots=True)
class ClearanceFacts:
    """Everything the six gates ask about one appointment. `today` and `day` are local to the
    site.
    """

    day: date
    today: date
    identity_gaps: tuple[str, ...] = ()
    has_order: bool = True
    order_gaps: tuple[str, ...] = ()
    necessity_gaps: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    coverage: CoverageFacts | None = None
    network: str = ""
    network_instead: tuple[str, ...] = ()
    estimate: EstimateFacts | None = None
    estimate_due: date | None = None
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    overrides: Mapping[str, Override] = field(default_factory=dict)


def clear(
    facts: ClearanceFacts, policy: ClearancePolicy = ClearancePolicy()
) -> dict[GateName, Gate]:
    """The six gates of one appointment, in the order of the board."""
    gates = {
        GateName.IDENTITY: _identity(facts),
        GateName.ORDER: _order(facts),
        GateName.ELIGIBILITY: _eligibility(facts, policy),
        GateName.AUTHORIZATION: _authorization(facts),
        GateName.NECESSITY: _necessity(facts),
        GateName.MONEY: _money(facts),
    }
    decided = {
        name: _decided(name, gate, facts.decisions.get(name)) for name, gate in gates.items()
    }
    gone = _coverage_gone(facts)
    if gone:
        decided |= {
            name: _unsettled(name, gone, facts)
            for name in (GateName.AUTHORIZATION, GateName.MONEY)
            if decided[name].state is State.READY
        }
    return {
        name: _overridden(gate, facts.overrides.get(name), facts.today)
        for name, gate in decided.items()
    }


def _coverage_gone(facts: ClearanceFacts) -> str:
    """Why what was settled with the coverage holds no longer; blank while the coverage stands."""
    coverage = facts.coverage
    if coverage is None or coverage.self_pay:
        return ""
    if coverage.status in ("inactive", "rejected"):
        return f"the coverage of {coverage.payer_name} is not active"
    if not coverage.covers_day:
        return f"the coverage of {coverage.payer_name} does not reach the exam"
    return ""


def _unsettled(name: GateName, why: str, facts: ClearanceFacts) -> Gate:
    words = {
        GateName.AUTHORIZATION: "Check again whether an authorization is needed",
        GateName.MONEY: "Estimate again once the coverage is known",
    }[name]
    return _gate(name, State.CHECK, f"{words}: {why}.", facts.day, cause=f"depends: {why}")


def override_ends(override: Override, gate: Gate, today: date) -> OverrideEnd | None:
    """Why this override does not hold for the gate as it stands; None while it holds.

    It ends on its own date, when the gate is ready without it, or when something else stands in the
    way. A new wording, or a check that became a stop because time passed, ends nothing.
    """
    if gate.state is State.READY:
        return OverrideEnd.CLEARED
    if override.cause and gate.cause != override.cause:
        return OverrideEnd.CHANGED
    if today > override.ends_on:
        return OverrideEnd.DATE
    return None


def worst(gates: Mapping[GateName, Gate]) -> State:
    """The state the board sorts by."""
    states = {gate.state for gate in gates.values()}
    return next((state for state in WORST if state in states), State.READY)


def blocking(gates: Mapping[GateName, Gate], verb: Verb) -> list[tuple[GateName, Gate]]:
    """The gates that stop a verb: every stop, and for confirming and check-in an order with a hole
    and an authorization that is still open.
    """
    found = []
    for name, gate in gates.items():
        if gate.overridden or gate.state is State.READY:
            continue
        settled_first = name in (GateName.ORDER, GateName.AUTHORIZATION)
        still_open = settled_first and verb is not Verb.BOOK
        if gate.state is State.STOP or still_open:
            found.append((name, gate))
    return found


def _gate(
    name: GateName,
    state: State,
    sentence: str,
    due: date | None = None,
    *,
    cause: str = "",
    amount: Decimal | None = None,
) -> Gate:
    ready = state is State.READY
    return Gate(
        state,
        sentence,
        "" if ready else OWNER_ROLES[name],
        None if ready else due,
        cause="" if ready else cause[:300],
        amount=amount,
    )


def _identity(facts: ClearanceFacts) -> Gate:
    name = GateName.IDENTITY
    if facts.identity_gaps:
        return _gate(
            name,
            State.CHECK,
            f"Missing on the chart: {', '.join(facts.identity_gaps)}.",
            facts.day,
            cause=f"gaps: {', '.join(facts.identity_gaps)}",
        )
    return _gate(name, State.READY, "Name, birth date, address and phone are on the chart.")


def _order(facts: ClearanceFacts) -> Gate:
    name = GateName.ORDER
    if not facts.has_order:
        return _gate(
            name,
            State.STOP,
            "No order: without one the exam cannot be billed.",
            facts.day,
            cause="no order",
        )
    if facts.order_gaps:
        state = State.STOP if facts.today >= facts.day - timedelta(days=1) else State.CHECK
        return _gate(
            name,
            state,
            f"Ask the ordering office: {'; '.join(facts.order_gaps)}.",
            facts.day - timedelta(days=1),
            cause=f"gaps: {'; '.join(facts.order_gaps)}",
        )
    return _gate(name, State.READY, "The order is complete.")


def _eligibility(facts: ClearanceFacts, policy: ClearancePolicy) -> Gate:
    name, coverage = GateName.ELIGIBILITY, facts.coverage
    if coverage is None:
        return _gate(
            name,
            State.STOP,
            "No coverage on the chart: enter the card, or choose self-pay.",
            facts.day,
            cause="no coverage",
        )
    if coverage.self_pay:
        return _gate(name, State.READY, "Self-pay.")
    if coverage.status == "inactive":
        return _gate(
            name,
            State.STOP,
            f"{coverage.payer_name} says the coverage is not active.",
            facts.day,
            cause=f"inactive: {coverage.payer_name}",
        )
    if coverage.status == "rejected":
        return _gate(
            name,
            State.STOP,
            coverage.problem or f"{coverage.payer_name} did not recognise the member.",
            facts.day,
            cause=f"rejected: {coverage.payer_name}",
        )
    if not coverage.covers_day:
        return _gate(
            name,
            State.STOP,
            "The coverage ends before the exam.",
            facts.day,
            cause=f"ended: {coverage.payer_name}",
        )
    if facts.network in _CLOSED:
        return _gate(
            name,
            State.STOP,
            f"This site is {_CLOSED[facts.network]} with {coverage.payer_name}.{_instead(facts)}",
            facts.day,
            cause=f"{_CLOSED[facts.network]}: {coverage.payer_name}",
        )
    if coverage.failed:
        return _gate(
            name,
            State.CHECK,
            f"{coverage.payer_name} did not answer: ask again or call.",
            facts.day,
            cause=f"unverified: {coverage.payer_name}",
        )
    if coverage.waiting:
        return _gate(
            name,
            State.CHECK,
            f"Waiting for {coverage.payer_name}.",
            facts.day,
            cause=f"unverified: {coverage.payer_name}",
        )
    if coverage.status != "active" or coverage.verified_on is None:
        return _gate(
            name,
            State.CHECK,
            "Not verified yet.",
            facts.day,
            cause=f"unverified: {coverage.payer_name}",
        )
    if coverage.drift:
        return _gate(
            name,
            State.CHECK,
            f"Changed since the last check: {', '.join(coverage.drift)}.",
            facts.day,
            cause=f"changed: {', '.join(coverage.drift)}",
        )
    for days in policy.recheck_days:
        mark = facts.day - timedelta(days=days)
        if mark <= facts.today and coverage.verified_on < mark and facts.today <= facts.day:
            return _gate(
                name,
                State.CHECK,
                f"Verified {coverage.verified_on:%b %-d}: verify again before the exam.",
                facts.day,
                cause=f"verify again: {coverage.payer_name}",
            )
    if facts.network == "pending":
        return _gate(
            name,
            State.CHECK,
            f"This site's contract with {coverage.payer_name} is pending.",
            facts.day,
            cause=f"contract pending: {coverage.payer_name}",
        )
    return _gate(name, State.READY, f"Active, verified {coverage.verified_on:%b %-d}.")


_CLOSED = {"out": "out of network", "none": "not enrolled"}


def _instead(facts: ClearanceFacts) -> str:
    """The sites that are in network, for the sentence that says this one is not."""
    if not facts.network_instead:
        return " No other site of ours is known to be in network."
    return f" In network: {', '.join(facts.network_instead)}."


def _authorization(facts: ClearanceFacts) -> Gate:
    if facts.coverage is not None and facts.coverage.self_pay:
        return _gate(GateName.AUTHORIZATION, State.READY, "Self-pay: none needed.")
    return _gate(
        GateName.AUTHORIZATION,
        State.CHECK,
        "Not known yet whether an authorization is required.",
        facts.day,
        cause="undecided",
    )


def _necessity(facts: ClearanceFacts) -> Gate:
    name = GateName.NECESSITY
    if facts.necessity_gaps:
        words = "; ".join(facts.necessity_gaps)
        return _gate(
            name,
            State.CHECK,
            f"{words}: ask for a listed diagnosis, or have the advance notice signed before the"
            " exam.",
            facts.day,
            cause=f"coverage list: {words}",
        )
    if facts.notices:
        codes = ", ".join(facts.notices)
        return _gate(name, State.READY, f"The advance notice for {codes} is signed.")
    return _gate(name, State.READY, "No coverage list stands against the diagnosis.")


def _money(facts: ClearanceFacts) -> Gate:
    name, estimate = GateName.MONEY, facts.estimate
    self_pay = facts.coverage is not None and facts.coverage.self_pay
    if estimate is None or (self_pay and not estimate.good_faith):
        words = "Give the good-faith estimate" if self_pay else "No estimate yet"
        due = facts.estimate_due or facts.day
        late = self_pay and facts.today > due
        return _gate(
            name,
            State.STOP if late else State.CHECK,
            f"{words}." if not self_pay else f"{words} by {due:%b %-d}.",
            due,
            cause="good-faith estimate" if self_pay else "no estimate",
        )
    if estimate.other_coverage:
        return _gate(
            name,
            State.CHECK,
            f"The estimate was made for {estimate.other_coverage}: estimate again.",
            facts.day,
            cause=f"estimate of {estimate.other_coverage}",
        )
    if estimate.hold:
        return _gate(
            name,
            State.CHECK,
            f"No amount yet: {estimate.hold}",
            facts.day,
            cause=f"no amount: {estimate.hold}",
        )
    left = (estimate.patient_share or Decimal("0.00")) - estimate.settled
    said = "; ".join(s.words for s in estimate.settlements)
    if left > 0:
        so_far = f" So far {said}." if said else ""
        return _gate(
            name,
            State.CHECK,
            f"Collect ${left:,.2f} at check-in.{so_far}",
            facts.day,
            cause=f"collect {left}",
            amount=left,
        )
    if said:
        over = f", ${-left:,.2f} more than estimated" if left < 0 else ""
        return _gate(name, State.READY, f"{said}{over}.")
    return _gate(
        name,
        State.READY,
        "Estimated: the patient owes nothing." if not self_pay else "Good-faith estimate given.",
    )


def _decided(name: GateName, gate: Gate, decision: Decision | None) -> Gate:
    """Another phase's word replaces the authorization and money gates."""
    if decision is None or name not in (GateName.AUTHORIZATION, GateName.MONEY):
        return gate
    if name is GateName.AUTHORIZATION and gate.state is State.READY:
        return gate
    return Gate(
        decision.state,
        decision.sentence,
        "" if decision.state is State.READY else OWNER_ROLES[name],
        decision.due or gate.due,
        cause=decision.cause,
    )


def _overridden(gate: Gate, override: Override | None, today: date) -> Gate:
    """An override holds while what it overrode still stands."""
    if override is None or override_ends(override, gate, today) is not None:
        return gate
    return Gate(
        State.CHECK,
        f"Overridden by {override.actor_name}: {override.reason}",
        gate.owner,
        gate.due,
        overridden=True,
        cause=gate.cause,
    )
