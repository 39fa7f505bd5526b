"""One ST of an 835 while it is read, and the rows of its claims, matched and written in chunks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import uuid6
from django.utils import timezone

from rcm.accounts import bulk
from rcm.reference.models import Payer
from rcm.x12 import model as x12
from remittance import matching as m
from remittance.models import (
    Adjustment,
    ClaimPayment,
    PaymentState,
    ServicePayment,
)
from remittance.plan import EXCEPTIONS, PREDETERMINATION, REVERSAL, Book, Cas, Line, allowed_of
from remittance.services.finding import Match, earlier_payments, match

CHUNK = 2000
MOST_FINDINGS = 60
ZERO = Decimal("0.00")


@dataclass(slots=True)
class ReadSet:
    """One ST while it is read. `written` is False when nothing of it is kept but its figures."""

    header: x12.RemittanceHeader
    remittance_id: int
    savepoint: str
    payer: Payer | None
    not_ours: str = ""
    buffer: list[x12.ClaimPayment] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    claims: int = 0
    numbers: int = 0
    exceptions: int = 0
    stuck: Decimal = ZERO
    payers: Counter[int] = field(default_factory=Counter)
    count: int = 0
    written: bool = True

    def take(self, claim: x12.ClaimPayment) -> None:
        """Count a claim into the set's identity, whatever the order of its claims."""
        self.note(claim.findings)
        self.count += 1
        self.claims += _digest(_claim_words(claim))
        self.numbers += _digest(claim.claim_id.strip())

    def keys(self, trailer: x12.RemittanceTrailer, paid_on: date | None) -> tuple[str, str]:
        """(identity of the payment, digest of its claim numbers): equal for the same payment in
        another envelope or order.
        """
        header = self.header
        withheld = sum(
            _digest(f"PLB|{r.reason}|{r.reference}|{r.amount.normalize()}")
            for r in trailer.provider_adjustments
        )
        words = (
            header.trace[:50],
            header.trace_payer[:30],
            paid_on.isoformat() if paid_on else "",
            str(header.amount.normalize()),
            str(self.claims + withheld),
        )
        return (
            hashlib.sha256("|".join(words).encode()).hexdigest(),
            hashlib.sha256(str(self.numbers).encode()).hexdigest(),
        )

    def fault(self, code: str, where: str, message: str, todo: str = "") -> None:
        """An error of the whole set, found here and not by the reader."""
        self.findings.append(
            {
                "code": code,
                "level": "error",
                "where": where,
                "message": message,
                "todo": todo,
                "segment": self.header.position,
            }
        )

    def note(self, found: Iterable[x12.Finding]) -> None:
        for f in found:
            if len(self.findings) < MOST_FINDINGS or f.level == "error":
                self.findings.append(
                    {
                        "code": f.code,
                        "level": f.level,
                        "where": f.where,
                        "message": f.message,
                        "todo": f.todo,
                        "segment": f.position,
                    }
                )


def _digest(words: str) -> int:
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=24).digest())


def _claim_words(claim: x12.ClaimPayment) -> str:
    """What makes one answer of a payer different from another: claim, status, amounts, reasons."""
    parts = [
        claim.claim_id.strip(),
        claim.status,
        str(claim.charge.normalize()),
        str(claim.paid.normalize()),
        claim.payer_control,
    ]
    parts += [f"{a.group}{a.reason}{a.amount.normalize()}" for a in claim.adjustments]
    for service in claim.services:
        parts += [service.procedure.code, str(service.paid.normalize())]
        parts += [f"{a.group}{a.reason}{a.amount.normalize()}" for a in service.adjustments]
    return "|".join(parts)


def write_claims(current: ReadSet, codes: Book, *, organization_id: int) -> None:
    """Match and write the buffered claims."""
    claims, current.buffer = current.buffer, []
    matches = match(
        [(_paid(c), [_paid_line(s) for s in c.services]) for c in claims],
        organization_id=organization_id,
    )
    repeated = earlier_payments(
        (
            (mt.claim.claim_id, c.payer_control[:50], c.status, c.paid)
            for c, mt in zip(claims, matches, strict=True)
            if mt.claim and c.paid > 0
        ),
        organization_id=organization_id,
    )
    twins: set[tuple[int, str, str, Decimal]] = set()
    payment_ids = bulk.ids(ClaimPayment, len(claims))
    service_ids = iter(bulk.ids(ServicePayment, sum(max(1, len(c.services)) for c in claims)))
    stamp = timezone.now()
    payments: list[dict[str, Any]] = []
    services: list[dict[str, Any]] = []
    adjustments: list[dict[str, Any]] = []
    for claim, found, payment_id in zip(claims, matches, payment_ids, strict=True):
        key = (
            (found.claim.claim_id, claim.payer_control[:50], claim.status, claim.paid)
            if found.claim
            else None
        )
        exception = _exception(
            claim, found, key is not None and claim.paid > 0 and (key in repeated or key in twins)
        )
        if key is not None:
            twins.add(key)
            assert found.claim is not None
            current.payers[found.claim.payer_id] += 1
        if exception:
            current.exceptions += 1
            current.stuck += abs(claim.paid)
        common = {"organization_id": organization_id, "created_at": stamp}
        payments.append(
            _payment_row(claim, found, payment_id, current.remittance_id, exception) | common
        )
        _adjust(adjustments, claim.adjustments, payment_id, None, codes, common)
        for number, (service, line) in enumerate(zip(claim.services, found.lines, strict=True), 1):
            pk = next(service_ids)
            services.append(
                _service_row(service, line, pk, payment_id, number, claim, codes) | common
            )
            _adjust(adjustments, service.adjustments, payment_id, pk, codes, common)
    bulk.insert(ClaimPayment, payments)
    bulk.insert(ServicePayment, services)
    bulk.insert(Adjustment, adjustments)


