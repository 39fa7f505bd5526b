"""Coverage ↔ 270/271: what we ask for whom, and what the payer's answer means in plain words.

No database: rows in, `rcm.x12` facts out, and back. AAA and EB meanings are our own short words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from intake.estimate import BenefitFact
from intake.models import CheckStatus, Coverage
from rcm.accounts.models import Organization
from rcm.x12.model import (
    Benefit,
    DatePeriod,
    EligibilityRequest,
    EligibilityResponse,
    Party,
    Rejection,
)

FALLBACK = ("30",)
SERVICE_TYPES: Mapping[str, tuple[str, ...]] = {
    "CT": ("62", "4", "30"),
    "CTA": ("62", "4", "30"),
    "MR": ("62", "4", "30"),
    "MRA": ("62", "4", "30"),
    "PET": ("73", "4", "30"),
    "NM": ("73", "4", "30"),
    "US": ("73", "4", "30"),
    "XR": ("4", "73", "30"),
    "FL": ("4", "73", "30"),
    "MG": ("4", "73", "30"),
    "DXA": ("4", "73", "30"),
}
"""Service types by modality where the payer's own row says nothing: 62 MRI and CT, 73
diagnostic medical, 4 diagnostic X-ray, 30 the plan as a whole (rule `benefit-service-type`).
"""

KINDS = {
    **dict.fromkeys(("1", "2", "3", "4", "5"), "active"),
    **dict.fromkeys(("6", "7", "8"), "inactive"),
    "A": "coinsurance",
    "B": "copay",
    "C": "deductible",
    "G": "out_of_pocket",
    "F": "limitation",
    "I": "limitation",
    "R": "other_payer",
}

AAA: Mapping[str, tuple[str, str]] = {
    "15": ("A required detail was missing from the question.", "member_id"),
    "33": ("The payer could not read the question.", ""),
    "41": ("This payer does not let us ask; enrol with it first.", "payer"),
    "42": ("The payer cannot answer at the moment.", ""),
    "43": ("The payer does not accept our provider number.", "organization"),
    "45": ("The payer asks for the provider's specialty.", "organization"),
    "47": ("The provider's state is missing or wrong.", "organization"),
    "48": ("The referring provider's number is missing or wrong.", "ordering"),
    "50": ("Our provider may not ask about this patient.", "organization"),
    "51": ("The payer does not know our provider number.", "organization"),
    "52": ("The provider was not with this plan on that day.", "organization"),
    "56": ("The date is not one the payer can answer for.", "service_date"),
    "57": ("The service date is missing or wrong.", "service_date"),
    "58": ("The birth date is missing or wrong.", "born_on"),
    "60": ("The birth date lies after the service date.", "born_on"),
    "61": ("The payer has a date of death before the service.", "patient"),
    "62": ("The service date is outside what the payer answers for.", "service_date"),
    "63": ("The service date is too far in the future for this payer.", "service_date"),
    "64": ("The patient's ID is wrong.", "member_id"),
    "65": ("The patient's name does not match.", "last_name"),
    "66": ("The patient's sex does not match.", "sex"),
    "67": ("The payer does not know this patient.", "member_id"),
    "68": ("The payer has this patient's ID twice.", "member_id"),
    "71": ("The patient's birth date does not match the payer's.", "born_on"),
    "72": ("The member ID is wrong or missing.", "member_id"),
    "73": ("The subscriber's name does not match the member ID.", "subscriber_last_name"),
    "74": ("The subscriber's sex does not match.", "subscriber_sex"),
    "75": ("The payer does not know this subscriber.", "member_id"),
    "76": ("The payer has this member ID twice.", "member_id"),
    "77": ("The subscriber is known, but the patient is not on the policy.", "relationship"),
    "78": ("The subscriber is not in this group or plan.", "group_number"),
    "79": ("The payer's number is wrong.", "payer"),
    "80": ("The payer's system did not answer.", ""),
    "97": ("The provider's address is missing or wrong.", "organization"),
    "T4": ("The payer's name or number is missing.", "payer"),
}
TRANSIENT = frozenset({"42", "80"})
"""Reasons that say nothing about the patient: ask again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One person's 271 in our terms. Whether an authorization is required is a fact of the exam's
    own benefit (`intake.benefits.auth_flag`), not of the answer as a whole.
    """

    status: CheckStatus
    traces: tuple[str, ...]
    plan_name: str
    covered_from: date | None
    covered_to: date | None
    rejections: tuple[dict[str, str], ...]
    differences: tuple[dict[str, str], ...]
    benefits: tuple[BenefitFact, ...]


def service_types(table: Mapping[str, Any], modality: str) -> tuple[str, ...]:
    """What to ask this payer for this modality, in order of preference; its own row first, the
    whole plan last.
    """
    own = table.get(modality) or table.get("*") or ()
    found = tuple(str(t) for t in ([own] if isinstance(own, str) else own)) or SERVICE_TYPES.get(
        modality, FALLBACK
    )
    return found if "30" in found else (*found, "30")


def provider_party(organization: Organization) -> Party:
    """Who asks: the billing provider by NPI."""
    return Party("1P", organization.name, id_qualifier="XX", id=organization.npi)


def payer_party(coverage: Coverage, entity: str = "PR") -> Party:
    return Party(entity, coverage.payer.name, id_qualifier="PI", id=coverage.payer.edi_id)


def people(coverage: Coverage, dependent_entity: str = "03") -> tuple[Party, Party | None, str]:
    """Subscriber, dependent (None when the patient is the subscriber) and the relationship code."""
    patient = coverage.patient
    if coverage.relationship == "18":
        return (
            _person(
                "IL",
                patient.last_name,
                patient.first_name,
                patient.middle_name,
                patient.born_on,
                patient.sex,
                coverage.member_id,
            ),
            None,
            "",
        )
    subscriber = _person(
        "IL",
        coverage.subscriber_last_name,
        coverage.subscriber_first_name,
        "",
        coverage.subscriber_born_on,
        coverage.subscriber_sex,
        coverage.member_id,
    )
    dependent = _person(
        dependent_entity,
        patient.last_name,
        patient.first_name,
        patient.middle_name,
        patient.born_on,
        patient.sex,
        "",
    )
    return subscriber, dependent, coverage.relationship


def _person(
    entity: str, last: str, first: str, middle: str, born_on: date | None, sex: str, member_id: str
) -> Party:
    return Party(
        entity,
        last,
        first,
        middle,
        person=True,
        id_qualifier="MI" if member_id else "",
        id=member_id,
        birth_date=born_on,
        sex=sex if sex in ("F", "M") else "",
    )


def request_of(
    coverage: Coverage,
    *,
    organization: Organization,
    service_date: date,
    types: Sequence[str],
    trace: str,
) -> EligibilityRequest:
    """The 270 inquiry about one coverage on one day."""
    subscriber, dependent, relationship = people(coverage)
    return EligibilityRequest(
        payer=payer_party(coverage),
        provider=provider_party(organization),
        subscriber=subscriber,
        trace=trace,
        trace_origin=f"9{organization.tin}"[:10].ljust(10, "0"),
        dependent=dependent,
        relationship=relationship,
        service_types=tuple(types),
        date_from=service_date,
        date_to=service_date,
        reference=trace[-30:],
    )


def answer_of(response: EligibilityResponse, coverage: Coverage) -> Answer:
    """Read one 271 answer against what we have on the chart."""
    rejections = [*response.rejections, *(r for b in response.benefits for r in b.rejections)]
    refused = tuple(_rejection(r) for r in rejections)
    if response.active:
        status = CheckStatus.ACTIVE
    elif response.inactive:
        status = CheckStatus.INACTIVE
    elif rejections and all(r.reason in TRANSIENT for r in rejections):
        status = CheckStatus.FAILED
    else:
        status = CheckStatus.REJECTED
    if status is CheckStatus.REJECTED and not refused:
        refused = (
            {
                "code": "",
                "sentence": "The answer does not say whether the coverage is active.",
                "field": "",
                "fix": "Call the payer.",
            },
        )
    start, end = _period(
        [*response.dates, *(d for b in response.benefits if b.code in "12345678" for d in b.dates)]
    )
    return Answer(
        status=status,
        traces=tuple(t.number for t in response.traces),
        plan_name=next(
            (b.plan for b in response.benefits if b.code in ("1", "2", "3", "4", "5") and b.plan),
            "",
        )[:80],
        covered_from=start,
        covered_to=end,
        rejections=refused,
        differences=(
            _differences(response, coverage)
            if status in (CheckStatus.ACTIVE, CheckStatus.INACTIVE)
            else ()
        ),
        benefits=tuple(_benefit(b) for b in response.benefits),
    )


def _rejection(r: Rejection) -> dict[str, str]:
    sentence, field = AAA.get(
        r.reason, (f"The payer refused the question with reason {r.reason or 'none given'}.", "")
    )
    if r.reason in TRANSIENT or r.follow_up in ("R", "S", "Y"):
        fix = "Ask again later."
    else:
        fix = (
            f"Correct the {field.replace('_', ' ')} and ask again." if field else "Call the payer."
        )
    return {"code": r.reason, "sentence": sentence, "field": field, "fix": fix}


def _period(dates: Sequence[DatePeriod]) -> tuple[date | None, date | None]:
    """Plan or eligibility period: 346/347, 356/357 begin and end, 291 and 307 ranges."""
    start = end = None
    for d in dates:
        if d.qualifier in ("346", "356"):
            start = start or d.start
        elif d.qualifier in ("347", "357"):
            end = end or d.start
        elif d.qualifier in ("291", "307"):
            start = start or d.start
            end = end or (d.end if d.end != d.start else None)
    return start, end


def _differences(response: EligibilityResponse, coverage: Coverage) -> tuple[dict[str, str], ...]:
    """Where the payer's record of the person is not ours; `field` names ours, so that "use payer's
    value" can set it.
    """
    patient = coverage.patient
    found = []

    def compare(field: str, ours: Any, theirs: Any) -> None:
        left, right = (
            x.isoformat() if isinstance(x, date) else str(x or "") for x in (ours, theirs)
        )
        if right and "".join(left.upper().split()) != "".join(right.upper().split()):
            found.append({"field": field, "ours": left, "theirs": right})

    subscriber, dependent = response.subscriber, response.dependent
    person = dependent if dependent is not None else subscriber
    if person is not None and (dependent is not None or coverage.relationship == "18"):
        compare("last_name", patient.last_name, person.name)
        compare("first_name", patient.first_name, person.first)
        compare("born_on", patient.born_on, person.birth_date)
        compare("sex", patient.sex, person.sex if person.sex in ("F", "M") else "")
    if subscriber is not None:
        compare("member_id", coverage.member_id, subscriber.id)
        if coverage.group_number:
            compare("group_number", coverage.group_number, subscriber.ref("6P", "1L"))
    return tuple(found)


YES_NO = {"Y": True, "N": False}
QUANTITIES = {
    "VS": "visits",
    "P6": "services",
    "DY": "days",
    "MN": "months",
    "YY": "years",
    "99": "units",
    "CA": "covered",
    "CE": "covered episodes",
    "HS": "hours",
    "LA": "lifetime reserve",
    "S7": "maximum age",
    "S8": "minimum age",
}
"""Quantity qualifiers of a limit in our own words."""
CONTACT_ROLES = {
    "PRP": "primary payer",
    "SEP": "secondary payer",
    "TTP": "tertiary payer",
    "PR": "payer",
    "X3": "reviewer",
    "P3": "primary care",
    "VN": "vendor",
    "1P": "provider",
    "2B": "administrator",
    "36": "employer",
    "PRE": "reviewer",
}


def _quantity(b: Benefit) -> str:
    if b.quantity is None:
        return ""
    return f"{b.quantity.normalize():f} {QUANTITIES.get(b.quantity_qualifier, '')}".strip()[:60]


def _contact(p: Party) -> dict[str, str]:
    numbers = [pair for contact in p.contacts for pair in contact.numbers]
    phone = next((number for kind, number in numbers if kind == "TE"), "")
    role = CONTACT_ROLES.get(p.entity, "contact")
    return {"role": role, "name": p.full_name[:80], "id": p.id[:30], "phone": phone[:20]}


def _benefit(b: Benefit) -> BenefitFact:
    return BenefitFact(
        kind=KINDS.get(b.code, "note"),
        code=b.code,
        level=b.coverage_level,
        service_types=b.service_types,
        period=b.time_period,
        amount=b.amount,
        percent=(b.percent * 100).quantize(Decimal("0.01")) if b.percent is not None else None,
        in_network=YES_NO.get(b.in_network),
        authorization=YES_NO.get(b.authorization),
        procedure=b.procedure.code if b.procedure else "",
        quantity=_quantity(b),
        contacts=tuple(_contact(p) for p in b.parties),
        text=" ".join(
            [*(p.full_name for p in b.parties), *b.messages, "not covered" if b.code == "I" else ""]
        ).strip()[:300],
    )
