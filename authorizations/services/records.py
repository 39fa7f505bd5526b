"""One record: hold it, move it by the table of moves, and what its states are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from authorizations.models import (
    AUTH_MOVES,
    GRANTED,
    Authorization,
    AuthorizedService,
    AuthStatus,
)
from authorizations.requirement import Requirement
from rcm.accounts.problems import Conflict
from rcm.exchange.transitions import Machine
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


def _threads(rows: Sequence[Authorization]) -> dict[int, list[dict[str, int | None]]]:
    """The timeline of each exam that a record is for; of the patient alone where it is for none."""
    exams: dict[int, list[int | None]] = {}
    for pk, exam in AuthorizedService.objects.filter(
        authorization_id__in=[r.pk for r in rows], ordered_exam__isnull=False
    ).values_list("authorization_id", "ordered_exam_id"):
        exams.setdefault(pk, []).append(exam)
    return {
        r.pk: [
            {"patient_id": r.patient_id, "authorization_id": r.pk, "ordered_exam_id": exam}
            for exam in exams.get(r.pk, [None])
        ]
        for r in rows
    }


AUTHORIZATIONS = Machine(
    noun="an authorization",
    verb="authorization",
    moves=AUTH_MOVES,
    keys=_threads,
    topic="authorization.changed",
    payload=lambda row: {"authorization_id": row.pk, "status": str(row.status)},
    stays=True,
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
