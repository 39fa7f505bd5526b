"""What the demo's centers do: studies with plausible reasons, words of the order, and reports that
say what the code needs.
"""

from __future__ import annotations

from dataclasses import dataclass

GADO, IODINE = "gadobutrol", "Omnipaque 350"


@dataclass(frozen=True, slots=True)
class Study:
    """One study as ordered and read. `contrast` is the level of the code; `with_code` and
    `without_code` its neighbours when the contrast turns out otherwise. `reasons` are (diagnosis,
    words of the order).
    """

    code: str
    name: str
    modality: str
    room: str
    weight: int
    minutes: int
    reasons: tuple[tuple[str, str], ...]
    technique: str
    findings: str
    impressions: tuple[str, ...]
    sides: tuple[str, ...] = ()
    agent: str = ""
    ml: int = 0
    other: str = ""
    other_technique: str = ""
    sex: str = ""
    age_min: int = 18
    age_max: int = 95
    addon: str = ""
    tracer: str = ""


NORMAL = ("No acute abnormality.", "Normal study.", "No significant change.")


def _xr(
    code: str,
    name: str,
    weight: int,
    reasons: tuple[tuple[str, str], ...],
    views: str,
    text: str,
    **more: object,
) -> Study:
    return Study(
        code,
        name,
        "XR",
        "XR1",
        weight,
        15,
        reasons,
        views,
        text,
        (*NORMAL, "Mild degenerative change."),
        **more,  # type: ignore[arg-type]
    )


HEAD = (
    ("R519", "headache, worse over two weeks"),
    ("R42", "dizziness and unsteady gait"),
    ("G43909", "migraine, new pattern"),
)
CHEST = (
    ("R059", "cough for three weeks"),
    ("R0602", "shortness of breath on exertion"),
    ("R079", "chest pain, atypical"),
)
BELLY = (
    ("R109", "abdominal pain for two weeks"),
    ("R634", "weight loss of 8 kg"),
    ("K5730", "known diverticular disease, pain"),
)
NECK = (("M542", "neck pain"), ("M5412", "arm pain and numbness from the neck"))
BACK = (
    ("M5416", "leg pain from the low back"),
    ("M48061", "narrow spinal canal, walking distance less"),
    ("M5450", "low back pain for two months"),
)
Sides = dict[str, tuple[tuple[str, str], ...]]
KNEE: Sides = {
    "RT": (("M25561", "right knee pain after a twist"), ("M1711", "right knee arthritis")),
    "LT": (("M25562", "left knee pain after a twist"), ("M1712", "left knee arthritis")),
}
SHOULDER: Sides = {
    "RT": (("M25511", "right shoulder pain"),),
    "LT": (("M25512", "left shoulder pain"),),
}
FOOT: Sides = {"RT": (("M79671", "right foot pain"),), "LT": (("M79672", "left foot pain"),)}
WRIST: Sides = {
    "RT": (("M25531", "right wrist pain after a fall"),),
    "LT": (("M25532", "left wrist pain after a fall"),),
}
SIDED: dict[str, Sides] = {
    "73721": KNEE,
    "73562": KNEE,
    "73030": SHOULDER,
    "73221": SHOULDER,
    "73630": FOOT,
    "73110": WRIST,
    "76642": {
        "RT": (("N6311", "lump in the right breast"),),
        "LT": (("N6321", "lump in the left breast"),),
    },
    "93971": {
        "RT": (("M79661", "right lower leg pain and swelling"),),
        "LT": (("M79662", "left lower leg pain and swelling"),),
    },
}
"""Reasons by side for studies of one side."""

