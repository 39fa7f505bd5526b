"""Screens of payers, code sets and reference files."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from rcm.reference.models import MueEdit, Payer, ReferenceLoad
from rcm.reference.services import EDITABLE
from rcm.reference.views import CODE_SETS
from tests.pages import one_line

pytestmark = pytest.mark.django_db


def as_(client, cast, name):
    client.force_login(cast.user(name))
    return client


def payer(code="PHP") -> Payer:
    return Payer.objects.get(code=code)


def test_the_list_and_the_page_of_a_payer_show_its_habits(client, cast):
    as_(client, cast, "ben")
    assert "Prairie Health Plan" in client.get(reverse("reference:payers")).content.decode()
    text = one_line(
        client.get(reverse("reference:payer", args=[payer().public_id])).content.decode()
    )
    assert '<th scope="row">File within</th><td>90 days</td>' in text
    assert "A3 N9" in text
    assert "CANA North" in text, "the network matrix lists our sites"
    assert "CANB Main" not in text
    unknown = client.get(reverse("reference:payer", args=[payer("MCR").public_id])).content.decode()
    assert '<span class="muted">unknown</span>' in unknown


def form_data(row: Payer, **changes) -> dict[str, str]:
    data = {name: getattr(row, name) for name in EDITABLE} | changes
    return {k: "on" if v is True else str(v) for k, v in data.items() if v not in (None, False, "")}


def test_a_manager_changes_a_habit_and_the_change_is_on_record(client, cast):
    row = payer()
    url = reverse("reference:payer_edit", args=[row.public_id])
    assert as_(client, cast, "ben").get(url).status_code == 403
    as_(client, cast, "mia")
    assert client.get(url).status_code == 200
    page = client.post(url, form_data(row, filing_days=120))
    assert page.status_code == 302, page.context["form"].errors
    row.refresh_from_db()
    assert (row.filing_days, row.source) == (120, "edited by Mia Manager")
    load = ReferenceLoad.objects.get(source="edited by Mia Manager: PHP")
    assert load.options == {"filing_days": ["90", "120"]}
    assert (
        "edited by Mia Manager: PHP"
        in client.get(reverse("reference:payer", args=[row.public_id])).content.decode()
    )


def test_an_edi_id_that_is_taken_is_refused_on_its_field(client, cast):
    row = payer()
    page = as_(client, cast, "mia").post(
        reverse("reference:payer_edit", args=[row.public_id]), form_data(row, edi_id="06102")
    )
    assert page.status_code == 422
    assert "edi_id" in page.context["form"].errors


@pytest.mark.parametrize("name", sorted(CODE_SETS))
def test_every_code_set_opens_and_searches(client, cast, name):
    url = reverse("reference:codes", args=[name])
    page = as_(client, cast, "cody").get(url)
    assert page.status_code == 200
    assert client.get(url, {"q": "7", "view": "all"}).status_code == 200
    assert as_(client, cast, "ana").get(url).status_code == 403


def test_a_code_is_found_by_its_beginning_or_a_word(client, cast):
    as_(client, cast, "cody")
    url = reverse("reference:codes", args=["procedures"])
    assert "MR brain without then with contrast" in client.get(url, {"q": "brain"}).content.decode()
    found = client.get(url, {"q": "7055"}).content.decode()
    assert "70553" in found
    assert "71046" not in found
    assert client.get(reverse("reference:codes", args=["nothing"])).status_code == 404


def test_a_reference_file_is_previewed_then_loaded(client, cast):
    as_(client, cast, "adam")
    url = reverse("reference:load_new")
    upload = SimpleUploadedFile(
        "mue.csv", b"code,value,mai,effective_from\n70999,2,3,2026-01-01\nbad,1,1,2026-01-01\n"
    )
    page = client.post(url, {"kind": "mue", "file": upload})
    text = one_line(page.content.decode())
    assert "2 rows read, 1 to add, 0 to change, 0 to close, 0 as before, 1 refused" in text
    assert "is not a procedure code" in text
    assert not MueEdit.objects.filter(code="70999").exists()
    done = client.post(url, dict(page.context["hidden"]), follow=True)
    assert MueEdit.objects.get(code="70999").value == 2
    assert ReferenceLoad.objects.latest("id").actor_name == "Adam Admin"
    assert "Refused rows" in done.content.decode()
    assert "Unit limits (MUE)" in client.get(reverse("reference:loads")).content.decode()


def test_a_file_of_the_wrong_kind_is_refused_on_its_field(client, cast):
    page = as_(client, cast, "adam").post(
        reverse("reference:load_new"),
        {"kind": "mue", "file": SimpleUploadedFile("x.csv", b"bread,butter\n1,2\n")},
    )
    assert page.status_code == 422
    assert "No line of the file is the header" in page.content.decode()


def test_kinds_are_listed_with_their_layouts(client, cast):
    text = as_(client, cast, "ben").get(reverse("reference:kinds")).content.decode()
    assert "CMS PPRRVU" in text
    assert "CMS ZIP9 fixed width" in text


def test_only_who_may_edit_rules_loads_files(client, cast):
    assert as_(client, cast, "ben").get(reverse("reference:load_new")).status_code == 403
    assert as_(client, cast, "ana").get(reverse("reference:payers")).status_code == 403
