from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application

from rcm.accounts.models import Invitation, Partner
from rcm.operations import beats, readiness
from rcm.reference.models import Payer, ReferenceLoad
from tests.conftest import Cast, make_cast
from tests.security.world import World

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
SECRET = "s" * 40  # of every partner client of the suite


@dataclass
class Both:
    """Organization A and organization B with the same rows in each, and the people of A."""

    cast: Cast
    a: World
    b: World
    tokens: dict[str, str]  # partner clients of A, by who they are in the walk
    scopes: dict[str, frozenset[str]]
    shared: dict[str, Any]

    def browser(self, name: str, **options: Any) -> Client:
        client = Client(**options)
        client.force_login(self.cast.user(name), backend=BACKEND)
        return client


def build(cast: Cast) -> Both:
    cache.clear()
    a = World(cast.a, cast.north, cast.user("ana"), "CANA").build()
    b = World(cast.b, cast.b_site, cast.user("olga"), "CANB").build()
    every = frozenset(settings.OAUTH2_PROVIDER["SCOPES"])
    scopes = {
        "partner_full": every,
        "partner_reads": frozenset(s for s in every if s.endswith(":read")),
    }
    tokens = {
        who: token_of(partner(cast.a, who, granted), granted) for who, granted in scopes.items()
    }
    a.rows["accounts.Partner"], b.rows["accounts.Partner"] = (
        partner(cast.a, "CANA system", every),
        partner(cast.b, "CANB system", every),
    )
    for world in (a, b):
        world.rows["accounts.Invitation"] = offer(world.organization, cast.user("max"), world.mark)
    load = ReferenceLoad.objects.first() or ReferenceLoad.objects.create(
        kind="payers", source="test", file_name="payers.csv", sha256="0" * 64
    )
    shared = {"reference.Payer": Payer.objects.get(code="PHP"), "reference.ReferenceLoad": load}
    return Both(cast, a, b, tokens, scopes, shared)


def offer(organization: Any, user: Any, mark: str, role: str = "biller") -> Invitation:
    """An invitation that waits for its person's answer."""
    return Invitation.objects.create(
        organization=organization,
        role=role,
        email=f"{mark.lower()}-1@example.test",
        first_name=f"{mark}-1",
        last_name="Invited",
        user=user,
        invited_by=f"{mark}-2",
        expires_at=timezone.now() + timedelta(days=14),
    )


def partner(organization: Any, name: str, granted: Iterable[str]) -> Partner:
    client = Application.objects.create(
        name=name,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
        client_secret=SECRET,
    )
    return Partner.objects.create(
        organization=organization, name=name, application=client, scopes=sorted(granted)
    )


def token_of(
    client: Partner, granted: Iterable[str], *, expires: timedelta = timedelta(minutes=30)
) -> str:
    """A token as the token endpoint would give it, without the trip through it."""
    token = secrets.token_urlsafe(30)
    AccessToken.objects.create(
        application=client.application,
        token=token,
        token_checksum=hashlib.sha256(token.encode()).hexdigest(),
        expires=timezone.now() + expires,
        scope=" ".join(sorted(granted)),
    )
    return token


@pytest.fixture(scope="module")
def both(django_db_setup, django_db_blocker):
    """Built once for a module, inside a transaction that the last test's end throws away."""
    from django.db import connection, transaction

    with django_db_blocker.unblock():
        outer = transaction.atomic()
        outer.__enter__()
        # one transaction for a whole module, with pauses that the product's own are not allowed
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        try:
            found = build(make_cast())
            # no worker runs beside the walk: `/readyz` is asked as if all of them did, to its end
            beats.beat(readiness.who_beats(), at=time.time() + 7200)
            yield found
        finally:
            connection.check_constraints()
            transaction.set_rollback(True)
            outer.__exit__(None, None, None)
            cache.clear()
