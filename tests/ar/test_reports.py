"""Letters: made once, sent once over a real mail server, without a patient; alerts with hysteresis;
a closed month stays as it was.
"""

from __future__ import annotations

import email
import socket
import threading
from contextlib import closing
from datetime import date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller
from django.db import DatabaseError, connection, transaction
from pypdf import PdfReader

from ar import services as ar
from ar.models import Alert, Delivery, MonthClose, Report
from ar.reports import services
from ar.reports.days import proof_keep
from ar.reports.pdf import lines_of
from rcm.accounts.clock import office_day
from rcm.accounts.models import Membership, Site
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from tests.ar.conftest import bill, deny

D = Decimal
CHICAGO = ZoneInfo("America/Chicago")


class Post:
    """A mail server that keeps what it is given."""

    def __init__(self) -> None:
        self.received: list[email.message.Message] = []
        self.refuse = False

    async def handle_DATA(self, server, session, envelope):
        if self.refuse:
            return "451 try again later"
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
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = port
    yield handler
    controller.stop()


def sunday() -> date:
    today = office_day()
    return today - timedelta(days=today.weekday() + 1)


def monday_at(hour: int, zone: ZoneInfo = CHICAGO) -> datetime:
    day = sunday() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, hour, 5, tzinfo=zone)


def want(cast, *kinds: str, by: str = "mia") -> None:
    actor = cast.actor(by)
    with scope(actor):
        services.subscribe(organization_id=cast.a.pk, kinds=kinds, actor=actor)


@pytest.mark.django_db
def test_a_weekly_letter_arrives_once_and_names_no_patient(cast, post) -> None:
    b = bill(cast, days_ago=20)
    deny(cast, b)
    want(cast, "weekly")
    for _ in range(2):
        services.reports_due(organization_id=cast.a.pk, actor=cast.system, at=monday_at(7))
    (mail,) = post.received
    assert mail["To"] == cast.user("mia").email
    assert mail["Subject"] == f"Weekly report: {cast.a.name}, to {sunday():%B %-d, %Y}"
    body, attached = mail.get_payload()
    content = attached.get_payload(decode=True)
    with scope(cast.system):
        report = Report.objects.get()
        assert bytes(report.pdf) == content
    pages = PdfReader(BytesIO(content)).pages
    words = "".join(p.extract_text() for p in pages)
    said = mail["Subject"] + body.get_payload(decode=True).decode() + words
    for secret in (b.patient.last_name, b.patient.mrn, b.claim.number, b.coverage.member_id):
        assert secret not in said
    assert "Denial rate" in words
    assert "Open balances by payer and age" in words


@pytest.mark.django_db
def test_the_hour_is_the_organization_s_own(cast, post) -> None:
    want(cast, "weekly")
    with scope(cast.system):
        Site.objects.filter(organization=cast.a).update(time_zone="America/Los_Angeles")
    asked = {"organization_id": cast.a.pk, "actor": cast.system}
    assert services.reports_due(**asked, at=monday_at(8)) == 0  # six in Los Angeles
    assert services.reports_due(**asked, at=monday_at(9)) == 1
    assert len(post.received) == 1


@pytest.mark.django_db
def test_nobody_is_told_who_may_not_see(cast, post) -> None:
    want(cast, "weekly", by="ari")
    want(cast, "weekly")
    Membership.objects.filter(user=cast.user("ari"), organization=cast.a).delete()
    services.reports_due(organization_id=cast.a.pk, actor=cast.system, at=monday_at(7))
    assert [m["To"] for m in post.received] == [cast.user("mia").email]


@pytest.mark.django_db
def test_a_mail_server_that_refuses_is_asked_again(cast, post) -> None:
    want(cast, "weekly")
    post.refuse = True
    asked = {"organization_id": cast.a.pk, "actor": cast.system}
    assert services.reports_due(**asked, at=monday_at(7)) == 0
    with scope(cast.system):
        assert "did not take it" in Delivery.objects.get().error
    post.refuse = False
    assert services.reports_due(**asked, at=monday_at(7) + timedelta(minutes=5)) == 0
    assert services.reports_due(**asked, at=monday_at(8)) == 1
    with scope(cast.system):
        row = Delivery.objects.get()
    assert (row.error, row.attempts) == ("", 2)
    assert row.sent_at is not None


@pytest.mark.django_db(transaction=True)
def test_two_schedulers_send_one(cast_committed, post) -> None:
    cast = cast_committed
    want(cast, "weekly")
    gate, problems = threading.Barrier(2), []

    def run() -> None:
        try:
            gate.wait()
            services.reports_due(organization_id=cast.a.pk, actor=cast.system, at=monday_at(7))
        except Exception as problem:
            problems.append(problem)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert problems == []
    assert len(post.received) == 1
    with scope(cast.system):
        assert Report.objects.count() == 1


