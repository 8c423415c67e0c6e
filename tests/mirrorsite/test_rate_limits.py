"""Rate limits: the counters, the header fields, and who is one client."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Condition
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import redis
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.test import Client

from mirrorsite import rate_limits
from mirrorsite.actors import Actor, client_network
from mirrorsite.environment import Environment
from mirrorsite.models import RateWindow
from mirrorsite.rate_limits import (
    PAUSE_SECONDS,
    Counter,
    DatabaseCounter,
    MemoryCounter,
    RateLimiter,
    RedisCounter,
    counter_for,
)
from mirrorsite.tokens.authentication import TokenAuthentication
from mirrorsite.tokens.models import Scope
from mirrorsite.tokens.services import revoke_token
from sre.lib import processes
from sre.lib.ports import free_port, is_listening
from tests.problems import slug
from tests.tokens import bearer, new_token

#: A body that is refused: it is counted, and needs neither bucket nor record.
REFUSED = b'{"size": 0}'
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a real Redis; skip where there is none."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    log = tmp_path_factory.mktemp("redis") / "redis.log"
    server = processes.start(command, log=log, cwd=log.parent)
    try:
        assert processes.wait_until(
            lambda: is_listening(port), seconds=20, process=server
        ), log.read_text()
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        processes.stop(server)


@pytest.fixture
def redis_url(redis_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Wait for its answers: one that came late would be asked for, and counted, twice."""
    monkeypatch.setattr(rate_limits, "_REDIS_TIMEOUT_SECONDS", 30.0)
    return redis_server


