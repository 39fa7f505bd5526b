"""The CMS-1500 on paper: read back from the PDF, every value stands in its box.

The boxes below are measured from the upper left corner of the form's sheet, in inches; they know
nothing of the grid that prints.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from io import BytesIO

import pytest
from django.urls import reverse
from pypdf import PdfReader
from pypdf.generic import ContentStream

from claims import cms1500
from claims.cms1500 import Shift, content, grid
from claims.facts import Sheet, load_sheets
from claims.models import Claim, PaperPrinter
from claims.records import LineDecision, PayerDecision
from claims.services import claim_secondary
from claims.x12_837p import claim_of
from intake.models import Coverage
from rcm.accounts.scope import scope
from rcm.x12.model import Party
from tests.claims.house import NOW, as_, payer, ready
from tests.claims.test_correcting import LATER, decided

Rect = tuple[float, float, float, float]
THIRD = 1 / 3

# left, top, right, bottom of the printed boxes
BOXES: dict[str, Rect] = {
    "payer": (4.2, 0.3, 8.25, 0.9),
    "1 medicare": (0.27, 1.3, 0.43, 1.52),
    "1 medicaid": (0.95, 1.3, 1.12, 1.52),
    "1 group": (3.25, 1.3, 3.42, 1.52),
    "1 other": (4.65, 1.3, 4.82, 1.52),
    "1a": (5.15, 1.2, 8.25, 1.52),
    "2": (0.27, 1.55, 3.15, 1.85),
    "3 birth": (3.2, 1.55, 4.3, 1.85),
    "3 M": (4.35, 1.55, 4.55, 1.85),
    "3 F": (4.85, 1.55, 5.05, 1.85),
    "4": (5.15, 1.55, 8.25, 1.85),
    "5": (0.27, 1.88, 3.15, 2.18),
    "6 self": (3.45, 1.88, 3.62, 2.18),
    "6 spouse": (3.95, 1.88, 4.12, 2.18),
    "7": (5.15, 1.88, 8.25, 2.18),
    "5 city": (0.27, 2.2, 2.75, 2.52),
    "5 state": (2.77, 2.2, 3.15, 2.52),
    "5 zip": (0.27, 2.53, 1.55, 2.85),
    "7 city": (5.15, 2.2, 7.5, 2.52),
    "7 state": (7.55, 2.2, 8.0, 2.52),
    "7 zip": (5.15, 2.53, 6.4, 2.85),
    "9": (0.27, 2.87, 3.15, 3.18),
    "11": (5.15, 2.87, 8.25, 3.18),
    "9a": (0.27, 3.2, 3.15, 3.52),
    "10a yes": (3.65, 3.2, 3.82, 3.52),
    "10a no": (4.25, 3.2, 4.42, 3.52),
    "11a birth": (5.4, 3.2, 6.6, 3.52),
    "11a F": (7.65, 3.2, 7.82, 3.52),
    "10b yes": (3.65, 3.54, 3.82, 3.85),
    "10b no": (4.25, 3.54, 4.42, 3.85),
    "10b state": (4.65, 3.54, 5.05, 3.85),
    "11b": (5.15, 3.54, 8.25, 3.85),
    "10c no": (4.25, 3.87, 4.42, 4.18),
    "11c": (5.15, 3.87, 8.25, 4.18),
    "9d": (0.27, 4.2, 3.15, 4.52),
    "11d yes": (5.35, 4.2, 5.52, 4.52),
    "11d no": (5.85, 4.2, 6.02, 4.52),
    "12": (0.8, 4.75, 3.5, 5.15),
    "13": (5.7, 4.75, 8.2, 5.15),
    "14": (0.27, 5.2, 2.2, 5.52),
    "15": (3.2, 5.2, 5.1, 5.52),
    "17 qualifier": (0.27, 5.6, 0.52, 5.85),
    "17": (0.55, 5.6, 3.1, 5.85),
    "17b": (3.45, 5.67, 5.1, 5.85),
    "19": (0.27, 5.85, 5.12, 6.18),
    "20 yes": (5.35, 5.9, 5.52, 6.18),
    "20 no": (5.85, 5.9, 6.02, 6.18),
    "20 dollars": (6.3, 5.9, 7.31, 6.18),
    "20 cents": (7.32, 5.9, 7.8, 6.18),
    "21 version": (4.3, 6.15, 4.6, 6.34),
    "21 A": (0.45, 6.33, 1.35, 6.52),
    "21 D": (4.35, 6.33, 5.15, 6.52),
    "21 E": (0.45, 6.5, 1.35, 6.68),
    "21 L": (4.35, 6.66, 5.15, 6.85),
    "22": (5.15, 6.3, 6.35, 6.52),
    "22 number": (6.35, 6.3, 8.25, 6.52),
    "23": (5.15, 6.55, 8.25, 6.85),
    "25": (0.27, 9.2, 1.85, 9.52),
    "25 ein": (2.05, 9.2, 2.25, 9.52),
    "26": (2.45, 9.2, 3.95, 9.52),
    "27 yes": (3.95, 9.2, 4.15, 9.52),
    "28 dollars": (5.15, 9.2, 5.9, 9.52),
    "28 cents": (5.92, 9.2, 6.25, 9.52),
    "28": (5.15, 9.2, 6.25, 9.52),
    "29 dollars": (6.25, 9.2, 6.92, 9.52),
    "29 cents": (6.93, 9.2, 7.28, 9.52),
    "30": (7.28, 9.2, 8.25, 9.52),
    "31": (0.27, 10.0, 2.45, 10.2),
    "32": (2.45, 9.65, 5.12, 10.2),
    "32a": (2.5, 10.15, 3.65, 10.36),
    "32b": (3.7, 10.15, 5.12, 10.36),
    "33": (5.15, 9.65, 8.25, 10.2),
    "33a": (5.2, 10.15, 6.4, 10.36),
    "33b": (6.5, 10.15, 8.25, 10.36),
}
SERVICE: dict[str, Rect] = {
    "24 shaded": (0.27, 7.15, 6.45, 7.35),
    "24I shaded": (6.65, 7.15, 6.95, 7.35),
    "24J shaded": (6.95, 7.15, 8.25, 7.35),
    "24A from": (0.27, 7.33, 1.17, 7.52),
    "24A to": (1.17, 7.33, 2.08, 7.52),
    "24B": (2.08, 7.33, 2.35, 7.52),
    "24D code": (2.65, 7.33, 3.4, 7.52),
    "24D modifiers": (3.45, 7.33, 4.65, 7.52),
    "24E": (4.65, 7.33, 5.1, 7.52),
    "24F dollars": (5.1, 7.33, 5.77, 7.52),
    "24F cents": (5.77, 7.33, 6.05, 7.52),
    "24G": (6.05, 7.33, 6.45, 7.52),
    "24J": (6.95, 7.33, 8.25, 7.52),
}


def box_of(name: str, row: int = 0) -> Rect:
    if name in BOXES:
        return BOXES[name]
    left, top, right, bottom = SERVICE[name]
    return left, top + row * THIRD, right, bottom + row * THIRD


def printed(pdf: bytes, page: int = 0) -> Iterator[tuple[float, float, str]]:
    """Each piece of data in typewriter letters: inches from the left, from the top, and text."""
    reader = PdfReader(BytesIO(pdf))
    sheet = reader.pages[page]
    font, at, shift = "", (0.0, 0.0), (0.0, 0.0)
    fonts = {k: v.get_object()["/BaseFont"] for k, v in sheet["/Resources"]["/Font"].items()}
    for operands, operator in ContentStream(sheet.get_contents(), reader).operations:
        if operator == b"Tf":
            font = fonts[operands[0]]
        elif operator == b"cm" and list(operands[:4]) == [1, 0, 0, 1]:
            shift = (shift[0] + float(operands[4]), shift[1] + float(operands[5]))
        elif operator == b"Tm":
            at = (float(operands[4]), float(operands[5]))
        elif operator == b"Tj" and font == "/Courier":
            yield (at[0] + shift[0]) / 72, (792 - at[1] - shift[1]) / 72, str(operands[0])


def stands(pdf: bytes, name: str, *, page: int = 0, row: int = 0) -> str:
    """What stands in a box, left to right and top to bottom; nothing may reach over its edge."""
    left, top, right, bottom = box_of(name, row)
    found = []
    for x, y, text in printed(pdf, page):
        if not (left <= x <= right and top < y <= bottom):
            continue
        assert x + len(text) / 10 <= right + 0.02, f"{text!r} leaves box {name}"
        assert y - 0.1 >= top - 0.02, f"{text!r} reaches above box {name}"
        found.append((round(y, 2), x, text))
    return " ".join(text for _, _, text in sorted(found))


def sheet_of(claim: Claim) -> Sheet:
    (sheet,) = load_sheets([claim.pk])
    return sheet


def test_no_two_places_of_the_form_share_a_character():
    taken: dict[tuple[int, int], str] = {}
    fields = [(n, f) for n, f in grid.FIELDS.items() if n != "28.continued"]
    names = ("24.more", "24I", "24J.more", "24A.from.month", "24D", "24D.4", "24E", "24F.dollars")
    names += ("24F.cents", "24G", "24J")
    fields += [(n, grid.service_field(n, row)) for row in range(grid.LINES) for n in names]
    for name, field in fields:
        for column in range(field.column, field.column + field.width):
            assert 1 <= column <= 79, name
            assert (field.line, column) not in taken, (name, taken[(field.line, column)])
            taken[(field.line, column)] = name
    assert max(line for line, _ in taken) == 61


def test_every_value_of_a_first_claim_stands_in_its_box(house):
    claim = ready(house)
    pdf = cms1500.render(sheet_of(claim), red=True)
    wanted = {
        "1 group": "X",
        "1 medicare": "",
        "1a": "ABC123456789",
        "2": "CANARY, CORA",
        "3 birth": "03 14 1962",
        "3 F": "X",
        "3 M": "",
        "4": "CANARY, CORA",
        "5": "5 ELM ST",
        "5 city": "CHICAGO",
        "5 state": "IL",
        "5 zip": "60601",
        "6 self": "X",
        "6 spouse": "",
        "7": "5 ELM ST",
        "7 city": "CHICAGO",
        "7 state": "IL",
        "7 zip": "60601",
        "9": "",
        "10a no": "X",
        "10a yes": "",
        "10b no": "X",
        "10c no": "X",
        "11a birth": "03 14 1962",
        "11a F": "X",
        "11c": "PRAIRIE HEALTH PLAN",
        "11d no": "X",
        "12": "SIGNATURE ON FILE",
        "13": "SIGNATURE ON FILE",
        "17 qualifier": "DN",
        "17": "ANN REFERRER",
        "17b": "1932102084",
        "20 no": "X",
        "21 version": "0",
        "21 A": "R519",
        "22": "",
        "22 number": "",
        "23": "AUTHM1",
        "24A from": "09 08 26",
        "24A to": "09 08 26",
        "24B": "11",
        "24D code": "70551",
        "24D modifiers": "",
        "24E": "A",
        "24F dollars": "900",
        "24F cents": "00",
        "24G": "1",
        "24J": "1245319599",
        "24I shaded": "",
        "25": house.cast.a.tin,
        "25 ein": "X",
        "26": claim.number,
        "27 yes": "X",
        "28 dollars": "900",
        "28 cents": "00",
        "29 dollars": "",
        "30": "",
        "31": "SIGNATURE ON FILE",
        "33a": house.cast.a.npi,
    }
    assert {name: stands(pdf, name) for name in wanted} == wanted
    assert house.cast.a.name.upper()[:29] in stands(pdf, "33")
    sheet = sheet_of(claim)
    assert stands(pdf, "32a") == (sheet.facts.facility_npi or house.cast.a.npi)


def test_the_red_form_gets_data_alone_and_the_copy_draws_its_boxes(house):
    sheet = sheet_of(ready(house))
    red = PdfReader(BytesIO(cms1500.render(sheet, red=True))).pages[0]
    copy = PdfReader(BytesIO(cms1500.render(sheet))).pages[0]
    drawn = [ContentStream(p.get_contents(), None).operations for p in (red, copy)]
    assert [sum(op == b"re" for _, op in one) > 100 for one in drawn] == [False, True]
    assert "copy on plain paper" in copy.extract_text()
    assert "copy" not in red.extract_text()
    both = [list(printed(cms1500.render(sheet, red=red))) for red in (True, False)]
    assert both[0] == both[1]


def test_a_printers_shift_moves_everything_alike(house):
    sheet = sheet_of(ready(house))
    plain = list(printed(cms1500.render(sheet, red=True)))
    moved = list(
        printed(cms1500.render(sheet, red=True, shift=Shift(Decimal("0.05"), Decimal("-0.10"))))
    )
    for one, other in zip(plain, moved, strict=True):
        assert other[0] - one[0] == pytest.approx(0.05, abs=0.001)
        assert other[1] - one[1] == pytest.approx(-0.10, abs=0.001)
        assert other[2] == one[2]


def test_eight_services_take_two_sheets_and_the_total_stands_on_the_second(house):
    sheet = sheet_of(ready(house))
    (line,) = sheet.facts.lines
    many = tuple(
        replace(line, number=n, charge=Decimal(100 + n), control_number=f"L{n}")
        for n in range(1, 9)
    )
    total = sum((x.charge for x in many), Decimal(0))
    sheet.facts = replace(sheet.facts, lines=many, total=total)
    pdf = cms1500.render(sheet, red=True)
    assert len(PdfReader(BytesIO(pdf)).pages) == 2
    first = [stands(pdf, "24F dollars", row=n) for n in range(6)]
    assert first == ["101", "102", "103", "104", "105", "106"]
    second = [stands(pdf, "24F dollars", page=1, row=n) for n in range(6)]
    assert second == ["107", "108", "", "", "", ""]
    assert stands(pdf, "28") == "CONTINUED"
    assert stands(pdf, "28 dollars", page=1) == "836"
    for page in (0, 1):
        assert stands(pdf, "2", page=page) == "CANARY, CORA"
        assert stands(pdf, "26", page=page) == sheet.facts.claim_id


def test_drug_certificate_notes_papers_and_purchase_stand_where_the_form_wants_them(house):
    sheet = sheet_of(ready(house))
    (line,) = sheet.facts.lines
    drug = replace(line, ndc="50419032511", ndc_unit="ML", ndc_quantity=Decimal("7.50"))
    bought = replace(line, purchased_price=Decimal("55.25"), purchased_npi="1801889012")
    sheet.facts = replace(
        sheet.facts,
        lines=(drug, bought),
        diagnoses=("R519", *(f"M54{n}" for n in range(11))),
        note="REPEAT STUDY AFTER MOTION",
        attachment_control="CTL1",
        mammography_certificate="123456",
        frequency="7",
        payer_icn="ICN77",
    )
    pdf = cms1500.render(sheet, red=True)
    assert stands(pdf, "24 shaded") == "N450419032511 ML7.5"
    assert stands(pdf, "24 shaded", row=1) == ""
    assert stands(pdf, "19") == "PWKRRBM CTL1   REPEAT STUDY AFTER MOTION"
    assert (stands(pdf, "20 yes"), stands(pdf, "20 no")) == ("X", "")
    assert (stands(pdf, "20 dollars"), stands(pdf, "20 cents")) == ("55", "25")
    assert stands(pdf, "32b") == "EW123456"
    assert (stands(pdf, "22"), stands(pdf, "22 number")) == ("7", "ICN77")
    assert [stands(pdf, f"21 {x}") for x in "ADEL"] == ["R519", "M542", "M543", "M5410"]


def test_box_17_has_the_qualifier_of_the_wire(house, monkeypatch):
    sheet = sheet_of(ready(house))
    wire = claim_of(sheet)
    who = Party("DK", "REFERRER", "ANN", person=True, id_qualifier="XX", id="1932102084")
    ordered = replace(wire.lines[0], ordering=who)
    for change, wanted in (
        ({}, "DN"),
        ({"referring": None, "lines": (ordered,)}, "DK"),
        ({"referring": None, "supervising": replace(who, entity="DQ")}, "DQ"),
    ):
        sent = replace(wire, **change)
        monkeypatch.setattr(content, "claim_of", lambda _, sent=sent: sent)
        pdf = cms1500.render(sheet, red=True)
        assert stands(pdf, "17 qualifier") == wanted
        assert (stands(pdf, "17"), stands(pdf, "17b")) == ("ANN REFERRER", "1932102084")


def test_medicaid_gets_the_taxonomies_of_reader_and_biller(house):
    sheet = sheet_of(ready(house))
    sheet.facts = replace(sheet.facts, product="medicaid_ffs", rendering_taxonomy="2085R0202X")
    pdf = cms1500.render(sheet, red=True)
    assert (stands(pdf, "24I shaded"), stands(pdf, "24J shaded")) == ("ZZ", "2085R0202X")
    assert stands(pdf, "24J") == "1245319599"
    assert stands(pdf, "33b") == "ZZ261QR0200X"
    assert stands(pdf, "1 medicaid") == "X"


def test_an_accident_stands_in_ten_eleven_and_fifteen(house):
    sheet = sheet_of(ready(house))
    sheet.facts = replace(
        sheet.facts,
        related_cause="AA",
        accident_state="IL",
        accident_date=dt.date(2026, 8, 30),
        accident_claim_number="AUTO77",
        product="auto",
    )
    pdf = cms1500.render(sheet, red=True)
    assert (stands(pdf, "10b yes"), stands(pdf, "10b no")) == ("X", "")
    assert stands(pdf, "10b state") == "IL"
    assert stands(pdf, "15") == "439 08 30 26"
    assert stands(pdf, "11b") == "Y4 AUTO77"
    assert (stands(pdf, "1 other"), stands(pdf, "1 group")) == ("X", "")


def second(house, code: str, **more) -> Claim:
    """The claim to a second payer after the first has paid 250.00 of 900.00."""
    claim = decided(house, "paid")
    Coverage.objects.create(
        organization=house.cast.a,
        patient=claim.patient,
        payer=payer(code),
        member_id="XYZ123456789" if code == "LBI" else "1EG4TE5MK73",
        rank=2,
        status="active",
        verified_at=NOW,
        **more,
    )
    line = claim.lines.get()
    paid = Decimal("250.00")
    reasons = [("CO", "45", Decimal("600.00")), ("PR", "2", Decimal("50.00"))]
    told = PayerDecision(claim.pk, LATER.date(), paid, [LineDecision(line.pk, paid, reasons)])
    made = claim_secondary(decision=told, actor=house.actor, at=LATER)
    assert made is not None
    return made


def test_a_claim_to_the_second_payer_names_the_first_and_what_it_paid(house):
    pdf = cms1500.render(sheet_of(second(house, "LBI", group_number="GRP2")), red=True)
    assert stands(pdf, "1a") == "XYZ123456789"
    assert stands(pdf, "11") == "GRP2"
    assert stands(pdf, "9") == "CANARY, CORA"
    assert stands(pdf, "9a") == "ABC123456789"
    assert stands(pdf, "9d") == "PRAIRIE HEALTH PLAN"
    assert (stands(pdf, "11d yes"), stands(pdf, "11d no")) == ("X", "")
    assert (stands(pdf, "28 dollars"), stands(pdf, "28 cents")) == ("900", "00")
    assert (stands(pdf, "29 dollars"), stands(pdf, "29 cents")) == ("250", "00")
    assert stands(pdf, "30") == ""
    # the first payer's number is not the second one's
    assert stands(pdf, "23") == ""


def test_medicare_second_has_the_first_policy_in_eleven_and_no_payment_of_it_in_29(house):
    pdf = cms1500.render(sheet_of(second(house, "MCR")), red=True)
    assert stands(pdf, "1 medicare") == "X"
    assert stands(pdf, "1a") == "1EG4TE5MK73"
    assert stands(pdf, "4") == "SAME"
    assert stands(pdf, "7") == "SAME"
    assert stands(pdf, "11") == "ABC123456789"
    assert stands(pdf, "11c") == "PRAIRIE HEALTH PLAN"
    assert [stands(pdf, x) for x in ("9", "9a", "11d yes", "11d no", "29 dollars")] == [""] * 5


def test_medicare_first_says_none_in_eleven(house):
    claim = ready(house, payer="MCR")
    pdf = cms1500.render(sheet_of(claim), red=True)
    assert stands(pdf, "11") == "NONE"
    assert [stands(pdf, x) for x in ("4", "7", "11a birth", "11c", "11d no")] == [""] * 5


def test_a_dependents_insured_stands_in_four_and_eleven(house):
    claim = ready(house)
    Coverage.objects.filter(pk=claim.coverage_id).update(
        relationship="01",
        subscriber_last_name="Canary",
        subscriber_first_name="Carl",
        subscriber_born_on=dt.date(1960, 1, 2),
        subscriber_sex="F",
    )
    pdf = cms1500.render(sheet_of(claim), red=True)
    assert stands(pdf, "2") == "CANARY, CORA"
    assert stands(pdf, "4") == "CANARY, CARL"
    assert (stands(pdf, "6 spouse"), stands(pdf, "6 self")) == ("X", "")
    assert stands(pdf, "11a birth") == "01 02 1960"


def test_what_paper_has_no_room_for_is_said(house):
    sheet = sheet_of(ready(house))
    assert cms1500.left_out(sheet) == []
    (line,) = sheet.facts.lines
    other = replace(line, number=2, auth_number="AUTH2")
    sheet.facts = replace(sheet.facts, lines=(line, other))
    (said,) = cms1500.left_out(sheet)
    assert said.startswith("Line 2 has authorization AUTH2 of its own")


# --- the screens ----------------------------------------------------------------------------------


def test_a_printer_is_set_up_tried_and_prints_a_claim_moved(house_committed):
    house = house_committed
    with scope(house.actor):
        claim = ready(house)
    ben = as_(house, "ben")
    new = reverse("claims:printer_new")
    a = house.cast.a.pk
    told = {"name": "Office", "right": "0.05", "down": "-0.10", "active": "on", "version": "0"}
    assert ben.post(new, {**told, "organization": a, "right": "3"}).status_code == 422
    assert ben.post(new, {**told, "organization": a}).status_code == 302
    again = ben.post(new, {**told, "organization": a})
    assert again.status_code == 422
    assert "Another printer has this name" in again.content.decode()
    with scope(house.actor):
        printer = PaperPrinter.objects.get()
    trial = ben.get(reverse("claims:printer_trial", args=[printer.public_id])).content
    assert len(list(printed(trial))) > 30
    page = ben.get(reverse("claims:paper", args=[claim.public_id])).content.decode()
    url = f"{reverse('claims:print', args=[claim.public_id])}?on=form"
    assert f"{url}&amp;printer={printer.public_id}" in page
    still = list(printed(ben.get(url).content))
    moved = list(printed(ben.get(f"{url}&printer={printer.public_id}").content))
    assert [t for *_, t in still] == [t for *_, t in moved]
    assert moved[0][0] - still[0][0] == pytest.approx(0.05, abs=0.001)
    change = reverse("claims:printer", args=[printer.public_id])
    late = ben.post(change, {**told, "organization": a, "down": "0.2", "version": "7"})
    assert late.status_code == 409
    assert ben.post(change, {**told, "organization": a, "down": "0.2"}).status_code == 302
    olga = as_(house, "olga")
    assert olga.get(change).status_code in (403, 404)
    assert olga.get(f"{url}&printer={printer.public_id}").status_code == 404


def test_a_hospitals_claim_has_no_form_here(house_committed):
    house = house_committed
    with scope(house.actor):
        claim = ready(house)
        Claim.objects.filter(pk=claim.pk).update(form="837I")
    ben = as_(house, "ben")
    answer = ben.get(reverse("claims:print", args=[claim.public_id]))
    assert answer.status_code == 302
    page = ben.get(reverse("claims:paper", args=[claim.public_id])).content.decode()
    assert "goes on the UB-04" in page
