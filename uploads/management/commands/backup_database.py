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
    json_output = "one JSON object"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--keep",
            type=partial(positive_count, most=1000),
            metavar="NUMBER",
            help="then delete all but the newest NUMBER backups; default: delete none",
        )

    def run(self, *, keep: int | None, **options: Any) -> None:
        record_without_upload(
            Action.EXPORTED, self.actor(), detail={"what": "database"}
        )
        self.so_far = "no backup was stored"
        try:
            key, rows = back_up()
        except StoreUnavailableError as error:
            if error.outcome_unknown:
                self.so_far = "whether the backup was stored is unknown"
            raise
        deleted: list[str] = []
        self.so_far = f"{key} was stored"
        for old_key in delete_old(keep) if keep else ():
            deleted.append(old_key)
            old = counted(len(deleted), "old backup")
            self.so_far = f"{key} was stored, {old} deleted"
        if self.as_json:
            self.print_json({"key": key, "rows": rows, "deleted": deleted})
            return
        total = counted(sum(rows.values()), "row")
        self.print(f"{key}: {total} of {counted(len(rows), 'table')}")
        for old_key in deleted:
            self.print(f"deleted {old_key}")
