"""Patient statements: who gets one today, which step, in plain language, as PDF (rule
`statement-cadence`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from django.db import connection, transaction
from django.utils import timezone

from ar import rules
from ar.automation import STATEMENTS
from ar.holding import Act
from ar.models import Statement
from ar.pdf import StatementPage, statement_pdf
from ar.services.assistance import assistance_due
from ar.services.delivery import deliveries_open
from ar.services.guards import ZERO, held_harmless, local_day, require_mine
from ar.services.holds import Holds, holds_of
from ar.services.notices import notices_of
from ar.services.patients import (
    OpenCharge,
    exams_in_plans,
    open_patient_charges,
    unapplied_balances,
)
from ar.tables import Policy, policy
from charges.models import Charge
from intake.models import Patient
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.audit.services import Step, record_steps
from rcm.exchange.services import next_control_number
from rcm.jobs import robots
from rcm.ledger.models import Account, LedgerEntry
from rcm.reference.facts import procedures
from rcm.reference.models import PayerKind
from rcm.worklist.robots import hand_over, take_back
from remittance.patient_rule import Verdict


@dataclass(slots=True)
class Due:
    """A patient who gets a statement: the step, the charges on it, and what keeps others off it."""

    patient: Patient
    step: int
    charges: list[OpenCharge]
    left_out: list[tuple[OpenCharge, str]] = field(default_factory=list)
    last_on: date | None = None

    @property
    def balance(self) -> Decimal:
        return sum((c.balance for c in self.charges), ZERO)


OWING_SQL = """
SELECT DISTINCT c.patient_id FROM ledger_balance b JOIN charges_charge c ON c.id = b.charge_id
 WHERE b.organization_id = %s AND b.patient > 0
