"""What only imaging asks: mammography, PET, lung screening, contrast and drugs, 3D (rules
`pet-strategy` and `contrast-as-given`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from claims.edits.examples import claim, line, mammogram, medicare, pet, prior, scan
from claims.edits.registry import BLOCK, WARN, Hit, Owner, edit
from claims.edits.subject import MEDICARE_B, Line, Subject, plain_icd

CONTRAST_FOR = {
    "mr_contrast": frozenset({"MR", "MRA"}),
    "iodinated_contrast": frozenset({"CT", "CTA", "XR", "RF"}),
    "ultrasound_contrast": frozenset({"US"}),
    "radiopharmaceutical": frozenset({"NM", "PT"}),
}
CONTRAST_KINDS = frozenset({"mr_contrast", "iodinated_contrast", "ultrasound_contrast"})
ENHANCED = frozenset({"with", "without_and_with"})
PLAIN = frozenset({"without"})


# --- Mammography ----------------------------------------------------------------------------------


@edit(
    "MAM-001",
    BLOCK,
    "A mammogram has no certificate number.",
    field="mammography_certificate",
    fix="Put the site's MQSA certificate in REF*EW.",
    owner=Owner.ADMIN,
    rule="mammography-certificate",
    carc=("16", "171"),
    rarc=("N92", "N110"),
    fails=lambda: mammogram(mammography_certificate=""),
    passes=mammogram,
)
def mammogram_names_its_certificate(s: Subject) -> Iterator[Hit]:
    if s.claim.mammography_certificate:
        return
    for item in s.lines:
        if item.row.modality == "MG" and item.technical:
            yield Hit(
                f"{item.code} needs the mammography certificate of the site.", line=item.number
            )


@edit(
    "MAM-002",
    BLOCK,
    "The mammography certificate was not valid on the service date.",
    field="mammography_certificate",
    fix="Correct the number, or stop: the exam cannot be billed without a valid certificate.",
    owner=Owner.COMPLIANCE,
    rule="mammography-certificate",
    carc=("171",),
    rarc=("N762",),
    tables=("mammography_certificates",),
    fails=lambda: mammogram(mammography_certificate="999999"),
    passes=mammogram,
)
def certificate_is_valid(s: Subject) -> Iterator[Hit]:
    assert s.ref.mammography_certificates is not None
    number = s.claim.mammography_certificate
    if not number:
        return
    spans = s.ref.mammography_certificates.get(number)
    for item in s.lines:
        if item.row.modality != "MG" or not item.technical or item.day is None:
            continue
        if spans is None:
            yield Hit(f"Certificate {number} is not known.", line=item.number)
        elif not any(span.covers(item.day) for span in spans):
            yield Hit(f"Certificate {number} was not valid on {item.day}.", line=item.number)


@edit(
    "MAM-003",
    BLOCK,
    "Screening tomosynthesis stands without the screening mammogram.",
    field="lines.code",
    fix="Bill it only beside the screening mammogram.",
    owner=Owner.CODER,
    rule="tomosynthesis",
    carc=("107", "234"),
    rarc=("N122",),
    fails=lambda: mammogram(line("77063")),
    passes=mammogram,
)
def screening_tomo_with_screening(s: Subject) -> Iterator[Hit]:
    if s.codes.isdisjoint(s.group("mammo_screen")):
        for item in s.in_group("mammo_screen_tomo"):
            yield Hit(f"{item.code} is an add-on to the screening mammogram.", line=item.number)


@edit(
    "MAM-004",
    BLOCK,
    "Diagnostic tomosynthesis stands without the diagnostic mammogram.",
    field="lines.code",
    fix="Bill it only beside the diagnostic mammogram.",
    owner=Owner.CODER,
    rule="tomosynthesis",
    carc=("107", "234"),
    rarc=("N122",),
    fails=lambda: mammogram(line("G0279"), diagnoses=("R922",)),
    passes=lambda: mammogram(line("77066"), line("G0279"), diagnoses=("R922",)),
)
def diagnostic_tomo_with_diagnostic(s: Subject) -> Iterator[Hit]:
    if s.codes.isdisjoint(s.group("mammo_dx")):
        for item in s.in_group("mammo_dx_tomo"):
            yield Hit(f"{item.code} is an add-on to the diagnostic mammogram.", line=item.number)


@edit(
    "MAM-005",
    BLOCK,
    "The payer takes another code for diagnostic tomosynthesis.",
    field="lines.code",
    fix="G0279 for Medicare, 77061 or 77062 where the payer asks for them.",
    owner=Owner.CODER,
    rule="tomosynthesis",
    carc=("96", "181"),
    rarc=("N425",),
    fails=lambda: mammogram(line("77065", "LT"), line("77061", "LT"), diagnoses=("N6002",)),
    passes=lambda: mammogram(line("77065", "LT"), line("G0279"), diagnoses=("N6002",)),
)
def diagnostic_tomo_as_the_payer_wants(s: Subject) -> Iterator[Hit]:
    if s.product in MEDICARE_B or s.payer.wants_g0279:
        for item in s.in_group("mammo_dx_tomo_cpt"):
            yield Hit(f"{item.code} is not valid here; G0279 is the code.", line=item.number)
    elif s.payer.wants_g0279 is False:
        for item in s.in_group("mammo_dx_tomo"):
            yield Hit(
                f"{item.code} is Medicare's code; this payer asks for 77061 or 77062.",
                line=item.number,
                severity=WARN,
            )


@edit(
    "MAM-006",
    BLOCK,
    "Screening and diagnostic mammogram on one day without GG.",
    field="lines.modifiers",
    fix="GG on each diagnostic line.",
    owner=Owner.CODER,
    rule="screening-and-diagnostic",
    carc=("97",),
    rarc=("M15",),
    fails=lambda: mammogram(line("77067"), line("77065", "LT"), diagnoses=("Z1231", "N6002")),
    passes=lambda: mammogram(line("77067"), line("77065", "LT", "GG"), diagnoses=("Z1231",)),
)
def both_mammograms_carry_gg(s: Subject) -> Iterator[Hit]:
    screen = s.group("mammo_screen")
    days = {item.day for item in s.lines if item.code in screen} | {
        old.service_date for old in s.same_day if old.code in screen and old.status != "denied"
    }
    for item in s.lines:
        diagnostic = item.code in s.group("mammo_dx") or item.code in s.group("mammo_dx_tomo")
        if diagnostic and item.day in days and not item.has(("GG", "GH")):
            yield Hit(
                f"{item.code} on the day of a screening mammogram needs GG.", line=item.number
            )


@edit(
    "MAM-007",
    WARN,
    "A screening mammogram is not led by its screening diagnosis.",
    field="lines.pointers",
    fix="Put Z12.31 first; findings come after it.",
    owner=Owner.CODER,
    rule="screening-diagnosis-first",
    carc=("11", "167"),
    rarc=("M76",),
    fails=lambda: mammogram(diagnoses=("R922",)),
    passes=mammogram,
)
def screening_diagnosis_first(s: Subject) -> Iterator[Hit]:
    for item in s.in_group("mammo_screen"):
        pointed = s.pointed(item)
        if pointed and pointed[0] != "Z1231":
            yield Hit(
                f"{item.code} points to {pointed[0]} first; a screening exam starts with Z12.31.",
                line=item.number,
            )


# --- PET ------------------------------------------------------------------------------------------


@edit(
    "PET-001",
    BLOCK,
    "An oncologic PET carries neither or both of PI and PS.",
    field="lines.modifiers",
    fix="PI for the initial, PS for a later treatment strategy.",
    owner=Owner.CODER,
    rule="pet-strategy",
    carc=("4", "16"),
    rarc=("N386",),
    products=MEDICARE_B,
    fails=pet,
    passes=lambda: pet("PI"),
)
def pet_says_its_strategy(s: Subject) -> Iterator[Hit]:
    for item in s.in_group("fdg_pet_oncologic"):
        if ("PI" in item.mods) + ("PS" in item.mods) != 1:
            yield Hit(f"{item.code} needs exactly one of PI and PS.", line=item.number)


@edit(
    "PET-002",
    BLOCK,
    "A fourth subsequent PET has no KX.",
    field="lines.modifiers",
    fix="KX when the policy's conditions are documented.",
    owner=Owner.CODER,
    rule="pet-attestation",
    carc=("50", "151"),
    rarc=("N386",),
    products=MEDICARE_B,
    fails=lambda: pet(
        "PS",
        history=tuple(
            prior("78815", "PS", service_date=date(2026, month, 1), claim_id=f"OLD{month}")
            for month in (3, 5, 8)
        ),
    ),
    passes=lambda: pet(
        "PS",
        "KX",
        history=tuple(
            prior("78815", "PS", service_date=date(2026, month, 1), claim_id=f"OLD{month}")
            for month in (3, 5, 8)
        ),
    ),
)
def later_pets_are_attested(s: Subject) -> Iterator[Hit]:
    codes = s.group("fdg_pet_oncologic")
    for item in s.lines:
        if item.code not in codes or "PS" not in item.mods or "KX" in item.mods or item.day is None:
            continue
        before = {
            old.service_date
            for old in s.claim.history
            if old.code in codes
            and "PS" in old.modifiers
            and old.service_date < item.day
            and old.status not in ("void", "rejected", "denied")
        }
        if len(before) >= s.limit("pet_subsequent_without_kx"):
            yield Hit(
                f"{len(before)} subsequent PETs are on record; this one needs KX.", line=item.number
            )


@edit(
    "PET-003",
    WARN,
    "PI or PS stands on another exam.",
    field="lines.modifiers",
    fix="Take it off.",
    owner=Owner.CODER,
    rule="pet-strategy",
    carc=("4",),
    rarc=("N519",),
    fails=lambda: claim(line("72148", "PI")),
    passes=claim,
)
def strategy_only_on_pet(s: Subject) -> Iterator[Hit]:
    codes = s.group("fdg_pet_oncologic")
    for item in s.lines:
        if item.has(("PI", "PS")) and item.code not in codes:
            yield Hit(f"{item.code} is not an oncologic PET.", line=item.number)


# --- Lung cancer screening ------------------------------------------------------------------------


@edit(
    "LDC-001",
    BLOCK,
    "A lung cancer screening lacks a condition of coverage.",
    field="lines.pack_years",
    fix="Complete age, pack-years, smoking status and the shared decision from the order.",
    owner=Owner.CODER,
    rule="lung-screening",
    carc=("272", "50"),
    rarc=("N386",),
    products=MEDICARE_B,
    fails=lambda: scan(
        line("71271", pack_years=10, smoking="current", shared_decision="yes", asymptomatic="yes")
    ),
    passes=scan,
)
def lung_screening_is_covered(s: Subject) -> Iterator[Hit]:
    for item in s.in_group("ldct"):
        if item.has(("GA", "GZ", "GY")):
            continue
        for words in _ldct_gaps(s, item):
            yield Hit(f"{item.code}: {words}.", line=item.number)


def _ldct_gaps(s: Subject, item: Line) -> Iterator[str]:
    facts, age = item.facts, s.age_on(item.day)
    youngest, oldest = s.limit("ldct_age_min"), s.limit("ldct_age_max")
    pack_years, quit_years = s.limit("ldct_pack_years"), s.limit("ldct_quit_years")
    if age is None:
        yield "the age is not known"
    elif not youngest <= age <= oldest:
        yield f"covered from {youngest} to {oldest} years, the patient is {age}"
    if facts.pack_years is None:
        yield "the pack-years are not documented"
    elif facts.pack_years < pack_years:
        yield f"{pack_years} pack-years are needed, {facts.pack_years} are documented"
    if facts.smoking == "former" and facts.quit_years is None:
        yield "the years since quitting are not documented"
    elif (
        facts.smoking == "former" and facts.quit_years is not None and facts.quit_years > quit_years
    ):
        yield f"the patient quit {facts.quit_years} years ago; {quit_years} is the limit"
    elif facts.smoking not in ("current", "former"):
        yield "the smoking status is not documented as current or former"
    if facts.asymptomatic != "yes":
        yield "it is not documented that the patient has no symptoms"
    if facts.shared_decision == "no":
        yield "there is no shared decision visit"


# --- Contrast, drugs, radiopharmaceuticals --------------------------------------------------------


@edit(
    "CON-001",
    WARN,
    "A contrast drug is billed without an exam that uses it.",
    field="lines.code",
    fix="Check the exam's code and the drug.",
    owner=Owner.CODER,
    rule="contrast-with-exam",
    carc=("107",),
    rarc=("M15",),
    tables=("drugs", "procedures"),
    fails=lambda: claim(line("72148"), line("A9585", units=Decimal(80))),
    passes=lambda: claim(line("72158"), line("A9585", units=Decimal(80))),
)
def contrast_has_its_exam(s: Subject) -> Iterator[Hit]:
    assert s.ref.drugs is not None
    for item in s.lines:
        kind = s.ref.drugs.get(item.code, "")
        if kind not in CONTRAST_FOR:
            continue
        modalities = CONTRAST_FOR[kind]
        exams = [other for other in s.lines if other.row.modality in modalities]
        if kind in CONTRAST_KINDS:
            exams = [other for other in exams if other.row.contrast not in PLAIN]
        if not exams and not any(_other_claim_uses(s, old.code, modalities) for old in s.same_day):
            yield Hit(
                f"{item.code} is a {kind.replace('_', ' ')}; no exam on this day uses it.",
                line=item.number,
            )


def _other_claim_uses(s: Subject, code: str, modalities: frozenset[str]) -> bool:
    row = (s.ref.procedures or {}).get(code)
    return row is not None and row.modality in modalities and row.contrast not in PLAIN


@edit(
    "CON-002",
    WARN,
    "An exam with contrast is billed without the contrast drug.",
    field="lines.code",
    fix="Add the drug with its units, if we supplied it.",
    owner=Owner.CODER,
    rule="contrast-with-exam",
    tables=("drugs", "procedures"),
    fails=lambda: claim(line("72158")),
    passes=lambda: claim(line("72158"), line("A9585", units=Decimal(80))),
)
def exam_has_its_contrast(s: Subject) -> Iterator[Hit]:
    assert s.ref.drugs is not None
    if s.payer.contrast_paid is False:
        return
    kinds = {s.ref.drugs[code] for code in s.codes if code in s.ref.drugs}
    for item in s.lines:
        if item.row.contrast not in ENHANCED or not item.technical:
            continue
        wanted = {kind for kind in CONTRAST_KINDS if item.row.modality in CONTRAST_FOR[kind]}
        if wanted and kinds.isdisjoint(wanted):
            yield Hit(
                f"{item.code} is done with contrast; no contrast drug is billed.", line=item.number
            )


@edit(
    "CON-003",
    WARN,
    "A nuclear or PET exam is billed without its radiopharmaceutical.",
    field="lines.code",
    fix="Add the radiopharmaceutical, if we supplied it.",
    owner=Owner.CODER,
    rule="tracer-with-exam",
    tables=("drugs", "procedures"),
    fails=lambda: claim(line("78306")),
    passes=lambda: claim(line("78306"), line("A9552")),
)
def nuclear_has_its_tracer(s: Subject) -> Iterator[Hit]:
    assert s.ref.drugs is not None
    if any(s.ref.drugs.get(code) == "radiopharmaceutical" for code in s.codes):
        return
    for item in s.lines:
        if item.row.modality in CONTRAST_FOR["radiopharmaceutical"] and item.technical:
            yield Hit(f"{item.code} uses a tracer; none is billed.", line=item.number)


@edit(
    "CON-004",
    BLOCK,
    "The code's contrast is not what was given.",
    field="lines.code",
    fix="Code what was performed and documented; ask the reader if records differ.",
    owner=Owner.CODER,
    rule="contrast-as-given",
    carc=("16",),
    overridable=False,
    tables=("procedures",),
    fails=lambda: claim(line("72148", contrast_given="yes")),
    passes=lambda: claim(line("72148", contrast_given="no")),
)
def contrast_is_as_given(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        given, coded = item.facts.contrast_given, item.row.contrast
        if given == "yes" and coded in PLAIN:
            yield Hit(
                f"{item.code} is without contrast; the exam's record says contrast was given.",
                line=item.number,
            )
        elif given == "no" and coded in ENHANCED:
            yield Hit(
                f"{item.code} is with contrast; the exam's record says none was given.",
                line=item.number,
            )


@edit(
    "CON-005",
    WARN,
    "The units look like millilitres; the code counts tenths.",
    field="lines.units",
    fix="8 mL are 80 units.",
    owner=Owner.CODER,
    rule="contrast-units",
    carc=("16",),
    rarc=("M53",),
    fails=lambda: claim(line("72158"), line("A9585", units=Decimal(8))),
    passes=lambda: claim(line("72158"), line("A9585", units=Decimal(80))),
)
def tenths_are_counted(s: Subject) -> Iterator[Hit]:
    for item in s.in_group("per_tenth_ml"):
        if item.facts.units <= s.limit("per_tenth_ml_small_units") and "JW" not in item.mods:
            yield Hit(
                f"{item.facts.units} units of {item.code} are {item.facts.units / 10} mL, which is"
                " less than a usual dose.",
                line=item.number,
            )


@edit(
    "CON-006",
    BLOCK,
    "A single-dose drug does not say whether any was wasted.",
    field="lines.modifiers",
    fix="JZ when nothing was discarded; else a second line with JW for the waste.",
    owner=Owner.CODER,
    rule="drug-waste",
    carc=("4", "16"),
    rarc=("N519",),
    products=MEDICARE_B,
    fails=lambda: medicare(line("72158"), line("A9585", units=Decimal(80), vial="single_dose")),
    passes=lambda: medicare(
        line("72158"), line("A9585", "JZ", units=Decimal(80), vial="single_dose")
    ),
)
def waste_is_declared(s: Subject) -> Iterator[Hit]:
    wasted = {item.code for item in s.lines if "JW" in item.mods}
    for item in s.lines:
        if (
            item.facts.vial == "single_dose"
            and not item.has(("JZ", "JW"))
            and item.code not in wasted
        ):
            yield Hit(
                f"{item.code} comes from a single-dose vial and carries neither JZ nor a JW line.",
                line=item.number,
            )


@edit(
    "CON-007",
    BLOCK,
    "JW and JZ contradict the record or each other.",
    field="lines.modifiers",
    fix="JW only on the line of the discarded units, JZ only when nothing was discarded.",
    owner=Owner.CODER,
    rule="drug-waste",
    carc=("4",),
    rarc=("N519",),
    fails=lambda: medicare(
        line("72158"),
        line("A9585", "JZ", units=Decimal(80), vial="single_dose", discarded_units=Decimal(20)),
    ),
    passes=lambda: medicare(
        line("72158"),
        line("A9585", "JZ", units=Decimal(80), vial="single_dose", discarded_units=Decimal(0)),
    ),
)
def waste_is_consistent(s: Subject) -> Iterator[Hit]:
    wasted = {item.code for item in s.lines if "JW" in item.mods}
    for item in s.lines:
        discarded = item.facts.discarded_units
        if "JW" in item.mods and "JZ" in item.mods:
            yield Hit("JW and JZ on one line.", line=item.number)
        elif "JZ" in item.mods and (item.code in wasted or (discarded or 0) > 0):
            yield Hit(
                f"JZ says nothing of {item.code} was wasted; {discarded or 'a JW line'} says"
                " otherwise.",
                line=item.number,
            )
        elif "JW" in item.mods and item.facts.vial == "multi_dose":
            yield Hit("A multi-dose vial has no billable waste.", line=item.number)
        elif "JW" in item.mods and discarded is not None and discarded != item.facts.units:
            yield Hit(
                f"The JW line bills {item.facts.units} units; {discarded} were discarded.",
                line=item.number,
            )


@edit(
    "CON-008",
    BLOCK,
    "The payer wants the drug's NDC and it is missing.",
    field="lines.ndc",
    fix="Add the NDC of the vial, its unit and quantity.",
    owner=Owner.CODER,
    rule="drug-ndc",
    carc=("16",),
    rarc=("M119",),
    tables=("drugs",),
    fails=lambda: claim(line("72158"), line("A9585", units=Decimal(80)), payer_id="NDC"),
    passes=lambda: claim(
        line("72158"),
        line("A9585", units=Decimal(80), ndc="50419032502", ndc_unit="ML", ndc_quantity=Decimal(8)),
        payer_id="NDC",
    ),
)
def drugs_carry_their_ndc(s: Subject) -> Iterator[Hit]:
    assert s.ref.drugs is not None
    if not s.payer.requires_ndc:
        return
    for item in s.lines:
        if item.code in s.ref.drugs and not item.facts.ndc:
            yield Hit(f"This payer wants the NDC of {item.code}.", line=item.number)


# --- 3D post-processing ---------------------------------------------------------------------------


@edit(
    "TDP-001",
    BLOCK,
    "3D post-processing is not documented as supervised.",
    field="lines.concurrent_supervision",
    fix="Bill it only when the report documents concurrent supervision.",
    owner=Owner.CODER,
    rule="three-d",
    carc=("16", "112"),
    rarc=("M31",),
    fails=lambda: claim(line("72148"), line("76376")),
    passes=lambda: claim(line("72148"), line("76376", concurrent_supervision="yes")),
)
def three_d_is_supervised(s: Subject) -> Iterator[Hit]:
    for item in s.in_group("three_d"):
        if item.facts.concurrent_supervision != "yes":
            yield Hit(f"{item.code} needs documented concurrent supervision.", line=item.number)


@edit(
    "TDP-002",
    BLOCK,
    "3D post-processing stands without the exam it belongs to.",
    field="lines.code",
    fix="Bill it with its base exam.",
    owner=Owner.CODER,
    rule="three-d",
    carc=("107",),
    rarc=("N122",),
    fails=lambda: claim(line("76376", concurrent_supervision="yes")),
    passes=lambda: claim(line("72148"), line("76376", concurrent_supervision="yes")),
)
def three_d_has_its_exam(s: Subject) -> Iterator[Hit]:
    codes = s.group("three_d")
    for item in s.in_group("three_d"):
        if (
            not any(
                other.code not in codes
                and other.row.modality in ("CT", "MR", "US", "XR", "NM", "PT", "MRA", "CTA")
                for other in s.lines
            )
            and not s.same_day
        ):
            yield Hit(f"{item.code} has no base exam on this day.", line=item.number)


@edit(
    "LDC-002",
    WARN,
    "A lung cancer screening lacks its diagnosis.",
    field="lines.pointers",
    fix="Point to Z87.891 (former) or F17.21- (current smoker).",
    owner=Owner.CODER,
    rule="lung-screening",
    carc=("50",),
    rarc=("N386",),
    products=MEDICARE_B,
    fails=lambda: scan(diagnoses=("R079",)),
    passes=scan,
)
def lung_screening_has_its_diagnosis(s: Subject) -> Iterator[Hit]:
    for item in s.in_group("ldct"):
        if not any(
            code == "Z87891" or plain_icd(code).startswith("F1721") for code in s.pointed(item)
        ):
            yield Hit(f"{item.code} points to no smoking diagnosis.", line=item.number)
