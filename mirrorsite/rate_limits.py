"""Limits on requests per client, and the header fields that report them.

Windows are fixed: they begin at whole multiples of their length since 1970, the same
in every process, so that one number per client is all that is shared. At a border a
client can get through twice its rate, once.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import Any

import django.db
import redis
from django.conf import settings
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mirrorsite.actors import actor_key_of, network_key_of
from mirrorsite.problems import Problem
from mirrorsite.rate_counters import MemoryCounter, counter_for
from mirrorsite.tokens.authentication import StaffSessionAuthentication

logger = logging.getLogger(__name__)

#: How long a counter that failed is not used.
PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Usage:
    """A client's use of its quota in the current window."""

    quota: int
    window_seconds: int
    count: int
    seconds_left: int

    @property
    def is_exceeded(self) -> bool:
        return self.count > self.quota

    @property
    def headers(self) -> dict[str, str]:
        remaining = max(0, self.quota - self.count)
        return {
            "RateLimit-Policy": f'"default";q={self.quota};w={self.window_seconds}',
            "RateLimit": f'"default";r={remaining};t={self.seconds_left}',
        }


class RateLimiter:
    """Counts requests per client; never the reason why a request fails.

    When Redis or the database is unavailable it counts in this process for a while:
    refusing all requests would add a dependency, and counting none would lift the limit.
    """

    def __init__(self) -> None:
        self._fallback = MemoryCounter()
        self._paused_until = 0.0
        #: A window, and the clients known in this process to have used up its quota.
        self._exhausted: tuple[int, set[str]] = (0, set())

    def hit(self, client: str) -> Usage | None:
        """Count a request; None when `UPLOAD_RATE_LIMIT` is off."""
        if settings.UPLOAD_RATE_LIMIT is None:
            return None
        quota, length = settings.UPLOAD_RATE_LIMIT
        window, left = _window(length)
        count = self._increment(f"{client}/{length}/{window}", left)
        if count >= quota:
            if self._exhausted[0] != window:
                self._exhausted = (window, set())
            self._exhausted[1].add(client)
        return Usage(quota, length, count, left)

    def refuse(self, client: str) -> Usage | None:
        """Return the usage of a client known to have none left; counts nothing.

        It asks neither Redis nor the database, so another process may have counted
        what this one has not heard of.
        """
        if settings.UPLOAD_RATE_LIMIT is None:
            return None
        quota, length = settings.UPLOAD_RATE_LIMIT
        window, left = _window(length)
        if self._exhausted[0] != window or client not in self._exhausted[1]:
            return None
        return Usage(quota, length, quota + 1, left)

    def _increment(self, key: str, seconds: int) -> int:
        if time.monotonic() >= self._paused_until:
            try:
                return counter_for(settings.CACHE_URL).increment(key, seconds)
            except (redis.RedisError, django.db.Error, OSError) as error:
                self._paused_until = time.monotonic() + PAUSE_SECONDS
                logger.warning(
                    "rate limits are counted in this process for %s s: %s",
                    PAUSE_SECONDS,
                    type(error).__name__,
                )
        return self._fallback.increment(key, seconds)


def _window(length: int) -> tuple[int, int]:
    """Return the number of the current window and the seconds that are left of it."""
    now = time.time()
    window = int(now // length)
    return window, max(1, math.ceil((window + 1) * length - now))


limiter = RateLimiter()


def require_quota(usage: Usage | None) -> None:
    """Raise a `Problem` if the client has used more than its quota."""
    if usage is not None and usage.is_exceeded:
        raise Problem(
            429,
            "throttled",
            f"More than {usage.quota} requests within {usage.window_seconds} seconds.",
            retry_after=usage.seconds_left,
        )


class RateLimitedPosts(APIView):
    """Mixin: counts each POST by token, user or network, before anything is done.

    Invalid tokens and sessions have a counter of their own per network: at the quota,
    that network's tokens and sessions are refused without a database query. The header
    fields of every answer report what is left.
    """

    _usage: Usage | None = None

    def perform_authentication(self, request: Request) -> None:
        if request.method != "POST" or settings.UPLOAD_RATE_LIMIT is None:
            super().perform_authentication(request)
            return
        network = network_key_of(request._request)
        if self._has_credentials(request):
            unproven = f"unproven:{network}"
            self._check(limiter.refuse(unproven))
        else:
            unproven = network
        try:
            super().perform_authentication(request)
        except AuthenticationFailed:
            self._check(limiter.hit(unproven))
            raise
        except Exception:
            self._check(limiter.hit(network))
            raise
        self._check(limiter.hit(actor_key_of(request) or unproven))

    def _has_credentials(self, request: Request) -> bool:
        if get_authorization_header(request):
            return True
        return (
            StaffSessionAuthentication in self.authentication_classes
            and settings.SESSION_COOKIE_NAME in request.COOKIES
        )

    def _check(self, usage: Usage | None) -> None:
        self._usage = usage
        require_quota(usage)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        if self._usage is not None:
            for name, value in self._usage.headers.items():
                response.headers[name] = value
        return super().finalize_response(request, response, *args, **kwargs)
