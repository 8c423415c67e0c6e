"""What is cut off at the head, the tail or in the middle, also when it is rebuilt."""

from __future__ import annotations

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from tests.uploads.audit.tampered.sealed_trail import (
    LAST,
    LATER,
    event_ids,
    examples,
    found,
)
from tests.uploads.audit.tampering import as_owner, delete, replaced, rows_of
from tests.uploads.audit.trails import KEY, Trail
from uploads.audit.canonical import Seal
from uploads.audit.keys import SigningKey
from uploads.models import AuditSeal, Upload, UploadEvent

pytestmark = pytest.mark.django_db


def taken_along(trail: Trail, key: SigningKey) -> Trail:
    """Return a corner of the attacker's own, with copies of the seals there are."""
    elsewhere = Trail(trail.storage, key=key)
    for seal in AuditSeal.objects.all():
        trail.storage.client.put_object(
            Bucket=trail.storage.bucket_name,
            Key=elsewhere.copies.seal_key(seal.number),
            Body=trail.copies.seal(seal.number) or b"",
        )
    return elsewhere


class TestCuts:
    @examples
    @given(kept=st.integers(1, LAST - 1))
    def test_head(self, trail, kept):
        with as_owner():
            events = rows_of(UploadEvent).filter(seal_id__lte=kept)
            expected = {("missing", f"event {pk}") for pk in event_ids(seal__lte=kept)}
            expected |= {("missing", f"seal {n}") for n in range(1, kept + 1)}
            uploads = list(events.values_list("upload_id", flat=True))
            delete(events)
            delete(rows_of(Upload).filter(pk__in=uploads))
            delete(rows_of(AuditSeal).filter(number__lte=kept))
            assert found(trail) == expected

    @examples
    @given(kept=st.integers(0, LAST - 1))
    def test_tail(self, trail, kept):
        """With nothing kept everything was deleted."""
        with as_owner():
            expected = {("missing", f"event {pk}") for pk in event_ids(seal__gt=kept)}
            expected |= {("cut tail", f"seal {n}") for n in range(kept + 1, LAST + 1)}
            events = rows_of(UploadEvent).filter(seal_id__gt=kept)
            uploads = list(events.values_list("upload_id", flat=True))
            delete(events)
            delete(rows_of(Upload).filter(pk__in=uploads))
            delete(rows_of(AuditSeal).filter(number__gt=kept))
            beside = {"sealing stopped"}
            now = timezone.now() + LATER
            assert found(trail, beside=beside, now=now) == expected
            # Without the bucket, a cut tail shows as seals that stopped.
            named = trail.faults(now=now, read_copies=False)
            assert named == [("sealing stopped", "the trail")]

    @examples
    @given(gone=st.integers(2, LAST - 1))
    def test_seal_from_the_middle(self, trail, gone):
        with as_owner():
            delete(rows_of(AuditSeal).filter(number=gone))
            assert found(trail) == {("missing", f"seal {gone}")}
            assert ("missing", f"seal {gone}") in trail.faults(read_copies=False)

    @examples
    @given(kept=st.integers(0, LAST - 1), data=st.data())
    def test_rebuilt_with_another_key(self, trail, kept, data):
        """The tail is cut, its story changed, and sealed again by the attacker."""
        key = SigningKey(b"another key, known to nobody ...")
        with as_owner():
            rows_of(UploadEvent).filter(seal_id__gt=kept).update(
                seal_id=None, actor="nobody"
            )
            delete(rows_of(AuditSeal).filter(number__gt=kept))
            elsewhere = taken_along(trail, key)
            elsewhere.seal()
            named = found(trail, now=timezone.now() + LATER, beside=set())
            assert ("changed", f"seal {kept + 1}") in named
            # The same with the bucket's copies replaced.
            forged = elsewhere.copies.seal(kept + 1)
            with replaced(trail.storage, trail.copies.seal_key(kept + 1), forged):
                named = found(trail, now=timezone.now() + LATER, beside=set())
            assert ("unknown key", f"seal {kept + 1}") in named
            assert ("copy differs", f"seal {kept + 1}") in named

    @examples
    @given(kept=st.integers(0, LAST - 1))
    def test_rebuilt_in_the_name_of_the_key(self, trail, kept):
        class Impostor(SigningKey):
            def sign(self, seal: Seal) -> Seal:
                signature = super().sign(seal).signature
                return seal.with_signature(bytes.fromhex(signature)[::-1])

        with as_owner():
            delete(rows_of(UploadEvent).filter(seal_id__gt=kept))
            delete(rows_of(AuditSeal).filter(number__gt=kept))
            elsewhere = taken_along(trail, Impostor(KEY._seed))
            elsewhere.seal()
            forged = elsewhere.copies.seal(kept + 1)
            with replaced(trail.storage, trail.copies.seal_key(kept + 1), forged):
                named = found(trail, beside=set())
            assert ("forged signature", f"seal {kept + 1}") in named
            assert ("copy differs", f"seal {kept + 1}") in named
