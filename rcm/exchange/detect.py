"""What received bytes are, by their content and never by their name: an X12 set, an HL7 v2 message,
a DICOM file.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

from rcm.exchange import batch, dicom, hl7
from rcm.exchange.problems import ParseProblem
from rcm.x12.document import Document
from rcm.x12.model import NotX12

UNKNOWN = "UNKNOWN"
# what a radiology system sends (rule `exam-match-order`)
HL7_KINDS = frozenset({"ADT", "ORM", "OMI", "SIU", "ORU", "DFT"})
X12_INBOUND = frozenset({"835", "999", "277CA", "TA1", "271", "277", "278"})
HEAD = 256 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """`kind` as processors register it, UNKNOWN when nothing fits; `sentence` says what is the
    matter then.
    """

    kind: str
    control_number: str = ""
    media_type: str = "application/octet-stream"
    ordering_key: str = ""
    sentence: str = ""


def detect(content: bytes) -> Found:
    """Name the kind of a file; never raises. Only HL7 is looked at beyond its beginning: it may
    hold more than one message.
    """
    head = content[:HEAD].lstrip(b"\xef\xbb\xbf\x0b \t\r\n")
    if batch.several(content):
        cut = batch.split(content)
        return Found(batch.BATCH, cut.control_id, "application/hl7-v2", sentence=cut.problem)
    if head.startswith(b"MSH"):
        try:
            message = hl7.header(content)
        except ParseProblem as problem:
            return Found(UNKNOWN, sentence=str(problem))
        return Found(
            message.kind, message.control_number, "application/hl7-v2", message.ordering_key
        )
    if content[128:132] == b"DICM":
        try:
            facts = dicom.read(content)
        except ParseProblem as problem:
            return Found(UNKNOWN, sentence=str(problem))
        return Found("MPPS", facts.sop_instance_uid, "application/dicom", facts.ordering_key)
    if head.startswith(b"{") and b'"resourceType"' in content:
        return _fhir(content)
    document = Document(io.BytesIO(content[:HEAD]))
    try:
        first = next(iter(document.sets()), None)
    except NotX12 as problem:
        return Found(UNKNOWN, sentence=str(problem))
    if first is not None and first.origin.st01:
        origin = first.origin
        return Found(
            origin.kind or origin.st01, origin.isa13, "application/edi-x12", sentence=origin.refusal
        )
    if document.ta1:
        return Found("TA1", _at(document.ta1[0][1], 1), "application/edi-x12")
    return Found(UNKNOWN, sentence="The file starts like X12 but holds no transaction set.")


ANSWERS = frozenset({"ClaimResponse", "OperationOutcome", "Parameters"})


def _fhir(content: bytes) -> Found:
    """An answer of a prior-authorization service, by the resource it carries."""
    try:
        body = json.loads(content)
        kinds = {body.get("resourceType")}
        kinds |= {e["resource"]["resourceType"] for e in body.get("entry", ())}
        name = str((body.get("identifier") or {}).get("value") or body.get("id") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return Found(UNKNOWN, sentence="The file starts like FHIR but cannot be read.")
    if kinds & ANSWERS:
        return Found("PAS", name[:80], "application/fhir+json")
    return Found(UNKNOWN, sentence="This FHIR resource is none that is read here.")


def _at(segment: list[str], index: int) -> str:
    return segment[index].strip() if len(segment) > index else ""
