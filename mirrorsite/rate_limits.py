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
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Protocol

import django.db
import redis
from django.conf import settings
from django.db import connection
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request
from rest_framework.views import APIView

from mirrorsite.actors import actor_named, actor_of
from mirrorsite.models import RateWindow
from mirrorsite.problems import Problem
from mirrorsite.tokens.authentication import StaffSessionAuthentication

logger = logging.getLogger(__name__)

#: How long Redis or the database is not used for counting after an error.
PAUSE_SECONDS = 5.0
#: Short, because every limited request waits for Redis.
_REDIS_TIMEOUT_SECONDS = 0.5
_MAX_IN_MEMORY = 100_000


# --- Counters ---------------------------------------------------------------------


class Counter(Protocol):
    """Counts per key. A key names its window, so no count is used after it expires."""

    def add(self, key: str, seconds: int, amount: int = 1) -> int:
        """Add `amount`, 1 or -1; return the count, which may be dropped after `seconds`."""


class MemoryCounter:
    """Counts in this process; each worker has its own counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: By key: the count, and when it expires.
        self._counts: dict[str, tuple[int, float]] = {}
        self._clean_at = 0.0

    def add(self, key: str, seconds: int, amount: int = 1) -> int:
        now = time.monotonic()
        with self._lock:
            if now >= self._clean_at:
                self._counts = {
                    other: (count, expires_at)
                    for other, (count, expires_at) in self._counts.items()
                    if expires_at > now
                }
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


class RateLimiter:
    """Counts requests per client, in this process while Redis or the database fails.

    Refusing requests then would make the API depend on the counter, and not counting
    them would lift the limit.
    """

    def __init__(self) -> None:
        self._fallback = MemoryCounter()
        self._paused_until = 0.0
        #: A window's number, and the digests of the credentials accepted in it.
        self._accepted: tuple[float, set[bytes]] = (0, set())

    def count(self, quota_key: str, headers: MutableMapping[str, str]) -> None:
        """Count a request, and report the client's usage in `headers`.

        Raises a `Problem` beyond the quota. Without `UPLOAD_RATE_LIMIT` nothing is counted.
        """
        if settings.UPLOAD_RATE_LIMIT is None:
            return
        quota, window_seconds = settings.UPLOAD_RATE_LIMIT
        count, seconds_left = self._add(quota_key, 1)
        remaining = max(0, quota - count)
        headers["RateLimit-Policy"] = f'"default";q={quota};w={window_seconds}'
        headers["RateLimit"] = f'"default";r={remaining};t={seconds_left}'
        if count > quota:
            raise Problem(
                "throttled",
                f"More than {quota} requests within {window_seconds} seconds.",
                retry_after=seconds_left,
            )

    def uncount(self, quota_key: str) -> None:
        """Subtract a request that `count` has added.

        If a new window has begun since, or counting has moved to or from this process,
        the new count is lowered: the client may then exceed its quota by one request.
        """
        self._add(quota_key, -1)

    def _add(self, quota_key: str, amount: int) -> tuple[int, int]:
        """Return the count in the current window, and the seconds until it ends."""
        length: int = settings.UPLOAD_RATE_LIMIT[1]  # type: ignore[index]  # a limit is set
        window, elapsed = divmod(time.time(), length)
        seconds_left = math.ceil(length - elapsed)
        key = f"{quota_key}/{length}/{window:.0f}"
        if time.monotonic() >= self._paused_until:
            try:
                counter = counter_for(settings.CACHE_URL)
                return counter.add(key, seconds_left, amount), seconds_left
            except (redis.RedisError, django.db.Error, OSError, ValueError) as error:
                self._paused_until = time.monotonic() + PAUSE_SECONDS
                logger.warning(
                    "requests are counted in this process for %s s: the shared counter failed"
                    " (%s)",
                    PAUSE_SECONDS,
                    type(error).__name__,
                )
        return self._fallback.add(key, seconds_left, amount), seconds_left

    def has_accepted(self, credential: str) -> bool:
        """Return True if this process has accepted the credential in this window."""
        return _digest(credential) in self._accepted_now()

    def accept(self, credential: str) -> None:
        self._accepted_now().add(_digest(credential))

    def forget(self, credential: str) -> None:
        self._accepted_now().discard(_digest(credential))

    def _accepted_now(self) -> set[bytes]:
        """Return the digests of the credentials accepted in the current window."""
        length: int = settings.UPLOAD_RATE_LIMIT[1]  # type: ignore[index]  # a limit is set
        window = time.time() // length
        if self._accepted[0] != window:
            self._accepted = (window, set())
        return self._accepted[1]


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode()).digest()


limiter = RateLimiter()


# --- The API ----------------------------------------------------------------------


class RateLimitedPosts(APIView):
    """Mixin: counts each POST by token, user or network, before the view runs.

    Requests with invalid credentials have a counter of their own per network. A request
    with a credential that this process has not accepted in the current window is counted
    there before the database is queried, and uncounted if the credential is valid. A
    burst of invalid credentials thus causes no more queries than the quota. The header
    fields report what is left.
    """

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
            limiter.count(network, self.headers)
            super().perform_authentication(request)

    def _authenticate(self, request: Request, credential: str, network: str) -> None:
        """Authenticate, and count the request by the outcome.

        It is counted for the actor if the credential is valid, among the network's
        unproven credentials if it is not, for the network if it is refused for another
        reason (CSRF), and not at all if it could not be checked.
        """
        unproven = f"unproven:{network}"
        counted_key = ""
        if not limiter.has_accepted(credential):
            try:
                limiter.count(unproven, self.headers)
            except Problem:
                # Refused before its credential is checked. Concurrent requests with valid
                # credentials may fill the quota until they are checked and subtracted. If
                # refused requests stayed counted, the quota would be full even after that.
                limiter.uncount(unproven)
                raise
            counted_key = unproven
        final_key = ""  # not counted, if the credential cannot be checked
        try:
            super().perform_authentication(request)
            actor_key = actor_of(request).key
            if actor_key:
                limiter.accept(credential)
            # Without a key the actor is anonymous: the view does not accept what the
            # credential stands for, such as the session of a user who is not staff.
            final_key = actor_key or unproven
        except AuthenticationFailed:
            final_key = unproven
            raise
        except APIException:  # a valid session, but no valid CSRF token
            final_key = network
            raise
        finally:
            if final_key == unproven:
                limiter.forget(credential)
            if counted_key and counted_key != final_key:
                limiter.uncount(unproven)
                self.headers.pop("RateLimit-Policy")
                self.headers.pop("RateLimit")
            if final_key and counted_key != final_key:
                limiter.count(final_key, self.headers)
