"""What the simulated payers remember. Their own books: no organization of the product, no key into
its tables.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rcm.accounts.tenancy import QuietModel


class Call(QuietModel):
    """One request by its Idempotency-Key and its answer: a repeat gets the same bytes and has no
    second effect.
    """

    key = models.CharField(max_length=80, unique=True)
    path = models.CharField(max_length=40)
    sha256 = models.CharField(max_length=64)
    answer = models.BinaryField()
    repeats = models.IntegerField(default=0)
    at = models.DateTimeField(auto_now_add=True)


class Grant(QuietModel):
    """An authorization case of a payer: asked on a day, decided (perhaps later), with number, codes
    and dates.
    """

    trace = models.CharField(max_length=50, unique=True)
    payer = models.CharField(max_length=20)
    member_id = models.CharField(max_length=40)
    number = models.CharField(max_length=30, blank=True)
    action = models.CharField(max_length=2)
    final_action = models.CharField(max_length=2)
    codes = models.JSONField(default=list)
    asked_on = models.DateField()
    valid_from = models.DateField(null=True)
    valid_to = models.DateField(null=True)


class SmartClient(QuietModel):
    """Who may sign in at the FHIR door: a client id and its public key as a JWK."""

    client_id = models.CharField(max_length=80, unique=True)
    key = models.JSONField()


class Received(QuietModel):
    """A claim that came in, what the payer decided, and when each answer is due (calendar, and on
    the wall clock when live).
    """

    receiver = models.CharField(max_length=20, help_text="Who sent it and gets the answers: ISA06")
    control = models.CharField(max_length=9)
    group_control = models.CharField(max_length=9)
    claim_id = models.CharField(max_length=38)
    icn = models.CharField(max_length=30, unique=True)
    payer = models.CharField(max_length=20)
    facts = models.JSONField(help_text="The claim as read: lines, people, numbers")
    fingerprint = models.CharField(
        max_length=64, help_text="Patient, day and codes: finds duplicates"
    )
    frequency = models.CharField(max_length=1)
    received_on = models.DateField()
    received_at = models.DateTimeField(auto_now_add=True)
    rejected = models.CharField(
        max_length=12, blank=True, help_text="277CA category and status, e.g. A7:562"
    )
    acknowledge_on = models.DateField()
    acknowledge_live = models.DateTimeField()
    acknowledged = models.BooleanField(default=False)
    decision = models.JSONField(default=dict)
    pay_on = models.DateField(null=True)
    pay_live = models.DateTimeField(null=True)
    paid = models.BooleanField(default=False)

    class Meta:
        indexes = [
            models.Index(
                fields=["receiver", "acknowledge_on"],
                name="sim_ack",
                condition=Q(acknowledged=False),
            ),
            models.Index(
                fields=["receiver", "pay_on"], name="sim_pay", condition=Q(paid=False, rejected="")
            ),
            models.Index(fields=["fingerprint"], name="sim_print"),
            models.Index(fields=["claim_id"], name="sim_claim"),
        ]


class Followup(QuietModel):
    """Something a payer does later with a paid claim: take back, correct, pay more after an
    appeal.
    """

    claim = models.ForeignKey(Received, on_delete=models.CASCADE, related_name="followups")
    kind = models.CharField(max_length=10, help_text="takeback, correct, overturn")
    due_on = models.DateField()
    due_live = models.DateTimeField()
    done = models.BooleanField(default=False)


class Mail(QuietModel):
    """A file waiting for its receiver until it says that it has it."""

    receiver = models.CharField(max_length=20)
    kind = models.CharField(max_length=6)
    content = models.BinaryField()
    dated = models.DateField()
    taken = models.BooleanField(default=False)

    class Meta:
        indexes = [
            models.Index(fields=["receiver", "id"], name="sim_mail", condition=Q(taken=False))
        ]
