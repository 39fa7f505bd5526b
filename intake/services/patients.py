"""Verbs on patients and their coverages: find first, create, change under a version, merge, rank."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.contrib.postgres.search import TrigramWordSimilarity
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from intake.models import (
    Coverage,
    CoverageStatus,
    Patient,
    Relationship,
)
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.outbox import publish, publish_many
from rcm.reference.models import Payer, Plan
from rcm.web.forms import read_date

PATIENT_FIELDS = [
    "mrn",
    "last_name",
    "first_name",
    "middle_name",
    "suffix",
    "other_names",
    "born_on",
    "sex",
    "address",
    "city",
    "state",
    "zip",
    "phone",
    "email",
    "deceased_on",
]
ACCIDENT_FIELDS = [
    "accident_on",
    "accident_state",
    "claim_number",
    "adjuster_name",
    "adjuster_phone",
    "employer",
]
COVERAGE_FIELDS = [
    "payer",
    "plan",
    "rank",
    "member_id",
    "group_number",
    "relationship",
    "subscriber_last_name",
    "subscriber_first_name",
    "subscriber_born_on",
    "subscriber_sex",
    "starts_on",
    "ends_on",
    "second_reason",
    *ACCIDENT_FIELDS,
]
NEEDED = {
    "last_name": "Enter the last name.",
    "first_name": "Enter the first name.",
    "born_on": "Enter the birth date.",
    "sex": "Choose the sex.",
}


@dataclass(frozen=True, slots=True)
class Likeness:
    """A patient who may be the same person, and why we think so."""

    patient: Patient
    reasons: tuple[str, ...]
    certain: bool


def plain_text(text: str) -> str:
    """Lower case without accents: Núñez and Nunez are the same word."""
    spread = unicodedata.normalize("NFKD", text)
    return "".join(ch for ch in spread if not unicodedata.combining(ch)).casefold()


def search_text(
    last_name: str,
    first_name: str,
    middle_name: str,
    born_on: date,
    phone: str,
    mrn: str,
    *more: str,
) -> str:
    """What the fuzzy index of a patient holds: names without accents, birth date, numbers, and the
    other names a person goes by.
    """
    words = (last_name, first_name, middle_name, f"{born_on:%m%d%Y}", phone, mrn, *more)
    return plain_text(" ".join(w for w in words if w))[:200]


def patients_find(*, actor: Actor, text: str, limit: int = 20) -> list[Patient]:
    """Patients by any words, in any order, of a name (also another name they go by), birth date,
    phone, MRN or member ID; misspelled and without accents too; best first. Merged charts lead to
    their survivor.
    """
    words = [w for w in text.replace(",", " ").split() if w][:6]
    if not words:
        return []
    rows = Patient.objects.visible_to(actor).select_related("merged_into")
    for word in words:
        rows = rows.filter(_word_fits(word))
    plain = plain_text(text)
    rows = rows.annotate(likeness=TrigramWordSimilarity(plain, "search")).order_by(
        "-likeness", "last_name", "first_name", "id"
    )
    found: dict[int, Patient] = {}
    for row in rows[: limit * 2]:
        survivor = row.merged_into or row
        found.setdefault(survivor.pk, survivor)
    return list(found.values())[:limit]


def _word_fits(word: str) -> Q:
    """Where one word may stand: in the index without accents or as it was typed (charts kept before
    accents were taken off), or as the member ID of a policy.
    """
    day = read_date(word, past=True)
    if day:
        return Q(search__contains=f"{day:%m%d%Y}")
    bare = "".join(ch for ch in word if ch not in "()-/.") or word
    plain, typed = plain_text(bare), bare.lower()
    match = Q(search__contains=plain)
    if typed != plain:
        match |= Q(search__contains=typed)
    if len(plain) > 2 and not plain.isdigit():
        match |= Q(search__trigram_word_similar=plain)
    if len(plain) > 4 and any(ch.isdigit() for ch in plain):
        policies = Coverage.objects.filter(member_id=bare.upper())
        match |= Q(pk__in=policies.values("patient_id"))
    return match


def patient_duplicates(
    *,
    actor: Actor,
    last_name: str,
    first_name: str = "",
    born_on: date | None = None,
    phone: str = "",
    exclude: int | None = None,
    limit: int = 5,
) -> list[Likeness]:
    """Charts that may already be this person: same birth date and a like name, or same phone and a
    like name.
    """
    last, first = plain_text(last_name.strip()), plain_text(first_name.strip())
    if len(last) < 2:
        return []
    same = Q()
    if born_on:
        same |= Q(born_on=born_on)
    if phone:
        same |= Q(phone=phone)
    if first:
        same |= Q(first_name__iexact=first_name.strip()) | Q(search__contains=first)
    if not same:
        return []
    like = Q(search__contains=last) | (
        Q(search__trigram_word_similar=last) if len(last) > 2 else Q()
    )
    rows = (
        Patient.objects.visible_to(actor)
        .filter(like, same, merged_into__isnull=True)
        .exclude(pk=exclude or 0)
    )
    rows = rows.annotate(likeness=TrigramWordSimilarity(last, "search")).order_by(
        "-likeness", "id"
    )[: limit * 4]
    found: list[Likeness] = []
    for row in rows:
        reasons = []
        if (plain_text(row.last_name), plain_text(row.first_name)) == (last, first):
            reasons.append("same name")
        elif plain_text(row.last_name) == last:
            reasons.append("same last name")
        else:
            reasons.append("like name")
        if born_on and row.born_on == born_on:
            reasons.append("same birth date")
        if phone and row.phone == phone:
            reasons.append("same phone")
        certain = "same name" in reasons and "same birth date" in reasons
        found.append(Likeness(row, tuple(reasons), certain))
    found.sort(key=lambda x: (not x.certain, -len(x.reasons)))
    return [x for x in found if len(x.reasons) > 1][:limit]


def _clean(values: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(values) - set(PATIENT_FIELDS)
    if unknown:
        raise TypeError(f"no patient field {sorted(unknown)[0]}")
    return {k: v.strip() if isinstance(v, str) else v for k, v in values.items()}


@transaction.atomic
def patient_create(
    *,
    organization_id: int,
    actor: Actor,
    confirmed_new: bool = True,
    another_because: str = "",
    at: datetime | None = None,
    **values: Any,
) -> Patient:
    """Open a chart. `values` are PATIENT_FIELDS; without an MRN one is given.

    With `confirmed_new=False` a chart of the same name and birth date refuses it (code
    `duplicate`), so that it is offered first. `another_because` says why it is another person: both
    charts then warn of each other.
    """
    actor.require("patient.edit", organization_id)
    values = _clean(values)
    for name, sentence in NEEDED.items():
        if not values.get(name):
            raise Refused(sentence, field=name, code="missing")
    alike: list[Likeness] = []
    if not confirmed_new or another_because.strip():
        alike = patient_duplicates(
            actor=actor,
            last_name=values["last_name"],
            first_name=values["first_name"],
            born_on=values["born_on"],
            phone=values.get("phone", ""),
        )
        alike = [x for x in alike if x.patient.organization_id == organization_id]
        same = next((x for x in alike if x.certain), None)
        if same is not None and not another_because.strip():
            raise Refused(
                f"A chart with this name and birth date exists: MRN {same.patient.mrn}.",
                code="duplicate",
                field="last_name",
                fix="Open that chart, or say why this is another person.",
            )
    patient = Patient(organization_id=organization_id, **values)
    own_number = not patient.mrn
    patient.mrn = patient.mrn or f"new-{patient.public_id.hex[-16:]}"
    _index(patient)
    try:
        with transaction.atomic():
            patient.save(force_insert=True)
    except IntegrityError as error:
        raise Refused(
            f"MRN {patient.mrn} belongs to another chart.",
            field="mrn",
            code="mrn_taken",
            fix="Open that chart.",
        ) from error
    if own_number:
        patient.mrn = f"P{patient.pk:07d}"
        _index(patient)
        patient.save(update_fields=["mrn", "search"])
    record_steps(
        [Step(organization_id, "patient.registered", "Chart opened", {"patient_id": patient.pk})],
        actor=actor,
        at=at,
    )
    if another_because.strip():
        _warn_of_each_other(patient, alike, another_because.strip()[:120], actor=actor, at=at)
    return patient


def _warn_of_each_other(
    patient: Patient, alike: Sequence[Likeness], why: str, *, actor: Actor, at: datetime | None
) -> None:
    """Both charts carry the other's MRN, what agrees and why they are two persons."""
    if not alike:
        return
    steps = []
    for found in alike:
        agrees = ", ".join(found.reasons)
        for chart, other in ((patient, found.patient), (found.patient, patient)):
            kept = [x for x in chart.look_alikes if x.get("mrn") != other.mrn]
            chart.look_alikes = [*kept, {"mrn": other.mrn, "agrees": agrees, "why": why}]
            chart.version = F("version") + 1
            chart.save(update_fields=["look_alikes", "version"])
            chart.refresh_from_db(fields=["version"])
            steps.append(
                Step(
                    chart.organization_id,
                    "patient.look_alike",
                    f"Another person than MRN {other.mrn} ({agrees})",
                    {"patient_id": chart.pk},
                    reason=why,
                )
            )
    record_steps(steps, actor=actor, at=at)


