"""A PostgreSQL that is stopped and started under a running service."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sre.lib.object_store import ObjectStore
from sre.lib.postgres import Postgres, temporary_server
from sre.lib.service import Service
from uploads.storage import UploadStorage

pytestmark = [pytest.mark.integration, pytest.mark.service]

ROOT = Path(__file__).resolve().parent.parent.parent
WORKERS, THREADS = 2, 4


@pytest.fixture
def database() -> Iterator[Postgres]:
    """Run a PostgreSQL for this test alone, migrated."""
    with temporary_server(fsync=False) as server:
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v0"],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": server.url},
            check=True,
        )
        yield server


@pytest.fixture
def service(
    database: Postgres,
    object_store: ObjectStore,
    bucket: UploadStorage,
    tmp_path: Path,
) -> Iterator[Service]:
    (tmp_path / "static").mkdir()
    service = Service(
        {
            **object_store.environment(bucket.bucket_name),
            "DATABASE_URL": database.url,
            "STATIC_ROOT": str(tmp_path / "static"),
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
    request = urllib.request.Request(f"{service.url}/api/upload-random", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_restarted__no_request_fails(service: Service, database: Postgres) -> None:
    """Each thread's idle connection is dead, and is replaced before it is used."""
    with ThreadPoolExecutor(2 * WORKERS * THREADS) as clients:
        together = [clients.submit(upload, service) for _ in range(64)]
        assert {future.result() for future in together} <= {201, 503}

    database.stop()
    assert upload(service) == 503
    database.start()

    assert [upload(service) for _ in range(32)] == [201] * 32
