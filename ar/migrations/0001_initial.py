import django.db.models.deletion
import rcm.accounts.tenancy
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        ('accounts', '__first__'),
        ('charges', '0001_initial'),
        ('claims', '0001_initial'),
        ('intake', '0001_initial'),
        ('ledger', '0001_initial'),
        ('reference', '0001_initial'),
        ('worklist', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AgingSnapshot',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('day', models.DateField()),
                ('basis', models.CharField(help_text='service or billed', max_length=7)),
                ('bucket', models.CharField(help_text='0-30, 31-60, 61-90, 91-120, 121+, unbilled', max_length=8)),
                ('insurance', models.DecimalField(decimal_places=2, max_digits=14)),
                ('patient', models.DecimalField(decimal_places=2, max_digits=14)),
                ('lines', models.IntegerField()),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('payer', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='reference.payer')),
                ('site', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.site')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'day', 'basis', 'payer', 'site', 'bucket'), name='one_aging_cell', nulls_distinct=False)],
            },
        ),
        migrations.CreateModel(
            name='KpiSnapshot',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('day', models.DateField()),
                ('kpi', models.CharField(max_length=30)),
                ('definition', models.SmallIntegerField(default=1, help_text='Version of the formula')),
                ('numerator', models.DecimalField(decimal_places=2, max_digits=16)),
                ('denominator', models.DecimalField(decimal_places=2, max_digits=16)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('payer', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='reference.payer')),
                ('site', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.site')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'day', 'kpi', 'site', 'payer'), name='one_kpi_cell', nulls_distinct=False)],
            },
        ),
        migrations.CreateModel(
            name='PatientPayment',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('receipt', models.CharField(max_length=20)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=12)),
                ('method', models.CharField(help_text='card, cash, check', max_length=10)),
                ('received_on', models.DateField()),
                ('note', models.CharField(blank=True, max_length=120)),
                ('voided_at', models.DateTimeField(null=True)),
                ('void_reason', models.CharField(blank=True, max_length=120)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('patient', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payments', to='intake.patient')),
                ('transaction', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ledger.ledgertransaction')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'receipt'), name='one_receipt'), models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='payment_positive')],
            },
        ),
        migrations.CreateModel(
            name='PaymentPlan',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('total', models.DecimalField(decimal_places=2, max_digits=12)),
                ('instalment', models.DecimalField(decimal_places=2, max_digits=12)),
                ('starts_on', models.DateField(help_text='First instalment; the next fall on the same day of each month')),
                ('grace_days', models.SmallIntegerField(default=10)),
                ('misses_allowed', models.SmallIntegerField(default=2)),
                ('status', models.CharField(choices=[('active', 'Active'), ('done', 'Paid'), ('default', 'Broken'), ('cancelled', 'Cancelled')], default='active', max_length=9)),
                ('actor_name', models.CharField(max_length=120)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('patient', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='plans', to='intake.patient')),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'active')), fields=('patient',), name='one_active_plan'), models.CheckConstraint(condition=models.Q(('instalment__gt', 0), ('total__gte', models.F('instalment'))), name='plan_amounts')],
            },
        ),
        migrations.CreateModel(
            name='ReceivablePolicy',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('small_balance', models.DecimalField(decimal_places=2, help_text='Written off by rule after the statement cycle', max_digits=8)),
                ('statement_days', models.JSONField(help_text='Days after the first statement: [0, 30, 60, 90]; the last is the final notice')),
                ('collection_days', models.IntegerField(help_text='Not before so many days after the first statement')),
                ('refund_days_federal', models.IntegerField(help_text='Medicare and Medicaid credits, from identification')),
                ('refund_days_other', models.IntegerField()),
                ('followup_grace_days', models.IntegerField(help_text="Past the payer's usual response days")),
                ('prepayment_days', models.IntegerField(help_text='Money on account without a balance this old is a credit')),
                ('effective_from', models.DateField()),
                ('effective_to', models.DateField(null=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'effective_from'), name='one_receivable_policy')],
            },
        ),
        migrations.CreateModel(
            name='Refund',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('to', models.CharField(help_text='patient or payer', max_length=8)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=12)),
                ('cause', models.CharField(max_length=30)),
                ('identified_on', models.DateField()),
                ('due_on', models.DateField()),
                ('status', models.CharField(choices=[('requested', 'Waits for approval'), ('approved', 'Approved and posted'), ('refused', 'Refused')], default='requested', max_length=9)),
                ('decided_at', models.DateTimeField(null=True)),
                ('decision_note', models.CharField(blank=True, max_length=300)),
                ('issued_on', models.DateField(help_text='When the money left', null=True)),
                ('issue_reference', models.CharField(blank=True, help_text='Check or transfer number', max_length=40)),
                ('charge', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='charges.charge')),
                ('decided_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('patient', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='intake.patient')),
                ('payer', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='reference.payer')),
                ('requested_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('transaction', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ledger.ledgertransaction')),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'requested')), fields=('charge',), name='one_open_refund'), models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='refund_positive'), models.CheckConstraint(condition=models.Q(('decided_by__isnull', True), ('requested_by__isnull', True), models.Q(('decided_by', models.F('requested_by')), _negated=True), ('status', 'refused'), _connector='OR'), name='refund_maker_is_not_checker')],
            },
        ),
        migrations.CreateModel(
            name='Statement',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('number', models.CharField(max_length=20)),
                ('step', models.SmallIntegerField(default=1, help_text='1, 2, 3, 4 final notice')),
                ('balance', models.DecimalField(decimal_places=2, max_digits=12)),
                ('lines', models.JSONField(default=list)),
                ('pdf', models.BinaryField(null=True)),
                ('sent_on', models.DateField()),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('patient', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='statements', to='intake.patient')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'number'), name='one_statement')],
            },
        ),
        migrations.CreateModel(
            name='WriteOffRequest',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('reason', models.CharField(help_text='small_balance, timely, bad_debt, charity, courtesy, denial, admin', max_length=24)),
                ('account', models.CharField(help_text='The receivable it takes down: ar_insurance or ar_patient', max_length=20)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=12)),
                ('note', models.CharField(max_length=300)),
                ('status', models.CharField(choices=[('requested', 'Waits for approval'), ('approved', 'Approved and posted'), ('refused', 'Refused')], default='requested', max_length=9)),
                ('requested_at', models.DateTimeField()),
                ('decided_at', models.DateTimeField(null=True)),
                ('decision_note', models.CharField(blank=True, max_length=300)),
                ('charge', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='write_offs', to='charges.charge')),
                ('claim', models.ForeignKey(help_text='Null: self-pay', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='write_offs', to='claims.claim')),
                ('contact', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='worklist.interaction')),
                ('decided_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('requested_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('transaction', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ledger.ledgertransaction')),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'requested')), fields=('charge', 'account'), name='one_open_write_off'), models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='write_off_positive'), models.CheckConstraint(condition=models.Q(('decided_by__isnull', True), ('requested_by__isnull', True), models.Q(('decided_by', models.F('requested_by')), _negated=True), ('status', 'refused'), _connector='OR'), name='maker_is_not_checker')],
            },
        ),
    ]
