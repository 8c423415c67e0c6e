"""Every request to the store follows one configuration, and every failure is ours."""

from __future__ import annotations

import base64
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured
from prometheus_client import REGISTRY
from rest_framework.test import APIClient

from mirrorsite.aws_configuration import check_aws_configuration
from tests.fake_store import NO_ANSWER, Answer, FakeStore, Request
from uploads import object_verification
from uploads.exceptions import (
    StoreError,
    StoreFailedError,
    StoreRedirectError,
    StoreRefusedError,
    StoreUnavailableError,
)
from uploads.models import Upload
from uploads.payloads import Part, RandomNumbers
from uploads.storage import PART_BYTES, BytesPayload, UploadStorage
from uploads.storage.http_client import MAX_ANSWER_BYTES

METADATA = {"upload-id": "an-id", "request-id": "a-request"}
SMALL = BytesPayload(b"content")
LARGE = RandomNumbers(b"seed", PART_BYTES + 1)
ACCESS_POINT = "arn:aws:s3:eu-west-1:123456789012:accesspoint/an-access-point-with-a-rather-long-name"
CONFIG_FILE = """
[default]
endpoint_url = http://127.0.0.1:1
s3 =
    addressing_style = virtual
    use_accelerate_endpoint = true
    payload_signing_enabled = false
"""
LOCK: dict[str, Any] = {
    "ObjectLockMode": "COMPLIANCE",
    "ObjectLockRetainUntilDate": datetime(
        2027, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=2))
    ),
}
REGION_BODY = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>"
NO_UPLOAD = b"<Error><Code>NoSuchUpload</Code></Error>"


@pytest.fixture
def fake_store() -> Iterator[FakeStore]:
    store = FakeStore()
    yield store
    store.stop()


@pytest.fixture
def storage(fake_store: FakeStore, make_storage: Any) -> UploadStorage:
    made: UploadStorage = make_storage(endpoint_url=fake_store.url, max_attempts=1)
    return made


@pytest.fixture(autouse=True)
def _no_configuration_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def put_both(storage: UploadStorage) -> None:
    storage.put_new("small", SMALL, METADATA)
    storage.put_new("large", LARGE, METADATA)


def what_counts(request: Request) -> dict[str, str]:
    """Return the header fields that the store acts upon, and which ones are signed."""
    fields = {name.lower(): value for name, value in request.headers.items()}
    fields["signed"] = fields.pop("authorization").split(",")[1]
    for name in (
        "accept-encoding",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "expect",
        "user-agent",
        "x-amz-date",
    ):
        fields.pop(name, None)
    return fields


#: Every kind of request.
EVERYTHING: tuple[Callable[[UploadStorage], object], ...] = (
    lambda storage: storage.put_new("small", SMALL, METADATA),
    lambda storage: storage.put_new("large", LARGE, METADATA),
    lambda storage: storage.head("small"),
    lambda storage: list(storage.read("small")),
    lambda storage: list(storage.listing("")),
    lambda storage: storage.delete_unchanged("small", "etag"),
    lambda storage: storage.bucket_exists(),
)


def use_everything(storage: UploadStorage) -> None:
    """Send every kind of request, whether it succeeds or not."""
    for request in EVERYTHING:
        try:
            request(storage)
        except StoreUnavailableError as error:
            assert error.outcome_unknown is False  # noqa: PT017
        except StoreError:
            pass


