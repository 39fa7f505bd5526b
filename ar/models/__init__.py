"""Receivables: governed write-offs, refunds, patient balance, statements, snapshots of aging and
KPI.
"""

from __future__ import annotations

from ar.models.patients import PLAN_MOVES, PatientPayment, PaymentPlan, PlanStatus, Statement
from ar.models.policy import ReceivablePolicy
from ar.models.requests import Refund, RequestStatus, WriteOffRequest
from ar.models.snapshots import AgingSnapshot, KpiSnapshot, KpiTarget

__all__ = [
    "PLAN_MOVES",
    "AgingSnapshot",
    "KpiSnapshot",
    "KpiTarget",
    "PatientPayment",
    "PaymentPlan",
    "PlanStatus",
    "ReceivablePolicy",
    "Refund",
    "RequestStatus",
    "Statement",
    "WriteOffRequest",
]
