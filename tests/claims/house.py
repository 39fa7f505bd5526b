"""Released exams, claims and a clearinghouse connection in the suite's organization A."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from django.test import Client

from charges.models import Charge, Exam, Report
from charges.services import exam_record, exams_evaluate, report_receive
from claims.models import Claim
from claims.services import claims_build, claims_scrub, claims_submit
from intake.models import Coverage
from rcm.accounts.models import Organization
from rcm.exchange.models import Connection, Interchange
from rcm.exchange.services import process, store_inbound
from rcm.reference.models import Payer, Provider
from rcm.x12 import Envelope, write_277ca, write_999
from rcm.x12.model import (
    Acknowledgement,
    ClaimStatus,
    ElementError,
    Party,
    SegmentError,
    SetAcknowledgement,
    StatusCode,
    StatusInfo,
)
from tests.charges.house import (
    DONE,
    GADOBUTROL,
    ORDERING_NPI,
    PLAIN_BRAIN,
    READ,
    READER_NPI,
    House,
    fresh,
)

READER = "1245319599"
"""A reader whose NPI has its check digit."""

NOW = dt.datetime(2026, 9, 9, 15, 0, tzinfo=dt.UTC)
MEMBER = {"PHP": "ABC123456789", "LBI": "XYZ123456789", "MCR": "1EG4TE5MK73"}


def as_(house: House, name: str) -> Client:
    """A browser in which this person is signed in."""
    client = Client()
    client.force_login(house.cast.user(name))
    return client


def connect(cast, **config) -> Connection:
    return Connection.objects.create(
        organization=cast.a,
        kind="http",
        name="Clearing House",
        sender="CLRHOUSE",
        url="https://clearing.test/x12",
        config=config,
    )


def complete(house: House) -> None:
    """What a biller's office has filled in before it bills: taxonomies, full addresses."""
    Provider.objects.get_or_create(
        npi=READER, defaults={"last_name": "Reader", "first_name": "Rita", "taxonomy": "2085R0202X"}
    )
    Provider.objects.filter(npi=ORDERING_NPI).update(taxonomy="207Q00000X")
    Organization.objects.filter(pk=house.cast.a.pk).update(taxonomy="261QR0200X")
    house.cast.a.refresh_from_db()


def released(
    house: House,
    code: str = "70551",
    *,
    mrn: str = "M1",
    payer: str = "PHP",
    contrast: bool = False,
    auth: bool = True,
) -> Exam:
    """One exam all the way to released charges, by the services of the phases below."""
    patient = house.patient(mrn, payer)
    patient.address, patient.city, patient.state, patient.zip = "5 Elm St", "Chicago", "IL", "60601"
    patient.save()
    Coverage.objects.filter(patient=patient, rank=1).update(
        member_id=MEMBER.get(payer, "ABC123456789")
    )
    (ordered,) = house.order(patient, code)
    if auth:
        house.authorize(patient, ordered, number=f"AUTH{mrn}")
    more: dict = {"contrast": GADOBUTROL} if contrast else {}
    if code == "71046":
        more |= {"station": "XR1", "views": 2}
    exam = fresh(
        exam_record(record=house.done(ordered, **more), actor=house.actor, at=DONE).exam_id
    )
    sections = (
        {**PLAIN_BRAIN, "technique": "PA and lateral, 2 views of the chest."}
        if code == "71046"
        else PLAIN_BRAIN
    )
    report_receive(
        report=house.report(ordered, *([] if contrast else [sections])), actor=house.actor, at=READ
    )
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ)
    exam = fresh(exam.pk)
    assert exam.status == "released", exam.holds
    exam.charges.filter(rendering_npi=READER_NPI).update(rendering_npi=READER)
    return exam


def built(house: House, exam: Exam) -> Claim:
    (pk,) = claims_build(exam_ids=[exam.pk], actor=house.actor, at=NOW)
    return Claim.objects.get(pk=pk)


def ready(house: House, **more) -> Claim:
    claim = built(house, released(house, **more))
    claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    claim.refresh_from_db()
    assert claim.status == "ready", blocks(claim)
    return claim


def sent(house: House, **more) -> Claim:
    claim = ready(house, **more)
    result = claims_submit(claim_ids=[claim.pk], actor=house.actor, at=NOW)
    assert result.claim_ids == [claim.pk], result.held
    claim.refresh_from_db()
    return claim


