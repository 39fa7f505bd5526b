"""Each key figure against figures counted by hand on a small center, and against SQL of its own."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone

from ar import services
from ar.kpi import engine, story, targets
from ar.kpi.definitions import BY_CODE, KPIS
from ar.models import KpiSnapshot
from authorizations.models import Authorization, AuthorizedService
from charges.models import Charge
from claims.models import Acknowledgement, Claim, Submission, SubmissionClaim
from intake.models import Appointment, Order, OrderedExam
from rcm.accounts.models import Site
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.audit.services import Step, record_steps
from rcm.exchange.models import Interchange
from remittance.models import Appeal, Denial, ServicePayment
from tests.ar.conftest import bill, deny, moment, payer

pytestmark = pytest.mark.django_db
D = Decimal


def value(cast, code, day=None, **more):
    with scope(cast.system):
        return engine.compute(
            BY_CODE[code], organizations=[cast.a.pk], day=day or timezone.localdate(), **more
        )


def one(cast, sql: str, **params):
    """A figure from SQL of the test's own."""
    with scope(cast.system), connection.cursor() as cursor:
        cursor.execute(sql, params | {"org": cast.a.pk, "today": timezone.localdate()})
        return cursor.fetchone()


def interchange(cast, number: int) -> Interchange:
    return Interchange.objects.create(
        organization=cast.a,
        direction="out",
        kind="837P",
        control_number=f"{number:09d}",
        content=b"ISA",
        received_at=timezone.now(),
        size=3,
        sha256=f"{number:064d}",
    )


def answer(cast, b, *, accepted: bool, days_ago: int, n: int) -> Acknowledgement:
    with scope(cast.system):
        return Acknowledgement.objects.create(
            organization=cast.a,
            kind="277CA",
            interchange=interchange(cast, n),
            claim=b.claim,
            accepted=accepted,
            sentence="Answer",
            received_at=moment(timezone.localdate() - timedelta(days=days_ago)),
        )


# --- faults that were seen ------------------------------------------------------------------------


def test_an_upheld_denial_without_a_day_counts_below_the_overturn_rate(cast) -> None:
    won, lost, dateless, off = (bill(cast) for _ in range(4))
    deny(cast, won, status="overturned")
    deny(cast, lost, status="upheld")
    with scope(cast.system):
        silent = deny(cast, dateless, status="upheld")
        gone = deny(cast, off, status="written_off")
        Denial.objects.filter(pk__in=[silent.pk, gone.pk]).update(resolved_on=None)
    found = value(cast, "overturn_rate")
    assert (found.numerator, found.denominator) == (1, 4)
    won_of, all_of = one(
        cast,
        """SELECT count(*) FILTER (WHERE status = 'overturned'), count(*) FROM remittance_denial
           WHERE organization_id = %(org)s
             AND status IN ('overturned', 'partial', 'upheld', 'written_off')""",
    )
    assert (found.numerator, found.denominator) == (won_of, all_of)


def test_an_appeal_that_is_upheld_settles_the_denial_and_the_next_level_opens_it(cast) -> None:
    b = bill(cast)
    d = deny(cast, b, status="appealed")
    with scope(cast.system):
        appeal = Appeal.objects.create(
            organization=cast.a,
            denial=d,
            level=1,
            letter="Please",
            sent_on=d.denied_on,
            actor_name="Ari",
        )
    from remittance.services.denials import appeal_outcome

    with scope(cast.actor("ari")):
        appeal_outcome(appeal=appeal, outcome="upheld", actor=cast.actor("ari"))
    with scope(cast.system):
        d.refresh_from_db()
    assert d.status == "upheld"
    assert d.resolved_on == timezone.localdate()
    assert value(cast, "appeal_success").value == 0
    assert value(cast, "appeal_success").denominator == 1


