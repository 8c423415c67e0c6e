"""Idempotency-Key under several processes, and under the loss of one."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.client import RemoteDisconnected
from typing import Any

import psutil
import pytest
from django.utils import timezone

from sre.lib import processes
from sre.lib.service import Service
from tests.support import ask
from tests.uploads.making import actions, keys_in
from uploads.models import Status, Upload


def send(service: Service, key: str) -> tuple[int, Any, bytes]:
    return ask(f"{service.url}/api/upload-random", "POST", Idempotency_Key=key)


@pytest.mark.service
class TestService:
    def test_16_at_the_same_moment__one_upload(self, start_service, bucket):
        """Sixteen identical requests to several processes, twice."""
        # Room for all of them in one worker: none is to be told that the store is busy.
        service = start_service(WEB_CONCURRENCY="2", WEB_THREADS="18")
        for key in ("one", "two"):
            start = threading.Barrier(16)

            def run(key: str = key, start: threading.Barrier = start) -> Any:
                start.wait()
                return send(service, key)

            with ThreadPoolExecutor(16) as pool:
                answers = [
                    task.result() for task in [pool.submit(run) for _ in range(16)]
                ]

            assert {status for status, _, _ in answers} <= {201, 409}
            made = [answer for answer in answers if answer[0] == 201]
            first = [a for a in made if "Idempotent-Replayed" not in a[1]]
            assert len(first) == 1
            assert {body for _, _, body in made} == {first[0][2]}
            assert all("Retry-After" in h for status, h, _ in answers if status == 409)
            upload = Upload.objects.get(idempotency_key=key)
            assert actions(upload) == ["requested", "stored"]
            assert send(service, key)[2] == first[0][2]
        assert len(keys_in(bucket)) == 2
        assert "locked" not in service.log.read_text()

    def test_worker_killed__completed_under_the_same_id(
        self, start_service, bucket, faulty_store
    ):
        service = start_service(
            AWS_ENDPOINT_URL_S3=faulty_store.url, WEB_CONCURRENCY="1"
        )
        faulty_store.always("PUT", "hang")
        with ThreadPoolExecutor(1) as pool:
            lost = pool.submit(send, service, "k")
            assert processes.wait_until(
                lambda: any(r.method == "PUT" for r in faulty_store.requests),
                seconds=20,
            )
            assert service.process is not None
            for worker in psutil.Process(service.process.pid).children():
                worker.kill()
            with pytest.raises((ConnectionError, RemoteDisconnected)):
                lost.result()
        faulty_store.always("PUT", "pass")
        assert processes.wait_until(service.answers, seconds=20)
        upload = Upload.objects.get()
        assert upload.status == Status.PENDING

        assert send(service, "k")[0] == 409
        long_ago = timezone.now() - timedelta(hours=1)
        Upload.objects.update(attempt_started_at=long_ago)
        status, headers, body = send(service, "k")

        assert status == 201
        assert "Idempotent-Replayed" not in headers
        assert json.loads(body)["id"] == str(upload.pk)
        assert actions(upload) == ["requested", "requested", "stored"]
        assert keys_in(bucket) == [upload.key]
