"""Payer rules written by users: conditions and an action as data, never code.

A definition is JSON. A node is one of

    {"field": F, "op": O, "value": V}            a condition; O is one of OPERATORS
    {"all": [nodes]}  {"any": [nodes]}  {"not": node}
    {"any_line": node}  {"all_lines": node}      the node is judged line by line, on one line at a time

and a rule is `{"payers": […], "products": […], "effective_from": …, "effective_to": …, "when":
node, "then": {"action": "hold" | "warn", "sentence": …, "field": …, "fix": …, "owner": …}}`.

Judgement has three values: true, false, and unknown when a number or date that it needs is not
known. A rule that is broken, fails, or stays unknown holds the claim: it never passes in silence.
docs/edits.md lists the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from claims.edits.facts import ClaimFacts
from claims.edits.reference import ReferenceFacts
from claims.edits.registry import Finding, Owner, Severity
from claims.edits.subject import Line, Subject, plain_icd
from rcm.jsonfacts import Problem, problem

RULE = "payer-rule-of-house"
"""Where the rule book says what rules written by users are."""

Kind = Literal["text", "list", "number", "date", "flag"]
Value = str | tuple[str, ...] | Decimal | date | bool | None
Truth = bool | None
Test = Callable[[Subject, Line | None], Truth]

OPERATORS: Mapping[str, frozenset[Kind]] = {
    "eq": frozenset({"text", "list", "number", "date", "flag"}),
    "ne": frozenset({"text", "list", "number", "date", "flag"}),
    "in": frozenset({"text", "list"}),
    "not_in": frozenset({"text", "list"}),
    "starts_with": frozenset({"text", "list"}),
    "lt": frozenset({"number", "date"}),
    "gt": frozenset({"number", "date"}),
    "between": frozenset({"number", "date"}),
    "present": frozenset({"text", "list", "number", "date"}),
    "absent": frozenset({"text", "list", "number", "date"}),
}
"""Each operator with the kinds of field it works on. On a list, eq means "contains" and in means
"contains one of".
"""

MAX_NODES, MAX_DEPTH, MAX_VALUES, MAX_TEXT = 100, 6, 500, 300


@dataclass(frozen=True, slots=True)
class RuleField:
    """A field that rules may ask: its name, kind, meaning and where the value comes from."""

    name: str
    kind: Kind
    words: str
    of_line: bool
    read: Callable[[Subject, Line], Value] | Callable[[Subject], Value]


def _claim_field(name: str, kind: Kind, words: str, read: Callable[[Subject], Value]) -> RuleField:
    return RuleField(name, kind, words, False, read)


def _line_field(
    name: str, kind: Kind, words: str, read: Callable[[Subject, Line], Value]
) -> RuleField:
    return RuleField(name, kind, words, True, read)


def _age(s: Subject) -> Value:
    years = s.age_on(s.first_day)
    return None if years is None else Decimal(years)


def _days_since_service(s: Subject) -> Value:
    return None if s.first_day is None else Decimal((s.as_of - s.first_day).days)


FIELDS: Mapping[str, RuleField] = {
    item.name: item
    for item in (
        _claim_field("claim.form", "text", "837P, 837I or CMS1500", lambda s: s.claim.form),
        _claim_field(
            "claim.frequency",
            "text",
            "1 original, 7 replacement, 8 void",
            lambda s: s.claim.frequency,
        ),
        _claim_field("claim.pos", "text", "place of service of the claim", lambda s: s.claim.pos),
        _claim_field("claim.total", "number", "total charge in dollars", lambda s: s.claim.total),
        _claim_field(
            "claim.line_count", "number", "number of lines", lambda s: Decimal(len(s.lines))
        ),
        _claim_field(
            "claim.diagnoses",
            "list",
            "diagnoses without dots",
            lambda s: tuple(map(plain_icd, s.claim.diagnoses)),
        ),
        _claim_field(
            "claim.first_diagnosis",
            "text",
            "first diagnosis without dot",
            lambda s: plain_icd(s.claim.diagnoses[0]) if s.claim.diagnoses else "",
        ),
        _claim_field("claim.service_date", "date", "first service date", lambda s: s.first_day),
        _claim_field(
            "claim.days_since_service",
            "number",
            "days from the first service date to today",
            _days_since_service,
        ),
        _claim_field(
            "claim.prior_auth_number",
            "text",
            "authorization number on the claim",
            lambda s: s.claim.prior_auth_number,
        ),
        _claim_field(
            "claim.referral_number", "text", "referral number", lambda s: s.claim.referral_number
        ),
        _claim_field(
            "claim.payer_icn",
            "text",
            "payer's number of the original claim",
            lambda s: s.claim.payer_icn,
        ),
        _claim_field(
            "claim.attachment_control",
            "text",
            "attachment control number",
            lambda s: s.claim.attachment_control,
        ),
        _claim_field(
            "claim.mammography_certificate",
            "text",
            "MQSA certificate number",
            lambda s: s.claim.mammography_certificate,
        ),
        _claim_field(
            "claim.related_cause",
            "text",
            "AA auto, EM employment, OA other accident",
            lambda s: s.claim.related_cause,
        ),
        _claim_field("claim.note", "text", "claim note", lambda s: s.claim.note),
        _claim_field("payer.id", "text", "payer number", lambda s: s.claim.payer_id),
        _claim_field("payer.plan", "text", "plan number", lambda s: s.claim.plan_id),
        _claim_field("payer.product", "text", "line of business", lambda s: s.product),
        _claim_field(
            "payer.rank",
            "number",
            "1 primary, 2 secondary, 3 tertiary",
            lambda s: Decimal(s.claim.coverage_rank),
        ),
        _claim_field("payer.mac", "text", "Medicare contractor", lambda s: s.claim.mac),
        _claim_field("patient.age", "number", "full years on the first service date", _age),
        _claim_field("patient.sex", "text", "F, M or U", lambda s: s.claim.patient_sex),
        _claim_field(
            "patient.state",
            "text",
            "state of the home address",
            lambda s: s.claim.patient_address.state,
        ),
        _claim_field(
            "patient.relationship",
            "text",
            "18 self, 01 spouse, 19 child …",
            lambda s: s.claim.relationship,
        ),
        _claim_field("member.id", "text", "member number", lambda s: s.claim.member_id),
        _claim_field("member.group", "text", "group number", lambda s: s.claim.group_number),
        _claim_field("billing.npi", "text", "billing provider", lambda s: s.claim.billing_npi),
        _claim_field("billing.tin", "text", "tax number", lambda s: s.claim.billing_tin),
        _claim_field(
            "billing.taxonomy", "text", "billing taxonomy", lambda s: s.claim.billing_taxonomy
        ),
        _claim_field(
            "rendering.npi", "text", "reader of the claim", lambda s: s.claim.rendering_npi
        ),
        _claim_field(
            "rendering.taxonomy", "text", "reader's taxonomy", lambda s: s.claim.rendering_taxonomy
        ),
        _claim_field("ordering.npi", "text", "ordering provider", lambda s: s.claim.ordering_npi),
        _claim_field("facility.npi", "text", "service facility", lambda s: s.claim.facility_npi),
        _claim_field(
            "facility.state", "text", "state of the site", lambda s: s.claim.facility_state
        ),
        _claim_field(
            "eligibility.status",
            "text",
            "active, inactive or unknown",
            lambda s: s.claim.eligibility,
        ),
        _line_field("line.code", "text", "procedure code", lambda s, line: line.code),
        _line_field("line.modifiers", "list", "modifiers", lambda s, line: line.mods),
        _line_field(
            "line.component", "text", "26, TC, or empty for global", lambda s, line: line.component
        ),
        _line_field("line.units", "number", "units", lambda s, line: line.facts.units),
        _line_field(
            "line.charge", "number", "charge in dollars", lambda s, line: line.facts.charge
        ),
        _line_field("line.pos", "text", "place of service of the line", lambda s, line: line.pos),
        _line_field("line.service_date", "date", "service date", lambda s, line: line.day),
        _line_field(
            "line.diagnoses",
            "list",
            "diagnoses the line points to, without dots",
            lambda s, line: tuple(s.pointed(line)),
        ),
        _line_field(
            "line.modality",
            "text",
            "CT, MR, US, XR, MG, NM, PT …",
            lambda s, line: line.row.modality,
        ),
        _line_field(
            "line.family", "text", "exam family of the catalog", lambda s, line: line.row.family
        ),
        _line_field(
            "line.contrast",
            "text",
            "without, with, without_and_with",
            lambda s, line: line.row.contrast,
        ),
        _line_field(
            "line.auth_number",
            "text",
            "authorization number of the line",
            lambda s, line: line.facts.auth_number,
        ),
        _line_field(
            "line.auth_verdict",
            "text",
            "result of the four-way match",
            lambda s, line: line.facts.auth_verdict,
        ),
        _line_field("line.ndc", "text", "national drug code", lambda s, line: line.facts.ndc),
        _line_field(
            "line.report_status",
            "text",
            "F final, C corrected, P preliminary …",
            lambda s, line: line.facts.report_status,
        ),
        _line_field(
            "line.expected_allowed",
            "number",
            "expected payment in dollars",
            lambda s, line: line.facts.expected_allowed,
        ),
    )
}
"""The documented list: a rule can ask these fields and no others."""


@dataclass(frozen=True, slots=True)
class UserRule:
    """One version of a rule as it is stored. A version is never edited: a change is the next
    version.
    """

    rule_id: str
    version: int
    name: str
    definition: Mapping[str, Any]
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class _Action:
    severity: Severity
    sentence: str
    field: str
    fix: str
    owner: str


@dataclass(frozen=True, slots=True)
class PreparedRule:
    """A rule ready to run; `broken` says why it cannot, and then it holds every claim in its
    scope.
    """

    rule: UserRule
    payers: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    effective_from: date | None = None
    effective_to: date | None = None
    test: Test | None = None
    action: _Action | None = None
    broken: str = ""

    def concerns(self, s: Subject) -> bool:
        if self.payers and s.claim.payer_id not in self.payers:
            return False
        if self.products and s.product not in self.products:
            return False
        day = s.first_day
        if day is None:
            return True
        return (self.effective_from is None or self.effective_from <= day) and (
            self.effective_to is None or day <= self.effective_to
        )


def validate(definition: object) -> list[Problem]:
    """Everything that is wrong with a definition, field by field; empty when it can be switched
    on.
    """
    problems: list[Problem] = []
    _compile(
        UserRule("check", 1, "", definition if isinstance(definition, Mapping) else {}), problems
    )
    if not isinstance(definition, Mapping):
        problems.insert(0, problem("", "not_an_object", "Give an object."))
    return problems


def prepare(rules: Iterable[UserRule]) -> list[PreparedRule]:
    """Compile once per batch. A rule that does not compile is kept, as a hold."""
    prepared = []
    for rule in rules:
        if not rule.enabled:
            continue
        problems: list[Problem] = []
        try:
            prepared.append(_compile(rule, problems))
        except Exception as error:  # whatever is stored, a rule that cannot be read holds
            prepared.append(
                PreparedRule(rule, broken=f"it cannot be read ({type(error).__name__})")
            )
    return prepared


def run_rules(prepared: Sequence[PreparedRule], s: Subject) -> list[Finding]:
    """Findings of the user's rules on one claim."""
    findings = []
    for item in prepared:
        if not item.concerns(s):
            continue
        if item.broken or item.test is None or item.action is None:
            findings.append(_hold(item.rule, item.broken or "it has no action"))
            continue
        try:
            truth = item.test(s, None)
        except Exception as error:  # a rule that fails while judging holds the claim
            findings.append(_hold(item.rule, f"it failed ({type(error).__name__})"))
            continue
        if truth is None:
            findings.append(_hold(item.rule, "a number or date that it asks for is not known"))
        elif truth:
            action = item.action
            findings.append(
                Finding(
                    _edit_id(item.rule),
                    action.severity,
                    action.sentence,
                    action.field,
                    action.fix,
                    action.owner,
                    source=f"rule {item.rule.rule_id} version {item.rule.version}",
                    family="userrules",
                    rule=RULE,
                )
            )
    return findings


