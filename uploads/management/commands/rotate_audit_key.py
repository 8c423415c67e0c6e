from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from uploads.audit.rotation import Rotation, present_key, rotate_audit_key
from uploads.exceptions import SealError, UploadsError


class Command(BaseCommand):
    help = (
        "Make a new key for the seals, announce it in a seal signed by the present"
        " one, and print what to set (the private key too: mind who reads along)."
        " Exit status 1: the bucket contradicts the database; 2: could not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="say what would happen; change nothing",
        )
        parser.add_argument(
            "--write",
            type=Path,
            metavar="FILE",
            help="put the values into this JSON object (.local/secrets.json of ./sre/run)"
            " instead of printing them",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(
        self, *, dry_run: bool, write: Path | None, json: bool, **options: Any
    ) -> None:
        try:
            old = present_key()
            kept = None if write is None else _read(write)
            if dry_run:
                self.stdout.write(
                    f"key {old.id} signs now; it would sign a seal that announces a new"
                    " key. Nothing was changed."
                )
                return
            rotation = rotate_audit_key()
        except UploadsError as error:
            status = 1 if isinstance(error, SealError) else 2
            raise CommandError(str(error), returncode=status) from error
        values = {
            "AUDIT_SIGNING_KEY": rotation.signing_key,
            "AUDIT_PUBLIC_KEYS": rotation.public_keys,
        }
        if write is not None and kept is not None:
            _replace(write, kept | values)
            values = {}
        self._tell(rotation, values, as_json=json)

    def _tell(
        self, rotation: Rotation, values: dict[str, str], *, as_json: bool
    ) -> None:
        if as_json:
            told = {"old": rotation.old_id, "new": rotation.new_id}
            self.stdout.write(
                json.dumps({**told, "seal": rotation.seal, "set": values}, indent=1)
            )
            return
        self.stdout.write(
            f"key {rotation.new_id} takes over from {rotation.old_id},"
            f" announced in seal {rotation.seal}."
        )
        if values:
            self.stdout.write("Set, and restart the sealer:")
            for name, value in values.items():
                self.stdout.write(f"{name}={value}")
        else:
            self.stdout.write("Written; restart the service to sign with it.")


def _read(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}", returncode=2) from error
    if not isinstance(kept, dict):
        raise CommandError(f"{path} is not a JSON object", returncode=2)
    return kept


def _replace(path: Path, values: dict[str, str]) -> None:
    """Write beside the file and move over it, so that it is never half a file."""
    beside = path.with_name(f"{path.name}.new")
    beside.touch(mode=0o600)
    beside.write_text(json.dumps(values, indent=1))
    beside.replace(path)
