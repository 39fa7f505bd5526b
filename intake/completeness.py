"""What an order must say before an exam is done: signed, who, why, which side, which contrast
with what latitude.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

VAGUE_WORDS = frozenset(
    [
        "pain",
        "pains",
        "ache",
        "eval",
        "evaluate",
        "evaluation",
        "assess",
        "assessment",
        "check",
        "test",
        "exam",
        "examination",
        "study",
        "scan",
        "imaging",
        "xray",
        "x",
        "ray",
        "mri",
        "ct",
        "us",
        "ultrasound",
        "radiology",
        "diagnostic",
        "diagnosis",
        "dx",
        "r",
        "o",
        "ro",
        "rule",
        "out",
        "follow",
        "up",
        "f",
        "u",
        "fu",
        "followup",
        "na",
        "n",
        "a",
        "none",
        "unknown",
        "unspecified",
        "nil",
        "tbd",
        "see",
        "chart",
        "note",
        "notes",
        "records",
        "attached",
        "above",
        "as",
        "ordered",
        "order",
        "per",
        "md",
        "dr",
        "doctor",
        "physician",
        "request",
        "requested",
        "routine",
        "annual",
        "screening",
        "symptoms",
        "symptom",
        "problem",
        "issue",
        "issues",
        "other",
        "general",
        "please",
        "for",
        "of",
        "the",
        "and",
        "with",
        "to",
        "left",
        "right",
        "bilateral",
        "both",
        "rt",
        "lt",
        "abnormal",
    ]
)
"""Words that give no sign, symptom or question by themselves. An indication made of nothing else
says nothing (Medicare Benefit Policy Manual, chapter 15, section 80.6.1).
"""

SCREENING_FAMILIES = frozenset({"MG_SCREEN", "MG_SCREEN_TOMO"})
"""Screening mammography, which Medicare pays without an order (42 CFR 410.34(d))."""


def says_nothing(indication: str) -> bool:
    """Whether an indication holds no word that a reviewer could judge."""
    words = re.findall(r"[a-z]+", indication.lower())
    return not [w for w in words if w not in VAGUE_WORDS and len(w) > 1]


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
    family: str = ""
    contrast_open: bool = False


@dataclass(frozen=True, slots=True)
class OrdererFacts:
    """Who ordered, beside the NPI; `own` says that the NPI is the center's."""

    name: str = ""
    taxonomy: str = ""
    credentials: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True)
class PayerRules:
    """What the payer asks of an order. `program` is the kind of the payer."""

    name: str = ""
    program: str = ""
    screening_needs_order: bool = False
    wants_detailed_indication: bool = True


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """An order as its rules see it. `ordering_npi` is the number as it was written, right or not."""

    signed: bool
    indication: str
    diagnoses: tuple[str, ...]
    unknown_diagnoses: tuple[str, ...]
    ordering_npi: str
    npi_valid: bool
    exams: tuple[ExamFacts, ...]
    orderer: OrdererFacts = field(default_factory=OrdererFacts)
    payer: PayerRules = field(default_factory=PayerRules)

    @property
    def needs_order(self) -> bool:
        """False for a screening mammogram alone, unless the payer wants an order all the same."""
        if not self.exams or self.payer.screening_needs_order:
            return True
        return not all(e.family in SCREENING_FAMILIES for e in self.exams)


@dataclass(frozen=True, slots=True)
class Gap:
    """One missing or doubtful thing: code, sentence, the field, what to ask for."""

    code: str
    sentence: str
    field: str
    fix: str


@dataclass(frozen=True, slots=True)
class _Profession:
    """A profession that may not order for a program: the start of its taxonomy codes, and the
    letters behind a name.
    """

    taxonomy: str
    words: str
    letters: frozenset[str] = frozenset()


_MAY_NOT_ORDER: dict[str, tuple[_Profession, ...]] = {
    # 42 CFR 410.32(a): the treating physician or a listed practitioner; a chiropractor is a
    # physician for manual manipulation only (Social Security Act 1861(r)(5))
    "medicare": (
        _Profession("111N", "a chiropractor", frozenset({"DC"})),
        _Profession("2251", "a physical therapist", frozenset({"PT", "DPT"})),
        _Profession("225X", "an occupational therapist", frozenset({"OT", "OTR"})),
        _Profession("175F", "a naturopath", frozenset({"ND", "NMD"})),
        _Profession("1711", "an acupuncturist", frozenset({"LAC"})),
        _Profession("133V", "a dietitian", frozenset({"RD", "RDN"})),
        _Profession("163W", "a registered nurse", frozenset({"RN"})),
        _Profession("2471", "a radiologic technologist", frozenset({"RT"})),
    ),
}
_ORGANIZATIONS = ("26", "27", "28", "29", "30", "31", "32", "33", "34")
"""Taxonomy codes of organizations: clinics, hospitals, laboratories, suppliers."""


