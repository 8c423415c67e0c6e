from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from uploads.exports import UPLOAD_COLUMNS, uploads_to_export
from uploads.management.export import ExportCommand
from uploads.models import Status, Upload


class Command(ExportCommand):
    help = "Write the uploads as CSV (formulas made harmless) or JSON Lines."
    noun = "upload"
    filters = ("since", "until", "status")
    columns = UPLOAD_COLUMNS

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--status",
            action="append",
            choices=Status.values,
            default=[],
            help="only these; may be given several times",
        )

    def rows(
        self, *, since: datetime | None, until: datetime | None, **options: Any
    ) -> QuerySet[Upload]:
        return uploads_to_export(since=since, until=until, statuses=options["status"])
