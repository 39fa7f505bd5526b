"""A claim as its pages show it: blockers, lines with money and edits, evidence, the timeline,
versions, edits with their examples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Q
from django.urls import reverse

from charges import present as charge_present
from charges.models import Exam, Report
from claims.edits import Edit, catalogue, examples
from claims.models import (
    Acknowledgement,
    Claim,
    ClaimLine,
    ClaimStatus,
    ScrubFinding,
    SubmissionClaim,
)
from claims.services.enrolling import ENROLLMENT_EDITS
from claims.services.scrubbing import may_override
from claims.services.submitting import differences
from intake.models import Coverage
from rcm.accounts.actor import Actor
from rcm.audit.models import Event
from rcm.exchange.models import Interchange
from rcm.ledger.services import Account, balance_by_account
from rcm.web import format as fmt
from rcm.web import parts
from rcm.web.rulebook import Mention

S = ClaimStatus
TONES: Mapping[str, str] = {
    S.DRAFT: "",
    S.BLOCKED: "bad",
    S.READY: "info",
    S.SUBMITTED: "info",
    S.ACKNOWLEDGED: "info",
    S.ACCEPTED: "info",
    S.REJECTED: "bad",
    S.DENIED: "bad",
    S.PARTIAL: "warn",
    S.PAID: "good",
    S.CLOSED: "good",
    S.REPLACED: "",
    S.VOID: "",
}
OWNERS = {
    "front_desk": "Front desk",
    "authorization": "Authorization",
    "coder": "Coder",
    "biller": "Biller",
    "manager": "Manager",
    "compliance": "Compliance",
    "credentialing": "Credentialing",
    "admin": "Administrator",
}
CHIPS = (
    ("all", "Everything"),
    ("status", "Status"),
    ("answers", "Payer and files"),
    ("money", "Money"),
    ("people", "People"),
)
ADJUSTED = (Account.CONTRACTUAL, Account.SEQUESTRATION)
WRITTEN_OFF = (
    Account.DENIAL_WRITEOFF,
    Account.BAD_DEBT,
    Account.SMALL_BALANCE,
    Account.CHARITY,
    Account.OTHER_ADJUSTMENT,
)


# --- earlier payers -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decided:
    """What one earlier payer decided on a line, or on the whole claim."""

    payer: str
    paid_on: date
    line: str
    paid: Decimal
    reasons: str


@dataclass(frozen=True, slots=True)
class Coordination:
    """What earlier payers have decided, and what the payer of this claim is expected to pay: to
    Medicare as the lowest of three amounts, to another what was left to the patient.
    """

    decided: list[Decided]
    three: list[dict[str, Any]]
    left: list[dict[str, Any]]
    paid: Decimal


def coordination(claim: Claim) -> Coordination | None:
    """None where no payer has decided before."""
    told = claim.extra.get("cob", ())
    if not told:
        return None
    rows = Coverage.objects.filter(pk__in=[one["coverage_id"] for one in told])
    names = dict(rows.values_list("pk", "payer__name"))
    decided = []
    for one in told:
        lines = [*sorted(one["lines"].items(), key=lambda item: int(item[0]))]
        if one["adjustments"] or not lines:
            lines.append(("", one))
        for number, line in lines:
            reasons = ", ".join(f"{g}-{r} {fmt.money(a)}" for g, r, a in line["adjustments"])
            name = names.get(one["coverage_id"], one["payer"])
            day = date.fromisoformat(one["paid_on"])
            decided.append(Decided(name, day, number, Decimal(line["paid"]), reasons))
    parts = [
        {k: v if k == "line" else Decimal(v) for k, v in part.items()}
        for part in claim.extra.get("expected_parts", ())
    ]
    return Coordination(
        decided,
        [p for p in parts if "alone" in p],
        [p for p in parts if "left" in p],
        sum((Decimal(str(one["paid"])) for one in told), Decimal(0)),
    )


# --- what stops it --------------------------------------------------------------------------------


def _denial(claim: Claim, actor: Actor) -> list[parts.Blocker]:
    """What the payer said when it denied the claim, before anything of ours."""
    last = (
        Event.objects.filter(claim_id=claim.pk, new_status=S.DENIED, verb="claim.denied")
        .order_by("-id")
        .first()
    )
    if last is None:
        return []
    url = (
        reverse("claims:correct", args=[claim.public_id]) if actor.can("claim.edit", claim) else ""
    )
    return [
        parts.Blocker(
            last.sentence,
            "Correct and replace it, or appeal.",
            url,
            "Denied",
            f"{claim.payer.name}, decided {fmt.mdy(claim.decided_on)}",
        )
    ]


def blockers(claim: Claim, findings: Sequence[ScrubFinding], actor: Actor) -> list[parts.Blocker]:
    """What clearinghouse or payer rejected, then findings that stop the claim, then those that only
    warn.
    """
    found = []
    if claim.status == S.REJECTED:
        last = claim.acknowledgements.filter(accepted=False).order_by("-id").first()
        if last is not None:
            url = (
                reverse("claims:edit", args=[claim.public_id])
                if actor.can("claim.edit", claim)
                else ""
            )
            fix = (
                f"Correct {last.field.replace('_', ' ')}, then scrub and submit again."
                if last.field
                else "Correct it, then scrub and submit again."
            )
            found.append(
                parts.Blocker(
                    last.sentence,
                    fix,
                    url,
                    f"{last.category} {last.status_code}".strip(),
                    f"{last.kind}: not a filed claim, the filing clock runs",
                )
            )
    if claim.status == S.DENIED:
        found += _denial(claim, actor)
    for row in findings:
        if row.overridden_by:
            continue
        where = f" (line {row.line.number})" if row.line else ""
        found.append(
            parts.Blocker(
                f"{row.sentence}{where}",
                f"{row.fix} {OWNERS.get(row.owner, row.owner)}." if row.owner else row.fix,
                fix_url(claim, row, actor),
                row.edit,
                rule_of(row),
                tone="bad" if row.severity == "B" else "warn",
            )
        )
    return found


def rule_of(row: ScrubFinding) -> str:
    """The rule behind a finding: the edit's of today, for old rows may know none."""
    edit = catalogue().get(row.edit)
    return edit.rule if edit else row.rule or row.source


