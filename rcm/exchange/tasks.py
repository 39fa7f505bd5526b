"""The workers' side of the exchange room, and the form of every task in the product.

    @scoped_task(queue="posting")
    def post_remittance(remittance_id: int, *, actor: Actor) -> None: ...

    post_remittance.delay(organization_id, remittance_id)

A task is a wake-up call that may come twice or never: what must not be lost stands in a table first
(outbox, interchange, job run).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from celery import shared_task
from django.db import connection
from django.utils import timezone

from rcm.accounts.actor import Actor
from rcm.accounts.models import FormKey, Organization
from rcm.accounts.scope import scope
from rcm.exchange import outbox, services, webhooks
from rcm.exchange.models import IdempotencyKey, Outbox

# one turn of one organization; then the next one in the queue has its turn
TURN_SECONDS = 15.0
GRACE = timedelta(seconds=30)
KEPT = timedelta(days=30)
KEYS_KEPT = timedelta(days=7)

BEAT: dict[str, dict[str, Any]] = {
    "exchange-reconcile": {
        "task": "rcm.exchange.tasks.reconcile",
        "schedule": 15.0,
        "options": {"queue": "realtime", "expires": 15},
    },
    "exchange-webhooks": {
        "task": "rcm.exchange.tasks.tell_receivers",
        "schedule": 15.0,
        "options": {"queue": "batch", "expires": 15},
    },
    "exchange-purge": {
        "task": "rcm.exchange.tasks.purge",
        "schedule": 6 * 3600.0,
        "options": {"queue": "batch"},
    },
}


def scoped_task(
    *, queue: str, own_transactions: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """A Celery task `(organization_id, …ids)` whose function `(…ids, *, actor)` runs in that
    organization's scope and one transaction.

    With `own_transactions` the function opens its scopes itself: for work that commits in steps.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        @shared_task(name=f"{function.__module__}.{function.__name__}", queue=queue)
        @wraps(function)
        def run(organization_id: int, *args: Any, **kwargs: Any) -> None:
            actor = Actor.system(function.__name__, [organization_id])
            if own_transactions:
                function(*args, actor=actor, **kwargs)
                return
            with scope(actor):
                function(*args, actor=actor, **kwargs)

        return run

    return decorate


@shared_task(name="rcm.exchange.tasks.work")
def work(organization_id: int, queue: str) -> None:
    """One turn at whatever waits for an organization in a queue."""
    until = time.monotonic() + TURN_SECONDS
    services.work(organization_id, queue, until=until)
    if time.monotonic() > until:
        outbox.wake(organization_id, queue)


@shared_task(name="rcm.exchange.tasks.reconcile")
def reconcile() -> int:
    """Find what waits although its wake-up call was lost, and call again. Returns the number of
    places called.
    """
    places = waiting_places()
    for organization_id, queue in places:
        outbox.wake(organization_id, queue)
    return len(places)


def waiting_places() -> list[tuple[int, str]]:
    """(organization, queue) with due events, or with interchanges that wait longer than usual."""
    now = timezone.now()
    with scope(_everywhere()), connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT organization_id, queue FROM exchange_outbox  WHERE delivered_at IS"
            " NULL AND parked_at IS NULL AND due_at <= %s UNION SELECT DISTINCT organization_id,"
            " queue FROM exchange_interchange  WHERE status IN ('stored', 'sending') AND (due_at <="
            " %s OR due_at IS NULL AND created_at <= %s)",
            [now, now, now - GRACE],
        )
        return sorted((row[0], row[1]) for row in cursor.fetchall())


@shared_task(name="rcm.exchange.tasks.purge")
def purge() -> None:
    """Delete delivered events and old idempotency keys; interchanges are kept."""
    now = timezone.now()
    with scope(_everywhere()):
        Outbox.objects.filter(delivered_at__lt=now - KEPT).delete()
        IdempotencyKey.objects.filter(created_at__lt=now - KEYS_KEPT).delete()
        FormKey.objects.filter(created_at__lt=now - KEYS_KEPT).delete()


def _everywhere() -> Actor:
    return Actor.system("exchange", Organization.objects.values_list("id", flat=True))


@shared_task(name="rcm.exchange.tasks.tell_receivers")
def tell_receivers() -> None:
    """Queue what happened for the webhooks of each organization that has one."""
    for pk in Organization.objects.filter(active=True).values_list("pk", flat=True):
        with scope(Actor.system("webhooks", [pk])):
            webhooks.webhooks_tell(organization_id=pk)
