"""Standing of the providers on the service date: enrolled with the payer, licensed, allowed to
order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from claims.edits.examples import FACILITY, OUTSIDER, claim, line, mammogram, medicare
from claims.edits.reference import Span
from claims.edits.registry import BLOCK, Hit, Owner, edit
from claims.edits.subject import MEDICAID, MEDICARE_B, Subject

ENROLLED = frozenset({"in", "out"})
"""The payer knows the provider and takes its claims; out of network it pays them otherwise."""


@edit(
    "ENR-001",
    BLOCK,
    "The billing provider was not enrolled with the payer that day.",
    field="billing_npi",
    fix="Hold until enrollment is effective for that day.",
    owner=Owner.CREDENTIALING,
    rule="provider-enrolled",
    carc=("B7", "208"),
    rarc=("N570", "N257"),
    tables=("enrollments",),
    fails=lambda: claim(billing_npi=FACILITY),
    passes=claim,
)
def biller_is_enrolled(s: Subject) -> Iterator[Hit]:
    yield from _enrolled(s, "billing", s.claim.billing_npi, None)


@edit(
    "ENR-002",
    BLOCK,
    "The rendering provider was not enrolled with the payer that day.",
    field="rendering_npi",
    fix="Hold until enrollment is effective for that day.",
    owner=Owner.CREDENTIALING,
    rule="provider-enrolled",
    carc=("B7", "185"),
    rarc=("N570", "N290"),
    tables=("enrollments",),
    fails=lambda: claim(line(rendering_npi=FACILITY)),
    passes=claim,
)
def reader_is_enrolled(s: Subject) -> Iterator[Hit]:
    seen: set[str] = set()
    for item in s.lines:
        npi = item.facts.rendering_npi or s.claim.rendering_npi
        if npi not in seen:
            seen.add(npi)
            yield from _enrolled(s, "rendering", npi, item.number)


def alias(payer: str) -> str:
    """How a payer's name, code or number is compared: without case and spare spaces."""
    return " ".join(payer.split()).casefold()


def _enrolled(s: Subject, role: str, npi: str, number: int | None) -> Iterator[Hit]:
    assert s.ref.enrollments is not None
    if not npi or s.first_day is None:
        return
    payer = s.claim.payer_id
    spans = s.ref.enrollments.get((npi, payer)) or s.ref.enrollments.get((npi, alias(payer)))
    if not spans:
        yield Hit(
            f"No enrollment of the {role} provider {npi} with payer {s.claim.payer_id} is known.",
            line=number,
        )
        return
    status = standing_on(spans, s.claim.plan_id, s.first_day)
    if status == "pending":
        yield Hit(
            f"The enrollment of the {role} provider {npi} with payer {s.claim.payer_id} was still"
            f" pending on {s.first_day}.",
            line=number,
        )
    elif status not in ENROLLED:
        yield Hit(
            f"The {role} provider {npi} was not enrolled with payer {s.claim.payer_id} on"
            f" {s.first_day}.",
            line=number,
        )


def standing_on(spans: Iterable[Span], plan: str, day: date) -> str:
    """The status of the day: a span of the plan goes before one of the whole payer; blank when no
    span covers the day.
    """
    covering = [span for span in spans if span.covers(day) and span.plan in ("", plan)]
    return next((span.status for span in sorted(covering, key=lambda x: not x.plan)), "")


@edit(
    "ENR-003",
    BLOCK,
    "The reader's license was not valid in the state of the exam.",
    field="rendering_npi",
    fix="Hold; complete the license, or have a licensed reader read.",
    owner=Owner.CREDENTIALING,
    rule="reader-licensed",
    carc=("B7",),
    rarc=("N570",),
    tables=("licenses",),
    fails=lambda: claim(facility_state="TX"),
    passes=lambda: claim(line("72148", "TC"), facility_state="TX"),
)
def reader_is_licensed(s: Subject) -> Iterator[Hit]:
    assert s.ref.licenses is not None
    if not s.claim.facility_state:
        return
    seen: set[str] = set()
    for item in s.lines:
        npi = item.facts.rendering_npi or s.claim.rendering_npi
        if item.component == "TC" or item.day is None or not npi or npi in seen:
            continue
        seen.add(npi)
        spans = s.ref.licenses.get((npi, s.claim.facility_state), ())
        if not any(span.covers(item.day) for span in spans):
            yield Hit(
                f"No license of {npi} in {s.claim.facility_state} covers {item.day}.",
                line=item.number,
            )


@edit(
    "ENR-004",
    BLOCK,
    "A provider is excluded from federal programs.",
    field="rendering_npi",
    fix="Do not bill; tell compliance today.",
    owner=Owner.COMPLIANCE,
    rule="provider-excluded",
    carc=("B7", "172"),
    overridable=False,
    fails=lambda: claim(supervising_npi=OUTSIDER),
    passes=claim,
)
def nobody_is_excluded(s: Subject) -> Iterator[Hit]:
    excluded = s.ref.excluded_npis
    if not excluded:
        return
    for name in ("billing_npi", "rendering_npi", "ordering_npi", "supervising_npi", "facility_npi"):
        if getattr(s.claim, name) in excluded:
            yield Hit(f"{getattr(s.claim, name)} is on the exclusion list.", name)
    for item in s.lines:
        for name in ("rendering_npi", "ordering_npi", "purchased_npi"):
            npi = getattr(item.facts, name)
            if npi in excluded:
                yield Hit(f"{npi} is on the exclusion list.", f"lines.{name}", item.number)


@edit(
    "ENR-005",
    BLOCK,
    "The ordering provider is not enrolled to order.",
    field="ordering_npi",
    fix="Ask the ordering office for an enrolled provider, or hold.",
    owner=Owner.FRONT_DESK,
    rule="orderer-enrolled",
    carc=("183", "184"),
    rarc=("N574", "N264"),
    products=MEDICARE_B | MEDICAID,
    tables=("ordering_npis",),
    fails=lambda: medicare(ordering_npi=FACILITY, facility_npi=""),
    passes=lambda: mammogram(ordering_npi=""),
)
def orderer_is_enrolled(s: Subject) -> Iterator[Hit]:
    assert s.ref.ordering_npis is not None
    npis = {item.facts.ordering_npi or s.claim.ordering_npi for item in s.lines} - {""}
    for npi in sorted(npis):
        if npi not in s.ref.ordering_npis:
            yield Hit(f"{npi} is not on the list of those who may order and refer.")
