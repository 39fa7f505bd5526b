"""Authorization ↔ FHIR: the bundle of `Claim/$submit` and `$inquire` and what the payer's answer means
(HL7 Da Vinci Prior Authorization Support 2.2, FHIR R4).

No database and no network: rows in, JSON out, and back into the same `Reply` that a 278 gives, so
that a record does not show which way it was asked. X12 code values travel inside FHIR as they do in
the guide; their words are our own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

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
from intake.models import Coverage, OrderedExam
from rcm.accounts.models import Organization
from rcm.reference.models import Provider

GUIDE = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition"
EXTENSION = f"{GUIDE}/extension-"
X12 = "https://codesystem.x12.org/005010"
NPI = "http://hl7.org/fhir/sid/us-npi"
TIN = "urn:oid:2.16.840.1.113883.4.4"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
POS = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
HL7 = "http://terminology.hl7.org/CodeSystem"
MEMBER = f"{HL7}/v2-0203"
GENDERS = {"F": "female", "M": "male"}
RELATIONS = {"18": "self", "01": "spouse", "19": "child"}
KINDS = {"initial": "I", "retro": "I", "extension": "R", "update": "S"}


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything a request bundle says about one record, beside the row itself."""

    organization: Organization
    exam: OrderedExam | None
    ordering: Provider | None
    service_date: date
    trace: str
    at: datetime
    urgent: bool = False
    indication: str = ""


def submit_bundle(row: Authorization, lines: Sequence[ServiceRow], asked: Asked) -> bytes:
    """The request bundle of one record, the Claim first: to be posted to `Claim/$submit`."""
    return _bundle("pas-request-bundle", "claim", row, lines, asked)


def inquiry_bundle(row: Authorization, lines: Sequence[ServiceRow], asked: Asked) -> bytes:
    """The bundle that asks `Claim/$inquire` how an earlier request stands; `asked.trace` is that
    request's own.
    """
    return _bundle("pas-inquiry-request-bundle", "claim-inquiry", row, lines, asked)


