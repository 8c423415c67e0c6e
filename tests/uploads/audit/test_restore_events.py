"""restore_events: what the database lost comes back from the bucket, or nothing does."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sre.lib.processes import wait_until
from tests.uploads import making
from tests.uploads.audit.tampering import execute, replaced, rows_of
from tests.uploads.audit.trails import KEY, Trail, add_uploads, backed_up
from tests.uploads.making import ACTOR
from tests.uploads.making import run_with_errors as run
from uploads import transitions, triggers
from uploads.audit import chain, log
from uploads.audit.canonical import Seal, encode, parse_seal
from uploads.audit.keys import SigningKey, TrustedKeys
from uploads.audit.seal_store import PREFIX
from uploads.audit.serialization import event_lines
from uploads.exceptions import SealError
from uploads.models import Action, AuditSeal, Status, Upload, UploadEvent, new_upload_id
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db(transaction=True)

#: What no event states.
UNRESTORED = {
    "requester_id",
    "stored_at",  # a moment after the event
    "duration",
    "idempotency_scope",
    "idempotency_key",
    "idempotency_fingerprint",
    "attempt_started_at",
}


@pytest.fixture
def trail(bucket: UploadStorage, settings: Any) -> Trail:
    """Return the trail where the commands have it; only its first key is trusted."""
    settings.AUDIT_SIGNING_KEY = None
    settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
    return Trail(bucket, prefix=PREFIX)


def first_key() -> TrustedKeys:
    return TrustedKeys({KEY.id: KEY.public_key})


def tables() -> dict[str, Any]:
    """Return the record, and the number of the next event."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM uploads_uploadevent_id_seq")
        return {
            "uploads": list(rows_of(Upload).order_by("id").values()),
            "events": list(rows_of(UploadEvent).order_by("id").values()),
            "seals": list(rows_of(AuditSeal).order_by("number").values()),
            "next": cursor.fetchone(),
        }


def uploads_as_stated() -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name not in UNRESTORED}
        for row in Upload.objects.order_by("id").values()
    ]


def test_cut_anywhere__restored(trail):
    """A backup of any moment, with a key rotated before it or since."""
    new_key = SigningKey(b"n" * 32)
    stored, pending = add_uploads(2), add_uploads(2, stored=False)

    def seal(**options: Any) -> None:
        trail.seal(trusted_keys=first_key(), **options)

    def fail(upload: Upload) -> None:
        error = "made to fail"
        detail = {"error": error}
        transitions.record(upload, Action.FAILED, ACTOR, detail=detail, error=error)

    def fail_and_arrive(upload: Upload) -> None:
        fail(upload)
        for action in (Action.CORRUPTED, Action.VERIFIED):
            transitions.record(upload, action, ACTOR)

    def rotate() -> None:
        seal(next_key=new_key.public_key)
        trail.key = new_key

    life: tuple[Callable[[], object], ...] = (
        seal,
        lambda: fail(pending[0]),
        lambda: transitions.record_event(Action.DOWNLOADED, ACTOR, upload=stored[0]),
        rotate,
        lambda: transitions.record_new_attempt(pending[0], ACTOR, bucket="other"),
        lambda: transitions.record(stored[1], Action.MISSING, ACTOR),
        lambda: log.record_without_upload(Action.LOGGED_IN, ACTOR),
        lambda: add_uploads(1),
        lambda: seal(events_per_seal=2),
        lambda: transitions.record(pending[0], Action.STORED, ACTOR),
        lambda: fail_and_arrive(pending[1]),
        seal,
    )
    backups = []
    for happen in life:
        backups.append(backed_up())
        happen()
    lines = dict(event_lines(UploadEvent.objects.all()))
    uploads, seals = uploads_as_stated(), list(AuditSeal.objects.values())
    marks = dict(UploadEvent.objects.values_list("id", "seal"))

    for restore_backup in backups:
        restore_backup()
        assert run("restore_events")[0] == 0
        restored = UploadEvent.objects.exclude(action=Action.EVENTS_RESTORED)
        assert dict(event_lines(restored)) == lines
        assert dict(restored.values_list("id", "seal")) == marks
        assert uploads_as_stated() == uploads
        assert list(AuditSeal.objects.values()) == seals
        assert trail.faults(trusted_keys=first_key()) == []

    assert triggers.missing(connection) == []
    # Life goes on: numbers and keys continue.
    add_uploads(1)
    seal()
    assert run("verify_audit")[0] == 0


