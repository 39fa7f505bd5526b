"""Facts for appeal letters and packets, from the thread: order, authorization, report, remittance,
proof of filing (rule `proof-of-filing`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F, Q

from authorizations.models import Authorization, Reviewer
from charges.models import Exam, Report
from claims.models import Acknowledgement, RecordsRequest, RecordsStatus, SubmissionClaim
from rcm.accounts.clock import office_clock, office_day
from rcm.accounts.models import Organization
from rcm.reference.clock import day_at
from rcm.reference.facts import adjustment_reason, remarks
from rcm.worklist.models import Interaction
from remittance import tables
from remittance.letters import LetterFacts
from remittance.models import Denial
from remittance.packet import merge, parts_pdf, text_pdf
from remittance.records import EvidencePart

RELEASED = ("F", "C")


def _exam(denial: Denial) -> Exam | None:
    if denial.line is None:
        line = denial.claim.lines.order_by("number").first()
        charge_id = line.charge_id if line else None
    else:
        charge_id = denial.line.charge_id
    rows = Exam.objects.filter(charges=charge_id).select_related(
        "ordered_exam__order__ordering", "authorization", "site", "reader__provider"
    )
    return rows.first()


def _report(exam: Exam | None) -> Report | None:
    return (
        Report.objects.filter(exam=exam, status__in=RELEASED).order_by("-version").first()
        if exam
        else None
    )


def _authorization(denial: Denial, exam: Exam | None) -> Authorization | None:
    if exam is not None and exam.authorization is not None:
        return exam.authorization
    number = denial.claim.authorization_number
    return (
        Authorization.objects.filter(
            organization_id=denial.organization_id,
            patient_id=denial.claim.patient_id,
            number=number,
        ).first()
        if number
        else None
    )


def letter_facts(denial: Denial, *, level: int, at: datetime) -> LetterFacts:
    """Everything the letter states."""
    claim = denial.claim
    organization = Organization.objects.get(pk=denial.organization_id)
    exam, payer = _exam(denial), denial.payer
    report, authorization = _report(exam), _authorization(denial, exam)
    row = tables.appeal_level(payer.kind, level, denial.denied_on)
    reason = adjustment_reason(denial.reason)
    code = (
        f"{denial.line.code} {' '.join(denial.line.modifiers)}".strip()
        if denial.line
        else ", ".join(line.code for line in claim.lines.order_by("number"))
    )
    auth = ""
    if authorization is not None and authorization.number:
        span = (
            f", valid {authorization.effective_from:%m/%d/%Y} to"
            f" {authorization.effective_to:%m/%d/%Y}"
            if authorization.effective_from and authorization.effective_to
            else ""
        )
        auth = f"Authorization {authorization.number}{span} was on file."
    return LetterFacts(
        today=office_day(at),
        organization=organization.name,
        address=(
            organization.address,
            f"{organization.city}, {organization.state} {organization.zip[:5]}",
        ),
        **_addressee(denial, authorization, at=at),
        level=level,
        level_name=row.name if row else f"Appeal level {level}",
        patient=claim.patient.name,
        born=claim.patient.born_on,
        member_id=claim.coverage.member_id,
        claim_number=claim.number,
        payer_control_number=denial.payment.payer_control_number or claim.payer_control_number,
        service_date=claim.service_date,
        exam=code,
        billed=denial.line.amount if denial.line else claim.total,
        denied=denial.amount,
        denied_on=denial.denied_on,
        reason=f"{denial.group}-{denial.reason}",
        reason_words=reason.words if reason else "",
        remarks=denial.remarks,
        category=denial.category,
        authorization=auth,
        accepted_on=day_at(claim.site, claim.accepted_at) if claim.accepted_at else None,
        filing_limit=claim.filing_deadline,
        report=(
            f"The report was signed on {report.signed_at:%m/%d/%Y} by {report.reader_name}."
            if report and report.signed_at
            else ""
        ),
        contact=organization.contact,
        enclosures=tuple(p.title for p in evidence(denial)),
    )


def _addressee(
    denial: Denial, authorization: Authorization | None, *, at: datetime
) -> dict[str, Any]:
    """Whom the letter goes to: where the authorization decided, the reviewer who decided it, at the
    address for appeals; else the payer.
    """
    payer = denial.payer
    town = f"{payer.city}, {payer.state} {payer.zip[:5]}".strip(", ")
    whole = {
        "payer": payer.name,
        "payer_address": tuple(x for x in (payer.address, town) if x),
    }
    if denial.category != "prior_auth" or authorization is None or not authorization.reviewer:
        return whole
    today = office_day(at)
    rows = Reviewer.objects.filter(name=authorization.reviewer, effective_from__lte=today).filter(
        Q(payer=payer) | Q(payer__isnull=True),
        Q(effective_to__isnull=True) | Q(effective_to__gte=today),
    )
    row = rows.order_by(F("payer").desc(nulls_last=True), "-effective_from").first()
    if row is None:
        return whole
    fax = f"Fax {row.appeal_fax}" if row.appeal_fax else ""
    lines = tuple(x for x in (row.appeal_address, fax) if x)
    return {
        "payer": f"{row.name}, for {payer.name}",
        "payer_address": lines or whole["payer_address"],
    }


def evidence(denial: Denial) -> list[EvidencePart]:
    """The enclosures that exist: order, authorization, signed report, remittance, proof of
    filing.
    """
    exam = _exam(denial)
    parts: list[EvidencePart] = []
    if exam is not None and exam.ordered_exam is not None:
        order = exam.ordered_exam.order
        parts.append(
            EvidencePart(
                "Order",
                [order.indication] if order.indication else [],
                (
                    ("Ordered", f"{order.ordered_at:%m/%d/%Y}"),
                    (
                        "By",
                        (
                            f"{order.ordering} (NPI {order.ordering.npi})"
                            if order.ordering
                            else "not on file"
                        ),
                    ),
                    (
                        "Examination",
                        f"{exam.ordered_exam.code} {exam.ordered_exam.description}".strip(),
                    ),
                    ("Diagnoses", ", ".join(order.diagnoses) or "none on the order"),
                    ("Signed", "yes" if order.signed else "no"),
                ),
            )
        )
    authorization = _authorization(denial, exam)
    if authorization is not None:
        services = ", ".join(f"{s.code} x{s.units}" for s in authorization.services.all())
        parts.append(
            EvidencePart(
                "Authorization",
                [],
                (
                    ("Number", authorization.number or "none"),
                    ("Status", authorization.get_status_display()),
                    ("Services", services),
                    (
                        "Valid",
                        (
                            f"{_day(authorization.effective_from)} to"
                            f" {_day(authorization.effective_to)}"
                        ),
                    ),
                    ("Requested", _day(authorization.requested_at)),
                    ("Decided", _day(authorization.decided_at)),
                    ("Reference", authorization.reference or "none"),
                ),
            )
        )
    report = _report(exam)
    if report is not None and exam is not None:
        lines: list[str] = []
        for name, text in report.sections.items():
            lines += [f"{str(name).upper()}", str(text), ""]
        parts.append(
            EvidencePart(
                "Signed report",
                lines,
                (
                    ("Examination", exam.code),
                    ("Performed", f"{exam.service_date:%m/%d/%Y}"),
                    ("Read by", report.reader_name),
                    ("Signed", _day(report.signed_at)),
                ),
            )
        )
    parts.append(_remittance(denial))
    parts += [p for p in (_filing(denial), _contacts(denial), _papers_sent(denial)) if p]
    return parts


def _contacts(denial: Denial) -> EvidencePart | None:
    """Calls and letters about this claim: day, channel, whom, reference and what came of it."""
    rows = Interaction.objects.filter(
        organization_id=denial.organization_id, claim_id=denial.claim_id
    ).order_by("at")
    lines = []
    for row in rows:
        whom = f" with {row.contact}" if row.contact else ""
        reference = f", reference {row.reference}" if row.reference else ""
        lines.append(
            f"{_day(row.at)}   {row.get_channel_display()}{whom}{reference}: {row.outcome}"
        )
    return EvidencePart("Contacts about this claim", lines, ()) if lines else None


def _papers_sent(denial: Denial) -> EvidencePart | None:
    """Papers that the payer asked for and got."""
    rows = RecordsRequest.objects.filter(
        claim_id=denial.claim_id, status=RecordsStatus.SENT
    ).order_by("sent_at")
    lines = [
        f"{_day(r.sent_at)}   signed report, version {r.report_version}, sent by {r.channel} with"
        f" number {r.control}"
        for r in rows
    ]
    return EvidencePart("Papers sent before", lines, ()) if lines else None


def _remittance(denial: Denial) -> EvidencePart:
    payment, remittance, known = denial.payment, denial.payment.remittance, remarks()
    lines: list[str] = []
    for service in payment.services.order_by("position").prefetch_related("adjustments"):
        lines.append(
            f"{service.code} {' '.join(service.modifiers)}".strip()
            + f"   charge ${service.billed:,.2f}   paid ${service.paid:,.2f}"
        )
        for a in service.adjustments.all():
            reason = adjustment_reason(a.reason)
            lines.append(
                f"      {a.group}-{a.reason}   ${a.amount:,.2f}   {reason.words if reason else ''}"
            )
        lines += [
            f"      {code}   {known[code].words if code in known else ''}"
            for code in service.remarks
        ]
    return EvidencePart(
        "Remittance",
        lines,
        (
            ("Payer", remittance.payer_name),
            ("Check or EFT", remittance.trace),
            ("Date", f"{remittance.paid_on:%m/%d/%Y}"),
            ("Our claim", payment.claim_number),
            ("Payer's claim", payment.payer_control_number),
            ("Claim status", payment.status_code),
        ),
    )


def _filing(denial: Denial) -> EvidencePart | None:
    rows = list(
        SubmissionClaim.objects.filter(claim_id=denial.claim_id, submission__sent_at__isnull=False)
        .select_related("submission")
        .order_by("submission__sent_at")
    )
    acks = list(Acknowledgement.objects.filter(claim_id=denial.claim_id).order_by("received_at"))
    if not rows and not acks:
        return None
    lines = [f"Sent {_day(r.submission.sent_at)} in file {r.submission.number}" for r in rows]
    lines += [f"{a.kind} of {_day(a.received_at)}: {a.sentence}" for a in acks]
    deadline = denial.claim.filing_deadline
    return EvidencePart("Proof of filing", lines, (("Filing limit", _day(deadline)),))


def _day(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, datetime):
        value = office_clock().local(value)
    return f"{value:%m/%d/%Y}"


def packet_pdf(denial: Denial, *, letter: str, level: int, at: datetime) -> bytes:
    """Letter and enclosures in one PDF. The title names the claim, never the patient."""
    footer = f"Claim {denial.claim.number}, appeal level {level}, {office_day(at):%m/%d/%Y}"
    title = f"Appeal of claim {denial.claim.number}"
    return merge(
        [text_pdf(title, letter, footer=footer), parts_pdf(title, evidence(denial), footer=footer)],
        title=title,
    )
