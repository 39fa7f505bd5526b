"""Nothing leaves while a hold stands.

A restored database does not know what was sent after its backup: sent again, a claim is a
duplicate, a report a second mail. And a database restored for practice would send a real
clearinghouse what the real one sends. So a restore holds all that goes out (interchanges, mail of
reports) and all that is fetched from partners' mailboxes, until a person lets it go.
"""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from rcm.accounts.problems import Refused
from rcm.exchange.models import Hold


def held() -> Hold | None:
    """The hold that stands, or None. One query, never remembered."""
    return Hold.objects.filter(released_at=None).order_by("-id").first()


def put(*, reason: str, at: datetime | None = None) -> Hold:
    return Hold.objects.create(reason=reason[:200], at=at or timezone.now())


def release(*, by: str, reason: str, at: datetime | None = None) -> int:
    """Let everything go again; who did it and why stays. Returns how many holds stood."""
    if not by.strip() or not reason.strip():
        raise Refused("Say who lets it go, and why.", field="reason", code="missing")
    ended = Hold.objects.filter(released_at=None).update(
        released_at=at or timezone.now(),
        released_by=by.strip()[:120],
        release_reason=reason.strip()[:200],
    )
    if not ended:
        raise Refused("Nothing is held.", code="unchanged", status=409)
    return ended
