"""What comes back about files and claims (rule `acknowledgement-chain`): TA1, 999, 277CA, 277.
Each is read once, in human words, on the claim it is about; a rejection is not a filed claim: it
opens an item with the field to fix, and the filing clock keeps running.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from claims.automation import STATUS_INQUIRY
from claims.facts import load_sheets
from claims.marks import marks_free
from claims.models import (
    Acknowledgement,
    Claim,
    ClaimLine,
    ClaimStatus,
    StatusInquiry,
    Submission,
    SubmissionClaim,
    SubmissionState,
    SubmissionStatus,
)
from claims.services.papers import Asked, records_asked
from claims.services.steps import (
    CLAIM,
    REJECTIONS,
    SILENT,
    SUBMISSION,
    item,
    locked,
    may_move,
    rewrite,
    step,
)
from claims.sheets import policies
from claims.x12_276_277 import request_of
from claims.x12_277ca import (
    ACCEPTED,
    FINISHED,
    PENDING,
    RECEIVED,
    REJECTED,
    Verdict,
    asks_papers,
    verdict_of,
)
from claims.x12_999 import error_sentence, group_sentence, interchange_sentence, set_sentence
from intake.services import connection_for, envelope_for
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.models import Direction, Interchange, WorkQueue
from rcm.exchange.problems import ParseProblem
from rcm.exchange.services import next_control_number, publish, store_outbound
from rcm.jobs import robots
from rcm.worklist.services import ItemSpec, close_items, open_items
from rcm.x12 import NotX12, read_277, read_277ca, read_999, read_ta1, write_276
from rcm.x12 import model as x12

CLAIMS_GROUP = "HC"
QUESTIONS = ("270", "275", "276", "278")
"""What is asked from here besides claims, and acknowledged by a 999 too."""
MOST_ERRORS = 50
"""Errors of one 999 that are kept as rows; the file itself keeps them all."""

ASK_AT_ONCE = 100
"""Inquiries in one 276."""


# --- TA1 and 999: the file ------------------------------------------------------------------------


def ta1_receive(interchange: Interchange, *, actor: Actor, at: datetime) -> dict[str, Any]:
    """Processor of TA1: whether the interchange was taken in."""
    answers = _read(lambda: list(read_ta1(bytes(interchange.content))))
    matched = 0
    said: list[Acknowledgement] = []
    for answer in answers:
        submission = _submission(
            interchange, Q(interchange__control_number=answer.control.zfill(9))
        )
        if submission is None:
            continue
        matched += 1
        sentence = interchange_sentence(answer)
        said.append(
            _said(
                interchange,
                "TA1",
                at,
                submission=submission,
                accepted=answer.accepted,
                sentence=sentence,
            )
        )
        if not answer.accepted:
            _reject_file(submission, sentence, {}, interchange, actor=actor, at=at)
    if answers and not matched:
        raise Refused(
            "This TA1 answers an interchange that was not sent from here.", code="unmatched"
        )
    _keep(said, interchange)
    return {"answers": len(answers), "matched": matched}


def a999_receive(interchange: Interchange, *, actor: Actor, at: datetime) -> dict[str, Any]:
    """Processor of 999: whether the file keeps the syntax. Rejected claims that it names are
    rejected, the others may go again.
    """
    every = _read(lambda: list(read_999(bytes(interchange.content))))
    answers = [a for a in every if a.group_code == CLAIMS_GROUP]
    counts: dict[str, Any] = {"groups": len(answers), "accepted": 0, "rejected": 0}
    said: list[Acknowledgement] = []
    strange = _strange_groups(interchange, every)
    for answer in answers:
        submission = _submission(
            interchange, Q(group_control=answer.group_control.lstrip("0") or "0")
        )
        if submission is None:
            strange.append(answer.group_control)
            continue
        sentence = group_sentence(answer)
        verdict = {"submission": submission, "accepted": answer.accepted, "category": answer.code}
        said.append(_said(interchange, "999", at, sentence=sentence, **verdict))
        errors = [e for one in answer.sets for e in one.errors]
        by_number: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for error in errors[:MOST_ERRORS]:
            words, place = error_sentence(error)
            by_number[error.claim_id].append((words, place))
        named = {
            c.number: c
            for c in Claim.objects.filter(
                organization_id=interchange.organization_id, number__in=set(by_number) - {""}
            )
        }
        for number, found in by_number.items():
            for words, place in found:
                said.append(
                    _said(
                        interchange,
                        "999",
                        at,
                        claim=named.get(number),
                        sentence=words,
                        field=place,
                        **verdict,
                    )
                )
        if answer.accepted:
            counts["accepted"] += 1
            _accept_file(submission, interchange, actor=actor, at=at)
        else:
            counts["rejected"] += 1
            refused = [set_sentence(one) for one in answer.sets if not one.accepted]
            faults = {named[n].pk: found[0] for n, found in by_number.items() if n in named}
            _reject_file(
                submission,
                " ".join([sentence, *refused])[:300],
                faults,
                interchange,
                actor=actor,
                at=at,
            )
    if strange and not said:
        raise Refused("This 999 answers a file that was not sent from here.", code="unmatched")
    _keep(said, interchange)
    if strange:
        groups = ", ".join(strange[:5])
        counts["left"] = f"It also answers groups that were not sent from here: {groups}."
    return counts


def _strange_groups(interchange: Interchange, answers: Sequence[x12.Acknowledgement]) -> list[str]:
    """Group numbers of a 999 that are no claims and that no question of ours has carried."""
    wanted = {a.group_control for a in answers if a.group_code != CLAIMS_GROUP}
    if not wanted:
        return []
    asked = {
        number.lstrip("0")
        for number in Interchange.objects.filter(
            organization_id=interchange.organization_id,
            direction=Direction.OUT,
            kind__in=QUESTIONS,
            control_number__in=[n.zfill(9) for n in wanted] + sorted(wanted),
        ).values_list("control_number", flat=True)
    }
    return sorted(n for n in wanted if n.lstrip("0") not in asked)


def _accept_file(
    submission: Submission, interchange: Interchange, *, actor: Actor, at: datetime
) -> None:
    moved = Submission.objects.filter(
        pk=submission.pk,
        status__in=[SubmissionStatus.BUILT, SubmissionStatus.SENT, SubmissionStatus.FAILED],
    )
    if moved.update(
        status=SubmissionStatus.ACCEPTED,
        acknowledged_at=at,
        sent_at=submission.sent_at or submission.built_at,
    ):
        keys: dict[str, int | None] = {"interchange_id": interchange.pk}
        words = f"File {submission.number} taken in: 999"
        record_steps(
            [
                Step(
                    submission.organization_id,
                    "submission.accepted",
                    words,
                    keys,
                    new=SubmissionStatus.ACCEPTED,
                )
            ],
            actor=actor,
            at=at,
        )


def _reject_file(
    submission: Submission,
    sentence: str,
    faults: Mapping[int, tuple[str, str]],
    interchange: Interchange,
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """A file was refused. The claims named are rejected; when none is named, all are, since the
    same file would be refused again.
    """
    open_states = (
        SubmissionStatus.BUILT,
        SubmissionStatus.SENT,
        SubmissionStatus.FAILED,
        SubmissionStatus.ACCEPTED,
    )
    if not Submission.objects.filter(pk=submission.pk, status__in=open_states).update(
        status=SubmissionStatus.REJECTED,
        acknowledged_at=at,
        sent_at=submission.sent_at or submission.built_at,
    ):
        return
    rows = SubmissionClaim.objects.filter(
        submission=submission, state__in=[SubmissionState.WAITING, SubmissionState.MISSING]
    )
    claims = [
        c
        for c in locked(rows.values_list("claim_id", flat=True))
        if c.status == ClaimStatus.SUBMITTED
    ]
    rows.update(state=SubmissionState.REJECTED, answered_at=at)
    steps: list[Step] = []
    lost: list[Claim] = []
    for claim in claims:
        words = faults.get(claim.pk, (sentence, ""))[0]
        claim.status = (
            ClaimStatus.READY if faults and claim.pk not in faults else ClaimStatus.REJECTED
        )
        claim.last_answer_at = at
        claim.version += 1
        if claim.status == ClaimStatus.REJECTED:
            claim.clean_first_pass = False
            lost.append(claim)
        else:
            words = f"File {submission.number} was refused for another claim: this one goes again"
        keys: dict[str, int | None] = {"interchange_id": interchange.pk}
        verb = "claim.rejected" if claim.status == ClaimStatus.REJECTED else "claim.returned"
        steps.append(
            step(claim, verb, words, keys=keys, old=ClaimStatus.SUBMITTED, new=claim.status)
        )
    marks_free(lost)
    rewrite(claims, ["status", "last_answer_at", "version", "clean_first_pass"])
    steps.append(
        Step(
            submission.organization_id,
            "submission.rejected",
            f"File {submission.number}: {sentence}"[:300],
            {"interchange_id": interchange.pk},
        )
    )
    record_steps(steps, actor=actor, at=at)
    policy = policies([submission.organization_id], office_day(at))[submission.organization_id]
    if faults:
        lines = _lines(lost)
        open_items(
            [
                item(
                    claim,
                    REJECTIONS,
                    "999",
                    faults[claim.pk][0],
                    fix="Correct the record behind this segment, then scrub and submit again.",
                    at=at,
                    policy=policy,
                    lines=lines[claim.pk],
                    facts={"by": "999", "field": faults[claim.pk][1], "reason": "999"},
                )
                for claim in lost
            ],
            actor=actor,
            at=at,
        )
    else:
        open_items(
            [
                ItemSpec(
                    organization_id=submission.organization_id,
                    queue=REJECTIONS,
                    subject_type=SUBMISSION,
                    subject_id=submission.pk,
                    cause="999",
                    title=f"File {submission.number} was refused whole: {sentence}"[:200],
                    fix=(
                        "Read the 999 with the clearinghouse; scrub and submit the claims again"
                        " once the cause is gone."
                    ),
                    due_at=policy.work_due(at),
                    dollars=submission.total,
                    facts={
                        "claim": submission.number,
                        "by": "999",
                        "field": "",
                        "claims": submission.claims_count,
                    },
                )
            ],
            actor=actor,
            at=at,
        )
    _tell("claims.rejected", lost, at)


# --- 277CA: the claims ----------------------------------------------------------------------------


def a277ca_receive(interchange: Interchange, *, actor: Actor, at: datetime) -> dict[str, Any]:
    """Processor of 277CA: each claim accepted or rejected by clearinghouse or payer, with the
    payer's number.
    """
    statuses = [
        s
        for s in _read(lambda: list(read_277ca(bytes(interchange.content))))
        if s.level == "claim" and s.claim_id and s.origin.kind == "277CA"
    ]
    return _take_statuses(interchange, "277CA", statuses, actor=actor, at=at)


def a277_receive(interchange: Interchange, *, actor: Actor, at: datetime) -> dict[str, Any]:
    """Processor of 277: the answer to our 276. It informs; only a payer that has no such claim
    moves one.
    """
    statuses = [
        s
        for s in _read(lambda: list(read_277(bytes(interchange.content))))
        if s.level == "claim" and s.origin.kind == "277"
    ]
    traces = {s.trace: s for s in statuses}
    inquiries = list(
        StatusInquiry.objects.filter(
            organization_id=interchange.organization_id, trace__in=traces
        ).select_related("claim")
    )
    wanted = _papers_wanted(interchange, statuses, inquiries)
    if statuses and not inquiries and not wanted:
        raise Refused("This 277 answers no question that was asked from here.", code="unmatched")
    records_asked(wanted, actor=actor, at=at)
    StatusInquiry.objects.filter(pk__in=[i.pk for i in inquiries]).update(answered_at=at)
    claims = {c.pk: c for c in locked({i.claim_id for i in inquiries})}
    steps: list[Step] = []
    specs: list[ItemSpec] = []
    heard: list[int] = []
    fields: set[int] = set()
    said: list[Acknowledgement] = []
    lines = _lines(list(claims.values()))
    policy = policies([interchange.organization_id], office_day(at))[interchange.organization_id]
    for inquiry in inquiries:
        claim, status = claims[inquiry.claim_id], traces[inquiry.trace]
        verdict = verdict_of(status)
        said.append(
            _said(
                interchange,
                "277",
                at,
                claim=claim,
                accepted=None,
                category=verdict.category,
                status_code=verdict.status_code,
                entity=verdict.entity,
                sentence=verdict.sentence,
                field=verdict.field,
                number=status.payer_control,
            )
        )
        claim.last_answer_at = at
        if status.payer_control and not claim.payer_control_number and claim.frequency == "1":
            claim.payer_control_number = status.payer_control
        steps.append(
            step(
                claim,
                "claim.status_answered",
                verdict.sentence,
                keys={"interchange_id": interchange.pk},
            )
        )
        fields.add(claim.pk)
        if verdict.meaning in (PENDING, FINISHED, RECEIVED, ACCEPTED) and verdict.category != "A4":
            heard.append(claim.pk)
        else:
            specs.append(
                item(
                    claim,
                    SILENT,
                    verdict.category or "277",
                    f"The payer answers: {verdict.sentence}",
                    fix=verdict.fix
                    or "Call the payer; send the claim again when it is not on file.",
                    at=at,
                    policy=policy,
                    lines=lines[claim.pk],
                    facts={"answer": verdict.category, "field": verdict.field},
                )
            )
    rewrite([claims[pk] for pk in fields], ["last_answer_at", "payer_control_number"])
    if not _keep(said, interchange):
        steps = []
    record_steps(steps, actor=actor, at=at)
    open_items(specs, actor=actor, at=at)
    close_items(CLAIM, heard, actor=actor, at=at, outcome="The payer has answered", queues=[SILENT])
    return {"answers": len(statuses), "matched": len(inquiries), "papers": len(wanted)}


def _papers_wanted(
    interchange: Interchange,
    statuses: Sequence[x12.ClaimStatus],
    inquiries: Sequence[StatusInquiry],
) -> list[Asked]:
    """What of a 277 asks for papers, asked for by us or not: by our question, our claim number or
    the payer's.
    """
    asking = [s for s in statuses if asks_papers(s)]
    if not asking:
        return []
    rows = Claim.objects.filter(organization_id=interchange.organization_id).select_related(
        "payer", "patient"
    )
    numbers = {s.claim_id for s in asking} - {""}
    controls = {s.payer_control for s in asking} - {""}
    ours = {i.trace: i.claim_id for i in inquiries}
    found = list(
        rows.filter(
            Q(number__in=numbers) | Q(payer_control_number__in=controls) | Q(pk__in=ours.values())
        )
    )
    by_number = {c.number: c for c in found}
    by_control = {c.payer_control_number: c for c in found if c.payer_control_number}
    by_key = {c.pk: c for c in found}
    wanted = []
    for status in asking:
        claim = (
            by_key.get(ours.get(status.trace, 0))
            or by_number.get(status.claim_id)
            or by_control.get(status.payer_control)
        )
        if claim is None:
            continue
        verdict = verdict_of(status)
        code = f"{verdict.category}:{verdict.status_code}"
        # our own number of the question is no number of theirs
        trace = "" if status.trace in ours else status.trace
        wanted.append(Asked(claim, "277", code, verdict.sentence, trace, status.payer_control))
    return wanted


def _take_statuses(
    interchange: Interchange,
    kind: str,
    statuses: Sequence[x12.ClaimStatus],
    *,
    actor: Actor,
    at: datetime,
) -> dict[str, Any]:
    organization_id = interchange.organization_id
    wanted = {s.claim_id for s in statuses}
    ids = Claim.objects.filter(organization_id=organization_id, number__in=wanted).values_list(
        "id", flat=True
    )
    claims = {c.number: c for c in locked(ids)}
    if statuses and not claims:
        raise Refused("This 277CA is about claims that were not sent from here.", code="unmatched")
    waiting: dict[int, SubmissionClaim] = {}
    rows = SubmissionClaim.objects.filter(
        claim_id__in=[c.pk for c in claims.values()]
    ).select_related("submission")
    for last in rows.order_by("id"):
        waiting[last.claim_id] = last  # the last file the claim stood in
    counts = {"claims": len(statuses), "accepted": 0, "rejected": 0, "received": 0, "unknown": 0}
    steps: list[Step] = []
    rejected: list[tuple[Claim, Verdict]] = []
    accepted: list[Claim] = []
    answered: list[SubmissionClaim] = []
    said: list[Acknowledgement] = []
    for status in statuses:
        claim = claims.get(status.claim_id)
        if claim is None:
            counts["unknown"] += 1
            continue
        verdict = verdict_of(status)
        row = waiting.get(claim.pk)
        said.append(
            _said(
                interchange,
                kind,
                at,
                submission=row.submission if row else None,
                claim=claim,
                accepted=None if verdict.meaning == RECEIVED else verdict.meaning != REJECTED,
                category=verdict.category,
                status_code=verdict.status_code,
                entity=verdict.entity,
                sentence=verdict.sentence,
                field=verdict.field,
                number=status.payer_control,
            )
        )
        old = claim.status
        if verdict.meaning == REJECTED:
            counts["rejected"] += 1
            if may_move(claim, ClaimStatus.REJECTED) and old != ClaimStatus.REJECTED:
                claim.status, claim.clean_first_pass = ClaimStatus.REJECTED, False
                rejected.append((claim, verdict))
        elif verdict.meaning == ACCEPTED:
            counts["accepted"] += 1
            if old in (ClaimStatus.SUBMITTED, ClaimStatus.ACKNOWLEDGED):
                claim.status = ClaimStatus.ACCEPTED
            if claim.accepted_at is None:
                claim.accepted_at = at
                accepted.append(claim)
            if status.payer_control:
                _keep_number(claim, status.payer_control)
        else:
            counts["received"] += 1
            if old == ClaimStatus.SUBMITTED:
                claim.status = ClaimStatus.ACKNOWLEDGED
        claim.last_answer_at = at
        claim.version += 1
        verb = f"claim.{claim.status}" if old != claim.status else "claim.answered"
        steps.append(
            step(
                claim,
                verb,
                f"{kind}: {verdict.sentence}"[:300],
                keys={"interchange_id": interchange.pk},
                old=old,
                new=claim.status,
            )
        )
        if (
            row is not None
            and verdict.meaning in (ACCEPTED, REJECTED)
            and row.state in (SubmissionState.WAITING, SubmissionState.MISSING)
        ):
            row.state = (
                SubmissionState.ACCEPTED
                if verdict.meaning == ACCEPTED
                else SubmissionState.REJECTED
            )
            row.answered_at = at
            answered.append(row)
    fields = [
        "status",
        "clean_first_pass",
        "accepted_at",
        "payer_control_number",
        "extra",
        "last_answer_at",
        "version",
    ]
    marks_free([c for c, _ in rejected])
    rewrite(list(claims.values()), fields)
    rewrite(answered, ["state", "answered_at"])
    if not _keep(said, interchange):
        steps = [s for s in steps if s.old != s.new]
    record_steps(steps, actor=actor, at=at)
    _reject_items(rejected, kind, actor=actor, at=at)
    _tell("claims.rejected", [c for c, _ in rejected], at)
    _tell("claims.accepted", accepted, at)
    return counts


def _keep_number(claim: Claim, number: str) -> None:
    """The payer's number. On a correction REF*F8 stays what it was; the correction's own number
    stands beside it.
    """
    if claim.frequency == "1":
        claim.payer_control_number = number[:50]
    else:
        claim.extra = {**claim.extra, "own_control_number": number[:50]}


def _reject_items(
    rejected: Sequence[tuple[Claim, Verdict]], kind: str, *, actor: Actor, at: datetime
) -> None:
    if not rejected:
        return
    policy = policies({c.organization_id for c, _ in rejected}, office_day(at))
    lines = _lines([c for c, _ in rejected])
    open_items(
        [
            item(
                claim,
                REJECTIONS,
                f"{verdict.category}:{verdict.status_code}",
                verdict.sentence,
                fix=verdict.fix
                or "Correct the claim, then scrub and submit it again as an original.",
                at=at,
                policy=policy[claim.organization_id],
                lines=lines[claim.pk],
                facts={
                    "by": kind,
                    "field": verdict.field,
                    "reason": f"{kind} {verdict.category} {verdict.status_code}".strip(),
                },
            )
            for claim, verdict in rejected
        ],
        actor=actor,
        at=at,
    )


# --- silence --------------------------------------------------------------------------------------


@transaction.atomic
def status_ask(
    *, claim_ids: Iterable[int], actor: Actor, at: datetime | None = None
) -> list[StatusInquiry]:
    """Ask payers about claims (276), one interchange for each connection and hundred claims. Raises
    Refused without a connection.
    """
    at = at or timezone.now()
    asked: list[StatusInquiry] = []
    open_status = (ClaimStatus.SUBMITTED, ClaimStatus.ACKNOWLEDGED, ClaimStatus.ACCEPTED)
    sheets = [s for s in load_sheets(claim_ids) if s.claim.status in open_status]
    by_payer: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for sheet in sheets:
        by_payer[(sheet.claim.organization_id, sheet.claim.payer_id)].append(sheet)
    steps: list[Step] = []
    for (organization_id, _), group in by_payer.items():
        connection = connection_for(organization_id, "276", group[0].claim.payer)
        for start in range(0, len(group), ASK_AT_ONCE):
            part = group[start : start + ASK_AT_ONCE]
            organization = part[0].claim.organization
            envelope = envelope_for(organization, connection, at=at)
            first = next_control_number(organization_id, "276", count=len(part))
            requests = [
                request_of(s, f"S{n:09d}", submitter=envelope.sender)
                for n, s in enumerate(part, start=first)
            ]
            written = write_276(envelope, requests)
            interchange = store_outbound(
                organization_id=organization_id,
                kind="276",
                content=written.data,
                connection=connection,
                control_number=f"{envelope.control:09d}",
                queue=WorkQueue.BATCH,
                at=at,
                actor=actor,
            )
            rows = [
                StatusInquiry(
                    organization_id=organization_id,
                    claim=s.claim,
                    trace=r.trace,
                    request=interchange,
                    asked_at=at,
                )
                for s, r in zip(part, requests, strict=True)
            ]
            asked += StatusInquiry.objects.bulk_create(rows)
            steps += [
                step(
                    s.claim,
                    "claim.status_asked",
                    f"Asked {s.claim.payer.name} for the claim's status",
                    keys={"interchange_id": interchange.pk},
                )
                for s in part
            ]
    record_steps(steps, actor=actor, at=at)
    return asked


@transaction.atomic
def silent_refresh(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """Payers that are silent past their usual time: asked by 276 first; still silent
    a work time later, an item.

    Returns the number of claims that stand in the queue of silent payers now.
    """
    at = at or timezone.now()
    policy = policies([organization_id], office_day(at))[organization_id]
    waiting = (
        Claim.objects.filter(
            organization_id=organization_id,
            status__in=[ClaimStatus.SUBMITTED, ClaimStatus.ACKNOWLEDGED, ClaimStatus.ACCEPTED],
            last_submitted_at__lt=at - F("payer__response_days") * timedelta(days=1),
        )
        .select_related("patient", "payer")
        .prefetch_related("lines__charge")
        .order_by("filing_deadline", "id")
    )
    claims = list(waiting)
    last: dict[int, StatusInquiry] = {}
    for inquiry in StatusInquiry.objects.filter(claim_id__in=[c.pk for c in claims]).order_by("id"):
        last[inquiry.claim_id] = inquiry
    to_ask: list[Claim] = []
    silent: list[Claim] = []
    for claim in claims:
        known = last.get(claim.pk)
        again = timedelta(days=claim.payer.response_days)
        if known is None or (known.answered_at is not None and known.answered_at < at - again):
            to_ask.append(claim)
        elif known.answered_at is None and known.asked_at < at - policy.work_time:
            silent.append(claim)
    if robots.is_on(STATUS_INQUIRY, organization_id):
        silent += _ask_all(organization_id, to_ask, actor=actor, at=at)
    else:
        silent += to_ask
    open_items(
        [
            item(
                claim,
                SILENT,
                "silent",
                f"{claim.payer.name} has not answered for {(at - claim.last_submitted_at).days}"
                f" days; usual are {claim.payer.response_days}",
                fix="Call the payer or look into its portal; note the reference.",
                at=at,
                policy=policy,
                lines=claim.lines.all(),
                facts={"answer": "", "days": (at - claim.last_submitted_at).days},
            )
            for claim in silent
            if claim.last_submitted_at is not None
        ],
        actor=actor,
        at=at,
    )
    return len(silent)


def _ask_all(
    organization_id: int, claims: Sequence[Claim], *, actor: Actor, at: datetime
) -> list[Claim]:
    """Ask each payer in one file; returns the claims that could not be asked, for a person."""
    left: list[Claim] = []
    problem = ""
    for payer_claims in _by_payer(claims).values():
        try:
            with transaction.atomic():
                status_ask(claim_ids=[c.pk for c in payer_claims], actor=actor, at=at)
        except Refused as refusal:
            left += payer_claims
            problem = problem or str(refusal)
    robots.count_run(
        STATUS_INQUIRY,
        organization_id,
        done=len(claims) - len(left),
        errors=len(left),
        problem=problem,
        at=at,
    )
    return left


def _by_payer(claims: Sequence[Claim]) -> dict[int, list[Claim]]:
    found: dict[int, list[Claim]] = defaultdict(list)
    for claim in claims:
        found[claim.payer_id].append(claim)
    return found


# --- small parts ----------------------------------------------------------------------------------


def _read(reader: Any) -> Any:
    try:
        return reader()
    except NotX12 as problem:
        raise ParseProblem(str(problem)) from problem


def _submission(interchange: Interchange, where: Q) -> Submission | None:
    rows = Submission.objects.filter(where, organization_id=interchange.organization_id)
    return rows.order_by("-id").first()


def _said(
    interchange: Interchange,
    kind: str,
    at: datetime,
    *,
    submission: Submission | None = None,
    claim: Claim | None = None,
    accepted: bool | None,
    category: str = "",
    status_code: str = "",
    entity: str = "",
    sentence: str,
    field: str = "",
    number: str = "",
) -> Acknowledgement:
    return Acknowledgement(
        organization_id=interchange.organization_id,
        kind=kind,
        interchange=interchange,
        submission=submission,
        claim=claim,
        accepted=accepted,
        category=category[:4],
        status_code=status_code[:6],
        entity=entity[:3],
        sentence=sentence[:300],
        field=field[:80],
        payer_control_number=number[:50],
        received_at=at,
    )


def _keep(said: Sequence[Acknowledgement], interchange: Interchange) -> bool:
    """Write what was said, once for each interchange and kind of answer: a replay says nothing new.
    Returns whether it was written.
    """
    kinds = {row.kind for row in said}
    if Acknowledgement.objects.filter(interchange=interchange, kind__in=kinds).exists():
        return False
    Acknowledgement.objects.bulk_create(said, batch_size=1000)
    return True


def _lines(claims: Sequence[Claim]) -> dict[int, list[ClaimLine]]:
    found: dict[int, list[ClaimLine]] = defaultdict(list)
    for line in (
        ClaimLine.objects.filter(claim_id__in=[c.pk for c in claims])
        .select_related("charge")
        .order_by("number")
    ):
        found[line.claim_id].append(line)
    return found


def _tell(topic: str, claims: Sequence[Claim], at: datetime) -> None:
    by_organization: dict[int, list[int]] = defaultdict(list)
    for claim in claims:
        by_organization[claim.organization_id].append(claim.pk)
    for organization_id, ids in by_organization.items():
        publish(topic, organization_id=organization_id, payload={"claim_ids": ids}, due_at=at)
