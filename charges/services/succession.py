"""Money follows the charge: what was booked on a void charge moves to the one that replaced it.

A charge that is corrected after release is void, and its gross amount is mirrored. Payments and
adjustments of payers and patients that stand on it belong to the exam still: they move to the
successor, account by account, so that one net balance is left. What arrives later (a payer takes its
old answer back) moves the same way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import uuid6
from django.db import connection, transaction

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.audit.services import Step, record_steps
from rcm.ledger.models import Balance
from rcm.ledger.services import Leg, Posting, post_many

KIND = "charge.succeeded"

HEIRS_SQL = """
WITH RECURSIVE heir AS (
  SELECT c.id AS root, c.id, c.status, c.code, c.code AS wanted, 0 AS depth
    FROM ledger_balance b JOIN charges_charge c ON c.id = b.charge_id
   WHERE b.organization_id = %(org)s AND (b.insurance <> 0 OR b.patient <> 0)
     AND c.status = 'void' AND (%(ids)s::bigint[] IS NULL OR c.id = ANY(%(ids)s))
  UNION ALL
  SELECT h.root, n.id, n.status, n.code, h.wanted, h.depth + 1
    FROM heir h JOIN charges_charge n ON n.replaces_id = h.id
   WHERE h.status = 'void' AND h.depth < 20)
SELECT DISTINCT ON (root) root, id FROM (
  SELECT root, id, (code = wanted) AS same, depth FROM heir
   WHERE status IN ('released', 'billed', 'self_pay')
  UNION ALL
  -- billed again after it was taken back: the same service of the same exam
  SELECT h.root, n.id, true, 100
    FROM heir h
    JOIN charges_charge o ON o.id = h.root
    JOIN charges_charge n ON n.exam_id = o.exam_id AND n.code = o.code
     AND n.component = o.component AND n.id > o.id
   WHERE h.depth = 0 AND n.status IN ('released', 'billed', 'self_pay')) found
 ORDER BY root, (depth = 100), same DESC, depth, id
"""

BOOKED_SQL = """
SELECT charge_id, account, claim_id, patient_id, payer_id, sum(amount)
  FROM ledger_ledgerentry WHERE charge_id = ANY(%s)
 GROUP BY 1, 2, 3, 4, 5 HAVING sum(amount) <> 0
"""


@dataclass(frozen=True, slots=True)
class _Booked:
    """What stands on a void charge in one account for one claim, patient and payer."""

    account: str
    claim_id: int | None
    patient_id: int | None
    payer_id: int | None
    amount: Decimal


@transaction.atomic
def money_follows(
    *,
    organization_id: int,
    actor: Actor,
    at: datetime,
    charge_ids: Iterable[int] | None = None,
) -> int:
    """Move what stands on void charges (`charge_ids`, or all of the organization) to the charges
    that replaced them. A void charge without a successor keeps its money: it is a credit. Set-based.
    Returns how many charges gave theirs on.
    """
    ids = None if charge_ids is None else sorted(set(charge_ids))
    with connection.cursor() as cursor:
        cursor.execute(HEIRS_SQL, {"org": organization_id, "ids": ids})
        heirs: dict[int, int] = dict(cursor.fetchall())
        if not heirs:
            return 0
        list(
            Balance.objects.select_for_update()
            .filter(charge_id__in=sorted({*heirs, *heirs.values()}))
            .order_by("charge_id")
            .values_list("charge_id", flat=True)
        )
        cursor.execute(BOOKED_SQL, [sorted(heirs)])
        booked: dict[int, list[_Booked]] = defaultdict(list)
        for charge, *rest in cursor.fetchall():
            booked[charge].append(_Booked(*rest))
    postings = [
        Posting(
            organization_id=organization_id,
            kind=KIND,
            effect_key=f"{KIND}:{old}:{uuid6.uuid7()}",
            effective_on=office_day(at),
            description="Money follows the corrected charge",
            legs=_legs(old, heirs[old], rows),
            source_type="charge",
            source_id=old,
        )
        for old, rows in sorted(booked.items())
    ]
    written = post_many(postings, actor=actor)
    record_steps(
        (
            Step(
                organization_id,
                KIND,
                "Payments and adjustments moved to the corrected charge",
                {"patient_id": next((r.patient_id for r in rows if r.patient_id), None)},
                data={"old": old, "new": heirs[old]},
            )
            for old, rows in sorted(booked.items())
        ),
        actor=actor,
        at=at,
    )
    return len(written)


def _legs(old: int, new: int, rows: Sequence[_Booked]) -> list[Leg]:
    return [
        Leg(
            row.account,
            amount,
            charge_id,
            row.claim_id,
            row.patient_id,
            row.payer_id,
            reason="follows",
        )
        for row in rows
        for charge_id, amount in ((old, -row.amount), (new, row.amount))
    ]
