"""The authorization phase's work queues, each with the four-way evidence of its record."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from authorizations.evidence import panel_rows
from authorizations.models import Authorization, AuthStatus
from rcm.accounts.actor import Actor
from rcm.worklist.registry import Fix, Panel, Queue, register


def authorization_panel(item: Any, actor: Actor) -> Panel:
    """Why the record stopped, what is ordered beside what is authorized, and the next step."""
    row = None
    if item.subject_type == "authorization":
        row = (
            Authorization.objects.visible_to(actor)
            .select_related("payer", "site", "appointment", "patient")
            .filter(pk=item.subject_id)
            .first()
        )
    if row is None:
        return Panel(why=item.title, event_keys={"exam_id": item.exam_id} if item.exam_id else {})
    page = reverse("authorizations:detail", args=[row.public_id])
    fixes = {
        AuthStatus.DRAFT: [
            Fix(
                "Request electronically",
                reverse("authorizations:request", args=[row.public_id]),
                "post",
                "authorization.edit",
                primary=True,
            ),
            Fix(
                "Request by phone or portal",
                reverse("authorizations:ask", args=[row.public_id]),
                permission="authorization.edit",
            ),
            Fix(
                "Record the answer",
                reverse("authorizations:decide", args=[row.public_id]),
                permission="authorization.edit",
            ),
        ],
        AuthStatus.DENIED: [
            Fix(
                "Record the peer-to-peer call",
                reverse("authorizations:peer", args=[row.public_id]),
                permission="authorization.edit",
                primary=True,
            ),
            Fix(
                "Record a new decision",
                reverse("authorizations:decide", args=[row.public_id]),
                permission="authorization.edit",
            ),
        ],
    }.get(
        AuthStatus(row.status),
        [
            Fix(
                "Record the decision",
                reverse("authorizations:decide", args=[row.public_id]),
                permission="authorization.edit",
                primary=True,
            ),
            Fix(
                "Ask for a change",
                reverse("authorizations:change", args=[row.public_id]),
                permission="authorization.edit",
            ),
        ],
    )
    links = [
        ("Authorization", page),
        ("Patient chart", reverse("intake:patient", args=[row.patient.public_id])),
    ]
    if row.appointment is not None:
        links.append(
            ("Appointment", reverse("intake:appointment", args=[row.appointment.public_id]))
        )
    return Panel(
        why=item.title,
        grid=panel_rows(row),
        fixes=fixes,
        links=links,
        event_keys={"authorization_id": row.pk},
    )


FACTS = (("codes", "Exam"), ("reviewer", "Reviewer"))

register(
    Queue(
        "authorization_needed",
        "To authorize",
        "Front desk",
        "authorization.view",
        12,
        "Every exam that needs an authorization has been requested.",
        deadline_word="Needed by",
        facts=FACTS,
        panel=authorization_panel,
    ),
    Queue(
        "peer_to_peer",
        "Peer to peer",
        "Front desk",
        "authorization.view",
        13,
        "No denial waits for a call.",
        deadline_word="Call by",
        facts=FACTS,
        panel=authorization_panel,
    ),
    Queue(
        "authorization_pended",
        "Waiting for the payer",
        "Front desk",
        "authorization.view",
        14,
        "No request waits for a payer.",
        deadline_word="Needed by",
        facts=FACTS,
        panel=authorization_panel,
    ),
    Queue(
        "auth_update",
        "Authorization to change",
        "Front desk",
        "authorization.view",
        15,
        "Every authorization fits its exam.",
        deadline_word="Change by",
        facts=(("codes", "Exam"), ("number", "Number")),
        panel=authorization_panel,
    ),
)


def open_authorizations(actor: Actor) -> int:
    """Records somebody must act on, for the rail."""
    return (
        Authorization.objects.visible_to(actor)
        .filter(status__in=[AuthStatus.DRAFT, AuthStatus.PENDED, AuthStatus.DENIED])
        .count()
    )
