"""seal_audit as its operators meet it, once and in its loop."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from sre.lib import processes
from tests.support import ROOT
from tests.uploads.audit.trails import KEY, add_uploads
from tests.uploads.making import put_raw
from tests.uploads.making import run_with_errors as run
from uploads.models import AuditSeal

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
        put_raw(signing, "audit/seals/0000000001.json", b"{}")
        status, text = run("seal_audit")
        assert status == 1
        assert "audit/seals/0000000001.json in the bucket is not a seal" in text
        assert AuditSeal.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_every__until_sigterm(signing, service_environment, tmp_path):
    environment = {
        **os.environ,
        **service_environment,
        "AUDIT_SIGNING_KEY": KEY.secret_text(),
    }
    add_uploads(2)
    sealer = processes.start(
        [sys.executable, "manage.py", "seal_audit", "--every", "0.001"],
        log=tmp_path / "log",
        environment=environment,
        cwd=ROOT,
    )
    try:
        assert processes.wait_until(
            lambda: AuditSeal.objects.count() >= 3, seconds=60, process=sealer
        ), (tmp_path / "log").read_text()
        sealer.send_signal(signal.SIGTERM)
        assert sealer.wait(20) == 0
    finally:
        processes.stop(sealer)
    assert (tmp_path / "log").read_text().startswith("seal 1: 4 events\nseal 2: 0 ")
    assert run("verify_audit")[0] == 0
