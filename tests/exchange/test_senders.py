"""Who may write: known connections alone, from their own networks, into their own organization."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rcm.accounts.scope import scope
from rcm.exchange import hl7, receive
from rcm.exchange.models import Interchange, InterchangeStatus
from rcm.exchange.origin import Origin
from tests.exchange.conftest import adt

pytestmark = pytest.mark.django_db(transaction=True)
AT = datetime(2026, 9, 4, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _fresh():
    receive.strangers.forget()


def ask(content: bytes, address: str = "10.1.2.3", certificate: str = "") -> tuple[str, str]:
    answer = receive.receive_hl7(content, at=AT, origin=Origin(address, certificate))
    told = hl7.parse(answer)
    return told.value("MSA-1"), told.value("MSA-3") or told.value("ERR-8")


def kept(cast) -> list[Interchange]:
    with scope(cast.system):
        return list(Interchange.objects.order_by("id"))


@pytest.mark.parametrize(
    "changes",
    [
        {"REG|CANA-NORTH": "ROGUE|NOWHERE"},
        {"REG|CANA-NORTH": "ROGUE|CANA"},
        {"REG|CANA-NORTH": "REG|CANB"},
        {"REG|CANA-NORTH": "|CANA-NORTH-2"},
    ],
    ids=str,
)
def test_a_sender_that_is_not_known_is_kept_without_effect(
    cast_committed, known, quiet, changes
) -> None:
    code, sentence = ask(adt(1, **changes))
    assert code == "AR"
    assert "not known here" in sentence
    (row,) = kept(cast_committed)
    assert (row.status, row.connection) == (InterchangeStatus.QUARANTINED, None)
    assert row.ordering_key == "", "nothing takes it up"


def test_a_known_sender_writes_into_its_own_organization(cast_committed, known, quiet) -> None:
    assert ask(adt(1))[0] == "AA"
    (row,) = kept(cast_committed)
    assert (row.status, row.connection_id) == (InterchangeStatus.STORED, known.pk)


@pytest.mark.parametrize("field", ["RCM|CANB|", "CANB|RCM|", "RCM|CANB-MAIN|"])
def test_a_known_sender_that_names_another_organization_is_quarantined(
    cast_committed, known, quiet, field
) -> None:
    code, sentence = ask(adt(1, **{"RCM|CANA|": field}))
    assert code == "AR"
    assert "not this sender's" in sentence
    (row,) = kept(cast_committed)
    assert row.status == InterchangeStatus.QUARANTINED
    with scope(cast_committed.system_b):
        assert not Interchange.objects.exists()


@pytest.mark.parametrize(
    ("config", "origin", "code"),
    [
        ({"networks": ["10.1.0.0/16"]}, ("10.1.2.3", ""), "AA"),
        ({"networks": ["10.1.0.0/16"]}, ("10.2.2.3", ""), "AR"),
        ({"networks": ["10.1.0.0/16", "fd00::/8"]}, ("fd00::7", ""), "AA"),
        ({"networks": ["10.1.0.0/16"]}, ("", ""), "AR"),
        ({"certificate": "ris.cana.test"}, ("10.1.2.3", "ris.cana.test"), "AA"),
        ({"certificate": "ris.cana.test"}, ("10.1.2.3", "ris.other.test"), "AR"),
        ({"certificate": "ris.cana.test"}, ("10.1.2.3", ""), "AR"),
    ],
)
def test_a_connection_may_be_bound_to_networks_and_a_certificate(
    cast_committed, known, quiet, config, origin, code
) -> None:
    with scope(cast_committed.system):
        known.config = config
        known.save()
    assert ask(adt(1), *origin)[0] == code


def test_a_stranger_fills_no_disk_and_locks_nobody_else_out(
    cast_committed, known, quiet, monkeypatch
) -> None:
    monkeypatch.setattr(receive, "strangers", receive.Throttle(most=3))
    codes = [ask(adt(n, REG="ROGUE"), "10.9.9.9") for n in range(8)]
    assert {code for code, _ in codes} == {"AR"}
    assert "too many" in codes[-1][1]
    assert len(kept(cast_committed)) == 3
    assert ask(adt(50), "10.9.9.9")[0] == "AA", "a known sender at the same address gets through"
    assert "not known" in ask(adt(51, REG="ROGUE"), "10.9.9.8")[1], "each address for itself"
