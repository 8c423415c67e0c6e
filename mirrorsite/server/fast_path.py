"""Answers to plain GETs of health and mirror, from the event loop.

These answers depend on the request alone. Django answers the first request with a cache
key (path, host and scheme); its header fields are remembered, and further plain GETs with
that key are answered with them. The body comes from a function that the view calls too.

Django answers everything else: other methods, conditional requests, requests with an
error, and cache keys for which it has not returned 200, such as those with an unknown
host or with HTTP that is redirected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mirrorsite.logs import request_id_from
from mirrorsite.server.responses import Fields, Response

#: Returns body and further header fields for a query; None leaves the request to Django.
FastAnswer = Callable[[bytes], tuple[bytes, Fields] | None]
#: Path, host, scheme and forwarded scheme: all that Django's header fields depend on.
CacheKey = tuple[bytes, bytes, str, bytes]

#: Limited, since a client may send any port in its Host.
MAX_CACHE_KEYS = 256
#: Fields that differ between answers with one cache key: they are not remembered.
_OWN_FIELDS = frozenset({b"x-request-id", b"content-length", b"etag"})
#: Header fields that a plain request does not have.
_NOT_PLAIN = frozenset(
    {b"if-none-match", b"content-length", b"transfer-encoding", b"expect", b"upgrade"}
)


@dataclass(frozen=True, slots=True)
class FastResponse:
    """A 200: the header section as it is sent, without the server's own fields."""

    head: bytes
    body: bytes
    request_id: str


def cache_key_of(
    path: bytes, fields: Mapping[bytes, bytes], scheme: str
) -> CacheKey | None:
    """Return the cache key of a plain request, else None; names are in lower case."""
    host = fields.get(b"host")
    if host is None or not _NOT_PLAIN.isdisjoint(fields):
        return None
    return path, host, scheme, fields.get(b"x-forwarded-proto", b"")


@dataclass(slots=True)
class FastPath:
    """The `answers` by path, and Django's header fields by cache key."""

    answers: Mapping[bytes, FastAnswer]
    _heads: dict[CacheKey, bytes] = field(default_factory=dict)

    def answer(
        self, path: bytes, query: bytes, fields: Mapping[bytes, bytes], scheme: str
    ) -> FastResponse | None:
        """Return the answer to a GET, or None to leave it to Django.

        The caller has checked the method, and that no header field is repeated.
        """
        cache_key = cache_key_of(path, fields, scheme)
        head = self._heads.get(cache_key) if cache_key else None
        if head is None or (found := self.answers[path](query)) is None:
            return None
        body, added = found
        request_id = request_id_of(fields)
        return FastResponse(
            b"%b%bx-request-id: %b\r\ncontent-length: %d\r\n"
            % (head, field_lines(added), request_id.encode(), len(body)),
            body,
            request_id,
        )

    def remember(self, scope: Any, response: Response) -> None:
        """Keep the header fields of Django's 200 to a plain GET.

        A response that sets a cookie is not kept: other clients would get the cookie.
        """
        path = scope["raw_path"]
        cache_key = cache_key_of(path, dict(scope["headers"]), scope["scheme"])
        names = {name for name, _ in response.fields}
        if (
            cache_key is None
            or scope["method"] != "GET"
            or response.status != 200
            or b"set-cookie" in names
        ):
            return
        if len(self._heads) >= MAX_CACHE_KEYS:
            self._heads.clear()
        self._heads[cache_key] = field_lines(
            (name, value) for name, value in response.fields if name not in _OWN_FIELDS
        )


def request_id_of(fields: Mapping[bytes, bytes]) -> str:
    """Return the id of the request with these header fields; the keys are in lower case."""
    return request_id_from(
        fields.get(b"x-request-id", b"").decode("latin-1"),
        fields.get(b"traceparent", b"").decode("latin-1"),
    )


def field_lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return header fields as HTTP/1.1 sends them."""
    return b"".join([b"%b: %b\r\n" % pair for pair in fields])
