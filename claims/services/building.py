"""From released charges to draft claims: grouped, numbered, with lines, diagnoses,
pointers and deadline.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from charges.models import Charge, ChargeStatus
from claims.edits.repairs import plain_diagnosis
from claims.models import Claim, ClaimLine, ClaimStatus
from claims.services.offclaim import DEAD, charges_on_claim
from claims.services.steps import rewrite
from claims.sheets import is_hospital
from rcm.accounts.actor import Actor
from rcm.audit.services import Step, record_steps
from rcm.exchange.services import next_control_number
from rcm.reference.facts import current, drug_kind, procedure_versions
from rcm.reference.models import Payer, PayerKind

MOST_LINES, MOST_DIAGNOSES, MOST_POINTERS = 50, 12, 4
"""Limits of the 837P guide: LX lines, HI composites, SV107 pointers."""

DEFAULT_FILING_DAYS = 90
"""Assumed for a payer whose filing limit is not known (rule `filing-limit`)."""

UNSENT = (ClaimStatus.DRAFT, ClaimStatus.BLOCKED, ClaimStatus.READY)


@dataclass(frozen=True, slots=True)
class Key:
    """What must be the same on all lines of one claim."""

    organization_id: int
    patient_id: int
    coverage_id: int
    site_id: int
    service_date: date
    pos: str
    rendering_npi: str
    place: str
    form: str


@dataclass(slots=True)
class Draft:
    """A claim on its way: the row and the charges that go on it."""

    claim: Claim
    charges: list[Charge] = field(default_factory=list)
    new: bool = True


@transaction.atomic
def claims_build(
    *,
    charge_ids: Iterable[int] = (),
    exam_ids: Iterable[int] = (),
    actor: Actor,
    at: datetime | None = None,
) -> list[int]:
    """Put released charges on claims and return the ids of the claims that are new or have grown.

    One claim for each patient, coverage, site, day, place, reader and form, of at most 50 lines and
    12 diagnoses. A charge that stands on a live claim is passed over, so repeating changes nothing.
    Self-pay makes no claim.
    """
    at = at or timezone.now()
    charges = _free_charges(charge_ids, exam_ids)
    if not charges:
        return []
    supplies = _supplies()
    readings = _readings(charges, supplies)
    groups: dict[Key, list[Charge]] = defaultdict(list)
    for charge in charges:
        groups[_key(charge, readings, supplies)].append(charge)
    drafts = _drafts(groups, _growing(groups))
    claims_number([d.claim for d in drafts if d.new])
    Claim.objects.bulk_create([d.claim for d in drafts if d.new], batch_size=500)
    lines = [line for d in drafts for line in _lines(d)]
    ClaimLine.objects.bulk_create(lines, batch_size=1000)
    grown = [d.claim for d in drafts if not d.new]
    for claim in grown:
        claim.version += 1
    rewrite(grown, ["status", "diagnoses", "total", "expected", "authorization_number", "version"])
    charges_on_claim([c.pk for c in charges], actor=actor, at=at)
    record_steps((s for d in drafts for s in _built(d)), actor=actor, at=at)
    return [d.claim.pk for d in drafts]


def claims_number(claims: Sequence[Claim]) -> None:
    """Give new claims their numbers (CLM01): two letters of the organization and six digits or
    more, at most 20 characters.
    """
    by_organization: dict[int, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_organization[claim.organization_id].append(claim)
    for organization_id, group in by_organization.items():
        first = next_control_number(organization_id, "CLM", count=len(group))
        prefix = "".join(c for c in group[0].organization.code.upper() if c.isalnum())[:2] or "C"
        for n, claim in enumerate(group, start=first):
            claim.number = f"{prefix}{n:06d}"


def line_control(claim: Claim, number: int) -> str:
    """REF*6R: the claim's number and the line's, unique in the organization."""
    return f"{claim.number}-{number}"


def filing_limit(
    payer: Payer, service_date: date, *, rank: int = 1, primary_on: date | None = None
) -> date:
    """The last day to file for the first time (rule `filing-limit`). A later payer's clock starts
    with the earlier one's decision.
    """
    if rank > 1 and primary_on is not None:
        days = (
            payer.secondary_filing_days
            if payer.secondary_filing_days is not None
            else payer.filing_days
        )
        return primary_on + timedelta(days=days if days is not None else DEFAULT_FILING_DAYS)
    return service_date + timedelta(
        days=payer.filing_days if payer.filing_days is not None else DEFAULT_FILING_DAYS
    )


def diagnoses_of(charge: Charge) -> list[str]:
    """The charge's diagnoses, else the exam's, else the order's; no dots, each once."""
    ordered = charge.exam.ordered_exam
    found = (
        charge.diagnoses or charge.exam.diagnoses or (ordered.order.diagnoses if ordered else [])
    )
    return list(dict.fromkeys(plain_diagnosis(code) for code in found if code))


