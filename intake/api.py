"""REST of the front end: patients, orders, appointments, eligibility checks. The same services as
the screens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import F, Prefetch
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from intake import services
from intake.clearance import GateName
from intake.models import (
    Appointment,
    Benefit,
    Coverage,
    EligibilityCheck,
    Estimate,
    GateOverride,
    Order,
    OrderedExam,
    OrderStatus,
    Patient,
    Relationship,
    SecondReason,
    Sex,
)
from rcm.accounts.clock import office_day
from rcm.accounts.models import Site
from rcm.accounts.problems import Refused
from rcm.accounts.rest import ByPublicId, MomentFilter, etag, require_match
from rcm.audit.services import record_access
from rcm.exchange.hl7 import is_npi
from rcm.reference.facts import payer_book
from rcm.reference.models import Payer, Provider


class ChartReads(ByPublicId):
    """A partner's read of a chart is logged like a person's."""

    patient_field = "patient_id"

    def _log(self, rows: list[Any]) -> None:
        ids = {getattr(r, self.patient_field) for r in rows}
        if ids:
            organization = min(self.actor.organizations)
            purpose = f"api {self.basename}"  # type: ignore[attr-defined]
            record_access(
                organization_id=organization, patient_ids=ids, actor=self.actor, purpose=purpose
            )

    def paginate_queryset(self, queryset: Any) -> Any:
        rows = super().paginate_queryset(queryset)  # type: ignore[misc]
        self._log(rows or [])
        return rows

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        row = self.get_object()
        self._log([row])
        response = Response(self.get_serializer(row).data)  # type: ignore[attr-defined]
        if hasattr(row, "version"):
            response["ETag"] = etag(row)
        return response


# --- patients -------------------------------------------------------------------------------------


class CoverageOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    payer = serializers.CharField(source="payer.code", read_only=True)
    plan = serializers.CharField(source="plan.code", read_only=True, default=None)

    class Meta:
        model = Coverage
        fields: ClassVar[list[str]] = [
            "id",
            "payer",
            "plan",
            "rank",
            "member_id",
            "group_number",
            "relationship",
            "accident_on",
            "accident_state",
            "claim_number",
            "adjuster_name",
            "adjuster_phone",
            "employer",
            "starts_on",
            "ends_on",
            "second_reason",
            "status",
            "verified_at",
        ]


class PatientOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    coverages = CoverageOut(source="active_coverages", many=True, read_only=True)

    class Meta:
        model = Patient
        fields: ClassVar[list[str]] = [
            "id",
            "mrn",
            "last_name",
            "first_name",
            "middle_name",
            "suffix",
            "other_names",
            "born_on",
            "sex",
            "address",
            "city",
            "state",
            "zip",
            "phone",
            "coverages",
        ]


class PatientIn(serializers.Serializer):
    """A patient as a partner sends it: found by MRN, opened when new, brought up to date when
    known.
    """

    mrn = serializers.CharField(max_length=30)
    last_name = serializers.CharField(max_length=60)
    first_name = serializers.CharField(max_length=40)
    middle_name = serializers.CharField(max_length=40, required=False, allow_blank=True)
    born_on = serializers.DateField()
    sex = serializers.ChoiceField(choices=Sex.choices)
    address = serializers.CharField(max_length=100, required=False, allow_blank=True)
    city = serializers.CharField(max_length=60, required=False, allow_blank=True)
    state = serializers.RegexField("^[A-Z]{2}$", required=False)
    zip = serializers.RegexField("^[0-9]{5}([0-9]{4})?$", required=False)
    phone = serializers.RegexField("^[0-9]{10}$", required=False)


class CoverageIn(serializers.Serializer):
    payer = serializers.CharField(max_length=80, help_text="Our payer code, EDI id or name")
    member_id = serializers.RegexField("^[A-Za-z0-9 -]{2,30}$")
    rank = serializers.IntegerField(min_value=1, max_value=3, default=1)
    group_number = serializers.CharField(max_length=30, required=False, allow_blank=True)
    relationship = serializers.ChoiceField(choices=Relationship.choices, default=Relationship.SELF)
    subscriber_last_name = serializers.CharField(max_length=60, required=False)
    subscriber_first_name = serializers.CharField(max_length=40, required=False)
    subscriber_born_on = serializers.DateField(required=False)
    starts_on = serializers.DateField(required=False)
    ends_on = serializers.DateField(required=False)
    second_reason = serializers.ChoiceField(
        choices=SecondReason.choices,
        required=False,
        help_text="Why Medicare pays second: an insurance type code of SBR05",
    )


class PatientFilter(filters.FilterSet):
    mrn = filters.CharFilter()
    born_on = filters.DateFilter()
    last_name = filters.CharFilter(lookup_expr="iexact")

    class Meta:
        model = Patient
        fields: ClassVar[list[str]] = ["mrn", "born_on", "last_name"]


class PatientView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Patients of the organization with their coverages; charts that were merged lead nowhere
    here.
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "orders:read"}
    serializer_class = PatientOut
    filterset_class = PatientFilter
    patient_field = "pk"
    queryset = Patient.objects.filter(merged_into__isnull=True).prefetch_related(
        Prefetch(
            "coverages",
            queryset=Coverage.objects.filter(active=True)
            .select_related("payer", "plan")
            .order_by("rank"),
            to_attr="active_coverages",
        )
    )


# --- orders ---------------------------------------------------------------------------------------


class ExamOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    appointment = serializers.UUIDField(
        source="appointment.public_id", read_only=True, default=None
    )

    class Meta:
        model = OrderedExam
        fields: ClassVar[list[str]] = [
            "id",
            "code",
            "description",
            "modality",
            "laterality",
            "contrast_open",
            "views_open",
            "accession",
            "filler_number",
            "status",
            "appointment",
        ]


class OrderOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    patient = serializers.UUIDField(source="patient.public_id", read_only=True)
    mrn = serializers.CharField(source="patient.mrn", read_only=True)
    ordering_npi = serializers.CharField(source="ordering.npi", read_only=True, default="")
    ordering_name = serializers.SerializerMethodField(
        help_text="Who ordered, also while no valid NPI says so"
    )
    missing = serializers.SerializerMethodField(
        help_text="What the ordering office must still say; an order is confirmed without holes only"
    )
    site = serializers.CharField(source="site.code", read_only=True, default=None)
    exams = ExamOut(many=True, read_only=True)
    coverage = CoverageOut(
        read_only=True,
        help_text="The policy chosen for this order; null: the patient's primary pays",
    )

    class Meta:
        model = Order
        fields: ClassVar[list[str]] = [
            "id",
            "placer_number",
            "patient",
            "mrn",
            "ordering_npi",
            "ordering_name",
            "missing",
            "site",
            "ordered_at",
            "signed",
            "indication",
            "diagnoses",
            "status",
            "source",
            "coverage",
            "exams",
        ]

    def get_ordering_name(self, row: Order) -> str:
        return str(row.ordering) if row.ordering else row.ordering_name

    def get_missing(self, row: Order) -> list[dict[str, str]]:
        gaps = self.context.get("gaps", {}).get(row.pk, ())
        return [{"code": g.code, "field": g.field, "sentence": g.sentence} for g in gaps]


class ExamIn(serializers.Serializer):
    code = serializers.RegexField("^[0-9A-Za-z]{5}$")
    laterality = serializers.ChoiceField(choices=("RT", "LT", "50"), required=False)
    description = serializers.CharField(max_length=80, required=False, allow_blank=True)
    accession = serializers.CharField(max_length=40, required=False, allow_blank=True)
    filler_number = serializers.CharField(max_length=40, required=False, allow_blank=True)
    contrast_open = serializers.BooleanField(
        default=False, help_text="The radiologist decides on the use of contrast"
    )
    views_open = serializers.BooleanField(
        default=False, help_text="The radiologist decides on the number of views"
    )


class AccidentIn(serializers.Serializer):
    """The policy that pays alone for an accident: workers' compensation or auto."""

    payer = serializers.CharField(max_length=80, help_text="Our payer code, EDI id or name")
    accident_on = serializers.DateField()
    accident_state = serializers.RegexField("^[A-Z]{2}$", required=False)
    claim_number = serializers.CharField(max_length=30, required=False, allow_blank=True)
    member_id = serializers.RegexField("^[A-Za-z0-9 -]{2,30}$", required=False)
    adjuster_name = serializers.CharField(max_length=60, required=False, allow_blank=True)
    adjuster_phone = serializers.RegexField("^[0-9]{10}$", required=False)
    employer = serializers.CharField(max_length=60, required=False, allow_blank=True)


