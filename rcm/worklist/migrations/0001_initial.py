import datetime
import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.comparison
import rcm.accounts.tenancy
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        ('accounts', '__first__'),
    ]

    operations = [
        migrations.CreateModel(
            name='WorkItem',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('queue', models.CharField(max_length=40)),
                ('subject_type', models.CharField(max_length=30)),
                ('subject_id', models.BigIntegerField()),
                ('cause', models.CharField(max_length=60)),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=60), default=list, size=None)),
                ('title', models.CharField(help_text='Why it stopped, in one sentence', max_length=200)),
                ('fix', models.CharField(blank=True, help_text='What to do', max_length=200)),
                ('status', models.CharField(choices=[('open', 'Open'), ('pended', 'Pended'), ('done', 'Done'), ('closed', 'Closed by itself')], default='open', max_length=8)),
                ('patient_id', models.BigIntegerField(null=True)),
                ('patient_name', models.CharField(blank=True, max_length=120)),
                ('exam_id', models.BigIntegerField(null=True)),
                ('claim_id', models.BigIntegerField(null=True)),
                ('payer_id', models.BigIntegerField(null=True)),
                ('payer_name', models.CharField(blank=True, max_length=80)),
                ('dollars', models.DecimalField(decimal_places=2, default=0, max_digits=12)),
                ('due_at', models.DateTimeField(help_text='When somebody must have acted')),
                ('deadline_on', models.DateField(help_text='The outer limit: filing, appeal, retro-authorization', null=True)),
                ('score', models.DecimalField(decimal_places=2, default=0, max_digits=12)),
                ('lease_until', models.DateTimeField(null=True)),
                ('lease_token', models.IntegerField(default=0)),
                ('pend_until', models.DateField(null=True)),
                ('next_action', models.CharField(blank=True, max_length=120)),
                ('next_action_on', models.DateField(null=True)),
                ('escalated_at', models.DateTimeField(null=True)),
                ('touches', models.IntegerField(default=0)),
                ('opened_at', models.DateTimeField()),
                ('closed_at', models.DateTimeField(null=True)),
                ('outcome', models.CharField(blank=True, max_length=60)),
                ('version', models.IntegerField(default=0)),
                ('facts', models.JSONField(default=dict, help_text='Columns the queue shows: exam, component, CARC, dates')),
                ('sort_day', models.GeneratedField(db_persist=True, expression=django.db.models.functions.comparison.Coalesce(models.F('deadline_on'), models.Value(datetime.date(9999, 12, 31))), output_field=models.DateField())),
                ('sort_cents', models.GeneratedField(db_persist=True, expression=django.db.models.functions.comparison.Cast(django.db.models.expressions.CombinedExpression(models.F('dollars'), '*', models.Value(-100)), models.BigIntegerField()), output_field=models.BigIntegerField())),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('owner', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='work_items', to=settings.AUTH_USER_MODEL)),
                ('site', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.site')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('status', 'open')), fields=['queue', 'sort_day', 'sort_cents', 'id'], name='item_order'), models.Index(condition=models.Q(('status__in', ['open', 'pended'])), fields=['owner', 'queue'], name='item_owner'), models.Index(condition=models.Q(('status', 'pended')), fields=['pend_until'], name='item_pended'), models.Index(fields=['organization', 'subject_type', 'subject_id'], name='item_subject'), models.Index(condition=models.Q(('claim_id__isnull', False)), fields=['organization', 'claim_id'], name='item_claim')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('status__in', ['open', 'pended'])), fields=('organization', 'subject_type', 'subject_id'), name='one_home')],
            },
        ),
        migrations.CreateModel(
            name='Interaction',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=rcm.accounts.tenancy.uuid7, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('claim_id', models.BigIntegerField(null=True)),
                ('patient_id', models.BigIntegerField(null=True)),
                ('channel', models.CharField(choices=[('phone', 'Phone'), ('portal', 'Portal'), ('email', 'E-mail'), ('fax', 'Fax'), ('mail', 'Mail'), ('person', 'In person')], max_length=8)),
                ('contact', models.CharField(blank=True, max_length=80)),
                ('reference', models.CharField(blank=True, max_length=60)),
                ('note', models.CharField(max_length=500)),
                ('promised_on', models.DateField(null=True)),
                ('outcome', models.CharField(max_length=60)),
                ('at', models.DateTimeField()),
                ('actor_name', models.CharField(max_length=120)),
                ('user_id', models.BigIntegerField(null=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('item', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='interactions', to='worklist.workitem')),
            ],
            options={
                'indexes': [models.Index(fields=['claim_id'], name='interaction_claim'), models.Index(fields=['item'], name='interaction_item')],
            },
        ),
    ]