class TestEnvironment:
    @pytest.mark.parametrize(
        "environment",
        [
            {"AWS_ENDPOINT_URL_S3": " \n"},
            {
                "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
                "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
                "AWS_REGION": "eu-west-1",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_ACCESS_KEY_ID": "other",
                "AWS_SECRET_ACCESS_KEY": "other",
                "AWS_CA_BUNDLE": "",
                "REQUESTS_CA_BUNDLE": " ",
                "HTTP_PROXY": "http://127.0.0.1:1",
                "HTTPS_PROXY": "http://127.0.0.1:1",
                "NO_PROXY": "127.0.0.1",
            },
            {"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_USE_FIPS_ENDPOINT": "true"},
            {"config": CONFIG_FILE},
        ],
    )
    def test_variables_of_the_sdk__change_nothing(
        self, fake_store, make_storage, monkeypatch, tmp_path, environment
    ):
        (tmp_path / "config").write_text(environment.pop("config", ""))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        storage = make_storage(endpoint_url=fake_store.url)

        put_both(storage)
        storage.head("small")

        assert [request.method for request in fake_store.requests] == [
            "PUT", "POST", "PUT", "PUT", "POST", "HEAD",
        ]  # fmt: skip
        for request in fake_store.requests:
            assert request.host == f"127.0.0.1:{fake_store.port}"
            assert request.target.startswith("/mirrorsite-test/")
            assert request.credential[0] == "test-key"
            assert request.credential[2:4] == ["us-east-1", "s3"]
        parts = [r for r in fake_store.requests if "partNumber" in r.target]
        assert {r.body for r in parts} == {
            b"".join(part.chunks) for part in LARGE.parts()
        }

    def test_proxy__is_used_for_all(self, fake_store, make_storage, monkeypatch):
        proxy = fake_store.url.replace("//", "//someone:pass%3Aword@")
        monkeypatch.setenv("HTTP_PROXY", proxy)
        storage = make_storage(endpoint_url="http://store.invalid:8333")
        put_both(storage)
        assert len(fake_store.requests) == 5
        for request in fake_store.requests:
            assert request.target.startswith(
                "http://store.invalid:8333/mirrorsite-test/"
            )
            credentials = base64.b64encode(b"someone:pass:word").decode()
            assert request.headers["Proxy-Authorization"] == f"Basic {credentials}"

    def test_dead_proxy__nothing_was_sent(self, make_storage, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        use_everything(make_storage())


class TestAddresses:
    @pytest.mark.parametrize(
        ("bucket", "region", "host", "path"),
        [
            ("bucket", "us-east-1", "bucket.s3.us-east-1.amazonaws.com", ""),
            ("bucket", "eu-south-1", "bucket.s3.eu-south-1.amazonaws.com", ""),
            ("bucket", "cn-north-1", "bucket.s3.cn-north-1.amazonaws.com.cn", ""),
            # A wildcard certificate covers no dots.
            ("a.bucket", "eu-south-1", "s3.eu-south-1.amazonaws.com", "/a.bucket"),
            (
                "arn:aws:s3:eu-west-1:123456789012:accesspoint/point",
                "eu-central-1",
                "point-123456789012.s3-accesspoint.eu-west-1.amazonaws.com",
                "",
            ),
        ],
    )
    def test_aws__one_host_for_everything(
        self, fake_store, make_storage, monkeypatch, bucket, region, host, path
    ):
        """Whatever the variables of the SDK say."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        monkeypatch.setenv("HTTPS_PROXY", fake_store.url)
        storage = make_storage(bucket_name=bucket, region_name=region, max_attempts=1)

        use_everything(storage)

        assert len(fake_store.requests) >= 6
        assert {r.target for r in fake_store.requests} == {f"{host}:443"}
        address = urlsplit(storage.presigned_url("key", seconds=60))
        assert (address.netloc, address.path) == (host, f"{path}/key")

    @pytest.mark.parametrize("path", ["/", "/a/prefix"])
    def test_endpoint_with_a_path(self, fake_store, make_storage, path):
        storage = make_storage(endpoint_url=fake_store.url + path)
        use_everything(storage)
        start = f"{path.rstrip('/')}/mirrorsite-test"
        assert all(r.target.startswith(start) for r in fake_store.requests)
        address = urlsplit(storage.presigned_url("key", seconds=60))
        assert address.path == f"{start}/key"

    def test_ipv6(self, make_storage):
        try:
            store = FakeStore("::1")
        except OSError:
            pytest.skip("this machine has no IPv6")
        try:
            storage = make_storage(endpoint_url=store.url)
            put_both(storage)
        finally:
            store.stop()
        assert {r.host for r in store.requests} == {f"[::1]:{store.port}"}

    @pytest.mark.parametrize(
        ("proxy", "endpoint", "target", "host"),
        [
            ("HTTPS_PROXY", "https://[fd00::a]", "[fd00::a]:443", ""),  # CONNECT
            # A store that knows its scheme leaves the default port out when it checks
            # the signature.
            (
                "HTTP_PROXY",
                "http://store.invalid:80",
                "http://store.invalid:80/mirrorsite-test/small",
                "store.invalid",
            ),
        ],
    )
    def test_default_port(
        self, fake_store, make_storage, monkeypatch, proxy, endpoint, target, host
    ):
        monkeypatch.setenv(proxy, fake_store.url)
        use_everything(make_storage(endpoint_url=endpoint, max_attempts=1))
        assert fake_store.requests[0].target == target
        assert {r.host for r in fake_store.requests} == {host}

    @pytest.mark.parametrize("lock", [{}, LOCK])
    def test_put__as_boto3_sends_it(self, fake_store, storage, lock):
        key = "a b+c/ü~'(1)!*=&?#%41"
        locked_until = lock.get("ObjectLockRetainUntilDate")
        storage.put_new(key, SMALL, METADATA, locked_until=locked_until)
        storage.client.put_object(
            Bucket=storage.bucket_name,
            Key=key,
            Body=b"content",
            ContentType=SMALL.content_type,
            ChecksumSHA256=base64.b64encode(bytes.fromhex(SMALL.sha256)).decode(),
            IfNoneMatch="*",
            Metadata={**METADATA, "sha256": SMALL.sha256},
            **lock,
        )
        ours, theirs = fake_store.requests
        assert ours.target == theirs.target
        assert what_counts(ours) == what_counts(theirs)
        # It costs a round trip before each small body.
        assert "Expect" not in ours.headers

    def test_in_parts__locked_too(self, fake_store, storage):
        storage.put_new(
            "key", LARGE, METADATA, locked_until=LOCK["ObjectLockRetainUntilDate"]
        )
        headers = fake_store.requests[0].headers
        assert headers["x-amz-object-lock-mode"] == "COMPLIANCE"
        until = headers["x-amz-object-lock-retain-until-date"]
        assert until == "2027-01-02T01:04:05Z"


class TestCredentials:
    @pytest.fixture
    def storage(self, fake_store: FakeStore, make_storage: Any) -> UploadStorage:
        """Return a storage that is given no key."""
        made: UploadStorage = make_storage(
            endpoint_url=fake_store.url, access_key=None, secret_key=None
        )
        return made

    @pytest.fixture
    def _token_service(
        self, fake_store: FakeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{fake_store.url}/credentials"
        )

    def used(self, store: FakeStore) -> list[tuple[str, str]]:
        return [
            (request.credential[0], request.headers["X-Amz-Security-Token"])
            for request in store.requests
            if request.target != "/credentials"
        ]

    def test_session_token__is_sent(self, fake_store, make_storage, monkeypatch):
        monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token\n")  # as from a file
        put_both(make_storage(endpoint_url=fake_store.url))
        assert set(self.used(fake_store)) == {("test-key", "a-token")}

    @pytest.mark.usefixtures("_token_service")
    def test_temporary__refreshed_before_they_expire(self, fake_store, storage):
        put_both(storage)
        assert set(self.used(fake_store)) == {("KEY1", "token-1")}
        fake_store.requests.clear()
        fake_store.credentials_seconds = 60
        storage.store.connect()
        storage.put_new("a", SMALL, METADATA)
        storage.head("a")
        used = self.used(fake_store)
        assert len(set(used)) == 2
        assert all(token == f"token-{key[3:]}" for key, token in used)

    @pytest.mark.parametrize(
        "environment",
        [
            {},
            {
                "AWS_WEB_IDENTITY_TOKEN_FILE": __file__,
                "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/a-role",
                "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
            },
        ],
    )
    @pytest.mark.django_db
    def test_none__nothing_was_sent(
        self, fake_store, storage, monkeypatch, environment, caplog
    ):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        storage.connect()  # as at the start
        assert "no connection to the object store yet" in caplog.text
        for body in ({}, {"size": PART_BYTES + 1}):
            answer = APIClient().post("/api/upload-random", body, format="json")
            assert (answer.status_code, answer.json()["upload_status"]) == (
                503,
                "failed",
            )
        assert set(Upload.objects.values_list("status", flat=True)) == {"failed"}
        for payload in (SMALL, LARGE):
            with pytest.raises(StoreUnavailableError, match="credentials") as caught:
                storage.put_new("key", payload, METADATA)
            assert caught.value.outcome_unknown is False
        with pytest.raises(StoreUnavailableError):
            storage.presigned_url("key", seconds=60)
        assert storage.availability() == (
            "unavailable: there are no credentials for the object store"
        )
        assert fake_store.requests == []

    @pytest.mark.parametrize("status", [403, 500])
    def test_token_service_fails__asked_once_and_no_answer_of_the_store(
        self, fake_store, make_storage, monkeypatch, status
    ):
        fake_store.plan = lambda request: Answer(
            status, b"<ErrorResponse><Error><Code>Denied</Code></Error></ErrorResponse>"
        )
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", __file__)
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/a-role")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", fake_store.url)
        storage = make_storage(access_key=None, secret_key=None, max_attempts=3)
        for number, payload in enumerate((SMALL, LARGE), start=1):
            with pytest.raises(StoreUnavailableError, match="credentials") as caught:
                storage.put_new("key", payload, METADATA)
            assert caught.value.outcome_unknown is False
            assert len(fake_store.requests) == number

    @pytest.mark.usefixtures("_token_service")
    def test_token_service_hangs__threads_wait_at_the_same_time(
        self, fake_store, storage
    ):
        present: list[Request] = []
        all_present = threading.Event()

        def plan(request: Request) -> Answer:
            present.append(request)
            if len(present) == 4:
                all_present.set()
            all_present.wait(1.5)  # the client asks three times, for 2 s each
            present.remove(request)
            return Answer(500)

        fake_store.plan = plan

        def put(_: int) -> None:
            with pytest.raises(StoreUnavailableError, match="credentials"):
                storage.put_new("key", SMALL, METADATA)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, range(4)))
        assert all_present.is_set()

    def test_had_again__requests_succeed(self, fake_store, storage, tmp_path):
        with pytest.raises(StoreUnavailableError):
            storage.put_new("key", SMALL, METADATA)
        (tmp_path / "credentials").write_text(
            "[default]\naws_access_key_id = late\naws_secret_access_key = secret\n"
        )
        storage.put_new("key", SMALL, METADATA)
        assert fake_store.requests[0].credential[0] == "late"


class TestAvailability:
    def test_one_line(self, fake_store, storage, make_storage):
        failure = "the object store answers with a failure"
        for status, why in {
            403: "the bucket refuses access",
            404: "there is no such bucket",
            429: failure,
            500: failure,
        }.items():
            fake_store.plan = lambda request, status=status: Answer(status)
            assert storage.availability() == f"unavailable: {why}"
        unreachable = make_storage(endpoint_url="http://127.0.0.1:1")
        why = "the object store does not answer"
        assert unreachable.availability() == f"unavailable: {why}"


class TestRedirects:
    @pytest.mark.parametrize(
        "answer",
        [
            Answer(301, headers={"Location": "http://127.0.0.1:1/"}),
            Answer(307, headers={"Location": "/"}),
            Answer(400, REGION_BODY, {"x-amz-bucket-region": "eu-west-3"}),
        ],
    )
    def test_not_followed__one_clear_error(self, fake_store, make_storage, answer):
        fake_store.plan = lambda request: answer
        storage = make_storage(endpoint_url=fake_store.url, max_attempts=3)
        for number, request in enumerate(EVERYTHING, start=1):
            with pytest.raises(StoreRedirectError, match="AWS_ENDPOINT_URL_S3"):
                request(storage)
            assert len(fake_store.requests) == number
        assert storage.availability() == (
            "unavailable: the object store redirects to another URL or region"
        )

    def test_region__is_named(self, fake_store, storage):
        fake_store.plan = lambda request: Answer(400, REGION_BODY)
        for payload in (SMALL, LARGE):
            with pytest.raises(StoreRedirectError, match="is in eu-west-3"):
                storage.put_new("key", payload, METADATA)

    @pytest.mark.django_db
    def test_upload_and_readiness(self, fake_store, make_storage):
        fake_store.plan = lambda request: Answer(301, headers={"Location": "/"})
        make_storage(endpoint_url=fake_store.url)
        answer = APIClient().post("/api/upload-random")
        assert (answer.status_code, Upload.objects.get().status) == (502, "failed")
        ready = APIClient().get("/api/ready")
        assert ready.status_code == 503
        assert "redirects" in ready.json()["checks"]["bucket"]


class TestAnswersOfAnotherServer:
    """Such as a proxy's login page, or a load balancer that answers for a dead store."""

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(200, b"<html>Login</html>"),
            Answer(204),
            Answer(520),
            Answer(599),
            # The connection broke within the header section.
            Answer(200, headers={"ETag": '"0123'}),
            Answer(200, headers={"ETag": f'"{"0" * 129}"'}),
            Answer(200, headers={"ETag": '"01"', "x-amz-version-id": "0" * 1025}),
            # Longer than any answer of S3, and perhaps without end.
            Answer(200, b"0" * (MAX_ANSWER_BYTES + 1), {"ETag": '"01"'}),
        ],
    )
    def test_put__outcome_is_open(self, fake_store, storage, answer):
        fake_store.plan = lambda request: (
            answer if request.method == "PUT" else Answer(500)
        )
        with pytest.raises(StoreUnavailableError) as caught:
            storage.put_new("small", SMALL, METADATA)
        assert caught.value.outcome_unknown is True

    @pytest.mark.parametrize("status", [200, 404])
    @pytest.mark.parametrize("page", [b"", b"<html>Login</html>", b"Login"])
    def test_delete_and_read__outcome_is_open(self, fake_store, storage, status, page):
        fake_store.plan = lambda request: Answer(status, page)
        with pytest.raises(StoreFailedError) as caught:
            storage.delete_unchanged("key", "etag")
        assert caught.value.outcome_unknown is True
        with pytest.raises(StoreFailedError, match="cannot be read"):
            list(storage.read("key"))

    def test_other_protocol__one_clear_error(self, fake_store, storage):
        headers = {"Connection": "Upgrade", "Upgrade": "h2c"}
        fake_store.plan = lambda request: Answer(101, headers=headers)
        with pytest.raises(StoreFailedError, match="cannot be read"):
            list(storage.listing(""))

    @pytest.mark.parametrize("checksum", ["!!!!", "YWJj"])
    def test_head__no_checksum(self, fake_store, storage, checksum):
        fields = {"ETag": '"01"', "x-amz-checksum-sha256": checksum}
        fake_store.plan = lambda request: Answer(200, headers=fields)
        with pytest.raises(StoreUnavailableError):
            storage.head("key")

    def test_head__composite_checksum_is_no_digest(self, fake_store, storage):
        fields = {
            "ETag": '"01"',
            "x-amz-checksum-sha256": "AAAA-2",
            "x-amz-meta-sha256": "from-metadata",
        }
        fake_store.plan = lambda request: Answer(200, headers=fields)
        found = storage.head("key")
        assert (found.sha256, found.sha256_source) == ("from-metadata", "metadata")

    def test_completed_without_etag__outcome_is_open(self, fake_store, storage):
        def plan(request: Request) -> Answer | None:
            if request.method == "HEAD":
                return Answer(500)
            is_last = request.method == "POST" and "uploadId=" in request.target
            return Answer(200, b"<html></html>") if is_last else None

        fake_store.plan = plan
        with pytest.raises(StoreUnavailableError) as caught:
            storage.put_new("large", LARGE, METADATA)
        assert caught.value.outcome_unknown is True

    @pytest.mark.parametrize(
        "page",
        [
            *(
                b"<ListBucketResult>%b</ListBucketResult>" % page
                for page in (
                    b"<IsTruncated>true</IsTruncated>",
                    b"<IsTruncated>true</IsTruncated>"
                    b"<NextContinuationToken>a</NextContinuationToken>"
                    b"<NextKeyMarker>a</NextKeyMarker>",
                    b"<Contents></Contents><CommonPrefixes></CommonPrefixes>"
                    b"<Version></Version><Upload></Upload>",
                    b"<Contents><Key>k</Key><Size>many</Size><ETag>e</ETag></Contents>"
                    b"<CommonPrefixes></CommonPrefixes><DeleteMarker></DeleteMarker>"
                    b"<Upload><Key>k</Key></Upload>",
                    # It may be without end, and is not read into memory.
                    b" " * MAX_ANSWER_BYTES,
                )
            ),
            b"",
            b"<html>Login</html>",
            b"<html><br>Login",
        ],
        ids=lambda page: page[:60],
    )
    def test_pages__one_clear_error(self, fake_store, storage, page, caplog):
        fake_store.plan = lambda request: Answer(200, page)
        # botocore takes what is no XML for an error 500 that was answered late.
        is_xml = page.startswith(b"<ListBucketResult><")
        words = "cannot be read" if is_xml else r"cannot be read|answered 500"
        for listing in (storage.listing, storage.versions, storage.multipart_uploads):
            with pytest.raises(StoreUnavailableError, match=words):
                list(listing(""))
        assert not any(record.exc_info for record in caplog.records)

    @pytest.mark.django_db
    def test_verification__records_nothing(self, fake_store, storage):
        APIClient().post("/api/upload-random")
        upload = Upload.objects.get()
        fake_store.plan = lambda request: Answer(200, b"<html>Login</html>")
        with pytest.raises(StoreUnavailableError, match="cannot be read"):
            object_verification.examine(upload, method="head")
        assert storage.availability() == "ok"  # as far as HEAD of a bucket can tell


