"""Financial assistance: papers, guideline and scale, a second person, the write-off door, new
balances while it holds.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from pypdf import PdfReader

from ar import assistance as rules
from ar import services
from ar.models import Assistance, AssistancePaper, SlidingScale, WriteOffRequest
from ar.services.positions import positions
from intake.models import Patient
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.worklist.models import WorkItem
from tests.ar.conftest import balance, bill

pytestmark = pytest.mark.django_db
D = Decimal
PDF = b"%PDF-1.4\nincome\n%%EOF\n"
BANDS = [rules.Band(200, D(100)), rules.Band(300, D(50)), rules.Band(400, D(25))]


def scale(cast) -> None:
    actor = cast.actor("mia")
    with scope(actor):
        services.scale_set(
            organization_id=cast.a.pk,
            effective_from=timezone.localdate(),
            bands=BANDS,
            actor=actor,
        )


def ask(cast, b, *, size=2, income="45000", papers=1) -> Assistance:
    actor = cast.actor("ari")
    with scope(actor):
        row = services.assistance_ask(
            patient=b.patient, household_size=size, income=D(income), actor=actor
        )
        for _ in range(papers):
            services.assistance_paper(application=row, what="Tax return", content=PDF, actor=actor)
        return row


def submit(cast, row, who="ari") -> Assistance:
    actor = cast.actor(who)
    with scope(actor):
        return services.assistance_submit(application=row, actor=actor)


def decide(cast, row, who="mia", approve=True, **more) -> Assistance:
    actor = cast.actor(who)
    with scope(actor):
        return services.assistance_decide(application=row, approve=approve, actor=actor, **more)


def owing(cast, **more):
    return bill(cast, paid=80, contractual=160, copay=60, **more)


@pytest.mark.parametrize(
    ("size", "state", "amount"),
    [(1, "IL", 15650), (4, "IL", 32150), (1, "AK", 19550), (2, "HI", 24320)],
)
def test_the_guideline_of_a_household(size, state, amount) -> None:
    line = rules.guideline(size, state, timezone.localdate().replace(year=2025, month=3, day=1))
    assert line is not None
    assert line.amount == amount


def test_the_scale_never_gives_more_to_who_earns_more() -> None:
    assert rules.discount_for(D("200.00"), BANDS) == 100
    assert rules.discount_for(D("200.01"), BANDS) == 50
    assert rules.discount_for(D("400.01"), BANDS) == 0
    assert "higher income" in rules.fault_of([rules.Band(200, D(50)), rules.Band(300, D(60))])
    assert rules.fault_of(BANDS) == ""


def test_from_the_question_to_the_discount_by_two_people(cast) -> None:
    scale(cast)
    b = owing(cast)
    row = ask(cast, b)
    with scope(cast.system):
        due, none = services.statements_preview(organization_id=cast.a.pk)
        assert due == []
        assert "being decided" in none[0][1]
    with pytest.raises(Conflict, match="open already"):
        ask(cast, b)
    submit(cast, row)
    with pytest.raises(PermissionRefused):
        decide(cast, row, who="ari")
    done = decide(cast, row)
    assert (done.guideline, done.discount) == (D("21150.00"), D("50.00"))
    assert balance(cast, b) == (D("0.00"), D("30.00"))
    with scope(cast.system):
        asked = WriteOffRequest.objects.get()
        assert (asked.reason, asked.amount, asked.status) == ("charity", D("30.00"), "approved")
        assert asked.requested_by_id == cast.user("ari").pk
        assert Patient.objects.get(pk=b.patient.pk).statement_hold == ""
        due, _ = services.statements_preview(organization_id=cast.a.pk)
        assert [x.balance for x in due] == [D("30.00")]
        letter = bytes(Assistance.objects.get().letter)
    text = PdfReader(BytesIO(letter)).pages[0].extract_text()
    assert "assistance: 50%." in text
    assert "$30.00 off" in text


def test_what_is_above_the_limit_is_approved_by_who_decides(cast) -> None:
    scale(cast)
    with scope(cast.system):
        type(cast.a).objects.filter(pk=cast.a.pk).update(write_off_limit=D(10))
    b = owing(cast)
    decide(cast, submit(cast, ask(cast, b, income="10000")))
    assert balance(cast, b) == (D("0.00"), D("0.00"))
    with scope(cast.system):
        asked = WriteOffRequest.objects.get()
        assert asked.requested_by_id == cast.user("ari").pk
        assert asked.decided_by_id == cast.user("mia").pk


def test_who_sends_it_on_never_decides(cast) -> None:
    scale(cast)
    row = submit(cast, ask(cast, owing(cast)))
    with scope(cast.system):
        Assistance.objects.filter(pk=row.pk).update(requested_by=cast.user("mia"))
    with pytest.raises(Refused, match="Another person"):
        decide(cast, row)


def test_without_paper_or_scale_it_is_not_sent_on(cast) -> None:
    b = owing(cast)
    row = ask(cast, b, papers=0)
    with pytest.raises(Refused, match="No paper"):
        submit(cast, row)
    actor = cast.actor("ari")
    with scope(actor), pytest.raises(Refused, match="neither PDF"):
        services.assistance_paper(
            application=row, what="Letter", content=b"MZ program", actor=actor
        )
    with scope(actor):
        for _ in range(2):  # the same paper twice is one
            services.assistance_paper(application=row, what="Letter", content=PDF, actor=actor)
        assert AssistancePaper.objects.count() == 1
    with pytest.raises(Refused, match="no scale"):
        submit(cast, row)


def test_new_balances_while_it_holds_get_the_same_discount_proposed(cast) -> None:
    scale(cast)
    b = owing(cast)
    row = decide(cast, submit(cast, ask(cast, b)))
    new = owing(cast, patient=b.patient)
    with scope(cast.system):
        due, _ = services.statements_preview(organization_id=cast.a.pk)
        assert new.charge.pk not in {c.charge_id for d in due for c in d.charges}
        services.patient_balance_refresh(organization_id=cast.a.pk, actor=cast.system)
        item = WorkItem.objects.get(queue="patient_balance")
        assert item.title == "$30.00 of new balances falls under the granted assistance"
        assert all(p.state != "nowhere" for p in positions(cast.a.pk))
    actor = cast.actor("ari")
    with scope(actor):
        assert services.assistance_apply(application=row, actor=actor) == D("30.00")
        with pytest.raises(Refused, match="No new balance"):
            services.assistance_apply(application=row, actor=actor)
    assert balance(cast, new) == (D("0.00"), D("30.00"))
    with scope(cast.system):
        services.patient_balance_refresh(organization_id=cast.a.pk, actor=cast.system)
        item.refresh_from_db()
        assert item.status == "closed"


def test_after_its_span_nothing_is_proposed(cast) -> None:
    scale(cast)
    b = owing(cast)
    today = timezone.localdate()
    with pytest.raises(Refused, match="at most a year"):
        decide(cast, submit(cast, ask(cast, b)), until=today + timedelta(days=400))
    with scope(cast.system):
        row = Assistance.objects.get()
    decide(cast, row, until=today)
    new = owing(cast, patient=b.patient)
    with scope(cast.system):
        due, _ = services.statements_preview(
            organization_id=cast.a.pk, at=timezone.now() + timedelta(days=1)
        )
        assert new.charge.pk in {c.charge_id for d in due for c in d.charges}


def test_a_refusal_says_why_and_withdrawing_ends_the_hold(cast) -> None:
    scale(cast)
    b, other = owing(cast), owing(cast)
    row = submit(cast, ask(cast, b))
    with pytest.raises(Refused, match="Say why"):
        decide(cast, row, approve=False)
    done = decide(cast, row, approve=False, note="Income not shown")
    assert b"%PDF" in bytes(done.letter)
    assert balance(cast, b) == (D("0.00"), D("60.00"))
    open_one = ask(cast, other)
    actor = cast.actor("ari")
    with scope(actor):
        services.assistance_withdraw(application=open_one, reason="No longer asked", actor=actor)
    with scope(cast.system):
        due, _ = services.statements_preview(organization_id=cast.a.pk)
        assert {d.patient.pk for d in due} == {b.patient.pk, other.patient.pk}


# --- screens --------------------------------------------------------------------------------------


def test_the_whole_way_on_screen(cast, enter) -> None:
    b = owing(cast)
    manager, ari = enter(cast, "mia"), enter(cast, "ari")
    today = timezone.localdate().strftime("%m/%d/%Y")
    bands = {"effective_from": today, "organization": cast.a.pk}
    bad = manager.post(reverse("ar:scale_new"), bands | {"up_to_1": "200"})
    assert bad.status_code == 422
    assert "at least one band" in bad.content.decode()
    kept = manager.post(reverse("ar:scale_new"), bands | {"up_to_1": "300", "discount_1": "50"})
    assert kept.status_code == 302
    with scope(cast.system):
        assert SlidingScale.objects.count() == 1
    page = ari.post(
        reverse("ar:assistance_new", args=[b.patient.public_id]),
        {"household_size": "2", "income": "45,000"},
    ).url
    with scope(cast.system):
        row = Assistance.objects.get()
    paper = reverse("ar:assistance_paper", args=[row.public_id])
    bad = ari.post(
        paper, {"what": "Pay stub", "document": SimpleUploadedFile("a.pdf", b"not a pdf")}
    )
    assert "neither PDF, JPEG nor PNG" in bad.content.decode()
    ari.post(paper, {"what": "Pay stub", "document": SimpleUploadedFile("a.pdf", PDF)})
    ari.post(reverse("ar:assistance_submit", args=[row.public_id]))
    html = ari.get(page).content.decode()
    assert "Pay stub" in html
    assert "another person decides" in html
    assert "Financial assistance" in manager.get(reverse("ar:approvals")).content.decode()
    answer = manager.post(
        reverse("ar:assistance_decide", args=[row.public_id]), {"decision": "grant"}
    )
    assert answer.status_code == 302
    assert "Granted" in ari.get(page).content.decode()
    letter = ari.get(reverse("ar:assistance_letter", args=[row.public_id]))
    assert letter["Content-Type"] == "application/pdf"
    with scope(cast.system):
        stored = AssistancePaper.objects.get()
    file = ari.get(reverse("ar:assistance_file", args=[stored.public_id]))
    assert file.content == PDF
    assert file["X-Content-Type-Options"] == "nosniff"
