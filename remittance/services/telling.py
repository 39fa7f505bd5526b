"""What a person is told of a payment that came: its step on the timeline and its work item."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from rcm.accounts.actor import Actor
from rcm.audit.services import Step, record_steps
from rcm.exchange.models import Interchange
from rcm.web.format import plural
from rcm.worklist.services import ItemSpec, close_items, open_items
from rcm.x12 import model as x12
from remittance.models import (
    Remittance,
)
from remittance.services.sets import ReadSet


def told_again(
    known: Remittance,
    current: ReadSet,
    trailer: x12.RemittanceTrailer,
    interchange: Interchange,
    result: dict[str, Any],
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """The same payment again: nothing is written; it is told on the first one's timeline, and asked
    about when its figures differ.
    """
    if known.interchange_id == interchange.pk:
        result["remittances"] += 1
        return
    result["duplicates"] += 1
    differs = (
        current.header.amount != known.amount
        or trailer.sum_paid != known.claims_total
        or current.count != known.claim_count
    )
    sentence = f"The same payment {known.trace} came again and was refused" + (
        f": now ${current.header.amount:,.2f} for {current.count} claims, before"
        f" ${known.amount:,.2f} for {known.claim_count}"
        if differs
        else ""
    )
    record_steps(
        [
            Step(
                known.organization_id,
                "remittance.repeated",
                sentence,
                {"remittance_id": known.pk, "interchange_id": interchange.pk},
            )
        ],
        actor=actor,
        at=at,
    )
    if differs:
        open_items(
            [
                ItemSpec(
                    known.organization_id,
                    "quarantined_files",
                    "interchange",
                    interchange.pk,
                    "same_trace_other_figures",
                    f"{sentence}.",
                    at + timedelta(days=1),
                    fix=(
                        "Ask the payer which of the two is right. Nothing of the second was posted."
                    ),
                    dollars=abs(current.header.amount),
                    payer_id=known.payer_id,
                    payer_name=known.payer_name,
                    facts={"trace": known.trace, "claims": current.count},
                )
            ],
            actor=actor,
            at=at,
        )


def told(
    remittance: Remittance, current: ReadSet, good: bool, *, actor: Actor, at: datetime
) -> None:
    keys: dict[str, int | None] = {
        "remittance_id": remittance.pk,
        "interchange_id": remittance.interchange_id,
    }
    if good:
        sentence = (
            f"{remittance.payer_name} {remittance.trace}: ${remittance.amount:,.2f} for"
            f" {plural(current.count, 'claim')}, balanced"
        )
    else:
        errors = [f["message"] for f in remittance.findings if f["level"] == "error"]
        sentence = (
            f"{remittance.payer_name} {remittance.trace} does not balance and was not posted."
            f" {errors[0] if errors else ''}".strip()
        )
    record_steps(
        [
            Step(
                remittance.organization_id,
                "remittance.received" if good else "remittance.quarantined",
                sentence,
                keys,
                new=remittance.status,
            )
        ],
        actor=actor,
        at=at,
    )
    facts: dict[str, Any] = {"trace": remittance.trace, "claims": current.count}
    if not good:
        open_items(
            [
                ItemSpec(
                    remittance.organization_id,
                    "quarantined_files",
                    "remittance",
                    remittance.pk,
                    "unbalanced",
                    sentence[:200],
                    at + timedelta(days=1),
                    fix=(
                        "Ask the payer for a corrected file; when it comes, it takes this one's"
                        " place."
                    ),
                    dollars=abs(remittance.amount),
                    payer_id=remittance.payer_id,
                    payer_name=remittance.payer_name,
                    facts=facts,
                )
            ],
            actor=actor,
            at=at,
        )
        return
    if current.known is not None:
        close_items(
            "remittance",
            [remittance.pk],
            actor=actor,
            at=at,
            outcome="A file that balances took its place",
            queues=["quarantined_files"],
        )
    if current.exceptions:
        open_items(
            [
                ItemSpec(
                    remittance.organization_id,
                    "remittance_exceptions",
                    "remittance",
                    remittance.pk,
                    "review",
                    f"{current.exceptions} of {current.count} claims of {remittance.trace} need a"
                    " person before posting.",
                    at + timedelta(days=1),
                    fix="Resolve them, or post: their money goes to unapplied cash.",
                    dollars=current.stuck,
                    payer_id=remittance.payer_id,
                    payer_name=remittance.payer_name,
                    facts=facts | {"exceptions": current.exceptions},
                )
            ],
            actor=actor,
            at=at,
        )