class CoverageChoiceIn(serializers.Serializer):
    coverage = serializers.UUIDField(
        allow_null=True, help_text="One of the patient's coverages; null: the primary"
    )


class OrderIn(serializers.Serializer):
    """An order with its patient, coverages and exams in one write. The same placer number again is
    the same order; one that says something else changes it only with `change`.
    """

    placer_number = serializers.CharField(max_length=40)
    change = serializers.BooleanField(
        default=False, help_text="Change the order that stands under this placer number"
    )
    patient = PatientIn()
    coverages = CoverageIn(many=True, required=False)
    accident = AccidentIn(
        required=False, help_text="This order is for an accident, whose payer pays alone"
    )
    exams = ExamIn(many=True, allow_empty=False)
    ordering_npi = serializers.CharField(max_length=10, required=False)
    ordering_last_name = serializers.CharField(max_length=60, required=False)
    ordering_first_name = serializers.CharField(max_length=40, required=False)
    ordering_credentials = serializers.CharField(
        max_length=20, required=False, help_text="Letters behind the name such as MD, NP, DC"
    )
    site = serializers.CharField(max_length=30, required=False, help_text="Our site code")
    ordered_at = serializers.DateTimeField(required=False)
    signed = serializers.BooleanField(default=False)
    indication = serializers.CharField(max_length=300, required=False, allow_blank=True)
    diagnoses = serializers.ListField(
        child=serializers.CharField(max_length=8), required=False, max_length=12
    )

    def validate_ordering_npi(self, value: str) -> str:
        if value and not is_npi(value):
            raise serializers.ValidationError("This NPI has a wrong digit.", code="check_digit")
        return value


