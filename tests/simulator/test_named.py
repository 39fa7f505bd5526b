"""Connections know the simulator by its name: another port of today breaks no exchange."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from rcm.accounts.scope import scope
from rcm.exchange.mailbox import pick_up
from rcm.exchange.models import Connection
from rcm.exchange.transport import Forbidden, called, check_url, is_public
from rcm.simulator.connections import connections_named
from rcm.simulator.server import serve


@contextmanager
def simulator(settings):
    """The simulator on another port each time."""
    server = serve("127.0.0.1", 0, one_by_one=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    host = f"127.0.0.1:{server.server_address[1]}"
    settings.SIMULATOR_URL, settings.EXCHANGE_TRUSTED_HOSTS = f"http://{host}", [host]
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_name_leads_to_todays_port(settings) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:9111"
    settings.EXCHANGE_TRUSTED_HOSTS = ["127.0.0.1:9111"]
    assert called("http://simulator/x12/batch") == "http://127.0.0.1:9111/x12/batch"
    for other in ("https://simulator.example/x12", "https://payer.example/a", "", "http://[bad"):
        assert called(other) == other
    check_url(called("http://simulator/x12/batch"))


def test_where_nobody_trusts_it_the_name_is_refused(settings) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:9111"
    settings.EXCHANGE_TRUSTED_HOSTS = []
    with pytest.raises(Forbidden, match="https"):
        check_url(called("http://simulator/x12/batch"))


@pytest.mark.django_db(transaction=True)
def test_a_mailbox_is_reached_on_another_port_of_another_day(cast_committed, settings) -> None:
    cast = cast_committed
    with scope(cast.system):
        box = Connection.objects.create(
            organization=cast.a,
            kind="http",
            name="Clearinghouse",
            url="http://simulator/x12/batch",
            config={"mailbox": f"http://simulator/x12/mailbox/{cast.a.code}"},
        )
    for _ in range(2):
        with simulator(settings):
            assert pick_up(box, actor=cast.system) == []


@pytest.mark.django_db
def test_an_older_demo_s_ports_become_the_name(cast, settings) -> None:
    with scope(cast.system):
        old = Connection.objects.create(
            organization=cast.a,
            kind="http",
            name="Clearinghouse",
            url="http://127.0.0.1:8010/x12/batch",
            config={"mailbox": "http://127.0.0.1:8010/x12/mailbox/A", "sets": ["837P"]},
        )
        own = Connection.objects.create(
            organization=cast.a, kind="http", name="Real", url="https://payer.example/x12/in"
        )
    settings.DEMO = False
    assert connections_named() == 0
    settings.DEMO = True
    assert connections_named() == 1
    assert connections_named() == 0
    with scope(cast.system):
        old.refresh_from_db()
        own.refresh_from_db()
    assert old.url == "http://simulator/x12/batch"
    assert old.config == {"mailbox": "http://simulator/x12/mailbox/A", "sets": ["837P"]}
    assert own.url == "https://payer.example/x12/in"


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::a00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "::ffff:10.0.0.1",
        "2002:a00:1::",
        "fe80::1%eth0",
        "::1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
    ],
)
def test_an_address_that_leads_inside_is_not_public(address) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_an_address_of_the_open_internet_is_public(address) -> None:
    assert is_public(address)
