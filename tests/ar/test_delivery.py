"""Statements on their way: print batches, e-mails through a real mail server, links, what comes
back.
"""

from __future__ import annotations

import csv
import email
import io
import re
import socket
from contextlib import closing
from io import BytesIO

import pytest
from aiosmtpd.controller import Controller
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pypdf import PdfReader

from ar import services
from ar.models import AccountHold, MailBatch, StatementDelivery
from ar.services.delivery import link_delivery, link_of, mail_batch_addresses, mail_batch_pdf
from intake.models import Patient
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.audit.models import Event
from rcm.exchange import hold as leaving
from tests.ar.conftest import bill

pytestmark = pytest.mark.django_db


class Post:
    """A mail server that keeps what it is given and may refuse an address."""

    def __init__(self) -> None:
        self.received: list[email.message.Message] = []
        self.answer = "250 ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, server, session, envelope):
        self.received.append(email.message_from_bytes(envelope.content))
        return "250 kept"


@pytest.fixture
def post(settings):
    handler = Post()
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.PUBLIC_URL = "https://bills.example.test"
    yield handler
    controller.stop()


def owing(cast, channel="", mail="pat@example.test"):
    b = bill(cast, paid=80, contractual=200, copay=20)
    actor = cast.actor("ari")
    with scope(actor):
        Patient.objects.filter(pk=b.patient.pk).update(email=mail)
        b.patient.refresh_from_db()
        if channel:
            services.channel_choose(patient=b.patient, channel=channel, actor=actor)
    return b


def send(cast):
    actor = cast.actor("ari")
    with scope(actor):
        return services.statements_send(organization_id=cast.a.pk, actor=actor)


def print_letters(cast) -> MailBatch | None:
    actor = cast.actor("ari")
    with scope(actor):
        return services.mail_batch_make(organization_id=cast.a.pk, actor=actor)


def mails(cast, **more) -> int:
    return services.mails_send(organization_id=cast.a.pk, actor=cast.system, **more)


def way(cast, b, channel=None) -> StatementDelivery:
    with scope(cast.system):
        rows = StatementDelivery.objects.filter(statement__patient=b.patient)
        return (rows.filter(channel=channel) if channel else rows).get()


def test_letters_go_into_one_batch_with_its_addresses_and_once(cast) -> None:
    one, two = sorted((owing(cast), owing(cast)), key=lambda b: b.patient.last_name)
    send(cast)
    batch = print_letters(cast)
    assert print_letters(cast) is None
    with scope(cast.system):
        text = [p.extract_text() for p in PdfReader(BytesIO(mail_batch_pdf(batch))).pages]
        lines = list(csv.DictReader(io.StringIO(mail_batch_addresses(batch).decode())))
    assert [one.patient.mrn in text[0], two.patient.mrn in text[1]] == [True, True]
    assert [row["last_name"] for row in lines] == [one.patient.last_name, two.patient.last_name]
    assert "20.00" not in str(lines)
    assert way(cast, one).status == "sent"


def test_a_letter_whose_account_is_held_meanwhile_waits(cast) -> None:
    b = owing(cast)
    send(cast)
    actor = cast.actor("ari")
    with scope(actor):
        services.hold_set(patient=b.patient, kind="dispute", note="Not mine", actor=actor)
    assert print_letters(cast) is None


def test_an_e_mail_leaves_once_and_says_nothing_of_the_patient(cast, post) -> None:
    b = owing(cast, "email")
    (statement,) = send(cast)
    assert (mails(cast), mails(cast)) == (1, 0)
    (mail,) = post.received
    assert mail["To"] == "pat@example.test"
    said = mail["Subject"] + mail.get_payload(decode=True).decode()
    for secret in (b.patient.last_name, "Pat ", b.patient.mrn, "20.00", statement.number):
        assert secret not in said
    (token,) = re.findall(r"https://bills.example.test/bill/(\S+)/", said)
    assert link_delivery(token) == (cast.a.pk, way(cast, b).pk)
    assert way(cast, b).status == "sent"


def test_nothing_leaves_while_everything_is_held(cast, post, monkeypatch) -> None:
    owing(cast, "email")
    send(cast)
    monkeypatch.setattr(leaving, "held", lambda: object())
    assert mails(cast) == 0
    assert post.received == []


