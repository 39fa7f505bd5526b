"""Screens of the figures: performance, each KPI with its rows, aging at any day, the lag from order
to zero.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Q, Sum
from django.http import Http404, HttpRequest, HttpResponseBase, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from ar import aging as ages
from ar import lag as lag_of
from ar.kpi import engine, story, targets
from ar.kpi.definitions import BY_CODE, GROUPS, KPIS, Kpi
from ar.models import KpiSnapshot, PatientPayment
from ar.queues import link
from ar.rules import ZERO
from authorizations.models import Authorization
from charges.models import Charge, Exam, Reader
from claims.models import Claim
from intake.models import Appointment
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_day
from rcm.accounts.models import Site
from rcm.audit.services import record_access
from rcm.ledger.models import LedgerTransaction
from rcm.reference.models import Payer
from rcm.web import charts, parts
from rcm.web import format as fmt
from rcm.web.access import actor_of, may
from rcm.web.forms import read_date
from rcm.web.lists import csv_response
from rcm.worklist.models import ItemStatus, WorkItem
from remittance.models import Appeal, Denial, ServicePayment, Variance

PAGE = 100
EXPORT = 20_000
ROUNDING = Decimal("0.05")


@dataclass(slots=True)
class Frame:
    """What a page of figures is asked for: day, sites, payers; all of it in the URL."""

    day: dt.date
    organizations: list[int]
    sites: list[int]
    payers: list[int]
    site_choices: list[Site]
    payer_choices: list[Payer]
    query: QueryDict
    wrong_day: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def url(self, name: str, *args: Any, **more: Any) -> str:
        """A page of the same day and filters, with more in its query."""
        query = QueryDict(mutable=True)
        if self.day != office_day():
            query["day"] = self.day.isoformat()
        chosen = self.query.getlist("site"), self.query.getlist("payer")
        query.setlist("site", [v for v in chosen[0] if v.isdecimal()])
        query.setlist("payer", [v for v in chosen[1] if v.isdecimal()])
        for key, value in more.items():
            if isinstance(value, list):
                query.setlist(key, [str(v) for v in value])
            elif value not in (None, ""):
                query[key] = str(value)
        for key in ("site", "payer"):
            if not query.getlist(key):
                query.pop(key, None)
        text = query.urlencode()
        return reverse(f"ar:{name}", args=args) + (f"?{text}" if text else "")


def _ids(values: Iterable[str], allowed: Iterable[int]) -> list[int]:
    known = set(allowed)
    return [int(v) for v in values if v.isdecimal() and len(v) < 19 and int(v) in known]


def frame(request: HttpRequest) -> Frame:
    """Read the URL: an unknown site or payer is left out, a day that is none or to come is
    today.
    """
    actor: Actor = actor_of(request)
    today = office_day()
    text = request.GET.get("day", "")[:20]
    day = read_date(text) if text else today
    wrong = (
        ""
        if day is not None and day <= today
        else f"“{text}” is no day up to today; today is shown."
    )
    sites = Site.objects.filter(organization_id__in=actor.organizations)
    if actor.sites:
        sites = sites.filter(pk__in=actor.sites)
    site_choices = list(sites)
    payer_choices = list(Payer.objects.filter(active=True))
    chosen = _ids(request.GET.getlist("site"), (s.pk for s in site_choices))
    return Frame(
        day=day if day is not None and day <= today else today,
        organizations=sorted(actor.organizations),
        sites=chosen or sorted(actor.sites),
        payers=_ids(request.GET.getlist("payer"), (p.pk for p in payer_choices)),
        site_choices=site_choices,
        payer_choices=payer_choices,
        query=request.GET.copy(),
        wrong_day=wrong if text else "",
    )


# --- performance ----------------------------------------------------------------------------------


def _tile(
    value: engine.Value, past: engine.Value | None, line: Sequence[Decimal | None], f: Frame
) -> parts.Stat:
    k = value.kpi
    change = tone = ""
    if (
        past is not None
        and past.value is not None
        and value.value is not None
        and past.value != value.value
    ):
        step = value.value - past.value
        tone = "good" if (step > 0) == (k.better == "high") else "bad"
        change = (
            f"{'+' if step > 0 else fmt.MINUS}{engine.words(k, abs(step)).lstrip(fmt.MINUS)} in a"
            " week"
        )
    target = "" if k.target is None else f"{k.direction} {engine.words(k, k.target)}"
    return parts.Stat(
        k.label,
        engine.words(k, value.value),
        target,
        tone,
        change,
        k.definition,
        f.url("kpi", k.code),
        charts.sparkline(line, target=k.target, label=f"{k.label}, 13 weeks"),
        fmt.short_day(f.day),
    )


@require_safe
@may("kpi.view")
def kpis(request: HttpRequest) -> HttpResponseBase:
    """All figures at a day: one sentence of what changed, front, middle and back, aging by payer,
    who carries what.
    """
    f = frame(request)
    asked: dict[str, Any] = {"organizations": f.organizations, "sites": f.sites, "payers": f.payers}
    now = engine.values(day=f.day, **asked)
    before = engine.values(day=f.day - dt.timedelta(days=7), live=False, **asked)
    lines = engine.trend(day=f.day, **asked)
    if request.GET.get("export") == "csv":
        rows = [
            (
                k.label,
                k.group,
                engine.words(k, now[k.code].value),
                now[k.code].numerator,
                now[k.code].denominator,
                engine.words(k, k.target) if k.target is not None else "",
                k.definition,
            )
            for k in (value.kpi for value in now.values())
        ]
        return csv_response(
            f"performance-{f.day}",
            ("Figure", "Group", "Value", "Numerator", "Denominator", "Target", "Definition"),
            rows,
        )
    groups = [
        {
            "name": g,
            "stats": [
                _tile(now[k.code], before.get(k.code), [*lines[k.code][:-1], now[k.code].value], f)
                for k in KPIS
                if k.group == g
            ],
            "missed": len(engine.missed(v for v in now.values() if v.kpi.group == g)),
            "targets": sum(1 for v in now.values() if v.kpi.group == g and v.met is not None),
        }
        for g in GROUPS
        if any(k.group == g for k in KPIS)
    ]
    kept_on = engine.snapshot_day(f.organizations, f.day)
    return render(
        request,
        "ar/kpis.html",
        {
            "frame": f,
            "sentence": story.sentence(now, before, _changed(f, now, before, asked)),
            "groups": groups,
            "chart": _aging_chart(f, ages.aging(on=f.day, **asked), ages.SERVICE),
            "aging_url": f.url("aging"),
            "lag_url": f.url("lag"),
            "export_url": f.url("kpis", export="csv"),
            "kept": kept_on == f.day,
            "load": _load(request),
        },
    )


def _changed(
    f: Frame,
    now: dict[str, engine.Value],
    before: dict[str, engine.Value],
    asked: dict[str, Any],
) -> str:
    return story.what_changed(
        now,
        before,
        day=f.day,
        payer_names={p.pk: p.name for p in f.payer_choices},
        site_names={s.pk: s.name for s in f.site_choices},
        **asked,
    )


def _load(request: HttpRequest) -> list[dict[str, Any]]:
    rows = WorkItem.objects.visible_to(actor_of(request)).filter(
        status=ItemStatus.OPEN, owner__isnull=False
    )
    late = Q(due_at__lt=timezone.now())
    found = rows.values("owner__first_name", "owner__last_name").annotate(
        count=Count("pk"),
        dollars=Sum("dollars"),
        late=Count("pk", filter=late),
        touches=Sum("touches"),
    )
    return [dict(row) for row in found.order_by("-dollars")[:15]]


@require_safe
@may("kpi.view")
def kpi(request: HttpRequest, code: str) -> HttpResponseBase:
    """One figure: its definition and version, thirteen weeks, by site and payer, and exactly the
    rows that were counted.
    """
    if code not in BY_CODE:
        raise Http404
    f = frame(request)
    k = targets.targeted(f.organizations, f.day)[code]
    part = request.GET.get("part", "numerator")
    part = part if part in ("numerator", "denominator", "missed") else "numerator"
    asked: dict[str, Any] = {"organizations": f.organizations, "sites": f.sites, "payers": f.payers}
    if request.GET.get("export") == "csv":
        rows = labelled(engine.rows(k, day=f.day, part=part, limit=EXPORT, **asked))
        log_rows(request, rows, f"export kpi {k.code}")
        return csv_response(
            f"{k.code}-{f.day}",
            ("Row", "Patient", "Payer", "Date", "Numerator", "Denominator"),
            [
                (
                    r.label,
                    r.patient,
                    r.payer,
                    r.day.isoformat() if r.day else "",
                    r.row.numerator,
                    r.row.denominator,
                )
                for r in rows
            ],
        )
    value = engine.compute(k, day=f.day, **asked)
    standing = engine.values(day=f.day, live=False, **asked).get(code)
    differs = standing is not None and _differ(standing, value)
    after = _after(request.GET.get("after", ""))
    rows_found = engine.rows(k, day=f.day, part=part, after=after, limit=PAGE + 1, **asked)
    rows = labelled(rows_found[:PAGE])
    last = rows_found[PAGE - 1] if len(rows_found) > PAGE else None
    points = engine.weeks_before(f.day)
    months = engine.month_ends(f.day)
    line = [*engine.trend(day=f.day, **asked)[code][:-1], value.value]
    return render(
        request,
        "ar/kpi.html",
        {
            "frame": f,
            "kpi": k,
            "value": engine.words(k, value.value),
            "figure": value,
            "target": engine.words(k, k.target) if k.target is not None else "",
            "chart": charts.line(
                f"{k.label}, 13 weeks",
                [fmt.short_day(p) for p in points],
                line,
                target=k.target,
                words=lambda v: engine.words(k, Decimal(str(v)) if v is not None else None),
                urls=[_day_url(f, k, p) for p in points],
                name=k.label,
                note="A week without a snapshot is a gap.",
            ),
            "months": charts.line(
                f"{k.label}, 24 months",
                [f"{p:%b %Y}" for p in months],
                [*engine.monthly(k, day=f.day, **asked)[:-1], value.value],
                target=k.target,
                words=lambda v: engine.words(k, Decimal(str(v)) if v is not None else None),
                urls=[_day_url(f, k, p) for p in months],
                name=k.label,
                of="Month",
                note="The last kept day of each month; a month without one is a gap.",
            ),
            "differs": differs,
            "standing": engine.words(k, standing.value) if standing else "",
            "kept": standing is not None,
            "causes": since(f.organizations, f.day) if differs else [],
            "may_target": actor_of(request).can_somewhere("rules.edit"),
            "rows": rows,
            "parts": [(p, words, f.url("kpi", code, part=p), p == part) for p, words in _parts(k)],
            "next_url": (
                f.url(
                    "kpi",
                    code,
                    part=part,
                    after=(
                        f"{last.numerator if part == 'numerator' else last.denominator}:{last.id}"
                    ),
                )
                if last
                else ""
            ),
            "first_url": f.url("kpi", code, part=part) if after else "",
            "export_url": f.url("kpi", code, part=part, export="csv"),
            "by_payer": _by(k, f, "payer"),
            "by_site": _by(k, f, "site"),
            "crumbs": [parts.Crumb("Performance", f.url("kpis"))],
            "summed": k.summed,
        },
    )


def _differ(kept: engine.Value, now: engine.Value) -> bool:
    """Above the rounding of a snapshot's cells."""
    return (
        abs(kept.numerator - now.numerator) > ROUNDING
        or abs(kept.denominator - now.denominator) > ROUNDING
    )


