"""Authorization ↔ 278: the request we send and what the payer's answer means (rule
`authorization-on-record`).

No database: rows in, `rcm.x12` facts out, and back. Reason words are our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from authorizations.models import Authorization, AuthStatus
from authorizations.models import AuthorizedService as ServiceRow
from intake.x12_270_271 import payer_party, people
from rcm.accounts.models import Organization
from rcm.reference.models import Provider
from rcm.x12.model import (
    AuthorizationRequest,
    AuthorizationResponse,
    AuthorizationService,
    Diagnosis,
    Party,
    Procedure,
    Reference,
    Rejection,
)

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
KINDS = {"initial": "I", "retro": "I", "extension": "R", "update": "S"}
SERVICE_TYPES = {"CT": "62", "CTA": "62", "MR": "62", "MRA": "62"}
SIDES = {"RT": ("RT",), "LT": ("LT",), "50": ("50",)}

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


@dataclass(frozen=True, slots=True)
class Granted:
    """One line of a decision. `approved` false: this code was refused."""

    code: str
    units: int = 1
    laterality: str = ""
    approved: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """A 278 answer in our terms. Without a status the request was not looked at; `refusal` and
    `fields` say why.
    """

    traces: tuple[str, ...]
    action: str
    status: AuthStatus | None
    number: str
    effective_from: date | None
    effective_to: date | None
    services: tuple[Granted, ...]
    reason: str
    refusal: str
    fields: tuple[str, ...]
    transient: bool


def request_of(
    row: Authorization,
    services: Sequence[ServiceRow],
    *,
    organization: Organization,
    ordering: Provider | None,
    service_date: date,
    modality: str,
    trace: str,
    urgent: bool,
    indication: str,
) -> AuthorizationRequest:
    """The 278 request of one record: the patient's event with one line for each code."""
    subscriber, dependent, relationship = people(row.coverage, dependent_entity="QC")
    providers = [_facility(row)]
    if ordering is not None:
        providers.append(
            Party(
                "DK",
                ordering.last_name,
                ordering.first_name,
                person=True,
                id_qualifier="XX",
                id=ordering.npi,
            )
        )
    return AuthorizationRequest(
        payer=payer_party(row.coverage, "X3"),
        provider=Party(
            "1P",
            organization.name,
            id_qualifier="XX",
            id=organization.npi,
            refs=(Reference("EI", organization.tin),),
        ),
        subscriber=subscriber,
        dependent=dependent,
        relationship=relationship,
        trace=trace,
        trace_origin=f"9{organization.tin}"[:10].ljust(10, "0"),
        certification=KINDS.get(row.kind, "I"),
        service_type=SERVICE_TYPES.get(modality, "4"),
        pos=row.site.pos,
        level_of_service="U" if urgent else "",
        previous_number=row.number if row.kind in ("extension", "update") else "",
        event_from=service_date,
        event_to=service_date,
        diagnoses=tuple(
            Diagnosis(code, "ABK" if n == 0 else "ABF") for n, code in enumerate(row.diagnoses)
        ),
        messages=(indication[:264],) if indication else (),
        providers=tuple(providers),
        services=tuple(
            AuthorizationService(
                procedure=Procedure(s.code, SIDES.get(s.laterality, ())),
                units=Decimal(s.units),
                service_from=service_date,
                service_to=service_date,
                trace=f"{trace[:24]}-{s.pk}",
            )
            for s in services
        ),
        reference=trace[-30:],
    )


def _facility(row: Authorization) -> Party:
    return Party("SJ", row.site.name, id_qualifier="XX", id=row.facility_npi)


def reply_of(response: AuthorizationResponse) -> Reply:
    """Read one 278 answer. A line's own decision beats the event's; units come from the line, else
    from its HSD.
    """
    decision = response.decision
    lines = tuple(
        _granted(s, decision.action if decision else "")
        for s in response.services
        if s.procedure.code
    )
    action = (
        decision.action
        if decision
        else _joint([s.decision.action for s in response.services if s.decision])
    )
    rejections = [*response.rejections, *(r for s in response.services for r in s.rejections)]
    number = (decision.number if decision else "") or next(
        (s.decision.number for s in response.services if s.decision and s.decision.number), ""
    )
    number = number or response.previous_number
    reasons = [
        *(decision.reasons if decision else ()),
        *(c for s in response.services if s.decision for c in s.decision.reasons),
    ]
    words = [REASONS.get(c, f"reason {c}") for c in dict.fromkeys(reasons)]
    told = [AAA.get(r.reason, (f"reason {r.reason or 'not given'}", "")) for r in rejections]
    start, end = response.valid_from, response.valid_to or response.expires
    for d in response.dates:
        if d.qualifier == "007":
            start, end = start or d.start, end or d.end
    for s in response.services:
        start, end = start or s.service_from, end or s.service_to
    return Reply(
        traces=tuple(
            dict.fromkeys(t for t in (response.trace, *(t.number for t in response.traces)) if t)
        ),
        action=action,
        status=ACTIONS.get(action),
        number=number.strip(),
        effective_from=start,
        effective_to=end if end is not None or start is None else start,
        services=lines,
        reason="; ".join([*words, *response.messages])[:200],
        refusal="; ".join(dict.fromkeys(w for w, _ in told)),
        fields=tuple(dict.fromkeys(f for _, f in told if f)),
        transient=bool(rejections) and all(_transient(r) for r in rejections),
    )


def _transient(r: Rejection) -> bool:
    return r.reason in TRANSIENT


def _joint(actions: Sequence[str]) -> str:
    """What line decisions say together when the event has none."""
    said = set(actions)
    if not said:
        return ""
    if len(said) == 1:
        return said.pop()
    if "A4" in said:
        return "A4"
    return "A2" if said & {"A1", "A6", "A2"} else "A3"


def _granted(s: AuthorizationService, event_action: str) -> Granted:
    action = s.decision.action if s.decision else event_action
    units = int(s.units)
    for quantity in s.quantities:
        if len(quantity) > 1 and quantity[1].strip().isdigit():
            units = int(quantity[1])
            break
    side = next((m for m in s.procedure.modifiers if m in SIDES), "")
    return Granted(s.procedure.code, max(units, 1), side, action in ("A1", "A2", "A6"))
