"""An 835 file becomes remittances: read once, claim by claim, matched and written in chunks; what
does not balance leaves only its figures.

The whole file is one transaction. A set that fails at its trailer, is paid to somebody else or
names no date is rolled back to where it began and kept as held with its figures; the bytes stay in
the interchange. A payment that came before (rule `remittance-once`), by payer, trace, date, amount
and claims, is refused with a link to the first; under the same number for other claims it is
another payment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from rcm.accounts import bulk
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization, Site
from rcm.exchange import contents
from rcm.exchange.models import Interchange, SetOutcome
from rcm.exchange.services import ParseProblem, publish_many
from rcm.reference.facts import payer_book
from rcm.reference.models import Payer
from rcm.x12 import model as x12
from rcm.x12.readers.remittance import stream_835
from remittance import payees
from remittance.models import (
    ClaimPayment,
    HeldFor,
    ProviderAdjustment,
    Remittance,
    RemittanceStatus,
)
from remittance.plan import Book
from remittance.services.reference import book
from remittance.services.reopening import correction_of, reopen
from remittance.services.sets import CHUNK, MOST_FINDINGS, ReadSet, write_claims
from remittance.services.telling import first_words, told, told_again

MOST_REFUSED = 20
"""Refused repeats that a file's summary names one by one."""


@dataclass(slots=True)
class _File:
    """One file while it is read: whose it is, what it came to so far."""

    interchange: Interchange
    codes: Book
    actor: Actor
    at: datetime
    source: str
    own: payees.Owner
    ready: list[int] = field(default_factory=list)
    reopened: list[Remittance] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def organization_id(self) -> int:
        return self.interchange.organization_id

    def outcome(self, current: ReadSet, outcome: SetOutcome) -> None:
        """Say what became of one set."""
        self.result["outcomes"][current.header.position] = outcome


@transaction.atomic
def receive_835(
    interchange: Interchange, *, actor: Actor, at: datetime, source: str = "835"
) -> dict[str, Any]:
    """Read one stored 835. Returns counts and totals for the interchange browser; `refused` names
    the first of each payment that came again, `outcomes` what became of each set by its segment. Raises ParseProblem when it is no 835.
    """
    file = _File(interchange, book(), actor, at, source, owners([interchange.organization_id])[0])
    file.result = {
        "outcomes": {},
        "remittances": 0,
        "quarantined": 0,
        "duplicates": 0,
        "claims": 0,
        "amount": "0.00",
    }
    current: ReadSet | None = None
    try:
        for part in stream_835(bytes(interchange.content)):
            if isinstance(part, x12.RemittanceHeader):
                current = _begin(part, file)
            elif current is None:
                continue
            elif isinstance(part, x12.ClaimPayment):
                current.take(part)
                if current.written:
                    current.buffer.append(part)
                    if len(current.buffer) >= CHUNK:
                        write_claims(current, file.codes, organization_id=file.organization_id)
            else:
                _end(current, part, file)
                current = None
    except x12.NotX12 as problem:
        raise ParseProblem(str(problem)) from problem
    for row in file.reopened:
        reopen(row, actor=actor, at=at)
    publish_many(
        "remittance.ready",
        organization_id=file.organization_id,
        payloads=[{"remittance_id": pk} for pk in file.ready],
        due_at=at,
    )
    return file.result


@transaction.atomic
def read_here(
    interchange: Interchange, *, actor: Actor, at: datetime, source: str
) -> dict[str, Any]:
    """Read the 835 sets of a stored file outside the exchange's turn, and keep what became of
    each.
    """
    result = receive_835(interchange, actor=actor, at=at, source=source)
    outcomes = {place: (outcome, "") for place, outcome in result.pop("outcomes").items()}
    found = [s for s in contents.sets_in(bytes(interchange.content)) if s.position in outcomes]
    contents.keep_outcomes(interchange, found, outcomes)
    return result


def owners(organization_ids: Sequence[int] | None = None) -> list[payees.Owner]:
    """Organizations of this office with the numbers they are paid under: their own and their
    sites'. All of them without ids. Two queries.
    """
    rows = Organization.objects.order_by("id")
    sites = Site.objects.order_by("id")
    if organization_ids is not None:
        rows = rows.filter(pk__in=organization_ids)
        sites = sites.filter(organization_id__in=organization_ids)
    places: dict[int, set[str]] = {}
    for organization_id, npi in sites.values_list("organization_id", "npi"):
        places.setdefault(organization_id, set()).add(npi)
    return [
        payees.Owner(
            row.pk,
            row.name,
            frozenset({row.npi, *places.get(row.pk, ())} - {""}),
            frozenset({payees.digits(row.tin)} - {""}),
        )
        for row in rows
    ]


def payee_of(header: x12.RemittanceHeader) -> payees.Payee:
    """The payee as the file names it."""
    party = header.payee
    tin = party.tax_id or (party.id if party.id_qualifier == "FI" else "")
    return payees.Payee(party.name[:60], payees.digits(party.npi)[:10], payees.digits(tin)[:10])


