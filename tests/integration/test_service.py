"""The whole service: gunicorn, the database of the run, and a real S3 server."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from sre.lib import processes
from sre.lib.service import Service
from uploads.models import Status, Upload
from uploads.storage import UploadStorage

pytestmark = pytest.mark.service


def post(
    service: Service, body: dict[str, Any] | None = None, *, client: str = ""
) -> tuple[int, Any]:
    """POST an upload; return the status and the decoded answer.

    `client` is an address behind a proxy, for a service with TRUSTED_PROXIES=1.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if data else {}
    if client:
        headers["X-Forwarded-For"] = client
    request = urllib.request.Request(
        f"{service.url}/api/upload-random", method="POST", data=data, headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def digest_in(bucket: UploadStorage, key: str) -> str:
    hasher = hashlib.sha256()
    for chunk in bucket.read(key):
        hasher.update(chunk)
    return hasher.hexdigest()


def peak_memory(process: psutil.Process) -> int:
    """Return the most memory the process ever held, in bytes (now, without /proc)."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return int(process.memory_info().rss)
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


class TestUploads:
    def test_chunked_body(self, live_service):
        request = urllib.request.Request(
            f"{live_service.url}/api/upload-random",
            data=iter([b'{"si', b'ze": 10}']),
            headers={
                "Content-Type": "application/json",
                "Transfer-Encoding": "chunked",
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["size"] == 10

    def test_parallel__every_object_and_record(self, start_service, bucket):
        clients = 32
        # Room for all in one worker, and the two that never wait for the store: none is
        # to be told that it is busy, as while the server makes room for a new bucket.
        service = start_service(WEB_THREADS=str(clients + 2))
        with ThreadPoolExecutor(clients) as pool:
            answers = list(pool.map(lambda _: post(service), range(200)))

        assert [status for status, _ in answers] == [201] * 200
        keys = {answer["key"] for _, answer in answers}
        assert len(keys) == 200
        listed = bucket.client.list_objects_v2(Bucket=bucket.bucket_name)["Contents"]
        assert {entry["Key"] for entry in listed} == keys
        rows = {upload.key: upload for upload in Upload.objects.all()}
        assert rows.keys() == keys
        assert {row.status for row in rows.values()} == {Status.STORED}
        assert "locked" not in service.log.read_text()

    def test_large__constant_memory(self, start_service, bucket):
        # One worker: another might still be starting, and grow by that.
        service = start_service(WEB_CONCURRENCY="1")
        post(service)  # everything that is built once is built now
        assert service.process is not None
        [worker] = psutil.Process(service.process.pid).children()
        before = peak_memory(worker)

        status, answer = post(service, {"size": 64 * 1024 * 1024})

        assert status == 201
        assert bucket.head(answer["key"]).size == 64 * 1024 * 1024
        assert digest_in(bucket, answer["key"]) == answer["sha256"]
        assert peak_memory(worker) - before <= 32 * 1024 * 1024


class TestStoreStops:
    def test_store_stops__truthful_records_and_recovery(
        self, start_service, object_store, bucket
    ):
        service = start_service(STORE_READ_TIMEOUT_SECONDS="2")
        answers: list[tuple[int, Any]] = []
        durations: list[float] = []

        def timed_post() -> tuple[int, Any]:
            began = time.monotonic()
            answer = post(service)
            durations.append(time.monotonic() - began)
            return answer

        with ThreadPoolExecutor(8) as pool:
            running = [pool.submit(timed_post) for _ in range(40)]
            processes.wait_until(lambda: Upload.objects.exists(), seconds=20)
            object_store.kill()
            try:
                running += [pool.submit(timed_post) for _ in range(40)]
                answers = [future.result() for future in running]
            finally:
                object_store.start()

        # Two attempts and one look, each 2 s to connect and 2 s to answer at most.
        assert max(durations) < 12 + 5
        statuses = {status for status, _ in answers}
        assert statuses <= {201, 502, 503}
        assert 503 in statuses
        rows = {str(upload.pk): upload for upload in Upload.objects.all()}
        begun = [
            (status, answer)
            for status, answer in answers
            if not answer.get("type", "").endswith("/store-busy")
        ]
        assert len(rows) == len(begun)
        for status, answer in begun:
            if status == 201:
                row = rows.pop(answer["id"])
                assert row.status == Status.STORED
                assert digest_in(bucket, row.key) == row.sha256
            else:
                row = rows.pop(answer["upload_id"])
                assert row.status in {Status.FAILED, Status.PENDING}
                assert row.status == answer["upload_status"]
                assert row.error
        assert processes.wait_until(lambda: post(service)[0] == 201, seconds=20)
