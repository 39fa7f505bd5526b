"""837P and 837I writers: many claims in one interchange, grouped by billing provider, subscriber
and patient.

Segments go out in the order of the implementation guides 005010X222A1 and 005010X223A2. The guide's
syntax is checked by ``rcm.x12.guide``; what pays or does not pay is for the claim edits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from rcm.x12.emit import Emitter, composite, procedure_text
from rcm.x12.model import (
    Adjustment,
    Attachment,
    Claim,
    Diagnosis,
    Envelope,
    LineAdjudication,
    Note,
    OtherPayer,
    Party,
    Reference,
    ServiceLine,
    Written,
)
from rcm.x12.values import day_text, money_text

GUIDE_837P = "005010X222A1"
GUIDE_837I = "005010X223A2"
CLAIMS_PER_SET = 5000

# Order of the dates and references of a claim and of a line in the guides; others follow.
_CLAIM_DATES_P = (
    "431",
    "454",
    "304",
    "453",
    "439",
    "484",
    "455",
    "471",
    "314",
    "360",
    "361",
    "297",
    "296",
    "435",
    "096",
    "090",
    "091",
    "444",
    "050",
)
_CLAIM_DATES_I = ("096", "434", "435", "050")
_CLAIM_REFS_P = ("4N", "F5", "EW", "9F", "G1", "F8", "X4", "9A", "9C", "LX", "D9", "EA", "P4", "1J")
_CLAIM_REFS_I = ("4N", "9F", "G1", "F8", "9A", "9C", "LX", "D9", "LU", "EA", "P4", "G4")
_LINE_DATES = ("472", "471", "607", "463", "304", "738", "739", "119", "011", "455", "454")
_LINE_REFS = ("9B", "9D", "G1", "6R", "EW", "X4", "F4", "BT", "9F")


def write_837p(
    envelope: Envelope,
    claims: Iterable[Claim],
    *,
    submitter: Party,
    receiver: Party,
    reference: str = "",
    claims_per_set: int = CLAIMS_PER_SET,
) -> Written:
    """Professional claims as one interchange.

    ``submitter`` (with a contact) and ``receiver`` are the NM1*41 and NM1*40 parties, ``reference``
    is BHT03 (default: the interchange control number; a number is added per set). ``Written.sets``
    tells which CLM01 stands in which ST.
    """
    return _write(
        envelope, claims, submitter, receiver, reference, claims_per_set, institutional=False
    )


def write_837i(
    envelope: Envelope,
    claims: Iterable[Claim],
    *,
    submitter: Party,
    receiver: Party,
    reference: str = "",
    claims_per_set: int = CLAIMS_PER_SET,
) -> Written:
    """Institutional claims as one interchange; as ``write_837p``."""
    return _write(
        envelope, claims, submitter, receiver, reference, claims_per_set, institutional=True
    )


def _write(
    envelope: Envelope,
    claims: Iterable[Claim],
    submitter: Party,
    receiver: Party,
    reference: str,
    claims_per_set: int,
    *,
    institutional: bool,
) -> Written:
    out = Emitter(envelope, "HC", GUIDE_837I if institutional else GUIDE_837P)
    by_provider: dict[tuple[Party, Party | None], list[Claim]] = {}
    for claim in claims:
        by_provider.setdefault((claim.billing, claim.pay_to), []).append(claim)
    writer = _ClaimWriter(out, institutional)
    room = 0
    number_of_sets = 0
    for (billing, pay_to), group in by_provider.items():
        done = 0
        while done < len(group):
            if room <= 0:
                if number_of_sets:
                    out.end()
                number_of_sets += 1
                name = reference or str(envelope.control)
                out.begin("837")
                out.put(
                    "BHT",
                    "0019",
                    "00",
                    name if number_of_sets == 1 else f"{name}-{number_of_sets}",
                    day_text(envelope.date),
                    envelope.time,
                    "CH",
                )
                out.nm1(submitter, "41")
                for contact in submitter.contacts[:2]:
                    out.per(contact)
                out.nm1(receiver, "40")
                writer.hl = 0
                room = claims_per_set
            batch = group[done : done + room]
            writer.provider(billing, pay_to)
            writer.subscribers(batch)
            done += len(batch)
            room -= len(batch)
    if number_of_sets:
        out.end()
    return out.written()


class _ClaimWriter:
    __slots__ = ("hl", "institutional", "out", "provider_hl")

    def __init__(self, out: Emitter, institutional: bool) -> None:
        self.out = out
        self.institutional = institutional
        self.hl = 0
        self.provider_hl = 0

    def provider(self, billing: Party, pay_to: Party | None) -> None:
        out = self.out
        out.context = f"billing provider {billing.name}"
        self.hl += 1
        self.provider_hl = self.hl
        out.put("HL", str(self.hl), "", "20", "1")
        if billing.taxonomy:
            out.put("PRV", "BI", "PXC", billing.taxonomy)
        out.nm1(billing, "85")
        out.n3_n4(billing)
        out.refs(billing.refs)
        for contact in billing.contacts[:2]:
            out.per(contact)
        if pay_to is not None:
            # The pay-to loop carries an address only: who is paid is the billing provider.
            out.put("NM1", "87", "1" if pay_to.person or pay_to.first else "2")
            out.n3_n4(pay_to)

    def subscribers(self, claims: list[Claim]) -> None:
        """Claims of one subscriber and payer share their HL; so do claims of one dependent."""
        groups: dict[tuple[object, ...], list[Claim]] = {}
        for claim in claims:
            key = (
                claim.subscriber,
                claim.payer,
                claim.payer_sequence,
                claim.relationship,
                claim.group_number,
                claim.group_name,
                claim.insurance_type,
                claim.filing_code,
            )
            groups.setdefault(key, []).append(claim)
        for group in groups.values():
            first = group[0]
            own = [claim for claim in group if claim.patient is None]
            dependents: dict[tuple[object, ...], list[Claim]] = {}
            for claim in group:
                if claim.patient is not None:
                    dependents.setdefault((claim.patient, claim.patient_relationship), []).append(
                        claim
                    )
            if own:
                self.subscriber(first, has_dependents=bool(dependents), is_patient=True)
                for claim in own:
                    self.claim(claim)
            elif dependents:
                self.subscriber(first, has_dependents=True, is_patient=False)
            subscriber_hl = self.hl
            for members in dependents.values():
                self.dependent(members[0], subscriber_hl)
                for claim in members:
                    self.claim(claim)

    def subscriber(self, claim: Claim, *, has_dependents: bool, is_patient: bool) -> None:
        out = self.out
        out.context = f"claim {claim.claim_id}"
        self.hl += 1
        out.put("HL", str(self.hl), str(self.provider_hl), "22", "1" if has_dependents else "0")
        out.put(
            "SBR",
            claim.payer_sequence,
            (claim.relationship or "18") if is_patient else "",
            claim.group_number,
            claim.group_name if not claim.group_number else "",
            claim.insurance_type,
            "",
            "",
            "",
            claim.filing_code,
        )
        out.nm1(claim.subscriber, "IL")
        out.n3_n4(claim.subscriber)
        out.dmg(claim.subscriber)
        out.refs(claim.subscriber.refs)
        out.nm1(claim.payer, "PR")
        out.n3_n4(claim.payer)
        out.refs(claim.payer.refs)

    def dependent(self, claim: Claim, subscriber_hl: int) -> None:
        out = self.out
        patient = claim.patient
        assert patient is not None
        self.hl += 1
        out.put("HL", str(self.hl), str(subscriber_hl), "23", "0")
        out.put("PAT", claim.patient_relationship or "G8")
        out.nm1(replace(patient, id="", id_qualifier="") if patient.id else patient, "QC")
        out.n3_n4(patient)
        out.dmg(patient)
        out.refs(patient.refs)

    def claim(self, claim: Claim) -> None:
        out = self.out
        put = out.put
        institutional = self.institutional
        out.context = f"claim {claim.claim_id}"
        out.carries(claim.claim_id)
        causes = claim.related_causes
        put(
            "CLM",
            claim.claim_id,
            money_text(claim.charge),
            "",
            "",
            composite(claim.pos, claim.facility_qualifier, claim.frequency),
            "" if institutional else claim.provider_signature,
            claim.assignment,
            claim.benefits_assigned,
            claim.release,
            claim.patient_signature,
            composite(*(*causes, "", "", "")[:3], claim.accident_state) if causes else "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            claim.delay_reason,
        )
        order = _CLAIM_DATES_I if institutional else _CLAIM_DATES_P
        if claim.dates or claim.accident_date:
            dates = [(period.qualifier, period.start, period.end) for period in claim.dates]
            if claim.accident_date:
                dates.append(("439", claim.accident_date, claim.accident_date))
            for qualifier, start, end in sorted(dates, key=lambda item: _rank(order, item[0])):
                if institutional and qualifier == "434" and start is not None:
                    put("DTP", "434", "RD8", f"{day_text(start)}-{day_text(end or start)}")
                elif institutional and qualifier == "435" and start is not None:
                    put("DTP", "435", "DT", f"{day_text(start)}0000")
                else:
                    out.dtp(qualifier, start, end)
        if institutional and any(claim.admission):
            put("CL1", *claim.admission)
        self.attachments(claim.attachments)
        if claim.patient_paid is not None:
            put("AMT", "F3" if institutional else "F5", money_text(claim.patient_paid))
        refs = [
            *claim.refs,
            Reference("EW", claim.mammography_certification),
            Reference("9F", claim.referral),
            Reference("G1", claim.authorization),
            Reference("F8", claim.payer_control),
        ]
        ref_order = _CLAIM_REFS_I if institutional else _CLAIM_REFS_P
        refs.sort(key=lambda ref: _rank(ref_order, ref.qualifier))
        out.refs(refs)
        for text in claim.file_information[:10]:
            put("K3", text[:80])
        self.notes(claim.notes)
        self.diagnoses(claim)
        self.claim_parties(claim)
        for other in claim.other_payers:
            self.other_payer(other)
        for number, line in enumerate(claim.lines, 1):
            self.line(line, number)

    def diagnoses(self, claim: Claim) -> None:
        put = self.out.put
        diagnoses = claim.diagnoses
        if diagnoses and not any(item.qualifier in ("ABK", "BK") for item in diagnoses):
            first = diagnoses[0]
            diagnoses = (
                Diagnosis(first.code, "BK" if first.qualifier == "BF" else "ABK"),
                *diagnoses[1:],
            )
        if self.institutional:
            # Each kind of code has a segment of its own in 837I.
            groups: dict[str, list[str]] = {}
            for item in diagnoses:
                groups.setdefault(item.qualifier, []).append(composite(item.qualifier, item.code))
            for codes in claim.hi_codes:
                groups.setdefault(codes[0] if codes else "", []).append(composite(*codes))
            for items in groups.values():
                for i in range(0, len(items), 12):
                    put("HI", *items[i : i + 12])
            return
        if diagnoses:
            put("HI", *[composite(item.qualifier, item.code) for item in diagnoses[:12]])
        if claim.hi_codes:
            put("HI", *[composite(*codes) for codes in claim.hi_codes[:12]])

    def claim_parties(self, claim: Claim) -> None:
        if self.institutional:
            if claim.attending:
                self.provider_party(claim.attending, "71", "AT")
            if claim.operating:
                self.provider_party(claim.operating, "72", "")
            if claim.rendering:
                self.provider_party(claim.rendering, "82", "")
            if claim.facility:
                self.facility(claim.facility)
            if claim.referring:
                self.provider_party(claim.referring, "DN", "")
            return
        if claim.referring:
            self.provider_party(claim.referring, "DN", "")
        if claim.rendering:
            self.provider_party(claim.rendering, "82", "PE")
        if claim.facility:
            self.facility(claim.facility)
        if claim.supervising:
            self.provider_party(claim.supervising, "DQ", "")

    def provider_party(self, party: Party, entity: str, provider_role: str) -> None:
        out = self.out
        out.nm1(party, entity)
        if party.taxonomy and provider_role:
            out.put("PRV", provider_role, "PXC", party.taxonomy)
        out.refs(party.refs)

    def facility(self, party: Party) -> None:
        out = self.out
        out.nm1(party, "77")
        out.n3_n4(party)
        out.refs(party.refs)
        for contact in party.contacts[:1]:
            out.per(contact)

    def attachments(self, attachments: tuple[Attachment, ...]) -> None:
        for item in attachments[:10]:
            self.out.put(
                "PWK",
                item.report_type,
                item.transmission,
                "",
                "",
                "AC" if item.control else "",
                item.control,
            )

    def notes(self, notes: tuple[Note, ...]) -> None:
        for note in notes:
            self.out.put("NTE", note.code, note.text[:80])

    def adjustments(self, adjustments: tuple[Adjustment, ...]) -> None:
        """Up to six triplets of one group code in a CAS."""
        write_adjustments(self.out.put, adjustments)

    def other_payer(self, other: OtherPayer) -> None:
        out = self.out
        put = out.put
        put(
            "SBR",
            other.sequence,
            other.relationship,
            other.group_number,
            other.group_name if not other.group_number else "",
            other.insurance_type,
            "",
            "",
            "",
            other.filing_code,
        )
        self.adjustments(other.adjustments)
        for qualifier, value in (
            ("D", other.paid),
            ("A8", other.non_covered),
            ("EAF", other.remaining),
        ):
            if value is not None:
                put("AMT", qualifier, money_text(value))
        put("OI", "", "", other.benefits_assigned, other.patient_signature, "", other.release)
        if other.remarks:
            put("MOA", "", "", *other.remarks[:5])
        out.nm1(other.subscriber, "IL")
        out.n3_n4(other.subscriber)
        out.refs(other.subscriber.refs)
        out.nm1(other.payer, "PR")
        out.n3_n4(other.payer)
        out.dtp("573", other.paid_date)
        out.refs(other.payer.refs)
        out.ref("G1", other.authorization)
        out.ref("9F", other.referral)
        out.ref("F8", other.payer_control)

    def line(self, line: ServiceLine, number: int) -> None:
        out = self.out
        put = out.put
        put("LX", str(number))
        if self.institutional:
            put(
                "SV2",
                line.revenue_code,
                procedure_text(line.procedure) if line.procedure.code else "",
                money_text(line.charge),
                line.unit,
                money_text(line.units),
                money_text(line.rate),
                money_text(line.non_covered),
            )
        else:
            put(
                "SV1",
                procedure_text(line.procedure),
                money_text(line.charge),
                line.unit,
                money_text(line.units),
                line.pos,
                "",
                composite(*[str(pointer) for pointer in line.pointers[:4]]),
                "",
                "Y" if line.emergency else "",
            )
        if line.attachments:
            self.attachments(line.attachments)
        out.dtp("472", line.service_date, line.service_end)
        if line.dates:
            for period in sorted(line.dates, key=lambda item: _rank(_LINE_DATES, item.qualifier)):
                out.dtp(period.qualifier, period.start, period.end)
        if line.refs or line.authorization or line.mammography_certification or line.referral:
            refs = [
                *line.refs,
                Reference("G1", line.authorization),
                Reference("6R", line.line_control),
                Reference("EW", line.mammography_certification),
                Reference("9F", line.referral),
            ]
            refs.sort(key=lambda ref: _rank(_LINE_REFS, ref.qualifier))
            out.refs(refs)
        elif line.line_control:
            put("REF", "6R", line.line_control)
        for text in line.file_information[:10]:
            put("K3", text[:80])
        if line.notes:
            self.notes(line.notes)
        if line.purchased is not None:
            put("PS1", line.purchased.provider_id, money_text(line.purchased.amount))
        if line.drug is not None:
            put("LIN", "", "N4", line.drug.ndc)
            put("CTP", "", "", "", money_text(line.drug.quantity), line.drug.unit)
            out.ref("XZ", line.drug.prescription)
        self.line_parties(line)
        for adjudication in line.adjudications:
            self.adjudication(adjudication)

    def line_parties(self, line: ServiceLine) -> None:
        """2420A to 2420F."""
        rendering_role = "" if self.institutional else "PE"
        if line.rendering:
            self.provider_party(line.rendering, "82", rendering_role)
        if line.purchased_from:
            self.provider_party(line.purchased_from, "QB", "")
        if line.facility:
            self.facility(line.facility)
        if line.supervising:
            self.provider_party(line.supervising, "DQ", "")
        if line.ordering:
            out = self.out
            out.nm1(line.ordering, "DK")
            out.n3_n4(line.ordering)
            out.refs(line.ordering.refs)
            for contact in line.ordering.contacts[:1]:
                out.per(contact)
        if line.referring:
            self.provider_party(line.referring, "DN", "")

    def adjudication(self, item: LineAdjudication) -> None:
        out = self.out
        out.put(
            "SVD",
            item.payer_id,
            money_text(item.paid),
            procedure_text(item.procedure),
            item.revenue_code,
            money_text(item.units),
            item.bundled_line,
        )
        self.adjustments(item.adjustments)
        out.dtp("573", item.paid_date)
        if item.remaining is not None:
            out.put("AMT", "EAF", money_text(item.remaining))


def write_adjustments(put: Callable[..., None], adjustments: tuple[Adjustment, ...]) -> None:
    """CAS segments: one for each group code, in the order of first appearance, and another of the
    same group only where it has more than six reasons.
    """
    groups: dict[str, list[str]] = {}
    for item in adjustments:
        groups.setdefault(item.group, []).extend(
            (item.reason, money_text(item.amount), money_text(item.quantity))
        )
    for group, parts in groups.items():
        for first in range(0, len(parts), 18):
            put("CAS", group, *parts[first : first + 18])


def _rank(order: tuple[str, ...], qualifier: str) -> int:
    return order.index(qualifier) if qualifier in order else len(order)
