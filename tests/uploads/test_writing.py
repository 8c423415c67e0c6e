"""Writes of several threads in one transaction: each is told what came of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from sre.lib.processes import wait_until
from uploads import services, statements, trail, writing
from uploads.exceptions import (
    AlreadyRecordedError,
    TrailUnavailableError,
    TransitionError,
    UploadsError,
)
from uploads.group_commit import GroupBusyError
from uploads.models import Action, Status, Upload, UploadEvent, new_upload_id
from uploads.statements import Intent
from uploads.trail import Caller

pytestmark = pytest.mark.django_db(transaction=True)

CALLER = Caller(request_id="r-1")


def new_upload(**columns: Any) -> Upload:
    upload_id = new_upload_id()
    now = timezone.now()
    return Upload(
        **{
            "id": upload_id,
            "bucket": "bucket",
            "key": services.object_key(upload_id, now),
            "size": 4,
            "sha256": "0" * 64,
            "number": 1234,
            "requester_name": CALLER.name,
            "created_at": now,
        }
        | columns
    )


def begun() -> Upload:
    upload = new_upload()
    trail.begin(upload, CALLER)
    return upload


def begin(upload: Upload) -> Callable[[], None]:
    return lambda: trail.begin(upload, CALLER)


def store(upload: Upload, etag: str = "e") -> Callable[[], None]:
    return lambda: trail.record(
        upload, Action.STORED, CALLER, etag=etag, stored_at=timezone.now()
    )


def fail(upload: Upload, error: str) -> Callable[[], None]:
    return lambda: trail.record(upload, Action.FAILED, CALLER, error=error)


def together(
    works: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> list[UploadsError | None]:
    """Do all of it in one group; return what each raised."""
    first_writes, may_go_on = threading.Event(), threading.Event()
    insert = statements.insert
    first = new_upload()

    def insert_when_let(intent: Intent) -> None:
        if intent.upload is first:
            first_writes.set()
            assert may_go_on.wait(30)
        insert(intent)

    def outcome(work: Callable[[], None]) -> UploadsError | None:
        try:
            work()
        except UploadsError as error:
            return error
        finally:
            connection.close()
        return None

    monkeypatch.setattr(statements, "insert", insert_when_let)
    with ThreadPoolExecutor(len(works) + 1) as pool:
        leader = pool.submit(outcome, begin(first))
        assert first_writes.wait(30)
        results = []
        for number, work in enumerate(works, 1):
            results.append(pool.submit(outcome, work))
            assert wait_until(lambda n=number: writing.group.waiting == n, seconds=30)  # type: ignore[misc]
        may_go_on.set()
        assert leader.result(30) is None
        return [result.result(30) for result in results]


@contextmanager
def counted_transactions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Yield a list that says at the end how many transactions wrote the rows."""
    count: list[int] = []
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::text::bigint")
            before = cursor.fetchone()[0]
        yield count
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(DISTINCT xmin::text) FROM uploads_uploadevent"
                " WHERE xmin::text::bigint > %s",
                [before],
            )
            count.append(cursor.fetchone()[0])
    else:
        transaction = writing.write_transaction
        made: list[int] = []

        @contextmanager
        def counted() -> Iterator[None]:
            made.append(1)
            with transaction():
                yield

        monkeypatch.setattr(writing, "write_transaction", counted)
        yield count
        count.append(len(made))


