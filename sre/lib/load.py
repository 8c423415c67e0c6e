"""Send a bounded load and count what became of every request.

Standard library only. Started by sre/load; `Load` is used by the image's test.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

REQUESTS = {
    "upload": ("POST", "/api/upload-random"),
    "mirror": ("GET", "/api/mirror?word=fOoBar25"),
    "health": ("GET", "/api/health"),
}
MOST_CLIENTS = 64
MOST_SECONDS = 600.0
MOST_REQUESTS = 1_000_000


@dataclass
class Load:
    """Clients that each send one request after the other until told to stop.

    Each request has a connection of its own unless `keep_alive`, so that none can be
    lost to a connection that its server was closing. Outcomes: the status answered,
    "refused" when nobody took the connection, "lost" when it was taken and then no
    complete answer came.
    """

    url: str
    target: str = "upload"
    clients: int = 8
    most_requests: int = 10_000
    keep_alive: bool = False
    host: str | None = None
    timeout_seconds: float = 60
    outcomes: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._left = self.most_requests
        self._threads: list[threading.Thread] = []
        self._started_at = 0.0

    def start(self) -> None:
        self._started_at = time.monotonic()
        for _ in range(self.clients):
            thread = threading.Thread(target=self._run, daemon=True)
            thread.start()
            self._threads.append(thread)

    def wait(self, seconds: float) -> None:
        """Wait until the requests are used up, at most so long."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def stop(self) -> None:
        """Let every client finish the request it has sent, and end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self.timeout_seconds + 5)
        self.seconds = time.monotonic() - self._started_at

    @property
    def answered(self) -> int:
        return sum(n for outcome, n in self.outcomes.items() if outcome.isdigit())

    def _run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set() and self._take():
            began_at = time.monotonic()
            connection, outcome = self._ask(connection)
            took = (time.monotonic() - began_at) * 1000
            with self._lock:
                self.outcomes[outcome] += 1
                self.milliseconds.append(took)
            if outcome == "refused":
                self._stop.wait(0.01)
        if connection is not None:
            connection.close()

    def _take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _ask(
        self, connection: http.client.HTTPConnection | None
    ) -> tuple[http.client.HTTPConnection | None, str]:
        method, target = REQUESTS[self.target]
        address = urlsplit(self.url)
        if connection is None:
            make = (
                http.client.HTTPSConnection
                if address.scheme == "https"
                else http.client.HTTPConnection
            )
            connection = make(
                address.hostname or "", address.port, timeout=self.timeout_seconds
            )
            try:
                connection.connect()
            except OSError as error:
                self._note(error)
                return None, "refused"
        headers = {} if self.keep_alive else {"Connection": "close"}
        if self.host:
            headers["Host"] = self.host
        try:
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._note(error)
            connection.close()
            return None, "lost"
        if answer.will_close or not self.keep_alive:
            connection.close()
            return None, str(answer.status)
        return connection, str(answer.status)

    def _note(self, error: Exception) -> None:
        with self._lock:
            if len(self.errors) < 20:
                self.errors.append(repr(error))

    def report(self) -> dict[str, object]:
        """Return counts, rate and latencies as plain values."""
        ordered = sorted(self.milliseconds)

        def percentile(share: float) -> float:
            if not ordered:
                return 0.0
            return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)

        return {
            "url": self.url,
            "target": self.target,
            "clients": self.clients,
            "seconds": round(self.seconds, 2),
            "answered_per_second": round(self.answered / max(self.seconds, 0.001), 1),
            "outcomes": dict(sorted(self.outcomes.items())),
            "milliseconds": {
                "p50": percentile(0.50),
                "p95": percentile(0.95),
                "p99": percentile(0.99),
                "max": percentile(1.0),
            },
        }


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    address = urlsplit(options.url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        sys.stderr.write(
            f"the address is {options.url!r}; give one like http://127.0.0.1:4545\n"
        )
        return 2
    load = Load(
        options.url,
        options.target,
        options.clients,
        options.requests,
        options.keep_alive,
        options.host,
    )
    load.start()
    try:
        load.wait(options.seconds)
    finally:
        load.stop()
    report = load.report()
    if options.json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        for name, value in report.items():
            shown = (
                "  ".join(f"{key}: {item}" for key, item in value.items())
                if isinstance(value, dict)
                else value
            )
            sys.stdout.write(f"{name:20}{shown}\n")
    return 0 if all(outcome.startswith("2") for outcome in load.outcomes) else 1


def _between(kind: type[int] | type[float], most: float):  # type: ignore[no-untyped-def]
    def convert(text: str) -> float:
        number = kind(text)
        if not 0 < number <= most:
            raise argparse.ArgumentTypeError(
                f"{text} is not above 0 and up to {most:g}"
            )
        return number

    return convert


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sre/load",
        description="Send a bounded load; print rate, statuses and latencies. Exit"
        " status 1 when a request was not answered with success.",
    )
    parser.add_argument("url", metavar="URL", help="such as http://127.0.0.1:4545")
    parser.add_argument("--target", choices=sorted(REQUESTS), default="upload")
    parser.add_argument(
        "--clients", type=_between(int, MOST_CLIENTS), default=8, help="at most 64"
    )
    parser.add_argument(
        "--seconds",
        type=_between(float, MOST_SECONDS),
        default=10.0,
        help="at most 600",
    )
    parser.add_argument(
        "--requests",
        type=_between(int, MOST_REQUESTS),
        default=10_000,
        help="end after so many, 10000 by default",
    )
    parser.add_argument("--keep-alive", action="store_true", help="reuse connections")
    parser.add_argument("--host", help="Host header, when URL is a bare address")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
