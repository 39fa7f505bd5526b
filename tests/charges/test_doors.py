"""A code with a component or modifier that it cannot carry is refused at every door with the same
id and sentence, and nothing of it is kept but the message, which is mended in place.
"""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse

from charges.models import Exam, MessageCorrection
from charges.services import exam_code, exam_record, exams_evaluate
from charges.services.lines import line_problem
from rcm.accounts.problems import Refused
from rcm.exchange.services import process
from rcm.pricing.models import Contract
from rcm.pricing.services import rates_import
from tests.charges.house import DONE, DOS, READ, fresh
from tests.charges.test_api import client, post  # noqa: F401  the partner's connection
from tests.charges.test_messages import receive

DFT = (
    "MSH|^~\\&|RIS|CANA|RCM|CANA|20260908143000||DFT^P03|{control}|P|2.5.1\r"
    "PID|1||M1^^^CANA^MR||CANARY^CORA||19620314|F\r"
    "PV1|1|O|MR1^^^CANA-NORTH\r{lines}"
)
FT1 = "FT1|{n}|{accession}||20260908094500||CG|{code}|||1|||||||||||||||{code}^X^C4|{mods}\r"

# code, modifiers, id of what forbids it, whether a contract's sheet can ask for it
PAIRS = [
    ("71046", ("26", "TC"), "COMPONENT_BOTH", False),
    ("77063", ("50",), "BILATERAL_ILLEGAL", False),
    ("A9585", ("26",), "FORM_ILLEGAL", True),
    ("A9585", ("TC",), "FORM_ILLEGAL", True),
    ("70551", ("QQ",), "MODIFIER_UNKNOWN", False),
    ("71046", ("50", "RT"), "SIDES_TWICE", False),
]


def dft(*lines: tuple[str, tuple[str, ...]], accession: str, control: str = "D1") -> bytes:
    rows = "".join(
        FT1.format(n=n, accession=accession, code=code, mods="~".join(mods))
        for n, (code, mods) in enumerate(lines, start=1)
    )
    return DFT.format(control=control, lines=rows).encode()


@pytest.fixture
def ordered(house):
    (row,) = house.order(house.patient(), "70551")
    return row


@pytest.mark.parametrize(("code", "mods", "wanted", "by_sheet"), PAIRS)
def test_four_doors_give_one_answer(house, ordered, client, tmp_path, code, mods, wanted, by_sheet):  # noqa: F811
    problem = line_problem(code, mods, DOS)
    assert problem.code == wanted
    said = problem.sentence

    row = receive(house, dft((code, mods), accession=ordered.accession), DONE)
    assert (row.status, row.error) == ("quarantined", said)
    assert row.summary == {"problem": wanted}
    assert not Exam.objects.exists()

    answer = post(
        client,
        "exams",
        {
            "accession": ordered.accession,
            "mrn": "M1",
            "performed_at": DONE.isoformat(),
            "code": code,
            "modifiers": list(mods),
        },
    )
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["errors"][0]["message"]) == (wanted, said)
    assert not Exam.objects.exists()

    exam = fresh(exam_record(record=house.done(ordered), actor=house.actor, at=DONE).exam_id)
    with pytest.raises(Refused) as refused:
        exam_code(
            exam=exam,
            code=code,
            modifiers_=mods,
            reason="As dictated",
            actor=house.cast.actor("cody"),
            at=READ,
        )
    assert (refused.value.code, str(refused.value)) == (wanted, said)
    assert fresh(exam.pk).decision == {}

    if by_sheet:
        sheet = tmp_path / "rates.csv"
        sheet.write_text(f"code,component,amount\n{code},{mods[0]},10.00\n")
        contract = Contract.objects.get(name="PHP 2026")
        (verdict,) = rates_import(contract=contract, path=sheet, actor=house.actor).rows
        assert (verdict.act, verdict.problem, verdict.sentence) == ("bad", wanted, said)
        assert not contract.rates.exists()


def test_one_bad_line_keeps_nothing_of_its_message(house, ordered):
    row = receive(
        house,
        dft(("70551", ()), ("A9585", ("26",)), accession=ordered.accession),
        DONE,
    )
    assert row.status == "quarantined"
    assert not Exam.objects.exists()


def test_a_refused_message_is_mended_in_place(house, ordered, client):  # noqa: F811
    row = receive(house, dft(("70551", ("QQ",)), accession=ordered.accession), DONE)
    before = bytes(row.content)
    browser = client.__class__()
    browser.force_login(house.cast.user("mia"))
    page = browser.get(reverse("exchange:interchange", args=[row.public_id])).content.decode()
    mend = reverse("charges:message", args=[row.public_id])
    assert mend in page
    assert "QQ on 70551 is not a modifier" in browser.get(mend).content.decode()

    answer = browser.post(mend, {"code_0": "70551", "modifiers_0": "26 TC", "reason": "Typing"})
    assert answer.status_code == 422
    assert not MessageCorrection.objects.exists()
    answer = browser.post(mend, {"code_0": "70551", "modifiers_0": "", "reason": "Typing error"})
    assert answer.status_code == 302
    process([row.pk], actor=house.actor, at=READ)
    row.refresh_from_db()
    assert (row.status, row.error) == ("processed", "")
    assert bytes(row.content) == before
    exam = Exam.objects.get()
    exams_evaluate(exam_ids=[exam.pk], actor=house.actor, at=READ + dt.timedelta(minutes=1))
    assert fresh(exam.pk).code == "70551"
