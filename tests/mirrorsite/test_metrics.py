from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from unittest.mock import AsyncMock

import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from mirrorsite import metrics, metrics_server
from mirrorsite.actors import Actor
from mirrorsite.asgi import application
from sre.lib.processes import wait_until
from tests.mirrorsite.connections import scope_of
from uploads.audit import log
from uploads.models import Action


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class TestRequests:
    COUNT = "mirrorsite_request_duration_seconds_count"

    @pytest.mark.parametrize(
        ("method", "label"),
        [("GET", "GET"), ("DELETE", "DELETE"), ("BREW", "other"), (None, "other")],
    )
    def test_method__few_values(self, method, label):
        labels = {"route": "r", "method": label, "status": "200"}
        before = value(self.COUNT, **labels)
        metrics.request_observer("r", method, 200)(0.001)
        assert value(self.COUNT, **labels) == before + 1

    async def test_unknown_paths__one_route(self):
        labels = {"route": "unmatched", "method": "GET", "status": "404"}
        before = value(self.COUNT, **labels)
        for number in range(5):
            scope = scope_of(f"/api/unknown/{number}".encode())
            await application(scope, AsyncMock(), AsyncMock())
        assert value(self.COUNT, **labels) == before + 5


class TestRecordCollector:
    @pytest.fixture(autouse=True)
    def _connection_stays_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Closing it would end the test's own transaction.
        monkeypatch.setattr("django.db.connection.close", lambda: None)

    def shown(self) -> str:
        registry = CollectorRegistry()
        registry.register(metrics_server.DatabaseCollector())
        return generate_latest(registry).decode()

    @pytest.mark.django_db
    def test_empty_database__ages_absent(self):
        shown = self.shown()
        assert "mirrorsite_database_up 1.0" in shown
        assert "mirrorsite_uploads_pending_over_a_minute 0.0" in shown
        assert "age_seconds" not in shown
        assert "faults" not in shown

    @pytest.mark.django_db
    @pytest.mark.parametrize(
        ("checks", "faults"),
        [
            ([(None, 0)], 0),
            ([(None, 0), ("2026-11-28", 3)], 3),
            # Faults before the last days are not those of the last days.
            ([(None, 2), ("2026-11-28", 0)], 2),
            ([(None, 2), ("2026-11-28", 0), (None, 0)], 0),
        ],
    )
    def test_last_verification(self, checks, faults):
        for since, found in checks:
            log.record_without_upload(
                Action.AUDIT_CHECKED, Actor(), detail={"since": since, "faults": found}
            )
        shown = self.shown()
        assert f"mirrorsite_last_verification_faults {faults}.0\n" in shown
        assert "mirrorsite_last_verification_age_seconds 0." in shown

    @pytest.mark.django_db
    def test_database_away__says_so_and_no_more(self, make_fail):
        make_fail(metrics_server, "_database_values", OperationalError("away"))
        shown = self.shown()
        assert "mirrorsite_database_up 0.0" in shown
        assert "pending" not in shown


@pytest.mark.django_db(transaction=True)
class TestServe:
    def test_ipv6(self):
        with socket.socket(socket.AF_INET6) as free:
            free.bind(("::1", 0))
            port = free.getsockname()[1]
        stop = threading.Event()
        thread = threading.Thread(
            target=metrics_server.serve,
            args=(f"[::]:{port}", lambda: not stop.is_set()),
        )
        thread.start()
        try:
            url = f"http://[::1]:{port}/metrics"
            assert wait_until(lambda: self.answers(url), seconds=10)
        finally:
            stop.set()
            thread.join()

    def answers(self, url: str) -> bool:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return b"mirrorsite_database_up 1.0" in answer.read()
        except urllib.error.URLError:
            return False
