from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from mirrorsite.container_health import address, is_healthy
from sre.lib.ports import free_port


class TestAddress:
    @pytest.mark.parametrize(
        ("bind", "expected"),
        [
            (None, ("127.0.0.1", 4545)),
            ("", ("127.0.0.1", 4545)),
            (" 0.0.0.0:8000 ", ("127.0.0.1", 8000)),
            ("0.0.0.0:8000", ("127.0.0.1", 8000)),
            ("10.1.2.3:8000", ("10.1.2.3", 8000)),
            ("[::]:8000", ("::1", 8000)),
            ("[::1]:8000", ("::1", 8000)),
            ("pod.example:80", ("pod.example", 80)),
        ],
    )
    def test_address(self, bind, expected):
        assert address({} if bind is None else {"BIND": bind}) == expected


class TestIsHealthy:
    def test_is_healthy__nobody_there(self):
        assert not is_healthy({"BIND": f"127.0.0.1:{free_port()}"})

    @pytest.mark.parametrize(
        ("host", "allowed", "asked_for", "status"),
        [
            ("127.0.0.2", "", "localhost", 200),
            ("::1", "a.example", "a.example", 200),
            ("127.0.0.1", " .example.org , b", "example.org", 400),
            ("127.0.0.1", ", a.example", "a.example", 200),
        ],
    )
    def test_is_healthy__where_bind_says(self, host, allowed, asked_for, status):
        """Also when nothing listens on 127.0.0.1."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as listening:
            listening.settimeout(10)
            port = listening.getsockname()[1]
            bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            with ThreadPoolExecutor(1) as pool:
                environment = {"BIND": bind, "ALLOWED_HOSTS": allowed}
                healthy = pool.submit(is_healthy, environment)
                asking, _ = listening.accept()
                with asking:
                    request = asking.recv(1000).decode()
                    head = f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n"
                    asking.sendall(head.encode())
                assert healthy.result() is (status == 200)
        assert request.startswith("GET /api/health HTTP/1.1\r\n")
        assert f"\r\nHost: {asked_for}\r\n" in request