def _index(patient: Patient) -> None:
    patient.search = search_text(
        patient.last_name,
        patient.first_name,
        patient.middle_name,
        patient.born_on,
        patient.phone,
        patient.mrn,
        *(str(name.get(part, "")) for name in patient.other_names for part in ("last", "first")),
    )


def patient_update(
    *,
    patient: Patient,
    actor: Actor,
    version: int | None = None,
    at: datetime | None = None,
    **changes: Any,
) -> Patient:
    """Change a chart under its version; Conflict when somebody saved first. Nothing changed,
    nothing written.
    """
    actor.require("patient.edit", patient)
    changes = {k: v for k, v in _clean(changes).items() if getattr(patient, k) != v}
    if not changes:
        return patient
    return _patient_save(patient, changes, actor=actor, version=version, at=at)


@transaction.atomic
def _patient_save(
    patient: Patient,
    changes: dict[str, Any],
    *,
    actor: Actor,
    version: int | None,
    at: datetime | None,
) -> Patient:
    for name, sentence in NEEDED.items():
        if name in changes and not changes[name]:
            raise Refused(sentence, field=name, code="missing")
    expected = patient.version if version is None else version
    fresh = Patient(**{f: changes.get(f, getattr(patient, f)) for f in PATIENT_FIELDS})
    _index(fresh)
    try:
        with transaction.atomic():
            done = Patient.objects.filter(pk=patient.pk, version=expected).update(
                version=F("version") + 1, search=fresh.search, **changes
            )
    except IntegrityError as error:
        raise Refused(
            "That MRN belongs to another chart.",
            field="mrn",
            code="mrn_taken",
            fix="Merge the two charts.",
        ) from error
    if not done:
        raise Conflict(
            "Somebody else has saved this chart in the meantime. Compare, then save again."
        )
    names = ", ".join(sorted(k.replace("_", " ") for k in changes))
    record_steps(
        [
            Step(
                patient.organization_id,
                "patient.changed",
                f"Changed: {names}",
                {"patient_id": patient.pk},
            )
        ],
        actor=actor,
        at=at,
    )
    patient.refresh_from_db()
    publish(
        "patient.changed",
        organization_id=patient.organization_id,
        payload={"patient_id": patient.pk},
        due_at=at,
    )
    return patient


