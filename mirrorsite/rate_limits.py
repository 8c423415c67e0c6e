"""Limits on requests per client, and the header fields that report them.

Windows are fixed: each begins at a multiple of its length since 1970, so processes share
only one number per client. Across the boundary of two windows a client can send up to
twice its quota.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10.

Requests are counted in Redis, in the database or in this process. Each counter increments
atomically, so no two concurrent requests get the same number. (DRF's throttles and
Django's DatabaseCache read and then write.)
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import django.db
import redis
from django.conf import settings
from django.db import connection
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mirrorsite.actors import actor_named, actor_of
from mirrorsite.models import RateWindow
from mirrorsite.problems import Problem
from mirrorsite.tokens.authentication import StaffSessionAuthentication

logger = logging.getLogger(__name__)

#: How long a counter that failed is not used.
PAUSE_SECONDS = 5.0
#: Short, because every limited request waits for Redis.
_REDIS_TIMEOUT_SECONDS = 0.5
_MAX_IN_MEMORY = 100_000


# --- Counters ---------------------------------------------------------------------


class Counter(Protocol):
    """Counts per key; keys expire."""

    def add(self, key: str, seconds: int, amount: int = 1) -> int:
        """Add `amount`, 1 or -1, and return the sum; the key may expire in `seconds`."""


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
            # One retry, for a pooled connection that the server has closed.
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


# --- The limiter ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """A client's use of its quota in the current window."""

    quota: int
    window_seconds: int
    count: int
    seconds_left: int

    @property
    def headers(self) -> dict[str, str]:
        remaining = max(0, self.quota - self.count)
        return {
            "RateLimit-Policy": f'"default";q={self.quota};w={self.window_seconds}',
            "RateLimit": f'"default";r={remaining};t={self.seconds_left}',
        }


class RateLimiter:
    """Counts requests per client; a counter that fails does not fail the request.

    While Redis or the database is unavailable, requests are counted in this process:
    refusing all would add a dependency, and counting none would lift the limit.
    """

    def __init__(self) -> None:
        self._fallback = MemoryCounter()
        self._paused_until = 0.0
        #: A window, and the digests of credentials that this process accepted in it.
        self._accepted: tuple[float, set[bytes]] = (0, set())

    def count(self, client: str, amount: int = 1) -> Usage | None:
        """Count a request and return the usage; None when `UPLOAD_RATE_LIMIT` is off."""
        if settings.UPLOAD_RATE_LIMIT is None:
            return None
        quota, length = settings.UPLOAD_RATE_LIMIT
        window, elapsed = divmod(time.time(), length)
        left = math.ceil(length - elapsed)
        key = f"{client}/{length}/{window:.0f}"
        if time.monotonic() >= self._paused_until:
            try:
                count = counter_for(settings.CACHE_URL).add(key, left, amount)
                return Usage(quota, length, count, left)
            except (redis.RedisError, django.db.Error, OSError, ValueError) as error:
                self._paused_until = time.monotonic() + PAUSE_SECONDS
                logger.warning(
                    "rate limits are counted in this process for %s s: %s",
                    PAUSE_SECONDS,
                    type(error).__name__,
                )
        return Usage(quota, length, self._fallback.add(key, left, amount), left)

    def uncount(self, client: str) -> None:
        """Uncount a request.

        If the window or the counter (Redis, or this process) has changed since, the
        current count is lowered, and the client gets one request more.
        """
        self.count(client, -1)

    def has_accepted(self, credential: str) -> bool:
        """Return True if the credential was valid in this window, in this process."""
        return _digest(credential) in self._accepted_now()

    def accept(self, credential: str) -> None:
        self._accepted_now().add(_digest(credential))

    def forget(self, credential: str) -> None:
        self._accepted_now().discard(_digest(credential))

    def _accepted_now(self) -> set[bytes]:
        if settings.UPLOAD_RATE_LIMIT is None:
            return set()
        window = time.time() // settings.UPLOAD_RATE_LIMIT[1]
        if self._accepted[0] != window:
            self._accepted = (window, set())
        return self._accepted[1]


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode()).digest()


limiter = RateLimiter()


def require_quota(usage: Usage | None) -> None:
    """Raise a `Problem` if the client has used more than its quota."""
    if usage is not None and usage.count > usage.quota:
        raise Problem(
            429,
            "throttled",
            f"More than {usage.quota} requests within {usage.window_seconds} seconds.",
            retry_after=usage.seconds_left,
        )


# --- The API ----------------------------------------------------------------------


class RateLimitedPosts(APIView):
    """Mixin: counts each POST by token, user or network, before the view runs.

    Requests with invalid credentials have a counter of their own per network. A
    credential that this process has not accepted in the window is counted there before
    the database is queried, and uncounted if it is valid: so a burst of invalid ones
    causes no more queries than the quota. The header fields report what is left.
    """

    _usage: Usage | None = None

    def perform_authentication(self, request: Request) -> None:
        if request.method != "POST" or settings.UPLOAD_RATE_LIMIT is None:
            super().perform_authentication(request)
            return
        network = actor_named(request._request, "anonymous").quota_key
        # A token, or the key of a session where the view accepts one.
        header = get_authorization_header(request)
        credential = b" ".join(header.split()).decode("latin-1")
        if not credential and StaffSessionAuthentication in self.authentication_classes:
            credential = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
        if credential:
            self._authenticate(request, credential, network)
        else:
            self._count(network)
            super().perform_authentication(request)

    def _authenticate(self, request: Request, credential: str, network: str) -> None:
        """Authenticate, then count the request for the credential's actor."""
        unproven = f"unproven:{network}"
        is_counted = not limiter.has_accepted(credential)
        if is_counted:
            try:
                self._count(unproven)
            except Problem:
                limiter.uncount(unproven)
                raise
        client = ""  # not counted if the credential could not be checked
        try:
            super().perform_authentication(request)
            client = actor_of(request).key or unproven
        except APIException as error:
            is_invalid = isinstance(error, AuthenticationFailed)
            client = unproven if is_invalid else network
            raise
        finally:
            if client == unproven:
                limiter.forget(credential)
                if not is_counted:
                    self._count(unproven)
            else:
                if is_counted:
                    limiter.uncount(unproven)
                    self._usage = None
                if client not in {"", network}:
                    limiter.accept(credential)
                if client:
                    self._count(client)

    def _count(self, client: str) -> None:
        self._usage = limiter.count(client)
        require_quota(self._usage)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        if self._usage is not None:
            for name, value in self._usage.headers.items():
                response.headers[name] = value
        return super().finalize_response(request, response, *args, **kwargs)
