"""Prior authorization: rules, reviewers, records, requests, use."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rcm.accounts.charts import PatientKey
from rcm.accounts.tenancy import QuietModel, TenantModel, uuid7


class AuthRule(QuietModel):
    """Is authorization required? Most specific row wins; a null column means any. Shared data with
    its source.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.CASCADE, null=True, related_name="auth_rules"
    )
    plan = models.ForeignKey(
        "reference.Plan", on_delete=models.CASCADE, null=True, related_name="+"
    )
    payer_kind = models.CharField(max_length=14, blank=True)
    state = models.CharField(max_length=2, blank=True)
    code = models.CharField(max_length=5, blank=True)
    modality = models.CharField(max_length=6, blank=True)
    pos = models.CharField(max_length=2, blank=True)
    required = models.BooleanField()
    reviewer = models.CharField(max_length=40, blank=True)
    source = models.CharField(max_length=200)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "payer",
                    "plan",
                    "payer_kind",
                    "state",
                    "code",
                    "modality",
                    "pos",
                    "effective_from",
                ],
                nulls_distinct=False,
                name="one_auth_rule",
            )
        ]


class Crosswalk(QuietModel):
    """A payer's own family rule: what an authorized code also covers (rule
    `authorization-family`).
    """

    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.CASCADE, null=True, related_name="crosswalks"
    )
    authorized = models.CharField(max_length=5)
    performed = models.CharField(max_length=5)
    verdict = models.CharField(max_length=20, help_text="covered, update, new")
    source = models.CharField(max_length=200)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)


class AuthWindow(QuietModel):
    """Until when a payer takes a request after the exam, by what is asked for. Shared data with its
    source; without a row the payer's own columns count.
    """

    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.CASCADE, related_name="auth_windows"
    )
    path = models.CharField(max_length=8, help_text="update, new, retro")
    taken = models.BooleanField(default=True, help_text="No: the payer takes no such request")
    amount = models.SmallIntegerField(null=True, help_text="Blank: not known")
    unit = models.CharField(max_length=14, default="calendar_days")
    starts = models.CharField(
        max_length=10, default="service", help_text="service, approval, report, denial"
    )
    source = models.CharField(max_length=200)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["payer", "path", "effective_from"], name="one_auth_window"
            )
        ]


