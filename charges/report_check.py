"""Reads a signed report and holds it against the charge (rule `report-complete`).

Works on sectioned text: indication, technique, comparison, findings, impression, signature, and
addendum where there is one. Every finding names the section and the characters to highlight.
Reading is by rules a coder can follow: what the text does not say is None, and None is asked for,
never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from rcm.pricing.forms import Severity

from .capture import Contrast, Side

SECTIONS = (
    "title",
    "indication",
    "technique",
    "comparison",
    "findings",
    "impression",
    "signature",
    "addendum",
)
_HEADINGS = {
    "exam": "title",
    "examination": "title",
    "procedure": "title",
    "study": "title",
    "title": "title",
    "indication": "indication",
    "clinical indication": "indication",
    "clinical history": "indication",
    "history": "indication",
    "reason for exam": "indication",
    "reason for examination": "indication",
    "technique": "technique",
    "protocol": "technique",
    "procedure details": "technique",
    "comparison": "comparison",
    "comparisons": "comparison",
    "prior studies": "comparison",
    "findings": "findings",
    "impression": "impression",
    "conclusion": "impression",
    "signature": "signature",
    "signed by": "signature",
    "electronically signed by": "signature",
    "addendum": "addendum",
    "correction": "addendum",
}
_HEADING = re.compile(
    r"^[ \t]*("
    + "|".join(sorted(map(re.escape, _HEADINGS), key=len, reverse=True))
    + r")[ \t]*:[ \t]*",
    re.I | re.M,
)


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` of one section."""

    section: str
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class ReportFinding:
    """What the report lacks or contradicts. `span` is what to highlight; None means the text is
    absent.
    """

    code: str
    severity: Severity
    sentence: str
    field: str
    fix: str
    span: Span | None = None
    suggested_code: str = ""


@dataclass(frozen=True, slots=True)
class ReportedExam:
    """The charge side of the comparison: what is about to be billed. None or blank is not known or
    does not apply.

    `contrast` is the level the code stands for; `views_min`/`views_max` its range; `lower_code`
    what to bill when a complete study is not documented; `doppler`, `angiographic`, `guidance` say
    what the code demands of the text. `signed` is a signature already known from the message
    header.
    """

    code: str
    modality: str
    contrast: str = ""
    contrast_ml: Decimal | None = None
    views_min: int | None = None
    views_max: int | None = None
    side: Side | None = None
    complete: str = ""
    lower_code: str = ""
    doppler: bool = False
    angiographic: bool = False
    guidance: bool = False
    screening_ct: bool = False
    signed: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class ReportReading:
    """What the text says, each with where it says it."""

    contrast: Contrast | None = None
    contrast_span: Span | None = None
    volume_ml: Decimal | None = None
    volume_span: Span | None = None
    views: int | None = None
    views_span: Span | None = None
    side: Side | None = None
    side_span: Span | None = None


def sections_of(text: str) -> dict[str, str]:
    """Split a plain report at its headings; text before the first heading is the title."""
    out: dict[str, str] = {}
    marks = list(_HEADING.finditer(text))
    head = text[: marks[0].start()] if marks else text
    if head.strip():
        out["title" if marks else "findings"] = head.strip()
    for mark, following in zip(marks, [*marks[1:], None], strict=False):
        body = text[mark.end() : following.start() if following else len(text)].strip()
        name = _HEADINGS[mark[1].lower()]
        if mark[1].lower().endswith("signed by"):
            body = f"{mark[0].strip()} {body}"
        out[name] = f"{out[name]}\n{body}" if name in out else body
    return out


# --- Reading --------------------------------------------------------------------------------------

