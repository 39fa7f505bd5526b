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
            name='Connection',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('kind', models.CharField(choices=[('mllp', 'HL7 over MLLP'), ('dicom', 'DICOM MPPS'), ('http', 'HTTP (CORE-style)'), ('upload', 'Upload by a person'), ('api', 'REST API')], max_length=10)),
                ('name', models.CharField(max_length=80)),
                ('sender', models.CharField(blank=True, max_length=60)),
                ('url', models.CharField(blank=True, max_length=300)),
                ('config', models.JSONField(default=dict)),
                ('active', models.BooleanField(default=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('sender', ''), _negated=True), fields=('kind', 'sender'), name='one_sender')],
            },
        ),
        migrations.CreateModel(
            name='ControlCounter',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('kind', models.CharField(max_length=20)),
                ('value', models.BigIntegerField(default=0)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'kind'), name='one_counter')],
            },
        ),
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('client', models.CharField(max_length=120)),
                ('key', models.CharField(max_length=255)),
                ('fingerprint', models.CharField(max_length=64)),
                ('status', models.IntegerField(null=True)),
                ('body', models.JSONField(null=True)),
                ('locked_at', models.DateTimeField()),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'client', 'key'), name='one_key')],
            },
        ),
        migrations.CreateModel(
            name='Outbox',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('topic', models.CharField(help_text='Domain event such as exam.completed', max_length=60)),
                ('subscriber', models.CharField(max_length=80)),
                ('queue', models.CharField(choices=[('realtime', 'Realtime'), ('batch', 'Batch'), ('posting', 'Posting')], default='batch', max_length=10)),
                ('payload', models.JSONField(default=dict, help_text='Ids only')),
                ('due_at', models.DateTimeField()),
                ('attempts', models.IntegerField(default=0)),
                ('delivered_at', models.DateTimeField(null=True)),
                ('parked_at', models.DateTimeField(null=True)),
                ('error', models.CharField(blank=True, max_length=300)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('delivered_at__isnull', True), ('parked_at__isnull', True)), fields=['organization', 'queue', 'subscriber', 'id'], name='outbox_open'), models.Index(condition=models.Q(('parked_at__isnull', False)), fields=['organization', '-id'], name='outbox_parked'), models.Index(condition=models.Q(('delivered_at__isnull', False)), fields=['delivered_at'], name='outbox_done')],
            },
        ),
        migrations.CreateModel(
            name='Interchange',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('direction', models.CharField(choices=[('in', 'In'), ('out', 'Out')], max_length=3)),
                ('kind', models.CharField(help_text='ADT, ORM, ORU, MPPS, 837P, 999, 835 …', max_length=20)),
                ('content', models.BinaryField()),
                ('sha256', models.CharField(max_length=64)),
                ('size', models.IntegerField()),
                ('media_type', models.CharField(default='application/octet-stream', max_length=60)),
                ('file_name', models.CharField(blank=True, max_length=200)),
                ('control_number', models.CharField(blank=True, help_text='MSH-3+MSH-10, ISA13, or SOP instance UID', max_length=80)),
                ('ordering_key', models.CharField(blank=True, help_text='Messages of one key are processed in order (accession)', max_length=80)),
                ('status', models.CharField(choices=[('stored', 'Stored'), ('processed', 'Processed'), ('quarantined', 'Quarantined'), ('failed', 'Failed'), ('refused', 'Refused'), ('sending', 'Sending'), ('sent', 'Sent')], default='stored', max_length=12)),
                ('error', models.CharField(blank=True, max_length=500)),
                ('deliveries', models.IntegerField(default=1)),
                ('queue', models.CharField(choices=[('realtime', 'Realtime'), ('batch', 'Batch'), ('posting', 'Posting')], default='batch', max_length=10)),
                ('attempts', models.IntegerField(default=0)),
                ('due_at', models.DateTimeField(help_text='Next try, once one was made; empty when none was made since it was stored', null=True)),
                ('processed_at', models.DateTimeField(null=True)),
                ('received_at', models.DateTimeField(help_text='Business time of arrival or departure')),
                ('summary', models.JSONField(default=dict, help_text='Counts and totals shown in the browser; no patient values')),
                ('answer_to', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='answers', to='exchange.interchange')),
                ('connection', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='interchanges', to='exchange.connection')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'indexes': [models.Index(fields=['organization', '-id'], name='interchange_recent'), models.Index(fields=['organization', 'kind', '-id'], name='interchange_kind'), models.Index(fields=['organization', 'kind', 'control_number'], name='interchange_control'), models.Index(condition=models.Q(('status__in', ['stored', 'sending'])), fields=['organization', 'queue', 'id'], name='interchange_waiting'), models.Index(condition=models.Q(('status', 'stored')), fields=['organization', 'ordering_key', 'id'], name='interchange_order'), models.Index(fields=['organization', 'status', '-id'], name='interchange_status'), models.Index(fields=['connection', 'direction', '-id'], name='interchange_partner')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('direction', 'in')), fields=('organization', 'direction', 'kind', 'sha256'), name='same_bytes_once')],
            },
        ),
    ]
