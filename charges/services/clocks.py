"""Clocks and control totals of the mid-cycle: late reports, and the proof that every completed exam
is explained.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import (
    Count,
    Exists,
    Func,
    JSONField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
)
from django.utils import timezone

from charges.assembly import UNSIGNED
from charges.loading import Policies
from charges.models import AccessionProof, Charge, ChargeStatus, Exam, ExamStatus
from charges.services.evaluation import exams_evaluate
from charges.services.release import CHANGED, OFF_CLAIM, RELEASED
from rcm.accounts.actor import Actor
from rcm.accounts.models import Site
from rcm.exchange.models import Outbox
from rcm.worklist.models import ItemStatus, WorkItem
from rcm.worklist.services import item_escalate

WAITING = (ExamStatus.PERFORMED, ExamStatus.PRELIMINARY)
LIVE = (ChargeStatus.RELEASED, ChargeStatus.BILLED)


def unsigned_refresh(*, actor: Actor, at: datetime | None = None) -> int:
    """Open an item for each report that is late, raise its level as the hours pass, and escalate it
    at the second clock (rule `unsigned-clock`).

    Returns the number of exams without a final report past the first clock.
    """
    at = at or timezone.now()
    policies = Policies(actor.organizations)
    late = []
    for exam in (
        Exam.objects.filter(
            organization_id__in=actor.organizations, status__in=WAITING, performed_at__lte=at
        )
        .select_related("site")
        .order_by("pk")
    ):
        policy = policies.of(exam.site, exam.service_date)
        if at - exam.performed_at >= dt.timedelta(hours=policy.warn_hours):
            late.append(
                (exam, at - exam.performed_at >= dt.timedelta(hours=policy.escalate_hours), policy)
            )
    exams_evaluate(exam_ids=[e.pk for e, _, _ in late], actor=actor, at=at)
    _escalate(
        {e.pk: policy.escalate_hours for e, escalate, policy in late if escalate},
        actor=actor,
        at=at,
    )
    return len(late)


@transaction.atomic
def _escalate(hours: dict[int, int], *, actor: Actor, at: datetime) -> None:
    items = WorkItem.objects.filter(
        queue=UNSIGNED,
        subject_type="exam",
        subject_id__in=hours,
        status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
        escalated_at__isnull=True,
    )
    for item in items.select_for_update():
        item_escalate(
            item=item,
            actor=actor,
            reason=f"No final report {hours[item.subject_id]} hours after the exam",
            at=at,
        )


@dataclass(frozen=True, slots=True)
class Control:
    """The control total of one site and day. What is performed ends as one of the others."""

    site_id: int
    day: dt.date
    performed: int
    claimed: int
    self_pay: int
    no_bill: int
    waiting: int
    held: int
    adrift: Decimal = Decimal("0.00")
    """Dollars of released charges that are on no claim and that nobody has in hand."""

    @property
    def unexplained(self) -> int:
        return (
            self.performed - self.claimed - self.self_pay - self.no_bill - self.waiting - self.held
        )


def accession_control(
    *, actor: Actor, first: dt.date, last: dt.date, sites: Iterable[int] = ()
) -> list[Control]:
    """Completed exams by site and day, and where each stands: on the way to a claim, self-pay, no
    bill with a reason, waiting for its report, or held by a named cause (rule `accession-control`).
    One query.
    """
    rows = explained(
        Exam.objects.visible_to(actor)
        .filter(service_date__range=(first, last))
        .exclude(status=ExamStatus.IN_PROGRESS)
    )
    if sites:
        rows = rows.filter(site_id__in=list(sites))
    totals = rows.values("site_id", "service_date").annotate(
        performed=Count("pk"),
        claimed=Count("pk", filter=CLAIMED),
        self_pay=Count("pk", filter=SELF_PAY),
        no_bill=Count("pk", filter=NO_BILL),
        waiting=Count("pk", filter=UNREAD),
        held=Count("pk", filter=HELD),
        adrift=Sum("adrift_amount", filter=ADRIFT),
    )
    return [
        Control(
            t["site_id"],
            t["service_date"],
            t["performed"],
            t["claimed"],
            t["self_pay"],
            t["no_bill"],
            t["waiting"],
            t["held"],
            t["adrift"] or Decimal("0.00"),
        )
        for t in totals.order_by("-service_date", "site_id")
    ]


def explained(rows: QuerySet[Exam]) -> QuerySet[Exam]:
    """Exams with what their explanation is read from.

    A released charge that is on no claim yet is explained while the event that builds its claim is
    on its way, and while an item of the queue "charges without a claim" has an owner for it.
    """
    charges = Charge.objects.filter(exam_id=OuterRef("pk"))
    loose = charges.filter(status=ChargeStatus.RELEASED, bill_as="ours")
    item = WorkItem.objects.filter(
        subject_type=OFF_CLAIM,
        subject_id=OuterRef("pk"),
        status__in=[ItemStatus.OPEN, ItemStatus.PENDED],
    )
    number = Func(OuterRef("pk"), function="to_jsonb", output_field=JSONField())
    event = Outbox.objects.filter(
        Q(payload__exam_ids__contains=number) | Q(payload__exam_id=number),
        topic__in=[RELEASED, CHANGED],
        delivered_at__isnull=True,
        parked_at__isnull=True,
    )
    amount = loose.order_by().values("exam_id").annotate(sum=Sum("amount")).values("sum")
    return rows.annotate(
        on_claim=Exists(charges.filter(status__in=LIVE)),
        for_patient=Exists(charges.filter(status=ChargeStatus.SELF_PAY)),
        ready=Exists(charges.filter(status=ChargeStatus.HELD)),
        loose=Exists(loose),
        owned=Exists(item),
        under_way=Exists(event),
        adrift_amount=Subquery(amount),
    )


ADRIFT = Q(status=ExamStatus.RELEASED, loose=True, owned=False, under_way=False)
CLAIMED = Q(status=ExamStatus.RELEASED, on_claim=True) & (
    Q(loose=False) | Q(owned=False, under_way=True)
)
SELF_PAY = Q(status=ExamStatus.RELEASED, on_claim=False, for_patient=True)
NO_BILL = Q(status=ExamStatus.NO_BILL) & ~Q(no_bill_reason="")
UNREAD = Q(status__in=[*WAITING, ExamStatus.DISCONTINUED]) & Q(
    holds__contains=[{"code": "NO_FINAL_REPORT"}]
)
HELD = (
    (
        Q(status__in=[*WAITING, ExamStatus.DISCONTINUED, ExamStatus.FINAL, ExamStatus.CODED])
        & ~Q(holds=[])
        & ~(
            Q(status__in=[*WAITING, ExamStatus.DISCONTINUED])
            & Q(holds__contains=[{"code": "NO_FINAL_REPORT"}])
        )
    )
    | Q(status=ExamStatus.CODED, ready=True)
    | Q(status=ExamStatus.RELEASED, loose=True, owned=True)
)
UNEXPLAINED = ~(CLAIMED | SELF_PAY | NO_BILL | UNREAD | HELD)


@transaction.atomic
def accession_proof(
    *, day: dt.date, actor: Actor, at: datetime | None = None
) -> list[AccessionProof]:
    """Keep the control total of a day for every site as it stands now. An exam that is explained by
    nothing is evaluated once more first.
    """
    at = at or timezone.now()
    open_exams = explained(
        Exam.objects.filter(organization_id__in=actor.organizations, service_date=day).exclude(
            status=ExamStatus.IN_PROGRESS
        )
    )
    # evaluating again cannot help a charge that fell off its claim
    stray = list(open_exams.filter(UNEXPLAINED).exclude(ADRIFT).values_list("pk", flat=True))
    exams_evaluate(exam_ids=stray, actor=actor, at=at)
    owners = dict(
        Site.objects.filter(organization_id__in=actor.organizations).values_list(
            "pk", "organization_id"
        )
    )
    rows = [
        AccessionProof(
            organization_id=owners[c.site_id],
            site_id=c.site_id,
            day=c.day,
            proven_at=at,
            performed=c.performed,
            claimed=c.claimed,
            self_pay=c.self_pay,
            no_bill=c.no_bill,
            waiting=c.waiting,
            held=c.held,
            unexplained=c.unexplained,
            adrift=c.adrift,
        )
        for c in accession_control(actor=actor, first=day, last=day)
    ]
    return AccessionProof.objects.bulk_create(rows)
