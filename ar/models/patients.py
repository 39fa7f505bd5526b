"""What a patient is sent, pays and promises."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from rcm.accounts.charts import PatientKey, SetAside
from rcm.accounts.tenancy import TenantModel


class Statement(TenantModel):
    """One patient statement as sent: lines, balance, PDF."""

    patient_keys = (PatientKey(),)

    patient = models.ForeignKey(
        "intake.Patient", on_delete=models.PROTECT, related_name="statements"
    )
    number = models.CharField(max_length=20)
    step = models.SmallIntegerField(default=1, help_text="1, 2, 3, 4 final notice")
    balance = models.DecimalField(max_digits=12, decimal_places=2)
    lines = models.JSONField(default=list)
    pdf = models.BinaryField(null=True)
    sent_on = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="one_statement")
        ]


class PatientPayment(TenantModel):
    """Money from a patient, at the desk or by mail: receipt number, method; its effect is the
    ledger transaction.
    """

    patient_keys = (PatientKey(),)

    patient = models.ForeignKey("intake.Patient", on_delete=models.PROTECT, related_name="payments")
    receipt = models.CharField(max_length=20)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    method = models.CharField(max_length=10, help_text="card, cash, check")
    received_on = models.DateField()
    appointment = models.ForeignKey(
        "intake.Appointment",
        on_delete=models.PROTECT,
        null=True,
        related_name="payments",
        help_text="The visit it was collected for",
    )
    estimate = models.ForeignKey(
        "intake.Estimate",
        on_delete=models.PROTECT,
        null=True,
        related_name="payments",
        help_text="The estimate it was collected against",
    )
    key = models.CharField(
        max_length=80,
        blank=True,
        help_text="Of the form or call: the same one again is no new money",
    )
    refunded = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    plan = models.ForeignKey(
        "ar.PaymentPlan",
        on_delete=models.PROTECT,
        null=True,
        related_name="payments",
        help_text="The payment plan whose instalments it fills; no other payment does",
    )
    note = models.CharField(max_length=120, blank=True)
    voided_at = models.DateTimeField(null=True)
    void_reason = models.CharField(max_length=120, blank=True)
    transaction = models.OneToOneField(
        "ledger.LedgerTransaction", on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "receipt"], name="one_receipt"),
            models.UniqueConstraint(
                fields=["organization", "key"], condition=~Q(key=""), name="one_payment_of_a_key"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_positive"),
            models.CheckConstraint(
                condition=Q(refunded__gte=0) & Q(refunded__lte=F("amount")),
                name="refunded_within_payment",
            ),
        ]


class PlanStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    DONE = "done", "Paid"
    DEFAULTED = "default", "Broken"
    CANCELLED = "cancelled", "Cancelled"


PLAN_MOVES: dict[str, set[str]] = {
    PlanStatus.ACTIVE: {PlanStatus.DONE, PlanStatus.DEFAULTED, PlanStatus.CANCELLED},
    PlanStatus.DEFAULTED: {PlanStatus.ACTIVE, PlanStatus.CANCELLED},
    PlanStatus.DONE: set(),
    PlanStatus.CANCELLED: set(),
}


class PaymentPlan(TenantModel):
    """An agreement to pay in instalments: while it is kept no statement and no collection goes out
    (rule `statement-cadence`).
    """

    patient_keys = (
        PatientKey(set_aside=SetAside(Q(status="active"), change={"status": PlanStatus.CANCELLED})),
    )

    patient = models.ForeignKey("intake.Patient", on_delete=models.PROTECT, related_name="plans")
    total = models.DecimalField(max_digits=12, decimal_places=2)
    instalment = models.DecimalField(max_digits=12, decimal_places=2)
    starts_on = models.DateField(
        help_text="First instalment; the next fall on the same day of each month"
    )
    grace_days = models.SmallIntegerField(default=10)
    misses_allowed = models.SmallIntegerField(default=2)
    status = models.CharField(max_length=9, choices=PlanStatus.choices, default=PlanStatus.ACTIVE)
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["patient"], condition=Q(status="active"), name="one_active_plan"
            ),
            models.CheckConstraint(
                condition=Q(instalment__gt=0, total__gte=F("instalment")), name="plan_amounts"
            ),
        ]


class PlanExam(TenantModel):
    """An exam whose charges a payment plan covers, corrected ones too. Other exams of the patient
    go their own way: they get statements, and money for them fills no instalment.
    """

    plan = models.ForeignKey(PaymentPlan, on_delete=models.CASCADE, related_name="exams")
    exam = models.ForeignKey("charges.Exam", on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plan", "exam"], name="one_exam_of_a_plan")]
