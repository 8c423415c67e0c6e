from __future__ import annotations

import base64
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from sre.lib import processes
from tests.uploads.audit.tampering import as_owner, execute, rows_of
from tests.uploads.audit.trails import KEY, add_uploads
from uploads.audit import keys
from uploads.audit.keys import SigningKey
from uploads.models import AuditSeal, UploadEvent
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
def signing(settings: Any, bucket: UploadStorage) -> UploadStorage:
    settings.AUDIT_SIGNING_KEY = base64.b64decode(KEY.secret_text())
    settings.AUDIT_PUBLIC_KEYS = {}
    return bucket


def run(name: str, *arguments: str) -> tuple[int, str]:
    """Return a command's exit status and what it printed."""
    out = StringIO()
    try:
        call_command(name, *arguments, stdout=out, stderr=out)
    except CommandError as error:
        return error.returncode, out.getvalue() + str(error)
    return 0, out.getvalue()


class TestSealAudit:
    def test_seals(self, signing: UploadStorage) -> None:
        add_uploads(2)
        assert run("seal_audit") == (0, "seal 1: 4 events\n")
        assert run("seal_audit", "--json") == (
            0,
            '{"seals": [2], "events": 0, "finished": []}\n',
        )
        assert list(signing.list_keys("audit/seals/")) == [
            "audit/seals/0000000001.json",
            "audit/seals/0000000002.json",
        ]

    def test_contradiction__status_1(self, signing: UploadStorage) -> None:
        signing.client.put_object(
            Bucket=signing.bucket_name, Key="audit/seals/0000000001.json", Body=b"{}"
        )
        status, text = run("seal_audit")
        assert status == 1
        assert "audit/seals/0000000001.json in the bucket is no seal" in text
        assert AuditSeal.objects.count() == 0

    def test_store_away__status_2(self, make_storage: Any, settings: Any) -> None:
        settings.AUDIT_SIGNING_KEY = bytes(32)
        make_storage(endpoint_url="http://127.0.0.1:1", max_attempts=1)
        status, text = run("seal_audit")
        assert (status, "cannot be reached" in text) == (2, True)

    def test_no_key__status_2(self, bucket: UploadStorage, settings: Any) -> None:
        settings.AUDIT_SIGNING_KEY = None
        assert run("seal_audit")[0] == 2

    @pytest.mark.parametrize("every", ["0", "-1", "x", "nan", "1e9"])
    def test_every__refused(self, every: str) -> None:
        assert "not a number of seconds" in run("seal_audit", f"--every={every}")[1]


@pytest.mark.django_db(transaction=True)
class TestSealAuditEvery:
    def test_goes_on_until_terminated(
        self, signing: UploadStorage, tmp_path: Path
    ) -> None:
        """A process of its own, on this database and bucket, over an outage."""
        environment = _environment(signing)
        log = tmp_path / "log"
        sealer = processes.start(
            [sys.executable, "manage.py", "seal_audit", "--every", "0.2"],
            log=log,
            environment=environment,
            cwd=ROOT,
        )
        try:
            assert processes.wait_until(
                lambda: AuditSeal.objects.count() >= 2, seconds=60, process=sealer
            ), log.read_text()
            add_uploads(1)
            assert processes.wait_until(
                lambda: not UploadEvent.objects.filter(seal=None).exists(),
                seconds=60,
                process=sealer,
            ), log.read_text()
            sealer.send_signal(signal.SIGTERM)
            assert sealer.wait(20) == 0
        finally:
            processes.stop(sealer)
        assert "Traceback" not in log.read_text()
        assert run("verify_audit")[0] == 0


def _environment(storage: UploadStorage) -> dict[str, str]:
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        params = connection.get_connection_params()
        host = params.get("host") or "127.0.0.1"
        url = (
            f"postgresql://{params.get('user', '')}:{params.get('password', '')}@"
            f"{host.replace('/', '%2F')}:{params.get('port') or 5432}/{params['dbname']}"
        )
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
        "DATABASE_URL": url,
        "AWS_STORAGE_BUCKET_NAME": storage.bucket_name,
        "AWS_ENDPOINT_URL_S3": storage.endpoint_url,
        "AWS_ACCESS_KEY_ID": storage.access_key,
        "AWS_SECRET_ACCESS_KEY": storage.secret_key,
        "AUDIT_SIGNING_KEY": KEY.secret_text(),
        "AUDIT_PUBLIC_KEYS": "",
    }


