"""Organizations, sites, users and what each may see.

Identity tables (user, membership, organization, site) carry no row-level security: sign-in needs
them before a scope exists. Screens still list them only through the actor.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models

from rcm.accounts.actor import Actor, Grant, Place
from rcm.accounts.permissions import Role, permissions_of
from rcm.accounts.tenancy import QuietModel, TenantModel, uuid7

# the demo's users and client, whose passwords are printed: in production they are nobody
DEMO_DOMAIN, DEMO_CLIENT = "demo.example", "demo-partner"


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_superuser=True, **fields)


class User(QuietModel, AbstractBaseUser, PermissionsMixin):
    """A person who signs in by e-mail. Rights come from memberships, never from Django's permission
    tables.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    email = models.EmailField(unique=True)
    first_name = models.CharField(max_length=60)
    last_name = models.CharField(max_length=60)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(auto_now_add=True)
    hotkeys = models.BooleanField(default=True)
    theme = models.CharField(
        max_length=6,
        default="auto",
        choices=[("auto", "System"), ("light", "Light"), ("dark", "Dark")],
    )
    density = models.CharField(
        max_length=8, default="regular", choices=[("regular", "Regular"), ("compact", "Compact")]
    )

    lacks_factor = False
    objects = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["first_name", "last_name"]
    is_staff = False

    @property
    def is_platform_administrator(self) -> bool:
        """Looks after accounts: sign-in, factors, sessions. It gives no right in an organization,
        and no screen gives it: `manage.py platform_admin` does.
        """
        return self.is_active and self.is_superuser

    @property
    def is_demo(self) -> bool:
        return self.email.endswith(f"@{DEMO_DOMAIN}")

    @property
    def display_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip() or self.email

    def get_full_name(self) -> str:
        return self.display_name

    def actor(self) -> Actor:
        """The person as an actor: each membership with its own place. One query, and one more where
        a membership is limited to a site or asks for a second factor.

        A role for which its organization asks for a second factor gives no right until the person
        has one (`lacks_factor` says so).
        """
        rows = self._held(
            self.memberships.values_list(
                "organization_id", "site_id", "role", "organization__factor_roles"
            )
        )
        known: list[Place] = []
        if any(site for _, site, _ in rows):
            of = {o for o, _, _ in rows}
            found = Site.objects.filter(organization_id__in=of)
            known = [Place(o, pk) for o, pk in found.values_list("organization_id", "id")]
        return Actor.holding(
            (Grant(Place(o, site), permissions_of(role), role) for o, site, role in rows),
            name=self.display_name,
            kind="person",
            user_id=self.pk,
            known_sites=known,
        )

    def _held(
        self, rows: Iterable[tuple[int, int | None, str, list[str]]]
    ) -> list[tuple[int, int | None, str]]:
        """The memberships that give rights: those that ask for a second factor only with one."""
        found = list(rows)
        asks = any(role in asked for _, _, role, asked in found)
        self.lacks_factor = asks and not self.has_factor()
        return [
            (organization, site, role)
            for organization, site, role, asked in found
            if not (self.lacks_factor and role in asked)
        ]

    def has_factor(self) -> bool:
        """Whether a second factor or a passkey is set up; then every sign-in asks for it."""
        factors = self.authenticator_set  # type: ignore[attr-defined]  # allauth's reverse key
        return bool(factors.exclude(type="recovery_codes").exists())


