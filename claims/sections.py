"""Parts that later phases add to the claim page: payments, denials, the balance. Same form as
`intake.sections`.

    sections.register("claim", denials_of_claim, order=20)

And the claims that this phase adds to the exam page.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest

from charges.models import Exam
from claims.models import Claim
from claims.present import TONES
from intake.sections import Section

Provider = Callable[[HttpRequest, Claim], Section | None]
_PROVIDERS: list[tuple[int, Provider]] = []


def register(page: str, provider: Provider, *, order: int = 50) -> None:
    """Add a part to the claim page, in its place."""
    if page != "claim":
        raise ValueError(page)
    if all(p is not provider for _, p in _PROVIDERS):
        _PROVIDERS.append((order, provider))
        _PROVIDERS.sort(key=lambda entry: entry[0])


def of(request: HttpRequest, claim: Claim) -> list[Section]:
    """What the other phases have to say about this claim, in order."""
    return [found for _, provider in _PROVIDERS if (found := provider(request, claim)) is not None]


def claims_of_exam(request: HttpRequest, exam: Exam) -> Section | None:
    """The claims an exam's charges stand on."""
    actor = request.actor  # type: ignore[attr-defined]
    if not actor.can("claim.view", exam):
        return None
    rows = (
        Claim.objects.visible_to(actor)
        .filter(lines__charge__exam=exam)
        .select_related("payer")
        .distinct()
        .order_by("id")
    )
    claims = [(c, TONES[c.status]) for c in rows]
    return Section("Claims", "claims/of_exam.html", {"claims": claims}) if claims else None
