"""Where every open balance is: in a work queue, or resting for a reason until a day. What is neither
is nowhere, and that is a breach.

The insurance side of a charge and the patient's side are two balances. Each has exactly one place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.utils import timezone

from ar import rules
from ar.holding import Act
from ar.models import HoldKind
from ar.services.guards import held_harmless, local_day
from ar.services.holds import holds_of
from ar.services.notices import notices_of
from ar.services.patients import exams_in_plans
from ar.tables import Policy, policy

ZERO = Decimal("0.00")
INSURANCE, PATIENT = "insurance", "patient"
NOWHERE = "nowhere"
CHARGE = "charge"  # subject of an item that was opened because a balance had no place
LATE = timedelta(days=3)  # a robot that has not run for so long does not count as a place
PREPARING = 5  # days in which a new charge or claim is on its way to the payer by itself
UNANSWERED = 60  # days in which an appeal is answered where the payer's own are not known
AFTER_FINAL = 30  # days after the final notice before a person decides

INSURANCE_SQL = """
WITH open AS (
  SELECT b.charge_id, b.insurance AS dollars, c.exam_id, c.status, c.service_date,
         coalesce(c.released_at, c.created_at)::date AS released_on, c.patient_id
    FROM ledger_balance b JOIN charges_charge c ON c.id = b.charge_id
   WHERE b.organization_id = %(org)s AND b.insurance > 0),
carried AS (
  SELECT o.charge_id, k.id AS claim_id, k.status, k.rank, k.payer_id, k.created_at,
         greatest(k.last_answer_at, k.last_submitted_at)::date AS heard_on
    FROM open o
    JOIN claims_claimline l ON l.charge_id = o.charge_id
    JOIN claims_claim k ON k.id = l.claim_id),
standing AS (
  SELECT DISTINCT ON (charge_id) * FROM carried WHERE status NOT IN ('void', 'replaced')
   ORDER BY charge_id, rank DESC, claim_id DESC),
worked AS (
  SELECT o.charge_id, min(w.queue) AS queue, min(coalesce(w.pend_until, w.due_at::date)) AS due_on
    FROM open o
    JOIN worklist_workitem w ON w.organization_id = %(org)s AND w.status IN ('open', 'pended')
     AND (%(every)s OR NOT (w.queue = 'followup' AND w.subject_type = 'charge'))
     AND (w.claim_id IN (SELECT k.claim_id FROM carried k WHERE k.charge_id = o.charge_id)
          OR (w.claim_id IS NULL AND w.exam_id = o.exam_id)
          OR (w.subject_type IN ('charge', 'credit') AND w.subject_id = o.charge_id))
   GROUP BY 1),
decided AS (
  SELECT l.charge_id,
         max(CASE d.status WHEN 'parked' THEN d.review_on
                           WHEN 'appealed' THEN (SELECT max(a.sent_on) + %(unanswered)s FROM remittance_appeal a WHERE a.denial_id = d.id)
                           END) AS until,
         bool_or(d.status = 'appealed') AS appealed
    FROM open o
    JOIN claims_claimline l ON l.charge_id = o.charge_id
    JOIN remittance_denial d ON d.line_id = l.id
   WHERE d.status IN ('parked', 'appealed')
   GROUP BY 1)
SELECT o.charge_id, o.dollars, o.service_date, o.patient_id, w.queue, w.due_on, s.claim_id, s.status,
       CASE WHEN s.claim_id IS NULL THEN o.released_on + %(preparing)s
            WHEN s.status IN ('draft', 'ready') THEN s.created_at::date + %(preparing)s
            WHEN s.status IN ('submitted', 'acknowledged', 'accepted')
            THEN coalesce(s.heard_on, s.created_at::date) + pay.response_days + %(grace)s END AS until,
       d.until, coalesce(d.appealed, false)
  FROM open o
  LEFT JOIN standing s ON s.charge_id = o.charge_id
  LEFT JOIN reference_payer pay ON pay.id = s.payer_id
  LEFT JOIN worked w ON w.charge_id = o.charge_id
  LEFT JOIN decided d ON d.charge_id = o.charge_id
 ORDER BY o.charge_id
"""

PATIENT_SQL = """
SELECT b.charge_id, b.patient, b.insurance, c.patient_id, c.exam_id, c.service_date,
       (SELECT min(w.queue) FROM worklist_workitem w
         WHERE w.organization_id = %(org)s AND w.status IN ('open', 'pended')
           AND ((w.subject_type = 'patient_account' AND w.subject_id = c.patient_id)
                OR (w.queue = 'write_off_approval' AND w.subject_id IN (
                      SELECT r.id FROM ar_writeoffrequest r
                       WHERE r.charge_id = b.charge_id AND r.status = 'requested')))),
       EXISTS (SELECT 1 FROM ar_paymentplan a WHERE a.patient_id = c.patient_id AND a.status = 'default')
  FROM ledger_balance b
  JOIN charges_charge c ON c.id = b.charge_id
 WHERE b.organization_id = %(org)s AND b.patient > 0
 ORDER BY b.charge_id
