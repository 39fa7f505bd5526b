import django.db.models.deletion
import rcm.accounts.tenancy
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        ('exchange', '0001_initial'),
        ('intake', '0001_initial'),
        ('reference', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Authorization',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('number', models.CharField(blank=True, max_length=50)),
                ('status', models.CharField(choices=[('draft', 'To request'), ('requested', 'Requested'), ('pended', 'Pended by payer'), ('approved', 'Approved'), ('partial', 'Partly approved'), ('modified', 'Approved with changes'), ('denied', 'Denied'), ('cancelled', 'Cancelled'), ('expired', 'Expired'), ('not_required', 'Not required')], default='draft', max_length=12)),
                ('kind', models.CharField(default='initial', help_text='initial, retro, extension, update', max_length=10)),
                ('member_id', models.CharField(max_length=30)),
                ('diagnoses', models.JSONField(default=list)),
                ('effective_from', models.DateField(null=True)),
                ('effective_to', models.DateField(null=True)),
                ('ordering_npi', models.CharField(blank=True, max_length=10)),
                ('rendering_npi', models.CharField(blank=True, max_length=10)),
                ('facility_npi', models.CharField(blank=True, max_length=10)),
                ('facility_tin', models.CharField(blank=True, max_length=9)),
                ('reviewer', models.CharField(blank=True, max_length=40)),
                ('evidence', models.JSONField(default=dict, help_text='Rule, 271 flag or call that says required or not, with its source')),
                ('reference', models.CharField(blank=True, help_text='Call or portal reference', max_length=60)),
                ('contact', models.CharField(blank=True, max_length=60)),
                ('denial_reason', models.CharField(blank=True, max_length=200)),
                ('requested_at', models.DateTimeField(null=True)),
                ('decided_at', models.DateTimeField(null=True)),
                ('decision_due_at', models.DateTimeField(null=True)),
                ('peer_to_peer_by', models.DateField(null=True)),
                ('version', models.IntegerField(default=0)),
                ('appointment', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='authorizations', to='intake.appointment')),
                ('coverage', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='authorizations', to='intake.coverage')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('patient', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='authorizations', to='intake.patient')),
                ('payer', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='reference.payer')),
                ('site', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.site')),
            ],
            options={
                'indexes': [models.Index(fields=['organization', 'status', 'id'], name='auth_status'), models.Index(fields=['organization', 'number'], name='auth_number')],
            },
        ),
        migrations.CreateModel(
            name='AuthRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('payer_kind', models.CharField(blank=True, max_length=14)),
                ('state', models.CharField(blank=True, max_length=2)),
                ('code', models.CharField(blank=True, max_length=5)),
                ('modality', models.CharField(blank=True, max_length=6)),
                ('pos', models.CharField(blank=True, max_length=2)),
                ('required', models.BooleanField()),
                ('reviewer', models.CharField(blank=True, max_length=40)),
                ('source', models.CharField(max_length=200)),
                ('effective_from', models.DateField()),
                ('effective_to', models.DateField(null=True)),
                ('payer', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='auth_rules', to='reference.payer')),
                ('plan', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='reference.plan')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('payer', 'plan', 'payer_kind', 'state', 'code', 'modality', 'pos', 'effective_from'), name='one_auth_rule', nulls_distinct=False)],
            },
        ),
        migrations.CreateModel(
            name='Crosswalk',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('authorized', models.CharField(max_length=5)),
                ('performed', models.CharField(max_length=5)),
                ('verdict', models.CharField(help_text='covered, update, new', max_length=20)),
                ('source', models.CharField(max_length=200)),
                ('effective_from', models.DateField()),
                ('effective_to', models.DateField(null=True)),
                ('payer', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='crosswalks', to='reference.payer')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='AuthorizedService',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('code', models.CharField(max_length=5)),
                ('laterality', models.CharField(blank=True, max_length=2)),
                ('units', models.SmallIntegerField(default=1)),
                ('used', models.SmallIntegerField(default=0)),
                ('status', models.CharField(default='requested', max_length=12)),
                ('authorization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='services', to='authorizations.authorization')),
                ('ordered_exam', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='authorized', to='intake.orderedexam')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('units__gt', 0)), name='auth_units_positive')],
            },
        ),
        migrations.CreateModel(
            name='AuthRequest',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('channel', models.CharField(default='278', help_text='278, portal, phone, fhir', max_length=8)),
                ('trace', models.CharField(max_length=50)),
                ('action', models.CharField(blank=True, help_text='HCR01 of the answer', max_length=3)),
                ('reason', models.CharField(blank=True, max_length=200)),
                ('asked_at', models.DateTimeField()),
                ('answered_at', models.DateTimeField(null=True)),
                ('authorization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='requests', to='authorizations.authorization')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('request', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='exchange.interchange')),
                ('response', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='exchange.interchange')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'trace'), name='one_278_trace')],
            },
        ),
        migrations.CreateModel(
            name='AuthorizationUse',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('exam_id', models.BigIntegerField()),
                ('units', models.SmallIntegerField()),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('service', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='uses', to='authorizations.authorizedservice')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('service', 'exam_id'), name='one_use')],
            },
        ),
    ]
