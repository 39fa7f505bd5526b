"""What is known of each state for an organization, and the prompt-pay clocks of its claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import connection, transaction
from django.utils import timezone

from ar.models import NUMERIC_TOPICS, StateFact, StateTopic
from ar.states.prompt_pay import Clock, Rule, clock
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.reference.facts import state_rules

NAMES = {
    "AK": "Alaska",
    "AL": "Alabama",
    "AR": "Arkansas",
    "AZ": "Arizona",
    "CA": "California",
    "CO": "Colorado",
    "CT": "Connecticut",
    "DC": "District of Columbia",
    "DE": "Delaware",
    "FL": "Florida",
    "GA": "Georgia",
    "HI": "Hawaii",
    "IA": "Iowa",
    "ID": "Idaho",
    "IL": "Illinois",
    "IN": "Indiana",
    "KS": "Kansas",
    "KY": "Kentucky",
    "LA": "Louisiana",
    "MA": "Massachusetts",
    "MD": "Maryland",
    "ME": "Maine",
    "MI": "Michigan",
    "MN": "Minnesota",
    "MO": "Missouri",
    "MS": "Mississippi",
    "MT": "Montana",
    "NC": "North Carolina",
    "ND": "North Dakota",
    "NE": "Nebraska",
    "NH": "New Hampshire",
    "NJ": "New Jersey",
    "NM": "New Mexico",
    "NV": "Nevada",
    "NY": "New York",
    "OH": "Ohio",
    "OK": "Oklahoma",
    "OR": "Oregon",
    "PA": "Pennsylvania",
    "RI": "Rhode Island",
    "SC": "South Carolina",
    "SD": "South Dakota",
    "TN": "Tennessee",
    "TX": "Texas",
    "UT": "Utah",
    "VA": "Virginia",
    "VT": "Vermont",
    "WA": "Washington",
    "WI": "Wisconsin",
    "WV": "West Virginia",
    "WY": "Wyoming",
}
STATES = tuple(NAMES)


@dataclass(frozen=True, slots=True)
class Known:
    """One thing known of a state: what, from where, read when, and how sure."""

    topic: str
    value: str
    number: Decimal | None
    source: str
    read_on: date | None
    verified: bool

    @property
    def confidence(self) -> str:
        if self.verified:
            return "verified"
        return "not verified" if self.value else "not known"


def facts_of(organization_id: int, on: date) -> dict[str, dict[str, Known]]:
    """By state and topic: what the organization verified, else what was shipped, unverified. Two
    queries at most.
    """
    found: dict[str, dict[str, Known]] = {s: {} for s in STATES}
    for state, row in state_rules(on).items():
        if state not in found:
            continue
        shipped = {
            StateTopic.PROMPT_PAY: row.prompt_pay_days_electronic,
            StateTopic.INTEREST: row.interest_pct,
            StateTopic.FILING: row.medicaid_filing_days,
        }
        for topic, number in shipped.items():
            value = "" if number is None else f"{Decimal(number).normalize():f}"
            found[state][topic] = Known(
                topic,
                value,
                None if number is None else Decimal(number),
                row.basis if value else "",
                None,
                verified=False,
            )
    rows = StateFact.objects.filter(organization_id=organization_id, effective_from__lte=on)
    for fact in rows.order_by("effective_from", "id"):
        value = fact.words if fact.number is None else f"{fact.number.normalize():f}"
        found.setdefault(fact.state, {})[fact.topic] = Known(
            fact.topic, value, fact.number, fact.source, fact.read_on, verified=True
        )
    for topics in found.values():
        for code in StateTopic.values:
            topics.setdefault(code, Known(code, "", None, "", None, verified=False))
    return found


def rule_of(topics: Mapping[str, Known]) -> Rule:
    """The prompt-pay rule of one state."""
    days, interest = topics[StateTopic.PROMPT_PAY], topics[StateTopic.INTEREST]
    return Rule(
        int(days.number) if days.number is not None else None,
        interest.number if interest.verified else None,
        days.verified,
        days.source,
    )


@transaction.atomic
def fact_verify(
    *,
    organization_id: int,
    state: str,
    topic: str,
    number: Decimal | None,
    words: str,
    source: str,
    read_on: date,
    effective_from: date,
    actor: Actor,
    at: datetime | None = None,
) -> StateFact:
    """Say what a state's law is, from a source that somebody read on a day."""
    if organization_id not in actor.organizations:
        raise Refused("There is no such organization.", code="not_found", status=404)
    actor.require("rules.edit", organization_id, entire=True)
    at = at or timezone.now()
    if state not in STATES:
        raise Refused("There is no such state.", field="state", code="unknown")
    if topic not in StateTopic.values:
        raise Refused("There is no such topic.", field="topic", code="unknown")
    if topic in NUMERIC_TOPICS and number is None:
        raise Refused("Enter the number.", field="number", code="missing")
    if number is not None and not 0 <= number <= 3650:
        raise Refused("The number lies between 0 and 3,650.", field="number", code="range")
    if topic not in NUMERIC_TOPICS and not words.strip():
        raise Refused("Say what the law is, in a few words.", field="words", code="missing")
    if not source.strip():
        raise Refused("Name the statute or page that was read.", field="source", code="missing")
    if read_on > office_day(at):
        raise Refused("The source was read today or earlier.", field="read_on", code="future")
    row = StateFact.objects.create(
        organization_id=organization_id,
        state=state,
        topic=topic,
        number=number if topic in NUMERIC_TOPICS else None,
        words=words.strip()[:300],
        source=source.strip()[:200],
        read_on=read_on,
        effective_from=effective_from,
        actor_name=actor.name,
    )
    record_steps(
        [
            Step(
                organization_id,
                "state.verified",
                f"{NAMES[state]}: {StateTopic(topic).label} verified",
                reason=source,
                data={"state": state, "topic": topic},
            )
        ],
        actor=actor,
        at=at,
    )
    return row


