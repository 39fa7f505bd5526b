from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("reference", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="referenceload",
            name="options",
            field=models.JSONField(default=dict, help_text="What the loader was told: effective date, year, complete"),
        ),
        migrations.AlterField(
            model_name="procedure",
            name="extent",
            field=models.CharField(blank=True, help_text="complete, limited, whole body, skull base to mid-thigh", max_length=24),
        ),
    ]
