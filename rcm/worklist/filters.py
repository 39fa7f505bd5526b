"""What a queue's query string means: one reading for the filter bar, the declared tabs and
everybody's saved views.

Keys: `due=today` · `days=10` (deadline within ten days) · `owner=me|none|<user id>` · `payer`,
`site`, `modality` · `cause` and `tag` (comma lists; either is a reason) · `min=500` (dollars) ·
`state=waiting` · `escalated=1` · any other key is compared with the item's facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import django_filters
from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict

from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock, office_day
from rcm.accounts.models import Membership, Site, User
from rcm.accounts.tenancy import TenantQuerySet
from rcm.reference.models import Payer
from rcm.web.forms import MenuMultiple
from rcm.worklist import registry
from rcm.worklist.models import ItemStatus, WorkItem

NOT_FACTS = frozenset({"view", "q", "order", "cursor", "open", "export"})


def ready_q() -> Q:
    """Open, and not put off until a later day."""
    return Q(next_action_on__isnull=True) | Q(next_action_on__lte=office_day())


def due_q() -> Q:
    """Somebody must act today: the clock has run out, the promised day has come, or the outer limit
    is here.
    """
    today = office_day()
    end = office_clock().ends(office_day())
    return ready_q() & (
        Q(due_at__lte=end) | Q(next_action_on__lte=today) | Q(deadline_on__lte=today)
    )


def _within(days: str) -> Q:
    if not days.isdecimal() or len(days) > 4:
        return Q()
    return Q(deadline_on__lte=office_day() + timedelta(days=int(days)))


def _owner(value: str, actor: Actor) -> Q:
    if value == "me":
        return Q(owner_id=actor.user_id)
    if value == "none":
        return Q(owner__isnull=True)
    return Q(owner_id=int(value)) if value.isdecimal() and len(value) < 19 else Q(pk__in=[])


def condition(query: str | Mapping[str, Any] | QueryDict, actor: Actor) -> Q:
    """The rows a query string names. Unknown values name none; nothing in it is ever taken as
    SQL.
    """
    params = QueryDict(query.lstrip("?")) if isinstance(query, str) else query
    found = Q()
    for key in params:
        values = [
            v
            for v in (params.getlist(key) if isinstance(params, QueryDict) else [str(params[key])])
            if v
        ]
        if key in NOT_FACTS or not values:
            continue
        parts = [part for value in values for part in value.split(",") if part]
        if key == "due":
            found &= due_q()
        elif key == "days":
            found &= _within(values[-1])
        elif key == "owner":
            found &= _owner(values[-1], actor)
        elif key in ("payer", "site"):
            found &= Q(
                **{f"{key}_id__in": [int(p) for p in parts if p.isdecimal() and len(p) < 19]}
            )
        elif key in ("cause", "tag", "tags"):
            found &= Q(cause__in=parts) | Q(tags__overlap=parts)
        elif key == "min":
            found &= (
                Q(dollars__gte=Decimal(values[-1]))
                if values[-1].isdecimal() and len(values[-1]) < 10
                else Q()
            )
        elif key == "escalated":
            found &= Q(escalated_at__isnull=False)
        elif key == "state":
            found &= Q(status=ItemStatus.PENDED) if values[-1] == "waiting" else Q()
        elif key.isidentifier() and len(key) <= 30:
            found &= Q(**{f"facts__{key}__in": parts}) if "__" not in key else Q()
    return found


def opened_to(
    actor: Actor, rows: TenantQuerySet[WorkItem] | None = None
) -> TenantQuerySet[WorkItem]:
    """The items that the actor may open: those of each queue, where its permission holds."""
    codes: dict[Actor, list[str]] = {}
    for queue in registry.all_queues():
        if actor.can_somewhere(queue.permission):
            codes.setdefault(actor.where(queue.permission), []).append(queue.code)
    shown = Q(pk__in=[])
    for holder, queues in codes.items():
        shown |= Q(queue__in=queues) & WorkItem.objects.visible_q(holder)
    return (WorkItem.objects.all() if rows is None else rows).filter(shown)


def _payers(request: HttpRequest | None) -> QuerySet[Payer]:
    return Payer.objects.filter(active=True)


def _sites(request: HttpRequest | None) -> QuerySet[Site]:
    actor: Actor | None = getattr(request, "actor", None)
    rows = Site.objects.filter(organization_id__in=actor.organizations if actor else [])
    return rows.filter(pk__in=actor.sites) if actor and actor.sites else rows


def colleagues(actor: Actor) -> QuerySet[User]:
    """Active people of the actor's organizations."""
    members = Membership.objects.filter(organization_id__in=actor.organizations).values("user_id")
    return User.objects.filter(pk__in=members, is_active=True).order_by(
        "last_name", "first_name", "pk"
    )


MODALITIES = [(m, m) for m in ("CT", "MR", "PET", "US", "XR", "MG", "NM", "DXA", "FL")]


class ItemFilter(django_filters.FilterSet):
    """The filter bar of every queue."""

    q = django_filters.CharFilter(
        label="Patient, claim or MRN",
        method="search",
        widget=forms.TextInput(attrs={"placeholder": "Patient, claim or MRN"}),
    )
    payer = django_filters.ModelMultipleChoiceFilter(
        label="Payer",
        queryset=_payers,
        field_name="payer_id",
        method="by_ids",
        widget=MenuMultiple("Payer"),
    )
    site = django_filters.ModelMultipleChoiceFilter(
        label="Site",
        queryset=_sites,
        field_name="site_id",
        method="by_ids",
        widget=MenuMultiple("Site"),
    )
    modality = django_filters.ChoiceFilter(
        label="Modality", choices=MODALITIES, empty_label="Any modality", method="by_modality"
    )
    owner = django_filters.CharFilter(label="Owner", method="by_owner")
    cause = django_filters.CharFilter(label="Cause", widget=forms.HiddenInput)
    reason = django_filters.CharFilter(label="Reason", method="by_fact", widget=forms.HiddenInput)
    field = django_filters.CharFilter(label="Field", method="by_fact", widget=forms.HiddenInput)

    class Meta:
        model = WorkItem
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        actor = self.request.actor
        people = [(str(u.pk), u.display_name) for u in colleagues(actor)]
        choices = [("", "Any owner"), ("me", "Me"), ("none", "Nobody yet"), *people]
        self.filters["owner"].field_class = forms.ChoiceField
        self.filters["owner"].extra.update(choices=choices)

    def search(self, rows: QuerySet[WorkItem], name: str, value: str) -> QuerySet[WorkItem]:
        text = value.strip()
        return rows.filter(
            Q(patient_name__icontains=text)
            | Q(facts__claim__icontains=text)
            | Q(facts__mrn__icontains=text)
            | Q(facts__accession__icontains=text)
        )

    def by_ids(self, rows: QuerySet[WorkItem], name: str, value: Any) -> QuerySet[WorkItem]:
        ids = [v.pk for v in value]
        return rows.filter(**{f"{name}__in": ids}) if ids else rows

    def by_fact(self, rows: QuerySet[WorkItem], name: str, value: str) -> QuerySet[WorkItem]:
        if name == "reason":
            return rows.filter(Q(facts__carc=value) | Q(facts__reason=value))
        return rows.filter(**{f"facts__{name}": value})

    def by_modality(self, rows: QuerySet[WorkItem], name: str, value: str) -> QuerySet[WorkItem]:
        return rows.filter(facts__modality=value)

    def by_owner(self, rows: QuerySet[WorkItem], name: str, value: str) -> QuerySet[WorkItem]:
        return rows.filter(_owner(value, self.request.actor)) if value else rows
