"""Sealers beside each other and beside writers."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from django.db import connection, transaction

from mirrorsite.actors import Actor
from tests.uploads import making
from tests.uploads.audit.trails import add_uploads
from uploads import transitions
from uploads.audit.seals import Sealed
from uploads.audit.serialization import seal_of
from uploads.models import Action, AuditSeal, UploadEvent


@pytest.mark.django_db(transaction=True)
class TestConcurrency:
    def test_sealers_and_writers(self, trail):
        """The bucket keeps the chain from forking."""
        written = threading.Event()

        def write() -> None:
            for _ in range(8):
                _record_one()
            connection.close()

        def seal() -> None:
            while not written.is_set():
                trail.seal(events_per_seal=20)
            connection.close()

        with ThreadPoolExecutor(7) as pool:
            sealers = [pool.submit(seal) for _ in range(3)]
            writers = [pool.submit(write) for _ in range(4)]
            wait(writers)
            written.set()
        for worker in sealers + writers:
            worker.result()  # raises what it raised
        trail.seal()

        events = 4 * 8 * 2
        assert UploadEvent.objects.count() == events
        assert not UploadEvent.objects.filter(seal=None).exists()
        report = trail.verify()
        assert (report.faults, report.events) == ([], events)
        # Every event in exactly one copy.
        copied = [
            json.loads(line)["id"]
            for row in AuditSeal.objects.all()
            for line in b"".join(trail.store.events(seal_of(row))).splitlines()
        ]
        assert len(copied) == len(set(copied)) == events

    def test_no_transaction_while_the_bucket_is_used(self, trail, monkeypatch):
        """A hung store must not keep a transaction open: it would stop VACUUM."""
        trail.seal()
        add_uploads(1)
        opened: list[bool] = []
        pid = connection.connection.info.backend_pid
        for name in ("put_new", "read"):
            real = getattr(trail.storage, name)

            def spy(*arguments: Any, real: Any = real, **options: Any) -> Any:
                opened.append(_has_transaction(pid))
                return real(*arguments, **options)

            monkeypatch.setattr(trail.storage, name, spy)

        trail.seal()

        assert len(opened) >= 3  # the last seal; the events; the new seal
        assert not any(opened)

    def test_late_commit(self, trail):
        """An event with a low id that commits after a seal is in the next one."""
        written, sealed = threading.Event(), threading.Event()
        late: list[int] = []

        def write_late() -> None:
            with transaction.atomic():
                _record_one()
                late.extend(UploadEvent.objects.values_list("id", flat=True))
                written.set()
                sealed.wait(30)
            connection.close()

        thread = threading.Thread(target=write_late)
        thread.start()
        assert written.wait(30)
        _record_one()
        assert trail.seal() == [Sealed(number=1, event_count=2, is_recovered=False)]
        assert min(late) < AuditSeal.objects.get().first_event  # type: ignore[operator]
        sealed.set()
        thread.join()
        assert trail.seal() == [Sealed(number=2, event_count=2, is_recovered=False)]
        assert set(UploadEvent.objects.filter(seal=2).values_list("id", flat=True)) == (
            set(late)
        )
        assert trail.faults() == []


def _has_transaction(pid: int) -> bool:
    """Return True if the session of this backend has one open."""

    def ask() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT xact_start IS NOT NULL FROM pg_stat_activity WHERE pid = %s",
                [pid],
            )
            found = bool(cursor.fetchone()[0])
        connection.close()
        return found

    with ThreadPoolExecutor(1) as other_session:
        return other_session.submit(ask).result()


def _record_one() -> None:
    upload = making.record(number=1, request_id=making.ACTOR.request_id)
    transitions.record(upload, Action.STORED, Actor(), detail={"size": 4})