def edits_of_rule(slug: str) -> list[Mention]:
    """The edits that rest on a rule, for its page."""
    return [
        Mention(
            f"{e.edit_id} {e.sentence}",
            reverse("claims:edit_page", args=[e.edit_id]),
            permission="edit.view",
        )
        for e in catalogue().values()
        if e.rule == slug
    ]


def fix_url(claim: Claim, finding: ScrubFinding, actor: Actor) -> str:
    """The page where the cause of a finding is put right."""
    if finding.edit in ENROLLMENT_EDITS:
        return _enrollment_url(claim, finding, actor)
    name = finding.field.split(".")[-1]
    chart = reverse("intake:patient", args=[claim.patient.public_id])
    if finding.owner == "front_desk" or name.startswith(
        ("member", "subscriber", "patient", "eligibility", "coverage")
    ):
        return chart if actor.can("patient.view", claim) else ""
    if (
        name
        in (
            "report_status",
            "report_signed_on",
            "performed_code",
            "contrast_given",
            "auth_verdict",
            "auth_requirement",
        )
        and finding.line
    ):
        return reverse("charges:exam", args=[finding.line.charge.exam.public_id])
    if claim.status in (S.DRAFT, S.BLOCKED, S.READY, S.REJECTED) and actor.can("claim.edit", claim):
        return reverse("claims:edit", args=[claim.public_id])
    return ""


def _enrollment_url(claim: Claim, finding: ScrubFinding, actor: Actor) -> str:
    """The matrix with the provider and the payer of a claim that waits for an enrollment."""
    if not actor.can("rules.view", claim):
        return ""
    own = finding.edit == ENROLLMENT_EDITS[0]
    asked = {
        "organization": claim.organization.public_id,
        "who": claim.organization.npi if own else claim.rendering_npi,
        "payer": claim.payer.code,
        "on": claim.service_date.isoformat(),
    }
    return f"{reverse('network:matrix')}?{urlencode(asked)}"


# --- lines ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class LineView:
    """One line with its money and the edits that fired on it."""

    line: ClaimLine
    paid: Decimal | None = None
    adjusted: Decimal | None = None
    balance: Decimal = Decimal("0.00")
    findings: list[ScrubFinding] = field(default_factory=list)

    @property
    def allowed(self) -> Decimal | None:
        """Charge less adjustments, once the payer has decided."""
        return (
            None
            if self.paid is None and self.adjusted is None
            else self.line.amount - (self.adjusted or Decimal("0.00"))
        )

    @property
    def pointed(self) -> str:
        return " ".join("ABCDEFGHIJKL"[p - 1] for p in self.line.pointers if 1 <= p <= 12)


