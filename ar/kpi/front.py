# ruff: noqa: S608  every text here is declared in this package; values travel as parameters
"""Figures of the front end: coverage, authorization and money before the exam."""

from __future__ import annotations

from decimal import Decimal

from ar.kpi.base import DAYS, DONE, EXAMS, FRONT, HIGH, HOURS, LOW, PERCENT, Kpi, within

NEEDED = """EXISTS (SELECT 1 FROM authorizations_authorizedservice u
    JOIN authorizations_authorization a ON a.id = u.authorization_id
    WHERE (u.ordered_exam_id = x.ordered_exam_id OR a.id = x.authorization_id)
      AND a.status NOT IN ('not_required', 'cancelled'))"""

KPIS: tuple[Kpi, ...] = (
    Kpi(
        "eligibility_rate",
        "Insurance verified before service",
        FRONT,
        PERCENT,
        HIGH,
        "Insured exams whose coverage was verified active before the exam",
        "insured exams performed",
        "self-pay and discontinued exams",
        "HFMA insurance verification rate",
        target=Decimal("0.98"),
        rows=f"""SELECT 'exam' kind, x.id, x.site_id, v.payer_id,
            (EXISTS (SELECT 1 FROM intake_eligibilitycheck k
              WHERE k.coverage_id = v.id AND k.status = 'active'
                AND k.answered_at <= x.performed_at))::int num,
            1 den
          FROM {EXAMS} JOIN reference_payer p ON p.id = v.payer_id
          WHERE {DONE} AND p.kind <> 'self_pay'""",
    ),
    Kpi(
        "auth_before_service",
        "Authorized before service",
        FRONT,
        PERCENT,
        HIGH,
        "Exams that needed an authorization and had it granted before they began",
        "exams that needed an authorization",
        "exams whose payer said that none is required",
        "HFMA outpatient service authorization",
        target=Decimal("0.97"),
        rows=f"""SELECT 'exam' kind, x.id, x.site_id, v.payer_id,
            (EXISTS (SELECT 1 FROM authorizations_authorization a
              WHERE a.id = x.authorization_id AND a.number <> '' AND a.kind <> 'retro'
                AND a.decided_at <= x.performed_at))::int num,
            1 den
          FROM {EXAMS} WHERE {DONE} AND {NEEDED}""",
    ),
    Kpi(
        "auth_at_checkin",
        "Authorized at check-in",
        FRONT,
        PERCENT,
        HIGH,
        "Arrivals whose needed authorizations had all been granted when the patient checked in",
        "arrivals that needed an authorization",
        "visits whose payer said that none is required",
        "House, after HFMA service authorization",
        target=Decimal("0.97"),
        rows=f"""SELECT 'visit' kind, q.id, q.site_id, q.payer_id,
            (q.waiting = 0)::int num, 1 den
          FROM (SELECT p.id, p.site_id, min(a.payer_id) payer_id,
              count(*) FILTER (WHERE a.number = '' OR a.kind = 'retro'
                OR a.decided_at IS NULL OR a.decided_at > e.at) waiting
            FROM audit_event e
            JOIN intake_orderedexam o ON o.id = e.ordered_exam_id
            JOIN intake_appointment p ON p.id = o.appointment_id
            JOIN accounts_site s ON s.id = p.site_id
            JOIN authorizations_authorizedservice u ON u.ordered_exam_id = o.id
            JOIN authorizations_authorization a ON a.id = u.authorization_id
              AND a.status NOT IN ('not_required', 'cancelled')
            WHERE e.organization_id = ANY(%(orgs)s) AND e.verb = 'appointment.arrived'
              AND {within("e.at")}
            GROUP BY p.id, p.site_id) q""",
    ),
    Kpi(
        "auth_turnaround_ours",
        "Authorization turnaround, ours",
        FRONT,
        HOURS,
        LOW,
        "Hours from the order to our request",
        "authorizations requested",
        "requests entered before their order, and those without an order",
        "House",
        target=Decimal(24),
        rows=f"""SELECT 'authorization' kind, q.id, q.site_id, q.payer_id,
            round(extract(epoch FROM q.requested_at - q.ordered_at)::numeric / 3600, 2) num, 1 den
          FROM (SELECT a.id, a.site_id, a.payer_id, a.requested_at, min(o.ordered_at) ordered_at
            FROM authorizations_authorization a
            JOIN accounts_site s ON s.id = a.site_id
            JOIN authorizations_authorizedservice u ON u.authorization_id = a.id
            JOIN intake_orderedexam oe ON oe.id = u.ordered_exam_id
            JOIN intake_order o ON o.id = oe.order_id
            WHERE a.organization_id = ANY(%(orgs)s) AND {within("a.requested_at")}
              AND a.status NOT IN ('not_required', 'cancelled')
            GROUP BY a.id, a.site_id, a.payer_id, a.requested_at) q
          WHERE q.requested_at >= q.ordered_at""",
    ),
    Kpi(
        "auth_turnaround_theirs",
        "Authorization turnaround, the payer's",
        FRONT,
        DAYS,
        LOW,
        "Days from our request to the payer's decision",
        "authorizations decided",
        "requests without a decision",
        "House; 42 CFR 422.568 and 438.210 limit the payers of Medicare Advantage and Medicaid",
        target=Decimal(3),
        rows=f"""SELECT 'authorization' kind, a.id, a.site_id, a.payer_id,
            round(extract(epoch FROM a.decided_at - a.requested_at)::numeric / 86400, 2) num, 1 den
          FROM authorizations_authorization a JOIN accounts_site s ON s.id = a.site_id
          WHERE a.organization_id = ANY(%(orgs)s) AND {within("a.decided_at")}
            AND a.requested_at <= a.decided_at
            AND a.status NOT IN ('not_required', 'cancelled')""",
    ),
    Kpi(
        "pos_cash",
        "Collected by the day of service",
        FRONT,
        PERCENT,
        HIGH,
        "Patient payments received on or before the day of an exam (within a week)",
        "all patient payments received",
        "voided payments",
        "HFMA point-of-service cash",
        target=Decimal("0.30"),
        version=2,
        rows="""SELECT 'payment' kind, m.id, x.site_id, NULL::bigint payer_id,
            CASE WHEN x.id IS NULL THEN 0 ELSE m.amount END num, m.amount den
          FROM ar_patientpayment m
          LEFT JOIN LATERAL (SELECT z.id, z.site_id FROM charges_exam z
            WHERE z.patient_id = m.patient_id
              AND z.service_date BETWEEN m.received_on AND m.received_on + 7
            ORDER BY z.service_date, z.id LIMIT 1) x ON true
          LEFT JOIN accounts_site s ON s.id = x.site_id
          WHERE m.organization_id = ANY(%(orgs)s) AND m.received_on BETWEEN %(first)s AND %(day)s
            AND (m.voided_at IS NULL
              OR (m.voided_at AT TIME ZONE coalesce(s.time_zone, %(zone)s))::date > %(day)s)""",
    ),
)
