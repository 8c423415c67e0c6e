from __future__ import annotations

import threading
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connection

from mirrorsite.readiness import Readiness, check_database
from sre.lib.processes import wait_until
from tests.problems import slug

#: What the middleware of staff's pages puts on each request that it sees.
STAFF_LEAVES = {"session", "_messages", "csrf_processing_done"}


class TestHealth:
    def test_health__no_database_no_bucket(self, client):
        # pytest-django refuses the database to a test that does not ask for it.
        response = client.get("/api/health")
        assert response.status_code == 200
        assert response.json() == {"status": "ok"}

    def test_nothing_of_staff_s_middleware_runs(self, client):
        def left_behind(path: str) -> set[str]:
            response: Any = client.get(path)
            request = response.wsgi_request
            assert bool(response.cookies) is path.startswith("/admin")
            return {name for name in STAFF_LEAVES if hasattr(request, name)}

        assert left_behind("/admin/login/") == STAFF_LEAVES
        for path in ("/api/health", "/api/mirror?word=a", "/api/upload-random"):
            assert left_behind(path) == set()


@pytest.mark.django_db
class TestReady:
    def test_all_there(self, client, bucket):
        response = client.get("/api/ready")
        assert response.status_code == 200
        answer = response.json()
        assert answer["status"] == "ok"
        assert set(answer["checks"]) >= {"database", "migrations", "bucket"}
        assert set(answer["checks"].values()) == {"ok"}

    def test_no_bucket(self, client, bucket):
        bucket.client.delete_bucket(Bucket=bucket.bucket_name)
        response = client.get("/api/ready")
        assert (response.status_code, slug(response)) == (503, "not-ready")
        assert response.json()["checks"]["bucket"] == (
            "unavailable: there is no such bucket"
        )

    def test_migration_missing(self, client, bucket, monkeypatch):
        monkeypatch.setattr(
            "mirrorsite.readiness.MigrationExecutor.migration_plan",
            lambda executor, targets: [("a", False), ("b", False)],
        )
        response = client.get("/api/ready")
        assert response.status_code == 503
        assert response.json()["checks"]["migrations"] == (
            "unavailable: unapplied migrations: 2"
        )

    def test_no_database(self, client, bucket, no_database):
        response = client.get("/api/ready")
        assert response.status_code == 503
        checks = response.json()["checks"]
        assert checks["database"] == "unavailable: the database does not answer"
        assert checks["bucket"] == "ok"
        assert "internal" not in response.content.decode()


class TestReadiness:
    @pytest.mark.django_db
    def test_read_only_database(self):
        """Such as a standby that took the name of the primary."""
        assert check_database() == "ok"
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL transaction_read_only = on")
        assert check_database() == "unavailable: the database is read-only"

    def test_asked_once_in_a_while(self):
        asked: list[int] = []

        def check() -> str:
            asked.append(1)
            return "ok"

        cached = Readiness({"thing": check})
        assert cached.checks() == cached.checks() == {"thing": "ok"}
        assert len(asked) == 1
        cached.forget()
        cached.checks()
        assert len(asked) == 2

    def test_database_down__what_needs_it_is_not_tried(self):
        checks = {"database": lambda: "unavailable", "other": lambda: "ok"}
        readiness = Readiness(checks)
        readiness.add("log", Mock(side_effect=AssertionError), needs_database=True)
        assert readiness.checks() == {
            "database": "unavailable",
            "other": "ok",
            "log": "unavailable",
        }

    def test_the_database_hangs__not_waited_for(self):
        answered = threading.Event()
        asked: list[int] = []

        def hang() -> str:
            asked.append(1)
            answered.wait(60)
            return "ok"

        slow = Readiness(
            {"database": hang, "other": lambda: "ok", "migrations": lambda: "ok"},
            wait_seconds=0.01,
        )
        assert wait_until(lambda: slow.checks()["other"] == "ok", seconds=30)
        hanging = "unavailable: no answer yet"
        assert slow.checks() == {
            "database": hanging,
            "other": "ok",
            "migrations": hanging,
        }
        answered.set()
        assert wait_until(lambda: slow.checks()["migrations"] == "ok", seconds=30)
        assert slow.checks()["database"] == "ok"
        assert asked == [1]

    def test_a_check_fails__logged(self, caplog):
        def fail() -> str:
            raise ZeroDivisionError

        failing = Readiness({"broken": fail, "quick": lambda: "ok"})
        failing.add("broken too", fail, needs_database=True)
        assert failing.checks() == {
            "broken": "unavailable: the check failed; the log has the error",
            "quick": "ok",
            "broken too": "unavailable: the check failed; the log has the error",
        }
        assert "ZeroDivisionError" in caplog.text