class TestSlowStore:
    """Each byte comes in time, and the whole takes longer than the timeout."""

    @pytest.fixture
    def storage(self, fake_store: FakeStore, make_storage: Any) -> UploadStorage:
        made: UploadStorage = make_storage(
            endpoint_url=fake_store.url,
            connect_timeout=30.0,
            read_timeout=0.5,
            max_attempts=1,
        )
        return made

    @pytest.mark.parametrize("drips", ["head", "content"])
    @pytest.mark.parametrize(
        "send",
        [
            lambda s: s.put_new("small", SMALL, METADATA),
            lambda s: list(s.read("key")),
        ],
        ids=["put", "read"],
    )
    def test_answer_byte_by_byte__times_out(
        self, fake_store: FakeStore, storage: UploadStorage, send: Any, drips: str
    ) -> None:
        fake_store.plan = lambda request: (
            Answer(200, b" " * 100, {"ETag": '"01"'}, drips=drips)
            if request.method != "HEAD"
            else Answer(500)
        )
        with pytest.raises(StoreUnavailableError, match="TimeoutError"):
            send(storage)

    def test_answer_within_the_read_timeout__succeeds(
        self, fake_store: FakeStore, make_storage: Any
    ) -> None:
        fake_store.plan = lambda request: time.sleep(0.2)
        storage = make_storage(
            endpoint_url=fake_store.url,
            connect_timeout=0.1,
            read_timeout=30.0,
            max_attempts=1,
        )
        storage.put_new("key", SMALL, METADATA)


