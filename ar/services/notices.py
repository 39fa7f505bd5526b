"""Which notices a charge has had: the tone of the next one goes by the charge's own unanswered ones.

A payment on the charge answers what was sent before it, and a balance that comes to the patient anew
begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection

from ar import rules

# a cycle begins on the day on which the balance came to the patient, or after the patient paid a
# part of it
NOTICES_SQL = """
WITH begun AS (
  SELECT e.charge_id,
         max(e.effective_on) FILTER (
           WHERE e.amount > 0 AND t.kind NOT LIKE 'reversal:patient.%%') AS came,
         max(e.effective_on) FILTER (
           WHERE e.amount < 0 AND t.kind IN ('patient.payment', 'patient.apply')
             AND NOT EXISTS (SELECT 1 FROM ledger_ledgertransaction r
                              WHERE r.reverses_id = t.id)) AS paid
    FROM ledger_ledgerentry e JOIN ledger_ledgertransaction t ON t.id = e.transaction_id
   WHERE e.charge_id = ANY(%(ids)s) AND e.account = 'ar_patient'
   GROUP BY 1),
sent AS (
  SELECT c.id AS charge_id, s.sent_on
    FROM charges_charge c
    JOIN ar_statement s ON s.patient_id = c.patient_id
   CROSS JOIN LATERAL jsonb_array_elements(s.lines) l
   WHERE c.id = ANY(%(ids)s) AND (l ->> 'charge_id')::bigint = c.id)
SELECT s.charge_id, count(*), min(s.sent_on), max(s.sent_on)
  FROM sent s LEFT JOIN begun b ON b.charge_id = s.charge_id
 WHERE (b.came IS NULL OR s.sent_on >= b.came) AND (b.paid IS NULL OR s.sent_on > b.paid)
 GROUP BY 1
"""


def notices_of(charge_ids: Iterable[int]) -> dict[int, rules.StatementHistory]:
    """The unanswered notices of each charge in its running cycle: how many, the first, the last. One
    query.
    """
    ids = sorted(set(charge_ids))
    found = {pk: rules.StatementHistory() for pk in ids}
    with connection.cursor() as cursor:
        cursor.execute(NOTICES_SQL, {"ids": ids})
        for charge, steps, first, last in cursor.fetchall():
            found[charge] = rules.StatementHistory(steps, first, last)
    return found
