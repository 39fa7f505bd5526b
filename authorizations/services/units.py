"""Units of authorized lines that performed exams take and give back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Sum

from authorizations.models import (
    AuthorizationUse,
    AuthorizedService,
)
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused


@dataclass(frozen=True, slots=True)
class Use:
    """Units of one authorized line that one performed exam takes."""

    service_id: int
    exam_id: int
    units: int = 1


@transaction.atomic
def authorization_use(*, uses: Sequence[Use], actor: Actor, at: datetime | None = None) -> int:
    """Take units for performed exams; the same exam takes its units once. Raises Refused (code
    `units`) when a line has too few left.
    """
    wanted = {(u.service_id, u.exam_id): u for u in uses}
    lines = {
        s.pk: s
        for s in (
            AuthorizedService.objects.select_for_update()
            .filter(pk__in={k[0] for k in wanted})
            .order_by("pk")
        )
    }
    known = {
        (u.service_id, u.exam_id): u
        for u in AuthorizationUse.objects.filter(
            service_id__in=lines, exam_id__in={k[1] for k in wanted}
        )
    }
    fresh: list[AuthorizationUse] = []
    for key, use in wanted.items():
        if key in known:
            continue
        line = lines[use.service_id]
        if line.used + use.units > line.units:
            raise Refused(
                f"{line.code} has {line.units - line.used} of {line.units} units left, the exam"
                f" takes {use.units}.",
                code="units",
                field="units",
                fix="Ask the payer for more units.",
            )
        line.used += use.units
        fresh.append(
            AuthorizationUse(
                organization_id=line.organization_id,
                service=line,
                exam_id=use.exam_id,
                units=use.units,
            )
        )
    AuthorizationUse.objects.bulk_create(fresh)
    AuthorizedService.objects.bulk_update([lines[u.service_id] for u in fresh], ["used"])
    return len(fresh)


@transaction.atomic
def authorization_unuse(
    *, exam_ids: Iterable[int], actor: Actor, at: datetime | None = None
) -> int:
    """Give back the units of exams that were not done after all or were changed."""
    uses = list(
        AuthorizationUse.objects.filter(exam_id__in=list(exam_ids)).select_related("service")
    )
    lines = {
        s.pk: s
        for s in (
            AuthorizedService.objects.select_for_update()
            .filter(pk__in={u.service_id for u in uses})
            .order_by("pk")
        )
    }
    AuthorizationUse.objects.filter(pk__in=[u.pk for u in uses]).delete()
    sums = dict(
        AuthorizationUse.objects.filter(service_id__in=lines)
        .values_list("service_id")
        .annotate(total=Sum("units"))
    )
    for pk, line in lines.items():
        line.used = sums.get(pk, 0)
    AuthorizedService.objects.bulk_update(lines.values(), ["used"])
    return len(uses)
