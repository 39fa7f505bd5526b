"""Is a prior authorization required? Dated rules in, an answer with its evidence out (rule
`authorization-required`).

The most specific rule in force wins. Exemptions by place or setting stand in their own tier: only a
rule that names that place or setting itself can take them away. Contradicting rules of equal
weight, and no rule at all, give UNKNOWN: hold for review. "Not required" always carries who said
so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from authorizations.families import Catalog


class Requirement(StrEnum):
    REQUIRED = "required"
    NOT_REQUIRED = "not_required"
    UNKNOWN = "unknown"


class RuleKind(StrEnum):
    REQUIRED = "required"
    NOT_REQUIRED = "not_required"
    EXEMPT = "exempt"


@dataclass(frozen=True, slots=True)
class RequirementRule:
    """One dated rule; a blank condition means any. `product` is the line of business (medicare_b,
    commercial …).
    """

    rule_id: str
    kind: RuleKind
    payer_id: str = ""
    plan_id: str = ""
    product: str = ""
    state: str = ""
    code: str = ""
    family: str = ""
    modality: str = ""
    pos: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()
    applies_to_secondary: bool = False
    reviewer: str = ""
    effective_from: date | None = None
    effective_to: date | None = None
    source: str = ""

    @property
    def weight(self) -> int:
        """How specific the rule is: plan > payer > code > family > modality > state > place >
        product.
        """
        return (
            128 * bool(self.plan_id)
            + 64 * bool(self.payer_id)
            + 32 * bool(self.code)
            + 16 * bool(self.family)
            + 8 * bool(self.modality)
            + 4 * bool(self.state)
            + 2 * bool(self.pos or self.settings)
            + bool(self.product)
        )

    @property
    def names_place(self) -> bool:
        return bool(self.pos or self.settings)


@dataclass(frozen=True, slots=True)
class RequirementQuery:
    """The exam as it is asked about. `setting` is the patient's status: emergency, inpatient,
    observation or blank.
    """

    payer_id: str
    code: str
    service_date: date
    plan_id: str = ""
    product: str = ""
    state: str = ""
    pos: str = ""
    setting: str = ""
    coverage_rank: int = 1


class EvidenceKind(StrEnum):
    RULE = "rule"
    BENEFIT_271 = "benefit_271"
    PAYER_API = "payer_api"
    PHONE = "phone"
    PORTAL = "portal"


CODE_SPECIFIC = frozenset({EvidenceKind.PAYER_API, EvidenceKind.PHONE, EvidenceKind.PORTAL})


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who said it, when, under which reference; `code` is blank when it was said of a whole service
    type.
    """

    kind: EvidenceKind
    says: Requirement
    code: str = ""
    who: str = ""
    on: date | None = None
    reference: str = ""
    document: str = ""


@dataclass(frozen=True, slots=True)
class RequirementAnswer:
    verdict: Requirement
    sentence: str
    rule_id: str = ""
    reviewer: str = ""
    evidence: tuple[Evidence, ...] = ()


class RequirementRules:
    """The rules, indexed by the narrowest thing they name, so a batch does not scan them all."""

    __slots__ = ("_by_code", "_by_family", "_by_modality", "_general", "catalog")

    def __init__(self, rules: Iterable[RequirementRule], catalog: Catalog) -> None:
        self.catalog = catalog
        self._by_code: dict[str, list[RequirementRule]] = {}
        self._by_family: dict[str, list[RequirementRule]] = {}
        self._by_modality: dict[str, list[RequirementRule]] = {}
        self._general: list[RequirementRule] = []
        for rule in rules:
            if rule.code:
                self._by_code.setdefault(rule.code, []).append(rule)
            elif rule.family:
                self._by_family.setdefault(rule.family, []).append(rule)
            elif rule.modality:
                self._by_modality.setdefault(rule.modality, []).append(rule)
            else:
                self._general.append(rule)

    def live(self, query: RequirementQuery) -> list[RequirementRule]:
        """Every rule in force whose conditions hold for this exam."""
        procedure = self.catalog.get(query.code)
        family = procedure.family if procedure else ""
        modality = procedure.modality if procedure else ""
        candidates = [*self._by_code.get(query.code, ()), *self._general]
        if procedure is not None:
            candidates += self._by_family.get(family, ())
            candidates += self._by_modality.get(modality, ())
        return [rule for rule in candidates if _holds(rule, query, family, modality)]

    def check(
        self, query: RequirementQuery, evidence: Sequence[Evidence] = ()
    ) -> RequirementAnswer:
        """Answer the question of B2 for one exam, with what was heard from the payer beside the
        rules.
        """
        return check_requirement(self, query, evidence)


