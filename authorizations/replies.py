"""A payer's answer to a request in our terms, and our own words for its codes: the same for a 278 and
for FHIR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from authorizations.models import AuthStatus

ACTIONS: Mapping[str, AuthStatus] = {
    "A1": AuthStatus.APPROVED,
    "A2": AuthStatus.PARTIAL,
    "A3": AuthStatus.DENIED,
    "A4": AuthStatus.PENDED,
    "A6": AuthStatus.MODIFIED,
    "C": AuthStatus.CANCELLED,
    "CT": AuthStatus.PENDED,
    "NA": AuthStatus.NOT_REQUIRED,
}
UNWORDED = "the payer gave a reason we have no words for"

ACTION_WORDS: Mapping[str, str] = {
    "A1": "Approved as asked",
    "A2": "Approved in part",
    "A3": "Not approved",
    "A4": "Not decided yet",
    "A6": "Approved with changes",
    "C": "Cancelled",
    "CT": "The payer asks for a call",
    "NA": "No authorization needed",
}


REASONS: Mapping[str, str] = {
    "01": "the price is above what the plan pays",
    "02": "the time is not within the plan's limits",
    "03": "the service is not covered by the plan",
    "04": "the records do not support the request",
    "05": "the benefit is used up",
    "06": "the provider is not in the network",
    "0A": "the request lacks details",
    "0B": "it was sent to the wrong reviewer",
    "0C": "a clinical review is under way",
    "0G": "a lower level of care was chosen",
    "0L": "the ordering provider is not eligible",
    "0M": "it was asked too late",
    "0P": "more information is asked for",
    "0Q": "the same request stands already",
    "0T": "the plan wants another exam first",
    "0U": "more information is asked for",
    "0V": "a clinical review is under way",
    "84": "the case is closed",
    "85": "the case waits for the payer's own check",
    "86": "the reviewer wants to talk first",
    "90": "the records asked for did not come",
    "91": "the plan does not review this code",
    "98": "it is regarded as not proven",
}
AAA: Mapping[str, tuple[str, str]] = {
    "15": ("a required detail is missing", ""),
    "33": ("the request could not be read", ""),
    "35": ("this plan's requests go elsewhere", "payer"),
    "41": ("the payer does not let us ask; enrol with it first", "payer"),
    "42": ("the payer cannot answer at the moment", ""),
    "43": ("the payer does not accept our provider number", "facility_npi"),
    "44": ("the provider's name is missing or wrong", "facility_npi"),
    "46": ("the payer does not know the provider's phone", "facility_npi"),
    "47": ("the provider's state is missing or wrong", "facility_npi"),
    "49": ("the provider is not the one who may ask", "ordering"),
    "51": ("the payer does not know the provider", "facility_npi"),
    "52": ("the provider was not with this plan on that day", "facility_npi"),
    "57": ("the exam date is missing or wrong", "service_date"),
    "58": ("the birth date is wrong", "born_on"),
    "64": ("the patient's ID is wrong", "member_id"),
    "65": ("the patient's name does not match", "last_name"),
    "67": ("the payer does not know this patient", "member_id"),
    "71": ("the birth date does not match the payer's", "born_on"),
    "72": ("the member ID is wrong", "member_id"),
    "73": ("the subscriber's name does not match", "subscriber_last_name"),
    "75": ("the payer does not know this subscriber", "member_id"),
    "77": ("the patient is not on this policy", "relationship"),
    "78": ("the subscriber is not in this plan", "member_id"),
    "79": ("the payer's number is wrong", "payer"),
    "80": ("the payer's system did not answer", ""),
    "AG": ("the procedure code is wrong or missing", "code"),
    "AF": ("the diagnosis is wrong or missing", "diagnoses"),
    "T5": ("the certification number is unknown", "number"),
}
TRANSIENT = frozenset({"42", "80"})


DENIAL_KINDS: tuple[tuple[str, str], ...] = (
    ("not_shown", "The records do not show the need"),
    ("step", "Another exam or therapy first"),
    ("not_covered", "Not covered by the plan"),
    ("duplicate", "The same exam was done or asked for"),
    ("information", "Information asked for did not come"),
    ("late", "Asked too late"),
    ("provider", "Site or physician out of network"),
    ("other", "Something else"),
)
"""Our own list of why payers refuse, beside the words they gave: what the figures count."""


@dataclass(frozen=True, slots=True)
class Granted:
    """One line of a decision. `approved` false: this code was refused. `replaces` is the code asked
    for, where the payer put this one in its place.
    """

    code: str
    units: int = 1
    laterality: str = ""
    approved: bool = True
    reason: str = ""
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """A payer's answer in our terms, whichever way it came. Without a status the request was not
    looked at; `refusal` and `fields` say why. `reference` is the payer's own number of the case, in
    every state; `decided_at` its own time of decision.
    """

    traces: tuple[str, ...] = ()
    action: str = ""
    status: AuthStatus | None = None
    number: str = ""
    effective_from: date | None = None
    effective_to: date | None = None
    services: tuple[Granted, ...] = ()
    reason: str = ""
    refusal: str = ""
    fields: tuple[str, ...] = ()
    transient: bool = False
    reference: str = ""
    decided_at: datetime | None = None


def joint(actions: Sequence[str]) -> str:
    """What line decisions say together when the event has none."""
    said = set(actions)
    if not said:
        return ""
    if len(said) == 1:
        return said.pop()
    if "A4" in said:
        return "A4"
    if said <= {"A1", "A6"}:
        return "A6"
    return "A2" if said & {"A1", "A6", "A2"} else "A3"
