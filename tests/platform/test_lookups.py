"""Many ids in a filter find what a few find, one by one."""

from __future__ import annotations

import gc

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from intake.models import Coverage, Patient
from rcm.accounts.lookups import MANY
from rcm.accounts.memory import settle
from rcm.accounts.scope import scope
from rcm.ledger.models import LedgerEntry
from rcm.reference.models import Payer
from tests.remittance.crowd import AT

pytestmark = pytest.mark.django_db


@pytest.fixture
def patients(cast):
    with scope(cast.system):
        rows = Patient.objects.bulk_create(
            [
                Patient(
                    organization=cast.a, mrn=f"L{n}", last_name=f"P{n}", born_on=AT.date(), sex="F"
                )
                for n in range(MANY * 2)
            ]
        )
        payer = Payer.objects.first()
        Coverage.objects.bulk_create(
            [
                Coverage(organization=cast.a, patient=p, payer=payer, rank=1, member_id=str(p.pk))
                for p in rows
            ]
        )
        yield rows


def names(queryset) -> set[str]:
    return set(queryset.values_list("last_name", flat=True))


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_keys_of_rows(patients, kind):
    some = patients[: MANY + 3]
    wanted = kind([p.pk for p in some])
    with CaptureQueriesContext(connection) as queries:
        assert names(Patient.objects.filter(pk__in=wanted)) == {p.last_name for p in some}
        assert names(Patient.objects.exclude(pk__in=wanted)) == {
            p.last_name for p in patients[MANY + 3 :]
        }
    assert all("= ANY('{" in q["sql"] for q in queries)


def test_few_values_go_the_usual_way(patients):
    with CaptureQueriesContext(connection) as queries:
        assert names(Patient.objects.filter(pk__in=[patients[0].pk, patients[1].pk])) == {
            "P0",
            "P1",
        }
    assert " IN (" in queries[0]["sql"]


def test_references_by_key_by_row_and_across_tables(patients):
    some = patients[:MANY]
    keys = [p.pk for p in some]
    for found in (
        Coverage.objects.filter(patient_id__in=keys),
        Coverage.objects.filter(patient__in=keys),
        Coverage.objects.filter(patient__in=some),
        Coverage.objects.filter(patient__in=Patient.objects.filter(pk__in=keys)),
        Coverage.objects.filter(patient__coverages__patient_id__in=keys),
    ):
        assert {c.patient_id for c in found} == set(keys)
    with_coverages = Patient.objects.filter(pk__in=keys).prefetch_related("coverages")
    assert [len(p.coverages.all()) for p in with_coverages] == [1] * MANY
    assert set(Patient.objects.in_bulk(keys)) == set(keys)


def test_nothing_and_what_is_no_number_mean_what_they_meant(patients):
    keys = [p.pk for p in patients[:MANY]]
    assert names(Patient.objects.filter(pk__in=[])) == set()
    assert names(Patient.objects.filter(pk__in=[None] * MANY)) == set()
    assert len(names(Patient.objects.filter(pk__in=[*keys, None]))) == MANY
    assert len(names(Patient.objects.filter(pk__in=[str(k) for k in keys]))) == MANY
    assert len(names(Patient.objects.filter(mrn__in=[f"L{n}" for n in range(MANY)]))) == MANY
    assert not LedgerEntry.objects.filter(charge_id__in=range(1, MANY)).exists()
    with pytest.raises(ValueError, match="expected a number"):
        Patient.objects.filter(pk__in=[*keys, "x"])


def test_what_a_process_has_loaded_is_looked_at_no_more():
    before = gc.get_threshold()
    try:
        settle()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
