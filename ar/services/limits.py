"""What limits of write-offs count: everything that has left, or is asked to leave, a charge, its
claim and its patient within a year, whoever asked and by whatever reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db.models import Min, Q, QuerySet, Sum

from ar.models import RequestStatus, WriteOffRequest
from ar.services.guards import ZERO
from charges.models import Charge
from claims.models import Claim
from intake.models import Patient
from rcm.ledger.models import Account, Balance, LedgerEntry

YEAR = timedelta(days=365)
COUNTED = (RequestStatus.REQUESTED, RequestStatus.APPROVED)


def hold_patients(patient_ids: Iterable[int]) -> None:
    """Hold the charts (with those that they were merged into) until the transaction ends, so that
    two requests never spend the same limit.
    """
    ids = set(patient_ids)
    rows = Patient.objects.select_for_update().filter(
        Q(pk__in=ids) | Q(pk__in=Patient.objects.filter(pk__in=ids).values("merged_into_id"))
    )
    list(rows.order_by("pk").values_list("pk", flat=True))


def _same_person(patient: Patient) -> Q:
    root = patient.merged_into_id or patient.pk
    return Q(charge__patient_id=root) | Q(charge__patient__merged_into_id=root)


def _of_the_year(at: datetime) -> QuerySet[WriteOffRequest]:
    return WriteOffRequest.objects.filter(status__in=COUNTED, requested_at__gt=at - YEAR)


def _total(rows: QuerySet[WriteOffRequest]) -> Decimal:
    return rows.aggregate(total=Sum("amount"))["total"] or ZERO


def written_off_within_year(charge: Charge, claim: Claim | None, at: datetime) -> Decimal:
    """Write-offs approved or waiting on this charge, this claim or this person, in dollars. A
    reversed one counts too: undoing gives no room for another.
    """
    scope = Q(charge=charge) | _same_person(charge.patient)
    if claim is not None:
        scope |= Q(claim=claim)
    return _total(_of_the_year(at).filter(scope, organization_id=charge.organization_id))


def whole_balance(charge: Charge, claim: Claim | None, account: str, at: datetime) -> Decimal:
    """The balance that a slice belongs to: all that the patient owes, or all that is open on the
    claim, with what was written off from it within a year.
    """
    rows = _of_the_year(at).filter(account=account, organization_id=charge.organization_id)
    if account == Account.AR_PATIENT:
        root = charge.patient.merged_into_id or charge.patient_id
        charges = Charge.objects.filter(Q(patient_id=root) | Q(patient__merged_into_id=root))
    elif claim is not None:
        charges = Charge.objects.filter(claim_lines__claim=claim)
    else:
        charges = Charge.objects.filter(pk=charge.pk)
    column = "patient" if account == Account.AR_PATIENT else "insurance"
    opened = Balance.objects.filter(charge_id__in=charges.values("pk"), **{f"{column}__gt": 0})
    gone = rows.filter(charge_id__in=charges.values("pk"), status=RequestStatus.APPROVED)
    return (opened.aggregate(total=Sum(column))["total"] or ZERO) + _total(gone)


def patient_since(charge: Charge) -> date | None:
    """The day on which a charge first came to the patient."""
    rows = LedgerEntry.objects.filter(charge_id=charge.pk, account=Account.AR_PATIENT, amount__gt=0)
    first: date | None = rows.aggregate(first=Min("effective_on"))["first"]
    return first
