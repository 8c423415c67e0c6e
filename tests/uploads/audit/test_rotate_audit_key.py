"""rotate_audit_key as its operators meet it."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
import tempfile
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.outputs import FullOutput
from tests.uploads.audit.trails import KEY, add_uploads
from tests.uploads.making import put_raw
from tests.uploads.making import run_with_errors as run
from uploads.audit import keys
from uploads.models import AuditSeal

pytestmark = pytest.mark.django_db


class TestRotateAuditKey:
    def _use(self, settings: Any, values: dict[str, str]) -> None:
        settings.AUDIT_SIGNING_KEY = base64.b64decode(values["AUDIT_SIGNING_KEY"])
        settings.AUDIT_PUBLIC_KEYS = {
            name: base64.b64decode(key)
            for name, _, key in (
                entry.partition(":") for entry in values["AUDIT_PUBLIC_KEYS"].split(",")
            )
        }

    def test_rotate(self, signing, settings):
        run("seal_audit")
        status, text = run("rotate_audit_key")
        assert status == 0
        lines = text.splitlines()
        assert lines[1] == "Then set these, and restart the sealer:"
        values = dict(line.split("=", 1) for line in lines[2:4])
        self._use(settings, values)
        new = keys.configured_signing_key()
        assert new is not None
        assert lines[0] == (
            f"key {new.id} takes over from {KEY.id} once it is announced."
        )
        assert lines[4:] == ["Announced in seal 2."]
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

    def test_second_rotation(self, signing, settings):
        for _ in range(2):
            _, text = run("rotate_audit_key", "--json")
            assert text.count("\n") == 1
            self._use(settings, json.loads(text)["set"])
        run("seal_audit")
        assert len(settings.AUDIT_PUBLIC_KEYS) == 3
        settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
        settings.AUDIT_SIGNING_KEY = None
        assert run("verify_audit")[0] == 0

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_output_full__nothing_announced(self, signing, options):
        with pytest.raises(CommandError, match="No space left on device") as caught:
            call_command("rotate_audit_key", *options, stdout=FullOutput())
        assert caught.value.returncode == 74
        assert AuditSeal.objects.count() == 0

    def test_not_announced__printed_key_is_called_unusable(self, signing):
        put_raw(signing, "audit/seals/0000000001.json", b"{}")
        status, text = run("rotate_audit_key", "--json")
        assert (status, "in the bucket is not a seal" in text) == (1, True)
        assert "must not be used" in text
        assert '"seal"' not in text  # a document cut short is no JSON

    def test_write(self, signing, settings, tmp_path):
        path = tmp_path / "secrets.json"
        path.write_text('{"SECRET_KEY": "kept"}')
        _, text = run("rotate_audit_key", "--write", str(path))
        values = json.loads(path.read_text())
        assert values["SECRET_KEY"] == "kept"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert values["AUDIT_SIGNING_KEY"] not in text
        assert text.endswith(
            f"{path} has the new key; restart the service to sign with it.\n"
        )
        self._use(settings, values)
        run("seal_audit")
        assert run("verify_audit")[0] == 0

    @pytest.mark.parametrize("content", [None, "[]", "{"])
    def test_write__file_unreadable__status_2(self, signing, tmp_path, content):
        """Before anything is announced."""
        path = tmp_path / "secrets.json"
        if content is not None:
            path.write_text(content)
        assert run("rotate_audit_key", "--write", str(path))[0] == 2
        assert AuditSeal.objects.count() == 0

    def test_write__folder_not_writable(
        self, signing, tmp_path, make_fail, monkeypatch
    ):
        """Before anything is announced, too."""
        path = tmp_path / "secrets.json"
        path.write_text("{}")
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
        make_fail(
            tempfile, "mkstemp", PermissionError(errno.EACCES, "Permission denied")
        )
        status, text = run("rotate_audit_key", "--write", str(path))
        assert (status, "cannot be written: Permission" in text) == (74, True)
        assert AuditSeal.objects.count() == 0

    def test_write__disk_full(self, signing, tmp_path, monkeypatch):
        """A key that cannot be kept is not announced."""
        path = tmp_path / "secrets.json"
        path.write_text('{"SECRET_KEY": "kept"}')
        with monkeypatch.context() as patch:
            patch.setattr(
                "mirrorsite.files.os.fsync",
                Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")),
            )
            status, text = run("rotate_audit_key", "--write", str(path))
        assert status == 74
        assert "cannot be written: No space left on device; key" in text
        assert f"key {KEY.id} continues to sign" in text
        assert AuditSeal.objects.count() == 0
        assert [file.name for file in tmp_path.iterdir()] == ["secrets.json"]
        assert path.read_text() == '{"SECRET_KEY": "kept"}'
        add_uploads(1)
        assert run("seal_audit")[0] == 0
        assert run("rotate_audit_key", "--write", str(path))[0] == 0
        assert run("verify_audit")[0] == 0

    @pytest.mark.parametrize("text", ['{"SECRET_KEY": "hush"', "[" * 10**5, "9" * 5000])
    def test_write__not_json__secrets_not_shown(self, signing, tmp_path, text):
        path = tmp_path / "secrets.json"
        path.write_text(text)
        status, text = run("rotate_audit_key", "--write", str(path))
        assert (status, text) == (2, f"{path} is not JSON")

    def test_dry_run(self, signing):
        status, text = run("rotate_audit_key", "--dry-run")
        assert (status, KEY.id in text) == (0, True)
        status, text = run("rotate_audit_key", "--dry-run", "--json")
        told: dict[str, Any] = {"old": KEY.id, "new": None, "seal": None, "set": {}}
        assert (status, json.loads(text)) == (0, told)
        assert AuditSeal.objects.count() == 0