def _edit_id(rule: UserRule) -> str:
    return f"USR-{rule.rule_id}"


def _hold(rule: UserRule, why: str) -> Finding:
    return Finding(
        _edit_id(rule),
        Severity.BLOCK,
        f"Rule '{rule.name or rule.rule_id}' could not judge this claim: {why}. Held for review.",
        "",
        "Look at the claim by hand; correct the rule or the missing fact.",
        Owner.MANAGER,
        source=f"rule {rule.rule_id} version {rule.version}",
        family="userrules",
        rule=RULE,
    )


# --- from definition to test ----------------------------------------------------------------------


def _compile(rule: UserRule, problems: list[Problem]) -> PreparedRule:
    definition = rule.definition
    known = {"payers", "products", "effective_from", "effective_to", "when", "then"}
    for key in sorted(str(key) for key in definition if key not in known):
        problems.append(
            problem(key[:60], "unknown_field", "A rule has payers, products, dates, when and then.")
        )
    payers = _texts(definition.get("payers", ()), "payers", problems)
    products = _texts(definition.get("products", ()), "products", problems)
    starts = _maybe_date(definition.get("effective_from"), "effective_from", problems)
    ends = _maybe_date(definition.get("effective_to"), "effective_to", problems)
    if starts and ends and ends < starts:
        problems.append(problem("effective_to", "invalid", "The rule ends before it starts."))
    budget = [MAX_NODES]
    test = _node(definition.get("when"), "when", problems, budget, 0, in_line=False)
    action = _then(definition.get("then"), problems)
    broken = "; ".join(f"{item['field']}: {item['message']}" for item in problems)
    scope = {"payers": payers, "products": products, "effective_from": starts, "effective_to": ends}
    if broken:
        readable = not any(item["field"].startswith(tuple(scope)) for item in problems)
        return PreparedRule(rule, **(scope if readable else {}), broken=broken[:MAX_TEXT])  # type: ignore[arg-type]
    return PreparedRule(rule, payers, products, starts, ends, test, action)


