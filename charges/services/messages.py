"""Processors of inbound results: stored bytes to records to verbs. Registered in apps.py; replaying
one changes nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from charges import dicom, hl7
from charges.models import MessageCorrection, Unsolicited, UnsolicitedStatus
from charges.records import Recorded
from charges.services.lines import CodedLine, line_problem, lines_require
from charges.services.recording import exams_record
from charges.services.reports import reports_receive
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.exchange import dicom as exchange_dicom
from rcm.exchange import hl7 as exchange_hl7
from rcm.exchange.dicom import MppsFacts
from rcm.exchange.models import Direction, Interchange
from rcm.exchange.problems import ParseProblem
from rcm.exchange.receive import own_names
from rcm.exchange.services import replay
from rcm.pricing.forms import Finding
from rcm.reference.facts import procedure_versions


def supply_kinds() -> dict[str, str]:
    """Kind of every code of the procedure catalog: exam, addon, contrast, radiopharm, guidance."""
    return {code: versions[0].kind for code, versions in procedure_versions().items()}


def oru(interchange: Interchange, *, actor: Actor, at: datetime) -> Mapping[str, Any]:
    """ORU^R01: reports."""
    return orus([interchange], actor=actor, at=at)[0]


def orus(
    interchanges: Sequence[Interchange], *, actor: Actor, at: datetime
) -> list[dict[str, Any]]:
    """ORU^R01 of one organization, many at once."""
    found = [
        hl7.reports(
            exchange_hl7.parse(bytes(i.content)),
            i.organization_id,
            interchange_id=i.pk,
            owners=own_names(i.organization_id),
        )
        for i in interchanges
    ]
    return _summaries(
        "reports",
        found,
        reports_receive(reports=[r for rs in found for r in rs], actor=actor, at=at),
    )


def dft(interchange: Interchange, *, actor: Actor, at: datetime) -> Mapping[str, Any]:
    """DFT^P03: charges as the information system saw them."""
    return dfts([interchange], actor=actor, at=at)[0]


def dfts(
    interchanges: Sequence[Interchange], *, actor: Actor, at: datetime
) -> list[dict[str, Any]]:
    """DFT^P03 of one organization, many at once."""
    kinds = supply_kinds()
    said = corrections([i.pk for i in interchanges])
    found = [
        hl7.charges(
            exchange_hl7.parse(bytes(i.content)),
            i.organization_id,
            supply_kinds=kinds,
            interchange_id=i.pk,
            owners=own_names(i.organization_id),
            corrected=said.get(i.pk),
        )
        for i in interchanges
    ]
    return _summaries(
        "exams", found, exams_record(records=[r for rs in found for r in rs], actor=actor, at=at)
    )


def corrections(interchange_ids: Sequence[int]) -> dict[int, dict[int, CodedLine]]:
    """The last correction of each line of these messages."""
    found: dict[int, dict[int, CodedLine]] = {}
    for row in MessageCorrection.objects.filter(interchange_id__in=interchange_ids).order_by("id"):
        found.setdefault(row.interchange_id, {})[row.line] = (row.code, tuple(row.modifiers))
    return found


@dataclass(frozen=True, slots=True)
class MessageLine:
    """One line of a charge message as it stands, and what forbids it."""

    code: str
    modifiers: tuple[str, ...]
    problem: Finding | None


def message_lines(interchange: Interchange) -> list[MessageLine]:
    """The lines of a charge message as sent or as corrected last, each with its verdict."""
    message = exchange_hl7.parse(bytes(interchange.content))
    said = corrections([interchange.pk]).get(interchange.pk)
    on = office_day(interchange.received_at)
    return [
        MessageLine(code, modifiers, line_problem(code, modifiers, on) if code else None)
        for code, modifiers in hl7.coded(message, said)
    ]


@transaction.atomic
def message_correct(
    *,
    interchange: Interchange,
    lines: Mapping[int, CodedLine],
    reason: str,
    actor: Actor,
    at: datetime | None = None,
) -> Interchange:
    """Correct code or modifiers of lines of a refused charge message and put it back to be read.

    The bytes stay as they came; each correction is kept with its reason. Needs `exchange.replay`.
    Raises Refused, and keeps nothing, when a corrected line may still not be.
    """
    actor.require("exchange.replay", interchange)
    at = at or timezone.now()
    if len(reason.strip()) < 5:
        raise Refused("Give the reason in a few words.", field="reason", code="missing")
    standing = message_lines(interchange)
    changed = {
        n: line
        for n, line in lines.items()
        if 0 <= n < len(standing) and line != (standing[n].code, standing[n].modifiers)
    }
    lines_require(changed.values(), office_day(interchange.received_at))
    MessageCorrection.objects.bulk_create(
        MessageCorrection(
            organization_id=interchange.organization_id,
            interchange_id=interchange.pk,
            line=n,
            code=code,
            modifiers=list(modifiers),
            reason=reason.strip()[:200],
            actor_name=actor.name[:120],
            at=at,
        )
        for n, (code, modifiers) in sorted(changed.items())
    )
    return replay(interchange, actor=actor, at=at)


def mpps(interchange: Interchange, *, actor: Actor, at: datetime) -> Mapping[str, Any]:
    """MPPS N-CREATE and N-SET: what the modality did."""
    return mppses([interchange], actor=actor, at=at)[0]


def mppses(
    interchanges: Sequence[Interchange], *, actor: Actor, at: datetime
) -> list[dict[str, Any]]:
    """MPPS of one organization, many at once."""
    kinds = supply_kinds()
    begun: dict[str, MppsFacts] = {}
    found = []
    for row in interchanges:
        facts = exchange_dicom.read(bytes(row.content))
        uid = facts.sop_instance_uid
        first = facts
        if facts.operation != "N-CREATE" and not facts.accessions:
            first = begun.get(uid) or _begun(row, uid) or _unbegun()
        if facts.operation == "N-CREATE" or facts.accessions:
            begun.setdefault(uid, facts)
        accessions = facts.accessions or first.accessions or _linked_accessions(row, uid)
        found.append(
            dicom.records(
                facts,
                row.organization_id,
                accessions=() if facts.accessions else accessions,
                begun=first,
                supply_kinds=kinds,
                interchange_id=row.pk,
            )
        )
    return _summaries(
        "exams", found, exams_record(records=[r for rs in found for r in rs], actor=actor, at=at)
    )


def _unbegun() -> MppsFacts:
    raise ParseProblem(
        "The step names no accession, and its beginning was never received.",
        code="no_accession",
        field="AccessionNumber",
    )


def _of_step(interchange: Interchange, uid: str) -> QuerySet[Interchange]:
    """The other messages of the same step, oldest first."""
    return (
        Interchange.objects.filter(
            organization_id=interchange.organization_id,
            direction=Direction.IN,
            kind="MPPS",
            control_number=uid[:80],
        )
        .exclude(pk=interchange.pk)
        .order_by("id")
    )


def _begun(interchange: Interchange, uid: str) -> MppsFacts | None:
    """The beginning of a step, or another of its messages that names an accession."""
    heard = [exchange_dicom.read(bytes(r.content)) for r in _of_step(interchange, uid)[:5]]
    named = (f for f in heard if f.accessions)
    return next(named, next((f for f in heard if f.operation == "N-CREATE"), None))


def _linked_accessions(interchange: Interchange, uid: str) -> Sequence[str]:
    """The exam that a person said another message of this step belongs to."""
    linked = Unsolicited.objects.filter(
        interchange_id__in=_of_step(interchange, uid).values("pk"),
        status=UnsolicitedStatus.LINKED,
        exam__isnull=False,
    )
    return tuple(linked.order_by("id").values_list("exam__accession", flat=True)[:1])


def _summaries(
    what: str, told: Sequence[Sequence[object]], done: Sequence[Recorded]
) -> list[dict[str, Any]]:
    """One summary for each message, in order: `done` answers the records of all of them."""
    rest, out = iter(done), []
    for records in told:
        mine = [next(rest) for _ in records]
        out.append(
            {
                what: len(mine),
                "new": sum(d.new for d in mine),
                "changed": sum(d.changed for d in mine),
                "unsolicited": sum(d.exam_id is None for d in mine),
            }
        )
    return out


PROCESSORS = {"ORU": oru, "DFT": dft, "MPPS": mpps}
OF_MANY = {"ORU": orus, "DFT": dfts, "MPPS": mppses}


def reread(
    interchange: Interchange, *, actor: Actor, at: datetime | None = None
) -> Mapping[str, Any]:
    """Apply a kept message again, now that something it needed is there."""
    return PROCESSORS[interchange.kind](interchange, actor=actor, at=at or timezone.now())


__all__ = [
    "OF_MANY",
    "PROCESSORS",
    "dft",
    "message_correct",
    "message_lines",
    "mpps",
    "oru",
    "reread",
    "supply_kinds",
]
