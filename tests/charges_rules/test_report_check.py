"""Reports read against charges (rule `report-complete`): what is missing, what contradicts, and
which words to highlight.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charges.capture import Contrast, Side
from charges.report_check import (
    SECTIONS,
    ReportedExam,
    ReportFinding,
    check_report,
    demands,
    read_report,
    sections_of,
    sentences,
)
from rcm.pricing.forms import Severity

BRAIN = {
    "title": "MRI brain without and with contrast, 2026-09-08",
    "indication": "Headache with new right arm weakness.",
    "technique": "Multiplanar sequences before and after 8 mL gadobutrol IV.",
    "comparison": "None.",
    "findings": "No acute infarct. No enhancing mass.",
    "impression": "No acute intracranial abnormality.",
    "signature": "Electronically signed by Ivan Reader MD 2026-09-08 14:29",
}
BRAIN_EXAM = ReportedExam("70553", "MR", contrast="without_and_with", contrast_ml=Decimal(8))


def report(**changes: str) -> dict[str, str]:
    return {**BRAIN, **changes}


def found(sections: dict[str, str], exam: ReportedExam) -> dict[str, ReportFinding]:
    return {f.code: f for f in check_report(sections, exam)}


def exam(code: str, modality: str, **facts: Any) -> ReportedExam:
    return ReportedExam(code, modality, **facts)


def test_a_complete_report_that_agrees_has_no_findings() -> None:
    assert check_report(BRAIN, BRAIN_EXAM) == []


@pytest.mark.parametrize(
    "section", ["indication", "technique", "comparison", "findings", "impression", "signature"]
)
def test_each_missing_section_is_named(section: str) -> None:
    codes = found(report(**{section: ""}), BRAIN_EXAM)
    assert f"MISSING_{section.upper()}" in codes


def test_an_undated_or_missing_signature_blocks_unless_the_header_signed() -> None:
    unsigned = report(signature="Ivan Reader MD")
    assert found(unsigned, BRAIN_EXAM)["MISSING_SIGNATURE"].severity is Severity.BLOCK
    signed = ReportedExam(
        "70553", "MR", contrast="without_and_with", contrast_ml=Decimal(8), signed=True
    )
    assert found(unsigned, signed) == {}


def test_preliminary_text_blocks() -> None:
    text = {"findings": "PRELIMINARY - not for billing"}
    finding = found(text, BRAIN_EXAM)["PRELIMINARY"]
    assert finding.span is not None
    assert finding.span.section == "findings"


@pytest.mark.parametrize("words", ["pain", "Eval.", "rule out", "N/A"])
def test_a_vague_indication_is_asked_back(words: str) -> None:
    assert "INDICATION_VAGUE" in found(report(indication=words), BRAIN_EXAM)
    assert "INDICATION_VAGUE" not in found(
        report(indication=f"{words} after fall, left wrist"), BRAIN_EXAM
    )


@pytest.mark.parametrize(
    ("technique", "level"),
    [
        ("Axial images without contrast.", Contrast.WITHOUT),
        ("Noncontrast CT of the head.", Contrast.WITHOUT),
        ("Non-contrast helical CT.", Contrast.WITHOUT),
        ("Unenhanced CT of the chest.", Contrast.WITHOUT),
        ("No intravenous contrast was administered.", Contrast.WITHOUT),
        ("Contrast was not given.", Contrast.WITHOUT),
        ("Oral contrast only.", Contrast.WITHOUT),
        ("Oral contrast was given. No IV contrast.", Contrast.WITHOUT),
        ("CT with IV contrast.", Contrast.WITH),
        ("Images after administration of 100 mL Omnipaque 350.", Contrast.WITH),
        ("Portal venous phase following 95 mL of iohexol. Oral contrast was given.", Contrast.WITH),
        ("Contrast-enhanced CT.", Contrast.WITH),
        ("MR arthrogram with intra-articular contrast.", Contrast.WITH),
        ("CT without and with contrast.", Contrast.BOTH),
        ("Pre- and post-contrast sequences.", Contrast.BOTH),
        ("Sequences before and after 8 mL gadobutrol.", Contrast.BOTH),
        ("Noncontrast images were followed by images after 80 mL of iopamidol.", Contrast.BOTH),
        ("CT without intravenous or oral contrast.", Contrast.WITHOUT),
        ("CT without oral or IV contrast.", Contrast.WITHOUT),
        ("MRI w/o contrast.", Contrast.WITHOUT),
        ("IV contrast: None.", Contrast.WITHOUT),
        ("The patient declined contrast.", Contrast.WITHOUT),
        ("Without the administration of intravenous contrast.", Contrast.WITHOUT),
        ("IV and oral contrast were administered.", Contrast.WITH),
        ("CT with oral and IV contrast.", Contrast.WITH),
        ("CT w/ contrast.", Contrast.WITH),
        ("Contrast: 100 mL Isovue 370.", Contrast.WITH),
        ("With the use of intravenous contrast.", Contrast.WITH),
        ("MRI w/o & w/ contrast.", Contrast.BOTH),
        ("MRI w and w/o contrast.", Contrast.BOTH),
        ("CT with and without IV contrast.", Contrast.BOTH),
        ("Multiplanar multisequence imaging.", None),
    ],
)
def test_contrast_as_radiologists_write_it(technique: str, level: Contrast | None) -> None:
    assert read_report({"technique": technique}).contrast is level


def test_contrast_of_a_comparison_study_is_not_ours() -> None:
    sections = {
        "technique": "CT without contrast.",
        "comparison": "CT with IV contrast 2025-01-04.",
    }
    assert read_report(sections).contrast is Contrast.WITHOUT


def test_contrast_conflict_highlights_the_sentence() -> None:
    sections = report(
        title="MRI brain", technique="Sagittal T1. Axial images without contrast. Diffusion."
    )
    finding = found(sections, BRAIN_EXAM)["CONTRAST_CONFLICT"]
    assert finding.span is not None
    assert finding.span.quote == "Axial images without contrast."
    assert sections["technique"][finding.span.start : finding.span.end] == finding.span.quote


def test_unstated_contrast_is_asked_for() -> None:
    assert "CONTRAST_NOT_STATED" in found(
        report(title="MRI brain", technique="Multiplanar imaging."), BRAIN_EXAM
    )


def test_j7_an_addendum_that_corrects_contrast_outranks_the_technique() -> None:
    corrected = report(
        addendum="CORRECTION: contrast was not given; examination was without contrast."
    )
    finding = found(corrected, BRAIN_EXAM)["CONTRAST_CONFLICT"]
    assert finding.span is not None
    assert finding.span.section == "addendum"
    plain = exam("70551", "MR", contrast="without")
    assert "CONTRAST_CONFLICT" not in found(corrected, plain)


def test_volume_must_agree_with_the_units_billed() -> None:
    assert read_report(BRAIN).volume_ml == Decimal(8)
    more = exam("70553", "MR", contrast="without_and_with", contrast_ml=Decimal("10"))
    assert "CONTRAST_VOLUME_CONFLICT" in found(BRAIN, more)
    silent = report(technique="Sequences before and after gadobutrol IV.")
    assert "CONTRAST_VOLUME_NOT_STATED" in found(silent, BRAIN_EXAM)


def test_enhancement_in_a_plain_exam_is_questioned() -> None:
    sections = report(
        technique="MRI without contrast.", findings="Enhancing mass in the left frontal lobe."
    )
    assert "ENHANCEMENT_WITHOUT_CONTRAST" in found(
        sections, exam("70551", "MR", contrast="without")
    )


@pytest.mark.parametrize(
    ("technique", "views"),
    [
        ("Three views of the right knee.", 3),
        ("3 views", 3),
        ("2-view chest", 2),
        ("Single frontal view of the chest.", 1),
        ("PA and lateral", 2),
        ("AP, lateral and both obliques", 4),
        ("AP, lateral, and sunrise", 3),
        ("Radiographs of the chest.", None),
    ],
)
def test_views_by_number_or_by_name(technique: str, views: int | None) -> None:
    assert read_report({"technique": technique}).views == views


KNEE = report(
    title="X-ray right knee",
    technique="Two views of the right knee: AP and lateral.",
    findings="No fracture of the right knee.",
    impression="Normal right knee.",
)
KNEE_EXAM = exam("73562", "XR", views_min=3, views_max=3, side=Side.RIGHT, lower_code="73560")


def test_fewer_views_than_billed_suggest_the_lower_code() -> None:
    finding = found(KNEE, KNEE_EXAM)["VIEWS_CONFLICT"]
    assert finding.suggested_code == "73560"
    assert finding.span is not None
    assert finding.span.quote.startswith("Two views")
    assert "VIEWS_NOT_STATED" in found(
        {**KNEE, "technique": "Radiographs of the right knee."}, KNEE_EXAM
    )


def test_more_named_views_than_counted_are_questioned() -> None:
    text = {**KNEE, "technique": "Two views of the right knee: AP, lateral and sunrise."}
    assert "VIEWS_INCONSISTENT" in found(text, KNEE_EXAM)


def test_the_wrong_side_is_a_conflict_wherever_it_stands() -> None:
    two_views = exam("73560", "XR", views_min=1, views_max=2, side=Side.RIGHT)
    assert found(KNEE, two_views) == {}
    left = exam("73560", "XR", views_min=1, views_max=2, side=Side.LEFT)
    assert found(KNEE, left)["LATERALITY_CONFLICT"].field == "laterality"
    slip = found({**KNEE, "impression": "Normal left knee."}, two_views)["LATERALITY_CONFLICT"]
    assert slip.span is not None
    assert slip.span.section == "impression"
    nowhere = {
        **KNEE,
        "title": "Knee",
        "technique": "Two views.",
        "findings": "Normal.",
        "impression": "Normal.",
    }
    assert "SIDE_NOT_STATED" in found(nowhere, two_views)


ABDOMEN = report(
    title="Ultrasound abdomen",
    technique="Grayscale ultrasound. Images were stored.",
    findings=(
        "Liver normal. Gallbladder surgically absent. Common bile duct 4 mm. Pancreas obscured by"
        " bowel gas. Spleen normal. Kidneys normal. Aorta normal in caliber. IVC patent."
    ),
)
ABDOMEN_EXAM = exam("76700", "US", complete="abdomen", lower_code="76705")


def test_complete_abdomen_needs_every_organ_or_why_not() -> None:
    assert found(ABDOMEN, ABDOMEN_EXAM) == {}
    short = {
        **ABDOMEN,
        "findings": ABDOMEN["findings"].replace("Spleen normal. ", "").replace("IVC patent.", ""),
    }
    finding = found(short, ABDOMEN_EXAM)["COMPLETE_NOT_DOCUMENTED"]
    assert "spleen, inferior vena cava" in finding.sentence
    assert finding.suggested_code == "76705"
    unexplained = {
        **ABDOMEN,
        "findings": ABDOMEN["findings"].replace("obscured by bowel gas", "not visualized"),
    }
    assert "NOT_SEEN_WITHOUT_REASON" in found(unexplained, ABDOMEN_EXAM)


@pytest.mark.parametrize(
    ("region", "text", "complete"),
    [
        (
            "retroperitoneum",
            "Kidneys normal. Aorta normal. Common iliac arteries normal. IVC patent.",
            True,
        ),
        ("retroperitoneum", "Kidneys normal. Bladder distended.", True),
        ("retroperitoneum", "Kidneys normal.", False),
        ("pelvis", "Uterus anteverted. Endometrium 6 mm. Ovaries normal. Bladder normal.", True),
        ("pelvis", "Bladder normal. Prostate enlarged. Seminal vesicles symmetric.", True),
        ("pelvis", "Uterus anteverted. Ovaries normal.", False),
        ("breast", "All four quadrants and the retroareolar region were scanned.", True),
        ("breast", "Upper outer quadrant scanned.", False),
    ],
)
def test_other_complete_studies(region: str, text: str, complete: bool) -> None:
    codes = found({**ABDOMEN, "findings": text}, exam("76770", "US", complete=region))
    assert ("COMPLETE_NOT_DOCUMENTED" not in codes) is complete


@pytest.mark.parametrize(
    ("facts", "text", "code"),
    [
        (
            {"doppler": True},
            "Spectral waveforms and colour flow are normal.",
            "DOPPLER_NOT_DOCUMENTED",
        ),
        (
            {"angiographic": True},
            "3D maximum intensity projections were made.",
            "POST_PROCESSING_NOT_STATED",
        ),
        (
            {"guidance": True},
            "Under ultrasound guidance. Images were saved.",
            "GUIDANCE_NOT_REPORTED",
        ),
        (
            {"guidance": True},
            "Ultrasound guidance was used; images were saved.",
            "GUIDANCE_IMAGE_NOT_KEPT",
        ),
        (
            {"screening_ct": True},
            "Asymptomatic former smoker, 30 pack-years, shared decision-making visit on file.",
            "LUNG_SCREENING_INCOMPLETE",
        ),
        ({"modality": "MG"}, "BI-RADS category 2.", "BIRADS_MISSING"),
        ({"modality": "BMD"}, "T-score of the lumbar spine -1.2.", "DXA_INCOMPLETE"),
    ],
)
def test_what_particular_codes_demand(facts: dict[str, Any], text: str, code: str) -> None:
    asked = ReportedExam("X", **{"modality": "CT", **facts})
    bare = {name: "Normal." for name in ("technique", "findings", "impression")}
    assert code in found({**BRAIN, **bare}, asked)
    assert code not in found({**BRAIN, **bare, "findings": text}, asked)


def test_demands_by_code() -> None:
    assert demands("76700", "US", "abdomen", "complete") == {"complete": "abdomen"}
    assert demands("93880", "US", "neck_vessels", "complete") == {"doppler": True}
    assert demands("71275", "CTA", "chest", "") == {"angiographic": True}
    assert demands("71271", "CT", "chest", "") == {"screening_ct": True}
    assert demands("70553", "MR", "head", "") == {}


def test_a_plain_text_report_is_split_at_its_headings() -> None:
    text = (
        "MRI BRAIN\nCLINICAL INDICATION: Headache.\nTechnique: Without contrast.\nCOMPARISON:"
        " None.\nFINDINGS: Normal.\nMore findings.\nIMPRESSION: Normal.\nElectronically signed by:"
        " Ivan Reader MD 2026-09-08"
    )
    sections = sections_of(text)
    assert sections["title"] == "MRI BRAIN"
    assert sections["findings"] == "Normal.\nMore findings."
    assert check_report(sections, exam("70551", "MR", contrast="without")) == []


def test_a_decimal_point_does_not_end_a_sentence() -> None:
    assert [s for _, _, s in sentences("Gave 8.5 mL. Done.")] == ["Gave 8.5 mL.", "Done."]


_texts = st.dictionaries(
    st.sampled_from(SECTIONS), st.text(max_size=120) | st.sampled_from(list(BRAIN.values()))
)
_exams = st.sampled_from(
    [
        BRAIN_EXAM,
        KNEE_EXAM,
        ABDOMEN_EXAM,
        exam("71271", "CT", contrast="without", screening_ct=True),
    ]
)


@settings(max_examples=200, deadline=None)
@given(_texts, _exams)
def test_any_text_is_read_and_every_span_quotes_it(
    sections: dict[str, str], asked: ReportedExam
) -> None:
    for finding in check_report(sections, asked):
        assert finding.sentence
        assert finding.fix
        if finding.span is not None:
            assert (
                sections[finding.span.section][finding.span.start : finding.span.end]
                == finding.span.quote
            )


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_any_plain_text_can_be_split(text: str) -> None:
    assert set(sections_of(text)) <= set(SECTIONS)
