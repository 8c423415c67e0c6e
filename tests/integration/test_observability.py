"""Logs, metrics and gunicorn's own errors, from a real service."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from sre.lib.ports import free_port, is_listening
from sre.lib.processes import wait_until
from sre.lib.service import Service
from tests.support import ask
from tests.uploads.making import new_upload

pytestmark = [pytest.mark.service, pytest.mark.django_db(transaction=True)]


def raw(port: int, sent: bytes) -> tuple[str, dict[str, str], bytes]:
    """Send bytes; return status line, headers and body of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    fields = (line.split(": ", 1) for line in lines)
    return status, {name.lower(): value for name, value in fields}, body


def lines_of(service: Service) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.log.read_text().splitlines()]


class TestLogs:
    def test_json_lines(self, start_service):
        service = start_service(
            TRUSTED_PROXIES="1",
            # Nobody listens there: an upload fails at once, with warnings.
            AWS_ENDPOINT_URL_S3="http://127.0.0.1:1",
            STORE_MAX_ATTEMPTS="1",
        )
        ask(
            f"{service.url}/api/mirror?word=private-word",
            X_Request_ID="mirror-1",
            X_Forwarded_For="198.51.100.7, 203.0.113.9",
            Authorization="Bearer private-token",
        )
        status, _, _ = ask(
            f"{service.url}/api/upload-random", "POST", X_Request_ID="upload-1"
        )
        assert status == 503
        ask(f"{service.url}/api/no%0Athing/at/all", X_Request_ID="nothing-1")
        malformed = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nBad Name: secret\r\n\r\n"
        first, headers, body = raw(service.port, malformed)
        service.stop()

        assert first.startswith("HTTP/1.1 400 ")
        assert headers["date"].endswith(" GMT")
        assert json.loads(body)["type"] == "/api/problems/malformed-http"
        lines = lines_of(service)
        (told,) = [line for line in lines if "request not read" in line["message"]]
        assert told["request_id"] == headers["x-request-id"]

        def access(request_id: str) -> dict[str, Any]:
            (found,) = [
                line
                for line in lines
                if line.get("request_id") == request_id
                and line["logger"] == "gunicorn.access"
            ]
            return found

        mirror = access("mirror-1")
        assert mirror.pop("duration_ms") > 0
        mirror.pop("time")
        mirror.pop("message")
        assert mirror == {
            "level": "info",
            "logger": "gunicorn.access",
            "method": "GET",
            "path": "/api/mirror",
            "route": "api/mirror",
            "status": 200,
            "bytes": len('{"transformed":"DROW-ETAVIRP"}'),
            "request_id": "mirror-1",
            "client": "203.0.113.9",
        }
        upload = [line for line in lines if line.get("request_id") == "upload-1"]
        assert {line["logger"] for line in upload} >= {
            "uploads.storage.backend",
            "uploads.services",
            "django.request",  # logs after the last middleware
            "gunicorn.access",
        }
        nothing = access("nothing-1")
        where = ("unmatched", "/api/no%0Athing/at/all")
        assert (nothing["route"], nothing["path"]) == where
        text = service.log.read_text()
        for private in ("private-word", "private-token", "word=", "secret"):
            assert private not in text


class Metrics:
    """What a metrics port shows."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/metrics"

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of the matching samples; 0 when there are none."""
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            text = answer.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def workers_of(master: psutil.Process) -> list[psutil.Process]:
    """Return gunicorn's children but the one that serves the metrics."""
    found = []
    for child in master.children():
        with suppress(psutil.Error):  # it has ended
            if "mirrorsite.metrics_server" not in child.cmdline():
                found.append(child)
    return found