def _then(raw: object, problems: list[Problem]) -> _Action | None:
    if not isinstance(raw, Mapping):
        problems.append(problem("then", "required", "Say what the rule does: action and sentence."))
        return None
    for key in sorted(
        str(key) for key in raw if key not in {"action", "sentence", "field", "fix", "owner"}
    ):
        problems.append(
            problem(
                f"then.{key[:60]}",
                "unknown_field",
                "An action has action, sentence, field, fix and owner.",
            )
        )
    verb = raw.get("action")
    if verb not in ("hold", "warn"):
        problems.append(problem("then.action", "not_a_choice", "Give one of: hold, warn."))
    texts = {}
    for key in ("sentence", "field", "fix", "owner"):
        value = raw.get(key, "")
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            problems.append(
                problem(f"then.{key}", "invalid", f"Give a text of up to {MAX_TEXT} characters.")
            )
            value = ""
        texts[key] = value
    if not texts["sentence"].strip():
        problems.append(problem("then.sentence", "required", "Say in plain words what is wrong."))
    if texts["field"] and texts["field"] not in FIELDS:
        problems.append(
            problem(
                "then.field", "not_a_choice", f"'{texts['field'][:60]}' is not a field of rules."
            )
        )
    if texts["owner"] and texts["owner"] not in set(Owner):
        problems.append(problem("then.owner", "not_a_choice", f"Give one of: {', '.join(Owner)}."))
    severity = Severity.BLOCK if verb == "hold" else Severity.WARN
    return _Action(
        severity, texts["sentence"], texts["field"], texts["fix"], texts["owner"] or Owner.BILLER
    )