@pytest.fixture
def limited(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Allow three requests a day, counted anew; the day does not end in between."""
    clock = SimpleNamespace(time=lambda: NOON, monotonic=time.monotonic)
    monkeypatch.setattr(rate_limits, "time", clock)
    monkeypatch.setattr(rate_limits, "limiter", RateLimiter())
    settings.UPLOAD_RATE_LIMIT = (3, 86_400)
    counter_for.cache_clear()
    yield settings
    counter_for.cache_clear()


def post(client: Client, **headers: str) -> Any:
    return client.post(
        "/api/upload-random",
        REFUSED,
        content_type="application/json",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


class TestRate:
    @pytest.mark.parametrize(
        ("value", "rate"),
        [
            ("60/minute", (60, 60)),
            ("1/second", (1, 1)),
            ("1000/hour", (1000, 3600)),
            ("5/day", (5, 86_400)),
            ("off", None),
            ("", (600, 60)),
        ],
    )
    def test_rate(self, value, rate):
        environment = Environment({"UPLOAD_RATE_LIMIT": value})
        assert environment.rate("UPLOAD_RATE_LIMIT") == rate

    @pytest.mark.parametrize("value", ["0/minute", "60", "60/m", "x/minute", "-1/day"])
    def test_rate__malformed(self, value):
        with pytest.raises(ImproperlyConfigured, match="UPLOAD_RATE_LIMIT is"):
            Environment({"UPLOAD_RATE_LIMIT": value}).rate("UPLOAD_RATE_LIMIT")


class TestClientNetwork:
    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("fe80::1%eth0", "fe80::/64"),
            (None, "unknown"),
        ],
    )
    def test_client_network(self, address, network):
        assert client_network(address) == network


class TestCounters:
    """Each number is given once, however many ask at the same time."""

    def count_together(self, counters: list[Counter], *, close: bool = False) -> None:
        def run(number: int) -> int:
            try:
                return counters[number % len(counters)].add("key", 60)
            finally:
                if close:
                    connection.close()

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(run, range(40))) == list(range(1, 41))
        assert counters[0].add("other", 60) == 1
        assert counters[0].add("key", 60, -1) == 39

    def test_memory(self):
        self.count_together([MemoryCounter()])

    def test_memory__forgets(self, monkeypatch):
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now)
        counter = MemoryCounter()
        assert [counter.add("old", 10) for _ in range(2)] == [1, 2]
        now += 5
        assert counter.add("young", 10) == 1
        now += 5
        assert counter.add("young", 10) == 2
        assert counter.add("old", 10) == 1

    @pytest.mark.django_db(transaction=True)
    def test_database(self):
        self.count_together([DatabaseCounter(), DatabaseCounter()], close=True)

    @pytest.mark.django_db
    def test_database__old_windows_go(self):
        RateWindow.objects.create(key="old", count=1, expires_at=int(time.time()) - 1)
        DatabaseCounter().add("new", 60)
        assert [window.key for window in RateWindow.objects.all()] == ["new"]

    def test_redis(self, redis_url):
        counters: list[Any] = [RedisCounter(redis_url), RedisCounter(redis_url)]
        self.count_together(counters)
        client = counters[0]._redis
        assert 0 < client.ttl("mirrorsite:rate:key") <= 60
        for counter in counters:
            counter._redis.close()


class TestPost:
    def test_headers__and_429(self, client, limited):
        answers = [post(client) for _ in range(5)]

        assert [answer.status_code for answer in answers] == [400, 400, 400, 429, 429]
        for answer, remaining in zip(answers, [2, 1, 0, 0, 0], strict=True):
            assert answer["RateLimit-Policy"] == '"default";q=3;w=86400'
            name, left, reset = answer["RateLimit"].split(";")
            assert (name, left) == ('"default"', f"r={remaining}")
            assert int(reset.removeprefix("t=")) == 86_400 / 2
        assert slug(answers[3]) == "throttled"
        assert answers[3]["Retry-After"] == answers[3]["RateLimit"].split("t=")[1]
        assert "Retry-After" not in answers[0]

    def test_off_and_other_methods__not_counted(self, client, limited):
        for _ in range(4):
            assert client.get("/api/upload-random").status_code == 405
        limited.UPLOAD_RATE_LIMIT = None
        assert "RateLimit" not in post(client)

    @pytest.mark.parametrize(
        ("proxies", "forwarded"),
        [
            (0, "198.51.100.{}"),
            (1, "198.51.100.{}, 203.0.113.7"),
            (2, "198.51.100.{}, 203.0.113.7, 10.0.0.1"),
            (1, "2001:db8::{}"),  # a network counts as one client
        ],
    )
    def test_spoofed_x_forwarded_for(self, client, limited, proxies, forwarded):
        limited.TRUSTED_PROXIES = proxies
        answers = [
            post(client, x_forwarded_for=forwarded.format(number))
            for number in range(4)
        ]
        assert [answer.status_code for answer in answers] == [400, 400, 400, 429]

    @pytest.mark.django_db
    def test_tokens__each_its_own(self, client, limited):
        for name in ("one", "two"):
            header = bearer(new_token(Scope.UPLOAD, name=name)[1])
            statuses = [post(client, **header).status_code for _ in range(4)]
            assert statuses == [400, 400, 400, 429]
        assert post(client).status_code == 400

    @pytest.mark.django_db
    def test_bad_tokens__refused_before_the_database_is_asked(
        self, client, limited, django_assert_num_queries
    ):
        answers = [post(client, **bearer(f"{number:064}")) for number in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 401]
        assert all("RateLimit" in answer for answer in answers)
        with django_assert_num_queries(0):
            answer = post(client, **bearer(f"{4:064}"))
        assert answer.status_code == 429
        assert answer["RateLimit"].startswith('"default";r=0;')
        assert answer["Retry-After"] == answer["RateLimit"].split("t=")[1]

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("counter", ["", "database", "redis"])
    def test_bad_tokens__many_at_once(self, limited, counter, request):
        """Each is counted before its query, so no more than the quota are looked up."""
        limited.CACHE_URL = counter
        if counter == "redis":
            limited.CACHE_URL = request.getfixturevalue("redis_url")
        changed = Condition()
        looked_up: list[int] = []
        answered: list[int] = []

        def execute(run: Any, sql: str, *rest: Any) -> Any:
            if '"tokens_token"' in sql:
                with changed:
                    looked_up.append(1)
                    changed.notify_all()
                    assert changed.wait_for(
                        lambda: len(looked_up) + len(answered) >= 20, timeout=60
                    )
            return run(sql, *rest)

        def send(number: int) -> int:
            try:
                with connection.execute_wrapper(execute):
                    answer = post(Client(), **bearer(f"{number:064}"))
            finally:
                connection.close()
            with changed:
                answered.append(1)
                changed.notify_all()
            return int(answer.status_code)

        with ThreadPoolExecutor(20) as pool:
            statuses = sorted(pool.map(send, range(20)))
        assert len(looked_up) == 3
        assert statuses == [401] * 3 + [429] * 17
        if counter == "redis":
            counter_for(limited.CACHE_URL)._redis.close()  # type: ignore[attr-defined]

    @pytest.mark.django_db
    def test_good_tokens__not_counted_as_bad(self, client, limited):
        good = [new_token(Scope.UPLOAD, name=f"t{number}")[1] for number in range(5)]
        assert {post(client, **bearer(secret)).status_code for secret in good} == {400}
        bad = [post(client, **bearer(f"{number:064}")) for number in range(4)]
        assert [answer.status_code for answer in bad] == [401, 401, 401, 429]
        # Not refused for these: a token known to be good, requests without a token, and
        # an unknown token from another network.
        assert post(client, **bearer(good[0])).status_code == 400
        assert post(client).status_code == 400
        limited.TRUSTED_PROXIES = 1
        _, unknown = new_token(Scope.UPLOAD)
        elsewhere = post(client, **bearer(unknown), x_forwarded_for="192.0.2.9")
        assert elsewhere.status_code == 400

    @pytest.mark.django_db
    def test_refused_for_those_in_progress__not_counted(self, client, limited):
        in_progress = "unproven:network:127.0.0.1"
        for _ in range(3):
            rate_limits.limiter.count(in_progress, {})
        _, secret = new_token(Scope.UPLOAD)
        assert post(client, **bearer(secret)).status_code == 429
        for _ in range(3):
            rate_limits.limiter.uncount(in_progress)
        bad = [post(client, **bearer(f"{number:064}")) for number in range(4)]
        assert [answer.status_code for answer in bad] == [401, 401, 401, 429]

    @pytest.mark.django_db
    def test_revoked_token__counted_as_bad(
        self, client, limited, django_assert_num_queries
    ):
        token, secret = new_token(Scope.UPLOAD)
        statuses = [post(client, **bearer(secret)).status_code]
        revoke_token(token, Actor(name="command:test"))
        statuses += [post(client, **bearer(secret)).status_code for _ in range(3)]
        assert statuses == [400, 401, 401, 401]
        with django_assert_num_queries(0):
            assert post(client, **bearer(secret)).status_code == 429

    @pytest.mark.django_db
    @pytest.mark.parametrize("was_accepted", [False, True])
    def test_database_fails__not_counted(
        self, client, limited, monkeypatch, was_accepted
    ):
        client.raise_request_exception = False
        _, secret = new_token(Scope.UPLOAD)
        if was_accepted:
            post(client, **bearer(secret))
        with monkeypatch.context() as broken:
            broken.setattr(
                TokenAuthentication,
                "validate_user",
                Mock(side_effect=OperationalError("host db")),
            )
            failed = [post(client, **bearer(secret)) for _ in range(5)]
        assert [answer.status_code for answer in failed] == [503] * 5
        assert not any("RateLimit" in answer for answer in failed)
        left = 2 - was_accepted
        assert post(client, **bearer(secret))["RateLimit"].startswith(
            f'"default";r={left};'
        )
        assert [post(client).status_code for _ in range(4)] == [400] * 3 + [429]

    @pytest.mark.django_db
    def test_bad_sessions__refused_before_the_database_is_asked(
        self, client, limited, django_assert_num_queries
    ):
        for status, queries in [(401, 1)] * 3 + [(429, 0)]:
            client.cookies["sessionid"] = secrets.token_hex(16)
            with django_assert_num_queries(queries):
                answer = client.post("/api/uploads/x/verify")
            assert answer.status_code == status

    @pytest.mark.django_db
    def test_session_without_csrf_token__counted_for_the_network(self, client, limited):
        """Not for the user: the page of another site can send such requests."""
        staff = Client(enforce_csrf_checks=True)
        staff.force_login(User.objects.create_superuser("sam"))
        path = "/api/uploads/x/verify"
        statuses = [staff.post(path).status_code for _ in range(4)]
        assert statuses == [403, 403, 403, 429]
        assert post(client).status_code == 429

        staff.get("/admin/password_change/")  # its form brings the CSRF cookie
        csrf = {"x-csrftoken": staff.cookies["csrftoken"].value}
        assert staff.post(path, headers=csrf).status_code == 404


class TestCounterAway:
    @pytest.mark.parametrize("error", [redis.ConnectionError, ValueError])
    def test_counts_in_this_process_and_says_so(
        self, client, limited, caplog, monkeypatch, error
    ):
        counter = Mock(add=Mock(side_effect=error(":secret@")))
        monkeypatch.setattr("mirrorsite.rate_limits.counter_for", lambda url: counter)
        statuses = [post(client).status_code for _ in range(4)]
        assert statuses == [400, 400, 400, 429]
        [warning] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        assert warning == (
            "requests are counted in this process for 5.0 s: the shared counter failed"
            f" ({error.__name__})"
        )
        # Asked again after that, it answers.
        counter.add = Mock(return_value=1)
        assert post(client).status_code == 429
        later = time.monotonic() + PAUSE_SECONDS
        monkeypatch.setattr("mirrorsite.rate_limits.time.monotonic", lambda: later)
        assert post(client).status_code == 400
