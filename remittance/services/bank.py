"""ERA, EFT, deposit: lines of a bank file against remittances by trace and amount."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from rcm.accounts import bulk
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.web.forms import read_date, read_money
from rcm.worklist.models import WorkItem
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance.models import BankLayout, Deposit, Remittance, RemittanceStatus
from remittance.records import DepositResult

BANK = "bank"
MOST_ROWS, MOST_BYTES = 50_000, 10 * 1024 * 1024
HEADS = {
    "date": (
        "date",
        "deposited",
        "posting date",
        "deposited on",
        "post date",
        "posted date",
        "transaction date",
        "value date",
        "effective date",
        "book date",
        "settlement date",
    ),
    "amount": (
        "amount",
        "credit",
        "deposit",
        "credit amount",
        "deposit amount",
        "credits",
        "deposits",
        "amount (usd)",
        "transaction amount",
        "net amount",
    ),
    "reference": (
        "reference",
        "trace",
        "eft",
        "check",
        "trace number",
        "reference number",
        "reference no",
        "ref",
        "bank reference",
        "check number",
        "eft number",
        "addenda",
        "transaction id",
        "customer reference",
    ),
    "description": ("description", "details", "memo", "narrative", "payee", "transaction details"),
    "debit": ("debit", "debit amount", "withdrawal", "withdrawals", "debits"),
}
NEEDED = ("date", "amount", "reference")
SAMPLE = 4096
NEAR_DAYS = timedelta(days=45)
MOST_NEAR = 2000
"""Waiting deposits and remittances that are compared with each other."""
FIND_WITHIN = 3
"""Business days after which a bank line without remittance is late."""
EXPECT_WITHIN = 5
"""Business days within which the money of a posted remittance is expected on a bank file."""
CENT = Decimal("0.01")


def _plain(head: str) -> str:
    """A column's name as it is compared."""
    return " ".join(head.strip().casefold().replace("_", " ").replace(".", "").split())


