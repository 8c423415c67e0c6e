"""What one run of the sealer does, and which key may sign."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from mirrorsite.actors import Actor
from tests.uploads.audit.tampering import rows_of
from tests.uploads.audit.trails import KEY, add_uploads
from uploads import transitions
from uploads.audit.canonical import NO_SEAL, NotCanonicalError
from uploads.audit.keys import SigningKey, TrustedKeys
from uploads.audit.seal_store import SealStore
from uploads.audit.seals import Sealed
from uploads.audit.serialization import row_of, seal_of
from uploads.exceptions import AuditKeyError, SealError
from uploads.models import Action, AuditSeal, UploadEvent

pytestmark = pytest.mark.django_db


class TestSealAudit:
    def test_seal_audit__events_are_sealed_and_copied(self, trail):
        add_uploads(3)

        assert trail.seal() == [Sealed(number=1, event_count=6, is_recovered=False)]

        assert set(UploadEvent.objects.values_list("seal", flat=True)) == {1}
        seal = AuditSeal.objects.get()
        copy = json.loads(trail.store.seal(1) or b"")
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

    def test_seal_audit__idle(self, trail):
        trail.seal()
        assert trail.seal() == [Sealed(number=2, event_count=0, is_recovered=False)]
        assert trail.faults() == []
        assert list(trail.storage.list_keys(f"{trail.prefix}events/")) == []
        first, second = AuditSeal.objects.all()
        copy = trail.store.seal(1) or b""
        assert second.previous == hashlib.sha256(copy).hexdigest()
        assert first.event_count == 0

    def test_seal_audit__events_keep_coming__are_for_the_next_run(
        self, trail, monkeypatch
    ):
        """A run that went on until nothing came would never end under load."""
        add_uploads(3)
        put = SealStore.put

        def put_meanwhile(*arguments: Any) -> None:
            put(*arguments)
            assert AuditSeal.objects.count() < 4
            add_uploads(1)

        monkeypatch.setattr(SealStore, "put", put_meanwhile)
        made = trail.seal(events_per_seal=4)

        assert [sealed.event_count for sealed in made] == [4, 4, 2]
        assert UploadEvent.objects.filter(seal=None).count() == 2
        monkeypatch.undo()
        assert [sealed.event_count for sealed in trail.seal()] == [2]
        assert trail.faults() == []

    def test_seal_audit__many_without_canonical_form(self, trail):
        """More of them than one seal takes: the events behind them are sealed."""
        UploadEvent.objects.bulk_create(
            UploadEvent(
                upload=None,
                action=Action.AUDIT_CHECKED,
                at=timezone.now(),
                detail={"seconds": 0.5},
            )
            for _ in range(5)
        )
        add_uploads(2)
        made = trail.seal(events_per_seal=3)
        assert [(s.number, s.event_count) for s in made] == [(1, 3), (2, 1)]
        assert UploadEvent.objects.filter(seal=None).count() == 5

    def test_record__detail_without_canonical_form(self, trail):
        upload = add_uploads(1)[0]
        with pytest.raises(NotCanonicalError):
            transitions.record(
                upload, Action.VERIFIED, Actor(), detail={"seconds": [0.5]}
            )


class TestRotation:
    def test_abandoned_key_signs_no_more(self, trail):
        """Announced, but another key took over: a thief may have it."""
        lost, new = SigningKey(b"l" * 32), SigningKey(b"n" * 32)
        trusted = TrustedKeys({KEY.id: KEY.public_key})
        trail.seal(next_key=lost.public_key)
        trail.seal(next_key=new.public_key)
        trail.seal(signing_key=new)
        last = seal_of(AuditSeal.objects.get(number=3))
        stolen = replace(last, number=4, previous=last.hash(), key_id=lost.id)
        with pytest.raises(AuditKeyError, match="was replaced"):
            trail.seal(signing_key=lost)
        trail.store.put(lost.sign_seal(stolen), b"")
        with pytest.raises(SealError, match="unknown key"):
            trail.seal(signing_key=new, trusted_keys=trusted)
        for since in (None, 4):
            assert ("copy differs", "seal 4") in trail.faults(since=since)

    def test_retired_key_signs_no_more(self, trail):
        """The sealer refuses it; the seal is one that a thief would make."""
        new = SigningKey(b"n" * 32)
        trail.seal(next_key=new.public_key)
        keys = {KEY.id: KEY.public_key, new.id: new.public_key}
        trail.seal(signing_key=new, trusted_keys=TrustedKeys(keys))
        with pytest.raises(AuditKeyError, match="was replaced"):
            trail.seal(trusted_keys=TrustedKeys(keys))
        last = seal_of(AuditSeal.objects.get(number=2))
        stolen = KEY.sign_seal(
            replace(last, number=3, previous=last.hash(), key_id=KEY.id)
        )
        trail.store.put(stolen, b"")
        with pytest.raises(SealError, match="unknown key"):
            trail.seal(signing_key=new, trusted_keys=TrustedKeys(keys))
        assert trail.faults() == [("copy differs", "seal 3")]
        # The same when only what is new is looked at.
        rows_of(AuditSeal).bulk_create([row_of(stolen, trail.store)])
        named = [("copy differs", "seal 3"), ("unknown key", "seal 3")]
        assert trail.faults() == named
        assert set(trail.faults(since=3)) >= set(named)
