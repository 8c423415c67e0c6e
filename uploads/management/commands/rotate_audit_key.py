from __future__ import annotations

import tempfile
from json import dumps as as_text
from json import loads
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from uploads.audit.rotation import Rotation, present_key, rotate_audit_key
from uploads.exceptions import SealError, UploadsError
from uploads.management.command import (
    COULD_NOT_RUN,
    DIFFERENCES_FOUND,
    OperatorCommand,
)
from uploads.management.export import write_whole


class Command(OperatorCommand):
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
            # Before anything is announced: a key that cannot be kept helps nobody.
            kept = None if write is None else _read(write)
            if dry_run:
                self._tell_dry_run(old.id, as_json=json)
                return
            rotation = rotate_audit_key()
        except UploadsError as error:
            status = (
                DIFFERENCES_FOUND if isinstance(error, SealError) else COULD_NOT_RUN
            )
            raise CommandError(str(error), returncode=status) from error
        values = {
            "AUDIT_SIGNING_KEY": rotation.signing_key,
            "AUDIT_PUBLIC_KEYS": rotation.public_keys,
        }
        if write is not None and kept is not None:
            try:
                write_whole(write, [as_text(kept | values, indent=1)])
            except OSError as error:
                raise CommandError(
                    f"{write} cannot be written: {error.strerror}. Seal {rotation.seal}"
                    f" announces the key {rotation.new_id}, which is lost; key"
                    f" {old.id} goes on signing, so run this again.",
                    returncode=COULD_NOT_RUN,
                ) from error
            values = {}
        self._tell(rotation, values, as_json=json)

    def _tell_dry_run(self, old: str, *, as_json: bool) -> None:
        if as_json:
            self.print_json({"old": old, "new": None, "seal": None, "set": {}})
        else:
            self.stdout.write(
                f"key {old} signs now; it would sign a seal that announces a new key."
                " Nothing was changed."
            )

    def _tell(
        self, rotation: Rotation, values: dict[str, str], *, as_json: bool
    ) -> None:
        if as_json:
            told = {"old": rotation.old_id, "new": rotation.new_id}
            self.stdout.write(
                as_text({**told, "seal": rotation.seal, "set": values}, indent=1)
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
    """Return what the file holds, having seen that one can be written beside it."""
    try:
        kept = loads(path.read_text())
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read and replaced: {error.strerror}",
            returncode=COULD_NOT_RUN,
        ) from error
    except ValueError as error:
        # Without the text: it holds secrets.
        raise CommandError(f"{path} is no JSON", returncode=COULD_NOT_RUN) from error
    if not isinstance(kept, dict):
        raise CommandError(f"{path} is not a JSON object", returncode=COULD_NOT_RUN)
    return kept
