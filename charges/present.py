"""Facts of the mid-cycle as the components draw them: evidence grid, blockers, the report with its
sentences, the derivation of a payment.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.urls import NoReverseMatch, reverse

from charges.models import Charge, Exam, ExamStatus, Report, ReportStatus
from charges.performed import TECHNICAL_SOURCES, of_sources
from rcm.accounts.actor import Actor
from rcm.audit.models import Event
from rcm.web import format as fmt
from rcm.web import parts

TONES = {
    ExamStatus.IN_PROGRESS: "info",
    ExamStatus.PERFORMED: "warn",
    ExamStatus.PRELIMINARY: "warn",
    ExamStatus.FINAL: "info",
    ExamStatus.CODED: "info",
    ExamStatus.RELEASED: "good",
    ExamStatus.NO_BILL: "",
    ExamStatus.DISCONTINUED: "bad",
}
NOT_REQUIRED = "not required"
LABELS = {
    "order": "Ordered",
    "authorization": "Authorized",
    "performed": "Performed",
    "claim": "Billed",
}
FIELD_WORDS = {
    "code": "code",
    "units": "units",
    "laterality": "side",
    "body_part": "body part",
    "service_date": "date",
    "patient": "patient",
    "payer": "payer",
    "member": "member ID",
    "site": "site NPI",
    "ordering": "ordering NPI",
    "rendering": "reader NPI",
    "number": "number",
    "status": "status",
    "requested": "requested",
}
SECTION_ORDER = (
    "title",
    "indication",
    "technique",
    "comparison",
    "findings",
    "impression",
    "addendum",
    "signature",
)
SOURCES = {
    "mpps": "Modality",
    "oru": "Report message",
    "dft": "Charge message",
    "api": "Partner",
    "screen": "Corrected here",
}


def _rows(exam: Exam) -> dict[str, dict[str, Mapping[str, Any]]]:
    grid = exam.match.get("grid", {})
    return {row["row"]: {c["field"]: c for c in row["cells"]} for row in grid.get("rows", ())}


def evidence(exam: Exam) -> list[parts.Evidence]:
    """Ordered, authorized, performed, billed as four rows; the row that differs says in which
    field.
    """
    rows = _rows(exam)
    if not rows:
        ordered = exam.ordered_exam
        return [
            parts.Evidence(
                "Ordered",
                ordered.code if ordered else "",
                ordered.description if ordered else "no order",
                missing=ordered is None,
            ),
            parts.Evidence("Performed", exam.code, exam.modality, fmt.mdy(exam.service_date)),
        ]
    found = []
    for name, label in LABELS.items():
        cells = rows.get(name, {})
        given = {f: c["value"] for f, c in cells.items() if c["value"]}
        if not given:
            text = _absent(exam, name)
            # nothing is missing where nothing is asked for
            found.append(parts.Evidence(label, text=text, missing=text != NOT_REQUIRED))
            continue
        off = [FIELD_WORDS.get(f, f) for f, c in cells.items() if c["differs"]]
        text = _text(name, given)
        found.append(
            parts.Evidence(
                label,
                given.get("code", ""),
                text,
                f"differs in {', '.join(off)}" if off else "",
                differs=bool(off),
                url=_url(exam, name),
            )
        )
    return found


def _text(row: str, given: Mapping[str, str]) -> str:
    """What a reader needs of one row beside its code."""
    side = {"RT": "right", "LT": "left", "50": "both sides"}.get(given.get("laterality", ""), "")
    days = " to ".join(fmt.mdy(_day(d)) or d for d in given.get("service_date", "").split(" to "))
    if row == "authorization":
        words = [
            given.get("number", ""),
            given.get("status", "").replace("_", " "),
            days,
            given.get("units", ""),
            side,
        ]
    elif row == "claim":
        words = [
            {"26": "reading", "TC": "technical part"}.get(given.get("status", ""), "whole test"),
            days,
            side,
        ]
    else:
        words = [days, side]
    return ", ".join(w for w in words if w)


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None


def _absent(exam: Exam, row: str) -> str:
    if row == "authorization":
        verdict = exam.match.get("verdict")
        return NOT_REQUIRED if verdict == "not_required" else "none on file"
    return {"order": "no order", "performed": "not recorded", "claim": "nothing to bill yet"}[row]


def _url(exam: Exam, row: str) -> str:
    if row == "order" and exam.ordered_exam is not None:
        return _reverse("intake:order", exam.ordered_exam.order.public_id)
    if row == "authorization" and exam.authorization is not None:
        return _reverse("authorizations:detail", exam.authorization.public_id)
    return ""


def _reverse(name: str, public_id: Any) -> str:
    try:
        return reverse(name, args=[public_id])
    except NoReverseMatch:
        return ""


def full_grid(exam: Exam) -> dict[str, Any]:
    """All fields of the match side by side, those that nobody gave left out."""
    rows = _rows(exam)
    fields = [
        f
        for f in exam.match.get("grid", {}).get("fields", ())
        if any(rows[r][f]["value"] for r in rows)
    ]
    return {
        "fields": [FIELD_WORDS.get(f, f) for f in fields],
        "rows": [
            {"label": LABELS[r], "cells": [rows[r][f] for f in fields]} for r in LABELS if r in rows
        ],
    }


def panel_grid(exam: Exam) -> list[dict[str, Any]]:
    """The evidence as the worklist's panel takes it."""
    return [
        {
            "cell": e.label,
            "code": e.code,
            "text": e.text,
            "more": e.more,
            "differs": e.differs,
            "missing": e.missing,
            "url": e.url,
        }
        for e in evidence(exam)
    ]


