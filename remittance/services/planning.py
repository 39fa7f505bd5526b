"""What posting will do, nothing written: the facts of each payment and its plan, provider-level
amounts, the preview.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db.models import Q, Sum, TextField
from django.db.models.functions import Cast

from claims.models import ClaimLine
from intake.models import Coverage, CoverageStatus
from rcm.ledger.models import Balance, LedgerEntry
from rcm.reference.models import PayerKind
from remittance import patient_rule
from remittance.models import (
    Adjustment,
    ClaimPayment,
    Denial,
    DenialStatus,
    HeldFor,
    PaymentState,
    ProviderAdjustment,
    Remittance,
    RemittanceStatus,
    ServicePayment,
    UnappliedCash,
)
from remittance.plan import (
    CASH,
    EXCEPTIONS,
    FORWARDED_BALANCE,
    REVERSAL,
    TAKEBACK,
    Book,
    Cas,
    HeldCash,
    Line,
    Payment,
    Plan,
    PlanLeg,
    Withheld,
    WithheldPlan,
    forwarded,
    plan_payment,
    plan_withheld,
    unapplied,
)
from remittance.records import PostingLine, Preview, PreviewClaim
from remittance.services.finding import earlier_payments
from remittance.services.reference import book
from remittance.tables import hold_harmless

CHUNK = int(os.environ.get("POSTING_CHUNK", "1000"))
"""Claims posted in one transaction by the workers: a worker killed in the middle repeats at most so
many.
"""
ZERO = Decimal("0.00")
UNSETTLED = (DenialStatus.OPEN, DenialStatus.CORRECTED, DenialStatus.APPEALED, DenialStatus.PARKED)


@dataclass(slots=True)
class Planned:
    """A payment, its facts and what posting it does. `original` is the payment that a reversal
    takes back.
    """

    row: ClaimPayment
    fact: Payment
    plan: Plan
    original: ClaimPayment | None = None
    mirrors: list[tuple[int, list[PlanLeg]]] = field(default_factory=list)
    claim: Mapping[str, Any] = field(default_factory=dict)


def effect_key(remittance: Remittance, place: int | str) -> str:
    """The key under which the effect of one CLP (by position) or PLB (plb:n) happens once."""
    key = f"835:{remittance.trace}:{remittance.payer_ref}:{remittance.occurrence}:{place}"
    return key if remittance.attempt == 1 else f"{key}#{remittance.attempt}"


def claims_by_control(numbers: Iterable[str], *, organization_id: int) -> dict[str, int]:
    """Our claim by the payer's number, from what it paid before and from what it accepted."""
    wanted = {n for n in numbers if n}
    if not wanted:
        return {}
    from claims.models import Claim

    found = dict(
        Claim.objects.filter(organization_id=organization_id, payer_control_number__in=wanted)
        .order_by("id")
        .values_list("payer_control_number", "id")
    )
    paid = ClaimPayment.objects.filter(
        organization_id=organization_id,
        payer_control_number__in=wanted - set(found),
        claim__isnull=False,
    )
    return found | dict(paid.order_by("id").values_list("payer_control_number", "claim_id"))


# --- facts ----------------------------------------------------------------------------------------