_SENTENCE = re.compile(r"[^.!?;\n]+(?:[.](?=\d)[^.!?;\n]+)*[.!?;]?")
_AGENT = (
    r"gadobutrol|gadavist|gadoterate|dotarem|clariscan|gadopiclenol|elucirem|vueway|gadobenate|multihance|gadoteridol|"
    r"prohance|gadoxet\w+|eovist|gadolinium|iohexol|omnipaque|iopamidol|isovue|iodixanol|visipaque|ioversol|optiray|"
    r"iopromide|ultravist"
)
_ENTERAL = re.compile(
    r"\b(?:oral|rectal|enteric)(?:\s+(?:and|or)\s+(?:oral|rectal))?\s+contrast\b[^.,;]{0,200}", re.I
)
_BOTH = re.compile(
    r"\b(?:without and with|with and without|w/?o?\s*(?:and|&)\s*w/?o?|before and"
    r" (?:after|following)|prior to and (?:after|following)|"
    r"pre-? ?and post-? ?contrast|pre-? ?contrast and post-? ?contrast|pre/post-? ?contrast)\b",
    re.I,
)
_BESIDE_ENTERAL = re.compile(
    r"(?<=\s)(?:and|or)\s+(?:oral|rectal|enteric)(?=\s+contrast)|"
    r"\b(?:oral|rectal|enteric)\s+(?:and|or)(?=\s+(?:iv|intravenous)\b)",
    re.I,
)
"""The enteral half of "IV and oral contrast", which leaves the other half standing."""
_NONE_GIVEN = re.compile(
    r"\b(?:without|w/?o|no)\s+(?:the\s+)?(?:(?:use|administration|injection)\s+of\s+)?(?:any\s+)?"
    r"(?:iv|intravenous|i\.v\.|intravascular|gadolinium|iodinated)?(?:[ -]*based)?[ -]*"
    r"contrast\b|\bnon-?\s?contrast(?:ed)?\b|\bunenhanced\b|"
    r"\bcontrast\s+(?:material\s+|agent\s+|media\s+)?(?:was|is)\s+(?:not|never)\s+(?:given|administered|used|injected)\b|"
    r"\b(?:iv\s+|intravenous\s+)?contrast(?:\s+(?:agent|material))?\s*:\s*(?:none|no)\b|"
    r"\b(?:declined|refused)\s+(?:iv\s+|intravenous\s+)?contrast\b|\bpre-?\s?contrast\b",
    re.I,
)
_GIVEN = re.compile(
    r"\b(?:without|no)\s+(?:the\s+)?(?:(?:use|administration)\s+of\s+)?(?:any\s+)?"
    r"(?:iv|intravenous|i\.v\.|intravascular|gadolinium|iodinated)?[ -]*"
    r"contrast\b|\bnon-?\s?contrast(?:ed)?\b|\bunenhanced\b|"
    r"\bcontrast\s+(?:material\s+|agent\s+)?was\s+(?:not|never)\s+(?:given|administered|used|injected)\b|\bpre-?\s?contrast\b",
    re.I,
)
_GIVEN = re.compile(
    r"\b(?:with|w/?)\s+(?:the\s+)?(?:(?:use|administration)\s+of\s+)?"
    r"(?:iv|intravenous|i\.v\.|intra-?articular|intrathecal)?\s*contrast\b|\bpost-?\s?contrast\b|"
    r"\bcontrast-?\s?enhanced\b|\b(?:after|following)\s+(?:the\s+)?(?:uneventful\s+)?"
    r"(?:iv|intravenous|intra-?articular|intrathecal|administration|injection|\d)[^.;]{0,200}|"
    r"\b(?:iv|intravenous|intra-?articular|intrathecal)\s+contrast\b|"
    rf"\b\d+(?:\.\d+)?\s*(?:ml|cc)\b[^.;]{0, 200}\b(?:contrast|{_AGENT})|\b(?:{_AGENT})\b",
    re.I,
)
_NOT_GIVEN_AGENT = re.compile(rf"\b(?:no|without)\s+(?:{_AGENT})\b", re.I)
_VOLUME = re.compile(
    rf"\b(\d+(?:\.\d+)?)\s*(?:ml|cc)\b(?=[^.;]{{0,200}}\b(?:contrast|{_AGENT}))|(?:{_AGENT})[^.;\d]{{0,40}}(\d+(?:\.\d+)?)\s*(?:ml|cc)\b",
    re.I,
)
_NUMBERS = {
    "one": 1,
    "single": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
_VIEW_COUNT = re.compile(
    rf"\b(\d{{1,2}}|{'|'.join(_NUMBERS)})[ -]+(?:\w+[ -]+){{0,2}}?(?:views?|projections?)\b", re.I
)
_VIEW_NAMES: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(rf"\b(?:{pattern})\b", re.I), count)
    for pattern, count in (
        (r"ap|anteroposterior|frontal", 1),
        (r"pa|posteroanterior", 1),
        (r"(?<!cross-table )lateral", 1),
        (r"cross-table lateral", 1),
        (r"(?:both|bilateral) obliques?|obliques", 2),
        (r"(?<!both )(?<!bilateral )oblique", 1),
        (r"sunrise|merchant|skyline|patellar", 1),
        (r"axillary", 1),
        (r"scapular y|y[ -]view", 1),
        (r"odontoid|open[ -]mouth", 1),
        (r"swimmer'?s", 1),
        (r"flexion", 1),
        (r"extension", 1),
        (r"tunnel|notch", 1),
        (r"mortise", 1),
        (r"frog[ -]?leg", 1),
        (r"decubitus", 1),
        (r"lordotic", 1),
        (r"supine", 1),
        (r"upright", 1),
    )
)
_SIDE = re.compile(r"\b(right|left|bilateral|both)\b", re.I)


