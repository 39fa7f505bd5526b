"""REST of claims: claims with lines and acknowledgements, scrub, submit, correct, void; edits. The
same services as the screens.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Prefetch
from django.urls import path
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from claims import services
from claims.edits.payload import catalogue_rows, scrub_payload
from claims.facts import reference_of_payload
from claims.models import Acknowledgement, Claim, ClaimLine, ClaimStatus, ScrubFinding
from claims.records import Changes
from claims.services.scrubbing import active_rules
from intake.api import ChartReads
from rcm.accounts.clock import office_day
from rcm.accounts.partners import PartnerView
from rcm.accounts.problems import problem
from rcm.accounts.rest import etag


class LineOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    exam = serializers.UUIDField(source="charge.exam.public_id", read_only=True)
    accession = serializers.CharField(source="charge.exam.accession", read_only=True)

    class Meta:
        model = ClaimLine
        fields: ClassVar[list[str]] = [
            "id",
            "number",
            "control",
            "code",
            "modifiers",
            "units",
            "amount",
            "expected",
            "pointers",
            "service_date",
            "exam",
            "accession",
        ]


class FindingOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    line = serializers.IntegerField(source="line.number", read_only=True, default=None)

    class Meta:
        model = ScrubFinding
        fields: ClassVar[list[str]] = [
            "id",
            "edit",
            "severity",
            "sentence",
            "field",
            "fix",
            "owner",
            "rule",
            "source",
            "line",
            "found_at",
            "overridden_by",
            "override_reason",
        ]


class AcknowledgementOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    file = serializers.CharField(source="submission.number", read_only=True, default=None)

    class Meta:
        model = Acknowledgement
        fields: ClassVar[list[str]] = [
            "id",
            "kind",
            "accepted",
            "category",
            "status_code",
            "entity",
            "sentence",
            "field",
            "payer_control_number",
            "file",
            "received_at",
        ]


class ClaimOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    patient = serializers.UUIDField(source="patient.public_id", read_only=True)
    mrn = serializers.CharField(source="patient.mrn", read_only=True)
    payer = serializers.CharField(source="payer.code", read_only=True)
    site = serializers.CharField(source="site.code", read_only=True)
    replaces = serializers.UUIDField(source="replaces.public_id", read_only=True, default=None)

    class Meta:
        model = Claim
        fields: ClassVar[list[str]] = [
            "id",
            "number",
            "patient",
            "mrn",
            "payer",
            "site",
            "rank",
            "form",
            "frequency",
            "replaces",
            "status",
            "pos",
            "service_date",
            "diagnoses",
            "total",
            "expected",
            "authorization_number",
            "payer_control_number",
            "filing_deadline",
            "corrected_deadline",
            "first_submitted_at",
            "last_submitted_at",
            "accepted_at",
            "decided_on",
            "version",
        ]


class ClaimDetailOut(ClaimOut):
    lines = LineOut(source="all_lines", many=True, read_only=True)
    findings = FindingOut(source="open_findings", many=True, read_only=True)

    class Meta(ClaimOut.Meta):
        fields: ClassVar[list[str]] = [*ClaimOut.Meta.fields, "lines", "findings"]


class ClaimFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=ClaimStatus.choices)
    number = filters.CharFilter()
    payer = filters.CharFilter(field_name="payer__code")
    mrn = filters.CharFilter(field_name="patient__mrn")
    accession = filters.CharFilter(field_name="lines__charge__exam__accession", distinct=True)
    service_date = filters.DateFromToRangeFilter()

    class Meta:
        model = Claim
        fields: ClassVar[list[str]] = [
            "status",
            "number",
            "payer",
            "mrn",
            "accession",
            "service_date",
        ]


class ReasonIn(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class VoidIn(ReasonIn):
    again = serializers.BooleanField(
        default=False,
        help_text="Put the charges of a claim that was not filed on a new claim; else they wait in"
        " the queue of charges without a claim",
    )


class LineChangeIn(serializers.Serializer):
    number = serializers.IntegerField(min_value=1, max_value=50)
    modifiers = serializers.ListField(
        child=serializers.RegexField("^[0-9A-Za-z]{2}$"), required=False, max_length=4
    )
    pointers = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=12), required=False, max_length=4
    )


class CorrectIn(ReasonIn):
    """What to change. `unprocessable` says that the payer never processed the claim (MA130)."""

    unprocessable = serializers.BooleanField(default=False)
    authorization_number = serializers.CharField(max_length=50, required=False, allow_blank=True)
    referring_npi = serializers.RegexField("^[12][0-9]{9}$", required=False)
    diagnoses = serializers.ListField(
        child=serializers.RegexField(r"^[A-Za-z][0-9][0-9A-Za-z.]{1,6}$"),
        required=False,
        min_length=1,
        max_length=12,
    )
    note = serializers.CharField(max_length=80, required=False, allow_blank=True)
    attachment_control = serializers.CharField(max_length=50, required=False, allow_blank=True)
    referral_number = serializers.CharField(max_length=50, required=False, allow_blank=True)
    lines = LineChangeIn(many=True, required=False)

    def changes(self) -> Changes:
        data = self.validated_data
        lines = {
            row["number"]: {k: v for k, v in row.items() if k != "number"}
            for row in data.get("lines", ())
        }
        names = (
            "authorization_number",
            "referring_npi",
            "diagnoses",
            "note",
            "attachment_control",
            "referral_number",
        )
        return Changes(lines=lines, **{name: data.get(name) for name in names})


class HeldOut(serializers.Serializer):
    number = serializers.CharField()
    sentence = serializers.CharField()


class SubmittedOut(serializers.Serializer):
    files = serializers.ListField(child=serializers.CharField())
    held = HeldOut(many=True)


class CorrectionOut(serializers.Serializer):
    route = serializers.CharField(
        help_text="edited, replacement, void, new_claim, reopening, waiting"
    )
    claim = serializers.UUIDField(allow_null=True)
    sentence = serializers.CharField()


class ClaimView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Claims. A write sends `If-Match` with the ETag that was read (428 without, 412 when the claim
    has moved on); judging one again may leave it out.
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "claims:read", "POST": "claims:write"}
    serializer_class = ClaimOut
    filterset_class = ClaimFilter
    queryset = Claim.objects.select_related("patient", "payer", "site", "replaces")
    unconditional: ClassVar[frozenset[str]] = frozenset({"scrub"})

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return ClaimDetailOut if self.action == "retrieve" else ClaimOut

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        if self.action != "retrieve":
            return rows
        open_ = (
            ScrubFinding.objects.filter(cleared_at__isnull=True)
            .select_related("line")
            .order_by("severity", "edit", "id")
        )
        return rows.prefetch_related(
            Prefetch(
                "lines",
                queryset=ClaimLine.objects.select_related("charge__exam").order_by("number"),
                to_attr="all_lines",
            ),
            Prefetch("findings", queryset=open_, to_attr="open_findings"),
        )

    def _found(self, request: Request) -> Claim:
        row: Claim = self.get_object()
        self._log([row])
        return row

    def _detail(self, row: Claim) -> Response:
        self.action = "retrieve"
        fresh = self.get_queryset().get(pk=row.pk)
        answer = Response(ClaimDetailOut(fresh).data)
        answer["ETag"] = etag(fresh)
        return answer

    @extend_schema(responses=LineOut(many=True))
    @action(detail=True, pagination_class=None, filterset_class=None)
    def lines(self, request: Request, public_id: str) -> Response:
        row = self._found(request)
        return Response(
            LineOut(row.lines.select_related("charge__exam").order_by("number"), many=True).data
        )

    @extend_schema(responses=AcknowledgementOut(many=True))
    @action(detail=True, pagination_class=None, filterset_class=None)
    def acknowledgements(self, request: Request, public_id: str) -> Response:
        row = self._found(request)
        rows = row.acknowledgements.select_related("submission").order_by("-id")[:200]
        return Response(AcknowledgementOut(rows, many=True).data)

    @extend_schema(request=None, responses=ClaimDetailOut)
    @action(detail=True, methods=["post"])
    def scrub(self, request: Request, public_id: str) -> Response:
        """Judge the claim again; answers it with its findings."""
        row = self._found(request)
        services.claims_scrub(claim_ids=[row.pk], actor=self.actor)
        return self._detail(row)

    @extend_schema(request=None, responses=SubmittedOut)
    @action(detail=True, methods=["post"])
    def submit(self, request: Request, public_id: str) -> Response:
        """Write the claim into a file, when it is ready."""
        row = self._found(request)
        result = services.claims_submit(claim_ids=[row.pk], actor=self.actor)
        numbers = row.submissions.filter(submission_id__in=result.submission_ids).values_list(
            "submission__number", flat=True
        )
        return Response(
            {
                "files": list(numbers),
                "held": [{"number": h.number, "sentence": h.sentence} for h in result.held],
            }
        )

    @extend_schema(request=CorrectIn, responses=CorrectionOut)
    @action(detail=True, methods=["post"])
    def correct(self, request: Request, public_id: str) -> Response:
        """Correct it the way its payer takes it: in place, frequency 7, a new claim, or a
        reopening.
        """
        form = CorrectIn(data=request.data)
        form.is_valid(raise_exception=True)
        row = self._found(request)
        made = services.claim_correct(
            claim=row,
            reason=form.validated_data["reason"],
            changes=form.changes(),
            unprocessable=form.validated_data["unprocessable"],
            actor=self.actor,
        )
        return self._correction(made)

    @extend_schema(request=VoidIn, responses=CorrectionOut)
    @action(detail=True, methods=["post"])
    def void(self, request: Request, public_id: str) -> Response:
        form = VoidIn(data=request.data)
        form.is_valid(raise_exception=True)
        return self._correction(
            services.claim_void(
                claim=self._found(request),
                reason=form.validated_data["reason"],
                again=form.validated_data["again"],
                actor=self.actor,
            )
        )

    def _correction(self, made: Any) -> Response:
        row = (
            Claim.objects.visible_to(self.actor).filter(pk=made.claim_id).first()
            if made.claim_id
            else None
        )
        return Response(
            {
                "route": made.route.value,
                "claim": row.public_id if row else None,
                "sentence": made.sentence,
            }
        )


class ScrubView(PartnerView, APIView):
    """Judge claims that come as JSON and are not kept, by the same edits, tables and rules (issue
    of the engines, section 5).
    """

    scopes: ClassVar[dict[str, str]] = {"POST": "rules:read"}

    @extend_schema(
        request=OpenApiTypes.OBJECT,
        responses={200: OpenApiTypes.OBJECT, 422: OpenApiTypes.OBJECT},
        operation_id="scrub",
    )
    def post(self, request: Request) -> Response:
        today = office_day()
        organization_id = min(self.actor.organizations)
        rules = active_rules([organization_id], today).get(organization_id, [])
        body: Any = request.data
        tables = reference_of_payload(body, organization_id=organization_id)
        answer = scrub_payload(body, tables, today=today, rules=rules)
        if answer.get("errors"):
            return problem(422, "The request has faults.", code="invalid", errors=answer["errors"])
        return Response(answer)


class EditsView(PartnerView, APIView):
    """The catalogue of edits: id, sentence, severity, source, fix, the denials each prevents."""

    scopes: ClassVar[dict[str, str]] = {"GET": "rules:read"}

    @extend_schema(responses={200: OpenApiTypes.OBJECT}, operation_id="edits")
    def get(self, request: Request) -> Response:
        return Response({"results": catalogue_rows()})


router = SimpleRouter(trailing_slash=False)
router.register("claims", ClaimView, basename="claims")
urlpatterns = [
    *router.urls,
    path("scrub", ScrubView.as_view(), name="scrub"),
    path("edits", EditsView.as_view(), name="edits"),
]
