import django.contrib.postgres.indexes
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
            name='Access',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('patient_id', models.BigIntegerField()),
                ('actor_name', models.CharField(max_length=120)),
                ('actor_kind', models.CharField(max_length=10)),
                ('user_id', models.BigIntegerField(null=True)),
                ('purpose', models.CharField(help_text='What was read: route name or export', max_length=60)),
                ('request_id', models.CharField(blank=True, max_length=80)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'indexes': [models.Index(fields=['organization', 'patient_id', '-id'], name='access_patient')],
            },
        ),
        migrations.CreateModel(
            name='Change',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('table_name', models.CharField(max_length=63)),
                ('row_id', models.BigIntegerField()),
                ('op', models.CharField(max_length=1)),
                ('before', models.JSONField(null=True)),
                ('after', models.JSONField(null=True)),
                ('actor', models.CharField(max_length=200)),
                ('request_id', models.CharField(max_length=80)),
                ('at', models.DateTimeField()),
                ('organization', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.organization')),
            ],
            options={
                'indexes': [models.Index(fields=['table_name', 'row_id'], name='change_row'), django.contrib.postgres.indexes.BrinIndex(fields=['at'], name='change_at')],
            },
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('at', models.DateTimeField()),
                ('verb', models.CharField(help_text='Stable dotted name such as claim.submitted', max_length=60)),
                ('sentence', models.CharField(max_length=300)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('old_status', models.CharField(blank=True, max_length=30)),
                ('new_status', models.CharField(blank=True, max_length=30)),
                ('actor_name', models.CharField(max_length=120)),
                ('actor_kind', models.CharField(max_length=10)),
                ('user_id', models.BigIntegerField(null=True)),
                ('patient_id', models.BigIntegerField(null=True)),
                ('ordered_exam_id', models.BigIntegerField(null=True)),
                ('authorization_id', models.BigIntegerField(null=True)),
                ('exam_id', models.BigIntegerField(null=True)),
                ('claim_id', models.BigIntegerField(null=True)),
                ('denial_id', models.BigIntegerField(null=True)),
                ('work_item_id', models.BigIntegerField(null=True)),
                ('interchange_id', models.BigIntegerField(null=True)),
                ('remittance_id', models.BigIntegerField(null=True)),
                ('data', models.JSONField(default=dict)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('patient_id__isnull', False)), fields=['patient_id', 'at'], name='event_patient'), models.Index(condition=models.Q(('ordered_exam_id__isnull', False)), fields=['ordered_exam_id', 'at'], name='event_ordered_exam'), models.Index(condition=models.Q(('authorization_id__isnull', False)), fields=['authorization_id', 'at'], name='event_authorization'), models.Index(condition=models.Q(('exam_id__isnull', False)), fields=['exam_id', 'at'], name='event_exam'), models.Index(condition=models.Q(('claim_id__isnull', False)), fields=['claim_id', 'at'], name='event_claim'), models.Index(condition=models.Q(('denial_id__isnull', False)), fields=['denial_id', 'at'], name='event_denial'), models.Index(condition=models.Q(('work_item_id__isnull', False)), fields=['work_item_id', 'at'], name='event_work_item'), models.Index(condition=models.Q(('interchange_id__isnull', False)), fields=['interchange_id', 'at'], name='event_interchange'), models.Index(condition=models.Q(('remittance_id__isnull', False)), fields=['remittance_id', 'at'], name='event_remittance'), models.Index(fields=['organization', 'verb', 'at'], name='event_verb')],
            },
        ),
    ]
