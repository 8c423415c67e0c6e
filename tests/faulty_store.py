"""A proxy in front of the real S3 server that misbehaves on demand."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable

from tests.fake_store import NO_ANSWER, Answer, Request, Server

#: How long a request hangs when the proxy is not stopped: longer than any client waits.
HANG_SECONDS = 120.0


class FaultyStore(Server):
    """Forwards to the server at `real_port`, save where the plan says otherwise.

    The plan takes method and path, and returns "pass" (forward, return the answer),
    "lose_answer" (forward, then close without an answer), "lose_request" (close without
    forwarding), "hang" (do not answer until the proxy is stopped), a status, or a status
    and S3's error code.
    """

    def __init__(self, real_port: int) -> None:
        super().__init__()
        self.real_port = real_port
        self.plan: Callable[[str, str], str] = lambda method, path: "pass"
        self.stopped = threading.Event()

    def first(self, method: str, fault: str) -> None:
        """Let the first request of this method meet the fault; the rest pass."""
        faults = {method: fault}
        self.plan = lambda asked, path: faults.pop(asked, "pass")

    def always(self, method: str, fault: str) -> None:
        """Let every request of this method meet the fault."""
        self.plan = lambda asked, path: fault if asked == method else "pass"

    def stop(self) -> None:
        self.stopped.set()
        super().stop()

    def answer(self, request: Request) -> Answer:
        fault = self.plan(request.method, request.target)
        if fault == "hang":
            self.stopped.wait(HANG_SECONDS)
        if fault in {"hang", "lose_request"}:
            return NO_ANSWER
        status, _, code = fault.partition(" ")
        if status.isdigit():
            body = f"<Error><Code>{code}</Code></Error>" if code else ""
            return Answer(int(status), body.encode())
        answer = self._forward(request)
        return NO_ANSWER if fault == "lose_answer" else answer

    def _forward(self, request: Request) -> Answer:
        real = http.client.HTTPConnection("127.0.0.1", self.real_port, timeout=30)
        real.putrequest(
            request.method, request.target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in request.headers.items():
            real.putheader(name, value)
        real.endheaders(request.body)
        answer = real.getresponse()
        content = answer.read()
        real.close()
        dropped = {"transfer-encoding", "connection"}
        fields = {n: v for n, v in answer.getheaders() if n.lower() not in dropped}
        return Answer(answer.status, content, fields)
