"""Claims judged with the tables of the database: worked examples, repairs, overrides,
runs.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from charges.models import Report
from claims.models import Claim, ClaimLine, ScrubFinding
from claims.services import (
    claims_build,
    claims_scrub,
    finding_override,
    finding_restore,
    scrub_run,
    scrub_start,
)
from intake.models import Coverage
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.clock import SiteClock
from rcm.accounts.models import Site
from rcm.accounts.problems import Refused
from rcm.audit.models import Event
from rcm.jobs.models import JobRun
from rcm.reference.facts import forget, state_rules
from rcm.worklist.models import WorkItem
from tests.claims.house import NOW, blocks, built, many, ready, released


def scrub(house, claim, at=NOW):
    found = claims_scrub(claim_ids=[claim.pk], actor=house.actor, at=at)
    claim.refresh_from_db()
    return found


def test_a_clean_claim_is_ready_and_says_so_once(house):
    claim = ready(house)
    assert claim.clean_first_pass is True
    scrub(house, claim)
    assert Event.objects.filter(claim_id=claim.pk, verb="claim.ready").count() == 1
    assert not WorkItem.objects.filter(subject_type="claim", status="open").exists()


def test_what_the_edits_keep_of_the_states_does_not_stand_in_for_the_dated_rules(house):
    """Both are kept in the process under a name; scrubbing first must leave the other's answer
    alone.
    """
    forget()
    ready(house)
    assert state_rules(NOW.date())["IL"].state == "IL"


def test_contrast_and_its_drug_pass_together(house):
    claim = ready(house, code="70553", contrast=True)
    assert claim.status == "ready"


def test_a_technical_line_in_a_hospital_is_blocked_d6(house):
    """71046 TC with POS 22 is blocked, 71046-26 with POS 22 is allowed."""
    claim = built(house, released(house, "71046", auth=False))
    line = claim.lines.get()
    for modifiers, stopped in ((["TC"], True), (["26"], False)):
        ClaimLine.objects.filter(pk=line.pk).update(modifiers=modifiers)
        Claim.objects.filter(pk=claim.pk).update(pos="22")
        type(line.charge).objects.filter(pk=line.charge_id).update(pos="22")
        type(line.charge.exam).objects.filter(pk=line.charge.exam_id).update(form={})
        scrub(house, claim)
        components = [e for e in blocks(claim) if e.startswith("CMP")]
        assert bool(components) is stopped, components


def test_a_replacement_without_the_payers_number_is_blocked(house):
    claim = ready(house)
    Claim.objects.filter(pk=claim.pk).update(frequency="7", payer_control_number="")
    scrub(house, claim)
    assert "FMT-002" in blocks(claim)


def test_ga_without_a_notice_on_file_is_blocked(house):
    """A GA line needs its signed notice; Medicare."""
    claim = built(house, released(house, payer="MCR", auth=False))
    claim.lines.update(modifiers=["GA"])
    scrub(house, claim)
    assert "NEC-004" in blocks(claim)
    gz = claim.lines.get()
    gz.modifiers = ["GZ"]
    gz.save()
    scrub(house, claim)
    assert "NEC-004" not in blocks(claim)


def test_two_units_of_a_screening_mammogram_are_blocked_three_brains_warn(house):
    """By the loaded MUE rows: adjudication indicator 2 blocks, 3 warns."""
    claim = ready(house)
    claim.lines.update(units=3)
    scrub(house, claim)
    edits = dict(
        claim.findings.filter(cleared_at__isnull=True, edit__startswith="NCC").values_list(
            "edit", "severity"
        )
    )
    assert set(edits.values()) <= {"W"}


def test_filed_too_late_is_blocked_and_on_the_last_day_is_not(house):
    claim = built(house, released(house))
    assert claim.filing_deadline is not None
    last = dt.datetime.combine(claim.filing_deadline, dt.time(18), tzinfo=dt.UTC)
    scrub(house, claim, at=last)
    assert "TIM-001" not in blocks(claim)
    scrub(house, claim, at=last + dt.timedelta(days=1))
    assert "TIM-001" in blocks(claim)
    item = WorkItem.objects.get(subject_type="claim", subject_id=claim.pk)
    assert item.queue == "scrub_edits"
    assert item.cause == "TIM-001"
    assert item.due_at == last + dt.timedelta(days=1)  # no time to work is left


def test_the_filing_limit_ends_at_midnight_of_the_claims_own_site(house):
    """A Honolulu claim on its last day is in time although the office is in the next day."""
    claim = built(house, released(house))
    Site.objects.filter(pk=claim.site_id).update(time_zone="Pacific/Honolulu", state="HI")
    assert claim.filing_deadline is not None
    here = SiteClock("Pacific/Honolulu")
    scrub(house, claim, at=here.ends(claim.filing_deadline))
    assert "TIM-001" not in blocks(claim)
    scrub(house, claim, at=here.begins(claim.filing_deadline + dt.timedelta(days=1)))
    assert "TIM-001" in blocks(claim)


def test_the_same_service_on_a_second_claim_is_blocked(house):
    first = ready(house)
    line = first.lines.get()
    second = Claim.objects.get(pk=first.pk)
    second.pk, second.public_id, second.number, second.status = None, _uuid(), "CA999999", "draft"
    second._state.adding = True
    second.save()
    line.pk, line.public_id, line.claim, line.control = None, _uuid(), second, "CA999999-1"
    line._state.adding = True
    line.save()
    scrub(house, second)
    assert "DUP-001" in blocks(second)
    scrub(house, first)
    assert first.status == "ready"  # of two that wait, the earlier one goes


def test_an_inactive_coverage_stops_the_claim_until_it_is_active_again(house):
    claim = built(house, released(house))
    Coverage.objects.filter(pk=claim.coverage_id).update(status="inactive")
    scrub(house, claim)
    assert claim.status == "blocked"
    assert claim.clean_first_pass is False
    item = WorkItem.objects.get(subject_type="claim", subject_id=claim.pk)
    assert item.facts["role"] == "front_desk"
    assert item.dollars == claim.expected
    Coverage.objects.filter(pk=claim.coverage_id).update(status="active")
    scrub(house, claim)
    item.refresh_from_db()
    assert (claim.status, item.status) == ("ready", "closed")
    finding = ScrubFinding.objects.get(claim=claim, edit="COV-002")
    assert finding.cleared_at == NOW


def test_writing_is_repaired_and_recorded_without_values(house):
    claim = built(house, released(house))
    Claim.objects.filter(pk=claim.pk).update(diagnoses=["r51.9"], authorization_number=" AUTHM1 ")
    found = scrub(house, claim)
    assert claim.diagnoses == ["R519"]
    assert claim.authorization_number == "AUTHM1"
    assert found.repairs > 0
    event = Event.objects.get(claim_id=claim.pk, verb="claim.repaired")
    assert "AUTHM1" not in str(event.data)
    assert "CANARY" not in str(event.data).upper()
    scrub(house, claim)
    assert Event.objects.filter(claim_id=claim.pk, verb="claim.repaired").count() == 1


def test_an_override_needs_the_right_a_reason_and_an_edit_that_allows_it(house):
    claim = built(house, released(house))
    Coverage.objects.filter(pk=claim.coverage_id).update(status="inactive")
    scrub(house, claim)
    finding = claim.findings.get(edit="COV-002")
    with pytest.raises(PermissionRefused):
        finding_override(
            finding=finding, reason="card seen", actor=house.cast.actor("cody"), at=NOW
        )
    with pytest.raises(Refused, match="Say why"):
        finding_override(finding=finding, reason=" ", actor=house.cast.actor("ben"), at=NOW)
    finding_override(
        finding=finding, reason="card seen at the desk", actor=house.cast.actor("ben"), at=NOW
    )
    claim.refresh_from_db()
    finding.refresh_from_db()
    assert claim.status == "ready"
    assert finding.overridden_by == "Ben Biller"
    assert finding.cleared_at is None
    scrub(house, claim)
    assert claim.status == "ready"
    finding_restore(finding=finding, actor=house.cast.actor("ben"), at=NOW)
    claim.refresh_from_db()
    assert claim.status == "blocked"


def test_a_missing_report_cannot_be_waved_through(house):
    claim = built(house, released(house))
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    exam = claim.lines.get().charge.exam
    Report.objects.create(
        organization=house.cast.a, exam=exam, version=9, status="X", reported_at=NOW
    )
    scrub(house, claim)
    finding = claim.findings.get(edit="DOC-001")
    with pytest.raises(Refused, match="cannot be overridden"):
        finding_override(finding=finding, reason="trust me", actor=house.cast.actor("mia"), at=NOW)


def test_the_number_of_queries_does_not_grow_with_the_claims(house):
    made = claims_build(exam_ids=many(house, 25), actor=house.actor, at=NOW)
    counts = []
    for part in (made[:2], made[2:]):
        claims_scrub(claim_ids=part, actor=house.actor, at=NOW)  # tables are kept per process
        ScrubFinding.objects.filter(claim_id__in=part).update(cleared_at=NOW)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            claims_scrub(claim_ids=part, actor=house.actor, at=NOW)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 45, counts
    assert set(Claim.objects.filter(pk__in=made).values_list("status", flat=True)) == {"ready"}


def test_a_run_scrubs_everything_unsent_with_its_progress(house_committed):
    house = house_committed
    from rcm.accounts.scope import scope

    with scope(house.actor):
        made = claims_build(exam_ids=many(house, 7), actor=house.actor, at=NOW)
        run = scrub_start(organization_id=house.cast.a.pk, actor=house.cast.actor("ben"), at=NOW)
    counts = scrub_run(run.pk, organization_id=house.cast.a.pk, at=NOW, chunk=3)
    assert (counts["claims"], counts["ready"], counts["blocked"]) == (7, 7, 0)
    assert scrub_run(run.pk, organization_id=house.cast.a.pk, at=NOW) == {}
    with scope(house.actor):
        run = JobRun.objects.get(pk=run.pk)
        assert (run.status, run.done, run.total) == ("done", 7, 7)
        assert Claim.objects.filter(pk__in=made, status="ready").count() == 7


def test_expected_money_is_the_sum_of_the_lines(house):
    claim = built(house, released(house, "70553", contrast=True))
    lines = list(claim.lines.all())
    assert claim.expected == sum((x.expected or Decimal(0) for x in lines), Decimal("0.00")) or any(
        x.expected is None for x in lines
    )


def _uuid():
    from rcm.accounts.tenancy import uuid7

    return uuid7()
