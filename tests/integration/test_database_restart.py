"""A PostgreSQL that is restarted, or hangs, under a running service."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from mirrorsite.postgresql.base import RECENT_SECONDS
from sre.lib import processes
from sre.lib.object_store import ObjectStore
from sre.lib.postgres import Postgres, temporary_server
from sre.lib.service import Service
from tests.support import ask, manage
from uploads.storage import UploadStorage

pytestmark = [pytest.mark.integration, pytest.mark.service]

WORKERS, THREADS = 2, 4


@pytest.fixture
def database() -> Iterator[Postgres]:
    """Run a PostgreSQL for this test alone, migrated."""
    with temporary_server(fsync=False) as server:
        environment = os.environ | {"DATABASE_URL": server.url}
        manage("migrate", "-v0", environment=environment).check_returncode()
        yield server


@pytest.fixture
def service(
    database: Postgres, object_store: ObjectStore, bucket: UploadStorage, tmp_path: Path
) -> Iterator[Service]:
    service = Service(
        {
            **object_store.environment(bucket.bucket_name),
            "DATABASE_URL": database.url,
            "STATIC_ROOT": str(tmp_path),
            "WEB_CONCURRENCY": str(WORKERS),
            "WEB_THREADS": str(THREADS),
        },
        log=tmp_path / "service.log",
    )
    service.start()
    yield service
    service.stop()


def upload(service: Service) -> int:
    """Return the status of one upload."""
    return ask(f"{service.url}/api/upload-random", "POST")[0]


def test_hangs_and_is_restarted__503_until_it_answers(service, database):
    """The kernel still acknowledges packets to a stopped process, which reads none.

    After a restart each thread's idle connection is dead: it is replaced before it is
    used.
    """
    ready = f"{service.url}/api/ready"
    threads = WORKERS * THREADS
    assert [upload(service) for _ in range(2 * threads)] == [201] * 2 * threads
    answered_at = time.monotonic()
    server = psutil.Process(
        int((database.data / "postmaster.pid").read_text().split()[0])
    )
    stopped = [server, *server.children(recursive=True)]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        # Until then a connection is used without a check, and waits for its statement.
        assert processes.wait_until(
            lambda: time.monotonic() > answered_at + RECENT_SECONDS, seconds=30
        )
        with ThreadPoolExecutor(threads) as clients:
            together = [clients.submit(upload, service) for _ in range(threads)]
            assert service.answers()
            assert not any(future.done() for future in together)
            assert {future.result() for future in together} == {503}
        assert ask(ready)[0] == 503  # each thread is free again
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)
    assert processes.wait_until(lambda: ask(ready)[0] == 200, seconds=30)
    with ThreadPoolExecutor(64) as clients:
        together = [clients.submit(upload, service) for _ in range(64)]
        assert {future.result() for future in together} <= {201, 503}
    assert [upload(service) for _ in range(2 * threads)] == [201] * 2 * threads

    database.stop()
    assert upload(service) == 503
    database.start()

    assert [upload(service) for _ in range(2 * threads)] == [201] * 2 * threads
