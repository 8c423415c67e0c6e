#!/usr/bin/env python3
"""Verify a downloaded audit/ folder with a public key: no service, no database.

Needs Python 3.11 and `pip install cryptography`, but no other file of this project, so
that an auditor can read all of it. It repeats the service's rules on purpose.

    aws s3 sync s3://BUCKET/audit/seals/ audit/seals/
    aws s3 sync s3://BUCKET/audit/events/ audit/events/
    python3 verify_seals.py audit/ --public-key eb06…:base64…

The folder holds `seals/0000000012.json` and `events/0000000012-<root>.jsonl`. Download
the seals first: otherwise a seal made during the download can lack its events.

A seal is a JSON object. Of its keys,

- `previous` is the SHA-256 of the previous seal's file, in the first seal 64 zeros;
- `root` is the SHA-256 of the file of its events;
- `key_id` is the start of the SHA-256 of the public key that verifies it;
- `next_key`, unless null, announces a public key that takes over;
- `signature` is Ed25519 (RFC 8032) over the line `mirrorsite-audit-seal-1` and the
  object without `signature`.

What is verified; the code repeats the numbers:

1. Every file has the name of a seal, or of a seal's events.
2. The numbers of the seals have no gap.
3. A seal has the number of its name and is in canonical form: keys sorted, no white
   space, ASCII, integers only.
4. Its key is trusted: given, or announced in a seal signed by a trusted key. The first
   seal of an announced key retires the key that announced it, and all others which that
   one announced: they may have leaked. A key that announces itself stays in use.
5. The signature is by that key.
6. It has the hash of the seal before it.
7. The file of its events has its root, and its count, first and last event.
8. Each event is one line in canonical form, in ascending order of id.
9. The seal of `--expect` exists, with the hash that an earlier run printed. Only this
   shows that seals were cut off at the end: keep the seal that each run prints last.

Exit status: 0 everything is as signed, 1 differences, 2 could not run, 74 the output
could not be written, 130 interrupted.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    print(
        "verify_seals.py needs one package: pip install cryptography", file=sys.stderr
    )
    sys.exit(2)

FORMAT = "mirrorsite-audit-seal-1"
FIELDS = {
    "event_count", "first_event", "format", "key_id", "last_event", "next_key",
    "number", "previous", "root", "sealed_at", "signature",
}  # fmt: skip
#: The form of each text. Without it, `bytes.fromhex` would also accept capitals and
#: spaces: a changed file with a valid signature.
FORMS = {
    "next_key": r"[0-9a-f]{64}",
    "previous": r"[0-9a-f]{64}",
    "root": r"[0-9a-f]{64}",
    "sealed_at": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    "signature": r"[0-9a-f]{128}",
}
EVENT_FIELDS = {"action", "actor", "at", "detail", "id", "request_id", "upload"}
NO_EVENTS = hashlib.sha256(b"").hexdigest()


def canonical(value: Any) -> bytes:
    """Return the canonical form of a value without fractions."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def no_fractions(text: str) -> Any:
    raise ValueError(f"{text} is not an integer")


def parse(content: bytes) -> Any:
    """Read canonical JSON; raises ValueError for anything else."""
    try:
        value = json.loads(
            content, parse_float=no_fractions, parse_constant=no_fractions
        )
        same = canonical(value) == content
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not same:
        raise ValueError("not in canonical form")
    return value


def key_id(public_key: bytes) -> str:
    """Return the id of a public key."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def require_seal(value: Any) -> None:
    """Raise ValueError unless the value is an object with the keys and types of a seal."""
    if not isinstance(value, dict) or set(value) != FIELDS:
        raise ValueError("its keys are not those of a seal")
    if value["format"] != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    if not isinstance(value["key_id"], str):
        raise ValueError("its key_id is malformed")
    for name, form in FORMS.items():
        if value[name] is None and name == "next_key":
            continue
        text = value[name]
        if not isinstance(text, str) or not re.fullmatch(form, text, re.ASCII):
            raise ValueError(f"its {name} is malformed")
    # Raises ValueError for a time such as that of 31 February.
    datetime.strptime(value["sealed_at"], "%Y-%m-%dT%H:%M:%S.%f%z")
    for name in ("number", "event_count", "first_event", "last_event"):
        if value[name] is None and name in {"first_event", "last_event"}:
            continue
        if type(value[name]) is not int:  # isinstance() would accept true and false
            raise ValueError(f"its {name} is not an integer")


def event_id(line: bytes) -> int:
    """Return the id in an event's line; raises ValueError for any other line."""
    event = parse(line.removesuffix(b"\n"))
    if not isinstance(event, dict) or set(event) != EVENT_FIELDS:
        raise ValueError("its keys are not those of an event")
    if type(event["id"]) is not int:
        raise ValueError("its id is not an integer")
    return event["id"]


