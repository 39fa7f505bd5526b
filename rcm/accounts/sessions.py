"""Sessions in the database, which do not call a lost database a mistake of the reader.

Django's own store reports every error while saving as a session that somebody deleted, which is
answered 400.
"""

from __future__ import annotations

import logging

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db import InterfaceError, OperationalError

log = logging.getLogger(__name__)


class SessionStore(DatabaseStore):
    """A session whose idle time is pushed on with every answer (SESSION_SAVE_EVERY_REQUEST)."""

    def save(self, must_create: bool = False) -> None:
        """Raises the database's own error when what was changed cannot be kept; it is then answered
        503.

        When only the idle time should have moved, the answer stands as it is: the work of the
        request is committed by then, and telling its author that nothing was saved would make them
        do it twice.
        """
        try:
            super().save(must_create)
        except UpdateError as error:
            lost = error.__context__
            if not isinstance(lost, (OperationalError, InterfaceError)):
                raise
            if self.modified or must_create:
                raise lost from None
            log.warning("session_idle_time_not_moved")