def test_a_server_that_is_busy_is_asked_again(cast, post) -> None:
    b = owing(cast, "email")
    send(cast)
    now = timezone.now()
    post.answer = "451 try again later"
    assert mails(cast, at=now) == 0
    assert way(cast, b).status == "waiting"
    post.answer = "250 ok"
    assert mails(cast, at=now) == 0  # claimed just now
    assert mails(cast, at=now + timezone.timedelta(minutes=16)) == 1


def test_an_address_that_is_refused_for_good_gets_a_letter(cast, post) -> None:
    b = owing(cast, "email")
    send(cast)
    post.answer = "550 no such mailbox"
    assert mails(cast) == 0
    assert way(cast, b, "email").status == "returned"
    assert way(cast, b, "mail").status == "waiting"
    with scope(cast.system):
        assert not AccountHold.objects.exists()
    assert print_letters(cast) is not None


def test_without_an_address_the_refused_mail_holds_the_account(cast, post) -> None:
    b = owing(cast, "email")
    send(cast)
    with scope(cast.system):
        Patient.objects.filter(pk=b.patient.pk).update(address="")
    post.answer = "550 no such mailbox"
    mails(cast)
    with scope(cast.system):
        assert AccountHold.objects.get().kind == "returned"


def test_a_letter_that_comes_back_holds_the_account(cast, enter) -> None:
    b = owing(cast)
    send(cast)
    with scope(cast.actor("ari")), pytest.raises(Refused, match="not left yet"):
        services.delivery_returned(delivery=way(cast, b), actor=cast.actor("ari"))
    print_letters(cast)
    client = enter(cast, "ari")
    page = client.post(reverse("ar:mail_returned", args=[way(cast, b).public_id])).url
    html = client.get(page).content.decode()
    assert "On hold: returned mail" in html
    assert "Came back" in html
    with scope(cast.actor("ari")), pytest.raises(Conflict, match="noted already"):
        services.delivery_returned(delivery=way(cast, b), actor=cast.actor("ari"))


def test_who_chose_e_mail_and_has_no_address_any_more_gets_a_letter(cast) -> None:
    with pytest.raises(Refused, match="no e-mail address"):
        owing(cast, "email", mail="")
    b = owing(cast, "email")
    with scope(cast.system):
        Patient.objects.filter(pk=b.patient.pk).update(email="")
    send(cast)
    assert way(cast, b, "mail").status == "waiting"


def path_of(delivery) -> str:
    return "/" + link_of(delivery).split("/", 3)[3]


def test_a_link_opens_with_the_birth_date_and_closes_after_five_wrong_ones(cast) -> None:
    b, other = owing(cast, "link"), owing(cast, "link")
    send(cast)
    path = path_of(way(cast, b))
    stranger = Client()
    page = stranger.get(path)
    assert page.status_code == 200
    for secret in (b.patient.last_name, b.patient.mrn, "20.00"):
        assert secret not in page.content.decode()
    answer = stranger.post(path, {"born_on": "03/27/1958"})
    assert answer["Content-Type"] == "application/pdf"
    assert "no-store" in answer["Cache-Control"]
    with scope(cast.system):
        assert Event.objects.filter(verb="statement.opened").count() == 1
    path = path_of(way(cast, other))
    for _ in range(5):
        assert stranger.post(path, {"born_on": "01/01/1950"}).status_code == 422
    assert stranger.post(path, {"born_on": "03/27/1958"}).status_code == 404
    assert stranger.get("/bill/forged:token/").status_code == 404


def test_the_choice_and_the_batch_on_screen(cast, enter) -> None:
    b = owing(cast)
    client = enter(cast, "ari")
    choice = reverse("ar:channel", args=[b.patient.public_id])
    assert client.post(choice, {"channel": "email"}).status_code == 302
    assert client.post(choice, {"channel": "mail"}).status_code == 302
    send(cast)
    page = reverse("ar:mail")
    assert "1 letter to be printed" in client.get(page).content.decode()
    client.post(reverse("ar:mail_new"))
    with scope(cast.system):
        batch = MailBatch.objects.get()
    assert batch.number in client.get(page).content.decode()
    pdf = client.get(reverse("ar:mail_pdf", args=[batch.public_id]))
    assert pdf.content.startswith(b"%PDF")
    addresses = client.get(reverse("ar:mail_csv", args=[batch.public_id]))
    assert b.patient.last_name in addresses.content.decode()