@pytest.fixture
def lost(trail: Trail) -> list[Upload]:
    """Restore a backup that lacks seals 2 to 4; return an older and a lost upload."""
    (old,) = add_uploads(1)
    trail.seal()
    restore_backup = backed_up()
    transitions.record(old, Action.VERIFIED, ACTOR)
    (new,) = add_uploads(1)
    trail.seal()
    trail.seal()
    log.record_without_upload(Action.LOGGED_IN, ACTOR)
    trail.seal()
    restore_backup()
    return [old, new]


def test_reports_and_records(trail, lost):
    before = tables()
    status, text = run("restore_events", "--dry-run")
    assert (status, text.splitlines()) == (
        1,
        [
            "would restore seals 2 to 4 with 4 lost events",
            "the database lacks seals 2 to 4 with 4 lost events.",
        ],
    )
    assert tables() == before
    assert run("restore_events") == (0, "restored seals 2 to 4 with 4 lost events\n")
    event = UploadEvent.objects.get(action=Action.EVENTS_RESTORED)
    assert event.actor == "command:restore_events"
    assert event.detail == {"first_seal": 2, "last_seal": 4, "events": 4}
    assert event.pk == max(UploadEvent.objects.values_list("pk", flat=True))
    assert making.actions(lost[0]) == ["requested", "stored", "verified"]
    assert making.actions(lost[1]) == ["requested", "stored"]


ODD_DETAILS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("downloaded", {"key": []}),
    ("downloaded", {"key": {"a": 1}}),
    ("failed", {"error": "x" * 1001}),
    ("stored", {"last_modified": "nonsense"}),
    ("stored", {"last_modified": 5}),
    ("stored", {"last_modified": "0001-01-01T00:00:00+23:00"}),
)


def test_details_that_the_service_never_writes__restored(trail):
    uploads = add_uploads(len(ODD_DETAILS), stored=False)
    trail.seal()
    restore_backup = backed_up()
    for upload, (action, detail) in zip(uploads, ODD_DETAILS, strict=True):
        UploadEvent.objects.create(
            upload=upload, action=action, at=timezone.now(), actor="x", detail=detail
        )
        status = transitions.STATUS_AFTER.get(Action(action), Status.PENDING)
        Upload.objects.filter(pk=upload.pk).update(status=status)
    trail.seal()
    assert trail.faults() == []
    restore_backup()
    assert run("restore_events")[0] == 0
    restored = UploadEvent.objects.filter(seal=2).values_list("action", "detail")
    assert tuple(restored) == ODD_DETAILS
    assert trail.faults() == []


def test_refused_seal__names_what_helps_and_does_no_harm(trail, lost):
    """Who does as the message says can still bring the events back."""
    with pytest.raises(SealError) as refusal:
        trail.seal()
    command, helps = re.findall(
        r"manage\.py ([a-z_]+(?: --[a-z-]+)*)", str(refusal.value)
    )
    assert helps == "restore_events"
    before = tables()
    status, text = run(*command.split())
    assert (status, "cut tail: seal 2" in text) == (1, True)
    # Nor does the check write anything without the flag, as the daily job runs it.
    status, text = run("verify_audit")
    assert (status, "the check was not recorded" in text) == (1, True)
    assert tables() == before
    assert run("restore_events")[0] == 0
    trail.seal()
    assert trail.faults() == []
    assert run("verify_audit")[0] == 0
    assert UploadEvent.objects.latest("pk").action == Action.AUDIT_CHECKED


