"""What fell off its claim, or never reached one, is billed again or finds its owner."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from charges.models import Charge, ChargeStatus, Exam
from charges.services.release import OFF_CLAIM
from claims.models import Claim, ClaimLine
from claims.services.building import claims_build, lines_of
from claims.services.offclaim import DEAD, charges_off_claim, charges_on_claim, live_lines
from claims.services.scrubbing import claims_scrub
from claims.services.steps import CLAIM, CORRECTIONS, locked, steps_of_exams
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import record_steps
from rcm.reference.models import PayerKind
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import close_items

SETTLING = timedelta(hours=1)
"""What was released within this hour may still be on its way to its claim."""


@transaction.atomic
def exam_bill_again(*, exam: Exam, actor: Actor, at: datetime | None = None) -> list[int]:
    """Put an exam's released charges on a claim again and judge it; returns the claims.

    Needs `claim.edit`. Refused when no charge of the exam waits for a claim.
    """
    actor.require("claim.edit", exam)
    at = at or timezone.now()
    standing = reopenable(exam)
    if standing is not None:
        raise Refused(
            f"Claim {standing.number} of this exam is with {standing.payer.name}, which takes late"
            " charges by reopening only: a second claim would be denied as a duplicate.",
            code="reopen",
            fix="Ask for the reopening, then record that it was taken.",
            status=409,
        )
    made = claims_build(exam_ids=[exam.pk], actor=actor, at=at)
    if not made:
        raise Refused(
            "No charge of this exam waits for a claim.",
            code="nothing_to_bill",
            fix="Look at the exam: its charges are held, void or on a claim.",
            status=409,
        )
    claims_scrub(claim_ids=made, actor=actor, at=at)
    return made


def reopenable(exam: Exam) -> Claim | None:
    """The filed claim of an exam whose payer takes corrections by reopening only; None otherwise."""
    line = (
        live_lines()
        .filter(charge__exam=exam, claim__first_submitted_at__isnull=False, claim__rank=1)
        .select_related("claim__payer")
        .order_by("-id")
        .first()
    )
    if line is None:
        return None
    payer = line.claim.payer
    takes = payer.accepts_replacement and payer.kind != PayerKind.MEDICARE
    return None if takes else line.claim


@transaction.atomic
def exam_reopened(*, exam: Exam, actor: Actor, at: datetime | None = None) -> Claim:
    """Record that the payer took the late charges of an exam by reopening its claim
    (rule `late-charge`): they stand on
    that claim from now on. Needs `claim.edit`.
    """
    actor.require("claim.edit", exam)
    at = at or timezone.now()
    found = reopenable(exam)
    charges = list(
        Charge.objects.select_for_update()
        .filter(exam=exam, status=ChargeStatus.RELEASED, bill_as="ours")
        .order_by("id")
    )
    if found is None or not charges:
        raise Refused("No late charge of this exam waits for a reopening.", code="gone", status=409)
    (claim,) = locked([found.pk])
    last = claim.lines.order_by("-number").values_list("number", flat=True).first() or 0
    ClaimLine.objects.bulk_create(lines_of(claim, charges, first=last + 1))
    claim.total += sum((c.amount for c in charges), Decimal("0.00"))
    claim.version += 1
    claim.save(update_fields=["total", "version"])
    charges_on_claim([c.pk for c in charges], actor=actor, at=at)
    words = f"{claim.payer.name} reopened it with {len(charges)} late charges"
    record_steps(steps_of_exams(claim, [exam.pk], "claim.reopened", words), actor=actor, at=at)
    close_items(
        CLAIM, [claim.pk], actor=actor, at=at, queues=[CORRECTIONS], outcome="Taken by reopening"
    )
    return claim


@transaction.atomic
def off_claim_refresh(
    *, organization_id: int, actor: Actor, at: datetime | None = None
) -> tuple[int, int]:
    """Find charges that fell off their claims, or never reached one, and give each a home.

    A charge that was never on any claim is built into one: the event that should have done it was
    lost. One whose claim is void waits for a person. Returns (claims made, items opened).
    """
    at = at or timezone.now()
    loose = (
        Charge.objects.filter(
            organization_id=organization_id,
            status__in=[ChargeStatus.RELEASED, ChargeStatus.BILLED],
            bill_as="ours",
            released_at__lte=at - SETTLING,
        )
        .exclude(Exists(live_lines().filter(charge_id=OuterRef("pk"))))
        .exclude(Exists(_waiting_corrections()))
        .annotate(known=Exists(ClaimLine.objects.filter(charge_id=OuterRef("pk"))))
    )
    owned = WorkItem.objects.filter(
        organization_id=organization_id,
        subject_type=OFF_CLAIM,
        status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
    ).values("subject_id")
    found = list(
        loose.exclude(exam_id__in=owned).order_by("pk").values_list("pk", "known", "status")[:500]
    )
    never = [pk for pk, known, status in found if not known and status == ChargeStatus.RELEASED]
    made = claims_build(charge_ids=never, actor=actor, at=at) if never else []
    claims_scrub(claim_ids=made, actor=actor, at=at)
    rest = [pk for pk, *_ in found if pk not in set(never)]
    opened = charges_off_claim(
        rest, why="Its claim is void and nothing took its place", actor=actor, at=at
    )
    return len(made), len(opened)


def _waiting_corrections() -> QuerySet[ClaimLine]:
    """Lines of the same exam on claims whose correction waits for the payer's answer: the late
    charge goes with it.
    """
    return ClaimLine.objects.filter(
        charge__exam_id=OuterRef("exam_id"), claim__extra__has_key="correct"
    ).exclude(claim__status__in=DEAD)