def _table(content: bytes) -> csv.DictReader[str]:
    """The lines of a bank file. Refused when it is too large or no text."""
    if len(content) > MOST_BYTES:
        raise Refused(
            "A bank file may have 10 MB.",
            field="file",
            code="too_large",
            fix="Export a shorter period.",
            status=413,
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise Refused(
            "This file is no UTF-8 text.",
            field="file",
            code="not_text",
            fix="Save it as CSV UTF-8.",
        ) from problem
    first = text[:SAMPLE].splitlines()[0] if text.strip() else ""
    mark = max(",;\t|", key=first.count)
    return csv.DictReader(io.StringIO(text), delimiter=mark)


def bank_heads(content: bytes) -> list[str]:
    """The columns that a bank file names, in its own words."""
    return [h.strip() for h in _table(content).fieldnames or () if h and h.strip()]


def _columns(
    heads: Sequence[str], organization_id: int, mapping: Mapping[str, str] | None
) -> dict[str, str]:
    """Column by meaning: as mapped now, as mapped once before, or by a common name. Refused with
    what the file names when one is missing.
    """
    layout = BankLayout.objects.filter(organization_id=organization_id).first()
    kept = dict(layout.columns) if layout else {}
    found: dict[str, str] = {}
    for meaning, names in HEADS.items():
        said = (mapping or {}).get(meaning) or kept.get(meaning)
        by_name = next((h for h in heads if _plain(h) in names), None)
        column = said if said in heads else by_name
        if column:
            found[meaning] = column
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise Refused(
            f"The first line names no {', '.join(missing)} column. It names:"
            f" {', '.join(heads[:12]) or 'nothing'}.",
            field="file",
            code="no_columns",
            fix="Say below which column is which; it is remembered.",
        )
    if mapping and any(mapping.values()):
        BankLayout.objects.update_or_create(
            organization_id=organization_id,
            defaults={"columns": {k: v for k, v in found.items() if k in HEADS}},
        )
    return found


@transaction.atomic
def deposits_import(
    *,
    organization_id: int,
    content: bytes,
    actor: Actor,
    mapping: Mapping[str, str] | None = None,
    at: datetime | None = None,
) -> DepositResult:
    """Read a CSV with date, amount, reference and optionally description. `mapping` names the
    file's own columns for them and is remembered for the organization. A line that is there already
    is counted, not repeated; a line with a debit alone is a withdrawal and no deposit.
    """
    actor.require("remittance.post", organization_id)
    at = at or timezone.now()
    rows = _table(content)
    heads = [h for h in rows.fieldnames or () if h]
    rows.fieldnames = [(h or "").strip() for h in rows.fieldnames or ()]
    columns = _columns([h.strip() for h in heads], organization_id, mapping)
    result = DepositResult()
    seen: Counter[tuple[date, str, Decimal]] = Counter()
    fresh: list[Deposit] = []
    try:
        for number, row in enumerate(rows, 2):
            if number > MOST_ROWS:
                raise Refused(
                    f"A bank file may have {MOST_ROWS:,} lines.",
                    field="file",
                    code="too_large",
                    fix="Export a shorter period.",
                    status=413,
                )
            line = {k: str(row.get(column) or "").strip() for k, column in columns.items()}
            if not line["amount"] and line.get("debit"):
                result.withdrawals += 1
                continue
            day, amount = read_date(line["date"]), read_money(line["amount"])
            if day is None or not amount:
                words = "The date cannot be read." if day is None else "The amount cannot be read."
                result.bad.append((number, words))
                continue
            reference = line["reference"][:50]
            key = (day, reference, amount)
            seen[key] += 1
            fresh.append(
                Deposit(
                    organization_id=organization_id,
                    deposited_on=day,
                    reference=reference,
                    amount=amount,
                    occurrence=seen[key],
                    description=line.get("description", "")[:120],
                )
            )
    except csv.Error as problem:
        raise Refused("This file is no CSV.", field="file", code="not_csv") from problem
    before = Deposit.objects.filter(organization_id=organization_id).count()
    Deposit.objects.bulk_create(fresh, batch_size=1000, ignore_conflicts=True)
    result.added = Deposit.objects.filter(organization_id=organization_id).count() - before
    result.repeated = len(fresh) - result.added
    result.matched = deposits_match(organization_id=organization_id, actor=actor, at=at)
    return result


@transaction.atomic
def deposits_match(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """Join open deposits to remittances whose trace stands in the reference and whose amount is the
    same. Each is joined once.
    """
    at = at or timezone.now()
    waiting = list(
        Deposit.objects.select_for_update()
        .filter(organization_id=organization_id, remittance__isnull=True)
        .order_by("deposited_on", "id")
    )
    if not waiting:
        return 0
    rows = (
        Remittance.objects.filter(
            organization_id=organization_id,
            deposited_on__isnull=True,
            amount__in={d.amount for d in waiting},
        )
        .exclude(status=RemittanceStatus.QUARANTINED)
        .order_by("paid_on", "id")
    )
    by_amount: dict[Decimal, list[Remittance]] = {}
    for r in rows:
        by_amount.setdefault(r.amount, []).append(r)
    steps: list[Step] = []
    matched = 0
    for d in waiting:
        fits = [
            r
            for r in by_amount.get(d.amount, [])
            if r.trace and r.trace.casefold() in f"{d.reference} {d.description}".casefold()
        ]
        if not fits:
            continue
        r = fits[0]
        by_amount[d.amount].remove(r)
        Deposit.objects.filter(pk=d.pk).update(remittance=r)
        Remittance.objects.filter(pk=r.pk).update(deposited_on=d.deposited_on)
        steps.append(
            Step(
                organization_id,
                "remittance.deposited",
                f"${d.amount:,.2f} seen on the bank file of {d.deposited_on:%b %-d}",
                {"remittance_id": r.pk},
            )
        )
        matched += 1
    record_steps(steps, actor=actor, at=at)
    _ask_about_rest(organization_id, actor=actor, at=at)
    undeposited_ask(organization_id=organization_id, actor=actor, at=at)
    return matched


def how_near(deposit: Deposit, remittance: Remittance) -> str:
    """By how little a bank line misses a remittance, in words; empty when they have nothing to do
    with each other.
    """
    if abs(deposit.deposited_on - remittance.paid_on) > NEAR_DAYS:
        return ""
    named = bool(remittance.trace) and remittance.trace.casefold() in (
        f"{deposit.reference} {deposit.description}".casefold()
    )
    apart = abs(deposit.amount - remittance.amount)
    figures = f"${deposit.amount:,.2f} and ${remittance.amount:,.2f}"
    if not apart:
        return "" if named else "Same amount, the reference names another number"
    if swapped(deposit.amount, remittance.amount):
        return f"Two digits swapped: {figures}"
    if apart <= CENT:
        return f"A cent apart: {figures}"
    if named:
        return f"Same number, ${apart:,.2f} apart: {figures}"
    return ""


def swapped(one: Decimal, other: Decimal) -> bool:
    """Whether two amounts differ by two digits that changed places, next to each other."""
    a, b = f"{one:.2f}", f"{other:.2f}"
    if len(a) != len(b):
        return False
    digits_a, digits_b = a.replace(".", ""), b.replace(".", "")
    places = [i for i, (x, y) in enumerate(zip(digits_a, digits_b, strict=True)) if x != y]
    if len(places) != 2 or places[1] != places[0] + 1:
        return False
    first, second = places
    return digits_a[first] == digits_b[second] and digits_a[second] == digits_b[first]


def _ask_about_rest(organization_id: int, *, actor: Actor, at: datetime) -> None:
    """Every bank line without its remittance has an item and its nearest remittance; items of what
    was joined are closed.
    """
    waiting = list(
        Deposit.objects.filter(
            organization_id=organization_id, remittance__isnull=True, amount__gt=0
        ).order_by("deposited_on", "id")[:MOST_NEAR]
    )
    rows = list(
        Remittance.objects.filter(
            organization_id=organization_id, deposited_on__isnull=True, amount__gt=0
        ).order_by("-paid_on", "-id")[:MOST_NEAR]
    )
    changed: list[dict[str, Any]] = []
    for d in waiting:
        near, words = next(((r, found) for r in rows if (found := how_near(d, r))), (None, ""))
        if (d.near_id, d.near_words) != (near.pk if near else None, words[:120]):
            d.near, d.near_words = near, words[:120]
            changed.append({"id": d.pk, "near_id": d.near_id, "near_words": d.near_words})
    bulk.update(Deposit, changed)
    open_items([_deposit_item(d) for d in waiting], actor=actor, at=at)
    open_now = WorkItem.objects.filter(
        organization_id=organization_id, queue=BANK, subject_type="deposit", status="open"
    ).values_list("subject_id", flat=True)
    joined = Deposit.objects.filter(pk__in=list(open_now), remittance__isnull=False)
    close_items(
        "deposit",
        list(joined.values_list("pk", flat=True)),
        actor=Actor.system("bank", [organization_id]),
        at=at,
        outcome="Its remittance was found",
        queues=[BANK],
    )


def undeposited_ask(*, organization_id: int, actor: Actor, at: datetime) -> int:
    """Work for posted remittances with money that no bank file shows after some days; closed when
    it does. Only where the organization loads bank files. Returns the number of open items.
    """
    if not Deposit.objects.filter(organization_id=organization_id).exists():
        return 0
    clock = office_clock()
    last = clock.add_business_days(clock.today(at), -EXPECT_WITHIN)
    late = list(
        Remittance.objects.filter(
            organization_id=organization_id,
            status=RemittanceStatus.POSTED,
            amount__gt=0,
            deposited_on__isnull=True,
            paid_on__lte=last,
        ).order_by("id")[:MOST_NEAR]
    )
    open_items(
        [
            ItemSpec(
                organization_id,
                BANK,
                "remittance",
                r.pk,
                "not_at_the_bank",
                f"{r.payer_name} {r.trace} over ${r.amount:,.2f} is posted, and no bank file shows"
                " it.",
                clock.ends(clock.add_business_days(r.paid_on, EXPECT_WITHIN + FIND_WITHIN)),
                fix="Look for the money at the bank; reverse the remittance if it never came.",
                dollars=r.amount,
                payer_id=r.payer_id,
                payer_name=r.payer_name,
                facts={"trace": r.trace, "received": r.paid_on.isoformat()},
            )
            for r in late
        ],
        actor=actor,
        at=at,
    )
    open_now = WorkItem.objects.filter(
        organization_id=organization_id, queue=BANK, subject_type="remittance", status="open"
    ).values_list("subject_id", flat=True)
    found = Remittance.objects.filter(pk__in=list(open_now)).exclude(
        status=RemittanceStatus.POSTED, deposited_on__isnull=True
    )
    close_items(
        "remittance",
        list(found.values_list("pk", flat=True)),
        actor=Actor.system("bank", [organization_id]),
        at=at,
        outcome="Seen on a bank file",
        queues=[BANK],
    )
    return len(late)


def _deposit_item(d: Deposit) -> ItemSpec:
    clock = office_clock()
    return ItemSpec(
        d.organization_id,
        BANK,
        "deposit",
        d.pk,
        "near_miss" if d.near_words else "no_remittance",
        f"${d.amount:,.2f} came to the bank on {d.deposited_on:%b %-d} and no remittance fits."
        + (f" {d.near_words}." if d.near_words else ""),
        clock.ends(clock.add_business_days(d.deposited_on, FIND_WITHIN)),
        fix="Join it to its remittance, or ask the payer for the 835.",
        dollars=d.amount,
        facts={"trace": d.reference, "received": d.deposited_on.isoformat()},
    )


@transaction.atomic
def deposit_join(
    *,
    deposit: Deposit,
    remittance: Remittance,
    reason: str,
    actor: Actor,
    at: datetime | None = None,
) -> Deposit:
    """A person says that a bank line is the money of a remittance, and why where they differ.
    Refused when either has its other half, or when they differ without a reason.
    """
    actor.require("remittance.post", deposit)
    at = at or timezone.now()
    row = Deposit.objects.select_for_update().get(pk=deposit.pk)
    other = Remittance.objects.select_for_update().get(
        pk=remittance.pk, organization_id=row.organization_id
    )
    if row.remittance_id is not None or other.deposited_on is not None:
        raise Refused("One of the two has found its other half.", code="joined", status=409)
    if row.amount != other.amount and not reason.strip():
        raise Refused(
            f"They differ by ${abs(row.amount - other.amount):,.2f}: say why.",
            field="reason",
            code="missing",
        )
    Deposit.objects.filter(pk=row.pk).update(remittance=other, near=None, near_words="")
    Remittance.objects.filter(pk=other.pk).update(deposited_on=row.deposited_on)
    record_steps(
        [
            Step(
                row.organization_id,
                "remittance.deposited",
                f"${row.amount:,.2f} of the bank file of {row.deposited_on:%b %-d} joined by"
                f" {actor.name}",
                {"remittance_id": other.pk},
                reason=reason,
            )
        ],
        actor=actor,
        at=at,
    )
    close_items(
        "deposit",
        [row.pk],
        actor=actor,
        at=at,
        outcome=f"Joined to {other.trace}",
        queues=[BANK],
    )
    deposit.refresh_from_db()
    return deposit
