"""One organization never reads another's rows, and the database stands behind the code."""

from __future__ import annotations

from datetime import date

import pytest
from django.db import DatabaseError, connection, transaction

from intake.models import Patient
from rcm.accounts.database import IDENTITY_TABLES, tenant_models
from rcm.accounts.scope import scope


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
