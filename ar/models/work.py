"""What work costs, what it cost before, and who is planned for whom."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from rcm.accounts.permissions import Role
from rcm.accounts.tenancy import TenantModel


class RoleCost(TenantModel):
    """What an hour of one role costs, wages and overhead, from a day on."""

    role = models.CharField(max_length=20, choices=Role.choices)
    cost = models.DecimalField(max_digits=8, decimal_places=2, help_text="Dollars an hour")
    effective_from = models.DateField()
    source = models.CharField(max_length=120)
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "role", "effective_from"], name="one_role_cost"
            ),
            models.CheckConstraint(condition=Q(cost__gt=0), name="role_cost_positive"),
        ]


class WorkBaseline(TenantModel):
    """What the work took before: frozen, with its author and day. Later ones stand beside it, none
    replaces it.
    """

    append_only = True

    first = models.DateField()
    last = models.DateField()
    minutes_per_claim = models.DecimalField(max_digits=8, decimal_places=2)
    cost_to_collect = models.DecimalField(max_digits=6, decimal_places=4, null=True)
    claims = models.IntegerField(help_text="Claims resolved in the period")
    measured = models.BooleanField(help_text="From touches of the product; else told by the client")
    includes = models.CharField(max_length=300, help_text="What the minutes contain")
    source = models.CharField(max_length=200)
    frozen_at = models.DateTimeField()
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(minutes_per_claim__gt=0, last__gte=F("first")),
                name="baseline_makes_sense",
            )
        ]


class StaffPlan(TenantModel):
    """A place in a client's team: hours a week of one skill. Without a person it is a vacancy."""

    user = models.ForeignKey("accounts.User", on_delete=models.PROTECT, null=True, related_name="+")
    skill = models.CharField(max_length=20, choices=Role.choices)
    hours = models.DecimalField(max_digits=5, decimal_places=2, help_text="A week")
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(hours__gt=0, hours__lte=80), name="plan_hours"),
            models.CheckConstraint(
                condition=Q(effective_to__isnull=True) | Q(effective_to__gte=F("effective_from")),
                name="staff_plan_span",
            ),
        ]


class Shift(TenantModel):
    """Hours that a person was there for a client on a day."""

    user = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    day = models.DateField()
    hours = models.DecimalField(max_digits=4, decimal_places=2)
    actor_name = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user", "day"], name="one_shift_a_day"),
            models.CheckConstraint(condition=Q(hours__gt=0, hours__lte=24), name="shift_hours"),
        ]
