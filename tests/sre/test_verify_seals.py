"""The auditor's script, alone in a folder, on copies downloaded from the bucket."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.outputs import REFUSING, run_into
from tests.uploads.audit.trails import KEY, SEED, Trail, add_uploads
from uploads.audit.canonical import parse_seal
from uploads.audit.keys import SigningKey, TrustedKeys
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db

SCRIPT = Path(__file__).parent.parent.parent / "sre" / "verify_seals.py"


class Audit:
    """A downloaded trail and the script beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(SCRIPT, folder / "verify_seals.py")

    def download(self, trail: Trail) -> None:
        for key in trail.storage.list_keys(trail.prefix):
            path = self.folder / "audit" / key.removeprefix(trail.prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(trail.storage.read(key)))

    def command(self, key: str) -> list[str]:
        return [sys.executable, "-I", "verify_seals.py", "audit", "--public-key", key]

    def run(self, *arguments: str, locale: str = "utf-8") -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "verify_seals.py", "audit", *arguments],
            cwd=self.folder,
            env={"PYTHONIOENCODING": locale},
            capture_output=True,
            encoding=locale,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def faults(self, *arguments: str) -> list[tuple[str, str]]:
        key = KEY.public_text()
        status, text = self.run("--public-key", key, "--json", *arguments)
        outcome: dict[str, Any] = json.loads(text)
        assert status == (1 if outcome["counts"] else 0)
        return [(fault["kind"], fault["subject"]) for fault in outcome["faults"]]

    def seal(self, number: int) -> Path:
        return self.folder / f"audit/seals/{number:010d}.json"

    def events(self, number: int) -> Path:
        return next((self.folder / "audit/events").glob(f"{number:010d}-*"))


@pytest.fixture
def trail(bucket: UploadStorage) -> Trail:
    trail = Trail(bucket)
    for count in (2, 0, 1):
        add_uploads(count)
        trail.seal()
    return trail


@pytest.fixture
def audit(trail: Trail, tmp_path: Path) -> Audit:
    audit = Audit(tmp_path)
    audit.download(trail)
    return audit


