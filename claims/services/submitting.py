"""Files of claims: each through the guide check, stored, sent by the
exchange room, never twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from claims import guide
from claims.automation import AUTO_SUBMIT
from claims.edits.registry import Finding
from claims.facts import Sheet, load_sheets
from claims.marks import marks_free, marks_put, subject
from claims.models import (
    Claim,
    ClaimLine,
    ClaimStatus,
    ScrubFinding,
    Submission,
    SubmissionClaim,
    SubmissionState,
    SubmissionStatus,
)
from claims.records import Held, Submitted
from claims.services.enrolling import still_enrolled
from claims.services.offclaim import charges_off_claim
from claims.services.scrubbing import claims_scrub
from claims.services.steps import (
    CLAIM,
    EDITS,
    FILING,
    MISSING,
    REJECTIONS,
    SUBMISSION,
    item,
    locked,
    may_move,
    rewrite,
    step,
)
from claims.sheets import policies
from intake.services import envelope_for
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.audit.services import Step, record_steps
from rcm.exchange.models import Connection, ConnectionKind, InterchangeStatus, WorkQueue
from rcm.exchange.services import next_control_number, store_outbound
from rcm.jobs import robots
from rcm.reference.clock import day_at
from rcm.reference.models import Payer
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.robots import hand_over, take_back
from rcm.worklist.services import ItemSpec, close_items, open_items

MOST_CLAIMS = 5_000
"""Claims in one file."""

_ORIGINAL_BECOMES = {"7": ClaimStatus.REPLACED, "8": ClaimStatus.VOID}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs from what was last sent."""

    label: str
    before: str
    after: str


@dataclass(slots=True)
class Preview:
    """What submitting one claim would do: where it goes and what changed since it last went;
    `stops` says why it will not.
    """

    claim: Claim
    connection: str = ""
    sent_before: bool = False
    differences: list[Difference] = field(default_factory=list)
    stops: str = ""


@transaction.atomic
def claims_submit(
    *, claim_ids: Iterable[int], actor: Actor, at: datetime | None = None
) -> Submitted:
    """Write the ready claims among these into files, one for each organization, form and
    connection, of at most 5,000 claims.

    Each file passes the guide check as a whole; a claim that fails it is blocked with the finding
    and stays behind. The claims are locked first: of two people who submit the same claims one
    does, the other is told. The bytes leave after commit by the outbox.
    """
    at = at or timezone.now()
    result = Submitted()
    ready: list[Claim] = []
    claims = locked(claim_ids)
    actor.require("claim.submit", claims)
    for claim in claims:
        if claim.status == ClaimStatus.READY:
            ready.append(claim)
        else:
            result.held.append(
                Held(
                    claim.pk,
                    claim.number,
                    f"It is {claim.get_status_display().lower()}, not ready.",
                )
            )
    ready = still_enrolled(ready, result, actor=actor, at=at)
    ready = _unbilled(ready, result, actor=actor, at=at)
    if not ready:
        return result
    routes = _routes(ready)
    groups: dict[tuple[int, str, int], list[Claim]] = defaultdict(list)
    for claim in ready:
        connection = routes.get((claim.organization_id, claim.form, claim.payer.code))
        if connection is None:
            words = (
                f"No connection takes a {claim.form} for {claim.payer.name}. Add one under"
                " Connections."
            )
            result.held.append(Held(claim.pk, claim.number, words))
        else:
            groups[(claim.organization_id, claim.form, connection.pk)].append(claim)
    connections = {c.pk: c for c in routes.values()}
    sheets = {
        s.claim.pk: s for s in load_sheets([c.pk for group in groups.values() for c in group])
    }
    for (_, form, connection_id), group in groups.items():
        for start in range(0, len(group), MOST_CLAIMS):
            part = [sheets[c.pk] for c in group[start : start + MOST_CLAIMS]]
            _file(part, form, connections[connection_id], result, actor=actor, at=at)
    return result