# --- prompt pay -----------------------------------------------------------------------------------

CLAIMS = """
SELECT k.organization_id, k.id, k.number, k.public_id, k.payer_id, p.name, s.state, p.kind, l.self_funded,
       (coalesce(k.accepted_at, k.first_submitted_at) AT TIME ZONE s.time_zone)::date AS received,
       m.paid_on, coalesce(m.paid, 0), coalesce(k.expected, k.total)
  FROM claims_claim k
  JOIN accounts_site s ON s.id = k.site_id
  JOIN reference_payer p ON p.id = k.payer_id
  JOIN intake_coverage v ON v.id = k.coverage_id
  LEFT JOIN reference_plan l ON l.id = v.plan_id
  LEFT JOIN LATERAL (
    SELECT min(r.paid_on) AS paid_on, sum(c.paid) AS paid
      FROM remittance_claimpayment c JOIN remittance_remittance r ON r.id = c.remittance_id
     WHERE c.claim_id = k.id AND r.status = 'posted' AND c.status_code <> '22'
       AND r.paid_on <= %(day)s) m ON true
 WHERE k.organization_id = ANY(%(orgs)s) AND k.rank = 1 AND p.kind = 'commercial'
   AND k.first_submitted_at IS NOT NULL AND k.first_submitted_at < %(day)s::date + 2
   AND k.status NOT IN ('void', 'replaced', 'rejected')
   AND (m.paid_on IS NULL OR m.paid_on > %(day)s::date - 365)
   AND (%(state)s = '' OR s.state = %(state)s)
 ORDER BY received, k.id
 LIMIT %(limit)s
"""
MOST = 20_000


@dataclass(frozen=True, slots=True)
class Waited:
    """One claim on the prompt-pay clock."""

    claim_id: int
    number: str
    public_id: str
    payer_id: int
    payer: str
    state: str
    received: date
    paid_on: date | None
    amount: Decimal
    clock: Clock


def waited(
    organizations: Iterable[int],
    on: date,
    *,
    facts: Mapping[int, Mapping[str, Mapping[str, Known]]] | None = None,
    state: str = "",
) -> list[Waited]:
    """Every insured claim with its clock at a day; what was answered more than a year ago is left
    out. The rule is that of the site's state. A denial is an answer: it stops the clock.
    """
    wanted = sorted(organizations)
    known = facts or {pk: facts_of(pk, on) for pk in wanted}
    if not wanted:
        return []
    rules = {(pk, place): rule_of(topics) for pk in wanted for place, topics in known[pk].items()}
    with connection.cursor() as cursor:
        cursor.execute(CLAIMS, {"orgs": wanted, "day": on, "state": state, "limit": MOST})
        rows = cursor.fetchall()
    found = []
    for owner, pk, number, public_id, payer_id, payer, place, *more in rows:
        kind, funded, received, paid, got, owed = more
        amount = got if paid else owed
        found.append(
            Waited(
                pk,
                number,
                str(public_id),
                payer_id,
                payer,
                place,
                received,
                paid,
                Decimal(amount),
                clock(
                    rules.get((owner, place)),
                    payer_kind=kind,
                    self_funded=funded,
                    received=received,
                    paid=paid,
                    amount=Decimal(amount),
                    on=on,
                ),
            )
        )
    return found