def blocks(claim: Claim) -> list[str]:
    rows = claim.findings.filter(cleared_at__isnull=True, severity="B", overridden_by="")
    return sorted(set(rows.values_list("edit", flat=True)))


def many(house: House, n: int, *, payer: str = "PHP") -> list[int]:
    """n clean exams with released charges, written straight into the tables: for counting queries
    and filling files.
    """
    first = released(house, mrn="M0", payer=payer)
    charge = first.charges.get()
    coverage = first.coverage
    patient = first.patient
    report = first.reports.get()
    ids = []
    for k in range(1, n + 1):
        patient.pk, patient.public_id, patient.mrn = None, _uuid(), f"N{k}"
        patient._state.adding = True
        patient.save()
        coverage.pk, coverage.public_id, coverage.patient = None, _uuid(), patient
        coverage._state.adding = True
        coverage.save()
        exam = Exam.objects.get(pk=first.pk)
        exam.pk, exam.public_id, exam.patient, exam.coverage, exam.accession = (
            None,
            _uuid(),
            patient,
            coverage,
            f"AN{k}",
        )
        exam._state.adding = True
        exam.save()
        Report.objects.create(
            organization=house.cast.a,
            exam=exam,
            version=1,
            status="F",
            sections=report.sections,
            reader_npi=report.reader_npi,
            signed_at=report.signed_at,
            reported_at=report.reported_at,
        )
        row = Charge.objects.get(pk=charge.pk)
        row.pk, row.public_id, row.exam, row.patient, row.status = (
            None,
            _uuid(),
            exam,
            patient,
            "released",
        )
        row._state.adding = True
        row.save()
        ids.append(exam.pk)
    return ids


def _uuid():
    from rcm.accounts.tenancy import uuid7

    return uuid7()


# --- answers --------------------------------------------------------------------------------------


def inbound(house: House, kind: str, data: bytes, at: dt.datetime = NOW) -> Interchange:
    row, _ = store_inbound(
        organization_id=house.cast.a.pk, kind=kind, content=data, at=at, actor=house.actor
    )
    process([row.pk], actor=house.actor, at=at)
    row.refresh_from_db()
    return row


def envelope(control: int = 900) -> Envelope:
    return Envelope("CLRHOUSE", "CANA", control, NOW.date())


def answer_999(submission, *, code: str = "A", claim: str = "", control: int = 900) -> bytes:
    """A 999 of one file: accepted, or refused for one element of one claim."""
    errors = ()
    if claim:
        errors = (
            SegmentError(
                "NM1",
                20,
                "8",
                "2010BA",
                (f"CLM01:{claim}",),
                (ElementError(9, "1", reference="67"),),
            ),
        )
    one = SetAcknowledgement(
        "837", "0001", "005010X222A1", code, ("5",) if code == "R" else (), errors
    )
    taken = 1 if code in ("A", "E") else 0
    answer = Acknowledgement(
        "HC", submission.group_control, "005010X222A1", (one,), code, 1, 1, taken
    )
    return write_999(envelope(control), [answer]).data


def answer_277ca(*verdicts: tuple[str, str, str], control: int = 901) -> bytes:
    """A 277CA: (claim number, "A2:20" or "A7:562:85", payer's number) for each claim."""
    statuses = []
    for number, code, icn in verdicts:
        info = StatusInfo(
            (StatusCode(*code.split(":")),),
            effective=NOW.date(),
            action="WQ",
            charge=Decimal("900.00"),
        )
        statuses.append(
            ClaimStatus(
                level="claim",
                trace=number,
                statuses=(info,),
                claim_id=number,
                payer_control=icn,
                payer=Party("PR", "PRAIRIE HEALTH PLAN", id_qualifier="PI", id="PRHP1"),
                receiver=Party("41", "CANA", id_qualifier="46", id="CANA"),
                provider=Party("85", "CANA", id_qualifier="XX", id="1679576722"),
                subscriber=Party("QC", "CANARY", "CORA", person=True, id_qualifier="MI", id="1"),
            )
        )
    return write_277ca(envelope(control), statuses).data


def payer(code: str) -> Payer:
    return Payer.objects.get(code=code)
