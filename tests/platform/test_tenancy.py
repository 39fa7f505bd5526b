"""One organization never reads another's rows, and the database stands behind the code."""

from __future__ import annotations

import contextlib
from datetime import date

import psycopg2
import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from intake.models import Order, Patient
from rcm.accounts.database import (
    IDENTITY_TABLES,
    bind_all,
    loose_references,
    tenant_models,
)
from rcm.accounts.scope import scope
from tests import databases
from tests.conftest import make_cast


def patient(org, mrn: str) -> Patient:
    return Patient.objects.create(
        organization=org,
        mrn=mrn,
        last_name=f"{org.code}-1",
        first_name="X",
        born_on=date(1970, 1, 1),
        sex="F",
        search=mrn,
    )


@contextlib.contextmanager
def owner_connected():
    """A cursor of the tables' owner, one transaction a statement."""
    name = connection.settings_dict["NAME"]
    with databases.connected(databases.in_database(databases.owner_url(), name)) as cursor:
        yield cursor


def sql(text: str):
    with connection.cursor() as c:
        c.execute(text)
        return c.fetchall()


def test_bare_sql_in_the_wrong_scope_returns_nothing(cast):
    with scope(cast.system):
        patient(cast.a, "M1")
        assert sql("SELECT count(*) FROM intake_patient") == [(1,)]
    with scope(cast.system_b):
        assert sql("SELECT count(*) FROM intake_patient") == [(0,)]
    assert sql("SELECT count(*) FROM intake_patient") == [(0,)]


def test_writing_into_another_organization_is_refused(cast):
    with scope(cast.system_b), pytest.raises(DatabaseError), transaction.atomic():
        patient(cast.a, "M1")


def test_inner_scopes_hand_the_outer_one_back(cast):
    with scope(cast.system):
        patient(cast.a, "M1")
        with scope(cast.system_b):
            assert Patient.objects.count() == 0
        assert Patient.objects.count() == 1
        with pytest.raises(ValueError, match="stop"), scope(cast.system_b):
            raise ValueError("stop")
        assert Patient.objects.count() == 1


def test_alternating_scopes_with_errors_between_never_bleed(cast):
    with scope(cast.system):
        patient(cast.a, "M1")
    for i in range(200):
        own = i % 2 == 0
        try:
            with scope(cast.system if own else cast.system_b):
                assert Patient.objects.count() == (1 if own else 0)
                if i % 5 == 0:
                    sql("SELECT 1/0")
        except DatabaseError:
            pass
        assert Patient.objects.count() == 0


def test_every_tenant_table_is_forced_under_row_level_security(db):
    open_tables = sql(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname ="
        " 'organization_id' AND NOT a.attisdropped WHERE c.relkind IN ('r','p') AND c.relnamespace"
        " = 'public'::regnamespace AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
    )
    assert {t for (t,) in open_tables} <= IDENTITY_TABLES
    policies = {t for (t,) in sql("SELECT tablename FROM pg_policies WHERE policyname = 'tenant'")}
    assert {m._meta.db_table for m in tenant_models()} <= policies


def test_the_application_role_owns_nothing_and_bypasses_nothing(db):
    assert sql(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname ="
        " current_user"
    ) == [(False, False, False, False)]
    assert sql("SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole") == [(0,)]
    assert sql(
        "SELECT count(*) FROM information_schema.table_privileges WHERE grantee = current_user AND"
        " privilege_type = 'TRUNCATE'"
    ) == [(0,)]
    assert sql(
        "SELECT count(*) FROM pg_views WHERE schemaname = 'public' AND viewname NOT LIKE 'pg_stat%'"
    ) == [(0,)]
    assert sql("SELECT count(*) FROM pg_matviews WHERE schemaname = 'public'") == [(0,)]


def test_each_change_is_kept_with_its_author(cast):
    with scope(cast.actor("ana"), request_id="r-1"):
        p = patient(cast.a, "M1")
        Patient.objects.filter(pk=p.pk).update(city="Springfield")
        rows = sql(
            "SELECT op, before->>'city', after->>'city', actor, request_id FROM audit_change WHERE"
            f" table_name = 'intake_patient' AND row_id = {p.pk} ORDER BY id"
        )
    assert rows[0][0] == "I"
    assert rows[1][:3] == ("U", "", "Springfield")
    assert rows[1][3].startswith("person:") and rows[1][4] == "r-1"


# --- references between tables of organizations ---------------------------------------------------


def test_every_reference_between_tables_of_an_organization_holds_the_organization(db):
    with connection.cursor() as cursor:
        assert loose_references(cursor) == []
    bound = sql(
        """SELECT k.conrelid::regclass::text, k.confrelid::regclass::text, k.condeferred,
                  k.convalidated, array_agg(a.attname::text ORDER BY a.attname)
             FROM pg_constraint k
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)
            WHERE k.contype = 'f' AND cardinality(k.conkey) = 2
            GROUP BY k.oid, k.conrelid, k.confrelid, k.condeferred, k.convalidated"""
    )
    assert all(deferred and valid for _, _, deferred, valid, _ in bound)
    found = {
        (table, target, column)
        for table, target, _, _, columns in bound
        for column in columns
        if column != "organization_id"
    }
    tables = {m._meta.db_table for m in tenant_models()} | IDENTITY_TABLES - {
        "accounts_organization"
    }
    wanted = {
        (m._meta.db_table, f.related_model._meta.db_table, f.column)
        for m in tenant_models()
        for f in m._meta.local_fields
        if f.is_relation and f.db_constraint and f.related_model._meta.db_table in tables
    }
    assert len(wanted) > 110
    assert wanted <= found, sorted(wanted - found)


def test_the_row_of_another_organization_is_refused_as_one_that_is_missing(cast):
    with scope(cast.system):
        theirs = patient(cast.a, "M1").pk
    said = []
    for key in (theirs, 999_999_999):
        with (
            scope(cast.system_b),
            pytest.raises(IntegrityError) as refused,
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            Order.objects.create(
                organization=cast.b, patient_id=key, ordered_at=timezone.now(), signed=True
            )
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert "patient_id" in said[0]


def test_rows_that_stand_already_are_checked_for_every_organization(transactional_db):
    cast = make_cast()
    with scope(cast.system):
        mine = patient(cast.a, "M1")
    with scope(cast.system_b):
        other = patient(cast.b, "M2")
    with owner_connected() as raw:
        raw.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'intake_patient'::regclass"
            " AND confrelid = 'intake_patient'::regclass"
        )
        ((bound,),) = raw.fetchall()
        raw.execute(
            f"ALTER TABLE intake_patient DROP CONSTRAINT {bound}, ADD CONSTRAINT loose"
            " FOREIGN KEY (merged_into_id) REFERENCES intake_patient (id)"
            " DEFERRABLE INITIALLY DEFERRED"
        )
        every = f"SELECT set_config('isocenter.orgs', '{cast.a.pk},{cast.b.pk}', false)"
        raw.execute(every)
        raw.execute(
            "UPDATE intake_patient SET merged_into_id = %s WHERE id = %s", [other.pk, mine.pk]
        )
        raw.execute("SELECT set_config('isocenter.orgs', '', false)")
        try:
            with pytest.raises(psycopg2.IntegrityError):
                bind_all(raw)
        finally:
            raw.execute(every)
            raw.execute("UPDATE intake_patient SET merged_into_id = NULL")
            raw.execute("SELECT set_config('isocenter.orgs', '', false)")
            assert bind_all(raw) == 1
        assert bind_all(raw) == 0
        assert loose_references(raw) == []
