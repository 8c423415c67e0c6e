"""Large uploads that succeed, and the requests of other clients beside them."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from sre.lib.processes import wait_until
from sre.lib.service import Service
from uploads.bulkhead import MAX_WAIT_SECONDS, RESERVED_THREADS
from uploads.models import Status, Upload

pytestmark = [pytest.mark.service, pytest.mark.integration]

LARGE = 64 * 1024 * 1024
FIRST, SECOND, OTHER = "192.0.2.1", "192.0.2.2", "192.0.2.3"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


def start_with_places(start_service: Any, places: int) -> Service:
    """Start one worker whose clients are told apart by X-Forwarded-For."""
    service: Service = start_service(
        WEB_CONCURRENCY="1",
        WEB_THREADS=str(places + RESERVED_THREADS),
        TRUSTED_PROXIES="1",
    )
    assert upload(service, OTHER)[0] == 201
    return service


def upload(
    service: Service, client: str, size: int | None = None
) -> tuple[int, dict[str, Any]]:
    """Upload as an anonymous client; return the status and the decoded answer."""
    request = urllib.request.Request(
        f"{service.url}/api/upload-random",
        data=json.dumps({} if size is None else {"size": size}).encode(),
        headers={"Content-Type": "application/json", "X-Forwarded-For": client},
    )
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def pending() -> int:
    """Return the number of uploads that hold a place."""
    return Upload.objects.filter(status=Status.PENDING).count()


def record_of(answer: dict[str, Any]) -> Upload:
    return Upload.objects.get(key=answer["key"])


def first_stored_at(answers: list[dict[str, Any]]) -> datetime:
    """Return when the first of these uploads released its place, at the earliest."""
    return min(stored_at(answer) for answer in answers)


def stored_at(answer: dict[str, Any]) -> datetime:
    at = record_of(answer).stored_at
    assert at is not None
    return at


def test_all_places_taken__a_small_upload_waits_and_succeeds(
    start_service: Any, pool: ThreadPoolExecutor
) -> None:
    service = start_with_places(start_service, 2)
    # Again where the machine is so busy that the wait reaches its limit.
    assert any(_waits_and_succeeds(service, pool) for _ in range(3))


def _waits_and_succeeds(service: Service, pool: ThreadPoolExecutor) -> bool:
    large = [pool.submit(upload, service, name, LARGE) for name in (FIRST, SECOND)]
    assert wait_until(lambda: pending() == 2, seconds=30)
    began = time.monotonic()
    status, small = upload(service, OTHER)
    seconds = time.monotonic() - began
    answers = _answers(large)
    if status == 503 and seconds >= MAX_WAIT_SECONDS:
        return False
    assert status == 201, f"refused after {seconds:.1f} seconds: {small}"
    assert record_of(small).created_at >= first_stored_at(answers)
    return True


def test_one_client__leaves_a_place_for_others(
    start_service: Any, pool: ThreadPoolExecutor
) -> None:
    service = start_with_places(start_service, 4)
    greedy = [pool.submit(upload, service, FIRST, LARGE) for _ in range(4)]
    assert wait_until(lambda: pending() >= 3, seconds=30)
    status, small = upload(service, OTHER)
    assert status == 201
    # The greedy client's fourth waits, for longer than it may if the others are slow.
    results = [future.result() for future in greedy]
    large = [answer for status, answer in results if status == 201]
    refused = [answer["type"] for status, answer in results if status != 201]
    assert len(large) >= 3
    assert all(slug.endswith("/store-busy") for slug in refused)
    released_at = first_stored_at(large)
    assert record_of(small).created_at < released_at
    together = [a for a in large if record_of(a).created_at < released_at]
    assert len(together) == 3


def _answers(uploads: list[Future[tuple[int, dict[str, Any]]]]) -> list[dict[str, Any]]:
    results = [future.result() for future in uploads]
    assert [status for status, _ in results] == [201] * len(results)
    assert all(answer["size"] == LARGE for _, answer in results)
    return [answer for _, answer in results]
