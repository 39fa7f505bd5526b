"""Receivables: governed write-offs, refunds, patient balance, statements, snapshots of aging and
KPI.
"""

from __future__ import annotations

from ar.models.accuracy import AuditCase, AuditReading, AuditSample
from ar.models.agency import (
    BATCH_MOVES,
    Agency,
    AgencyBatch,
    AgencyFee,
    AgencyPayment,
    BatchStatus,
    Placement,
    PlacementStatus,
)
from ar.models.assistance import (
    ASSISTANCE_MOVES,
    Assistance,
    AssistancePaper,
    AssistanceStatus,
    SlidingScale,
)
from ar.models.delivery import (
    Channel,
    ChannelChoice,
    MailBatch,
    SentStatus,
    StatementDelivery,
)
from ar.models.holds import AccountHold, HoldKind
from ar.models.patients import (
    PLAN_MOVES,
    PatientPayment,
    PaymentPlan,
    PlanExam,
    PlanStatus,
    Statement,
)
from ar.models.policy import ReceivablePolicy
from ar.models.reports import (
    Alert,
    DayClose,
    Delivery,
    MonthClose,
    ProofRun,
    Report,
    ReportKind,
    Subscription,
    SubscriptionKind,
    Threshold,
)
from ar.models.requests import Refund, RequestStatus, WriteOffRequest
from ar.models.snapshots import AgingSnapshot, KpiSnapshot, KpiTarget
from ar.models.states import NUMERIC_TOPICS, StateFact, StateTopic
from ar.models.work import RoleCost, Shift, StaffPlan, WorkBaseline

__all__ = [
    "ASSISTANCE_MOVES",
    "BATCH_MOVES",
    "NUMERIC_TOPICS",
    "PLAN_MOVES",
    "AccountHold",
    "Agency",
    "AgencyBatch",
    "AgencyFee",
    "AgencyPayment",
    "AgingSnapshot",
    "Alert",
    "Assistance",
    "AssistancePaper",
    "AssistanceStatus",
    "AuditCase",
    "AuditReading",
    "AuditSample",
    "BatchStatus",
    "Channel",
    "ChannelChoice",
    "DayClose",
    "Delivery",
    "HoldKind",
    "KpiSnapshot",
    "KpiTarget",
    "MailBatch",
    "MonthClose",
    "PatientPayment",
    "PaymentPlan",
    "Placement",
    "PlacementStatus",
    "PlanExam",
    "PlanStatus",
    "ProofRun",
    "ReceivablePolicy",
    "Refund",
    "Report",
    "ReportKind",
    "RequestStatus",
    "RoleCost",
    "SentStatus",
    "Shift",
    "SlidingScale",
    "StaffPlan",
    "StateFact",
    "StateTopic",
    "Statement",
    "StatementDelivery",
    "Subscription",
    "SubscriptionKind",
    "Threshold",
    "WorkBaseline",
    "WriteOffRequest",
]