@pytest.mark.parametrize("how", ["denied late", "rejected", "sent twice", "replaced"])
def test_a_reworked_claim_is_no_first_pass(cast, how) -> None:
    clean = bill(cast, days_ago=30, paid=80, contractual=220, status="paid")
    b = bill(cast, days_ago=30, paid=80, contractual=220, status="paid")
    today = timezone.localdate()
    if how == "denied late":  # by a second answer, days after the first
        deny(cast, b, days_ago=3)
    if how == "rejected":
        answer(cast, b, accepted=False, days_ago=27, n=1)
    with scope(cast.system):
        if how == "sent twice":
            for n in (1, 2):
                sent = Submission.objects.create(
                    organization=cast.a,
                    number=f"S{n}",
                    interchange=interchange(cast, 10 + n),
                    group_control=str(n),
                    claims_count=1,
                    total=300,
                    built_at=moment(today - timedelta(days=28 - n)),
                    sent_at=moment(today - timedelta(days=28 - n)),
                )
                SubmissionClaim.objects.create(
                    organization=cast.a, submission=sent, claim=b.claim, state="accepted"
                )
        if how == "replaced":
            other = bill(cast, patient=b.patient, days_ago=20)
            Claim.objects.filter(pk=other.claim.pk).update(frequency="7", replaces=b.claim)
    found = value(cast, "first_pass")
    assert (found.numerator, found.denominator) == (1, 2)
    with scope(cast.system):
        above = engine.rows(
            BY_CODE["first_pass"], organizations=[cast.a.pk], day=today, part="numerator"
        )
    assert [r.id for r in above] == [clean.claim.pk]


def test_the_page_and_its_groups_count_the_same_misses(cast, enter) -> None:
    bill(cast, days_ago=120)
    bill(cast, days_ago=12, sent=False, status="blocked")
    deny(cast, bill(cast, days_ago=20))
    page = enter(cast, "mia").get("/performance/").content.decode()
    with scope(cast.system):
        now = engine.values(organizations=[cast.a.pk], day=timezone.localdate())
    missed = engine.missed(now.values())
    assert f"{len(missed)} of {sum(1 for v in now.values() if v.met is not None)} figures" in page
    for group in {v.kpi.group for v in missed}:
        own = [v for v in now.values() if v.kpi.group == group and v.met is not None]
        assert f"{len(engine.missed(own))} of {len(own)} miss their target" in page
    assert "below target" not in page
    # a figure that must be zero is missed when it is not, and was left out of the count before
    assert any(v.kpi.target == 0 for v in missed)


# --- days are the site's --------------------------------------------------------------------------


def test_a_late_evening_belongs_to_the_site_s_day(cast) -> None:
    """Released at 10 PM in Los Angeles: the next day in UTC, and still this day there."""
    with scope(cast.system):
        Site.objects.filter(pk=cast.north.pk).update(time_zone="America/Los_Angeles")
    b = bill(cast, days_ago=5)
    day = timezone.localdate() - timedelta(days=5)
    evening = datetime.combine(day + timedelta(days=3), time(22), ZoneInfo("America/Los_Angeles"))
    with scope(cast.system):
        Charge.objects.filter(pk=b.charge.pk).update(released_at=evening)
    assert value(cast, "late_charges").value == 0
    assert value(cast, "charge_lag").value == 3
    assert value(cast, "charge_lag", day=day + timedelta(days=2)).value is None
    assert value(cast, "charge_lag", day=day + timedelta(days=3)).value == 3


# --- the figures that were missing ----------------------------------------------------------------


def test_aged_over_120(cast) -> None:
    bill(cast, days_ago=121)
    bill(cast, days_ago=120)
    bill(cast, days_ago=10, charged=400)
    found = value(cast, "over_120")
    assert (found.numerator, found.denominator) == (300, 1000)
    assert value(cast, "over_90").numerator == 600


