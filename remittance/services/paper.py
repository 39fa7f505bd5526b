"""A paper EOB keyed by a person: written as an 835 of our own and sent through the same gate as a
received one (rule `paper-remittance`).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.exchange.models import InterchangeStatus
from rcm.exchange.services import mark, next_control_number, store_inbound
from rcm.reference.models import Payer
from rcm.x12 import model as x12
from rcm.x12.writers.remittance import write_835
from remittance.models import Remittance
from remittance.records import KeyedClaim, KeyedEob, KeyedLine
from remittance.services.receiving import read_here

ZERO = Decimal("0.00")


def balance(eob: KeyedEob) -> list[str]:
    """What does not add up yet, in words; empty when the EOB balances at line, claim and check
    level (rule `remittance-balance`).
    """
    found: list[str] = []
    for claim in eob.claims:
        for line in claim.lines:
            left = line.billed - sum((a.amount for a in line.adjustments), ZERO) - line.paid
            if left:
                found.append(
                    f"Claim {claim.claim_number}, {line.code}: ${left:,.2f} of the charge is not"
                    " explained."
                )
    paid = sum((line.paid for claim in eob.claims for line in claim.lines), ZERO)
    withheld = sum((amount for _, _, amount in eob.withheld), ZERO)
    if paid - withheld != eob.amount:
        found.append(
            f"The claims pay ${paid:,.2f}, ${withheld:,.2f} is withheld, the check is"
            f" ${eob.amount:,.2f}: they differ by ${paid - withheld - eob.amount:,.2f}."
        )
    return found


@transaction.atomic
def eob_key(
    *, organization_id: int, eob: KeyedEob, actor: Actor, at: datetime | None = None
) -> Remittance:
    """Keep a keyed EOB as a remittance that is ready to post. Refused while it does not balance, or
    when its check stands already.
    """
    actor.require("remittance.post", organization_id)
    at = at or timezone.now()
    if not eob.check_number.strip():
        raise Refused("Enter the check number.", field="check_number", code="missing")
    if not eob.claims or any(not claim.lines for claim in eob.claims):
        raise Refused("Enter at least one claim with one line.", field="claims", code="missing")
    if wrong := balance(eob):
        raise Refused(
            wrong[0],
            field="amount",
            code="unbalanced",
            fix="Nothing is kept until the EOB balances.",
        )
    payer = Payer.objects.get(pk=eob.payer_id)
    organization = Organization.objects.get(pk=organization_id)
    trace, ref = eob.check_number.strip()[:50], f"P{payer.edi_id}"[:30]
    # a check number comes back in another year
    if Remittance.objects.filter(
        organization_id=organization_id, trace=trace, payer_ref=ref, paid_on=eob.paid_on
    ).exists():
        raise Refused(
            f"Check {trace} of {payer.name} of {eob.paid_on:%b %-d, %Y} is entered already.",
            field="check_number",
            code="duplicate",
            status=409,
        )
    content = write_835(
        x12.Envelope(
            sender="KEYEDEOB",
            receiver=organization.code[:15],
            control=next_control_number(organization_id, "keyed-eob"),
            date=office_day(at),
        ),
        [_document(eob, payer, organization, trace, ref)],
    ).data
    interchange, fresh = store_inbound(
        organization_id=organization_id,
        kind="835",
        content=content,
        file_name=f"keyed {trace}.835",
        media_type="application/edi-x12",
        at=at,
        actor=actor,
    )
    if fresh:
        result = read_here(interchange, actor=actor, at=at, source="paper")
        mark(interchange, status=InterchangeStatus.PROCESSED, summary=result, actor=actor, at=at)
    return Remittance.objects.get(
        organization_id=organization_id, trace=trace, payer_ref=ref, paid_on=eob.paid_on
    )


def _document(
    eob: KeyedEob, payer: Payer, organization: Organization, trace: str, ref: str
) -> x12.Remittance:
    claims = tuple(_claim(claim) for claim in eob.claims)
    provider_adjustments = tuple(
        x12.ProviderAdjustment(
            organization.npi, eob.paid_on.replace(month=12, day=31), reason, number, amount
        )
        for reason, number, amount in eob.withheld
    )
    header = x12.RemittanceHeader(
        amount=eob.amount,
        handling="I",
        method="CHK",
        payment_date=eob.paid_on,
        trace=trace,
        trace_payer=ref,
        payer=x12.Party("PR", payer.name, id_qualifier="XV", id=payer.edi_id),
        payee=x12.Party("PE", organization.name, id_qualifier="XX", id=organization.npi),
    )
    return x12.Remittance(
        header, claims, x12.RemittanceTrailer(provider_adjustments=provider_adjustments)
    )


def _claim(claim: KeyedClaim) -> x12.ClaimPayment:
    last, _, first = claim.patient_name.partition(",")
    services = tuple(_line(line, claim) for line in claim.lines)
    return x12.ClaimPayment(
        claim.claim_number.strip() or "UNKNOWN",
        claim.status,
        sum((line.billed for line in claim.lines), ZERO),
        sum((line.paid for line in claim.lines), ZERO),
        sum((a.amount for line in claim.lines for a in line.adjustments if a.group == "PR"), ZERO),
        payer_control=claim.payer_control_number,
        patient=(
            x12.Party("QC", last.strip(), first.strip(), person=True)
            if claim.patient_name.strip()
            else None
        ),
        services=services,
    )


def _line(line: KeyedLine, claim: KeyedClaim) -> x12.ServicePayment:
    return x12.ServicePayment(
        x12.Procedure(line.code, tuple(line.modifiers)),
        line.billed,
        line.paid,
        units=line.units,
        service_date=claim.service_date,
        adjustments=tuple(x12.Adjustment(a.group, a.reason, a.amount) for a in line.adjustments),
        line_control=line.control,
        remarks=tuple(line.remarks),
    )
