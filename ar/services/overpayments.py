"""Who overpaid: what each payer still owes on a charge, or was paid too much, payer by payer.

The ledger keeps one insurance balance for a charge, in which the credit of one payer can hide behind
what another still owes. Here the balance is told apart: a payer owes the charge less what it left to
the next payer; the next one owes that. The parts of a charge sum to its insurance balance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import connection

ZERO = Decimal("0.00")

ENTRIES_SQL = """
SELECT e.charge_id, k.rank, coalesce(k.payer_id, e.payer_id), sum(e.amount), max(k.id)
  FROM ledger_ledgerentry e LEFT JOIN claims_claim k ON k.id = e.claim_id
 WHERE e.charge_id = ANY(%s) AND e.account = 'ar_insurance'
 GROUP BY 1, 2, 3
"""

# what each payer's standing answers left as the patient's, less what the patient got: a second answer
# beside the first leaves nothing more
LEFT_SQL = """
WITH said AS (
  SELECT l.charge_id, k.rank, s.id,
         (SELECT sum(a.amount) FROM remittance_adjustment a
           WHERE a.service_id = s.id AND a."group" = 'PR') AS share
    FROM claims_claimline l
    JOIN claims_claim k ON k.id = l.claim_id
    JOIN remittance_servicepayment s ON s.line_id = l.id
    JOIN remittance_claimpayment p ON p.id = s.payment_id
   WHERE l.charge_id = ANY(%(ids)s) AND p.state = 'posted' AND p.status_code <> '22'),
moved AS (
  SELECT e.charge_id, k.rank, sum(e.amount) AS share
    FROM ledger_ledgerentry e JOIN claims_claim k ON k.id = e.claim_id
   WHERE e.charge_id = ANY(%(ids)s) AND e.account = 'ar_patient' AND e.amount > 0
   GROUP BY 1, 2)
SELECT s.charge_id, s.rank, coalesce(max(s.share), 0) - coalesce(max(m.share), 0)
  FROM said s LEFT JOIN moved m ON m.charge_id = s.charge_id AND m.rank = s.rank
 GROUP BY 1, 2
"""

CLAIMS_SQL = """
SELECT DISTINCT l.charge_id, k.rank
  FROM claims_claimline l JOIN claims_claim k ON k.id = l.claim_id
 WHERE l.charge_id = ANY(%s) AND k.status NOT IN ('void', 'replaced', 'draft')
"""

SHARED_SQL = """
SELECT DISTINCT l.charge_id
  FROM claims_claim k JOIN claims_claimline l ON l.claim_id = k.id
 WHERE k.organization_id = %s AND k.rank > 1 AND k.status NOT IN ('void', 'replaced', 'draft')
"""


@dataclass(frozen=True, slots=True)
class Booked:
    """The sum of a payer's entries on a charge and its latest claim."""

    amount: Decimal
    claim_id: int


@dataclass(frozen=True, slots=True)
class Share:
    """One payer's part of a charge: open when positive, overpaid when negative."""

    charge_id: int
    rank: int
    payer_id: int | None
    claim_id: int | None
    amount: Decimal

    @property
    def credit(self) -> Decimal:
        return max(-self.amount, ZERO)


def payer_shares(charge_ids: Iterable[int]) -> dict[int, list[Share]]:
    """Each charge's insurance balance by payer, in the order in which they pay. Three queries."""
    ids = sorted(set(charge_ids))
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(ENTRIES_SQL, [ids])
        entries = cursor.fetchall()
        cursor.execute(LEFT_SQL, {"ids": ids})
        left = {(charge, rank): amount for charge, rank, amount in cursor.fetchall()}
        cursor.execute(CLAIMS_SQL, [ids])
        ranks: dict[int, set[int]] = defaultdict(set)
        for charge, rank in cursor.fetchall():
            ranks[charge].add(rank)
    own: dict[int, Decimal] = defaultdict(lambda: ZERO)
    booked: dict[int, dict[tuple[int, int], Booked]] = defaultdict(dict)
    entries.sort(key=lambda row: row[1] is None)  # what stands on no claim comes last
    for charge, rank, payer, amount, claim in entries:
        if rank is not None:
            booked[charge][(rank, payer)] = Booked(amount, claim)
            continue
        same = next((key for key in booked.get(charge, ()) if key[1] == payer), None)
        if same is None:
            own[charge] += amount
        else:
            before = booked[charge][same]
            booked[charge][same] = Booked(before.amount + amount, before.claim_id)
    return {
        pk: _told_apart(pk, own[pk], booked.get(pk, {}), left, ranks[pk])
        for pk in ids
        if pk in booked or pk in own
    }


