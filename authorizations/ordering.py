"""May the exam differ from its order? Test-design changes against new orders (rule `order-change`).

A testing facility may set what the order left open, correct an obvious error, and, under every
condition of the emergency rule, add a test. Everything else needs a new order from the treating
practitioner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from authorizations.facts import OrderedFact, PerformedFact
from authorizations.families import Catalog, Procedure, Relation, compare


class OrderVerdict(StrEnum):
    AS_ORDERED = "as_ordered"
    TEST_DESIGN = "test_design"
    LESS_THAN_ORDERED = "less_than_ordered"
    CORRECTED_ERROR = "corrected_error"
    ORDERED_BY_READER = "ordered_by_reader"
    URGENT_ADDITION = "urgent_addition"
    NO_ORDER_NEEDED = "no_order_needed"
    NEW_ORDER_REQUIRED = "new_order_required"
    ORDER_MISSING = "order_missing"


STOPS = frozenset({OrderVerdict.NEW_ORDER_REQUIRED, OrderVerdict.ORDER_MISSING})


@dataclass(frozen=True, slots=True)
class OrderPolicy:
    """Families with their own ordering rule: screening needs no order, and its reader may order
    what follows it.
    """

    no_order_families: frozenset[str] = frozenset({"MG_SCREEN", "MG_SCREEN_TOMO"})
    reader_may_order: Mapping[str, frozenset[str]] = field(
        default_factory=lambda: {"MG_SCREEN": frozenset({"MG_DX", "MG_DX_TOMO"})}
    )


DEFAULT_ORDER_POLICY = OrderPolicy()


@dataclass(frozen=True, slots=True)
class ChangeEvidence:
    """What the chart says about the change. The emergency rule needs all of its five facts (rule
    `order-change`).
    """

    obvious_error: bool = False
    ordered_by_reader: bool = False
    ordered_test_done: bool = False
    result_abnormal: bool = False
    delay_harmful: bool = False
    orderer_unreachable: bool = False
    result_sent: bool = False
    documented: bool = False

    def urgent_gaps(self) -> tuple[str, ...]:
        """The conditions of an urgent addition that are not shown."""
        conditions = {
            "the ordered test was done": self.ordered_test_done,
            "its result was abnormal": self.result_abnormal,
            "delay would harm": self.delay_harmful,
            "the ordering provider could not be reached": self.orderer_unreachable,
            "the result was sent to the ordering provider": self.result_sent,
            "all of it is documented": self.documented,
        }
        return tuple(words for words, shown in conditions.items() if not shown)


NO_EVIDENCE = ChangeEvidence()


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    verdict: OrderVerdict
    sentence: str
    action: str = ""

    @property
    def stops(self) -> bool:
        return self.verdict in STOPS


def judge_change(
    ordered: OrderedFact | None,
    performed: PerformedFact,
    catalog: Catalog,
    *,
    evidence: ChangeEvidence = NO_EVIDENCE,
    policy: OrderPolicy = DEFAULT_ORDER_POLICY,
) -> OrderAnswer:
    """Say whether `performed` may stand under `ordered`, and what is needed if not."""
    done = catalog.get(performed.code)
    if ordered is None or not ordered.code:
        if done is not None and done.family in policy.no_order_families:
            return OrderAnswer(
                OrderVerdict.NO_ORDER_NEEDED,
                f"{performed.code} is a screening exam: it needs no order.",
            )
        return OrderAnswer(
            OrderVerdict.ORDER_MISSING,
            f"No order for {performed.code}: the exam cannot be billed.",
            "Get the order from the treating practitioner.",
        )
    side_changed = bool(
        ordered.laterality and performed.laterality and ordered.laterality != performed.laterality
    )
    if ordered.code == performed.code and not side_changed:
        return OrderAnswer(OrderVerdict.AS_ORDERED, "Performed as ordered.")
    if (
        evidence.obvious_error
        and evidence.documented
        and (side_changed or _same_family(ordered.code, performed.code, catalog))
    ):
        return OrderAnswer(
            OrderVerdict.CORRECTED_ERROR,
            "An obvious error of the order was corrected and documented.",
        )
    asked = catalog.get(ordered.code)
    if not side_changed and asked is not None and done is not None:
        if asked.family == done.family:
            opened = _left_open(ordered, performed, catalog)
            if opened:
                return OrderAnswer(
                    OrderVerdict.TEST_DESIGN, f"The order left {opened} open; the facility set it."
                )
        elif (
            done.family in policy.reader_may_order.get(asked.family, frozenset())
            and evidence.ordered_by_reader
        ):
            return OrderAnswer(
                OrderVerdict.ORDERED_BY_READER,
                "The interpreting physician ordered the diagnostic exam after the screening one.",
            )
        less = _less(asked, done)
        if less:
            return OrderAnswer(
                OrderVerdict.LESS_THAN_ORDERED,
                f"Less than ordered: {performed.code} instead of {ordered.code}, {less}.",
                "Accept it when the report says what was done, or get the rest done.",
            )
    gaps = evidence.urgent_gaps()
    if not gaps:
        return OrderAnswer(
            OrderVerdict.URGENT_ADDITION,
            "Added without an order under the emergency rule; every condition is documented.",
        )
    what = (
        f"side {performed.laterality} instead of {ordered.laterality}"
        if side_changed
        else f"{performed.code} instead of {ordered.code}"
    )
    missing = (
        f" For an urgent addition these are not shown: {'; '.join(gaps)}."
        if evidence.ordered_test_done
        else ""
    )
    return OrderAnswer(
        OrderVerdict.NEW_ORDER_REQUIRED,
        f"Performed {what}, which the order does not allow.{missing}",
        "Get a new order from the treating practitioner, or hold.",
    )


def _less(asked: Procedure, done: Procedure) -> str:
    """In what the exam is less than the ordered one of its family, and in nothing more; blank when
    it is not. The order for the whole covers its part.
    """
    if asked.family != done.family:
        return ""
    related = compare(asked, done)
    return related.because.partition(": ")[2] if related.relation is Relation.LOWER else ""


def _same_family(left: str, right: str, catalog: Catalog) -> bool:
    one, other = catalog.get(left), catalog.get(right)
    return one is not None and other is not None and one.family == other.family


def _left_open(ordered: OrderedFact, performed: PerformedFact, catalog: Catalog) -> str:
    """The design parameter that the order left open and that alone differs; blank when it was not
    left open.
    """
    asked, done = catalog[ordered.code], catalog[performed.code]
    contrast = asked.contrast != done.contrast
    views = asked.views_min != done.views_min
    other = (
        asked.extent != done.extent or asked.bilat_ind != done.bilat_ind or not (contrast or views)
    )
    if other or (contrast and not ordered.contrast_open) or (views and not ordered.views_open):
        return ""
    return "the use of contrast" if contrast else "the number of views"
