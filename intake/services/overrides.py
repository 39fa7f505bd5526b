"""Letting a visit pass a gate that stops it: written once, never erased, ended by its own date or by
a real change of what it overrode.
"""

from __future__ import annotations

from datetime import date, datetime

from django.db import transaction
from django.utils import timezone

from intake.clearance import GateName, State
from intake.models import Appointment, GateOverride
from intake.services.gates import LIVE, clearance_refresh, dollars_at_risk, local_day
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.problems import Refused
from rcm.accounts.together import at_once
from rcm.audit.services import Step, record_steps
from rcm.exchange.outbox import publish_many


@transaction.atomic
def gate_override(
    *,
    appointment: Appointment,
    gate: str,
    reason: str,
    actor: Actor,
    ends_on: date | None = None,
    at: datetime | None = None,
) -> GateOverride:
    """Let an appointment pass a gate that stops it: needs `authorization.override`, a reason, and
    keeps the dollars at risk.

    It holds to the end of `ends_on`, the day of the visit when not given, and no longer than what
    it overrode. Raises Refused when nothing is to be overridden, without a reason, or with a day
    that is over or after the visit.
    """
    actor.require("authorization.override", appointment)
    at = at or timezone.now()
    if len(reason.strip()) < 5:
        raise Refused("Say why this appointment may go ahead.", field="reason", code="missing")
    with at_once():
        clearance_refresh([appointment.pk], actor=actor, at=at)
    appointment = (
        Appointment.objects.select_for_update(of=("self",))
        .select_related("site")
        .get(pk=appointment.pk)
    )
    current = appointment.gates.get(gate)
    if (
        appointment.status not in LIVE
        or current is None
        or current["state"] == State.READY
        or current["overridden"]
    ):
        raise Refused(
            "This gate does not stop the appointment.", field="gate", code="nothing_to_override"
        )
    last = _last_day(appointment, ends_on, at)
    dollars = dollars_at_risk([appointment.pk])[appointment.pk]
    row = GateOverride.objects.create(
        organization_id=appointment.organization_id,
        appointment=appointment,
        gate=gate,
        state=current["state"],
        sentence=current["sentence"][:200],
        cause=current.get("cause", ""),
        reason=reason.strip()[:200],
        dollars=dollars,
        ends_on=last,
        actor_name=actor.name[:120],
        user_id=actor.user_id,
        at=at,
    )
    record_steps(
        [
            Step(
                appointment.organization_id,
                "gate.overridden",
                f"{GateName(gate).value.capitalize()} overridden, ${dollars:,.2f} at risk",
                {"patient_id": appointment.patient_id},
                old=current["state"],
                new="overridden",
                reason=reason,
                data={
                    "appointment_id": appointment.pk,
                    "gate": gate,
                    "dollars": str(dollars),
                    "override_id": row.pk,
                },
            )
        ],
        actor=actor,
        at=at,
    )
    publish_many(
        "gate.overridden",
        organization_id=appointment.organization_id,
        payloads=[{"appointment_id": appointment.pk, "gate": gate}],
        due_at=at,
    )
    clearance_refresh([appointment.pk], actor=actor, at=at)
    return row


def _last_day(appointment: Appointment, ends_on: date | None, at: datetime) -> date:
    visit = local_day(appointment.starts_at, appointment.site)
    today = local_day(at, appointment.site)
    if ends_on is None:
        return max(visit, today)
    if ends_on < today:
        raise Refused("That day is over.", field="ends_on", code="past")
    if ends_on > max(visit, today):
        raise Refused(
            "An override cannot outlast the day of the visit.", field="ends_on", code="after_visit"
        )
    return ends_on


@transaction.atomic
def overrides_end(*, actor: Actor, at: datetime | None = None) -> int:
    """Compute again the gates of live visits whose override has passed its own date. Returns how
    many visits were looked at.
    """
    at = at or timezone.now()
    rows = GateOverride.objects.filter(
        organization_id__in=actor.organizations,
        end__isnull=True,
        ends_on__lt=office_day(at),
        appointment__status__in=LIVE,
    )
    ids = sorted(set(rows.values_list("appointment_id", flat=True)))
    for start in range(0, len(ids), 500):
        clearance_refresh(ids[start : start + 500], actor=actor, at=at)
    return len(ids)