def line_views(lines: Sequence[ClaimLine], findings: Sequence[ScrubFinding]) -> list[LineView]:
    """The lines with what was paid and adjusted and what is open by the ledger. One query.

    Cash is posted for the claim, so what was paid for a line is what its receivable lost otherwise
    than by adjustments.
    """
    money = balance_by_account("charge_id", [line.charge_id for line in lines])
    by_line: dict[int, list[ScrubFinding]] = defaultdict(list)
    for row in findings:
        if row.line_id:
            by_line[row.line_id].append(row)
    views = []
    zero = Decimal("0.00")
    for line in lines:
        own = {
            account: amount
            for (charge, account), amount in money.items()
            if charge == line.charge_id
        }
        adjusted = sum((own.get(a, zero) for a in ADJUSTED), zero)
        gone = adjusted + sum((own.get(a, zero) for a in WRITTEN_OFF), zero)
        balance = own.get(Account.AR_INSURANCE, zero) + own.get(Account.AR_PATIENT, zero)
        paid = -own.get(Account.REVENUE, zero) - gone - balance
        views.append(
            LineView(
                line,
                paid or (zero if adjusted else None),
                adjusted or None,
                balance,
                by_line[line.pk],
            )
        )
    return views


def totals(views: Sequence[LineView]) -> dict[str, Any]:
    return {
        "amount": sum((v.line.amount for v in views), Decimal("0.00")),
        "paid": sum((v.paid or Decimal("0.00") for v in views), Decimal("0.00")),
        "adjusted": sum((v.adjusted or Decimal("0.00") for v in views), Decimal("0.00")),
        "balance": sum((v.balance for v in views), Decimal("0.00")),
    }


# --- beside it ------------------------------------------------------------------------------------


def exams_of(lines: Iterable[ClaimLine]) -> list[Exam]:
    return list({line.charge.exam_id: line.charge.exam for line in lines}.values())


def evidence(
    exams: Sequence[Exam], lines: Sequence[ClaimLine]
) -> list[tuple[Exam, list[parts.Evidence]]]:
    """For each exam: ordered, authorized, performed, and what this claim bills of it."""
    out = []
    for exam in exams:
        rows = [
            r for r in charge_present.evidence(exam) if r.label != charge_present.LABELS["claim"]
        ]
        own = [line for line in lines if line.charge.exam_id == exam.pk]
        codes = ", ".join(" ".join([line.code, *line.modifiers]) for line in own)
        off = bool(exam.code) and all(line.code != exam.code for line in own)
        rows.append(parts.Evidence("On this claim", codes, differs=off))
        out.append((exam, rows))
    return out


def last_reports(exams: Sequence[Exam]) -> dict[int, Report]:
    rows = (
        Report.objects.filter(exam__in=exams)
        .order_by("exam_id", "-version")
        .distinct("exam_id")
        .defer("sections", "findings")
    )
    return {r.exam_id: r for r in rows}


def _kind(event: Event) -> str:
    if event.remittance_id or event.verb.startswith(("remittance", "payment", "ledger", "denial")):
        return "money"
    if event.interchange_id or event.verb in (
        "claim.answered",
        "claim.status_asked",
        "claim.status_answered",
    ):
        return "answers"
    if event.actor_kind == "person" or event.verb.startswith("work."):
        return "people"
    return "status"


def timeline(
    claim: Claim, actor: Actor, show: str = "all", *, limit: int = 120
) -> list[parts.Event]:
    """Everything that happened on this claim, human and machine, newest first; `show` is one of the
    chips. Two queries.
    """
    rows = list(
        Event.objects.filter(organization_id=claim.organization_id, claim_id=claim.pk).order_by(
            "-at", "-id"
        )[:limit]
    )
    if show != "all":
        rows = [
            e
            for e in rows
            if _kind(e) == show
            or (show == "status" and e.new_status and e.old_status != e.new_status)
        ]
    raw: dict[int, str] = {}
    if actor.can("exchange.view", claim):
        ids = {e.interchange_id for e in rows if e.interchange_id}
        raw = {
            pk: reverse("exchange:interchange", args=[p])
            for pk, p in Interchange.objects.filter(pk__in=ids).values_list("id", "public_id")
        }
    seen: set[tuple[Any, ...]] = set()
    out = []
    for e in rows:
        key = (e.at, e.verb, e.sentence)
        if key in seen:  # one step told for each exam of the claim
            continue
        seen.add(key)
        tone = (
            "bad"
            if e.new_status in (S.REJECTED, S.DENIED, S.BLOCKED)
            else "good"
            if e.new_status in (S.PAID, S.ACCEPTED)
            else ""
        )
        out.append(
            parts.Event(
                e.at,
                e.sentence,
                e.who,
                kind=_kind(e),
                tone=tone,
                machine=e.by_machine,
                detail="" if e.reason in e.sentence else e.reason,
                url=raw.get(e.interchange_id or 0, ""),
            )
        )
    return out


def answers(claim: Claim, *, limit: int = 20) -> list[Acknowledgement]:
    """What clearinghouse and payer said of the claim, and of the files it travelled in, newest
    first.
    """
    files = SubmissionClaim.objects.filter(claim=claim).values("submission")
    rows = Acknowledgement.objects.filter(Q(claim=claim) | Q(claim=None, submission__in=files))
    return list(
        rows.select_related("interchange").defer("interchange__content").order_by("-id")[:limit]
    )


