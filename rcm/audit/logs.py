"""No patient data in logs or error reports (rule `no-patient-data-in-logs`).

psycopg2 puts values into exception texts (`DETAIL: Key (mrn)=(…)`), and frames hold patients. So: a
log record keeps the exception's class and the place in our code, never its message from the
database; error reports carry no variables at all.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

from django.db import Error as DatabaseError
from django.views.debug import SafeExceptionReporterFilter

_DETAIL = re.compile(r"(DETAIL|Failing row|STATEMENT|CONTEXT|PARAMETERS?|LINE \d+)\b.*", re.DOTALL)
_LONG_NUMBER = re.compile(r"(?<![\w-])\d{6,}(?![\w-])")


def safe_exception(
    kind: type[BaseException], value: BaseException | None, tb: TracebackType | None
) -> str:
    """The traceback without source lines' values: class, places, and the message only for our own
    sentence-carrying errors.
    """
    frames = [
        f"  {f.filename.rsplit('/', 2)[-2]}/{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}"
        for f in traceback.extract_tb(tb)
    ]
    code = getattr(value, "code", "")
    return "\n".join([*frames[-12:], f"{kind.__module__}.{kind.__name__} {code}".strip()])


class ScrubFilter(logging.Filter):
    """Replaces exception text by class and place, and masks what may be an identifier in messages
    and arguments.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = safe_exception(*record.exc_info)
            record.exc_info = None
        args: Any = record.args
        if isinstance(args, tuple):
            record.args = tuple(
                type(a).__name__ if isinstance(a, DatabaseError) else a for a in args
            )
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        record.msg, record.args = (
            _LONG_NUMBER.sub("[number]", _DETAIL.sub("[values removed]", text)),
            (),
        )
        return True


KEPT = {
    "event",
    "request_id",
    "user_id",
    "code",
    "request",
    "level",
    "task",
    "queue",
    "count",
    "status",
    "seconds",
    "kind",
    "job",
}


def allow_listed(
    _logger: Any, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """structlog processor: only the named keys leave, so that nobody's value slips into a log line
    by a new keyword.
    """
    kept = {k: v for k, v in event.items() if k in KEPT}
    if "request" in kept:
        kept["request"] = str(kept["request"]).split("?", 1)[0]
    return kept


class SilentReporterFilter(SafeExceptionReporterFilter):
    """Error reports show no settings, no POST values and no local variables."""

    def get_post_parameters(self, request: Any) -> dict[str, Any]:
        return {}

    def get_traceback_frame_variables(self, request: Any, tb_frame: Any) -> Any:
        return []

    def is_active(self, request: Any) -> bool:
        return True
