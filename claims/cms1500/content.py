"""What stands in each box of the CMS-1500: the claim as it goes on the wire (`x12_837p`), in the
places of the paper form.

Where the paper asks for more than the wire tells (the insured's address, another plan's name), it
comes from the same records. Medicare reads boxes 4, 7, 9 and 11 in its own way (Medicare Claims
Processing Manual, chapter 26, section 10).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from claims.cms1500.grid import LINES
from claims.edits.facts import Address
from claims.facts import Sheet
from claims.x12_837p import SELF, claim_of
from intake.models import Coverage
from rcm.x12.model import Claim, Party, ServiceLine

LETTERS = "ABCDEFGHIJKL"
ON_FILE = "SIGNATURE ON FILE"
KINDS: Mapping[str, str] = {
    "medicare_b": "medicare",
    "medicaid_ffs": "medicaid",
    "medicaid_mco": "medicaid",
    "tricare": "tricare",
    "commercial": "group",
    "erisa": "group",
}
MEDICAID = frozenset({"medicaid_ffs", "medicaid_mco"})
RELATIONS: Mapping[str, str] = {SELF: "self", "01": "spouse", "19": "child"}
ACCIDENT, ONSET, COMP_NUMBER, TAXONOMY = "439", "431", "Y4", "ZZ"
"""Qualifiers of boxes 15, 14, 11b and of a taxonomy in 24I, 32b and 33b."""

ABOVE, BELOW = 23, 48
"""Characters of the two rows of box 19."""

Boxes = dict[str, str]


@dataclass(frozen=True, slots=True)
class Service:
    """One of the six rows of a sheet: its boxes without the row."""

    boxes: Boxes


@dataclass(frozen=True, slots=True)
class Page:
    """One sheet of paper."""

    boxes: Boxes
    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True)
class Insured:
    """Whose policy boxes 4, 7 and 11 describe."""

    name: str
    born: date | None
    sex: str
    policy: str
    plan: str
    is_patient: bool


def pages(sheet: Sheet) -> list[Page]:
    """The claim on as many sheets as its lines need. The head stands on each; total and payments on
    the last.
    """
    wire = claim_of(sheet)
    head = _head(sheet, wire)
    groups = [wire.lines[n : n + LINES] for n in range(0, max(len(wire.lines), 1), LINES)]
    found = []
    for number, group in enumerate(groups, start=1):
        last = number == len(groups)
        money = _totals(sheet, wire) if last else {"28.continued": "CONTINUED"}
        services = tuple(Service(_service(sheet, wire, line)) for line in group)
        found.append(Page(_kept(head | money), services))
    return found


def left_out(sheet: Sheet) -> list[str]:
    """What the claim says and paper has no room for, in sentences."""
    wire = claim_of(sheet)
    found = [
        f"Line {n} has authorization {line.authorization} of its own: paper takes one number."
        for n, line in enumerate(wire.lines, start=1)
        if line.authorization
    ]
    if wire.authorization and wire.referral:
        found.append("Box 23 shows the authorization; the referral number has no box.")
    bought = {line.purchased.provider_id for line in wire.lines if line.purchased}
    if len(bought) > 1:
        found.append("Services are bought from more than one provider: paper names none of them.")
    if wire.other_payers:
        found.append("The earlier payer's decision by line has no box: attach its explanation.")
    return found


def _kept(boxes: Boxes) -> Boxes:
    return {name: text for name, text in boxes.items() if text}


# --- the upper half: who ---------------------------------------------------------------------------


def _head(sheet: Sheet, wire: Claim) -> Boxes:
    return (
        _payer(sheet)
        | _patient(sheet, wire)
        | _insured(sheet, wire)
        | _other_insured(sheet)
        | _causes(sheet, wire)
        | _sender(wire)
        | _references(sheet, wire)
        | _providers(sheet, wire)
    )


def _payer(sheet: Sheet) -> Boxes:
    payer = sheet.claim.payer
    complete = payer.city and payer.state
    return {
        "payer.name": payer.name,
        "payer.street": payer.address,
        "payer.city": f"{payer.city} {payer.state} {_zip(payer.zip)}" if complete else "",
        f"1.{KINDS.get(sheet.facts.product, 'other')}": "X",
        "1a": sheet.facts.member_id,
    }


def _patient(sheet: Sheet, wire: Claim) -> Boxes:
    facts, who = sheet.facts, wire.who_is_patient
    home = facts.patient_address
    phone = sheet.claim.patient.phone
    return {
        "2": _person(who.name, who.first),
        **_date("3", facts.patient_dob, year=4),
        **_sex("3", facts.patient_sex),
        "5.street": home.line1,
        "5.city": home.city,
        "5.state": home.state,
        "5.zip": _zip(home.zip),
        "5.area": phone[:3],
        "5.phone": phone[3:],
        f"6.{RELATIONS.get(facts.relationship, 'other')}": "X",
    }


def _insured(sheet: Sheet, wire: Claim) -> Boxes:
    """Boxes 4, 7 and 11: the policy that is billed; to Medicare the policy that paid before it, and
    NONE where Medicare is first.
    """
    facts = sheet.facts
    before = _before(sheet)
    if facts.product == "medicare_b":
        if not before:
            return {"11": "NONE"}
        policy = _policy(sheet, before[0])
        own = _place("7", Address(line1="SAME") if policy.is_patient else facts.subscriber_address)
        name = "SAME" if policy.is_patient else policy.name
        born = {} if policy.is_patient else _born(policy)
        return {"4": name, **own, "11": policy.policy, **born, "11c": policy.plan}
    coverage = sheet.claim.coverage
    policy = Insured(
        _person(wire.subscriber.name, wire.subscriber.first),
        facts.subscriber_dob,
        facts.subscriber_sex,
        facts.group_number,
        coverage.plan.name if coverage.plan else facts.payer_name,
        facts.relationship == SELF,
    )
    number = facts.accident_claim_number
    other = bool(_others(sheet))
    return {
        "4": policy.name,
        **_place("7", facts.subscriber_address),
        "11": policy.policy,
        **_born(policy),
        "11b.qualifier": COMP_NUMBER if number else "",
        "11b": number,
        "11c": policy.plan,
        f"11d.{'yes' if other else 'no'}": "X",
    }


def _other_insured(sheet: Sheet) -> Boxes:
    """Box 9: the other policy, on a claim to a later payer the one that has decided. Medicare takes
    only a supplement here, and has the earlier policy in box 11.
    """
    others = _others(sheet)
    if not others or sheet.facts.product == "medicare_b":
        return {}
    policy = _policy(sheet, others[0])
    return {"9": policy.name, "9a": policy.policy, "9d": policy.plan}


def _before(sheet: Sheet) -> list[Coverage]:
    """The coverages that have decided, in their order."""
    told = {row["coverage_id"] for row in sheet.claim.extra.get("cob", ())}
    return [c for c in sheet.others if c.pk in told]


def _others(sheet: Sheet) -> list[Coverage]:
    """Other policies, the ones that have decided first."""
    before = _before(sheet)
    return before + [c for c in sheet.others if c not in before]


def _policy(sheet: Sheet, coverage: Coverage) -> Insured:
    facts = sheet.facts
    own = coverage.relationship == SELF
    last, first = coverage.subscriber_last_name, coverage.subscriber_first_name
    return Insured(
        _person(facts.patient_last, facts.patient_first) if own else _person(last, first),
        facts.patient_dob if own else coverage.subscriber_born_on,
        facts.patient_sex if own else coverage.subscriber_sex,
        coverage.group_number or coverage.member_id,
        coverage.plan.name if coverage.plan else coverage.payer.name,
        own,
    )


def _born(policy: Insured) -> Boxes:
    return _date("11a", policy.born, year=4) | _sex("11a", policy.sex)


def _causes(sheet: Sheet, wire: Claim) -> Boxes:
    """Boxes 10, 14 and 15. The day of an accident stands in 15 with its qualifier, as on the wire;
    Medicare leaves 15 empty and takes the day in 14.
    """
    causes = set(wire.related_causes)
    boxes = {
        f"10a.{'yes' if 'EM' in causes else 'no'}": "X",
        f"10b.{'yes' if 'AA' in causes else 'no'}": "X",
        "10b.state": wire.accident_state,
        f"10c.{'yes' if 'OA' in causes else 'no'}": "X",
    }
    if wire.accident_date is None:
        return boxes
    box, code = ("14", ONSET) if sheet.facts.product == "medicare_b" else ("15", ACCIDENT)
    return boxes | _date(box, wire.accident_date) | {f"{box}.qualifier": code}


# --- the middle: what for ---------------------------------------------------------------------------


def _sender(wire: Claim) -> Boxes:
    """Box 17: whoever the wire names, under the wire's qualifier."""
    ordering = next((line.ordering for line in wire.lines if line.ordering), None)
    for code, party in (("DN", wire.referring), ("DK", ordering), ("DQ", wire.supervising)):
        if party is not None:
            name = f"{party.first} {party.name}".strip()
            return {"17.qualifier": code, "17": name, "17b": party.id}
    return {}


