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
        "Compare the database, the seals, their signatures and the copies in the"
        " bucket, and report every difference."
    )

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
            help="how long an event may be unsealed; default: %(default)g",
        )
        parser.add_argument(
            "--database-only",
            action="store_true",
            help="do not read the bucket; finds fewer faults, and not which events differ",
        )
        parser.add_argument(
            "--record-nothing",
            action="store_true",
            help="do not record the check as an event: for a database that was restored"
            " from a backup, where a new event could take the id of a lost one",
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
            self._record(report, since=since, database_only=database_only)
        if as_json:
            self.print_json(report.as_json())
        else:
            self._print(report)
        if not report.is_clean:
            raise DifferencesFound(
                f"{report.counts.total()} faults: "
                + ", ".join(f"{n} {kind}" for kind, n in sorted(report.counts.items()))
            )

    def _record(self, report: Report, *, since: object, database_only: bool) -> None:
        """Record the check and its outcome as an event, except after a cut tail.

        Then the event would take the id of a lost one, which could not be restored.
        """
        if report.counts[FaultKind.CUT_TAIL]:
            self.warn(
                "the check is not in the audit trail, because the bucket has seals that"
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
