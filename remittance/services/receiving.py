"""An 835 file becomes remittances: read once, claim by claim, matched and written in chunks; what
does not balance leaves only its figures.

The whole file is one transaction. A set that fails at its trailer is rolled back to where it began
and kept as QUARANTINED with the figures of each level; the bytes stay in the interchange. A payment
that came before, by trace, payer and occurrence, is refused however its file differs.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.exchange.models import Interchange
from rcm.exchange.services import ParseProblem, publish_many
from rcm.reference.facts import payer_book
from rcm.reference.models import Payer
from rcm.x12 import model as x12
from rcm.x12.readers.remittance import stream_835
from remittance import bulk
from remittance.models import (
    ProviderAdjustment,
    Remittance,
    RemittanceStatus,
)
from remittance.plan import Book
from remittance.services.reference import book
from remittance.services.sets import CHUNK, MOST_FINDINGS, ReadSet, write_claims
from remittance.services.telling import told, told_again


@transaction.atomic
def receive_835(
    interchange: Interchange, *, actor: Actor, at: datetime, source: str = "835"
) -> dict[str, Any]:
    """Read one stored 835. Returns counts and totals for the interchange browser. Raises
    ParseProblem when it is no 835.
    """
    organization_id = interchange.organization_id
    seen: Counter[tuple[str, str]] = Counter()
    result: dict[str, Any] = {
        "remittances": 0,
        "quarantined": 0,
        "duplicates": 0,
        "claims": 0,
        "amount": "0.00",
    }
    ready: list[int] = []
    current: ReadSet | None = None
    codes = book()
    try:
        for part in stream_835(bytes(interchange.content)):
            if isinstance(part, x12.RemittanceHeader):
                current = _begin(part, seen, organization_id=organization_id)
                current.note(part.findings)
            elif current is None:
                continue
            elif isinstance(part, x12.ClaimPayment):
                current.note(part.findings)
                current.count += 1
                current.digest.update(
                    f"{part.claim_id}|{part.status}|{part.charge}|{part.paid}|{part.payer_control}\n".encode()
                )
                if current.written:
                    current.buffer.append(part)
                    if len(current.buffer) >= CHUNK:
                        write_claims(current, codes, organization_id=organization_id)
            else:
                _end(
                    current,
                    part,
                    interchange,
                    codes,
                    result,
                    ready,
                    actor=actor,
                    at=at,
                    source=source,
                )
                current = None
    except x12.NotX12 as problem:
        raise ParseProblem(str(problem)) from problem
    publish_many(
        "remittance.ready",
        organization_id=organization_id,
        payloads=[{"remittance_id": pk} for pk in ready],
        due_at=at,
    )
    return result


def _begin(
    header: x12.RemittanceHeader, seen: Counter[tuple[str, str]], *, organization_id: int
) -> ReadSet:
    trace, ref = header.trace[:50], header.trace_payer[:30]
    seen[(trace, ref)] += 1
    occurrence = seen[(trace, ref)]
    known = None
    if trace:
        # the same payment by two doors at once: the second waits here and finds the first
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 71))",
                [f"835:{organization_id}:{trace}:{ref}"],
            )
        known = (
            Remittance.objects.select_for_update()
            .filter(
                organization_id=organization_id, trace=trace, payer_ref=ref, occurrence=occurrence
            )
            .first()
        )
    payer = _payer(header)
    pk = known.pk if known else bulk.ids(Remittance, 1)[0]
    found = ReadSet(header, occurrence, pk, known, transaction.savepoint(), payer)
    # a payment that was posted or waits is not written again; only a quarantined one may be
    # replaced by a file that balances
    found.written = known is None or known.status == RemittanceStatus.QUARANTINED
    return found


def _payer(header: x12.RemittanceHeader) -> Payer | None:
    payers = payer_book()
    numbers = [
        header.payer.id,
        *(r.value for r in header.payer.refs),
        header.trace_supplement,
        *(r.value for r in header.refs if r.qualifier == "2U"),
    ]
    for number in numbers:
        if number and (row := payers.find(edi_id=number)):
            return row
    return payers.find(name=header.payer.name)


def _end(
    current: ReadSet,
    trailer: x12.RemittanceTrailer,
    interchange: Interchange,
    codes: Book,
    result: dict[str, Any],
    ready: list[int],
    *,
    actor: Actor,
    at: datetime,
    source: str,
) -> None:
    header, known = current.header, current.known
    organization_id = interchange.organization_id
    refusal = header.origin.refusal
    current.note(trailer.findings)
    if refusal:
        current.findings.append(
            {
                "code": "version",
                "level": "error",
                "where": "GS08",
                "message": refusal,
                "todo": "",
                "segment": header.position,
            }
        )
    trace = header.trace[:50]
    if not trace:
        trace = f"NOTRACE-{current.digest.hexdigest()[:20]}"
        known = Remittance.objects.filter(
            organization_id=organization_id,
            trace=trace,
            payer_ref=header.trace_payer[:30],
            occurrence=current.occurrence,
        ).first()
        current.known, current.written = known, current.written and known is None
    if not current.written:
        transaction.savepoint_rollback(current.savepoint)
        assert known is not None
        told_again(known, current, trailer, interchange, result, actor=actor, at=at)
        return
    good = trailer.balanced and not refusal
    if good:
        write_claims(current, codes, organization_id=organization_id)
        transaction.savepoint_commit(current.savepoint)
    else:
        transaction.savepoint_rollback(current.savepoint)
    payer_id = (
        current.payer.pk
        if current.payer
        else (current.payers.most_common(1)[0][0] if good and current.payers else None)
    )
    values: dict[str, Any] = {
        "interchange": interchange,
        "payer_id": payer_id,
        "payer_name": (
            header.payer.name or (current.payer.name if current.payer else "Payer not named")
        )[:80],
        "method": header.method[:3],
        "paid_on": header.payment_date or header.production_date or timezone.localdate(at),
        "amount": header.amount,
        "claims_total": trailer.sum_paid,
        "plb_total": trailer.sum_provider_adjustments,
        "status": RemittanceStatus.READY if good else RemittanceStatus.QUARANTINED,
        "findings": _worst_first(current.findings),
        "received_at": at,
        "claim_count": current.count,
        "segment_start": header.position,
        "source": source,
    }
    if known is not None:
        Remittance.objects.filter(pk=known.pk).update(**values, version=known.version + 1)
        remittance = Remittance.objects.get(pk=known.pk)
    else:
        remittance = Remittance(
            pk=current.remittance_id,
            organization_id=organization_id,
            trace=trace,
            payer_ref=header.trace_payer[:30],
            occurrence=current.occurrence,
            **values,
        )
        remittance.save(force_insert=True)
    if good:
        _withheld(remittance, trailer)
    told(remittance, current, good, actor=actor, at=at)
    result["remittances" if good else "quarantined"] += 1
    result["claims"] += current.count
    result["amount"] = str(Decimal(result["amount"]) + header.amount)
    if good:
        ready.append(remittance.pk)


def _worst_first(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    order = {"error": 0, "warning": 1}
    return sorted(findings, key=lambda f: order.get(f["level"], 2))[:MOST_FINDINGS]


def _withheld(remittance: Remittance, trailer: x12.RemittanceTrailer) -> None:
    """PLB rows; the claim that a reference names is found by the payer's number."""
    rows = trailer.provider_adjustments
    if not rows:
        return
    from remittance.services.planning import claims_by_control

    claims = claims_by_control(
        {r.reference for r in rows if r.reference}, organization_id=remittance.organization_id
    )
    ProviderAdjustment.objects.bulk_create(
        [
            ProviderAdjustment(
                organization_id=remittance.organization_id,
                remittance=remittance,
                position=i,
                reason=r.reason[:3],
                reference=r.reference[:50],
                amount=r.amount,
                claim_id=claims.get(r.reference),
            )
            for i, r in enumerate(rows, 1)
        ]
    )
