"""Facts for the rule that keeps a charge from its patient, for many charges at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import connection
from django.db.models import Q, Value

from claims.models import ClaimLine, ClaimStatus
from intake.models import CheckStatus, Coverage, CoverageStatus, EligibilityCheck
from rcm.accounts.clock import office_day
from rcm.reference.models import PayerKind
from remittance import patient_rule as rule
from remittance import tables
from remittance.models import ClaimPayment, Denial, PaymentState, ServicePayment
from remittance.plan import REVERSAL, forwarded

# CLP02 of an answer as second or third payer
AS_RANK = {"2": 2, "20": 2, "3": 3, "21": 3}
ANSWERED = frozenset(
    {ClaimStatus.DENIED, ClaimStatus.PARTIAL, ClaimStatus.PAID, ClaimStatus.CLOSED}
)
GONE = (ClaimStatus.VOID, ClaimStatus.REPLACED)
UNBILLED = frozenset({ClaimStatus.DRAFT, ClaimStatus.VOID})
DUPLICATE = "duplicate"


@dataclass(slots=True)
class _Claims:
    """The claims that carried the charges asked for."""

    lines: dict[int, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    by_claim: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    answered: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    forwarded: set[int] = field(default_factory=set)
    forbidding: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    def standing(self, charge_id: int) -> Mapping[str, Any] | None:
        """The claim that stands for a charge now: the newest of the highest rank."""
        live = [row for row in self.lines[charge_id] if row["claim__status"] not in GONE]
        return max(live, key=lambda row: (row["claim__rank"], row["claim_id"]), default=None)

    def without_notice(self, charge_id: int) -> bool:
        """Whether a claim that was not taken back told the payer that no notice was signed."""
        return any(
            rule.NO_NOTICE in row["modifiers"]
            for row in self.lines[charge_id]
            if row["claim__status"] not in GONE
        )


def patient_facts(charge_ids: Iterable[int]) -> dict[int, rule.ChargeFacts]:
    """What the rule asks about each charge. A constant number of queries."""
    ids = sorted(set(charge_ids))
    claims = _claims(ids)
    denials = _denials(ids, claims)
    remarks, reasons = _payers_words(ids, claims)
    others = _others_open(ids, claims)
    further = _further(ids, claims)
    in_plan = _in_plan(ids, claims, denials)
    return {
        pk: rule.ChargeFacts(
            denials=tuple(
                rule.Denied(d.category, d.group, d.reason, d.status) for d in denials[pk]
            ),
            remarks=frozenset(remarks[pk]),
            reasons=frozenset(reasons[pk]),
            other_lines_open=pk in others,
            further=further.get(pk),
            in_plan=pk in in_plan,
            no_notice=claims.without_notice(pk),
            injured_worker=any(
                row["claim__payer__kind"] == PayerKind.WORKERS_COMP
                for row in (claims.standing(pk),)
                if row is not None
            ),
        )
        for pk in ids
    }


def patient_verdicts(charge_ids: Iterable[int]) -> dict[int, rule.Verdict]:
    """Charges that may not be billed to their patient now, each with the reason."""
    found = {pk: rule.verdict(facts) for pk, facts in patient_facts(charge_ids).items()}
    return {pk: said for pk, said in found.items() if said is not None}


def _claims(ids: list[int]) -> _Claims:
    found = _Claims()
    rows = ClaimLine.objects.filter(charge_id__in=ids).values(
        "id",
        "charge_id",
        "claim_id",
        "claim__rank",
        "claim__coverage__rank",
        "claim__payer__kind",
        "claim__status",
        "claim__coverage_id",
        "claim__patient_id",
        "claim__service_date",
        "modifiers",
    )
    for row in rows:
        found.lines[row["charge_id"]].append(row)
        found.by_claim[row["claim_id"]].add(row["charge_id"])
    forbid = [code for code, said in tables.treatments().items() if said == "never_patient"]
    # what was reversed is not POSTED, and its reversal answers nothing
    standing = ClaimPayment.objects.exclude(status_code=REVERSAL)
    payments = standing.filter(
        claim_id__in=list(found.by_claim), state=PaymentState.POSTED
    ).annotate(
        forbidding=ArrayAgg(
            "adjustments__reason",
            filter=Q(adjustments__reason__in=forbid, adjustments__service__isnull=True),
            default=Value([]),
        )
    )
    for claim_id, code, said, rank, forbidding in payments.values_list(
        "claim_id", "status_code", "remarks", "claim__rank", "forbidding"
    ):
        found.forbidding[claim_id].update(forbidding)
        found.answered[claim_id].add(AS_RANK.get(code, rank))
        if forwarded(code, said):
            found.forwarded.add(claim_id)
    return found


def _denials(ids: list[int], claims: _Claims) -> dict[int, list[Denial]]:
    """Denials of the charge's own lines, and of whole claims that carry it."""
    by_line = {row["id"]: pk for pk in ids for row in claims.lines[pk]}
    found: dict[int, list[Denial]] = defaultdict(list)
    rows = Denial.objects.filter(
        Q(line_id__in=by_line) | Q(line__isnull=True, claim_id__in=list(claims.by_claim))
    ).order_by("id")
    for denial in rows:
        whole = claims.by_claim.get(denial.claim_id, set())
        for pk in {by_line[denial.line_id]} if denial.line_id else whole:
            found[pk].append(denial)
    return _without_answered_repeats(found)


