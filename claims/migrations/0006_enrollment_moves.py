from django.db import migrations

# an enrollment belonged to nobody: it becomes one of each organization that bills or is read for by
# this NPI
MOVE = """
SELECT set_config('isocenter.orgs', coalesce((SELECT string_agg(id::text, ',') FROM accounts_organization), ''), true);
INSERT INTO network_networkspan (public_id, created_at, organization_id, kind, site_id, npi, payer_id, status,
       effective_from, effective_to, note, recorded_by, recorded_at, ended_by, withdrawn_by, withdrawn_reason)
SELECT gen_random_uuid(), now(), who.organization_id, who.kind, NULL, e.npi, e.payer_id, 'in',
       e.starts_on, e.until, '', 'Kept before', e.starts_on::timestamptz, '', '', ''
  FROM (SELECT npi, payer_id, starts_on,
               least(ends_on, lead(starts_on) OVER (PARTITION BY npi, payer_id ORDER BY starts_on) - 1) AS until
          FROM claims_enrollment) e
  JOIN (SELECT o.id AS organization_id, 'organization' AS kind, o.npi FROM accounts_organization o
        UNION
        SELECT r.organization_id, 'reader', p.npi FROM charges_reader r
          JOIN reference_provider p ON p.id = r.provider_id
          JOIN accounts_organization o ON o.id = r.organization_id AND o.npi <> p.npi) who
    ON who.npi = e.npi
 WHERE e.until IS NULL OR e.until >= e.starts_on;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("claims", "0005_paper_printer"),
        ("charges", "0008_charge_arrangement"),
        ("network", "0001_initial"),
    ]
    operations = [
        migrations.RunSQL(MOVE, migrations.RunSQL.noop),
        migrations.DeleteModel(name="Enrollment"),
    ]
