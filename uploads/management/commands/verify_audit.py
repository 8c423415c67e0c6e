from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from mirrorsite.actors import Actor
from uploads import trail
from uploads.audit.faults import FaultKind, Report
from uploads.audit.verification import PATIENCE, Progress, verify_audit
from uploads.exceptions import UploadsError
from uploads.management.arguments import positive_minutes, seal_or_time
from uploads.management.command import OperatorCommand
from uploads.models import Action


class Command(OperatorCommand):
    help = (
        "Check database, seals, signatures and the copies in the bucket against each"
        " other, and name every difference. Exit status 1: there are some; 2: could"
        " not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since",
            type=seal_or_time,
            metavar="SEAL|TIME",
            help="begin at this seal, or at the first one from this time on; 2d is two"
            " days ago",
        )
        parser.add_argument(
            "--unsealed-minutes",
            type=positive_minutes,
            default=PATIENCE.total_seconds() / 60,
            metavar="N",
            help="how long an event may wait for a seal; default: %(default)g",
        )
        parser.add_argument(
            "--database-only",
            action="store_true",
            help="do not read the bucket; finds less, and names less exactly",
        )
        parser.add_argument(
            "--record-nothing",
            action="store_true",
            help="write no event that says it was checked: for a database that a backup"
            " was restored to, where a new event takes the number of a lost one",
        )
        parser.add_argument("--json", action="store_true", help="the report as JSON")

    def handle(
        self,
        *,
        since: int | datetime | None,
        unsealed_minutes: float,
        database_only: bool,
        record_nothing: bool,
        json: bool,
        **options: Any,
    ) -> None:
        line = _ProgressLine(self.stderr) if self.stderr.isatty() else None
        try:
            report = verify_audit(
                since=since,
                patience=timedelta(minutes=unsealed_minutes),
                read_copies=not database_only,
                on_progress=line,
            )
        except UploadsError as error:
            raise CommandError(str(error), returncode=2) from error
        finally:
            if line:
                line.clear()
        if not record_nothing:
            self._note(report, since=since, database_only=database_only)
        if json:
            self.stdout.write(_as_json(report))
        else:
            self._print(report)
        if not report.is_clean:
            raise CommandError(
                f"{report.counts.total()} faults: "
                + ", ".join(f"{n} {kind}" for kind, n in sorted(report.counts.items())),
                returncode=1,
            )

    def _note(self, report: Report, *, since: object, database_only: bool) -> None:
        """Let the trail say that it was checked, and how that ended.

        Not behind a cut tail: there the note would take the number of an event that the
        bucket still has, which then could never be brought back.
        """
        if report.counts[FaultKind.CUT_TAIL]:
            self.stderr.write(
                "the check is not in the trail, since the bucket has seals that the"
                " database lacks: docs/runbook.md, 'The database is gone'"
            )
            return
        detail = {
            "faults": report.counts.total(),
            "seals": report.seals,
            "events": report.events,
            "since": None if since is None else str(since),
            "database_only": database_only,
        }
        try:
            trail.note(
                Action.AUDIT_CHECKED, Actor(name="command:verify_audit"), detail=detail
            )
        except UploadsError as error:
            self.stderr.write(f"the check is not in the trail: {error}")

    def _print(self, report: Report) -> None:
        for fault in report.faults:
            self.stdout.write(str(fault))
        omitted = report.counts.total() - len(report.faults)
        if omitted:
            self.stdout.write(f"… and {omitted} more")
        self.stdout.write(
            f"{report.seals} seals, {report.events} sealed events,"
            f" {report.unsealed} waiting, {report.uploads} uploads:"
            f" {'all as signed' if report.is_clean else 'NOT as signed'}"
        )


def _as_json(report: Report) -> str:
    return json.dumps(report.as_json(), indent=1)


class _ProgressLine:
    """One line on a terminal, written over a few times a second."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 0.2
        self._stream.write(
            f"\r\033[K{progress.seals} seals, {progress.events} events,"
            f" {progress.uploads} uploads\r",
            ending="",
        )
        self._stream.flush()

    def clear(self) -> None:
        """Remove the line, so that something else can be written there."""
        self._stream.write("\r\033[K", ending="")
        self._stream.flush()
