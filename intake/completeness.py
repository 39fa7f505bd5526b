"""What an order must say before an exam is done: signed, who, why, which side, which contrast
(FEATURES A10; DOMAIN B5, C1, C6).
"""

from __future__ import annotations

from dataclasses import dataclass

VAGUE = frozenset(
    {
        "pain",
        "eval",
        "evaluate",
        "evaluation",
        "r/o",
        "rule out",
        "follow up",
        "f/u",
        "screening exam",
        "na",
        "n/a",
        "none",
        "unknown",
        "see chart",
    }
)
"""Indications that say nothing (DOMAIN C6)."""

CONTRAST_MODALITIES = frozenset({"CT", "MR"})


@dataclass(frozen=True, slots=True)
class ExamFacts:
    """One ordered exam beside its reference row. `known` is false when the code has none."""

    code: str
    laterality: str = ""
    known: bool = True
    modality: str = ""
    needs_side: bool = False
    contrast: str = ""
    kind: str = "exam"


@dataclass(frozen=True, slots=True)
class OrderFacts:
    signed: bool
    indication: str
    diagnoses: tuple[str, ...]
    unknown_diagnoses: tuple[str, ...]
    ordering_npi: str
    npi_valid: bool
    exams: tuple[ExamFacts, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """One missing or doubtful thing: code, sentence, the field, what to ask for."""

    code: str
    sentence: str
    field: str
    fix: str


def order_gaps(facts: OrderFacts) -> list[Gap]:
    """Everything the ordering office must still say, most important first."""
    gaps: list[Gap] = []

    def add(code: str, sentence: str, field: str, fix: str) -> None:
        gaps.append(Gap(code, sentence, field, fix))

    if not facts.ordering_npi:
        add(
            "ORDER_NO_PROVIDER",
            "no ordering provider",
            "ordering",
            "ask who ordered the exam and for the NPI",
        )
    elif not facts.npi_valid:
        add(
            "ORDER_NPI_WRONG",
            f"NPI {facts.ordering_npi} has a wrong digit",
            "ordering",
            "ask for the right NPI",
        )
    if not facts.signed:
        add("ORDER_NOT_SIGNED", "the order is not signed", "signed", "ask for a signed order")
    if not facts.diagnoses:
        add("ORDER_NO_DIAGNOSIS", "no diagnosis code", "diagnoses", "ask for the ICD-10 code")
    for code in facts.unknown_diagnoses:
        add(
            "ORDER_DIAGNOSIS_UNKNOWN",
            f"{code} is no billable diagnosis",
            "diagnoses",
            f"ask for the full code instead of {code}",
        )
    words = facts.indication.strip().lower().rstrip(".")
    if not words:
        add(
            "ORDER_NO_INDICATION",
            "no indication",
            "indication",
            "ask for the reason in the physician's words",
        )
    elif words in VAGUE:
        add(
            "ORDER_VAGUE_INDICATION",
            f"the indication says only “{facts.indication.strip()}”",
            "indication",
            "ask for signs, symptoms or the question",
        )
    for exam in facts.exams:
        if not exam.known:
            add(
                "ORDER_CODE_UNKNOWN",
                f"{exam.code} is not a known procedure",
                "code",
                "ask which exam is meant",
            )
            continue
        if exam.needs_side and not exam.laterality:
            add(
                "ORDER_NO_SIDE",
                f"{exam.code} needs a side",
                "laterality",
                "ask for left, right or both",
            )
        if (
            exam.kind == "exam"
            and exam.modality in CONTRAST_MODALITIES
            and exam.contrast in ("", "any")
        ):
            add(
                "ORDER_NO_CONTRAST",
                f"{exam.code} does not say with or without contrast",
                "code",
                "ask whether contrast is wanted",
            )
    return gaps
