"""What people decide in the middle of the thread: codes, waivers, documented order changes,
corrections; each with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from authorizations.ordering import ChangeEvidence
from charges.assembly import NOT_WAIVABLE
from charges.loading import last_reports
from charges.models import Exam, ExamStatus, FindingWaiver
from charges.records import ContrastGiven, Keys, PerformedRecord, SupplyGiven
from charges.services.evaluation import Evaluated, exams_evaluate
from charges.services.lines import OfExam, lines_require, notices_require
from charges.services.recording import exams_record, keys_of
from charges.services.release import exam_locked, exam_moves, exam_no_bill
from intake.services import plain_codes
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.reference.facts import diagnosis_validity, procedure

MIN_REASON = 5


def _reason(text: str) -> str:
    if len(text.strip()) < MIN_REASON:
        raise Refused("Give the reason in a few words.", field="reason", code="missing")
    return text.strip()[:200]


def _evaluated(exam: Exam, actor: Actor, at: datetime) -> Evaluated | None:
    return next(iter(exams_evaluate(exam_ids=[exam.pk], actor=actor, at=at)), None)


@transaction.atomic
def exam_code(
    *,
    exam: Exam,
    code: str,
    modifiers_: Sequence[str] = (),
    reason: str,
    evidence: str = "",
    actor: Actor,
    version: int | None = None,
    at: datetime | None = None,
) -> Evaluated | None:
    """Set the code and its own modifiers (side, 52, 53) over what capture suggests; component and
    equipment modifiers stay automatic.

    The suggestion, the decision and its reason are kept. A blank code takes the decision back. What
    was performed is a fact of report and modality: another code than theirs needs `evidence`, words
    of the signed report, and a second look (`exam_code_confirm`); the difference stays visible and
    the authorization is still matched with what was performed.
    """
    actor.require("charge.review", exam)
    at = at or timezone.now()
    row = exam_locked(exam, version)
    code = code.strip().upper()
    if code:
        if procedure(code, row.service_date) is None:
            raise Refused(
                f"{code} is not in the procedure catalog on {row.service_date:%b %-d, %Y}.",
                field="code",
                code="unknown",
            )
        own = [m.strip().upper() for m in modifiers_ if m.strip()]
        lines_require([(code, tuple(own))], row.service_date)
        if row.ordered_exam_id is not None:
            asked = OfExam(row.ordered_exam_id, row.performed_at, [(code, tuple(own))])
            notices_require([asked])
        wrong = next((m for m in own if m in ("26", "TC", "CT", "FX", "FY")), None)
        if wrong:
            raise Refused(
                f"{wrong} is not a modifier to choose here: components and machines put theirs on"
                " by themselves.",
                field="modifiers",
                code="modifier",
            )
        row.decision = {
            "code": code,
            "modifiers": own,
            "reason": _reason(reason),
            "by": actor.name,
            "by_id": actor.user_id,
            "at": at.isoformat(),
            **_against_performed(row, code, evidence),
        }
        words = (
            f"Code {code}{''.join('-' + m for m in own)} set; capture suggested"
            f" {row.suggestion.get('code') or 'nothing'}"
        )
    else:
        row.decision, words = {}, "Coder's decision taken back"
    Exam.objects.filter(pk=row.pk).update(decision=row.decision, version=F("version") + 1)
    record_steps(
        [Step(row.organization_id, "charge.coded", words, keys_of(row), reason=reason[:300])],
        actor=actor,
        at=at,
    )
    return _evaluated(row, actor, at)


def _against_performed(row: Exam, code: str, evidence: str) -> dict[str, str]:
    """What a decision against the performed code rests on; nothing when it agrees. Raises Refused
    without words that stand in the signed report.
    """
    performed = str(row.suggestion.get("code") or "")
    if not performed or performed == code:
        return {}
    report = last_reports([row.pk]).get(row.pk)
    said = _squeezed(" ".join(str(t) for t in report.sections.values())) if report else ""
    quote = _squeezed(evidence)
    if len(quote) < MIN_REASON or report is None or report.status not in ("F", "C"):
        raise Refused(
            f"Report and modality say {performed}. Quote the words of the signed report that show"
            f" {code}.",
            field="evidence",
            code="evidence",
        )
    if quote not in said:
        raise Refused(
            "These words do not stand in the signed report.", field="evidence", code="not_in_report"
        )
    return {"performed": performed, "evidence": evidence.strip()[:300]}


def _squeezed(text: str) -> str:
    return " ".join(text.lower().split())


@transaction.atomic
def exam_code_confirm(
    *,
    exam: Exam,
    reason: str,
    actor: Actor,
    version: int | None = None,
    at: datetime | None = None,
) -> Evaluated | None:
    """The second look at a code that differs from what was performed: by another person than the
    one who set it, with a reason. Raises Refused when nothing waits for it.
    """
    actor.require("charge.review", exam)
    at = at or timezone.now()
    row = exam_locked(exam, version)
    decision = row.decision
    if not decision.get("performed") or decision.get("second"):
        raise Refused("No code of this exam waits for a second look.", code="nothing", status=409)
    if actor.user_id is None or decision.get("by_id") == actor.user_id:
        raise Refused(
            "The second look is another person's.", field="reason", code="same_person", status=409
        )
    second = {"by": actor.name, "reason": _reason(reason), "at": at.isoformat()}
    Exam.objects.filter(pk=row.pk).update(
        decision={**decision, "second": second}, version=F("version") + 1
    )
    words = (
        f"Second look: {decision['code']} stands against {decision['performed']}, which was"
        " performed"
    )
    record_steps(
        [Step(row.organization_id, "charge.second_look", words, keys_of(row), reason=reason[:300])],
        actor=actor,
        at=at,
    )
    return _evaluated(row, actor, at)


def exam_accept(
    *, exam: Exam, actor: Actor, version: int | None = None, at: datetime | None = None
) -> Evaluated | None:
    """Take the suggestion as it is, the code or that nothing is billed: what is in doubt about it
    is settled by the coder's word. None when nothing is billed.
    """
    suggestion = exam.suggestion
    if suggestion.get("no_bill"):
        exam_no_bill(exam=exam, reason=suggestion["no_bill"], actor=actor, version=version, at=at)
        return None
    if not suggestion.get("code"):
        raise Refused("Capture has no suggestion to accept.", field="code", code="no_suggestion")
    return exam_code(
        exam=exam,
        code=suggestion["code"],
        modifiers_=suggestion.get("modifiers", ()),
        reason="Suggestion accepted",
        actor=actor,
        version=version,
        at=at,
    )


@transaction.atomic
def finding_waive(
    *,
    exam: Exam,
    code: str,
    reason: str,
    actor: Actor,
    version: int | None = None,
    at: datetime | None = None,
) -> Evaluated | None:
    """Let a hold not stop the charge, with a reason, for the report version it was seen on. A later
    version asks again.

    Report and coding findings need `charge.review`, authorization and order mismatches
    `authorization.override`. Some holds only their fix clears: a missing report, an unknown code, a
    missing price.
    """
    at = at or timezone.now()
    row = exam_locked(exam, version)
    hold = next((h for h in row.holds if h["code"] == code), None)
    if hold is None:
        raise Refused("This no longer stops the exam.", code="gone", status=409)
    if not hold["waive"] or code in NOT_WAIVABLE:
        raise Refused("This cannot be waived.", code="not_waivable", fix=hold["fix"])
    actor.require(hold["waive"], exam)
    report = last_reports([row.pk]).get(row.pk)
    FindingWaiver.objects.get_or_create(
        exam=row,
        code=code,
        report_version=report.version if report else 0,
        defaults={
            "organization_id": row.organization_id,
            "reason": _reason(reason),
            "actor_name": actor.name[:120],
            "at": at,
        },
    )
    record_steps(
        [
            Step(
                row.organization_id,
                "charge.waived",
                f"Waived: {hold['sentence']}",
                keys_of(row),
                reason=reason[:300],
                data={"code": code},
            )
        ],
        actor=actor,
        at=at,
    )
    return _evaluated(row, actor, at)


@transaction.atomic
def order_change_document(
    *,
    exam: Exam,
    evidence: Mapping[str, bool],
    reason: str,
    new_order: bool = False,
    actor: Actor,
    version: int | None = None,
    at: datetime | None = None,
) -> Evaluated | None:
    """Document why the exam differs from its order: a new order was obtained, or facts of the
    emergency rule (rule `order-change`).

    `evidence`: names of `authorizations.ordering.ChangeEvidence`.
    """
    actor.require("order.edit" if actor.can("order.edit", exam) else "charge.review", exam)
    at = at or timezone.now()
    row = exam_locked(exam, version)
    unknown = set(evidence) - set(ChangeEvidence.__dataclass_fields__)
    if unknown:
        raise Refused(
            f"There is no such fact: {sorted(unknown)[0]}.", field="evidence", code="unknown"
        )
    change = {
        **{k: bool(v) for k, v in evidence.items() if v},
        "new_order": new_order,
        "reason": _reason(reason),
        "by": actor.name,
        "at": at.isoformat(),
    }
    Exam.objects.filter(pk=row.pk).update(order_change=change, version=F("version") + 1)
    words = (
        "A new order was obtained" if new_order else "The change against the order is documented"
    )
    record_steps(
        [Step(row.organization_id, "exam.order_change", words, keys_of(row), reason=reason[:300])],
        actor=actor,
        at=at,
    )
    return _evaluated(row, actor, at)


@transaction.atomic
def diagnoses_set(
    *,
    exam: Exam,
    codes: Sequence[str],
    reason: str,
    actor: Actor,
    version: int | None = None,
    at: datetime | None = None,
) -> Evaluated | None:
    """Code the diagnoses from the signed report, primary first (rule `diagnosis-from-report`)."""
    actor.require("charge.review", exam)
    at = at or timezone.now()
    row = exam_locked(exam, version)
    wanted = plain_codes(codes)
    if not wanted:
        raise Refused("Enter at least one diagnosis.", field="diagnoses", code="missing")
    validity = diagnosis_validity(wanted, row.service_date)
    wrong = next((c for c in wanted if validity[c] is False), None)
    if wrong:
        raise Refused(
            f"{wrong} is not a billable diagnosis on {row.service_date:%b %-d, %Y}.",
            field="diagnoses",
            code="invalid",
        )
    Exam.objects.filter(pk=row.pk).update(diagnoses=wanted, version=F("version") + 1)
    record_steps(
        [
            Step(
                row.organization_id,
                "charge.diagnoses",
                f"Diagnoses {', '.join(wanted)}",
                keys_of(row),
                reason=_reason(reason),
            )
        ],
        actor=actor,
        at=at,
    )
    return _evaluated(row, actor, at)


@transaction.atomic
def exam_correct(
    *,
    exam: Exam,
    reason: str,
    actor: Actor,
    contrast: ContrastGiven | None = None,
    views: int | None = None,
    laterality: str = "",
    extent: str = "",
    supplies: Sequence[SupplyGiven] = (),
    addons: Sequence[SupplyGiven] = (),
    pet: Mapping[str, object] | None = None,
    station: str = "",
    version: int | None = None,
    at: datetime | None = None,
) -> Evaluated | None:
    """Complete or correct the technologist's record; it stands over every message (source
    "screen"), and nothing said before is lost.
    """
    actor.require("charge.review", exam)
    at = at or timezone.now()
    row = exam_locked(exam, version)
    record = PerformedRecord(
        organization_id=row.organization_id,
        source="screen",
        keys=Keys(accession=row.accession),
        status="discontinued" if row.status == ExamStatus.DISCONTINUED else "completed",
        contrast=contrast,
        views=views,
        laterality=laterality,
        extent=extent,
        supplies=tuple(supplies),
        addons=tuple(addons),
        pet=pet,
        station=station,
    )
    words = _reason(reason)
    done = exams_record(records=[record], actor=actor, at=at)[0]
    if done.changed:
        record_steps(
            [
                Step(
                    row.organization_id,
                    "exam.corrected",
                    "The technologist's record was corrected",
                    keys_of(row),
                    reason=words,
                )
            ],
            actor=actor,
            at=at,
        )
    return _evaluated(row, actor, at)


@transaction.atomic
def exam_bill_again(
    *, exam: Exam, reason: str, actor: Actor, version: int | None = None, at: datetime | None = None
) -> Evaluated | None:
    """Take a no-bill decision back."""
    actor.require("charge.review", exam)
    at = at or timezone.now()
    row = exam_locked(exam, version)
    if row.status != ExamStatus.NO_BILL:
        raise Refused("This exam is not marked no-bill.", code="not_allowed", status=409)
    report = last_reports([row.pk]).get(row.pk)
    status = ExamStatus.FINAL if report and report.status in ("F", "C") else ExamStatus.PERFORMED
    exam_moves(row, status)
    Exam.objects.filter(pk=row.pk).update(
        status=status, no_bill_reason="", no_bill_by="", version=F("version") + 1
    )
    record_steps(
        [
            Step(
                row.organization_id,
                "exam.bill_again",
                "No-bill taken back",
                keys_of(row),
                old=ExamStatus.NO_BILL,
                new=status,
                reason=_reason(reason),
            )
        ],
        actor=actor,
        at=at,
    )
    return _evaluated(row, actor, at)


def contrast_given(values: Mapping[str, Any]) -> ContrastGiven:
    """A technologist's contrast record from form or API values."""

    def amount(name: str) -> Decimal | None:
        value = values.get(name)
        return None if value in (None, "") else Decimal(str(value))

    return ContrastGiven(
        route=values.get("route") or "",
        agent=values.get("agent") or "",
        given_ml=amount("given_ml"),
        wasted_ml=amount("wasted_ml"),
        pre=values.get("pre"),
        post=values.get("post"),
    )
