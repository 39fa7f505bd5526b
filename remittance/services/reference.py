"""What the pure rules need from reference tables and policies, prepared once."""

from __future__ import annotations

from datetime import date

from django.db.models import Q

from rcm.reference import facts
from remittance import tables
from remittance.models import RemittancePolicy
from remittance.plan import Book, Reason


def book() -> Book:
    """Reason and remark codes, kept in this process until new ones are loaded."""

    def build() -> Book:
        return Book(
            {
                code: Reason(
                    code, row.klass, row.category, row.owner_stage, row.preventable, row.words
                )
                for code, row in facts.adjustment_reasons().items()
            },
            {code: row.category for code, row in facts.remarks().items()},
        )

    return facts.keep("remittance book", ("carc", "rarc"), build)


def policy(organization_id: int, on: date) -> tables.Policy:
    """The organization's own policy of a day, or the shipped one."""
    row = (
        RemittancePolicy.objects.filter(organization_id=organization_id, effective_from__lte=on)
        .filter(Q(effective_to__isnull=True) | Q(effective_to__gte=on))
        .order_by("-effective_from")
        .first()
    )
    if row is None:
        return tables.default_policy(on)
    return tables.Policy(row.auto_post, row.variance_dollars, row.variance_percent, row.review_days)
