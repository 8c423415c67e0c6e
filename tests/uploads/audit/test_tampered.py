"""Each way of tampering is found and named; an untouched trail passes.

One trail serves a whole test: what is done to the database is rolled back, and what is
done to the bucket is put back. It includes values that no column of ours ever held, but
that the database's owner can put there: they stop neither the sealer nor the
verification of everything else, which would be the better attack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from mirrorsite.actors import Actor
from tests.uploads import making
from tests.uploads.audit.tampering import (
    as_owner,
    delete,
    drop_primary_key,
    execute,
    insert_twin,
    replaced,
    rows_of,
    swap_events,
)
from tests.uploads.audit.trails import KEY, Trail, add_uploads
from tests.uploads.making import put_raw
from uploads import projection, transitions
from uploads.audit.canonical import Seal
from uploads.audit.keys import SigningKey
from uploads.audit.serialization import row_of, seal_of
from uploads.exceptions import SealError, StoreRefusedError, TrailUnavailableError
from uploads.models import Action, AuditSeal, Status, Upload, UploadEvent, new_upload_id
from uploads.orphans import record_orphan
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db

SEALS = (2, 0, 3, 1, 0)  # uploads under each seal
LAST = len(SEALS)
#: What an altered event does to the upload it tells of.
OF_UPLOADS = {"status differs", "facts differ"}
LATER = timedelta(minutes=10)

OTHER_HEX = "translate({}, '0123456789abcdef', '123456789abcdef0')"
A_BIT_LATER = "{} + interval '1 microsecond'"
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
#: PostgreSQL has these values, and Python has not; null has a line of its own.
UNREADABLE = (
    ("at", "'infinity'"),
    ("at", "'0044-03-15 BC'"),
    ("at", "'12000-01-01'"),
    ("detail", "jsonb_set({}, '{{size}}', '4.0')"),
    ("detail", f"'{'[' * 5000 + ']' * 5000}'"),
    ("detail", f"""'{{{{"size": {"9" * 5000}}}}}'"""),
    ("detail", "'null'"),
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
OF_SEALS = (
    ("sealed_at", A_BIT_LATER),
    ("first_event", "coalesce({}, 0) + 1"),
    ("last_event", "coalesce({}, 0) + 1"),
    ("event_count", "{} + 1"),
    ("root", OTHER_HEX),
    ("previous", OTHER_HEX),
    ("signature", OTHER_HEX),
    ("key_id", OTHER_HEX),
    ("next_key", "'ab'"),
    ("object_key", "{} || 'x'"),
)


@pytest.fixture
def trail(bucket: UploadStorage) -> Trail:
    trail = Trail(bucket)
    for count in SEALS:
        add_uploads(count)
        trail.seal()
    assert trail.faults() == []
    return trail


def assign(table: str, where: str, column: str, value: str) -> None:
    statement = f"UPDATE {table} SET {column} = {value.format(column)} WHERE {where}"  # noqa: S608
    assert execute(statement) == 1


def each(
    table: str, where: str, changes: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, str]]:
    """Change one column after the other, and take each change back again."""
    with as_owner():
        for column, value in changes:
            with transaction.atomic():
                assign(table, where, column, value)
                yield column, value[:80]
                transaction.set_rollback(True)


def event_ids(**which: Any) -> list[int]:
    found = UploadEvent.objects.filter(**which).order_by("id")
    return list(found.values_list("id", flat=True))


def an_event() -> UploadEvent:
    """Return an unsaved copy of an event, a second later."""
    event = UploadEvent.objects.order_by("id")[0]
    event.pk, event.at = None, event.at + timedelta(seconds=1)
    return event


def found(
    trail: Trail, *, beside: set[str] = OF_UPLOADS, **options: Any
) -> set[tuple[str, str]]:
    """Return the faults, without those of other kinds that come with them."""
    return {fault for fault in trail.faults(**options) if fault[0] not in beside}


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


class TestSeals:
    @pytest.mark.parametrize("number", [1, LAST])
    def test_any_field_changed(self, trail, number):
        for column, _ in each("uploads_auditseal", f"number = {number}", OF_SEALS):
            (fault,) = trail.verify().faults
            kind = "forged signature" if column == "signature" else "changed"
            assert (fault.kind, fault.subject) == (kind, f"seal {number}"), column
            assert column == "signature" or column in fault.detail

    @pytest.mark.parametrize("number", [2, LAST])
    def test_time_unreadable(self, trail, number):
        change = (("sealed_at", "'infinity'"),)
        for _ in each("uploads_auditseal", f"number = {number}", change):
            assert trail.faults() == [("changed", f"seal {number}")]
            # What it was to be compared with is named by a run over everything.
            if number != LAST:
                stopped = ("sealing stopped", "the audit trail")
                assert stopped not in trail.faults(since=LAST)

    def test_time_unreadable__its_events_are_checked(self, trail):
        event = event_ids(seal=3)[0]
        with as_owner():
            assign("uploads_uploadevent", f"id = {event}", "actor", "'x'")
            assign("uploads_auditseal", "number = 3", "sealed_at", "'infinity'")
            expected = {("changed", "seal 3"), ("changed", f"event {event}")}
            assert found(trail) == expected

    def test_time_unreadable__the_key_it_announces_is_trusted(self, trail):
        new = SigningKey.generate()
        trail.seal(next_key=new.public_key)
        trail.seal(signing_key=new)
        announcing = LAST + 1
        with as_owner():
            seal = f"number = {announcing}"
            assign("uploads_auditseal", seal, "sealed_at", "'infinity'")
            assert trail.faults() == [("changed", f"seal {announcing}")]

    @pytest.mark.parametrize("time", ["infinity", "-infinity"])
    def test_time_unreadable__since(self, trail, time):
        last = AuditSeal.objects.get(number=LAST).sealed_at
        with as_owner():
            seal = f"number = {LAST}"
            assign("uploads_auditseal", seal, "sealed_at", f"'{time}'")
            for since in (last, last + timedelta(days=1)):
                assert trail.faults(since=since) == [("changed", f"seal {LAST}")]

    def test_since__rows_before_the_start_deleted(self, trail):
        """The rows choose the start of `since`: without seal 3, it would be seal 4."""
        since = AuditSeal.objects.get(number=3).sealed_at
        with as_owner():
            delete(rows_of(UploadEvent).filter(seal_id=3))
            delete(rows_of(AuditSeal).filter(number=3))
            for start in (since, 4):
                assert ("missing", "seal 3") in trail.faults(since=start)
                assert ("missing", "seal 3") in trail.faults(
                    since=start, read_copies=False
                )

    @pytest.mark.parametrize("time", ["-infinity", "2020-01-01"])
    def test_since__rows_dated_before_the_start(self, trail, time):
        since = AuditSeal.objects.get(number=3).sealed_at
        with as_owner():
            execute("UPDATE uploads_uploadevent SET actor = 'x' WHERE seal_id = 3")
            execute(
                "UPDATE uploads_auditseal SET sealed_at = %s WHERE number = 3", time
            )
            found_since = trail.faults(since=since)
        unreadable, dated = ("changed", "seal 3"), ("broken chain", "seal 4")
        assert (unreadable if time == "-infinity" else dated) in found_since

    @pytest.mark.parametrize("pair", [(1, 2), (3, LAST)])
    def test_signatures_exchanged(self, trail, pair):
        signatures = dict(AuditSeal.objects.values_list("number", "signature"))
        with as_owner():
            for number, other in (pair, pair[::-1]):
                row = rows_of(AuditSeal).filter(pk=number)
                row.update(signature=signatures[other])
            expected = {("forged signature", f"seal {n}") for n in pair}
            assert found(trail) == expected
            assert found(trail, read_copies=False) >= expected

    def test_fork_signed_by_the_key(self, trail):
        """Who has the private key still cannot replace what the chain goes through."""
        with as_owner():
            seal = seal_of(AuditSeal.objects.get(number=2))
            forged = KEY.sign_seal(replace(seal, event_count=7, signature=""))
            delete(rows_of(AuditSeal).filter(number=2))
            rows_of(AuditSeal).bulk_create([row_of(forged, trail.store)])
            assert found(trail) == {("changed", "seal 2")}
            # With the copy replaced as well, the next seal still names the first one.
            key = trail.store.seal_object_key(2)
            with replaced(trail.storage, key, forged.file_bytes()):
                assert found(trail) == {
                    ("broken chain", "seal 3"),
                    ("changed", "events of seal 2"),  # it miscounts them
                }

    @pytest.mark.parametrize("number", [2, LAST])
    @pytest.mark.parametrize("value", ["NULL", "upper({})"])
    def test_signature_null_or_in_capitals(self, trail, number, value):
        forged = ("forged signature", f"seal {number}")
        with as_owner():
            execute("ALTER TABLE uploads_auditseal ALTER signature DROP NOT NULL")
            assign("uploads_auditseal", f"number = {number}", "signature", value)
            assert trail.faults() == [forged]
            assert forged in trail.faults(read_copies=False)

    def test_number_null(self, trail):
        with as_owner():
            seal = f"number = {LAST}"
            drop_primary_key("uploads_auditseal", "number")
            insert_twin("uploads_auditseal", seal, number="NULL")
            assert trail.faults() == [("invented", "seal None")]


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


def test_column_of_another_type(trail):
    with as_owner():
        execute("ALTER TABLE uploads_auditseal ALTER number TYPE numeric")
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


class TestCopies:
    @pytest.mark.parametrize("number", [1, 3, 4])
    def test_altered(self, trail, number):
        seal = seal_of(AuditSeal.objects.get(number=number))
        for key, subject in (
            (trail.store.seal_object_key(number), f"seal {number}"),
            (trail.store.events_object_key(seal), f"events of seal {number}"),
        ):
            whole = b"".join(trail.storage.read(key))
            for place in (0, len(whole) // 2, len(whole) - 1):
                content = bytearray(whole)
                content[place] ^= 1
                with replaced(trail.storage, key, bytes(content)):
                    assert trail.faults() == [("copy differs", subject)]

    @pytest.mark.parametrize("number", [1, 2, LAST])
    def test_deleted(self, trail, number):
        seal = seal_of(AuditSeal.objects.get(number=number))
        with replaced(trail.storage, trail.store.seal_object_key(number), None):
            assert trail.faults() == [("copy missing", f"seal {number}")]
        if seal.event_count:
            with replaced(trail.storage, trail.store.events_object_key(seal), None):
                assert trail.faults() == [("copy missing", f"events of seal {number}")]

    @pytest.mark.parametrize(
        "line", [b"{}\n", b"[]\n", b"\xff\n", b"[" * 10**5 + b"\n"]
    )
    def test_signed_and_no_event(self, trail, line):
        """Whoever stole the key does not crash the verification or the sealer."""
        last = seal_of(AuditSeal.objects.get(number=LAST))
        root = hashlib.sha256(line).hexdigest()
        number = LAST + 1
        forged = replace(last, number=number, root=root, previous=last.hash())
        trail.store.put(KEY.sign_seal(forged), line)
        assert ("cut tail", f"seal {number}") in trail.faults()
        with pytest.raises(SealError, match="a line is not an event"):
            trail.seal()
        with as_owner():
            row_of(KEY.sign_seal(forged), trail.store).save(force_insert=True)
            assert trail.faults() == [("changed", f"events of seal {number}")]

    def test_miscounted_by_the_key(self, trail):
        last = seal_of(AuditSeal.objects.get(number=LAST))
        forged = replace(
            last, number=LAST + 1, previous=last.hash(), event_count=0, first_event=7
        )
        trail.store.put(KEY.sign_seal(forged), b"")
        row_of(KEY.sign_seal(forged), trail.store).save(force_insert=True)
        assert trail.faults() == [("changed", f"events of seal {LAST + 1}")]

    def test_exchanged(self, trail):
        first, second = (trail.store.seal(n) for n in (1, 2))
        with (
            replaced(trail.storage, trail.store.seal_object_key(1), second),
            replaced(trail.storage, trail.store.seal_object_key(2), first),
        ):
            assert found(trail) == {("copy differs", f"seal {n}") for n in (1, 2)}

    def test_event_and_its_copy_altered(self, trail):
        """The root still tells; only the event cannot be named any more."""
        seal = seal_of(AuditSeal.objects.get(number=1))
        with as_owner():
            rows_of(UploadEvent).filter(seal=1).update(actor="nobody")
            with replaced(trail.storage, trail.store.events_object_key(seal), b"{}\n"):
                assert found(trail) == {
                    ("changed", "events of seal 1"),
                    ("copy differs", "events of seal 1"),
                }

    @pytest.mark.parametrize("code", ["InvalidObjectState", "KMS.DisabledException"])
    def test_unreadable(self, trail, monkeypatch, code):
        """Archived, or encrypted with another key: the others are verified all the same."""
        seal = seal_of(AuditSeal.objects.get(number=1))
        read = UploadStorage.read
        for key, subject in (
            (trail.store.seal_object_key(1), "seal 1"),
            (trail.store.events_object_key(seal), "events of seal 1"),
        ):

            def refuse(
                storage: UploadStorage, asked: str, *rest: Any, **options: Any
            ) -> Iterator[bytes]:
                if asked == key:  # noqa: B023 used before the next one
                    raise StoreRefusedError(f"403 {code}", code)
                yield from read(storage, asked, *rest, **options)

            monkeypatch.setattr(UploadStorage, "read", refuse)
            assert trail.faults() == [("copy differs", subject)]

    def test_grown(self, trail):
        """Whoever lays gigabytes there does not stop the verification."""
        with replaced(trail.storage, trail.store.seal_object_key(1), b"x" * 10**6):
            assert trail.faults() == [("copy differs", "seal 1")]
            assert len(trail.store.seal(1) or b"") < 10**5

    @pytest.mark.parametrize(
        "name", ["seals/12.json", "events/x", "events/0000000001-ab.jsonl"]
    )
    def test_foreign_object(self, trail, name):
        key = f"{trail.prefix}{name}"
        with replaced(trail.storage, key, b"{}"):
            assert trail.faults() == [("invented", f"object {key}")]
            assert trail.faults(read_copies=False) == []


def cut(**which: Any) -> None:
    """Delete these seals with all that is under them."""
    events = rows_of(UploadEvent).filter(
        **{f"seal_id__{k}": v for k, v in which.items()}
    )
    uploads = list(events.values_list("upload_id", flat=True))
    delete(events)
    delete(rows_of(Upload).filter(pk__in=uploads))
    delete(rows_of(AuditSeal).filter(**{f"number__{k}": v for k, v in which.items()}))


def taken_along(trail: Trail, key: SigningKey) -> Trail:
    """Return a corner of the attacker's own, with copies of the seals there are."""
    elsewhere = Trail(trail.storage, key=key)
    for seal in AuditSeal.objects.all():
        copy = trail.store.seal(seal.number) or b""
        put_raw(trail.storage, elsewhere.store.seal_object_key(seal.number), copy)
    return elsewhere


