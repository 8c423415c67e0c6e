"""Records without objects, and reading the API's answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import OperationalError
from django.test import Client

from mirrorsite.actors import Actor
from uploads import history, services
from uploads.models import Upload, new_upload_id

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ACTOR = Actor(address="192.0.2.7", user_agent="tests", request_id="request-1")


def record(**values: Any) -> Upload:
    """Write an upload that is pending, through the trail, without any object."""
    identifier: UUID = values.pop("id", None) or new_upload_id()
    created_at = values.pop("created_at", NOON)
    values = {
        "key": services.object_key(identifier, created_at),
        "size": 1,
        "sha256": "0" * 64,
        **values,
    }
    upload = Upload(
        id=identifier,
        bucket="b",
        requester_name="anonymous",
        created_at=created_at,
        **values,
    )
    history.record_intent(upload, ACTOR)
    return upload


def slug(answer: Any) -> str:
    assert answer["Content-Type"] == "application/problem+json"
    return re.split("[:/]", answer.json()["type"])[-1]


def pages(client: Client, address: str) -> Iterator[list[dict[str, Any]]]:
    """Follow `next` until there is none."""
    following: str | None = address
    while following:
        answer = client.get(following.removeprefix("http://testserver"))
        assert answer.status_code == 200
        body = answer.json()
        yield body["results"]
        following = body["next"]


def refuse_inserts(*arguments: Any) -> None:
    """Stand in for the cursor of the audit log while the database is unavailable."""
    raise OperationalError("password=secret is wrong")
