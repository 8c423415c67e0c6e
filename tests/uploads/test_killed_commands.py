"""Commands killed with SIGKILL, or by Ctrl-C: run again, the end is as if never killed.

The steps next to the points where they are killed: bucket before database in sealing,
database before bucket in purging.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from django.utils import timezone

from mirrorsite.errors import ExitStatus
from tests.support import run_program
from tests.uploads import making
from tests.uploads.audit.trails import KEY, Trail, backed_up
from tests.uploads.making import run
from uploads import transitions
from uploads.audit.seal_store import PREFIX
from uploads.backups import backup_keys
from uploads.models import Action, AuditSeal, Upload, UploadEvent
from uploads.storage import UploadStorage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

PUT_NEW = "uploads.storage.UploadStorage.put_new"
DELETE = "uploads.storage.UploadStorage.delete_unchanged"
WRITE = "uploads.transitions.record"

Kill = Callable[..., None]


@pytest.fixture
def trail(bucket: UploadStorage) -> Trail:
    """Return the trail where the commands have it."""
    return Trail(bucket, prefix=PREFIX)


@pytest.fixture
def kill(service_environment: dict[str, str], tmp_path: Path) -> Kill:
    """Return a function that runs a command on the test's data, and has it killed."""
    environment = {
        **os.environ,
        **service_environment,
        "AUDIT_SIGNING_KEY": KEY.secret_text(),
        "TMPDIR": str(tmp_path),  # what a killed command leaves
    }

    def killed(
        point: tuple[str, int, str], *command: str, by: signal.Signals = signal.SIGKILL
    ) -> None:
        done = run_program(
            [
                *(sys.executable, "-m", "tests.uploads.kill_point"),
                *map(str, (by.name, *point)),
                *command,
            ],
            env=environment,
        )
        expected = ExitStatus.INTERRUPTED if by == signal.SIGINT else -by
        assert done.returncode == expected, done.stdout + done.stderr

    return killed


def nothing_is_left(trail: Trail) -> None:
    """Bucket and record agree, and every event is sealed and proven."""
    assert run("reconcile_uploads", "--min-age", "0s") == (0, mock.ANY)
    trail.seal()
    assert not UploadEvent.objects.filter(seal=None).exists()
    assert trail.faults() == []


class TestSealAudit:
    @pytest.mark.parametrize(
        ("copies", "recovered"),
        [(1, [False]), (2, [True, False])],
        ids=["copy of the events without a seal", "seal without a row"],
    )
    def test_finished_by_the_next_run(self, trail, kill, copies, recovered):
        making.stored()
        kill(("after", copies, PUT_NEW), "seal_audit")
        assert not AuditSeal.objects.exists()
        assert UploadEvent.objects.filter(seal=None).count() == 2

        making.stored()  # goes on meanwhile
        made = trail.seal()
        assert [sealed.is_recovered for sealed in made] == recovered
        assert sum(sealed.event_count for sealed in made) == 4
        nothing_is_left(trail)


class TestRestoreEvents:
    def test_the_next_run_restores_everything(self, trail, kill, settings):
        """Nothing is restored without the event that names it."""
        making.stored()
        trail.seal()
        restore_backup = backed_up()
        for _ in range(3):
            making.stored()
            trail.seal()
        events = list(UploadEvent.objects.values_list("id", "seal"))
        restore_backup()

        kill(("after", 2, "uploads.audit.restore.record_seal"), "restore_events")
        assert list(UploadEvent.objects.values_list("id", "seal")) == events[:2]
        assert Upload.objects.count() == 1

        settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
        assert run("restore_events") == (
            0,
            "restored seals 2 to 4 with 6 lost events\n",
        )
        event = UploadEvent.objects.get(action=Action.EVENTS_RESTORED)
        assert event.detail == {"first_seal": 2, "last_seal": 4, "events": 6}
        found = UploadEvent.objects.exclude(action=Action.EVENTS_RESTORED)
        assert list(found.values_list("id", "seal")) == events
        nothing_is_left(trail)


