"""Screens of posting and denials: who may, what is shown, what a click does."""

from __future__ import annotations

import io

import pytest
from django.urls import reverse
from django.utils import timezone
from pypdf import PdfReader

from claims.models import ClaimStatus, PayerRule
from rcm.accounts.scope import scope
from rcm.audit.models import Access, Event
from remittance.models import ClaimPayment, Denial, Remittance, Variance
from remittance.origins import GROUPS
from remittance.services import remittance_post

from .house import AT, SCAN, claim_of, era, head, insurance, payer, receive
from .test_denials import denied
from .test_posting import CLEAN

DENIED = """
    CLP*C2*4*900*0*0*12*ICN2*11*1
    NM1*QC*1*SAMPLE*HENRY****MI*MEM2
    SVC*HC:74177*900*0**1
    DTM*472*20260908
    CAS*CO*197*900
    REF*6R*C2L1
    LQ*HE*N54
"""
LOST = """
    CLP*ZZ9*1*100*60*0*12*ICN3*11*1
    NM1*QC*1*STRANGER*ANN****MI*MEM9
    SVC*HC:71046*100*60**1
    CAS*CO*45*40
"""


@pytest.fixture
def books(cast):
    """One remittance with a clean claim, a denial, an exception and interest, ready to post."""
    with scope(cast.system):
        claim_of(cast, "C1", [("70551", "500", "230")])
        claim_of(cast, "C2", [("74177", "900", "300")])
        receive(cast, era(head("212") + CLEAN + DENIED + LOST + "PLB*1679576722*20261231*L6*-2"))
    return cast


@pytest.fixture
def at_desk(client, books):
    def sign_in(name: str):
        client.force_login(books.user(name))
        return client

    return sign_in


def _post(books):
    with scope(books.system):
        remittance_post(remittance=Remittance.objects.get(), actor=books.actor("pia"), at=AT)


def _id(model, books, **kw):
    with scope(books.system):
        return model.objects.get(**kw).public_id


def test_the_posting_screen_shows_the_tie_and_the_four_groups(at_desk, books):
    client = at_desk("pia")
    page = client.get(
        reverse("remittance:remittance", args=[_id(Remittance, books)])
    ).content.decode()
    for words in (
        "$212.00",
        "Exceptions",
        "Denials",
        "Clean",
        "Provider level and takebacks",
        "Interest",
        "No claim was found",
        "$900.00 denied (CO-197)",
        "Preview and post",
    ):
        assert words in page, words
    with scope(books.system):
        assert Access.objects.filter(purpose="remittance").count() == 2


def test_the_preview_lists_every_posting_and_post_posts(at_desk, books):
    client = at_desk("pia")
    url = reverse("remittance:post", args=[_id(Remittance, books)])
    page = client.get(url).content.decode()
    assert "Cash to be posted" in page
    assert "Contractual adjustment" in page
    assert client.post(url, follow=True).status_code == 200
    with scope(books.system):
        assert Remittance.objects.get().status == "posted"
    page = client.get(
        reverse("remittance:remittance", args=[_id(Remittance, books)])
    ).content.decode()
    assert "Ties to the cent" in page
    assert "Reverse" in page


def test_post_is_switched_off_with_its_reason_when_it_does_not_balance(client, cast):
    with scope(cast.system):
        claim_of(cast, "C1", [("70551", "500", "200")])
        receive(cast, era(head("151") + CLEAN))
        public_id = Remittance.objects.get().public_id
    client.force_login(cast.user("pia"))
    page = client.get(reverse("remittance:remittance", args=[public_id])).content.decode()
    assert "It does not balance" in page
    assert "-1.00 is unexplained" in page
    assert "disabled" in page


def test_the_payment_page_shows_lines_side_by_side_and_the_raw_segments(at_desk, books):
    client = at_desk("pia")
    page = client.get(
        reverse("remittance:payment", args=[_id(ClaimPayment, books, claim_number="C1")])
    ).content.decode()
    for words in (
        "Charge above the agreed amount",
        "allowed $30.00 under contract",
        "What posting will do",
        "Raw segments",
        "CLP",
    ):
        assert words in page, words


