"""An 835 file becomes remittances: read once, claim by claim, matched and written in chunks; what
does not balance leaves only its figures.

The whole file is one transaction. A set that fails at its trailer is rolled back to where it began
and kept as QUARANTINED with the figures of each level; the bytes stay in the interchange. A payment
that came before, by trace, payer and occurrence, is refused however its file differs.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import uuid6
from django.db import connection, transaction
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.models import Interchange, InterchangeStatus
from rcm.exchange.services import ParseProblem, mark, publish_many, store_inbound
from rcm.reference.facts import payer_book
from rcm.reference.models import Payer
from rcm.web.format import plural
from rcm.worklist.services import ItemSpec, close_items, open_items
from rcm.x12 import model as x12
from rcm.x12.readers.remittance import stream_835
from remittance import bulk
from remittance import matching as m
from remittance.models import (
    Adjustment,
    ClaimPayment,
    PaymentState,
    ProviderAdjustment,
    Remittance,
    RemittanceStatus,
    ServicePayment,
)
from remittance.plan import EXCEPTIONS, PREDETERMINATION, REVERSAL, Book, Cas, Line, allowed_of
from remittance.services.finding import Match, earlier_payments, match
from remittance.services.reference import book

CHUNK = 2000
MOST_FINDINGS = 60
ZERO = Decimal("0.00")


@dataclass(slots=True)
class _Set:
    """One ST while it is read."""

    header: x12.RemittanceHeader
    occurrence: int
    remittance_id: int
    known: Remittance | None
    savepoint: str
    payer: Payer | None
    buffer: list[x12.ClaimPayment] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)
    exceptions: int = 0
    stuck: Decimal = ZERO
    payers: Counter[int] = field(default_factory=Counter)
    count: int = 0
    written: bool = True

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
    current: _Set | None = None
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
                        _write(current, codes, organization_id=organization_id)
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
) -> _Set:
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
    found = _Set(header, occurrence, pk, known, transaction.savepoint(), payer)
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


def _write(current: _Set, codes: Book, *, organization_id: int) -> None:
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


def _end(
    current: _Set,
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
        _repeated(known, current, trailer, interchange, result, actor=actor, at=at)
        return
    good = trailer.balanced and not refusal
    if good:
        _write(current, codes, organization_id=organization_id)
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
        "paid_on": header.payment_date or header.production_date or office_day(at),
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
    _tell(remittance, current, good, actor=actor, at=at)
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


def _repeated(
    known: Remittance,
    current: _Set,
    trailer: x12.RemittanceTrailer,
    interchange: Interchange,
    result: dict[str, Any],
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """The same payment again: nothing is written; it is told on the first one's timeline, and asked
    about when its figures differ.
    """
    if known.interchange_id == interchange.pk:
        result["remittances"] += 1
        return
    result["duplicates"] += 1
    differs = (
        current.header.amount != known.amount
        or trailer.sum_paid != known.claims_total
        or current.count != known.claim_count
    )
    sentence = f"The same payment {known.trace} came again and was refused" + (
        f": now ${current.header.amount:,.2f} for {current.count} claims, before"
        f" ${known.amount:,.2f} for {known.claim_count}"
        if differs
        else ""
    )
    record_steps(
        [
            Step(
                known.organization_id,
                "remittance.repeated",
                sentence,
                {"remittance_id": known.pk, "interchange_id": interchange.pk},
            )
        ],
        actor=actor,
        at=at,
    )
    if differs:
        open_items(
            [
                ItemSpec(
                    known.organization_id,
                    "quarantined_files",
                    "interchange",
                    interchange.pk,
                    "same_trace_other_figures",
                    f"{sentence}.",
                    at + timedelta(days=1),
                    fix=(
                        "Ask the payer which of the two is right. Nothing of the second was posted."
                    ),
                    dollars=abs(current.header.amount),
                    payer_id=known.payer_id,
                    payer_name=known.payer_name,
                    facts={"trace": known.trace, "claims": current.count},
                )
            ],
            actor=actor,
            at=at,
        )


def _tell(remittance: Remittance, current: _Set, good: bool, *, actor: Actor, at: datetime) -> None:
    keys: dict[str, int | None] = {
        "remittance_id": remittance.pk,
        "interchange_id": remittance.interchange_id,
    }
    if good:
        sentence = (
            f"{remittance.payer_name} {remittance.trace}: ${remittance.amount:,.2f} for"
            f" {plural(current.count, 'claim')}, balanced"
        )
    else:
        errors = [f["message"] for f in remittance.findings if f["level"] == "error"]
        sentence = (
            f"{remittance.payer_name} {remittance.trace} does not balance and was not posted."
            f" {errors[0] if errors else ''}".strip()
        )
    record_steps(
        [
            Step(
                remittance.organization_id,
                "remittance.received" if good else "remittance.quarantined",
                sentence,
                keys,
                new=remittance.status,
            )
        ],
        actor=actor,
        at=at,
    )
    facts: dict[str, Any] = {"trace": remittance.trace, "claims": current.count}
    if not good:
        open_items(
            [
                ItemSpec(
                    remittance.organization_id,
                    "quarantined_files",
                    "remittance",
                    remittance.pk,
                    "unbalanced",
                    sentence[:200],
                    at + timedelta(days=1),
                    fix=(
                        "Ask the payer for a corrected file; when it comes, it takes this one's"
                        " place."
                    ),
                    dollars=abs(remittance.amount),
                    payer_id=remittance.payer_id,
                    payer_name=remittance.payer_name,
                    facts=facts,
                )
            ],
            actor=actor,
            at=at,
        )
        return
    if current.known is not None:
        close_items(
            "remittance",
            [remittance.pk],
            actor=actor,
            at=at,
            outcome="A file that balances took its place",
            queues=["quarantined_files"],
        )
    if current.exceptions:
        open_items(
            [
                ItemSpec(
                    remittance.organization_id,
                    "remittance_exceptions",
                    "remittance",
                    remittance.pk,
                    "review",
                    f"{current.exceptions} of {current.count} claims of {remittance.trace} need a"
                    " person before posting.",
                    at + timedelta(days=1),
                    fix="Resolve them, or post: their money goes to unapplied cash.",
                    dollars=current.stuck,
                    payer_id=remittance.payer_id,
                    payer_name=remittance.payer_name,
                    facts=facts | {"exceptions": current.exceptions},
                )
            ],
            actor=actor,
            at=at,
        )


# --- other doors ----------------------------------------------------------------------------------


def advice_upload(
    *,
    organization_id: int,
    content: bytes,
    file_name: str,
    actor: Actor,
    at: datetime | None = None,
) -> tuple[Interchange, bool]:
    """Store an 835 file; the posting workers read it, or the caller with `process`. Refused when
    its bytes are no 835.
    """
    from rcm.exchange.detect import detect

    actor.require("remittance.post")
    found = detect(content)
    if found.kind != "835":
        raise Refused(
            found.sentence
            or f"This file is {'not an X12 file' if found.kind == 'UNKNOWN' else found.kind}, not an 835.",
            code="not_835",
            field="file",
            fix="Choose the payer's 835 file.",
        )
    return store_inbound(
        organization_id=organization_id,
        kind="835",
        content=content,
        file_name=file_name,
        media_type="application/edi-x12",
        control_number=found.control_number,
        at=at,
        actor=actor,
    )


READ_AT_ONCE = 2 * 1024 * 1024


@transaction.atomic
def receive_now(
    interchange: Interchange, *, actor: Actor, at: datetime | None = None
) -> Interchange:
    """Read a stored file in the caller's transaction, so that the caller can answer with what is in
    it. A large one is left to the workers.
    """
    if interchange.status != InterchangeStatus.STORED or interchange.size > READ_AT_ONCE:
        return interchange
    at = at or timezone.now()
    try:
        with transaction.atomic():
            result = receive_835(interchange, actor=actor, at=at)
    except ParseProblem as problem:
        return mark(
            interchange, status=InterchangeStatus.FAILED, error=str(problem), actor=actor, at=at
        )
    return mark(interchange, status=InterchangeStatus.PROCESSED, summary=result, actor=actor, at=at)


@transaction.atomic
def remittance_match(*, remittance: Remittance, actor: Actor, at: datetime | None = None) -> int:
    """Look again for the claims of payments that were not found, before posting. Returns how many
    were found now.
    """
    rows = list(
        ClaimPayment.objects.select_for_update()
        .filter(
            remittance=remittance,
            state=PaymentState.EXCEPTION,
            exception__in=["no_match", "code_mismatch", "reversal_without_original"],
        )
        .prefetch_related("services")
    )
    facts = []
    for p in rows:
        last, _, first = p.patient_name.partition(", ")
        lines = sorted(p.services.all(), key=lambda s: s.position)
        facts.append(
            (
                m.Paid(
                    p.claim_number.strip(),
                    p.payer_control_number,
                    p.references.get("F8", ""),
                    p.billed,
                    p.member_id,
                    last,
                    first,
                    p.service_date,
                    frozenset(c for s in lines for c in (s.code, s.original_code) if c),
                ),
                [
                    m.PaidLine(s.control, s.code, s.modifiers, s.billed, s.original_code)
                    for s in lines
                ],
            )
        )
    found = 0
    payments: list[dict[str, Any]] = []
    services: list[dict[str, Any]] = []
    for p, result in zip(
        rows, match(facts, organization_id=remittance.organization_id), strict=True
    ):
        if result.claim is None or (
            any(line is None for line in result.lines) and p.status_code != REVERSAL
        ):
            continue
        found += 1
        payments.append(
            {
                "id": p.pk,
                "claim_id": result.claim.claim_id,
                "state": PaymentState.MATCHED,
                "exception": "",
                "sentence": "",
                "candidates": [],
            }
        )
        for s, line in zip(
            sorted(p.services.all(), key=lambda s: s.position), result.lines, strict=True
        ):
            if line is not None:
                services.append({"id": s.pk, "line_id": line.line_id, "expected": line.expected})
    bulk.update(ClaimPayment, payments)
    bulk.update(ServicePayment, services)
    if (
        rows
        and not ClaimPayment.objects.filter(
            remittance=remittance, state=PaymentState.EXCEPTION
        ).exists()
    ):
        close_items(
            "remittance",
            [remittance.pk],
            actor=actor,
            at=at,
            outcome="Every claim was found",
            queues=["remittance_exceptions"],
        )
    return found
