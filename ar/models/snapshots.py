"""Figures as they stood at a day's end."""

from __future__ import annotations

from django.db import models

from rcm.accounts.tenancy import TenantModel


class AgingSnapshot(TenantModel):
    """Open balance by payer, site and bucket at a day's end, so that last month never changes."""

    audited = False
    public_id = None  # type: ignore[assignment]

    day = models.DateField()
    basis = models.CharField(max_length=7, help_text="service or billed")
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.PROTECT, null=True, related_name="+"
    )
    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, null=True, related_name="+")
    bucket = models.CharField(max_length=8, help_text="0-30, 31-60, 61-90, 91-120, 121+, unbilled")
    insurance = models.DecimalField(max_digits=14, decimal_places=2)
    patient = models.DecimalField(max_digits=14, decimal_places=2)
    lines = models.IntegerField()
    taken_at = models.DateTimeField(null=True, help_text="When the figures were counted")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "basis", "payer", "site", "bucket"],
                nulls_distinct=False,
                name="one_aging_cell",
            )
        ]


class KpiSnapshot(TenantModel):
    """A KPI as it stood: numerator and denominator, by day and (optionally) site and payer."""

    audited = False
    public_id = None  # type: ignore[assignment]

    day = models.DateField()
    kpi = models.CharField(max_length=30)
    definition = models.SmallIntegerField(default=1, help_text="Version of the formula")
    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, null=True, related_name="+")
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.PROTECT, null=True, related_name="+"
    )
    numerator = models.DecimalField(max_digits=16, decimal_places=2)
    denominator = models.DecimalField(max_digits=16, decimal_places=2)
    taken_at = models.DateTimeField(null=True, help_text="When the figures were counted")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "kpi", "site", "payer"],
                nulls_distinct=False,
                name="one_kpi_cell",
            )
        ]


class KpiTarget(TenantModel):
    """Where an organization wants a figure to be, from a day on. Without a row the shipped target
    holds.
    """

    kpi = models.CharField(max_length=30)
    target = models.DecimalField(
        max_digits=14, decimal_places=4, help_text="Percentages as ratios: 0.95"
    )
    effective_from = models.DateField()
    note = models.CharField(max_length=200)
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kpi", "effective_from"], name="one_kpi_target"
            )
        ]
