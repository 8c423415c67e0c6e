"""The whole service: gunicorn, the database of the run, and a real S3 server."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from sre.lib.service import Service
from uploads.models import Status, Upload
from uploads.storage import UploadStorage

pytestmark = pytest.mark.service
SIZE = 64 * 1024 * 1024


def post(
    service: Service,
    body: dict[str, Any] | Iterator[bytes] | None = None,
    *,
    client: str = "",
) -> tuple[int, Any]:
    """POST an upload; return the status and the decoded answer.

    Pieces of a body are sent as chunks. `client` is an address behind a proxy, for a
    service with TRUSTED_PROXIES=1.
    """
    data = json.dumps(body).encode() if isinstance(body, dict) else body
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


def test_uploads__every_object_and_record_and_constant_memory(start_service, bucket):
    """Many at once, then one larger than the worker may grow.

    Of one worker: another might still be starting, and grow by that.
    """
    clients = 32
    # Room for all, and the two threads that never wait for the store: none is to be told
    # that it is busy, as while the server makes room for a new bucket.
    service = start_service(WEB_CONCURRENCY="1", WEB_THREADS=str(clients + 2))
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda _: post(service), range(96)))

    assert [status for status, _ in answers] == [201] * 96
    keys = {answer["key"] for _, answer in answers}
    assert len(keys) == 96
    listed = bucket.client.list_objects_v2(Bucket=bucket.bucket_name)["Contents"]
    assert {entry["Key"] for entry in listed} == keys
    rows = {upload.key: upload for upload in Upload.objects.all()}
    assert rows.keys() == keys
    assert {row.status for row in rows.values()} == {Status.STORED}

    # A body may come in chunks.
    assert post(service, iter([b'{"si', b'ze": 10}']))[1]["size"] == 10
    [worker] = psutil.Process(service.pid).children()
    before = peak_memory(worker)
    status, answer = post(service, {"size": SIZE})
    assert status == 201
    assert bucket.head(answer["key"]).size == SIZE
    assert digest_in(bucket, answer["key"]) == answer["sha256"]
    assert peak_memory(worker) - before <= SIZE // 2