class Organization(QuietModel):
    """An imaging group, client of the billing office, and the billing provider of its claims."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    code = models.CharField(
        max_length=20,
        unique=True,
        help_text="Short code used by partners (HL7 MSH-6, X12 submitter)",
    )
    name = models.CharField(max_length=120)
    npi = models.CharField(max_length=10)
    tin = models.CharField(max_length=9)
    taxonomy = models.CharField(max_length=10, default="261QR0200X")
    address = models.CharField(max_length=100)
    city = models.CharField(max_length=60)
    state = models.CharField(max_length=2)
    zip = models.CharField(max_length=9)
    phone = models.CharField(max_length=10, blank=True)
    contact = models.CharField(max_length=60, blank=True)
    is_idtf = models.BooleanField(default=False)
    active = models.BooleanField(default=True)
    write_off_limit = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        default="100.00",
        help_text="Above it a second person approves",
    )
    factor_roles = ArrayField(
        models.CharField(max_length=20),
        default=list,
        blank=True,
        help_text="Roles that give rights only with a second factor",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def organization_id(self) -> int:
        """Its own: a right is asked for an organization as for any row of it."""
        return int(self.pk)


class Site(QuietModel):
    """A place where exams are done. Its ZIP decides the payment locality, its state the rules, its
    zone the clocks.
    """

    site_path = "pk"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="sites")
    code = models.CharField(
        max_length=30, unique=True, help_text="Location code used by partners (HL7 PV1-3, AIL)"
    )
    name = models.CharField(max_length=120)
    npi = models.CharField(max_length=10)
    address = models.CharField(max_length=100)
    city = models.CharField(max_length=60)
    state = models.CharField(max_length=2)
    zip = models.CharField(max_length=9)
    phone = models.CharField(max_length=10, blank=True)
    time_zone = models.CharField(max_length=40, default="America/Chicago")
    pos = models.CharField(max_length=2, default="11")
    mqsa = models.CharField(max_length=10, blank=True, help_text="Mammography certification number")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(QuietModel):
    """A role of a user in an organization, for one site or for all."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="memberships"
    )
    site = models.ForeignKey(Site, on_delete=models.CASCADE, null=True, blank=True)
    role = models.CharField(max_length=20, choices=Role.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "organization", "site", "role"],
                nulls_distinct=False,
                name="one_membership",
            ),
        ]


class InvitationStatus(models.TextChoices):
    WAITING = "waiting", "Waiting for an answer"
    ACCEPTED = "accepted", "Accepted"
    DECLINED = "declined", "Declined"
    WITHDRAWN = "withdrawn", "Withdrawn"


class Invitation(QuietModel):
    """A role offered to a person, who alone accepts it: until then they do not work there.

    `first_name` and `last_name` are what the administrator typed. What the account of a known
    address is called is none of the inviting organization's business.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="invitations"
    )
    site = models.ForeignKey(Site, on_delete=models.CASCADE, null=True, blank=True)
    role = models.CharField(max_length=20, choices=Role.choices)
    email = models.EmailField()
    first_name = models.CharField(max_length=60)
    last_name = models.CharField(max_length=60)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="invitations")
    invited_by = models.CharField(max_length=120)
    status = models.CharField(
        max_length=10, choices=InvitationStatus.choices, default=InvitationStatus.WAITING
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "organization", "site", "role"],
                condition=models.Q(status="waiting"),
                nulls_distinct=False,
                name="one_waiting_invitation",
            ),
        ]

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class PlatformAct(QuietModel):
    """What a platform administrator did to an account, and why. Accounts belong to no
    organization: these rows are read by platform administrators alone.
    """

    append_only = True

    at = models.DateTimeField(auto_now_add=True)
    by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, related_name="+", help_text="Empty: the shell"
    )
    by_name = models.CharField(max_length=120)
    verb = models.CharField(max_length=40)
    account = models.ForeignKey(User, on_delete=models.PROTECT, related_name="platform_acts")
    sentence = models.CharField(max_length=250)
    reason = models.CharField(max_length=250)

    class Meta:
        ordering = ["-id"]


class Partner(QuietModel):
    """A partner system: binds an OAuth2 client to one organization. A client without a row here
    reaches nothing.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="partners"
    )
    name = models.CharField(max_length=80)
    application = models.OneToOneField(
        "oauth2_provider.Application", on_delete=models.CASCADE, related_name="partner"
    )
    scopes = models.JSONField(default=list, help_text="The most this client may ask for")
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)


class FormKey(TenantModel):
    """A form that was sent: its one-time key, what it said, and where it led. Kept seven days."""

    audited = False

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=64)
    values = models.CharField(max_length=64, help_text="Digest of address and values")
    location = models.CharField(max_length=400, blank=True, help_text="Where its answer led")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user", "key"], name="one_form_key")
        ]
