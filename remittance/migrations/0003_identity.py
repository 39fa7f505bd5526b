"""Payments told apart by more than their number, whose they are, and what holds them; a reversed one
may be taken up again, with its money unapplied meanwhile.
"""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

TIES = """
CREATE OR REPLACE FUNCTION remittance_ties() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE cash numeric; held numeric; waiting integer; scope text; current text;
BEGIN
  -- at COMMIT the tenant scope is already put back, and row-level security would hide the legs: look
  -- with the row's own organization
  scope := coalesce(current_setting('isocenter.orgs', true), '');
  PERFORM set_config('isocenter.orgs', NEW.organization_id::text, true);
  SELECT coalesce(sum(amount) FILTER (WHERE account = 'cash'), 0),
         coalesce(sum(amount) FILTER (WHERE account = 'unapplied'), 0)
    INTO cash, held FROM ledger_ledgerentry WHERE remittance_id = NEW.id;
  SELECT status INTO current FROM remittance_remittance WHERE id = NEW.id;
  SELECT count(*) INTO waiting FROM remittance_claimpayment
   WHERE remittance_id = NEW.id AND state = 'matched';
  PERFORM set_config('isocenter.orgs', scope, true);
  IF current = 'posted' AND (cash <> NEW.amount OR waiting > 0) THEN
    RAISE EXCEPTION 'remittance % says %, the ledger has %, % claims wait',
      NEW.id, NEW.amount, cash, waiting USING ERRCODE = 'check_violation';
  END IF;
  -- the money of a reversed remittance is gone, or lies whole in unapplied cash
  IF current = 'reversed' AND (cash + held <> 0 OR cash NOT IN (0, NEW.amount)) THEN
    RAISE EXCEPTION 'remittance % is reversed but % of its money still stands in the ledger',
      NEW.id, cash USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial"), ("remittance", "0002_rules")]
    operations = [
        migrations.RemoveConstraint(
            model_name='denial',
            name='one_denial',
        ),
        migrations.AddField(
            model_name='remittance',
            name='attempt',
            field=models.SmallIntegerField(default=1, help_text='Grows when a reversed remittance is taken up again'),
        ),
        migrations.AddField(
            model_name='remittance',
            name='claims_key',
            field=models.CharField(blank=True, help_text='Digest of the claim numbers alone', max_length=64),
        ),
        migrations.AddField(
            model_name='remittance',
            name='dated_by',
            field=models.CharField(blank=True, help_text='Who gave the date of a payment that named none', max_length=120),
        ),
        migrations.AddField(
            model_name='remittance',
            name='held_for',
            field=models.CharField(blank=True, choices=[('balance', 'Does not balance'), ('version', 'Version not in force'), ('payee', 'Not paid to us'), ('date', 'No payment date')], max_length=8),
        ),
        migrations.AddField(
            model_name='remittance',
            name='identity',
            field=models.CharField(blank=True, help_text='Digest of trace, payer, date, amount and claims', max_length=64),
        ),
        migrations.AddField(
            model_name='remittance',
            name='payee_name',
            field=models.CharField(blank=True, help_text='N1*PE as received', max_length=60),
        ),
        migrations.AddField(
            model_name='remittance',
            name='payee_npi',
            field=models.CharField(blank=True, max_length=10),
        ),
        migrations.AddField(
            model_name='remittance',
            name='payee_tin',
            field=models.CharField(blank=True, max_length=10),
        ),
        migrations.AddField(
            model_name='remittance',
            name='resembles',
            field=models.ForeignKey(help_text='Another payment under the same number and day about a claim of this one', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='resembled_by', to='remittance.remittance'),
        ),
        migrations.AlterField(
            model_name='remittance',
            name='occurrence',
            field=models.SmallIntegerField(default=1, help_text='Which of the different payments under one TRN02 and TRN03'),
        ),
        migrations.AlterField(
            model_name='remittance',
            name='status',
            field=models.CharField(choices=[('quarantined', 'Held'), ('ready', 'Ready to post'), ('posting', 'Posting'), ('posted', 'Posted'), ('reversed', 'Reversed')], default='ready', max_length=12),
        ),
        migrations.AddConstraint(
            model_name='denial',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'withdrawn'), _negated=True), fields=('payment', 'line', 'service', 'reason'), name='one_denial', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='remittance',
            constraint=models.UniqueConstraint(condition=models.Q(models.Q(('identity', ''), _negated=True), models.Q(('status', 'quarantined'), _negated=True)), fields=('organization', 'identity'), name='one_payment'),
        ),
        migrations.RunSQL(TIES, migrations.RunSQL.noop),
    ]
