from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.arguments import positive_minutes, seal_or_time
from mirrorsite.management.base import DifferencesFound, OperatorCommand
from uploads.audit import log
from uploads.audit.models import Action
from uploads.audit.report import FaultKind, Report
from uploads.audit.verification import SEALING_GRACE, verify_audit
from uploads.exceptions import UploadsError


class Command(OperatorCommand):
    help = (
        "Check database, seals, signatures and the copies in the bucket against each"
        " other, and name every difference."
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
            default=SEALING_GRACE.total_seconds() / 60,
            metavar="N",
            help="how long an event may wait for a seal; default: %(default)g",
        )
        parser.add_argument(
            "--database-only",
            action="store_true",
            help="do not read the bucket; finds fewer faults, and locates them less exactly",
        )
        parser.add_argument(
            "--record-nothing",
            action="store_true",
            help="do not record the check as an event: for a database that a backup was"
            " restored to, where a new event takes the number of a lost one",
        )
        self.add_json_argument(parser, "the report as one JSON object")

    def run(
        self,
        *,
        since: int | datetime | None,
        unsealed_minutes: float,
        database_only: bool,
        record_nothing: bool,
        as_json: bool,
        **options: Any,
    ) -> None:
        bar = self.progress("seals, events and uploads")

        def advance(done: Report) -> None:
            bar.advance(done.seals + done.events + done.uploads - bar.count)

        try:
            report = verify_audit(
                since=since,
                grace=timedelta(minutes=unsealed_minutes),
                read_copies=not database_only,
                on_progress=advance,
            )
        finally:
            bar.clear()
        if not record_nothing:
            self._note(report, since=since, database_only=database_only)
        if as_json:
            self.print_json(report.as_json())
        else:
            self._print(report)
        if not report.is_clean:
            raise DifferencesFound(
                f"{report.counts.total()} faults: "
                + ", ".join(f"{n} {kind}" for kind, n in sorted(report.counts.items()))
            )

    def _note(self, report: Report, *, since: object, database_only: bool) -> None:
        """Record the check and its outcome as an event.

        Not after a cut tail: the event would take the number of a lost one, which then
        could not be restored.
        """
        if report.counts[FaultKind.CUT_TAIL]:
            self.warn(
                "the check is not in the audit trail, since the bucket has seals that"
                " the database lacks: docs/runbook.md, 'The database is lost'"
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
            self.so_far = "the check is in the audit trail"
        except UploadsError as error:
            self.warn(f"the check is not in the audit trail: {error}")

    def _print(self, report: Report) -> None:
        for fault in report.faults:
            self.print(str(fault))
        omitted = report.counts.total() - len(report.faults)
        if omitted:
            self.print(f"… and {omitted} more")
        self.print(
            f"{report.seals} seals, {report.events} sealed events,"
            f" {report.unsealed} events not sealed yet, {report.uploads} uploads:"
            f" {report.counts.total() or 'no'} faults"
        )
