"""GET /events: everything that happened on the thread, in order, replayable from any cursor."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import connection
from django.db.models import Subquery
from django.urls import path
from django_filters import rest_framework as filters
from rest_framework import generics, serializers

from rcm.accounts.partners import PartnerView
from rcm.accounts.rest import CursorPage
from rcm.audit.models import Event


class EventSerializer(serializers.ModelSerializer):
    """One step. Sentences carry no patient's values."""

    class Meta:
        model = Event
        fields: ClassVar[list[str]] = [
            "public_id",
            "at",
            "verb",
            "old_status",
            "new_status",
            "actor_kind",
            "sentence",
        ]
        read_only_fields = fields


class EventFilter(filters.FilterSet):
    after = filters.UUIDFilter(method="since", label="Public id of the last event that was read")
    verb = filters.CharFilter(lookup_expr="startswith")

    def since(self, rows: Any, name: str, value: Any) -> Any:
        last = Event.objects.filter(public_id=value).values("id")[:1]
        return rows.filter(id__gt=Subquery(last))

    class Meta:
        model = Event
        fields: ClassVar[list[str]] = ["after", "verb"]


class OldestFirst(CursorPage):
    ordering = "id"


# An event whose transaction is still at work could appear later with a smaller id than one that is
# shown: a reader who has gone past would never see it. So the feed ends where the oldest unfinished
# transaction began. Transaction numbers wrap; what is an hour old is finished in any case, and only
# the last hour is compared.
OLDEST_UNFINISHED = """
    SELECT coalesce(
      (SELECT backend_xid::text FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL ORDER BY age(backend_xid) DESC LIMIT 1),
      mod(pg_snapshot_xmax(pg_current_snapshot())::text::numeric, 4294967296)::text)
"""
SETTLED = (
    "audit_event.created_at < now() - interval '1 hour' OR age(audit_event.xmin) > age(%s::xid)"
)


class EventFeed(PartnerView, generics.ListAPIView):
    """The event feed, oldest first. Keep the last public id and ask `?after=` it."""

    scopes: ClassVar[dict[str, str]] = {"GET": "work:read"}
    serializer_class = EventSerializer
    filterset_class = EventFilter
    pagination_class = OldestFirst
    queryset = Event.objects.none()

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return Event.objects.none()
        # asked before the events are: what has ended by then is seen by the next statement
        with connection.cursor() as cursor:
            cursor.execute(OLDEST_UNFINISHED)
            (oldest,) = cursor.fetchone()
        return Event.objects.visible_to(self.actor).extra(where=[SETTLED], params=[oldest])  # noqa: S610


urlpatterns = [path("events", EventFeed.as_view(), name="events")]