def _parts(k: Kpi) -> list[tuple[str, str]]:
    return (
        [("numerator", "Counted above")]
        if k.summed
        else [
            ("numerator", "Counted above"),
            ("denominator", "Counted below"),
            ("missed", "Below, not above"),
        ]
    )


def _day_url(f: Frame, k: Kpi, day: dt.date) -> str:
    return f.url("kpi", k.code, day=day.isoformat())


def _after(text: str) -> tuple[Decimal, int] | None:
    amount, _, pk = text.partition(":")
    try:
        number = Decimal(amount)
    except InvalidOperation:
        return None
    return (number, int(pk)) if number.is_finite() and pk.isdecimal() and len(pk) < 19 else None


def _by(k: Kpi, f: Frame, what: str) -> list[dict[str, Any]]:
    """The figure by payer or site, each linked to its own rows."""
    column = {"payer": "payer_id", "site": "site_id"}[what]
    names: dict[int | None, str] = (
        {p.pk: p.name for p in f.payer_choices}
        if what == "payer"
        else {s.pk: s.name for s in f.site_choices}
    )
    where = engine._where(f.sites, f.payers)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column}, sum(num), sum(den) FROM ({k.rows}) AS counted WHERE true{where}"  # noqa: S608 - fixed words
            " GROUP BY 1 ORDER BY sum(den) DESC NULLS LAST, 1 LIMIT 60",
            engine._params(f.organizations, k, f.day, f.sites, f.payers),
        )
        found = cursor.fetchall()
    out = []
    for pk, num, den in found:
        value = engine.Value(k, Decimal(num), Decimal(den))
        out.append(
            {
                "name": names.get(pk, "Not known" if pk is None else "Inactive"),
                "words": engine.words(k, value.value),
                "num": value.numerator,
                "den": value.denominator,
                "met": value.met,
                "url": f.url("kpi", k.code, **{what: [pk]}) if pk else "",
            }
        )
    return out