@pytest.mark.django_db
def test_an_alert_is_told_once_and_again_only_after_it_was_over(cast, post) -> None:
    actor = cast.actor("mia")
    want(cast, "alert")
    for n in range(3):
        bill(cast, days_ago=30 + n, paid=80, contractual=220, status="paid")
    denied = bill(cast, days_ago=30)
    deny(cast, denied)
    with scope(actor):
        with pytest.raises(Refused, match="lies below"):
            services.threshold_set(
                organization_id=cast.a.pk,
                kpi="denial_rate",
                raise_at=D("0.2"),
                clear_at=D("0.3"),
                actor=actor,
            )
        services.threshold_set(
            organization_id=cast.a.pk,
            kpi="denial_rate",
            raise_at=D("0.24"),
            clear_at=D("0.15"),
            actor=actor,
        )
    asked = {"organization_id": cast.a.pk, "actor": cast.system}
    assert services.alerts_send(**asked) == 1  # 1 of 4
    assert services.alerts_send(**asked) == 0
    (mail,) = post.received
    assert "Denial rate is 25.0%, past 24.0%" in mail.get_payload()
    assert denied.patient.last_name not in mail.as_string()
    for n in range(2):  # 1 of 6: below the limit, not yet below the other
        bill(cast, days_ago=25 + n, paid=80, contractual=220, status="paid")
    assert services.alerts_send(**asked) == 0
    with scope(cast.system):
        row = Alert.objects.get()
        assert row.cleared_at is None
        assert row.rows == [["claim", denied.claim.pk]]
    bill(cast, days_ago=24, paid=80, contractual=220, status="paid")  # 1 of 7
    services.alerts_send(**asked)
    with scope(cast.system):
        assert Alert.objects.get().cleared_at is not None
    for n in range(2):  # 3 of 9
        deny(cast, bill(cast, days_ago=26 + n))
    assert services.alerts_send(**asked) == 1
    assert len(post.received) == 2


def last_month() -> tuple[date, date]:
    last = office_day().replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


@pytest.mark.django_db
def test_a_month_closes_with_its_checks_and_its_report_never_changes(cast, enter) -> None:
    first, last = last_month()
    bill(cast, days_ago=(office_day() - first).days + 20)
    manager = cast.actor("mia")
    with scope(cast.system):
        checks = {c.code: c for c in services.month_checks(cast.a.pk, first)}
    assert checks["balanced"].passed
    assert checks["balances"].passed
    assert checks["aging"].passed
    assert not checks["kept"].passed
    asked = {"organization_id": cast.a.pk, "actor": manager}
    with scope(manager):
        with pytest.raises(Refused, match="does not hold"):
            services.month_close(month=first, notes={}, **asked)
        with pytest.raises(Refused, match="not ended"):
            services.month_close(month=office_day(), notes={}, **asked)
    path = f"/months/{cast.a.public_id}/{first.year}-{first.month}/"
    client = enter(cast, "mia")
    assert client.post(path, {}).status_code == 422
    kept = {"note_kept": "The product started later"}
    assert client.post(path, kept).status_code == 422  # the books were never proved
    proof_keep(organization_id=cast.a.pk)
    assert client.post(path, kept).status_code == 302
    with scope(cast.system):
        closed = MonthClose.objects.get()
        report = closed.report
        content = bytes(report.pdf)
        assert services.corrections(report) == []
    bill(cast, days_ago=(office_day() - last).days + 3, charged=900)  # entered late
    with scope(manager):
        with pytest.raises(Refused, match="closed already"):
            services.month_close(month=first, notes={"kept": "x"}, **asked)
        again = services.report_make(
            organization_id=cast.a.pk, kind="monthly", last=last, actor=manager
        )
        assert again.pk == report.pk
        assert bytes(again.pdf) == content
        assert "A/R over 90 days" not in [c.label for c in services.corrections(report)]
        assert "Charge lag" in [c.label for c in services.corrections(report)]
    page = client.get(f"/reports/{report.public_id}/").content.decode()
    assert "Recomputed today" in page
    with pytest.raises(DatabaseError), transaction.atomic(), scope(cast.system):
        Report.objects.update(sentence="other")


@pytest.mark.django_db
def test_the_screens(cast, enter) -> None:
    bill(cast)
    with scope(cast.system):
        ar.kpi_snapshot(organization_id=cast.a.pk, day=sunday(), actor=cast.system)
    mia, olga = enter(cast, "mia"), enter(cast, "olga")
    made = {"organization": cast.a.pk, "kind": "weekly", "last": f"{sunday():%m/%d/%Y}"}
    today = f"{office_day():%m/%d/%Y}"
    assert mia.post("/reports/new/", made | {"last": today}).status_code == 422
    assert mia.post("/reports/new/", made).status_code == 302
    wanted = {"organization": cast.a.pk, "kinds": ["weekly", "alert"]}
    assert mia.post("/reports/wanted/", wanted).status_code == 302
    watch = {"organization": cast.a.pk, "kpi": "denial_rate", "raise_at": "8", "clear_at": "6"}
    assert mia.post("/reports/watch/", watch | {"clear_at": "9"}).status_code == 422
    assert mia.post("/reports/watch/", watch).status_code == 302
    page = mia.get("/reports/").content.decode()
    assert "told past 8.0%, over at 6.0%" in page
    with scope(cast.system):
        report = Report.objects.get()
    pdf = mia.get(f"/reports/{report.public_id}.pdf")
    assert pdf.content.startswith(b"%PDF")
    assert olga.get(f"/reports/{report.public_id}.pdf").status_code in (403, 404)
    assert mia.get(f"/reports/{report.public_id}/").status_code == 200


def test_a_sentence_breaks_between_words() -> None:
    assert lines_of("one two three", 7) == ["one two", "three"]
    assert lines_of("") == []
