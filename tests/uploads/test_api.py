from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tests.uploads.records import refuse_inserts
from uploads.audit import sql
from uploads.models import Status, Upload

pytestmark = pytest.mark.django_db
URL = "/api/upload-random"


def post(client: Client, body: object = None, **extra: Any) -> Any:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return client.post(URL, data, content_type="application/json", **extra)


def post_nothing(client: Client, **extra: Any) -> Any:
    """POST without a body, as `curl -X POST` does; Client.post would send a form."""
    return client.generic("POST", URL, **extra)


class TestPost:
    def test_no_body(self, client, bucket):
        response = post_nothing(client, headers={"X-Request-ID": "my-request"})

        assert response.status_code == 201
        upload = Upload.objects.get()
        assert response.headers["Location"] == (
            f"http://testserver/api/uploads/{upload.pk}"
        )
        assert response.headers["X-Request-ID"] == "my-request"
        assert response.json() == {
            "uploaded": "ok",
            "id": str(upload.pk),
            "key": upload.key,
            "bucket": bucket.bucket_name,
            "number": upload.number,
            "size": upload.size,
            "sha256": upload.sha256,
            "etag": upload.etag,
            "version_id": None,
            "status": "stored",
            "created_at": upload.created_at.isoformat().replace("+00:00", "Z"),
            "url": f"http://testserver/api/uploads/{upload.pk}",
        }
        assert upload.request_id == "my-request"
        assert bucket.head(upload.key).metadata["request-id"] == "my-request"

    @pytest.mark.parametrize("size", [1, 5, 4096])
    def test_size(self, client, bucket, size):
        answer = post(client, {"size": size}).json()
        assert answer["size"] == size
        assert len(b"".join(bucket.read(answer["key"]))) == size

    def test_empty_object(self, client, bucket):
        assert post(client, {}).status_code == 201

    def test_largest_size(self, client, bucket, settings):
        settings.UPLOAD_MAX_BYTES = 1000
        assert post(client, {"size": 1000}).status_code == 201
        assert post(client, {"size": 1001}).status_code == 400

    def test_user_agent__unprintable_is_escaped(self, client, bucket):
        post_nothing(client, headers={"User-Agent": "a\x00b\x1bc" + "x" * 600})
        agent = Upload.objects.get().user_agent
        assert agent.startswith(r"a\x00b\x1bc")
        assert len(agent) == 512


class TestBadBody:
    @pytest.mark.parametrize(
        ("body", "field", "code"),
        [
            ("[]", "body", "body-not-object"),
            ('"text"', "body", "body-not-object"),
            ("1", "body", "body-not-object"),
            ("null", "body", "body-not-object"),
            ('{"sise": 1}', "sise", "unknown-field"),
            ('{"size": 1, "x": 1}', "x", "unknown-field"),
            *(
                (f'{{"size": {size}}}', "size", "invalid-size")
                for size in (
                    "0", "-1", "1.5", "1.0", "1e3", '"1"', "true", "false", "null",
                    "[]", "{}", "67108865", "1" + "0" * 4000,
                )
            ),
        ],
    )  # fmt: skip
    def test_names_the_field(self, client, bucket, body, field, code):
        response = post(client, body)

        assert response.status_code == 400
        assert response.headers["Content-Type"] == "application/problem+json"
        errors = response.json()["errors"]
        assert [(error["field"], error["code"]) for error in errors] == [(field, code)]
        assert not Upload.objects.exists()

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"size=1",
            b'{"size": NaN}',
            b'{"size": 1}}',
            b"\xff\xfe",
            b"[" * 5000,
            b'{"a":' * 2000,
            b'{"size": ' + b"1" * 5000 + b"}",
        ],
    )
    def test_not_json(self, client, body):
        response = post(client, body)
        assert response.status_code == 400
        assert response.headers["Content-Type"] == "application/problem+json"
        assert not Upload.objects.exists()

    def test_too_long(self, client):
        response = post(client, b'{"size": 1' + b" " * 20_000 + b"}")
        assert response.status_code == 413
        assert response.json()["type"].endswith("body-too-large")

    @pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data"])
    def test_other_media_type(self, client, content_type):
        response = client.post(URL, '{"size": 1}', content_type=content_type)
        assert response.status_code == 415
        assert not Upload.objects.exists()

    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "head"])
    def test_wrong_method(self, client, method):
        response: Any = getattr(client, method)(URL)
        assert response.status_code == 405
        assert response.headers["Allow"] == "POST, OPTIONS"

    def test_wrong_host__nothing_is_uploaded(self, client, bucket):
        response = post_nothing(client, headers={"Host": "evil.example"})
        assert response.status_code == 400
        assert response.headers["Content-Type"] == "application/problem+json"
        assert not Upload.objects.exists()


class TestDependencyDown:
    @pytest.mark.parametrize(
        ("fault", "status", "recorded"),
        [
            ("403", 502, Status.FAILED),
            ("503", 503, Status.FAILED),
            ("500", 503, Status.PENDING),
        ],
    )
    def test_store(
        self, client, faulty_store, fault, status,
        recorded
    ):  # fmt: skip
        faulty_store.always("PUT", fault)
        response = post_nothing(client)

        upload = Upload.objects.get()
        assert response.status_code == status
        answer = response.json()
        assert answer["upload_id"] == str(upload.pk)
        assert answer["upload_status"] == recorded
        assert upload.status == recorded
        assert ("Retry-After" in response.headers) == (status == 503)

    def test_no_place__503_and_nothing_recorded(self, client, no_place):
        response = post_nothing(client)
        assert response.status_code == 503
        assert response.json()["type"].endswith("/store-busy")
        assert response.headers["Retry-After"] == "5"
        assert not Upload.objects.exists()

    def test_database__503_and_nothing_uploaded(self, client, bucket, monkeypatch):
        monkeypatch.setattr(sql, "RawCursor", refuse_inserts)
        response = post_nothing(client)
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "5"
        assert "secret" not in response.content.decode()
        assert "Contents" not in bucket.client.list_objects_v2(
            Bucket=bucket.bucket_name
        )