class Verifier:
    """Verifies the seals in order; collects faults and announced keys."""

    def __init__(self, folder: Path, public_keys: list[bytes]) -> None:
        self.folder = folder
        self.keys = {key_id(key): key for key in public_keys}
        self.announced_by: dict[str, str] = {}
        self.retired: set[str] = set()
        self.seals = self.events = 0
        self.last: dict[str, Any] | None = None
        self.faults: list[dict[str, str]] = []

    def add(self, kind: str, subject: str, detail: str) -> None:
        self.faults.append({"kind": kind, "subject": subject, "detail": detail})

    def run(self, expected: tuple[int, str] | None) -> None:
        """Verify the whole folder; raises OSError for a file that cannot be read."""
        expected_number, expected_hash = expected or (0, "")
        previous: str | None = "0" * 64
        last = 0
        for number, path in self.seal_files():
            # 2.
            if number > last + 1:
                gap = f"{last + 1} to {number - 1}" if number > last + 2 else last + 1
                self.add("missing", f"seal {gap}", "no file")
                previous = None
            last = number
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            seal = self.signed_seal(content, number)
            if seal is not None:
                # 6.
                if previous is not None and seal["previous"] != previous:
                    detail = f"does not continue seal {number - 1}"
                    self.add("broken chain", f"seal {number}", detail)
                self.learn_keys(seal)
                self.check_events(seal)
                self.seals += 1
                at = seal["sealed_at"]
                self.last = {"number": number, "hash": digest, "sealed_at": at}
            # 9.
            if number == expected_number and digest != expected_hash:
                detail = "it is not the seal that an earlier run printed"
                self.add("changed", f"seal {number}", detail)
            previous = digest
        if expected_number > last:
            detail = f"an earlier run printed it; the last one here is seal {last}"
            self.add("cut tail", f"seal {expected_number}", detail)

    def seal_files(self) -> Iterator[tuple[int, Path]]:
        """Yield number and file of each seal; report files with other names."""
        # 1. Interrupted attempts may have left files of events that no seal names.
        for path in sorted((self.folder / "events").glob("*")):
            if not re.fullmatch(r"[0-9]{10}-[0-9a-f]{64}\.jsonl", path.name):
                detail = "its name is not that of a copy of events"
                self.add("invented", f"events/{path.name}", detail)
        for path in sorted((self.folder / "seals").iterdir()):
            is_seal = re.fullmatch(r"[0-9]{10}\.json", path.name) and int(path.stem)
            if is_seal and path.is_file():
                yield int(path.stem), path
            else:
                detail = "it is not a file with the name of a seal"
                self.add("invented", path.name, detail)

    def signed_seal(self, content: bytes, number: int) -> dict[str, Any] | None:
        """Return the seal if a trusted key signed it; else report what is wrong."""
        subject = f"seal {number}"
        # 3.
        try:
            seal = parse(content)
            require_seal(seal)
        except ValueError as error:
            self.add("changed", subject, f"the file is not a seal: {error}")
            return None
        if seal["number"] != number:
            self.add("reordered", subject, f"the file is seal {seal['number']}")
            return None
        # 4.
        key = seal["key_id"]
        if key not in self.keys or key in self.retired:
            why = "was replaced" if key in self.keys else "is not trusted"
            self.add("unknown key", subject, f"key {key} {why}")
            return None
        # 5.
        signed = {name: value for name, value in seal.items() if name != "signature"}
        try:
            Ed25519PublicKey.from_public_bytes(self.keys[key]).verify(
                bytes.fromhex(seal["signature"]),
                FORMAT.encode() + b"\n" + canonical(signed),
            )
        except InvalidSignature:
            self.add("forged signature", subject, f"not signed by key {key}")
            return None
        return dict(seal)

    def learn_keys(self, seal: dict[str, Any]) -> None:
        """Trust the key that a seal announces; retire those that its key replaces."""
        # 4.
        old = self.announced_by.pop(seal["key_id"], None)
        if old is not None:
            unused = {name for name, by in self.announced_by.items() if by == old}
            self.retired |= {old, *unused}
        if seal["next_key"] is not None:
            public_key = bytes.fromhex(seal["next_key"])
            next_id = key_id(public_key)
            self.keys.setdefault(next_id, public_key)
            if next_id != seal["key_id"]:
                self.announced_by[next_id] = seal["key_id"]

    def check_events(self, seal: dict[str, Any]) -> None:
        """Compare the file of a seal's events with the seal."""
        # 7.
        subject = f"events of seal {seal['number']}"
        stated = [seal["event_count"], seal["first_event"], seal["last_event"]]
        if seal["root"] == NO_EVENTS and stated == [0, None, None]:
            return
        name = f"{seal['number']:010d}-{seal['root']}.jsonl"
        path = self.folder / "events" / name
        if not path.is_file():
            self.add("missing", subject, f"no file events/{name}")
            return
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != seal["root"]:
                self.add("changed", subject, "the file is not what was sealed")
                return
            file.seek(0)
            # 8.
            try:
                ids = [event_id(line) for line in file]
            except ValueError as error:
                self.add("changed", subject, f"a line is not an event: {error}")
                return
        if ids != sorted(set(ids)):
            self.add("changed", subject, "the events are out of order")
        if [len(ids), *ids[:1], *ids[-1:]] != stated:
            detail = "their count, or the first or last one, is not that of the seal"
            self.add("changed", subject, detail)
        self.events += len(ids)

    def as_json(self) -> str:
        outcome = {
            "seals": self.seals,
            "events": self.events,
            "last": self.last,
            "counts": Counter(fault["kind"] for fault in self.faults),
            "faults": self.faults,
        }
        return json.dumps(outcome, indent=1)

    def as_text(self) -> str:
        verdict = "NOT as signed" if self.faults else "all as signed"
        lines = [
            *("{kind}: {subject}: {detail}".format(**fault) for fault in self.faults),
            f"{self.seals} seals, {self.events} events: {verdict}",
        ]
        if self.last:
            lines.append(
                "last: --expect {number}:{hash} of {sealed_at}".format(**self.last)
            )
        return "\n".join(map(printable, lines))