@dataclass(frozen=True, slots=True)
class Cause:
    """What was booked after a kept figure was counted, with a date up to its day."""

    words: str
    count: int
    dollars: Decimal | None


BOOKED = {
    "charge": "charges released later",
    "remittance": "remittances posted later",
    "patient_payment": "patient payments entered later",
    "write_off": "write-offs approved later",
}


def since(organizations: Sequence[int], day: dt.date) -> list[Cause]:
    """Why a figure recomputed now differs from the one kept: what was entered after it was counted
    and carries a date up to that day. Three queries.
    """
    taken = KpiSnapshot.objects.filter(organization_id__in=organizations, day=day).aggregate(
        at=Max("taken_at")
    )["at"]
    if taken is None:
        return []
    booked = (
        LedgerTransaction.objects.filter(
            organization_id__in=organizations, effective_on__lte=day, created_at__gt=taken
        )
        .values("kind")
        .annotate(
            count=Count("pk", distinct=True),
            dollars=Sum("entries__amount", filter=Q(entries__amount__gt=0)),
        )
        .order_by("kind")
    )
    found = [
        Cause(
            BOOKED.get(row["kind"], row["kind"].replace("_", " ") + ", booked later"),
            row["count"],
            row["dollars"],
        )
        for row in booked
    ]
    denied = Denial.objects.filter(
        organization_id__in=organizations, denied_on__lte=day, created_at__gt=taken
    ).aggregate(count=Count("pk"), dollars=Sum("amount"))
    if denied["count"]:
        found.append(Cause("denials entered later", denied["count"], denied["dollars"]))
    return found