class TestMetrics:
    def test_all_workers_and_the_record__after_a_reload_too(self, start_service):
        port = free_port()
        service = start_service(METRICS_BIND=f"127.0.0.1:{port}", WEB_CONCURRENCY="2")
        assert wait_until(lambda: is_listening(port), seconds=30)
        metrics = Metrics(port)
        [exporter] = set(psutil.Process(service.pid).children()) - set(
            workers_of(psutil.Process(service.pid))
        )
        count = "mirrorsite_request_duration_seconds_count"

        before = metrics.sum(count, route="api/mirror")
        for number in range(20):
            ask(f"{service.url}/api/mirror?word=a")
            ask(f"{service.url}/api/unknown/{number}")
        stored = [
            json.loads(ask(f"{service.url}/api/upload-random", "POST")[2])
            for _ in range(3)
        ]
        assert (
            metrics.sum(count, route="api/mirror", method="GET", status="200")
            == before + 20
        )
        assert metrics.sum(count, route="unmatched", status="404") == 20
        bucket = "mirrorsite_request_duration_seconds_bucket"
        assert metrics.sum(bucket, route="api/mirror", le="0.0001") >= 0
        assert metrics.sum(bucket, route="api/mirror", le="+Inf") == before + 20
        assert metrics.sum("mirrorsite_uploads_total", outcome="stored") == 3
        assert metrics.sum("mirrorsite_upload_bytes_total") == sum(
            upload["size"] for upload in stored
        )
        store = "mirrorsite_store_request_duration_seconds_count"
        assert metrics.sum(store, operation="PutObject", outcome="2xx") == 3
        assert metrics.sum("mirrorsite_database_up") == 1
        assert metrics.sum("mirrorsite_uploads_pending_over_a_minute") == 0
        assert 0 <= metrics.sum("mirrorsite_last_stored_upload_age_seconds") < 60

        hour_ago = timezone.now() - timedelta(hours=1)
        new_upload(status="pending", created_at=hour_ago).save()
        assert metrics.sum("mirrorsite_uploads_pending_over_a_minute") == 1

        workers = self.reload(service)
        # What the old workers counted is kept, and the same process shows it.
        assert metrics.sum(count, route="api/mirror") == before + 20
        assert exporter.is_running()
        directory = Path(exporter.environ()["PROMETHEUS_MULTIPROC_DIR"])
        assert directory.is_dir()
        service.stop()
        _, alive = psutil.wait_procs([exporter, *workers], timeout=10)
        assert alive == []
        assert not is_listening(port)
        assert not directory.exists()

    def reload(self, service: Service) -> list[psutil.Process]:
        """Replace the workers as `SIGHUP` does; return the new ones."""
        master = psutil.Process(service.pid)
        before = workers_of(master)
        os.kill(master.pid, signal.SIGHUP)
        assert wait_until(
            lambda: bool(workers_of(master)) and not {*workers_of(master)} & {*before},
            seconds=30,
        )
        assert wait_until(service.answers, seconds=30)
        return workers_of(master)

    def test_port_taken__service_runs__text_lines(self, start_service):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            service = start_service(
                METRICS_BIND=f"127.0.0.1:{port}",
                LOG_FORMAT="text",
                WEB_CONCURRENCY="1",
                WEB_THREADS="16",
            )
            assert wait_until(
                lambda: "metrics cannot be served" in service.log.read_text(),
                seconds=30,
            )
            assert service.answers()
        self.ask_for_the_schema_at_once(service)
        ask(f"{service.url}/api/no%0Athing", X_Request_ID="mine")
        service.stop()
        (line,) = [x for x in service.log.read_text().splitlines() if "mine" in x]
        assert " INFO    GET /api/no%0Athing 404 " in line
        assert line.endswith(" ms mine")

    def ask_for_the_schema_at_once(self, service: Service) -> None:
        """Ask while the first request still generates it."""
        start = threading.Barrier(16)

        def asked() -> int:
            start.wait(10)
            return ask(f"{service.url}/api/schema")[0]

        with ThreadPoolExecutor(16) as pool:
            statuses = [pool.submit(asked) for _ in range(16)]
            assert {status.result() for status in statuses} == {200}