def _without_answered_repeats(found: dict[int, list[Denial]]) -> dict[int, list[Denial]]:
    """A second claim that was denied as a duplicate says nothing about what the first one left to
    the patient.
    """
    repeated = [pk for pk, rows in found.items() if any(d.category == DUPLICATE for d in rows)]
    if not repeated:
        return found
    paid: dict[int, set[int]] = defaultdict(set)
    for pk, payment_id in ServicePayment.objects.filter(
        line__charge_id__in=repeated, payment__state=PaymentState.POSTED, paid__gt=0
    ).values_list("line__charge_id", "payment_id"):
        paid[pk].add(payment_id)
    for pk in repeated:
        found[pk] = [
            d for d in found[pk] if d.category != DUPLICATE or not paid[pk] - {d.payment_id}
        ]
    return found


def _payers_words(
    ids: list[int], claims: _Claims
) -> tuple[dict[int, set[str]], dict[int, set[str]]]:
    """Remark codes, and reason codes that forbid the patient's bill, of what was posted."""
    remarks: dict[int, set[str]] = defaultdict(set)
    reasons: dict[int, set[str]] = defaultdict(set)
    forbid = [code for code, said in tables.treatments().items() if said == "never_patient"]
    standing = ServicePayment.objects.exclude(payment__status_code=REVERSAL)
    services = standing.filter(
        line__charge_id__in=ids, payment__state=PaymentState.POSTED
    ).annotate(
        forbidding=ArrayAgg(
            "adjustments__reason", filter=Q(adjustments__reason__in=forbid), default=Value([])
        )
    )
    for pk, own, whole, codes in services.values_list(
        "line__charge_id", "remarks", "payment__remarks", "forbidding"
    ):
        remarks[pk].update(own, whole)
        reasons[pk].update(codes)
    for claim_id, forbidding in claims.forbidding.items():
        for charge in claims.by_claim.get(claim_id, set()):
            reasons[charge].update(forbidding)
    return remarks, reasons


OPEN_LINES_SQL = """
SELECT o.claim_id, o.charge_id
  FROM claims_claimline o
  JOIN ledger_balance b ON b.charge_id = o.charge_id AND b.insurance > 0
 WHERE o.claim_id = ANY(%(claims)s)
   AND (NOT EXISTS (SELECT 1 FROM claims_claimline l
                      JOIN remittance_servicepayment s ON s.line_id = l.id
                      JOIN remittance_claimpayment p ON p.id = s.payment_id
                     WHERE l.charge_id = o.charge_id AND p.state = 'posted')
        OR EXISTS (SELECT 1 FROM claims_claimline l
                     JOIN remittance_denial d ON d.line_id = l.id
                    WHERE l.charge_id = o.charge_id AND d.status = ANY(%(undecided)s)))
"""