STUDIES: tuple[Study, ...] = (
    Study(
        "70553",
        "MR BRAIN WO W",
        "MR",
        "MR1",
        60,
        45,
        HEAD,
        "Multiplanar sequences before and after 8 mL gadobutrol IV.",
        "No acute infarct. No enhancing mass. Ventricles of normal size.",
        ("No acute intracranial abnormality.", "Small vessel change for age."),
        agent=GADO,
        ml=8,
        other="70551",
        other_technique="Multiplanar sequences without IV contrast.",
    ),
    Study(
        "70551",
        "MR BRAIN WO",
        "MR",
        "MR1",
        55,
        30,
        HEAD,
        "Multiplanar sequences without IV contrast.",
        "No acute infarct. No mass. Ventricles of normal size.",
        ("No acute intracranial abnormality.", "Small vessel change for age."),
        other="70553",
        other_technique="Multiplanar sequences before and after 8 mL gadobutrol IV.",
    ),
    Study(
        "72148",
        "MR LUMBAR SPINE WO",
        "MR",
        "MR1",
        80,
        30,
        BACK,
        "Sagittal and axial sequences without IV contrast.",
        "Disc bulge at L4-L5 with mild canal narrowing.",
        ("Mild narrowing at L4-L5.", "Disc protrusion at L5-S1."),
    ),
    Study(
        "72141",
        "MR CERVICAL SPINE WO",
        "MR",
        "MR1",
        40,
        30,
        NECK,
        "Sagittal and axial sequences without IV contrast.",
        "Disc bulge at C5-C6. Cord signal normal.",
        ("Mild narrowing at C5-C6.",),
    ),
    Study(
        "73721",
        "MR KNEE WO",
        "MR",
        "MR1",
        55,
        30,
        (),
        "Multiplanar sequences of the {side} knee without IV contrast.",
        "{Side} knee: menisci and ligaments intact. Small effusion.",
        ("Small effusion of the {side} knee.",),
        sides=("RT", "LT"),
    ),
    Study(
        "73221",
        "MR SHOULDER WO",
        "MR",
        "MR1",
        30,
        30,
        (),
        "Multiplanar sequences of the {side} shoulder without IV contrast.",
        "{Side} shoulder: partial tear of the supraspinatus tendon.",
        ("Partial cuff tear, {side} shoulder.",),
        sides=("RT", "LT"),
    ),
    Study(
        "74183",
        "MR ABDOMEN WO W",
        "MR",
        "MR1",
        16,
        45,
        (("K862", "pancreas cyst, follow-up"), ("K7689", "liver lesion on ultrasound")),
        "Multiplanar sequences before and after 10 mL gadobutrol IV.",
        "Liver, pancreas and spleen without suspicious lesion.",
        ("Stable small cyst.",),
        agent=GADO,
        ml=10,
    ),
    Study(
        "71260",
        "CT CHEST W",
        "CT",
        "CT1",
        50,
        20,
        (
            ("R911", "nodule seen on radiograph"),
            ("R042", "coughing blood"),
            ("C3411", "lung cancer, follow-up"),
        ),
        "Axial images after 75 mL Omnipaque 350 IV.",
        "Nodule of 5 mm in the upper lobe. No effusion.",
        ("Small nodule, follow-up in 12 months.", "No new disease."),
        agent=IODINE,
        ml=75,
        other="71250",
        other_technique="Axial images without IV contrast.",
    ),
    Study(
        "71250",
        "CT CHEST WO",
        "CT",
        "CT1",
        55,
        15,
        (
            ("R911", "nodule, follow-up"),
            ("J849", "interstitial lung disease"),
            ("R053", "cough that does not go"),
        ),
        "Axial images without IV contrast.",
        "No nodule. Mild emphysema. No effusion.",
        ("No nodule.", "Stable nodule."),
        other="71260",
        other_technique="Axial images after 75 mL Omnipaque 350 IV.",
    ),
    Study(
        "74177",
        "CT ABDOMEN PELVIS W",
        "CT",
        "CT1",
        85,
        25,
        BELLY,
        "Axial images after 100 mL Omnipaque 350 IV.",
        "Liver, spleen, pancreas and kidneys normal. No free fluid.",
        (*NORMAL, "Diverticulosis without inflammation."),
        agent=IODINE,
        ml=100,
        other="74176",
        other_technique="Axial images without IV contrast.",
    ),
    Study(
        "74176",
        "CT ABDOMEN PELVIS WO",
        "CT",
        "CT1",
        35,
        20,
        (
            ("N200", "kidney stone, pain"),
            ("R319", "blood in urine"),
            ("N132", "blocked kidney by a stone"),
        ),
        "Axial images without IV contrast.",
        "Stone of 3 mm in the left kidney. No obstruction.",
        ("Small stone without obstruction.",),
        other="74177",
        other_technique="Axial images after 100 mL Omnipaque 350 IV.",
    ),
    Study(
        "70450",
        "CT HEAD WO",
        "CT",
        "CT1",
        45,
        15,
        (*HEAD, ("S0990XA", "head injury after a fall")),
        "Axial images without IV contrast.",
        "No bleeding. No mass. No fracture.",
        ("No acute intracranial abnormality.",),
    ),
    Study(
        "70486",
        "CT SINUS WO",
        "CT",
        "CT1",
        18,
        15,
        (("J329", "sinus trouble for three months"), ("J342", "deviated septum, blocked nose")),
        "Axial and coronal images without IV contrast.",
        "Mucosal thickening of the maxillary sinuses.",
        ("Mild sinus disease.",),
    ),
    Study(
        "78815",
        "PET CT SKULL TO THIGH",
        "PET",
        "PET1",
        22,
        60,
        (
            ("C3490", "lung cancer, staging"),
            ("C8330", "lymphoma, response"),
            ("C189", "colon cancer, rising marker"),
        ),
        "PET/CT from skull base to mid-thigh 60 minutes after FDG.",
        "Uptake in the known lesion. No further uptake.",
        ("Single active lesion.", "Complete response."),
        tracer="A9552",
    ),
    Study(
        "76700",
        "US ABDOMEN COMPLETE",
        "US",
        "US1",
        55,
        30,
        (
            ("R1011", "pain under the right ribs"),
            ("R7401", "raised liver tests"),
            ("K760", "fatty liver, follow-up"),
        ),
        "Gray-scale scan of the abdomen. Images stored.",
        "Liver, gallbladder, common bile duct, pancreas and spleen are normal. Both kidneys are"
        " normal: right kidney 10.8 cm, left kidney 11.1 cm. Aorta and IVC are normal.",
        (*NORMAL, "Fatty liver."),
    ),
    Study(
        "76705",
        "US ABDOMEN LIMITED",
        "US",
        "US1",
        25,
        20,
        (("K8020", "gallstones, pain"), ("R1011", "pain under the right ribs")),
        "Gray-scale scan of the right upper quadrant. Images stored.",
        "Gallstones without wall thickening.",
        ("Gallstones without inflammation.",),
    ),
    Study(
        "76536",
        "US THYROID",
        "US",
        "US1",
        30,
        20,
        (("E041", "thyroid nodule"), ("E042", "several thyroid nodules")),
        "Gray-scale scan of neck and thyroid. Images stored.",
        "Nodule of 9 mm in the right lobe.",
        ("Low-risk nodule.",),
    ),
    Study(
        "76856",
        "US PELVIS COMPLETE",
        "US",
        "US1",
        30,
        30,
        (("R1020", "pelvic pain"), ("N939", "bleeding between periods")),
        "Scan through the full bladder. Images stored.",
        "Uterus of normal size. Endometrium 6 mm. Both ovaries and adnexa normal. Bladder normal.",
        (*NORMAL, "Small fibroid."),
        sex="F",
        age_max=65,
    ),
    Study(
        "76770",
        "US KIDNEYS COMPLETE",
        "US",
        "US1",
        22,
        20,
        (("N1830", "kidney disease, follow-up"), ("R319", "blood in urine")),
        "Gray-scale scan of kidneys and bladder. Images stored.",
        "Both kidneys of normal size without obstruction. Bladder normal. Aorta, iliac origins and"
        " IVC normal.",
        NORMAL,
    ),
    Study(
        "93880",
        "US CAROTID BOTH",
        "US",
        "US1",
        25,
        30,
        (("I6523", "narrow neck arteries, follow-up"), ("G459", "short weakness of one arm")),
        "Gray-scale, color flow and spectral Doppler of both neck arteries. Images stored.",
        "Peak systolic velocity below 125 cm/s on both sides. Normal waveforms.",
        ("Less than half narrowed on both sides.",),
        age_min=45,
    ),
    Study(
        "93971",
        "US LEG VEINS ONE SIDE",
        "US",
        "US1",
        22,
        20,
        (),
        "Color flow and spectral Doppler of the {side} leg veins. Images stored.",
        "{Side} leg: veins compress fully. Normal flow and waveforms.",
        ("No clot in the {side} leg.",),
        sides=("RT", "LT"),
    ),
    Study(
        "76642",
        "US BREAST LIMITED",
        "US",
        "US1",
        18,
        20,
        (),
        "Targeted scan of the {side} breast. Images stored.",
        "{Side} breast: simple cyst of 8 mm.",
        ("Benign cyst of the {side} breast, BI-RADS 2.",),
        sides=("RT", "LT"),
        sex="F",
        age_min=30,
    ),
    Study(
        "77067",
        "MG SCREENING BOTH",
        "MG",
        "MG1",
        95,
        20,
        (("Z1231", "yearly screening mammogram"),),
        "Two views of each breast, with tomosynthesis.",
        "Scattered fibroglandular tissue. No suspicious mass or calcification.",
        ("Negative. BI-RADS 1.", "Benign. BI-RADS 2."),
        sex="F",
        age_min=40,
        addon="77063",
    ),
    Study(
        "77066",
        "MG DIAGNOSTIC BOTH",
        "MG",
        "MG1",
        18,
        30,
        (("N644", "breast pain on both sides"), ("R928", "recall from screening")),
        "Two views and spot views of each breast.",
        "No suspicious mass or calcification.",
        ("Benign. BI-RADS 2.", "Probably benign. BI-RADS 3."),
        sex="F",
        age_min=30,
    ),
    _xr(
        "71046",
        "XR CHEST 2 VIEWS",
        110,
        CHEST,
        "PA and lateral, two views.",
        "Lungs clear. Heart of normal size.",
    ),
    _xr(
        "71045", "XR CHEST 1 VIEW", 30, CHEST, "AP, one view.", "Lungs clear. Heart of normal size."
    ),
    _xr(
        "73562",
        "XR KNEE 3 VIEWS",
        50,
        (),
        "Three views of the {side} knee.",
        "{Side} knee: no fracture. Joint space kept.",
        sides=("RT", "LT"),
    ),
    _xr(
        "73630",
        "XR FOOT 3 VIEWS",
        35,
        (),
        "Three views of the {side} foot.",
        "{Side} foot: no fracture.",
        sides=("RT", "LT"),
    ),
    _xr(
        "73030",
        "XR SHOULDER",
        30,
        (),
        "Two views of the {side} shoulder.",
        "{Side} shoulder: no fracture. Mild arthritis.",
        sides=("RT", "LT"),
    ),
    _xr(
        "73110",
        "XR WRIST 3 VIEWS",
        25,
        (),
        "Three views of the {side} wrist.",
        "{Side} wrist: no fracture.",
        sides=("RT", "LT"),
    ),
    _xr(
        "72100",
        "XR LUMBAR SPINE",
        40,
        BACK,
        "Three views of the lumbar spine.",
        "Disc space at L5-S1 lower. No fracture.",
    ),
    _xr(
        "72040",
        "XR CERVICAL SPINE",
        25,
        NECK,
        "Three views of the neck spine.",
        "Mild disc wear at C5-C6.",
    ),
    _xr(
        "74018",
        "XR ABDOMEN 1 VIEW",
        15,
        (("K5900", "constipation"), ("R109", "abdominal pain")),
        "Supine, one view.",
        "Normal gas pattern.",
    ),
)
BY_CODE = {s.code: s for s in STUDIES}
PAIRS: tuple[tuple[str, str], ...] = (
    ("70553", "72141"),
    ("72148", "72141"),
    ("71260", "74177"),
    ("70551", "72148"),
    ("72141", "70551"),
    ("71250", "74176"),
    ("74177", "71260"),
    ("70450", "70486"),
    ("76700", "93880"),
    ("76536", "76700"),
    ("93880", "76536"),
    ("76770", "76536"),
    ("71046", "72100"),
    ("73562", "73030"),
    ("72100", "72040"),
    ("73630", "73110"),
    ("73030", "72040"),
    ("71045", "74018"),
    ("77066", "76642"),
    ("73721", "73562"),
    ("73221", "73030"),
    ("74183", "76700"),
    ("76856", "76700"),
    ("76705", "76536"),
    ("73110", "73030"),
    ("72040", "72100"),
    ("74018", "71046"),
    ("70486", "70450"),
)
"""Studies ordered together for one visit: multiple-procedure sessions."""

WORDS = {"RT": "right", "LT": "left"}
LIST_TIMES = 3
"""A center's own charge is about three times the public fee."""

FLAT: dict[str, int] = {
    "A9585": 2,
    "Q9967": 1,
    "A9552": 450,
    "78815": 4200,
    "78815-TC": 3900,
    "78815-26": 300,
}
"""List prices of what has no public fee: contrast by unit, tracer, PET."""
PAID_SHARE = "0.35"
"""What contracts pay of those charges."""


def sections(
    study: Study, *, side: str, reason: str, impression: int, technique: str = ""
) -> list[tuple[str, str]]:
    """The sections of a signed report: (OBX-3 code, text)."""
    words = WORDS.get(side, "")

    def put(text: str) -> str:
        return text.replace("{side}", words).replace("{Side}", words.capitalize())

    return [
        ("TITLE", put(f"{study.name}{' ' + words.upper() if words else ''}")),
        ("IND", f"{reason[:1].upper()}{reason[1:]}."),
        ("TECH", put(technique or study.technique)),
        ("COMP", "None."),
        ("FIND", put(study.findings)),
        ("IMP", put(study.impressions[impression % len(study.impressions)])),
    ]