class OrderFilter(filters.FilterSet):
    placer_number = filters.CharFilter()
    status = filters.MultipleChoiceFilter(choices=OrderStatus.choices)
    mrn = filters.CharFilter(field_name="patient__mrn")
    ordered_after = MomentFilter(field_name="ordered_at", lookup_expr="gte")

    class Meta:
        model = Order
        fields: ClassVar[list[str]] = ["placer_number", "status", "mrn"]


class OrderView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Orders. POST places one; with an Idempotency-Key a repeated POST is answered like the
    first.
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "orders:read", "POST": "orders:write"}
    serializer_class = OrderOut
    filterset_class = OrderFilter
    queryset = Order.objects.select_related(
        "patient", "ordering", "site", "coverage__payer", "coverage__plan"
    ).prefetch_related(
        Prefetch("exams", queryset=OrderedExam.objects.select_related("appointment").order_by("id"))
    )

    @extend_schema(request=OrderIn, responses={201: OrderOut})
    def create(self, request: Request) -> Response:
        form = OrderIn(data=request.data)
        form.is_valid(raise_exception=True)
        order = self._place(form.validated_data)
        row = self.get_queryset().get(pk=order.pk)
        return Response(self._shown(row), status=status.HTTP_201_CREATED)

    def _shown(self, row: Order) -> Any:
        gaps = services.orders_gaps([row], on=office_day())
        return OrderOut(row, context={**self.get_serializer_context(), "gaps": gaps}).data

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        row = self.get_object()
        self._log([row])
        return Response(self._shown(row))

    def _place(self, data: dict[str, Any]) -> Order:
        organization_id = min(self.actor.organizations)
        patient = self._patient(organization_id, data["patient"])
        for given in data.get("coverages", ()):
            payer = self._payer(given["payer"], field="coverages.payer")
            values = {k: v for k, v in given.items() if k not in ("payer", "member_id", "rank")}
            services.coverage_add(
                patient=patient,
                payer=payer,
                member_id=given["member_id"],
                rank=given["rank"],
                actor=self.actor,
                **values,
            )
        accident = data.get("accident")
        coverage = None
        if accident:
            coverage = services.accident_add(
                patient=patient,
                payer=self._payer(accident["payer"], field="accident.payer"),
                actor=self.actor,
                **{k: v for k, v in accident.items() if k != "payer"},
            )
        site = None
        if data.get("site"):
            site = Site.objects.filter(organization_id=organization_id, code=data["site"]).first()
            if site is None:
                raise Refused("There is no such site.", code="unknown", field="site")
        exams = [
            services.ExamAsk(
                e["code"].upper(),
                e.get("laterality", ""),
                e.get("description", ""),
                "",
                e.get("accession", ""),
                e.get("filler_number", ""),
                e["contrast_open"],
                e["views_open"],
            )
            for e in data["exams"]
        ]
        return services.order_place(
            patient=patient,
            exams=exams,
            ordering=self._provider(data),
            ordering_name=data.get("ordering_last_name", ""),
            ordered_at=data.get("ordered_at"),
            signed=data["signed"],
            indication=data.get("indication", ""),
            diagnoses=data.get("diagnoses", ()),
            placer_number=data["placer_number"],
            source="api",
            site=site,
            coverage=coverage,
            may_change=data["change"],
            actor=self.actor,
        )

    @staticmethod
    def _payer(said: str, *, field: str) -> Payer:
        payer = payer_book().find(code=said, edi_id=said, name=said)
        if payer is None:
            raise Refused(
                "There is no payer of this code, EDI id or name.",
                code="payer_unknown",
                field=field,
            )
        return payer

    @extend_schema(request=CoverageChoiceIn, responses={200: OrderOut})
    @action(detail=True, methods=["post"])
    def coverage(self, request: Request, public_id: str) -> Response:
        """Say which of the patient's coverages pays for this order; null: the primary."""
        row = self.get_object()
        form = CoverageChoiceIn(data=request.data)
        form.is_valid(raise_exception=True)
        wanted = form.validated_data["coverage"]
        chosen = None
        if wanted is not None:
            chosen = Coverage.objects.filter(patient_id=row.patient_id, public_id=wanted).first()
            if chosen is None:
                raise Refused(
                    "The patient has no such coverage.", code="other_coverage", field="coverage"
                )
        services.coverage_choose(order=row, coverage=chosen, actor=self.actor)
        return Response(self._shown(self.get_queryset().get(pk=row.pk)))

    def _patient(self, organization_id: int, values: dict[str, Any]) -> Patient:
        known = (
            Patient.objects.filter(organization_id=organization_id, mrn=values["mrn"])
            .select_related("merged_into")
            .first()
        )
        if known is None:
            return services.patient_create(
                organization_id=organization_id, actor=self.actor, **values
            )
        given = {k: v for k, v in values.items() if v and k != "mrn"}
        return services.patient_update(
            patient=known.merged_into or known, actor=self.actor, **given
        )

    def _provider(self, data: dict[str, Any]) -> Provider | None:
        npi = data.get("ordering_npi")
        if not npi:
            return None
        row = Provider.objects.filter(npi=npi).first()
        if row is None:
            if not data.get("ordering_last_name"):
                raise Refused(
                    "This NPI is new here: send the physician's last name too.",
                    code="missing",
                    field="ordering_last_name",
                )
            row = Provider.objects.create(
                npi=npi,
                last_name=data["ordering_last_name"],
                first_name=data.get("ordering_first_name", ""),
                credentials=data.get("ordering_credentials", ""),
            )
        elif data.get("ordering_credentials") and not row.credentials:
            row.credentials = data["ordering_credentials"]
            row.save(update_fields=["credentials"])
        return row

    @extend_schema(request=None, responses={200: OrderOut})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, public_id: str) -> Response:
        """Cancel an order that was not carried out; `reason` in the body."""
        row = self.get_object()
        reason = str(request.data.get("reason", "") if isinstance(request.data, dict) else "")[:200]
        services.order_cancel(
            order=row, reason=reason or "Cancelled by the partner", actor=self.actor
        )
        return Response(self._shown(self.get_object()))


