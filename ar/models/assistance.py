"""Financial assistance: who asked, with which papers, what the scale gives, who decided, and until
when it holds.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from rcm.accounts.charts import PatientKey, SetAside
from rcm.accounts.tenancy import TenantModel


class SlidingScale(TenantModel):
    """One band of an organization's scale: up to this percent of the poverty guideline, this
    discount. The bands of one day are one scale, which holds until that of a later day.
    """

    effective_from = models.DateField()
    up_to_percent = models.IntegerField(help_text="Of the poverty guideline, inclusive")
    discount = models.DecimalField(max_digits=5, decimal_places=2, help_text="In percent")
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "effective_from", "up_to_percent"], name="one_band"
            ),
            models.CheckConstraint(
                condition=Q(discount__gt=0, discount__lte=100, up_to_percent__gt=0),
                name="band_amounts",
            ),
        ]


class AssistanceStatus(models.TextChoices):
    OPEN = "open", "Waits for papers"
    SUBMITTED = "submitted", "Waits for a second person"
    APPROVED = "approved", "Granted"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"


_S = AssistanceStatus
ASSISTANCE_MOVES: dict[str, set[str]] = {
    _S.OPEN: {_S.SUBMITTED, _S.WITHDRAWN},
    _S.SUBMITTED: {_S.OPEN, _S.APPROVED, _S.REFUSED, _S.WITHDRAWN},
    _S.APPROVED: set(),
    _S.REFUSED: set(),
    _S.WITHDRAWN: set(),
}


class Assistance(TenantModel):
    """An application for financial assistance (rule `financial-assistance`). While it is open the
    account is on hold; granted, it holds from a day until a day.
    """

    patient_keys = (
        PatientKey(
            set_aside=SetAside(Q(status__in=["open", "submitted"]), change={"status": _S.WITHDRAWN})
        ),
    )

    patient = models.ForeignKey(
        "intake.Patient", on_delete=models.PROTECT, related_name="assistance"
    )
    status = models.CharField(max_length=9, choices=_S.choices, default=_S.OPEN)
    household_size = models.SmallIntegerField()
    income = models.DecimalField(max_digits=12, decimal_places=2, help_text="Of a year")
    note = models.CharField(max_length=300, blank=True)
    guideline = models.DecimalField(
        max_digits=12, decimal_places=2, null=True, help_text="For this household, of a year"
    )
    guideline_from = models.DateField(null=True, help_text="Since when that guideline stands")
    percent = models.DecimalField(
        max_digits=8, decimal_places=2, null=True, help_text="Income in percent of the guideline"
    )
    discount = models.DecimalField(max_digits=5, decimal_places=2, null=True)
    requested_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    decision_note = models.CharField(max_length=300, blank=True)
    holds_from = models.DateField(null=True)
    holds_until = models.DateField(null=True)
    letter = models.BinaryField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["patient"],
                condition=Q(status__in=["open", "submitted"]),
                name="one_open_application",
            ),
            models.CheckConstraint(
                condition=Q(household_size__gt=0, income__gte=0), name="household"
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True)
                | Q(requested_by__isnull=True)
                | ~Q(decided_by=F("requested_by")),
                name="assistance_maker_is_not_checker",
            ),
            models.CheckConstraint(
                condition=~Q(status="approved")
                | Q(holds_from__isnull=False, holds_until__gte=F("holds_from"), discount__gt=0),
                name="assistance_span",
            ),
        ]


class AssistancePaper(TenantModel):
    """A paper of an application as it was given: kept as it came."""

    append_only = True
    audited = False

    application = models.ForeignKey(Assistance, on_delete=models.PROTECT, related_name="papers")
    what = models.CharField(max_length=60, help_text="Such as tax return, pay stub")
    content = models.BinaryField()
    media_type = models.CharField(max_length=20)
    sha256 = models.CharField(max_length=64)
    size = models.IntegerField()
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["application", "sha256"], name="one_paper_once")
        ]
