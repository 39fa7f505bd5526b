"""Identity: providers, tax numbers, members, payers."""

from __future__ import annotations

from collections.abc import Iterator

from claims.edits.examples import BILLING, READER, claim, line, mammogram
from claims.edits.facts import Address
from claims.edits.registry import BLOCK, WARN, Hit, Owner, edit
from claims.edits.subject import Subject, luhn_npi
from rcm.pricing.forms import is_supply


@edit(
    "IDN-001",
    BLOCK,
    "The billing NPI is missing or fails its check digit.",
    field="billing_npi",
    fix="Correct the NPI in the organization's settings.",
    owner=Owner.ADMIN,
    rule="npi-check-digit",
    carc=("16",),
    rarc=("N257",),
    fails=lambda: claim(billing_npi="1234567890"),
    passes=claim,
    overridable=False,
)
def billing_npi_checks(s: Subject) -> Iterator[Hit]:
    if not luhn_npi(s.claim.billing_npi):
        yield Hit(f"The billing NPI '{s.claim.billing_npi}' is not valid.")


@edit(
    "IDN-002",
    BLOCK,
    "The rendering NPI is missing or fails its check digit.",
    field="rendering_npi",
    fix="Take the NPI of the signer of the report.",
    owner=Owner.BILLER,
    rule="npi-check-digit",
    carc=("16",),
    rarc=("N290",),
    fails=lambda: claim(rendering_npi=""),
    passes=claim,
    overridable=False,
)
def rendering_npi_checks(s: Subject) -> Iterator[Hit]:
    # somebody else reads and bills it: what is left was done by the billing provider, and no reader
    # is named
    technical = all("TC" in item.facts.modifiers or is_supply(item.code) for item in s.lines)
    for item in s.lines:
        npi = item.facts.rendering_npi or s.claim.rendering_npi
        if not npi and technical:
            continue
        if not luhn_npi(npi):
            yield Hit(f"The rendering NPI '{npi}' is not valid.", line=item.number)


@edit(
    "IDN-003",
    BLOCK,
    "The ordering provider is missing or its NPI fails its check digit.",
    field="ordering_npi",
    fix="Complete the ordering provider from the signed order.",
    owner=Owner.FRONT_DESK,
    rule="order-required",
    carc=("16",),
    rarc=("N264", "N265"),
    fails=lambda: claim(ordering_npi=""),
    passes=lambda: mammogram(ordering_npi=""),
)
def ordering_provider_is_named(s: Subject) -> Iterator[Hit]:
    free = s.group("no_order_needed")
    for item in s.lines:
        npi = item.facts.ordering_npi or s.claim.ordering_npi
        if npi and not luhn_npi(npi):
            yield Hit(f"The ordering NPI '{npi}' is not valid.", line=item.number)
        elif not npi and item.code not in free:
            yield Hit(f"{item.code} has no ordering provider.", line=item.number)


@edit(
    "IDN-004",
    BLOCK,
    "The service facility's NPI fails its check digit.",
    field="facility_npi",
    fix="Correct the NPI in the site's settings.",
    owner=Owner.ADMIN,
    rule="npi-check-digit",
    carc=("16",),
    rarc=("N293",),
    fails=lambda: claim(facility_npi="1993999997"),
    passes=claim,
)
def facility_npi_checks(s: Subject) -> Iterator[Hit]:
    if s.claim.facility_npi and not luhn_npi(s.claim.facility_npi):
        yield Hit(f"The facility NPI '{s.claim.facility_npi}' is not valid.")


@edit(
    "IDN-005",
    BLOCK,
    "The service facility has no complete address.",
    field="facility_address",
    fix="Complete the site's address.",
    owner=Owner.ADMIN,
    rule="service-facility",
    carc=("16",),
    rarc=("MA114", "N294"),
    fails=lambda: claim(facility_address=Address("22 RADIOLOGY WAY")),
    passes=claim,
)
def facility_has_an_address(s: Subject) -> Iterator[Hit]:
    address = s.claim.facility_address
    if s.claim.facility_npi and not (
        address.line1 and address.city and address.state and address.zip
    ):
        yield Hit(
            "The service facility needs street, city, state and ZIP: the ZIP decides the payment"
            " locality."
        )


