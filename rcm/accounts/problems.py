"""RFC 9457 problem details: one error shape for the whole API."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.http.request import UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response

from rcm.accounts.actor import PermissionRefused

log = logging.getLogger(__name__)
BUSY_SECONDS = 5


class Refused(Exception):
    """A service says no. `findings` carry code, sentence, field and what to do; screens and the API
    only show it.
    """

    def __init__(
        self,
        sentence: str,
        *,
        code: str = "refused",
        field: str = "",
        fix: str = "",
        status: int = 422,
    ) -> None:
        self.code, self.field, self.fix, self.status = code, field, fix, status
        super().__init__(sentence)


class Conflict(Refused):
    """Somebody else changed it first (409 on screens, 412 by ETag on the API)."""

    def __init__(self, sentence: str, *, code: str = "conflict") -> None:
        super().__init__(sentence, code=code, status=409)


def problem(
    status: int,
    title: str,
    *,
    code: str = "",
    errors: list[dict[str, Any]] | None = None,
    **extra: Any,
) -> Response:
    body: dict[str, Any] = {"type": "about:blank", "status": status, "title": title}
    if code:
        body["code"] = code
    if errors:
        body["errors"] = errors
    return Response(body | extra, status=status, content_type="application/problem+json")


def busy() -> Response:
    """The database is away or gave up waiting: nothing was saved, the same request may be sent
    again.
    """
    answer = problem(
        503, "The system is busy. Nothing was saved; send it again in a moment.", code="busy"
    )
    answer["Retry-After"] = str(BUSY_SECONDS)
    return answer


def unexpected(exc: Exception) -> Response:
    """A fault of ours: a reference that support can find, and not a word of what it was about."""
    reference = str(uuid.uuid4())
    log.error("api fault, reference %s", reference, exc_info=exc)
    return problem(
        500,
        "Something went wrong on our side. Nothing was saved.",
        code="fault",
        reference=reference,
    )


def _flatten(detail: Any, field: str = "") -> list[dict[str, Any]]:
    if isinstance(detail, dict):
        return [e for k, v in detail.items() for e in _flatten(v, f"{field}.{k}".strip("."))]
    if isinstance(detail, list) and detail and not any(isinstance(d, (dict, list)) for d in detail):
        return [
            {"field": field, "code": getattr(d, "code", "invalid"), "message": str(d)}
            for d in detail
        ]
    if isinstance(detail, list):
        return [e for i, v in enumerate(detail) for e in _flatten(v, f"{field}[{i}]")]
    return [{"field": field, "code": getattr(detail, "code", "invalid"), "message": str(detail)}]


def problem_handler(exc: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: every error leaves as application/problem+json without a value of a
    patient.
    """
    if isinstance(exc, Refused):
        errors = (
            [{"field": exc.field, "code": exc.code, "message": str(exc), "fix": exc.fix}]
            if exc.field or exc.fix
            else None
        )
        return problem(exc.status, str(exc), code=exc.code, errors=errors)
    if isinstance(exc, PermissionRefused):
        return problem(403, "This client may not do that.", code=exc.code)
    if isinstance(exc, ValidationError):
        exc = exceptions.ValidationError(getattr(exc, "message_dict", exc.messages))
    # imported here: the module reads DRF's settings, which name classes that import this one
    from rest_framework.views import exception_handler

    response = exception_handler(exc, context)
    if response is None:
        match exc:
            case OperationalError() | InterfaceError():
                return busy()
            case RequestDataTooBig():
                return problem(413, "This body is too large.", code="too_large")
            case SuspiciousOperation() | UnreadablePostError():
                return problem(400, "This request could not be read.", code="unreadable")
        return unexpected(exc)
    if isinstance(exc, Http404):
        title = "Not found."
    elif isinstance(exc, PermissionDenied):
        title = "Not allowed."
    else:
        title = str(getattr(exc, "default_detail", "Request refused."))
    errors = _flatten(response.data) if isinstance(exc, exceptions.ValidationError) else None
    answer = problem(response.status_code, title, errors=errors)
    for name in ("WWW-Authenticate", "Retry-After", "Allow"):
        if name in response.headers:
            answer.headers[name] = response.headers[name]
    return answer
