"""What keeps money where it belongs: hold-harmless (rule `qmb-hold-harmless`), payers that forbid
it, balances that changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Exists, OuterRef, Q, Sum

from charges.models import Charge
from claims.models import Claim, ClaimLine
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.ledger.models import Balance
from remittance.models import Adjustment, ClaimPayment, Denial, DenialStatus
from remittance.patient_rule import Verdict
from remittance.services.protection import patient_verdicts

ZERO = Decimal("0.00")
WON = (DenialStatus.OVERTURNED, DenialStatus.PARTIAL, DenialStatus.WITHDRAWN)


def local_day(at: datetime) -> date:
    return office_day(at)


def denials_of(charge_ids: Iterable[int]) -> dict[int, list[Denial]]:
    """Denials that concern a charge: of its own lines, or of a whole claim that carries it. Two
    queries.
    """
    ids = list(charge_ids)
    lines = list(
        ClaimLine.objects.filter(charge_id__in=ids).values_list("id", "claim_id", "charge_id")
    )
    by_line = {line: charge for line, _, charge in lines}
    by_claim: dict[int, set[int]] = {}
    for _, claim, charge in lines:
        by_claim.setdefault(claim, set()).add(charge)
    found: dict[int, list[Denial]] = {}
    rows = Denial.objects.filter(
        Q(line_id__in=by_line) | Q(line__isnull=True, claim_id__in=by_claim)
    ).order_by("id")
    for denial in rows:
        charges = (
            {by_line[denial.line_id]} if denial.line_id else by_claim.get(denial.claim_id, set())
        )
        for charge in charges:
            found.setdefault(charge, []).append(denial)
    return found


def held_harmless(charge_ids: Iterable[int]) -> dict[int, Verdict]:
    """Charges that may not be billed to their patient now, with the sentence that says why: for
    good, or until somebody else has answered. The rule itself is `remittance.patient_rule`.
    """
    return patient_verdicts(charge_ids)


def corrections_pending(charge_ids: Iterable[int]) -> set[int]:
    """Charges whose claim was corrected and not answered since: their balance is the payer's to
    change. One query.
    """
    rows = ClaimLine.objects.filter(charge_id__in=list(charge_ids), claim__replaces__isnull=False)
    answered = ClaimPayment.objects.filter(claim_id=OuterRef("claim_id"), state="posted")
    return set(
        rows.exclude(claim__status__in=["void", "replaced"])
        .filter(~Exists(answered))
        .values_list("charge_id", flat=True)
    )


def patient_share(charge_ids: Iterable[int]) -> dict[int, Decimal]:
    """What payers have called the patient's own, by charge, in one query. An answer that was
    reversed counts no more, so its reversal takes nothing off either.
    """
    rows = (
        Adjustment.objects.filter(
            group="PR", service__line__charge_id__in=list(charge_ids), payment__state="posted"
        )
        .exclude(payment__status_code="22", payment__reverses__isnull=False)
        .values("service__line__charge_id")
        .annotate(total=Sum("amount"))
        .order_by()
    )
    return {r["service__line__charge_id"]: r["total"] for r in rows}


def locked_balance(charge: Charge) -> Balance:
    """The charge's balance, held until the transaction ends, so that two decisions never spend the
    same dollars.
    """
    row = Balance.objects.select_for_update().filter(charge_id=charge.pk).first()
    if row is None:
        raise Refused("This charge has no balance.", code="no_balance")
    return row


def latest_claim(charge: Charge) -> Claim | None:
    """The claim that stands for a charge now: the newest that was neither void nor replaced."""
    return (
        Claim.objects.filter(lines__charge=charge)
        .exclude(status__in=["void", "replaced"])
        .select_related("payer")
        .order_by("-rank", "-id")
        .first()
    )


def require_mine(organization_id: int, actor: Actor) -> None:
    """A row of another organization does not exist for this actor."""
    if organization_id not in actor.organizations:
        raise Refused("There is no such account.", code="not_found", status=404)
