"""Further doors of an 835: an upload, reading at once, looking again for claims."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from rcm.accounts import bulk
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.exchange.contents import kinds_in
from rcm.exchange.detect import UNKNOWN, Found, detect
from rcm.exchange.models import Interchange
from rcm.exchange.services import process_now, store_inbound
from rcm.worklist.services import close_items
from remittance import matching as m
from remittance.models import (
    ClaimPayment,
    PaymentState,
    Remittance,
    ServicePayment,
)
from remittance.plan import REVERSAL
from remittance.services.finding import match

ADVICE = "835"


def _no_advice(found: Found) -> str:
    if found.sentence:
        return found.sentence
    if found.kind == UNKNOWN:
        return "This file is not an X12 file, not an 835."
    return f"This file is {found.kind}, not an 835."


def advice_upload(
    *,
    organization_id: int,
    content: bytes,
    file_name: str,
    actor: Actor,
    at: datetime | None = None,
) -> tuple[Interchange, bool]:
    """Store a file with an 835 in it; the workers read it, or the caller with `process`. Refused
    when it holds none. What else is in it goes to its own readers.
    """
    actor.require("remittance.post", organization_id)
    found = detect(content)
    if found.kind != ADVICE and ADVICE not in kinds_in(content):
        raise Refused(
            _no_advice(found), code="not_835", field="file", fix="Choose the payer's 835 file."
        )
    return store_inbound(
        organization_id=organization_id,
        kind=found.kind,
        content=content,
        file_name=file_name,
        media_type="application/edi-x12",
        control_number=found.control_number,
        at=at,
        actor=actor,
    )


READ_AT_ONCE = 2 * 1024 * 1024


def receive_now(
    interchange: Interchange, *, actor: Actor, at: datetime | None = None
) -> Interchange:
    """Read a stored file in the caller's transaction, so that the caller can answer with what is in
    it. A large one is left to the workers.
    """
    if interchange.size > READ_AT_ONCE:
        return interchange
    return process_now(interchange, actor=actor, at=at)


@transaction.atomic
def remittance_match(*, remittance: Remittance, actor: Actor, at: datetime | None = None) -> int:
    """Look again for the claims of payments that were not found, before posting. Returns how many
    were found now.
    """
    rows = list(
        ClaimPayment.objects.select_for_update()
        .filter(
            remittance=remittance,
            state=PaymentState.EXCEPTION,
            exception__in=["no_match", "code_mismatch", "reversal_without_original"],
        )
        .prefetch_related("services")
    )
    facts = []
    for p in rows:
        last, _, first = p.patient_name.partition(", ")
        lines = sorted(p.services.all(), key=lambda s: s.position)
        facts.append(
            (
                m.Paid(
                    p.claim_number.strip(),
                    p.payer_control_number,
                    p.references.get("F8", ""),
                    p.billed,
                    p.member_id,
                    last,
                    first,
                    p.service_date,
                    frozenset(c for s in lines for c in (s.code, s.original_code) if c),
                ),
                [
                    m.PaidLine(s.control, s.code, s.modifiers, s.billed, s.original_code)
                    for s in lines
                ],
            )
        )
    found = 0
    payments: list[dict[str, Any]] = []
    services: list[dict[str, Any]] = []
    for p, result in zip(
        rows, match(facts, organization_id=remittance.organization_id), strict=True
    ):
        if result.claim is None or (
            any(line is None for line in result.lines) and p.status_code != REVERSAL
        ):
            continue
        found += 1
        payments.append(
            {
                "id": p.pk,
                "claim_id": result.claim.claim_id,
                "state": PaymentState.MATCHED,
                "exception": "",
                "sentence": "",
                "candidates": [],
            }
        )
        for s, line in zip(
            sorted(p.services.all(), key=lambda s: s.position), result.lines, strict=True
        ):
            if line is not None:
                services.append({"id": s.pk, "line_id": line.line_id, "expected": line.expected})
    bulk.update(ClaimPayment, payments)
    bulk.update(ServicePayment, services)
    if (
        rows
        and not ClaimPayment.objects.filter(
            remittance=remittance, state=PaymentState.EXCEPTION
        ).exists()
    ):
        close_items(
            "remittance",
            [remittance.pk],
            actor=actor,
            at=at,
            outcome="Every claim was found",
            queues=["remittance_exceptions"],
        )
    return found
