"""What every endpoint shares: cursor pages, ETags, a read-only base by public id."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.core import signing
from django.core.exceptions import ValidationError
from django.http import Http404
from django_filters import IsoDateTimeFilter
from django_filters.fields import IsoDateTimeField
from rest_framework import exceptions
from rest_framework.pagination import BasePagination, Cursor, CursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from rcm.accounts.partners import PartnerView

CURSOR_SALT = "rcm.accounts.rest.cursor"


class StrictJSONParser(JSONParser):
    """JSON without what no column can hold: NUL characters and half surrogate pairs; nested too
    deeply is refused as well.
    """

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            data = super().parse(stream, media_type, parser_context)
            text = json.dumps(data, ensure_ascii=False)
            text.encode()
        except (RecursionError, UnicodeEncodeError) as error:
            raise exceptions.ParseError(
                "This JSON cannot be kept: it is nested too deeply or holds broken characters."
            ) from error
        if "\\u0000" in text:
            raise exceptions.ParseError("This JSON holds a NUL character.")
        return data


class MomentField(IsoDateTimeField):
    """A moment in UTC. An offset that no place has, or a moment that no column holds, is refused
    as a bad value.
    """

    def to_python(self, value: Any) -> datetime | None:
        found: datetime | None = super().to_python(value)
        if found is None:
            return None
        try:
            return found.astimezone(UTC)
        except OverflowError:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


class MomentFilter(IsoDateTimeFilter):
    """A filter by a moment, as ISO 8601."""

    field_class = MomentField


class CursorPage(CursorPagination):
    """Opaque, signed cursor over the newest first; `page_size` up to 200. A row that arrives
    meanwhile moves nothing.
    """

    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"
    ordering = "-id"

    def encode_cursor(self, cursor: Cursor) -> str:
        signed: str = signing.dumps(
            [cursor.offset, cursor.reverse, cursor.position], salt=CURSOR_SALT, compress=True
        )
        return str(replace_query_param(self.base_url or "", self.cursor_query_param, signed))

    def decode_cursor(self, request: Request) -> Cursor | None:
        given = request.query_params.get(self.cursor_query_param)
        if not given:
            return None
        try:
            offset, reverse, position = signing.loads(given, salt=CURSOR_SALT)
        except signing.BadSignature as error:
            raise exceptions.ParseError(
                "This cursor was not given by us. Begin again without one."
            ) from error
        return Cursor(offset=offset, reverse=reverse, position=position)


class PreconditionFailed(exceptions.APIException):
    status_code = 412
    default_detail = (
        "Somebody else has changed this in the meantime. Read it again and repeat with the new"
        " ETag."
    )
    default_code = "changed"


class PreconditionRequired(exceptions.APIException):
    status_code = 428
    default_detail = "Send If-Match with the ETag that you read, so that nobody's change is lost."
    default_code = "if_match_missing"


def etag(row: Any) -> str:
    """The ETag of a row that has a version."""
    return f'"{row.version}"'


def require_match(request: Request, row: Any) -> int:
    """The version the client has seen. Raises 428 without If-Match, 412 when the row has moved
    on.
    """
    given = request.headers.get("If-Match", "")
    if not given:
        raise PreconditionRequired
    # what was read carries a digest behind the version; either form names it
    if given.strip().removeprefix("W/").strip('"').partition("-")[0] != str(row.version):
        raise PreconditionFailed
    return int(row.version)


class ByPublicId(PartnerView):
    """Mixin for viewsets: rows of the actor's organization only, found by public id; a stranger's
    id is as unknown as a random one.
    """

    lookup_field = "public_id"
    lookup_value_regex = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    pagination_class: type[BasePagination] | None = CursorPage
    unconditional: ClassVar[frozenset[str]] = frozenset()
    _judged = False

    def get_queryset(self) -> Any:
        return super().get_queryset().visible_to(self.actor)  # type: ignore[misc]

    def get_object(self) -> Any:
        row = (
            self.filter_queryset(self.get_queryset())  # type: ignore[attr-defined]
            .filter(public_id=self.kwargs["public_id"])  # type: ignore[attr-defined]
            .first()
        )
        if row is None:
            raise Http404
        self._refuse_stale(row)
        return row

    def _refuse_stale(self, row: Any) -> None:
        """A write on a row that has a version names the version it has seen. What only adds
        something under the row, or asks a payer about it, may leave it out.
        """
        request: Request = self.request  # type: ignore[attr-defined]
        if self._judged or request.method in SAFE_METHODS or not hasattr(row, "version"):
            return
        self._judged = True  # the answer reads the row again, which has moved on by then
        if self.action in self.unconditional and "If-Match" not in request.headers:  # type: ignore[attr-defined]
            return
        require_match(request, row)
