"""What must be on file before a denial for coverage becomes the patient's bill."""

from __future__ import annotations

from datetime import date

from ar.services.guards import latest_claim
from charges.models import Charge
from intake.models import CheckStatus, EligibilityCheck
from intake.services import chart_ids
from rcm.accounts.clock import office_day
from rcm.audit.models import Event
from rcm.worklist.models import Interaction
from remittance.patient_rule import Proofs

SEARCHED = "coverage.searched"
NOT_FOUND = frozenset({"72", "73", "74", "75", "76", "78"})
"""Reasons of a refused eligibility question by which the payer says that this is no member."""


def _says_not_covered(check: EligibilityCheck) -> bool:
    if check.status == CheckStatus.INACTIVE:
        return True
    codes = {str(row.get("code", "")) for row in check.rejection}
    return check.status == CheckStatus.REJECTED and bool(codes & NOT_FOUND)


def coverage_proofs(charge: Charge, since: date) -> Proofs:
    """The proofs for a charge that was denied for coverage on `since`. Other coverage that answered
    “active” is no search without a find: it is billed first.
    """
    claim = latest_claim(charge)
    checks = [
        row
        for row in EligibilityCheck.objects.filter(
            patient_id=charge.patient_id,
            service_date=charge.service_date,
            answered_at__isnull=False,
        ).order_by("answered_at", "id")
        if row.answered_at is not None and office_day(row.answered_at) >= since
    ]
    own = [row for row in checks if claim is not None and row.coverage_id == claim.coverage_id]
    found = [row for row in checks if row not in own and row.status == CheckStatus.ACTIVE]
    charts = chart_ids(charge.patient_id)
    events = Event.objects.filter(
        organization_id=charge.organization_id, patient_id__in=charts, verb=SEARCHED
    ).order_by("-at")
    contacts = Interaction.objects.filter(
        organization_id=charge.organization_id, patient_id__in=charts
    ).order_by("-at")
    if claim is not None:
        contacts = contacts.filter(claim_id__isnull=True) | contacts.filter(claim_id=claim.pk)
    searched, spoken = events.first(), contacts.first()
    return Proofs(
        not_covered=bool(own) and _says_not_covered(own[-1]),
        searched=searched is not None and office_day(searched.at) >= since and not found,
        contacted=spoken is not None and office_day(spoken.at) >= since,
    )
