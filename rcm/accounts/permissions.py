"""Who may do what: one table of permission codes by role (rules `separation-of-duties` and
`minimum-necessary`).

A permission says *what*; the tenant scope (`visible_to`) says *on whose rows*. Segregation of
duties is in this table: a poster approves no write-off, a biller changes no signed report, a
scheduler sees no denial dollars.
"""

from __future__ import annotations

from django.db import models


class Role(models.TextChoices):
    FRONT_DESK = "front_desk", "Front desk"
    AUTHORIZATION = "authorization", "Authorization coordinator"
    CODER = "coder", "Coder"
    BILLER = "biller", "Biller"
    POSTER = "poster", "Payment poster"
    AR = "ar", "A/R specialist"
    MANAGER = "manager", "Manager"
    COMPLIANCE = "compliance", "Compliance officer"
    ADMIN = "admin", "Administrator"
    PARTNER = "partner", "Partner system"


R = Role
_CARE = {R.FRONT_DESK, R.AUTHORIZATION, R.CODER, R.BILLER, R.POSTER, R.AR, R.MANAGER, R.COMPLIANCE}
_MONEY = {R.BILLER, R.POSTER, R.AR, R.MANAGER, R.COMPLIANCE}

PERMISSIONS: dict[str, frozenset[Role]] = {
    code: frozenset(roles)
    for code, roles in {
        # front end
        "patient.view": _CARE,
        "patient.edit": {R.FRONT_DESK, R.AUTHORIZATION, R.BILLER, R.MANAGER},
        "patient.merge": {R.FRONT_DESK, R.MANAGER},
        "clearance.view": {R.FRONT_DESK, R.AUTHORIZATION, R.MANAGER, R.COMPLIANCE},
        "order.edit": {R.FRONT_DESK, R.AUTHORIZATION, R.MANAGER},
        "appointment.edit": {R.FRONT_DESK, R.AUTHORIZATION, R.MANAGER},
        "eligibility.run": {R.FRONT_DESK, R.AUTHORIZATION, R.BILLER, R.AR, R.MANAGER},
        "payment.collect": {R.FRONT_DESK, R.POSTER, R.MANAGER},
        # each waiver stands with its reason: routine waivers of cost sharing are unlawful
        "payment.waive": {R.FRONT_DESK, R.MANAGER},
        # authorization
        "authorization.view": {
            R.FRONT_DESK,
            R.AUTHORIZATION,
            R.CODER,
            R.BILLER,
            R.AR,
            R.MANAGER,
            R.COMPLIANCE,
        },
        "authorization.edit": {R.AUTHORIZATION, R.MANAGER},
        "authorization.override": {R.AUTHORIZATION, R.MANAGER},
        # mid-cycle
        "exam.view": {
            R.FRONT_DESK,
            R.AUTHORIZATION,
            R.CODER,
            R.BILLER,
            R.AR,
            R.MANAGER,
            R.COMPLIANCE,
        },
        "report.view": {R.CODER, R.BILLER, R.AR, R.MANAGER, R.COMPLIANCE},
        "charge.review": {R.CODER, R.MANAGER},
        "charge.view": {R.CODER, R.BILLER, R.AR, R.MANAGER, R.COMPLIANCE},
        # claims
        "claim.view": _MONEY | {R.CODER},
        "claim.edit": {R.BILLER, R.MANAGER},
        "claim.correct": {R.BILLER, R.AR, R.MANAGER},
        "claim.submit": {R.BILLER, R.MANAGER},
        "claim.override": {R.BILLER, R.MANAGER},
        "edit.view": _MONEY | {R.CODER, R.ADMIN},
        # remittance
        "remittance.view": _MONEY,
        "remittance.post": {R.POSTER, R.MANAGER},
        "denial.view": {R.BILLER, R.AR, R.MANAGER, R.COMPLIANCE},
        "denial.work": {R.BILLER, R.AR, R.MANAGER},
        # receivables
        "account.view": _MONEY | {R.FRONT_DESK},
        "followup.view": {R.AR, R.BILLER, R.MANAGER, R.COMPLIANCE},
        "followup.work": {R.AR, R.BILLER, R.MANAGER},
        "writeoff.request": {R.AR, R.BILLER},
        "writeoff.approve": {R.MANAGER, R.COMPLIANCE},
        "refund.request": {R.AR, R.POSTER},
        "refund.approve": {R.MANAGER, R.COMPLIANCE},
        "statement.send": {R.AR, R.MANAGER},
        # management and platform
        "kpi.view": {R.MANAGER, R.COMPLIANCE, R.AR, R.BILLER},
        "rules.view": {
            R.AUTHORIZATION,
            R.CODER,
            R.BILLER,
            R.POSTER,
            R.AR,
            R.MANAGER,
            R.COMPLIANCE,
            R.ADMIN,
        },
        "rules.edit": {R.MANAGER, R.ADMIN},
        "price.view": {
            R.FRONT_DESK,
            R.AUTHORIZATION,
            R.CODER,
            R.BILLER,
            R.POSTER,
            R.AR,
            R.MANAGER,
            R.COMPLIANCE,
            R.ADMIN,
        },
        "work.view": _CARE,
        "work.touch": _CARE - {R.COMPLIANCE},
        "work.assign": {R.MANAGER},
        "exchange.view": {R.BILLER, R.POSTER, R.MANAGER, R.COMPLIANCE, R.ADMIN},
        "webhook.edit": {R.MANAGER, R.ADMIN},
        "exchange.replay": {R.BILLER, R.MANAGER, R.ADMIN},
        "accuracy.view": {R.CODER, R.BILLER, R.AR, R.MANAGER, R.COMPLIANCE},
        "accuracy.plan": {R.MANAGER, R.COMPLIANCE},
        "accuracy.read": {R.CODER, R.BILLER, R.MANAGER, R.COMPLIANCE},
        "accuracy.names": {R.MANAGER, R.COMPLIANCE},
        "states.view": {R.BILLER, R.AR, R.MANAGER, R.COMPLIANCE},
        "cost.view": {R.MANAGER, R.COMPLIANCE},
        "cost.edit": {R.MANAGER},
        "staff.view": _CARE,
        "month.close": {R.MANAGER},
        "day.close": {R.POSTER, R.MANAGER},
        "automation.view": {R.BILLER, R.POSTER, R.AR, R.MANAGER, R.COMPLIANCE, R.ADMIN},
        "automation.switch": {R.MANAGER, R.ADMIN},
        "jobs.view": {R.BILLER, R.POSTER, R.AR, R.MANAGER, R.COMPLIANCE, R.ADMIN},
        "jobs.run": {R.MANAGER, R.ADMIN},
        "audit.view": {R.COMPLIANCE},
        "users.manage": {R.ADMIN},
    }.items()
}