@edit(
    "IDN-006",
    BLOCK,
    "Another provider's NPI fails its check digit.",
    field="supervising_npi",
    fix="Correct the NPI.",
    owner=Owner.BILLER,
    rule="npi-check-digit",
    carc=("16",),
    rarc=("N297",),
    fails=lambda: claim(supervising_npi="1111111111"),
    passes=claim,
)
def other_npis_check(s: Subject) -> Iterator[Hit]:
    if s.claim.supervising_npi and not luhn_npi(s.claim.supervising_npi):
        yield Hit(f"The supervising NPI '{s.claim.supervising_npi}' is not valid.")
    for item in s.lines:
        if item.facts.purchased_npi and not luhn_npi(item.facts.purchased_npi):
            yield Hit(
                f"The performing supplier's NPI '{item.facts.purchased_npi}' is not valid.",
                "lines.purchased_npi",
                item.number,
            )


@edit(
    "IDN-007",
    BLOCK,
    "The tax number is not nine digits.",
    field="billing_tin",
    fix="Correct the tax number in the organization's settings.",
    owner=Owner.ADMIN,
    rule="billing-provider",
    carc=("16",),
    rarc=("N255",),
    fails=lambda: claim(billing_tin="94-1234567"),
    passes=claim,
)
def tax_number_is_nine_digits(s: Subject) -> Iterator[Hit]:
    if (
        not (len(s.claim.billing_tin) == 9 and s.claim.billing_tin.isdigit())
        or len(set(s.claim.billing_tin)) == 1
    ):
        yield Hit(f"The tax number '{s.claim.billing_tin}' is not nine digits.")


@edit(
    "IDN-008",
    BLOCK,
    "A taxonomy code is not in its form.",
    field="billing_taxonomy",
    fix="Use the ten-character code that the payer enrolled.",
    owner=Owner.CREDENTIALING,
    rule="provider-taxonomy",
    carc=("16",),
    rarc=("N255",),
    fails=lambda: claim(billing_taxonomy="261QR02"),
    passes=claim,
)
def taxonomy_has_its_form(s: Subject) -> Iterator[Hit]:
    for name in ("billing_taxonomy", "rendering_taxonomy"):
        code = getattr(s.claim, name)
        if code and not (
            len(code) == 10
            and code.isalnum()
            and code.isupper()
            and code.endswith("X")
            and code[:3].isalnum()
        ):
            yield Hit(f"Taxonomy '{code}' is not ten characters ending in X.", name)


@edit(
    "IDN-009",
    WARN,
    "A taxonomy code is not in the loaded list.",
    field="billing_taxonomy",
    fix="Compare it with the enrollment.",
    owner=Owner.CREDENTIALING,
    rule="provider-taxonomy",
    carc=("16",),
    rarc=("N255",),
    tables=("taxonomies",),
    fails=lambda: claim(billing_taxonomy="999999999X"),
    passes=claim,
)
def taxonomy_is_listed(s: Subject) -> Iterator[Hit]:
    assert s.ref.taxonomies is not None
    for name in ("billing_taxonomy", "rendering_taxonomy"):
        code = getattr(s.claim, name)
        if code and code not in s.ref.taxonomies:
            yield Hit(f"Taxonomy '{code}' is not in the loaded list.", name)


@edit(
    "IDN-010",
    BLOCK,
    "The member number is missing or has not the payer's form.",
    field="member_id",
    fix="Copy the number from the card, then verify eligibility again.",
    owner=Owner.FRONT_DESK,
    rule="member-number",
    carc=("31", "16"),
    rarc=("N382",),
    fails=lambda: claim(member_id="123"),
    passes=claim,
)
def member_number_has_its_form(s: Subject) -> Iterator[Hit]:
    number = s.claim.member_id
    if not number:
        yield Hit("The member number is missing.")
    elif s.payer.member_id_mask and not any(
        fits_mask(number, mask) for mask in s.payer.member_id_mask.split("|")
    ):
        yield Hit(
            f"Member number '{number}' has not the form {s.payer.member_id_mask} of this payer."
        )


