"""Accuracy audits: a sample, its cases, and what each reader found without seeing the others."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rcm.accounts.tenancy import TenantModel


class AuditSample(TenantModel):
    """One drawn sample. Seed, period and size are fixed before anybody reads."""

    title = models.CharField(max_length=120)
    seed = models.CharField(max_length=64, help_text="Published: with it the draw can be repeated")
    first = models.DateField(help_text="Exams released from this day")
    last = models.DateField()
    population = models.IntegerField()
    size = models.IntegerField()
    goal = models.DecimalField(max_digits=5, decimal_places=4, default="0.9900")
    half_width = models.DecimalField(
        max_digits=5, decimal_places=4, help_text="Width to each side that the size was planned for"
    )
    strata = models.JSONField(default=list, help_text="Each stratum with its population and share")
    drawn_at = models.DateTimeField()
    actor_name = models.CharField(max_length=120)
    user_id = models.BigIntegerField(null=True)


class AuditCase(TenantModel):
    """One exam of a sample. `coder_id` is the audited person, null when the machine coded it."""

    site_path = "exam__site_id"

    sample = models.ForeignKey(AuditSample, on_delete=models.PROTECT, related_name="cases")
    exam = models.ForeignKey("charges.Exam", on_delete=models.PROTECT, related_name="+")
    position = models.IntegerField()
    coder = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    errors = models.JSONField(null=True, help_text="Wrong items as decided; null: not decided")
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sample", "exam"], name="audited_once"),
            models.UniqueConstraint(fields=["sample", "position"], name="one_audit_position"),
        ]


class AuditReading(TenantModel):
    """What one reader found: the first two read blind, the third settles a disagreement."""

    append_only = True

    case = models.ForeignKey(AuditCase, on_delete=models.PROTECT, related_name="readings")
    number = models.SmallIntegerField(help_text="1 and 2 are blind, 3 settles")
    errors = models.JSONField(default=list, help_text="Wrong items of the checklist")
    note = models.CharField(max_length=500, blank=True)
    reader = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    read_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["case", "number"], name="one_audit_reading"),
            models.UniqueConstraint(fields=["case", "reader"], name="nobody_reads_twice"),
            models.CheckConstraint(condition=Q(number__in=[1, 2, 3]), name="three_audit_readings"),
        ]
