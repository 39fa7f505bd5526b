"""Doors of the ledger: post, reverse, balances at any date.

`post` writes many transactions at once in the caller's transaction. Each carries an effect key; a
key that stands already is skipped, so a repeated file, message or click posts nothing twice. The
database checks the zero sum again at commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from rcm.accounts import bulk
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.ledger.models import RECEIVABLE, Account, LedgerEntry, LedgerTransaction

ZERO = Decimal("0.00")
ENTRY = (
    "transaction_id",
    "account",
    "amount",
    "effective_on",
    "charge_id",
    "claim_id",
    "patient_id",
    "payer_id",
    "remittance_id",
    "reason",
)


class Unbalanced(Refused):
    """Legs that do not sum to zero: a mistake in the program, never a user's."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg: debit positive, credit negative."""

    account: str
    amount: Decimal
    charge_id: int | None = None
    claim_id: int | None = None
    patient_id: int | None = None
    payer_id: int | None = None
    remittance_id: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Posting:
    """One transaction to post."""

    organization_id: int
    kind: str
    effect_key: str
    effective_on: date
    description: str
    legs: Sequence[Leg] = field(default_factory=tuple)
    source_type: str = ""
    source_id: int | None = None
    reverses_id: int | None = None


@transaction.atomic
def post(postings: Iterable[Posting], *, actor: Actor) -> list[LedgerTransaction]:
    """Post transactions whose effect keys are new; return those written. Raises Unbalanced before
    anything is written.
    """
    written = post_many(postings, actor=actor)
    return list(LedgerTransaction.objects.filter(pk__in=written)) if written else []


@transaction.atomic
def post_many(postings: Iterable[Posting], *, actor: Actor) -> list[int]:
    """The same for thousands: the ids of the transactions that were written."""
    by_org: dict[int, dict[str, Posting]] = {}
    for p in postings:
        if not any(leg.amount for leg in p.legs):
            continue
        if sum([leg.amount for leg in p.legs], ZERO) != ZERO:
            raise Unbalanced(f"The legs of {p.effect_key} do not sum to zero.", code="unbalanced")
        by_org.setdefault(p.organization_id, {}).setdefault(p.effect_key, p)
    written: list[int] = []
    for org, wanted in by_org.items():
        # one writer per key: the unique index makes the second of two racers wait, then skip
        rows = _insert_transactions(org, [wanted[key] for key in sorted(wanted)], actor)
        if rows:
            _insert_entries(org, [(row_id, wanted[key]) for key, row_id in rows])
        written += [row_id for _, row_id in rows]
    return written


def _insert_transactions(
    organization_id: int, postings: Sequence[Posting], actor: Actor
) -> list[tuple[str, int]]:
    """Keys that were new, with their ids."""
    columns: dict[str, Sequence[Any]] = {
        "public_id": bulk.public_ids(len(postings)),
        "kind": [p.kind for p in postings],
        "effect_key": [p.effect_key for p in postings],
        "effective_on": [p.effective_on for p in postings],
        "description": [p.description[:200] for p in postings],
        "source_type": [p.source_type for p in postings],
        "source_id": [p.source_id for p in postings],
        "reverses_id": [p.reverses_id for p in postings],
    }
    same = {
        "organization_id": organization_id,
        "created_at": timezone.now(),
        "actor_name": actor.name,
        "user_id": actor.user_id,
    }
    return [
        (key, row_id)
        for key, row_id in bulk.insert_returning(
            LedgerTransaction,
            columns,
            ("effect_key", "id"),
            same=same,
            known_by=("organization_id", "effect_key"),
        )
    ]


def _insert_entries(organization_id: int, rows: Sequence[tuple[int, Posting]]) -> None:
    entries = [
        (
            row_id,
            leg.account,
            leg.amount,
            p.effective_on,
            leg.charge_id,
            leg.claim_id,
            leg.patient_id,
            leg.payer_id,
            leg.remittance_id,
            leg.reason[:12],
        )
        for row_id, p in rows
        for leg in p.legs
        if leg.amount
    ]
    # charges in one order, so that two postings never wait for each other in a circle (the balance
    # trigger locks by charge)
    entries.sort(key=lambda e: e[4] or 0)
    bulk.insert_columns(
        LedgerEntry,
        dict(zip(ENTRY, zip(*entries, strict=True), strict=True)),
        same={"organization_id": organization_id, "created_at": timezone.now()},
    )


@transaction.atomic
def reverse(
    transactions: Iterable[LedgerTransaction], *, effective_on: date, reason: str, actor: Actor
) -> list[LedgerTransaction]:
    """Counter-entries for each transaction. A transaction is reversed once; a second attempt is
    skipped by its effect key.
    """
    originals = list(transactions)
    legs: dict[int, list[Leg]] = {}
    for e in LedgerEntry.objects.filter(transaction__in=[t.pk for t in originals]):
        legs.setdefault(e.transaction_id, []).append(
            Leg(
                e.account,
                -e.amount,
                e.charge_id,
                e.claim_id,
                e.patient_id,
                e.payer_id,
                e.remittance_id,
                e.reason,
            )
        )
    return post(
        [
            Posting(
                organization_id=t.organization_id,
                kind=f"reversal:{t.kind}"[:40],
                effect_key=f"reverse:{t.pk}",
                effective_on=effective_on,
                description=f"Reversal: {reason}"[:200],
                legs=legs.get(t.pk, []),
                source_type=t.source_type,
                source_id=t.source_id,
                reverses_id=t.pk,
            )
            for t in originals
        ],
        actor=actor,
    )


def balances(
    key: str, ids: Iterable[int], *, on: date | None = None, accounts: Sequence[str] = RECEIVABLE
) -> dict[int, Decimal]:
    """Open balance by `charge_id`, `claim_id`, `patient_id` or `payer_id`, at the end of a day (now
    when not given). One query.
    """
    if key not in {"charge_id", "claim_id", "patient_id", "payer_id"}:
        raise ValueError(key)
    rows = LedgerEntry.objects.filter(account__in=list(accounts), **{f"{key}__in": list(ids)})
    if on is not None:
        rows = rows.filter(effective_on__lte=on)
    return {r[key]: r["total"] for r in rows.values(key).annotate(total=Sum("amount")).order_by()}


def balance_by_account(
    key: str, ids: Iterable[int], *, on: date | None = None
) -> dict[tuple[int, str], Decimal]:
    """Sum of entries by (id, account): the whole story of a charge or claim in one query."""
    if key not in {"charge_id", "claim_id", "patient_id", "payer_id", "remittance_id"}:
        raise ValueError(key)
    rows = LedgerEntry.objects.filter(**{f"{key}__in": list(ids)})
    if on is not None:
        rows = rows.filter(effective_on__lte=on)
    return {
        (r[key], r["account"]): r["total"]
        for r in rows.values(key, "account").annotate(total=Sum("amount")).order_by()
    }


__all__ = [
    "ZERO",
    "Account",
    "Leg",
    "Posting",
    "Unbalanced",
    "balance_by_account",
    "balances",
    "post",
    "post_many",
    "reverse",
]
