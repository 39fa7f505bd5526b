"""Who changed what (by trigger), who read whose chart, and the thread's own story (events).

`Change` is written by the database alone (rcm.accounts.database). `Event` is the transition row of
every status and every remarkable step, human or machine, in words: the timelines of exam, claim,
patient and work item are one query on it.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from rcm.accounts.charts import Follow, PatientKey
from rcm.accounts.tenancy import QuietModel, TenantModel, organization_key


class Change(QuietModel):
    """One row change: before and after of the columns that differ, author, request."""

    append_only = True
    audited = False

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False
    )
    table_name = models.CharField(max_length=63)
    row_id = models.BigIntegerField()
    op = models.CharField(max_length=1)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    actor = models.CharField(max_length=200)
    request_id = models.CharField(max_length=80)
    at = models.DateTimeField()
    tx = models.BigIntegerField(db_default=0, editable=False, help_text="Set by the database")

    class Meta:
        indexes = [
            models.Index(fields=["table_name", "row_id"], name="change_row"),
            BrinIndex(fields=["at"], name="change_at"),
            BrinIndex(fields=["tx"], name="change_tx"),
        ]


class Access(TenantModel):
    """One read of a patient's chart by a person or partner."""

    patient_keys = (PatientKey(follow=Follow.STAYS),)

    shows_patient = "patient_id"
    append_only = True
    audited = False

    patient_id = models.BigIntegerField()
    actor_name = models.CharField(max_length=120)
    actor_kind = models.CharField(max_length=10)
    user_id = models.BigIntegerField(null=True)
    purpose = models.CharField(max_length=60, help_text="What was read: route name or export")
    request_id = models.CharField(max_length=80, blank=True)
    author = models.CharField(
        max_length=200, db_default="", editable=False, help_text="Set by the database"
    )
    tx = models.BigIntegerField(db_default=0, editable=False, help_text="Set by the database")

    class Meta:
        indexes = [
            models.Index(fields=["organization", "patient_id", "-id"], name="access_patient"),
            BrinIndex(fields=["tx"], name="access_tx"),
        ]


class Event(TenantModel):
    """One step of the thread: who or what did it, when, why, in a sentence without clinical detail.

    Keys are plain numbers because this room knows no phase. `at` is business time (the demo replays
    a calendar).
    """

    patient_keys = (PatientKey(follow=Follow.STAYS),)

    shows_patient = "patient_id"
    append_only = True
    audited = False

    organization = organization_key(db_index=False)
    at = models.DateTimeField()
    verb = models.CharField(max_length=60, help_text="Stable dotted name such as claim.submitted")
    sentence = models.CharField(max_length=300)
    reason = models.CharField(max_length=300, blank=True)
    old_status = models.CharField(max_length=30, blank=True)
    new_status = models.CharField(max_length=30, blank=True)
    actor_name = models.CharField(max_length=120)
    actor_kind = models.CharField(max_length=10)
    user_id = models.BigIntegerField(null=True)
    patient_id = models.BigIntegerField(null=True)
    ordered_exam_id = models.BigIntegerField(null=True)
    authorization_id = models.BigIntegerField(null=True)
    exam_id = models.BigIntegerField(null=True)
    claim_id = models.BigIntegerField(null=True)
    denial_id = models.BigIntegerField(null=True)
    work_item_id = models.BigIntegerField(null=True)
    interchange_id = models.BigIntegerField(null=True)
    remittance_id = models.BigIntegerField(null=True)
    data = models.JSONField(default=dict)
    author = models.CharField(
        max_length=200,
        db_default="",
        editable=False,
        help_text="Who was signed in, set by the database; a step of the machine names the machine",
    )
    tx = models.BigIntegerField(db_default=0, editable=False, help_text="Set by the database")

    class Meta:
        indexes = [
            models.Index(
                fields=[key, "at"],
                name=f"event_{key[:-3]}"[:30],
                condition=models.Q(**{f"{key}__isnull": False}),
            )
            for key in (
                "patient_id",
                "ordered_exam_id",
                "authorization_id",
                "exam_id",
                "claim_id",
                "denial_id",
                "work_item_id",
                "interchange_id",
                "remittance_id",
            )
        ] + [
            models.Index(fields=["organization", "verb", "at"], name="event_verb"),
            BrinIndex(fields=["tx"], name="event_tx"),
        ]

    @property
    def by_machine(self) -> bool:
        return self.actor_kind == "system"

    @property
    def who(self) -> str:
        """A person's name, or the room of the machine: an automatic step carries the name of its
        subscription (charges.report.final).
        """
        return (
            self.actor_name.partition(".")[0].capitalize() if self.by_machine else self.actor_name
        )


class Seal(TenantModel):
    """A link of an organization's chain: some rows of one log table, each with its digest, and the
    digest of the link before. Written by `isocenter_seal()` in the database alone, behind the work.

    `ids` and `digests` (32 bytes each) stand in one order; `shape` names the columns that were
    hashed, so that a column of a later release does not break an old seal.
    """

    append_only = True
    audited = False

    number = models.IntegerField()
    table_name = models.CharField(max_length=63)
    shape = models.TextField()
    from_tx = models.BigIntegerField()
    upto_tx = models.BigIntegerField()
    count = models.IntegerField()
    ids = ArrayField(models.BigIntegerField())
    digests = models.BinaryField()
    previous = models.BinaryField()
    digest = models.BinaryField()

    class Meta:
        ordering = ["organization", "number"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="one_seal_of_a_number")
        ]
        indexes = [
            models.Index(fields=["organization", "table_name", "-upto_tx"], name="seal_upto"),
        ]
