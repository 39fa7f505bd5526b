"""What an organization has verified about a state's law."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rcm.accounts.tenancy import TenantModel


class StateTopic(models.TextChoices):
    PROMPT_PAY = "prompt_pay", "Prompt pay, days"
    INTEREST = "interest", "Interest on late payment, percent a year"
    FILING = "filing", "Filing limit, days"
    AUTHORIZATION = "authorization", "Authorization statute"
    BALANCE_BILLING = "balance_billing", "Balance billing"
    LICENSURE = "licensure", "Licensure"


NUMERIC_TOPICS = (StateTopic.PROMPT_PAY, StateTopic.INTEREST, StateTopic.FILING)


class StateFact(TenantModel):
    """One verified fact of a state, with its source. Rows are only added; the newest of a topic
    that is in force holds.
    """

    append_only = True

    state = models.CharField(max_length=2)
    topic = models.CharField(max_length=16, choices=StateTopic.choices)
    number = models.DecimalField(max_digits=8, decimal_places=3, null=True)
    words = models.CharField(max_length=300, blank=True)
    source = models.CharField(max_length=200, help_text="Statute or page that was read")
    read_on = models.DateField(help_text="When the source was read")
    effective_from = models.DateField()
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(number__isnull=True) | Q(number__gte=0), name="state_fact_not_negative"
            )
        ]
        indexes = [
            models.Index(fields=["organization", "state", "topic", "-id"], name="state_fact")
        ]
