"""Who stands how with which payer, by date: the organization that bills, its sites, its readers
(rules `network-status` and `provider-enrolled`).
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Coalesce

from rcm.accounts.tenancy import TenantModel


class Party(models.TextChoices):
    ORGANIZATION = "organization", "Billing organization"
    SITE = "site", "Site"
    READER = "reader", "Reader"


class Standing(models.TextChoices):
    IN = "in", "In network"
    OUT = "out", "Out of network"
    PENDING = "pending", "Pending"
    NONE = "none", "Not enrolled"


TONES = {
    Standing.IN: "good",
    Standing.OUT: "bad",
    Standing.PENDING: "warn",
    Standing.NONE: "bad",
}
ENROLLED = (Standing.IN, Standing.OUT)
"""The payer knows the provider and takes its claims; out of network it only pays them otherwise."""

PERSONS = (Party.ORGANIZATION, Party.READER)
"""Who is enrolled by NPI; a site only stands in or out of the network."""


class NetworkSheet(TenantModel):
    """A sheet of spans as it was sent: its bytes, kept once, and what it did when first loaded."""

    append_only: ClassVar[bool] = True

    name = models.CharField(max_length=80)
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()
    loaded_by = models.CharField(max_length=120)
    loaded_at = models.DateTimeField()
    rows = models.IntegerField()
    added = models.IntegerField()
    changed = models.IntegerField()
    refused = models.IntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "sha256"], name="one_network_sheet")
        ]


class Days(Func):
    """The days of a span as a range."""

    function = "daterange"
    output_field = DateRangeField()


class NetworkSpan(TenantModel):
    """How one party stands with one payer (or one of its plans) from a day on.

    Status and first day are never changed. A span without a last day is given one once; a span
    that was wrong is withdrawn, with the reason, and stays to be read. So what was known on any
    past day can be asked.
    """

    site_path: ClassVar[str | None] = "site_id"

    kind = models.CharField(max_length=12, choices=Party.choices)
    site = models.ForeignKey(
        "accounts.Site", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    npi = models.CharField(max_length=10, blank=True, help_text="Of an organization or a reader")
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.PROTECT, related_name="network_spans"
    )
    plan = models.ForeignKey(
        "reference.Plan", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    status = models.CharField(max_length=8, choices=Standing.choices)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True, blank=True)
    note = models.CharField(max_length=200, blank=True)
    sheet = models.ForeignKey(
        NetworkSheet, on_delete=models.PROTECT, null=True, blank=True, related_name="spans"
    )
    recorded_by = models.CharField(max_length=120)
    recorded_at = models.DateTimeField(help_text="Since when this was known")
    ended_by = models.CharField(max_length=120, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When its last day was set")
    withdrawn_by = models.CharField(max_length=120, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["organization", "payer", "npi"], name="network_by_payer"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(effective_to__isnull=True) | Q(effective_to__gte=F("effective_from")),
                name="network_span_runs_forward",
            ),
            models.CheckConstraint(
                condition=Q(kind=Party.SITE, site__isnull=False, npi="")
                | (Q(kind__in=PERSONS, site__isnull=True) & ~Q(npi="")),
                name="network_span_names_its_party",
            ),
            ExclusionConstraint(
                name="one_standing_a_day",
                expressions=[
                    ("organization", RangeOperators.EQUAL),
                    ("kind", RangeOperators.EQUAL),
                    (Coalesce(F("site"), Value(0)), RangeOperators.EQUAL),
                    ("npi", RangeOperators.EQUAL),
                    ("payer", RangeOperators.EQUAL),
                    (Coalesce(F("plan"), Value(0)), RangeOperators.EQUAL),
                    (
                        Days(
                            "effective_from",
                            "effective_to",
                            RangeBoundary(inclusive_lower=True, inclusive_upper=True),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=Q(withdrawn_at__isnull=True),
            ),
        ]

    @property
    def tone(self) -> str:
        """How its tag is drawn."""
        return TONES[Standing(self.status)]
