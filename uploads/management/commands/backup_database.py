from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.arguments import positive_count
from mirrorsite.management.base import OperatorCommand, counted
from uploads.audit.log import record_without_upload
from uploads.backups import back_up, delete_old
from uploads.exceptions import StoreUnavailableError
from uploads.models import Action


class Command(OperatorCommand):
    help = (
        "Store a backup of the database in the bucket, under backups/. Existing backups"
        " are never overwritten."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--keep",
            type=partial(positive_count, most=1000),
            metavar="NUMBER",
            help="then delete all but the newest NUMBER backups; default: delete none",
        )
        self.add_json_argument(parser, "one JSON object")

    def run(self, *, keep: int | None, as_json: bool, **options: Any) -> None:
        record_without_upload(
            Action.EXPORTED, self.actor(), detail={"what": "database"}
        )
        try:
            made = back_up()
        except StoreUnavailableError as error:
            if error.outcome_unknown:
                self.so_far = "whether the backup was stored is unknown"
            raise
        deleted: list[str] = []
        self.so_far = f"{made.key} was stored"
        for key in delete_old(keep) if keep else ():
            deleted.append(key)
            old = counted(len(deleted), "old backup")
            self.so_far = f"{made.key} was stored, {old} deleted"
        if as_json:
            self.print_json({"key": made.key, "rows": made.rows, "deleted": deleted})
            return
        total = sum(made.rows.values())
        self.print(
            f"{made.key}: {counted(total, 'row')} of {counted(len(made.rows), 'table')}"
        )
        for key in deleted:
            self.print(f"deleted {key}")
