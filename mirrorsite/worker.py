"""gunicorn's threaded worker, answering what it cannot read as a problem too."""

from __future__ import annotations

import json
import socket
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import errors

from mirrorsite.gunicorn_worker import DrainingWorker
from mirrorsite.problem_types import PROBLEM_TYPES
from mirrorsite.request_ids import request_id_from

_SLUGS: dict[type[Exception], str] = {
    errors.LimitRequestLine: "request-line-too-long",
    errors.LimitRequestHeaders: "headers-too-large",
    errors.ExpectationFailed: "expectation-failed",
    errors.UnsupportedTransferCoding: "transfer-coding-not-implemented",
}
#: The application's own fault, although gunicorn counts them as parse errors.
_OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)


class ProblemWorker(DrainingWorker):
    """The service's worker; a request that is no HTTP gets a problem, not a page.

    gunicorn's own message quotes the offending line or header, which may hold a
    token; neither the answer nor the log line does here.
    """

    def handle_error(
        self, req: Any, client: socket.socket, addr: Any, exc: Exception
    ) -> None:
        # Here, because gunicorn's master loads this module too, and neither Django nor
        # prometheus_client may be imported before the configuration's hooks have run.
        from mirrorsite.metrics import observe_request
        from mirrorsite.problems import CONTENT_TYPE, problem_body

        request_id = request_id_from(None)
        if isinstance(exc, errors.ParseException) and not isinstance(exc, _OURS):
            slug = _SLUGS.get(type(exc), "malformed-http")
        else:
            slug = "internal-error"
        kind = PROBLEM_TYPES[slug]
        fields = {
            "status": kind.status,
            "request_id": request_id,
            "client": addr[0] if addr else "",
            "error": type(exc).__name__,
        }
        log = self.log.error_log
        if slug == "internal-error":
            log.error("request not handled", exc_info=exc, extra={"fields": fields})
        else:
            log.info("request not read: %s", slug, extra={"fields": fields})
        observe_request("unmatched", None, kind.status, 0.0)
        body = json.dumps(
            problem_body("/", request_id, kind.status, slug, kind.meaning)
        ).encode()
        head = (
            f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}\r\n"
            "Connection: close\r\n"
            f"Content-Type: {CONTENT_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\n"
            f"X-Request-ID: {request_id}\r\n"
            "X-Content-Type-Options: nosniff\r\n\r\n"
        )
        try:
            util.write_nonblock(client, head.encode("ascii") + body)
        except OSError:
            self.log.debug("the client is gone")