# --- the rows behind a figure ---------------------------------------------------------------------


@dataclass(slots=True)
class Labelled:
    """A counted row in words."""

    row: engine.Row
    label: str
    patient: str = ""
    patient_id: int | None = None
    organization_id: int | None = None
    payer: str = ""
    day: dt.date | None = None
    url: str = ""


def labelled(rows: Sequence[engine.Row]) -> list[Labelled]:
    """Names, dates and links for rows of any kind: one query a kind."""
    ids: dict[str, list[int]] = {}
    for r in rows:
        ids.setdefault(r.kind, []).append(r.id)
    payers = dict(
        Payer.objects.filter(pk__in={r.payer_id for r in rows if r.payer_id}).values_list(
            "pk", "name"
        )
    )
    found: dict[tuple[str, int], Labelled] = {}
    for kind, keys in ids.items():
        found |= {(kind, label.row.id): label for label in _labels(kind, keys)}
    out = []
    for r in rows:
        label = found.get((r.kind, r.id)) or Labelled(r, f"{r.kind} {r.id}")
        label.row, label.payer = r, payers.get(r.payer_id or 0, "")
        out.append(label)
    return out


def _labels(kind: str, keys: list[int]) -> list[Labelled]:
    def blank(pk: int) -> engine.Row:
        return engine.Row(kind, pk, None, None, ZERO, ZERO)

    if kind == "claim":
        claims = Claim.objects.filter(pk__in=keys).select_related("patient")
        return [
            Labelled(
                blank(c.pk),
                f"Claim {c.number}",
                c.patient.name,
                c.patient_id,
                c.organization_id,
                "",
                c.service_date,
                link("claims:claim", c.public_id),
            )
            for c in claims
        ]
    if kind == "exam":
        exams = Exam.objects.filter(pk__in=keys).select_related("patient")
        return [
            Labelled(
                blank(x.pk),
                f"Exam {x.accession} {x.code}",
                x.patient.name,
                x.patient_id,
                x.organization_id,
                "",
                x.service_date,
                link("charges:exam", x.public_id),
            )
            for x in exams
        ]
    if kind == "charge":
        charges = Charge.objects.filter(pk__in=keys).select_related("patient", "exam")
        return [
            Labelled(
                blank(c.pk),
                f"{c.code} {c.exam.accession}",
                c.patient.name,
                c.patient_id,
                c.organization_id,
                "",
                c.service_date,
                link("charges:exam", c.exam.public_id),
            )
            for c in charges
        ]
    if kind == "denial":
        denials = Denial.objects.filter(pk__in=keys).select_related("claim__patient")
        return [
            Labelled(
                blank(x.pk),
                f"{x.group}-{x.reason} on {x.claim.number}",
                x.claim.patient.name,
                x.claim.patient_id,
                x.organization_id,
                "",
                x.denied_on,
                link("remittance:denial", x.public_id),
            )
            for x in denials
        ]
    if kind in ("touch", "chart", "entry"):
        said = {"touch": "Step", "chart": "Chart opened", "entry": "Cash entry"}[kind]
        return [Labelled(blank(pk), f"{said} {pk}") for pk in keys]
    if kind == "appeal":
        appeals = Appeal.objects.filter(pk__in=keys).defer("packet", "letter")
        return [
            Labelled(
                blank(a.pk),
                f"Appeal {a.level} of {a.denial.claim.number}",
                a.denial.claim.patient.name,
                a.denial.claim.patient_id,
                a.organization_id,
                "",
                a.outcome_on,
                link("remittance:denial", a.denial.public_id),
            )
            for a in appeals.select_related("denial__claim__patient")
        ]
    if kind == "visit":
        visits = Appointment.objects.filter(pk__in=keys).select_related("patient")
        return [
            Labelled(
                blank(p.pk),
                f"Visit {p.number or p.pk}",
                p.patient.name,
                p.patient_id,
                p.organization_id,
                "",
                fmt.as_date(p.starts_at),
                link("intake:appointment", p.public_id),
            )
            for p in visits
        ]
    if kind == "authorization":
        asked = Authorization.objects.filter(pk__in=keys).select_related("patient")
        return [
            Labelled(
                blank(a.pk),
                f"Authorization {a.number or 'without number'}",
                a.patient.name,
                a.patient_id,
                a.organization_id,
                "",
                fmt.as_date(a.requested_at),
                link("authorizations:authorization", a.public_id),
            )
            for a in asked
        ]
    if kind == "payment line":
        lines = ServicePayment.objects.filter(pk__in=keys).select_related("payment__claim__patient")
        return [
            Labelled(
                blank(p.pk),
                f"{p.code} on {p.payment.claim.number}",
                p.payment.claim.patient.name,
                p.payment.claim.patient_id,
                p.organization_id,
                "",
                p.service_date,
                link("claims:claim", p.payment.claim.public_id),
            )
            for p in lines
            if p.payment.claim
        ]
    if kind == "payment":
        payments = PatientPayment.objects.filter(pk__in=keys).select_related("patient")
        return [
            Labelled(
                blank(m.pk),
                f"Receipt {m.receipt}",
                m.patient.name,
                m.patient_id,
                m.organization_id,
                "",
                m.received_on,
                link("ar:receipt", m.public_id),
            )
            for m in payments
        ]
    if kind == "variance":
        variances = Variance.objects.filter(pk__in=keys).select_related("claim__patient")
        return [
            Labelled(
                blank(w.pk),
                f"{w.code} on {w.claim.number}",
                w.claim.patient.name,
                w.claim.patient_id,
                w.organization_id,
                "",
                w.found_on,
                link("claims:claim", w.claim.public_id),
            )
            for w in variances
        ]
    return []