class Facts:
    """What planning needs, carried over the chunks of one remittance: open balances move as claims
    are planned.
    """

    def __init__(self, remittance: Remittance, codes: Book, *, lock: bool) -> None:
        self.remittance = remittance
        self.codes = codes
        self.lock = lock
        self.opened: dict[int, Decimal] = {}
        self.reversed: set[int] = set()

    def plan(
        self, rows: Sequence[ClaimPayment], *, source: str = CASH, force: bool = False
    ) -> list[Planned]:
        """Plan payments in their order. A constant number of queries."""
        remittance = self.remittance
        pks = [r.pk for r in rows]
        claim_ids = {r.claim_id for r in rows if r.claim_id}
        services: dict[int, list[Any]] = defaultdict(list)
        for s in (
            ServicePayment.objects.filter(payment_id__in=pks)
            .order_by("payment_id", "position")
            .annotate(
                written_modifiers=Cast("modifiers", TextField()),
                written_remarks=Cast("remarks", TextField()),
            )
            .values_list(
                "payment_id",
                "id",
                "billed",
                "paid",
                "written_modifiers",
                "written_remarks",
                "line_id",
                "line__charge_id",
                "expected",
            )
        ):
            services[s[0]].append(s)
        cas: dict[tuple[int, int | None], list[Cas]] = defaultdict(list)
        for payment_id, service_id, group, reason, amount in (
            Adjustment.objects.filter(payment_id__in=pks)
            .order_by("id")
            .values_list("payment_id", "service_id", "group", "reason", "amount")
        ):
            cas[(payment_id, service_id)].append(Cas(group, reason, amount))
        lines: dict[int, list[tuple[int, int, Decimal, Decimal | None]]] = defaultdict(list)
        claims: dict[int, Mapping[str, Any]] = {}
        for claim_id, line_id, charge_id, amount, expected in (
            ClaimLine.objects.filter(claim_id__in=claim_ids)
            .order_by("claim_id", "number")
            .values_list("claim_id", "id", "charge_id", "amount", "expected")
        ):
            lines[claim_id].append((line_id, charge_id, amount, expected))
        from claims.models import Claim

        for claim in Claim.objects.filter(pk__in=claim_ids).values(
            "id",
            "number",
            "patient_id",
            "payer_id",
            "site_id",
            "rank",
            "service_date",
            "status",
            "filing_deadline",
            "first_submitted_at",
            "frequency",
            "coverage__rank",
            "payer__kind",
        ):
            claims[claim["id"]] = claim
        self._open(charge for rows_ in lines.values() for _, charge, _, _ in rows_)
        charges = {charge for rows_ in lines.values() for _, charge, _, _ in rows_}
        waiting: dict[int, set[int]] = defaultdict(set)
        shielded: set[int] = set()
        for charge_id, payment_id, status, category in (
            Denial.objects.filter(line__charge_id__in=charges)
            .exclude(status__in=patient_rule.WON)
            .values_list("line__charge_id", "payment_id", "status", "category")
        ):
            if status in UNSETTLED:
                waiting[charge_id].add(payment_id)
            if category in hold_harmless():
                shielded.add(charge_id)
        answered: set[int] = set()
        forbidden: set[int] = set()
        # asked by charge alone, and not which of all posted payments are for these charges: in a
        # new house the planner would walk through everything posted before, once a chunk
        earlier = ServicePayment.objects.filter(line__charge_id__in=charges).exclude(
            payment_id__in=[r.pk for r in rows if r.state != PaymentState.POSTED]
        )
        for charge_id, said, whole, state, status_code in earlier.values_list(
            "line__charge_id",
            "remarks",
            "payment__remarks",
            "payment__state",
            "payment__status_code",
        ):
            if state != PaymentState.POSTED or status_code == REVERSAL:
                continue  # what was reversed answers nothing any more
            answered.add(charge_id)
            if patient_rule.payer_forbids((*said, *whole), ()):
                forbidden.add(charge_id)
        forbidden |= {
            charge_id
            for claim_id, own_lines in lines.items()
            if claims[claim_id]["payer__kind"] == PayerKind.WORKERS_COMP
            for _, charge_id, _, _ in own_lines
        }
        behind = _with_next_payer(claims.values())
        originals = self._originals([r for r in rows if r.status_code == REVERSAL])
        keys = {
            r.pk: (r.claim_id, r.payer_control_number, r.status_code, r.paid)
            for r in rows
            if r.claim_id
            and r.paid > 0
            and r.state == PaymentState.MATCHED
            and r.status_code != REVERSAL
        }
        repeated = (
            earlier_payments(keys.values(), organization_id=remittance.organization_id)
            if not force
            else {}
        )
        out: list[Planned] = []
        for row in rows:
            facts_of_claim: Mapping[str, Any] = claims.get(row.claim_id or 0, {})
            own = lines.get(row.claim_id or 0, [])
            fact = self._fact(
                row, facts_of_claim, own, services[row.pk], cas, behind, waiting, answered
            )
            fact = _protected(fact, shielded, forbidden)
            if not force and row.pk in keys and keys[row.pk] in repeated:
                fact = _but(fact, "duplicate")
            if row.status_code == REVERSAL:
                planned = self._reversal(row, fact, originals, source=source, force=force)
            else:
                planned = Planned(
                    row,
                    fact,
                    plan_payment(fact, self.opened, self.codes, source=source, force=force),
                )
            planned.claim = facts_of_claim
            for charge_id, amount in planned.plan.reductions.items():
                self.opened[charge_id] = self.opened.get(charge_id, ZERO) - amount
            out.append(planned)
        return out

    def _open(self, charge_ids: Iterable[int]) -> None:
        wanted = sorted(set(charge_ids) - set(self.opened))
        rows = Balance.objects.filter(charge_id__in=wanted).order_by("charge_id")
        if self.lock:
            rows = rows.select_for_update()
        self.opened.update(rows.values_list("charge_id", "insurance"))

    def _fact(
        self,
        row: ClaimPayment,
        claim: Mapping[str, Any],
        own: Sequence[tuple[int, int, Decimal, Decimal | None]],
        services: Sequence[Any],
        cas: Mapping[tuple[int, int | None], Sequence[Cas]],
        behind: set[int],
        waiting: Mapping[int, set[int]],
        before: set[int],
    ) -> Payment:
        if services:
            lines = [
                Line(
                    pk,
                    billed,
                    paid,
                    cas.get((row.pk, pk), ()),
                    charge_id,
                    line_id,
                    _codes(modifiers),
                    _codes(remarks),
                    expected,
                )
                for _, pk, billed, paid, modifiers, remarks, line_id, charge_id, expected in (
                    services
                )
            ]
        else:
            # a payer that answers the claim as a whole: its amounts are spread over our lines
            lines = [
                Line(None, amount, amount, (), charge_id, line_id, expected=expected)
                for line_id, charge_id, amount, expected in own
            ]
            total = sum((line.billed for line in lines), ZERO)
            if lines and total != row.billed:
                lines[0] = Line(
                    None,
                    lines[0].billed + row.billed - total,
                    lines[0].paid + row.billed - total,
                    (),
                    lines[0].charge_id,
                    lines[0].line_id,
                )
        answered = {line.charge_id for line in lines}
        unsettled = any(
            charge not in answered
            and (
                waiting.get(charge) or (charge not in before and self.opened.get(charge, ZERO) > 0)
            )
            for _, charge, _, _ in own
        )
        return Payment(
            row.pk,
            row.status_code,
            row.billed,
            row.paid,
            lines,
            cas.get((row.pk, None), ()),
            row.remarks,
            row.claim_id,
            claim.get("patient_id"),
            claim.get("payer_id") or self.remittance.payer_id,
            (bool(claim) and claim["id"] in behind) or forwarded(row.status_code, row.remarks),
            unsettled,
            row.exception if row.state == PaymentState.EXCEPTION else "",
            row.sentence if row.state == PaymentState.EXCEPTION else "",
        )

    def _originals(self, rows: Sequence[ClaimPayment]) -> list[ClaimPayment]:
        if not rows:
            return []
        controls = {
            n for r in rows for n in (r.payer_control_number, r.references.get("F8", "")) if n
        }
        found = ClaimPayment.objects.filter(
            organization_id=self.remittance.organization_id, state=PaymentState.POSTED
        ).exclude(status_code=REVERSAL)
        return list(
            found.filter(
                Q(claim_number__in={r.claim_number for r in rows})
                | Q(payer_control_number__in=controls)
            ).order_by("-id")
        )

    def _reversal(
        self,
        row: ClaimPayment,
        fact: Payment,
        originals: Sequence[ClaimPayment],
        *,
        source: str,
        force: bool,
    ) -> Planned:
        """The mirror of an earlier posting, leg by leg, in this remittance's name."""

        def fits(p: ClaimPayment) -> bool:
            return (
                p.pk not in self.reversed
                and p.pk != row.pk
                and p.paid == -row.paid
                and p.billed == -row.billed
            )

        own = [
            p
            for p in originals
            if fits(p)
            and p.payer_control_number
            and p.payer_control_number in (row.payer_control_number, row.references.get("F8"))
        ]
        own += [
            p for p in originals if fits(p) and p not in own and p.claim_number == row.claim_number
        ]
        original = own[0] if own else None
        if original is None:
            if force:
                return Planned(
                    row,
                    fact,
                    plan_payment(
                        _but(fact, ""), self.opened, self.codes, source=source, force=True
                    ),
                )
            return Planned(row, fact, unapplied(fact, "reversal_without_original"))
        plan = Plan(
            row.pk,
            outcome="reversed",
            lines=len(fact.lines),
            sentence=f"Takes back the payment of {original.paid:,.2f}.",
        )
        mirrors: list[tuple[int, list[PlanLeg]]] = []
        by_transaction: dict[int, list[PlanLeg]] = defaultdict(list)
        for e in LedgerEntry.objects.filter(
            transaction__source_type="claim_payment",
            transaction__source_id=original.pk,
            transaction__reverses__isnull=True,
            transaction__reversed_by__isnull=True,
        ).order_by("id"):
            account = source if e.account == CASH and source != CASH else e.account
            by_transaction[e.transaction_id].append(
                PlanLeg(
                    account, -e.amount, e.charge_id, e.reason, e.claim_id, e.patient_id, e.payer_id
                )
            )
            if e.account == "ar_insurance" and e.charge_id:
                plan.reductions[e.charge_id] = plan.reductions.get(e.charge_id, ZERO) + e.amount
        plan.reductions = {charge: amount for charge, amount in plan.reductions.items() if amount}
        # AR legs of the original are negative: taking them back opens the balance again
        mirrors.extend(sorted(by_transaction.items()))
        plan.legs = [leg for _, legs in mirrors for leg in legs]
        self.reversed.add(original.pk)
        self._open(leg.charge_id for leg in plan.legs if leg.charge_id)
        return Planned(row, fact, plan, original, mirrors)