"""


def statements_preview(
    *, organization_id: int, at: datetime | None = None, patient_ids: Iterable[int] | None = None
) -> tuple[list[Due], list[tuple[Patient, str]]]:
    """Who would get which notice today, and who owes but gets none, with the reason. A charge's
    notice goes by its own unanswered ones: a patient may get two papers of different tone. A
    constant number of queries.
    """
    at = at or timezone.now()
    today = local_day(at)
    rows = policy(organization_id, today)
    with connection.cursor() as cursor:
        cursor.execute(OWING_SQL, [organization_id])
        owing = {r[0] for r in cursor.fetchall()}
    if patient_ids is not None:
        owing &= set(patient_ids)
    patients = list(
        Patient.objects.filter(pk__in=owing, organization_id=organization_id).order_by(
            "last_name", "first_name", "pk"
        )
    )
    charges = open_patient_charges(owing)
    every = [c.charge_id for cs in charges.values() for c in cs]
    harmless, notices = held_harmless(every), notices_of(every)
    planned, holds = exams_in_plans(owing, today), holds_of(owing)
    helped = {pk for due_now in assistance_due(owing, today).values() for pk in due_now.charges}
    due: list[Due] = []
    none: list[tuple[Patient, str]] = []
    for patient in patients:
        held = holds.stopping(Act.STATEMENT, patient.pk)
        if held is not None:
            none.append((patient, held.sentence))
            continue
        on, off = _split(charges.get(patient.pk, []), harmless, planned, holds, helped)
        if not on:
            none.append((patient, off[0][1] if off else "Nothing to bill yet."))
            continue
        by_step: dict[int, list[OpenCharge]] = {}
        for c in on:
            step = rules.next_statement(notices[c.charge_id], rows.statement_days, today)
            if step is not None:
                by_step.setdefault(step, []).append(c)
        if not by_step:
            none.append((patient, _quiet([notices[c.charge_id] for c in on], rows, today)))
        for step, own in sorted(by_step.items()):
            last = max((d for c in own if (d := notices[c.charge_id].last_on)), default=None)
            due.append(Due(patient, step, own, off, last))
    return due, none


def _split(
    charges: list[OpenCharge],
    harmless: dict[int, Verdict],
    planned: Container[int],
    holds: Holds,
    helped: Container[int],
) -> tuple[list[OpenCharge], list[tuple[OpenCharge, str]]]:
    on: list[OpenCharge] = []
    off: list[tuple[OpenCharge, str]] = []
    for c in charges:
        held = holds.stopping(Act.STATEMENT, c.patient_id, c.charge_id)
        if held is not None:
            off.append((c, held.sentence))
        elif c.charge_id in harmless:
            off.append((c, harmless[c.charge_id].sentence))
        elif c.charge_id in helped:
            off.append((c, "The granted assistance is taken off first."))
        elif c.exam_id in planned:
            off.append((c, "A payment plan is being kept."))
        elif c.insurance != ZERO:
            off.append((c, "Insurance has not finished with it."))
        else:
            on.append(c)
    return on, off


def _quiet(histories: list[rules.StatementHistory], rows: Policy, today: date) -> str:
    dated = [
        (day, history.steps + 1)
        for history in histories
        if (day := rules.statement_due_on(history, rows.statement_days, today)) is not None
    ]
    if not dated:
        return "The final notice has been sent."
    day, step = min(dated)
    return f"Statement {step} goes out on {day:%b %-d}."


@transaction.atomic
def statements_batch(
    *, organization_id: int, actor: Actor, at: datetime | None = None
) -> list[Statement]:
    """The daily sending by the robot; where it is off, what is due waits for a person."""
    at = at or timezone.now()
    if not robots.is_on(STATEMENTS, organization_id):
        due, _ = statements_preview(organization_id=organization_id, at=at)
        hand_over(
            STATEMENTS,
            organization_id,
            waiting=len(due),
            dollars=sum((d.balance for d in due), ZERO),
            actor=actor,
            at=at,
        )
        return []
    take_back(STATEMENTS, organization_id, actor=actor, at=at)
    made = statements_send(organization_id=organization_id, actor=actor, at=at)
    robots.count_run(STATEMENTS, organization_id, done=len(made), at=at)
    return made


@transaction.atomic
def statements_send(
    *,
    organization_id: int,
    actor: Actor,
    at: datetime | None = None,
    patient_ids: Iterable[int] | None = None,
) -> list[Statement]:
    """Send what is due today. A charge is billed at most once a day; running it again sends nothing
    twice.
    """
    actor.require("statement.send", organization_id)
    require_mine(organization_id, actor)
    at = at or timezone.now()
    today = local_day(at)
    due, _ = statements_preview(organization_id=organization_id, at=at, patient_ids=patient_ids)
    if not due:
        return []
    # two runs at once wait for each other here, and the second finds everything sent
    list(
        Patient.objects.select_for_update()
        .filter(pk__in=[d.patient.pk for d in due])
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    already = {
        line.get("charge_id")
        for lines in Statement.objects.filter(
            organization_id=organization_id, sent_on=today
        ).values_list("lines", flat=True)
        for line in lines
    }
    for d in due:
        d.charges = [c for c in d.charges if c.charge_id not in already]
    due = [d for d in due if d.charges]
    if not due:
        return []
    organization = Organization.objects.get(pk=organization_id)
    lines = _lines([c for d in due for c in d.charges], today)
    on_account = unapplied_balances([d.patient.pk for d in due])
    total_steps = len(policy(organization_id, today).statement_days)
    first = next_control_number(organization_id, "statement", count=len(due))
    made: list[Statement] = []
    for n, d in enumerate(due):
        number = f"S{first + n:07d}"
        own = [lines[c.charge_id] for c in d.charges]
        page = StatementPage(
            number=number,
            step=d.step,
            final=d.step >= total_steps,
            sent_on=today,
            organization=organization,
            patient=d.patient,
            lines=own,
            balance=d.balance,
            on_account=on_account.get(d.patient.pk, ZERO),
        )
        made.append(
            Statement(
                organization_id=organization_id,
                patient=d.patient,
                number=number,
                step=d.step,
                balance=d.balance,
                lines=own,
                pdf=statement_pdf(page),
                sent_on=today,
            )
        )
    Statement.objects.bulk_create(made, batch_size=200)
    deliveries_open(made, at=at)
    record_steps(
        (
            Step(
                organization_id,
                "statement.sent",
                f"Statement {s.step} sent, ${s.balance:,.2f}",
                {"patient_id": s.patient_id},
                data={"number": s.number},
            )
            for s in made
        ),
        actor=actor,
        at=at,
    )
    return made


def _lines(charges: list[OpenCharge], today: date) -> dict[int, dict[str, object]]:
    """What each charge says on the statement: exam in plain words, billed, what insurance did, what
    the patient paid and owes.
    """
    ids = [c.charge_id for c in charges]
    sums: dict[int, dict[str, Decimal]] = {}
    for charge, account, amount in LedgerEntry.objects.filter(charge_id__in=ids).values_list(
        "charge_id", "account", "amount"
    ):
        place = sums.setdefault(charge or 0, {})
        if account == Account.AR_PATIENT and amount < 0:
            place["paid"] = place.get("paid", ZERO) - amount
        else:
            place[account] = place.get(account, ZERO) + amount
    words = procedures({c.code for c in charges}, today)
    facts = {
        pk: (amount, kind is None or kind == PayerKind.SELF_PAY)
        for pk, amount, kind in Charge.objects.filter(pk__in=ids).values_list(
            "id", "amount", "exam__coverage__payer__kind"
        )
    }
    found: dict[int, dict[str, object]] = {}
    for c in charges:
        s = sums.get(c.charge_id, {})
        billed, self_pay = facts[c.charge_id]
        adjusted = sum(
            (
                s.get(a, ZERO)
                for a in (
                    Account.CONTRACTUAL,
                    Account.SEQUESTRATION,
                    Account.OTHER_ADJUSTMENT,
                    Account.CHARITY,
                    Account.SMALL_BALANCE,
                    Account.BAD_DEBT,
                    Account.DENIAL_WRITEOFF,
                )
            ),
            ZERO,
        )
        paid = s.get("paid", ZERO)
        found[c.charge_id] = {
            "charge_id": c.charge_id,
            "service_date": c.service_date.isoformat(),
            "code": c.code,
            "words": words[c.code].name if c.code in words else "Imaging exam",
            "billed": str(billed),
            "adjusted": str(adjusted),
            "patient_paid": str(paid),
            "insurance_paid": str(billed - adjusted - paid - c.balance - c.insurance),
            "owed": str(c.balance),
            "self_pay": self_pay,
        }
    return found
