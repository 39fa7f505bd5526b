"""Claims and the standing of their providers (rule `provider-enrolled`): a span that opens releases
what waited for it, one that ends stops what is ready.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from claims.models import Claim, ClaimStatus, ScrubFinding
from claims.records import Held, Scrubbed, Submitted
from claims.services.scrubbing import CHUNK, claims_scrub
from claims.services.steps import step
from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.audit.services import record_steps
from rcm.network.standing import last_changes

ENROLLMENT_EDITS = ("ENR-001", "ENR-002")


@transaction.atomic
def enrollments_changed(
    *, organization_id: int, changed: Mapping[int, set[str]], actor: Actor, at: datetime
) -> Scrubbed:
    """Judge again, by payer, the claims of these providers that wait for an enrollment, and those
    that are ready to leave. Each that is released keeps why in its history.
    """
    own = Organization.objects.values_list("npi", flat=True).get(pk=organization_id)
    reach = Q(pk__in=())
    for payer_id, npis in changed.items():
        mine = Q(payer_id=payer_id)
        reach |= mine if own in npis else mine & Q(rendering_npi__in=npis)
    waiting = Q(status=ClaimStatus.BLOCKED, pk__in=_stopped(organization_id).values("claim_id"))
    rows = Claim.objects.filter(reach, waiting | Q(status=ClaimStatus.READY))
    ids = list(
        rows.filter(organization_id=organization_id).order_by("id").values_list("id", flat=True)
    )
    total = Scrubbed()
    for start in range(0, len(ids), CHUNK):
        found = _again(organization_id, ids[start : start + CHUNK], actor=actor, at=at)
        total.ready_ids += found.ready_ids
        total.blocked_ids += found.blocked_ids
    total.ready, total.blocked = len(total.ready_ids), len(total.blocked_ids)
    return total


def _stopped(organization_id: int) -> QuerySet[ScrubFinding]:
    return ScrubFinding.objects.filter(
        organization_id=organization_id,
        edit__in=ENROLLMENT_EDITS,
        cleared_at__isnull=True,
        overridden_by="",
    )


def _again(
    organization_id: int, claim_ids: Sequence[int], *, actor: Actor, at: datetime
) -> Scrubbed:
    stopped = _stopped(organization_id).filter(claim_id__in=claim_ids)
    before = set(stopped.values_list("claim_id", flat=True))
    result = claims_scrub(claim_ids=claim_ids, actor=actor, at=at)
    freed = before - set(stopped.values_list("claim_id", flat=True))
    claims = Claim.objects.filter(pk__in=freed).select_related("payer").order_by("id")
    record_steps(
        [
            step(
                claim,
                "claim.enrolled",
                f"The enrollment with {claim.payer.name} it waited for covers"
                f" {claim.service_date:%m/%d/%Y} now: released for scrubbing",
            )
            for claim in claims
        ],
        actor=actor,
        at=at,
    )
    return result


def still_enrolled(
    ready: Iterable[Claim], result: Submitted, *, actor: Actor, at: datetime
) -> list[Claim]:
    """The ready claims that may still leave: those judged before the last change of an enrollment
    with their payer are judged again, here at the latest.
    """
    claims = list(ready)
    changes = last_changes({c.organization_id for c in claims})
    stale = [
        c.pk
        for c in claims
        if (c.organization_id, c.payer_id) in changes
        and (c.scrubbed_at is None or c.scrubbed_at < changes[(c.organization_id, c.payer_id)])
    ]
    if not stale:
        return claims
    blocked = set(claims_scrub(claim_ids=stale, actor=actor, at=at).blocked_ids)
    words = "The enrollment with its payer has changed: it is stopped by an edit now."
    result.held += [Held(c.pk, c.number, words) for c in claims if c.pk in blocked]
    return [c for c in claims if c.pk not in blocked]
