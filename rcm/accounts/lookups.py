"""Many ids in a filter travel as one array. Django prepares, spells and quotes each of them alone,
which for a thousand ids costs more than the query.
"""

from __future__ import annotations

from typing import Any

from django.db.models import BigIntegerField, ForeignKey, IntegerField
from django.db.models.expressions import ColPairs
from django.db.models.fields.related_lookups import RelatedIn
from django.db.models.lookups import In

MANY = 20


class _Numbers:
    """`IN (…)` as `= ANY('{…}'::bigint[])`, which PostgreSQL plans alike, for plain numbers. Few
    values, subqueries and whatever else is not a plain number go Django's way.
    """

    lhs: Any
    rhs: Any
    numbers: str = ""

    def get_prep_lookup(self) -> Any:
        values = self.rhs
        if isinstance(values, (list, tuple, set, frozenset)) and len(values) >= MANY:
            known = set(values) - {None}
            if known and all(type(v) is int for v in known) and self._is_number():
                self.numbers = "{" + ",".join(map(str, sorted(known))) + "}"
                return values
        return super().get_prep_lookup()  # type: ignore[misc]

    def _is_number(self) -> bool:
        field = self.lhs.output_field
        return isinstance(getattr(field, "target_field", field), IntegerField)

    def process_rhs(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        if self.numbers:
            return "%s", [self.numbers]
        return super().process_rhs(compiler, connection)  # type: ignore[misc,no-any-return]

    def get_rhs_op(self, connection: Any, rhs: str) -> str:
        if self.numbers:
            return f"= ANY({rhs}::bigint[])"
        return super().get_rhs_op(connection, rhs)  # type: ignore[misc,no-any-return]


class InNumbers(_Numbers, In):  # type: ignore[misc]
    pass


class InKeys(_Numbers, RelatedIn):  # type: ignore[misc]
    def _is_number(self) -> bool:
        return not isinstance(self.lhs, ColPairs) and super()._is_number()


def install() -> None:
    for field in (IntegerField, BigIntegerField):
        field.register_lookup(InNumbers)
    ForeignKey.register_lookup(InKeys)
