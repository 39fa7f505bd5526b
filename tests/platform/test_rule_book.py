"""The rule book: every slug that the product names has a page, every page has a user, and the pages
can be read, searched and printed.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ar.kpi.definitions import KPIS
from claims.edits import catalogue
from intake.clearance import GATE_RULES, GateName
from rcm.web import rulebook
from rcm.web.rulebook import BadRule, Kind, read_subject
from remittance.present import CATEGORY_RULES, category_rule

ROOT = Path(__file__).parents[2]
APPS = ("rcm", "intake", "authorizations", "charges", "claims", "remittance", "ar", "templates")
SOURCES = [
    path
    for app in APPS
    for path in sorted((ROOT / app).rglob("*"))
    if path.suffix in {".py", ".csv", ".html"} and "migrations" not in path.parts
]
NAMED = re.compile(r"\brule=\"([^\"]*)\"|\brules? `([a-z0-9-]+)`")
MORE = re.compile(r"\brules `[a-z0-9-]+`((?:,? (?:and )?`[a-z0-9-]+`)+)")
QUOTED = re.compile(r"[\"`]([a-z0-9]+(?:-[a-z0-9]+)*)[\"`]")
PAGE = """# Subject

## A rule {#a-rule}

- Authority: 42 CFR 1
- Kind: law
- Since: 2020-01-01

Words.

Example: one.
"""


def cited(text: str) -> set[str]:
    """Every slug that a source names as a rule."""
    found = {slug for pair in NAMED.findall(" ".join(text.split())) for slug in pair if slug}
    for more in MORE.findall(" ".join(text.split())):
        found |= set(re.findall(r"`([a-z0-9-]+)`", more))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_named_rule_has_its_page(path):
    assert not {slug for slug in cited(path.read_text("utf-8")) if slug not in rulebook.rules()}


def test_every_page_has_a_user():
    texts = [path.read_text("utf-8") for path in SOURCES]
    used = {slug for text in texts for slug in QUOTED.findall(text)}
    used |= {kpi.rule for kpi in KPIS}
    assert sorted(set(rulebook.rules()) - used) == []


def test_gates_and_denial_categories_name_their_rule():
    assert set(GATE_RULES) == set(GateName)
    named = {*GATE_RULES.values(), *CATEGORY_RULES.values(), category_rule("never seen")}
    assert named <= set(rulebook.rules())


@pytest.mark.parametrize("edit", catalogue().values(), ids=lambda edit: edit.edit_id)
def test_an_edit_names_its_rule_and_gives_its_authority(edit):
    rule = rulebook.rules()[edit.rule]
    assert edit.source == rule.authority
    only_ours = rule.authority in {"House policy", "Payer contract"}
    assert not only_ours or rule.kind in {Kind.HOUSE, Kind.PAYER}


@pytest.mark.parametrize("kpi", KPIS, ids=lambda kpi: kpi.code)
def test_a_figure_names_its_rule(kpi):
    assert kpi.rule in rulebook.rules()


def test_every_rule_has_words_example_and_authority():
    for rule in rulebook.rules().values():
        assert rule.paragraphs
        assert rule.example.endswith((".", "%")), rule.slug
        assert rule.authority


def test_what_is_not_written_as_asked_is_refused_with_its_place():
    [rule] = read_subject("subject", PAGE).rules
    assert (rule.slug, rule.kind, rule.since.year) == ("a-rule", Kind.LAW, 2020)
    for wrong, words in (
        (PAGE.replace("# Subject\n", "Subject\n", 1), "no title"),
        (PAGE.replace(" {#a-rule}", ""), "no slug"),
        (PAGE.replace("Example: one.", ""), "one example"),
        (PAGE.replace("- Kind: law\n", ""), "its kind"),
        (PAGE.replace("Kind: law", "Kind: rumour"), "its kind"),
        (PAGE.replace("2020-01-01", "soon"), "no date"),
        (PAGE.replace("Authority:", "Says:"), "no field"),
    ):
        with pytest.raises(BadRule, match=words):
            read_subject("subject", wrong)


@pytest.mark.django_db
def test_the_book_is_served_searched_and_linked(cast, client):
    client.force_login(cast.users["ben"])
    page = client.get("/rules/", {"q": "multiple technical"}).content.decode()
    assert "Multiple procedures: technical part" in page
    assert "Statements" not in page.partition("<main")[2]
    page = client.get("/rules/mppr-technical/").content.decode()
    assert "Social Security Act §1848(b)(4)(D)" in page
    assert "61.63" in page
    assert client.get("/rules/no-such-rule/").status_code == 404
    page = client.get("/edits/CMP-003/").content.decode()
    assert 'href="/rules/technical-part-at-facility/"' in page
    assert "chapter 13, section 20.2" in page
    assert (
        'href="/edits/CMP-003/"'
        in client.get("/rules/technical-part-at-facility/").content.decode()
    )


@pytest.mark.django_db
def test_a_rule_leads_only_to_pages_the_reader_may_open(cast, client):
    client.force_login(cast.users["mia"])
    assert "/performance/clean_claim/" in client.get("/rules/kpi-clean-claim/").content.decode()
    client.force_login(cast.users["ana"])
    page = client.get("/rules/kpi-clean-claim/").content.decode()
    assert "Clean claim rate" in page
    assert "/performance/clean_claim/" not in page