def public_key(text: str) -> bytes:
    """Read `base64`, or `key id:base64` as in AUDIT_PUBLIC_KEYS."""
    name, _, value = text.rpartition(":")
    try:
        key = base64.b64decode(value, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise argparse.ArgumentTypeError(f"{text!r} is not 32 bytes in base64")
    if name and name != key_id(key):
        raise argparse.ArgumentTypeError(f"{text!r} has the id {key_id(key)}")
    return key


def expected_seal(text: str) -> tuple[int, str]:
    """Read `number:hash`, as an earlier run printed it."""
    if not re.fullmatch(r"[1-9][0-9]{0,18}:[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not <number>:<hash>")
    number, _, digest = text.partition(":")
    return int(number), digest


def printable(text: str) -> str:
    """Escape what would break the line, control the terminal or reorder its text."""
    return text.encode("unicode_escape").decode()


def write(descriptor: int, text: str) -> None:
    """Write a text and a line feed; raises OSError, unlike `print`, which buffers."""
    with open(descriptor, "w", encoding="ascii", closefd=False) as output:
        output.write(f"{text}\n")


def fail(sentence: str, status: int = 2) -> int:
    """Write a sentence to standard error if possible; return the status."""
    with suppress(OSError):
        write(2, printable(sentence))
    return status


class Parser(argparse.ArgumentParser):
    """Prints a refused argument harmlessly."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def main() -> int:
    parser = Parser(
        description="Verify a downloaded audit/ folder. Exit status 1: differences;"
        " 2: could not run.",
    )
    parser.add_argument("folder", type=Path, help="with the folders seals/ and events/")
    parser.add_argument(
        "--public-key",
        type=public_key,
        action="append",
        required=True,
        metavar="KEY",
        help="base64, or id:base64; may be given several times",
    )
    parser.add_argument(
        "--expect",
        type=expected_seal,
        metavar="NUMBER:HASH",
        help="a seal that an earlier run printed; detects seals cut off at the end",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    verifier = Verifier(options.folder, options.public_key)
    try:
        if not (options.folder / "seals").is_dir():
            return fail(f"{options.folder} has no folder seals/")
        verifier.run(options.expect)
    except OSError as error:
        return fail(f"could not read {error.filename}: {error.strerror}")
    if not verifier.seals and not verifier.faults:
        return fail(f"{options.folder} has no seals")
    try:
        write(1, verifier.as_json() if options.json else verifier.as_text())
    except OSError as error:
        return fail(f"the output cannot be written: {error.strerror}", 74)
    return 1 if verifier.faults else 0


if __name__ == "__main__":
    try:
        status = main()
    except KeyboardInterrupt:
        status = fail("interrupted", 130)
    except Exception as error:  # noqa: BLE001 only differences may end with 1
        status = fail(f"could not run: {type(error).__name__}: {error}")
    sys.exit(status)
