"""A small book kept by hand, and the product doing the same: after every step both say the same of
each charge, each payer, each patient and the organization's unapplied cash.

`run(cast, seed, steps)` draws a sequence from the seed and returns what it did. A difference is an
AssertionError that names the seed and the steps.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Sum

from ar import services as ar
from ar.models import PatientPayment
from charges.models import Charge
from claims.models import Claim
from intake.models import Patient
from intake.services import patient_merge
from rcm.ledger.models import Balance, LedgerEntry
from remittance.models import Remittance, RemittanceStatus
from remittance.records import KeyedAdjustment, KeyedClaim, KeyedEob, KeyedLine
from remittance.services import eob_key, remittance_post, remittance_reverse
from tests.remittance.house import AT, SCAN, claim_of, era, head, patient_with, payer, receive

D = Decimal
BILLED = D(500)
ZERO = D(0)


@dataclass
class Bill:
    """What the book knows of one claim with one charge."""

    claim: Claim
    charge: Charge
    patient: int
    second: bool = False
    insurance: Decimal = BILLED
    owed: Decimal = ZERO
    paid: Decimal | None = None
    share: Decimal = ZERO
    parked: Decimal = ZERO
    moved: Decimal = ZERO
    remittance: Remittance | None = None
    body: str = ""


@dataclass
class Book:
    cast: object
    draw: random.Random
    bills: list[Bill] = field(default_factory=list)
    account: Counter = field(default_factory=Counter)
    cash: Decimal = ZERO
    last: bytes = b""
    traces: int = 0
    spare: Patient | None = None
    done: list[str] = field(default_factory=list)

    def open(self) -> None:
        one = patient_with(self.cast, payers=[payer()])
        self.spare = patient_with(self.cast, payers=[])
        for number, more in (
            ("C1", {"patient": one}),
            ("C2", {"patient": one}),
            ("C3", {"payers": [payer("MCR"), payer("ESB")]}),
        ):
            claim = claim_of(self.cast, number, [("70551", "500", "200")], **more)
            charge = claim.lines.get().charge
            second = "payers" in more
            self.bills.append(Bill(claim, charge, claim.patient_id, second))

    def who(self, name: str):
        return self.cast.actor(name)

    def send(self, amount: Decimal, body: str) -> Remittance:
        self.traces += 1
        trace = f"EFT{self.traces}"
        self.last = era(head(f"{amount}", trace=trace) + body, control=self.traces)
        receive(self.cast, self.last)
        row = Remittance.objects.get(trace=trace)
        assert row.status == RemittanceStatus.READY, (row.status, row.findings)
        remittance_post(remittance=row, actor=self.who("pia"), at=AT)
        return row

    # --- steps: each returns words, or "" when it does not apply ---

    def _answered(self, b: Bill, paid: Decimal, share: Decimal) -> None:
        b.paid, b.share, b.moved = paid, share, D(0)
        b.insurance, b.owed = b.insurance - BILLED, b.owed + share
        if b.second:
            b.insurance, b.owed = b.insurance + share, b.owed - share
        self.cash += paid

    def _amounts(self) -> tuple[Decimal, Decimal]:
        return D(self.draw.randrange(50, 250)), D(self.draw.randrange(10, 90))

    def _fresh(self, b: Bill) -> bool:
        return b.paid is None and b.insurance == BILLED

    def answer(self, b: Bill) -> str:
        if not self._fresh(b):
            return ""
        paid, share = self._amounts()
        self.traces += 1
        name = b.claim.number
        b.body = (
            f"CLP*{name}*1*500*{paid}*{share}*12*ICN{name}{self.traces}*11*1\n"
            f"SVC*HC:70551*500*{paid}**1\nCAS*CO*45*{BILLED - paid - share}\n"
            f"CAS*PR*2*{share}\nREF*6R*{name}L1\n"
        )
        b.remittance = self.send(paid, b.body)
        self._answered(b, paid, share)
        return f"835 {name} paid {paid} share {share}"

    def paper(self, b: Bill) -> str:
        if not self._fresh(b):
            return ""
        paid, share = self._amounts()
        self.traces += 1
        name = b.claim.number
        parts = (("CO", "45", BILLED - paid - share), ("PR", "2", share))
        adjustments = tuple(KeyedAdjustment(*p) for p in parts)
        line = KeyedLine("70551", BILLED, paid, adjustments, control=f"{name}L1")
        claim = KeyedClaim(name, (line,), service_date=dt.date(2026, 9, 8))
        day = dt.date(2026, 9, 20)
        eob = KeyedEob(b.claim.payer_id, f"9{self.traces}", day, paid, (claim,))
        common = {"organization_id": self.cast.a.pk, "actor": self.who("pia"), "at": AT}
        row = eob_key(eob=eob, document=SCAN, **common)
        remittance_post(remittance=row, actor=self.who("pia"), at=AT)
        b.remittance, b.body = row, ""
        self._answered(b, paid, share)
        return f"paper {name} paid {paid} share {share}"

    def _undone(self, b: Bill) -> None:
        b.insurance += BILLED
        b.owed -= b.share
        if b.second:
            b.insurance, b.owed = b.insurance - b.share, b.owed + b.share
        self.cash -= b.paid or D(0)
        b.paid, b.share, b.remittance = None, D(0), None

    def reversal(self, b: Bill) -> str:
        if b.paid is None or not b.body or b.parked:
            return ""
        self.send(-b.paid, self._negative(b))
        self._undone(b)
        return f"reversal {b.claim.number}"

    def _negative(self, b: Bill) -> str:
        name, control = b.claim.number, b.body.split("*")[7]
        return (
            f"CLP*{name}*22*-500*-{b.paid}*-{b.share}*12*{control}*11*1\n"
            f"SVC*HC:70551*-500*-{b.paid}**-1\n"
            f"CAS*CO*45*-{BILLED - b.paid - b.share}\n"
            f"CAS*PR*2*-{b.share}\nREF*6R*{name}L1\n"
        )

    def taken_back_by_hand(self, b: Bill) -> str:
        if b.paid is None or b.remittance is None or b.parked:
            return ""
        actor = self.who("pia")
        remittance_reverse(
            remittance=b.remittance, reason="Recalled", money_kept=False, actor=actor, at=AT
        )
        self._undone(b)
        return f"remittance reversed {b.claim.number}"

    def paid_twice(self, b: Bill) -> str:
        if b.paid is None or not b.body or b.parked or b.moved or b.insurance:
            return ""
        self.send(b.paid, b.body)
        b.parked = b.paid
        self.cash += b.paid
        return f"paid twice {b.claim.number}"

    def takeback(self, b: Bill) -> str:
        if not b.parked:
            return ""
        reason = self.draw.choice(["WO", "FB"])
        reference = b.body.split("*")[7]
        self.send(-b.parked, f"PLB*1679576722*20261231*{reason}:{reference}*{b.parked}\n")
        self.cash -= b.parked
        b.parked = D(0)
        return f"takeback {reason} {b.claim.number}"

    def same_file(self, b: Bill) -> str:
        if not self.last:
            return ""
        receive(self.cast, self.last.replace(b"~\n", b"~\r\n"))
        return "same file again"

    def patient_pays(self, b: Bill) -> str:
        amount = D(self.draw.randrange(5, 120))
        patient = Patient.objects.get(pk=b.patient)
        charges = [b.charge.pk]
        actor = self.who("ana")
        ar.payment_take(
            patient=patient, amount=amount, method="card", charge_ids=charges, actor=actor
        )
        placed = min(amount, max(b.owed, D(0)))
        b.owed -= placed
        self.account[b.patient] += amount - placed
        self.cash += amount
        return f"patient pays {amount} on {b.claim.number}"

    def refund(self, b: Bill) -> str:
        row = PatientPayment.objects.filter(patient_id=b.patient).order_by("-id").first()
        most = min(row.amount - row.refunded, self.account[b.patient]) if row else D(0)
        if row is None or most <= 0:
            return ""
        ar.payment_refund(payment=row, amount=most, reason="Asked for", actor=self.who("mia"))
        self.account[b.patient] -= most
        self.cash -= most
        return f"refund {most}"

    def to_insurance(self, b: Bill) -> str:
        if b.owed <= 0 or b.paid is None:
            return ""
        amount = min(b.owed, D(5))
        words = {"reason": "Coverage found", "actor": self.who("ari")}
        ar.transfer_to_insurance(charge=b.charge, amount=amount, **words)
        b.owed, b.insurance, b.moved = b.owed - amount, b.insurance + amount, b.moved + amount
        return f"to insurance {amount} {b.claim.number}"

    def to_patient(self, b: Bill) -> str:
        if not b.moved or b.paid is None:
            return ""
        amount = b.moved
        words = {"reason": "No coverage", "actor": self.who("ari")}
        ar.transfer_to_patient(charge=b.charge, amount=amount, **words)
        b.owed, b.insurance, b.moved = b.owed + amount, b.insurance - amount, D(0)
        return f"to patient {amount} {b.claim.number}"

    def merge(self, b: Bill) -> str:
        if self.spare is None:
            return ""
        gone, keep = Patient.objects.get(pk=b.patient), self.spare
        patient_merge(keep=keep, gone=gone, reason="Same person", actor=self.who("mia"))
        for other in self.bills:
            if other.patient == gone.pk:
                other.patient = keep.pk
        self.account[keep.pk] += self.account.pop(gone.pk, D(0))
        self.spare = None
        return f"merge of {b.claim.number}'s chart"

    # --- agreement ---

    def expected(self) -> dict[str, object]:
        payers: Counter = Counter()
        for b in self.bills:
            payers[b.claim.payer_id] += b.insurance
        return {
            "charges": {b.claim.number: (b.insurance, b.owed) for b in self.bills},
            "payers": {k: D(v) for k, v in payers.items()},
            "patients": {b.patient: D(self.account[b.patient]) for b in self.bills},
            "unapplied": sum((b.parked for b in self.bills), D(0)),
            "cash": self.cash,
        }

    def found(self) -> dict[str, object]:
        rows = {r.charge_id: (r.insurance, r.patient) for r in Balance.objects.all()}
        owners = {b.patient for b in self.bills}
        held = ar.unapplied_balances(owners)
        sums = LedgerEntry.objects.values("account").annotate(total=Sum("amount"))
        by_account = {r["account"]: r["total"] for r in sums}
        on_account = sum(held.values(), D(0))
        owed = LedgerEntry.objects.filter(account="ar_insurance").values("payer_id")
        return {
            "charges": {b.claim.number: rows[b.charge.pk] for b in self.bills},
            "payers": {r["payer_id"]: r["total"] for r in owed.annotate(total=Sum("amount"))},
            "patients": {pk: held.get(pk, D(0)) for pk in owners},
            "unapplied": -by_account.get("unapplied", D(0)) - on_account,
            "cash": by_account.get("cash", D(0)),
        }


STEPS = (
    *(Book.answer, Book.answer, Book.paper, Book.reversal, Book.taken_back_by_hand),
    *(Book.paid_twice, Book.takeback, Book.same_file, Book.patient_pays, Book.refund),
    *(Book.to_insurance, Book.to_patient, Book.merge),
)


def run(cast, seed: int, steps: int) -> list[str]:
    """One sequence of `steps` effective steps, undone at its end; says what it did."""
    draw = random.Random(seed)
    book = Book(cast, draw)
    with transaction.atomic():
        book.open()
        while len(book.done) < steps:
            step, bill = draw.choice(STEPS), draw.choice(book.bills)
            try:
                words = step(book, bill)
            except Exception as error:
                error.add_note(f"seed {seed}: {book.done} then {step.__name__}")
                raise
            if not words:
                continue
            book.done.append(words)
            expected, found = book.expected(), book.found()
            assert found == expected, f"seed {seed}: {book.done}\n{expected}\n{found}"
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        transaction.set_rollback(True)
    return book.done
