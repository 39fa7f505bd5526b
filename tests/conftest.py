"""The suite's house: a real PostgreSQL with the application role and forced row-level security, and
a fixed cast.

The database is made and migrated by the owner; every test then connects as the role that row-level
security binds. Cast: Ana (front desk), Ada (authorization), Cody (coder), Ben (biller), Pia
(poster), Ari (A/R), Mia (manager), Cleo (compliance), Adam (admin) work for organization A; Olga
works for organization B and must see nothing of A.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections

from tests import databases
from tests.browser import chromium, enter  # noqa: F401  fixtures of every browser test

os.environ.setdefault(
    "DJANGO_ALLOW_ASYNC_UNSAFE", "true"
)  # playwright's loop lives in the test's thread

SHARED = Path(__file__).resolve().parents[2] / "shared"
KEPT = (
    "reference_",
    "pricing_feerow",
    "pricing_gpci",
    "pricing_ziplocality",
    "pricing_oppscap",
    "authorizations_authrule",
    "authorizations_crosswalk",
    "authorizations_authwindow",
    "authorizations_reviewer",
)
LEARNED = {"reference_provider"}  # comes with orders and messages, not with the starter set
KEPT_EXACT = {"django_migrations", "django_content_type", "auth_permission"}


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real reference files and samples; tests that use it say plainly that it is
    absent.
    """
    if not SHARED.is_dir():
        pytest.skip("the shared folder with real samples is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def django_db_setup(
    request,
    django_test_environment,
    django_db_blocker,
    django_db_use_migrations,
    django_db_keepdb,
    django_db_createdb,
    django_db_modify_db_settings,
):
    """Create and migrate as the owner, load the starter reference data, then connect as the
    application role.
    """
    from django.core.management import call_command
    from django.test.utils import setup_databases, teardown_databases

    with django_db_blocker.unblock():
        kept = django_db_keepdb and not django_db_createdb
        connection = connections["default"]
        template = databases.template_name()
        with databases.turn(template) as source:
            if source and not kept:
                connection.settings_dict["TEST"]["TEMPLATE"] = source
            config = setup_databases(
                verbosity=0, interactive=False, keepdb=kept, serialized_aliases=()
            )
            owner = dict(connection.settings_dict)
            _as_app(connection)
            if not source:
                call_command("load_starter", verbosity=0)
                if not kept:
                    connection.close()
                    databases.offer(connection.settings_dict["NAME"], template)
    request.config.stash_owner = owner
    yield
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict.update({k: owner[k] for k in ("USER", "PASSWORD")})
        if not kept:
            databases.end_sessions(connection.settings_dict["NAME"])
            teardown_databases(config, verbosity=0)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """On a server that is not ours nothing is left behind; the embedded one keeps the database that
    the next run copies.
    """
    runner = hasattr(session.config, "workerinput")
    if os.environ.get("DATABASE_URL") and not runner:
        databases.forget()


HEAVY = ("tests/e2e/", "tests/faults/", "tests/security/test_routes", "tests/embedded/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no runner ends alone."""
    items.sort(
        key=lambda item: next(
            (n for n, path in enumerate(HEAVY) if item.nodeid.startswith(path)), len(HEAVY)
        )
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """The tests of one file, and all that share the running product, go to one runner: what they
    need is made once.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "e2e" if nodeid.startswith("tests/e2e/") else nodeid.partition("::")[0]

    return ByFile(config, log)


def _as_app(connection) -> None:
    connection.close()
    app = settings.APP_DATABASE
    connection.settings_dict.update({"USER": app["USER"], "PASSWORD": app["PASSWORD"]})


def empty_database() -> None:
    """Empty all tables but reference data, for which the application role has no right."""
    databases.empty(
        connections["default"].settings_dict["NAME"],
        lambda table: (table.startswith(KEPT) and table not in LEARNED) or table in KEPT_EXACT,
    )


@pytest.fixture(autouse=True, scope="session")
def _flush_as_owner() -> Iterator[None]:
    from django.test.testcases import TransactionTestCase

    original = TransactionTestCase._fixture_teardown

    def teardown(self) -> None:
        for connection in connections.all():
            connection.close()
        empty_database()

    TransactionTestCase._fixture_teardown = teardown
    yield
    TransactionTestCase._fixture_teardown = original


@dataclass
class Cast:
    """Two organizations, their sites and people. `actor(name)` and `user(name)` by first name in
    lower case.
    """

    a: object
    b: object
    north: object
    south: object
    b_site: object
    users: dict

    def user(self, name: str):
        return self.users[name]

    def actor(self, name: str):
        return self.users[name].actor()

    @property
    def system(self):
        from rcm.accounts.actor import Actor

        return Actor.system("test", [self.a.pk])

    @property
    def system_b(self):
        from rcm.accounts.actor import Actor

        return Actor.system("test", [self.b.pk])


PEOPLE = [
    ("ana", "Frontdesk", "front_desk"),
    ("ada", "Authorizer", "authorization"),
    ("cody", "Coder", "coder"),
    ("ben", "Biller", "biller"),
    ("pia", "Poster", "poster"),
    ("ari", "Receivable", "ar"),
    ("mia", "Manager", "manager"),
    ("max", "Manager", "manager"),
    ("cleo", "Compliance", "compliance"),
    ("adam", "Admin", "admin"),
]


def make_cast() -> Cast:
    from rcm.accounts.models import Membership, Organization, Site, User

    common = {
        "address": "100 Modality Dr",
        "city": "Chicago",
        "state": "IL",
        "zip": "606011234",
        "phone": "3125550100",
    }
    a = Organization.objects.create(
        code="CANA", name="CANA Imaging", npi="1679576722", tin="371234567", **common
    )
    b = Organization.objects.create(
        code="CANB", name="CANB Imaging", npi="1234567893", tin="941234567", **common
    )
    north = Site.objects.create(
        organization=a,
        code="CANA-NORTH",
        name="CANA North",
        npi="1993999998",
        mqsa="123456",
        **common,
    )
    south = Site.objects.create(
        organization=a, code="CANA-SOUTH", name="CANA South", npi="1679576722", **common
    )
    b_site = Site.objects.create(
        organization=b, code="CANB-MAIN", name="CANB Main", npi="1234567893", **common
    )
    users = {}
    for first, last, role in PEOPLE:
        user = User.objects.create_user(
            f"{first}@cana.test", "correct-horse-9", first_name=first.title(), last_name=last
        )
        Membership.objects.create(user=user, organization=a, role=role)
        users[first] = user
    olga = User.objects.create_user(
        "olga@canb.test", "correct-horse-9", first_name="Olga", last_name="Outsider"
    )
    Membership.objects.create(user=olga, organization=b, role="manager")
    users["olga"] = olga
    return Cast(a, b, north, south, b_site, users)


@pytest.fixture
def cast(db) -> Cast:
    return make_cast()


@pytest.fixture
def cast_committed(transactional_db) -> Cast:
    """The same cast, committed: for threads, processes and browsers."""
    return make_cast()
