"""REST of the authorization phase: records, and the four-way match as a question (`POST
/match`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.urls import include, path
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from authorizations import payload, services
from authorizations.history import PayerTurnaround, turnaround_by_payer
from authorizations.loading import catalog, crosswalk, requirement_rules
from authorizations.matching import MatchContext
from authorizations.models import Authorization, AuthorizedService, AuthStatus
from authorizations.replies import DENIAL_KINDS
from intake.api import ChartReads
from rcm.accounts.clock import office_day
from rcm.accounts.partners import PartnerView
from rcm.accounts.problems import Refused, problem
from rcm.accounts.rest import etag, require_match


class AuthorizedLineOut(serializers.ModelSerializer):
    """A line as granted beside what was asked; `replaces` is the code in whose place the payer
    granted this one.
    """

    replaces = serializers.CharField(source="replaces.code", read_only=True, default=None)
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
            "asked_units",
            "asked_laterality",
            "reason",
            "ordered_exam",
            "replaces",
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
            "denial_kind",
            "requested_at",
            "decided_at",
            "decision_due_at",
            "peer_to_peer_by",
            "peer_to_peer_at",
            "peer_to_peer_with",
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


class RequestIn(serializers.Serializer):
    """How to ask: `electronic` takes FHIR or 278 as the payer's connection offers; phone and portal
    need the reference.
    """

    channel = serializers.ChoiceField(
        choices=("electronic", "fhir", "278", "portal", "phone"), default="electronic"
    )
    urgent = serializers.BooleanField(default=False)
    reference = serializers.CharField(max_length=60, required=False, allow_blank=True, default="")
    contact = serializers.CharField(max_length=60, required=False, allow_blank=True, default="")
    promised_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class DecisionIn(serializers.Serializer):
    """What the payer decided, as heard by phone, portal, fax or mail."""

    status = serializers.ChoiceField(
        choices=("approved", "partial", "modified", "pended", "denied", "not_required", "cancelled")
    )
    channel = serializers.ChoiceField(choices=("phone", "portal", "fax", "mail"))
    number = serializers.CharField(max_length=50, required=False, default="")
    effective_from = serializers.DateField(required=False, default=None)
    effective_to = serializers.DateField(required=False, default=None)
    reference = serializers.CharField(max_length=60, required=False, default="")
    contact = serializers.CharField(max_length=60, required=False, default="")
    reason = serializers.CharField(max_length=200, required=False, default="")
    denial_kind = serializers.ChoiceField(
        choices=[kind for kind, _ in DENIAL_KINDS], required=False, default=""
    )


class AuthorizationView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Authorizations with their lines, what was asked beside what was granted, units used, limits
    and clocks. Asking and deciding is refused like on screen.
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "orders:read", "POST": "authorizations:write"}
    serializer_class = AuthorizationOut
    filterset_class = AuthorizationFilter
    unconditional: ClassVar[frozenset[str]] = frozenset({"ask", "inquire"})
    queryset = Authorization.objects.select_related(
        "patient", "appointment", "payer", "site"
    ).prefetch_related("services__ordered_exam", "services__replaces")

    def _now(self, row: Authorization) -> Response:
        fresh = self.get_queryset().get(pk=row.pk)
        response = Response(AuthorizationOut(fresh).data)
        response["ETag"] = etag(fresh)
        return response

    @extend_schema(request=RequestIn, responses={200: AuthorizationOut})
    @action(detail=True, methods=["post"], url_path="request")
    def ask(self, request: Request, public_id: str) -> Response:
        """Ask the payer; 409 when it was asked already."""
        row = self.get_object()
        form = RequestIn(data=request.data)
        form.is_valid(raise_exception=True)
        services.authorization_request(authorization=row, actor=self.actor, **form.validated_data)
        return self._now(row)

    @extend_schema(request=DecisionIn, responses={200: AuthorizationOut})
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, public_id: str) -> Response:
        """Record a decision; send `If-Match` with the ETag you read."""
        row = self.get_object()
        version = require_match(request, row)
        form = DecisionIn(data=request.data)
        form.is_valid(raise_exception=True)
        services.authorization_decide(
            authorization=row, actor=self.actor, version=version, **form.validated_data
        )
        return self._now(row)

    @extend_schema(request=None, responses={200: AuthorizationOut})
    @action(detail=True, methods=["post"])
    def inquire(self, request: Request, public_id: str) -> Response:
        """Ask the payer's FHIR service how the request stands; the answer lands by itself."""
        row = self.get_object()
        services.authorization_inquire(authorization=row, actor=self.actor)
        return self._now(row)


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


class TurnaroundOut(serializers.Serializer):
    """Decided requests of one payer. Times are medians in hours."""

    payer = serializers.CharField()
    name = serializers.CharField()
    decided = serializers.IntegerField()
    our_hours = serializers.DecimalField(max_digits=10, decimal_places=1)
    payer_hours = serializers.DecimalField(max_digits=10, decimal_places=1)
    longest_hours = serializers.DecimalField(max_digits=10, decimal_places=1)
    standard = serializers.IntegerField(help_text="Standard requests decided")
    standard_within_7_days = serializers.IntegerField()
    expedited = serializers.IntegerField(help_text="Expedited requests decided")
    expedited_within_72_hours = serializers.IntegerField()


class TurnaroundView(PartnerView, APIView):
    """Our preparation time and the payers' decision time, apart, by payer; `days` back from now (1
    to 365, 90 when not given).
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "orders:read"}
    known_parameters = ("days",)

    @extend_schema(
        parameters=[OpenApiParameter("days", int)],
        responses={200: TurnaroundOut(many=True), 422: OpenApiTypes.OBJECT},
        operation_id="authorization_turnaround",
    )
    def get(self, request: Request) -> Response:
        text = request.query_params.get("days", "90")
        days = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
        if not 1 <= days <= 365:
            raise Refused("days is a number from 1 to 365.", field="days", code="invalid")
        now = timezone.now()
        rows = turnaround_by_payer(self.actor, since=now - timedelta(days=days), until=now)
        return Response([_turnaround(p) for p in rows])


def _turnaround(p: PayerTurnaround) -> dict[str, Any]:
    return {
        "payer": p.payer,
        "name": p.name,
        "decided": p.decided,
        "our_hours": _hours(p.ours),
        "payer_hours": _hours(p.payers),
        "longest_hours": _hours(p.longest),
        "standard": p.standard,
        "standard_within_7_days": p.standard_in_time,
        "expedited": p.expedited,
        "expedited_within_72_hours": p.expedited_in_time,
    }


def _hours(length: timedelta) -> str:
    return f"{length.total_seconds() / 3600:.1f}"


router = SimpleRouter(trailing_slash=False)
router.register("authorizations", AuthorizationView, basename="authorizations")
urlpatterns = [
    path("authorization-turnaround", TurnaroundView.as_view(), name="authorization-turnaround"),
    path("match", MatchView.as_view(), name="match"),
    path("", include(router.urls)),
]
