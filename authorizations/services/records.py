"""One record: hold it, move it by the table of moves, and what its states are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F

from authorizations.models import (
    AUTH_MOVES,
    GRANTED,
    Authorization,
    AuthStatus,
)
from authorizations.requirement import Requirement
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.services import publish
from rcm.reference.clock import day_at

LIVE_STATUS = (
    AuthStatus.DRAFT,
    AuthStatus.REQUESTED,
    AuthStatus.PENDED,
    *GRANTED,
    AuthStatus.NOT_REQUIRED,
    AuthStatus.DENIED,
    AuthStatus.EXPIRED,
)


def move(
    row: Authorization,
    to: str,
    sentence: str,
    *,
    actor: Actor,
    at: datetime,
    reason: str = "",
    **changes: Any,
) -> None:
    """One status change by the table, under the version, kept with actor and reason on the timeline
    of each exam.
    """
    if row.status != to and to not in AUTH_MOVES[row.status]:
        raise Refused(
            f"An authorization that is {row.get_status_display().lower()} cannot become"
            f" {AuthStatus(to).label.lower()}.",
            code="not_allowed",
            status=409,
        )
    old = row.status
    if not Authorization.objects.filter(pk=row.pk, status=old).update(
        status=to, version=F("version") + 1, **changes
    ):
        raise Conflict(
            "Somebody else has changed this authorization in the meantime. Here is the fresh one;"
            " look, then try again."
        )
    row.refresh_from_db()
    exams: list[int | None] = [
        *row.services.filter(ordered_exam__isnull=False).values_list("ordered_exam_id", flat=True)
    ] or [None]
    record_steps(
        [
            Step(
                row.organization_id,
                f"authorization.{to}",
                sentence,
                {"patient_id": row.patient_id, "authorization_id": row.pk, "ordered_exam_id": e},
                old=old,
                new=to,
                reason=reason,
            )
            for e in exams
        ],
        actor=actor,
        at=at,
    )
    publish(
        "authorization.changed",
        organization_id=row.organization_id,
        payload={"authorization_id": row.pk, "status": str(to)},
        due_at=at,
    )


def locked(
    authorization: Authorization, version: int | None = None, *, parties: bool = False
) -> Authorization:
    """The row, held to the end of the transaction; `parties` brings everybody whom a request
    names.
    """
    rows = Authorization.objects.select_for_update(of=("self",))
    if parties:
        rows = rows.select_related(
            "payer",
            "coverage__payer",
            "coverage__patient",
            "coverage__plan",
            "site__organization",
            "appointment",
            "patient",
        )
    row = rows.get(pk=authorization.pk)
    if version is not None and row.version != version:
        raise Conflict(
            "Somebody else has changed this authorization in the meantime. Here is the fresh one;"
            " look, then try again."
        )
    return row


def keep_heard(
    row: Authorization, says: Requirement, channel: str, who: str, reference: str, at: datetime
) -> None:
    """Keep what the payer said about each code as evidence for the next time it is asked."""
    kind = channel if channel in ("phone", "portal") else "payer_api"
    codes = {s.code for s in row.services.all()} or {
        c["code"] for c in row.evidence.get("codes", ())
    }
    heard = [h for h in row.evidence.get("heard", []) if h["code"] not in codes]
    heard += [
        {
            "kind": kind,
            "says": says.value,
            "code": c,
            "who": who,
            "on": day_at(row.site, at).isoformat(),
            "reference": reference,
        }
        for c in sorted(codes)
    ]
    row.evidence = {**row.evidence, "heard": heard}