def own_number(charge: Charge, claim: Claim) -> str:
    """The exam's authorization number where the payer of this claim has given it; another payer's
    says nothing to this one.
    """
    authorization = charge.exam.authorization
    if authorization is None or authorization.payer_id != claim.payer_id:
        return ""
    return authorization.number


def _free_charges(charge_ids: Iterable[int], exam_ids: Iterable[int]) -> list[Charge]:
    rows = Charge.objects.filter(
        status=ChargeStatus.RELEASED, bill_as="ours", exam__coverage__isnull=False
    )
    ids, exams = list(charge_ids), list(exam_ids)
    rows = rows.filter(pk__in=ids) if ids else rows.filter(exam_id__in=exams)
    rows = rows.exclude(exam__coverage__payer__kind=PayerKind.SELF_PAY)
    charges = list(
        rows.select_for_update(of=("self",))
        .select_related(
            "organization",
            "exam__site",
            "exam__coverage__payer",
            "exam__authorization",
            "exam__ordered_exam__order__ordering",
        )
        .order_by("exam_id", "id")
    )
    busy = set(
        ClaimLine.objects.filter(charge_id__in=[c.pk for c in charges], claim__rank=1)
        .exclude(claim__status__in=DEAD)
        .values_list("charge_id", flat=True)
    )
    return [c for c in charges if c.pk not in busy]


@dataclass(frozen=True, slots=True)
class Reading:
    """Who reads an exam, and where."""

    npi: str
    place: str


def _readings(charges: Sequence[Charge], supplies: frozenset[str]) -> dict[int, Reading]:
    """The reading of each exam, from all of its charges that stand: a part may be released later
    than the other.
    """
    found: dict[int, Reading] = {}
    rows = (
        Charge.objects.filter(exam_id__in={c.exam_id for c in charges})
        .exclude(status=ChargeStatus.VOID)
        .exclude(component="TC")
        .exclude(rendering_npi="")
        .select_related("exam__site")
    )
    for charge in rows.order_by("id"):
        if charge.code not in supplies:
            found.setdefault(charge.exam_id, Reading(charge.rendering_npi, _place(charge)))
    return found


def _supplies() -> frozenset[str]:
    """Contrast agents and tracers: nobody reads them."""
    book = procedure_versions()
    return frozenset(code for code, rows in book.items() if drug_kind(rows[0]))


def _place(charge: Charge) -> str:
    return charge.service_zip[:5] or charge.exam.site.zip[:5]


def _key(charge: Charge, readings: dict[int, Reading], supplies: frozenset[str]) -> Key:
    """One claim for each billing entity, place and reader. What has no reader of its own (the
    technical part, contrast, tracers) stands where the scan was made: beside the reading when that
    is one place, else together on the claim of the technical part.
    """
    exam = charge.exam
    assert exam.coverage_id is not None
    place = _place(charge)
    reading = readings.get(exam.pk)
    beside = reading.npi if reading is not None and reading.place == place else ""
    read = charge.component != "TC" and charge.code not in supplies
    own = charge.rendering_npi if read else ""
    return Key(
        organization_id=charge.organization_id,
        patient_id=charge.patient_id,
        coverage_id=exam.coverage_id,
        site_id=exam.site_id,
        service_date=charge.service_date,
        pos=charge.pos,
        rendering_npi=own or beside,
        place=place,
        form="837I" if is_hospital(charge.organization.taxonomy) else "837P",
    )


def _growing(groups: dict[Key, list[Charge]]) -> dict[Key, Claim]:
    """Original claims that have not left and take more lines of the same key: exams of one visit
    are read one after the other.
    """
    patients = {key.patient_id for key in groups}
    days = {key.service_date for key in groups}
    rows = (
        Claim.objects.filter(
            patient_id__in=patients,
            service_date__in=days,
            status__in=UNSENT,
            rank=1,
            frequency="1",
            first_submitted_at__isnull=True,
        )
        .select_for_update(of=("self",))
        .prefetch_related("lines__charge__exam__site")
        .order_by("id")
    )
    found: dict[Key, Claim] = {}
    for claim in rows:
        lines = list(claim.lines.all())
        if not lines:
            continue
        charge = lines[0].charge
        found[
            Key(
                claim.organization_id,
                claim.patient_id,
                claim.coverage_id,
                claim.site_id,
                claim.service_date,
                claim.pos,
                claim.rendering_npi,
                _place(charge),
                claim.form,
            )
        ] = claim
    return found