def test_interrupted__nothing_restored(trail, lost, monkeypatch):
    """What is restored is named by an event, and the last seal's is one of them."""
    before = tables()
    with monkeypatch.context() as patched:
        interrupted = [True, True, KeyboardInterrupt]
        patched.setattr(
            "uploads.audit.restore.record_seal", Mock(side_effect=interrupted)
        )
        status, text = run("restore_events")
    assert (status, "nothing was changed" in text) == (130, True)
    assert tables() == before
    status, text = run("restore_events", "--json")
    assert (status, json.loads(text)) == (
        0,
        {"first_seal": 2, "last_seal": 4, "events": 4, "restored": True},
    )


def test_seal_recorded_by_another_run__nothing_restored(trail, lost, monkeypatch):
    """Possible for an empty seal, which a sealer records without the table's lock."""
    monkeypatch.setattr("uploads.audit.restore.record_seal", lambda *arguments: False)
    refused("another run has recorded seal 2 since; run this again")


def test_nothing_lost__nothing_written(trail):
    add_uploads(1)
    trail.seal()
    before = tables()
    with CaptureQueriesContext(connection) as captured:
        status, text = run("restore_events")
    assert (status, "nothing to restore" in text) == (0, True)
    # Nor are uploads kept waiting meanwhile.
    assert not any("LOCK TABLE" in query["sql"] for query in captured)
    status, text = run("restore_events", "--dry-run", "--json")
    assert (status, json.loads(text)["restored"]) == (0, False)
    assert tables() == before


def test_another_run_restores_first__nothing_is_left_to_do(trail, lost, monkeypatch):
    """The second run waits for the lock, and reads the seals after that."""
    answers: list[tuple[int, str]] = []

    def elsewhere() -> None:
        try:
            answers.append(run("restore_events"))
        finally:
            connection.close()

    second = threading.Thread(target=elsewhere)

    def is_waiting() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(cursor.fetchone()[0])

    def begun(*arguments: Any) -> dict[int, bytes]:
        if not answers and not second.is_alive():
            second.start()
            assert wait_until(is_waiting, seconds=30)
        return chain.sealed_lines(*arguments)

    monkeypatch.setattr("uploads.audit.restore.sealed_lines", begun)
    assert run("restore_events")[0] == 0
    second.join()
    ((status, text),) = answers
    assert (status, "nothing to restore" in text) == (0, True)


def refused(message: str, *options: str) -> None:
    """Assert that nothing is restored, not even the seals that nothing contradicts."""
    before = tables()
    status, text = run("restore_events", *options)
    assert (status, message in text) == (1, True), text
    assert tables() == before


def take_number(lost: list[Upload]) -> str:
    log.record_without_upload(Action.LOGGED_OUT, ACTOR)
    return "differs from its copy in the bucket, under seal 2"


def change_older_upload(lost: list[Upload]) -> str:
    Upload.objects.filter(pk=lost[0].pk).update(size=5)
    return (
        f"upload {lost[0].pk} in the database contradicts the audit trail: it differs"
    )


def insert_lost_upload(lost: list[Upload]) -> str:
    Upload.objects.bulk_create([lost[1]])
    return f"upload {lost[1].pk} in the database contradicts the audit trail: it has no"


def take_object_key(lost: list[Upload]) -> str:
    names = [field.attname for field in Upload._meta.concrete_fields]
    columns = {name: getattr(lost[1], name) for name in names}
    other = Upload(**columns | {"id": new_upload_id()})
    Upload.objects.bulk_create([other])
    return (
        f"upload {other.pk} has the object key that seal 2 records for another upload"
    )


def insert_under_another_seal(lost: list[Upload]) -> str:
    execute(
        "INSERT INTO uploads_uploadevent"
        " (id, action, at, actor, request_id, detail, seal_id)"
        " SELECT max(id) + 1, 'logged_in', now(), 'x', '', '{}', 1"
        " FROM uploads_uploadevent"
    )
    return "is under seal 1 in the database"


