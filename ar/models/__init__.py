"""Receivables: governed write-offs, refunds, patient balance, statements, snapshots of aging and
KPI.
"""

from __future__ import annotations

from ar.models.accuracy import AuditCase, AuditReading, AuditSample
from ar.models.patients import PLAN_MOVES, PatientPayment, PaymentPlan, PlanStatus, Statement
from ar.models.policy import ReceivablePolicy
from ar.models.requests import Refund, RequestStatus, WriteOffRequest
from ar.models.snapshots import AgingSnapshot, KpiSnapshot, KpiTarget
from ar.models.states import NUMERIC_TOPICS, StateFact, StateTopic
from ar.models.work import RoleCost, Shift, StaffPlan, WorkBaseline

__all__ = [
    "NUMERIC_TOPICS",
    "PLAN_MOVES",
    "AgingSnapshot",
    "AuditCase",
    "AuditReading",
    "AuditSample",
    "KpiSnapshot",
    "KpiTarget",
    "PatientPayment",
    "PaymentPlan",
    "PlanStatus",
    "ReceivablePolicy",
    "Refund",
    "RequestStatus",
    "RoleCost",
    "Shift",
    "StaffPlan",
    "StateFact",
    "StateTopic",
    "Statement",
    "WorkBaseline",
    "WriteOffRequest",
]
