"""The shared cache, which may be away: pages go on without what it remembers.

What must not be lost never stands in it. While Redis does not answer, reads find nothing and writes
are dropped; after a failure it is left alone for a few seconds, so that a page does not wait once
for each thing it asks. Rate limits are not counted in that time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.redis import RedisCache
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import TimeoutError as RedisSlow

log = logging.getLogger(__name__)
PAUSE_SECONDS = 3.0


class ShelteredCache(RedisCache):
    """Django's Redis cache that answers "not known" when Redis is away."""

    _away_until = 0.0

    def _ask(self, otherwise: Any, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() < ShelteredCache._away_until:
            return otherwise
        try:
            return verb(*args, **kwargs)
        except (RedisGone, RedisSlow, OSError) as error:
            ShelteredCache._away_until = time.monotonic() + PAUSE_SECONDS
            log.warning("cache: Redis does not answer (%s)", type(error).__name__)
            return otherwise

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._ask(default, super().get, key, default, version)

    def set(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        return self._ask(None, super().set, key, value, *args, **kwargs)

    def add(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        return self._ask(True, super().add, key, value, *args, **kwargs)

    def touch(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        return self._ask(False, super().touch, key, *args, **kwargs)

    def delete(self, key: Any, version: int | None = None) -> Any:
        return self._ask(False, super().delete, key, version)

    def has_key(self, key: Any, version: int | None = None) -> Any:
        return self._ask(False, super().has_key, key, version)

    def get_many(self, keys: Any, version: int | None = None) -> Any:
        return self._ask({}, super().get_many, keys, version)

    def set_many(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        return self._ask([], super().set_many, data, *args, **kwargs)

    def delete_many(self, keys: Any, version: int | None = None) -> Any:
        return self._ask(None, super().delete_many, keys, version)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> Any:
        return self._ask(delta, super().incr, key, delta, version)

    def clear(self) -> bool:  # type: ignore[override]
        """Forget our own keys only: the broker's lists live in the same Redis."""
        client = self._cache.get_client(write=True)
        batch: list[bytes] = []
        for key in client.scan_iter(match=f"{self.key_prefix}:*", count=1000):
            batch.append(key)
            if len(batch) == 500:
                client.delete(*batch)
                batch.clear()
        if batch:
            client.delete(*batch)
        return True

    def ping(self) -> bool:
        """Whether Redis answers right now."""
        try:
            return bool(self._cache.get_client().ping())
        except (RedisGone, RedisSlow, OSError):
            return False
