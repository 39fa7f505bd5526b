"""Audits: the interval against published figures, a draw anybody can repeat, two blind readings, a
third that settles, and no more said than the sample proves.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from ar.accuracy import services
from ar.accuracy.draw import Candidate, allocate, draw, place
from ar.accuracy.interval import planned_size, sentence, verdict, wilson
from ar.models import AuditCase, AuditReading
from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.audit.services import Step, record_steps
from tests.ar.conftest import bill, moment

D = Decimal
GOAL = D("0.99")


# --- statistics -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("correct", "of", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17:857, method 3 (score without correction)
        (81, 263, "0.2553", "0.3662"),
        (15, 148, "0.0624", "0.1605"),
        (0, 20, "0.0000", "0.1611"),
        (1, 29, "0.0061", "0.1718"),
    ],
)
def test_the_interval_is_the_published_one(correct, of, low, high) -> None:
    found = wilson(correct, of)
    assert (found.low, found.high) == (D(low), D(high))


def test_nothing_read_proves_nothing() -> None:
    found = wilson(0, 0)
    assert (found.low, found.high, found.rate) == (0, 1, None)
    assert sentence(found, GOAL) == "Nothing has been read yet."
    with pytest.raises(ValueError, match="correct"):
        wilson(3, 2)


def test_the_sentence_never_says_more_than_the_sample() -> None:
    assert verdict(wilson(100, 100), GOAL) == "open"
    assert "not proven by this sample" in sentence(wilson(100, 100), GOAL)
    assert "shown by this sample" in sentence(wilson(1000, 1000), GOAL)
    assert "missed" in sentence(wilson(90, 100), GOAL)


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_interval_always_holds_the_rate(correct, more) -> None:
    found = wilson(correct, correct + more)
    assert 0 <= found.low <= found.high <= 1
    if found.rate is not None:
        assert found.low <= found.rate + D("0.0001")
        assert found.high >= found.rate - D("0.0001")


@pytest.mark.parametrize("width", ["0.05", "0.02", "0.01"])
def test_the_planned_size_is_the_smallest_that_serves(width) -> None:
    size = planned_size(D(width))

    def reach(n: int) -> D:
        from ar.accuracy.interval import _bounds

        low, high = _bounds(0.99, n)
        return D((high - low) / 2)

    assert reach(size) <= D(width) < reach(size - 1)


def candidates(count: int) -> list[Candidate]:
    return [
        Candidate(n, f"exam-{n}", n % 3 or None, "CT" if n % 5 else "MR", 1, D(n * 7))
        for n in range(1, count + 1)
    ]


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    whole = candidates(200)
    first = [c.exam_id for c in draw(whole, seed="a1", wanted=40)]
    assert first == [c.exam_id for c in draw(list(reversed(whole)), seed="a1", wanted=40)]
    assert first != [c.exam_id for c in draw(whole, seed="a2", wanted=40)]
    assert first == sorted(first, key=lambda pk: place("a1", f"exam-{pk}"))


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 9), st.sampled_from(["CT", "MR"]), st.just(1), st.just("x")),
        st.integers(1, 50),
        max_size=8,
    ),
    st.integers(0, 300),
)
def test_every_stratum_gets_its_share(sizes, wanted) -> None:
    given_out = allocate(sizes, wanted)
    assert sum(given_out.values()) == min(wanted, sum(sizes.values()))
    assert all(0 <= given_out[s] <= n for s, n in sizes.items())
    if wanted >= len(sizes):
        assert all(given_out.values())


def test_the_drawn_are_of_all_coders_modalities_and_values() -> None:
    whole = candidates(300)
    drawn = draw(whole, seed="s", wanted=60)
    assert len(drawn) == 60
    assert Counter(c.stratum for c in drawn).keys() == Counter(c.stratum for c in whole).keys()


# --- a whole audit --------------------------------------------------------------------------------


def coded(cast, b, by: str) -> None:
    with scope(cast.system):
        record_steps(
            [Step(cast.a.pk, "charge.coded", "Coded", {"exam_id": b.exam.pk})],
            actor=cast.actor(by),
            at=b.exam.performed_at + timedelta(hours=1),
        )


@pytest.fixture
def sample(cast, db):
    for n in range(6):
        coded(cast, bill(cast, days_ago=20 + n), "cody")
    today = timezone.localdate()
    actor = cast.actor("mia")
    with scope(actor):
        return services.sample_draw(
            organization_id=cast.a.pk,
            title="October",
            first=today - timedelta(days=60),
            last=today,
            half_width=D("0.1"),
            actor=actor,
        )


def read(cast, case, by: str, errors=(), note="") -> AuditReading:
    actor = cast.actor(by)
    with scope(actor):
        return services.case_read(case=case, errors=errors, note=note, actor=actor)


@pytest.mark.django_db
def test_the_draw_can_be_repeated_from_what_is_published(cast, sample) -> None:
    with scope(cast.system):
        whole = services.candidates(cast.a.pk, sample.first, sample.last)
        again = draw(whole, seed=sample.seed, wanted=sample.size)
        cases = list(AuditCase.objects.filter(sample=sample).order_by("position"))
    assert [c.exam_id for c in cases] == [c.exam_id for c in again]
    assert {c.coder_id for c in cases} == {cast.user("cody").pk}
    assert len(sample.seed) == 32


@pytest.mark.django_db
def test_who_coded_draws_and_reads_nothing_of_their_own(cast) -> None:
    b = bill(cast)
    coded(cast, b, "mia")
    today = timezone.localdate()
    asked = {
        "organization_id": cast.a.pk,
        "title": "Mine",
        "first": today - timedelta(days=60),
        "last": today,
        "half_width": D("0.05"),
    }
    with scope(cast.actor("mia")), pytest.raises(Refused, match="their own work"):
        services.sample_draw(**asked, actor=cast.actor("mia"))
    with scope(cast.actor("cody")), pytest.raises(PermissionRefused):
        services.sample_draw(**asked, actor=cast.actor("cody"))
    with scope(cast.actor("cleo")):
        sample = services.sample_draw(**asked, actor=cast.actor("cleo"))
        case = AuditCase.objects.get(sample=sample)
    with pytest.raises(Refused, match="their own work"):
        read(cast, case, "mia")


@pytest.mark.django_db
def test_two_blind_readings_agree_or_a_third_settles(cast, sample) -> None:
    with scope(cast.system):
        first, second, third = AuditCase.objects.filter(sample=sample).order_by("position")[:3]
    read(cast, first, "mia")
    with pytest.raises(Refused, match="already"):
        read(cast, first, "mia")
    with pytest.raises(Refused, match="their own work"):
        read(cast, first, "cody")
    read(cast, first, "cleo")
    read(cast, second, "mia", ["modifier"], "26 is missing")
    read(cast, second, "cleo", ["modifier"], "Modifier")
    read(cast, third, "mia", ["units"], "2, not 1")
    with pytest.raises(Refused, match="Say what is wrong"):
        read(cast, third, "cleo", ["code"])
    read(cast, third, "cleo")
    with scope(cast.system):
        third.refresh_from_db()
        assert third.errors is None
        assert services.results(sample).disputed == 1
    read(cast, third, "ben", ["units"], "2 indeed")
    with scope(cast.system):
        found = services.results(sample)
        third.refresh_from_db()
        with pytest.raises(Refused):
            read(cast, third, "max")
    assert third.errors == ["units"]
    assert (found.whole.correct, found.whole.of) == (1, 3)
    steps = {p.label: (p.found.correct, p.found.of) for p in found.steps}
    assert steps["Coding"] == (1, 3)
    assert steps["Registration"] == (3, 3)
    assert found.undecided == sample.size - 3
    assert [p.label for p in found.people] == ["Person 1"]
    named = {cast.user("cody").pk: "Cody"}
    with scope(cast.system):
        assert [p.label for p in services.results(sample, people=named).people] == ["Cody"]


@pytest.mark.django_db
def test_a_reading_cannot_be_changed(cast, sample) -> None:
    from django.db import DatabaseError, transaction

    with scope(cast.system):
        case = AuditCase.objects.filter(sample=sample).first()
    read(cast, case, "mia")
    with pytest.raises(DatabaseError), transaction.atomic(), scope(cast.system):
        AuditReading.objects.update(errors=["code"])


@pytest.mark.django_db
def test_the_screens_show_seed_interval_and_names_only_to_who_may(cast, sample) -> None:
    def enter(name: str) -> Client:
        client = Client()
        client.force_login(
            cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        return client

    path = f"/accuracy/{sample.public_id}/"
    with scope(cast.system):
        case = AuditCase.objects.filter(sample=sample).order_by("position").first()
    reading = f"/accuracy/cases/{case.public_id}/"
    mia, cleo, cody = enter("mia"), enter("cleo"), enter("cody")
    assert mia.post(reading, {"errors_found": ["code"]}).status_code == 422
    said = {"errors_found": ["code"], "note": "74177, not 74178"}
    assert mia.post(reading, said).status_code == 302
    blind = cleo.get(reading).content.decode()
    assert "74177, not 74178" not in blind
    assert cleo.post(reading, said).status_code == 302
    page = mia.get(path).content.decode()
    assert sample.seed in page
    assert "0 of 1 correct, 0.0% (95% interval 0.0% to 79." in page
    assert cast.user("cody").display_name in page
    own = cody.get(path).content.decode()
    assert "Your own work" in own
    assert "By person" in own
    assert cast.user("cody").display_name not in own.split("<main")[1]
    assert cody.get("/accuracy/new/").status_code == 403
    assert mia.get("/accuracy/").status_code == 200
    new = {
        "organization": cast.a.pk,
        "title": "Next",
        "first": f"{timezone.localdate() - timedelta(days=40):%m/%d/%Y}",
        "last": f"{timezone.localdate():%m/%d/%Y}",
        "goal": "99",
        "half_width": "2",
    }
    assert mia.post("/accuracy/new/", new | {"half_width": "70"}).status_code == 422
    assert mia.post("/accuracy/new/", new).status_code == 302
    assert moment(timezone.localdate())
