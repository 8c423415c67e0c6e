"""Untouched events pass; changed, removed, invented, reordered ones are named."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uploads.audit.strategies import other
from tests.uploads.audit.tampered.sealed_trail import (
    LAST,
    OF_UPLOADS,
    event_ids,
    examples,
    found,
)
from tests.uploads.audit.tampering import as_owner, delete, rows_of, swap_events
from tests.uploads.audit.trails import Trail, add_uploads
from uploads.models import AuditSeal, Upload, UploadEvent

pytestmark = pytest.mark.django_db


class TestUntouched:
    @examples
    @given(
        layout=st.lists(st.integers(0, 3), min_size=1, max_size=5),
        per_seal=st.integers(1, 5),
    )
    def test_verify__clean(self, bucket, layout, per_seal):
        with as_owner():
            trail = Trail(bucket)
            for count in layout:
                add_uploads(count, stored=count != 2)
                trail.seal(events_per_seal=per_seal)
            report = trail.verify()
            assert report.is_clean
            assert report.events == UploadEvent.objects.count()
            assert report.uploads == sum(layout)


class TestEvents:
    @examples
    @given(data=st.data())
    def test_any_field_changed(self, trail, data):
        with as_owner():
            event = UploadEvent.objects.get(pk=data.draw(st.sampled_from(event_ids())))
            column = data.draw(
                st.sampled_from(["action", "at", "actor", "request_id", "detail"])
            )
            value = getattr(event, column)
            if column == "action":
                values = ["requested", "stored", "verified", "purged"]
                changed = data.draw(st.sampled_from([v for v in values if v != value]))
            else:
                changed = data.draw(other(value))
            rows_of(UploadEvent).filter(pk=event.pk).update(**{column: changed})
            report = trail.verify()
        named = [fault for fault in report.faults if fault.kind not in OF_UPLOADS]
        assert [(fault.kind.value, fault.subject) for fault in named] == [
            ("changed", f"event {event.pk}")
        ]
        assert column in named[0].detail

    @examples
    @given(data=st.data())
    def test_given_to_another_upload(self, trail, data):
        with as_owner():
            event = data.draw(st.sampled_from(event_ids()))
            mine = UploadEvent.objects.get(pk=event).upload_id
            assert mine is not None  # these are events of uploads
            others = Upload.objects.exclude(pk=mine).values_list("pk", flat=True)
            chosen = data.draw(st.sampled_from(sorted(others)))
            rows_of(UploadEvent).filter(pk=event).update(upload_id=chosen)
            assert found(trail) == {("changed", f"event {event}")}

    @examples
    @given(data=st.data())
    def test_deleted(self, trail, data):
        with as_owner():
            gone = data.draw(st.sets(st.sampled_from(event_ids()), min_size=1))
            delete(rows_of(UploadEvent).filter(pk__in=gone))
            beside = OF_UPLOADS | {"invented"}  # an upload may be left without events
            assert found(trail, beside=beside) == {
                ("missing", f"event {event}") for event in gone
            }

    @examples
    @given(data=st.data())
    def test_inserted(self, trail, data):
        with as_owner():
            template = UploadEvent.objects.get(
                pk=data.draw(st.sampled_from(event_ids()))
            )
            template.pk = data.draw(
                st.integers(-1000, 10**9).filter(lambda pk: pk not in event_ids())
            )
            template.at += timedelta(seconds=1)
            template.seal_id = data.draw(st.integers(1, LAST))
            rows_of(UploadEvent).bulk_create([template])
            assert found(trail) == {("invented", f"event {template.pk}")}

    @pytest.mark.parametrize("number", [0, -1, LAST + 7])
    def test_inserted__under_no_seal(self, trail, number):
        """Neither sealed nor waiting: it could be changed again and again."""
        with as_owner():
            event = UploadEvent.objects.all()[0]
            event.pk, event.seal_id = 10**6, number
            event.at += timedelta(seconds=1)
            rows_of(UploadEvent).bulk_create([event])
            assert found(trail) == {("invented", "event 1000000")}

    @pytest.mark.parametrize("number", [0, -1])
    def test_inserted__under_an_invented_seal(self, trail, number):
        """All it takes is INSERT, which no trigger refuses."""
        seal = AuditSeal.objects.all()[0]
        seal.number, seal.previous = number, ""
        AuditSeal.objects.bulk_create([seal])
        event = UploadEvent.objects.all()[0]
        event.pk, event.seal_id = None, number
        event.at += timedelta(seconds=1)
        UploadEvent.objects.bulk_create([event])
        assert found(trail) == {
            ("invented", f"event {event.pk}"),
            ("invented", f"seal {number}"),
        }

    def test_moved_to_no_seal(self, trail):
        with as_owner():
            event = event_ids()[0]
            rows_of(UploadEvent).filter(pk=event).update(seal_id=LAST + 7)
            assert found(trail) == {("reordered", f"event {event}")}

    def test_inserted__in_the_future(self, trail):
        """It has no canonical form, so no seal takes it, and is late in ten years."""
        event = UploadEvent.objects.all()[0]
        event.pk, event.seal_id, event.detail = None, None, {"seconds": 0.5}
        event.at += timedelta(days=3650)
        UploadEvent.objects.bulk_create([event])
        assert found(trail) == {("unsealed", f"event {event.pk}")}
        event.pk, event.detail = None, {}
        UploadEvent.objects.bulk_create([event])
        assert ("unsealed", f"event {event.pk}") in found(trail)

    @examples
    @given(data=st.data())
    def test_two_exchanged(self, trail, data):
        with as_owner():
            chosen = st.sampled_from(event_ids())
            pair = data.draw(st.lists(chosen, min_size=2, max_size=2, unique=True))
            swap_events(*pair)
            assert found(trail) == {("reordered", f"event {event}") for event in pair}

    @examples
    @given(data=st.data())
    def test_moved_to_another_id(self, trail, data):
        with as_owner():
            event = data.draw(st.sampled_from(event_ids()))
            rows_of(UploadEvent).filter(pk=event).update(id=10**6)
            assert found(trail) == {("reordered", f"event {event}")}

    @examples
    @given(data=st.data())
    def test_moved_to_another_seal(self, trail, data):
        with as_owner():
            event = UploadEvent.objects.get(pk=data.draw(st.sampled_from(event_ids())))
            seals = [n for n in (None, *range(1, LAST + 1)) if n != event.seal_id]
            seal = data.draw(st.sampled_from(seals))
            rows_of(UploadEvent).filter(pk=event.pk).update(seal_id=seal)
            assert found(trail) == {("reordered", f"event {event.pk}")}

    @examples
    @given(data=st.data())
    def test_changed_and_sealed_again(self, trail, data):
        """The sealer signs what it is given; the first seal still knows better."""
        number = AuditSeal.objects.count() + 1
        with as_owner():
            event = data.draw(st.sampled_from(event_ids()))
            rows_of(UploadEvent).filter(pk=event).update(seal_id=None, actor="nobody")
            trail.seal()
            try:
                assert found(trail) == {("changed", f"event {event}")}
            finally:
                for key in list(trail.storage.list_keys(trail.prefix)):
                    if f"/{number:010d}" in key:
                        trail.storage.client.delete_object(
                            Bucket=trail.storage.bucket_name, Key=key
                        )
