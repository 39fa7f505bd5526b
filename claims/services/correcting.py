"""Changing claims (rule `replacement-or-void`): before filing in place; after it as replacement,
void, new claim or reopening; the next payer's claim.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from charges.models import Charge, ChargeStatus
from charges.services.lines import OfExam, notices_require
from claims.edits.repairs import plain_diagnosis, plain_number
from claims.edits.subject import luhn_npi
from claims.marks import marks_free
from claims.models import Claim, ClaimLine, ClaimStatus
from claims.records import Changes, Correction, PayerDecision, Route
from claims.services.building import (
    MOST_DIAGNOSES,
    MOST_POINTERS,
    claims_build,
    claims_number,
    diagnoses_of,
    filing_limit,
    line_control,
    lines_of,
)
from claims.services.coordinating import (
    decided_lines,
    decisions_carry,
    next_expected,
    own_authorizations,
    paid_in_all,
)
from claims.services.offclaim import (
    DEAD,
    charges_off_claim,
    charges_on_claim,
    hold_off_claim,
)
from claims.services.scrubbing import claims_scrub
from claims.services.steps import (
    CLAIM,
    CORRECTIONS,
    EDITS,
    FILING,
    REJECTIONS,
    item,
    locked,
    require_move,
    step,
    steps_of_exams,
)
from claims.sheets import policies
from intake.models import Coverage
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import record_steps
from rcm.reference.models import PayerKind
from rcm.worklist.services import close_items, open_items

EDITABLE = (ClaimStatus.DRAFT, ClaimStatus.BLOCKED, ClaimStatus.READY, ClaimStatus.REJECTED)
IN_FLIGHT = (ClaimStatus.SUBMITTED, ClaimStatus.ACKNOWLEDGED)
FILED = (
    ClaimStatus.ACCEPTED,
    ClaimStatus.DENIED,
    ClaimStatus.PARTIAL,
    ClaimStatus.PAID,
    ClaimStatus.CLOSED,
)
REOPEN = (
    "Ask the contractor to reopen the claim (clerical error) by telephone or portal, or appeal; it"
    " takes no replacement claims."
)


# --- before filing --------------------------------------------------------------------------------


@transaction.atomic
def claim_edit(
    *,
    claim: Claim,
    changes: Changes,
    reason: str,
    version: int | None = None,
    judge: bool = True,
    actor: Actor,
    at: datetime | None = None,
) -> Claim:
    """Change a claim that has not been filed, then judge it again. Raises Conflict when somebody
    changed it first. Without `judge` the caller judges all that it changed at once.
    """
    actor.require("claim.correct" if claim.replaces_id else "claim.edit", claim)
    at = at or timezone.now()
    row = _one(claim)
    if version is not None and row.version != version:
        raise Conflict("Somebody else has changed this claim. Look again.")
    if row.status not in EDITABLE:
        raise Refused(
            f"Claim {row.number} is {row.get_status_display().lower()}: it is corrected by a"
            " replacement.",
            code="filed",
            fix="Use Correct.",
        )
    lines = list(row.lines.order_by("number"))
    told = _apply(row, lines, changes)
    _save(row, lines)
    record_steps(
        [
            step(
                row,
                "claim.edited",
                f"Changed: {told}" if told else "Looked at, nothing changed",
                reason=reason,
            )
        ],
        actor=actor,
        at=at,
    )
    if judge:
        claims_scrub(claim_ids=[row.pk], actor=actor, at=at)
        row.refresh_from_db()
    return row


def _apply(claim: Claim, lines: Sequence[ClaimLine], changes: Changes) -> str:
    """Write the changes into the rows; returns the words of what changed. Raises Refused with the
    field.
    """
    told: list[str] = []
    extra = dict(claim.extra)
    if changes.authorization_number is not None:
        claim.authorization_number = plain_number(changes.authorization_number)[:50]
        told.append("authorization")
    if changes.referring_npi is not None:
        if changes.referring_npi and not luhn_npi(changes.referring_npi):
            raise Refused(
                "This NPI is not valid: check its ten digits.", field="referring_npi", code="npi"
            )
        claim.referring_npi = claim.ordering_npi = changes.referring_npi
        told.append("ordering provider")
    if changes.note is not None:
        claim.note = changes.note.strip()[:80]
        told.append("note")
    for name, words in (
        ("attachment_control", "attachment"),
        ("referral_number", "referral"),
        ("delay_reason", "delay reason"),
    ):
        value = getattr(changes, name)
        if value is not None:
            extra[name] = plain_number(value)[:50]
            told.append(words)
    claim.extra = {key: value for key, value in extra.items() if value != ""}
    if changes.diagnoses is not None:
        _rename_diagnoses(claim, lines, changes.diagnoses)
        told.append("diagnoses")
    by_number = {line.number: line for line in lines}
    renamed: list[ClaimLine] = []
    for number, values in changes.lines.items():
        line = by_number.get(number)
        if line is None:
            raise Refused(f"There is no line {number}.", field="lines", code="no_line")
        if "modifiers" in values:
            line.modifiers = [m.strip().upper() for m in values["modifiers"] if m.strip()][:4]
            told.append(f"modifiers of line {number}")
            renamed.append(line)
        if "pointers" in values:
            pointers = [int(p) for p in values["pointers"]][:MOST_POINTERS]
            if not pointers or not all(1 <= p <= len(claim.diagnoses) for p in pointers):
                raise Refused(
                    f"Line {number} must point to diagnoses of the claim.",
                    field="lines",
                    code="pointer",
                )
            line.pointers = pointers
            told.append(f"pointers of line {number}")
    _require_notices(renamed)
    return ", ".join(told)


def _require_notices(lines: Sequence[ClaimLine]) -> None:
    charges = Charge.objects.filter(pk__in=[line.charge_id for line in lines])
    exams = {c.pk: c.exam for c in charges.select_related("exam")} if lines else {}
    notices_require(
        OfExam(exam.ordered_exam_id, exam.performed_at, [(line.code, tuple(line.modifiers))])
        for line in lines
        if (exam := exams[line.charge_id]).ordered_exam_id is not None
    )


def _rename_diagnoses(claim: Claim, lines: Sequence[ClaimLine], wanted: Sequence[str]) -> None:
    """New diagnoses; each line keeps pointing to the same code where it still stands, else to the
    first.
    """
    codes = list(dict.fromkeys(plain_diagnosis(code) for code in wanted if code.strip()))
    if not codes:
        raise Refused("A claim needs at least one diagnosis.", field="diagnoses", code="missing")
    if len(codes) > MOST_DIAGNOSES:
        raise Refused(
            f"A claim takes at most {MOST_DIAGNOSES} diagnoses.", field="diagnoses", code="too_many"
        )
    places = {code: n for n, code in enumerate(codes, start=1)}
    before = list(claim.diagnoses)
    for line in lines:
        kept = [
            places[before[p - 1]]
            for p in line.pointers
            if 1 <= p <= len(before) and before[p - 1] in places
        ]
        line.pointers = kept or [1]
    claim.diagnoses = codes


def _save(claim: Claim, lines: Sequence[ClaimLine]) -> None:
    claim.version += 1
    claim.save()
    ClaimLine.objects.bulk_update(lines, ["modifiers", "pointers"])


# --- after filing ---------------------------------------------------------------------------------


@transaction.atomic
def claim_correct(
    *,
    claim: Claim,
    reason: str,
    changes: Changes | None = None,
    unprocessable: bool = False,
    actor: Actor,
    at: datetime | None = None,
) -> Correction:
    """Correct a claim the way its payer takes it (rule `replacement-or-void`).

    Unfiled or rejected: changed in place. Filed: a replacement (frequency 7) that carries the
    payer's number, judged at once; it takes the original's place when it is submitted. Original
    Medicare takes none: after MA130 (`unprocessable`, rule `unprocessable-new-claim`) a new
    original, else a reopening, which stands in a queue because nothing is sent from here. Repeating
    gives the correction that is under way.
    """
    actor.require("claim.correct", claim)
    at = at or timezone.now()
    _need(reason)
    row = _one(claim)
    changes = changes or Changes()
    if row.status in EDITABLE:
        claim_edit(claim=row, changes=changes, reason=reason, actor=actor, at=at)
        return Correction(
            Route.EDITED, row.pk, f"Claim {row.number} was changed; it had not been filed."
        )
    return _correct_filed(
        row, None, changes, reason, unprocessable=unprocessable, actor=actor, at=at
    )


@transaction.atomic
def claim_void(
    *,
    claim: Claim,
    reason: str,
    again: bool = False,
    actor: Actor,
    at: datetime | None = None,
) -> Correction:
    """Take a claim back: before filing it is void at once; afterwards by a claim of frequency 8.

    Its charges never just lie there: with `again` those of an unfiled claim go on a new claim,
    else each exam gets an item "charges without a claim" (of a filed one when the void is sent).
    """
    actor.require("claim.edit", claim)
    at = at or timezone.now()
    _need(reason)
    row = _one(claim)
    if row.status in EDITABLE:
        charges = list(row.lines.values_list("charge_id", flat=True))
        _void_unfiled(row, reason, actor=actor, at=at)
        sentence = f"Claim {row.number} is void; it had not been filed."
        made = claims_build(charge_ids=charges, actor=actor, at=at) if again else []
        claims_scrub(claim_ids=made, actor=actor, at=at)
        numbers = Claim.objects.filter(pk__in=made).order_by("id").values_list("number", flat=True)
        where = (
            f" Its charges are on claim {', '.join(numbers)}."
            if made
            else " Its charges wait in the queue of charges without a claim."
        )
        return Correction(Route.VOID, row.pk, sentence + where)
    return _correct_filed(row, [], Changes(), reason, unprocessable=False, actor=actor, at=at)


def _correct_filed(
    row: Claim,
    charges: Sequence[Charge] | None,
    changes: Changes,
    reason: str,
    *,
    unprocessable: bool,
    actor: Actor,
    at: datetime,
) -> Correction:
    """A filed claim: `charges` None keeps its lines, an empty list voids it, else they are what it
    should have carried.
    """
    voids = charges is not None and not charges
    under_way = Claim.objects.filter(replaces=row, status__in=EDITABLE).order_by("-id").first()
    if under_way is not None and charges is None:
        if changes:
            claim_edit(claim=under_way, changes=changes, reason=reason, actor=actor, at=at)
        return Correction(
            _route_of(under_way),
            under_way.pk,
            f"Claim {under_way.number} already corrects {row.number}.",
        )
    if under_way is not None:
        _void_unfiled(under_way, "A newer correction takes its place", actor=actor, at=at)
    if row.status in DEAD:
        raise Refused(
            f"Claim {row.number} is {row.get_status_display().lower()}; correct the claim that took"
            " its place.",
            code="not_allowed",
        )
    if row.status in IN_FLIGHT:
        row.extra = {**row.extra, "correct": {"reason": reason[:200], "void": voids}}
        row.save(update_fields=["extra"])
        record_steps(
            [
                step(
                    row,
                    "claim.correction_waits",
                    "Correction waits for the payer's answer",
                    reason=reason,
                )
            ],
            actor=actor,
            at=at,
        )
        return Correction(
            Route.WAITING,
            None,
            f"{row.payer.name} has not answered claim {row.number} yet; it is corrected when its"
            " number is known.",
        )
    takes = row.payer.accepts_replacement and row.payer.kind != PayerKind.MEDICARE
    if not takes:
        if unprocessable and not voids:
            require_move(row, ClaimStatus.REPLACED)
            made = _copy(row, charges, changes, reason, frequency="1", actor=actor, at=at)
            _move(
                row,
                ClaimStatus.REPLACED,
                f"A new claim {made.number} takes its place",
                actor=actor,
                at=at,
            )
            return _finish(
                made,
                Route.NEW_CLAIM,
                f"Claim {made.number} goes as a new original.",
                actor=actor,
                at=at,
            )
        return _reopen(row, reason, voids=voids, actor=actor, at=at)
    if not row.payer_control_number:
        raise Refused(
            f"The payer's number of claim {row.number} is not known, and a correction must"
            " carry it.",
            code="no_payer_number",
            field="payer_control_number",
            fix="Wait for the 277CA or remittance, or ask the payer (276).",
        )
    frequency = "8" if voids else "7"
    require_move(row, ClaimStatus.VOID if voids else ClaimStatus.REPLACED)
    made = _copy(row, charges or None, changes, reason, frequency=frequency, actor=actor, at=at)
    words = "void" if voids else "replacement"
    return _finish(
        made,
        Route.VOID if voids else Route.REPLACEMENT,
        f"Claim {made.number} is the {words} of {row.number}.",
        actor=actor,
        at=at,
    )


def _finish(made: Claim, route: Route, sentence: str, *, actor: Actor, at: datetime) -> Correction:
    claims_scrub(claim_ids=[made.pk], actor=actor, at=at)
    return Correction(route, made.pk, sentence)


def _route_of(claim: Claim) -> Route:
    return {"7": Route.REPLACEMENT, "8": Route.VOID}.get(claim.frequency, Route.NEW_CLAIM)


def _reopen(row: Claim, reason: str, *, voids: bool, actor: Actor, at: datetime) -> Correction:
    policy = policies([row.organization_id], office_day(at))[row.organization_id]
    what = "take it back" if voids else "correct it"
    title = f"{row.payer.name} takes no replacement: {what} by reopening ({reason})"
    open_items(
        [
            item(
                row,
                CORRECTIONS,
                "reopening",
                title,
                fix=REOPEN,
                at=at,
                policy=policy,
                lines=row.lines.all(),
                facts={"route": "reopening"},
            )
        ],
        actor=actor,
        at=at,
    )
    record_steps([step(row, "claim.reopening", title[:300], reason=reason)], actor=actor, at=at)
    return Correction(
        Route.REOPENING, None, f"{row.payer.name} takes no replacement claims. {REOPEN}"
    )


def _copy(
    row: Claim,
    charges: Sequence[Charge] | None,
    changes: Changes,
    reason: str,
    *,
    frequency: str,
    actor: Actor,
    at: datetime,
) -> Claim:
    """A claim in place of another: same people and payer, the same lines or those of `charges`."""
    old_lines = list(
        row.lines.select_related(
            "charge__exam__authorization", "charge__exam__ordered_exam__order"
        ).order_by("number")
    )
    made = Claim(
        organization=row.organization,
        frequency=frequency,
        replaces=row,
        corrected_deadline=row.corrected_deadline,
        extra={
            k: v
            for k, v in row.extra.items()
            if k not in ("correct", "repairs", "own_control_number")
        },
        clean_first_pass=None,
        **{
            name: getattr(row, name)
            for name in (
                "patient_id",
                "coverage_id",
                "payer_id",
                "site_id",
                "rank",
                "form",
                "primary_claim_id",
                "pos",
                "service_date",
                "diagnoses",
                "total",
                "expected",
                "authorization_number",
                "referring_npi",
                "ordering_npi",
                "rendering_npi",
                "note",
                "filing_deadline",
            )
        },
    )
    made.payer_control_number = row.payer_control_number if frequency in ("7", "8") else ""
    claims_number([made])
    if charges is not None:
        made.diagnoses = (
            list(dict.fromkeys(code for c in charges for code in diagnoses_of(c)))[:MOST_DIAGNOSES]
            or row.diagnoses
        )
        made.total = sum((c.amount for c in charges), Decimal("0.00"))
        known = [c.expected for c in charges]
        made.expected = (
            None if None in known else sum((e for e in known if e is not None), Decimal("0.00"))
        )
        made.service_date = min(c.service_date for c in charges)
        made.save(force_insert=True)
        lines = lines_of(made, charges)
        decisions_carry(made, old_lines, lines)
    else:
        made.save(force_insert=True)
        lines = [
            ClaimLine(
                organization_id=made.organization_id,
                claim=made,
                control=line_control(made, line.number),
                **{
                    name: getattr(line, name)
                    for name in (
                        "charge_id",
                        "number",
                        "code",
                        "modifiers",
                        "units",
                        "amount",
                        "expected",
                        "pointers",
                        "service_date",
                        "extra",
                    )
                },
            )
            for line in old_lines
        ]
    _apply(made, lines, changes)
    ClaimLine.objects.bulk_create(lines)
    made.save()
    charges_on_claim([line.charge_id for line in lines], actor=actor, at=at)
    words = {"7": "Replacement", "8": "Void"}.get(frequency, "New claim")
    exams = {line.charge_id: line.charge.exam_id for line in old_lines} | {
        c.pk: c.exam_id for c in charges or ()
    }
    record_steps(
        [
            *steps_of_exams(
                made,
                [exams[line.charge_id] for line in lines],
                "claim.built",
                f"{words} of claim {row.number}: {reason}"[:300],
                new=ClaimStatus.DRAFT,
                reason=reason,
            ),
            step(row, "claim.correction_made", f"{words} {made.number} made", reason=reason),
        ],
        actor=actor,
        at=at,
    )
    return made


def _void_unfiled(row: Claim, reason: str, *, actor: Actor, at: datetime) -> None:
    require_move(row, ClaimStatus.VOID)
    _move(row, ClaimStatus.VOID, "Void before filing", actor=actor, at=at, reason=reason)
    marks_free([row])
    charges_off_claim(
        row.lines.values_list("charge_id", flat=True),
        why=f"Claim {row.number} was voided before filing: {reason}",
        actor=actor,
        at=at,
    )
    close_items(
        CLAIM,
        [row.pk],
        actor=actor,
        at=at,
        outcome="Claim void",
        queues=[EDITS, REJECTIONS, FILING],
    )


def _move(
    row: Claim, status: str, sentence: str, *, actor: Actor, at: datetime, reason: str = ""
) -> None:
    old, row.status = row.status, status
    row.version += 1
    row.save(update_fields=["status", "version"])
    record_steps(
        [step(row, f"claim.{status}", sentence, old=old, new=status, reason=reason)],
        actor=actor,
        at=at,
    )


def _one(claim: Claim) -> Claim:
    rows = locked([claim.pk])
    if not rows:
        raise Refused("This claim is not known.", code="not_found", status=404)
    return rows[0]


def _need(reason: str) -> None:
    if not reason.strip():
        raise Refused("Say why the claim is changed.", field="reason", code="missing")


# --- charges that change after release ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChargesChanged:
    """What the event "charges.changed" says: charges of one exam that are void, and those that
    stand in their place.
    """

    exam_id: int
    old: Sequence[int]
    new: Sequence[int]
    reason: str


@transaction.atomic
def charges_changed(
    *,
    organization_id: int,
    changes: Sequence[ChargesChanged],
    actor: Actor,
    at: datetime | None = None,
) -> list[Correction]:
    """Bring the claims of changed exams in line: what is unsent is rebuilt, what was filed is
    replaced (7), voided (8) or reopened.

    New charges that no claim takes are built into one. Repeating changes nothing: void charges are
    on no live line any more.
    """
    at = at or timezone.now()
    exams = {c.exam_id for c in changes}
    old = {pk for c in changes for pk in c.old}
    new = {pk for c in changes for pk in c.new}
    reasons = {c.exam_id: c.reason for c in changes}
    lines = ClaimLine.objects.filter(
        Q(charge_id__in=old) | Q(charge__exam_id__in=exams), organization_id=organization_id
    )
    rows = locked(
        lines.exclude(claim__status__in=DEAD)
        .exclude(claim__frequency="8")
        .values_list("claim_id", flat=True)
    )
    by_claim: dict[int, list[ClaimLine]] = defaultdict(list)
    for line in (
        ClaimLine.objects.filter(claim_id__in=[c.pk for c in rows])
        .select_related("charge")
        .order_by("number")
    ):
        by_claim[line.claim_id].append(line)
    waiting = {
        c.pk: c
        for c in (
            Charge.objects.filter(pk__in=new, status=ChargeStatus.RELEASED)
            .select_related(
                "organization",
                "exam__site",
                "exam__coverage__payer",
                "exam__authorization",
                "exam__ordered_exam__order__ordering",
            )
            .order_by("id")
        )
    }
    done: list[Correction] = []
    for row in rows:
        own = by_claim[row.pk]
        gone = [line for line in own if line.charge_id in old]
        own_exams = {line.charge.exam_id for line in own}
        arrivals = [
            c
            for c in waiting.values()
            if c.exam_id in own_exams and c.exam.coverage_id == row.coverage_id
        ]
        if not gone and not arrivals:
            continue
        reason = next(
            (reasons[e].replace("_", " ") for e in own_exams if e in reasons), "charges changed"
        )
        if row.status in EDITABLE:
            done.append(_rebuild(row, own, gone, arrivals, reason, actor=actor, at=at))
        else:
            standing = list(
                Charge.objects.filter(pk__in=[line.charge_id for line in own if line not in gone])
                .exclude(status=ChargeStatus.VOID)
                .select_related("exam__authorization", "exam__ordered_exam__order")
                .order_by("id")
            )
            done.append(
                _correct_filed(
                    row,
                    [*standing, *arrivals],
                    Changes(),
                    reason,
                    unprocessable=False,
                    actor=actor,
                    at=at,
                )
            )
            if done[-1].route is Route.WAITING:
                charges_on_claim([c.pk for c in arrivals], actor=actor, at=at)
            if done[-1].route is Route.REOPENING:
                # never a second claim: the late charge goes with the reopening
                why = f"Late charge: ask {row.payer.name} to reopen claim {row.number} with it"
                hold_off_claim([c.pk for c in arrivals], why=why, actor=actor, at=at)
        for charge in arrivals:
            waiting.pop(charge.pk, None)
    if waiting:
        made = claims_build(charge_ids=list(waiting), actor=actor, at=at)
        claims_scrub(claim_ids=made, actor=actor, at=at)
        done += [
            Correction(Route.NEW_CLAIM, pk, "New charges stand on a claim of their own.")
            for pk in made
        ]
    return done


def _rebuild(
    row: Claim,
    own: Sequence[ClaimLine],
    gone: Sequence[ClaimLine],
    arrivals: Sequence[Charge],
    reason: str,
    *,
    actor: Actor,
    at: datetime,
) -> Correction:
    """An unsent claim loses the lines of void charges and takes the new ones; without lines it is
    void.
    """
    if len(gone) == len(own) and not arrivals:
        _void_unfiled(row, reason, actor=actor, at=at)
        return Correction(
            Route.EDITED, row.pk, f"Claim {row.number} is void: nothing is left to bill."
        )
    kept = [line for line in own if line not in gone]
    ClaimLine.objects.filter(pk__in=[line.pk for line in gone]).delete()
    codes = list(
        dict.fromkeys([*row.diagnoses, *(code for c in arrivals for code in diagnoses_of(c))])
    )
    row.diagnoses = codes[:MOST_DIAGNOSES]
    last = max((line.number for line in own), default=0)
    fresh = lines_of(row, arrivals, first=last + 1)
    ClaimLine.objects.bulk_create(fresh)
    charges_on_claim([c.pk for c in arrivals], actor=actor, at=at)
    amounts = [*kept, *fresh]
    row.total = sum((line.amount for line in amounts), Decimal("0.00"))
    known = [line.expected for line in amounts]
    row.expected = (
        None if None in known else sum((e for e in known if e is not None), Decimal("0.00"))
    )
    row.version += 1
    row.save()
    words = f"{len(gone)} lines out, {len(fresh)} in; now ${row.total:,.2f}"
    record_steps([step(row, "claim.rebuilt", words, reason=reason)], actor=actor, at=at)
    claims_scrub(claim_ids=[row.pk], actor=actor, at=at)
    return Correction(Route.EDITED, row.pk, f"Claim {row.number} was rebuilt: {words}.")


@transaction.atomic
def corrections_due(
    *, organization_id: int, actor: Actor, at: datetime | None = None
) -> list[Correction]:
    """Corrections that waited for the payer's answer and can be made now: accepted or decided, with
    the payer's number; or rejected.
    """
    at = at or timezone.now()
    rows = Claim.objects.filter(organization_id=organization_id, extra__has_key="correct").exclude(
        status__in=[*IN_FLIGHT, *DEAD]
    )
    done: list[Correction] = []
    for row in locked(rows.values_list("id", flat=True)):
        told: Mapping[str, Any] = row.extra["correct"]
        if row.status in FILED and not row.payer_control_number and row.payer.accepts_replacement:
            continue
        row.extra = {k: v for k, v in row.extra.items() if k != "correct"}
        row.save(update_fields=["extra"])
        own = list(row.lines.select_related("charge").order_by("number"))
        exams = {line.charge.exam_id for line in own}
        held = {line.charge_id for line in own}
        live = (ChargeStatus.RELEASED, ChargeStatus.BILLED)
        charges = list(
            Charge.objects.filter(
                exam_id__in=exams,
                status__in=live,
                bill_as="ours",
                exam__coverage_id=row.coverage_id,
            )
            .select_related("exam__authorization", "exam__ordered_exam__order")
            .order_by("id")
        )
        busy = set(
            ClaimLine.objects.filter(charge_id__in=[c.pk for c in charges])
            .exclude(claim=row)
            .exclude(claim__status__in=DEAD)
            .values_list("charge_id", flat=True)
        )
        wanted = (
            [] if told.get("void") else [c for c in charges if c.pk in held or c.pk not in busy]
        )
        if row.status in EDITABLE:
            gone = [line for line in own if line.charge_id not in {c.pk for c in wanted}]
            done.append(
                _rebuild(
                    row,
                    own,
                    gone,
                    [c for c in wanted if c.pk not in held],
                    str(told.get("reason", "")),
                    actor=actor,
                    at=at,
                )
            )
        else:
            done.append(
                _correct_filed(
                    row,
                    wanted,
                    Changes(),
                    str(told.get("reason", "")),
                    unprocessable=False,
                    actor=actor,
                    at=at,
                )
            )
    return done


# --- the next payer -------------------------------------------------------------------------------


@transaction.atomic
def claim_secondary(
    *, decision: PayerDecision, actor: Actor, at: datetime | None = None, scrub: bool = True
) -> Claim | None:
    """The claim to the next payer in rank, carrying the earlier one's decision line by line (loops
    2320, 2430). None without such a coverage.

    Made once for each earlier claim: while it is unsent a newer decision replaces the older,
    afterwards it stays. Who makes many judges them together afterwards (`scrub=False`).
    """
    at = at or timezone.now()
    rows = locked([decision.claim_id])
    if not rows:
        raise Refused("This claim is not known.", code="not_found", status=404)
    first = rows[0]
    if first.coverage.of_accident:
        return None
    day = first.service_date
    next_one = (
        Coverage.objects.filter(
            patient_id=first.patient_id, active=True, rank__gt=first.coverage.rank
        )
        .filter(
            Q(starts_on__isnull=True) | Q(starts_on__lte=day),
            Q(ends_on__isnull=True) | Q(ends_on__gte=day),
        )
        .exclude(payer__kind=PayerKind.SELF_PAY)
        .exclude(status="inactive")
        .select_related("payer", "plan")
        .order_by("rank")
        .first()
    )
    if next_one is None:
        return None
    lines = list(first.lines.select_related("charge__exam").order_by("number"))
    numbers = {line.pk: line.number for line in lines}
    standing = (
        Claim.objects.filter(primary_claim=first, coverage=next_one)
        .exclude(status__in=DEAD)
        .order_by("-id")
        .first()
    )
    before = _told_before(standing, first.coverage_id)
    by_line = decided_lines(decision, numbers, before)
    told = {
        "coverage_id": first.coverage_id,
        "payer": first.payer.code,
        "paid_on": decision.paid_on.isoformat(),
        "paid": str(paid_in_all(decision, by_line, before)),
        "payer_control_number": decision.payer_control_number or first.payer_control_number,
        "adjustments": [[g, r, str(a)] for g, r, a in decision.adjustments],
        "authorization": first.authorization_number,
        "lines": by_line,
    }
    every = [t for t in first.extra.get("cob", ()) if t["coverage_id"] != first.coverage_id]
    every.append(told)
    expected = next_expected(first, lines, every, next_one)
    coordination = {"cob": every, "expected_parts": expected.parts}
    authorized = own_authorizations(next_one, lines)
    authorization = next(iter(authorized.values()), "")
    if standing is not None:
        if standing.status in EDITABLE:
            standing.extra = {**standing.extra, **coordination}
            standing.filing_deadline = filing_limit(
                next_one.payer, day, rank=2, primary_on=decision.paid_on
            )
            standing.expected = expected.amount
            standing.version += 1
            standing.save(update_fields=["extra", "expected", "filing_deadline", "version"])
            if scrub:
                claims_scrub(claim_ids=[standing.pk], actor=actor, at=at)
                standing.refresh_from_db()
        return standing
    made = Claim(
        organization=first.organization,
        coverage=next_one,
        payer=next_one.payer,
        rank=next_one.rank,
        primary_claim=first,
        expected=expected.amount,
        authorization_number=authorization,
        extra={
            **{
                k: v
                for k, v in first.extra.items()
                if k in ("related_cause", "accident_date", "accident_state")
            },
            **coordination,
        },
        filing_deadline=filing_limit(next_one.payer, day, rank=2, primary_on=decision.paid_on),
        **{
            name: getattr(first, name)
            for name in (
                "patient_id",
                "site_id",
                "form",
                "pos",
                "service_date",
                "diagnoses",
                "total",
                "referring_npi",
                "ordering_npi",
                "rendering_npi",
            )
        },
    )
    claims_number([made])
    made.save(force_insert=True)
    ClaimLine.objects.bulk_create(
        [
            ClaimLine(
                organization_id=made.organization_id,
                claim=made,
                control=line_control(made, line.number),
                expected=None,
                extra=_line_extra(line, authorized.get(line.number, ""), authorization),
                **{
                    name: getattr(line, name)
                    for name in (
                        "charge_id",
                        "number",
                        "code",
                        "modifiers",
                        "units",
                        "amount",
                        "pointers",
                        "service_date",
                    )
                },
            )
            for line in lines
        ]
    )
    record_steps(
        [
            *steps_of_exams(
                made,
                [line.charge.exam_id for line in lines],
                "claim.built",
                f"Claim to {next_one.payer.name} after {first.payer.name} paid"
                f" ${decision.paid:,.2f}",
                new=ClaimStatus.DRAFT,
            ),
            step(first, "claim.forwarded", f"Claim {made.number} made for {next_one.payer.name}"),
        ],
        actor=actor,
        at=at,
    )
    if scrub:
        claims_scrub(claim_ids=[made.pk], actor=actor, at=at)
        made.refresh_from_db()
    return made


def _told_before(standing: Claim | None, coverage_id: int) -> Mapping[str, Any]:
    """What an unsent claim already tells of this coverage's decision, by line."""
    if standing is None:
        return {}
    told = [t for t in standing.extra.get("cob", ()) if t["coverage_id"] == coverage_id]
    return told[0]["lines"] if told else {}


def _line_extra(line: ClaimLine, number: str, of_claim: str) -> dict[str, Any]:
    """What a line carries to the next payer: its own facts and only that payer's authorization."""
    extra = {k: v for k, v in line.extra.items() if k != "authorization"}
    return {**extra, "authorization": number} if number != of_claim else extra
