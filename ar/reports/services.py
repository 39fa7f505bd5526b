"""The verbs: make a report once, send it once to each who wants it, watch thresholds, close a
month.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from ar import aging
from ar.kpi import engine, story
from ar.kpi.definitions import BY_CODE, GROUPS
from ar.kpi.targets import targeted
from ar.models import (
    Alert,
    Delivery,
    KpiSnapshot,
    MonthClose,
    ProofRun,
    Report,
    ReportKind,
    Subscription,
    SubscriptionKind,
    Threshold,
)
from ar.reports.pdf import Book, Table, book_pdf
from ar.services.guards import require_mine
from rcm.accounts.actor import Actor
from rcm.accounts.clock import SiteClock, office_day
from rcm.accounts.models import Organization, Site, User
from rcm.accounts.problems import Conflict, Refused
from rcm.accounts.scope import scope
from rcm.audit.services import Step, record_steps
from rcm.exchange import hold
from rcm.reference.models import Payer
from rcm.web import format as fmt
from remittance.models import Remittance

WEEKLY_HOUR, MONTHLY_HOUR = 7, 8
CLAIM_LASTS = timedelta(minutes=15)
MOST_ATTEMPTS = 5
NAMED = 10


def zone_of(organization_id: int) -> str:
    """The time zone of most of an organization's sites: its day is told by it."""
    zones = Counter(
        Site.objects.filter(organization_id=organization_id).values_list("time_zone", flat=True)
    )
    most = sorted(zones.items(), key=lambda z: (-z[1], z[0]))
    return most[0][0] if most else timezone.get_default_timezone_name()


# --- making ---------------------------------------------------------------------------------------


def figures_of(organization_id: int, day: date) -> dict[str, engine.Value]:
    """Every figure at a day: as it was kept, else from the rows."""
    return engine.values(organizations=[organization_id], day=day)


def _kpi_table(group: str, now: dict[str, engine.Value], before: dict[str, engine.Value]) -> Table:
    rows = []
    for code, value in now.items():
        k = value.kpi
        if k.group != group:
            continue
        past = before.get(code)
        goal = f"{k.direction} {engine.words(k, k.target)}" if k.target is not None else ""
        rows.append(
            (
                k.label,
                engine.words(k, value.value),
                engine.words(k, past.value) if past else "not kept",
                goal,
                {True: "yes", False: "no", None: ""}[value.met],
            )
        )
    return Table(group, ("Figure", "Now", "Before", "Target", "Met"), rows)


def _aging_table(organization_id: int, day: date) -> Table:
    cells = aging.aging(organizations=[organization_id], on=day)
    names = dict(Payer.objects.values_list("pk", "name"))
    buckets = aging.ALL_BUCKETS[:-1]
    sums: dict[int | None, dict[str, Decimal]] = {}
    for c in cells:
        place = sums.setdefault(c.payer_id, {})
        place[c.bucket] = place.get(c.bucket, Decimal(0)) + c.total
    order = sorted(sums, key=lambda p: (-sum(sums[p].values(), Decimal(0)), p or 0))
    rows = [
        (
            names.get(p or 0, "No payer"),
            *(fmt.money(sums[p].get(b, Decimal(0)), cents=False) for b in buckets),
        )
        for p in order
    ]
    whole = [sum((s.get(b, Decimal(0)) for s in sums.values()), Decimal(0)) for b in buckets]
    rows.append(("All payers", *(fmt.money(w, cents=False) for w in whole)))
    return Table("Open balances by payer and age", ("Payer", *buckets), rows)


def _book(
    organization: Organization, kind: str, first: date, last: date, on: date
) -> tuple[Book, dict[str, engine.Value]]:
    now = figures_of(organization.pk, last)
    before = engine.values(
        organizations=[organization.pk], day=first - timedelta(days=1), live=False
    )
    week_ago = engine.values(
        organizations=[organization.pk], day=last - timedelta(days=7), live=False
    )
    changed = story.what_changed(
        now,
        week_ago,
        organizations=[organization.pk],
        day=last,
        payer_names=dict(Payer.objects.values_list("pk", "name")),
        site_names=dict(Site.objects.filter(organization=organization).values_list("pk", "name")),
    )
    tables = [_kpi_table(g, now, before) for g in GROUPS]
    tables.append(_aging_table(organization.pk, last))
    title = "Board book" if kind == ReportKind.MONTHLY else "Weekly report"
    kept = KpiSnapshot.objects.filter(organization=organization, day=last).exists()
    basis = (
        "Figures as they were kept at the end of the last day."
        if kept
        else "The last day was not kept: figures are from the rows as they stood when this was made."
    )
    book = Book(
        title,
        organization.name,
        f"{first:%B %-d} to {last:%B %-d, %Y}",
        on,
        story.sentence(now, week_ago, changed),
        [t for t in tables if t.rows],
        [basis, "“Before” is the day before this period. No figure names a patient."],
    )
    return book, now