def test_bill_lag_is_from_release_to_first_sending(cast) -> None:
    bill(cast, days_ago=20)  # released after one day, sent after two
    late = bill(cast, days_ago=20)
    with scope(cast.system):
        Claim.objects.filter(pk=late.claim.pk).update(
            first_submitted_at=moment(timezone.localdate() - timedelta(days=14))
        )
    found = value(cast, "bill_lag")
    assert (found.numerator, found.denominator) == (1 + 5, 2)
    by_hand = one(
        cast,
        """SELECT avg((k.first_submitted_at AT TIME ZONE 'America/Chicago')::date
                     - (c.released_at AT TIME ZONE 'America/Chicago')::date)
             FROM claims_claim k JOIN claims_claimline l ON l.claim_id = k.id
             JOIN charges_charge c ON c.id = l.charge_id WHERE k.organization_id = %(org)s""",
    )
    assert found.value == by_hand[0]


def test_the_first_answer_of_a_277ca_counts_the_second_does_not(cast) -> None:
    good, repaired, silent = (bill(cast, days_ago=20) for _ in range(3))
    answer(cast, good, accepted=True, days_ago=17, n=1)
    answer(cast, repaired, accepted=False, days_ago=17, n=2)
    answer(cast, repaired, accepted=True, days_ago=12, n=3)
    assert silent.claim.pk
    found = value(cast, "first_acceptance")
    assert (found.numerator, found.denominator) == (1, 2)


def test_denials_by_count_and_dollars_with_and_without_duplicates(cast) -> None:
    today = timezone.localdate()
    for _ in range(2):
        bill(cast, days_ago=30, paid=80, contractual=220, status="paid")
    deny(cast, bill(cast, days_ago=30, charged=100))
    deny(cast, bill(cast, days_ago=30, charged=500), reason="18", category="duplicate")
    gone = deny(cast, bill(cast, days_ago=30), reason="18", status="withdrawn")
    off = deny(cast, bill(cast, days_ago=40, charged=700), status="written_off")
    twin = deny(cast, bill(cast, days_ago=40, charged=900), reason="18", status="written_off")
    with scope(cast.system):
        Denial.objects.filter(pk__in=[off.pk, twin.pk]).update(
            resolved_on=today - timedelta(days=2)
        )
    assert gone.status == "withdrawn"
    # seven claims answered; a withdrawn denial was none
    figures = {
        code: (value(cast, code).numerator, value(cast, code).denominator)
        for code in (
            "denial_rate",
            "denial_rate_net",
            "denial_dollars",
            "denial_dollars_net",
            "final_denials",
            "final_denials_net",
            "final_denial_dollars",
            "final_denial_dollars_net",
        )
    }
    billed = 300 + 300 + 100 + 500 + 300 + 700 + 900
    assert figures == {
        "denial_rate": (4, 7),
        "denial_rate_net": (2, 7),
        "denial_dollars": (100 + 500 + 700 + 900, billed),
        "denial_dollars_net": (100 + 700, billed),
        "final_denials": (2, 7),
        "final_denials_net": (1, 7),
        "final_denial_dollars": (700 + 900, billed),
        "final_denial_dollars_net": (700, billed),
    }


def test_yield_is_what_was_allowed_against_what_was_expected(cast) -> None:
    for allowed, expected in ((90, 100), (100, 100), (None, 100), (0, 100)):
        b = bill(cast, days_ago=30, paid=80, contractual=220, status="paid")
        with scope(cast.system):
            ServicePayment.objects.filter(line=b.line).update(allowed=allowed, expected=expected)
    found = value(cast, "yield_variance")
    assert (found.numerator, found.denominator) == (-10, 200)
    assert engine.words(BY_CODE["yield_variance"], found.value) == "−5.0%"
    assert found.met is False