def test_a_person_puts_unapplied_cash_on_a_claim(at_desk, books):
    with scope(books.system):
        target = claim_of(books, "C3", [("71046", "100", "60")])
    _post(books)
    client = at_desk("pia")
    url = reverse("remittance:payment", args=[_id(ClaimPayment, books, claim_number="ZZ9")])
    assert client.post(url, {"claim": "NOPE", "reason": "x"}).status_code == 422
    assert (
        client.post(url, {"claim": "C3", "reason": "Their number of the same day"}).status_code
        == 302
    )
    with scope(books.system):
        assert insurance(target) == 0


def test_an_835_is_uploaded_and_shown_at_once(client, cast_committed):
    from django.core.files.uploadedfile import SimpleUploadedFile

    cast = cast_committed
    with scope(cast.system):
        claim_of(cast, "C1", [("70551", "500", "200")])
    client.force_login(cast.user("pia"))
    url = reverse("remittance:upload")
    answer = client.post(
        url,
        {"organization": cast.a.pk, "file": SimpleUploadedFile("x.835", era(head("150") + CLEAN))},
        follow=True,
    )
    assert "1 ready" in answer.content.decode()
    again = client.post(
        url,
        {"organization": cast.a.pk, "file": SimpleUploadedFile("y.835", era(head("150") + CLEAN))},
        follow=True,
    )
    assert "Nothing was done twice" in again.content.decode()
    wrong = client.post(
        url, {"organization": cast.a.pk, "file": SimpleUploadedFile("y.835", b"MSH|^~\\&|a|b")}
    )
    assert wrong.status_code == 422


def test_a_paper_eob_is_balanced_live_and_kept(at_desk, books):
    from django.core.files.uploadedfile import SimpleUploadedFile

    with scope(books.system):
        claim_of(books, "C5", [("71046", "90", "40")])
    client = at_desk("pia")
    url = reverse("remittance:eob")
    row = {
        "organization": books.a.pk,
        "payer": payer().pk,
        "check_number": "771",
        "paid_on": "09/20/2026",
        "amount": "30.00",
        "rows": "1",
        "claim_0": "C5",
        "code_0": "71046",
        "billed_0": "90",
        "paid_0": "30",
    }
    page = client.post(url, row | {"adjustments_0": "CO-45 50", "balance": "yes"})
    assert "$10.00 of the charge is not explained" in page.content.decode()
    assert client.post(url, row | {"adjustments_0": "CO-45 50"}).status_code == 422
    good = row | {"adjustments_0": "CO-45 50, PR-2 10"}
    without = client.post(url, good)
    assert without.status_code == 422
    assert "Attach the scanned EOB" in without.content.decode()
    word = SimpleUploadedFile("eob.pdf", b"PK\x03\x04 a word document")
    assert (
        "neither PDF, JPEG nor PNG" in client.post(url, good | {"document": word}).content.decode()
    )
    paper = SimpleUploadedFile("eob.pdf", SCAN.content)
    assert client.post(url, good | {"document": paper}).status_code == 302
    with scope(books.system):
        kept = Remittance.objects.get(trace="771")
        assert kept.source == "paper"
    answer = client.get(reverse("remittance:scan", args=[kept.public_id]))
    assert (answer.content, answer["Content-Type"]) == (SCAN.content, "application/pdf")


def test_the_denial_page_has_its_evidence_deadlines_and_ways_on(at_desk, books):
    _post(books)
    client = at_desk("ben")
    page = client.get(reverse("remittance:denial", args=[_id(Denial, books)])).content.decode()
    for words in (
        "CO-197",
        "Authorization",
        "Remittance",
        "Correct and resend",
        "Appeal",
        "Park",
        "$300.00",
    ):
        assert words in page, words


