"""The simulator's FHIR door: SMART backend-services sign-in, `Claim/$submit` and `Claim/$inquire` (HL7
Da Vinci Prior Authorization Support).

The payers decide as they do for a 278, from the same books: the same trace gives the same case,
whichever way it was asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import jwt
from django.core import signing

from rcm.simulator import payer as payers
from rcm.simulator.models import Call, Grant, SmartClient

GUIDE = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition"
X12 = "https://codesystem.x12.org/005010"
SALT = "simulated payers: access token"
SECONDS = 300
FHIR = "application/fhir+json"


class Refusal(Exception):
    """A request that is answered with an OperationOutcome."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.code = status, code


def outcome(refusal: Refusal) -> bytes:
    return json.dumps(
        {
            "resourceType": "OperationOutcome",
            "issue": [
                {"severity": "error", "code": refusal.code, "diagnostics": str(refusal)[:200]}
            ],
        }
    ).encode()


# --- sign-in --------------------------------------------------------------------------------------


def token(body: bytes, *, address: str) -> tuple[int, bytes]:
    """Answer a token request: status and JSON. The assertion must be signed with the client's key,
    meant for this address, short-lived, and never seen before.
    """
    form = {k: v[0] for k, v in parse_qs(body.decode("utf-8", "replace")).items()}
    try:
        client_id = _signed_by(form, address)
    except (jwt.PyJWTError, SmartClient.DoesNotExist, KeyError, ValueError):
        return 400, json.dumps({"error": "invalid_client"}).encode()
    if form.get("grant_type") != "client_credentials":
        return 400, json.dumps({"error": "unsupported_grant_type"}).encode()
    granted = signing.dumps({"client": client_id}, salt=SALT)
    answer = {
        "access_token": granted,
        "token_type": "bearer",
        "expires_in": SECONDS,
        "scope": form.get("scope", ""),
    }
    return 200, json.dumps(answer).encode()


def _signed_by(form: Mapping[str, str], address: str) -> str:
    assertion = form["client_assertion"]
    unchecked = jwt.decode(assertion, options={"verify_signature": False})
    client = SmartClient.objects.get(client_id=unchecked["iss"])
    key = jwt.PyJWK(client.key, algorithm=client.key.get("alg", "ES384"))
    claims = jwt.decode(
        assertion,
        key.key,
        algorithms=["ES384", "RS384"],
        audience=address,
        issuer=client.client_id,
        options={"require": ["exp", "jti", "sub"]},
    )
    if claims["sub"] != client.client_id or claims["exp"] > datetime.now(UTC).timestamp() + 330:
        raise ValueError("not a short statement of the client itself")
    _, new = Call.objects.get_or_create(
        key=f"jti:{claims['jti']}"[:80],
        defaults={"path": "/auth/token", "sha256": "", "answer": b""},
    )
    if not new:
        raise ValueError("seen before")
    return client.client_id


def require_token(header: str) -> None:
    """Raise Refusal (401) without a token of ours that still holds."""
    kind, _, value = header.partition(" ")
    try:
        if kind.lower() != "bearer":
            raise signing.BadSignature("no bearer token")
        signing.loads(value, salt=SALT, max_age=SECONDS)
    except signing.BadSignature:
        raise Refusal(401, "login", "Sign in first.") from None


# --- the operations -------------------------------------------------------------------------------


def submit(body: bytes, day: date) -> bytes:
    """Decide a request bundle. Raises Refusal when it is none."""
    bundle, claim = _read(body)
    grant = payers.decide_request(
        _payer(bundle),
        _member(bundle),
        _trace(claim),
        [(i["code"], i["units"]) for i in _items(claim)],
        day,
    )
    return _answer(bundle, claim, grant, day)


def inquire(body: bytes, day: date) -> bytes:
    """How an earlier request stands. Raises Refusal (404) for one that was never made."""
    bundle, claim = _read(body)
    grant = Grant.objects.filter(trace=_trace(claim)).first()
    if grant is None:
        raise Refusal(404, "not-found", "There is no request with this number.")
    return _answer(bundle, claim, grant, day)