def test_authorization_turnaround_ours_and_theirs_and_at_check_in(cast) -> None:
    today = timezone.localdate()
    at = moment(today - timedelta(days=10))
    base = bill(cast)
    with scope(cast.system):
        visit = Appointment.objects.create(
            organization=cast.a,
            patient=base.patient,
            site=cast.north,
            starts_at=at + timedelta(days=5),
            modality="CT",
        )
        late = Appointment.objects.create(
            organization=cast.a,
            patient=base.patient,
            site=cast.north,
            starts_at=at + timedelta(days=5),
            modality="CT",
        )
        order = Order.objects.create(
            organization=cast.a, patient=base.patient, ordered_at=at, source="api"
        )
        for appointment, decided, number in (
            (visit, timedelta(days=3), "A1"),
            (late, timedelta(days=7), "A2"),
        ):
            exam = OrderedExam.objects.create(
                organization=cast.a,
                order=order,
                patient=base.patient,
                appointment=appointment,
                code="74178",
                modality="CT",
            )
            auth = Authorization.objects.create(
                organization=cast.a,
                patient=base.patient,
                coverage=base.coverage,
                payer=base.claim.payer,
                appointment=appointment,
                site=cast.north,
                number=number,
                status="approved",
                kind="standard",
                member_id="X",
                requested_at=at + timedelta(hours=6),
                decided_at=at + decided,
            )
            AuthorizedService.objects.create(
                organization=cast.a, authorization=auth, ordered_exam=exam, code="74178"
            )
            record_steps(
                [
                    Step(
                        cast.a.pk,
                        "appointment.arrived",
                        "Patient arrived",
                        {"ordered_exam_id": exam.pk, "patient_id": base.patient.pk},
                        data={"appointment_id": appointment.pk},
                    )
                ],
                actor=cast.system,
                at=at + timedelta(days=5),
            )
    assert value(cast, "auth_turnaround_ours").value == 6
    theirs = value(cast, "auth_turnaround_theirs")
    assert (theirs.numerator, theirs.denominator) == (D("2.75") + D("6.75"), 2)
    checked = value(cast, "auth_at_checkin")
    assert (checked.numerator, checked.denominator) == (1, 2)


def test_every_figure_of_the_set_is_there_with_its_words() -> None:
    wanted = [
        "over_120",
        "bill_lag",
        "auth_turnaround_ours",
        "auth_turnaround_theirs",
        "auth_at_checkin",
        "first_acceptance",
        "denial_rate_net",
        "denial_dollars_net",
        "final_denials",
        "final_denials_net",
        "final_denial_dollars",
        "final_denial_dollars_net",
        "appeal_success",
        "yield_variance",
    ]
    assert set(wanted) <= set(BY_CODE)
    assert all(k.source and k.numerator and k.version for k in KPIS)


# --- targets, kept days, what changed -------------------------------------------------------------


def test_a_target_is_the_organization_s_own_from_its_day_on(cast, enter) -> None:
    today = timezone.localdate()
    manager = cast.actor("mia")
    with scope(manager):
        targets.target_set(
            organization_id=cast.a.pk,
            kpi="denial_rate",
            target=D("0.12"),
            effective_from=today - timedelta(days=3),
            note="Agreed with the board",
            actor=manager,
        )
        assert targets.targeted([cast.a.pk], today)["denial_rate"].target == D("0.12")
        before = targets.targeted([cast.a.pk], today - timedelta(days=4))
        assert before["denial_rate"].target == BY_CODE["denial_rate"].target
        with pytest.raises(Refused, match="between 0 and 100"):
            targets.target_set(
                organization_id=cast.a.pk,
                kpi="denial_rate",
                target=D(12),
                effective_from=today,
                note="x",
                actor=manager,
            )
    with scope(cast.system_b):
        theirs = targets.targeted([cast.b.pk], today)["denial_rate"]
        assert theirs.target == BY_CODE["denial_rate"].target
    client = enter(cast, "mia")
    form = client.get("/performance/denial_rate/target/")
    assert form.status_code == 200
    assert "12.00" in form.content.decode()
    sent = {"organization": cast.a.pk, "target": "8", "effective_from": f"{today:%m/%d/%Y}"}
    assert client.post("/performance/denial_rate/target/", sent).status_code == 422
    assert (
        client.post("/performance/denial_rate/target/", sent | {"note": "Lower"}).status_code == 302
    )
    assert "at most 8.0%" in client.get("/performance/denial_rate/").content.decode()
    assert enter(cast, "ari").get("/performance/denial_rate/target/").status_code == 403