"""

WORDS = {
    "queue": "In a work queue",
    "preparing": "On its way to the payer",
    "payer": "With the payer, within its usual time",
    "appeal": "Appealed, waiting for the decision",
    "parked": "Parked until it is looked at again",
    "insurance_first": "Patient's part, while insurance has not finished",
    "plan": "A payment plan is being kept",
    "agency": "With the collection agency",
    "statement": "Between statements",
    "final": "Final notice sent, waiting for an answer",
    NOWHERE: "Nowhere: no queue, owner or date",
}


@dataclass(frozen=True, slots=True)
class Position:
    """One side of a charge, its dollars, and where it is until when."""

    charge_id: int
    patient_id: int
    side: str
    dollars: Decimal
    service_date: date
    state: str
    until: date | None = None
    queue: str = ""
    claim_id: int | None = None
    why: str = ""

    @property
    def words(self) -> str:
        return WORDS[self.state]


def insurance_positions(
    organization_id: int, at: datetime, *, items: bool = True
) -> list[Position]:
    """Every open insurance balance. One query. Without `items` as if none had been opened for a
    charge that was nowhere: what then is nowhere needs one.
    """
    today = local_day(at)
    with connection.cursor() as cursor:
        cursor.execute(
            INSURANCE_SQL,
            {
                "org": organization_id,
                "grace": policy(organization_id, today).followup_grace_days,
                "preparing": PREPARING,
                "unanswered": UNANSWERED,
                "every": items,
            },
        )
        rows = cursor.fetchall()
    found: list[Position] = []
    for charge, dollars, day, patient, queue, due, claim, status, flight, decided, appealed in rows:
        state, until = _insurance_state(status, flight, decided, appealed=appealed, today=today)
        if queue:
            state, until = "queue", due
        found.append(
            Position(charge, patient, INSURANCE, dollars, day, state, until, queue or "", claim)
        )
    return found


def _insurance_state(
    status: str | None, flight: date | None, decided: date | None, *, appealed: bool, today: date
) -> tuple[str, date | None]:
    if decided is not None and decided >= today:
        return ("appeal" if appealed else "parked"), decided
    if flight is None or flight < today:
        return NOWHERE, None
    if status in (None, "draft", "ready"):
        return "preparing", flight
    return "payer", flight


def patient_positions(organization_id: int, at: datetime, *, items: bool = True) -> list[Position]:
    """Every open patient balance. A constant number of queries. Without `items` as if nobody had an
    item yet: what then is nowhere needs one.
    """
    today = local_day(at)
    rules_of = policy(organization_id, today)
    with connection.cursor() as cursor:
        cursor.execute(PATIENT_SQL, {"org": organization_id})
        rows = cursor.fetchall()
    ids = [row[0] for row in rows]
    notices, harmless = notices_of(ids), held_harmless(ids)
    patients = {row[3] for row in rows}
    plans, holds = exams_in_plans(patients, today), holds_of(patients)
    found: list[Position] = []
    for charge, dollars, insurance, patient, exam, day, queue, broken in rows:
        held = holds.of(patient, charge)
        why = next((h.sentence for h in held if Act.STATEMENT in h.stops), "")
        said = harmless.get(charge)
        if queue and items:
            place = Place("queue")
        elif any(h.kind == HoldKind.AGENCY for h in held):
            place = Place("agency")
        elif exam in plans and not any(Act.PLAN in h.stops for h in held):
            place = Place("plan", plans[exam])
        elif why:
            place = Place(NOWHERE, None, why)
        elif insurance > ZERO and (said is None or not said.forever):
            place = Place("insurance_first", None, said.sentence if said else "")
        elif said is not None:
            place = Place(NOWHERE, None, said.sentence)
        elif broken and not notices[charge].steps:
            place = Place(NOWHERE, None, "The payment plan was broken.")
        else:
            place = _between(notices[charge], rules_of, today, begun=day)
        found.append(
            Position(
                charge,
                patient,
                PATIENT,
                dollars,
                day,
                place.state,
                place.until,
                queue or "",
                why=place.why,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """A state, until when, and in words why."""

    state: str
    until: date | None = None
    why: str = ""


def _between(
    history: rules.StatementHistory, rules_of: Policy, today: date, *, begun: date
) -> Place:
    """Between two notices, or after the last. A notice that nobody sent when it was due is no
    place.
    """
    due = rules.statement_due_on(history, rules_of.statement_days, today)
    if due is not None:
        return Place("statement", due) if due + LATE >= today else Place(NOWHERE, None, OVERDUE)
    last = history.last_on or begun
    until = last + timedelta(days=AFTER_FINAL)
    if until > today:
        return Place("final", until)
    return Place(NOWHERE, None, f"No answer since the final notice of {last:%b %-d}.")


OVERDUE = "Its statement was due and was not sent."


@dataclass(frozen=True, slots=True)
class Sum:
    """The open balances of one side in one state."""

    side: str
    state: str
    queue: str
    count: int
    dollars: Decimal
    latest: date | None

    @property
    def words(self) -> str:
        return WORDS[self.state]


def positions(organization_id: int, at: datetime | None = None) -> list[Position]:
    """Every open balance of an organization, each in its one place."""
    at = at or timezone.now()
    return [*insurance_positions(organization_id, at), *patient_positions(organization_id, at)]


def summed(rows: Sequence[Position]) -> list[Sum]:
    """By side and state, what is nowhere first, then the most dollars."""
    groups: dict[tuple[str, str, str], list[Position]] = defaultdict(list)
    for row in rows:
        groups[(row.side, row.state, row.queue)].append(row)
    found = [
        Sum(
            side,
            state,
            queue,
            len(own),
            sum((p.dollars for p in own), ZERO),
            max((p.until for p in own if p.until is not None), default=None),
        )
        for (side, state, queue), own in groups.items()
    ]
    return sorted(found, key=lambda s: (s.state != NOWHERE, -s.dollars))
