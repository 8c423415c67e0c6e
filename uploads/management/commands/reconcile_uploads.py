from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.arguments import duration, moment
from mirrorsite.management.base import DifferencesFound, OperatorCommand, counted
from uploads.models import Upload
from uploads.reconciliation import Finding, Options, reconcile, scan_pairs


class Command(OperatorCommand):
    help = (
        "Compare the bucket with the records, in both directions. Without --fix nothing"
        " is changed."
    )
    json_output = "one JSON object per line: one for each difference, then a summary"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--fix",
            action="store_true",
            help="repair each difference, and record the repair as an event",
        )
        parser.add_argument(
            "--min-age",
            type=duration,
            default=timedelta(minutes=15),
            metavar="DURATION",
            help="ignore uploads and objects younger than this, as they may be in"
            " progress; such as 2h or 0s; default: 15m",
        )
        parser.add_argument(
            "--since",
            type=moment,
            metavar="TIME",
            help="check only the keys of TIME's day (UTC) and of later days; of older"
            " uploads only the pending ones and the most recently purged ones. TIME is a"
            " time or an age, such as 1d",
        )

    def run(
        self,
        *,
        fix: bool,
        min_age: timedelta,
        since: datetime | None,
        **rest: Any,
    ) -> None:
        options = Options(actor=self.actor(), fix=fix, min_age=min_age)
        progress = self.progress("keys", None if since else Upload.objects.count)
        kinds: Counter[str] = Counter()
        outcomes: Counter[str] = Counter()
        for finding in reconcile(options, progress.over(scan_pairs(since))):
            kinds[finding.kind.value] += 1
            outcomes[finding.outcome] += 1
            self.so_far = _summary(progress.count, kinds, outcomes)
            # Programs depend on the names `word` and `seen` in the JSON output.
            values = asdict(finding)
            kind, evidence = values.pop("kind"), values.pop("evidence")
            members = {"word": kind, "seen": evidence, **values}
            self.print_result(members, _line(finding))
        summary = {
            "keys": progress.count,
            "differences": dict(kinds),
            "outcomes": dict(outcomes),
        }
        text = _summary(progress.count, kinds, outcomes)
        self.print_result(summary, text)
        if kinds:
            raise DifferencesFound(f"{counted(kinds.total(), 'difference')} found.")


def _line(finding: Finding) -> str:
    line = f"{finding.kind.value}: {finding.key}"
    for difference in finding.evidence.get("differences", ()):
        line += f"; {difference}"
    if finding.outcome == "repaired":
        # Only an unfinished multipart upload is repaired without an event.
        line += f" -> {finding.action or 'parts deleted'}"
    elif finding.outcome == "skipped":
        line += f" (left alone: {finding.note})"
    return line


def _summary(keys: int, kinds: Counter[str], outcomes: Counter[str]) -> str:
    text = f"{counted(keys, 'key')} compared, {counted(kinds.total(), 'difference')}"
    if outcomes["repaired"] or outcomes["skipped"]:
        text += f", {outcomes['repaired']:,} repaired"
    if outcomes["skipped"]:
        text += f", {outcomes['skipped']:,} left alone"
    return text
