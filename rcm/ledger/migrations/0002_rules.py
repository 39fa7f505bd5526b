"""The ledger's rules in the database: zero sum (deferred), balances kept from entries by trigger,
one organization per transaction.
"""

from __future__ import annotations

from django.db import migrations

RULES = """
CREATE FUNCTION ledger_zero_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE total numeric; legs integer; orgs integer; scope text;
BEGIN
  -- at COMMIT the tenant scope is already put back, and row-level security would hide the legs: look with the row's own organization
  scope := coalesce(current_setting('isocenter.orgs', true), '');
  PERFORM set_config('isocenter.orgs', NEW.organization_id::text, true);
  SELECT coalesce(sum(amount), 0), count(*), count(DISTINCT organization_id) INTO total, legs, orgs
    FROM ledger_ledgerentry WHERE transaction_id = NEW.id;
  PERFORM set_config('isocenter.orgs', scope, true);
  IF total <> 0 OR legs < 2 OR orgs <> 1 THEN
    RAISE EXCEPTION 'ledger transaction % has % legs that sum to %', NEW.id, legs, total USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER zero_sum AFTER INSERT ON ledger_ledgertransaction
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_zero_sum();

-- a leg that comes later than its transaction's commit would slip past the check above: refuse it
CREATE FUNCTION ledger_entry_with_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE late integer;
BEGIN
  SELECT count(*) INTO late FROM new_entries e JOIN ledger_ledgertransaction t ON t.id = e.transaction_id
   WHERE NOT pg_current_xact_id_if_assigned()::text = t.xact_stamp OR t.organization_id <> e.organization_id;
  IF late > 0 THEN
    RAISE EXCEPTION 'entries are written with their transaction and in its organization' USING ERRCODE = 'restrict_violation';
  END IF;
  INSERT INTO ledger_balance (charge_id, organization_id, insurance, patient)
  SELECT charge_id, organization_id,
         coalesce(sum(amount) FILTER (WHERE account = 'ar_insurance'), 0),
         coalesce(sum(amount) FILTER (WHERE account = 'ar_patient'), 0)
    FROM new_entries WHERE charge_id IS NOT NULL AND account IN ('ar_insurance', 'ar_patient')
   GROUP BY charge_id, organization_id ORDER BY charge_id
  ON CONFLICT (charge_id) DO UPDATE
     SET insurance = ledger_balance.insurance + excluded.insurance, patient = ledger_balance.patient + excluded.patient;
  RETURN NULL;
END $$;
ALTER TABLE ledger_ledgertransaction ADD COLUMN xact_stamp text NOT NULL DEFAULT pg_current_xact_id()::text;
CREATE TRIGGER with_transaction AFTER INSERT ON ledger_ledgerentry REFERENCING NEW TABLE AS new_entries
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_entry_with_transaction();
"""

UNDO = """
DROP TRIGGER with_transaction ON ledger_ledgerentry;
DROP TRIGGER zero_sum ON ledger_ledgertransaction;
ALTER TABLE ledger_ledgertransaction DROP COLUMN xact_stamp;
DROP FUNCTION ledger_entry_with_transaction();
DROP FUNCTION ledger_zero_sum();
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]
    operations = [migrations.RunSQL(RULES, UNDO)]
