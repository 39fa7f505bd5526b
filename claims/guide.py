"""Sheets as one 837 file, and the independent guide check of it: what fails is named
by claim, and never leaves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from claims import x12_837i, x12_837p
from claims.edits.registry import Finding, Owner, Severity
from claims.facts import Sheet
from rcm.exchange.models import Connection
from rcm.web.rulebook import authority
from rcm.x12 import Envelope, Written, write_837i, write_837p
from rcm.x12 import guide as x12_guide
from rcm.x12.guide import GuideFinding
from rcm.x12.model import Claim, Party

GUIDE = "GUIDE"
FIX = "Correct the record that the segment comes from, then scrub again."


def as_claim(sheet: Sheet) -> Claim:
    """The sheet in the words of the wire, by its form."""
    return x12_837i.claim_of(sheet) if sheet.claim.form == "837I" else x12_837p.claim_of(sheet)


def write(
    sheets: Sequence[Sheet],
    envelope: Envelope,
    *,
    connection: Connection | None,
    reference: str = "",
) -> Written:
    """One interchange of these sheets: one organization, one form, one transaction set."""
    organization = sheets[0].claim.organization
    sender = x12_837p.submitter(organization, envelope.sender)
    name = connection.name.upper()[:60] if connection else envelope.receiver
    receiver = Party("40", name, id_qualifier="46", id=envelope.receiver)
    make = write_837i if sheets[0].claim.form == "837I" else write_837p
    claims = [as_claim(sheet) for sheet in sheets]
    return make(
        envelope,
        claims,
        submitter=sender,
        receiver=receiver,
        reference=reference,
        claims_per_set=len(claims),
    )


def check(
    written: Written, sheets: Sequence[Sheet], envelope: Envelope, *, connection: Connection | None
) -> dict[int, list[Finding]]:
    """What the guide forbids, by claim id; empty when the file may leave.

    A fault above the claims (subscriber, provider) is found by checking each claim in a file of its
    own. What belongs to no claim stands under 0.
    """
    result = x12_guide.check(written.data)
    if result.valid:
        return {}
    by_number = {s.facts.claim_id: s for s in sheets}
    found: dict[int, list[Finding]] = defaultdict(list)
    loose: list[GuideFinding] = []
    for one in result.findings:
        sheet = by_number.get(one.claim_id)
        if sheet is None:
            loose.append(one)
        else:
            found[sheet.claim.pk].append(finding_of(one))
    if not loose:
        return dict(found)
    if len(sheets) == 1:
        return {sheets[0].claim.pk: [finding_of(one) for one in result.findings]}
    for sheet in sheets:
        alone = x12_guide.check(write([sheet], envelope, connection=connection).data)
        if not alone.valid:
            found[sheet.claim.pk] = [finding_of(one) for one in alone.findings]
    return dict(found) if found else {0: [finding_of(one) for one in loose]}


def findings_of(sheet: Sheet, envelope: Envelope) -> list[Finding]:
    """What the guide forbids in one claim."""
    return check(write([sheet], envelope, connection=None), [sheet], envelope, connection=None).get(
        sheet.claim.pk, []
    )


def finding_of(one: GuideFinding) -> Finding:
    """A fault of the guide as a finding. The value is left out: it may be a patient's."""
    place = f"{one.segment}{one.element:02d}" if one.segment and one.element else one.segment
    where = f"{place} in loop {one.loop}" if one.loop else place or "The file"
    return Finding(
        edit_id=GUIDE,
        severity=Severity.BLOCK,
        sentence=f"{where} breaks the X12 guide: {_without(one.message, one.value)}"[:300],
        field=place,
        fix=FIX,
        owner=Owner.BILLER,
        source=authority("guide-check"),
        rule="guide-check",
        family="guide",
    )


def _without(message: str, value: str) -> str:
    return message.replace(value, "the value") if value else message