def test_an_appeal_is_drafted_kept_as_sent_and_decided(at_desk, books):
    _post(books)
    client = at_desk("ben")
    public_id = _id(Denial, books)
    url = reverse("remittance:denial_appeal", args=[public_id])
    page = client.get(url).content.decode()
    assert "Re: First appeal (level 1)" in page
    sent = client.post(
        url, {"letter": "Dear payer <script>alert(1)</script>", "sent_on": "10/01/2026"}
    )
    assert sent.status_code == 302
    page = client.get(reverse("remittance:denial", args=[public_id])).content.decode()
    assert "Level 1" in page
    with scope(books.system):
        appeal = Denial.objects.get().appeals.get()
    packet = client.get(reverse("remittance:appeal_packet", args=[appeal.public_id]))
    assert packet["Content-Type"] == "application/pdf"
    text = "".join(p.extract_text() for p in PdfReader(io.BytesIO(packet.content)).pages)
    assert "<script>alert(1)</script>" in text
    assert "Signed report" in text
    outcome = reverse("remittance:appeal_outcome", args=[appeal.public_id])
    assert (
        client.post(
            outcome,
            {"outcome": "upheld", "on": timezone.localdate().strftime("%m/%d/%Y"), "recovered": ""},
        ).status_code
        == 302
    )
    with scope(books.system):
        assert Denial.objects.get().status == "upheld"


def test_denials_are_parked_together_with_a_reason(at_desk, books):
    _post(books)
    client = at_desk("ben")
    with scope(books.system):
        row = Denial.objects.get()
    url = reverse("remittance:denials_park")
    asked = client.post(url, {"pick": f"{row.pk}:{row.version}"})
    assert "Why it cannot be worked now" in asked.content.decode()
    assert (
        client.post(
            url,
            {
                "pick": f"{row.pk}:{row.version}",
                "reason": "Waits for the payer's portal",
                "review_on": "",
            },
        ).status_code
        == 302
    )
    with scope(books.system):
        assert Denial.objects.get().status == "parked"


def test_groups_underpayments_cash_and_deposits_are_drawn(at_desk, books):
    _post(books)
    client = at_desk("mia")
    for name, words in (
        ("denials", "CO-197"),
        ("denial_groups", "CO-197"),
        ("underpayments", "Below the contract"),
        ("unapplied", "ZZ9"),
        ("deposits", "Deposits"),
        ("remittances", "EFT1"),
        ("deposits_import", "bank file"),
        ("upload", "835"),
        ("eob", "Unexplained"),
    ):
        answer = client.get(reverse(f"remittance:{name}") + "?view=all")
        if name == "unapplied":
            answer = client.get(reverse("remittance:unapplied"))
        assert answer.status_code == 200, name
        assert words in answer.content.decode(), name
    page = client.get(reverse("remittance:variance", args=[_id(Variance, books)])).content.decode()
    assert "Dispute with the payer" in page
    assert (
        client.post(
            reverse("remittance:variance", args=[_id(Variance, books)]),
            {"act": "dispute", "note": "Contract section 4", "amount": ""},
        ).status_code
        == 302
    )


def test_the_work_queue_shows_denials_with_panel(at_desk, books):
    _post(books)
    client = at_desk("ben")
    page = client.get("/work/denials/").content.decode()
    assert "C2" in page
    assert "Correct and resend" in page


@pytest.mark.parametrize("name", ["ana", "ada", "cody", "adam"])
def test_those_without_the_permission_see_nothing(at_desk, books, name):
    client = at_desk(name)
    assert client.get(reverse("remittance:remittances")).status_code == 403
    assert client.get(reverse("remittance:denials")).status_code == 403


def test_a_stranger_gets_the_same_answer_as_for_nothing(at_desk, books):
    client = at_desk("olga")
    theirs = client.get(reverse("remittance:remittance", args=[_id(Remittance, books)]))
    nothing = client.get(
        reverse("remittance:remittance", args=["0192f000-0000-7000-8000-000000000000"])
    )
    assert theirs.status_code == nothing.status_code == 404


def test_a_biller_sees_but_may_not_post(at_desk, books):
    client = at_desk("ben")
    public_id = _id(Remittance, books)
    assert client.get(reverse("remittance:remittance", args=[public_id])).status_code == 200
    assert client.post(reverse("remittance:post", args=[public_id])).status_code == 403


def test_reversing_asks_for_a_reason(at_desk, books):
    _post(books)
    client = at_desk("pia")
    url = reverse("remittance:reverse", args=[_id(Remittance, books)])
    assert client.post(url, {"reason": ""}).status_code == 422
    assert client.post(url, {"reason": "Posted for the wrong group"}).status_code == 302
    with scope(books.system):
        assert Remittance.objects.get().status == "reversed"


