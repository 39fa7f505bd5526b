"""835 reader: claim by claim, balanced at line, claim and transaction level (rules
`remittance-balance` and `claim-status-code`).

Line: SVC02 − Σ CAS = SVC03. Claim: CLP03 − Σ CAS of claim and lines = CLP04. Transaction: Σ CLP04 −
Σ PLB = BPR02, negative when BPR03 is D. Memory does not grow with the number of claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from rcm.x12 import values
from rcm.x12.document import Document, Segment, Source, TransactionSet
from rcm.x12.model import (
    ZERO,
    Adjustment,
    ClaimPayment,
    Contact,
    Finding,
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

_NOTHING: tuple[Finding, ...] = ()
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
    yield from _read_body(current, segments, segment, reader)


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


class _Claim:
    """A CLP loop while it is being read."""

    __slots__ = (
        "adjustments",
        "amounts",
        "clp",
        "contacts",
        "coverage_end",
        "index",
        "mia",
        "moa",
        "parties",
        "position",
        "quantities",
        "received",
        "refs",
        "services",
        "statement_from",
        "statement_to",
    )

    def __init__(self, clp: Segment, index: int, position: int) -> None:
        self.clp = clp
        self.index = index
        self.position = position
        self.parties: dict[str, Party] = {}
        self.statement_from: date | None = None
        self.statement_to: date | None = None
        self.received: date | None = None
        self.coverage_end: date | None = None
        self.adjustments: list[Adjustment] = []
        self.moa: tuple[str, ...] = ()
        self.mia: tuple[str, ...] = ()
        self.refs: list[Reference] = []
        self.contacts: list[Contact] = []
        self.amounts: list[Money] = []
        self.quantities: list[Quantity] = []
        self.services: list[_Line] = []


class _Line:
    """An SVC loop while it is being read."""

    __slots__ = (
        "adjustments",
        "amounts",
        "control",
        "end",
        "position",
        "quantities",
        "refs",
        "remarks",
        "start",
        "svc",
    )

    def __init__(self, svc: Segment, position: int) -> None:
        self.svc = svc
        self.position = position
        self.start: date | None = None
        self.end: date | None = None
        self.control = ""
        self.adjustments: list[Adjustment] = []
        self.refs: list[Reference] = []
        self.amounts: list[Money] = []
        self.quantities: list[Quantity] = []
        self.remarks: list[str] = []


class _Totals:
    """Running sums of a set, and the building of finished claims."""

    __slots__ = (
        "adjustments",
        "balanced_claims",
        "balanced_lines",
        "charge",
        "component",
        "n_claims",
        "n_reversals",
        "n_services",
        "notes",
        "paid",
        "patient",
        "procedures",
        "readable",
        "service_charge",
        "service_paid",
    )

    def __init__(self, notes: Notes, component: str, readable: bool) -> None:
        self.notes = notes
        self.component = component
        self.readable = readable
        self.procedures: dict[str, Procedure] = {}
        self.n_claims = self.n_services = self.n_reversals = 0
        self.charge = self.paid = self.patient = self.service_charge = self.service_paid = ZERO
        self.balanced_lines = self.balanced_claims = True

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
            if len(self.procedures) < 20_000:
                self.procedures[text] = known
        return known

    def line(self, draft: _Line, claim_id: str, number: int) -> ServicePayment:
        svc = draft.svc
        n = len(svc)
        money = self.money
        charge = money(svc[2], "SVC02") if n > 2 else ZERO
        paid = money(svc[3], "SVC03") if n > 3 else ZERO
        delta = charge - paid
        for adjustment in draft.adjustments:
            delta -= adjustment.amount
        if delta:
            self.balanced_lines = False
            self.notes.add(
                "line-unbalanced",
                "error",
                f"claim {claim_id} line {number}",
                f"Charge {charge:.2f} less adjustments {charge - paid - delta:.2f} is not the"
                f" {paid:.2f} paid: {delta:.2f} is unexplained.",
                "Nothing of this remittance is posted until the payer corrects it or a person"
                " decides.",
            )
        self.service_charge += charge
        self.service_paid += paid
        return ServicePayment(
            self.procedure(svc[1]) if n > 1 else self.procedure(""),
            charge,
            paid,
            svc[4] if n > 4 else "",
            self.notes.number(svc[5], "SVC05") if n > 5 else None,
            self.procedure(svc[6]) if n > 6 and svc[6] else None,
            self.notes.number(svc[7], "SVC07") if n > 7 else None,
            draft.start,
            draft.end,
            tuple(draft.adjustments),
            draft.control,
            tuple(draft.refs),
            tuple(draft.amounts),
            tuple(draft.quantities),
            tuple(draft.remarks),
            delta,
            draft.position,
        )

    def claim(self, draft: _Claim, end_position: int) -> ClaimPayment:
        clp = draft.clp
        n = len(clp)
        claim_id = clp[1] if n > 1 else ""
        money = self.money
        charge = money(clp[3], "CLP03") if n > 3 else ZERO
        paid = money(clp[4], "CLP04") if n > 4 else ZERO
        patient = money(clp[5], "CLP05") if n > 5 else ZERO
        status = clp[2] if n > 2 else ""
        services = tuple([self.line(line, claim_id, i) for i, line in enumerate(draft.services, 1)])
        adjusted = patient_share = line_charge = ZERO
        for adjustment in draft.adjustments:
            adjusted += adjustment.amount
            if adjustment.group == "PR":
                patient_share += adjustment.amount
        for service in services:
            line_charge += service.charge
            for adjustment in service.adjustments:
                adjusted += adjustment.amount
                if adjustment.group == "PR":
                    patient_share += adjustment.amount
        delta = charge - adjusted - paid
        if delta:
            self.balanced_claims = False
            self.notes.add(
                "claim-unbalanced",
                "error",
                f"claim {claim_id}",
                f"Charge {charge:.2f} less adjustments {adjusted:.2f} is not the {paid:.2f} paid: "
                f"{delta:.2f} is unexplained.",
                "Nothing of this remittance is posted until the payer corrects it or a person"
                " decides.",
            )
        if patient != patient_share:
            self.notes.add(
                "patient-share",
                "info" if status == "22" else "warning",
                f"claim {claim_id}",
                f"Patient responsibility {patient:.2f} (CLP05) is not the sum {patient_share:.2f}"
                " of PR adjustments.",
            )
        if services and line_charge != charge:
            self.notes.add(
                "line-charges",
                "warning",
                f"claim {claim_id}",
                f"Line charges {line_charge:.2f} do not add up to the claim charge {charge:.2f}.",
            )
        self.n_claims += 1
        self.n_services += len(services)
        if status == "22":
            self.n_reversals += 1
        self.charge += charge
        self.paid += paid
        self.patient += patient
        parties = draft.parties.get
        items = self.notes.items
        return ClaimPayment(
            claim_id,
            status,
            charge,
            paid,
            patient,
            clp[6] if n > 6 else "",
            clp[7] if n > 7 else "",
            clp[8] if n > 8 else "",
            clp[9] if n > 9 else "",
            clp[11] if n > 11 else "",
            self.notes.number(clp[12], "CLP12") if n > 12 else None,
            parties("QC"),
            parties("IL"),
            parties("74"),
            parties("82"),
            parties("TT"),
            parties("PR"),
            parties("GB"),
            draft.statement_from,
            draft.statement_to,
            draft.received,
            draft.coverage_end,
            tuple(draft.adjustments),
            draft.moa,
            draft.mia,
            tuple(draft.refs),
            tuple(draft.contacts),
            tuple(draft.amounts),
            tuple(draft.quantities),
            services,
            delta,
            draft.index,
            draft.position,
            end_position,
            self.notes.take() if items else _NOTHING,
        )


def _read_body(
    current: TransactionSet, segments: Iterator[Segment], first: Segment | None, header: _Header
) -> Iterator[Part]:
    notes = Notes(current)
    totals = _Totals(notes, current.delimiters.component, header.readable)
    money = totals.money
    read_day = notes.day
    claim: _Claim | None = None
    line: _Line | None = None
    provider_adjustments: list[ProviderAdjustment] = []
    segment: Segment | None = first
    while segment is not None:
        tag = segment[0]
        n = len(segment)
        if tag == "CAS":
            owner: _Line | _Claim | None = line or claim
            if owner is None:
                notes.unknown(segment, "before any claim")
            elif n > 1:
                group = segment[1]
                adjustments = owner.adjustments
                # Triplets go by place, so that an empty quantity never shifts the next reason.
                for i in range(2, n if n < 20 else 20, 3):
                    reason = segment[i]
                    text = segment[i + 1] if n > i + 1 else ""
                    if reason or text:
                        adjustments.append(
                            Adjustment(
                                group,
                                reason,
                                money(text, "CAS"),
                                notes.number(segment[i + 2], "CAS") if n > i + 2 else None,
                            )
                        )
        elif tag == "DTM":
            qualifier = segment[1] if n > 1 else ""
            when = read_day(segment[2], "DTM") if n > 2 else None
            if line is not None:
                if qualifier == "472" or qualifier == "150":
                    line.start = when
                elif qualifier == "151":
                    line.end = when
            elif claim is not None:
                if qualifier == "232":
                    claim.statement_from = when
                elif qualifier == "233":
                    claim.statement_to = when
                elif qualifier == "050":
                    claim.received = when
                elif qualifier == "036":
                    claim.coverage_end = when
        elif tag == "REF":
            if line is not None:
                if n > 2 and segment[1] == "6R" and not line.control:
                    line.control = segment[2]
                else:
                    line.refs.append(reference(segment))
            elif claim is not None:
                claim.refs.append(reference(segment))
        elif tag == "AMT":
            owner = line or claim
            if owner is not None:
                owner.amounts.append(Money(at(segment, 1), money(at(segment, 2), "AMT02")))
        elif tag == "SVC":
            if claim is None:
                totals.readable = False
                notes.add(
                    "line-without-claim", "error", "SVC", "A service line stands outside any claim."
                )
            else:
                line = _Line(segment, current.position)
                claim.services.append(line)
        elif tag == "NM1":
            if claim is not None:
                claim.parties.setdefault(segment[1] if n > 1 else "", party(segment))
        elif tag == "CLP":
            if claim is not None:
                yield totals.claim(claim, current.position - 1)
            claim = _Claim(segment, totals.n_claims, current.position)
            line = None
        elif tag == "LQ":
            if line is not None:
                if n > 2:
                    line.remarks.append(segment[2])
            else:
                notes.unknown(segment, "outside a service line")
        elif tag == "MOA":
            if claim is not None:
                claim.moa = tuple([code for code in segment[3:8] if code])
        elif tag == "MIA":
            if claim is not None:
                claim.mia = tuple([code for code in (at(segment, 5), *segment[20:24]) if code])
        elif tag == "QTY":
            owner = line or claim
            if owner is not None:
                owner.quantities.append(
                    Quantity(at(segment, 1), notes.number(at(segment, 2), "QTY02") or ZERO)
                )
        elif tag == "PLB":
            if claim is not None:
                yield totals.claim(claim, current.position - 1)
                claim = line = None
            _provider_adjustments(segment, totals, current.position, provider_adjustments)
        elif tag == "PER":
            if claim is not None:
                claim.contacts.append(contact(segment))
        elif tag == "LX":
            if claim is not None:
                yield totals.claim(claim, current.position - 1)
                claim = line = None
        elif tag not in _KNOWN_BUT_UNUSED:
            notes.unknown(
                segment, f"claim {at(claim.clp, 1)}" if claim is not None else "after the header"
            )
        segment = next(segments, None)
    if claim is not None:
        yield totals.claim(claim, current.position)
    yield _trailer(current, header, totals, provider_adjustments)


def _provider_adjustments(
    segment: Segment, totals: _Totals, position: int, found: list[ProviderAdjustment]
) -> None:
    """Up to six pairs of reason and amount in one PLB."""
    provider, fiscal = at(segment, 1), totals.notes.day(at(segment, 2), "PLB02")
    for i in range(3, min(len(segment), 15), 2):
        text = at(segment, i + 1)
        if not segment[i] and not text:
            continue
        reason, _, ref = segment[i].partition(totals.component)
        found.append(
            ProviderAdjustment(provider, fiscal, reason, ref, totals.money(text, "PLB"), position)
        )


def _trailer(
    current: TransactionSet,
    header: _Header,
    totals: _Totals,
    provider_adjustments: list[ProviderAdjustment],
) -> RemittanceTrailer:
    notes = totals.notes
    withheld = sum((item.amount for item in provider_adjustments), ZERO)
    delta = totals.paid - withheld - header.amount
    if delta:
        notes.add(
            "transaction-unbalanced",
            "error",
            f"ST {current.origin.st02}",
            f"Claims pay {totals.paid:.2f}, provider adjustments take {withheld:.2f}, but the"
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
    if not totals.n_claims and not provider_adjustments:
        notes.add(
            "no-claims", "warning", f"ST {current.origin.st02}", "The remittance holds no claim."
        )
    return RemittanceTrailer(
        provider_adjustments=tuple(provider_adjustments),
        n_claims=totals.n_claims,
        n_services=totals.n_services,
        n_reversals=totals.n_reversals,
        sum_charge=totals.charge,
        sum_paid=totals.paid,
        sum_patient=totals.patient,
        sum_service_charge=totals.service_charge,
        sum_service_paid=totals.service_paid,
        sum_provider_adjustments=withheld,
        delta=delta,
        balanced_lines=totals.balanced_lines,
        balanced_claims=totals.balanced_claims,
        balanced_transaction=not delta,
        readable=totals.readable and not current.cut_off,
        findings=notes.take(),
    )
