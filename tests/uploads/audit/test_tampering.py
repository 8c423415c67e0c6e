"""Each way of tampering is found and named; an untouched trail passes.

One trail serves a whole test: what an example does to the database is rolled back, and
what it does to the bucket is put back.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.uploads.audit.strategies import other
from tests.uploads.audit.tampering import (
    as_owner,
    delete,
    replaced,
    rows_of,
    swap_events,
)
from tests.uploads.audit.trails import KEY, Trail, add_uploads
from uploads import trail as record
from uploads.audit.canonical import Seal
from uploads.audit.keys import SigningKey
from uploads.audit.rows import row_of, seal_of
from uploads.models import Action, AuditSeal, Status, Upload, UploadEvent, new_upload_id
from uploads.storage import UploadStorage
from uploads.trail import Caller

pytestmark = pytest.mark.django_db

examples = settings(
    max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SEALS = (2, 0, 3, 1, 0)  # uploads under each seal
LAST = len(SEALS)
#: What an altered event does to the upload it tells of.
OF_UPLOADS = {"status differs", "facts differ"}
LATER = timedelta(minutes=10)
Faults = set[tuple[str, str]]


@pytest.fixture
def trail(bucket: UploadStorage) -> Trail:
    trail = Trail(bucket)
    for count in SEALS:
        add_uploads(count)
        trail.seal()
    assert trail.faults() == []
    return trail


def event_ids(**which: Any) -> list[int]:
    found = UploadEvent.objects.filter(**which).order_by("id")
    return list(found.values_list("id", flat=True))


def found(trail: Trail, *, beside: set[str] = OF_UPLOADS, **options: Any) -> Faults:
    """Return the faults, without those of other kinds that come with them."""
    return {fault for fault in trail.faults(**options) if fault[0] not in beside}


def taken_along(trail: Trail, key: SigningKey) -> Trail:
    """Return a corner of the attacker's own, with copies of the seals there are."""
    elsewhere = Trail(trail.storage, key=key)
    for seal in AuditSeal.objects.all():
        trail.storage.client.put_object(
            Bucket=trail.storage.bucket_name,
            Key=elsewhere.copies.seal_key(seal.number),
            Body=trail.copies.seal(seal.number) or b"",
        )
    return elsewhere


class TestUntouched:
    @examples
    @given(
        layout=st.lists(st.integers(0, 3), min_size=1, max_size=5),
        per_seal=st.integers(1, 5),
    )
    def test_verify__clean(
        self, bucket: UploadStorage, layout: list[int], per_seal: int
    ) -> None:
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
    def test_any_field_changed(self, trail: Trail, data: st.DataObject) -> None:
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
    def test_given_to_another_upload(self, trail: Trail, data: st.DataObject) -> None:
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
    def test_deleted(self, trail: Trail, data: st.DataObject) -> None:
        with as_owner():
            gone = data.draw(st.sets(st.sampled_from(event_ids()), min_size=1))
            delete(rows_of(UploadEvent).filter(pk__in=gone))
            beside = OF_UPLOADS | {"invented"}  # an upload may be left without events
            assert found(trail, beside=beside) == {
                ("missing", f"event {event}") for event in gone
            }

    @examples
    @given(data=st.data())
    def test_inserted(self, trail: Trail, data: st.DataObject) -> None:
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
    def test_inserted__under_no_seal(self, trail: Trail, number: int) -> None:
        """Neither sealed nor waiting: it could be changed again and again."""
        with as_owner():
            event = UploadEvent.objects.all()[0]
            event.pk, event.seal_id = 10**6, number
            event.at += timedelta(seconds=1)
            rows_of(UploadEvent).bulk_create([event])
            assert found(trail) == {("invented", "event 1000000")}

    @pytest.mark.parametrize("number", [0, -1])
    def test_inserted__under_an_invented_seal(self, trail: Trail, number: int) -> None:
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

    def test_moved_to_no_seal(self, trail: Trail) -> None:
        with as_owner():
            event = event_ids()[0]
            rows_of(UploadEvent).filter(pk=event).update(seal_id=LAST + 7)
            assert found(trail) == {("reordered", f"event {event}")}

    def test_inserted__in_the_future(self, trail: Trail) -> None:
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
    def test_two_exchanged(self, trail: Trail, data: st.DataObject) -> None:
        with as_owner():
            chosen = st.sampled_from(event_ids())
            pair = data.draw(st.lists(chosen, min_size=2, max_size=2, unique=True))
            swap_events(*pair)
            assert found(trail) == {("reordered", f"event {event}") for event in pair}

    @examples
    @given(data=st.data())
    def test_moved_to_another_id(self, trail: Trail, data: st.DataObject) -> None:
        with as_owner():
            event = data.draw(st.sampled_from(event_ids()))
            rows_of(UploadEvent).filter(pk=event).update(id=10**6)
            assert found(trail) == {("reordered", f"event {event}")}

    @examples
    @given(data=st.data())
    def test_moved_to_another_seal(self, trail: Trail, data: st.DataObject) -> None:
        with as_owner():
            event = UploadEvent.objects.get(pk=data.draw(st.sampled_from(event_ids())))
            seals = [n for n in (None, *range(1, LAST + 1)) if n != event.seal_id]
            seal = data.draw(st.sampled_from(seals))
            rows_of(UploadEvent).filter(pk=event.pk).update(seal_id=seal)
            assert found(trail) == {("reordered", f"event {event.pk}")}

    @examples
    @given(data=st.data())
    def test_changed_and_sealed_again(self, trail: Trail, data: st.DataObject) -> None:
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