def _bundle(
    profile: str,
    claim_profile: str,
    row: Authorization,
    lines: Sequence[ServiceRow],
    asked: Asked,
) -> bytes:
    base = f"urn:isocenter:{asked.organization.code}".lower()
    names = _Names(base, asked.trace)
    inquiry = claim_profile == "claim-inquiry"
    claim = _claim(row, lines, asked, names, inquiry=inquiry)
    claim["meta"] = _profile(claim_profile)
    entries = [
        claim,
        _requestor(row, asked, names),
        _insurer(row, names),
        _coverage(row.coverage, names),
        _patient(row, names),
    ]
    if row.coverage.relationship != "18":
        entries.append(_subscriber(row.coverage, names))
    if not inquiry:
        entries += _clinical(row, lines, asked, names)
    body = {
        "resourceType": "Bundle",
        "meta": _profile(profile),
        "identifier": {"system": f"{base}:transaction", "value": asked.trace},
        "type": "collection",
        "timestamp": asked.at.isoformat(timespec="seconds"),
        "entry": [
            {"fullUrl": names.url(e["resourceType"], e["id"]), "resource": e} for e in entries
        ],
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class _Names:
    """Ids and addresses inside one bundle; they say nothing about the patient."""

    base: str
    trace: str

    def id(self, part: str) -> str:
        return f"{self.trace[:24]}-{part}"

    def url(self, kind: str, id_: str) -> str:
        return f"http://isocenter.invalid/fhir/{kind}/{id_}"

    def ref(self, kind: str, part: str) -> dict[str, str]:
        return {"reference": f"{kind}/{self.id(part)}"}


def _profile(name: str) -> dict[str, list[str]]:
    return {"profile": [f"{GUIDE}/profile-{name}"]}


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _ext(name: str, kind: str, value: Any) -> dict[str, Any]:
    return {"url": f"{EXTENSION}{name}", f"value{kind}": value}


def _claim(
    row: Authorization,
    lines: Sequence[ServiceRow],
    asked: Asked,
    names: _Names,
    *,
    inquiry: bool,
) -> dict[str, Any]:
    claim: dict[str, Any] = {
        "resourceType": "Claim",
        "id": names.id("claim"),
        "identifier": [{"system": f"{names.base}:trace", "value": asked.trace}],
        "status": "active",
        "type": _concept(f"{HL7}/claim-type", "professional"),
        "use": "preauthorization",
        "patient": names.ref("Patient", "patient"),
        "created": asked.at.isoformat(timespec="seconds"),
        "insurer": names.ref("Organization", "insurer"),
        "provider": names.ref("Organization", "requestor"),
        "priority": _concept(f"{HL7}/processpriority", "stat" if asked.urgent else "normal"),
        "insurance": [
            {"sequence": 1, "focal": True, "coverage": names.ref("Coverage", "coverage")}
        ],
        "item": [_item(row, s, n, asked, names, inquiry) for n, s in enumerate(lines, start=1)],
    }
    if asked.urgent:
        claim["extension"] = [
            _ext("levelOfServiceCode", "CodeableConcept", _concept(f"{X12}/1338", "U"))
        ]
    if row.diagnoses:
        claim["diagnosis"] = [
            {"sequence": n, "diagnosisCodeableConcept": _concept(ICD10, _dotted(code))}
            for n, code in enumerate(row.diagnoses, start=1)
        ]
    if inquiry:
        return claim
    if asked.ordering is not None:
        claim["careTeam"] = [
            {
                "extension": [_ext("careTeamClaimScope", "Boolean", True)],
                "sequence": 1,
                "provider": names.ref("PractitionerRole", "ordering-role"),
            }
        ]
    if asked.indication:
        claim["supportingInfo"] = [
            {
                "sequence": 1,
                "category": _concept(
                    "http://hl7.org/fhir/us/davinci-pas/CodeSystem/PASSupportingInfoType",
                    "additionalInformation",
                ),
                "valueReference": names.ref("DocumentReference", "indication"),
            }
        ]
    if row.kind in ("extension", "update") and row.number:
        claim["related"] = [
            {
                "claim": {"identifier": {"value": row.number}},
                "relationship": _concept(f"{HL7}/ex-relatedclaimrelationship", "prior"),
            }
        ]
    return claim


def _item(
    row: Authorization,
    line: ServiceRow,
    number: int,
    asked: Asked,
    names: _Names,
    inquiry: bool,
) -> dict[str, Any]:
    extensions = [
        _ext(
            "itemTraceNumber",
            "Identifier",
            {"system": f"{names.base}:item", "value": f"{asked.trace[:24]}-{line.pk}"},
        ),
        _ext("serviceItemRequestType", "CodeableConcept", _concept(f"{X12}/1525", "HS")),
        _ext(
            "certificationType",
            "CodeableConcept",
            _concept(f"{X12}/1322", KINDS.get(row.kind, "I")),
        ),
    ]
    if row.number and row.kind in ("extension", "update"):
        extensions.append(_ext("authorizationNumber", "String", row.number))
    if row.reference:
        extensions.append(_ext("administrationReferenceNumber", "String", row.reference))
    item: dict[str, Any] = {
        "extension": extensions,
        "sequence": number,
        "category": _concept(f"{X12}/1365", "4"),
        "productOrService": _concept(_system(line.code), line.code),
        "servicedDate": asked.service_date.isoformat(),
        "locationCodeableConcept": _concept(POS, row.site.pos),
        "quantity": {"value": line.units},
    }
    if line.laterality:
        item["modifier"] = [_concept(HCPCS, line.laterality)]
    if row.diagnoses:
        item["diagnosisSequence"] = list(range(1, len(row.diagnoses) + 1))
    if not inquiry:
        extensions.append(
            _ext("requestedService", "Reference", names.ref("ServiceRequest", f"service-{number}"))
        )
        if asked.ordering is not None:
            item["careTeamSequence"] = [1]
    return item


def _system(code: str) -> str:
    return CPT if code[:1].isdigit() else HCPCS


def _dotted(code: str) -> str:
    plain = code.replace(".", "")
    return f"{plain[:3]}.{plain[3:]}" if len(plain) > 3 else plain


def _requestor(row: Authorization, asked: Asked, names: _Names) -> dict[str, Any]:
    site = row.site
    return {
        "resourceType": "Organization",
        "id": names.id("requestor"),
        "meta": _profile("requestor"),
        "identifier": [
            {"system": NPI, "value": row.facility_npi or asked.organization.npi},
            {"system": TIN, "value": asked.organization.tin},
        ],
        "active": True,
        "type": [_concept(f"{X12}/98", "X3")],
        "name": site.name,
        "address": [
            {
                "line": [site.address],
                "city": site.city,
                "state": site.state,
                "postalCode": site.zip,
                "country": "US",
            }
        ],
        "telecom": [{"system": "phone", "value": site.phone}],
    }


def _insurer(row: Authorization, names: _Names) -> dict[str, Any]:
    return {
        "resourceType": "Organization",
        "id": names.id("insurer"),
        "meta": _profile("insurer"),
        "identifier": [{"system": "urn:isocenter:payer", "value": row.payer.edi_id}],
        "active": True,
        "type": [_concept(f"{X12}/98", "PR")],
        "name": row.payer.name,
    }


def _coverage(coverage: Coverage, names: _Names) -> dict[str, Any]:
    own = coverage.relationship == "18"
    found: dict[str, Any] = {
        "resourceType": "Coverage",
        "id": names.id("coverage"),
        "meta": _profile("coverage"),
        "identifier": [{"type": _concept(MEMBER, "MB"), "value": coverage.member_id}],
        "status": "active",
        "subscriberId": coverage.member_id,
        "subscriber": names.ref("Patient", "patient" if own else "subscriber"),
        "beneficiary": names.ref("Patient", "patient"),
        "relationship": _concept(
            f"{HL7}/subscriber-relationship", RELATIONS.get(coverage.relationship, "other")
        ),
        "payor": [names.ref("Organization", "insurer")],
    }
    if coverage.group_number:
        found["class"] = [
            {"type": _concept(f"{HL7}/coverage-class", "group"), "value": coverage.group_number}
        ]
    return found


def _patient(row: Authorization, names: _Names) -> dict[str, Any]:
    p = row.patient
    return {
        "resourceType": "Patient",
        "id": names.id("patient"),
        "meta": _profile("beneficiary"),
        "identifier": [
            {"type": _concept(MEMBER, "MB"), "value": row.member_id},
            {"type": _concept(MEMBER, "MR"), "value": p.mrn},
        ],
        "name": [_human(p.last_name, p.first_name, p.middle_name)],
        "gender": GENDERS.get(p.sex, "unknown"),
        "birthDate": p.born_on.isoformat(),
        "address": [
            {
                "line": [p.address] if p.address else ["not known"],
                "city": p.city,
                "state": p.state,
                "postalCode": p.zip,
                "country": "US",
            }
        ],
    }


def _subscriber(coverage: Coverage, names: _Names) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Patient",
        "id": names.id("subscriber"),
        "meta": _profile("subscriber"),
        "identifier": [{"type": _concept(MEMBER, "MB"), "value": coverage.member_id}],
        "name": [_human(coverage.subscriber_last_name, coverage.subscriber_first_name)],
        "gender": GENDERS.get(coverage.subscriber_sex, "unknown"),
    }
    if coverage.subscriber_born_on is not None:
        found["birthDate"] = coverage.subscriber_born_on.isoformat()
    return found