def check_requirement(
    rules: RequirementRules, query: RequirementQuery, evidence: Sequence[Evidence] = ()
) -> RequirementAnswer:
    """Answer for one exam. What the payer said about this code beats rules; a 271 flag alone only
    fills a gap or adds caution.
    """
    heard = tuple(
        item
        for item in evidence
        if item.says is not Requirement.UNKNOWN and item.code in ("", query.code)
    )
    direct = [item for item in heard if item.kind in CODE_SPECIFIC and item.code == query.code]
    if direct:
        said = {item.says for item in direct}
        latest = max(direct, key=lambda item: item.on or date.min)
        if (
            len(said) > 1
            and sum((item.on or date.min) == (latest.on or date.min) for item in direct) > 1
        ):
            return RequirementAnswer(
                Requirement.UNKNOWN,
                "The payer gave two different answers for this code: ask again.",
                evidence=heard,
            )
        if latest.says is Requirement.NOT_REQUIRED and not (latest.reference or latest.document):
            return RequirementAnswer(
                Requirement.UNKNOWN,
                "The payer said 'not required' but no reference was kept: get one.",
                evidence=heard,
            )
        return RequirementAnswer(latest.says, _heard_sentence(latest), evidence=heard)

    answer = _by_rules(rules.live(query), query)
    flags = {item.says for item in heard if item.kind is EvidenceKind.BENEFIT_271}
    if Requirement.REQUIRED in flags and answer.verdict is not Requirement.REQUIRED:
        return RequirementAnswer(
            Requirement.REQUIRED,
            "The eligibility response says that this service needs an authorization.",
            answer.rule_id,
            answer.reviewer,
            heard + answer.evidence,
        )
    if (
        Requirement.NOT_REQUIRED in flags
        and answer.verdict is Requirement.UNKNOWN
        and not answer.rule_id
    ):
        return RequirementAnswer(
            Requirement.NOT_REQUIRED,
            "The eligibility response says that no authorization is needed.",
            evidence=heard,
        )
    return RequirementAnswer(
        answer.verdict, answer.sentence, answer.rule_id, answer.reviewer, heard + answer.evidence
    )


def default_rules(
    catalog: Catalog, *, products: Iterable[str], source: str = "default of the house"
) -> tuple[RequirementRule, ...]:
    """Starting rules from the catalog's `typical_prior_auth`, for the products that usually review
    imaging.

    Original Medicare is not reviewed; emergency, inpatient, observation and urgent care are exempt
    (rule `authorization-exempt-place`).
    Every one of these rows is meant to be replaced by payer rows.
    """
    rules = [
        RequirementRule(
            "DEFAULT-EXEMPT-POS", RuleKind.EXEMPT, pos=frozenset({"20", "21", "23"}), source=source
        ),
        RequirementRule(
            "DEFAULT-EXEMPT-SETTING",
            RuleKind.EXEMPT,
            settings=frozenset({"emergency", "inpatient", "observation"}),
            source=source,
        ),
        RequirementRule(
            "DEFAULT-MEDICARE-B", RuleKind.NOT_REQUIRED, product="medicare_b", source=source
        ),
    ]
    for product in products:
        for procedure in catalog.values():
            if procedure.typical_prior_auth in ("Y", "N"):
                kind = (
                    RuleKind.REQUIRED
                    if procedure.typical_prior_auth == "Y"
                    else RuleKind.NOT_REQUIRED
                )
                rules.append(
                    RequirementRule(
                        f"DEFAULT-{product}-{procedure.code}",
                        kind,
                        product=product,
                        code=procedure.code,
                        source=source,
                    )
                )
    return tuple(rules)


