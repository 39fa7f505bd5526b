"""ERA, EFT, deposit: lines of a bank file against remittances by trace and amount."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.audit.services import Step, record_steps
from rcm.web.forms import read_date, read_money
from remittance.models import Deposit, Remittance, RemittanceStatus
from remittance.records import DepositResult

MOST_ROWS, MOST_BYTES = 50_000, 10 * 1024 * 1024
HEADS = {
    "date": ("date", "deposited", "posting date", "deposited on"),
    "amount": ("amount", "credit", "deposit"),
    "reference": ("reference", "trace", "eft", "check", "trace number", "reference number"),
    "description": ("description", "details", "memo"),
}


@transaction.atomic
def deposits_import(
    *, organization_id: int, content: bytes, actor: Actor, at: datetime | None = None
) -> DepositResult:
    """Read a CSV with date, amount, reference and optionally description. A line that is there
    already is counted, not repeated.
    """
    actor.require("remittance.post", organization_id)
    at = at or timezone.now()
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
    rows = csv.DictReader(io.StringIO(text))
    heads = {
        name: next((h for h in rows.fieldnames or () if h and h.strip().casefold() in names), None)
        for name, names in HEADS.items()
    }
    if missing := [name for name in ("date", "amount", "reference") if heads[name] is None]:
        raise Refused(
            f"The first line names no {', '.join(missing)} column.",
            field="file",
            code="no_columns",
            fix="Columns: date, amount, reference, description.",
        )
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
            day = read_date(str(row.get(heads["date"] or "") or ""))
            amount = read_money(str(row.get(heads["amount"] or "") or ""))
            reference = str(row.get(heads["reference"] or "") or "").strip()[:50]
            if day is None or amount is None or not amount:
                result.bad.append(
                    (
                        number,
                        "The date cannot be read." if day is None else "The amount cannot be read.",
                    )
                )
                continue
            key = (day, reference, amount)
            seen[key] += 1
            fresh.append(
                Deposit(
                    organization_id=organization_id,
                    deposited_on=day,
                    reference=reference,
                    amount=amount,
                    occurrence=seen[key],
                    description=str(row.get(heads["description"] or "") or "").strip()[:120],
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
    return matched