def _not_ours(payee: payees.Payee, own: payees.Owner) -> str:
    if not payees.why_not_ours(payee, own, ()):
        return ""
    others = [o for o in owners() if o.organization_id != own.organization_id]
    return payees.why_not_ours(payee, own, others)


def _begin(header: x12.RemittanceHeader, file: _File) -> ReadSet:
    # the same payment by two doors at once: the second waits here and finds the first
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 71))",
            [f"835:{file.organization_id}:{header.trace[:50]}:{header.trace_payer[:30]}"],
        )
    current = ReadSet(
        header,
        bulk.ids(Remittance, 1)[0],
        transaction.savepoint(),
        _payer(header),
        _not_ours(payee_of(header), file.own),
    )
    # what is somebody else's is not matched against our patients
    current.written = not current.not_ours
    current.note(header.findings)
    return current


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


def _end(current: ReadSet, trailer: x12.RemittanceTrailer, file: _File) -> None:
    header = current.header
    current.note(trailer.findings)
    rows = _under_this_number(header, file)
    slot = next((r for r in rows if _is_slot(r, header, file)), None)
    paid_on = header.payment_date or header.production_date
    if paid_on is None and slot is not None and slot.dated_by:
        paid_on = slot.paid_on
    identity, claims_key = current.keys(trailer, paid_on)
    live = [r for r in rows if r.status != RemittanceStatus.QUARANTINED]
    if paid_on is None:
        # the same payment once more whose date a person has given before
        paid_on = next(
            (
                r.paid_on
                for r in live
                if r.dated_by and current.keys(trailer, r.paid_on)[0] == r.identity
            ),
            None,
        )
        identity, claims_key = current.keys(trailer, paid_on)
    held = _held(current, trailer, paid_on)
    first = next((r for r in live if r.identity == identity), None) or _as_before(
        live, current, trailer
    )
    if first is not None and not held:
        transaction.savepoint_rollback(current.savepoint)
        _repeated(first, current, file)
        return
    if held:
        transaction.savepoint_rollback(current.savepoint)
    else:
        write_claims(current, file.codes, organization_id=file.organization_id)
        transaction.savepoint_commit(current.savepoint)
    known = slot or _awaited(rows, current, paid_on, claims_key)
    values = _values(current, trailer, file, held=held, paid_on=paid_on)
    values |= {"identity": identity, "claims_key": claims_key}
    remittance = _keep(known, current, values, file, rows)
    if not held:
        _withheld(remittance, trailer)
        _compare(remittance, live)
        file.ready.append(remittance.pk)
    told(remittance, current, took_place=known is not None, actor=file.actor, at=file.at)
    file.outcome(current, SetOutcome.HELD if held else SetOutcome.READ)
    file.result["quarantined" if held else "remittances"] += 1
    file.result["claims"] += current.count
    file.result["amount"] = str(Decimal(file.result["amount"]) + header.amount)


def _under_this_number(header: x12.RemittanceHeader, file: _File) -> list[Remittance]:
    """Payments of this payer under the same number, and the one read from this very place."""
    rows = Remittance.objects.select_for_update().filter(organization_id=file.organization_id)
    number = rows.filter(trace=header.trace[:50], payer_ref=header.trace_payer[:30])
    if not header.trace:
        number = rows.filter(trace__startswith="NOTRACE-", payer_ref=header.trace_payer[:30])
    return list(number.order_by("id"))


def _is_slot(row: Remittance, header: x12.RemittanceHeader, file: _File) -> bool:
    """Whether a remittance was read from this place of this file before and waits."""
    return (
        row.interchange_id == file.interchange.pk
        and row.segment_start == header.position
        and row.status == RemittanceStatus.QUARANTINED
    )


def _as_before(
    rows: Sequence[Remittance], current: ReadSet, trailer: x12.RemittanceTrailer
) -> Remittance | None:
    """The same payment among those kept before identities were."""
    header = current.header
    for row in rows:
        if row.identity:
            continue
        same_day = header.payment_date is None or row.paid_on == header.payment_date
        figures = (row.amount, row.claims_total, row.claim_count)
        if same_day and figures == (header.amount, trailer.sum_paid, current.count):
            return row
    return None


def _held(current: ReadSet, trailer: x12.RemittanceTrailer, paid_on: date | None) -> str:
    """Why the set is held; empty when it may be posted. Each cause is among its findings."""
    header = current.header
    refusal = header.origin.refusal
    causes: list[str] = [] if trailer.balanced else [HeldFor.BALANCE]
    if refusal:
        current.fault("version", "GS08", refusal, "Ask the payer for version 005010.")
        causes.append(HeldFor.VERSION)
    if current.not_ours:
        current.fault(
            "payee",
            "N1*PE",
            current.not_ours,
            "Load it for the organization it pays, or add the number to this organization or site"
            " and read it again.",
        )
        causes.append(HeldFor.PAYEE)
    if paid_on is None:
        current.fault(
            "no-date",
            "BPR16",
            "The file names no date of payment.",
            "Take the date from the bank statement or ask the payer, and enter it here.",
        )
        causes.append(HeldFor.DATE)
    return causes[0] if causes else ""


