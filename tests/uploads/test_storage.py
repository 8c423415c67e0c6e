"""The storage behind Django's interface; tests/integration/test_storage has the rest."""

from __future__ import annotations

import pytest
from botocore.utils import parse_timestamp
from django.core.files.base import ContentFile
from moto import mock_aws

from tests.uploads.making import run
from uploads.storage.configuration import parse_store_time
from uploads.storage.errors import error_from_status


@pytest.mark.parametrize(
    ("code", "words"), [("403", "403"), ("AccessDenied", "403 AccessDenied")]
)
def test_error__status_once(code, words):
    error = error_from_status(403, code)
    assert str(error) == f"the object store answered {words}"


class TestDjangoInterface:
    """What django-storages does, on our client and without overwriting."""

    def test_save__does_not_overwrite(self, bucket):
        first = bucket.save("name.txt", ContentFile(b"one"))
        second = bucket.save("name.txt", ContentFile(b"two"))
        assert first == "name.txt"
        assert second != first
        for name, content in ((first, b"one"), (second, b"two")):
            assert bucket.exists(name)
            with bucket.open(name) as file:
                assert file.read() == content

    def test_url__is_signed_and_short_lived(self, bucket):
        url = bucket.url("key", expire=60)
        assert "X-Amz-Expires=60" in url
        assert "X-Amz-Signature=" in url

    def test_client__one_for_all_threads(self, bucket):
        assert bucket.connection.meta.client is bucket.client


def test_ensure_bucket__creates_once(other_bucket):
    name = other_bucket(exists=False).bucket_name
    assert run("ensure_bucket") == (0, f"bucket {name}: created\n")
    assert run("ensure_bucket") == (0, f"bucket {name}: exists\n")
    exists = f'{{"bucket": "{name}", "state": "exists"}}\n'
    assert run("ensure_bucket", "--json") == (0, exists)


@mock_aws
def test_bucket_of_another_region__is_created_there(make_storage):
    storage = make_storage(region_name="eu-south-1", bucket_name="in-milan")
    # moto answers a handler of the same event: without ours, only its answer counts.
    send = storage.store.transport.http.send_prepared
    storage.client.meta.events.unregister("before-send", send)
    assert storage.ensure_bucket() is True
    where = storage.client.get_bucket_location(Bucket="in-milan")
    assert where["LocationConstraint"] == "eu-south-1"


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
