"""Trails made quickly, as the service would leave them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.management.color import no_style
from django.db import connection, transaction
from django.utils import timezone

from tests.uploads.audit.tampering import delete, execute, rows_of, without_triggers
from uploads.audit.keys import SigningKey, TrustedKeys
from uploads.audit.report import Report
from uploads.audit.seal_store import SealStore
from uploads.audit.seals import Sealed, seal_audit
from uploads.audit.verification import verify_audit
from uploads.models import Action, AuditSeal, Status, Upload, UploadEvent, new_upload_id
from uploads.storage import UploadStorage

SEED = b"a key for tests, of 32 bytes ..."
KEY = SigningKey(SEED)


@dataclass
class Trail:
    """A corner of the test bucket with the key of its seals."""

    storage: UploadStorage
    prefix: str = field(default_factory=lambda: f"audit-{secrets.token_hex(6)}/")
    key: SigningKey = KEY

    @property
    def store(self) -> SealStore:
        return SealStore(self.storage, self.prefix)

    def trusted(self) -> TrustedKeys:
        return TrustedKeys({self.key.id: self.key.public_key})

    def seal(self, **options: Any) -> list[Sealed]:
        return seal_audit(
            **{
                "store": self.store,
                "signing_key": self.key,
                "trusted_keys": self.trusted(),
                **options,
            }
        )

    def verify(self, **options: Any) -> Report:
        return verify_audit(
            **{"store": self.store, "trusted_keys": self.trusted(), **options}
        )

    def faults(self, **options: Any) -> list[tuple[str, str]]:
        """Return kind and subject of each fault, sorted."""
        report = self.verify(**options)
        return sorted((fault.kind.value, fault.subject) for fault in report.faults)


def backed_up() -> Callable[[], None]:
    """Remember the trail's tables; return a function that puts them back to that."""
    models: tuple[Any, ...] = (AuditSeal, Upload, UploadEvent)
    tables = [(model, list(rows_of(model).values())) for model in models]

    def restore() -> None:
        with without_triggers(), transaction.atomic():
            for model in reversed(models):
                delete(rows_of(model).all())
            for model, rows in tables:
                rows_of(model).bulk_create([model(**row) for row in rows])
            for statement in connection.ops.sequence_reset_sql(
                no_style(), [UploadEvent]
            ):
                execute(statement)

    return restore


def add_uploads(count: int, *, stored: bool = True) -> list[Upload]:
    """Insert uploads with the events that the recording service writes."""
    now = timezone.now()
    uploads = [
        Upload(
            id=(upload_id := new_upload_id()),
            bucket="mirrorsite-test",
            key=f"uploads/2026/11/23/{upload_id}.txt",
            status=Status.STORED if stored else Status.PENDING,
            size=4,
            sha256="ab" * 32,
            etag="0123456789abcdef" if stored else "",
            version_id="v1" if stored else "",
            number=1000 + n,
            requester_name="anonymous",
            client_address="192.0.2.7",
            user_agent="tests \u2603",
            request_id=f"request-{n}",
            created_at=now,
        )
        for n in range(count)
    ]
    Upload.objects.bulk_create(uploads)
    UploadEvent.objects.bulk_create(
        event for upload in uploads for event in _events(upload, stored=stored)
    )
    return uploads


def _events(upload: Upload, *, stored: bool) -> list[UploadEvent]:
    events = [
        UploadEvent(
            upload=upload,
            action=Action.REQUESTED,
            at=upload.created_at,
            actor=upload.requester_name,
            request_id=upload.request_id,
            detail={
                name: getattr(upload, name)
                for name in (
                    "bucket",
                    "key",
                    "size",
                    "sha256",
                    "number",
                    "client_address",
                    "user_agent",
                )
            },
        )
    ]
    if stored:
        events.append(
            UploadEvent(
                upload=upload,
                action=Action.STORED,
                at=upload.created_at + timedelta(milliseconds=3),
                actor=upload.requester_name,
                request_id=upload.request_id,
                detail={
                    name: getattr(upload, name)
                    for name in ("size", "sha256", "etag", "version_id")
                },
            )
        )
    return events
