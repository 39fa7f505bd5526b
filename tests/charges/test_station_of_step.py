"""An N-SET never names the machine: its sender is not taken for one."""

from __future__ import annotations

import pytest

from charges.dicom import records
from rcm.exchange.dicom import MppsFacts


@pytest.mark.parametrize(
    ("operation", "station", "expected"),
    [
        ("N-CREATE", "MR1", "MR1"),
        ("N-CREATE", "", "GATEWAY"),
        ("N-SET", "", ""),
        ("N-SET", "MR1", "MR1"),
    ],
)
def test_the_station_of_a_step(operation, station, expected) -> None:
    facts = MppsFacts(operation, "1.2.3", calling_ae="GATEWAY", station_ae=station)
    (record,) = records(facts, 1, accessions=["A1"], supply_kinds={})
    assert record.station == expected
