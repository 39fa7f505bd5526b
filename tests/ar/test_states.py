"""The states: what is verified is asserted, what is not is hatched; prompt pay by worked examples."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from ar.states import services
from ar.states.prompt_pay import Rule, clock, interest_of
from claims.models import Claim
from intake.models import Coverage
from rcm.accounts.problems import Refused
from rcm.accounts.scope import scope
from rcm.reference.models import Plan
from rcm.web import charts
from tests.ar.conftest import bill, moment, payer

D = Decimal
ILLINOIS = Rule(30, D(9), verified=True, source="215 ILCS 5/368a")


def asked(**changes):
    return clock(
        changes.pop("rule", ILLINOIS),
        **{
            "payer_kind": "commercial",
            "self_funded": False,
            "received": date(2026, 8, 1),
            "paid": None,
            "amount": D("1000.00"),
            "on": date(2026, 9, 30),
        }
        | changes,
    )


def test_thirty_days_run_from_receipt_and_interest_from_the_day_after() -> None:
    found = asked()  # due Aug 31, thirty days late: 1000 × 9 % × 30 / 365
    assert (found.last_day, found.days_late) == (date(2026, 8, 31), 30)
    assert found.interest == D("7.40")
    assert asked(on=date(2026, 8, 31)).words == "In time so far"
    assert asked(on=date(2026, 9, 1)).days_late == 1
    assert asked(paid=date(2026, 9, 10)).words == "Paid late"
    assert asked(paid=date(2026, 9, 10)).interest == D("2.47")
    assert asked(paid=date(2026, 8, 20)).interest == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"self_funded": True}, "Not under state prompt-pay law"),
        ({"self_funded": None}, "Plan's funding not known"),
        ({"payer_kind": "medicare"}, "Not under state prompt-pay law"),
        ({"payer_kind": "medicaid"}, "Not under state prompt-pay law"),
        ({"payer_kind": "workers_comp"}, "Not under state prompt-pay law"),
        ({"rule": Rule(30, D(9), verified=False)}, "State rule not verified"),
        ({"rule": Rule(None, None, verified=True)}, "State rule not verified"),
        ({"rule": None}, "State rule not verified"),
    ],
)
def test_what_is_excluded_or_not_sure_asserts_nothing(changes, words) -> None:
    found = asked(**changes)
    assert (found.words, found.interest, found.days_late) == (words, None, 0)


def test_without_a_rate_days_are_said_and_no_dollars() -> None:
    found = asked(rule=Rule(30, None, verified=True))
    assert (found.days_late, found.interest) == (30, None)
    assert interest_of(D(-5), D(9), 30) == 0


def test_there_are_fifty_states_and_the_district() -> None:
    assert len(services.STATES) == 51
    assert set(services.STATES) <= set(charts.TILES)


def verify(cast, topic: str, number, *, state: str = "IL", **changes):
    actor = cast.actor("mia")
    with scope(actor):
        return services.fact_verify(
            **{
                "organization_id": cast.a.pk,
                "state": state,
                "topic": topic,
                "number": number,
                "words": "",
                "source": "215 ILCS 5/368a",
                "read_on": timezone.localdate(),
                "effective_from": date(2025, 1, 1),
                "actor": actor,
            }
            | changes
        )


@pytest.mark.django_db
def test_what_was_shipped_is_shown_unverified_until_somebody_reads_the_source(cast) -> None:
    today = timezone.localdate()
    with scope(cast.system):
        before = services.facts_of(cast.a.pk, today)["IL"]
    assert before["prompt_pay"].value == "30"
    assert before["prompt_pay"].confidence == "not verified"
    assert not services.rule_of(before).verified
    verify(cast, "prompt_pay", D(30))
    verify(cast, "balance_billing", None, words="Forbidden for emergency care")
    with scope(cast.system):
        after = services.facts_of(cast.a.pk, today)["IL"]
        old = services.facts_of(cast.a.pk, date(2024, 12, 31))["IL"]
    assert after["prompt_pay"].confidence == "verified"
    assert after["balance_billing"].value == "Forbidden for emergency care"
    assert services.rule_of(after).interest is None  # the shipped 9 % is nobody's reading
    assert not old["prompt_pay"].verified
    with scope(cast.system_b):
        assert not services.facts_of(cast.b.pk, today)["IL"]["prompt_pay"].verified


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"number": None}, "Enter the number"),
        ({"number": D(-1)}, "between 0"),
        ({"source": " "}, "Name the statute"),
        ({"state": "PR"}, "no such state"),
        ({"read_on": timezone.localdate() + timedelta(days=2)}, "today or earlier"),
    ],
)
def test_a_fact_needs_number_source_and_day(cast, changes, words) -> None:
    with pytest.raises(Refused, match=words):
        verify(cast, "prompt_pay", **{"number": D(30)} | changes)


@pytest.mark.django_db
def test_late_insured_claims_with_interest_and_a_letter(cast, enter) -> None:
    today = timezone.localdate()
    late = bill(cast, days_ago=102, expected=1000)  # sent two days later: received 100 days ago
    own = bill(cast, days_ago=102, payer_code="SELF", expected=500)
    federal = bill(cast, days_ago=102, payer_code="MCR", expected=700)
    with scope(cast.system):
        state = cast.north.state
        plan = Plan.objects.create(
            payer=late.claim.payer, code="FI", name="Insured", kind="commercial", self_funded=False
        )
        Coverage.objects.filter(pk=late.coverage.pk).update(plan=plan)
        funded = Plan.objects.create(
            payer=own.claim.payer, code="SF", name="Own", kind="commercial", self_funded=True
        )
        Coverage.objects.filter(pk=own.coverage.pk).update(plan=funded)
        Claim.objects.filter(pk=late.claim.pk).update(
            accepted_at=moment(today - timedelta(days=100))
        )
    assert federal.claim.payer.kind == "medicare"
    client = enter(cast, "mia")
    page = client.get("/prompt-pay/").content.decode()
    assert late.claim.number not in page  # nobody has verified the rule
    verify(cast, "prompt_pay", D(30), state=state)
    verify(cast, "interest", D(9), state=state)
    page = client.get("/prompt-pay/").content.decode()
    assert late.claim.number in page
    assert own.claim.number not in page
    assert federal.claim.number not in page
    interest = (D(1000) * 9 * 70 / 36500).quantize(D("0.01"))
    assert f"${interest}" in page
    letter = client.get(f"/prompt-pay/{late.claim.payer.public_id}/{state.lower()}.pdf")
    assert letter.status_code == 200
    assert letter.content.startswith(b"%PDF")
    rows = b"".join(client.get("/prompt-pay/?export=csv").streaming_content).decode()
    assert f"{late.claim.number},Test PRAIRIE,{state}," in rows
    assert enter(cast, "ana").get("/prompt-pay/").status_code == 403


@pytest.mark.django_db
def test_the_map_is_readable_without_colour_and_has_its_table(cast, enter) -> None:
    verify(cast, "prompt_pay", D(30), state="TX")
    client = enter(cast, "mia")
    page = client.get("/states/").content.decode()
    assert page.count('class="hatch"') == 50  # all but Texas
    assert "Texas: 30 days, verified" in page
    assert "Illinois: 30 days, not verified" in page
    assert page.count("<tr>") > 102
    state = client.get("/states/tx/").content.decode()
    assert "215 ILCS 5/368a" in state
    assert client.get("/states/zz/").status_code == 404
    assert client.get("/states/il/verify/").status_code == 200
    bad = {"organization": cast.a.pk, "topic": "filing", "source": "x"}
    assert client.post("/states/il/verify/", bad).status_code == 422
    day = f"{timezone.localdate():%m/%d/%Y}"
    good = bad | {"number": "180", "read_on": day, "effective_from": day}
    assert client.post("/states/il/verify/", good).status_code == 302
    assert "180" in client.get("/states/il/").content.decode()
    assert payer("PRAIRIE").kind == "commercial"