def _node(
    raw: object, path: str, problems: list[Problem], budget: list[int], depth: int, *, in_line: bool
) -> Test | None:
    budget[0] -= 1
    if budget[0] < 0 or depth > MAX_DEPTH:
        if not any(item["code"] == "too_many" for item in problems):
            problems.append(
                problem(
                    path, "too_many", f"At most {MAX_NODES} conditions, nested {MAX_DEPTH} deep."
                )
            )
        return None
    if not isinstance(raw, Mapping) or not raw:
        problems.append(problem(path, "required", "Give a condition."))
        return None
    if "field" in raw or "op" in raw:
        return _condition(raw, path, problems, in_line=in_line)
    if len(raw) != 1:
        problems.append(
            problem(
                path, "invalid", "A group has exactly one of all, any, not, any_line, all_lines."
            )
        )
        return None
    word, inner = next(iter(raw.items()))
    where = f"{path}.{str(word)[:20]}"
    within = _Within(problems, budget, depth + 1, in_line=in_line)
    if word in ("all", "any"):
        return _several(word, inner, where, within)
    if word in ("not", "any_line", "all_lines"):
        return _wrapped(word, inner, where, within)
    problems.append(
        problem(where, "unknown_field", "A group is one of all, any, not, any_line, all_lines.")
    )
    return None