def sentences(text: str) -> Iterable[tuple[int, int, str]]:
    """Sentences with their character positions; a decimal point does not end one."""
    for match in _SENTENCE.finditer(text):
        body = match.group()
        lead = len(body) - len(body.lstrip())
        if body.strip():
            yield match.start() + lead, match.end() - (len(body) - len(body.rstrip())), body.strip()


def _span(sections: Mapping[str, str], section: str, start: int, end: int) -> Span:
    return Span(section, start, end, sections[section][start:end])


def _sentence_at(sections: Mapping[str, str], section: str, position: int) -> Span:
    text = sections[section]
    for start, end, _ in sentences(text):
        if start <= position < end:
            return _span(sections, section, start, end)
    return _span(sections, section, 0, len(text))


def _search(
    sections: Mapping[str, str], names: Iterable[str], pattern: re.Pattern[str]
) -> Span | None:
    for name in names:
        match = pattern.search(sections.get(name, ""))
        if match is not None:
            return _sentence_at(sections, name, match.start())
    return None


def read_report(sections: Mapping[str, str]) -> ReportReading:
    """What the report says about contrast, volume, views and side. An addendum outranks what it
    corrects.
    """
    contrast, contrast_span = _read_contrast(sections)
    volume, volume_span = _read_volume(sections)
    views, views_span = _read_views(sections)
    side, side_span = _read_side(sections, ("title", "technique", "findings", "impression"))
    return ReportReading(
        contrast, contrast_span, volume, volume_span, views, views_span, side, side_span
    )


def _read_contrast(sections: Mapping[str, str]) -> tuple[Contrast | None, Span | None]:
    for name in ("addendum", "technique", "title"):
        text = sections.get(name, "")
        # Contrast by mouth or rectum does not make a study "with" : blank it out, keep the
        # positions.
        for enteral in (_BESIDE_ENTERAL, _ENTERAL):
            text = enteral.sub(lambda m: " " * len(m.group()), text)
        both = _BOTH.search(text)
        if both is not None:
            return Contrast.BOTH, _sentence_at(sections, name, both.start())
        without = _NONE_GIVEN.search(text) or _NOT_GIVEN_AGENT.search(text)
        rest = _NOT_GIVEN_AGENT.sub(lambda m: " " * len(m.group()), text)
        rest = _NONE_GIVEN.sub(lambda m: " " * len(m.group()), rest)
        given = _GIVEN.search(rest)
        if without is not None and given is not None:
            return Contrast.BOTH, _sentence_at(sections, name, given.start())
        if without is not None:
            return Contrast.WITHOUT, _sentence_at(sections, name, without.start())
        if given is not None:
            return Contrast.WITH, _sentence_at(sections, name, given.start())
    original = sections.get("technique", "")
    alone = _ENTERAL.search(original)
    if alone is not None:
        return Contrast.WITHOUT, _sentence_at(sections, "technique", alone.start())
    return None, None


