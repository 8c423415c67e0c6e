"""Copies in the bucket that were altered, exchanged or taken away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uploads.audit.tampered.sealed_trail import LAST, examples, found
from tests.uploads.audit.tampering import as_owner, replaced, rows_of
from uploads.audit.serialization import seal_of
from uploads.models import AuditSeal, UploadEvent

pytestmark = pytest.mark.django_db


class TestCopies:
    @examples
    @given(data=st.data())
    def test_altered(self, trail, data):
        seal = seal_of(
            AuditSeal.objects.get(number=data.draw(st.sampled_from([1, 3, 4])))
        )
        key, subject = data.draw(
            st.sampled_from(
                [
                    (trail.copies.seal_key(seal.number), f"seal {seal.number}"),
                    (trail.copies.events_key(seal), f"events of seal {seal.number}"),
                ]
            )
        )
        content = bytearray(b"".join(trail.storage.read(key)))
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        with replaced(trail.storage, key, bytes(content)):
            assert trail.faults() == [("copy differs", subject)]

    @examples
    @given(number=st.integers(1, LAST))
    def test_deleted(self, trail, number):
        seal = seal_of(AuditSeal.objects.get(number=number))
        with replaced(trail.storage, trail.copies.seal_key(number), None):
            assert trail.faults() == [("copy missing", f"seal {number}")]
        if seal.event_count:
            with replaced(trail.storage, trail.copies.events_key(seal), None):
                assert trail.faults() == [("copy missing", f"events of seal {number}")]

    def test_exchanged(self, trail):
        first, second = (trail.copies.seal(n) for n in (1, 2))
        with (
            replaced(trail.storage, trail.copies.seal_key(1), second),
            replaced(trail.storage, trail.copies.seal_key(2), first),
        ):
            assert trail.faults() == [
                ("copy differs", "seal 1"),
                ("copy differs", "seal 2"),
            ]

    def test_event_and_its_copy_altered(self, trail):
        """The root still tells; only the event cannot be named any more."""
        seal = seal_of(AuditSeal.objects.get(number=1))
        with as_owner():
            rows_of(UploadEvent).filter(seal=1).update(actor="nobody")
            with replaced(trail.storage, trail.copies.events_key(seal), b"{}\n"):
                assert found(trail) == {
                    ("changed", "events of seal 1"),
                    ("copy differs", "events of seal 1"),
                }

    def test_grown(self, trail):
        """Whoever lays gigabytes there does not stop the verification."""
        with replaced(trail.storage, trail.copies.seal_key(1), b"x" * 10**6):
            assert trail.faults() == [("copy differs", "seal 1")]
            assert len(trail.copies.seal(1) or b"") < 10**5

    def test_foreign_object(self, trail):
        key = f"{trail.prefix}seals/12.json"
        with replaced(trail.storage, key, b"{}"):
            assert trail.faults() == [("invented", f"object {key}")]