def fix_url(exam: Exam, hold: Mapping[str, Any]) -> str:
    """Where a hold is cleared."""
    name = {
        "ORDER_CHANGE": "charges:order_change",
        "CODE_UNKNOWN": "charges:code",
        "CODE_AMBIGUOUS": "charges:code",
        "DISCONTINUED_REVIEW": "charges:code",
        "DIAGNOSIS_MISSING": "charges:diagnoses",
        "CONTRAST_UNKNOWN": "charges:correct",
        "CONTRAST_NOT_RECORDED": "charges:correct",
        "WASTE_UNKNOWN": "charges:correct",
        "SIDE_UNKNOWN": "charges:correct",
        "VIEWS_UNKNOWN": "charges:correct",
        "PET_STRATEGY_UNKNOWN": "charges:correct",
    }.get(hold["code"])
    if name:
        return _reverse(name, exam.public_id)
    if hold["code"] in (
        "ARRANGEMENT_UNKNOWN",
        "LOCALITY_UNKNOWN",
        "ANTI_MARKUP_UNKNOWN",
        "PURCHASE_PRICE_MISSING",
    ):
        return reverse("charges:rules", args=["arrangements"])
    if hold["code"] == "EQUIPMENT_UNKNOWN":
        return reverse("charges:rules", args=["scanners"])
    if hold["code"] == "CONTRAST_AGENT_UNKNOWN":
        return reverse("charges:rules", args=["stock"])
    if hold["code"] == "READER_NOT_CREDENTIALED":
        return reverse("charges:rules", args=["readers"])
    if hold["field"] == "coverage":
        return _reverse("intake:patient", exam.patient.public_id)
    if hold["field"] == "authorization" and exam.authorization is not None:
        return _reverse("authorizations:detail", exam.authorization.public_id)
    return ""


def blockers(exam: Exam) -> list[parts.Blocker]:
    """What stops release, each with where it is fixed and the rule it comes from."""
    return [
        parts.Blocker(
            h["sentence"],
            h["fix"],
            fix_url(exam, h),
            h["code"],
            h["rule"],
            tone="warn" if h["code"] == "NO_FINAL_REPORT" else "bad",
        )
        for h in exam.holds
    ]


# --- the report -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of report text; `findings` when it is highlighted."""

    text: str
    findings: tuple[str, ...] = ()
    tone: str = ""


@dataclass(slots=True)
class Part:
    """One section of a report."""

    name: str
    label: str
    pieces: list[Piece] = field(default_factory=list)


def report_parts(report: Report, findings: Sequence[Mapping[str, Any]]) -> list[Part]:
    """The signed text in reading order, the sentences that findings point at cut out for
    highlighting.
    """
    out = []
    names = [n for n in SECTION_ORDER if n in report.sections] + [
        n for n in report.sections if n not in SECTION_ORDER
    ]
    for name in names:
        text = report.sections[name]
        marks = sorted(
            (
                f["start"],
                f["end"],
                f["sentence"],
                "bad" if f["severity"] in ("block", "hold") else "warn",
            )
            for f in findings
            if f["section"] == name
            and f["start"] is not None
            and 0 <= f["start"] < f["end"] <= len(text)
        )
        part, at = Part(name, name.capitalize()), 0
        for start, end, sentence, tone in marks:
            if start < at:
                if part.pieces and end <= at:
                    last = part.pieces[-1]
                    part.pieces[-1] = Piece(
                        last.text,
                        (*last.findings, sentence),
                        "bad" if "bad" in (tone, last.tone) else tone,
                    )
                continue
            if start > at:
                part.pieces.append(Piece(text[at:start]))
            part.pieces.append(Piece(text[start:end], (sentence,), tone))
            at = end
        if at < len(text):
            part.pieces.append(Piece(text[at:]))
        out.append(part)
    return out


