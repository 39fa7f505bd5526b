"""How an organization treats small balances, statements and credits, by date."""

from __future__ import annotations

from django.db import models

from rcm.accounts.tenancy import TenantModel


class ReceivablePolicy(TenantModel):
    """How one organization treats small balances, statements, credits and silent claims, by date.
    Without a row the shipped defaults hold (ar/data/policy.csv).
    """

    small_balance = models.DecimalField(
        max_digits=8,
        decimal_places=2,
        help_text="Written off by rule after the statement cycle",
    )
    statement_days = models.JSONField(
        help_text=("Days after the first statement: [0, 30, 60, 90]; the last is the final notice")
    )
    collection_days = models.IntegerField(
        help_text="Not before so many days after the first statement"
    )
    refund_days_federal = models.IntegerField(
        help_text="Medicare and Medicaid credits, from identification"
    )
    refund_days_other = models.IntegerField()
    followup_grace_days = models.IntegerField(help_text="Past the payer's usual response days")
    prepayment_days = models.IntegerField(
        help_text="Money on account without a balance this old is a credit"
    )
    self_pay_percent = models.DecimalField(
        max_digits=5,
        decimal_places=2,
        null=True,
        help_text="Self-pay price in percent of the list price; without one nothing moves at it",
    )
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "effective_from"], name="one_receivable_policy"
            )
        ]
