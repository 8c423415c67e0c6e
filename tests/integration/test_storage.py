"""The storage on the real S3 server, and on one that misbehaves."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.faulty_store import HANG_SECONDS
from uploads.exceptions import (
    ObjectExistsError,
    ObjectMissingError,
    StoreRefusedError,
    StoreUnavailableError,
)
from uploads.payloads import RandomNumbers
from uploads.storage import PART_BYTES, BytesPayload, UploadStorage, upload_storage

pytestmark = pytest.mark.integration

METADATA = {"upload-id": "an-id", "request-id": "a-request"}
LARGE = PART_BYTES + 12_345  # two parts


def content_of(bucket: UploadStorage, key: str) -> bytes:
    return b"".join(bucket.read(key))


def unfinished(bucket: UploadStorage) -> list[Any]:
    answer = bucket.client.list_multipart_uploads(Bucket=bucket.bucket_name)
    return list(answer.get("Uploads", []))


class TestWholeObject:
    def test_stored__and_again(self, bucket):
        stored = bucket.put_new("key", BytesPayload(b"content"), METADATA)
        again = bucket.put_new(
            "key", BytesPayload(b"content"), METADATA | {"request-id": "another"}
        )
        assert content_of(bucket, "key") == b"content"
        found = bucket.head("key")
        assert found.sha256 == hashlib.sha256(b"content").hexdigest()
        assert found.metadata == {**METADATA, "sha256": found.sha256}
        assert found.etag == stored.etag == again.etag

    @pytest.mark.parametrize(
        ("content", "metadata"),
        [(b"CONTENT", METADATA), (b"content", METADATA | {"upload-id": "other"})],
    )
    def test_another_object__is_kept(self, bucket, content, metadata):
        bucket.put_new("key", BytesPayload(b"content"), METADATA)
        with pytest.raises(ObjectExistsError):
            bucket.put_new("key", BytesPayload(content), metadata)
        assert content_of(bucket, "key") == b"content"

    def test_wrong_checksum__is_refused(self, bucket):
        payload = BytesPayload(b"content")
        payload.sha256 = hashlib.sha256(b"other").hexdigest()
        with pytest.raises(StoreRefusedError):
            bucket.put_new("key", payload, METADATA)
        with pytest.raises(ObjectMissingError):
            bucket.head("key")

    def test_no_bucket__is_refused(self, bucket):
        bucket.client.delete_bucket(Bucket=bucket.bucket_name)
        with pytest.raises(StoreRefusedError, match="NoSuchBucket"):
            bucket.put_new("key", BytesPayload(b"content"), METADATA)


class TestRealServer:
    @pytest.mark.parametrize("size", [PART_BYTES, PART_BYTES + 1])
    def test_around_the_part_size(self, bucket, size):
        payload = RandomNumbers(b"seed", size)
        stored = bucket.put_new("key", payload, METADATA)

        assert hashlib.sha256(content_of(bucket, "key")).hexdigest() == payload.sha256
        found = bucket.head("key")
        assert (found.size, found.sha256, found.etag) == (
            size,
            payload.sha256,
            stored.etag,
        )
        assert ("-" in stored.etag) == (size > PART_BYTES)
        assert unfinished(bucket) == []

    def test_in_parts__never_overwrites(self, bucket):
        first = RandomNumbers(b"first", LARGE)
        bucket.put_new("key", first, METADATA)
        with pytest.raises(ObjectExistsError):
            bucket.put_new("key", RandomNumbers(b"second", LARGE), METADATA)
        assert hashlib.sha256(content_of(bucket, "key")).hexdigest() == first.sha256
        assert unfinished(bucket) == []

    def test_eight_at_once__one_object(self, bucket):
        def put(number: int) -> str:
            try:
                bucket.put_new("key", BytesPayload(b"%d" % number), METADATA)
            except ObjectExistsError:
                return "exists"
            return "stored"

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(put, range(8)))
        assert sorted(outcomes) == ["exists"] * 7 + ["stored"]

    def test_wrong_credentials__is_refused(self, bucket, make_storage):
        stranger = make_storage(
            bucket_name=bucket.bucket_name,
            endpoint_url=bucket.configuration.endpoint_url,
            secret_key="guessed",
        )
        with pytest.raises(StoreRefusedError, match="403"):
            stranger.put_new("key", BytesPayload(b"content"), METADATA)
        assert stranger.availability() == "unavailable: the bucket refuses access"

    def test_taken__by_other_bytes_that_claim_to_be_ours(self, bucket):
        """The server tells no checksum, and the metadata is anybody's."""
        payload = BytesPayload(b"content")
        bucket.client.put_object(
            Bucket=bucket.bucket_name,
            Key="key",
            Body=b"CONTENT",
            Metadata=METADATA | {"sha256": payload.sha256},
        )
        with pytest.raises(ObjectExistsError):
            bucket.put_new("key", payload, METADATA)