@lru_cache(maxsize=5000)
def _codes(written: str) -> tuple[str, ...]:
    """A list of codes as the database writes it: thousands of lines have the same few."""
    return tuple(json.loads(written))


def _protected(fact: Payment, shielded: set[int], forbidden: set[int]) -> Payment:
    """The facts with what earlier answers say about the patient: a denial that is our own duty
    keeps the share of a line that is still not paid, a remark of an earlier payer forbids it.
    """
    kept = shielded & {line.charge_id for line in fact.lines if line.paid <= 0}
    never = forbidden & {line.charge_id for line in fact.lines}
    if not kept and not never:
        return fact
    return replace(fact, shielded=frozenset(kept), forbidden=frozenset(never))


def _but(fact: Payment, exception: str) -> Payment:
    return replace(fact, exception=exception, sentence=EXCEPTIONS.get(exception, ""))


def _with_next_payer(claims: Iterable[Mapping[str, Any]]) -> set[int]:
    """Claims behind which a further coverage stood on the day of service. The payer of an accident
    pays alone.
    """
    rows = [c for c in claims if c["coverage__rank"]]
    behind: dict[int, list[tuple[int, date | None, date | None]]] = defaultdict(list)
    coverages = Coverage.objects.filter(
        patient_id__in={c["patient_id"] for c in rows}, active=True, rank__gte=2
    )
    for patient_id, rank, first, last in (
        coverages.exclude(payer__kind=PayerKind.SELF_PAY)
        .exclude(status=CoverageStatus.INACTIVE)
        .values_list("patient_id", "rank", "starts_on", "ends_on")
    ):
        behind[patient_id].append((rank, first, last))
    return {
        c["id"]
        for c in rows
        for rank, first, last in behind.get(c["patient_id"], ())
        if rank > c["rank"]
        and (first is None or first <= c["service_date"])
        and (last is None or c["service_date"] <= last)
    }