def _repeated(first: Remittance, current: ReadSet, file: _File) -> None:
    """The same payment again: nothing is written. One that was reversed is taken up again."""
    same_place = (first.interchange_id, first.segment_start) == (
        file.interchange.pk,
        current.header.position,
    )
    if first.status == RemittanceStatus.REVERSED and correction_of(first) is None:
        # the same payment once more, after it was reversed here: it can be corrected and posted
        file.reopened.append(first)
        file.outcome(current, SetOutcome.REPEATED)
        file.result["remittances"] += 1
        told_again(first, file.interchange, actor=file.actor, at=file.at, reopened=True)
        return
    file.outcome(current, SetOutcome.READ if same_place else SetOutcome.REPEATED)
    if same_place:
        file.result["remittances"] += 1
        return
    file.result["duplicates"] += 1
    refused = file.result.setdefault("refused", [])
    if len(refused) < MOST_REFUSED:
        refused.append(
            {
                "remittance": str(first.public_id),
                "trace": first.trace,
                "paid_on": first.paid_on.isoformat(),
                "status": first.status,
                "sentence": f"{first_words(first)} came again and was refused.",
            }
        )
    told_again(first, file.interchange, actor=file.actor, at=file.at)


def _awaited(
    rows: Sequence[Remittance], current: ReadSet, paid_on: date | None, claims_key: str
) -> Remittance | None:
    """The held payment that this one corrects: same number and day, and the same claims where no
    money tells it from another.
    """
    for row in rows:
        if row.status != RemittanceStatus.QUARANTINED:
            continue
        same_day = paid_on is None or row.held_for == HeldFor.DATE or row.paid_on == paid_on
        same_claims = row.claims_key == claims_key
        if same_day and (same_claims or (row.amount and current.header.amount)):
            return row
    return None


def _values(
    current: ReadSet,
    trailer: x12.RemittanceTrailer,
    file: _File,
    *,
    held: str,
    paid_on: date | None,
) -> dict[str, Any]:
    header, payer = current.header, current.payer
    payer_id = payer.pk if payer else None
    if payer is None and not held and current.payers:
        payer_id = current.payers.most_common(1)[0][0]
    payee = payee_of(header)
    name = header.payer.name or (payer.name if payer else "Payer not named")
    return {
        "interchange": file.interchange,
        "payer_id": payer_id,
        "payer_name": name[:80],
        "method": header.method[:3],
        "paid_on": paid_on or office_day(file.at),
        "amount": header.amount,
        "claims_total": trailer.sum_paid,
        "plb_total": trailer.sum_provider_adjustments,
        "status": RemittanceStatus.QUARANTINED if held else RemittanceStatus.READY,
        "held_for": held,
        "payee_name": payee.name,
        "payee_npi": payee.npi,
        "payee_tin": payee.tin,
        "findings": _worst_first(current.findings),
        "received_at": file.at,
        "claim_count": current.count,
        "segment_start": header.position,
        "source": file.source,
    }


def _keep(
    known: Remittance | None,
    current: ReadSet,
    values: dict[str, Any],
    file: _File,
    rows: Sequence[Remittance],
) -> Remittance:
    """Write the remittance, in the place of the held one it corrects or as a further one under its
    number.
    """
    if known is not None:
        ClaimPayment.objects.filter(remittance_id=current.remittance_id).update(
            remittance_id=known.pk
        )
        Remittance.objects.filter(pk=known.pk).update(**values, version=known.version + 1)
        return Remittance.objects.get(pk=known.pk)
    header = current.header
    trace = header.trace[:50] or f"NOTRACE-{values['identity'][:20]}"
    last = max((r.occurrence for r in rows if r.trace == trace), default=0)
    remittance = Remittance(
        pk=current.remittance_id,
        organization_id=file.organization_id,
        trace=trace,
        payer_ref=header.trace_payer[:30],
        occurrence=last + 1,
        **values,
    )
    remittance.save(force_insert=True)
    return remittance


def _compare(remittance: Remittance, rows: Sequence[Remittance]) -> None:
    """Money under the same number on the same day about a claim of this one: perhaps a correction
    of it, so a person posts it.
    """
    same = [r.pk for r in rows if r.paid_on == remittance.paid_on and r.amount]
    if not same or not remittance.amount:
        return
    mine = ClaimPayment.objects.filter(remittance=remittance).values("claim_number")
    shared = ClaimPayment.objects.filter(remittance_id__in=same, claim_number__in=mine)
    found = shared.order_by("-remittance_id").values_list("remittance_id", flat=True).first()
    if found is not None:
        remittance.resembles_id = found
        remittance.save(update_fields=["resembles_id"])


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
