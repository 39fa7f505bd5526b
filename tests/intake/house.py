"""A small imaging group for the front end's examples, and a payer that answers over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from zoneinfo import ZoneInfo

from intake.services import ExamAsk, coverage_add, order_place, patient_create
from rcm.accounts.models import Site
from rcm.exchange.models import Connection, Direction, Interchange
from rcm.exchange.services import drain
from rcm.reference.models import Payer, Provider
from rcm.x12 import Envelope, read_270, write_271
from rcm.x12.model import (
    Benefit,
    DatePeriod,
    EligibilityRequest,
    EligibilityResponse,
    Rejection,
    Trace,
)

CHICAGO = ZoneInfo("America/Chicago")


def moment(text: str) -> datetime:
    """ "2026-03-02 09:30" at the site."""
    return datetime.fromisoformat(text).replace(tzinfo=CHICAGO)


NOW = moment("2026-03-02 09:00")  # a Monday


def payer(code: str = "PHP") -> Payer:
    return Payer.objects.get(code=code)


def provider(npi: str = "1932102084") -> Provider:
    row, _ = Provider.objects.get_or_create(
        npi=npi,
        defaults={
            "last_name": "Referrer",
            "first_name": "Ann",
            "practice": "Referrer Clinic",
            "phone": "3125550199",
        },
    )
    return row


def patient(
    cast,
    *,
    last: str = "Ibarra",
    first: str = "Marisol",
    born: date = date(1958, 3, 27),
    mrn: str = "M880412",
    **values,
):
    given = {
        "address": "118 Test St",
        "city": "Chicago",
        "state": "IL",
        "zip": "60601",
        "phone": "3125550142",
        "sex": "F",
    } | values
    return patient_create(
        organization_id=cast.a.pk,
        actor=cast.system,
        at=NOW,
        last_name=last,
        first_name=first,
        born_on=born,
        mrn=mrn,
        **given,
    )


def insured(cast, who=None, code: str = "PHP", member: str = "PRA123456789"):
    who = who or patient(cast)
    return coverage_add(patient=who, payer=payer(code), member_id=member, actor=cast.system, at=NOW)


def order(cast, who, *codes: str, **values):
    asks = [ExamAsk(c) for c in codes or ("70551",)]
    given = {
        "ordering": provider(),
        "signed": True,
        "indication": "headache, new focal weakness",
        "diagnoses": ["R51.9"],
    } | values
    return order_place(patient=who, exams=asks, actor=cast.system, at=NOW, ordered_at=NOW, **given)


def exams_of(row) -> list:
    return list(row.exams.order_by("id"))


def site(cast) -> Site:
    return Site.objects.get(pk=cast.north.pk)


Answer = Callable[[EligibilityRequest], EligibilityResponse]


def active(request: EligibilityRequest, **values) -> EligibilityResponse:
    """The usual yes: active plan, copay 40, coinsurance 20 %, deductible 500 of which 120 is
    left.
    """
    benefits = (
        Benefit(
            "1",
            "IND",
            ("30",),
            plan="Prairie PPO",
            dates=(DatePeriod("346", date(2026, 1, 1), date(2026, 1, 1)),),
        ),
        Benefit("C", "IND", ("30",), time_period="23", amount=Decimal("500.00"), in_network="Y"),
        Benefit("C", "IND", ("30",), time_period="29", amount=Decimal("120.00"), in_network="Y"),
        Benefit("A", "IND", ("62",), percent=Decimal("0.2"), in_network="Y"),
        Benefit(
            "B",
            "IND",
            ("62",),
            amount=values.pop("copay", Decimal("40.00")),
            in_network="Y",
            authorization=values.pop("authorization", ""),
        ),
        Benefit("G", "IND", ("30",), time_period="29", amount=Decimal("2400.00"), in_network="Y"),
    )
    return EligibilityResponse(
        payer=request.payer,
        provider=request.provider,
        subscriber=request.subscriber,
        dependent=request.dependent,
        traces=(Trace(request.trace, request.trace_origin, "2"),),
        benefits=benefits,
        reference=request.reference,
        **values,
    )


def inactive(request: EligibilityRequest) -> EligibilityResponse:
    return EligibilityResponse(
        payer=request.payer,
        provider=request.provider,
        subscriber=request.subscriber,
        traces=(Trace(request.trace, request.trace_origin, "2"),),
        benefits=(Benefit("6", "IND", ("30",)),),
    )


def unknown_member(request: EligibilityRequest) -> EligibilityResponse:
    return EligibilityResponse(
        payer=request.payer,
        provider=request.provider,
        subscriber=request.subscriber,
        traces=(Trace(request.trace, request.trace_origin, "2"),),
        rejections=(Rejection(False, "72", "C", "subscriber"),),
    )


ENVELOPE = Envelope("CLEARING", "CANA", 900_000_001, date(2026, 3, 2))


class Payers:
    """What the HTTP partner does with a set: `answers[kind]` maps the received bytes to the
    answer's bytes.
    """

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.answers: dict[bytes, Callable[[bytes], bytes]] = {}
        self._control = 900_000_000

    def envelope(self) -> Envelope:
        self._control += 1
        return Envelope("CLEARING", "CANA", self._control, date(2026, 3, 2))

    def eligibility(self, answer: Answer) -> None:
        self.answers[b"ST*270"] = lambda body: (
            write_271(self.envelope(), [answer(r) for r in read_270(body)]).data
        )

    def reply(self, body: bytes) -> bytes:
        self.received.append(body)
        return next((make(body) for mark, make in self.answers.items() if mark in body), b"")


@contextmanager
def partner(settings, cast, *, kinds: tuple[str, ...] = ("270", "278")) -> Iterator[Payers]:
    """A payer on this machine, its connection in organization A."""
    from rcm.accounts.scope import scope

    payers = Payers()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = payers.reply(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/edi-x12")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_address[1]}"
    settings.EXCHANGE_TRUSTED_HOSTS = [host]
    with scope(cast.system):
        Connection.objects.create(
            organization=cast.a,
            kind="http",
            name="Test payers",
            sender="CLEARING",
            url=f"http://{host}/x12/realtime",
            config={"sets": list(kinds)},
        )
    try:
        yield payers
    finally:
        server.shutdown()
        server.server_close()


def run_all(cast, at: datetime = NOW) -> None:
    """Deliver, send and process everything that waits."""
    drain([cast.a.pk], at=at)


def inbound(cast, kind: str, content: bytes, at: datetime = NOW) -> Interchange:
    from rcm.accounts.scope import scope
    from rcm.exchange.services import store_inbound

    with scope(cast.system):
        row, _ = store_inbound(
            organization_id=cast.a.pk, kind=kind, content=content, at=at, actor=cast.system
        )
    assert row.direction == Direction.IN
    return row