def held_words(remittance: Remittance) -> str:
    """Why a held remittance is held, in a sentence."""
    return {
        HeldFor.VERSION: "It is written in a version that is not in force; nothing of it is posted.",
        HeldFor.PAYEE: "It is not paid to this organization; nothing of it is posted.",
        HeldFor.DATE: "It names no date of payment; enter it from the bank statement.",
    }.get(
        HeldFor(remittance.held_for or HeldFor.BALANCE),
        "It does not balance; nothing of it is posted until the payer corrects it.",
    )


def why_not(remittance: Remittance) -> str:
    """What keeps a remittance from being posted, in a sentence; empty when nothing does."""
    words = {
        RemittanceStatus.QUARANTINED: held_words(remittance),
        RemittanceStatus.POSTING: "It is being posted.",
        RemittanceStatus.POSTED: "It is posted. Only a reversal can change that.",
        RemittanceStatus.REVERSED: "It was reversed. Take it up again to post it.",
    }.get(RemittanceStatus(remittance.status), "")
    if not words and remittance.second_for and remittance.agreed_by_id is None:
        return remittance.second_for
    differ = remittance.claims_total - remittance.plb_total - remittance.amount
    if not words and differ:
        return f"835 and check differ by ${abs(differ):,.2f}."
    return words


