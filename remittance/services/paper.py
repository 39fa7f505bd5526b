"""A paper EOB keyed by a person: written as an 835 of our own and sent through the same gate as a
received one (rule `paper-remittance`).
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.models import InterchangeStatus
from rcm.exchange.services import mark, next_control_number, store_inbound
from rcm.reference.models import Payer
from rcm.worklist.services import ItemSpec, close_items, open_items
from rcm.x12 import model as x12
from rcm.x12.writers.remittance import write_835
from remittance import scans
from remittance.models import Adjustment, Denial, DenialStatus, EobDocument, Remittance
from remittance.records import KeyedClaim, KeyedEob, KeyedLine, ScannedEob
from remittance.services.receiving import read_here

ZERO = Decimal("0.00")
PROVIDER_LIABILITY = ("CO", "PI")
"""Groups of adjustments that the patient must not be asked for."""


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
    *,
    organization_id: int,
    eob: KeyedEob,
    document: ScannedEob | None,
    actor: Actor,
    at: datetime | None = None,
) -> Remittance:
    """Keep a keyed EOB with its scanned paper as a remittance that is ready to post. Refused while
    it does not balance, without its paper, or when its check stands already. What would make the
    patient owe an amount that was denied as the provider's waits for a second person.
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
    if document is None:
        raise Refused(
            "Attach the scanned EOB.", field="document", code="missing", fix="PDF, JPEG or PNG."
        )
    if fault := scans.fault_of(document.content):
        raise Refused(fault, field="document", code="bad_scan", fix="PDF, JPEG or PNG.")
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
    row = Remittance.objects.get(
        organization_id=organization_id, trace=trace, payer_ref=ref, paid_on=eob.paid_on
    )
    _keep_paper(row, document)
    row.keyed_by_id = actor.user_id
    row.second_for = _moves_to_patient(row)
    row.save(update_fields=["keyed_by_id", "second_for"])
    if row.second_for:
        _ask_second(row, actor=actor, at=at)
    return row


def _keep_paper(row: Remittance, document: ScannedEob) -> None:
    kind = scans.kind_of(document.content)
    assert kind is not None
    EobDocument.objects.create(
        organization_id=row.organization_id,
        remittance=row,
        content=document.content,
        media_type=kind[0],
        file_name=document.file_name[-120:],
        sha256=hashlib.sha256(document.content).hexdigest(),
        size=len(document.content),
    )


def _moves_to_patient(row: Remittance) -> str:
    """Why a second person must agree: lines whose denial was the provider's loss would become the
    patient's to pay. Empty when none would.
    """
    shares = Adjustment.objects.filter(payment__remittance=row, group="PR", amount__gt=0)
    lines = shares.filter(service__line__isnull=False).values("service__line__charge_id")
    claims = shares.filter(service__isnull=True, payment__claim__isnull=False)
    ours = Denial.objects.filter(group__in=PROVIDER_LIABILITY).exclude(
        status=DenialStatus.WITHDRAWN
    )
    found = ours.filter(
        Q(line__charge_id__in=lines)
        | Q(line__isnull=True, claim__in=shares.values("payment__claim_id"))
        | Q(claim__in=claims.values("payment__claim_id"))
    )
    numbers = sorted(set(found.values_list("claim__number", flat=True)))
    if not numbers:
        return ""
    named = ", ".join(numbers[:3]) + (" and others" if len(numbers) > 3 else "")
    return (
        f"It makes the patient owe what was denied as the provider's before (claim {named}): a second"
        " person has to agree."
    )[:200]


def _ask_second(row: Remittance, *, actor: Actor, at: datetime) -> None:
    item = ItemSpec(
        row.organization_id,
        "remittance_exceptions",
        "remittance",
        row.pk,
        "second_person",
        f"Paper EOB {row.trace}: {row.second_for}"[:200],
        at + timedelta(days=1),
        fix="Compare it with the scanned paper; agree, or reverse what was keyed.",
        dollars=abs(row.amount),
        payer_id=row.payer_id,
        payer_name=row.payer_name,
        facts={"trace": row.trace, "claims": row.claim_count},
    )
    open_items([item], actor=actor, at=at)


@transaction.atomic
def eob_agree(*, remittance: Remittance, actor: Actor, at: datetime | None = None) -> Remittance:
    """A second person agrees with a keyed EOB that moves denied amounts to the patient. Refused for
    whoever keyed it and for programs.
    """
    actor.require("remittance.post", remittance)
    at = at or timezone.now()
    row = Remittance.objects.select_for_update().get(pk=remittance.pk)
    if not row.second_for or row.agreed_by_id is not None:
        raise Refused("Nobody has to agree with this one.", code="not_asked", status=409)
    if actor.user_id is None or actor.user_id == row.keyed_by_id:
        raise Refused(
            "Somebody other than the one who keyed it has to agree.",
            code="same_person",
            fix="Ask a colleague who posts.",
            status=403,
        )
    row.agreed_by_id, row.agreed_by = actor.user_id, actor.name[:120]
    row.save(update_fields=["agreed_by_id", "agreed_by"])
    record_steps(
        [
            Step(
                row.organization_id,
                "remittance.agreed",
                f"{actor.name} agrees with the paper EOB {row.trace}",
                {"remittance_id": row.pk},
            )
        ],
        actor=actor,
        at=at,
    )
    close_items(
        "remittance",
        [row.pk],
        actor=actor,
        at=at,
        outcome=f"{actor.name} agrees",
        queues=["remittance_exceptions"],
    )
    remittance.refresh_from_db()
    return remittance


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