# --- appointments ---------------------------------------------------------------------------------


class AppointmentOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    patient = serializers.UUIDField(source="patient.public_id", read_only=True)
    site = serializers.CharField(source="site.code", read_only=True)
    exams = ExamOut(source="ordered_exams", many=True, read_only=True)

    class Meta:
        model = Appointment
        fields: ClassVar[list[str]] = [
            "id",
            "number",
            "patient",
            "site",
            "starts_at",
            "minutes",
            "resource",
            "modality",
            "status",
            "clearance",
            "gates",
            "version",
            "exams",
        ]


class AppointmentIn(serializers.Serializer):
    number = serializers.CharField(max_length=40, required=False, allow_blank=True)
    site = serializers.CharField(max_length=30)
    starts_at = serializers.DateTimeField()
    minutes = serializers.IntegerField(min_value=5, max_value=480, default=30)
    resource = serializers.CharField(max_length=40, required=False, allow_blank=True)
    exams = serializers.ListField(
        child=serializers.UUIDField(),
        allow_empty=False,
        max_length=20,
        help_text="Ids of ordered exams of one patient",
    )


class AppointmentMove(serializers.Serializer):
    """A move: the new time, and whatever else changes with it."""

    starts_at = serializers.DateTimeField()
    site = serializers.CharField(max_length=30, required=False)
    minutes = serializers.IntegerField(min_value=5, max_value=480, required=False)
    resource = serializers.CharField(max_length=40, required=False, allow_blank=True)
    reason = serializers.CharField(max_length=200, required=False, allow_blank=True)
    exams = serializers.ListField(
        child=serializers.UUIDField(), allow_empty=False, max_length=20, required=False
    )