class Impostor(SigningKey):
    """Signs in the name of a key that it does not have."""

    def sign_seal(self, seal: Seal) -> Seal:
        signature = super().sign_seal(seal).signature
        return replace(seal, signature=bytes.fromhex(signature)[::-1].hex())


class TestCuts:
    @pytest.mark.parametrize("last", [1, LAST - 1])
    def test_head(self, trail, last):
        with as_owner():
            expected = {("missing", f"event {pk}") for pk in event_ids(seal__lte=last)}
            expected |= {("missing", f"seal {n}") for n in range(1, last + 1)}
            cut(lte=last)
            assert found(trail) == expected

    @pytest.mark.parametrize("kept", [0, 2, LAST - 1])
    def test_tail(self, trail, kept):
        """With nothing kept everything was deleted."""
        with as_owner():
            expected = {("missing", f"event {pk}") for pk in event_ids(seal__gt=kept)}
            expected |= {("cut tail", f"seal {n}") for n in range(kept + 1, LAST + 1)}
            cut(gt=kept)
            now = timezone.now() + LATER
            assert found(trail, beside={"sealing stopped"}, now=now) == expected
            # Without the bucket, a cut tail shows as seals that stopped.
            named = trail.faults(now=now, read_copies=False)
            assert named == [("sealing stopped", "the audit trail")]

    @pytest.mark.parametrize("gone", range(2, LAST))
    def test_seal_from_the_middle(self, trail, gone):
        with as_owner():
            delete(rows_of(AuditSeal).filter(number=gone))
            assert found(trail) == {("missing", f"seal {gone}")}
            assert ("missing", f"seal {gone}") in trail.faults(read_copies=False)

    @pytest.mark.parametrize("kept", [0, 2, LAST - 1])
    def test_rebuilt_with_another_key(self, trail, kept):
        """The tail is cut, its story changed, and sealed again by the attacker."""
        key = SigningKey(b"another key, known to nobody ...")
        options: dict[str, Any] = {"now": timezone.now() + LATER, "beside": set()}
        with as_owner():
            tail = rows_of(UploadEvent).filter(seal_id__gt=kept)
            tail.update(seal_id=None, actor="nobody")
            delete(rows_of(AuditSeal).filter(number__gt=kept))
            elsewhere = taken_along(trail, key)
            elsewhere.seal()
            assert ("changed", f"seal {kept + 1}") in found(trail, **options)
            # The same with the bucket's copies replaced.
            forged = elsewhere.store.seal(kept + 1)
            with replaced(trail.storage, trail.store.seal_object_key(kept + 1), forged):
                named = found(trail, **options)
            assert ("unknown key", f"seal {kept + 1}") in named
            assert ("copy differs", f"seal {kept + 1}") in named

    @pytest.mark.parametrize("kept", [0, 2, LAST - 1])
    def test_rebuilt_in_the_name_of_the_key(self, trail, kept):
        with as_owner():
            delete(rows_of(UploadEvent).filter(seal_id__gt=kept))
            delete(rows_of(AuditSeal).filter(number__gt=kept))
            elsewhere = taken_along(trail, Impostor(KEY._seed))
            elsewhere.seal()
            forged = elsewhere.store.seal(kept + 1)
            with replaced(trail.storage, trail.store.seal_object_key(kept + 1), forged):
                named = found(trail, beside=set())
            assert ("forged signature", f"seal {kept + 1}") in named
            assert ("copy differs", f"seal {kept + 1}") in named


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
