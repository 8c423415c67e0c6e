#!/usr/bin/env python3
"""Verify a downloaded audit/ folder with a public key: no service, no database.

Needs Python 3.11 and `pip install cryptography`, and no other file of this project:
an auditor can read it in full. It states the rules a second time, on purpose.

    aws s3 sync s3://BUCKET/audit/ audit/
    python3 verify_seals.py audit/ --public-key eb06…:base64…

The folder holds `seals/0000000012.json` and `events/0000000012-<root>.jsonl`.

A seal is a JSON object in one canonical form: keys sorted, no white space, ASCII,
integers only. Its signature is Ed25519 (RFC 8032) over the line
`mirrorsite-audit-seal-1` and the same object without `signature`. `previous` is the
SHA-256 of the file of the seal before (64 zeros in the first); `root` is the SHA-256
of the file of its events, whose lines are canonical JSON in ascending order of `id`.
`key_id` starts the SHA-256 of the public key; `next_key` announces a public key that
takes over; from its first seal on, the announcing key can no longer sign, nor can the
other keys that it announced.

What it cannot know is what was cut off at the end: note the last seal's number and
hash, which it prints, and give them to the next run with --expect.

Exit status: 0 everything as signed, 1 differences, 2 could not run, 74 the output
could not be written, 130 interrupted.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
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
#: Of texts. fromhex takes capitals and spaces too: other bytes, the same signature.
FORMS = {
    "next_key": r"[0-9a-f]{64}",
    "previous": r"[0-9a-f]{64}",
    "root": r"[0-9a-f]{64}",
    "sealed_at": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    "signature": r"[0-9a-f]{128}",
}
EVENT_FIELDS = {"action", "actor", "at", "detail", "id", "request_id", "upload"}
NO_EVENTS = hashlib.sha256(b"").hexdigest()
#: Faults printed; the rest are counted.
SHOWN = 1000
DIFFERENCES = 1
COULD_NOT_RUN = 2
OUTPUT_FAILED = 74  # EX_IOERR of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT


@dataclass
class Outcome:
    """What was read, and what is wrong with it."""

    seals: int = 0
    events: int = 0
    last: dict[str, Any] | None = None
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[dict[str, str]] = field(default_factory=list)

    def add(self, kind: str, subject: str, detail: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if len(self.faults) < SHOWN:
            self.faults.append({"kind": kind, "subject": subject, "detail": detail})


def canonical(value: Any) -> bytes:
    """Return the one form of a value, which has no fractions."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


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
    return hashlib.sha256(public_key).hexdigest()[:16]


