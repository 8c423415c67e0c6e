from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.db.models import JSONField, Value
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirrorsite.actors import Actor
from tests.uploads.making import new_upload
from uploads import transitions
from uploads.audit import log
from uploads.exceptions import (
    AlreadyRecordedError,
    TrailUnavailableError,
    TransitionError,
)
from uploads.models import WITHOUT_UPLOAD, Action, Status, Upload, UploadEvent
from uploads.transitions import ALLOWED_BEFORE, STATUS_AFTER

pytestmark = pytest.mark.django_db

ACTOR = Actor(name="user:ann", request_id="r-1")
NOTES = {Action.RETRIED, Action.DOWNLOADED, Action.PROOF_SHOWN} | WITHOUT_UPLOAD


def begin(action: Action = Action.REQUESTED) -> Upload:
    upload = new_upload()
    transitions.record_intent(upload, ACTOR, action)
    return upload


def note(action: Action, upload: Upload, detail: dict[str, Any] | None = None) -> None:
    """Write an event that changes no status, about the upload if it is about one."""
    if action in WITHOUT_UPLOAD:
        log.record_without_upload(action, ACTOR, detail=detail)
    else:
        transitions.record_event(action, ACTOR, upload=upload, detail=detail)


def transactions_of(upload: Upload) -> int:
    """Return how many transactions have written the rows of an upload."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT xmin::text) FROM (SELECT xmin FROM uploads_upload"
            " WHERE id = %s UNION ALL SELECT xmin FROM uploads_uploadevent"
            " WHERE upload_id = %s) AS written",
            [upload.pk, upload.pk],
        )
        (count,) = cursor.fetchone()
    return int(count)


def sequential_scans() -> int:
    """Return how often this transaction has read the whole table of uploads."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_scan FROM pg_stat_xact_user_tables"
            " WHERE relname = 'uploads_upload'"
        )
        (count,) = cursor.fetchone()
    return int(count)


class TestRecord:
    @settings(
        max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.lists(st.sampled_from(Action), max_size=8))
    def test_any_actions__status_is_what_the_last_event_says(self, db, wanted):
        upload = begin()
        done = [Action.REQUESTED]
        for action in wanted:
            before = Status(upload.status)
            if action in NOTES:
                # Somebody looks, or passes the door: the status is what it was.
                note(action, upload)
            elif before in ALLOWED_BEFORE[action]:
                transitions.record(upload, action, ACTOR)
                done.append(action)
            else:
                with pytest.raises(TransitionError):
                    transitions.record(upload, action, ACTOR)
        row = Upload.objects.get(pk=upload.pk)
        told = [event.action for event in row.events.order_by("id")]
        assert [action for action in told if action in STATUS_AFTER] == done
        assert row.status == upload.status == STATUS_AFTER[done[-1]]

    def test_changes_and_detail(self):
        upload = begin()
        transitions.record(
            upload, Action.FAILED, ACTOR, detail={"error": "why"}, error="why"
        )
        row = Upload.objects.get()
        assert (row.status, row.error) == (Status.FAILED, "why")
        event = row.events.latest("id")
        assert (event.actor, event.request_id, event.detail) == (
            "user:ann",
            "r-1",
            {"error": "why"},
        )

    def test_two_at_once__only_one_wins(self):
        upload = begin()
        other = Upload.objects.get(pk=upload.pk)
        transitions.record(upload, Action.STORED, ACTOR)
        with pytest.raises(TransitionError, match="is no longer pending"):
            transitions.record(other, Action.FAILED, ACTOR)
        assert Upload.objects.get().status == Status.STORED
        assert UploadEvent.objects.count() == 2

    def test_row_and_event__one_transaction(self):
        upload = begin()
        assert transactions_of(upload) == 1
        transitions.record(upload, Action.STORED, ACTOR)
        assert transactions_of(upload) == 2  # the row's is that of the last event

    def test_update__finds_its_row_by_an_index(self):
        upload = begin()
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        before = sequential_scans()
        transitions.record_new_attempt(upload, ACTOR, bucket="b")
        assert sequential_scans() == before

    def test_id_is_taken(self):
        taken = begin()
        with pytest.raises(AlreadyRecordedError):
            transitions.record_intent(new_upload(id=taken.pk), ACTOR)
        assert Upload.objects.get().key == taken.key
        assert UploadEvent.objects.count() == 1

    def test_id_of_another_event(self):
        """The sequence was reset; that does not mean the upload is recorded already."""
        upload = begin()
        event = upload.events.get().pk
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT setval('uploads_uploadevent_id_seq', %s, false)", [event]
            )
        with pytest.raises(TrailUnavailableError, match="uploads_uploadevent_pkey"):
            transitions.record(upload, Action.STORED, ACTOR)
        assert Upload.objects.get().status == Status.PENDING

    def test_event_does_not_fit__no_row_either(self):
        with pytest.raises(TrailUnavailableError):
            transitions.record_intent(new_upload(), Actor(name="a" * 201))
        assert not Upload.objects.exists()

    @pytest.mark.parametrize(
        ("actor", "etag"), [(Actor(name="a" * 201), "e"), (ACTOR, "e" * 300)]
    )
    def test_value_does_not_fit__never_cut(self, actor, etag):
        upload = begin()
        with pytest.raises(TrailUnavailableError):
            transitions.record(upload, Action.STORED, actor, etag=etag)
        kept = Upload.objects.get()
        assert (kept.status, kept.etag) == (Status.PENDING, "")
        assert upload.status == Status.PENDING
        assert UploadEvent.objects.count() == 1


