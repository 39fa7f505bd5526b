"""The audit log: rows sealed and verified a second, and what the stamp costs an insert.

    python bench/audit.py [ROWS]

Printed: seconds and rows a second of sealing and of verifying ROWS changes, steps and reads (300,000
by default) beside a bare sha256 over the same rows; and of inserting steps with and without the
trigger that stamps them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

sys.path[:0] = [__file__.rsplit("/bench/", 1)[0]]
from bench.scratch import database, prepare  # noqa: E402

prepare("bench_audit")

# two in three rows of a busy log are changes; a step and a read make the third
FILL = """
INSERT INTO audit_change (organization_id, table_name, row_id, op, before, after, actor, request_id, at, tx)
SELECT {org}, 'claims_claim', n, 'U', '{{"status": "ready", "version": 3}}', '{{"status": "submitted", "version": 4}}',
       'person:7:Ben Biller', 'r-' || n, now(), 100 + n / 500 FROM generate_series(1, {changes}) n;
INSERT INTO audit_event (public_id, created_at, organization_id, at, verb, sentence, reason, old_status, new_status,
                         actor_name, actor_kind, claim_id, data, author, tx)
SELECT gen_random_uuid(), now(), {org}, now(), 'claim.submitted', 'Sent to the payer in file 17', '', 'ready', 'submitted',
       'Ben Biller', 'person', n, '{{}}', 'person:7:Ben Biller', 100 + n / 100 FROM generate_series(1, {others}) n;
INSERT INTO audit_access (public_id, created_at, organization_id, patient_id, actor_name, actor_kind, user_id, purpose,
                          request_id, author, tx)
SELECT gen_random_uuid(), now(), {org}, n, 'Ben Biller', 'person', 7, 'claim', 'r-' || n, 'person:7:Ben Biller',
       100 + n / 100 FROM generate_series(1, {others}) n;
"""
STEPS = """
INSERT INTO audit_event (public_id, created_at, organization_id, at, verb, sentence, reason, old_status, new_status,
                         actor_name, actor_kind, claim_id, data)
SELECT gen_random_uuid(), now(), %s, now(), 'claim.submitted', 'Sent', '', 'ready', 'submitted', 'Ben', 'person', n, '{}'
  FROM generate_series(1, 100000) n
"""
BARE = "SELECT count(sha256(convert_to(ROW(t.*)::text, 'UTF8'))) FROM {table} t"


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(rows: int) -> None:
    from django.db import connection

    from rcm.accounts.scope import scope
    from rcm.audit import chain

    with database() as (cast, owner):
        owner(FILL.format(org=cast.a.pk, changes=rows * 2 // 3, others=rows // 6))
        connection.ensure_connection()

        def bare() -> None:
            with scope(chain.everywhere()), connection.cursor() as cursor:
                for table in chain.database.SEALED_TABLES:
                    cursor.execute(BARE.format(table=table))

        def steps() -> None:
            with scope(cast.system), connection.cursor() as cursor:
                cursor.execute(STEPS, [cast.a.pk])

        floor = timed(bare)
        sealed = timed(chain.seal)
        verdict = chain.verify()
        verified = timed(chain.verify)
        print(f"{verdict.rows:,} rows in {verdict.seals:,} links, {len(verdict.breaks)} breaks")
        for name, seconds in (("bare sha256", floor), ("sealing", sealed), ("verifying", verified)):
            print(
                f"{name:12} {seconds:6.2f} s  {verdict.rows / seconds:10,.0f} rows/s "
                f" {seconds / floor:.2f} of the bare sha256"
            )
        steps()
        stamped = timed(steps)
        owner("ALTER TABLE audit_event DISABLE TRIGGER stamp")
        plain = timed(steps)
        owner("ALTER TABLE audit_event ENABLE TRIGGER stamp")
        print(
            f"100,000 steps in one statement {stamped:6.2f} s  {stamped / plain:.2f} of the same"
            " without the stamp"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000)