def _references(sheet: Sheet, wire: Claim) -> Boxes:
    bought = sum((x.purchased.amount for x in wire.lines if x.purchased), Decimal(0))
    codes = {f"21.{LETTERS[n]}": d.code for n, d in enumerate(wire.diagnoses[: len(LETTERS)])}
    again = wire.frequency in ("7", "8")
    return {
        "12": ON_FILE if wire.release == "Y" else "",
        "13": ON_FILE if wire.benefits_assigned == "Y" else "",
        **_more(wire),
        f"20.{'yes' if bought else 'no'}": "X",
        **(_money("20", bought) if bought else {}),
        "21.version": "0" if codes else "",
        **codes,
        "22": wire.frequency if again else "",
        "22.number": wire.payer_control if again else "",
        "23": wire.authorization or wire.referral,
    }


def _more(wire: Claim) -> Boxes:
    """Box 19: papers that follow, then notes; what the lower row does not hold begins above it."""
    parts = [f"PWK{a.report_type}{a.transmission} {a.control}" for a in wire.attachments]
    parts += [note.text for note in wire.notes]
    text = "   ".join(parts)
    if len(text) <= BELOW:
        return {"19": text}
    cut = text.rfind(" ", 0, ABOVE + 1)
    cut = cut if cut > 0 else ABOVE
    return {"19.above": text[:cut].rstrip(), "19": text[cut:].lstrip()}