@dataclass(frozen=True, slots=True)
class _Within:
    """What the conditions inside a group share: where problems go, what is left of the budget, how
    deep they stand, and whether a line is looked at.
    """

    problems: list[Problem]
    budget: list[int]
    depth: int
    in_line: bool

    def read(self, raw: object, path: str, *, in_line: bool) -> Test | None:
        return _node(raw, path, self.problems, self.budget, self.depth, in_line=in_line)


def _several(word: str, inner: object, where: str, within: _Within) -> Test | None:
    """`all` or `any` of a list of conditions."""
    if not isinstance(inner, Sequence) or isinstance(inner, str) or not inner:
        within.problems.append(problem(where, "not_a_list", "Give at least one condition."))
        return None
    tests = [
        within.read(item, f"{where}[{n}]", in_line=within.in_line)
        for n, item in enumerate(inner[: MAX_NODES + 1])
    ]
    parts = [test for test in tests if test is not None]
    if len(parts) < len(tests):
        return None
    return _all(parts) if word == "all" else _any(parts)


def _wrapped(word: str, inner: object, where: str, within: _Within) -> Test | None:
    """`not`, or a condition on any line or all lines."""
    if word != "not" and within.in_line:
        words = "A line group cannot stand inside another."
        within.problems.append(problem(where, "invalid", words))
        return None
    test = within.read(inner, where, in_line=within.in_line or word != "not")
    if test is None:
        return None
    if word == "not":
        return _not(test)
    return _any_line(test) if word == "any_line" else _all_lines(test)


def _not(test: Test) -> Test:
    def negated(s: Subject, line: Line | None) -> Truth:
        truth = test(s, line)
        return None if truth is None else not truth

    return negated


def _all(tests: Sequence[Test]) -> Test:
    def test(s: Subject, line: Line | None) -> Truth:
        unknown = False
        for part in tests:
            truth = part(s, line)
            if truth is False:
                return False
            unknown = unknown or truth is None
        return None if unknown else True

    return test


def _any(tests: Sequence[Test]) -> Test:
    def test(s: Subject, line: Line | None) -> Truth:
        unknown = False
        for part in tests:
            truth = part(s, line)
            if truth:
                return True
            unknown = unknown or truth is None
        return None if unknown else False

    return test


def _any_line(test: Test) -> Test:
    return lambda s, _: _fold((test(s, line) for line in s.lines), wanted=True)


def _all_lines(test: Test) -> Test:
    return lambda s, _: _fold((test(s, line) for line in s.lines), wanted=False)


def _fold(truths: Iterable[Truth], *, wanted: bool) -> Truth:
    """True as soon as one is true (any), or false as soon as one is false (all); unknown if
    undecided by an unknown.
    """
    unknown = False
    for truth in truths:
        if truth is wanted:
            return wanted
        unknown = unknown or truth is None
    return None if unknown else not wanted