def _read_volume(sections: Mapping[str, str]) -> tuple[Decimal | None, Span | None]:
    for name in ("addendum", "technique"):
        match = _VOLUME.search(sections.get(name, ""))
        if match is not None:
            return Decimal(match[1] or match[2]), _sentence_at(sections, name, match.start())
    return None, None


def _read_views(sections: Mapping[str, str]) -> tuple[int | None, Span | None]:
    counted: tuple[int, Span] | None = None
    for name in ("addendum", "technique", "title", "findings"):
        match = _VIEW_COUNT.search(sections.get(name, ""))
        if match is not None:
            word = match[1].lower()
            counted = (
                _NUMBERS[word] if word in _NUMBERS else int(word),
                _sentence_at(sections, name, match.start()),
            )
            break
    if counted is not None:
        return counted
    named = _named_views(sections)
    return named if named is not None else (None, None)


def _named_views(sections: Mapping[str, str]) -> tuple[int, Span] | None:
    for name in ("addendum", "technique", "title"):
        for start, end, body in sentences(sections.get(name, "")):
            hits = [m.span() for pattern, _ in _VIEW_NAMES for m in pattern.finditer(body)]
            if hits:
                total = sum(count for pattern, count in _VIEW_NAMES if pattern.search(body))
                return total, _span(sections, name, start, end)
    return None


def _read_side(
    sections: Mapping[str, str], names: Iterable[str]
) -> tuple[Side | None, Span | None]:
    """The side of the exam: the first section that names one decides; both named there means
    both.
    """
    for name in names:
        text = sections.get(name, "")
        hits = list(_SIDE.finditer(text))
        if not hits:
            continue
        words = {hit[1].lower() for hit in hits}
        span = _sentence_at(sections, name, hits[0].start())
        if words & {"bilateral", "both"} or words >= {"right", "left"}:
            return Side.BOTH, span
        return (Side.RIGHT if "right" in words else Side.LEFT), span
    return None, None


# --- Completeness ---------------------------------------------------------------------------------

_REQUIRED = {
    "indication": ("the clinical indication", "Add why the exam was ordered."),
    "technique": ("the technique", "Add views, contrast or sequences."),
    "comparison": ("a comparison", 'Name the earlier study, or write "None".'),
    "findings": ("the findings", "Describe what was seen."),
    "impression": ("an impression", "Add the conclusion."),
}
_VAGUE = re.compile(
    r"^\W*(?:pain|eval(?:uate|uation)?|none|rule out|r/o|screening\?|n/?a|see order|follow[-"
    r" ]?up|\.)?\W*$",
    re.I,
)
_SIGNED = re.compile(r"\b(?:signed|authenticated|attested|verified|finali[sz]ed)\b", re.I)
_DATED = re.compile(r"\b\d{4}-\d{2}-\d{2}|\b\d{1,2}/\d{1,2}/\d{2,4}|\b\d{8}\b")
_PRELIMINARY = re.compile(r"\bpreliminary\b|\bnot for billing\b|\bwet read\b|\bunsigned\b", re.I)


def completeness(sections: Mapping[str, str], exam: ReportedExam) -> list[ReportFinding]:
    """What every billable report must contain and this one does not (rule `report-complete`)."""
    found = []
    for name, (words, fix) in _REQUIRED.items():
        if not sections.get(name, "").strip():
            found.append(
                ReportFinding(
                    f"MISSING_{name.upper()}",
                    Severity.HOLD,
                    f"The report lacks {words}.",
                    name,
                    fix,
                )
            )
    indication = sections.get("indication", "")
    if indication.strip() and _VAGUE.match(indication):
        found.append(
            ReportFinding(
                "INDICATION_VAGUE",
                Severity.WARN,
                "The indication does not say why the exam was needed.",
                "indication",
                "Ask the ordering practice for the sign or symptom.",
                _span(sections, "indication", 0, len(indication)),
            )
        )
    if not (sections.get("title") or exam.title).strip():
        found.append(
            ReportFinding(
                "MISSING_TITLE",
                Severity.WARN,
                "The report has no exam title.",
                "title",
                "Add exam, body part and side.",
            )
        )
    signature = sections.get("signature", "")
    if not exam.signed and not (_SIGNED.search(signature) and _DATED.search(signature)):
        found.append(
            ReportFinding(
                "MISSING_SIGNATURE",
                Severity.BLOCK,
                "The report has no dated signature of the interpreting physician.",
                "signature",
                "Have the reader sign.",
                _span(sections, "signature", 0, len(signature)) if signature else None,
            )
        )
    preliminary = _search(sections, SECTIONS, _PRELIMINARY)
    if preliminary is not None and not exam.signed:
        found.append(
            ReportFinding(
                "PRELIMINARY",
                Severity.BLOCK,
                "The text calls itself preliminary.",
                preliminary.section,
                "Wait for the final report.",
                preliminary,
            )
        )
    return found


