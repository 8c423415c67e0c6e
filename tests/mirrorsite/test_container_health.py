from __future__ import annotations

import pytest

from mirrorsite.container_health import is_healthy, port_and_host
from sre.lib.ports import free_port
from sre.lib.service import Service


class TestPortAndHost:
    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            ({}, (4545, "localhost")),
            ({"BIND": "0.0.0.0:8000"}, (8000, "localhost")),
            ({"BIND": "[::]:8000", "ALLOWED_HOSTS": "a.example"}, (8000, "a.example")),
            ({"ALLOWED_HOSTS": " .example.org , b"}, (4545, "example.org")),
        ],
    )
    def test_port_and_host(
        self, environment: dict[str, str], expected: tuple[int, str]
    ) -> None:
        assert port_and_host(environment) == expected


class TestIsHealthy:
    def test_is_healthy__nobody_there(self) -> None:
        assert not is_healthy({"BIND": f"127.0.0.1:{free_port()}"})

    def test_is_healthy(self, live_service: Service) -> None:
        assert is_healthy({"BIND": f"127.0.0.1:{live_service.port}"})

    def test_is_healthy__host_refused(self, live_service: Service) -> None:
        bind = f"127.0.0.1:{live_service.port}"
        assert not is_healthy({"BIND": bind, "ALLOWED_HOSTS": "stranger.example"})