def test_an_uploaded_835_carries_its_key_and_is_taken_once(client, cast_committed):
    """The upload commits in steps: its key is kept without a transaction around the view."""
    from django.core.files.uploadedfile import SimpleUploadedFile

    from remittance.models import Remittance

    cast = cast_committed
    with scope(cast.system):
        claim_of(cast, "C1", [("70551", "500", "200")])
    client.force_login(cast.user("pia"))
    url = reverse("remittance:upload")

    def send(content: bytes):
        file = SimpleUploadedFile("x.835", content)
        return client.post(url, {"organization": cast.a.pk, "form_key": "one", "file": file})

    first, again = send(era(head("150") + CLEAN)), send(era(head("150") + CLEAN))
    assert (first.status_code, again.status_code) == (302, 302)
    assert again.url == first.url
    other = send(era(head("151") + CLEAN))
    assert "with other values" in client.get(other.url).content.decode()
    with scope(cast.system):
        assert Remittance.objects.count() == 1


def test_a_group_of_denials_is_proposed_as_an_edit_in_one_act(cast, at_desk):
    with scope(cast.system):
        for n in range(3):
            denied(cast, f"D{n}", reason="50", trace=f"E{n}", control=201 + n)
        claim_of(cast, "G1", [("71046", "90", "40")], status=ClaimStatus.PAID)
        row = Denial.objects.first()
    mia = at_desk("mia")
    page = mia.get(reverse("remittance:denial_groups")).content.decode()
    assert "Propose a claim edit" in page
    asked = {
        "organization": cast.a.pk,
        "payer": row.payer_id,
        "group": "CO",
        "reason": "50",
        "category": row.category,
    }
    answer = mia.post(reverse("remittance:denial_group_rule"), asked, follow=True)
    page = answer.content.decode()
    assert "Learned from denials" in page
    assert "3 of" in page
    assert "You wrote it" in page
    assert "Procedure code" in page  # the field in words, never by its short name
    assert "line.code" not in page
    with scope(cast.system):
        (rule,) = PayerRule.objects.all()
    assert (rule.learned["denied"], rule.learned["paid"]) == (3, 0)
    assert (
        mia.post(reverse("remittance:denial_group_rule"), asked | {"payer": 0}).status_code == 404
    )


def test_where_denials_come_from_counts_each_once_and_duplicates_apart(cast, at_desk):
    with scope(cast.system):
        for n, reason in enumerate(("50", "50", "97", "18")):
            denied(cast, f"D{n}", reason=reason, trace=f"E{n}", control=201 + n)
        row = Denial.objects.filter(reason="97").get()
        step = Event.objects.filter(claim_id=row.claim_id).first()
        Denial.objects.filter(pk=row.pk).update(
            upstream_event_id=step.pk, denied_on=timezone.localdate()
        )
        Denial.objects.update(denied_on=timezone.localdate())
    mia = at_desk("mia")
    page = reverse("remittance:denial_origins")
    for by in GROUPS:
        answer = mia.get(page, {"by": by})
        found = answer.context["rows"]
        assert sum(o.count for _, o in found) == 3
        assert sum(o.billed for _, o in found) == 2700
        assert answer.context["duplicates"].count == 1
    people = dict(mia.get(page, {"by": "person"}).context["rows"])
    assert people[step.actor_name].count == 1


def test_the_heat_map_shows_every_open_denial_of_its_payers_and_reasons_once(cast, at_desk):
    with scope(cast.system):
        for n, reason in enumerate(("50", "50", "97")):
            denied(cast, f"D{n}", reason=reason, trace=f"E{n}", control=201 + n)
        Denial.objects.filter(reason="50").update(denied_on=timezone.localdate())
    answer = at_desk("mia").get(reverse("remittance:denial_groups"))
    heat = answer.context["heat"]
    assert list(heat.reasons) == ["CO-50", "CO-97"]
    ((_, cells),) = heat.rows
    assert [(c.count, c.dollars, c.strength) for c in cells] == [(2, 1800, 5), (1, 900, 3)]
    assert cells[0].trend == "more"
    assert heat.left == 0
    assert cells[0].url.replace("&", "&amp;") in answer.content.decode()
