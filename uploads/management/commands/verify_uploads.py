from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from mirrorsite.management.arguments import moment, positive_count
from mirrorsite.management.base import DifferencesFound, OperatorCommand, counted
from uploads.models import Action
from uploads.object_verification import (
    Method,
    count_in_other_buckets,
    uploads_to_verify,
    verify_each,
)


class Command(OperatorCommand):
    help = (
        "Compare every object that should be in the bucket with its record, and record"
        " the result: verified, missing or corrupted."
    )
    json_output = "one JSON object per line: one for each fault, then a summary"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--read",
            action="store_true",
            help="read and hash the bytes, instead of comparing the store's size and"
            " checksum; only this verifies the bytes of objects above 8 MiB, which are"
            " stored in parts",
        )
        parser.add_argument(
            "--not-verified-since",
            type=moment,
            metavar="TIME",
            help="skip uploads verified since TIME, for example 2026-11-23 or 7d; an"
            " interrupted run prints the time to resume with",
        )
        parser.add_argument(
            "--jobs",
            type=positive_count,
            default=8,
            metavar="N",
            help="objects verified concurrently, 1 to 64; default: %(default)s",
        )

    def run(
        self,
        *,
        read: bool,
        not_verified_since: datetime | None,
        jobs: int,
        **options: Any,
    ) -> None:
        uploads = uploads_to_verify(not_verified_since)
        resume_at = not_verified_since or timezone.now()
        progress = self.progress("uploads", uploads.count)
        counts: Counter[str] = Counter()
        method: Method = "read" if read else "head"
        for upload, outcome in progress.over(
            verify_each(uploads, actor=self.actor(), method=method, jobs=jobs)
        ):
            action = outcome.action.value if outcome else "changed by another request"
            counts[action] += 1
            self.so_far = (
                f"{_summary(counts)}; resume with"
                f" --not-verified-since {resume_at.isoformat()}"
            )
            if outcome and outcome.action != Action.VERIFIED:
                fault = {
                    "upload_id": upload.pk,
                    "key": upload.key,
                    "action": action,
                    "differences": outcome.differences,
                }
                line = f"{action}: {upload.key}: {'; '.join(outcome.differences)}"
                self.print_result(fault, line)
        checked, text = counts.total(), _summary(counts)
        if elsewhere := count_in_other_buckets():
            counts["in another bucket"] = elsewhere
            text += f"; {elsewhere:,} in another bucket"
        self.print_result({"uploads": checked, "outcomes": counts}, text)
        faults = counts[Action.MISSING.value] + counts[Action.CORRUPTED.value]
        if elsewhere:
            raise DifferencesFound(
                f"{counted(elsewhere, 'upload')} not checked, because another bucket is"
                f" configured; {counted(faults, 'object')} missing or corrupted."
            )
        if faults:
            raise DifferencesFound(f"{counted(faults, 'object')} missing or corrupted.")


def _summary(counts: Counter[str]) -> str:
    parts = [f"{count:,} {name}" for name, count in sorted(counts.items())]
    text = counted(counts.total(), "upload") + " checked"
    return f"{text}: {', '.join(parts)}" if parts else text
