"""An uploaded sheet between its preview and its load: kept half an hour for the person who sent it,
in the shared cache.
"""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.cache import cache
from django.core.files.uploadedfile import UploadedFile

from rcm.accounts.actor import Actor
from rcm.accounts.problems import Refused

MOST = 20 * 1024 * 1024
SECONDS = 1800


def stage(*, upload: UploadedFile, actor: Actor) -> str:
    """Keep an upload; the token opens it again for the same person only. Raises `Refused` when it
    is empty or too large.
    """
    if not upload.size:
        raise Refused("The file is empty.", code="empty", field="file")
    if upload.size > MOST:
        raise Refused(
            f"The file is larger than {MOST // 1024**2} MB.",
            code="large",
            field="file",
            fix="Load large files with manage.py load_reference.",
        )
    name = (
        re.sub(r"[^A-Za-z0-9._-]+", "_", Path(upload.name or "upload").name)[-80:].lstrip(".")
        or "upload"
    )
    token = secrets.token_urlsafe(18)
    cache.set(_key(token, actor), (name, upload.read()), SECONDS)
    return token


@contextmanager
def staged(*, token: str, actor: Actor) -> Iterator[Path]:
    """The kept file as a path with its own name. Raises `Refused` when it has gone or belongs to
    someone else.
    """
    kept = cache.get(_key(token, actor))
    if kept is None:
        raise Refused(
            "The uploaded file is no longer kept. Choose it again.", code="gone", field="file"
        )
    name, content = kept
    with tempfile.TemporaryDirectory(prefix="isocenter-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path


def drop(*, token: str, actor: Actor) -> None:
    """Forget a kept file."""
    cache.delete(_key(token, actor))


def _key(token: str, actor: Actor) -> str:
    return f"staged:{actor.user_id}:{token}"