# --- Report against charge ------------------------------------------------------------------------


def check_report(sections: Mapping[str, str], exam: ReportedExam) -> list[ReportFinding]:
    """All findings of one report against one charge, in reading order of severity."""
    reading = read_report(sections)
    found = completeness(sections, exam)
    found.extend(_contrast_findings(sections, exam, reading))
    found.extend(_view_findings(sections, exam, reading))
    found.extend(_side_findings(sections, exam))
    found.extend(_organ_findings(sections, exam))
    found.extend(_content_findings(sections, exam))
    order = {Severity.BLOCK: 0, Severity.HOLD: 1, Severity.WARN: 2, Severity.INFO: 3}
    return sorted(found, key=lambda f: order[f.severity])


_ENHANCES = re.compile(r"\b(?:non-?)?enhanc\w+", re.I)
_LEVEL_WORDS = {
    Contrast.WITHOUT: "without contrast",
    Contrast.WITH: "with contrast",
    Contrast.BOTH: "without and with contrast",
}


def _contrast_findings(
    sections: Mapping[str, str], exam: ReportedExam, reading: ReportReading
) -> Iterable[ReportFinding]:
    if not exam.contrast:
        return
    billed = Contrast(exam.contrast)
    if reading.contrast is None:
        technique = sections.get("technique", "")
        yield ReportFinding(
            "CONTRAST_NOT_STATED",
            Severity.HOLD,
            "The technique does not say whether contrast was given.",
            "technique",
            "Have the reader state contrast: none, or route, agent and volume.",
            _span(sections, "technique", 0, len(technique)) if technique else None,
        )
    elif billed is not Contrast.ANY and reading.contrast is not billed:
        yield ReportFinding(
            "CONTRAST_CONFLICT",
            Severity.HOLD,
            f"{exam.code} is {_LEVEL_WORDS[billed]}; the report says"
            f" {_LEVEL_WORDS[reading.contrast]}.",
            "contrast",
            "Bill what was performed and documented, or send it to the reader for an addendum.",
            reading.contrast_span,
        )
    elif billed is Contrast.WITHOUT:
        seen = _ENHANCES.search(sections.get("findings", ""))
        if seen is not None and not seen.group().lower().startswith("non"):
            yield ReportFinding(
                "ENHANCEMENT_WITHOUT_CONTRAST",
                Severity.WARN,
                "The findings speak of enhancement, but the exam was without contrast.",
                "findings",
                "Ask the reader.",
                _sentence_at(sections, "findings", seen.start()),
            )
    if reading.contrast in {Contrast.WITH, Contrast.BOTH} and exam.contrast_ml is not None:
        if reading.volume_ml is None:
            yield ReportFinding(
                "CONTRAST_VOLUME_NOT_STATED",
                Severity.WARN,
                "Contrast is billed, but the report gives no volume.",
                "technique",
                "Have the reader state the volume given.",
                reading.contrast_span,
            )
        elif reading.volume_ml != exam.contrast_ml:
            yield ReportFinding(
                "CONTRAST_VOLUME_CONFLICT",
                Severity.HOLD,
                f"{exam.contrast_ml} mL of contrast are billed; the report says"
                f" {reading.volume_ml} mL.",
                "contrast",
                "Compare with the technologist's record.",
                reading.volume_span,
            )