def _told_apart(
    charge_id: int,
    own: Decimal,
    booked: dict[tuple[int, int], Booked],
    left: dict[tuple[int, int], Decimal],
    ranks: set[int],
) -> list[Share]:
    """Move what each payer left over to the next one. What stands on no claim is the first one's."""
    if not booked:
        return [Share(charge_id, 1, None, None, own)]
    found: list[Share] = []
    came, order = own, sorted(booked)
    for n, (rank, payer) in enumerate(order):
        entry = booked[(rank, payer)]
        following = {r for r in (*ranks, *(r for r, _ in order[n + 1 :])) if r > rank}
        passed = max(left.get((charge_id, rank), ZERO), ZERO) if following else ZERO
        found.append(Share(charge_id, rank, payer, entry.claim_id, came + entry.amount - passed))
        came = passed
    if came:  # left to a payer that has booked nothing yet
        found.append(Share(charge_id, order[-1][0] + 1, None, None, came))
    return found


def overpaid(charge_ids: Iterable[int]) -> dict[int, list[Share]]:
    """Payers that were paid too much, by charge."""
    found = {
        pk: [s for s in shares if s.credit > ZERO and s.payer_id is not None]
        for pk, shares in payer_shares(charge_ids).items()
    }
    return {pk: shares for pk, shares in found.items() if shares}


def shared_charges(organization_id: int) -> list[int]:
    """Charges that went to more than one payer."""
    with connection.cursor() as cursor:
        cursor.execute(SHARED_SQL, [organization_id])
        return [row[0] for row in cursor.fetchall()]


# --- since when -----------------------------------------------------------------------------------

SINCE_SQL = """
WITH running AS (
  SELECT e.charge_id, e.effective_on, e.id,
         sum(e.amount) OVER (PARTITION BY e.charge_id ORDER BY e.id) AS total
    FROM ledger_ledgerentry e
   WHERE e.charge_id = ANY(%s) AND e.account = %s),
crossed AS (
  SELECT charge_id, effective_on, id, total,
         coalesce(lag(total) OVER (PARTITION BY charge_id ORDER BY id), 0) AS before
    FROM running)
SELECT charge_id, max(effective_on) FROM crossed WHERE total < 0 AND before >= 0 GROUP BY 1
"""


def credit_since(charge_ids: Iterable[int], account: str) -> dict[int, date]:
    """The day whose booking brought each credit about."""
    with connection.cursor() as cursor:
        cursor.execute(SINCE_SQL, [sorted(set(charge_ids)), account])
        return dict(cursor.fetchall())


# --- taken back -----------------------------------------------------------------------------------

TAKEN_SQL = """
SELECT DISTINCT ON (e.charge_id, e.payer_id) e.charge_id, e.payer_id, e.effective_on,
       coalesce(r.trace, ''), e.id
  FROM ledger_ledgerentry e
  JOIN ledger_ledgertransaction t ON t.id = e.transaction_id
  LEFT JOIN remittance_remittance r ON r.id = e.remittance_id
 WHERE e.charge_id = ANY(%s) AND e.account = 'ar_insurance' AND e.amount > 0
   AND t.kind IN ('remittance.reversal', 'remittance.takeback')
 ORDER BY e.charge_id, e.payer_id, e.id DESC
"""


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The payer's latest taking back of money on a charge."""

    on: date
    trace: str
    entry_id: int

    @property
    def words(self) -> str:
        return f"The payer took this money back on {self.on:%b %-d, %Y} ({self.trace})."


def taken_back(charge_ids: Iterable[int]) -> dict[tuple[int, int | None], TakenBack]:
    """(charge, payer) → the latest takeback. One query."""
    with connection.cursor() as cursor:
        cursor.execute(TAKEN_SQL, [sorted(set(charge_ids))])
        return {
            (charge, payer): TakenBack(on, trace, entry)
            for charge, payer, on, trace, entry in cursor.fetchall()
        }
