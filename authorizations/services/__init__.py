"""The verbs of the authorization phase: decide whether it is required, request, decide, use,
update, remind.

The front door follows from these: after every change the gate of the appointment and the work items
are computed again from the four-way match of what is ordered with what is authorized
(`authorizations_review`).
"""

from __future__ import annotations

from authorizations.services.deciding import (
    authorization_change,
    authorization_decide,
    peer_to_peer,
)
from authorizations.services.gates import (
    Bookable,
    authorizations_review,
    earliest_bookable,
    gate_of,
    gate_preview,
)
from authorizations.services.requesting import (
    answer_278,
    answer_pas,
    authorization_inquire,
    authorization_request,
    electronic_channel,
    requests_failed,
)
from authorizations.services.requirement import (
    exams_cancelled,
    requirement_decide,
    requirement_hear,
    requirement_refresh,
)
from authorizations.services.units import Use, authorization_unuse, authorization_use
from authorizations.services.upkeep import (
    expiry_guard,
    reminders,
    update_needed,
)

__all__ = [
    "Bookable",
    "Use",
    "answer_278",
    "answer_pas",
    "authorization_change",
    "authorization_decide",
    "authorization_inquire",
    "authorization_request",
    "authorization_unuse",
    "authorization_use",
    "authorizations_review",
    "earliest_bookable",
    "electronic_channel",
    "exams_cancelled",
    "expiry_guard",
    "gate_of",
    "gate_preview",
    "peer_to_peer",
    "reminders",
    "requests_failed",
    "requirement_decide",
    "requirement_hear",
    "requirement_refresh",
    "update_needed",
]
