"""Batches: progress in the browser, errors to act on, stop, start again, and a fence against a
worker that wakes late.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from rcm.accounts.actor import PermissionRefused
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.jobs import kinds, services
from rcm.jobs.models import JobRun
from tests.pages import one_line

pytestmark = pytest.mark.django_db


@pytest.fixture
def enter(cast):
    def signed_in(name: str) -> Client:
        client = Client()
        client.force_login(
            cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        return client

    return signed_in


def make(cast, **changes) -> JobRun:
    with scope(cast.system):
        return services.run_create(
            **{
                "organization_id": cast.a.pk,
                "kind": "test.batch",
                "title": "Scrub 500 claims",
                "params": {"days": 3},
                "actor": cast.actor("mia"),
                "total": 500,
            }
            | changes
        )


def test_the_page_polls_while_it_runs_and_rests_when_it_ended(cast, enter) -> None:
    run = make(cast)
    with scope(cast.system):
        held = services.run_claim(run.pk)
        services.run_progress(held, done=200, failed=1)
    client = enter("mia")
    page = client.get(reverse("jobs:run", args=[run.public_id])).content.decode()
    assert "200 of 500" in page
    assert 'hx-trigger="every 2s"' in page
    part = client.get(
        reverse("jobs:progress", args=[run.public_id]), headers={"HX-Request": "true"}
    )
    assert "HX-Refresh" not in part
    with scope(cast.system):
        services.run_finish(
            held, result={"ready": 499}, errors=[("C000007", "The member ID is missing. Enter it.")]
        )
    part = client.get(
        reverse("jobs:progress", args=[run.public_id]), headers={"HX-Request": "true"}
    )
    assert part["HX-Refresh"] == "true"
    page = client.get(reverse("jobs:run", args=[run.public_id])).content.decode()
    assert "every 2s" not in page
    assert "The member ID is missing" in page
    assert "Done with errors" in page
    assert "499" in page


def test_the_list_by_state_and_role(cast, enter) -> None:
    make(cast)
    html = one_line(enter("mia").get("/jobs/").content.decode())
    assert "Scrub 500 claims" in html
    assert 'Waiting<span class="count">1</span>' in html
    assert enter("ana").get("/jobs/").status_code == 403
    assert "Scrub 500" not in enter("olga").get("/jobs/").content.decode()


def test_cancel_fences_the_worker_out(cast, enter) -> None:
    run = make(cast)
    with scope(cast.system):
        held = services.run_claim(run.pk)
    assert enter("ben").post(reverse("jobs:cancel", args=[run.public_id])).status_code == 403
    enter("mia").post(reverse("jobs:cancel", args=[run.public_id]))
    with scope(cast.system):
        with pytest.raises(Conflict):
            services.run_progress(held, done=300)
        assert services.run_claim(run.pk) is None
        assert JobRun.objects.get(pk=run.pk).status == "cancelled"


def test_a_silent_run_is_taken_over_and_its_first_worker_writes_nothing(cast) -> None:
    run = make(cast)
    now = timezone.now()
    with scope(cast.system):
        first = services.run_claim(run.pk, at=now)
        assert services.run_claim(run.pk, at=now + timedelta(seconds=30)) is None
        second = services.run_claim(run.pk, at=now + timedelta(seconds=90))
        assert second.token == first.token + 1
        with pytest.raises(Conflict):
            services.run_progress(first, done=10)
        services.run_progress(second, done=10)


def test_run_again_keeps_the_parameters_and_only_for_known_kinds(
    cast, enter, django_capture_on_commit_callbacks, monkeypatch
) -> None:
    run = make(cast)
    client = enter("mia")
    with scope(cast.system):
        services.run_finish(services.run_claim(run.pk), result={})
    assert (
        "Started from its own page"
        in client.get(reverse("jobs:run", args=[run.public_id])).content.decode()
    )
    started: list[int] = []
    monkeypatch.setattr(
        kinds, "_KINDS", {**kinds._KINDS, "test.batch": lambda fresh: started.append(fresh.pk)}
    )
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(reverse("jobs:rerun", args=[run.public_id])).status_code == 302
    with scope(cast.system):
        fresh = JobRun.objects.get(rerun_of=run)
        assert (fresh.params, fresh.status) == ({"days": 3}, "queued")
    assert started == [fresh.pk]
    # the new one has not ended: it is not started twice
    assert (
        "not ended yet"
        in client.post(reverse("jobs:rerun", args=[fresh.public_id]), follow=True).content.decode()
    )


def test_another_organizations_run_is_not_found(cast, enter) -> None:
    run = make(cast)
    client = enter("olga")
    assert client.get(reverse("jobs:run", args=[run.public_id])).status_code == 404
    assert client.post(reverse("jobs:cancel", args=[run.public_id])).status_code == 404
    assert client.post(reverse("jobs:rerun", args=[run.public_id])).status_code == 404


def ending(cast, run: JobRun, error: Exception, at) -> None:
    """A worker takes the run and ends with this error."""
    with scope(cast.system):
        services.run_broke(services.run_claim(run.pk, at=at), error, at=at)


def test_a_run_that_breaks_is_tried_again_later_and_given_up_after_five_tries(cast, enter) -> None:
    run, now = make(cast), timezone.now()
    ending(cast, run, ValueError("Doe, Jane, born 1970"), now)
    with scope(cast.system):
        run.refresh_from_db()
        assert (run.status, run.tries) == ("queued", 1)
        # not at once: what is broken for a moment has mended by then
        assert services.run_claim(run.pk, at=now + timedelta(seconds=9)) is None
    page = one_line(enter("mia").get("/jobs/").content.decode())
    assert "Waits for its next try" in page
    assert "An error of the product (ValueError)" in page
    assert "Jane" not in page
    for turn in range(1, services.TRIES):
        ending(cast, run, ValueError("x"), now + timedelta(hours=turn))
    with scope(cast.system):
        run.refresh_from_db()
        assert (run.status, run.tries, run.failed) == ("failed", 5, 1)
        assert run.errors.get().sentence.startswith("Given up after 5 tries. An error of the")
        assert services.run_claim(run.pk, at=now + timedelta(days=1)) is None
    html = one_line(enter("mia").get("/jobs/?view=failed").content.decode())
    assert "Scrub 500 claims" in html
    assert 'Failed<span class="count">1</span>' in html


def test_a_run_whose_workers_die_each_time_is_given_up_too(cast) -> None:
    run, now = make(cast), timezone.now()
    with scope(cast.system):
        for turn in range(services.TRIES):
            assert services.run_claim(run.pk, at=now + timedelta(hours=turn)) is not None
        assert services.run_claim(run.pk, at=now + timedelta(days=1)) is None
        run.refresh_from_db()
        assert (run.status, run.problem) == ("failed", services.DIED)


def test_one_that_goes_on_where_it_stopped_may_be_killed_often(cast) -> None:
    run, now = make(cast), timezone.now()
    with scope(cast.system):
        for turn in range(2 * services.TRIES):
            held = services.run_claim(run.pk, at=now + timedelta(hours=turn))
            services.run_progress(held, done=turn, resumes=True, at=now + timedelta(hours=turn))
        run.refresh_from_db()
        assert (run.status, run.tries) == ("running", 1)


def test_an_error_in_a_watched_worker_is_kept_and_goes_on(cast) -> None:
    run = make(cast)
    with pytest.raises(Refused, match="no contract"), services.watched(cast.a.pk):
        with scope(cast.system):
            services.run_claim(run.pk)
        raise Refused("There is no contract for this payer.")
    with scope(cast.system):
        run.refresh_from_db()
        assert (run.status, run.problem) == ("queued", "There is no contract for this payer.")


def test_a_worker_that_was_fenced_off_keeps_nothing(cast) -> None:
    run, now = make(cast), timezone.now()
    with scope(cast.system):
        first = services.run_claim(run.pk, at=now)
        second = services.run_claim(run.pk, at=now + timedelta(seconds=90))
        services.run_broke(first, ValueError("late"))
        services.run_progress(second, done=5)
        assert JobRun.objects.get(pk=run.pk).problem == ""


def test_only_who_may_run_jobs_of_its_organization_stops_one(cast) -> None:
    run = make(cast)
    with scope(cast.system):
        with pytest.raises(PermissionRefused):
            services.run_cancel(run, actor=cast.actor("ben"))
        assert services.run_cancel(run, actor=cast.actor("adam"))
        assert not services.run_cancel(run, actor=cast.actor("adam"))
        run.refresh_from_db()
        assert run.problem == "Cancelled by Adam Admin."


def test_the_list_says_how_long_the_oldest_waits(cast, enter) -> None:
    run = make(cast)
    with scope(cast.system):
        JobRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(hours=3))
    assert "waits 3 h" in enter("adam").get("/jobs/?view=waiting").content.decode()
