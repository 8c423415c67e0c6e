from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from mirrorsite.management.arguments import minimum_age, positive_count
from mirrorsite.management.base import DifferencesFound, OperatorCommand, counted
from uploads.retention import MAX_JOBS, purge, purgeable

#: An interrupted run can leave objects that it recorded as purged but did not delete.
_REMEDY = "reconcile_uploads --fix deletes objects that are recorded as purged but still exist"


class Command(OperatorCommand):
    help = (
        "Delete old objects that match their records and whose events are all sealed;"
        " the records stay. Without --yes nothing is deleted."
    )
    so_far = _REMEDY
    json_output = "one JSON object per line: one for each upload, then a summary"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than",
            type=minimum_age,
            required=True,
            metavar="DURATION",
            help="minimum time since the object was stored, such as 30d",
        )
        parser.add_argument(
            "--yes",
            action="store_true",
            help="delete; without it, only print what would be deleted",
        )
        parser.add_argument(
            "--jobs",
            type=partial(positive_count, most=MAX_JOBS),
            default=8,
            metavar="N",
            help=f"objects deleted concurrently, 1 to {MAX_JOBS}; default: %(default)s",
        )

    def run(
        self, *, older_than: timedelta, yes: bool, jobs: int, **options: Any
    ) -> None:
        before = timezone.now() - older_than
        uploads = purgeable(stored_before=before)
        results = purge(
            uploads,
            actor=self.actor(),
            reason=f"stored before {before.isoformat()}",
            dry_run=not yes,
            jobs=jobs,
        )
        progress = self.progress("uploads", uploads.count)
        counts: Counter[str] = Counter()
        size = 0
        for result in progress.over(results):
            counts[result.outcome] += 1
            if result.outcome in {"purged", "would purge"}:
                size += result.size
            self.so_far = f"{_summary(counts, size)}; {_REMEDY}"
            note = f": {result.note}" if result.note else ""
            line = f"{result.outcome}: {result.key}{note}"
            self.print_result(asdict(result), line)
        summary = {"dry_run": not yes, "outcomes": dict(counts), "bytes": size}
        self.print_result(summary, _summary(counts, size))
        if counts["would purge"] and not self.as_json:
            self.print("nothing was deleted; add --yes to delete")
        if counts["left alone"]:
            raise DifferencesFound(
                f"{counted(counts['left alone'], 'object')} left alone, for the reasons"
                " above; run reconcile_uploads."
            )


def _summary(counts: Counter[str], size: int) -> str:
    parts = [f"{count:,} {outcome}" for outcome, count in sorted(counts.items())]
    return f"{', '.join(parts) or 'nothing to purge'} ({size:,} bytes)"
