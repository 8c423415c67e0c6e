from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from tests.uploads.audit.tampering import as_owner, delete, execute, replaced, rows_of
from tests.uploads.audit.trails import KEY, Trail, add_uploads
from uploads import trail as record
from uploads.audit.canonical import NO_SEAL, NotCanonicalError, parse_seal
from uploads.audit.copies import Copies
from uploads.audit.keys import SigningKey, TrustedKeys
from uploads.audit.rows import row_of, seal_of
from uploads.audit.seals import Sealed
from uploads.exceptions import AuditKeyError, SealError, StoreUnavailableError
from uploads.models import Action, AuditSeal, Upload, UploadEvent, new_upload_id
from uploads.storage import UploadStorage
from uploads.trail import Caller

pytestmark = pytest.mark.django_db


@pytest.fixture
def trail(bucket: UploadStorage) -> Trail:
    return Trail(bucket)


class TestSealAudit:
    def test_seal_audit__events_are_sealed_and_copied(self, trail: Trail) -> None:
        add_uploads(3)

        assert trail.seal() == [Sealed(number=1, event_count=6, finished=False)]

        assert set(UploadEvent.objects.values_list("seal", flat=True)) == {1}
        seal = AuditSeal.objects.get()
        copy = json.loads(trail.copies.seal(1) or b"")
        assert copy["number"] == 1
        assert copy["previous"] == NO_SEAL
        assert copy["signature"] == seal.signature
        events = b"".join(
            trail.storage.read(f"{trail.prefix}events/0000000001-{seal.root}.jsonl")
        )
        assert hashlib.sha256(events).hexdigest() == seal.root
        assert [json.loads(line)["id"] for line in events.splitlines()] == list(
            UploadEvent.objects.values_list("id", flat=True)
        )
        assert trail.faults() == []

    def test_seal_audit__idle(self, trail: Trail) -> None:
        trail.seal()
        assert trail.seal() == [Sealed(number=2, event_count=0, finished=False)]
        assert trail.faults() == []
        assert list(trail.storage.list_keys(f"{trail.prefix}events/")) == []
        first, second = AuditSeal.objects.all()
        copy = trail.copies.seal(1) or b""
        assert second.previous == hashlib.sha256(copy).hexdigest()
        assert first.event_count == 0

    def test_seal_audit__several_seals_in_a_run(self, trail: Trail) -> None:
        add_uploads(5)
        made = trail.seal(events_per_seal=4)
        assert [sealed.event_count for sealed in made] == [4, 4, 2]
        assert trail.faults() == []

    def test_seal_audit__events_keep_coming__are_for_the_next_run(
        self, trail: Trail, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run that went on until nothing came would never end under load."""
        add_uploads(3)
        put = Copies.put

        def put_meanwhile(*arguments: Any) -> None:
            put(*arguments)
            assert AuditSeal.objects.count() < 4
            add_uploads(1)

        monkeypatch.setattr(Copies, "put", put_meanwhile)
        made = trail.seal(events_per_seal=4)

        assert [sealed.event_count for sealed in made] == [4, 4, 2]
        assert UploadEvent.objects.filter(seal=None).count() == 2
        monkeypatch.undo()
        assert [sealed.event_count for sealed in trail.seal()] == [2]
        assert trail.faults() == []

    def test_seal_audit__no_key(self, bucket: UploadStorage, settings: Any) -> None:
        settings.AUDIT_SIGNING_KEY = None
        with pytest.raises(AuditKeyError, match="set AUDIT_SIGNING_KEY"):
            Trail(bucket).seal(signing_key=None)

    def test_seal_audit__event_without_canonical_form(self, trail: Trail) -> None:
        """It stays unsealed, and is named; the others are sealed."""
        upload = add_uploads(1)[0]
        event = rows_of(UploadEvent).bulk_create(
            [
                UploadEvent(
                    upload=upload,
                    action=Action.VERIFIED,
                    at=timezone.now() - timedelta(hours=1),
                    actor="",
                    detail={"seconds": 0.5},
                )
            ]
        )[0]
        assert trail.seal() == [Sealed(number=1, event_count=2, finished=False)]
        assert trail.faults() == [("unsealed", f"event {event.pk}")]

    def test_seal_audit__many_without_canonical_form(self, trail: Trail) -> None:
        """More of them than one seal takes: the events behind them are sealed."""
        UploadEvent.objects.bulk_create(
            UploadEvent(
                upload=None,
                action=Action.AUDIT_CHECKED,
                at=timezone.now(),
                detail={"seconds": 0.5},
            )
            for _ in range(5)
        )
        add_uploads(2)
        made = trail.seal(events_per_seal=3)
        assert [(s.number, s.event_count) for s in made] == [(1, 3), (2, 1)]
        assert UploadEvent.objects.filter(seal=None).count() == 5

    def test_seal_audit__event_unreadable(self, trail: Trail) -> None:
        if connection.vendor == "postgresql":
            pytest.skip("PostgreSQL's types refuse this")
        add_uploads(1)
        event = UploadEvent.objects.order_by("id")[0]
        with as_owner():
            execute("UPDATE uploads_uploadevent SET at = 'x' WHERE id = %s", event.pk)
            assert trail.seal() == [Sealed(number=1, event_count=1, finished=False)]

    def test_record__detail_without_canonical_form(self, trail: Trail) -> None:
        upload = add_uploads(1)[0]
        with pytest.raises(NotCanonicalError):
            record.record(upload, Action.VERIFIED, Caller(), detail={"seconds": [0.5]})


class Interrupted(Exception):  # noqa: N818 not an error: the power went
    pass


class TestInterruption:
    """Whatever step a run ends after, the next one leaves a whole trail."""

    @pytest.fixture(params=["events", "seal", "row", "lost answer"])
    def interrupt(
        self, request: Any, trail: Trail, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[], None]:
        put_new = trail.storage.put_new

        def interrupted_put(key: str, *args: Any) -> Any:
            done = put_new(key, *args)
            if request.param == "lost answer" and "/seals/" in key:
                raise StoreUnavailableError("no answer", outcome_unknown=True)
            if f"/{request.param}" in key:
                raise Interrupted
            return done

        def interrupted_save(*args: Any, **kwargs: Any) -> None:
            raise Interrupted

        def run() -> None:
            with monkeypatch.context() as patch:
                patch.setattr(trail.storage, "put_new", interrupted_put)
                if request.param == "row":
                    patch.setattr(AuditSeal, "save", interrupted_save)
                with pytest.raises((Interrupted, StoreUnavailableError)):
                    trail.seal()

        return run

    def test_next_run(self, trail: Trail, interrupt: Callable[[], None]) -> None:
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

    def test_too_long_ago(self, trail: Trail, interrupt: Callable[[], None]) -> None:
        trail.seal()
        add_uploads(1)
        interrupt()
        named = trail.faults(now=timezone.now() + timedelta(minutes=10))
        is_in_bucket = trail.copies.seal(2) is not None
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

    def test_finished(self, cut: Trail) -> None:
        made = cut.seal()
        assert made[0] == Sealed(number=2, event_count=4, finished=True)
        assert cut.faults() == []

    @pytest.mark.parametrize(
        ("statement", "message"),
        [
            ("DELETE FROM uploads_uploadevent", "is not in the database"),
            ("UPDATE uploads_uploadevent SET actor = 'x'", "differs from what seal 2"),
            ("UPDATE uploads_uploadevent SET seal_id = 1", "or under another seal"),
            (
                "UPDATE uploads_auditseal SET sealed_at = '2020-01-01 00:00:00'",
                "seal 1, the last one in the database, is not what",
            ),
        ],
    )
    def test_database_differs(self, cut: Trail, statement: str, message: str) -> None:
        execute(statement)
        before = list(AuditSeal.objects.values())
        with pytest.raises(SealError, match=message):
            cut.seal()
        assert list(AuditSeal.objects.values()) == before

    def test_not_continuing(self, cut: Trail) -> None:
        seal = KEY.sign(
            replace(parse_seal(cut.copies.seal(2) or b""), previous="0" * 64)
        )
        with (
            replaced(cut.storage, cut.copies.seal_key(2), seal.file_bytes()),
            pytest.raises(SealError, match="does not continue"),
        ):
            cut.seal()

    @pytest.mark.parametrize("number", [2, 2**63 - 1])
    def test_row_inserted(self, trail: Trail, number: int) -> None:
        """Signed over, it would stand in the chain for ever."""
        trail.seal()
        forged = seal_of(AuditSeal.objects.get())
        forged = replace(forged, number=number, previous=forged.hash())
        rows_of(AuditSeal).bulk_create([row_of(forged, trail.copies)])
        with pytest.raises(SealError, match="last one in the database, is not what"):
            trail.seal()
        assert list(trail.storage.list_keys(f"{trail.prefix}seals/")) == [
            trail.copies.seal_key(1)
        ]

    def test_foreign_object(self, cut: Trail) -> None:
        with (
            replaced(cut.storage, cut.copies.seal_key(2), b"{}"),
            pytest.raises(SealError, match="is no seal"),
        ):
            cut.seal()

    def test_unknown_key(self, cut: Trail) -> None:
        key = SigningKey(b"x" * 32)
        seal = key.sign(
            seal_of(AuditSeal(**_second(cut), number=2, key_id=key.id))
        ).file_bytes()
        with (
            replaced(cut.storage, cut.copies.seal_key(2), seal),
            pytest.raises(SealError, match="unknown key"),
        ):
            cut.seal()

    def test_forged_signature(self, cut: Trail) -> None:
        seal = seal_of(AuditSeal(**_second(cut), number=2, key_id=KEY.id))
        forged = seal.with_signature(bytes(64)).file_bytes()
        with (
            replaced(cut.storage, cut.copies.seal_key(2), forged),
            pytest.raises(SealError, match="forged signature"),
        ):
            cut.seal()

    def test_events_not_in_bucket(self, cut: Trail) -> None:
        key = next(cut.storage.list_keys(f"{cut.prefix}events/"))
        with (
            replaced(cut.storage, key, None),
            pytest.raises(SealError, match="is not in the bucket"),
        ):
            cut.seal()
        with (
            replaced(cut.storage, key, b"{}\n"),
            pytest.raises(SealError, match="is not what was sealed"),
        ):
            cut.seal()


def _second(trail: Trail) -> dict[str, Any]:
    copy = json.loads(trail.copies.seal(2) or b"")
    return {
        "sealed_at": timezone.now(),
        "event_count": 0,
        "root": hashlib.sha256().hexdigest(),
        "previous": copy["previous"],
        "signature": "",
    }


class TestRotation:
    def test_retired_key_signs_no_more(self, trail: Trail) -> None:
        new = SigningKey(b"n" * 32)
        keys = {KEY.id: KEY.public_key, new.id: new.public_key}
        trail.seal(next_key=new.public_key)
        trail.seal()  # until the environment is changed
        trail.seal(signing_key=new, trusted_keys=TrustedKeys(keys))
        with pytest.raises(AuditKeyError, match="was replaced"):
            trail.seal(trusted_keys=TrustedKeys(keys))
        assert trail.faults() == []

    def test_seal_of_a_retired_key(self, trail: Trail) -> None:
        """As a thief of the old key would make it."""
        new = SigningKey(b"n" * 32)
        trail.seal(next_key=new.public_key)
        keys = {KEY.id: KEY.public_key, new.id: new.public_key}
        trail.seal(signing_key=new, trusted_keys=TrustedKeys(keys))
        last = seal_of(AuditSeal.objects.get(number=2))
        stolen = KEY.sign(
            seal_of(
                AuditSeal(
                    number=3,
                    sealed_at=timezone.now(),
                    event_count=0,
                    root=last.root,
                    previous=last.hash(),
                    signature="",
                    key_id=KEY.id,
                )
            )
        )
        trail.copies.put(stolen, b"")
        with pytest.raises(SealError, match="unknown key"):
            trail.seal(signing_key=new, trusted_keys=TrustedKeys(keys))
        assert trail.faults() == [("copy differs", "seal 3")]
        # The same when only what is new is looked at.
        rows_of(AuditSeal).bulk_create([row_of(stolen, trail.copies)])
        named = [("copy differs", "seal 3"), ("unknown key", "seal 3")]
        assert trail.faults() == named
        assert set(trail.faults(since=3)) >= set(named)


@pytest.mark.django_db(transaction=True)
class TestConcurrency:
    @pytest.fixture
    def many_connections(self, transactional_db: None) -> Iterator[None]:
        """Let the pool of PostgreSQL serve every thread of the test."""
        if connection.vendor != "postgresql":
            yield
            return
        options = connection.settings_dict["OPTIONS"]
        before = options["pool"]
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
        options["pool"] = before | {"max_size": 24}
        yield
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
        options["pool"] = before

    def test_four_sealers_sixteen_writers(
        self, trail: Trail, many_connections: None, postgresql: None
    ) -> None:
        self._run(trail, sealers=4, writers=16, uploads=12)

    def test_two_sealers_four_writers(
        self, trail: Trail, many_connections: None
    ) -> None:
        self._run(trail, sealers=2, writers=4, uploads=8)

    def _run(self, trail: Trail, *, sealers: int, writers: int, uploads: int) -> None:
        writing = threading.Semaphore(0)
        errors: list[BaseException] = []

        def guarded(work: Callable[[], None]) -> threading.Thread:
            def run() -> None:
                try:
                    work()
                except BaseException as error:  # noqa: BLE001 shown by the assertion
                    errors.append(error)
                finally:
                    connections.close_all()

            thread = threading.Thread(target=run)
            thread.start()
            return thread

        def write() -> None:
            try:
                for _ in range(uploads):
                    _record_one()
            finally:
                writing.release()

        done = threading.Event()

        def seal() -> None:
            while not done.is_set():
                trail.seal(events_per_seal=20)

        writer_threads = [guarded(write) for _ in range(writers)]
        sealer_threads = [guarded(seal) for _ in range(sealers)]
        for _ in range(writers):
            writing.acquire()
        done.set()
        for thread in writer_threads + sealer_threads:
            thread.join()
        assert errors == []
        trail.seal()

        events = writers * uploads * 2
        assert UploadEvent.objects.count() == events
        assert not UploadEvent.objects.filter(seal=None).exists()
        report = trail.verify()
        assert (report.faults, report.events) == ([], events)
        # Every event in exactly one copy.
        copied = [
            json.loads(line)["id"]
            for row in AuditSeal.objects.all()
            for line in b"".join(trail.copies.events(seal_of(row))).splitlines()
        ]
        assert len(copied) == len(set(copied)) == events

    def test_late_commit(self, trail: Trail, postgresql: None) -> None:
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
        assert trail.seal() == [Sealed(number=1, event_count=2, finished=False)]
        assert min(late) < AuditSeal.objects.get().first_event  # type: ignore[operator]
        sealed.set()
        thread.join()
        assert trail.seal() == [Sealed(number=2, event_count=2, finished=False)]
        assert set(UploadEvent.objects.filter(seal=2).values_list("id", flat=True)) == (
            set(late)
        )
        assert trail.faults() == []


def _record_one() -> None:
    upload_id = new_upload_id()
    upload = Upload(
        id=upload_id,
        bucket="mirrorsite-test",
        key=f"uploads/{upload_id}.txt",
        size=4,
        sha256="ab" * 32,
        number=1,
        requester_name="anonymous",
    )
    record.begin(upload, Caller())
    record.record(upload, Action.STORED, Caller(), detail={"size": 4})
