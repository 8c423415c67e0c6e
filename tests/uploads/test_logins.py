from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client

from mirrorsite.models import RateWindow
from uploads import logins, staff_site
from uploads.models import UploadEvent

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/?next=/admin/"


@pytest.fixture(autouse=True)
def _the_window_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    window = time.time() // logins.WINDOW_SECONDS
    middle = (window + 0.5) * logins.WINDOW_SECONDS
    monkeypatch.setattr(time, "time", lambda: middle)


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", password="right-password", is_staff=True)


def log_in(client: Client, password: str, username: str = "ada", **meta: Any) -> Any:
    form = {"username": username, "password": password, "next": "/admin/"}
    return client.post(LOGIN, form, **meta)


def events() -> list[tuple[str, str, Any]]:
    rows = UploadEvent.objects.order_by("id")
    return [(row.action, row.actor, row.detail.get("username")) for row in rows]


class TestEvents:
    def test_login_failure_and_logout(self, client, ada):
        log_in(client, "wrong", headers={"x-request-id": "request-7"})
        assert log_in(client, "right-password").status_code == 302
        client.post("/admin/logout/")
        assert events() == [
            ("login_failed", "anonymous", "ada"),
            ("logged_in", "user:ada", None),
            ("logged_out", "user:ada", None),
        ]
        event = UploadEvent.objects.earliest("id")
        assert (event.upload_id, event.request_id) == (None, "request-7")
        assert event.detail["client_address"] == "127.0.0.1"

    def test_neither_passwords_nor_unknown_names_are_kept(self, client, ada):
        log_in(client, "hunter2-password", username="my-secret-in-the-wrong-field")
        log_in(client, "hunter2-password")
        kept = str([list(m.objects.values()) for m in (UploadEvent, RateWindow)])
        assert "hunter2" not in kept
        assert "my-secret" not in kept
        assert events()[0] == ("login_failed", "anonymous", None)

    def test_a_right_password_that_opens_nothing_is_a_failure(self, client, ada):
        User.objects.create_user("eve", password="right-password")
        assert log_in(client, "right-password", username="eve").status_code == 200
        assert "_auth_user_id" not in client.session
        assert events() == [("login_failed", "anonymous", "eve")]
        assert UploadEvent.objects.get().detail["reason"] == "not staff"


class TestThrottle:
    def test_after_too_many_from_one_address(self, client, ada):
        for i in range(logins.MAX_FROM_ADDRESS):
            assert log_in(client, "wrong", username=f"name-{i}").status_code == 200

        refused = log_in(client, "right-password")

        assert refused.status_code == 429
        assert 0 < int(refused.headers["Retry-After"]) <= 900
        assert b"Too many failed logins. Wait 15 minutes" in refused.content
        assert "_auth_user_id" not in client.session
        # A refusal looked at no password, so it is no failure, and prolongs nothing.
        assert len(events()) == logins.MAX_FROM_ADDRESS
        elsewhere = log_in(client, "right-password", REMOTE_ADDR="192.0.2.9")
        assert elsewhere.status_code == 302

    def test_strangers_cannot_keep_a_user_out(self, client, ada, monkeypatch):
        monkeypatch.setattr(logins, "MAX_FOR_USER", 3)
        log_in(client, "right-password", REMOTE_ADDR="198.51.100.7")
        client.post("/admin/logout/")
        for i in range(3):
            log_in(client, "wrong", REMOTE_ADDR=f"192.0.2.{i}")

        at_home = log_in(client, "right-password", REMOTE_ADDR="198.51.100.7")

        assert at_home.status_code == 302
        client.post("/admin/logout/")
        elsewhere = log_in(client, "right-password", REMOTE_ADDR="198.51.100.8")
        assert elsewhere.status_code == 429

    @pytest.mark.parametrize(
        ("addresses", "last", "status"),
        [
            # IPv6: a network counts as one.
            ("2001:db8::{:x}", "2001:db8::ffff", 429),
            # What a server that listens on [::] sees of every IPv4 client is no network.
            ("::ffff:192.0.2.{}", "::ffff:192.0.2.200", 302),
        ],
    )
    def test_networks(self, client, ada, addresses, last, status):
        for i in range(logins.MAX_FROM_ADDRESS):
            log_in(client, "wrong", REMOTE_ADDR=addresses.format(i))
        answer = log_in(client, "right-password", REMOTE_ADDR=last)
        assert answer.status_code == status

    def test_old_failures_count_no_more(self, client, ada, monkeypatch):
        for _ in range(logins.MAX_FROM_ADDRESS):
            log_in(client, "wrong")
        assert log_in(client, "right-password").status_code == 429
        later = time.time() + logins.WINDOW_SECONDS
        monkeypatch.setattr(time, "time", lambda: later)
        assert log_in(client, "right-password").status_code == 302

    def test_logins_that_succeed_do_not_count(self, client, ada, monkeypatch):
        monkeypatch.setattr(logins, "MAX_FROM_ADDRESS", 2)
        for _ in range(3):
            assert log_in(client, "right-password").status_code == 302
        for _ in range(2):
            assert log_in(client, "wrong").status_code == 200
        assert log_in(client, "right-password").status_code == 429


class SlowHasher(PBKDF2PasswordHasher):
    """Takes long enough for others to come meanwhile: a tenth of production's time."""

    iterations = PBKDF2PasswordHasher.iterations // 10


@pytest.mark.django_db(transaction=True)
class TestManyAtOnce:
    """Each attempt is counted before its password is looked at."""

    def log_in_at_once(self, addresses: list[str]) -> list[int]:
        together = Barrier(len(addresses))

        def attempt(address: str) -> int:
            client = Client()
            together.wait(timeout=30)
            try:
                return int(log_in(client, "wrong", REMOTE_ADDR=address).status_code)
            finally:
                connection.close()

        with ThreadPoolExecutor(len(addresses)) as pool:
            return list(pool.map(attempt, addresses))

    @pytest.mark.parametrize(
        ("limit", "addresses"),
        [
            ("MAX_FROM_ADDRESS", ["192.0.2.1"] * 12),
            ("MAX_FOR_USER", [f"192.0.2.{i}" for i in range(12)]),
        ],
    )
    def test_no_more_than_the_limit(self, ada, settings, monkeypatch, limit, addresses):
        settings.PASSWORD_HASHERS = [f"{__name__}.SlowHasher"]
        ada.set_password("right-password")
        ada.save()
        monkeypatch.setattr(logins, limit, 5)
        statuses = self.log_in_at_once(addresses)
        assert sorted(statuses) == [200] * 5 + [429] * 7
        assert len(events()) == 5


def test_sessions_are_short(client, ada):
    client.force_login(ada)
    response = client.get("/admin/")
    cookie = response.cookies["sessionid"]
    assert cookie["expires"] == ""  # ends with the browser
    assert cookie["httponly"]
    assert client.session.get_expiry_age() == 3600


def test_sessions_in_use_are_extended(client, ada, monkeypatch):
    client.force_login(ada)
    assert "sessionid" in client.get("/admin/").cookies
    key = client.session.session_key
    before = Session.objects.get(pk=key).expire_date
    client.get("/admin/")
    assert Session.objects.get(pk=key).expire_date == before
    monkeypatch.setattr(staff_site, "EXTEND_SESSION_SECONDS", -1)
    client.get("/admin/")
    assert Session.objects.get(pk=key).expire_date > before