class TestVerifySeals:
    def test_untouched(self, audit: Audit) -> None:
        status, text = audit.run("--public-key", KEY.public_text())
        assert status == 0
        assert text.startswith("3 seals, 6 events: all as signed\n")
        seen = re.search(r"--expect (3:[0-9a-f]{64})", text)
        assert seen
        assert audit.faults("--expect", seen[1]) == []
        audit.seal(3).unlink()
        assert audit.faults() == []  # what it cannot know …
        assert audit.faults("--expect", seen[1]) == [("cut tail", "seal 3")]

    def test_another_seal_than_seen_before(self, audit: Audit) -> None:
        assert audit.faults("--expect", f"3:{'0' * 64}") == [("changed", "seal 3")]

    def test_event_changed(self, audit: Audit) -> None:
        content = audit.events(1).read_bytes()
        audit.events(1).write_bytes(content.replace(b"anonymous", b"anonymouz", 1))
        assert audit.faults() == [("changed", "events of seal 1")]

    def test_events_missing(self, audit: Audit) -> None:
        audit.events(1).unlink()
        assert audit.faults() == [("missing", "events of seal 1")]

    def test_seal_changed(self, audit: Audit) -> None:
        content = audit.seal(2).read_bytes()
        audit.seal(2).write_bytes(
            content.replace(b'"event_count":0', b'"event_count":1')
        )
        assert audit.faults() == [
            ("forged signature", "seal 2"),
            ("broken chain", "seal 3"),
        ]

    def test_signature_written_otherwise(self, audit: Audit) -> None:
        """Of the last seal, whose hash no other one names."""
        content = audit.seal(3).read_bytes()
        signature = json.loads(content)["signature"].encode()
        audit.seal(3).write_bytes(content.replace(signature, signature.upper()))
        assert audit.faults() == [("changed", "seal 3")]

    def test_seal_missing(self, audit: Audit) -> None:
        audit.seal(2).unlink()
        assert audit.faults() == [("missing", "seal 2")]

    def test_seals_exchanged(self, audit: Audit) -> None:
        first, second = audit.seal(1).read_bytes(), audit.seal(2).read_bytes()
        audit.seal(1).write_bytes(second)
        audit.seal(2).write_bytes(first)
        assert audit.faults()[:2] == [("reordered", "seal 1"), ("reordered", "seal 2")]

    @pytest.mark.parametrize(
        "content", [b"", b"[]", b"5", b"\xff", b'{"a":1.5}', b"[" * 100_000]
    )
    def test_no_seal(self, audit: Audit, content: bytes) -> None:
        audit.seal(3).write_bytes(content)
        assert audit.faults() == [("changed", "seal 3")]

    def test_foreign_file(self, audit: Audit) -> None:
        (audit.folder / "audit/seals/notes.txt").touch()
        assert audit.faults() == [("invented", "notes.txt")]

    def test_foreign_file__beside_events(self, audit: Audit) -> None:
        events = audit.events(1)
        (events.parent / "notes.txt").write_text("x")
        attempt = f"0000000002-{'ab' * 32}.jsonl"  # one that was interrupted
        events.with_name(attempt).write_text("x")
        assert audit.faults() == [("invented", "events/notes.txt")]

    HOSTILE = b"x\n999 seals, 1 events: all as signed\x1b[8m\xe2\x80\xae\xff\xc3\xa4"

    def test_hostile_file_name(self, audit: Audit) -> None:
        folder = os.fsencode(audit.folder / "audit/seals")
        Path(os.fsdecode(folder + b"/" + self.HOSTILE)).touch()
        status, text = audit.run("--public-key", KEY.public_text())
        assert status == 1
        invented, verdict, last = text.splitlines()
        assert invented == (
            r"invented: x\n999 seals, 1 events: all as signed\x1b[8m\u202e\udcffä:"
            " it is no file with a seal's name"
        )
        assert verdict == "3 seals, 6 events: NOT as signed"
        assert last.startswith("last: --expect 3:")

    def test_hostile_key_name(self, audit: Audit) -> None:
        """In an unsigned seal, which anyone can write into the folder."""
        seal = json.loads(audit.seal(3).read_bytes())
        seal["key_id"] = self.HOSTILE.decode("latin-1")
        audit.seal(3).write_text(
            json.dumps(seal, sort_keys=True, separators=(",", ":"))
        )
        status, text = audit.run("--public-key", KEY.public_text())
        assert status == 1
        assert len(text.splitlines()) == 3
        assert text.replace("\n", "").isprintable()

    def test_ascii_terminal(self, audit: Audit) -> None:
        (audit.folder / "audit/seals/日本").touch()
        status, text = audit.run("--public-key", KEY.public_text(), locale="ascii")
        assert status == 1
        assert text.startswith(r"invented: \u65e5\u672c: it is no file")

    @pytest.mark.parametrize(
        ("options", "output", "reason"),
        [
            ([], "full", "No space left on device"),
            ([], "broken pipe", "Broken pipe"),
            ([], "closed", "Bad file descriptor"),
            (["--json"], "full", "No space left on device"),
            (["--help"], "full", "No space left on device"),
        ],
    )
    def test_output_cannot_be_written(
        self, audit: Audit, options: list[str], output: str, reason: str
    ) -> None:
        """With a status of its own: neither as signed nor differences."""
        command = [*audit.command(KEY.public_text()), *options]
        done = run_into(output, command, cwd=audit.folder)
        assert (done.returncode, done.stderr) == (
            74,
            f"the output cannot be written: {reason}\n",
        )

    def test_refused_argument__printed_harmlessly(self, audit: Audit) -> None:
        status, text = audit.run("--public-key", "\x1b[2J\nall as signed")
        assert status == 2
        assert "\\x1b[2J\\nall as signed" in text
        status, text = audit.run("--\x1b[2J")
        assert status == 2
        assert "\x1b" not in text

    @pytest.mark.parametrize("output", REFUSING)
    def test_errors_cannot_be_written(self, audit: Audit, output: str) -> None:
        shutil.rmtree(audit.folder / "audit")
        command = audit.command(KEY.public_text())
        done = run_into(output, command, stream="stderr", cwd=audit.folder)
        assert done.returncode == 2

    def test_signed_by_a_trusted_key_and_malformed(self, audit: Audit) -> None:
        """The holder of a key must not be able to crash the verification."""
        seal = json.loads(audit.seal(3).read_bytes())
        for name, value in (("next_key", "zz"), ("root", "../x"), ("previous", 5)):
            changed = {**seal, name: value}
            del changed["signature"]
            text = json.dumps(changed, sort_keys=True, separators=(",", ":"))
            message = b"mirrorsite-audit-seal-1\n" + text.encode()
            signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(message)
            changed["signature"] = signature.hex()
            audit.seal(3).write_text(
                json.dumps(changed, sort_keys=True, separators=(",", ":"))
            )
            assert audit.faults() == [("changed", "seal 3")], name

    def test_folder_named_like_a_seal(self, audit: Audit) -> None:
        (audit.folder / "audit/seals/0000000004.json").mkdir()
        assert audit.faults() == [("invented", "0000000004.json")]

    def test_events_nested_without_end(self, audit: Audit) -> None:
        audit.events(1).write_bytes(b"[" * 100_000 + b"\n")
        assert audit.faults() == [("changed", "events of seal 1")]

    def test_unknown_key(self, audit: Audit) -> None:
        other = SigningKey(b"x" * 32)
        status, text = audit.run("--public-key", other.public_text())
        assert status == 1
        assert f"unknown key: seal 1: key {KEY.id} is not trusted" in text

    def test_rotation_is_followed(self, trail: Trail, tmp_path: Path) -> None:
        """The first key alone is enough: each new one was announced under the old."""
        new = SigningKey(b"n" * 32)
        trail.seal(next_key=new.public_key)
        trusted = {KEY.id: KEY.public_key, new.id: new.public_key}
        trail.seal(signing_key=new, trusted_keys=TrustedKeys(trusted))
        audit = Audit(tmp_path)
        audit.download(trail)
        assert audit.faults() == []
        # The first key was replaced: what it signs from now on is a thief's.
        last = parse_seal(audit.seal(5).read_bytes())
        stolen = replace(last, number=6, previous=last.hash(), key_id=KEY.id)
        audit.seal(6).write_bytes(KEY.sign(stolen).file_bytes())
        assert audit.faults() == [("unknown key", "seal 6")]

    def test_announced_and_abandoned_key(self, trail: Trail, tmp_path: Path) -> None:
        lost, new = SigningKey(b"l" * 32), SigningKey(b"n" * 32)
        trail.seal(next_key=lost.public_key)
        trail.seal(next_key=new.public_key)
        trail.seal(signing_key=new)
        audit = Audit(tmp_path)
        audit.download(trail)
        assert audit.faults() == []
        last = parse_seal(audit.seal(6).read_bytes())
        stolen = replace(last, number=7, previous=last.hash(), key_id=lost.id)
        audit.seal(7).write_bytes(lost.sign(stolen).file_bytes())
        assert audit.faults() == [("unknown key", "seal 7")]

    def test_could_not_run(self, audit: Audit) -> None:
        shutil.rmtree(audit.folder / "audit")
        status, text = audit.run("--public-key", KEY.public_text())
        assert (status, text) == (2, "audit holds no seals/ folder\n")
        assert audit.run("--public-key", "nonsense")[0] == 2

    def test_could_not_run__without_its_one_package(self, tmp_path: Path) -> None:
        """Exit status 1 would say that the trail was changed."""
        done = subprocess.run(
            [sys.executable, "-S", "-I", SCRIPT, tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.endswith("pip install cryptography\n")

    def test_could_not_run__unreadable(self, audit: Audit) -> None:
        seal = audit.seal(2)
        seal.unlink()
        # A file for every test but the reading: opening it is refused to root as well.
        seal.symlink_to("/proc/self/mem")
        status, text = audit.run("--public-key", KEY.public_text())
        assert (status, text[:14]) == (2, "could not read")
