"""An older backup of the database, beside a bucket that has later seals."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.uploads import making
from tests.uploads.audit.trails import KEY, Trail, backed_up
from tests.uploads.making import ACTOR, run
from uploads import transitions
from uploads.audit import log
from uploads.audit.seal_store import PREFIX
from uploads.exceptions import SealError
from uploads.models import Action, AuditSeal, Upload, UploadEvent
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trail(bucket: UploadStorage, settings: Any) -> Trail:
    """Return the trail where the commands have it, with its key."""
    settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
    return Trail(bucket, prefix=PREFIX)


@dataclass
class Lost:
    """What the backup lacks, and the backup."""

    uploads: dict[str, Upload]
    restore: Callable[[], None]


@pytest.fixture
def lost(trail: Trail) -> Lost:
    """Restore a backup that lacks three seals, and what came after the last."""
    old, begun = making.stored(), making.pending()
    trail.seal()
    transitions.record_event(
        Action.DOWNLOADED, ACTOR, upload=old
    )  # unsealed in the backup
    restore = backed_up()
    transitions.record(old, Action.VERIFIED, ACTOR)
    transitions.record(begun, Action.FAILED, ACTOR, error="made to fail")
    new = making.stored()
    trail.seal()
    trail.seal()  # over silence
    by_hand = "uploads/by-hand.txt"
    trail.storage.client.put_object(
        Bucket=trail.storage.bucket_name, Key=by_hand, Body=b"hello"
    )
    run("reconcile_uploads", "--fix", "--min-age", "0s")
    log.record_event(Action.LOGGED_IN, ACTOR)
    trail.seal()
    unsealed = making.stored()
    adopted = Upload.objects.get(key=by_hand)
    restore()
    uploads = {
        "old": old,
        "begun": begun,
        "new": new,
        "adopted": adopted,
        "unsealed": unsealed,
    }
    return Lost(uploads, restore)


def test_refusal__names_what_helps_and_does_no_harm(trail, lost):
    """Who does as the message says can still bring the events back."""
    with pytest.raises(SealError) as refusal:
        trail.seal()
    told = str(refusal.value)
    command, helps = re.findall(r"manage\.py [a-z_]+(?: --[a-z-]+)*", told)
    assert helps == "manage.py restore_events"

    before = list(UploadEvent.objects.order_by("pk").values_list("pk", flat=True))
    status, text = run(*command.removeprefix("manage.py ").split())
    assert (status, "cut tail: seal 2" in text) == (1, True)
    after = list(UploadEvent.objects.order_by("pk").values_list("pk", flat=True))
    assert after == before
    assert run("restore_events")[0] == 0
    trail.seal()
    assert trail.faults() == []


def test_verify_audit__writes_nothing_behind_a_cut_tail(trail, lost):
    """Nor does it without the flag, as the daily job runs it."""
    before = UploadEvent.objects.count()
    told = StringIO()
    with pytest.raises(CommandError):
        call_command("verify_audit", stdout=StringIO(), stderr=told)
    assert "the check is not in the audit trail" in told.getvalue()
    assert UploadEvent.objects.count() == before
    assert run("restore_events")[0] == 0
    trail.seal()
    assert run("verify_audit")[0] == 0
    assert UploadEvent.objects.latest("pk").action == Action.AUDIT_CHECKED


def test_restored(trail, lost):
    assert run("restore_events")[0] == 0
    assert list(AuditSeal.objects.values_list("number", flat=True)) == [1, 2, 3, 4]
    assert trail.faults() == []
    trail.seal()
    assert trail.faults() == []
    assert not Upload.objects.filter(pk=lost.uploads["unsealed"].pk).exists()
    assert run("reconcile_uploads", "--fix", "--min-age", "0s")[0] == 1
    assert run("reconcile_uploads", "--min-age", "0s")[0] == 0
    trail.seal()
    assert trail.faults() == []
    assert {name: making.actions(upload) for name, upload in lost.uploads.items()} == {
        "old": ["requested", "stored", "downloaded", "verified"],
        "begun": ["requested", "failed"],
        "new": ["requested", "stored"],
        "adopted": ["adopted"],
        "unsealed": ["adopted"],
    }


def test_events_written_first__refuses_for_ever(trail, lost):
    """The lost events' numbers are taken; only the backup, once more, helps."""
    run("reconcile_uploads", "--fix", "--min-age", "0s")
    with pytest.raises(SealError, match="differs from what seal 2"):
        trail.seal()
    before = UploadEvent.objects.count()
    assert run("restore_events")[0] == 1
    assert UploadEvent.objects.count() == before
    with pytest.raises(SealError, match="differs from what seal 2"):
        trail.seal()

    lost.restore()
    assert run("restore_events")[0] == 0
    trail.seal()
    assert trail.faults() == []
