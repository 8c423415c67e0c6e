from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from uploads.models import Action, Status, Upload, UploadEvent, new_upload_id

MakeUpload = Callable[..., Upload]


@pytest.fixture
def make_upload(db: None) -> MakeUpload:
    """Return a function that writes an upload's row and its first event."""

    def make(*, age: dt.timedelta = dt.timedelta(0), **fields: Any) -> Upload:
        upload_id = new_upload_id()
        values: dict[str, Any] = {
            "id": upload_id,
            "bucket": "mirrorsite-test",
            "key": f"uploads/2026/11/23/{upload_id}.txt",
            "status": Status.STORED,
            "size": 4,
            "sha256": upload_id.hex * 2,
            "requester_name": "anonymous",
            "request_id": f"request-{upload_id.hex[-8:]}",
            "created_at": timezone.now() - age,
            "stored_at": timezone.now() - age,
            "duration": dt.timedelta(milliseconds=5),
        }
        upload = Upload.objects.create(**values | fields)
        UploadEvent.objects.create(
            upload=upload,
            action=Action.REQUESTED,
            at=upload.created_at,
            actor=upload.requester_name,
            request_id=upload.request_id,
        )
        return upload

    return make


@pytest.fixture
def member_of(client: Client, db: None) -> Callable[[str], Client]:
    """Return a function that logs a new member of a group in."""

    def log_in(group: str) -> Client:
        user = User.objects.create_user(f"one-of-{group}", is_staff=True)
        if group:
            user.groups.add(Group.objects.get(name=group))
        client.force_login(user)
        return client

    return log_in
