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
        "Create a new key for the seals, print the settings that use it (the private key"
        " too: mind who can read the output), and announce it in a seal signed by the"
        " current key. Exit status 1: the bucket contradicts the database."
    )
    json_output = "one JSON object"

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
            help="write the settings into this JSON file instead of printing them;"
            " ./sre/run reads .local/secrets.json",
        )

    def run(self, *, dry_run: bool, write: Path | None, **options: Any) -> None:
        old = keys.required_signing_key()
        values = {} if write is None else _read(write)
        if dry_run:
            self.print_result(
                {"old": old.id, "new": None, "seal": None, "set": {}},
                f"key {old.id} is the current key; it would sign a seal that announces a"
                " new one. Nothing was changed.",
            )
            return
        new = SigningKey.generate()
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
        # The key is printed or written to a temporary file before it is announced: otherwise
        # a failure to write would lose an announced key. The file then replaces FILE.
        shown = values if write is None else {}
        self._print_values(old.id, new.id, shown)
        replacement = (
            atomic_replacement(write, [json.dumps(values, indent=1)])
            if write
            else nullcontext()
        )
        with replacement:
            made = seal_audit(signing_key=old, next_key=new.public_key)
        # The run may first finish a seal of an interrupted run, without the new key.
        seal = next(sealed.number for sealed in made if not sealed.is_recovered)
        self.so_far = f"seal {seal} announces key {new.id}"
        if self.as_json:
            # Completes the JSON object that `_print_values` began.
            self.stdout.write(f', "seal": {seal}}}')
        else:
            self.print(f"Announced in seal {seal}.")
            if write:
                self.print(
                    f"{write} has the new key; restart the service to sign with it."
                )

    def _print_values(self, old: str, new: str, values: dict[str, str]) -> None:
        """Print what is known before the announcement: all but the seal's number."""
        if self.as_json:
            text = json.dumps({"old": old, "new": new, "set": values})
            self.stdout.write(text.removesuffix("}"), ending="")
        else:
            self.print(f"key {new} takes over from {old} once it is announced.")
            if values:
                self.print("Then set these, and restart the sealer:")
            for name, value in values.items():
                self.print(f"{name}={value}")
        self.stdout.flush()


def _read(path: Path) -> dict[str, str]:
    try:
        values = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        # The text is left out: it holds secrets.
        raise CommandFailed(f"{path} is not JSON") from error
    if not isinstance(values, dict):
        raise CommandFailed(f"{path} is not a JSON object")
    return values
