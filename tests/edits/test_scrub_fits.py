"""Conflicts of sex stop a claim, the billing ZIP is a real one, and a payer is the same payer by
code, electronic number or name.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from claims.edits import scrub
from claims.edits.enrollment import alias
from claims.edits.examples import AS_OF, SITE, claim, line, reference
from claims.edits.reference import Span
from claims.facts import enrollments_of
from rcm.accounts.scope import scope
from rcm.network.models import NetworkSpan
from rcm.reference.models import Payer


def blocks(facts, ref=None) -> dict[str, bool]:
    found = scrub([facts], ref or reference(), as_of=AS_OF)[0]
    return {finding.edit_id: finding.blocks for finding in found}


@pytest.mark.parametrize(
    ("facts", "edit_id", "stops"),
    [
        (claim(line("76801"), patient_sex="M", diagnoses=("R079",)), "COD-011", True),
        (claim(line("76801", "KX"), patient_sex="M", diagnoses=("R079",)), "COD-011", False),
        (claim(diagnoses=("C61",)), "COD-012", True),
        (claim(line("72148", "KX"), diagnoses=("C61",)), "COD-012", False),
    ],
)
def test_a_conflict_of_sex_blocks_unless_the_provider_knows_of_it(facts, edit_id, stops):
    assert blocks(facts)[edit_id] is stops


@pytest.mark.parametrize(
    ("zip_code", "stops"),
    [("951280000", True), ("95128-0000", True), ("951281234", False), ("000019999", False)],
)
def test_the_billing_zip_has_a_real_plus_four(zip_code, stops):
    found = blocks(claim(billing_address=replace(SITE, zip=zip_code)))
    assert found.get("FMT-009", False) is stops


@pytest.mark.parametrize("named", ["code", "edi_id", "name"])
@pytest.mark.django_db
def test_a_payer_by_any_of_its_names_finds_the_same_enrollment(cast, named):
    payer = Payer.objects.get(code="PHP")
    facts = claim(payer_id=getattr(payer, named).lower())
    npi = facts.billing_npi
    with scope(cast.system):
        NetworkSpan.objects.create(
            organization=cast.a,
            kind="reader",
            npi=npi,
            payer=payer,
            status="in",
            effective_from=date(2020, 1, 1),
            recorded_by="test",
            recorded_at=datetime(2020, 1, 1, tzinfo=UTC),
        )
        spans = enrollments_of({npi}, {cast.a.pk})[cast.a.pk]
    assert spans[(npi, alias(facts.payer_id))] == (Span(date(2020, 1, 1), None),)
    assert "ENR-001" not in blocks(facts, replace(reference(), enrollments=spans))
    assert blocks(facts, replace(reference(), enrollments={}))["ENR-001"] is True