def _condition(
    raw: Mapping[str, Any], path: str, problems: list[Problem], *, in_line: bool
) -> Test | None:
    for key in sorted(str(key) for key in raw if key not in {"field", "op", "value"}):
        problems.append(
            problem(f"{path}.{key[:60]}", "unknown_field", "A condition has field, op and value.")
        )
        return None
    name, op = raw.get("field"), raw.get("op")
    field = FIELDS.get(name) if isinstance(name, str) else None
    if field is None:
        problems.append(
            problem(f"{path}.field", "not_a_choice", f"'{str(name)[:60]}' is not a field of rules.")
        )
    kinds = OPERATORS.get(op) if isinstance(op, str) else None
    if kinds is None:
        problems.append(
            problem(f"{path}.op", "not_a_choice", f"Give one of: {', '.join(OPERATORS)}.")
        )
    if field is None or kinds is None:
        return None
    if field.kind not in kinds:
        problems.append(
            problem(
                f"{path}.op", "invalid", f"'{op}' does not work on {name}, which is a {field.kind}."
            )
        )
        return None
    expected = _expected(raw, str(op), field.kind, f"{path}.value", problems)
    if expected is _WRONG:
        return None
    compare = _comparison(str(op), field.kind, expected)
    read = field.read
    if not field.of_line:
        return lambda s, _: compare(read(s))  # type: ignore[call-arg]
    if in_line:
        return lambda s, line: compare(read(s, line))  # type: ignore[call-arg, arg-type]
    return lambda s, _: _fold((compare(read(s, line)) for line in s.lines), wanted=True)  # type: ignore[call-arg]


_WRONG = object()


def _expected(
    raw: Mapping[str, Any], op: str, kind: Kind, path: str, problems: list[Problem]
) -> Any:
    value = raw.get("value")
    if op in ("present", "absent"):
        if "value" in raw and value is not None:
            problems.append(problem(path, "invalid", f"'{op}' takes no value."))
            return _WRONG
        return None
    if op in ("in", "not_in", "between"):
        if (
            not isinstance(value, Sequence)
            or isinstance(value, str)
            or not value
            or len(value) > MAX_VALUES
        ):
            problems.append(
                problem(path, "not_a_list", f"Give a list of 1 to {MAX_VALUES} values.")
            )
            return _WRONG
        items = [_scalar(item, kind, f"{path}[{n}]", problems) for n, item in enumerate(value)]
        if any(item is _WRONG for item in items):
            return _WRONG
        if op == "between":
            if len(items) != 2 or items[0] > items[1]:
                problems.append(problem(path, "invalid", "Give the lowest and the highest value."))
                return _WRONG
            return items[0], items[1]
        return frozenset(items)
    return _scalar(value, kind, path, problems)


def _scalar(value: object, kind: Kind, path: str, problems: list[Problem]) -> Any:
    if kind in ("text", "list"):
        if isinstance(value, str) and len(value) <= MAX_TEXT:
            return value
        problems.append(problem(path, "invalid", "Give a text."))
    elif kind == "number":
        try:
            if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
                raise InvalidOperation
            number = Decimal(str(value)[:40])
            if number.is_finite():
                return number
        except InvalidOperation:
            pass
        problems.append(problem(path, "invalid", "Give a number."))
    elif kind == "date":
        found = _maybe_date(value, path, problems)
        if found is not None:
            return found
        if value is None:
            problems.append(problem(path, "required", "Give a date as YYYY-MM-DD."))
    elif isinstance(value, bool):
        return value
    else:
        problems.append(problem(path, "invalid", "Give true or false."))
    return _WRONG


def _comparison(op: str, kind: Kind, expected: Any) -> Callable[[Any], Truth]:
    if op == "present":
        return lambda value: value is not None and value not in ("", ())
    if op == "absent":
        return lambda value: value is None or value in ("", ())
    if kind == "list":
        lists: dict[str, Callable[[Any], Truth]] = {
            "eq": lambda value: expected in value,
            "ne": lambda value: expected not in value,
            "in": lambda value: not expected.isdisjoint(value),
            "not_in": lambda value: expected.isdisjoint(value),
            "starts_with": lambda value: any(item.startswith(expected) for item in value),
        }
        return lists[op]
    scalars: dict[str, Callable[[Any], bool]] = {
        "eq": lambda value: value == expected,
        "ne": lambda value: value != expected,
        "in": lambda value: value in expected,
        "not_in": lambda value: value not in expected,
        "starts_with": lambda value: value.startswith(expected),
        "lt": lambda value: value < expected,
        "gt": lambda value: value > expected,
        "between": lambda value: expected[0] <= value <= expected[1],
    }
    judge = scalars[op]
    return lambda value: None if value is None else judge(value)