def _profession(orderer: OrdererFacts, program: str) -> str:
    """What the orderer is, in words, when the program does not let that profession order."""
    letters = set(re.findall(r"[A-Z]+", orderer.credentials.upper().replace(".", "")))
    # a chiropractor who is a physician too orders as a physician
    physician = bool(letters & {"MD", "DO", "NP", "PA", "CNS", "CNM", "APRN", "FNP", "DPM"})
    for one in _MAY_NOT_ORDER.get(program, ()):
        by_code = bool(orderer.taxonomy) and orderer.taxonomy.startswith(one.taxonomy)
        if by_code or (not orderer.taxonomy and not physician and letters & one.letters):
            return one.words
    return ""


def _orderer_gaps(facts: OrderFacts) -> list[Gap]:
    orderer, npi = facts.orderer, facts.ordering_npi
    who = orderer.name or "the ordering physician"
    if not npi:
        sentence = f"no NPI of {orderer.name}" if orderer.name else "no ordering provider"
        ask = "ask who ordered the exam and for the NPI"
        return [Gap("ORDER_NO_PROVIDER", sentence, "ordering", ask)]
    if not facts.npi_valid:
        sentence = f"the NPI {npi} of {who} has a wrong digit"
        return [Gap("ORDER_NPI_WRONG", sentence, "ordering", "ask for the right NPI")]
    if orderer.own:
        sentence = f"the NPI {npi} is the center's own, which cannot order"
        ask = "ask which practitioner ordered the exam"
        return [Gap("ORDER_NPI_OWN", sentence, "ordering", ask)]
    if orderer.taxonomy.startswith(_ORGANIZATIONS):
        sentence = f"the NPI {npi} belongs to an organization, not to a practitioner"
        ask = "ask which practitioner ordered the exam"
        return [Gap("ORDER_NPI_ORGANIZATION", sentence, "ordering", ask)]
    words = _profession(orderer, facts.payer.program)
    if words:
        sentence = f"{who} is {words} and may not order for {facts.payer.name or 'this payer'}"
        ask = "ask for an order of the treating physician"
        return [Gap("ORDER_MAY_NOT_ORDER", sentence, "ordering", ask)]
    return []


def _indication_gaps(facts: OrderFacts) -> list[Gap]:
    said = facts.indication.strip()
    if not said:
        ask = "ask for the reason in the physician's words"
        return [Gap("ORDER_NO_INDICATION", "no indication", "indication", ask)]
    if facts.payer.wants_detailed_indication and says_nothing(said):
        sentence = f"the indication says only “{said[:60]}”"
        ask = "ask for signs, symptoms or the question"
        return [Gap("ORDER_VAGUE_INDICATION", sentence, "indication", ask)]
    return []


def _diagnosis_gaps(facts: OrderFacts) -> list[Gap]:
    found = []
    if not facts.diagnoses:
        ask = "ask for the ICD-10 code"
        found.append(Gap("ORDER_NO_DIAGNOSIS", "no diagnosis code", "diagnoses", ask))
    for code in facts.unknown_diagnoses:
        sentence = f"{code} is no billable diagnosis"
        ask = f"ask for the full code instead of {code}"
        found.append(Gap("ORDER_DIAGNOSIS_UNKNOWN", sentence, "diagnoses", ask))
    return found


def _exam_gaps(exam: ExamFacts) -> list[Gap]:
    if not exam.known:
        sentence = f"{exam.code} is not a known procedure"
        return [Gap("ORDER_CODE_UNKNOWN", sentence, "code", "ask which exam is meant")]
    found = []
    if exam.needs_side and not exam.laterality:
        ask = "ask for left, right or both"
        found.append(Gap("ORDER_NO_SIDE", f"{exam.code} needs a side", "laterality", ask))
    unclear = exam.modality in CONTRAST_MODALITIES and exam.contrast in ("", "any")
    if exam.kind == "exam" and unclear and not exam.contrast_open:
        sentence = f"{exam.code} does not say with or without contrast"
        ask = "ask whether contrast is wanted, or left to the radiologist"
        found.append(Gap("ORDER_NO_CONTRAST", sentence, "code", ask))
    return found


def order_gaps(facts: OrderFacts) -> list[Gap]:
    """Everything the ordering office must still say, most important first. A screening mammogram
    alone needs no orderer, signature or reason.
    """
    gaps: list[Gap] = []
    if facts.needs_order:
        gaps += _orderer_gaps(facts)
        if not facts.signed:
            ask = "ask for a signed order"
            gaps.append(Gap("ORDER_NOT_SIGNED", "the order is not signed", "signed", ask))
    elif facts.ordering_npi:
        gaps += _orderer_gaps(facts)
    gaps += _diagnosis_gaps(facts)
    if facts.needs_order:
        gaps += _indication_gaps(facts)
    for exam in facts.exams:
        gaps += _exam_gaps(exam)
    return gaps
