"""Claims in a real Chromium: every page accessible in both themes, and a claim submitted by keys
with its preview.
"""

from __future__ import annotations

import os

import pytest
from django.urls import reverse

from claims.models import Claim, PayerRule, Submission
from claims.services import claims_scrub, rule_backtest, rule_save
from rcm.accounts.scope import scope
from rcm.worklist.causes import groups_of
from tests.browser import CHROMIUM, violations_in_both_themes
from tests.claims.house import NOW, answer_277ca, answer_999, built, inbound, ready, released, sent
from tests.claims.test_rules import NO_BRAIN

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason="Debian's chromium is not installed (apt-get install chromium)",
    ),
]


def furnished(house) -> dict[str, object]:
    """A rejected claim with its answers, a ready one, a blocked one, a file and a tested rule."""
    with scope(house.actor):
        rejected = sent(house, code="70553", contrast=True)
        inbound(house, "999", answer_999(Submission.objects.get()))
        inbound(house, "277CA", answer_277ca((rejected.number, "A7:562:85", "")))
        fresh = ready(house, mrn="M2", payer="LBI")
        blocked = built(house, released(house, mrn="M3"))
        Claim.objects.filter(pk=blocked.pk).update(referring_npi="", ordering_npi="")
        claims_scrub(claim_ids=[blocked.pk], actor=house.actor, at=NOW)
        mia = house.cast.actor("mia")
        rule: PayerRule = rule_save(
            organization_id=house.cast.a.pk, name="Brain", definition=NO_BRAIN, actor=mia, at=NOW
        )
        rule_backtest(rule=rule, actor=mia, at=NOW)
        return {
            "rejected": rejected,
            "fresh": fresh,
            "blocked": blocked,
            "file": Submission.objects.get(),
            "finding": blocked.findings.filter(severity="B").first(),
            "rule": rule,
        }


def shot(page, name: str) -> None:
    """A picture for a person to look at, when a folder is named."""
    if folder := os.environ.get("ISOCENTER_SHOTS"):
        page.screenshot(path=f"{folder}/claims-{name}.png", full_page=True)


def fixes(house) -> dict[str, str]:
    """The page of each group of rejections and edits where all of it is put right."""
    with scope(house.actor):
        groups = [g for q in ("rejections", "scrub_edits") for g in groups_of(house.actor, q)]
    return {
        f"fix-{n}": f"{reverse('claims:fix', args=[g.queue])}?{g.query}"
        for n, g in enumerate(groups)
    }


def test_every_page_of_claims_is_accessible(enter, house_committed, live_server):
    made = furnished(house_committed)

    def of(name: str, key: str, *more: object) -> str:
        return reverse(f"claims:{name}", args=[made[key].public_id, *more])

    pages = {
        "list": f"{reverse('claims:claims')}?view=all",
        "blocked": of("claim", "blocked"),
        "rejected": of("claim", "rejected"),
        "compare": of("compare", "rejected"),
        "change": of("edit", "rejected"),
        "submit": of("submit", "fresh"),
        "void": of("void", "fresh"),
        "accept": of("override", "blocked", made["finding"].public_id),
        "batches": reverse("claims:batches"),
        "file": of("submission", "file"),
        "edits": reverse("claims:edits"),
        "edit": reverse("claims:edit_page", args=["IDN-003"]),
        "rules": reverse("claims:rules"),
        "rule": of("rule", "rule"),
        "rule-new": reverse("claims:rule_new"),
        "runs": reverse("claims:scrub_runs"),
        "scrub-queue": reverse("worklist:queue", args=["scrub_edits"]),
        "rejections": reverse("worklist:queue", args=["rejections"]),
        "causes": reverse("worklist:causes", args=["rejections"]),
        "edit-causes": reverse("worklist:causes", args=["scrub_edits"]),
        **fixes(house_committed),
    }
    page = enter(reverse("claims:claims"), who="mia", width=1560)
    for name, path in pages.items():
        page.goto(live_server.url + path)
        shot(page, name)
        assert violations_in_both_themes(page) == [], path
    page.set_viewport_size({"width": 1280, "height": 940})
    page.goto(f"{live_server.url}{pages['list']}")  # a deadline of next year needs the most room
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_claim_is_submitted_by_key_after_its_preview(enter, house_committed, live_server):
    made = furnished(house_committed)
    page = enter(reverse("claims:claims"), who="ben")
    page.goto(live_server.url + reverse("claims:claim", args=[made["fresh"].public_id]))
    page.keyboard.press("s")
    page.wait_for_selector("text=It has not been sent before")
    page.click("button:has-text('Submit')")
    page.wait_for_selector("text=1 claim submitted in 1 file")
    with scope(house_committed.actor):
        made["fresh"].refresh_from_db()
        assert made["fresh"].status == "submitted"
