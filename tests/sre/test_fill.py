"""./sre/fill: what it invents could have happened."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from sre.lib import local_service
from sre.lib.fill import fill, main
from tests.uploads.making import new_upload
from uploads import projection
from uploads.audit.report import Report
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.transitions import STATUS_AFTER


@pytest.mark.django_db(transaction=True)
class TestFill:
    def test_every_outcome__of_its_last_event(self) -> None:
        fill(2_000, days=3)
        assert Upload.objects.count() == 2_000
        assert set(Upload.objects.values_list("status", flat=True)) == set(Status)
        last: dict[Any, str] = {}
        for upload_id, action in UploadEvent.objects.order_by("id").values_list(
            "upload_id", "action"
        ):
            last[upload_id] = STATUS_AFTER[Action(action)]
        assert last == dict(Upload.objects.values_list("id", "status"))
        assert not UploadEvent.objects.filter(at__gt=timezone.now()).exists()
        report = Report()
        list(projection.check(report, since=None))
        assert report.faults == []

    def test_other_uploads__refused(self) -> None:
        new_upload(status="stored").save()
        with pytest.raises(ValueError, match="holds uploads that were not invented"):
            fill(10, days=3)


def test_no_database_and_no_service__refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = tmp_path / ".local"
    monkeypatch.setattr(local_service, "LOCAL", local)
    monkeypatch.setattr(sys, "argv", ["sre/fill", "5"])
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert main() == 2
    assert "sre/fill: ./sre/run is not running" in capsys.readouterr().err
    assert not local.exists()
