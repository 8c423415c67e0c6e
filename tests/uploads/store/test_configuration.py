"""Every request to the store follows one configuration."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured
from rest_framework.test import APIClient

from mirrorsite.aws_configuration import check_aws_configuration
from tests.fake_store import Answer, FakeStore, Request
from tests.uploads.store.sending import LARGE, METADATA, SMALL, put_both, use_everything
from uploads.exceptions import StoreUnavailableError
from uploads.models import Upload
from uploads.storage import PART_BYTES, UploadStorage

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
