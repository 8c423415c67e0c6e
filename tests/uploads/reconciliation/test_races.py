"""Reconcilers beside each other, or beside an upload that is finishing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.uploads import making
from tests.uploads.making import put_raw
from tests.uploads.reconciliation.reconciling import ACTOR, FIX, found
from uploads import transitions
from uploads.exceptions import UploadFailedError
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.reconciliation import classify, reconcile, repair, scan_pairs
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db


class TestTogether:
    def test_settle__upload_finished_meanwhile(self, bucket, spy):
        """The service is faster by a hair: its word stands, no second event."""
        upload = making.pending()
        making.put(upload)

        def finish(*arguments: Any) -> None:
            fresh = Upload.objects.get(pk=upload.pk)
            transitions.record(fresh, Action.STORED, making.ACTOR)

        spy(classify, "classify", after=finish)
        (finding,) = reconcile(FIX, scan_pairs())
        assert finding.outcome == "skipped"
        assert making.actions(upload) == ["requested", "stored"]

    def test_judge__upload_finished_while_the_bucket_was_asked(
        self, bucket, monkeypatch
    ):
        upload = making.pending()
        head = UploadStorage.head

        def finish_after_head(self: UploadStorage, key: str) -> Any:
            try:
                return head(self, key)
            finally:
                monkeypatch.setattr(UploadStorage, "head", head)
                fresh = Upload.objects.get(pk=upload.pk)
                making.put(fresh)
                transitions.record(fresh, Action.STORED, making.ACTOR)

        monkeypatch.setattr(UploadStorage, "head", finish_after_head)
        assert found(FIX) == []
        assert making.actions(upload) == ["requested", "stored"]

    def test_two_reconcilers(self, bucket, monkeypatch):
        """Both find the same; each difference is repaired once."""
        making.put(making.pending())
        making.pending()
        put_raw(bucket, "uploads/x.txt", b"x")
        real = repair.repair

        def after_another(*arguments: Any) -> Any:
            assert real(*arguments).outcome == "repaired"
            return real(*arguments)

        monkeypatch.setattr(repair, "repair", after_another)
        assert [outcome for _, _, outcome in found(FIX)] == ["skipped"] * 3
        assert UploadEvent.objects.count() == 2 * 2 + 1

    def test_two_reconcilers_while_the_service_records(self, bucket, spy):
        """One gave the upload up, one found it again, each between two statements.

        The service's answer is 201 and its record stored, whatever came between.
        """
        spy(UploadStorage, "put_new", before=lambda *_, **__: found(FIX))
        spy(Upload, "refresh_from_db", after=lambda _: found(FIX))
        upload = making.stored()
        assert upload.status == Status.STORED
        assert making.actions(upload) == ["requested", "failed", "stored"]
        last = upload.events.get(action=Action.STORED)
        assert last.actor == ACTOR.name

    def test_overwritten_while_the_service_records(self, bucket, spy):
        """No 201 for what is not there any more, and no 500 either."""

        def overwrite(storage: Any, key: str, *rest: Any, **more: Any) -> None:
            making.overwrite(bucket, key, b"other bytes")
            assert found(FIX)[0][0] == "size or checksum differs"

        spy(UploadStorage, "put_new", after=overwrite)
        with pytest.raises(UploadFailedError, match="its record has changed"):
            making.stored()
