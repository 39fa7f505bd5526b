"""What the database does for the log by itself: author, time and transaction of every row, and the
seals.

Put on after every migrate by the owner. The application role may add steps and reads, whose author
and time the database sets; it may not add changes or seals at all.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db import connections

from rcm.accounts.database import bodies_of

SEALED_TABLES = ("audit_change", "audit_event", "audit_access")
STAMPED_TABLES = ("audit_event", "audit_access")
BY_DATABASE_ALONE = ("audit_change", "audit_seal")

# A transaction's number orders the log: whatever is below the oldest running transaction is
# complete, so that a seal never meets a row that commits late. After a restore into a new server,
# whose numbers begin again, the shift carries them on.
SHIFT = """
CREATE OR REPLACE FUNCTION isocenter_tx_shift() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT {shift}::bigint $$;
"""

FUNCTIONS = """
CREATE OR REPLACE FUNCTION isocenter_tx() RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT pg_current_xact_id()::text::bigint + isocenter_tx_shift()
$$;
CREATE OR REPLACE FUNCTION isocenter_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE who text := coalesce(current_setting('isocenter.actor', true), '');
BEGIN
  NEW.author := who;
  NEW.created_at := clock_timestamp();
  -- written out: a call of isocenter_tx() would cost more than the rest
  NEW.tx := pg_current_xact_id()::text::bigint + isocenter_tx_shift();
  IF TG_TABLE_NAME = 'audit_access' AND who ~ '^(person|partner):' THEN
    NEW.actor_kind := split_part(who, ':', 1);
    NEW.user_id := nullif(split_part(who, ':', 2), '')::bigint;
    NEW.actor_name := left(substr(who, length(split_part(who, ':', 1)) + length(split_part(who, ':', 2)) + 3), 120);
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION isocenter_link(org bigint, number integer, previous bytea, tab text, shape text,
  from_tx bigint, upto_tx bigint, ids bigint[], digests bytea, moment timestamptz) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(convert_to(concat_ws('|', org, number, encode(previous, 'hex'), tab, shape, from_tx, upto_tx, ids::text,
                                     encode(sha256(digests), 'hex'), extract(epoch FROM moment)::text), 'UTF8'))
$$;
CREATE OR REPLACE FUNCTION isocenter_seal(most integer DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET bytea_output = 'hex' AS $$
DECLARE
  hi bigint := pg_snapshot_xmin(pg_current_snapshot())::text::bigint + isocenter_tx_shift();
  lo bigint; tab text; shape text; part record; head record; sealed bigint := 0; link bytea; moment timestamptz;
  before text := coalesce(current_setting('isocenter.orgs', true), '');
BEGIN
  PERFORM pg_advisory_xact_lock(72021);
  -- always every organization: what lies below the last seal of a table is sealed for all of them
  PERFORM set_config('isocenter.orgs', (SELECT coalesce(string_agg(id::text, ','), '') FROM accounts_organization), true);
  FOREACH tab IN ARRAY ARRAY['audit_change', 'audit_event', 'audit_access'] LOOP
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO shape
      FROM pg_attribute WHERE attrelid = tab::regclass AND attnum > 0 AND NOT attisdropped;
    SELECT coalesce(max(upto_tx), -1) INTO lo FROM audit_seal WHERE table_name = tab;
    FOR part IN EXECUTE format($q$
      WITH fresh AS (
        SELECT organization_id, id, tx, sha256(convert_to(ROW(%2$s)::text, 'UTF8')) AS digest,
               (row_number() OVER (PARTITION BY organization_id ORDER BY tx, id) - 1) / $3 AS part
          FROM %1$I WHERE tx >= $1 AND tx < $2)
      SELECT organization_id, part, min(tx) AS from_tx, count(*)::integer AS count,
             array_agg(id ORDER BY tx, id) AS ids, string_agg(digest, ''::bytea ORDER BY tx, id) AS digests
        FROM fresh GROUP BY 1, 2 ORDER BY 1, 2 $q$, tab, shape) USING lo, hi, most
    LOOP
      SELECT number, digest INTO head FROM audit_seal
       WHERE organization_id = part.organization_id ORDER BY number DESC LIMIT 1;
      moment := clock_timestamp();
      INSERT INTO audit_seal (public_id, created_at, organization_id, number, table_name, shape, from_tx, upto_tx,
                              count, ids, digests, previous, digest)
      SELECT gen_random_uuid(), moment, part.organization_id, coalesce(head.number, 0) + 1, tab, shape, part.from_tx,
             hi, part.count, part.ids, part.digests, coalesce(head.digest, ''::bytea),
             isocenter_link(part.organization_id, coalesce(head.number, 0) + 1, coalesce(head.digest, ''::bytea), tab,
                            shape, part.from_tx, hi, part.ids, part.digests, moment);
      sealed := sealed + part.count;
    END LOOP;
  END LOOP;
  PERFORM set_config('isocenter.orgs', before, true);
  RETURN sealed;
END $$;
"""

STAMP = """
DROP TRIGGER IF EXISTS stamp ON {table};
CREATE TRIGGER stamp BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION isocenter_stamp();
"""


def expected_triggers() -> set[tuple[str, str]]:
    """(table, trigger) of the log's own, for whoever verifies that they are awake."""
    return {(table, "stamp") for table in STAMPED_TABLES}


def function_bodies() -> dict[str, str]:
    return bodies_of(FUNCTIONS)


def install(sender: AppConfig, using: str = "default", **_: Any) -> None:
    """post_migrate of the audit room, after the general rules of rcm.accounts.database."""
    if sender.label != "audit":
        return
    connection = connections[using]
    existing = set(connection.introspection.table_names())
    if "audit_seal" not in existing:
        return
    role = settings.DATABASE_APP_ROLE
    with connection.cursor() as cursor:
        carry_on(cursor)
        cursor.execute(FUNCTIONS)
        for table in STAMPED_TABLES:
            cursor.execute(STAMP.format(table=table))
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        if cursor.fetchone() is None:
            return
        for table in BY_DATABASE_ALONE:
            cursor.execute(f"REVOKE INSERT ON {table} FROM {role}")
        cursor.execute("REVOKE ALL ON FUNCTION isocenter_seal(integer) FROM PUBLIC")
        cursor.execute(f"GRANT EXECUTE ON FUNCTION isocenter_seal(integer) TO {role}")


def carry_on(cursor: Any) -> None:
    """Let the log's transaction numbers go on above the last seal, also on a new server."""
    cursor.execute("SELECT to_regprocedure('isocenter_tx_shift()') IS NOT NULL")
    if not cursor.fetchone()[0]:
        cursor.execute(SHIFT.format(shift=0))
    cursor.execute("SELECT coalesce(string_agg(id::text, ','), '') FROM accounts_organization")
    everywhere = cursor.fetchone()[0]
    cursor.execute("SELECT set_config('isocenter.orgs', %s, true)", [everywhere])
    cursor.execute(
        "SELECT coalesce(max(upto_tx), 0) - pg_current_xact_id()::text::bigint,"
        " isocenter_tx_shift() FROM audit_seal"
    )
    needed, shift = cursor.fetchone()
    if needed > shift:
        cursor.execute(SHIFT.format(shift=int(needed) + 1))
    cursor.execute("SELECT set_config('isocenter.orgs', '', true)")
