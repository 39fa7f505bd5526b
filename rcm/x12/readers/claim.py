"""837P and 837I reader, with everything a payer needs to adjudicate a claim (the simulator is one).

Also the reader that proves the writer: ``read(write(claims)) == claims``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rcm.x12 import values
from rcm.x12.document import Document, Segment, Source, TransactionSet
from rcm.x12.model import (
    ONE,
    ZERO,
    Adjustment,
    Attachment,
    Claim,
    DatePeriod,
    Diagnosis,
    Drug,
    LineAdjudication,
    Note,
    OtherPayer,
    Party,
    Procedure,
    PurchasedService,
    Reference,
    ServiceLine,
)
from rcm.x12.readers.common import Notes, PartyBuilder, at, procedure, reference, sets_of

_DIAGNOSES = frozenset(("ABK", "ABF", "BK", "BF", "ABJ", "BJ", "APR", "PR", "ABN", "BN", "DR"))
_CLAIM_PARTIES = {
    "DN": "referring",
    "82": "rendering",
    "77": "facility",
    "DQ": "supervising",
    "71": "attending",
    "72": "operating",
}
_LINE_PARTIES = {
    "82": "rendering",
    "QB": "purchased_from",
    "77": "facility",
    "DQ": "supervising",
    "DK": "ordering",
    "DN": "referring",
}
_ABOVE = frozenset(
    ("HL", "SBR", "PAT", "NM1", "N3", "N4", "REF", "PER", "DMG", "PRV", "CUR", "BHT")
)
_QUIET = frozenset(
    (
        "CRC",
        "CR1",
        "CR2",
        "CR3",
        "CR4",
        "CR5",
        "CR6",
        "CR8",
        "CN1",
        "HCP",
        "MEA",
        "SV4",
        "SV5",
        "SV7",
        "LQ",
        "FRM",
        "MIA",
        "LE",
        "LS",
        "QTY",
        "TOO",
        "UR",
        "HSD",
        "CL1",
    )
)


def read_837(source: Source | Document) -> Iterator[Claim]:
    """Each claim of the file's 837 sets, professional and institutional.

    Raises ``NotX12`` (bytes that are no X12) or ``WrongSet`` (no 837 in the file) and nothing else.
    """
    for current in sets_of(source, "837"):
        yield from read_set(current)


def read_set(current: TransactionSet) -> Iterator[Claim]:
    """The claims of one 837 set."""
    state = _State(current)
    for segment in current:
        done = state.take(segment)
        if done is not None:
            yield done
    last = state.finish()
    if last is not None:
        yield last


class _Line:
    __slots__ = (
        "adjudications",
        "attachments",
        "dates",
        "fields",
        "k3",
        "notes",
        "parties",
        "position",
        "refs",
        "svd",
    )

    def __init__(self, number: int, position: int) -> None:
        self.position = position
        self.fields: dict[str, Any] = {"number": number}
        self.refs: list[Reference] = []
        self.dates: list[DatePeriod] = []
        self.attachments: list[Attachment] = []
        self.notes: list[Note] = []
        self.k3: list[str] = []
        self.adjudications: list[LineAdjudication] = []
        self.svd: dict[str, Any] | None = None
        self.parties: list[PartyBuilder] = []


class _State:
    """Where in the hierarchy the reading is: provider, subscriber, patient, claim, other payer,
    line.
    """

    def __init__(self, current: TransactionSet) -> None:
        self.current = current
        self.notes = Notes(current)
        self.component = current.delimiters.component
        self.institutional = current.origin.kind == "837I"
        self.reference = ""
        self.submitter: PartyBuilder | None = None
        self.receiver: PartyBuilder | None = None
        self.level = ""
        self.billing: PartyBuilder | None = None
        self.billing_prv: Segment | None = None
        self.pay_to: PartyBuilder | None = None
        self.subscriber: PartyBuilder | None = None
        self.payer: PartyBuilder | None = None
        self.patient: PartyBuilder | None = None
        self.sbr: Segment = []
        self.pat: Segment = []
        self.party: PartyBuilder | None = None
        self.clear_claim()

    def clear_claim(self) -> None:
        self.clm: Segment | None = None
        self.clm_position = 0
        self.fields: dict[str, Any] = {}
        self.dates: list[DatePeriod] = []
        self.refs: list[Reference] = []
        self.attachments: list[Attachment] = []
        self.k3: list[str] = []
        self.claim_notes: list[Note] = []
        self.diagnoses: list[Diagnosis] = []
        self.hi_codes: list[tuple[str, ...]] = []
        self.parties: list[PartyBuilder] = []
        self.others: list[dict[str, Any]] = []
        self.lines: list[_Line] = []
        self.line: _Line | None = None
        self.other: dict[str, Any] | None = None

    def take(self, segment: Segment) -> Claim | None:
        """One segment; the claim that it ends, if it ends one."""
        tag = segment[0]
        if tag == "CLM":
            done = self.finish()
            self.clm = segment
            self.clm_position = self.current.position
            self.party = None
            return done
        if tag == "HL":
            done = self.finish()
            self.open_level(at(segment, 3))
            return done
        if self.clm is None:
            self.above(segment, tag)
        elif self.line is not None or tag == "LX":
            self.in_line(segment, tag)
        elif self.other is not None or tag == "SBR":
            self.in_other(segment, tag)
        else:
            self.in_claim(segment, tag)
        return None

    def open_level(self, level: str) -> None:
        self.level = level
        self.party = None
        if level == "20":
            self.billing = self.pay_to = self.subscriber = self.payer = self.patient = None
            self.billing_prv = None
            self.sbr, self.pat = [], []
        elif level == "22":
            self.subscriber = self.payer = self.patient = None
            self.sbr, self.pat = [], []
        elif level == "23":
            self.patient = None
            self.pat = []

    # -- above the claim ---------------------------------------------------------------------------

    def above(self, segment: Segment, tag: str) -> None:
        if tag == "NM1":
            builder = self.party = PartyBuilder(segment)
            role = at(segment, 1)
            if role == "41":
                self.submitter = builder
            elif role == "40":
                self.receiver = builder
            elif role == "85":
                self.billing = builder
                if self.billing_prv is not None:
                    builder.take(self.billing_prv)
            elif role == "87":
                self.pay_to = builder
            elif role == "IL":
                self.subscriber = builder
            elif role == "PR":
                self.payer = builder
            elif role == "QC":
                self.patient = builder
        elif tag == "BHT":
            self.reference = at(segment, 3)
        elif tag == "SBR":
            self.sbr = segment
            self.party = None
        elif tag == "PAT":
            if self.level == "23":
                self.pat = segment
            self.party = None
        elif tag == "PRV" and self.party is None:
            self.billing_prv = segment
        elif self.party is not None and self.party.take(segment):
            pass
        elif tag not in _ABOVE and tag not in _QUIET:
            self.notes.unknown(segment, "above the claims")

    # -- claim -------------------------------------------------------------------------------------

    def in_claim(self, segment: Segment, tag: str) -> None:
        notes = self.notes
        if tag == "DTP":
            item = notes.period(segment, "DTP")
            if item.qualifier == "439":
                self.fields["accident_date"] = item.start
            else:
                self.dates.append(item)
        elif tag == "NM1":
            self.party = PartyBuilder(segment)
            self.parties.append(self.party)
        elif self.party is not None and self.party.take(segment):
            pass
        elif tag == "REF":
            qualifier, value = at(segment, 1), at(segment, 2)
            name = {
                "G1": "authorization",
                "9F": "referral",
                "F8": "payer_control",
                "EW": "mammography_certification",
            }.get(qualifier)
            if name and name not in self.fields:
                self.fields[name] = value
            else:
                self.refs.append(reference(segment))
        elif tag == "HI":
            self.health_codes(segment)
        elif tag == "PWK":
            self.attachments.append(attachment(segment))
        elif tag == "AMT":
            if at(segment, 1) in ("F5", "F3"):
                self.fields["patient_paid"] = notes.money(at(segment, 2), "AMT02")
        elif tag == "NTE":
            self.claim_notes.append(Note(at(segment, 2), at(segment, 1)))
        elif tag == "K3":
            self.k3.append(at(segment, 1))
        elif tag == "CL1":
            self.fields["admission"] = (at(segment, 1), at(segment, 2), at(segment, 3))
        elif tag not in _QUIET:
            notes.unknown(segment, f"claim {at(self.clm or [], 1)}")

    def health_codes(self, segment: Segment) -> None:
        for text in segment[1:]:
            if not text:
                continue
            parts = tuple(text.split(self.component))
            if parts[0] in _DIAGNOSES:
                if len(parts) > 1 and parts[1]:
                    self.diagnoses.append(Diagnosis(parts[1], parts[0]))
            else:
                self.hi_codes.append(parts)

    # -- other payer -------------------------------------------------------------------------------

    def in_other(self, segment: Segment, tag: str) -> None:
        notes = self.notes
        if tag == "SBR":
            self.party = None
            self.other = {"sbr": segment, "cas": [], "parties": {}, "payer_refs": {}}
            self.others.append(self.other)
            return
        other = self.other
        assert other is not None
        if tag == "CAS":
            cas(notes, segment, other["cas"])
        elif tag == "AMT":
            name = {"D": "paid", "A8": "non_covered", "EAF": "remaining"}.get(at(segment, 1))
            if name:
                other[name] = notes.money(at(segment, 2), "AMT02")
        elif tag == "OI":
            other["oi"] = segment
        elif tag == "MOA":
            other["remarks"] = tuple([code for code in segment[3:8] if code])
        elif tag == "NM1":
            self.party = PartyBuilder(segment)
            other["parties"].setdefault(at(segment, 1), self.party)
        elif tag == "DTP":
            if at(segment, 1) == "573":
                other["paid_date"] = notes.period(segment, "DTP").start
        elif tag == "REF" and self.party is not None and at(self.party.head, 1) == "PR":
            name = {"G1": "authorization", "9F": "referral", "F8": "payer_control"}.get(
                at(segment, 1)
            )
            if name and name not in other:
                other[name] = at(segment, 2)
            else:
                self.party.take(segment)
        elif self.party is not None and self.party.take(segment):
            pass
        elif tag not in _QUIET and tag != "DMG":
            notes.unknown(segment, f"claim {at(self.clm or [], 1)} other payer")

    # -- line --------------------------------------------------------------------------------------

    def in_line(self, segment: Segment, tag: str) -> None:
        notes = self.notes
        if tag == "LX":
            self.close_adjudication()
            self.party = None
            self.line = _Line(values.whole(at(segment, 1)), self.current.position)
            self.lines.append(self.line)
            return
        line = self.line
        assert line is not None
        fields = line.fields
        if tag == "SV1":
            fields["procedure"] = procedure(at(segment, 1), self.component)
            fields["charge"] = notes.money(at(segment, 2), "SV102")
            fields["unit"] = at(segment, 3)
            fields["units"] = notes.number(at(segment, 4), "SV104") or ZERO
            fields["pos"] = at(segment, 5)
            pointers = at(segment, 7)
            fields["pointers"] = (
                tuple([values.whole(part) for part in pointers.split(self.component) if part])
                if pointers
                else ()
            )
            fields["emergency"] = at(segment, 9) == "Y"
        elif tag == "SV2":
            self.institutional = True
            fields["revenue_code"] = at(segment, 1)
            fields["procedure"] = (
                procedure(at(segment, 2), self.component) if at(segment, 2) else Procedure()
            )
            fields["charge"] = notes.money(at(segment, 3), "SV203")
            fields["unit"] = at(segment, 4)
            fields["units"] = notes.number(at(segment, 5), "SV205") or ZERO
            fields["rate"] = notes.optional_money(at(segment, 6), "SV206")
            fields["non_covered"] = notes.optional_money(at(segment, 7), "SV207")
        elif tag == "SV3":
            fields["procedure"] = procedure(at(segment, 1), self.component)
            fields["charge"] = notes.money(at(segment, 2), "SV302")
            fields["pos"] = at(segment, 3)
            fields["units"] = notes.number(at(segment, 6), "SV306") or ONE
            fields["pointers"] = ()
        elif tag == "SVD":
            self.close_adjudication()
            self.party = None
            line.svd = {"svd": segment, "cas": []}
        elif tag == "CAS":
            if line.svd is not None:
                cas(notes, segment, line.svd["cas"])
        elif tag == "DTP":
            item = notes.period(segment, "DTP")
            if item.qualifier == "573" and line.svd is not None:
                line.svd["paid_date"] = item.start
            elif item.qualifier == "472":
                fields["service_date"] = item.start
                fields["service_end"] = item.end if item.end != item.start else None
            else:
                line.dates.append(item)
        elif tag == "AMT":
            if at(segment, 1) == "EAF" and line.svd is not None:
                line.svd["remaining"] = notes.money(at(segment, 2), "AMT02")
        elif tag == "NM1":
            self.party = PartyBuilder(segment)
            line.parties.append(self.party)
        elif tag == "LIN":
            fields["ndc"] = at(segment, 3)
        elif tag == "CTP":
            fields["ctp"] = segment
        elif tag == "REF" and self.party is None:
            self.line_reference(line, segment)
        elif self.party is not None and self.party.take(segment):
            pass
        elif tag == "NTE":
            line.notes.append(Note(at(segment, 2), at(segment, 1)))
        elif tag == "K3":
            line.k3.append(at(segment, 1))
        elif tag == "PWK":
            line.attachments.append(attachment(segment))
        elif tag == "PS1":
            fields["purchased"] = PurchasedService(
                at(segment, 1), notes.money(at(segment, 2), "PS102")
            )
        elif tag not in _QUIET:
            notes.unknown(segment, f"claim {at(self.clm or [], 1)} line {len(self.lines)}")

    def line_reference(self, line: _Line, segment: Segment) -> None:
        qualifier = at(segment, 1)
        if qualifier in ("XZ", "VY") and "ndc" in line.fields:
            line.fields["prescription"] = at(segment, 2)
            return
        name = {
            "6R": "line_control",
            "G1": "authorization",
            "9F": "referral",
            "EW": "mammography_certification",
        }.get(qualifier)
        if name and name not in line.fields:
            line.fields[name] = at(segment, 2)
        else:
            line.refs.append(reference(segment))

    def close_adjudication(self) -> None:
        line = self.line
        if line is None or line.svd is None:
            return
        found, line.svd = line.svd, None
        svd = found["svd"]
        line.adjudications.append(
            LineAdjudication(
                payer_id=at(svd, 1),
                paid=self.notes.money(at(svd, 2), "SVD02"),
                procedure=procedure(at(svd, 3), self.component),
                revenue_code=at(svd, 4),
                units=self.notes.number(at(svd, 5), "SVD05") or ONE,
                bundled_line=at(svd, 6),
                adjustments=tuple(found["cas"]),
                paid_date=found.get("paid_date"),
                remaining=found.get("remaining"),
            )
        )

    # -- building ----------------------------------------------------------------------------------

    def finish(self) -> Claim | None:
        if self.clm is None:
            return None
        self.close_adjudication()
        clm = self.clm
        claim_id = at(clm, 1)
        parts = at(clm, 5).split(self.component)
        causes = at(clm, 11).split(self.component) if at(clm, 11) else []
        lines = tuple([self.build_line(line) for line in self.lines])
        charge = self.notes.money(at(clm, 2), "CLM02")
        line_total = sum((line.charge for line in lines), ZERO)
        if lines and line_total != charge:
            self.notes.add(
                "claim-total",
                "warning",
                f"claim {claim_id}",
                f"The claim charge {charge:.2f} is not the sum {line_total:.2f} of its lines.",
            )
        subscriber = _shared(self.subscriber)
        patient = _shared(self.patient)
        for what, builder in (
            ("billing provider", self.billing),
            ("subscriber", self.subscriber),
            ("payer", self.payer),
        ):
            if builder is None:
                self.notes.add(
                    "missing-party", "warning", f"claim {claim_id}", f"The claim has no {what}."
                )
        claim = Claim(
            claim_id=claim_id,
            charge=charge,
            billing=_shared(self.billing) or Party("85"),
            subscriber=subscriber or Party("IL"),
            payer=_shared(self.payer) or Party("PR"),
            lines=lines,
            diagnoses=tuple(self.diagnoses),
            pos=parts[0],
            facility_qualifier=parts[1] if len(parts) > 1 else "",
            frequency=parts[2] if len(parts) > 2 else "",
            pay_to=_shared(self.pay_to),
            patient=patient,
            patient_relationship=at(self.pat, 1) if patient is not None else "",
            payer_sequence=at(self.sbr, 1),
            relationship=at(self.sbr, 2) or ("18" if patient is None else ""),
            group_number=at(self.sbr, 3),
            group_name=at(self.sbr, 4),
            insurance_type=at(self.sbr, 5),
            filing_code=at(self.sbr, 9),
            provider_signature=at(clm, 6) or ("Y" if self.institutional else ""),
            assignment=at(clm, 7),
            benefits_assigned=at(clm, 8),
            release=at(clm, 9),
            patient_signature=at(clm, 10),
            related_causes=tuple([cause for cause in causes[:3] if cause]),
            accident_state=causes[3] if len(causes) > 3 else "",
            delay_reason=at(clm, 20),
            dates=tuple(self.dates),
            refs=tuple(self.refs),
            attachments=tuple(self.attachments),
            file_information=tuple(self.k3),
            notes=tuple(self.claim_notes),
            hi_codes=tuple(self.hi_codes),
            other_payers=tuple([self.build_other(other) for other in self.others]),
            institutional=self.institutional,
            origin=self.current.origin,
            reference=self.reference,
            submitter=_shared(self.submitter),
            receiver=_shared(self.receiver),
            position=self.clm_position,
            findings=self.notes.take(),
            **self.fields,
            **named(self.parties, _CLAIM_PARTIES),
        )
        self.clear_claim()
        self.party = None
        return claim

    def build_line(self, line: _Line) -> ServiceLine:
        fields = line.fields
        fields.setdefault("procedure", Procedure())
        fields.setdefault("charge", ZERO)
        ndc = fields.pop("ndc", "")
        ctp = fields.pop("ctp", [])
        prescription = fields.pop("prescription", "")
        if ndc:
            unit = at(ctp, 5).split(self.component)[0]
            quantity = self.notes.number(at(ctp, 4), "CTP04")
            fields["drug"] = Drug(ndc, ZERO if quantity is None else quantity, unit, prescription)
        return ServiceLine(
            refs=tuple(line.refs),
            dates=tuple(line.dates),
            attachments=tuple(line.attachments),
            notes=tuple(line.notes),
            file_information=tuple(line.k3),
            adjudications=tuple(line.adjudications),
            position=line.position,
            **fields,
            **named(line.parties, _LINE_PARTIES),
        )

    def build_other(self, found: dict[str, Any]) -> OtherPayer:
        sbr, oi, parties = found["sbr"], found.get("oi", []), found["parties"]
        return OtherPayer(
            sequence=at(sbr, 1),
            payer=parties["PR"].build() if "PR" in parties else Party("PR"),
            subscriber=parties["IL"].build() if "IL" in parties else Party("IL"),
            relationship=at(sbr, 2),
            group_number=at(sbr, 3),
            group_name=at(sbr, 4),
            insurance_type=at(sbr, 5),
            filing_code=at(sbr, 9),
            adjustments=tuple(found["cas"]),
            paid=found.get("paid"),
            non_covered=found.get("non_covered"),
            remaining=found.get("remaining"),
            benefits_assigned=at(oi, 3),
            patient_signature=at(oi, 4),
            release=at(oi, 6),
            remarks=found.get("remarks", ()),
            paid_date=found.get("paid_date"),
            payer_control=found.get("payer_control", ""),
            authorization=found.get("authorization", ""),
            referral=found.get("referral", ""),
        )


def _shared(builder: PartyBuilder | None) -> Party | None:
    return builder.build_once() if builder is not None else None


def named(builders: list[PartyBuilder], names: dict[str, str]) -> dict[str, Any]:
    """Parties by the field they fill; the first of each role counts."""
    found: dict[str, Any] = {}
    for builder in builders:
        name = names.get(at(builder.head, 1))
        if name and name not in found:
            found[name] = builder.build()
    return found


def attachment(segment: Segment) -> Attachment:
    return Attachment(at(segment, 1), at(segment, 2), at(segment, 6))


def cas(notes: Notes, segment: Segment, found: list[Adjustment]) -> None:
    """Adjustment triplets, by place."""
    group = at(segment, 1)
    for i in range(2, min(len(segment), 20), 3):
        text = at(segment, i + 1)
        if segment[i] or text:
            found.append(
                Adjustment(
                    group,
                    segment[i],
                    notes.money(text, "CAS"),
                    notes.number(at(segment, i + 2), "CAS"),
                )
            )
