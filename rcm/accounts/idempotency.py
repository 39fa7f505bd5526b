"""Safe writes: an Idempotency-Key makes a POST happen once.

The key is taken in a transaction of its own before the work begins, so that a second caller finds
it whatever the first is doing. The answer is kept with the key in the transaction of the work
itself: either both are there or neither. The same key with another body is refused (422); while the
first is at work a second caller hears 409 with Retry-After; a holder that died frees the key after
a minute, and one that only slept finds its key taken and undoes its work. Keys live seven days,
because webhook retries take 75 hours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from rcm.accounts.actor import Actor
from rcm.accounts.problems import problem
from rcm.accounts.scope import scope

HELD = timedelta(seconds=60)
LIFE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Held:
    """A key in our hand since `at`. Who took it over after a minute has another `at`: then ours is
    worth nothing.
    """

    pk: int
    at: datetime


def _rows() -> Any:
    # the table stands in the exchange room, above this one
    from django.apps import apps

    return apps.get_model("exchange", "IdempotencyKey").objects


def fingerprint(request: Request) -> str:
    """What makes two requests the same: path and body."""
    return hashlib.sha256(
        f"{request.method} {request.path}\n".encode() + bytes(request.body)
    ).hexdigest()


def begin(
    request: Request, key: str, actor: Actor, client: str
) -> tuple[Held | None, Response | None]:
    """Take the key, in a transaction of its own. Returns (held, None) to go on, or (None, answer)
    to give back.
    """
    organization = next(iter(actor.organizations))
    print_, now = fingerprint(request), timezone.now()
    wanted = {"organization_id": organization, "client": client, "key": key}
    with scope(actor):
        row = None
        while row is None:
            try:
                with transaction.atomic():
                    return (
                        Held(_rows().create(**wanted, fingerprint=print_, locked_at=now).pk, now),
                        None,
                    )
            except IntegrityError:
                # gone again when its holder has just let go of it
                row = _rows().select_for_update().filter(**wanted).first()
        if row.created_at < now - LIFE:
            row.fingerprint, row.status, row.body, row.created_at = print_, None, None, now
        elif row.fingerprint != print_:
            return None, problem(
                422, "This Idempotency-Key was used for another request.", code="key_reused"
            )
        elif row.status is not None:
            return None, _again(row)
        elif row.locked_at > now - HELD:
            answer = problem(
                409, "The first request with this key is still at work.", code="in_progress"
            )
            answer["Retry-After"] = "2"
            return None, answer
        row.locked_at = now
        row.save()
        return Held(row.pk, now), None


def _again(row: Any) -> Response:
    answer = Response(row.body, status=row.status)
    if row.status >= 400:
        answer.content_type = "application/problem+json"
    answer["Idempotent-Replayed"] = "true"
    return answer


def finish(held: Held, response: Response) -> bool:
    """Keep the answer with the key, in the transaction of the work. False: somebody else has taken
    the key over, undo the work.
    """
    body = json.loads(JSONRenderer().render(response.data)) if response.data is not None else None
    return bool(
        _rows()
        .filter(pk=held.pk, locked_at=held.at, status=None)
        .update(status=response.status_code, body=body)
    )


def release(held: Held, actor: Actor) -> None:
    """The work was never begun or its outcome is unknown: free the key at once."""
    with scope(actor):
        _rows().filter(pk=held.pk, locked_at=held.at, status=None).delete()


def purge(*, organizations: Iterable[int], now: datetime) -> int:
    """Forget keys past their life. Returns how many."""
    with scope(organizations=organizations):
        gone, _ = _rows().filter(created_at__lt=now - LIFE).delete()
    return int(gone)
