"""The sheet in and out: previewed with each row's verdict, faults by column, bytes kept, twice is
once.
"""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from rcm.network.models import NetworkSheet, NetworkSpan
from tests.network.house import IVAN, JUN, RITA
from tests.pages import one_line

pytestmark = pytest.mark.django_db
HEAD = "site,npi,payer,plan,status,effective_from,effective_to,note\n"
GOOD = (
    HEAD
    + "CANA-NORTH,,PHP,,In network,01/01/2026,,Contract 12\n"
    + f",{IVAN},PHP,,par,2026-01-01,2026-12-31,\n"
    + f",{RITA},PHP,,pending,2026-01-01,,Application sent\n"
)


@pytest.fixture
def mia(client, house):
    client.force_login(house.cast.user("mia"))
    return client


def send(client, house, text: str, name: str = "network.csv"):
    upload = SimpleUploadedFile(name, text.encode())
    return client.post(reverse("network:load"), {"file": upload, "organization": house.cast.a.pk})


def load(client, house, text: str):
    """Preview, then apply."""
    page = send(client, house, text)
    assert page.status_code == 200, page.context["form"].errors
    return client.post(reverse("network:load"), dict(page.context["hidden"]))


def words(page) -> str:
    return one_line(page.content.decode())


def test_a_sheet_is_previewed_and_then_laid_over_what_stands(mia, house):
    with house.scope():
        house.open(house.site(), "out")
    page = send(mia, house, GOOD)
    assert "2 to add, 1 to change, 0 as before, 0 refused" in words(page)
    with house.scope():
        assert NetworkSpan.objects.count() == 1
        assert not NetworkSheet.objects.exists()
    assert mia.post(reverse("network:load"), dict(page.context["hidden"])).status_code == 302
    with house.scope():
        assert house.told(house.site()) == [("in", "2026-01-01", "open")]
        assert house.told(house.reader(IVAN)) == [("in", "2026-01-01", "2026-12-31")]
        assert house.told(house.reader(RITA)) == [("pending", "2026-01-01", "open")]
        assert NetworkSpan.objects.get(npi=RITA).note == "Application sent"


def test_the_bytes_are_kept_and_the_same_sheet_twice_is_once(mia, house):
    load(mia, house, GOOD)
    page = send(mia, house, GOOD)
    assert "0 to add, 0 to change, 3 as before, 0 refused" in words(page)
    assert "The same sheet was loaded on" in words(page)
    mia.post(reverse("network:load"), dict(page.context["hidden"]))
    with house.scope():
        (kept,) = NetworkSheet.objects.all()
        assert bytes(kept.content) == GOOD.encode()
        assert (kept.rows, kept.added, kept.loaded_by) == (3, 3, "Mia Manager")
        assert NetworkSpan.objects.count() == 3
        assert set(NetworkSpan.objects.values_list("sheet", flat=True)) == {kept.pk}
    back = mia.get(reverse("network:sheet", args=[kept.public_id]))
    assert back.content == GOOD.encode()


@pytest.mark.parametrize(
    ("row", "faults"),
    [
        ("CANA-WEST,,PHP,,in,2026-01-01,,", ["site: “CANA-WEST” is no site of CANA Imaging."]),
        (",,PHP,,in,2026-01-01,,", ["npi: is blank, and so is site"]),
        (",1234567893,PHP,,in,2026-01-01,,", ["npi: “1234567893” is neither CANA Imaging nor"]),
        ("CANA-NORTH,,ZZZ,,in,2026-01-01,,", ["payer: “ZZZ” is no payer's code"]),
        ("CANA-NORTH,,,,in,2026-01-01,,", ["payer is blank."]),
        ("CANA-NORTH,,PHP,Gold,in,2026-01-01,,", ["plan: “Gold” is no plan of"]),
        (
            "CANA-NORTH,,PHP,,maybe,2026-01-01,,",
            ["status: “maybe” is none of: in network, out of network, pending, not enrolled."],
        ),
        ("CANA-NORTH,,PHP,,in,soon,,", ["effective_from: “soon” is not a date."]),
        ("CANA-NORTH,,PHP,,in,,,", ["effective_from is blank."]),
        (
            "CANA-NORTH,,PHP,,in,2026-06-01,2026-05-01,",
            ["effective_to 05/01/2026 is before effective_from 06/01/2026."],
        ),
        (
            "CANA-WEST,,ZZZ,,maybe,soon,,",
            ["site: ", "payer: ", "status: ", "effective_from: "],
        ),
    ],
)
def test_every_fault_of_a_row_is_told_with_its_column(mia, house, row, faults):
    page = send(mia, house, HEAD + row + "\nCANA-SOUTH,,PHP,,in,2026-01-01,,\n")
    (bad,) = [r for r in page.context["result"].rows if r.act == "bad"]
    assert bad.line == 2
    for fault in faults:
        assert fault in bad.sentence
    assert "1 to add, 0 to change, 0 as before, 1 refused" in words(page)


def test_two_rows_that_contradict_each_other_are_told_the_first_is_kept(mia, house):
    text = (
        HEAD
        + "CANA-NORTH,,PHP,,in,2026-01-01,,\n"
        + "CANA-NORTH,,PHP,,out,2026-01-01,,\n"
        + "CANA-NORTH,,PHP,,out,2026-06-01,,\n"
    )
    page = send(mia, house, text)
    assert [r.act for r in page.context["result"].rows] == ["added", "bad", "changed"]
    assert "line 2 begins on the same day; the first one was kept" in words(page)


def test_a_file_without_a_header_is_refused_with_what_it_needs(mia, house):
    page = send(mia, house, "north;PHP;in\n")
    assert page.status_code == 422
    assert "The sheet needs a header line with payer, status" in words(page)


def test_what_is_written_out_can_be_loaded_again_and_changes_nothing(mia, house):
    load(mia, house, GOOD)
    with house.scope():
        house.open(house.site(), "out", JUN)
    sheet = mia.get(reverse("network:export"))
    text = b"".join(sheet.streaming_content).decode("utf-8-sig")
    assert "CANA-NORTH,,PHP,,In network,2026-01-01,2026-05-31,Contract 12" in text
    page = send(mia, house, text)
    assert "0 to add, 0 to change, 4 as before, 0 refused" in words(page)


def test_the_export_follows_the_filters(mia, house):
    load(mia, house, GOOD)
    got = mia.get(reverse("network:export"), {"kind": "reader", "status": "pending"})
    lines = b"".join(got.streaming_content).decode("utf-8-sig").splitlines()
    assert len(lines) == 2
    assert RITA in lines[1]


def test_an_old_sheet_does_not_undo_what_came_later(mia, house):
    load(mia, house, GOOD)
    with house.scope():
        house.open(house.site(), "out", JUN)
    page = send(mia, house, GOOD)
    assert "3 as before" in words(page)


def test_a_sheet_is_for_whoever_may_edit_the_whole_organization(client, house):
    client.force_login(house.cast.user("ben"))
    assert send(client, house, GOOD).status_code == 403
    client.force_login(house.cast.user("olga"))
    assert send(client, house, GOOD).status_code == 422
    with house.scope():
        assert not NetworkSpan.objects.exists()
