"""The one place that says whether a patient's account is held: statements, plans, the agency,
write-offs and follow-up ask here (rule `account-hold`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from ar.holding import RULES, Act
from ar.models import AccountHold, HoldKind
from ar.services.guards import local_day, require_mine
from charges.models import Charge
from intake.models import Patient
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Conflict, Refused
from rcm.audit.services import Step, record_steps
from rcm.exchange.services import publish_many

HELD, LIFTED = "hold.set", "hold.lifted"
MERGED = "The chart was merged into another"


@dataclass(frozen=True, slots=True)
class Held:
    """An open hold as the acts that it stops see it. `kind` is empty where the chart itself says
    why, such as a merged one.
    """

    kind: str
    sentence: str
    todo: str
    stops: frozenset[Act]
    charge_id: int | None = None

    @property
    def for_good(self) -> bool:
        return bool(self.kind) and RULES[self.kind].for_good


class Holds:
    """The open holds of some patients."""

    def __init__(self, found: Mapping[int, Sequence[Held]]) -> None:
        self._found = found

    def of(self, patient_id: int, charge_id: int | None = None) -> list[Held]:
        """Holds of the whole account, with a charge also its own."""
        rows = self._found.get(patient_id, ())
        return [h for h in rows if h.charge_id is None or h.charge_id == charge_id]

    def any_of(self, patient_id: int) -> Sequence[Held]:
        """Holds of the account and of each of its charges."""
        return self._found.get(patient_id, ())

    def stopping(self, act: Act, patient_id: int, charge_id: int | None = None) -> Held | None:
        """What stops an act on the account, with a charge on that charge."""
        return next((h for h in self.of(patient_id, charge_id) if act in h.stops), None)


def _held(kind: str, charge_id: int | None, more: str = "") -> Held:
    rule = RULES[kind]
    return Held(kind, f"{rule.sentence}{more}.", rule.todo, rule.stops, charge_id)


def holds_of(patient_ids: Iterable[int]) -> Holds:
    """The open holds of these patients, with what their charts say. Two queries."""
    ids = sorted(set(patient_ids))
    found: dict[int, list[Held]] = {}
    for patient, charge, kind, case in (
        AccountHold.objects.filter(patient_id__in=ids, lifted_at__isnull=True)
        .order_by("pk")
        .values_list("patient_id", "charge_id", "kind", "case_number")
    ):
        more = f" (case {case})" if case else ""
        found.setdefault(patient, []).append(_held(kind, charge, more))
    charts = Patient.objects.filter(pk__in=ids).filter(
        Q(deceased_on__isnull=False) | Q(merged_into__isnull=False)
    )
    for patient, died, into in charts.values_list("pk", "deceased_on", "merged_into"):
        rows = found.setdefault(patient, [])
        if died is not None and all(h.kind != HoldKind.DECEASED for h in rows):
            rows.insert(0, _held(HoldKind.DECEASED, None))
        if into is not None:
            rows.append(Held("", f"{MERGED}.", "Work the other chart", frozenset(Act)))
    return Holds(found)


# --- setting and lifting --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HoldSpec:
    """A hold to open."""

    patient: Patient
    kind: str
    charge: Charge | None = None
    note: str = ""
    case_number: str = ""
    event_on: date | None = None


def holds_open(specs: Sequence[HoldSpec], *, actor: Actor, at: datetime) -> list[AccountHold]:
    """Write holds and their history; called by the verbs, inside their transaction."""
    rows = AccountHold.objects.bulk_create(
        [
            AccountHold(
                organization_id=s.patient.organization_id,
                patient=s.patient,
                charge=s.charge,
                kind=s.kind,
                note=s.note.strip()[:300],
                case_number=s.case_number.strip()[:40],
                event_on=s.event_on,
                address=address_digest(s.patient) if s.kind == HoldKind.RETURNED else "",
                begins_at=at,
                actor_name=actor.name,
            )
            for s in specs
        ],
        batch_size=500,
    )
    _tell(rows, HELD, "On hold", actor=actor, at=at)
    return rows


def holds_end(
    rows: Sequence[AccountHold], *, reason: str, actor: Actor, at: datetime
) -> list[AccountHold]:
    """Lift holds and write their history; called by the verbs, inside their transaction."""
    AccountHold.objects.filter(pk__in=[r.pk for r in rows], lifted_at__isnull=True).update(
        lifted_at=at, lifted_by=actor.name, lifted_reason=reason[:300]
    )
    for row in rows:
        row.lifted_at, row.lifted_by, row.lifted_reason = at, actor.name, reason[:300]
    _tell(list(rows), LIFTED, "No longer on hold", actor=actor, at=at, reason=reason)
    return list(rows)


def _tell(
    rows: Sequence[AccountHold],
    verb: str,
    words: str,
    *,
    actor: Actor,
    at: datetime,
    reason: str = "",
) -> None:
    charges = Charge.objects.in_bulk([r.charge_id for r in rows if r.charge_id])
    record_steps(
        [
            Step(
                r.organization_id,
                verb,
                f"{words}: {r.get_kind_display().lower()}",
                {
                    "patient_id": r.patient_id,
                    "exam_id": charges[r.charge_id].exam_id if r.charge_id else None,
                },
                new=r.kind if verb == HELD else "",
                old=r.kind if verb == LIFTED else "",
                reason=reason or r.note,
            )
            for r in rows
        ],
        actor=actor,
        at=at,
    )
    summarize({r.patient_id for r in rows})
    for organization_id in {r.organization_id for r in rows}:
        own = sorted({r.patient_id for r in rows if r.organization_id == organization_id})
        publish_many(
            "account.held",
            organization_id=organization_id,
            payloads=[{"patient_id": pk} for pk in own],
            due_at=at,
        )


def tell_agency(patient: Patient, at: datetime) -> None:
    """Something of a patient changed here: what is with the agency is looked at after commit."""
    placed = AccountHold.objects.filter(
        patient=patient, kind=HoldKind.AGENCY, lifted_at__isnull=True
    )
    if placed.exists():
        publish_many(
            "account.held",
            organization_id=patient.organization_id,
            payloads=[{"patient_id": patient.pk}],
            due_at=at,
        )


def summarize(patient_ids: Iterable[int]) -> None:
    """Keep the words on the chart beside the holds: the front end shows them and knows no more."""
    ids = sorted(set(patient_ids))
    words: dict[int, list[str]] = {pk: [] for pk in ids}
    rows = AccountHold.objects.filter(
        patient_id__in=ids, lifted_at__isnull=True, charge__isnull=True
    ).order_by("pk")
    for patient, kind in rows.values_list("patient_id", "kind"):
        label = HoldKind(kind).label.lower()
        if label not in words[patient]:
            words[patient].append(label)
    by_text: dict[str, list[int]] = {}
    for pk, said in words.items():
        by_text.setdefault(", ".join(said)[:30], []).append(pk)
    for text, own in by_text.items():
        Patient.objects.filter(pk__in=own).exclude(statement_hold=text).update(statement_hold=text)


def _require_facts(spec: HoldSpec, today: date) -> None:
    """What a kind must be told with."""
    if spec.kind not in RULES or not RULES[spec.kind].by_hand:
        raise Refused("Choose the reason from the list.", code="unknown", field="kind")
    if spec.kind == HoldKind.BANKRUPTCY:
        if not spec.case_number.strip():
            raise Refused(
                "Enter the number of the bankruptcy case.", code="missing", field="case_number"
            )
        if spec.event_on is None:
            raise Refused("Enter the day of the filing.", code="missing", field="event_on")
    if spec.kind == HoldKind.DISPUTE and not spec.note.strip():
        raise Refused("Write what the patient disputes.", code="missing", field="note")
    if spec.event_on is not None and spec.event_on > today:
        raise Refused("That day is still to come.", code="future", field="event_on")
    if spec.charge is not None and spec.charge.patient_id != spec.patient.pk:
        raise Refused("That exam is another patient's.", code="foreign_charge", field="charge")


@transaction.atomic
def hold_set(
    *,
    patient: Patient,
    kind: str,
    actor: Actor,
    charge: Charge | None = None,
    note: str = "",
    case_number: str = "",
    event_on: date | None = None,
    at: datetime | None = None,
) -> AccountHold:
    """Hold the account, or one charge of it. Bankruptcy needs its case number and day of filing, a
    dispute what is disputed. One open hold of a kind at a time.
    """
    actor.require("statement.send", patient)
    require_mine(patient.organization_id, actor)
    at = at or timezone.now()
    spec = HoldSpec(patient, kind, charge, note, case_number, event_on)
    _require_facts(spec, local_day(at))
    # two people who hear the same news set one hold
    Patient.objects.select_for_update().get(pk=patient.pk)
    open_now = AccountHold.objects.filter(patient=patient, kind=kind, lifted_at__isnull=True)
    if open_now.filter(Q(charge__isnull=True) | Q(charge=charge)).exists():
        raise Conflict(
            f"The account is on hold already: {HoldKind(kind).label.lower()}.", code="held"
        )
    (row,) = holds_open([spec], actor=actor, at=at)
    patient.refresh_from_db(fields=["statement_hold"])
    return row


@transaction.atomic
def hold_lift(
    *, hold: AccountHold, reason: str, actor: Actor, at: datetime | None = None
) -> AccountHold:
    """End a hold with the reason. Bankruptcy, death and disputes end by a person only; returned mail
    only with a new address; an application or a placement with itself.
    """
    actor.require("statement.send", hold)
    require_mine(hold.organization_id, actor)
    at = at or timezone.now()
    row = (
        AccountHold.objects.select_for_update(of=("self",))
        .select_related("patient")
        .get(pk=hold.pk)
    )
    rule = RULES[row.kind]
    if row.lifted_at is not None:
        raise Conflict("This hold was lifted already.", code="lifted")
    if not reason.strip():
        raise Refused("Say why the hold ends.", code="missing", field="reason")
    if not rule.by_hand:
        raise Refused(f"{rule.sentence}.", code="not_by_hand", fix=f"{rule.todo}.")
    if rule.by_person and (actor.kind != "person" or actor.user_id is None):
        raise Refused("A person lifts this hold.", code="not_a_person")
    if row.kind == HoldKind.DECEASED and row.patient.deceased_on is not None:
        raise Refused(
            "The chart says that the patient has died.",
            code="chart_says_so",
            field="reason",
            fix="Correct the chart first.",
        )
    if row.kind == HoldKind.RETURNED and row.address in ("", address_digest(row.patient)):
        raise Refused(
            "Mail came back from this address: the hold ends with a new one.",
            code="same_address",
            field="reason",
            fix="Ask the patient for the address and change it on the chart.",
        )
    holds_end([row], reason=reason.strip(), actor=actor, at=at)
    return row


@transaction.atomic
def holds_follow_charts(
    *, patient_ids: Iterable[int], actor: Actor, at: datetime | None = None
) -> int:
    """What charts say becomes holds: a death opens one, a new address ends that of returned mail.
    Doing it again changes nothing. Returns how many moved.
    """
    at = at or timezone.now()
    patients = {
        p.pk: p
        for p in Patient.objects.select_for_update()
        .filter(pk__in=sorted(set(patient_ids)))
        .order_by("pk")
    }
    rows = list(
        AccountHold.objects.filter(patient_id__in=patients, lifted_at__isnull=True).select_related(
            "patient"
        )
    )
    known = {r.patient_id for r in rows if r.kind == HoldKind.DECEASED}
    died = [
        HoldSpec(p, HoldKind.DECEASED, note="The chart says so", event_on=p.deceased_on)
        for p in patients.values()
        if p.deceased_on is not None and p.pk not in known and p.merged_into_id is None
    ]
    moved = [
        r
        for r in rows
        if r.kind == HoldKind.RETURNED
        and r.address
        and has_address(r.patient)
        and r.address != address_digest(r.patient)
    ]
    if died:
        holds_open(died, actor=actor, at=at)
    if moved:
        holds_end(moved, reason="The chart has a new address", actor=actor, at=at)
    summarize(patients)
    return len(died) + len(moved)


def holds_refresh(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """The same for every chart of an organization that says something, or whose words are stale."""
    told = Patient.objects.filter(organization_id=organization_id).filter(
        Q(deceased_on__isnull=False)
        | ~Q(statement_hold="")
        | Q(holds__lifted_at__isnull=True, holds__isnull=False)
    )
    return holds_follow_charts(
        patient_ids=told.values_list("pk", flat=True).distinct(), actor=actor, at=at
    )


def has_address(patient: Patient) -> bool:
    return bool(patient.address.strip() and patient.city.strip() and patient.zip.strip())


def address_digest(patient: Patient) -> str:
    """A digest of where mail goes, so that neither row nor timeline keeps the address."""
    parts = (patient.address, patient.city, patient.state, patient.zip)
    plain = " ".join("".join(ch for ch in part.lower() if ch.isalnum()) for part in parts)
    return hashlib.sha256(plain.encode()).hexdigest()[:32]
