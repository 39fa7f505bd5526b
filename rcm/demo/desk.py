"""The front desk and the authorization desk of one center: who asks payers, who lets whom in, and
why.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from ar.services import payment_take
from authorizations.models import Authorization, AuthRequest, AuthStatus
from authorizations.services import (
    authorization_decide,
    authorization_request,
    expiry_guard,
    peer_to_peer,
)
from intake.clearance import State
from intake.models import Appointment, Estimate, Patient
from intake.services import (
    LIVE,
    appointment_cancel,
    appointments_check_in,
    clearance_refresh,
    due_appointments,
    eligibility_ask,
    estimate_make,
    gate_override,
)
from intake.services import asks_for as eligibility_asks
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused
from rcm.demo.days import Center
from rcm.demo.scenario import Visit
from rcm.simulator import payer as payers
from rcm.simulator.habits import draw

PAY_AHEAD = timedelta(days=2)
ESTIMATED, PAYS_AHEAD = 970, 850  # in a thousand
WHY_ANYWAY = (
    "Ordering physician called: urgent, payer asked for a retroactive request",
    "Patient travelled far; manager accepts the risk",
    "Payer's portal is down, request to follow today",
)
WHY_COVERED = (
    "Patient shows a new card; coverage to be corrected",
    "Payer confirmed by phone, reference on file",
)


def request_authorizations(center: Center, at: datetime) -> int:
    """Ask for every draft of the visits ahead, but those that nobody thinks of."""
    with center.acting(center.system):
        drafts = Authorization.objects.filter(
            organization=center.organization, status=AuthStatus.DRAFT
        ).select_related("appointment")
        rows = [
            a
            for a in drafts
            if a.appointment is not None
            and a.appointment.starts_at > at
            and _asks(center, a.appointment)
        ]
    if not rows:
        return 0
    actor = center.who("authorization")
    with center.acting(actor):
        for row in rows:
            with center.trying():
                authorization_request(authorization=row, actor=actor, at=at)
    return len(rows)


def _asks(center: Center, appointment: Appointment) -> bool:
    visit = center.by_number.get(appointment.number)
    return visit is not None and visit.ask


def follow_authorizations(center: Center, day: date, at: datetime) -> int:
    """Call about what is pended; arrange the peer-to-peer call of what was denied."""
    with center.acting(center.system):
        waiting = list(
            Authorization.objects.filter(
                organization=center.organization,
                status__in=[AuthStatus.PENDED, AuthStatus.DENIED],
                decided_at__isnull=False,
                decided_at__lt=at - timedelta(hours=20),
                appointment__status__in=LIVE,
            ).order_by("id")
        )
        waiting += Authorization.objects.filter(
            organization=center.organization,
            status=AuthStatus.PENDED,
            decided_at__isnull=True,
            requested_at__lte=at - timedelta(days=3),
        ).order_by("id")
        traces = dict(
            AuthRequest.objects.filter(authorization__in=waiting)
            .order_by("id")
            .values_list("authorization_id", "trace")
        )
    done = 0
    for row in waiting:
        actor = center.who("authorization")
        with center.acting(actor):
            done += _call(row, traces.get(row.pk, ""), day, center, actor, at)
    return done


def _call(
    row: Authorization, trace: str, day: date, center: Center, actor: Actor, at: datetime
) -> int:
    who = f"Reviewer {center.random.choice(('Ames', 'Blake', 'Cruz', 'Drew'))}"
    if row.status == AuthStatus.PENDED:
        case = payers.ask_about(trace, day)
        if case is None or case.action == "A4":
            return 0
        granted = case.action in ("A1", "A6")
        authorization_decide(
            authorization=row,
            status=AuthStatus.APPROVED if granted else AuthStatus.DENIED,
            number=case.number,
            effective_from=case.valid_from,
            effective_to=case.valid_to,
            reference=f"CALL{row.pk}",
            contact=who,
            reason="" if granted else "Does not meet criteria",
            channel="phone",
            actor=actor,
            at=at,
        )
        return 1
    case = payers.peer_to_peer(trace, day)
    peer_to_peer(
        authorization=row,
        outcome="overturned" if case else "upheld",
        contact=who,
        note="Call between ordering physician and medical director",
        number=case.number if case else "",
        effective_from=case.valid_from if case else None,
        effective_to=case.valid_to if case else None,
        actor=actor,
        at=at,
    )
    return 1


def verify_ahead(center: Center, at: datetime, days: int) -> int:
    """Ask again for the visits of the next days whose answer is old; the answers come back at
    once.
    """
    actor = center.system
    with center.acting(actor):
        rows = due_appointments(center.organization.pk, first=at, last=at + timedelta(days=days))
        asks = [
            a
            for a in eligibility_asks(rows)
            if a.coverage.verified_at is None or a.coverage.verified_at < at - timedelta(days=2)
        ]
        eligibility_ask(asks=asks, actor=actor, at=at)
    return len(asks)


def estimates(center: Center, first: datetime, last: datetime, at: datetime) -> int:
    """Give an estimate for nearly all visits in a stretch of time that have none."""
    with center.acting(center.system):
        due = due_appointments(center.organization.pk, first=first, last=last)
        given = set(
            Estimate.objects.filter(appointment__in=due).values_list("appointment_id", flat=True)
        )
        rows = [a for a in due if a.pk not in given and draw("estimate", a.number) < ESTIMATED]
        for row in rows:
            estimate_make(appointment=row, actor=center.system, at=at)
    return len(rows)


def collect(center: Center, first: datetime, at: datetime) -> int:
    """Most patients of today and tomorrow pay their share ahead, by telephone; some owe it still."""
    with center.acting(center.system):
        rows = due_appointments(center.organization.pk, first=first, last=first + PAY_AHEAD)
        shares: dict[int, Estimate] = {}
        for estimate in Estimate.objects.filter(appointment__in=rows).order_by("id"):
            shares[estimate.appointment_id] = estimate
        people = Patient.objects.in_bulk([a.patient_id for a in rows])
    done = 0
    for row in rows:
        given = shares.get(row.pk)
        share = given.patient_share if given else None
        if not share or draw("ahead", row.number) >= PAYS_AHEAD:
            continue
        actor = center.staff[row.site.code][0]
        with center.acting(actor), center.trying():
            payment_take(
                patient=people[row.patient_id],
                amount=share,
                method="card",
                actor=actor,
                appointment=row,
                key=f"ahead:{row.pk}",
                at=at,
            )
            done += 1
    with center.acting(center.system):
        clearance_refresh([a.pk for a in rows], actor=center.system, at=at)
    return done


def let_in(center: Center, visits: Iterable[Visit], at: datetime, *, by_site: bool) -> int:
    """Check in who comes today, each site's desk its own or one central desk all. A stop is
    overridden with a reason, or the visit is cancelled.
    """
    numbers = [v.number for v in visits if v.fate == "come" and v.start <= at]
    if not numbers:
        return 0
    with center.acting(center.system):
        live = Appointment.objects.filter(
            organization=center.organization, number__in=numbers, status__in=LIVE
        )
        rows = list(live.select_related("site").order_by("starts_at"))
    desks: dict[str, list[Appointment]] = {}
    for row in rows:
        desks.setdefault(row.site.code if by_site else "", []).append(row)
    count = 0
    for code, mine in desks.items():
        actor = center.staff[code][0] if code else center.who("authorization")
        with center.acting(actor):
            refused = appointments_check_in(appointments=mine, actor=actor, at=at)
        count += len(mine) - len(refused)
        again = [
            row for row in mine if row.pk in refused and _pass(center, row, refused[row.pk], at)
        ]
        if again:
            with center.acting(actor):
                count += len(again) - len(
                    appointments_check_in(appointments=again, actor=actor, at=at)
                )
    return count


def _pass(center: Center, row: Appointment, sentence: str, at: datetime) -> bool:
    """Override every stop with a reason, or cancel. True when the patient may come in."""
    covered = sentence.startswith("Eligibility")
    if center.random.random() < (0.35 if covered else 0.12):
        with center.acting(center.system):
            row = Appointment.objects.select_related("site").get(pk=row.pk)
            appointment_cancel(
                appointment=row, reason="Not cleared in time", actor=center.system, at=at
            )
        visit = center.by_number.get(row.number)
        if visit is not None:
            visit.fate = "cancelled"
        return False
    actor = center.who("authorization")
    with center.acting(actor):
        row = Appointment.objects.select_related("site").get(pk=row.pk)
        for gate, kept in row.gates.items():
            if (
                kept["state"] == State.READY
                or kept["overridden"]
                or (kept["state"] == State.CHECK and gate != "authorization")
            ):
                continue
            words = center.random.choice(WHY_COVERED if gate == "eligibility" else WHY_ANYWAY)
            try:
                gate_override(appointment=row, gate=gate, reason=words, actor=actor, at=at)
            except Refused:
                continue
    return True


def expire(center: Center, at: datetime) -> int:
    """Close authorizations whose last day has passed."""
    with center.acting(center.system):
        return expiry_guard(actor=center.system, at=at)
