"""The billing office: coders clear holds, billers clear claims, posters post, A/R works denials,
balances and patients. Each as a person.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal

import httpx
from django.db.models import Q

from ar.models import PaymentPlan, RequestStatus, Statement, WriteOffRequest
from ar.services import (
    aging_snapshot,
    kpi_snapshot,
    mail_batch_make,
    nightly,
    open_patient_charges,
    payment_take,
    plan_make,
    refund_decide,
    refund_request,
    statements_send,
    write_off_decide,
    write_off_request,
)
from charges.models import Exam, ExamStatus
from charges.services import (
    accession_proof,
    exam_accept,
    exam_correct,
    finding_waive,
    order_change_document,
    unsigned_refresh,
)
from claims.models import Claim, ClaimStatus, ScrubFinding
from claims.records import Changes
from claims.services import (
    claim_edit,
    claims_scrub,
    claims_submit_ready,
    filing_refresh,
    finding_override,
    silent_refresh,
    submissions_refresh,
)
from intake.models import Patient
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.demo.days import Center
from rcm.exchange.mailbox import pick_up
from rcm.exchange.models import Direction, Interchange, InterchangeStatus
from rcm.exchange.services import process
from rcm.ledger.models import Balance
from rcm.simulator.habits import draw
from rcm.worklist.services import interaction_record
from remittance.models import (
    Appeal,
    Denial,
    DenialStatus,
    Remittance,
    RemittanceStatus,
    Variance,
    VarianceStatus,
)
from remittance.services import (
    appeal_outcome,
    denial_appeal,
    denial_correct,
    denial_park,
    remittance_post,
    upkeep,
    variance_accept,
    variance_dispute,
)

TROUBLE = (Refused, Conflict)


# --- mail -----------------------------------------------------------------------------------------


def mail(center: Center, day: date, at: datetime) -> int:
    """Pick up what the clearinghouse has and let it be read."""
    ids: list[int] = []
    for line in center.mailboxes:
        ids += pick_up(line, actor=center.system, as_of=day, at=at)
    if ids:
        process(ids, actor=center.system, at=at)
    return len(ids)


def post_waiting(center: Center, at: datetime) -> int:
    """A person posts what did not post by itself: the exceptions stay behind with their items."""
    with center.acting(center.system):
        rows = list(
            Remittance.objects.filter(
                organization=center.organization, status=RemittanceStatus.READY
            ).order_by("id")
        )
    for row in rows:
        actor = center.who("poster")
        with center.acting(actor):
            try:
                remittance_post(remittance=row, actor=actor, at=at)
            except TROUBLE:
                continue
    return len(rows)


# --- coder ----------------------------------------------------------------------------------------


LOOKED_AT = 18
"""Days after which the coders of the demo have given up a held exam: the backlog that a visitor
finds.
"""


def code(center: Center, at: datetime) -> int:
    """Work through held exams whose report is signed: most holds are settled, some are left for
    tomorrow.
    """
    with center.acting(center.system):
        rows = list(
            Exam.objects.filter(
                organization=center.organization,
                status__in=[ExamStatus.FINAL, ExamStatus.CODED],
                service_date__gte=office_day(at) - timedelta(days=LOOKED_AT),
                service_date__lte=office_day(at),
            )
            .exclude(holds=[])
            .select_related("site")
            .order_by("service_date", "id")[:60]
        )
    done = 0
    for row in rows:
        if draw("coder", row.accession, office_day(at)) < 60:
            continue
        actor = center.who("coder" if draw("who", row.accession) < 800 else "manager")
        for hold in row.holds[:3]:
            with center.acting(actor):
                try:
                    done += _settle(center, Exam.objects.get(pk=row.pk), hold, at)
                except TROUBLE:
                    continue
    return done


def _settle(center: Center, exam: Exam, hold: dict[str, str], at: datetime) -> int:
    name = hold["code"]
    if all(h["code"] != name for h in exam.holds):
        return 0
    actor = (
        center.who("manager") if hold["waive"] == "authorization.override" else center.who("coder")
    )
    if name.startswith("PET_"):
        exam_correct(
            exam=exam,
            reason="Ordering practice: first staging",
            pet={"strategy": "initial", "oncologic": True},
            actor=actor,
            at=at,
        )
    elif name.startswith("ORDER_") or hold["field"] == "order":
        order_change_document(
            exam=exam,
            evidence={},
            new_order=True,
            reason="New order obtained from the referring practice",
            actor=actor,
            at=at,
        )
    elif hold["waive"]:
        if draw("leave", exam.accession, name) < 25:
            return 0
        finding_waive(
            exam=exam,
            code=name,
            reason="Read with the report: documented and correct",
            actor=actor,
            at=at,
        )
    elif exam.suggestion.get("code"):
        exam_accept(exam=exam, actor=actor, at=at)
    else:
        return 0
    return 1


# --- biller ---------------------------------------------------------------------------------------


def bill(center: Center, at: datetime) -> int:
    """Clear blocked and rejected claims, then send everything that is ready."""
    with center.acting(center.system):
        rows = list(
            Claim.objects.filter(
                organization=center.organization,
                status__in=[ClaimStatus.BLOCKED, ClaimStatus.REJECTED],
                service_date__lte=office_day(at),
            )
            .select_related("payer")
            .order_by("filing_deadline", "id")[:60]
        )
    for claim in rows:
        if draw("biller", claim.number, office_day(at)) < 150:
            continue
        actor = center.who("biller")
        with center.acting(actor):
            try:
                _clear(center, claim, actor, at)
            except TROUBLE:
                continue
    with center.acting(center.system):
        return len(
            claims_submit_ready(
                organization_id=center.organization.pk, actor=center.system, at=at
            ).submission_ids
        )


def _clear(center: Center, claim: Claim, actor: object, at: datetime) -> None:
    if claim.status == ClaimStatus.REJECTED:
        if claim.submissions.count() > 1:
            return
        claim_edit(
            claim=claim,
            changes=Changes(note="Checked and sent again"),
            reason="Rejected by the clearinghouse",
            actor=actor,  # type: ignore[arg-type]
            at=at,
        )
        return
    findings = list(
        ScrubFinding.objects.filter(
            claim=claim, cleared_at__isnull=True, severity="B", overridden_by=""
        ).order_by("id")
    )
    for finding in findings:
        try:
            finding_override(
                finding=finding,
                reason="Documentation reviewed; billed as performed",
                actor=actor,  # type: ignore[arg-type]
                at=at,
            )
        except TROUBLE:
            continue
    if not findings:
        claims_scrub(claim_ids=[claim.pk], actor=actor, at=at)  # type: ignore[arg-type]


# --- denials --------------------------------------------------------------------------------------

CORRECT = (
    "missing_info",
    "modifier",
    "component",
    "place_of_service",
    "demographics",
    "cob",
    "duplicate",
    "bundling",
    "provider_enrolment",
)
APPEAL = ("medical_necessity", "prior_auth", "documentation", "noncovered")


def deny_back(center: Center, day: date, at: datetime) -> int:
    """Work open denials: correct and resubmit, appeal, park; some wait for their turn."""
    with center.acting(center.system):
        rows = list(
            Denial.objects.filter(
                organization=center.organization,
                status=DenialStatus.OPEN,
                denied_on__lt=day - timedelta(days=2),
            )
            .select_related("claim", "payer")
            .order_by("denied_on", "id")[:80]
        )
    done = 0
    touched: set[int] = set()
    for row in rows:
        chance = draw("denial", row.claim.number, row.reason, day.isocalendar().week)
        if row.claim_id in touched or chance < 600:
            continue
        touched.add(row.claim_id)
        actor = center.who("ar" if chance < 850 else "biller")
        with center.acting(actor):
            try:
                done += _work(center, row, day, at, actor)
            except TROUBLE:
                continue
    return done


def _work(center: Center, row: Denial, day: date, at: datetime, actor: object) -> int:
    row = Denial.objects.select_related("claim", "payer").get(pk=row.pk)
    if row.status != DenialStatus.OPEN:
        return 0
    choice = draw("way", row.claim.number, row.reason)
    if row.category in CORRECT and choice < 850 and not row.repeat:
        denial_correct(
            denial=row,
            changes=Changes(note="Corrected"),
            reason=f"Denied {row.group}-{row.reason}: corrected and sent again",
            actor=actor,  # type: ignore[arg-type]
            at=at,
        )
    elif row.category in APPEAL and choice < 700:
        denial_appeal(denial=row, actor=actor, at=at)  # type: ignore[arg-type]
        _mail_appeal(center, row.claim.payer_control_number, day)
    else:
        interaction_record(
            organization_id=row.organization_id,
            channel="phone",
            note="Payer confirms the decision; nothing more to send",
            outcome="Denial stands",
            actor=actor,  # type: ignore[arg-type]
            claim_id=row.claim_id,
            patient_id=row.claim.patient_id,
            contact="Provider line",
            reference=f"REF{row.pk:06d}",
            at=at,
        )
        denial_park(denial=row, reason="Not worth an appeal", actor=actor, at=at)  # type: ignore[arg-type]
    return 1


def _mail_appeal(center: Center, icn: str, day: date) -> None:
    """The letter reaches the payer."""
    if icn:
        httpx.post(
            f"{center.payer_house}/appeals/{icn}",
            params={"as_of": day.isoformat()},
            trust_env=False,
            timeout=30,
        )


def hear_appeals(center: Center, day: date, at: datetime) -> int:
    """Payers answer an appeal after about three weeks: what was not paid by then is upheld."""
    with center.acting(center.system):
        rows = list(
            Appeal.objects.filter(
                organization=center.organization,
                outcome="",
                sent_on__lt=day - timedelta(days=24),
                denial__status=DenialStatus.APPEALED,
            )
            .select_related("denial__claim")
            .order_by("id")
        )
    for row in rows:
        actor = center.who("ar")
        with center.acting(actor):
            try:
                appeal_outcome(appeal=row, outcome="upheld", actor=actor, on=day, at=at)
            except TROUBLE:
                continue
    return len(rows)


def give_up(center: Center, at: datetime) -> int:
    """Ask to write off what was parked or upheld, and let a second person decide what is above the
    limit.
    """
    with center.acting(center.system):
        rows = list(
            Denial.objects.filter(
                organization=center.organization,
                status__in=[DenialStatus.PARKED, DenialStatus.UPHELD],
                line__isnull=False,
                denied_on__lte=office_day(at),
            )
            .select_related("claim", "line__charge")
            .order_by("id")[:40]
        )
        open_amounts = dict(
            Balance.objects.filter(
                charge_id__in=[d.line.charge_id for d in rows if d.line]
            ).values_list("charge_id", "insurance")
        )
    done = 0
    for row in rows:
        amount = open_amounts.get(row.line.charge_id, Decimal(0)) if row.line else Decimal(0)
        if amount <= 0 or draw("give up", row.claim.number) < 300:
            continue
        actor = center.who("ar")
        reason = "timely" if row.category == "timely_filing" else "denial"
        with center.acting(actor):
            try:
                write_off_request(
                    charge=row.line.charge,  # type: ignore[union-attr]
                    reason=reason,
                    amount=amount,
                    note="Denial stands after all was tried",
                    claim=row.claim,
                    actor=actor,
                    at=at,
                )
                done += 1
            except TROUBLE:
                continue
    _decide(center, at)
    return done


def _decide(center: Center, at: datetime) -> None:
    with center.acting(center.system):
        waiting = list(
            WriteOffRequest.objects.filter(
                organization=center.organization,
                status=RequestStatus.REQUESTED,
                requested_at__lt=at - timedelta(days=1),
            ).order_by("id")
        )
    for row in waiting:
        actor = center.who("manager")
        with center.acting(actor):
            try:
                write_off_decide(
                    request=row,
                    approve=draw("approve", row.pk) < 850,
                    note="Reviewed",
                    actor=actor,
                    at=at,
                )
            except TROUBLE:
                continue


def dispute(center: Center, at: datetime) -> int:
    """Underpayments: half are disputed, some accepted, the rest wait."""
    with center.acting(center.system):
        rows = list(
            Variance.objects.filter(
                organization=center.organization,
                status=VarianceStatus.OPEN,
                difference__lt=0,
                claim__service_date__lte=office_day(at),
            ).order_by("id")[:40]
        )
    for row in rows:
        actor, chance = center.who("ar"), draw("variance", row.claim_id, row.code)
        with center.acting(actor):
            try:
                if chance < 450:
                    variance_dispute(
                        variance=row, note="Paid below the contract rate", actor=actor, at=at
                    )
                elif chance < 600:
                    variance_accept(
                        variance=row, note="Rate is right by the new schedule", actor=actor, at=at
                    )
            except TROUBLE:
                continue
    return len(rows)


# --- patients -------------------------------------------------------------------------------------


def patients(center: Center, day: date, at: datetime) -> tuple[int, int]:
    """Send the statements that are due; some patients pay, a few by mistake twice."""
    actor = center.who("ar")
    with center.acting(actor):
        sent = len(statements_send(organization_id=center.organization.pk, actor=actor, at=at))
        mail_batch_make(organization_id=center.organization.pk, actor=actor, at=at)
        recent = Statement.objects.filter(
            organization=center.organization,
            sent_on__lt=day - timedelta(days=5),
            sent_on__gte=day - timedelta(days=13),
        ).defer("pdf")
        ids = [s.patient_id for s in recent if draw("pays", s.patient_id, s.step) < 620]
        owing = open_patient_charges(ids)
        people = {p.pk: p for p in Patient.objects.filter(pk__in=owing)}
    paid = 0
    for pk, charges in owing.items():
        poster = center.who("poster")
        total = sum((c.balance for c in charges), Decimal(0))
        if total >= PLAN_FROM and draw("plan", pk) < 350:
            paid += _plan(center, people[pk], total, day, at)
            continue
        share = total if draw("share", pk) < 800 else (total / 2).quantize(Decimal("0.01"))
        with center.acting(poster):
            try:
                payment_take(
                    patient=people[pk],
                    amount=share,
                    method=("card", "check")[draw("method", pk) % 2],
                    actor=poster,
                    key=f"share:{pk}:{day}",
                    at=at,
                )
                paid += 1
                if draw("twice", pk) < 40:
                    payment_take(
                        patient=people[pk],
                        amount=share,
                        method="check",
                        note="Second check of the same amount",
                        actor=poster,
                        key=f"twice:{pk}:{day}",
                        at=at,
                    )
            except TROUBLE:
                continue
    return sent, paid


PLAN_FROM = Decimal(150)


def _plan(center: Center, patient: Patient, total: Decimal, day: date, at: datetime) -> int:
    """Who owes much agrees on instalments and pays the first at once, later ones as they come."""
    actor, poster = center.who("ar"), center.who("poster")
    part = (total / 4).quantize(Decimal("0.01"))
    try:
        with center.acting(actor):
            if not PaymentPlan.objects.filter(patient=patient).exists():
                plan_make(
                    patient=patient,
                    total=total,
                    instalment=part,
                    starts_on=day,
                    actor=actor,
                    at=at,
                )
        with center.acting(poster):
            payment_take(
                patient=patient,
                amount=part,
                method="card",
                actor=poster,
                key=f"part:{patient.pk}:{day}",
                at=at,
            )
    except TROUBLE:
        return 0
    return 1


def refunds(center: Center, at: datetime) -> int:
    """Give a part of the patients' credits back: one asks, another approves."""
    with center.acting(center.system):
        rows = list(Balance.objects.filter(organization=center.organization, patient__lt=0)[:20])
    done = 0
    for row in rows:
        if draw("refund", row.charge_id) < 500:
            continue
        asker, decider = center.who("ar"), center.who("manager")
        from charges.models import Charge

        try:
            with center.acting(asker):
                refund = refund_request(
                    charge=Charge.objects.get(pk=row.charge_id),
                    to="patient",
                    amount=-row.patient,
                    cause="patient_overpaid",
                    actor=asker,
                    at=at,
                )
            with center.acting(decider):
                refund_decide(refund=refund, approve=True, note="Paid twice", actor=decider, at=at)
            done += 1
        except TROUBLE:
            continue
    return done


