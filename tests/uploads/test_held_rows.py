"""A row that another session holds, such as an operator's psql: nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from tests.uploads import making
from tests.uploads.idempotency.retrying import actions, interrupted, post, slug
from tests.uploads.making import ACTOR
from uploads.audit import log
from uploads.exceptions import TrailUnavailableError
from uploads.models import Action, Status, Upload
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _short_lock_timeout(transactional_db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
    yield
    connection.close()


@contextmanager
def held(upload: Upload) -> Iterator[None]:
    """Hold a row by an UPDATE that is not committed."""
    holds, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Upload.objects.filter(pk=upload.pk).update(user_agent="psql")
                holds.set()
                assert may_end.wait(60)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        session = pool.submit(hold)
        try:
            assert holds.wait(30)
            yield
        finally:
            may_end.set()
            session.result(30)


def test_retry_with_a_key__503_and_again_when_it_is_free(client, bucket):
    upload = interrupted(bucket, stored=False, attempt_started_at=None)
    with held(upload):
        answer = post(client)
        assert (answer.status_code, slug(answer)) == (503, "trail-unavailable")
        assert answer["Retry-After"] == "5"
    assert actions(upload) == ["requested"]

    assert post(client).status_code == 201

    assert actions(upload) == ["requested", "requested", "stored"]


def test_outcome__pending_and_told(bucket, client):
    """The object is stored, and its row cannot be changed."""
    put_new = UploadStorage.put_new
    holding: list[Any] = []

    def put_and_hold(storage: UploadStorage, key: str, *rest: Any, **more: Any) -> Any:
        stored = put_new(storage, key, *rest, **more)
        holding.append(held(Upload.objects.get(key=key)))
        holding[0].__enter__()
        return stored

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UploadStorage, "put_new", put_and_hold)
        try:
            answer = client.generic("POST", "/api/upload-random")
        finally:
            holding[0].__exit__(None, None, None)

    assert (answer.status_code, slug(answer)) == (503, "trail-unavailable")
    assert answer.json()["upload_status"] == "pending"
    upload = Upload.objects.get()
    assert upload.status == Status.PENDING
    assert bucket.head(upload.key).sha256 == upload.sha256


def test_other_rows__written_meanwhile():
    upload, other = making.pending(), making.pending()
    with held(upload):
        log.record(other, Action.STORED, ACTOR, stored_at=timezone.now())
        with pytest.raises(TrailUnavailableError):
            log.record(upload, Action.STORED, ACTOR)
    assert Upload.objects.get(pk=other.pk).status == Status.STORED
    assert actions(upload) == ["requested"]
