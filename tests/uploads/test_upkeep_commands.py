"""reconcile_uploads, verify_uploads and purge_uploads as their operators meet them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.utils import timezone

from tests.uploads import making
from tests.uploads.making import run
from uploads import purging, trail, verification
from uploads.exceptions import (
    BucketMissingError,
    OtherBucketError,
    StoreRefusedError,
    StoreUnavailableError,
    TrailUnavailableError,
    TransitionError,
)
from uploads.management.command import Interrupted
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.reconciliation import Word
from uploads.storage import PART_BYTES, StoredObject, UploadStorage

pytestmark = pytest.mark.django_db

GONE = ["the object is not in the bucket"]


class TestReconcileUploads:
    def test_dry_run__then_fix__then_fine(self, bucket: UploadStorage) -> None:
        upload = making.pending()
        line = f"pending and absent: {upload.key}"
        assert run("reconcile_uploads") == (
            1,
            f"{line}\n1 key compared, 1 difference\n",
        )
        assert run("reconcile_uploads", "--fix") == (
            1,
            f"{line} -> failed\n1 key compared, 1 difference, 1 repaired\n",
        )
        assert run("reconcile_uploads", "--fix") == (
            0,
            "1 key compared, 0 differences\n",
        )
        event = upload.events.get(action=Action.FAILED)
        assert event.actor == "command:reconcile_uploads"

    @pytest.mark.parametrize("exists", [True, False])
    def test_another_bucket__nothing_recorded(
        self, bucket: UploadStorage, other_bucket: Any, exists: bool
    ) -> None:
        """A wrong bucket name is no proof that every object was lost."""
        stored, pending = making.stored(), making.pending()
        other_bucket(exists=exists)
        status, text = run("reconcile_uploads", "--fix")
        if exists:
            assert status == 1
            for upload in (stored, pending):
                assert f"recorded in another bucket: {upload.key} (left" in text
            assert "2 left alone" in text
        else:
            assert status == 2
        assert making.actions(stored) == ["requested", "stored"]
        assert making.actions(pending) == ["requested"]

    def test_another_bucket__holds_the_same_key(
        self, bucket: UploadStorage, other_bucket: Any
    ) -> None:
        upload = making.stored()
        other_bucket()
        making.put(upload)
        for flag in ("--checksums", "--fix"):
            status, text = run("reconcile_uploads", flag)
            assert status == 1
            assert text.startswith(f"recorded in another bucket: {upload.key}")
        assert making.actions(upload) == ["requested", "stored"]

    def test_no_bucket__nothing_recorded(self, bucket: UploadStorage) -> None:
        """HEAD's bare 404 is the same for an object and a bucket that is not there."""
        upload = making.stored()
        making.delete_object(bucket, upload.key)
        bucket.client.delete_bucket(Bucket=bucket.bucket_name)
        assert run("reconcile_uploads", "--fix")[0] == 2
        assert run("verify_uploads")[0] == 2
        with pytest.raises(BucketMissingError):
            verification.verify_upload(upload, caller=making.CALLER)
        bucket.ensure_bucket()
        assert making.actions(upload) == ["requested", "stored"]

    def test_json(self, bucket: UploadStorage) -> None:
        upload = making.stored()
        making.delete_object(bucket, upload.key)
        status, text = run("reconcile_uploads", "--json", "--checksums", "--jobs", "2")
        finding, summary = map(json.loads, text.splitlines())
        assert status == 1
        assert (finding["word"], finding["upload_id"]) == (
            "stored but missing",
            str(upload.pk),
        )
        assert summary == {
            "keys": 1,
            "differences": {"stored but missing": 1},
            "outcomes": {"found": 1},
        }

    def test_min_age(self, bucket: UploadStorage) -> None:
        making.pending(age=timedelta(minutes=30))
        assert run("reconcile_uploads", "--min-age", "1h")[0] == 0
        assert run("reconcile_uploads", "--min-age", "29m")[0] == 1

    def test_min_age__a_quarter_of_an_hour_unless_told(
        self, bucket: UploadStorage
    ) -> None:
        making.pending(age=timedelta(minutes=14))
        assert run("reconcile_uploads")[0] == 0
        old = making.pending(age=timedelta(minutes=16))
        assert old.key in run("reconcile_uploads")[1]

    def test_since(self, bucket: UploadStorage) -> None:
        making.stored()
        lost = making.pending(age=timedelta(days=9))
        trail.record(lost, Action.STORED, making.CALLER)
        assert run("reconcile_uploads", "--since", "1d") == (
            0,
            "1 key compared, 0 differences\n",
        )
        assert run("reconcile_uploads", "--since", "9d")[0] == 1

    def test_bucket_away(self, make_storage: Any) -> None:
        make_storage(endpoint_url="http://127.0.0.1:1", max_attempts=1)
        assert run("reconcile_uploads") == (2, "")

    def test_interrupted__run_again(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was repaired stands and is told; the second run does the rest."""
        uploads = [making.pending() for _ in range(3)]
        record = trail.record

        def interrupt_at_second(upload: Upload, *args: Any, **kwargs: Any) -> None:
            if upload.pk == uploads[1].pk:
                raise KeyboardInterrupt
            record(upload, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(trail, "record", interrupt_at_second)
            with pytest.raises(Interrupted) as caught:
                call_command("reconcile_uploads", "--fix", stdout=StringIO())
        assert caught.value.returncode == 130
        assert str(caught.value) == (
            "interrupted; 1 key compared, 1 difference, 1 repaired."
        )
        assert run("reconcile_uploads", "--fix")[1].endswith(
            "3 keys compared, 2 differences, 2 repaired\n"
        )
        for upload in uploads:
            assert making.actions(upload) == ["requested", "failed"]


Snapshot = tuple[list[Any], list[Any], list[Any], list[Any]]


class TestEveryWord:
    """One difference of each kind at once."""

    #: The event that settles each; None where there is none to write.
    SETTLED = {
        "pending and present": "stored",
        "pending and absent": "failed",
        "stored but missing": "missing",
        "size or checksum differs": "corrupted",
        "object without record": "adopted",
        "purged but present": "purged",
        "failed but present": "stored",
        "missing but present": "verified",
        "recorded in another bucket": None,
        "begun in parts and left": None,
    }

    @pytest.fixture
    def uploads(self, bucket: UploadStorage) -> dict[str, Upload | None]:
        present, absent, late = making.pending(), making.pending(), making.failed()
        making.put(present)
        making.put(late)
        gone, other, kept, back, parts = (making.stored() for _ in range(5))
        making.delete_object(bucket, gone.key)
        making.overwrite(bucket, other.key, b"other")
        trail.record(kept, Action.PURGED, making.CALLER)
        trail.record(back, Action.MISSING, making.CALLER)
        elsewhere = making.pending()
        Upload.objects.filter(pk=elsewhere.pk).update(bucket="another-bucket")
        client, name = bucket.client, bucket.bucket_name
        client.put_object(Bucket=name, Key="uploads/stray.txt", Body=b"stray")
        client.create_multipart_upload(Bucket=name, Key=parts.key)
        return {
            "pending and present": present,
            "pending and absent": absent,
            "stored but missing": gone,
            "size or checksum differs": other,
            "object without record": None,
            "purged but present": kept,
            "failed but present": late,
            "missing but present": back,
            "recorded in another bucket": elsewhere,
            "begun in parts and left": parts,
        }

    def snapshot(self, bucket: UploadStorage) -> Snapshot:
        return (
            list(Upload.objects.order_by("pk").values()),
            list(UploadEvent.objects.order_by("pk").values()),
            list(bucket.listing("")),
            list(bucket.unfinished("")),
        )

    @pytest.mark.parametrize("flags", [(), ("--checksums",), ("--json",)])
    def test_without_fix__told_and_nothing_changes(
        self,
        bucket: UploadStorage,
        uploads: dict[str, Upload | None],
        flags: tuple[str, ...],
    ) -> None:
        before = self.snapshot(bucket)
        status, text = run("reconcile_uploads", "--min-age", "0s", *flags)
        assert status == 1
        for word, upload in uploads.items():
            key = upload.key if upload else "uploads/stray.txt"
            if flags == ("--json",):
                findings = [json.loads(line) for line in text.splitlines()[:-1]]
                assert (word, key) in {(f["word"], f["key"]) for f in findings}
            else:
                assert f"{word}: {key}" in text
        assert len(text.splitlines()) == len(Word) + 1
        assert self.snapshot(bucket) == before

    def test_fix__each_repair_is_an_event(
        self, bucket: UploadStorage, uploads: dict[str, Upload | None]
    ) -> None:
        assert set(self.SETTLED) == set(uploads) == set(Word.values)
        before = {
            word: making.actions(upload) for word, upload in uploads.items() if upload
        }
        assert run("reconcile_uploads", "--fix", "--min-age", "0s")[0] == 1
        stray = Upload.objects.get(key="uploads/stray.txt")
        assert making.actions(stray) == ["adopted"]
        for word, upload in uploads.items():
            if upload:
                new = making.actions(upload)[len(before[word]) :]
                settled = self.SETTLED[word]
                assert new == ([settled] if settled else []), word
        for event in UploadEvent.objects.filter(actor="command:reconcile_uploads"):
            if event.action != "adopted":
                found = uploads[event.detail["finding"]]
                assert found is not None
                assert event.upload_id == found.pk
        status, text = run("reconcile_uploads", "--fix", "--min-age", "0s")
        assert status == 1  # another bucket is for people to settle
        assert len(text.splitlines()) == 2


class TestVerifyUploads:
    def test_outcomes(self, bucket: UploadStorage) -> None:
        """Whole, gone, overwritten; and one that came back."""
        good, gone, changed, back = (making.stored() for _ in range(4))
        making.delete_object(bucket, gone.key)
        making.overwrite(bucket, changed.key, b"other")
        trail.record(back, Action.MISSING, making.CALLER)
        making.failed()
        making.pending()

        status, text = run("verify_uploads")
        assert status == 1
        assert text.splitlines()[-1] == (
            "4 uploads looked at: 1 corrupted, 1 missing, 2 verified"
        )
        assert [
            Upload.objects.get(pk=upload.pk).status
            for upload in (good, gone, changed, back)
        ] == [Status.STORED, Status.MISSING, Status.CORRUPTED, Status.STORED]
        event = good.events.get(action=Action.VERIFIED)
        assert event.detail == {"method": "head", "sha256_from": "store"}
        assert event.actor == "command:verify_uploads"

    def test_fine(self, bucket: UploadStorage) -> None:
        making.stored()
        assert run("verify_uploads") == (0, "1 upload looked at: 1 verified\n")
        assert run("verify_uploads", "--since", "2026-01-01")[0] == 0
        status, text = run("verify_uploads", "--since", "2999-01-01", "--json")
        assert (status, json.loads(text)) == (0, {"uploads": 0, "outcomes": {}})

    def test_objects_in_parts__by_their_etag(self, bucket: UploadStorage) -> None:
        """The store tells no checksum of the whole, but what it took is unchanged."""
        upload = making.stored(size=PART_BYTES + 1)
        assert run("verify_uploads")[0] == 0
        event = upload.events.get(action=Action.VERIFIED)
        assert event.detail == {"method": "head", "sha256_from": "etag"}
        assert run("verify_uploads", "--read")[0] == 0
        assert upload.events.latest("id").detail["sha256_from"] == "bytes"

    def test_objects_in_parts__overwritten(self, bucket: UploadStorage) -> None:
        """What the metadata says was copied along; nobody believes it."""
        upload = making.stored(size=PART_BYTES + 1)
        making.overwrite_in_parts(bucket, upload)
        status, text = run("verify_uploads", "--json")
        fault = json.loads(text.splitlines()[0])
        assert (status, fault["action"]) == (1, "corrupted")
        assert fault["differences"][0].startswith("SHA-256 is ")
        detail = upload.events.get(action=Action.CORRUPTED).detail
        assert detail["sha256_from"] == "bytes"

    def test_no_checksum_of_the_store__not_called_corrupted(
        self, bucket: UploadStorage
    ) -> None:
        bucket.client.put_object(
            Bucket=bucket.bucket_name, Key="uploads/by-hand.txt", Body=b"hello"
        )
        run("reconcile_uploads", "--fix", "--min-age", "0s")
        assert run("verify_uploads") == (0, "1 upload looked at: 1 verified\n")

    def test_interrupted__resumed(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was done stands, and the second run does the rest and no more."""
        monkeypatch.setattr(verification, "PAGE", 2)
        for _ in range(5):
            making.stored()
        record = verification.record_verification
        begun = timezone.now()

        def interrupt_at_third(*args: Any, **kwargs: Any) -> None:
            if UploadEvent.objects.filter(action=Action.VERIFIED).count() == 2:
                raise KeyboardInterrupt
            record(*args, **kwargs)

        monkeypatch.setattr(verification, "record_verification", interrupt_at_third)
        with pytest.raises(Interrupted) as caught:
            call_command("verify_uploads", "--jobs", "2")
        told = str(caught.value)
        assert caught.value.returncode == 130
        assert "2 uploads looked at: 2 verified" in told
        resume_at = told.removesuffix(".").rpartition("--not-verified-since ")[2]
        assert resume_at >= begun.isoformat()

        monkeypatch.setattr(verification, "record_verification", record)
        assert run("verify_uploads", "--not-verified-since", resume_at) == (
            0,
            "3 uploads looked at: 3 verified\n",
        )
        assert UploadEvent.objects.filter(action=Action.VERIFIED).count() == 5

    def test_changed_meanwhile(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Purged while its object was looked at: the purge is the last word."""
        upload = making.stored()

        def record(seen: Upload, *args: Any, **kwargs: Any) -> None:
            trail.record(Upload.objects.get(pk=seen.pk), Action.PURGED, making.CALLER)
            real(seen, *args, **kwargs)

        real = verification.record_verification
        monkeypatch.setattr(verification, "record_verification", record)
        assert run("verify_uploads") == (
            0,
            "1 upload looked at: 1 changed meanwhile\n",
        )
        upload.refresh_from_db()
        assert upload.status == Status.PURGED

    def test_store_goes_away__nothing_recorded(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = making.stored()

        def away(self: UploadStorage, key: str) -> None:
            raise StoreUnavailableError("away", outcome_unknown=False)

        monkeypatch.setattr(UploadStorage, "head", away)
        assert run("verify_uploads") == (2, "")
        assert making.actions(upload) == ["requested", "stored"]

    def test_another_bucket__counted_and_not_judged(
        self, bucket: UploadStorage, other_bucket: Any
    ) -> None:
        upload = making.stored()
        other_bucket()
        assert run("verify_uploads") == (
            1,
            "1 upload looked at: 1 in another bucket\n",
        )
        with pytest.raises(OtherBucketError, match=bucket.bucket_name):
            verification.verify_upload(upload, caller=making.CALLER)
        assert making.actions(upload) == ["requested", "stored"]

    @pytest.mark.parametrize("make", [making.pending, making.failed])
    def test_verify_upload__nothing_to_verify(
        self, bucket: UploadStorage, make: Any
    ) -> None:
        with pytest.raises(TransitionError):
            verification.verify_upload(make(), caller=making.CALLER)


def old(*, sealed: bool = True, age: timedelta = timedelta(days=40)) -> Upload:
    then = timezone.now() - age
    with mock.patch.object(timezone, "now", return_value=then):
        upload = making.stored()
    if sealed:
        making.seal(upload)
    upload.refresh_from_db()
    return upload


def purge(*more: str) -> tuple[int, str]:
    return run("purge_uploads", "--older-than", "30d", *more)


class TestPurgeUploads:
    def test_dry_run__then_yes(self, bucket: UploadStorage) -> None:
        upload, young = old(), old(age=timedelta(days=20))
        assert purge() == (
            0,
            f"would purge: {upload.key}\n1 would purge ({upload.size} bytes)\n"
            "nothing was deleted; add --yes to delete\n",
        )
        assert bucket.exists(upload.key)
        assert purge("--yes") == (
            0,
            f"purged: {upload.key}\n1 purged ({upload.size} bytes)\n",
        )
        assert [bucket.exists(u.key) for u in (upload, young)] == [False, True]
        event = upload.events.get(action=Action.PURGED)
        assert event.actor == "command:purge_uploads"
        assert event.detail["sha256"] == upload.sha256
        assert event.detail["reason"].startswith("stored before 20")
        assert run("reconcile_uploads", "--min-age", "0s")[0] == 0
        assert purge("--yes") == (0, "nothing to purge (0 bytes)\n")
        making.seal(upload)  # the purge itself too
        assert purge("--yes") == (0, "nothing to purge (0 bytes)\n")

    @pytest.mark.parametrize("age", ["0s", "0d", "-1d", "1000000d", "30", ""])
    def test_age__refused(self, bucket: UploadStorage, age: str) -> None:
        """Above all the one that would take everything."""
        upload = old()
        assert run("purge_uploads", f"--older-than={age}", "--yes") == (1, "")
        assert bucket.exists(upload.key)

    def test_no_bucket__nothing_recorded(self, bucket: UploadStorage) -> None:
        upload = old()
        making.delete_object(bucket, upload.key)
        bucket.client.delete_bucket(Bucket=bucket.bucket_name)
        assert purge("--yes") == (2, "")
        bucket.ensure_bucket()
        assert making.actions(upload) == ["requested", "stored"]

    def test_age__is_what_the_events_say(self, bucket: UploadStorage) -> None:
        """A column that no seal covers does not decide what may be deleted."""
        young = old(age=timedelta(days=1))
        long_ago = timezone.now() - timedelta(days=90)
        Upload.objects.filter(pk=young.pk).update(
            stored_at=long_ago, created_at=long_ago
        )
        assert purge("--yes") == (0, "nothing to purge (0 bytes)\n")
        assert bucket.exists(young.key)

    def test_another_bucket__left_alone(
        self, bucket: UploadStorage, other_bucket: Any
    ) -> None:
        upload = old()
        other_bucket()
        assert purge("--yes") == (0, "nothing to purge (0 bytes)\n")
        assert bucket.exists(upload.key)

    def test_never_what_is_unsealed_or_not_stored(self, bucket: UploadStorage) -> None:
        unsealed = old(sealed=False)
        half = old()
        trail.record(half, Action.VERIFIED, making.CALLER)  # a new, unsealed event
        pending = making.pending(age=timedelta(days=90))
        making.put(pending)
        making.seal(pending)
        assert purge("--yes") == (0, "nothing to purge (0 bytes)\n")
        assert all(bucket.exists(u.key) for u in (unsealed, half, pending))

    @pytest.mark.parametrize(
        "write",
        [
            lambda upload: trail.record(upload, Action.VERIFIED, making.CALLER),
            lambda upload: trail.note(Action.DOWNLOADED, making.CALLER, upload=upload),
        ],
        ids=["verified", "downloaded"],
    )
    def test_never_what_is_unsealed__since_the_page_was_read(
        self,
        bucket: UploadStorage,
        monkeypatch: pytest.MonkeyPatch,
        write: Callable[[Upload], None],
    ) -> None:
        upload = old()
        head = UploadStorage.head

        def written_meanwhile(self: UploadStorage, key: str) -> StoredObject:
            write(upload)
            return head(self, key)

        monkeypatch.setattr(UploadStorage, "head", written_meanwhile)
        status, text = purge("--yes")
        assert status == 1
        assert text.startswith(f"left alone: {upload.key}: it has changed, or has an")
        assert bucket.exists(upload.key)
        assert "purged" not in making.actions(upload)
        monkeypatch.undo()
        making.seal(upload)
        assert purge("--yes")[0] == 0
        assert not bucket.exists(upload.key)

    @pytest.mark.parametrize("body", [b"somebody's work", b"x"])
    def test_never_what_is_not_what_was_recorded(
        self, bucket: UploadStorage, body: bytes
    ) -> None:
        upload = old()
        making.overwrite(bucket, upload.key, body)
        status, text = purge("--yes", "--json")
        assert status == 1
        assert json.loads(text.splitlines()[0])["outcome"] == "left alone"
        assert bucket.head(upload.key).size == len(body)
        assert making.actions(upload) == ["requested", "stored"]

    def test_missing__left_to_reconciliation(self, bucket: UploadStorage) -> None:
        upload = old()
        making.delete_object(bucket, upload.key)
        status, text = purge("--yes")
        assert status == 1
        assert text.startswith(f"left alone: {upload.key}: the object is missing")

    def test_replaced_within_the_moment(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The delete is conditional: what came in between is not ours, and stays."""
        upload = old()
        record = trail.record

        def replace_before(*args: Any, **kwargs: Any) -> None:
            record(*args, **kwargs)
            making.overwrite(bucket, upload.key, b"somebody's")

        monkeypatch.setattr(trail, "record", replace_before)
        assert purge("--yes")[0] == 0
        monkeypatch.setattr(trail, "record", record)
        assert bucket.head(upload.key).size == len(b"somebody's")
        _, text = run("reconcile_uploads", "--min-age", "0s", "--fix")
        assert text.startswith(f"purged but present: {upload.key}; size is 10")
        assert "left alone: another object has the key" in text

    def test_killed_between_record_and_delete__reconciled(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = old()

        def die(self: UploadStorage, key: str, etag: str) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(UploadStorage, "delete_unchanged", die)
            assert purge("--yes")[0] == 130
        assert bucket.exists(upload.key)
        _, text = run("reconcile_uploads", "--min-age", "0s", "--fix")
        assert text.startswith(f"purged but present: {upload.key} -> purged\n")
        assert not bucket.exists(upload.key)

    def test_refused__record_takes_it_back(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = old()

        def refuse(self: UploadStorage, key: str, etag: str) -> None:
            raise StoreRefusedError("the object store answered 403 AccessDenied")

        monkeypatch.setattr(UploadStorage, "delete_unchanged", refuse)
        assert purge("--yes")[0] == 1
        upload.refresh_from_db()
        assert upload.status == Status.STORED
        assert making.actions(upload)[-2:] == ["purged", "verified"]

    def test_database_away__nothing_deleted(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = old()

        def away(*args: Any, **kwargs: Any) -> None:
            raise TrailUnavailableError("away")

        monkeypatch.setattr(trail, "record", away)
        assert purge("--yes")[0] == 2
        assert bucket.exists(upload.key)

    def test_two_purgers__one_event(self, bucket: UploadStorage) -> None:
        upload = old()
        uploads = purging.purgeable(stored_before=timezone.now())
        options: dict[str, Any] = {
            "caller": making.CALLER,
            "reason": "test",
            "dry_run": False,
        }
        seen = list(uploads)
        (first,) = purging.purge(uploads, **options)
        second = purging._purge_one(seen[0], uploads, **options)
        assert [first.outcome, second.outcome] == ["purged", "left alone"]
        assert making.actions(upload).count("purged") == 1
