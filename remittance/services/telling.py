"""What a person is told of a payment that came: its step on the timeline and its work item."""

from __future__ import annotations

from datetime import datetime, timedelta

from rcm.accounts.actor import Actor
from rcm.audit.services import Step, record_steps
from rcm.exchange.models import Interchange
from rcm.web.format import plural
from rcm.worklist.services import ItemSpec, close_items, open_items
from remittance.models import HeldFor, Remittance
from remittance.services.sets import ReadSet

WORK = "quarantined_files"
EXCEPTION_QUEUE = "remittance_exceptions"


def first_words(row: Remittance) -> str:
    """A payment by number, amount and day."""
    return f"{row.payer_name} {row.trace} over ${row.amount:,.2f} of {row.paid_on:%b %-d, %Y}"


def told_again(
    first: Remittance,
    interchange: Interchange,
    *,
    actor: Actor,
    at: datetime,
    reopened: bool = False,
) -> None:
    """The same payment again, on the first one's timeline."""
    became = "it is taken up again" if reopened else "was refused"
    record_steps(
        [
            Step(
                first.organization_id,
                "remittance.repeated",
                f"{first_words(first)} came again and {became}",
                {"remittance_id": first.pk, "interchange_id": interchange.pk},
            )
        ],
        actor=actor,
        at=at,
    )


def told(
    remittance: Remittance, current: ReadSet, *, took_place: bool, actor: Actor, at: datetime
) -> None:
    """A payment that came for the first time, ready or held."""
    good = not remittance.held_for
    sentence = _sentence(remittance, current)
    record_steps(
        [
            Step(
                remittance.organization_id,
                "remittance.received" if good else "remittance.quarantined",
                sentence,
                {"remittance_id": remittance.pk, "interchange_id": remittance.interchange_id},
                new=remittance.status,
            )
        ],
        actor=actor,
        at=at,
    )
    if not good:
        open_items([_held_item(remittance, current, sentence, at)], actor=actor, at=at)
        return
    if took_place:
        close_items(
            "remittance",
            [remittance.pk],
            actor=actor,
            at=at,
            outcome="What held it is gone",
            queues=[WORK],
        )
    specs = [_review_item(remittance, current, at)] if current.exceptions else []
    if remittance.resembles is not None:
        specs = [_resembling_item(remittance, at)]
    open_items(specs, actor=actor, at=at)


def _sentence(remittance: Remittance, current: ReadSet) -> str:
    named = f"{remittance.payer_name} {remittance.trace}"
    if not remittance.held_for:
        claims = plural(current.count, "claim")
        return f"{named}: ${remittance.amount:,.2f} for {claims}, balanced"
    errors = [f["message"] for f in remittance.findings if f["level"] == "error"]
    held = HeldFor(remittance.held_for)
    words = "does not balance and" if held == HeldFor.BALANCE else "is held and"
    return f"{named} {words} was not posted. {errors[0] if errors else ''}".strip()


FIXES = {
    HeldFor.BALANCE: (
        "unbalanced",
        "Ask the payer for a corrected file; when it comes, it takes this one's place.",
    ),
    HeldFor.VERSION: ("version", "Ask the payer for the file as version 005010."),
    HeldFor.PAYEE: (
        "payee",
        "Give it to the organization it pays, or add the number to ours and read it again.",
    ),
    HeldFor.DATE: ("no_date", "Enter the date of payment from the bank statement."),
}


def _held_item(remittance: Remittance, current: ReadSet, sentence: str, at: datetime) -> ItemSpec:
    cause, fix = FIXES[HeldFor(remittance.held_for)]
    return ItemSpec(
        remittance.organization_id,
        WORK,
        "remittance",
        remittance.pk,
        cause,
        sentence[:200],
        at + timedelta(days=1),
        fix=fix,
        dollars=abs(remittance.amount),
        payer_id=remittance.payer_id,
        payer_name=remittance.payer_name,
        facts={"trace": remittance.trace, "claims": current.count},
    )


def _review_item(remittance: Remittance, current: ReadSet, at: datetime) -> ItemSpec:
    return ItemSpec(
        remittance.organization_id,
        EXCEPTION_QUEUE,
        "remittance",
        remittance.pk,
        "review",
        f"{current.exceptions} of {current.count} claims of {remittance.trace} need a"
        " person; the others post without them.",
        at + timedelta(days=1),
        fix="Resolve them, or post: their money goes to unapplied cash.",
        dollars=current.stuck,
        payer_id=remittance.payer_id,
        payer_name=remittance.payer_name,
        facts={
            "trace": remittance.trace,
            "claims": current.count,
            "exceptions": current.exceptions,
        },
    )


def _resembling_item(remittance: Remittance, at: datetime) -> ItemSpec:
    other = remittance.resembles
    assert other is not None
    return ItemSpec(
        remittance.organization_id,
        EXCEPTION_QUEUE,
        "remittance",
        remittance.pk,
        "same_trace_other_figures",
        f"{remittance.payer_name} {remittance.trace} came twice for {remittance.paid_on:%b %-d}:"
        f" now ${remittance.amount:,.2f}, before ${other.amount:,.2f}, about the same claims.",
        at + timedelta(days=1),
        fix="Ask the payer which is right. If both are, post this one; if not, reverse the first.",
        dollars=abs(remittance.amount),
        payer_id=remittance.payer_id,
        payer_name=remittance.payer_name,
        facts={"trace": remittance.trace, "claims": remittance.claim_count},
    )