def chart_ids(patient_id: int) -> list[int]:
    """The chart and every chart merged into it: what is written once and never moved (events,
    contacts) is read for all of them.
    """
    return [
        patient_id,
        *Patient.objects.filter(merged_into=patient_id).values_list("id", flat=True),
    ]


# --- coverages ------------------------------------------------------------------------------------


@transaction.atomic
def coverage_add(
    *,
    patient: Patient,
    payer: Payer,
    member_id: str,
    actor: Actor,
    rank: int = 1,
    plan: Plan | None = None,
    at: datetime | None = None,
    **values: Any,
) -> Coverage:
    """Put a policy at a rank. One that stood there is kept as an older coverage. The same policy
    again changes only its fields.
    """
    actor.require("patient.edit", patient)
    member_id = "".join(member_id.split()).upper()
    self_pay = payer.kind == "self_pay"
    if not member_id and not self_pay:
        raise Refused("Enter the member ID.", field="member_id", code="missing")
    if rank not in (1, 2, 3):
        raise Refused("A coverage is primary, secondary or tertiary.", field="rank", code="rank")
    _subscriber(values)
    same = (
        Coverage.objects.filter(patient=patient, payer=payer, member_id=member_id)
        .order_by("-active", "-id")
        .first()
    )
    if same is not None and same.active and same.rank == rank:
        return coverage_update(coverage=same, actor=actor, at=at, plan=plan or same.plan, **values)
    Coverage.objects.filter(patient=patient, active=True, rank=rank).exclude(
        pk=same.pk if same else 0
    ).update(active=False, version=F("version") + 1)
    if same is not None:
        Coverage.objects.filter(pk=same.pk).update(
            active=True, rank=rank, version=F("version") + 1, **_coverage_values(values)
        )
        same.refresh_from_db()
        coverage = same
    else:
        coverage = Coverage.objects.create(
            organization_id=patient.organization_id,
            patient=patient,
            payer=payer,
            plan=plan,
            rank=rank,
            member_id=member_id,
            status=CoverageStatus.ACTIVE if self_pay else CoverageStatus.UNVERIFIED,
            **_coverage_values(values),
        )
    _changed(coverage, f"{payer.name} is now the {RANKS[rank]} coverage", actor, at)
    return coverage


