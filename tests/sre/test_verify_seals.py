"""The auditor's script, on copies as the bucket has them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from uuid_utils.compat import uuid7

from tests.outputs import run_into
from tests.support import ROOT, run_program
from tests.uploads.audit.trails import KEY, SEED, Trail, add_uploads
from uploads.audit.canonical import NO_SEAL, Seal, event_line, format_time
from uploads.audit.keys import SigningKey
from uploads.storage import UploadStorage

SCRIPT = ROOT / "sre" / "verify_seals.py"
KEY_TEXT = KEY.public_text()
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Audit:
    """A folder with copies of seals, and the script."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capfd = capfd
        specification = importlib.util.spec_from_file_location("verify_seals", SCRIPT)
        assert specification
        assert specification.loader
        self.script = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(self.script)
        for name in ("seals", "events"):
            (folder / "audit" / name).mkdir(parents=True)
        self.last: Seal | None = None
        self.next_event = 1

    def add_seal(
        self, events: int = 0, *, key: SigningKey = KEY, next_key: bytes | None = None
    ) -> None:
        """Add what sealing this many events leaves in the bucket."""
        ids = list(range(self.next_event, self.next_event + events))
        self.next_event += events
        lines = b"".join(
            event_line(pk, uuid7(), "stored", NOON, "anonymous", "", {"size": 4})
            for pk in ids
        )
        self.last = seal = key.sign_seal(
            Seal(
                number=self.last.number + 1 if self.last else 1,
                sealed_at=format_time(NOON),
                event_count=events,
                first_event=ids[0] if ids else None,
                last_event=ids[-1] if ids else None,
                root=hashlib.sha256(lines).hexdigest(),
                previous=self.last.hash() if self.last else NO_SEAL,
                key_id=key.id,
                next_key=next_key.hex() if next_key else None,
            )
        )
        self.seal(seal.number).write_bytes(seal.file_bytes())
        if events:
            name = f"{seal.number:010d}-{seal.root}.jsonl"
            (self.folder / "audit/events" / name).write_bytes(lines)

    def run(self, *arguments: str, key: str = KEY_TEXT) -> tuple[int, str]:
        folder = str(self.folder / "audit")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "argv", ["x", folder, "--public-key", key, *arguments])
            status = self.script.main()
        out, err = self.capfd.readouterr()
        return status, out + err

    def faults(self, *arguments: str) -> list[tuple[str, str]]:
        status, text = self.run("--json", *arguments)
        outcome: dict[str, Any] = json.loads(text)
        assert status == (1 if outcome["faults"] else 0)
        assert sum(outcome["counts"].values()) == len(outcome["faults"])
        return [(fault["kind"], fault["subject"]) for fault in outcome["faults"]]

    def seal(self, number: int) -> Path:
        return self.folder / f"audit/seals/{number:010d}.json"

    def events(self, number: int) -> Path:
        return next((self.folder / "audit/events").glob(f"{number:010d}-*"))

    def sign(self, number: int, /, **changes: Any) -> None:
        """Change a seal, and sign it with the trail's key."""
        seal = json.loads(self.seal(number).read_bytes()) | changes
        del seal["signature"]
        text = json.dumps(seal, sort_keys=True, separators=(",", ":"))
        message = b"mirrorsite-audit-seal-1\n" + text.encode()
        signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(message)
        seal["signature"] = signature.hex()
        text = json.dumps(seal, sort_keys=True, separators=(",", ":"))
        self.seal(number).write_text(text)