class TestCuts:
    @examples
    @given(kept=st.integers(1, LAST - 1))
    def test_head(self, trail: Trail, kept: int) -> None:
        with as_owner():
            events = rows_of(UploadEvent).filter(seal_id__lte=kept)
            expected = {("missing", f"event {pk}") for pk in event_ids(seal__lte=kept)}
            expected |= {("missing", f"seal {n}") for n in range(1, kept + 1)}
            uploads = list(events.values_list("upload_id", flat=True))
            delete(events)
            delete(rows_of(Upload).filter(pk__in=uploads))
            delete(rows_of(AuditSeal).filter(number__lte=kept))
            assert found(trail) == expected

    @examples
    @given(kept=st.integers(0, LAST - 1))
    def test_tail(self, trail: Trail, kept: int) -> None:
        """With nothing kept everything was deleted."""
        with as_owner():
            expected = {("missing", f"event {pk}") for pk in event_ids(seal__gt=kept)}
            expected |= {("cut tail", f"seal {n}") for n in range(kept + 1, LAST + 1)}
            events = rows_of(UploadEvent).filter(seal_id__gt=kept)
            uploads = list(events.values_list("upload_id", flat=True))
            delete(events)
            delete(rows_of(Upload).filter(pk__in=uploads))
            delete(rows_of(AuditSeal).filter(number__gt=kept))
            beside = {"sealing stopped"}
            now = timezone.now() + LATER
            assert found(trail, beside=beside, now=now) == expected
            # Without the bucket, a cut tail shows as seals that stopped.
            named = trail.faults(now=now, read_copies=False)
            assert named == [("sealing stopped", "the trail")]

    @examples
    @given(gone=st.integers(2, LAST - 1))
    def test_seal_from_the_middle(self, trail: Trail, gone: int) -> None:
        with as_owner():
            delete(rows_of(AuditSeal).filter(number=gone))
            assert found(trail) == {("missing", f"seal {gone}")}
            assert ("missing", f"seal {gone}") in trail.faults(read_copies=False)

    @examples
    @given(kept=st.integers(0, LAST - 1), data=st.data())
    def test_rebuilt_with_another_key(
        self, trail: Trail, kept: int, data: st.DataObject
    ) -> None:
        """The tail is cut, its story changed, and sealed again by the attacker."""
        key = SigningKey(b"another key, known to nobody ...")
        with as_owner():
            rows_of(UploadEvent).filter(seal_id__gt=kept).update(
                seal_id=None, actor="nobody"
            )
            delete(rows_of(AuditSeal).filter(number__gt=kept))
            elsewhere = taken_along(trail, key)
            elsewhere.seal()
            named = found(trail, now=timezone.now() + LATER, beside=set())
            assert ("changed", f"seal {kept + 1}") in named
            # The same with the bucket's copies replaced.
            forged = elsewhere.copies.seal(kept + 1)
            with replaced(trail.storage, trail.copies.seal_key(kept + 1), forged):
                named = found(trail, now=timezone.now() + LATER, beside=set())
            assert ("unknown key", f"seal {kept + 1}") in named
            assert ("copy differs", f"seal {kept + 1}") in named

    @examples
    @given(kept=st.integers(0, LAST - 1))
    def test_rebuilt_in_the_name_of_the_key(self, trail: Trail, kept: int) -> None:
        class Impostor(SigningKey):
            def sign(self, seal: Seal) -> Seal:
                signature = super().sign(seal).signature
                return seal.with_signature(bytes.fromhex(signature)[::-1])

        with as_owner():
            delete(rows_of(UploadEvent).filter(seal_id__gt=kept))
            delete(rows_of(AuditSeal).filter(number__gt=kept))
            elsewhere = taken_along(trail, Impostor(KEY._seed))
            elsewhere.seal()
            forged = elsewhere.copies.seal(kept + 1)
            with replaced(trail.storage, trail.copies.seal_key(kept + 1), forged):
                named = found(trail, beside=set())
            assert ("forged signature", f"seal {kept + 1}") in named
            assert ("copy differs", f"seal {kept + 1}") in named


