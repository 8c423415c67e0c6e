"""A bucket with versions and Object Lock, on the real S3 server."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.utils import timezone

from tests.uploads.audit.tampering import as_owner, delete, rows_of
from tests.uploads.audit.trails import KEY, Trail, add_uploads
from tests.uploads.making import delete_object, put_raw
from tests.uploads.making import run_with_errors as run
from uploads.audit.seal_store import PREFIX
from uploads.audit.seals import Sealed
from uploads.audit.serialization import seal_of
from uploads.exceptions import SealError, StoreRefusedError
from uploads.models import AuditSeal, Upload, UploadEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def locked(other_bucket: Any) -> Trail:
    storage = other_bucket(exists=False)
    storage.client.create_bucket(
        Bucket=storage.bucket_name, ObjectLockEnabledForBucket=True
    )
    trail = Trail(storage, prefix=PREFIX)
    add_uploads(2)
    trail.seal()
    add_uploads(1)
    trail.seal()
    assert trail.faults() == []
    return trail


def copies_of(trail: Trail) -> list[str]:
    seal = seal_of(AuditSeal.objects.get(number=1))
    return [trail.store.seal_object_key(1), trail.store.events_object_key(seal)]


class TestObjectLock:
    def test_copies_are_locked__no_version_can_be_deleted(self, locked):
        client, bucket = locked.storage.client, locked.storage.bucket_name
        for key in copies_of(locked):
            told = client.head_object(Bucket=bucket, Key=key)
            assert told["ObjectLockMode"] == "COMPLIANCE"
            until: datetime = told["ObjectLockRetainUntilDate"]
            assert until - timezone.now() > timedelta(days=364)
            version = next(locked.storage.versions(key)).oldest_id
            place = {"Bucket": bucket, "Key": key, "VersionId": version}
            for bypass in (False, True):
                with pytest.raises(ClientError, match="AccessDenied"):
                    client.delete_object(**place, BypassGovernanceRetention=bypass)
            soon = timezone.now() + timedelta(seconds=1)
            with pytest.raises(ClientError, match="AccessDenied"):
                client.put_object_retention(
                    **place, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": soon}
                )

    def test_overwritten_and_deleted__named_and_restored_from_the_first_version(
        self, locked
    ):
        """What lies over a locked version hides it from nobody who asks for it."""
        seal_key, events_key = copies_of(locked)
        put_raw(locked.storage, events_key, b"{}\n")
        delete_object(locked.storage, seal_key)
        with as_owner():
            event = UploadEvent.objects.order_by("id")[0]
            rows_of(UploadEvent).filter(pk=event.pk).update(actor="nobody")
            rows_of(AuditSeal).filter(number=1).update(event_count=5)
            assert locked.faults() == [
                ("changed", f"event {event.pk}"),
                ("changed", "seal 1"),
                ("copy differs", "events of seal 1"),
                ("copy differs", f"object {events_key}"),
                ("copy missing", "seal 1"),
                ("facts differ", f"upload {event.upload_id}"),
            ]

    def test_overwritten_and_put_back__named(self, locked):
        seal_key, events_key = copies_of(locked)
        for key in (seal_key, events_key):
            content = b"".join(locked.storage.read(key))
            for body in (b"{}\n", content):
                put_raw(locked.storage, key, body)
        assert locked.faults() == [
            ("copy differs", f"object {events_key}"),
            ("copy differs", "seal 1"),
        ]
        assert locked.faults(since=2) == []

    @pytest.mark.parametrize("content", [None, b"{}\n"])
    def test_events_hidden__seal_finished_or_restored(self, locked, settings, content):
        """By a delete marker, or by a newer version: the first version is read."""
        settings.AUDIT_SIGNING_KEY = None
        settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
        seal = seal_of(AuditSeal.objects.get(number=2))
        key = locked.store.events_object_key(seal)
        if content is None:
            delete_object(locked.storage, key)
        else:
            put_raw(locked.storage, key, content)
        with as_owner():
            events = rows_of(UploadEvent).filter(seal=2)
            uploads = list(events.values_list("upload", flat=True))
            delete(events)
            delete(rows_of(Upload).filter(pk__in=uploads))
            delete(rows_of(AuditSeal).filter(number=2))
            restored = "restored seal 2 with 2 lost events\n"
            assert run("restore_events") == (0, restored)
        with as_owner():
            rows_of(UploadEvent).filter(seal=2).update(seal=None)
            delete(rows_of(AuditSeal).filter(number=2))
            expected = Sealed(number=2, event_count=2, is_recovered=True)
            assert locked.seal()[0] == expected

    def test_tail_hidden_in_bucket_and_cut_in_database(self, locked):
        """A delete marker takes the seal from the listing, not from its versions."""
        delete_object(locked.storage, locked.store.seal_object_key(2))
        with as_owner():
            delete(rows_of(UploadEvent).filter(seal_id=2))
            delete(rows_of(AuditSeal).filter(number=2))
            named = locked.faults(now=timezone.now() + timedelta(minutes=10))
            assert ("cut tail", "seal 2") in named
            # Nor does a sealer sign another story in its place.
            with pytest.raises(SealError, match="is not in the database"):
                locked.seal()

    def test_overwritten_and_sealed(self, locked):
        """A newer version that is signed too does not count."""
        key = locked.store.seal_object_key(2)
        other = KEY.sign_seal(
            replace(seal_of(AuditSeal.objects.get(number=2)), event_count=5)
        )
        put_raw(locked.storage, key, other.file_bytes())
        assert locked.faults() == [("copy differs", "seal 2")]

    def test_versions__over_pages(self, locked):
        keys = [f"many/{n}" for n in range(7)]
        for key in keys:
            put_raw(locked.storage, key, b"1")
        for key in (keys[0], keys[3], keys[6]):
            put_raw(locked.storage, key, b"2")
        delete_object(locked.storage, keys[4])
        events = locked.storage.client.meta.events
        listing = "provide-client-params.s3.ListObjectVersions"
        events.register(listing, _two_at_a_time)
        try:
            found = list(locked.storage.versions("many/"))
        finally:
            events.unregister(listing, _two_at_a_time)
        assert [v.key for v in found] == keys
        assert [n for n, v in enumerate(found) if not v.is_single] == [0, 3, 4, 6]
        for versions in found:
            if not versions.is_single:
                first = locked.storage.read(versions.key, version_id=versions.oldest_id)
                assert b"".join(first) == b"1"


def _two_at_a_time(params: dict[str, Any], **_: Any) -> dict[str, Any]:
    return params | {"MaxKeys": 2}


class TestWithoutObjectLock:
    def test_no_retention(self, bucket):
        trail = Trail(bucket)
        assert not bucket.has_object_lock()
        trail.seal()
        told = bucket.client.head_object(
            Bucket=bucket.bucket_name, Key=trail.store.seal_object_key(1)
        )
        assert "ObjectLockMode" not in told

    def test_retention_left_to_the_bucket(self, bucket, settings):
        settings.AUDIT_RETENTION_DAYS = 0
        assert Trail(bucket).store.locked_until() is None

    def test_no_answer_is_no_answer(self, bucket, make_fail):
        """A permission that is missing must not leave the copies unlocked."""
        answer = {
            "Error": {"Code": "AccessDenied"},
            "ResponseMetadata": {"HTTPStatusCode": 403},
        }
        refusal = ClientError(answer, "GetObjectLockConfiguration")  # type: ignore[arg-type]
        make_fail(bucket.client, "get_object_lock_configuration", refusal)
        with pytest.raises(StoreRefusedError):
            Trail(bucket).seal()
        assert AuditSeal.objects.count() == 0
