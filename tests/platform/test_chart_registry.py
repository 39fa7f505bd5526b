"""Every table that names a patient says what a merge of charts does with it."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.db import connection

from intake.models import Patient
from rcm.accounts.charts import Follow, patient_keys

# columns of tables that name a patient by another word than the key
NAMES = ("patient_id", "patient", "chart_id", "chart", "keep_id", "gone_id", "merged_into_id")


def declared() -> set[tuple[str, str]]:
    return {(model._meta.db_table, key.column) for model, key in patient_keys()}


def of_models() -> Iterator[tuple[str, str]]:
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_fields:
            if field.is_relation and field.related_model is Patient:
                yield model._meta.db_table, field.column


def test_every_patient_key_of_the_schema_is_declared(db) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
                  AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'bigint'::regtype
                  AND a.attname = ANY(%(names)s)
               UNION
               SELECT k.conrelid::regclass::text, a.attname
                 FROM pg_constraint k JOIN pg_attribute a
                   ON a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)
                WHERE k.contype = 'f' AND k.confrelid = 'intake_patient'::regclass
                  AND a.attname <> 'organization_id'""",
            {"names": list(NAMES)},
        )
        found = set(cursor.fetchall())
    assert ("claims_claim", "patient_id") in found
    assert found | set(of_models()) == declared()


def test_what_is_never_changed_stays_and_all_else_moves(db) -> None:
    for model, key in patient_keys():
        if getattr(model, "append_only", False):
            assert key.follow != Follow.MOVES, model
        assert any(f.column == key.column for f in model._meta.local_fields), (model, key)
    moving = {model._meta.label for model, _ in patient_keys(Follow.MOVES)}
    assert {"claims.Claim", "ar.PatientPayment", "worklist.WorkItem"} <= moving
