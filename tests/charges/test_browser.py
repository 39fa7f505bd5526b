"""The mid-cycle in a real Chromium: every page accessible, and a charge accepted with keys
alone.
"""

from __future__ import annotations

import os

import pytest
from django.urls import reverse

from charges.models import Exam
from charges.services import exam_record, exams_evaluate, report_receive
from rcm.accounts.scope import scope
from tests.browser import CHROMIUM, violations_in_both_themes
from tests.charges.house import BRAIN, DONE, GADOBUTROL, PLAIN_BRAIN, READ, fresh

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason="Debian's chromium is not installed (apt-get install chromium)",
    ),
]


def thread(house) -> tuple[Exam, Exam, Exam]:
    """One exam held by its order, one whose report lacks something, one unsigned."""
    with scope(house.actor):
        ids = []
        for n, (code, sections, more) in enumerate(
            (
                ("70553", BRAIN, {"contrast": GADOBUTROL}),
                ("70551", {**PLAIN_BRAIN, "technique": "", "comparison": ""}, {}),
                ("70551", None, {}),
            )
        ):
            patient = house.patient(f"B{n}", payer="LBI")
            (ordered,) = house.order(patient, "70551")
            house.authorize(patient, ordered, number=f"AUTH{n}")
            ids.append(
                exam_record(
                    record=house.done(ordered, code=code, **more), actor=house.actor, at=DONE
                ).exam_id
            )
            if sections:
                report_receive(
                    report=house.report(ordered, sections, code=code), actor=house.actor, at=READ
                )
        exams_evaluate(exam_ids=ids, actor=house.actor, at=READ)
        return tuple(Exam.objects.filter(pk__in=ids).order_by("pk"))


def shot(page, name: str) -> None:
    """A picture for a person to look at, when a folder is named."""
    if folder := os.environ.get("ISOCENTER_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_every_page_of_the_mid_cycle_is_accessible(enter, house_committed, live_server):
    held, lacking, _ = thread(house_committed)
    pages = {
        "exam": reverse("charges:exam", args=[held.public_id]),
        "report": reverse("charges:exam", args=[lacking.public_id]),
        "exams": f"{reverse('charges:exams')}?view=all",
        "unsigned": reverse("charges:unsigned"),
        "review": f"{reverse('charges:review')}?view=all&open={lacking.pk}",
        "control": f"{reverse('charges:control')}?to=2026-09-10",
        "code": reverse("charges:code", args=[held.public_id]),
        "correct": reverse("charges:correct", args=[held.public_id]),
        "rules": reverse("charges:rules", args=["arrangements"]),
        "rule": reverse("charges:rule_new", args=["arrangements"]),
        "results": reverse("charges:unsolicited"),
    }
    page = enter(reverse("charges:exams"), who="mia", width=1440)
    for name, path in pages.items():
        page.goto(live_server.url + path)
        shot(page, name)
        assert violations_in_both_themes(page) == [], path


def test_a_suggestion_is_accepted_with_one_key(enter, house_committed, live_server):
    _, lacking, _ = thread(house_committed)
    page = enter(reverse("charges:review"), who="cody")
    page.goto(f"{live_server.url}{reverse('charges:review')}?view=all&open={lacking.pk}")
    page.wait_for_selector("[data-key=a]")
    page.keyboard.press("a")
    page.wait_for_selector("text=Suggestion accepted")
    with scope(house_committed.actor):
        assert fresh(lacking.pk).decision["code"] == "70551"
