from __future__ import annotations

import pytest

from sre.lib.load import Load
from sre.lib.processes import wait_until
from sre.lib.service import Service
from tests.integration.test_service import post
from uploads.models import Upload

pytestmark = [pytest.mark.service, pytest.mark.integration]


class TestWorker:
    def test_sigterm__every_request_taken_is_answered_and_recorded(
        self, live_service: Service
    ) -> None:
        """More clients than threads: some connections wait in the kernel's queue."""
        # The first makes the server make room for the bucket, which may take it a while.
        assert post(live_service)[0] == 201
        clients = 24
        load = Load(live_service.url, clients=clients, most_requests=100_000)
        load.start()
        assert wait_until(lambda: load.outcomes["201"] >= 4 * clients, seconds=60)

        assert live_service.process is not None
        live_service.process.terminate()
        status = live_service.process.wait(60)
        # The clients have to notice: each asks on as soon as it has its last answer.
        assert wait_until(lambda: load.outcomes["refused"] > 0, seconds=60)
        load.stop()

        assert status == 0
        assert set(load.outcomes) == {"201", "refused"}, load.errors
        recorded = Upload.objects.values_list("status", flat=True)
        assert list(recorded) == ["stored"] * (1 + load.outcomes["201"])
