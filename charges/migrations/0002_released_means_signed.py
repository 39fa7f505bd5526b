"""Invariant 5 in the database: no whole test and no reading leaves before its exam's last report
is final and signed.
"""

from __future__ import annotations

from django.db import migrations

PUT_ON = """
CREATE OR REPLACE FUNCTION charges_released_means_signed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  last_status text;
BEGIN
  SELECT r.status INTO last_status FROM charges_report r WHERE r.exam_id = NEW.exam_id ORDER BY r.version DESC LIMIT 1;
  IF last_status IS NULL OR last_status NOT IN ('F', 'C') THEN
    RAISE EXCEPTION 'charge % of exam % needs a final signed report before it is released', NEW.id, NEW.exam_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'released_means_signed', TABLE = 'charges_charge';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER released_means_signed
  AFTER INSERT OR UPDATE OF status, component, exam_id ON charges_charge
  DEFERRABLE INITIALLY IMMEDIATE
  FOR EACH ROW WHEN (NEW.component IN ('', '26') AND NEW.status IN ('released', 'billed', 'self_pay'))
  EXECUTE FUNCTION charges_released_means_signed();
"""

TAKE_OFF = """
DROP TRIGGER IF EXISTS released_means_signed ON charges_charge;
DROP FUNCTION IF EXISTS charges_released_means_signed();
"""


class Migration(migrations.Migration):
    dependencies = [("charges", "0001_initial")]
    operations = [migrations.RunSQL(PUT_ON, TAKE_OFF)]
