"""275 writer (005010X210): papers to a claim, sent because the payer asked for them or with it."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from rcm.x12.emit import Emitter, composite
from rcm.x12.model import Attached, Envelope, Written
from rcm.x12.values import day_text

GUIDE_275 = "005010X210"
ANSWER, UNASKED = "11", "02"
ASKED_BY_PAYER, OWN_NUMBER = "2", "1"


def write_275(envelope: Envelope, papers: Iterable[Attached]) -> Written:
    """One set for each paper. The bytes go in base 64, so that no delimiter of theirs counts."""
    out = Emitter(envelope, "PI", GUIDE_275)
    for paper in papers:
        _paper(out, envelope, paper)
    return out.written()


def _paper(out: Emitter, envelope: Envelope, paper: Attached) -> None:
    out.begin("275")
    out.context = f"paper {paper.control}"
    out.carries(paper.control)
    asked = bool(paper.asked_trace)
    out.put("BGN", ANSWER if asked else UNASKED, paper.control, day_text(envelope.date))
    out.nm1(paper.payer, "PR")
    out.nm1(paper.submitter, "41")
    out.nm1(paper.provider, "1P")
    out.nm1(paper.patient, "QC")
    out.ref("EJ", paper.claim_id)
    out.ref("1K", paper.payer_control)
    if paper.service_from is not None:
        last = paper.service_to or paper.service_from
        out.put("DTP", "472", "RD8", f"{day_text(paper.service_from)}-{day_text(last)}")
    out.put("LX", "1")
    if asked:
        out.put("TRN", ASKED_BY_PAYER, paper.asked_trace)
    else:
        out.put("TRN", OWN_NUMBER, paper.control)
    out.put("STC", composite("R4", paper.loinc, "", "LOI"))
    out.put("CAT", "AE", "TX")
    body = base64.b64encode(paper.content).decode("ascii")
    out.put("OOI", "1", "47", "ATTACHMENT")
    out.put("BDS", "B64", str(len(body)), body)
    out.end()
