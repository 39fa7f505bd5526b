"""A small catalog and one authorization that the worked examples share."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from authorizations.facts import (
    AuthorizedFact,
    AuthorizedService,
    AuthStatus,
    BilledFact,
    MatchRequest,
    PerformedFact,
)
from authorizations.families import Procedure
from authorizations.matching import MatchContext
from authorizations.requirement import Requirement, RequirementAnswer
from rcm.accounts.clock import SiteClock

SITE_A, SITE_B = "1234567893", "1993999998"

CATALOG = {
    row.code: row
    for row in (
        Procedure("70551", "MR_BRAIN", "MR", "head", contrast="without", typical_prior_auth="Y"),
        Procedure("70552", "MR_BRAIN", "MR", "head", contrast="with", typical_prior_auth="Y"),
        Procedure(
            "70553", "MR_BRAIN", "MR", "head", contrast="without_and_with", typical_prior_auth="Y"
        ),
        Procedure("70544", "MRA_HEAD", "MRA", "head", contrast="without", typical_prior_auth="Y"),
        Procedure(
            "73721",
            "MR_LOWER_JOINT",
            "MR",
            "lower_extremity_joint",
            contrast="without",
            typical_prior_auth="Y",
        ),
        Procedure("74160", "CT_ABDOMEN", "CT", "abdomen", contrast="with", typical_prior_auth="Y"),
        Procedure(
            "74177",
            "CT_ABD_PELVIS",
            "CT",
            "abdomen_pelvis",
            contrast="with",
            typical_prior_auth="Y",
        ),
        Procedure("75557", "MR_CARDIAC", "MR", "heart", contrast="without", typical_prior_auth="Y"),
        Procedure("75559", "MR_CARDIAC", "MR", "heart", contrast="without", typical_prior_auth="Y"),
        Procedure(
            "76700", "US_ABDOMEN", "US", "abdomen", extent="complete", typical_prior_auth="N"
        ),
        Procedure("76705", "US_ABDOMEN", "US", "abdomen", extent="limited", typical_prior_auth="N"),
        Procedure(
            "77046",
            "MR_BREAST",
            "MR",
            "breast",
            contrast="without",
            bilat_ind="0",
            typical_prior_auth="Y",
        ),
        Procedure(
            "77047",
            "MR_BREAST",
            "MR",
            "breast",
            contrast="without",
            bilat_ind="2",
            typical_prior_auth="Y",
        ),
        Procedure("77065", "MG_DX", "MG", "breast", bilat_ind="0", typical_prior_auth="N"),
        Procedure("77067", "MG_SCREEN", "MG", "breast", bilat_ind="2", typical_prior_auth="N"),
        Procedure(
            "71045", "XR_CHEST", "XR", "chest", views_min=1, views_max=1, typical_prior_auth="N"
        ),
        Procedure(
            "71046", "XR_CHEST", "XR", "chest", views_min=2, views_max=2, typical_prior_auth="N"
        ),
        Procedure("78815", "PETCT", "PT", extent="skull base to mid-thigh", typical_prior_auth="Y"),
        Procedure("78816", "PETCT", "PT", extent="whole body", typical_prior_auth="Y"),
    )
}
CALENDAR = SiteClock("America/Chicago")
CONTEXT = MatchContext(catalog=CATALOG, calendar=CALENDAR)
REQUIRED = RequirementAnswer(Requirement.REQUIRED, "Rule says so.", "R1")
EXEMPT = RequirementAnswer(Requirement.NOT_REQUIRED, "Exempt.", "R2")


def approval(code: str = "70551", units: int = 1, **changes: Any) -> AuthorizedFact:
    """Approved for site A from 1 to 30 September 2026, requested in August."""
    used = changes.pop("units_used", 0)
    side = changes.pop("laterality", "")
    fact = AuthorizedFact(
        status=AuthStatus.APPROVED,
        number="PA99887766",
        services=(AuthorizedService(code, units, used, side),),
        patient_id="P1",
        payer_id="60054",
        member_id="W123456789",
        effective_from=date(2026, 9, 1),
        effective_to=date(2026, 9, 30),
        site_npi=SITE_A,
        site_tin="941234567",
        requested_on=date(2026, 8, 25),
    )
    return replace(fact, **changes)


def performed(code: str = "70551", day: date = date(2026, 9, 30), **changes: Any) -> PerformedFact:
    fact = PerformedFact(
        code=code,
        service_date=day,
        patient_id="P1",
        payer_id="60054",
        member_id="W123456789",
        site_npi=SITE_A,
        site_tin="941234567",
    )
    return replace(fact, **changes)


def exam(
    authorized: AuthorizedFact | None, done: PerformedFact, billed: str = "", **changes: Any
) -> MatchRequest:
    return MatchRequest(
        authorized=authorized,
        performed=done,
        billed=BilledFact(billed, done.service_date) if billed else None,
        requirement=changes.pop("requirement", REQUIRED),
        **changes,
    )
