"""REST of work items: what waits, in the queues a client may read; note, next action, finish.
Writes need If-Match with the ETag read.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from rcm.accounts.clock import office_day
from rcm.accounts.rest import ByPublicId, etag, require_match
from rcm.audit.services import record_access
from rcm.worklist import services
from rcm.worklist.filters import opened_to
from rcm.worklist.models import ItemStatus, WorkItem


class WorkItemOut(serializers.ModelSerializer):
    """One thing that stopped: why, by when, for how many dollars, what happens next."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    site = serializers.CharField(source="site.code", read_only=True, default=None)
    owner = serializers.CharField(source="owner.display_name", read_only=True, default=None)
    payer = serializers.CharField(source="payer_name", read_only=True)

    class Meta:
        model = WorkItem
        fields: ClassVar[list[str]] = [
            "id",
            "queue",
            "cause",
            "tags",
            "title",
            "fix",
            "status",
            "site",
            "payer",
            "dollars",
            "due_at",
            "deadline_on",
            "score",
            "owner",
            "next_action",
            "next_action_on",
            "pend_until",
            "escalated_at",
            "touches",
            "opened_at",
            "closed_at",
            "outcome",
            "version",
        ]
        read_only_fields = fields


class WorkItemFilter(filters.FilterSet):
    queue = filters.CharFilter()
    status = filters.MultipleChoiceFilter(choices=ItemStatus.choices)
    cause = filters.CharFilter()
    deadline_on = filters.DateFromToRangeFilter()

    class Meta:
        model = WorkItem
        fields: ClassVar[list[str]] = ["queue", "status", "cause", "deadline_on"]


class NoteIn(serializers.Serializer):
    note = serializers.CharField(max_length=300)


class NextActionIn(serializers.Serializer):
    action = serializers.CharField(max_length=120)
    note = serializers.CharField(max_length=160, required=False, allow_blank=True, default="")
    next_action_on = serializers.DateField()

    def validate_next_action_on(self, value: Any) -> Any:
        if value < office_day():
            raise serializers.ValidationError("The next-action date lies in the past.")
        return value


class FinishIn(serializers.Serializer):
    outcome = serializers.CharField(max_length=60)
    note = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class WorkItemView(
    ByPublicId, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Work items of the queues that the client's scopes open."""

    scopes: ClassVar[dict[str, str]] = {"GET": "work:read", "POST": "work:write"}
    serializer_class = WorkItemOut
    filterset_class = WorkItemFilter
    queryset = WorkItem.objects.select_related("owner", "site")

    def get_queryset(self) -> Any:
        return opened_to(self.actor, super().get_queryset())

    def _read(self, rows: list[WorkItem]) -> None:
        ids = {r.patient_id for r in rows if r.patient_id}
        if ids:
            record_access(
                organization_id=min(self.actor.organizations),
                patient_ids=ids,
                actor=self.actor,
                purpose="api work-items",
            )

    def paginate_queryset(self, queryset: Any) -> Any:
        rows = super().paginate_queryset(queryset)
        self._read(rows or [])
        return rows

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._answer(self.get_object())

    def _answer(self, row: WorkItem) -> Response:
        self._read([row])
        response = Response(WorkItemOut(row).data)
        response["ETag"] = etag(row)
        return response

    def _given(self, kind: type[serializers.Serializer], request: Request) -> dict[str, Any]:
        form = kind(data=request.data)
        form.is_valid(raise_exception=True)
        return dict(form.validated_data)

    @extend_schema(request=NoteIn, responses=WorkItemOut)
    @action(detail=True, methods=["post"])
    def notes(self, request: Request, public_id: str) -> Response:
        """Add a note to the history; the item itself does not move."""
        given = self._given(NoteIn, request)
        row = self.get_object()
        services.item_note(item=row, actor=self.actor, **given)
        return self._answer(row)

    @extend_schema(request=NextActionIn, responses=WorkItemOut)
    @action(detail=True, methods=["post"], url_path="next-action")
    def next_action(self, request: Request, public_id: str) -> Response:
        """Say what was done and when to come back; needs If-Match."""
        given = self._given(NextActionIn, request)
        row = self.get_object()
        version = require_match(request, row)
        return self._answer(services.item_act(item=row, actor=self.actor, version=version, **given))

    @extend_schema(request=FinishIn, responses=WorkItemOut)
    @action(detail=True, methods=["post"])
    def finish(self, request: Request, public_id: str) -> Response:
        """Finish the item with its outcome; needs If-Match."""
        given = self._given(FinishIn, request)
        row = self.get_object()
        version = require_match(request, row)
        return self._answer(
            services.item_finish(item=row, actor=self.actor, version=version, **given)
        )


router = SimpleRouter(trailing_slash=False)
router.register("work-items", WorkItemView, basename="work-items")
urlpatterns = router.urls