def claims_submit_ready(
    *, organization_id: int, actor: Actor, at: datetime | None = None
) -> Submitted:
    """Submit everything that is ready, where the organization's policy lets clean claims leave by
    themselves; nothing before the day it was done on.
    """
    at = at or timezone.now()
    rows = Claim.objects.filter(
        organization_id=organization_id,
        status=ClaimStatus.READY,
        service_date__lte=office_day(at) + timedelta(days=1),  # the day a site may be ahead
    )
    if not robots.is_on(AUTO_SUBMIT, organization_id):
        waiting = rows.aggregate(count=Count("pk"), dollars=Sum("total"))
        hand_over(
            AUTO_SUBMIT,
            organization_id,
            waiting=waiting["count"],
            dollars=waiting["dollars"] or Decimal(0),
            actor=actor,
            at=at,
        )
        return Submitted()
    take_back(AUTO_SUBMIT, organization_id, actor=actor, at=at)
    if not policies([organization_id], office_day(at))[organization_id].auto_submit:
        return Submitted()
    ids = list(
        rows.order_by("filing_deadline", "id").values_list("id", flat=True)[: 2 * MOST_CLAIMS]
    )
    if not ids:
        return Submitted()
    result = claims_submit(claim_ids=ids, actor=actor, at=at)
    robots.count_run(
        AUTO_SUBMIT,
        organization_id,
        done=len(ids) - len(result.held),
        errors=len(result.held),
        problem=next((h.sentence for h in result.held), ""),
        at=at,
    )
    return result


def submit_preview(claim_ids: Iterable[int]) -> list[Preview]:
    """What submitting these claims would do. Reads only."""
    sheets = load_sheets(claim_ids)
    routes = _routes([s.claim for s in sheets])
    latest: dict[int, SubmissionClaim] = {}
    for row in SubmissionClaim.objects.filter(claim_id__in=[s.claim.pk for s in sheets]).order_by(
        "id"
    ):
        latest[row.claim_id] = row
    previews = []
    for sheet in sheets:
        claim = sheet.claim
        before = latest.get(claim.pk)
        connection = routes.get((claim.organization_id, claim.form, claim.payer.code))
        stops = ""
        if claim.status != ClaimStatus.READY:
            stops = f"It is {claim.get_status_display().lower()}, not ready."
        elif connection is None:
            stops = f"No connection takes a {claim.form} for {claim.payer.name}."
        previews.append(
            Preview(
                claim,
                connection.name if connection else "",
                before is not None,
                differences(before.sent, as_sent(sheet)) if before else [],
                stops,
            )
        )
    return previews


# --- one file -------------------------------------------------------------------------------------