def change_last_seal(lost: list[Upload]) -> str:
    triggers.remove(connection)
    rows_of(AuditSeal).update(event_count=7)
    return "seal 1, the last one in the database, differs from"


def test_contradicted_by_the_database__refused(trail, lost):
    for tamper in (
        take_number,
        change_older_upload,
        insert_lost_upload,
        take_object_key,
        insert_under_another_seal,
        change_last_seal,
    ):
        with transaction.atomic():
            message = tamper(lost)
            refused(message)
            refused(message, "--dry-run")
            transaction.set_rollback(True)


OTHER_KEY = SigningKey(b"x" * 32)
#: New contents of seal 3, with what is said of each.
FORGED: tuple[tuple[Callable[[Seal], bytes | None], str], ...] = (
    (lambda seal: b"{}", "is not a seal"),
    (lambda seal: None, "seals/0000000003.json is not in the bucket"),
    (
        lambda seal: replace(seal, signature=bytes(64).hex()).file_bytes(),
        "forged signature",
    ),
    (
        lambda seal: OTHER_KEY.sign_seal(
            replace(seal, key_id=OTHER_KEY.id)
        ).file_bytes(),
        "unknown key",
    ),
    (
        lambda seal: KEY.sign_seal(replace(seal, previous="0" * 64)).file_bytes(),
        "does not continue",
    ),
)
#: Details of an intent that no column takes.
IMPOSSIBLE_DETAILS: tuple[dict[str, Any], ...] = (
    {"size": "many"},
    {"size": None},
    {"size": [4]},
    {"number": {}},
    {"client_address": "nonsense"},
    {"client_address": 5},
    {"client_address": {"a": ":"}},
    {"user_agent": "x" * 1000},
    {"sha256": None},
    {"key": None},
)


class TestContradictedByTheBucket:
    def test_seals_and_events(self, trail, lost):
        seal = parse_seal(trail.store.seal(3) or b"")
        for forge, message in FORGED:
            key = trail.store.seal_object_key(3)
            with replaced(trail.storage, key, forge(seal)):
                refused(message)
        (key,) = trail.storage.list_keys(f"{PREFIX}events/0000000004")
        with replaced(trail.storage, key, b"{}\n"):
            refused("is not what was sealed")
        with replaced(trail.storage, key, None):
            refused("is not in the bucket")
        with replaced(trail.storage, trail.store.seal_object_key(2), None):
            refused("seals/0000000002.json is not in the bucket, though seal 3 is")

    def test_detail_that_no_column_takes(self, trail, lost):
        """Who has the database's password can let the sealer sign such an event."""
        seal = parse_seal(trail.store.seal(2) or b"")
        lines = b"".join(trail.store.events(seal)).splitlines()
        events = [json.loads(line) for line in lines]
        for detail in IMPOSSIBLE_DETAILS:
            content = b""
            for event in events:
                changes = detail if event["upload"] == str(lost[1].pk) else {}
                content += encode(event | {"detail": event["detail"] | changes}) + b"\n"
            root = hashlib.sha256(content).hexdigest()
            forged = KEY.sign_seal(replace(seal, root=root))
            making.put_raw(
                trail.storage, trail.store.events_object_key(forged), content
            )
            key = trail.store.seal_object_key(2)
            with replaced(trail.storage, key, forged.file_bytes()):
                refused("seal 2 in the bucket contradicts the database: ")

    def test_unsigned_objects_named_like_later_seals__no_gap(self, trail, lost):
        """Anyone who can write to the bucket could prevent a restore with one."""
        first, second = (trail.store.seal_object_key(n) for n in (6, 9999))
        with (
            replaced(trail.storage, first, b"junk"),
            replaced(trail.storage, second, b"junk"),
        ):
            assert run("restore_events")[0] == 0