def _human(last: str, first: str, middle: str = "") -> dict[str, Any]:
    return {"family": last, "given": [n for n in (first, middle) if n]}


def _clinical(
    row: Authorization, lines: Sequence[ServiceRow], asked: Asked, names: _Names
) -> list[dict[str, Any]]:
    found = [
        {
            "resourceType": "ServiceRequest",
            "id": names.id(f"service-{n}"),
            "meta": _profile("servicerequest"),
            "status": "active",
            "intent": "order",
            "code": _concept(_system(s.code), s.code),
            "subject": names.ref("Patient", "patient"),
            "insurance": [names.ref("Coverage", "coverage")],
            "occurrenceDateTime": asked.service_date.isoformat(),
            "quantityQuantity": {"value": s.units},
            **({"bodySite": [{"text": _side(s.laterality)}]} if s.laterality else {}),
            **(
                {"requester": names.ref("PractitionerRole", "ordering-role")}
                if asked.ordering
                else {}
            ),
        }
        for n, s in enumerate(lines, start=1)
    ]
    if asked.ordering is not None:
        found += _ordering(asked.ordering, names)
    if asked.indication:
        found.append(_document(asked, names))
    return found


def _side(laterality: str) -> str:
    return {"RT": "right side", "LT": "left side", "50": "both sides"}.get(laterality, laterality)


