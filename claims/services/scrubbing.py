"""Judging claims before they leave: repairs recorded, findings kept with
their fate, one status, one item.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from claims import guide
from claims.automation import REPAIRS
from claims.edits import Finding, catalogue, scrub_iter
from claims.edits.engine import NOT_KEPT, overridable
from claims.edits.userrules import UserRule
from claims.facts import Sheet, load_enrollments, load_reference, load_sheets
from claims.models import Claim, ClaimLine, ClaimStatus, PayerRule, ScrubFinding
from claims.records import Scrubbed
from claims.services.steps import CLAIM, EDITS, FILING, REJECTIONS, item, locked, rewrite, step
from claims.sheets import policies
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.audit.services import Step, record_steps
from rcm.jobs import robots
from rcm.jobs.models import JobRun
from rcm.jobs.services import run_claim, run_create, run_finish, run_progress
from rcm.reference.clock import day_at
from rcm.worklist.services import ItemSpec, close_items, open_items
from rcm.x12 import Envelope

SCRUBBABLE = (ClaimStatus.DRAFT, ClaimStatus.BLOCKED, ClaimStatus.READY, ClaimStatus.REJECTED)
RUN_KIND = "scrub"
CHUNK = 500
VOID_FAMILIES = frozenset(
    {"format", "identity", "duplicates", "timely", "engine", "userrules", "guide"}
)

Key = tuple[int, int | None, str, str]


@transaction.atomic
def claims_scrub(*, claim_ids: Iterable[int], actor: Actor, at: datetime | None = None) -> Scrubbed:
    """Judge claims that have not been filed; each is blocked or ready afterwards. A fixed number of
    queries for any number.

    Format repairs are applied and recorded; findings that are gone are closed, those that a
    person accepted stay accepted as long as they say the same. Claims already filed are passed
    over. Tables that are not loaded are named in the result.
    """
    at = at or timezone.now()
    rows = [c for c in locked(claim_ids) if c.status in SCRUBBABLE]
    result = Scrubbed()
    if not rows:
        return result
    before = {c.pk: c.status for c in rows}
    sheets = load_sheets([c.pk for c in rows])
    enrollments = load_enrollments(sheets)
    tables = load_reference(sheets, enrollments)
    names = {name for edit in catalogue().values() for name in edit.tables}
    result.missing_tables = tuple(sorted(name for name in names if getattr(tables, name) is None))
    day = office_day(at)
    rules = active_rules({c.organization_id for c in rows}, day)
    judged: list[tuple[Sheet, list[Finding]]] = []
    # a claim is judged by the day at its own site: its filing limit ends with that day
    own_day = {s.claim.pk: (s.claim.organization_id, day_at(s.claim.site, at)) for s in sheets}
    for organization_id, local in sorted(set(own_day.values())):
        own = [s for s in sheets if own_day[s.claim.pk] == (organization_id, local)]
        found = scrub_iter(
            (s.facts for s in own),
            replace(tables, enrollments=enrollments.get(organization_id)),
            as_of=local,
            rules=rules.get(organization_id, ()),
        )
        judged += [
            (s, [f for f in fs if _concerns(s, f)]) for s, fs in zip(own, found, strict=True)
        ]
    _guide_again(judged, at)
    accepted = _keep_findings(judged, at)
    steps: list[Step] = []
    specs: list[ItemSpec] = []
    policy = policies({c.organization_id for c in rows}, day)
    by_hand: set[int] = set()
    if actor.kind == "system":
        by_hand = robots.switched_off(REPAIRS, {c.organization_id for c in rows})
    for sheet, findings in judged:
        claim = sheet.claim
        blocking = [f for f in findings if f.severity == "B" and _key(sheet, f) not in accepted]
        result.findings += len(findings)
        unrepaired = bool(sheet.repairs) and claim.organization_id in by_hand
        if not unrepaired:
            steps += _apply_repairs(sheet, result)
        claim.status = ClaimStatus.BLOCKED if blocking or unrepaired else ClaimStatus.READY
        if claim.scrubbed_at is None:
            claim.clean_first_pass = not blocking
        first = claim.scrubbed_at is None
        claim.scrubbed_at = at
        claim.version += 1
        ready = claim.status == ClaimStatus.READY
        (result.ready_ids if ready else result.blocked_ids).append(claim.pk)
        if first or before[claim.pk] != claim.status:
            steps.append(_judged(claim, before[claim.pk], blocking))
        if blocking:
            specs.append(_item(sheet, blocking, findings, at, policy[claim.organization_id]))
        elif unrepaired:
            specs.append(_unrepaired(sheet, at, policy[claim.organization_id]))
    claims = [s.claim for s, _ in judged]
    fields = [
        "status",
        "clean_first_pass",
        "scrubbed_at",
        "version",
        "diagnoses",
        "authorization_number",
        "extra",
    ]
    rewrite(claims, fields)
    record_steps(steps, actor=actor, at=at)
    open_items(specs, actor=actor, at=at)
    close_items(
        CLAIM,
        result.ready_ids,
        actor=actor,
        at=at,
        outcome="Edits pass",
        queues=[EDITS, REJECTIONS, FILING],
    )
    result.ready, result.blocked = len(result.ready_ids), len(result.blocked_ids)
    return result


def _concerns(sheet: Sheet, finding: Finding) -> bool:
    """What a house need not keep is told once for the batch; a void only has to be well formed and
    in time, its services are taken back.
    """
    return finding.edit_id != NOT_KEPT and (
        sheet.facts.frequency != "8" or finding.family in VOID_FAMILIES
    )


def _guide_again(judged: Sequence[tuple[Sheet, list[Finding]]], at: datetime) -> None:
    """Claims that the guide check has stopped before are checked by it again: the edits alone would
    let them pass.
    """
    ids = [s.claim.pk for s, _ in judged]
    stopped = set(
        ScrubFinding.objects.filter(
            claim_id__in=ids, edit=guide.GUIDE, cleared_at__isnull=True
        ).values_list("claim_id", flat=True)
    )
    envelope = Envelope("CHECK", "CHECK", 1, office_day(at))
    for sheet, findings in judged:
        if sheet.claim.pk in stopped:
            findings += guide.findings_of(sheet, envelope)


def active_rules(organization_ids: Iterable[int], day: date) -> dict[int, list[UserRule]]:
    """The rules of users that are switched on, by organization."""
    rows = PayerRule.objects.filter(
        organization_id__in=list(organization_ids), active=True, effective_from__lte=day
    )
    found: dict[int, list[UserRule]] = {}
    for row in rows.filter(Q(effective_to__isnull=True) | Q(effective_to__gte=day)).order_by(
        "number"
    ):
        found.setdefault(row.organization_id, []).append(user_rule(row))
    return found


def user_rule(row: PayerRule) -> UserRule:
    return UserRule(str(row.number), row.rule_version, row.name, row.definition)


# --- one claim's result ---------------------------------------------------------------------------


def _key(sheet: Sheet, finding: Finding) -> Key:
    line = (
        next((x.pk for x in sheet.lines if x.number == finding.line), None)
        if finding.line
        else None
    )
    return (sheet.claim.pk, line, finding.edit_id, finding.sentence[:300])


def _keep_findings(judged: Sequence[tuple[Sheet, list[Finding]]], at: datetime) -> set[Key]:
    """Write what is new, close what is gone; returns the findings that a person has accepted."""
    open_rows = ScrubFinding.objects.filter(
        claim_id__in=[s.claim.pk for s, _ in judged], cleared_at__isnull=True
    )
    live: dict[Key, ScrubFinding] = {
        (r.claim_id, r.line_id, r.edit, r.sentence): r for r in open_rows
    }
    seen: set[Key] = set()
    fresh: list[ScrubFinding] = []
    accepted: set[Key] = set()
    for sheet, findings in judged:
        for finding in findings:
            key = _key(sheet, finding)
            if key in seen:
                continue
            seen.add(key)
            row = live.get(key)
            if row is None:
                fresh.append(
                    ScrubFinding(
                        organization_id=sheet.claim.organization_id,
                        claim_id=key[0],
                        line_id=key[1],
                        edit=finding.edit_id[:40],
                        severity=finding.severity,
                        sentence=key[3],
                        field=finding.field[:60],
                        fix=finding.fix[:200],
                        owner=str(finding.owner)[:20],
                        rule=finding.rule,
                        source=finding.source[:300],
                        found_at=at,
                    )
                )
            elif row.overridden_by and may_override(finding.edit_id):
                accepted.add(key)
    ScrubFinding.objects.bulk_create(fresh, batch_size=1000)
    gone = [row.pk for key, row in live.items() if key not in seen]
    if gone:
        ScrubFinding.objects.filter(pk__in=gone).update(cleared_at=at)
    return accepted


def may_override(edit_id: str) -> bool:
    """Whether a person may accept a finding of this edit. The user's own rules and unknown tables
    may be; an edit that broke and what the guide says may not.
    """
    return overridable(edit_id) or edit_id.startswith("USR-")


def _apply_repairs(sheet: Sheet, result: Scrubbed) -> list[Step]:
    """Write repaired codes and numbers into the claim; tell once which fields were repaired,
    without their values.
    """
    claim, facts = sheet.claim, sheet.facts
    if not sheet.repairs:
        return []
    result.repairs += len(sheet.repairs)
    claim.diagnoses = list(facts.diagnoses)
    claim.authorization_number = facts.prior_auth_number
    changed: list[ClaimLine] = []
    for line, fact in zip(sheet.lines, facts.lines, strict=True):
        if (line.code, tuple(line.modifiers)) != (fact.code, fact.modifiers):
            line.code, line.modifiers = fact.code, list(fact.modifiers)
            changed.append(line)
    if changed:
        rewrite(changed, ["code", "modifiers"])
    told = {tuple(entry) for entry in claim.extra.get("repairs", [])}
    fresh = sorted({(r.field, r.rule, str(r.line or "")) for r in sheet.repairs} - told)
    if not fresh:
        return []
    claim.extra = {
        **claim.extra,
        "repairs": sorted([*claim.extra.get("repairs", []), *map(list, fresh)]),
    }
    fields = list(dict.fromkeys(field.replace("_", " ").replace(".", " ") for field, _, _ in fresh))
    words = ", ".join(fields[:3]) + (f" and {len(fields) - 3} more" if len(fields) > 3 else "")
    return [
        step(
            claim,
            "claim.repaired",
            f"Written as the file needs it: {words}",
            data={"repairs": [list(f) for f in fresh]},
        )
    ]


def _unrepaired(sheet: Sheet, at: datetime, policy: Any) -> ItemSpec:
    """The item of a claim whose fields a person must let be rewritten, because the robot is off."""
    fields = ", ".join(sorted({r.field.replace("_", " ").replace(".", " ") for r in sheet.repairs}))
    return item(
        sheet.claim,
        EDITS,
        REPAIRS,
        f"Not written as the file needs it: {fields}"[:200],
        fix="Look at the fields, then check the claim again: that writes them right.",
        at=at,
        policy=policy,
        lines=sheet.lines,
    )


def _judged(claim: Claim, old: str, blocking: Sequence[Finding]) -> Step:
    if blocking:
        edits = ", ".join(dict.fromkeys(f.edit_id for f in blocking))
        return step(
            claim,
            "claim.blocked",
            f"Stopped by {edits}",
            old=old,
            new=claim.status,
            data={"edits": [f.edit_id for f in blocking]},
        )
    return step(
        claim, "claim.ready", "Every edit passes: ready to submit", old=old, new=claim.status
    )


def _item(
    sheet: Sheet,
    blocking: Sequence[Finding],
    findings: Sequence[Finding],
    at: datetime,
    policy: Any,
) -> ItemSpec:
    first = blocking[0]
    more = len(blocking) - 1
    return item(
        sheet.claim,
        EDITS,
        first.edit_id,
        first.sentence + (f" And {more} more." if more else ""),
        fix=first.fix,
        at=at,
        policy=policy,
        lines=sheet.lines,
        tags=sorted({f.edit_id for f in blocking} - {first.edit_id}),
        facts={
            "edit": first.edit_id,
            "reason": first.edit_id,
            "field": first.field,
            "role": str(first.owner),
            "blocks": len(blocking),
            "warns": len(findings) - len(blocking),
        },
    )


# --- a person's decision --------------------------------------------------------------------------


@transaction.atomic
def finding_override(
    *, finding: ScrubFinding, reason: str, actor: Actor, at: datetime | None = None
) -> Scrubbed:
    """Accept one finding with a reason; the claim is judged again. Some edits nobody
    may wave through.
    """
    actor.require("claim.override", finding)
    at = at or timezone.now()
    reason = reason.strip()
    if not reason:
        raise Refused(
            "Say why this finding does not stop the claim.", field="reason", code="missing"
        )
    if not may_override(finding.edit):
        raise Refused(
            f"Edit {finding.edit} cannot be overridden: {finding.fix}",
            field="reason",
            code="not_overridable",
            fix=finding.fix,
        )
    taken = ScrubFinding.objects.filter(pk=finding.pk, cleared_at__isnull=True, overridden_by="")
    if not taken.update(overridden_by=actor.name[:120], override_reason=reason[:200]):
        raise Conflict("This finding is gone or somebody has decided it already.")
    claim = finding.claim
    record_steps(
        [
            step(
                claim,
                "claim.override",
                f"{finding.edit} accepted: {finding.sentence}"[:300],
                reason=reason,
                data={"edit": finding.edit},
            )
        ],
        actor=actor,
        at=at,
    )
    return claims_scrub(claim_ids=[claim.pk], actor=actor, at=at)


@transaction.atomic
def finding_restore(*, finding: ScrubFinding, actor: Actor, at: datetime | None = None) -> Scrubbed:
    """Take an acceptance back; the finding stops the claim again."""
    actor.require("claim.override", finding)
    at = at or timezone.now()
    if (
        not ScrubFinding.objects.filter(pk=finding.pk, cleared_at__isnull=True)
        .exclude(overridden_by="")
        .update(overridden_by="", override_reason="")
    ):
        raise Conflict("This finding is gone or was never accepted.")
    record_steps(
        [step(finding.claim, "claim.override_ended", f"{finding.edit} stops again")],
        actor=actor,
        at=at,
    )
    return claims_scrub(claim_ids=[finding.claim_id], actor=actor, at=at)


# --- as a batch -----------------------------------------------------------------------------------


@transaction.atomic
def scrub_start(
    *,
    organization_id: int,
    claim_ids: Sequence[int] | None = None,
    actor: Actor,
    at: datetime | None = None,
) -> JobRun:
    """Queue a scrub of these claims, or of every claim that has not been filed. The batch worker
    runs it (`scrub_run`).
    """
    actor.require("claim.edit", organization_id)
    if claim_ids is None:
        total = Claim.objects.filter(
            organization_id=organization_id, status__in=SCRUBBABLE[:3]
        ).count()
        title, params = "Scrub every unsent claim", {}
    else:
        total, title, params = (
            len(claim_ids),
            f"Scrub {len(claim_ids):,} claims",
            {"claim_ids": list(claim_ids)},
        )
    return run_create(
        organization_id=organization_id,
        kind=RUN_KIND,
        title=title,
        params=params,
        actor=actor,
        total=total,
    )


def scrub_run(
    run_id: int, *, organization_id: int, at: datetime | None = None, chunk: int = CHUNK
) -> dict[str, Any]:
    """Do a queued scrub, chunk by chunk, each its own transaction with its progress. Safe to run
    twice; call outside a transaction.
    """
    actor = Actor.system("scrub", [organization_id])
    with scope(actor):
        run = run_claim(run_id, at=at)
        if run is None:
            return {}
        if "claim_ids" in run.params:
            ids = [int(pk) for pk in run.params["claim_ids"]]
        else:
            rows = Claim.objects.filter(organization_id=organization_id, status__in=SCRUBBABLE[:3])
            ids = list(rows.order_by("id").values_list("id", flat=True))
        run_progress(run, done=0, total=len(ids), at=at)
    counts: dict[str, Any] = {
        "claims": len(ids),
        "ready": 0,
        "blocked": 0,
        "findings": 0,
        "repairs": 0,
        "not_loaded": [],
    }
    done = 0
    for start in range(0, len(ids), chunk):
        part = ids[start : start + chunk]
        with scope(actor):
            found = claims_scrub(claim_ids=part, actor=actor, at=at)
            done += len(part)
            run_progress(run, done=done, total=len(ids), at=at)
        for name in ("ready", "blocked", "findings", "repairs"):
            counts[name] += getattr(found, name)
        counts["not_loaded"] = list(found.missing_tables) or counts["not_loaded"]
    with scope(actor):
        run_finish(run, result=counts, at=at)
    return counts