class TestErrors:
    @pytest.mark.parametrize("payload", [SMALL, LARGE])
    def test_unexpected_exception__outcome_is_open(
        self, fake_store, storage, monkeypatch, payload
    ):
        """Before the last request of an upload in parts, nothing can be there."""
        client = storage.store.transport.http
        monkeypatch.setattr(client, "send", lambda *arguments: [][0])
        fake_store.plan = lambda r: Answer(404) if r.method == "HEAD" else None
        with pytest.raises(StoreUnavailableError, match="IndexError") as caught:
            storage.put_new("key", payload, METADATA)
        assert caught.value.outcome_unknown is (payload is SMALL)

    def test_metadata_that_is_not_ascii__is_refused(self, fake_store, storage):
        for payload in (SMALL, LARGE):
            with pytest.raises(StoreRefusedError, match="not sent"):
                storage.put_new("key", payload, {"upload-id": "ü"})
        assert fake_store.requests == []

    @pytest.mark.parametrize("trusted_by", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", ""])
    def test_certificate__is_checked_for_all(
        self, make_storage, monkeypatch, certified, trusted_by
    ):
        tls, authority = certified
        store = FakeStore(tls=tls)
        if trusted_by:
            monkeypatch.setenv(trusted_by, str(authority))
        storage = make_storage(endpoint_url=store.url)
        try:
            for payload in (SMALL, LARGE):
                if trusted_by:
                    storage.put_new("key", payload, METADATA)
                    continue
                with pytest.raises(StoreUnavailableError) as caught:
                    storage.put_new("key", payload, METADATA)
                assert caught.value.outcome_unknown is False
        finally:
            store.stop()
        assert len(store.requests) == (5 if trusted_by else 0)

    def test_retries__are_reported(self, fake_store, make_storage):
        statuses = iter([429, 500])
        fake_store.plan = lambda r: (
            Answer(status) if (status := next(statuses, 0)) else None
        )
        storage = make_storage(endpoint_url=fake_store.url, max_attempts=3)
        retries: list[tuple[int, bool]] = []
        storage.put_new(
            "key",
            SMALL,
            METADATA,
            on_retry=lambda n, e: retries.append((n, e.outcome_unknown)),
        )
        assert retries == [(1, False), (2, True)]


class TestMetrics:
    def test_requests__counted_by_operation_and_outcome(self, fake_store, storage):
        def count(operation: str, outcome: str) -> float:
            labels = {"operation": operation, "outcome": outcome}
            name = "mirrorsite_store_request_duration_seconds_count"
            return REGISTRY.get_sample_value(name, labels) or 0

        outcomes = [
            ("PutObject", "2xx"),
            ("HeadObject", "5xx"),
            ("HeadObject", "no answer"),
        ]
        before = [count(*outcome) for outcome in outcomes]
        storage.put_new("key", SMALL, METADATA)
        for answer in (Answer(500), NO_ANSWER):
            fake_store.plan = lambda request, answer=answer: answer
            with pytest.raises(StoreUnavailableError):
                storage.head("key")
        assert [count(*outcome) for outcome in outcomes] == [n + 1 for n in before]


class TestParts:
    SIZE = 5 * PART_BYTES + 1

    def test_under_way_at_once__completed_in_order(self, fake_store, make_storage):
        together = threading.Barrier(3, timeout=10)

        def plan(request: Request) -> None:
            if any(f"partNumber={number}&" in request.target for number in (1, 2, 3)):
                together.wait()

        fake_store.plan = plan
        storage = make_storage(endpoint_url=fake_store.url, read_timeout=15.0)
        payload = RandomNumbers(b"seed", self.SIZE)
        storage.put_new("key", payload, METADATA)

        parts = {r.target: r.body for r in fake_store.requests if r.method == "PUT"}
        names = [
            f"/mirrorsite-test/key?partNumber={n}&uploadId=an%2Bid%2F%3D"
            for n in range(1, 7)
        ]
        assert sorted(parts) == names
        assert b"".join(parts[name] for name in names) == b"".join(payload.chunks())
        completed = fake_store.requests[-1].body.decode()
        numbers = [completed.index(f"<PartNumber>{n}<") for n in range(1, 7)]
        assert numbers == sorted(numbers)

    def test_memory__is_bounded(self, fake_store, storage, monkeypatch):
        """Three parts are under way at once, and take no memory of their own."""
        made = threading.Condition()
        count = 0
        too_many: list[bool] = []

        class Payload(RandomNumbers):
            def parts(self) -> Iterator[Part]:
                nonlocal count
                for part in super().parts():
                    with made:
                        count += 1
                        made.notify_all()
                    yield part

        def without_body(
            operation: str,
            method: str,
            url: str,
            headers: Any,
            body: Any,
        ) -> Any:
            if "partNumber=1&" in url:
                with made:
                    assert made.wait_for(lambda: count == 3, timeout=10)
                    too_many.append(made.wait_for(lambda: count > 3, timeout=0.5))
            body = () if method == "PUT" else body
            return send(operation, method, url, headers, body)

        client = storage.store.transport.http
        send = client.send
        monkeypatch.setattr(client, "send", without_body)
        tracemalloc.start()
        storage.put_new("key", Payload(b"seed", 8 * PART_BYTES), METADATA)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert too_many == [False]
        assert peak < PART_BYTES

    def test_abort__the_upload_has_ended_already(self, fake_store, storage):
        """AWS answers so; SeaweedFS answers 204."""
        fake_store.plan = lambda r: Answer(404, NO_UPLOAD)
        storage.multipart.abort("key", "an-id")
        assert fake_store.requests[-1].method == "DELETE"

    def test_one_fails__aborted_after_those_under_way(self, fake_store, storage):
        """A part that came after the abort would stay in the store."""
        aborted = threading.Event()
        aborted_too_early: list[bool] = []

        def plan(request: Request) -> Answer | None:
            if request.method == "DELETE":
                aborted.set()
            if "partNumber=3&" in request.target:
                aborted_too_early.append(aborted.wait(0.5))
            return Answer(403) if "partNumber=2&" in request.target else None

        fake_store.plan = plan
        with pytest.raises(StoreRefusedError):
            storage.put_new("key", RandomNumbers(b"seed", self.SIZE), METADATA)
        assert aborted_too_early == [False]
        assert aborted.is_set()
        assert not any("partNumber=5&" in r.target for r in fake_store.requests)


class TestCheck:
    @pytest.mark.parametrize(
        ("environment", "endpoint", "sentence"),
        [
            ({}, "http://under_score:8333", "AWS_ENDPOINT_URL_S3"),
            ({}, "http://-a:8333", "AWS_ENDPOINT_URL_S3"),
            ({}, "http://a..b:8333", "AWS_ENDPOINT_URL_S3"),
            ({"AWS_PROFILE": "nobody"}, None, "profile \\(nobody\\)"),
            ({"config": "no section"}, None, "AWS_CONFIG_FILE"),
            ({"AWS_CA_BUNDLE": "/no/such/file"}, None, "'/no/such/file'"),
            ({"AWS_ACCESS_KEY_ID": "a\nb"}, None, "AWS_ACCESS_KEY_ID holds"),
            ({"AWS_SECRET_ACCESS_KEY": "a\udcff"}, None, "AWS_SECRET_ACCESS_KEY holds"),
            ({"AWS_SESSION_TOKEN": "a b"}, None, "AWS_SESSION_TOKEN holds"),
        ],
    )
    def test_wrong__one_sentence(
        self, monkeypatch, tmp_path, environment, endpoint, sentence
    ):
        (tmp_path / "config").write_text(environment.pop("config", ""))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ImproperlyConfigured, match=sentence) as caught:
            check_aws_configuration(endpoint)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
    def test_empty_profile__as_unset(self, monkeypatch, name):
        monkeypatch.setenv(name, "")
        check_aws_configuration(None)

    @pytest.mark.parametrize(
        "endpoint",
        [None, "http://127.0.0.1:8333", "http://[::1]:8333/path", "https://a-b.c:1"],
    )
    def test_right(self, endpoint):
        check_aws_configuration(endpoint)


@pytest.mark.django_db
def test_access_point__is_recorded(fake_store, make_storage, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", fake_store.url)
    make_storage(bucket_name=ACCESS_POINT)
    answer = APIClient().post("/api/upload-random")
    assert answer.json()["type"].endswith("store-unavailable")
    assert Upload.objects.get().bucket == ACCESS_POINT
