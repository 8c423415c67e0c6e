"""restore_events: what the database lost comes back from the bucket, or nothing does."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connection
from django.utils import timezone

from tests.uploads import making
from tests.uploads.audit.commands import run
from tests.uploads.audit.tampering import execute, replaced, rows_of, without_triggers
from tests.uploads.audit.trails import KEY, Trail, add_uploads, backed_up
from tests.uploads.making import ACTOR
from uploads import transitions, triggers
from uploads.audit import chain, log
from uploads.audit.canonical import parse_seal
from uploads.audit.keys import SigningKey, TrustedKeys
from uploads.audit.seal_store import PREFIX
from uploads.audit.serialization import event_lines
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


class Life:
    """Lets a service live for a while, by chance."""

    def __init__(self, trail: Trail, chance: random.Random) -> None:
        self.trail = trail
        self.chance = chance

    def seal(self, next_key: SigningKey | None = None) -> None:
        self.trail.seal(
            trusted_keys=first_key(),
            events_per_seal=self.chance.choice([2, 5, 100]),
            next_key=next_key and next_key.public_key,
        )

    def rotate(self) -> None:
        new = SigningKey(self.chance.randbytes(32))
        self.seal(next_key=new)
        self.trail.key = new
        self.seal()

    def happen(self) -> None:
        match self.chance.choice(["new", "new", "change", "note", "login", "seal"]):
            case "new":
                add_uploads(
                    self.chance.randint(1, 3), stored=self.chance.random() < 0.5
                )
            case "change":
                self._change()
            case "note":
                upload = Upload.objects.order_by("?").first()
                if upload is not None:
                    transitions.record_event(Action.DOWNLOADED, ACTOR, upload=upload)
            case "login":
                log.record_event(Action.LOGGED_IN, ACTOR)
            case "seal":
                self.seal()

    def _change(self) -> None:
        upload = Upload.objects.order_by("?").first()
        if upload is None:
            return
        if upload.status == Status.PENDING:
            error = "made to fail"
            transitions.record(
                upload, Action.FAILED, ACTOR, detail={"error": error}, error=error
            )
        elif upload.status == Status.FAILED:
            transitions.record_new_attempt(upload, ACTOR, bucket=upload.bucket)
        else:
            actions = [Action.VERIFIED, Action.MISSING, Action.CORRUPTED]
            transitions.record(upload, self.chance.choice(actions), ACTOR)


@pytest.mark.parametrize("seed", range(6))
def test_cut_anywhere__restored(trail, seed):
    """A backup of any moment, with a key rotated before it or since."""
    chance = random.Random(seed)  # noqa: S311 repeatable on purpose
    life = Life(trail, chance)
    steps = chance.randint(10, 25)
    backup, rotation = chance.randrange(steps), chance.randrange(steps)
    restore_backup = backed_up()
    for step in range(steps):
        if step == backup:
            restore_backup = backed_up()
        if step == rotation:
            life.rotate()
        life.happen()
    life.seal()
    lines = dict(event_lines(UploadEvent.objects.all()))
    uploads, seals = uploads_as_stated(), list(AuditSeal.objects.values())
    marks = dict(UploadEvent.objects.values_list("id", "seal"))
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
    for _ in range(3):
        life.happen()
    life.seal()
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
    log.record_event(Action.LOGGED_IN, ACTOR)
    trail.seal()
    restore_backup()
    return [old, new]


def test_reports_and_records(trail, lost):
    assert run("restore_events") == (0, "restored seals 2 to 4 with 4 lost events\n")
    event = UploadEvent.objects.get(action=Action.EVENTS_RESTORED)
    assert event.actor == "command:restore_events"
    assert event.detail == {"first_seal": 2, "last_seal": 4, "events": 4}
    assert event.pk == max(UploadEvent.objects.values_list("pk", flat=True))
    assert making.actions(lost[0]) == ["requested", "stored", "verified"]
    assert making.actions(lost[1]) == ["requested", "stored"]


@pytest.mark.parametrize(
    ("action", "detail"),
    [
        ("downloaded", {"key": []}),
        ("downloaded", {"key": {"a": 1}}),
        ("failed", {"error": "x" * 1001}),
        ("stored", {"last_modified": "nonsense"}),
        ("stored", {"last_modified": 5}),
        ("stored", {"last_modified": "0001-01-01T00:00:00+23:00"}),
    ],
)
def test_detail_that_the_service_never_writes__restored(trail, action, detail):
    (upload,) = add_uploads(1, stored=False)
    trail.seal()
    restore_backup = backed_up()
    event = UploadEvent.objects.create(
        upload=upload, action=action, at=timezone.now(), actor="x", detail=detail
    )
    status = transitions.STATUS_AFTER.get(Action(action), Status.PENDING)
    Upload.objects.filter(pk=upload.pk).update(status=status)
    trail.seal()
    assert trail.faults() == []
    restore_backup()
    assert run("restore_events")[0] == 0
    assert UploadEvent.objects.get(pk=event.pk).detail == detail
    assert trail.faults() == []


@pytest.mark.parametrize(
    "detail",
    [
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
    ],
    ids=str,
)
def test_detail_that_no_column_takes__refused(trail, detail):
    """Who has the database's password can let the sealer sign such an event."""
    add_uploads(1)
    trail.seal()
    restore_backup = backed_up()
    log.record_event(Action.LOGGED_IN, ACTOR)
    trail.seal()  # which could be restored
    (upload,) = add_uploads(1, stored=False)
    with without_triggers():
        event = rows_of(UploadEvent).filter(upload=upload).order_by("id")[:1].get()
        rows_of(UploadEvent).filter(pk=event.pk).update(detail=event.detail | detail)
    trail.seal()
    restore_backup()
    refused("seal 3 in the bucket contradicts the database: ")


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
    assert run("restore_events") == (0, "restored seals 2 to 4 with 4 lost events\n")
    event = UploadEvent.objects.get(action=Action.EVENTS_RESTORED)
    assert event.detail == {"first_seal": 2, "last_seal": 4, "events": 4}


