"""REST of the mid-cycle: performed exams with their thread, reports, results without order. The
same services as the screens.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.db.models import Prefetch
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from charges import present, services
from charges.models import Charge, ChargeStatus, Exam, ExamStatus, Report, Unsolicited
from charges.performed import ROUTES
from charges.records import Keys, PerformedRecord, ReportRecord, SupplyGiven
from charges.report_check import SECTIONS, sections_of
from intake.api import ChartReads
from rcm.accounts.rest import ByPublicId, etag

SIDES = ("RT", "LT", "50")


class ChargeOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)

    class Meta:
        model = Charge
        fields: ClassVar[list[str]] = [
            "id",
            "code",
            "component",
            "modifiers",
            "units",
            "pos",
            "service_date",
            "diagnoses",
            "amount",
            "expected",
            "expected_patient",
            "derivation",
            "rendering_npi",
            "service_zip",
            "status",
            "released_at",
        ]


class ReportVersionOut(serializers.ModelSerializer):
    """A version of the report; its text only for clients that may read reports."""

    id = serializers.UUIDField(source="public_id", read_only=True)

    class Meta:
        model = Report
        fields: ClassVar[list[str]] = [
            "id",
            "version",
            "status",
            "reader_npi",
            "reader_name",
            "signed_at",
            "reported_at",
        ]


class PerformedExamOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    patient = serializers.UUIDField(source="patient.public_id", read_only=True)
    mrn = serializers.CharField(source="patient.mrn", read_only=True)
    ordered_exam = serializers.UUIDField(
        source="ordered_exam.public_id", read_only=True, default=None
    )
    authorization = serializers.UUIDField(
        source="authorization.public_id", read_only=True, default=None
    )
    site = serializers.CharField(source="site.code", read_only=True)
    payer = serializers.CharField(source="coverage.payer.code", read_only=True, default=None)
    holds = serializers.SerializerMethodField()

    class Meta:
        model = Exam
        fields: ClassVar[list[str]] = [
            "id",
            "accession",
            "patient",
            "mrn",
            "ordered_exam",
            "authorization",
            "site",
            "payer",
            "modality",
            "code",
            "laterality",
            "performed_at",
            "service_date",
            "station",
            "status",
            "diagnoses",
            "expected",
            "filing_deadline",
            "no_bill_reason",
            "holds",
            "version",
        ]

    def get_holds(self, row: Exam) -> list[dict[str, str]]:
        """What stops release: code, sentence, what to do, field, owner."""
        return [
            {k: h[k] for k in ("code", "sentence", "fix", "field", "owner", "rule")}
            for h in row.holds
        ]


class ExamThreadOut(PerformedExamOut):
    """One exam with its thread: four-way match, reports, charges, steps."""

    match = serializers.JSONField(read_only=True)
    charges = ChargeOut(source="live_charges", many=True, read_only=True)
    reports = ReportVersionOut(source="all_reports", many=True, read_only=True)
    steps = serializers.SerializerMethodField()

    class Meta(PerformedExamOut.Meta):
        fields: ClassVar[list[str]] = [
            *PerformedExamOut.Meta.fields,
            "match",
            "charges",
            "reports",
            "steps",
        ]

    def get_steps(self, row: Exam) -> list[dict[str, Any]]:
        """What happened, newest first."""
        events = present.timeline(row, self.context["request"].user.actor)
        return [
            {
                "at": e.at,
                "text": e.text,
                "actor": e.actor,
                "automatic": e.machine,
                "reason": e.detail,
            }
            for e in events
        ]


class ContrastIn(serializers.Serializer):
    route = serializers.ChoiceField(choices=ROUTES)
    agent = serializers.CharField(max_length=60, required=False, allow_blank=True)
    given_ml = serializers.DecimalField(
        max_digits=6, decimal_places=1, min_value=Decimal(0), required=False
    )
    wasted_ml = serializers.DecimalField(
        max_digits=6, decimal_places=1, min_value=Decimal(0), required=False
    )
    pre = serializers.BooleanField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Series before contrast were acquired",
    )
    post = serializers.BooleanField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Series after contrast were acquired",
    )


class SupplyIn(serializers.Serializer):
    code = serializers.RegexField("^[0-9A-Za-z]{5}$")
    units = serializers.DecimalField(
        max_digits=7, decimal_places=2, min_value=Decimal("0.01"), default=Decimal(1)
    )
    modifiers = serializers.ListField(
        child=serializers.RegexField("^[0-9A-Z]{2}$"), required=False, max_length=4
    )


class PetIn(serializers.Serializer):
    strategy = serializers.ChoiceField(choices=("initial", "subsequent"))
    prior_subsequent = serializers.IntegerField(min_value=0, max_value=50, required=False)
    oncologic = serializers.BooleanField(default=True)


class KeysIn(serializers.Serializer):
    """What names the exam: the accession, or filler or placer number with the MRN."""

    accession = serializers.CharField(max_length=40, required=False, allow_blank=True)
    filler_number = serializers.CharField(max_length=40, required=False, allow_blank=True)
    placer_number = serializers.CharField(max_length=40, required=False, allow_blank=True)
    mrn = serializers.CharField(max_length=30)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not any(attrs.get(k) for k in ("accession", "filler_number", "placer_number")):
            raise serializers.ValidationError(
                {"accession": "Name the accession, or the filler or placer number."},
                code="required",
            )
        return attrs

    @staticmethod
    def keys(data: dict[str, Any]) -> Keys:
        return Keys(
            data.get("accession", ""),
            data.get("filler_number", ""),
            data.get("placer_number", ""),
            data["mrn"],
        )


class PerformedExamIn(KeysIn):
    """A performed exam. It must belong to an order; the same exam again adds what is new."""

    status = serializers.ChoiceField(
        choices=("in_progress", "completed", "discontinued"), default="completed"
    )
    performed_at = serializers.DateTimeField()
    site = serializers.CharField(max_length=30, required=False, help_text="Our site code")
    modality = serializers.CharField(max_length=6, required=False)
    code = serializers.RegexField("^[0-9A-Za-z]{5}$", required=False)
    modifiers = serializers.ListField(
        child=serializers.RegexField("^[0-9A-Za-z]{2}$"),
        required=False,
        max_length=4,
        help_text="As you coded the exam; what the code cannot carry is refused",
    )
    laterality = serializers.ChoiceField(choices=SIDES, required=False)
    station = serializers.CharField(max_length=40, required=False)
    study_uid = serializers.CharField(max_length=64, required=False)
    views = serializers.IntegerField(min_value=1, max_value=40, required=False)
    extent = serializers.ChoiceField(choices=("complete", "limited"), required=False)
    contrast = ContrastIn(required=False)
    supplies = SupplyIn(many=True, required=False)
    addons = SupplyIn(many=True, required=False)
    diagnoses = serializers.ListField(
        child=serializers.CharField(max_length=8), required=False, max_length=12
    )
    pet = PetIn(required=False)
    preventive = serializers.BooleanField(required=False)


class ReportIn(KeysIn):
    """One version of a report. Give `sections` by name, or the plain `text` with its headings."""

    status = serializers.ChoiceField(choices=("P", "F", "C", "X"))
    reported_at = serializers.DateTimeField()
    signed_at = serializers.DateTimeField(required=False)
    reader_npi = serializers.RegexField("^[12][0-9]{9}$", required=False)
    reader_name = serializers.CharField(max_length=80, required=False)
    code = serializers.RegexField("^[0-9A-Za-z]{5}$", required=False)
    modality = serializers.CharField(max_length=6, required=False)
    site = serializers.CharField(max_length=30, required=False)
    performed_at = serializers.DateTimeField(required=False)
    sections = serializers.DictField(
        child=serializers.CharField(max_length=100_000), required=False
    )
    text = serializers.CharField(max_length=400_000, required=False)

    def validate_sections(self, value: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(value) - set(SECTIONS))
        if unknown:
            raise serializers.ValidationError(
                f"There is no section {unknown[0][:30]}; use {', '.join(SECTIONS)}.", code="unknown"
            )
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if attrs["status"] in ("F", "C") and not attrs.get("reader_npi"):
            raise serializers.ValidationError(
                {"reader_npi": "A final report names its signer."}, code="required"
            )
        return attrs


class ExamFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=ExamStatus.choices)
    accession = filters.CharFilter()
    mrn = filters.CharFilter(field_name="patient__mrn")
    site = filters.CharFilter(field_name="site__code")
    payer = filters.CharFilter(field_name="coverage__payer__code")
    service_date = filters.DateFromToRangeFilter()

    class Meta:
        model = Exam
        fields: ClassVar[list[str]] = [
            "status",
            "accession",
            "mrn",
            "site",
            "payer",
            "service_date",
        ]


class ExamView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Performed exams. GET of one gives its thread; POST records one, which is then evaluated in
    the background.
    """

    scopes: ClassVar[dict[str, str]] = {"GET": "exams:read", "POST": "exams:write"}
    serializer_class = PerformedExamOut
    filterset_class = ExamFilter
    queryset = Exam.objects.select_related(
        "patient", "site", "coverage__payer", "ordered_exam", "authorization"
    )

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return ExamThreadOut if self.action == "retrieve" else PerformedExamOut

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        if self.action != "retrieve":
            return rows
        return rows.prefetch_related(
            Prefetch(
                "charges",
                queryset=Charge.objects.exclude(status=ChargeStatus.VOID).order_by("id"),
                to_attr="live_charges",
            ),
            Prefetch(
                "reports", queryset=Report.objects.order_by("-version"), to_attr="all_reports"
            ),
        )

    @extend_schema(
        request=PerformedExamIn, responses={200: PerformedExamOut, 201: PerformedExamOut}
    )
    def create(self, request: Request) -> Response:
        form = PerformedExamIn(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        coded = tuple(m.upper() for m in data.get("modifiers", ()))
        record = PerformedRecord(
            organization_id=min(self.actor.organizations),
            source="api",
            keys=form.keys(data),
            status=data["status"],
            performed_at=data["performed_at"],
            site_code=data.get("site", ""),
            modality=data.get("modality", "").upper(),
            code=data.get("code", "").upper(),
            laterality=data.get("laterality", "") or _side(coded),
            coded=((data["code"].upper(), coded),) if coded and data.get("code") else (),
            station=data.get("station", ""),
            study_uid=data.get("study_uid", ""),
            contrast=services.contrast_given(data["contrast"]) if "contrast" in data else None,
            views=data.get("views"),
            extent=data.get("extent", ""),
            supplies=_supplies(data.get("supplies", ())),
            addons=_supplies(data.get("addons", ())),
            diagnoses=tuple(c.replace(".", "").upper() for c in data.get("diagnoses", ())),
            pet=data.get("pet"),
            preventive=data.get("preventive"),
        )
        done = services.exam_record(record=record, actor=self.actor)
        row = self.get_queryset().get(pk=done.exam_id)
        answer = Response(
            PerformedExamOut(row).data,
            status=status.HTTP_201_CREATED if done.new else status.HTTP_200_OK,
        )
        answer["ETag"] = etag(row)
        return answer


def _side(modifiers: tuple[str, ...]) -> str:
    return next((m for m in modifiers if m in ("RT", "LT", "50")), "")


def _supplies(items: Any) -> tuple[SupplyGiven, ...]:
    return tuple(
        SupplyGiven(i["code"].upper(), i["units"], tuple(i.get("modifiers", ()))) for i in items
    )


class ReportOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)
    exam = serializers.UUIDField(source="exam.public_id", read_only=True)
    accession = serializers.CharField(source="exam.accession", read_only=True)

    class Meta:
        model = Report
        fields: ClassVar[list[str]] = [
            "id",
            "exam",
            "accession",
            "version",
            "status",
            "reader_npi",
            "reader_name",
            "signed_at",
            "reported_at",
            "sections",
        ]


