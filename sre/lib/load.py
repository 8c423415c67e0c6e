"""Clients that upload without a pause and count every outcome; rates are measured by wrk."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

BACK_OFF_SECONDS = 0.1


@dataclass
class Load:
    """Clients that each send one request after the other until `stop`.

    Each request has a connection of its own unless `keep_alive`. Outcomes: the status
    answered, "refused" when the connection failed, "lost" when it was accepted and no
    complete answer came. After anything but success a client waits a moment.
    """

    url: str
    clients: int = 8
    keep_alive: bool = False
    #: Makes the body of each request, in JSON; an empty one is not sent.
    body: Callable[[], bytes] = bytes
    timeout_seconds: float = 90
    outcomes: Counter[str] = field(default_factory=Counter)
    #: The answers with status 201.
    created: list[dict[str, Any]] = field(default_factory=list)
    #: The first 20.
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, daemon=True) for _ in range(self.clients)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every client finish its request, and end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        headers = {"Content-Type": "application/json"}
        if not self.keep_alive:
            headers["Connection"] = "close"
        # It connects again where the server has closed the connection.
        connection = http.client.HTTPConnection(
            urlsplit(self.url).netloc, timeout=self.timeout_seconds
        )
        while not self._stop.is_set():
            outcome, content, errors = "refused", b"", []
            try:
                if connection.sock is None:
                    connection.connect()
                outcome = "lost"
                connection.request(
                    "POST", "/api/upload-random", self.body() or None, headers
                )
                answer = connection.getresponse()
                content = answer.read()
                outcome = str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                errors = [repr(error)]
            with self._lock:
                self.outcomes[outcome] += 1
                self.errors = [*self.errors, *errors][:20]
                if outcome == "201":
                    self.created.append(json.loads(content))
            if not outcome.startswith("2"):
                self._stop.wait(BACK_OFF_SECONDS)
        connection.close()