def _file(
    sheets: list[Sheet],
    form: str,
    connection: Connection,
    result: Submitted,
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """Write, check, take out what fails, store, and move the claims on."""
    organization: Organization = sheets[0].claim.organization
    envelope = envelope_for(organization, connection, at=at)
    number = f"B{next_control_number(organization.pk, 'SUBMISSION'):07d}"
    while sheets:
        written = guide.write(sheets, envelope, connection=connection, reference=number)
        faults = guide.check(written, sheets, envelope, connection=connection)
        if not faults:
            break
        if 0 in faults:  # a fault of the whole file: nothing of it leaves
            faults = {s.claim.pk: faults[0] for s in sheets}
        sheets, out = (
            [s for s in sheets if s.claim.pk not in faults],
            [s for s in sheets if s.claim.pk in faults],
        )
        _block(out, faults, result, actor=actor, at=at)
    if not sheets:
        return
    interchange = store_outbound(
        organization_id=organization.pk,
        kind=form,
        content=written.data,
        connection=connection,
        control_number=f"{envelope.control:09d}",
        file_name=f"{number}.837",
        queue=WorkQueue.BATCH,
        at=at,
        actor=actor,
    )
    total = sum((s.facts.total for s in sheets), Decimal("0.00"))
    interchange.summary = {"claims": len(sheets), "total": str(total), "submission": number}
    interchange.save(update_fields=["summary"])
    submission = Submission.objects.create(
        organization=organization,
        number=number,
        interchange=interchange,
        form=form,
        group_control=str(envelope.group_control or envelope.control),
        claims_count=len(sheets),
        total=total,
        built_at=at,
    )
    SubmissionClaim.objects.bulk_create(
        [
            SubmissionClaim(
                organization=organization, submission=submission, claim=s.claim, sent=as_sent(s)
            )
            for s in sheets
        ],
        batch_size=1000,
    )
    _leave(sheets, submission, result, actor=actor, at=at)
    result.submission_ids.append(submission.pk)


def _leave(
    sheets: Sequence[Sheet],
    submission: Submission,
    result: Submitted,
    *,
    actor: Actor,
    at: datetime,
) -> None:
    claims = [s.claim for s in sheets]
    steps: list[Step] = []
    keys: dict[str, int | None] = {"interchange_id": submission.interchange_id}
    for claim in claims:
        claim.status = ClaimStatus.SUBMITTED
        claim.first_submitted_at = claim.first_submitted_at or at
        claim.last_submitted_at = at
        claim.version += 1
        words = {"7": "as replacement", "8": "as void"}.get(claim.frequency, "")
        sentence = f"Submitted {words} in file {submission.number} to {claim.payer.name}".replace(
            "  ", " "
        )
        steps.append(
            step(
                claim,
                "claim.submitted",
                sentence,
                keys=keys,
                old=ClaimStatus.READY,
                new=ClaimStatus.SUBMITTED,
            )
        )
    rewrite(claims, ["status", "first_submitted_at", "last_submitted_at", "version"])
    originals = {
        c.pk: c
        for c in locked(
            {c.replaces_id for c in claims if c.replaces_id and c.frequency in _ORIGINAL_BECOMES}
        )
    }
    moved = []
    for claim in claims:
        original = originals.get(claim.replaces_id or 0)
        if original is None:
            continue
        status = _ORIGINAL_BECOMES[claim.frequency]
        if not may_move(original, status) or original.status == status:
            continue
        steps.append(
            step(
                original,
                f"claim.{status}",
                f"Taken over by claim {claim.number}",
                old=original.status,
                new=status,
            )
        )
        original.status = status
        original.version += 1
        moved.append(original)
    rewrite(moved, ["status", "version"])
    record_steps(steps, actor=actor, at=at)
    _let_go(moved, actor=actor, at=at)
    ids = [c.pk for c in claims]
    close_items(
        CLAIM,
        ids,
        actor=actor,
        at=at,
        outcome=f"Submitted in {submission.number}",
        queues=[EDITS, FILING, REJECTIONS],
    )
    result.claim_ids += ids


def _unbilled(
    ready: Sequence[Claim], result: Submitted, *, actor: Actor, at: datetime
) -> list[Claim]:
    """The claims that bill what no other entity has billed before: of two that bill one component
    the second is stopped, here at the latest.
    """
    taken = marks_put([subject(c) for c in ready])
    if not taken:
        return list(ready)
    claims_scrub(claim_ids=sorted(taken), actor=actor, at=at)
    words = "Another entity has billed a component of it."
    result.held += [Held(c.pk, c.number, words) for c in ready if c.pk in taken]
    return [c for c in ready if c.pk not in taken]


def _let_go(originals: Sequence[Claim], *, actor: Actor, at: datetime) -> None:
    """Charges of a claim that was taken back and that are still owed by somebody: they wait for
    a decision, one queue item for each exam.
    """
    void = [c for c in originals if c.status == ClaimStatus.VOID]
    marks_free(void)
    lines: dict[int, list[int]] = defaultdict(list)
    for claim_id, charge_id in ClaimLine.objects.filter(
        claim_id__in=[c.pk for c in void]
    ).values_list("claim_id", "charge_id"):
        lines[claim_id].append(charge_id)
    for claim in void:
        why = f"Claim {claim.number} was taken back from {claim.payer.name}"
        charges_off_claim(lines[claim.pk], why=why, actor=actor, at=at)


def _block(
    sheets: Sequence[Sheet],
    faults: dict[int, list[Finding]],
    result: Submitted,
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """Claims that the guide refuses: blocked, with the finding and an item."""
    marks_free([s.claim for s in sheets])
    rows: list[ScrubFinding] = []
    steps: list[Step] = []
    specs: list[ItemSpec] = []
    policy = policies({s.claim.organization_id for s in sheets}, office_day(at))
    for sheet in sheets:
        claim = sheet.claim
        found = list({f.sentence: f for f in faults[claim.pk]}.values())
        rows += [guide_row(claim, f, at) for f in found]
        claim.status = ClaimStatus.BLOCKED
        claim.clean_first_pass = False
        claim.version += 1
        steps.append(
            step(
                claim,
                "claim.blocked",
                f"Stopped by the guide check: {found[0].sentence}"[:300],
                old="ready",
                new="blocked",
            )
        )
        specs.append(
            item(
                claim,
                EDITS,
                guide.GUIDE,
                found[0].sentence,
                fix=found[0].fix,
                at=at,
                policy=policy[claim.organization_id],
                lines=sheet.lines,
                facts={
                    "edit": guide.GUIDE,
                    "reason": "X12 guide",
                    "role": str(found[0].owner),
                    "blocks": len(found),
                    "warns": 0,
                },
            )
        )
        result.held.append(Held(claim.pk, claim.number, found[0].sentence))
    ScrubFinding.objects.bulk_create(rows, batch_size=500)
    rewrite([s.claim for s in sheets], ["status", "clean_first_pass", "version"])
    record_steps(steps, actor=actor, at=at)
    open_items(specs, actor=actor, at=at)


def guide_row(claim: Claim, finding: Finding, at: datetime) -> ScrubFinding:
    return ScrubFinding(
        organization_id=claim.organization_id,
        claim=claim,
        edit=finding.edit_id,
        severity=finding.severity,
        sentence=finding.sentence[:300],
        field=finding.field[:60],
        fix=finding.fix[:200],
        owner=str(finding.owner),
        rule=finding.rule,
        source=finding.source[:300],
        found_at=at,
    )


def _routes(claims: Sequence[Claim]) -> dict[tuple[int, str, str], Connection]:
    """The connection for each organization, form and payer: one that names the payer, else one that
    takes all. One query.
    """
    rows = Connection.objects.filter(
        organization_id__in={c.organization_id for c in claims},
        kind=ConnectionKind.HTTP,
        active=True,
    ).order_by("id")
    connections = list(rows)
    wanted: dict[tuple[int, str, str], Payer] = {
        (c.organization_id, c.form, c.payer.code): c.payer for c in claims
    }
    found: dict[tuple[int, str, str], Connection] = {}
    for organization_id, form, code in wanted:
        fits = [
            c
            for c in connections
            if c.organization_id == organization_id
            and form in c.config.get("sets", [form])
            and code in c.config.get("payers", [code])
        ]
        if fits:
            found[(organization_id, form, code)] = max(
                fits, key=lambda c: ("payers" in c.config, "sets" in c.config)
            )
    return found


# --- what was said --------------------------------------------------------------------------------

_LABELS = {
    "frequency": "Frequency",
    "total": "Total",
    "payer_control": "Payer's claim number",
    "authorization": "Authorization",
    "diagnoses": "Diagnoses",
    "referring": "Referring NPI",
    "rendering": "Rendering NPI",
    "member_id": "Member ID",
    "note": "Note",
    "lines": "Lines",
}


def as_sent(sheet: Sheet) -> dict[str, Any]:
    """The claim's own fields as they leave, in words for comparison; no names."""
    facts = sheet.facts
    return {
        "frequency": facts.frequency,
        "total": f"{facts.total:.2f}",
        "payer_control": facts.payer_icn,
        "authorization": facts.prior_auth_number,
        "diagnoses": " ".join(facts.diagnoses),
        "referring": facts.ordering_npi,
        "rendering": facts.rendering_npi,
        "member_id": facts.member_id,
        "note": facts.note,
        "lines": [
            f"{' '.join([x.code, *x.modifiers])} × {x.units.normalize():f} ${x.charge:.2f} dx"
            f" {','.join(map(str, x.pointers))}"
            for x in facts.lines
        ],
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[Difference]:
    """What two versions of a claim say differently, line by line."""
    found: list[Difference] = []
    for key, label in _LABELS.items():
        old, new = before.get(key, ""), after.get(key, "")
        if key != "lines":
            if old != new:
                found.append(Difference(label, str(old), str(new)))
            continue
        for n in range(max(len(old or ()), len(new or ()))):
            one = old[n] if n < len(old) else ""
            two = new[n] if n < len(new) else ""
            if one != two:
                found.append(Difference(f"Line {n + 1}", one, two))
    return found


# --- control proof --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proof:
    """Claims out = accepted + rejected + missing + waiting, for one file or one day."""

    out: int
    accepted: int
    rejected: int
    missing: int
    waiting: int

    @property
    def ties(self) -> bool:
        return self.out == self.accepted + self.rejected + self.missing + self.waiting

    @property
    def settled(self) -> bool:
        """Every claim is answered."""
        return self.ties and not self.missing and not self.waiting


def proofs(submission_ids: Iterable[int]) -> dict[int, Proof]:
    """The control proof of each file, counted from the claims in it. One query."""
    rows = SubmissionClaim.objects.filter(submission_id__in=list(submission_ids)).values_list(
        "submission_id", "state"
    )
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for submission_id, state, n in rows.annotate(n=Count("id")).order_by():
        found[submission_id][state] = n
    return {
        pk: Proof(
            sum(states.values()),
            *(states.get(s, 0) for s in ("accepted", "rejected", "missing", "waiting")),
        )
        for pk, states in found.items()
    }


@transaction.atomic
def submissions_refresh(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """Bring files up to date: sent or failed by their interchange, claims without an answer past
    the policy's hours counted as missing.

    One item for each file with missing claims, closed when they are answered. Returns how many
    claims are missing.
    """
    at = at or timezone.now()
    policy = policies([organization_id], office_day(at))[organization_id]
    built = Submission.objects.filter(
        organization_id=organization_id,
        status__in=[SubmissionStatus.BUILT, SubmissionStatus.FAILED],
    )
    failed: list[Submission] = []
    changed: list[Submission] = []
    for row in (
        built.select_related("interchange")
        .defer("interchange__content")
        .select_for_update(of=("self",))
    ):
        if row.interchange.status == InterchangeStatus.SENT:
            row.status, row.sent_at = SubmissionStatus.SENT, row.interchange.processed_at or at
            changed.append(row)
        elif row.interchange.status in (InterchangeStatus.FAILED, InterchangeStatus.REFUSED):
            row.status = SubmissionStatus.FAILED
            changed.append(row)
            failed.append(row)
    rewrite(changed, ["status", "sent_at"])
    record_steps(
        (
            Step(
                organization_id,
                f"submission.{s.status}",
                f"File {s.number} {s.get_status_display().lower()}",
                {"interchange_id": s.interchange_id},
            )
            for s in changed
        ),
        actor=actor,
        at=at,
    )
    late = SubmissionClaim.objects.filter(
        organization_id=organization_id, state=SubmissionState.WAITING
    )
    late.filter(submission__sent_at__lt=at - policy.missing_after).update(
        state=SubmissionState.MISSING
    )
    counts = list(
        SubmissionClaim.objects.filter(
            organization_id=organization_id, state=SubmissionState.MISSING
        )
        .values(
            "submission_id", "submission__number", "submission__claims_count", "submission__sent_at"
        )
        .annotate(n=Count("id"))
        .order_by("submission_id")
    )
    dollars = _missing_dollars([row["submission_id"] for row in counts])
    deadlines = _missing_deadlines([row["submission_id"] for row in counts])
    specs = [
        ItemSpec(
            organization_id=organization_id,
            queue=MISSING,
            subject_type=SUBMISSION,
            subject_id=row["submission_id"],
            cause="missing",
            title=(
                f"{row['n']} of {row['submission__claims_count']} claims of file"
                f" {row['submission__number']} have no acknowledgement"
            ),
            fix=(
                "Ask the clearinghouse for the file's reports; send again only what it has not"
                " received."
            ),
            due_at=at,
            dollars=dollars.get(row["submission_id"], Decimal("0.00")),
            deadline_on=deadlines.get(row["submission_id"]),
            facts={
                "file": row["submission__number"],
                "sent": office_day(row["submission__sent_at"]).isoformat(),
                "claims": row["n"],
            },
        )
        for row in counts
    ] + [
        ItemSpec(
            organization_id=organization_id,
            queue=MISSING,
            subject_type=SUBMISSION,
            subject_id=row.pk,
            cause="not_sent",
            title=f"File {row.number} with {row.claims_count} claims could not be sent: {row.interchange.error or 'refused'}"[
                :200
            ],
            fix="Look at the connection, then send the file again from its page.",
            due_at=at,
            dollars=row.total,
            facts={"file": row.number, "sent": "", "claims": row.claims_count},
        )
        for row in failed
    ]
    open_items(specs, actor=actor, at=at)
    still = {spec.subject_id for spec in specs}
    _close_settled(organization_id, still, actor=actor, at=at)
    return sum(row["n"] for row in counts)


def _close_settled(organization_id: int, still: set[int], *, actor: Actor, at: datetime) -> None:
    live = WorkItem.objects.filter(
        organization_id=organization_id,
        queue=MISSING,
        subject_type=SUBMISSION,
        status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
    )
    done = [pk for pk in live.values_list("subject_id", flat=True) if pk not in still]
    done = list(
        Submission.objects.filter(pk__in=done)
        .exclude(status=SubmissionStatus.FAILED)
        .values_list("id", flat=True)
    )
    close_items(
        SUBMISSION, done, actor=actor, at=at, outcome="Every claim is answered", queues=[MISSING]
    )


def _missing_dollars(submission_ids: Sequence[int]) -> dict[int, Decimal]:
    found: dict[int, Decimal] = defaultdict(lambda: Decimal("0.00"))
    rows = SubmissionClaim.objects.filter(
        submission_id__in=submission_ids, state=SubmissionState.MISSING
    )
    for submission_id, expected, total in rows.values_list(
        "submission_id", "claim__expected", "claim__total"
    ):
        found[submission_id] += expected if expected is not None else total
    return found


def _missing_deadlines(submission_ids: Sequence[int]) -> dict[int, date | None]:
    found: dict[int, date | None] = {}
    rows = SubmissionClaim.objects.filter(
        submission_id__in=submission_ids, state=SubmissionState.MISSING
    )
    for submission_id, deadline in rows.values_list("submission_id", "claim__filing_deadline"):
        known = found.get(submission_id)
        found[submission_id] = deadline if known is None else min(known, deadline or known)
    return found


@transaction.atomic
def filing_refresh(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """Unsent claims that near their filing limit stand in a queue (rule `filing-limit`); those
    already in one get it as a tag.
    """
    at = at or timezone.now()
    day = office_day(at)
    policy = policies([organization_id], day)[organization_id]
    unsent = (ClaimStatus.DRAFT, ClaimStatus.BLOCKED, ClaimStatus.READY, ClaimStatus.REJECTED)
    rows = list(
        Claim.objects.filter(
            organization_id=organization_id,
            status__in=unsent,
            frequency="1",
            filing_deadline__lte=day + policy.filing_alert + timedelta(days=1),
        )
        .select_related("patient", "payer", "site")
        .prefetch_related("lines__charge")
        .order_by("filing_deadline", "id")
    )
    specs = []
    for claim in rows:
        assert claim.filing_deadline is not None
        left = (claim.filing_deadline - day_at(claim.site, at)).days
        if left > policy.filing_alert.days:
            continue
        words = (
            f"{left} days left to file"
            if left > 0
            else (
                "Today is the last day to file"
                if left == 0
                else f"The filing limit passed {-left} days ago"
            )
        )
        specs.append(
            item(
                claim,
                FILING,
                "filing_limit",
                f"{words}; claim {claim.number} is {claim.get_status_display().lower()}",
                fix=(
                    "Send it first."
                    if left >= 0
                    else "Look for proof of an earlier filing; else it is a write-off decision."
                ),
                at=at,
                policy=policy,
                lines=claim.lines.all(),
                facts={"status": claim.status},
            )
        )
    open_items(specs, actor=actor, at=at)
    return len(specs)
