"""Copies in the bucket that were changed, deleted, hidden or added."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.uploads.audit.tampering import LAST, as_owner, found, replaced, rows_of
from tests.uploads.audit.trails import KEY
from uploads.audit.serialization import row_of, seal_of
from uploads.exceptions import SealError, StoreRefusedError
from uploads.models import AuditSeal, UploadEvent
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db


class TestCopies:
    @pytest.mark.parametrize("number", [1, 3, 4])
    def test_altered(self, trail, number):
        seal = seal_of(AuditSeal.objects.get(number=number))
        for key, subject in (
            (trail.store.seal_object_key(number), f"seal {number}"),
            (trail.store.events_object_key(seal), f"events of seal {number}"),
        ):
            whole = b"".join(trail.storage.read(key))
            for place in (0, len(whole) // 2, len(whole) - 1):
                content = bytearray(whole)
                content[place] ^= 1
                with replaced(trail.storage, key, bytes(content)):
                    assert trail.faults() == [("copy differs", subject)]

    @pytest.mark.parametrize("number", [1, 2, LAST])
    def test_deleted(self, trail, number):
        seal = seal_of(AuditSeal.objects.get(number=number))
        with replaced(trail.storage, trail.store.seal_object_key(number), None):
            assert trail.faults() == [("copy missing", f"seal {number}")]
        if seal.event_count:
            with replaced(trail.storage, trail.store.events_object_key(seal), None):
                assert trail.faults() == [("copy missing", f"events of seal {number}")]

    @pytest.mark.parametrize(
        "line", [b"{}\n", b"[]\n", b"\xff\n", b"[" * 10**5 + b"\n"]
    )
    def test_signed_and_no_event(self, trail, line):
        """Whoever stole the key does not crash the verification or the sealer."""
        last = seal_of(AuditSeal.objects.get(number=LAST))
        root = hashlib.sha256(line).hexdigest()
        number = LAST + 1
        forged = replace(last, number=number, root=root, previous=last.hash())
        trail.store.put(KEY.sign_seal(forged), line)
        assert ("cut tail", f"seal {number}") in trail.faults()
        with pytest.raises(SealError, match="a line is not an event"):
            trail.seal()
        with as_owner():
            row_of(KEY.sign_seal(forged), trail.store).save(force_insert=True)
            assert trail.faults() == [("changed", f"events of seal {number}")]

    def test_miscounted_by_the_key(self, trail):
        last = seal_of(AuditSeal.objects.get(number=LAST))
        forged = replace(
            last, number=LAST + 1, previous=last.hash(), event_count=0, first_event=7
        )
        trail.store.put(KEY.sign_seal(forged), b"")
        row_of(KEY.sign_seal(forged), trail.store).save(force_insert=True)
        assert trail.faults() == [("changed", f"events of seal {LAST + 1}")]

    def test_exchanged(self, trail):
        first, second = (trail.store.seal(n) for n in (1, 2))
        with (
            replaced(trail.storage, trail.store.seal_object_key(1), second),
            replaced(trail.storage, trail.store.seal_object_key(2), first),
        ):
            assert found(trail) == {("copy differs", f"seal {n}") for n in (1, 2)}

    def test_event_and_its_copy_altered(self, trail):
        """The root still tells; only the event cannot be named any more."""
        seal = seal_of(AuditSeal.objects.get(number=1))
        with as_owner():
            rows_of(UploadEvent).filter(seal=1).update(actor="nobody")
            with replaced(trail.storage, trail.store.events_object_key(seal), b"{}\n"):
                assert found(trail) == {
                    ("changed", "events of seal 1"),
                    ("copy differs", "events of seal 1"),
                }

    @pytest.mark.parametrize("code", ["InvalidObjectState", "KMS.DisabledException"])
    def test_unreadable(self, trail, monkeypatch, code):
        """Archived, or encrypted with another key: the others are verified all the same."""
        seal = seal_of(AuditSeal.objects.get(number=1))
        read = UploadStorage.read
        for key, subject in (
            (trail.store.seal_object_key(1), "seal 1"),
            (trail.store.events_object_key(seal), "events of seal 1"),
        ):

            def refuse(
                storage: UploadStorage, asked: str, *rest: Any, **options: Any
            ) -> Iterator[bytes]:
                if asked == key:  # noqa: B023 used before the next one
                    raise StoreRefusedError(f"403 {code}", code)
                yield from read(storage, asked, *rest, **options)

            monkeypatch.setattr(UploadStorage, "read", refuse)
            assert trail.faults() == [("copy differs", subject)]

    def test_grown(self, trail):
        """Whoever lays gigabytes there does not stop the verification."""
        with replaced(trail.storage, trail.store.seal_object_key(1), b"x" * 10**6):
            assert trail.faults() == [("copy differs", "seal 1")]
            assert len(trail.store.seal(1) or b"") < 10**5

    @pytest.mark.parametrize(
        "name", ["seals/12.json", "events/x", "events/0000000001-ab.jsonl"]
    )
    def test_foreign_object(self, trail, name):
        key = f"{trail.prefix}{name}"
        with replaced(trail.storage, key, b"{}"):
            assert trail.faults() == [("invented", f"object {key}")]
            assert trail.faults(read_copies=False) == []
