"""A member ID that the payer corrects (NM1*74): told, and taken over by a person."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from intake.models import Coverage
from intake.services import coverage_update
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.worklist.services import ItemSpec, close_items
from remittance.matching import normal
from remittance.models import ClaimPayment, Remittance

CORRECTED = "corrected_id"


def corrections(rows: Iterable[ClaimPayment]) -> dict[int, Coverage]:
    """Coverages whose member ID the payer corrects, by payment. One query, none without any."""
    told = {r.claim_id: r for r in rows if r.references.get(CORRECTED) and r.claim_id}
    if not told:
        return {}
    coverages = Coverage.objects.filter(claims__in=told).annotate(claim_key=F("claims__pk"))
    return {
        told[c.claim_key].pk: c
        for c in coverages
        if normal(c.member_id) != normal(told[c.claim_key].references[CORRECTED])
    }


def correction_items(
    remittance: Remittance, rows: Iterable[ClaimPayment], at: datetime
) -> list[ItemSpec]:
    """Work for each payment that corrects a member ID."""
    by_id = {r.pk: r for r in rows}
    return [
        ItemSpec(
            remittance.organization_id,
            "remittance_exceptions",
            "claim_payment",
            pk,
            "corrected_member_id",
            f"{remittance.payer_name} corrects the member ID on claim {by_id[pk].claim_number}.",
            at + timedelta(days=5),
            fix="Compare it with the card, then take it over before the next claim.",
            patient_id=coverage.patient_id,
            patient_name=by_id[pk].patient_name,
            claim_id=by_id[pk].claim_id,
            payer_id=remittance.payer_id,
            payer_name=remittance.payer_name,
            facts={"trace": remittance.trace, "claim": by_id[pk].claim_number},
        )
        for pk, coverage in corrections(by_id.values()).items()
    ]


@transaction.atomic
def member_correct(*, payment: ClaimPayment, actor: Actor, at: datetime | None = None) -> Coverage:
    """Take the corrected member ID over into the coverage of the claim. Refused when the payer
    corrects nothing or it stands so already. Needs the right to change patients.
    """
    actor.require("patient.edit", payment)
    coverage = corrections([payment]).get(payment.pk)
    if coverage is None:
        raise Refused("The payer corrects no member ID here.", code="nothing", status=409)
    changed = coverage_update(
        coverage=coverage, actor=actor, at=at, member_id=payment.references[CORRECTED]
    )
    close_items(
        "claim_payment",
        [payment.pk],
        actor=actor,
        at=at,
        outcome="The corrected member ID was taken over",
        queues=["remittance_exceptions"],
    )
    return changed
