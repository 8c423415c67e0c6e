from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.base import DifferencesFound, OperatorCommand, counted
from uploads.audit.restore import Restoration


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
        lost = list(self.progress("seals checked").over(restoration.check()))
        first = lost[0].number if lost else None
        last = lost[-1].number if lost else None
        events = sum(seal.events for seal in lost)
        if last is not None and not dry_run:
            restored = 0
            done = restoration.restore(last, self.actor())
            for seal in self.progress("seals restored", len(lost)).over(done):
                restored += seal.events
                text = _describe(first, seal.number, restored)
                self.so_far = f"restored {text}; the next run restores the rest"
        text = _describe(first, last, events)
        if as_json:
            self.print_json(
                {
                    "first_seal": first,
                    "last_seal": last,
                    "events": events,
                    "restored": bool(lost) and not dry_run,
                }
            )
        elif not lost:
            self.print("the database has every seal of the bucket: nothing to restore")
        else:
            self.print(f"{'would restore' if dry_run else 'restored'} {text}")
        if dry_run and lost:
            raise DifferencesFound(f"the database lacks {text}.")


def _describe(first: int | None, last: int | None, events: int) -> str:
    numbers = f"seal {first}" if first == last else f"seals {first} to {last}"
    return f"{numbers} with {counted(events, 'lost event')}"