def _ordering(provider: Provider, names: _Names) -> list[dict[str, Any]]:
    practitioner = {
        "resourceType": "Practitioner",
        "id": names.id("ordering"),
        "meta": _profile("practitioner"),
        "identifier": [{"system": NPI, "value": provider.npi}],
        "name": [_human(provider.last_name, provider.first_name)],
    }
    role = {
        "resourceType": "PractitionerRole",
        "id": names.id("ordering-role"),
        "meta": _profile("practitionerrole"),
        "practitioner": names.ref("Practitioner", "ordering"),
        "organization": names.ref("Organization", "requestor"),
    }
    return [practitioner, role]


def _document(asked: Asked, names: _Names) -> dict[str, Any]:
    text = base64.b64encode(asked.indication.encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": names.id("indication"),
        "status": "current",
        "type": _concept("http://loinc.org", "18785-6"),
        "category": [
            _concept(
                "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                "clinical-note",
            )
        ],
        "subject": names.ref("Patient", "patient"),
        "content": [{"attachment": {"contentType": "text/plain", "data": text}}],
    }


# --- the answer -----------------------------------------------------------------------------------


class NotPas(ValueError):
    """The bytes are no answer of a prior-authorization operation."""


def replies_of(content: bytes, asked: Mapping[int, Granted]) -> list[Reply]:
    """Read an answer: a bundle of ClaimResponses (bare, or inside Parameters), or an
    OperationOutcome.

    `asked` are the lines of our request by item sequence: an answer names them by number only.
    """
    try:
        body = json.loads(content)
    except ValueError as error:
        raise NotPas("The answer is no JSON.") from error
    if not isinstance(body, dict):
        raise NotPas("The answer is no FHIR resource.")
    if body.get("resourceType") == "OperationOutcome":
        return [_outcome(body)]
    found = [_reply(r, b, asked) for b in _bundles(body) for r in _of_kind(b, "ClaimResponse")]
    if not found:
        raise NotPas("The answer holds no ClaimResponse.")
    return found


def asked_of(content: bytes) -> dict[int, Granted]:
    """The lines of a request bundle of ours by item sequence."""
    claim = json.loads(content)["entry"][0]["resource"]
    return {
        item["sequence"]: Granted(
            _code(item.get("productOrService")),
            int(item.get("quantity", {}).get("value", 1)),
            _code((item.get("modifier") or [None])[0]),
        )
        for item in claim.get("item", ())
    }