def report_status(report: Report) -> tuple[str, str]:
    """Words and tone of a version."""
    return (
        report.get_status_display(),
        {
            ReportStatus.PRELIMINARY: "warn",
            ReportStatus.FINAL: "good",
            ReportStatus.CORRECTED: "info",
            ReportStatus.CANCELLED: "bad",
        }[ReportStatus(report.status)],
    )


def accept_words(exam: Exam) -> str:
    """What accepting the suggestion would bill; blank when there is none."""
    if exam.suggestion.get("no_bill"):
        return "no bill"
    return " ".join(
        [exam.suggestion.get("code", ""), *exam.suggestion.get("modifiers", [])]
    ).strip()


# --- charges and what was performed ---------------------------------------------------------------


def totals(charges: Sequence[Charge]) -> dict[str, Decimal | None]:
    live = [c for c in charges if c.status != "void"]
    expected = [c.expected for c in live if c.expected is not None]
    return {
        "amount": sum((c.amount for c in live), Decimal("0.00")),
        "expected": sum(expected, Decimal("0.00")) if expected else None,
    }


def told(exam: Exam) -> list[dict[str, str]]:
    """What each source said was done, one line for each."""
    found = []
    for source in exam.performed.get("sources", ()):
        said = of_sources(exam.performed, (source,))
        words = [said.get("code", ""), said.get("laterality", "")]
        if said.get("views"):
            words.append(f"{said['views']} views")
        contrast = said.get("contrast", {})
        if contrast:
            amount = f"{contrast['given_ml']} mL" if contrast.get("given_ml") else ""
            words.append(
                " ".join(
                    p
                    for p in (
                        "contrast",
                        contrast.get("route", ""),
                        amount,
                        contrast.get("agent", ""),
                    )
                    if p
                )
            )
        words += _dose_words(said)
        words += [
            f"{line} × {item['units']}"
            for name in ("supplies", "addons")
            for line, item in said.get(name, {}).items()
        ]
        found.append(
            {
                "source": SOURCES.get(source, source),
                "words": ", ".join(w for w in words if w),
                "rank": "record" if source in TECHNICAL_SOURCES else "",
            }
        )
    return found


_DOSES = (
    ("ctdi_vol", "CTDIvol {} mGy"),
    ("dlp", "dose length product {} mGy·cm"),
    ("area", "area dose product {} dGy·cm²"),
)


def _dose_words(said: Mapping[str, Any]) -> list[str]:
    """Radiation dose as the modality gave it, and images of a step that tells them."""
    dose = said.get("dose", {})
    words = [text.format(dose[name]) for name, text in _DOSES if dose.get(name)]
    if said.get("images") is not None:
        words.append("no images" if said["images"] == 0 else f"images: {said['images']}")
    return words


# an item's coming and going only repeats the hold that caused it
_ITEM_STEPS = ("work.opened", "work.closed")


def timeline(exam: Exam, actor: Actor, *, limit: int = 80) -> list[parts.Event]:
    """Everything that happened to this exam, its order, coverage, authorization and claims, newest
    first. Two queries.
    """
    rows = Event.objects.filter(organization_id=exam.organization_id)
    claims = set(
        rows.filter(exam_id=exam.pk, claim_id__isnull=False).values_list("claim_id", flat=True)
    )
    wanted = Q(exam_id=exam.pk)
    if exam.ordered_exam is not None:
        wanted |= Q(ordered_exam_id=exam.ordered_exam_id)
        wanted |= Q(
            patient_id=exam.patient_id,
            verb__startswith="eligibility.",
            at__gte=exam.ordered_exam.order.ordered_at,
        )
    if exam.authorization_id:
        wanted |= Q(authorization_id=exam.authorization_id)
    if claims and actor.can("claim.view", exam):
        wanted |= Q(claim_id__in=claims)
    # one step that concerns several lines or exams is told once
    told = {
        (e.at, e.verb, e.sentence): e
        for e in rows.filter(wanted).exclude(verb__in=_ITEM_STEPS).order_by("-at", "-id")[:limit]
    }
    return [
        parts.Event(
            e.at,
            e.sentence,
            e.who,
            kind=e.verb.partition(".")[0],
            machine=e.by_machine,
            detail=e.reason,
            tone="bad" if e.verb in ("exam.held", "denial.opened") else "",
        )
        for e in told.values()
    ]
