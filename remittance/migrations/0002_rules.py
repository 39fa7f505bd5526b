"""The tie in the database (invariant 3): a remittance is posted only when every cent of its check stands in the ledger.

Checked at COMMIT, so that posting may be one transaction or the last of many: the cash legs that carry the remittance sum to BPR02, and
no claim of it is still waiting.
"""

from __future__ import annotations

from django.db import migrations

RULES = """
CREATE FUNCTION remittance_ties() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE cash numeric; waiting integer; scope text; current text;
BEGIN
  -- at COMMIT the tenant scope is already put back, and row-level security would hide the legs: look with the row's own organization
  scope := coalesce(current_setting('isocenter.orgs', true), '');
  PERFORM set_config('isocenter.orgs', NEW.organization_id::text, true);
  SELECT coalesce(sum(amount), 0) INTO cash FROM ledger_ledgerentry WHERE remittance_id = NEW.id AND account = 'cash';
  SELECT status INTO current FROM remittance_remittance WHERE id = NEW.id;
  SELECT count(*) INTO waiting FROM remittance_claimpayment WHERE remittance_id = NEW.id AND state = 'matched';
  PERFORM set_config('isocenter.orgs', scope, true);
  IF current = 'posted' AND (cash <> NEW.amount OR waiting > 0) THEN
    RAISE EXCEPTION 'remittance % says %, the ledger has %, % claims wait', NEW.id, NEW.amount, cash, waiting USING ERRCODE = 'check_violation';
  END IF;
  IF current = 'reversed' AND cash <> 0 THEN
    RAISE EXCEPTION 'remittance % is reversed but % of its money still stands in the ledger', NEW.id, cash USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ties AFTER INSERT OR UPDATE OF status ON remittance_remittance
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.status IN ('posted', 'reversed')) EXECUTE FUNCTION remittance_ties();
"""

UNDO = """
DROP TRIGGER ties ON remittance_remittance;
DROP FUNCTION remittance_ties();
"""


class Migration(migrations.Migration):
    dependencies = [("remittance", "0001_initial"), ("ledger", "0002_rules")]
    operations = [migrations.RunSQL(RULES, UNDO)]