def _others_open(ids: list[int], claims: _Claims) -> set[int]:
    """Charges whose claim carries another line that is unanswered or whose denial is undecided."""
    standing = {pk: row["claim_id"] for pk in ids if (row := claims.standing(pk)) is not None}
    opened: dict[int, set[int]] = defaultdict(set)
    with connection.cursor() as cursor:
        cursor.execute(
            OPEN_LINES_SQL,
            {"claims": sorted(set(standing.values())), "undecided": sorted(rule.UNDECIDED)},
        )
        for claim_id, charge_id in cursor.fetchall():
            opened[claim_id].add(charge_id)
    return {pk for pk, claim_id in standing.items() if opened[claim_id] - {pk}}


def _further(ids: list[int], claims: _Claims) -> dict[int, rule.Further]:
    """The next coverage in force on the day of the exam that has not answered for a charge."""
    standing = {pk: row for pk in ids if (row := claims.standing(pk)) is not None}
    coverages: dict[int, list[Coverage]] = defaultdict(list)
    rows = (
        Coverage.objects.filter(
            patient_id__in={row["claim__patient_id"] for row in standing.values()},
            active=True,
            rank__gte=2,
        )
        .exclude(payer__kind=PayerKind.SELF_PAY)
        .exclude(status=CoverageStatus.INACTIVE)
        .select_related("payer")
        .order_by("rank")
    )
    for coverage in rows:
        coverages[coverage.patient_id].append(coverage)
    found: dict[int, rule.Further] = {}
    for pk, row in standing.items():
        if not row["claim__coverage__rank"]:
            continue
        day = row["claim__service_date"]
        for coverage in coverages[row["claim__patient_id"]]:
            if _in_force(coverage, day) and not _has_answered(coverage, pk, claims):
                found[pk] = rule.Further(
                    coverage.payer.name, billed=_was_billed(coverage, pk, claims)
                )
                break
    return found


def _in_force(coverage: Coverage, day: date) -> bool:
    started = coverage.starts_on is None or coverage.starts_on <= day
    return started and (coverage.ends_on is None or day <= coverage.ends_on)


def _same(coverage: Coverage, row: Mapping[str, Any]) -> bool:
    """Whether a claim went to this coverage."""
    return bool(row["claim__coverage_id"] == coverage.pk or row["claim__rank"] == coverage.rank)


def _has_answered(coverage: Coverage, charge_id: int, claims: _Claims) -> bool:
    rows = claims.lines[charge_id]
    ranks = {rank for row in rows for rank in claims.answered.get(row["claim_id"], ())}
    return coverage.rank in ranks or any(
        _same(coverage, row) and row["claim__status"] in ANSWERED for row in rows
    )


def _was_billed(coverage: Coverage, charge_id: int, claims: _Claims) -> bool:
    rows = claims.lines[charge_id]
    return any(row["claim_id"] in claims.forwarded for row in rows) or any(
        _same(coverage, row) and row["claim__status"] not in UNBILLED for row in rows
    )


def _in_plan(ids: list[int], claims: _Claims, denials: Mapping[int, list[Denial]]) -> set[int]:
    """Charges denied for coverage whose payer has since said that the day was covered."""
    since: dict[int, date] = {}
    for pk in ids:
        days = [
            d.denied_on
            for d in denials[pk]
            if d.category == rule.ELIGIBILITY and d.status not in rule.WON
        ]
        if days:
            since[pk] = max(days)
    asked = {
        pk: (row["claim__coverage_id"], row["claim__service_date"])
        for pk in since
        if (row := claims.standing(pk)) is not None
    }
    if not asked:
        return set()
    checks = EligibilityCheck.objects.filter(
        coverage_id__in={coverage for coverage, _ in asked.values()},
        answered_at__date__gte=min(since.values()) - timedelta(days=1),
    )
    latest = {(c.coverage_id, c.service_date): c for c in checks.order_by("answered_at", "id")}
    return {
        pk
        for pk, key in asked.items()
        if (check := latest.get(key)) is not None
        and check.status == CheckStatus.ACTIVE
        and check.answered_at is not None
        and office_day(check.answered_at) >= since[pk]
    }
