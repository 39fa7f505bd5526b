"""Authorization ↔ 278: the request we send and what the payer's answer means (rule
`authorization-on-record`).

No database: rows in, `rcm.x12` facts out, and back. Reason words are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal

from django.utils import timezone

from authorizations.models import Authorization
from authorizations.models import AuthorizedService as ServiceRow
from authorizations.replies import (
    AAA,
    ACTIONS,
    REASONS,
    TRANSIENT,
    UNWORDED,
    Granted,
    Reply,
    joint,
)
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

KINDS = {"initial": "I", "retro": "I", "extension": "R", "update": "S"}
SERVICE_TYPES = {"CT": "62", "CTA": "62", "MR": "62", "MRA": "62"}
SIDES = {"RT": ("RT",), "LT": ("LT",), "50": ("50",)}


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
        else joint([s.decision.action for s in response.services if s.decision])
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
    words = [REASONS.get(c, UNWORDED) for c in dict.fromkeys(reasons)]
    told = [AAA.get(r.reason, (UNWORDED, "")) for r in rejections]
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
        reference=(response.payer_control or response.previous_number or number).strip(),
        decided_at=_decided_at(response),
    )


def _decided_at(response: AuthorizationResponse) -> datetime | None:
    """When the payer decided: the day it issued the certification, else when it wrote the answer.
    Both are the payer's wall clock, read in our own zone.
    """
    if response.issued is not None:
        return timezone.make_aware(datetime.combine(response.issued, time(12)))
    stamp = f"{response.origin.isa_date}{response.origin.isa_time}"
    try:
        return timezone.make_aware(datetime.strptime(stamp, "%y%m%d%H%M"))  # noqa: DTZ007
    except ValueError:
        return None


def _transient(r: Rejection) -> bool:
    return r.reason in TRANSIENT


def _granted(s: AuthorizationService, event_action: str) -> Granted:
    action = s.decision.action if s.decision else event_action
    units = int(s.units)
    for quantity in s.quantities:
        if len(quantity) > 1 and quantity[1].strip().isdigit():
            units = int(quantity[1])
            break
    side = next((m for m in s.procedure.modifiers if m in SIDES), "")
    words = [REASONS.get(c, UNWORDED) for c in s.decision.reasons] if s.decision else []
    approved = action in ("A1", "A2", "A6")
    return Granted(s.procedure.code, max(units, 1), side, approved, reason="; ".join(words))
