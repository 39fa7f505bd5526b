"""No service asks for a right without saying for which row: read from the source, so that a new
service cannot forget it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from rcm.accounts.actor import Actor, Grant, PermissionRefused, Place

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("intake", "authorizations", "charges", "claims", "remittance", "ar", "rcm")
SHARED_DATA = {"rcm/reference/services.py"}  # payers are everybody's: the right is asked everywhere


def objectless() -> Iterator[str]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if "migrations" in name or name in SHARED_DATA:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                asks = (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "require"
                    and "actor" in ast.unparse(node.func.value)
                )
                if asks and len(node.args) < 2:
                    yield f"{name}:{node.lineno} {ast.unparse(node)}"


def test_every_service_says_for_which_row_it_asks() -> None:
    assert list(objectless()) == []


def actor(*grants: tuple[int, int | None, str]) -> Actor:
    known = [Place(1, 11), Place(1, 12), Place(2, 21)]
    return Actor.holding(
        (Grant(Place(o, s), frozenset({code}), code) for o, s, code in grants),
        name="Two",
        kind="person",
        known_sites=known,
    )


def test_rights_of_two_organizations_never_add_up() -> None:
    both = actor((1, None, "work"), (2, None, "look"))
    assert both.organizations == {1, 2}
    assert (both.can("work", 1), both.can("work", 2)) == (True, False)
    assert not both.can("work"), "without a row: only what holds in every place"
    assert both.can_somewhere("work")
    assert both.where("work").organizations == {1}
    assert both.where("work", "look").organizations == set()
    with pytest.raises(PermissionRefused):
        both.require("work", [1, 2])


def test_a_right_at_a_site_opens_no_other_site_and_not_the_whole_organization() -> None:
    mixed = actor((1, 11, "work"), (1, None, "look"), (2, 21, "work"))
    assert mixed.can("work", Place(1, 11))
    assert not mixed.can("work", Place(1, 12))
    assert mixed.can("work", Place(1)), "a patient belongs to no site"
    assert not mixed.can("work", Place(1), entire=True)
    assert mixed.can("look", Place(1, 12))
    assert mixed.where("work").sites == {11, 21}
    assert mixed.where("look").sites == frozenset(), "the whole organization: no limit"
    assert mixed.sites == {11, 12, 21}, "the sites of the whole organization stand in the list"
    assert mixed.within(1).where("work").sites == {11}


def test_a_limited_actor_never_sees_more_than_before() -> None:
    whole = actor((1, None, "work"), (2, 21, "look"))
    for limited in (whole.where("work"), whole.within(1, 12), whole.within(2), whole.within(9)):
        assert limited.organizations <= whole.organizations
        assert all(whole.can(g.role, g.place) for g in limited.grants)
    assert whole.within(9).organizations == set()


def test_an_automatic_step_stays_in_its_organizations() -> None:
    step = Actor.system("test", [1])
    assert step.can("anything", 1)
    assert not step.can("anything", 2)
    assert step.within(2).organizations == set()
