"""The record's statements, which each connection keeps prepared."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.uploads.making import ACTOR
from uploads.models import Status, Upload
from uploads.services import create_upload

pytestmark = pytest.mark.django_db


def test_a_migration_changes_the_table__uploads_go_on(bucket):
    """The pods of before still run while a deployment migrates."""
    create_upload(actor=ACTOR)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE uploads_upload ADD COLUMN note text DEFAULT ''")
    create_upload(actor=ACTOR)
    assert set(Upload.objects.values_list("status", flat=True)) == {Status.STORED}


def test_prepared_once__not_for_each_upload(bucket):
    for _ in range(3):
        create_upload(actor=ACTOR)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT statement) FROM pg_prepared_statements"
            " WHERE statement LIKE %s",
            ["%uploads_upload%"],
        )
        kept, statements = cursor.fetchone()
    assert (kept, statements) == (2, 2)