class TestFaults:
    """`outcome_unknown` is true exactly when the object may be there."""

    @pytest.mark.parametrize(
        ("fault", "size"),
        [("500", 10), ("503", 10), ("lose_request", 10), ("lose_answer", LARGE)],
    )
    def test_one_fault__stored_at_the_second_attempt(
        self, faulty_store, bucket, fault, size
    ):
        faulty_store.first("PUT", fault)
        payload = RandomNumbers(b"seed", size)
        upload_storage().put_new("key", payload, METADATA)
        assert hashlib.sha256(content_of(bucket, "key")).hexdigest() == payload.sha256

    @pytest.mark.parametrize(("method", "size"), [("PUT", 10), ("POST", LARGE)])
    def test_lost_answers__object_is_found(self, faulty_store, bucket, method, size):
        """Those of a PUT, and of the request that completes an upload in parts."""
        faulty_store.plan = lambda asked, path: (
            "lose_answer" if asked == method and "?uploads" not in path else "pass"
        )
        payload = RandomNumbers(b"seed", size)
        stored = upload_storage().put_new("key", payload, METADATA)
        found = bucket.head("key")
        assert (stored.sha256, stored.etag) == (payload.sha256, found.etag)

    def test_no_answer__ends_in_time_and_is_open(self, faulty_store, make_storage):
        make_storage(connect_timeout=1.0, read_timeout=0.5)
        faulty_store.always("PUT", "hang")
        before = time.monotonic()
        with pytest.raises(StoreUnavailableError) as caught:
            upload_storage().put_new("key", BytesPayload(b"content"), METADATA)
        assert caught.value.outcome_unknown is True
        assert time.monotonic() - before < HANG_SECONDS / 2

    @pytest.mark.parametrize(
        ("first", "head", "is_found"),
        [
            ("lose_answer", "403", False),
            ("lose_answer", "pass", True),
            ("500", "pass", False),
        ],
    )
    def test_refused_after_an_open_outcome__is_open_unless_found(
        self, faulty_store, first, head, is_found
    ):
        """A refusal says nothing of the attempt before it, whose answer was lost."""
        faults = iter([first, "403"])
        faulty_store.plan = lambda method, path: (
            next(faults) if method == "PUT" else head
        )
        if is_found:
            upload_storage().put_new("key", BytesPayload(b"content"), METADATA)
            return
        with pytest.raises(StoreUnavailableError) as caught:
            upload_storage().put_new("key", BytesPayload(b"content"), METADATA)
        assert caught.value.outcome_unknown is True

    @pytest.mark.parametrize("fault", ["403", "500"])
    def test_taken_and_not_to_be_looked_at__is_open(self, faulty_store, bucket, fault):
        """The object under the key may be the one that was meant."""
        bucket.put_new("key", BytesPayload(b"content"), METADATA)
        faulty_store.always("HEAD", fault)
        with pytest.raises(StoreUnavailableError) as caught:
            upload_storage().put_new("key", BytesPayload(b"content"), METADATA)
        assert caught.value.outcome_unknown is True

    def test_upload_in_parts_not_begun__nothing_can_be_there(
        self, faulty_store, bucket
    ):
        faulty_store.plan = lambda method, path: (
            "lose_answer" if path.endswith("uploads") else "pass"
        )
        with pytest.raises(StoreUnavailableError) as caught:
            upload_storage().put_new("key", RandomNumbers(b"seed", LARGE), METADATA)
        assert caught.value.outcome_unknown is False
        with pytest.raises(ObjectMissingError):
            bucket.head("key")

    @pytest.mark.parametrize("fault", ["403", "500"])
    def test_part_fails__upload_is_aborted(self, faulty_store, bucket, fault):
        faulty_store.plan = lambda method, path: (
            fault if "partNumber=2" in path else "pass"
        )
        with pytest.raises((StoreRefusedError, StoreUnavailableError)) as caught:
            upload_storage().put_new("key", RandomNumbers(b"seed", LARGE), METADATA)
        assert getattr(caught.value, "outcome_unknown", False) is False
        assert unfinished(bucket) == []
        with pytest.raises(ObjectMissingError):
            bucket.head("key")
