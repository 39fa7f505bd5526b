"""Two at the same time: real threads on real connections."""

from __future__ import annotations

import threading

from django.db import connection
from django.test import Client
from django.urls import reverse

from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.exchange.models import Interchange
from rcm.exchange.services import drain, process, store_inbound
from rcm.jobs.kinds import run_again
from rcm.jobs.models import JobRun
from rcm.jobs.services import run_cancel
from rcm.ledger.models import LedgerTransaction
from remittance.models import ClaimPayment, Remittance
from remittance.services import payment_apply, posting_run, posting_start, remittance_post

from . import crowd
from .house import AT, booked, claim_of, era, head
from .test_posting import CLEAN


def together(count, work) -> list:
    barrier, found = threading.Barrier(count), []

    def run() -> None:
        barrier.wait()
        try:
            found.append(work())
        except Exception as error:
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return found


def _received(cast, content):
    with scope(cast.system):
        interchange, _ = store_inbound(
            organization_id=cast.a.pk, kind="835", content=content, at=AT, actor=cast.system
        )
    process([interchange.pk], actor=cast.system, at=AT)


def test_eight_people_press_post_and_it_is_posted_once(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        claim_of(cast, "C1", [("70551", "500", "200")])
    _received(cast, era(head("150") + CLEAN))
    pia = cast.actor("pia")

    def press():
        with scope(pia):
            return remittance_post(remittance=Remittance.objects.get(), actor=pia, at=AT)

    results = together(8, press)
    assert sorted(r.repeated for r in results) == [False] + [True] * 7
    with scope(cast.system):
        assert LedgerTransaction.objects.filter(source_type="claim_payment").count() == 1
        assert booked("cash") == 150


def test_eight_people_apply_the_same_unapplied_cash_and_it_is_applied_once(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        claim = claim_of(cast, "C1", [("70551", "500", "200")])
    _received(
        cast, era(head("150") + CLEAN.replace("CLP*C1*", "CLP*ZZZ*").replace("REF*6R*C1L1", ""))
    )
    pia = cast.actor("pia")
    with scope(pia):
        remittance_post(remittance=Remittance.objects.get(), actor=pia, at=AT)

    def press():
        with scope(pia):
            return payment_apply(
                payment=ClaimPayment.objects.get(),
                claim=claim,
                reason="It is theirs",
                actor=pia,
                at=AT,
            )

    results = together(8, press)
    assert sum(isinstance(r, Refused) for r in results) == 7
    with scope(cast.system):
        assert booked("unapplied") == 0
        assert booked("cash") == 150


def test_the_same_835_by_eight_doors_at_once_is_one_remittance(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        claim_of(cast, "C1", [("70551", "500", "200")])
    files = iter(
        [era(head("150") + CLEAN, control=n, ends="~\n" if n % 2 else "~\r\n") for n in range(1, 9)]
    )
    lock = threading.Lock()

    def send():
        with lock:
            content = next(files)
        _received(cast, content)

    together(8, send)
    with scope(cast.system):
        # a file that lost the race at the unique key is tried again by its worker
        Interchange.objects.filter(status="stored").update(due_at=None)
        waiting = list(Interchange.objects.filter(status="stored").values_list("id", flat=True))
    process(waiting, actor=cast.system, at=AT)
    with scope(cast.system):
        assert Remittance.objects.count() == 1
        assert ClaimPayment.objects.count() == 1


def test_a_large_remittance_is_posted_in_chunks_like_in_one_piece(cast_committed, monkeypatch):
    cast = cast_committed
    monkeypatch.setattr("remittance.services.posting.CHUNK", 7)
    content, total = crowd.advice(40)
    with scope(cast.system):
        crowd.claims(cast.a, cast.north, 40, actor=cast.system)
    _received(cast, content)
    with scope(cast.system):
        run = posting_start(remittance=Remittance.objects.get(), actor=cast.actor("pia"), at=AT)
    results = together(3, lambda: posting_run(run.pk, organization_id=cast.a.pk))
    assert sum(r is not None and not isinstance(r, Exception) for r in results) == 1
    with scope(cast.system):
        run.refresh_from_db()
        assert (run.status, run.result["claims"], run.result["denials"]) == ("done", 40, 4)
        assert crowd.broken() == {"Q1": 0, "Q2": 0, "Q3": 0, "Q4": 0}
        assert booked("cash") == total


def test_a_posting_that_was_cancelled_is_posted_to_its_end(cast_committed, monkeypatch):
    """Its page offers the rest, and its run can be started again; neither posts a claim twice."""
    cast = cast_committed
    monkeypatch.setattr("remittance.services.posting.CHUNK", 7)
    content, total = crowd.advice(40)
    with scope(cast.system):
        crowd.claims(cast.a, cast.north, 40, actor=cast.system)
    _received(cast, content)
    with scope(cast.system):
        row = Remittance.objects.get()
        run = posting_start(remittance=row, actor=cast.actor("pia"), at=AT)
        run_cancel(run, actor=cast.actor("mia"))
    assert posting_run(run.pk, organization_id=cast.a.pk) is None
    pia = Client()
    pia.force_login(cast.user("pia"), backend="allauth.account.auth_backends.AuthenticationBackend")
    page = pia.get(reverse("remittance:remittance", args=[row.public_id])).content.decode()
    assert "Post the rest" in page
    with scope(cast.system):
        run.refresh_from_db()
        again = run_again(run, actor=cast.actor("mia"))
    with scope(cast.system):
        row.refresh_from_db()
        assert row.job_id == again.pk
    assert posting_run(again.pk, organization_id=cast.a.pk) is not None
    with scope(cast.system):
        again.refresh_from_db()
        assert (again.status, again.result["claims"]) == ("done", 40)
        assert booked("cash") == total
        # nothing is left: one more run ends at once
        idle = run_again(again, actor=cast.actor("mia"))
    posting_run(idle.pk, organization_id=cast.a.pk)
    with scope(cast.system):
        idle.refresh_from_db()
        assert (idle.status, idle.result) == ("done", {"claims": 0})
        assert booked("cash") == total


def test_a_batch_that_is_posted_in_one_go_stands_among_the_runs(cast_committed, monkeypatch):
    cast = cast_committed
    monkeypatch.setattr("remittance.services.posting.BATCH", 10)
    content, _ = crowd.advice(12)
    with scope(cast.system):
        crowd.claims(cast.a, cast.north, 12, actor=cast.system)
    _received(cast, content)
    with scope(cast.system):
        remittance_post(remittance=Remittance.objects.get(), actor=cast.actor("pia"), at=AT)
        run = JobRun.objects.get(kind="remittance.post")
        assert (run.status, run.done, run.result["claims"]) == ("done", 12, 12)


def test_a_clean_835_posts_by_itself_and_one_with_an_exception_waits(cast_committed):
    cast = cast_committed
    with scope(cast.system):
        claim_of(cast, "C1", [("70551", "500", "200")])
    for trace, body in (
        ("CLEAN1", CLEAN),
        ("STUCK1", CLEAN.replace("CLP*C1*", "CLP*ZZZ*").replace("REF*6R*C1L1", "")),
    ):
        with scope(cast.system):
            store_inbound(
                organization_id=cast.a.pk,
                kind="835",
                content=era(head("150", trace=trace) + body),
                at=AT,
                actor=cast.system,
            )
    drain([cast.a.pk], at=AT)
    with scope(cast.system):
        assert dict(Remittance.objects.values_list("trace", "status")) == {
            "CLEAN1": "posted",
            "STUCK1": "ready",
        }
