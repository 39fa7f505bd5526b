from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pricing", "0001_initial")]

    operations = [
        migrations.RemoveConstraint(model_name="contractrate", name="one_contract_rate"),
        migrations.AddField(
            model_name="contractrate",
            name="modifier",
            field=models.CharField(
                blank=True, default="", help_text="Only for lines that carry this modifier", max_length=2
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="contractrate",
            name="medicare_year",
            field=models.IntegerField(
                help_text="Fee schedule year that a percent-of-Medicare rate is pinned to", null=True
            ),
        ),
        migrations.AddField(
            model_name="contractrate",
            name="carve_out",
            field=models.BooleanField(default=False, help_text="Paid as written: no reduction, no lesser-of"),
        ),
        migrations.AlterField(
            model_name="contractrate",
            name="mod",
            field=models.CharField(
                blank=True, help_text="Part of the test: 26, TC, global; blank by the method's rule", max_length=6
            ),
        ),
        migrations.AddConstraint(
            model_name="contractrate",
            constraint=models.UniqueConstraint(
                fields=("contract", "code", "modality", "mod", "modifier", "effective_from"), name="one_contract_rate"
            ),
        ),
    ]
