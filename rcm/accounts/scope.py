"""The tenant scope: which organizations' rows the database shows, one transaction at a time.

`scope()` opens a transaction and sets `isocenter.orgs` for that transaction only, so that nothing
outlives COMMIT on a pooled connection. Row-level security compares each tenant row
with it (rcm.accounts.database); outside a scope no tenant row exists. The same call carries the
author to the audit triggers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from rcm.accounts.actor import Actor

_READ = (
    "SELECT current_setting('isocenter.orgs', true), current_setting('isocenter.actor', true), "
    "current_setting('isocenter.request', true)"
)
_SET = (
    "SELECT set_config('isocenter.orgs', %s, true), set_config('isocenter.actor', %s, true), "
    "set_config('isocenter.request', %s, true)"
)


@contextmanager
def scope(
    actor: Actor | None = None, *, organizations: Iterable[int] = (), request_id: str = ""
) -> Iterator[None]:
    """Run a block as one transaction that sees the actor's organizations (or the given ones) and no
    other rows.
    """
    orgs = frozenset(organizations) or (actor.organizations if actor else frozenset())
    value = ",".join(str(o) for o in sorted(orgs))
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost and actor is not None:
            # what is set ends with the transaction: there is nothing to hand back
            with connection.cursor() as cursor:
                cursor.execute(_SET, [value, actor.tag, request_id])
            yield
            return
        with connection.cursor() as cursor:
            cursor.execute(_READ)
            before = [v or "" for v in cursor.fetchone()]
            cursor.execute(
                _SET, [value, actor.tag if actor else before[1], request_id or before[2]]
            )
        yield
        # an inner scope hands the outer one back; after an error the rolled-back savepoint has done
        # so already
        with connection.cursor() as cursor:
            cursor.execute(_SET, before)
