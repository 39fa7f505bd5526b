"""The money of the whole house, double entry (rule `double-entry`).

Every movement is a transaction whose entries sum to zero; debit positive, credit negative, Decimal
with two places. Nothing is changed or deleted: a correction is a counter-transaction (`reverses`).
The database repeats each rule: a deferred constraint trigger for the zero sum, refused
UPDATE/DELETE, a unique effect key, and `Balance` kept by trigger from the entries alone (proven by
`prove`).

Signs: a charge of 100 debits AR_INSURANCE +100 and credits REVENUE −100. A payment of 80 credits
AR_INSURANCE −80, debits CASH +80. A charge's open balance is the sum of its AR entries. This room
knows no phase: charge, claim, patient, payer are plain keys.
"""

from __future__ import annotations

from django.db import models

from rcm.accounts.charts import Follow, PatientKey
from rcm.accounts.tenancy import QuietModel, TenantModel, organization_key


class Account(models.TextChoices):
    AR_INSURANCE = "ar_insurance", "Receivable from insurance"
    AR_PATIENT = "ar_patient", "Receivable from patient"
    REVENUE = "revenue", "Gross charges"
    CASH = "cash", "Cash received"
    CONTRACTUAL = "contractual", "Contractual adjustment"
    SEQUESTRATION = "sequestration", "Sequestration and withhold"
    DENIAL_WRITEOFF = "denial_writeoff", "Denial written off"
    BAD_DEBT = "bad_debt", "Bad debt"
    SMALL_BALANCE = "small_balance", "Small balance"
    CHARITY = "charity", "Charity and courtesy"
    OTHER_ADJUSTMENT = "other_adjustment", "Other adjustment"
    UNAPPLIED = "unapplied", "Unapplied cash"
    PROVIDER_LEVEL = "provider_level", "Provider-level adjustments (PLB)"
    INTEREST = "interest", "Interest income"
    COLLECTION_FEE = "collection_fee", "Fees of the collection agency"
    REFUND_PAYABLE = "refund_payable", "Refunds payable"


RECEIVABLE = (Account.AR_INSURANCE, Account.AR_PATIENT)


class LedgerTransaction(TenantModel):
    """One balanced movement. `effect_key` makes its effect happen once, whoever repeats it."""

    append_only = True

    organization = organization_key(db_index=False)
    kind = models.CharField(max_length=40)
    effect_key = models.CharField(max_length=200)
    effective_on = models.DateField(
        help_text="Business date: deposit date, date of service, decision date"
    )
    description = models.CharField(max_length=200)
    actor_name = models.CharField(max_length=120)
    user_id = models.BigIntegerField(null=True)
    source_type = models.CharField(max_length=40, blank=True)
    source_id = models.BigIntegerField(null=True)
    reverses = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, related_name="reversed_by"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "effect_key"], name="one_effect")
        ]
        indexes = [
            models.Index(fields=["organization", "source_type", "source_id"], name="ledger_source")
        ]


class LedgerEntry(TenantModel):
    """One leg. Keys name what the money belongs to; any may be empty (a PLB belongs to no
    claim).
    """

    patient_keys = (PatientKey(follow=Follow.ENTRIES),)

    append_only = True
    public_id = None  # type: ignore[assignment]

    # its transaction's, by the key that they share: a second reference would be checked again for
    # each of many legs
    organization = organization_key(db_constraint=False, db_index=False)
    transaction = models.ForeignKey(
        LedgerTransaction, on_delete=models.PROTECT, related_name="entries", db_index=False
    )
    account = models.CharField(max_length=20, choices=Account.choices)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    effective_on = models.DateField()
    charge_id = models.BigIntegerField(null=True)
    claim_id = models.BigIntegerField(null=True)
    patient_id = models.BigIntegerField(null=True)
    payer_id = models.BigIntegerField(null=True)
    remittance_id = models.BigIntegerField(null=True)
    reason = models.CharField(
        max_length=12, blank=True, help_text="Group and reason code such as CO-45"
    )

    class Meta:
        constraints = [models.CheckConstraint(condition=~models.Q(amount=0), name="entry_not_zero")]
        indexes = [
            # with the organization, which row-level security asks for too: alone, a database that
            # has not counted its rows yet reads all entries of the house for each transaction
            models.Index(fields=["transaction", "organization"], name="entry_transaction"),
            models.Index(
                fields=["charge_id", "account"],
                name="entry_charge",
                include=["amount", "effective_on"],
            ),
            models.Index(fields=["claim_id", "account"], name="entry_claim", include=["amount"]),
            models.Index(
                fields=["patient_id", "account"], name="entry_patient", include=["amount"]
            ),
            models.Index(
                fields=["organization", "account", "effective_on"],
                name="entry_account",
                include=["amount"],
            ),
            models.Index(
                fields=["remittance_id"],
                name="entry_remittance",
                condition=models.Q(remittance_id__isnull=False),
            ),
        ]


class Balance(QuietModel):
    """Cached open balance of one charge, written only by the trigger on LedgerEntry; `prove`
    compares it with the entries.
    """

    audited = False

    charge_id = models.BigIntegerField(primary_key=True)
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="+"
    )
    insurance = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    patient = models.DecimalField(max_digits=12, decimal_places=2, default=0)

    class Meta:
        indexes = [
            models.Index(
                fields=["organization"],
                name="balance_open",
                include=["charge_id", "insurance", "patient"],
                condition=~models.Q(insurance=0) | ~models.Q(patient=0),
            )
        ]