def _drafts(groups: dict[Key, list[Charge]], growing: dict[Key, Claim]) -> list[Draft]:
    drafts: list[Draft] = []
    for key, charges in groups.items():
        draft: Draft | None = None
        old = growing.get(key)
        room = MOST_LINES
        if old is not None:
            room = MOST_LINES - len(old.lines.all())
            draft = Draft(old, new=False)
            old.status = ClaimStatus.DRAFT
            drafts.append(draft)
        for charge in charges:
            codes = diagnoses_of(charge)
            fits = draft is not None and len(draft.charges) < room and _fits(draft.claim, codes)
            if draft is None or not fits:
                draft, room = Draft(_claim(key, charge)), MOST_LINES
                drafts.append(draft)
            _take(draft, charge, codes)
    return [d for d in drafts if d.charges]


def _fits(claim: Claim, codes: Sequence[str]) -> bool:
    return len({*claim.diagnoses, *codes[:MOST_DIAGNOSES]}) <= MOST_DIAGNOSES


def _take(draft: Draft, charge: Charge, codes: Sequence[str]) -> None:
    claim = draft.claim
    draft.charges.append(charge)
    claim.diagnoses = list(dict.fromkeys([*claim.diagnoses, *codes]))[:MOST_DIAGNOSES]
    claim.total += charge.amount
    claim.expected = (
        None
        if claim.expected is None or charge.expected is None
        else claim.expected + charge.expected
    )
    if not claim.authorization_number:
        claim.authorization_number = own_number(charge, claim)


def _claim(key: Key, charge: Charge) -> Claim:
    exam = charge.exam
    assert exam.coverage is not None
    payer = exam.coverage.payer
    orderer = exam.ordered_exam.order.ordering if exam.ordered_exam else None
    return Claim(
        organization=charge.organization,
        patient_id=key.patient_id,
        coverage=exam.coverage,
        payer=payer,
        site=exam.site,
        form=key.form,
        pos=key.pos,
        service_date=key.service_date,
        diagnoses=[],
        total=Decimal("0.00"),
        expected=Decimal("0.00"),
        referring_npi=orderer.npi if orderer else "",
        ordering_npi=orderer.npi if orderer else "",
        rendering_npi=key.rendering_npi,
        filing_deadline=filing_limit(payer, key.service_date),
    )


def _lines(draft: Draft) -> list[ClaimLine]:
    first = 1 if draft.new else max(line.number for line in draft.claim.lines.all()) + 1
    return lines_of(draft.claim, draft.charges, first=first)


def lines_of(claim: Claim, charges: Sequence[Charge], *, first: int = 1) -> list[ClaimLine]:
    """Lines for these charges, numbered from `first`; exams before the supplies they used."""

    book = procedure_versions()

    def order(charge: Charge) -> tuple[int, bool, int]:
        row = current(book.get(charge.code, ()), charge.service_date)
        return (charge.exam_id, row is not None and row.kind != "exam", charge.pk)

    lines: list[ClaimLine] = []
    for number, charge in enumerate(sorted(charges, key=order), start=first):
        places = {code: n for n, code in enumerate(claim.diagnoses, start=1)}
        extra: dict[str, Any] = {}
        authorized = own_number(charge, claim)
        if authorized and authorized != claim.authorization_number:
            extra["authorization"] = authorized
        lines.append(
            ClaimLine(
                organization_id=claim.organization_id,
                claim=claim,
                charge=charge,
                number=number,
                control=line_control(claim, number),
                code=charge.code,
                modifiers=list(charge.modifiers),
                units=charge.units,
                amount=charge.amount,
                expected=charge.expected,
                pointers=[places[code] for code in diagnoses_of(charge) if code in places][
                    :MOST_POINTERS
                ],
                service_date=charge.service_date,
                extra=extra,
            )
        )
    return lines


def _built(draft: Draft) -> list[Step]:
    """One step for each exam, so that each exam's timeline leads to its claim."""
    claim = draft.claim
    count = len(draft.charges)
    if draft.new:
        verb, words = (
            "claim.built",
            (
                f"Claim {claim.number} made: {count} {'line' if count == 1 else 'lines'},"
                f" ${claim.total:,.2f}"
            ),
        )
    else:
        verb, words = (
            "claim.grown",
            f"Claim {claim.number} grew by {count}; now ${claim.total:,.2f}",
        )
    return [
        Step(
            claim.organization_id,
            verb,
            words,
            {"claim_id": claim.pk, "patient_id": claim.patient_id, "exam_id": exam_id},
            new=ClaimStatus.DRAFT,
        )
        for exam_id in sorted({c.exam_id for c in draft.charges})
    ]