def log_rows(request: HttpRequest, rows: Sequence[Labelled], purpose: str) -> None:
    by: dict[int, set[int]] = {}
    for r in rows:
        if r.patient_id and r.organization_id:
            by.setdefault(r.organization_id, set()).add(r.patient_id)
    for organization, patients in by.items():
        record_access(
            organization_id=organization,
            patient_ids=patients,
            actor=actor_of(request),
            purpose=purpose,
            request_id=str(getattr(request, "request_id", "")),
        )


# --- aging ----------------------------------------------------------------------------------------


def _basis(request: HttpRequest) -> str:
    wanted = request.GET.get("basis", ages.SERVICE)
    return wanted if wanted in dict(ages.BASES) else ages.SERVICE


def _buckets(basis: str) -> tuple[str, ...]:
    return ages.ALL_BUCKETS if basis == ages.BILLED else ages.ALL_BUCKETS[:-1]


def _aging_chart(
    f: Frame, cells: Sequence[ages.Cell], basis: str, limit: int = 12
) -> charts.Chart | None:
    """Stacked bars by payer, the largest first; the table beside has every figure."""
    names = {p.pk: p.name for p in f.payer_choices}
    sums: dict[int | None, dict[str, Decimal]] = {}
    for c in cells:
        place = sums.setdefault(c.payer_id, {})
        place[c.bucket] = place.get(c.bucket, ZERO) + c.total
    order = sorted(sums, key=lambda p: -sum(sums[p].values(), ZERO))[:limit]
    if not order:
        return None
    labels = [names.get(p or 0, "No payer") for p in order]
    series = [(b, [max(sums[p].get(b, ZERO), ZERO) for p in order]) for b in _buckets(basis)]
    urls = [
        f.url("aging_lines", payer=[p], basis=basis) if p else f.url("aging_lines", basis=basis)
        for p in order
    ]
    return charts.stacked(
        f"Open balance by payer and age, {fmt.short_day(f.day)}",
        labels,
        series,
        urls=urls,
        note="Credits are left out of the bars.",
    )


