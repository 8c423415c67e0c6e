from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.base import DifferencesFound, OperatorCommand, counted
from uploads.audit.restore import LostSeal, Restoration


class Command(OperatorCommand):
    help = (
        "Restore the sealed events that the database lost, from their signed copies in"
        " the bucket, with their seals and uploads: after an older backup was restored,"
        " and before anything writes an event (docs/runbook.md, 'The database is lost')."
        " Exit status 1: the bucket contradicts itself or the database; with --dry-run,"
        " events are lost."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="check everything and report what is lost; change nothing",
        )
        self.add_json_argument(parser, "one JSON object")

    def run(self, *, dry_run: bool, as_json: bool, **options: Any) -> None:
        restoration = Restoration()
        lost = _Seals()
        for seal in self.progress("seals checked").over(restoration.check()):
            lost.add(seal)
        if not dry_run and lost.last is not None:
            restored = _Seals()
            done = restoration.restore(lost.last, self.actor())
            for seal in self.progress("seals restored", lost.count).over(done):
                restored.add(seal)
                self.so_far = f"restored {restored}; the next run restores the rest"
        if as_json:
            self.print_json(
                {
                    "first_seal": lost.first,
                    "last_seal": lost.last,
                    "events": lost.events,
                    "restored": not dry_run,
                }
            )
        elif lost.last is None:
            self.print("the database has every seal of the bucket: nothing to restore")
        else:
            self.print(f"{'would restore' if dry_run else 'restored'} {lost}")
        if dry_run and lost.last is not None:
            raise DifferencesFound(f"the database lacks {lost}.")


class _Seals:
    """Counts seals in order."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.last: int | None = None
        self.count = self.events = 0

    def add(self, seal: LostSeal) -> None:
        self.first = self.first or seal.number
        self.last = seal.number
        self.count += 1
        self.events += seal.events

    def __str__(self) -> str:
        numbers = f"{self.first}" if self.count == 1 else f"{self.first} to {self.last}"
        noun = "seal" if self.count == 1 else "seals"
        return f"{noun} {numbers} with {counted(self.events, 'lost event')}"