class Verifier:
    """Goes through the seals in order and learns announced keys on the way."""

    def __init__(self, folder: Path, public_keys: list[bytes]) -> None:
        self.folder = folder
        self.keys = {key_id(key): key for key in public_keys}
        self.announced_by: dict[str, str] = {}
        self.retired: set[str] = set()
        self.outcome = Outcome()

    def run(self, expected: tuple[int, str] | None) -> Outcome:
        previous: str | None = "0" * 64
        last = 0
        for number, path in self.files():
            if number > last + 1:
                gap = f"{last + 1} to {number - 1}" if number > last + 2 else last + 1
                self.outcome.add("missing", f"seal {gap}", "no file")
                previous = None
            last = number
            previous = self.check(number, path, previous, expected)
        self.check_names_of_events()
        if expected is not None and expected[0] > last:
            detail = f"seal {expected[0]} was seen before; the last one here is {last}"
            self.outcome.add("cut tail", f"seal {expected[0]}", detail)
        return self.outcome

    def files(self) -> Iterator[tuple[int, Path]]:
        for path in sorted((self.folder / "seals").iterdir()):
            is_seal = re.fullmatch(r"[0-9]{10}\.json", path.name) and int(path.stem)
            if is_seal and path.is_file():
                yield int(path.stem), path
            else:
                self.outcome.add(
                    "invented", path.name, "it is no file with a seal's name"
                )

    def check_names_of_events(self) -> None:
        """Name what is no copy; there may be more than seals, of interrupted attempts."""
        for path in sorted((self.folder / "events").glob("*")):
            if not re.fullmatch(r"[0-9]{10}-[0-9a-f]{64}\.jsonl", path.name):
                detail = "its name is not that of a copy of events"
                self.outcome.add("invented", f"events/{path.name}", detail)

    def check(
        self,
        number: int,
        path: Path,
        previous: str | None,
        expected: tuple[int, str] | None,
    ) -> str:
        """Check one seal; return the hash that the next one must name."""
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        subject = f"seal {number}"
        if expected is not None and expected[0] == number and expected[1] != digest:
            self.outcome.add("changed", subject, "not the one that was seen before")
        seal = self.read_seal(content, number)
        if seal is None:
            return digest
        if previous is not None and seal["previous"] != previous:
            detail = f"does not continue seal {number - 1}"
            self.outcome.add("broken chain", subject, detail)
        self.learn(seal)
        self.outcome.seals += 1
        self.outcome.last = {
            "number": number,
            "hash": digest,
            "sealed_at": seal["sealed_at"],
        }
        self.check_events(seal)
        return digest

    def read_seal(self, content: bytes, number: int) -> dict[str, Any] | None:
        """Return a seal that is signed; name what is wrong with any other."""
        subject = f"seal {number}"
        try:
            seal = parse(content)
            if not isinstance(seal, dict) or set(seal) != FIELDS:
                raise ValueError("other keys than a seal's")
            if seal["format"] != FORMAT or not isinstance(seal["key_id"], str):
                raise ValueError("not a seal of this format")
            for name, form in FORMS.items():
                if seal[name] is None and name == "next_key":
                    continue
                if not re.fullmatch(form, seal[name]):
                    raise ValueError(f"its {name} is malformed")
            signature = bytes.fromhex(seal["signature"])
        except (ValueError, TypeError) as error:
            self.outcome.add("changed", subject, f"the file is no seal: {error}")
            return None
        if seal["number"] != number:
            self.outcome.add("reordered", subject, f"the file is seal {seal['number']}")
            return None
        name = seal["key_id"]
        if name not in self.keys or name in self.retired:
            why = "was replaced" if name in self.keys else "is not trusted"
            self.outcome.add("unknown key", subject, f"key {name} {why}")
            return None
        signed = {key: value for key, value in seal.items() if key != "signature"}
        message = FORMAT.encode() + b"\n" + canonical(signed)
        try:
            Ed25519PublicKey.from_public_bytes(self.keys[name]).verify(
                signature, message
            )
        except InvalidSignature:
            detail = f"not signed by key {name}"
            self.outcome.add("forged signature", subject, detail)
            return None
        return dict(seal)

    def learn(self, seal: dict[str, Any]) -> None:
        old = self.announced_by.pop(seal["key_id"], None)
        if old is not None:
            self.retired.add(old)
            # Also the keys it announced that were never used: one may have leaked.
            self.retired |= {
                name for name, by in self.announced_by.items() if by == old
            }
        if seal["next_key"] is not None:
            public_key = bytes.fromhex(seal["next_key"])
            self.keys.setdefault(key_id(public_key), public_key)
            self.announced_by[key_id(public_key)] = seal["key_id"]

    def check_events(self, seal: dict[str, Any]) -> None:
        subject = f"events of seal {seal['number']}"
        if seal["root"] == NO_EVENTS and seal["event_count"] == 0:
            return
        name = f"{seal['number']:010d}-{seal['root']}.jsonl"
        path = self.folder / "events" / name
        if not path.is_file():
            self.outcome.add("missing", subject, f"no file events/{name}")
            return
        hasher = hashlib.sha256()
        ids: list[int] = []
        fault = ""
        with path.open("rb") as lines:
            for line in lines:
                hasher.update(line)
                fault = fault or self.check_line(line, ids)
        if hasher.hexdigest() != seal["root"]:
            self.outcome.add("changed", subject, "the file is not what was sealed")
            return
        ends = (seal["event_count"], seal["first_event"], seal["last_event"])
        found = (len(ids), ids[0] if ids else None, ids[-1] if ids else None)
        if found != ends:
            fault = fault or "count or ends are not those of the seal"
        if fault:
            self.outcome.add("changed", subject, fault)
        self.outcome.events += len(ids)

    @staticmethod
    def check_line(line: bytes, ids: list[int]) -> str:
        try:
            event = parse(line.removesuffix(b"\n"))
        except ValueError as error:
            return f"a line is no event: {error}"
        if not isinstance(event, dict) or set(event) != EVENT_FIELDS:
            return "a line is no event: other keys than an event's"
        if type(event["id"]) is not int:
            return "a line is no event: its id is no integer"
        if ids and event["id"] <= ids[-1]:
            return f"event {event['id']} is out of order"
        ids.append(event["id"])
        return ""


