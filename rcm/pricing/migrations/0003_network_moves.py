from django.db import migrations

# every row becomes a span of its own organization; one that a later one overtook ends before it
MOVE = """
INSERT INTO network_networkspan (public_id, created_at, organization_id, kind, site_id, npi, payer_id, status,
       effective_from, effective_to, note, recorded_by, recorded_at, ended_by, withdrawn_by, withdrawn_reason)
SELECT gen_random_uuid(), now(), s.organization_id, 'site', n.site_id, '', n.payer_id, n.status,
       n.effective_from, n.until, '', 'Kept before', n.effective_from::timestamptz, '', '', ''
  FROM (SELECT site_id, payer_id, status, effective_from,
               least(effective_to, lead(effective_from) OVER (PARTITION BY site_id, payer_id ORDER BY effective_from) - 1) AS until
          FROM pricing_networkstatus) n
  JOIN accounts_site s ON s.id = n.site_id
 WHERE n.until IS NULL OR n.until >= n.effective_from;
"""


class Migration(migrations.Migration):
    dependencies = [("pricing", "0002_counties_of_localities"), ("network", "0001_initial")]
    operations = [
        migrations.RunSQL(MOVE, migrations.RunSQL.noop),
        migrations.DeleteModel(name="NetworkStatus"),
    ]