def _read(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        bundle = json.loads(body)
        first = bundle["entry"][0]["resource"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise Refusal(400, "structure", "Send one Bundle whose first entry is the Claim.") from None
    if bundle.get("type") != "collection" or first.get("resourceType") != "Claim":
        raise Refusal(400, "structure", "Send one Bundle whose first entry is the Claim.")
    if first.get("use") != "preauthorization":
        raise Refusal(422, "business-rule", "Only prior authorization is decided here.")
    if not first.get("item") or not first.get("identifier"):
        raise Refusal(422, "required", "The Claim names no item or has no identifier.")
    return bundle, first


def _resources(bundle: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [e.get("resource", {}) for e in bundle["entry"]]
    return [r for r in found if r.get("resourceType") == kind]


def _payer(bundle: Mapping[str, Any]) -> str:
    for organization in _resources(bundle, "Organization"):
        codes = [c.get("code") for t in organization.get("type", ()) for c in t.get("coding", ())]
        if "PR" in codes:
            return str(organization["identifier"][0]["value"])
    raise Refusal(422, "required", "The bundle names no insurer.")


def _member(bundle: Mapping[str, Any]) -> str:
    coverages = _resources(bundle, "Coverage")
    if not coverages or not coverages[0].get("subscriberId"):
        raise Refusal(422, "required", "The Coverage has no member number.")
    return str(coverages[0]["subscriberId"])


def _trace(claim: Mapping[str, Any]) -> str:
    return str(claim["identifier"][0]["value"])[:50]


def _items(claim: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "sequence": item["sequence"],
            "code": item["productOrService"]["coding"][0]["code"],
            "units": int((item.get("quantity") or {}).get("value") or 1),
        }
        for item in claim["item"]
    ]


def _answer(bundle: Mapping[str, Any], claim: Mapping[str, Any], grant: Grant, day: date) -> bytes:
    action = payers.grant_now(grant, day)
    granted = {code: units for code, units in grant.codes}
    moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    response = {
        "resourceType": "ClaimResponse",
        "id": f"response-{grant.pk}",
        "meta": {"profile": [f"{GUIDE}/profile-claimresponse"]},
        "identifier": claim["identifier"],
        "status": "active",
        "type": claim["type"],
        "use": "preauthorization",
        "patient": claim["patient"],
        "created": min(moment, datetime.now(UTC) + timedelta(days=1)).isoformat(),
        "insurer": claim["insurer"],
        "requestor": claim["provider"],
        "request": {"reference": f"Claim/{claim.get('id', '')}"},
        "outcome": "complete",
        "item": [_answer_item(i, action, granted, grant) for i in _items(claim)],
    }
    if action in ("A1", "A2", "A6"):
        response["preAuthRef"] = grant.number
    kept = ("Organization", "Patient", "Coverage")
    body = {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{GUIDE}/profile-pas-response-bundle"]},
        "identifier": bundle.get("identifier"),
        "type": "collection",
        "timestamp": datetime.now(UTC).isoformat(),
        "entry": [
            {
                "fullUrl": f"http://payers.invalid/fhir/ClaimResponse/{response['id']}",
                "resource": response,
            },
            *(e for e in bundle["entry"] if e["resource"]["resourceType"] in kept),
        ],
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _answer_item(
    item: Mapping[str, Any], action: str, granted: Mapping[str, int], grant: Grant
) -> dict[str, Any]:
    open_ = action in ("A1", "A2", "A6")
    own = action if item["code"] in granted or not open_ else "A3"
    review: list[dict[str, Any]] = []
    if open_ and own != "A3":
        review.append({"url": "number", "valueString": grant.number})
    if own == "A3":
        review.append({"url": "reasonCode", "valueCodeableConcept": _concept("886", "04")})
    review.append(
        {
            "url": f"{GUIDE}/extension-reviewActionCode",
            "valueCodeableConcept": _concept("306", own),
        }
    )
    extensions: list[dict[str, Any]] = [
        {
            "url": f"{GUIDE}/extension-administrationReferenceNumber",
            "valueString": f"CASE{grant.pk:08d}",
        }
    ]
    if open_ and own != "A3" and grant.valid_from and grant.valid_to:
        period = {"start": grant.valid_from.isoformat(), "end": grant.valid_to.isoformat()}
        extensions.append({"url": f"{GUIDE}/extension-itemPreAuthPeriod", "valuePeriod": period})
    return {
        "extension": extensions,
        "itemSequence": item["sequence"],
        "adjudication": [
            {
                "extension": [{"url": f"{GUIDE}/extension-reviewAction", "extension": review}],
                "category": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/adjudication",
                            "code": "submitted",
                        }
                    ]
                },
            }
        ],
    }


def _concept(list_: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": f"{X12}/{list_}", "code": code}]}