def _view_findings(
    sections: Mapping[str, str], exam: ReportedExam, reading: ReportReading
) -> Iterable[ReportFinding]:
    if exam.views_min is None:
        return
    wanted = (
        f"{exam.views_min}"
        if exam.views_max == exam.views_min
        else f"{exam.views_min} to {exam.views_max}"
    )
    if exam.views_max is None:
        wanted = f"at least {exam.views_min}"
    if reading.views is None:
        yield ReportFinding(
            "VIEWS_NOT_STATED",
            Severity.HOLD,
            f"{exam.code} means {wanted} views; the report gives no number.",
            "technique",
            "Have the reader name the views, or bill the code of the fewest views.",
            None,
            exam.lower_code,
        )
    elif reading.views < exam.views_min or (
        exam.views_max is not None and reading.views > exam.views_max
    ):
        yield ReportFinding(
            "VIEWS_CONFLICT",
            Severity.HOLD,
            f"{exam.code} means {wanted} views; the report says {reading.views}.",
            "views",
            "Bill the code of the documented views.",
            reading.views_span,
            exam.lower_code if reading.views < exam.views_min else "",
        )
    named = _named_views(sections)
    if (
        reading.views is not None
        and named is not None
        and reading.views_span is not None
        and named[0] > reading.views
    ):
        yield ReportFinding(
            "VIEWS_INCONSISTENT",
            Severity.WARN,
            f"The report counts {reading.views} views but names {named[0]}.",
            "views",
            "Ask the reader.",
            named[1],
        )


def _side_findings(sections: Mapping[str, str], exam: ReportedExam) -> Iterable[ReportFinding]:
    if exam.side is None:
        return
    names = {Side.RIGHT: "right", Side.LEFT: "left", Side.BOTH: "both sides"}
    stated: dict[str, tuple[Side, Span]] = {}
    for name in ("title", "technique", "findings", "impression"):
        side, span = _read_side(sections, (name,))
        if side is not None and span is not None:
            stated[name] = (side, span)
    if not stated:
        yield ReportFinding(
            "SIDE_NOT_STATED",
            Severity.HOLD,
            f"{names[exam.side].capitalize()} is billed; the report names no side.",
            "laterality",
            "Have the reader state the side.",
        )
        return
    for name, (side, span) in stated.items():
        exact = name in {"title", "technique"}
        wrong = side is not exam.side if exact else {side, exam.side} == {Side.RIGHT, Side.LEFT}
        if wrong:
            yield ReportFinding(
                "LATERALITY_CONFLICT",
                Severity.HOLD,
                f"{names[exam.side].capitalize()} is billed; the {name} says {names[side]}.",
                "laterality",
                "Send it to the reader for an addendum, or correct the side.",
                span,
            )


@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    pattern: re.Pattern[str]


def _elements(**patterns: str) -> tuple[_Element, ...]:
    return tuple(
        _Element(name.replace("_", " "), re.compile(rf"\b(?:{p})\b", re.I))
        for name, p in patterns.items()
    )


_KIDNEYS = r"kidneys|(?:right|left) kidney|renal"
COMPLETE_STUDIES: Mapping[str, tuple[tuple[_Element, ...], ...]] = {
    "abdomen": (
        _elements(
            liver=r"liver|hepatic parenchyma",
            gallbladder=r"gallbladder|cholecystectomy",
            common_bile_duct=r"common (?:bile |hepatic )?duct|cbd|biliary tree|extrahepatic duct",
            pancreas=r"pancreas|pancreatic",
            spleen=r"spleen|splenectomy",
            right_kidney=r"right kidney|kidneys|right renal",
            left_kidney=r"left kidney|kidneys|left renal",
            upper_aorta=r"aorta",
            inferior_vena_cava=r"ivc|inferior vena cava",
        ),
    ),
    "retroperitoneum": (
        _elements(
            kidneys=_KIDNEYS,
            aorta=r"aorta",
            common_iliac_origins=r"(?:common )?iliac",
            inferior_vena_cava=r"ivc|inferior vena cava",
        ),
        _elements(kidneys=_KIDNEYS, bladder=r"bladder"),
    ),
    "pelvis": (
        _elements(
            uterus=r"uterus|hysterectomy|uterine",
            adnexa=r"adnexa|adnexal|ovary|ovaries|oophorectomy",
            endometrium=r"endometri\w+|hysterectomy",
            bladder=r"bladder",
        ),
        _elements(
            bladder=r"bladder",
            prostate=r"prostate|prostatectomy",
            seminal_vesicles=r"seminal vesicles?",
        ),
    ),
    "breast": (
        _elements(
            all_four_quadrants=r"(?:all )?four quadrants|4 quadrants|all quadrants",
            retroareolar_region=r"retro-?areolar|subareolar",
        ),
    ),
}
"""Elements of complete ultrasound studies; alternatives where a study may be complete in two ways
(rule `report-complete`).
"""

