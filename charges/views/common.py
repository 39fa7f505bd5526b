"""What the screens of the mid-cycle share: who asks, the exam with its thread, columns."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from charges import present
from charges.models import (
    Exam,
    ExamStatus,
)
from rcm.web import format as fmt
from rcm.web.access import actor_of, found
from rcm.web.keyset import Key
from rcm.web.lists import Column, Order

THREAD = (
    "patient",
    "site__organization",
    "coverage__payer",
    "coverage__plan",
    "authorization",
    "reader__provider",
    "reader__group",
    "ordered_exam__order__ordering",
)


def exams_of(request: HttpRequest) -> QuerySet[Exam]:
    return Exam.objects.visible_to(actor_of(request)).select_related(*THREAD)


def first_hold(exam: Exam) -> str:
    return exam.holds[0]["sentence"] if exam.holds else exam.no_bill_reason


PATIENT = Column(
    "patient",
    "Patient",
    "patient.name",
    kind="strong",
    width="who",
    link=True,
    second=lambda e: f"{fmt.mdy(e.patient.born_on)} {e.patient.mrn}",
    second_kind="code",
)
EXAM = Column(
    "exam", "Exam", "code", kind="code", width="acc", second="accession", second_kind="code"
)
PAYER = Column(
    "payer",
    "Payer",
    lambda e: e.coverage.payer.name if e.coverage else "none",
    width="payer",
    fold=True,
    second="site.name",
)
STATUS = Column(
    "status",
    "Status",
    lambda e: (e.get_status_display(), present.TONES[ExamStatus(e.status)]),
    kind="tag",
    width="tag",
)
EXPECTED = Column("expected", "Expected", "expected", kind="money", width="money", order="expected")
LIMIT = Column(
    "limit", "File by", "filing_deadline", kind="deadline", width="moment", order="deadline"
)
ORDERS = (
    Order("deadline", "filing limit", (Key("filing_deadline", nulls="last"), "pk")),
    Order("day", "newest exam first", ("-service_date", "-pk")),
    Order("expected", "expected payment", (Key("expected", descending=True, nulls="last"), "pk")),
)


def exam_link(exam: Exam) -> str:
    return reverse("charges:exam", args=[exam.public_id])


def exam_of(request: HttpRequest, public_id: str) -> Exam:
    return found(exams_of(request), public_id=public_id)
