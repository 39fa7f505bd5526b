import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Call',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=80, unique=True)),
                ('path', models.CharField(max_length=40)),
                ('sha256', models.CharField(max_length=64)),
                ('answer', models.BinaryField()),
                ('repeats', models.IntegerField(default=0)),
                ('at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Grant',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('trace', models.CharField(max_length=50, unique=True)),
                ('payer', models.CharField(max_length=20)),
                ('member_id', models.CharField(max_length=40)),
                ('number', models.CharField(blank=True, max_length=30)),
                ('action', models.CharField(max_length=2)),
                ('final_action', models.CharField(max_length=2)),
                ('codes', models.JSONField(default=list)),
                ('asked_on', models.DateField()),
                ('valid_from', models.DateField(null=True)),
                ('valid_to', models.DateField(null=True)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Mail',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('receiver', models.CharField(max_length=20)),
                ('kind', models.CharField(max_length=6)),
                ('content', models.BinaryField()),
                ('dated', models.DateField()),
                ('taken', models.BooleanField(default=False)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('taken', False)), fields=['receiver', 'id'], name='sim_mail')],
            },
        ),
        migrations.CreateModel(
            name='Received',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('receiver', models.CharField(help_text='Who sent it and gets the answers: ISA06', max_length=20)),
                ('control', models.CharField(max_length=9)),
                ('group_control', models.CharField(max_length=9)),
                ('claim_id', models.CharField(max_length=38)),
                ('icn', models.CharField(max_length=30, unique=True)),
                ('payer', models.CharField(max_length=20)),
                ('facts', models.JSONField(help_text='The claim as read: lines, people, numbers')),
                ('fingerprint', models.CharField(help_text='Patient, day and codes: finds duplicates', max_length=64)),
                ('frequency', models.CharField(max_length=1)),
                ('received_on', models.DateField()),
                ('received_at', models.DateTimeField(auto_now_add=True)),
                ('rejected', models.CharField(blank=True, help_text='277CA category and status, e.g. A7:562', max_length=12)),
                ('acknowledge_on', models.DateField()),
                ('acknowledge_live', models.DateTimeField()),
                ('acknowledged', models.BooleanField(default=False)),
                ('decision', models.JSONField(default=dict)),
                ('pay_on', models.DateField(null=True)),
                ('pay_live', models.DateTimeField(null=True)),
                ('paid', models.BooleanField(default=False)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('acknowledged', False)), fields=['receiver', 'acknowledge_on'], name='sim_ack'), models.Index(condition=models.Q(('paid', False), ('rejected', '')), fields=['receiver', 'pay_on'], name='sim_pay'), models.Index(fields=['fingerprint'], name='sim_print'), models.Index(fields=['claim_id'], name='sim_claim')],
            },
        ),
        migrations.CreateModel(
            name='Followup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(help_text='takeback, correct, overturn', max_length=10)),
                ('due_on', models.DateField()),
                ('due_live', models.DateTimeField()),
                ('done', models.BooleanField(default=False)),
                ('claim', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='followups', to='simulator.received')),
            ],
            options={
                'abstract': False,
            },
        ),
    ]