def _texts(raw: object, path: str, problems: list[Problem]) -> frozenset[str]:
    if (
        not isinstance(raw, Sequence)
        or isinstance(raw, str)
        or any(not isinstance(item, str) for item in raw)
    ):
        problems.append(
            problem(path, "not_a_list", "Give a list of texts, or leave it out for all.")
        )
        return frozenset()
    return frozenset(raw)


def _maybe_date(raw: object, path: str, problems: list[Problem]) -> date | None:
    if raw is None or raw == "":
        return None
    if isinstance(raw, date):
        return raw
    try:
        return date.fromisoformat(raw)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        problems.append(problem(path, "invalid", "Give a date as YYYY-MM-DD."))
        return None


# --- back-test ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PastClaim:
    """A claim that was sent, and what came of it: denied, paid, or blank while open. Dollars are
    the claim's charge.
    """

    claim: ClaimFacts
    outcome: str = ""  # denied | paid
    denied_amount: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim that the rule fires on: its number, what that would have been (caught, false hold,
    not judged, open), its charge and what its lines were expected to pay.
    """

    claim: str
    verdict: str
    charge: Decimal
    expected: Decimal


MOST_VERDICTS = 200


@dataclass(frozen=True, slots=True)
class BackTest:
    """What a rule would have done. A false hold is a stopped claim that was paid; a caught denial
    is a stopped one that was denied.
    """

    claims: int
    stopped: int
    warned: int
    dollars_stopped: Decimal
    caught_denials: int
    dollars_caught: Decimal
    false_holds: int
    dollars_false: Decimal
    missed_denials: int
    unjudged: int
    examples: tuple[str, ...]
    verdicts: tuple[Verdict, ...] = ()

    @property
    def precision(self) -> Decimal | None:
        """Caught denials among the stopped claims whose outcome is known; None when none is
        known.
        """
        known = self.caught_denials + self.false_holds
        return (
            None if not known else (Decimal(self.caught_denials) / known).quantize(Decimal("0.001"))
        )


def back_test(
    rule: UserRule,
    past: Iterable[PastClaim],
    *,
    as_of: date,
    reference: ReferenceFacts | None = None,
) -> BackTest:
    """Run one rule over past claims, before it is switched on."""
    prepared = prepare([rule])
    tables = reference or ReferenceFacts()
    claims = stopped = warned = caught = false = missed = unjudged = 0
    dollars = dollars_caught = dollars_false = Decimal(0)
    examples: list[str] = []
    verdicts: list[Verdict] = []
    for item in past:
        claims += 1
        subject = Subject(item.claim, tables, as_of)
        findings = run_rules(prepared, subject)
        holds = any(finding.blocks for finding in findings)
        warned += any(not finding.blocks for finding in findings)
        if not findings:
            # a denial by a payer that the rule is not about is none of its misses
            ours = any(one.concerns(subject) for one in prepared)
            missed += ours and item.outcome == "denied"
            continue
        blind = any("could not judge" in finding.sentence for finding in findings)
        unjudged += blind
        if len(examples) < 20:
            examples.append(item.claim.claim_id)
        if len(verdicts) < MOST_VERDICTS:
            verdicts.append(_verdict(item, blind=blind, holds=holds))
        if holds:
            stopped += 1
            dollars += item.claim.total
        if item.outcome == "denied":
            caught += 1
            dollars_caught += item.denied_amount or item.claim.total
        elif item.outcome == "paid" and holds:
            false += 1
            dollars_false += item.claim.total
    return BackTest(
        claims,
        stopped,
        warned,
        dollars,
        caught,
        dollars_caught,
        false,
        dollars_false,
        missed,
        unjudged,
        tuple(examples),
        tuple(verdicts),
    )


def _verdict(item: PastClaim, *, blind: bool, holds: bool) -> Verdict:
    words = {"denied": "caught", "paid": "false hold" if holds else "warned, paid"}
    return Verdict(
        item.claim.claim_id,
        "not judged" if blind else words.get(item.outcome, "open"),
        item.claim.total,
        sum((line.expected_allowed or Decimal(0) for line in item.claim.lines), Decimal(0)),
    )