@transaction.atomic
def report_make(
    *, organization_id: int, kind: str, last: date, actor: Actor, at: datetime | None = None
) -> Report:
    """The report of a week (seven days) or month that ends on a day. Made once: asked again, the
    first one comes back as it was.
    """
    require_mine(organization_id, actor)
    at = at or timezone.now()
    today = SiteClock(zone_of(organization_id)).today(at)
    if kind not in ReportKind.values:
        raise Refused("There is no such report.", field="kind", code="unknown")
    if last >= today:
        raise Refused("A report is made when its last day has ended.", field="last", code="open")
    first = last.replace(day=1) if kind == ReportKind.MONTHLY else last - timedelta(days=6)
    if kind == ReportKind.MONTHLY and (last + timedelta(days=1)).day != 1:
        raise Refused("A month ends on its last day.", field="last", code="range")
    found = Report.objects.filter(organization_id=organization_id, kind=kind, last=last).first()
    if found is not None:
        return found
    # two schedulers wait for each other here, and the second finds the first one's report
    organization = Organization.objects.select_for_update().get(pk=organization_id)
    found = Report.objects.filter(organization_id=organization_id, kind=kind, last=last).first()
    if found is not None:
        return found
    book, now = _book(organization, kind, first, last, today)
    content = book_pdf(book)
    row = Report.objects.create(
        organization_id=organization_id,
        kind=kind,
        first=first,
        last=last,
        sentence=book.sentence[:600],
        figures={
            code: {
                "numerator": str(v.numerator),
                "denominator": str(v.denominator),
                "target": None if v.kpi.target is None else str(v.kpi.target),
                "version": v.kpi.version,
            }
            for code, v in now.items()
        },
        pdf=content,
        sha256=hashlib.sha256(content).hexdigest(),
        made_at=at,
    )
    record_steps(
        [
            Step(
                organization_id,
                "report.made",
                f"{row.get_kind_display()} to {last:%b %-d} made",
                data={"report": str(row.public_id), "sha256": row.sha256},
            )
        ],
        actor=actor,
        at=at,
    )
    return row


@dataclass(frozen=True, slots=True)
class Correction:
    """A figure of a report that would be another one today."""

    label: str
    then: str
    now: str


def corrections(report: Report) -> list[Correction]:
    """What has been corrected since a report was made: its figures recomputed from the rows. The
    report itself stays as it is.
    """
    known = targeted([report.organization_id], report.last)
    current = engine.compute_all(
        known.values(), organizations=[report.organization_id], day=report.last
    )
    found = []
    for code, told in report.figures.items():
        value = current.get(code)
        if value is None or value.kpi.version != told["version"]:
            continue
        old = engine.Value(value.kpi, Decimal(told["numerator"]), Decimal(told["denominator"]))
        words = engine.words(value.kpi, old.value), engine.words(value.kpi, value.value)
        if words[0] != words[1]:
            found.append(Correction(value.kpi.label, *words))
    return found


# --- sending --------------------------------------------------------------------------------------


def subscribers(organization_id: int, kind: str) -> list[User]:
    """Who wants a kind of message and may still read the figures."""
    rows = Subscription.objects.filter(
        organization_id=organization_id, kind=kind, user__is_active=True
    ).select_related("user")
    return [s.user for s in rows.order_by("pk") if s.user.actor().can("kpi.view", organization_id)]


def _claim(
    organization_id: int, key: str, user: User, subject: str, at: datetime
) -> Delivery | None:
    """Take a message to send; None when somebody else has it or it was sent."""
    row, made = Delivery.objects.get_or_create(
        organization_id=organization_id,
        key=key,
        user=user,
        defaults={"subject": subject[:160], "claimed_at": at},
    )
    if made:
        return row
    free = Delivery.objects.filter(
        pk=row.pk,
        sent_at__isnull=True,
        claimed_at__lt=at - CLAIM_LASTS,
        attempts__lt=MOST_ATTEMPTS,
    )
    if not free.update(claimed_at=at, attempts=F("attempts") + 1):
        return None
    row.refresh_from_db()
    return row


