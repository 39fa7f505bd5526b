"""Charges that stand on no live claim: nobody bills them until somebody decides, so each has an
item with an owner and its dollars.

A charge is explained when it stands on a live claim, is held, is self-pay or void, or when its exam
has an open item here. Everything else is a breach that accession control and `manage.py prove` show
in dollars.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet

from charges.models import Charge, ChargeStatus
from charges.services.release import OFF_CLAIM
from claims.models import ClaimLine, ClaimStatus
from claims.services.steps import OFF_CLAIM_QUEUE
from claims.sheets import policies
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.audit.services import Step, record_steps
from rcm.worklist.services import ItemSpec, close_items, open_items

DEAD = (ClaimStatus.VOID, ClaimStatus.REPLACED)


def live_lines() -> QuerySet[ClaimLine]:
    """Lines of claims that ask a payer for money: not void, not replaced, not themselves a void."""
    return ClaimLine.objects.exclude(claim__status__in=DEAD).exclude(claim__frequency="8")


def charges_on_claim(charge_ids: Iterable[int], *, actor: Actor, at: datetime) -> None:
    """Released charges that stand on a claim from now on; their item closes."""
    rows = Charge.objects.filter(pk__in=list(charge_ids))
    rows.filter(status=ChargeStatus.RELEASED).update(status=ChargeStatus.BILLED)
    exams = set(rows.values_list("exam_id", flat=True))
    loose = set(
        Charge.objects.filter(
            exam_id__in=exams, status=ChargeStatus.RELEASED, bill_as="ours"
        ).values_list("exam_id", flat=True)
    )
    close_items(OFF_CLAIM, exams - loose, actor=actor, at=at, outcome="On a claim again")


@transaction.atomic
def charges_off_claim(
    charge_ids: Iterable[int], *, why: str, actor: Actor, at: datetime
) -> list[int]:
    """Charges whose claim no longer asks for them: released again, with an item for each exam.

    `why` is the sentence of the item. Charges that another live claim carries stay where they are.
    Returns the charges that stand on no claim now.
    """
    wanted = set(charge_ids)
    busy = set(live_lines().filter(charge_id__in=wanted).values_list("charge_id", flat=True))
    loose = Charge.objects.filter(pk__in=wanted - busy)
    loose.filter(status=ChargeStatus.BILLED).update(status=ChargeStatus.RELEASED)
    ids = list(
        loose.filter(status=ChargeStatus.RELEASED, bill_as="ours").values_list("pk", flat=True)
    )
    hold_off_claim(ids, why=why, actor=actor, at=at)
    return ids


def hold_off_claim(charge_ids: Sequence[int], *, why: str, actor: Actor, at: datetime) -> int:
    """Give the exams of these charges an item: why nobody bills them, what to do, their dollars."""
    charges = list(
        Charge.objects.filter(pk__in=charge_ids)
        .select_related("exam__patient", "exam__site", "exam__coverage__payer")
        .order_by("id")
    )
    if not charges:
        return 0
    organizations = {c.organization_id for c in charges}
    policy = policies(organizations, office_day(at))
    by_exam: dict[int, list[Charge]] = defaultdict(list)
    for charge in charges:
        by_exam[charge.exam_id].append(charge)
    specs = []
    for own in by_exam.values():
        exam = own[0].exam
        payer = exam.coverage.payer if exam.coverage else None
        dollars = sum((c.expected if c.expected is not None else c.amount for c in own), Decimal(0))
        specs.append(
            ItemSpec(
                organization_id=exam.organization_id,
                queue=OFF_CLAIM_QUEUE,
                subject_type=OFF_CLAIM,
                subject_id=exam.pk,
                cause="off_claim",
                title=why[:200],
                fix="Bill again, or decide that it is not billed.",
                due_at=policy[exam.organization_id].work_due(at, exam.filing_deadline),
                dollars=dollars,
                deadline_on=exam.filing_deadline,
                site_id=exam.site_id,
                patient_id=exam.patient_id,
                patient_name=exam.patient.name,
                exam_id=exam.pk,
                payer_id=payer.pk if payer else None,
                payer_name=payer.name if payer else "",
                facts={
                    "accession": exam.accession,
                    "service_date": exam.service_date.isoformat(),
                    "exam": ", ".join("-".join([c.code, *c.modifiers[:1]]) for c in own[:3]),
                    "total": str(sum((c.amount for c in own), Decimal(0))),
                },
            )
        )
    record_steps(
        [
            Step(
                own[0].organization_id,
                "charges.off_claim",
                f"On no claim: {why}"[:300],
                {"exam_id": exam_id, "patient_id": own[0].patient_id},
                data={"charges": [c.pk for c in own]},
            )
            for exam_id, own in by_exam.items()
        ],
        actor=actor,
        at=at,
    )
    return open_items(specs, actor=actor, at=at)