class TestVerifyAudit:
    def test_clean(self, signing: UploadStorage) -> None:
        add_uploads(2)
        run("seal_audit")
        add_uploads(1)
        assert run("verify_audit") == (
            0,
            "1 seals, 4 sealed events, 2 waiting, 3 uploads: all as signed\n",
        )

    def test_faults__status_1(self, signing: UploadStorage) -> None:
        add_uploads(2)
        run("seal_audit")
        event = UploadEvent.objects.order_by("id")[1]
        with as_owner():
            rows_of(UploadEvent).filter(pk=event.pk).update(actor="nobody")
            assert run("verify_audit") == (
                1,
                f"changed: event {event.pk}: sealed by seal 1; differs in actor\n"
                "1 seals, 4 sealed events, 0 waiting, 2 uploads: NOT as signed\n"
                "1 faults: 1 changed",
            )
            status, text = run("verify_audit", "--json")
            report = json.loads(text[: text.rindex("}") + 1])
            assert status == 1
            assert report == {
                "clean": False,
                "seals": 1,
                "events": 4,
                "uploads": 2,
                "unsealed": 1,  # the check before this one, which is noted
                "counts": {"changed": 1},
                "faults": [
                    {
                        "kind": "changed",
                        "subject": f"event {event.pk}",
                        "detail": "sealed by seal 1; differs in actor",
                    }
                ],
                "faults_omitted": 0,
            }
            status, text = run("verify_audit", "--database-only")
            assert status == 1
            assert text.startswith("changed: events of seal 1: 4 were sealed")

    def test_waiting_too_long(self, signing: UploadStorage) -> None:
        run("seal_audit")
        add_uploads(1)
        with as_owner():
            hour_ago = timezone.now() - timedelta(hours=1)
            rows_of(UploadEvent).update(at=hour_ago)
            status, text = run("verify_audit", "--unsealed-minutes", "59")
            assert (status, text.count("unsealed: event")) == (1, 2)
            status, text = run("verify_audit", "--unsealed-minutes", "61")
            assert "unsealed: event" not in text

    def test_sealing_stopped(self, signing: UploadStorage) -> None:
        assert run("verify_audit") == (
            1,
            "sealing stopped: the trail: there is no seal to go by\n"
            "0 seals, 0 sealed events, 0 waiting, 0 uploads: NOT as signed\n"
            "1 faults: 1 sealing stopped",
        )

    @pytest.mark.parametrize("since", ["2", "time"])
    def test_since(self, signing: UploadStorage, since: str) -> None:
        add_uploads(2)
        run("seal_audit")
        if since == "time":
            since = timezone.now().isoformat()
        add_uploads(1)
        run("seal_audit")
        with as_owner():
            rows_of(UploadEvent).filter(seal=1).update(actor="nobody")
            rows_of(AuditSeal).filter(number=1).update(signature="")
            assert run("verify_audit")[0] == 1
            status, text = run("verify_audit", "--since", since)
        assert text.startswith("broken chain: seal 2") == (status == 1)
        # Waiting: the note of the check before.
        assert "1 seals, 2 sealed events, 1 waiting, 1 uploads" in text

    def test_since__that_long_ago(self, signing: UploadStorage) -> None:
        add_uploads(1)
        run("seal_audit")
        status, text = run("verify_audit", "--since", "2d")
        assert (status, text.startswith("1 seals, 2 sealed events")) == (0, True)

    @pytest.mark.parametrize(
        ("since", "words"),
        [
            ("x", "neither a seal's number"),
            ("-1", "neither a seal's number"),
            ("2026-99-99", "neither a seal's number"),
            ("1" + "0" * 20, "any seal's number"),
            ("9999-12-31T23:59-02:00", "beyond the years"),
        ],
    )
    def test_since__refused(self, since: str, words: str) -> None:
        assert words in run("verify_audit", f"--since={since}")[1]

    def test_no_trusted_key__status_2(
        self, bucket: UploadStorage, settings: Any
    ) -> None:
        settings.AUDIT_SIGNING_KEY, settings.AUDIT_PUBLIC_KEYS = None, {}
        status, text = run("verify_audit")
        assert (status, "set AUDIT_PUBLIC_KEYS" in text) == (2, True)

    def test_public_key_alone_is_enough(
        self, signing: UploadStorage, settings: Any
    ) -> None:
        run("seal_audit")
        settings.AUDIT_SIGNING_KEY = None
        settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
        assert run("verify_audit")[0] == 0

    def test_bucket_away__status_2(
        self, signing: UploadStorage, make_storage: Any
    ) -> None:
        run("seal_audit")
        make_storage(endpoint_url="http://127.0.0.1:1", max_attempts=1)
        assert run("verify_audit")[0] == 2
        assert run("verify_audit", "--database-only")[0] == 0

    def test_many_faults__counted(self, signing: UploadStorage) -> None:
        add_uploads(600)
        run("seal_audit")
        with as_owner():
            execute("DELETE FROM uploads_uploadevent")
            _, text = run("verify_audit", "--json")
        report = json.loads(text[: text.rindex("}") + 1])
        assert report["counts"] == {"invented": 600, "missing": 1200}
        assert len(report["faults"]) == 1000
        assert report["faults_omitted"] == 800


