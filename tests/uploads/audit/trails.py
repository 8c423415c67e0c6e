"""Trails made quickly, as the service would leave them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.core.management.color import no_style
from django.db import connection, transaction
from django.utils import timezone

from tests.uploads import making
from tests.uploads.audit.tampering import delete, execute, rows_of, without_triggers
from tests.uploads.making import ACTOR
from uploads import transitions
from uploads.audit.keys import SigningKey, TrustedKeys
from uploads.audit.report import Report
from uploads.audit.seal_store import SealStore
from uploads.audit.seals import Sealed, seal_audit
from uploads.audit.verification import verify_audit
from uploads.models import Action, AuditSeal, Upload, UploadEvent
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


@contextmanager
def connected_to(database: str) -> Iterator[None]:
    """Let the default connection, which the commands use, be to another database."""
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = database
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


def add_uploads(count: int, *, stored: bool = True) -> list[Upload]:
    """Record uploads as the service does, one after the other, without their objects."""
    return [_recorded(1000 + n, stored=stored) for n in range(count)]


def _recorded(number: int, *, stored: bool) -> Upload:
    upload = making.record(
        sha256="ab" * 32,
        number=number,
        client_address=ACTOR.address,
        user_agent="tests \u2603",
        request_id=ACTOR.request_id,
        created_at=timezone.now(),
    )
    if stored:
        found: dict[str, Any] = {"etag": "0123456789abcdef", "version_id": "v1"}
        detail = {"size": upload.size, "sha256": upload.sha256, **found}
        transitions.record(upload, Action.STORED, ACTOR, detail=detail, **found)
    return upload
