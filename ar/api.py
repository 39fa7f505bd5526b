"""REST of the desk's money: payments for visits and accounts, with their receipts. The same services
and refusals as the screens.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from ar import services
from ar.models import AccountHold, PatientPayment
from ar.services.patients import METHODS
from intake.api import ChartReads
from intake.models import Appointment, Patient
from rcm.accounts.problems import Refused


class PatientPaymentOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    patient = serializers.UUIDField(source="patient.public_id", read_only=True)
    appointment = serializers.UUIDField(
        source="appointment.public_id", read_only=True, default=None
    )
    estimate = serializers.UUIDField(source="estimate.public_id", read_only=True, default=None)

    class Meta:
        model = PatientPayment
        fields: ClassVar[list[str]] = [
            "id",
            "receipt",
            "patient",
            "appointment",
            "estimate",
            "amount",
            "refunded",
            "method",
            "received_on",
            "note",
            "voided_at",
            "void_reason",
        ]


class PaymentIn(serializers.Serializer):
    """Money from a patient. With `appointment` it settles what that visit expects; with `patient`
    alone it goes onto the oldest open charges.
    """

    appointment = serializers.UUIDField(required=False)
    patient = serializers.UUIDField(required=False)
    amount = serializers.DecimalField(max_digits=10, decimal_places=2)
    method = serializers.ChoiceField(choices=METHODS)
    received_on = serializers.DateField(required=False)
    note = serializers.CharField(max_length=120, required=False, allow_blank=True)
    for_plan = serializers.BooleanField(
        required=False, help_text="Fills the next instalments of the patient's payment plan"
    )
    key = serializers.CharField(
        max_length=60,
        required=False,
        help_text="Your own number of this payment: the same one again gives the same receipt",
    )


class PaymentVoidIn(serializers.Serializer):
    reason = serializers.CharField(max_length=120)


class PaymentFilter(filters.FilterSet):
    appointment = filters.UUIDFilter(field_name="appointment__public_id")
    patient = filters.UUIDFilter(field_name="patient__public_id")

    class Meta:
        model = PatientPayment
        fields: ClassVar[list[str]] = ["receipt", "appointment", "patient"]


class PaymentView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Payments of patients with their receipts. Send an Idempotency-Key: a repeated POST is
    answered like the first and takes no money twice.
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "payments:read", "POST": "payments:write"}
    serializer_class = PatientPaymentOut
    filterset_class = PaymentFilter
    queryset = PatientPayment.objects.select_related("patient", "appointment", "estimate")

    @extend_schema(request=PaymentIn, responses={201: PatientPaymentOut})
    def create(self, request: Request) -> Response:
        form = PaymentIn(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        visit = self._visit(data.get("appointment"))
        patient = visit.patient if visit else self._patient(data.get("patient"))
        key = data.get("key", "")
        row = services.payment_take(
            patient=patient,
            amount=data["amount"],
            method=data["method"],
            received_on=data.get("received_on"),
            appointment=visit,
            for_plan=data.get("for_plan", False),
            note=data.get("note", ""),
            key=f"api:{key}" if key else "",
            actor=self.actor,
        )
        return Response(PatientPaymentOut(row).data, status=status.HTTP_201_CREATED)

    def _visit(self, public_id: Any) -> Appointment | None:
        if public_id is None:
            return None
        rows = Appointment.objects.visible_to(self.actor).select_related("patient", "site")
        row = rows.filter(public_id=public_id).first()
        if row is None:
            raise Refused("There is no such appointment.", code="unknown", field="appointment")
        return row

    def _patient(self, public_id: Any) -> Patient:
        if public_id is None:
            raise Refused("Send the appointment or the patient.", code="missing", field="patient")
        row = Patient.objects.visible_to(self.actor).filter(public_id=public_id).first()
        if row is None:
            raise Refused("There is no such patient.", code="unknown", field="patient")
        return row

    @extend_schema(request=PaymentVoidIn, responses={200: PatientPaymentOut})
    @action(detail=True, methods=["post"])
    def void(self, request: Request, public_id: str) -> Response:
        """Void a receipt with its reason; the ledger keeps payment and counter-entries."""
        form = PaymentVoidIn(data=request.data)
        form.is_valid(raise_exception=True)
        row = services.payment_void(
            payment=self.get_object(), reason=form.validated_data["reason"], actor=self.actor
        )
        return Response(PatientPaymentOut(row).data)


class HoldOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    patient = serializers.UUIDField(source="patient.public_id", read_only=True)
    charge = serializers.UUIDField(source="charge.public_id", read_only=True, default=None)

    class Meta:
        model = AccountHold
        fields: ClassVar[list[str]] = [
            "id",
            "patient",
            "charge",
            "kind",
            "note",
            "case_number",
            "event_on",
            "begins_at",
            "lifted_at",
            "lifted_reason",
        ]


class HoldFilter(filters.FilterSet):
    patient = filters.UUIDFilter(field_name="patient__public_id")
    open = filters.BooleanFilter(field_name="lifted_at", lookup_expr="isnull")

    class Meta:
        model = AccountHold
        fields: ClassVar[list[str]] = ["patient", "kind", "open"]


class HoldView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Holds on patients' accounts: why no statement goes out and nothing goes to an agency, since
    when, until when. `open=true` gives those that stand now.
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "payments:read"}
    serializer_class = HoldOut
    filterset_class = HoldFilter
    queryset = AccountHold.objects.select_related("patient", "charge").order_by("-pk")


router = SimpleRouter(trailing_slash=False)
router.register("payments", PaymentView, basename="payments")
router.register("account-holds", HoldView, basename="account-holds")
