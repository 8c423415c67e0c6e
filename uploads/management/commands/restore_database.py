from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.base import CommandFailed, OperatorCommand, counted
from uploads.backups import PREFIX, backup_keys, require_empty_database, restore
from uploads.storage import upload_storage


class Command(OperatorCommand):
    help = (
        "Load a backup made by backup_database into the empty database of DATABASE_URL."
        " This is one step of docs/runbook.md, 'The database is lost'; follow all of its"
        " steps."
    )
    json_output = "one JSON object"
    # The checks would query tables that do not exist yet.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "key", nargs="?", default="latest", help="the backup's key, or latest"
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="only print which backup would be loaded",
        )

    def run(self, *, key: str, dry_run: bool, **options: Any) -> None:
        if key == "latest":
            keys = backup_keys()
            if not keys:
                raise CommandFailed(f"the bucket holds no backup under {PREFIX}.")
            key = keys[-1]
        if dry_run:
            upload_storage().head(key)  # raises ObjectMissingError
            self.print_result({"dry_run": True, "key": key}, f"would restore {key}")
            return
        require_empty_database()
        self.so_far = (
            "no rows were restored, but tables may have been created; another try needs"
            " an empty database"
        )
        rows = restore(key)
        self.so_far = f"{key} was restored"
        self.print_result(
            {"key": key, "rows": rows},
            f"restored {key}: {counted(sum(rows.values()), 'row')}",
        )