def deliver(
    *,
    organization_id: int,
    key: str,
    users: Sequence[User],
    subject: str,
    body: str,
    actor: Actor,
    attachment: tuple[str, bytes] | None = None,
    at: datetime | None = None,
) -> int:
    """Send a message once to each person. Call outside a transaction: the mail server is in
    between. Subject and body carry nothing of a patient. Returns how many were sent.
    """
    at = at or timezone.now()
    sent = 0
    if hold.held() is not None:
        return 0
    for user in users:
        with scope(actor):
            row = _claim(organization_id, key, user, subject, at)
        if row is None:
            continue
        message = EmailMessage(subject, body, to=[user.email])
        if attachment is not None:
            message.attach(attachment[0], attachment[1], "application/pdf")
        changes: dict[str, Any] = {"sent_at": at, "error": ""}
        try:
            message.send()
        except OSError as problem:
            changes = {"error": f"The mail server did not take it: {type(problem).__name__}"}
        else:
            sent += 1
        with scope(actor):
            Delivery.objects.filter(pk=row.pk).update(**changes)
    return sent


def report_send(*, report: Report, actor: Actor, at: datetime | None = None) -> int:
    """Mail a report to its subscribers, each once."""
    with scope(actor):
        users = subscribers(report.organization_id, report.kind)
        owner = Organization.objects.get(pk=report.organization_id)
    label = report.get_kind_display()
    return deliver(
        organization_id=report.organization_id,
        key=f"report:{report.pk}",
        users=users,
        subject=f"{label}: {owner.name}, to {report.last:%B %-d, %Y}",
        body=f"{report.sentence}\n\nThe report is attached. It names no patient.\n",
        actor=actor,
        attachment=(f"{report.kind}-{report.last}.pdf", bytes(report.pdf)),
        at=at,
    )


def due_reports(organization_id: int, at: datetime) -> list[tuple[str, date]]:
    """Kind and last day of the reports whose time has come in the organization's time zone: Monday
    from seven, the first of a month from eight.
    """
    clock = SiteClock(zone_of(organization_id))
    local, today = clock.local(at), clock.today(at)
    monday = today - timedelta(days=today.weekday())
    found = []
    if local >= clock.at(monday, WEEKLY_HOUR):
        found.append((ReportKind.WEEKLY.value, monday - timedelta(days=1)))
    first = today.replace(day=1)
    if local >= clock.at(first, MONTHLY_HOUR):
        found.append((ReportKind.MONTHLY.value, first - timedelta(days=1)))
    return found


