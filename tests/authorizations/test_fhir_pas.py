"""FHIR prior authorization: the request bundle against the standard and the guide's must-support
elements, every kind of answer, sign-in, and the same record as by 278.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import jwt
import pytest
from fhir.resources.R4B.bundle import Bundle

from authorizations import services
from authorizations.fhir_pas import NotPas, asked_of, replies_of
from authorizations.models import Authorization, AuthRequest, AuthStatus
from authorizations.replies import Granted
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.exchange import smart
from rcm.exchange.models import Connection, Interchange
from rcm.simulator.models import SmartClient
from rcm.simulator.server import serve
from tests.authorizations.test_front_door import NOW, answer, record, visit
from tests.intake.house import inbound, partner, run_all

pytestmark = pytest.mark.django_db(transaction=True)
GUIDE = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition"


# --- a payer that speaks FHIR ---------------------------------------------------------------------


@pytest.fixture
def payers(settings, cast_committed):
    """The simulated payers over HTTP, and organization A's connection to them, its key
    registered.
    """
    from django.core.cache import cache

    cache.clear()
    server = serve("127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_address[1]}"
    settings.EXCHANGE_TRUSTED_HOSTS = [host]
    sealed, public = smart.new_key()
    SmartClient.objects.create(client_id="isocenter-a", key=public)
    cast = cast_committed
    with scope(cast.system):
        connection = Connection.objects.create(
            organization=cast.a,
            kind="http",
            name="Payers by FHIR",
            url=f"http://{host}/fhir",
            config={
                "sets": ["PAS"],
                "paths": {"PAS": "/Claim/$submit", "PAS_INQUIRY": "/Claim/$inquire"},
                "smart": {
                    "token_url": f"http://{host}/auth/token",
                    "client_id": "isocenter-a",
                    "kid": public["kid"],
                    "key": sealed,
                },
            },
        )
    yield connection
    server.shutdown()
    server.server_close()


def asked(cast, *codes: str, member: str = "", channel: str = "fhir") -> Authorization:
    """A booked visit of organization A whose record was asked for."""
    with scope(cast.system):
        booked = visit(cast, *codes or ("70551",))
        if member:
            booked.patient.coverages.update(member_id=member)
    run_all(cast)
    with scope(cast.system):
        row = record(booked)
        services.authorization_request(
            authorization=row, channel=channel, actor=cast.actor("ada"), at=NOW
        )
    return row


def request_of(cast, row: Authorization) -> Interchange:
    with scope(cast.system):
        found = AuthRequest.objects.select_related("request").get(authorization=row)
        return found.request


def bundle_of(cast, row: Authorization) -> dict[str, Any]:
    return json.loads(bytes(request_of(cast, row).content))


def by_kind(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


# --- the request ----------------------------------------------------------------------------------


def test_the_request_bundle_is_valid_fhir(cast_committed, payers):
    bundle = bundle_of(cast_committed, asked(cast_committed, "70551", "73721"))
    assert Bundle.model_validate(bundle).get_resource_type() == "Bundle"


MUST_SUPPORT = {
    "Claim": (
        "identifier",
        "status",
        "type",
        "use",
        "patient",
        "created",
        "insurer",
        "provider",
        "priority",
        "careTeam",
        "supportingInfo",
        "diagnosis",
        "insurance",
        "item",
    ),
    "Coverage": ("status", "subscriberId", "beneficiary", "relationship", "payor"),
    "Patient": ("identifier", "name", "gender", "birthDate", "address"),
    "Organization": ("identifier", "active", "name", "type"),
    "Practitioner": ("identifier", "name"),
    "PractitionerRole": ("practitioner",),
    "ServiceRequest": ("status", "intent", "code", "subject", "quantityQuantity"),
    "DocumentReference": ("status", "type", "category", "subject", "content"),
}


@pytest.mark.parametrize("kind", MUST_SUPPORT)
def test_the_guides_must_support_elements_are_there(cast_committed, payers, kind):
    bundle = bundle_of(cast_committed, asked(cast_committed))
    found = by_kind(bundle, kind)
    assert found, kind
    for resource in found:
        missing = [name for name in MUST_SUPPORT[kind] if not resource.get(name)]
        assert missing == []


def test_the_bundle_holds_together_as_the_guide_asks(cast_committed, payers):
    """A collection, identified and timed, the Claim first; every reference resolves inside it; each
    item says what is asked for and carries its own trace.
    """
    bundle = bundle_of(cast_committed, asked(cast_committed, "70551", "73721"))
    assert (bundle["type"], bundle["entry"][0]["resource"]["resourceType"]) == (
        "collection",
        "Claim",
    )
    assert bundle["identifier"]["value"] and bundle["timestamp"]
    assert bundle["meta"]["profile"] == [f"{GUIDE}/profile-pas-request-bundle"]
    known = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle["entry"]}
    assert set(references(bundle)) <= known
    claim = bundle["entry"][0]["resource"]
    assert claim["use"] == "preauthorization"
    for item in claim["item"]:
        names = {e["url"].rsplit("extension-", 1)[-1] for e in item["extension"]}
        assert {
            "itemTraceNumber",
            "serviceItemRequestType",
            "certificationType",
            "requestedService",
        } <= names
        assert item["locationCodeableConcept"]["coding"][0]["code"]
    traces = [
        e["valueIdentifier"]["value"]
        for item in claim["item"]
        for e in item["extension"]
        if e["url"].endswith("itemTraceNumber")
    ]
    assert len(set(traces)) == 2


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [r for v in value.values() for r in references(v)]
    if isinstance(value, list):
        return [r for v in value for r in references(v)]
    return []


def test_the_url_and_the_ids_say_nothing_about_the_patient(cast_committed, payers):
    bundle = bundle_of(cast_committed, asked(cast_committed))
    for entry in bundle["entry"]:
        for secret in ("M880412", "PRA123456789", "Ibarra", "1958"):
            assert secret not in entry["fullUrl"]


# --- the way there and back -----------------------------------------------------------------------


def test_a_request_by_fhir_is_signed_in_sent_and_answered(cast_committed, payers):
    cast = cast_committed
    row = asked(cast)
    run_all(cast)
    with scope(cast.system):
        row.refresh_from_db()
        ask = AuthRequest.objects.get(authorization=row)
        assert ask.channel == "fhir"
        assert ask.response is not None
        assert row.status != AuthStatus.REQUESTED
        assert row.reference.startswith("CASE")


def test_a_pended_request_is_inquired_and_the_decision_lands_on_the_same_request(
    cast_committed, payers, monkeypatch
):
    from rcm.simulator import payer as books

    cast = cast_committed
    now = {"action": "A4"}
    monkeypatch.setattr(books, "grant_now", lambda grant, day: now["action"])
    row = asked(cast)
    run_all(cast)
    with scope(cast.system):
        row.refresh_from_db()
        assert (row.status, row.reference[:4]) == (AuthStatus.PENDED, "CASE")
    now["action"] = "A1"
    with scope(cast.system):
        books.Grant.objects.update(number="FH-77")
        services.authorization_inquire(authorization=row, actor=cast.actor("ada"), at=NOW)
    run_all(cast)
    with scope(cast.system):
        row.refresh_from_db()
        assert (row.status, row.number) == (AuthStatus.APPROVED, "FH-77")
        assert AuthRequest.objects.filter(authorization=row).count() == 1


def test_without_its_key_nobody_signs_in(cast_committed, payers):
    cast = cast_committed
    SmartClient.objects.update(key=smart.new_key()[1])
    row = asked(cast)
    run_all(cast)
    with scope(cast.system):
        row.refresh_from_db()
        assert row.status == AuthStatus.DRAFT
        assert "did not let us sign in" in request_of(cast, row).error


def test_an_assertion_serves_once_for_five_minutes_at_one_address(cast_committed, payers):
    from rcm.simulator import fhir

    address = payers.config["smart"]["token_url"]
    made = smart.assertion(payers, now=time.time())
    claims = jwt.decode(made, options={"verify_signature": False})
    assert claims["iss"] == claims["sub"] == "isocenter-a"
    assert claims["exp"] - claims["iat"] == 300
    form = f"grant_type=client_credentials&client_assertion={made}".encode()
    assert fhir.token(form, address="http://elsewhere/auth/token")[0] == 400
    assert fhir.token(form, address=address)[0] == 200
    assert fhir.token(form, address=address)[0] == 400
    old = smart.assertion(payers, now=time.time() - 400)
    stale = f"grant_type=client_credentials&client_assertion={old}".encode()
    assert fhir.token(stale, address=address)[0] == 400


def test_the_signing_key_is_sealed_at_rest(payers):
    assert "PRIVATE KEY" not in json.dumps(payers.config)


def test_without_a_fhir_connection_the_way_is_278(cast_committed, settings):
    cast = cast_committed
    with partner(settings, cast) as clearinghouse:
        answer(clearinghouse, "A1", number="A-44")
        row = asked(cast, channel="electronic")
        with scope(cast.system):
            assert AuthRequest.objects.get(authorization=row).channel == "278"
            with pytest.raises(Refused, match="takes FHIR requests"):
                second = visit_again(cast)
                services.authorization_request(
                    authorization=second, channel="fhir", actor=cast.actor("ada"), at=NOW
                )


def visit_again(cast) -> Authorization:
    from tests.intake.house import patient

    other = patient(cast, mrn="M2", last="Other", first="Person")
    from intake.services import appointment_book
    from tests.intake.house import exams_of, insured, moment, order, site

    insured(cast, other, member="PRA000000002")
    booked = appointment_book(
        patient=other,
        site=site(cast),
        starts_at=moment("2026-03-12 11:00"),
        exams=exams_of(order(cast, other, "70551")),
        actor=cast.system,
        at=NOW,
    )
    services.requirement_decide(appointment_ids=[booked.pk], actor=cast.system, at=NOW)
    return record(booked)


# --- the answers ----------------------------------------------------------------------------------

ASKED = {1: Granted("70551", 1, ""), 2: Granted("73721", 1, "RT")}


def response(*items: dict[str, Any], trace: str = "T1", **values: Any) -> bytes:
    claim_response = {
        "resourceType": "ClaimResponse",
        "identifier": [{"value": trace}],
        "outcome": "complete",
        "created": "2026-03-02T10:00:00-06:00",
        "item": list(items),
    } | values
    return json.dumps(
        {
            "resourceType": "Bundle",
            "type": "collection",
            "identifier": {"value": trace},
            "entry": [{"resource": claim_response}],
        }
    ).encode()


def item(sequence: int, action: str, number: str = "", **extra: Any) -> dict[str, Any]:
    def concept(code: str) -> dict[str, Any]:
        return {"valueCodeableConcept": {"coding": [{"code": code}]}}

    review = [{"url": f"{GUIDE}/extension-reviewActionCode", **concept(action)}]
    if number:
        review.append({"url": "number", "valueString": number})
    if "reason" in extra:
        review.append({"url": "reasonCode", **concept(extra["reason"])})
    extensions = []
    if "reference" in extra:
        extensions.append(
            {
                "url": f"{GUIDE}/extension-administrationReferenceNumber",
                "valueString": extra["reference"],
            }
        )
    if number:
        period = {"start": "2026-03-02", "end": "2026-04-15"}
        extensions.append({"url": f"{GUIDE}/extension-itemPreAuthPeriod", "valuePeriod": period})
    if "code" in extra:
        detail = [
            {"url": "productOrServiceCode", **concept(extra["code"])},
            {"url": "quantity", "valueQuantity": {"value": extra.get("units", 1)}},
        ]
        extensions.append({"url": f"{GUIDE}/extension-itemAuthorizedDetail", "extension": detail})
    return {
        "itemSequence": sequence,
        "extension": extensions,
        "adjudication": [
            {"extension": [{"url": f"{GUIDE}/extension-reviewAction", "extension": review}]}
        ],
    }


@pytest.mark.parametrize(
    ("items", "status", "lines"),
    [
        (
            (item(1, "A1", "F1"), item(2, "A1", "F1")),
            AuthStatus.APPROVED,
            [("70551", True), ("73721", True)],
        ),
        (
            (item(1, "A1", "F1"), item(2, "A3", reason="04")),
            AuthStatus.PARTIAL,
            [("70551", True), ("73721", False)],
        ),
        (
            (item(1, "A3"), item(2, "A3")),
            AuthStatus.DENIED,
            [("70551", False), ("73721", False)],
        ),
        (
            (item(1, "A4", reference="P1"), item(2, "A1", "F1")),
            AuthStatus.PENDED,
            [("70551", False), ("73721", True)],
        ),
        (
            (item(1, "A6", "F1", code="70553"), item(2, "A1", "F1")),
            AuthStatus.MODIFIED,
            [("70553", True), ("73721", True)],
        ),
    ],
)
def test_each_answer_of_the_guide_is_understood(items, status, lines):
    reply = replies_of(response(*items), ASKED)[0]
    assert reply.status == status
    assert [(g.code, g.approved) for g in reply.services] == lines
    assert reply.decided_at is not None


def test_a_reason_is_in_words_and_a_reference_is_kept_while_pended():
    refused = replies_of(response(item(1, "A3", reason="04")), ASKED)[0]
    assert refused.reason == "the records do not support the request"
    pended = replies_of(response(item(1, "A4", reference="PEND0001")), ASKED)[0]
    assert (pended.status, pended.reference, pended.number) == (AuthStatus.PENDED, "PEND0001", "")


def test_errors_and_an_operation_outcome_are_refusals_with_words():
    error = response(outcome="error", item=[], error=[{"code": {"coding": [{"code": "72"}]}}])
    reply = replies_of(error, ASKED)[0]
    assert (reply.status, reply.refusal) == (None, "the member ID is wrong")
    outcome = json.dumps(
        {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "error", "code": "throttled", "diagnostics": "Too many"}],
        }
    ).encode()
    assert (replies_of(outcome, ASKED)[0].refusal, replies_of(outcome, ASKED)[0].transient) == (
        "Too many",
        True,
    )


def test_an_inquiry_answer_may_come_inside_parameters():
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "responseBundle", "resource": json.loads(response(item(1, "A1", "F1")))}
        ],
    }
    assert replies_of(json.dumps(body).encode(), ASKED)[0].status == AuthStatus.APPROVED


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"resourceType":"Patient"}', b"\xff\xfe", b'{"entry":1}']
)
def test_what_is_no_answer_is_said_to_be_none(content):
    with pytest.raises(NotPas):
        replies_of(content, ASKED)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("reference_GrantedResponse.json", AuthStatus.APPROVED),
        ("reference_PendedClaimResponse.json", AuthStatus.PENDED),
        ("reference_DeniedResponse.json", AuthStatus.DENIED),
    ],
)
def test_the_reference_servers_older_answers_are_read_too(shared, name, status):
    content = (shared / "samples" / "fhir_pas" / name).read_bytes()
    reply = replies_of(content, {})[0]
    assert reply.status == status
    assert reply.reference


# --- one record, whichever way ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "number"), [("A1", "Z-1"), ("A3", ""), ("A4", ""), ("A6", "Z-1")]
)
def test_by_278_and_by_fhir_the_record_is_the_same(
    cast_committed, settings, payers, action, number
):
    cast = cast_committed
    kept = ("status", "number", "effective_from", "effective_to", "denial_reason")
    by_fhir = asked(cast)
    request = request_of(cast, by_fhir)
    trace = json.loads(bytes(request.content))["identifier"]["value"]
    answer_row = inbound(cast, "PAS", response(item(1, action, number), trace=trace))
    with scope(cast.system):
        Interchange.objects.filter(pk=answer_row.pk).update(answer_to=request)
        answer_row.refresh_from_db()
        services.answer_pas(answer_row, actor=cast.system, at=NOW)
        by_fhir.refresh_from_db()
        first = [getattr(by_fhir, name) for name in kept]
        lines = sorted(by_fhir.services.values_list("code", "units", "status"))
        Authorization.objects.filter(pk=by_fhir.pk).update(status="cancelled")
        second = visit_again(cast)
        Connection.objects.filter(pk=payers.pk).update(active=False)
    with partner(settings, cast) as clearinghouse:
        answer(clearinghouse, action, number=number)
        with scope(cast.system):
            services.authorization_request(
                authorization=second, channel="278", actor=cast.actor("ada"), at=NOW
            )
        run_all(cast)
    with scope(cast.system):
        second.refresh_from_db()
        assert [getattr(second, name) for name in kept] == first
        assert sorted(second.services.values_list("code", "units", "status")) == lines


def test_the_same_answer_again_changes_nothing(cast_committed, payers):
    from rcm.audit.models import Event

    cast = cast_committed
    row = asked(cast)
    request = request_of(cast, row)
    trace = json.loads(bytes(request.content))["identifier"]["value"]
    counts = []
    for n in range(2):
        content = response(item(1, "A1", "F1", reference="CASE1"), trace=trace)
        answer_row = inbound(cast, "PAS", content + b" " * n)
        with scope(cast.system):
            Interchange.objects.filter(pk=answer_row.pk).update(answer_to=request)
            answer_row.refresh_from_db()
            counts.append(services.answer_pas(answer_row, actor=cast.system, at=NOW)["repeated"])
    with scope(cast.system):
        assert counts == [0, 1]
        assert Event.objects.filter(verb="authorization.approved").count() == 1


def test_the_lines_of_our_own_request_are_read_back(cast_committed, payers):
    bundle = bundle_of(cast_committed, asked(cast_committed, "70551", "73721"))
    lines = asked_of(json.dumps(bundle).encode())
    assert [lines[n].code for n in (1, 2)] == ["70551", "73721"]


def test_a_connection_is_set_up_by_command_and_only_its_public_key_is_printed(
    cast_committed, capsys
):
    from django.core.management import call_command

    call_command(
        "smart_connect", "CANA", "https://payer.test/fhir", "https://payer.test/token", "us"
    )
    printed = json.loads(capsys.readouterr().out)["keys"][0]
    assert "d" not in printed
    with scope(cast_committed.system):
        made = Connection.objects.get(name="FHIR us")
        signed = smart.assertion(made, now=time.time())
    key = jwt.PyJWK(printed, algorithm="ES384").key
    claims = jwt.decode(signed, key, algorithms=["ES384"], audience="https://payer.test/token")
    assert claims["iss"] == "us"