class Reviewer(QuietModel):
    """Who decides a request, as one reaches them: a benefit manager or the payer itself. A row of a
    payer beats the general one of the same name.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    name = models.CharField(max_length=40)
    payer = models.ForeignKey(
        "reference.Payer", on_delete=models.CASCADE, null=True, related_name="reviewers"
    )
    phone = models.CharField(max_length=10, blank=True)
    fax = models.CharField(max_length=10, blank=True)
    portal = models.URLField(max_length=200, blank=True)
    opens = models.TimeField(null=True, help_text="In the reviewer's own time zone")
    closes = models.TimeField(null=True)
    weekdays = models.CharField(max_length=7, default="12345", help_text="1 is Monday")
    time_zone = models.CharField(max_length=40, default="America/New_York")
    appeal_address = models.CharField(max_length=200, blank=True)
    appeal_fax = models.CharField(max_length=10, blank=True)
    peer_phone = models.CharField(max_length=10, blank=True, help_text="For peer-to-peer calls")
    source = models.CharField(max_length=200)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name", "payer", "effective_from"],
                nulls_distinct=False,
                name="one_reviewer",
            )
        ]


class AuthStatus(models.TextChoices):
    DRAFT = "draft", "To request"
    REQUESTED = "requested", "Requested"
    PENDED = "pended", "Pended by payer"
    APPROVED = "approved", "Approved"
    PARTIAL = "partial", "Partly approved"
    MODIFIED = "modified", "Approved with changes"
    DENIED = "denied", "Denied"
    CANCELLED = "cancelled", "Cancelled"
    EXPIRED = "expired", "Expired"
    NOT_REQUIRED = "not_required", "Not required"


GRANTED = (AuthStatus.APPROVED, AuthStatus.PARTIAL, AuthStatus.MODIFIED)

AUTH_MOVES: dict[str, set[str]] = {
    AuthStatus.DRAFT: {
        AuthStatus.REQUESTED,
        AuthStatus.APPROVED,
        AuthStatus.DENIED,
        AuthStatus.NOT_REQUIRED,
        AuthStatus.CANCELLED,
        AuthStatus.PENDED,
    },
    AuthStatus.REQUESTED: {
        AuthStatus.DRAFT,
        AuthStatus.PENDED,
        *GRANTED,
        AuthStatus.DENIED,
        AuthStatus.NOT_REQUIRED,
        AuthStatus.CANCELLED,
    },
    AuthStatus.PENDED: {*GRANTED, AuthStatus.DENIED, AuthStatus.NOT_REQUIRED, AuthStatus.CANCELLED},
    AuthStatus.APPROVED: {
        AuthStatus.MODIFIED,
        AuthStatus.EXPIRED,
        AuthStatus.CANCELLED,
        AuthStatus.REQUESTED,
    },
    AuthStatus.PARTIAL: {
        AuthStatus.MODIFIED,
        AuthStatus.APPROVED,
        AuthStatus.EXPIRED,
        AuthStatus.CANCELLED,
        AuthStatus.REQUESTED,
    },
    AuthStatus.MODIFIED: {
        AuthStatus.APPROVED,
        AuthStatus.EXPIRED,
        AuthStatus.CANCELLED,
        AuthStatus.REQUESTED,
    },
    AuthStatus.DENIED: {
        AuthStatus.APPROVED,
        AuthStatus.MODIFIED,
        AuthStatus.REQUESTED,
        AuthStatus.CANCELLED,
    },
    AuthStatus.CANCELLED: set(),
    AuthStatus.EXPIRED: {AuthStatus.REQUESTED, AuthStatus.APPROVED, AuthStatus.CANCELLED},
    AuthStatus.NOT_REQUIRED: {
        AuthStatus.DRAFT,
        AuthStatus.REQUESTED,
        AuthStatus.APPROVED,
        AuthStatus.CANCELLED,
    },
}


class Authorization(TenantModel):
    """One authorization case of an appointment: the answer to "is it required", the request, the
    number, its limits.

    "Not required" is kept too, with its evidence (who, reference, rule).
    """

    patient_keys = (PatientKey(derived="appointment__patient_id"),)

    site_path = "site_id"

    patient = models.ForeignKey(
        "intake.Patient", on_delete=models.PROTECT, related_name="authorizations"
    )
    coverage = models.ForeignKey(
        "intake.Coverage", on_delete=models.PROTECT, related_name="authorizations"
    )
    payer = models.ForeignKey("reference.Payer", on_delete=models.PROTECT, related_name="+")
    appointment = models.ForeignKey(
        "intake.Appointment", on_delete=models.SET_NULL, null=True, related_name="authorizations"
    )
    site = models.ForeignKey("accounts.Site", on_delete=models.PROTECT, related_name="+")
    number = models.CharField(max_length=50, blank=True)
    status = models.CharField(max_length=12, choices=AuthStatus.choices, default=AuthStatus.DRAFT)
    kind = models.CharField(
        max_length=10, default="initial", help_text="initial, retro, extension, update"
    )
    member_id = models.CharField(max_length=30)
    diagnoses = models.JSONField(default=list)
    effective_from = models.DateField(null=True)
    effective_to = models.DateField(null=True)
    ordering_npi = models.CharField(max_length=10, blank=True)
    rendering_npi = models.CharField(max_length=10, blank=True)
    facility_npi = models.CharField(max_length=10, blank=True)
    facility_tin = models.CharField(max_length=9, blank=True)
    reviewer = models.CharField(max_length=40, blank=True)
    evidence = models.JSONField(
        default=dict, help_text="Rule, 271 flag or call that says required or not, with its source"
    )
    reference = models.CharField(max_length=60, blank=True, help_text="Call or portal reference")
    contact = models.CharField(max_length=60, blank=True)
    denial_reason = models.CharField(max_length=200, blank=True)
    denial_kind = models.CharField(
        max_length=20, blank=True, help_text="Our own word for the reason: see authorizations.words"
    )
    requested_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)
    decision_due_at = models.DateTimeField(null=True)
    peer_to_peer_by = models.DateField(null=True)
    peer_to_peer_at = models.DateTimeField(null=True, help_text="The hour agreed for the call")
    peer_to_peer_with = models.CharField(
        max_length=120, blank=True, help_text="In whose calendar the call stands"
    )
    version = models.IntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(fields=["organization", "status", "id"], name="auth_status"),
            models.Index(fields=["organization", "number"], name="auth_number"),
            models.Index(fields=["patient", "payer", "-id"], name="auth_patient_payer"),
            models.Index(
                fields=["organization", "decided_at"],
                name="auth_decided",
                condition=Q(decided_at__isnull=False),
            ),
        ]


class AuthorizedService(TenantModel):
    """A code (or family) with units on an authorization; `used` is proven against
    AuthorizationUse.
    """

    authorization = models.ForeignKey(
        Authorization, on_delete=models.CASCADE, related_name="services"
    )
    ordered_exam = models.ForeignKey(
        "intake.OrderedExam", on_delete=models.SET_NULL, null=True, related_name="authorized"
    )
    code = models.CharField(max_length=5)
    laterality = models.CharField(max_length=2, blank=True)
    units = models.SmallIntegerField(default=1)
    used = models.SmallIntegerField(default=0)
    status = models.CharField(max_length=12, default="requested")
    asked_units = models.SmallIntegerField(null=True, help_text="As asked; blank: never asked for")
    asked_laterality = models.CharField(max_length=2, blank=True)
    reason = models.CharField(max_length=200, blank=True, help_text="The payer's, of this line")
    replaces = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        related_name="replaced_by",
        help_text="The line asked for in whose place the payer granted this one",
    )

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(units__gt=0), name="auth_units_positive")]


class AuthorizationUse(TenantModel):
    """Units of an authorization taken by one performed exam. `exam_id` is a plain key: the exam
    belongs to a later phase.
    """

    service = models.ForeignKey(AuthorizedService, on_delete=models.PROTECT, related_name="uses")
    exam_id = models.BigIntegerField()
    units = models.SmallIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["service", "exam_id"], name="one_use")]


class AuthRequest(TenantModel):
    """One 278 sent (or a portal/phone request) and its answer."""

    authorization = models.ForeignKey(
        Authorization, on_delete=models.CASCADE, related_name="requests"
    )
    channel = models.CharField(max_length=8, default="278", help_text="278, portal, phone, fhir")
    trace = models.CharField(max_length=50)
    action = models.CharField(max_length=3, blank=True, help_text="HCR01 of the answer")
    reason = models.CharField(max_length=200, blank=True)
    request = models.ForeignKey(
        "exchange.Interchange", on_delete=models.PROTECT, null=True, related_name="+"
    )
    response = models.ForeignKey(
        "exchange.Interchange", on_delete=models.PROTECT, null=True, related_name="+"
    )
    reference = models.CharField(
        max_length=60, blank=True, help_text="The payer's own, in whatever state"
    )
    promised_at = models.DateTimeField(null=True, help_text="By phone: until when they answer")
    urgent = models.BooleanField(default=False, help_text="Asked as expedited")
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)

    @property
    def said(self) -> str:
        """The answer in words."""
        from authorizations.replies import ACTION_WORDS

        return ACTION_WORDS.get(self.action, "Not taken" if self.answered_at else "")

    @property
    def by(self) -> str:
        """The way it was asked, in words."""
        return {"278": "278", "fhir": "FHIR"}.get(self.channel, self.channel.capitalize())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "trace"], name="one_278_trace")
        ]