def _bundles(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if body.get("resourceType") == "Bundle":
        yield body
    elif body.get("resourceType") == "ClaimResponse":
        yield {"entry": [{"resource": body}]}
    elif body.get("resourceType") == "Parameters":
        for parameter in body.get("parameter", ()):
            resource = parameter.get("resource") or {}
            if resource.get("resourceType") == "Bundle":
                yield resource


def _of_kind(bundle: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    resources = [e.get("resource") or {} for e in bundle.get("entry", ())]
    return [r for r in resources if r.get("resourceType") == kind]


def _outcome(body: Mapping[str, Any]) -> Reply:
    issues = [i for i in body.get("issue", ()) if isinstance(i, dict)]
    said = [str(i.get("diagnostics") or (i.get("details") or {}).get("text") or "") for i in issues]
    words = "; ".join(w for w in said if w) or "the payer could not process the request"
    transient = {"transient", "lock-error", "no-store", "timeout", "throttled", "exception"}
    return Reply(
        refusal=words[:200],
        transient=bool(issues) and all(i.get("code") in transient for i in issues),
    )


def _reply(
    response: Mapping[str, Any], bundle: Mapping[str, Any], asked: Mapping[int, Granted]
) -> Reply:
    items = [_read_item(i, asked) for i in response.get("item", ())]
    added = [_read_added(i) for i in response.get("addItem", ())]
    lines = [*items, *added]
    whole = _action(response)
    action = joint([line.action for line in lines if line.action]) or whole or _by_outcome(response)
    refusals = [
        AAA.get(_code(e.get("code")), ("the request has a fault", ""))
        for e in response.get("error", ())
    ]
    codes = [c for e in response.get("error", ()) if (c := _code(e.get("code")))]
    numbers = [line.number for line in lines if line.number]
    references = [line.reference for line in lines if line.reference]
    granted = action in ("A1", "A2", "A6")
    period = _first(line.period for line in lines if line.period) or _period(
        response.get("preAuthPeriod")
    )
    refused = response.get("outcome") == "error" or (bool(refusals) and not action)
    preauth = str(response.get("preAuthRef") or "")
    return Reply(
        traces=_traces(response, bundle),
        action="" if refused else action,
        status=None if refused else ACTIONS.get(action),
        number=(_first(numbers) or (preauth if granted else ""))[:50],
        reference=(_first(references) or preauth)[:60],
        effective_from=period[0] if period else None,
        effective_to=period[1] if period else None,
        services=tuple(line.granted for line in lines if line.granted is not None),
        reason=_reason(response, lines),
        refusal="; ".join(dict.fromkeys(w for w, _ in refusals)),
        fields=tuple(dict.fromkeys(f for _, f in refusals if f)),
        transient=bool(codes) and all(c in TRANSIENT for c in codes),
        decided_at=_moment(response.get("created")),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """One item of an answer."""

    action: str
    number: str
    reference: str
    reasons: tuple[str, ...]
    period: tuple[date, date] | None
    granted: Granted | None


def _read_item(item: Mapping[str, Any], asked: Mapping[int, Granted]) -> _Line:
    ours = asked.get(int(item.get("itemSequence") or 0))
    review = _review(item)
    action = _code(_sub(review, "code"))
    detail = _extension(item, "AuthorizedDetail") or _extension(item, "authorizedItemDetail")
    code = _code(_sub(detail, "productOrServiceCode")) or (ours.code if ours else "")
    quantity = (_sub(detail, "quantity") or {}).get("value")
    reasons = tuple(_words(c) for c in _reason_codes(review))
    period = _period(_value(item, "PreAuthPeriod")) or _period(_value(item, "requestedServiceDate"))
    if not code:
        granted = None
    else:
        granted = Granted(
            code,
            int(quantity) if quantity else (ours.units if ours else 1),
            ours.laterality if ours and ours.code == code else "",
            action in ("A1", "A2", "A6"),
            reason="; ".join(reasons),
            replaces=ours.code if ours and ours.code != code else "",
        )
    return _Line(
        action,
        str(_sub(review, "number") or ""),
        str(_value(item, "administrationReferenceNumber") or ""),
        reasons,
        period,
        granted,
    )


def _read_added(item: Mapping[str, Any]) -> _Line:
    review = _review(item)
    action = _code(_sub(review, "code"))
    code = _code(item.get("productOrService"))
    units = (item.get("quantity") or {}).get("value") or 1
    granted = Granted(code, int(units), "", action in ("A1", "A2", "A6")) if code else None
    return _Line(action, str(_sub(review, "number") or ""), "", (), None, granted)


def _reason(response: Mapping[str, Any], lines: Sequence[_Line]) -> str:
    words = [w for line in lines for w in line.reasons]
    notes = [str(n.get("text") or "") for n in response.get("processNote", ())]
    said = [*dict.fromkeys(words), *(n for n in notes if n)]
    return "; ".join(said)[:200]


def _words(code: str) -> str:
    return REASONS.get(code, UNWORDED)


def _by_outcome(response: Mapping[str, Any]) -> str:
    """What older servers say by the outcome alone."""
    return "A4" if response.get("outcome") in ("queued", "partial") else ""


def _action(response: Mapping[str, Any]) -> str:
    """The review action of the whole answer: at the header in older profiles, as a plain string."""
    found = _extension(response, "reviewAction")
    return str((found or {}).get("valueString") or _code(_sub(found, "code")) or "")


def _review(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for adjudication in item.get("adjudication", ()):
        found = _extension(adjudication, "reviewAction")
        if found is not None:
            return found
    return None


def _reason_codes(review: Mapping[str, Any] | None) -> list[str]:
    found = [e for e in (review or {}).get("extension", ()) if _named(e, "reasonCode")]
    return [c for e in found if (c := _code(e.get("valueCodeableConcept")))]


def _named(extension: Mapping[str, Any], name: str) -> bool:
    last = str(extension.get("url", "")).rsplit("/", 1)[-1].lower()
    return last.removeprefix("extension-").endswith(name.lower())


def _extension(of: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    for extension in of.get("extension", ()):
        if isinstance(extension, dict) and _named(extension, name):
            return extension
    return None


def _value(of: Mapping[str, Any], name: str) -> Any:
    return _plain(_extension(of, name))


def _sub(of: Mapping[str, Any] | None, name: str) -> Any:
    if of is None:
        return None
    found = [e for e in of.get("extension", ()) if _named(e, name)]
    exact = [e for e in found if not (name == "code" and _named(e, "reasonCode"))]
    return _plain(exact[0]) if exact else None


def _plain(extension: Mapping[str, Any] | None) -> Any:
    if extension is None:
        return None
    return _first(v for k, v in extension.items() if k.startswith("value"))


def _first(values: Any) -> Any:
    return next(iter(values), None)


def _code(concept: Any) -> str:
    if not isinstance(concept, dict):
        return ""
    codings = concept.get("coding") or ()
    return str(_first(c.get("code") for c in codings if c.get("code")) or "")


def _period(value: Any) -> tuple[date, date] | None:
    if not isinstance(value, dict) or not value.get("start"):
        return None
    start = date.fromisoformat(str(value["start"])[:10])
    end = date.fromisoformat(str(value.get("end") or value["start"])[:10])
    return start, end


def _moment(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _traces(response: Mapping[str, Any], bundle: Mapping[str, Any]) -> tuple[str, ...]:
    said = [i.get("value") for i in response.get("identifier", ())]
    request = response.get("request") or {}
    said.append((request.get("identifier") or {}).get("value"))
    said += [i.get("value") for c in _of_kind(bundle, "Claim") for i in c.get("identifier", ())]
    said.append((bundle.get("identifier") or {}).get("value"))
    return tuple(dict.fromkeys(str(s) for s in said if s))
