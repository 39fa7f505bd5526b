"""The four-way match: ordered, authorized, performed, billed (rules `authorization-on-record` and
`authorization-family`).

The rules are tried in the order of `RULES` and the first failure is the verdict; the later ones are
kept, so that one call to the payer can settle them all. The authorized line that carries an exam
furthest is the one that is judged, so an extra line, more units or wider dates can never lose a
match. Whether the exam may differ from its *order* is a question of its own (`ordering`), answered
beside the match.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from authorizations.clocks import hard_stop
from authorizations.facts import (
    PASSING,
    AuthorizedFact,
    AuthorizedService,
    AuthStatus,
    BilledFact,
    Cell,
    Deviation,
    Grid,
    GridCell,
    MatchRequest,
    PerformedFact,
    Row,
    SiteMatch,
    Verdict,
)
from authorizations.families import (
    COVERED,
    EMPTY_CROSSWALK,
    Catalog,
    Crosswalk,
    Related,
    Relation,
    relate,
)
from authorizations.ordering import (
    DEFAULT_ORDER_POLICY,
    NO_EVIDENCE,
    ChangeEvidence,
    OrderAnswer,
    OrderPolicy,
    judge_change,
)
from authorizations.requirement import Requirement
from authorizations.windows import PATH_WORDS, Deadline, Events, Path, deadline
from rcm.accounts.clock import SiteClock

OK = "OK"
OK_FAMILY = "OK_FAMILY"
NOT_REQUIRED = "NOT_REQUIRED"
USABLE = frozenset(
    {
        AuthStatus.APPROVED,
        AuthStatus.PARTIALLY_APPROVED,
        AuthStatus.MODIFIED,
        AuthStatus.NOT_REQUIRED,
    }
)
RULES = (
    "authorization-on-record",
    "authorization-granted",
    "authorization-member",
    "authorization-dates",
    "authorization-site",
    "authorization-family",
    "authorization-units",
    "authorization-side",
    "authorization-provider",
    "billed-as-performed",
    "authorization-late",
    "authorization-number-on-claim",
)
"""What is asked of an exam, in the order in which the first failure wins: slugs of the rule
book.
"""
RULE_ORDER = {rule: n for n, rule in enumerate(RULES, start=1)}


class _Kind(NamedTuple):
    """What a failure code always means: verdict, owner role, what to do, the denial to expect if it
    is sent anyway.
    """

    verdict: Verdict
    owner: str
    action: str
    carc: tuple[str, ...] = ()
    rarc: tuple[str, ...] = ()


_REQUEST = "Request the authorization (retroactively if the exam is done), or move the exam."
KINDS: Mapping[str, _Kind] = {
    "REQUIREMENT_UNKNOWN": _Kind(
        Verdict.UNKNOWN,
        "authorization",
        "Ask the payer whether this code needs an authorization and keep the reference.",
        ("197",),
    ),
    "AUTH_MISSING": _Kind(Verdict.MISMATCH, "authorization", _REQUEST, ("197",)),
    "AUTH_DENIED": _Kind(
        Verdict.MISMATCH,
        "authorization",
        "Read the denial reason; ask for a peer-to-peer review or a new request.",
        ("39",),
        ("N41",),
    ),
    "AUTH_PENDING": _Kind(
        Verdict.PENDING,
        "authorization",
        "Get the decision before the exam; escalate at the payer's clock.",
        ("39",),
        ("N41",),
    ),
    "AUTH_WRONG_MEMBER": _Kind(
        Verdict.MISMATCH,
        "front_desk",
        "Compare the card with the authorization; correct the coverage or request it for the right"
        " member.",
        ("197", "31"),
    ),
    "AUTH_EXPIRED": _Kind(
        Verdict.NEEDS_CHANGE, "authorization", "Ask the payer to extend the dates.", ("302",)
    ),
    "AUTH_NOT_YET": _Kind(
        Verdict.NEEDS_CHANGE,
        "authorization",
        "Ask the payer to start the authorization on the exam date.",
        ("302",),
    ),
    "AUTH_WRONG_SITE": _Kind(
        Verdict.NEEDS_CHANGE,
        "authorization",
        "Ask the payer to change the servicing facility.",
        ("296",),
    ),
    "UPDATE_REQUIRED": _Kind(
        Verdict.NEEDS_CHANGE,
        "authorization",
        "Ask the reviewer to change the approved code before billing.",
        ("284",),
        ("N54",),
    ),
    "NEW_AUTH_REQUIRED": _Kind(Verdict.MISMATCH, "authorization", _REQUEST, ("284",), ("N54",)),
    "AUTH_CPT_MISMATCH": _Kind(
        Verdict.UNKNOWN,
        "authorization",
        "Nothing says that the approval covers this code: ask the reviewer.",
        ("284",),
        ("N54",),
    ),
    "AUTH_UNITS_EXCEEDED": _Kind(
        Verdict.NEEDS_CHANGE, "authorization", "Ask the payer for more units.", ("198",)
    ),
    "AUTH_LATERALITY": _Kind(
        Verdict.NEEDS_CHANGE,
        "authorization",
        "Ask the payer to change the side or body part; check the report first.",
        ("284",),
    ),
    "AUTH_WRONG_PROVIDER": _Kind(
        Verdict.NEEDS_CHANGE,
        "authorization",
        "Ask the payer to change the provider on the authorization.",
        ("296",),
    ),
    "AUTH_FACT_UNKNOWN": _Kind(
        Verdict.UNKNOWN,
        "authorization",
        "Complete the record: what is not known cannot be matched.",
    ),
    "CODE_NOT_PERFORMED": _Kind(
        Verdict.MISMATCH, "coder", "Bill the code that was performed and documented."
    ),
    "BILLED_UNITS_DIFFER": _Kind(
        Verdict.MISMATCH, "coder", "Bill the units that were performed and documented."
    ),
    "BILLED_SIDE_DIFFERS": _Kind(
        Verdict.MISMATCH, "coder", "Bill the side that was performed and documented."
    ),
    "BILLED_DATE_DIFFERS": _Kind(
        Verdict.MISMATCH, "coder", "Bill the date on which the exam was performed."
    ),
    "AUTH_LATE": _Kind(
        Verdict.MISMATCH,
        "authorization",
        "Ask the payer for a retroactive review; appeal if it refuses.",
        ("210",),
    ),
    "AUTH_NUMBER_DIFFERS": _Kind(
        Verdict.NEEDS_CHANGE,
        "biller",
        "Put the matched authorization number on the claim.",
        ("197",),
        ("M62",),
    ),
    "EXAM_MISSING": _Kind(
        Verdict.UNKNOWN, "authorization", "Give at least an ordered, performed or billed procedure."
    ),
}
"""Every failure code of the match, with its standing meaning; CARC 15 is retired (rule
`reason-15-retired`) and never expected (rule `authorization-on-record`).
"""

PATHS: Mapping[str, Path] = {
    "UPDATE_REQUIRED": Path.UPDATE,
    "AUTH_EXPIRED": Path.UPDATE,
    "AUTH_NOT_YET": Path.UPDATE,
    "AUTH_WRONG_SITE": Path.UPDATE,
    "AUTH_UNITS_EXCEEDED": Path.UPDATE,
    "AUTH_LATERALITY": Path.UPDATE,
    "AUTH_WRONG_PROVIDER": Path.UPDATE,
    "NEW_AUTH_REQUIRED": Path.NEW,
    "AUTH_CPT_MISMATCH": Path.NEW,
}
"""What is asked of the payer after the exam for each failure; what stands not here needs a
retroactive request.
"""
_UPDATES = frozenset({"update", "extension"})


@dataclass(frozen=True, slots=True)
class MatchContext:
    """What a batch of matches shares. `strict`: a fact blank on both sides holds too, instead of
    going unchecked.
    """

    catalog: Catalog = field(default_factory=dict)
    crosswalk: Crosswalk = EMPTY_CROSSWALK
    calendar: SiteClock = field(default_factory=SiteClock)
    order_policy: OrderPolicy = DEFAULT_ORDER_POLICY
    strict: bool = True


class LineKey(NamedTuple):
    """An authorized line whose units exams of one batch share."""

    payer_id: str
    number: str
    code: str
    laterality: str
    line: str = ""


class _Exam(NamedTuple):
    """The exam being judged: performed, else ordered as planned, else billed."""

    row: Row
    code: str
    units: int
    laterality: str
    body_part: str
    service_date: date | None
    patient_id: str
    payer_id: str
    plan_id: str
    member_id: str
    site_npi: str
    site_tin: str
    ordering_npi: str
    rendering_npi: str
    units_counted: int


@dataclass(frozen=True, slots=True)
class MatchResult:
    """The verdict on one exam. `deviations` are in rule order; the first one gives code, cell,
    owner, action and due.
    """

    request: MatchRequest
    verdict: Verdict
    code: str
    sentence: str
    deviations: tuple[Deviation, ...] = ()
    service: AuthorizedService | None = None
    unchecked: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        return self.verdict in PASSING

    @property
    def first(self) -> Deviation | None:
        return self.deviations[0] if self.deviations else None

    @property
    def grid(self) -> Grid:
        """Four rows side by side, built when a screen asks for it."""
        return evidence_grid(self)


def match_exam(
    request: MatchRequest,
    context: MatchContext,
    *,
    as_of: date,
    taken: Mapping[LineKey, int] | None = None,
) -> MatchResult:
    """Judge one exam. `taken` holds units that other exams of the same batch already took from a
    line.
    """
    exam = _exam(request)
    if exam is None:
        kind = KINDS["EXAM_MISSING"]
        gap = Deviation(
            "authorization-on-record",
            "EXAM_MISSING",
            kind.verdict,
            Cell(Row.PERFORMED, "code"),
            "No procedure was given.",
            kind.action,
            kind.owner,
        )
        return MatchResult(request, gap.verdict, gap.code, gap.sentence, (gap,))
    return _Judge(request, context, exam, as_of, taken or {}).result()


def match_many(
    requests: Iterable[MatchRequest], context: MatchContext, *, as_of: date, consume: bool = False
) -> Iterator[MatchResult]:
    """Judge a stream. With `consume`, each passing exam takes its units, so two exams cannot share
    the last one.
    """
    taken: dict[LineKey, int] = {}
    for request in requests:
        result = match_exam(request, context, as_of=as_of, taken=taken)
        if (
            consume
            and result.passes
            and result.service is not None
            and request.authorized is not None
        ):
            key = line_key(request.authorized, result.service)
            performed = request.performed
            own = performed.units - performed.units_counted if performed else 1
            taken[key] = taken.get(key, 0) + max(own, 0)
        yield result


def judge_order(
    request: MatchRequest, context: MatchContext, evidence: ChangeEvidence = NO_EVIDENCE
) -> OrderAnswer | None:
    """The order's side of the same facts (rule `order-change`); None before the exam was
    performed.
    """
    if request.performed is None:
        return None
    return judge_change(
        request.ordered,
        request.performed,
        context.catalog,
        evidence=evidence,
        policy=context.order_policy,
    )


class _Judge:
    """One pass over `RULES`."""

    __slots__ = (
        "as_of",
        "auth",
        "context",
        "exam",
        "found",
        "policy",
        "request",
        "taken",
        "unchecked",
    )

    def __init__(
        self,
        request: MatchRequest,
        context: MatchContext,
        exam: _Exam,
        as_of: date,
        taken: Mapping[LineKey, int],
    ) -> None:
        self.request, self.context, self.exam, self.as_of, self.taken = (
            request,
            context,
            exam,
            as_of,
            taken,
        )
        self.auth = request.authorized
        self.policy = request.policy
        self.found: list[Deviation] = []
        self.unchecked: list[str] = []

    def result(self) -> MatchResult:
        needed = (
            self.request.requirement.verdict if self.request.requirement else Requirement.UNKNOWN
        )
        service: AuthorizedService | None = None
        related: Related | None = None
        if needed is not Requirement.NOT_REQUIRED:
            if self.auth is None:
                self._missing(needed)
            else:
                service, related = self._authorization(self.auth)
        self._billed()
        self.found.sort(key=lambda deviation: RULE_ORDER[deviation.rule])
        if self.found:
            first = self.found[0]
            return MatchResult(
                self.request,
                first.verdict,
                first.code,
                first.sentence,
                tuple(self.found),
                service,
                tuple(self.unchecked),
            )
        unchecked = tuple(self.unchecked)
        if needed is Requirement.NOT_REQUIRED or (
            self.auth is not None and self.auth.status is AuthStatus.NOT_REQUIRED
        ):
            said = (
                self.request.requirement.sentence
                if self.request.requirement and needed is Requirement.NOT_REQUIRED
                else ""
            )
            said = (
                said
                or f"The payer said that no authorization is needed, reference {self.auth.reference if self.auth else ''}."
            )
            return MatchResult(
                self.request, Verdict.NOT_REQUIRED, NOT_REQUIRED, said, (), service, unchecked
            )
        if related is not None and related.relation is not Relation.SAME:
            sentence = (
                f"Covered: {related.because}. Bill {self.exam.code}, the exam that was performed."
            )
            return MatchResult(
                self.request, Verdict.COVERED_BY_FAMILY, OK_FAMILY, sentence, (), service, unchecked
            )
        return MatchResult(
            self.request,
            Verdict.MATCH,
            OK,
            f"{self.exam.code} is covered as authorized.",
            (),
            service,
            unchecked,
        )

    # --- no record --------------------------------------------------------------------------------

    def _missing(self, needed: Requirement) -> None:
        if needed is Requirement.REQUIRED:
            self._fail(
                "authorization-on-record",
                "AUTH_MISSING",
                "number",
                f"{self.exam.code} needs an authorization and there is none.",
                repair=True,
            )
        else:
            self._fail(
                "authorization-on-record",
                "REQUIREMENT_UNKNOWN",
                "status",
                f"It is not known whether {self.exam.code} needs an authorization.",
                repair=True,
            )

    # --- the record: decision, member, dates, site, provider, time --------------------------------

    def _authorization(
        self, auth: AuthorizedFact
    ) -> tuple[AuthorizedService | None, Related | None]:
        waived = auth.status is AuthStatus.NOT_REQUIRED
        self._status(auth)
        self._member(auth)
        self._dates(auth, waived)
        if not waived:
            self._site(auth)
        service, related, failures = self._best_service(auth, waived)
        self.found += failures
        if not waived:
            self._providers(auth)
            self._timely(auth)
        return service, related

    def _status(self, auth: AuthorizedFact) -> None:
        label = f"Authorization {auth.number}" if auth.number else "The authorization"
        if auth.status in (AuthStatus.REQUESTED, AuthStatus.PENDED):
            self._fail(
                "authorization-granted",
                "AUTH_PENDING",
                "status",
                f"{label} is not decided yet.",
                repair=True,
            )
        elif auth.status is AuthStatus.EXPIRED:
            self._fail(
                "authorization-granted",
                "AUTH_EXPIRED",
                "status",
                f"{label} is marked expired.",
                repair=True,
            )
        elif auth.status is AuthStatus.NOT_REQUIRED and not auth.reference:
            self._fail(
                "authorization-granted",
                "AUTH_FACT_UNKNOWN",
                "number",
                "'Not required' was recorded without a reference: it proves nothing in an appeal.",
                repair=True,
            )
        elif auth.status not in USABLE:
            self._fail(
                "authorization-granted",
                "AUTH_DENIED",
                "status",
                f"{label} is {auth.status.value}.",
                repair=True,
            )

    def _member(self, auth: AuthorizedFact) -> None:
        exam = self.exam
        for name, ours, theirs in (
            ("patient", exam.patient_id, auth.patient_id),
            ("payer", exam.payer_id, auth.payer_id),
            ("member", _squeeze(exam.member_id), _squeeze(auth.member_id)),
        ):
            if self._comparable("authorization-member", name, ours, theirs) and ours != theirs:
                self._fail(
                    "authorization-member",
                    "AUTH_WRONG_MEMBER",
                    name,
                    f"The authorization is for another {name}: {theirs}, the exam has {ours}.",
                    repair=True,
                )
                return

    def _dates(self, auth: AuthorizedFact, waived: bool) -> None:
        day = self.exam.service_date
        if day is None:
            self._unknown(
                "authorization-dates", Cell(self.exam.row, "service_date"), "The exam has no date."
            )
            return
        if auth.effective_from is None or auth.effective_to is None:
            if not waived:
                self._unknown(
                    "authorization-dates",
                    Cell(Row.AUTHORIZATION, "service_date"),
                    "The authorization has no complete date range.",
                )
            return
        if day < auth.effective_from:
            self._fail(
                "authorization-dates",
                "AUTH_NOT_YET",
                "service_date",
                f"The authorization starts {auth.effective_from}, the exam is on {day}.",
                repair=True,
            )
        elif day > auth.effective_to:
            self._fail(
                "authorization-dates",
                "AUTH_EXPIRED",
                "service_date",
                f"The authorization ended {auth.effective_to}, the exam is on {day}.",
                repair=True,
            )

    def _site(self, auth: AuthorizedFact) -> None:
        how = self.policy.site_match
        if how is SiteMatch.NONE:
            return
        ours, theirs = (
            (self.exam.site_npi, auth.site_npi)
            if how is SiteMatch.NPI
            else (self.exam.site_tin, auth.site_tin)
        )
        if self._comparable("authorization-site", "site", ours, theirs) and ours != theirs:
            self._fail(
                "authorization-site",
                "AUTH_WRONG_SITE",
                "site",
                f"Authorized for facility {theirs}, performed at {ours}.",
                repair=True,
            )

    def _providers(self, auth: AuthorizedFact) -> None:
        for name, wanted, ours, theirs in (
            ("ordering", self.policy.match_ordering, self.exam.ordering_npi, auth.ordering_npi),
            ("rendering", self.policy.match_rendering, self.exam.rendering_npi, auth.rendering_npi),
        ):
            if (
                wanted
                and self._comparable("authorization-provider", name, ours, theirs)
                and ours != theirs
            ):
                self._fail(
                    "authorization-provider",
                    "AUTH_WRONG_PROVIDER",
                    name,
                    f"The {name} provider is {ours}, the authorization names {theirs}.",
                    repair=True,
                )

    def _timely(self, auth: AuthorizedFact) -> None:
        day, asked = self.exam.service_date, auth.requested_on
        if day is None:
            return
        if asked is None:
            if self.context.strict:
                self._unknown(
                    "authorization-late",
                    Cell(Row.AUTHORIZATION, "requested"),
                    "The day of the request is not known.",
                )
            else:
                self.unchecked.append("requested")
            return
        if asked <= day:
            return
        path = Path.UPDATE if auth.kind in _UPDATES else Path.RETRO
        limit = self._deadline(path, as_of=asked)
        if limit.due is not None and not limit.over:
            return
        if limit.due is not None:
            sentence = f"Requested {asked}; the payer's {PATH_WORDS[path]} ended {limit.due}."
        else:
            sentence = f"Requested {asked}, after the exam; {limit.words}."
        self._fail("authorization-late", "AUTH_LATE", "requested", sentence, repair=True)

    def _deadline(self, path: Path, *, as_of: date) -> Deadline:
        request = self.request
        events = Events(
            service=self.exam.service_date,
            approval=self.auth.decided_on if self.auth else None,
            report=request.performed.reported_on if request.performed else None,
            denial=request.billed.denied_on if request.billed else None,
        )
        term = self.policy.terms.term(path)
        return deadline(path, term, events, self.context.calendar, as_of=as_of)

    # --- code, units and side: the line that carries the exam furthest ----------------------------

    def _best_service(
        self, auth: AuthorizedFact, waived: bool
    ) -> tuple[AuthorizedService | None, Related | None, list[Deviation]]:
        best: tuple[tuple[int, int], AuthorizedService, Related, list[Deviation]] | None = None
        for service in auth.services:
            related = relate(
                service.code,
                self.exam.code,
                self.context.catalog,
                crosswalk=self.context.crosswalk,
                payer_id=self.exam.payer_id or auth.payer_id,
                plan_id=self.exam.plan_id or auth.plan_id,
                on=self.exam.service_date or self.as_of,
            )
            failures = self._service(auth, service, related, waived)
            reach = min((RULE_ORDER[f.rule] for f in failures), default=99)
            if not service.approved and related.relation is not Relation.SAME:
                reach = 0
            score = (reach, _RELATION_SCORE[related.relation])
            if best is None or score > best[0]:
                best = (score, service, related, failures)
        if best is None:
            gap = self._deviation(
                "authorization-family",
                "AUTH_CPT_MISMATCH",
                Cell(Row.AUTHORIZATION, "code"),
                "The authorization lists no procedure.",
                repair=True,
            )
            return None, None, [gap]
        return best[1], best[2], best[3]

    def _service(
        self, auth: AuthorizedFact, service: AuthorizedService, related: Related, waived: bool
    ) -> list[Deviation]:
        failures: list[Deviation] = []
        if not service.approved:
            failures.append(
                self._deviation(
                    "authorization-granted",
                    "AUTH_DENIED",
                    Cell(Row.AUTHORIZATION, "status"),
                    f"The payer did not approve {service.code}.",
                    repair=True,
                )
            )
        if related.relation not in COVERED:
            failures.append(self._code_failure(service, related))
        if waived:
            return failures
        used = (
            service.units_used
            - self.exam.units_counted
            + self.taken.get(line_key(auth, service), 0)
        )
        if max(used, 0) + self.exam.units > service.units:
            failures.append(
                self._deviation(
                    "authorization-units",
                    "AUTH_UNITS_EXCEEDED",
                    Cell(Row.AUTHORIZATION, "units"),
                    _units_words(service, max(used, 0), self.exam.units),
                    repair=True,
                )
            )
        failures += self._sides(service)
        return failures

    def _code_failure(self, service: AuthorizedService, related: Related) -> Deviation:
        cell = Cell(Row.AUTHORIZATION, "code")
        sentence = f"Authorized {service.code}, exam {self.exam.code}: {related.because}."
        if related.relation in (Relation.HIGHER, Relation.UNRANKED):
            return self._deviation(
                "authorization-family", "UPDATE_REQUIRED", cell, sentence, repair=True
            )
        code = (
            "NEW_AUTH_REQUIRED" if related.relation is Relation.DIFFERENT else "AUTH_CPT_MISMATCH"
        )
        return self._deviation("authorization-family", code, cell, sentence, repair=True)

    def _sides(self, service: AuthorizedService) -> list[Deviation]:
        failures = []
        if service.laterality and service.laterality not in (self.exam.laterality, "50"):
            given = self.exam.laterality or "no side"
            failures.append(
                self._deviation(
                    "authorization-side",
                    "AUTH_LATERALITY",
                    Cell(Row.AUTHORIZATION, "laterality"),
                    f"Authorized side {service.laterality}, exam {given}.",
                    repair=True,
                )
            )
        if service.body_part and self.exam.body_part and service.body_part != self.exam.body_part:
            failures.append(
                self._deviation(
                    "authorization-side",
                    "AUTH_LATERALITY",
                    Cell(Row.AUTHORIZATION, "body_part"),
                    f"Authorized for {service.body_part}, exam of {self.exam.body_part}.",
                    repair=True,
                )
            )
        return failures

    # --- what is billed ---------------------------------------------------------------------------

    def _billed(self) -> None:
        billed, performed = self.request.billed, self.request.performed
        if billed is None:
            return
        if performed is not None:
            self._billed_against(billed, performed)
        number = self.auth.number if self.auth else ""
        if number and billed.auth_number and _squeeze(number) != _squeeze(billed.auth_number):
            self._fail(
                "authorization-number-on-claim",
                "AUTH_NUMBER_DIFFERS",
                "number",
                f"The claim says {billed.auth_number}, the match says {number}.",
                row=Row.CLAIM,
            )

    def _billed_against(self, billed: BilledFact, performed: PerformedFact) -> None:
        if billed.code != performed.code:
            self._fail(
                "billed-as-performed",
                "CODE_NOT_PERFORMED",
                "code",
                f"Billed {billed.code}, performed {performed.code}.",
                row=Row.CLAIM,
            )
            return
        if billed.units != performed.units:
            self._fail(
                "billed-as-performed",
                "BILLED_UNITS_DIFFER",
                "units",
                f"Billed {billed.units} units, performed {performed.units}.",
                row=Row.CLAIM,
            )
        if billed.laterality and performed.laterality and billed.laterality != performed.laterality:
            self._fail(
                "billed-as-performed",
                "BILLED_SIDE_DIFFERS",
                "laterality",
                f"Billed {billed.laterality}, performed {performed.laterality}.",
                row=Row.CLAIM,
            )
        if billed.service_date is not None and billed.service_date != performed.service_date:
            self._fail(
                "billed-as-performed",
                "BILLED_DATE_DIFFERS",
                "service_date",
                f"Billed for {billed.service_date}, performed {performed.service_date}.",
                row=Row.CLAIM,
            )

    # --- how a failure is worded ------------------------------------------------------------------

    def _comparable(self, rule: str, name: str, ours: str, theirs: str) -> bool:
        if ours and theirs:
            return True
        if not ours and not theirs and not self.context.strict:
            self.unchecked.append(name)
            return False
        row = self.exam.row if theirs else Row.AUTHORIZATION
        self._unknown(
            rule, Cell(row, name), f"The {name} is not on the {row.value}: it cannot be compared."
        )
        return False

    def _unknown(self, rule: str, cell: Cell, sentence: str) -> None:
        self.found.append(self._deviation(rule, "AUTH_FACT_UNKNOWN", cell, sentence, repair=True))

    def _fail(
        self,
        rule: str,
        code: str,
        name: str,
        sentence: str,
        *,
        row: Row = Row.AUTHORIZATION,
        repair: bool = False,
    ) -> None:
        self.found.append(self._deviation(rule, code, Cell(row, name), sentence, repair=repair))

    def _deviation(
        self,
        rule: str,
        code: str,
        cell: Cell,
        sentence: str,
        *,
        repair: bool = False,
        due: date | None = None,
        words: str = "",
    ) -> Deviation:
        kind = KINDS[code]
        action = kind.action
        options: tuple[str, ...] = ()
        if repair:
            due, words, options = self._repair_due(PATHS.get(code, Path.RETRO))
            action = "; ".join(options) + "." if options else action
        elif due is None:
            due, words = self.as_of, "before the claim leaves"
        return Deviation(
            rule,
            code,
            kind.verdict,
            cell,
            sentence,
            action,
            kind.owner,
            due,
            words,
            kind.carc,
            kind.rarc,
            options,
        )

    def _repair_due(self, path: Path) -> tuple[date | None, str, tuple[str, ...]]:
        """Before the exam: the hard stop on the business day before it. After it: the payer's
        window of what must be asked, and what is left when that is over or there is none.
        """
        day = self.exam.service_date
        if day is None:
            return None, "no exam date yet", ()
        if self.as_of < day:
            stop = hard_stop(day, self.context.calendar)
            return stop, "last business day before the exam", ()
        if self.request.performed is None and self.as_of == day:
            return day, "today, before the exam", ()
        limit = self._deadline(path, as_of=self.as_of)
        options = self.policy.remedies.options() if limit.over else ()
        return limit.due, limit.words, options


_RELATION_SCORE = {
    Relation.SAME: 6,
    Relation.ALLOWED: 5,
    Relation.LOWER: 4,
    Relation.HIGHER: 3,
    Relation.UNRANKED: 2,
    Relation.DIFFERENT: 1,
    Relation.UNKNOWN: 0,
}


def _units_words(service: AuthorizedService, used: int, asked: int) -> str:
    if used >= service.units:
        return (
            f"The units for {service.code} are used up: {service.units} authorized, {used} taken by"
            f" other exams, {asked} more needed."
        )
    return f"{service.units} authorized for {service.code}, {used} used, {asked} more needed."


def _squeeze(value: str) -> str:
    return "".join(ch for ch in value.upper() if ch.isalnum())


def line_key(auth: AuthorizedFact, service: AuthorizedService) -> LineKey:
    """Which units an exam takes: two lines of one code on one authorization are two."""
    return LineKey(auth.payer_id, auth.number, service.code, service.laterality, service.line)


def _exam(request: MatchRequest) -> _Exam | None:
    order, done, billed = request.ordered, request.performed, request.billed
    if done is not None and done.code:
        return _Exam(
            Row.PERFORMED,
            done.code,
            done.units,
            done.laterality,
            done.body_part,
            done.service_date,
            done.patient_id,
            done.payer_id,
            done.plan_id,
            done.member_id,
            done.site_npi,
            done.site_tin,
            done.ordering_npi,
            done.rendering_npi,
            done.units_counted,
        )
    if order is not None and order.code:
        return _Exam(
            Row.ORDER,
            order.code,
            order.units,
            order.laterality,
            order.body_part,
            order.planned_for,
            order.patient_id,
            order.payer_id,
            order.plan_id,
            order.member_id,
            order.site_npi,
            order.site_tin,
            order.ordering_npi,
            order.rendering_npi,
            0,
        )
    if billed is not None and billed.code:
        return _Exam(
            Row.CLAIM,
            billed.code,
            billed.units,
            billed.laterality,
            "",
            billed.service_date,
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            0,
        )
    return None


# --- the grid a screen shows ----------------------------------------------------------------------

GRID_FIELDS = (
    "code",
    "units",
    "laterality",
    "body_part",
    "service_date",
    "patient",
    "payer",
    "member",
    "site",
    "ordering",
    "rendering",
    "number",
    "status",
    "requested",
)
_COMPARED = (
    "code",
    "laterality",
    "body_part",
    "patient",
    "payer",
    "member",
    "site",
    "ordering",
    "rendering",
)


def evidence_grid(result: MatchResult) -> Grid:
    """Four rows by fourteen fields. A cell differs when a rule names it or its value is not the
    judged exam's.
    """
    request = result.request
    values = {
        Row.ORDER: _order_values(request),
        Row.AUTHORIZATION: _authorization_values(request, result.service),
        Row.PERFORMED: _performed_values(request),
        Row.CLAIM: _claim_values(request),
    }
    exam = _exam(request)
    anchor = values[exam.row] if exam else {}
    named = {(deviation.cell.row, deviation.cell.field) for deviation in result.deviations}
    cells: dict[Row, dict[str, GridCell]] = {}
    for row, given in values.items():
        cells[row] = {}
        for name in GRID_FIELDS:
            value, expected = given.get(name, ""), anchor.get(name, "")
            differs = (row, name) in named or (
                name in _COMPARED and bool(value) and bool(expected) and value != expected
            )
            cells[row][name] = GridCell(value, differs)
    return Grid(GRID_FIELDS, cells)


def _order_values(request: MatchRequest) -> dict[str, str]:
    fact = request.ordered
    if fact is None:
        return {}
    return {
        "code": fact.code,
        "units": str(fact.units),
        "laterality": fact.laterality,
        "body_part": fact.body_part,
        "service_date": _day(fact.planned_for),
        "patient": fact.patient_id,
        "payer": fact.payer_id,
        "member": _squeeze(fact.member_id),
        "site": _site(request, fact.site_npi, fact.site_tin),
        "ordering": fact.ordering_npi,
        "rendering": fact.rendering_npi,
        "requested": _day(fact.ordered_on),
    }


def _authorization_values(
    request: MatchRequest, service: AuthorizedService | None
) -> dict[str, str]:
    fact = request.authorized
    if fact is None:
        return {}
    code = service.code if service else ", ".join(line.code for line in fact.services)
    return {
        "code": code,
        "units": f"{service.units_used} of {service.units} used" if service else "",
        "laterality": service.laterality if service else "",
        "body_part": service.body_part if service else "",
        "service_date": f"{_day(fact.effective_from) or '?'} to {_day(fact.effective_to) or '?'}",
        "patient": fact.patient_id,
        "payer": fact.payer_id,
        "member": _squeeze(fact.member_id),
        "site": _site(request, fact.site_npi, fact.site_tin),
        "ordering": fact.ordering_npi,
        "rendering": fact.rendering_npi,
        "number": fact.number or fact.reference,
        "status": fact.status.value,
        "requested": _day(fact.requested_on),
    }


def _performed_values(request: MatchRequest) -> dict[str, str]:
    fact = request.performed
    if fact is None:
        return {}
    return {
        "code": fact.code,
        "units": str(fact.units),
        "laterality": fact.laterality,
        "body_part": fact.body_part,
        "service_date": _day(fact.service_date),
        "patient": fact.patient_id,
        "payer": fact.payer_id,
        "member": _squeeze(fact.member_id),
        "site": _site(request, fact.site_npi, fact.site_tin),
        "ordering": fact.ordering_npi,
        "rendering": fact.rendering_npi,
    }


def _claim_values(request: MatchRequest) -> dict[str, str]:
    fact = request.billed
    if fact is None:
        return {}
    return {
        "code": fact.code,
        "units": str(fact.units),
        "laterality": fact.laterality,
        "service_date": _day(fact.service_date),
        "number": fact.auth_number,
        "status": fact.component or "global",
    }


def _site(request: MatchRequest, npi: str, tin: str) -> str:
    return tin if request.policy.site_match is SiteMatch.TIN else npi


def _day(value: date | None) -> str:
    return value.isoformat() if value else ""


def as_dict(result: MatchResult, order: OrderAnswer | None = None) -> dict[str, Any]:
    """The result as plain JSON types: what the API answers and the audit keeps."""
    first = result.first
    return {
        "key": result.request.key,
        "verdict": result.verdict.value,
        "passes": result.passes,
        "code": result.code,
        "sentence": result.sentence,
        "differs": {"row": first.cell.row.value, "field": first.cell.field} if first else None,
        "owner": first.owner if first else "",
        "action": first.action if first else "",
        "due": _day(first.due) if first else "",
        "due_words": first.due_words if first else "",
        "options": list(first.options) if first else [],
        "expected_denial": (
            {"carc": list(first.carc), "rarc": list(first.rarc)}
            if first
            else {"carc": [], "rarc": []}
        ),
        "deviations": [
            {
                "rule": item.rule,
                "code": item.code,
                "verdict": item.verdict.value,
                "row": item.cell.row.value,
                "field": item.cell.field,
                "sentence": item.sentence,
                "action": item.action,
                "owner": item.owner,
                "due": _day(item.due),
                "due_words": item.due_words,
                "carc": list(item.carc),
                "rarc": list(item.rarc),
                "options": list(item.options),
            }
            for item in result.deviations
        ],
        "unchecked": list(result.unchecked),
        "order": (
            {
                "verdict": order.verdict.value,
                "stops": order.stops,
                "sentence": order.sentence,
                "action": order.action,
            }
            if order
            else None
        ),
        "grid": result.grid.as_dict(),
    }
