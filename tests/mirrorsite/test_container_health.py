from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from mirrorsite.container_health import address, allowed_host, is_healthy
from sre.lib.ports import free_port


class TestAddress:
    @pytest.mark.parametrize(
        ("bind", "expected"),
        [
            (None, ("127.0.0.1", 4545)),
            ("0.0.0.0:8000", ("127.0.0.1", 8000)),
            ("10.1.2.3:8000", ("10.1.2.3", 8000)),
            ("[::]:8000", ("::1", 8000)),
            ("[::1]:8000", ("::1", 8000)),
            ("pod.example:80", ("pod.example", 80)),
        ],
    )
    def test_address(self, bind, expected):
        assert address({} if bind is None else {"BIND": bind}) == expected


class TestAllowedHost:
    @pytest.mark.parametrize(
        ("allowed", "expected"),
        [
            ("", "localhost"),
            ("a.example", "a.example"),
            (" .example.org , b", "example.org"),
        ],
    )
    def test_allowed_host(self, allowed, expected):
        assert allowed_host({"ALLOWED_HOSTS": allowed}) == expected


class TestIsHealthy:
    def test_is_healthy__nobody_there(self):
        assert not is_healthy({"BIND": f"127.0.0.1:{free_port()}"})

    def test_is_healthy__or_host_refused(self, live_service):
        bind = f"127.0.0.1:{live_service.port}"
        assert is_healthy({"BIND": bind})
        assert not is_healthy({"BIND": bind, "ALLOWED_HOSTS": "stranger.example"})

    @pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
    def test_is_healthy__where_bind_says(self, host):
        """Also when nothing listens on 127.0.0.1."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as listening:
            listening.settimeout(10)
            port = listening.getsockname()[1]
            bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            with ThreadPoolExecutor(1) as pool:
                healthy = pool.submit(is_healthy, {"BIND": bind})
                asking, _ = listening.accept()
                with asking:
                    request = asking.recv(1000)
                    asking.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                assert healthy.result()
        assert request.startswith(b"GET /api/health HTTP/1.1\r\n")
        assert b"\r\nHost: localhost\r\n" in request
