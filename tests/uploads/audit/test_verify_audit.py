"""verify_audit as its operators meet it, and the note that it leaves."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.uploads.audit.tampering import as_owner, execute, rows_of
from tests.uploads.audit.trails import add_uploads
from tests.uploads.making import run_with_errors as run
from uploads.audit import report
from uploads.models import AuditSeal, UploadEvent

pytestmark = pytest.mark.django_db


class TestVerifyAudit:
    def test_clean(self, signing):
        add_uploads(2)
        run("seal_audit")
        add_uploads(1)
        assert run("verify_audit") == (
            0,
            "1 seal, 4 sealed events, 2 unsealed events, 3 uploads: no faults\n",
        )

    def test_faults__status_1(self, signing):
        add_uploads(2)
        run("seal_audit")
        event = UploadEvent.objects.order_by("id")[1]
        with as_owner():
            rows_of(UploadEvent).filter(pk=event.pk).update(actor="nobody")
            assert run("verify_audit") == (
                1,
                f"changed: event {event.pk}: sealed by seal 1; differs in actor\n"
                "1 seal, 4 sealed events, 0 unsealed events, 2 uploads: 1 fault\n"
                "1 fault: 1 changed",
            )
            status, text = run("verify_audit", "--json")
            assert status == 1
            assert json.loads(text.splitlines()[0]) == {
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

    def test_waiting_too_long(self, signing):
        run("seal_audit")
        add_uploads(1)
        with as_owner():
            hour_ago = timezone.now() - timedelta(hours=1)
            rows_of(UploadEvent).update(at=hour_ago)
            status, text = run("verify_audit", "--unsealed-minutes", "59")
            assert (status, text.count("unsealed: event")) == (1, 2)
            status, text = run("verify_audit", "--unsealed-minutes", "61")
            assert "unsealed: event" not in text

    def test_sealing_stopped(self, signing):
        assert run("verify_audit") == (
            1,
            "sealing stopped: the audit trail: no valid seal was found\n"
            "0 seals, 0 sealed events, 0 unsealed events, 0 uploads: 1 fault\n"
            "1 fault: 1 sealing stopped",
        )

    @pytest.mark.parametrize("since", ["2", "time"])
    def test_since(self, signing, since):
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
        assert "1 seal, 2 sealed events, 1 unsealed event, 1 upload" in text

    def test_since__that_long_ago(self, signing):
        add_uploads(1)
        run("seal_audit")
        status, text = run("verify_audit", "--since", "2d")
        assert (status, text.startswith("1 seal, 2 sealed events")) == (0, True)

    def test_bucket_away__status_2(self, signing, make_storage):
        run("seal_audit")
        make_storage(endpoint_url="http://127.0.0.1:1", max_attempts=1)
        assert run("verify_audit")[0] == 2
        assert run("verify_audit", "--database-only")[0] == 0

    def test_many_faults__counted(self, signing, monkeypatch):
        monkeypatch.setattr(report, "KEPT_FAULTS", 10)
        add_uploads(6)
        run("seal_audit")
        with as_owner():
            execute("DELETE FROM uploads_uploadevent")
            _, text = run("verify_audit", "--json")
        printed = json.loads(text[: text.rindex("}") + 1])
        assert printed["counts"] == {"invented": 6, "missing": 12}
        assert (len(printed["faults"]), printed["faults_omitted"]) == (10, 8)


class TestCheckIsNoted:
    def test_clean__an_event_that_the_next_seal_covers(self, signing):
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

    def test_not_clean__it_says_so(self, signing):
        add_uploads(1)
        run("seal_audit")
        with as_owner():
            rows_of(UploadEvent).update(actor="nobody")
            assert run("verify_audit", "--database-only")[0] == 1
            event = UploadEvent.objects.latest("id")
            assert event.action == "audit_checked"
            assert event.detail["faults"] > 0
            assert event.detail["database_only"] is True

    def test_record_nothing(self, signing):
        add_uploads(1)
        run("seal_audit")
        before = UploadEvent.objects.count()
        assert run("verify_audit", "--record-nothing")[0] == 0
        with as_owner():
            rows_of(UploadEvent).update(actor="nobody")
            assert run("verify_audit", "--record-nothing", "--json")[0] == 1
        assert UploadEvent.objects.count() == before
