"""837P and 837I reader, with everything a payer needs to adjudicate a claim (the simulator is one).

Also the reader that proves the writer: ``read(write(claims)) == claims``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
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
from rcm.x12.readers.common import (
    Loop,
    Loops,
    Notes,
    PartyBuilder,
    at,
    procedure,
    reference,
    sets_of,
)

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
_CLAIM_NUMBERS = {
    "G1": "authorization",
    "9F": "referral",
    "F8": "payer_control",
    "EW": "mammography_certification",
}
_OTHER_NUMBERS = {"G1": "authorization", "9F": "referral", "F8": "payer_control"}
_OTHER_AMOUNTS = {"D": "paid", "A8": "non_covered", "EAF": "remaining"}
_LINE_NUMBERS = {
    "6R": "line_control",
    "G1": "authorization",
    "9F": "referral",
    "EW": "mammography_certification",
}
_NEEDED_PARTIES = {"85": "billing provider", "IL": "subscriber", "PR": "payer"}
# The parties that a new HL of this level (HL03) takes away, by NM101.
_ENDS_WITH_LEVEL = {
    "20": ("85", "87", "IL", "PR", "QC"),
    "22": ("IL", "PR", "QC"),
    "23": ("QC",),
}
_UNUSED = (
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


def read_837(source: Source | Document) -> Iterator[Claim]:
    """Each claim of the file's 837 sets, professional and institutional.

    Raises ``NotX12`` (bytes that are no X12) or ``WrongSet`` (no 837 in the file) and nothing else.
    """
    for current in sets_of(source, "837"):
        yield from read_set(current)


def read_set(current: TransactionSet) -> Iterator[Claim]:
    """The claims of one 837 set."""
    reader = _Reader(current)
    yield from reader.read(current)
    if (last := reader.finish()) is not None:
        yield last


@dataclass(slots=True)
class _Line:
    """An LX loop while it is being read."""

    fields: dict[str, Any]
    position: int
    refs: list[Reference] = field(default_factory=list)
    dates: list[DatePeriod] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    k3: list[str] = field(default_factory=list)
    adjudications: list[LineAdjudication] = field(default_factory=list)
    parties: list[PartyBuilder] = field(default_factory=list)


@dataclass(slots=True)
class _Adjudication:
    """An SVD loop while it is being read."""

    svd: Segment
    adjustments: list[Adjustment] = field(default_factory=list)
    paid_date: date | None = None
    remaining: Decimal | None = None


@dataclass(slots=True)
class _Other:
    """An other payer of the claim while it is being read."""

    sbr: Segment
    oi: Segment = field(default_factory=list)
    adjustments: list[Adjustment] = field(default_factory=list)
    parties: dict[str, PartyBuilder] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)


class _Reader(Loops):
    """Where in the hierarchy the reading is: provider, subscriber, patient, claim, other payer,
    line.
    """

    def __init__(self, current: TransactionSet) -> None:
        super().__init__(current, loop=_ABOVE)
        self.component = current.delimiters.component
        self.institutional = current.origin.kind == "837I"
        self.reference = ""
        self.level = ""
        self.roles: dict[str, PartyBuilder] = {}  # of the claim's own parties, by NM101
        self.billing_prv: Segment | None = None
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
        self.others: list[_Other] = []
        self.lines: list[_Line] = []
        self.adjudication: _Adjudication | None = None

    @property
    def where(self) -> str:
        return f"claim {at(self.clm or [], 1)}"

    # -- everywhere --------------------------------------------------------------------------------

    def on_claim(self, clm: Segment) -> Claim | None:
        done = self.finish()
        self.clm = clm
        self.clm_position = self.current.position
        self.party = None
        self.loop = _CLAIM
        return done

    def on_level(self, hl: Segment) -> Claim | None:
        done = self.finish()
        self.level = at(hl, 3)
        self.party = None
        self.loop = _ABOVE
        for role in _ENDS_WITH_LEVEL.get(self.level, ()):
            self.roles.pop(role, None)
        if self.level == "20":
            self.billing_prv = None
        if self.level in ("20", "22"):
            self.sbr = []
        if self.level in _ENDS_WITH_LEVEL:
            self.pat = []
        return done

    def on_party_detail(self, segment: Segment) -> None:
        """What describes the party named last."""
        if self.party is None or not self.party.take(segment):
            self.on_unknown(segment)

    def on_unknown(self, segment: Segment) -> None:
        self.notes.unknown(segment, self.place())

    def place(self) -> str:
        if self.loop is _ABOVE:
            return "above the claims"
        if self.loop is _OTHER:
            return f"{self.where} other payer"
        return f"{self.where} line {len(self.lines)}" if self.loop is _LINE else self.where

    # -- above the claim ---------------------------------------------------------------------------

    def on_name_above(self, nm1: Segment) -> None:
        self.party = PartyBuilder(nm1)
        role = at(nm1, 1)
        self.roles[role] = self.party
        if role == "85" and self.billing_prv is not None:
            self.party.take(self.billing_prv)

    def on_beginning(self, bht: Segment) -> None:
        self.reference = at(bht, 3)

    def on_subscriber(self, sbr: Segment) -> None:
        self.sbr = sbr
        self.party = None

    def on_patient(self, pat: Segment) -> None:
        if self.level == "23":
            self.pat = pat
        self.party = None

    def on_taxonomy(self, prv: Segment) -> None:
        if self.party is None:
            self.billing_prv = prv
            return
        self.party.take(prv)

    def on_detail_above(self, segment: Segment) -> None:
        if self.party is not None:
            self.party.take(segment)

    # -- claim -------------------------------------------------------------------------------------

    def on_claim_day(self, dtp: Segment) -> None:
        item = self.notes.period(dtp, "DTP")
        if item.qualifier == "439":
            self.fields["accident_date"] = item.start
            return
        self.dates.append(item)

    def on_claim_party(self, nm1: Segment) -> None:
        self.party = PartyBuilder(nm1)
        self.parties.append(self.party)

    def on_claim_reference(self, ref: Segment) -> None:
        if self.party is not None and self.party.take(ref):
            return
        _reference_into(self.fields, _CLAIM_NUMBERS, ref, self.refs)

    def on_health_codes(self, hi: Segment) -> None:
        for text in filter(None, hi[1:]):
            parts = tuple(text.split(self.component))
            if parts[0] not in _DIAGNOSES:
                self.hi_codes.append(parts)
            elif len(parts) > 1 and parts[1]:
                self.diagnoses.append(Diagnosis(parts[1], parts[0]))

    def on_claim_attachment(self, pwk: Segment) -> None:
        self.attachments.append(attachment(pwk))

    def on_claim_amount(self, amt: Segment) -> None:
        if at(amt, 1) in ("F5", "F3"):
            self.fields["patient_paid"] = self.notes.money(at(amt, 2), "AMT02")

    def on_claim_note(self, nte: Segment) -> None:
        self.claim_notes.append(Note(at(nte, 2), at(nte, 1)))

    def on_claim_fixed(self, k3: Segment) -> None:
        self.k3.append(at(k3, 1))

    def on_admission(self, cl1: Segment) -> None:
        self.fields["admission"] = (at(cl1, 1), at(cl1, 2), at(cl1, 3))

    # -- other payer -------------------------------------------------------------------------------

    def on_other(self, sbr: Segment) -> None:
        self.party = None
        self.others.append(_Other(sbr))
        self.loop = _OTHER

    def on_other_adjustments(self, segment: Segment) -> None:
        cas(self.notes, segment, self.others[-1].adjustments)

    def on_other_amount(self, amt: Segment) -> None:
        name = _OTHER_AMOUNTS.get(at(amt, 1))
        if name:
            self.others[-1].fields[name] = self.notes.money(at(amt, 2), "AMT02")

    def on_other_insurance(self, oi: Segment) -> None:
        self.others[-1].oi = oi

    def on_other_remarks(self, moa: Segment) -> None:
        self.others[-1].fields["remarks"] = tuple([code for code in moa[3:8] if code])

    def on_other_party(self, nm1: Segment) -> None:
        self.party = PartyBuilder(nm1)
        self.others[-1].parties.setdefault(at(nm1, 1), self.party)

    def on_other_day(self, dtp: Segment) -> None:
        if at(dtp, 1) == "573":
            self.others[-1].fields["paid_date"] = self.notes.period(dtp, "DTP").start

    def on_other_reference(self, ref: Segment) -> None:
        if self.party is None:
            self.on_unknown(ref)
            return
        name = _OTHER_NUMBERS.get(at(ref, 1)) if at(self.party.head, 1) == "PR" else None
        if name and name not in self.others[-1].fields:
            self.others[-1].fields[name] = at(ref, 2)
            return
        self.party.take(ref)

    # -- line --------------------------------------------------------------------------------------

    @property
    def line(self) -> _Line:
        return self.lines[-1]

    def on_line(self, lx: Segment) -> None:
        self.close_adjudication()
        self.party = None
        number = values.whole(at(lx, 1))
        self.lines.append(_Line({"number": number}, self.current.position))
        self.loop = _LINE

    def on_professional(self, sv1: Segment) -> None:
        pointers = at(sv1, 7).split(self.component)
        self.line.fields |= {
            "procedure": procedure(at(sv1, 1), self.component),
            "charge": self.notes.money(at(sv1, 2), "SV102"),
            "unit": at(sv1, 3),
            "units": self.notes.number(at(sv1, 4), "SV104") or ZERO,
            "pos": at(sv1, 5),
            "pointers": tuple([values.whole(part) for part in pointers if part]),
            "emergency": at(sv1, 9) == "Y",
        }

    def on_institutional(self, sv2: Segment) -> None:
        self.institutional = True
        code = at(sv2, 2)
        self.line.fields |= {
            "revenue_code": at(sv2, 1),
            "procedure": procedure(code, self.component) if code else Procedure(),
            "charge": self.notes.money(at(sv2, 3), "SV203"),
            "unit": at(sv2, 4),
            "units": self.notes.number(at(sv2, 5), "SV205") or ZERO,
            "rate": self.notes.optional_money(at(sv2, 6), "SV206"),
            "non_covered": self.notes.optional_money(at(sv2, 7), "SV207"),
        }

    def on_dental(self, sv3: Segment) -> None:
        self.line.fields |= {
            "procedure": procedure(at(sv3, 1), self.component),
            "charge": self.notes.money(at(sv3, 2), "SV302"),
            "pos": at(sv3, 3),
            "units": self.notes.number(at(sv3, 6), "SV306") or ONE,
            "pointers": (),
        }

    def on_adjudication(self, svd: Segment) -> None:
        self.close_adjudication()
        self.party = None
        self.adjudication = _Adjudication(svd)

    def on_line_adjustments(self, segment: Segment) -> None:
        if self.adjudication is not None:
            cas(self.notes, segment, self.adjudication.adjustments)

    def on_line_day(self, dtp: Segment) -> None:
        item = self.notes.period(dtp, "DTP")
        if item.qualifier == "573" and self.adjudication is not None:
            self.adjudication.paid_date = item.start
        elif item.qualifier == "472":
            end = item.end if item.end != item.start else None
            self.line.fields |= {"service_date": item.start, "service_end": end}
        else:
            self.line.dates.append(item)

    def on_line_amount(self, amt: Segment) -> None:
        if at(amt, 1) == "EAF" and self.adjudication is not None:
            self.adjudication.remaining = self.notes.money(at(amt, 2), "AMT02")

    def on_line_party(self, nm1: Segment) -> None:
        self.party = PartyBuilder(nm1)
        self.line.parties.append(self.party)

    def on_drug(self, lin: Segment) -> None:
        self.line.fields["ndc"] = at(lin, 3)

    def on_drug_quantity(self, ctp: Segment) -> None:
        self.line.fields["ctp"] = ctp

    def on_line_reference(self, ref: Segment) -> None:
        fields = self.line.fields
        if self.party is not None:
            self.party.take(ref)
        elif at(ref, 1) in ("XZ", "VY") and "ndc" in fields:
            fields["prescription"] = at(ref, 2)
        else:
            _reference_into(fields, _LINE_NUMBERS, ref, self.line.refs)

    def on_line_note(self, nte: Segment) -> None:
        self.line.notes.append(Note(at(nte, 2), at(nte, 1)))

    def on_line_fixed(self, k3: Segment) -> None:
        self.line.k3.append(at(k3, 1))

    def on_line_attachment(self, pwk: Segment) -> None:
        self.line.attachments.append(attachment(pwk))

    def on_purchased(self, ps1: Segment) -> None:
        amount = self.notes.money(at(ps1, 2), "PS102")
        self.line.fields["purchased"] = PurchasedService(at(ps1, 1), amount)

    def close_adjudication(self) -> None:
        found, self.adjudication = self.adjudication, None
        if found is None:
            return
        svd = found.svd
        self.line.adjudications.append(
            LineAdjudication(
                payer_id=at(svd, 1),
                paid=self.notes.money(at(svd, 2), "SVD02"),
                procedure=procedure(at(svd, 3), self.component),
                revenue_code=at(svd, 4),
                units=self.notes.number(at(svd, 5), "SVD05") or ONE,
                bundled_line=at(svd, 6),
                adjustments=tuple(found.adjustments),
                paid_date=found.paid_date,
                remaining=found.remaining,
            )
        )

    # -- building ----------------------------------------------------------------------------------

    def finish(self) -> Claim | None:
        if self.clm is None:
            return None
        self.close_adjudication()
        clm = self.clm
        place = (*at(clm, 5).split(self.component), "", "")
        causes = (*at(clm, 11).split(self.component), "", "", "", "")
        lines = tuple([self.build_line(line) for line in self.lines])
        charge = self.notes.money(at(clm, 2), "CLM02")
        self.say_what_is_wrong(charge, lines)
        patient = self.named_once("QC")
        claim = Claim(
            claim_id=at(clm, 1),
            charge=charge,
            billing=self.named_once("85") or Party("85"),
            subscriber=self.named_once("IL") or Party("IL"),
            payer=self.named_once("PR") or Party("PR"),
            lines=lines,
            diagnoses=tuple(self.diagnoses),
            pos=place[0],
            facility_qualifier=place[1],
            frequency=place[2],
            pay_to=self.named_once("87"),
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
            accident_state=causes[3],
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
            submitter=self.named_once("41"),
            receiver=self.named_once("40"),
            position=self.clm_position,
            findings=self.notes.take(),
            **self.fields,
            **named(self.parties, _CLAIM_PARTIES),
        )
        self.clear_claim()
        self.party = None
        return claim

    def say_what_is_wrong(self, charge: Decimal, lines: tuple[ServiceLine, ...]) -> None:
        line_total = sum((line.charge for line in lines), ZERO)
        if lines and line_total != charge:
            self.notes.add(
                "claim-total",
                "warning",
                self.where,
                f"The claim charge {charge:.2f} is not the sum {line_total:.2f} of its lines.",
            )
        for role, what in _NEEDED_PARTIES.items():
            if role not in self.roles:
                self.notes.add("missing-party", "warning", self.where, f"The claim has no {what}.")

    def named_once(self, role: str) -> Party | None:
        """The party of this role above the claim; built once and shared by all claims under it."""
        builder = self.roles.get(role)
        return builder.build_once() if builder is not None else None

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

    def build_other(self, found: _Other) -> OtherPayer:
        sbr, oi, parties = found.sbr, found.oi, found.parties
        return OtherPayer(
            sequence=at(sbr, 1),
            payer=parties["PR"].build() if "PR" in parties else Party("PR"),
            subscriber=parties["IL"].build() if "IL" in parties else Party("IL"),
            relationship=at(sbr, 2),
            group_number=at(sbr, 3),
            group_name=at(sbr, 4),
            insurance_type=at(sbr, 5),
            filing_code=at(sbr, 9),
            adjustments=tuple(found.adjustments),
            benefits_assigned=at(oi, 3),
            patient_signature=at(oi, 4),
            release=at(oi, 6),
            **found.fields,
        )


_ABOVE: Loop = {
    "CLM": _Reader.on_claim,
    "HL": _Reader.on_level,
    "NM1": _Reader.on_name_above,
    "BHT": _Reader.on_beginning,
    "SBR": _Reader.on_subscriber,
    "PAT": _Reader.on_patient,
    "PRV": _Reader.on_taxonomy,
    **dict.fromkeys(("N3", "N4", "REF", "PER", "DMG", "CUR"), _Reader.on_detail_above),
    **dict.fromkeys(_UNUSED, _Reader.on_quiet),
}
_DETAILS: Loop = {
    "CLM": _Reader.on_claim,
    "HL": _Reader.on_level,
    "LX": _Reader.on_line,
    **dict.fromkeys(("N3", "N4", "REF", "PER", "DMG", "PRV"), _Reader.on_party_detail),
    **dict.fromkeys(_UNUSED, _Reader.on_quiet),
}
_CLAIM: Loop = _DETAILS | {
    "SBR": _Reader.on_other,
    "DTP": _Reader.on_claim_day,
    "NM1": _Reader.on_claim_party,
    "REF": _Reader.on_claim_reference,
    "HI": _Reader.on_health_codes,
    "PWK": _Reader.on_claim_attachment,
    "AMT": _Reader.on_claim_amount,
    "NTE": _Reader.on_claim_note,
    "K3": _Reader.on_claim_fixed,
    "CL1": _Reader.on_admission,
}
_OTHER: Loop = _DETAILS | {
    "SBR": _Reader.on_other,
    "CAS": _Reader.on_other_adjustments,
    "AMT": _Reader.on_other_amount,
    "OI": _Reader.on_other_insurance,
    "MOA": _Reader.on_other_remarks,
    "NM1": _Reader.on_other_party,
    "DTP": _Reader.on_other_day,
    "REF": _Reader.on_other_reference,
    "DMG": _Reader.on_detail_above,
}
_LINE: Loop = _DETAILS | {
    "SV1": _Reader.on_professional,
    "SV2": _Reader.on_institutional,
    "SV3": _Reader.on_dental,
    "SVD": _Reader.on_adjudication,
    "CAS": _Reader.on_line_adjustments,
    "DTP": _Reader.on_line_day,
    "AMT": _Reader.on_line_amount,
    "NM1": _Reader.on_line_party,
    "LIN": _Reader.on_drug,
    "CTP": _Reader.on_drug_quantity,
    "REF": _Reader.on_line_reference,
    "NTE": _Reader.on_line_note,
    "K3": _Reader.on_line_fixed,
    "PWK": _Reader.on_line_attachment,
    "PS1": _Reader.on_purchased,
}


def _reference_into(
    fields: dict[str, Any], names: dict[str, str], ref: Segment, others: list[Reference]
) -> None:
    """A number that has a field of its own fills it once; every other goes to the others."""
    name = names.get(at(ref, 1))
    if name and name not in fields:
        fields[name] = at(ref, 2)
        return
    others.append(reference(ref))


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
