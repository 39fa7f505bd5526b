"""How statements reach patients: the way each chose, the print batches, what came back."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rcm.accounts.charts import PatientKey
from rcm.accounts.tenancy import TenantModel


class Channel(models.TextChoices):
    MAIL = "mail", "Letter"
    LINK = "link", "Link to the bill"
    EMAIL = "email", "E-mail with the link"


class ChannelChoice(TenantModel):
    """The way a patient chose to be billed, from a moment on; the latest holds. Without one: by
    letter.
    """

    patient_keys = (PatientKey(),)

    patient = models.ForeignKey(
        "intake.Patient", on_delete=models.PROTECT, related_name="channel_choices"
    )
    channel = models.CharField(max_length=5, choices=Channel.choices)
    chosen_at = models.DateTimeField()
    actor_name = models.CharField(max_length=120)


class MailBatch(TenantModel):
    """Letters that are printed together: one PDF and its file of addresses."""

    number = models.CharField(max_length=20)
    made_at = models.DateTimeField()
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="one_mail_batch")
        ]


class SentStatus(models.TextChoices):
    WAITING = "waiting", "Waits to leave"
    SENT = "sent", "Left"
    RETURNED = "returned", "Came back"


class StatementDelivery(TenantModel):
    """One statement on one way to its patient."""

    statement = models.ForeignKey(
        "ar.Statement", on_delete=models.PROTECT, related_name="deliveries"
    )
    channel = models.CharField(max_length=5, choices=Channel.choices)
    status = models.CharField(max_length=8, choices=SentStatus.choices, default=SentStatus.WAITING)
    batch = models.ForeignKey(
        MailBatch, on_delete=models.PROTECT, null=True, related_name="deliveries"
    )
    claimed_at = models.DateTimeField(null=True, help_text="A mail is tried since")
    attempts = models.SmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)
    returned_at = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(null=True, help_text="When the patient first opened the link")
    wrong = models.SmallIntegerField(default=0, help_text="Wrong birth dates at the link")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["statement", "channel"], name="one_way_of_a_statement")
        ]
        indexes = [
            models.Index(
                fields=["organization", "channel", "id"],
                name="waiting_deliveries",
                condition=Q(status="waiting"),
            )
        ]