def _paid(c: x12.ClaimPayment) -> m.Paid:
    who = c.patient or c.insured
    return m.Paid(
        c.claim_id.strip(),
        c.payer_control,
        c.original_control,
        c.charge,
        who.id if who else "",
        who.name if who else "",
        who.first if who else "",
        _service_day(c),
        frozenset(
            code
            for s in c.services
            for code in (
                s.procedure.code,
                s.original_procedure.code if s.original_procedure else "",
            )
            if code
        ),
    )


def _service_day(c: x12.ClaimPayment) -> date | None:
    days = [s.service_date for s in c.services if s.service_date]
    return min(days) if days else c.statement_from


def _paid_line(s: x12.ServicePayment) -> m.PaidLine:
    return m.PaidLine(
        s.line_control,
        s.procedure.code,
        s.procedure.modifiers,
        s.charge,
        s.original_procedure.code if s.original_procedure else "",
    )


def _exception(claim: x12.ClaimPayment, found: Match, repeated: bool) -> str:
    """What can be told at once; what depends on open balances is judged when it is posted."""
    if claim.status == PREDETERMINATION:
        return ""
    if found.claim is None:
        return "reversal_without_original" if claim.status == REVERSAL else "no_match"
    if claim.status == REVERSAL:
        return ""
    if repeated:
        return "duplicate"
    if claim.paid < 0:
        return "negative"
    if any(line is None for line in found.lines):
        return "code_mismatch"
    return ""


def _payment_row(
    claim: x12.ClaimPayment, found: Match, pk: int, remittance_id: int, exception: str
) -> dict[str, Any]:
    who = claim.patient or claim.insured
    references: dict[str, str] = {}
    for r in claim.refs:
        references.setdefault(r.qualifier, r.value[:80])
    if claim.corrected is not None and claim.corrected.id:
        references["corrected_id"] = claim.corrected.id[:80]
    if claim.crossover is not None:
        references["crossover"] = claim.crossover.name[:60]
    return {
        "id": pk,
        "public_id": uuid6.uuid7(),
        "remittance_id": remittance_id,
        "position": claim.index,
        "claim_id": found.claim.claim_id if found.claim else None,
        "claim_number": claim.claim_id[:50],
        "payer_control_number": claim.payer_control[:50],
        "status_code": claim.status[:2],
        "billed": claim.charge,
        "paid": claim.paid,
        "patient_responsibility": claim.patient_responsibility,
        "patient_name": (f"{who.name}, {who.first}".strip(", ") if who else "")[:120],
        "member_id": (who.id if who else "")[:40],
        "service_date": _service_day(claim),
        "frequency": claim.frequency[:1],
        "references": references,
        "remarks": list(claim.remarks),
        "state": PaymentState.EXCEPTION if exception else PaymentState.MATCHED,
        "exception": exception,
        "sentence": EXCEPTIONS.get(exception, ""),
        "candidates": [
            {"claim_id": c.claim_id, "number": c.number, "points": c.points, "why": c.why}
            for c in found.candidates
        ],
        "segment_start": claim.position,
        "segment_end": claim.end_position,
        "reverses_id": None,
    }


def _service_row(
    s: x12.ServicePayment,
    line: m.ClaimLine | None,
    pk: int,
    payment_id: int,
    number: int,
    claim: x12.ClaimPayment,
    codes: Book,
) -> dict[str, Any]:
    cas = [Cas(a.group, a.reason, a.amount) for a in s.adjustments]
    fact = Line(pk, s.charge, s.paid, cas, modifiers=s.procedure.modifiers, remarks=s.remarks)
    return {
        "id": pk,
        "payment_id": payment_id,
        "line_id": line.line_id if line else None,
        "position": number,
        "code": s.procedure.code[:48],
        "modifiers": list(s.procedure.modifiers),
        "original_code": (s.original_procedure.code if s.original_procedure else "")[:48],
        "billed": s.charge,
        "paid": s.paid,
        "allowed": allowed_of(fact, (*s.remarks, *claim.remarks), codes),
        "expected": line.expected if line else None,
        "units": s.units if s.units is not None else Decimal(1),
        "service_date": s.service_date,
        "control": s.line_control[:50],
        "remarks": list(s.remarks),
    }


def _adjust(
    rows: list[dict[str, Any]],
    found: Iterable[x12.Adjustment],
    payment_id: int,
    service_id: int | None,
    codes: Book,
    common: dict[str, Any],
) -> None:
    for a in found:
        reason = codes.reasons.get(a.reason)
        rows.append(
            {
                "payment_id": payment_id,
                "service_id": service_id,
                "group": a.group[:2],
                "reason": a.reason[:5],
                "amount": a.amount,
                "quantity": a.quantity,
                "klass": reason.klass if reason else "",
            }
            | common
        )
