"""Maker and checker: governed write-offs and refunds of credit balances."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from rcm.accounts.charts import PatientKey
from rcm.accounts.tenancy import TenantModel


class RequestStatus(models.TextChoices):
    REQUESTED = "requested", "Waits for approval"
    APPROVED = "approved", "Approved and posted"
    REFUSED = "refused", "Refused"
    STOPPED = "stopped", "Stopped"


class WriteOffRequest(TenantModel):
    """Nobody writes off silently: reason, maker, checker above the limit, documented contact."""

    claim = models.ForeignKey(
        "claims.Claim",
        on_delete=models.PROTECT,
        null=True,
        related_name="write_offs",
        help_text="Null: self-pay",
    )
    charge = models.ForeignKey(
        "charges.Charge", on_delete=models.PROTECT, related_name="write_offs"
    )
    reason = models.CharField(
        max_length=24, help_text="small_balance, timely, bad_debt, charity, courtesy, denial, admin"
    )
    account = models.CharField(
        max_length=20, help_text="The receivable it takes down: ar_insurance or ar_patient"
    )
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    note = models.CharField(max_length=300)
    contact = models.ForeignKey(
        "worklist.Interaction", on_delete=models.PROTECT, null=True, related_name="+"
    )
    counted = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        null=True,
        help_text="With everything asked for within a year on the charge, claim and patient",
    )
    limit = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        null=True,
        help_text="The organization's limit when it was asked for",
    )
    status = models.CharField(
        max_length=9, choices=RequestStatus.choices, default=RequestStatus.REQUESTED
    )
    requested_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    decision_note = models.CharField(max_length=300, blank=True)
    transaction = models.OneToOneField(
        "ledger.LedgerTransaction", on_delete=models.PROTECT, null=True, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["charge", "account"],
                condition=Q(status="requested"),
                name="one_open_write_off",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="write_off_positive"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True)
                | Q(requested_by__isnull=True)
                | ~Q(decided_by=F("requested_by"))
                | Q(status="refused"),
                name="maker_is_not_checker",
            ),
        ]


class Refund(TenantModel):
    """A credit balance to give back: to whom, why, and the 60-day clock of Medicare and Medicaid
    (rule `overpayment-60-days`).
    """

    patient_keys = (PatientKey(derived="charge__patient_id"),)

    patient = models.ForeignKey("intake.Patient", on_delete=models.PROTECT, related_name="refunds")
    charge = models.ForeignKey("charges.Charge", on_delete=models.PROTECT, related_name="refunds")
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.PROTECT, null=True, related_name="+"
    )
    claim = models.ForeignKey(
        "claims.Claim",
        on_delete=models.PROTECT,
        null=True,
        related_name="refunds",
        help_text="On which the payer overpaid",
    )
    to = models.CharField(max_length=8, help_text="patient or payer")
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    cause = models.CharField(max_length=30)
    identified_on = models.DateField()
    due_on = models.DateField()
    status = models.CharField(
        max_length=9, choices=RequestStatus.choices, default=RequestStatus.REQUESTED
    )
    requested_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    decision_note = models.CharField(max_length=300, blank=True)
    transaction = models.OneToOneField(
        "ledger.LedgerTransaction", on_delete=models.PROTECT, null=True, related_name="+"
    )
    issued_on = models.DateField(null=True, help_text="When the money left")
    issue_reference = models.CharField(
        max_length=40, blank=True, help_text="Check or transfer number"
    )
    stopped_on = models.DateField(null=True, help_text="When the payer's takeback was seen")
    stopped_why = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["charge", "to", "payer"],
                condition=Q(status="requested"),
                nulls_distinct=False,
                name="one_open_refund",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_positive"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True)
                | Q(requested_by__isnull=True)
                | ~Q(decided_by=F("requested_by"))
                | Q(status="refused"),
                name="refund_maker_is_not_checker",
            ),
        ]