def versions(claim: Claim) -> list[SubmissionClaim]:
    """What was sent, oldest first."""
    return list(
        SubmissionClaim.objects.filter(claim=claim).select_related("submission").order_by("id")
    )


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[parts.Change]:
    return [
        parts.Change(d.label, d.before, d.after) for d in differences(dict(before), dict(after))
    ]


# --- the catalogue of edits -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EditView:
    """An edit with how it did: claims it fired on, how many were put right before they left, how
    many a person accepted.
    """

    edit: Edit
    hits: int = 0
    corrected: int = 0
    accepted: int = 0
    open: int = 0

    @property
    def prevention(self) -> Decimal | None:
        """Share of its hits that were put right before the claim left; None while nothing is
        decided.
        """
        decided = self.hits - self.open
        return None if decided <= 0 else Decimal(self.corrected) / decided

    @property
    def severity(self) -> tuple[str, str]:
        return ("Blocks", "bad") if self.edit.severity == "B" else ("Warns", "warn")

    @property
    def owner(self) -> str:
        return OWNERS.get(str(self.edit.owner), str(self.edit.owner))

    @property
    def overridable(self) -> bool:
        return may_override(self.edit.edit_id)

    @property
    def example(self) -> list[parts.Change]:
        return example_of(self.edit.edit_id)


def edit_views(actor: Actor, text: str = "") -> list[EditView]:
    """The whole catalogue in its order, with hits and prevention. One query."""
    counted = (
        ScrubFinding.objects.visible_to(actor)
        .values("edit")
        .annotate(
            hits=Count("claim_id", distinct=True),
            corrected=Count(
                "claim_id", distinct=True, filter=Q(cleared_at__isnull=False, overridden_by="")
            ),
            accepted=Count("claim_id", distinct=True, filter=~Q(overridden_by="")),
            open=Count(
                "claim_id", distinct=True, filter=Q(cleared_at__isnull=True, overridden_by="")
            ),
        )
        .order_by()
    )
    found = {row["edit"]: row for row in counted}
    wanted = text.casefold().split()
    views = []
    for item in catalogue().values():
        words = (
            f"{item.edit_id} {item.family} {item.sentence} {item.fix} {item.rule} {item.source}"
            f" {' '.join(item.carc)}".casefold()
        )
        if all(w in words for w in wanted):
            row = found.get(item.edit_id)
            counts = (
                (row["hits"], row["corrected"], row["accepted"], row["open"])
                if row
                else (0, 0, 0, 0)
            )
            views.append(EditView(item, *counts))
    return views


@cache
def example_of(edit_id: str) -> list[parts.Change]:
    """The edit's own example, as the fields in which the claim it stops differs from a clean one:
    the nearest of the clean claims.
    """
    item = catalogue()[edit_id]
    stopped = item.example.fails()
    told: list[list[parts.Change]] = []
    for clean in (
        item.example.passes,
        examples.claim,
        examples.medicare,
        examples.mammogram,
        examples.secondary,
    ):
        found: list[parts.Change] = []
        _differ(clean(), stopped, "", found)
        if found:
            told.append(found)
    return min(told, key=len, default=[])


def _differ(one: Any, two: Any, name: str, found: list[parts.Change]) -> None:
    if one == two:
        return
    if is_dataclass(one) and is_dataclass(two) and type(one) is type(two):
        for f in fields(one):
            label = f"{name} {_words(f.name)}".strip()
            _differ(getattr(one, f.name), getattr(two, f.name), label, found)
    elif (
        isinstance(one, tuple)
        and isinstance(two, tuple)
        and any(is_dataclass(x) for x in (*one, *two))
    ):
        for n in range(max(len(one), len(two))):
            a, b = one[n] if n < len(one) else None, two[n] if n < len(two) else None
            label = f"{name.removesuffix('s')} {n + 1}"
            if a is None or b is None:
                found.append(parts.Change(label, _short(a), _short(b)))
            else:
                _differ(a, b, label, found)
    else:
        found.append(parts.Change(name, _short(one), _short(two)))


def _words(name: str) -> str:
    return " ".join(
        w.upper() if w in ("npi", "pos", "icn", "zip", "id", "ndc", "tin") else w
        for w in name.split("_")
    )


def _short(value: Any) -> str:
    if value is None or value == "" or value == ():
        return "none"
    if is_dataclass(value):
        return " ".join(
            [getattr(value, "code", type(value).__name__), *getattr(value, "modifiers", ())]
        )
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value)
