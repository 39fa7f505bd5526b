"""277CA and 277 ↔ a claim's status: what the answer means for us, in plain words with the field to
fix (rule `acknowledgement-chain`).

No database. The words of the status codes are our own (claims/data/status_codes.csv).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from claims.sheets import sheet
from rcm.x12 import words
from rcm.x12.model import ClaimStatus, StatusCode

RECEIVED, ACCEPTED, REJECTED, PENDING, FINISHED, UNKNOWN = (
    "received",
    "accepted",
    "rejected",
    "pending",
    "finished",
    "unknown",
)
_ACCEPTING_STATUS = "20"
_LOOKS_ELSEWHERE = frozenset({"21", "122"})
"""Status codes that only say "see the other reasons"."""

ENTITY_FIELDS = {
    "85": "billing_npi",
    "82": "rendering_npi",
    "DN": "referring_npi",
    "DK": "referring_npi",
    "77": "facility_npi",
    "IL": "member_id",
    "QC": "patient",
    "PR": "payer",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim's answer: what it means for us, the sentence, and where to look."""

    meaning: str
    sentence: str
    field: str = ""
    fix: str = ""
    category: str = ""
    status_code: str = ""
    entity: str = ""


@cache
def _codes() -> dict[str, dict[str, str]]:
    return {row["code"]: row for row in sheet("status_codes")}


def verdict_of(status: ClaimStatus) -> Verdict:
    """What a 277CA or 277 says about one claim; of several codes the one that names a reason."""
    codes = [code for info in status.statuses for code in info.codes]
    if not codes:
        return Verdict(UNKNOWN, "The answer names no status.")
    first = codes[0]
    telling = next((c for c in codes if c.status and c.status not in _LOOKS_ELSEWHERE), first)
    lines = [code for line in status.lines for info in line.statuses for code in info.codes]
    if telling.status in _LOOKS_ELSEWHERE and lines:
        telling = lines[0]
    row = _codes().get(telling.status, {})
    field = row.get("field", "")
    if telling.entity and field in ("", "billing_npi"):
        field = ENTITY_FIELDS.get(telling.entity, field)
    message = next((info.message for info in status.statuses if info.message), "")
    return Verdict(
        meaning=meaning_of(first),
        sentence=_sentence(first, telling, message)[:300],
        field=field,
        fix=row.get("fix", ""),
        category=first.category,
        status_code=telling.status,
        entity=telling.entity,
    )


def meaning_of(code: StatusCode) -> str:
    """What a category means for the claim (rule `acknowledgement-chain`): a mere receipt is not yet
    acceptance.
    """
    category = code.category
    if category in ("A3", "A4", "A6", "A7", "A8"):
        return REJECTED
    if category in ("A2", "A5") or (category == "A1" and code.status == _ACCEPTING_STATUS):
        return ACCEPTED
    if category in ("A0", "A1"):
        return RECEIVED
    if category.startswith("F"):
        return FINISHED
    return PENDING if category[:1] in ("P", "R") else UNKNOWN


def asks_papers(status: ClaimStatus) -> bool:
    """Whether a 277 asks for papers: it waits for information asked for, category P3 or P4, or is a
    request of its own, a category of letter R.
    """
    return any(
        code.category in ("P3", "P4") or code.category[:1] == "R"
        for info in status.statuses
        for code in info.codes
    )


def _sentence(first: StatusCode, telling: StatusCode, message: str) -> str:
    head = words.words(words.STATUS_CATEGORY, first.category)
    row = _codes().get(telling.status)
    reason = row["words"] if row else f"status {telling.status}" if telling.status else ""
    who = words.words(words.ENTITY, telling.entity) if telling.entity else ""
    parts = [head[:1].upper() + head[1:]]
    if reason == head:
        parts = [f"{parts[0]} by the {who}" if who else parts[0]]
    elif reason:
        parts.append(f"{who}: {reason}" if who else reason)
    sentence = ": ".join(parts) + "."
    return f"{sentence} “{message}”" if message else sentence
