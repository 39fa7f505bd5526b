"""WSGI entry for gunicorn.

The web processes count requests into files of one folder, so that whoever asks one of them for
figures gets those of all. It must be named before the counters are made, here in the process that
all others are forked from, and goes with it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def _share_counters() -> None:
    if FOLDER in os.environ:
        return
    folder, parent = Path(tempfile.mkdtemp(prefix="isocenter-counters-")), os.getpid()
    os.environ[FOLDER] = str(folder)

    def forget() -> None:
        if os.getpid() == parent:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(forget)


_share_counters()

from django.core.wsgi import get_wsgi_application  # noqa: E402

from rcm.accounts.memory import settle  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rcm.settings")
application = get_wsgi_application()
settle()