class ReportView(ByPublicId, viewsets.GenericViewSet):
    """POST sends a version of a report: P is held, F and C are judged, X withdraws. Needs
    `reports:write`.
    """

    scopes: ClassVar[dict[str, str]] = {"POST": "reports:write"}
    serializer_class = ReportOut
    queryset = Report.objects.select_related("exam")

    @extend_schema(request=ReportIn, responses={200: ReportOut, 201: ReportOut})
    def create(self, request: Request) -> Response:
        form = ReportIn(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        record = ReportRecord(
            organization_id=min(self.actor.organizations),
            keys=form.keys(data),
            status=data["status"],
            sections=data.get("sections") or sections_of(data.get("text", "")),
            reported_at=data["reported_at"],
            signed_at=data.get("signed_at"),
            reader_npi=data.get("reader_npi", ""),
            reader_name=data.get("reader_name", ""),
            code=data.get("code", "").upper(),
            modality=data.get("modality", "").upper(),
            site_code=data.get("site", ""),
            performed_at=data.get("performed_at"),
        )
        done = services.report_receive(report=record, actor=self.actor)
        row = self.get_queryset().filter(exam_id=done.exam_id).order_by("-version").first()
        return Response(
            ReportOut(row).data,
            status=status.HTTP_201_CREATED if done.changed else status.HTTP_200_OK,
        )


class UnsolicitedOut(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id", read_only=True)

    class Meta:
        model = Unsolicited
        fields: ClassVar[list[str]] = [
            "id",
            "kind",
            "accession",
            "filler_number",
            "placer_number",
            "mrn",
            "code",
            "modality",
            "why",
            "status",
            "received_at",
        ]


class UnsolicitedFilter(filters.FilterSet):
    status = filters.CharFilter()
    accession = filters.CharFilter()

    class Meta:
        model = Unsolicited
        fields: ClassVar[list[str]] = ["status", "accession"]


class UnsolicitedView(
    ChartReads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Results that no order explains."""

    scopes: ClassVar[dict[str, str]] = {"GET": "exams:read"}
    serializer_class = UnsolicitedOut
    filterset_class = UnsolicitedFilter
    queryset = Unsolicited.objects.all()

    def _log(self, rows: list[Any]) -> None:
        super()._log([r for r in rows if r.patient_id])


router = SimpleRouter(trailing_slash=False)
router.register("exams", ExamView, basename="exams")
router.register("reports", ReportView, basename="reports")
router.register("results", UnsolicitedView, basename="results")
