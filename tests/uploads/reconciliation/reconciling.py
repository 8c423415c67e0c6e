"""Reconciling in tests: the options, what is found, and what is put there to be found."""

from __future__ import annotations

from datetime import datetime, timedelta

from mirrorsite.actors import Actor
from tests.uploads import making
from uploads import transitions
from uploads.models import Action, Upload
from uploads.reconciliation import Options, reconcile, scan_pairs
from uploads.storage import upload_storage

ACTOR = Actor(name="command:reconcile_uploads")
NOW = Options(actor=ACTOR, min_age=timedelta(0))
FIX = Options(actor=ACTOR, min_age=timedelta(0), fix=True)


def found(
    options: Options = NOW, *, since: datetime | None = None
) -> list[tuple[str, str, str]]:
    findings = reconcile(options, scan_pairs(since))
    return [(f.kind.value, f.key, f.outcome) for f in findings]


def purged(*, age: timedelta = making.HOUR) -> Upload:
    """Return an upload recorded as purged whose object is still there."""
    upload = making.pending(age=age)
    making.put(upload)
    head = upload_storage().head(upload.key)
    transitions.record(upload, Action.STORED, making.ACTOR, etag=head.etag)
    transitions.record(upload, Action.PURGED, making.ACTOR)
    return upload