class TestReconcileUploads:
    @pytest.mark.parametrize(
        "point",
        [
            ("after", 1, "uploads.transitions.record_intent"),  # an object is adopted
            ("after", 1, DELETE),  # deleted, without the event
        ],
    )
    def test_the_next_run_settles_the_rest(self, trail, kill, point):
        present, absent = making.pending(), making.pending()
        making.put(present)
        missing, gone = making.stored(), making.stored()
        making.delete_object(trail.storage, missing.key)
        # The first and the last key, so that something is left to do at every point.
        for key in ("uploads/0.txt", "uploads/z.txt"):
            making.put_raw(trail.storage, key, b"hello")
        transitions.record(gone, Action.PURGED, making.ACTOR)  # and no further

        fix = ("reconcile_uploads", "--fix", "--min-age", "0s")
        kill(point, *fix)
        assert run(*fix)[0] == 1

        assert {upload.pk: making.actions(upload) for upload in (present, absent)} == {
            present.pk: ["requested", "stored"],
            absent.pk: ["requested", "failed"],
        }
        assert making.actions(missing) == ["requested", "stored", "missing"]
        for key in ("uploads/0.txt", "uploads/z.txt"):
            assert making.actions(Upload.objects.get(key=key)) == ["adopted"]
        # Purged already says the record; that the object was still there is lost with
        # a run killed right after deleting it.
        assert making.actions(gone)[:3] == ["requested", "stored", "purged"]
        assert set(making.actions(gone)[3:]) <= {"purged"}
        assert not making.exists(trail.storage, gone.key)
        nothing_is_left(trail)


class TestVerifyUploads:
    def test_resumed(self, trail, kill):
        """From when it was started, since it could not tell where it was."""
        uploads = [making.stored() for _ in range(4)]
        making.overwrite(trail.storage, uploads[3].key, b"other")
        begun = timezone.now()
        kill(("before", 3, WRITE), "verify_uploads")
        assert UploadEvent.objects.filter(at__gte=begun).count() == 2

        status, text = run("verify_uploads", "--not-verified-since", begun.isoformat())
        assert status == 1
        assert text.endswith("2 uploads checked: 1 corrupted, 1 verified\n")
        looks = [making.actions(upload)[2:] for upload in uploads]
        assert looks == [["verified"]] * 3 + [["corrupted"]]
        trail.seal()
        assert trail.faults() == []


class TestPurgeUploads:
    def test_those_at_hand_are_settled(self, trail, kill):
        uploads = [making.stored(age=timedelta(days=40)) for _ in range(5)]
        trail.seal()

        purge = ("purge_uploads", "--older-than", "30d", "--yes", "--jobs", "3")
        kill(("before", 2, DELETE), *purge)
        recorded = [making.actions(upload)[-1] == "purged" for upload in uploads]
        assert recorded[:2] == [True, True]
        assert recorded[3:] == [False, False]
        objects = [making.exists(trail.storage, upload.key) for upload in uploads]
        assert objects[3:] == [True, True]
        left = sum(map(all, zip(recorded, objects, strict=True)))
        assert left >= 1
        assert run(*purge)[0] == 0
        status, text = run("reconcile_uploads", "--fix", "--min-age", "0s")
        assert (status, text.count("purged but present")) == (1, left)
        assert not any(making.exists(trail.storage, upload.key) for upload in uploads)
        nothing_is_left(trail)


class TestExport:
    @pytest.mark.parametrize(
        ("command", "point", "by"),
        [
            ("export_uploads", ("after", 3, "csv.writer"), signal.SIGINT),
            ("export_events", ("before", 1, "os.fsync"), signal.SIGKILL),
        ],
    )
    def test_file_is_whole_or_as_before(
        self, bucket, kill, tmp_path, command, point, by
    ):
        for _ in range(3):
            making.stored()
        file = tmp_path / "exported" / "rows.csv"
        file.parent.mkdir()
        file.write_text("of yesterday\n")

        kill(point, command, "--output", str(file), by=by)
        assert file.read_text() == "of yesterday\n"
        assert list(file.parent.iterdir()) == [file]

        assert run(command, "--output", str(file))[0] == 0
        rows = Upload.objects.count() if command == "export_uploads" else 6 + 2
        assert len(file.read_text().splitlines()) == 1 + rows


class TestBackup:
    @pytest.mark.parametrize(
        ("point", "by", "is_in_bucket"),
        [
            # The tables are copied.
            (("before", 1, "zipfile.ZipFile.writestr"), signal.SIGINT, False),
            (("before", 1, PUT_NEW), signal.SIGKILL, False),
            (("after", 1, PUT_NEW), signal.SIGKILL, True),
        ],
    )
    def test_bucket_holds_whole_backups_only(
        self, bucket, kill, tmp_path, point, is_in_bucket, by
    ):
        making.stored()
        kill(point, "backup_database", by=by)
        assert len(backup_keys()) == int(is_in_bucket)
        assert list(tmp_path.iterdir()) == []  # it would be a copy of the database

        assert run("backup_database")[0] == 0
        assert len(backup_keys()) == 1 + is_in_bucket
        for key in backup_keys():
            with zipfile.ZipFile(io.BytesIO(b"".join(bucket.read(key)))) as archive:
                assert archive.testzip() is None
                assert "backup.json" in archive.namelist()
