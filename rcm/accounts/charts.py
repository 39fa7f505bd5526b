"""Which tables belong to a patient, and what becomes of their rows when two charts are made one.

Each model that names a patient says so itself (`TenantModel.patient_keys`); this is the one place
where they are asked. A table that names a patient and is not declared fails a test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.apps import apps
from django.db.models import Q


class Follow(StrEnum):
    """What a merge does with the rows of the chart that goes."""

    MOVES = "moves"  # the row is given the chart that stays
    STAYS = "stays"  # written once and never changed: read for all charts of the person together
    ENTRIES = "entries"  # the ledger: counter-entries carry over what no charge carries


@dataclass(frozen=True, slots=True)
class SetAside:
    """Rows of which a chart may hold only one: where both charts have one, that of the chart that
    goes is changed by `change`. `per` are the columns within which there may be one.
    """

    condition: Q
    change: Mapping[str, Any]
    per: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PatientKey:
    """A column that holds a patient's id. `derived` is the lookup to the patient of the row that
    this one was made from: what is made after a merge goes back with what it was made from. `ledger` is the column of ledger entries
    that names such a row: its money goes with it.
    """

    column: str = "patient_id"
    follow: Follow = Follow.MOVES
    set_aside: SetAside | None = None
    derived: str = ""
    ledger: str = ""


def patient_keys(follow: Follow | None = None) -> Iterator[tuple[Any, PatientKey]]:
    """(model, key) of every table that belongs to a patient, in the order of the thread."""
    for model in apps.get_models():
        for key in getattr(model, "patient_keys", ()):
            if follow is None or key.follow == follow:
                yield model, key


_SUBJECTS: set[str] = set()


def register_subject(*kinds: str) -> None:
    """Kinds of work item whose subject is a patient."""
    _SUBJECTS.update(kinds)


def patient_subjects() -> list[str]:
    return sorted(_SUBJECTS)