def remittance_preview(
    *, remittance: Remittance, positions: Iterable[int] | None = None
) -> Preview:
    """The exact postings, nothing written. `positions` limits the claims listed; sums and groups
    are always of all.
    """
    wanted = None if positions is None else set(positions)
    preview = Preview(remittance.amount, blocked=why_not(remittance))
    facts = Facts(remittance, book(), lock=False)
    counts: dict[str, int] = defaultdict(int)
    dollars: dict[str, Decimal] = defaultdict(lambda: ZERO)
    accounts: dict[str, Decimal] = defaultdict(lambda: ZERO)
    rows = list(ClaimPayment.objects.filter(remittance=remittance).order_by("position"))
    for start in range(0, len(rows), CHUNK):
        for planned in facts.plan(rows[start : start + CHUNK]):
            row, plan = planned.row, planned.plan
            counts[plan.group] += 1
            dollars[plan.group] += plan.denied if plan.group == "denial" else row.paid
            for leg in plan.legs:
                accounts[leg.account] += leg.amount
            if wanted is None or row.position in wanted:
                preview.claims.append(
                    PreviewClaim(
                        row.pk,
                        row.position,
                        plan.group,
                        plan.sentence or _words(plan),
                        row.paid,
                        tuple(
                            PostingLine(x.account, x.amount, x.reason, x.charge_id)
                            for x in plan.legs
                        ),
                        plan.denied,
                        plan.patient + plan.patient_later,
                        plan.exception,
                    )
                )
    for adjustment, withheld in withheld_of(remittance):
        counts["plb"] += 1
        dollars["plb"] += adjustment.amount
        for leg in (*withheld.legs, *withheld.allocation):
            accounts[leg.account] += leg.amount
            preview.provider.append(PostingLine(leg.account, leg.amount, leg.reason, leg.charge_id))
    preview.counts, preview.dollars, preview.accounts = dict(counts), dict(dollars), dict(accounts)
    if not preview.blocked and preview.posted != remittance.amount:
        preview.blocked = (
            f"The postings come to ${preview.posted:,.2f}, the check to ${remittance.amount:,.2f}."
        )
    return preview


