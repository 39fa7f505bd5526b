"""Partner connections, every inbound and outbound interchange byte for byte, and the outbox.

Bytes are stored first and acknowledged only then; they are parsed second, by Celery, idempotently.
The same content twice is one interchange with a count of deliveries. The outbox holds domain events
and sends; the broker is only a wake-up call.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rcm.accounts.tenancy import TenantModel


class ConnectionKind(models.TextChoices):
    MLLP = "mllp", "HL7 over MLLP"
    DICOM = "dicom", "DICOM MPPS"
    HTTP = "http", "HTTP (CORE-style)"
    UPLOAD = "upload", "Upload by a person"
    API = "api", "REST API"
    WEBHOOK = "webhook", "Webhook"


SENDS = (ConnectionKind.HTTP, ConnectionKind.WEBHOOK)
"""Connections over which a worker sends what waits."""


class Connection(TenantModel):
    """A partner and how it is reached. `sender` is how it names itself: HL7 MSH-3|MSH-4, AE title,
    or ISA sender id.
    """

    kind = models.CharField(max_length=10, choices=ConnectionKind.choices)
    name = models.CharField(max_length=80)
    sender = models.CharField(max_length=60, blank=True)
    url = models.CharField(max_length=300, blank=True)
    config = models.JSONField(default=dict)
    active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "sender"], condition=~Q(sender=""), name="one_sender"
            )
        ]


class WebhookCursor(TenantModel):
    """How far the steps were read for a webhook: every transaction below `tx` was told of, and of
    `tx` itself the steps up to `step_id`.
    """

    public_id = None  # type: ignore[assignment]
    audited = False

    connection = models.OneToOneField(Connection, on_delete=models.CASCADE, related_name="cursor")
    tx = models.BigIntegerField()
    step_id = models.BigIntegerField(default=0)


class Direction(models.TextChoices):
    IN = "in", "In"
    OUT = "out", "Out"


class WorkQueue(models.TextChoices):
    """The Celery queue whose workers do a piece of work; a batch of ten thousand never stands
    before an eligibility check.
    """

    REALTIME = "realtime", "Realtime"
    BATCH = "batch", "Batch"
    POSTING = "posting", "Posting"


class InterchangeStatus(models.TextChoices):
    STORED = "stored", "Stored"
    PROCESSED = "processed", "Processed"
    QUARANTINED = "quarantined", "Quarantined"
    FAILED = "failed", "Failed"
    REFUSED = "refused", "Refused"
    SENDING = "sending", "Sending"
    SENT = "sent", "Sent"


_S = InterchangeStatus
ALLOWED: dict[str, set[str]] = {
    _S.STORED: {_S.PROCESSED, _S.QUARANTINED, _S.FAILED, _S.REFUSED, _S.SENDING},
    _S.PROCESSED: {_S.STORED},
    _S.QUARANTINED: {_S.STORED, _S.PROCESSED, _S.REFUSED},
    _S.FAILED: {_S.STORED, _S.REFUSED, _S.SENDING},
    _S.REFUSED: {_S.STORED},
    _S.SENDING: {_S.SENT, _S.FAILED, _S.REFUSED},
    _S.SENT: set(),
}


class Interchange(TenantModel):
    """One file or message as it came or went. `content` never changes; `status`, `attempts` and
    `error` do.
    """

    direction = models.CharField(max_length=3, choices=Direction.choices)
    kind = models.CharField(max_length=20, help_text="ADT, ORM, ORU, MPPS, 837P, 999, 835 …")
    connection = models.ForeignKey(
        Connection, on_delete=models.PROTECT, null=True, related_name="interchanges"
    )
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    size = models.IntegerField()
    media_type = models.CharField(max_length=60, default="application/octet-stream")
    file_name = models.CharField(max_length=200, blank=True)
    control_number = models.CharField(
        max_length=80, blank=True, help_text="MSH-3+MSH-10, ISA13, or SOP instance UID"
    )
    ordering_key = models.CharField(
        max_length=80,
        blank=True,
        help_text="Messages of one key are processed in order (accession)",
    )
    status = models.CharField(
        max_length=12, choices=InterchangeStatus.choices, default=InterchangeStatus.STORED
    )
    error = models.CharField(max_length=500, blank=True)
    deliveries = models.IntegerField(default=1)
    queue = models.CharField(max_length=10, choices=WorkQueue.choices, default=WorkQueue.BATCH)
    attempts = models.IntegerField(default=0)
    due_at = models.DateTimeField(
        null=True,
        help_text="Next try, once one was made; empty when none was made since it was stored",
    )
    processed_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(help_text="Business time of arrival or departure")
    answer_to = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, related_name="answers"
    )
    part_of = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        related_name="parts",
        help_text="The file of several messages that this one came in",
    )
    summary = models.JSONField(
        default=dict, help_text="Counts and totals shown in the browser; no patient values"
    )

    audited = False

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "direction", "kind", "sha256"],
                condition=Q(direction="in"),
                name="same_bytes_once",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="interchange_recent"),
            models.Index(fields=["organization", "kind", "-id"], name="interchange_kind"),
            models.Index(
                fields=["organization", "kind", "control_number"], name="interchange_control"
            ),
            models.Index(
                fields=["organization", "queue", "id"],
                name="interchange_waiting",
                condition=Q(status__in=["stored", "sending"]),
            ),
            models.Index(
                fields=["organization", "ordering_key", "id"],
                name="interchange_order",
                condition=Q(status="stored"),
            ),
            models.Index(fields=["organization", "status", "-id"], name="interchange_status"),
            models.Index(fields=["connection", "direction", "-id"], name="interchange_partner"),
        ]


class SetOutcome(models.TextChoices):
    """What became of one transaction set of a received file."""

    READ = "read", "Read"
    REPEATED = "repeated", "Here before, refused"
    HELD = "held", "Held for a person"
    REFUSED = "refused", "Read, could not be applied"
    UNREAD = "unread", "Could not be read"
    NOBODY = "nobody", "Nobody reads this kind"


class ReceivedSet(TenantModel):
    """One ST of a received X12 file and what became of it: none of a file's sets is passed over in
    silence.
    """

    audited = False
    public_id = None  # type: ignore[assignment]

    interchange = models.ForeignKey(Interchange, on_delete=models.CASCADE, related_name="sets")
    position = models.BigIntegerField(help_text="Segment number of the ST in the file, from 1")
    kind = models.CharField(max_length=20)
    interchange_control = models.CharField(max_length=20, blank=True, help_text="ISA13")
    group_control = models.CharField(max_length=20, blank=True, help_text="GS06")
    set_control = models.CharField(max_length=20, blank=True, help_text="ST02")
    outcome = models.CharField(max_length=8, choices=SetOutcome.choices)
    sentence = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["interchange", "position"], name="one_received_set")
        ]
        indexes = [
            models.Index(
                fields=["organization", "outcome"],
                name="received_set_outcome",
                condition=~Q(outcome="read"),
            )
        ]


class ControlCounter(TenantModel):
    """Next control number of one kind for one organization; taken with UPDATE … RETURNING."""

    audited = False
    public_id = None  # type: ignore[assignment]

    kind = models.CharField(max_length=20)
    value = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "kind"], name="one_counter")]


class Outbox(TenantModel):
    """One domain event for one subscriber, written in the transaction that caused it.

    Delivered at least once by whoever finds it due; handled once, because `delivered_at` is set in
    the transaction of the handler's effect and only by the try whose number stands in `attempts`.
    """

    audited = False

    topic = models.CharField(max_length=60, help_text="Domain event such as exam.completed")
    subscriber = models.CharField(max_length=80)
    queue = models.CharField(max_length=10, choices=WorkQueue.choices, default=WorkQueue.BATCH)
    payload = models.JSONField(default=dict, help_text="Ids only")
    due_at = models.DateTimeField()
    attempts = models.IntegerField(default=0)
    delivered_at = models.DateTimeField(null=True)
    parked_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["organization", "queue", "subscriber", "id"],
                name="outbox_open",
                condition=Q(delivered_at__isnull=True, parked_at__isnull=True),
            ),
            models.Index(
                fields=["organization", "-id"],
                name="outbox_parked",
                condition=Q(parked_at__isnull=False),
            ),
            models.Index(
                fields=["delivered_at"], name="outbox_done", condition=Q(delivered_at__isnull=False)
            ),
        ]


class IdempotencyKey(TenantModel):
    """First answer of an API write by client and key. Kept seven days."""

    audited = False
    public_id = None  # type: ignore[assignment]

    client = models.CharField(max_length=120)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.IntegerField(null=True)
    body = models.JSONField(null=True)
    locked_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "client", "key"], name="one_key")
        ]


class Hold(models.Model):
    """Everything that leaves waits while a row without `released_at` stands; a restore puts it.

    Of the whole product, so without an organization.
    """

    at = models.DateTimeField()
    reason = models.CharField(max_length=200)
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=120, blank=True)
    release_reason = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.reason
