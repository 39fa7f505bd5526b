"""Whether claims hold their marks already: a claim that was marked as it left need not be marked
again when it is paid. The answer is the claims that were asked for, by the own holder alone.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

FORWARD = """
CREATE FUNCTION isocenter_marks_held(claims text[], mine text) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT DISTINCT m.claim::text FROM claims_servicemark m WHERE m.claim = ANY (claims::char(64)[]) AND m.holder = mine
$$;
"""
BACK = "DROP FUNCTION isocenter_marks_held(text[], text);"


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("claims", "0008_fewer_keys")]
    operations: ClassVar[list[migrations.operations.base.Operation]] = [
        migrations.RunSQL(FORWARD, BACK)
    ]