@pytest.fixture
def audit(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Audit:
    audit = Audit(tmp_path, capfd)
    for events in (4, 0, 2):
        audit.add_seal(events)
    return audit


def change(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def exchange(first: Path, second: Path) -> None:
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def capitals(seal: Path) -> None:
    """Write the signature in capitals: of the last seal, whose hash no other names."""
    signature = json.loads(seal.read_bytes())["signature"].encode()
    change(seal, signature, signature.upper())


def reorder_events(audit: Audit) -> None:
    """Reorder the lines as the holder of the key can, who seals them so."""
    events = audit.events(3)
    content = b"".join(events.read_bytes().splitlines(keepends=True)[::-1])
    root = hashlib.sha256(content).hexdigest()
    events.with_name(f"0000000003-{root}.jsonl").write_bytes(content)
    audit.sign(3, root=root)


EVENTS, LAST_EVENTS = ("changed", "events of seal 1"), ("changed", "events of seal 3")
SEAL = ("changed", "seal 3")
TAMPERED: dict[str, tuple[Callable[[Audit], object], list[tuple[str, str]]]] = {
    "event changed": (lambda a: change(a.events(1), b"anon", b"Anon"), [EVENTS]),
    "events nested": (lambda a: a.events(1).write_bytes(b"[" * 10**5), [EVENTS]),
    "events missing": (
        lambda a: a.events(1).unlink(),
        [("missing", "events of seal 1")],
    ),
    "events sealed out of order": (reorder_events, [LAST_EVENTS, LAST_EVENTS]),
    "events miscounted": (lambda a: a.sign(3, event_count=3), [LAST_EVENTS]),
    "events of an interrupted attempt": (
        lambda a: a.events(1).with_name(f"0000000002-{'ab' * 32}.jsonl").touch(),
        [],
    ),
    "seal changed": (
        lambda a: change(a.seal(2), b'"event_count":0', b'"event_count":1'),
        [("forged signature", "seal 2"), ("broken chain", "seal 3")],
    ),
    "seal missing": (lambda a: a.seal(2).unlink(), [("missing", "seal 2")]),
    "seals exchanged": (
        lambda a: exchange(a.seal(1), a.seal(2)),
        [
            ("reordered", "seal 1"),
            ("reordered", "seal 2"),
            ("broken chain", "seal 3"),
        ],
    ),
    "signature in capitals": (lambda a: capitals(a.seal(3)), [SEAL]),
    "no seal: empty": (lambda a: a.seal(3).write_bytes(b""), [SEAL]),
    "no seal: list": (lambda a: a.seal(3).write_bytes(b"[]"), [SEAL]),
    "no seal: bytes": (lambda a: a.seal(3).write_bytes(b"\xff"), [SEAL]),
    "no seal: fraction": (lambda a: a.seal(3).write_bytes(b'{"a":1.5}'), [SEAL]),
    "no seal: nested": (lambda a: a.seal(3).write_bytes(b"[" * 10**5), [SEAL]),
    "signed: first event of none": (
        lambda a: a.sign(2, first_event=1),
        [("missing", "events of seal 2"), ("broken chain", "seal 3")],
    ),
    "file beside seals": (
        lambda a: a.seal(3).with_name("notes.txt").touch(),
        [("invented", "notes.txt")],
    ),
    "file beside events": (
        lambda a: a.events(1).with_name("notes.txt").touch(),
        [("invented", "events/notes.txt")],
    ),
    "folder named like a seal": (
        lambda a: a.seal(4).mkdir(),
        [("invented", "0000000004.json")],
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_tampered(audit: Audit, case: str) -> None:
    tamper, faults = TAMPERED[case]
    tamper(audit)
    assert audit.faults() == faults


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"next_key": "zz"}, "its next_key is malformed"),
        ({"root": "../x"}, "its root is malformed"),
        ({"previous": 5}, "its previous is malformed"),
        ({"format": "other"}, "its format is not mirrorsite-audit-seal-1"),
        ({"key_id": 5}, "its key_id is malformed"),
        *(
            ({name: value}, f"its {name} is not an integer")
            for name, value in (
                ("number", "3"),
                ("number", True),
                ("event_count", "2"),
                ("event_count", None),
                ("event_count", False),
                ("first_event", "5"),
                ("last_event", True),
            )
        ),
        ({"sealed_at": "2026-02-31T12:00:00.000000Z"}, "day is out of range"),
        (
            {"sealed_at": "\u0662\u0660\u0662\u0666-11-23T12:00:00.000000Z"},
            "its sealed_at is malformed",
        ),
        ({"more": 1}, "its keys are not those of a seal"),
    ],
)
def test_signed_and_not_a_seal(
    audit: Audit, changes: dict[str, Any], fault: str
) -> None:
    """The holder of a key must not be able to crash the verification."""
    audit.sign(3, **changes)
    assert audit.faults() == [SEAL]
    assert f"changed: seal 3: the file is not a seal: {fault}" in audit.run()[1]


