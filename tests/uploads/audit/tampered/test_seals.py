"""Seals that were changed, cut off, or replaced by those of another key."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.uploads.audit.tampering import (
    A_BIT_LATER,
    LAST,
    LATER,
    OTHER_HEX,
    as_owner,
    assign,
    delete,
    drop_primary_key,
    each,
    event_ids,
    execute,
    found,
    insert_twin,
    replaced,
    rows_of,
)
from tests.uploads.audit.trails import KEY, Trail
from tests.uploads.making import put_raw
from uploads.audit.canonical import Seal
from uploads.audit.keys import SigningKey
from uploads.audit.serialization import row_of, seal_of
from uploads.models import AuditSeal, Upload, UploadEvent

pytestmark = pytest.mark.django_db

OF_SEALS = (
    ("sealed_at", A_BIT_LATER),
    ("first_event", "coalesce({}, 0) + 1"),
    ("last_event", "coalesce({}, 0) + 1"),
    ("event_count", "{} + 1"),
    ("root", OTHER_HEX),
    ("previous", OTHER_HEX),
    ("signature", OTHER_HEX),
    ("key_id", OTHER_HEX),
    ("next_key", "'ab'"),
    ("object_key", "{} || 'x'"),
)


class TestSeals:
    @pytest.mark.parametrize("number", [1, LAST])
    def test_any_field_changed(self, trail, number):
        for column, _ in each("uploads_auditseal", f"number = {number}", OF_SEALS):
            (fault,) = trail.verify().faults
            kind = "forged signature" if column == "signature" else "changed"
            assert (fault.kind, fault.subject) == (kind, f"seal {number}"), column
            assert column == "signature" or column in fault.detail

    @pytest.mark.parametrize("number", [2, LAST])
    def test_time_unreadable(self, trail, number):
        change = (("sealed_at", "'infinity'"),)
        for _ in each("uploads_auditseal", f"number = {number}", change):
            assert trail.faults() == [("changed", f"seal {number}")]
            # What it was to be compared with is named by a run over everything.
            if number != LAST:
                stopped = ("sealing stopped", "the audit trail")
                assert stopped not in trail.faults(since=LAST)

    def test_time_unreadable__its_events_are_checked(self, trail):
        event = event_ids(seal=3)[0]
        with as_owner():
            assign("uploads_uploadevent", f"id = {event}", "actor", "'x'")
            assign("uploads_auditseal", "number = 3", "sealed_at", "'infinity'")
            expected = {("changed", "seal 3"), ("changed", f"event {event}")}
            assert found(trail) == expected

    def test_time_unreadable__the_key_it_announces_is_trusted(self, trail):
        new = SigningKey.generate()
        trail.seal(next_key=new.public_key)
        trail.seal(signing_key=new)
        announcing = LAST + 1
        with as_owner():
            seal = f"number = {announcing}"
            assign("uploads_auditseal", seal, "sealed_at", "'infinity'")
            assert trail.faults() == [("changed", f"seal {announcing}")]

    @pytest.mark.parametrize("time", ["infinity", "-infinity"])
    def test_time_unreadable__since(self, trail, time):
        last = AuditSeal.objects.get(number=LAST).sealed_at
        with as_owner():
            seal = f"number = {LAST}"
            assign("uploads_auditseal", seal, "sealed_at", f"'{time}'")
            for since in (last, last + timedelta(days=1)):
                assert trail.faults(since=since) == [("changed", f"seal {LAST}")]

    def test_since__rows_before_the_start_deleted(self, trail):
        """The rows choose the start of `since`: without seal 3, it would be seal 4."""
        since = AuditSeal.objects.get(number=3).sealed_at
        with as_owner():
            delete(rows_of(UploadEvent).filter(seal_id=3))
            delete(rows_of(AuditSeal).filter(number=3))
            for start in (since, 4):
                assert ("missing", "seal 3") in trail.faults(since=start)
                assert ("missing", "seal 3") in trail.faults(
                    since=start, read_copies=False
                )

    @pytest.mark.parametrize("time", ["-infinity", "2020-01-01"])
    def test_since__rows_dated_before_the_start(self, trail, time):
        since = AuditSeal.objects.get(number=3).sealed_at
        with as_owner():
            execute("UPDATE uploads_uploadevent SET actor = 'x' WHERE seal_id = 3")
            execute(
                "UPDATE uploads_auditseal SET sealed_at = %s WHERE number = 3", time
            )
            found_since = trail.faults(since=since)
        unreadable, dated = ("changed", "seal 3"), ("broken chain", "seal 4")
        assert (unreadable if time == "-infinity" else dated) in found_since

    @pytest.mark.parametrize("pair", [(1, 2), (3, LAST)])
    def test_signatures_exchanged(self, trail, pair):
        signatures = dict(AuditSeal.objects.values_list("number", "signature"))
        with as_owner():
            for number, other in (pair, pair[::-1]):
                row = rows_of(AuditSeal).filter(pk=number)
                row.update(signature=signatures[other])
            expected = {("forged signature", f"seal {n}") for n in pair}
            assert found(trail) == expected
            assert found(trail, read_copies=False) >= expected

    def test_fork_signed_by_the_key(self, trail):
        """Who has the private key still cannot replace what the chain goes through."""
        with as_owner():
            seal = seal_of(AuditSeal.objects.get(number=2))
            forged = KEY.sign_seal(replace(seal, event_count=7, signature=""))
            delete(rows_of(AuditSeal).filter(number=2))
            rows_of(AuditSeal).bulk_create([row_of(forged, trail.store)])
            assert found(trail) == {("changed", "seal 2")}
            # With the copy replaced as well, the next seal still names the first one.
            key = trail.store.seal_object_key(2)
            with replaced(trail.storage, key, forged.file_bytes()):
                assert found(trail) == {
                    ("broken chain", "seal 3"),
                    ("changed", "events of seal 2"),  # it miscounts them
                }

    @pytest.mark.parametrize("number", [2, LAST])
    @pytest.mark.parametrize("value", ["NULL", "upper({})"])
    def test_signature_null_or_in_capitals(self, trail, number, value):
        forged = ("forged signature", f"seal {number}")
        with as_owner():
            execute("ALTER TABLE uploads_auditseal ALTER signature DROP NOT NULL")
            assign("uploads_auditseal", f"number = {number}", "signature", value)
            assert trail.faults() == [forged]
            assert forged in trail.faults(read_copies=False)

    def test_number_null(self, trail):
        with as_owner():
            seal = f"number = {LAST}"
            drop_primary_key("uploads_auditseal", "number")
            insert_twin("uploads_auditseal", seal, number="NULL")
            assert trail.faults() == [("invented", "seal None")]


def cut(**which: Any) -> None:
    """Delete these seals with all that is under them."""
    events = rows_of(UploadEvent).filter(
        **{f"seal_id__{k}": v for k, v in which.items()}
    )
    uploads = list(events.values_list("upload_id", flat=True))
    delete(events)
    delete(rows_of(Upload).filter(pk__in=uploads))
    delete(rows_of(AuditSeal).filter(**{f"number__{k}": v for k, v in which.items()}))


def taken_along(trail: Trail, key: SigningKey) -> Trail:
    """Return a corner of the attacker's own, with copies of the seals there are."""
    elsewhere = Trail(trail.storage, key=key)
    for seal in AuditSeal.objects.all():
        copy = trail.store.seal(seal.number) or b""
        put_raw(trail.storage, elsewhere.store.seal_object_key(seal.number), copy)
    return elsewhere


