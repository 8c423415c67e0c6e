from __future__ import annotations

import hashlib
import json

import pytest

from tests.uploads.audit.trails import Trail, add_uploads
from uploads.audit.canonical import NO_SEAL
from uploads.audit.seals import Sealed
from uploads.models import AuditSeal, UploadEvent
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db


@pytest.fixture
def trail(bucket: UploadStorage) -> Trail:
    return Trail(bucket)


class TestSealAudit:
    def test_seal_audit__events_are_sealed_and_copied(self, trail: Trail) -> None:
        add_uploads(3)

        assert trail.seal() == [Sealed(number=1, event_count=6, finished=False)]

        assert set(UploadEvent.objects.values_list("seal", flat=True)) == {1}
        seal = AuditSeal.objects.get()
        copy = json.loads(trail.copies.seal(1) or b"")
        assert copy["number"] == 1
        assert copy["previous"] == NO_SEAL
        assert copy["signature"] == seal.signature
        events = b"".join(
            trail.storage.read(f"{trail.prefix}events/0000000001-{seal.root}.jsonl")
        )
        assert hashlib.sha256(events).hexdigest() == seal.root
        assert [json.loads(line)["id"] for line in events.splitlines()] == list(
            UploadEvent.objects.values_list("id", flat=True)
        )
        assert trail.faults() == []

    def test_seal_audit__idle(self, trail: Trail) -> None:
        trail.seal()
        assert trail.seal() == [Sealed(number=2, event_count=0, finished=False)]
        assert trail.faults() == []
        assert list(trail.storage.list_keys(f"{trail.prefix}events/")) == []
        first, second = AuditSeal.objects.all()
        copy = trail.copies.seal(1) or b""
        assert second.previous == hashlib.sha256(copy).hexdigest()
        assert first.event_count == 0

    def test_seal_audit__several_seals_in_a_run(self, trail: Trail) -> None:
        add_uploads(5)
        made = trail.seal(events_per_seal=4)
        assert [sealed.event_count for sealed in made] == [4, 4, 2]
        assert trail.faults() == []
