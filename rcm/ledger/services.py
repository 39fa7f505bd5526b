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

from django.db import connection, transaction
from django.db.models import Sum

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.ledger.models import RECEIVABLE, Account, LedgerEntry, LedgerTransaction

ZERO = Decimal("0.00")


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
    wanted: dict[tuple[int, str], Posting] = {}
    for p in postings:
        legs = [leg for leg in p.legs if leg.amount != ZERO]
        if not legs:
            continue
        if sum((leg.amount for leg in legs), ZERO) != ZERO:
            raise Unbalanced(f"The legs of {p.effect_key} do not sum to zero.", code="unbalanced")
        wanted.setdefault((p.organization_id, p.effect_key), p)
    if not wanted:
        return []
    by_org: dict[int, list[str]] = {}
    for org, key in wanted:
        by_org.setdefault(org, []).append(key)
    written: list[LedgerTransaction] = []
    for org, keys in by_org.items():
        # one writer per key: the unique index makes the second of two racers wait, then skip
        rows = _insert_transactions([wanted[(org, k)] for k in sorted(keys)], actor)
        entries = [
            LedgerEntry(
                organization_id=org,
                transaction_id=row_id,
                account=leg.account,
                amount=leg.amount,
                effective_on=p.effective_on,
                charge_id=leg.charge_id,
                claim_id=leg.claim_id,
                patient_id=leg.patient_id,
                payer_id=leg.payer_id,
                remittance_id=leg.remittance_id,
                reason=leg.reason[:12],
            )
            for key, row_id in rows.items()
            for p in (wanted[(org, key)],)
            for leg in p.legs
            if leg.amount != ZERO
        ]
        # charges in one order, so that two postings never wait for each other in a circle (the
        # balance trigger locks by charge)
        entries.sort(key=lambda e: e.charge_id or 0)
        LedgerEntry.objects.bulk_create(entries, batch_size=5000)
        written.extend(LedgerTransaction.objects.filter(pk__in=rows.values()))
    return written


def _insert_transactions(postings: Sequence[Posting], actor: Actor) -> dict[str, int]:
    """INSERT … ON CONFLICT DO NOTHING RETURNING: keys that were new, with their ids."""
    import uuid6

    out: dict[str, int] = {}
    with connection.cursor() as cursor:
        for start in range(0, len(postings), 2000):
            part = postings[start : start + 2000]
            values: list[str | int | date | None] = []
            for p in part:
                values += [
                    str(uuid6.uuid7()),
                    p.organization_id,
                    p.kind,
                    p.effect_key,
                    p.effective_on,
                    p.description[:200],
                    actor.name,
                    actor.user_id,
                    p.source_type,
                    p.source_id,
                    p.reverses_id,
                ]
            rows = ", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())"] * len(part))
            cursor.execute(
                "INSERT INTO ledger_ledgertransaction (public_id, organization_id, kind, effect_key, effective_on, description, actor_name, "  # noqa: S608
                f"user_id, source_type, source_id, reverses_id, created_at) VALUES {rows} "
                "ON CONFLICT (organization_id, effect_key) DO NOTHING RETURNING effect_key, id",
                values,
            )
            out.update(cursor.fetchall())
    return out


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
    "reverse",
]