def fits_mask(value: str, mask: str) -> bool:
    """A letter, 9 digit, X either, a closing * for any rest, other characters themselves; no
    pattern language.
    """
    if mask.endswith("*"):
        mask = mask[:-1]
        if len(value) < len(mask):
            return False
        value = value[: len(mask)]
    if len(value) != len(mask):
        return False
    return all(
        (
            char.isalpha()
            if want == "A"
            else char.isdigit()
            if want == "9"
            else char.isalnum()
            if want == "X"
            else char == want
        )
        for char, want in zip(value.upper(), mask, strict=True)
    )


@edit(
    "IDN-011",
    BLOCK,
    "The payer is not named.",
    field="payer_id",
    fix="Choose the payer with its electronic number.",
    owner=Owner.FRONT_DESK,
    rule="payer-named",
    carc=("109",),
    fails=lambda: claim(payer_id=""),
    passes=claim,
    overridable=False,
)
def payer_is_named(s: Subject) -> Iterator[Hit]:
    if not s.claim.payer_id:
        yield Hit("The claim has no payer number.")


@edit(
    "IDN-012",
    WARN,
    "The rendering provider ordered the exam.",
    field="ordering_npi",
    fix="Check the order: a reader seldom orders.",
    owner=Owner.CODER,
    rule="rendering-provider",
    carc=("16",),
    rarc=("N264",),
    fails=lambda: claim(ordering_npi=READER),
    passes=claim,
)
def reader_is_not_the_orderer(s: Subject) -> Iterator[Hit]:
    if s.claim.ordering_npi and s.claim.ordering_npi == s.claim.rendering_npi:
        yield Hit("Rendering and ordering provider are the same person.")


@edit(
    "IDN-013",
    BLOCK,
    "The ordering provider is an organization of ours.",
    field="ordering_npi",
    fix="Name the person who ordered.",
    owner=Owner.FRONT_DESK,
    rule="order-required",
    carc=("16",),
    rarc=("N264",),
    fails=lambda: claim(ordering_npi=BILLING),
    passes=claim,
)
def orderer_is_a_person(s: Subject) -> Iterator[Hit]:
    if s.claim.ordering_npi and s.claim.ordering_npi in (s.claim.billing_npi, s.claim.facility_npi):
        yield Hit("The ordering NPI is our billing or site NPI; it must be a person's.")


@edit(
    "IDN-014",
    BLOCK,
    "The patient is not the subscriber and a needed fact is missing.",
    field="subscriber_last",
    fix="Complete the patient's address and birth date and the subscriber's name.",
    owner=Owner.FRONT_DESK,
    rule="dependent-patient",
    carc=("16",),
    rarc=("MA61",),
    fails=lambda: claim(relationship="19", patient_address=Address()),
    passes=lambda: claim(relationship="19"),
)
def dependents_are_described(s: Subject) -> Iterator[Hit]:
    if s.claim.relationship == "18":
        return
    if s.claim.relationship not in ("01", "19", "20", "21", "39", "40", "53", "G8"):
        yield Hit(f"Relationship '{s.claim.relationship}' is not known.", "relationship")
    if not (s.claim.patient_address.line1 and s.claim.patient_address.zip):
        yield Hit("A patient who is not the subscriber needs an address.", "patient_address")
    if s.claim.patient_sex not in ("F", "M", "U"):
        yield Hit("A patient who is not the subscriber needs a sex.", "patient_sex")


@edit(
    "IDN-015",
    WARN,
    "The rendering provider has no taxonomy.",
    field="rendering_taxonomy",
    fix="Add the taxonomy the payer enrolled; some payers reject without it.",
    owner=Owner.CREDENTIALING,
    rule="rendering-provider",
    carc=("16",),
    rarc=("N255",),
    fails=lambda: claim(rendering_taxonomy=""),
    passes=lambda: claim(line("72148", "TC"), rendering_taxonomy=""),
)
def reader_has_a_taxonomy(s: Subject) -> Iterator[Hit]:
    reads = any(item.component != "TC" for item in s.lines)
    if reads and not s.claim.rendering_taxonomy and s.claim.rendering_npi != s.claim.billing_npi:
        needed = s.payer.requires_rendering_taxonomy
        yield Hit(
            "The rendering provider has no taxonomy"
            + (", which this payer requires." if needed else "."),
            severity=BLOCK if needed else None,
        )
