from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from mirrorsite.files import atomic_replacement
from mirrorsite.management.base import CommandFailed, OperatorCommand
from uploads.audit import keys
from uploads.audit.keys import SigningKey
from uploads.audit.seals import seal_audit


class Command(OperatorCommand):
    help = (
        "Create a new key for the seals, print what to set (the private key too: mind"
        " who can read it), and announce the key in a seal signed by the current one."
        " Exit status 1: the bucket contradicts the database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="report what would happen; change nothing",
        )
        parser.add_argument(
            "--write",
            type=Path,
            metavar="FILE",
            help="put the values into this JSON object (.local/secrets.json of ./sre/run)"
            " instead of printing them",
        )
        self.add_json_argument(parser, "one JSON object")

    def run(
        self, *, dry_run: bool, write: Path | None, as_json: bool, **options: Any
    ) -> None:
        old = keys.required_signing_key()
        values = {} if write is None else _read(write)
        if dry_run:
            self.print_result(
                {"old": old.id, "new": None, "seal": None, "set": {}},
                f"key {old.id} signs now; it would sign a seal that announces a new key."
                " Nothing was changed.",
                as_json=as_json,
            )
            return
        new = SigningKey.generate()
        # A key that is announced and then lost is replaced by announcing another.
        self.so_far = (
            f"key {old.id} continues to sign, and key {new.id} must not be used: run"
            " this again"
        )
        public_keys = settings.AUDIT_PUBLIC_KEYS | {
            key.id: key.public_key for key in (old, new)
        }
        values |= {
            "AUDIT_SIGNING_KEY": new.secret_text(),
            "AUDIT_PUBLIC_KEYS": ",".join(map(keys.public_text, public_keys.values())),
        }
        file = (
            nullcontext()
            if write is None
            else atomic_replacement(write, [json.dumps(values, indent=1)])
        )
        with file:
            made = seal_audit(signing_key=old, next_key=new.public_key)
        seal = next(sealed.number for sealed in made if not sealed.finished)
        if write is not None:
            self.so_far = f"seal {seal} announces key {new.id}"
        shown = values if write is None else {}
        lines = [
            f"key {new.id} takes over from {old.id}; seal {seal} announces it.",
            "Set, and restart the sealer:"
            if write is None
            else "Written; restart the service to sign with it.",
            *(f"{name}={value}" for name, value in shown.items()),
        ]
        if as_json:
            self.print_json({"old": old.id, "new": new.id, "set": shown, "seal": seal})
        else:
            for line in lines:
                self.print(line)


def _read(path: Path) -> dict[str, str]:
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        # The text is left out: it holds secrets.
        raise CommandFailed(f"{path} is not JSON") from error
    if not isinstance(values, dict):
        raise CommandFailed(f"{path} is not a JSON object")
    return values
