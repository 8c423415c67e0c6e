"""Each change of rows is found and named; an untouched trail passes.

One trail serves a whole test: what is done to the database is rolled back, and what is
done to the bucket is put back. It includes values that no column of ours ever held, but
that the database's owner can put there: they stop neither the sealer nor the
verification of everything else, which would be the better attack.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mirrorsite.actors import Actor
from tests.uploads import making
from tests.uploads.audit.tampering import (
    A_BIT_LATER,
    LAST,
    OF_UPLOADS,
    OTHER_HEX,
    UNREADABLE,
    as_owner,
    assign,
    delete,
    drop_primary_key,
    each,
    event_ids,
    execute,
    found,
    insert_twin,
    rows_of,
    swap_events,
)
from tests.uploads.audit.trails import Trail, add_uploads
from tests.uploads.making import put_raw
from uploads import projection, transitions
from uploads.models import Action, AuditSeal, Status, Upload, UploadEvent, new_upload_id
from uploads.orphans import record_orphan

pytestmark = pytest.mark.django_db

#: New values of columns.
OF_EVENTS = (
    ("action", "'purged'"),
    ("at", A_BIT_LATER),
    ("actor", "'nobody'"),
    ("request_id", "'x'"),
    ("detail", "{} || '{{\"added\": null}}'"),
    ("detail", "{} - 'size'"),
    ("detail", "jsonb_set({}, '{{size}}', '5')"),
)
OF_THE_UPLOADS = (
    ("bucket", "'other'"),
    ("key", "{} || 'x'"),
    ("size", "{} + 1"),
    ("sha256", OTHER_HEX),
    ("number", "{} + 1"),
    ("etag", "{} || 'x'"),
    ("version_id", "{} || 'x'"),
    ("user_agent", "'other'"),
    ("client_address", "'192.0.2.8'"),
    ("requester_name", "'nobody'"),
    ("request_id", "'x'"),
    ("created_at", A_BIT_LATER),
    ("created_at", "'infinity'"),
    ("stored_at", "'infinity'"),
    ("attempt_started_at", "'0044-03-15 BC'"),
    ("duration", "'3000000 years'"),
)


def an_event() -> UploadEvent:
    """Return an unsaved copy of an event, a second later."""
    event = UploadEvent.objects.order_by("id")[0]
    event.pk, event.at = None, event.at + timedelta(seconds=1)
    return event


@pytest.mark.parametrize("per_seal", [1, 5])
def test_untouched__clean(bucket, per_seal):
    trail = Trail(bucket)
    for count in (0, 3, 2, 0, 1):
        add_uploads(count, stored=count != 2)
        trail.seal(events_per_seal=per_seal)
    report = trail.verify()
    assert report.is_clean
    assert (report.events, report.uploads) == (UploadEvent.objects.count(), 6)


class TestEvents:
    @pytest.mark.parametrize("place", [1, -1])
    def test_any_field_changed(self, trail, place):
        event = event_ids()[place]
        for column, value in each("uploads_uploadevent", f"id = {event}", OF_EVENTS):
            faults = [f for f in trail.verify().faults if f.kind not in OF_UPLOADS]
            named = [(fault.kind.value, fault.subject) for fault in faults]
            assert named == [("changed", f"event {event}")], value
            assert column in faults[0].detail

    def test_any_field_unreadable(self, trail):
        event = event_ids()[1]
        for change in each("uploads_uploadevent", f"id = {event}", UNREADABLE):
            assert found(trail) == {("changed", f"event {event}")}, change

    def test_given_to_another_upload(self, trail):
        event = UploadEvent.objects.get(pk=event_ids()[0])
        assert event.upload_id is not None
        other = Upload.objects.exclude(pk=event.upload_id)[0]
        with as_owner():
            rows_of(UploadEvent).filter(pk=event.pk).update(upload=other)
            assert found(trail) == {("changed", f"event {event.pk}")}

    @pytest.mark.parametrize(
        "gone", [slice(1), slice(-1, None), slice(3, 6), slice(12)]
    )
    def test_deleted(self, trail, gone):
        with as_owner():
            ids = event_ids()[gone]
            delete(rows_of(UploadEvent).filter(pk__in=ids))
            beside = OF_UPLOADS | {"invented"}  # an upload may be left without events
            assert found(trail, beside=beside) == {
                ("missing", f"event {i}") for i in ids
            }

    @pytest.mark.parametrize(
        ("pk", "seal"),
        [(-1000, 1), *((10**9, seal) for seal in (1, LAST, 0, -1, LAST + 7))],
    )
    def test_inserted(self, trail, pk, seal):
        """Also under no seal: neither sealed nor waiting, it could be changed again."""
        event = an_event()
        event.pk, event.seal_id = pk, seal
        with as_owner():
            rows_of(UploadEvent).bulk_create([event])
            assert found(trail) == {("invented", f"event {pk}")}

    @pytest.mark.parametrize("number", [0, -1])
    def test_inserted__under_an_invented_seal(self, trail, number):
        """All it takes is INSERT, which no trigger refuses."""
        seal = AuditSeal.objects.all()[0]
        seal.number, seal.previous = number, ""
        AuditSeal.objects.bulk_create([seal])
        event = an_event()
        event.seal_id = number
        UploadEvent.objects.bulk_create([event])
        assert found(trail) == {
            ("invented", f"event {event.pk}"),
            ("invented", f"seal {number}"),
        }

    @pytest.mark.parametrize("detail", [{"seconds": 0.5}, {}])
    def test_inserted__in_the_future(self, trail, detail):
        """A fraction has no canonical form: no seal takes it, and it is late one day."""
        event = an_event()
        event.seal_id, event.detail = None, detail
        event.at += timedelta(days=3650)
        UploadEvent.objects.bulk_create([event])
        assert found(trail) == {("unsealed", f"event {event.pk}")}

    @pytest.mark.parametrize("places", [(0, 1), (3, 4), (0, -1)])
    def test_two_exchanged(self, trail, places):
        with as_owner():
            pair = [event_ids()[place] for place in places]
            swap_events(*pair)
            assert found(trail) == {("reordered", f"event {event}") for event in pair}

    @pytest.mark.parametrize(
        ("place", "change"),
        [
            (0, {"id": 10**6}),
            (-1, {"id": 10**6}),
            *((0, {"seal_id": seal}) for seal in (None, 2, LAST, LAST + 7)),
            *((-1, {"seal_id": seal}) for seal in (None, 1, 2, LAST)),
        ],
    )
    def test_moved(self, trail, place, change):
        with as_owner():
            event = event_ids()[place]
            rows_of(UploadEvent).filter(pk=event).update(**change)
            assert found(trail) == {("reordered", f"event {event}")}

    def test_changed_and_sealed_again(self, trail):
        """The sealer signs what it is given; the first seal still knows better."""
        with as_owner():
            event = event_ids()[1]
            rows_of(UploadEvent).filter(pk=event).update(seal_id=None, actor="nobody")
            trail.seal()
            assert found(trail) == {("changed", f"event {event}")}


class TestUploads:
    def test_tried_again_from_elsewhere__clean(self, trail):
        """The row keeps the first actor; that is no difference."""
        upload = add_uploads(1, stored=False)[0]
        actor = Actor(name="token:ci", address="198.51.100.9", request_id="later")
        transitions.record(upload, Action.FAILED, actor, detail={"error": "refused"})
        transitions.record_new_attempt(upload, actor, bucket=upload.bucket)
        transitions.record(upload, Action.STORED, actor, detail={"etag": "x"}, etag="x")
        trail.seal()
        assert trail.faults() == []

    def test_address_that_postgresql_writes_otherwise__clean(self, trail):
        making.record(
            client_address="::ffff:c000:207",
            request_id=making.ACTOR.request_id,
            created_at=timezone.now(),
        )
        trail.seal()
        assert trail.faults() == []

    def test_any_told_field_changed(self, trail):
        upload = Upload.objects.order_by("id")[1].pk
        for column, _ in each("uploads_upload", f"id = '{upload}'", OF_THE_UPLOADS):
            (fault,) = trail.verify().faults
            assert (fault.kind, fault.subject) == ("facts differ", f"upload {upload}")
            assert "cannot be read (" in fault.detail or column in fault.detail

    def test_status_changed(self, trail):
        upload = Upload.objects.order_by("id")[1]
        others = [("status", f"'{s}'") for s in Status if s != upload.status]
        for change in each("uploads_upload", f"id = '{upload.pk}'", tuple(others)):
            named = [("status differs", f"upload {upload.pk}")]
            assert trail.faults() == named, change

    def test_deleted(self, trail):
        with as_owner():
            upload = Upload.objects.order_by("id")[2]
            delete(rows_of(Upload).filter(pk=upload.pk))
            assert trail.faults() == [("missing", f"upload {upload.pk}")]

    def test_number_that_never_equals_itself(self, trail):
        upload = Upload.objects.order_by("id")[2].pk
        with as_owner():
            retype = "ALTER TABLE uploads_upload ALTER number TYPE double precision"
            execute(retype)
            assign("uploads_upload", f"id = '{upload}'", "number", "'NaN'")
            assert trail.faults() == [("facts differ", f"upload {upload}")]

    @pytest.mark.parametrize("page", [1, 100])
    def test_without_id(self, trail, monkeypatch, page):
        monkeypatch.setattr(projection, "_UPLOADS_AT_A_TIME", page)
        with as_owner():
            drop_primary_key("uploads_upload", "id")
            upload = Upload.objects.order_by("id")[2].pk
            insert_twin("uploads_upload", f"id = '{upload}'", id="NULL")
            assert trail.faults() == [("invented", "upload None")]

    def test_without_events(self, trail):
        with as_owner():
            template = Upload.objects.all()[0]
            template.pk, template.key = new_upload_id(), "uploads/invented.txt"
            rows_of(Upload).bulk_create([template])
            assert trail.faults() == [("invented", f"upload {template.pk}")]


@pytest.mark.parametrize("column", ["requester_name", "request_id"])
def test_adopted_upload__its_origin_is_checked(bucket, column):
    key = f"uploads/2026/11/01/{new_upload_id()}.txt"
    put_raw(bucket, key, b"hello")
    adopted = record_orphan(key, actor=Actor())
    trail = Trail(bucket)
    trail.seal()
    assert trail.faults() == []
    Upload.objects.filter(pk=adopted.pk).update(**{column: "other"})
    assert trail.faults() == [("facts differ", f"upload {adopted.pk}")]


@pytest.mark.parametrize("column", ["etag", "version_id"])
def test_upload_without_an_object__nor_its_columns(bucket, column):
    (upload,) = add_uploads(1, stored=False)
    trail = Trail(bucket)
    trail.seal()
    assert trail.faults() == []
    Upload.objects.filter(pk=upload.pk).update(**{column: "other"})
    assert trail.faults() == [("facts differ", f"upload {upload.pk}")]
