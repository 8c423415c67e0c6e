from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uploads import trail
from uploads.exceptions import TransitionError
from uploads.models import (
    ALLOWED_BEFORE,
    STATUS_AFTER,
    Action,
    Status,
    Upload,
    UploadEvent,
    new_upload_id,
)
from uploads.trail import Caller

pytestmark = pytest.mark.django_db

CALLER = Caller(name="user:ann", request_id="r-1")


def begin(action: Action = Action.REQUESTED) -> Upload:
    upload_id = new_upload_id()
    upload = Upload(
        id=upload_id,
        bucket="bucket",
        key=f"uploads/{upload_id}.txt",
        size=4,
        sha256="0" * 64,
        number=1234,
        requester_name=CALLER.name,
        created_at=timezone.now() - timedelta(seconds=1),
    )
    trail.begin(upload, CALLER, action)
    return upload


class TestRecord:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.sampled_from(Action), max_size=8))
    def test_any_actions__status_is_what_the_last_event_says(
        self, db: Any, wanted: list[Action]
    ) -> None:
        upload = begin()
        done = [Action.REQUESTED]
        for action in wanted:
            before = Status(upload.status)
            if before in ALLOWED_BEFORE[action]:
                trail.record(upload, action, CALLER)
                done.append(action)
            else:
                with pytest.raises(TransitionError):
                    trail.record(upload, action, CALLER)
        row = Upload.objects.get(pk=upload.pk)
        assert [event.action for event in row.events.order_by("id")] == done
        assert row.status == upload.status == STATUS_AFTER[done[-1]]

    def test_changes_and_detail(self) -> None:
        upload = begin()
        trail.record(
            upload, Action.FAILED, CALLER, detail={"error": "why"}, error="why"
        )
        row = Upload.objects.get()
        assert (row.status, row.error) == (Status.FAILED, "why")
        event = row.events.latest("id")
        assert (event.actor, event.request_id, event.detail) == (
            "user:ann",
            "r-1",
            {"error": "why"},
        )

    def test_two_at_once__only_one_wins(self) -> None:
        upload = begin()
        other = Upload.objects.get(pk=upload.pk)
        trail.record(upload, Action.STORED, CALLER)
        with pytest.raises(TransitionError, match="is no longer pending"):
            trail.record(other, Action.FAILED, CALLER)
        assert Upload.objects.get().status == Status.STORED
        assert UploadEvent.objects.count() == 2

    def test_statements(self) -> None:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            upload = begin()
        assert len(queries) <= 4  # two inserts within a savepoint of the test
        with CaptureQueriesContext(connection) as queries:
            trail.record(upload, Action.STORED, CALLER)
        assert len(queries) <= 4


class TestTables:
    def test_every_action_has_a_status_and_a_before(self) -> None:
        assert STATUS_AFTER.keys() == ALLOWED_BEFORE.keys() == set(Action)

    def test_every_status_is_reached(self) -> None:
        assert set(STATUS_AFTER.values()) == set(Status)
