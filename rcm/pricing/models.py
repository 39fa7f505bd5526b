"""Fee schedules, localities, contracts and list prices (rule `fee-schedule-amount`). Arithmetic
lives in the pure modules beside this file.
"""

from __future__ import annotations

from django.db import models

from rcm.accounts.tenancy import TenantModel
from rcm.reference.models import Dated


class FeeRow(Dated):
    """One row of the physician fee schedule: code and component (mod blank, 26 or TC). RVUs and
    indicators as published.
    """

    schedule = models.CharField(max_length=20, default="mpfs")
    year = models.IntegerField()
    code = models.CharField(max_length=5)
    mod = models.CharField(max_length=2, blank=True)
    status = models.CharField(max_length=1, blank=True)
    work = models.DecimalField(max_digits=8, decimal_places=4, null=True)
    pe_nonfac = models.DecimalField(max_digits=8, decimal_places=4, null=True)
    pe_fac = models.DecimalField(max_digits=8, decimal_places=4, null=True)
    mp = models.DecimalField(max_digits=8, decimal_places=4, null=True)
    nonfac_na = models.BooleanField(default=False)
    fac_na = models.BooleanField(default=False)
    pctc = models.CharField(max_length=1, blank=True)
    mult_proc = models.CharField(max_length=1, blank=True)
    bilat = models.CharField(max_length=1, blank=True)
    family = models.CharField(max_length=2, blank=True)
    supervision = models.CharField(max_length=2, blank=True)
    opps_cap_pe = models.DecimalField(max_digits=8, decimal_places=4, null=True)
    opps_cap_mp = models.DecimalField(max_digits=8, decimal_places=4, null=True)
    conversion_factor = models.DecimalField(max_digits=9, decimal_places=4, null=True)
    global_only = models.BooleanField(
        default=False, help_text="Only the global row of this year is known"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["schedule", "year", "code", "mod", "effective_from"], name="one_fee_row"
            )
        ]


class Gpci(Dated):
    year = models.IntegerField()
    carrier = models.CharField(max_length=5)
    locality = models.CharField(max_length=2)
    name = models.CharField(max_length=80, blank=True)
    state = models.CharField(max_length=2, blank=True)
    work = models.DecimalField(max_digits=6, decimal_places=3)
    pe = models.DecimalField(max_digits=6, decimal_places=3)
    mp = models.DecimalField(max_digits=6, decimal_places=3)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["year", "carrier", "locality", "effective_from"], name="one_gpci"
            )
        ]


class ZipLocality(Dated):
    zip5 = models.CharField(max_length=5)
    plus4 = models.CharField(max_length=4, blank=True)
    carrier = models.CharField(max_length=5)
    locality = models.CharField(max_length=2)
    state = models.CharField(max_length=2, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["zip5", "plus4", "effective_from"], name="one_zip")
        ]


class LocalityCounty(Dated):
    """Which counties a payment locality holds in a year; a blank county is every county of the
    state that no other locality names.
    """

    year = models.IntegerField()
    carrier = models.CharField(max_length=5)
    locality = models.CharField(max_length=2)
    state = models.CharField(max_length=40, help_text="As the file names it")
    area = models.CharField(max_length=120, blank=True)
    county = models.CharField(max_length=60, blank=True)
    words = models.CharField(
        max_length=300, blank=True, help_text="What the file says of its other counties"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["year", "carrier", "locality", "state", "county", "effective_from"],
                name="one_locality_county",
            )
        ]


class OppsCap(Dated):
    """Published cap amounts by locality where a file gives them."""

    code = models.CharField(max_length=5)
    mod = models.CharField(max_length=2, blank=True)
    carrier = models.CharField(max_length=5)
    locality = models.CharField(max_length=2)
    nonfac = models.DecimalField(max_digits=10, decimal_places=2)
    fac = models.DecimalField(max_digits=10, decimal_places=2, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["code", "mod", "carrier", "locality", "effective_from"], name="one_cap"
            )
        ]


class Contract(TenantModel):
    """What a payer has agreed to pay one organization (or one of its sites), from a date.

    `method` and the terms `percent`, `year` are its general rate; rates of ContractRate are
    narrower. Other terms: lesser_of, mppr_scope, mppr_pc_pct, mppr_tc_pct, mppr_global_pct,
    mppr_cardio_tc_pct, opps_cap, equipment_reductions, sequestration, bilateral_pct, locality.
    Percentages say what is paid (95 = the second reading is paid at 95 %). rcm.pricing.terms reads
    and checks them.
    """

    name = models.CharField(max_length=80)
    payer = models.ForeignKey("reference.Payer", on_delete=models.PROTECT, related_name="contracts")
    plan = models.ForeignKey("reference.Plan", on_delete=models.PROTECT, null=True, blank=True)
    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, null=True, blank=True)
    method = models.CharField(
        max_length=24, help_text="percent_of_medicare, percent_of_charge, flat, per_component, …"
    )
    terms = models.JSONField(default=dict)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["organization", "payer", "effective_from"], name="contract_payer")
        ]

    @property
    def method_words(self) -> str:
        """The general rate in words, such as "112.5% of Medicare"."""
        percent = self.terms.get("percent")
        if self.method == "flat" or not percent:
            return (
                "Rates by code"
                if self.method == "flat"
                else f"Rates by {self.method.replace('_', ' ')}"
            )
        return f"{percent}% of {'Medicare' if self.method == 'percent_of_medicare' else 'charge'}"


class ContractRate(TenantModel):
    """A rate or carve-out of a contract: by code, family or modality, component and date."""

    contract = models.ForeignKey(Contract, on_delete=models.CASCADE, related_name="rates")
    code = models.CharField(max_length=5, blank=True)
    modality = models.CharField(max_length=6, blank=True)
    mod = models.CharField(
        max_length=6,
        blank=True,
        help_text="Part of the test: 26, TC, global; blank by the method's rule",
    )
    modifier = models.CharField(
        max_length=2, blank=True, help_text="Only for lines that carry this modifier"
    )
    method = models.CharField(max_length=24)
    amount = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    percent = models.DecimalField(max_digits=7, decimal_places=3, null=True)
    medicare_year = models.IntegerField(
        null=True, help_text="Fee schedule year that a percent-of-Medicare rate is pinned to"
    )
    carve_out = models.BooleanField(
        default=False, help_text="Paid as written: no reduction, no lesser-of"
    )
    effective_from = models.DateField()
    effective_to = models.DateField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["contract", "code", "modality", "mod", "modifier", "effective_from"],
                name="one_contract_rate",
            )
        ]


class ListPrice(TenantModel):
    """The organization's own charge for a code and component."""

    code = models.CharField(max_length=5)
    mod = models.CharField(max_length=2, blank=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "code", "mod", "effective_from"], name="one_list_price"
            )
        ]
