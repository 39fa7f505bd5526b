"""The end of a business day: what came in at every door, that it is one sum everywhere, and the
proof of the books.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from ar.models import DayClose, ProofRun
from ar.services.guards import require_mine
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.audit.services import Step, record_steps
from rcm.web import format as fmt

ZERO = Decimal("0.00")
OPEN_DAYS = 7

RECEIPTS = """
SELECT p.method, count(*) AS count, sum(p.amount) AS amount
  FROM ar_patientpayment p
 WHERE p.organization_id = %(org)s AND p.received_on = %(day)s AND p.voided_at IS NULL
 GROUP BY 1 ORDER BY 1"""
CASH = """
SELECT e.kind, count(*) AS count, sum(e.amount) AS amount FROM (
  SELECT t.kind, e.transaction_id, sum(e.amount) AS amount
    FROM ledger_ledgerentry e JOIN ledger_ledgertransaction t ON t.id = e.transaction_id
   WHERE e.organization_id = %(org)s AND e.account = 'cash' AND e.effective_on = %(day)s
   GROUP BY 1, 2) e
 GROUP BY 1 ORDER BY 1"""
REMITTANCES = """
SELECT r.status, count(*) AS count, sum(r.amount) AS amount
  FROM remittance_remittance r
 WHERE r.organization_id = %(org)s AND r.paid_on = %(day)s GROUP BY 1 ORDER BY 1"""
BANK = """
SELECT CASE WHEN d.remittance_id IS NULL THEN 'no remittance' ELSE 'matched' END AS state,
       count(*) AS count, sum(d.amount) AS amount
  FROM remittance_deposit d
 WHERE d.organization_id = %(org)s AND d.deposited_on = %(day)s GROUP BY 1 ORDER BY 1"""
TIES = {
    "balanced": (
        "Every transaction of the day sums to zero",
        """SELECT count(*) FROM (SELECT 1 FROM ledger_ledgerentry e
            WHERE e.organization_id = %(org)s AND e.effective_on = %(day)s
            GROUP BY e.transaction_id HAVING sum(e.amount) <> 0) q""",
    ),
    "receipts": (
        "Each receipt of the day is in the cash account once, to the cent",
        """SELECT count(*) FROM ar_patientpayment p
             LEFT JOIN LATERAL (SELECT sum(e.amount) AS amount FROM ledger_ledgerentry e
               WHERE e.transaction_id = p.transaction_id AND e.account = 'cash') c ON true
            WHERE p.organization_id = %(org)s AND p.received_on = %(day)s
              AND coalesce(c.amount, 0) <> p.amount""",
    ),
    "remittances": (
        "Each remittance of the day that is posted brought its amount, to the cent",
        """SELECT count(*) FROM remittance_remittance r
             LEFT JOIN LATERAL (SELECT sum(e.amount) AS amount FROM ledger_ledgerentry e
               WHERE e.remittance_id = r.id AND e.account = 'cash') c ON true
            WHERE r.organization_id = %(org)s AND r.paid_on = %(day)s AND r.status = 'posted'
              AND coalesce(c.amount, 0) <> r.amount""",
    ),
    "waiting": (
        "No remittance of the day waits for posting",
        """SELECT count(*) FROM remittance_remittance r
            WHERE r.organization_id = %(org)s AND r.paid_on = %(day)s
              AND r.status IN ('received', 'ready', 'quarantined', 'posting')""",
    ),
    "bank": (
        "Each deposit of the day has its remittance",
        """SELECT count(*) FROM remittance_deposit d
            WHERE d.organization_id = %(org)s AND d.deposited_on = %(day)s
              AND d.remittance_id IS NULL""",
    ),
    "owned": (
        "Money of the day that is on no claim has an owner",
        """SELECT count(*) FROM remittance_unappliedcash u
             JOIN remittance_remittance r ON r.id = u.remittance_id
            WHERE u.organization_id = %(org)s AND r.paid_on = %(day)s AND u.resolved_at IS NULL
              AND NOT EXISTS (SELECT 1 FROM worklist_workitem w
                   WHERE w.organization_id = u.organization_id AND w.status IN ('open', 'pended')
                     AND w.owner_id IS NOT NULL
                     AND ((w.subject_type = 'claim_payment' AND w.subject_id = u.payment_id)
                       OR (w.subject_type = 'remittance' AND w.subject_id = u.remittance_id)))""",
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """How many of one kind, and their dollars."""

    label: str
    count: int
    amount: Decimal

    @property
    def words(self) -> str:
        return self.label.replace(".", " ").replace("_", " ").replace(":", ": ").capitalize()


@dataclass(frozen=True, slots=True)
class Tie:
    """A sum that must hold, and how many rows break it."""

    code: str
    label: str
    broken: int


@dataclass(frozen=True, slots=True)
class Day:
    """What a business day brought, door by door, and what must agree."""

    receipts: list[Row]
    remittances: list[Row]
    bank: list[Row]
    cash: list[Row]
    ties: list[Tie]

    @property
    def drawer(self) -> Decimal:
        """Cash that must lie in the drawer."""
        return sum((r.amount for r in self.receipts if r.label == "cash"), ZERO)

    @property
    def booked(self) -> Decimal:
        """What the cash account says of the day."""
        return sum((r.amount for r in self.cash), ZERO)

    def json(self) -> dict[str, Any]:
        told = asdict(self)
        for name in ("receipts", "remittances", "bank", "cash"):
            for row in told[name]:
                row["amount"] = str(row["amount"])
        return told


def day_of(organization_id: int, day: date) -> Day:
    """The figures of a day from ledger, receipts, files and bank lines. Ten queries."""
    asked: dict[str, Any] = {"org": organization_id, "day": day}
    with connection.cursor() as cursor:

        def rows(sql: str) -> list[Row]:
            cursor.execute(sql, asked)
            return [Row(label, count, amount or ZERO) for label, count, amount in cursor.fetchall()]

        found = [rows(sql) for sql in (RECEIPTS, REMITTANCES, BANK, CASH)]
        ties = []
        for code, (label, sql) in TIES.items():
            cursor.execute(sql, asked)
            ties.append(Tie(code, label, cursor.fetchone()[0]))
    receipts, remittances, bank, cash = found
    return Day(receipts, remittances, bank, cash, ties)


def day_read(told: Mapping[str, Any]) -> Day:
    """The figures as they were kept at the close."""
    lists = {
        name: [Row(r["label"], r["count"], Decimal(r["amount"])) for r in told[name]]
        for name in ("receipts", "remittances", "bank", "cash")
    }
    return Day(ties=[Tie(**t) for t in told["ties"]], **lists)


@transaction.atomic
def day_close(
    *,
    organization_id: int,
    day: date,
    counted: Decimal,
    note: str,
    actor: Actor,
    at: datetime | None = None,
) -> DayClose:
    """Close a day with the counted drawer. A drawer that differs or a tie that does not hold needs a
    word why.
    """
    require_mine(organization_id, actor)
    actor.require("day.close", organization_id)
    at = at or timezone.now()
    if day > office_day(at):
        raise Refused("This day has not come.", code="future", field="day")
    if counted < 0:
        raise Refused("Counted cash is zero or more.", code="negative", field="counted")
    found = day_of(organization_id, day)
    open_ties = [t.label for t in found.ties if t.broken]
    if (counted != found.drawer or open_ties) and not note.strip():
        why = (
            f"{fmt.money(counted)} is counted and {fmt.money(found.drawer)} was taken in cash."
            if counted != found.drawer
            else f"“{open_ties[0]}” does not hold."
        )
        raise Refused(f"{why} Say why the day closes all the same.", code="note", field="note")
    proof = ProofRun.objects.filter(organization_id=organization_id).order_by("-at").first()
    try:
        with transaction.atomic():
            row = DayClose.objects.create(
                organization_id=organization_id,
                day=day,
                figures=found.json(),
                counted=counted,
                expected=found.drawer,
                note=note.strip()[:300],
                proof=proof,
                closed_at=at,
                actor_name=actor.name,
                user_id=actor.user_id,
            )
    except IntegrityError as error:
        raise Conflict("This day is closed already.", code="closed") from error
    record_steps(
        [Step(organization_id, "day.closed", f"{day:%b %-d, %Y} closed")], actor=actor, at=at
    )
    return row


def open_days(organization_id: int, at: datetime | None = None) -> list[date]:
    """Business days of the last week that nobody has closed and on which money moved."""
    today = office_day(at)
    days = [today - timedelta(days=n) for n in range(OPEN_DAYS)]
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT DISTINCT effective_on FROM ledger_ledgerentry
                WHERE organization_id = %s AND account = 'cash' AND effective_on = ANY(%s)""",
            [organization_id, days],
        )
        moved = {row[0] for row in cursor.fetchall()}
    closed = set(
        DayClose.objects.filter(organization_id=organization_id, day__in=days).values_list(
            "day", flat=True
        )
    )
    return [d for d in days if d in moved and d not in closed]


def proof_keep(*, organization_id: int, at: datetime | None = None) -> ProofRun:
    """Prove the books of one organization and keep what came out."""
    # the checks name tables of every phase: composition, above this room
    proofs = import_module("rcm.prove").prove(Organization.objects.filter(pk=organization_id))
    with scope(Actor.system("prove", [organization_id])):
        return ProofRun.objects.create(
            organization_id=organization_id,
            at=at or timezone.now(),
            promises=len(proofs),
            looked=sum(p.looked for p in proofs),
            breaches=[[p.check.number, p.check.promise, p.total] for p in proofs if p.total],
        )


def last_proof(organization_id: int) -> ProofRun | None:
    return ProofRun.objects.filter(organization_id=organization_id).order_by("-at").first()