def public_key(text: str) -> bytes:
    """Read `base64`, or `key id:base64` as AUDIT_PUBLIC_KEYS has it."""
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


def seen_before(text: str) -> tuple[int, str]:
    number, _, digest = text.partition(":")
    if not (
        re.fullmatch(r"[1-9][0-9]{0,18}", number)
        and re.fullmatch(r"[0-9a-f]{64}", digest)
    ):
        raise argparse.ArgumentTypeError(f"{text!r} is not <number>:<hash>")
    return int(number), digest


class Parser(argparse.ArgumentParser):
    """Writes as the rest of this program does; argparse ignores failures."""

    def print_help(self, file: Any = None) -> None:
        write(1, self.format_help().splitlines())

    def error(self, message: str) -> NoReturn:
        usage = self.format_usage().splitlines()
        with suppress(OSError):
            write(2, [*usage, f"{self.prog}: error: {message}"])
        sys.exit(COULD_NOT_RUN)


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="sre/verify_seals.py",
        description="Verify a downloaded audit/ folder. Exit status 1: differences;"
        " 2: could not run.",
    )
    parser.add_argument("folder", type=Path, help="holds seals/ and events/")
    parser.add_argument(
        "--public-key",
        type=public_key,
        action="append",
        required=True,
        metavar="KEY",
        help="base64, or id:base64; again for further keys",
    )
    parser.add_argument(
        "--expect",
        type=seen_before,
        metavar="NUMBER:HASH",
        help="a seal that an earlier run printed; finds a cut tail",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    try:
        options = parser.parse_args(arguments)
    except OSError as error:
        return output_failed(error)
    try:
        if not (options.folder / "seals").is_dir():
            return complain(f"{options.folder} holds no seals/ folder")
        outcome = Verifier(options.folder, options.public_key).run(options.expect)
    except OSError as error:
        return complain(f"could not read {error.filename}: {error.strerror}")
    if not outcome.seals and not outcome.counts:
        return complain(f"{options.folder} holds no seal")
    if options.json:
        lines = json.dumps(vars(outcome), indent=1).splitlines()
    else:
        lines = report(outcome)
    try:
        write(1, lines)
    except OSError as error:
        return output_failed(error)
    return DIFFERENCES if outcome.counts else 0


def report(outcome: Outcome) -> list[str]:
    lines = [
        f"{fault['kind']}: {fault['subject']}: {fault['detail']}"
        for fault in outcome.faults
    ]
    omitted = sum(outcome.counts.values()) - len(outcome.faults)
    if omitted:
        lines.append(f"… and {omitted} more")
    verdict = "NOT as signed" if outcome.counts else "all as signed"
    lines.append(f"{outcome.seals} seals, {outcome.events} events: {verdict}")
    if outcome.last:
        last = outcome.last
        at = last["sealed_at"]
        lines.append(f"last: --expect {last['number']}:{last['hash']} of {at}")
    return lines


def printable(text: str) -> str:
    """Escape what would break the line, drive a terminal or reorder what it shows."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def write(descriptor: int, lines: list[str]) -> None:
    """Write lines, each harmless and in the terminal's encoding; raises OSError."""
    text = "".join(f"{printable(line)}\n" for line in lines)
    # Python has no stream for a descriptor that is closed.
    encoding = sys.stdout.encoding if sys.stdout else "ascii"
    content = text.encode(encoding, "backslashreplace")
    while content:
        content = content[os.write(descriptor, content) :]


def complain(sentence: str, status: int = COULD_NOT_RUN) -> int:
    """Write a sentence to standard error, if that is possible; return the status."""
    with suppress(OSError):
        write(2, [sentence])
    return status


def output_failed(error: OSError) -> int:
    return complain(f"the output cannot be written: {error.strerror}", OUTPUT_FAILED)


def run() -> int:
    """Run `main`; whatever happens, only differences end with their status."""
    try:
        return main()
    except KeyboardInterrupt:
        return complain("interrupted", INTERRUPTED)
    except Exception as error:  # noqa: BLE001 the outermost place
        return complain(f"could not run: {type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(run())
