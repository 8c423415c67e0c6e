"""Another session holds a row, such as an operator's psql, or ends a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from tests.conftest import service_database_url
from tests.problems import slug
from tests.uploads import making
from tests.uploads.making import ACTOR, actions
from tests.uploads.retrying import interrupted, post
from uploads import transitions
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
    with psycopg.connect(service_database_url()) as session:
        update = "UPDATE uploads_upload SET user_agent = 'psql' WHERE id = %s"
        session.execute(update, [upload.pk])
        yield


def test_retry_with_a_key__503_and_again_when_it_is_free(client, bucket):
    upload = interrupted(stored=False, attempt_started_at=None)
    with held(upload):
        answer = post(client)
        assert (answer.status_code, slug(answer)) == (503, "trail-unavailable")
        assert answer["Retry-After"] == "5"
    assert actions(upload) == ["requested"]

    assert post(client).status_code == 201

    assert actions(upload) == ["requested", "requested", "stored"]


def test_outcome__pending_and_told(bucket, client, spy):
    """The object is stored, and its row cannot be changed."""
    with ExitStack() as holding:

        def hold(*arguments: Any, **options: Any) -> None:
            holding.enter_context(held(Upload.objects.get()))

        spy(UploadStorage, "put_new", after=hold)
        answer = client.generic("POST", "/api/upload-random")

    assert (answer.status_code, slug(answer)) == (503, "trail-unavailable")
    upload = Upload.objects.get()
    told = answer.json()
    assert (told["upload_id"], told["upload_status"]) == (str(upload.pk), "pending")
    assert actions(upload) == ["requested"]
    assert bucket.head(upload.key).sha256 == upload.sha256


def test_other_rows__written_meanwhile():
    upload, other = making.record(), making.record()
    with held(upload):
        transitions.record(other, Action.STORED, ACTOR, stored_at=timezone.now())
        with pytest.raises(TrailUnavailableError):
            transitions.record(upload, Action.STORED, ACTOR)
    assert Upload.objects.get(pk=other.pk).status == Status.STORED
    assert actions(upload) == ["requested"]


def test_connection_dropped_during_the_put__outcome_is_recorded(bucket, spy):
    def drop(*arguments: Any, **options: Any) -> None:
        with psycopg.connect(service_database_url()) as other:
            other.execute(
                "SELECT pg_terminate_backend(%s, 10000)",  # waits until it has ended
                [connection.connection.info.backend_pid],
            )

    spy(UploadStorage, "put_new", before=drop)
    connection.close()  # the next one is checked, as each request's
    assert making.stored().status == Status.STORED
    assert Upload.objects.get().status == Status.STORED
