"""The short way to the two endpoints that are asked most: before Django.

The liveness probe and the mirror rest on the request alone. Most of their time went into
what they have no use for: signals that look after database connections, the resolver,
REST framework's request. So here a plain GET is answered in the words in which Django
has answered the same address before, its header fields included; what depends on the
request is worked out by the function that the view calls too.

Everything else takes the long way: other methods, conditional requests, whatever is
wrong with a request, and addresses that Django has not answered with 200 yet, such as an
unknown Host or plain HTTP that is redirected.

No Django here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from mirrorsite.metrics import observe_request
from mirrorsite.request_ids import request_id_from

Fields = list[tuple[str, str]]
#: Body and further header fields for a WSGI environment; None: take the long way.
FastAnswer = Callable[[Mapping[str, Any]], tuple[bytes, Fields] | None]

#: Addresses remembered at most. A client may send any port in its Host.
MOST_ADDRESSES = 256
#: What each answer has of its own, beside what its function says.
_OWN = frozenset({"x-request-id", "content-length"})


@dataclass(frozen=True, slots=True)
class Remembered:
    """The header fields of an address that Django has answered, and as they are sent."""

    fields: Fields
    head: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A 200 by the short way."""

    remembered: Remembered
    own: Fields
    body: bytes

    @property
    def fields(self) -> Fields:
        """All header fields, but for those that a server adds."""
        return [*self.remembered.fields, *self.own]

    @property
    def head(self) -> bytes:
        """Those fields as they are sent."""
        return self.remembered.head + _as_sent(self.own)


@dataclass(slots=True)
class FastPath:
    """A WSGI application around another one; `answers` by path."""

    application: Callable[..., Iterable[bytes]]
    answers: Mapping[str, FastAnswer]
    _remembered: dict[tuple[str, ...], Remembered] = field(default_factory=dict)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        answer = self.answer(environ)
        if answer is not None:
            start_response("200 OK", answer.fields)
            return [answer.body]
        if environ["PATH_INFO"] in self.answers and _is_plain(environ):
            return self._long_way(_address(environ), environ, start_response)
        return self.application(environ, start_response)

    def answer(self, environ: dict[str, Any]) -> Answer | None:
        """Answer by the short way, and count the request; None: by the long one.

        Of the environment nothing is read but the request line, the scheme, and the
        header fields; the route and the request id are left in it.
        """
        answer = self.answers.get(environ["PATH_INFO"])
        if answer is None or not _is_plain(environ):
            return None
        started = perf_counter()
        address = _address(environ)
        remembered = self._remembered.get(address)
        if remembered is None:
            return None
        found = answer(environ)
        if found is None:
            return None
        body, own = found
        request_id = request_id_from(
            environ.get("HTTP_X_REQUEST_ID"), environ.get("HTTP_TRACEPARENT")
        )
        route = address[0].lstrip("/")
        # For the access log, as Django's way leaves them there.
        environ["mirrorsite.request_id"] = request_id
        environ["mirrorsite.route"] = route
        own = [
            *own,
            ("X-Request-ID", request_id),
            ("Content-Length", str(len(body))),
        ]
        observe_request(route, "GET", 200, perf_counter() - started)
        return Answer(remembered, own, body)

    def _long_way(
        self,
        address: tuple[str, ...],
        environ: dict[str, Any],
        start_response: Callable[..., Any],
    ) -> Iterable[bytes]:
        """Let Django answer, and remember its header fields if all was well."""

        def remembering(status: str, headers: Fields, *error: Any) -> Any:
            if status.startswith("200 "):
                found = self.answers[address[0]](environ)
                own = _OWN | {name.lower() for name, _ in (found or (b"", ()))[1]}
                if len(self._remembered) >= MOST_ADDRESSES:
                    self._remembered.clear()
                kept = [
                    (name, value) for name, value in headers if name.lower() not in own
                ]
                self._remembered[address] = Remembered(kept, _as_sent(kept))
            return start_response(status, headers, *error)

        return self.application(environ, remembering)


def _as_sent(fields: Fields) -> bytes:
    """Return header fields as bytes; PEP 3333 has them as latin-1 text."""
    return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("latin-1")


def _is_plain(environ: Mapping[str, Any]) -> bool:
    return (
        environ["REQUEST_METHOD"] == "GET"
        and "HTTP_IF_NONE_MATCH" not in environ
        and "HTTP_HOST" in environ
        and not environ.get("SCRIPT_NAME")
    )


def _address(environ: Mapping[str, Any]) -> tuple[str, ...]:
    """Return all of a request that Django's header fields depend on."""
    return (
        environ["PATH_INFO"],
        environ["HTTP_HOST"],
        environ["wsgi.url_scheme"],
        environ.get("HTTP_X_FORWARDED_PROTO", ""),
    )
