"""The database drops a request's connection while its object is put."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connection

from tests.uploads.making import ACTOR
from uploads.models import Status, Upload
from uploads.services import create_upload


@pytest.mark.django_db(transaction=True)
def test_dropped_during_the_put__outcome_is_recorded(bucket, monkeypatch):
    put_new = bucket.put_new

    def put_and_drop(*arguments, **options):
        with psycopg.connect(**connection.get_connection_params()) as other:
            other.execute(
                "SELECT pg_terminate_backend(%s, 10000)",  # waits until it has ended
                [connection.connection.info.backend_pid],
            )
        return put_new(*arguments, **options)

    monkeypatch.setattr("uploads.services.upload_storage", lambda: bucket)
    monkeypatch.setattr(bucket, "put_new", put_and_drop)
    connection.close()  # the next one is checked, as each request's
    create_upload(actor=ACTOR)
    assert Upload.objects.get().status == Status.STORED
