"""Payments to claims and lines, for many at once: a handful of queries whatever their number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from claims.models import Claim as ClaimRow
from claims.models import ClaimLine as LineRow
from claims.models import ClaimStatus
from remittance import matching as m
from remittance.models import ClaimPayment, PaymentState

LONGEST_CHAIN = 5  # corrections of corrections


@dataclass(slots=True)
class Match:
    claim: m.Claim | None
    lines: list[m.ClaimLine | None] = field(default_factory=list)
    candidates: list[m.Candidate] = field(default_factory=list)


_FIELDS = (
    "id",
    "number",
    "patient_id",
    "payer_id",
    "rank",
    "total",
    "service_date",
    "payer_control_number",
    "coverage__member_id",
    "patient__last_name",
    "patient__first_name",
)


def claims_where(where: Q, *, organization_id: int, limit: int | None = None) -> list[m.Claim]:
    """Claims as matching sees them, with their lines: two queries."""
    rows = (
        ClaimRow.objects.filter(where, organization_id=organization_id)
        .order_by("id")
        .values_list(*_FIELDS)
    )
    found = list(rows[:limit] if limit else rows)
    lines: dict[int, list[m.ClaimLine]] = defaultdict(list)
    for claim_id, pk, charge_id, control, code, modifiers, amount, expected in (
        LineRow.objects.filter(claim_id__in=[r[0] for r in found])
        .order_by("claim_id", "number")
        .values_list(
            "claim_id", "id", "charge_id", "control", "code", "modifiers", "amount", "expected"
        )
    ):
        lines[claim_id].append(
            m.ClaimLine(pk, charge_id, control, code, modifiers, amount, expected)
        )
    return [
        m.Claim(
            pk,
            number,
            patient,
            payer,
            rank,
            total,
            day,
            member or "",
            last,
            first,
            icn,
            lines.get(pk, ()),
        )
        for pk, number, patient, payer, rank, total, day, icn, member, last, first in found
    ]


def match(
    paid: Sequence[tuple[m.Paid, Sequence[m.PaidLine]]], *, organization_id: int
) -> list[Match]:
    """The claim and lines of each payment; candidates for those without."""
    numbers = {p.number for p, _ in paid if p.number}
    by_number = {
        c.number: c for c in claims_where(Q(number__in=numbers), organization_id=organization_id)
    }
    found: list[m.Claim | None] = [by_number.get(p.number) for p, _ in paid]
    left = [i for i, c in enumerate(found) if c is None]
    if left:
        controls = {
            n
            for i in left
            for n in (paid[i][0].payer_control_number, paid[i][0].original_control)
            if n
        }
        by_control: dict[str, list[m.Claim]] = defaultdict(list)
        for known in (
            claims_where(Q(payer_control_number__in=controls), organization_id=organization_id)
            if controls
            else ()
        ):
            by_control[known.payer_control_number].append(known)
        for i in left:
            p = paid[i][0]
            for number in (p.original_control, p.payer_control_number):
                fits = by_control.get(number, []) if number else []
                if len(fits) == 1:
                    found[i] = fits[0]
                    break
    left = [i for i, c in enumerate(found) if c is None]
    pool = _pool([paid[i][0] for i in left], organization_id=organization_id) if left else []
    found = _followed(found, paid, organization_id=organization_id)
    out: list[Match] = []
    for i, (p, lines) in enumerate(paid):
        claim = found[i] or (m.sure(p, pool) if pool else None)
        if claim is None:
            out.append(Match(None, [None] * len(lines), m.candidates(p, pool)))
        else:
            out.append(Match(claim, m.match_lines(lines, claim.lines)))
    return out


def _followed(
    found: Sequence[m.Claim | None],
    paid: Sequence[tuple[m.Paid, Sequence[m.PaidLine]]],
    *,
    organization_id: int,
) -> list[m.Claim | None]:
    """An answer under the number of a replaced claim is the replacement's, unless only the old one
    carries what it pays. What is taken back (a negative charge) stays with the old one.
    """
    out = list(found)
    for _ in range(LONGEST_CHAIN):
        asked = {c.claim_id for c, (p, _) in zip(out, paid, strict=True) if c and p.billed >= 0}
        newer = {
            row.replaces_id: row.pk
            for row in ClaimRow.objects.filter(
                organization_id=organization_id,
                replaces_id__in=asked,
                replaces__status=ClaimStatus.REPLACED,
            )
            .exclude(status__in=[ClaimStatus.VOID, ClaimStatus.DRAFT, ClaimStatus.BLOCKED])
            .order_by("id")
        }
        if not newer:
            return out
        known = {
            c.claim_id: c
            for c in claims_where(Q(pk__in=newer.values()), organization_id=organization_id)
        }
        for i, claim in enumerate(out):
            p, lines = paid[i]
            if claim is None or p.billed < 0 or claim.claim_id not in newer:
                continue
            after = known[newer[claim.claim_id]]
            fits_after = None not in m.match_lines(lines, after.lines)
            if fits_after or None in m.match_lines(lines, claim.lines):
                out[i] = after
    return out


def _pool(paid: Iterable[m.Paid], *, organization_id: int) -> list[m.Claim]:
    """Claims that share a day and something else with any of the payments."""
    rows = list(paid)
    days = {p.service_date for p in rows if p.service_date}
    members = {p.member_id for p in rows if p.member_id}
    names = {p.last_name for p in rows if p.last_name}
    where = Q(coverage__member_id__in=members)
    if days:
        some = Q(total__in={abs(p.billed) for p in rows})
        for name in sorted(names)[:200]:
            some |= Q(patient__last_name__iexact=name)
        where |= Q(service_date__in=days) & some
    return claims_where(where, organization_id=organization_id, limit=5000)


def earlier_payments(
    rows: Iterable[tuple[int, str, str, Any]], *, organization_id: int
) -> dict[tuple[int, str, str, Any], int]:
    """Posted payments with the same (claim, payer's number, status, paid): the key of a repeated
    one → its id.
    """
    wanted = set(rows)
    if not wanted:
        return {}
    found = ClaimPayment.objects.filter(
        organization_id=organization_id,
        claim_id__in={k[0] for k in wanted},
        state=PaymentState.POSTED,
    ).values_list("claim_id", "payer_control_number", "status_code", "paid", "id")
    return {key: pk for *parts, pk in found if (key := tuple(parts)) in wanted}
