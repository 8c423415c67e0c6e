"""Bounded load: a fixed number of clients, each with one request at a time."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

#: Above this the service uploads in parts.
PART_BYTES = 8 * 1024 * 1024
#: A client that got no 201 waits so long before it asks again; seconds.
BACK_OFF_SECONDS = 0.1
#: Longer than the service's own limits for database and store together.
TIMEOUT_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Promised:
    """What the service answered 201 for, and so has to have."""

    id: str
    key: str
    sha256: str
    size: int


@dataclass
class Load:
    """Uploads from `clients` threads to 127.0.0.1:`port` until stopped."""

    port: int
    clients: int
    seed: int
    answers: Counter[str] = field(default_factory=Counter)
    promised: list[Promised] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for number in range(self.clients):
            thread = threading.Thread(target=self._client, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Let every client finish its request."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, number: int) -> None:
        choose = random.Random(self.seed * 1000 + number)  # noqa: S311
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            if connection is None:
                connection = http.client.HTTPConnection(
                    "127.0.0.1", self.port, timeout=TIMEOUT_SECONDS
                )
            try:
                connection.request(
                    "POST",
                    "/api/upload-random",
                    body=_body(choose),
                    headers={"Content-Type": "application/json"},
                )
                answer = connection.getresponse()
                status, body = answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                # The worker died, or was not there: nothing was promised.
                connection.close()
                connection = None
                self._count("no answer")
            else:
                self._count(str(status), body)
                if status == 201:
                    continue
            self._stop.wait(BACK_OFF_SECONDS)
        if connection is not None:
            connection.close()

    def _count(self, answer: str, body: bytes = b"") -> None:
        promised = _promised(json.loads(body)) if answer == "201" else None
        with self._lock:
            self.answers[answer] += 1
            if promised:
                self.promised.append(promised)


def _body(choose: random.Random) -> bytes:
    """Return a request's body: mostly one number, some KiB, now and then two parts."""
    kind = choose.random()
    if kind < 0.7:
        return b""
    if kind < 0.995:
        return json.dumps({"size": choose.randint(1, 100_000)}).encode()
    size = PART_BYTES + choose.randint(1, PART_BYTES // 2)
    return json.dumps({"size": size}).encode()


def _promised(body: dict[str, Any]) -> Promised:
    return Promised(body["id"], body["key"], body["sha256"], body["size"])
