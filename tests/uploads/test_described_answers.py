"""Answers are as their description says."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from mirrorsite.api_docs import openapi
from tests.uploads.making import ACTOR, record
from uploads import services

pytestmark = pytest.mark.django_db


def assert_described(path: str, method: str, answer: Any) -> None:
    description = openapi()
    response = description["paths"][path][method]["responses"][str(answer.status_code)]
    (media_type,) = response["content"]
    assert answer["Content-Type"] == media_type
    schema = response["content"][media_type]["schema"]
    Draft202012Validator(
        {**schema, "components": description["components"]},
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    ).validate(answer.json())


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/api/health", "/api/health"),
        ("/api/mirror", "/api/mirror?word=fOoBar25"),
        ("/api/mirror", "/api/mirror"),
        ("/api/problems", "/api/problems"),
        ("/api/problems/{slug}", "/api/problems/not-ready"),
        ("/api/problems/{slug}", "/api/problems/unheard-of"),
    ],
)
def test_open(client, template, path):
    assert_described(template, "get", client.get(path))


def test_ready(client, bucket):
    assert_described("/api/ready", "get", client.get("/api/ready"))


@pytest.mark.parametrize("body", ["", '{"size": 10}', '{"size": 0}', "[]"])
def test_upload(client, bucket, body):
    path = "/api/upload-random"
    answer = client.post(path, body, content_type="application/json")
    assert_described(path, "post", answer)


@pytest.mark.parametrize("path", ["", "/{upload_id}", "/{upload_id}/events"])
def test_read(reader, bucket, path):
    template = f"/api/uploads{path}"
    stored, pending = services.create_upload(actor=ACTOR).upload, record()
    for upload in (stored, pending):
        answer = reader.get(template.replace("{upload_id}", str(upload.pk)))
        assert answer.status_code == 200
        assert_described(template, "get", answer)


def test_verify(reader, bucket):
    template = "/api/uploads/{upload_id}/verify"
    stored, pending = services.create_upload(actor=ACTOR).upload, record()
    for upload in (stored, pending):
        answer = reader.post(template.replace("{upload_id}", str(upload.pk)))
        assert_described(template, "post", answer)
