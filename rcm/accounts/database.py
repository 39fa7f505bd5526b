"""What the database itself enforces, put on by catalogue after every migrate, so that no table can
be forgotten.

For each tenant table (a column `organization_id`, except the identity tables): forced row-level
security bound to `isocenter.orgs`. For tables of append-only models: UPDATE and DELETE refused by
trigger and not granted. For audited tables: each insert, update and delete kept in `audit_change`
with actor and request. For each reference between two tables of an organization: the key holds
the organization too, so that another one's row is refused just as a missing one is. The application role owns nothing and bypasses nothing; it holds SELECT,
INSERT, UPDATE, DELETE and no TRUNCATE.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, NamedTuple

from django.apps import AppConfig, apps
from django.conf import settings
from django.db import connections, transaction

IDENTITY_TABLES = {
    "accounts_organization",
    "accounts_site",
    "accounts_membership",
    "accounts_invitation",
    "accounts_partner",
}

FUNCTIONS = """
CREATE OR REPLACE FUNCTION isocenter_orgs() RETURNS bigint[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT coalesce(string_to_array(nullif(current_setting('isocenter.orgs', true), ''), ',')::bigint[], '{}'::bigint[])
$$;
CREATE OR REPLACE FUNCTION isocenter_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never changed or deleted; write a counter-entry', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
"""

AUDIT_FUNCTION = """
CREATE OR REPLACE FUNCTION isocenter_audit() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    INSERT INTO audit_change (organization_id, table_name, row_id, op, before, after, actor, request_id, at, tx)
    -- each row becomes jsonb once (OFFSET 0 keeps the planner from doing it again for every column)
    -- and its columns are walked once: old and new row have the same
    SELECT r.organization_id, TG_TABLE_NAME, r.id, 'U', d.before, d.after,
           coalesce(current_setting('isocenter.actor', true), ''), coalesce(current_setting('isocenter.request', true), ''),
           clock_timestamp(), isocenter_tx()
      FROM (SELECT n.organization_id, n.id, to_jsonb(old_rows) AS was, to_jsonb(n) AS now
              FROM new_rows n JOIN old_rows ON old_rows.id = n.id OFFSET 0) r
     CROSS JOIN LATERAL (SELECT jsonb_object_agg(o.key, o.value) AS before, jsonb_object_agg(o.key, r.now->o.key) AS after
                           FROM jsonb_each(r.was) o WHERE o.value IS DISTINCT FROM r.now->o.key) d
     WHERE r.now IS DISTINCT FROM r.was;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO audit_change (organization_id, table_name, row_id, op, before, after, actor, request_id, at, tx)
    SELECT o.organization_id, TG_TABLE_NAME, o.id, 'D', to_jsonb(o), NULL,
           coalesce(current_setting('isocenter.actor', true), ''), coalesce(current_setting('isocenter.request', true), ''),
           clock_timestamp(), isocenter_tx()
      FROM old_rows o;
  ELSE
    INSERT INTO audit_change (organization_id, table_name, row_id, op, before, after, actor, request_id, at, tx)
    SELECT n.organization_id, TG_TABLE_NAME, n.id, 'I', NULL, NULL,
           coalesce(current_setting('isocenter.actor', true), ''), coalesce(current_setting('isocenter.request', true), ''),
           clock_timestamp(), isocenter_tx()
      FROM new_rows n;
  END IF;
  RETURN NULL;
END $$;
"""

POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS tenant ON {table};
CREATE POLICY tenant ON {table}
  USING ({nullable}organization_id = ANY ((SELECT isocenter_orgs())::bigint[]))
  WITH CHECK ({nullable}organization_id = ANY ((SELECT isocenter_orgs())::bigint[]));
"""

APPEND_ONLY = """
DROP TRIGGER IF EXISTS append_only ON {table};
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION isocenter_refuse_change();
DROP TRIGGER IF EXISTS append_only_truncate ON {table};
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION isocenter_refuse_change();
"""

AUDIT = """
DROP TRIGGER IF EXISTS audit_i ON {table};
DROP TRIGGER IF EXISTS audit_u ON {table};
DROP TRIGGER IF EXISTS audit_d ON {table};
CREATE TRIGGER audit_i AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION isocenter_audit();
CREATE TRIGGER audit_u AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION isocenter_audit();
CREATE TRIGGER audit_d AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION isocenter_audit();
"""

GRANT = """
GRANT USAGE ON SCHEMA public TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role};
"""


def tenant_models() -> list[Any]:
    """Every managed model whose table carries organization_id, identity tables aside."""
    return [
        m
        for m in apps.get_models(include_auto_created=True)
        if m._meta.managed
        and m._meta.db_table not in IDENTITY_TABLES
        and any(f.column == "organization_id" for f in m._meta.local_fields)
    ]


def bodies_of(statements: str) -> dict[str, str]:
    """The body of each function that these statements make, by its name."""
    found = re.findall(r"FUNCTION (\w+)\(.*?\$\$(.*?)\$\$", statements, re.DOTALL)
    return dict(found)


def function_bodies() -> dict[str, str]:
    return bodies_of(FUNCTIONS) | bodies_of(AUDIT_FUNCTION)


def expected_triggers() -> set[tuple[str, str]]:
    """(table, trigger) that `install` puts on."""
    tenants = {m._meta.db_table for m in tenant_models()}
    out: set[tuple[str, str]] = set()
    for model in apps.get_models(include_auto_created=True):
        table = model._meta.db_table
        if not model._meta.managed:
            continue
        if getattr(model, "append_only", False):
            out |= {(table, "append_only"), (table, "append_only_truncate")}
        elif table in tenants and getattr(model, "audited", True):
            out |= {(table, "audit_i"), (table, "audit_u"), (table, "audit_d")}
    return out


# references by one column between two tables that both belong to an organization
LOOSE = """
SELECT k.conname, k.conrelid::regclass::text, a.attname, k.confrelid::regclass::text, f.attname,
       k.condeferrable, k.condeferred
  FROM pg_constraint k
  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
  JOIN pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
  JOIN pg_attribute own ON own.attrelid = k.conrelid AND own.attname = 'organization_id'
       AND own.attnotnull
  JOIN pg_attribute its ON its.attrelid = k.confrelid AND its.attname = 'organization_id'
       AND its.attnotnull
 WHERE k.contype = 'f' AND cardinality(k.conkey) = 1 AND a.attname <> 'organization_id'
   AND k.connamespace = 'public'::regnamespace
 ORDER BY 4, 2, 3
"""


class Loose(NamedTuple):
    """A reference that would take the row of another organization."""

    name: str
    table: str
    column: str
    target: str
    key: str
    deferrable: bool
    deferred: bool


def loose_references(cursor: Any) -> list[Loose]:
    cursor.execute(LOOSE)
    return [Loose(*row) for row in cursor.fetchall()]


def _named(*parts: str, ending: str) -> str:
    """A name of at most 63 characters that the same parts always give."""
    plain = "_".join(parts)
    digest = hashlib.sha256(plain.encode()).hexdigest()[:8]
    return f"{plain[:40]}_{digest}_{ending}"


def bind_all(cursor: Any) -> int:
    """Replace each loose reference by one of (organization, key); returns how many. None is left
    to do the second time. Raises IntegrityError when rows of two organizations refer to each other.
    """
    loose = loose_references(cursor)
    if not loose:
        return 0
    cursor.execute("SELECT current_setting('isocenter.orgs', true)")
    (before,) = cursor.fetchone()
    # the rows are checked under row-level security: everybody's, or nothing would be looked at
    cursor.execute(
        "SELECT set_config('isocenter.orgs', coalesce(string_agg(id::text, ','), ''), false)"
        " FROM accounts_organization"
    )
    for one in loose:
        _bind(cursor, one)
    cursor.execute("SELECT set_config('isocenter.orgs', %s, false)", [before or ""])
    return len(loose)


def _bind(cursor: Any, one: Loose) -> None:
    unique = _named(one.target, one.key, ending="of_org")
    cursor.execute("SELECT 1 FROM pg_constraint WHERE conname = %s", [unique])
    if cursor.fetchone() is None:
        cursor.execute(
            f"ALTER TABLE {one.target} ADD CONSTRAINT {unique} UNIQUE (organization_id, {one.key})"
        )
    when = "DEFERRED" if one.deferred else "IMMEDIATE"
    timing = f"DEFERRABLE INITIALLY {when}" if one.deferrable else "NOT DEFERRABLE"
    cursor.execute(
        f'ALTER TABLE {one.table} DROP CONSTRAINT "{one.name}",'
        f" ADD CONSTRAINT {_named(one.table, one.column, ending='in_org')}"
        f" FOREIGN KEY (organization_id, {one.column})"
        f" REFERENCES {one.target} (organization_id, {one.key}) {timing}"
    )


def install(sender: AppConfig, using: str = "default", **_: Any) -> None:
    """post_migrate: put policies, triggers and grants on the tables of one app. Idempotent; runs as
    the owner.
    """
    connection = connections[using]
    existing = set(connection.introspection.table_names())
    role = settings.DATABASE_APP_ROLE
    tenants = {m._meta.db_table for m in tenant_models()}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(72020)")
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        has_role = cursor.fetchone() is not None
        cursor.execute(FUNCTIONS)
        if sender.label == "audit":
            cursor.execute(AUDIT_FUNCTION)
        if has_role and "django_migrations" in existing:
            cursor.execute(f"GRANT SELECT ON django_migrations TO {role}")
        for model in sender.get_models(include_auto_created=True):
            table = model._meta.db_table
            if table not in existing or not model._meta.managed:
                continue
            if has_role:
                cursor.execute(GRANT.format(table=table, role=role))
                cursor.execute(
                    "SELECT pg_get_serial_sequence(%s, %s)", [table, model._meta.pk.column]
                )
                sequence = cursor.fetchone()[0]
                if sequence:
                    cursor.execute(f"GRANT USAGE, SELECT ON SEQUENCE {sequence} TO {role}")
            if table in tenants:
                field = next(f for f in model._meta.local_fields if f.column == "organization_id")
                cursor.execute(
                    POLICY.format(
                        table=table, nullable="organization_id IS NULL OR " if field.null else ""
                    )
                )
            if getattr(model, "append_only", False):
                cursor.execute(APPEND_ONLY.format(table=table))
                if has_role:
                    cursor.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {role}")
            elif (
                table in tenants and getattr(model, "audited", True) and "audit_change" in existing
            ):
                cursor.execute(AUDIT.format(table=table))
    if sender.label == "accounts":  # all tables are made by now, those of the other apps too
        with transaction.atomic(using=using), connection.cursor() as cursor:
            bind_all(cursor)
