"""The collection agency: who it is, what it takes, which charges it has, what it collected."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from rcm.accounts.charts import PatientKey
from rcm.accounts.tenancy import TenantModel


class Agency(TenantModel):
    """A collection agency and the connection its files leave by; without one they wait in the
    exchange to be fetched.
    """

    name = models.CharField(max_length=80)
    connection = models.ForeignKey(
        "exchange.Connection", on_delete=models.PROTECT, null=True, related_name="+"
    )
    active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="one_agency_name")
        ]


class AgencyFee(TenantModel):
    """What an agency keeps of what it collects, in percent, from a day on."""

    agency = models.ForeignKey(Agency, on_delete=models.PROTECT, related_name="fees")
    effective_from = models.DateField()
    percent = models.DecimalField(max_digits=5, decimal_places=2)
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agency", "effective_from"], name="one_agency_fee"),
            models.CheckConstraint(
                condition=Q(percent__gte=0, percent__lt=100), name="agency_fee_percent"
            ),
        ]


class BatchStatus(models.TextChoices):
    PROPOSED = "proposed", "Waits for a second person"
    SENT = "sent", "Placed"
    DROPPED = "dropped", "Dropped"


BATCH_MOVES: dict[str, set[str]] = {
    BatchStatus.PROPOSED: {BatchStatus.SENT, BatchStatus.DROPPED},
    BatchStatus.SENT: set(),
    BatchStatus.DROPPED: set(),
}


class AgencyBatch(TenantModel):
    """Charges that go to an agency together, in one file with one number."""

    agency = models.ForeignKey(Agency, on_delete=models.PROTECT, related_name="batches")
    number = models.CharField(max_length=20)
    status = models.CharField(
        max_length=8, choices=BatchStatus.choices, default=BatchStatus.PROPOSED
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
    accepted_on = models.DateField(null=True, help_text="When the agency took it")
    interchange = models.OneToOneField(
        "exchange.Interchange", on_delete=models.PROTECT, null=True, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "number"], name="one_agency_batch_number"
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True)
                | Q(requested_by__isnull=True)
                | ~Q(decided_by=F("requested_by"))
                | Q(status="dropped"),
                name="batch_maker_is_not_checker",
            ),
        ]


class PlacementStatus(models.TextChoices):
    PROPOSED = "proposed", "Proposed"
    PLACED = "placed", "With the agency"
    RECALLED = "recalled", "Recalled"
    PAID = "paid", "Collected"
    LEFT_OUT = "left_out", "Left out"


class Placement(TenantModel):
    """One charge of a batch, with its balance as placed. The ledger keeps the balance; the agency
    only works it.
    """

    batch = models.ForeignKey(AgencyBatch, on_delete=models.PROTECT, related_name="placements")
    charge = models.ForeignKey(
        "charges.Charge", on_delete=models.PROTECT, related_name="placements"
    )
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    status = models.CharField(
        max_length=8, choices=PlacementStatus.choices, default=PlacementStatus.PROPOSED
    )
    why = models.CharField(max_length=300, blank=True, help_text="Left out or recalled because")
    ended_on = models.DateField(null=True)
    recall = models.ForeignKey(
        "exchange.Interchange",
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="The file that recalled it",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["charge"],
                condition=Q(status__in=["proposed", "placed"]),
                name="one_open_placement",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="placement_positive"),
        ]


class AgencyPayment(TenantModel):
    """What an agency collected on a placement: the patient's whole payment, less the fee of the
    contract on that day.
    """

    patient_keys = (PatientKey(derived="placement__charge__patient_id"),)

    patient = models.ForeignKey("intake.Patient", on_delete=models.PROTECT, related_name="+")
    agency = models.ForeignKey(Agency, on_delete=models.PROTECT, related_name="payments")
    placement = models.ForeignKey(Placement, on_delete=models.PROTECT, related_name="payments")
    reference = models.CharField(max_length=40, help_text="The agency's own number")
    collected = models.DecimalField(max_digits=12, decimal_places=2)
    percent = models.DecimalField(max_digits=5, decimal_places=2)
    fee = models.DecimalField(max_digits=12, decimal_places=2)
    received_on = models.DateField()
    transaction = models.OneToOneField(
        "ledger.LedgerTransaction", on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agency", "reference"], name="one_agency_payment"),
            models.CheckConstraint(
                condition=Q(collected__gt=0, fee__gte=0, fee__lt=F("collected")),
                name="agency_payment_amounts",
            ),
        ]