class TestSeals:
    @examples
    @given(data=st.data())
    def test_any_field_changed(self, trail: Trail, data: st.DataObject) -> None:
        with as_owner():
            seal = AuditSeal.objects.get(number=data.draw(st.integers(1, LAST)))
            column = data.draw(
                st.sampled_from(
                    [
                        "sealed_at",
                        "first_event",
                        "last_event",
                        "event_count",
                        "root",
                        "previous",
                        "signature",
                        "key_id",
                        "next_key",
                        "object_key",
                    ]
                )
            )
            value = getattr(seal, column)
            longest = getattr(AuditSeal._meta.get_field(column), "max_length", None)
            changed = data.draw(
                st.integers(1, 9)
                if value is None
                else other(value).filter(
                    lambda v: longest is None or len(str(v)) <= longest
                )
            )
            rows_of(AuditSeal).filter(pk=seal.pk).update(**{column: changed})
            report = trail.verify()
            kind = "forged signature" if column == "signature" else "changed"
            assert [(f.kind.value, f.subject) for f in report.faults] == [
                (kind, f"seal {seal.pk}")
            ]
            if column != "signature":
                assert column in report.faults[0].detail

    @examples
    @given(data=st.data())
    def test_signatures_exchanged(self, trail: Trail, data: st.DataObject) -> None:
        with as_owner():
            numbers = st.integers(1, LAST)
            a, b = data.draw(st.lists(numbers, min_size=2, max_size=2, unique=True))
            signatures = dict(AuditSeal.objects.values_list("number", "signature"))
            rows_of(AuditSeal).filter(pk=a).update(signature=signatures[b])
            rows_of(AuditSeal).filter(pk=b).update(signature=signatures[a])
            expected = {("forged signature", f"seal {n}") for n in (a, b)}
            assert found(trail) == expected
            assert found(trail, read_copies=False) >= expected

    def test_fork_signed_by_the_key(self, trail: Trail) -> None:
        """Who has the private key still cannot replace what the chain goes through."""
        with as_owner():
            row = AuditSeal.objects.get(number=2)
            forged = KEY.sign(
                Seal(**{**_values(seal_of(row)), "event_count": 7, "signature": ""})
            )
            delete(rows_of(AuditSeal).filter(number=2))
            rows_of(AuditSeal).bulk_create([row_of(forged, trail.copies)])
            assert found(trail) == {("changed", "seal 2")}
            # With the copy replaced as well, the next seal still names the first one.
            key = trail.copies.seal_key(2)
            with replaced(trail.storage, key, forged.file_bytes()):
                assert found(trail) == {("broken chain", "seal 3")}


