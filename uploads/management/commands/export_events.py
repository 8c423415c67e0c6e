from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from uploads.exports import EVENT_COLUMNS, events_to_export
from uploads.management.export import ExportCommand
from uploads.models import Action, UploadEvent


class Command(ExportCommand):
    help = "Write the events as CSV (formulas made harmless) or JSON Lines."
    noun = "event"
    filters = ("since", "until", "action")
    columns = EVENT_COLUMNS

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--action",
            action="append",
            choices=Action.values,
            default=[],
            help="only these; may be given several times",
        )

    def rows(
        self, *, since: datetime | None, until: datetime | None, **options: Any
    ) -> QuerySet[UploadEvent]:
        return events_to_export(since=since, until=until, actions=options["action"])