# --- clocks and figures ---------------------------------------------------------------------------


def clocks(center: Center, at: datetime) -> None:
    """What beat does once a day."""
    system, pk = center.system, center.organization.pk
    with center.acting(system):
        unsigned_refresh(actor=system, at=at)
        submissions_refresh(organization_id=pk, actor=system, at=at)
        filing_refresh(organization_id=pk, actor=system, at=at)
    with center.acting(system):
        silent_refresh(organization_id=pk, actor=system, at=at)
    with center.acting(system):
        upkeep(organization_id=pk, actor=system, at=at)
        nightly(organization_id=pk, actor=system, at=at)


def figures(center: Center, day: date, at: datetime) -> None:
    """Keep the key figures and the aging of a day."""
    system, pk = center.system, center.organization.pk
    with center.acting(system):
        kpi_snapshot(organization_id=pk, day=day, actor=system, at=at)
        aging_snapshot(organization_id=pk, day=day, actor=system, at=at)


def proofs(center: Center, day: date, at: datetime) -> None:
    """The accession control total of a day."""
    with center.acting(center.system):
        accession_proof(day=day, actor=center.system, at=at)


def failed(center: Center) -> dict[str, int]:
    """Messages that could not be read or applied, by kind: a demo has few."""
    found: dict[str, int] = defaultdict(int)
    with center.acting(center.system):
        bad = Q(status__in=[InterchangeStatus.FAILED, InterchangeStatus.QUARANTINED])
        for kind in Interchange.objects.filter(
            bad, organization=center.organization, direction=Direction.IN
        ).values_list("kind", flat=True):
            found[kind] += 1
    return found