def test_a_day_is_kept_as_it_was_after_its_end_at_every_site(cast) -> None:
    today = timezone.localdate()
    day = today - timedelta(days=1)
    with scope(cast.system):
        Site.objects.filter(pk=cast.south.pk).update(time_zone="America/Los_Angeles")
        ended = services.day_end(cast.a.pk, day)
        assert ended == datetime.combine(today, time(0), ZoneInfo("America/Los_Angeles"))

        def keep(at) -> int:
            return services.kpi_snapshot(
                organization_id=cast.a.pk, day=day, actor=cast.system, at=at
            )

        def kept_dollars():
            return engine.kept(organizations=[cast.a.pk], days=[day])[("dro", day)].numerator

        bill(cast, days_ago=9)
        assert keep(ended - timedelta(hours=1)) > 0
        bill(cast, days_ago=9)
        assert keep(ended + timedelta(minutes=5)) > 0  # the day's last hour is in it
        assert kept_dollars() == 600
        bill(cast, days_ago=9)
        assert keep(ended + timedelta(hours=3)) == 0
        assert kept_dollars() == 600
        assert KpiSnapshot.objects.filter(day=day, taken_at__gte=ended).exists()


def test_a_kept_figure_says_why_it_differs_from_the_rows(cast, enter) -> None:
    day = timezone.localdate() - timedelta(days=3)
    bill(cast, days_ago=9)
    with scope(cast.system):
        services.kpi_snapshot(organization_id=cast.a.pk, day=day, actor=cast.system)
        KpiSnapshot.objects.update(taken_at=timezone.now() - timedelta(days=2))
    bill(cast, days_ago=9, charged=450)
    page = enter(cast, "mia").get(f"/performance/dro/?day={day}").content.decode()
    assert "the figure was kept as" in page
    assert "2 charges released later" in page
    assert "$750.00" in page


def test_the_sentence_names_the_payer_and_the_site_that_moved_it(cast, enter) -> None:
    today = timezone.localdate()
    for n in range(4):
        bill(cast, days_ago=40 + n, paid=80, contractual=220, status="paid")
    with scope(cast.system):
        services.kpi_snapshot(
            organization_id=cast.a.pk, day=today - timedelta(days=7), actor=cast.system
        )
    for _ in range(3):
        deny(cast, bill(cast, days_ago=30, site=cast.south, payer_code="ROCKY"), days_ago=2)
    asked = {"organizations": [cast.a.pk], "day": today}
    rocky = payer("ROCKY")
    with scope(cast.system):
        now = engine.values(**asked)
        before = engine.values(organizations=[cast.a.pk], day=today - timedelta(days=7))
        only = {"denial_rate": now["denial_rate"]}
        was = {"denial_rate": engine.Value(BY_CODE["denial_rate"], D("0.4"), D(4))}
        text = story.what_changed(
            only,
            was,
            payer_names={rocky.pk: rocky.name},
            site_names={cast.south.pk: "South"},
            **asked,
        )
        parts = story.contributions(
            BY_CODE["denial_rate"],
            engine.cells(BY_CODE["denial_rate"], organization_id=cast.a.pk, day=today),
            [],
            lambda c: c.payer_id,
        )
    assert text.startswith("Denial rate rose to ")
    assert rocky.name in text
    assert "at South" in text
    assert "for prior auth" in text
    assert sum(parts.values()) == now["denial_rate"].value
    assert before["denial_rate"].value == 0
    assert " a week ago" in enter(cast, "mia").get("/performance/").content.decode()