def reports_due(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """Make and send what is due; safe to call as often as anybody likes. Returns mails sent."""
    at = at or timezone.now()
    sent = 0
    with scope(actor):
        due = due_reports(organization_id, at)
        wanted = [d for d in due if subscribers(organization_id, d[0])]
    for kind, last in wanted:
        with scope(actor):
            report = report_make(
                organization_id=organization_id, kind=kind, last=last, actor=actor, at=at
            )
        sent += report_send(report=report, actor=actor, at=at)
    return sent


@transaction.atomic
def subscribe(*, organization_id: int, kinds: Sequence[str], actor: Actor) -> None:
    """What one wants to be told about an organization; what is not named is ended."""
    require_mine(organization_id, actor)
    actor.require("kpi.view", organization_id)
    if actor.user_id is None:
        raise Refused("Only a person subscribes.", code="no_person")
    unknown = set(kinds) - set(SubscriptionKind.values)
    if unknown:
        raise Refused("There is no such message.", field="kinds", code="unknown")
    mine = Subscription.objects.filter(organization_id=organization_id, user_id=actor.user_id)
    mine.exclude(kind__in=kinds).delete()
    for kind in kinds:
        Subscription.objects.get_or_create(
            organization_id=organization_id, user_id=actor.user_id, kind=kind
        )


# --- thresholds -----------------------------------------------------------------------------------


@transaction.atomic
def threshold_set(
    *, organization_id: int, kpi: str, raise_at: Decimal, clear_at: Decimal, actor: Actor
) -> Threshold:
    """Tell when a figure crosses `raise_at`, once, until it has come back past `clear_at`."""
    require_mine(organization_id, actor)
    actor.require("rules.edit", organization_id, entire=True)
    known = BY_CODE.get(kpi)
    if known is None:
        raise Refused("There is no such figure.", field="kpi", code="unknown")
    low = known.better == "low"
    if (clear_at >= raise_at) if low else (clear_at <= raise_at):
        side = "below" if low else "above"
        raise Refused(
            f"The value at which it is over lies {side} the one at which it is told.",
            field="clear_at",
            code="range",
        )
    Threshold.objects.filter(organization_id=organization_id, kpi=kpi, active=True).update(
        active=False
    )
    return Threshold.objects.create(
        organization_id=organization_id,
        kpi=kpi,
        raise_at=raise_at,
        clear_at=clear_at,
        actor_name=actor.name,
    )


def _past(value: Decimal, limit: Decimal, better: str) -> bool:
    """On the bad side of a limit."""
    return value > limit if better == "low" else value < limit


@transaction.atomic
def thresholds_check(
    *, organization_id: int, actor: Actor, at: datetime | None = None
) -> list[Alert]:
    """Compare each watched figure with its limits. Returns the alerts raised now; one that stands
    is not raised again, and one is over only past its other limit.
    """
    require_mine(organization_id, actor)
    at = at or timezone.now()
    day = SiteClock(zone_of(organization_id)).today(at)
    raised = []
    rows = Threshold.objects.select_for_update().filter(
        organization_id=organization_id, active=True
    )
    watched = list(rows.order_by("pk"))
    values = engine.compute_all(
        [BY_CODE[t.kpi] for t in watched], organizations=[organization_id], day=day
    )
    for threshold in watched:
        found = values[threshold.kpi]
        if found.value is None:
            continue
        open_one = Alert.objects.filter(threshold=threshold, cleared_at__isnull=True)
        if open_one.exists():
            if not _past(found.value, threshold.clear_at, found.kpi.better):
                open_one.update(cleared_at=at)
            continue
        if _past(found.value, threshold.raise_at, found.kpi.better):
            raised.append(_raise(threshold, found, day, at))
    return raised


def _raise(threshold: Threshold, found: engine.Value, day: date, at: datetime) -> Alert:
    part = "numerator" if found.kpi.better == "low" else "missed"
    rows = engine.rows(
        found.kpi,
        organizations=[threshold.organization_id],
        day=day,
        part=part,
        limit=NAMED,
    )
    return Alert.objects.create(
        organization_id=threshold.organization_id,
        threshold=threshold,
        day=day,
        value=(found.value or Decimal(0)).quantize(Decimal("0.0001")),
        rows=[[r.kind, r.id] for r in rows],
        raised_at=at,
    )


def alerts_send(*, organization_id: int, actor: Actor, at: datetime | None = None) -> int:
    """Raise what has crossed its limit and mail it, each alert once to each subscriber."""
    at = at or timezone.now()
    with scope(actor):
        thresholds_check(organization_id=organization_id, actor=actor, at=at)
        fresh = list(
            Alert.objects.filter(
                organization_id=organization_id, raised_at__gte=at - timedelta(days=1)
            ).select_related("threshold", "organization")
        )
        users = subscribers(organization_id, SubscriptionKind.ALERT)
    sent = 0
    for alert in fresh:
        kpi = BY_CODE[alert.threshold.kpi]
        limit = engine.words(kpi, alert.threshold.raise_at)
        sent += deliver(
            organization_id=organization_id,
            key=f"alert:{alert.pk}",
            users=users,
            subject=f"Alert: {kpi.label}, {alert.organization.name}",
            body=(
                f"{kpi.label} is {engine.words(kpi, alert.value)}, past {limit}, on"
                f" {alert.day:%B %-d}. {len(alert.rows)} rows are named under Reports. You are told"
                f" once, until it has come back past {engine.words(kpi, alert.threshold.clear_at)}."
                "\n"
            ),
            actor=actor,
            at=at,
        )
    return sent


# --- month end ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the month-end checklist: what was looked at, and what was found."""

    code: str
    label: str
    passed: bool
    found: str


def _one(sql: str, organization_id: int, first: date, last: date) -> Decimal:
    with connection.cursor() as cursor:
        cursor.execute(sql, {"org": organization_id, "first": first, "last": last})
        return Decimal(cursor.fetchone()[0] or 0)


UNBALANCED = """SELECT count(*) FROM (
  SELECT e.transaction_id FROM ledger_ledgerentry e
   WHERE e.organization_id = %(org)s AND e.effective_on BETWEEN %(first)s AND %(last)s
   GROUP BY e.transaction_id HAVING sum(e.amount) <> 0) q"""
DRIFT = """SELECT count(*) FROM (
  SELECT e.charge_id, sum(e.amount) FILTER (WHERE e.account = 'ar_insurance') AS i,
         sum(e.amount) FILTER (WHERE e.account = 'ar_patient') AS p
    FROM ledger_ledgerentry e
   WHERE e.organization_id = %(org)s AND e.charge_id IS NOT NULL
   GROUP BY e.charge_id) q
  LEFT JOIN ledger_balance b ON b.charge_id = q.charge_id
  WHERE coalesce(q.i, 0) <> coalesce(b.insurance, 0) OR coalesce(q.p, 0) <> coalesce(b.patient, 0)"""


def month_checks(organization_id: int, month: date) -> list[Check]:
    """What must hold before a month closes, each with what was found."""
    first = month.replace(day=1)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    unbalanced = _one(UNBALANCED, organization_id, first, last)
    drift = _one(DRIFT, organization_id, first, last)
    waiting = Remittance.objects.filter(
        organization_id=organization_id,
        paid_on__lte=last,
        status__in=["received", "ready", "quarantined"],
    ).aggregate(total=Sum("amount"))
    count = Remittance.objects.filter(
        organization_id=organization_id,
        paid_on__lte=last,
        status__in=["received", "ready", "quarantined"],
    ).count()
    kept = KpiSnapshot.objects.filter(organization_id=organization_id, day=last).exists()
    whole = aging.total(aging.aging(organizations=[organization_id], on=last))
    ledger = _one(
        """SELECT sum(amount) FROM ledger_ledgerentry WHERE organization_id = %(org)s
            AND account IN ('ar_insurance', 'ar_patient') AND effective_on <= %(last)s""",
        organization_id,
        first,
        last,
    )
    return [
        Check(
            "balanced",
            "Every transaction of the month sums to zero",
            not unbalanced,
            f"{unbalanced:.0f} do not",
        ),
        Check("balances", "Kept balances equal the ledger", not drift, f"{drift:.0f} differ"),
        Check(
            "aging",
            "Aging at the last day equals the receivable accounts",
            whole == ledger,
            f"{fmt.money(whole)} and {fmt.money(ledger)}",
        ),
        Check(
            "posted",
            "Every remittance of the month is posted or refused",
            not count,
            f"{count} wait, {fmt.money(waiting['total'] or 0)}",
        ),
        _proof_check(organization_id, last),
        Check(
            "kept", "The figures of the last day were kept", kept, "kept" if kept else "not kept"
        ),
    ]


def _proof_check(organization_id: int, last: date) -> Check:
    """The last proof of the books: made after the month, and nothing in it is broken."""
    label = "The books were proved after the month, and every promise holds"
    run = ProofRun.objects.filter(organization_id=organization_id).order_by("-at").first()
    if run is None:
        return Check("proof", label, False, "never proved")
    broken = sum(row[2] for row in run.breaches)
    day = SiteClock(zone_of(organization_id)).today(run.at)
    found = f"{run.promises} promises on {fmt.mdy(day)}, {broken:,} breaches"
    return Check("proof", label, day > last and not broken, found)


@transaction.atomic
def month_close(
    *,
    organization_id: int,
    month: date,
    notes: dict[str, str],
    actor: Actor,
    at: datetime | None = None,
) -> MonthClose:
    """Close a month: each check that does not pass needs a note of who closes. The report is made
    with it, and neither ever changes.
    """
    require_mine(organization_id, actor)
    actor.require("month.close", organization_id, entire=True)
    at = at or timezone.now()
    first = month.replace(day=1)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    if MonthClose.objects.filter(organization_id=organization_id, month=first).exists():
        raise Conflict("This month is closed already.", code="closed")
    if last >= SiteClock(zone_of(organization_id)).today(at):
        raise Refused("The month has not ended.", field="month", code="open")
    checks = month_checks(organization_id, first)
    for check in checks:
        if not check.passed and not notes.get(check.code, "").strip():
            raise Refused(
                f"“{check.label}” does not hold ({check.found}). Say why the month closes all the"
                " same.",
                field=f"note_{check.code}",
                code="unexplained",
            )
    report = report_make(
        organization_id=organization_id,
        kind=ReportKind.MONTHLY,
        last=last,
        actor=actor,
        at=at,
    )
    row = MonthClose.objects.create(
        organization_id=organization_id,
        month=first,
        checks=[
            {
                "code": c.code,
                "label": c.label,
                "passed": c.passed,
                "found": c.found,
                "note": notes.get(c.code, "").strip()[:300],
            }
            for c in checks
        ],
        report=report,
        closed_at=at,
        actor_name=actor.name,
        user_id=actor.user_id,
    )
    record_steps(
        [Step(organization_id, "month.closed", f"{first:%B %Y} closed")], actor=actor, at=at
    )
    return row


def open_months(organization_id: int, at: datetime | None = None) -> list[date]:
    """Months that have ended and are not closed: the last three."""
    first = office_day(at).replace(day=1)
    months = []
    for _ in range(3):
        first = (first - timedelta(days=1)).replace(day=1)
        months.append(first)
    closed = set(
        MonthClose.objects.filter(Q(organization_id=organization_id), month__in=months).values_list(
            "month", flat=True
        )
    )
    return [m for m in months if m not in closed]
