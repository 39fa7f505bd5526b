"""Authorization: the four-way match must stand, and its number must be on the claim (rules
`authorization-on-record` and `authorization-number-on-claim`).
"""

from __future__ import annotations

from collections.abc import Iterator

from authorizations.matching import KINDS, NOT_REQUIRED, OK, OK_FAMILY
from claims.edits.examples import MEDICAID, claim, line
from claims.edits.registry import BLOCK, Hit, Owner, edit
from claims.edits.subject import Subject

PASSING = frozenset({OK, OK_FAMILY, NOT_REQUIRED})


@edit(
    "AUT-001",
    BLOCK,
    "The four-way match of order, authorization, exam and claim failed.",
    field="lines.auth_verdict",
    fix="Work the mismatch with the step that owns it.",
    owner=Owner.AUTHORIZATION,
    rule="authorization-on-record",
    carc=("197", "198", "284", "296", "302"),
    rarc=("N54",),
    fails=lambda: claim(line(auth_verdict="AUTH_EXPIRED")),
    passes=claim,
)
def match_stands(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        verdict = item.facts.auth_verdict
        if verdict and verdict not in PASSING:
            known = KINDS.get(verdict)
            sentence = item.facts.auth_sentence or (
                known.action if known else "The match gave a verdict that is not known."
            )
            yield Hit(f"{item.code}: {sentence}", line=item.number)


@edit(
    "AUT-002",
    BLOCK,
    "An authorization is required and its number is not on the claim.",
    field="prior_auth_number",
    fix="Put the matched number in REF*G1.",
    owner=Owner.BILLER,
    rule="authorization-number-on-claim",
    carc=("197",),
    rarc=("M62",),
    fails=lambda: claim(prior_auth_number=""),
    passes=claim,
)
def number_is_on_the_claim(s: Subject) -> Iterator[Hit]:
    if not s.payer.number_on_claim:
        return
    for item in s.lines:
        if item.facts.auth_requirement == "required" and not (
            s.claim.prior_auth_number or item.facts.auth_number
        ):
            yield Hit(
                f"{item.code} needs an authorization; no number is on the claim.", line=item.number
            )


@edit(
    "AUT-003",
    BLOCK,
    "It is not known whether an authorization is required.",
    field="lines.auth_requirement",
    fix="Ask the payer and keep the reference.",
    owner=Owner.AUTHORIZATION,
    rule="authorization-required",
    carc=("197",),
    fails=lambda: claim(line(auth_requirement="unknown", auth_verdict="")),
    passes=lambda: claim(line(auth_requirement="not_required", auth_verdict="NOT_REQUIRED")),
)
def requirement_is_known(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if item.facts.auth_requirement == "unknown" and item.facts.auth_verdict not in PASSING:
            yield Hit(
                f"Nobody has said whether {item.code} needs an authorization: held.",
                line=item.number,
            )


@edit(
    "AUT-004",
    BLOCK,
    "An authorization is required and the match was never made.",
    field="lines.auth_verdict",
    fix="Run the match.",
    owner=Owner.AUTHORIZATION,
    rule="authorization-on-record",
    carc=("197",),
    fails=lambda: claim(line(auth_verdict="")),
    passes=claim,
)
def match_was_made(s: Subject) -> Iterator[Hit]:
    for item in s.lines:
        if item.facts.auth_requirement == "required" and not item.facts.auth_verdict:
            yield Hit(
                f"{item.code} needs an authorization and was never matched.", line=item.number
            )


@edit(
    "AUT-005",
    BLOCK,
    "A paper claim carries more than one authorization number.",
    field="lines.auth_number",
    fix="Send one claim for each number.",
    owner=Owner.BILLER,
    rule="authorization-number-on-claim",
    carc=("197",),
    rarc=("M62",),
    fails=lambda: claim(line(auth_number="A1"), line("71046", auth_number="A2"), form="CMS1500"),
    passes=lambda: claim(line(auth_number="PA99887766"), line("71046"), form="CMS1500"),
)
def one_number_on_paper(s: Subject) -> Iterator[Hit]:
    if s.claim.form != "CMS1500":
        return
    numbers = {item.facts.auth_number or s.claim.prior_auth_number for item in s.lines} - {""}
    if len(numbers) > 1:
        yield Hit(f"A paper claim takes one number; this one has {', '.join(sorted(numbers))}.")


@edit(
    "AUT-006",
    BLOCK,
    "The payer asks for a referral number and there is none.",
    field="referral_number",
    fix="Get the referral number from the ordering office.",
    owner=Owner.FRONT_DESK,
    rule="referral-number",
    carc=("16",),
    rarc=("N286",),
    fails=lambda: claim(payer_id=MEDICAID, product="medicaid_ffs"),
    passes=lambda: claim(payer_id=MEDICAID, product="medicaid_ffs", referral_number="REF1"),
)
def referral_is_on_the_claim(s: Subject) -> Iterator[Hit]:
    if s.payer.requires_referral and not s.claim.referral_number:
        yield Hit("This payer wants the referral number.")