@require_safe
@may("kpi.view")
def aging(request: HttpRequest) -> HttpResponseBase:
    """Open balances at the end of any day: payer × bucket, insurance and patient, each figure
    linked to its lines.
    """
    f, basis = frame(request), _basis(request)
    cells = ages.aging(
        organizations=f.organizations, on=f.day, basis=basis, sites=f.sites, payers=f.payers
    )
    names: dict[int | None, str] = {p.pk: p.name for p in f.payer_choices}
    sites: dict[int | None, str] = {s.pk: s.name for s in f.site_choices}
    if request.GET.get("export") == "csv":
        rows = [
            (
                names.get(c.payer_id, "No payer"),
                sites.get(c.site_id, ""),
                c.bucket,
                c.insurance,
                c.patient,
                c.lines,
            )
            for c in sorted(
                cells, key=lambda c: (names.get(c.payer_id, "~"), c.site_id or 0, c.bucket)
            )
        ]
        return csv_response(
            f"aging-{basis}-{f.day}",
            ("Payer", "Site", "Bucket", "Insurance", "Patient", "Lines"),
            rows,
        )
    buckets = [
        *_buckets(basis),
        *([ages.NO_ACCOUNT] if any(c.bucket == ages.NO_ACCOUNT for c in cells) else []),
    ]
    table = []
    for payer in sorted(
        {c.payer_id for c in cells},
        key=lambda p: -sum((c.total for c in cells if c.payer_id == p), ZERO),
    ):
        own = [c for c in cells if c.payer_id == payer]
        row = [
            (
                sum((c.total for c in own if c.bucket == b), ZERO),
                (
                    f.url("aging_lines", payer=[payer] if payer else [], bucket=b, basis=basis)
                    if b != ages.NO_ACCOUNT
                    else ""
                ),
            )
            for b in buckets
        ]
        table.append(
            {
                "name": names.get(payer, "No payer"),
                "cells": row,
                "insurance": sum((c.insurance for c in own), ZERO),
                "patient": sum((c.patient for c in own), ZERO),
                "lines": sum(c.lines for c in own),
            }
        )
    totals = [
        (
            sum((c.total for c in cells if c.bucket == b), ZERO),
            f.url("aging_lines", bucket=b, basis=basis),
        )
        for b in buckets
    ]
    whole = ages.total(cells)
    return render(
        request,
        "ar/aging.html",
        {
            "frame": f,
            "basis": basis,
            "bases": [(b, words, f.url("aging", basis=b), b == basis) for b, words in ages.BASES],
            "buckets": buckets,
            "table": table,
            "totals": totals,
            "shares": [t / whole if whole else None for t, _ in totals],
            "insurance": sum((c.insurance for c in cells), ZERO),
            "patient_total": sum((c.patient for c in cells), ZERO),
            "whole": whole,
            "lines": sum(c.lines for c in cells),
            "chart": _aging_chart(f, cells, basis),
            "export_url": f.url("aging", basis=basis, export="csv"),
        },
    )


