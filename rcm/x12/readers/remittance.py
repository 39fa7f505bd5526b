"""835 reader: claim by claim, balanced at line, claim and transaction level (rules
`remittance-balance` and `claim-status-code`).

Line: SVC02 − Σ CAS = SVC03. Claim: CLP03 − Σ CAS of claim and lines = CLP04. Transaction: Σ CLP04 −
Σ PLB = BPR02, negative when BPR03 is D. Memory does not grow with the number of claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import chain

from rcm.x12 import values
from rcm.x12.document import Document, Segment, Source, TransactionSet
from rcm.x12.model import (
    ZERO,
    Adjustment,
    ClaimPayment,
    Contact,
    Money,
    Party,
    Procedure,
    ProviderAdjustment,
    Quantity,
    Reference,
    Remittance,
    RemittanceHeader,
    RemittanceTrailer,
    ServicePayment,
)
from rcm.x12.readers.common import (
    Loop,
    Loops,
    Notes,
    PartyBuilder,
    at,
    contact,
    party,
    procedure,
    reference,
    sets_of,
)

Part = RemittanceHeader | ClaimPayment | RemittanceTrailer

REVERSAL = "22"  # CLP02
MOST_PROCEDURES = 20_000  # kept by their text, so that each is read once
_BLANK_SVC = [""] * 8
_BLANK_CLP = [""] * 13
_KNOWN_BUT_UNUSED = frozenset(("LX", "TS2", "TS3", "RDM", "CUR", "N3", "N4", "N1", "PER", "SVD"))


def stream_835(source: Source | Document) -> Iterator[Part]:
    """For each 835 set its header, then each claim, then its trailer with the balance.

    A large file is read twice: once for the trailers, to learn that all balances, once to post.
    Raises ``NotX12`` (bytes that are no X12) or ``WrongSet`` (no 835 in the file) and nothing else.
    """
    for current in sets_of(source, "835"):
        yield from read_set(current)


def read_835(source: Source | Document) -> Iterator[Remittance]:
    """Each 835 set whole, with all its claims in memory."""
    header = RemittanceHeader()
    claims: list[ClaimPayment] = []
    for part in stream_835(source):
        if isinstance(part, ClaimPayment):
            claims.append(part)
        elif isinstance(part, RemittanceHeader):
            header, claims = part, []
        else:
            yield Remittance(header, tuple(claims), part)


def balance_835(source: Source | Document) -> Iterator[tuple[RemittanceHeader, RemittanceTrailer]]:
    """Header and trailer of each set: does it balance, without keeping its claims."""
    header = RemittanceHeader()
    for part in stream_835(source):
        if isinstance(part, RemittanceHeader):
            header = part
        elif isinstance(part, RemittanceTrailer):
            yield header, part


def read_set(current: TransactionSet) -> Iterator[Part]:
    """The parts of one 835 set."""
    reader = _Header(current)
    segments = iter(current)
    segment = reader.read(segments)
    yield reader.build()
    body = _Body(current, readable=reader.readable)
    if segment is not None:
        yield from body.read(chain((segment,), segments))
    if (last := body.close_claim(behind=0)) is not None:
        yield last
    yield _trailer(current, reader, body)


class _Header:
    """Everything before the first claim."""

    __slots__ = (
        "amount",
        "bpr",
        "current",
        "notes",
        "parties",
        "production_date",
        "readable",
        "refs",
        "trn",
    )

    def __init__(self, current: TransactionSet) -> None:
        self.current = current
        self.notes = Notes(current)
        self.bpr: Segment = []
        self.trn: Segment = []
        self.refs: list[Reference] = []
        self.production_date: date | None = None
        self.parties: dict[str, PartyBuilder] = {}
        self.amount = ZERO
        self.readable = True

    def read(self, segments: Iterator[Segment]) -> Segment | None:
        """Consume the header; the segment that begins the rest, or None at the end."""
        now: PartyBuilder | None = None
        for segment in segments:
            tag = segment[0]
            if tag in ("LX", "CLP", "TS3", "TS2", "PLB", "SVC"):
                return segment
            if tag == "N1":
                now = PartyBuilder(segment)
                self.parties.setdefault(at(segment, 1), now)
            elif tag == "BPR":
                self.bpr = segment
            elif tag == "TRN":
                self.trn = segment
            elif tag == "DTM":
                if at(segment, 1) == "405":
                    self.production_date = self.notes.day(at(segment, 2), "header")
            elif now is not None and now.take(segment):
                pass
            elif tag == "REF":
                self.refs.append(reference(segment))
            elif tag not in _KNOWN_BUT_UNUSED:
                self.notes.unknown(segment, "header")
        return None

    def build(self) -> RemittanceHeader:
        bpr, trn = self.bpr, self.trn
        if not bpr:
            self.readable = False
            self.notes.add(
                "missing-bpr",
                "error",
                "header",
                "There is no BPR: the amount paid is not stated.",
                "Ask the payer.",
            )
        stated = values.money(at(bpr, 2))
        if stated is None or (bpr and not at(bpr, 2).strip()):
            self.readable = False
            self.notes.add(
                "bad-amount", "error", "BPR02", f"“{at(bpr, 2)[:30]}” is no amount of money."
            )
        self.amount = stated or ZERO
        if at(bpr, 3) == "D":
            self.amount = -self.amount
        if not at(trn, 2):
            self.notes.add(
                "missing-trace", "warning", "header", "There is no check or EFT number (TRN02)."
            )
        return RemittanceHeader(
            amount=self.amount,
            handling=at(bpr, 1),
            method=at(bpr, 4),
            format=at(bpr, 5),
            payment_date=self.notes.day(at(bpr, 16), "BPR16"),
            payer_account=(at(bpr, 6), at(bpr, 7), at(bpr, 8), at(bpr, 9)),
            originator=at(bpr, 10),
            originator_supplement=at(bpr, 11),
            payee_account=(at(bpr, 12), at(bpr, 13), at(bpr, 14), at(bpr, 15)),
            trace=at(trn, 2),
            trace_payer=at(trn, 3),
            trace_supplement=at(trn, 4),
            production_date=self.production_date,
            refs=tuple(self.refs),
            payer=self.parties["PR"].build() if "PR" in self.parties else Party(),
            payee=self.parties["PE"].build() if "PE" in self.parties else Party(),
            origin=self.current.origin,
            position=self.current.start,
            findings=self.notes.take(),
        )


@dataclass(slots=True)
class _Line:
    """An SVC loop while it is being read."""

    svc: Segment
    position: int
    start: date | None = None
    end: date | None = None
    control: str = ""
    adjustments: list[Adjustment] = field(default_factory=list)
    refs: list[Reference] = field(default_factory=list)
    amounts: list[Money] = field(default_factory=list)
    quantities: list[Quantity] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Claim:
    """A CLP loop while it is being read."""

    clp: Segment
    index: int
    position: int
    parties: dict[str, Party] = field(default_factory=dict)
    days: dict[str, date | None] = field(default_factory=dict)
    adjustments: list[Adjustment] = field(default_factory=list)
    moa: tuple[str, ...] = ()
    mia: tuple[str, ...] = ()
    refs: list[Reference] = field(default_factory=list)
    contacts: list[Contact] = field(default_factory=list)
    amounts: list[Money] = field(default_factory=list)
    quantities: list[Quantity] = field(default_factory=list)
    lines: list[_Line] = field(default_factory=list)

    @property
    def claim_id(self) -> str:
        return at(self.clp, 1)


@dataclass(slots=True)
class _Sums:
    """What the claims of a set come to so far."""

    claims: int = 0
    services: int = 0
    reversals: int = 0
    charge: Decimal = ZERO
    paid: Decimal = ZERO
    patient: Decimal = ZERO
    service_charge: Decimal = ZERO
    service_paid: Decimal = ZERO
    balanced_lines: bool = True
    balanced_claims: bool = True


class _Body(Loops):
    """The claims and provider adjustments of a set: everything behind its header."""

    def __init__(self, current: TransactionSet, *, readable: bool) -> None:
        super().__init__(current, loop=_OUTSIDE)
        self.component = current.delimiters.component
        self.readable = readable
        self.sums = _Sums()
        self.procedures: dict[str, Procedure] = {}
        self.open_claim: _Claim | None = None
        self.claim: _Claim
        self.line: _Line
        self.provider_adjustments: list[ProviderAdjustment] = []

    # -- what stands in segments -------------------------------------------------------------------

    def money(self, text: str, where: str) -> Decimal:
        value = values.money(text)
        if value is None:
            self.readable = False
            return self.notes.money(text, where)
        return value

    def procedure(self, text: str) -> Procedure:
        known = self.procedures.get(text)
        if known is None:
            known = procedure(text, self.component)
            if len(self.procedures) < MOST_PROCEDURES:
                self.procedures[text] = known
        return known

    def adjustments(self, cas: Segment) -> Iterator[Adjustment]:
        """Up to six of one group; they go by place, so that an empty quantity never shifts the next
        reason.
        """
        n = len(cas)
        for i in range(2, min(n, 20), 3):
            reason = cas[i]
            text = cas[i + 1] if n > i + 1 else ""
            if reason or text:
                quantity = self.notes.number(cas[i + 2], "CAS") if n > i + 2 else None
                yield Adjustment(cas[1], reason, self.money(text, "CAS"), quantity)

    def amount(self, amt: Segment) -> Money:
        return Money(at(amt, 1), self.money(at(amt, 2), "AMT02"))

    def quantity(self, qty: Segment) -> Quantity:
        return Quantity(at(qty, 1), self.notes.number(at(qty, 2), "QTY02") or ZERO)

    def stated_day(self, dtm: Segment) -> date | None:
        return self.notes.day(dtm[2], "DTM") if len(dtm) > 2 else None

    # -- a claim begins and ends -------------------------------------------------------------------

    def on_claim(self, clp: Segment) -> ClaimPayment | None:
        done = self.close_claim()
        self.claim = self.open_claim = _Claim(clp, self.sums.claims, self.current.position)
        self.loop = _CLAIM
        return done

    def on_group(self, lx: Segment) -> ClaimPayment | None:
        return self.close_claim()

    def on_provider_adjustment(self, plb: Segment) -> ClaimPayment | None:
        """Up to six pairs of reason and amount."""
        done = self.close_claim()
        provider, fiscal = at(plb, 1), self.notes.day(at(plb, 2), "PLB02")
        for i in range(3, min(len(plb), 15), 2):
            text = at(plb, i + 1)
            if not plb[i] and not text:
                continue
            reason, _, ref = plb[i].partition(self.component)
            amount = self.money(text, "PLB")
            self.provider_adjustments.append(
                ProviderAdjustment(provider, fiscal, reason, ref, amount, self.current.position)
            )
        return done

    def close_claim(self, behind: int = 1) -> ClaimPayment | None:
        """The claim that is being read, complete; it ended `behind` segments before this one."""
        draft, self.open_claim = self.open_claim, None
        self.loop = _OUTSIDE
        return self.built_claim(draft, self.current.position - behind) if draft else None

    # -- inside a claim ----------------------------------------------------------------------------

    def on_claim_adjustments(self, cas: Segment) -> None:
        self.claim.adjustments.extend(self.adjustments(cas))

    def on_claim_day(self, dtm: Segment) -> None:
        self.claim.days[at(dtm, 1)] = self.stated_day(dtm)

    def on_claim_reference(self, ref: Segment) -> None:
        self.claim.refs.append(reference(ref))

    def on_claim_amount(self, amt: Segment) -> None:
        self.claim.amounts.append(self.amount(amt))

    def on_claim_quantity(self, qty: Segment) -> None:
        self.claim.quantities.append(self.quantity(qty))

    def on_line(self, svc: Segment) -> None:
        self.line = _Line(svc, self.current.position)
        self.claim.lines.append(self.line)
        self.loop = _LINE

    def on_party(self, nm1: Segment) -> None:
        self.claim.parties.setdefault(at(nm1, 1), party(nm1))

    def on_outpatient(self, moa: Segment) -> None:
        self.claim.moa = tuple([code for code in moa[3:8] if code])

    def on_inpatient(self, mia: Segment) -> None:
        self.claim.mia = tuple([code for code in (at(mia, 5), *mia[20:24]) if code])

    def on_contact(self, per: Segment) -> None:
        self.claim.contacts.append(contact(per))

    # -- inside a service line ---------------------------------------------------------------------

    def on_line_adjustments(self, cas: Segment) -> None:
        self.line.adjustments.extend(self.adjustments(cas))

    def on_line_day(self, dtm: Segment) -> None:
        when, qualifier = self.stated_day(dtm), at(dtm, 1)
        if qualifier == "151":
            self.line.end = when
        elif qualifier in ("472", "150"):
            self.line.start = when

    def on_line_reference(self, ref: Segment) -> None:
        if len(ref) > 2 and ref[1] == "6R" and not self.line.control:
            self.line.control = ref[2]
            return
        self.line.refs.append(reference(ref))

    def on_line_amount(self, amt: Segment) -> None:
        self.line.amounts.append(self.amount(amt))

    def on_line_quantity(self, qty: Segment) -> None:
        self.line.quantities.append(self.quantity(qty))

    def on_remark(self, lq: Segment) -> None:
        if len(lq) > 2:
            self.line.remarks.append(lq[2])

    # -- out of place ------------------------------------------------------------------------------

    def on_line_outside(self, svc: Segment) -> None:
        self.readable = False
        self.notes.add(
            "line-without-claim", "error", "SVC", "A service line stands outside any claim."
        )

    def on_adjustments_outside(self, cas: Segment) -> None:
        self.notes.unknown(cas, "before any claim")

    def on_remark_outside(self, lq: Segment) -> None:
        self.notes.unknown(lq, "outside a service line")

    def on_day_outside(self, dtm: Segment) -> None:
        self.stated_day(dtm)

    def on_unknown(self, segment: Segment) -> None:
        claim = self.open_claim
        self.notes.unknown(segment, f"claim {claim.claim_id}" if claim else "after the header")

    # -- what has been read ------------------------------------------------------------------------

    def built_line(self, draft: _Line, claim_id: str, number: int) -> ServicePayment:
        svc = draft.svc + _BLANK_SVC[len(draft.svc) :]
        charge, paid = self.money(svc[2], "SVC02"), self.money(svc[3], "SVC03")
        adjusted = ZERO
        for adjustment in draft.adjustments:
            adjusted += adjustment.amount
        delta = charge - adjusted - paid
        if delta:
            self.sums.balanced_lines = False
            self.unbalanced("line", f"claim {claim_id} line {number}", charge, adjusted, paid)
        self.sums.service_charge += charge
        self.sums.service_paid += paid
        return ServicePayment(
            procedure=self.procedure(svc[1]),
            charge=charge,
            paid=paid,
            revenue_code=svc[4],
            units=self.notes.number(svc[5], "SVC05"),
            original_procedure=self.procedure(svc[6]) if svc[6] else None,
            original_units=self.notes.number(svc[7], "SVC07"),
            service_date=draft.start,
            service_end=draft.end,
            adjustments=tuple(draft.adjustments),
            line_control=draft.control,
            refs=tuple(draft.refs),
            amounts=tuple(draft.amounts),
            quantities=tuple(draft.quantities),
            remarks=tuple(draft.remarks),
            delta=delta,
            position=draft.position,
        )

    def built_claim(self, draft: _Claim, end_position: int) -> ClaimPayment:
        clp = draft.clp + _BLANK_CLP[len(draft.clp) :]
        claim_id, status = clp[1], clp[2]
        charge, paid = self.money(clp[3], "CLP03"), self.money(clp[4], "CLP04")
        patient = self.money(clp[5], "CLP05")
        services = tuple(
            [self.built_line(line, claim_id, i) for i, line in enumerate(draft.lines, 1)]
        )
        delta = self.balance(draft, services, charge, paid, patient)
        self.count(services, status, charge, paid, patient)
        parties, days = draft.parties.get, draft.days.get
        return ClaimPayment(
            claim_id=claim_id,
            status=status,
            charge=charge,
            paid=paid,
            patient_responsibility=patient,
            filing_code=clp[6],
            payer_control=clp[7],
            pos=clp[8],
            frequency=clp[9],
            drg=clp[11],
            drg_weight=self.notes.number(clp[12], "CLP12"),
            patient=parties("QC"),
            insured=parties("IL"),
            corrected=parties("74"),
            rendering=parties("82"),
            crossover=parties("TT"),
            priority_payer=parties("PR"),
            other_insured=parties("GB"),
            statement_from=days("232"),
            statement_to=days("233"),
            received=days("050"),
            coverage_end=days("036"),
            adjustments=tuple(draft.adjustments),
            moa=draft.moa,
            mia=draft.mia,
            refs=tuple(draft.refs),
            contacts=tuple(draft.contacts),
            amounts=tuple(draft.amounts),
            quantities=tuple(draft.quantities),
            services=services,
            delta=delta,
            index=draft.index,
            position=draft.position,
            end_position=end_position,
            findings=self.notes.take(),
        )

    def balance(
        self,
        draft: _Claim,
        services: tuple[ServicePayment, ...],
        charge: Decimal,
        paid: Decimal,
        patient: Decimal,
    ) -> Decimal:
        """What charge, adjustments and payment of a claim leave unexplained, said when it is not
        zero.
        """
        adjusted = patient_share = line_charge = ZERO
        for adjustment in chain(draft.adjustments, *[line.adjustments for line in services]):
            adjusted += adjustment.amount
            if adjustment.group == "PR":
                patient_share += adjustment.amount
        for service in services:
            line_charge += service.charge
        where = f"claim {draft.claim_id}"
        delta = charge - adjusted - paid
        if delta:
            self.sums.balanced_claims = False
            self.unbalanced("claim", where, charge, adjusted, paid)
        if patient != patient_share:
            self.notes.add(
                "patient-share",
                "info" if at(draft.clp, 2) == REVERSAL else "warning",
                where,
                f"Patient responsibility {patient:.2f} (CLP05) is not the sum {patient_share:.2f}"
                " of PR adjustments.",
            )
        if services and line_charge != charge:
            self.notes.add(
                "line-charges",
                "warning",
                where,
                f"Line charges {line_charge:.2f} do not add up to the claim charge {charge:.2f}.",
            )
        return delta

    def unbalanced(
        self, what: str, where: str, charge: Decimal, adjusted: Decimal, paid: Decimal
    ) -> None:
        self.notes.add(
            f"{what}-unbalanced",
            "error",
            where,
            f"Charge {charge:.2f} less adjustments {adjusted:.2f} is not the {paid:.2f} paid:"
            f" {charge - adjusted - paid:.2f} is unexplained.",
            "Nothing of this remittance is posted until the payer corrects it or a person decides.",
        )

    def count(
        self,
        services: tuple[ServicePayment, ...],
        status: str,
        charge: Decimal,
        paid: Decimal,
        patient: Decimal,
    ) -> None:
        sums = self.sums
        sums.claims += 1
        sums.services += len(services)
        sums.reversals += status == REVERSAL
        sums.charge += charge
        sums.paid += paid
        sums.patient += patient


_OUTSIDE: Loop = {
    "CLP": _Body.on_claim,
    "LX": _Body.on_group,
    "PLB": _Body.on_provider_adjustment,
    "SVC": _Body.on_line_outside,
    "CAS": _Body.on_adjustments_outside,
    "LQ": _Body.on_remark_outside,
    "DTM": _Body.on_day_outside,
    **dict.fromkeys(("REF", "AMT", "NM1", "MOA", "MIA", "QTY", *_KNOWN_BUT_UNUSED), _Body.on_quiet),
}
_CLAIM: Loop = _OUTSIDE | {
    "SVC": _Body.on_line,
    "CAS": _Body.on_claim_adjustments,
    "DTM": _Body.on_claim_day,
    "REF": _Body.on_claim_reference,
    "AMT": _Body.on_claim_amount,
    "QTY": _Body.on_claim_quantity,
    "NM1": _Body.on_party,
    "MOA": _Body.on_outpatient,
    "MIA": _Body.on_inpatient,
    "PER": _Body.on_contact,
}
_LINE: Loop = _CLAIM | {
    "CAS": _Body.on_line_adjustments,
    "DTM": _Body.on_line_day,
    "REF": _Body.on_line_reference,
    "AMT": _Body.on_line_amount,
    "QTY": _Body.on_line_quantity,
    "LQ": _Body.on_remark,
}


def _trailer(current: TransactionSet, header: _Header, body: _Body) -> RemittanceTrailer:
    notes, sums = body.notes, body.sums
    provider_adjustments = body.provider_adjustments
    withheld = sum((item.amount for item in provider_adjustments), ZERO)
    delta = sums.paid - withheld - header.amount
    if delta:
        notes.add(
            "transaction-unbalanced",
            "error",
            f"ST {current.origin.st02}",
            f"Claims pay {sums.paid:.2f}, provider adjustments take {withheld:.2f}, but the"
            f" payment is {header.amount:.2f}: {delta:.2f} is unexplained.",
            "Nothing of this remittance is posted until the payer corrects it or a person decides.",
        )
    if current.cut_off:
        notes.add(
            "cut-off",
            "error",
            f"ST {current.origin.st02}",
            "The set has no end (SE): the file was cut off, and claims or adjustments may be"
            " missing.",
            "Ask the payer or clearinghouse for the whole file.",
        )
    if not sums.claims and not provider_adjustments:
        notes.add(
            "no-claims", "warning", f"ST {current.origin.st02}", "The remittance holds no claim."
        )
    return RemittanceTrailer(
        provider_adjustments=tuple(provider_adjustments),
        n_claims=sums.claims,
        n_services=sums.services,
        n_reversals=sums.reversals,
        sum_charge=sums.charge,
        sum_paid=sums.paid,
        sum_patient=sums.patient,
        sum_service_charge=sums.service_charge,
        sum_service_paid=sums.service_paid,
        sum_provider_adjustments=withheld,
        delta=delta,
        balanced_lines=sums.balanced_lines,
        balanced_claims=sums.balanced_claims,
        balanced_transaction=not delta,
        readable=body.readable and not current.cut_off,
        findings=notes.take(),
    )
