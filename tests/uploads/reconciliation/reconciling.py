"""Reconciling in tests: the options, what is found, and what is put there to be found."""

from __future__ import annotations

from datetime import timedelta

from mirrorsite.actors import Actor
from tests.uploads import making
from uploads import transitions
from uploads.models import Action, Upload
from uploads.reconciliation import Options, reconcile, scan_pairs
from uploads.storage import UploadStorage, upload_storage

ACTOR = Actor(name="command:reconcile_uploads")
NOW = Options(actor=ACTOR, min_age=timedelta(0))
FIX = Options(actor=ACTOR, min_age=timedelta(0), fix=True)


def found(options: Options = NOW) -> list[tuple[str, str, str]]:
    return [(f.kind.value, f.key, f.outcome) for f in reconcile(options, scan_pairs())]


def put_raw(bucket: UploadStorage, key: str, body: bytes, **metadata: str) -> None:
    bucket.client.put_object(
        Bucket=bucket.bucket_name, Key=key, Body=body, Metadata=metadata
    )


def purged(*, age: timedelta = making.HOUR) -> Upload:
    """Return an upload recorded as purged whose object is still there."""
    upload = making.pending(age=age)
    making.put(upload)
    head = upload_storage().head(upload.key)
    transitions.record(upload, Action.STORED, making.ACTOR, etag=head.etag)
    transitions.record(upload, Action.PURGED, making.ACTOR)
    return upload