@require_safe
@may("kpi.view")
def aging_lines(request: HttpRequest) -> HttpResponseBase:
    """The open charges of an aging cell, largest first."""
    f, basis = frame(request), _basis(request)
    bucket = request.GET.get("bucket", "")
    bucket = bucket if bucket in ages.ALL_BUCKETS else ""
    after = _after(request.GET.get("after", ""))
    asked: dict[str, Any] = {
        "organizations": f.organizations,
        "on": f.day,
        "basis": basis,
        "bucket": bucket,
        "sites": f.sites,
        "payers": f.payers,
    }
    exporting = request.GET.get("export") == "csv"
    found = ages.lines(
        **asked, after=None if exporting else after, limit=EXPORT if exporting else PAGE + 1
    )
    shown = found if exporting else found[:PAGE]
    charges = Charge.objects.select_related("patient", "exam").in_bulk([r.charge_id for r in shown])
    claims = Claim.objects.in_bulk({r.claim_id for r in shown if r.claim_id})
    names = {p.pk: p.name for p in f.payer_choices}
    rows: list[dict[str, Any]] = [
        {
            "line": r,
            "charge": charges[r.charge_id],
            "claim": claims.get(r.claim_id or 0),
            "payer": names.get(r.payer_id or 0, ""),
            "total": r.insurance + r.patient,
            "exam_url": link("charges:exam", charges[r.charge_id].exam.public_id),
            "claim_url": (
                link("claims:claim", claims[r.claim_id].public_id) if r.claim_id in claims else ""
            ),
            "account_url": reverse("ar:account", args=[charges[r.charge_id].patient.public_id]),
        }
        for r in shown
    ]
    if exporting:
        labels = [
            Labelled(
                engine.Row("charge", r["line"].charge_id, None, None, ZERO, ZERO),
                "",
                "",
                r["charge"].patient_id,
                r["charge"].organization_id,
            )
            for r in rows
        ]
        log_rows(request, labels, "export aging lines")
        out = [
            (
                r["charge"].patient.name,
                r["charge"].code,
                r["line"].service_date.isoformat(),
                r["payer"],
                r["claim"].number if r["claim"] else "",
                r["line"].insurance,
                r["line"].patient,
            )
            for r in rows
        ]
        return csv_response(
            f"aging-lines-{f.day}",
            ("Patient", "Code", "Service date", "Payer", "Claim", "Insurance", "Patient balance"),
            out,
        )
    last = found[PAGE - 1] if len(found) > PAGE else None
    return render(
        request,
        "ar/aging_lines.html",
        {
            "frame": f,
            "rows": rows,
            "bucket": bucket,
            "basis": dict(ages.BASES)[basis],
            "payer_words": ", ".join(names[p] for p in f.payers if p in names),
            "next_url": (
                f.url(
                    "aging_lines",
                    basis=basis,
                    bucket=bucket,
                    after=f"{last.insurance + last.patient}:{last.charge_id}",
                )
                if last
                else ""
            ),
            "first_url": f.url("aging_lines", basis=basis, bucket=bucket) if after else "",
            "export_url": f.url("aging_lines", basis=basis, bucket=bucket, export="csv"),
            "crumbs": [parts.Crumb("Aging", f.url("aging", basis=basis))],
        },
    )