def _holds(rule: RequirementRule, query: RequirementQuery, family: str, modality: str) -> bool:
    return (
        rule.payer_id in ("", query.payer_id)
        and rule.plan_id in ("", query.plan_id)
        and rule.product in ("", query.product)
        and rule.state in ("", query.state)
        and rule.family in ("", family)
        and rule.modality in ("", modality)
        and (not rule.pos or query.pos in rule.pos)
        and (not rule.settings or query.setting in rule.settings)
        and (rule.effective_from is None or rule.effective_from <= query.service_date)
        and (rule.effective_to is None or query.service_date <= rule.effective_to)
    )


def _by_rules(live: list[RequirementRule], query: RequirementQuery) -> RequirementAnswer:
    if query.coverage_rank > 1:
        live = [rule for rule in live if rule.applies_to_secondary]
        if not live:
            return RequirementAnswer(
                Requirement.NOT_REQUIRED,
                "A later payer asks for its own authorization only where its row says so.",
            )
    exemptions = [rule for rule in live if rule.kind is RuleKind.EXEMPT]
    demands = [rule for rule in live if rule.kind is not RuleKind.EXEMPT]
    if exemptions:
        best = max(exemptions, key=_order)
        stronger = [rule for rule in demands if rule.names_place and rule.weight > best.weight]
        if not stronger:
            place = (
                f"setting {query.setting}"
                if best.settings
                else f"place of service {query.pos}"
                if best.pos
                else "this exam"
            )
            return RequirementAnswer(
                Requirement.NOT_REQUIRED,
                f"Exempt: {place} needs no authorization.",
                best.rule_id,
                best.reviewer,
                (_evidence(best, query),),
            )
        demands = stronger
    if not demands:
        return RequirementAnswer(
            Requirement.UNKNOWN,
            f"No rule says whether {query.code} needs an authorization: ask the payer.",
        )
    best = max(demands, key=_order)
    if any(_order(rule) == _order(best) and rule.kind is not best.kind for rule in demands):
        return RequirementAnswer(
            Requirement.UNKNOWN,
            f"Two rules of equal weight disagree about {query.code}: settle them first.",
            best.rule_id,
        )
    verdict = Requirement.REQUIRED if best.kind is RuleKind.REQUIRED else Requirement.NOT_REQUIRED
    words = "needs" if verdict is Requirement.REQUIRED else "needs no"
    return RequirementAnswer(
        verdict,
        f"{query.code} {words} authorization under rule {best.rule_id}.",
        best.rule_id,
        best.reviewer,
        (_evidence(best, query),),
    )


def _order(rule: RequirementRule) -> tuple[int, date]:
    return rule.weight, rule.effective_from or date.min


def _evidence(rule: RequirementRule, query: RequirementQuery) -> Evidence:
    says = Requirement.REQUIRED if rule.kind is RuleKind.REQUIRED else Requirement.NOT_REQUIRED
    return Evidence(EvidenceKind.RULE, says, query.code, who=rule.source, reference=rule.rule_id)


def _heard_sentence(item: Evidence) -> str:
    said = "required" if item.says is Requirement.REQUIRED else "not required"
    day = f" on {item.on:%Y-%m-%d}" if item.on else ""
    return (
        f"The payer said '{said}' for this code{day}, reference"
        f" {item.reference or item.document or 'none'}."
    )
