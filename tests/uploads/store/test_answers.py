"""Every answer of the store, and every failure, is one of ours."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY
from rest_framework.test import APIClient

from tests.fake_store import NO_ANSWER, Answer, FakeStore, Request
from tests.uploads.store.sending import EVERYTHING, LARGE, METADATA, SMALL
from uploads import object_verification
from uploads.exceptions import (
    StoreFailedError,
    StoreRedirectError,
    StoreRefusedError,
    StoreUnavailableError,
)
from uploads.models import Upload
from uploads.payloads import Part, RandomNumbers
from uploads.storage import PART_BYTES, UploadStorage
from uploads.storage.http_client import MAX_ANSWER_BYTES

REGION_BODY = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>"
NO_UPLOAD = b"<Error><Code>NoSuchUpload</Code></Error>"


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