class TestTogether:
    def test_intents_and_outcomes__all_are_recorded_in_few_transactions(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        new = [new_upload() for _ in range(4)]
        old = [begun() for _ in range(3)]
        works = [begin(new[0]), store(old[0]), begin(new[1]), store(old[1])]
        works += [store(old[2]), begin(new[2]), begin(new[3])]

        with counted_transactions(monkeypatch) as transactions:
            errors = together(works, monkeypatch)

        assert errors == [None] * 7
        # The first one's own, and the group's: of intents and of outcomes.
        assert transactions == [3 if connection.vendor == "postgresql" else 2]
        for upload, status in [(u, "pending") for u in new] + [
            (u, "stored") for u in old
        ]:
            kept = Upload.objects.get(pk=upload.pk)
            assert kept.status == upload.status == status
            assert [e.action for e in UploadEvent.objects.filter(upload=kept)] == (
                ["requested"] if status == "pending" else ["requested", "stored"]
            )

    def test_each_row_has_its_own_values(self, monkeypatch: pytest.MonkeyPatch) -> None:
        uploads = [begun() for _ in range(5)]

        together(
            [store(upload, etag=f"etag {n}") for n, upload in enumerate(uploads)],
            monkeypatch,
        )

        for number, upload in enumerate(uploads):
            kept = Upload.objects.get(pk=upload.pk)
            assert kept.etag == f"etag {number}"
            assert kept.stored_at == upload.stored_at

    def test_an_id_is_taken__only_that_thread_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken, old = begun(), begun()
        new = [new_upload() for _ in range(2)]
        again = new_upload(id=taken.pk)

        errors = together(
            [begin(new[0]), begin(again), store(old), begin(new[1])], monkeypatch
        )

        assert [type(error) for error in errors] == [
            type(None),
            AlreadyRecordedError,
            type(None),
            type(None),
        ]
        assert UploadEvent.objects.filter(upload=taken).count() == 1
        assert Upload.objects.filter(pk__in=[u.pk for u in new]).count() == 2
        assert Upload.objects.get(pk=old.pk).status == Status.STORED

    def test_an_upload_has_changed__only_that_thread_is_told_and_no_event(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        others = [begun(), begun()]
        changed = begun()
        trail.record(Upload.objects.get(pk=changed.pk), Action.FAILED, CALLER)

        errors = together(
            [store(u) for u in (others[0], changed, others[1])], monkeypatch
        )

        assert [type(error) for error in errors] == [
            type(None),
            TransitionError,
            type(None),
        ]
        assert str(errors[1]) == f"upload {changed.pk} is no longer pending."
        assert changed.status == "pending"
        last = UploadEvent.objects.filter(upload=changed).latest("pk")
        assert last.action == Action.FAILED

    def test_two_outcomes_of_one_upload__one_event(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = begun()
        same = Upload.objects.get(pk=upload.pk)

        errors = together([store(upload), store(same)], monkeypatch)

        assert [type(error) for error in errors] == [type(None), TransitionError]
        assert UploadEvent.objects.filter(upload=upload, action="stored").count() == 1

    def test_the_database_fails__all_are_told_and_nothing_is_written(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uploads = [new_upload() for _ in range(3)]
        run = statements._run

        def fail(statement: str, parameters: list[Any]) -> int:
            if uploads[2].pk in parameters or uploads[2].pk.hex in parameters:
                raise OperationalError("the server closed the connection")
            return run(statement, parameters)

        monkeypatch.setattr(statements, "_run", fail)
        errors = together([begin(upload) for upload in uploads], monkeypatch)

        assert [type(error) for error in errors] == [TrailUnavailableError] * 3
        assert not Upload.objects.filter(pk__in=[u.pk for u in uploads]).exists()

    @pytest.mark.parametrize("place", [0, 1])
    def test_a_value_that_does_not_fit__never_cut(
        self, place: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fits, too_long = begun(), begun()
        works = [store(fits)]
        works.insert(place, store(too_long, "e" * 300))

        errors = together(works, monkeypatch)

        assert errors.pop(1 - place) is None
        kept = Upload.objects.get(pk=too_long.pk)
        if errors[0] is None:  # SQLite knows no length
            assert kept.etag == "e" * 300
        else:
            assert isinstance(errors[0], TrailUnavailableError)
            assert (kept.status, kept.etag) == ("pending", "")

    @pytest.mark.parametrize("place", [0, 2])
    def test_a_value_that_no_database_takes__raised_in_its_own_thread(
        self, place: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The driver refuses it, by what is no error of a database."""
        others, spoilt = [begun(), begun()], begun()
        works = [fail(upload, "refused") for upload in others]
        works.insert(place, fail(spoilt, "half of a pair: \udcff"))
        raised: list[BaseException] = []

        def noted(work: Callable[[], None]) -> Callable[[], None]:
            def do() -> None:
                try:
                    work()
                except UnicodeEncodeError as error:
                    raised.append(error)

            return do

        works[place] = noted(works[place])
        assert together(works, monkeypatch) == [None] * 3

        assert len(raised) == 1
        assert Upload.objects.get(pk=spoilt.pk).status == Status.PENDING
        for upload in others:
            assert Upload.objects.get(pk=upload.pk).status == Status.FAILED

    def test_the_connection_is_lost__what_comes_after_gets_another(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        new, old = [new_upload(), new_upload()], [begun(), begun()]
        insert_all = statements.insert_all

        def insert_and_be_lost(intents: list[Intent]) -> None:
            if intents[0].upload in new:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            insert_all(intents)

        monkeypatch.setattr(statements, "insert_all", insert_and_be_lost)
        works = [begin(upload) for upload in new] + [store(upload) for upload in old]
        errors = together(works, monkeypatch)

        assert [type(error) for error in errors] == [TrailUnavailableError] * 2 + [
            type(None)
        ] * 2
        assert not Upload.objects.filter(pk__in=[u.pk for u in new]).exists()
        for upload in old:
            assert Upload.objects.get(pk=upload.pk).status == Status.STORED

    def test_the_database_is_away__a_group_waits_for_it_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        new, old = [new_upload(), new_upload()], [begun(), begun(), begun()]
        tries: list[int] = []

        def refuse(*_: Any) -> None:
            tries.append(1)
            connection.close()
            raise OperationalError("no connection within 5 s")

        monkeypatch.setattr(statements, "insert_all", refuse)
        monkeypatch.setattr(statements, "update_all", refuse)
        monkeypatch.setattr(statements, "update", refuse)
        works = [begin(upload) for upload in new] + [
            store(upload) for upload in old[1:]
        ]
        works.append(fail(old[0], "refused"))
        monkeypatch.setattr(statements, "insert", lambda intent: None)
        errors = together(works, monkeypatch)

        assert [type(error) for error in errors] == [TrailUnavailableError] * 5
        assert len(set(map(id, errors))) == 5
        assert len(tries) == 1


class TestWaiting:
    def test_too_long__unavailable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(write: Any) -> None:
            raise GroupBusyError

        monkeypatch.setattr(writing.group, "submit", refuse)
        with pytest.raises(TrailUnavailableError, match="held by other writers"):
            trail.begin(new_upload(), CALLER)


class TestAlone:
    def test_an_idempotency_key__does_not_wait_for_the_group(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nor does the group for it: another request may hold the same key."""
        keyed = new_upload(
            idempotency_scope="s", idempotency_key="k", idempotency_fingerprint="f"
        )
        submitted: list[Any] = []
        monkeypatch.setattr(writing.group, "submit", submitted.append)

        trail.begin(keyed, CALLER)

        assert not submitted
        assert Upload.objects.filter(pk=keyed.pk).exists()