class Impostor(SigningKey):
    """Signs in the name of a key that it does not have."""

    def sign_seal(self, seal: Seal) -> Seal:
        signature = super().sign_seal(seal).signature
        return replace(seal, signature=bytes.fromhex(signature)[::-1].hex())


class TestCuts:
    @pytest.mark.parametrize("last", [1, LAST - 1])
    def test_head(self, trail, last):
        with as_owner():
            expected = {("missing", f"event {pk}") for pk in event_ids(seal__lte=last)}
            expected |= {("missing", f"seal {n}") for n in range(1, last + 1)}
            cut(lte=last)
            assert found(trail) == expected

    @pytest.mark.parametrize("kept", [0, 2, LAST - 1])
    def test_tail(self, trail, kept):
        """With nothing kept everything was deleted."""
        with as_owner():
            expected = {("missing", f"event {pk}") for pk in event_ids(seal__gt=kept)}
            expected |= {("cut tail", f"seal {n}") for n in range(kept + 1, LAST + 1)}
            cut(gt=kept)
            now = timezone.now() + LATER
            assert found(trail, beside={"sealing stopped"}, now=now) == expected
            # Without the bucket, a cut tail shows as seals that stopped.
            named = trail.faults(now=now, read_copies=False)
            assert named == [("sealing stopped", "the audit trail")]

    @pytest.mark.parametrize("gone", range(2, LAST))
    def test_seal_from_the_middle(self, trail, gone):
        with as_owner():
            delete(rows_of(AuditSeal).filter(number=gone))
            assert found(trail) == {("missing", f"seal {gone}")}
            assert ("missing", f"seal {gone}") in trail.faults(read_copies=False)

    @pytest.mark.parametrize("kept", [0, 2, LAST - 1])
    def test_rebuilt_with_another_key(self, trail, kept):
        """The tail is cut, its story changed, and sealed again by the attacker."""
        key = SigningKey(b"another key, known to nobody ...")
        options: dict[str, Any] = {"now": timezone.now() + LATER, "beside": set()}
        with as_owner():
            tail = rows_of(UploadEvent).filter(seal_id__gt=kept)
            tail.update(seal_id=None, actor="nobody")
            delete(rows_of(AuditSeal).filter(number__gt=kept))
            elsewhere = taken_along(trail, key)
            elsewhere.seal()
            assert ("changed", f"seal {kept + 1}") in found(trail, **options)
            # The same with the bucket's copies replaced.
            forged = elsewhere.store.seal(kept + 1)
            with replaced(trail.storage, trail.store.seal_object_key(kept + 1), forged):
                named = found(trail, **options)
            assert ("unknown key", f"seal {kept + 1}") in named
            assert ("copy differs", f"seal {kept + 1}") in named

    @pytest.mark.parametrize("kept", [0, 2, LAST - 1])
    def test_rebuilt_in_the_name_of_the_key(self, trail, kept):
        with as_owner():
            delete(rows_of(UploadEvent).filter(seal_id__gt=kept))
            delete(rows_of(AuditSeal).filter(number__gt=kept))
            elsewhere = taken_along(trail, Impostor(KEY._seed))
            elsewhere.seal()
            forged = elsewhere.store.seal(kept + 1)
            with replaced(trail.storage, trail.store.seal_object_key(kept + 1), forged):
                named = found(trail, beside=set())
            assert ("forged signature", f"seal {kept + 1}") in named
            assert ("copy differs", f"seal {kept + 1}") in named
