"""Key figures in the rule book."""

from __future__ import annotations

from django.urls import reverse

from ar.kpi.definitions import KPIS
from rcm.web.rulebook import Mention


def figures_of_rule(slug: str) -> list[Mention]:
    """The figures that a rule defines, for its page."""
    return [
        Mention(kpi.label, reverse("ar:kpi", args=[kpi.code]), permission="kpi.view")
        for kpi in KPIS
        if kpi.rule == slug
    ]
