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
from uploads.audit.serialization import seal_of
from uploads.exceptions import SealError, StoreRefusedError
from uploads.models import AuditSeal, UploadEvent
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db


@pytest.fixture
def locked(bucket: UploadStorage, make_storage: Any) -> Trail:
    name = f"{bucket.bucket_name}-locked"
    bucket.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    storage = make_storage(
        bucket_name=name,
        endpoint_url=bucket.configuration.endpoint_url,
        access_key=bucket.configuration.access_key,
        secret_key=bucket.configuration.secret_key,
    )
    storage.store.use_transport(bucket.store.transport)
    trail = Trail(storage)
    add_uploads(2)
    trail.seal()
    add_uploads(1)
    trail.seal()
    assert trail.faults() == []
    return trail


def copies_of(trail: Trail) -> list[str]:
    seal = seal_of(AuditSeal.objects.get(number=1))
    return [trail.copies.seal_key(1), trail.copies.events_key(seal)]


class TestObjectLock:
    def test_copies_are_locked(self, locked):
        for key in copies_of(locked):
            told = locked.storage.client.head_object(
                Bucket=locked.storage.bucket_name, Key=key
            )
            assert told["ObjectLockMode"] == "COMPLIANCE"
            until: datetime = told["ObjectLockRetainUntilDate"]
            assert until - timezone.now() > timedelta(days=364)

    def test_no_version_can_be_deleted(self, locked):
        client, bucket = locked.storage.client, locked.storage.bucket_name
        for key in copies_of(locked):
            version = next(locked.storage.versions(key)).first_id
            for bypass in (False, True):
                with pytest.raises(ClientError, match="AccessDenied"):
                    client.delete_object(
                        Bucket=bucket,
                        Key=key,
                        VersionId=version,
                        BypassGovernanceRetention=bypass,
                    )
            with pytest.raises(ClientError, match="AccessDenied"):
                client.put_object_retention(
                    Bucket=bucket,
                    Key=key,
                    VersionId=version,
                    Retention={
                        "Mode": "COMPLIANCE",
                        "RetainUntilDate": timezone.now() + timedelta(seconds=1),
                    },
                )

    def test_overwritten_and_deleted__named_and_restored_from_the_first_version(
        self, locked
    ):
        """What lies over a locked version hides it from nobody who asks for it."""
        client, bucket = locked.storage.client, locked.storage.bucket_name
        seal_key, events_key = copies_of(locked)
        client.put_object(Bucket=bucket, Key=events_key, Body=b"{}\n")
        client.delete_object(Bucket=bucket, Key=seal_key)
        with as_owner():
            event = UploadEvent.objects.order_by("id")[0]
            rows_of(UploadEvent).filter(pk=event.pk).update(actor="nobody")
            rows_of(AuditSeal).filter(number=1).update(event_count=5)
            assert locked.faults() == [
                ("changed", f"event {event.pk}"),
                ("changed", "seal 1"),
                ("copy differs", "events of seal 1"),
                ("copy missing", "seal 1"),
                ("facts differ", f"upload {event.upload_id}"),
            ]

    def test_tail_hidden_in_bucket_and_cut_in_database(self, locked):
        """A delete marker takes the seal from the listing, not from its versions."""
        client, bucket = locked.storage.client, locked.storage.bucket_name
        client.delete_object(Bucket=bucket, Key=locked.copies.seal_key(2))
        with as_owner():
            events = rows_of(UploadEvent).filter(seal_id=2)
            delete(events)
            delete(rows_of(AuditSeal).filter(number=2))
            named = locked.faults(now=timezone.now() + timedelta(minutes=10))
            assert ("cut tail", "seal 2") in named
            # Nor does a sealer sign another story in its place.
            with pytest.raises(SealError, match="is not in the database"):
                locked.seal()

    def test_overwritten_and_sealed(self, locked):
        """A newer version that is signed too does not count."""
        key = locked.copies.seal_key(2)
        other = KEY.sign(
            replace(seal_of(AuditSeal.objects.get(number=2)), event_count=5)
        )
        locked.storage.client.put_object(
            Bucket=locked.storage.bucket_name, Key=key, Body=other.file_bytes()
        )
        assert locked.faults() == [("copy differs", "seal 2")]

    def test_versions__over_pages(self, locked):
        client, bucket = locked.storage.client, locked.storage.bucket_name
        for n in range(1003):
            client.put_object(Bucket=bucket, Key=f"many/{n:04d}", Body=b"1")
        for n in (0, 500, 1002):
            client.put_object(Bucket=bucket, Key=f"many/{n:04d}", Body=b"2")
        client.delete_object(Bucket=bucket, Key="many/0007")
        found = list(locked.storage.versions("many/"))
        assert [v.key for v in found] == [f"many/{n:04d}" for n in range(1003)]
        assert [n for n, v in enumerate(found) if not v.is_single] == [0, 7, 500, 1002]
        for versions in found:
            if not versions.is_single:
                assert locked.copies.version(versions) == b"1"


class TestWithoutObjectLock:
    def test_no_retention(self, bucket):
        trail = Trail(bucket)
        assert not bucket.has_object_lock()
        trail.seal()
        told = bucket.client.head_object(
            Bucket=bucket.bucket_name, Key=trail.copies.seal_key(1)
        )
        assert "ObjectLockMode" not in told

    def test_retention_left_to_the_bucket(self, bucket, settings):
        settings.AUDIT_RETENTION_DAYS = 0
        assert Trail(bucket).copies.retention() == {}

    def test_no_answer_is_no_answer(self, bucket, monkeypatch):
        """A permission that is missing must not leave the copies unlocked."""

        def refuse(**options: Any) -> None:
            answer = {
                "Error": {"Code": "AccessDenied"},
                "ResponseMetadata": {"HTTPStatusCode": 403},
            }
            raise ClientError(answer, "GetObjectLockConfiguration")  # type: ignore[arg-type]

        monkeypatch.setattr(bucket.client, "get_object_lock_configuration", refuse)
        with pytest.raises(StoreRefusedError):
            Trail(bucket).seal()
        assert AuditSeal.objects.count() == 0
