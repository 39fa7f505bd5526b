"""One field put right on every claim of one cause: where the field lives, what stands there now,
and the change of all of them with the ones named that were refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from claims.edits.repairs import plain_diagnosis
from claims.models import Claim
from claims.records import Changes
from claims.services.correcting import claim_edit
from claims.services.scrubbing import claims_scrub
from intake.models import Coverage
from intake.services import coverage_update
from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a claim is refused for. `read` gives what stands there now; `change` makes the
    claim's changes from what was typed, and is None for a field of the policy.
    """

    code: str
    label: str
    read: Callable[[Claim], str]
    change: Callable[[str], Changes] | None = None
    help: str = ""


def _diagnoses(text: str) -> Changes:
    return Changes(diagnoses=[plain_diagnosis(code) for code in text.split()])


AUTHORIZATION = Field(
    "authorization",
    "Authorization number",
    lambda claim: claim.authorization_number,
    lambda text: Changes(authorization_number=text),
)
REFERRAL = Field(
    "referral",
    "Referral number",
    lambda claim: str(claim.extra.get("referral_number", "")),
    lambda text: Changes(referral_number=text),
)
ORDERING = Field(
    "referring_npi",
    "Ordering NPI",
    lambda claim: claim.referring_npi,
    lambda text: Changes(referring_npi=text),
)
DIAGNOSES = Field(
    "diagnoses",
    "Diagnoses, primary first",
    lambda claim: " ".join(claim.diagnoses),
    _diagnoses,
    "ICD-10-CM codes with a space between them",
)
ATTACHMENT = Field(
    "attachment",
    "Attachment control number",
    lambda claim: str(claim.extra.get("attachment_control", "")),
    lambda text: Changes(attachment_control=text),
)
MEMBER = Field(
    "member_id",
    "Member ID",
    lambda claim: claim.coverage.member_id,
    help="As on the card; it is changed on the policy",
)
FIELDS: Mapping[str, Field] = {
    "authorization": AUTHORIZATION,
    "prior_auth_number": AUTHORIZATION,
    "lines.auth_number": AUTHORIZATION,
    "lines.auth_verdict": AUTHORIZATION,
    "referral_number": REFERRAL,
    "referring_npi": ORDERING,
    "ordering_npi": ORDERING,
    "ordering_provider": ORDERING,
    "diagnoses": DIAGNOSES,
    "attachment": ATTACHMENT,
    "member_id": MEMBER,
    "subscriber_id": MEMBER,
}


@dataclass(frozen=True, slots=True)
class Fixed:
    """What became of the claims: numbers of those that changed, and the sentence of each that was
    refused.
    """

    done: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


@transaction.atomic
def field_fix(
    *,
    claims: Sequence[Claim],
    field: Field,
    values: Mapping[int, str],
    reason: str,
    actor: Actor,
    at: datetime | None = None,
) -> Fixed:
    """Write each claim's new value, then judge all that changed at once. `values` maps a claim's
    key to the value; a claim without one stays. One that is refused changes nothing of the others.
    """
    at = at or timezone.now()
    done: list[Claim] = []
    refused: list[tuple[str, str]] = []
    for claim in claims:
        value = values.get(claim.pk)
        if value is None or value == field.read(claim):
            continue
        try:
            with transaction.atomic():
                _write(claim, field, value, reason=reason, actor=actor, at=at)
        except Refused as refusal:
            refused.append((claim.number, f"{refusal} {refusal.fix}".strip()))
            continue
        done.append(claim)
    claims_scrub(claim_ids=[claim.pk for claim in done], actor=actor, at=at)
    return Fixed(tuple(claim.number for claim in done), tuple(refused))


def _write(
    claim: Claim, field: Field, value: str, *, reason: str, actor: Actor, at: datetime
) -> None:
    if field.change is not None:
        changes = field.change(value)
        claim_edit(claim=claim, changes=changes, reason=reason, judge=False, actor=actor, at=at)
        return
    coverage = Coverage.objects.get(pk=claim.coverage_id)  # another claim may have changed it
    coverage_update(coverage=coverage, member_id=value, actor=actor, at=at)