def _service(sheet: Sheet, wire: Claim, line: ServiceLine) -> Boxes:
    rendering = line.rendering or wire.rendering
    day = line.service_date
    names = ("24D.1", "24D.2", "24D.3", "24D.4")
    return _kept(
        {
            "24.more": _supplement(line),
            **_taxonomy(sheet, rendering),
            **_date("24A.from", day),
            **_date("24A.to", line.service_end or day),
            "24B": line.pos or wire.pos,
            "24C": "Y" if line.emergency else "",
            "24D": line.procedure.code,
            **dict(zip(names, line.procedure.modifiers, strict=False)),
            "24E": _pointed(sheet, line),
            **_money("24F", line.charge),
            "24G": f"{line.units.normalize():f}",
            "24J": rendering.id if rendering else "",
        }
    )


def _pointed(sheet: Sheet, line: ServiceLine) -> str:
    """The letters of the diagnoses; Medicare takes only the first."""
    letters = "".join(LETTERS[p - 1] for p in line.pointers if 1 <= p <= len(LETTERS))
    return letters[:1] if sheet.facts.product == "medicare_b" else letters


def _supplement(line: ServiceLine) -> str:
    """The shaded row: drug with unit and quantity, then the words of an unlisted code."""
    parts = []
    if line.drug is not None:
        drug = line.drug
        parts.append(f"N4{drug.ndc} {drug.unit}{drug.quantity.normalize():f}")
    if line.procedure.description:
        parts.append(f"ZZ{line.procedure.description}")
    return "   ".join(parts)


