from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.base import DifferencesFound, OperatorCommand, counted
from uploads.audit.restore import Lost, restore_lost_events


class Command(OperatorCommand):
    help = (
        "Restore the sealed events that the database lost, with their seals and"
        " uploads, from the signed copies in the bucket. Run it after restoring an"
        " older backup, before anything writes an event"
        " (docs/runbook.md, 'The database is lost')."
        " Exit status 1: the bucket contradicts itself or the database, or --dry-run found"
        " lost events."
    )
    json_output = "one JSON object"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="check everything and report what is lost; change nothing",
        )

    def run(self, *, dry_run: bool, **options: Any) -> None:
        bar = self.progress("seals")
        lost = restore_lost_events(
            self.actor(),
            dry_run=dry_run,
            on_seal=lambda: bar.show(bar.count + 1),
        )
        is_lost = lost.last_seal is not None
        text = _describe(lost)
        if is_lost and not dry_run:
            self.so_far = f"restored {text}"
        if self.as_json:
            self.print_json({**asdict(lost), "restored": is_lost and not dry_run})
        elif not is_lost:
            self.print("nothing to restore: the database has every seal of the bucket")
        else:
            self.print(f"{'would restore' if dry_run else 'restored'} {text}")
        if dry_run and is_lost:
            raise DifferencesFound(f"the database lacks {text}.")


def _describe(lost: Lost) -> str:
    first, last = lost.first_seal, lost.last_seal
    numbers = f"seal {first}" if first == last else f"seals {first} to {last}"
    return f"{numbers} with {counted(lost.events, 'lost event')}"
