"""Queues, work items (rule `work-due`), interactions.

A queue is declared in code by the phase that owns it (`queues.py`, rcm.worklist.registry). An item
has one home: one open row per subject, placed by the first queue of the waterfall that claims it;
further reasons are tags. Items are leased ("work next", SKIP LOCKED) with a fencing token, pended
with a return date, and closed automatically when their cause is gone.
"""

from __future__ import annotations

from datetime import date

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Cast, Coalesce

from rcm.accounts.charts import Follow, PatientKey
from rcm.accounts.tenancy import TenantModel


class ItemStatus(models.TextChoices):
    OPEN = "open", "Open"
    PENDED = "pended", "Pended"
    DONE = "done", "Done"
    CLOSED = "closed", "Closed by itself"


ALLOWED: dict[str, set[str]] = {
    ItemStatus.OPEN: {ItemStatus.PENDED, ItemStatus.DONE, ItemStatus.CLOSED},
    ItemStatus.PENDED: {ItemStatus.OPEN, ItemStatus.DONE, ItemStatus.CLOSED},
    ItemStatus.DONE: {ItemStatus.OPEN},
    ItemStatus.CLOSED: {ItemStatus.OPEN},
}


class WorkItem(TenantModel):
    """One thing that stopped at a gate: why, whose, by when, for how many dollars.

    `subject_type` + `subject_id` name the row it is about (e.g. "denial", 42). `cause` is the code
    of the finding. `dollars` is the amount at risk; `score` orders what is not near its
    deadline (rule `work-priority`), its parts in `facts["score"]`.
    """

    patient_keys = (PatientKey(),)

    site_path = "site_id"
    shows_patient = "patient_id"

    queue = models.CharField(max_length=40)
    subject_type = models.CharField(max_length=30)
    subject_id = models.BigIntegerField()
    cause = models.CharField(max_length=60)
    tags = ArrayField(models.CharField(max_length=60), default=list)
    title = models.CharField(max_length=200, help_text="Why it stopped, in one sentence")
    fix = models.CharField(max_length=200, blank=True, help_text="What to do")
    status = models.CharField(max_length=8, choices=ItemStatus.choices, default=ItemStatus.OPEN)
    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, null=True, related_name="+")
    patient_id = models.BigIntegerField(null=True)
    patient_name = models.CharField(max_length=120, blank=True)
    exam_id = models.BigIntegerField(null=True)
    claim_id = models.BigIntegerField(null=True)
    payer_id = models.BigIntegerField(null=True)
    payer_name = models.CharField(max_length=80, blank=True)
    dollars = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    due_at = models.DateTimeField(help_text="When somebody must have acted")
    deadline_on = models.DateField(
        null=True, help_text="The outer limit: filing, appeal, retro-authorization"
    )
    score = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    owner = models.ForeignKey(
        "accounts.User", on_delete=models.SET_NULL, null=True, related_name="work_items"
    )
    lease_until = models.DateTimeField(null=True)
    lease_token = models.IntegerField(default=0)
    from_pool = models.BooleanField(
        default=False, help_text="Owned by its lease alone: it ends with it"
    )
    pend_until = models.DateField(null=True)
    next_action = models.CharField(max_length=120, blank=True)
    next_action_on = models.DateField(null=True)
    escalated_at = models.DateTimeField(null=True)
    touches = models.IntegerField(default=0)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=60, blank=True)
    version = models.IntegerField(default=0)
    facts = models.JSONField(
        default=dict, help_text="Columns the queue shows: exam, component, CARC, dates"
    )
    # the order of every queue as two columns that rise and are never null: one index answers any
    # page as one row comparison. Cents are whole numbers because row-level security lets only
    # leakproof comparisons use an index, and numeric's is none.
    sort_day = models.GeneratedField(
        expression=Coalesce(F("deadline_on"), Value(date(9999, 12, 31))),
        output_field=models.DateField(),
        db_persist=True,
    )
    sort_cents = models.GeneratedField(
        expression=Cast(F("dollars") * Value(-100), models.BigIntegerField()),
        output_field=models.BigIntegerField(),
        db_persist=True,
    )
    sort_score = models.GeneratedField(
        expression=Cast(F("score") * Value(-100), models.BigIntegerField()),
        output_field=models.BigIntegerField(),
        db_persist=True,
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "subject_type", "subject_id"],
                condition=Q(status__in=["open", "pended"]),
                name="one_home",
            )
        ]
        indexes = [
            models.Index(
                fields=["queue", "sort_day", "sort_cents", "id"],
                name="item_order",
                condition=Q(status="open"),
            ),
            models.Index(
                fields=["queue", "sort_score", "sort_day", "sort_cents", "id"],
                name="item_worth",
                condition=Q(status="open"),
            ),
            models.Index(
                fields=["owner", "queue"],
                name="item_owner",
                condition=Q(status__in=["open", "pended"]),
            ),
            models.Index(fields=["pend_until"], name="item_pended", condition=Q(status="pended")),
            models.Index(
                fields=["organization", "subject_type", "subject_id"], name="item_subject"
            ),
            models.Index(
                fields=["organization", "claim_id"],
                name="item_claim",
                condition=Q(claim_id__isnull=False),
            ),
        ]


class DefaultOwner(TenantModel):
    """Who gets what nobody owns, by queue, payer and site; what is blank says nothing. The row that
    says most decides, of two that say as much the payer's. The database asks it for every new item.
    """

    queue = models.CharField(max_length=40, blank=True)
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.CASCADE, null=True, related_name="+"
    )
    site = models.ForeignKey("accounts.Site", on_delete=models.CASCADE, null=True, related_name="+")
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    actor_name = models.CharField(max_length=120)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "queue", "payer", "site"],
                condition=Q(ended_at__isnull=True),
                nulls_distinct=False,
                name="one_default_owner",
            )
        ]


class Channel(models.TextChoices):
    PHONE = "phone", "Phone"
    PORTAL = "portal", "Portal"
    EMAIL = "email", "E-mail"
    FAX = "fax", "Fax"
    MAIL = "mail", "Mail"
    PERSON = "person", "In person"


class Interaction(TenantModel):
    """One contact with a payer, practice or patient (rule `owner-of-balance`): who, channel,
    reference, promise, outcome.
    """

    patient_keys = (PatientKey(follow=Follow.STAYS),)

    append_only = True

    item = models.ForeignKey(
        WorkItem, on_delete=models.PROTECT, null=True, related_name="interactions"
    )
    claim_id = models.BigIntegerField(null=True)
    patient_id = models.BigIntegerField(null=True)
    channel = models.CharField(max_length=8, choices=Channel.choices)
    contact = models.CharField(max_length=80, blank=True)
    reference = models.CharField(max_length=60, blank=True)
    note = models.CharField(max_length=500)
    promised_on = models.DateField(null=True)
    outcome = models.CharField(max_length=60)
    at = models.DateTimeField()
    actor_name = models.CharField(max_length=120)
    user_id = models.BigIntegerField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["claim_id"], name="interaction_claim"),
            models.Index(fields=["item"], name="interaction_item"),
        ]