RANKS = {1: "primary", 2: "secondary", 3: "tertiary"}


def _coverage_values(values: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(values) - set(COVERAGE_FIELDS)
    if unknown:
        raise TypeError(f"no coverage field {sorted(unknown)[0]}")
    return dict(values)


def _subscriber(values: Mapping[str, Any]) -> None:
    relationship = values.get("relationship", Relationship.SELF)
    if relationship == Relationship.SELF:
        return
    for name, words in (
        ("subscriber_last_name", "last name"),
        ("subscriber_first_name", "first name"),
        ("subscriber_born_on", "birth date"),
    ):
        if not values.get(name):
            raise Refused(
                f"Enter the subscriber's {words}: the patient is not the subscriber.",
                field=name,
                code="missing",
            )


def _changed(coverage: Coverage, sentence: str, actor: Actor, at: datetime | None) -> None:
    record_steps(
        [
            Step(
                coverage.organization_id,
                "coverage.changed",
                sentence,
                {"patient_id": coverage.patient_id},
            )
        ],
        actor=actor,
        at=at,
    )
    publish(
        "coverage.changed",
        organization_id=coverage.organization_id,
        payload={"coverage_id": coverage.pk, "patient_id": coverage.patient_id},
        due_at=at,
    )


IDENTIFYING = {
    "payer",
    "plan",
    "member_id",
    "relationship",
    "subscriber_last_name",
    "subscriber_first_name",
    "subscriber_born_on",
}


@transaction.atomic
def coverage_update(
    *,
    coverage: Coverage,
    actor: Actor,
    version: int | None = None,
    at: datetime | None = None,
    **changes: Any,
) -> Coverage:
    """Change a policy under its version. A change of who is insured, where or under which number
    makes it unverified again.
    """
    actor.require("patient.edit", coverage)
    if "member_id" in changes:
        changes["member_id"] = "".join(str(changes["member_id"]).split()).upper()
    changes = {k: v for k, v in _coverage_values(changes).items() if getattr(coverage, k) != v}
    if not changes:
        return coverage
    if "relationship" in changes:
        _subscriber({f: changes.get(f, getattr(coverage, f)) for f in COVERAGE_FIELDS})
    rank = changes.pop("rank", None)
    if rank == 0:
        raise Refused(
            "A ranked coverage does not become an accident's: add the accident's as a new one.",
            field="rank",
            code="rank",
        )
    if coverage.of_accident and rank is not None:
        raise Refused(
            "The policy of an accident has no rank: choose it at the order.",
            field="rank",
            code="rank",
        )
    if IDENTIFYING & set(changes) and changes.get("payer", coverage.payer).kind != "self_pay":
        changes["status"], changes["verified_at"] = CoverageStatus.UNVERIFIED, None
    expected = coverage.version if version is None else version
    if not Coverage.objects.filter(pk=coverage.pk, version=expected).update(
        version=F("version") + 1, **changes
    ):
        raise Conflict(
            "Somebody else has saved this coverage in the meantime. Compare, then save again."
        )
    coverage.refresh_from_db()
    if rank is not None:
        others = [
            c
            for c in Coverage.objects.filter(
                patient_id=coverage.patient_id, active=True, rank__gte=1
            ).order_by("rank")
            if c.pk != coverage.pk
        ]
        others.insert(min(rank, len(others) + 1) - 1, coverage)
        coverages_rank(patient=coverage.patient, ordered=others, actor=actor, at=at)
        coverage.refresh_from_db()
    names = ", ".join(
        sorted(k.replace("_", " ") for k in changes if k not in ("status", "verified_at"))
    )
    _changed(coverage, f"Coverage {coverage.payer.name} changed: {names or 'rank'}", actor, at)
    return coverage


@transaction.atomic
def coverages_rank(
    *, patient: Patient, ordered: Sequence[Coverage], actor: Actor, at: datetime | None = None
) -> None:
    """Say which policy pays first: `ordered` are all active policies, at most three, first is
    primary.
    """
    actor.require("patient.edit", [patient, *ordered])
    if len(ordered) > 3:
        raise Refused(
            "At most three coverages: primary, secondary and tertiary.",
            field="rank",
            code="too_many",
        )
    own = list(
        Coverage.objects.filter(patient=patient, active=True, rank__gte=1)
        .select_for_update()
        .order_by("rank")
    )
    if {c.pk for c in own} != {c.pk for c in ordered}:
        raise Conflict("The patient's coverages have changed in the meantime.")
    wanted = {c.pk: n for n, c in enumerate(ordered, start=1)}
    moved = [c for c in own if c.rank != wanted[c.pk]]
    if not moved:
        return
    # the rank is unique among active rows: step aside first
    Coverage.objects.filter(pk__in=[c.pk for c in moved]).update(active=False)
    for coverage in moved:
        Coverage.objects.filter(pk=coverage.pk).update(
            rank=wanted[coverage.pk], active=True, version=F("version") + 1
        )
    publish_many(
        "coverage.changed",
        organization_id=patient.organization_id,
        payloads=[{"coverage_id": c.pk, "patient_id": patient.pk} for c in moved],
        due_at=at,
    )
    record_steps(
        [
            Step(
                patient.organization_id,
                "coverage.ranked",
                "Order of the coverages changed",
                {"patient_id": patient.pk},
            )
        ],
        actor=actor,
        at=at,
    )


@transaction.atomic
def coverage_end(
    *,
    coverage: Coverage,
    actor: Actor,
    ends_on: date | None = None,
    reason: str = "",
    at: datetime | None = None,
) -> Coverage:
    """Take a policy off the chart; it is kept as an older coverage."""
    actor.require("patient.edit", coverage)
    Coverage.objects.filter(pk=coverage.pk).update(
        active=False, ends_on=ends_on or coverage.ends_on, version=F("version") + 1
    )
    coverage.refresh_from_db()
    rest = list(
        Coverage.objects.filter(patient_id=coverage.patient_id, active=True, rank__gte=1).order_by(
            "rank"
        )
    )
    coverages_rank(patient=coverage.patient, ordered=rest, actor=actor, at=at)
    _changed(
        coverage,
        f"{coverage.payer.name} was taken off the chart" + (f": {reason}" if reason else ""),
        actor,
        at,
    )
    return coverage


def older_coverages(patient: Patient) -> list[Coverage]:
    """Former policies in the order in which discovery tries them, last verified first (rule
    `coverage-discovery`).
    """
    return list(
        Coverage.objects.filter(patient=patient, active=False, rank__gte=1)
        .exclude(payer__kind="self_pay")
        .select_related("payer", "plan")
        .order_by(F("verified_at").desc(nulls_last=True), "-id")
    )


def primary_coverages(patient_ids: Iterable[int]) -> dict[int, Coverage]:
    """The primary policy of each patient. One query."""
    rows = (
        Coverage.objects.filter(patient_id__in=list(patient_ids), active=True, rank__gte=1)
        .select_related("payer", "plan")
        .order_by("patient_id", "rank")
    )
    found: dict[int, Coverage] = {}
    for row in rows:
        found.setdefault(row.patient_id, row)
    return found