def _words(plan: Plan) -> str:
    parts = []
    if plan.contractual:
        parts.append(f"${plan.contractual:,.2f} contractual")
    if plan.patient:
        parts.append(f"${plan.patient:,.2f} to the patient")
    if plan.patient_later:
        parts.append(
            f"${plan.patient_later:,.2f} patient share waits for the next payer or the other lines"
        )
    if plan.denials:
        reasons = ", ".join(dict.fromkeys(f"{d.group}-{d.reason}" for d in plan.denials))
        parts.append(f"${plan.denied:,.2f} denied ({reasons})")
    return ", ".join(parts) or "Paid as billed"


def withheld_of(
    remittance: Remittance, *, lock: bool = False
) -> list[tuple[ProviderAdjustment, WithheldPlan]]:
    """Provider-level amounts and what they do. `lock` holds the unapplied cash they may take."""
    rows = list(
        ProviderAdjustment.objects.filter(remittance=remittance)
        .select_related("claim")
        .order_by("position")
    )
    claim_ids = {r.claim_id for r in rows if r.claim_id}
    owed: dict[int, Decimal] = {}
    charge: dict[int, int] = {}
    if claim_ids:
        entries = LedgerEntry.objects.filter(
            organization_id=remittance.organization_id,
            claim_id__in=claim_ids,
            account="provider_level",
        )
        owed = {
            int(r["claim_id"] or 0): -r["total"]
            for r in (
                entries.exclude(remittance_id=remittance.pk)
                .values("claim_id")
                .annotate(total=Sum("amount"))
                .order_by()
            )
        }
        for claim_id, charge_id in (
            ClaimLine.objects.filter(claim_id__in=claim_ids)
            .order_by("claim_id", "amount", "-number")
            .values_list("claim_id", "charge_id")
        ):
            charge[claim_id] = charge_id
    held = _held_cash(remittance, rows, lock=lock)
    out = []
    for r in rows:
        own = _named(r, held)
        fact = Withheld(
            r.pk,
            r.reason,
            r.reference,
            r.amount,
            r.claim_id,
            r.claim.patient_id if r.claim else None,
            charge.get(r.claim_id or 0),
            owed.get(r.claim_id or 0, ZERO),
            [HeldCash(c.pk, c.amount) for c in own],
        )
        plan = plan_withheld(fact, remittance.payer_id)
        for part in plan.taken:
            cash = next(c for c in own if c.pk == part.cash_id)
            cash.amount -= part.amount
        if r.claim_id and r.reason == "WO":
            owed[r.claim_id] = owed.get(r.claim_id, ZERO) - r.amount
        out.append((r, plan))
    return out


def _held_cash(
    remittance: Remittance, rows: Sequence[ProviderAdjustment], *, lock: bool
) -> list[UnappliedCash]:
    """Open unapplied cash of the payments and claims that takebacks name, oldest first."""
    named = [r for r in rows if r.amount > 0 and r.reason in (TAKEBACK, FORWARDED_BALANCE)]
    numbers = {n for r in named for n in references_of(r.reference)}
    if not numbers and not any(r.claim_id for r in named):
        return []
    found = UnappliedCash.objects.filter(
        organization_id=remittance.organization_id, resolved_at__isnull=True, amount__gt=0
    ).filter(
        Q(payment__payer_control_number__in=numbers)
        | Q(payment__claim_number__in=numbers)
        | Q(payment__claim_id__in={r.claim_id for r in named if r.claim_id})
    )
    if lock:
        found = found.select_for_update(of=("self",))
    return list(found.select_related("payment").order_by("id"))


def references_of(reference: str) -> tuple[str, ...]:
    """The numbers that a PLB reference may name: the whole of it and each of its words."""
    return tuple(dict.fromkeys(n for n in (reference.strip(), *reference.split()) if n))


def _named(row: ProviderAdjustment, held: Sequence[UnappliedCash]) -> list[UnappliedCash]:
    numbers = references_of(row.reference)
    return [
        c
        for c in held
        if c.payment is not None
        and (
            c.payment.payer_control_number in numbers
            or c.payment.claim_number in numbers
            or (row.claim_id is not None and c.payment.claim_id == row.claim_id)
        )
    ]
