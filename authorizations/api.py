"""REST of the authorization phase: records, and the four-way match as a question (`POST
/match`).
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.urls import include, path
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from authorizations import payload
from authorizations.loading import catalog, crosswalk, requirement_rules
from authorizations.matching import MatchContext
from authorizations.models import Authorization, AuthorizedService, AuthStatus
from intake.api import ChartReads
from rcm.accounts.clock import office_day
from rcm.accounts.partners import PartnerView
from rcm.accounts.problems import problem


class AuthorizedLineOut(serializers.ModelSerializer):
    ordered_exam = serializers.UUIDField(
        source="ordered_exam.public_id", read_only=True, default=None
    )

    class Meta:
        model = AuthorizedService
        fields: ClassVar[list[str]] = [
            "code",
            "laterality",
            "units",
            "used",
            "status",
            "ordered_exam",
        ]


class AuthorizationOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    patient = serializers.UUIDField(source="patient.public_id", read_only=True)
    appointment = serializers.UUIDField(
        source="appointment.public_id", read_only=True, default=None
    )
    payer = serializers.CharField(source="payer.code", read_only=True)
    site = serializers.CharField(source="site.code", read_only=True)
    services = AuthorizedLineOut(many=True, read_only=True)
    requirement = serializers.SerializerMethodField()

    class Meta:
        model = Authorization
        fields: ClassVar[list[str]] = [
            "id",
            "patient",
            "appointment",
            "payer",
            "site",
            "status",
            "kind",
            "number",
            "member_id",
            "diagnoses",
            "effective_from",
            "effective_to",
            "ordering_npi",
            "rendering_npi",
            "facility_npi",
            "reviewer",
            "reference",
            "denial_reason",
            "requested_at",
            "decided_at",
            "decision_due_at",
            "peer_to_peer_by",
            "version",
            "requirement",
            "services",
        ]

    def get_requirement(self, row: Authorization) -> list[dict[str, Any]]:
        """By code: required or not, and because of what."""
        return [
            {k: c[k] for k in ("code", "verdict", "sentence", "rule")}
            for c in row.evidence.get("codes", ())
        ]


class AuthorizationFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=AuthStatus.choices)
    number = filters.CharFilter()
    patient = filters.UUIDFilter(field_name="patient__public_id")
    appointment = filters.UUIDFilter(field_name="appointment__public_id")
    payer = filters.CharFilter(field_name="payer__code")

    class Meta:
        model = Authorization
        fields: ClassVar[list[str]] = ["status", "number", "patient", "appointment", "payer"]


class AuthorizationView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Authorizations with their lines, units used, limits and clocks."""

    scopes: ClassVar[dict[str, str]] = {"GET": "orders:read"}
    serializer_class = AuthorizationOut
    filterset_class = AuthorizationFilter
    queryset = Authorization.objects.select_related(
        "patient", "appointment", "payer", "site"
    ).prefetch_related("services__ordered_exam")


class MatchView(PartnerView, APIView):
    """Ordered, authorized, performed, billed: one verdict with its sentence, owner, deadline and
    grid. Our catalog, rules and crosswalks judge.
    """

    scopes: ClassVar[dict[str, str]] = {"POST": "rules:read"}

    @extend_schema(
        request=OpenApiTypes.OBJECT,
        responses={200: OpenApiTypes.OBJECT, 422: OpenApiTypes.OBJECT},
        operation_id="match",
    )
    def post(self, request: Request) -> Response:
        today = office_day()
        known = catalog(today)
        given: Any = request.data
        answer = payload.match(
            given,
            context=MatchContext(known, crosswalk()),
            today=today,
            rules=requirement_rules(known),
        )
        if answer.get("errors"):
            return problem(422, "The question has faults.", code="invalid", errors=answer["errors"])
        return Response(answer)


router = SimpleRouter(trailing_slash=False)
router.register("authorizations", AuthorizationView, basename="authorizations")
urlpatterns = [path("match", MatchView.as_view(), name="match"), path("", include(router.urls))]
