"""What production refuses to start with, each fault as a sentence that names the setting."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

SECRET_LENGTH = 50
SECRET_LETTERS = 5
TOKEN_LENGTH = 24
FIELD_KEY_BYTES = 32
EVERY_HOST = {"*", ".", ""}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The settings that production looks at."""

    secret_key: str
    field_keys: Sequence[str]
    demo_keys: Collection[str]
    debug: bool
    allowed_hosts: Sequence[str]
    redis_url: str
    metrics_token: str = ""


def faults(chosen: Chosen) -> Iterator[str]:
    """What must not stand in production."""
    if len(chosen.secret_key) < SECRET_LENGTH or len(set(chosen.secret_key)) < SECRET_LETTERS:
        yield f"DJANGO_SECRET_KEY is shorter than {SECRET_LENGTH} characters or too regular."
    if not chosen.field_keys:
        yield "ISOCENTER_FIELD_KEYS is empty: encrypted fields need a key."
    for place, key in enumerate(chosen.field_keys, 1):
        if not _is_field_key(key):
            yield f"Key {place} of ISOCENTER_FIELD_KEYS is not 32 random bytes in base64."
    if {chosen.secret_key, *chosen.field_keys} & set(chosen.demo_keys):
        yield "A key is the demo's, which everybody knows: make your own (docs/operations.md)."
    if chosen.debug:
        yield "DJANGO_DEBUG is on: error pages would show settings and patients."
    if not chosen.allowed_hosts or EVERY_HOST & {host.strip() for host in chosen.allowed_hosts}:
        yield "ALLOWED_HOSTS must name your hosts; * or nothing lets any name in."
    redis = urlsplit(chosen.redis_url)
    if redis.scheme != "unix" and not redis.password:
        yield "REDIS_URL has no password: whoever reaches the broker could run tasks."
    if chosen.metrics_token and len(chosen.metrics_token) < TOKEN_LENGTH:
        yield f"ISOCENTER_METRICS_TOKEN is shorter than {TOKEN_LENGTH} characters."


def _is_field_key(key: str) -> bool:
    try:
        raw = base64.urlsafe_b64decode(key)
    except (binascii.Error, ValueError):
        return False
    return len(raw) == FIELD_KEY_BYTES