def test_json(trail, lost):
    status, text = run("restore_events", "--json")
    assert (status, json.loads(text)) == (
        0,
        {"first_seal": 2, "last_seal": 4, "events": 4, "restored": True},
    )


def test_nothing_lost__nothing_written(trail):
    add_uploads(1)
    trail.seal()
    before = tables()
    status, text = run("restore_events")
    assert (status, "nothing to restore" in text) == (0, True)
    status, text = run("restore_events", "--json")
    assert (status, json.loads(text)["restored"]) == (0, False)
    assert run("restore_events", "--dry-run")[0] == 0
    assert tables() == before


def test_dry_run__changes_nothing(trail, lost):
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


def test_another_run_restores_first__no_contradiction(trail, lost, monkeypatch):
    name = "uploads.audit.restore.sealed_lines"

    def elsewhere() -> int:
        try:
            return run("restore_events")[0]
        finally:
            connection.close()

    def overtaken(*arguments: Any) -> dict[int, bytes]:
        lines = chain.sealed_lines(*arguments)
        monkeypatch.setattr(name, chain.sealed_lines)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(elsewhere).result() == 0
        return lines

    monkeypatch.setattr(name, overtaken)
    status, text = run("restore_events")
    assert status == 2
    assert "seal 2 was restored by another process; run this again" in text
    assert run("restore_events")[0] == 0


def test_no_key__misconfigured(trail, settings):
    settings.AUDIT_PUBLIC_KEYS = {}
    assert run("restore_events")[0] == 78


def refused(message: str) -> None:
    """Assert that nothing is restored, not even the seals that nothing contradicts."""
    before = tables()
    for options in ([], ["--dry-run"]):
        status, text = run("restore_events", *options)
        assert (status, message in text) == (1, True), text
    assert tables() == before


class TestContradictedByTheDatabase:
    def test_event_with_a_lost_number(self, trail, lost):
        log.record_event(Action.LOGGED_OUT, ACTOR)
        refused("differs from what seal 2 in the bucket says")

    def test_row_of_an_older_upload(self, trail, lost):
        Upload.objects.filter(pk=lost[0].pk).update(size=5)
        refused(f"upload {lost[0].pk} differs from the events that the database has")

    def test_row_of_a_lost_upload(self, trail, lost):
        lost[1].save(force_insert=True)
        refused(f"upload {lost[1].pk} differs from the events that the database has")

    def test_key_taken_by_another_upload(self, trail, lost):
        other = new_upload_id()
        Upload.objects.bulk_create([_copied(lost[1], id=other)])
        refused(f"upload {other} has an object key that seal 2 has for another upload")

    def test_event_under_another_seal(self, trail, lost):
        execute(
            "INSERT INTO uploads_uploadevent"
            " (id, action, at, actor, request_id, detail, seal_id)"
            " SELECT max(id) + 1, 'logged_in', now(), 'x', '', '{}', 1"
            " FROM uploads_uploadevent"
        )
        refused("is under seal 1 in the database")

    def test_last_seal(self, trail, lost):
        with without_triggers():
            rows_of(AuditSeal).update(event_count=7)
        refused("seal 1, the last one in the database, differs from")


class TestContradictedByTheBucket:
    @pytest.mark.parametrize(
        ("forge", "message"),
        [
            (lambda seal: b"{}", "is no seal"),
            (lambda seal: None, "seals/0000000003.json is not in the bucket"),
            (
                lambda seal: seal.with_signature(bytes(64)).file_bytes(),
                "forged signature",
            ),
            (
                lambda seal: (
                    SigningKey(b"x" * 32)
                    .sign_seal(replace(seal, key_id=SigningKey(b"x" * 32).id))
                    .file_bytes()
                ),
                "unknown key",
            ),
            (
                lambda seal: KEY.sign_seal(
                    replace(seal, previous="0" * 64)
                ).file_bytes(),
                "does not continue",
            ),
        ],
    )
    def test_seal(self, trail, lost, forge, message):
        key = trail.store.seal_object_key(3)
        content = forge(parse_seal(trail.store.seal(3) or b""))
        with replaced(trail.storage, key, content):
            refused(message)

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"{}\n", "is not what was sealed"), (None, "is not in the bucket")],
    )
    def test_events(self, trail, lost, content, message):
        (key,) = trail.storage.list_keys(f"{PREFIX}events/0000000004")
        with replaced(trail.storage, key, content):
            refused(message)

    def test_gap_after_the_last_seal_of_the_database(self, trail, lost):
        with replaced(trail.storage, trail.store.seal_object_key(2), None):
            refused("seals/0000000002.json is not in the bucket, though seal 3 is")

    @pytest.mark.parametrize("number", [6, 9999])
    def test_unsigned_object_named_like_a_later_seal__no_gap(self, trail, lost, number):
        """Anyone who can write to the bucket could prevent a restore with one."""
        key = trail.store.seal_object_key(number)
        with replaced(trail.storage, key, b"junk"):
            assert run("restore_events")[0] == 0


def _copied(upload: Upload, **changes: Any) -> Upload:
    names = [field.attname for field in Upload._meta.concrete_fields]
    return Upload(**{name: getattr(upload, name) for name in names} | changes)