_NOT_SEEN = re.compile(
    r"\bnot (?:well"
    r" )?(?:seen|visuali[sz]ed|evaluated|identified|imaged)\b|\bnon-?visuali[sz]ed\b|\bobscured\b",
    re.I,
)
_WHY = re.compile(
    r"\b(?:due to|because|secondary to|obscured by|by (?:overlying )?bowel gas|surgically|status"
    r" post|removed|absent|habitus|prior)\b",
    re.I,
)


def _organ_findings(sections: Mapping[str, str], exam: ReportedExam) -> Iterable[ReportFinding]:
    ways = COMPLETE_STUDIES.get(exam.complete)
    if ways is None:
        return
    text = sections.get("findings", "")
    best = min(([e for e in way if not e.pattern.search(text)] for way in ways), key=len)
    if best:
        names = ", ".join(element.name for element in best)
        lower = f" or bill {exam.lower_code}" if exam.lower_code else ""
        yield ReportFinding(
            "COMPLETE_NOT_DOCUMENTED",
            Severity.HOLD,
            f"{exam.code} is a complete study; the report does not describe: {names}.",
            "findings",
            f"Have the reader describe them or say why not seen{lower}.",
            _span(sections, "findings", 0, len(text)) if text else None,
            exam.lower_code,
        )
        return
    way = next(w for w in ways if all(e.pattern.search(text) for e in w))
    for element in way:
        told = [s for s in sentences(text) if element.pattern.search(s[2])]
        if told and all(_NOT_SEEN.search(s[2]) and not _WHY.search(s[2]) for s in told):
            yield ReportFinding(
                "NOT_SEEN_WITHOUT_REASON",
                Severity.HOLD,
                f"{element.name.capitalize()} was not seen, and the report does not say why.",
                "findings",
                "Have the reader add why it was not seen.",
                _span(sections, "findings", told[0][0], told[0][1]),
                exam.lower_code,
            )


_SPECTRAL = re.compile(
    r"\bspectral|\bwaveforms?\b|\bvelocit(?:y|ies)\b|\bpulsed[ -]wave\b|\bresistive ind", re.I
)
_COLOR = re.compile(r"\bcolou?r\b|\bcolou?r[ -]flow\b|\bduplex\b", re.I)
_POST_PROCESSING = re.compile(
    r"\b3-?d\b|\bthree[ -]dimensional\b|\bmips?\b|\bmaximum[ -]intensity\b|\bvolume["
    r" -]render\w*|\bshaded surface\b",
    re.I,
)
_RECORDED = re.compile(
    r"\b(?:images?|documentation)\b[^.;]{0,200}\b(?:recorded|stored|saved|archived|retained|documented|obtained"
    r" for the record)\b|"
    r"\b(?:recorded|stored|saved|archived)\b[^.;]{0,200}\bimages?\b",
    re.I,
)
_GUIDED = re.compile(
    r"\b(?:ultrasound|sonographic|ct|mr|mri|fluoroscop\w+)["
    r" -]*(?:guidance|guided)\b|\bunder\b[^.;]{0,200}\bguidance\b",
    re.I,
)
_BIRADS = re.compile(r"\bbi-?rads\b[^.;\n]{0,30}?\b[0-6][abc]?\b", re.I)
_T_SCORE = re.compile(r"\bt[ -]?scores?\b", re.I)
_DXA_SITE = re.compile(r"\b(?:lumbar|spine|l1|hip|femoral neck|femur|forearm|radius)\b", re.I)
_LDCT: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("pack-years", re.compile(r"\b\d+(?:\.\d+)?[ -]*pack[ -]?years?\b", re.I)),
    ("absence of symptoms", re.compile(r"\basymptomatic\b|\bno (?:signs or )?symptoms\b", re.I)),
    ("smoking status", re.compile(r"\b(?:current|former|ex-?|active) ?smok\w+|\bquit\b", re.I)),
    ("shared decision-making", re.compile(r"\bshared[ -]decision", re.I)),
)
_ALL = ("title", "indication", "technique", "findings", "impression", "addendum")


