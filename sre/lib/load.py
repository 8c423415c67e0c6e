"""Clients that ask without a pause and count every outcome; rates are measured by wrk."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

REQUESTS = {
    "upload": ("POST", "/api/upload-random"),
    "mirror": ("GET", "/api/mirror?word=fOoBar25"),
}
BACK_OFF_SECONDS = 0.1


@dataclass
class Load:
    """Clients that each send one request after the other until told to stop.

    Each request has a connection of its own unless `keep_alive`. Outcomes: the status
    answered, "refused" when the connection failed, "lost" when it was accepted and no
    complete answer came. After anything but success a client waits a moment.
    """

    url: str
    target: str = "upload"
    clients: int = 8
    keep_alive: bool = False
    host: str | None = None
    #: Makes the body of each request, in JSON.
    body: Callable[[], bytes] = bytes
    timeout_seconds: float = 90
    outcomes: Counter[str] = field(default_factory=Counter)
    #: The answers with status 201.
    created: list[dict[str, Any]] = field(default_factory=list)
    #: The first 20.
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._started_at = time.monotonic()
        self._threads = [
            threading.Thread(target=self._run, daemon=True) for _ in range(self.clients)
        ]

    def start(self) -> None:
        self._started_at = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every client finish its request, and end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._started_at

    def _run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            connection, outcome, content = self._ask(connection)
            with self._lock:
                self.outcomes[outcome] += 1
                if outcome == "201":
                    self.created.append(json.loads(content))
            if not outcome.startswith("2"):
                self._stop.wait(BACK_OFF_SECONDS)
        if connection is not None:
            connection.close()

    def _ask(
        self, connection: http.client.HTTPConnection | None
    ) -> tuple[http.client.HTTPConnection | None, str, bytes]:
        """Send one request; return the connection to keep, the outcome and the body."""
        if connection is None:
            connection = http.client.HTTPConnection(
                urlsplit(self.url).netloc, timeout=self.timeout_seconds
            )
            try:
                connection.connect()
            except OSError as error:
                self._note(error)
                return None, "refused", b""
        method, path = REQUESTS[self.target]
        headers = {"Content-Type": "application/json"}
        if not self.keep_alive:
            headers["Connection"] = "close"
        if self.host:
            headers["Host"] = self.host
        try:
            connection.request(method, path, self.body() or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._note(error)
            connection.close()
            return None, "lost", b""
        if answer.will_close:
            connection.close()
            return None, str(answer.status), content
        return connection, str(answer.status), content

    def _note(self, error: Exception) -> None:
        with self._lock:
            if len(self.errors) < 20:
                self.errors.append(repr(error))
