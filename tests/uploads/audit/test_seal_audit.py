"""seal_audit as its operators meet it, once and in its loop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from sre.lib import processes
from tests.support import ROOT
from tests.uploads.audit.commands import run
from tests.uploads.audit.trails import KEY, add_uploads
from uploads.models import AuditSeal, UploadEvent

pytestmark = pytest.mark.django_db


class TestSealAudit:
    def test_seals(self, signing):
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

    def test_contradiction__status_1(self, signing):
        signing.client.put_object(
            Bucket=signing.bucket_name, Key="audit/seals/0000000001.json", Body=b"{}"
        )
        status, text = run("seal_audit")
        assert status == 1
        assert "audit/seals/0000000001.json in the bucket is no seal" in text
        assert AuditSeal.objects.count() == 0

    def test_store_away__status_2(self, make_storage, settings):
        settings.AUDIT_SIGNING_KEY = bytes(32)
        make_storage(endpoint_url="http://127.0.0.1:1", max_attempts=1)
        status, text = run("seal_audit")
        assert (status, "object store is unreachable" in text) == (2, True)

    def test_no_key__misconfigured(self, bucket, settings):
        settings.AUDIT_SIGNING_KEY = None
        assert run("seal_audit")[0] == 78


@pytest.mark.django_db(transaction=True)
class TestSealersBesideEachOther:
    def test_two_processes__one_killed_again_and_again(
        self, signing, service_environment, tmp_path
    ):
        """No fork, no gap, and what a killed sealer began is completed."""
        environment = {
            **os.environ,
            **service_environment,
            "AUDIT_SIGNING_KEY": KEY.secret_text(),
            "AUDIT_PUBLIC_KEYS": "",
        }

        def start(name: str) -> subprocess.Popen[bytes]:
            return processes.start(
                [sys.executable, "manage.py", "seal_audit", "--every", "0.001"],
                log=tmp_path / name,
                environment=environment,
                cwd=ROOT,
            )

        def has_sealed_more(process: subprocess.Popen[bytes], name: str) -> None:
            before = (tmp_path / name).read_text().count("seal ")
            assert processes.wait_until(
                lambda: (tmp_path / name).read_text().count("seal ") >= before + 3,
                seconds=60,
                process=process,
            ), (tmp_path / name).read_text()

        steady = start("steady")
        try:
            for _ in range(3):
                add_uploads(2)
                killed = start("killed")
                try:
                    has_sealed_more(killed, "killed")
                    has_sealed_more(steady, "steady")
                finally:
                    killed.kill()
                    killed.wait()
            steady.send_signal(signal.SIGTERM)
            assert steady.wait(20) == 0
        finally:
            processes.stop(steady)
        assert "Traceback" not in (tmp_path / "steady").read_text()
        assert run("seal_audit")[0] == 0
        numbers = list(AuditSeal.objects.values_list("number", flat=True))
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(list(signing.list_keys("audit/seals/"))) == len(numbers)
        assert not UploadEvent.objects.filter(seal=None).exists()
        status, text = run("verify_audit")
        assert status == 0, text