def permissions_of(role: str) -> frozenset[str]:
    """Every permission code that one role holds."""
    return frozenset(code for code, roles in PERMISSIONS.items() if role in roles)


# what an OAuth2 scope of a partner lets its services do
SCOPE_PERMISSIONS: dict[str, frozenset[str]] = {
    "orders:read": frozenset({"patient.view", "clearance.view"}),
    "orders:write": frozenset({"patient.view", "patient.edit", "order.edit", "appointment.edit"}),
    "authorizations:write": frozenset({"authorization.view", "authorization.edit"}),
    "payments:read": frozenset({"patient.view", "account.view"}),
    "payments:write": frozenset({"patient.view", "account.view", "payment.collect"}),
    "overrides:write": frozenset({"clearance.view", "authorization.override"}),
    "exams:read": frozenset({"patient.view", "exam.view"}),
    "exams:write": frozenset({"exam.view"}),
    "reports:write": frozenset({"exam.view", "report.view"}),
    "claims:read": frozenset({"claim.view"}),
    "claims:write": frozenset({"claim.view", "claim.edit", "claim.correct", "claim.submit"}),
    "remittances:read": frozenset({"remittance.view"}),
    "remittances:write": frozenset({"remittance.view", "remittance.post"}),
    "work:read": frozenset(
        {
            "work.view",
            "denial.view",
            "followup.view",
            "clearance.view",
            "authorization.view",
            "charge.view",
        }
    ),
    "work:write": frozenset({"work.view", "work.touch"}),
    "rules:read": frozenset({"rules.view", "price.view", "edit.view"}),
}
