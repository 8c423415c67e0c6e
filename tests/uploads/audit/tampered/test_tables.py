"""Tables that their owner has changed: the verification and the sealer go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import timezone

from tests.uploads.audit.tampering import (
    LAST,
    LATER,
    UNREADABLE,
    as_owner,
    assign,
    drop_primary_key,
    each,
    event_ids,
    execute,
    found,
    insert_twin,
)
from tests.uploads.audit.trails import Trail, add_uploads
from uploads.exceptions import SealError, TrailUnavailableError
from uploads.models import AuditSeal, Upload

pytestmark = pytest.mark.django_db


class TestSecondRows:
    """The tables' owner can drop a primary key, or have a table inherit."""

    @pytest.mark.parametrize("changes", [{}, {"actor": "'nobody'"}, {"at": "NULL"}])
    @pytest.mark.parametrize("place", [0, -1])
    def test_event(self, trail, place, changes):
        """It is read, or not, after the first one: the rest still is."""
        event = event_ids()[place]
        with as_owner():
            execute("ALTER TABLE uploads_uploadevent ALTER at DROP NOT NULL")
            insert_twin("uploads_uploadevent", f"id = {event}", **changes)
            assert found(trail) == {("invented", f"event {event}")}

    @pytest.mark.parametrize("place", [0, -1])
    def test_event_without_id(self, trail, place):
        event = event_ids()[place]
        with as_owner():
            drop_primary_key("uploads_uploadevent", "id")
            assign("uploads_uploadevent", f"id = {event}", "id", "NULL")
            assert ("reordered", f"event {event}") in found(trail)

    def test_event_without_id_unreadable(self, trail):
        event = event_ids()[-1]
        with as_owner():
            drop_primary_key("uploads_uploadevent", "id")
            changes = {"at": "'infinity'", "id": "NULL"}
            for column, value in changes.items():
                assign("uploads_uploadevent", f"id = {event}", column, value)
            assert ("missing", f"event {event}") in found(trail)

    @pytest.mark.parametrize(
        ("changes", "kinds"),
        [
            ({}, ["invented"]),
            ({"sealed_at": "now()"}, ["invented"]),
            ({"sealed_at": "NULL"}, ["changed", "invented"]),  # it cannot be read
        ],
    )
    @pytest.mark.parametrize("number", [1, LAST])
    def test_seal(self, trail, number, changes, kinds):
        with as_owner():
            execute("ALTER TABLE uploads_auditseal ALTER sealed_at DROP NOT NULL")
            insert_twin("uploads_auditseal", f"number = {number}", **changes)
            assert trail.faults() == [(kind, f"seal {number}") for kind in kinds]

    @pytest.mark.parametrize("changes", [{}, {"status": "'missing'"}])
    def test_upload(self, trail, changes):
        upload = Upload.objects.order_by("id")[1].pk
        with as_owner():
            insert_twin("uploads_upload", f"id = '{upload}'", **changes)
            assert trail.faults() == [("invented", f"upload {upload}")]


@pytest.mark.parametrize("number", ["number", "'NaN'", "'Infinity'"])
def test_column_of_another_type(trail, number):
    with as_owner():
        drop_primary_key("uploads_auditseal", "number")
        kind = f"numeric USING {number}"
        execute(f"ALTER TABLE uploads_auditseal ALTER number TYPE {kind}")
        assert ("changed", "the tables") in trail.faults()


def test_infinite_id(trail):
    with as_owner():
        drop_primary_key("uploads_uploadevent", "id")
        execute("ALTER TABLE uploads_uploadevent ALTER id TYPE numeric")
        execute("UPDATE uploads_uploadevent SET id = 'Infinity' WHERE seal_id = 1")
        assert ("changed", "the tables") in trail.faults()


@pytest.fixture
def renamed_column(trail: Trail) -> Iterator[None]:
    """Rename a column, and commit that: an error would end an open transaction."""
    rename = "ALTER TABLE uploads_uploadevent RENAME COLUMN {} TO {}"
    execute(rename.format("request_id", "other"))
    yield
    execute(rename.format("other", "request_id"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("renamed_column")
@pytest.mark.parametrize("act", [Trail.verify, Trail.seal])
def test_column_missing(trail, act):
    with pytest.raises(TrailUnavailableError, match="request_id does not exist"):
        act(trail)


class TestSealer:
    def test_unreadable_events__the_others_are_sealed(self, trail):
        changes = [change for change in UNREADABLE if change[1] != "'null'"]
        with as_owner():
            add_uploads(len(changes))
            chosen = event_ids(seal=None, action="stored")
            for event, change in zip(chosen, changes, strict=True):
                assign("uploads_uploadevent", f"id = {event}", *change)
            assert sum(sealed.event_count for sealed in trail.seal()) == len(chosen)
            assert found(trail) == {("unsealed", f"event {event}") for event in chosen}

    def test_last_seal_unreadable__refused(self, trail):
        change = (("sealed_at", "'infinity'"),)
        for _ in each("uploads_auditseal", f"number = {LAST}", change):
            match = f"seal {LAST}, the last one in the database"
            with pytest.raises(SealError, match=match):
                trail.seal()
        assert AuditSeal.objects.count() == LAST

    @pytest.mark.parametrize(
        ("column", "kind"),
        [
            ("event_count", "numeric"),
            ("number", "numeric"),
            (
                "number",
                f"numeric USING CASE number WHEN {LAST} THEN 'Infinity'"
                " ELSE number::numeric END",
            ),
            ("key_id", "text[] USING ARRAY[key_id]"),
        ],
    )
    def test_column_of_another_type__refused(self, trail, column, kind):
        with as_owner():
            execute(f"ALTER TABLE uploads_auditseal ALTER {column} TYPE {kind}")
            with pytest.raises(SealError, match=r"last one in the database|be read"):
                trail.seal()

    @pytest.mark.parametrize("place", [1, -1])
    def test_another_event_with_the_id_of_one(self, trail, place):
        """Of a sealed one, or of one that is sealed together with it."""
        add_uploads(1)
        event = event_ids()[place]
        with as_owner():
            changes = {"actor": "'nobody'", "seal_id": "NULL"}
            insert_twin("uploads_uploadevent", f"id = {event}", **changes)
            trail.seal()
            assert found(trail) == {("invented", f"event {event}")}

    def test_seal_without_number__ignored(self, trail):
        with as_owner():
            drop_primary_key("uploads_auditseal", "number")
            insert_twin("uploads_auditseal", f"number = {LAST}", number="NULL")
            assert [sealed.number for sealed in trail.seal()] == [LAST + 1]

    def test_event_without_id__the_others_are_sealed(self, trail):
        add_uploads(2)
        event = event_ids(seal=None)[0]
        with as_owner():
            drop_primary_key("uploads_uploadevent", "id")
            assign("uploads_uploadevent", f"id = {event}", "id", "NULL")
            assert sum(sealed.event_count for sealed in trail.seal()) == 3
            assert ("unsealed", "event None") in found(
                trail, now=timezone.now() + LATER
            )
