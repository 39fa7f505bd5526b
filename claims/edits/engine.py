"""Run the catalogue over claims: bulk, streaming, fail-closed.

An edit that breaks holds its claim (SYS-001). A national table that was not loaded holds it for
review (REF-001): absent means unknown, never allowed. A table whose absence may only warn is said
on the claim (REF-002). Nothing passes because something went wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cache

from claims.edits.facts import ClaimFacts, PriorLine
from claims.edits.reference import ReferenceFacts
from claims.edits.registry import (
    Edit,
    Finding,
    Override,
    OverrideAction,
    Owner,
    Severity,
    catalogue,
)
from claims.edits.subject import Subject
from claims.edits.userrules import UserRule, prepare, run_rules
from rcm.web.rulebook import authority

UNKNOWN, NOT_KEPT = "REF-001", "REF-002"
TABLE_MISSING = "table-missing"
MAY_BE_ABSENT = frozenset(
    {
        "icd",  # what the diagnosis list of the year does not say is a warning
        "coverage",  # a diagnosis that is not listed is a warning
        # registers that a house keeps or does not keep
        "enrollments",
        "licenses",
        "mammography_certificates",
        "ordering_npis",
    }
)
"""Tables without which a claim may go, with a warning; without any other it is held."""


def overridable(edit_id: str) -> bool:
    """Whether a person with a reason may let a finding of a catalogue edit, or an unknown table,
    pass.
    """
    found = catalogue().get(edit_id)
    return found.overridable if found is not None else edit_id == UNKNOWN


def scrub(
    claims: Iterable[ClaimFacts],
    reference: ReferenceFacts,
    *,
    as_of: date,
    overrides: Sequence[Override] = (),
    rules: Sequence[UserRule] = (),
) -> list[list[Finding]]:
    """Findings of each claim, in the order of the claims; blocking ones first within a claim."""
    return list(scrub_iter(claims, reference, as_of=as_of, overrides=overrides, rules=rules))


def scrub_iter(
    claims: Iterable[ClaimFacts],
    reference: ReferenceFacts,
    *,
    as_of: date,
    overrides: Sequence[Override] = (),
    rules: Sequence[UserRule] = (),
) -> Iterator[list[Finding]]:
    """As `scrub`, one claim at a time: memory does not grow with the batch."""
    book = _Overrides(overrides, as_of)
    prepared = prepare(rules)
    absent = frozenset(name for name in _tables() if getattr(reference, name) is None)
    untold = tuple(_absent(absent))
    plans: dict[str, tuple[Edit, ...]] = {}
    for claim in claims:
        subject = Subject(claim, reference, as_of)
        plan = plans.get(subject.product)
        if plan is None:
            plan = plans[subject.product] = tuple(_plan(subject.product, absent))
        findings = _run(subject, plan)
        findings += untold
        findings += run_rules(prepared, subject)
        if book:
            findings = [
                kept for finding in findings if (kept := book.apply(finding, claim)) is not None
            ]
        findings.sort(key=_rank)
        yield findings


def link_batch(claims: Sequence[ClaimFacts]) -> list[ClaimFacts]:
    """Let claims of one batch see each other as history, where no database has done so yet (API
    payloads).
    """
    by_patient: dict[str, list[int]] = defaultdict(list)
    for n, claim in enumerate(claims):
        if claim.patient_id:
            by_patient[claim.patient_id].append(n)
    linked = list(claims)
    for places in by_patient.values():
        if len(places) > 1:
            lines = {n: _as_prior(claims[n]) for n in places}
            for n in places:
                earlier = tuple(prior for m in places if m < n for prior in lines[m])
                linked[n] = replace(claims[n], history=claims[n].history + earlier)
    return linked


def _as_prior(claim: ClaimFacts) -> list[PriorLine]:
    return [
        PriorLine(
            code=line.code,
            service_date=line.service_date,
            modifiers=line.modifiers,
            units=line.units,
            payer_id=claim.payer_id,
            billing_npi=claim.billing_npi,
            rendering_npi=line.rendering_npi or claim.rendering_npi,
            claim_id=claim.claim_id,
            accession=line.accession,
            session=line.session,
        )
        for line in claim.lines
        if line.service_date is not None
    ]


@cache
def _tables() -> tuple[str, ...]:
    return tuple(sorted({name for item in catalogue().values() for name in item.tables}))


def _plan(product: str, absent: frozenset[str]) -> Iterator[Edit]:
    for item in catalogue().values():
        if (not item.products or product in item.products) and not absent.intersection(item.tables):
            yield item


def _run(subject: Subject, plan: Iterable[Edit]) -> list[Finding]:
    findings: list[Finding] = []
    day = subject.first_day
    for item in plan:
        if item.dated and not item.in_force(day):
            continue
        try:
            for hit in item.check(subject):
                findings.append(
                    Finding(
                        item.edit_id,
                        hit.severity or item.severity,
                        sentence=hit.sentence,
                        field=hit.field or item.field,
                        fix=item.fix,
                        owner=item.owner,
                        line=hit.line,
                        source=item.source,
                        family=item.family,
                        rule=item.rule,
                        carc=item.carc,
                        rarc=item.rarc,
                    )
                )
        except (
            Exception
        ) as error:  # an edit that cannot judge must hold the claim, whatever the reason
            findings.append(_broken(item, error))
    return findings


def _broken(item: Edit, error: Exception) -> Finding:
    return Finding(
        "SYS-001",
        Severity.BLOCK,
        f"Edit {item.edit_id} could not judge this claim ({type(error).__name__}): held for"
        " review.",
        item.field,
        "Look at the claim by hand and report the edit.",
        Owner.ADMIN,
        source=authority(item.rule),
        rule=item.rule,
        family="engine",
    )


def _absent(tables: frozenset[str]) -> Iterator[Finding]:
    for edit_id, severity, names, end, fix in (
        (
            UNKNOWN,
            Severity.BLOCK,
            tables - MAY_BE_ABSENT,
            " Unknown, so held for review.",
            (
                "Load the reference tables and scrub again, or judge the claim by hand and say why"
                " it may go."
            ),
        ),
        (
            NOT_KEPT,
            Severity.WARN,
            tables & MAY_BE_ABSENT,
            "",
            "Load the reference tables, then scrub again.",
        ),
    ):
        if names:
            skipped = [
                item.edit_id for item in catalogue().values() if names.intersection(item.tables)
            ]
            yield Finding(
                edit_id,
                severity,
                f"Not loaded: {', '.join(sorted(names))}. These edits could not run:"
                f" {', '.join(skipped)}.{end}",
                "",
                fix,
                Owner.ADMIN,
                source=authority(TABLE_MISSING),
                rule=TABLE_MISSING,
                family="engine",
            )


def _rank(finding: Finding) -> tuple[bool, str, int]:
    return not finding.blocks, finding.edit_id, finding.line or 0


class _Overrides:
    """Overrides by edit; a claim's own decision is tried before its payer's."""

    def __init__(self, overrides: Sequence[Override], as_of: date) -> None:
        self._by_edit: Mapping[str, list[Override]] = defaultdict(list)
        for item in overrides:
            live = (item.effective_from is None or item.effective_from <= as_of) and (
                item.effective_to is None or as_of <= item.effective_to
            )
            if live and item.reason and item.by:
                self._by_edit[item.edit_id].append(item)
        for items in self._by_edit.values():
            items.sort(key=lambda item: (item.claim_id == "", item.payer_id == ""))

    def __bool__(self) -> bool:
        return bool(self._by_edit)

    def apply(self, finding: Finding, claim: ClaimFacts) -> Finding | None:
        if not overridable(finding.edit_id):
            return finding
        for item in self._by_edit.get(finding.edit_id, ()):
            if item.claim_id not in ("", claim.claim_id) or item.payer_id not in (
                "",
                claim.payer_id,
            ):
                continue
            if item.line is not None and item.line != finding.line:
                continue
            if item.action is OverrideAction.OFF:
                return None
            if item.action is OverrideAction.ACCEPT:
                return (
                    replace(finding, overridden_by=item.by, override_reason=item.reason)
                    if item.claim_id
                    else finding
                )
            severity = Severity.WARN if item.action is OverrideAction.WARN else Severity.BLOCK
            return replace(finding, severity=severity)
        return finding
