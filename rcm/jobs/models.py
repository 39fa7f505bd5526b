"""Batch runs that a person can watch: progress, result, errors, rerun."""

from __future__ import annotations

from django.db import models

from rcm.accounts.tenancy import TenantModel


class JobStatus(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


OPEN = (JobStatus.QUEUED, JobStatus.RUNNING)


class JobRun(TenantModel):
    """One run of one kind of batch. `token` fences it: a worker that wakes late with an older token
    writes nothing.
    """

    audited = False

    kind = models.CharField(max_length=40)
    title = models.CharField(max_length=160)
    status = models.CharField(max_length=10, choices=JobStatus.choices, default=JobStatus.QUEUED)
    params = models.JSONField(default=dict)
    total = models.IntegerField(default=0)
    done = models.IntegerField(default=0)
    failed = models.IntegerField(default=0)
    result = models.JSONField(default=dict)
    token = models.IntegerField(default=0)
    tries = models.SmallIntegerField(default=0, help_text="How often a worker began it")
    problem = models.CharField(
        max_length=200, blank=True, help_text="How the last try ended, without a patient's values"
    )
    lease_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    actor_name = models.CharField(max_length=120)
    user_id = models.BigIntegerField(null=True)
    rerun_of = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, related_name="reruns"
    )

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-id"], name="job_recent"),
            models.Index(fields=["status", "lease_until"], name="job_open"),
        ]


class JobError(TenantModel):
    """One subject that a run could not do, with the sentence to act on."""

    append_only = True

    run = models.ForeignKey(JobRun, on_delete=models.CASCADE, related_name="errors")
    subject = models.CharField(max_length=60)
    sentence = models.CharField(max_length=300)


class RobotSwitch(TenantModel):
    """A robot was switched on or off for one organization; the newest row holds. Without a row it
    is on.
    """

    append_only = True

    robot = models.CharField(max_length=30)
    on = models.BooleanField()
    reason = models.CharField(max_length=200)
    at = models.DateTimeField()
    actor_name = models.CharField(max_length=120)
    user_id = models.BigIntegerField(null=True)

    class Meta:
        indexes = [models.Index(fields=["organization", "robot", "-id"], name="robot_switch")]


class RobotRun(TenantModel):
    """What one run of a robot did: touches that nobody had to make, and what it could not do.

    Rows are only added, so that workers never wait for each other's count.
    """

    append_only = True
    audited = False
    public_id = None  # type: ignore[assignment]

    robot = models.CharField(max_length=30)
    at = models.DateTimeField()
    done = models.IntegerField(help_text="Touches saved")
    errors = models.IntegerField(default=0)
    problem = models.CharField(max_length=200, blank=True, help_text="The first error, in words")

    class Meta:
        indexes = [models.Index(fields=["organization", "robot", "-at"], name="robot_run")]
