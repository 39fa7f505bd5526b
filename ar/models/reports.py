"""Reports as they were sent, who wants them, thresholds and what crossed them, closed months."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rcm.accounts.tenancy import TenantModel


class ReportKind(models.TextChoices):
    WEEKLY = "weekly", "Weekly report"
    MONTHLY = "monthly", "Month-end report"


class Report(TenantModel):
    """One report as it was made: its figures and its PDF never change."""

    append_only = True

    kind = models.CharField(max_length=8, choices=ReportKind.choices)
    first = models.DateField()
    last = models.DateField()
    sentence = models.CharField(max_length=600, blank=True)
    figures = models.JSONField(help_text="By KPI: numerator, denominator, target, version")
    pdf = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    made_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind", "last"], name="one_report_a_period"
            )
        ]


class SubscriptionKind(models.TextChoices):
    WEEKLY = "weekly", "Weekly report"
    MONTHLY = "monthly", "Month-end report"
    ALERT = "alert", "Alerts"


class Subscription(TenantModel):
    """A person wants a kind of message about an organization."""

    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=8, choices=SubscriptionKind.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user", "kind"], name="one_subscription"
            )
        ]


class Threshold(TenantModel):
    """A figure is told once when it crosses `raise_at`, and not again before it came back past
    `clear_at`.
    """

    kpi = models.CharField(max_length=30)
    raise_at = models.DecimalField(max_digits=14, decimal_places=4)
    clear_at = models.DecimalField(max_digits=14, decimal_places=4)
    active = models.BooleanField(default=True)
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kpi"], condition=Q(active=True), name="one_threshold"
            )
        ]


class Alert(TenantModel):
    """A threshold that was crossed: when, with which value, by which rows; and when it was over."""

    threshold = models.ForeignKey(Threshold, on_delete=models.PROTECT, related_name="alerts")
    day = models.DateField()
    value = models.DecimalField(max_digits=16, decimal_places=4)
    rows = models.JSONField(default=list, help_text="The largest rows: kind and id")
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["threshold"], condition=Q(cleared_at__isnull=True), name="one_open_alert"
            )
        ]


class Delivery(TenantModel):
    """One message to one person, claimed before it is sent so that two schedulers send one."""

    key = models.CharField(max_length=60, help_text="report:<id> or alert:<id>")
    user = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    subject = models.CharField(max_length=160)
    claimed_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)
    attempts = models.SmallIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "key", "user"], name="one_message_a_person"
            )
        ]


class MonthClose(TenantModel):
    """A month was closed: by whom, with what was checked. It is never opened again."""

    append_only = True

    month = models.DateField(help_text="First day of the month")
    checks = models.JSONField(help_text="Each check with its result and its note")
    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="+")
    closed_at = models.DateTimeField()
    actor_name = models.CharField(max_length=120)
    user_id = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "month"], name="one_month_close")
        ]


class ProofRun(TenantModel):
    """`manage.py prove` of one organization as it was kept: rows looked at, promises, and what is
    broken.
    """

    append_only = True

    at = models.DateTimeField()
    promises = models.IntegerField()
    looked = models.BigIntegerField()
    breaches = models.JSONField(default=list, help_text="number, promise, how many")

    class Meta:
        indexes = [models.Index(fields=["organization", "-at"], name="proof_at")]


class DayClose(TenantModel):
    """A business day was closed: what came in, the counted drawer, the ties, and the proof then. It is
    never opened again; what is booked into the day later shows beside it.
    """

    append_only = True

    day = models.DateField()
    figures = models.JSONField(help_text="What the page showed: receipts, remittances, bank, ties")
    counted = models.DecimalField(max_digits=12, decimal_places=2, help_text="Cash in the drawer")
    expected = models.DecimalField(max_digits=12, decimal_places=2)
    note = models.CharField(max_length=300, blank=True)
    proof = models.ForeignKey(ProofRun, on_delete=models.PROTECT, null=True, related_name="+")
    closed_at = models.DateTimeField()
    actor_name = models.CharField(max_length=120)
    user_id = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "day"], name="one_day_close")
        ]
