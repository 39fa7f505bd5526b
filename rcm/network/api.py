"""REST of the network: the dated spans, and how everybody stands with one payer on a day."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import Http404
from django.urls import path
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from rcm.accounts.clock import office_day
from rcm.accounts.models import Organization
from rcm.accounts.partners import PartnerView
from rcm.accounts.rest import ByPublicId
from rcm.network.models import NetworkSpan, Party, Standing
from rcm.network.standing import readers_of_payer, sites_of_payer
from rcm.reference.facts import in_force, payer_book
from rcm.reference.models import Plan


class NetworkSpanOut(serializers.ModelSerializer):
    """How one party stands with one payer from a day on. `withdrawn_at` marks what was never true."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    site = serializers.CharField(source="site.code", read_only=True, default=None)
    payer = serializers.CharField(source="payer.code", read_only=True)
    plan = serializers.CharField(source="plan.code", read_only=True, default=None)

    class Meta:
        model = NetworkSpan
        fields: ClassVar[list[str]] = [
            "id",
            "kind",
            "site",
            "npi",
            "payer",
            "plan",
            "status",
            "effective_from",
            "effective_to",
            "note",
            "recorded_at",
            "ended_at",
            "withdrawn_at",
            "withdrawn_reason",
        ]
        read_only_fields = fields


class NetworkSpanFilter(filters.FilterSet):
    kind = filters.ChoiceFilter(choices=Party.choices)
    site = filters.CharFilter(field_name="site__code")
    npi = filters.CharFilter()
    payer = filters.CharFilter(field_name="payer__code")
    plan = filters.CharFilter(field_name="plan__code")
    status = filters.MultipleChoiceFilter(choices=Standing.choices)
    on = filters.DateFilter(method="holding", help_text="Spans that hold on this day")
    withdrawn = filters.BooleanFilter(field_name="withdrawn_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = NetworkSpan
        fields: ClassVar[list[str]] = [
            "kind",
            "site",
            "npi",
            "payer",
            "plan",
            "status",
            "on",
            "withdrawn",
        ]

    def holding(
        self, rows: QuerySet[NetworkSpan], name: str, day: dt.date
    ) -> QuerySet[NetworkSpan]:
        return rows.filter(in_force(day), withdrawn_at__isnull=True)


class NetworkSpanView(
    ByPublicId, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Network and enrollment spans of sites, readers and the billing organization, past ones and
    withdrawn ones too, newest first.
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "rules:read"}
    queryset = NetworkSpan.objects.select_related("site", "payer", "plan")
    serializer_class = NetworkSpanOut
    filterset_class = NetworkSpanFilter


def _named(name: str, words: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, more.pop("type", OpenApiTypes.STR), description=words, **more)


class NetworkStandingView(PartnerView, APIView):
    """Who is in network with a payer on a day: every site, and the readers that are known, each
    with its standing; blank where nothing is known. A plan's own span goes before its payer's.
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "rules:read"}
    known_parameters: ClassVar[tuple[str, ...]] = ("payer", "plan", "date", "site")

    @extend_schema(
        parameters=[
            _named("payer", "Payer code, EDI id or name", required=True),
            _named("plan", "Plan code of this payer"),
            _named("site", "Only this site's code"),
            _named("date", "Day of service, ISO 8601; today when absent", type=OpenApiTypes.DATE),
        ],
        responses={200: OpenApiTypes.OBJECT, 400: OpenApiTypes.OBJECT},
        operation_id="network_standing",
    )
    def get(self, request: Request) -> Response:
        asked = request.query_params
        name = asked.get("payer", "")
        payer = payer_book().find(code=name, edi_id=name, name=name)
        if payer is None:
            raise serializers.ValidationError(
                {"payer": "There is no payer of this code, EDI id or name."}
            )
        plan = None
        if asked.get("plan"):
            plan = Plan.objects.filter(payer=payer, code__iexact=asked["plan"]).first()
            if plan is None:
                raise serializers.ValidationError({"plan": f"{payer.name} has no such plan."})
        day = _day(asked.get("date", ""))
        organization = Organization.objects.get(pk=min(self.actor.organizations))
        known: dict[str, Any] = {
            "organization_id": organization.pk,
            "payer_id": payer.pk,
            "plan_id": plan.pk if plan else None,
            "day": day,
        }
        sites = [
            {"site": site.code, "name": site.name, "status": status}
            for site, status in sites_of_payer(**known)
            if asked.get("site") in (None, "", site.code)
        ]
        if asked.get("site") and not sites:
            raise Http404
        return Response(
            {
                "payer": payer.code,
                "plan": plan.code if plan else None,
                "date": day.isoformat(),
                "sites": sites,
                "readers": [
                    {"npi": r.npi, "name": r.name, "status": r.status}
                    for r in readers_of_payer(**known)
                ],
            }
        )


def _day(text: str) -> dt.date:
    if not text:
        return office_day()
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise serializers.ValidationError({"date": "Write the day as 2026-03-27."}) from None


router = SimpleRouter(trailing_slash=False)
router.register("network/spans", NetworkSpanView, basename="network-spans")
urlpatterns = [
    *router.urls,
    path("network/standing", NetworkStandingView.as_view(), name="network-standing"),
]