class TestNote:
    @pytest.mark.parametrize("action", sorted(NOTES))
    def test_note__writes_an_event_and_no_status(self, action):
        upload = begin()

        note(action, upload, {"a": 1})

        event = UploadEvent.objects.latest("id")
        assert (event.action, event.actor, event.request_id, event.detail) == (
            action,
            "user:ann",
            "r-1",
            {"a": 1},
        )
        assert event.upload_id == (None if action in WITHOUT_UPLOAD else upload.pk)
        with pytest.raises(TransitionError):
            transitions.record(upload, action, ACTOR)
        upload.refresh_from_db()
        assert upload.status == Status.PENDING

    @pytest.mark.parametrize("action", sorted(Action))
    def test_note__nothing_else(self, action):
        upload = begin()
        if action not in WITHOUT_UPLOAD:
            with pytest.raises(TrailUnavailableError, match="upload_fits_action"):
                log.record_without_upload(action, ACTOR)
        if action not in NOTES - WITHOUT_UPLOAD:
            error = TransitionError if action in STATUS_AFTER else TrailUnavailableError
            with pytest.raises(error):
                transitions.record_event(action, ACTOR, upload=upload)
        assert UploadEvent.objects.count() == 1

    def test_note__dropped_by_the_database(self):
        """As by a trigger that the tables' owner has added."""
        upload = begin()
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE RULE dropped AS ON INSERT TO uploads_uploadevent DO INSTEAD NOTHING"
            )
        with pytest.raises(TrailUnavailableError, match="no event was added"):
            log.record_without_upload(Action.LOGGED_IN, ACTOR)
        with pytest.raises(TrailUnavailableError, match="no event was added"):
            transitions.record_event(Action.DOWNLOADED, ACTOR, upload=upload)

    @pytest.mark.parametrize(
        ("action", "has_upload"),
        [
            *((action, action in WITHOUT_UPLOAD) for action in sorted(Action)),
            ("invented", True),
            ("invented", False),
        ],
    )
    def test_database__action_is_known_and_upload_fits_it(self, action, has_upload):
        with pytest.raises(IntegrityError, match="uploadevent_upload_fits_action"):
            UploadEvent.objects.create(
                upload=begin() if has_upload else None,
                action=action,
                at=timezone.now(),
                actor="x",
            )

    @pytest.mark.parametrize("detail", [[], "x", 5, Value(None, JSONField())])
    def test_database__detail_is_an_object(self, detail):
        with pytest.raises(IntegrityError, match="uploadevent_detail_is_object"):
            UploadEvent.objects.create(
                upload=begin(),
                action=Action.DOWNLOADED,
                at=timezone.now(),
                actor="x",
                detail=detail,
            )


class TestPreparedStatements:
    """Each connection keeps those of the record."""

    def test_a_migration_changes_the_table__uploads_go_on(self):
        """The pods of before still run while a deployment migrates."""
        transitions.record(begin(), Action.STORED, ACTOR)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("ALTER TABLE uploads_upload ADD COLUMN note text DEFAULT ''")
        transitions.record(begin(), Action.STORED, ACTOR)
        assert set(Upload.objects.values_list("status", flat=True)) == {Status.STORED}

    def test_prepared_once__not_for_each_upload(self):
        for _ in range(3):
            transitions.record(begin(), Action.STORED, ACTOR)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*), count(DISTINCT statement) FROM pg_prepared_statements"
                " WHERE statement LIKE %s",
                ["%uploads_upload%"],
            )
            assert cursor.fetchone() == (2, 2)


class TestTables:
    def test_every_action_has_a_status_and_a_before__or_is_a_note(self):
        assert STATUS_AFTER.keys() == ALLOWED_BEFORE.keys() == set(Action) - NOTES

    def test_every_status_is_reached(self):
        assert set(STATUS_AFTER.values()) == set(Status)
