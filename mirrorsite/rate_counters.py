"""Counters of requests: in Redis, in the database or in this process.

Each counts in one atomic step, so that of many requests at once no two get the same
number. (DRF's throttles and Django's DatabaseCache read and then write.)
"""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from typing import Protocol

import redis
from django.db import connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from mirrorsite.models import RateWindow

#: A limiter must not cost more than what it protects.
_REDIS_TIMEOUT_SECONDS = 0.5
_MAX_IN_MEMORY = 100_000


class Counter(Protocol):
    """Counts under keys that expire."""

    def add(self, key: str, seconds: int, amount: int = 1) -> int:
        """Add 1 or -1 and return the sum; the key may expire in `seconds`."""


class MemoryCounter:
    """Counts in this process; each worker has its own counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}
        self._clean_at = 0.0

    def add(self, key: str, seconds: int, amount: int = 1) -> int:
        now = time.monotonic()
        with self._lock:
            if now >= self._clean_at:
                kept = self._counts.items()
                self._counts = {k: held for k, held in kept if held[1] > now}
                self._clean_at = now + seconds
            if len(self._counts) >= _MAX_IN_MEMORY:
                self._counts.clear()  # lets some requests through instead of filling memory
            count = self._counts.get(key, (0, 0.0))[0] + amount
            self._counts[key] = (count, now + seconds)
        return count


class RedisCounter:
    """Counts in Redis: one round trip."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=_REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
            # Once more, for a pooled connection that the server has closed.
            retry=Retry(NoBackoff(), 1),
        )

    def add(self, key: str, seconds: int, amount: int = 1) -> int:
        with self._redis.pipeline(transaction=True) as commands:
            commands.incrby(f"mirrorsite:rate:{key}", amount)
            commands.expire(f"mirrorsite:rate:{key}", seconds)
            count, _ = commands.execute()
        return int(count)


class DatabaseCounter:
    """Counts in the service's own database: one statement."""

    def __init__(self) -> None:
        self._clean_at = 0.0

    def add(self, key: str, seconds: int, amount: int = 1) -> int:
        now = int(time.time())
        table = connection.ops.quote_name(RateWindow._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} (key, count, expires_at) VALUES (%s, %s, %s)"  # noqa: S608
                f" ON CONFLICT (key) DO UPDATE SET count = {table}.count + EXCLUDED.count"
                " RETURNING count",
                [key, amount, now + seconds],
            )
            (count,) = cursor.fetchone()
        if now >= self._clean_at:
            self._clean_at = now + seconds
            RateWindow.objects.filter(expires_at__lt=now).delete()
        return int(count)


@lru_cache(maxsize=4)
def counter_for(cache_url: str) -> Counter:
    """Return the counter of `CACHE_URL`; one for all threads."""
    if not cache_url:
        return MemoryCounter()
    if cache_url == "database":
        return DatabaseCounter()
    return RedisCounter(cache_url)
