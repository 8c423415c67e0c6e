"""A run that ended half way: the next one finishes it, if all of it is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.utils import timezone

from tests.uploads.audit.tampering import as_owner, delete, execute, rows_of
from tests.uploads.audit.trails import Trail, add_uploads
from uploads.audit import seals
from uploads.audit.canonical import Seal
from uploads.audit.seal_store import SealStore
from uploads.audit.seals import Sealed
from uploads.audit.serialization import row_of, seal_of
from uploads.exceptions import (
    ObjectExistsError,
    SealError,
    StoreUnavailableError,
)
from uploads.models import AuditSeal, UploadEvent

pytestmark = pytest.mark.django_db


class Interrupted(Exception):  # noqa: N818 not an error: the power went
    pass


class TestInterruption:
    """Whatever step a run ends after, the next one leaves a whole trail."""

    @pytest.fixture(params=["events", "seal", "row", "lost answer"])
    def interrupt(
        self, request: Any, trail: Trail, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[], None]:
        put_new = trail.storage.put_new

        def interrupted_put(key: str, *args: Any, **options: Any) -> Any:
            done = put_new(key, *args, **options)
            if request.param == "lost answer" and "/seals/" in key:
                raise StoreUnavailableError("no answer", outcome_unknown=True)
            if f"/{request.param}" in key:
                raise Interrupted
            return done

        def run() -> None:
            with monkeypatch.context() as patch:
                patch.setattr(trail.storage, "put_new", interrupted_put)
                if request.param == "row":
                    patch.setattr(AuditSeal, "save", Mock(side_effect=Interrupted))
                with pytest.raises((Interrupted, StoreUnavailableError)):
                    trail.seal()

        return run

    def test_next_run(self, trail, interrupt):
        trail.seal()
        add_uploads(2)
        interrupt()
        assert AuditSeal.objects.count() == 1
        assert trail.faults() == []  # unfinished is not wrong, for some minutes
        add_uploads(1)
        made = trail.seal()
        assert sum(sealed.event_count for sealed in made) == 6
        assert not UploadEvent.objects.filter(seal=None).exists()
        assert trail.faults() == []

    def test_too_long_ago(self, trail, interrupt):
        trail.seal()
        add_uploads(1)
        interrupt()
        named = trail.faults(now=timezone.now() + timedelta(minutes=10))
        is_in_bucket = trail.store.seal(2) is not None
        assert (("cut tail", "seal 2") in named) is is_in_bucket


class TestContradiction:
    """What the bucket says of the next seal is finished only if all of it is true."""

    @pytest.fixture
    def cut(self, trail: Trail) -> Iterator[Trail]:
        """Take the second seal away from all but the bucket."""
        trail.seal()
        add_uploads(2)
        trail.seal()
        with as_owner():
            rows_of(UploadEvent).update(seal_id=None)
            delete(rows_of(AuditSeal).filter(number=2))
            yield trail

    def test_finished(self, cut):
        made = cut.seal()
        assert made[0] == Sealed(number=2, event_count=4, is_recovered=True)
        assert cut.faults() == []

    def test_finished_during_a_verification(self, cut, monkeypatch):
        """A sealer may record the seal while the verification reads its copy."""
        read = SealStore.oldest_version_of_events

        def finish_first(store: SealStore, seal: Seal) -> Iterator[bytes]:
            monkeypatch.setattr(SealStore, "oldest_version_of_events", read)
            cut.seal()
            return read(store, seal)

        monkeypatch.setattr(SealStore, "oldest_version_of_events", finish_first)
        assert cut.faults() == []

    @pytest.mark.parametrize(
        ("statement", "message"),
        [
            ("DELETE FROM uploads_uploadevent", "is not in the database"),
            (
                "UPDATE uploads_uploadevent SET actor = 'x'",
                "differs from its copy in the bucket, under seal 2",
            ),
            ("UPDATE uploads_uploadevent SET seal_id = 1", "or is under another seal"),
            (
                "UPDATE uploads_auditseal SET sealed_at = '2020-01-01 00:00:00'",
                "seal 1, the last one in the database, differs from",
            ),
        ],
    )
    def test_database_differs(self, cut, statement, message):
        execute(statement)
        before = list(AuditSeal.objects.values())
        with pytest.raises(SealError, match=message):
            cut.seal()
        assert list(AuditSeal.objects.values()) == before

    def test_not_recorded__not_logged_as_recorded(self, cut, make_fail, caplog):
        make_fail(seals, "record_seal", SealError("an event changed"))
        with pytest.raises(SealError):
            cut.seal()
        assert "recorded" not in caplog.text

    @pytest.mark.parametrize("number", [2, 2**63 - 1])
    def test_row_inserted(self, trail, number):
        """Signed over, it would stand in the chain for ever."""
        trail.seal()
        forged = seal_of(AuditSeal.objects.get())
        forged = replace(forged, number=number, previous=forged.hash())
        rows_of(AuditSeal).bulk_create([row_of(forged, trail.store)])
        with pytest.raises(SealError, match=r"last one in the database, .* missing"):
            trail.seal()
        assert list(trail.storage.list_keys(f"{trail.prefix}seals/")) == [
            trail.store.seal_object_key(1)
        ]

    def test_taken__but_not_by_a_seal(self, trail, make_fail):
        """The run ends, instead of trying the same number again and again."""
        make_fail(SealStore, "put", ObjectExistsError("it exists"))
        with pytest.raises(ObjectExistsError):
            trail.seal()
