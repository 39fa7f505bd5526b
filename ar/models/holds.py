"""Why nothing is asked of a patient for a while: dated rows, none ever erased."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rcm.accounts.charts import PatientKey
from rcm.accounts.tenancy import TenantModel


class HoldKind(models.TextChoices):
    DECEASED = "deceased", "Deceased"
    BANKRUPTCY = "bankruptcy", "Bankruptcy"
    DISPUTE = "dispute", "Dispute"
    RETURNED = "returned", "Returned mail"
    CHARITY = "charity", "Assistance asked for"
    AGENCY = "agency", "With the agency"
    SILENCE = "confidential", "No mail wanted"


class AccountHold(TenantModel):
    """A hold on a patient's account, or on one charge of it, from a moment until it is lifted with
    a reason (rule `account-hold`). What each kind stops stands in `ar.holding`.
    """

    patient_keys = (PatientKey(),)

    patient = models.ForeignKey("intake.Patient", on_delete=models.PROTECT, related_name="holds")
    charge = models.ForeignKey(
        "charges.Charge",
        on_delete=models.PROTECT,
        null=True,
        related_name="holds",
        help_text="The only charge it holds; empty: all of the patient",
    )
    kind = models.CharField(max_length=12, choices=HoldKind.choices)
    note = models.CharField(max_length=300, blank=True)
    case_number = models.CharField(max_length=40, blank=True, help_text="Of the bankruptcy")
    event_on = models.DateField(null=True, help_text="Day of death, or of the filing")
    address = models.CharField(
        max_length=32, blank=True, help_text="Digest of the address that mail came back from"
    )
    begins_at = models.DateTimeField()
    actor_name = models.CharField(max_length=120)
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.CharField(max_length=120, blank=True)
    lifted_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["charge", "kind"],
                condition=Q(lifted_at__isnull=True, charge__isnull=False),
                name="one_open_hold_of_a_charge",
            ),
            models.CheckConstraint(
                condition=Q(lifted_at__isnull=True) | ~Q(lifted_reason=""),
                name="hold_lifted_with_reason",
            ),
        ]
        indexes = [
            models.Index(
                fields=["patient", "kind"],
                name="open_holds",
                condition=Q(lifted_at__isnull=True),
            )
        ]

    @property
    def by_hand(self) -> bool:
        """Whether a person sets and lifts it, and no application or placement."""
        return self.kind not in (HoldKind.CHARITY, HoldKind.AGENCY)
