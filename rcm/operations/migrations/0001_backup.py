from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Backup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('size', models.BigIntegerField(help_text='Bytes of all its files')),
                ('rows', models.BigIntegerField()),
                ('seconds', models.DecimalField(decimal_places=1, max_digits=9)),
            ],
        ),
    ]