class TestRotateAuditKey:
    def _use(self, settings: Any, values: dict[str, str]) -> None:
        settings.AUDIT_SIGNING_KEY = base64.b64decode(values["AUDIT_SIGNING_KEY"])
        settings.AUDIT_PUBLIC_KEYS = {
            name: base64.b64decode(key)
            for name, _, key in (
                entry.partition(":") for entry in values["AUDIT_PUBLIC_KEYS"].split(",")
            )
        }

    def test_rotate(self, signing: UploadStorage, settings: Any) -> None:
        run("seal_audit")
        status, text = run("rotate_audit_key")
        assert status == 0
        lines = text.splitlines()
        assert lines[1] == "Set, and restart the sealer:"
        values = dict(line.split("=", 1) for line in lines[2:])
        self._use(settings, values)
        new = keys.configured_signing_key()
        assert new is not None
        assert lines[0] == (
            f"key {new.id} takes over from {KEY.id}, announced in seal 2."
        )
        assert set(settings.AUDIT_PUBLIC_KEYS) == {KEY.id, new.id}
        add_uploads(1)
        run("seal_audit")
        assert [(seal.key_id, seal.next_key) for seal in AuditSeal.objects.all()] == [
            (KEY.id, ""),
            (KEY.id, new.public_key.hex()),
            (new.id, ""),
        ]
        assert run("verify_audit")[0] == 0
        # The first key alone is enough: it signed for the second.
        settings.AUDIT_SIGNING_KEY = None
        settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
        assert run("verify_audit")[0] == 0
        assert run("verify_audit", "--since", "3")[0] == 0

    def test_second_rotation(self, signing: UploadStorage, settings: Any) -> None:
        for _ in range(2):
            _, text = run("rotate_audit_key", "--json")
            self._use(settings, json.loads(text)["set"])
        run("seal_audit")
        assert len(settings.AUDIT_PUBLIC_KEYS) == 3
        settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
        settings.AUDIT_SIGNING_KEY = None
        assert run("verify_audit")[0] == 0

    def test_unannounced_key_is_not_trusted(
        self, signing: UploadStorage, settings: Any
    ) -> None:
        run("seal_audit")
        settings.AUDIT_SIGNING_KEY = b"s" * 32
        run("seal_audit")
        settings.AUDIT_SIGNING_KEY = None
        settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
        status, text = run("verify_audit")
        assert status == 1
        assert "unknown key: seal 2" in text

    def test_write(self, signing: UploadStorage, settings: Any, tmp_path: Path) -> None:
        path = tmp_path / "secrets.json"
        path.write_text('{"SECRET_KEY": "kept"}')
        _, text = run("rotate_audit_key", "--write", str(path))
        values = json.loads(path.read_text())
        assert values["SECRET_KEY"] == "kept"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert values["AUDIT_SIGNING_KEY"] not in text
        assert text.endswith("Written; restart the service to sign with it.\n")
        self._use(settings, values)
        run("seal_audit")
        assert run("verify_audit")[0] == 0

    @pytest.mark.parametrize("content", [None, "[]", "{"])
    def test_write__file_unreadable__status_2(
        self, signing: UploadStorage, tmp_path: Path, content: str | None
    ) -> None:
        """Before anything is announced."""
        path = tmp_path / "secrets.json"
        if content is not None:
            path.write_text(content)
        assert run("rotate_audit_key", "--write", str(path))[0] == 2
        assert AuditSeal.objects.count() == 0

    def test_write__folder_not_writable__status_2(
        self,
        signing: UploadStorage,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Before anything is announced, too."""
        path = tmp_path / "secrets.json"
        path.write_text("{}")

        def refuse(**options: Any) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
        status, text = run("rotate_audit_key", "--write", str(path))
        assert (status, "cannot be read and replaced: Permission" in text) == (2, True)
        assert AuditSeal.objects.count() == 0

    def test_write__disk_full_afterwards(
        self, signing: UploadStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It says that the new key is lost, and that this is no harm; nor is it."""
        path = tmp_path / "secrets.json"
        path.write_text('{"SECRET_KEY": "kept"}')

        def full(*args: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("uploads.management.export.os.fsync", full)
            status, text = run("rotate_audit_key", "--write", str(path))
        assert status == 2
        assert "No space left on device. Seal 1 announces the key" in text
        assert f"key {KEY.id} goes on signing" in text
        assert [file.name for file in tmp_path.iterdir()] == ["secrets.json"]
        assert path.read_text() == '{"SECRET_KEY": "kept"}'
        add_uploads(1)
        assert run("seal_audit")[0] == 0
        assert run("rotate_audit_key", "--write", str(path))[0] == 0
        assert run("verify_audit")[0] == 0

    def test_write__not_json__secrets_not_shown(
        self, signing: UploadStorage, tmp_path: Path
    ) -> None:
        path = tmp_path / "secrets.json"
        path.write_text('{"SECRET_KEY": "hush"')
        status, text = run("rotate_audit_key", "--write", str(path))
        assert (status, text) == (2, f"{path} is no JSON")

    def test_dry_run(self, signing: UploadStorage) -> None:
        status, text = run("rotate_audit_key", "--dry-run")
        assert (status, KEY.id in text) == (0, True)
        status, text = run("rotate_audit_key", "--dry-run", "--json")
        told: dict[str, Any] = {"old": KEY.id, "new": None, "seal": None, "set": {}}
        assert (status, json.loads(text)) == (0, told)
        assert AuditSeal.objects.count() == 0

    def test_no_key__status_2(self, bucket: UploadStorage, settings: Any) -> None:
        settings.AUDIT_SIGNING_KEY = None
        assert run("rotate_audit_key")[0] == 2


def _starts(**values: str) -> str:
    """Return the last line of what a start with these variables prints."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
        **values,
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else "ok"


class TestEnvironment:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: {"AUDIT_SIGNING_KEY": "x"}, "32 bytes in base64; set it to"),
            (
                lambda: {"AUDIT_PUBLIC_KEYS": "abc"},
                "AUDIT_PUBLIC_KEYS holds 'abc'; set each entry to <key id>:<32 bytes",
            ),
            (
                lambda: {"AUDIT_PUBLIC_KEYS": f"00{KEY.public_text()[2:]}"},
                f"whose id is {KEY.id}; set the entry to {KEY.id}:",
            ),
            (lambda: {"AUDIT_RETENTION_DAYS": "-1"}, "a whole number from 0 to 36500"),
        ],
    )
    def test_malformed(self, make: Callable[[], dict[str, str]], message: str) -> None:
        values = make()
        told = _starts(**values)
        assert message in told
        assert "x" not in values.values() or "'x'" not in told  # a secret is not shown

    def test_well_formed(self) -> None:
        other = SigningKey(b"o" * 32)
        public_keys = f"{KEY.public_text()}, {other.public_text()}"
        assert (
            _starts(AUDIT_SIGNING_KEY=KEY.secret_text(), AUDIT_PUBLIC_KEYS=public_keys)
            == "ok"
        )
        assert django_settings.AUDIT_RETENTION_DAYS == 365


class TestCheckIsNoted:
    def test_clean__an_event_that_the_next_seal_covers(
        self, signing: UploadStorage
    ) -> None:
        add_uploads(1)
        run("seal_audit")
        assert run("verify_audit")[0] == 0
        event = UploadEvent.objects.latest("id")
        assert (event.action, event.actor, event.upload_id) == (
            "audit_checked",
            "command:verify_audit",
            None,
        )
        assert event.detail == {
            "faults": 0,
            "seals": 1,
            "events": 2,
            "since": None,
            "database_only": False,
        }
        run("seal_audit")
        event.refresh_from_db()
        assert event.seal_id == 2
        assert run("verify_audit")[0] == 0

    def test_not_clean__it_says_so(self, signing: UploadStorage) -> None:
        add_uploads(1)
        run("seal_audit")
        with as_owner():
            rows_of(UploadEvent).update(actor="nobody")
            assert run("verify_audit", "--database-only")[0] == 1
            event = UploadEvent.objects.latest("id")
            assert event.action == "audit_checked"
            assert event.detail["faults"] > 0
            assert event.detail["database_only"] is True

    def test_record_nothing(self, signing: UploadStorage) -> None:
        add_uploads(1)
        run("seal_audit")
        before = UploadEvent.objects.count()
        assert run("verify_audit", "--record-nothing")[0] == 0
        with as_owner():
            rows_of(UploadEvent).update(actor="nobody")
            assert run("verify_audit", "--record-nothing", "--json")[0] == 1
        assert UploadEvent.objects.count() == before
