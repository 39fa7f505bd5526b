import django.db.models.deletion
import rcm.accounts.tenancy
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        ('reference', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Contract',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('name', models.CharField(max_length=80)),
                ('method', models.CharField(help_text='percent_of_medicare, percent_of_charge, flat, per_component, …', max_length=24)),
                ('terms', models.JSONField(default=dict)),
                ('effective_from', models.DateField()),
                ('effective_to', models.DateField(blank=True, null=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('payer', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='contracts', to='reference.payer')),
                ('plan', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='reference.plan')),
                ('site', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='accounts.site')),
            ],
            options={
                'indexes': [models.Index(fields=['organization', 'payer', 'effective_from'], name='contract_payer')],
            },
        ),
        migrations.CreateModel(
            name='FeeRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('effective_from', models.DateField()),
                ('effective_to', models.DateField(blank=True, null=True)),
                ('schedule', models.CharField(default='mpfs', max_length=20)),
                ('year', models.IntegerField()),
                ('code', models.CharField(max_length=5)),
                ('mod', models.CharField(blank=True, max_length=2)),
                ('status', models.CharField(blank=True, max_length=1)),
                ('work', models.DecimalField(decimal_places=4, max_digits=8, null=True)),
                ('pe_nonfac', models.DecimalField(decimal_places=4, max_digits=8, null=True)),
                ('pe_fac', models.DecimalField(decimal_places=4, max_digits=8, null=True)),
                ('mp', models.DecimalField(decimal_places=4, max_digits=8, null=True)),
                ('nonfac_na', models.BooleanField(default=False)),
                ('fac_na', models.BooleanField(default=False)),
                ('pctc', models.CharField(blank=True, max_length=1)),
                ('mult_proc', models.CharField(blank=True, max_length=1)),
                ('bilat', models.CharField(blank=True, max_length=1)),
                ('family', models.CharField(blank=True, max_length=2)),
                ('supervision', models.CharField(blank=True, max_length=2)),
                ('opps_cap_pe', models.DecimalField(decimal_places=4, max_digits=8, null=True)),
                ('opps_cap_mp', models.DecimalField(decimal_places=4, max_digits=8, null=True)),
                ('conversion_factor', models.DecimalField(decimal_places=4, max_digits=9, null=True)),
                ('global_only', models.BooleanField(default=False, help_text='Only the global row of this year is known')),
                ('load', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='reference.referenceload')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('schedule', 'year', 'code', 'mod', 'effective_from'), name='one_fee_row')],
            },
        ),
        migrations.CreateModel(
            name='Gpci',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('effective_from', models.DateField()),
                ('effective_to', models.DateField(blank=True, null=True)),
                ('year', models.IntegerField()),
                ('carrier', models.CharField(max_length=5)),
                ('locality', models.CharField(max_length=2)),
                ('name', models.CharField(blank=True, max_length=80)),
                ('state', models.CharField(blank=True, max_length=2)),
                ('work', models.DecimalField(decimal_places=3, max_digits=6)),
                ('pe', models.DecimalField(decimal_places=3, max_digits=6)),
                ('mp', models.DecimalField(decimal_places=3, max_digits=6)),
                ('load', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='reference.referenceload')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('year', 'carrier', 'locality', 'effective_from'), name='one_gpci')],
            },
        ),
        migrations.CreateModel(
            name='ListPrice',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('code', models.CharField(max_length=5)),
                ('mod', models.CharField(blank=True, max_length=2)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=12)),
                ('effective_from', models.DateField()),
                ('effective_to', models.DateField(blank=True, null=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'code', 'mod', 'effective_from'), name='one_list_price')],
            },
        ),
        migrations.CreateModel(
            name='NetworkStatus',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('status', models.CharField(choices=[('in', 'In network'), ('out', 'Out of network'), ('pending', 'Pending')], max_length=8)),
                ('effective_from', models.DateField()),
                ('effective_to', models.DateField(blank=True, null=True)),
                ('payer', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='networks', to='reference.payer')),
                ('site', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='networks', to='accounts.site')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('site', 'payer', 'effective_from'), name='one_network')],
            },
        ),
        migrations.CreateModel(
            name='OppsCap',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('effective_from', models.DateField()),
                ('effective_to', models.DateField(blank=True, null=True)),
                ('code', models.CharField(max_length=5)),
                ('mod', models.CharField(blank=True, max_length=2)),
                ('carrier', models.CharField(max_length=5)),
                ('locality', models.CharField(max_length=2)),
                ('nonfac', models.DecimalField(decimal_places=2, max_digits=10)),
                ('fac', models.DecimalField(decimal_places=2, max_digits=10, null=True)),
                ('load', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='reference.referenceload')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('code', 'mod', 'carrier', 'locality', 'effective_from'), name='one_cap')],
            },
        ),
        migrations.CreateModel(
            name='ZipLocality',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('effective_from', models.DateField()),
                ('effective_to', models.DateField(blank=True, null=True)),
                ('zip5', models.CharField(max_length=5)),
                ('plus4', models.CharField(blank=True, max_length=4)),
                ('carrier', models.CharField(max_length=5)),
                ('locality', models.CharField(max_length=2)),
                ('state', models.CharField(blank=True, max_length=2)),
                ('load', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='reference.referenceload')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('zip5', 'plus4', 'effective_from'), name='one_zip')],
            },
        ),
        migrations.CreateModel(
            name='ContractRate',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('code', models.CharField(blank=True, max_length=5)),
                ('modality', models.CharField(blank=True, max_length=6)),
                ('mod', models.CharField(blank=True, help_text="Part of the test: 26, TC, global; blank by the method's rule", max_length=6)),
                ('modifier', models.CharField(blank=True, help_text='Only for lines that carry this modifier', max_length=2)),
                ('method', models.CharField(max_length=24)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=12, null=True)),
                ('percent', models.DecimalField(decimal_places=3, max_digits=7, null=True)),
                ('medicare_year', models.IntegerField(help_text='Fee schedule year that a percent-of-Medicare rate is pinned to', null=True)),
                ('carve_out', models.BooleanField(default=False, help_text='Paid as written: no reduction, no lesser-of')),
                ('effective_from', models.DateField()),
                ('effective_to', models.DateField(blank=True, null=True)),
                ('contract', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rates', to='pricing.contract')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('contract', 'code', 'modality', 'mod', 'modifier', 'effective_from'), name='one_contract_rate')],
            },
        ),
    ]
