"""Which component of which exam has been billed, across organizations, as fingerprints only.

The product's role cannot read the table. It may put marks, free its own, and ask whether others
hold one; the answer is the fingerprint that was asked for and nothing else.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

FORWARD = """
CREATE TABLE claims_servicemark (
  fingerprint char(64) PRIMARY KEY,
  holder char(64) NOT NULL,
  claim char(64) NOT NULL
);
CREATE INDEX servicemark_claim ON claims_servicemark (claim);
REVOKE ALL ON claims_servicemark FROM PUBLIC;
DO $$ DECLARE named text; BEGIN
  FOR named IN SELECT DISTINCT g.grantee FROM information_schema.role_table_grants g
                WHERE g.table_name = 'claims_servicemark' AND g.grantee NOT IN (current_user, 'PUBLIC') LOOP
    EXECUTE format('REVOKE ALL ON claims_servicemark FROM %I', named);
  END LOOP;
END $$;

CREATE FUNCTION isocenter_marks_asked(prints text[], mine text) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT m.fingerprint::text FROM claims_servicemark m WHERE m.fingerprint = ANY (prints::char(64)[]) AND m.holder <> mine
$$;

CREATE FUNCTION isocenter_marks_put(prints text[], claims text[], mine text) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  -- in one order, so that two who put at once wait for each other instead of locking crosswise
  INSERT INTO claims_servicemark (fingerprint, holder, claim)
    SELECT DISTINCT ON (p.fingerprint) p.fingerprint, mine, p.claim FROM unnest(prints, claims) AS p (fingerprint, claim) ORDER BY p.fingerprint
    ON CONFLICT (fingerprint) DO UPDATE SET claim = excluded.claim WHERE claims_servicemark.holder = excluded.holder;
  RETURN QUERY SELECT m.fingerprint::text FROM claims_servicemark m WHERE m.fingerprint = ANY (prints::char(64)[]) AND m.holder <> mine;
END $$;

CREATE FUNCTION isocenter_marks_free(claims text[], mine text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  DELETE FROM claims_servicemark m WHERE m.claim = ANY (claims::char(64)[]) AND m.holder = mine
$$;
"""
BACK = """
DROP FUNCTION isocenter_marks_free(text[], text);
DROP FUNCTION isocenter_marks_put(text[], text[], text);
DROP FUNCTION isocenter_marks_asked(text[], text);
DROP TABLE claims_servicemark;
"""


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("claims", "0002_finding_rule")]
    operations: ClassVar[list[migrations.operations.base.Operation]] = [
        migrations.RunSQL(FORWARD, BACK)
    ]
