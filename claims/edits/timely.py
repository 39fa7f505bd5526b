"""Timely filing: initial, secondary and corrected clocks, by the payer's own days (rules
`filing-limit` and `corrected-window`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from claims.edits.examples import claim, line, secondary
from claims.edits.registry import BLOCK, WARN, Hit, Owner, edit
from claims.edits.subject import Subject

OLD = date(2026, 8, 1)


@edit(
    "TIM-001",
    BLOCK,
    "The filing limit has passed.",
    field="lines.service_date",
    fix=(
        "Find proof of an earlier filing or a delay reason; else this is a write-off decision,"
        " never the patient's bill."
    ),
    owner=Owner.MANAGER,
    rule="filing-limit",
    carc=("29",),
    fails=lambda: claim(line(service_date=OLD)),
    passes=lambda: claim(line(service_date=date(2026, 8, 22))),
)
def filed_in_time(s: Subject) -> Iterator[Hit]:
    due = filing_deadline(s)
    if due is None or s.as_of <= due or s.claim.delay_reason or s.claim.filing_proof:
        return
    yield Hit(f"The last day to file was {due}, {(s.as_of - due).days} days ago.")


@edit(
    "TIM-002",
    WARN,
    "The filing limit is near.",
    field="lines.service_date",
    fix="Send this claim first.",
    owner=Owner.BILLER,
    rule="filing-warning",
    carc=("29",),
    fails=lambda: claim(line(service_date=date(2026, 8, 28))),
    passes=claim,
)
def filing_limit_is_near(s: Subject) -> Iterator[Hit]:
    due = filing_deadline(s)
    if due is not None and s.as_of <= due <= s.as_of + timedelta(
        days=s.limit("filing_warning_days")
    ):
        yield Hit(f"The last day to file is {due}, in {(due - s.as_of).days} days.")


@edit(
    "TIM-003",
    WARN,
    "The payer's filing limit is not known.",
    field="payer_id",
    fix="Load the payer's limit; until then the shortest usual one is assumed.",
    owner=Owner.MANAGER,
    rule="filing-unknown",
    fails=lambda: claim(payer_id="NEW99"),
    passes=claim,
)
def filing_limit_is_known(s: Subject) -> Iterator[Hit]:
    if s.payer.filing_days is None and s.claim.frequency == "1":
        yield Hit(
            f"No filing limit is loaded for payer {s.claim.payer_id}; {s.ref.default_filing_days}"
            " days are assumed."
        )


@edit(
    "TIM-004",
    BLOCK,
    "The window for a corrected claim has passed.",
    field="adjudicated_on",
    fix="Appeal, or ask the payer to reopen the claim.",
    owner=Owner.BILLER,
    rule="corrected-window",
    carc=("29",),
    fails=lambda: claim(
        line(service_date=date(2026, 4, 1)),
        frequency="7",
        payer_icn="ICN1",
        adjudicated_on=date(2026, 5, 1),
    ),
    passes=lambda: claim(frequency="7", payer_icn="ICN1", adjudicated_on=date(2026, 11, 1)),
)
def corrected_in_time(s: Subject) -> Iterator[Hit]:
    if s.claim.frequency not in ("7", "8") or s.payer.corrected_days is None:
        return
    if s.claim.adjudicated_on is None:
        yield Hit(
            "The day of the payer's decision is not known: the corrected-claim window cannot be"
            " judged.",
            severity=WARN,
        )
        return
    due = s.claim.adjudicated_on + timedelta(days=s.payer.corrected_days)
    if s.as_of > due:
        yield Hit(
            f"A corrected claim was due {due}, {s.payer.corrected_days} days after the decision."
        )


@edit(
    "TIM-005",
    BLOCK,
    "The secondary clock cannot be judged: the primary's date is missing.",
    field="primary_eob_on",
    fix="Enter the date of the primary's remittance.",
    owner=Owner.BILLER,
    rule="filing-secondary",
    carc=("29",),
    fails=lambda: secondary(primary_eob_on=None),
    passes=secondary,
)
def secondary_clock_has_a_start(s: Subject) -> Iterator[Hit]:
    if s.claim.coverage_rank > 1 and s.claim.primary_eob_on is None:
        yield Hit(
            "A later payer's clock starts with the primary's remittance; its date is missing."
        )


def filing_deadline(s: Subject) -> date | None:
    """The last day to file this claim for the first time; None for corrected claims and claims
    without a date.
    """
    if s.claim.frequency != "1" or s.first_day is None:
        return None
    days = s.payer.filing_days if s.payer.filing_days is not None else s.ref.default_filing_days
    if s.claim.coverage_rank > 1 and s.claim.primary_eob_on is not None:
        later = s.payer.secondary_filing_days
        return s.claim.primary_eob_on + timedelta(days=later if later is not None else days)
    return s.first_day + timedelta(days=days)
