from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.arguments import positive_minutes, seal_or_time
from mirrorsite.management.base import DifferencesFound, OperatorCommand, counted
from uploads.audit import log
from uploads.audit.models import Action
from uploads.audit.report import FaultKind, Report
from uploads.audit.verification import SEALING_GRACE, verify_audit
from uploads.exceptions import UploadsError


class Command(OperatorCommand):
    help = (
        "Compare the database, the seals, their signatures and the copies in the"
        " bucket, and report every difference."
    )
    json_output = "the report as one JSON object"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since",
            type=seal_or_time,
            metavar="SEAL|TIME",
            help="begin at this seal, or at the first one made since this time, such as"
            " 2026-11-23 or 2d",
        )
        parser.add_argument(
            "--unsealed-minutes",
            type=positive_minutes,
            default=SEALING_GRACE.total_seconds() / 60,
            metavar="N",
            help="how long an event may stay unsealed, and how old the last seal may be;"
            " default: %(default)g",
        )
        parser.add_argument(
            "--database-only",
            action="store_true",
            help="do not read the bucket: finds fewer faults, and cannot name the events"
            " that differ",
        )
        parser.add_argument(
            "--record-nothing",
            action="store_true",
            help="do not record the check as an event: for a database that was restored"
            " from a backup, where a new event could take the id of a lost one",
        )

    def run(
        self,
        *,
        since: int | datetime | None,
        unsealed_minutes: float,
        database_only: bool,
        record_nothing: bool,
        **options: Any,
    ) -> None:
        bar = self.progress("seals, events and uploads")
        report = verify_audit(
            since=since,
            grace=timedelta(minutes=unsealed_minutes),
            read_copies=not database_only,
            on_progress=lambda done: bar.show(done.seals + done.events + done.uploads),
        )
        if not record_nothing:
            self._record(report, since=since, database_only=database_only)
        if self.as_json:
            self.print_json(report.as_json())
        else:
            self._print(report)
        if not report.is_clean:
            raise DifferencesFound(
                f"{counted(report.counts.total(), 'fault')}: "
                + ", ".join(f"{n} {kind}" for kind, n in sorted(report.counts.items()))
            )

    def _record(self, report: Report, *, since: object, database_only: bool) -> None:
        """Record the check and its outcome as an event, unless the chain is truncated.

        In that case the new event could take the id of a lost event, which could then
        not be restored.
        """
        if report.counts[FaultKind.CUT_TAIL]:
            self.note(
                "the check was not recorded: the bucket has seals that the database"
                " lacks; follow docs/runbook.md, 'The database is lost'"
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
            log.record_without_upload(Action.AUDIT_CHECKED, self.actor(), detail=detail)
            self.so_far = "the check was recorded"
        except UploadsError as error:
            self.note(f"the check was not recorded: {error}")

    def _print(self, report: Report) -> None:
        for fault in report.faults:
            self.print(str(fault))
        total = report.counts.total()
        omitted = total - len(report.faults)
        if omitted:
            self.print(f"… and {omitted} more")
        self.print(
            f"{counted(report.seals, 'seal')}, {counted(report.events, 'sealed event')},"
            f" {counted(report.unsealed, 'unsealed event')},"
            f" {counted(report.uploads, 'upload')}:"
            f" {counted(total, 'fault') if total else 'no faults'}"
        )
