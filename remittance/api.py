"""REST of the remittance phase: remittances in, posted and read; denials with their deadlines. The
same services as the screens.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, ClassVar

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from intake.api import ChartReads
from rcm.accounts.problems import Refused
from rcm.accounts.rest import ByPublicId, etag
from remittance import services
from remittance.models import (
    Appeal,
    ClaimPayment,
    Denial,
    ProviderAdjustment,
    Remittance,
    ServicePayment,
)
from remittance.present import category_rule, provider_words
from remittance.services.doors import receive_now


class ServicePaymentOut(serializers.ModelSerializer):
    adjustments = serializers.SerializerMethodField()

    class Meta:
        model = ServicePayment
        fields: ClassVar[list[str]] = [
            "position",
            "code",
            "modifiers",
            "original_code",
            "billed",
            "paid",
            "allowed",
            "expected",
            "units",
            "control",
            "remarks",
            "adjustments",
        ]

    def get_adjustments(self, row: ServicePayment) -> list[dict[str, str]]:
        return [
            {"group": a.group, "reason": a.reason, "amount": str(a.amount), "class": a.klass}
            for a in sorted(row.adjustments.all(), key=lambda a: a.pk)
        ]


class PaymentOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    claim = serializers.UUIDField(source="claim.public_id", read_only=True, default=None)
    services = ServicePaymentOut(many=True, read_only=True)
    corrected_member_id = serializers.CharField(
        source="references.corrected_id", read_only=True, default=""
    )

    class Meta:
        model = ClaimPayment
        fields: ClassVar[list[str]] = [
            "id",
            "position",
            "claim",
            "claim_number",
            "payer_control_number",
            "status_code",
            "billed",
            "paid",
            "patient_responsibility",
            "service_date",
            "corrected_member_id",
            "state",
            "exception",
            "sentence",
            "services",
        ]


class ProviderAdjustmentOut(serializers.ModelSerializer):
    words = serializers.SerializerMethodField()

    class Meta:
        model = ProviderAdjustment
        fields: ClassVar[list[str]] = ["position", "reason", "words", "reference", "amount"]

    def get_words(self, row: ProviderAdjustment) -> str:
        return provider_words(row.reason)


class RemittanceOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    payer = serializers.CharField(source="payer.code", read_only=True, default=None)

    class Meta:
        model = Remittance
        fields: ClassVar[list[str]] = [
            "id",
            "trace",
            "payer_ref",
            "occurrence",
            "payer",
            "payer_name",
            "source",
            "method",
            "paid_on",
            "amount",
            "claims_total",
            "plb_total",
            "claim_count",
            "status",
            "held_for",
            "payee_name",
            "payee_npi",
            "findings",
            "received_at",
            "posted_at",
            "reversed_at",
            "deposited_on",
            "version",
        ]


class RemittanceWhole(RemittanceOut):
    """With its provider-level amounts; its claims are at `…/payments`."""

    provider_adjustments = ProviderAdjustmentOut(many=True, read_only=True)

    class Meta(RemittanceOut.Meta):
        fields: ClassVar[list[str]] = [*RemittanceOut.Meta.fields, "provider_adjustments"]


class RemittanceIn(serializers.Serializer):
    """An 835 file, byte for byte."""

    content = serializers.CharField(
        help_text="The file in base64", max_length=12_000_000, trim_whitespace=False
    )
    file_name = serializers.CharField(max_length=120, required=False, default="upload.835")

    def validate_content(self, value: str) -> bytes:
        try:
            return base64.b64decode(value.encode("ascii"), validate=True)
        except (binascii.Error, ValueError, UnicodeEncodeError) as error:
            raise serializers.ValidationError("This is no base64.", code="invalid") from error


class PaidOnIn(serializers.Serializer):
    """The date of a payment, as the bank statement says."""

    paid_on = serializers.DateField()


class Received(serializers.Serializer):
    """What became of a file. `remittances` is empty while a large file is still being read."""

    interchange = serializers.UUIDField()
    repeated = serializers.BooleanField(help_text="The same bytes were here before")
    status = serializers.CharField()
    summary = serializers.JSONField()
    remittances = RemittanceOut(many=True)


class PostedOut(serializers.Serializer):
    remittance = RemittanceOut()
    claims = serializers.IntegerField()
    transactions = serializers.IntegerField()
    denials = serializers.IntegerField()
    variances = serializers.IntegerField()
    unapplied = serializers.IntegerField()
    repeated = serializers.BooleanField(
        help_text="It had been posted before; nothing was written now"
    )


class RemittanceFilter(filters.FilterSet):
    status = filters.CharFilter()
    trace = filters.CharFilter()
    payer = filters.CharFilter(field_name="payer__code")
    paid_on = filters.DateFromToRangeFilter()

    class Meta:
        model = Remittance
        fields: ClassVar[list[str]] = ["status", "trace", "payer", "paid_on"]


class RemittanceView(
    ByPublicId, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Remittances. POST takes an 835 file; `…/post` posts one that balances, once. Another date and
    opening one again need `If-Match`.
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "remittances:read", "POST": "remittances:write"}
    serializer_class = RemittanceOut
    filterset_class = RemittanceFilter
    unconditional: ClassVar[frozenset[str]] = frozenset({"post_now", "read_again"})
    queryset = Remittance.objects.select_related("payer")

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return RemittanceWhole if self.action == "retrieve" else RemittanceOut

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        row = self.get_object()
        response = Response(self.get_serializer(row).data)
        response["ETag"] = etag(row)
        return response

    @extend_schema(request=RemittanceIn, responses={201: Received, 200: Received, 202: Received})
    def create(self, request: Request) -> Response:
        form = RemittanceIn(data=request.data)
        form.is_valid(raise_exception=True)
        interchange, fresh = services.advice_upload(
            organization_id=min(self.actor.organizations),
            content=form.validated_data["content"],
            file_name=form.validated_data["file_name"],
            actor=self.actor,
        )
        if fresh:
            receive_now(interchange, actor=self.actor)
        rows = list(self.get_queryset().filter(interchange=interchange).order_by("id"))
        code = (
            status.HTTP_200_OK
            if not fresh
            else (
                status.HTTP_201_CREATED
                if interchange.status != "stored"
                else status.HTTP_202_ACCEPTED
            )
        )
        body = {
            "interchange": interchange.public_id,
            "repeated": not fresh,
            "status": interchange.status,
            "summary": interchange.summary,
            "remittances": RemittanceOut(rows, many=True).data,
        }
        return Response(body, status=code)

    @extend_schema(request=None, responses={200: PostedOut})
    @action(detail=True, methods=["post"], url_path="post")
    def post_now(self, request: Request, public_id: str = "") -> Response:
        """Post it. Repeating posts nothing."""
        row = self.get_object()
        if row.claim_count > 5000:
            raise Refused(
                "This remittance is large: the posting workers post it.",
                code="too_large",
                fix="Post it on its screen.",
            )
        done = services.remittance_post(remittance=row, actor=self.actor)
        return Response(
            {
                "remittance": RemittanceOut(row).data,
                "claims": done.claims,
                "transactions": done.transactions,
                "denials": done.denials,
                "variances": done.variances,
                "unapplied": done.unapplied,
                "repeated": done.repeated,
            }
        )

    @extend_schema(request=PaidOnIn, responses={200: RemittanceOut})
    @action(detail=True, methods=["post"])
    def date(self, request: Request, public_id: str = "") -> Response:
        """Give the date of a payment whose file names none; it is read again with it."""
        form = PaidOnIn(data=request.data)
        form.is_valid(raise_exception=True)
        row = services.remittance_date(
            remittance=self.get_object(), paid_on=form.validated_data["paid_on"], actor=self.actor
        )
        return Response(RemittanceOut(row).data)

    @extend_schema(request=None, responses={200: RemittanceOut})
    @action(detail=True, methods=["post"], url_path="read-again")
    def read_again(self, request: Request, public_id: str = "") -> Response:
        """Read a held remittance from its stored file again, once what held it is gone."""
        row = services.remittance_read_again(remittance=self.get_object(), actor=self.actor)
        return Response(RemittanceOut(row).data)

    @extend_schema(request=None, responses={200: RemittanceOut})
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, public_id: str = "") -> Response:
        """Take a reversed remittance up again, to correct and post it."""
        row = services.remittance_reopen(remittance=self.get_object(), actor=self.actor)
        return Response(RemittanceOut(row).data)

    @extend_schema(responses={200: PaymentOut(many=True)}, filters=False)
    @action(detail=True, methods=["get"], filterset_class=None)
    def payments(self, request: Request, public_id: str = "") -> Response:
        """Its claims with their lines, by page."""
        row = self.get_object()
        rows = (
            ClaimPayment.objects.visible_to(self.actor)
            .filter(remittance=row)
            .select_related("claim")
            .prefetch_related("services__adjustments")
        )
        page = self.paginate_queryset(rows)
        self._log(page or [])
        return self.get_paginated_response(PaymentOut(page, many=True).data)

    def _log(self, rows: list[ClaimPayment]) -> None:
        from rcm.audit.services import record_access

        ids = {r.claim.patient_id for r in rows if r.claim}
        if ids:
            record_access(
                organization_id=min(self.actor.organizations),
                patient_ids=ids,
                actor=self.actor,
                purpose="api remittances",
            )


class AppealOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)

    class Meta:
        model = Appeal
        fields: ClassVar[list[str]] = [
            "id",
            "level",
            "sent_on",
            "due_on",
            "outcome",
            "outcome_on",
            "recovered",
        ]


class DenialOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    claim = serializers.UUIDField(source="claim.public_id", read_only=True)
    claim_number = serializers.CharField(source="claim.number", read_only=True)
    payer = serializers.CharField(source="payer.code", read_only=True)
    code = serializers.CharField(source="line.code", read_only=True, default=None)
    modifiers = serializers.JSONField(source="line.modifiers", read_only=True, default=None)
    next_claim = serializers.UUIDField(source="next_claim.public_id", read_only=True, default=None)
    rule = serializers.SerializerMethodField()
    appeals = serializers.SerializerMethodField()

    class Meta:
        model = Denial
        fields: ClassVar[list[str]] = [
            "id",
            "claim",
            "claim_number",
            "payer",
            "code",
            "modifiers",
            "group",
            "reason",
            "remarks",
            "category",
            "rule",
            "amount",
            "expected",
            "status",
            "denied_on",
            "appeal_by",
            "correct_by",
            "owner_stage",
            "preventable",
            "root_cause",
            "repeat",
            "next_claim",
            "recovered",
            "resolved_on",
            "appeals",
            "version",
        ]

    def get_rule(self, row: Denial) -> str:
        """The rule by which this category is worked: a slug, read under /rules/."""
        return category_rule(row.category)

    def get_appeals(self, row: Denial) -> list[dict[str, Any]]:
        return [dict(AppealOut(a).data) for a in sorted(row.appeals.all(), key=lambda a: a.level)]


class DenialFilter(filters.FilterSet):
    status = filters.CharFilter()
    category = filters.CharFilter()
    reason = filters.CharFilter()
    payer = filters.CharFilter(field_name="payer__code")
    appeal_by = filters.DateFromToRangeFilter()

    class Meta:
        model = Denial
        fields: ClassVar[list[str]] = ["status", "category", "reason", "payer", "appeal_by"]


class DenialView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Denials, normalized and dated, with their appeals."""

    scopes: ClassVar[dict[str, str]] = {"GET": "work:read"}
    serializer_class = DenialOut
    filterset_class = DenialFilter

    def get_queryset(self) -> Any:
        from django.db.models import Prefetch

        return (
            super()
            .get_queryset()
            .prefetch_related(
                Prefetch("appeals", queryset=Appeal.objects.defer("packet", "letter"))
            )
        )

    queryset = Denial.objects.select_related("claim", "payer", "line", "next_claim")

    def _log(self, rows: list[Any]) -> None:
        from rcm.audit.services import record_access

        ids = {r.claim.patient_id for r in rows}
        if ids:
            record_access(
                organization_id=min(self.actor.organizations),
                patient_ids=ids,
                actor=self.actor,
                purpose="api denials",
            )


router = SimpleRouter(trailing_slash=False)
router.register("remittances", RemittanceView, basename="remittances")
router.register("denials", DenialView, basename="denials")