@pytest.mark.django_db
def test_untouched__downloaded_beside_the_script(
    bucket: UploadStorage, tmp_path: Path
) -> None:
    """What the service makes, from a bucket; rotations included."""
    trail, new = Trail(bucket), SigningKey(b"n" * 32)
    for count in (2, 0, 1):
        add_uploads(count)
        trail.seal()
    # A key that announces itself is not replaced.
    for next_key in (KEY.public_key, None, new.public_key):
        trail.seal(next_key=next_key)
    trail.seal(signing_key=new)
    assert trail.faults() == []
    for key in bucket.list_keys(trail.prefix):
        path = tmp_path / "audit" / key.removeprefix(trail.prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(bucket.read(key)))
    shutil.copy(SCRIPT, tmp_path)
    command = [sys.executable, "-I", "verify_seals.py", "audit", "--public-key"]
    done = run_program([*command, KEY_TEXT], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("7 seals, 6 events: all as signed\n")


def test_cut_tail(audit: Audit) -> None:
    status, text = audit.run()
    assert status == 0
    seen = re.search(r"--expect (3:[0-9a-f]{64})", text)
    assert seen
    assert audit.faults("--expect", seen[1]) == []
    audit.seal(3).unlink()
    assert audit.faults() == []  # what it cannot know …
    assert audit.faults("--expect", seen[1]) == [("cut tail", "seal 3")]


def test_another_seal_than_seen_before(audit: Audit) -> None:
    assert audit.faults("--expect", f"3:{'0' * 64}") == [SEAL]
    with pytest.raises(SystemExit) as refused:
        audit.run("--expect", f"0:{'0' * 64}")
    assert refused.value.code == 2


def test_hostile_names__escaped(audit: Audit) -> None:
    """Of a file, and of a key in an unsigned seal: anyone can write them there."""
    hostile = b"x\n999 seals, 1 events: all as signed\x1b[8m\xe2\x80\xae\xff\xc3\xa4"
    name = os.fsencode(audit.seal(3).parent) + b"/" + hostile
    Path(os.fsdecode(name)).touch()
    seal = json.loads(audit.seal(3).read_bytes())
    seal["key_id"] = hostile.decode("latin-1")
    text = json.dumps(seal, sort_keys=True, separators=(",", ":"))
    audit.seal(3).write_text(text)

    status, text = audit.run()

    assert status == 1
    unknown, invented, verdict, last = text.splitlines()
    assert unknown.startswith("unknown key: seal 3: key x")
    assert invented == (
        r"invented: x\n999 seals, 1 events: all as signed\x1b[8m\u202e\udcff\xe4:"
        " it is not a file with the name of a seal"
    )
    assert verdict == "2 seals, 4 events: NOT as signed"
    assert last.startswith("last: --expect 2:")
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("options", "output", "reason"),
    [
        ([], "broken pipe", "Broken pipe"),
        ([], "closed", "Bad file descriptor"),
        (["--json"], "full", "No space left on device"),
    ],
)
def test_output_cannot_be_written(
    audit: Audit, options: list[str], output: str, reason: str
) -> None:
    """With a status of its own: neither as signed nor differences."""
    command = [sys.executable, str(SCRIPT), "audit", "--public-key", KEY_TEXT]
    done = run_into(output, [*command, *options], cwd=audit.folder)
    message = f"the output cannot be written: {reason}\n"
    assert (done.returncode, done.stderr) == (74, message)


class TestKeys:
    def test_unknown(self, audit: Audit) -> None:
        status, text = audit.run(key=SigningKey(b"x" * 32).public_text())
        assert status == 1
        assert f"unknown key: seal 1: key {KEY.id} is not trusted" in text

    def test_rotation_is_followed(self, audit: Audit) -> None:
        """The first key is enough: others are announced. Replaced ones sign no more."""
        lost, new = SigningKey(b"l" * 32), SigningKey(b"n" * 32)
        audit.add_seal(next_key=lost.public_key)
        audit.add_seal(next_key=new.public_key)
        audit.add_seal(key=new)
        assert audit.faults() == []
        for thief in (KEY, lost):
            last = audit.last
            audit.add_seal(key=thief)
            assert audit.faults() == [("unknown key", "seal 7")]
            audit.last = last


class TestCouldNotRun:
    def test_no_folder(self, audit: Audit) -> None:
        shutil.rmtree(audit.seal(1).parent)
        status, text = audit.run()
        assert (status, text) == (2, f"{audit.folder}/audit has no folder seals/\n")
        audit.seal(1).parent.mkdir()
        status, text = audit.run()
        assert (status, text) == (2, f"{audit.folder}/audit has no seals\n")

    @pytest.mark.parametrize(
        "key", ["\x1b[2J\nall as signed", f"{'0' * 16}:{KEY_TEXT[17:]}"]
    )
    def test_no_key(self, audit: Audit, key: str) -> None:
        with pytest.raises(SystemExit) as refused:
            audit.run(key=key)
        assert refused.value.code == 2
        message = audit.capfd.readouterr().err.splitlines()[-1]
        assert message.isprintable()
        assert "error: argument --public-key: " in message

    def test_without_its_one_package(self, tmp_path: Path) -> None:
        """Exit status 1 would say that the trail was changed."""
        done = run_program([sys.executable, "-S", "-I", SCRIPT, tmp_path])
        assert done.returncode == 2
        assert done.stderr.endswith("pip install cryptography\n")

    def test_unreadable(self, audit: Audit) -> None:
        audit.seal(2).unlink()
        # A file for every test but the reading: opening it is refused to root as well.
        audit.seal(2).symlink_to("/proc/self/mem")
        status, text = audit.run()
        assert (status, text[:14]) == (2, "could not read")
