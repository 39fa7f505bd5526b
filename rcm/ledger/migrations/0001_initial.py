import django.db.models.deletion
import rcm.accounts.tenancy
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='LedgerTransaction',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('kind', models.CharField(max_length=40)),
                ('effect_key', models.CharField(max_length=200)),
                ('effective_on', models.DateField(help_text='Business date: deposit date, date of service, decision date')),
                ('description', models.CharField(max_length=200)),
                ('actor_name', models.CharField(max_length=120)),
                ('user_id', models.BigIntegerField(null=True)),
                ('source_type', models.CharField(blank=True, max_length=40)),
                ('source_id', models.BigIntegerField(null=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('reverses', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='reversed_by', to='ledger.ledgertransaction')),
            ],
            options={
                'indexes': [models.Index(fields=['organization', 'source_type', 'source_id'], name='ledger_source')],
                'constraints': [models.UniqueConstraint(fields=('organization', 'effect_key'), name='one_effect')],
            },
        ),
        migrations.CreateModel(
            name='Balance',
            fields=[
                ('charge_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('insurance', models.DecimalField(decimal_places=2, default=0, max_digits=12)),
                ('patient', models.DecimalField(decimal_places=2, default=0, max_digits=12)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(models.Q(('insurance', 0), _negated=True), models.Q(('patient', 0), _negated=True), _connector='OR'), fields=['organization'], include=('charge_id', 'insurance', 'patient'), name='balance_open')],
            },
        ),
        migrations.CreateModel(
            name='LedgerEntry',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('account', models.CharField(choices=[('ar_insurance', 'Receivable from insurance'), ('ar_patient', 'Receivable from patient'), ('revenue', 'Gross charges'), ('cash', 'Cash received'), ('contractual', 'Contractual adjustment'), ('sequestration', 'Sequestration and withhold'), ('denial_writeoff', 'Denial written off'), ('bad_debt', 'Bad debt'), ('small_balance', 'Small balance'), ('charity', 'Charity and courtesy'), ('other_adjustment', 'Other adjustment'), ('unapplied', 'Unapplied cash'), ('provider_level', 'Provider-level adjustments (PLB)'), ('interest', 'Interest income'), ('refund_payable', 'Refunds payable')], max_length=20)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=12)),
                ('effective_on', models.DateField()),
                ('charge_id', models.BigIntegerField(null=True)),
                ('claim_id', models.BigIntegerField(null=True)),
                ('patient_id', models.BigIntegerField(null=True)),
                ('payer_id', models.BigIntegerField(null=True)),
                ('remittance_id', models.BigIntegerField(null=True)),
                ('reason', models.CharField(blank=True, help_text='Group and reason code such as CO-45', max_length=12)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('transaction', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='ledger.ledgertransaction')),
            ],
            options={
                'indexes': [models.Index(fields=['transaction'], name='entry_transaction'), models.Index(fields=['charge_id', 'account'], include=('amount', 'effective_on'), name='entry_charge'), models.Index(fields=['claim_id', 'account'], include=('amount',), name='entry_claim'), models.Index(fields=['patient_id', 'account'], include=('amount',), name='entry_patient'), models.Index(fields=['organization', 'account', 'effective_on'], include=('amount',), name='entry_account'), models.Index(condition=models.Q(('remittance_id__isnull', False)), fields=['remittance_id'], name='entry_remittance')],
                'constraints': [models.CheckConstraint(condition=models.Q(('amount', 0), _negated=True), name='entry_not_zero')],
            },
        ),
    ]