class EstimateAsk(serializers.Serializer):
    requested_on = serializers.DateField(
        required=False, help_text="The day on which the patient asked for a good-faith estimate"
    )


class EstimateOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)

    class Meta:
        model = Estimate
        fields: ClassVar[list[str]] = [
            "id",
            "kind",
            "as_of",
            "allowed",
            "patient_share",
            "lines",
            "hold",
            "due_on",
        ]


class AppointmentFilter(filters.FilterSet):
    starts_after = MomentFilter(field_name="starts_at", lookup_expr="gte")
    starts_before = MomentFilter(field_name="starts_at", lookup_expr="lt")
    clearance = filters.ChoiceFilter(
        choices=(("ready", "Ready"), ("check", "Check"), ("stop", "Stop"))
    )
    site = filters.CharFilter(field_name="site__code")

    class Meta:
        model = Appointment
        fields: ClassVar[list[str]] = ["status", "clearance", "site"]


class AppointmentView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Appointments with their six gates. Booking stops at a gate (409, code `gate_stop`) like on
    screen.
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "orders:read", "POST": "orders:write"}
    serializer_class = AppointmentOut
    filterset_class = AppointmentFilter
    unconditional: ClassVar[frozenset[str]] = frozenset({"estimates"})
    queryset = Appointment.objects.select_related("patient", "site").prefetch_related(
        Prefetch(
            "ordered_exams",
            queryset=OrderedExam.objects.select_related("appointment").order_by("id"),
        )
    )

    @extend_schema(request=AppointmentIn, responses={201: AppointmentOut})
    def create(self, request: Request) -> Response:
        form = AppointmentIn(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        exams, site = self._exams(data["exams"]), self._site(data["site"])
        row = services.appointment_book(
            patient=exams[0].patient,
            site=site,
            starts_at=data["starts_at"],
            exams=exams,
            minutes=data["minutes"],
            resource=data.get("resource", ""),
            number=data.get("number", ""),
            actor=self.actor,
        )
        made = self.get_queryset().get(pk=row.pk)
        response = Response(AppointmentOut(made).data, status=status.HTTP_201_CREATED)
        response["ETag"] = etag(made)
        return response

    def _exams(self, ids: list[Any]) -> list[OrderedExam]:
        rows = list(
            OrderedExam.objects.visible_to(self.actor)
            .filter(public_id__in=ids)
            .select_related("patient")
            .order_by("id")
        )
        if len(rows) != len(set(ids)):
            raise Refused("One of these exams does not exist.", code="unknown", field="exams")
        return rows

    def _site(self, code: str) -> Site:
        site = Site.objects.filter(organization_id__in=self.actor.organizations, code=code).first()
        if site is None:
            raise Refused("There is no such site.", code="unknown", field="site")
        return site

    def _shown(self, row: Appointment) -> Response:
        fresh = self.get_queryset().get(pk=row.pk)
        response = Response(AppointmentOut(fresh).data)
        response["ETag"] = etag(fresh)
        return response

    def _go(self, request: Request, verb: Callable[..., Appointment], **more: Any) -> Response:
        """One status verb on the version that the client has read; refused like on screen."""
        row = self.get_object()
        version = require_match(request, row)
        return self._shown(verb(appointment=row, version=version, actor=self.actor, **more))

    @extend_schema(request=None, responses={200: AppointmentOut})
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, public_id: str) -> Response:
        """Confirm with the patient; send `If-Match`. A gate that stops it answers 409, code
        `gate_stop`, with its sentence.
        """
        return self._go(request, services.appointment_confirm)

    @extend_schema(request=None, responses={200: AppointmentOut})
    @action(detail=True, methods=["post"], url_path="check-in")
    def check_in(self, request: Request, public_id: str) -> Response:
        """The patient is here; send `If-Match`. Stopped by gates like `confirm`."""
        return self._go(request, services.appointment_check_in)

    @extend_schema(request=None, responses={200: AppointmentOut})
    @action(detail=True, methods=["post"], url_path="no-show")
    def no_show(self, request: Request, public_id: str) -> Response:
        """The patient did not come; send `If-Match`."""
        return self._go(request, services.appointment_no_show)

    @extend_schema(request=AppointmentMove, responses={200: AppointmentOut})
    @action(detail=True, methods=["post"])
    def move(self, request: Request, public_id: str) -> Response:
        """Another time, site or room; send `If-Match`. What is left out stays. Stopped by gates like
        booking.
        """
        form = AppointmentMove(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        more: dict[str, Any] = {"starts_at": data["starts_at"]}
        if "site" in data:
            more["site"] = self._site(data["site"])
        if "exams" in data:
            more["exams"] = self._exams(data["exams"])
        more |= {k: data[k] for k in ("minutes", "resource", "reason") if k in data}
        return self._go(request, services.appointment_move, **more)

    @extend_schema(request=EstimateAsk, responses={201: EstimateOut})
    @action(detail=True, methods=["get", "post"])
    def estimates(self, request: Request, public_id: str) -> Response:
        """GET: the estimates that were given, newest first. POST: make one now; what cannot be
        computed comes with the reason in `hold`.
        """
        row = self.get_object()
        self._log([row])
        if request.method == "GET":
            rows = Estimate.objects.filter(appointment=row).order_by("-id")[:50]
            return Response(EstimateOut(rows, many=True).data)
        form = EstimateAsk(data=request.data)
        form.is_valid(raise_exception=True)
        made = services.estimate_make(
            appointment=row,
            actor=self.actor,
            requested_on=form.validated_data.get("requested_on"),
        )
        return Response(EstimateOut(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={200: AppointmentOut})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, public_id: str) -> Response:
        """Cancel; send `If-Match` with the ETag you read and `reason` in the body."""
        row = self.get_object()
        version = require_match(request, row)
        reason = str(request.data.get("reason", "") if isinstance(request.data, dict) else "")[:200]
        services.appointment_cancel(
            appointment=row,
            reason=reason or "Cancelled by the partner",
            version=version,
            actor=self.actor,
        )
        return Response(AppointmentOut(self.get_object()).data)


# --- overrides ------------------------------------------------------------------------------------


class OverrideOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    appointment = serializers.UUIDField(source="appointment.public_id", read_only=True)
    patient = serializers.UUIDField(source="appointment.patient.public_id", read_only=True)
    by = serializers.CharField(source="actor_name", read_only=True)
    holds = serializers.SerializerMethodField()
    ended = serializers.SerializerMethodField()

    class Meta:
        model = GateOverride
        fields: ClassVar[list[str]] = [
            "id",
            "appointment",
            "patient",
            "gate",
            "state",
            "sentence",
            "reason",
            "dollars",
            "ends_on",
            "by",
            "at",
            "holds",
            "ended",
        ]

    def get_holds(self, row: GateOverride) -> bool:
        return getattr(row, "end", None) is None

    def get_ended(self, row: GateOverride) -> dict[str, str] | None:
        """When and why it came to its end: date, changed or cleared; null while it holds."""
        end = getattr(row, "end", None)
        if end is None:
            return None
        return {"at": end.at.isoformat(), "why": end.why, "sentence": end.sentence}


class OverrideIn(serializers.Serializer):
    appointment = serializers.UUIDField()
    gate = serializers.ChoiceField(choices=[g.value for g in GateName])
    reason = serializers.CharField(max_length=200)
    ends_on = serializers.DateField(
        required=False, help_text="Last day it holds; the day of the visit when not given"
    )


class OverrideFilter(filters.FilterSet):
    appointment = filters.UUIDFilter(field_name="appointment__public_id")
    patient = filters.UUIDFilter(field_name="appointment__patient__public_id")
    holds = filters.BooleanFilter(field_name="end", lookup_expr="isnull")
    since = MomentFilter(field_name="at", lookup_expr="gte")

    class Meta:
        model = GateOverride
        fields: ClassVar[list[str]] = ["gate", "appointment", "patient"]


class OverrideView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Every override of a gate, those that have ended too: the managers' report. POST gives one,
    refused like on screen.
    """

    patient_field = "patient_key"
    scopes: ClassVar[dict[str, str]] = {"GET": "orders:read", "POST": "overrides:write"}
    serializer_class = OverrideOut
    filterset_class = OverrideFilter
    queryset = GateOverride.objects.select_related("appointment__patient", "end").annotate(
        patient_key=F("appointment__patient_id")
    )

    @extend_schema(request=OverrideIn, responses={201: OverrideOut})
    def create(self, request: Request) -> Response:
        form = OverrideIn(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        visit = (
            Appointment.objects.visible_to(self.actor).filter(public_id=data["appointment"]).first()
        )
        if visit is None:
            raise Refused("There is no such appointment.", code="unknown", field="appointment")
        row = services.gate_override(
            appointment=visit,
            gate=data["gate"],
            reason=data["reason"],
            ends_on=data.get("ends_on"),
            actor=self.actor,
        )
        made = self.get_queryset().get(pk=row.pk)
        return Response(OverrideOut(made).data, status=status.HTTP_201_CREATED)


# --- eligibility ----------------------------------------------------------------------------------


class BenefitOut(serializers.ModelSerializer):
    class Meta:
        model = Benefit
        fields: ClassVar[list[str]] = [
            "kind",
            "code",
            "level",
            "service_types",
            "period",
            "amount",
            "percent",
            "in_network",
            "authorization",
            "procedure",
            "quantity",
            "contacts",
            "text",
        ]


class CheckOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    coverage = serializers.UUIDField(source="coverage.public_id", read_only=True)
    patient = serializers.UUIDField(source="patient.public_id", read_only=True)
    payer = serializers.CharField(source="coverage.payer.code", read_only=True)
    benefits = BenefitOut(many=True, read_only=True)

    class Meta:
        model = EligibilityCheck
        fields: ClassVar[list[str]] = [
            "id",
            "coverage",
            "patient",
            "payer",
            "service_date",
            "service_type",
            "status",
            "plan_name",
            "covered_from",
            "covered_to",
            "auth_required",
            "rejection",
            "differences",
            "changes",
            "asked_at",
            "answered_at",
            "attempt",
            "retry_at",
            "benefits",
        ]


class CheckFilter(filters.FilterSet):
    coverage = filters.UUIDFilter(field_name="coverage__public_id")
    patient = filters.UUIDFilter(field_name="patient__public_id")

    class Meta:
        model = EligibilityCheck
        fields: ClassVar[list[str]] = ["status", "coverage", "patient"]


class CheckView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Eligibility checks: each 270 with what its 271 said."""

    scopes: ClassVar[dict[str, str]] = {"GET": "orders:read"}
    serializer_class = CheckOut
    filterset_class = CheckFilter
    queryset = EligibilityCheck.objects.select_related(
        "coverage__payer", "patient"
    ).prefetch_related("benefits")


router = SimpleRouter(trailing_slash=False)
router.register("patients", PatientView, basename="patients")
router.register("orders", OrderView, basename="orders")
router.register("appointments", AppointmentView, basename="appointments")
router.register("overrides", OverrideView, basename="overrides")
router.register("eligibility-checks", CheckView, basename="eligibility-checks")
