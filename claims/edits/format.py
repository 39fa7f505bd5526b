"""Format: what a payer's front door rejects and the guide validator lets through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from claims.edits.examples import AS_OF, DOS, HOME, SITE, claim, line
from claims.edits.facts import Address
from claims.edits.registry import BLOCK, WARN, Hit, Owner, edit, money
from claims.edits.subject import Subject

SEPARATORS = frozenset("*~:^>|")
MAX_AMOUNT = Decimal("99999999.99")


@edit(
    "FMT-001",
    BLOCK,
    "The claim total is not the sum of its lines.",
    field="total",
    fix="Correct the total or the line charges.",
    owner=Owner.BILLER,
    rule="claim-total",
    carc=("16",),
    fails=lambda: claim(total=Decimal("849.99")),
    passes=claim,
    overridable=False,
)
def total_is_the_sum(s: Subject) -> Iterator[Hit]:
    lines = sum((item.facts.charge for item in s.lines), Decimal(0))
    if lines != s.claim.total:
        yield Hit(f"The claim total is {money(s.claim.total)}, its lines add up to {money(lines)}.")


@edit(
    "FMT-002",
    BLOCK,
    "A replacement or void has no payer claim number.",
    field="payer_icn",
    fix="Put the payer's claim number (from the 835) in REF*F8.",
    owner=Owner.BILLER,
    rule="replacement-or-void",
    carc=("16",),
    rarc=("M47",),
    fails=lambda: claim(frequency="7"),
    passes=lambda: claim(frequency="7", payer_icn="ICN1", adjudicated_on=date(2026, 11, 10)),
    overridable=False,
)
def replacement_names_the_original(s: Subject) -> Iterator[Hit]:
    if s.claim.frequency in ("7", "8") and not s.claim.payer_icn:
        what = "replacement" if s.claim.frequency == "7" else "void"
        yield Hit(f"Frequency {s.claim.frequency} ({what}) needs the payer's claim number.")


@edit(
    "FMT-003",
    BLOCK,
    "The claim frequency is not 1, 7 or 8.",
    field="frequency",
    fix="Use 1 original, 7 replacement or 8 void.",
    owner=Owner.BILLER,
    rule="replacement-or-void",
    carc=("16",),
    fails=lambda: claim(frequency="2"),
    passes=claim,
)
def frequency_is_known(s: Subject) -> Iterator[Hit]:
    if s.claim.frequency not in ("1", "7", "8"):
        yield Hit(f"Frequency '{s.claim.frequency}' is not 1, 7 or 8.")


@edit(
    "FMT-004",
    BLOCK,
    "A line points to no diagnosis of the claim.",
    field="lines.pointers",
    fix="Point the line to one of the listed diagnoses.",
    owner=Owner.CODER,
    rule="diagnosis-limit",
    carc=("16",),
    rarc=("M76",),
    fails=lambda: claim(line(pointers=(2,))),
    passes=claim,
)
def pointers_reach_a_diagnosis(s: Subject) -> Iterator[Hit]:
    count = len(s.claim.diagnoses)
    for item in s.lines:
        if not item.facts.pointers:
            yield Hit("The line points to no diagnosis.", line=item.number)
        for pointer in item.facts.pointers:
            if not 1 <= pointer <= count:
                yield Hit(
                    f"The line points to diagnosis {pointer}, the claim has {count}.",
                    line=item.number,
                )


@edit(
    "FMT-005",
    BLOCK,
    "More diagnoses than a claim can carry.",
    field="diagnoses",
    fix="Keep the twelve that explain the exam.",
    owner=Owner.CODER,
    rule="diagnosis-limit",
    carc=("16",),
    fails=lambda: claim(diagnoses=("M5416", *tuple(f"M25{n:03d}" for n in range(561, 573)))),
    passes=claim,
)
def at_most_twelve_diagnoses(s: Subject) -> Iterator[Hit]:
    if len(s.claim.diagnoses) > 12:
        yield Hit(f"{len(s.claim.diagnoses)} diagnoses; a professional claim carries 12.")


@edit(
    "FMT-006",
    BLOCK,
    "A line has too many diagnosis pointers, or one twice.",
    field="lines.pointers",
    fix="Keep up to four different pointers.",
    owner=Owner.CODER,
    rule="diagnosis-limit",
    carc=("16",),
    rarc=("M76",),
    fails=lambda: claim(line(pointers=(1, 1))),
    passes=claim,
)
def at_most_four_pointers(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        pointers = item.facts.pointers
        if len(pointers) > 4 or len(set(pointers)) < len(pointers):
            yield Hit(
                f"Pointers {', '.join(map(str, pointers))}: up to four, each once.",
                line=item.number,
            )


@edit(
    "FMT-007",
    BLOCK,
    "The claim has no line, or more than fifty.",
    field="lines",
    fix="Split the claim or add its lines.",
    owner=Owner.BILLER,
    rule="claim-total",
    carc=("16",),
    fails=lambda: replace(claim(), lines=(), total=Decimal(0)),
    passes=claim,
    overridable=False,
)
def one_to_fifty_lines(s: Subject) -> Iterator[Hit]:
    if not 1 <= len(s.lines) <= 50:
        yield Hit(f"The claim has {len(s.lines)} lines; it needs 1 to 50.")


@edit(
    "FMT-008",
    BLOCK,
    "A text holds a character that X12 uses as a separator.",
    field="patient_last",
    fix="Take the character out (the repair does it).",
    owner=Owner.BILLER,
    rule="plain-text",
    carc=("16",),
    fails=lambda: claim(patient_last="DOE*"),
    passes=claim,
)
def no_separators_in_data(s: Subject) -> Iterator[Hit]:
    for name in TEXT_FIELDS:
        value = getattr(s.claim, name)
        if value and unprintable(value):
            yield Hit(f"'{value}' holds a separator or a character outside the basic set.", name)
    for name in ADDRESS_FIELDS:
        address: Address = getattr(s.claim, name)
        for part in ("line1", "line2", "city"):
            value = getattr(address, part)
            if value and unprintable(value):
                yield Hit(
                    f"'{value}' holds a separator or a character outside the basic set.",
                    f"{name}.{part}",
                )
    for item in s.lines:
        for name in ("description", "control_number", "auth_number"):
            value = getattr(item.facts, name)
            if value and unprintable(value):
                yield Hit(
                    f"'{value}' holds a separator or a character outside the basic set.",
                    f"lines.{name}",
                    item.number,
                )


TEXT_FIELDS = (
    "claim_id",
    "payer_icn",
    "payer_name",
    "patient_last",
    "patient_first",
    "member_id",
    "group_number",
    "subscriber_last",
    "subscriber_first",
    "billing_name",
    "ordering_name",
    "prior_auth_number",
    "referral_number",
    "attachment_control",
    "note",
)
ADDRESS_FIELDS = ("patient_address", "subscriber_address", "billing_address", "facility_address")


def unprintable(value: str) -> bool:
    """True when the text cannot travel in X12: a separator, a control or a non-ASCII character."""
    return not SEPARATORS.isdisjoint(value) or not value.isascii() or not value.isprintable()


@edit(
    "FMT-009",
    BLOCK,
    "The billing provider's ZIP has not nine digits.",
    field="billing_address.zip",
    fix="Use ZIP+4.",
    owner=Owner.ADMIN,
    rule="billing-provider",
    carc=("16",),
    rarc=("N256",),
    fails=lambda: claim(billing_address=replace(SITE, zip="95128")),
    passes=claim,
)
def billing_zip_has_nine_digits(s: Subject) -> Iterator[Hit]:
    digits = s.claim.billing_address.zip.replace("-", "")
    if not (len(digits) == 9 and digits.isdigit()):
        yield Hit(f"The billing ZIP '{s.claim.billing_address.zip}' needs nine digits.")
    elif digits.endswith("0000"):
        yield Hit(
            f"The billing ZIP '{s.claim.billing_address.zip}' ends in 0000, which is no ZIP+4 of the"
            " postal service: use the four digits of the street address."
        )


@edit(
    "FMT-010",
    BLOCK,
    "The billing provider's address is a post-office box.",
    field="billing_address.line1",
    fix="Use the street address; a box belongs in the pay-to address.",
    owner=Owner.ADMIN,
    rule="billing-provider",
    carc=("16",),
    rarc=("N256",),
    fails=lambda: claim(billing_address=replace(SITE, line1="P.O. BOX 12")),
    passes=claim,
)
def billing_address_is_a_street(s: Subject) -> Iterator[Hit]:
    squeezed = "".join(ch for ch in s.claim.billing_address.line1.upper() if ch.isalnum())
    if squeezed.startswith(("POBOX", "POSTOFFICEBOX", "BOX")):
        yield Hit(f"'{s.claim.billing_address.line1}' is a post-office box.")


@edit(
    "FMT-011",
    BLOCK,
    "The billing provider's name or address is incomplete.",
    field="billing_address",
    fix="Complete name, street, city, state and ZIP.",
    owner=Owner.ADMIN,
    rule="billing-provider",
    carc=("16",),
    rarc=("N256",),
    fails=lambda: claim(billing_address=replace(SITE, city="")),
    passes=claim,
)
def billing_address_is_complete(s: Subject) -> Iterator[Hit]:
    gaps = _gaps(s.claim.billing_address)
    if not s.claim.billing_name:
        gaps.insert(0, "name")
    if gaps:
        yield Hit(f"The billing provider has no usable {', '.join(gaps)}.")


@edit(
    "FMT-012",
    BLOCK,
    "The subscriber's address is incomplete.",
    field="subscriber_address",
    fix="Complete street, city, state and ZIP.",
    owner=Owner.FRONT_DESK,
    rule="member-number",
    carc=("16",),
    rarc=("MA61",),
    fails=lambda: claim(subscriber_address=Address()),
    passes=claim,
)
def subscriber_address_is_complete(s: Subject) -> Iterator[Hit]:
    gaps = _gaps(s.claim.subscriber_address)
    if gaps:
        yield Hit(f"The subscriber has no usable {', '.join(gaps)}.")


@edit(
    "FMT-013",
    BLOCK,
    "An amount is negative, too large or has parts of a cent.",
    field="lines.charge",
    fix="Correct the charge.",
    owner=Owner.BILLER,
    rule="claim-total",
    carc=("16",),
    rarc=("M79",),
    fails=lambda: claim(line(charge=Decimal("850.005"))),
    passes=claim,
)
def charges_are_whole_cents(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        charge = item.facts.charge
        if charge < 0 or charge > MAX_AMOUNT or charge != charge.quantize(Decimal("0.01")):
            yield Hit(f"The charge {charge} is not an amount a claim can carry.", line=item.number)


@edit(
    "FMT-014",
    WARN,
    "A line has no charge.",
    field="lines.charge",
    fix="Set the charge, or keep it if the payer wants the line for information.",
    owner=Owner.BILLER,
    rule="claim-total",
    carc=("16",),
    rarc=("M79",),
    fails=lambda: claim(line(), line("A9585", charge=Decimal(0), units=Decimal(80))),
    passes=claim,
)
def charges_are_not_zero(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if item.facts.charge == 0:
            yield Hit(f"{item.code} is billed at zero.", line=item.number)


@edit(
    "FMT-015",
    BLOCK,
    "The units are not positive.",
    field="lines.units",
    fix="Correct the units.",
    owner=Owner.CODER,
    rule="units-positive",
    carc=("16",),
    rarc=("M53",),
    fails=lambda: claim(line(units=Decimal(0))),
    passes=claim,
)
def units_are_positive(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        units = item.facts.units
        if units <= 0 or units > 99_999 or units != units.quantize(Decimal("0.001")):
            yield Hit(f"{units} units cannot be billed.", line=item.number)


@edit(
    "FMT-016",
    BLOCK,
    "The claim number is missing or longer than payers return.",
    field="claim_id",
    fix="Give a number of 1 to 20 characters.",
    owner=Owner.ADMIN,
    rule="control-numbers",
    carc=("16",),
    fails=lambda: claim(claim_id="X" * 21),
    passes=claim,
)
def claim_number_comes_back(s: Subject) -> Iterator[Hit]:
    if not 1 <= len(s.claim.claim_id) <= 20:
        yield Hit(
            f"The claim number has {len(s.claim.claim_id)} characters; payers return up to 20."
        )


@edit(
    "FMT-017",
    BLOCK,
    "The subscriber is the patient but has no birth date or sex.",
    field="subscriber_dob",
    fix="Complete birth date and sex.",
    owner=Owner.FRONT_DESK,
    rule="member-number",
    carc=("16",),
    rarc=("N329",),
    fails=lambda: claim(subscriber_dob=None),
    passes=claim,
)
def subscriber_is_described(s: Subject) -> Iterator[Hit]:
    if s.claim.relationship != "18":
        return
    if s.claim.subscriber_dob is None:
        yield Hit("The subscriber is the patient and has no birth date.")
    if s.claim.subscriber_sex not in ("F", "M", "U"):
        yield Hit("The subscriber is the patient and has no sex.", "subscriber_sex")


@edit(
    "FMT-018",
    BLOCK,
    "A service date is missing, in the future, or ends before it begins.",
    field="lines.service_date",
    fix="Correct the service date.",
    owner=Owner.CODER,
    rule="claim-dates",
    carc=("16", "110"),
    rarc=("M52",),
    fails=lambda: claim(line(service_date=AS_OF + timedelta(days=1))),
    passes=claim,
    overridable=False,
)
def service_dates_make_sense(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if item.day is None:
            yield Hit("The line has no service date.", line=item.number)
            continue
        end = item.facts.service_date_to or item.day
        if end < item.day:
            yield Hit(f"The service ends {end}, before it begins {item.day}.", line=item.number)
        if max(item.day, end) > s.as_of:
            yield Hit(f"The service date {max(item.day, end)} is in the future.", line=item.number)


@edit(
    "FMT-019",
    BLOCK,
    "The birth date is missing or after the service.",
    field="patient_dob",
    fix="Correct the birth date.",
    owner=Owner.FRONT_DESK,
    rule="claim-dates",
    carc=("14", "16"),
    rarc=("N329",),
    fails=lambda: claim(patient_dob=DOS + timedelta(days=1)),
    passes=claim,
)
def birth_date_makes_sense(s: Subject) -> Iterator[Hit]:
    born = s.claim.patient_dob
    if born is None:
        yield Hit("The patient has no birth date.")
    elif s.first_day is not None and born > s.first_day:
        yield Hit(f"The patient is born {born}, after the service on {s.first_day}.")
    elif s.first_day is not None and s.first_day.year - born.year > 120:
        yield Hit(f"Born {born}: the patient would be older than 120.")


@edit(
    "FMT-020",
    WARN,
    "A line control number is missing or used twice.",
    field="lines.control_number",
    fix="Give each line its own number; the remittance is matched by it.",
    owner=Owner.ADMIN,
    rule="control-numbers",
    fails=lambda: claim(line(control_number="A"), line("71046", control_number="A")),
    passes=claim,
)
def line_numbers_are_unique(s: Subject) -> Iterator[Hit]:
    seen: set[str] = set()
    for item in s.lines:
        number = item.facts.control_number
        if not number or number in seen or len(number) > 30:
            yield Hit(
                "The line needs a control number of its own, up to 30 characters.", line=item.number
            )
        seen.add(number)


@edit(
    "FMT-021",
    BLOCK,
    "A name is missing.",
    field="patient_last",
    fix="Complete the name as on the card.",
    owner=Owner.FRONT_DESK,
    rule="plain-text",
    carc=("16", "31"),
    rarc=("MA36",),
    fails=lambda: claim(patient_last=""),
    passes=claim,
)
def people_have_names(s: Subject) -> Iterator[Hit]:
    if not s.claim.patient_last:
        yield Hit("The patient has no last name.")
    if not s.claim.subscriber_last:
        yield Hit("The subscriber has no last name.", "subscriber_last")


@edit(
    "FMT-022",
    WARN,
    "A name holds digits.",
    field="patient_last",
    fix="Compare the name with the card.",
    owner=Owner.FRONT_DESK,
    rule="plain-text",
    carc=("31",),
    fails=lambda: claim(patient_last="D0E"),
    passes=claim,
)
def names_are_letters(s: Subject) -> Iterator[Hit]:
    for name in ("patient_last", "patient_first", "subscriber_last", "subscriber_first"):
        value = getattr(s.claim, name)
        if value and not value.isalpha() and any(ch.isdigit() for ch in value):
            yield Hit(f"The name '{value}' holds digits.", name)


@edit(
    "FMT-023",
    BLOCK,
    "A diagnosis is written with a dot, a space or lower case.",
    field="diagnoses",
    fix="Write the code without dot (the repair does it).",
    owner=Owner.BILLER,
    rule="diagnosis-limit",
    carc=("16", "146"),
    rarc=("M76",),
    fails=lambda: claim(diagnoses=("M54.16",)),
    passes=claim,
)
def diagnoses_are_plain(s: Subject) -> Iterator[Hit]:
    for code in s.claim.diagnoses:
        if not (code.isalnum() and code.isascii() and code == code.upper()):
            yield Hit(f"Diagnosis '{code}' must be plain capital letters and digits.")


@edit(
    "FMT-024",
    BLOCK,
    "A state or ZIP is not in its form.",
    field="patient_address",
    fix="Use the two-letter state and five or nine digits.",
    owner=Owner.FRONT_DESK,
    rule="plain-text",
    carc=("16",),
    fails=lambda: claim(patient_address=replace(HOME, state="Calif")),
    passes=claim,
)
def states_and_zips_have_their_form(s: Subject) -> Iterator[Hit]:
    for name in ADDRESS_FIELDS:
        address: Address = getattr(s.claim, name)
        if address.state and not (
            len(address.state) == 2 and address.state.isalpha() and address.state.isupper()
        ):
            yield Hit(f"State '{address.state}' is not two capital letters.", f"{name}.state")
        if address.zip and not (address.zip.isdigit() and len(address.zip) in (5, 9)):
            yield Hit(f"ZIP '{address.zip}' is not five or nine digits.", f"{name}.zip")


@edit(
    "FMT-025",
    BLOCK,
    "An accident is named without its date or state.",
    field="accident_date",
    fix="Give the accident date, and for a car accident the state.",
    owner=Owner.FRONT_DESK,
    rule="accident",
    carc=("16", "20"),
    rarc=("MA08",),
    fails=lambda: claim(related_cause="AA", accident_date=date(2026, 10, 1)),
    passes=lambda: claim(related_cause="AA", accident_date=date(2026, 10, 1), accident_state="CA"),
)
def accidents_have_date_and_state(s: Subject) -> Iterator[Hit]:
    cause = s.claim.related_cause
    if not cause:
        return
    if cause not in ("AA", "EM", "OA"):
        yield Hit(f"Related cause '{cause}' is not AA, EM or OA.", "related_cause")
    elif s.claim.accident_date is None:
        yield Hit(f"Related cause {cause} needs the accident date.")
    elif cause == "AA" and not s.claim.accident_state:
        yield Hit("A car accident needs its state.", "accident_state")


@edit(
    "FMT-026",
    BLOCK,
    "Assignment, benefits or release is not one of its values.",
    field="accept_assignment",
    fix="Choose the value from the patient's signatures.",
    owner=Owner.FRONT_DESK,
    rule="signatures-on-file",
    carc=("16",),
    fails=lambda: claim(release_of_information="N"),
    passes=claim,
)
def signatures_have_values(s: Subject) -> Iterator[Hit]:
    for name, allowed in (
        ("accept_assignment", "ABC"),
        ("benefits_assigned", "YNW"),
        ("release_of_information", "YI"),
    ):
        value = getattr(s.claim, name)
        if len(value) != 1 or value not in allowed:
            yield Hit(
                f"{name.replace('_', ' ').capitalize()} '{value}' is not one of"
                f" {', '.join(allowed)}.",
                name,
            )


@edit(
    "FMT-027",
    BLOCK,
    "A drug code (NDC) is not in its form.",
    field="lines.ndc",
    fix="Give eleven digits (5-4-2, no dashes), a unit and a quantity.",
    owner=Owner.CODER,
    rule="drug-ndc",
    carc=("16",),
    rarc=("M119",),
    fails=lambda: claim(line(), line("A9585", units=Decimal(80), ndc="50419-325-02")),
    passes=lambda: claim(
        line(contrast_given="no"),
        line("A9585", units=Decimal(80), ndc="50419032502", ndc_unit="ML", ndc_quantity=Decimal(8)),
    ),
)
def drug_codes_have_their_form(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        facts = item.facts
        if not facts.ndc:
            continue
        if not (len(facts.ndc) == 11 and facts.ndc.isdigit()):
            yield Hit(f"NDC '{facts.ndc}' is not eleven digits.", line=item.number)
        elif (
            facts.ndc_unit not in ("ML", "GR", "UN", "ME", "F2")
            or not facts.ndc_quantity
            or facts.ndc_quantity <= 0
        ):
            yield Hit("The NDC needs a unit (ML, GR, UN, ME, F2) and a quantity.", line=item.number)


@edit(
    "FMT-028",
    BLOCK,
    "The attachment the payer asks for has no control number.",
    field="attachment_control",
    fix="Send the report as attachment and put its control number in PWK.",
    owner=Owner.BILLER,
    rule="attachment-number",
    carc=("252",),
    rarc=("M127",),
    fails=lambda: claim(attachment_required=True),
    passes=lambda: claim(attachment_required=True, attachment_control="ATT1"),
)
def attachments_are_numbered(s: Subject) -> Iterator[Hit]:
    if s.claim.attachment_required and not s.claim.attachment_control:
        yield Hit("An attachment is required and has no control number.")


@edit(
    "FMT-029",
    BLOCK,
    "A procedure code is not five capital letters and digits.",
    field="lines.code",
    fix="Correct the code.",
    owner=Owner.CODER,
    rule="plain-text",
    carc=("16", "181"),
    rarc=("M51",),
    fails=lambda: claim(line("7214")),
    passes=claim,
)
def codes_have_their_form(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        code = item.code
        if not (len(code) == 5 and code.isascii() and code.isalnum() and code == code.upper()):
            yield Hit(f"'{code}' is not a procedure code of five characters.", line=item.number)


def _gaps(address: Address) -> list[str]:
    names = {"line1": "street", "city": "city", "state": "state", "zip": "ZIP"}
    return [words for part, words in names.items() if not getattr(address, part)]