def _taxonomy(sheet: Sheet, who: Party | None) -> Boxes:
    """The reader's taxonomy in the shaded part of 24I and 24J: Medicaid programs ask for it."""
    if who is None or not who.taxonomy or sheet.facts.product not in MEDICAID:
        return {}
    return {"24I": TAXONOMY, "24J.more": who.taxonomy}


# --- the foot: how much, and who bills --------------------------------------------------------------


def _totals(sheet: Sheet, wire: Claim) -> Boxes:
    """Boxes 28 and 29. Medicare wants in 29 only what the patient paid."""
    paid = wire.patient_paid or Decimal(0)
    if sheet.facts.product != "medicare_b":
        paid += sum((o.paid for o in wire.other_payers if o.paid is not None), Decimal(0))
    told = bool(wire.other_payers) and sheet.facts.product != "medicare_b"
    return _money("28", wire.charge) | (_money("29", paid) if paid or told else {})


def _providers(sheet: Sheet, wire: Claim) -> Boxes:
    facts, bills = sheet.facts, wire.billing
    where = wire.facility or bills
    phone = sheet.claim.organization.phone
    signed = facts.first_filed_on
    certificate = wire.mammography_certification
    coded = facts.product in MEDICAID and bills.taxonomy
    return {
        "25": facts.billing_tin,
        "25.ein": "X",
        "26": wire.claim_id,
        f"27.{'yes' if wire.assignment == 'A' else 'no'}": "X",
        "31": ON_FILE if wire.provider_signature == "Y" else "",
        "31.date": f"{signed:%m %d %y}" if signed else "",
        "32.name": where.name,
        **_street("32", where),
        "32a": where.id,
        "32b": f"EW{certificate}" if certificate else "",
        "33.area": phone[:3],
        "33.phone": phone[3:],
        "33.name": bills.name,
        **_street("33", bills),
        "33a": bills.id,
        "33b": f"{TAXONOMY}{bills.taxonomy}" if coded else "",
    }


# --- small ones -------------------------------------------------------------------------------------


def _street(box: str, party: Party) -> Boxes:
    if party.address is None:
        return {}
    place = party.address
    return {
        f"{box}.street": place.line1,
        f"{box}.city": f"{place.city} {place.state} {_zip(place.zip)}",
    }


def _place(box: str, place: Address) -> Boxes:
    return {
        f"{box}.street": place.line1,
        f"{box}.city": place.city,
        f"{box}.state": place.state,
        f"{box}.zip": _zip(place.zip),
    }


def _person(last: str, first: str) -> str:
    return ", ".join(part for part in (last, first) if part)


def _zip(number: str) -> str:
    return f"{number[:5]}-{number[5:]}" if len(number) == 9 else number


def _date(box: str, day: date | None, *, year: int = 2) -> Boxes:
    if day is None:
        return {}
    return {
        f"{box}.month": f"{day:%m}",
        f"{box}.day": f"{day:%d}",
        f"{box}.year": f"{day:%Y}"[-year:],
    }


def _sex(box: str, sex: str) -> Boxes:
    return {f"{box}.{sex}": "X"} if sex in ("M", "F") else {}


def _money(box: str, amount: Decimal) -> Boxes:
    dollars, cents = f"{amount:.2f}".split(".")
    return {f"{box}.dollars": dollars, f"{box}.cents": cents}


def texts(page: Page) -> Iterator[tuple[str, int | None, str]]:
    """Everything on a page: box, row of the service or None, and text."""
    for name, text in page.boxes.items():
        yield name, None, text
    for row, service in enumerate(page.services):
        for name, text in service.boxes.items():
            yield name, row, text
