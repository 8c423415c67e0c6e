"""The storage on moto: what it asks of S3, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.utils import parse_timestamp
from django.conf import settings
from django.core.files.base import ContentFile
from moto import mock_aws

from uploads.exceptions import (
    ObjectExistsError,
    ObjectMissingError,
    StoreRefusedError,
    StoreUnavailableError,
)
from uploads.storage import BytesPayload, UploadStorage, upload_storage
from uploads.storage.client import parse_store_time
from uploads.storage.errors import error_from_status
from uploads.storage.objects import (
    ObjectVersions,
    stored_object_from_head,
    versions_in_order,
)

METADATA = {"upload-id": "an-id", "request-id": "a-request"}


@pytest.fixture
def storage(make_storage: Any) -> Iterator[UploadStorage]:
    with mock_aws():
        # moto stands in for the client's network only; the other way is tested on a
        # real server.
        made = make_storage(signed_puts=False)
        made.client.create_bucket(Bucket=made.bucket_name)
        yield made


def read(storage: UploadStorage, name: str) -> bytes:
    return b"".join(storage.read(name))


class TestPutNew:
    def test_put_new__what_is_asked(self, storage):
        asked: list[dict[str, Any]] = []
        storage.client.meta.events.register(
            "provide-client-params.s3.PutObject",
            lambda params, **_: asked.append(dict(params)),
        )

        stored = storage.put_new("a/key", BytesPayload(b"content"), METADATA)

        assert stored.size == 7
        assert asked == [
            {
                "Bucket": "mirrorsite-test",
                "Key": "a/key",
                "Body": b"content",
                "ContentType": "application/octet-stream",
                "ChecksumSHA256": "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=",
                "IfNoneMatch": "*",
                "Metadata": {**METADATA, "sha256": stored.sha256},
            }
        ]

    def test_put_new__no_expect_header(self, storage):
        sent: list[Any] = []
        storage.client.meta.events.register(
            "before-send.s3.PutObject",
            lambda request, **_: sent.append(request.headers),
        )
        storage.put_new("key", BytesPayload(b"content"), METADATA)
        assert len(sent) == 1
        assert "Expect" not in sent[0]

    def test_put_new__same_object_again_is_stored(self, storage):
        storage.put_new("key", BytesPayload(b"content"), METADATA)
        again = storage.put_new(
            "key", BytesPayload(b"content"), METADATA | {"request-id": "another"}
        )
        assert again.metadata["request-id"] == "a-request"

    @pytest.mark.parametrize(
        ("content", "metadata"),
        [(b"CONTENT", METADATA), (b"content", METADATA | {"upload-id": "other"})],
    )
    def test_put_new__another_object_is_kept(self, storage, content, metadata):
        storage.put_new("key", BytesPayload(b"content"), METADATA)
        with pytest.raises(ObjectExistsError):
            storage.put_new("key", BytesPayload(content), metadata)
        assert read(storage, "key") == b"content"

    def test_put_new__no_bucket(self, storage):
        storage.client.delete_bucket(Bucket=storage.bucket_name)
        with pytest.raises(StoreRefusedError, match="NoSuchBucket"):
            storage.put_new("key", BytesPayload(b"content"), METADATA)

    def test_put_new__nobody_listens(self, make_storage):
        storage = make_storage(endpoint_url="http://127.0.0.1:1", max_attempts=2)
        with pytest.raises(StoreUnavailableError) as caught:
            storage.put_new("key", BytesPayload(b"content"), METADATA)
        assert caught.value.outcome_unknown is False


@pytest.mark.parametrize(
    ("code", "words"), [("403", "403"), ("AccessDenied", "403 AccessDenied")]
)
def test_error__status_once(code, words):
    error = error_from_status(403, code)
    assert str(error) == f"the object store answered {words}"


class TestDjangoInterface:
    """What django-storages does, on our client and without overwriting."""

    def test_save__does_not_overwrite(self, storage):
        first = storage.save("name.txt", ContentFile(b"one"))
        second = storage.save("name.txt", ContentFile(b"two"))
        assert first == "name.txt"
        assert second != first
        for name, content in ((first, b"one"), (second, b"two")):
            assert storage.exists(name)
            with storage.open(name) as file:
                assert file.read() == content

    def test_url__is_signed_and_short_lived(self, storage):
        url = storage.url("key", expire=60)
        assert "X-Amz-Expires=60" in url
        assert "X-Amz-Signature=" in url

    def test_client__one_for_all_threads(self, storage):
        assert storage.connection.meta.client is storage.client


class TestClient:
    def test_client__a_connection_for_each_thread(self):
        client: Any = upload_storage().client
        assert client.meta.config.max_pool_connections >= settings.WEB_THREADS


class TestReads:
    def test_head__missing(self, storage):
        with pytest.raises(ObjectMissingError):
            storage.head("nothing")

    def test_availability(self, storage):
        assert storage.availability() == "ok"
        storage.client.delete_bucket(Bucket=storage.bucket_name)
        assert storage.availability() == "unavailable: there is no such bucket"

    def test_ensure_bucket(self, storage):
        assert storage.ensure_bucket() is False
        storage.client.delete_bucket(Bucket=storage.bucket_name)
        assert storage.ensure_bucket() is True
        assert storage.availability() == "ok"

    def test_ensure_bucket__other_region(self, make_storage):
        with mock_aws():
            storage = make_storage(region_name="eu-south-1", bucket_name="in-milan")
            assert storage.ensure_bucket() is True
            where = storage.client.get_bucket_location(Bucket="in-milan")
            assert where["LocationConstraint"] == "eu-south-1"

    def test_composite_checksum__is_no_digest(self):
        found = stored_object_from_head(
            {
                "ContentLength": 1,
                "ChecksumSHA256": "AAAA-2",
                "ChecksumType": "COMPOSITE",
                "Metadata": {"sha256": "from-metadata"},
            }
        )
        assert found.sha256 == "from-metadata"


class TestVersions:
    def test_spread_over_two_pages__one_entry_for_each_key(self):
        def version(key: str, name: str) -> dict[str, str]:
            return {"Key": key, "VersionId": name}

        pages = [
            {
                "Versions": [version("a", "a2"), version("b", "b3")],
                "DeleteMarkers": [version("a", "a3")],
            },
            {"Versions": [version("b", "b2"), version("b", "b1"), version("c", "")]},
        ]
        assert list(versions_in_order(pages)) == [
            ObjectVersions("a", "a2", 2),
            ObjectVersions("b", "b1", 3),
            ObjectVersions("c", "null", 1),
        ]


class TestParseStoreTime:
    @pytest.mark.parametrize(
        "value",
        [
            "2026-11-23T18:30:01Z",
            "2009-10-12T17:50:30.000Z",
            "2026-11-23T18:30:01+02:00",
            "Mon, 23 Nov 2026 18:30:01 GMT",
            "20261123T183001Z",
            1_700_000_000,
        ],
    )
    def test_as_botocore(self, value):
        parsed = parse_store_time(value)
        assert parsed == parse_timestamp(value)
        assert parsed.tzinfo is not None

    def test_no_time(self):
        with pytest.raises(ValueError, match="timestamp"):
            parse_store_time("someday Z")