class TestCopies:
    @examples
    @given(data=st.data())
    def test_altered(self, trail: Trail, data: st.DataObject) -> None:
        seal = seal_of(
            AuditSeal.objects.get(number=data.draw(st.sampled_from([1, 3, 4])))
        )
        key, subject = data.draw(
            st.sampled_from(
                [
                    (trail.copies.seal_key(seal.number), f"seal {seal.number}"),
                    (trail.copies.events_key(seal), f"events of seal {seal.number}"),
                ]
            )
        )
        content = bytearray(b"".join(trail.storage.read(key)))
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        with replaced(trail.storage, key, bytes(content)):
            assert trail.faults() == [("copy differs", subject)]

    @examples
    @given(number=st.integers(1, LAST))
    def test_deleted(self, trail: Trail, number: int) -> None:
        seal = seal_of(AuditSeal.objects.get(number=number))
        with replaced(trail.storage, trail.copies.seal_key(number), None):
            assert trail.faults() == [("copy missing", f"seal {number}")]
        if seal.event_count:
            with replaced(trail.storage, trail.copies.events_key(seal), None):
                assert trail.faults() == [("copy missing", f"events of seal {number}")]

    def test_exchanged(self, trail: Trail) -> None:
        first, second = (trail.copies.seal(n) for n in (1, 2))
        with (
            replaced(trail.storage, trail.copies.seal_key(1), second),
            replaced(trail.storage, trail.copies.seal_key(2), first),
        ):
            assert trail.faults() == [
                ("copy differs", "seal 1"),
                ("copy differs", "seal 2"),
            ]

    def test_event_and_its_copy_altered(self, trail: Trail) -> None:
        """The root still tells; only the event cannot be named any more."""
        seal = seal_of(AuditSeal.objects.get(number=1))
        with as_owner():
            rows_of(UploadEvent).filter(seal=1).update(actor="nobody")
            with replaced(trail.storage, trail.copies.events_key(seal), b"{}\n"):
                assert found(trail) == {
                    ("changed", "events of seal 1"),
                    ("copy differs", "events of seal 1"),
                }

    def test_grown(self, trail: Trail) -> None:
        """Whoever lays gigabytes there does not stop the verification."""
        with replaced(trail.storage, trail.copies.seal_key(1), b"x" * 10**6):
            assert trail.faults() == [("copy differs", "seal 1")]
            assert len(trail.copies.seal(1) or b"") < 10**5

    def test_foreign_object(self, trail: Trail) -> None:
        key = f"{trail.prefix}seals/12.json"
        with replaced(trail.storage, key, b"{}"):
            assert trail.faults() == [("invented", f"object {key}")]


def _values(seal: Seal) -> dict[str, Any]:
    return {name: getattr(seal, name) for name in Seal.__dataclass_fields__}


class TestUploads:
    def test_tried_again_from_elsewhere__clean(self, trail: Trail) -> None:
        """The row keeps the first caller; that is no difference."""
        upload = add_uploads(1, stored=False)[0]
        caller = Caller(name="token:ci", address="198.51.100.9", request_id="later")
        record.record(upload, Action.FAILED, caller, detail={"error": "refused"})
        record.begin_again(upload, caller, bucket=upload.bucket)
        record.record(upload, Action.STORED, caller, detail={"etag": "x"}, etag="x")
        trail.seal()
        assert trail.faults() == []

    @examples
    @given(data=st.data())
    def test_any_told_field_changed(self, trail: Trail, data: st.DataObject) -> None:
        with as_owner():
            upload = data.draw(st.sampled_from(list(Upload.objects.all())))
            column = data.draw(
                st.sampled_from(
                    [
                        "bucket",
                        "key",
                        "size",
                        "sha256",
                        "number",
                        "etag",
                        "version_id",
                        "user_agent",
                        "client_address",
                        "requester_name",
                        "request_id",
                        "created_at",
                    ]
                )
            )
            value = getattr(upload, column)
            if column == "client_address":
                changed: Any = "192.0.2.8"
            elif column == "sha256":
                changed = "ba" * 32
            else:
                changed = data.draw(other(value))
            rows_of(Upload).filter(pk=upload.pk).update(**{column: changed})
            report = trail.verify()
        assert [(f.kind.value, f.subject) for f in report.faults] == [
            ("facts differ", f"upload {upload.pk}")
        ]
        assert column in report.faults[0].detail

    @examples
    @given(data=st.data())
    def test_status_changed(self, trail: Trail, data: st.DataObject) -> None:
        with as_owner():
            upload = data.draw(st.sampled_from(list(Upload.objects.all())))
            statuses = [s for s in Status if s != upload.status]
            status = data.draw(st.sampled_from(statuses))
            rows_of(Upload).filter(pk=upload.pk).update(status=status)
            assert trail.faults() == [("status differs", f"upload {upload.pk}")]

    def test_deleted(self, trail: Trail) -> None:
        with as_owner():
            upload = Upload.objects.order_by("id")[2]
            delete(rows_of(Upload).filter(pk=upload.pk))
            assert trail.faults() == [("missing", f"upload {upload.pk}")]

    def test_without_events(self, trail: Trail) -> None:
        with as_owner():
            template = Upload.objects.all()[0]
            template.pk, template.key = new_upload_id(), "uploads/invented.txt"
            rows_of(Upload).bulk_create([template])
            assert trail.faults() == [("invented", f"upload {template.pk}")]
