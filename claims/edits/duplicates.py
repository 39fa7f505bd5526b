"""Duplicates and resubmissions (rules `duplicate-service` and `accepted-claim-repeated`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from claims.edits.examples import MEDICARE, claim, line, medicare, prior
from claims.edits.registry import BLOCK, WARN, Hit, Owner, edit
from claims.edits.subject import DISTINCT, MEDICARE_B, REPEATS, SIDES, Subject, component

EXCUSES = REPEATS | DISTINCT | frozenset({"91"})
ACCEPTED = frozenset({"accepted", "paid", "denied"})


@edit(
    "DUP-001",
    BLOCK,
    "The same service was billed on another claim.",
    field="lines.code",
    fix="Compare; a real repeat needs 76 or 77, a correction goes as frequency 7.",
    owner=Owner.BILLER,
    rule="duplicate-service",
    carc=("18",),
    rarc=("N522",),
    fails=lambda: claim(history=(prior(status="pending"),)),
    passes=lambda: claim(history=(prior(status="rejected"),)),
)
def not_billed_before(s: Subject) -> Iterator[Hit]:
    if s.claim.frequency != "1":
        return
    for item in s.lines:
        if item.has(EXCUSES):
            continue
        for old in s.same_day:
            if (
                old.entity == "ours"
                and old.code == item.code
                and old.service_date == item.day
                and old.payer_id == s.claim.payer_id
                and old.billing_npi == s.claim.billing_npi
                and component(old.modifiers) == item.component
                and SIDES.intersection(old.modifiers) == SIDES.intersection(item.mods)
                and old.units == item.facts.units
                and old.status not in ACCEPTED
            ):
                yield Hit(
                    f"{item.code} of {item.day} is already on claim {old.claim_id}, {old.status}.",
                    line=item.number,
                )


@edit(
    "DUP-002",
    BLOCK,
    "The same service stands twice on the claim.",
    field="lines.code",
    fix="Join the lines, or mark the real repeat with 76 or 77.",
    owner=Owner.CODER,
    rule="duplicate-service",
    carc=("18",),
    rarc=("N522",),
    fails=lambda: claim(line("71046"), line("71046")),
    passes=lambda: claim(line("71046"), line("71046", "76", accession="ACC0002")),
)
def lines_stand_once(s: Subject) -> Iterator[Hit]:
    seen: dict[tuple[object, ...], int] = {}
    for item in s.lines:
        if item.component:
            continue
        key = (
            item.code,
            item.day,
            item.facts.rendering_npi,
            tuple(sorted(mod for mod in item.mods if mod in SIDES or mod in ("JW", "JZ"))),
        )
        if key in seen and not item.has(EXCUSES):
            yield Hit(f"{item.code} stands on line {seen[key]} already.", line=item.number)
        seen.setdefault(key, item.number)


@edit(
    "DUP-003",
    BLOCK,
    "An original claim repeats one the payer has accepted.",
    field="frequency",
    fix=(
        "Send it as replacement (7) with the payer's number, or to Medicare as reopening or appeal."
    ),
    owner=Owner.BILLER,
    rule="accepted-claim-repeated",
    carc=("18",),
    rarc=("N522",),
    fails=lambda: claim(history=(prior(),)),
    passes=lambda: claim(
        frequency="7", payer_icn="ICN1", adjudicated_on=date(2026, 11, 10), history=(prior(),)
    ),
)
def accepted_claims_are_corrected(s: Subject) -> Iterator[Hit]:
    if s.claim.frequency != "1":
        return
    for item in s.lines:
        if item.has(EXCUSES):
            continue
        for old in s.same_day:
            if (
                old.entity == "ours"
                and old.status in ACCEPTED
                and old.code == item.code
                and old.service_date == item.day
                and old.payer_id == s.claim.payer_id
                and old.billing_npi == s.claim.billing_npi
                and component(old.modifiers) == item.component
                and SIDES.intersection(old.modifiers) == SIDES.intersection(item.mods)
            ):
                yield Hit(
                    f"The payer has claim {old.claim_id} with {item.code} of {item.day}"
                    f" ({old.status}).",
                    line=item.number,
                )


@edit(
    "DUP-004",
    BLOCK,
    "This payer takes no replacement or void claims.",
    field="frequency",
    fix="Use reopening for a clerical error, appeal otherwise; after MA130 send a new claim.",
    owner=Owner.BILLER,
    rule="medicare-reopening",
    carc=("16",),
    rarc=("MA130",),
    fails=lambda: medicare(frequency="7", payer_icn="ICN1"),
    passes=medicare,
    overridable=False,
)
def payer_takes_replacements(s: Subject) -> Iterator[Hit]:
    if s.claim.frequency in ("7", "8") and (
        s.product in MEDICARE_B or s.payer.accepts_replacement is False
    ):
        yield Hit(f"Payer {s.claim.payer_id or MEDICARE} takes no frequency {s.claim.frequency}.")


@edit(
    "DUP-005",
    WARN,
    "The claim being replaced is not known here.",
    field="payer_icn",
    fix="Check the payer's number on the remittance.",
    owner=Owner.BILLER,
    rule="replacement-or-void",
    carc=("16",),
    rarc=("M47",),
    fails=lambda: claim(
        frequency="7", payer_icn="ICN9", adjudicated_on=date(2026, 11, 10), history=(prior(),)
    ),
    passes=lambda: claim(
        frequency="7", payer_icn="ICN1", adjudicated_on=date(2026, 11, 10), history=(prior(),)
    ),
)
def original_is_known(s: Subject) -> Iterator[Hit]:
    numbers = {old.payer_icn for old in s.claim.history if old.payer_icn}
    if (
        s.claim.frequency in ("7", "8")
        and s.claim.payer_icn
        and numbers
        and s.claim.payer_icn not in numbers
    ):
        yield Hit(f"Payer number {s.claim.payer_icn} belongs to none of the patient's claims.")


@edit(
    "DUP-006",
    WARN,
    "A repeat modifier repeats nothing.",
    field="lines.modifiers",
    fix="Bill the first exam, or take 76 or 77 off.",
    owner=Owner.CODER,
    rule="repeat-procedure",
    carc=("4",),
    fails=lambda: claim(line("71046", "76")),
    passes=lambda: claim(line("71046"), line("71046", "76", accession="ACC0002")),
)
def repeats_have_an_original(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if not item.has(REPEATS):
            continue
        here = any(
            other is not item and other.code == item.code and other.day == item.day
            for other in s.lines
        )
        if not here and not any(
            old.code == item.code and old.service_date == item.day for old in s.same_day
        ):
            yield Hit(
                f"{item.code} is marked as a repeat and no first exam is known on {item.day}.",
                line=item.number,
            )
