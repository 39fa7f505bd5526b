"""Patient statements: who gets one today, which step, in plain language, as PDF (rule
`statement-cadence`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from django.db import connection, transaction
from django.utils import timezone

from ar import rules
from ar.automation import STATEMENTS
from ar.models import PaymentPlan, PlanStatus, Statement
from ar.pdf import StatementPage, statement_pdf
from ar.services.guards import ZERO, held_harmless, local_day, require_mine
from ar.services.patients import OpenCharge, open_patient_charges, unapplied_balances
from ar.tables import Policy, policy
from charges.models import Charge
from intake.models import Patient
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.services import next_control_number
from rcm.jobs import robots
from rcm.ledger.models import Account, LedgerEntry
from rcm.reference.facts import procedures
from rcm.worklist.robots import hand_over, take_back
from remittance.patient_rule import Verdict

HOLDS = (
    ("dispute", "Dispute open"),
    ("bankruptcy", "Bankruptcy"),
    ("returned mail", "Returned mail"),
    ("confidential", "Patient asked for silence"),
)


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


def cycle_of(sent: Iterable[Statement], open_ids: set[int]) -> rules.StatementHistory:
    """The running cycle: statements since the last one that named none of the charges now open."""
    steps, first, last = 0, None, None
    for row in sorted(sent, key=lambda s: (s.sent_on, s.pk), reverse=True):
        if last is not None and row.step >= steps and row.sent_on != last:
            break  # the step before this one in time is no earlier step: another cycle
        if not open_ids & {line.get("charge_id") for line in row.lines}:
            break
        if last is None:
            steps, last = row.step, row.sent_on
        first = row.sent_on
        if row.step == 1:
            break
    return rules.StatementHistory(steps, first, last)


OWING_SQL = """
SELECT DISTINCT c.patient_id FROM ledger_balance b JOIN charges_charge c ON c.id = b.charge_id
 WHERE b.organization_id = %s AND b.patient > 0
"""


def statements_preview(
    *, organization_id: int, at: datetime | None = None, patient_ids: Iterable[int] | None = None
) -> tuple[list[Due], list[tuple[Patient, str]]]:
    """Who would get which step today, and who owes but gets none, with the reason. A constant
    number of queries.
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
    harmless = held_harmless([c.charge_id for cs in charges.values() for c in cs])
    sent: dict[int, list[Statement]] = {}
    for s in Statement.objects.filter(patient_id__in=owing).defer("pdf"):
        sent.setdefault(s.patient_id, []).append(s)
    planned = set(
        PaymentPlan.objects.filter(patient_id__in=owing, status=PlanStatus.ACTIVE).values_list(
            "patient_id", flat=True
        )
    )
    due: list[Due] = []
    none: list[tuple[Patient, str]] = []
    for patient in patients:
        why = _kept_back(patient, planned)
        if why:
            none.append((patient, why))
            continue
        on, off = _split(charges.get(patient.pk, []), harmless)
        if not on:
            none.append((patient, off[0][1] if off else "Nothing to bill yet."))
            continue
        history = cycle_of(sent.get(patient.pk, []), {c.charge_id for c in on})
        step = rules.next_statement(history, rows.statement_days, today)
        if step is None:
            none.append((patient, _quiet(history, rows, today)))
            continue
        due.append(Due(patient, step, on, off, history.last_on))
    return due, none


def _kept_back(patient: Patient, planned: set[int]) -> str:
    if patient.statement_hold:
        return f"On hold: {patient.statement_hold}."
    if patient.deceased_on is not None:
        return "The patient has died: the estate is handled by a person."
    if patient.merged_into_id is not None:
        return "The chart was merged into another."
    return "A payment plan is being kept." if patient.pk in planned else ""


def _split(
    charges: list[OpenCharge], harmless: dict[int, Verdict]
) -> tuple[list[OpenCharge], list[tuple[OpenCharge, str]]]:
    on: list[OpenCharge] = []
    off: list[tuple[OpenCharge, str]] = []
    for c in charges:
        if c.charge_id in harmless:
            off.append((c, harmless[c.charge_id].sentence))
        elif c.insurance != ZERO:
            off.append((c, "Insurance has not finished with it."))
        else:
            on.append(c)
    return on, off


def _quiet(history: rules.StatementHistory, rows: Policy, today: date) -> str:
    due = rules.statement_due_on(history, rows.statement_days, today)
    return (
        f"Statement {history.steps + 1} goes out on {due:%b %-d}."
        if due
        else "The final notice has been sent."
    )


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
    """Send what is due today. A patient gets at most one a day; running it again sends nothing
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
    already = set(
        Statement.objects.filter(organization_id=organization_id, sent_on=today).values_list(
            "patient_id", flat=True
        )
    )
    due = [d for d in due if d.patient.pk not in already]
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
    amounts = dict(Charge.objects.filter(pk__in=ids).values_list("id", "amount"))
    found: dict[int, dict[str, object]] = {}
    for c in charges:
        s = sums.get(c.charge_id, {})
        billed = amounts[c.charge_id]
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
        }
    return found


@transaction.atomic
def statement_hold(
    *, patient: Patient, reason: str, actor: Actor, at: datetime | None = None
) -> Patient:
    """Hold statements for a reason (dispute, bankruptcy, returned mail …); an empty reason lifts
    the hold.
    """
    actor.require("statement.send", patient)
    require_mine(patient.organization_id, actor)
    if reason and reason not in dict(HOLDS):
        raise Refused("Choose the reason from the list.", code="unknown", field="reason")
    Patient.objects.filter(pk=patient.pk).update(statement_hold=reason)
    patient.statement_hold = reason
    words = f"Statements held: {reason}" if reason else "Statements no longer held"
    record_steps(
        [Step(patient.organization_id, "statement.hold", words, {"patient_id": patient.pk})],
        actor=actor,
        at=at or timezone.now(),
    )
    return patient
