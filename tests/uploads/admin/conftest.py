from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from tests.uploads import making
from uploads.models import Action, Status, Upload, UploadEvent, new_upload_id

MakeUpload = Callable[..., Upload]


@pytest.fixture
def make_upload(db: None) -> MakeUpload:
    """Return a function that writes an upload's row and its first event."""

    def make(*, age: dt.timedelta = dt.timedelta(0), **fields: Any) -> Upload:
        now = timezone.now() - age
        upload_id = fields.setdefault("id", new_upload_id())
        columns = {
            "status": Status.STORED,
            "sha256": UUID(str(upload_id)).hex * 2,
            "request_id": f"request-{str(upload_id)[-8:]}",
            "created_at": now,
            "stored_at": now,
            "duration": dt.timedelta(milliseconds=5),
            **fields,
        }
        upload = making.new_upload(**columns)
        upload.save(force_insert=True)
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