# --- the lag from order to zero -------------------------------------------------------------------


def _asked(f: Frame) -> lag_of.Asked:
    modality = f.query.get("modality", "")[:6]
    reader = f.query.get("reader", "")
    return lag_of.Asked(
        f.organizations,
        f.day,
        f.sites,
        f.payers,
        modality if modality.isalnum() else "",
        int(reader) if reader.isdecimal() and len(reader) < 19 else 0,
    )


def _narrowed(f: Frame) -> dict[str, str]:
    return {k: f.query.get(k, "") for k in ("modality", "reader")}


@require_safe
@may("kpi.view")
def lag(request: HttpRequest) -> HttpResponseBase:
    """Days of each step from order to zero balance, exams of the last 90 days: median, 90th
    percentile, and how many have not taken it; by site, modality, payer and reader.
    """
    f = frame(request)
    asked = _asked(f)
    *steps, whole = lag_of.spans(asked)
    more = _narrowed(f)
    if request.GET.get("export") == "csv":
        return csv_response(
            f"lag-{f.day}",
            ("Step", "Median days", "90th percentile", "Exams", "Not yet"),
            [(s.step.label, s.median, s.ninety, s.taken, s.missing) for s in (*steps, whole)],
        )
    shown = [
        (s, f.url("lag_step", s.step.code, **more), f.url("lag_step", s.step.code, left=1, **more))
        for s in (*steps, whole)
    ]
    chart = None
    if any(s.taken for s in steps):
        chart = charts.bars(
            "Median days of each step",
            [s.step.label for s in reversed(steps)],
            [s.median for s in reversed(steps)],
            words=lambda v: "" if v is None else f"{v} d",
            urls=[url for _, url, _ in reversed(shown[:-1])],
            name="Median",
            of="Step",
            horizontal=True,
            note="Medians are not added up: the whole has its own.",
            height=60 + 34 * len(steps),
        )
    readers = Reader.objects.filter(organization_id__in=f.organizations).select_related("provider")
    return render(
        request,
        "ar/lag.html",
        {
            "frame": f,
            "chart": chart,
            "steps": shown,
            "modalities": Exam.objects.filter(organization_id__in=f.organizations)
            .order_by("modality")
            .values_list("modality", flat=True)
            .distinct(),
            "readers": [
                (r.pk, f"{r.provider.last_name}, {r.provider.first_name}".strip(", "))
                for r in readers.order_by("provider__last_name", "pk")
            ],
            "asked": asked,
            "export_url": f.url("lag", export="csv", **more),
            "crumbs": [parts.Crumb("Performance", f.url("kpis"))],
        },
    )


@require_safe
@may("kpi.view")
def lag_step(request: HttpRequest, code: str) -> HttpResponseBase:
    """The exams behind one bar: the slowest first, or those that have not taken the step."""
    step = lag_of.BY_CODE.get(code)
    if step is None:
        raise Http404
    f = frame(request)
    left = request.GET.get("left") == "1"
    found = lag_of.rows(_asked(f), step, missing=left)
    days = {r.exam_id: r.days for r in found}
    rows = labelled([engine.Row("exam", r.exam_id, None, r.payer_id, ZERO, ZERO) for r in found])
    log_rows(request, rows, f"lag {code}")
    more = _narrowed(f)
    return render(
        request,
        "ar/lag_step.html",
        {
            "frame": f,
            "step": step,
            "left": left,
            "rows": [(r, days[r.row.id]) for r in rows],
            "tabs": [
                ("Taken", f.url("lag_step", code, **more), not left),
                ("Not yet", f.url("lag_step", code, left=1, **more), left),
            ],
            "crumbs": [parts.Crumb("Days from order to zero", f.url("lag", **more))],
        },
    )


__all__ = ["aging", "aging_lines", "kpi", "kpis", "lag", "lag_step"]