def _content_findings(sections: Mapping[str, str], exam: ReportedExam) -> Iterable[ReportFinding]:
    """What particular codes demand of the text (rule `report-code-demands`)."""

    def lacks(pattern: re.Pattern[str], names: Iterable[str] = _ALL) -> bool:
        return _search(sections, names, pattern) is None

    def ask(
        code: str,
        sentence: str,
        fix: str,
        severity: Severity = Severity.HOLD,
        field: str = "findings",
    ) -> ReportFinding:
        return ReportFinding(code, severity, sentence, field, fix, None, exam.lower_code)

    if exam.doppler:
        missing = [
            w for w, p in (("spectral waveforms", _SPECTRAL), ("colour flow", _COLOR)) if lacks(p)
        ]
        if missing:
            words = (
                f"{exam.code} needs Doppler: the report does not mention {' or '.join(missing)}."
            )
            yield ask(
                "DOPPLER_NOT_DOCUMENTED",
                words,
                "Have the reader document them, or bill the study without Doppler.",
            )
    if exam.angiographic and lacks(_POST_PROCESSING):
        words = (
            f"{exam.code} is angiography: the report mentions no 3D or maximum-intensity"
            " post-processing."
        )
        yield ask(
            "POST_PROCESSING_NOT_STATED",
            words,
            "Have the reader state it, or bill the plain study.",
            field="technique",
        )
    if exam.guidance:
        if lacks(_GUIDED):
            yield ask(
                "GUIDANCE_NOT_REPORTED",
                f"{exam.code}: the report does not describe imaging guidance.",
                "Have it described.",
            )
        if lacks(_RECORDED):
            yield ask(
                "GUIDANCE_IMAGE_NOT_KEPT",
                f"{exam.code}: no permanent image is mentioned.",
                "Have the kept image stated.",
            )
    elif exam.modality == "US" and lacks(_RECORDED):
        yield ask(
            "IMAGES_NOT_STATED",
            "The report does not say that images were stored.",
            "Add the statement.",
            Severity.INFO,
            "technique",
        )
    if exam.screening_ct:
        missing = [words for words, pattern in _LDCT if lacks(pattern)]
        if missing:
            words = f"Lung screening needs: {', '.join(missing)}."
            yield ask(
                "LUNG_SCREENING_INCOMPLETE",
                words,
                "Complete it from the order.",
                field="indication",
            )
    if exam.modality == "MG" and lacks(_BIRADS):
        yield ask(
            "BIRADS_MISSING",
            "The mammogram has no BI-RADS category.",
            "Add the category.",
            field="impression",
        )
    if exam.modality == "BMD":
        missing = [
            w for w, p in (("T-scores", _T_SCORE), ("the sites measured", _DXA_SITE)) if lacks(p)
        ]
        if missing:
            yield ask(
                "DXA_INCOMPLETE",
                f"The bone density report lacks {' and '.join(missing)}.",
                "Add them.",
            )


def demands(code: str, modality: str, region: str, extent: str) -> dict[str, object]:
    """What a code demands of its report, as keywords for `ReportedExam` (rule
    `report-complete`).
    """
    found: dict[str, object] = {}
    if modality == "US" and extent == "complete" and region in COMPLETE_STUDIES:
        found["complete"] = region
    if (modality == "US" and region.endswith(("vessels", "arteries", "veins"))) or code in {
        "93306",
        "93978",
        "93979",
    }:
        found["doppler"] = True
    if modality in {"CTA", "MRA"}:
        found["angiographic"] = True
    if code in {"76942", "77002", "77003", "77012", "77021"}:
        found["guidance"] = True
    if code == "71271":
        found["screening_ct"] = True
    return found
